"""Credit by checklists against numbers of the authors' own code, at all three levels."""

from collections.abc import Callable
from typing import Any

import golden_cases
import numpy as np
import pytest

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.checklist import ChecklistCredit
from agentgym.types import Call, Failure, Group, Observation, Stop, Trajectory, Turn

CASES = golden_cases.cases("cm2_checklist")


def trajectory(sample: dict[str, Any], member: int) -> Trajectory:
    """A row of theirs: a step is a turn, whose tokens are a segment of their response."""
    criteria = [
        [{"id": c["id"], "weight": c["weight"], "depends_on": c["dependence"]} for c in turn]
        for turn in sample["checklist"]
    ]
    turns = []
    for k, ((user_turn, answers), (start, end)) in enumerate(
        zip(sample["steps"], sample["segments"], strict=True)
    ):
        ids = [c["id"] for c in sample["checklist"][user_turn]]
        satisfied = dict(zip(ids, answers, strict=True))
        facts: dict[str, Any] = {"checklist": {"user_turn": user_turn, "satisfied": satisfied}}
        size = end - start
        call = Call("policy", (0,), (1,) * size, (-1.0,) * size, "", "stop", 0, fresh=k == 0)
        if k == 0:
            facts["criteria"] = criteria
        turns.append(Turn(Observation(""), (call,), "", 0.0, None, facts=facts))
    failed = sample["tool_failed"] or sample["judge_failed"]
    failure = Failure("simulator", "EpisodeFailure", "made up") if failed else None
    return Trajectory(
        "golden", 0, {}, 0, member, tuple(turns), Observation(""), None,
        Stop.ERROR if failed else Stop.DONE, None, failure,
    )  # fmt: skip


def advantages(case: golden_cases.Case, credit: Callable[[Group], Advantages]) -> np.ndarray:
    """A scheme's answer in the layout of the golden file: rows by response positions."""
    samples = case["inputs"]["samples"]
    out = np.zeros((len(samples), case["inputs"]["response_length"]))
    for name in dict.fromkeys(sample["group"] for sample in samples):
        rows = [i for i, sample in enumerate(samples) if sample["group"] == name]
        group = Group(name, tuple(trajectory(samples[i], g) for g, i in enumerate(rows)))
        for i, member in zip(rows, credit(group), strict=True):
            for (values_T,), (start, end) in zip(member, samples[i]["segments"], strict=True):
                out[i, start:end] = values_T
    return out


def of_cm2(level: str, **options: Any) -> ChecklistCredit:
    return ChecklistCredit(level, compat="cm2", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_step_level(case: golden_cases.Case) -> None:
    x = case["inputs"]
    assert x["threshold_num"] == of_cm2("step").few
    got = advantages(case, of_cm2("step", eta=x["eta"], share=x["do_norm_in_adv"]))
    np.testing.assert_allclose(got, case["outputs"]["step_level_advantages"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("std", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_turn_level(case: golden_cases.Case, std: bool) -> None:
    got = advantages(case, of_cm2("turn", std=std))
    expected = case["outputs"][f"turn_level_advantages_{'std' if std else 'mean'}"]
    # Their float32 divides a rounding error by an eps where all scores are equal.
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3 if std else 1e-6)


@pytest.mark.parametrize("case", CASES)
def test_trajectory_level(case: golden_cases.Case) -> None:
    """Their rows' rewards, minus the mean over the group's used rows (Dr. GRPO)."""
    samples, used = case["inputs"]["samples"], case["outputs"]["sample_used"]
    totals = np.sum(case["outputs"]["reward_tensor"], axis=1)
    expected = np.zeros_like(np.asarray(case["outputs"]["response_mask"], np.float64))
    for name in {sample["group"] for sample in samples}:
        rows = [i for i, s in enumerate(samples) if s["group"] == name and used[i]]
        for i in rows if len(rows) > 1 else ():
            expected[i] = totals[i] - totals[rows].mean()
    expected *= case["outputs"]["response_mask"]
    got = advantages(case, of_cm2("trajectory"))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_the_numbers_say_something() -> None:
    """Most of what is compared is not 0, also where dependencies and small groups matter."""
    for key in ("step_level_advantages", "turn_level_advantages_mean"):
        values = [np.asarray(case["outputs"][key]) for case in CASES]
        assert sum((v != 0).any() for v in values) >= 9
    small = ChecklistCredit("step", few=1)
    assert any(
        not np.allclose(advantages(case, small), case["outputs"]["step_level_advantages"])
        for case in CASES
    )
