import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentgym import make
from agentgym.errors import ConfigError, UnknownName
from agentgym.render import Renderer
from agentgym.trainers.policies import (
    MAX_PHRASES,
    PRESETS,
    gather_texts,
    learn_tokenizer,
    new_policy,
)
from agentgym.types import Message

HOUSE = [
    *["go to cabinet 1", "go to desk 12", "take apple 1 from cabinet 3", "look", "inventory"] * 10,
    *["You arrive at cabinet 1. The cabinet 1 is closed."] * 12,
    *["You arrive at cabinet 3. On the cabinet 3, you see a apple 1, and a mug 2."] * 12,
    *["Your task is to: put a clean apple in cabinet."] * 9,
    *["You are in a room. You see a desk 12."] * 9,
]
TOKENIZER = learn_tokenizer(HOUSE)


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    return ids


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([i]) for i in ids_of(text)]


def test_one_token_per_entity_and_phrase() -> None:
    assert pieces("go to cabinet 1") == ["go to", " cabinet 1"]
    assert pieces("take apple 1 from cabinet 3") == ["take", " apple 1", " from", " cabinet 3"]
    assert pieces("You arrive at cabinet 1. The cabinet 1 is closed.") == [
        "You arrive at",
        " cabinet 1",
        ". The",
        " cabinet 1",
        " is closed.",
    ]


def test_gaps_in_the_numbers_are_filled_and_what_lies_beyond_is_spelled() -> None:
    assert pieces("go to cabinet 2") == ["go to", " cabinet 2"]
    assert len(ids_of("go to cabinet 4")) == 1 + len(" cabinet 4")
    assert TOKENIZER.decode(ids_of("go to cabinet 4")) == "go to cabinet 4"


def test_names_are_never_swallowed_by_phrases() -> None:
    task = pieces("Your task is to: put a clean apple in cabinet.")
    assert " apple" in task
    assert " cabinet" in task


