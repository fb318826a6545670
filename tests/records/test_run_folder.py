import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import record_cases as cases

from agentgym import Failure, Stop
from agentgym.errors import RecordError, RunFolderError, UnknownName
from agentgym.records import RunFolder, episodes, read_metrics, replay, summary

CONFIG = 'steps = 10\n\n[credit]\nname = "grpo"\ngamma = 0.95\n'


def create(path: Path, **options: Any) -> RunFolder:
    return RunFolder.create(path, CONFIG, seed=7, envs=["guess"], tensorboard=False, **options)


def reopen(path: Path, config: str | None = None, **options: Any) -> RunFolder:
    return RunFolder.open(path, config, envs=["guess"], tensorboard=False, **options)


def one_step(run: RunFolder, step: int) -> None:
    """What a trainer does in one step."""
    run.log.append(cases.solved(step), step=step, task=f"guess {step}")
    run.metrics(step, loss=1 / (step + 1))
    run.save_checkpoint(step + 1, {"weights.npz": b"%d" % step}, {"done": step + 1})


# Making a run ---------------------------------------------------------------------------------


def test_how_it_was_made_is_written_before_the_first_step(tmp_path: Path) -> None:
    with create(tmp_path / "runs" / "a") as run:
        facts = json.loads((run.path / "run.json").read_text())
        assert facts["seed"] == 7
        assert {"python", "agentgym", "gymnasium", "environment guess"} <= facts["versions"].keys()
        assert (run.path / "config.toml").read_text() == CONFIG
        assert run.checkpoint is None
        assert run.messages == []


@pytest.mark.parametrize("name", ["notes.txt", "run.json", "trajectories.log"])
def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunFolderError, match=rf"not empty \({name}\); resume .* --resume"):
        create(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_that_exists_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "a").close()
    with pytest.raises(RunFolderError, match="exists and is not empty"):
        create(tmp_path / "a")


def test_a_creation_that_was_killed_can_be_repeated(tmp_path: Path) -> None:
    create(tmp_path).close()
    for path in tmp_path.iterdir():  # as if killed just before run.json was renamed
        if path.name not in ("lock", "config.toml"):
            path.unlink()
    (tmp_path / "run.json.tmp-99").write_text("{")
    create(tmp_path).close()


def test_mistakes_stop_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="gues"):
        RunFolder.create(tmp_path / "a", CONFIG, 0, envs=["gues"])
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot make the run folder"):
        create(tmp_path / "file" / "run")


def test_a_folder_that_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"is not a run: it has no run\.json"):
        reopen(tmp_path)
    with pytest.raises(RunFolderError, match="is not a run"):
        summary(tmp_path)


# R17: one writer ------------------------------------------------------------------------------

HOLD = """
import sys
from agentgym.records import RunFolder
run = RunFolder.open(sys.argv[1], tensorboard=False)
print("ready", flush=True)
sys.stdin.read()
"""


def test_R17_two_runs_same_dir(tmp_path: Path) -> None:
    create(tmp_path / "a").close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for attempt in (reopen, create):
            with pytest.raises(RunFolderError, match=f"in use by process {other.pid} on "):
                attempt(tmp_path / "a")
        assert summary(tmp_path / "a").in_use
        other.kill()
    assert not summary(tmp_path / "a").in_use
    reopen(tmp_path / "a").close()  # the lock went with its holder


def test_R17_also_within_one_process(tmp_path: Path) -> None:
    with create(tmp_path / "a"), pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        reopen(tmp_path / "a")
    reopen(tmp_path / "a").close()


