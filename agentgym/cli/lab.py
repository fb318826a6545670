"""`agentgym lab`: experiments small enough to know the right answer."""

import datetime
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentgym.trainers.lab.sheet import Settings, Sheet

app = typer.Typer(no_args_is_help=True, help="Small experiments with a known right answer.")


@app.callback()
def _verbs() -> None:
    """Small experiments with a known right answer."""


@app.command()
def credit(
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            "--scheme",
            "-s",
            metavar="SCHEME",
            help="Such as '0.5*gigpo + grpo', 'gae @ reversed' (a wrong critic) or 'gae | token' "
            "(normalised over a batch); may be repeated.",
        ),
    ] = None,
    process: Annotated[
        list[str] | None,
        typer.Option(
            "--process", "-p", metavar="NAME", help="bandit, chain, stop, rooms or farm; else all."
        ),
    ] = None,
    group_size: Annotated[
        int, typer.Option("--group-size", "-g", min=1, metavar="N", help="Episodes of a group.")
    ] = 4,
    batch: Annotated[
        int, typer.Option("--batch", "-b", min=1, metavar="N", help="Groups of a batch.")
    ] = 8,
    groups: Annotated[
        int,
        typer.Option(
            "--groups", "-n", min=100, metavar="N", help="How many to draw where they are drawn."
        ),
    ] = 4000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is drawn.")] = 0,
    write: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="A Markdown page whose tables are to be replaced."),
    ] = None,
) -> None:
    """Bias and noise of credit schemes against exact gradients.

    On decision processes small enough to enumerate. Of the expected estimate:
    bias is how far it is from the exact gradient (0: unbiased), scale how much
    of that is in it, by state where this differs, direction its cosine. noise
    is how many groups to average for noise as long as the signal, cosine that
    of one batch, silent the share of groups without any advantage.
    """
    from agentgym.cli.common import progress_bar, show
    from agentgym.trainers.credit.base import require
    from agentgym.trainers.lab.estimate import Contender, provided
    from agentgym.trainers.lab.processes import PROCESSES, make_process
    from agentgym.trainers.lab.sheet import SCHEMES, Settings, make_sheet, markdown, replaced

    settings = Settings(group_size=group_size, batch_size=batch, groups=groups, seed=seed)
    texts = [_named(text) for text in dict.fromkeys(scheme or SCHEMES)]
    contenders = [Contender.read(text) for text in texts]
    chosen = [make_process(name) for name in dict.fromkeys(process or PROCESSES)]
    for contender in contenders if scheme else ():
        if all(contender.missing(one) for one in chosen):
            names = ", ".join(one.name for one in chosen)
            require(contender.scheme, provided(chosen[0]), source=f"the lab ({names})")
    if write is not None:
        replaced(_page(write), "", str(write))  # a page without the marks is refused at once
    sheets = []
    with progress_bar("schemes", len(contenders) * len(chosen)) as tick:
        for one in chosen:
            sheets.append(make_sheet(one, contenders, settings, tick))
            _print(sheets[-1])
    if write is not None:
        words = _words(scheme or [], process or [], settings, write)
        made = f"Made by `{shlex.join(words)}` on {datetime.date.today():%Y-%m-%d}."
        # Read again: the page may have been edited meanwhile.
        text = replaced(_page(write), f"{made}\n\n{markdown(sheets)}", str(write))
        write.write_text(text, "utf-8")
        show(f"written to {write}", style="dim")


def _named(text: str) -> str:
    """Return a scheme as written, with the path of a Python file replaced by what is in it."""
    from agentgym.cli.common import target_of

    source, rest = re.fullmatch(r"([^@|]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # it matches anything
    return f"{target_of(source.strip())} {rest}".strip()


def _page(path: Path) -> str:
    from agentgym.errors import UserError

    if not path.is_file():
        raise UserError(f"there is no page {str(path)!r}; --write replaces tables in one")
    return path.read_text("utf-8")


def _words(scheme: list[str], process: list[str], settings: "Settings", write: Path) -> list[str]:
    """Return the command that gives the same tables again."""
    words = ["agentgym", "lab", "credit"]
    words += [word for text in scheme for word in ("--scheme", text)]
    words += [word for name in process for word in ("--process", name)]
    for option, value in (
        ("--group-size", settings.group_size),
        ("--batch", settings.batch_size),
        ("--groups", settings.groups),
        ("--seed", settings.seed),
        ("--write", write),
    ):
        words += [option, str(value)]
    return words


def _print(sheet: "Sheet") -> None:
    """Print a sheet: the name of a scheme, its figures, and intervals where these were drawn."""
    from rich.text import Text

    from agentgym.cli.common import console, printable, show, title
    from agentgym.trainers.lab.sheet import HEADS

    show("", title(sheet.process.name), sheet.facts)
    values = [[value for value, _ in line.cells] for line in sheet.lines]
    intervals = [[between for _, between in line.cells] for line in sheet.lines]
    widths = _widths([[*HEADS], *values, *intervals])
    aligned = sum(widths) + 2 * len(widths) <= console().width
    if not aligned:  # intervals need too much room
        widths = _widths([[*HEADS], *values])

    def joined(cells: Sequence[str]) -> str:
        return "  " + "  ".join(map(str.ljust, cells, widths)).rstrip()

    if sheet.lines:
        show(joined(HEADS), style="bold")
    for line, value, between in zip(sheet.lines, values, intervals, strict=True):
        show(Text(printable(", ".join(line.schemes)), style="cyan"))
        show(joined(value))
        said = [f"{head} {text}" for head, text in zip(HEADS, between, strict=True) if text]
        show(joined(between) if aligned else "  " + ", ".join(said), style="dim")
    if sheet.missing:
        show(f"not measured, {sheet.missing}", style="dim")


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
