"""Toolsets: schemas, and what every kind of bad call and bad tool brings."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from agentgym.errors import ConfigError, EpisodeFailure, ToolError, UnknownName
from agentgym.tools._schema import schema_problem
from agentgym.tools.base import Tool, ToolResult, Toolset, as_tool
from agentgym.types import JSON


@dataclass
class Point:
    x: int
    y: int = 0


def order(
    item: str,
    count: Annotated[int, Field(ge=1)] = 1,
    size: Literal["small", "large"] = "small",
    notes: list[str] | None = None,
    model_config: str = "",
) -> str:
    """Order something.

    It is delivered.

    Args:
        item: what to order,
            by its name.
        count (int): how many.

    Returns:
        Nothing of interest.
    """
    return f"{count} {size} {item} {notes}{model_config}"


def place(point: Point) -> int:
    """Add up."""
    return point.x + point.y


class Counter:
    """For people."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, step: int = 1) -> int:
        """Count on."""
        self.count += step
        return self.count


def tool_that(does: Callable[[], object]) -> Callable[[], object]:
    def it() -> object:
        """Do it."""
        return does()

    return it


def raising(error: BaseException) -> Callable[[], object]:
    def it() -> object:
        """Raise."""
        raise error

    return it


def call(name: str, arguments: Any, **limits: Any) -> ToolResult:
    return Toolset([order, place, Counter], **limits).call(name, arguments)


def test_the_schema_of_a_function() -> None:
    assert Toolset([order]).schemas == (
        {
            "type": "function",
            "function": {
                "name": "order",
                "description": "Order something.\n\nIt is delivered.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "item": {
                            "type": "string",
                            "description": "what to order, by its name.",
                        },
                        "count": {
                            "type": "integer",
                            "minimum": 1,
                            "default": 1,
                            "description": "how many.",
                        },
                        "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
                        "notes": {
                            "anyOf": [
                                {"type": "array", "items": {"type": "string"}},
                                {"type": "null"},
                            ],
                            "default": None,
                        },
                        "model_config": {"type": "string", "default": ""},
                    },
                    "required": ["item"],
                    "additionalProperties": False,
                },
            },
        },
    )


def test_a_class_is_told_by_its_call_and_instances_keep_their_state() -> None:
    tools = Toolset({"a": Counter, "b": Counter()})
    assert tools.schemas[0]["function"]["description"] == "Count on."  # type: ignore[index,call-overload]
    assert [tools.call("a", {}).text, tools.call("a", {"step": 5}).text] == ["1", "6"]
    assert tools.call("b", {}).text == "1"
    twin = copy.deepcopy(tools)
    assert [twin.call("a", {}).text, tools.call("a", {}).text] == ["7", "7"]


def test_a_method_and_names_of_the_registry() -> None:
    counter = Counter()
    tools = Toolset([counter.__call__, "calculator", "agentgym.tools.kv:KeyValue"])
    assert tools.names == ("__call__", "calculator", "kv")
    assert tools.call("__call__", {"step": 3}).text == "3"
    assert counter.count == 3
    with pytest.raises(UnknownName, match="did you mean 'calculator'"):
        Toolset(["calculater"])


def test_arguments_are_read_into_types() -> None:
    assert call("place", {"point": {"x": 2, "y": 3}}).text == "5"
    assert call("order", '{"item": "tea", "notes": ["hot"]}').text == "1 small tea ['hot']"
    assert call("order", {"item": "tea", "model_config": "!"}).text == "1 small tea None!"


