"""A tiny model behind a real server, by chat and token by token, against the same in process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("aiohttp")

import torch
from chat_templates import CHATML, tokenizer
from openai_servers import Got, Reply, Server, model, serve
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentgym.agents import PolicyAgent
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.hf import HFBackend
from agentgym.backends.openai_http import OpenAIHTTP
from agentgym.errors import ConformanceError, EpisodeFailure, UserError
from agentgym.render import Renderer
from agentgym.rollout import Job, Limits, Task, run_lockstep
from agentgym.testing import check_backend
from agentgym.types import Message, Trajectory

TOKENIZER = tokenizer(CHATML)
RENDERER = Renderer(TOKENIZER)
CHAT = (Message("system", "Play."), Message("user", "go to the desk"))
CONTEXT = 512


class Embedded(HFBackend):
    """The model in this process, asked with the seeds that a server is sent."""

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        return super().generate([replace(r, seed=r.seed % 2**31) for r in requests])


def embedded() -> Embedded:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
    )
    return Embedded(Qwen3ForCausalLM(config), TOKENIZER, compute="whole")


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with serve(model(embedded())) as server:
        yield server


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def tokens(server: Server, **options: Any) -> OpenAIHTTP:
    return OpenAIHTTP(server.url, "tiny", TOKENIZER, **options)


def request(
    *, seed: int = 1, temperature: float = 1.0, max_tokens: int = 12, ids: Sequence[int] = ()
) -> SampleRequest:
    prompt = tuple(ids) or RENDERER.first(CHAT)
    return SampleRequest(
        seed, "policy", prompt, prompt, True, CHAT, max_tokens, temperature, RENDERER.stop_ids, seed
    )


def play(backend: Any, agent: PolicyAgent, width: int | None) -> list[Trajectory]:
    jobs = [Job(Task("guess", seed=seed), agent) for seed in range(5)]
    limits = Limits(max_turns=3, max_tokens_per_call=8, max_context=CONTEXT)
    return run_lockstep(jobs, backend, limits=limits, seed=4, width=width)


def test_token_by_token_it_is_a_backend_in_every_respect(served: Server) -> None:
    check_backend(lambda: tokens(served), stop_ids=RENDERER.stop_ids).raise_on_failure()


def test_by_chat_it_has_no_tokens_to_be_checked(served: Server) -> None:
    report = check_backend(lambda: OpenAIHTTP(served.url, "tiny"), stop_ids=RENDERER.stop_ids)
    with pytest.raises(ConformanceError, match="asked for 1 to 6 tokens, got 0"):
        report.raise_on_failure()


def test_samples_are_those_of_the_model(served: Server) -> None:
    asked = [request(seed=seed, temperature=t) for seed in range(6) for t in (0.0, 0.7, 1.0)]
    backend, own = tokens(served), embedded()
    wanted = [own.generate([one])[0] for one in asked]
    assert backend.max_context == CONTEXT
    assert backend.generate(asked) == wanted
    assert len({sample.ids for sample in wanted if isinstance(sample, Sample)}) > 6
    backend.close()


def test_episodes_are_those_of_the_model(served: Server) -> None:
    agent, backend = PolicyAgent(RENDERER), tokens(served)
    there = play(backend, agent, None)
    assert there == play(embedded(), agent, 1)
    assert all(trajectory.valid for trajectory in there)
    assert all(call.sample_ids for t in there for turn in t.turns for call in turn.calls)
    backend.close()


def test_by_chat_the_text_is_that_of_the_model(served: Server) -> None:
    backend = OpenAIHTTP(served.url, "tiny")
    for seed in range(4):
        [said] = backend.generate([request(seed=seed)])
        [own] = embedded().generate([request(seed=seed)])
        assert isinstance(said, Sample)
        assert isinstance(own, Sample)
        assert said == Sample((), (), own.text, own.finish, 0)
    backend.close()


def test_episodes_by_chat_say_what_the_model_says(served: Server) -> None:
    """In the first turn; after that the server makes tokens of the text of its own replies."""
    backend = OpenAIHTTP(served.url, "tiny")
    by_chat = play(backend, PolicyAgent(Renderer(backend.tokenizer), temperature=0.0), None)
    in_process = play(embedded(), PolicyAgent(RENDERER, temperature=0.0), None)
    assert [t.turns[0].action for t in by_chat] == [t.turns[0].action for t in in_process]
    assert all(trajectory.valid for trajectory in by_chat)
    backend.close()


def test_what_a_server_is_asked(served: Server) -> None:
    backend = tokens(served)
    backend.generate([request(seed=2**40 + 3)])
    body = served.got[-1].body
    assert served.got[-1].path == "/v1/completions"
    assert body["prompt"] == list(RENDERER.first(CHAT))
    assert body["stop_token_ids"] == list(RENDERER.stop_ids)
    assert (body["seed"], body["max_tokens"], body["temperature"]) == (3, 12, 1.0)
    assert (body["top_p"], body["top_k"], body["ignore_eos"]) == (1.0, -1, True)
    backend.close()


def test_tokens_are_counted(served: Server) -> None:
    backend = tokens(served)
    before = backend.tokens
    [sample] = backend.generate([request()])
    assert isinstance(sample, Sample)
    assert backend.tokens - before == len(RENDERER.first(CHAT)) + len(sample.ids)
    backend.close()


def test_a_prompt_that_leaves_no_room_is_not_sent(served: Server) -> None:
    backend = tokens(served)
    calls = backend.calls
    [none, short] = backend.generate([request(ids=[5] * CONTEXT), request(ids=[5] * (CONTEXT - 2))])
    assert isinstance(none, EpisodeFailure)
    assert f"a prompt of {CONTEXT} tokens" in none.message
    assert isinstance(short, Sample)
    assert len(short.ids) <= 2
    assert backend.calls == calls + 1
    backend.close()


def changed(change: Callable[[dict[str, Any]], None], *, first: bool) -> Callable[[Got], Reply]:
    """Return a server whose answers are changed, the one at the start too or not."""
    respond, seen = model(embedded()), []

    def changing(got: Got) -> Reply:
        reply = respond(got)
        if got.method == "POST":
            seen.append(got)
            if first or len(seen) > 1:
                change(reply.body["choices"][0])
        return reply

    return changing


BAD: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda c: c.pop("token_ids"), "an answer without token_ids"),
    (lambda c: c.update(token_ids=[]), "an answer without token_ids"),
    (lambda c: c.update(token_ids=["token_id:3"]), "an answer without token_ids"),
    (lambda c: c.pop("logprobs"), "without a log-probability for each token"),
    (lambda c: c["logprobs"]["token_logprobs"].append(0.0), "without a log-probability for each"),
    (lambda c: c["logprobs"].update(token_logprobs=None), "without a log-probability for each"),
    (lambda c: c["token_ids"].__setitem__(0, -1), "an answer without token_ids"),
    (
        lambda c: c["logprobs"]["token_logprobs"].__setitem__(0, float("nan")),
        "log-probabilities that are no finite numbers",
    ),
    (lambda c: c["prompt_token_ids"].insert(0, 1), "after another prompt"),
    (
        lambda c: c.update(finish_reason="length" if c["finish_reason"] == "stop" else "stop"),
        "does not fit its tokens",
    ),
    (lambda c: c.update(finish_reason="abort"), "'abort'"),
]


@pytest.mark.parametrize(("change", "why"), BAD)
def test_answers_that_are_no_samples(change: Callable[[dict[str, Any]], Any], why: str) -> None:
    with serve(changed(change, first=False)) as server:
        backend = tokens(server)
        [answer] = backend.generate([request()])
        assert isinstance(answer, EpisodeFailure)
        assert why in answer.message
        assert len(server.samples) == 2
        backend.close()


@pytest.mark.parametrize(("change", "why"), BAD[:1] + BAD[3:4])
def test_a_server_without_tokens_is_refused_at_the_start(
    change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    with serve(changed(change, first=True)) as server:
        with pytest.raises(UserError, match=f"cannot be sampled token by token: .*{why}.*chat"):
            tokens(server)
        OpenAIHTTP(server.url, "tiny").close()
