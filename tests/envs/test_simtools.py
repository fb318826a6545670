"""Simtools: the dialogue, its rules and rewards, and the dialogues of our own."""

import json
import math
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simtools_cases import calls, facts, play, playing, shop, shop_dialogue, written

from agentgym import make
from agentgym.agents import GoldAgent, NoopAgent
from agentgym.envs.simtools import SimTools
from agentgym.envs.simtools.domains import NAMES
from agentgym.envs.simtools.files import read_dialogues, write_dialogues
from agentgym.envs.simtools.generate import SIZES, SPLITS, draw_dialogue, sample
from agentgym.envs.simtools.rules import Entry, Scene, plain, same, verdict
from agentgym.envs.simtools.services import DOMAINS
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.rewards.checklist import mean_score
from agentgym.rollout import Limits, Task, collect
from agentgym.testing import check_env
from agentgym.toolcalls import Reply
from agentgym.types import JSON

TEA: dict[str, JSON] = {"item": "tea", "count": 3}


def result(env: SimTools, k: int = 0) -> Any:
    """Return what the k-th successful call brought."""
    return env.memory[k].result


def price(env: SimTools) -> Any:
    return result(env)["price"]


# Contract -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", SimTools.presets)
def test_our_own_check_accepts_it(preset: str) -> None:
    report = check_env("simtools", preset=preset, seeds=(0, 1)).raise_on_failure()
    assert not report.warnings, report


def test_our_own_check_accepts_files(tmp_path: Path) -> None:
    check_env(
        "simtools", options={"dialogues": written(tmp_path, shop()), "split": "all"}, seeds=(0,)
    ).raise_on_failure()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", SPLITS)
