"""Beliefs in the known answer: equal to the naive computation, and much less of it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers as tf
from chat_templates import CHATML, LLAMA3, tokenizer

from agentgym.backends.hf import HFBackend
from agentgym.errors import ConfigError, UserError
from agentgym.render import Renderer
from agentgym.trainers.annotate._branches import Probe, by_branches, disagreement, one_by_one
from agentgym.trainers.annotate.gold_logprob import GoldLogprob
from agentgym.trainers.parts import Policy
from agentgym.types import Call, Group, Observation, Stop, Trajectory, Turn

TOKENIZER = tokenizer(CHATML)
SIZE = len(TOKENIZER)
SHAPE: dict[str, Any] = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = {**SHAPE, "sliding_window": 8}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: tf.LlamaConfig(**SHAPE),
    "qwen2": lambda: tf.Qwen2Config(**SHAPE),
    "qwen3": lambda: tf.Qwen3Config(**SHAPE, head_dim=8),
    "gpt2": lambda: tf.GPT2Config(
        vocab_size=SIZE,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=512,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "neox": lambda: tf.GPTNeoXConfig(
        vocab_size=SIZE,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "mistral, window of 8": lambda: tf.MistralConfig(**WINDOW),
    "gemma2, windows of 8": lambda: tf.Gemma2Config(**WINDOW, head_dim=8),
    "qwen2, one layer without window": lambda: tf.Qwen2Config(
        **WINDOW, use_sliding_window=True, max_window_layers=1
    ),
}


def model(name: str = "qwen3", seed: int = 0, attention: str = "sdpa") -> Any:
    torch.manual_seed(seed)
    config = CONFIGS[name]()
    attention = "eager" if name.startswith("gemma2") else attention
    return tf.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def policy(of: Any = None, template: str = CHATML) -> Policy:
    of, tokens = of or model(), TOKENIZER if template == CHATML else tokenizer(template)
    return Policy(of, tokens, Renderer(tokens), HFBackend(of, tokens, compute="whole"))


def naive(of: Any, probe: Probe, temperature: float = 1.0) -> list[float]:
    """One forward pass per place, one token at a time: the definition."""
    found = []
    for place in probe.places_K:
        ids = [*probe.prefix_P[:place].tolist(), *probe.branch_L.tolist()]
        with torch.no_grad():
            logits_SV = of(input_ids=torch.tensor([ids])).logits[0] / temperature
        first, end = probe.counted
        values = [
            float(torch.log_softmax(logits_SV[place + j - 1], dim=-1)[ids[place + j]])
            for j in range(first, end)
        ]
        found.append(sum(values) / len(values))
    return found


def probes(seed: int, count: int = 6) -> list[Probe]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        size, length = int(rng.integers(8, 60)), int(rng.integers(1, 6))
        places = rng.choice(np.arange(1, size + 1), int(rng.integers(1, 6)), replace=False)
        prefix = rng.integers(0, SIZE, max(places))
        counted = int(rng.integers(0, length)), length
        places_K = tuple(sorted(places.tolist()))
        made.append(Probe(prefix, places_K, rng.integers(0, SIZE, length), counted))
    return made


def flat(values: list[list[float]]) -> list[float]:
    return [value for each in values for value in each]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_branches_equal_one_forward_per_turn(name: str, attention: str) -> None:
    of, asked = model(name, attention=attention), probes(seed=1)
    assert disagreement(of) == ""
    want = flat([naive(of, probe, 1.3) for probe in asked])
    assert np.std(want) > 0.3  # so that being off would show
    for way in (by_branches, one_by_one):
        for most in (1, 150, 10**6):
            got = way(of, asked, temperature=1.3, max_tokens=most)
            assert [len(g) for g in got] == [len(p.places_K) for p in asked]
            assert flat(got) == pytest.approx(want, abs=2e-5)


@contextmanager
def counting(of: Any) -> Iterator[list[int]]:
    """Count the positions that a model really computes."""
    seen: list[int] = []

    def note(_module: Any, inputs: tuple[Any, ...], _output: Any) -> None:
        seen.append(inputs[0].numel())

    handle = of.get_input_embeddings().register_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def test_ten_turns_take_a_fifth_of_the_positions() -> None:
    of, rng = model(), np.random.default_rng(0)
    places = tuple(range(40, 441, 40))[:10]  # ten turns of 40 tokens, an answer of 3
    asked = [Probe(rng.integers(0, SIZE, 400), places, rng.integers(0, SIZE, 4), (1, 4))] * 4
    with counting(of) as ours:
        got = by_branches(of, asked, temperature=1.0, max_tokens=10**6)
    with counting(of) as theirs:
        want = one_by_one(of, asked, temperature=1.0, max_tokens=1)  # without padding
    assert flat(got) == pytest.approx(flat(want), abs=2e-5)
    assert sum(ours) == sum(map(len, asked))
    assert sum(theirs) >= sum(probe.one_by_one for probe in asked) >= 5 * sum(ours)


def test_a_model_with_a_state_is_computed_from_the_beginning() -> None:
    torch.manual_seed(0)
    config = tf.MambaConfig(
        vocab_size=SIZE, hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.3
    )
    of = tf.MambaForCausalLM(config).eval()
    of.config.max_position_embeddings = 512
    asked = probes(seed=2)
    assert disagreement(of)
    with pytest.warns(RuntimeWarning, match="cannot compute branches"):
        got = GoldLogprob().values(asked, policy(of))
    assert flat(got) == pytest.approx(flat([naive(of, probe) for probe in asked]), abs=2e-5)
    with pytest.raises(ConfigError, match="method=naive"):
        GoldLogprob(method="branches").values(asked, policy(of))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GoldLogprob(method="naive").values(asked, policy(of))


# From trajectories to beliefs --------------------------------------------------------------------


def call(rng: np.random.Generator, prompt: int, sample: int, **rest: Any) -> Call:
    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(3, SIZE, count).tolist())

    said = {"role": "policy", "trainable": True, "fresh": False, **rest}
    logprobs = (-1.0,) * sample
    return Call(
        said["role"],
        ids(prompt),
        ids(sample),
        logprobs,
        "",
        "stop",
        0,
        said["trainable"],
        said["fresh"],
    )


def episode(calls_KC: list[list[Call]], member: int = 0, **rest: Any) -> Trajectory:
    turns = tuple(Turn(Observation("?"), tuple(calls_C), "", 0.0, None) for calls_C in calls_KC)
    said = {"stop": Stop.DONE, "answer": "the desk", **rest}
    return Trajectory(
        "e",
        0,
        {},
        7,
        member,
        turns,
        Observation(""),
        None,
        said["stop"],
        None,
        answer=said["answer"],
    )


def appended(seed: int, turns: int = 4) -> list[list[Call]]:
    rng = np.random.default_rng(seed)
    return [[call(rng, 5 + k, 3, fresh=k == 0)] for k in range(turns)]


def noted(trajectories: list[Trajectory], by: Policy, **params: Any) -> list[list[float] | None]:
    [group] = GoldLogprob(**params)([Group("g", tuple(trajectories))], by)
    assert [replace(t, notes={}) for t in group.trajectories_G] == trajectories
    found = [t.notes.get("gold_logprob") for t in group.trajectories_G]
    return [None if values is None else list(values) for values in found]


def belief(by: Policy, ids: list[int], before: str, answer: str, after: str = "") -> float:
    """How probable the answer is in one place, from the model itself."""
    whole = by.renderer.encode(f"{before}{answer}{after}")
    lead = len(by.renderer.encode(before))
    end = len(whole) - len(by.renderer.encode(after))
    assert by.renderer.decode(whole[lead:end]) == answer
    probe = Probe(np.array(ids), (len(ids),), np.array(whole), (lead, end))
    [value] = naive(by.model, probe)
    return value


def contexts(calls_KC: list[list[Call]]) -> list[list[int]]:
    """What a policy of one call per turn saw in each turn."""
    found: list[list[int]] = []
    ids: list[int] = []
    for [one] in calls_KC:
        ids = [*([] if one.fresh else ids), *one.prompt_ids]
        found.append(ids)
        ids = [*ids, *one.sample_ids]
    return found


def test_a_belief_is_asked_in_place_of_every_reply() -> None:
    by, calls = policy(), appended(0)
    [got] = noted([episode(calls)], by)
    want = [belief(by, ids, "answer:", " the desk") for ids in contexts(calls)]
    assert got == pytest.approx(want, abs=2e-5)
    assert len(set(want)) == 4


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_the_wrapper_is_not_counted_unless_asked_for(template: str) -> None:
    by, calls = policy(model("llama"), template), appended(1)
    form = "<answer>{answer}</answer>"
    [got] = noted([episode(calls)], by, template=form)
    want = [belief(by, i, "<answer>", "the desk", "</answer>") for i in contexts(calls)]
    assert got == pytest.approx(want, abs=2e-5)
    [whole] = noted([episode(calls)], by, template=form, wrapper=True)
    want = [belief(by, ids, "", "<answer>the desk</answer>") for ids in contexts(calls)]
    assert whole == pytest.approx(want, abs=2e-5)


def test_tokens_that_span_wrapper_and_answer_belong_to_the_answer() -> None:
    by = policy()
    [joined] = [i for i in range(SIZE) if by.renderer.decode([i]) == " the"]
    reply = GoldLogprob(template="answer: {answer}").reply(episode([]), by)
    assert reply.ids_L[reply.first] == joined
    assert by.renderer.decode(reply.ids_L[reply.first :]) == " the desk"


def test_contexts_that_start_anew_are_rows_of_their_own() -> None:
    rng = np.random.default_rng(3)
    calls = [[call(rng, 9, 3, fresh=k in (0, 2, 3))] for k in range(5)]
    by = policy()
    [got] = noted([episode(calls)], by)
    want = [belief(by, ids, "answer:", " the desk") for ids in contexts(calls)]
    assert got == pytest.approx(want, abs=2e-5)


def test_of_several_calls_the_first_that_is_trained_on_is_asked() -> None:
    rng = np.random.default_rng(4)

    def planner(fresh: bool = True) -> Call:
        return call(rng, 8, 3, role="planner", fresh=fresh)

    def frozen(role: str) -> Call:
        return call(rng, 6, 2, role=role, trainable=False, fresh=True)

    calls = [
        [planner(), frozen("executor"), planner()],
        [frozen("verifier")],  # nobody to ask: what the next turn believes
        [frozen("executor"), planner(fresh=False), frozen("verifier")],
        [frozen("generator")],  # and at the end what was believed before
    ]
    by = policy()
    [got] = noted([episode(calls)], by)
    first = belief(by, list(calls[0][0].prompt_ids), "answer:", " the desk")
    continued = [i for one in (calls[0][2],) for i in (*one.prompt_ids, *one.sample_ids)]
    third = belief(by, [*continued, *calls[2][1].prompt_ids], "answer:", " the desk")
    assert got == pytest.approx([first, third, third, third], abs=2e-5)


def test_equal_contexts_have_exactly_equal_beliefs_and_are_computed_once() -> None:
    one, other = appended(5), appended(6)
    mixed = [one[0], one[1], other[2], other[3]]
    trajectories = [episode(c, m) for m, c in enumerate([one, mixed, one, other])]
    by = policy()
    with counting(by.model) as seen:
        got = noted(trajectories, by, max_tokens=60, method="branches")
    a, b, c, _ = got
    assert a is not None
    assert b is not None
    assert a == c  # not only nearly: a difference of rounding would become an advantage
    assert a[:2] == b[:2]
    assert a[2] != b[2]
    alone = [noted([t], by)[0] for t in trajectories]
    assert flat([g or [] for g in got]) == pytest.approx(flat([g or [] for g in alone]), abs=2e-5)
    with counting(by.model) as of_three:
        noted([trajectories[i] for i in (0, 1, 3)], by, max_tokens=60, method="branches")
    assert sum(seen) == sum(of_three)


def test_invalid_and_empty_members_go_without() -> None:
    calls = appended(7)
    members = [
        episode(calls, 0),
        episode(calls, 1, stop=Stop.ERROR, answer=None),
        episode([], 2),
        episode(calls[:1], 3),
    ]
    a, b, c, d = noted(members, policy())
    assert (b, c) == (None, None)
    assert a is not None
    assert a[:1] == d
    assert GoldLogprob()([], policy()) == []


def test_where_the_answer_does_not_fit_the_last_belief_stays() -> None:
    by, calls = policy(), appended(8, turns=5)
    full = noted([episode(calls)], by)[0]
    assert full is not None
    sizes = [len(ids) for ids in contexts(calls)]
    reply = GoldLogprob().reply(episode(calls), by)
    assert isinstance(by.backend, HFBackend)
    by.backend.max_context = sizes[2] + len(reply.ids_L)
    [cut] = noted([episode(calls)], by)
    assert cut == pytest.approx([*full[:3], full[2], full[2]], abs=2e-5)
    by.backend.max_context = sizes[0]
    with pytest.raises(UserError, match="its context is full"):
        noted([episode(calls)], by)


def test_of_a_long_answer_the_beginning_counts() -> None:
    by, calls = policy(), appended(9)
    long = "the desk " * 50
    [got] = noted([episode(calls, answer=long)], by, max_answer_tokens=7)
    whole = by.renderer.encode(f"answer: {long}")
    lead = len(by.renderer.encode("answer:"))
    ids = contexts(calls)[0]
    probe = Probe(np.array(ids), (len(ids),), np.array(whole[: lead + 7]), (lead, lead + 7))
    assert got is not None
    assert got[0] == pytest.approx(naive(by.model, probe)[0], abs=2e-5)


def test_what_cannot_be_asked_is_said() -> None:
    by, calls = policy(), appended(10)
    with pytest.raises(UserError, match="e seed 7 told no answer"):
        noted([episode(calls, answer=None)], by)
    with pytest.raises(UserError, match="'' has no tokens"):
        noted([episode(calls, answer="")], by)
    frozen = [[replace(one, trainable=False)] for [one] in calls]
    with pytest.raises(UserError, match="no turn of member 0 can be asked"):
        noted([episode(frozen)], by)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"template": "answer:"}, "template must hold {answer} once"),
        ({"template": "{answer}{answer}"}, "template must hold {answer} once"),
        ({"temperature": 0.0}, "temperature must be"),
        ({"max_answer_tokens": 0}, "max_answer_tokens must be"),
        ({"method": "branch"}, "did you mean 'branches'"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        GoldLogprob(**params)
    assert message in str(caught.value)
