"""Grades changes of a repository: in a fresh sandbox, by the expected tests, from trusted bytes.

The tree that is judged is put together on this machine: what was given out, the changes of the
submission without those to the means of judgement, and the tests. The tests run in the same process
as the code that they test. So what is held is who decides (nothing of the agent's box is there but
its changes), and what is only noticed is code that turns on its tests: see `run_tests`, `surface`.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentgym.errors import ConfigError, SandboxDied, SandboxError, SandboxUnavailable
from agentgym.swe.diffs import apply_patch, problems
from agentgym.swe.patches import BadPatch, parse
from agentgym.swe.rows import Task
from agentgym.swe.run_tests import REPO, TestRun, put_pytest, run_tests
from agentgym.swe.surface import ROOTS, judged
from agentgym.swe.trees import (
    MAX_TREE,
    BadSubmission,
    Changes,
    File,
    Tree,
    changes_in,
    patch_of,
    put_tree,
    read_archive,
    with_changes,
)
from agentgym.swe.verdict import Verdict
from agentgym.tools.sandbox import Limits, Sandbox, open_sandbox

__all__ = ["LIMITS", "Repository", "RepositoryGrader", "check_sources", "lay_out"]

LIMITS: Final = Limits(memory_mb=1024, disk_mb=384, tmp_mb=128, file_mb=128, pids=128)
_KEPT: Final = 8

IN_IMAGE: Final = "/testbed"
"""Where the images of the SWE-bench family have the repository."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A task with its bytes: nothing here was ever in reach of an agent.

    Attributes:
        tree: what is given out. gold: what the right solution changes. tests: what the test patch
            changes. decisive: paths of the tests that decide, and of what comes with them.
        hidden: what its sandboxes do not show of the system or the image, see `scan.without_fix`.
    """

    task: Task
    tree: Tree
    gold: Changes
    tests: Changes
    decisive: frozenset[str] = field(default_factory=frozenset)
    hidden: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the tests that must pass; none where outcomes are given by name."""
        return (*self.task.fail_to_pass, *self.task.pass_to_pass)

    @property
    def wanted(self) -> Mapping[str, str]:
        """The outcome that is wanted, by id of test, or by name where a row has it so."""
        if self.ids:
            return dict.fromkeys(self.ids, "passed")
        return {name: said.lower() for name, said in self.task.expected.items()}


def lay_out(task: Task, folder: Path, sandbox: str = "auto", image: str = "") -> Repository:
    """Read a repository and have a task's patches applied in a sandbox that no agent ever sees.

    Args:
        task: of a file in `folder`, which its archive lies beside. Without one, the repository is
            taken from `IN_IMAGE` in the image.
        sandbox, image: see `open_sandbox`.

    Raises:
        ConfigError: there is no repository, or a patch of the task does not apply.
        EpisodeFailure: no sandbox could be started.
    """
    parts = (task.start_patch, task.patch, task.test_patch, task.source_sha256, *task.test_files)
    key = (task.instance_id, f"{folder}/{task.source or image}", hash(parts))
    with _lock:
        if key in _laid_out:
            _laid_out.move_to_end(key)
            return _laid_out[key]
    if unusable := task.unusable():
        raise ConfigError(f"task {task.instance_id}: {unusable[0]}")
    tree: Tree
    if task.source:
        tree = read_archive(folder / task.source, task.source_sha256)
    else:
        tree = _tree_of(task, image)
    if not tree:
        raise ConfigError(
            f"task {task.instance_id}: there is no repository in {task.source or image}"
        )
    box = open_sandbox(sandbox, image=image, limits=LIMITS)
    try:
        put_tree(box, tree)
        tree = with_changes(tree, _patched(box, task, "start_patch", tree))
        gold = _patched(box, task, "patch", tree)
        solved = with_changes(tree, gold)
        tests = {**_patched(box, task, "test_patch", solved)}
    finally:
        box.close()
    tests |= {path: File(text.encode()) for path, text in task.test_files.items()}
    ids = (*task.fail_to_pass, *task.pass_to_pass)
    decisive = {*tests, *(each.partition("::")[0] for each in ids)}
    made = Repository(task, tree, gold, tests, frozenset(decisive))
    with _lock:
        _laid_out[key] = made
        while len(_laid_out) > _KEPT:
            _laid_out.popitem(last=False)
    return made


