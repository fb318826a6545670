"""Turn returns and sums against numbers of the authors' own code."""

from collections import Counter
from typing import Any

import golden_cases
import numpy as np
import pytest

from agentgym.trainers.credit.combine import Combine
from agentgym.trainers.credit.common import example
from agentgym.trainers.credit.turn_return import TurnReturn


@pytest.mark.parametrize("std", [False, True])
@pytest.mark.parametrize("case", golden_cases.cases("cm2_turns"))
def test_turns_of_equal_number_are_compared_as_in_cm2(case: golden_cases.Case, std: bool) -> None:
    """CM2 ignores turns that few rollouts reached; those are left out of the comparison."""
    samples, few = case["inputs"]["samples"], case["inputs"]["threshold_num"]
    expected = case["outputs"][f"turn_level_advantages_{'std' if std else 'mean'}"]
    scheme = TurnReturn(gamma=0.0, baseline="turn_index", std=std)
    for name in {sample["group"] for sample in samples}:
        rows = [i for i, sample in enumerate(samples) if sample["group"] == name]
        spoiled = [g for g, i in enumerate(rows) if not samples[i]["used"]]
        values = scheme(example([samples[i]["turn_scores"] for i in rows], invalid=spoiled))
        reached = [len(samples[i]["turn_scores"]) for i in rows if samples[i]["used"]]
        for i, member in zip(rows, values, strict=True):
            for k, turn in enumerate(member):
                if sum(length > k for length in reached) > few:
                    # Their float32 divides a rounding error by an eps where all scores are equal.
                    assert float(turn[0][0]) == pytest.approx(expected[i][k], rel=1e-4, abs=1e-3)
                elif not samples[i]["used"]:
                    assert float(turn[0][0]) == expected[i][k] == 0.0


def test_most_of_those_turns_are_compared() -> None:
    compared = 0
    for case in golden_cases.cases("cm2_turns"):
        samples = [s for s in case["inputs"]["samples"] if s["used"]]
        for k in range(9):
            reached = Counter(s["group"] for s in samples if len(s["turn_scores"]) > k)
            compared += sum(n for n in reached.values() if n > case["inputs"]["threshold_num"])
    assert compared > 70


@pytest.mark.parametrize("case", golden_cases.cases("gigpo"))
def test_discounted_returns_are_those_of_gigpo(case: golden_cases.Case) -> None:
    x = case["inputs"]
    groups, where = golden_cases.groups(
        x["index"], x["traj_index"], x["response_lengths"], x["env_rewards"]
    )
    scheme = TurnReturn(gamma=x["gamma"], baseline="none")
    for group, members in zip(groups, where, strict=True):
        for rows, member in zip(members, scheme(group), strict=True):
            got = [float(turn[0][0]) for turn in member]
            expected = np.asarray(case["outputs"]["step_discounted_returns"])[rows]
            assert got == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "case", [c for c in golden_cases.cases("gigpo") if not c["inputs"]["invalid"]]
)
def test_gigpo_is_the_sum_of_its_levels(case: golden_cases.Case) -> None:
    """As a sum of schemes: (1 - w) of the episode level alone and w of both levels."""
    x = case["inputs"]
    groups, where = golden_cases.groups(
        x["index"],
        x["traj_index"],
        [len(mask) for mask in x["response_mask"]],
        x["env_rewards"],
        anchors=x["anchor_obs"],
    )
    weight = x["step_advantage_w"]
    both: dict[str, Any] = {
        "name": "gigpo",
        "gamma": x["gamma"],
        "scale": {"mean_norm": "none", "mean_std_norm": "std"}[x["mode"]],
        "eps": x["epsilon"],
        "anchors": "similar" if x["enable_similarity"] else "exact",
        "threshold": x["similarity_thresh"],
        "compat": "verl-agent",
    }
    scheme = Combine([{**both, "omega": 0.0, "weight": 1 - weight}, {**both, "weight": weight}])
    width = len(x["response_mask"][0])
    got = golden_cases.rows([scheme(g) for g in groups], where, width) * x["response_mask"]
    np.testing.assert_allclose(got, case["outputs"]["advantages"], rtol=1e-5, atol=1e-4)
