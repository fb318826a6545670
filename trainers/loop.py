"""The training loop: collect, annotate, credit, normalise, pack, step, sync, log, checkpoint.

Everything random is drawn from (seed, purpose, iteration) and nothing is carried over but what a
checkpoint holds. A run that is killed and resumed therefore ends, on a CPU, in the same weights bit
for bit as one that was left alone.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from agentgym.records import RunFolder
from agentgym.trainers import parts
from agentgym.trainers.config import RewardConfig, TrainConfig
from agentgym.trainers.credit.base import credited, total
from agentgym.trainers.critic import targets_of
from agentgym.trainers.evaluate import Score
from agentgym.trainers.pack import pack
from agentgym.trainers.parts import stream
from agentgym.trainers.prepare import mean_kl, mean_return
from agentgym.trainers.progress import Progress, Silent
from agentgym.trainers.schedule import values_at
from agentgym.trainers.session import Session


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    reason: str
    iterations: int
    first: Score | None  #: held-out success before reinforcement learning
    last: Score | None  #: and at the end, on the same worlds
    elapsed_s: float


def train(config: TrainConfig, run: RunFolder, progress: Progress | None = None) -> Result:
    """Train from the very start, or from the checkpoint that the run folder was resumed at.

    An interrupt (Ctrl-C, or SIGTERM, as cluster managers send it) lets the iteration end, writes a
    checkpoint and returns; a second one does not wait.

    Args:
        config: what to do.
        run: where it is recorded; created, or opened to resume.
        progress: told of everything that happens.

    Raises:
        UserError: a mistake in the configuration; nothing has been started then.
        TooManyFailures: more episodes failed than the configuration tolerates.
        TooManyBadSteps: the gradient was not finite again and again.
    """
    scheme = parts.check(config, model=run.checkpoint is None)
    torch.set_num_threads(config.threads)
    session = Session(config, run, scheme, progress or Silent())
    try:
        with _interruptible() as interrupted:
            session.begin()
            while not session.over() and not interrupted.is_set():
                iterate(session)
            if interrupted.is_set() and not session.over():
                session.checkpoint()
                return Result("interrupted", session.iteration, None, None, session.elapsed_s)
            reason = session.over()
            last = session.end()
            return Result(reason, session.iteration, session.first, last, session.elapsed_s)
    finally:
        session.close()


def iterate(session: Session) -> None:
    """One iteration of reinforcement learning."""
    config, scheme, iteration = session.config, session.scheme, session.iteration + 1

    groups = session.annotate(session.collect())
    rewarded = session.shape(groups)
    credit = scheme.credit_at(iteration)
    advantages = [credited(credit, group) for group in rewarded]
    normalised = scheme.normalise(rewarded, advantages)
    rows = pack(rewarded, normalised)
    metrics: dict[str, float] = {}
    critic = session.policy.critic
    if critic is not None:
        targets = [targets_of(credit)(group) for group in rewarded]
        metrics |= critic.update(rewarded, targets, stream(config, parts.CRITIC, iteration))
    if critic is None or iteration > config.critic.warmup_iterations:
        metrics |= session.learner.update(rows, stream(config, parts.UPDATES, iteration))
    # The backend holds the very same weights: it only has to forget what it computed with the old.
    session.policy.backend.policy_version = session.learner.version

    at = {f"credit/{name}": v for name, v in values_at(scheme.schedule, iteration).items()}
    if config.reward != RewardConfig():
        at["reward/learned_return"] = mean_return(rewarded)
    if config.reward.kl_coef:
        at["reward/kl"] = mean_kl(groups, config.reward.kl)
    session.report(groups, total(advantages).metrics() | at | metrics)
    if config.eval.every and iteration % config.eval.every == 0:
        session.evaluate_curve()
    if iteration % config.train.checkpoint_every == 0:
        session.checkpoint()


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event that is looked at between iterations."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals reach the main thread alone
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(_signal: int, _frame: FrameType | None) -> None:
        event.set()
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield event
    finally:
        restore()
