"""The fast path against the stock engine: the same games and commands, character by character."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("alfworld", reason="the real engine is the extra 'alfworld'")
pytest.importorskip("textworld", reason="the real engine is the extra 'alfworld'")

from agentgym.envs._tw_engine import PddlGame, compiled_games
from agentgym.envs._tw_sas import State, Task
from agentgym.envs.household.export import game as exported
from agentgym.envs.household.generate import SIZES, SPLITS, generate
from agentgym.envs.household.world import GOALS
from agentgym.errors import ConfigError

GOAL = "(exists (?r - receptacle ?o - object) (and (inReceptacle ?o ?r) (isHot ?o)))"
ODD_GOALS = (
    # Each is translated into axioms of another shape.
    "(forall (?o - object) (or (not (objectType ?o MugType)) (exists (?r - receptacle)"
    " (and (inReceptacle ?o ?r) (receptacleType ?r FridgeType)))))",
    "(not (exists (?r - receptacle) (and (openable ?r) (not (opened ?r)))))",
    "(or (exists (?o - object) (isSliced ?o)) (and (holdsAny agent1) (not (isOn Mug_bar_02))))",
    "(imply (exists (?r - receptacle) (opened ?r)) (exists (?o - object) (holds agent1 ?o)))",
)


def hand_made(number: int, goal: str = GOAL) -> dict[str, Any]:
    """Return a small game that no household world looks like: things in odd places and states."""
    from alfworld.info import ALFRED_PDDL_PATH, ALFRED_TWL2_PATH

    rng = random.Random(number)
    kinds = ["Fridge", "Microwave", "SinkBasin", "Cabinet", "Cabinet", "CounterTop", "Shelf"]
    receptacles = {
        f"Sink_bar_0{i}_bar_SinkBasin" if kind == "SinkBasin" else f"{kind}_bar_0{i}": kind
        for i, kind in enumerate(kinds)
    }
    kinds = ["Apple", "Apple", "Mug", "Knife", "DeskLamp", "Bowl", "ButterKnife", "DeskLamp"]
    objects = {f"{kind}_bar_0{i}": kind for i, kind in enumerate(kinds)}
    place = {r: f"loc_bar_{rng.randrange(4)}" for r in receptacles}
    facts = ["atLocation agent1 loc_bar_start"]
    for r, kind in receptacles.items():
        facts += [f"receptacleType {r} {kind}Type", f"receptacleAtLocation {r} {place[r]}"]
        if kind in ("Fridge", "Microwave", "Cabinet"):
            facts += [f"openable {r}"] + [f"opened {r}"] * rng.randrange(2)
    for o, kind in objects.items():
        for r in rng.sample(list(receptacles), rng.choice([1, 1, 1, 2])):  # or in two at once
            facts += [f"inReceptacle {o} {r}", f"objectAtLocation {o} {place[r]}"]
        facts += [f"objectType {o} {kind}Type"]
        able = [
            "cleanable",
            "heatable",
            "coolable",
            "sliceable",
            "toggleable",
            "pickupable",
            "isOn",
        ]
        facts += [f"{what} {o}" for what in able if rng.random() < 0.6]
        facts += [f"isReceptacleObject {o}"] * (kind == "Bowl")
    facts += [
        "isClean Apple_bar_00",
        "isHot Apple_bar_01",
        "wasInReceptacle Mug_bar_02 Shelf_bar_06",
    ]
    for r in sorted(set(receptacles.values())):
        facts += [f"canContain {r}Type {o}Type" for o in sorted(set(kinds)) if rng.random() < 0.8]
    things = {
        "agent": ["agent1"],
        "location": [*sorted(set(place.values())), "loc_bar_start"],
        "receptacle": list(receptacles),
        "object": list(objects),
        "rtype": [f"{kind}Type" for kind in sorted(set(receptacles.values()))],
        "otype": [f"{kind}Type" for kind in sorted(set(kinds))],
    }
    declared = "\n".join(f"{name} - {kind}" for kind, names in things.items() for name in names)
    initial = "\n".join(f"({fact})" for fact in sorted(set(facts)))
    return {
        "pddl_domain": Path(ALFRED_PDDL_PATH).read_text("utf-8"),
        "grammar": Path(ALFRED_TWL2_PATH).read_text("utf-8"),
        "pddl_problem": f"(define (problem odd)\n(:domain alfred)\n(:objects\n{declared}\n)\n"
        f"(:init\n{initial}\n)\n(:goal {goal})\n(:metric minimize (total-cost))\n)",
        "solvable": True,
        "walkthrough": ["look"],
    }


def stock(data: dict[str, Any]) -> Any:
    """Return the engine as ALFWorld's users get it."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs import PddlEnv

    arguments = sys.argv
    env = AlfredDemangler(
        PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True, facts=True)), shuffle=False
    )
    env.load(data)
    sys.argv = arguments  # the engine's translator overwrites it
    return env


