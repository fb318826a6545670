"""The groups that a process can give: all of them with their probabilities, or a sample.

Axes: U different groups, G trajectories of a group, E possible episodes, K turns.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentgym.trainers.credit.base import Floats
from agentgym.trainers.credit.common import Ints
from agentgym.trainers.lab.notes import CriticName, noted
from agentgym.trainers.lab.process import Process
from agentgym.types import Group

ENUMERATE_UP_TO = 10_000
"""As many different groups are all looked at; of more, a sample is drawn."""


@dataclass(frozen=True)
class Draws:
    """Groups of one process.

    Members are drawn independently and a scheme treats them alike (`agentgym check` tries that), so
    the order of members does not matter: what counts is how often each episode occurs.

    Attributes:
        process: whose episodes these are.
        members_UG: which episode each member is, sorted; no row twice.
        weights_U: the probability of each group, or its share of the sample.
        drawn: how many groups the sample has; None: all there are, with exact probabilities.
    """

    process: Process
    members_UG: Ints
    weights_U: Floats
    drawn: int | None

    @classmethod
    def of(
        cls, process: Process, group_size: int, groups: int, generator: np.random.Generator
    ) -> "Draws":
        """Enumerate all groups, or draw `groups` of them where they are too many."""
        if different_groups(process, group_size) <= ENUMERATE_UP_TO:
            return cls.enumerate(process, group_size)
        return cls.sample(process, group_size, groups, generator)

    @classmethod
    def enumerate(cls, process: Process, group_size: int) -> "Draws":
        """Return every group, with its multinomial probability."""
        chances = [path.probability for path in process.paths_E]
        rows = list(itertools.combinations_with_replacement(range(len(chances)), group_size))
        weights = []
        for row in rows:
            orders = math.factorial(group_size)
            for _, same in itertools.groupby(row):
                orders //= math.factorial(len(list(same)))
            weights.append(orders * math.prod(chances[e] for e in row))
        return cls(process, np.array(rows, np.int64), np.array(weights), None)

    @classmethod
    def sample(
        cls, process: Process, group_size: int, groups: int, generator: np.random.Generator
    ) -> "Draws":
        """Draw groups."""
        rows = sample_members(process, (groups, group_size), generator)
        members_UG, counts_U = np.unique(rows, axis=0, return_counts=True)
        return cls(process, members_UG, counts_U / groups, groups)

    def groups_U(self, critic: CriticName) -> Iterator[Group]:
        """Make the groups, of real trajectories with all notes that the process has."""
        size = self.members_UG.shape[1]
        told_E = [noted(self.process, critic, path.trajectory) for path in self.process.paths_E]
        member_GE = [[replace(trajectory, member=g) for trajectory in told_E] for g in range(size)]
        for row in self.members_UG.tolist():
            members = tuple(member_GE[g][e] for g, e in enumerate(row))
            yield Group(f"lab/{self.process.name}", members)


def different_groups(process: Process, group_size: int) -> int:
    """Return how many groups differ by more than the order of their members."""
    return math.comb(len(process.paths_E) + group_size - 1, group_size)


def sample_members(process: Process, shape: Sequence[int], generator: np.random.Generator) -> Ints:
    """Draw episodes of groups; the last axis is G, and is sorted."""
    chances_E = np.array([path.probability for path in process.paths_E])
    found = generator.choice(len(chances_E), size=tuple(shape), p=chances_E / chances_E.sum())
    return np.sort(found, axis=-1).astype(np.int64)
