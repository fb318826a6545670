"""Many episodes with a progress bar, their record, and the table at the end."""

import functools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.config import Section
from agentgym.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentgym.cli.players import Player
    from agentgym.records import RunFolder
    from agentgym.rollout import Task
    from agentgym.types import Trajectory

RETRIES = 2

DRIVERS = ("lockstep", "threaded")


class RolloutRecord(Section):
    """What a rollout was, as its run folder keeps it."""

    agent: str
    """Who played."""
    env: str
    """The environment."""
    options: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    """Its options."""
    episodes: int
    """Number of episodes, one per seed."""
    seed: int
    """Root of the samples' seeds."""
    first_seed: int
    """Of the environment: the first."""
    temperature: float = 1.0
    """Of a model."""


def play_episodes(
    player: "Player",
    tasks: "Sequence[Task]",
    *,
    seed: int,
    driver: str = "lockstep",
    width: int = 256,
    run: "RunFolder | None" = None,
    phase: str = "rollout",
) -> "tuple[list[Trajectory], float]":
    """Play every task once; return the episodes and the seconds it took.

    Episodes that failed are in the result, with `valid` False; how many is for the caller to judge.
    """
    from agentgym.cli.common import printable, progress_bar, show
    from agentgym.rollout import collect, run_lockstep, run_threaded

    if driver not in DRIVERS:
        raise ConfigError(f"--driver must be lockstep or threaded, got {driver!r}")
    drive: Any = run_lockstep if driver == "lockstep" else run_threaded
    began = time.monotonic()
    with progress_bar("episodes", len(tasks)) as advance:

        def note(episode: "Trajectory") -> None:
            over = episode.valid or episode.attempt == RETRIES
            if run is not None:
                from agentgym.rollout import Task

                task = Task(episode.env, episode.env_options, episode.seed)
                run.log.append(episode, step=0, task=task.key, phase=phase if over else "retried")
            if over:
                advance()

        if driver == "lockstep":
            drive = functools.partial(drive, width=width)
        groups = collect(
            tasks,
            1,
            player.agent,
            player.backend,
            seed=seed,
            limits=player.limits,
            driver=drive,
            retries=RETRIES,
            max_failure_rate=1.0,
            on_episode=note,
            on_pause=lambda reason, s: show(f"{printable(reason)}; trying again in {s:.0f} s"),
        )
    return [t for group in groups for t in group.trajectories_G], time.monotonic() - began


def table(
    episodes: "Sequence[Trajectory]", elapsed_s: float, facts: Mapping[str, str]
) -> "RenderableType":
    """Return what came of episodes, for people."""
    from rich.text import Text

    from agentgym.cli.common import grid, percent, printable, seconds
    from agentgym.statistics import wilson

    valid = [t for t in episodes if t.valid]
    judged = [t for t in valid if t.success is not None]
    wins = sum(t.success is True for t in valid)
    turns = sum(len(t.turns) for t in episodes)
    count = max(1, len(valid))
    low, high = wilson(wins, len(valid))
    rows: list[tuple[object, object]] = list(facts.items())
    if valid:
        rate = Text(percent(wins / count), style="bold")
        rate.append(f"  [{percent(low)}, {percent(high)}] 95 %", style="not bold")
        if not judged:
            rate.append("  (no episode had a verdict)", style="dim not bold")
        rows += [
            ("success", rate),
            ("mean return", f"{sum(t.episode_return for t in valid) / count:.3g}"),
            ("mean turns", f"{sum(len(t.turns) for t in valid) / count:.1f}"),
        ]
    known = [turn.action_valid for t in valid for turn in t.turns if turn.action_valid is not None]
    if known:
        rows.append(("valid actions", percent(sum(known) / len(known))))
    rows.append(("ended", _counts(dict(Counter(t.stop.value for t in episodes).most_common()))))
    tokens = sum(len(call.sample_ids) for t in episodes for turn in t.turns for call in turn.calls)
    speed = f"{turns / max(elapsed_s, 1e-9):,.0f} steps/s"
    if tokens:
        speed += f", {tokens / max(elapsed_s, 1e-9):,.0f} tokens/s"
    rows.append(("took", f"{seconds(elapsed_s)}, {speed}"))
    failures = Counter[str](t.failure.boundary for t in episodes if t.failure is not None)
    if failures:
        rows.append(("failed", Text(_counts(failures), style="red")))
        rows += [("", Text(printable(reason), style="red")) for reason in _reasons(episodes)]
    return grid(rows, styles=("dim", ""))


def open_record(out: Path, record: RolloutRecord) -> "RunFolder":
    """Make the run folder of a rollout.

    Raises:
        RunFolderError: the folder exists and is not empty.
    """
    from agentgym.config import dump_toml
    from agentgym.records import RunFolder

    return RunFolder.create(
        out, dump_toml(record), record.seed, envs=[record.env], tensorboard=False
    )


def _counts(counter: "Mapping[str, int]") -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counter.items())


def _reasons(episodes: "Sequence[Trajectory]") -> list[str]:
    """Return the three commonest reasons of failures."""
    reasons = Counter(
        f"{t.failure.error}: {t.failure.message}" for t in episodes if t.failure is not None
    )
    return [f"{n:,} x {reason}" for reason, n in reasons.most_common(3)]
