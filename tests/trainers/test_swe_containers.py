"""Training in containers: multi-turn, under an engine that dies, and with a trainer that is killed.

A tiny policy imitates the repair of one small repository, so that it acts in its containers.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

from engines import IMAGE, Engine, needs_own_engine, own_engine
from swe_cases import shelf_rows
from training_runs import same

from agentgym.records import episodes, read_metrics

pytestmark = needs_own_engine

OVERRIDES = (
    "model.texts=4",
    "warmstart.demonstrations=8",
    "warmstart.noise=0",
    "warmstart.epochs=20",
    "warmstart.batch_size=4",
    "rollout.tasks=2",
    "rollout.group_size=3",
    "rollout.max_tokens_per_call=64",
    "rollout.retry_pause_s=4",
    "eval.episodes=4",
    "eval.final_episodes=4",
    "train.iterations=4",
    "train.checkpoint_every=1",
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with own_engine() as started:
        yield started


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelf_rows(tmp_path_factory.mktemp("rows"))


class Training:
    """`agentgym train swe-gated` in a process of its own, in the containers of an engine."""

    def __init__(self, engine: Engine, out: Path, *words: str) -> None:
        self.out = out
        program = str(Path(sys.executable).parent / "agentgym")
        environment = {**os.environ, "DOCKER_HOST": engine.host, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [program, "train", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> str:
        """Let it end well; return what it said."""
        said, _ = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, said
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def has(self, name: str) -> bool:
        """Whether a checkpoint is published."""
        return (self.out / "checkpoints" / name).is_dir()


def new(engine: Engine, rows: Path, out: Path, *words: str) -> Training:
    options = ("tasks", rows), ("sandbox", "docker"), ("image", IMAGE), ("max_turns", 6)
    of_env = (f"env.options.{name}={value}" for name, value in options)
    return Training(engine, out, "swe-gated", *of_env, *OVERRIDES, *words, "--out", str(out))


def until(holds: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(engine: Engine, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert "all iterations are done" in new(engine, rows, out).wait()
    assert engine.containers() == []
    return out


def test_it_trains_over_several_turns_in_containers(undisturbed: Path) -> None:
    tried = [e.trajectory for e in episodes(undisturbed / "trajectories.log") if e.phase == "train"]
    assert len(tried) == 4 * 6
    assert all(each.valid for each in tried)
    assert any(each.success and len(each.turns) > 1 for each in tried)


def test_R05_the_engine_is_killed_and_started_again(
    engine: Engine, rows: Path, tmp_path: Path
) -> None:
    training = new(engine, rows, tmp_path / "run", "rollout.driver=threaded")
    until(lambda: training.has("step_1") and engine.containers())
    engine.kill(signal.SIGKILL)
    time.sleep(2)
    engine.script("start")
    said = training.wait()
    assert "trying again in" in said
    assert "all iterations are done" in said
    logged = [*episodes(tmp_path / "run" / "trajectories.log")]
    failed = [e.trajectory.failure for e in logged if e.phase == "retried"]
    assert failed
    assert {each.boundary for each in failed if each is not None} == {"sandbox"}
    tried = [e.trajectory for e in logged if e.phase == "train"]
    assert len(tried) == 4 * 6
    assert all(each.valid for each in tried)  # nothing of the platform became a reward
    assert sum(row.get("train/retried", 0) for row in read_metrics(tmp_path / "run")) == len(failed)
    until(lambda: engine.containers() == [], 10)


def test_R04_the_trainer_is_killed_and_goes_on(
    engine: Engine, rows: Path, undisturbed: Path, tmp_path: Path
) -> None:
    training = new(engine, rows, tmp_path / "run")
    until(lambda: training.has("step_2") and engine.containers())
    training.kill()
    until(lambda: engine.containers() == [], 10)
    said = Training(engine, tmp_path / "run", "--resume", str(tmp_path / "run")).wait()
    assert "resumed after iteration" in said
    assert "all iterations are done" in said
    assert same(undisturbed, tmp_path / "run")
    assert engine.containers() == []
