import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollout_envs import Corridor

from agentgym.agents import (
    Decision,
    ExpertAgent,
    GoldAgent,
    NoopAgent,
    PolicyAgent,
    RandomAgent,
    ScriptedAgent,
    Start,
    View,
)
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.scripted import Scripted
from agentgym.context import Append, Window
from agentgym.errors import (
    ConfigError,
    EnvContractError,
    EpisodeFailure,
    TooManyFailures,
    UnknownName,
    UserError,
)
from agentgym.render import Renderer
from agentgym.rollout import (
    Act,
    Begin,
    Driver,
    EnvPool,
    Job,
    Limits,
    Task,
    collect,
    episode,
    rewritten_share,
    run_lockstep,
    run_threaded,
    seed_of,
    seeds_of,
)
from agentgym.trainers.pack import pack
from agentgym.types import Call, Failure, Group, Stop, Trajectory

NAME = "rollout_envs:Corridor"
DRIVERS: list[Driver] = [run_lockstep, partial(run_threaded, workers=3)]
IDS = ["lockstep", "threaded"]


@pytest.fixture(autouse=True)
def _fresh_corridors() -> Iterator[None]:
    Corridor.forget()
    yield
    Corridor.go_on.set()


def wander(request: SampleRequest) -> str:
    """A deterministic policy with some randomness of its own."""
    return random.Random(request.seed).choice(["go", "go", "go", "back", "go away"])


def policy(backend: Scripted, **options: Any) -> PolicyAgent:
    return PolicyAgent(Renderer(backend.tokenizer), **options)


def corridor(*seeds: int, **options: Any) -> list[Task]:
    return [Task(NAME, options, seed) for seed in seeds]


def one(task: Task, agent: Any, backend: Any = None, **limits: Any) -> Trajectory:
    [trajectory] = run_lockstep([Job(task, agent)], backend, limits=Limits(**limits), seed=0)
    return trajectory


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


# One episode --------------------------------------------------------------------------------------


def test_an_episode_driven_by_hand() -> None:
    env = Corridor(length=2)
    play = episode(Task(NAME, {"length": 2}, 5), ScriptedAgent(("jump", "go", "go")))
    asked = [next(play)]
    try:
        while True:
            assert isinstance(asked[-1], Begin | Act)
            asked.append(play.send(asked[-1].run(env)))
    except StopIteration as ended:
        trajectory = ended.value
    none: frozenset[str] = frozenset()
    assert asked == [Begin(5, none), Act("jump", none), Act("go", none), Act("go", none)]
    env.reset(seed=5)
    color = env.color
    assert [t.action for t in trajectory.turns] == ["jump", "go", "go"]
    assert trajectory.rewards_K == (-0.5, 0.0, 1.0)
    assert [t.action_valid for t in trajectory.turns] == [False, True, True]
    assert trajectory.turns[0].reward_parts == {"invalid": -0.5}
    # The key and the observation of a turn are those in which its action was taken.
    assert [t.state_key for t in trajectory.turns] == [f"{color} {p}/2" for p in (0, 0, 1)]
    assert trajectory.turns[2].observation.text.startswith("You are at 1 of 2")
    assert trajectory.final_observation.text.startswith("You are at 2 of 2")
    assert trajectory.final_state_key == f"{color} 2/2"
    assert (trajectory.stop, trajectory.success, trajectory.valid) == (Stop.DONE, True, True)
    assert (trajectory.env, trajectory.seed) == (NAME, 5)
    assert trajectory.env_options == {"length": 2}


def test_where_an_episode_stops() -> None:
    noop = NoopAgent()
    assert one(corridor(1)[0], noop).stop is Stop.MAX_TURNS
    assert len(one(corridor(1)[0], noop).turns) == 8
    assert len(one(corridor(1)[0], noop, max_turns=3).turns) == 3
    assert one(corridor(1)[0], noop, max_turns=3).stop is Stop.MAX_TURNS
    # The end of the task on the very last turn is a verdict, not a limit.
    assert one(corridor(1)[0], GoldAgent(), max_turns=3).stop is Stop.DONE
    backend = Scripted(["wait"])
    assert [
        one(corridor(1)[0], policy(backend), backend, **limits).stop
        for limits in ({"max_tokens": 20}, {"max_context": 130})
    ] == [Stop.MAX_TOKENS, Stop.CONTEXT]


