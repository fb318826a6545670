"""`agentgym info RUN`: what is in a run's folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgym.records import Phase, Summary


def show_run(run: Path, every: bool) -> None:
    """Show how a run was made, how its success went, and its latest figures.

    Raises:
        RunFolderError: it is no run.
    """
    from agentgym.cli.common import grid, show, title
    from agentgym.records import summary

    found = summary(run)
    show(title(f"run {run}"), grid(_facts(found), styles=("dim", "")))
    if found.phases:
        show("", title("episodes"), grid(_episodes(found), styles=("cyan",)))
    _show_curve(run)
    if every:
        rows = [
            (name, "null" if value is None else f"{value:.4g}", f"step {found.metric_steps[name]}")
            for name, value in sorted(found.last_metrics.items())
        ]
        show("", title("latest metrics"), grid(rows, styles=("cyan", "", "dim")))
    for damage in found.damaged:
        show(f"damaged record: {damage}", style="red")


def _facts(found: "Summary") -> list[tuple[str, str]]:
    facts: dict[str, Any] = dict(found.facts)
    environments = [
        f"{name.removeprefix('environment ')} (version {version})"
        for name, version in facts["versions"].items()
        if name.startswith("environment ")
    ]
    rows = [
        ("environment", ", ".join(environments) or "?"),
        ("made", f"{facts['created']}, seed {facts['seed']}"),
        ("agentgym", f"{facts['versions'].get('agentgym', '?')}, commit {_short(facts['commit'])}"),
        ("sessions", f"{found.sessions}{', in use now' if found.in_use else ''}"),
        ("checkpoints", ", ".join(map(str, found.steps)) or "none"),
    ]
    if found.superseded:
        rows.append(("taken back", f"{found.superseded:,} episodes, by resuming"))
    return rows


def _episodes(found: "Summary") -> list[tuple[str, ...]]:
    heading = ("", "episodes", "success", "return", "turns", "tokens", "failed")
    return [heading, *(_phase_row(name, phase) for name, phase in found.phases.items())]


def _phase_row(name: str, phase: "Phase") -> tuple[str, ...]:
    from agentgym.cli.common import percent

    failed = sum(phase.failures.values())
    counted = max(1, phase.episodes - failed)
    return (
        name,
        f"{phase.episodes:,}",
        percent(phase.successes / counted),
        f"{phase.mean_return:.3g}",
        f"{phase.mean_turns:.1f}",
        f"{phase.sampled_tokens:,}",
        ", ".join(f"{boundary} {n:,}" for boundary, n in phase.failures.items()) or "0",
    )


def _show_curve(run: Path) -> None:
    """Draw held-out success, or success in training where there is none."""
    from rich.text import Text

    from agentgym.cli.common import show, title
    from agentgym.records import read_metrics
    from agentgym.records.metrics import METRICS
    from agentgym.trainers.curve import draw

    rows = list(read_metrics(run / METRICS))
    for prefix, what in (("eval", "success on held-out worlds"), ("train", "success in training")):
        scored = [row for row in rows if row.get(f"{prefix}/success") is not None]
        if not scored:
            continue
        last = scored[-1]
        low, high = last[f"{prefix}/success_low"], last[f"{prefix}/success_high"]
        value = f"{last[f'{prefix}/success']:.1%} [{low:.1%}, {high:.1%}]"
        show("", title(f"{what}, at the end {value}"))
        points = [(float(row["step"]), float(row[f"{prefix}/success"])) for row in scored]
        if len(points) > 1:
            lines = draw(points, width=60, height=8, unit="iteration")
            show(*[Text(f"  {line}") for line in lines])
        return


def _short(commit: object) -> str:
    text = str(commit or "unknown")
    return f"{text[:10]}{' with changes' if text.endswith('+') else ''}"
