"""Household on its own: worlds, splits, plans, keys, copies, options, bad input."""

import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.env import make
from agentgym.envs.household import Household
from agentgym.envs.household import vocabulary as words
from agentgym.envs.household.export import export_game, export_games
from agentgym.envs.household.generate import SIZES, SPLITS, TASKS, generate, is_unseen, rooms
from agentgym.envs.household.planner import next_command, plan
from agentgym.envs.household.play import NOTHING, Play
from agentgym.envs.household.world import GOALS, LOOK, MAX_THINGS, Room, Task, World, numbered
from agentgym.errors import ConfigError, EnvClosed, EnvContractError, ResetNeeded, UnknownName
from agentgym.testing import check_env

SEEDS = st.integers(0, 2**32 - 1)
WORLDS = st.builds(
    generate,
    SEEDS,
    size=st.sampled_from(list(SIZES)),
    split=st.sampled_from(SPLITS),
    task=st.sampled_from(TASKS),
)


def kitchen(task: Task | None = None) -> World:
    """A small fixed world: what is where can be read here."""
    room = Room(
        "studio", ("Cabinet", "CounterTop", "Fridge", "Microwave", "SinkBasin"), (0, 1, 2, 3, 4)
    )
    classes = ("Apple", "Apple", "Bread", "Knife", "Mug")  # apple 2, apple 1, bread 1, ...
    where = bytes([1, 2, 1, 1, 0])
    return World(
        room, classes, where, bytes(5), task or Task("pick_two_obj_and_place", "Apple", "SinkBasin")
    )


def after(world: World, *commands: str) -> Play:
    play = Play(world)
    for command in commands:
        assert play.do(command) is not None, command
    return play


# Solving ----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(WORLDS)
def test_gold_solves_within_the_turn_limit_and_not_before_its_end(world: World) -> None:
    play = Play(world)
    commands = plan(play)
    assert not play.won
    assert not any(play.seen), "planning must not change what the player has seen"
    for command in commands:
        assert not play.won
        assert command in play.commands
        play.do(command)
    assert play.won
    assert len(commands) <= 14 < min(size.turns for size in SIZES.values())


@settings(max_examples=200, deadline=None)
@given(WORLDS, st.randoms(use_true_random=False), st.floats(0, 0.7))
def test_expert_carries_on_whatever_was_done_in_between(
    world: World, rng: random.Random, noise: float
) -> None:
    play = Play(world)
    expert_turns = 0
    while not play.won:
        command = next_command(play)
        assert command in play.commands
        if rng.random() < noise:
            command = rng.choice(play.commands)
        else:
            expert_turns += 1
        assert play.do(command) is not None
        assert expert_turns < 400, "the expert goes round in circles"


@settings(max_examples=100, deadline=None)
@given(WORLDS, st.randoms(use_true_random=False))
def test_gold_solves_from_wherever_one_is(world: World, rng: random.Random) -> None:
    play = Play(world)
    for _ in range(25):
        play.do(rng.choice(play.commands))
    for command in plan(play):
        play.do(command)
    assert play.won


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(SPLITS))
def test_expert_alone_solves_within_the_turn_limit(seed: int, split: str) -> None:
    for size in ("tiny", "small"):
        play = Play(generate(seed, size=size, split=split))
        for _ in range(SIZES[size].turns):
            play.do(next_command(play))
        assert play.won


def test_expert_knows_only_what_it_has_seen() -> None:
    """Two worlds that look the same so far get the same advice, wherever the mug is."""
    room = kitchen().room
    task = Task("pick_and_place_simple", "Mug", "CounterTop")
    here, there = (World(room, ("Mug",), bytes([r]), bytes(5), task) for r in (0, 3))
    one, other = Play(here), Play(there)
    advice = []
    for _ in range(3):
        advice.append((next_command(one), next_command(other)))
        one.do(advice[-1][0])
        other.do(advice[-1][1])
    assert advice[:2] == [("go to cabinet 1",) * 2, ("open cabinet 1",) * 2]
    assert advice[2] == ("take mug 1 from cabinet 1", "go to countertop 1")


def test_expert_puts_down_what_is_not_wanted() -> None:
    play = after(kitchen(), "go to countertop 1", "take bread 1 from countertop 1")
    assert next_command(play) == "move bread 1 to countertop 1"