def test_token_limits_of_calls_and_episodes() -> None:
    backend = Scripted(["abcdefghij"])
    trajectory = one(corridor(1)[0], policy(backend), backend, max_tokens_per_call=4, max_tokens=10)
    calls = [call for turn in trajectory.turns for call in turn.calls]
    assert [len(call.sample_ids) for call in calls] == [4, 4, 2]
    assert {call.finish for call in calls} == {"length"}
    assert [turn.action for turn in trajectory.turns] == ["abcd", "abcd", "ab"]
    assert trajectory.stop is Stop.MAX_TOKENS
    assert trajectory.valid


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"max_turns": 0}, "max_turns must be above 0, got 0"),
        ({"max_tokens": 1.5}, "max_tokens must be a whole number, got 1.5"),
        ({"max_tokens_per_call": None}, "max_tokens_per_call must be a whole number"),
        ({"timeout_s": -1}, "timeout_s must be above 0"),
        ({"step_timeout_s": "5"}, "step_timeout_s must be a number of seconds"),
        ({"max_turns": True}, "max_turns must be a whole number"),
    ],
)
def test_limits_are_checked(limits: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Limits(**limits)


class Committee:
    """An agent with two advisers, asked at once, and a chair, asked after them."""

    needs: frozenset[str] = frozenset()

    def begin(self, start: Start) -> "Committee":
        return self

    def act(self, view: View) -> Any:
        def ask(role: str, number: int) -> SampleRequest:
            ids = tuple(view.observation.text.encode())
            session = 10_000_000 + 10 * view.turn + number
            return SampleRequest(session, role, ids, ids, True, (), 9, 1.0, (256,), number)

        advice = yield ask("adviser", 1), ask("adviser", 2)
        [last] = yield (ask("chair", 3),)
        calls = tuple(
            Call(role, (), s.ids, s.logprobs, s.text, s.finish, 0, role == "chair", True)
            for role, s in zip(("adviser", "adviser", "chair"), [*advice, last], strict=True)
        )
        return Decision(last.text, calls)


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_an_agent_may_make_several_calls_in_a_turn(driver: Driver) -> None:
    backend = Scripted(lambda request: "go" if request.role == "chair" else f"{request.seed}?")
    [trajectory] = driver([Job(corridor(1)[0], Committee())], backend, limits=Limits(), seed=0)
    assert [[c.text for c in t.calls] for t in trajectory.turns] == [["1?", "2?", "go"]] * 3


def test_a_reply_without_the_agreed_form_counts_as_an_invalid_action() -> None:
    backend = Scripted(["<act>go</act>", "go"])
    trajectory = one(corridor(1)[0], policy(backend, action_tag="act"), backend)
    assert [t.action for t in trajectory.turns] == ["go", "go", "go"]
    assert [t.action_valid for t in trajectory.turns] == [True, False, False]


def test_drivers_agree_on_a_household() -> None:
    tasks = [Task("household", {"preset": "tiny"}, seed) for seed in range(6)]
    for agent in (RandomAgent(), ExpertAgent(noise=0.3), GoldAgent()):
        jobs = [Job(task, agent) for task in tasks]
        found = run_lockstep(jobs, None, limits=Limits(max_turns=15), seed=0)
        assert run_threaded(jobs, None, limits=Limits(max_turns=15), seed=0, workers=3) == found
    assert all(trajectory.success for trajectory in found)


# Drivers ------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seeds=st.lists(st.integers(0, 50), min_size=1, max_size=5),
    members=st.integers(1, 3),
    workers=st.integers(1, 6),
    width=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
    root=st.integers(0, 3),
)
def test_C12_drivers_agree_whatever_the_order_of_completion(
    seeds: list[int], members: int, workers: int, width: int, order: random.Random, root: int
) -> None:
    """Property test of seeds: worker count and completion order change nothing."""
    backend = Scripted(wander)
    agent = policy(backend)
    jobs = [
        Job(task, agent, member, 0, copy)
        for copy, task in enumerate(corridor(*seeds, delay_s=0.002))
        for member in range(members)
    ]
    limits = Limits(max_tokens=60)
    expected = run_lockstep(jobs, backend, limits=limits, seed=root)
    assert run_lockstep(jobs, backend, limits=limits, seed=root, width=width) == expected
    assert run_threaded(jobs, backend, limits=limits, seed=root, workers=workers) == expected
    shuffled = list(range(len(jobs)))
    order.shuffle(shuffled)
    mixed = run_threaded(
        [jobs[i] for i in shuffled], backend, limits=limits, seed=root, workers=workers
    )
    assert mixed == [expected[i] for i in shuffled]


