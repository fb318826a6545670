"""Stages between rollout and credit: groups in, new groups out."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from agentgym.errors import ConfigError, nearest
from agentgym.trainers.config import KLKind, RewardConfig
from agentgym.trainers.credit.base import Floats
from agentgym.trainers.credit.common import INVALID_ACTION, note, trained_mask, trained_tokens
from agentgym.types import Group, Trajectory, Turn

REST = "rest"
"""What `[reward.parts]` of a recipe calls the part of a reward that has no name."""

KL_PENALTY = "kl_penalty"
"""The name in `Turn.reward_parts` of what `penalise_kl` took off a turn's reward."""


def shape_rewards(group: Group, config: RewardConfig) -> Group:
    """Return the group with the rewards that the section [reward] of a recipe makes of its own.

    Its parts are weighed, then penalties are taken off. (The economy of tool calls has a memory and
    is a stage of its own, before this: `agentgym.trainers.economy`.)
    """
    group = weigh_parts(group, config.parts)
    group = penalise_invalid_actions(group, config.invalid_action_penalty)
    return penalise_kl(group, config.kl_coef, config.kl)


def weigh_parts(group: Group, weights: Mapping[str, float]) -> Group:
    """Make every turn's reward the weighted sum of its named parts; without weights, nothing.

    Args:
        group: the group.
        weights: by part; the others count 0. "rest" is what of a turn's reward has no name.
    """
    if not weights:
        return group

    def weighed(turn: Turn) -> Turn:
        rest = turn.reward - math.fsum(turn.reward_parts.values())
        parts = {name: weights.get(name, 0.0) * v for name, v in turn.reward_parts.items()}
        reward = math.fsum([*parts.values(), weights.get(REST, 0.0) * rest])
        return replace(turn, reward=reward, reward_parts=parts)

    return _of_turns(group, weighed)


def shown_parts(groups: Iterable[Group]) -> set[str]:
    """Return the names of parts that the rewards of valid members have."""
    return {
        name
        for group in groups
        for t in group.trajectories_G
        if t.valid
        for turn in t.turns
        for name in turn.reward_parts
    }


def missing_parts(groups: Sequence[Group], wanted: Collection[str]) -> list[str]:
    """Return those of the parts that a recipe names which no reward of a run's first groups has.

    Raises:
        ConfigError: that is all of them, while there are other parts, or rewards without a name.
    """
    shown = shown_parts(groups)
    missing = [name for name in wanted if name not in shown and name != REST]
    paid = any(r for group in groups for t in group.trajectories_G for r in t.rewards_K)
    if missing and len(missing) == len(wanted) and (shown or paid):
        hint = "; if it comes later, also give a part that is there a weight, such as 0"
        raise ConfigError(
            f"the section [reward] names the parts {', '.join(map(repr, missing))}, but the "
            f"rewards of the first episodes have none of them; "
            f"{nearest(missing[0], [*shown, REST])}{hint if shown else ''}"
        )
    return missing


def penalise_invalid_actions(group: Group, coef: float = 0.0) -> Group:
    """Take `coef` off the reward of every turn whose action the environment did not understand.

    Off by default, and for a reason: small runs with a penalty collapsed. Where all members of a
    group fail, they differ in nothing but the penalty, so the penalty becomes the whole signal;
    valid actions rise to 99 % while success falls to 0. Dividing by the standard deviation makes
    a small coefficient as loud as a large one.

    The amount is kept as `reward_parts["invalid_action_penalty"]`. By default a credit scheme sees
    it as reward like any other; `compat="verl-agent"` keeps it with its turn, undiscounted. Turns
    where the environment does not say (`action_valid` is None) are left alone.

    Raises:
        ConfigError: `coef` is negative.
    """
    if not coef >= 0:
        raise ConfigError(f"the penalty for invalid actions is subtracted: coef {coef} is below 0")
    if coef == 0:
        return group

    def penalised(turn: Turn) -> Turn:
        if turn.action_valid is not False:
            return turn
        parts = dict(turn.reward_parts)
        parts[INVALID_ACTION] = parts.get(INVALID_ACTION, 0.0) - coef
        return replace(turn, reward=turn.reward - coef, reward_parts=parts)

    return _of_turns(group, penalised)


