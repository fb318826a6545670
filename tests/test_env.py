"""The environment contract: order of calls, types, limits, names and options."""

import math
import pickle
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import agentgym
from agentgym import Observation, Outcome, TextEnv, TextSpace
from agentgym.errors import (
    ConfigError,
    EnvClosed,
    EnvContractError,
    ResetNeeded,
    UnknownName,
    nearest,
)
from agentgym.types import Message


class Echo(TextEnv):
    """Echo what is said."""

    max_turns = 3

    def begin(self, options: Mapping[str, Any]) -> str:
        self.said: list[str] = []
        return "Say something."

    def act(self, action: str) -> Outcome:
        self.said.append(action)
        over = action == "bye"
        return Outcome(f"You said {action!r}.", float(over), terminated=over, success=over or None)


def running() -> Echo:
    env = Echo()
    env.reset(seed=0)
    return env


def test_consecutive_seeds_play_every_task_once_and_no_seed_plays_any() -> None:
    class Shelf(Echo):
        """Play one of five."""

        def begin(self, options: Mapping[str, Any]) -> str:
            return str(self.drawn_number(5))

    env = Shelf()
    assert sorted(env.reset(seed=seed)[0] for seed in range(7, 12)) == list("01234")
    assert [env.reset(seed=3)[0] for _ in range(3)] == ["3"] * 3
    drawn = [env.reset()[0] for _ in range(40)]
    assert set(drawn) == set("01234")
    env.reset(seed=3)
    assert [env.reset()[0] for _ in range(40)] == drawn
    assert Shelf().reset()[0] in "01234"


def test_E01_step_before_reset() -> None:
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before step"):
        Echo().step("hi")


def test_E01_step_after_the_end() -> None:
    env = running()
    assert env.step("bye")[2]
    with pytest.raises(ResetNeeded, match="over"):
        env.step("hi")
    env.reset()
    env.step("hi")


def test_E01_step_and_reset_after_close_and_two_closes() -> None:
    env = running()
    env.close()
    env.close()
    with pytest.raises(EnvClosed):
        env.step("hi")
    with pytest.raises(EnvClosed):
        env.reset()


@pytest.mark.parametrize("doing", ["step", "reset"])
def test_E01_close_while_another_thread_steps_or_resets(doing: str) -> None:
    class Slow(Echo):
        """Wait until it is closed."""

        def begin(self, options: Mapping[str, Any]) -> str:
            self.wait("reset")
            return str(super().begin(options))

        def act(self, action: str) -> Outcome:
            self.wait("step")
            return super().act(action)

        def wait(self, where: str) -> None:
            if where == doing:
                entered.set()
                assert left.wait(10)

    entered, left = threading.Event(), threading.Event()
    env, raised = Slow(), list[Exception]()

    def play() -> None:
        try:
            env.reset(seed=0)
            env.step("bye")
        except EnvClosed as error:
            raised.append(error)

    thread = threading.Thread(target=play)
    thread.start()
    assert entered.wait(10)
    env.close()
    left.set()
    thread.join(10)
    assert [f"closed during {doing}()" in str(error) for error in raised] == [True]
    with pytest.raises(EnvClosed):
        env.step("hi")


def test_closing_gives_back_once() -> None:
    class Counts(Echo):
        """Count shutdowns."""

        shutdowns = 0

        def shutdown(self) -> None:
            self.shutdowns += 1

    env = Counts()
    env.close()
    env.close()
    assert env.shutdowns == 1


@pytest.mark.parametrize("action", [None, 3, b"hi", ["hi"], True])
def test_an_action_that_is_no_string(action: Any) -> None:
    env = running()
    with pytest.raises(EnvContractError, match="an action must be a str, got"):
        env.step(action)
    assert env.turns == 0


@given(st.text(max_size=200))
def test_any_text_is_an_action(action: str) -> None:
    assert running().step(action)[0] == f"You said {action!r}."


def test_a_megabyte_is_an_action() -> None:
    assert len(running().step("x" * 1_000_000)[0]) > 1_000_000


