"""The model server of transformers, a process of its own, with a tiny model from disk."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("aiohttp")
pytest.importorskip("accelerate")
pytest.importorskip("fastapi")
pytest.importorskip("openai")
pytest.importorskip("uvicorn")

import torch
from chat_templates import CHATML, tokenizer
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers_server import NAME, serving

from agentgym.agents import PolicyAgent
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.hf import HFBackend
from agentgym.backends.openai_http import OpenAIHTTP
from agentgym.chat import chat_named
from agentgym.errors import EpisodeFailure, UnknownName, UserError
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect
from agentgym.types import Message

pytestmark = pytest.mark.slow

TOKENIZER = tokenizer(CHATML)
RENDERER = Renderer(TOKENIZER)
CHATS = [
    (Message("system", "Play."), Message("user", "go to the desk")),
    (Message("user", "take the lamp"),),
    (Message("user", "a"), Message("assistant", "b"), Message("user", "go")),
]


def embedded() -> HFBackend:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.2,
        eos_token_id=TOKENIZER.convert_tokens_to_ids("<|im_end|>"),
    )
    return HFBackend(Qwen3ForCausalLM(config), TOKENIZER, compute="whole")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache = tmp_path_factory.mktemp("hub")
    with serving(embedded().model, TOKENIZER, RENDERER.stop_ids, cache) as address:
        yield address


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def request(messages: tuple[Message, ...], *, seed: int = 1, temperature: float) -> SampleRequest:
    prompt = RENDERER.first(messages)
    return SampleRequest(
        seed, "policy", prompt, prompt, True, messages, 12, temperature, RENDERER.stop_ids, seed
    )


def texts(answers: list[Any]) -> list[str]:
    assert all(isinstance(answer, Sample) for answer in answers), answers
    return [answer.text for answer in answers]


def test_what_it_says_is_what_the_model_says(url: str) -> None:
    asked = [request(messages, seed=k, temperature=0.0) for k, messages in enumerate(CHATS)]
    backend = OpenAIHTTP(url, NAME)
    said, own = backend.generate(asked), embedded().generate(asked)
    assert texts(said) == texts(own)
    assert [s.finish for s in said if isinstance(s, Sample)] == [
        s.finish for s in own if isinstance(s, Sample)
    ]
    assert len(set(texts(said))) == len(CHATS)
    prompts = sum(len(each.context_ids) for each in asked)
    assert prompts < backend.tokens <= prompts + 12 * len(asked)
    backend.close()


def test_seeds_are_heeded(url: str) -> None:
    backend = OpenAIHTTP(url, NAME, concurrency=1)
    asked = [request(CHATS[0], seed=seed, temperature=1.0) for seed in range(4)]
    said = texts(backend.generate(asked))
    assert texts(backend.generate(asked)) == said
    assert len(set(said)) > 1
    backend.close()


def test_episodes(url: str) -> None:
    backend = OpenAIHTTP(url, NAME)
    tasks = [Task("guess", seed=seed) for seed in range(4)]
    limits = Limits(max_turns=3, max_tokens_per_call=8)
    agent = PolicyAgent(Renderer(backend.tokenizer))
    groups = collect(tasks, 2, agent, backend, seed=0, limits=limits)
    episodes = [episode for group in groups for episode in group.trajectories_G]
    assert all(episode.valid and episode.turns for episode in episodes)
    assert len({turn.action for episode in episodes for turn in episode.turns}) > 4
    backend.close()


def test_it_has_no_tokens_to_sample_by(url: str) -> None:
    with pytest.raises(UserError, match=r"cannot be sampled token by token.*return_token_ids"):
        OpenAIHTTP(url, NAME, TOKENIZER)


def test_what_it_refuses_fails_that_request_only(url: str) -> None:
    backend = OpenAIHTTP(url, NAME, fields={"top_logits": 3}, retries=0)
    [answer] = backend.generate([request(CHATS[0], temperature=0.0)])
    assert isinstance(answer, EpisodeFailure)
    assert answer.boundary == "backend"
    assert "422" in answer.message
    assert "top_logits" in answer.message
    backend.close()


def test_it_can_be_asked_for_texts(url: str) -> None:
    chat = chat_named(f"openai:{url}#{NAME}")
    said = chat.ask(CHATS[0], seed=1)
    [own] = embedded().generate([request(CHATS[0], temperature=0.0)])
    assert isinstance(own, Sample)
    assert said.startswith(own.text)
    assert chat.ask(CHATS[0], seed=1) == said
    with pytest.raises(UnknownName, match="did you mean 'tiny/policy'"):
        chat_named(f"openai:{url}#tiny/polcy")