def test_the_arguments_given_stay_as_they_are() -> None:
    def fill(found: list[int]) -> int:
        """Fill."""
        found.append(1)
        return len(found)

    arguments: dict[str, JSON] = {"found": []}
    tools = Toolset([fill])
    assert [tools.call("fill", arguments).text for _ in range(2)] == ["1", "1"]
    assert arguments == {"found": []}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "item: is missing"),
        ({"item": 3}, "item: input should be a valid string, got 3"),
        ({"item": "a", "count": "2"}, 'count: input should be a valid integer, got "2"'),
        ({"item": "a", "count": True}, "count: input should be a valid integer, got true"),
        ({"item": "a", "count": 0}, "count: input should be greater than or equal to 1, got 0"),
        ({"item": "a", "size": "big"}, "size: input should be 'small' or 'large', got \"big\""),
        ({"item": "a", "notes": ["b", 1]}, "notes.1: input should be a valid string, got 1"),
        ({"itm": "a"}, "itm: is no argument; did you mean 'item'?"),
        ({"itm": "a"}, "item: is missing; "),
        ({"item": float("nan")}, "the arguments are not JSON"),
        ({"item": b"a"}, "the arguments are not JSON"),
        (["item"], "input should be an object"),
        (None, "input should be an object"),
    ],
)
def test_E04_wrong_arguments_are_told_by_field(arguments: Any, says: str) -> None:
    result = call("order", arguments)
    assert (result.status, result.failure) == ("wrong arguments", None)
    assert says in result.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"item": "a"', "not JSON"),
        ('{"item": "a", "item": "b"}', "the key 'item' stands there twice"),
        ('{"count": NaN}', "NaN is no number"),
        ('{"count": 1e999}', "not JSON"),
        ('{"count": 1' + "0" * 5000 + "}", "not JSON"),
        ("[" * 10_000, "nested too deeply"),
        ('{"item":' * 10_000 + "1" + "}" * 10_000, "nested too deeply"),
        ('{"item": "' + "x" * 5_000_000 + '"}', "at most 100000 are read"),
        ("[]", "must be a JSON object"),
        ("", "not JSON"),
        ('{"item": "\\ud800"}', "wrong arguments"),
    ],
    ids=lambda text: text[:12],
)
def test_E04_malformed_json(text: str, says: str) -> None:
    result = call("order", text)
    assert (result.status, result.failure) == ("wrong arguments", None)
    assert says in result.text
    assert len(result.text) < 1000


@pytest.mark.parametrize("name", ["ordr", "../order", "", "order\n", "x" * 5_000_000, None, [1]])
def test_E04_unknown_tools(name: Any) -> None:
    result = call(name, {"item": "a"})
    assert (result.status, result.failure) == ("unknown tool", None)
    assert "there is no tool" in result.text
    assert len(result.text) < 300


def test_a_near_miss_is_named() -> None:
    assert "did you mean 'order'?" in call("ordr", {}).text


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x)))
def test_E04_nothing_that_is_said_raises(said: Any) -> None:
    tools = Toolset([order], timeout_s=None)
    for arguments in (said, {"item": said}, str(said), json.dumps({"item": said})):
        result = tools.call("order", arguments)
        assert result.failure is None
        assert result.text.encode()


@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.parametrize(
    ("error", "status", "boundary"),
    [
        (ToolError("sold out"), "refused", None),
        (ZeroDivisionError("by zero"), "failed", "tool"),
        (MemoryError(), "failed", "tool"),
        (RecursionError(), "failed", "tool"),
        (SystemExit(3), "failed", "tool"),
        (EpisodeFailure("sandbox", "gone"), "failed", "sandbox"),
    ],
)
def test_E05_a_tool_that_raises(
    error: BaseException, status: str, boundary: str | None, timeout_s: float | None
) -> None:
    result = Toolset([raising(error)], timeout_s=timeout_s).call("it", {})
    assert result.status == status
    assert result.text.startswith("error: ")
    assert str(error).rpartition(": ")[2] in result.text
    if boundary is None:
        assert result.or_raise() is result
        return
    assert result.failure is not None
    assert result.failure.boundary == boundary
    assert result.failure.error == type(error).__name__
    with pytest.raises(EpisodeFailure) as raised:
        result.or_raise()
    assert raised.value.boundary == boundary


def spin() -> object:
    while True:
        pass


def nap() -> object:
    time.sleep(2)
    return "late"


@pytest.mark.parametrize("does", [spin, nap])
def test_E05_a_tool_that_never_returns(does: Callable[[], object]) -> None:
    tools = Toolset({"it": tool_that(does), "counter": Counter}, timeout_s=0.1)
    for says in ("did not return within 0.1 s", "did not return from an earlier call"):
        result = tools.call("it", {})
        assert result.failure is not None
        assert (result.failure.boundary, result.failure.error) == ("tool", "TimeoutError")
        assert says in result.failure.message
    assert tools.call("counter", {}).text == "1"


def loop() -> object:
    found: list[object] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (lambda: b"caf\xc3\xa9 \xff", "it returned bytes"),
        (lambda: {1, 2}, "it returned a set"),
        (lambda: {"a": object()}, "it returned a dict"),
        (lambda: float("nan"), "it returned a float"),
        (loop, "it returned a list"),
    ],
)
def test_E05_a_tool_that_returns_what_it_must_not(does: Callable[[], object], says: str) -> None:
    result = Toolset([tool_that(does)]).call("it", {})
    assert result.failure is not None
    assert (result.status, result.failure.boundary) == ("failed", "tool")
    assert says in result.failure.message


