"""`agentgym replay`: play the recorded episodes of a run again."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, or a trajectory log.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Play every episode again and compare every step.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many episodes.")
    ] = None,
) -> None:
    """Read the episodes of a run, or play them again.

    With --verify every step is compared with the record. Exit code 1 if a record
    is damaged or says something else than its environment does.
    """
    from agentgym.cli.common import grid, show
    from agentgym.records import replay

    report = replay(run, verify=verify, limit=limit)
    rows = [("episodes read", f"{report.episodes:,}")]
    if verify:
        rows += [("played again, all equal", f"{report.checked:,} ({report.steps:,} steps)")]
        rows += [(f"skipped ({n:,})", reason) for reason, n in report.skipped.items()]
    show(grid(rows))
    for damage in report.damaged:
        show(f"damaged record: {damage}", style="red")
    for mismatch in report.mismatches:
        show(f"differs: {mismatch}", style="red")
    if not report.ok:
        raise typer.Exit(1)
    if not verify:
        show("all records are intact; --verify plays them again", style="green")
    elif report.checked:
        rest = " of these" if report.checked < report.episodes else ""
        show(f"every state key, observation and reward{rest} is confirmed", style="green")
    else:
        show("nothing could be played again, so nothing is confirmed", style="yellow")
        raise typer.Exit(1)