def test_threads_overlap_and_lockstep_batches() -> None:
    sizes: list[int] = []

    class Counting(Scripted):
        def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
            sizes.append(len(requests))
            return super().generate(requests)

    backend = Counting(["go"])
    jobs = [Job(task, policy(backend)) for task in corridor(*range(6))]
    run_lockstep(jobs, backend, limits=Limits(), seed=0)
    assert sizes == [6, 6, 6]
    Corridor.forget()
    slow = [Job(task, policy(backend)) for task in corridor(*range(6), delay_s=0.05)]
    run_threaded(slow, backend, limits=Limits(), seed=0, workers=6)
    assert len(Corridor.threads) > 1


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seeds=st.lists(st.integers(0, 50), min_size=1, max_size=3, unique=True),
    window=st.none() | st.integers(0, 3),
    cut=st.integers(2, 9),
)
def test_packed_rows_are_exactly_what_the_backend_was_shown(
    seeds: list[int], window: int | None, cut: int
) -> None:
    shown: dict[int, list[tuple[int, ...]]] = {}

    class Recording(Scripted):
        def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
            answers = super().generate(requests)
            for request, answer in zip(requests, answers, strict=True):
                assert isinstance(answer, Sample)
                if request.fresh:
                    assert request.prompt_ids == tuple(request.context_ids)
                    shown.setdefault(request.session, []).append(())
                sequence = (*request.context_ids, *answer.ids)
                before = shown[request.session][-1]
                assert sequence[: len(before)] == before
                shown[request.session][-1] = sequence
            return answers

    backend = Recording(wander)
    agent = policy(backend) if window is None else policy(backend, context=Window(window))
    groups = collect(
        corridor(*seeds), 2, agent, backend, seed=1, limits=Limits(max_tokens_per_call=cut)
    )
    ones = [
        [
            [[np.ones(len(c.sample_ids)) for c in turn.calls] for turn in trajectory.turns]
            for trajectory in group.trajectories_G
        ]
        for group in groups
    ]
    rows = pack(groups, ones)
    sequences = [sequence for parts in shown.values() for sequence in parts]
    assert sorted(tuple(row.ids_S) for row in rows) == sorted(sequences)
    sampled = sum(
        len(c.sample_ids)
        for g in groups
        for t in g.trajectories_G
        for u in t.turns
        for c in u.calls
    )
    assert sum(row.tokens for row in rows) == sampled


# Failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
@pytest.mark.parametrize(
    ("trouble", "stop", "failure", "turns"),
    [
        ("raise@1", Stop.ERROR, Failure("env", "ValueError", "the lamp fell at 1"), 1),
        ("raise@reset", Stop.ERROR, Failure("env", "ValueError", "the lamp fell at reset"), 0),
        ("exit@0", Stop.ERROR, Failure("env", "SystemExit", "3"), 0),
        ("sandbox@2", Stop.ERROR, Failure("sandbox", "EpisodeFailure", "it is gone"), 2),
        ("hang@1", Stop.TIMEOUT, Failure("env", "StepTimeout", "step('go') took over 0.5 s"), 1),
        ("hang@reset", Stop.TIMEOUT, Failure("env", "StepTimeout", "reset took over 0.5 s"), 0),
    ],
)
def test_a_failing_environment_harms_its_own_episode_only(
    driver: Driver, trouble: str, stop: Stop, failure: Failure, turns: int
) -> None:
    Corridor.forget({2: [trouble]})
    jobs = [Job(task, GoldAgent()) for task in corridor(0, 1, 2, 3, 4)]
    found = driver(jobs, None, limits=Limits(step_timeout_s=0.5), seed=0)
    Corridor.go_on.set()
    assert [t.valid for t in found] == [True, True, False, True, True]
    failed = found.pop(2)
    assert (failed.stop, failed.failure, len(failed.turns)) == (stop, failure, turns)
    assert failed.success is None
    assert all(t.stop is Stop.DONE and t.success for t in found)


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_R02_a_busy_loop_holds_nobody_up_for_good(driver: Driver) -> None:
    Corridor.forget({2: ["spin@1"]})
    jobs = [Job(task, GoldAgent()) for task in corridor(0, 1, 2, 3, 4)]
    found = driver(jobs, None, limits=Limits(step_timeout_s=0.5), seed=0)
    Corridor.go_on.set()
    assert [t.stop for t in found] == [Stop.DONE, Stop.DONE, Stop.TIMEOUT, Stop.DONE, Stop.DONE]


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_R16_threads_do_not_pile_up(driver: Driver) -> None:
    before = threading.active_count()
    for _ in range(20):
        driver([Job(corridor(1)[0], GoldAgent())], None, limits=Limits(), seed=0)
    wait_for(lambda: threading.active_count() <= before)


def test_a_broken_contract_names_the_field() -> None:
    Corridor.forget({1: ["nan@0"]})
    failed = one(corridor(1)[0], GoldAgent())
    assert failed.failure is not None
    assert failed.failure.error == "EnvContractError"
    assert "reward of act() must be a finite float, got float nan" in failed.failure.message


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_several_environments_hang_at_once(driver: Driver) -> None:
    Corridor.forget({seed: ["hang@0"] for seed in (0, 2, 3)})
    jobs = [Job(task, GoldAgent()) for task in corridor(*range(6))]
    found = driver(jobs, None, limits=Limits(step_timeout_s=0.5), seed=0)
    assert [t.stop for t in found] == [
        Stop.TIMEOUT if seed in (0, 2, 3) else Stop.DONE for seed in range(6)
    ]


def test_a_failed_environment_is_closed_and_never_used_again() -> None:
    Corridor.forget({1: ["raise@0"], 2: ["hang@0"]})
    pool = EnvPool()
    jobs = [Job(task, GoldAgent()) for task in corridor(0, 1, 2, 3)]
    run_lockstep(jobs, None, limits=Limits(step_timeout_s=0.5), seed=0, pool=pool, width=1)
    made = list(Corridor.made)
    # The first played seeds 0 and 1 and failed, the second hangs, the third is in the pool.
    assert [env.down for env in made] == [True, False, False]
    assert [env.resets for env in made] == [2, 1, 1]
    Corridor.go_on.set()
    pool.close()
    assert made[2].down
    wait_for(lambda: made[1].down)  # closed by its own thread, when it came back after all


def test_environments_are_reused_through_the_pool() -> None:
    pool = EnvPool()
    for _ in range(3):
        collect(corridor(1, 2), 2, GoldAgent(), None, seed=0, pool=pool)
    assert len(Corridor.made) == 4
    collect(corridor(1, length=5), 1, GoldAgent(), None, seed=0, pool=pool)
    assert len(Corridor.made) == 5
    pool.close()
    assert all(env.down for env in Corridor.made)


