"""`agentgym VERB ...`; see `agentgym --help`."""

import io
import os
import sys
from typing import Annotated

import typer

from agentgym.cli import (
    bench,
    check,
    credit,
    doctor,
    evaluate,
    export_alfworld,
    fetch,
    fsck,
    gc,
    info,
    lab,
    list_names,
    make_swe,
    new,
    play,
    replay,
    rollout,
    serve_tools,
    train,
)
from agentgym.cli.common import fail
from agentgym.errors import AgentGymError, UserError

app = typer.Typer(
    name="agentgym",
    help="Train and benchmark language-model agents over many turns.",
    epilog="Any command takes --help, and --debug for the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LOOK, MAKE, RUN, RECORDS = "Look around", "Make your own", "Run", "Records"

app.command("list", rich_help_panel=LOOK)(list_names.command)
app.command("info", rich_help_panel=LOOK)(info.command)
app.command("doctor", rich_help_panel=LOOK)(doctor.command)
app.add_typer(new.app, name="new", rich_help_panel=MAKE)
app.command("check", rich_help_panel=MAKE)(check.command)
app.command("make-swe", rich_help_panel=MAKE)(make_swe.command)
app.command("play", rich_help_panel=RUN)(play.command)
app.command("rollout", rich_help_panel=RUN)(rollout.command)
app.command("train", rich_help_panel=RUN)(train.command)
app.command("eval", rich_help_panel=RUN)(evaluate.command)
app.command("bench", rich_help_panel=RUN)(bench.command)
app.add_typer(lab.app, name="lab", rich_help_panel=RUN)
app.command("fetch", rich_help_panel=RUN)(fetch.command)
app.command("serve-tools", rich_help_panel=RUN)(serve_tools.command)
app.command("credit", rich_help_panel=RECORDS)(credit.command)
app.command("replay", rich_help_panel=RECORDS)(replay.command)
app.command("fsck", rich_help_panel=RECORDS)(fsck.command)
app.command("gc", rich_help_panel=RECORDS)(gc.command)
app.command("export-alfworld", rich_help_panel=RECORDS)(export_alfworld.command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from agentgym import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and stop.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of the whole program."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process.

    Exit codes: 0 fine, 1 a check or a run failed, 2 a mistake of the user, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of few signs is no reason to stop
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # my_game:MyGame works where my_game.py lies
    try:
        app(args=words, prog_name="agentgym")
    except AgentGymError as error:
        if debug:
            raise
        fail(str(error), code=2 if isinstance(error, UserError) else 1)
    except KeyboardInterrupt:
        fail("interrupted", code=130)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.filename is not None:
            fail(f"{error.filename}: {error.strerror}", code=2)
        text = f"{type(error).__name__}: {error}"
        fail(f"{text}\nThis was not foreseen; run it again with --debug to see where it happened.")


if __name__ == "__main__":
    main()
