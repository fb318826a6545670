"""`agentgym fetch`: gets what an environment plays with and the package does not hold."""

from pathlib import Path
from typing import Annotated

import typer

KNOWN = ("bfcl", "images")


def command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Of what: bfcl; images, those of a file of tasks."),
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to (bfcl), instead of the cache folder."),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows of software-engineering tasks (images)."),
    ] = None,
) -> None:
    """Get the data that an environment needs.

    Does nothing where they are there already.
    """
    from agentgym.cli.common import show, waiting
    from agentgym.errors import UnknownName, UserError

    if name not in KNOWN:
        raise UnknownName("environment with data to fetch", name, KNOWN)
    if (name == "images") != (tasks is not None):
        raise UserError(
            "--tasks names the file whose images are fetched: fetch images --tasks FILE"
        )
    if tasks is not None:
        _images(tasks)
        return
    from agentgym.envs.bfcl.fetch import fetch

    with waiting(f"getting {name}"):
        folder = fetch(to)
    show(f"{name} is in {folder}")


def _images(tasks: Path) -> None:
    """Pull the images of rows that have no archive; one that cannot be had stops it."""
    from agentgym.cli.common import progress_bar, show
    from agentgym.swe.rows import read_tasks
    from agentgym.tools.sandbox import choose

    choose("docker")
    from agentgym.tools.sandbox.docker import lacking, pull

    names = {task.image for task in read_tasks(tasks) if task.image and not task.source}
    missing = lacking(sorted(names))
    with progress_bar("images", len(missing)) as advance:
        for image in missing:
            pull(image)
            advance()
    show(f"{len(names)} images are on this machine, {len(missing)} of them new")