@pytest.mark.parametrize("size", SIZES)
def test_doing_nothing_never_solves(size: str) -> None:
    env = Household(size=size)
    for seed in range(10):
        env.reset(seed=seed)
        end = False
        while not end:
            _, reward, terminated, end, info = env.step(env.noop)
            assert (reward, terminated, info["success"]) == (0.0, False, None)
        assert env.turns == SIZES[size].turns


def test_each_task_type_is_judged_by_its_own_rule() -> None:
    hold = ("go to countertop 1", "take apple 2 from countertop 1")
    one_there = (*hold, "go to sinkbasin 1", "move apple 2 to sinkbasin 1")
    assert not after(kitchen(), *one_there).won
    fetch = ("go to fridge 1", "open fridge 1", "take apple 1 from fridge 1", "go to sinkbasin 1")
    assert after(kitchen(), *one_there, *fetch, "move apple 1 to sinkbasin 1").won
    for kind, tool, verb in (
        ("pick_heat_then_place_in_recep", "microwave 1", "heat"),
        ("pick_cool_then_place_in_recep", "fridge 1", "cool"),
        ("pick_clean_then_place_in_recep", "sinkbasin 1", "clean"),
    ):
        world = kitchen(Task(kind, "Apple", "CounterTop"))
        back = ("go to countertop 1", "move apple 2 to countertop 1")
        assert not after(world, *hold, f"go to {tool}", *back).won
        assert after(world, *hold, f"go to {tool}", f"{verb} apple 2 with {tool}", *back).won


def test_heating_and_cooling_undo_each_other() -> None:
    play = after(kitchen(), "go to countertop 1", "take apple 2 from countertop 1")
    for command, text in (
        ("go to microwave 1", None),
        ("heat apple 2 with microwave 1", "You heat the apple 2 using the microwave 1."),
        ("examine apple 2", "This is a hot apple 2."),
        ("go to fridge 1", None),
        ("cool apple 2 with fridge 1", "You cool the apple 2 using the fridge 1."),
        ("examine apple 2", "This is a cold apple 2."),
        ("go to sinkbasin 1", None),
        ("clean apple 2 with sinkbasin 1", "You clean the apple 2 using the sinkbasin 1."),
        ("examine apple 2", "This is a cool and clean apple 2."),
    ):
        answer = play.do(command)
        assert answer is not None
        assert text is None or answer == text


# Worlds and splits --------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(WORLDS)
def test_worlds_are_sound(world: World) -> None:
    room = world.room
    assert set(room.classes) <= set(words.FITS)
    assert len(world.where) == len(world.classes) <= MAX_THINGS
    for o, r in enumerate(world.where):
        cls = world.classes[o]
        assert cls in (words.LAMP_PLACES if cls in words.LAMPS else room.fits[r])
    assert not Play(world).won
    assert len(set(world.names)) == len(world.names)
    assert not set(world.names) & set(room.names)
    assert len(world.targets) >= GOALS[world.task.kind].count
    assert world.aims
    for r, opened in enumerate(world.opened):
        assert not opened or room.openable[r]


def test_no_name_is_both_a_receptacle_and_an_object() -> None:
    assert not set(words.FITS) & (words.PLACEABLE | words.LAMPS)
    able = words.HEATABLE | words.COOLABLE | words.CLEANABLE | words.SLICEABLE | words.KNIVES
    assert able | words.CONTAINERS <= words.PLACEABLE
    assert set(words.FITS) >= words.OPENABLE
    for cls in words.LAMPS:
        assert words.LAMP_PLACES[cls] <= set(words.FITS) - words.OPENABLE


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: str) -> None:
    worlds = [generate(seed, size=size) for seed in range(60)]
    counts = [len(world.classes) for world in worlds]
    fewest, most = SIZES[size].objects
    assert fewest <= min(counts) <= max(counts) <= most
    receptacles = [len(world.room.names) for world in worlds]
    if size == "full":
        assert 18 <= min(receptacles) <= max(receptacles) <= 32
        assert {world.room.kind for world in worlds} == set(SIZES["full"].kinds)
        assert any(any(world.room.shared) for world in worlds)
    else:
        assert set(receptacles) == {6}
    assert {world.task.kind for world in worlds} == set(GOALS)
    if size == "tiny":
        assert len({cls for world in worlds for cls in world.classes} - words.LAMPS) == 8


