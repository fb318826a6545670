"""The arithmetic that credit schemes share: turns as arrays, statistics of sets, presets.

Axes: G trajectories of a group, K turns of a trajectory; N the turns of all counted members of a
group, one after another; M the counted members, or a sample that statistics are over.
"""

import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.trainers.credit.base import (
    NEEDS,
    Advantages,
    CreditReport,
    Floats,
    widen_tokens,
    widen_turns,
)
from agentgym.types import JSON, Call, Group, Observation, Stop, Trajectory, Turn

Ints: TypeAlias = npt.NDArray[np.int64]

INVALID_ACTION = "invalid_action_penalty"
"""The name in `Turn.reward_parts` of what `penalise_invalid_actions` took off a turn's reward."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of a group's counted members as arrays, so that a scheme is a few lines.

    `rewards_N` is what the environment (and stages before credit) gave. With `local` parts, see
    `of`, they are taken out of `rewards_N` and stand in `local_N` instead.
    """

    group: Group
    members: tuple[int, ...]  #: the counted members: valid, with at least one turn
    starts: tuple[int, ...]  #: where each counted member begins on axis N, and the end
    member_N: Ints  #: position in `members`
    rewards_N: Floats
    local_N: Floats

    @classmethod
    def of(cls, group: Group, *, local: str | None = None) -> "Turns":
        """Collect the turns; the part of the rewards named `local` is not carried to other turns.

        A local part counts in the score of its own turn only (verl-agent treats its penalty so).

        Raises:
            UserError: members of different tasks, which cannot be compared; or a reward that is NaN
                or infinite, which would spoil the whole group.
        """
        tasks = {(t.env, t.env_version, t.seed) for t in group.trajectories_G}
        if len(tasks) > 1:
            raise UserError(
                f"group {group.task!r} mixes tasks (environment, version, seed): {sorted(tasks)}; "
                "a group is made of attempts at one task"
            )
        members = tuple(
            g for g, t in enumerate(group.trajectories_G) if t.valid and len(t.turns) > 0
        )
        counted = [group.trajectories_G[g] for g in members]
        lengths = [len(t.turns) for t in counted]
        turns = [turn for t in counted for turn in t.turns]
        rewards_N = np.array([turn.reward for turn in turns], np.float64)
        if not np.isfinite(rewards_N).all():
            n = int(np.flatnonzero(~np.isfinite(rewards_N))[0])
            raise UserError(f"group {group.task!r}: a turn has the reward {turns[n].reward}")
        local_N = np.zeros(len(turns))
        if local is not None:
            local_N += [turn.reward_parts.get(local, 0.0) for turn in turns]
        return cls(
            group,
            members,
            tuple(np.cumsum([0, *lengths]).tolist()),
            np.repeat(np.arange(len(members)), lengths),
            rewards_N - local_N,
            local_N,
        )

    @property
    def episode_scores_N(self) -> Floats:
        """The return of each turn's episode, plus the turn's local part."""
        totals_M = np.bincount(self.member_N, self.rewards_N, len(self.members))
        return totals_M[self.member_N] + self.local_N

    @property
    def turn_scores_N(self) -> Floats:
        """Each turn's own reward, plus its local part."""
        return self.rewards_N + self.local_N

    def trajectory_means_M(self, values_N: Floats) -> Floats:
        """Return the mean over each counted member's turns (M counted members)."""
        sums_M = np.bincount(self.member_N, values_N, len(self.members))
        return sums_M / np.diff(self.starts)

    def relative_scores(
        self,
        scores_N: Floats,
        over: str | None,
        *,
        scale: bool,
        eps: float,
        lone: Literal["zero", "raw"],
    ) -> Floats:
        """Return scores relative to the whole group, see `relative`.

        Args:
            scores_N: one score per turn.
            over: what mean and std are over: "trajectories" (one number each, the mean over its
                turns), "turns", or "first_turns" (of each trajectory).
            scale: whether to divide.
            eps: added to the standard deviation.
            lone: what a sample of one gives.
        """
        match over:
            case "turns":
                sample_M = scores_N
            case "first_turns":
                sample_M = scores_N[list(self.starts[:-1])]
            case _:
                sample_M = self.trajectory_means_M(scores_N)
        zeros_N, zeros_M = np.zeros(len(scores_N), np.int64), np.zeros(len(sample_M), np.int64)
        return relative(
            scores_N, zeros_N, sample=(sample_M, zeros_M), scale=scale, eps=eps, lone=lone
        )

    def discounted_returns_N(self, gamma: float) -> Floats:
        """R_t = sum over k >= t of gamma^(k-t) r_k inside each trajectory, plus the local part."""
        return self.discounted_N(self.rewards_N, gamma) + self.local_N

    def discounted_N(self, values_N: Floats, gamma: float) -> Floats:
        """Return sum over k >= t of gamma^(k-t) values_k inside each trajectory."""
        values = values_N.tolist()
        for start, end in zip(self.starts, self.starts[1:], strict=False):
            running = 0.0
            for n in range(end - 1, start - 1, -1):
                values[n] = running = values[n] + gamma * running
        return np.array(values, np.float64)

    def widen(self, values_N: Floats, *, anchors: int = 0, singleton_turns: int = 0) -> Advantages:
        """Return the advantages (zeros for members that do not count) with their report."""
        values_GK: list[Sequence[float]] = [[0.0] * len(t.turns) for t in self.group.trajectories_G]
        values = values_N.tolist()
        for member, start, end in zip(self.members, self.starts, self.starts[1:], strict=False):
            values_GK[member] = values[start:end]
        report = self.report(
            silent=not values_N.any(), anchors=anchors, singleton_turns=singleton_turns
        )
        return Advantages(widen_turns(self.group, values_GK).values_GKCT, report)

    def widen_tokens(self, values_MT: Sequence[Floats]) -> Advantages:
        """Return the advantages from a number for every trained token of every counted member."""
        values_GT: list[Floats] = [np.zeros(0) for _ in self.group.trajectories_G]
        for member, values_T in zip(self.members, values_MT, strict=True):
            values_GT[member] = values_T
        report = self.report(silent=not any(values_T.any() for values_T in values_MT))
        return Advantages(widen_tokens(self.group, values_GT).values_GKCT, report)

    def report(self, *, silent: bool, anchors: int = 0, singleton_turns: int = 0) -> CreditReport:
        """Return what became of this group; `silent`: all advantages are 0."""
        return CreditReport(
            groups=1,
            zero_signal_groups=int(silent),
            members=len(self.group.trajectories_G),
            masked_members=self.group.valid_G.count(False),
            turns=len(self.rewards_N),
            anchors=anchors,
            singleton_turns=singleton_turns,
        )


