"""The service worlds themselves: their tools, their rules, and the tasks drawn from them."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.tooluse.answers import IMPOSSIBLE, Answer, tokens_of
from agentgym.envs.tooluse.names import POOLS, SPLITS, Dice, Setting
from agentgym.envs.tooluse.plan import DONE
from agentgym.envs.tooluse.tasks import SIZES, WORLDS, Task, draw_task
from agentgym.envs.tooluse.wordings import BANK, FOLDERS, OFFICE, SHOP
from agentgym.envs.tooluse.world import World
from agentgym.errors import ToolError
from agentgym.types import JSON

WORDINGS = {"shop": SHOP, "office": OFFICE, "folders": FOLDERS, "bank": BANK}


def made(world: str, seed: int = 0, size: str = "small") -> Any:
    """Return a filled world; its tools are methods."""
    found = WORLDS[world]()
    found.fill(Setting(size, False, Dice(np.random.default_rng(seed))))
    return found


def drawn(seed: int, size: str, split: str, world: str | None = None) -> Task:
    rng = np.random.default_rng(seed)
    return draw_task(rng, size=size, split=split, world=world, goals=None)


# Tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_every_tool_is_described(world: str) -> None:
    toolset = made(world).toolset()
    assert len(toolset.names) >= 8
    assert toolset.names == WORLDS[world].tools
    for name in toolset.names:
        tool = toolset[name]
        assert tool.description
        properties: Any = tool.parameters["properties"]
        assert properties
        for argument, schema in properties.items():
            assert schema.get("description"), (name, argument)


@settings(max_examples=80, deadline=None)
@given(world=st.sampled_from(list(WORLDS)), seed=st.integers(0, 50), data=st.data())
def test_tools_answer_or_refuse_and_looks_change_nothing(
    world: str, seed: int, data: st.DataObject
) -> None:
    """Whatever is asked: no other exception, short text, and a state that is plain data."""
    here: World = made(world, seed)
    toolset = here.toolset()
    for _ in range(12):
        name = data.draw(st.sampled_from(toolset.names))
        properties: Any = toolset[name].parameters["properties"]
        arguments: dict[str, JSON] = {}
        for argument, schema in properties.items():
            if schema.get("type") == "integer":
                arguments[argument] = data.draw(st.integers(-5, 20) | st.integers())
            else:
                known = sorted(here.values(argument)) or ["x"]
                arguments[argument] = data.draw(st.sampled_from(known) | st.text(max_size=9))
        before = here.copied()
        result = toolset.call(name, arguments)
        assert result.status in ("ok", "refused", "wrong arguments"), result
        assert len(result.text) < 2000
        assert json.loads(json.dumps(here.state)) == here.state
        if result.status != "ok" or name in here.looks:
            assert here.state == before, (name, arguments)


# Rules ---------------------------------------------------------------------------------------


def test_rules_of_the_shop() -> None:
    shop = made("shop", 1)
    orders = shop.state["orders"]
    for order in orders.values():
        order["status"] = "open"
    first, second, third, *_ = orders
    orders[second]["status"], orders[third]["status"] = "shipped", "delivered"
    for key, verbs in {second: ("cancel", "take_back"), third: ("cancel",)}.items():
        for verb in verbs:
            with pytest.raises(ToolError, match="cannot be"):
                getattr(shop, verb)(key)
    with pytest.raises(ToolError, match="it is open; there is nothing to pay back"):
        shop.refund(first, "card")
    shop.take_back(third)
    shop.refund(third, "card")
    with pytest.raises(ToolError, match="paid back already"):
        shop.refund(third, "card")
    empty = next(iter(shop.state["items"]))
    shop.state["items"][empty]["left"] = 0
    with pytest.raises(ToolError, match=f"no {empty} is left"):
        shop.swap(first, empty)


def test_rules_of_the_bank() -> None:
    bank = made("bank", 1)
    accounts = bank.state["accounts"]
    one, two, three, *_ = accounts
    for account in accounts.values():
        account.update(status="active", balance=300, limit=100, code=4321)
    accounts[three]["status"] = "frozen"
    with pytest.raises(ToolError, match="the limit is 100; above it the right code is needed"):
        bank.transfer(one, two, 150)
    with pytest.raises(ToolError, match="the right code"):
        bank.transfer(one, two, 150, 4321)  # guessed, not asked for
    assert bank.request_code(one) == "code 4321"
    with pytest.raises(ToolError, match="the right code"):
        bank.transfer(one, two, 150, 1)
    bank.transfer(one, two, 150, 4321)
    assert (accounts[one]["balance"], accounts[two]["balance"]) == (150, 450)
    assert bank.state["codes"] == {one: {"asked": 1}}
    for source, target, amount, said in [
        (one, two, 151, "balance is only 150"),
        (one, three, 10, "frozen"),
        (three, one, 10, "frozen"),
        (one, one, 10, "two accounts"),
        (one, two, 0, "at least 1"),
        (one, two, -5, "at least 1"),
    ]:
        with pytest.raises(ToolError, match=said):
            bank.transfer(source, target, amount)
    pending = next(k for k, p in bank.state["payments"].items() if p["status"] == "pending")
    with pytest.raises(ToolError, match="only one that is done"):
        bank.dispute(pending)
    bank.cancel_payment(pending)
    with pytest.raises(ToolError, match="cannot be cancelled"):
        bank.cancel_payment(pending)


def test_rules_of_the_office() -> None:
    office = made("office", 1)
    meetings = office.state["meetings"]
    one, two, *_ = meetings
    meetings[one].update(lead="Ann", **{"with": "Bob"}, day="Monday", hour=9)
    meetings[two].update(lead="Cid", **{"with": "Bob"}, day="Monday", hour=10)
    with pytest.raises(ToolError, match="Bob has another meeting then"):
        office.move(one, "Monday", 10)
    office.move(one, "Monday", 9)  # itself is not in the way
    for hour in (8, 17):
        with pytest.raises(ToolError, match="from 9 to 16"):
            office.move(one, "Monday", hour)
    mail = next(iter(office.state["mails"]))
    with pytest.raises(ToolError, match="there is no person 'Stranger'"):
        office.forward(mail, "Stranger")
    with pytest.raises(ToolError, match="leads it"):
        office.book("cake", "Friday", 9, office.state["boss"]["boss"]["name"])


def test_rules_of_the_folders() -> None:
    world = made("folders", 1)
    files, folders = world.state["files"], world.state["folders"]
    path, other, *_ = files
    files[path]["locked"] = 1
    files[other]["locked"] = 0
    away = next(folder for folder in folders if not path.startswith(f"{folder}/"))
    for verb, more in (("move", (away,)), ("rename", ("new.txt",)), ("throw_away", ())):
        with pytest.raises(ToolError, match="it is locked"):
            getattr(world, verb)(path, *more)
    assert world.copy(path, away) == f"now also {away}/{path.rpartition('/')[2]}"
    with pytest.raises(ToolError, match="is there already"):
        world.copy(path, away)
    for bad in ("photos", "/no_such/folder", f"{away}/a b", f"{away}/..", "/"):
        with pytest.raises(ToolError):
            world.make_folder(bad)
    for bad in ("../x", "a/b", ""):
        with pytest.raises(ToolError, match="a name has only"):
            world.rename(other, bad)


def test_new_records_do_not_tell_the_order_in_which_they_were_made() -> None:
    ends = []
    for order in itertools.permutations(range(3)):
        bank = made("bank", 2)
        accounts = bank.state["accounts"]
        for account in accounts.values():
            account.update(status="active", balance=500, limit=400)
        keys = sorted(accounts)
        for k in order:
            bank.transfer(keys[k], keys[k + 1], 10 + k)
        ends.append(bank.state)
    assert all(end == ends[0] for end in ends)


# Tasks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("world", WORLDS)
def test_sizes(size: str, world: str) -> None:
    low, high = SIZES[size].goals
    counts: set[int] = set()
    kinds: set[str] = set()
    for seed in range(60):
        task = drawn(seed, size, "train", world)
        counts.add(len(task.goals))
        kinds.update(goal.kind for goal in task.goals)
        assert task.world == world
    assert counts == {*range(low, high + 1)}
    assert kinds == {*WORLDS[world].kinds[size]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("goals", ["fewest", "most"])
def test_any_number_of_goals_can_be_drawn(size: str, goals: str) -> None:
    count = 1 if goals == "fewest" else SIZES[size].most
    for world in WORLDS:
        for split in SPLITS:
            rng = np.random.default_rng(0)
            task = draw_task(rng, size=size, split=split, world=world, goals=count)
            assert len(task.goals) == count


@pytest.mark.parametrize("size", SIZES)
def test_splits_share_no_task(size: str) -> None:
    keys = {split: {drawn(seed, size, split).key for seed in range(120)} for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not keys[one] & keys[other]


def test_unseen_tasks_have_names_and_wordings_of_their_own() -> None:
    for world, wordings in WORDINGS.items():
        for kind in {kind for kinds in WORLDS[world].kinds.values() for kind in kinds}:
            seen, unseen = wordings[kind]
            assert len(seen) >= 2
            assert unseen
            assert not {*seen} & {*unseen}
    for size in ("small", "full"):
        names: dict[str, set[str]] = {}
        for split in SPLITS:
            tasks = [drawn(seed, size, split) for seed in range(40)]
            names[split] = {
                name.partition(".")[0].removeprefix("new")
                for task in tasks
                for goal in task.goals
                for name in goal.about
            }
        shared = names["train"] & names["valid_unseen"]
        assert shared <= {  # what is no name
            *("savings", "current", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
            *("invoice", "question", "offer", "minutes", "reminder"),
        }
        assert len(names["train"] & names["valid_seen"]) > 20


def test_tiny_splits_differ_in_combinations_of_the_same_names() -> None:
    themes: dict[str, set[Any]] = {}
    for split in SPLITS:
        tasks = [drawn(seed, "tiny", split, "shop") for seed in range(300)]
        themes[split] = {(goal.kind, goal.about) for task in tasks for goal in task.goals}
    assert not themes["train"] & themes["valid_unseen"]
    assert not themes["valid_seen"] & themes["valid_unseen"]
    assert themes["train"] & themes["valid_seen"]
    words = {name for theme in themes["valid_unseen"] for name in theme[1]}
    assert words <= {name for theme in themes["train"] for name in theme[1]}


def test_names_cannot_be_mistaken() -> None:
    """No name is part of another, stands in two pools, or is a word of a request or a verdict."""
    names = [name for pool in POOLS.values() for part in pool for name in part.split()]
    spelled = [tuple(tokens_of(name)) for name in names]
    assert all(len(tokens) == 1 for tokens in spelled)
    assert len({*spelled}) == len(spelled)
    assert not {*spelled} & {(IMPOSSIBLE,), (DONE,)}


def test_a_task_does_not_tell_its_answers() -> None:
    for size, world in itertools.product(SIZES, WORLDS):
        for seed in range(40):
            task = drawn(seed, size, "train", world)
            told = f" {' '.join(tokens_of(task.text))} "
            for answer in task.answers:
                assert f" {' '.join(tokens_of(answer.value))} " not in told
            assert task.answers or task.impossible or task.start != task.end


def test_tiny_tasks_are_short_and_have_few_words() -> None:
    words: set[str] = set()
    for seed in range(200):
        task = drawn(seed, "tiny", "train", "shop")
        assert len(task.text) <= 40
        assert 2 <= sum(len(goal.looks) + len(goal.acts) for goal in task.goals) + 1 <= 4
        words.update(tokens_of(task.text))
    assert len(words) < 50


# Answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ("1,250.00 EUR", ["1250", "eur"]),
        ("007", ["7"]),
        ("0", ["0"]),
        ("12.5", ["12.5"]),
        ("at 9:30.", ["at", "09:30"]),
        ("14th", ["14th"]),
        ("order-7", ["order", "7"]),
        ("ALPHA.TXT", ["alpha", "txt"]),
        ("", []),
    ],
)
def test_tokens(said: str, tokens: list[str]) -> None:
    assert tokens_of(said) == tokens


@pytest.mark.parametrize(
    ("answer", "said", "verdict"),
    [
        (Answer("42"), "42", True),
        (Answer("42"), "It is 42.00!", True),
        (Answer("42"), "order 7: 42", True),  # 7 was told
        (Answer("42"), "order 8: 42", False),
        (Answer("42"), "43", False),
        (Answer("42"), "order 7", None),
        (Answer("42"), "forty-two", None),
        (Answer("42"), "142", False),
        (Answer("42"), "42" + " " * 5000 + "43", True),  # nobody reads so far
        (Answer("Friday", frozenset({"Monday"})), "on friday", True),
        (Answer("Friday", frozenset({"Monday"})), "Monday or Friday", False),
        (Answer("Friday", frozenset({"Monday"})), "Monday", False),
        (Answer("Friday", frozenset({"Monday"})), "Fridays", None),
        (Answer("Friday", frozenset({"Monday", "Sunday"})), "Sunday's talk is on Friday", True),
    ],
)
def test_judging(answer: Answer, said: str, verdict: bool | None) -> None:
    assert answer.judged(said, ["order 7 of Sunday"]) is verdict
