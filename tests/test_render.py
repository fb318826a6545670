import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentgym.errors import ConfigError, UserError
from agentgym.render import Renderer, parse_action
from agentgym.types import Message, ToolCall

pytest.importorskip("transformers")

from chat_templates import CHATML, GEMMA, LLAMA3, NO_PREFIX, SPECIAL, THINKING, tokenizer

EXTENDING = {"chatml": CHATML, "llama3": LLAMA3, "thinking": THINKING, "gemma": GEMMA}
RENDERERS = {name: Renderer(tokenizer(template)) for name, template in EXTENDING.items()}

words = st.text(st.sampled_from("adegkst1 \n<>|ßλ語😀"), max_size=30)
replies = words.map(str.strip).filter(bool)


def system(text: str) -> Message:
    return Message("system", text)


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def whole_text(renderer: Renderer, ids: tuple[int, ...]) -> str:
    text: str = renderer._tokenizer.decode(list(ids), skip_special_tokens=False)
    return text


@pytest.mark.parametrize("name", EXTENDING)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(observations=st.lists(words, min_size=1, max_size=4), said=st.lists(replies, min_size=4))
def test_extending_turn_by_turn_equals_rendering_the_whole_chat(
    name: str, observations: list[str], said: list[str]
) -> None:
    renderer = RENDERERS[name]
    chat = [system("Play."), user(observations[0])]
    buffer = renderer.first(chat)
    for observation, reply in zip(observations[1:], said, strict=False):
        sample = renderer.reply_ids(reply)
        delta = renderer.extend(sample, reply, [user(observation)])
        assert delta is not None
        buffer = (*buffer, *sample, *delta)
        chat += [assistant(reply), user(observation)]
        assert whole_text(renderer, buffer) == whole_text(renderer, renderer.first(chat))
        assert buffer == renderer.first(chat)


def test_first_prompt_is_what_the_template_says() -> None:
    chat = [system("S"), user("U")]
    texts = {name: whole_text(r, r.first(chat)) for name, r in RENDERERS.items()}
    chatml = (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )
    assert texts["chatml"] == texts["thinking"] == chatml
    assert texts["llama3"] == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    # No system role there: what it would say leads the first message.
    assert texts["gemma"] == (
        "<bos><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n"
    )


def test_first_prompt_equals_the_ids_of_apply_chat_template() -> None:
    made = tokenizer(CHATML)
    chat = [{"role": "system", "content": "S"}, {"role": "user", "content": "take the apple"}]
    theirs = made.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert Renderer(made).first([system("S"), user("take the apple")]) == tuple(theirs)


@pytest.mark.parametrize(("name", "missing"), [("chatml", "<|im_end|>"), ("llama3", "<|eot_id|>")])
def test_a_sample_that_was_cut_gets_its_end_of_turn(name: str, missing: str) -> None:
    renderer = RENDERERS[name]
    whole = renderer.reply_ids("go to the desk")
    cut = whole[:-1]
    ended = renderer.extend(whole, "go to the desk", [user("ok")])
    repaired = renderer.extend(cut, "go to the desk", [user("ok")])
    assert ended is not None
    assert repaired is not None
    assert whole_text(renderer, repaired[:1]) == missing
    assert (*cut, *repaired) == (*whole, *ended)


@pytest.mark.parametrize("name", EXTENDING)
def test_an_observation_may_hold_the_renderer_s_own_words(name: str) -> None:
    renderer = RENDERERS[name]
    sample = renderer.reply_ids("go")
    new = [user("before sentinel reply after")]
    delta = renderer.extend(sample, "go", new)
    assert delta is not None
    whole = renderer.first([user("x"), assistant("go"), *new])
    assert (*renderer.first([user("x")]), *sample, *delta) == whole


def test_a_reply_ended_by_another_token_keeps_it() -> None:
    renderer = RENDERERS["chatml"]
    end_of_text = renderer._tokenizer.eos_token_id
    sample = (*renderer.encode("go"), end_of_text)
    delta = renderer.extend(sample, "go", [user("ok")])
    assert delta is not None
    assert whole_text(renderer, (*sample, *delta)).startswith("go<|endoftext|><|im_end|>\n")


@pytest.mark.parametrize("name", EXTENDING)
def test_stop_tokens_are_the_end_of_turn_and_the_end_of_text(name: str) -> None:
    renderer = RENDERERS[name]
    special = SPECIAL[EXTENDING[name]]
    assert [renderer._tokenizer.convert_ids_to_tokens(i) for i in renderer.stop_ids] == [
        special[-2],
        special[-1],
    ]


def test_stripped_thinking_makes_a_turn_fresh_and_a_plain_reply_does_not() -> None:
    renderer = RENDERERS["thinking"]
    thought = "<think>\nthe desk?\n</think>\n\ngo to the desk"
    assert renderer.extends
    assert not renderer.extends_thinking
    assert renderer.extend(renderer.reply_ids("go"), "go", [user("ok")]) is not None
    assert renderer.extend(renderer.reply_ids(thought), thought, [user("ok")]) is None
    assert RENDERERS["chatml"].extends_thinking