def test_without_a_pool_nothing_is_left_open() -> None:
    collect(corridor(1, 2), 2, GoldAgent(), None, seed=0)
    assert all(env.down for env in Corridor.made)


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_an_episode_over_its_time_is_a_failure_not_a_reward(driver: Driver) -> None:
    jobs = [Job(task, GoldAgent()) for task in corridor(0, length=100, max_turns=120, delay_s=0.05)]
    [late] = driver(jobs, None, limits=Limits(timeout_s=0.5), seed=0)
    assert (late.stop, late.valid) == (Stop.TIMEOUT, False)
    assert late.failure is not None
    assert late.failure.error == "EpisodeTimeout"
    assert 0 < len(late.turns) < 100


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_a_backend_that_fails_one_request_harms_one_episode(driver: Driver) -> None:
    def reply(request: SampleRequest) -> str | EpisodeFailure:
        if "blue" in request.messages[1].content:
            return EpisodeFailure("backend", "no blue today")
        return "go"

    backend = Scripted(reply)
    jobs = [Job(task, policy(backend)) for task in corridor(*range(8))]
    found = driver(jobs, backend, limits=Limits(), seed=0)
    blue = ["blue" in t.final_observation.text for t in found]
    assert any(blue)
    assert not all(blue)
    assert [not t.valid for t in found] == blue
    assert {t.failure for t in found} == {
        None,
        Failure("backend", "EpisodeFailure", "no blue today"),
    }


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_a_backend_that_raises_fails_the_batch_not_the_run(driver: Driver) -> None:
    class Broken(Scripted):
        def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
            raise ConnectionError("nobody answers")

    backend = Broken(["go"])
    jobs = [Job(task, policy(backend)) for task in corridor(1, 2)]
    found = driver(jobs, backend, limits=Limits(), seed=0)
    assert {t.failure for t in found} == {Failure("backend", "ConnectionError", "nobody answers")}


def test_a_backend_that_forgets_an_answer() -> None:
    class Forgetful(Scripted):
        def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
            return super().generate(requests)[1:]

    backend = Forgetful(["go"])
    failed = one(corridor(1)[0], policy(backend), backend)
    assert failed.failure is not None
    assert failed.failure.message == "0 answers to 1 sample requests"


def test_sessions_are_released_when_episodes_end() -> None:
    held: set[int] = set()

    class Holding(Scripted):
        def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
            held.update(request.session for request in requests)
            return super().generate(requests)

        def release(self, sessions: Any) -> None:
            held.difference_update(sessions)

    backend = Holding(["go"])
    Corridor.forget({2: ["raise@1"]})
    jobs = [Job(task, policy(backend)) for task in corridor(1, 2)]
    run_lockstep(jobs, backend, limits=Limits(), seed=0)
    assert not held


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_user_mistakes_stop_at_once(driver: Driver) -> None:
    jobs = [Job(Task(NAME, {"lenght": 3}, 0), GoldAgent())]
    with pytest.raises(UnknownName, match="did you mean 'length'"):
        driver(jobs, None, limits=Limits(), seed=0)
    with pytest.raises(UserError, match="no backend was given"):
        driver([Job(corridor(1)[0], policy(Scripted(["go"])))], None, limits=Limits(), seed=0)
    with pytest.raises(UnknownName):
        driver([Job(Task("no-such-game"), GoldAgent())], None, limits=Limits(), seed=0)


# Groups -------------------------------------------------------------------------------------------


def test_members_of_a_group_start_from_the_same_state_and_differ_after() -> None:
    backend = Scripted(wander)
    groups = collect(corridor(3, 4), 6, policy(backend), backend, seed=0)
    assert [group.task for group in groups] == [task.key for task in corridor(3, 4)]
    for group, seed in zip(groups, (3, 4), strict=True):
        assert [t.member for t in group.trajectories_G] == list(range(6))
        assert {t.seed for t in group.trajectories_G} == {seed}
        assert (
            len({(t.turns[0].state_key, t.turns[0].observation) for t in group.trajectories_G}) == 1
        )
        assert len({tuple(turn.action for turn in t.turns) for t in group.trajectories_G}) > 1


