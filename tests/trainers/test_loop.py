"""The training loop: it learns, it resumes bit for bit, it stops politely, it refuses mistakes."""

import json
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from training_runs import (
    Interrupting,
    in_the_end_equal,
    kill_after,
    same,
    start_or_go_on,
    weights,
)

from agentgym import Outcome, TextEnv
from agentgym.config import dump_toml, load
from agentgym.envs.guess import Guess
from agentgym.errors import ConfigError, TooManyFailures, UnknownName, UserError
from agentgym.records import RunFolder, episodes, read_metrics
from agentgym.trainers import parts
from agentgym.trainers.config import TrainConfig, load_recipe, recipes
from agentgym.trainers.credit.common import example
from agentgym.trainers.evaluate import Score
from agentgym.trainers.loop import train
from agentgym.trainers.progress import Iteration, Silent
from agentgym.types import Stop

__all__ = ["Fragile", "Hanging", "Mute"]


class Fragile(Guess):
    """A guessing game that breaks in about every third world, once training goes on."""

    def act(self, action: str) -> Outcome:
        if self.secret % 3 == 0 and self.turns == 2:
            raise RuntimeError("a part of the platform broke")
        return super().act(action)


class Hanging(Guess):
    """A guessing game that never answers, now and then, once training goes on."""

    calls = 0

    def act(self, action: str) -> Outcome:
        Hanging.calls += 1
        if Hanging.calls % 150 == 0:
            time.sleep(3600)
        return super().act(action)


class Mute(TextEnv):
    """An environment that knows neither its states nor an expert."""

    max_turns = 2

    def begin(self, options: Mapping[str, object]) -> str:
        return "Say something."

    def act(self, action: str) -> Outcome:
        return Outcome("Thank you.", 1.0, terminated=True, success=True)


CHANNEL_OF_OURS = (  # a part that the recipe itself adds
    'credit={name="gated", channels=[{name="invalid_action_penalty"}, {name="rest"}]}',
    "reward.invalid_action_penalty=0.1",
    "eval.episodes=0",
    "train.iterations=1",
)
DENSE = "env.options.dense_rewards=true"

TINY: Mapping[str, object] = {
    "env": {"name": "guess"},
    "model": {"preset": "tiny"},
    "warmstart": {
        "demonstrations": 16,
        "noise": 0.3,
        "optimizer": {"lr": 3e-3, "warmup": 2},
    },
    "rollout": {"tasks": 2, "group_size": 3, "max_tokens_per_call": 3, "opening": ""},
    "credit": {"name": "gigpo"},
    "loss": {"name": "ppo_clip", "kl_coef": 0.01},
    "optim": {"lr": 1e-3, "warmup": 2, "epochs": 2, "minibatches": 2},
    "eval": {"every": 2, "episodes": 6, "final_episodes": 4},
    "train": {"iterations": 4, "checkpoint_every": 1},
}


def tiny(*overrides: str) -> TrainConfig:
    return load(TrainConfig, TINY, overrides)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "undisturbed"
    result = start_or_go_on(path, tiny())
    assert result.iterations == 4
    return path


# What a run leaves behind ------------------------------------------------------------------------


def test_every_episode_is_in_the_log(undisturbed: Path) -> None:
    phases = [episode.phase for episode in episodes(undisturbed / "trajectories.log")]
    assert phases.count("train") == 4 * 2 * 3
    assert phases.count("demonstration") == 16
    assert phases.count("eval") == 3 * 6 + 2 * 4  # before, after 2 and 4; first and last worlds


def test_training_and_evaluation_share_no_world(undisturbed: Path) -> None:
    seeds: dict[str, set[int]] = {}
    for each in episodes(undisturbed / "trajectories.log"):
        seeds.setdefault(each.phase, set()).add(each.trajectory.seed)
    assert not seeds["eval"] & (seeds["train"] | seeds["demonstration"])
    assert min(seeds["eval"]) >= parts.HELD_OUT > max(seeds["train"])


def test_sampler_and_learner_agree_on_log_probabilities(undisturbed: Path) -> None:
    rows = [row for row in read_metrics(undisturbed / "metrics.jsonl") if "learner/gap_max" in row]
    assert len(rows) == 4
    assert all(0 < row["learner/gap_max"] < 1e-5 for row in rows)


