"""The key-value store and the calendar, against plain models of them."""

from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import ToolError
from agentgym.tools.base import Toolset
from agentgym.tools.calendar import Calendar
from agentgym.tools.kv import KeyValue

Action = Literal["get", "put", "delete", "list"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(get_args(Action)), st.sampled_from(["", "a", "ab", "b"]), st.text()
        )
    )
)
def test_a_store_is_a_dictionary(calls: list[tuple[Action, str, str]]) -> None:
    store, model = KeyValue(), dict[str, str]()
    for action, key, value in calls:
        try:
            said = store(action, key, value)
        except ToolError:
            assert action != "list"
            assert not key or (action in ("get", "delete") and key not in model)
            continue
        match action:
            case "get":
                assert said == model[key]
            case "put":
                model[key] = value
            case "delete":
                del model[key]
            case "list":
                wanted = sorted(each for each in model if each.startswith(key))
                assert said == ("\n".join(wanted) or "(no keys)")
        assert store.items == model


def test_limits_of_a_store() -> None:
    tools = Toolset([KeyValue(max_items=2, max_value=3)])

    def put(key: str, value: str) -> str:
        return tools.call("kv", {"action": "put", "key": key, "value": value}).text

    assert [put("a", "1"), put("b", "2"), put("a", "3")] == ["stored a", "stored b", "replaced a"]
    assert "the store is full (2 keys)" in put("c", "1")
    assert "the value has 4 characters; at most 3" in put("a", "1234")
    assert "the key has 201 characters" in put("k" * 201, "1")
    said = tools.call("kv", {"action": "get", "key": "aa"})
    assert (said.status, said.failure) == ("refused", None)
    assert "did you mean 'a'?" in said.text


def at(hour: int) -> str:
    return f"2026-03-{1 + hour // 24:02}T{hour % 24:02}:00"


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(-1, 5), st.integers(1, 9)))
)
def test_events_never_overlap(calls: list[tuple[bool, int, int, int]]) -> None:
    calendar, taken = Calendar(), dict[str, tuple[int, int]]()
    for adds, start, hours, number in calls:
        event = "" if adds else f"e{number}"
        end = start + hours
        others = [span for name, span in taken.items() if name != event]
        free = all(end <= s or e <= start for s, e in others)
        possible = hours > 0 and free and (adds or event in taken)
        try:
            if adds:
                event = calendar("add", "x", at(start), at(end)).split()[1].rstrip(":")
            else:
                calendar("move", start=at(start), end=at(end), event=event)
        except (ToolError, ValueError):
            assert not possible
            continue
        assert possible
        taken[event] = (start, end)
    wanted = sorted((s, name) for name, (s, _) in taken.items())
    lines = [] if not taken else calendar("list").splitlines()
    assert [line.partition(":")[0] for line in lines] == [name for _, name in wanted]


def test_a_day_in_the_calendar() -> None:
    calendar = Calendar()
    said = calendar("add", "stand-up", "2026-03-14T09:00", "2026-03-14T09:15")
    assert said == "added e1: 2026-03-14T09:00 to 2026-03-14T09:15 stand-up"
    calendar("add", "lunch", "2026-03-14T12:00", "2026-03-14T13:00")
    with pytest.raises(ToolError, match=r"overlaps with e2: .* lunch"):
        calendar("move", start="2026-03-14T12:59", end="2026-03-14T14:00", event="e1")
    calendar("move", start="2026-03-14T13:00", end="2026-03-14T14:00", event="e1")
    assert calendar("cancel", event="e2").startswith("cancelled e2: ")
    calendar("add", "tea", "2026-03-15T12:00", "2026-03-15T13:00")
    assert "e3" not in calendar("list", end="2026-03-15T00:00")
    assert calendar("list", start="2026-03-15T00:00").startswith("e3:")
    assert calendar("list", start="2027-01-01T00:00") == "(no events)"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"action": "add", "start": at(1), "end": at(2)}, "needs a title"),
        ({"action": "add", "title": "a\nb", "start": at(1), "end": at(2)}, "title of one line"),
        ({"action": "add", "title": "a", "start": at(2), "end": at(2)}, "is not after the start"),
        ({"action": "add", "title": "a", "start": "noon", "end": at(2)}, "start must be a time"),
        ({"action": "add", "title": "a", "start": "2026-02-30T09:00", "end": at(2)}, "start must"),
        ({"action": "cancel", "event": "e9"}, "there is no event 'e9'"),
        ({"action": "remove"}, "action: input should be 'add', 'move', 'cancel' or 'list'"),
    ],
)
def test_what_a_calendar_refuses(arguments: Any, says: str) -> None:
    result = Toolset([Calendar]).call("calendar", arguments)
    assert result.failure is None
    assert not result.ok
    assert says in result.text