def test_members_that_start_differently_are_refused() -> None:
    Corridor.forget({3: ["longer@reset"]})
    with pytest.raises(EnvContractError, match=r"Corridor#3: two resets with the same seed"):
        collect(corridor(3), 2, GoldAgent(), None, seed=0)


def test_equal_tasks_make_groups_of_their_own() -> None:
    first, second = collect(corridor(3, 3), 4, RandomAgent(), None, seed=0)
    assert first.task == second.task
    assert first.trajectories_G != second.trajectories_G


def test_the_share_of_turns_that_rewrite_history() -> None:
    backend = Scripted(["wait"])
    limits = Limits(max_turns=5)
    for context, share in ((Append(), 0.0), (Window(1), 3 / 4), (Window(0), 1.0)):
        agent = policy(backend, context=context)
        groups = collect(corridor(1, 2), 2, agent, backend, seed=0, limits=limits)
        assert rewritten_share(t for g in groups for t in g.trajectories_G) == share
    assert rewritten_share([]) == 0.0


def test_collecting_twice_gives_the_same_and_another_seed_does_not() -> None:
    def run(seed: int) -> Any:
        return collect(corridor(1, 2, 3), 3, RandomAgent(), None, seed=seed)

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_failures_are_retried_with_other_samples_and_reported() -> None:
    Corridor.forget({7: ["raise@2", "hang@0"]})
    told: list[Trajectory] = []
    limits = Limits(step_timeout_s=0.5)
    [group] = collect(
        corridor(7), 1, RandomAgent(), None, seed=0, limits=limits, on_episode=told.append
    )
    [trajectory] = group.trajectories_G
    assert trajectory.valid
    assert trajectory.attempt == 2
    assert [(t.attempt, t.valid) for t in told] == [(0, False), (1, False), (2, True)]
    assert [t.seed for t in told] == [7, 7, 7]


def test_R12_R18_what_fails_for_good_is_masked_and_the_rest_goes_on() -> None:
    Corridor.forget({7: ["raise@0"] * 3})
    [group] = collect(corridor(7), 5, GoldAgent(), None, seed=0)
    assert sorted(group.valid_G) == [True] * 5  # three failures, spread over the members' retries
    Corridor.forget({7: ["raise@0"] * 7})
    [group] = collect(corridor(7), 5, GoldAgent(), None, seed=0)
    assert sum(group.valid_G) == 5
    Corridor.forget({7: ["raise@0"] * 7})
    groups = collect(corridor(7, 8, 9), 2, GoldAgent(), None, seed=0, max_failure_rate=0.5)
    assert [sum(g.valid_G) for g in groups] == [0, 2, 2]
    assert [t.attempt for t in groups[0].trajectories_G] == [2, 2]


def test_R13_too_many_failures_stop_the_run_with_the_commonest_reason() -> None:
    Corridor.forget({1: ["raise@0"] * 9, 2: ["sandbox@0"] * 9, 3: ["raise@0"] * 9})
    with pytest.raises(TooManyFailures) as stopped:
        collect(corridor(1, 2, 3), 1, GoldAgent(), None, seed=0, retry_pause_s=0)
    assert "3 of 3 episodes failed 3 times each" in str(stopped.value)
    assert "(2 times) is env: ValueError: the lamp fell at 0" in str(stopped.value)


