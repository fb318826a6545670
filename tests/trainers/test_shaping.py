"""What a recipe makes of rewards: weights of their parts, and the economy of tool calls."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym import Outcome
from agentgym.config import load
from agentgym.envs.guess import Guess
from agentgym.errors import ConfigError
from agentgym.rewards.otc import Fewest, grpo_economy, ppo_economy
from agentgym.testing.samples import sample_groups
from agentgym.trainers.config import RewardConfig, TrainConfig
from agentgym.trainers.credit.common import example
from agentgym.trainers.economy import ToolEconomy, economy_of, tool_calls
from agentgym.trainers.evaluate import Score
from agentgym.trainers.prepare import missing_parts, shape_rewards, weigh_parts
from agentgym.trainers.shaping import Shaping
from agentgym.types import Group

__all__ = ["Asking"]


class Asking(Guess):
    """A guessing game whose every guess counts as a tool call."""

    stated_facts = frozenset({"tool_calls"})

    def act(self, action: str) -> Outcome:
        outcome = super().act(action)
        outcome.info["facts"] = {"tool_calls": 1}
        outcome.reward_parts = {"outcome": outcome.reward, "format": 0.5}
        outcome.reward += 0.5
        return outcome


def episodes(
    *members: list[tuple[dict[str, float], int]], success: Any = None, rest: float = 0.0
) -> Group:
    """A group whose turns have these parts of rewards and tool calls."""
    group = example([[sum(p.values()) + rest for p, _ in turns] for turns in members])
    made = []
    for trajectory, turns in zip(group.trajectories_G, members, strict=True):
        changed = tuple(
            replace(turn, reward_parts=parts, facts={"tool_calls": calls})
            for turn, (parts, calls) in zip(trajectory.turns, turns, strict=True)
        )
        made.append(replace(trajectory, turns=changed, success=success))
    return replace(group, trajectories_G=tuple(made))


def rewards(group: Group) -> list[list[float]]:
    return [list(trajectory.rewards_K) for trajectory in group.trajectories_G]


# Weights ------------------------------------------------------------------------------------------


def test_the_reward_becomes_the_weighted_sum_of_its_parts() -> None:
    group = episodes([({"outcome": 1.0, "format": 0.5}, 0), ({"format": 1.0}, 0)], rest=0.25)
    weighed = weigh_parts(group, {"outcome": 2.0, "format": 0.1})
    assert rewards(weighed) == [[2.05, 0.1]]
    assert dict(weighed.trajectories_G[0].turns[0].reward_parts) == {"outcome": 2.0, "format": 0.05}
    # What has no weight counts 0; what has no name is called rest.
    assert rewards(weigh_parts(group, {"outcome": 1.0})) == [[1.0, 0.0]]
    assert rewards(weigh_parts(group, {"rest": 4.0})) == [[1.0, 1.0]]
    assert weigh_parts(group, {}) is group


@given(
    seed=st.integers(0, 500),
    weights=st.dictionaries(st.sampled_from(["a", "b", "rest"]), st.floats(-3, 3), min_size=1),
)
def test_weights_are_linear_and_touch_nothing_else(seed: int, weights: dict[str, float]) -> None:
    for group in sample_groups(seed, 5):
        named = replace(
            group,
            trajectories_G=tuple(
                replace(
                    t,
                    turns=tuple(
                        replace(turn, reward_parts={"a": turn.reward / 2, "b": 1.0})
                        for turn in t.turns
                    ),
                )
                for t in group.trajectories_G
            ),
        )
        before = repr(named)
        weighed = weigh_parts(named, weights)
        assert repr(named) == before
        ones = weigh_parts(named, dict.fromkeys(["a", "b", "rest"], 1.0))
        for one, other, same in zip(
            named.trajectories_G, weighed.trajectories_G, ones.trajectories_G, strict=True
        ):
            assert list(same.rewards_K) == pytest.approx(list(one.rewards_K))
            for turn, after in zip(one.turns, other.turns, strict=True):
                a, b = turn.reward / 2, 1.0
                got = [weights.get("a", 0) * a, weights.get("b", 0) * b]
                got.append(weights.get("rest", 0) * (turn.reward - a - b))
                assert after.reward == pytest.approx(sum(got), abs=1e-9)
                assert replace(after, reward=turn.reward, reward_parts=turn.reward_parts) == turn


def test_penalties_come_after_the_weights() -> None:
    group = episodes([({"outcome": 1.0}, 0)])
    first = group.trajectories_G[0]
    wrong = replace(first, turns=(replace(first.turns[0], action_valid=False),))
    config = RewardConfig(parts={"outcome": 3.0}, invalid_action_penalty=0.5)
    assert rewards(shape_rewards(replace(group, trajectories_G=(wrong,)), config)) == [[2.5]]


def test_parts_that_no_reward_has() -> None:
    group = episodes([({"outcome": 1.0, "format": 0.0}, 0)])
    assert missing_parts([group], {"outcome": 1.0, "form": 1.0}) == ["form"]
    assert missing_parts([group], {"rest": 1.0}) == []
    with pytest.raises(ConfigError, match=r"'formt', but .* none of them; did you mean 'format'"):
        missing_parts([group], {"formt": 1.0})
    unnamed = example([[1.0], [0.0]])
    with pytest.raises(ConfigError, match=r"none of them; known: rest$"):
        missing_parts([unnamed], {"outcome": 1.0})
    # Where nobody was rewarded there is nothing to say yet.
    assert missing_parts([example([[0.0]])], {"outcome": 1.0}) == ["outcome"]


def test_missing_parts_are_told_once_and_refused_at_the_first_rewards() -> None:
    said: list[str] = []
    shaping = Shaping(RewardConfig(parts={"outcome": 1.0, "form": 1.0}), None, said.append)
    shaping([example([[0.0]])])
    assert said == []
    shaping([episodes([({"outcome": 1.0}, 0)])])
    shaping([episodes([({"outcome": 1.0}, 0)])])
    assert said == [
        "the section [reward] names form, which no reward has had so far; there are outcome"
    ]
    late = Shaping(RewardConfig(parts={"outcom": 1.0}), None, said.append)
    late([example([[0.0]])])
    with pytest.raises(ConfigError, match="did you mean 'outcome'"):
        late([episodes([({"outcome": 1.0}, 0)])])


def test_the_part_that_tool_calls_make_less_of_must_be_there() -> None:
    def shaping(part: str) -> Shaping:
        return Shaping(RewardConfig(), ToolEconomy("otc-ppo", c=4.0, part=part), lambda _: None)

    group = episodes([({"f1": 1.0}, 2)])
    with pytest.raises(
        ConfigError, match=r"names the parts 'outcome'.*known: f1, rest; if it comes"
    ):
        shaping("outcome")([group])
    assert rewards(shaping("f1")([group])[0])[0][0] < 1
    assert rewards(shaping("*")([example([[1.0]])])[0]) == [[1.0]]


# The economy of tool calls ------------------------------------------------------------------------


def test_otc_ppo_by_hand() -> None:
    group = episodes(
        [({"format": 0.5}, 2), ({"outcome": 1.0, "format": 0.5}, 0)],
        [({"format": 0.5}, 0), ({"outcome": 0.0, "format": 0.5}, 0)],
    )
    economy = ToolEconomy("otc-ppo", c=4.0, alpha=2.0)
    shaped, fewest = economy(group, Fewest())
    expected = 2 * math.cos(2 * math.pi / 8)
    assert rewards(shaped)[0] == pytest.approx([0.5, 0.5 + expected])
    assert shaped.trajectories_G[0].turns[1].reward_parts["outcome"] == pytest.approx(expected)
    assert rewards(shaped)[1] == [0.5, 0.5]  # a wrong answer has nothing to lose or to win
    assert fewest.by_task == {"example": 2}


def test_otc_grpo_compares_with_the_fewest_calls_of_a_right_answer() -> None:
    group = episodes([({"outcome": 1.0}, 6)], [({"outcome": 1.0}, 3)], [({"outcome": 0.0}, 1)])
    economy = ToolEconomy("otc-grpo", c=8.0)
    shaped, fewest = economy(group, Fewest())
    assert rewards(shaped) == [[pytest.approx(grpo_economy(6, 3, 8.0))], [1.0], [0.0]]
    assert fewest.by_task == {"example": 3}
    # Another time the minimum of before counts, although nobody reaches it.
    again, fewest = economy(group, Fewest({"example": 2}))
    assert rewards(again)[1] == [pytest.approx(grpo_economy(3, 2, 8.0))]
    assert fewest.by_task == {"example": 2}


def test_the_verdict_says_what_is_right_where_there_is_one() -> None:
    partly = episodes([({"outcome": 0.5}, 3)], success=False)
    shaped, fewest = ToolEconomy("otc-grpo", c=8.0)(partly, Fewest())
    assert fewest.by_task == {}  # no right answer yet, so as in otc-ppo
    assert rewards(shaped) == [[pytest.approx(0.5 * ppo_economy(3, 8.0))]]


def test_calls_never_make_a_loss_smaller() -> None:
    lost = episodes([({"outcome": -1.0}, 9)])
    variants: list[Any] = ["otc-ppo", "otc-grpo"]
    for variant in variants:
        shaped, _ = ToolEconomy(variant, c=4.0)(lost, Fewest())
        assert shaped == lost


def test_spoiled_episodes_say_nothing_about_calls() -> None:
    group = episodes([({"outcome": 1.0}, 1)], [({"outcome": 1.0}, 4)])
    from agentgym.types import Stop

    spoiled = replace(group.trajectories_G[0], stop=Stop.ERROR)
    group = replace(group, trajectories_G=(spoiled, group.trajectories_G[1]))
    shaped, fewest = ToolEconomy("otc-grpo", c=4.0)(group, Fewest())
    assert fewest.by_task == {"example": 4}
    assert rewards(shaped) == [[1.0], [1.0]]


def test_the_whole_reward_may_be_meant() -> None:
    group = episodes([({"outcome": 1.0, "format": 1.0}, 1)], rest=2.0)
    shaped, _ = ToolEconomy("otc-ppo", c=2.0, part="*")(group, Fewest())
    assert rewards(shaped) == [[pytest.approx(4 * math.sqrt(0.5))]]
    assert shaped.trajectories_G[0].turns[0].reward_parts["format"] == pytest.approx(0.5**0.5)


@given(
    calls=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    variant=st.sampled_from(["otc-ppo", "otc-grpo"]),
)
def test_fewer_calls_are_never_worth_less(calls: list[int], variant: Any) -> None:
    group = episodes(*[[({"outcome": 1.0}, count)] for count in calls])
    shaped, fewest = ToolEconomy(variant, c=6.0)(group, Fewest())
    values = [turns[0] for turns in rewards(shaped)]
    ranked = [value for _, value in sorted(zip(calls, values, strict=True))]
    assert ranked == sorted(ranked, reverse=True)
    assert fewest.by_task == {"example": min(calls)}


def test_the_memory_goes_through_json() -> None:
    economy = ToolEconomy("otc-grpo", c=4.0)
    config = RewardConfig(parts={"outcome": 1.0})
    one, other = (Shaping(config, economy, lambda _: None) for _ in range(2))
    one([episodes([({"outcome": 1.0}, 2)])])
    other.load(json.loads(json.dumps(one.state())))
    slower = [episodes([({"outcome": 1.0}, 5)])]
    assert rewards(other(slower)[0]) == rewards(one(slower)[0])
    assert rewards(other(slower)[0])[0][0] < 1


def test_calls_are_counted_over_the_turns() -> None:
    [trajectory] = episodes([({}, 2), ({}, 0), ({}, 3)]).trajectories_G
    assert tool_calls(trajectory) == 5
    score = Score.of([trajectory])
    assert score.metrics("train")["train/tool_calls"] == 5.0
    assert "train/tool_calls" not in Score.of(example([[0.0]]).trajectories_G).metrics("train")


# In a recipe --------------------------------------------------------------------------------------

TINY: dict[str, Any] = {
    "env": {"name": f"{__name__}:Asking"},
    "model": {"preset": "tiny"},
    "warmstart": {"demonstrations": 32, "noise": 0.1, "optimizer": {"lr": 3e-3, "warmup": 2}},
    "rollout": {"tasks": 4, "group_size": 3, "max_tokens_per_call": 3, "opening": ""},
    "credit": {"name": "grpo"},
    "optim": {"lr": 1e-3},
    "eval": {"every": 0, "episodes": 0, "final_episodes": 0},
    "train": {"iterations": 3, "checkpoint_every": 1},
}


def tiny(*overrides: str) -> TrainConfig:
    return load(TrainConfig, TINY, overrides)


def test_a_recipe_says_it_in_a_word_or_in_a_section() -> None:
    config = tiny("reward.tool_economy=otc-ppo", "reward.parts.outcome=1.0")
    assert economy_of(config, Asking()) == ToolEconomy("otc-ppo", c=float(Asking.max_turns or 0))
    assert config.reward.parts == {"outcome": 1.0}
    config = tiny(
        "reward.tool_economy=otc-grpo", "reward.tool_economy.c=3.0", "rollout.max_turns=5"
    )
    assert economy_of(config, Asking()) == ToolEconomy("otc-grpo", c=3.0)
    config = tiny("reward.tool_economy=otc-grpo", "rollout.max_turns=5")
    assert economy_of(config, Asking()) == ToolEconomy("otc-grpo", c=5.0)
    assert economy_of(tiny(), Asking()) is None
    for bad in ("tool_economy=otc", "tool_economy.alpha=0.0", "parts.outcome=nan", "parts.a=x"):
        with pytest.raises(ConfigError, match=r"reward\."):
            tiny(f"reward.{bad}")


def test_an_environment_that_counts_no_calls_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not say how many a turn makes"):
        economy_of(tiny("reward.tool_economy=otc-ppo"), Guess())

    class Endless(Asking):
        max_turns = cast("int", None)

    with pytest.raises(ConfigError, match=r"tool_economy\.c .* has none"):
        economy_of(tiny("reward.tool_economy=otc-ppo"), Endless())


@pytest.mark.train
def test_a_run_that_goes_on_has_the_memory_of_an_undisturbed_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from training_runs import Interrupting, same, start_or_go_on

    from agentgym.records import read_metrics
    from agentgym.records.checkpoint import verified

    config = tiny(
        "reward.tool_economy=otc-grpo", "reward.tool_economy.alpha=0.5", "reward.parts.outcome=1.0"
    )
    start_or_go_on(tmp_path / "whole", config)
    start_or_go_on(tmp_path / "cut", config, Interrupting())
    start_or_go_on(tmp_path / "cut", config)
    assert same(tmp_path / "whole", tmp_path / "cut")
    whole, cut = (
        {
            step: cast("Any", verified(tmp_path / run / "checkpoints" / f"step_{step}")).state
            for step in (2, 3)
        }
        for run in ("whole", "cut")
    )
    assert cut[3]["shaping"] == whole[3]["shaping"]
    before, after = (set(cut[step]["shaping"]["fewest_calls"]) for step in (2, 3))
    assert before  # what was known when it was interrupted, and still is
    assert before <= after
    rows = [row for row in read_metrics(tmp_path / "whole") if "train/success" in row]
    assert len(rows) == 3
    for row in rows:
        assert 0 <= row["reward/learned_return"] <= row["train/reward_outcome"] / 2
        assert row["train/reward_format"] > 0  # it has no weight, and its curve all the same
        assert row["train/tool_calls"] == row["train/mean_turns"]
    assert any(row["reward/learned_return"] for row in rows)


@pytest.mark.train
def test_a_run_that_weighs_nothing_there_is_stops_with_the_reason(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from training_runs import start_or_go_on

    with pytest.raises(ConfigError, match="did you mean 'outcome'"):
        start_or_go_on(tmp_path / "run", tiny("reward.parts.outcomes=1.0"))
