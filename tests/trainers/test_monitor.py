"""The monitor sees a collapse for what it is, and leaves healthy runs alone."""

import numpy as np

from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.monitor import WINDOW, invalid_penalty_collapse, no_signal
from agentgym.trainers.prepare import penalise_invalid_actions
from agentgym.types import Call, Group, Observation, Stop, Trajectory, Turn


def ramp(start: float, end: float, size: int = 23) -> list[float]:
    return [float(x) for x in np.linspace(start, end, size)]


def test_the_recorded_collapse_is_seen() -> None:
    # Success 19 % -> 5 % in 23 iterations while valid actions went from 63 % to 92 %.
    message = invalid_penalty_collapse(ramp(0.19, 0.05), ramp(0.63, 0.92))
    assert message is not None
    assert "invalid" in message


def test_it_is_seen_early_enough_to_act() -> None:
    success, valid = ramp(0.19, 0.05), ramp(0.63, 0.92)
    first = next(i for i in range(23) if invalid_penalty_collapse(success[:i], valid[:i]))
    assert first <= 20


def test_healthy_runs_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    learning = (np.array(ramp(0.3, 0.8, 60)) + rng.normal(0, 0.05, 60)).tolist()
    noise = (0.3 + rng.normal(0, 0.04, 60)).tolist()
    for success in (learning, noise):
        for i in range(60):
            assert invalid_penalty_collapse(success[:i], ramp(0.8, 0.95, 60)[:i]) is None


def test_falling_success_alone_is_another_trouble() -> None:
    assert invalid_penalty_collapse(ramp(0.5, 0.1), ramp(0.9, 0.6)) is None


def test_silence_is_reported_only_when_it_lasts() -> None:
    assert no_signal([1.0] * (WINDOW - 1)) is None
    assert no_signal([1.0] * WINDOW) is not None
    assert no_signal([1.0] * WINDOW + [0.3] * WINDOW) is None


def member(valid_actions: list[bool], success: bool) -> Trajectory:
    call = Call("policy", (1,), (2,), (-1.0,), "a", "stop", 0, fresh=True)
    last = len(valid_actions) - 1
    turns = tuple(
        Turn(Observation("o"), (call,), "a", float(success and i == last), "s", valid)
        for i, valid in enumerate(valid_actions)
    )
    return Trajectory("e", 0, {}, 0, 0, turns, Observation("o"), None, Stop.DONE, success)


def test_why_it_collapses_a_penalty_is_the_whole_signal_where_all_fail() -> None:
    """The mechanism behind the warning: a tiny penalty speaks as loudly as success does."""
    failing = Group("t", (member([True, True], False), member([True, False], False)))
    quiet = GRPO()(failing)
    assert not any(v.any() for values_KCT in quiet for values_CT in values_KCT for v in values_CT)
    loud = GRPO()(penalise_invalid_actions(failing, 0.001))
    assert [round(float(values_KCT[0][0][0]), 2) for values_KCT in loud] == [0.71, -0.71]
