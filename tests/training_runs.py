"""Training runs that tests start, interrupt, kill, go on with and compare."""

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch
from safetensors.torch import load_file

from agentgym.config import dump_toml
from agentgym.records import RunFolder
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.loop import Result, train
from agentgym.trainers.progress import Iteration, Progress, Silent

Weights = dict[str, torch.Tensor]


class Interrupting(Silent):
    """Presses Ctrl-C after the second iteration, or sends other signals."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers or (signal.SIGINT,)

    def iteration(self, report: Iteration) -> None:
        if report.index == 2:
            for number in self.numbers:
                os.kill(os.getpid(), number)
                time.sleep(0.2)  # two that are noticed at once would be taken for one


def start_or_go_on(
    path: Path, config: TrainConfig, progress: Progress | None = None, keep: int = 2
) -> Result:
    """What a user does after a kill: resume if there is a run, else start."""
    torch.set_num_threads(1)
    text, envs = dump_toml(config), [config.env.name]
    if (path / "run.json").is_file():
        folder = RunFolder.open(path, text, envs=envs, keep=keep)
    else:
        folder = RunFolder.create(path, text, config.seed, envs=envs, keep=keep)
    with folder:
        return train(config, folder, progress)


def in_another_process(path: Path, config: TrainConfig) -> ForkServerProcess:
    """Start or go on in a process that may be killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["agentgym.trainers.loop", __name__])
    process = context.Process(target=start_or_go_on, args=(path, config))
    process.start()
    return process


def weights(path: Path) -> Weights:
    """Of the policy at the end."""
    return load_file(path / "policy" / "model.safetensors")


def equal(ours: Weights, theirs: Weights) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def same(a: Path, b: Path) -> bool:
    """Whether two runs ended in the same policy, bit for bit."""
    return equal(weights(a), weights(b))


def kill_after(path: Path, config: TrainConfig, seconds: float) -> bool:
    """Start or go on in another process and kill it; return whether it was done before that."""
    process = in_another_process(path, config)
    process.join(seconds)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        return False
    assert process.exitcode == 0
    return True


def in_the_end_equal(
    kills: int, undisturbed: Path, path: Path, config: TrainConfig, seed: int, most_s: float
) -> None:
    rng = random.Random(seed)
    done = 0
    while done < kills:
        if kill_after(path, config, rng.uniform(0.1, most_s)):
            assert same(undisturbed, path)
            path = path.with_name(path.name + "-again")
        else:
            done += 1
    start_or_go_on(path, config)
    assert same(undisturbed, path)