def relative(
    x_N: Floats,
    ids_N: Ints,
    *,
    sample: tuple[Floats, Ints] | None = None,
    scale: bool,
    eps: float = 1e-6,
    lone: Literal["zero", "raw"] = "zero",
) -> Floats:
    """Return (x - mean) / (std + eps) inside each set of equal ids, or x - mean without `scale`.

    The standard deviation has ddof 1 and eps is added to it, not to the variance. Deviations at
    the level of rounding errors are 0, so that equal values give exactly 0.

    Args:
        x_N: the values.
        ids_N: which set each belongs to: 0, 1, 2, ...
        sample: the values (M) and sets (M) that mean and std are of, where these are not x itself.
        scale: whether to divide.
        eps: keeps the division finite.
        lone: a set whose sample has one value gives 0 ("zero"), or x as if it had mean 0 and
            standard deviation 1 ("raw", what verl and verl-agent do).
    """
    y_M, ids_M = sample or (x_N, ids_N)
    size = int(max(ids_N.max(initial=-1), ids_M.max(initial=-1))) + 1
    count = np.bincount(ids_M, minlength=size)
    mean = np.bincount(ids_M, y_M, size) / np.maximum(count, 1)
    squares = difference(y_M, mean[ids_M]) ** 2
    std = np.sqrt(np.bincount(ids_M, squares, size) / np.maximum(count - 1, 1))
    if lone == "raw":
        mean[count == 1], std[count == 1] = 0.0, 1.0
    out_N = difference(x_N, mean[ids_N])
    if scale:
        out_N /= std[ids_N] + eps
    if lone == "zero":
        out_N[count[ids_N] == 1] = 0.0
    return out_N


def difference(x: Floats, mean: Floats | float) -> Floats:
    """Return x - mean, with 0 for what is only a rounding error.

    The mean of equal numbers can miss them in the last bit, and 1/std would blow that up.
    """
    out: Floats = x - mean
    out[np.abs(out) <= 1e-12 * np.maximum(np.abs(x), np.abs(mean))] = 0.0
    return out


def discounted(rewards: Floats, factor: float) -> Floats:
    """Return sum over j >= i of factor^(j-i) rewards_j at every i.

    >>> discounted(np.array([0.0, 0.0, 1.0]), 0.5).tolist()
    [0.25, 0.5, 1.0]
    """
    if factor == 1.0:
        return np.cumsum(rewards[::-1])[::-1]
    out, running = rewards.tolist(), 0.0
    for i in range(len(out) - 1, -1, -1):
        out[i] = running = out[i] + factor * running
    return np.array(out, np.float64)


def trained_tokens(trajectory: Trajectory) -> Ints:
    """Return how many tokens of each turn (K) are trained on."""
    counts_K = [sum(len(c.sample_ids) for c in t.calls if c.trainable) for t in trajectory.turns]
    return np.array(counts_K, np.int64)


def trained_mask(trajectory: Trajectory) -> npt.NDArray[np.bool_]:
    """Return which sampled tokens (T), over all calls of all turns in order, are trained on."""
    calls = [call for turn in trajectory.turns for call in turn.calls]
    lengths = [len(call.sample_ids) for call in calls]
    return np.repeat(np.array([call.trainable for call in calls], np.bool_), lengths)


