"""Tests of a repository, run by pytest in a sandbox, one outcome per test.

pytest comes from this machine's own installation and is put beside the repository, so a sandbox
needs only a Python. Configuration of the repository counts, its `addopts` and plugins do not.
"""

import importlib.metadata
import io
import json
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from agentgym.errors import ConfigError
from agentgym.tools.sandbox import ExecResult, Sandbox

__all__ = ["REPO", "TestRun", "put_pytest", "run_tests", "unpack"]

REPO: Final = "repo"
"""The folder of the repository, under the work folder."""

TOOLS: Final = "tools"
MAX_REPORT: Final = 8 << 20
_PARTS: Final = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
_SOURCE: Final = Path(__file__).with_name("_run_tests.py").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class TestRun:
    """What came of a run.

    Attributes:
        results: "passed", "failed", "skipped", "xfailed", "xpassed", "error", by id of test.
        details: what pytest shows of those that failed, and of files that cannot be loaded.
        given: parameters of those that failed, as Python writes them; only without `watch`.
        tamper: signs that the code under test changed how it is judged, by name.
        ended: the run came to its end. why: if not, why not.
        output: the end of what tests printed.
    """

    __test__ = False  # no test of ours

    results: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    tamper: tuple[str, ...] = ()
    ended: bool = True
    why: str = ""
    output: str = ""
    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _bundle() -> bytes:
    """Return pytest and what it needs as a tar file, with what Python compiled of it.

    Raises:
        ConfigError: pytest is not installed here.
    """
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in _PARTS:
            try:
                files = importlib.metadata.files(name) or []
            except importlib.metadata.PackageNotFoundError:
                raise ConfigError(
                    f"running the tests of a repository needs {name}, which is not installed; "
                    "install it with: pip install 'agentgym[swe]'"
                ) from None
            for file in files:
                path = str(file)
                lexer = path.startswith("pygments/") and "/lexers/" in path
                kept = not lexer or Path(path).name.split(".")[0] in _LEXERS
                if path.endswith((".py", ".pyc")) and ".." not in file.parts and kept:
                    with open(file.locate(), "rb") as source:
                        member = tar.gettarinfo(arcname=path, fileobj=source)
                        member.uid = member.gid = 0
                        member.uname = member.gname = ""
                        tar.addfile(member, source)
    return data.getvalue()


_LEXERS: Final = ("__init__", "_mapping", "python", "diff", "unicon", "_builtins")


def put_pytest(sandbox: Sandbox) -> None:
    """Put pytest beside the repository. Raises ConfigError where it is not installed here."""
    unpack(sandbox, _bundle(), TOOLS)


def unpack(sandbox: Sandbox, data: bytes, folder: str, *, timeout_s: float = 120.0) -> None:
    """Unpack a tar file into a folder under the work folder.

    Raises:
        ConfigError: it cannot be unpacked there; says why.
    """
    argv = ["sh", "-c", f"mkdir -p {folder} && exec tar -x --no-same-owner -f - -C {folder}"]
    result = sandbox.exec(argv, stdin=data, timeout_s=timeout_s)
    if not result.ok:
        said = result.stderr.decode("utf-8", "replace").strip()[-300:]
        raise ConfigError(f"an archive cannot be unpacked in the sandbox: {said or result}")


def run_tests(
    sandbox: Sandbox,
    ids: Sequence[str] = (),
    *,
    paths: Sequence[str] = (),
    roots: Sequence[str] = ("", "src", "lib"),
    timeout_s: float = 300.0,
    watch: bool = True,
    site: bool = False,
) -> TestRun:
    """Run tests of the repository in `REPO`; `put_pytest` comes first.

    Args:
        ids: pytest's ids of the tests that are run; none: all.
        paths: files and folders to look for them; by default those of `ids`, or the repository.
        roots: folders of the repository from which modules are imported.
        timeout_s: seconds for all of them together.
        watch: look after every test for changes of pytest, and trust nothing that it holds.
        site: packages installed in the sandbox can be imported, as the tests of an image need.

    Raises:
        SandboxError: see `Sandbox.exec`.
    """
    nonce, base = secrets.token_hex(16), sandbox.workdir.rstrip("/")
    asked = {
        "nonce": nonce,
        "ids": list(ids),
        "paths": list(paths) or sorted({each.partition("::")[0] for each in ids}),
        "repo": f"{base}/{REPO}",
        "tools": [f"{base}/{TOOLS}"],
        "roots": list(roots),
        "watch": watch,
    }
    result = sandbox.exec(
        ["python3", "-I", *([] if site else ["-S"]), "-B", "-c", _SOURCE],
        stdin=json.dumps(asked).encode("ascii"),
        timeout_s=timeout_s,
        max_output=MAX_REPORT,
    )
    return _read(result, nonce)


def _read(result: ExecResult, nonce: str) -> TestRun:
    """Read the report; what has not the nonce is nobody's report."""
    results: dict[str, str] = {}
    details: dict[str, str] = {}
    given: dict[str, dict[str, str]] = {}
    tamper: set[str] = set()
    ended = False
    for line in result.stdout.decode("utf-8", "replace").split("\n"):
        head, _, body = line.partition(" ")
        told = _object(body) if head == nonce else None
        if told is None:
            if line:
                tamper.add("forged report")
        elif "end" in told:
            ended = True
        elif "file" in told:
            details[str(told["file"])] = str(told.get("detail", ""))
        else:
            test = str(told["id"])
            if test in results:
                tamper.add("reported twice")
            results[test] = str(told["outcome"])
            tamper |= {str(each) for each in told.get("tamper", [])}
            if "detail" in told:
                details[test] = str(told["detail"])
            if "given" in told:
                given[test] = told["given"]
    output = result.stderr.decode("utf-8", "replace")[-4000:]
    if result.stdout_left_out:
        why, ended = f"the report has more than {MAX_REPORT} bytes", False
    elif result.timed_out:
        why, ended = f"it took more than {result.seconds:.0f} s", False
    elif result.oom_killed:
        why, ended = "the memory was used up", False
    else:
        why = "" if ended else "it ended before all tests had run"
    return TestRun(results, details, tuple(sorted(tamper)), ended, why, output, given)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"end", "file", "id"} & found.keys() else None
