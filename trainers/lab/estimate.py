"""What a scheme makes of the groups of a process: one estimate of the policy gradient each.

The estimate is that of the plain policy gradient: the sum over tokens of advantage * derivative of
the token's log-probability, averaged over trajectories.

Axes: P parameters of the policy, U different groups (or batches of groups), N turns of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from agentgym.errors import UnknownName
from agentgym.trainers.credit.base import Advantages, CreditScheme, Floats, credited, require
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import Ints
from agentgym.trainers.lab.draws import Draws, sample_members
from agentgym.trainers.lab.notes import CriticName
from agentgym.trainers.lab.process import Process
from agentgym.trainers.normalise import Normalise, Scope
from agentgym.types import Group

CRITICS = ("exact", "reversed")
SCOPES = ("none", "trajectory", "turn", "token")


@dataclass(frozen=True)
class Contender:
    """A credit scheme, the scope that its advantages are normalised in, and the critic it asks."""

    text: str
    scheme: CreditScheme
    scope: Scope = "none"
    critic: CriticName = "exact"

    @classmethod
    def read(cls, text: str) -> "Contender":
        """Read `SCHEME [@ CRITIC] [| SCOPE]`, such as `gae(lam=0.0) @ reversed | token`.

        Raises:
            UserError: no such scheme, parameter, critic or scope; names the nearest.
        """
        rest, _, scope = text.partition("|")
        source, _, critic = rest.partition("@")
        scope, critic = scope.strip() or "none", critic.strip() or "exact"
        if scope not in SCOPES:
            raise UnknownName(f"scope of normalisation (in {text!r})", scope, SCOPES)
        if critic not in CRITICS:
            raise UnknownName(f"critic (in {text!r})", critic, CRITICS)
        scheme = make_scheme(source.strip(), where=f"scheme {text!r}")
        return cls(text.strip(), scheme, cast(Scope, scope), cast(CriticName, critic))

    def missing(self, process: Process) -> list[str]:
        """Return what the scheme needs and the process does not have."""
        return sorted(self.scheme.needs - provided(process))


@dataclass(frozen=True)
class Estimates:
    """Estimates of one policy gradient, one for each different group (or batch).

    Attributes:
        values_UP: the estimates.
        weights_U: the probability of each, or its share of the sample.
        groups: how many groups went into each.
        drawn: how many estimates the sample has; None: all there are, with exact probabilities.
        silent: the share of groups in which every advantage is 0.
    """

    values_UP: Floats
    weights_U: Floats
    groups: int
    drawn: int | None
    silent: float

    @property
    def mean_P(self) -> Floats:
        """The expected estimate."""
        mean_P: Floats = self.weights_U @ self.values_UP
        return mean_P


def provided(process: Process) -> frozenset[str]:
    """Return what schemes get from a process, in the words of `NEEDS`."""
    found = {"state_key", "action_valid", "turn_reward", "checklist", "value"}
    return frozenset(found | ({"gold_logprob"} if process.gold_logprob else set()))


def estimate(
    contender: Contender,
    draws: Draws,
    *,
    batches: int,
    batch_size: int,
    generator: np.random.Generator,
) -> Estimates:
    """Ask a scheme for its advantages in every group, and return the gradients they make.

    Without a scope the answer has one estimate per group. With one, advantages are normalised over
    batches, so batches are drawn and the answer has one estimate per batch.

    Raises:
        ConfigError: the scheme needs what the process does not have.
        UserError: its answer is no advantages of a group; see `credited`.
    """
    process = draws.process
    require(
        contender.scheme,
        provided(process),
        source=f"the lab's process {process.name!r}",
    )
    if contender.scope != "none":
        return _normalised(contender, draws, batches, batch_size, generator)
    groups_U = list(draws.groups_U(contender.critic))
    answers_U = [credited(contender.scheme, group, name=contender.text) for group in groups_U]
    values_UP, silent_U = gradients_UP(process, draws.members_UG, _numbers_N(answers_U))
    silent = float(draws.weights_U @ silent_U)
    return Estimates(values_UP, draws.weights_U, 1, draws.drawn, silent)


def _normalised(
    contender: Contender,
    draws: Draws,
    batches: int,
    batch_size: int,
    generator: np.random.Generator,
) -> Estimates:
    """Draw batches of groups; credit, normalisation over the batch, gradient."""
    process, size = draws.process, draws.members_UG.shape[1]
    members = sample_members(process, (batches, batch_size, size), generator)
    rows_UG, place = np.unique(members.reshape(-1, size), axis=0, return_inverse=True)
    different = Draws(process, rows_UG, np.ones(len(rows_UG)), None)
    groups_U = list(different.groups_U(contender.critic))
    answers_U = [credited(contender.scheme, group, name=contender.text) for group in groups_U]
    normalise = Normalise(contender.scope)
    groups: list[Group] = []
    answers: list[Advantages] = []
    for row in place.reshape(batches, batch_size).tolist():
        taken = [groups_U[u] for u in row]
        groups.extend(taken)
        answers.extend(normalise(taken, [answers_U[u] for u in row]))
    values_UP, silent_U = gradients_UP(process, members.reshape(-1, size), _numbers_N(answers))
    means_UP = values_UP.reshape(batches, batch_size, -1).mean(axis=1)
    shares_U = np.full(batches, 1 / batches)
    return Estimates(means_UP, shares_U, batch_size, batches, float(silent_U.mean()))


def _numbers_N(answers: Sequence[Advantages]) -> Floats:
    """Return the advantage of each turn, whose one call has one token."""
    return np.array([v for a in answers for turns in a for ((v,),) in turns], np.float64)


def gradients_UP(process: Process, members_UG: Ints, numbers_N: Floats) -> tuple[Floats, Floats]:
    """Return the gradients of groups, and which have no advantage but 0 (1.0 or 0.0).

    Args:
        process: whose episodes these are.
        members_UG: which episode each member of each group is.
        numbers_N: the advantage of every turn, member by member and group by group.
    """
    paths_E = process.paths_E
    lengths_E = np.array([len(path.trajectory.turns) for path in paths_E])
    slopes = np.concatenate([path.score_KP for path in paths_E])  # of all turns of all episodes
    first_E = np.concatenate([[0], np.cumsum(lengths_E)[:-1]])
    lengths = lengths_E[members_UG].ravel()
    turn_N = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    row_N = np.repeat(first_E[members_UG].ravel(), lengths) + turn_N
    ends_U = np.cumsum(lengths_E[members_UG].sum(axis=1))
    starts_U = np.concatenate([[0], ends_U[:-1]])
    sums_UP = np.add.reduceat(numbers_N[:, None] * slopes[row_N], starts_U, axis=0)
    loud_U = np.add.reduceat(np.abs(numbers_N), starts_U)
    return sums_UP / members_UG.shape[1], (loud_U == 0).astype(np.float64)
