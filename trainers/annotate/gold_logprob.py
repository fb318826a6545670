"""How probable the policy finds the known answer after every turn."""

import hashlib
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from agentgym.errors import ConfigError, UserError
from agentgym.trainers.annotate._branches import Probe, by_branches, disagreement, one_by_one
from agentgym.trainers.credit.base import Policy
from agentgym.trainers.credit.common import check_range, settle
from agentgym.types import Group, Trajectory

__all__ = ["GoldLogprob"]

Asked = tuple[bytes, tuple[int, ...]]
"""What decides a belief: the tokens before the answer (their digest), and the answer's."""


@dataclass(frozen=True)
class GoldLogprob:
    """Notes "gold_logprob": how probable the policy finds the known answer, turn by turn.

    b_k = (1/L) sum_j log pi(a_j | all that the policy saw up to the observation of turn k, a_<j),
    for the L tokens a_j of the answer, in nats per token: the belief of IGPO (arXiv 2510.14967),
    whose differences are information gains. It is asked in place of the reply of turn k, so b_1 is
    the belief before the first action; one number per turn (K).

    All turns of an episode are branches on one computed sequence, so this costs about what scoring
    the episode once does. Equal contexts are asked once and have exactly equal beliefs.

    In a turn of several calls the first that is trained on is asked. A turn without such a call, or
    whose context has no room for the answer, has the belief of the next turn that has one, or else
    of the last before it. Invalid episodes, and those without a turn, go without.

    Attributes:
        template: how the policy would give the answer; {answer} stands for it.
        wrapper: whether the template's own tokens count too.
        temperature: of the distribution.
        max_answer_tokens: of a longer answer only the beginning is scored.
        method: "branches", "naive" (every turn from the beginning), or "auto": branches, where two
            short ones agree with the naive way on this model.
        max_tokens: positions per forward pass (memory, not meaning).
    """

    template: str = "answer: {answer}"
    wrapper: bool = False
    temperature: float = 1.0
    max_answer_tokens: int = 128
    method: Literal["auto", "branches", "naive"] = "auto"
    max_tokens: int = 8192

    def __post_init__(self) -> None:
        settle(self)
        check_range(self, "temperature", 1e-6, 1e6)
        check_range(self, "max_answer_tokens", 1, 1e9)
        check_range(self, "max_tokens", 1, 1e12)
        if self.template.count("{answer}") != 1:
            raise ConfigError(
                f"GoldLogprob: template must hold {{answer}} once, got {self.template!r}"
            )

    @property
    def provides(self) -> frozenset[str]:
        """The belief in the known answer."""
        return frozenset({"gold_logprob"})

    @property
    def requires(self) -> frozenset[str]:
        """The answer."""
        return frozenset({"answer"})

    def __call__(self, groups: Sequence[Group], policy: Policy) -> list[Group]:
        """Return the groups with their notes.

        Raises:
            UserError: the environment told no answer for an episode, or it fits into no turn.
        """
        asking = {
            (g, m): _Asking(trajectory, self.reply(trajectory, policy), _room(policy))
            for g, group in enumerate(groups)
            for m, trajectory in enumerate(group.trajectories_G)
            if trajectory.valid and trajectory.turns
        }
        probes: list[Probe] = []
        asked: dict[Asked, None] = {}  # in the order of the probes' places
        for each in asking.values():
            for probe, new_K in each.probes(asked):
                probes.append(probe)
                asked |= dict.fromkeys(new_K)
        values = [value for values_K in self.values(probes, policy) for value in values_K]
        beliefs = dict(zip(asked, values, strict=True))

        def noted(g: int, m: int, trajectory: Trajectory) -> Trajectory:
            if (g, m) not in asking:
                return trajectory
            notes = {**trajectory.notes, "gold_logprob": asking[g, m].note(beliefs)}
            return replace(trajectory, notes=notes)

        return [
            replace(
                group,
                trajectories_G=tuple(noted(g, m, t) for m, t in enumerate(group.trajectories_G)),
            )
            for g, group in enumerate(groups)
        ]

    def reply(self, trajectory: Trajectory, policy: Policy) -> "Reply":
        """Return the reply that gives the answer.

        The tokens that are the same without the answer are the wrapper's.

        Raises:
            UserError: no answer is known, or it has no tokens.
        """
        if trajectory.answer is None:
            raise UserError(
                f"{trajectory.env} seed {trajectory.seed} told no answer, but information gain "
                "needs one for every task; choose tasks that have one, or another scheme"
            )

        def ids(text: str) -> tuple[int, ...]:
            return policy.renderer.reply_ids(text)[:-1]  # without its end

        before, after = self.template.split("{answer}")
        whole = ids(f"{before}{trajectory.answer}{after}")
        first = _common(whole, ids(before))
        end = len(whole) - _common(whole[first:][::-1], ids(after)[::-1])
        if first == end:
            raise UserError(
                f"{trajectory.env} seed {trajectory.seed}: the answer {trajectory.answer!r} has no "
                "tokens, so there is no probability of it"
            )
        if end - first > self.max_answer_tokens:
            end = first + self.max_answer_tokens
            whole = whole[:end]
        return Reply(whole, 0, len(whole)) if self.wrapper else Reply(whole[:end], first, end)

    def values(self, probes: Sequence[Probe], policy: Policy) -> list[list[float]]:
        """Return the belief at every place of every probe."""
        if not probes:
            return []
        way = by_branches
        if self.method == "naive":
            way = one_by_one
        elif problem := disagreement(policy.model):
            if self.method == "branches":
                raise ConfigError(
                    f"GoldLogprob: this model cannot compute branches ({problem}); use "
                    "annotate.gold_logprob.method=naive"
                )
            warnings.warn(
                f"the beliefs of every turn are computed from the beginning, which is slow: this "
                f"model cannot compute branches ({problem})",
                RuntimeWarning,
                stacklevel=2,
            )
            way = one_by_one
        return way(policy.model, probes, temperature=self.temperature, max_tokens=self.max_tokens)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that gives the answer, up to the last token that counts; from `first` on they do."""

    ids_L: tuple[int, ...]
    first: int
    end: int


class _Asking:
    """Where an episode is asked, and what becomes of the answers."""

    def __init__(self, trajectory: Trajectory, reply: Reply, room: int | None) -> None:
        self.trajectory, self.reply = trajectory, reply
        self.rows: list[tuple[list[int], list[tuple[int, int]]]] = []  # ids, (turn, place)
        self.asked_K: list[Asked | None] = [None] * len(trajectory.turns)
        last: dict[str, tuple[list[int], list[tuple[int, int]]]] = {}  # row of each role
        for k, turn in enumerate(trajectory.turns):
            asked = False
            for call in turn.calls:
                if call.fresh or call.role not in last:
                    last[call.role] = [], []
                    self.rows.append(last[call.role])
                ids, places = last[call.role]
                ids.extend(call.prompt_ids)
                if call.trainable and not asked:
                    asked = True
                    if room is None or len(ids) + len(reply.ids_L) <= room:
                        places.append((k, len(ids)))
                ids.extend(call.sample_ids)

    def probes(self, known: Collection[Asked]) -> Iterator[tuple[Probe, list[Asked]]]:
        """Yield what is to be computed, row by row: the places that are not known."""
        for ids, places in self.rows:
            ids_S = np.array(ids, np.int64)
            digest, start = hashlib.blake2b(digest_size=16), 0
            new: dict[Asked, int] = {}
            for k, place in places:
                digest.update(ids_S[start:place].tobytes())
                start = place
                asked = self.asked_K[k] = digest.digest(), self.reply.ids_L
                if asked not in known:
                    new[asked] = place
            if new:
                places_K = tuple(new.values())
                branch_L = np.array(self.reply.ids_L, np.int64)
                counted = self.reply.first, self.reply.end
                yield Probe(ids_S[: places_K[-1]], places_K, branch_L, counted), list(new)

    def note(self, beliefs: dict[Asked, float]) -> tuple[float, ...]:
        """Return the belief of every turn."""
        known = [None if asked is None else beliefs[asked] for asked in self.asked_K]
        found: list[float] = []
        value: float | None = next((v for v in reversed(known) if v is not None), None)
        if value is None:
            t = self.trajectory
            raise UserError(
                f"{t.env} seed {t.seed}: no turn of member {t.member} can be asked for the answer "
                f"({len(self.reply.ids_L)} tokens): it has no trained call, or its context is full"
            )
        for own in reversed(known):
            value = value if own is None else own
            found.append(value)
        return tuple(reversed(found))


def _room(policy: Policy) -> int | None:
    room: int | None = getattr(policy.backend, "max_context", None)
    return room


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common from their beginning on."""
    same = 0
    for ours, theirs in zip(a, b, strict=False):
        if ours != theirs:
            break
        same += 1
    return same
