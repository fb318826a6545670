"""Household against the real ALFWorld engine, and as a vector of 64: steps, resets, memory.

    python bench/household.py [--worlds 4] [--commands 30] [--seconds 2]

Needs the extra `alfworld` for the comparison, and leaves it out without. Both sides play the same
exported worlds with the same commands in one process, one after the other; the texts are compared
on the way. The stock engine is textworld's PDDL environment under alfworld's demangler, admissible
commands requested.
"""

import argparse
import importlib.util
import random
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import gymnasium

from agentgym.envs.household import Household
from agentgym.envs.household.export import export_game
from agentgym.envs.household.generate import SIZES, generate
from agentgym.envs.household.planner import next_command
from agentgym.envs.household.play import Play
from agentgym.envs.household.world import World

ENVS = 64
NO_LIMIT = 10**9


class Empty(gymnasium.Env[str, str]):
    """The least that an environment can do: a constant text."""

    observation_space = gymnasium.spaces.Text(64)
    action_space = gymnasium.spaces.Text(64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return "nothing", {}

    def step(self, action: str) -> Any:
        return "nothing", 0.0, False, False, {}


def commands_for(world: World, count: int, rng: random.Random) -> list[str]:
    """Commands of a demonstrator who errs half of the time, and stops before the goal."""
    play = Play(world)
    commands: list[str] = []
    while len(commands) < count:
        command = next_command(play) if rng.random() < 0.5 else rng.choice(play.commands)
        trial = Play.load(play.save())
        trial.do(command)
        if trial.won:
            command = "look"
        play.do(command)
        commands.append(command)
    return commands


def against_the_engine(size: str, worlds: int, count: int) -> None:
    """Print steps and resets per second of both, on the same worlds and commands."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
    from textworld.envs import PddlEnv

    rng = random.Random(0)
    episodes = [generate(seed, size=size) for seed in range(worlds)]
    scripts = [commands_for(world, count, rng) for world in episodes]
    engine_reset_s = engine_step_s = 0.0
    texts: list[list[str]] = []
    wanted = textworld.EnvInfos(won=True, admissible_commands=True, extras=["gamefile"])
    argv = sys.argv  # the engine's translator overwrites it
    with tempfile.TemporaryDirectory() as folder:
        for world, script in zip(episodes, scripts, strict=True):
            path = export_game(world, Path(folder) / world.key / "game.tw-pddl")
            engine = AlfredInfos(AlfredDemangler(PddlEnv(wanted), shuffle=False))
            engine.load(str(path))
            start = time.perf_counter()
            state = engine.reset()
            engine_reset_s += time.perf_counter() - start
            texts.append([state.feedback])
            start = time.perf_counter()
            for command in script:
                state, _, _ = engine.step(command)
                texts[-1].append(f"{state.feedback}{state['admissible_commands']}")
            engine_step_s += time.perf_counter() - start
    sys.argv = argv

    env = Household(size=size, max_turns=NO_LIMIT)
    reset_s = step_s = 0.0
    repeats = 20
    for repeat in range(repeats):
        for seed, (world, script) in enumerate(zip(episodes, scripts, strict=True)):
            start = time.perf_counter()
            env.reset(seed=seed + repeat * worlds)  # a reset with a new world, generated
            reset_s += time.perf_counter() - start
            text, _ = env.reset(options={"world": world})
            shown = [(text, ())]
            start = time.perf_counter()
            for command in script:
                text, _, _, _, info = env.step(command)
                shown.append((text, info["admissible_commands"]))
            step_s += time.perf_counter() - start
            ours = [shown[0][0], *(f"{text}{list(commands)}" for text, commands in shown[1:])]
            assert ours == texts[seed], "the engines differ"
    steps, resets = worlds * count, worlds
    engine_rate, rate = steps / engine_step_s, repeats * steps / step_s
    engine_reset_ms = 1e3 * engine_reset_s / resets
    reset_ms = 1e3 * reset_s / (repeats * resets)
    steps_text = f"{rate:10,.0f} against {engine_rate:6.1f}: {rate / engine_rate:9,.0f} times"
    times = engine_reset_ms / reset_ms
    resets_text = f"{reset_ms:6.3f} against {engine_reset_ms:6.0f}: {times:7,.0f} times"
    print(f"{size:6} steps/s {steps_text}   reset ms {resets_text}")


def vector(size: str, seconds: float) -> None:
    """Print steps per second of 64 environments stepped in turn, random admissible commands."""
    rng = random.Random(0)
    envs = [Household(size=size, max_turns=NO_LIMIT) for _ in range(ENVS)]
    admissible = [env.reset(seed=i)[1]["admissible_commands"] for i, env in enumerate(envs)]
    best, chosen_s, steps = 0.0, 0.0, 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(50):
            for i, env in enumerate(envs):
                _, _, over, _, info = env.step(rng.choice(admissible[i]))
                if over:
                    _, info = env.reset()
                admissible[i] = info["admissible_commands"]
        best = max(best, 50 * ENVS / (time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(ENVS):
            envs[0].state_key()
        chosen_s += time.perf_counter() - start
        steps += ENVS
    print(
        f"{size:6} {best:10,.0f} steps/s ({1e6 / best:5.2f} us a step, choosing the command"
        f" included); state_key {1e6 * chosen_s / steps:5.2f} us"
    )


def gymnasium_vector(seconds: float) -> None:
    """Print steps per second of Gymnasium's AsyncVectorEnv on 64 empty environments."""
    envs = gymnasium.vector.AsyncVectorEnv([Empty] * ENVS)
    envs.reset()
    actions = tuple("look" for _ in range(ENVS))
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        envs.step(actions)
        steps += ENVS
    rate = steps / (time.perf_counter() - start)
    envs.close()
    print(f"{'empty':6} {rate:10,.0f} steps/s of Gymnasium's AsyncVectorEnv")


def memory(size: str) -> None:
    """Print what one more idle environment costs, worlds and rooms included."""
    Household(size=size).reset(seed=0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    envs = [Household(size=size) for _ in range(ENVS)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{size:6} {(after - before) / ENVS / 1024:8.1f} KB an environment")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=4, help="worlds per size in the comparison")
    parser.add_argument("--commands", type=int, default=30, help="commands per world")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each vector figure")
    options = parser.parse_args()
    if importlib.util.find_spec("alfworld") is None:
        print("without the extra 'alfworld': no comparison with the real engine")
    else:
        print("against the stock engine, the same worlds and commands, texts found equal:")
        for size in SIZES:
            against_the_engine(size, options.worlds, options.commands)
    print(f"\n{ENVS} environments in one process, texts and admissible commands included:")
    for size in SIZES:
        vector(size, options.seconds)
    gymnasium_vector(options.seconds)
    print("\nmemory:")
    for size in SIZES:
        memory(size)


if __name__ == "__main__":
    main()
