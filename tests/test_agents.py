from collections import Counter
from typing import Any

import pytest

from agentgym.agents import (
    Acting,
    Agent,
    Decision,
    Demonstrator,
    ExpertAgent,
    GoldAgent,
    NoopAgent,
    PolicyAgent,
    RandomAgent,
    ScriptedAgent,
    Start,
    StopEpisode,
    View,
)
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.scripted import Scripted
from agentgym.context import Window
from agentgym.errors import ConfigError
from agentgym.render import Renderer
from agentgym.types import Observation, Stop

BACKEND = Scripted(["go"])
RENDERER = Renderer(BACKEND.tokenizer)
START = Start("Play.", "wait", None)


def view(turn: int = 0, text: str = "You see a door.", **more: Any) -> View:
    info = more.pop("info", {})
    return View(turn, Observation(text), info, more.pop("seed", turn), **{"max_tokens": 20, **more})


def play(acting: Acting, seen: View, *replies: str) -> tuple[Decision, list[SampleRequest]]:
    """Drive one turn by hand; the replies are those of the model."""
    asked: list[SampleRequest] = []
    turn, waiting = acting.act(seen), list(replies)
    try:
        requests = next(turn)
        while True:
            asked += requests
            samples: list[Sample] = []
            for request in requests:
                [sample] = Scripted([waiting.pop(0)]).generate([request])
                assert isinstance(sample, Sample)
                samples.append(sample)
            requests = turn.send(samples)
    except StopIteration as done:
        decision = done.value
    assert isinstance(decision, Decision)
    return decision, asked


def action(agent: Agent, seen: View) -> str:
    decision, asked = play(agent.begin(START), seen)
    assert not asked
    assert not decision.calls
    return decision.action


def test_scripted_players() -> None:
    assert action(NoopAgent(), view()) == "wait"
    assert [action(ScriptedAgent(("a", "b")), view(t)) for t in range(3)] == ["a", "b", "wait"]
    assert [action(GoldAgent(), view(t, gold=("x",))) for t in range(2)] == ["x", "wait"]
    assert action(GoldAgent(), view(gold=None)) == "wait"
    assert action(ExpertAgent(), view(expert="open door")) == "open door"
    assert action(ExpertAgent(), view(expert=None)) == "wait"
    assert GoldAgent().needs == {"gold"}
    assert ExpertAgent().needs == {"expert"}


def test_random_agent_is_uniform_over_the_admissible_commands_and_seeded() -> None:
    info = {"admissible_commands": ["a", "b", "c", "d"]}
    drawn = Counter(action(RandomAgent(), view(seed=seed, info=info)) for seed in range(2000))
    assert set(drawn) == {"a", "b", "c", "d"}
    # chi-square with 3 degrees of freedom: above 16.3 once in a thousand
    assert sum((n - 500) ** 2 / 500 for n in drawn.values()) < 16.3
    first = action(RandomAgent(), view(seed=7, info=info))
    assert all(action(RandomAgent(), view(seed=7, info=info)) == first for _ in range(5))


def test_random_agent_makes_up_text_where_no_commands_are_listed() -> None:
    made_up = {action(RandomAgent(), view(seed=seed)) for seed in range(20)}
    assert len(made_up) > 15


def test_noise_is_the_share_of_random_actions() -> None:
    info = {"admissible_commands": ["a", "b"]}
    agent = ExpertAgent(noise=0.3)
    noisy = sum(
        action(agent, view(seed=seed, info=info, expert="expert")) != "expert"
        for seed in range(2000)
    )
    assert 0.26 < noisy / 2000 < 0.34
    assert action(ExpertAgent(noise=1), view(info=info, expert="expert")) in ("a", "b")


@pytest.mark.parametrize("noise", [-0.1, 1.1, float("nan")])
def test_noise_is_a_probability(noise: float) -> None:
    with pytest.raises(ConfigError, match="probability"):
        ExpertAgent(noise=noise)


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_temperature_is_not_negative(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        PolicyAgent(RENDERER, temperature=temperature)


def test_policy_extends_one_token_sequence() -> None:
    acting = PolicyAgent(RENDERER).begin(START)
    shown: list[int] = []
    for turn in range(3):
        decision, [request] = play(acting, view(turn, f"room {turn}"), "go")
        [call] = decision.calls
        assert call.fresh == request.fresh == (turn == 0)
        shown += call.prompt_ids
        assert list(request.context_ids) == shown
        shown += call.sample_ids
        assert decision.action == "go"
        assert call.sample_ids == RENDERER.reply_ids("go")
    assert RENDERER.decode(shown) == "Play.room 0goroom 1goroom 2go"


def test_policy_renders_afresh_when_the_window_moves() -> None:
    acting = PolicyAgent(RENDERER, context=Window(1)).begin(START)
    fresh = []
    for turn in range(4):
        decision, [request] = play(acting, view(turn, f"room {turn}"), "go")
        fresh.append(decision.calls[0].fresh)
        if request.fresh:
            assert tuple(request.context_ids) == request.prompt_ids
    assert fresh == [True, False, True, True]


def test_a_reply_without_the_agreed_form_is_not_well_formed() -> None:
    agent = PolicyAgent(RENDERER, action_tag="action")
    good, _ = play(agent.begin(START), view(max_tokens=60), "ok <action>open door</action>")
    bad, _ = play(agent.begin(START), view(), "open door")
    assert (good.action, good.well_formed) == ("open door", True)
    assert (bad.action, bad.well_formed) == ("open door", False)


def test_E07_a_full_context_ends_the_episode() -> None:
    start = Start("Play.", "", max_context=40)
    acting = PolicyAgent(RENDERER).begin(start)
    _, [request] = play(acting, view(text="a door"), "go")
    assert request.max_tokens == 20
    _, [request] = play(acting, view(1, text="hi"), "go")
    assert request.max_tokens == 40 - len(request.context_ids)
    with pytest.raises(StopEpisode) as stopped:
        play(acting, view(2, text="a long corridor"), "go")
    assert stopped.value.stop is Stop.CONTEXT


def test_a_demonstration_reads_as_if_the_policy_had_said_it() -> None:
    policy = PolicyAgent(RENDERER)
    sampled = policy.begin(START)
    shown = Demonstrator(policy, ScriptedAgent(("open door", "go"))).begin(START)
    for turn, said in enumerate(["open door", "go"]):
        expected, _ = play(sampled, view(turn), said)
        got, asked = play(shown, view(turn))
        assert not asked
        assert got.action == expected.action
        [call], [want] = got.calls, expected.calls
        assert (call.prompt_ids, call.sample_ids) == (want.prompt_ids, want.sample_ids)
        assert call.fresh == want.fresh
        assert call.logprobs == (0.0,) * len(call.sample_ids)


def test_a_demonstration_wears_the_agreed_tag() -> None:
    policy = PolicyAgent(RENDERER, action_tag="act")
    decision, _ = play(Demonstrator(policy, ScriptedAgent(("go",))).begin(START), view())
    assert decision.action == "go"
    assert decision.calls[0].text == "<act>go</act>"


def test_two_episodes_never_share_a_session() -> None:
    agent = PolicyAgent(RENDERER)
    sessions = {play(agent.begin(START), view(), "go")[1][0].session for _ in range(5)}
    assert len(sessions) == 5