def test_metrics_name_what_matters(undisturbed: Path) -> None:
    [*_, row] = [r for r in read_metrics(undisturbed / "metrics.jsonl") if "train/success" in r]
    assert row["train/success_low"] <= row["train/success"] <= row["train/success_high"]
    for name in ("train/failures", "train/valid_actions", "credit/zero_signal_groups"):
        assert 0 <= row[name] <= 1
    assert {"learner/kl", "learner/entropy", "learner/grad_norm", "learner/lr"} <= row.keys()


def test_the_policy_of_a_run_loads_and_speaks(undisturbed: Path) -> None:
    policy = parts.load_policy(tiny(), undisturbed / "policy")
    ids = policy.renderer.reply_ids("7")
    assert policy.renderer.decode(ids[:-1]) == "7"


# Resuming ----------------------------------------------------------------------------------------


def test_another_seed_ends_in_other_weights(undisturbed: Path, tmp_path: Path) -> None:
    start_or_go_on(tmp_path / "other", tiny("seed=1", "train.iterations=1"))
    ours, theirs = weights(undisturbed), weights(tmp_path / "other")
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(ours[name], theirs[name])


def test_a_killed_run_ends_in_the_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    kill_after(tmp_path / "warm", tiny("train.iterations=0"), 60)  # the fork server is up now
    started = time.monotonic()
    assert kill_after(tmp_path / "timed", tiny(), 120)
    took_s = time.monotonic() - started
    in_the_end_equal(2, undisturbed, tmp_path / "run", tiny(), seed=0, most_s=took_s)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    config = tiny("train.iterations=30", "train.checkpoint_every=3")
    started = time.monotonic()
    start_or_go_on(tmp_path / "undisturbed", config)
    took_s = time.monotonic() - started
    in_the_end_equal(20, tmp_path / "undisturbed", tmp_path / "run", config, 1, took_s / 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl_c", "sigterm"])
def test_R14_a_signal_checkpoints_and_the_run_goes_on(
    undisturbed: Path, tmp_path: Path, number: int
) -> None:
    config = tiny("train.checkpoint_every=100")
    before = signal.getsignal(number)
    result = start_or_go_on(tmp_path / "run", config, Interrupting(number))
    assert (result.reason, result.iterations) == ("interrupted", 2)
    assert signal.getsignal(number) is before
    assert start_or_go_on(tmp_path / "run", config).iterations == 4
    assert same(undisturbed, tmp_path / "run")


def test_R14_a_second_signal_does_not_wait(undisturbed: Path, tmp_path: Path) -> None:
    config = tiny("train.checkpoint_every=100")
    with pytest.raises(KeyboardInterrupt):
        start_or_go_on(tmp_path / "run", config, Interrupting(signal.SIGTERM, signal.SIGINT))
    assert start_or_go_on(tmp_path / "run", config).iterations == 4  # from its very beginning
    assert same(undisturbed, tmp_path / "run")


def test_a_damaged_checkpoint_is_passed_over(undisturbed: Path, tmp_path: Path) -> None:
    path, config = tmp_path / "run", tiny()
    start_or_go_on(path, config)
    newest = path / "checkpoints" / "step_4" / "optimizer.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    said: list[str] = []

    class Listening(Silent):
        def say(self, message: str, *, warning: bool = False) -> None:
            said.append(message)

    with RunFolder.open(path, dump_toml(config), envs=["guess"]) as run:
        train(config, run, Listening())
    assert any("passed over" in message for message in said)
    assert "resumed after iteration 3" in said
    assert same(undisturbed, path)


# Failures ----------------------------------------------------------------------------------------


def test_an_environment_that_raises_costs_its_episodes_and_no_more(tmp_path: Path) -> None:
    reports: list[Iteration] = []

    class Listening(Silent):
        def iteration(self, report: Iteration) -> None:
            reports.append(report)

    config = tiny(
        f"env={__name__}:Fragile",
        "rollout.max_failure_rate=1.0",
        "rollout.tasks=6",
        "eval.episodes=0",
    )
    result = start_or_go_on(tmp_path / "run", config, Listening())
    assert result.iterations == 4
    failures = [report.train.failures for report in reports]
    assert sum(failures) > 0
    assert [report.train.episodes for report in reports] == [18 - n for n in failures]
    assert [report.counts["episodes masked"] for report in reports] == [str(n) for n in failures]
    retried = [report.counts.get("episodes retried", "0") for report in reports]
    assert retried == [str(2 * n) for n in failures]
    logged = list(episodes(tmp_path / "run" / "trajectories.log"))
    broken = [e for e in logged if not e.trajectory.valid and e.phase == "train"]
    assert len(broken) == sum(failures)
    assert len([e for e in logged if e.phase == "retried"]) == 2 * sum(failures)
    assert all(e.trajectory.failure.boundary == "env" for e in broken if e.trajectory.failure)


def test_an_environment_that_hangs_costs_its_episodes_and_no_more(tmp_path: Path) -> None:
    config = tiny(
        f"env={__name__}:Hanging",
        "rollout.max_failure_rate=1.0",
        "rollout.step_timeout_s=0.5",
        "rollout.tasks=6",
        "eval.episodes=0",
    )
    assert start_or_go_on(tmp_path / "run", config).iterations == 4
    logged = list(episodes(tmp_path / "run" / "trajectories.log"))
    hung = [e for e in logged if not e.trajectory.valid]
    assert hung
    assert {e.trajectory.failure.boundary for e in hung if e.trajectory.failure} == {"env"}
    assert {e.trajectory.stop for e in hung} <= {Stop.TIMEOUT, Stop.ERROR}
    assert len([e for e in logged if e.phase == "train"]) == 4 * 18


def test_a_part_of_the_reward_that_never_comes_is_told(tmp_path: Path) -> None:
    said: list[str] = []

    class Listening(Silent):
        def say(self, message: str, *, warning: bool = False) -> None:
            said.append(message)

    gated = 'credit={name="gated", channels=[{name="tets", gate=0.5}, {name="rest"}]}'
    config = tiny(gated, "reward.invalid_action_penalty=0.1", "eval.episodes=0")
    start_or_go_on(tmp_path / "run", config, Listening())
    told = [text for text in said if "no turn had the part 'tets' of the reward" in text]
    assert len(told) == 1
    assert "did you mean" not in told[0]
    said.clear()
    start_or_go_on(tmp_path / "again", tiny(*CHANNEL_OF_OURS), Listening())
    assert not any("no turn had the part" in text for text in said)


def test_too_many_failures_stop_the_run_with_the_reason(tmp_path: Path) -> None:
    config = tiny(f"env={__name__}:Fragile", "rollout.max_failure_rate=0.0", "rollout.tasks=9")
    with pytest.raises(TooManyFailures, match="a part of the platform broke"):
        start_or_go_on(tmp_path / "run", config)


# When it stops -----------------------------------------------------------------------------------


def test_it_stops_at_the_target(tmp_path: Path) -> None:
    result = start_or_go_on(tmp_path / "run", tiny("eval.target=0.0", "warmstart.epochs=20"))
    assert "with 95 % confidence" in result.reason
    assert result.iterations < 4


def test_it_stops_when_the_time_is_up(tmp_path: Path) -> None:
    result = start_or_go_on(tmp_path / "run", tiny("train.time_limit_s=0.001"))
    assert (result.iterations, "time limit" in result.reason) == (0, True)


# Mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("backend=vllm", UnknownName, "backend 'vllm'"),
        ("backend=scripted", ConfigError, "cannot be trained with"),
        ("model=/no/such/folder", ConfigError, "no model folder '/no/such/folder'"),
        ("model=./nothing", ConfigError, "no model folder"),
        ("env=gess", UnknownName, "did you mean 'guess'"),
        ("env.preset=tiny", UnknownName, "preset of guess 'tiny'"),
        ("env.options.max_turns=0", ConfigError, "max_turns must be a whole number"),
        ("env.options.colour=1", UnknownName, "option of guess 'colour'"),
        ("credit=gigppo", UnknownName, "did you mean 'gigpo'"),
        ("credit.gama=0.9", UnknownName, "credit.gama"),
        ("credit.gamma=1.5", ConfigError, "gamma"),
        ("loss.clip_low=2.0", ConfigError, "clip_low"),
        ("rollout.context=windw", UnknownName, "did you mean 'window'"),
        ("rollout.context={name='window', turns=-1}", ConfigError, "-1"),
        ("normalise=batch", UserError, "scope"),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    override: str, error: type[UserError], message: str
) -> None:
    with pytest.raises(error) as caught:
        parts.check(tiny(override))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("credt=grpo", "did you mean 'credit'"),
        ("rollout.task=3", "rollout.tasks"),
        ("optim.lr=fast", "must be a number"),
        ("train.iterations=2.5", "whole number"),
        ("warmstart.noise=1.5", "less than or equal to 1"),
    ],
)
def test_wrong_keys_and_types_name_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(override)


