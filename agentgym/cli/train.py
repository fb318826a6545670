"""`agentgym train`: one recipe from the very start, or a run resumed."""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentgym.records import RunFolder
    from agentgym.trainers.config import TrainConfig

MAY_CHANGE = (
    "train.iterations",
    "train.time_limit_s",
    "train.checkpoint_every",
    "train.keep",
    "eval.every",
    "eval.target",
)
"""What a resumed run may change without --force: it makes the run longer or shorter, no other."""


def command(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="See `agentgym list recipes`; or a TOML file."),
    ] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="E.g. train.iterations=50 credit=gigpo"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run's folder; by default runs/RECIPE."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with this run, from its newest checkpoint."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Resume although configuration or versions changed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show the configuration, stop.")
    ] = False,
) -> None:
    """Train a policy as a recipe says."""
    from agentgym.cli.common import waiting
    from agentgym.config import dump_toml
    from agentgym.errors import UserError

    # What the run folder has to say comes with the picture of the run, once.
    logging.getLogger("agentgym.records").addHandler(logging.NullHandler())
    words = [_with_files(word) for word in overrides or []]
    if resume is not None:
        if recipe and "=" not in recipe:
            raise UserError("--resume goes on with the run's own recipe; leave RECIPE out")
        if out is not None:
            raise UserError("--resume goes on in the run's own folder; leave --out out")
        config = _config_of(resume, [recipe, *words] if recipe else words)
    else:
        if not recipe:
            raise UserError("say what to train: a recipe (`agentgym list recipes`) or a TOML file")
        config = _load(recipe, words)
    with waiting("checking everything"):
        _check(config)
    if dry_run:
        typer.echo(dump_toml(config).rstrip())  # unwrapped, to be saved as a recipe
        return
    if resume is not None:
        _train(config, _reopen(resume, config, force))
    else:
        _train_anew(config, out or _free_folder(config.recipe or "run"))


def _with_files(word: str) -> str:
    """Return an override in which the path of a Python file has become a name.

    env=my_game.py is env=my_game:MyGame then.
    """
    from agentgym.cli.common import target_of

    key, equals, value = word.partition("=")
    names_a_part = key.removesuffix(".name") in ("env", "credit", "loss")
    is_file = value.partition(":")[0].endswith(".py")
    return f"{key}={target_of(value)}" if equals and names_a_part and is_file else word


def _load(recipe: str, overrides: list[str]) -> "TrainConfig":
    from agentgym.trainers.config import load_recipe

    return load_recipe(recipe, overrides)


def _config_of(run: Path, overrides: list[str]) -> "TrainConfig":
    from agentgym.config import load
    from agentgym.errors import RunFolderError
    from agentgym.trainers.config import TrainConfig

    if not (run / "run.json").is_file():
        raise RunFolderError(f"{run} is not a run: it has no run.json")
    return load(TrainConfig, run / "config.toml", overrides)


def _check(config: "TrainConfig") -> None:
    """Find every mistake that can be found before anything is written."""
    from agentgym.errors import ConfigError

    try:
        from agentgym.trainers import parts
    except ImportError as error:
        raise ConfigError(
            f"training needs {error.name}, which is not installed: pip install 'agentgym[train]'"
        ) from error
    parts.check(config)


def _free_folder(name: str) -> Path:
    """Return runs/NAME, or runs/NAME-2, ... if that exists."""
    first = Path("runs") / name
    folder, k = first, 1
    while folder.exists():
        k += 1
        folder = first.with_name(f"{name}-{k}")
    return folder


def _reopen(path: Path, config: "TrainConfig", force: bool) -> "RunFolder":
    from agentgym.config import dump_toml
    from agentgym.records import RunFolder

    return RunFolder.open(
        path,
        dump_toml(config),
        force=force,
        may_change=MAY_CHANGE,
        envs=[config.env.name],
        keep=config.train.keep,
    )


def _train_anew(config: "TrainConfig", path: Path) -> None:
    """Make the run's folder and train; a mistake found now leaves no folder behind."""
    from agentgym.config import dump_toml
    from agentgym.errors import UserError
    from agentgym.records import RunFolder

    existed = path.exists()
    run = RunFolder.create(
        path, dump_toml(config), config.seed, envs=[config.env.name], keep=config.train.keep
    )
    try:
        _train(config, run)
    except UserError:
        if not existed and run.checkpoint is None and not run.latest_checkpoint():
            shutil.rmtree(path, ignore_errors=True)
        raise


def _train(config: "TrainConfig", run: "RunFolder") -> None:
    from agentgym.cli.common import console, grid, seconds, show
    from agentgym.trainers.loop import train
    from agentgym.trainers.progress import for_terminal

    with run:
        result = train(config, run, for_terminal(console()))
    rows = [("ended", f"{result.reason}, after {seconds(result.elapsed_s)}")]
    if result.first is not None:
        rows.append(("before", str(result.first)))
    if result.last is not None:
        rows.append(("after", str(result.last)))
    show("", grid(rows, styles=("dim", "")), "")
    if result.reason == "interrupted":
        show(f"Go on: agentgym train --resume {run.path}", style="dim")
        raise typer.Exit(130)
    show(f"Evaluate it: agentgym eval {run.path}", style="dim")
    show(f"Watch it:    agentgym play {config.env.name} --agent {run.path}", style="dim")