def test_a_refused_resumption_lets_go_of_the_folder(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(RunFolderError):
        reopen(tmp_path, "steps = 3\n")
    reopen(tmp_path).close()


# Resuming -------------------------------------------------------------------------------------


def test_C11_resuming_takes_back_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
        one_step(run, 1)
        run.log.append(cases.solved(2), step=2, task="guess 2")
        run.metrics(2, loss=9.0)
    with reopen(tmp_path) as run:
        assert run.checkpoint is not None
        assert run.checkpoint.state == {"done": 2}
        assert [e.step for e in episodes(run.log.path)] == [0, 1]
        one_step(run, 2)
    assert [e.step for e in episodes(tmp_path / "trajectories.log")] == [0, 1, 2]
    rows = list(read_metrics(tmp_path / "metrics.jsonl"))
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert list(read_metrics(str(tmp_path))) == rows
    assert len(list(episodes(str(tmp_path)))) == 3
    found = summary(tmp_path)
    assert (found.sessions, found.superseded, found.steps) == (2, 1, (2, 3))


def test_C11_without_a_checkpoint_everything_is_taken_back(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        run.log.append(cases.solved(0), step=0, task="t")
        run.metrics(0, loss=1.0)
    with reopen(tmp_path) as run:
        assert run.checkpoint is None
    assert list(episodes(tmp_path / "trajectories.log")) == []
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == []


def test_C09_a_torn_log_is_reported_on_resumption(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
    with (tmp_path / "trajectories.log").open("ab") as file:
        file.write(b"0000 torn")
    with caplog.at_level(logging.WARNING), reopen(tmp_path) as run:
        (message,) = [m for m in run.messages if "torn" in m]
    assert "cut 9 bytes of a torn record" in message
    assert message in caplog.text


def test_C03_a_damaged_checkpoint_is_named_and_the_log_goes_back_with_it(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        for step in range(3):
            one_step(run, step)
    (tmp_path / "checkpoints" / "step_3" / "weights.npz").write_bytes(b"?")
    with reopen(tmp_path) as run:
        assert run.checkpoint is not None
        assert run.checkpoint.step == 2
        (message,) = [m for m in run.messages if "damaged" in m]
        assert "weights.npz" in message
        assert "using step 2" in message
        assert [e.step for e in episodes(run.log.path)] == [0, 1]
        one_step(run, 2)
        assert run.messages[-1] == message
    with reopen(tmp_path) as run:
        assert run.checkpoint is not None
        assert run.checkpoint.step == 3


def test_C03_no_usable_checkpoint_stops_and_lets_go(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
    (tmp_path / "checkpoints" / "step_1" / "MANIFEST.json").unlink()
    for _ in range(2):
        with pytest.raises(RecordError, match="no checkpoint can be used"):
            reopen(tmp_path)


def test_C10_a_log_shorter_than_the_checkpoint_says_is_reported(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
    log = tmp_path / "trajectories.log"
    log.write_bytes(log.read_bytes()[:-10])
    with reopen(tmp_path) as run:
        assert any("are lost from the log" in message for message in run.messages)


# C04: changed since ---------------------------------------------------------------------------


def test_C04_resume_with_changed_config_shows_the_difference(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
    changed = CONFIG.replace("0.95", "0.5")
    with pytest.raises(RunFolderError) as caught:
        reopen(tmp_path, changed)
    for words in ("--force", "-gamma = 0.95", "+gamma = 0.5"):
        assert words in str(caught.value)
    assert (tmp_path / "config.toml").read_text() == CONFIG
    with reopen(tmp_path, changed, force=True) as run:
        assert run.config_toml == changed
    assert (tmp_path / "config.toml").read_text() == changed
    reopen(tmp_path, changed).close()


def test_C04_layout_is_no_change_and_some_keys_may(tmp_path: Path) -> None:
    create(tmp_path).close()
    reopen(tmp_path, "# the same\n" + CONFIG.replace("0.95", "0.950")).close()
    longer = CONFIG.replace("10", "20")
    with pytest.raises(RunFolderError):
        reopen(tmp_path, longer, may_change=["credit.gamma", "other.key"])
    reopen(tmp_path, longer, may_change=["steps"]).close()
    assert (tmp_path / "config.toml").read_text() == longer


def test_C04_a_changed_version_is_refused(tmp_path: Path) -> None:
    create(tmp_path).close()
    facts = json.loads((tmp_path / "run.json").read_text())
    facts["versions"]["environment guess"] = 99
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(RunFolderError, match="version of environment guess: 99 -> 0"):
        reopen(tmp_path)
    reopen(tmp_path, force=True).close()


# Metrics --------------------------------------------------------------------------------------


def test_numbers_that_are_not_finite_become_null_with_a_note(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        run.metrics(1, loss=float("nan"), bound=float("-inf"), fine=0.1 + 0.2)
    (row,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (row["loss"], row["bound"], row["fine"]) == (None, None, 0.1 + 0.2)
    assert row["notes"] == {"loss": "nan", "bound": "-inf"}
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_metrics_cannot_take_the_names_of_the_row(tmp_path: Path) -> None:
    with create(tmp_path) as run, pytest.raises(ValueError, match="called notes or step"):
        run.metrics(1, step=2, notes=3)


@pytest.mark.parametrize("tail", [b'{"step": 9, "lo', b"\0\0\0", b"{}\n\n\xff\n"])
def test_a_torn_end_of_the_metrics_is_cut(tmp_path: Path, tail: bytes) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
    path = tmp_path / "metrics.jsonl"
    with path.open("ab") as file:
        file.write(tail)
    assert [row.get("step") for row in read_metrics(path)][:1] == [0]
    with reopen(tmp_path) as run:
        run.metrics(1, loss=0.5)
    assert [row["step"] for row in read_metrics(path)] == [0, 1]


def test_tensorboard_has_the_same_numbers_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    code = (
        "import sys; from agentgym.records import RunFolder\n"
        "with RunFolder.create(sys.argv[1], '', 0) as run:\n"
        "    run.metrics(3, **{'eval/success': 0.25, 'bad': float('nan')})\n"
        "assert not {'torch', 'tensorflow', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    values = {
        (event.step, value.tag): value.tensor.float_val[0]
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    }
    assert values == {(3, "eval/success"): 0.25}


# R11: no room ---------------------------------------------------------------------------------

FULL = """
import resource, sys
from agentgym.errors import RecordError
from agentgym.records import RunFolder
from record_cases import solved
run = RunFolder.open(sys.argv[1], tensorboard=False)
what, limit = sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    for step in range(1, 1000):
        if what == "log":
            run.log.append(solved(step), step=step, task="t")
        elif what == "metrics":
            run.metrics(step, loss=1.0)
        else:
            run.save_checkpoint(step + 1, {"weights.npz": b"x" * limit * 2}, None)
except RecordError as error:
    print(error)
    run.close()
"""


@pytest.mark.parametrize(
    ("what", "file"),
    [("log", "trajectories.log"), ("metrics", "metrics.jsonl"), ("checkpoint", "checkpoints")],
)
def test_R11_a_write_that_fails_stops_cleanly(tmp_path: Path, what: str, file: str) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), what, "20000"],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    assert str(tmp_path / file) in done.stdout
    assert "File too large" in done.stdout
    found = summary(tmp_path)
    assert found.damaged == ()
    assert found.steps == (1,)
    with reopen(tmp_path) as run:
        assert run.checkpoint is not None
        assert run.checkpoint.step == 1
        assert not any("torn" in message for message in run.messages)


def write_without_end(run: RunFolder, what: str) -> None:
    for step in range(1, 100_000):
        if what == "log":
            run.log.append(cases.solved(step), step=step, task="t")
        elif what == "metrics":
            run.metrics(step, **{f"metric {i}": 0.5 for i in range(50)})
        else:
            run.save_checkpoint(step + 1, {"weights.npz": b"x" * 300_000}, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("what", ["log", "metrics", "checkpoint"])
def test_R11_ENOSPC_stops_cleanly(tmp_path: Path, what: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)])
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        run = create(disk / "run")
        one_step(run, 0)
        with pytest.raises(RecordError, match=rf"{disk}.*No space left on device"):
            write_without_end(run, what)
        run.close()
        found = summary(disk / "run")
        assert found.damaged == ()
        assert found.steps == (1,)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_record_that_is_just_being_written_is_no_damage(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        one_step(run, 0)
        with (tmp_path / "trajectories.log").open("ab") as file:
            file.write(b"01234567 {")
        assert summary(tmp_path).damaged == ()
        assert replay(tmp_path).ok
    assert len(summary(tmp_path).damaged) == 1
    assert not replay(tmp_path).ok


# The summary ----------------------------------------------------------------------------------


def test_the_summary_counts_what_is_in_a_run(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        won, lost = cases.solved(1), cases.played(1, ["x"] * 6)
        failed = replace(lost, stop=Stop.ERROR, failure=Failure("env", "KeyError", "lost"))
        for trajectory in (won, lost, failed):
            run.log.append(trajectory, step=4, task="t")
        run.log.append(won, step=5, task="t", phase="eval")
        run.metrics(4, loss=2.0, reward=1.0)
        run.metrics(5, loss=1.0)
    found = summary(tmp_path)
    train, evaluation = found.phases["train"], found.phases["eval"]
    assert (train.episodes, train.successes, train.judged) == (3, 1, 1)
    assert train.failures == {"env": 1}
    assert train.stops == {"done": 1, "max_turns": 1, "error": 1}
    assert train.mean_turns == (len(won.turns) + 6) / 2
    assert train.mean_return == won.episode_return / 2
    assert train.sampled_tokens == 2 * (len(won.turns) + 12)
    assert (evaluation.episodes, evaluation.last_step) == (1, 5)
    assert evaluation.environments == {"guess": 1}
    assert found.last_metrics == {"loss": 1.0, "reward": 1.0}
    assert found.metric_steps == {"loss": 5, "reward": 4}
    assert found.facts["seed"] == 7
