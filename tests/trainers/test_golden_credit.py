"""Credit schemes and the stages around them against numbers of the authors' own code."""

from typing import Any

import golden_cases
import numpy as np
import pytest

from agentgym.trainers.credit.common import INVALID_ACTION, Turns
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.prepare import informative, penalise_invalid_actions, valid_action_share

RTOL, ATOL = 1e-5, 1e-6
ATOL_TINY_STD = 1e-4
"""Where the authors' float32 divides a rounding error by the eps added to a std of 0."""


def close(got: Any, expected: Any, *, atol: float = ATOL) -> None:
    np.testing.assert_allclose(got, np.asarray(expected, np.float64), rtol=RTOL, atol=atol)


def scores(rows: list[list[float]]) -> list[float]:
    return [sum(row) for row in rows]


def last_only(inputs: dict[str, Any], score: list[float]) -> list[float]:
    """Put the score of an episode, which all of its rows carry, on its last row alone."""
    rewards = [0.0] * len(score)
    for name in set(inputs["traj_index"]):
        rewards[max(r for r, t in enumerate(inputs["traj_index"]) if t == name)] = score[
            inputs["traj_index"].index(name)
        ]
    return rewards


def ids(value: Any) -> str:
    return str(value.get("name") or value.get("kind")) if isinstance(value, dict) else value


@pytest.mark.parametrize("compat", ["verl", "verl-agent"])
@pytest.mark.parametrize(
    ("name", "case"), [(n, c) for n in ("grpo", "rloo") for c in golden_cases.cases(n)], ids=ids
)
def test_outcome_schemes(name: str, case: golden_cases.Case, compat: Any) -> None:
    x, score = case["inputs"], scores(case["inputs"]["token_level_rewards"])
    # In "spread" the rows of an episode have scores of their own.
    own = case["kind"] == "spread"
    groups, where = golden_cases.groups(
        x["index"], x["traj_index"], x["response_lengths"], score if own else last_only(x, score)
    )
    params: dict[str, Any] = {
        "score": "turn" if own else "episode",
        "over": None if x["compute_mean_std_cross_steps"] else "first_turns",
        "compat": compat,
    }
    scheme: Any = RLOO(**params)
    if name == "grpo":
        scheme = GRPO(std=x["norm_adv_by_std"], eps=x["epsilon"], **params)
    expected = case["outputs"][
        {"verl": "advantages_verl_0_5_0", "verl-agent": "advantages_verl_agent"}[compat]
    ]
    got = golden_cases.rows([scheme(g) for g in groups], where, len(expected[0]))
    zero_std = case["kind"] in ("zerovar", "ties") and x.get("norm_adv_by_std", False)
    close(got, expected, atol=ATOL_TINY_STD if zero_std else ATOL)


@pytest.mark.parametrize("case", golden_cases.cases("gigpo"), ids=ids)
@pytest.mark.parametrize("part", ["advantages", "episode_only", "first_turns", "turn_only"])
def test_gigpo(case: golden_cases.Case, part: str) -> None:
    x, outputs = case["inputs"], case["outputs"]
    invalid = x["invalid"]
    groups, where = golden_cases.groups(
        x["index"],
        x["traj_index"],
        # A hole in a mask has no counterpart here: compare all positions up to the last one.
        [len(mask) for mask in x["response_mask"]],
        x["env_rewards"],
        anchors=x["anchor_obs"],
        action_valid=[not bad for bad in invalid] if invalid else None,
    )
    penalty = x["invalid_action_penalty_coef"] if invalid else 0.0
    groups = [penalise_invalid_actions(g, penalty) for g in groups]

    def run(omega: float, over: Any = None) -> np.ndarray:
        scheme = GiGPO(
            omega=omega,
            gamma=x["gamma"],
            scale={"mean_norm": "none", "mean_std_norm": "std"}[x["mode"]],  # type: ignore[arg-type]
            eps=x["epsilon"],
            anchors="similar" if x["enable_similarity"] else "exact",
            threshold=x["similarity_thresh"],
            over=over,
            compat="verl-agent",
        )
        width = len(x["response_mask"][0])
        out = golden_cases.rows([scheme(g) for g in groups], where, width)
        out *= x["response_mask"]
        return out

    match part:
        case "advantages":
            got, expected = run(x["step_advantage_w"]), outputs["advantages"]
        case "episode_only":
            got, expected = run(0.0), outputs["episode_advantages"]
        case "first_turns":
            got = run(0.0, "first_turns")
            expected = outputs["episode_advantages_cross_steps_false"]
        case _:
            got, expected = run(1.0) - run(0.0), outputs["step_advantages"]
    close(got, expected, atol=ATOL if x["mode"] == "mean_norm" else ATOL_TINY_STD)


