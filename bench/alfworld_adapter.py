"""The alfworld environment against the stock engine: the same games and commands in one run.

    python bench/alfworld_adapter.py [--games FOLDER | --worlds 3 --size full] [--commands 40]

Needs the extra `alfworld`. Without `--games`, household worlds are exported and played. The stock
engine is textworld's PDDL environment under ALFWorld's demangler, admissible commands requested;
texts and commands are compared on the way. Figures are of one core. A first reset translates the
PDDL, which happens once per game and process here and at every reset there.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from rich.console import Console
from rich.table import Table
from textworld.envs import PddlEnv

from agentgym.envs._tw_engine import compiled_games
from agentgym.envs.alfworld import Alfworld
from agentgym.envs.household.export import export_games
from agentgym.envs.household.generate import SIZES

RESETS = 50  # of ours, for each of the stock engine's


def stock(path: Path) -> Any:
    """Return the engine as ALFWorld's users get it, with a game loaded."""
    arguments = sys.argv
    env = AlfredDemangler(
        PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True)), shuffle=False
    )
    env.load(str(path))
    sys.argv = arguments
    return env


def timed(action: Any) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def measure(env: Alfworld, name: str, count: int) -> dict[str, float]:
    """Play one game on both; return seconds of a first reset, of a reset, and of a step."""
    compiled_games.cache_clear()
    first, (text, info) = timed(lambda: env.reset(options={"game": name}))
    again, _ = timed(lambda: [env.reset(options={"game": name}) for _ in range(RESETS)])
    engine = stock(env.games.path(name))
    their_reset, state = timed(engine.reset)
    assert state.feedback == text
    rng = random.Random(name)
    ours = theirs = 0.0
    for _ in range(count):
        command = rng.choice([*info["admissible_commands"], "nonsense"])
        seconds, (text, _, over, _, info) = timed(lambda c=command: env.step(c))
        ours += seconds
        seconds, (state, _, done) = timed(lambda c=command: engine.step(c))
        theirs += seconds
        assert (state.feedback, done) == (text, over), command
        assert tuple(state["admissible_commands"]) == info["admissible_commands"], command
        if over:
            text, info = env.reset(options={"game": name})
            engine.reset()
    return {
        "first reset": first, "reset": again / RESETS, "step": ours / count,
        "stock reset": their_reset, "stock step": theirs / count,
    }  # fmt: skip


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--games", help="a folder of ALFWorld games")
    parser.add_argument("--worlds", type=int, default=3, help="how many games to play")
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--commands", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.games is None:
            export_games(folder, size=arguments.size, seeds=range(arguments.worlds))
        env = Alfworld(games=arguments.games or folder, max_turns=10**9)
        rows = [measure(env, n, arguments.commands) for n in env.games.names[: arguments.worlds]]
    mean = {key: statistics.fmean(row[key] for row in rows) for key in rows[0]}

    table = Table(
        "", "stock engine", "alfworld adapter", "ratio", "goal", title=f"{len(rows)} games"
    )
    for what, goal in (("step", "10x"), ("reset", "20x"), ("first reset", "")):
        theirs, ours = mean["stock step" if what == "step" else "stock reset"], mean[what]
        if what == "step":
            shown = [f"{1 / theirs:,.1f} steps/s", f"{1 / ours:,.0f} steps/s"]
        else:
            shown = [f"{1000 * theirs:,.0f} ms", f"{1000 * ours:,.2f} ms"]
        table.add_row(what, *shown, f"{theirs / ours:,.0f}x", goal)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
