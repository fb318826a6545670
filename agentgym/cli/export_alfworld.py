"""`agentgym export-alfworld`: household worlds as games for the real engine."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the games are written.")],
    size: Annotated[str, typer.Option(metavar="SIZE", help="tiny, small or full.")] = "full",
    split: Annotated[
        str,
        typer.Option(metavar="SPLIT", help="train, valid_seen, valid_unseen or all."),
    ] = "train",
    task: Annotated[
        str, typer.Option(metavar="TYPE", help="One of ALFWorld's six task types, or any.")
    ] = "any",
    n: Annotated[int, typer.Option("--n", "-n", min=1, metavar="N", help="Worlds per split.")] = 10,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the first world.")] = 0,
) -> None:
    """Write household worlds as ALFWorld games.

    The games (.tw-pddl) are laid out as in its data set. Needs the extra alfworld. Worlds
     that exist already are written again.
    """
    from agentgym.cli.common import show
    from agentgym.envs.household.export import export_games
    from agentgym.envs.household.generate import SPLITS

    written = 0
    for one in SPLITS if split == "all" else [split]:
        paths = export_games(folder, size=size, split=one, task=task, seeds=range(seed, seed + n))
        written += len(paths)
    show(f"Wrote {written} games below {folder}.")
    show(f"Play one: agentgym play alfworld --option games={folder}", style="dim")
