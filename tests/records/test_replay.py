import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import record_cases as cases

from agentgym import Failure, Observation, Stop, Trajectory, make
from agentgym.agents import Agent, GoldAgent, RandomAgent
from agentgym.errors import RunFolderError
from agentgym.records import Report, RunFolder, TrajectoryLog, replay
from agentgym.rollout import Limits, Task, collect

LOST = cases.played(3, ["1", "x", "20", "2", "3", "4"], max_turns=6)
CUT = cases.played(4, ["1", "2"])
GOOD = [cases.solved(1), cases.solved(2, member=1), LOST, CUT, cases.played(5, [])]


def record(path: Path, trajectories: Iterable[Trajectory]) -> Path:
    log = TrajectoryLog(path / "trajectories.log")
    for step, trajectory in enumerate(trajectories):
        log.append(trajectory, step=step, task=f"guess {trajectory.seed}")
    log.close()
    return path


def test_episodes_that_were_recorded_are_confirmed(tmp_path: Path) -> None:
    reports: list[int] = []
    report = replay(
        record(tmp_path, GOOD), on_progress=lambda report: reports.append(report.episodes)
    )
    assert report.ok
    assert (report.episodes, report.checked) == (5, 5)
    assert report.steps == sum(len(trajectory.turns) for trajectory in GOOD)
    assert reports == [1, 2, 3, 4, 5]


def test_only_so_many_as_asked_and_none_without_verify(tmp_path: Path) -> None:
    record(tmp_path, GOOD)
    assert replay(tmp_path, limit=2).checked == 2
    read = replay(tmp_path, verify=False)
    assert (read.episodes, read.checked, read.steps) == (5, 0, 0)
    assert replay(tmp_path / "trajectories.log").checked == 5


def test_superseded_episodes_are_left_out(tmp_path: Path) -> None:
    record(tmp_path, GOOD)
    log = TrajectoryLog(tmp_path / "trajectories.log")
    log.rewind(0)
    log.append(GOOD[0], step=0, task="t")
    log.close()
    assert replay(tmp_path).episodes == 1


def with_turn(trajectory: Trajectory, number: int, **changes: Any) -> Trajectory:
    turns = list(trajectory.turns)
    turns[number] = replace(turns[number], **changes)
    return replace(trajectory, turns=tuple(turns))


@pytest.mark.parametrize(
    ("altered", "turn", "field"),
    [
        (with_turn(LOST, 2, observation=Observation("It is higher.")), 2, "observation"),
        (with_turn(LOST, 0, observation=Observation("Hello")), 0, "observation"),
        (with_turn(LOST, 3, state_key="7 in 1..20"), 3, "state_key"),
        (with_turn(LOST, 1, reward=0.5), 1, "reward"),
        (with_turn(LOST, 1, action_valid=True), 1, "action_valid"),
        (with_turn(LOST, 1, reward_parts={"shape": 0.0}), 1, "reward_parts"),
        (with_turn(LOST, 4, action="20"), 5, "observation"),
        (replace(LOST, final_observation=Observation("Correct!")), 6, "final_observation"),
        (replace(LOST, final_state_key=None), 6, "final_state_key"),
        (replace(LOST, success=True), 6, "success"),
        (replace(LOST, stop=Stop.DONE), 6, "stop"),
        (replace(LOST, stop=Stop.CONTEXT), 6, "stop"),
        (replace(CUT, stop=Stop.DONE), 2, "stop"),
        (replace(GOOD[0], stop=Stop.MAX_TURNS), len(GOOD[0].turns), "stop"),
        (replace(LOST, seed=9), 0, "state_key"),
        (replace(GOOD[0], turns=GOOD[0].turns + LOST.turns[:1]), len(GOOD[0].turns), "stop"),
        (with_turn(CUT, 1, observation=Observation(CUT.turns[1].observation.text, (
            *Observation("x").as_messages(),))), 1, "observation.messages"),
    ],
)  # fmt: skip
def test_an_altered_record_with_a_right_checksum_is_found(
    tmp_path: Path, altered: Trajectory, turn: int, field: str
) -> None:
    report = replay(record(tmp_path, [GOOD[1], altered, GOOD[3]]))
    (found,) = report.mismatches
    assert (found.turn, found.field) == (turn, field)
    assert f"train step 1 task guess {altered.seed} member {altered.member}" in found.episode
    assert found.recorded != found.replayed
    assert f"turn {turn}: {field} was recorded as {found.recorded!r}" in str(found)
    assert (report.episodes, report.checked) == (3, 2)
    assert not report.ok


def test_a_tampered_line_is_found_by_its_checksum_then_by_playing(tmp_path: Path) -> None:
    path = record(tmp_path, GOOD) / "trajectories.log"
    lines = path.read_bytes().splitlines(keepends=True)
    payload = lines[0][9:-1].replace(b'"reward":1.0', b'"reward":2.0')
    assert payload != lines[0][9:-1]
    lines[0] = lines[0][:9] + payload + b"\n"
    path.write_bytes(b"".join(lines))
    report = replay(tmp_path)
    assert [damage.offset for damage in report.damaged] == [0]
    assert (report.checked, report.mismatches, report.ok) == (4, [], False)

    lines[0] = b"%08x %s\n" % (zlib.crc32(payload), payload)
    path.write_bytes(b"".join(lines))
    report = replay(tmp_path)
    assert report.damaged == []
    assert [found.field for found in report.mismatches] == ["reward"]
    assert (report.mismatches[0].recorded, report.mismatches[0].replayed) == (2.0, 1.0)


