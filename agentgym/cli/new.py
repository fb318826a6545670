"""`agentgym new`: a file or a folder to start from."""

import keyword
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import EnvOptions

if TYPE_CHECKING:
    from agentgym.env import TextEnv

app = typer.Typer(no_args_is_help=True, help="Begin an environment, a policy, a credit scheme.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name: the file becomes NAME.py.")]
Folder = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="The folder to write it into.")
]


@app.command()
def env(name: Name, out: Folder = Path(".")) -> None:
    """Write an environment in one short file, complete and ready to play."""
    path = _write("env", name, out)
    _tell(
        path,
        (f"agentgym check {path}", "try out its contract"),
        (f"agentgym play {path}", "play it yourself"),
        (f"agentgym train guess env={_named(path)}", "train a small policy on it"),
    )


@app.command()
def credit(name: Name, out: Folder = Path(".")) -> None:
    """Write a credit scheme in one file."""
    path = _write("credit", name, out)
    _tell(
        path,
        (f"agentgym check {path}", "try out its contract"),
        (f"agentgym train household-grpo credit={_named(path)}", "train with it"),
    )


@app.command()
def tool(name: Name, out: Folder = Path(".")) -> None:
    """Write a tool in one file."""
    path = _write("tool", name, out)
    _tell(path, (f"agentgym check {path}", "check its form"))


@app.command()
def policy(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="The folder to write it into.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The same, as an option.")
    ] = None,
    preset: Annotated[str, typer.Option(metavar="SIZE", help="tiny or small.")] = "tiny",
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENV",
            help="Whose text its tokenizer is learned from; may be repeated; by default household.",
        ),
    ] = None,
    env_preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A preset of that environment.")
    ] = None,
    option: EnvOptions = None,
    episodes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Episodes to learn text from.")
    ] = 300,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Draws the weights and the episodes.")
    ] = 0,
) -> None:
    """Make a small policy with random weights, in Hugging Face format."""
    from agentgym.cli.common import make_env, target_of
    from agentgym.errors import ConfigError

    place = folder or out
    if place is None or (folder and out and folder != out):
        raise ConfigError("say where the policy goes, once: agentgym new policy FOLDER")
    texts: list[str] = []
    made: list[TextEnv] = []
    for name in env or ["household"]:
        made.append(make_env(target_of(name), option or [], env_preset)[0])
    from agentgym.trainers.policies import gather_texts, new_policy

    for each in made:
        texts += gather_texts(each, range(seed, seed + episodes))
        each.close()
    new_policy(place, preset=preset, texts=texts, seed=seed)
    name = (env or ["household"])[0]
    _tell(
        place,
        (f"agentgym rollout {name} --agent {place}", "let it play"),
        (f"agentgym train household-grpo model={place}", "train it"),
    )


def _write(kind: str, name: str, out: Path) -> Path:
    """Fill a template; never overwrites."""
    from agentgym.errors import UserError

    name = name.removesuffix(".py")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-\s]+", "_", name).lower()
    if not snake.isidentifier() or keyword.iskeyword(snake):
        raise UserError(f"{name!r} cannot be the name of a Python module; use letters, digits, _")
    path = out / f"{snake}.py"
    if path.exists():
        raise UserError(f"{path} exists; choose another name, or remove it first")
    class_name = "".join(part[:1].upper() + part[1:] for part in snake.split("_"))
    template = (Path(__file__).parent / "templates" / f"{kind}.py.txt").read_text("utf-8")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(template.format(class_name=class_name, function_name=snake), "utf-8")
    return path


def _named(path: Path) -> str:
    """Return how a recipe names the object in a file: by its path, if that is not here."""
    if path.parent != Path("."):
        return str(path)
    source = path.read_text("utf-8")
    found = re.search(r"^class (\w+)", source, re.MULTILINE)
    assert found is not None
    return f"{path.stem}:{found[1]}"


def _tell(path: Path, *commands: tuple[str, str]) -> None:
    from agentgym.cli.common import grid, show

    show(f"Wrote {path}. Next:")
    show(grid(commands, styles=("cyan", "dim")))