def token_rewards(counts_K: Ints, rewards_K: Floats) -> Floats:
    """Return the reward of each trained token (T): a turn's reward stands on its last token.

    A turn without such tokens rewards the last one before it. What was rewarded before the first
    one is no token's merit and is left out.

    >>> token_rewards(np.array([2, 0, 1]), np.array([1.0, 0.5, 3.0])).tolist()
    [0.0, 1.5, 3.0]
    """
    ends_K = np.cumsum(counts_K)
    out_T = np.zeros(int(ends_K[-1]) if len(ends_K) else 0)
    np.add.at(out_T, ends_K[ends_K > 0] - 1, rewards_K[ends_K > 0])
    return out_T


def note(trajectory: Trajectory, name: str, lengths: Sequence[int], what: str) -> Floats:
    """Return what an annotator noted about a trajectory.

    Args:
        trajectory: a valid one.
        name: of the note, one of `NEEDS`.
        lengths: how many numbers it may have.
        what: what these are one for each of, for the message.

    Raises:
        UserError: there is no such note, or not as many finite numbers as there should be.
    """
    where = f"member {trajectory.member} of {trajectory.env} seed {trajectory.seed}"
    if name not in trajectory.notes:
        raise UserError(
            f"{where} has no note {name!r} (it has: {', '.join(trajectory.notes) or 'none'}); "
            f"this needs {NEEDS.get(name, 'an annotator')} before credit"
        )
    values = np.array(trajectory.notes[name], np.float64)
    if len(values) not in lengths or not np.isfinite(values).all():
        raise UserError(
            f"{where}: the note {name!r} must have {' or '.join(map(str, lengths))} finite "
            f"numbers, {what}; it has {len(values)}: {values.tolist()!r:.60}"
        )
    return values


def settle(scheme: Any, presets: Mapping[str, Mapping[str, object]] | None = None) -> None:
    """Check the choices of a frozen dataclass and fill the fields left at None from its preset.

    Called from `__post_init__`. The preset is the one that the field `compat` names.

    Raises:
        UnknownName: a field annotated with a Literal has another value; names the nearest.
    """
    for field in fields(scheme):
        choices = _choices(field.type)
        value = getattr(scheme, field.name)
        if choices and value not in choices:
            what = f"{field.name} of {type(scheme).__name__}"
            raise UnknownName(what, value, [str(c) for c in choices if c is not None])
    for name, value in (presets[scheme.compat] if presets else {}).items():
        if getattr(scheme, name) is None:
            object.__setattr__(scheme, name, value)


def _choices(annotation: object) -> tuple[object, ...]:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return arguments
    found = tuple(c for a in arguments for c in _choices(a))
    return (*found, None) if found and type(None) in arguments else found


def check_range(scheme: object, field: str, low: float, high: float) -> None:
    """Refuse a parameter outside [low, high], naming it.

    Raises:
        ConfigError: it is outside, or not a number.
    """
    value = getattr(scheme, field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(
            f"{type(scheme).__name__}: {field} must be a number from {low:g} to {high:g}, "
            f"got {value!r}"
        )


def example(
    rewards: Sequence[Sequence[float]],
    states: Sequence[Sequence[str | None]] | None = None,
    *,
    invalid: Sequence[int] = (),
    tokens: int = 1,
    notes: Mapping[str, Sequence[Sequence[float]]] | None = None,
    criteria: Sequence[Sequence[tuple[str, float, Sequence[str]]]] = (),
    met: Sequence[Sequence[Collection[str]]] = (),
) -> Group:
    """Build a small group by hand, for worked examples and tests.

    Args:
        rewards: of each turn of each trajectory (G, K).
        states: the state key of each turn, which is its observation too; None: all unknown.
        invalid: the members that a failure of the platform spoiled.
        tokens: how many tokens each turn sampled.
        notes: what annotators found out about each trajectory, by name.
        criteria: id, weight and dependencies of the criteria of each user turn.
        met: those that each turn of each trajectory met (G, K); all turns are of the first user
            turn.
    """
    stated: list[JSON] = [
        [{"id": i, "weight": w, "depends_on": list[JSON](needed)} for i, w, needed in each]
        for each in criteria
    ]

    def facts(g: int, k: int) -> dict[str, JSON]:
        if not criteria:
            return {}
        satisfied: dict[str, JSON] = {i: i in met[g][k] for i, _, _ in criteria[0]}
        verdicts: dict[str, JSON] = {"checklist": {"user_turn": 0, "satisfied": satisfied}}
        return {"criteria": stated, **verdicts} if k == 0 else verdicts

    ids = tuple(range(tokens))
    members = []
    for g, rewards_K in enumerate(rewards):
        states_K = states[g] if states else [None] * len(rewards_K)
        turns = tuple(
            Turn(
                observation=Observation(state or "?"),
                calls=(Call("policy", (0,), ids, (-1.0,) * tokens, "", "stop", 0, fresh=k == 0),),
                action="",
                reward=reward,
                state_key=state,
                facts=facts(g, k),
            )
            for k, (reward, state) in enumerate(zip(rewards_K, states_K, strict=True))
        )
        stop = Stop.ERROR if g in invalid else Stop.DONE
        noted = {name: tuple(values_G[g]) for name, values_G in (notes or {}).items()}
        members.append(
            Trajectory("e", 0, {}, 0, g, turns, Observation(""), None, stop, None, notes=noted)
        )
    return Group("example", tuple(members))
