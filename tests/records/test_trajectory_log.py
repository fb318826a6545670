import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import record_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym import Group, Trajectory
from agentgym.errors import RecordError
from agentgym.records import Damage, TrajectoryLog, episodes, records, scan

ONE = cases.solved(1)


def write(path: Path, count: int) -> list[int]:
    """Append `count` episodes, of steps 0, 1, ...; returns their offsets."""
    log = TrajectoryLog(path)
    offsets = [log.append(replace(ONE, seed=i), step=i, task=f"t{i}") for i in range(count)]
    log.close()
    return offsets


def steps(path: Path) -> list[int]:
    return [episode.step for episode in episodes(path)]


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = TrajectoryLog(path)
    group = Group("guess 1", (ONE, cases.solved(1, member=1)))
    first = log.append_group(group, step=7)
    second = log.append(ONE, step=8, task="guess 1", phase="eval")
    log.append_record("note", {"text": "é"})
    log.close()
    read = list(episodes(path))
    assert [(e.step, e.phase, e.task) for e in read] == [
        (7, "train", "guess 1"),
        (7, "train", "guess 1"),
        (8, "eval", "guess 1"),
    ]
    assert Group("guess 1", tuple(e.trajectory for e in read[:2])) == group
    assert [read[0].offset, read[2].offset] == [first, second]
    note = list(records(path))[-1]
    assert (note.type, note.data) == ("note", {"text": "é"})


@given(written=st.lists(cases.trajectories, max_size=4))
@settings(max_examples=25)
def test_any_trajectories_can_be_logged(
    tmp_path_factory: pytest.TempPathFactory, written: list[Trajectory]
) -> None:
    path = tmp_path_factory.mktemp("any") / "log"
    log = TrajectoryLog(path)
    log.append_group(Group("t", tuple(written)), step=0)
    log.close()
    assert [episode.trajectory for episode in episodes(path)] == written
    assert scan(path).ok


def test_an_absent_log_is_empty(tmp_path: Path) -> None:
    assert list(records(tmp_path / "none")) == []
    assert scan(tmp_path / "none").ok


def test_a_record_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    log = TrajectoryLog(tmp_path / "log")
    log.append(ONE, step=0, task="t")
    broken = replace(ONE, turns=(replace(ONE.turns[0], reward=float("nan")),))
    with pytest.raises(RecordError, match=r"guess seed 1 member 0 .*turns\[0\]\.reward is nan"):
        log.append_group(Group("t", (ONE, broken)), step=1)
    log.append(ONE, step=2, task="t")
    log.close()
    assert steps(tmp_path / "log") == [0, 2]
    with pytest.raises(RecordError, match="closed"):
        log.append(ONE, step=3, task="t")
    log.close()


def test_threads_may_append_at_once(tmp_path: Path) -> None:
    log = TrajectoryLog(tmp_path / "log")

    def work(step: int) -> None:
        for _ in range(20):
            log.append(ONE, step=step, task="t")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert scan(tmp_path / "log").ok
    assert sorted(steps(tmp_path / "log")) == sorted([*range(4)] * 20)
    assert log.offset == os.path.getsize(tmp_path / "log")


# C09: a torn tail -----------------------------------------------------------------------------


