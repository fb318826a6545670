"""Runs with a critic, and with a KL penalty in the reward: from a recipe, logged, resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file
from training_runs import Interrupting, equal, start_or_go_on

from agentgym.config import load
from agentgym.errors import ConfigError
from agentgym.records import episodes, read_metrics
from agentgym.trainers import parts
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.prepare import mean_kl
from agentgym.types import Group

PPO: Mapping[str, Any] = {
    "env": {"name": "guess"},
    "model": {"preset": "tiny"},
    "warmstart": {"demonstrations": 16, "noise": 0.3, "optimizer": {"lr": 3e-3}},
    "rollout": {"tasks": 2, "group_size": 3, "max_tokens_per_call": 3, "opening": ""},
    "credit": {"name": "gae", "lam": 0.95},
    "reward": {"kl_coef": 0.05},
    "optim": {"lr": 1e-3, "epochs": 2, "minibatches": 2},
    "critic": {"lr": 1e-3, "epochs": 2, "minibatches": 2, "warmup_iterations": 1},
    "eval": {"every": 0, "episodes": 2},
    "train": {"iterations": 4, "checkpoint_every": 1},
}


def saved(path: Path, step: int, name: str) -> dict[str, torch.Tensor]:
    return load_file(path / "checkpoints" / f"step_{step}" / name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert start_or_go_on(path, load(TrainConfig, PPO), keep=9).iterations == 4
    return path


def test_a_resumed_run_has_the_same_policy_and_the_same_critic(
    undisturbed: Path, tmp_path: Path
) -> None:
    config = load(TrainConfig, PPO)
    path = tmp_path / "run"
    assert start_or_go_on(path, config, Interrupting(), keep=9).iterations == 2
    assert start_or_go_on(path, config, keep=9).iterations == 4
    for name in ("policy/model.safetensors", "optimizer.safetensors", "critic.safetensors"):
        assert equal(saved(undisturbed, 4, name), saved(path, 4, name)), name
        assert not equal(saved(undisturbed, 3, name), saved(undisturbed, 4, name)), name


def test_the_policy_stands_still_while_the_critic_warms_up(undisturbed: Path) -> None:
    policies = [saved(undisturbed, step, "policy/model.safetensors") for step in range(3)]
    critics = [saved(undisturbed, step, "critic.safetensors") for step in range(2)]
    assert equal(policies[0], policies[1])
    assert not equal(policies[1], policies[2])
    assert not equal(critics[0], critics[1])


def test_what_the_critic_and_the_reference_say_is_logged(undisturbed: Path) -> None:
    rows = [row for row in read_metrics(undisturbed / "metrics.jsonl") if "critic/lr" in row]
    assert len(rows) == 4
    assert all(row["critic/value_loss"] > 0 for row in rows)
    names = {"critic/value_clip_fraction", "critic/explained_variance", "critic/grad_norm"}
    assert names <= rows[-1].keys()
    assert "learner/grad_norm" not in rows[0]
    assert rows[0]["reward/kl"] == pytest.approx(0.0, abs=1e-5)  # the policy is the reference
    assert rows[1]["reward/kl"] == pytest.approx(0.0, abs=1e-5)
    assert rows[3]["reward/kl"] != pytest.approx(0.0, abs=1e-3)
    assert rows[0]["train/rewritten_share"] == 0.0


def test_the_log_has_the_notes_and_the_rewards_of_the_environment(undisturbed: Path) -> None:
    trained = [e for e in episodes(undisturbed / "trajectories.log") if e.phase == "train"]
    assert len(trained) == 4 * 2 * 3
    for trajectory in (e.trajectory for e in trained):
        tokens = sum(len(c.sample_ids) for turn in trajectory.turns for c in turn.calls)
        assert len(trajectory.notes["value"]) == len(trajectory.notes["ref_logprob"]) == tokens
        assert set(trajectory.rewards_K) <= {0.0, 1.0}
        assert all("kl_penalty" not in turn.reward_parts for turn in trajectory.turns)
    # At first the policy is the reference: the notes are what the backend said.
    first = [Group("", (e.trajectory,)) for e in trained if e.step == 1]
    assert mean_kl(first, "abs") < 1e-5


def test_there_is_a_critic_only_where_it_is_needed(tmp_path: Path) -> None:
    config = load(TrainConfig, PPO, ["credit=grpo", "reward.kl_coef=0", "train.iterations=1"])
    assert parts.check(config).helpers == frozenset()
    start_or_go_on(tmp_path / "run", config)
    assert not list((tmp_path / "run").rglob("critic*"))
    [row] = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "learner/lr" in r]
    assert not [name for name in row if name.startswith(("critic/", "reward/"))]
    assert "learner/grad_norm" in row  # there is no warm-up without a critic


@pytest.mark.parametrize(
    ("overrides", "helpers"),
    [
        (["credit=gae", "reward.kl_coef=0"], {"critic"}),
        (["credit=grpo"], {"reference"}),
        (["credit=grpo", "reward.kl_coef=0", "loss.kl_coef=0.1"], {"reference"}),
        (["credit=0.5*gae + grpo", "normalise=none"], {"critic", "reference"}),
    ],
)
def test_what_a_run_keeps_beside_its_policy(overrides: list[str], helpers: set[str]) -> None:
    assert parts.check(load(TrainConfig, PPO, overrides)).helpers == helpers


def test_mistakes_are_found_before_anything_starts() -> None:
    for override, words in (
        ("reward.kl_coef=-1", "kl_coef"),
        ("reward.kl=k4", "reward.kl"),
        ("critic.lr=0", "critic.lr"),
        ("credit=gae + gae(lam=0.5)", "one critic, but 2 terms"),
        ("annotate.ref_logprob.temperature=0", "temperature"),
    ):
        with pytest.raises(ConfigError, match=words):
            parts.check(load(TrainConfig, PPO, [override]))
