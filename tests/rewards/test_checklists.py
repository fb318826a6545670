"""Checklists: what they must be, and what they are worth."""

import json
import math
from typing import Any

import golden_cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import ConfigError
from agentgym.rewards.checklist import (
    Checklist,
    Criterion,
    check_checklist,
    criteria_fact,
    criteria_of_json,
    failed_by_tools,
    mean_score,
    to_json,
    turn_score,
    unlocked,
    unmet,
    verdicts_fact,
)
from agentgym.types import JSON

BOOKING: Checklist = (
    (
        Criterion("C0", "Was search called?", 0.25, focus="assistant.tool_calls"),
        Criterion("C1", "Was a room found?", 0.25, ("C0",), True, "tool.content", "room 7"),
        Criterion("C2", "Is the room named?", 0.5, ("C1",), rule={"says": "room 7"}),
    ),
    (Criterion("C0", "Was it booked?", 1.0),),
)


RULES: st.SearchStrategy[dict[str, JSON] | None] = st.none() | st.just({"says": ["x", 1]})


@st.composite
def checklists(draw: st.DrawFn) -> Checklist:
    turns = []
    for _ in range(draw(st.integers(1, 3))):
        shares = draw(st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
        turns.append(
            tuple(
                Criterion(
                    f"C{i}",
                    draw(st.text(min_size=1).filter(str.strip)),
                    share / math.fsum(shares),
                    tuple(f"C{j}" for j in range(i) if draw(st.booleans())),
                    draw(st.booleans()),
                    draw(st.sampled_from(["", "tool.content", "assistant.tool_calls"])),
                    draw(st.text()),
                    draw(RULES),
                )
                for i, share in enumerate(shares)
            )
        )
    return tuple(turns)


# Scores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", golden_cases.cases("cm2_checklist"))
def test_scores_of_turns_are_those_of_cm2(case: golden_cases.Case) -> None:
    """Their rewards: the turn's score on its last token, divided by the number of turns."""
    for sample, rewards, used in zip(
        case["inputs"]["samples"],
        case["outputs"]["reward_tensor"],
        case["outputs"]["sample_used"],
        strict=True,
    ):
        if not used:
            continue
        checklist = criteria_of_json(
            [[{**item, "question": "?"} for item in turn] for turn in sample["checklist"]]
        )
        satisfied: list[set[str]] = [set() for _ in checklist]
        for turn, answers in sample["steps"]:
            named = zip(checklist[turn], answers, strict=True)
            satisfied[turn] |= {criterion.id for criterion, yes in named if yes}
        reached = satisfied[: sample["steps"][-1][0] + 1]
        assert mean_score(checklist, reached) == pytest.approx(sum(rewards), abs=1e-6)
        by_turn = [turn_score(c, ids) / len(checklist) for c, ids in zip(checklist, reached)]  # noqa: B905
        assert [r for r in rewards if r] == pytest.approx([s for s in by_turn if s], abs=1e-6)


@given(checklist=checklists(), data=st.data())
def test_scores_lie_between_nothing_and_everything(
    checklist: Checklist, data: st.DataObject
) -> None:
    everything = [{each.id for each in criteria} for criteria in checklist]
    reached = data.draw(st.integers(0, len(checklist)))
    some = [set(data.draw(st.lists(st.sampled_from(sorted(ids))))) for ids in everything[:reached]]
    score = mean_score(checklist, some)
    assert 0 <= score <= 1 + 1e-9
    assert mean_score(checklist, []) == 0
    assert mean_score(checklist, everything) == pytest.approx(1)
    # more is never worth less, and an unknown id is worth nothing
    assert mean_score(checklist, [{*ids, "no such"} for ids in some]) == score
    assert mean_score(checklist, everything[:reached]) >= score


def test_what_the_next_turn_needs() -> None:
    assert unmet(BOOKING[0], {"C0", "C2"}) == ("C1",)
    assert unmet(BOOKING[0], {"C1"}) == ()


def test_a_failed_call_fails_what_is_about_tools() -> None:
    assert failed_by_tools(BOOKING[0]) == {"C0", "C1"}


def test_dependencies_lock_criteria() -> None:
    def ids(satisfied: set[str]) -> list[str]:
        return [each.id for each in unlocked(BOOKING[0], satisfied)]

    assert (ids(set()), ids({"C0"}), ids({"C0", "C1"})) == (["C0"], ["C1"], ["C2"])
    assert ids({"C1"}) == ["C0", "C2"]


def test_facts_are_plain_json() -> None:
    facts: Any = {
        "criteria": criteria_fact(BOOKING),
        "checklist": verdicts_fact(0, {"C0": True, "C1": False, "C2": False}),
    }
    assert json.loads(json.dumps(facts)) == facts
    assert facts["criteria"][0][1] == {"id": "C1", "weight": 0.25, "depends_on": ["C0"]}
    assert facts["checklist"]["satisfied"]["C0"] is True


# Forms ------------------------------------------------------------------------------------------


@given(checklist=checklists())
def test_round_trip_through_json(checklist: Checklist) -> None:
    assert criteria_of_json(json.loads(json.dumps(to_json(checklist)))) == checklist


def test_files_of_cm2_are_read() -> None:
    turn = {
        "turn": 0,
        "checklist": [
            {
                "id": "C0",
                "evidence": [{"turn": 0, "step": 1, "from": "tool.content", "snippet": "room 7"}],
                "focus_on": "tool.content",
                "question": "Was a room found?",
                "pass_condition": "The result has a room.",
                "failure_examples": ["No result", "An error"],
                "required_for_next_turn": True,
            },
            {"id": "C1", "focus_on": "assistant.content", "question": "Is it named?"},
        ],
        "dependence": {"C0": [], "C1": ["C0"]},
        "weight": {"C0": 0.4, "C1": 0.6},
    }
    [[first, second]] = criteria_of_json([turn])
    assert first == Criterion(
        "C0",
        "Was a room found?\nThe result has a room.\nNot fulfilled by: No result; An error",
        0.4,
        required_for_next_turn=True,
        focus="tool.content",
        evidence="room 7",
    )
    assert second == Criterion("C1", "Is it named?", 0.6, ("C0",), focus="assistant.content")


def one(**fields: Any) -> list[list[dict[str, Any]]]:
    return [[{"id": "a", "text": "?", "weight": 1.0, **fields}]]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "a list of user turns, got dict"),
        ([], "at least one user turn"),
        ([[]], "user turn 0 of a checklist has no criteria"),
        ([3], "user turn 0 of a checklist must be a list of criteria, got int"),
        ([["x"]], "a criterion is an object, got 'x'"),
        (one(wieght=1), "no field 'wieght'; did you mean 'weight'"),
        (one(weight="1"), "weight of a criterion must be a number, got '1'"),
        (one(weight=True), "weight of a criterion must be a number, got True"),
        (one(weight=math.nan), "the weight of 'a' must be above 0, got nan"),
        (one(weight=0), "the weight of 'a' must be above 0"),
        (one(weight=0.9), "must add up to 1, they give 0.9000"),
        (one(weight=1.0011), "must add up to 1, they give 1.0011"),
        (one(text=" "), "needs an id and a text"),
        (one(id=""), "needs an id and a text"),
        (one(depends_on="b"), "depends_on of a criterion must be a list of ids"),
        (one(depends_on=[1]), "depends_on of a criterion must be a list of ids"),
        (one(depends_on=["b"]), "depends on 'b', which is not there; known: a"),
        (one(depends_on=["a"]), "in a circle: a -> a"),
        (one(rule=[]), "rule of a criterion must be an object"),
        ([[{"id": "a", "weight": 1}]], "the criterion 'a' has no text"),
        ([*one(), [*one(weight=0.5)[0], *one(weight=0.5)[0]]], "user turn 1 .* 'a' twice"),
        ([{"checklist": [{"id": "a"}], "weights": {}}], "no field 'weights'"),
        ([{"checklist": [{"id": "ab"}], "weight": {"abc": 1}}], "weight names 'abc'.*'ab'"),
        ([{"checklist": [{"id": []}], "weight": {}}], "id of a criterion must be a string"),
        ([{"checklist": 3}], "checklist must be a list of criteria"),
        ([{"checklist": [], "weight": []}], "weight must be an object"),
    ],
)  # fmt: skip
def test_what_is_no_checklist_is_refused_by_turn_and_field(data: object, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        criteria_of_json(data)


def test_weights_may_be_rounded() -> None:
    [[criterion]] = criteria_of_json(one(weight=0.9991))
    assert turn_score((criterion,), {"a"}) == 0.9991


def test_criteria_that_wait_for_each_other_are_refused() -> None:
    circle = (Criterion("a", "?", 0.5, ("b",)), Criterion("b", "?", 0.5, ("a",)))
    with pytest.raises(ConfigError, match=r"user turn 1 .* in a circle"):
        check_checklist((BOOKING[1], circle))
