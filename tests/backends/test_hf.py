from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from chat_templates import CHATML, tokenizer
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from agentgym.agents import PolicyAgent
from agentgym.backends.base import Backend, Sample, SampleRequest
from agentgym.backends.hf import HFBackend, draw
from agentgym.errors import ConfigError, EpisodeFailure, UserError
from agentgym.render import Renderer
from agentgym.rollout import Job, Limits, Task, run_lockstep, run_threaded
from agentgym.types import Stop

VOCABULARY = 61
TOKENIZER = tokenizer(CHATML)
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=8, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**SHAPE),
    "llama": lambda: LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=None),
    "mistral-sliding": lambda: MistralConfig(**SHAPE, sliding_window=6),
    "gemma2": lambda: Gemma2Config(**SHAPE, head_dim=8, sliding_window=6),
}
WAYS = [
    ("qwen3", "lean"),
    ("qwen2", "lean"),
    ("llama", "lean"),
    ("qwen3", "ragged"),
    ("llama", "ragged"),
    ("mistral", "ragged"),
    ("qwen3", "whole"),
    ("mistral-sliding", "whole"),
    ("gemma2", "whole"),
]


def model_of(name: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Auto.from_config(CONFIGS[name]())
        for parameter in model.parameters():  # biases are not all zero
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def backend_of(name: str = "qwen3", compute: str = "auto", **options: Any) -> HFBackend:
    return HFBackend(model_of(name), TOKENIZER, compute=compute, **options)


def ask(session: int, context: list[int], **more: Any) -> SampleRequest:
    values: dict[str, Any] = {"fresh": True, "max_tokens": 6, "temperature": 1.0, "stop_ids": (2,)}
    values |= {"seed": session, **more}
    return SampleRequest(
        session=session,
        role="policy",
        context_ids=tuple(context),
        prompt_ids=tuple(context),
        messages=(),
        **values,
    )


def answers(backend: HFBackend, requests: list[SampleRequest]) -> list[Sample]:
    found = backend.generate(requests)
    assert all(isinstance(sample, Sample) for sample in found)
    return [sample for sample in found if isinstance(sample, Sample)]


@torch.no_grad()
def naive(model: Any, request: SampleRequest) -> tuple[tuple[int, ...], list[float]]:
    """The slow and obvious way: the whole prefix for every token."""
    ids, logprobs = list(request.context_ids), []
    uniforms = np.random.Generator(np.random.Philox(key=request.seed)).random(request.max_tokens)
    for uniform in uniforms:
        logits = model(torch.tensor([ids])).logits[0, -1].double()
        logprobs_V = torch.log_softmax(logits / (request.temperature or 1.0), -1)
        if request.temperature == 0:
            token = int(logprobs_V.argmax())
        else:
            token = int((logprobs_V.exp().cumsum(0) > uniform).nonzero()[0])
        ids.append(token)
        logprobs.append(float(logprobs_V[token]))
        if token in request.stop_ids:
            break
    return tuple(ids[len(request.context_ids) :]), logprobs


def watch(backend: HFBackend) -> list[int]:
    """Return a list that grows by the number of tokens of every forward pass."""
    computed: list[int] = []
    decoder: Any = backend._decoder
    forward = decoder._forward

    def counting(ids: Any, view: Any) -> Any:
        computed.append(len(ids))
        return forward(ids, view)

    decoder._forward = counting
    return computed


def test_it_is_a_backend() -> None:
    assert isinstance(backend_of(), Backend)


@pytest.mark.parametrize(("name", "compute"), WAYS)
def test_turn_after_turn_equals_the_whole_prefix_forward(name: str, compute: str) -> None:
    """Sessions of any age and length, some released, some fresh, greedy and not, in one batch."""
    backend = backend_of(name, compute)
    assert backend.computes == compute
    rng = np.random.default_rng(1)

    def words(low: int, high: int) -> list[int]:
        return [int(i) for i in rng.integers(3, VOCABULARY, int(rng.integers(low, high)))]

    contexts = {session: words(1, 12) for session in range(8)}
    contexts[5] = list(contexts[4])  # the same prompt: computed once
    sampled = 0
    for turn in range(6):
        active = [s for s in contexts if rng.random() < 0.7] or [0]
        rng.shuffle(active)
        requests = [
            ask(
                session,
                contexts[session],
                fresh=turn == 0 or bool(rng.random() < 0.1),
                temperature=float(rng.choice([0, 0.7, 1.0, 1.5])),
                max_tokens=int(rng.integers(1, 9)),
                stop_ids=(2, int(rng.integers(3, VOCABULARY))),
                seed=int(rng.integers(1 << 60)),
            )
            for session in active
        ]
        for request, sample in zip(requests, answers(backend, requests), strict=True):
            ids, logprobs = naive(backend.model, request)
            assert sample.ids == ids
            np.testing.assert_allclose(sample.logprobs, logprobs, atol=1e-4, rtol=0)
            assert sample.finish == ("stop" if ids[-1] in request.stop_ids else "length")
            contexts[request.session] += [*ids, *words(1, 20)]
            sampled += len(ids)
        backend.release([int(rng.integers(8)), 99])
    assert sampled > 60


def test_the_fastest_way_that_fits_is_chosen_and_the_reason_kept() -> None:
    chosen = {name: backend_of(name) for name in CONFIGS}
    assert {name: backend.computes for name, backend in chosen.items()} == {
        "qwen3": "lean",
        "qwen2": "lean",
        "llama": "lean",
        "mistral": "ragged",
        "mistral-sliding": "whole",
        "gemma2": "whole",
    }
    assert chosen["qwen3"].computes_why == ""
    assert "sliding" in chosen["mistral-sliding"].computes_why
    with pytest.raises(ConfigError, match="sliding"):
        backend_of("gemma2", "ragged")
    with pytest.raises(ConfigError, match="auto, lean, ragged or whole"):
        backend_of(compute="fast")


def test_hooks_and_other_layers_are_not_passed_over() -> None:
    model = model_of("qwen3")
    model.model.layers[0].mlp.register_forward_hook(lambda module, args, out: out * 2)
    backend = HFBackend(model, TOKENIZER)
    assert backend.computes == "ragged"
    request = ask(1, [5, 6, 7])
    assert answers(backend, [request])[0].ids == naive(model, request)[0]


def test_scaled_rotary_positions_are_left_to_the_modules() -> None:
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    model = Auto.from_config(Qwen3Config(**SHAPE, head_dim=8, rope_parameters=scaled))
    backend = HFBackend(model, TOKENIZER)
    assert (backend.computes, "rotary" in backend.computes_why) == ("ragged", True)


def test_bfloat16_is_left_to_the_modules() -> None:
    backend = backend_of(dtype="bfloat16")
    assert backend.computes == "ragged"
    assert answers(backend, [ask(1, [5, 6, 7])])[0].ids


def test_what_else_is_in_the_batch_does_not_matter() -> None:
    together = answers(
        backend_of(), [ask(s, list(range(3, 6 + s)), seed=100 + s) for s in range(12)]
    )
    for session in (0, 5, 11):
        request = ask(session, list(range(3, 6 + session)), seed=100 + session)
        [alone] = answers(backend_of(), [request])
        assert alone.ids == together[session].ids
        np.testing.assert_allclose(alone.logprobs, together[session].logprobs, atol=1e-5)


def test_prompts_of_one_group_are_computed_once() -> None:
    backend = backend_of()
    computed = watch(backend)
    group = [ask(s, [5, 6, 7, 8], seed=s, max_tokens=1) for s in range(6)]
    other = ask(9, [5, 6, 7], max_tokens=1)
    samples = answers(backend, [*group, other])
    assert computed == [4 + 3]
    for request, sample in zip([*group, other], samples, strict=True):
        assert sample.ids == naive(backend.model, request)[0]
    computed.clear()  # from here on each member is on its own
    turn = [ask(s, [5, 6, 7, 8, 10 + s], fresh=False, max_tokens=2, stop_ids=()) for s in range(6)]
    first = answers(backend, turn)
    more = [
        ask(s, [5, 6, 7, 8, 10 + s, *first[s].ids, 9], fresh=False, max_tokens=1) for s in range(6)
    ]
    for request, sample in zip(more, answers(backend, more), strict=True):
        assert sample.ids == naive(backend.model, request)[0]
    assert computed == [6, 6, 6 * 2]


def test_a_turn_costs_its_new_tokens_only() -> None:
    backend = backend_of()
    computed = watch(backend)
    [first] = answers(backend, [ask(1, [5, 6, 7, 8], max_tokens=3, stop_ids=())])
    context = [5, 6, 7, 8, *first.ids, 9, 10]
    answers(backend, [ask(1, context, fresh=False, max_tokens=1)])
    assert computed == [4, 1, 1, 1 + 2]  # the last sampled token was not computed before


def test_rows_that_are_over_are_left_out_when_they_are_half() -> None:
    backend = backend_of()
    computed = watch(backend)
    lengths = [1, 2, 2, 4]
    answers(backend, [ask(s, [5 + s], max_tokens=n, stop_ids=()) for s, n in enumerate(lengths)])
    assert computed == [4, 4, 1, 1]


def test_long_prompts_are_computed_in_parts() -> None:
    requests = [ask(s, [3 + (s * i) % 50 for i in range(1, 9 + s)]) for s in range(1, 8)]
    whole, parts = answers(backend_of(), requests), answers(backend_of(prefill_tokens=20), requests)
    assert [sample.ids for sample in whole] == [sample.ids for sample in parts]


def test_a_changed_prefix_is_noticed() -> None:
    backend = backend_of()
    answers(backend, [ask(1, [5, 6, 7, 8])])
    for context in ([5, 6, 9, 9, 9, 9, 9, 9, 9, 9], [5, 6], [5, 6, 7, 8]):
        request = ask(1, context, fresh=False)
        assert answers(backend, [request])[0].ids == naive(backend.model, request)[0]


def test_new_weights_forget_what_was_cached() -> None:
    backend = backend_of()
    [first] = answers(backend, [ask(1, [5, 6, 7, 8])])
    with torch.no_grad():
        for parameter in backend.model.parameters():
            parameter *= 1.5
    backend.policy_version = 1
    request = ask(1, [5, 6, 7, 8, *first.ids, 9], fresh=False)
    [second] = answers(backend, [request])
    assert second.policy_version == 1
    ids, logprobs = naive(backend.model, request)
    assert second.ids == ids
    np.testing.assert_allclose(second.logprobs, logprobs, atol=1e-4)


def test_weights_gone_wrong_leave_nothing_behind() -> None:
    backend = backend_of()
    requests = [ask(1, [5, 6, 7, 8]), ask(2, list(range(3, 15)))]  # the first is padded
    expected = answers(backend, requests)
    saved = {name: value.clone() for name, value in backend.model.state_dict().items()}
    with torch.no_grad():
        for parameter in backend.model.parameters():
            parameter *= float("nan")
    backend.policy_version = 1
    answers(backend, [ask(3, [5] * 20), ask(4, [6] * 20)])
    backend.model.load_state_dict(saved)
    backend.policy_version = 0
    assert answers(backend, requests) == expected


def test_exchanged_modules_are_noticed_with_the_next_version() -> None:
    backend = backend_of()
    request = ask(1, [5, 6, 7, 8])

    class Adapted(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return 3 * super().forward(x)

    mlp = backend.model.model.layers[0].mlp
    for version, kind in enumerate((torch.nn.Linear, Adapted), start=1):
        mlp.up_proj = kind(32, 48, bias=False)
        backend.policy_version = version
        ids, logprobs = naive(backend.model, request)
        [sample] = answers(backend, [request])
        assert sample.ids == ids
        np.testing.assert_allclose(sample.logprobs, logprobs, atol=1e-4)
    assert backend.computes == "ragged"


def test_a_prompt_that_does_not_fit_fails_alone() -> None:
    backend = backend_of(max_context=10)
    fits, full, empty = backend.generate(
        [ask(1, [5] * 8), ask(2, [5] * 10), ask(3, [])],
    )
    assert isinstance(fits, Sample)
    assert len(fits.ids) <= 2
    for failure, tokens in ((full, 10), (empty, 0)):
        assert isinstance(failure, EpisodeFailure)
        assert failure.boundary == "backend"
        assert f"a prompt of {tokens} tokens" in failure.message


def test_what_was_computed_before_changes_no_bit() -> None:
    """A resumed run starts with an empty cache, and must sample what the other one does."""
    used, new = backend_of(), backend_of()
    answers(used, [ask(s, [5] * (20 + 30 * s), max_tokens=9) for s in range(5)])
    used.policy_version = new.policy_version = 1
    requests = [ask(s, list(range(3, 9 + s)), fresh=True) for s in range(10, 14)]
    assert answers(used, requests) == answers(new, requests)


def test_a_session_cannot_be_extended_twice_at_once() -> None:
    with pytest.raises(UserError, match="same session"):
        backend_of().generate([ask(1, [5]), ask(1, [6])])


def test_stop_tokens_are_in_the_ids_and_not_in_the_text() -> None:
    backend = backend_of()
    every = tuple(range(VOCABULARY))
    [stopped] = answers(backend, [ask(1, [5], stop_ids=every)])
    assert (len(stopped.ids), stopped.text, stopped.finish) == (1, "", "stop")
    [cut] = answers(backend, [ask(2, [5], stop_ids=(), max_tokens=4)])
    assert (len(cut.ids), cut.finish) == (4, "length")
    assert cut.text == TOKENIZER.decode(list(cut.ids), skip_special_tokens=True)


def test_closing_and_releasing_are_harmless() -> None:
    backend = backend_of()
    backend.release([1, 2])
    request = ask(1, [5, 6])
    expected = answers(backend, [request])
    backend.close()
    backend.close()
    assert answers(backend, [request]) == expected


def test_the_model_stays_as_it_was() -> None:
    backend = backend_of()
    backend.model.train()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    answers(backend, [ask(1, [5, 6])])
    assert backend.model.training
    assert torch.get_rng_state().equal(before)
    loss = backend.model(torch.tensor([[5, 6]])).logits.sum()
    loss.backward()  # parameters are no inference tensors
    assert backend.model.lm_head.weight.grad is not None


# Drawing ------------------------------------------------------------------------------------------


def test_draws_follow_the_distribution_at_the_temperature() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, -float("inf")])
    count = 8000
    uniforms = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    for temperature in (0.5, 1.0, 2.0):
        tokens, logprobs = draw(
            logits.expand(count, -1), torch.full((count,), temperature), uniforms
        )
        expected = torch.softmax(logits / temperature, 0)
        seen = torch.bincount(tokens, minlength=5) / count
        assert float((seen - expected).abs().max()) < 2 / count
        torch.testing.assert_close(logprobs.exp(), expected[tokens])