@pytest.mark.parametrize("size", SIZES)
def test_splits_share_no_world_and_valid_unseen_no_layout(size: str) -> None:
    def content(world: World) -> tuple[Any, ...]:
        room, task = world.room, world.task
        return (
            room.kind, room.classes, room.places, world.classes, world.where, world.opened,
            task.kind, task.obj, task.target,
        )  # fmt: skip

    worlds = {s: [generate(seed, size=size, split=s) for seed in range(150)] for s in SPLITS}
    layouts = {s: {(w.room.kind, w.room.classes) for w in worlds[s]} for s in SPLITS}
    contents = {s: {content(w) for w in worlds[s]} for s in SPLITS}
    assert not contents["train"] & contents["valid_seen"]
    assert not layouts["valid_unseen"] & (layouts["train"] | layouts["valid_seen"])
    assert layouts["valid_seen"] & layouts["train"]
    for split in SPLITS:
        assert all(is_unseen(w.room) == (split == "valid_unseen") for w in worlds[split])


def test_which_split_a_world_is_in_depends_on_the_world_alone() -> None:
    """Whatever the seed: the rule that decides looks at nothing but the world."""
    for size in SIZES:
        for unseen in (False, True):
            for task in GOALS:
                assert all(is_unseen(room) == unseen for room in rooms(size, unseen)[task])


def test_equal_seeds_give_equal_worlds_and_other_seeds_others() -> None:
    keys = [generate(seed, size="small").key for seed in range(50)]
    assert keys == [generate(seed, size="small").key for seed in range(50)]
    assert len(set(keys)) > 45


def test_worlds_of_a_version_never_change() -> None:
    """A recorded run must replay: change these keys only together with `Household.version`."""
    assert Household.version == 0
    found = {
        (size, split): generate(0, size=size, split=split).key for size in SIZES for split in SPLITS
    }
    assert found == GOLDEN_KEYS


GOLDEN_KEYS = {
    ("tiny", "train"): "de2f29a0997841b0",
    ("tiny", "valid_seen"): "09a8039c9dba420f",
    ("tiny", "valid_unseen"): "42836f93371cfeb4",
    ("small", "train"): "ce3bd912f2f89e24",
    ("small", "valid_seen"): "799b52ba8beb524d",
    ("small", "valid_unseen"): "fa7d0c1a3ceb4f26",
    ("full", "train"): "8fc0ee613c8ebb3d",
    ("full", "valid_seen"): "2b1c0d1d9709e00a",
    ("full", "valid_unseen"): "1caf88a734ee83a0",
}


# The environment ----------------------------------------------------------------------------------


def play_out(env: Household, seed: int, commands: "list[str]") -> list[Any]:
    seen: list[Any] = [env.reset(seed=seed)]
    for command in commands:
        seen.append((*env.step(command), env.state_key()))
        if seen[-1][2] or seen[-1][3]:
            break
    return seen


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from(list(SIZES)), st.randoms(use_true_random=False))
def test_same_seed_and_actions_same_episode(seed: int, size: str, rng: random.Random) -> None:
    env = Household(size=size)
    env.reset(seed=seed)
    commands = []
    for _ in range(15):
        play = env.play
        assert play is not None
        commands.append(rng.choice(play.commands))
        env.play.do(commands[-1])  # type: ignore[union-attr]
    assert play_out(Household(size=size), seed, commands) == play_out(env, seed, commands)


def test_what_reset_and_step_return() -> None:
    env = Household(size="tiny", task="pick_and_place_simple")
    text, info = env.reset(seed=1)
    assert text.startswith(
        "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room."
    )
    assert text.endswith(f"\n\nYour task is to: {env.world.task.text}.")
    assert info["task_type"] == "pick_and_place_simple"
    assert info["admissible_commands"] == tuple(sorted(info["admissible_commands"]))
    for command in [*info["admissible_commands"], "fly"]:
        env.reset(seed=1)
        text, reward, terminated, truncated, info = env.step(command)
        assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, None)
        assert info["action_valid"] == (command != "fly") == (text != NOTHING)
    env.reset(seed=1)
    total = 0.0
    for command in env.gold():
        _, reward, terminated, truncated, info = env.step(command)
        total += reward
    assert (total, terminated, truncated, info["success"]) == (1.0, True, False, True)