def test_E05_bytes_are_decoded_all_the_same() -> None:
    assert Toolset([tool_that(lambda: b"caf\xc3\xa9 \xff")]).call("it", {}).text == "café �"


def test_E05_a_tool_that_returns_a_gigabyte() -> None:
    result = Toolset([tool_that(lambda: "x" * 10**9)], max_output=100).call("it", {})
    assert result.text == "x" * 100 + "\n[... 999999900 more characters were left out]"
    assert (result.status, result.left_out) == ("ok", 10**9 - 100)
    result = Toolset([tool_that(lambda: [0] * 10**7)], max_output=10).call("it", {})
    assert result.text == "[0, 0, 0, \n[... the rest was left out]"
    assert (result.status, result.left_out) == ("ok", -1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (None, "done"),
        (3, "3"),
        (True, "true"),
        ({"a": ["é"]}, '{"a": ["é"]}'),
        ("\ud800!", "�!"),
    ],
)
def test_results_become_text(value: object, text: str) -> None:
    result = Toolset([tool_that(lambda: value)]).call("it", {})
    assert result.ok
    assert result.text == text.replace("�!", "\ufffd\ufffd\ufffd!")


def needs(size: int) -> type:
    class Shop:
        """A shop."""

        def __init__(self, stock: int) -> None:
            self.stock = stock

        def __call__(self) -> int:
            """Count."""
            return self.stock

    assert size
    return Shop


def with_any_number(*a: int) -> str:
    """Bad."""
    return ""


def untyped(a) -> str:  # type: ignore[no-untyped-def]
    """Bad."""
    return ""


def unsaid(a: int) -> str:
    return ""


class Silent:
    """Cannot be called."""


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([order, order], "two tools are called 'order'"),
        ([order, as_tool(order)], "two tools are called 'order'"),
        ({"bad name": order}, "cannot be the name of a tool"),
        ([needs(1)], r"the tool 'shop' needs stock: give an instance, Shop\(stock=...\)"),
        ([with_any_number], "the argument 'a' takes any number"),
        ([untyped], "the argument 'a' has no type"),
        ([unsaid], "no docstring"),
        ([Silent], "the class has no __call__"),
        ([Silent()], "cannot be called"),
        ([3], "it is a int, and cannot be called"),
        ("calculator", "give a list of tools"),
    ],
)
def test_toolsets_that_cannot_be(tools: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Toolset(tools)


@pytest.mark.parametrize(
    "limits", [{"timeout_s": 0}, {"max_output": 0}, {"max_output": True}, {"max_arguments": 1.5}]
)
def test_limits_that_cannot_be(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Toolset([order], **limits)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "text"}, "parameters.type: 'text' is no type"),
        ({"type": "array"}, "parameters.type: must be 'object'"),
        ({}, "parameters.type: must be 'object'"),
        (["type"], "parameters: must be an object or a bool, got list"),
        ({"type": "object", "properties": []}, "properties: must be an object, got list"),
        ({"type": "object", "properties": {"a": 1}}, "properties.a: must be an object or a bool"),
        ({"type": "object", "required": "a"}, "required: must be a list of names"),
        ({"type": "object", "required": ["a", "a"]}, "required: a name stands there twice"),
        (
            {"type": "object", "properties": {}, "required": ["a"]},
            "required: 'a' is not among the properties",
        ),
        ({"type": "object", "properties": {"a": {"enum": []}}}, "a.enum: must list values"),
        ({"type": "object", "properties": {"a": {"anyOf": []}}}, "a.anyOf: must be a list"),
        (
            {"type": "object", "properties": {"a": {"items": {"type": ["int", "null"]}}}},
            "a.items.type: 'int' is no type",
        ),
        ({"type": "object", "properties": {"a": {"minimum": "1"}}}, "a.minimum: must be a number"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}},
            "'#/\\$defs/B' leads nowhere",
        ),
        ({"type": "object", "description": 3}, "description: must be a string"),
    ],
)
def test_schemas_that_are_no_json_schema(schema: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Tool("given", "A tool.", schema, dict, dict)


def test_a_schema_of_others_is_taken_as_it_is() -> None:
    schema: dict[str, JSON] = {
        "$defs": {"B": {"type": "integer"}},
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/B"}, "b": True},
        "required": ["a"],
    }
    assert schema_problem(schema) is None
    tools = Toolset([Tool("given", "A tool.", schema, dict, dict)])
    assert tools.call("given", {"a": 1}).text == '{"a": 1}'
