"""IGPO: a turn is worth how much more probable it made the known answer."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from agentgym.errors import ConfigError
from agentgym.trainers.credit.base import Advantages, Floats
from agentgym.trainers.credit.common import Turns, check_range, difference, note, settle
from agentgym.types import Group, Stop, Trajectory

__all__ = ["IGPO"]

PAPER = {
    "variance": "unbiased",
    "baseline": "group",
    "silent": "keep",
    "lone": "zero",
    "weigh": "normalised",
}
V1 = {**PAPER, "baseline": "column", "lone": "raw", "format_outcome": -2.0, "weigh": "raw"}
V3 = {**V1, "baseline": "group", "variance": "population"}
V2 = {**V3, "silent": "merge"}


@dataclass(frozen=True)
class IGPO:
    """Information gain policy optimization (arXiv 2510.14967, equations 3 to 6).

    Symbols: b_t mean log-probability per token of the known answer at the observation of turn t,
    R_i outcome of episode i, T_i its turns. Turn reward: g_t = b_{t+1} - b_t for t < T ("logprob";
    exp(b_{t+1}) - exp(b_t) with "prob", version 1 of the paper), and R_i for the last turn alone.
    Normalised (5) within the group: (x - mean) / (std + eps), gains and outcomes each by their own
    ("separate"), or all by one mean and deviation ("joint").
    Formula (6): A_{i,t} = sum_{k>=t} gamma^(k-t) x_{i,k}, for all tokens of the turn.
    Checked against: `core_algos.py` of IGPO, commits bff163b7, 745078b5 and 49a8c4ec.
    Degenerate: one counted member: zeros; equal gains and outcomes: zeros; a group in which all
    outcomes are equal still has its gains. All members invalid: zeros.

    `compat` sets what three versions of the authors' code do instead: "igpo-v1" subtracts, from the
    undiscounted return at each token, the mean of the group at the same token position, and
    normalises nothing (`baseline="column"`); "igpo-v2" and "-v3" use the population's deviation
    sqrt(var + 1e-8) (`variance`); in v2 a turn whose normalised reward is exactly 0 has no boundary
    of its own and shares the next turn's return undiscounted (`silent="merge"`); a lone member is
    compared with itself (`lone="raw"`); and an episode without a well-formed answer has the outcome
    -2 (`format_outcome`). A field that is given wins over the preset.

    Attributes:
        gain: of log-probabilities, or of probabilities.
        norm: whether gains and outcomes have statistics of their own.
        std: whether to divide by the standard deviation.
        gamma: discount per turn.
        eps: added to the standard deviation.
        gain_weight: of the gains. A curriculum is a schedule of the two weights, in a recipe
            `[credit.schedule]`.
        outcome_weight: of the outcomes, likewise.
        format_outcome: what replaces the outcome of an episode that gave no answer (it ended
            otherwise than by the environment's verdict) or whose last action the environment did
            not understand; None: nothing does.
        variance: of the deviation: ddof 1, or that of the population plus 1e-8.
        baseline: what is subtracted: means of turn rewards, or of token returns (v1), where nothing
            is discounted, weighed or normalised: `norm` and `std` change nothing.
        silent: whether a turn with a normalised reward of 0 counts as a step of the discount.
        lone: what a group with one counted member gives: zeros, or what the formula makes of it.
        weigh: whether the weights multiply normalised or raw rewards. Raw ones, as in the authors'
            code, cancel with separate statistics and `std`.
        compat: whose code to follow where it differs from the paper.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(  # after its first turn the first episode believes more in the answer
    ...     rewards=[[0, 1], [0, 1]], notes={"gold_logprob": [[-3.0, -1.0], [-3.0, -3.0]]}
    ... )
    >>> for norm in ("separate", "joint"):
    ...     scheme = IGPO(norm=norm, std=False)
    ...     print([[float(turn[0][0]) for turn in episode] for episode in scheme(group)])
    [[1.0, 0.0], [-1.0, 0.0]]
    [[1.0, 0.0], [-1.0, 0.0]]
    """

    gain: Literal["logprob", "prob"] = "logprob"
    norm: Literal["separate", "joint"] = "separate"
    std: bool = True
    gamma: float = 1.0
    eps: float = 1e-6
    gain_weight: float = 1.0
    outcome_weight: float = 1.0
    format_outcome: float | None = None
    variance: Literal["unbiased", "population"] | None = None
    baseline: Literal["group", "column"] | None = None
    silent: Literal["keep", "merge"] | None = None
    lone: Literal["zero", "raw"] | None = None
    weigh: Literal["normalised", "raw"] | None = None
    compat: Literal["paper", "igpo-v1", "igpo-v2", "igpo-v3"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "igpo-v1": V1, "igpo-v2": V2, "igpo-v3": V3})
        check_range(self, "gamma", 0.0, 1.0)
        check_range(self, "eps", 0.0, 1.0)
        check_range(self, "gain_weight", 0.0, 1e6)
        check_range(self, "outcome_weight", 0.0, 1e6)
        if self.format_outcome is not None:
            check_range(self, "format_outcome", -1e6, 1e6)
        if self.baseline == "column":
            for name in ("gamma", "gain_weight", "outcome_weight"):
                if (value := getattr(self, name)) != 1:
                    raise ConfigError(
                        f"IGPO: baseline='column' (compat='igpo-v1') neither discounts nor weighs, "
                        f"so {name} must be 1; got {value}"
                    )

    @property
    def needs(self) -> frozenset[str]:
        """Log-probabilities of the known answer; with a format outcome, the verdict on actions."""
        judged = self.format_outcome is not None
        return frozenset({"gold_logprob"} | ({"action_valid"} if judged else set()))

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        turns = Turns.of(group)
        counted = [group.trajectories_G[m] for m in turns.members]
        last_N = np.zeros(len(turns.rewards_N), np.bool_)
        last_N[[end - 1 for end in turns.starts[1:]]] = True
        raw_N = np.zeros(len(last_N))
        raw_N[~last_N] = np.concatenate([self._gains(t) for t in counted] or [raw_N[:0]])
        raw_N[last_N] = [self._outcome(t) for t in counted]
        if len(counted) == 1 and self.lone == "zero":
            return turns.widen(np.zeros(len(raw_N)))
        if self.baseline == "column":
            return self._above_the_column(turns, counted, raw_N)
        weight_N = np.where(last_N, self.outcome_weight, self.gain_weight)
        if self.weigh == "raw":
            raw_N = weight_N * raw_N
        if self.norm == "joint":
            value_N = self._normal(raw_N)
        else:
            value_N = np.zeros(len(raw_N))
            for which_N in (last_N, ~last_N):
                value_N[which_N] = self._normal(raw_N[which_N])
        silent_N = value_N == 0  # before it is weighed: a weight of 0 makes no turn silent
        if self.weigh == "normalised":
            value_N = weight_N * value_N
        if self.silent == "merge":
            return turns.widen(self._merged(turns, value_N, silent_N))
        return turns.widen(turns.discounted_N(value_N, self.gamma))

    def _gains(self, trajectory: Trajectory) -> Floats:
        """Return what each turn but the last gained (K - 1)."""
        size = len(trajectory.turns)
        belief_K = note(trajectory, "gold_logprob", (size, size + 1), "one per observation")[:size]
        return np.diff(np.exp(belief_K) if self.gain == "prob" else belief_K)

    def _outcome(self, trajectory: Trajectory) -> float:
        answered = trajectory.stop is Stop.DONE and trajectory.turns[-1].action_valid is not False
        if self.format_outcome is None or answered:
            return trajectory.episode_return
        return self.format_outcome

    def _normal(self, x_M: Floats) -> Floats:
        """Return values relative to their own mean and deviation."""
        if len(x_M) < 2:
            return np.zeros(len(x_M))
        # Rounded once: whether a value is the mean must not depend on the order of members.
        out_M = difference(x_M, math.fsum(x_M) / len(x_M))
        if not self.std:
            return out_M
        squares = float(np.sum(out_M**2))
        population = self.variance == "population"
        variance = squares / len(x_M) + 1e-8 if population else squares / (len(x_M) - 1)
        return out_M / (float(np.sqrt(variance)) + self.eps)

    def _merged(self, turns: Turns, value_N: Floats, silent_N: npt.NDArray[np.bool_]) -> Floats:
        """Return turn returns for which a silent turn is part of the next one (v2)."""
        out_N = np.zeros(len(value_N))
        for start, end in zip(turns.starts, turns.starts[1:], strict=False):
            running = 0.0
            for n in range(end - 1, start - 1, -1):
                if not silent_N[n]:
                    running = value_N[n] + self.gamma * running
                out_N[n] = running
        return out_N

    def _above_the_column(
        self, turns: Turns, counted: list[Trajectory], raw_N: Floats
    ) -> Advantages:
        """Return token returns minus the group's mean at the same position (v1).

        Positions count from the first sampled token and include what was shown in between. A member
        that has ended counts with 0.
        """
        returns_N = turns.discounted_N(raw_N, 1.0)
        columns: list[tuple[Floats, list[slice]]] = []
        for trajectory, start in zip(counted, turns.starts, strict=False):
            pieces, trained, at = [], [], 0
            for k, turn in enumerate(trajectory.turns):
                for c, call in enumerate(turn.calls):
                    shown, size = 0 if k == c == 0 else len(call.prompt_ids), len(call.sample_ids)
                    # What a turn brought to see belongs to that turn.
                    pieces.append(np.full(shown, returns_N[start + max(k - (c == 0), 0)]))
                    pieces.append(np.full(size, returns_N[start + k]))
                    if call.trainable:
                        trained.append(slice(at + shown, at + shown + size))
                    at += shown + size
            columns.append((np.concatenate(pieces or [np.zeros(0)]), trained))
        width = max((len(values) for values, _ in columns), default=0)
        mean = sum((np.pad(v, (0, width - len(v))) for v, _ in columns), np.zeros(width))
        mean /= max(len(columns), 1)
        return turns.widen_tokens(
            [
                np.concatenate([difference(values[s], mean[s]) for s in trained] or [values[:0]])
                for values, trained in columns
            ]
        )
