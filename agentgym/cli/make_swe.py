"""`agentgym make-swe`: software-engineering tasks out of a repository with tests."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def command(
    repository: Annotated[
        Path | None, typer.Argument(metavar="REPO", help="The folder of the repository.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file of tasks; with --mini a folder."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Tasks at most.")] = 20,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of which faults are tried.")] = 0,
    sandbox: Annotated[
        str, typer.Option(metavar="KIND", help="Where tests run: auto, bwrap or docker.")
    ] = "auto",
    image: Annotated[
        str, typer.Option(metavar="NAME", help="A Docker image with what the tests need.")
    ] = "",
    mini: Annotated[
        bool, typer.Option("--mini", help="Build the suite swe-mini instead; downloads packages.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Packages at once, with --mini.")
    ] = 2,
) -> None:
    """Make tasks out of a Python repository with tests.

    A small fault is put into the code. It makes a task if tests fail with it and pass without,
     three times each, in a sandbox. FILE gets one row per task in the form of SWE-bench; an
     archive of the repository is written beside it.
    """
    from agentgym.errors import UserError

    if mini:
        if repository is not None:
            raise UserError(f"--mini has repositories of its own; leave out {str(repository)!r}")
        _mini(out, seed, workers)
    elif repository is None:
        raise UserError("say which repository: agentgym make-swe FOLDER")
    else:
        _repository(repository, out, limit, seed, sandbox, image)


def _repository(
    repository: Path, out: Path | None, limit: int, seed: int, sandbox: str, image: str
) -> None:
    from agentgym.cli.common import progress_bar, seconds, show
    from agentgym.errors import UserError
    from agentgym.swe.make import make_file, read_folder

    name = repository.resolve().name
    out = out or Path(f"{name}.jsonl")
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {str(out.parent)!r} for {out.name}")
    tree = read_folder(repository)
    with progress_bar("tasks", limit) as advance:

        def told(kind: str, why: str) -> None:
            if kind == "task":
                advance()

        made = make_file(
            tree, name, out, limit=limit, seed=seed, sandbox=sandbox, image=image, told=told
        )
    base = made.baseline
    show(f"{len(base.passing)} tests pass in the repository as it is, in {seconds(base.seconds)}.")
    show(f"Wrote {len(made.tasks)} tasks to {out}; {made.tried} faults were tried.")
    _rejected(made.rejected)


def _mini(out: Path | None, seed: int, workers: int) -> None:
    from agentgym.cli.common import grid, progress_bar, show
    from agentgym.swe.mini import FUNCTIONS, PACKAGES, PER_PACKAGE, build

    with progress_bar("tasks", PER_PACKAGE * len(PACKAGES)) as advance:

        def told(package: str, kind: str, why: str) -> None:
            if kind == "task":
                advance()

        made = build(out, seed=seed, workers=workers, told=told)
    show(f"Wrote {sum(made.tasks.values())} tasks of {len(made.tasks)} packages to {made.file}:")
    show(grid([(name, count) for name, count in made.tasks.items()]))
    _rejected(made.rejected)
    show(f"Its {FUNCTIONS} functions need no file. Try all: agentgym bench swe-mini", style="dim")


def _rejected(rejected: Counter[str]) -> None:
    from agentgym.cli.common import grid, show

    if rejected:
        show("Faults that made no task:")
        show(grid([(count, why) for why, count in rejected.most_common()]))
