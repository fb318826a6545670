"""`agentgym info`: all about one name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agentgym import registry
    from agentgym.env import TextEnv

KINDS = ("recipes", "envs", "credit", "losses", "annotate", "backends", "tools", "suites")


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name, my_pkg.my_game:MyGame, my_game.py, or a run's folder."
        ),
    ],
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="If one name is several things: which.")
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Of a recipe or a run: every setting or metric.")
    ] = False,
) -> None:
    """Show what something is, its options, and how to use it."""
    from agentgym.cli.common import show, target_of
    from agentgym.cli.list_names import OTHER_WORDS
    from agentgym.errors import UnknownName

    kind = OTHER_WORDS.get(kind, kind)
    if kind and kind not in KINDS:
        raise UnknownName("kind of thing", kind, KINDS)
    if Path(name).is_dir() and not kind:
        from agentgym.cli.info_run import show_run

        show_run(Path(name), every)
        return
    target = target_of(name)
    if ":" in target:
        _of_object(target, kind)
        return
    names = _names()
    found = [each for each in KINDS if target in names[each] and kind in ("", each)]
    if not found:
        known = {n for each in KINDS if kind in ("", each) for n in names[each]}
        raise UnknownName("name", name, known)
    for k, each in enumerate(found):
        if k:
            show("", "")
        _show(each, target, every)


def _names() -> dict[str, set[str]]:
    from agentgym import registry
    from agentgym.trainers.config import recipes

    return {kind: set(registry.entries(kind)) for kind in KINDS if kind != "recipes"} | {
        "recipes": set(recipes())
    }


def _show(kind: str, name: str, every: bool) -> None:
    from agentgym import registry
    from agentgym.cli.common import show

    if kind == "recipes":
        _show_recipe(name, every)
        return
    entry = registry.entries(kind)[name]
    if entry.problem:
        show(f"{registry.SINGULAR[kind]} {name} cannot be used: {entry.problem}", style="yellow")
    elif kind == "envs":
        _show_env(name, entry)
    elif kind == "tools":
        _show_tool(name, registry.load(kind, name))
    else:
        _show_part(kind, name, registry.load(kind, name))


def _of_object(target: str, kind: str) -> None:
    from agentgym import registry
    from agentgym.cli.check import _kind_of

    found = registry.load("envs", target)
    kind = kind or _kind_of(found, target)
    if kind == "envs":
        _show_env(target, None)
    elif kind == "tools":
        _show_tool(target, found)
    else:
        _show_part(kind, target, found)


def _show_env(name: str, entry: "registry.Entry | None") -> None:
    from agentgym.cli import describe
    from agentgym.cli.common import grid, show, title
    from agentgym.env import TextEnv, env_class

    cls = env_class(name)
    version = f" version {cls.version}"
    origin = f", from {entry.origin}" if entry and entry.origin != "agentgym" else ""
    show(title(f"environment {name}"), f"  {cls.__name__},{version}{origin}", "")
    show(_indented(describe.split_doc(cls)[0]))
    options = describe.parameters(cls)
    if options:
        show("", title("options"), grid(options, styles=("cyan", "green", "")))
    if cls.presets:
        rows = [
            (preset, ", ".join(f"{key}={value}" for key, value in chosen.items()))
            for preset, chosen in cls.presets.items()
        ]
        show("", title("presets"), grid(rows, styles=("cyan", "")))
    if cls.instructions:
        show("", title("what an agent is told"), _indented(cls.instructions))
    facts = [
        ("turn limit", str(cls.max_turns or "see the options")),
        ("determinism", cls.determinism),
        ("state keys", _yes(cls.state_key is not TextEnv.state_key, "step-level credit can use")),
        ("reference solution", _yes(cls.gold is not TextEnv.gold, "--agent gold")),
        ("expert", _yes(_has_expert(cls), "--agent expert, warm starts")),
        ("known answer", _yes(cls.answer is not TextEnv.answer, "credit by information gain")),
    ]
    show("", title("what it offers"), grid(facts, styles=("dim", "")))
    preset = f" --preset {next(iter(cls.presets))}" if cls.presets else ""
    _show_commands(
        f"agentgym play {name}{preset}",
        f"agentgym rollout {name}{preset} --agent random --episodes 100",
        f"agentgym check {name}",
    )
    if ":" not in name:
        show(f"  gymnasium.make('agentgym/{name}-v{cls.version}')", style="cyan")


def _show_part(kind: str, name: str, found: Any) -> None:
    from agentgym import registry
    from agentgym.cli import describe
    from agentgym.cli.common import grid, show, title

    show(title(f"{registry.SINGULAR[kind]} {name}"), f"  {getattr(found, '__name__', '')}", "")
    show(_indented(describe.split_doc(found)[0]))
    options = describe.parameters(found)
    if options:
        show("", title("parameters"), grid(options, styles=("cyan", "green", "")))
    needs: frozenset[str] = getattr(_made(found), "needs", frozenset())
    if kind in ("credit", "losses"):
        show("", title("needs"), f"  {', '.join(sorted(needs)) or 'nothing but rewards'}")
    key = {"credit": "credit", "losses": "loss", "backends": "backend"}.get(kind)
    if key:
        first = f" {key}.{options[0][0]}=..." if options else ""
        _show_commands(f"agentgym train household-grpo {key}={name}{first}")


def _show_tool(name: str, found: Any) -> None:
    import json

    from agentgym import registry
    from agentgym.cli import describe
    from agentgym.cli.common import grid, show, title
    from agentgym.tools._tool import form_for, name_of

    called = name_of(found) if ":" in name else name
    form = form_for(found, called)
    show(title(f"{registry.SINGULAR['tools']} {name}"), f"  {getattr(found, '__name__', '')}", "")
    if isinstance(found, type):
        show(_indented(describe.split_doc(found)[0]))
        options = describe.parameters(found)
        if options:
            show("", title("options"), grid(options, styles=("cyan", "green", "")))
        show("")
    show(title("what a model is told"), _indented(describe.reflow(form.description)), "")
    show(title("arguments"), _indented(json.dumps(form.parameters, indent=2, ensure_ascii=False)))
    _show_commands(f"agentgym check {name}")


def _show_recipe(name: str, every: bool) -> None:
    from agentgym.cli import describe as text
    from agentgym.cli.common import grid, show, title
    from agentgym.config import describe
    from agentgym.trainers.config import TrainConfig, load_recipe

    config = load_recipe(name)
    show(title(f"recipe {name}"), _indented(config.description), "")
    rows = []
    for key, _, default, said in describe(TrainConfig):
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if key not in ("recipe", "description") and (every or value != default):
            rows.append((key, _one_line(text.text_of(value)), said))
    for key, named in (("credit", config.credit), ("loss", config.loss)):
        rows += [(f"{key}.{k}", _one_line(text.text_of(v)), "") for k, v in named.params.items()]
    rows.sort()
    if every:
        show(title("settings"), *[_documented(*row) for row in rows])
    else:
        show(title("settings that are not the defaults (--all shows and explains all)"))
        show(grid([row[:2] for row in rows], styles=("cyan", "green")))
    _show_commands(
        f"agentgym train {name}", f"agentgym train {name} train.iterations=20 seed=1 --out runs/x"
    )


def _documented(key: str, value: str, said: str) -> Any:
    """Return one setting, with what it means below."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    line = Text.assemble("  ", (key, "cyan"), "  ", (value, "green"))
    return Group(line, Padding(Text(said, style="dim"), (0, 0, 0, 6))) if said else line


def _one_line(value: str, width: int = 44) -> str:
    """Return the beginning of a long value."""
    line = " ".join(value.split())
    return line if len(line) <= width else f"{line[: width - 4]} ..."


def _show_commands(*commands: str) -> None:
    from agentgym.cli.common import grid, show, title

    show("", title("try"), grid([(command,) for command in commands], styles=("cyan",)))


def _made(found: Any) -> Any:
    try:
        return found() if isinstance(found, type) else found
    except Exception:  # it needs parameters
        return found


def _has_expert(cls: "type[TextEnv]") -> bool:
    from agentgym.env import TextEnv

    return cls.expert is not TextEnv.expert or cls.gold is not TextEnv.gold


def _yes(has: bool, what_for: str) -> str:
    return f"yes: {what_for}" if has else "no"


def _indented(text: str) -> Any:
    from rich.padding import Padding
    from rich.text import Text

    from agentgym.cli.common import printable

    return Padding(Text(printable(text)), (0, 0, 0, 2))
