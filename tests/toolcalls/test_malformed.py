"""E04: a malformed call is data for an observation, never an exception."""

import pytest

from agentgym.errors import ConfigError, UnknownName
from agentgym.toolcalls import (
    FORMATS,
    MAX_CALLS,
    detect,
    functions,
    tool_format,
)
from agentgym.types import JSON, ToolCall


def hermes(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


def kinds(name: str, text: str) -> list[str]:
    return [problem.kind for problem in tool_format(name).parse(text).problems]


JSON_FORMATS = {
    "hermes": lambda arguments: hermes(f'{{"name": "f", "arguments": {arguments}}}'),
    "llama": lambda arguments: f'{{"name": "f", "parameters": {arguments}}}',
    "react": lambda arguments: f"Action: f\nAction Input: {arguments}",
}

BAD_ARGUMENTS = {
    "broken": ("{'a': 1}", "json"),
    "unquoted": ("{a: 1}", "json"),
    "comma": ('{"a": 1,}', "json"),
    "nested_quotes": ('{"a": "say "hi" now"}', "json"),
    "raw_line_break": ('{"a": "x\ny"}', "json"),
    "lone_surrogate": ('{"a": "\\ud800"}', "json"),
    "duplicate_keys": ('{"a": 1, "a": 2}', "duplicate_key"),
    "nested_duplicate_keys": ('{"b": [{"a": 1, "a": 1}]}', "duplicate_key"),
    "nan": ('{"a": NaN}', "number"),
    "infinity": ('{"a": -Infinity}', "number"),
    "1e999": ('{"a": 1e999}', "number"),
    "many_digits": ('{"a": ' + "9" * 5000 + "}", "number"),
    "depth_100": ('{"a": ' + "[" * 100 + "]" * 100 + "}", "too_deep"),
    "depth_10000": ('{"a": ' + "[" * 10_000 + "]" * 10_000 + "}", "too_deep"),
    "list": ("[1, 2]", "arguments"),
    "string": ('"{}"', "arguments"),
    "null": ("null", "arguments"),
    "number": ("3", "arguments"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
@pytest.mark.parametrize("name", JSON_FORMATS)
def test_E04_bad_arguments(name: str, case: str) -> None:
    arguments, kind = BAD_ARGUMENTS[case]
    reply = tool_format(name).parse(JSON_FORMATS[name](arguments))
    assert reply.calls == ()
    assert [problem.kind for problem in reply.problems] == [kind]
    assert reply.complaint.startswith("Malformed tool call: ")
    assert len(reply.complaint) < 300


CALL = '{"name": "f", "arguments": {}}'
CORPUS: list[tuple[str, str, str, int, list[str]]] = [
    # format, what is wrong, reply, well-formed calls, kinds of problems
    ("hermes", "empty", hermes(""), 0, ["json"]),
    ("hermes", "truncated", '<tool_call>\n{"name": "f", "argum', 0, ["unclosed"]),
    ("hermes", "unclosed", f"<tool_call>{CALL}", 0, ["unclosed"]),
    ("hermes", "unclosed_then_good", f"<tool_call>{CALL}\n{hermes(CALL)}", 1, ["unclosed"]),
    ("hermes", "bad_then_good", hermes("{]") + hermes(CALL), 1, ["json"]),
    ("hermes", "good_then_bad", hermes(CALL) + hermes("f()"), 1, ["json"]),
    ("hermes", "two_in_one", hermes(CALL + CALL), 0, ["json"]),
    ("hermes", "brace_too_many", hermes(CALL + "}"), 0, ["json"]),
    ("hermes", "list_of_calls", hermes(f"[{CALL}]"), 0, ["fields"]),
    ("hermes", "unknown_field", hermes('{"name": "f", "arguments": {}, "x": 1}'), 0, ["fields"]),
    ("hermes", "wrong_field", hermes('{"name": "f", "parameters": {}}'), 0, ["fields"]),
    ("hermes", "no_name", hermes('{"arguments": {}}'), 0, ["fields"]),
    ("hermes", "no_arguments", hermes('{"name": "f"}'), 0, ["fields"]),
    ("hermes", "name_a_number", hermes('{"name": 3, "arguments": {}}'), 0, ["name"]),
    ("hermes", "name_a_path", hermes('{"name": "../f", "arguments": {}}'), 0, ["name"]),
    ("hermes", "name_dots", hermes('{"name": "a/../f", "arguments": {}}'), 0, ["name"]),
    ("hermes", "name_empty", hermes('{"name": "", "arguments": {}}'), 0, ["name"]),
    ("hermes", "in_thinking", f"<think>{hermes(CALL)}</think>Done.", 0, ["thinking"]),
    ("hermes", "in_thinking_2", f"{hermes(CALL)}</think>Done.", 0, ["thinking"]),
    ("hermes", "drafted", f"<think>{hermes(CALL)}</think>{hermes(CALL)}", 1, []),
    ("hermes", "drafted_2", f"<tool_call> is it?</think>{hermes(CALL)}", 1, []),
    ("hermes", "cut_thinking", f"<think>{hermes(CALL)}", 0, ["unclosed", "thinking"]),
    ("hermes", "prose_behind", f"A {hermes(CALL)} B", 1, []),
    ("hermes", "stray_closing", "</tool_call>", 0, []),
    ("qwen_xml", "json_inside", hermes(CALL), 0, ["fields"]),
    ("qwen_xml", "no_parameter_end", "<function=f><parameter=a>1</function>", 0, ["unclosed"]),
    (
        "qwen_xml",
        "parameter_in_parameter",
        "<function=f><parameter=a>1<parameter=b>2</parameter></function>",
        0,
        ["unclosed"],
    ),
    ("qwen_xml", "no_function_end", "<function=f><parameter=a>1</parameter>", 0, ["unclosed"]),
    ("qwen_xml", "no_call_end", "<tool_call><function=f></function>", 0, ["unclosed"]),
    ("qwen_xml", "no_bracket", "<function=f", 0, ["unclosed"]),
    ("qwen_xml", "no_name", "<function=></function>", 0, ["name"]),
    ("qwen_xml", "name_a_path", "<function=../../f></function>", 0, ["name"]),
    (
        "qwen_xml",
        "duplicate_keys",
        "<function=f><parameter=a>1</parameter><parameter=a>2</parameter></function>",
        0,
        ["duplicate_key"],
    ),
    (
        "qwen_xml",
        "duplicate_keys_inside",
        '<function=f><parameter=a>{"b": 1, "b": 2}</parameter></function>',
        0,
        ["duplicate_key"],
    ),
    ("qwen_xml", "1e999", "<function=f><parameter=a>1e999</parameter></function>", 0, ["number"]),
    (
        "qwen_xml",
        "depth",
        f"<function=f><parameter=a>{'[' * 10_000}</parameter></function>",
        0,
        ["too_deep"],
    ),
    ("qwen_xml", "bad_then_good", "<function=></function><function=f></function>", 1, ["name"]),
    ("qwen_xml", "in_thinking", "<think><function=f></function></think>", 0, ["thinking"]),
    ("llama", "python", "<|python_tag|>print(1)", 0, ["json"]),
    ("llama", "trailing", '{"name": "f", "parameters": {}} That is it.', 1, ["trailing"]),
    ("llama", "truncated", '{"name": "f", "par', 0, ["json"]),
    ("llama", "second_bad", '{"name": "f", "parameters": {}}; {"name"', 1, ["json"]),
    ("llama", "both_fields", '{"name": "f", "parameters": {}, "arguments": {}}', 0, ["fields"]),
    ("llama", "list", '[{"name": "f", "parameters": {}}, 3]', 1, ["fields"]),
    ("llama", "answer", "The answer is {5}.", 0, []),
    ("llama", "in_thinking", '<think>{"name": "f", "parameters": {}}</think>', 0, ["thinking"]),
    ("react", "no_input", "Action: f", 0, ["fields"]),
    ("react", "no_input_2", "Action: f\nThought: hm", 0, ["fields"]),
    ("react", "name_with_call", "Action: f(1)\nAction Input: {}", 0, ["name"]),
    ("react", "invented", "Action: f\nAction Input: {}\nObservation: 3", 1, ["trailing"]),
    ("react", "input_in_words", "Action: f\nAction Input: the cat", 0, ["json"]),
    ("react", "empty_input", "Action: f\nAction Input:", 0, ["json"]),
    ("react", "bad_then_good", "Action: f\nAction: g\nAction Input: {}", 1, ["fields"]),
]


@pytest.mark.parametrize(
    ("name", "text", "calls", "problems"),
    [(name, text, calls, problems) for name, _, text, calls, problems in CORPUS],
    ids=[f"{name}-{what}" for name, what, *_ in CORPUS],
)
def test_E04_malformed_calls(name: str, text: str, calls: int, problems: list[str]) -> None:
    reply = tool_format(name).parse(text)
    assert [problem.kind for problem in reply.problems] == problems
    assert len(reply.calls) == calls
    assert bool(reply.complaint) == bool(problems)


def test_E04_forgiven_because_models_say_it_so() -> None:
    call = (ToolCall("f", {"a": 1}),)
    forms = {
        '{"type": "function", "name": "f", "parameters": {"a": 1}}': "llama",
        '<|python_tag|>{"name": "f", "parameters": {"a": 1}}': "llama",
        '{"name": "f", "arguments": {"a": 1}}': "llama",
        'I look it up:\n{"name": "f", "parameters": {"a": 1}}': "llama",
        '[{"name": "f", "parameters": {"a": 1}}]': "llama",
        "<tool_call><function=f><parameter=a>1</parameter></function></tool_call>": "qwen_xml",
        "<function=f>\n<parameter=a>\n1\n</parameter>\n</function>": "qwen_xml",
        'Thought: hm\n Action : f\n\n Action Input:\n{\n"a": 1}\n': "react",
        '<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>': "hermes",
    }
    for text, name in forms.items():
        reply = tool_format(name).parse(text)
        assert (reply.calls, reply.problems) == (call, ()), text


def test_E04_tags_inside_strings_are_text() -> None:
    held = "</tool_call><tool_call></think><think>"
    text = hermes(f'{{"name": "f", "arguments": {{"a": "{held}"}}}}')
    assert tool_format("hermes").parse(text).calls == (ToolCall("f", {"a": held}),)


@pytest.mark.parametrize("name", FORMATS)
def test_E04_5_MB(name: str) -> None:
    reply = tool_format(name).parse(
        tool_format(name).write([ToolCall("f", {"a": "x" * 5_000_000})])
    )
    assert (reply.calls, reply.text) == ((), "")
    assert [problem.kind for problem in reply.problems] == ["too_long"]


@pytest.mark.parametrize("name", FORMATS)
def test_E06_1000_calls_in_one_reply_are_capped(name: str) -> None:
    form = tool_format(name)
    reply = form.parse(form.write([ToolCall("f", {"i": i}) for i in range(1000)]))
    assert [call.arguments["i"] for call in reply.calls] == list(range(MAX_CALLS))
    assert [problem.kind for problem in reply.problems] == ["too_many"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "unit",
    ["<tool_call>", "<think>", "</think>", "<function=f>", "<parameter=a>", "Action: f\n", "{", "[",
     '{"name": ', "<|python_tag|>", "<think></think>", "\n", "<function=f><parameter=a>"],
)  # fmt: skip
def test_E04_openings_without_end(name: str, unit: str) -> None:
    reply = tool_format(name).parse(unit * (100_000 // len(unit)))  # quadratic: the time limit
    assert reply.calls == ()
    assert len(reply.complaint) < 2_000


def test_two_tools_with_one_name() -> None:
    tool: dict[str, JSON] = {"name": "f", "parameters": {}}
    with pytest.raises(ConfigError, match="two tools have the name 'f'"):
        functions([tool, {"type": "function", "function": tool}])


@pytest.mark.parametrize(
    "tool", [{}, {"name": 3}, {"name": "a b"}, {"name": "../f"}, {"name": "f", "parameters": []}]
)
def test_what_is_no_tool(tool: dict[str, JSON]) -> None:
    with pytest.raises(ConfigError, match=r"a tool needs a name|must be a JSON schema"):
        functions([tool])


def test_an_unknown_format() -> None:
    with pytest.raises(UnknownName, match="did you mean 'hermes'"):
        tool_format("herms")


def test_templates_of_formats_that_are_not_known() -> None:
    assert detect("{{ tools }} <tool_call>{{ name }}<arg_key> arguments") is None
    assert detect("<tool_call> arguments") is None  # speaks of no tools
    assert detect("") is None
