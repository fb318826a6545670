"""ToolRL's reward against the authors' numbers, and what holds beyond them."""

import math
from typing import Any

import golden_cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import ConfigError, UnknownName
from agentgym.rewards.toolrl import ToolRL, format_of_text
from agentgym.types import ToolCall

CALLS = st.lists(
    st.builds(
        ToolCall,
        st.sampled_from("abc"),
        st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2) | st.text(max_size=2)),
    ),
    max_size=4,
)
SWITCHES: dict[str, dict[str, Any]] = {
    "CORRECTMAX1": {"scale": 1.0},
    "REFINEDREWARD": {"match": "strict"},
}


@pytest.mark.parametrize("case", golden_cases.cases("toolrl_reward"))
def test_rewards_are_those_of_the_authors(case: golden_cases.Case) -> None:
    x, expected = case["inputs"], case["outputs"]
    options: dict[str, Any] = {}
    for switch in x["flags"]:
        options |= SWITCHES[switch]
    assert x["step"] == expected["length"] == 0
    got = ToolRL(**options).score(x["prediction"], x["ground_truth"])
    assert got.format == expected["format"]
    assert got.correctness == pytest.approx(expected["correctness"], abs=1e-12)
    assert got.total == pytest.approx(expected["total"], abs=1e-12)


def test_the_authors_numbers_use_every_switch_and_many_values() -> None:
    cases = golden_cases.cases("toolrl_reward")
    assert {tuple(case["inputs"]["flags"]) for case in cases} == {(), *((s,) for s in SWITCHES)}
    assert len({case["outputs"]["correctness"] for case in cases}) > 10


def calls(*named: tuple[str, dict[str, Any]]) -> list[ToolCall]:
    return [ToolCall(name, arguments) for name, arguments in named]


@pytest.mark.parametrize(
    ("expected", "made", "score", "most"),
    [
        # a call is taken once: names 1/2, and the first of the two equal ones
        (calls(("a", {"x": 1}), ("a", {"x": 1})), calls(("a", {"x": 1})), 0.5 + 2, 5),
        # names are a multiset: two of three
        (calls(("a", {}), ("a", {}), ("b", {})), calls(("a", {}), ("a", {})), 2 / 3 + 2, 4),
        # a call that agrees in nothing is not taken, so the second may have it
        (calls(("a", {"x": 1}), ("a", {"y": 5})), calls(("a", {"y": 5})), 0.5 + 2, 5),
        # the better one is taken, wherever it stands
        (calls(("a", {"x": 1})), calls(("a", {"x": 2}), ("a", {"x": 1})), 0.5 + 2, 3),
        # 1 is 1.0, and not "1"
        (calls(("a", {"x": 1, "y": 1})), calls(("a", {"x": 1.0, "y": "1"})), 1 + 1 + 1, 4),
    ],
)
def test_numbers_by_hand(
    expected: list[ToolCall], made: list[ToolCall], score: float, most: float
) -> None:
    assert ToolRL().correctness(expected, made) == pytest.approx(6 * score / most - 3)


@given(expected=CALLS, made=CALLS, match=st.sampled_from(["graded", "strict", "whole"]))
def test_correctness_is_bounded_and_best_for_the_reference(
    expected: list[ToolCall], made: list[ToolCall], match: str
) -> None:
    reward = ToolRL(scale=2.0, match=match)  # type: ignore[arg-type]
    value = reward.correctness(expected, made)
    assert -2 <= value <= 2
    assert reward.correctness(expected, expected) == (2 if expected else 0)
    assert reward.correctness(expected, None) == (-2 if expected else 0)
    if not expected:
        assert value == 0
    if match == "whole" and expected:
        same = [(c.name, c.arguments) for c in expected] == [(c.name, c.arguments) for c in made]
        assert value == (2 if same else -2)


@given(expected=CALLS, made=CALLS)
def test_one_more_of_the_expected_calls_helps(
    expected: list[ToolCall], made: list[ToolCall]
) -> None:
    """A reply gains by replacing a wrong call with the first expected one that it lacks."""
    if not expected or not made:
        return
    strangers = [ToolCall("stranger", {}) for _ in made]
    reward = ToolRL()
    assert reward.correctness(expected, [expected[0], *strangers[1:]]) > reward.correctness(
        expected, strangers
    )


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("<think>t</think>\n<response>a\nb</response>", 1.0),
        ("<think>t</think><response>a</response>", 0.0),
        ("<think>t</think>\n<response>a</response><response>b</response>", 0.0),
        ("x<think>t</think>\n<response>a</response>", 0.0),
    ],
)
def test_format_is_of_the_whole_reply(reply: str, wanted: float) -> None:
    assert format_of_text(reply, "<think>t</think>\n<response>hi</response>") == wanted


@pytest.mark.parametrize(
    "bad",
    [
        '{"name": "a", "parameters": []}',
        '{"parameters": {}}',
        "[]",
        '{"name": "a", "parameters": {}',
        "",
        "[" * 100_000,
    ],
)
def test_E04_calls_that_cannot_be_read_are_the_worst(bad: str) -> None:
    reference = '<think>t</think>\n<tool_call>\n{"name": "a", "parameters": {}}\n</tool_call>'
    reply = f"<think>t</think>\n<tool_call>\n{bad}\n</tool_call>"
    assert ToolRL().score(reply, reference).correctness == -3
    with pytest.raises(ConfigError, match="reference reply cannot be read"):
        ToolRL().score(reference, reply)


def test_what_no_recipe_should_say() -> None:
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="above 0"):
            ToolRL(scale=scale)
    with pytest.raises(UnknownName, match="did you mean 'graded'"):
        ToolRL(match="grade")  # type: ignore[arg-type]
