"""A policy with tools, from prompt to observation."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentgym.agents import Demonstrator, GoldAgent, PolicyAgent
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.scripted import Scripted
from agentgym.errors import ConfigError, EpisodeFailure
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect
from agentgym.toolcalls import Reply
from agentgym.types import Message, ToolCall, Trajectory

pytest.importorskip("transformers")

from chat_templates import CHATML, HERMES, LLAMA_TOOLS, XML, tokenizer
from tool_envs import FIND

TEMPLATES = {"hermes": HERMES, "qwen_xml": XML, "llama": LLAMA_TOOLS, "react": CHATML}
RENDERERS = {name: Renderer(tokenizer(t), tools=[FIND]) for name, t in TEMPLATES.items()}
CALL = ToolCall("find", {"q": "desk"})


class Saying(Scripted):
    """Says what is scripted in the ids of a renderer's tokenizer."""

    def __init__(self, replies: list[str], renderer: Renderer) -> None:
        super().__init__(replies)
        self.renderer = renderer

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        said: list[Sample | EpisodeFailure] = []
        for sample in super().generate(requests):
            assert isinstance(sample, Sample)
            ids = self.renderer.reply_ids(sample.text)
            said.append(replace(sample, ids=ids, logprobs=(-1.0,) * len(ids)))
        return said


def play(name: str, replies: list[str], *, demonstrate: bool = False) -> Trajectory:
    renderer = RENDERERS[name]
    policy = PolicyAgent(renderer, opening="")
    agent = Demonstrator(policy, GoldAgent()) if demonstrate else policy
    backend = Saying(replies or [""], renderer)
    limits = Limits(max_tokens_per_call=1000)
    [group] = collect([Task("tool_envs:Hall")], 1, agent, backend, seed=0, limits=limits)
    return group.trajectories_G[0]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_demonstration_is_what_the_model_would_say(name: str) -> None:
    form = RENDERERS[name].tool_format
    assert form is not None
    shown = play(name, [], demonstrate=True)
    assert shown.success
    calls = (CALL, ToolCall("find", {"q": "lamp"}))
    said = [turn.calls[0].text for turn in shown.turns]
    assert said == [form.write(calls), "hall", "hall"]
    # And what it says is understood when it says it.
    played = play(name, said)
    assert [turn.action for turn in played.turns] == [
        Reply("", calls).action,
        Reply("hall").action,
        Reply("hall").action,
    ]
    assert played.success
    assert [turn.calls[0].prompt_ids for turn in played.turns] == [
        turn.calls[0].prompt_ids for turn in shown.turns
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_tokens_of_an_episode_are_those_of_the_whole_chat(name: str) -> None:
    renderer, trajectory = RENDERERS[name], play(name, [], demonstrate=True)
    chat: list[Message] = []
    ids: tuple[int, ...] = ()
    for turn in trajectory.turns:
        chat += turn.observation.as_messages()
        ids += turn.calls[0].prompt_ids
        assert ids == renderer.first(chat)
        ids += turn.calls[0].sample_ids
        chat.append(Message("assistant", turn.calls[0].text))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("hermes", '<tool_call>\n{"name": "find", "argu'),
        ("qwen_xml", "<tool_call>\n<function=find>\n<parameter=q>desk"),
        ("llama", '{"name": "find", "parameters": ["desk"]}'),
        ("react", "Action: find\nAction Input: desk"),
    ],
)
def test_E04_a_malformed_call_is_observed_and_the_episode_goes_on(name: str, bad: str) -> None:
    form = RENDERERS[name].tool_format
    assert form is not None
    trajectory = play(name, [bad, form.write([CALL]), "hall", "hall"])
    first, second, *_ = trajectory.turns
    assert trajectory.success
    assert trajectory.failure is None
    assert first.action_valid is False
    assert second.observation.text.startswith("Malformed tool call: ")
    assert second.observation.messages[0].role == "tool"
    assert second.action_valid is True


def test_thinking_before_a_call_is_kept_until_the_user_speaks() -> None:
    form = RENDERERS["hermes"].tool_format
    assert form is not None
    thought = "<think>\nhm\n</think>\n\n"
    trajectory = play("hermes", [thought + form.write([CALL]), "hall", "hall"])
    assert [turn.calls[0].fresh for turn in trajectory.turns] == [True, False, True]
    plain = play("hermes", [form.write([CALL]), "hall", "hall"])
    assert [turn.calls[0].fresh for turn in plain.turns] == [True, False, False]


def test_a_tag_for_actions_and_tools_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="action_tag"):
        PolicyAgent(RENDERERS["react"], action_tag="action")
