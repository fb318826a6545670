"""Credit schemes: invariants, degenerate groups, refusals, and the slow twin of GiGPO."""

import copy
import dataclasses
import doctest
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym import registry
from agentgym.env import TextEnv
from agentgym.envs.guess import Guess
from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.trainers.credit import base, common
from agentgym.trainers.credit.base import (
    Advantages,
    CreditScheme,
    problems,
    provided_by,
    require,
    total,
    widen_trajectories,
    widen_turns,
)
from agentgym.trainers.credit.combine import Combine
from agentgym.trainers.credit.common import Turns, example
from agentgym.trainers.credit.flow_grpo import FlowGRPO
from agentgym.trainers.credit.gae import GAE
from agentgym.trainers.credit.gated import Gated
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.turn_return import TurnReturn
from agentgym.trainers.prepare import informative, penalise_invalid_actions, valid_action_share
from agentgym.types import Group, Stop

SCHEMES: list[CreditScheme] = [
    GRPO(),
    GRPO(std=False),
    GRPO(compat="verl-agent"),
    RLOO(),
    GiGPO(),
    GiGPO(scale="none", gamma=1.0, omega=0.5),
    GiGPO(anchors="similar", threshold=0.5),
    GiGPO(compat="verl-agent"),
    FlowGRPO(),
    FlowGRPO(compat="agentflow"),
    IGPO(),
    IGPO(norm="joint", gain="prob", gamma=0.5, format_outcome=-1.0),
    IGPO(compat="igpo-v1"),
    IGPO(compat="igpo-v2", gamma=0.9),
    IGPO(compat="igpo-v3", norm="joint"),
    TurnReturn(),
    TurnReturn(baseline="turn_index", std=False),
    TurnReturn(baseline="none", gamma=0.5),
    ReinforcePP(),
    ReinforcePP(gamma=0.9),
    ReinforcePP(gamma=0.9, compat="verl-agent"),
    ReinforcePP(baseline="group"),
    GAE(),
    GAE(gamma=0.9, lam=0.8),
    Gated(),
    Gated(then="gigpo(scale='none')"),
    Combine("0.5*gigpo + igpo - 0.1*gae"),
]
PAPER = [s for s in SCHEMES if getattr(s, "compat", "paper") == "paper"]
OUTCOME = [
    s
    for s in PAPER
    if not isinstance(s, GAE | Combine | TurnReturn)
    and getattr(s, "baseline", "group") != "none"
    and getattr(s, "anchors", "exact") == "exact"
    and getattr(s, "norm", "separate") == "separate"
]
"""Schemes that compare members by nothing but outcomes, where states and notes are all alike."""


rewards = st.sampled_from([0.0, 0.0, 1.0, -0.5, 0.1, 10.0])
states = st.sampled_from(["s0", "s1", "s2", "a long text", "a longer text", None])


@st.composite
def groups(
    draw: st.DrawFn, min_members: int = 0, turns: int | None = None, min_tokens: int = 0
) -> Group:
    member = st.lists(st.tuples(rewards, states), min_size=turns or 0, max_size=turns or 5)
    members = draw(st.lists(member, min_size=min_members, max_size=6))
    invalid = draw(st.sets(st.integers(0, max(len(members) - 1, 0)), max_size=2))
    tokens = draw(st.integers(min_tokens, 3))
    numbers = st.sampled_from([-3.0, -2.5, -1.0, -0.1, 0.0])
    return example(
        [[r for r, _ in m] for m in members],
        [[s for _, s in m] for m in members],
        invalid=sorted(invalid),
        tokens=tokens,
        notes={
            "gold_logprob": [[draw(numbers) for _ in m] for m in members],
            "value": [[draw(numbers) for _ in m * tokens] for m in members],
        },
    )


def per_turn(advantages: Advantages) -> list[list[float]]:
    """One number per member and turn of a group whose turns have one call."""
    return [[float(c[0]) if len(c) else 0.0 for (c,) in member] for member in advantages]


def outcomes(*rewards_G: float, invalid: Sequence[int] = ()) -> Group:
    return noted(example([[r] for r in rewards_G], invalid=invalid))


def noted(group: Group) -> Group:
    """The group with notes that tell its members nothing apart."""
    members = tuple(
        dataclasses.replace(
            t,
            notes={
                "gold_logprob": (-1.0,) * len(t.turns),
                "value": (0.0,) * sum(len(c.sample_ids) for turn in t.turns for c in turn.calls),
            },
        )
        for t in group.trajectories_G
    )
    return dataclasses.replace(group, trajectories_G=members)