@settings(max_examples=60, deadline=None)
@given(WORLDS, st.randoms(use_true_random=False))
def test_admissible_is_exactly_what_does_something(world: World, rng: random.Random) -> None:
    play = Play(world)
    for _ in range(12):
        for command in play.commands:
            assert Play.load(play.save()).do(command) is not None
        o, p = rng.choices(world.names, k=2)
        r, q = rng.choices(world.room.names, k=2)
        for command in (
            f"go to {r}", f"open {r}", f"close {r}", f"take {o} from {r}", f"move {o} to {r}",
            f"use {o}", f"heat {o} with {r}", f"cool {o} with {r}", f"clean {o} with {r}",
            f"slice {o} with {p}", f"examine {o}", f"examine {q}",
        ):  # fmt: skip
            assert (Play.load(play.save()).do(command) is not None) == (command in play.commands)
        play.do(rng.choice(play.commands))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("kind", GOALS)
def test_a_solved_episode_sums_to_one(kind: str, dense: bool) -> None:
    env = Household(size="small", task=kind, dense_rewards=dense)
    for seed in range(5):
        env.reset(seed=seed)
        rewards, parts = [], []
        for command in env.gold():
            _, reward, _, _, info = env.step(command)
            rewards.append(reward)
            parts.append(info.get("reward_parts", {}))
        assert sum(rewards) == pytest.approx(1.0)
        if dense:
            assert sum(reward > 0 for reward in rewards) >= 2
            assert [sum(part.values()) for part in parts] == rewards
            assert "success" in parts[-1]
        else:
            assert not any(rewards[:-1])


def test_a_sub_goal_is_paid_once() -> None:
    env = Household(dense_rewards=True)
    env.reset(seed=0, options={"world": kitchen()})
    paid = [
        env.step(command)[1]
        for command in (
            "go to countertop 1",
            "take apple 2 from countertop 1",
            "move apple 2 to countertop 1",
            "take apple 2 from countertop 1",
        )
    ]
    assert paid == [0.0, 0.25, 0.0, 0.0]


def test_admissible_commands_can_be_shown() -> None:
    env = Household(size="tiny", show_admissible=True)
    text, info = env.reset(seed=0)
    shown = f"\n\nAdmissible commands: {', '.join(info['admissible_commands'])}."
    assert text == Household(size="tiny").reset(seed=0)[0] + shown
    assert "Admissible commands: " in env.step("look")[0]


# State keys and copies ----------------------------------------------------------------------------


def test_the_same_state_by_different_paths_has_the_same_key() -> None:
    start = ("go to countertop 1", "take apple 2 from countertop 1")
    direct = after(kitchen(), *start, "go to cabinet 1", "open cabinet 1")
    detour = after(
        kitchen(), "go to cabinet 1", "open cabinet 1", "inventory", *start, "look",
        "move apple 2 to countertop 1", "take apple 2 from countertop 1", "go to fridge 1", "help",
        "examine apple 2", "go to cabinet 1",
    )  # fmt: skip
    assert direct.key() == detour.key()


def test_different_states_have_different_keys() -> None:
    hold = ("go to countertop 1", "take apple 2 from countertop 1")
    plays = [
        Play(kitchen()),
        Play(kitchen(Task("pick_two_obj_and_place", "Apple", "SinkBasin", wording=1))),
        Play(kitchen(Task("pick_and_place_simple", "Apple", "Cabinet"))),
        after(kitchen(), "go to cabinet 1"),
        after(kitchen(), "go to cabinet 1", "open cabinet 1"),
        after(kitchen(), *hold),
        after(kitchen(), *hold, "go to microwave 1"),
        after(kitchen(), *hold, "go to microwave 1", "heat apple 2 with microwave 1"),
        after(kitchen(), *hold, "go to fridge 1"),
        after(kitchen(), *hold, "go to fridge 1", "cool apple 2 with fridge 1"),
        after(kitchen(), *hold, "go to sinkbasin 1", "clean apple 2 with sinkbasin 1"),
        after(kitchen(), hold[0], "take knife 1 from countertop 1"),
        after(kitchen(), hold[0], "take knife 1 from countertop 1", "slice apple 2 with knife 1"),
        after(kitchen(), hold[0], "take knife 1 from countertop 1", "slice bread 1 with knife 1"),
    ]
    keys = [play.key() for play in plays]
    assert len(set(keys)) == len(keys)