def test_a_scheme_that_needs_state_keys_is_refused_where_there_are_none() -> None:
    config = tiny(f"env={__name__}:Mute", "warmstart.demonstrations=0")
    with pytest.raises(ConfigError, match="state_key"):
        parts.check(config)
    parts.check(tiny(f"env={__name__}:Mute", "warmstart.demonstrations=0", "credit=grpo"))
    with pytest.raises(ConfigError, match="no expert"):
        parts.check(tiny(f"env={__name__}:Mute", "credit=grpo"))


def test_a_scheme_that_needs_rewards_of_turns_is_refused_where_only_the_end_is_rewarded() -> None:
    wanted = "TurnReturn needs turn_reward, which the environment '(guess|household)' does not"
    for override in ("credit=turn_return", "credit=grpo + turn_return", "credit=gated"):
        with pytest.raises(ConfigError, match="turn_reward, which the environment 'guess' does"):
            parts.check(tiny(override))
    with pytest.raises(ConfigError, match=wanted):
        parts.check(load_recipe("household-grpo", ["credit=turn_return"]))
    parts.check(load_recipe("household-grpo", ["credit=turn_return", DENSE]))
    parts.check(tiny("credit=turn_return", "reward.invalid_action_penalty=0.1"))


def test_schemes_are_summed_from_the_command_line() -> None:
    penalty = "reward.invalid_action_penalty=0.1"
    config = load_recipe("guess", ["credit=0.5*gigpo(gamma=0.9) + turn_return", penalty])
    assert parts.check(config).credit.needs == {"state_key", "turn_reward"}
    with pytest.raises(UnknownName, match="did you mean 'gigpo'"):
        parts.check(load_recipe("guess", ["credit=0.5*gipgo + grpo"]))


