"""The gate: a task is good if the right solution passes, and nothing and no cheat does (V22).

Nor may the right solution lie in the sandbox already (V18): see `scan`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agentgym.errors import EpisodeFailure, UnknownName
from agentgym.swe.cheats import FUNCTION_CHEATS, REPOSITORY_CHEATS, function_cheat
from agentgym.swe.grade_function import FunctionGrader
from agentgym.swe.grade_repository import RepositoryGrader
from agentgym.swe.mutate import mutants
from agentgym.swe.scan import scan
from agentgym.swe.trees import File
from agentgym.swe.verdict import Verdict

__all__ = ["AGENTS", "Gated", "attempt", "gate"]

AGENTS: Final = ("oracle", "noop", "cheats", "random", "all")
"""Scripted agents: the right solution, nothing, cheats, a change at random; all but the last."""


@dataclass(frozen=True, slots=True)
class Gated:
    """What came of one task.

    Attributes:
        task: its id. problems: why it is not to be used; none: it is good.
        verdicts: by agent: "oracle", "noop", and the names of cheats; None: there was no verdict.
        unread: what the search for the fix did not look into, and why.
        hidden: where it was, outside of the repository: its sandboxes do not show it.
    """

    task: str
    problems: tuple[str, ...]
    verdicts: Mapping[str, Verdict | None] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


def gate(grader: FunctionGrader | RepositoryGrader, agents: str = "all") -> Gated:
    """Try the right solution, nothing, and all cheats on a task.

    With the right solution of a repository, its sandbox is searched for copies of that. A honeypot
    must be passed by none of them (V25).

    Args:
        grader: of the task. agents: one of `AGENTS`.

    Raises:
        UnknownName: no such agent.
        ConfigError: there is no sandbox on this machine, or no pytest.
    """
    key = (
        grader.task.key
        if isinstance(grader, FunctionGrader)
        else grader.repository.task.instance_id
    )
    if agents not in AGENTS:
        raise UnknownName("scripted agent", agents, AGENTS)
    cheats = [*_cheats(grader)]
    if agents in ("cheats", "all") and isinstance(grader, RepositoryGrader):
        try:
            grader.control()  # what hangs is then ended sooner
        except EpisodeFailure as error:
            return Gated(key, (f"oracle: {error.message}",))
    names = {"cheats": cheats, "all": ["oracle", "noop", *cheats]}.get(agents, [agents])
    verdicts: dict[str, Verdict | None] = {}
    found: list[str] = []
    unread: tuple[str, ...] = ()
    if agents in ("oracle", "all") and isinstance(grader, RepositoryGrader):
        try:
            searched = scan(grader.repository, grader.sandbox, grader.image)
            unread = searched.unread
            found += [f"the fix is in the sandbox: {each}" for each in searched.found]
        except EpisodeFailure as error:
            found.append(error.message)
    for name in names:
        try:
            verdict = verdicts[name] = attempt(grader, name)
        except EpisodeFailure as error:
            verdicts[name] = None
            found.append(f"{name}: no verdict: {error.message}")
            continue
        if grader.honeypot:
            found += [f"{name}: passes a task that nothing can pass"] if verdict.passed else []
            continue
        if name == "oracle" and not verdict.passed:
            found.append(f"oracle: {verdict.reason}")
        if name not in ("oracle", "random") and verdict.passed:  # chance may repair
            found.append(f"{name}: passes")
    hidden = grader.repository.hidden if isinstance(grader, RepositoryGrader) else ()
    return Gated(key, tuple(found), verdicts, unread, hidden)


def attempt(grader: FunctionGrader | RepositoryGrader, name: str) -> Verdict:
    """Judge what "oracle", "noop", "random" or a cheat hands in. Raises as the grader."""
    if isinstance(grader, FunctionGrader):
        task = grader.task
        sources = {"oracle": task.fixed, "noop": task.source, "random": _mutated(task.source)}
        return grader.grade(sources[name] if name in sources else function_cheat(name, task))
    here = grader.repository
    if name == "random":
        path = next((path for path in sorted(here.gold) if path in here.tree), "")
        text = here.tree[path].text() if path else None
        return grader.grade({path: File(_mutated(text).encode())} if text else {})
    changes = {"oracle": here.gold, "noop": {}}
    return grader.grade(changes[name] if name in changes else REPOSITORY_CHEATS[name](here))


def _mutated(source: str) -> str:
    """Return a source with something changed that is as good a guess as any other."""
    try:
        return next((mutant.source for mutant in mutants(source)), source)
    except SyntaxError:
        return source


def _cheats(grader: FunctionGrader | RepositoryGrader) -> Mapping[str, object]:
    return FUNCTION_CHEATS if isinstance(grader, FunctionGrader) else REPOSITORY_CHEATS
