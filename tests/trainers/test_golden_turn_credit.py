"""REINFORCE++, Flow-GRPO, IGPO, GAE and gated rewards against golden numbers."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import golden_cases
import numpy as np
import pytest

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.common import example
from agentgym.trainers.credit.flow_grpo import FlowGRPO
from agentgym.trainers.credit.gae import GAE
from agentgym.trainers.credit.gated import Channel, Gated
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.normalise import Normalise
from agentgym.types import Call, Group, Observation, Stop, Trajectory, Turn

RTOL, ATOL = 1e-5, 1e-6
ATOL_TINY_STD = 1e-4
"""Where the authors' float32 divides a rounding error by a deviation of (nearly) 0."""

WHITEN = Normalise("token")


def close(got: Any, expected: Any, *, atol: float = ATOL) -> None:
    np.testing.assert_allclose(got, np.asarray(expected, np.float64), rtol=RTOL, atol=atol)


def ids(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "-".join(str(value[k]) for k in ("name", "variant", "kind") if k in value)


def token_episodes(rewards: list[list[float]], mask: list[list[float]], **more: Any) -> list[Group]:
    """One group per row, whose tokens are turns of their own; masked ones are frozen calls."""
    groups = []
    for b, (rewards_L, mask_L) in enumerate(zip(rewards, mask, strict=True)):
        turns = tuple(
            Turn(
                Observation(""),
                (Call("policy", (0,), (1,), (-1.0,), "", "stop", 0, trainable=bool(m)),),
                "",
                reward,
                None,
            )
            for reward, m in zip(rewards_L, mask_L, strict=True)
        )
        notes = {name: tuple(values[b]) for name, values in more.items()}
        member = Trajectory(
            "golden", 0, {}, b, 0, turns, Observation(""), None, Stop.DONE, None, notes=notes
        )
        groups.append(Group(f"row {b}", (member,)))
    return groups


def flat(advantages: Sequence[Advantages]) -> list[list[float]]:
    """The numbers of each group in one list."""
    return [
        [float(v) for values_KCT in a for turn in values_KCT for v_T in turn for v in v_T]
        for a in advantages
    ]


# REINFORCE++ ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", golden_cases.cases("reinforce_pp"), ids=ids)
def test_reinforce_pp(case: golden_cases.Case) -> None:
    x, expected = case["inputs"], case["outputs"]["advantages"]
    mask, rewards = np.array(x["response_mask"]), x["token_level_rewards"]
    atol = ATOL_TINY_STD if case["kind"] in ("zerovar", "ties", "single") else ATOL
    if case["variant"] == "reinforce++" and case["kind"] == "spread":
        # Rewards on every token: here tokens are turns, and a row is an episode.
        groups = token_episodes(rewards, x["response_mask"])
        scheme = ReinforcePP(gamma=x["gamma"])
        whitened = WHITEN(groups, [scheme(g) for g in groups])
        close(np.array(flat(whitened)) * mask, expected, atol=atol)
        return
    score, own = [sum(row) for row in rewards], case["kind"] == "spread"
    last = {name: b for b, name in enumerate(x["traj_index"])}
    groups, where = golden_cases.groups(
        x["index"],
        x["traj_index"],
        x["response_lengths"],
        # The score of an episode, which all of its rows carry, stands on its last turn alone.
        [s * (own or b == last[x["traj_index"][b]]) for b, s in enumerate(score)],
    )
    if case["variant"] == "reinforce++":
        scheme = ReinforcePP(gamma=x["gamma"], compat="verl-agent")
    else:
        scheme = ReinforcePP(
            baseline="group",
            score="turn" if own else "episode",
            over=None if x["compute_mean_std_cross_steps"] else "first_turns",
            compat="verl-agent",
        )
    got = golden_cases.rows(WHITEN(groups, [scheme(g) for g in groups]), where, mask.shape[1])
    close(got * mask, expected, atol=atol)


# Flow-GRPO ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "std", "precision"),
    [
        ("advantages_fp32_scores", True, "float64"),
        ("advantages_official_bf16_scores", True, "bfloat16"),
        ("advantages_without_std_official_bf16", False, "bfloat16"),
    ],
)
@pytest.mark.parametrize("case", golden_cases.cases("flow_grpo"), ids=ids)
def test_flow_grpo(case: golden_cases.Case, key: str, std: bool, precision: Any) -> None:
    x, outputs = case["inputs"], case["outputs"]
    rollouts = [r for r in x["rollouts"] if r["turns"]]
    index = [r["data_id"] for r in rollouts for _ in r["turns"]]
    names = [f"r{i}" for i, r in enumerate(rollouts) for _ in r["turns"]]
    rewards = [
        (r["reward"] or 0.0) * (k == len(r["turns"]) - 1)
        for r in rollouts
        for k in range(len(r["turns"]))
    ]
    lengths = [int(sum(row)) for row in outputs["response_mask"]]
    groups, where = golden_cases.groups(index, names, lengths, rewards)
    scheme = FlowGRPO(std=std, eps=x["epsilon"], precision=precision, compat="agentflow")
    got = golden_cases.rows([scheme(g) for g in groups], where, len(outputs[key][0]))
    if precision == "bfloat16":
        np.testing.assert_array_equal(got, np.array(outputs[key]))
    else:
        close(got, outputs[key])


# IGPO -----------------------------------------------------------------------------------------


