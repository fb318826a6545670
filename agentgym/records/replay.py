"""Replay: play the recorded actions again and compare what comes of them with the record."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.env import TextEnv, make
from agentgym.errors import AgentGymError, RunFolderError
from agentgym.records.codec import encode, to_bytes
from agentgym.records.folder import in_use
from agentgym.records.log import LOG, TORN, Damage, Episode, episodes
from agentgym.types import JSON, Observation, Stop, Trajectory


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a record says something else than its environment does."""

    episode: str  #: which one, as `Episode.id`
    turn: int  #: from 0; the number of turns for what follows the last one
    field: str  #: of the turn or the trajectory
    recorded: object
    replayed: object

    def __str__(self) -> str:
        return (
            f"{self.episode}, turn {self.turn}: {self.field} was recorded as "
            f"{self.recorded!r:.300}, but is {self.replayed!r:.300}"
        )


@dataclass(slots=True)
class Report:
    """What a replay found."""

    episodes: int = 0  #: read from the log
    checked: int = 0  #: of these, played again and equal in everything
    steps: int = 0  #: actions taken
    skipped: Counter[str] = field(default_factory=Counter)  #: reason -> episodes
    damaged: list[Damage] = field(default_factory=list)  #: lines that cannot be read
    mismatches: list[Mismatch] = field(default_factory=list)  #: at most one per episode

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged and nothing differs."""
        return not self.damaged and not self.mismatches


def replay(
    run: Path | str,
    *,
    verify: bool = True,
    limit: int | None = None,
    on_progress: Callable[[Report], None] | None = None,
) -> Report:
    """Check the episodes of a run against their environments.

    Every episode that no rewind took back is played again with its recorded actions, from
    `reset(seed)`, and compared turn by turn: observation, state key, reward and its parts, validity
    of the action, and how it ended. Skipped, with the reason: environments that are not
    deterministic ("exact"), of another version or not installed, and episodes that failed.

    Args:
        run: the run's folder, or a trajectory log.
        verify: without it the log is read and its checksums are checked, but nothing is played.
        limit: stop after so many episodes.
        on_progress: told after every episode.

    Raises:
        RunFolderError: there is no trajectory log.
    """
    path = Path(run)
    path = path / LOG if path.is_dir() else path
    if not path.is_file():
        raise RunFolderError(f"{run} is not a run: there is no {LOG}")
    report = Report()
    environments: dict[bytes, TextEnv | str] = {}
    try:
        for episode in episodes(path, on_damage=report.damaged.append):
            if limit is not None and report.episodes >= limit:
                break
            report.episodes += 1
            if verify:
                _check(episode, environments, report)
            if on_progress:
                on_progress(report)
        if in_use(path.parent):
            report.damaged = [each for each in report.damaged if each.reason != TORN]
    finally:
        for env in environments.values():
            if isinstance(env, TextEnv):
                env.close()
    return report


def _check(episode: Episode, environments: dict[bytes, TextEnv | str], report: Report) -> None:
    trajectory = episode.trajectory
    if not trajectory.valid:
        report.skipped["it failed while it was recorded"] += 1
        return
    key = to_bytes({"env": trajectory.env, "options": trajectory.env_options})
    if key not in environments:
        environments[key] = _environment(trajectory.env, trajectory.env_options)
    env = environments[key]
    if isinstance(env, TextEnv) and env.version != trajectory.env_version:
        env = f"{trajectory.env} is at version {env.version}, not {trajectory.env_version}"
    if isinstance(env, str):
        report.skipped[env] += 1
        return
    for turn, name, recorded, replayed in _compared(trajectory, env, report):
        if recorded != replayed:
            mismatch = Mismatch(episode.id, turn, name, recorded, replayed)
            report.mismatches.append(mismatch)
            environments.pop(key).close()  # type: ignore[union-attr]  # it is a TextEnv here
            return
    report.checked += 1


def _environment(name: str, options: Mapping[str, JSON]) -> TextEnv | str:
    """Make an environment, or return why its episodes cannot be replayed."""
    try:
        env = make(name, **options)  # type: ignore[arg-type]  # "preset" may be among the options
    except Exception as error:  # a missing game, a missing extra, ...
        return (
            str(error) if isinstance(error, AgentGymError) else f"{type(error).__name__}: {error}"
        )
    if env.determinism != "exact":
        env.close()
        return f"{name} is not deterministic ({env.determinism})"
    return env


Comparison = tuple[int, str, object, object]
"""Turn, field, recorded, replayed."""


def _compared(trajectory: Trajectory, env: TextEnv, report: Report) -> Iterator[Comparison]:
    """Play a trajectory again; whoever reads this stops at the first difference."""
    failure: str | None = None
    number = 0
    try:
        text, info = env.reset(seed=trajectory.seed)
        over, success = "", None
        for number, turn in enumerate(trajectory.turns):
            yield number, "stop", "", over
            yield from _seen(number, "observation", turn.observation, text, info)
            yield number, "state_key", turn.state_key, env.state_key()
            text, reward, terminated, truncated, info = env.step(turn.action)
            report.steps += 1
            over = "terminated" if terminated else "truncated" if truncated else ""
            success = info["success"]
            yield number, "reward", turn.reward, reward
            if turn.action_valid is not False:  # False also for an answer without a proper action
                yield number, "action_valid", turn.action_valid, info.get("action_valid")
            yield number, "reward_parts", dict(turn.reward_parts), info.get("reward_parts") or {}
        number = len(trajectory.turns)
        yield from _seen(number, "final_observation", trajectory.final_observation, text, info)
        yield number, "final_state_key", trajectory.final_state_key, env.state_key()
        yield number, "success", trajectory.success, success
        stop = trajectory.stop
        if over == "terminated" or stop is Stop.DONE:
            yield number, "stop", stop.value, Stop.DONE.value if over == "terminated" else over
        elif over == "truncated":
            yield number, "stop", stop.value, Stop.MAX_TURNS.value
    except Exception as error:  # whatever the environment raises is a difference
        failure = f"{type(error).__name__}: {error}"
    if failure is not None:
        yield number, "exception", None, failure


def _seen(
    turn: int, name: str, recorded: Observation, text: str, info: Mapping[str, Any]
) -> Iterator[Comparison]:
    yield turn, name, recorded.text, text
    again = Observation(text, tuple(info.get("messages", ())))
    if recorded.messages or again.messages:
        yield turn, f"{name}.messages", encode(recorded), encode(again)