def test_a_phrase_ends_where_its_last_word_ends() -> None:
    assert "go to" not in pieces("go together")
    assert TOKENIZER.decode(ids_of("go together")) == "go together"


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(["go to", " cabinet 1", " is closed.", "\n", " ", "'s", "7", "ß", "語"])
        ).map("".join),
    )
)
def test_any_text_comes_back_exactly(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()  # surrogates are no text
    assert TOKENIZER.decode(ids_of(text), clean_up_tokenization_spaces=False) == text


@given(st.sampled_from(HOUSE), st.sampled_from(HOUSE))
def test_an_action_is_the_same_tokens_alone_and_in_a_chat(observation: str, action: str) -> None:
    renderer = Renderer(TOKENIZER)
    chat = [Message("user", observation), Message("assistant", action), Message("user", "x")]
    ids = renderer.first(chat)
    reply = renderer.reply_ids(action)
    assert reply in [ids[i : i + len(reply)] for i in range(len(ids))]


def test_the_chat_template_extends_its_own_prefix_and_is_lean() -> None:
    renderer = Renderer(TOKENIZER, on_rewrite="refuse")
    assert renderer.extends
    delta = renderer.extend(renderer.reply_ids("look"), "look", [Message("user", "look")])
    assert delta is not None
    assert len(delta) == 2  # look, assistant
    chat = [Message("system", "look"), *[Message("user", "look")] * 2, Message("tool", "look")]
    marks = TOKENIZER.convert_ids_to_tokens(list(renderer.first(chat)))[::2]
    assert marks == ["<|system|>", "<|user|>", "<|user|>", "<|tool|>", "<|assistant|>"]
    assert TOKENIZER.convert_ids_to_tokens(list(renderer.stop_ids)) == ["<|end|>"]


def test_the_order_of_the_texts_does_not_matter() -> None:
    assert learn_tokenizer(reversed(HOUSE)).get_vocab() == TOKENIZER.get_vocab()


def test_the_vocabulary_is_bounded() -> None:
    small = learn_tokenizer(HOUSE, max_vocabulary=280)
    assert len(small) <= 280
    assert small.decode(small("go to cabinet 1")["input_ids"]) == "go to cabinet 1"
    with pytest.raises(ConfigError, match="must be above 262, got 100"):
        learn_tokenizer(HOUSE, max_vocabulary=100)
    with pytest.raises(ConfigError, match="there is none"):
        learn_tokenizer(["", ""])


def test_the_number_of_phrases_is_bounded() -> None:
    names = [a + b for a in "bcdfghjk" for b in "aeiouxyz"]
    texts = [f"{x}q{y} {y}w{x} is here" for x in names for y in names[:12]] * 8
    tokenizer = learn_tokenizer(texts, max_vocabulary=10_000)
    phrases = [t for t in tokenizer.get_vocab() if "\u0120" in t[1:]]
    assert len(phrases) == MAX_PHRASES
    assert all(tokenizer.decode(tokenizer(t)["input_ids"]) == t for t in texts[::50])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_policy(tmp_path_factory.mktemp("policies") / "p", texts=HOUSE, seed=3)


def test_transformers_loads_the_folder(policy: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(policy)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert abs(float(model.model.layers[0].mlp.up_proj.weight.detach().std()) - 0.08) < 0.002
    assert model.lm_head.weight is model.model.embed_tokens.weight
    for text in ("go to cabinet 1", "naïve\n"):
        assert tokenizer(text)["input_ids"] == ids_of(text)
        assert tokenizer.decode(ids_of(text)) == text


def test_equal_arguments_equal_files(policy: Path, tmp_path: Path) -> None:
    again = new_policy(tmp_path / "p", texts=reversed(HOUSE), seed=3)
    files = sorted(path.name for path in policy.iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert sorted(path.name for path in again.iterdir()) == files
    assert all((again / name).read_bytes() == (policy / name).read_bytes() for name in files)
    other = new_policy(tmp_path / "q", texts=[*HOUSE, "go to fridge 1"], seed=4)
    learned = "tokenizer.json"
    assert (other / learned).read_bytes() != (policy / learned).read_bytes()
    name = "model.layers.0.mlp.up_proj.weight"
    theirs, ours = (load_file(p / "model.safetensors")[name] for p in (other, policy))
    assert not theirs.equal(ours)


def test_the_global_random_state_is_left_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    before = torch.get_rng_state()
    new_policy(tmp_path / "p", texts=HOUSE, seed=3)
    assert torch.get_rng_state().equal(before)


def test_presets(tmp_path: Path) -> None:
    assert set(PRESETS) == {"small", "tiny"}
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        new_policy(tmp_path / "p", preset="tinny", texts=HOUSE, seed=0)
    small = new_policy(tmp_path / "s", preset="small", texts=HOUSE, seed=0)
    assert json.loads((small / "config.json").read_text())["hidden_size"] == 256


def test_an_occupied_folder_is_refused(policy: Path) -> None:
    with pytest.raises(ConfigError, match="not empty"):
        new_policy(policy, texts=HOUSE, seed=3)


def test_texts_of_environments() -> None:
    env = make("guess")
    texts = gather_texts(env, range(5))
    assert texts == gather_texts(env, range(5))
    assert "say hello" not in texts
    assert texts.count(env.instructions) == 5
    assert "10" in texts  # the expert's first guess
    assert "It is higher than 10." in texts


def test_a_household_policy_speaks_in_few_tokens() -> None:
    env = make("household", preset="tiny")
    tokenizer = learn_tokenizer(gather_texts(env, range(100)))
    assert len(tokenizer) < 700
    assert len(tokenizer("Nothing happens.", add_special_tokens=False)["input_ids"]) == 1
    lengths = []
    for seed in range(1000, 1020):
        env.reset(seed=seed)
        for action in env.gold() or ():
            ids = tokenizer(action, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids) == action
            lengths.append(len(ids))
    assert max(lengths) <= 4
