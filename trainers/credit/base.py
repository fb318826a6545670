"""What a credit scheme is: a pure function from a group of trajectories to advantages.

No I/O, no state, no mutation, no torch. Who enters what is the same for every scheme (`Turns` in
`common.py` sees to it):

* An invalid member (`Trajectory.valid` is False: the platform failed) enters no mean, no standard
  deviation and no count, and gets zeros. So does a member without a turn: nobody acted.
* In a group with one counted member there is nothing to compare: zeros, and it is counted in the
  report. (Schemes that compare no members, such as `gae`, say so.)
* Calls that are not trainable get zeros.

Axes: G trajectories of a group, K turns of a trajectory, C calls of a turn, T sampled tokens of a
call.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from agentgym.backends.base import Backend
from agentgym.env import TextEnv
from agentgym.errors import ConfigError, UserError
from agentgym.render import Renderer
from agentgym.types import Group

Floats: TypeAlias = npt.NDArray[np.float64]
ValuesKCT: TypeAlias = tuple[tuple[Floats, ...], ...]
"""Of one trajectory: a number for every sampled token of every call of every turn."""

NEEDS = {
    "state_key": "an environment whose state_key() names its state",
    "action_valid": "an environment that says which actions it understood",
    "turn_reward": "an environment that rewards single turns",
    "checklist": "an environment whose turns state verdicts on criteria (Turn.facts)",
    "gold_logprob": "an annotator that stores the log-probability of the known answer",
    "value": "an annotator that stores a value per token",
    "ref_logprob": "a reference model",
}
"""What a scheme may need beyond rewards, and who can supply it. Others may add words of theirs."""


@dataclass(frozen=True, slots=True)
class CreditReport:
    """What became of groups, counted. Reports of several groups are added with `+`."""

    groups: int = 0
    zero_signal_groups: int = 0  #: every advantage is 0: nothing to learn from
    members: int = 0
    masked_members: int = 0  #: invalid: they entered nothing
    turns: int = 0  #: of counted members
    anchors: int = 0  #: different states that step-level credit compared turns at
    singleton_turns: int = 0  #: turns whose state no other turn shares: no step-level credit

    def __add__(self, other: "CreditReport") -> "CreditReport":
        names = [f.name for f in fields(self)]
        return CreditReport(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def metrics(self) -> dict[str, float]:
        """Return the shares that are worth a curve; a share that does not apply is left out.

        >>> CreditReport(groups=4, zero_signal_groups=1, members=32).metrics()
        {'credit/zero_signal_groups': 0.25, 'credit/masked_members': 0.0}
        """
        found: dict[str, float] = {}
        if self.groups:
            found["credit/zero_signal_groups"] = self.zero_signal_groups / self.groups
        if self.members:
            found["credit/masked_members"] = self.masked_members / self.members
        if self.turns and self.anchors:
            found["credit/singleton_anchor_turns"] = self.singleton_turns / self.turns
        return found


@dataclass(frozen=True)
class Advantages(Sequence[ValuesKCT]):
    """The advantages of one group, one float64 per sampled token, and the report about them.

    It is a sequence over the members: `advantages[g][k][c]` is an array over sampled tokens.
    """

    values_GKCT: tuple[ValuesKCT, ...]
    report: CreditReport = CreditReport()

    @overload
    def __getitem__(self, index: int) -> ValuesKCT: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ValuesKCT, ...]: ...
    def __getitem__(self, index: int | slice) -> ValuesKCT | tuple[ValuesKCT, ...]:
        return self.values_GKCT[index]

    def __len__(self) -> int:
        return len(self.values_GKCT)


@runtime_checkable
class CreditScheme(Protocol):
    """A pure function from a group to advantages; its parameters are its (frozen) fields."""

    @property
    def needs(self) -> frozenset[str]:
        """What it needs beyond rewards, in the words of `NEEDS`."""
        ...

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        ...


def own_normalisation(scheme: CreditScheme) -> str:
    """Return the scope that a scheme's paper normalises advantages over, see `Normalise`.

    It is the scheme's attribute `normalise`, where it has one; else "none".
    """
    return str(getattr(scheme, "normalise", "none"))


def parts_named_by(scheme: CreditScheme) -> frozenset[str]:
    """Return the parts of the reward that a scheme names: its attribute `parts`, if it has one."""
    return frozenset(getattr(scheme, "parts", ()))


class Policy(Protocol):
    """What annotators are given: the policy that acted, before the update of this iteration."""

    @property
    def model(self) -> Any:
        """The causal model of `transformers`, shared with the learner."""
        ...

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        ...

    @property
    def renderer(self) -> Renderer:
        """Chats to token ids, and text as the policy would say it."""
        ...

    @property
    def backend(self) -> Backend:
        """What samples from the model."""
        ...

    @property
    def reference(self) -> Any:
        """The frozen model of the beginning, where something needs one; else None."""
        ...

    @property
    def critic(self) -> Any:
        """The run's `agentgym.trainers.critic.Critic`, where something needs one; else None."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """The stage before credit: it may query models, and writes what it learns into `notes`.

    Its parameters are its (frozen) fields. It keeps nothing between calls, so that a resumed run
    notes what an undisturbed one does.
    """

    @property
    def provides(self) -> frozenset[str]:
        """What it supplies to schemes, in the words of `NEEDS`."""
        ...

    @property
    def requires(self) -> frozenset[str]:
        """What it needs: of the environment "answer" or one of `NEEDS` (see `provided_by`); of the
        run "reference" or "critic", which the policy that it is given then has.
        """
        ...

    def __call__(self, groups: Sequence[Group], policy: Policy) -> list[Group]:
        """Return the groups with `Trajectory.notes` filled in; invalid members may go without."""
        ...


def require(scheme: CreditScheme, provided: Collection[str], *, source: str) -> None:
    """Check, before the first rollout, that a scheme will get what it needs.

    Args:
        scheme: the scheme.
        provided: what there is; see `provided_by`.
        source: who provides it, for the message ("the environment 'guess'").

    Raises:
        ConfigError: something is missing; names the scheme, the source and what would help.
    """
    missing = sorted(scheme.needs - set(provided))
    if missing:
        wanted = "; ".join(f"{need}: {NEEDS.get(need, 'not known here')}" for need in missing)
        raise ConfigError(
            f"the credit scheme {type(scheme).__name__} needs {', '.join(missing)}, which "
            f"{source} does not provide ({wanted}); choose another scheme or environment"
        )


def provided_by(env: TextEnv | type[TextEnv]) -> frozenset[str]:
    """Return what an environment supplies to schemes and annotators, as far as its class shows."""
    cls = env if isinstance(env, type) else type(env)
    found = {"action_valid"} | ({"turn_reward"} if env.rewards_turns else set())
    if cls.state_key is not TextEnv.state_key:
        found.add("state_key")
    if cls.answer is not TextEnv.answer:
        found.add("answer")
    found |= cls.stated_facts & NEEDS.keys()
    return frozenset(found)


# From numbers per trajectory or turn to numbers per token -----------------------------------


def widen_turns(group: Group, values_GK: Sequence[Sequence[float] | Floats]) -> Advantages:
    """Give every token the number of its turn; invalid members and frozen calls get zeros.

    Raises:
        ValueError: the numbers do not have the shape (G, K) of the group.
    """
    shape, given = [len(t.turns) for t in group.trajectories_G], [len(v) for v in values_GK]
    if shape != given:
        raise ValueError(f"group {group.task!r} has turns {shape}, but got values for {given}")
    return Advantages(
        tuple(
            tuple(
                tuple(
                    np.full(len(call.sample_ids), value if call.trainable else 0.0)
                    for call in turn.calls
                )
                for turn, value in zip(
                    trajectory.turns,
                    values_K if trajectory.valid else [0.0] * len(values_K),
                    strict=True,
                )
            )
            for trajectory, values_K in zip(group.trajectories_G, values_GK, strict=True)
        )
    )


def widen_tokens(group: Group, values_GT: Sequence[Sequence[float] | Floats]) -> Advantages:
    """Give every trained token its own number (T: those of one member); all others get zeros.

    Args:
        group: the group.
        values_GT: for each member, a number for every token of its trainable calls in order; those
            of invalid members are not looked at.

    Raises:
        ValueError: a valid member does not have as many trained tokens as values.
    """
    members = []
    for trajectory, values_T in zip(group.trajectories_G, values_GT, strict=True):
        given, used = np.asarray(values_T, np.float64), 0
        turns = []
        for turn in trajectory.turns:
            calls = []
            for call in turn.calls:
                size = len(call.sample_ids)
                if call.trainable and trajectory.valid:
                    calls.append(given[used : used + size])
                    used += size
                else:
                    calls.append(np.zeros(size))
            turns.append(tuple(calls))
        if trajectory.valid and used != len(given):
            raise ValueError(f"member {trajectory.member}: {used} tokens but {len(given)} values")
        members.append(tuple(turns))
    return Advantages(tuple(members))


def widen_trajectories(group: Group, values_G: Sequence[float] | Floats) -> Advantages:
    """Give every token the number of its trajectory; else like `widen_turns`.

    Raises:
        ValueError: there is not one number per trajectory.
    """
    if len(values_G) != len(group.trajectories_G):
        raise ValueError(f"{len(group.trajectories_G)} trajectories but {len(values_G)} values")
    return widen_turns(
        group,
        [[float(v)] * len(t.turns) for v, t in zip(values_G, group.trajectories_G, strict=True)],
    )


# Checks --------------------------------------------------------------------------------------


def problems(group: Group, advantages: Sequence[ValuesKCT]) -> list[str]:
    """Return what is wrong with a scheme's answer, as sentences; empty: nothing.

    Shapes must be those of the sampled tokens, numbers float64 and finite, and the numbers of
    invalid members zero.
    """
    if len(advantages) != len(group.trajectories_G):
        return [f"{len(group.trajectories_G)} trajectories but advantages for {len(advantages)}"]
    found: list[str] = []
    for g, (trajectory, values_KCT) in enumerate(
        zip(group.trajectories_G, advantages, strict=True)
    ):
        shape = [[len(c.sample_ids) for c in turn.calls] for turn in trajectory.turns]
        given = [[len(values_T) for values_T in values_CT] for values_CT in values_KCT]
        if shape != given:
            found.append(f"member {g}: sampled tokens per turn and call {shape}, got {given}")
        flat = [values_T for values_CT in values_KCT for values_T in values_CT]
        kinds = {getattr(v, "dtype", type(v).__name__) for v in flat} - {np.dtype(np.float64)}
        if kinds:
            names = sorted(map(str, kinds))
            found.append(f"member {g}: values must be float64 arrays, got {names}")
        elif not all(np.isfinite(v).all() for v in flat):
            found.append(f"member {g}: a value is NaN or infinite")
        elif not trajectory.valid and any(v.any() for v in flat):
            found.append(f"member {g} is invalid ({trajectory.stop}) but got values other than 0")
    return found


def credited(scheme: CreditScheme, group: Group, name: str | None = None) -> Advantages:
    """Return a scheme's answer for a group, looked over before anything learns from it.

    Args:
        scheme: the scheme.
        group: the group.
        name: what the user calls the scheme, for the message; else that of its class.

    Raises:
        UserError: the answer is no advantages of this group; names the scheme and what is wrong.
    """
    advantages: object = scheme(group)
    if isinstance(advantages, Advantages):
        try:
            found = problems(group, advantages)
        except TypeError:  # a number where there should be a sequence
            found = [f"its advantages cannot be read: {advantages.values_GKCT!r:.80}"]
    else:
        found = [f"it must return Advantages, got {type(advantages).__name__}"]
    if found or not isinstance(advantages, Advantages):
        called = type(scheme).__name__ if name is None else repr(name)
        raise UserError(
            f"the credit scheme {called} gave a wrong answer for group "
            f"{group.task!r}: {found[0]}; `agentgym check NAME` tries a scheme out"
        )
    return advantages


def total(advantages: Iterable[Advantages]) -> CreditReport:
    """Return the reports of several groups, added up."""
    return sum((a.report for a in advantages), CreditReport())