@settings(max_examples=40, deadline=None)
@given(WORLDS, st.randoms(use_true_random=False))
def test_equal_keys_mean_equal_futures(world: World, rng: random.Random) -> None:
    """Two random walks: wherever their keys meet, every command gives the same text and state."""
    met: dict[str, Play] = {}
    for _ in range(2):
        play = Play(world)
        for _ in range(40):
            twin = met.setdefault(play.key(), Play.load(play.save()))
            assert twin.commands == play.commands
            for command in play.commands:
                one, other = Play.load(play.save()), Play.load(twin.save())
                assert one.do(command) == other.do(command)
                assert (one.key(), one.won) == (other.key(), other.won)
            play.do(rng.choice(play.commands))


def test_dense_rewards_are_part_of_the_key() -> None:
    env = Household(dense_rewards=True)
    env.reset(seed=0, options={"world": kitchen()})
    env.step("go to countertop 1")
    before = env.state_key()
    env.step("take apple 2 from countertop 1")
    env.step("move apple 2 to countertop 1")
    assert env.state_key() != before, "the next take is not paid again"


def test_snapshots_can_be_restored_again_and_elsewhere() -> None:
    env = Household(size="small", dense_rewards=True)
    env.reset(seed=3)
    commands = list(env.gold())
    env.step(commands[0])
    saved, advice = env.snapshot(), env.expert()
    futures = []
    other = Household(size="small", dense_rewards=True)
    for one in (env, env, other):
        one.restore(saved)
        assert one.expert() == advice
        assert one.turns == 1
        futures.append([(*one.step(command), one.state_key()) for command in commands[1:]])
        with pytest.raises(ResetNeeded):
            one.step("look")
    assert futures[0] == futures[1] == futures[2]


def test_a_snapshot_of_an_ended_episode_is_ended() -> None:
    env = Household(size="tiny", max_turns=1)
    env.reset(seed=0)
    fresh = env.snapshot()
    env.step("look")
    saved = env.snapshot()
    env.restore(fresh)
    env.step("look")
    env.reset(seed=1)
    env.restore(saved)
    with pytest.raises(ResetNeeded):
        env.step("look")


def test_pickling() -> None:
    env = Household(size="tiny")
    env.reset(seed=5)
    env.step("look")
    copy = pickle.loads(pickle.dumps(env))
    assert copy.state_key() == env.state_key()
    assert [copy.step(c) for c in env.gold()] == [env.step(c) for c in env.gold()]


# Contract and bad input ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*not within a.*|.*render.*:UserWarning")
@pytest.mark.parametrize("size", SIZES)
def test_gymnasium_accepts_it(size: str) -> None:
    gymnasium_check_env(Household(size=size), skip_render_check=True)


@pytest.mark.parametrize("size", SIZES)
def test_our_own_check_accepts_it(size: str) -> None:
    check_env("household", preset=size).raise_on_failure()


