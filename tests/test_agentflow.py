"""AgentFlow: who is asked what and in which order, what the record holds, and when it stops."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym import Outcome, TextEnv
from agentgym.agents import AgentFlow, Demonstrator, ExpertAgent, GoldAgent, ScriptedAgent
from agentgym.agents.agentflow import GENERATOR, NOT_FOUND, PLANNER, ROLES, UNKNOWN, VERIFIER
from agentgym.backends.base import Backend, SampleRequest
from agentgym.backends.routed import Routed
from agentgym.backends.scripted import Scripted
from agentgym.errors import ConfigError, EpisodeFailure, UnknownName
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect, run_lockstep, run_threaded
from agentgym.trainers.credit.flow_grpo import FlowGRPO
from agentgym.trainers.pack import pack, pack_demonstrations
from agentgym.types import Group, Stop, Trajectory


class Shelf(TextEnv):
    """Where does Ada live? Her page names her teacher's town, and his page names his."""

    instructions = "Find out where the teacher lives."
    noop = "wait"
    pages: Mapping[str, str] = {"Ada": "Ada was taught by Bo.", "Bo": "Bo lives in Elm Combe."}

    def __init__(self, *, max_turns: int | None = 6) -> None:
        super().__init__(max_turns=max_turns)

    def begin(self, options: Mapping[str, Any]) -> str:
        self.read: tuple[str, ...] = ()
        return "Where does the teacher of Ada live?"

    def act(self, action: str) -> Outcome:
        verb, _, rest = action.partition(" ")
        if verb == "say":
            right = rest == "'Elm Combe'"
            return Outcome("Done.", float(right), terminated=True, success=right, action_valid=True)
        if verb == "open:" and rest in self.pages:
            self.read += (rest,)
            return Outcome(self.pages[rest], action_valid=True)
        return Outcome("What?", action_valid=False)

    def state_key(self) -> str:
        return repr(self.read)

    def gold(self) -> Iterable[str]:
        return ["open: Ada", "open: Bo", "say 'Elm Combe'"][len(self.read) :]


ENV = f"{__name__}:Shelf"
RENDERER = Renderer(Scripted(["x"]).tokenizer)
LIMITS = Limits(max_tokens_per_call=40)
EVERYBODY = dict.fromkeys(ROLES, RENDERER)

Says = Callable[[SampleRequest], str | EpisodeFailure]


def flow(*models: str, **more: Any) -> AgentFlow:
    """An agent whose planner and `models` are models."""
    renderers = dict.fromkeys((PLANNER, *models), RENDERER)
    settings = {"tools": ("open",), "conclude": "conclude", "answer_form": "say '{answer}'"}
    return AgentFlow(renderers, **{**settings, "max_steps": 4, **more})


def play(
    agent: AgentFlow, backend: Backend, *, members: int = 1, limits: Limits = LIMITS, **more: Any
) -> Group:
    [group] = collect([Task(ENV)], members, agent, backend, seed=0, limits=limits, **more)
    return group


def once(agent: AgentFlow, *plans: str, limits: Limits = LIMITS) -> Trajectory:
    """An episode in which the planner says these things, and then repeats the last."""
    return play(agent, Scripted(plans), limits=limits).trajectories_G[0]


def record(request: SampleRequest) -> str:
    return request.messages[-1].content


def roles(trajectory: Trajectory) -> list[list[str]]:
    return [[call.role for call in turn.calls] for turn in trajectory.turns]


# Who is asked what --------------------------------------------------------------------------------


def test_the_roles_are_asked_in_order_and_see_the_record_grow() -> None:
    asked: list[SampleRequest] = []
    plans = iter(["open: Ada", "open: Bo", "conclude: Elm Combe"])
    verdicts = iter(["go on", "go on", "stop"])

    def say(request: SampleRequest) -> str:
        asked.append(request)
        match request.role:
            case "planner":
                return next(plans)
            case "executor":
                return record(request).splitlines()[-1]
            case "verifier":
                return next(verdicts)
        return "Elm Combe"

    episode = play(flow(*ROLES[1:]), Scripted(say)).trajectories_G[0]
    assert roles(episode) == [
        ["planner", "executor"],
        ["verifier", "planner", "executor"],
        ["verifier", "planner", "verifier", "generator"],
    ]
    assert [turn.action for turn in episode.turns] == ["open: Ada", "open: Bo", "say 'Elm Combe'"]
    assert (episode.stop, episode.success) == (Stop.DONE, True)
    question = "Where does the teacher of Ada live?"
    assert record(asked[0]) == question
    assert record(asked[1]) == f"{question}\nopen: Ada"
    assert record(asked[2]) == record(asked[3]) == f"{question}\nopen: Ada\nAda was taught by Bo."
    assert record(asked[-1]) == (
        f"{question}\nopen: Ada\nAda was taught by Bo.\nopen: Bo\nBo lives in Elm Combe.\n"
        "conclude: Elm Combe"
    )
    assert "Tools: open" in asked[0].messages[0].content
    assert Shelf.instructions in asked[0].messages[0].content