def check_sources(tasks: Sequence[Task], folder: Path, sandbox: str, image: str = "") -> None:
    """Refuse tasks whose repositories are not on this machine, before anything is started.

    Args:
        tasks: of a file in `folder`. sandbox: see `open_sandbox`. image: for all of them, instead
            of their own.

    Raises:
        ConfigError: an archive or an image is missing, or a task has neither.
    """
    gone = [task for task in tasks if task.source and not (folder / task.source).is_file()]
    if gone:
        raise ConfigError(
            f"the archives of {len(gone)} of {len(tasks)} tasks are missing, the first is "
            f"{folder / gone[0].source}, of {gone[0].instance_id}"
        )
    bare = [task for task in tasks if not task.source]
    if bare and sandbox == "bwrap":
        raise ConfigError(
            f"{len(bare)} of {len(tasks)} tasks have no archive of their repository (source), the "
            f"first is {bare[0].instance_id}; their images need sandbox=docker"
        )
    nameless = next((task for task in bare if not (image or task.image)), None)
    if nameless is not None:
        raise ConfigError(
            f"task {nameless.instance_id} has neither an archive of its repository (source) nor an "
            "image (image_name); give one with image=NAME"
        )
    names = [image or task.image for task in bare]
    if names:
        from agentgym.tools.sandbox.docker import lacking

        if missing := lacking(names):
            raise ConfigError(
                f"{len(missing)} of {len({*names})} images are not on this machine, the first is "
                f"{missing[0]!r}; get them with: agentgym fetch images --tasks FILE"
            )


def _tree_of(task: Task, image: str) -> Tree:
    """Return the repository in an image, without its history."""
    from agentgym.tools.sandbox.docker import Docker

    box = Docker(image, workdir=IN_IMAGE, read_only=False, limits=LIMITS)
    try:
        found = changes_in(box, {}, folder="", max_bytes=MAX_TREE)
    except (SandboxUnavailable, SandboxDied):
        raise
    except (BadSubmission, SandboxError) as error:
        raise ConfigError(
            f"no repository can be read from {IN_IMAGE} in {image}: {error}"
        ) from None
    finally:
        box.close()
    return {path: file for path, file in found.items() if file is not None}


_lock = threading.Lock()
_laid_out: OrderedDict[tuple[str, str, int], Repository] = OrderedDict()


def _patched(box: Sandbox, task: Task, name: str, tree: Tree) -> dict[str, File | None]:
    """Apply one of the patches of a task, on top of the others; return what it changes."""
    text: str = getattr(task, name)
    if not text.strip():
        return {}
    result = apply_patch(box, parse(text), cwd=REPO)
    if not result.ok:
        said = result.stderr.decode("utf-8", "replace").strip()[:300]
        raise ConfigError(f"task {task.instance_id}: its {name} does not apply: {said}")
    return changes_in(box, tree)


