"""`agentgym fetch`: gets what an environment plays with and the package does not hold."""

from pathlib import Path
from typing import Annotated

import typer

KNOWN = ("bfcl",)


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of what: bfcl.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to, instead of the cache folder.")
    ] = None,
) -> None:
    """Get the data that an environment needs.

    Does nothing where they are there already.
    """
    from agentgym.cli.common import show, waiting
    from agentgym.envs.bfcl.fetch import fetch
    from agentgym.errors import UnknownName

    if name not in KNOWN:
        raise UnknownName("environment with data to fetch", name, KNOWN)
    with waiting(f"getting {name}"):
        folder = fetch(to)
    show(f"{name} is in {folder}")
