"""Tasks out of a repository: what is kept, what is not, and that every row does what it says."""

import hashlib
import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cli_run import Run

from agentgym.errors import ConfigError, UserError
from agentgym.swe.admit import Admitted, Workbench, is_source, is_test
from agentgym.swe.diffs import apply_patch, problems
from agentgym.swe.hide import without_tests
from agentgym.swe.make import archive_of, make_file, read_folder
from agentgym.swe.patches import parse
from agentgym.swe.rows import Task, read_tasks
from agentgym.swe.run_tests import REPO, put_pytest, run_tests
from agentgym.swe.statement import problem_statement
from agentgym.swe.trees import File, put_tree, read_archive
from agentgym.tools.sandbox import open_sandbox
from agentgym.tools.sandbox.bwrap import missing

pytest_plugins = ["cli.conftest"]
needs_bwrap = pytest.mark.skipif(bool(missing()), reason=missing())

SHOP = '''\
"""A till."""


def total(prices, discount=0):
    """Return what prices come to, with a discount in percent."""
    if not 0 <= discount <= 100:
        raise ValueError(f"a discount of {discount} %")
    whole = 0
    for price in prices:
        whole = whole + price
    return whole - whole * discount // 100


def countdown(n):
    """Count down to 1."""
    return list(range(n, 0, -1))


def unused(n):
    return n + 1
'''
TESTS = '''\
import pytest

from shop import countdown, total


@pytest.mark.parametrize(("prices", "wanted"), [([1, 2], 3), ([], 0), ([5], 5)])
def test_total(prices, wanted):
    assert total(prices) == wanted


class TestDiscount:
    """Percent."""

    def test_half(self):
        assert total([10, 10], 50) == 10

    def test_wrong(self):
        with pytest.raises(ValueError, match="101"):
            total([1], 101)


def test_countdown():
    assert countdown(3) == [3, 2, 1]
'''
UNUSED = "def unused(n):\n    return n + 1\n"
FILES = {
    "shop.py": SHOP,
    "tests/test_shop.py": TESTS,
    "tests/test_other.py": "def test_nothing():\n    assert True\n",
    "tests/test_chance.py": (
        "import random\n\ndef test_chance():\n    assert random.random() < 2\n"
    ),
    "setup.py": "x = 1 + 1\n",
}


def tree_of(files: dict[str, str]) -> dict[str, File]:
    return {path: File(text.encode()) for path, text in files.items()}


def written(folder: Path, files: dict[str, str] = FILES) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


# What makes a row -------------------------------------------------------------------------------


@needs_bwrap
def test_V21_each_row_fails_at_the_start_and_passes_with_its_patch(tmp_path: Path) -> None:
    out = tmp_path / "shop.jsonl"
    made = make_file(tree_of(FILES), "shop", out, limit=2, seed=1)
    assert len(made.baseline.passing) == 8
    assert len(made.tasks) == 2
    tasks = read_tasks(out)
    assert tasks == tuple(made.tasks)
    for task in tasks:
        assert {*task.fail_to_pass} | {*task.pass_to_pass} == {*made.baseline.passing}
        start, solved, hidden = _judged(task, tmp_path)
        assert not start & {*task.fail_to_pass}, "a test passes without the fix"
        assert {*task.pass_to_pass} <= start
        assert solved == {*made.baseline.passing}
        assert not hidden & {*task.fail_to_pass}, "the agent would see what it is judged by"
        assert hidden
        _tells_no_secrets(task)


def _tells_no_secrets(task: Task) -> None:
    text = task.problem_statement
    assert not re.search(r"\.py\b|test_|::|line \d+", text), text
    assert "```python" in text
    for line in task.patch.split("\n"):
        if line[:1] in "+-" and line[1:].strip() and not line.startswith(("+++", "---")):
            assert line[1:].strip() not in text


