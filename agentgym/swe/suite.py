"""A suite of tasks, and scripted agents that go through it: what works, what is bad, who got away.

Functions are made when they are asked for; repositories are those of a file of rows. No model
takes part: these agents show whether the tasks and their graders can be trusted.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentgym.errors import ConfigError, EpisodeFailure, UserError
from agentgym.swe.gate import AGENTS, Gated, gate
from agentgym.swe.grade_function import FunctionGrader
from agentgym.swe.grade_repository import RepositoryGrader, check_sources, lay_out
from agentgym.swe.mini import ROWS, folder_of_mini, mini_functions
from agentgym.swe.rows import read_tasks
from agentgym.swe.scan import without_fix
from agentgym.swe.verdict import Verdict

__all__ = [
    "AGENTS",
    "Entry",
    "Tally",
    "functions",
    "repositories",
    "run_suite",
    "tally",
]

FUNCTION_S: Final = 3.0
REPOSITORY_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One task: its id, what tells it from others of that id, and what makes its grader."""

    task: str
    digest: str
    grader: Callable[[], FunctionGrader | RepositoryGrader]


@dataclass(slots=True)
class Tally:
    """What came of one scripted agent, or one cheat, over a suite.

    Attributes:
        verdicts: how many there were. passed: of those. none: attempts without a verdict.
        tamper: how often each sign of tampering was seen.
    """

    verdicts: int = 0
    passed: int = 0
    none: int = 0
    tamper: Counter[str] = field(default_factory=Counter)


def functions(*, sandbox: str = "auto") -> Iterator[Entry]:
    """Yield the functions of swe-mini."""
    for task in mini_functions():
        grader = FunctionGrader(task, sandbox, FUNCTION_S)
        yield Entry(task.key, _digest(task), lambda grader=grader: grader)  # type: ignore[misc]


def repositories(
    path: Path | None = None, *, sandbox: str = "auto", image: str = ""
) -> Iterator[Entry]:
    """Yield the tasks of a file of rows, by default those of swe-mini.

    Raises:
        ConfigError: there is no such file, it is malformed, or a repository is not on this machine.
        UserError: swe-mini is not built.
    """
    if path is None:
        path = folder_of_mini() / ROWS
        if not path.is_file():
            raise UserError(
                f"the repositories of swe-mini are not built ({path}); build them with: "
                "agentgym make-swe --mini, or leave them out with --only functions"
            )
    folder, tasks = path.parent, read_tasks(path)
    check_sources(tasks, folder, sandbox, image)
    for task in tasks:

        def grader(task=task) -> RepositoryGrader:  # type: ignore[no-untyped-def]
            chosen = "" if sandbox == "bwrap" or task.source else image or task.image
            laid = without_fix(lay_out(task, folder, sandbox, chosen), sandbox, chosen)
            return RepositoryGrader(laid, sandbox, chosen, REPOSITORY_S)

        yield Entry(task.instance_id, _digest(task), grader)


def run_suite(
    entries: Iterable[Entry],
    agent: str,
    *,
    workers: int = 4,
    out: Path | None = None,
    told: Callable[[Gated], None] = lambda _: None,
) -> list[Gated]:
    """Send a scripted agent through all tasks; the answers come in the order of the tasks.

    Args:
        entries: the tasks. agent: one of `AGENTS`. workers: threads, each with its own sandboxes.
        out: a file with a line for each task that is done; what is in it is not done again.
        told: called with what came of a task, from the threads.

    Raises:
        UserError: `out` cannot be written.
    """
    known = {} if out is None else _read(out)
    lock = threading.Lock()

    def one(entry: Entry) -> Gated:
        key = (entry.task, entry.digest, agent)
        found = known.get(key)
        if found is None:
            try:
                found = gate(entry.grader(), agent)
            except ConfigError as error:
                found = Gated(entry.task, (str(error),))
            except EpisodeFailure as error:
                found = Gated(entry.task, (f"no verdict: {error.message}",))
            if out is not None:
                with lock:
                    _append(out, key, found)
        told(found)
        return found

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, entries))


def tally(results: Iterable[Gated]) -> dict[str, Tally]:
    """Count, by agent and cheat."""
    made: dict[str, Tally] = {}
    for result in results:
        for name, verdict in result.verdicts.items():
            here = made.setdefault(name, Tally())
            if verdict is None:
                here.none += 1
                continue
            here.verdicts += 1
            here.passed += verdict.passed
            here.tamper.update(verdict.tamper)
    return made


def _digest(task: object) -> str:
    return hashlib.sha256(repr(task).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _append(out: Path, key: tuple[str, str, str], found: Gated) -> None:
    """Write what came of a task. The verdict on each single test is left out."""
    verdicts = {
        name: verdict
        and {"passed": verdict.passed, "reason": verdict.reason, "tamper": verdict.tamper}
        for name, verdict in found.verdicts.items()
    }
    task, digest, agent = key
    line: dict[str, object] = {"task": task, "digest": digest, "agent": agent}
    line |= {"problems": found.problems, "verdicts": verdicts}
    line |= {"unread": found.unread, "hidden": found.hidden}
    try:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}") from None


def _read(out: Path) -> dict[tuple[str, str, str], Gated]:
    """Return what is done. A line that was torn, as by a kill, is owed again.

    Raises:
        UserError: it cannot be read, or is another file.
    """
    known: dict[tuple[str, str, str], Gated] = {}
    try:
        lines = out.read_bytes().split(b"\n") if out.exists() else [b""]
        if lines[-1]:  # torn
            out.write_bytes(b"\n".join([*lines[:-1], b""]))
        for line in lines[:-1]:
            said = json.loads(line)
            verdicts = {
                name: verdict
                and Verdict(verdict["passed"], verdict["reason"], tuple(verdict["tamper"]))
                for name, verdict in said["verdicts"].items()
            }
            key = (said["task"], said["digest"], said["agent"])
            unread, hidden = tuple(said["unread"]), tuple(said["hidden"])
            problems = tuple(said["problems"])
            known[key] = Gated(said["task"], problems, verdicts, unread, hidden)
    except OSError as error:
        raise UserError(f"{out} cannot be used: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{out} has lines that `agentgym bench` did not write") from None
    return known