@pytest.fixture(autouse=True)
def _keep_argv() -> Iterator[None]:
    arguments = sys.argv
    yield
    sys.argv = arguments


MALFORMED = (
    "", " ", "\n", "\x00", "go to", "go to fridge", "go to fridge 99", "take apple 1", "LOOK",
    "look around", "examine", "examine agent1", "{r}", "go to {r.name}", "help help", "语言",
    "\udc80", "x" * 100_000, "open  cabinet 1", "#intro#", "None", "look\x00",
)  # fmt: skip


def command_for(rng: random.Random, admissible: list[str]) -> str:
    """Choose a verb first, so that rare commands come up; at times something malformed."""
    if rng.random() < 0.15:
        return rng.choice(MALFORMED)
    verbs = sorted({command.split()[0] for command in admissible})
    weights = [0.2 if verb in ("help", "inventory", "examine", "go") else 1.0 for verb in verbs]
    (verb,) = rng.choices(verbs, weights)
    command = rng.choice([c for c in admissible if c.split()[0] == verb])
    return rng.choice([command] * 8 + [f"  {command}\n", command.upper(), command[:-1]])


def compare(data: dict[str, Any], count: int, seed: int, episodes: int = 1) -> set[str]:
    """Play the same commands on both engines; return the verbs that did something."""
    theirs, ours = stock(data), PddlGame(data)
    rng, verbs = random.Random(seed), set()
    for _ in range(episodes):
        state = theirs.reset()
        text, info = ours.reset()
        assert text == state.feedback
        assert info == {"won": state["won"], "admissible_commands": state["admissible_commands"]}
        history: list[str] = []
        for _ in range(count):
            command = command_for(rng, ours.admissible)
            history.append(command[:80])
            state, _, done = theirs.step(command)
            step = ours.step(command)
            expected = (state.feedback, done, state["won"], state["admissible_commands"])
            assert tuple(step) == expected, f"after {history}"
            assert {*map(str, ours.facts())} == {*map(str, state["facts"])}, f"after {history}"
            if ours.understood:
                verbs.add(command.split()[0])
    return verbs


