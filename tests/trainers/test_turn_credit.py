"""Schemes below the episode: token returns, turn returns, gates, information gain, critics."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.config import build
from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.trainers.credit.base import Advantages, problems, widen_tokens
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import INVALID_ACTION, example
from agentgym.trainers.credit.flow_grpo import FlowGRPO, to_bfloat16
from agentgym.trainers.credit.gae import GAE
from agentgym.trainers.credit.gated import Channel, Gated
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.credit.turn_return import TurnReturn
from agentgym.trainers.prepare import penalise_invalid_actions
from agentgym.types import Group, Stop, Trajectory

rewards = st.sampled_from([0.0, 1.0, -0.5, 0.25])
episodes = st.lists(st.lists(rewards, min_size=1, max_size=4), min_size=2, max_size=5)


def per_turn(advantages: Advantages) -> list[list[float]]:
    """The number of the first token of each turn."""
    return [[float(turn[0][0]) if len(turn[0]) else 0.0 for turn in m] for m in advantages]


def change(group: Group, g: int, **what: Any) -> Group:
    members = list(group.trajectories_G)
    members[g] = dataclasses.replace(members[g], **what)
    return dataclasses.replace(group, trajectories_G=tuple(members))


def with_calls(trajectory: Trajectory, sizes: list[list[tuple[int, bool]]]) -> Trajectory:
    """Give each turn calls of (tokens, trainable)."""
    call = trajectory.turns[0].calls[0]
    turns = tuple(
        dataclasses.replace(
            turn,
            calls=tuple(
                dataclasses.replace(
                    call, sample_ids=(1,) * n, logprobs=(-1.0,) * n, trainable=trainable
                )
                for n, trainable in calls
            ),
        )
        for turn, calls in zip(trajectory.turns, sizes, strict=True)
    )
    return dataclasses.replace(trajectory, turns=turns)


# Token returns --------------------------------------------------------------------------------


def test_token_returns_run_on_through_the_turns_and_skip_frozen_calls() -> None:
    group = example([[0.0, 1.0, 4.0]])
    sizes = [[(1, True), (3, False)], [(2, True)], [(2, False)]]
    group = change(group, 0, turns=with_calls(group.trajectories_G[0], sizes).turns)
    advantages = ReinforcePP(gamma=0.5)(group)
    assert problems(group, advantages) == []
    # The last turn has no token in training: its reward belongs to the token before it.
    assert [[v.tolist() for v in turn] for turn in advantages[0]] == [
        [[1.25], [0.0, 0.0, 0.0]],
        [[2.5, 5.0]],
        [[0.0, 0.0]],
    ]
    # As rows of their own, turns carry the return of the episode; a lone one cannot hand it on.
    rows = ReinforcePP(gamma=0.5, compat="verl-agent")(group)
    assert [[v.tolist() for v in turn] for turn in rows[0]] == [
        [[5.0], [0.0, 0.0, 0.0]],
        [[2.5, 5.0]],
        [[0.0, 0.0]],
    ]


def test_what_came_before_the_first_trained_token_is_nobodys_merit() -> None:
    group = example([[7.0, 1.0]], notes={"value": [[0.0, 0.0, 0.0]]})
    sizes = [[(1, False)], [(2, True)]]
    group = change(group, 0, turns=with_calls(group.trajectories_G[0], sizes).turns)
    for scheme in (ReinforcePP(), GAE()):
        assert [v.tolist() for turn in scheme(group)[0] for v in turn] == [[0.0], [1.0, 1.0]]


@given(episodes)
@settings(max_examples=50)
def test_undiscounted_token_returns_are_turn_returns(rows: list[list[float]]) -> None:
    group = example(rows, tokens=3)
    expected = per_turn(TurnReturn(gamma=1.0, baseline="none")(group))
    assert per_turn(ReinforcePP()(group)) == [pytest.approx(values) for values in expected]


@given(episodes)
@settings(max_examples=50)
def test_the_baseline_is_that_of_grpo(rows: list[list[float]]) -> None:
    group = example(rows)
    expected = per_turn(GRPO(std=False)(group))
    assert per_turn(ReinforcePP(baseline="group")(group)) == expected


def test_schemes_that_compare_nobody_have_a_signal_from_a_single_member() -> None:
    group = example([[0.0, 2.0]], notes={"value": [[0.0, 0.5]]})
    assert per_turn(ReinforcePP()(group)) == [[2.0, 2.0]]
    assert per_turn(TurnReturn(gamma=0.5, baseline="none")(group)) == [[1.0, 2.0]]
    assert per_turn(GAE()(group)) == [[2.0, 1.5]]
    assert GAE()(group).report.zero_signal_groups == 0
    for scheme in (ReinforcePP(baseline="group"), TurnReturn(), FlowGRPO()):
        assert per_turn(scheme(group)) == [[0.0, 0.0]]
    lone = example([[2.0]])
    assert per_turn(ReinforcePP(baseline="group", compat="verl-agent")(lone)) == [[2.0]]


def test_widening_tokens_refuses_another_number_of_them() -> None:
    group = example([[0.0, 0.0], [0.0]], invalid=[1])
    assert [v.tolist() for m in widen_tokens(group, [[1.0, 2.0], []]) for t in m for v in t] == [
        [1.0],
        [2.0],
        [0.0],
    ]
    with pytest.raises(ValueError, match="member 0: 2 tokens but 3 values"):
        widen_tokens(group, [[1.0, 2.0, 3.0], []])


# Turn returns ---------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["group", "turn_index"])
@pytest.mark.parametrize("std", [True, False])
@given(rows=episodes, gamma=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=30)
def test_turn_returns_equal_plain_loops(
    baseline: Any, std: bool, rows: list[list[float]], gamma: float
) -> None:
    later = [
        [sum(gamma ** (j - k) * row[j] for j in range(k, len(row))) for k in range(len(row))]
        for row in rows
    ]
    got = per_turn(TurnReturn(gamma=gamma, baseline=baseline, std=std)(example(rows)))
    for i, row in enumerate(later):
        for k, value in enumerate(row):
            same = [r[j] for r in later for j in range(len(r)) if baseline == "group" or j == k]
            expected = value - float(np.mean(same))
            if std and len(same) > 1:
                expected /= float(np.std(same, ddof=1)) + 1e-6
            assert got[i][k] == pytest.approx(expected, abs=1e-6)


def test_a_turn_that_only_one_member_reached_has_no_turn_to_be_compared_with() -> None:
    values = per_turn(TurnReturn(baseline="turn_index")(example([[0.0, 5.0], [1.0]])))
    assert values[0][1] == 0.0
    assert values[0][0] > 0 > values[1][0]


def test_a_baseline_per_turn_index_is_biased_where_the_policy_decides_when_to_stop() -> None:
    """The expected gradient by enumeration: stop for 0.5, or go on and guess for 0 or 1."""
    go, right = 0.6, 0.3
    episodes = [  # probability, rewards, and the derivative of each turn's log-probability
        (1 - go, [0.5], [(-go, 0.0)]),
        (go * (1 - right), [0.0, 0.0], [(1 - go, 0.0), (0.0, -right)]),
        (go * right, [0.0, 1.0], [(1 - go, 0.0), (0.0, 1 - right)]),
    ]
    exact = sum(p * sum(r) * np.sum(d, axis=0) for p, r, d in episodes)

    def expected(text: str) -> Any:
        """The gradient as a share of the exact one, for each of the two decisions."""
        gradient = np.zeros(2)
        for pair in itertools.product(episodes, repeat=2):
            values = per_turn(make_scheme(text)(example([r for _, r, _ in pair])))
            for (_, _, slopes), values_K in zip(pair, values, strict=True):
                both = pair[0][0] * pair[1][0] / 2
                gradient += both * np.sum(np.array(values_K)[:, None] * slopes, axis=0)
        return pytest.approx(list(gradient / exact))

    assert expected("rloo") == [1.0, 1.0]
    assert expected('turn_return(gamma=1.0, baseline="none")') == [1.0, 1.0]
    assert expected("grpo(std=false)") == [0.5, 0.5]
    # Both members reach the second turn with probability 0.6 only; a lone one learns nothing there.
    assert expected('turn_return(gamma=1.0, baseline="turn_index", std=false)') == [0.5, 0.3]
    assert expected("turn_return(gamma=1.0, std=false)") == [8 / 15, 13 / 30]


# Flow-GRPO ------------------------------------------------------------------------------------


def test_calls_in_training_are_what_agentflow_counts() -> None:
    group = example([[0.0, 1.0], [0.0]])
    first = with_calls(group.trajectories_G[0], [[(1, True), (1, True), (4, False)], [(1, False)]])
    group = change(group, 0, turns=first.turns)
    # Two calls with outcome 1 and one with 0.
    values = FlowGRPO(std=False, compat="agentflow", precision="float64")(group)
    assert [v.tolist() for v in values[0][0]] == [[pytest.approx(1 / 3)]] * 2 + [[0.0] * 4]
    assert values[0][1][0].tolist() == [0.0]
    assert values[1][0][0].tolist() == [pytest.approx(-2 / 3)]


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=20))
def test_bfloat16_is_that_of_torch(values: list[float]) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.tensor(values).to(torch.bfloat16).double().tolist()
    assert to_bfloat16(np.array(values)).tolist() == expected


@given(episodes)
@settings(max_examples=50)
def test_in_the_paper_flow_grpo_is_grpo_over_rollouts(rows: list[list[float]]) -> None:
    group = example(rows)
    expected = per_turn(GRPO()(group))
    assert per_turn(FlowGRPO()(group)) == [pytest.approx(values) for values in expected]


# Gates ----------------------------------------------------------------------------------------


def channelled(*episodes_GKp: list[dict[str, float]]) -> Group:
    """A group whose turns have these parts; "rest" is the reward without a name."""
    group = example([[sum(parts.values()) for parts in turns] for turns in episodes_GKp])
    for g, parts_K in enumerate(episodes_GKp):
        turns = tuple(
            dataclasses.replace(turn, reward_parts={n: v for n, v in parts.items() if n != "rest"})
            for turn, parts in zip(group.trajectories_G[g].turns, parts_K, strict=True)
        )
        group = change(group, g, turns=turns)
    return group


def test_farmed_steps_do_not_count_without_an_outcome() -> None:
    farmer, solver = [{"tidy": 0.5}, {"tidy": 0.5}], [{"tidy": 0.5}, {"success": 0.4}]
    group = channelled(farmer, solver)
    direct, gated = Gated(accumulation="direct"), Gated()
    assert per_turn(direct(group))[0][0] > 0 > per_turn(direct(group))[1][0]
    assert per_turn(gated(group))[0][0] < 0 < per_turn(gated(group))[1][0]
    assert [t.rewards_K for t in gated.gate(group).trajectories_G] == [(0.0, 0.0), (0.5, 0.4)]
    assert gated.gate(group).trajectories_G[1] is group.trajectories_G[1]


def test_what_no_channel_names_always_counts_and_rest_can_be_a_channel() -> None:
    group = channelled([{"rest": 2.0, "tidy": 0.5, "fast": 0.25}])
    tidy = Gated(channels=(Channel("success", 1.0), Channel("tidy")))
    assert tidy.gate(group).trajectories_G[0].rewards_K == (2.25,)
    top = Gated(channels=(Channel("rest", 3.0), Channel("*")))
    assert top.gate(group).trajectories_G[0].rewards_K == (2.0,)
    below = Gated(channels=(Channel("tidy", 1.0), Channel("rest"), Channel("fast")))
    assert below.gate(group).trajectories_G[0].rewards_K == (0.5,)
    assert dict(below.gate(group).trajectories_G[0].turns[0].reward_parts) == {"tidy": 0.5}
    assert below.closed(group.trajectories_G[0]) == {"rest", "fast"}


def test_a_group_in_which_nobody_passes_is_outcome_only_grpo() -> None:
    group = channelled([{"success": 0.5, "tidy": 3.0}], [{"success": 0.0, "tidy": 9.0}])
    outcome = example([[0.5], [0.0]])
    scheme = Gated(channels=(Channel("success", 1.0), Channel("tidy")))
    assert per_turn(scheme(group)) == per_turn(GRPO()(outcome))


def test_gates_from_a_recipe() -> None:
    made = build(
        Gated,
        {"channels": [{"name": "success", "gate": 1}, {"name": "tidy"}], "compare": ">",
         "then": {"name": "gigpo", "gamma": 0.5}},
        where="credit",
    )  # fmt: skip
    assert made == Gated((Channel("success", 1.0), Channel("tidy")), ">", then=GiGPO(gamma=0.5))
    assert made.needs == {"turn_reward", "state_key"}
    wrong: list[tuple[dict[str, object], str]] = [
        ({"channels": [{"name": "success", "gaet": 1}]}, "gaet"),
        ({"channels": [{"name": "a"}, {"name": "a"}]}, "one place in the order"),
        ({"then": "gigppo"}, "did you mean 'gigpo'"),
        ({"compare": "=>"}, "compare"),
        ({"then": {"name": "gigpo", "gama": 1}}, "gamma"),
    ]
    for params, words in wrong:
        with pytest.raises((ConfigError, UnknownName), match=words):
            build(Gated, params, where="credit")


# Information gain -----------------------------------------------------------------------------


def test_a_group_without_outcome_signal_has_its_gains() -> None:
    group = example(
        [[0.0, 0.0, 0.0], [0.0, 0.0]], notes={"gold_logprob": [[-4.0, -2.0, -1.0], [-4.0, -4.0]]}
    )
    assert GRPO()(group).report.zero_signal_groups == 1
    values = per_turn(IGPO(std=False)(group))
    # Gains 2, 1 and 0: their mean is 1. The last turn of each has its outcome only.
    assert values == [[1.0, 0.0, 0.0], [-1.0, 0.0]]
    assert IGPO()(group).report.zero_signal_groups == 0


def test_the_belief_after_the_last_turn_is_not_used() -> None:
    short = example([[0.0, 1.0], [0.0, 0.0]], notes={"gold_logprob": [[-3.0, -1.0], [-2.0, -2.0]]})
    long = example(
        [[0.0, 1.0], [0.0, 0.0]], notes={"gold_logprob": [[-3.0, -1.0, -9.0], [-2.0, -2.0, 0.0]]}
    )
    assert per_turn(IGPO()(short)) == per_turn(IGPO()(long))


def test_probabilities_weigh_gains_by_where_they_happen() -> None:
    """From 1 % to 2 % is less than from 50 % to 60 %, unless logarithms are compared."""
    beliefs = np.log([[0.01, 0.02], [0.5, 0.6]]).tolist()
    group = example([[0.0, 0.0], [0.0, 0.0]], notes={"gold_logprob": beliefs})
    low, high = (v[0] for v in per_turn(IGPO(gain="prob", std=False)(group)))
    assert (low, high) == pytest.approx((-0.045, 0.045))
    low, high = (v[0] for v in per_turn(IGPO(gain="logprob", std=False)(group)))
    assert low > 0 > high


def test_weights_of_raw_rewards_cancel_where_statistics_are_separate_and_deviations_are_one() -> (
    None
):
    notes = {"gold_logprob": [[-3.0, -1.0], [-2.0, -2.0]]}
    group = example([[0.0, 1.0], [0.0, 0.0]], notes=notes)
    norms: list[Any] = ["separate", "joint"]
    plain, heavy = (
        [per_turn(IGPO(norm=n, weigh="raw", gain_weight=w)(group)) for n in norms]
        for w in (1.0, 5.0)
    )
    assert heavy[0][0] == pytest.approx(plain[0][0], abs=1e-5)
    assert heavy[1][0] != pytest.approx(plain[1][0], abs=1e-2)


def test_weights_scale_gains_and_outcomes_each_on_its_own() -> None:
    notes = {"gold_logprob": [[-3.0, -1.0], [-2.0, -2.0]]}
    group = example([[0.0, 1.0], [0.0, 0.0]], notes=notes)
    gain, outcome = (
        np.array(per_turn(IGPO(gain_weight=g, outcome_weight=o)(group)))
        for g, o in ((1.0, 0.0), (0.0, 1.0))
    )
    both = np.array(per_turn(IGPO(gain_weight=3.0, outcome_weight=0.5)(group)))
    assert both == pytest.approx(3.0 * gain + 0.5 * outcome)
    assert gain[:, 1] == pytest.approx(0.0)  # the last turn has no gain
    assert outcome[:, 0] == pytest.approx(outcome[:, 1])


@pytest.mark.parametrize("name", ["gamma", "gain_weight", "outcome_weight"])
def test_what_the_first_version_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be 1; got 0.5"):
        build(IGPO, {"compat": "igpo-v1", name: 0.5}, where="credit")


def test_a_weight_of_zero_makes_no_turn_silent() -> None:
    group = example(
        rewards=[[0, 0, 1], [0, 0, 0]],
        notes={"gold_logprob": [[-3.0, -2.0, -1.0], [-3.0, -2.9, -2.5]]},
    )
    none, hardly_any = (
        per_turn(IGPO(silent="merge", gamma=0.5, gain_weight=w)(group)) for w in (0.0, 1e-12)
    )
    assert none[0] == pytest.approx(hardly_any[0])
    assert none[0][0] < none[0][1] < none[0][2]


def test_an_episode_without_an_answer_has_the_outcome_of_a_wrong_format() -> None:
    notes = {"gold_logprob": [[-1.0], [-1.0], [-1.0]]}
    group = example([[0.5], [0.5], [0.0]], notes=notes)
    cut = change(group, 1, stop=Stop.MAX_TURNS)
    assert per_turn(IGPO(std=False)(cut)) == per_turn(IGPO(std=False)(group))
    punished = IGPO(std=False, format_outcome=-1.0)
    assert [v[0] for v in per_turn(punished(cut))] == pytest.approx([2 / 3, -5 / 6, 1 / 6])
    turn = dataclasses.replace(group.trajectories_G[1].turns[0], action_valid=False)
    assert per_turn(punished(change(group, 1, turns=(turn,)))) == per_turn(punished(cut))
    assert punished.needs == {"gold_logprob", "action_valid"}
    assert IGPO().needs == {"gold_logprob"}
    assert IGPO(compat="igpo-v2").format_outcome == -2.0


def test_the_column_baseline_counts_what_was_shown_in_between() -> None:
    """Token 0 of the second turn stands at column 1 + 2 shown, beside nobody's or another's."""
    group = example([[0.0, 1.0], [3.0]], notes={"gold_logprob": [[0.0, 0.5], [0.0]]}, tokens=1)
    call = group.trajectories_G[0].turns[1].calls[0]
    later = dataclasses.replace(
        group.trajectories_G[0].turns[1], calls=(dataclasses.replace(call, prompt_ids=(5, 6)),)
    )
    group = change(group, 0, turns=(group.trajectories_G[0].turns[0], later))
    wide = with_calls(group.trajectories_G[1], [[(4, True)]])
    group = change(group, 1, turns=wide.turns)
    values = IGPO(compat="igpo-v1")(group)
    assert [v.tolist() for turn in values[0] for v in turn] == [[-0.75], [-1.0]]
    # Returns beside it: 1.5 of the turn, the same for what it brought to see, then 1.
    assert values[1][0][0].tolist() == [0.75, 0.75, 0.75, 1.0]


# Notes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "name", "notes", "words"),
    [
        (IGPO(), "gold_logprob", None, r"has no note 'gold_logprob' \(it has: none\); .*annotator"),
        (IGPO(), "gold_logprob", [[-1.0], [-1.0]], "must have 2 or 3 finite numbers"),
        (IGPO(), "gold_logprob", [[-1.0, float("nan")]] * 2, "finite numbers"),
        (GAE(), "value", None, "has no note 'value'"),
        (GAE(), "value", [[0.0]] * 2, "must have 4 finite numbers, one per sampled token"),
    ],
)
def test_notes_that_are_missing_or_wrong_are_named(
    scheme: Any, name: str, notes: Any, words: str
) -> None:
    group = example([[0.0, 1.0]] * 2, tokens=2, notes={name: notes} if notes else None)
    with pytest.raises(UserError, match=words):
        scheme(group)
    spoiled = example([[0.0, 1.0]] * 2, invalid=[0, 1])
    assert per_turn(scheme(spoiled)) == [[0.0, 0.0], [0.0, 0.0]]


# A critic -------------------------------------------------------------------------------------


@given(
    rows=episodes,
    gamma=st.sampled_from([0.0, 0.9, 1.0]),
    lam=st.sampled_from([0.0, 0.5, 1.0]),
    data=st.data(),
)
@settings(max_examples=50)
def test_gae_equals_the_plain_recursion(
    rows: list[list[float]], gamma: float, lam: float, data: st.DataObject
) -> None:
    values = [[data.draw(st.floats(-2, 2)) for _ in row * 2] for row in rows]
    group = example(rows, tokens=2, notes={"value": values})
    got = GAE(gamma=gamma, lam=lam)(group)
    for row, value, member in zip(rows, values, got, strict=True):
        reward = [r for total in row for r in (0.0, total)]
        running, expected = 0.0, [0.0] * len(value)
        for t in reversed(range(len(value))):
            following = value[t + 1] if t + 1 < len(value) else 0.0
            running = reward[t] + gamma * following - value[t] + gamma * lam * running
            expected[t] = running
        flat = [float(v) for turn in member for call in turn for v in call]
        assert flat == pytest.approx(expected, abs=1e-9)


def test_a_critic_that_knows_leaves_nothing_to_learn() -> None:
    group = example([[0.0, 1.0], [0.0, 0.0]], notes={"value": [[1.0, 1.0], [0.0, 0.0]]})
    advantages = GAE()(group)
    assert advantages.report.zero_signal_groups == 1
    assert per_turn(GAE().targets(group)) == [[1.0, 1.0], [0.0, 0.0]]


# Parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "params", "error", "words"),
    [
        (ReinforcePP, {"gamma": 1.1}, ConfigError, "gamma must be a number from 0 to 1"),
        (ReinforcePP, {"gamma": 0.9, "baseline": "group"}, ConfigError, "gamma must be 1"),
        (ReinforcePP, {"baseline": "grup"}, UnknownName, "did you mean 'group'"),
        (TurnReturn, {"baseline": "turnindex"}, UnknownName, "did you mean 'turn_index'"),
        (FlowGRPO, {"precision": "bf16"}, UnknownName, "bfloat16"),
        (FlowGRPO, {"compat": "agentflw"}, UnknownName, "did you mean 'agentflow'"),
        (IGPO, {"compat": "igpo-v4"}, UnknownName, "igpo-v3"),
        (IGPO, {"gamma": 0.9, "compat": "igpo-v1"}, ConfigError, "gamma must be 1; got 0.9"),
        (IGPO, {"gain_weight": 0.5, "compat": "igpo-v1"}, ConfigError, "gain_weight must be 1"),
        (IGPO, {"gain_weight": -1}, ConfigError, "gain_weight"),
        (GAE, {"lam": 2}, ConfigError, "lam must be a number from 0 to 1, got 2"),
    ],
)
def test_wrong_parameters_are_refused(
    scheme: Any, params: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        scheme(**params)


def test_a_penalty_is_felt_where_the_preset_says() -> None:
    group = example([[0.0, 0.0], [0.0, 0.0]])
    first = group.trajectories_G[0]
    wrong = dataclasses.replace(first.turns[1], action_valid=False)
    punished = penalise_invalid_actions(change(group, 0, turns=(first.turns[0], wrong)), 1.0)
    assert INVALID_ACTION in punished.trajectories_G[0].turns[1].reward_parts
    assert per_turn(ReinforcePP()(punished)) == [[-1.0, -1.0], [0.0, 0.0]]
    assert per_turn(ReinforcePP(compat="verl-agent")(punished)) == [[0.0, -1.0], [0.0, 0.0]]
