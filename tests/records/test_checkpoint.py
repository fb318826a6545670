import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import RecordError
from agentgym.records import Checkpoints


def save(folder: Path, step: int, *, keep: int = 2) -> Path:
    return Checkpoints(folder, keep=keep).save(
        step,
        {"weights.npz": b"weights of %d" % step, "policy": write_policy},
        {"step": step, "cursor": [1, 2]},
        log_offset=10 * step,
        metrics_offset=5 * step,
    )


def write_policy(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "deep" / "model.safetensors").write_bytes(bytes(range(256)))


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    path = save(tmp_path, 3)
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    assert (found.step, found.path, found.state) == (3, path, {"step": 3, "cursor": [1, 2]})
    assert (found.log_offset, found.metrics_offset) == (30, 15)
    assert found.read("weights.npz") == b"weights of 3"
    assert found.read("policy/deep/model.safetensors") == bytes(range(256))


def test_none_was_made_yet(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "checkpoints").latest() is None


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 11):
        save(tmp_path, step, keep=3)
    assert Checkpoints(tmp_path).steps() == [2, 10, 11]
    save(tmp_path, 12, keep=1)
    assert Checkpoints(tmp_path).steps() == [12]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_12"]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for name in ("step_2.tmp-99", "step_0.del-98"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text("{}")
    Checkpoints(tmp_path).clean()
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def test_a_step_can_be_saved_again_after_a_resumption(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "weights.npz").write_bytes(b"")
    save(tmp_path, 1)
    assert Checkpoints(tmp_path).latest() is not None


# C03: damage ----------------------------------------------------------------------------------

FILES = ["weights.npz", "state.json", "policy/deep/model.safetensors", "MANIFEST.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["truncate", "flip", "delete", "extend", "empty"])
def test_C03_a_damaged_checkpoint_falls_back_and_says_so(
    tmp_path: Path, name: str, harm: str
) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2) / name
    data = path.read_bytes()
    match harm:
        case "truncate":
            path.write_bytes(data[:-1])
        case "flip":
            path.write_bytes(data[:5] + bytes([data[5] ^ 4]) + data[6:])
        case "delete":
            path.unlink()
        case "extend":
            path.write_bytes(data + b"\0")
        case "empty":
            path.write_bytes(b"")
    checkpoints = Checkpoints(tmp_path)
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 1
    (reason,) = checkpoints.passed_over
    assert "step_2" in reason
    assert name in reason


@given(data=st.data())
@settings(max_examples=50)
def test_C03_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = save(folder, 1)
    file = path / data.draw(st.sampled_from(FILES))
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    if file.name == "MANIFEST.json" and json_equal(bytes(content)):
        return  # only the white space differs
    with pytest.raises(RecordError, match="no checkpoint can be used"):
        Checkpoints(folder).latest()


def json_equal(content: bytes) -> bool:
    try:
        sealed = json.loads(content)
    except ValueError:
        return False
    return isinstance(sealed, dict) and sealed.keys() == {"sha256", "manifest"}


def test_C03_if_none_verifies_the_run_does_not_start_over(tmp_path: Path) -> None:
    for step in (1, 2):
        (save(tmp_path, step) / "weights.npz").unlink()
    with pytest.raises(RecordError, match=r"no checkpoint can be used: .*step_2.*step_1"):
        Checkpoints(tmp_path).latest()


def test_C03_a_folder_that_was_renamed_is_not_taken(tmp_path: Path) -> None:
    save(tmp_path, 1).rename(tmp_path / "step_9")
    with pytest.raises(RecordError, match="step_9: the manifest is of step 1"):
        Checkpoints(tmp_path).latest()


# C05: nothing that can hold code --------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["model.pt", "model.pkl", "pytorch_model.bin", "state", "policy/x.pickle", "../x.json",
     "/x.json", "a//b.json", ".hidden.json", "", "a/", "x.json.pkl"],
)  # fmt: skip
def test_C05_other_kinds_of_files_are_not_written(tmp_path: Path, name: str) -> None:
    save(tmp_path / "checkpoints", 1)
    with pytest.raises(RecordError, match="the one of step 1 is whole"):
        Checkpoints(tmp_path / "checkpoints").save(2, {name: b"x"}, None)
    assert Checkpoints(tmp_path / "checkpoints").steps() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_C05_pickle_payload_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    path = save(tmp_path / "checkpoints", 1)
    (path / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(RecordError, match=r"pytorch_model\.bin does not belong to it"):
        checkpoints.latest()
    (path / "pytorch_model.bin").unlink()
    (path / "state.json").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(RecordError, match=r"state\.json"):
        checkpoints.latest()
    assert not (tmp_path / "ran").exists()


def test_C05_a_link_out_of_the_checkpoint_is_not_followed(tmp_path: Path) -> None:
    path = save(tmp_path / "checkpoints", 1)
    (tmp_path / "outside.npz").write_bytes((path / "weights.npz").read_bytes())
    (path / "weights.npz").unlink()
    (path / "weights.npz").symlink_to(tmp_path / "outside.npz")
    with pytest.raises(RecordError, match=r"weights\.npz"):
        Checkpoints(tmp_path / "checkpoints").latest()


# C02: the writer fails on the way -------------------------------------------------------------


def test_C02_a_writer_that_raises_leaves_the_earlier_checkpoint(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    save(tmp_path, 1)
    with pytest.raises(RecordError, match=r"step 2 .*No space left on device; the one of step 1"):
        Checkpoints(tmp_path).save(2, {"a.npz": b"x", "weights.npz": fail}, None)
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def test_a_state_that_is_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"state\.loss is nan; .*there is none before it"):
        Checkpoints(tmp_path).save(1, {}, {"loss": float("nan")})


def test_keeping_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Checkpoints(tmp_path, keep=0)
