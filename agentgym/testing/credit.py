"""`check_credit`: what every credit scheme promises, tried on made-up groups."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agentgym import registry
from agentgym.errors import ConfigError
from agentgym.testing.report import Failed, Named, NotApplicable, Report, run_checks
from agentgym.testing.samples import notes_for, sample_groups
from agentgym.trainers.credit.base import Advantages, CreditScheme, Floats, problems
from agentgym.types import JSON, Call, Group, Observation, Stop, Trajectory, Turn

SUPPLIED = frozenset(
    {
        "state_key",
        "action_valid",
        "turn_reward",
        "checklist",
        "gold_logprob",
        "value",
        "ref_logprob",
    }
)
"""What the kit's own groups hold beyond rewards."""

TOLERANCE = 1e-9


@dataclass
class Subject:
    """The scheme under test."""

    scheme: CreditScheme
    groups: list[Group]
    untouched: list[Group]  #: copies of them
    shift_invariant: bool | None
    own_groups: bool  #: whether the kit made the groups


def check_credit(
    scheme: str | CreditScheme | Callable[..., CreditScheme],
    *,
    groups: Sequence[Group] | None = None,
    shift_invariant: bool | None = None,
) -> Report:
    """Try out what every credit scheme promises.

    Args:
        scheme: a name, a scheme, or its class (which is made with its defaults).
        groups: what to try it on, for schemes that need more than rewards, states, validity,
            verdicts on criteria and the notes "gold_logprob" and "value".
        shift_invariant: whether adding one number to the last reward of every member must change
            nothing. None: the scheme's own `shift_invariant`, if it has one; else it is not asked.

    Raises:
        UserError: no such scheme.

    >>> check_credit("grpo", shift_invariant=True).raise_on_failure().failed
    ()
    """
    made, name = make_part("credit", scheme)
    if shift_invariant is None:
        shift_invariant = getattr(made, "shift_invariant", None)
    found = list(groups) if groups is not None else sample_groups()
    subject = Subject(made, found, copy.deepcopy(found), shift_invariant, groups is None)
    return run_checks("credit scheme", name, subject, CREDIT_CHECKS)


def make_part(kind: str, part: Any) -> tuple[Any, str]:
    """Return a part of a kind, given by name, as a class or ready, with a name for reports.

    Raises:
        UserError: no such name, or the class cannot be made without parameters.
    """
    name = part if isinstance(part, str) else ""
    found = registry.load(kind, part) if isinstance(part, str) else part
    if isinstance(found, type):
        name = name or found.__name__
        try:
            found = found()
        except TypeError as error:
            raise ConfigError(f"{name} needs parameters: {error}; pass a ready one") from error
    return found, name or getattr(found, "__name__", type(found).__name__)


def has_the_interface(subject: Subject) -> None:
    """It is callable and says what it needs."""
    scheme: Any = subject.scheme
    if not callable(scheme):
        raise Failed(f"{type(scheme).__name__} is not callable; write __call__(group)")
    needs = getattr(scheme, "needs", None)
    if not isinstance(needs, frozenset) or not all(isinstance(need, str) for need in needs):
        raise Failed(f"needs must be a frozenset of str, got {needs!r}; frozenset() for nothing")
    missing = sorted(needs - SUPPLIED)
    if missing and subject.own_groups:
        raise Failed(f"it needs {', '.join(missing)}: pass groups=[...] that hold these")
    if not (getattr(type(scheme), "__doc__", "") or "").strip():
        raise Failed("there is no docstring; it is the place of symbols, formula and source")


def gives_a_number_per_token(subject: Subject) -> None:
    """One finite float64 for every sampled token; zeros for invalid members."""
    for k, group in enumerate(subject.groups):
        advantages: Any = subject.scheme(group)
        if not isinstance(advantages, Advantages):
            raise Failed(f"it must return Advantages, got {type(advantages).__name__}")
        found = problems(group, advantages)
        if found:
            raise Failed(f"group {k} ({_sketch(group)}): {found[0]}")


