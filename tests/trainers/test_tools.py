"""Training on environments with tools: what the policy reads, says and is refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("torch")

from training_runs import start_or_go_on

import agentgym
from agentgym.config import load
from agentgym.errors import UnknownName
from agentgym.records import episodes, read_metrics, replay
from agentgym.records.log import records
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.parts import check
from agentgym.trainers.policies import gather_texts, learn_tokenizer

COUNTING: Mapping[str, object] = {
    "env": {"name": "tool_envs:Counting"},
    "model": {"preset": "tiny"},
    "warmstart": {"demonstrations": 400, "optimizer": {"lr": 3e-3, "muon_lr": 0.02, "warmup": 10}},
    "rollout": {
        "tasks": 2,
        "group_size": 4,
        "max_tokens_per_call": 16,
        "opening": "",
        "tell_tools": False,
    },
    "optim": {"lr": 3e-4},
    "eval": {"every": 1, "episodes": 40},
    "train": {"iterations": 1},
}


def counting(*overrides: str) -> TrainConfig:
    return load(TrainConfig, COUNTING, overrides)


def test_a_small_policy_learns_to_call_a_tool_and_to_read_its_result(tmp_path: Path) -> None:
    result = start_or_go_on(tmp_path / "run", counting())
    assert result.iterations == 1
    logged = [each for each in episodes(tmp_path / "run" / "trajectories.log")]
    shown = [each.trajectory for each in logged if each.phase == "demonstration"]
    texts = [turn.calls[0].text for turn in shown[0].turns]
    assert texts[0].startswith('Action: count\nAction Input: {"by": ')
    assert texts[1].isdecimal()
    assert len(shown[0].turns[0].calls[0].prompt_ids) < 12  # nothing is told of the tools
    tried = [each.trajectory for each in logged if each.phase == "eval"]
    assert sum(each.success is True for each in tried) > len(tried) / 2


def test_texts_hold_calls_and_results_as_the_policy_meets_them() -> None:
    texts = gather_texts(agentgym.make("tool_envs:Counting"), range(40), noise=0.0)
    assert any(text.startswith("Action: count\nAction Input: {") for text in texts)
    assert any(text.startswith("Observation: ") for text in texts)
    assert not any(text.startswith("{") for text in texts)
    ids = learn_tokenizer(texts)('Action: count\nAction Input: {"by": 3}')["input_ids"]
    assert len(ids) <= 8
    texts = gather_texts(agentgym.make("tool_envs:Counting"), range(9), tool_calls="hermes")
    assert any(text.startswith("<tool_call>") for text in texts)


SHOP: Mapping[str, object] = {
    "env": {"name": "tooluse", "preset": "tiny", "options": {"toolrl": 0.5}},
    "model": {"preset": "tiny"},
    "warmstart": {"demonstrations": 48, "noise": 0.2, "optimizer": {"lr": 3e-3, "warmup": 2}},
    "rollout": {
        "tasks": 3,
        "group_size": 4,
        "max_tokens_per_call": 32,
        "opening": "",
        "tell_tools": False,
    },
    "reward": {"parts": {"outcome": 1.0, "toolrl_format": 0.1, "toolrl_correctness": 0.2}},
    "credit": {"name": "gigpo"},
    "optim": {"lr": 3e-4},
    "eval": {"every": 0, "episodes": 6, "final_episodes": 0},
    "train": {"iterations": 2},
}


def test_a_run_weighs_the_parts_of_toolrl_and_draws_their_curves(tmp_path: Path) -> None:
    start_or_go_on(tmp_path / "run", load(TrainConfig, SHOP))
    rows = [row for row in read_metrics(tmp_path / "run") if "train/success" in row]
    assert len(rows) == 2
    for row in rows:
        assert 0 <= row["train/reward_toolrl_format"] <= 0.5 * row["train/mean_turns"]
        assert abs(row["train/reward_toolrl_correctness"]) <= 1.5 * row["train/mean_turns"]
        weighed = (
            row["train/reward_outcome"]
            + 0.1 * row["train/reward_toolrl_format"]
            + 0.2 * row["train/reward_toolrl_correctness"]
        )
        assert row["reward/learned_return"] == pytest.approx(weighed)
    shown = [e.trajectory for e in episodes(tmp_path / "run") if e.phase == "demonstration"]
    paid = {turn.reward_parts["toolrl_correctness"] for t in shown for turn in t.turns}
    assert max(paid) == 1.5  # a demonstration's own calls
    assert min(paid) < 0  # and its noise
    report = replay(tmp_path / "run")
    assert report.ok
    assert report.checked == report.episodes > 0


def test_J07_a_run_shows_how_far_its_judge_is_from_the_rules(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="needs the extra 'simtools'")
    options = {"judge": "simtools_cases:gullible", "judge_checks": 1.0}
    recipe = {**SHOP, "env": {"name": "simtools", "preset": "tiny", "options": options}}
    recipe |= {"reward": {}, "credit": {"name": "checklist"}}
    config = load(TrainConfig, recipe, ["train.iterations=4"])
    start_or_go_on(tmp_path / "run", config)
    rows = [row for row in read_metrics(tmp_path / "run") if "train/success" in row]
    assert len(rows) == 4
    for row in rows:
        assert row["train/judge_checked"] >= 12
        assert row["train/judge_too_kind"] > 0.2
        assert row["train/judge_too_strict"] == 0.0
        assert row["train/success"] < 1
    warned = [each.data["text"] for each in records(tmp_path / "run") if each.type == "warning"]
    [text] = [text for text in warned if "the judge differs from the rules" in text]
    assert "the policy may be learning what pleases the judge" in text


def test_an_unknown_format_of_calls_is_refused_before_anything_starts() -> None:
    with pytest.raises(UnknownName, match="did you mean 'hermes'"):
        check(counting("rollout.tool_calls=hermess"))
