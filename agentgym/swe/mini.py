"""swe-mini: tasks made from small packages of the Python package index, and functions.

Nothing of the packages is part of this project. `build` has pip download source archives that are
named by their hashes, makes tasks of them, and keeps everything in a cache folder. pip reads the
metadata of a source archive by running the package's own build backend; beyond that, and always in
a sandbox, only the packages' tests are run.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from agentgym.errors import UserError
from agentgym.swe.functions import draw_function
from agentgym.swe.grade_function import FunctionTask
from agentgym.swe.make import make_file
from agentgym.swe.rows import Task, read_tasks, write_tasks
from agentgym.swe.trees import read_archive

PER_PACKAGE: Final = 14
FUNCTIONS: Final = 100
ROWS: Final = "swe-mini.jsonl"
_FORMAT: Final = 1
"""Counts up when the same packages and seed may give other tasks."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A source archive of the package index."""

    name: str
    version: str
    sha256: str
    license: str

    @property
    def requirement(self) -> str:
        """The line of a requirements file that means it and nothing else."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


PACKAGES: Final = (
    Pin("inflection", "0.5.1",
        "1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417", "MIT"),
    Pin("ordered-set", "4.1.0",
        "694a8e44c87657c59292ede72891eb91d34131f6531463aab3009191c77364a8", "MIT"),
    Pin("parse", "1.22.4",
        "706d458feed5a81b02768d3156e8070baf6cee7d150a3a3c0cd43101a875c3b5", "MIT"),
    Pin("semver", "3.1.2",
        "bea193552413194252d33ff26ce0962b76669bd1c6fb17e8e203ac37f072feaf", "BSD-3-Clause"),
    Pin("webcolors", "25.10.0",
        "62abae86504f66d0f6364c2a8520de4a0c47b80c03fc3a5f1815fedbef7c19bf", "BSD-3-Clause"),
    Pin("xmltodict", "1.0.4",
        "6d94c9f834dd9e44514162799d344d815a3a4faec913717a9ecbfa5be1bb8e61", "MIT"),
    Pin("toolz", "1.2.0",
        "9667a038e9d6ecba37995e26cb2f59ec6420b6ad8dd9677de59db9b956b08490", "BSD-3-Clause"),
    Pin("cachetools", "8.0.2",
        "30ac523adfc118b51d2b2e7bad8a0ddb31370dfe2700c7f10ca224f36ccf81e0", "MIT"),
)  # fmt: skip


@dataclass(slots=True)
class Mini:
    """What was built.

    Attributes:
        file: the rows of all packages. tasks: of each package. rejected: mutants by reason; none
            for packages that were there already.
    """

    file: Path
    tasks: dict[str, int] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)


def folder_of_mini() -> Path:
    """Return the folder in the user's cache that swe-mini is kept in."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "agentgym" / "swe-mini"


def mini_functions() -> tuple[FunctionTask, ...]:
    """Return the functions of swe-mini, always the same: half of them of families never trained on.

    They take a second to make and need no file.
    """
    rng = np.random.default_rng(0)
    found: dict[tuple[str, str], FunctionTask] = {}
    while len(found) < FUNCTIONS:
        split = ("valid_seen", "valid_unseen")[len(found) % 2]
        task = draw_function(rng, "full", split)
        found.setdefault((task.source, task.fixed), task)
    return tuple(found.values())


def build(
    folder: Path | None = None,
    *,
    per_package: int = PER_PACKAGE,
    seed: int = 0,
    workers: int = 2,
    packages: tuple[Pin, ...] = PACKAGES,
    told: Callable[[str, str, str], None] = lambda package, kind, why: None,
) -> Mini:
    """Build swe-mini; packages that were done before with the same settings stay as they are.

    Args:
        folder: where to; by default `folder_of_mini()`.
        per_package: tasks of each package. workers: packages that are worked on at once.
        told: hears of each mutant: its package, and what `make_tasks` tells.

    Raises:
        UserError: pip cannot get an archive, or no task can be made of one.
        ConfigError: there is no sandbox, or no pytest.
    """
    folder = folder or folder_of_mini()
    folder.mkdir(parents=True, exist_ok=True)
    mini = Mini(folder / ROWS)

    def one(pin: Pin) -> tuple[Task, ...]:
        rows = folder / f"{pin.name}.jsonl"
        settings = folder / f"{pin.name}.settings.json"
        wanted = json.dumps([_FORMAT, pin.version, pin.sha256, per_package, seed])
        if not (rows.exists() and settings.exists() and settings.read_text() == wanted):
            settings.unlink(missing_ok=True)
            tree = read_archive(fetch(pin, folder), pin.sha256)
            made = make_file(
                tree, pin.name, rows, limit=per_package, seed=seed, sandbox="bwrap",
                version=pin.version, facts={"license": pin.license},
                told=lambda kind, why: told(pin.name, kind, why),
            )  # fmt: skip
            mini.rejected.update(made.rejected)
            settings.write_text(wanted)
        return read_tasks(rows)

    with ThreadPoolExecutor(workers) as pool:
        found = dict(zip((pin.name for pin in packages), pool.map(one, packages), strict=True))
    mini.tasks = {name: len(tasks) for name, tasks in found.items()}
    write_tasks(mini.file, [task for tasks in found.values() for task in tasks])
    return mini


def fetch(pin: Pin, folder: Path) -> Path:
    """Have pip download a source archive, unless it is there; pip checks the hash.

    Raises:
        UserError: pip cannot; says what it said.
    """
    here = [path for path in sorted(folder.glob("*.tar.gz")) if _is_of(path, pin)]
    if here:
        return here[0]
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        wanted = Path(inside) / "wanted.txt"
        wanted.write_text(f"{pin.requirement}\n")
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        words += ["--no-binary", ":all:", "--require-hashes", "--dest", inside, "-r", str(wanted)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
        )
        files = sorted(Path(inside).glob("*.tar.gz"))
        if done.returncode or not files:
            said = (done.stderr or done.stdout).strip().split("\n")[-1]
            raise UserError(f"pip could not get {pin.name} {pin.version}: {said}")
        return files[0].replace(folder / files[0].name)


def _is_of(path: Path, pin: Pin) -> bool:
    plain = re.sub(r"[-_.]+", "-", path.name).casefold()
    return plain == f"{pin.name}-{re.sub(r'[-_.]+', '-', pin.version)}-tar-gz"