def conversations(x: dict[str, Any]) -> tuple[list[Group], list[list[int]]]:
    """Build a group per question; a turn is a sampled token and what was shown until the next."""
    groups, rows = [], []
    for question in dict.fromkeys(x["index"]):
        members = [b for b, name in enumerate(x["index"]) if name == question]
        trajectories = []
        for g, b in enumerate(members):
            starts = [0, *(end + 1 for end in x["turn_end_positions"][b])]
            rewards = x["turn_rewards"][b]
            turns, shown = [], 1
            for k, (start, end) in enumerate(pairwise(starts)):
                last = k == len(rewards) - 1
                sampled = end - start if last else 1
                size = (1,) * sampled
                call = Call("policy", (0,) * shown, size, (-1.0,) * sampled, "", "stop", 0)
                turns.append(Turn(Observation(""), (call,), "", rewards[k] if last else 0.0, None))
                shown = end - start - sampled
            beliefs = np.concatenate([[0.0], np.cumsum(rewards[:-1])])
            trajectories.append(
                Trajectory(
                    "golden", 0, {}, 0, g, tuple(turns), Observation(""), None, Stop.DONE, None,
                    notes={"gold_logprob": tuple(beliefs.tolist())},
                )
            )  # fmt: skip
        groups.append(Group(question, tuple(trajectories)))
        rows.append(members)
    return groups, rows


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
@pytest.mark.parametrize("case", golden_cases.cases("igpo"), ids=ids)
def test_igpo(case: golden_cases.Case, version: str) -> None:
    x, expected = case["inputs"], case["outputs"][f"{version}_advantages"]
    groups, rows = conversations(x)
    first = version == "v1"
    scheme = IGPO(
        norm=x["norm_mode"],
        std=x["norm_by_std"],
        gamma=1.0 if first else x["gamma"],  # the first version neither discounts nor weighs
        eps=x["epsilon"],
        gain_weight=1.0 if first else x["curriculum_ig_weight"],
        outcome_weight=1.0 if first else x["curriculum_f1_weight"],
        compat=f"igpo-{version}",  # type: ignore[arg-type]
    )
    for group, members in zip(groups, rows, strict=True):
        for b, trajectory, values_KCT in zip(
            members, group.trajectories_G, scheme(group), strict=True
        ):
            starts = [0, *(end + 1 for end in x["turn_end_positions"][b])]
            for k, ((values_T,), turn) in enumerate(zip(values_KCT, trajectory.turns, strict=True)):
                sampled = len(turn.calls[0].sample_ids)
                # In separate mode a lone gain or outcome is 0 / std; float32 leaves traces there.
                close(values_T, expected[b][starts[k] : starts[k] + sampled])


def test_igpo_gains() -> None:
    for case in golden_cases.cases("igpo_info_gain"):
        x, outputs = case["inputs"], case["outputs"]
        turns = x["answer_token_log_probs"]
        for rollout, (first, end) in enumerate(x["answer_token_span"]):
            beliefs = []
            for t, active in enumerate(x["active_rollouts_per_turn"]):
                if rollout in active:
                    row = turns[t][rollout]
                    beliefs.append(sum(map(float, row[first:end])) / (end - first or np.nan))
            expected = outputs["info_gain_rewards"][rollout]
            if not np.isfinite(beliefs).all():  # an annotator's business; no note holds that
                continue
            member = example(
                [[0.0] * len(beliefs)], notes={"gold_logprob": [beliefs]}
            ).trajectories_G[0]
            gain: Any = {"prob_diff": "prob", "log_prob_diff": "logprob"}[x["info_gain_type"]]
            close(IGPO(gain=gain)._gains(member), expected)


# GAE ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", ["verl", "verl-agent"])
@pytest.mark.parametrize("case", golden_cases.cases("gae"), ids=ids)
def test_gae(case: golden_cases.Case, compat: Any) -> None:
    x, outputs = case["inputs"], case["outputs"]
    mask = np.array(x["response_mask"])
    groups = token_episodes(x["token_level_rewards"], x["response_mask"], value=x["values"])
    scheme = GAE(gamma=x["gamma"], lam=x["lam"], compat=compat)
    version = {"verl": "verl_0_5_0", "verl-agent": "verl_agent"}[compat]
    got = np.array(flat(WHITEN(groups, [scheme(g) for g in groups])))
    close(got * mask, np.array(outputs[f"advantages_{version}"]) * mask)
    targets = np.array(flat([scheme.targets(g) for g in groups]))
    close(targets * mask, np.array(outputs[f"returns_{version}"]) * mask)


# G-RA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compare", [">=", ">"])
@pytest.mark.parametrize("case", golden_cases.cases("gra_formula_derived"))
def test_gated(case: golden_cases.Case, compare: Any) -> None:
    channels = case["inputs"]["channels_by_descending_priority"]
    names = [f"c{i}" for i in range(len(channels))]
    total_K = np.sum([c["values"] for c in channels], axis=0)
    group = example([total_K.tolist()])
    turns = tuple(
        dataclasses.replace(
            turn, reward_parts={n: c["values"][k] for n, c in zip(names, channels, strict=True)}
        )
        for k, turn in enumerate(group.trajectories_G[0].turns)
    )
    member = dataclasses.replace(group.trajectories_G[0], turns=turns)
    group = dataclasses.replace(group, trajectories_G=(member,))
    expected = case["outputs"][{">=": "greater_or_equal", ">": "strict_greater"}[compare]]
    scheme = Gated(
        channels=tuple(Channel(n, c["gate"]) for n, c in zip(names, channels, strict=True)),
        compare=compare,
    )
    [gated] = scheme.gate(group).trajectories_G
    close(gated.rewards_K, expected["gated_step_rewards"])
    close(gated.episode_return, expected["gated_return"])
    assert [name not in scheme.closed(member) for name in names] == expected["channel_open"]
    [direct] = dataclasses.replace(scheme, accumulation="direct").gate(group).trajectories_G
    close(direct.rewards_K, case["outputs"]["ungated_direct_accumulation"]["step_rewards"])
