"""OTC: a right answer is worth more the fewer tool calls it took."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentgym.errors import ConfigError

__all__ = ["Fewest", "grpo_economy", "ppo_economy"]

Variant = Literal["otc-ppo", "otc-grpo"]


def ppo_economy(calls: int, c: float) -> float:
    """Return r_tool of OTC-PPO (arXiv 2504.14870): cos(m pi / (2 m + c)), in (0, 1].

    Symbols: m `calls` of tools in the episode; c, which says how fast it falls (the paper takes the
    most turns of an episode). It is 1 without calls and falls towards 0.
    Checked against: the published formula alone; there is no public code.

    Raises:
        ConfigError: `calls` is negative, or `c` is not above 0.

    >>> [round(ppo_economy(m, c=4), 3) for m in (0, 1, 4)]
    [1.0, 0.866, 0.5]
    """
    _check(calls, c)
    return math.cos(calls * math.pi / (2 * calls + c))


def grpo_economy(calls: int, fewest: int, c: float) -> float:
    """Return r_tool of OTC-GRPO (arXiv 2504.14870), in [0, 1]: 1 if no right answer took less.

    Symbols: m `calls` of the episode; n `fewest` calls with which the task was ever answered right.
    Formula: 1 if m = n = 0; cos(m pi / (2 m + c)) if n = 0; else sin(f pi / (2 n)) with
    f = 2 n m / (m + n). So m = n gives 1, and more calls or fewer (which then were not enough)
    give less.
    Checked against: the published formula alone; there is no public code.

    Raises:
        ConfigError: a count is negative, or `c` is not above 0.

    >>> [round(grpo_economy(m, fewest=2, c=4), 3) for m in (0, 1, 2, 6)]
    [0.0, 0.866, 1.0, 0.707]
    """
    _check(calls, c)
    _check(fewest, c)
    if fewest == 0:
        return ppo_economy(calls, c)
    f = 2 * fewest * calls / (calls + fewest)
    return math.sin(f * math.pi / (2 * fewest))


@dataclass(frozen=True)
class Fewest:
    """The running minimum n of OTC-GRPO: fewest calls of a right answer, by task.

    It is a value: `seen` returns another one. A task without a right answer so far is not in it.

    >>> Fewest().seen("task 7", [4, 2, 9]).seen("task 7", [3]).by_task
    {'task 7': 2}
    """

    by_task: Mapping[str, int] = field(default_factory=dict)

    def seen(self, task: str, calls_of_right: Iterable[int]) -> "Fewest":
        """Return it with the calls that further right answers to a task took."""
        counts = list(calls_of_right)
        if task in self.by_task:
            counts.append(self.by_task[task])
        return Fewest({**self.by_task, task: min(counts)}) if counts else self


def _check(calls: int, c: float) -> None:
    if calls < 0 or not c > 0:
        raise ConfigError(
            f"tool economy is of at least 0 calls and with c above 0, got {calls!r} and c={c!r}"
        )