def _judged(task: Task, folder: Path) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Play a row from its parts: what passes before and after the fix, and for the agent."""
    tree = read_archive(folder / task.source, task.source_sha256)
    box = open_sandbox("bwrap")
    try:
        put_pytest(box)
        put_tree(box, tree)

        def passing() -> frozenset[str]:
            run = run_tests(box, paths=["tests"])
            return frozenset(test for test, said in run.results.items() if said == "passed")

        def applied(text: str) -> None:
            patch = parse(text)
            assert problems(patch) == []
            assert apply_patch(box, patch, REPO).ok

        applied(task.start_patch)
        hidden = passing()
        applied(task.test_patch)
        start = passing()
        applied(task.patch)
        return start, passing(), hidden
    finally:
        box.close()


@needs_bwrap
def test_mutants_that_are_no_task_have_a_reason() -> None:
    files = {path: text for path, text in FILES.items() if path != "tests/test_chance.py"}
    with closing(Workbench(tree_of(files), [path for path in files if is_test(path)])) as bench:
        base = bench.baseline()
        bench.timeout_s = 4

        def judged(old: str, new: str) -> Admitted | str:
            assert old in SHOP
            return bench.judge({"shop.py": SHOP.replace(old, new)}, base)

        assert judged("whole = 0", "while True: pass") == "it hangs"
        bench.timeout_s = 60
        assert judged("n + 1", "n + 2") == "no test notices"
        assert judged("def total", "def totals") == "test files cannot be loaded"
        assert judged("whole = 0", "whole = prices") == "most tests break"
        once = "1 - __import__('os').path.exists('/tmp/x'), open('/tmp/x', 'w')"
        fails_once = judged("range(n, 0, -1)", f"range(n, [{once}][0], -1)")
        assert fails_once == "tests fail only sometimes"
        found = judged("n, 0, -1", "n, 1, -1")
        assert isinstance(found, Admitted)
        assert found.fail_to_pass == ("tests/test_shop.py::test_countdown",)
        still = bench.passing({})
        assert {*base.passing} <= still, "the files were not put back"


@needs_bwrap
def test_a_flaky_test_of_the_repository_is_in_no_row() -> None:
    flaky = (
        "import os\n\ndef test_first_time_only():\n"
        "    path = '/tmp/was_here'\n    there = os.path.exists(path)\n"
        "    open(path, 'w').close()\n    assert not there\n"
    )
    tree = tree_of({**FILES, "tests/test_chance.py": flaky})
    with closing(Workbench(tree, ["tests/test_chance.py", "tests/test_shop.py"])) as bench:
        assert not [test for test in bench.baseline().passing if "first_time" in test]


@needs_bwrap
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"shop.py": SHOP}, "shop has no tests: no file is named test_"),
        ({"tests/test_shop.py": TESTS}, "no Python module beside its 1 test files"),
        ({"shop.py": SHOP, "test_shop.py": "import nowhere\n"}, "No module named 'nowhere'"),
        ({"shop.py": SHOP, "test_shop.py": "def test_a():\n    assert 0\n"}, "no test .* passes"),
        ({"shop.py": "x = 1\n", "test_shop.py": "def test_a(): pass\n"}, "there are no mutants"),
        ({"shop.py": UNUSED, "test_shop.py": "def test_a(): pass\n"}, "times no test notices"),
    ],
)
def test_a_repository_that_gives_no_tasks(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        make_file(tree_of(files), "shop", tmp_path / "out.jsonl", limit=2, seed=0)
    assert not list(tmp_path.iterdir())


# Parts ------------------------------------------------------------------------------------------


def test_tests_are_taken_out_and_nothing_else() -> None:
    out = without_tests(TESTS, ["test_total[prices0-3]", "TestDiscount::test_half"])
    assert out is not None
    assert "test_total" not in out
    assert "parametrize" not in out
    assert "test_half" not in out
    kept = [line for line in out.split("\n") if line.strip()]
    assert [line for line in TESTS.split("\n") if line in kept and line.strip()] == kept
    both = without_tests(TESTS, ["TestDiscount::test_half", "TestDiscount::test_wrong"])
    assert both is not None
    compile(both, "t", "exec")
    bare = "class TestA:\n    @x\n    def test_a(self):\n        pass\n\n\ny = 1\n"
    assert without_tests(bare, ["TestA::test_a"]) == "class TestA:\n    pass\n\n\ny = 1\n"
    assert without_tests(bare, ["TestA::test_inherited"]) is None
    assert without_tests("def test_a():\n    pass\n", ["test_a"]) == ""


def test_a_statement_shows_the_steps_and_what_came() -> None:
    detail = (
        "tests/test_shop.py:8: in test_total\n    assert total(prices) == wanted\n"
        "E   assert 4 == 3\nE    +  where 4 = total([1, 2]) at 0x7f1234\n"
        "shop.py:11: in total\nE   x\n"
    )
    test = "tests/test_shop.py::test_total[prices0-3]"
    given = {test: {"prices": "[1, 2]", "wanted": "3", "other": "<x at 0x7f12>"}}
    text = problem_statement(
        {"tests/test_shop.py": TESTS}, {test: detail}, given, np.random.default_rng(0)
    )
    assert "prices = [1, 2]\nwanted = 3\nassert total(prices) == wanted\n" in text
    assert "`total`" in text
    assert "assert 4 == 3\n +  where 4 = total([1, 2])" in text
    for secret in ("shop.py", "test_total", "0x7f", "other"):
        assert secret not in text
    assert problem_statement({}, {test: "no traceback"}, {}, np.random.default_rng(0)) == ""


def test_which_files_are_tests_and_sources() -> None:
    tests = ["test_a.py", "x/tests/test_a.py", "a_test.py", "tests.py", "x/test.py"]
    assert [
        path for path in [*tests, "a.py", "testing.py", "tests/util.py"] if is_test(path)
    ] == tests
    code = File(b"x = 1\n")
    assert is_source("src/a.py", code)
    for path in ("tests/util.py", "setup.py", "docs/conf.py", "test_a.py", "a.txt", "conftest.py"):
        assert not is_source(path, code)
    for data in (b"x = (\n", b"x = 1\r\n", b"\xff\xfe", b"x = '\0'"):
        assert not is_source("a.py", File(data))


def test_a_folder_is_read_without_links_caches_and_histories(tmp_path: Path) -> None:
    folder = written(tmp_path / "r")
    for path in (".git/config", "__pycache__/a.pyc", ".venv/lib/x.py", "a.pyc"):
        written(folder, {path: "x"})
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "away").symlink_to("/etc")
    (folder / "setup.py").chmod(0o755)
    tree = read_folder(folder)
    assert {*tree} == {*FILES}
    assert tree["setup.py"].executable
    with pytest.raises(UserError, match="there is no folder"):
        read_folder(tmp_path / "nowhere")
    packed = archive_of(tree, "shop")
    assert archive_of(dict(reversed(tree.items())), "shop") == packed
    (tmp_path / "a.tar.gz").write_bytes(packed)
    digest = hashlib.sha256(packed).hexdigest()
    assert read_archive(tmp_path / "a.tar.gz", digest) == tree
    with pytest.raises(ConfigError, match="is not the archive that is meant"):
        read_archive(tmp_path / "a.tar.gz", "0" * 64)


# The verb ---------------------------------------------------------------------------------------


@needs_bwrap
def test_the_verb_writes_rows_and_sums_up(agentgym: Run, workplace: Path) -> None:
    written(workplace / "shop")
    done = agentgym("make-swe", "shop", "--limit", 2, "--seed", 3)
    assert "8 tests pass in the repository as it is" in done.words
    assert "Wrote 2 tasks to shop.jsonl" in done.words
    [one, _] = read_tasks(workplace / "shop.jsonl")
    assert (workplace / one.source).exists()
    assert one.source in one.dockerfile
    again = agentgym("make-swe", "shop/", "--limit", 2, "--seed", 3, "--out", "b.jsonl")
    assert (workplace / "b.jsonl").read_bytes() == (workplace / "shop.jsonl").read_bytes()
    assert "Wrote 2 tasks to b.jsonl" in again.words


def test_the_verb_refuses_what_cannot_be(agentgym: Run, workplace: Path) -> None:
    written(workplace / "bare", {"a.py": SHOP})
    assert "bare has no tests" in agentgym("make-swe", "bare", code=2).words
    assert "there is no folder 'nowhere'" in agentgym("make-swe", "nowhere", code=2).words
    assert "say which repository" in agentgym("make-swe", code=2).words
    assert "there is no folder 'x'" in agentgym("make-swe", "bare", "--out", "x/y", code=2).words
    assert "leave out 'bare'" in agentgym("make-swe", "bare", "--mini", code=2).words
    wrong = agentgym("make-swe", written(workplace / "shop"), "--sandbox", "bwarp", code=2)
    assert "did you mean 'bwrap'" in wrong.words
