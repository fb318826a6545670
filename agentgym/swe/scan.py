"""Looks whether the fix of a task already lies in its sandbox (V18).

A package in an image may be a later release than the repository that is given out; an archive or a
compiled file may have what the source has not. An agent that finds such a copy needs no repair. So
a fresh sandbox is laid out as an agent gets it, and all of its files are looked through; what is
looked for is passed in by the input and is never a file in it. What is found outside of the
repository is hidden from all sandboxes of the task.

A copy is a file with the same name as one that the right solution changes, which has all lines that
it adds and a good share of the others, so the `parse.py` of another package is none. Compiled files
of the sandbox's own Python, members of archives, and all objects of git repositories are looked at,
too. A release in which one of the added lines was changed later is not noticed.
"""

import json
import posixpath
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agentgym.errors import SandboxDied
from agentgym.swe.grade_repository import LIMITS, Repository
from agentgym.swe.run_tests import REPO, put_pytest
from agentgym.swe.trees import put_tree
from agentgym.tools.sandbox import Sandbox, open_sandbox

__all__ = ["Scan", "find_fix", "scan", "without_fix"]

SECONDS: Final = 60.0
MAX_FILES: Final = 3_000_000
MAX_FILE: Final = 4 << 20
MAX_UNPACKED: Final = 512 << 20
"""Bytes of all members of one archive."""

SHARE: Final = 0.3
"""The share of its lines that a copy has in common with the repaired file: releases differ."""

SHARE_INSIDE: Final = 0.9
"""The same within the repository itself, where one file may resemble another."""

_SOURCE: Final = Path(__file__).with_name("_find_fix.py").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a search found.

    Attributes:
        found: what holds the fix: paths, those in the repository from its top; for archives and
            git repositories with the member or object.
        places: the files and folders outside of the repository in which it was; folders end in a
            slash. unread: what was not looked into, and why.
        files: how many there were. seconds: how long it took, without the start of the sandbox.
    """

    found: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    files: int = 0
    seconds: float = 0.0


def scan(repository: Repository, sandbox: str = "auto", image: str = "") -> Scan:
    """Search a fresh sandbox that is laid out as an agent gets it.

    Nothing is searched where there is no right solution, or none that writes text.

    Args:
        repository: what is given out, and its fix. sandbox, image: see `open_sandbox`.

    Raises:
        EpisodeFailure: no sandbox could be started, or the search did not come to its end.
        ConfigError: there is no sandbox on this machine.
    """
    if not _fixes(repository) or repository.task.honeypot:
        return Scan()
    box = open_sandbox(sandbox, image=image, limits=LIMITS, hidden=repository.hidden)
    try:
        put_tree(box, repository.tree)
        put_pytest(box)
        return find_fix(repository, box)
    finally:
        box.close()


_KEPT: Final = 8
_lock = threading.Lock()
_cleared: OrderedDict[tuple[int, str, str], tuple[Repository, Repository]] = OrderedDict()


def without_fix(repository: Repository, sandbox: str = "auto", image: str = "") -> Repository:
    """Return a repository whose sandboxes hide what a search found outside of it.

    The search is made once for each repository that is laid out. Arguments and errors as `scan`.
    """
    key = (id(repository), sandbox, image)
    with _lock:
        known = _cleared.get(key)
    if known is None:
        places = scan(repository, sandbox, image).places
        known = repository, replace(repository, hidden=places) if places else repository
        with _lock:
            _cleared[key] = known  # with the first of the two, so that its id stays its own
            while len(_cleared) > _KEPT:
                _cleared.popitem(last=False)
    return known[1]


def find_fix(repository: Repository, box: Sandbox, *, seconds: float = SECONDS) -> Scan:
    """Search a sandbox in which no agent has been. Raises EpisodeFailure as `scan`."""
    fixes = _fixes(repository)
    root = posixpath.join(box.workdir, REPO)
    asked = {
        "fixes": fixes,
        "root": root,
        "skip": ["/proc", "/sys", "/dev"],
        "share": SHARE,
        "share_inside": SHARE_INSIDE,
        "seconds": seconds,
        "max_files": MAX_FILES,
        "max_file": MAX_FILE,
        "max_unpacked": MAX_UNPACKED,
    }
    result = box.exec(
        ["python3", "-I", "-S", "-c", _SOURCE],
        stdin=json.dumps(asked).encode("ascii"),
        timeout_s=2 * seconds + 10,
        max_output=16 << 20,
    )
    found, places, unread, files = [], [], [], -1
    for line in result.stdout.splitlines() if not result.stdout_left_out else ():
        told = json.loads(line)
        if "found" in told:
            found.append(told["found"].removeprefix(f"{root}/"))
            if not told["place"].startswith(f"{root}/"):
                places.append(told["place"])
        elif "unread" in told:
            unread.append(told["unread"])
        else:
            files = told["files"]
    if files < 0:
        said = result.stderr.decode("utf-8", "replace").strip()[-300:]
        raise SandboxDied(
            f"the search for the fix of {repository.task.instance_id} did not end: {said or result}"
        )
    where = tuple(sorted(set(places)))
    return Scan(tuple(sorted(found)), where, tuple(sorted(unread)), files, result.seconds)


def _fixes(repository: Repository) -> list[dict[str, str | None]]:
    """Return path, given text and repaired text of each text file that the right solution has."""
    made = []
    for path, file in sorted(repository.gold.items()):
        fixed = None if file is None else file.text()
        if fixed is not None:
            old = repository.tree.get(path)
            given = None if old is None else old.text()
            made.append({"path": path, "given": given, "fixed": fixed})
    return made
