"""`agentgym credit`: what schemes make of a run's episodes, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from agentgym.records import Record
    from agentgym.trainers.config import RewardConfig
    from agentgym.trainers.credit.base import Advantages
    from agentgym.types import Group, Trajectory


WIDTH = 14
"""The longest name of a scheme that may stand over its column."""


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a log.")],
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            "--scheme", "-s", metavar="SCHEME", help="Such as '0.5*gigpo + igpo'; may be repeated."
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="The iteration; else the last.")
    ] = None,
    phase: Annotated[
        str | None, typer.Option(metavar="NAME", help="train, eval, ...; else train, if any.")
    ] = None,
    task: Annotated[str, typer.Option(metavar="TEXT", help="Only tasks with this in the name.")] = (
        ""
    ),
    groups: Annotated[
        int, typer.Option("--groups", "-n", min=0, metavar="N", help="Show at most so many.")
    ] = 1,
    penalty: Annotated[
        float | None, typer.Option(min=0, metavar="X", help="For invalid actions; else the run's.")
    ] = None,
) -> None:
    """Show the advantages of each turn under several schemes.

    Of the groups of one iteration, from the log alone. A turn's number is the mean over
    the tokens that are trained on.
    """
    from agentgym.cli.common import show, title
    from agentgym.trainers.credit.base import require
    from agentgym.trainers.credit.combine import make_scheme
    from agentgym.trainers.prepare import shape_rewards

    names = scheme or ["grpo", "gigpo"]
    schemes = [make_scheme(name, where=f"--scheme {name}") for name in names]
    found, shown_step, shown_phase = _groups(run, step, phase, task)
    for one in schemes:
        require(one, _provided(found), source=f"the log of {run}")
    rewards = _rewards_of(run, penalty)
    rewarded = [shape_rewards(group, rewards) for group in found]
    answers = [[one(group) for group in rewarded] for one in schemes]

    members = sum(len(group.trajectories_G) for group in found)
    coef = rewards.invalid_action_penalty
    how = f", {coef:g} off for invalid actions" if coef else ""
    if rewards.parts:
        how += ", parts " + " ".join(f"{name} x {x:g}" for name, x in rewards.parts.items())
    show(title(f"{shown_phase} step {shown_step}: {len(found)} groups, {members} episodes{how}"))
    heads = [name if len(name) <= WIDTH else f"#{i}" for i, name in enumerate(names, 1)]
    show(_summary(names, heads, answers))
    # Groups in which some scheme sees something are worth more to look at.
    order = sorted(
        range(len(found)),
        key=lambda g: all(answer[g].report.zero_signal_groups for answer in answers),
    )
    for g in order[:groups]:
        show("", title(_heading(rewarded[g])), _turns(rewarded[g], heads, [a[g] for a in answers]))
    if groups < len(found):
        show(f"{len(found) - groups} more groups: --groups {len(found)}", style="dim")


def _groups(
    run: Path, step: int | None, phase: str | None, task: str
) -> "tuple[list[Group], int, str]":
    """Return the groups of one iteration and phase, in the order of the log."""
    from agentgym.errors import RunFolderError, UnknownName, UserError
    from agentgym.records import records
    from agentgym.records.log import LOG, to_episode
    from agentgym.types import Group

    if not (run / LOG).is_file() and not run.is_file():
        raise RunFolderError(f"{run} is not a run: there is no {LOG}")
    kept: dict[str, list[Record]] = {}
    last: dict[str, int] = {}
    for record in records(run, on_damage=lambda _: None):
        if record.type != "trajectory":
            continue
        name, at = str(record.data["phase"]), int(record.data["step"])
        last[name] = max(last.get(name, at), at)
        if phase in (None, name) and (at == step if step is not None else at == last[name]):
            if step is None and kept.get(name) and kept[name][0].data["step"] < at:
                kept[name] = []  # an iteration after that one
            kept.setdefault(name, []).append(record)
    if phase is not None and phase not in last:
        raise UnknownName(f"phase in {run}", phase, last)
    if not kept:
        there = ", ".join(f"{name} up to step {at}" for name, at in last.items())
        what = f"episodes of step {step}; it has {there}" if there else "episodes yet"
        raise UserError(f"{run} has no {what}")
    wanted = phase or ("train" if "train" in kept else next(iter(kept)))
    members: dict[str, list[Trajectory]] = {}
    for record in kept[wanted]:
        if task in record.data["task"]:
            episode = to_episode(record)
            members.setdefault(episode.task, []).append(episode.trajectory)
    if not members:
        raise UserError(
            f"no task of {wanted} step {kept[wanted][0].data['step']} has {task!r} in its name, "
            f"such as {kept[wanted][0].data['task']!r}"
        )
    found = [Group(name, tuple(each)) for name, each in members.items()]
    return found, int(kept[wanted][0].data["step"]), wanted


def _provided(groups: "Sequence[Group]") -> set[str]:
    """Return what episodes hold beyond rewards, in the words of `NEEDS`."""
    trajectories = [t for group in groups for t in group.trajectories_G if t.valid]
    turns = [turn for t in trajectories for turn in t.turns]
    found = {"turn_reward"} | {name for t in trajectories for name in t.notes}
    if any(turn.state_key is not None for turn in turns):
        found.add("state_key")
    if any(turn.action_valid is not None for turn in turns):
        found.add("action_valid")
    if any("criteria" in turn.facts for turn in turns):
        found.add("checklist")
    return found


def _rewards_of(run: Path, penalty: float | None) -> "RewardConfig":
    """Return what a training run makes of rewards, as far as episodes alone can tell.

    The economy of tool calls depends on earlier iterations, and the KL penalty on a model.
    """
    import tomllib

    from agentgym.records.folder import CONFIG
    from agentgym.trainers.config import RewardConfig

    path = run / CONFIG
    said: Any = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    own = RewardConfig.model_validate(said.get("reward", {}))
    coef = own.invalid_action_penalty if penalty is None else penalty
    return RewardConfig(parts=own.parts, invalid_action_penalty=coef)


def _summary(
    names: Sequence[str], heads: Sequence[str], answers: "Sequence[Sequence[Advantages]]"
) -> Any:
    """Return a row per scheme; long names have a number that stands for them further down."""
    from agentgym.cli.common import grid, percent
    from agentgym.trainers.credit.base import total

    rows: list[tuple[str, ...]] = [("without signal", "alone in their state", "")]
    for name, head, answer in zip(names, heads, answers, strict=True):
        report = total(answer)
        alone = report.metrics().get("credit/singleton_anchor_turns")
        silent = f"{report.zero_signal_groups} of {report.groups} groups"
        apart = "" if alone is None else f"{percent(alone)} of turns"
        rows.append((silent, apart, name if name == head else f"{head} {name}"))
    return grid(rows, styles=("", "", "cyan"))


def _heading(group: "Group") -> str:
    from agentgym.cli.common import printable

    returns = ", ".join(
        f"{t.episode_return:g}" if t.valid else "failed" for t in group.trajectories_G
    )
    return f"{printable(group.task)}: returns {returns}"


def _turns(group: "Group", heads: Sequence[str], answers: "Sequence[Advantages]") -> "Table":
    """Return a row per turn: who, what was done, what it brought, and a number per scheme."""
    from rich.table import Table
    from rich.text import Text

    from agentgym.cli.common import console, printable

    widths = [max(8, len(head)) for head in heads]
    room = console().width - 2 - sum(width + 2 for width in (6, 7, *widths))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("turn", style="dim", no_wrap=True, width=6)
    table.add_column("action", no_wrap=True, overflow="ellipsis", width=max(8, room))
    table.add_column("reward", justify="right", no_wrap=True, width=7)
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, justify="right", style="cyan", no_wrap=True, width=width)
    for g, trajectory in enumerate(group.trajectories_G):
        if not trajectory.valid:
            table.add_row(str(g), Text(f"({trajectory.stop}: it enters nothing)", style="red"))
        for k, turn in enumerate(trajectory.turns if trajectory.valid else ()):
            action = " ".join(printable(turn.action).split()) or "(nothing)"
            style = "yellow" if turn.action_valid is False else ""
            values = [_mean(trajectory, answer, g, k) for answer in answers]
            table.add_row(f"{g}.{k}", Text(action, style=style), f"{turn.reward:.4g}", *values)
    return table


def _mean(trajectory: "Trajectory", answer: "Advantages", g: int, k: int) -> str:
    """Return the mean advantage over the trained tokens of a turn, as text."""
    values = [
        float(value)
        for call, values_T in zip(trajectory.turns[k].calls, answer[g][k], strict=True)
        if call.trainable
        for value in values_T
    ]
    return f"{sum(values) / len(values) + 0.0:+.3f}" if values else "-"
