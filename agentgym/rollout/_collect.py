"""Groups of attempts at the same tasks, with failures of the platform retried and masked."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from agentgym.agents import Agent
from agentgym.backends.base import Backend
from agentgym.errors import EnvContractError, TooManyFailures, UserError
from agentgym.rollout._drivers import Driver, Job, OnEpisode, run_lockstep
from agentgym.rollout._episode import Limits, Task
from agentgym.rollout._workers import EnvPool
from agentgym.types import Group, Trajectory

OnPause = Callable[[str, float], None]

DOWN: Final = 0.2
"""Where the sandboxes of more than this share of the episodes failed, their engine is down."""


def collect(
    tasks: Sequence[Task],
    group_size: int,
    agent: Agent,
    backend: Backend | None,
    *,
    seed: int,
    limits: Limits | None = None,
    driver: Driver = run_lockstep,
    pool: EnvPool | None = None,
    retries: int = 2,
    max_failure_rate: float = 0.2,
    retry_pause_s: float = 20.0,
    on_episode: OnEpisode | None = None,
    on_pause: OnPause | None = None,
) -> list[Group]:
    """Play every task `group_size` times; all members of a group start from the same state.

    An episode that failed is played again from its beginning, at most `retries` times, with other
    samples. If it still fails, its last trajectory stays in the group with `valid` False: it must
    enter neither a loss nor a statistic, and it is never a reward of 0.

    A few failed episodes are played again at once. Where the sandboxes of many failed (`DOWN`)
    there is a pause first, so that their engine can come back. Servers of models are tried again,
    with pauses, by who asks them.

    Args:
        tasks: one group each, in order. Equal tasks make groups of their own.
        group_size: episodes per task.
        agent: who plays.
        backend: who samples; None if the agent needs no model.
        seed: root of all seeds of samples.
        limits: where episodes stop.
        driver: `run_lockstep` or `run_threaded`, or a `functools.partial` of one.
        pool: environments to reuse between calls.
        retries: how often a failed episode is played again.
        max_failure_rate: share of episodes that may stay failed.
        retry_pause_s: seconds of the pause before the first retry, up to half of it less; each
            further one is three times as long.
        on_episode: called with every trajectory as it ends, those that are retried included.
        on_pause: called before each pause with the reason and its seconds.

    Raises:
        TooManyFailures: more than that share of the episodes failed for good; the message has the
            commonest reason.
        EnvContractError: an environment that starts differently under the same seed.
        UserError: no tasks or members, or an environment that cannot be made.
    """
    if group_size < 1 or not tasks:
        raise UserError(f"nothing to play: {len(tasks)} tasks, {group_size} episodes of each")
    limits = limits or Limits()
    seen = Counter[str]()
    jobs = []
    for task in tasks:
        jobs += [Job(task, agent, member, 0, seen[task.key]) for member in range(group_size)]
        seen[task.key] += 1
    own_pool = pool or EnvPool()
    try:
        found = driver(
            jobs, backend, limits=limits, seed=seed, pool=own_pool, on_episode=on_episode
        )
        for attempt in range(1, retries + 1):
            failed = [place for place, trajectory in enumerate(found) if not trajectory.valid]
            if not failed:
                break
            down = [t for t in found if t.failure is not None and t.failure.boundary == "sandbox"]
            if len(down) > DOWN * len(found) and retry_pause_s > 0:
                pause_s = (
                    retry_pause_s * 3 ** (attempt - 1) * np.random.default_rng().uniform(0.5, 1)
                )
                if on_pause is not None:
                    on_pause(
                        f"{len(down)} of {len(found)} episodes failed; {_reason(down)}", pause_s
                    )
                time.sleep(pause_s)
            again = [
                Job(jobs[p].task, agent, jobs[p].member, attempt, jobs[p].copy) for p in failed
            ]
            retried = driver(
                again, backend, limits=limits, seed=seed, pool=own_pool, on_episode=on_episode
            )
            for place, trajectory in zip(failed, retried, strict=True):
                found[place] = trajectory
    finally:
        if pool is None:
            own_pool.close()
    groups = [
        Group(task.key, tuple(found[i * group_size : (i + 1) * group_size]))
        for i, task in enumerate(tasks)
    ]
    for group in groups:
        _check_start(group)
    _refuse_too_many([t for t in found if not t.valid], len(found), retries, max_failure_rate)
    return groups


def rewritten_share(trajectories: Iterable[Trajectory]) -> float:
    """Return the share of calls that had to start a new token sequence, first calls left out.

    Where it is above 0 the chat template or the context rewrites history: each such call costs a
    whole prompt, in sampling and in training.
    """
    fresh = later = 0
    for trajectory in trajectories:
        spoke = set[str]()
        for call in (call for turn in trajectory.turns for call in turn.calls):
            if call.role in spoke:
                later += 1
                fresh += call.fresh
            spoke.add(call.role)
    return fresh / later if later else 0.0


def _check_start(group: Group) -> None:
    """Refuse a group whose members did not start from the same state: their returns would differ
    for reasons that no action had a part in."""
    starts = [
        (t.turns[0].observation, t.turns[0].state_key)
        if t.turns
        else (t.final_observation, t.final_state_key)
        for t in group.trajectories_G
        if t.valid
    ]
    for other in starts[1:]:
        if other != starts[0]:
            raise EnvContractError(
                f"{group.task}: two resets with the same seed gave different states, "
                f"{starts[0][1]!r} {starts[0][0].text!r:.80} and {other[1]!r} {other[0].text!r:.80}"
            )


def _refuse_too_many(
    failed: Sequence[Trajectory], total: int, retries: int, max_failure_rate: float
) -> None:
    if len(failed) <= max_failure_rate * total:
        return
    raise TooManyFailures(
        f"{len(failed)} of {total} episodes failed {retries + 1} times each, more than the "
        f"tolerated share of {max_failure_rate:.0%}; {_reason(failed)}"
    )


def _reason(failed: Sequence[Trajectory]) -> str:
    reasons = Counter(
        f"{t.failure.boundary}: {t.failure.error}: {t.failure.message}"
        for t in failed
        if t.failure is not None
    )
    [(reason, count)] = reasons.most_common(1)
    return f"the commonest reason ({count} times) is {reason}"