def change(group: Group, g: int, **what: Any) -> Group:
    members = list(group.trajectories_G)
    members[g] = dataclasses.replace(members[g], **what)
    return dataclasses.replace(group, trajectories_G=tuple(members))


# Invariants ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@settings(max_examples=40)
@given(group=groups())
def test_answers_are_in_shape_finite_and_leave_the_group_alone(
    scheme: CreditScheme, group: Group
) -> None:
    before = copy.deepcopy(group)
    advantages = scheme(group)
    assert problems(group, advantages) == []
    assert group == before
    again = scheme(group)
    for a, b in zip(per_turn(advantages), per_turn(again), strict=True):
        assert a == b


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@settings(max_examples=40)
@given(group=groups(), data=st.data())
def test_the_order_of_members_does_not_matter(
    scheme: CreditScheme, group: Group, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(group.trajectories_G))))
    moved = dataclasses.replace(group, trajectories_G=tuple(group.trajectories_G[g] for g in order))
    values, moved_values = per_turn(scheme(group)), per_turn(scheme(moved))
    for place, g in enumerate(order):
        assert moved_values[place] == pytest.approx(values[g], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scheme", [s for s in PAPER if isinstance(s, GRPO | RLOO)], ids=str)
@given(group=groups(), shift=st.sampled_from([1.0, -3.0, 100.0]))
def test_a_constant_added_to_every_return_changes_nothing(
    scheme: CreditScheme, group: Group, shift: float
) -> None:
    shifted = group
    for g, trajectory in enumerate(group.trajectories_G):
        if trajectory.turns:
            last = dataclasses.replace(
                trajectory.turns[-1], reward=trajectory.turns[-1].reward + shift
            )
            shifted = change(shifted, g, turns=(*trajectory.turns[:-1], last))
    for a, b in zip(per_turn(scheme(group)), per_turn(scheme(shifted)), strict=True):
        assert a == pytest.approx(b, abs=1e-6)


@given(group=groups(turns=3), shift=st.sampled_from([1.0, -3.0]))
def test_gigpo_is_centred_on_both_levels(group: Group, shift: float) -> None:
    """With gamma 0 and equal lengths, a constant on every reward moves all returns alike."""
    shifted = group
    for g, trajectory in enumerate(group.trajectories_G):
        turns = tuple(dataclasses.replace(t, reward=t.reward + shift) for t in trajectory.turns)
        shifted = change(shifted, g, turns=turns)
    scheme = GiGPO(gamma=0.0)
    for a, b in zip(per_turn(scheme(group)), per_turn(scheme(shifted)), strict=True):
        assert a == pytest.approx(b, abs=1e-5)


@settings(max_examples=40)
@given(group=groups(min_members=1), data=st.data())
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_an_invalid_member_enters_nothing(
    scheme: CreditScheme, group: Group, data: st.DataObject
) -> None:
    """Whatever an invalid member did, the others get what they would get without it."""
    g = data.draw(st.integers(0, len(group.trajectories_G) - 1))
    masked = change(group, g, stop=Stop.ERROR)
    without = dataclasses.replace(
        group, trajectories_G=group.trajectories_G[:g] + group.trajectories_G[g + 1 :]
    )
    values = per_turn(scheme(masked))
    assert not any(values.pop(g))
    for a, b in zip(values, per_turn(scheme(without)), strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("std", [True, False])
@pytest.mark.parametrize("compat", ["paper", "verl-agent"])
@given(group=groups())
def test_gigpo_without_its_turn_level_is_grpo(std: bool, compat: Any, group: Group) -> None:
    gigpo = GiGPO(omega=0.0, scale="std" if std else "none", compat=compat)
    for a, b in zip(gigpo(group), GRPO(std=std, compat=compat)(group), strict=True):
        for (x,), (y,) in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("divide", [True, False])
@given(group=groups(min_tokens=1), gamma=st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_gigpo_equals_its_slow_twin(divide: bool, group: Group, gamma: float) -> None:
    scheme = GiGPO(omega=0.7, gamma=gamma, scale="std" if divide else "none")
    expected = reference.gigpo(group, omega=0.7, gamma=gamma, divide=divide)
    for a, b in zip(per_turn(scheme(group)), expected, strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.data())
def test_widening_reaches_every_token(tokens: list[int], data: st.DataObject) -> None:
    base_group = example([[0.0] * len(tokens)] * 2, tokens=1)
    call = base_group.trajectories_G[0].turns[0].calls[0]
    turns = tuple(
        dataclasses.replace(
            turn,
            calls=(
                dataclasses.replace(call, sample_ids=(1,) * n, logprobs=(-1.0,) * n),
                dataclasses.replace(call, role="judge", trainable=False),
            ),
        )
        for turn, n in zip(base_group.trajectories_G[0].turns, tokens, strict=True)
    )
    group = change(base_group, 0, turns=turns)
    values = data.draw(st.lists(st.floats(-5, 5), min_size=len(tokens), max_size=len(tokens)))
    wide = widen_turns(group, [values, [0.0] * len(tokens)])
    assert problems(group, wide) == []
    for (policy, judge), n, value in zip(wide[0], tokens, values, strict=True):
        assert policy.tolist() == [value] * n
        assert judge.tolist() == [0.0]


def test_widening_refuses_another_shape() -> None:
    group = example([[0.0, 0.0], [0.0]])
    with pytest.raises(ValueError, match=r"has turns \[2, 1\], but got values for \[2, 2\]"):
        widen_turns(group, [[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="2 trajectories but 3 values"):
        widen_trajectories(group, [1.0, 1.0, 1.0])


# Degenerate groups (C06, C07) ----------------------------------------------------------------


@pytest.mark.parametrize("scheme", [GRPO(std=False), GiGPO(scale="none")], ids=str)
def test_C06_masked_member(scheme: CreditScheme) -> None:
    advantages = scheme(outcomes(1, 1, 0, 0, invalid=[1]))
    assert [v[0] for v in per_turn(advantages)] == pytest.approx([2 / 3, 0, -1 / 3, -1 / 3])
    assert advantages.report.masked_members == 1
    assert advantages.report.metrics()["credit/masked_members"] == 0.25


@pytest.mark.parametrize("scheme", OUTCOME, ids=str)
@pytest.mark.parametrize(
    "group",
    [
        outcomes(1, 0, 1, invalid=[0, 1, 2]),
        outcomes(1, 0, 1, invalid=[0, 1]),
        outcomes(7.0),
        outcomes(0.1, 0.1, 0.1),
        outcomes(1e9, 1e9),
        outcomes(),
        example([[], []]),
        example([[], [1.0, 1.0]]),
        example([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]),
        example([[0.0, 1.0]], [["s", "s"]]),
    ],
    ids=[
        "all_masked",
        "one_valid",
        "one_member",
        "zero_variance",
        "zero_variance_large",
        "empty_group",
        "no_turns",
        "one_acted",
        "equal_up_to_rounding",
        "one_member_in_a_loop",
    ],
)
def test_C07_no_signal_is_zero_and_counted(scheme: CreditScheme, group: Group) -> None:
    group = noted(group)
    advantages = scheme(group)
    assert problems(group, advantages) == []
    assert all(value == 0 for values in per_turn(advantages) for value in values)
    assert advantages.report.groups == advantages.report.zero_signal_groups == 1


def test_the_preset_keeps_what_the_official_code_does_with_a_lone_turn() -> None:
    for scheme in (GRPO(compat="verl"), GRPO(compat="verl-agent"), GiGPO(compat="verl-agent")):
        assert per_turn(scheme(outcomes(7.0)))[0][0] == pytest.approx(7.0, rel=1e-5)


def test_reports_add_up_and_say_shares() -> None:
    shared = example([[0, 1], [0, 0]], [["a", "b"], ["a", None]])
    report = total([GiGPO()(shared), GiGPO()(outcomes(0, 0)), GRPO()(outcomes(1, 0))])
    assert (report.groups, report.zero_signal_groups) == (3, 1)
    assert report.members == 6
    # Of the 6 turns that GiGPO and GRPO saw in groups 1 and 2, those in "b" and in unknown states.
    assert report.singleton_turns == 4
    assert report.anchors == 5
    assert report.metrics()["credit/zero_signal_groups"] == pytest.approx(1 / 3)
    assert total([]).metrics() == {}


# Anchors -------------------------------------------------------------------------------------


def test_unknown_states_are_comparable_with_nothing() -> None:
    unknown = example([[0, 1], [0, 0]], [[None, None], [None, None]])
    assert per_turn(GiGPO()(unknown)) == per_turn(GRPO()(unknown))


def test_similar_texts_share_an_anchor() -> None:
    group = example(
        [[1.0], [0.0], [0.0]],
        [["you see a red fox on the mat"], ["you see a red fax on the mat"], ["nothing here"]],
    )
    exact, similar = GiGPO(scale="none"), GiGPO(scale="none", anchors="similar", threshold=0.9)
    third = 1 / 3
    assert [v[0] for v in per_turn(exact(group))] == pytest.approx([2 * third, -third, -third])
    assert [v[0] for v in per_turn(similar(group))] == pytest.approx(
        [2 * third + 0.5, -third - 0.5, -third]
    )
    assert similar(group).report.anchors == 2


def test_the_order_of_members_does_not_decide_a_chain_of_similar_texts() -> None:
    """a is like b and b is like c, but a is not like c: whoever comes first would decide."""
    a, b, c = "red fox, red dog", "red fox, red cow", "red owl, red cow"
    found = []
    for texts in ([a, b, c], [c, b, a], [b, c, a]):
        group = example([[float(text == b)] for text in texts], [[text] for text in texts])
        values = per_turn(GiGPO(scale="none", anchors="similar", threshold=0.8)(group))
        found.append({text: value[0] for text, value in zip(texts, values, strict=True)})
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(found[2])


def test_one_counted_member_gives_zeros_whatever_its_turns_are_compared_with() -> None:
    group = example([[0.0, 1.0], [3.0]], invalid=[1])
    for scheme in (GRPO(score="turn", over="turns"), RLOO(score="turn", over="turns")):
        assert per_turn(scheme(group)) == [[0.0, 0.0], [0.0]]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_groups_that_make_no_sense_are_refused(scheme: CreditScheme) -> None:
    with pytest.raises(UserError, match="mixes tasks"):
        scheme(change(outcomes(1, 0), 1, seed=5))
    for reward in (float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"a turn has the reward {reward}"):
            scheme(outcomes(1, reward))
    # What a failure of the platform left behind enters nothing, so it does no harm.
    group = outcomes(1, float("nan"), 0, invalid=[1])
    assert problems(group, scheme(group)) == []


# Parameters and needs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "params", "error", "words"),
    [
        (GiGPO, {"gamma": 1.5}, ConfigError, "gamma must be a number from 0 to 1, got 1.5"),
        (GiGPO, {"gamma": float("nan")}, ConfigError, "gamma"),
        (GiGPO, {"omega": -1.0}, ConfigError, "omega"),
        (GiGPO, {"omega": "1"}, ConfigError, "omega"),
        (GiGPO, {"threshold": 95}, ConfigError, "threshold"),
        (GiGPO, {"scale": "sdt"}, UnknownName, "did you mean 'std'"),
        (GiGPO, {"compat": "verl-agnet"}, UnknownName, "did you mean 'verl-agent'"),
        (GRPO, {"over": "turn"}, UnknownName, "did you mean 'turns'"),
        (GRPO, {"eps": -1e-6}, ConfigError, "eps"),
    ],
)
def test_wrong_parameters_are_refused(
    scheme: Any, params: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        scheme(**params)


def test_a_field_that_is_given_wins_over_the_preset() -> None:
    scheme = GiGPO(compat="verl-agent", over="trajectories")
    assert (scheme.over, scheme.lone, scheme.penalty) == ("trajectories", "raw", "local")
    assert (GiGPO().over, GiGPO().lone, GiGPO().penalty) == ("trajectories", "zero", "episode")


def test_needs_are_checked_before_anything_runs() -> None:
    class Blind(Guess):
        """An environment that does not name its states."""

        state_key = TextEnv.state_key  # type: ignore[assignment]  # it may return None

    with pytest.raises(ConfigError, match="GiGPO needs state_key, which the environment 'blind'"):
        require(GiGPO(), provided_by(Blind), source="the environment 'blind'")
    require(GiGPO(anchors="similar"), provided_by(Blind), source="the environment 'blind'")
    require(GRPO(), [], source="nothing")
    require(GiGPO(), provided_by(Guess), source="the environment 'guess'")


def test_problems_names_what_a_scheme_got_wrong() -> None:
    group = example([[0, 0], [0]], invalid=[1], tokens=2)
    good = widen_trajectories(group, [1.0, 1.0])
    assert problems(group, good) == []
    assert "2 trajectories but advantages for 1" in problems(group, good[:1])[0]
    nan = Advantages((((np.array([0.0, np.nan]),), (np.zeros(2),)), good[1]))
    assert problems(group, nan) == ["member 0: a value is NaN or infinite"]
    short = Advantages((((np.zeros(1),), (np.zeros(2),)), good[1]))
    assert "[[2], [2]], got [[1], [2]]" in problems(group, short)[0]
    single = Advantages((tuple((v.astype(np.float32),) for (v,) in good[0]), good[1]))
    assert "float64 arrays, got ['float32']" in problems(group, single)[0]
    spoiled = Advantages((good[0], ((np.ones(2),),)))
    assert "member 1 is invalid (error)" in problems(group, spoiled)[0]


def test_every_scheme_in_the_folder_is_found_and_frozen() -> None:
    for name in registry.entries("credit"):
        cls: Any = registry.load("credit", name)
        scheme = cls()
        assert isinstance(scheme, CreditScheme)
        assert dataclasses.is_dataclass(scheme)
        assert hash(scheme) == hash(cls())
        assert "arXiv" in (cls.__doc__ or "")


@pytest.mark.parametrize(
    "module", [base, common, *(f"agentgym.trainers.credit.{n}" for n in registry.entries("credit")),
               "agentgym.trainers.normalise"], ids=str
)  # fmt: skip
def test_worked_examples(module: Any) -> None:
    module = importlib.import_module(module) if isinstance(module, str) else module
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted or module is common


# Stages before credit ------------------------------------------------------------------------


def with_validity(group: Group, valid: list[bool | None]) -> Group:
    for g, trajectory in enumerate(group.trajectories_G):
        turns = tuple(dataclasses.replace(t, action_valid=valid[g]) for t in trajectory.turns)
        group = change(group, g, turns=turns)
    return group


def test_the_penalty_is_off_and_spares_who_is_not_known_to_be_wrong() -> None:
    group = with_validity(outcomes(1, 1, 1), [True, False, None])
    assert penalise_invalid_actions(group) is group
    punished = penalise_invalid_actions(group, 0.25)
    assert [t.episode_return for t in punished.trajectories_G] == [1.0, 0.75, 1.0]
    assert group == with_validity(outcomes(1, 1, 1), [True, False, None])
    assert valid_action_share(punished.trajectories_G) == 0.5
    assert valid_action_share(outcomes(1).trajectories_G) is None
    with pytest.raises(ConfigError, match="is below 0"):
        penalise_invalid_actions(group, -0.1)


def test_the_penalty_becomes_the_whole_signal_where_all_fail() -> None:
    """Why it is off: with std normalisation the size of the coefficient does not even matter."""
    failed = with_validity(outcomes(0, 0, 0, 0), [True, False, False, False])
    for coef in (0.01, 1.0):
        [good, *bad] = per_turn(GRPO()(penalise_invalid_actions(failed, coef)))
        assert good[0] == pytest.approx(1.5, rel=1e-3)
        assert bad[0][0] == pytest.approx(-0.5, rel=1e-3)


def test_where_the_penalty_is_felt() -> None:
    group = example([[0.0, 0.0], [0.0, 0.0]], [["a", "b"], ["a", "c"]])
    first = group.trajectories_G[0]
    wrong = dataclasses.replace(first.turns[1], action_valid=False)
    punished = penalise_invalid_actions(change(group, 0, turns=(first.turns[0], wrong)), 1.0)
    paper, code = Turns.of(punished), Turns.of(punished, local="invalid_action_penalty")
    assert paper.episode_scores_N.tolist() == [-1, -1, 0, 0]
    assert paper.discounted_returns_N(0.5).tolist() == [-0.5, -1, 0, 0]
    assert code.episode_scores_N.tolist() == [0, -1, 0, 0]
    assert code.discounted_returns_N(0.5).tolist() == [0, -1, 0, 0]


def test_informative_looks_at_valid_members_only() -> None:
    kept = [outcomes(1, 0), outcomes(1, 1), outcomes(1, 1, 0, invalid=[2]), outcomes(0, 1, 1)]
    assert informative(kept) == [kept[0], kept[3]]
    assert informative(kept, last_try=True) == kept
