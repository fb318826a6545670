"""The economy of tool calls: the published formula, and what follows from it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import ConfigError
from agentgym.rewards.otc import Fewest, grpo_economy, ppo_economy

COUNTS = st.integers(0, 200)
C = st.floats(0.5, 64)


def test_numbers_by_hand() -> None:
    assert ppo_economy(0, 3) == 1.0
    assert ppo_economy(1, 2) == pytest.approx(math.sqrt(0.5))  # cos(pi / 4)
    assert ppo_economy(2, 8) == pytest.approx(math.cos(math.pi / 6))
    assert grpo_economy(0, 0, 4) == 1.0
    assert grpo_economy(2, 0, 4) == ppo_economy(2, 4)
    assert grpo_economy(3, 1, 4) == pytest.approx(math.sin(1.5 * math.pi / 2))  # f = 3 / 2
    assert grpo_economy(1, 3, 4) == pytest.approx(math.sin(1.5 * math.pi / 6))


@given(calls=COUNTS, c=C)
def test_more_calls_are_worth_less(calls: int, c: float) -> None:
    assert 0 < ppo_economy(calls + 1, c) < ppo_economy(calls, c) <= 1
    assert grpo_economy(calls, 0, c) == ppo_economy(calls, c)


@given(calls=COUNTS, fewest=COUNTS, c=C)
def test_the_fewest_calls_are_worth_most(calls: int, fewest: int, c: float) -> None:
    value = grpo_economy(calls, fewest, c)
    assert -1e-12 <= value <= 1
    assert grpo_economy(fewest, fewest, c) == 1
    if calls > fewest:
        assert grpo_economy(calls + 1, fewest, c) < value < 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(COUNTS, max_size=3)), max_size=6))
def test_the_minimum_runs_and_never_changes_in_place(seen: list[tuple[str, list[int]]]) -> None:
    state, before = Fewest(), []
    for task, counts in seen:
        before.append((state, dict(state.by_task)))
        state = state.seen(task, counts)
    for old, content in before:
        assert old.by_task == content
    for task in "ab":
        counts = [count for name, counts in seen for count in counts if name == task]
        assert state.by_task.get(task) == (min(counts) if counts else None)


@pytest.mark.parametrize(("calls", "c"), [(-1, 4.0), (1, 0.0), (1, -2.0), (1, math.nan)])
def test_what_cannot_be_meant(calls: int, c: float) -> None:
    with pytest.raises(ConfigError, match="c above 0"):
        ppo_economy(calls, c)
    with pytest.raises(ConfigError, match="c above 0"):
        grpo_economy(calls, 2, c)
