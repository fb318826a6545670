"""The documentation is executed: Python blocks, and console blocks with their commands.

Blocks of one file share a namespace and a working folder. A block below a line
`<!-- not run: reason -->` is left out. In a console block the lines that begin with `$ ` are run; a
file shown as a block below `<!-- file: name -->` is written first.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_in_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, object] = {"__name__": "__main__"}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
    }
    for match in BLOCK.finditer(page.read_text("utf-8")):
        mark, kind, text = match["mark"] or "", match["kind"], match["text"]
        line = page.read_text("utf-8")[: match.start()].count("\n") + 1
        if mark.startswith("not run:"):
            continue
        if mark.startswith("file:"):
            (tmp_path / mark.removeprefix("file:").strip()).write_text(text)
        elif kind == "python":
            exec(compile("\n" * line + text, str(page), "exec"), namespace)
        elif kind == "console":
            for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
                done = subprocess.run(
                    command, shell=True, env=environment, capture_output=True, text=True
                )
                assert done.returncode == 0, (
                    f"{page.name}:{line}: {command}\n{done.stdout}{done.stderr}"
                )


def test_links_between_pages_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