def test_the_turn_limit_truncates() -> None:
    env = running()
    ends = [env.step("hi")[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_a_verdict_in_the_last_turn_is_no_truncation() -> None:
    env = Echo(max_turns=1)
    env.reset()
    assert env.step("bye")[2:4] == (True, False)


@pytest.mark.parametrize("limit", [0, -1, 2.5, "3", True])
def test_a_turn_limit_out_of_range(limit: Any) -> None:
    with pytest.raises(ConfigError, match="max_turns must be"):
        Echo(max_turns=limit)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ("text", "its result of act() must be an Outcome, got str 'text'"),
        (Outcome(3), "observation of act() must be a str or an Observation, got int 3"),  # type: ignore[arg-type]
        (Outcome("x", math.nan), "reward of act() must be a finite float, got float nan"),
        (Outcome("x", math.inf), "reward of act() must be a finite float, got float inf"),
        (Outcome("x", "1"), "reward of act() must be a finite float, got str '1'"),  # type: ignore[arg-type]
        (Outcome("x", True), "reward of act() must be a finite float, got bool True"),
        (
            Outcome("x", reward_parts={"style": math.nan}),
            "reward_parts['style'] of act() must be a finite float, got float nan",
        ),
        (Outcome("x", terminated=1), "terminated of act() must be a bool, got int 1"),  # type: ignore[arg-type]
        (Outcome("x", truncated=None), "truncated of act() must be a bool, got NoneType None"),  # type: ignore[arg-type]
        (Outcome("x", success=1), "success of act() must be a bool or None, got int 1"),  # type: ignore[arg-type]
        (Outcome("x", info=[]), "info of act() must be a dict, got list []"),  # type: ignore[arg-type]
    ],
)
def test_E02_V23_what_an_environment_returns_is_checked(outcome: Any, message: str) -> None:
    class Broken(Echo):
        """Return what it is told."""

        def act(self, action: str) -> Outcome:
            return outcome  # type: ignore[no-any-return]

    env = Broken()
    env.reset()
    with pytest.raises(EnvContractError) as caught:
        env.step("hi")
    assert message in str(caught.value)


def test_whole_number_rewards_become_floats() -> None:
    class Whole(Echo):
        """Reward 1."""

        def act(self, action: str) -> Outcome:
            return Outcome("x", 1)

    env = Whole()
    env.reset()
    assert type(env.step("hi")[1]) is float


def test_begin_must_not_end_the_episode() -> None:
    class Ends(Echo):
        """End at once."""

        def begin(self, options: Mapping[str, Any]) -> Outcome:  # type: ignore[override]
            return Outcome("over", terminated=True)

    with pytest.raises(EnvContractError, match="neither end the episode"):
        Ends().reset()


def test_the_structured_observation_travels_in_info() -> None:
    messages = (Message("tool", "1"), Message("user", "and?"))

    class Structured(Echo):
        """Answer with two messages."""

        def act(self, action: str) -> Outcome:
            return Outcome(Observation("1\nand?", messages))

    env = Structured()
    env.reset()
    text, *_, info = env.step("hi")
    assert (text, info["messages"]) == ("1\nand?", messages)


def test_snapshot_and_restore_any_number_of_times() -> None:
    env = agentgym.make("guess")
    env.reset(seed=4)
    env.step("1")
    saved = env.snapshot()
    futures = []
    for _ in range(3):
        env.restore(saved)
        futures.append([env.step(a) for a in ("10", "12", "3")])
    assert futures[0] == futures[1] == futures[2]


def test_a_running_environment_survives_pickling() -> None:
    env = agentgym.make("guess")
    env.reset(seed=4)
    twin = pickle.loads(pickle.dumps(env))
    assert env.step("7") == twin.step("7")


@pytest.mark.parametrize("name", ["guess", "household"])
def test_gymnasium_makes_and_checks_it(name: str) -> None:
    env = gymnasium.make(f"agentgym/{name}-v0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=False)
    env.close()


def test_make_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no environment 'gess'; did you mean 'guess'\?"):
        agentgym.make("gess")
    with pytest.raises(UnknownName, match=r"option of guess 'max_turn'; did you mean 'max_turns'"):
        agentgym.make("guess", max_turn=3)
    with pytest.raises(UnknownName, match="preset of guess 'huge'"):
        agentgym.make("guess", preset="huge")


def test_make_refuses_what_is_no_environment() -> None:
    with pytest.raises(EnvContractError, match=r"not a subclass of agentgym.TextEnv"):
        agentgym.make("agentgym.types:Stop")


def test_an_error_about_names_survives_pickling() -> None:
    error = UnknownName("preset", "tinny", ["tiny", "full"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_nearest_lists_all_where_none_is_close() -> None:
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: (none)"


@given(st.text())
def test_the_text_space_holds_any_text(text: str) -> None:
    assert text in TextSpace()


def test_the_text_space_samples_by_its_seed() -> None:
    a, b = TextSpace(seed=5), TextSpace(seed=5)
    assert [a.sample() for _ in range(5)] == [b.sample() for _ in range(5)]
    assert 3 not in a
    assert a == TextSpace(seed=6)
