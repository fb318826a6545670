"""One episode as a generator without I/O."""

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from agentgym.agents import Agent, Decision, Start, StopEpisode, View
from agentgym.backends.base import Sample, SampleRequest
from agentgym.env import TextEnv, env_class
from agentgym.errors import ConfigError, EnvContractError, EpisodeFailure
from agentgym.types import JSON, Failure, Observation, Stop, Trajectory, Turn


@dataclass(frozen=True)
class Task:
    """What is to be done: an environment, its options (a "preset" among them), and a seed."""

    env: str
    options: Mapping[str, JSON] = field(default_factory=dict)
    seed: int = 0

    @cached_property
    def key(self) -> str:
        """The name of the task, and of its group: equal tasks, equal keys."""
        options = json.dumps(dict(self.options), sort_keys=True) if self.options else ""
        return f"{self.env}{options}#{self.seed}"

    @cached_property
    def digest(self) -> int:
        """64 bits of the key, for seeds."""
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "little")


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an episode is stopped. None: no limit.

    Attributes:
        max_turns: besides the environment's own limit.
        max_tokens_per_call: sampled tokens of one call.
        max_tokens: sampled tokens of the episode.
        max_context: tokens of prompt and sample together; a backend's own limit holds besides.
        timeout_s: wall clock of the episode, waiting for others included; passing it is a failure
            of the platform, not of the agent.
        step_timeout_s: wall clock of one reset or step of the environment.
    """

    max_turns: int | None = None
    max_tokens_per_call: int = 64
    max_tokens: int | None = None
    max_context: int | None = None
    timeout_s: float | None = None
    step_timeout_s: float | None = 60.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is None and f.name != "max_tokens_per_call":
                continue
            whole = not f.name.endswith("_s")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number of seconds"
                raise ConfigError(f"limits.{f.name} must be {kind}, got {value!r}")
            if not value > 0:
                raise ConfigError(f"limits.{f.name} must be above 0, got {value!r}")


class Fault(Exception):
    """Thrown into an episode whose environment or backend failed, or whose time is over."""

    def __init__(self, failure: Failure, stop: Stop = Stop.ERROR) -> None:
        self.failure, self.stop = failure, stop
        super().__init__(f"{failure.boundary}: {failure.error}: {failure.message}")

    @classmethod
    def of(cls, boundary: str, error: BaseException) -> "Fault":
        """Attribute an exception to the boundary it names, or to the one where it surfaced."""
        if isinstance(error, EpisodeFailure):
            return cls(Failure(error.boundary, type(error).__name__, error.message))
        assert boundary in ("env", "backend")
        return cls(
            Failure("env" if boundary == "env" else "backend", type(error).__name__, str(error))
        )


@dataclass(frozen=True, slots=True)
class EnvReply:
    """What an environment answered to `Begin` or `Act`."""

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]
    state_key: str | None
    gold: tuple[str, ...] | None
    expert: str | None
    instructions: str
    noop: str
    tools: tuple[Mapping[str, JSON], ...]
    answer: str | None = None  #: asked for once, at the beginning


@dataclass(frozen=True, slots=True)
class Begin:
    """Asks for the beginning of an episode."""

    seed: int
    needs: frozenset[str]

    def run(self, env: TextEnv) -> EnvReply:
        """Reset the environment."""
        text, info = env.reset(seed=self.seed)
        gold = None
        if "gold" in self.needs:
            plan = env.gold()
            gold = None if plan is None else tuple(plan)
        answer = env.answer()
        if answer is not None and not isinstance(answer, str):
            raise EnvContractError(f"{env.name}: answer() must be a str or None, got {answer!r}")
        return replace(_reply(env, self.needs, text, 0.0, False, False, info, gold), answer=answer)


@dataclass(frozen=True, slots=True)
class Act:
    """Asks for one action to be carried out."""

    action: str
    needs: frozenset[str]

    def run(self, env: TextEnv) -> EnvReply:
        """Step the environment."""
        return _reply(env, self.needs, *env.step(self.action), None)


def _reply(
    env: TextEnv,
    needs: frozenset[str],
    text: str,
    reward: float,
    terminated: bool,
    truncated: bool,
    info: dict[str, Any],
    gold: tuple[str, ...] | None,
) -> EnvReply:
    over = terminated or truncated
    return EnvReply(
        observation=Observation(text, tuple(info.get("messages", ()))),
        reward=reward,
        terminated=terminated,
        truncated=truncated,
        info=info,
        state_key=env.state_key(),
        gold=gold,
        expert=env.expert() if "expert" in needs and not over else None,
        instructions=env.instructions,
        noop=env.noop,
        tools=tuple(env.tools),
    )


Ask: TypeAlias = Begin | Act | tuple[SampleRequest, ...]
"""What an episode yields; it is sent an `EnvReply`, or the samples in order."""

Episode: TypeAlias = Generator[Ask, EnvReply | list[Sample], Trajectory]


def seed_of(root: int, *place: int) -> int:
    """Return a seed for a place (task, member, attempt, turn, ...) under a root seed.

    It depends on nothing else: neither on the order of arrival nor on how many run at once.
    """
    return int(np.random.SeedSequence((root, *place)).generate_state(1, np.uint64)[0])


def seeds_of(root: int, *place: int) -> Iterator[int]:
    """Return as many seeds for a place as are asked for; each depends on its index alone."""
    found, known = np.random.SeedSequence((root, *place)), 0
    while True:
        block: list[int] = found.generate_state(known + 32, np.uint64)[known:].tolist()
        yield from block
        known += 32


def episode(
    task: Task,
    agent: Agent,
    *,
    limits: Limits | None = None,
    seed: int = 0,
    member: int = 0,
    attempt: int = 0,
    copy: int = 0,
) -> Episode:
    """Play one episode without doing any I/O.

    Yields a `Begin`, then `Act`s and tuples of sample requests; is sent an `EnvReply` for the
    former and the list of samples for the latter. A driver that cannot answer throws a `Fault`.
    The trajectory is the generator's return value, also after a fault.

    Args:
        task: what to play.
        agent: who plays.
        limits: where to stop.
        seed: root of all seeds of samples; those of an episode are derived from it, the task,
            `copy`, `member` and `attempt`, one per turn.
        member: its place in the group.
        attempt: 0 for the first try.
        copy: tells groups of equal tasks apart.
    """
    limits = limits or Limits()
    version = env_class(task.env).version
    turns: list[Turn] = []
    reply: EnvReply | None = None
    stop, failure, answer = Stop.ERROR, None, None
    try:
        reply = _env_reply((yield Begin(task.seed, agent.needs)))
        gold, answer, spent = reply.gold, reply.answer, 0
        seeds = seeds_of(seed, task.digest, copy, member, attempt)
        acting = agent.begin(Start(reply.instructions, reply.noop, limits.max_context, reply.tools))
        while True:
            room = limits.max_tokens_per_call
            if limits.max_tokens is not None:
                room = min(room, limits.max_tokens - spent)
            if room < 1:
                stop = Stop.MAX_TOKENS
                break
            turn, turn_seed = len(turns), next(seeds)
            view = View(turn, reply.observation, reply.info, turn_seed, room, gold, reply.expert)
            try:
                decision: Decision = yield from acting.act(view)
            except StopEpisode as ending:
                stop = ending.stop
                break
            spent += sum(len(call.sample_ids) for call in decision.calls)
            before = reply
            reply = _env_reply((yield Act(decision.action, agent.needs)))
            turns.append(_turn(before, decision, reply))
            if reply.terminated:
                stop = Stop.DONE
                break
            if reply.truncated or len(turns) == limits.max_turns:
                stop = Stop.MAX_TURNS
                break
    except Fault as fault:
        stop, failure = fault.stop, fault.failure
    return Trajectory(
        env=task.env,
        env_version=version,
        env_options=dict(task.options),
        seed=task.seed,
        member=member,
        turns=tuple(turns),
        final_observation=reply.observation if reply else Observation(""),
        final_state_key=reply.state_key if reply else None,
        stop=stop,
        success=reply.info.get("success") if reply and failure is None else None,
        failure=failure,
        attempt=attempt,
        answer=answer,
    )


def _env_reply(answer: EnvReply | list[Sample]) -> EnvReply:
    assert isinstance(answer, EnvReply), (
        "the driver must answer an environment request with a reply"
    )
    return answer


def _turn(before: EnvReply, decision: Decision, after: EnvReply) -> Turn:
    valid = after.info.get("action_valid")
    return Turn(
        observation=before.observation,
        calls=decision.calls,
        action=decision.action,
        reward=after.reward,
        state_key=before.state_key,
        action_valid=valid if decision.well_formed else False,
        reward_parts=after.info.get("reward_parts", {}),
        facts=after.info.get("facts", {}),
    )
