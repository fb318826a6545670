"""What `kill -9` leaves: a small trainer is killed, resumed, and compared with one that was not."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import record_cases as cases

from agentgym.records import RunFolder, episodes, read_metrics, scan
from agentgym.records.checkpoint import verified

STEPS, EVERY = 12, 2


def train(path: Path, steps: int = STEPS) -> None:
    """A trainer whose every number depends on all that came before."""
    if (path / "run.json").exists():
        run = RunFolder.open(path, tensorboard=False)
    else:
        run = RunFolder.create(path, "steps = 12\n", seed=5, tensorboard=False)
    generator = np.random.default_rng(run.seed)
    weights, first = np.zeros(100), 0
    if run.checkpoint:
        first = run.checkpoint.step
        generator.bit_generator.state = cast("dict[str, Any]", run.checkpoint.state)
        weights = np.load(io.BytesIO(run.checkpoint.read("weights.npz")))["weights"]
    for step in range(first, steps):
        weights = 0.9 * weights + generator.normal(size=100)
        for member in range(2):
            trajectory = cases.solved(int(generator.integers(1000)), member=member)
            run.log.append(
                replace(trajectory, final_state_key=repr(weights[0])), step=step, task="t"
            )
        run.metrics(step, weight=float(weights.sum()))
        if (step + 1) % EVERY == 0:
            saved = io.BytesIO()
            np.savez(saved, weights=weights)
            state: Any = generator.bit_generator.state
            run.save_checkpoint(step + 1, {"weights.npz": saved.getvalue()}, state)
    run.close()


def in_a_new_process(path: Path) -> "subprocess.Popen[bytes]":
    """Train in a process that owes nothing to the threads and locks of this one; it has begun."""
    paths = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [sys.executable, __file__, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begins\n"
    return process


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a fork, which ends without any of this process's cleaning up."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def killed_at(point: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that kills itself at its point-th step on files; False: it got through.

    Python reports opening, making, renaming, cutting and removing of files to audit hooks, so with
    points 1, 2, 3, ... every such step of `work` is reached.
    """

    def hook(event: str, _: object) -> None:
        nonlocal point
        if event in ("open", "os.mkdir", "os.rename", "os.truncate", "os.remove", "os.rmdir"):
            point -= 1
            if point == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def hooked() -> None:
        sys.addaudithook(hook)
        work()

    _, status = os.waitpid(in_child(hooked), 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def outcome(path: Path) -> object:
    """Everything that must not depend on what happened on the way."""
    with RunFolder.open(path, tensorboard=False) as run:
        checkpoint = run.checkpoint
        assert checkpoint is not None
        assert run.messages == []
    log = [(e.step, e.task, e.trajectory) for e in episodes(path / "trajectories.log")]
    metrics = [(row["step"], row["weight"]) for row in read_metrics(path / "metrics.jsonl")]
    return checkpoint.step, checkpoint.read("weights.npz"), checkpoint.state, log, metrics


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    train(path)
    return outcome(path)


def test_C01_kill_9_at_random_time(tmp_path: Path, undisturbed: object) -> None:
    rng = random.Random(0)
    began = time.monotonic()
    train(tmp_path / "timed")
    duration = time.monotonic() - began
    kills = finished = torn = 0
    while kills < 20:
        path = tmp_path / f"run {finished}"
        window = 0.7 * duration
        while True:
            with in_a_new_process(path) as process:
                time.sleep(rng.uniform(0, window))
                process.kill()
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL
            kills += 1
            window *= 1.1  # the machine may have become slower: some child gets through
            torn += not scan(path / "trajectories.log").ok
        finished += 1
        assert outcome(path) == undisturbed
    print(f"{kills} kills, {finished} runs finished, {torn} torn tails")


@pytest.mark.parametrize("point", random.Random(1).sample(range(1, 120), 8))
def test_C01_kill_9_at_a_step_on_files(tmp_path: Path, undisturbed: object, point: int) -> None:
    assert killed_at(point, lambda: train(tmp_path / "run"))
    killed_at(point // 2, lambda: train(tmp_path / "run"))  # and once more, while resuming
    train(tmp_path / "run")
    assert outcome(tmp_path / "run") == undisturbed


def test_C02_kill_9_inside_save(tmp_path: Path) -> None:
    """Killed at every step of a save: what is published is whole, and nothing else is left."""
    path = tmp_path / "run"
    train(path, 2)
    with RunFolder.open(path, tensorboard=False) as run:
        published, point, left = 2, 0, 0
        seen = set()
        alive = True
        while alive:
            point += 1
            files: dict[str, Any] = {"weights.npz": b"x" * 1000, "policy": write_policy}
            alive = killed_at(point, lambda: run.save_checkpoint(point, files, {}))  # noqa: B023
            names = {each.name for each in (path / "checkpoints").iterdir()}
            left += any(".tmp-" in name or ".del-" in name for name in names)
            found = run.latest_checkpoint()
            assert found is not None
            assert found.step in (published, point)
            for name in names:  # also those on their way out
                assert "." in name or verified(path / "checkpoints" / name)
            seen.add(found.step == point)
            published = found.step
    assert seen == {True, False}
    assert point > 8
    assert left > 5
    with RunFolder.open(path, tensorboard=False) as run:
        assert not any("." in each.name for each in (path / "checkpoints").iterdir())
        assert run.messages == []


def write_policy(path: Path) -> None:
    path.mkdir()
    (path / "config.json").write_text("{}")


def test_C02_kill_9_while_a_run_is_created(tmp_path: Path, undisturbed: object) -> None:
    """A creation that was killed anywhere can be repeated or resumed."""
    for point in range(1, 30):
        path = tmp_path / f"run {point}"
        work = lambda: RunFolder.create(path, "steps = 12\n", seed=5, tensorboard=False)  # noqa: E731, B023
        if not killed_at(point, work):
            assert point > 5
            break
        if point % 4 == 1:
            train(path)
            assert outcome(path) == undisturbed
        else:
            train(path, 0)
    else:
        pytest.fail("the creation never got through")


if __name__ == "__main__":
    print("begins", flush=True)
    train(Path(sys.argv[1]))
