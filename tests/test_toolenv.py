"""Environments whose agent calls tools: what the base class makes of a reply."""

import pytest
from tool_envs import Counting

from agentgym.agents import Demonstrator, GoldAgent, PolicyAgent, ScriptedAgent
from agentgym.backends.scripted import Scripted
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect
from agentgym.testing import check_env
from agentgym.toolcalls import Reply, tool_format
from agentgym.types import Stop, ToolCall, Trajectory

HERMES = tool_format("hermes")
BAD_NAME = '<tool_call>{"name": "../count", "arguments": {}}</tool_call>'


def played(*actions: str, seed: int = 0) -> Trajectory:
    task = Task("tool_envs:Counting", seed=seed)
    [group] = collect(
        [task], 1, ScriptedAgent(actions), None, seed=0, retries=0, max_failure_rate=1.0
    )
    return group.trajectories_G[0]


def count(*by: int | str) -> str:
    return Reply("", tuple(ToolCall("count", {"by": each}) for each in by)).action


def test_it_keeps_the_contract() -> None:
    check_env(Counting, seeds=(0, 1, 2, 3)).raise_on_failure()


def test_calls_show_their_results_in_order() -> None:
    turn, then = played(count(1, 2)).turns[:2]
    assert [(each.role, each.content) for each in then.observation.messages] == [
        ("tool", "1"),
        ("tool", "3"),
    ]
    assert (turn.action_valid, turn.reward, turn.facts) == (True, 0.25, {"tool_calls": 2})


def test_what_is_said_is_heard() -> None:
    for said in ("7", Reply("7").action):
        trajectory = played(said)
        assert trajectory.stop is Stop.DONE
        assert trajectory.turns[0].facts == {"tool_calls": 0}


@pytest.mark.parametrize(
    ("action", "valid", "shown"),
    [
        (count(0), True, "error: only upwards"),
        (count("1"), False, "error: "),
        (Reply("", (ToolCall("cuont", {}),)).action, False, "did you mean 'count'"),
        (HERMES.parse(BAD_NAME).action, False, "Malformed tool call"),
        (
            HERMES.parse('<tool_call>{"name": "count", "argu').action,
            False,
            "Malformed tool call",
        ),
    ],
)
def test_E04_a_bad_call_is_an_observation(action: str, valid: bool, shown: str) -> None:
    trajectory = played(action)
    assert shown in trajectory.turns[1].observation.text
    assert trajectory.turns[0].action_valid is valid
    assert trajectory.failure is None


def test_E05_a_tool_that_fails_fails_the_episode() -> None:
    seed = next(seed for seed in range(20) if "broken" in toolnames(seed))
    trajectory = played(Reply("", (ToolCall("broken", {}),)).action, seed=seed)
    assert trajectory.failure is not None
    assert (trajectory.failure.boundary, trajectory.valid) == ("tool", False)


def test_E06_a_thousand_calls_in_one_turn_are_capped() -> None:
    trajectory = played(Reply("", (ToolCall("count", {"by": 1}),) * 1000).action)
    turn, shown = trajectory.turns[0], trajectory.turns[1].observation
    assert turn.facts == {"tool_calls": 16}
    assert turn.action_valid is False
    assert [each.content for each in shown.messages[:16]] == [str(k) for k in range(1, 17)]
    assert "984 more calls were not made" in shown.messages[-1].content


def toolnames(seed: int) -> list[str]:
    env = Counting()
    env.reset(seed=seed)
    return list(env.toolset.names)


def test_a_policy_is_told_of_the_tools_of_its_episode() -> None:
    seeds = range(12)
    backend = Scripted(['Action: count\nAction Input: {"by": 1}', "1"])
    policy = PolicyAgent(Renderer(backend.tokenizer))
    tasks = [Task("tool_envs:Counting", seed=seed) for seed in seeds]
    limits = Limits(max_tokens_per_call=100)
    groups = collect(tasks, 1, policy, backend, seed=0, limits=limits)
    told = {}
    for seed, group in zip(seeds, groups, strict=True):
        first = group.trajectories_G[0].turns[0]
        told[seed] = "broken" in backend.tokenizer.decode(first.calls[0].prompt_ids)
        assert first.action == count(1)
    assert told == {seed: "broken" in toolnames(seed) for seed in seeds}
    assert len(set(told.values())) == 2


def test_a_small_policy_need_not_be_told() -> None:
    backend = Scripted(["9"])
    policy = PolicyAgent(Renderer(backend.tokenizer, tell_tools=False), opening="")
    agent = Demonstrator(policy, GoldAgent())
    limits = Limits(max_tokens_per_call=100)
    tasks = [Task("tool_envs:Counting", seed=1)]
    [group] = collect(tasks, 1, agent, backend, seed=0, limits=limits)
    first, last = group.trajectories_G[0].turns
    decode = backend.tokenizer.decode
    assert "count" not in decode(first.calls[0].prompt_ids)
    assert decode(first.calls[0].sample_ids).startswith("Action: count\nAction Input: ")
    assert "Observation: " in decode(last.calls[0].prompt_ids)
    assert group.trajectories_G[0].success
