"""Threads that step environments, so that one that hangs or raises harms no other episode."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue, SimpleQueue
from typing import Any

from agentgym.env import TextEnv, make
from agentgym.errors import UserError
from agentgym.rollout._episode import Act, Begin, EnvReply, Fault, Task
from agentgym.types import Failure, Stop


class EnvPool:
    """Environments that are reused from episode to episode; a failed one is never put back."""

    def __init__(self) -> None:
        self._idle: dict[str, deque[TextEnv]] = {}

    @staticmethod
    def _kind(task: Task) -> str:
        return task.key.rpartition("#")[0]

    def take(self, task: Task) -> TextEnv:
        """Return an idle environment for a task, or a new one.

        Raises:
            UserError: the environment cannot be made with these options.
        """
        try:
            return self._idle[self._kind(task)].pop()
        except (KeyError, IndexError):
            options: dict[str, Any] = dict(task.options)
            return make(task.env, **options)

    def put(self, task: Task, env: TextEnv) -> None:
        """Give an environment back."""
        self._idle.setdefault(self._kind(task), deque()).append(env)

    def close(self) -> None:
        """Close all idle environments."""
        for envs in self._idle.values():
            for env in envs:
                env.close()
        self._idle.clear()


@dataclass
class EnvJob:
    """One question to one environment, which is made when there is none yet."""

    owner: object
    task: Task
    ask: Begin | Act
    env: TextEnv | None


Result = tuple[EnvJob, EnvReply | Fault | UserError]


@dataclass
class _Chunk:
    """Jobs that one thread does in order; it says how far it is."""

    jobs: Sequence[EnvJob]
    results: list[Result] = field(default_factory=list)
    since: float | None = None  # when the present job began
    abandoned: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Workers:
    """A fixed number of daemon threads; one that hangs is abandoned and replaced."""

    def __init__(self, threads: int, pool: EnvPool, step_timeout_s: float | None) -> None:
        self._pool, self._timeout_s = pool, step_timeout_s
        self._inbox: SimpleQueue[_Chunk | None] = SimpleQueue()
        self._outbox: Queue[_Chunk] = Queue()
        self._open: list[_Chunk] = []
        self._threads = threads
        for _ in range(threads):
            self._spawn()

    def submit(self, jobs: Sequence[EnvJob]) -> None:
        """Hand jobs to one thread."""
        chunk = _Chunk(jobs)
        self._open.append(chunk)
        self._inbox.put(chunk)

    @property
    def busy(self) -> bool:
        """Whether results are still to come."""
        return bool(self._open)

    def results(self, *, block: bool) -> list[Result]:
        """Return what is finished; with `block` wait until something is."""
        found: list[Result] = []
        while self._open:
            try:
                wait_s = self._wait_s() if block and not found else 0.0
                chunk = (
                    self._outbox.get(timeout=wait_s) if wait_s != 0.0 else self._outbox.get_nowait()
                )
            except Empty:
                found += self._abandon_hanging()
                if found or not block:
                    break
                continue
            if chunk.abandoned:
                continue  # it finished just as it was given up
            self._open.remove(chunk)
            found += chunk.results
        return found

    def close(self) -> None:
        """Let the threads end; those that hang die with the process.

        Environments that are still at work are closed: at once, or as soon as they answer.
        """
        for chunk in self._open:
            with chunk.lock:
                chunk.abandoned = True
                at_work = len(chunk.results) if chunk.since is not None else -1
            for place, job in enumerate(chunk.jobs):
                if place != at_work and job.env is not None:
                    _close_quietly(job.env)
        self._open.clear()
        for _ in range(self._threads):
            self._inbox.put(None)

    # ------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        threading.Thread(target=self._work, name="agentgym-env", daemon=True).start()

    def _work(self) -> None:
        while (chunk := self._inbox.get()) is not None:
            for job in chunk.jobs:
                chunk.since = time.monotonic()
                result = self._do(job)
                with chunk.lock:
                    abandoned = chunk.abandoned
                    if not abandoned:
                        chunk.results.append((job, result))
                        chunk.since = time.monotonic()  # the next one is not late already
                if abandoned:  # another thread has taken this one's place
                    if job.env is not None:
                        _close_quietly(job.env)
                    return
            self._outbox.put(chunk)

    def _do(self, job: EnvJob) -> EnvReply | Fault | UserError:
        env = job.env
        if env is None:
            try:
                env = self._pool.take(job.task)
            except UserError as error:
                return error
            except BaseException as error:
                return Fault.of("env", error)
        try:
            reply = job.ask.run(env)
        except BaseException as error:  # SystemExit too: it must not end this thread
            _close_quietly(env)
            job.env = None
            return Fault.of("env", error)
        job.env = env
        return reply

    def _wait_s(self) -> float | None:
        """Return how long the next result may take before some job has hung; None: for ever."""
        if self._timeout_s is None:
            return None
        now = time.monotonic()
        begun = [chunk.since for chunk in self._open if chunk.since is not None]
        oldest = min(begun, default=now)
        return max(0.001, oldest + self._timeout_s - now)

    def _abandon_hanging(self) -> list[Result]:
        found: list[Result] = []
        if self._timeout_s is None:
            return found
        for chunk in list(self._open):
            with chunk.lock:
                done = len(chunk.results)
                if (
                    chunk.since is None
                    or done == len(chunk.jobs)
                    or time.monotonic() - chunk.since < self._timeout_s
                ):
                    continue
                chunk.abandoned = True
            self._open.remove(chunk)
            self._spawn()
            hung = chunk.jobs[done]
            left = EnvJob(hung.owner, hung.task, hung.ask, None)  # its thread is still inside
            what = "reset" if isinstance(hung.ask, Begin) else f"step({hung.ask.action!r:.60})"
            failure = Failure("env", "StepTimeout", f"{what} took over {self._timeout_s:g} s")
            found += [*chunk.results, (left, Fault(failure, Stop.TIMEOUT))]
            if chunk.jobs[done + 1 :]:
                self.submit(chunk.jobs[done + 1 :])
        return found


def _close_quietly(env: TextEnv) -> None:
    with contextlib.suppress(BaseException):  # it has failed already, and that is reported
        env.close()