def test_draws_at_the_ends_never_take_an_impossible_token() -> None:
    inf = float("inf")
    logits = torch.tensor([[-inf, 0.0, 1.0, -inf]]).expand(2, -1)
    tokens, _ = draw(logits, torch.ones(2), torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert tokens.tolist() == [1, 2]


def test_temperature_zero_takes_the_most_probable_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    tokens, logprobs = draw(logits, torch.zeros(1), torch.tensor([0.999], dtype=torch.float64))
    assert tokens.tolist() == [1]
    torch.testing.assert_close(logprobs, torch.log_softmax(logits, -1)[:, 1])


# Loading and using --------------------------------------------------------------------------------


def test_loading_from_a_folder(tmp_path: Path) -> None:
    model = model_of("qwen3")
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    backend = HFBackend(tmp_path)
    request = ask(1, [5, 6, 7])
    assert answers(backend, [request]) == answers(HFBackend(model, TOKENIZER), [request])
    assert backend.max_context == 256


def test_mistakes_in_loading(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model can be loaded from .*agentgym new policy"):
        HFBackend(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="needs the tokenizer"):
        HFBackend(model_of("qwen3"))
    with pytest.raises(ConfigError, match="dtype must be auto, float32"):
        backend_of(dtype="float8")
    with pytest.raises(ConfigError, match="device 'gpu' cannot be used"):
        backend_of(device="gpu")


def test_an_episode_that_outgrows_the_context_ends_without_a_failure() -> None:
    model = Auto.from_config(Qwen3Config(**{**SHAPE, "vocab_size": len(TOKENIZER)}, head_dim=8))
    backend = HFBackend(model, TOKENIZER, max_context=200)
    job = Job(Task("guess", seed=1), PolicyAgent(Renderer(TOKENIZER)))
    [trajectory] = run_lockstep([job], backend, limits=Limits(max_tokens_per_call=30), seed=0)
    assert (trajectory.stop, trajectory.valid) == (Stop.CONTEXT, True)
    shown = sum(len(c.prompt_ids) + len(c.sample_ids) for t in trajectory.turns for c in t.calls)
    assert 100 < shown <= 200


def test_rollouts_with_a_real_model_agree_between_drivers() -> None:
    model = Auto.from_config(Qwen3Config(**{**SHAPE, "vocab_size": len(TOKENIZER)}, head_dim=8))
    backend = HFBackend(model, TOKENIZER)
    agent = PolicyAgent(Renderer(TOKENIZER))
    jobs = [Job(Task("guess", seed=s), agent, m) for s in range(4) for m in range(3)]
    limits = Limits(max_tokens_per_call=8, max_turns=4)
    expected = run_lockstep(jobs, backend, limits=limits, seed=0)
    for found in (
        run_lockstep(jobs, backend, limits=limits, seed=0, width=5),
        run_threaded(jobs, backend, limits=limits, seed=0, workers=4),
    ):
        for a, b in zip(expected, found, strict=True):
            assert [t.action for t in a.turns] == [t.action for t in b.turns]
            for turn_a, turn_b in zip(a.turns, b.turns, strict=True):
                assert turn_a.calls[0].sample_ids == turn_b.calls[0].sample_ids
                np.testing.assert_allclose(
                    turn_a.calls[0].logprobs, turn_b.calls[0].logprobs, atol=1e-4
                )