def test_only_the_planner_is_trained_and_only_it_is_sampled_with_a_temperature() -> None:
    temperatures: dict[str, set[float]] = {role: set() for role in ROLES}

    def say(request: SampleRequest) -> str:
        temperatures[request.role].add(request.temperature)
        said = {"planner": "open: Ada", "executor": "open: Ada", "verifier": "go on"}
        return said.get(request.role, "Elm")

    episode = play(flow(*ROLES[1:], temperature=0.7), Scripted(say)).trajectories_G[0]
    calls = [call for turn in episode.turns for call in turn.calls]
    assert {call.role for call in calls} == set(ROLES)
    assert all(call.trainable == (call.role == PLANNER) for call in calls)
    assert temperatures.pop(PLANNER) == {0.7}
    assert set().union(*temperatures.values()) == {0.0}


def test_every_call_is_a_sequence_of_its_own_with_the_exact_ids() -> None:
    asked: list[SampleRequest] = []

    def say(request: SampleRequest) -> str:
        asked.append(request)
        return "open: Bo" if request.role == PLANNER else "go on"

    episode = play(flow(VERIFIER), Scripted(say)).trajectories_G[0]
    calls = [call for turn in episode.turns for call in turn.calls]
    assert len(calls) == len(asked)
    for call, request in zip(calls, asked, strict=True):
        assert call.fresh
        assert call.prompt_ids == tuple(request.context_ids) == RENDERER.first(request.messages)
        assert call.sample_ids == RENDERER.reply_ids(call.text)
    assert len({request.seed for request in asked}) == len(asked)


# Rules --------------------------------------------------------------------------------------------


def test_by_rule_the_planner_s_decisions_are_all_that_is_sampled() -> None:
    episode = once(flow(), "open: Ada", "open: Bo", "conclude: Elm Combe")
    assert roles(episode) == [["planner"]] * 3
    assert [turn.action for turn in episode.turns] == ["open: Ada", "open: Bo", "say 'Elm Combe'"]
    assert episode.success


def test_a_conclusion_that_no_result_holds_is_not_accepted_and_the_planner_reads_so() -> None:
    seen: list[str] = []
    plans = iter(["conclude: Elm Combe", "open: Bo", "conclude: elm  combe"])

    def say(request: SampleRequest) -> str:
        seen.append(record(request))
        return next(plans)

    episode = play(flow(), Scripted(say)).trajectories_G[0]
    assert [turn.action for turn in episode.turns] == ["open: Bo", "say 'elm combe'"]
    assert roles(episode) == [["planner", "planner"], ["planner"]]
    assert seen[1].endswith(f"conclude: Elm Combe\n{NOT_FOUND}")
    assert NOT_FOUND in seen[2]  # the record keeps it


def test_a_conclusion_that_was_refused_is_not_accepted_by_a_later_result() -> None:
    episode = once(flow(max_steps=3), "conclude: Elm Combe", "open: Bo", "open: Ada")
    assert [turn.action for turn in episode.turns] == ["open: Bo", "open: Ada", "say 'Elm Combe'"]


def test_without_grounding_any_conclusion_stops() -> None:
    episode = once(flow(grounded=False), "conclude: Oak")
    assert [turn.action for turn in episode.turns] == ["say 'Oak'"]


def test_a_verifier_that_is_a_model_stops_before_the_planner_speaks_again() -> None:
    def say(request: SampleRequest) -> str:
        if request.role == PLANNER:
            return "open: Bo"
        if request.role == VERIFIER:
            return "Stop." if "Elm Combe" in record(request) else "go on"
        return "Elm Combe"

    episode = play(flow(VERIFIER, GENERATOR), Scripted(say)).trajectories_G[0]
    assert roles(episode) == [["planner"], ["verifier", "generator"]]
    assert episode.success


