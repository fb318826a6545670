"""What holds for every credit scheme that the registry finds: one table, one row per scheme.

A new file in `trainers/credit/` without a row here fails, and the message says what is missing.
"""

import dataclasses
import doctest
import importlib
import math
from dataclasses import dataclass
from typing import Any, cast

import golden_cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym import registry
from agentgym.testing.samples import sample_groups
from agentgym.trainers.credit.base import Advantages, CreditScheme, own_normalisation, problems
from agentgym.trainers.credit.common import example
from agentgym.trainers.normalise import Normalise
from agentgym.types import Group, Trajectory

STD = math.sqrt(1 / 3)  # of 1, 0, 0 with ddof 1


@dataclass(frozen=True)
class Row:
    """What a scheme with its defaults makes of one-turn episodes with the rewards 1, 1*, 0, 0.

    The starred member is invalid. All are in the same state and have the same notes; those with a
    reward of 1 met the one criterion of their checklist.
    """

    best: float  #: of the member with 1, from the statistics of 1, 0, 0 alone
    rest: float  #: of those with 0
    golden: str  #: the file with the authors' numbers
    equal: float = 0.0  #: what members with the same reward 0.5 get
    shifts: bool = False  #: a constant added to every return: True: is on every advantage


OUTCOME = Row((1 - 1 / 3) / STD, -1 / 3 / STD, "grpo")
TABLE = {
    "grpo": OUTCOME,
    "rloo": Row(1.0, -0.5, "rloo"),
    "flow_grpo": dataclasses.replace(OUTCOME, golden="flow_grpo"),
    "gigpo": Row(2 * OUTCOME.best, 2 * OUTCOME.rest, "gigpo"),  # both levels say the same
    "turn_return": dataclasses.replace(OUTCOME, golden="cm2_turns"),
    "reinforce_pp": Row(1.0, 0.0, "reinforce_pp", equal=0.5, shifts=True),
    "gae": Row(1.0, 0.0, "gae", equal=0.5, shifts=True),
    "igpo": dataclasses.replace(OUTCOME, golden="igpo"),
    "gated": dataclasses.replace(OUTCOME, golden="gra_formula_derived"),
    "combine": dataclasses.replace(OUTCOME, golden="gigpo"),  # gigpo as a sum of its levels
    "checklist": Row(2 / 3, -1 / 3, "cm2_checklist"),
}
NAMES = list(registry.entries("credit"))

every = pytest.mark.parametrize("name", NAMES)


def scheme_of(name: str) -> CreditScheme:
    return cast("Any", registry.load("credit", name))()  # type: ignore[no-any-return]


def row_of(name: str) -> Row:
    assert name in TABLE, f"add a row for {name!r} to TABLE in {__file__}"
    return TABLE[name]


def outcomes(rewards: list[float], invalid: tuple[int, ...] = ()) -> Group:
    size = len(rewards)
    return example(
        [[r] for r in rewards],
        [["here"]] * size,
        invalid=invalid,
        notes={"gold_logprob": [[-1.0]] * size, "value": [[0.0]] * size},
        criteria=[[("done", 1.0, ())]],
        met=[[{"done"} if r == 1 else ()] for r in rewards],
    )


def firsts(advantages: Advantages) -> list[float]:
    return [float(member[0][0][0]) for member in advantages]


def with_bonus(group: Group, bonus: float) -> Group:
    """The group with more reward in every last turn."""

    def richer(t: Trajectory) -> Trajectory:
        last = dataclasses.replace(t.turns[-1], reward=t.turns[-1].reward + bonus)
        return dataclasses.replace(t, turns=(*t.turns[:-1], last))

    members = tuple(richer(t) if t.turns else t for t in group.trajectories_G)
    return dataclasses.replace(group, trajectories_G=members)


def test_the_table_has_a_row_for_every_scheme_and_no_other() -> None:
    for name in NAMES:
        row_of(name)
    assert sorted(TABLE) == sorted(NAMES)


@every
def test_numbers_of_the_authors_are_at_hand_and_the_docstring_has_a_worked_example(
    name: str,
) -> None:
    assert golden_cases.cases(row_of(name).golden)
    module = importlib.import_module(f"agentgym.trainers.credit.{name}")
    cls = registry.load("credit", name)
    examples = [t for t in doctest.DocTestFinder().find(cls, module=module) if t.examples]
    assert examples, f"the docstring of {name} has no worked example"
    for each in examples:
        assert doctest.DocTestRunner().run(each).failed == 0