def test_what_cannot_be_replayed_is_skipped_with_the_reason(tmp_path: Path) -> None:
    failed = replace(LOST, stop=Stop.ERROR, failure=Failure("backend", "OSError", "gone"))
    report = replay(
        record(
            tmp_path,
            [
                failed,
                replace(LOST, stop=Stop.TIMEOUT),
                replace(LOST, env_version=7),
                replace(LOST, env="gues"),
                replace(LOST, env_options={"maxturns": 6}),
                LOST,
            ],
        )
    )
    assert report.ok
    assert report.checked == 1
    assert sum(report.skipped.values()) == 5
    for words in ("it failed", "version 0, not 7", "did you mean 'guess'", "'max_turns'"):
        assert any(words in reason for reason in report.skipped), words


CHANCE = '''
import random
from agentgym import Outcome, TextEnv
__all__ = ["Chance"]

class Chance(TextEnv):
    """Says anything."""
    determinism = "{determinism}"
    def begin(self, options):
        return str(random.random()) if {chance} else "begin"
    def act(self, action):
        if action == "raise":
            raise KeyError("broken")
        return Outcome("end", terminated=True)
'''


@pytest.fixture
def chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> Iterator[str]:
    determinism, chance = request.param
    name = f"chance_{determinism}_{chance}"
    (tmp_path / f"{name}.py").write_text(CHANCE.format(determinism=determinism, chance=chance))
    monkeypatch.syspath_prepend(tmp_path)
    yield f"{name}:Chance"
    sys.modules.pop(name)


@pytest.mark.parametrize("chance", [("exact", False)], indirect=True)
def test_an_environment_that_cannot_be_made_any_more_is_a_reason(
    tmp_path: Path, chance: str
) -> None:
    episode = any_episode(chance)
    vars(sys.modules[chance.partition(":")[0]])["Chance"].__init__ = lambda self: 1 / 0
    report = replay(record(tmp_path, [episode]))
    assert list(report.skipped) == ["ZeroDivisionError: division by zero"]


def any_episode(name: str) -> Trajectory:
    env = make(name)
    text, _ = env.reset(seed=0)
    turn = replace(CUT.turns[0], observation=Observation(text), action="go", state_key=None)
    episode: Trajectory = replace(CUT, env=name, env_options={}, turns=(turn,), stop=Stop.DONE)
    return episode


@pytest.mark.parametrize("chance", [("none", True)], indirect=True)
def test_environments_that_do_not_claim_it_are_not_replayed(tmp_path: Path, chance: str) -> None:
    report = replay(record(tmp_path, [any_episode(chance)]))
    assert report.ok
    assert list(report.skipped) == [f"{chance} is not deterministic (none)"]


@pytest.mark.parametrize("chance", [("exact", True)], indirect=True)
def test_an_environment_that_claims_it_wrongly_is_found(tmp_path: Path, chance: str) -> None:
    report = replay(record(tmp_path, [any_episode(chance)]))
    assert [(found.turn, found.field) for found in report.mismatches] == [(0, "observation")]


@pytest.mark.parametrize("chance", [("exact", False)], indirect=True)
def test_an_environment_that_raises_is_a_mismatch(tmp_path: Path, chance: str) -> None:
    report = replay(record(tmp_path, [with_turn(any_episode(chance), 0, action="raise")]))
    (found,) = report.mismatches
    assert (found.turn, found.field, found.replayed) == (0, "exception", "KeyError: 'broken'")


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"there is no trajectories\.log"):
        replay(tmp_path)


def test_a_run_can_be_replayed_while_it_is_written(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "", 0, tensorboard=False) as run:
        run.log.append(GOOD[0], step=0, task="t")
        report: Report = replay(run.path)
    assert (report.ok, report.checked) == (True, 1)


@pytest.mark.parametrize("agent", [RandomAgent(), GoldAgent()])
@pytest.mark.parametrize(
    ("env", "options"), [("guess", {}), ("household", {"preset": "tiny"}), ("household", {})]
)
def test_what_a_rollout_records_is_confirmed(
    tmp_path: Path, env: str, options: dict[str, Any], agent: Agent
) -> None:
    with RunFolder.create(tmp_path / "run", "", 0, envs=[env], tensorboard=False) as run:
        tasks = [Task(env, options, seed) for seed in range(4)]
        for group in collect(tasks, 2, agent, None, seed=1, limits=Limits(max_turns=12)):
            run.log.append_group(group, step=0)
    report = replay(run.path)
    assert (report.ok, report.checked, report.skipped) == (True, 8, {})
    assert report.steps >= 8
