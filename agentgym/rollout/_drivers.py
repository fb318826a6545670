"""Drivers: run many episodes against one backend, in lockstep or overlapping slow environments."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agentgym.agents import Agent
from agentgym.backends.base import Backend, Sample, SampleRequest
from agentgym.env import TextEnv
from agentgym.errors import EpisodeFailure, UserError
from agentgym.rollout._episode import Ask, EnvReply, Episode, Fault, Limits, Task, episode
from agentgym.rollout._workers import EnvJob, EnvPool, Workers
from agentgym.types import Failure, Stop, Trajectory


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to run: who plays what, as which member of its group, for the how-manieth time.

    `copy` tells groups of equal tasks apart.
    """

    task: Task
    agent: Agent
    member: int = 0
    attempt: int = 0
    copy: int = 0


OnEpisode = Callable[[Trajectory], None]


class Driver(Protocol):
    """Runs jobs and returns their trajectories in the order of the jobs."""

    def __call__(
        self,
        jobs: Sequence[Job],
        backend: Backend | None,
        *,
        limits: Limits,
        seed: int,
        pool: EnvPool | None = None,
        on_episode: OnEpisode | None = None,
    ) -> list[Trajectory]:
        """Run them all."""
        ...


def run_lockstep(
    jobs: Sequence[Job],
    backend: Backend | None,
    *,
    limits: Limits,
    seed: int,
    pool: EnvPool | None = None,
    on_episode: OnEpisode | None = None,
    width: int | None = None,
) -> list[Trajectory]:
    """Step all environments, then sample for all episodes in one batch, and so on.

    Best for environments that answer in microseconds. The trajectories do not depend on `width`,
    the number of episodes at once (None: all), except through rounding in the backend's batches.

    Args:
        jobs: what to run.
        backend: who samples; None if no agent asks.
        limits: where to stop.
        seed: root of all seeds of samples.
        pool: environments to reuse; by default they live as long as this call.
        on_episode: called with each trajectory as it ends.
        width: episodes at once.

    Raises:
        UserError: an environment cannot be made; nothing has been run in vain by then.
    """
    run = _Run(jobs, backend, limits, seed, pool, on_episode, threads=1)
    with run:
        while run.start(width):
            if run.asking_env:
                run.ask_envs(together=True)
                while run.workers.busy:
                    run.take_replies(block=True)
            run.sample()
    return run.trajectories()


def run_threaded(
    jobs: Sequence[Job],
    backend: Backend | None,
    *,
    limits: Limits,
    seed: int,
    pool: EnvPool | None = None,
    on_episode: OnEpisode | None = None,
    workers: int = 16,
) -> list[Trajectory]:
    """Step each environment in a thread of its own, and sample for whichever episodes wait.

    Best for environments that wait for something outside: containers, servers. The trajectories
    equal those of `run_lockstep`, except for rounding in the backend's batches. Arguments as there;
    `workers` is the number of threads, and of episodes at once beyond those that wait for samples.
    """
    run = _Run(jobs, backend, limits, seed, pool, on_episode, threads=workers)
    with run:
        while run.start(2 * workers):
            run.ask_envs(together=False)
            run.take_replies(block=not run.asking_samples)
            run.sample()
    return run.trajectories()


@dataclass(eq=False)
class _Live:
    """An episode under way."""

    place: int
    job: Job
    generator: Episode
    began: float
    env: TextEnv | None = None
    ask: Ask = ()