@every
def test_a_masked_member_leaves_the_statistics(name: str) -> None:
    scheme, row = scheme_of(name), row_of(name)
    expected = [row.best, 0.0, row.rest, row.rest]
    advantages = scheme(outcomes([1, 1, 0, 0], invalid=(1,)))
    assert firsts(advantages) == pytest.approx(expected, rel=1e-5)
    assert (advantages.report.members, advantages.report.masked_members) == (4, 1)
    without = firsts(scheme(outcomes([1, 0, 0])))
    assert without == pytest.approx([row.best, row.rest, row.rest], rel=1e-5)
    # It can fail: counted, the member would change everybody's numbers.
    counted = firsts(scheme(outcomes([1, 1, 0, 0])))
    assert row.shifts or counted[0] != pytest.approx(row.best, rel=1e-2)


@every
@pytest.mark.parametrize(
    ("rewards", "invalid", "acted"),
    [
        ([0.5], (), 1),
        ([0.5, 0.5, 0.5], (), 3),
        ([0.5, 0.5, 9.0], (2,), 2),
        ([0.5, 9.0, 9.0], (1, 2), 1),
        ([9.0, 9.0], (0, 1), 0),
        ([], (), 0),
    ],
    ids=["one_member", "all_equal", "equal_but_masked", "one_left", "all_masked", "empty"],
)
def test_groups_without_a_comparison(
    name: str, rewards: list[float], invalid: tuple[int, ...], acted: int
) -> None:
    """Schemes that compare members have no signal and say so; the others have their own."""
    row, group = row_of(name), outcomes(rewards, invalid)
    advantages = scheme_of(name)(group)
    assert problems(group, advantages) == []
    expected = [0.0 if g in invalid else row.equal for g in range(len(rewards))]
    assert firsts(advantages) == pytest.approx(expected)
    assert advantages.report.zero_signal_groups == int(not (row.equal and acted))


@every
@given(seed=st.integers(0, 5000), data=st.data())
@settings(max_examples=15, deadline=None)
def test_members_may_come_in_any_order(name: str, seed: int, data: st.DataObject) -> None:
    scheme = scheme_of(name)
    for group in sample_groups(seed, 6):
        order = data.draw(st.permutations(range(len(group.trajectories_G))))
        members = tuple(group.trajectories_G[g] for g in order)
        before = repr(group)
        ours, theirs = scheme(group), scheme(dataclasses.replace(group, trajectories_G=members))
        assert repr(group) == before
        assert problems(group, ours) == []
        for place, g in enumerate(order):
            for a_CT, b_CT in zip(ours[g], theirs[place], strict=True):
                for a_T, b_T in zip(a_CT, b_CT, strict=True):
                    assert b_T.tolist() == pytest.approx(a_T.tolist(), rel=1e-9, abs=1e-9)


@every
@given(
    rewards=st.lists(st.sampled_from([0.0, 0.0, 1.0, -0.5]), min_size=2, max_size=6),
    bonus=st.sampled_from([1.0, -3.0, 100.0]),
)
@settings(max_examples=25, deadline=None)
def test_a_constant_on_every_return_changes_nothing_in_the_end(
    name: str, rewards: list[float], bonus: float
) -> None:
    """After the normalisation that belongs to the scheme; some have the constant before it."""
    scheme, row = scheme_of(name), row_of(name)
    plain = outcomes(rewards)
    richer = with_bonus(plain, bonus)
    ours, theirs = scheme(plain), scheme(richer)
    if row.shifts:
        assert firsts(theirs) == pytest.approx([a + bonus for a in firsts(ours)])
    stage = Normalise(own_normalisation(scheme))  # type: ignore[arg-type]
    [ours], [theirs] = stage([plain], [ours]), stage([richer], [theirs])
    assert firsts(theirs) == pytest.approx(firsts(ours), abs=1e-6)


@every
def test_what_no_recipe_should_say_is_refused_by_name(name: str) -> None:
    """Numbers out of range: gamma of those that discount, omega of those that weigh levels."""
    cls: Any = registry.load("credit", name)
    known = {field.name for field in dataclasses.fields(cls)}
    for field, values in {"gamma": (-0.1, 1.1, math.nan), "omega": (-1.0, math.nan, "1")}.items():
        for value in values if field in known else ():
            with pytest.raises(Exception, match=field) as caught:
                cls(**{field: value})
            assert type(caught.value).__name__ == "ConfigError"