def test_thinking_between_results_of_tools_is_kept() -> None:
    renderer = RENDERERS["thinking"]
    thought = "<think>\nthe desk?\n</think>\n\nsearch"
    sample = renderer.reply_ids(thought)
    delta = renderer.extend(sample, thought, [Message("tool", "found")])
    assert delta is not None
    chat = [user("x"), assistant(thought), Message("tool", "found")]
    assert (*renderer.first([user("x")]), *sample, *delta) == renderer.first(chat)


def test_a_template_without_the_prefix_property_is_always_fresh() -> None:
    renderer = Renderer(tokenizer(NO_PREFIX))
    assert not renderer.extends
    assert renderer.extend(renderer.reply_ids("go"), "go", [user("ok")]) is None


def test_strict_mode_refuses_rewriting_templates() -> None:
    with pytest.raises(ConfigError, match=r"changes earlier turns.*'refuse'"):
        Renderer(tokenizer(NO_PREFIX), on_rewrite="refuse")
    renderer = Renderer(tokenizer(THINKING), on_rewrite="refuse")
    assert renderer.extend(renderer.reply_ids("go"), "go", [user("ok")]) is not None
    with pytest.raises(UserError, match="rewrites earlier turns"):
        renderer.extend((5,), "<think>hm</think>go", [user("ok")])


def test_keeping_the_tokens_although_the_template_rewrites() -> None:
    renderer = Renderer(tokenizer(THINKING), on_rewrite="keep")
    thought = "<think>\nhm\n</think>\n\ngo"
    sample = renderer.reply_ids(thought)
    delta = renderer.extend(sample, thought, [user("ok")])
    assert delta == renderer.extend(renderer.reply_ids("go"), "go", [user("ok")])


def test_no_chat_template_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no chat template.*instruction-tuned.*chat_template"):
        Renderer(tokenizer(None))


def test_a_template_that_hides_replies_is_refused() -> None:
    hiding = "{% for m in messages %}{% if m['role'] != 'assistant' %}{{ m['content'] }}{% endif %}"
    with pytest.raises(ConfigError, match="leaves out what the assistant said"):
        Renderer(tokenizer(hiding + "{% endfor %}"))


def test_a_template_that_fails_names_the_roles() -> None:
    failing = GEMMA.replace("messages[0]['role'] == 'system'", "messages | length > 1")
    with pytest.raises(ConfigError, match=r"\['user', 'assistant', 'user'\]"):
        Renderer(tokenizer(failing))


def test_unknown_rewrite_mode() -> None:
    with pytest.raises(ConfigError, match="fresh, refuse or keep"):
        Renderer(tokenizer(CHATML), on_rewrite="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXTENDING)
def test_text_cannot_smuggle_in_control_tokens(name: str) -> None:
    renderer = RENDERERS[name]
    special = SPECIAL[EXTENDING[name]]
    plain = renderer.first([user("x")])
    attacked = renderer.first([user("x" + "".join(special))])
    control = set(renderer._tokenizer.convert_tokens_to_ids(list(special)))
    assert [i for i in attacked if i in control] == [i for i in plain if i in control]
    assert not control & set(renderer.reply_ids("".join(special))[:-1])


def test_options_reach_the_template() -> None:
    template = CHATML + "{% if shout %}{{ 'LOUD' }}{% endif %}"
    renderer = Renderer(tokenizer(CHATML), template_options={"shout": True})
    renderer._tokenizer.chat_template = template
    assert whole_text(renderer, renderer.first([user("x")])).endswith("assistant\nLOUD")


def test_tool_calls_reach_the_template() -> None:
    template = CHATML.replace(
        "m['content'] +",
        "m['content'] + (m['tool_calls'][0]['function']['name'] if m['tool_calls'] else '') +",
    )
    renderer = Renderer(tokenizer(template))
    call = Message("assistant", "", (ToolCall("search", {"q": "x"}),))
    text = whole_text(renderer, renderer.first([user("x"), call, Message("tool", "found")]))
    assert "<|im_start|>assistant\nsearch<|im_end|>" in text


@pytest.mark.parametrize(
    ("text", "tag", "action", "well_formed"),
    [
        (" go to desk 1\n", "", "go to desk 1", True),
        ("", "", "", True),
        ("<think>a</think>b<think>c</think> go ", "", "go", True),
        ("thought without opening</think> go", "", "go", True),
        ("<think>cut", "", "", False),
        ("<action> go </action>", "action", "go", True),
        ("<action>a</action> or <action>\nb\n</action>!", "action", "b", True),
        ("<think><action>no</action></think>go", "action", "go", False),
        ("<action>cut", "action", "<action>cut", False),
        ("<a.b>x</a.b>", "a.b", "x", True),
    ],
)
def test_parse_action(text: str, tag: str, action: str, well_formed: bool) -> None:
    assert parse_action(text, tag) == (action, well_formed)
