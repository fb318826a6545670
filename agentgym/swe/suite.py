"""A suite of tasks, and scripted agents that go through it: what works, what is bad, who got away.

Functions are made when they are asked for; repositories are those of a file of rows. No model
takes part: these agents show whether the tasks and their graders can be trusted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentgym.errors import ConfigError, EpisodeFailure, UserError
from agentgym.swe.gate import AGENTS, Gated, gate
from agentgym.swe.grade_function import FunctionGrader
from agentgym.swe.grade_repository import RepositoryGrader, lay_out
from agentgym.swe.mini import ROWS, folder_of_mini, mini_functions
from agentgym.swe.rows import read_tasks

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
    """One task: its id, and what makes its grader once somebody works at it."""

    task: str
    grader: Callable[[], FunctionGrader | RepositoryGrader]


@dataclass(slots=True)
class Tally:
    """What came of a suite.

    Attributes:
        verdicts: how many there were. passed: of those. none: attempts without a verdict.
        tamper: how often each sign of tampering was seen. quarantined: why a task is bad, by id.
    """

    verdicts: int = 0
    passed: int = 0
    none: int = 0
    tamper: Counter[str] = field(default_factory=Counter)
    quarantined: dict[str, tuple[str, ...]] = field(default_factory=dict)


def functions(*, sandbox: str = "auto") -> Iterator[Entry]:
    """Yield the functions of swe-mini."""
    for task in mini_functions():
        grader = FunctionGrader(task, sandbox, FUNCTION_S)
        yield Entry(task.key, lambda grader=grader: grader)  # type: ignore[misc]


def repositories(
    path: Path | None = None, *, sandbox: str = "auto", image: str = ""
) -> Iterator[Entry]:
    """Yield the tasks of a file of rows, by default those of swe-mini.

    Raises:
        ConfigError: there is no such file, or it is malformed. UserError: swe-mini is not built.
    """
    if path is None:
        path = folder_of_mini() / ROWS
        if not path.is_file():
            raise UserError(
                f"the repositories of swe-mini are not built ({path}); build them with: "
                "agentgym make-swe --mini, or leave them out with --only functions"
            )
    folder = path.parent
    for task in read_tasks(path):

        def grader(task=task) -> RepositoryGrader:  # type: ignore[no-untyped-def]
            chosen = "" if sandbox == "bwrap" or task.source else image or task.image
            laid = lay_out(task, folder, sandbox, chosen)
            return RepositoryGrader(laid, sandbox, chosen, REPOSITORY_S)

        yield Entry(task.instance_id, grader)


def run_suite(
    entries: Iterable[Entry],
    agent: str,
    *,
    workers: int = 4,
    told: Callable[[Gated], None] = lambda _: None,
) -> list[Gated]:
    """Send a scripted agent through all tasks; the answers come in the order of the tasks.

    Args:
        entries: the tasks. agent: one of `AGENTS`. workers: threads, each with its own sandboxes.
        told: called with what came of a task, from the threads.
    """

    def one(entry: Entry) -> Gated:
        try:
            found = gate(entry.grader(), agent)
        except ConfigError as error:
            found = Gated(entry.task, (str(error),))
        except EpisodeFailure as error:
            found = Gated(entry.task, (f"no verdict: {error.message}",))
        told(found)
        return found

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, entries))


def tally(results: Sequence[Gated]) -> Tally:
    """Count."""
    made = Tally()
    for result in results:
        for verdict in result.verdicts.values():
            if verdict is None:
                made.none += 1
                continue
            made.verdicts += 1
            made.passed += verdict.passed
            made.tamper.update(verdict.tamper)
        if result.problems:
            made.quarantined[result.task] = result.problems
    return made
