"""The conformance kit for credit schemes finds each broken promise and names it."""

import random
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from agentgym.errors import ConfigError, UnknownName
from agentgym.testing import check_credit, sample_groups
from agentgym.trainers.credit.base import Advantages, widen_turns
from agentgym.types import Group


@dataclass(frozen=True)
class Centred:
    """Each return minus the mean of the valid ones."""

    shift_invariant = True

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, group: Group) -> Advantages:
        return self.spread(group, self.values(group))

    def values(self, group: Group) -> list[float]:
        counted = [t for t in group.trajectories_G if t.valid and t.turns]
        mean = sum(t.episode_return for t in counted) / max(len(counted), 1)
        return [t.episode_return - mean if t in counted else 0.0 for t in group.trajectories_G]

    def spread(self, group: Group, values: list[float]) -> Advantages:
        turns = [[v] * len(t.turns) for v, t in zip(values, group.trajectories_G, strict=True)]
        return widen_turns(group, turns)


class NoNeeds(Centred):
    """Bad."""

    needs = None  # type: ignore[assignment]


class NeedsMore(Centred):
    """Bad here."""

    needs = frozenset({"gold_answer"})


class Undocumented(Centred):
    __doc__ = ""


class Bare(Centred):
    """Bad."""

    def __call__(self, group: Group) -> Any:
        return super().__call__(group).values_GKCT


class TooShort(Centred):
    """Bad."""

    def __call__(self, group: Group) -> Advantages:
        found = super().__call__(group).values_GKCT
        return Advantages(tuple(tuple(turn[:0] for turn in member) for member in found))


class Nan(Centred):
    """Bad."""

    def values(self, group: Group) -> list[float]:
        counted = [t for t in group.trajectories_G if t.valid]
        with np.errstate(invalid="ignore"):
            bad = float(np.float64(0) / np.float64(len(counted) - 1))
        return [bad for _ in group.trajectories_G]


class Forgetful(Centred):
    """Bad."""

    calls: list[int] = []  # noqa: RUF012

    def values(self, group: Group) -> list[float]:
        self.calls.append(1)
        return [len(self.calls) * v for v in super().values(group)]


class Lucky(Centred):
    """Bad."""

    def values(self, group: Group) -> list[float]:
        random.random()
        return super().values(group)


class Writes(Centred):
    """Bad."""

    def values(self, group: Group) -> list[float]:
        for trajectory in group.trajectories_G:
            for turn in trajectory.turns:
                turn.reward_parts["advantage"] = 1.0  # type: ignore[index]
        return super().values(group)


class FirstIsBaseline(Centred):
    """Bad."""

    def values(self, group: Group) -> list[float]:
        members = group.trajectories_G
        return [t.episode_return - members[0].episode_return if t.valid else 0.0 for t in members]


class CountsInvalid(Centred):
    """Bad: what NeMo-RL 3467 reports."""

    def values(self, group: Group) -> list[float]:
        members = group.trajectories_G
        mean = sum(t.episode_return for t in members) / len(members)
        return [t.episode_return - mean if t.valid else 0.0 for t in members]


class FillsFrozen(Centred):
    """Bad."""

    def __call__(self, group: Group) -> Advantages:
        found = super().__call__(group).values_GKCT
        return Advantages(
            tuple(
                tuple(tuple(v + t.valid for v in turn) for turn in member)
                for t, member in zip(group.trajectories_G, found, strict=True)
            )
        )


class ReadsNames(Centred):
    """Bad."""

    def values(self, group: Group) -> list[float]:
        bonus = [any(turn.state_key == "hall" for turn in t.turns) for t in group.trajectories_G]
        return [v + b for v, b in zip(super().values(group), bonus, strict=True)]


class Raw(Centred):
    """Not centred, whatever it says."""

    def values(self, group: Group) -> list[float]:
        return [t.episode_return if t.valid else 0.0 for t in group.trajectories_G]


class Upside(Centred):
    """Bad."""

    def values(self, group: Group) -> list[float]:
        return [-v for v in super().values(group)]


def test_a_good_scheme_passes() -> None:
    report = check_credit(Centred)
    assert not report.raise_on_failure().warnings
    assert len(report.passed) == 10
    assert check_credit(Centred()).name == "Centred"


@pytest.mark.parametrize(
    ("scheme", "name", "message"),
    [
        (NoNeeds, "has the interface", r"needs must be a frozenset of str, got None"),
        (NeedsMore, "has the interface", r"needs gold_answer: pass groups="),
        (Undocumented, "has the interface", r"no docstring"),
        (lambda group: group, "has the interface", r"needs must be a frozenset"),
        (Bare, "a number per sampled token", r"must return Advantages, got tuple"),
        (TooShort, "a number per sampled token", r"group 0 \(1 members, 1 valid\): member 0: sam"),
        (Nan, "a number per sampled token", r"a value is NaN or infinite"),
        (Forgetful, "a pure function", r"group \d+ got other numbers the second time"),
        (Lucky, "a pure function", r"draws from or seeds a global random generator"),
        (Writes, "the group is left alone", r"group 0 was changed"),
        (FirstIsBaseline, "the order of members", r"member \d at place \d instead gets"),
        (CountsInvalid, "invalid members", r"with an invalid member \(reward 1e6\) beside it gets"),
        (FillsFrozen, "frozen calls", r"the call of 'planner' is not trainable but got"),
        (ReadsNames, "states are compared", r"with other names for the states gets"),
        (Raw, "a bonus for everybody", r"with 0.75 more for everybody gets"),
        (Upside, "what was rewarded", r"get 0.5 and -0.5; the rewarded one must get more"),
    ],
)
def test_broken_promises_are_named(scheme: Any, name: str, message: str) -> None:
    failed = {check.name: check.detail for check in check_credit(scheme).failed}
    (found,) = [detail for key, detail in failed.items() if key.startswith(name)]
    assert re.search(message, found), found


def test_shift_invariance_is_only_asked_of_those_who_claim_it() -> None:
    report = check_credit(Raw, shift_invariant=False)
    assert report
    assert [check.name for check in report.not_applicable] == [
        "a bonus for everybody changes nothing"
    ]


def test_groups_can_be_given() -> None:
    assert check_credit(NeedsMore, groups=sample_groups(3))


def test_unknown_names_and_classes_with_parameters() -> None:
    with pytest.raises(UnknownName, match="did you mean 'grpo'"):
        check_credit("grp")

    @dataclass(frozen=True)
    class Half(Centred):
        weight: float

    with pytest.raises(ConfigError, match="Half needs parameters"):
        check_credit(Half)


def test_sample_groups_hold_everything_odd() -> None:
    groups = sample_groups(0, 40)
    trajectories = [t for group in groups for t in group.trajectories_G]
    turns = [turn for t in trajectories for turn in t.turns]
    calls = [call for turn in turns for call in turn.calls]
    assert {len(g.trajectories_G) for g in groups} >= {1, 2, 3, 4, 5, 6}
    assert {g.valid_G.count(True) for g in groups} >= {0, 1, 2, 3}
    assert any(not t.turns for t in trajectories)
    assert any(turn.state_key is None for turn in turns)
    assert {call.trainable for call in calls} == {True, False}
    assert {len(call.sample_ids) for call in calls} >= {0, 1, 4}
    assert groups == sample_groups(0, 40)
    assert groups != sample_groups(1, 40)
