"""Tools in prompts: by the template where it knows them, in words where it does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.render import Renderer
from agentgym.types import JSON, Message, ToolCall

pytest.importorskip("transformers")

from chat_templates import (
    CHATML,
    GEMMA,
    HERMES,
    LLAMA3,
    LLAMA_TOOLS,
    NO_PREFIX,
    SPECIAL,
    THINKING,
    XML,
    tokenizer,
)

SEARCH: dict[str, JSON] = {
    "name": "search",
    "description": "Find a page.",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
}
ADD: dict[str, JSON] = {
    "type": "function",
    "function": {"name": "add", "description": "", "parameters": {"type": "object"}},
}
NATIVE = {"hermes": HERMES, "qwen_xml": XML, "llama": LLAMA_TOOLS}
IN_WORDS = {"chatml": CHATML, "llama3": LLAMA3, "thinking": THINKING, "gemma": GEMMA}
RENDERERS = {
    name: Renderer(tokenizer(template), tools=[SEARCH, ADD])
    for name, template in {**NATIVE, **IN_WORDS}.items()
}

CALL = ToolCall("search", {"q": "the desk é", "n": 2})
words = st.text(st.sampled_from("adegkst1 \n<>|ßλ語😀"), max_size=20)


def shown(renderer: Renderer, messages: list[Message]) -> str:
    text: str = renderer._tokenizer.decode(renderer.first(messages), skip_special_tokens=False)
    return text


@pytest.mark.parametrize("name", NATIVE)
def test_a_template_that_knows_tools_is_used(name: str) -> None:
    renderer = RENDERERS[name]
    assert renderer.tool_format is not None
    assert (renderer.tool_format.name, renderer.native_tools) == (name, True)
    text = shown(renderer, [Message("system", "S"), Message("user", "U")])
    assert "search" in text
    assert "add" in text
    assert "You can use tools" not in text
    assert renderer.extends
    assert renderer.extends_calls


@pytest.mark.parametrize("name", NATIVE)
def test_calls_are_written_as_the_template_writes_them(name: str) -> None:
    renderer = RENDERERS[name]
    assert renderer.tool_format is not None
    said = "" if name == "llama" else "I look."
    chat = [
        Message("user", "U"),
        Message("assistant", said, (CALL,)),
        Message("tool", "found", tool_call_id="1"),
    ]
    text = shown(renderer, chat)
    end = "<|eot_id|>" if name == "llama" else "<|im_end|>"
    assert renderer.tool_format.write([CALL], said) + end in text
    assert "found" in text


@pytest.mark.parametrize("name", IN_WORDS)
def test_a_template_without_tools_is_told_in_words(name: str) -> None:
    renderer = RENDERERS[name]
    assert renderer.tool_format is not None
    assert (renderer.tool_format.name, renderer.native_tools) == ("react", False)
    chat = [
        Message("system", "S"),
        Message("user", "U"),
        Message("assistant", "I look.", (CALL,)),
        Message("tool", "one"),
        Message("tool", "two"),
        Message("user", "go on"),
    ]
    text = shown(renderer, chat)
    assert "S\n\nYou can use tools." in text
    assert "- search: Find a page.\n  arguments: {" in text
    assert 'I look.\nAction: search\nAction Input: {"q": "the desk é", "n": 2}' in text
    assert "Observation: one\nObservation: two\ngo on" in text


@pytest.mark.parametrize("name", RENDERERS)
@settings(max_examples=8, deadline=None)
@given(results=st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=3))
def test_extending_by_results_equals_rendering_the_whole_chat(
    name: str, results: list[list[str]]
) -> None:
    renderer = RENDERERS[name]
    assert renderer.tool_format is not None
    chat = [Message("system", "Play."), Message("user", "go")]
    buffer = renderer.first(chat)
    for several in results:
        reply = renderer.tool_format.write([CALL] * len(several))
        sample = renderer.reply_ids(reply)
        new = [Message("tool", each) for each in several]
        delta = renderer.extend(sample, reply, new)
        assert delta is not None
        buffer = (*buffer, *sample, *delta)
        chat += [Message("assistant", reply), *new]
        assert buffer == renderer.first(chat)


def test_thinking_is_kept_between_results_and_fresh_when_a_user_speaks() -> None:
    renderer = RENDERERS["hermes"]
    assert renderer.tool_format is not None
    thought = "<think>\nhm\n</think>\n\n" + renderer.tool_format.write([CALL])
    sample = renderer.reply_ids(thought)
    result, user = Message("tool", "found"), Message("user", "and?")
    assert renderer.extend(sample, thought, [result]) is not None
    assert renderer.extend(sample, thought, [user]) is None
    assert renderer.extend(sample, thought, [result, user]) is None
    # A plain reply, but the thinking of an earlier one would be stripped now.
    plain = renderer.reply_ids("done")
    assert renderer.extend(plain, "done", [user]) is not None
    assert renderer.extend(plain, "done", [user], thought=True) is None
    assert renderer.extend(plain, "done", [result], thought=True) is not None


def test_a_template_that_rewrites_calls_makes_turns_fresh() -> None:
    hiding = HERMES.replace(
        "{{ '<|im_start|>assistant\n' + content }}",
        "{{ '<|im_start|>assistant\n' + content.split('<tool_call>')[0] }}",
    )
    renderer = Renderer(tokenizer(hiding), tools=[SEARCH])
    assert renderer.tool_format is not None
    assert renderer.extends
    assert renderer.extends_calls is False
    reply = renderer.tool_format.write([CALL])
    result = Message("tool", "found")
    assert renderer.extend(renderer.reply_ids(reply), reply, [result]) is None
    assert renderer.extend(renderer.reply_ids("hm"), "hm", [result]) is not None
    strict = Renderer(tokenizer(hiding), tools=[SEARCH], on_rewrite="refuse")
    with pytest.raises(UserError, match="rewrites earlier turns"):
        strict.extend((5,), reply, [result])


def test_a_template_without_the_prefix_property_is_always_fresh() -> None:
    renderer = Renderer(tokenizer(NO_PREFIX), tools=[SEARCH])
    assert renderer.extends_calls is False


def test_the_user_may_name_the_format() -> None:
    renderer = Renderer(tokenizer(CHATML), tools=[SEARCH], tool_calls="hermes")
    assert not renderer.native_tools
    text = shown(renderer, [Message("user", "U"), Message("tool", "found")])
    assert '<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>' in text
    assert "<tool_response>\nfound\n</tool_response>" in text
    other = Renderer(tokenizer(HERMES), tools=[SEARCH], tool_calls="react")
    assert not other.native_tools
    assert "Call as <tool_call>" not in shown(other, [Message("user", "U")])
    with pytest.raises(UnknownName, match="did you mean 'hermes'"):
        Renderer(tokenizer(CHATML), tools=[SEARCH], tool_calls="herms")


def test_a_template_that_refuses_results_is_told_in_words() -> None:
    refusing = HERMES.replace(
        "{% elif m['role'] == 'tool' %}",
        "{% elif m['role'] == 'tool' %}{{ raise_exception('no') }}",
    )
    renderer = Renderer(tokenizer(refusing), tools=[SEARCH])
    assert renderer.tool_format is not None
    assert (renderer.tool_format.name, renderer.native_tools) == ("hermes", False)
    assert "You can use tools." in shown(renderer, [Message("user", "U")])


def test_tags_that_a_tokenizer_would_drop_are_refused() -> None:
    made = tokenizer(HERMES)
    made.add_special_tokens({"additional_special_tokens": ["<tool_call>"]})
    with pytest.raises(ConfigError, match=r"<tool_call> for a control token.*react"):
        Renderer(made, tools=[SEARCH])
    assert Renderer(made, tools=[SEARCH], tool_calls="react").tool_format is not None


def test_llama_may_end_a_call_by_its_own_token() -> None:
    renderer = RENDERERS["llama"]
    names = [renderer._tokenizer.convert_ids_to_tokens(i) for i in renderer.stop_ids]
    assert names == ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]


@pytest.mark.parametrize("name", RENDERERS)
def test_arguments_and_tools_cannot_smuggle_in_control_tokens(name: str) -> None:
    template = {**NATIVE, **IN_WORDS}[name]
    special = "".join(SPECIAL[template])
    made = tokenizer(template)
    control = set(made.convert_tokens_to_ids(list(SPECIAL[template])))
    counts = []
    for bad in ("", special):
        tool: dict[str, JSON] = {
            "name": "search",
            "description": f"Find{bad}",
            "parameters": {"type": "object", "title": bad},
        }
        call = ToolCall("search", {"q" + bad: [{"x" + bad: bad}]})
        chat = [Message("user", "U"), Message("assistant", "", (call,)), Message("tool", bad)]
        ids = Renderer(made, tools=[tool]).first(chat)
        counts.append(sum(i in control for i in ids))
    assert counts[0] == counts[1]


def test_without_tools_nothing_changes() -> None:
    renderer = Renderer(tokenizer(HERMES))
    assert (renderer.tool_format, renderer.native_tools) == (None, False)
    assert renderer.extends_calls is None
    assert "Tools:" not in shown(renderer, [Message("user", "U")])
