import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import record_cases as cases
from hypothesis import example, given, settings

from agentgym import Group, Observation, Trajectory
from agentgym.errors import RecordError
from agentgym.records import codec

ONE = cases.solved(3)


@given(cases.trajectories)
@settings(max_examples=50)
def test_a_trajectory_survives_the_round_trip(trajectory: Trajectory) -> None:
    line = codec.to_bytes(codec.encode(trajectory))
    again = codec.decode(Trajectory, codec.from_bytes(line))
    assert again == trajectory
    assert b"\n" not in line
    assert (
        codec.to_bytes(codec.encode(again)) == line
    )  # 0.0 and -0.0, 1 and 1.0 are equal but not the same


@given(cases.groups)
@settings(max_examples=30)
def test_a_group_survives_the_round_trip(group: Group) -> None:
    line = codec.to_bytes(codec.encode(group))
    assert codec.decode(Group, codec.from_bytes(line)) == group


def test_notes_are_tuples_again_and_absent_where_there_are_none() -> None:
    noted = replace(ONE, notes={"value": (0.1 + 0.2, -0.0), "gold_logprob": ()})
    again = codec.decode(Trajectory, codec.from_bytes(codec.to_bytes(codec.encode(noted))))
    assert again.notes == {"value": (0.1 + 0.2, -0.0), "gold_logprob": ()}
    assert all(type(values) is tuple for values in again.notes.values())
    assert "notes" not in codec.encode(ONE)
    with pytest.raises(RecordError, match="only finite numbers"):
        codec.to_bytes(codec.encode(replace(ONE, notes={"value": (math.nan,)})))
    with pytest.raises(RecordError, match="notes: must be a list of float"):
        codec.decode(Trajectory, codec.encode(ONE) | {"notes": {"value": ["high"]}})


@given(cases.numbers)
@example(-0.0)
@example(5e-324)
@example(0.1 + 0.2)
def test_floats_keep_their_bits(value: float) -> None:
    turn = replace(ONE.turns[0], reward=value)
    line = codec.to_bytes(codec.encode(replace(ONE, turns=(turn,))))
    again = codec.decode(Trajectory, codec.from_bytes(line))
    assert cases.same_bits(again.turns[0].reward, value)


@pytest.mark.parametrize(
    "text", ["\ud800", "\udc80x", "\ud800\udc00", "\ud800\ud800\udc00", "😀\ud83d"]
)
def test_surrogates_survive(text: str) -> None:
    line = codec.to_bytes({"text": text})
    assert codec.from_bytes(line) == {"text": text}


def test_only_lone_surrogates_are_escaped() -> None:
    assert codec.to_bytes({"text": "é語😀\udc80"}) == '{"text":"é語😀\\udc80"}'.encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reward": math.nan}, r"turns\[0\]\.reward is nan"),
        ({"reward": -math.inf}, r"turns\[0\]\.reward is -inf"),
        ({"reward": np.float32(1)}, r"turns\[0\]\.reward is a float32"),
        ({"reward_parts": {"shape": math.inf}}, r"turns\[0\]\.reward_parts\.shape is inf"),
        ({"reward_parts": {3: 1.0}}, r"the key 3 .* must be a string"),
        ({"action": b"bytes"}, r"turns\[0\]\.action is a bytes"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(
    change: dict[str, Any], words: str
) -> None:
    broken = replace(ONE, turns=(replace(ONE.turns[0], **change),))
    with pytest.raises(RecordError, match=words):
        codec.to_bytes(codec.encode(broken))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["seed"], "3", "Trajectory.seed: must be int, got '3'"),
        (["seed"], True, "Trajectory.seed: must be int, got True"),
        (["stop"], "won", "Trajectory.stop: 'won' is not a valid Stop"),
        (["turns", 0, "calls", 0, "sample_ids"], [1.5], "Call.sample_ids: must be a list of int"),
        (
            ["turns", 0, "calls", 0, "finish"],
            "x",
            r"Call.finish: must be one of \('stop', 'length'\)",
        ),
        (["turns", 0, "observation"], "text", "Observation must be an object"),
        (["turns", 0, "colour"], "red", r"Turn has unknown \['colour'\]"),
        (["turns"], {}, "must be a list"),
        (["env_options"], [], "must be an object"),
        (["success"], 1, "Trajectory.success: must be bool"),
    ],
)
def test_what_is_no_trajectory_is_named(path: list[Any], value: Any, words: str) -> None:
    data = json.loads(json.dumps(codec.encode(ONE)))
    branch = data
    for part in path[:-1]:
        branch = branch[part]
    branch[path[-1]] = value
    with pytest.raises(RecordError, match=words):
        codec.decode(Trajectory, data)


def test_a_missing_field_is_named_unless_it_has_a_default() -> None:
    data = codec.encode(ONE)
    assert "attempt" not in data  # defaults are left out
    del data["stop"]
    with pytest.raises(RecordError, match=r"Trajectory lacks \['stop'\]"):
        codec.decode(Trajectory, data)


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b'{"a":NaN}', b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_record_are_refused(line: bytes) -> None:
    with pytest.raises(RecordError):
        codec.from_bytes(line)


def test_deep_values_are_refused_not_fatal() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecordError, match="nested too deeply"):
        codec.encode(replace(ONE, env_options={"deep": deep}))
    with pytest.raises(RecordError, match="nested too deeply"):
        codec.to_bytes({"deep": deep})


def test_observations_alone_can_be_encoded() -> None:
    assert codec.encode(Observation("x")) == {"text": "x"}
