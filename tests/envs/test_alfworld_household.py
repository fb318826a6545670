"""Household against the fast path of the alfworld engine: 216 worlds, 50 commands each.

The fast path in turn is compared with the stock engine in test_alfworld_engine.py, so that together
they say of many worlds what test_household_differential.py says of some directly. The 72 worlds of
full size are marked slow (half a minute): `pytest -m slow tests/envs/test_alfworld_household.py`.
"""

import itertools
import random

import pytest

pytest.importorskip("alfworld", reason="the real engine is the extra 'alfworld'")
pytest.importorskip("textworld", reason="the real engine is the extra 'alfworld'")

from agentgym.envs._tw_engine import NOTHING_HAPPENS, PddlGame
from agentgym.envs.household.export import game
from agentgym.envs.household.generate import SIZES, SPLITS, generate
from agentgym.envs.household.planner import next_command
from agentgym.envs.household.play import Play
from agentgym.envs.household.world import GOALS

SEEDS, COMMANDS = range(4), 50


def any_command(play: Play, rng: random.Random) -> str:
    """Choose what is admissible, what helps, what is admissible elsewhere, or what is malformed."""
    verb = rng.choice(sorted({command.split()[0] for command in play.commands}))
    here = rng.choice([c for c in play.commands if c.split()[0] == verb])
    o, r = rng.choice(play.world.names), rng.choice(play.world.room.names)
    elsewhere = [f"take {o} from {r}", f"move {o} to {r}", f"heat {o} with {r}", f"examine {o}"]
    malformed = ["", " look ", here.upper(), here[:-1], f"{here} now", "\x00", "語"]
    commands = [
        here,
        next_command(play),
        rng.choice(elsewhere),
        f"go to {r}",
        rng.choice(malformed),
    ]
    return rng.choices(commands, [5, 3, 1, 1, 1])[0]


PARTS = [
    pytest.param(*part, marks=pytest.mark.slow if part[0] == "full" else ())
    for part in itertools.product(SIZES, SPLITS)
]


@pytest.mark.parametrize(("size", "split"), PARTS)
def test_the_engine_says_what_household_says(size: str, split: str) -> None:
    won = 0
    for kind in GOALS:
        for seed in SEEDS:
            world = generate(seed, size=size, split=split, task=kind)
            play, engine, rng = Play(world), PddlGame(game(world)), random.Random(f"{kind} {seed}")
            text, _ = engine.reset()
            assert (text, tuple(engine.admissible)) == (world.intro, play.commands)
            history = []
            for _ in range(COMMANDS):
                history.append(any_command(play, rng))
                answer = play.do(history[-1])
                ours = (NOTHING_HAPPENS if answer is None else answer, play.won, play.won)
                step = engine.step(history[-1])
                assert step[:3] == ours, f"{world.key} after {history}"
                assert tuple(step.admissible) == play.commands, f"{world.key} after {history}"
            won += play.won
    assert won > 2, "too few of the walks reach a goal"