def test_R05_where_many_sandboxes_fail_at_once_their_engine_gets_time_to_come_back() -> None:
    told: list[tuple[str, float]] = []

    def play(kind: str, failing: int) -> list[Group]:
        Corridor.forget({seed: [f"{kind}@1"] * 2 for seed in range(failing)})
        pause = {"retry_pause_s": 0.02, "on_pause": lambda *said: told.append(said)}
        return collect(corridor(*range(10)), 1, GoldAgent(), None, seed=0, **pause)  # type: ignore[arg-type]

    groups = play("sandbox", 3)
    assert [t.attempt for g in groups for t in g.trajectories_G] == [2] * 3 + [0] * 7
    assert [reason.partition(";")[0] for reason, _ in told] == ["3 of 10 episodes failed"] * 2
    assert "sandbox: EpisodeFailure: it is gone" in told[0][0]
    assert 0.01 <= told[0][1] <= 0.02
    assert 0.03 <= told[1][1] <= 0.06
    told.clear()
    assert all(g.valid_G == (True,) for g in play("sandbox", 2))  # bad luck of a few
    assert all(g.valid_G == (True,) for g in play("raise", 3))  # the environment's own fault
    assert told == []


def test_R15_a_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, jumps = time.time, itertools.cycle([3600.0, -3600.0, 7e6])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    Corridor.forget({2: ["hang@1"]})
    limits = Limits(step_timeout_s=0.5, timeout_s=60.0)
    groups = collect(corridor(1, 2, 3), 2, GoldAgent(), None, seed=0, limits=limits)
    assert all(g.valid_G == (True, True) for g in groups)
    assert sorted(t.attempt for g in groups for t in g.trajectories_G) == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(("tasks", "size"), [([], 1), (corridor(1), 0)])
def test_nothing_to_play(tasks: list[Task], size: int) -> None:
    with pytest.raises(UserError, match="nothing to play"):
        collect(tasks, size, GoldAgent(), None, seed=0)


def test_an_interrupted_run_gives_everything_back() -> None:
    def interrupt(_: Trajectory) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(corridor(1, 2), 2, GoldAgent(), None, seed=0, on_episode=interrupt)
    wait_for(lambda: all(env.down for env in Corridor.made))


@pytest.mark.parametrize("driver", DRIVERS, ids=IDS)
def test_a_mistake_found_late_closes_the_environments_at_work(driver: Driver) -> None:
    jobs = [Job(task, GoldAgent()) for task in corridor(1, 2, delay_s=0.01)]
    jobs.append(Job(Task(NAME, {"length": 3, "color": "red"}), GoldAgent()))
    with pytest.raises(UnknownName):
        driver(jobs, None, limits=Limits(), seed=0)
    wait_for(lambda: all(env.down for env in Corridor.made))


# Seeds --------------------------------------------------------------------------------------------


def test_seeds_depend_on_the_place_and_nothing_else() -> None:
    assert seed_of(0, 1, 2, 3) == 12927410244083705794
    assert len({seed_of(0, a, b) for a in range(20) for b in range(20)}) == 400
    many = list(itertools.islice(seeds_of(0, 1, 2), 100))
    assert len(set(many)) == 100
    assert many[0] == seed_of(0, 1, 2)
    assert many[64] == np.random.SeedSequence((0, 1, 2)).generate_state(65, np.uint64)[64]
    assert not set(many) & set(itertools.islice(seeds_of(0, 1, 3), 100))
    assert Task("guess", {"a": 1, "b": 2}, 3).key == Task("guess", {"b": 2, "a": 1}, 3).key
    assert Task("guess", seed=3).digest != Task("guess", seed=4).digest


def test_the_retry_of_an_episode_is_not_its_repetition() -> None:
    def actions(**place: int) -> list[str]:
        job = Job(corridor(1)[0], RandomAgent(), **place)
        [trajectory] = run_lockstep([job], None, limits=Limits(), seed=0)
        return [turn.action for turn in trajectory.turns]

    runs = [actions(), actions(attempt=1), actions(member=1), actions(copy=1)]
    assert len({tuple(run) for run in runs}) == 4
    assert actions() == runs[0]


def test_expert_and_gold_are_asked_for_only_when_needed() -> None:
    shy = [Job(task, agent) for task in corridor(1) for agent in (NoopAgent(), ExpertAgent())]
    first, second = run_lockstep(shy, None, limits=Limits(), seed=0)
    assert not first.success
    assert second.success
