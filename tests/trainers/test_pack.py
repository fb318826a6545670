"""Packing: rows hold exactly the tokens that the backend was shown and sampled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.trainers.pack import collate, microbatches, pack, pack_demonstrations
from agentgym.types import Call, Group, Observation, Stop, Trajectory, Turn

IDS = st.lists(st.integers(0, 999), min_size=1, max_size=5).map(tuple)


@st.composite
def calls(draw: st.DrawFn, role: str) -> Call:
    sample = draw(IDS)
    return Call(
        role=role,
        prompt_ids=draw(IDS),
        sample_ids=sample,
        logprobs=tuple(draw(st.floats(-9, 0, width=32)) for _ in sample),
        text="",
        finish="stop",
        policy_version=0,
        trainable=draw(st.booleans()) if role == "critic" else True,
        fresh=draw(st.sampled_from([False, False, True])),
    )


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    roles = draw(st.lists(st.sampled_from(["policy", "critic"]), min_size=1, max_size=3))
    turns = tuple(
        Turn(Observation("o"), tuple(draw(calls(role)) for role in roles), "a", 0.0, None)
        for _ in range(draw(st.integers(0, 4)))
    )
    stop = draw(st.sampled_from([Stop.DONE, Stop.DONE, Stop.MAX_TURNS, Stop.ERROR]))
    return Trajectory("e", 0, {}, 0, 0, turns, Observation("o"), None, stop, None)


def one_call(fresh: bool = True, prompt: int = 3, sample: int = 2, **kwargs: object) -> Call:
    ids = tuple(range(10, 10 + sample))
    return Call("policy", tuple(range(prompt)), ids, (-1.0,) * sample, "", "stop", 0, True, fresh)


def episode(*each: Call, stop: Stop = Stop.DONE) -> Trajectory:
    turns = tuple(Turn(Observation("o"), (call,), "a", 0.0, None) for call in each)
    return Trajectory("e", 0, {}, 0, 0, turns, Observation("o"), None, stop, None)


def ramp(trajectory: Trajectory) -> list[list[np.ndarray]]:
    """Different advantages for all tokens of a trajectory."""
    counter = iter(range(1, 10_000))
    return [
        [np.array([float(next(counter)) for _ in call.sample_ids]) for call in turn.calls]
        for turn in trajectory.turns
    ]


def shown(trajectory: Trajectory) -> list[tuple[int, ...]]:
    """What a backend had in front of it and sampled at the end of each sequence, in plain loops."""
    sequences: list[list[int]] = []
    trained: list[bool] = []
    latest: dict[str, int] = {}
    for turn in trajectory.turns:
        for call in turn.calls:
            if call.fresh or call.role not in latest:
                latest[call.role] = len(sequences)
                sequences.append([])
                trained.append(False)
            sequences[latest[call.role]] += [*call.prompt_ids, *call.sample_ids]
            trained[latest[call.role]] |= call.trainable
    return sorted(tuple(s) for s, used in zip(sequences, trained, strict=True) if used)


@given(trajectories())
def test_rows_hold_exactly_what_was_shown_and_sampled(trajectory: Trajectory) -> None:
    rows = pack([Group("t", (trajectory,))], [[ramp(trajectory)]])
    expected = shown(trajectory) if trajectory.valid else []
    assert sorted(tuple(row.ids_S.tolist()) for row in rows) == expected


@given(trajectories())
def test_the_mask_covers_the_sampled_tokens_of_trainable_calls(trajectory: Trajectory) -> None:
    values = ramp(trajectory)
    rows = pack([Group("t", (trajectory,))], [[values]])
    tokens = {
        (float(value), token, np.float32(logprob))
        for turn, values_CT in zip(trajectory.turns, values, strict=True)
        for call, values_T in zip(turn.calls, values_CT, strict=True)
        if call.trainable and trajectory.valid
        for value, token, logprob in zip(values_T, call.sample_ids, call.logprobs, strict=True)
    }
    packed = {
        (float(a), int(i), lp)
        for row in rows
        for a, i, lp, m in zip(row.advantages_S, row.ids_S, row.logprobs_S, row.mask_S, strict=True)
        if m
    }
    assert packed == tokens
    assert sum(row.tokens for row in rows) == len(tokens)
    for row in rows:
        assert not row.advantages_S[~row.mask_S].any()
        assert not row.mask_S[0]


def test_a_fresh_call_starts_a_new_row() -> None:
    trajectory = episode(one_call(), one_call(fresh=False), one_call(fresh=True))
    assert [len(row) for row in pack_demonstrations([trajectory])] == [10, 5]


def test_invalid_trajectories_are_left_out_and_members_stay_named() -> None:
    members = (episode(one_call(), stop=Stop.TIMEOUT), episode(one_call()))
    rows = pack([Group("t", members)], [[ramp(m) for m in members]])
    assert [row.member for row in rows] == [(0, 1)]


@pytest.mark.parametrize("wrong", [[], [[np.zeros(1)]], [[np.zeros(2)], [np.zeros(2)]]])
def test_advantages_of_another_shape_are_refused(wrong: list[list[np.ndarray]]) -> None:
    with pytest.raises(ValueError, match="advantages"):
        pack([Group("t", (episode(one_call()),))], [[wrong]])


def test_a_sample_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="prompt"):
        pack_demonstrations([episode(one_call(prompt=0))])


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(10, 60))
def test_microbatches_keep_every_row_and_the_budget(lengths: list[int], budget: int) -> None:
    rows = pack_demonstrations(episode(one_call(sample=n)) for n in lengths)
    parts = microbatches(rows, budget)
    assert sorted(id(row) for part in parts for row in part) == sorted(map(id, rows))
    for part in parts:
        assert len(part) == 1 or len(part) * max(map(len, part)) <= budget


def test_collate_pads_on_the_right_and_outside_the_mask() -> None:
    rows = pack_demonstrations([episode(one_call(sample=1)), episode(one_call(sample=3))])
    batch = collate(rows, pad_id=77)
    assert batch.ids_BS.tolist() == [[0, 1, 2, 10, 77, 77], [0, 1, 2, 10, 11, 12]]
    assert batch.mask_BS.sum(axis=1).tolist() == [1, 3]
    assert batch.advantages_BS[0].tolist() == [0, 0, 0, 1, 0, 0]