class _Run:
    """What both drivers share: episodes under way, sorted by what they wait for."""

    def __init__(
        self,
        jobs: Sequence[Job],
        backend: Backend | None,
        limits: Limits,
        seed: int,
        pool: EnvPool | None,
        on_episode: OnEpisode | None,
        *,
        threads: int,
    ) -> None:
        own = getattr(backend, "max_context", None)  # of backends that know theirs
        if own is not None:
            limits = replace(limits, max_context=min(own, limits.max_context or own))
        self.backend, self.limits, self.seed = backend, limits, seed
        self.on_episode = on_episode
        self.own_pool = EnvPool() if pool is None else None
        self.pool = pool if pool is not None else EnvPool()
        if self.own_pool is not None:
            self.pool = self.own_pool
        step_timeout_s = limits.step_timeout_s or limits.timeout_s
        self.workers = Workers(min(threads, max(1, len(jobs))), self.pool, step_timeout_s)
        self.todo = deque(enumerate(jobs))
        self.done: list[Trajectory | None] = [None] * len(jobs)
        self.live: set[_Live] = set()
        self.asking_env: list[_Live] = []
        self.asking_samples: list[_Live] = []
        self.sessions: dict[_Live, set[int]] = {}

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.close()
        for live in self.live:  # only after an exception
            if live.env is not None:
                self.pool.put(live.job.task, live.env)
        if self.backend is not None:
            self.backend.release(s for sessions in self.sessions.values() for s in sessions)
        if self.own_pool is not None:
            self.own_pool.close()

    def trajectories(self) -> list[Trajectory]:
        """Return all of them, in the order of the jobs."""
        return [trajectory for trajectory in self.done if trajectory is not None]

    def start(self, width: int | None) -> bool:
        """Begin episodes up to `width` at once; return whether any is under way."""
        while self.todo and (width is None or len(self.live) < width):
            place, job = self.todo.popleft()
            generator = episode(
                job.task,
                job.agent,
                limits=self.limits,
                seed=self.seed,
                member=job.member,
                attempt=job.attempt,
                copy=job.copy,
            )
            live = _Live(place, job, generator, time.monotonic())
            self.live.add(live)
            live.ask = next(generator)
            self.asking_env.append(live)
        return bool(self.live)

    def ask_envs(self, *, together: bool) -> None:
        """Hand the waiting questions to the environments' threads."""
        questions = [
            EnvJob(live, live.job.task, live.ask, live.env)
            for live in self.asking_env
            if not isinstance(live.ask, tuple)
        ]
        for live in self.asking_env:
            live.env = None  # with the worker, until it answers
        self.asking_env = []
        for part in [questions] if together else [[question] for question in questions]:
            if part:
                self.workers.submit(part)

    def take_replies(self, *, block: bool) -> None:
        """Hand the environments' answers to their episodes."""
        answered = []
        for question, reply in self.workers.results(block=block):
            assert isinstance(question.owner, _Live)
            question.owner.env = question.env
            answered.append((question.owner, reply))
        for live, reply in answered:
            if isinstance(reply, UserError):
                raise reply
            self.advance(live, reply)

    def sample(self) -> None:
        """Answer all waiting requests for samples in one batch."""
        waiting, self.asking_samples = self.asking_samples, []
        asked = [live.ask if isinstance(live.ask, tuple) else () for live in waiting]
        requests = [request for part in asked for request in part]
        if not requests:
            return
        if self.backend is None:
            raise UserError("the agent asks for samples of a model, but no backend was given")
        for live, part in zip(waiting, asked, strict=True):
            self.sessions.setdefault(live, set()).update(request.session for request in part)
        answers = iter(_generate(self.backend, requests))
        for live, part in zip(waiting, asked, strict=True):
            samples, fault = [], None
            for _ in part:
                answer = next(answers)
                if isinstance(answer, Fault):
                    fault = fault or answer
                else:
                    samples.append(answer)
            self.advance(live, fault or samples)

    def advance(self, live: _Live, answer: EnvReply | list[Sample] | Fault) -> None:
        """Give an episode its answer, and sort it by what it asks next."""
        limit_s = self.limits.timeout_s
        if limit_s is not None and not isinstance(answer, Fault):
            took_s = time.monotonic() - live.began
            if took_s > limit_s:
                where = "env" if isinstance(answer, EnvReply) else "backend"
                message = f"the episode took {took_s:.1f} s, over its limit of {limit_s:g} s"
                answer = Fault(
                    Failure("env" if where == "env" else "backend", "EpisodeTimeout", message),
                    Stop.TIMEOUT,
                )
        try:
            if isinstance(answer, Fault):
                live.ask = live.generator.throw(answer)
            else:
                live.ask = live.generator.send(answer)
        except StopIteration as ended:
            self.finish(live, ended.value)
            return
        (self.asking_samples if isinstance(live.ask, tuple) else self.asking_env).append(live)

    def finish(self, live: _Live, trajectory: Trajectory) -> None:
        """Keep a trajectory and give back what its episode held."""
        self.done[live.place] = trajectory
        self.live.remove(live)
        if live.env is not None:
            self.pool.put(live.job.task, live.env)
        sessions = self.sessions.pop(live, None)
        if sessions and self.backend is not None:
            self.backend.release(sessions)
        if self.on_episode is not None:
            self.on_episode(trajectory)


def _generate(backend: Backend, requests: Sequence[SampleRequest]) -> Iterable[Sample | Fault]:
    """Ask the backend; whatever it raises is a failure of every episode in the batch."""
    try:
        answers = backend.generate(requests)
        if len(answers) != len(requests):
            raise EpisodeFailure(
                "backend", f"{len(answers)} answers to {len(requests)} sample requests"
            )
    except UserError:
        raise
    except Exception as error:
        return [Fault.of("backend", error)] * len(requests)
    return [Fault.of("backend", a) if isinstance(a, EpisodeFailure) else a for a in answers]
