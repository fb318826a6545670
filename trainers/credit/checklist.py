"""Checklists: a turn of a user is worth the criteria that were met in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from agentgym.errors import ConfigError, UserError
from agentgym.rewards.checklist import Checklist, criteria_of_fact, in_order, turn_score
from agentgym.trainers.credit.base import Advantages, Floats
from agentgym.trainers.credit.common import Ints, Turns, check_range, difference, relative, settle
from agentgym.types import Group, Trajectory

__all__ = ["ChecklistCredit"]

PAPER = {"few": 1}
CM2 = {"few": 4}


@dataclass(frozen=True)
class ChecklistCredit:
    """The advantages of CM2 (arXiv 2602.12268) from the criteria of user turns, at three levels.

    Symbols: a step is one turn of ours; user turn k has criteria c with weights w_c that add up to
    1. S_k = sum of w_c over criteria met at any step of k; of K user turns those not reached count
    0. All means are over the counted members of the group.
    "trajectory": A = R - mean R with R = sum_k S_k / K, for all tokens of the episode.
    "turn": A = S_k - mean S_k over those that reached k, for the tokens of k's steps.
    "step": a criterion is met only once those that it depends on are, and open at a step if these
    were met before it and it was not. x_c = eta^(steps until it was met, from the one after these)
    if it was met in its user turn, else 0; m_c = mean x_c over members that met what it depends on.
    A = sum over criteria open at the step of w_c (x_c - m_c): steps before the one that met it have
    the credit, too.
    Checked against: the reward manager and `core_algos.py` of CM2, commit 2758991a.
    Degenerate: one counted member: zeros. A user turn or criterion that no more than `few` members
    came to gives 0. Equal verdicts: zeros. All members invalid: zeros.

    Rewards are not looked at: other parts are added with `combine`. It needs the facts "criteria"
    and "checklist" (`agentgym.types.Turn.facts`), the same criteria in every member. A turn that
    states no verdicts belongs to the user turn before it and meets nothing.

    `compat="cm2"` ignores user turns and criteria that 4 or fewer members came to (`few`), as the
    authors' code does. With eta below 1 it counts steps in another way, which is not followed.

    Attributes:
        level: where an advantage is the same: in an episode, a user turn, or a step.
        std: whether to divide by the standard deviation (ddof 1); not for "step".
        eps: added to it.
        eta: discount per step until a criterion is met, for "step".
        share: whether to divide by the weight of the open criteria, for "step".
        few: how many members are too few for a comparison.
        compat: whose code to follow where it differs from the paper.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(  # the first episode meets a in step 0 and b, which needs a, in step 1
    ...     rewards=[[0, 0], [0, 0]],
    ...     criteria=[[("a", 0.25, ()), ("b", 0.75, ("a",))]],
    ...     met=[[{"a"}, {"b"}], [set(), {"a"}]],
    ... )
    >>> for level in ("trajectory", "step"):
    ...     advantages = ChecklistCredit(level, eta=0.5)(group)
    ...     print([[float(turn[0][0]) for turn in episode] for episode in advantages])
    [[0.375, 0.375], [-0.375, -0.375]]
    [[0.0625, 0.375], [-0.0625, -0.0625]]

    At the step level both met a, the second a step later: x = 1 and 1/2, so +-1/4 of its weight. Of
    b x = 1 and 0; it was open at the first one's last step alone.
    """

    level: Literal["trajectory", "turn", "step"] = "trajectory"
    std: bool = False
    eps: float = 1e-6
    eta: float = 1.0
    share: bool = False
    few: int | None = None
    compat: Literal["paper", "cm2"] = "paper"

    def __post_init__(self) -> None:
        settle(self, {"paper": PAPER, "cm2": CM2})
        check_range(self, "eps", 0.0, 1.0)
        check_range(self, "eta", 0.0, 1.0)
        check_range(self, "few", 1, 1e6)
        if self.level == "step" and self.std:
            raise ConfigError("ChecklistCredit: level='step' divides by no deviation; std=false")

    @property
    def needs(self) -> frozenset[str]:
        """Verdicts on criteria."""
        return frozenset({"checklist"})

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        turns = Turns.of(group)
        if len(turns.members) < 2:
            return turns.widen(np.zeros(len(turns.rewards_N)))
        dialogues = [_Dialogue.of(group.trajectories_G[g]) for g in turns.members]
        _check_equal(group, dialogues)
        if self.level == "step":
            return turns.widen(self._of_steps(dialogues))
        scores = [dialogue.scores for dialogue in dialogues]
        if self.level == "trajectory":
            size = len(dialogues[0].checklist)
            totals_M = np.array([sum(each.values()) / size for each in scores])
            zeros_M = np.zeros(len(totals_M), np.int64)
            values_M = relative(totals_M, zeros_M, scale=self.std, eps=self.eps)
            return turns.widen(values_M[turns.member_N])
        return turns.widen(self._of_user_turns(dialogues, scores))

    def _of_user_turns(
        self, dialogues: "list[_Dialogue]", scores: list[dict[int, float]]
    ) -> Floats:
        """Return each step's advantage at the level of user turns (N)."""
        reached_M: Ints = np.array([k for each in scores for k in each], np.int64)
        scores_M = np.array([score for each in scores for score in each.values()])
        of_N: Ints = np.array([k for each in dialogues for k in each.user_turn_K], np.int64)
        mine_N = np.array(
            [each[k] for each, d in zip(scores, dialogues, strict=True) for k in d.user_turn_K]
        )
        sample = (scores_M, reached_M)
        values_N = relative(mine_N, of_N, sample=sample, scale=self.std, eps=self.eps)
        values_N[np.bincount(reached_M)[of_N] <= (self.few or 1)] = 0.0
        return values_N

    def _of_steps(self, dialogues: "list[_Dialogue]") -> Floats:
        """Return each step's advantage (N)."""
        found = [dialogue.progress(self.eta) for dialogue in dialogues]
        values: dict[tuple[int, str], list[float]] = {}
        for each in found:
            for criterion, value in each.value.items():
                values.setdefault(criterion, []).append(value)
        mean = {c: float(np.mean(sorted(x))) for c, x in values.items() if len(x) > (self.few or 1)}
        out = []
        for dialogue, each in zip(dialogues, found, strict=True):
            weight = {(k, c.id): c.weight for k, cs in enumerate(dialogue.checklist) for c in cs}
            for open_ in each.open_K:
                compared = [c for c in open_ if c in mean]
                x = np.array([each.value[c] for c in compared])
                w = np.array([weight[c] for c in compared])
                above = difference(x, np.array([mean[c] for c in compared])) if compared else x
                total = sum(weight[c] for c in open_) if self.share else 1.0
                out.append(float(w @ above) / total if open_ else 0.0)
        return np.array(out, np.float64)


