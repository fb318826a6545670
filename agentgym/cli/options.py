"""Arguments and options that several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

AGENTS = (
    "gold, expert, random, noop, or a model: the folder of a run or a policy, a hub name, "
    "openai:ADDRESS#MODEL."
)

EnvName = Annotated[
    str, typer.Argument(metavar="ENV", help="A name, my_pkg.my_game:MyGame, or my_game.py.")
]

Preset = Annotated[
    str | None, typer.Option(metavar="NAME", help="A preset of the environment, such as a size.")
]

EnvOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="An option of the environment; may be repeated."
    ),
]

Temperature = Annotated[
    float, typer.Option(min=0, metavar="T", help="Of a model; 0 takes the most probable token.")
]

MaxTokens = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Most tokens of a model's reply.")
]

Threads = Annotated[
    int, typer.Option(min=1, metavar="N", help="Of a model on the CPU; at most the idle cores.")
]

Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Record the episodes in this new folder.")
]
