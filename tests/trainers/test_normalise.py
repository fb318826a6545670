"""The normalisation stage: what each scope counts once, and what enters nothing."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.config import load
from agentgym.errors import ConfigError, UnknownName
from agentgym.trainers.credit.base import Advantages, own_normalisation, problems, widen_turns
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import example
from agentgym.trainers.normalise import Normalise
from agentgym.types import Group

SCOPES: list[Any] = ["trajectory", "turn", "token"]


def two() -> tuple[Group, Advantages]:
    """Member 0: turns 1 and 3 with 2 tokens each. Member 1: one turn 8. Member 2 is invalid."""
    group = example([[0, 0], [0], [0]], invalid=[2], tokens=2)
    short = dataclasses.replace(
        group.trajectories_G[1].turns[0].calls[0], sample_ids=(1,), logprobs=(-1.0,)
    )
    turn = dataclasses.replace(group.trajectories_G[1].turns[0], calls=(short,))
    member = dataclasses.replace(group.trajectories_G[1], turns=(turn,))
    group = dataclasses.replace(
        group, trajectories_G=(group.trajectories_G[0], member, group.trajectories_G[2])
    )
    return group, widen_turns(group, [[1.0, 3.0], [8.0], [0.0]])


def flat(advantages: Advantages) -> list[float]:
    return [float(v) for member in advantages for turn in member for call in turn for v in call]


@pytest.mark.parametrize(
    ("scope", "units"),
    [("trajectory", [2, 8]), ("turn", [1, 3, 8]), ("token", [1, 1, 3, 3, 8])],
)
def test_each_unit_counts_once(scope: Any, units: list[float]) -> None:
    group, values = two()
    [out] = Normalise(scope)([group], [values])
    mean, std = np.mean(units), np.std(units, ddof=1)
    expected = [*((np.array([1, 1, 3, 3, 8]) - mean) / std), 0.0, 0.0]
    assert flat(out) == pytest.approx(expected, rel=1e-6)
    assert problems(group, out) == []
    [shifted] = Normalise(scope, scale=False)([group], [values])
    assert flat(shifted)[:5] == pytest.approx(np.array([1, 1, 3, 3, 8]) - mean)
    [divided] = Normalise(scope, center=False)([group], [values])
    assert flat(divided)[:5] == pytest.approx(np.array([1, 1, 3, 3, 8]) / std, rel=1e-6)


def test_none_changes_nothing() -> None:
    group, values = two()
    assert Normalise()([group], [values]) == [values]


def test_batch_pools_groups_and_group_does_not() -> None:
    groups = [example([[0], [0]]), example([[0], [0]])]
    values = [widen_turns(groups[0], [[0.0], [2.0]]), widen_turns(groups[1], [[10.0], [12.0]])]
    batch = Normalise("turn", scale=False)(groups, values)
    assert [flat(v) for v in batch] == [[-6.0, -4.0], [4.0, 6.0]]
    apart = Normalise("turn", over="group", scale=False)(groups, values)
    assert [flat(v) for v in apart] == [[-1.0, 1.0], [-1.0, 1.0]]


@pytest.mark.parametrize("over", ["batch", "group"])
@pytest.mark.parametrize("scope", SCOPES)
@given(
    rows=st.lists(
        st.lists(st.floats(-10, 10, allow_subnormal=False), max_size=3), min_size=1, max_size=4
    ),
    invalid=st.sets(st.integers(0, 3)),
    tokens=st.integers(0, 2),
)
def test_it_is_finite_pure_and_blind_to_invalid_members(
    scope: Any, over: Any, rows: list[list[float]], invalid: set[int], tokens: int
) -> None:
    group = example(rows, invalid=sorted(invalid), tokens=tokens)
    values = widen_turns(group, rows)
    before = flat(values)
    [out] = Normalise(scope, over=over)([group], [values])
    assert problems(group, out) == []
    assert flat(values) == before
    kept = tuple(t for t in group.trajectories_G if t.valid)
    smaller = dataclasses.replace(group, trajectories_G=kept)
    without = Advantages(tuple(v for v, ok in zip(values, group.valid_G, strict=True) if ok))
    [expected] = Normalise(scope, over=over)([smaller], [without])
    left = Advantages(tuple(v for v, ok in zip(out, group.valid_G, strict=True) if ok))
    assert flat(left) == flat(expected)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("value", [0.1, 1e9])
def test_no_spread_gives_zeros(scope: Any, value: float) -> None:
    group = example([[0, 0, 0], [0, 0]], tokens=3)
    [out] = Normalise(scope)([group], [widen_turns(group, [[value] * 3, [value] * 2])])
    assert not any(flat(out))


@pytest.mark.parametrize("scope", SCOPES)
def test_nothing_to_normalise(scope: Any) -> None:
    assert Normalise(scope)([], []) == []
    group = example([[0.0]], invalid=[0])
    [out] = Normalise(scope)([group], [widen_turns(group, [[1.0]])])
    assert flat(out) == [0.0]


def test_frozen_calls_enter_nothing() -> None:
    group = example([[0], [0]])
    turn = group.trajectories_G[0].turns[0]
    judge = dataclasses.replace(turn.calls[0], role="judge", trainable=False)
    member = dataclasses.replace(
        group.trajectories_G[0], turns=(dataclasses.replace(turn, calls=(*turn.calls, judge)),)
    )
    group = dataclasses.replace(group, trajectories_G=(member, group.trajectories_G[1]))
    [out] = Normalise("token", scale=False)([group], [widen_turns(group, [[1.0], [3.0]])])
    assert flat(out) == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("scheme", "scope"),
    [
        ("grpo", "none"),
        ("gigpo", "none"),
        ("gae", "token"),
        ("reinforce_pp", "token"),
        ('reinforce_pp(baseline="group")', "token"),
        ('gated(then="gae")', "token"),
        ("gated", "none"),
        ("0.5*gae + reinforce_pp", "token"),
        ("0.5*gigpo + grpo", "none"),
        ("gae + grpo", ""),
    ],
)
def test_a_scheme_brings_the_normalisation_of_its_paper(scheme: str, scope: str) -> None:
    assert own_normalisation(make_scheme(scheme)) == scope


def test_a_recipe_has_it_unless_it_says_another() -> None:
    pytest.importorskip("torch")
    from agentgym.trainers import parts
    from agentgym.trainers.config import TrainConfig

    def scope(*overrides: str) -> Normalise:
        base = {"env": {"name": "guess"}, "model": {"preset": "tiny"}}
        return parts.check(load(TrainConfig, base, overrides)).normalise

    assert scope() == Normalise("none")
    assert scope("credit=gae") == Normalise("token")
    assert scope("credit=gae", "normalise.over=group") == Normalise("token", over="group")
    assert scope("credit=gae", "normalise=none") == Normalise("none")
    assert scope("credit=grpo", "normalise=turn") == Normalise("turn")
    assert scope("credit=gae + grpo", "normalise=token") == Normalise("token")
    with pytest.raises(ConfigError, match=r"terms of 'gae \+ grpo' differ.*normalise=token"):
        scope("credit=gae + grpo")
    with pytest.raises(ConfigError, match="did you mean 'token'"):
        scope("normalise=tokens")


def test_refusals() -> None:
    group, values = two()
    with pytest.raises(UnknownName, match="did you mean 'token'"):
        Normalise("tokens")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="eps"):
        Normalise("token", eps=-1)
    with pytest.raises(ValueError, match="2 groups but advantages for 1"):
        Normalise("token")([group, group], [values])
