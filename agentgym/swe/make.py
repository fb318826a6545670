"""Tasks out of a repository with tests: faults put in by mutation, kept where tests notice.

A task's archive is the repository as it is. `start_patch` puts the fault in and takes the tests
that notice it out; `patch` is the way back; `test_patch` brings these tests in again.
"""

import gzip
import hashlib
import io
import os
import re
import stat
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from agentgym.errors import ConfigError, UserError
from agentgym.swe.admit import Admitted, Baseline, Workbench, is_source, is_test
from agentgym.swe.diffs import make_patch
from agentgym.swe.hide import without_tests
from agentgym.swe.mutate import Mutant, mutants
from agentgym.swe.rows import Task, write_tasks
from agentgym.swe.statement import problem_statement
from agentgym.swe.trees import MAX_FILES, MAX_TREE, SKIPPED, File, Tree

Told = Callable[[str, str], None]
"""Called with "task" or "rejected", and why, whenever a mutant was judged."""

TRIES: Final = 8
"""Mutants that are tried for each task that is wanted, at most."""

_PER_FUNCTION: Final = 2
_MOST_FILE: Final = 2 << 20
_NOT_TAKEN: Final = frozenset({*SKIPPED, ".venv", "venv", "node_modules", "build", "dist", ".nox"})
_DOCKERFILE: Final = """\
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git \\
    && rm -rf /var/lib/apt/lists/* \\
    && pip install --no-cache-dir pytest \\
    && useradd --uid 1000 agent
ADD --chown=1000:1000 {source} /work/
WORKDIR /work/{folder}
"""


@dataclass(slots=True)
class Made:
    """What came of making tasks.

    Attributes:
        tasks: in the order in which they were found. rejected: how many mutants by reason.
        baseline: the tests of the repository.
    """

    tasks: list[Task] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    baseline: Baseline = field(default_factory=lambda: Baseline((), 0.0))

    @property
    def tried(self) -> int:
        """How many mutants were judged."""
        return len(self.tasks) + self.rejected.total()


def make_tasks(
    tree: Tree,
    name: str,
    *,
    limit: int = 20,
    seed: int = 0,
    sandbox: str = "auto",
    image: str = "",
    version: str = "",
    facts: Mapping[str, str] | None = None,
    source: str = "",
    source_sha256: str = "",
    told: Told = lambda kind, why: None,
) -> Made:
    """Make tasks out of a repository.

    Args:
        tree: its files. name: what it is called; begins the ids of its tasks.
        limit: how many tasks at most; fewer where too few mutants are noticed.
        seed: of the order in which mutants are tried, and of the words of the statements.
        sandbox, image: where the tests run; see `open_sandbox`.
        version, facts, source, source_sha256: go into the rows.
        told: hears of each mutant.

    Raises:
        UserError: the repository has no tests, none passes, or there is nothing to mutate.
        ConfigError: there is no sandbox, or no pytest.
    """
    tests = [path for path in sorted(tree) if is_test(path) and tree[path].text() is not None]
    if not tests:
        raise UserError(
            f"{name} has no tests: no file is named test_*.py, *_test.py, test.py or tests.py"
        )
    sources = [path for path in sorted(tree) if is_source(path, tree[path])]
    if not sources:
        raise UserError(f"{name} has no Python module beside its {len(tests)} test files")
    short = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "repository"
    rng, made = np.random.default_rng(seed), Made()
    with closing(Workbench(tree, tests, sandbox, image)) as bench:
        made.baseline = bench.baseline()
        taken: Counter[str] = Counter()
        for path, mutant in _candidates(tree, sources, rng):
            if len(made.tasks) >= limit or made.tried >= TRIES * limit:
                break
            place = f"{path}:{mutant.function}"
            # Many faults of one kind, or in one function, make a dull collection.
            if taken[place] >= _PER_FUNCTION or taken[mutant.kind] > 1 + len(made.tasks) // 4:
                continue
            found = bench.judge({path: mutant.source}, made.baseline)
            made_of = (
                found if isinstance(found, str) else _task(tree, bench, path, mutant, found, rng)
            )
            if isinstance(made_of, str):
                made.rejected[made_of] += 1
                told("rejected", made_of)
                continue
            start, patch, test_patch, statement = made_of
            assert isinstance(found, Admitted)
            taken[place] += 1
            taken[mutant.kind] += 1
            digest = hashlib.sha256(start.encode()).hexdigest()[:8]
            made.tasks.append(
                Task(
                    f"{short}__{mutant.kind.replace(' ', '-')}-{digest}",
                    name,
                    statement,
                    patch,
                    base_commit=source_sha256 or tree_digest(tree),
                    test_patch=test_patch,
                    start_patch=start,
                    fail_to_pass=found.fail_to_pass,
                    pass_to_pass=found.pass_to_pass,
                    image=image,
                    source=source,
                    source_sha256=source_sha256,
                    dockerfile=_DOCKERFILE.format(source=source, folder=short),
                    version=version,
                    facts={**(facts or {}), "mutation": mutant.kind, "file": path},
                )
            )
            told("task", mutant.kind)
    return made