def penalise_kl(group: Group, coef: float = 0.0, kind: KLKind = "k1") -> Group:
    """Take `coef` times the KL divergence from a reference off the reward of every turn.

    Symbols: l, l_ref log-probability of a trained token under the policy that sampled it and under
    the reference (the note "ref_logprob"), d = l_ref - l. A turn loses coef * sum over its trained
    tokens of -d (k1), d^2 / 2 (k2), exp(d) - 1 - d (k3) or |d| (abs); see `kl_estimate` in
    `agentgym.trainers.losses.base`. With k1 an episode's expected penalty is exactly coef * KL
    (policy || reference) over its tokens, so this and not a KL term in the loss is what maximises
    return - coef * KL (arXiv 1909.08593, section 2).

    Here the turn is the action, so its tokens are charged together. verl charges every token where
    it stands: its token-level estimators (gae, reinforce_pp) then give a token the charges from it
    on, where here it has the charges of its whole turn and of those that follow. With gamma and lam
    of 1 the difference is what the turn's earlier tokens were charged: it depends on nothing that
    the token decides, and moves no gradient on average.

    The amount is kept as `reward_parts["kl_penalty"]`. Invalid members, and turns without trained
    tokens, are left alone.

    Raises:
        ConfigError: `coef` is negative.
        UserError: a valid member has no such note, or not one number per sampled token.
    """
    if not coef >= 0:
        raise ConfigError(f"the KL penalty is subtracted: reward.kl_coef {coef} is below 0")
    if coef == 0:
        return group

    def penalised(trajectory: Trajectory) -> Trajectory:
        if not trajectory.valid:
            return trajectory
        turns = []
        for turn, kl_T in zip(trajectory.turns, _kl_KT(trajectory, kind), strict=True):
            if len(kl_T):
                amount = coef * float(kl_T.sum())
                parts = dict(turn.reward_parts)
                parts[KL_PENALTY] = parts.get(KL_PENALTY, 0.0) - amount
                turn = replace(turn, reward=turn.reward - amount, reward_parts=parts)
            turns.append(turn)
        return replace(trajectory, turns=tuple(turns))

    return replace(group, trajectories_G=tuple(map(penalised, group.trajectories_G)))


def mean_return(groups: Iterable[Group]) -> float:
    """Return the mean return of all valid members; 0 of none."""
    returns = [t.episode_return for group in groups for t in group.trajectories_G if t.valid]
    return math.fsum(returns) / max(1, len(returns))


def mean_kl(groups: Iterable[Group], kind: KLKind = "k1") -> float:
    """Return the mean of the KL estimate over the trained tokens of all valid members, in nats."""
    members = [t for group in groups for t in group.trajectories_G if t.valid]
    found = [kl_T for t in members for kl_T in _kl_KT(t, kind)]
    all_N = np.concatenate([np.zeros(0), *found])
    return float(all_N.mean()) if len(all_N) else 0.0


def _kl_KT(trajectory: Trajectory, kind: KLKind) -> list[Floats]:
    """Return the KL estimate of each turn's trained tokens."""
    calls = [call for turn in trajectory.turns for call in turn.calls]
    trained = trained_mask(trajectory)
    ref_T = note(trajectory, "ref_logprob", (len(trained),), "one per sampled token of all calls")
    logprobs_T = np.array([value for call in calls for value in call.logprobs], np.float64)
    kl_T = _kl_estimate(logprobs_T[trained], ref_T[trained], kind)
    return np.split(kl_T, np.cumsum(trained_tokens(trajectory))[:-1])[: len(trajectory.turns)]


def _kl_estimate(logprobs_T: Floats, ref_logprobs_T: Floats, kind: KLKind) -> Floats:
    """Return what `kl_estimate` of `agentgym.trainers.losses.base` does, without torch."""
    d_T: Floats = ref_logprobs_T - logprobs_T
    match kind:
        case "k1":
            return -d_T
        case "abs":
            return np.abs(d_T)
        case "k2":
            return d_T**2 / 2
        case "k3":
            d_T = d_T.clip(-20, 20)
            return (np.exp(d_T) - 1 - d_T).clip(-10, 10)


def _of_turns(group: Group, change: Callable[[Turn], Turn]) -> Group:
    members = group.trajectories_G
    return replace(
        group,
        trajectories_G=tuple(replace(t, turns=tuple(map(change, t.turns))) for t in members),
    )


def valid_action_share(trajectories: Iterable[Trajectory]) -> float | None:
    """Return the share of turns with an action that the environment understood; None: it is mute.

    Invalid trajectories are left out.
    """
    said = [t.action_valid for e in trajectories if e.valid for t in e.turns]
    known = [valid for valid in said if valid is not None]
    return sum(known) / len(known) if known else None


def informative(groups: Sequence[Group], *, last_try: bool = False) -> list[Group]:
    """Return the groups whose valid members have different returns (dynamic sampling).

    The others teach outcome-based schemes nothing, so a trainer may collect more instead
    (DAPO, arXiv 2503.14476, section 3.2). On the last try all are returned, so that a batch is
    never empty. Step-level credit may still learn from a group with equal returns: this filter
    drops it as the authors of GiGPO do in their dynamic variant.
    """
    if last_try:
        return list(groups)
    return [g for g in groups if len({t.episode_return for t in g.trajectories_G if t.valid}) > 1]