@dataclass
class _Progress:
    """How far a member came with its criteria, each by user turn and id."""

    value: dict[tuple[int, str], float] = field(default_factory=dict)  #: x_c, where it could be met
    open_K: list[list[tuple[int, str]]] = field(default_factory=list)  #: at each step


@dataclass(frozen=True)
class _Dialogue:
    """What a member's facts say."""

    checklist: Checklist
    user_turn_K: tuple[int, ...]  #: of each step
    met_K: tuple[frozenset[str], ...]  #: ids with the verdict yes at each step

    @classmethod
    def of(cls, trajectory: Trajectory) -> "_Dialogue":
        """Read the facts.

        Raises:
            UserError: they are not there, or not what they should be.
        """
        where = f"member {trajectory.member} of {trajectory.env} seed {trajectory.seed}"
        first = trajectory.turns[0].facts
        if "criteria" not in first:
            raise UserError(
                f"{where} states no criteria in its first turn (facts: {', '.join(first) or 'none'}"
                "); this needs an environment with checklists"
            )
        try:
            checklist = criteria_of_fact(first["criteria"])
        except ConfigError as error:
            raise UserError(f"{where}: {error}") from error
        now, user_turn_K, met_K = 0, [], []
        for number, turn in enumerate(trajectory.turns):
            stated = turn.facts.get("checklist", {"user_turn": now, "satisfied": {}})
            match stated:
                case {"user_turn": int(k), "satisfied": dict(verdicts)} if (
                    not isinstance(k, bool)
                    and now <= k < len(checklist)
                    and verdicts.keys() <= {c.id for c in checklist[k]}
                ):
                    now = k
                    user_turn_K.append(k)
                    met_K.append(frozenset(id_ for id_, yes in verdicts.items() if yes is True))
                case _:
                    raise UserError(
                        f"{where}, turn {number}: the fact 'checklist' must have a user_turn from "
                        f"{now} to {len(checklist) - 1} and verdicts on its criteria in satisfied; "
                        f"it is {stated!r:.200}"
                    )
        return cls(checklist, tuple(user_turn_K), tuple(met_K))

    @property
    def scores(self) -> dict[int, float]:
        """S_k of every user turn that was reached."""
        met: dict[int, set[str]] = {}
        for k, ids in zip(self.user_turn_K, self.met_K, strict=True):
            met.setdefault(k, set()).update(ids)
        return {k: turn_score(self.checklist[k], ids) for k, ids in met.items()}

    def progress(self, eta: float) -> _Progress:
        """Follow the criteria through the steps of each user turn."""
        found = _Progress()
        for k, steps in self._user_turns():
            ordered, met_at = in_order(self.checklist[k]), dict[str, int]()
            for step, ids in enumerate(steps):
                before = dict(met_at)
                open_ = []
                for criterion in ordered:
                    waits = criterion.depends_on
                    if criterion.id in before or not all(other in met_at for other in waits):
                        continue
                    if all(other in before for other in waits):
                        open_.append((k, criterion.id))
                    value = 0.0
                    if criterion.id in ids:
                        met_at[criterion.id] = step
                        since = max((met_at[other] for other in waits), default=-1)
                        value = eta ** max(step - since - 1, 0)
                    found.value[k, criterion.id] = value
                found.open_K.append(open_)
        return found

    def _user_turns(self) -> Iterator[tuple[int, list[frozenset[str]]]]:
        for k in dict.fromkeys(self.user_turn_K):
            steps = zip(self.user_turn_K, self.met_K, strict=True)
            yield k, [ids for other, ids in steps if other == k]


def _check_equal(group: Group, dialogues: list[_Dialogue]) -> None:
    if any(each.checklist != dialogues[0].checklist for each in dialogues):
        raise UserError(f"group {group.task!r}: its members state different criteria")
