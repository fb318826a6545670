"""Success on worlds that training never sees, with an interval, and failures beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from agentgym.agents import Agent
from agentgym.backends.base import Backend
from agentgym.rewards.judge import JUDGE_FACTS
from agentgym.rollout import Driver, EnvPool, Limits, OnPause, Task, collect, run_lockstep
from agentgym.statistics import wilson
from agentgym.trainers.economy import TOOL_CALLS, tool_calls
from agentgym.trainers.prepare import valid_action_share
from agentgym.types import JSON, Group, Trajectory


@dataclass(frozen=True, slots=True)
class Score:
    """How often episodes succeeded. Those that the platform spoiled are counted, not scored."""

    episodes: int  #: that count: all but the failures
    successes: int
    failures: int  #: episodes that a failure of the platform spoiled, after all retries
    mean_return: float
    mean_turns: float
    valid_actions: float | None  #: share of actions the environment understood; None: it is mute
    mean_parts: Mapping[str, float] = field(default_factory=dict)
    """The named parts of `mean_return`, as far as rewards have names (`Turn.reward_parts`)."""
    mean_tool_calls: float | None = None  #: of an episode; None: no turn says how many it made
    facts: Mapping[str, float] = field(default_factory=dict)
    """For each yes-or-no fact (`Turn.facts`) of last turns: the share of episodes with a yes."""
    judge_checked: int = 0  #: criteria that a judge was asked although a rule knows the answer
    judge_too_kind: int = 0  #: of these, the judge said yes to and the rule no
    judge_too_strict: int = 0  #: of these, the judge said no to and the rule yes

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> "Score":
        """Summarise episodes."""
        counted = [t for t in trajectories if t.valid]
        total = max(1, len(counted))
        parts: dict[str, float] = {}
        for name, part in (p for t in counted for k in t.turns for p in k.reward_parts.items()):
            parts[name] = parts.get(name, 0.0) + part
        told = any(TOOL_CALLS in turn.facts for t in counted for turn in t.turns)
        return cls(
            episodes=len(counted),
            successes=sum(t.success is True for t in counted),
            failures=len(trajectories) - len(counted),
            mean_return=sum(t.episode_return for t in counted) / total,
            mean_turns=sum(len(t.turns) for t in counted) / total,
            valid_actions=valid_action_share(counted),
            mean_parts={name: part / total for name, part in sorted(parts.items())},
            mean_tool_calls=sum(map(tool_calls, counted)) / total if told else None,
            facts={name: yes / total for name, yes in _yes_in_the_end(counted).items()},
            **{name: _sum_of_fact(counted, name) for name in JUDGE_FACTS},
        )

    @property
    def rate(self) -> float:
        """The success rate; 0 of 0 is 0."""
        return self.successes / max(1, self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the success rate."""
        return wilson(self.successes, self.episodes)

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return it as metrics."""
        low, high = self.interval
        found = {
            "success": self.rate,
            "success_low": low,
            "success_high": high,
            "episodes": float(self.episodes),
            "failures": float(self.failures),
            "mean_return": self.mean_return,
            "mean_turns": self.mean_turns,
        }
        if self.valid_actions is not None:
            found["valid_actions"] = self.valid_actions
        if self.mean_tool_calls is not None:
            found["tool_calls"] = self.mean_tool_calls
        if self.judge_checked:
            found["judge_checked"] = float(self.judge_checked)
            found["judge_too_kind"] = self.judge_too_kind / self.judge_checked
            found["judge_too_strict"] = self.judge_too_strict / self.judge_checked
        found |= {f"reward_{name}": part for name, part in self.mean_parts.items()}
        found |= {f"fact_{name}": share for name, share in self.facts.items()}
        return {f"{prefix}/{name}": value for name, value in found.items()}

    def as_json(self) -> dict[str, JSON]:
        """Return the fields, from which it can be made again."""
        return asdict(self)

    def __str__(self) -> str:
        low, high = self.interval
        spoiled = f", {self.failures} failed" if self.failures else ""
        return f"{self.rate:.1%} [{low:.1%}, {high:.1%}] of {self.episodes}{spoiled}"


def _yes_in_the_end(trajectories: Sequence[Trajectory]) -> dict[str, int]:
    found: dict[str, int] = {}
    for last in (t.turns[-1] for t in trajectories if t.turns):
        for name, value in last.facts.items():
            if isinstance(value, bool):
                found[name] = found.get(name, 0) + value
    return dict(sorted(found.items()))


def _sum_of_fact(trajectories: Sequence[Trajectory], name: str) -> int:
    stated = [turn.facts.get(name, 0) for t in trajectories for turn in t.turns]
    return sum(count for count in stated if isinstance(count, int))


def evaluate(
    tasks: Sequence[Task],
    agent: Agent,
    backend: Backend,
    *,
    seed: int,
    limits: Limits,
    driver: Driver = run_lockstep,
    pool: EnvPool | None = None,
    retries: int = 2,
    max_failure_rate: float = 0.2,
    retry_pause_s: float = 20.0,
    on_pause: OnPause | None = None,
) -> tuple[Score, list[Group]]:
    """Play every task once; return the score and the episodes.

    Args:
        tasks: worlds that training does not see.
        agent: who plays, at the temperature that is to be measured.
        backend: who samples.
        seed: root of the samples' seeds.
        limits, driver, pool, retries, max_failure_rate, retry_pause_s, on_pause: as for `collect`.

    Raises:
        TooManyFailures: too many episodes failed for reasons of the platform.
    """
    groups = collect(
        tasks,
        1,
        agent,
        backend,
        seed=seed,
        limits=limits,
        driver=driver,
        pool=pool,
        retries=retries,
        max_failure_rate=max_failure_rate,
        retry_pause_s=retry_pause_s,
        on_pause=on_pause,
    )
    return Score.of([t for group in groups for t in group.trajectories_G]), groups
