"""`agentgym fsck`: whether a run's folder is whole."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
) -> None:
    """Check every checksum of a run.

    Of its trajectory log and its checkpoints. Exit code 1 if something is damaged.
    Nothing is changed.
    """
    from agentgym.cli.common import grid, show
    from agentgym.errors import RecordError
    from agentgym.records import summary
    from agentgym.records.checkpoint import verified
    from agentgym.records.folder import CHECKPOINTS

    found = summary(run)
    bad = [f"log: {damage}" for damage in found.damaged]
    whole = []
    for step in found.steps:
        [folder] = [p for p in (run / CHECKPOINTS).iterdir() if p.name == f"step_{step}"]
        try:
            whole.append(verified(folder).step)
        except RecordError as error:
            bad.append(f"checkpoint: {error}")
    episodes = sum(phase.episodes for phase in found.phases.values())
    show(
        grid(
            [
                ("episodes", f"{episodes:,} ({found.superseded:,} more were superseded)"),
                ("sessions", str(found.sessions)),
                ("whole checkpoints", ", ".join(map(str, whole)) or "none"),
                ("in use", "yes" if found.in_use else "no"),
            ]
        )
    )
    for problem in bad:
        show(problem, style="red")
    if bad:
        raise typer.Exit(1)
    show("everything is whole", style="green")