def is_a_pure_function(subject: Subject) -> None:
    """The same group gives the same numbers, in any order of calls; no global randomness."""
    before = (random.getstate(), repr(np.random.get_state(legacy=False)))
    first = [_flat(subject.scheme(group)) for group in subject.groups]
    for k in reversed(range(len(subject.groups))):
        again = _flat(subject.scheme(subject.groups[k]))
        if not np.array_equal(first[k], again):
            raise Failed(
                f"group {k} got other numbers the second time; a scheme keeps nothing between calls"
            )
    if before != (random.getstate(), repr(np.random.get_state(legacy=False))):
        raise Failed("it draws from or seeds a global random generator")


def leaves_the_group_alone(subject: Subject) -> None:
    """The group is not changed."""
    for k, (group, before) in enumerate(zip(subject.groups, subject.untouched, strict=True)):
        subject.scheme(group)
        if group != before:
            raise Failed(f"group {k} was changed; return numbers and leave the group as it is")


def does_not_ask_for_the_order(subject: Subject) -> None:
    """Members in another order get the same numbers."""
    rng = random.Random(0)
    for k, group in enumerate(subject.groups):
        order = list(range(len(group.trajectories_G)))
        rng.shuffle(order)
        shuffled = Group(group.task, tuple(group.trajectories_G[g] for g in order))
        ours, theirs = subject.scheme(group), subject.scheme(shuffled)
        for place, g in enumerate(order):
            _same(ours[g], theirs[place], f"group {k}: member {g} at place {place} instead")


def does_not_see_invalid_members(subject: Subject) -> None:
    """A member that the platform failed enters nothing."""
    for k, group in enumerate(subject.groups):
        if not group.trajectories_G:
            continue
        spoiled = replace(
            group.trajectories_G[0],
            turns=tuple(replace(turn, reward=1e6) for turn in group.trajectories_G[0].turns),
            stop=Stop.TIMEOUT,
            success=None,
        )
        with_it = Group(group.task, (*group.trajectories_G, spoiled))
        ours, theirs = subject.scheme(group), subject.scheme(with_it)
        for g in range(len(group.trajectories_G)):
            _same(
                ours[g],
                theirs[g],
                f"group {k}: member {g} with an invalid member (reward 1e6) beside it",
            )


def gives_frozen_calls_nothing(subject: Subject) -> None:
    """Calls that are not trainable get zeros."""
    for k, group in enumerate(subject.groups):
        for g, (trajectory, values_KCT) in enumerate(
            zip(group.trajectories_G, subject.scheme(group), strict=True)
        ):
            for turn, values_CT in zip(trajectory.turns, values_KCT, strict=True):
                for call, values_T in zip(turn.calls, values_CT, strict=True):
                    if not call.trainable and np.any(values_T):
                        raise Failed(
                            f"group {k}, member {g}: the call of {call.role!r} is not trainable "
                            f"but got {values_T.tolist()}"
                        )


def does_not_read_state_names(subject: Subject) -> None:
    """States are compared, never read: other names, same numbers."""
    for k, group in enumerate(subject.groups):
        renamed = Group(group.task, tuple(map(_rename_states, group.trajectories_G)))
        ours, theirs = subject.scheme(group), subject.scheme(renamed)
        for g in range(len(group.trajectories_G)):
            _same(ours[g], theirs[g], f"group {k}: member {g} with other names for the states")


def is_shift_invariant(subject: Subject) -> None:
    """The same bonus for every member changes nothing."""
    if not subject.shift_invariant:
        raise NotApplicable("the scheme does not claim it (shift_invariant)")
    for k, group in enumerate(subject.groups):
        if group.valid_G.count(True) < 2 or not all(t.turns for t in group.trajectories_G):
            continue
        shifted = Group(group.task, tuple(_with_bonus(t, 0.75) for t in group.trajectories_G))
        ours, theirs = subject.scheme(group), subject.scheme(shifted)
        for g in range(len(group.trajectories_G)):
            _same(ours[g], theirs[g], f"group {k}: member {g} with 0.75 more for everybody", 1e-6)