@pytest.mark.parametrize("case", golden_cases.cases("gigpo"), ids=ids)
def test_gigpo_returns_and_anchors(case: golden_cases.Case) -> None:
    x, outputs = case["inputs"], case["outputs"]
    groups, where = golden_cases.groups(
        x["index"],
        x["traj_index"],
        x["response_lengths"],
        x["env_rewards"],
        anchors=x["anchor_obs"],
        action_valid=[not bad for bad in x["invalid"]] if x["invalid"] else None,
    )
    penalty = x["invalid_action_penalty_coef"] if x["invalid"] else 0.0
    similar = "similar" if x["enable_similarity"] else "exact"
    scheme = GiGPO(anchors=similar, threshold=x["similarity_thresh"], compat="verl-agent")  # type: ignore[arg-type]
    shared: dict[int, list[tuple[int, int]]] = {}
    for g, (group, members) in enumerate(zip(groups, where, strict=True)):
        row_N = [row for turns_of_member in members for row in turns_of_member]
        before, after = outputs["step_discounted_returns"], x["step_rewards"]
        turns = Turns.of(group)
        close(turns.discounted_returns_N(x["gamma"]), np.asarray(before)[row_N])
        turns = Turns.of(penalise_invalid_actions(group, penalty), local=INVALID_ACTION)
        close(turns.discounted_returns_N(x["gamma"]), np.asarray(after)[row_N])
        for row, anchor in zip(row_N, scheme._anchors(turns).tolist(), strict=True):
            shared.setdefault(outputs["step_group_ids_canonical"][row], []).append((g, anchor))
    # Equal numbers there, and only those, are equal anchors here.
    assert all(len(set(anchors)) == 1 for anchors in shared.values())
    assert len({anchors[0] for anchors in shared.values()}) == len(shared)


@pytest.mark.parametrize("case", golden_cases.cases("invalid_action_penalty"))
def test_invalid_action_penalty(case: golden_cases.Case) -> None:
    x, outputs = case["inputs"], case["outputs"]
    names = [f"r{row}" for row in range(len(x["response_lengths"]))]

    def turns(rewards: list[float]) -> Turns:
        # Scores and step rewards of the file are unrelated, so every row is an episode of its own.
        [group], _ = golden_cases.groups(
            ["g"] * len(names),
            names,
            x["response_lengths"],
            rewards,
            action_valid=x["is_action_valid"],
        )
        share = valid_action_share(group.trajectories_G)
        assert share == pytest.approx(outputs["metrics"]["episode/valid_action_ratio"])
        return Turns.of(penalise_invalid_actions(group, x["coef"]), local=INVALID_ACTION)

    raw = scores(x["token_level_scores"])
    close(turns(raw).episode_scores_N, scores(outputs["token_level_scores"]))
    close(turns(x["step_rewards"]).discounted_returns_N(0.95), outputs["step_rewards"])


@pytest.mark.parametrize("case", golden_cases.cases("dynamic_sampling_filter"))
def test_dynamic_sampling(case: golden_cases.Case) -> None:
    x = case["inputs"]
    size, n = x["group_size"], len(x["episode_rewards"])
    groups, where = golden_cases.groups(
        [f"g{row // size}" for row in range(n)],
        [f"r{row}" for row in range(n)],
        [1] * n,
        x["episode_rewards"],
    )
    kept = informative(groups, last_try=x["last_try"])
    rows = [
        row
        for group, members in zip(groups, where, strict=True)
        for [row] in members
        if group in kept
    ]
    assert rows == case["outputs"]["kept_rollout_indices"]