def test_after_so_many_steps_the_generator_answers_with_what_there_is() -> None:
    episode = once(flow(max_steps=2), "open: Ada")
    assert [turn.action for turn in episode.turns] == ["open: Ada", "open: Ada", f"say '{UNKNOWN}'"]
    assert roles(episode) == [["planner"], ["planner"], []]
    assert (episode.stop, episode.success) == (Stop.DONE, False)


def test_an_answer_that_does_not_end_the_episode_is_given_again() -> None:
    agent = flow(max_steps=1, answer_form="announce {answer}")
    episode = once(agent, "open: Ada")
    assert [turn.action for turn in episode.turns] == ["open: Ada"] + [f"announce {UNKNOWN}"] * 5
    assert episode.stop is Stop.MAX_TURNS


# What the planner gets wrong ----------------------------------------------------------------------


def test_what_is_no_step_reaches_no_environment_and_the_record_says_so() -> None:
    seen: list[str] = []
    plans = iter(["say 'Elm Combe'", "open:", "<think>open: Ada", "I think\nOPEN : Ada"])

    def say(request: SampleRequest) -> str:
        seen.append(record(request))
        return next(plans, "open: Bo")

    agent = flow(max_steps=5)
    episode = play(agent, Scripted(say)).trajectories_G[0]
    assert [turn.action for turn in episode.turns][:2] == ["open: Ada", "open: Bo"]
    assert [len(turn.calls) for turn in episode.turns] == [4, 1, 0]
    assert [turn.action_valid for turn in episode.turns] == [False, True, True]
    assert seen[1].endswith(f"say 'Elm Combe'\n{agent.hint}")
    assert agent.hint == "Say open: or conclude: first."


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from(["open: Ada", "conclude: Bo"]), min_size=1))
def test_whatever_the_planner_says_the_episode_ends_within_its_steps(plans: list[str]) -> None:
    episode = once(flow(max_steps=3), *plans)
    assert episode.failure is None
    assert episode.stop is Stop.DONE
    assert sum(len(turn.calls) for turn in episode.turns) <= 3
    assert len(episode.turns) <= 4


def test_a_full_context_ends_the_episode_without_a_fault() -> None:
    limits = Limits(max_tokens_per_call=40, max_context=len(RENDERER.encode(Shelf.instructions)))
    episode = once(flow(openings={"planner": ""}), "open: Ada", limits=limits)
    assert episode.stop is Stop.CONTEXT
    assert episode.valid


def test_a_frozen_role_that_breaks_is_a_failure_of_the_platform() -> None:
    def broken(request: SampleRequest) -> str:
        raise RuntimeError("out of memory")

    backend = Routed(
        {"planner": Scripted(["open: Ada"]), "verifier": Scripted(broken)}, trained=PLANNER
    )
    episode = play(flow(VERIFIER), backend, max_failure_rate=1.0).trajectories_G[0]
    assert not episode.valid
    assert episode.failure is not None
    assert episode.failure.boundary == "backend"
    assert "RuntimeError: out of memory" in episode.failure.message


# Drivers, credit, rows ----------------------------------------------------------------------------


def by_seed(request: SampleRequest) -> str:
    plans = ["open: Ada", "open: Bo", "conclude: Elm Combe", "conclude: Bo", "hm", "open: Cy"]
    return plans[request.seed % len(plans)]


def backends() -> Routed:
    frozen = Scripted(lambda request: "stop" if "Elm" in record(request) else "go on")
    writer = Scripted(lambda request: "Elm Combe" if "in Elm" in record(request) else "Oak")
    scripts = {"planner": Scripted(by_seed), "verifier": frozen, "generator": writer}
    return Routed(scripts, trained=PLANNER)


def test_both_drivers_give_the_same_trajectories() -> None:
    agent = flow(VERIFIER, GENERATOR)
    played = [
        play(agent, backends(), members=24, driver=driver)
        for driver in (
            run_lockstep,
            partial(run_threaded, workers=5),
            partial(run_lockstep, width=3),
        )
    ]
    assert played[0] == played[1] == played[2]
    assert len({len(t.turns) for t in played[0].trajectories_G}) > 1