@pytest.mark.parametrize("preset", Household.presets)
def test_presets(preset: str) -> None:
    env = make("household", preset=preset)
    assert isinstance(env, Household)
    assert env.max_turns == SIZES[preset].turns


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "tinny"}, "no size 'tinny'; did you mean 'tiny'?"),
        ({"size": "huge"}, "size is one of tiny, small, full"),
        ({"size": None}, "no size None"),
        ({"size": []}, "no size []"),
        ({"split": "valid_sen"}, "did you mean 'valid_seen'"),
        ({"split": "test"}, "split is one of train, valid_seen, valid_unseen"),
        ({"task": "pick_heat"}, "pick_heat_then_place_in_recep"),
        ({"dense_rewards": "yes"}, "dense_rewards must be true or false, got 'yes'"),
        ({"show_admissible": 1}, "show_admissible must be true or false, got 1"),
        ({"max_turns": 0}, "max_turns must be a whole number of at least 1, got 0"),
        ({"max_turns": 2.5}, "got 2.5"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Household(**options)
    assert said in str(caught.value)


def test_unknown_options() -> None:
    with pytest.raises(UnknownName, match="did you mean 'size'"):
        make("household", sise="tiny")
    with pytest.raises(UnknownName, match="did you mean 'world'"):
        Household().reset(options={"word": None})
    with pytest.raises(ConfigError, match="must be a World"):
        Household().reset(options={"world": "kitchen"})


@pytest.mark.parametrize(
    "action",
    ["", " ", "x" * 1_000_000, "\x00", "\x1b[2J", "\udc80", "看", "take  from ", " to ", "go to",
     "go to ", "move to ", "open", "use ", "slice with", "heat with ", "LOOK", "look look",
     "take apple 1"],
)  # fmt: skip
def test_malformed_actions_change_nothing(action: str) -> None:
    env = Household(size="tiny")
    env.reset(seed=0)
    for _ in range(2):
        before = env.state_key()
        text, reward, terminated, _, info = env.step(action)
        assert (text, reward, terminated) == (NOTHING, 0.0, False)
        assert info["action_valid"] is False
        assert env.state_key() == before
        env.step("go to fridge 1")


@pytest.mark.parametrize("action", [None, 3, b"look", ["look"]])
def test_actions_that_are_not_strings(action: Any) -> None:
    env = Household(size="tiny")
    env.reset(seed=0)
    with pytest.raises(EnvContractError, match="must be a str"):
        env.step(action)


def test_out_of_order() -> None:
    env = Household(size="tiny")
    assert env.state_key() is None
    for call in (lambda: env.step("look"), env.gold, env.expert, env.snapshot, lambda: env.world):
        with pytest.raises(ResetNeeded):
            call()
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(EnvClosed):
        env.step("look")
    with pytest.raises(EnvClosed):
        env.reset()


def test_worlds_that_the_engine_would_name_otherwise_are_refused() -> None:
    many = MAX_THINGS + 1
    task = Task("pick_and_place_simple", "Mug", "Cabinet")
    room = kitchen().room
    with pytest.raises(ValueError, match="receptacles of a room must be 1 to 99, got 100"):
        Room("kitchen", ("Drawer",) * many, tuple(range(many)))
    with pytest.raises(ValueError, match="receptacles of a room must be sorted"):
        Room("kitchen", ("Drawer", "Cabinet"), (0, 1))
    with pytest.raises(ValueError, match="numbered from 0, no gaps"):
        Room("kitchen", ("Cabinet", "Drawer"), (0, 2))
    with pytest.raises(ValueError, match="objects of a world must be 1 to 99, got 100"):
        World(room, ("Mug",) * many, bytes(many), bytes(5), task)
    with pytest.raises(ValueError, match="objects of a world must be sorted"):
        World(room, ("Mug", "Apple"), bytes(2), bytes(5), task)
    with pytest.raises(ValueError, match="2 objects need as many bytes, got 1"):
        World(room, ("Apple", "Mug"), bytes(1), bytes(5), task)


def test_numbers_count_down_within_a_class() -> None:
    assert numbered(("Cabinet", "Cabinet", "Shelf")) == ("cabinet 2", "cabinet 1", "shelf 1")
    assert LOOK in GOALS


def test_exporting_says_what_is_missing_or_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no size 'ful'; did you mean 'full'"):
        export_games(tmp_path, size="ful")
    with pytest.raises(ConfigError, match="only a household world can be exported, got Guess"):
        export_game(make("guess"), tmp_path / "game.tw-pddl")
    with pytest.raises(ResetNeeded):
        export_game(Household(), tmp_path / "game.tw-pddl")
    monkeypatch.setitem(sys.modules, "alfworld", None)
    with pytest.raises(ConfigError, match=r"pip install 'agentgym\[alfworld\]'"):
        export_game(kitchen(), tmp_path / "deep" / "game.tw-pddl")
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_it_needs_neither_torch_nor_the_real_engine() -> None:
    code = (
        "import sys, agentgym.envs.household.export; "
        "print(sorted({'torch', 'textworld', 'alfworld', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
