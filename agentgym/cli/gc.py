"""`agentgym gc`: remove what processes that are gone left behind."""

import importlib.util
from typing import Annotated

import typer


def command(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove sandboxes that killed runs left behind.

    Containers with this program's label whose process is gone or whose time is up, at the engine
    that DOCKER_HOST names. Nothing else is touched.
    """
    from agentgym.cli.common import show

    if importlib.util.find_spec("docker") is None:
        show("no containers: the extra swe is not installed")
        return
    from agentgym.tools.sandbox.docker import connect, sweep

    names = sweep(connect(), dry_run=dry_run)
    for name in names:
        show(f"{'would remove' if dry_run else 'removed'} {name}")
    if not names:
        show("nothing is left behind")