def test_flow_grpo_gives_every_planner_call_the_outcome_and_frozen_calls_nothing() -> None:
    group = play(flow(VERIFIER, GENERATOR), backends(), members=16)
    returns = np.array([t.episode_return for t in group.trajectories_G])
    assert 0 < returns.mean() < 1
    expected = (returns - returns.mean()) / (returns.std(ddof=1) + 1e-6)
    advantages = FlowGRPO()(group)
    for g, episode in enumerate(group.trajectories_G):
        for turn, values_CT in zip(episode.turns, advantages[g], strict=True):
            for call, values_T in zip(turn.calls, values_CT, strict=True):
                want = expected[g] if call.role == PLANNER else 0.0
                assert values_T == pytest.approx(np.full(len(call.sample_ids), want))
    assert any(not any(c.role == PLANNER for c in t.turns[-1].calls) for t in group.trajectories_G)
    rows = pack([group], [advantages])
    calls = [c for e in group.trajectories_G for t in e.turns for c in t.calls if c.trainable]
    assert [row.ids_S.tolist() for row in rows] == [[*c.prompt_ids, *c.sample_ids] for c in calls]
    for row in rows:
        assert row.advantages_S[row.mask_S] == pytest.approx(expected[row.member[1]])


# Demonstrations -----------------------------------------------------------------------------------


def shown(agent: AgentFlow, player: Any) -> Trajectory:
    demonstrator = Demonstrator(agent, player)
    [group] = collect([Task(ENV)], 1, demonstrator, None, seed=0, limits=LIMITS)
    return group.trajectories_G[0]


@pytest.mark.parametrize("player", [GoldAgent(), ExpertAgent()])
def test_a_demonstration_reads_as_if_the_planner_had_said_it(player: Any) -> None:
    demonstrated = shown(flow(), player)
    sampled = once(flow(), "open: Ada", "open: Bo", "conclude: Elm Combe")
    assert demonstrated.success
    for got, want in zip(demonstrated.turns, sampled.turns, strict=True):
        assert got.action == want.action
        [call], [said] = got.calls, want.calls
        assert (call.prompt_ids, call.sample_ids) == (said.prompt_ids, said.sample_ids)
        assert call.fresh
        assert call.logprobs == (0.0,) * len(call.sample_ids)
    assert len(pack_demonstrations([demonstrated])) == 3


def test_a_demonstration_shows_the_roles_that_are_models_too() -> None:
    demonstrated = shown(flow(*ROLES[1:]), GoldAgent())
    texts: dict[str, list[str]] = {role: [] for role in ROLES}
    for call in (call for turn in demonstrated.turns for call in turn.calls):
        assert call.trainable
        texts[call.role].append(call.text)
    assert texts["executor"] == ["open: Ada", "open: Bo"]
    assert texts["verifier"] == ["go on", "go on", "stop"]
    assert texts["generator"] == ["Elm Combe"]
    rows = pack_demonstrations([demonstrated])
    assert len(rows) == sum(len(said) for said in texts.values())


def test_a_demonstrator_whose_conclusion_is_refused_is_asked_again() -> None:
    class Stubborn(ScriptedAgent):
        """Concludes what it does not know, half the time."""

        def choose(self, view: Any, start: Any) -> str:
            return "say 'Elm Combe'" if view.seed % 2 else "open: Ada"

    demonstrated = shown(flow(max_steps=8), Stubborn())
    calls = [call.text for turn in demonstrated.turns for call in turn.calls]
    assert len(calls) > len(demonstrated.turns)
    assert set(calls) == {"open: Ada", "conclude: Elm Combe"}


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"renderers": {}}, "must hold 'planner'"),
        ({"renderers": {"planner": RENDERER, "verifer": RENDERER}}, "did you mean 'verifier'"),
        ({"openings": {"planer": ""}}, "did you mean 'planner'"),
        ({"tools": ()}, "words without a colon"),
        ({"tools": ("open:",)}, "words without a colon"),
        ({"tools": ("Answer",)}, "differ"),
        ({"answer_form": "say it"}, "answer_form must hold {answer} once"),
        ({"max_steps": 0}, "max_steps must be 1 or more, got 0"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_mistakes_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownName)) as caught:
        AgentFlow(**{"renderers": EVERYBODY, **more})
    assert message in str(caught.value)


def test_it_needs_a_turn_for_the_answer() -> None:
    flow(max_steps=5).suits(Shelf())
    flow(max_steps=99).suits(Shelf(max_turns=None))
    with pytest.raises(ConfigError, match="set max_steps to 5 or less"):
        flow(max_steps=6).suits(Shelf())
    with pytest.raises(ConfigError, match="set max_steps to 2 or less"):
        flow(max_steps=5).suits(Shelf(), max_turns=3)
