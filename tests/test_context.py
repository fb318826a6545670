import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.context import Append, Exchange, Window, Workspace
from agentgym.errors import ConfigError
from agentgym.types import Message

OPENING = (Message("system", "Play."),)


def history(turns: int) -> list[Exchange]:
    return [Exchange((Message("user", f"saw {k}"),), f"did {k}") for k in range(turns)]


def now(turn: int) -> tuple[Message, ...]:
    return (Message("user", f"saw {turn}"),)


def contents(messages: tuple[Message, ...]) -> list[str]:
    return [message.content for message in messages]


def test_append_shows_everything_and_extends_from_the_second_turn_on() -> None:
    assert Append().show(OPENING, [], now(0)) == ((*OPENING, *now(0)), False)
    messages, extends = Append().show(OPENING, history(2), now(2))
    assert contents(messages) == ["Play.", "saw 0", "did 0", "saw 1", "did 1", "saw 2"]
    assert extends


def test_a_window_keeps_the_first_observation_and_says_what_is_left_out() -> None:
    messages, extends = Window(2).show(OPENING, history(5), now(5))
    assert contents(messages) == [
        "Play.",
        "saw 0\n\n[3 turns left out]\n\nsaw 3",
        "did 3",
        "saw 4",
        "did 4",
        "saw 5",
    ]
    assert not extends


def test_a_window_equals_append_until_something_is_left_out() -> None:
    for turn in range(3):
        shown = Window(2).show(OPENING, history(turn), now(turn))
        assert shown == Append().show(OPENING, history(turn), now(turn))


def test_a_window_of_no_turns_shows_the_first_and_the_present_observation() -> None:
    messages, _ = Window(0).show(OPENING, history(1), now(1))
    assert contents(messages) == ["Play.", "saw 0\n\n[1 turn left out]\n\nsaw 1"]


def test_a_window_before_results_of_tools() -> None:
    messages, _ = Window(0).show(OPENING, history(1), (Message("tool", "found"),))
    assert [m.role for m in messages] == ["system", "user", "tool"]


@given(st.integers(0, 12), st.integers(0, 6))
def test_roles_alternate_and_the_last_turns_are_there(turns: int, size: int) -> None:
    messages, _ = Window(size).show(OPENING, history(turns), now(turns))
    roles = [m.role for m in messages[1:]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    text = "\n".join(contents(messages))
    for turn in range(max(0, turns - size), turns):
        assert f"did {turn}" in text
    assert "saw 0" in text
    assert f"saw {turns}" in text


@pytest.mark.parametrize("turns", [-1, 1.5, True])
def test_a_window_has_a_whole_number_of_turns(turns: int) -> None:
    with pytest.raises(ConfigError, match="whole number of turns"):
        Window(turns)


def test_a_workspace_is_one_message_and_starts_anew_every_turn() -> None:
    for turn in range(3):
        messages, extends = Workspace().show(OPENING, history(turn), now(turn))
        said = "\n".join(f"saw {k}\ndid {k}" for k in range(turn)) + "\n" * bool(turn)
        assert contents(messages) == ["Play.", f"{said}saw {turn}"]
        assert not extends
    assert contents(Workspace().show((), history(1), ())[0]) == ["saw 0\ndid 0"]
