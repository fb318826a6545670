"""Slow and obvious twins of what must be fast: plain loops, one number at a time, no arrays.

The tests compare them with the real ones. They follow the papers, not our code.
"""

import math
from collections.abc import Sequence

from agentgym.types import Group

Rows = Sequence[Sequence[float]]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def std(values: Sequence[float]) -> float:
    middle = mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def gigpo(
    group: Group, *, omega: float, gamma: float, divide: bool, eps: float = 1e-6
) -> list[list[float]]:
    """GiGPO of the paper with exact anchors: one number per member and turn (G, K)."""
    out = [[0.0] * len(t.turns) for t in group.trajectories_G]
    counted = [g for g, t in enumerate(group.trajectories_G) if t.valid and t.turns]
    if len(counted) < 2:
        return out
    returns = {g: math.fsum(group.trajectories_G[g].rewards_K) for g in counted}
    later: dict[tuple[int, int], float] = {}
    for g in counted:
        rewards = group.trajectories_G[g].rewards_K
        for k in range(len(rewards)):
            later[g, k] = math.fsum(gamma ** (j - k) * rewards[j] for j in range(k, len(rewards)))
    for g in counted:
        for k, turn in enumerate(group.trajectories_G[g].turns):
            everyone = [returns[h] for h in counted]
            episode = returns[g] - mean(everyone)
            if divide:
                episode /= std(everyone) + eps
            same = [
                later[h, j]
                for h in counted
                for j, other in enumerate(group.trajectories_G[h].turns)
                if turn.state_key is not None and other.state_key == turn.state_key
            ]
            step = 0.0
            if len(same) > 1:
                step = later[g, k] - mean(same)
                if divide:
                    step /= std(same) + eps
            out[g][k] = episode + omega * step
    return out


def ppo_clip(
    logprobs: Rows,
    old: Rows,
    advantages: Rows,
    mask: Sequence[Sequence[bool]],
    ref: Rows,
    entropy: Rows,
    *,
    low: float,
    high: float,
    dual: float,
    aggregation: str,
    length: int,
    kl_coef: float,
    entropy_coef: float,
) -> float:
    """Clipped PPO with dual clip, k3 to the reference and an entropy bonus, over one batch."""
    per_row: list[list[float]] = []
    for b, row in enumerate(logprobs):
        losses = []
        for s, logp in enumerate(row):
            if not mask[b][s]:
                continue
            a = advantages[b][s]
            ratio = math.exp(logp - old[b][s])
            clipped = min(max(ratio, 1 - low), 1 + high)
            loss = max(-a * ratio, -a * clipped)
            if dual and a < 0:
                loss = min(loss, -a * dual)
            d = ref[b][s] - logp
            loss += kl_coef * min(math.exp(d) - 1 - d, 10.0)
            losses.append(loss - entropy_coef * entropy[b][s])
        per_row.append(losses)
    rows = [losses for losses in per_row if losses]
    everything = math.fsum(x for losses in rows for x in losses)
    match aggregation:
        case "token-mean":
            return everything / sum(map(len, rows))
        case "seq-mean-token-sum":
            return everything / len(rows)
        case "seq-mean-token-mean":
            return mean([mean(losses) for losses in rows])
        case _:
            return everything / (len(rows) * length)