def _task(
    tree: Tree, bench: Workbench, path: str, mutant: Mutant, found: Admitted,
    rng: np.random.Generator,
) -> tuple[str, str, str, str] | str:  # fmt: skip
    """Return start, fix, tests and statement; or why there are none."""
    by_file: dict[str, list[str]] = {}
    for test in found.fail_to_pass:
        file, _, name = test.partition("::")
        by_file.setdefault(file, []).append(name)
    whole = {file: tree[file].text() or "" for file in by_file}
    hidden: dict[str, str] = {}
    for file, names in by_file.items():
        text = without_tests(whole[file], names)
        if text is None:
            return "its tests cannot be taken out"
        hidden[file] = text
    statement = problem_statement(whole, found.details, found.given, rng)
    if not statement:
        return "the failure says nothing that can be shown"
    right = {path: tree[path].text() or ""}
    wrong = {path: mutant.source}
    if any(line in statement for line in _changed_lines(right[path], mutant.source)):
        return "the failure tells the fault"
    left = bench.passing({**wrong, **hidden})
    if not left or left & {*found.fail_to_pass}:
        return "its tests cannot be taken out"
    return (
        make_patch({**right, **whole}, {**wrong, **hidden}),
        make_patch(wrong, right),
        make_patch(hidden, whole),
        statement,
    )


def _changed_lines(old: str, new: str) -> set[str]:
    """Return the lines, without indentation, that are in only one of two texts."""
    one, other = ({line.strip() for line in text.split("\n")} for text in (old, new))
    return {line for line in one ^ other if len(line) > 8}


def _candidates(
    tree: Tree, sources: list[str], rng: np.random.Generator
) -> Iterator[tuple[str, Mutant]]:
    """Yield mutants of all files, of long files more often than of short ones."""
    texts = {path: tree[path].text() or "" for path in sources}
    left = {path: mutants(text, seed=int(rng.integers(2**32))) for path, text in texts.items()}
    while left:
        paths = [*left]
        sizes = np.array([len(texts[path]) + 1 for path in paths], float)
        path = paths[int(rng.choice(len(paths), p=sizes / sizes.sum()))]
        mutant = next(left[path], None)
        if mutant is None:
            del left[path]
        else:
            yield path, mutant


def read_folder(folder: str | Path) -> dict[str, File]:
    """Return the plain files of a repository, without caches, histories, links and large files.

    Raises:
        UserError: there is no such folder. ConfigError: it is too large.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {str(folder)!r}")
    tree: dict[str, File] = {}
    total = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in _NOT_TAKEN)
        for name in sorted(names):
            path = Path(root) / name
            about = path.lstat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > _MOST_FILE:
                continue
            if name.endswith((".pyc", ".pyo")):
                continue
            total += about.st_size
            if total > MAX_TREE or len(tree) >= MAX_FILES:
                raise ConfigError(f"{folder} has over {MAX_TREE} bytes or {MAX_FILES} files")
            relative = path.relative_to(folder).as_posix()
            tree[relative] = File(path.read_bytes(), bool(about.st_mode & 0o100))
    return tree


def archive_of(tree: Tree, top: str) -> bytes:
    """Return a tree as .tar.gz, in one folder; equal trees give equal bytes."""
    data = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=data, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, file in sorted(tree.items()):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(file.data), 0o755 if file.executable else 0o644
            tar.addfile(member, io.BytesIO(file.data))
    return data.getvalue()


def tree_digest(tree: Tree) -> str:
    """Return what tells trees apart."""
    text = "".join(f"{name}\0{file.digest}\n" for name, file in sorted(tree.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def make_file(
    tree: Tree,
    name: str,
    out: Path,
    *,
    limit: int,
    seed: int,
    sandbox: str = "auto",
    image: str = "",
    version: str = "",
    facts: Mapping[str, str] | None = None,
    told: Told = lambda kind, why: None,
) -> Made:
    """Make tasks and write them, with the archive of the repository beside them.

    Args:
        out: the file of rows; its folder must exist. The others are those of `make_tasks`.

    Raises:
        UserError: as `make_tasks`; also where no mutant at all became a task.
    """
    short = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "repository"
    packed = archive_of(tree, short)
    digest = hashlib.sha256(packed).hexdigest()
    source = f"{short}-{digest[:12]}.tar.gz"
    made = make_tasks(
        tree, name, limit=limit, seed=seed, sandbox=sandbox, image=image, version=version,
        facts=facts, source=source, source_sha256=digest, told=told,
    )  # fmt: skip
    if not made.tasks:
        why = ", ".join(f"{count} times {reason}" for reason, count in made.rejected.most_common())
        raise UserError(f"no task could be made of {name}: {why or 'there are no mutants'}")
    (out.parent / source).write_bytes(packed)
    write_tasks(out, made.tasks)
    return made