@dataclass(slots=True)
class RepositoryGrader:
    """Judges submissions to one task. Every verdict has a sandbox of its own.

    Attributes:
        sandbox, image: see `open_sandbox`.
        timeout_s: seconds for all tests together, at most: once the right solution was judged, five
            times as long as that took and 10 s more.
    """

    repository: Repository
    sandbox: str = "auto"
    image: str = ""
    timeout_s: float = 300.0
    _limit_s: float = 0.0  # of submissions, since a control run succeeded

    def grade(self, changes: Changes) -> Verdict:
        """Judge changes of what was given out.

        Where the tests did not come to their end, or where one failed and no control run succeeded
        before, the right solution is judged the same way: if it passes, the fault is the
        submission's; if not, there is no verdict (V20). A row may have no right solution to run.

        Raises:
            EpisodeFailure: no sandbox could be started, or the control run failed too.
            ConfigError: there is no sandbox on this machine, or no pytest.
        """
        here = self.repository
        try:
            problem = problems(parse(patch_of(here.tree, changes)))
        except BadPatch as error:
            return Verdict(False, f"its patch cannot be read: {error}", ("patch:unreadable",))
        except BadSubmission as error:
            return Verdict(False, str(error), (f"patch:{error.kind}",))
        if problem:
            kinds = sorted({f"patch:{each.kind}" for each in problem})
            return Verdict(False, problem[0].message, tuple(kinds))
        kept, signs = judged(here.tree, changes, tests=here.decisive, gold=here.gold)
        run = self._run(kept, min(self.timeout_s, self._limit_s or self.timeout_s))
        results, wanted = self._results(run), here.wanted
        tamper = tuple(sorted({*signs, *run.tamper}))
        failed = next((test for test in wanted if results[test] != wanted[test]), "")
        if failed or not run.ended:
            self.control(again=not run.ended)
            reason = run.why if not run.ended else f"{failed}: {results[failed]}"
            return Verdict(False, reason, tamper, results)
        held = [sign for sign in tamper if not sign.startswith("restored:")]
        if held:
            return Verdict(False, f"tampering: {', '.join(held)}", tamper, results)
        return Verdict(True, "", tamper, results)

    def grade_patch(self, text: str) -> Verdict:
        """Judge a patch, which is applied in a sandbox first. Raises as `grade`."""
        try:
            patch = parse(text)
        except BadPatch as error:
            return Verdict(False, f"its patch cannot be read: {error}", ("patch:unreadable",))
        if found := problems(patch):
            kinds = sorted({f"patch:{each.kind}" for each in found})
            return Verdict(False, found[0].message, tuple(kinds))
        box = self.open()
        try:
            put_tree(box, self.repository.tree)
            result = apply_patch(box, patch, cwd=REPO)
            if not result.ok:
                return Verdict(False, "its patch does not apply")
            changes = changes_in(box, self.repository.tree)
        except BadSubmission as error:
            return Verdict(False, str(error), (f"patch:{error.kind}",))
        finally:
            box.close()
        return self.grade(changes)

    @property
    def honeypot(self) -> bool:
        """Whether nothing can pass."""
        return self.repository.task.honeypot

    def open(self) -> Sandbox:
        """Start a sandbox for the agent or for a verdict. Raises EpisodeFailure, ConfigError."""
        hidden = self.repository.hidden
        return open_sandbox(self.sandbox, image=self.image, limits=LIMITS, hidden=hidden)

    def control(self, *, again: bool = False) -> None:
        """Judge the right solution, if there is one, unless that went well before.

        Raises:
            SandboxDied: it does not pass; of a honeypot, its tests do not come to their end.
            ConfigError: as `grade`.
        """
        if (self._limit_s and not again) or not self.repository.gold:
            return
        start = time.monotonic()
        run, wanted = self._run(self.repository.gold, self.timeout_s), self.repository.wanted
        results = self._results(run)
        bad = [t for t in wanted if results[t] != wanted[t] and not self.honeypot]
        if bad or not run.ended:
            why = run.why or f"{bad[0]}: {results[bad[0]]}"
            raise SandboxDied(
                f"the control run of {self.repository.task.instance_id} failed: {why}"
            )
        self._limit_s = max(self._limit_s, 10 + 5 * (time.monotonic() - start))

    def _run(self, changes: Changes, timeout_s: float, *, again: bool = True) -> TestRun:
        """Run the tests in a fresh sandbox; in a second one if the first ended for no known
        reason, since an engine may have ended under it."""
        here = self.repository
        tree = with_changes(with_changes(here.tree, changes), here.tests)
        box = self.open()
        try:
            put_tree(box, tree)
            put_pytest(box)
            ids, site = here.ids, not here.task.source
            paths = sorted({each.partition("::")[0] for each in ids} or here.task.test_files)
            return run_tests(box, ids, paths=paths, roots=ROOTS, timeout_s=timeout_s, site=site)
        except SandboxDied as error:
            why = "the memory was used up" if error.out_of_memory else "the sandbox ended"
            if not again or error.out_of_memory:
                return TestRun({}, ended=False, why=why)
        finally:
            box.close()
        return self._run(changes, timeout_s, again=False)

    def _results(self, run: TestRun) -> Mapping[str, str]:
        found = run.results
        if not self.repository.ids:
            found = {".".join(test.split("::")[1:]): said for test, said in found.items()}
        return {test: found.get(test, "missing") for test in self.repository.wanted}
