"""`agentgym play`: one episode in the terminal, played by a person or an agent."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import AGENTS, EnvName, EnvOptions, Preset, Temperature

if TYPE_CHECKING:
    from agentgym.agents import Acting, Asking, Start, View
    from agentgym.cli.players import Player
    from agentgym.rollout import EnvReply, Task
    from agentgym.types import JSON, Trajectory

    Tools = tuple[Mapping[str, JSON], ...]


def command(
    env: EnvName,
    agent: Annotated[
        str,
        typer.Option("--agent", "--model", metavar="WHO", help=f"Watch an agent instead: {AGENTS}"),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Which world.")] = 0,
    preset: Preset = None,
    option: EnvOptions = None,
    show_admissible: Annotated[
        bool, typer.Option("--show-admissible", help="Show the admissible commands each turn.")
    ] = False,
    temperature: Temperature = 1.0,
    delay: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds between an agent's turns.")
    ] = 0.0,
) -> None:
    """Play in the terminal, or watch an agent play.

    While you play: /commands lists what you can do, /tools the tools, /hint asks the expert, /quit
    leaves. A tool is called by its name and arguments: search query="red lamp" count=3
    """
    from agentgym.cli.common import make_env, show, target_of
    from agentgym.cli.players import Player, check_player, make_player
    from agentgym.rollout import Limits, Task

    name = target_of(env)
    made, options = make_env(name, option or [], preset)
    made.close()
    if agent:
        player = make_player(agent, temperature=temperature)
        check_player(player, type(made), name)
    else:
        player = Player("you", Person(), None, Limits())
    given = "".join(f" {key}={value}" for key, value in options.items())
    show(f"{name}{given}, seed {seed}, played by {player.name}", style="dim")
    stage = Stage(Task(name, options, seed), player, show_admissible, delay if agent else 0.0)
    try:
        episode = stage.play()
    except Left:
        show("", "left before the end", style="dim")
        return
    finally:
        stage.close()
    show("", *_verdict(episode))


class Left(Exception):
    """The person left."""


@dataclass(frozen=True)
class Person:
    """An agent that asks a person for every action."""

    needs: frozenset[str] = frozenset({"expert"})

    def begin(self, start: "Start") -> "Acting":
        """Start an episode."""
        return _Typing(start.tools)


@dataclass(frozen=True)
class _Typing:
    tools: "Tools"

    def act(self, view: "View") -> "Asking":
        from agentgym.agents import Decision

        return Decision(_read_action(view, self.tools))
        yield  # it never asks a model


def _read_action(view: "View", tools: "Tools") -> str:
    """Read lines until one is an action.

    Raises:
        Left: at the end of the input, or after /quit.
    """
    from agentgym.cli.common import show
    from agentgym.cli.typed import HOW, shown_action, tool_lines, typed_action

    while True:
        line = _read_line()
        match line.strip():
            case "/quit":
                raise Left
            case "/hint":
                hint = shown_action(view.expert) if view.expert and tools else view.expert
                show(f"The expert would say: {hint}" if hint else "No hint.")
            case "/commands":
                show(*_commands(view.info) or ["This environment does not list its commands."])
            case "/tools":
                show(*(tool_lines(tools) or ["There are no tools."]))
            case "/help":
                show("/commands: what can be done  /tools: what can be called")
                show("/hint: ask the expert  /quit: leave")
            case _ if tools:
                try:
                    return typed_action(line, tools)
                except ValueError as error:
                    show(f"{error}. {HOW}")
            case _:
                return line


def _read_line() -> str:
    """Read a line with a prompt; a line that is piped in is shown as if it had been typed."""
    from agentgym.cli.common import show

    if sys.stdin.isatty():
        import readline  # noqa: F401 - gives input() a history

        try:
            return input("\n> ")
        except (EOFError, KeyboardInterrupt):
            raise Left from None
    line = sys.stdin.readline()
    if not line:
        raise Left
    show("", f"> {line.rstrip()}", style="bold")
    return line.rstrip("\r\n")


@dataclass
class Stage:
    """Drives one episode and shows every turn as it happens."""

    task: "Task"
    player: "Player"
    show_admissible: bool
    delay_s: float
    env: Any = field(init=False)
    _tools: "Tools" = ()

    def __post_init__(self) -> None:
        from agentgym.env import make

        options: dict[str, Any] = dict(self.task.options)
        self.env = make(self.task.env, **options)

    def play(self) -> "Trajectory":
        """Play it to its end."""
        from agentgym.rollout import Act, Begin, episode

        generator = episode(self.task, self.player.agent, limits=self.player.limits)
        answer: Any = None
        try:
            while True:
                ask = generator.send(answer)
                if isinstance(ask, Begin):
                    answer = ask.run(self.env)
                    self._show_start(answer)
                elif isinstance(ask, Act):
                    self._show_action(ask.action)
                    answer = ask.run(self.env)
                    self._show_reply(answer)
                else:
                    assert self.player.backend is not None
                    answer = self.player.backend.generate(ask)
                    for failed in (a for a in answer if isinstance(a, Exception)):
                        raise failed
        except StopIteration as end:
            played: Trajectory = end.value
            return played

    def close(self) -> None:
        """Give environment and backend back."""
        self.env.close()
        self.player.close()

    def _show_start(self, reply: "EnvReply") -> None:
        from agentgym.cli.common import show

        if reply.instructions:
            show("", reply.instructions, style="dim")
        if reply.tools:
            from agentgym.cli.typed import HOW, tool_lines

            show("", *tool_lines(reply.tools), HOW, style="dim")
        self._tools = reply.tools
        self._show_reply(reply)

    def _show_action(self, action: str) -> None:
        from agentgym.cli.common import show

        if self.player.backend is not None or self.player.name != "you":
            from agentgym.cli.typed import shown_action

            time.sleep(self.delay_s)
            show("", f"> {shown_action(action) if self._tools else action}", style="bold cyan")

    def _show_reply(self, reply: "EnvReply") -> None:
        from agentgym.cli.common import show

        show("", reply.observation.text.strip())
        if reply.info.get("action_valid") is False:
            show("(not understood)", style="dim")
        if reply.reward:
            show(f"reward {reply.reward:g}", style="green" if reply.reward > 0 else "red")
        if self.show_admissible and not (reply.terminated or reply.truncated):
            show(*_commands(reply.info))


def _commands(info: Any) -> list[Any]:
    """Return the admissible commands as columns."""
    from rich.columns import Columns
    from rich.text import Text

    from agentgym.cli.common import printable

    commands = list(info.get("admissible_commands") or ())
    return (
        [Columns([Text(printable(c), style="dim") for c in commands], padding=(0, 3))]
        if commands
        else []
    )


def _verdict(episode: "Trajectory") -> list[Any]:
    from rich.text import Text

    count = len(episode.turns)
    turns = f"{count} turn{'s' if count != 1 else ''}"
    total = f"return {episode.episode_return:g}"
    if episode.success:
        return [Text(f"Solved in {turns}, {total}.", style="bold green")]
    why = {"max_turns": "the turns are up", "done": "the episode is over"}
    reason = why.get(episode.stop.value, f"stopped ({episode.stop.value})")
    word = "Not solved" if episode.success is False else "Not solved (no verdict)"
    return [Text(f"{word}: {reason} after {turns}, {total}.", style="bold yellow")]