def test_gold_scores_full_marks_and_noop_none(size: str, split: str) -> None:
    tasks = [Task("simtools", {"size": size, "split": split}, seed) for seed in range(25)]
    for agent, mark in ((GoldAgent(), 1.0), (NoopAgent(), 0.0)):
        for group in collect(tasks, 1, agent, None, seed=0, limits=Limits()):
            [trajectory] = group.trajectories_G
            assert trajectory.success is bool(mark)
            assert trajectory.episode_return == pytest.approx(mark, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "tinny"}, "no size 'tinny'; did you mean 'tiny'?"),
        ({"split": "all"}, "split is one of train, valid_seen, valid_unseen"),
        ({"simulator": "shema"}, "neither 'schema' nor a language model"),
        ({"judge": "rule"}, "did you mean 'rules'?"),
        ({"judge": 3}, "judge must be a text, got 3"),
        ({"dialogues": ""}, "dialogues must be a text"),
        ({"dialogues": "nowhere.jsonl"}, "cannot read nowhere.jsonl"),
        ({"cassette": "c"}, "a cassette keeps what language models say"),
        ({"cassette_mode": "replay"}, "cassette_mode='replay' needs cassette=PATH"),
        ({"outcome": -1.0}, "outcome must be a number of at least 0, got -1.0"),
        ({"format_penalty": True}, "format_penalty must be a number"),
        ({"judge_checks": 1.5}, "judge_checks must be a number from 0 to 1, got 1.5"),
        ({"judge_checks": True}, "judge_checks must be a number from 0 to 1, got True"),
        ({"max_turns": 0}, "max_turns must be a whole number of at least 1, got 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SimTools(**options)
    assert said in str(caught.value)


def test_unknown_options() -> None:
    with pytest.raises(UnknownName, match="did you mean 'simulator'"):
        make("simtools", simulater="schema")
    with pytest.raises(UnknownName, match="reset option of simtools"):
        SimTools(size="tiny").reset(options={"dialogue": None})


def test_before_reset() -> None:
    env = SimTools(size="tiny")
    assert env.state_key() is None
    assert env.memory == ()
    for call in (env.gold, env.snapshot, lambda: env.dialogue):
        with pytest.raises(ResetNeeded):
            call()


# The course of a dialogue -------------------------------------------------------------------------


def test_a_dialogue_with_its_rewards(tmp_path: Path) -> None:
    env = playing(tmp_path)
    assert "You work for a tea shop." in env.instructions
    called = env.step(calls(("order", TEA)))
    assert (called[1], called[2]) == (0.0, False)
    assert json.loads(called[0]) == result(env)
    said = env.step(f"It costs {price(env)}.")
    assert said[0] == "Cancel it. What is the fee?"
    assert (said[1], said[2], said[4]["success"]) == (0.5, False, None)
    assert said[4]["reward_parts"] == {"checklist": 0.5, "outcome": 0.0}
    last = env.step("I will not do that.")
    assert (last[1], last[2], last[4]["success"]) == (0.0, True, False)


def test_the_reward_is_the_mean_turn_score(tmp_path: Path) -> None:
    """Whatever is met of the checklist, the return is CM2's mean over turns."""
    for order, say, cancel, fee in [(1, 1, 1, 1), (1, 0, 1, 0), (1, 1, 0, 0), (1, 0, 0, 0)]:
        env = playing(tmp_path)
        steps = play(env, [calls(("order", TEA))] * order)
        steps += play(env, [f"It costs {price(env)}." if say else "Done."])
        order_id = result(env)["order_id"]
        steps += play(env, [calls(("cancel", {"order_id": order_id}))] * cancel)
        value = result(env, -1)["fee"] if fee else ""
        steps += play(env, [f"Fee: {value}"])
        met = [
            {name for name, yes in turn.items() if yes}
            for turn in ({"ordered": order, "priced": say}, {"cancelled": cancel, "fee": fee})
        ]
        checklist = tuple(turn.checklist for turn in env.dialogue.turns)
        assert sum(step[1] for step in steps) == pytest.approx(mean_score(checklist, met))
        assert steps[-1][4]["success"] is bool(say and cancel and fee)


def test_a_required_criterion_stops_the_dialogue(tmp_path: Path) -> None:
    """Turns that were not reached count 0."""
    env = playing(tmp_path)
    _, reward, terminated, _, info = env.step("It costs 12.")
    assert (reward, terminated, info["success"]) == (0.0, True, False)


def test_what_was_satisfied_once_stays_satisfied(tmp_path: Path) -> None:
    """A failed call forces a no on criteria about tools, in its own step only."""
    env = playing(tmp_path)
    first = env.step(calls(("order", TEA)))
    assert facts(first)["checklist"] == {
        "user_turn": 0,
        "satisfied": {"ordered": True, "priced": False},
    }
    failed = env.step(calls(("look_up", {"order_id": "order 99999"})))
    assert failed[0] == "error: there is no order_id 'order 99999'"
    assert facts(failed)["checklist"]["satisfied"] == {"ordered": False, "priced": False}
    both = env.step(calls(("order", TEA), ("look_up", {"order_id": "none"})))
    assert facts(both)["checklist"]["satisfied"]["ordered"] is False
    assert env.step("Done.")[1] == pytest.approx(0.3)


def test_criteria_are_stated_in_the_first_turn_only(tmp_path: Path) -> None:
    env = playing(tmp_path)
    first, second = play(env, [calls(("order", TEA)), "Done."])
    assert [[each["id"] for each in turn] for turn in facts(first)["criteria"]] == [
        ["ordered", "priced"],
        ["cancelled", "fee"],
    ]
    assert facts(first)["criteria"][0][1] == {
        "id": "priced",
        "weight": 0.4,
        "depends_on": ["ordered"],
    }
    assert "criteria" not in facts(second)
    assert (facts(first)["tool_calls"], facts(second)["tool_calls"]) == (1, 0)


def test_parts_of_the_reward_add_up(tmp_path: Path) -> None:
    env = playing(tmp_path, outcome=2.0, format_penalty=0.25)
    plan = env.gold()
    assert plan is not None
    steps = play(env, [calls(("odrer", TEA)), *plan])
    assert steps[0][4]["reward_parts"] == {"format": -0.25}
    assert steps[-1][4]["reward_parts"] == {"checklist": 0.5, "outcome": 2.0}
    for _, reward, _, _, info in steps:
        assert math.fsum(info.get("reward_parts", {}).values()) == pytest.approx(reward)


def test_a_turn_that_the_limit_cuts_off_is_not_scored(tmp_path: Path) -> None:
    env = playing(tmp_path, max_turns=2)
    steps = play(env, [calls(("order", TEA)), calls(("order", TEA))])
    assert [step[1] for step in steps] == [0.0, 0.0]
    assert (steps[-1][2], steps[-1][3], steps[-1][4]["success"]) == (False, True, None)


def test_calls_of_an_earlier_user_turn_do_not_count(tmp_path: Path) -> None:
    """Cancelling before one is asked to meets no criterion of the turn that asks."""
    env = playing(tmp_path)
    play(env, [calls(("order", TEA))])
    order_id = result(env)["order_id"]
    play(env, [calls(("cancel", {"order_id": order_id})), f"{price(env)}"])
    assert env.step("Cancelled already.")[1] == 0.0


def test_turns_may_use_the_same_ids(tmp_path: Path) -> None:
    """What was satisfied in a turn says nothing of the next one's criteria."""
    data = shop()
    for first, second in zip(*data["checklist"], strict=True):
        second["id"] = first["id"]
    del data["checklist"][0][1]["dependence"]
    env = playing(tmp_path, data)
    env.step(calls(("order", TEA)))
    env.step(f"{price(env)}")
    _, reward, terminated, _, info = env.step("No.")
    assert (reward, terminated, info["success"]) == (0.0, True, False)


# States -------------------------------------------------------------------------------------------


def test_the_state_key_counts_no_steps(tmp_path: Path) -> None:
    env = playing(tmp_path)
    keys = [env.state_key()]
    for action in [calls(("order", TEA))] * 3 + [calls(("nothing", {})), calls(("order", {}))]:
        env.step(action)
        keys.append(env.state_key())
    assert keys[0] != keys[1]
    assert len(set(keys[1:])) == 1
    env.step(calls(("order", {"item": "tea", "count": 4})))
    assert env.state_key() not in keys


def test_snapshots_can_be_restored_elsewhere(tmp_path: Path) -> None:
    env, other = playing(tmp_path), playing(tmp_path)
    plan = list(env.gold() or ())
    env.step(plan[0])
    saved = env.snapshot()
    other.step("I am elsewhere.")
    futures = []
    for one in (env, env, other):
        one.restore(saved)
        assert (one.turns, list(one.gold() or ())) == (1, plan[1:])
        futures.append([(*one.step(action), one.state_key()) for action in plan[1:]])
    assert futures[0] == futures[1] == futures[2]


def test_pickling(tmp_path: Path) -> None:
    env = playing(tmp_path)
    plan = list(env.gold() or ())
    env.step(plan[0])
    other = pickle.loads(pickle.dumps(env))
    assert other.state_key() == env.state_key()
    assert play(other, plan[1:]) == play(env, plan[1:])


def test_gold_knows_when_it_is_too_late(tmp_path: Path) -> None:
    env = playing(tmp_path)
    play(env, [calls(("order", TEA)), "Done."])
    assert env.gold() is None
    env = playing(tmp_path)
    play(env, [calls(("order", TEA)), "Done.", calls(("order", TEA))])
    assert env.gold() is None
    env = playing(tmp_path)
    play(env, [calls(("order", TEA))])
    play(env, [f"{price(env)}", calls(("order", {"item": "tea", "count": 1}))])
    assert env.gold() is None, "ordered again, which the second turn forbids"


# Rules --------------------------------------------------------------------------------------------

SKIES: list[JSON] = ["clear", "cloudy", "dark cloudy", "rainy"]
SKY = {"says": {"result": "weather", "of": {"city": "Oslo"}, "at": "sky"}}


def heard(said: str | None, *memory: Entry, asked: str = "How is the sky over Oslo?") -> Scene:
    entries = memory or (Entry(0, "weather", {"city": "Oslo"}, {"sky": "cloudy", "wind": 12}),)
    return Scene(0, entries, [asked], said, {"sky": SKIES})


@pytest.mark.parametrize(
    ("said", "met"),
    [
        ("It is cloudy.", True),
        ("CLOUDY", True),
        ("It is c\u200bloudy\u202e", True),
        ("\uff23\uff2c\uff2f\uff35\uff24\uff39", True),
        ("Cloudy, with wind of 12.", True),
        ("It is cloudyish.", False),
        ("It is overcloudy.", False),
        ("It is rainy.", False),
        ("It is cloudy or rainy.", False),
        ("clear cloudy rainy", False),
        ("", False),
        (None, False),
    ],
)
def test_an_answer_names_the_value_and_no_other(said: str | None, met: bool) -> None:
    assert verdict(SKY, heard(said)) is met


def test_the_user_may_name_other_values() -> None:
    asked = "Is it rainy in Oslo?"
    assert verdict(SKY, heard("Not rainy: cloudy.", asked=asked))
    assert not verdict(SKY, heard("Not clear: cloudy.", asked=asked))


@pytest.mark.parametrize(
    ("said", "met"),
    [
        ("12 km/h", True), ("12.0", True), ("12", True), ("wind:12,", True),
        ("1,200", False), ("112", False), ("12.5", False), ("-12", False), ("twelve", False),
        ("12 or 13", True), (" ".join(map(str, range(1, 30))), False),
    ],
)  # fmt: skip
def test_numbers_are_compared_by_value(said: str, met: bool) -> None:
    rule = {"says": {"result": "weather", "at": "wind"}}
    assert verdict(rule, heard(said)) is met


def test_an_answer_may_not_name_what_another_call_returned() -> None:
    memory = [
        Entry(0, "weather", {"city": city}, {"sky": sky, "wind": wind})
        for city, sky, wind in (("Oslo", "cloudy", 12), ("Bergen", "rainy", 40))
    ]
    wind = {"says": {"result": "weather", "of": {"city": "oslo"}, "at": "wind"}}
    assert verdict(wind, heard("12", *memory))
    assert not verdict(wind, heard("40", *memory))
    assert not verdict(wind, heard("12 or 40", *memory))
    both = Scene(0, memory, ["Both?"], "12 and 40", {}, expected=[12, 40])
    assert verdict(wind, both)


def test_called() -> None:
    rule: dict[str, Any] = {"called": "book", "with": {"room": "A"}, "not_after": ["cancel"]}
    book, cancel = Entry(0, "book", {"room": "a ", "x": 1}, {}), Entry(0, "cancel", {}, {})
    assert verdict(rule, heard(None, book))
    assert verdict(rule, heard(None, book, cancel))
    assert not verdict(rule, heard(None, cancel, book))
    assert not verdict(rule, heard(None, Entry(0, "book", {"room": "B"}, {})))
    assert not verdict(rule, heard(None, Entry(1, "book", {"room": "A"}, {})))


def test_never_is_decided_when_the_turn_ends() -> None:
    rule = {"never": "cancel"}
    book, cancel = Entry(0, "book", {}, {}), Entry(0, "cancel", {}, {})
    assert [verdict(rule, heard(said, book)) for said in (None, "Done.")] == [False, True]
    assert not verdict(rule, heard("Done.", book, cancel))


def test_values_come_from_the_results_before_the_call() -> None:
    found = Entry(0, "find", {}, {"rooms": [{"id": "A", "price": 9}, {"id": "B", "price": 4}]})
    rule = {"called": "book", "with": {"room": {"result": "find", "at": "rooms[min price].id"}}}
    book = Entry(0, "book", {"room": "B"}, {})
    assert verdict(rule, heard(None, found, book))
    assert not verdict(rule, heard(None, book, found)), "a lucky guess before looking"
    assert verdict({"any": [{"never": "x"}, rule]}, heard(None, found, book))
    for at, name in (("[max price]", "A"), ("[1]", "B"), ("[0]", "A")):
        said = {"says": {"result": "find", "at": f"rooms{at}.id"}}
        assert [verdict(said, heard(each, found)) for each in "AB"] == [name == "A", name == "B"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
@settings(max_examples=60)
def test_same_is_reflexive(value: JSON) -> None:
    assert same(value, json.loads(json.dumps(value)))


@given(st.text(max_size=20))
@settings(max_examples=60)
def test_plain_is_idempotent(text: str) -> None:
    assert plain(plain(text)) == plain(text) or "\u0345" in text


# Dialogues of our own -----------------------------------------------------------------------------


def test_a_sample_of_60_is_varied_and_survives_a_file(tmp_path: Path) -> None:
    made = sample(60, size="full")
    assert len({each.digest for each in made}) == 60
    assert sample(20, size="full") == made[:20]
    kinds = Counter(each.id.partition("-")[0] for each in made)
    assert set(kinds) == set(DOMAINS)
    assert {len(each.turns) for each in made} == {2, 3, 4}
    path = tmp_path / "sample.jsonl"
    assert write_dialogues(path, made) == 60
    assert list(read_dialogues(path)) == made


def test_a_file_is_played_once_by_consecutive_seeds(tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl"
    write_dialogues(path, sample(12))
    parts = {split: SimTools(dialogues=str(path), split=split) for split in ("all", "train")}
    for split, env in parts.items():
        count = 12 if split == "all" else len(env._file)
        played = [env.reset(seed=seed)[1]["dialogue"] for seed in range(5, 5 + count)]
        assert len(set(played)) == count
    assert len(parts["train"]._file) < 12


def test_every_request_comes_up_and_is_solved(tmp_path: Path) -> None:
    asked = {text.partition("{")[0] for domain in DOMAINS.values()
             for request in domain.requests.values() for text in request.asked[:-1]}  # fmt: skip
    texts = [turn.text for seed in range(700)
             for turn in draw_dialogue(seed, size="full", split="train").turns]  # fmt: skip
    for beginning in asked:
        assert any(text.startswith(beginning) for text in texts), beginning


def test_the_cheapest_and_the_best_are_the_only_ones() -> None:
    env, seen = SimTools(size="small"), 0
    for seed in range(600):
        env.reset(seed=seed)
        play(env, env.gold() or ())
        for entry in env.memory:
            listed: Any = next((v for v in entry.result.values() if isinstance(v, list)), [])  # type: ignore[union-attr]
            for key, best in (("price", min), ("fare", min), ("rating", max)):
                values = [each[key] for each in listed if key in each]
                seen += bool(values)
                assert not values or values.count(best(values)) == 1, (seed, values)
    assert seen > 100


def test_splits_share_no_dialogue() -> None:
    for size in SIZES:
        seen = {
            split: {
                tuple(turn.text for turn in draw_dialogue(seed, size=size, split=split).turns)
                for seed in range(150)
            }
            for split in SPLITS
        }
        for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
            assert not seen[one] & seen[other], (size, one, other)


def test_unseen_names_are_in_no_dialogue_of_train() -> None:
    unseen = [
        str(name)
        for slot in ("city", "song", "product", "book")
        for name in NAMES[slot][-(len(NAMES[slot]) // 3) :]
    ]
    for split, expected in (("train", False), ("valid_seen", False), ("valid_unseen", True)):
        drawn = [draw_dialogue(seed, size="small", split=split) for seed in range(150)]
        texts = " ".join(turn.text for each in drawn for turn in each.turns)
        assert any(name in texts for name in unseen) is expected


def test_tiny_is_short() -> None:
    env = SimTools(size="tiny")
    for seed in range(50):
        text, info = env.reset(seed=seed)
        assert len(text) <= 40
        plan = list(env.gold() or ())
        assert len(plan) in (2, 4)
        assert plan[0] in info["admissible_commands"]
        observation, *_, info = env.step(plan[0])
        assert len(observation) <= 20
        assert plan[1] in info["admissible_commands"]
        value = str(next(iter(json.loads(observation).values())))
        assert Reply.of_action(plan[1]).text == value


def test_results_of_one_text_differ_between_dialogues() -> None:
    """Knowing answers by heart is of no use."""
    answers: dict[str, set[str]] = {}
    env = SimTools(size="tiny")
    for seed in range(400):
        text, _ = env.reset(seed=seed)
        answers.setdefault(text, set()).add(list(env.gold() or ())[1])
    assert max(map(len, answers.values())) >= 3


def test_the_expert_goes_on_after_mistakes() -> None:
    env = SimTools(size="full")
    for seed in range(10):
        env.reset(seed=seed)
        env.step(calls(("no_such_tool", {})))
        over = False
        while not over:
            advice = env.expert()
            assert advice is not None
            _, _, over, _, info = env.step(advice)
        assert info["success"] is True
        assert env.expert() is None


# What an agent may get wrong ----------------------------------------------------------------------

MALFORMED = [
    ('{"problems": [{"kind": "json", "message": "cut"}]}', "Malformed tool call: cut"),
    (calls(("ordr", TEA)), "there is no tool 'ordr'; did you mean 'order'?"),
    (calls(("order", {"item": "tea"})), "wrong arguments: 'count' is a required property"),
    (calls(("order", {"item": "tea", "count": "3"})), "count: '3' is not of type 'integer'"),
    (calls(("order", {"item": 3, "count": 3})), "item: 3 is not of type 'string'"),
    (calls(("order", TEA | {"cuont": 1})), "'cuont' is not known; did you mean 'count'?"),
    (calls(("order", {"item": "x" * 1_000_000, "count": 3.5})), "count: 3.5 is not of type"),
    ('{"calls": [{"name": "../order", "arguments": {}}]}', None),
    ('{"calls": [{"name": "order", "arguments": ' + "[" * 10_000, None),
    ('{"calls": [{"name": "order", "arguments": {"item": "tea", "item": "tea"}}]}', None),
    ('{"calls": [{"name": "order", "arguments": {"item": "tea", "count": NaN}}]}', None),
    ('{"calls": [{"name": "order", "arguments": {"item": "tea", "count": 1e999}}]}', None),
    ("y" * 5_000_000, None),
]


@pytest.mark.parametrize(("action", "said"), MALFORMED)
def test_E04_malformed_calls_are_observations(
    tmp_path: Path, action: str, said: str | None
) -> None:
    """What is no action in canonical form at all is something said, which ends the turn."""
    env = playing(tmp_path)
    text, reward, terminated, _, info = env.step(action)
    assert reward == 0.0
    if said is None:
        assert terminated
    else:
        assert said in text
        assert len(text) < 500
        assert (terminated, info["action_valid"]) == (False, False)
        assert play(env, env.gold() or ())[-1][4]["success"] is True


def test_E05_a_result_that_cannot_be_made_up_is_refused_at_the_start(tmp_path: Path) -> None:
    dialogue = shop()
    dialogue["tools"][0]["returns"]["properties"]["order_id"] = {
        "type": "string",
        "pattern": "^[A-Z]{4}$",
    }
    with pytest.raises(ConfigError, match=r"cannot make up a result of order: .*`enum`"):
        playing(tmp_path, dialogue)
    dialogue["tools"][0]["returns"]["properties"]["order_id"]["examples"] = ["ABCD", "EFGH"]
    env = playing(tmp_path, dialogue)
    assert "ABCD" in (first := env.step(calls(("order", TEA)))[0]) or "EFGH" in first


def test_E06_a_thousand_calls_in_one_turn_are_capped(tmp_path: Path) -> None:
    env = playing(tmp_path)
    many: list[tuple[str, dict[str, JSON]]] = [
        ("order", {"item": "tea", "count": k}) for k in range(1000)
    ]
    step = env.step(calls(*many))
    assert facts(step)["tool_calls"] == len(env.memory) == SimTools.max_calls
    assert step[4]["action_valid"] is False
    assert "more calls were not made" in step[0]


def test_shop_is_what_its_file_says() -> None:
    dialogue = shop_dialogue()
    assert [each.name for each in dialogue.tools] == ["order", "look_up", "cancel", "list_orders"]
    assert dialogue.options["status"] == ("placed", "shipped", "cancelled") * 2


def test_only_the_beginning_of_an_endless_answer_is_looked_at(tmp_path: Path) -> None:
    for before, score in ((0, 0.5), (2_000_000, 0.3)):
        env = playing(tmp_path)
        env.step(calls(("order", TEA)))
        assert env.step(f"{'. ' * before} {price(env)}")[1] == pytest.approx(score)