def test_a_model_without_a_chat_template_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(undisturbed / "policy", bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="no chat template"):
        parts.check(tiny(f"model={bare}"))


# Recipes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_recipe_is_sound(name: str) -> None:
    config = load_recipe(name)
    assert config.description
    assert config.recipe == name
    assert load(TrainConfig, _reloaded(dump_toml(config))) == config
    if not name.startswith("alfworld"):  # those need games: see test_recipes.py
        parts.check(config)


def _reloaded(text: str) -> dict[str, object]:
    import tomllib

    return tomllib.loads(text)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'quickstart'"):
        load_recipe("quikstart")


def test_command_lines_of_the_documentation_parse() -> None:
    config = load_recipe(
        "household-gigpo",
        ["model=PATH", "train.iterations=20", "env.preset=small", "credit.gamma=0.9", "backend=hf"],
    )
    assert (config.model.path, config.env.preset) == ("PATH", "small")
    assert config.credit.params["gamma"] == 0.9
    config = load_recipe("alfworld-gigpo", ["model=Qwen/Qwen2.5-1.5B-Instruct", "backend=vllm"])
    assert config.backend.name == "vllm"


def test_the_score_counts_failures_beside_and_never_as_zero() -> None:
    score = Score(8, 4, 2, 0.5, 3.0, None)
    assert score.rate == 0.5
    assert score.interval[0] < 0.5 < score.interval[1]
    assert "2 failed" in str(score)
    assert json.loads(json.dumps(score.as_json())) == score.as_json()


def test_the_score_adds_up_the_named_parts_of_rewards() -> None:
    [first, second] = example(rewards=[[0.25, 1.0], [0.25, 0.25]]).trajectories_G
    named = [
        [{"checks": 0.25}, {"success": 1.0}],
        [{"checks": 0.25}, {"checks": 0.25}],
    ]
    episodes = [
        replace(
            t, turns=tuple(replace(k, reward_parts=p) for k, p in zip(t.turns, parts, strict=True))
        )
        for t, parts in zip((first, second), named, strict=True)
    ]
    score = Score.of(episodes)
    assert score.mean_parts == {"checks": 0.375, "success": 0.5}
    assert sum(score.mean_parts.values()) == score.mean_return
    assert score.metrics("eval")["eval/reward_checks"] == 0.375
    assert Score(**json.loads(json.dumps(score.as_json()))) == score


def test_a_recipe_of_ones_own_may_extend_one_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "guess"\n[credit]\nname = "rloo"\n')
    config = load_recipe(str(path))
    assert (config.env.name, config.credit.name) == ("guess", "rloo")