def prefers_what_was_rewarded(subject: Subject) -> None:
    """Of two equal episodes the one with the reward gets the higher advantage."""
    needs: frozenset[str] = subject.scheme.needs
    if needs - SUPPLIED:
        raise NotApplicable(f"needs {', '.join(sorted(needs - SUPPLIED))}")
    lost, won = (_plain_episode(g, reward) for g, reward in enumerate((0.0, 1.0)))
    advantages = subject.scheme(Group("a win and a loss", (lost, won)))
    low, high = (float(advantages[g][-1][0][0]) for g in (0, 1))
    if not high > low:
        raise Failed(
            f"of two episodes that differ in the last reward (0 and 1) the tokens of the last "
            f"turn get {low:g} and {high:g}; the rewarded one must get more"
        )


CREDIT_CHECKS = (
    Named("has the interface", has_the_interface, gate=True),
    Named("a number per sampled token", gives_a_number_per_token, gate=True),
    Named("a pure function", is_a_pure_function),
    Named("the group is left alone", leaves_the_group_alone),
    Named("the order of members does not matter", does_not_ask_for_the_order),
    Named("invalid members enter nothing", does_not_see_invalid_members),
    Named("frozen calls get nothing", gives_frozen_calls_nothing),
    Named("states are compared, not read", does_not_read_state_names),
    Named("a bonus for everybody changes nothing", is_shift_invariant),
    Named("what was rewarded is preferred", prefers_what_was_rewarded),
)


def _flat(advantages: Advantages) -> Floats:
    parts = [values_T for member in advantages for turn in member for values_T in turn]
    return np.concatenate([np.zeros(0), *parts])


def _same(
    ours: tuple[tuple[Floats, ...], ...],
    theirs: tuple[tuple[Floats, ...], ...],
    what: str,
    tolerance: float = TOLERANCE,
) -> None:
    for k, (a_CT, b_CT) in enumerate(zip(ours, theirs, strict=True)):
        for a_T, b_T in zip(a_CT, b_CT, strict=True):
            if not np.allclose(a_T, b_T, rtol=tolerance, atol=tolerance):
                raise Failed(f"{what} gets {b_T.tolist()} instead of {a_T.tolist()} in turn {k}")


def _sketch(group: Group) -> str:
    valid = group.valid_G.count(True)
    return f"{len(group.trajectories_G)} members, {valid} valid"


def _rename_states(trajectory: Trajectory) -> Trajectory:
    turns = tuple(
        replace(turn, state_key=None if turn.state_key is None else f"~{turn.state_key[::-1]}")
        for turn in trajectory.turns
    )
    return replace(trajectory, turns=turns)


def _with_bonus(trajectory: Trajectory, bonus: float) -> Trajectory:
    last = trajectory.turns[-1]
    return replace(
        trajectory, turns=(*trajectory.turns[:-1], replace(last, reward=last.reward + bonus))
    )


def _plain_episode(member: int, last_reward: float) -> Trajectory:
    def turn(k: int, reward: float) -> Turn:
        call = Call("policy", (1,), (7, 8), (-0.5, -0.5), "go", "stop", 0, fresh=k == 0)
        facts: dict[str, JSON] = {
            "criteria": [[{"id": "won", "weight": 1.0, "depends_on": []}]],
            "checklist": {"user_turn": 0, "satisfied": {"won": reward > 0}},
        }
        return Turn(Observation("A room."), (call,), "go", reward, f"room {k}", True, facts=facts)

    turns = (turn(0, 0.0), turn(1, last_reward))
    success = last_reward > 0
    return Trajectory(
        env="made_up",
        env_version=0,
        env_options={},
        seed=0,
        member=member,
        turns=turns,
        final_observation=Observation("the end"),
        final_state_key=None,
        stop=Stop.DONE,
        success=success,
        notes=notes_for(turns, random.Random(0)),
    )
