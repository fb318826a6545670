"""A row of a data set, written by hand for a real repository, from the image to the verdict.

The package `inflection` is downloaded by pip and put into an image that has the name which
SWE-bench would give it. Its `camelize("", False)` raises IndexError.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_run import Run
from sandboxes import needs_docker

pytestmark = [pytest.mark.docker, pytest.mark.slow, needs_docker]

FIX = """\
diff --git a/inflection/__init__.py b/inflection/__init__.py
--- a/inflection/__init__.py
+++ b/inflection/__init__.py
@@ -167,3 +167,3 @@
     else:
-        return string[0].lower() + camelize(string)[1:]
+        return string[:1].lower() + camelize(string)[1:]
 
"""
TESTS = """\
diff --git a/test_nothing.py b/test_nothing.py
new file mode 100644
--- /dev/null
+++ b/test_nothing.py
@@ -0,0 +1,5 @@
+import inflection
+
+
+def test_camelize_nothing():
+    assert inflection.camelize("", False) == ""
"""
ROW = {
    "instance_id": "jpvanhal__inflection-1",
    "repo": "jpvanhal/inflection",
    "base_commit": "0" * 40,
    "problem_statement": 'camelize("", False) raises IndexError; it should return "".',
    "hints_text": "",
    "version": "0.5",
    "patch": FIX,
    "test_patch": TESTS,
    "FAIL_TO_PASS": json.dumps(["test_nothing.py::test_camelize_nothing"]),
    "PASS_TO_PASS": json.dumps(
        [
            "test_inflection.py::test_camelize_with_lower_downcases_the_first_letter",
            "test_inflection.py::test_camelize_with_underscores",
            "test_inflection.py::test_ordinal[1-1st]",
        ]
    ),
}


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Path]:
    """The file with the row, and the image that it means."""
    docker = pytest.importorskip("docker")
    from agentgym.swe.mini import PACKAGES, fetch

    [pin] = [pin for pin in PACKAGES if pin.name == "inflection"]
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        text = f"FROM {os.environ['AGENTGYM_IMAGE']}\nCOPY {pin.name}-{pin.version} /testbed\n"
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
        with tarfile.open(fetch(pin, tmp_path)) as archive:
            for each in archive:
                tar.addfile(each, archive.extractfile(each) if each.isreg() else None)
    context.seek(0)
    name = "swebench/sweb.eval.x86_64.jpvanhal_1776_inflection-1:latest"
    client = docker.from_env()
    client.images.build(fileobj=context, custom_context=True, tag=name)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    yield path
    client.images.remove(name, force=True)
    client.close()


def test_a_row_written_by_hand_runs_end_to_end(agentgym: Run, rows: Path) -> None:
    play = ("rollout", "swe", "--option", f"tasks={rows}", "--option", "sandbox=docker", "-n", 1)
    said = agentgym(*play, "--agent", "gold").words
    assert "success 100.0%" in said
    assert "mean return 1 " in said
    assert "success 0.0%" in agentgym(*play, "--agent", "noop").words
    gate = ("bench", "swe-mini", "--only", "repositories", "--tasks", rows)
    assert "1 of 1 verdicts" in agentgym(*gate, "--agent", "oracle").words
    assert "passed 0 of 22 verdicts" in agentgym(*gate, "--agent", "cheats").words