def test_C09_torn_log_tail_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "log"
    offsets = write(path, 3)
    whole = path.read_bytes()
    for end in [*range(offsets[2], len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:end])
        assert scan(path).torn == end - offsets[2]
        log = TrajectoryLog(path)
        assert log.torn == end - offsets[2]
        assert log.append(ONE, step=9, task="t") == offsets[2]
        log.close()
        assert steps(path) == [0, 1, 9]
        assert scan(path).ok


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"garbage\n\n", b"00000000 {}\n", b"\n"])
def test_C09_a_tail_of_anything_else_is_cut_too(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "log"
    write(path, 2)
    with path.open("ab") as file:
        file.write(tail)
    log = TrajectoryLog(path)
    assert log.torn == len(tail)
    log.close()
    assert steps(path) == [0, 1]
    assert scan(path).ok


def test_C09_readers_leave_a_torn_tail_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    offsets = write(path, 2)
    data = path.read_bytes()[:-1]
    path.write_bytes(data)
    found: list[Damage] = []
    assert [e.step for e in episodes(path, on_damage=found.append)] == [0]
    assert [damage.offset for damage in found] == [offsets[1]]
    assert "torn" in found[0].reason
    assert path.read_bytes() == data


# C10: a corrupt line in the middle ------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=100)
def test_C10_log_line_corrupt_mid_file_loses_that_record_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "corrupt"
    path.unlink(missing_ok=True)
    offsets = write(path, 3)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(offsets[1], offsets[2] - 1), label="byte")
    content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path.write_bytes(content)
    found: list[Damage] = []
    assert [e.step for e in episodes(path, on_damage=found.append)] == [0, 2]
    assert [damage.offset for damage in found] in ([offsets[1]], [offsets[1], at + 1])
    assert sum(damage.length for damage in found) == offsets[2] - offsets[1]
    assert not scan(path).ok


def test_C10_the_damage_is_reported_with_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "log"
    offsets = write(path, 3)
    content = path.read_bytes().replace(b'"step":1', b'"step":7')
    path.write_bytes(content)
    damage = scan(path).corrupt[0]
    assert (damage.offset, damage.length) == (offsets[1], offsets[2] - offsets[1])
    assert "the checksum is" in damage.reason
    with pytest.raises(RecordError, match=rf"offset {offsets[1]}: .* the checksum is"):
        list(episodes(path))
    log = TrajectoryLog(path)  # a writer leaves it where it is, and appends after it
    assert log.torn == 0
    assert log.corrupt == (damage,)
    log.append(ONE, step=3, task="t")
    log.close()
    assert [e.step for e in episodes(path, on_damage=lambda _: None)] == [0, 2, 3]


def test_C10_a_good_line_that_is_no_episode_is_named(tmp_path: Path) -> None:
    log = TrajectoryLog(tmp_path / "log")
    log.append_record("trajectory", {"step": 0, "phase": "train", "task": "t", "trajectory": {}})
    log.close()
    with pytest.raises(RecordError, match="offset 0: Trajectory lacks"):
        list(episodes(tmp_path / "log"))


def test_a_log_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    log = TrajectoryLog(tmp_path / "log")
    log.append_record("note", {"schema": 99})
    log.close()
    with pytest.raises(RecordError, match="newer agentgym"):
        list(records(tmp_path / "log"))


# C11: rewinding -------------------------------------------------------------------------------


def test_C11_resume_rewinds_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    offsets = write(path, 4)
    size = path.stat().st_size
    log = TrajectoryLog(path)
    log.rewind(offsets[2])
    log.append(ONE, step=2, task="again")
    log.close()
    assert [(e.step, e.task) for e in episodes(path)] == [(0, "t0"), (1, "t1"), (2, "again")]
    everything = list(records(path, superseded=True))
    assert [r.superseded for r in everything if r.type == "trajectory"] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert path.read_bytes()[:size] == path.read_bytes()[: everything[4].offset]  # none rewritten


def test_C11_rewinding_to_the_end_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 2)
    before = path.read_bytes()
    log = TrajectoryLog(path)
    log.rewind(log.offset)
    with pytest.raises(RecordError, match="cannot rewind"):
        log.rewind(log.offset + 1)
    log.close()
    assert path.read_bytes() == before


@given(plan=st.lists(st.integers(0, 20), max_size=12))
@settings(max_examples=60)
def test_C11_any_sequence_of_rewinds_leaves_what_a_stack_would(
    tmp_path_factory: pytest.TempPathFactory, plan: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "rewinds"
    path.unlink(missing_ok=True)
    log = TrajectoryLog(path)
    expected: list[tuple[int, int]] = []  # offset, number
    for number, back_to in enumerate(plan):
        if back_to < len(expected):  # resume from the checkpoint made before that record
            log.rewind(expected[back_to][0])
            del expected[back_to:]
        expected.append((log.append(ONE, step=number, task="t"), number))
    log.close()
    assert steps(path) == [number for _, number in expected]
