"""Which mutants become tasks: named tests fail with one and pass without it, three times each."""

import ast
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agentgym.errors import SandboxDied, UserError
from agentgym.swe.run_tests import REPO, TestRun, put_pytest, run_tests
from agentgym.swe.trees import File, Tree, put_tree
from agentgym.tools.sandbox import Limits, Sandbox, open_sandbox

RUNS: Final = 3
LIMITS: Final = Limits(memory_mb=1024, disk_mb=384, tmp_mb=128, file_mb=128, pids=128)
FIRST_RUN_S: Final = 300.0
MOST_BROKEN: Final = 0.5
"""Share of the tests that a mutant may break: one that breaks more is no subtle fault."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The tests of a repository as it is.

    Attributes:
        passing: ids of those that passed in every run, in order. seconds: of the slowest run.
    """

    passing: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a mutant does: tests that fail with it every time, and those that it leaves alone.

    Attributes:
        details: what pytest shows of those that fail, by id. given: the parameters of those.
    """

    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    details: Mapping[str, str]
    given: Mapping[str, Mapping[str, str]]


class Workbench:
    """A repository in a sandbox, with one file at a time exchanged.

    The code is the repository's own, which is trusted not to cheat, but not to behave: it runs in
    the sandbox, and what hangs is ended. A sandbox that dies is replaced.

    Args:
        tree: the repository. tests: paths of its test files. kind, image: see `open_sandbox`.
    """

    def __init__(
        self, tree: Tree, tests: Sequence[str], kind: str = "auto", image: str = ""
    ) -> None:
        self.tree, self.tests, self.kind, self.image = tree, tests, kind, image
        self.box: Sandbox | None = None
        self.timeout_s = FIRST_RUN_S

    def close(self) -> None:
        """End the sandbox."""
        if self.box is not None:
            self.box.close()
            self.box = None

    def baseline(self) -> Baseline:
        """Run all tests three times; from then on a run may take five times as long, and 5 s more.

        Raises:
            UserError: no test passes, or a run does not end; says what came.
        """
        passing: dict[str, None] = {}
        slowest = 0.0
        for k in range(RUNS):
            run, seconds = self._timed({})
            if not run.ended:
                raise UserError(f"the tests of the repository do not end: {run.why}")
            now = [test for test, said in run.results.items() if said == "passed"]
            passing = dict.fromkeys(now if k == 0 else [t for t in passing if t in {*now}])
            slowest = max(slowest, seconds)
            if not passing:
                why = next(iter(run.details.values()), "").strip().split("\n")[-1]
                raise UserError(
                    f"no test of the repository passes in the sandbox ({len(run.results)} ran)"
                    + (f"; the first problem: {why}" if why else "")
                )
        self.timeout_s = 5 * slowest + 5
        return Baseline(tuple(passing), slowest)

    def judge(self, changed: Mapping[str, str], baseline: Baseline) -> Admitted | str:
        """Return what a change of files does to the tests, or in words why it makes no task."""
        try:
            return self._judge(changed, baseline)
        except SandboxDied:
            return "it ends the sandbox"

    def _judge(self, changed: Mapping[str, str], baseline: Baseline) -> Admitted | str:
        run, _ = self._timed(changed)
        if not run.ended:
            return "it hangs" if "took more" in run.why else "the tests do not come to their end"
        failed = [t for t in baseline.passing if run.results.get(t) in ("failed", "error")]
        missing = [test for test in baseline.passing if test not in run.results]
        if missing:
            return "test files cannot be loaded"
        if not failed:
            return "no test notices"
        if len(failed) > MOST_BROKEN * len(baseline.passing):
            return "most tests break"
        details = {test: run.details[test] for test in failed if test in run.details}
        for _ in range(RUNS - 1):
            again, _ = self._timed(changed, failed)
            if not again.ended:
                return "it hangs"
            steady = [test for test in failed if again.results.get(test) in ("failed", "error")]
            if steady != failed:
                return "tests fail only sometimes"
        others = [test for test in baseline.passing if run.results.get(test) == "passed"]
        return Admitted(tuple(failed), tuple(others), details, run.given)

    def passing(self, changed: Mapping[str, str]) -> frozenset[str]:
        """Return the tests that pass with changed files; none where they do not end."""
        run, _ = self._timed(changed)
        passed = (test for test, said in run.results.items() if said == "passed")
        return frozenset(passed) if run.ended else frozenset()

    def _timed(self, changed: Mapping[str, str], ids: Sequence[str] = ()) -> tuple[TestRun, float]:
        """Run tests with some files changed, and put these back."""
        box = self._open()
        try:
            for path, text in changed.items():
                box.write_file(f"{REPO}/{path}", text.encode())
            before = time.monotonic()
            paths = () if ids else self.tests
            run = run_tests(box, ids, paths=paths, timeout_s=self.timeout_s, watch=False)
            seconds = time.monotonic() - before
            for path in changed:
                box.write_file(f"{REPO}/{path}", self.tree[path].data)
            return run, seconds
        except SandboxDied:
            self.close()
            raise

    def _open(self) -> Sandbox:
        if self.box is None:
            self.box = open_sandbox(self.kind, image=self.image, limits=LIMITS)
            put_pytest(self.box)
            put_tree(self.box, self.tree)
        return self.box


def is_test(path: str) -> bool:
    """Whether a file has tests, by its name: that of the file, or of one of its folders."""
    name = path.rpartition("/")[2]
    if not name.endswith(".py"):
        return False
    return name.startswith("test_") or name.endswith("_test.py") or name in ("test.py", "tests.py")


def is_source(path: str, file: File) -> bool:
    """Whether a file may be mutated: a module of the package, not of its tests or its making."""
    *folders, name = path.split("/")
    beside = {"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmark",
              "benchmarks", "scripts", "bin", "build", "dist", "vendor", "_vendor"}  # fmt: skip
    makers = {"setup.py", "conftest.py", "conf.py", "noxfile.py", "tasks.py", "__main__.py"}
    if not name.endswith(".py") or name in makers or is_test(path) or beside & {*folders}:
        return False
    text = file.text()
    if text is None or "\r" in text or len(text) > 200_000:
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