@pytest.mark.parametrize("number", range(6))
def test_exported_worlds(number: int) -> None:
    kind, size = list(GOALS)[number], ["tiny", "small"][number % 2]
    world = generate(number, size=size, split=SPLITS[number // 2], task=kind)
    compare(exported(world), 20, number)


def test_a_full_sized_world() -> None:
    compare(exported(generate(1, size="full")), 6, 0)


def test_odd_worlds_and_a_second_episode() -> None:
    verbs = compare(hand_made(9), 60, 0) | compare(hand_made(11), 60, 0)
    verbs |= compare(hand_made(2), 15, 0, episodes=2)
    wanted = {
        "look", "go", "open", "close", "take", "move", "examine", "help", "use", "clean", "heat",
        "cool", "slice",
    }  # fmt: skip
    assert not wanted - verbs, "the commands do not reach enough"


@pytest.mark.parametrize("goal", ODD_GOALS)
def test_goals_that_need_axioms(goal: str) -> None:
    compare(hand_made(2, goal), 25, 1)


CABINETS = "(and (receptacleType ?r CabinetType) (not (opened ?r)))"
TURNING = [
    (f"(forall (?r - receptacle) (not {CABINETS}))", "open close", 5, 32),
    (f"(not (exists (?r - receptacle) {CABINETS}))", "open close", 5, 32),
    ("(exists (?o - object) (and (isToggled ?o) (not (isOn ?o))))", "use", 15, 45),
    ("(exists (?o - object) (and (isToggled ?o) (isOn ?o)))", "use", 12, 31),
]
"""Goals that come and go with these verbs, in these worlds, on these walks."""


@pytest.mark.parametrize(("goal", "verbs", "number", "seed"), TURNING)
def test_goals_that_come_and_go(goal: str, verbs: str, number: int, seed: int) -> None:
    data = hand_made(number, goal)
    theirs, ours, rng = stock(data), PddlGame(data), random.Random(seed)
    theirs.reset()
    history: list[str] = []
    turned = 0
    for _ in range(25):
        useful = [c for c in ours.admissible if c.split()[0] in verbs.split()]
        history.append(rng.choice([*useful, rng.choice(ours.admissible)]))
        before = ours.won
        ours.step(history[-1])
        state, _, _ = theirs.step(history[-1])
        assert ours.won == state["won"], f"after {history}"
        turned += ours.won != before
    assert turned > 2, "the goal does not come and go"


OTHER_WORDS = {
    # Two placeholders are two things; a list of what is reached through another rule; nothing.
    "You are facing the [{r.name | atlocation(a:agent, l:location) & receptacleatlocation("
    "r:receptacle, l:location)}]": "Pairs: [{r.name + '/' + q.name | receptacleatlocation("
    "r:receptacle, l:location) & receptacleatlocation(q:receptacle, l:location)}], [{#overview(r)#"
    " | openable(r:receptacle) & opened(r:receptacle)}], [{o.name | holds(a:agent, o:object)}]",
    "You close the {r.name}.": "{r.definite or 'a' and r.name} {r.id}\\n#overview_state(r)#",
    "help:  ": "[{p.name | inreceptacle(o:object, p:receptacle) & inreceptacle(o:object, "
    "r:receptacle) & openable(p:receptacle)}]",
}


def test_other_grammars() -> None:
    data = hand_made(11)
    for old, new in OTHER_WORDS.items():
        data["grammar"] = data["grammar"].replace(old, new)
    assert data["grammar"].count("Pairs") == 1
    compare(data, 60, 2)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(12))
def test_many_odd_worlds(number: int) -> None:
    compare(hand_made(number, ([GOAL, *ODD_GOALS])[number % 5]), 300, number, episodes=2)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", GOALS)
def test_many_exported_worlds(kind: str, size: str) -> None:
    for seed in range(3):
        compare(exported(generate(seed, size=size, task=kind)), 50, seed)


def test_the_translator_leaves_the_process_as_it_was() -> None:
    sys.argv = before = ["a program", "--with", "arguments"]
    compiled_games.cache_clear()
    PddlGame(hand_made(0))
    assert sys.argv is before


def test_threads_that_start_the_same_game_translate_it_once() -> None:
    compiled_games.cache_clear()
    data = hand_made(0)
    with ThreadPoolExecutor(4) as pool:
        players = list(pool.map(lambda _: PddlGame(data), range(8)))
    assert compiled_games.cache_info().misses == 1
    assert len({player.state_key() for player in players}) == 1


def test_copies_are_independent_and_cheap() -> None:
    game = PddlGame(hand_made(0))
    game.reset()
    game.step(next(c for c in game.admissible if c.startswith("go to")))
    other, key = game.copy(), game.state_key()
    rng = random.Random(0)
    commands = []
    for _ in range(40):
        commands.append(rng.choice(game.admissible))
        game.step(commands[-1])
    assert other.state_key() == key != game.state_key()
    for command in commands:
        step = other.step(command)
    assert (step.admissible, other.state_key()) == (game.admissible, game.state_key())


def test_state_key_tells_what_matters_and_not_what_was_looked_at() -> None:
    game = PddlGame(exported(generate(5, size="tiny", task="pick_heat_then_place_in_recep")))
    game.reset()
    start = game.state_key()
    for command in ("look", "inventory", "help", "nonsense"):
        game.step(command)
        assert game.state_key() == start
    seen = {start}
    for command in game.walkthrough:
        game.step(command)
        assert game.state_key() not in seen, f"{command} leaves the key as it was"
        seen.add(game.state_key())
    assert game.won
    game.reset()
    assert game.state_key() == start
    assert PddlGame(hand_made(0)).state_key() != PddlGame(hand_made(0, ODD_GOALS[0])).state_key()


@pytest.mark.parametrize("number", range(4))
def test_equal_keys_mean_equal_futures(number: int) -> None:
    """Wherever a walk comes back to, it finds what it found there before."""
    game = PddlGame(hand_made(number))
    rng, returns = random.Random(number), 0
    found: dict[str, object] = {}
    for _ in range(3000):
        verbs = {command.split()[0] for command in game.admissible} - {"examine", "help"}
        verb = rng.choice(sorted(verbs))
        game.step(rng.choice([c for c in game.admissible if c.startswith(verb)]))
        key, shown = game.state_key(), (game.copy().step("look"), game.copy().step("inventory"))
        returns += key in found
        assert found.setdefault(key, shown) == shown
    assert returns > 100
    assert len(found) > 20


def test_episodes_and_state_keys_are_the_same_in_every_process() -> None:
    """Sets are iterated in an order that depends on PYTHONHASHSEED; nothing may show it."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_alfworld_engine import *\n"
        "game, rng = PddlGame(hand_made(3, ODD_GOALS[0])), random.Random(0)\n"
        "for _ in range(30):\n"
        "    print(*game.step(command_for(rng, game.admissible)), game.state_key())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(told) == 1


def test_counted_states_equal_states_worked_out_afresh() -> None:
    """What a state counts up and down along the way is what it would count from nothing."""
    data = hand_made(4, ODD_GOALS[0])
    game = PddlGame(data)
    rng = random.Random(0)
    for _ in range(200):
        state = game._state
        holds = [
            i
            for i, operator in enumerate(state.task.operators)
            if all(state.values[v] == value for v, value in operator.conditions)
        ]
        assert state.applicable == set(holds)
        game.step(command_for(rng, game.admissible))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("{r.name or r.id}", "{r.name or exit(3)}", "may not evaluate"),
        ("{r.name or r.id}", "{r.__class__}", "may not evaluate"),
        ("#list_appliances#", "#list_of_appliances#", "no rule of the grammar applies"),
    ],
)
def test_a_grammar_may_neither_run_code_nor_ask_for_what_is_not_there(
    old: str, new: str, complaint: str
) -> None:
    data = hand_made(0)
    data["grammar"] = data["grammar"].replace(old, new)
    game = PddlGame(data)
    with pytest.raises(ConfigError, match=f"the game cannot be played: .*{complaint}"):
        game.reset()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"pddl_problem": None}, "no text in 'pddl_problem'"),
        ({"grammar": "action look { template :: }"}, "grammar cannot be parsed"),
        ({"pddl_problem": "(define (problem p)"}, "PDDL cannot be translated"),
        ({"pddl_problem": "語"}, "PDDL cannot be translated"),
        ({"walkthrough": [1]}, "walkthrough"),
    ],
)
def test_broken_games_are_named(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.tw-pddl"
    path.write_text(json.dumps(hand_made(0) | change), "utf-8")
    with pytest.raises(ConfigError, match=complaint) as caught:
        PddlGame.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}"])
def test_files_that_are_no_games_are_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.tw-pddl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.tw-pddl"):
        PddlGame.load(path)


VARIABLE = "begin_variable\nv\n{layer}\n2\nAtom {name}()\nNegatedAtom {name}()\nend_variable\n"


def sas(rules: str) -> str:
    """Return a task with one action, a fact x that it makes true, and derived facts y and z."""
    variables = VARIABLE.format(layer=-1, name="x") + VARIABLE.format(layer=0, name="y")
    return (
        f"{variables}{VARIABLE.format(layer=1, name='z')}begin_state\n1\n1\n1\nend_state\n"
        "begin_goal\n1\n2 0\nend_goal\n"
        f"begin_operator\nflip \n0\n1\n0 0 -1 0\n1\nend_operator\n{rules}"
    )


def test_axioms_follow_one_another() -> None:
    chain = "begin_rule\n1\n0 0\n1 1 0\nend_rule\nbegin_rule\n1\n1 0\n2 1 0\nend_rule\n"
    state = State(Task(sas(chain)))
    assert (state.values, state.won) == ([1, 1, 1], False)
    state.apply(0)
    assert (state.values, state.won) == ([0, 0, 0], True)


def test_axioms_that_counting_cannot_evaluate_are_refused() -> None:
    circle = "begin_rule\n1\n2 0\n1 1 0\nend_rule\nbegin_rule\n1\n1 0\n2 1 0\nend_rule\n"
    with pytest.raises(ValueError, match="depend on themselves"):
        Task(sas(circle))
    with pytest.raises(ValueError, match="ends in the middle"):
        Task(sas("begin_rule\n7\n"))
