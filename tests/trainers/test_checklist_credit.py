"""Credit by checklists: what each level does by hand, and facts that cannot be meant."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import ConfigError, UserError
from agentgym.testing import check_credit
from agentgym.trainers.credit.base import Advantages, provided_by, require
from agentgym.trainers.credit.checklist import ChecklistCredit
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import example
from agentgym.types import Group

Met = list[list[Collection[str]]]
CHAIN = [[("a", 0.25, ()), ("b", 0.75, ("a",))]]


def group(met: Sequence[Sequence[Collection[str]]], **more: Any) -> Group:
    rewards = [[0.0] * len(steps) for steps in met]
    return example(rewards, met=met, **{"criteria": CHAIN, **more})


def at(level: str, **options: Any) -> ChecklistCredit:
    made: Any = ChecklistCredit
    scheme: ChecklistCredit = made(level, **options)
    return scheme


def numbers(advantages: Advantages) -> list[list[float]]:
    return [[float(turn[0][0]) for turn in member] for member in advantages]


def in_user_turns(made: Group, of: Sequence[Sequence[int]]) -> Group:
    """The group with other user turns: the same criteria in each of them."""
    members = []
    for trajectory, user_turns in zip(made.trajectories_G, of, strict=True):
        turns = []
        for k, (turn, user_turn) in enumerate(zip(trajectory.turns, user_turns, strict=True)):
            facts: dict[str, Any] = dict(turn.facts)
            facts["checklist"] = {**facts["checklist"], "user_turn": user_turn}
            if k == 0:
                facts["criteria"] = facts["criteria"] * 2
            turns.append(dataclasses.replace(turn, facts=facts))
        members.append(dataclasses.replace(trajectory, turns=tuple(turns)))
    return dataclasses.replace(made, trajectories_G=tuple(members))


def with_fact(made: Group, turn: int, **facts: Any) -> Group:
    """The group with other facts in a turn of its first member."""
    first = made.trajectories_G[0]
    turns = list(first.turns)
    turns[turn] = dataclasses.replace(turns[turn], facts={**turns[turn].facts, **facts})
    changed = dataclasses.replace(first, turns=tuple(turns))
    return dataclasses.replace(made, trajectories_G=(changed, *made.trajectories_G[1:]))


@pytest.mark.parametrize("level", ["trajectory", "turn", "step"])
@pytest.mark.parametrize("compat", ["paper", "cm2"])
def test_every_level_keeps_the_promises_of_credit(level: str, compat: str) -> None:
    scheme = at(level, compat=compat)
    report = check_credit(scheme, shift_invariant=True)
    if compat == "cm2" and level != "trajectory":  # two members are too few to compare there
        assert [each.name for each in report.failed] == ["what was rewarded is preferred"]
    else:
        report.raise_on_failure()


# The levels ---------------------------------------------------------------------------------------


def test_user_turns_are_compared_with_themselves() -> None:
    """Both reach the first, only one the second, which has nobody to be compared with."""
    made = in_user_turns(group([[{"a"}, {"a", "b"}], [set(), set()]]), [[0, 1], [0, 0]])
    assert numbers(ChecklistCredit("turn")(made)) == [[0.125, 0.0], [-0.125, -0.125]]
    # The mean over both user turns: (0.25 + 1) / 2 and 0.
    assert numbers(ChecklistCredit()(made)) == [[0.3125] * 2, [-0.3125] * 2]


def test_what_was_met_at_any_step_is_met() -> None:
    made = group([[{"a", "b"}, set(), set()], [set(), set(), set()]])
    assert numbers(ChecklistCredit("turn")(made)) == [[0.5] * 3, [-0.5] * 3]


def test_steps_before_the_one_that_met_a_criterion_have_the_credit_too() -> None:
    made = group([[set(), {"a"}, set()], [set(), set(), set()]])
    assert numbers(ChecklistCredit("step")(made)) == [[0.125, 0.125, 0.0], [-0.125] * 3]


def test_a_criterion_is_met_only_after_those_that_it_depends_on() -> None:
    made = group([[{"b"}, {"a"}, {"b"}], [{"b"}, {"a"}, set()]])
    # a: both; b: x = 1 and 0, open at the last step of each; the early b counts for neither.
    assert numbers(ChecklistCredit("step")(made)) == [[0.0, 0.0, 0.375], [0.0, 0.0, -0.375]]


def test_later_is_worth_less_with_a_discount() -> None:
    made = group([[{"a"}, set(), set()], [set(), set(), {"a"}]])
    # x = 1 and eta^2; b is met by none.
    assert numbers(ChecklistCredit("step", eta=0.5)(made)) == [
        [0.25 * 0.375, 0.0, 0.0],
        [-0.25 * 0.375] * 3,
    ]
    assert numbers(ChecklistCredit("step")(made)) == [[0.0] * 3, [0.0] * 3]


def test_a_share_of_the_open_criteria() -> None:
    made = group([[{"a"}, {"b"}], [set(), set()]])
    assert numbers(ChecklistCredit("step", share=True)(made))[0][0] == 0.5  # of a alone
    plain = numbers(ChecklistCredit("step")(made))
    assert plain == [[0.125, 0.0], [-0.125, -0.125]]  # nobody but the first came to b


def test_too_few_for_a_comparison() -> None:
    met: Met = [[{"a"}], [set()], [set()], [set()]]
    for level in ("turn", "step"):
        assert not any(map(any, numbers(at(level, compat="cm2")(group(met)))))
        five = numbers(at(level, compat="cm2")(group([*met, [set()]])))
        assert five[0][0] == pytest.approx(0.25 * 0.8)
        three = at(level, compat="cm2", few=3)
        assert numbers(three(group(met)))[0][0] == pytest.approx(0.25 * 0.75)
    assert numbers(ChecklistCredit(compat="cm2")(group(met)))[0][0] == 0.25 * 0.75


def test_in_standard_deviations() -> None:
    made = group([[{"a", "b"}], [set()], [set()]])
    for level in ("trajectory", "turn"):
        got = numbers(at(level, std=True)(made))
        assert got[0][0] == pytest.approx((2 / 3) / (1 / 3) ** 0.5, rel=1e-5)


@given(
    st.lists(
        st.lists(st.sets(st.sampled_from(["a", "b"])), min_size=1, max_size=4),
        min_size=2,
        max_size=5,
    )
)
def test_what_is_won_is_lost_elsewhere(met: list[list[set[str]]]) -> None:
    made = group(met)
    values = numbers(ChecklistCredit()(made))
    assert sum(member[0] for member in values) == pytest.approx(0, abs=1e-9)
    # With one user turn that all reached, the turn level says the same.
    assert numbers(ChecklistCredit("turn")(made)) == values


def test_verdicts_may_be_of_the_step_or_of_the_turn_so_far() -> None:
    now: Met = [[{"a"}, {"b"}, set()], [set(), {"a"}, set()]]
    so_far: Met = [[{"a"}, {"a", "b"}, {"a", "b"}], [set(), {"a"}, {"a"}]]
    for level in ("trajectory", "turn", "step"):
        scheme = at(level, eta=0.5)
        assert numbers(scheme(group(now))) == numbers(scheme(group(so_far)))


# Facts that cannot be meant -----------------------------------------------------------------------


def test_without_criteria_it_says_what_is_missing() -> None:
    with pytest.raises(UserError, match=r"states no criteria in its first turn \(facts: none\)"):
        ChecklistCredit()(example([[0.0], [1.0]]))
    # of those that count
    made = example([[0.0], [1.0]], invalid=[0, 1])
    assert numbers(ChecklistCredit()(made)) == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("turn", "fact", "why"),
    [
        (0, {"criteria": 3}, "the fact 'criteria' is a list of lists, got 3"),
        (0, {"criteria": [[{"id": "a", "weight": 0.5}]]}, "user turn 0 .* must add up to 1"),
        (1, {"checklist": {"user_turn": 1, "satisfied": {}}}, "user_turn from 0 to 0"),
        (1, {"checklist": {"user_turn": True, "satisfied": {}}}, "it is {'user_turn': True"),
        (1, {"checklist": {"user_turn": 0, "satisfied": {"c": True}}}, "verdicts on its criteria"),
        (1, {"checklist": {"user_turn": 0}}, "member 0 of e seed 0, turn 1"),
        (1, {"checklist": None}, "it is None"),
    ],
)
def test_facts_that_say_something_else(turn: int, fact: dict[str, Any], why: str) -> None:
    made = with_fact(group([[{"a"}, {"b"}], [set(), set()]]), turn, **fact)
    with pytest.raises(UserError, match=why):
        ChecklistCredit()(made)


def test_user_turns_do_not_go_back() -> None:
    made = in_user_turns(group([[{"a"}, {"a"}], [set(), set()]]), [[1, 0], [0, 0]])
    with pytest.raises(UserError, match="user_turn from 1 to 1"):
        ChecklistCredit()(made)


def test_members_with_other_criteria_are_no_group() -> None:
    made = with_fact(
        group([[{"a"}], [set()]]), 0, criteria=[[{"id": "a", "weight": 1.0}]],
        checklist={"user_turn": 0, "satisfied": {"a": True}},
    )  # fmt: skip
    with pytest.raises(UserError, match="its members state different criteria"):
        ChecklistCredit()(made)


def test_a_turn_without_verdicts_meets_nothing() -> None:
    made = group([[{"a"}, set()], [set(), set()]])
    silent = with_fact(made, 1)
    first = silent.trajectories_G[0]
    last = dataclasses.replace(first.turns[1], facts={"tool_calls": 1})
    member = dataclasses.replace(first, turns=(first.turns[0], last))
    silent = dataclasses.replace(silent, trajectories_G=(member, *silent.trajectories_G[1:]))
    assert numbers(ChecklistCredit("step")(silent)) == numbers(ChecklistCredit("step")(made))


# In a recipe --------------------------------------------------------------------------------------


def test_parameters_of_a_recipe() -> None:
    made: Any = make_scheme("checklist", {"level": "step", "eta": 0.9, "compat": "cm2"})
    assert (made.level, made.eta, made.few) == ("step", 0.9, 4)
    with pytest.raises(ConfigError, match="did you mean 'trajectory'"):
        make_scheme("checklist", {"level": "trajectories"})
    for bad in ({"eta": 1.5}, {"few": 0}, {"eps": -1.0}, {"level": "step", "std": True}):
        with pytest.raises(ConfigError, match="ChecklistCredit"):
            make_scheme("checklist", bad)


def test_an_environment_without_checklists_is_refused_at_the_start() -> None:
    from agentgym.env import TextEnv
    from agentgym.toolenv import ToolEnv

    class Listed(ToolEnv):
        stated_facts = ToolEnv.stated_facts | {"checklist"}

    assert "checklist" in provided_by(Listed)
    assert "checklist" not in provided_by(TextEnv)
    with pytest.raises(ConfigError, match=r"needs checklist.*Turn\.facts"):
        require(ChecklistCredit(), provided_by(ToolEnv), source="the environment 'x'")
