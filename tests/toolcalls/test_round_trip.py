"""What a format writes it reads back, whatever the arguments hold."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import UserError
from agentgym.toolcalls import FORMATS, MAX_DEPTH, Reply, ToolFormat, tool_format
from agentgym.types import JSON, ToolCall

TAGS = [
    "<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=p>", "</parameter>",
    "<think>", "</think>", "<|python_tag|>", "Action: f", "Action Input: {}", "Thought:",
    '{"name": "f", "arguments": {}}', "null", "5", "true", "1e999", "NaN", '"', "\\", "'", "\n",
    "\r\n", "[", "{", "}", ";", " ", "é", "語", "😀", "\u2028", "\x00", "</th", '"\\u',
]  # fmt: skip

strings = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(TAGS), max_size=5).map("".join))
scalars: st.SearchStrategy[JSON] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    strings,
)
values: st.SearchStrategy[JSON] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(strings, inner, max_size=2)
    ),
    max_leaves=4,
)
keys = st.one_of(
    st.sampled_from(["q", "name", "arguments", "a b", "größe", "in"]),
    st.text(st.characters(exclude_characters="<>\n", exclude_categories=["Cs"]), min_size=1),
)
names = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_:/-]{0,20}\Z")
calls = st.builds(ToolCall, names, st.dictionaries(keys, values, max_size=3))
spoken = st.text(st.sampled_from("abc .,!?é語\n"), max_size=20).map(str.strip)

every_format = pytest.mark.parametrize("form", [cls() for cls in FORMATS.values()], ids=FORMATS)


def exactly(reply: Reply) -> str:
    """Return what tells 1 from 1.0 and True."""
    return json.dumps([[call.name, call.arguments] for call in reply.calls])


@every_format
@settings(max_examples=30, deadline=None)
@given(said=st.lists(calls, max_size=3), text=spoken)
def test_what_is_written_is_read_back(form: ToolFormat, said: list[ToolCall], text: str) -> None:
    reply = form.parse(form.write(said, text))
    assert reply.problems == ()
    assert reply.text == text
    assert reply.calls == tuple(said)
    assert exactly(reply) == exactly(Reply("", tuple(said)))


@every_format
@pytest.mark.parametrize("tag", TAGS)
def test_arguments_may_hold_anything_that_looks_like_markup(form: ToolFormat, tag: str) -> None:
    said = ToolCall("f", {"a": tag, "b": f"x{tag}y", "c": [{tag: tag}]})
    assert form.parse(form.write([said, said])).calls == (said, said)


@every_format
@settings(max_examples=12, deadline=None)
@given(said=st.lists(calls, min_size=1, max_size=3), thought=spoken, opened=st.booleans())
def test_thinking_before_calls_is_kept_apart(
    form: ToolFormat, said: list[ToolCall], thought: str, opened: bool
) -> None:
    begin = "<think>\n" if opened else ""  # many templates put the opening tag into the prompt
    reply = form.parse(f"{begin}{thought}\n</think>\n\n{form.write(said)}")
    assert (reply.text, reply.calls, reply.problems) == ("", tuple(said), ())
    assert reply.thinking == thought


@every_format
@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(TAGS), st.text(max_size=5)), max_size=12).map("".join))
def test_no_text_makes_parsing_fail(form: ToolFormat, text: str) -> None:
    reply = form.parse(text)
    assert Reply.of_action(reply.action) == Reply(reply.text, reply.calls, reply.problems)


@every_format
@settings(max_examples=15, deadline=None)
@given(said=st.lists(calls, min_size=1, max_size=2), cut=st.floats(0, 1))
def test_a_reply_cut_anywhere_makes_no_call_that_was_not_written(
    form: ToolFormat, said: list[ToolCall], cut: float
) -> None:
    text = form.write(said)
    reply = form.parse(text[: int(cut * (len(text) - 1))])
    assert reply.calls == tuple(said[: len(reply.calls)])
    assert len(reply.calls) < len(said) or form.name == "qwen_xml"


@settings(max_examples=30, deadline=None)
@given(
    text=strings,
    other=st.one_of(st.none(), strings),
    number=st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_xml_values_follow_the_schema(text: str, other: str | None, number: float) -> None:
    optional: JSON = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    form = tool_format(
        "qwen_xml",
        [
            {
                "name": "f",
                "parameters": {
                    "type": "object",
                    "properties": {"s": {"type": "string"}, "o": optional, "n": {"type": "number"}},
                },
            }
        ],
    )
    call = ToolCall("f", {"s": text, "o": other, "n": number})
    assert form.parse(form.write([call])).calls == (call,)


def test_xml_reads_digits_as_the_schema_says() -> None:
    text = "<function=f>\n<parameter=s>\n5\n</parameter>\n</function>"
    wants_text: JSON = {"properties": {"s": {"type": "string"}}}
    wanted = tool_format("qwen_xml", [{"name": "f", "parameters": wants_text}])
    assert wanted.parse(text).calls == (ToolCall("f", {"s": "5"}),)
    assert tool_format("qwen_xml").parse(text).calls == (ToolCall("f", {"s": 5}),)


def test_the_text_of_each_format() -> None:
    said = [ToolCall("find", {"q": "a\nb", "n": 2}), ToolCall("stop", {})]
    assert {name: tool_format(name).write(said, "Hm.") for name in FORMATS} == {
        "hermes": (
            'Hm.\n<tool_call>\n{"name": "find", "arguments": {"q": "a\\nb", "n": 2}}\n'
            '</tool_call>\n<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
        ),
        "qwen_xml": (
            "Hm.\n<tool_call>\n<function=find>\n<parameter=q>\na\nb\n</parameter>\n"
            "<parameter=n>\n2\n</parameter>\n</function>\n</tool_call>\n"
            "<tool_call>\n<function=stop>\n</function>\n</tool_call>"
        ),
        "llama": (
            'Hm.\n{"name": "find", "parameters": {"q": "a\\nb", "n": 2}}; '
            '{"name": "stop", "parameters": {}}'
        ),
        "react": (
            'Hm.\nAction: find\nAction Input: {"q": "a\\nb", "n": 2}\n'
            "Action: stop\nAction Input: {}"
        ),
    }


@every_format
@settings(max_examples=12, deadline=None)
@given(said=st.lists(calls, max_size=3), text=strings)
def test_actions_are_read_back(form: ToolFormat, said: list[ToolCall], text: str) -> None:
    reply = Reply(text, tuple(said), form.parse("<tool_call>").problems)
    assert Reply.of_action(reply.action) == reply


@pytest.mark.parametrize(
    "action",
    ["", "look", "{", "[]", '{"calls": 3}', '{"calls": [{"name": "f"}]}', '{"x": 1}', '{"text": 1}',
     '{"problems": [{"kind": [], "message": ""}]}', '{"problems": "ab"}', '{"text": "a"} b'],
)  # fmt: skip
def test_what_is_no_action_is_text(action: str) -> None:
    assert Reply.of_action(action) == Reply(action)


def test_the_deepest_arguments_survive_an_action() -> None:
    value: JSON = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    text = f"<function=f><parameter=a>{json.dumps(value)}</parameter></function>"
    reply = tool_format("qwen_xml").parse(text)
    assert len(reply.calls) == 1
    assert Reply.of_action(reply.action) == reply


@every_format
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (ToolCall("a/../b", {}), "cannot be the name"),
        (ToolCall("", {}), "cannot be the name"),
        (ToolCall("f", {"a": float("nan")}), "not JSON"),
        (ToolCall("f", {"a": {1}}), "not JSON"),  # type: ignore[dict-item]
    ],
)
def test_what_cannot_be_written_is_refused(form: ToolFormat, call: ToolCall, says: str) -> None:
    with pytest.raises(UserError, match=says):
        form.write([call])


def test_xml_refuses_argument_names_it_cannot_hold() -> None:
    with pytest.raises(UserError, match="'a>b' of f"):
        tool_format("qwen_xml").write([ToolCall("f", {"a>b": 1})])
