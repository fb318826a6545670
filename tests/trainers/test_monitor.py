"""The monitor sees a collapse for what it is, and leaves healthy runs alone."""

from dataclasses import replace

import numpy as np
import pytest

from agentgym.trainers.credit.common import example
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.describe import counts
from agentgym.trainers.evaluate import Score
from agentgym.trainers.monitor import (
    JUDGE_GAP,
    LEAST_CHECKED,
    WINDOW,
    fooled,
    invalid_penalty_collapse,
    judge_gap,
    no_signal,
    tampering,
)
from agentgym.trainers.prepare import penalise_invalid_actions
from agentgym.types import JSON, Call, Group, Observation, Stop, Trajectory, Turn


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


def test_J07_a_judge_that_drifts_away_from_the_rules_is_reported() -> None:
    kind = ramp(0.0, 40.0, 30)
    said = [judge_gap([100.0] * i, kind[:i], [2.0] * i) for i in range(1, 31)]
    first = next(i for i, each in enumerate(said) if each)
    share = (sum(kind[first - 7 : first + 1]) / 8 + 2) / 100
    assert JUDGE_GAP < share < JUDGE_GAP + 0.02
    assert "too kind" in str(said[-1])
    assert "pleases the judge" in str(said[-1])
    assert "withholds rewards" in str(judge_gap([100.0], [0.0], [30.0]))


def test_J07_a_judge_near_the_rules_and_few_checks_are_left_alone() -> None:
    assert judge_gap([100.0] * 30, [5.0] * 30, [5.0] * 30) is None
    assert judge_gap([LEAST_CHECKED - 1.0], [40.0], [0.0]) is None
    assert judge_gap([0.0] * 30, [0.0] * 30, [0.0] * 30) is None
    # What was long ago is forgotten.
    assert judge_gap([100.0] * 20, [90.0] * 12 + [0.0] * 8, [0.0] * 20) is None


def test_J07_the_gap_of_a_judge_has_curves() -> None:
    one, other = (
        replace(
            trajectory,
            turns=(replace(trajectory.turns[0], facts=stated),),
        )
        for trajectory, stated in zip(
            example([[1.0], [0.0]]).trajectories_G,
            (
                {"judge_checked": 3, "judge_too_kind": 1, "judge_too_strict": 0},
                {"judge_checked": 5, "judge_too_kind": 1, "judge_too_strict": 4},
            ),
            strict=True,
        )
    )
    found = Score.of([one, other]).metrics("train")
    assert found["train/judge_checked"] == 8.0
    assert found["train/judge_too_kind"] == 0.25
    assert found["train/judge_too_strict"] == 0.5
    assert counts(Score.of([one]), {}, 1)["judge against rules"] == (
        "33% too kind, 0% too strict of 3"
    )
    unchecked = Score.of(example([[1.0]]).trajectories_G)
    assert not any("judge" in name for name in unchecked.metrics("train"))
    assert "judge against rules" not in counts(unchecked, {}, 1)


def test_yes_or_no_facts_of_last_turns_have_curves() -> None:
    stated: list[dict[str, JSON]] = [
        {"resolved": True, "modified": True, "n": 3},
        {"resolved": False},
        {},
    ]
    ended = [
        replace(t, turns=(*t.turns, replace(t.turns[0], facts=facts)))
        for t, facts in zip(example([[1.0], [0.0], [0.0]]).trajectories_G, stated, strict=True)
    ]
    early = replace(ended[2], turns=(ended[0].turns[-1], ended[2].turns[0]))
    lost = replace(ended[0], stop=Stop.ERROR)
    found = Score.of([*ended[:2], early, lost]).metrics("train")
    assert {name: value for name, value in found.items() if "fact" in name} == {
        "train/fact_modified": pytest.approx(1 / 3),
        "train/fact_resolved": pytest.approx(1 / 3),
    }


def test_V25_a_run_whose_judge_is_fooled_or_attacked_is_flagged() -> None:
    assert fooled([]) is None
    assert fooled([0.0] * 9) is None
    assert "means nothing" in str(fooled([0.0, 0.01, *[0.0] * 20]))  # once is enough
    assert tampering([]) is None
    assert tampering([0.02] * 9) is None
    assert "tampers with its own judgement" in str(tampering([0.03] * 9))
    assert tampering([1.0, *[0.0] * 8]) is None


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
