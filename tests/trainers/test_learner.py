"""The learner: log-probabilities, gradients over micro-batches, bad steps, saving."""

import copy
import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentgym.errors import RecordError
from agentgym.trainers.config import OptimizerConfig
from agentgym.trainers.learner import Learner
from agentgym.trainers.losses.ppo_clip import PPOClip
from agentgym.trainers.optimizer import Optimizer, TooManyBadSteps
from agentgym.trainers.pack import Row, collate
from agentgym.trainers.score import score

VOCABULARY = 50


def model(seed: int = 0, dropout: float = 0.0) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            intermediate_size=64,
            initializer_range=0.2,
            tie_word_embeddings=True,
            attention_dropout=dropout,
        )
    ).eval()


def rows(count: int = 6, seed: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    made = []
    for b in range(count):
        size = int(rng.integers(4, 20))
        mask_S = rng.random(size) < 0.5
        mask_S[0], mask_S[-1] = False, True
        advantages_S = np.where(mask_S, rng.normal(size=size), 0).astype(np.float32)
        logprobs_S = np.where(mask_S, -rng.random(size) * 5, 0).astype(np.float32)
        ids_S = rng.integers(0, VOCABULARY, size)
        made.append(Row(ids_S, mask_S, logprobs_S, advantages_S, (0, b)))
    return made


def learner(
    lr: float = 1e-2,
    loss: PPOClip | None = None,
    dropout: float = 0.0,
    muon_lr: float | None = None,
    **kwargs: Any,
) -> Learner:
    policy = model(dropout=dropout)
    config = OptimizerConfig(lr=lr, muon_lr=muon_lr, warmup=2)
    optimizer = Optimizer(policy, config, total_steps=10)
    return Learner(policy, optimizer, loss or PPOClip(), **kwargs)


def weights(of: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in of.model.parameters()])


def rng(iteration: int = 0) -> np.random.Generator:
    return np.random.default_rng([7, iteration])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_plain_model_row_by_row(temperature: float) -> None:
    policy, each = model(), rows()
    scored = score(policy, collate(each), temperature=temperature, entropy="logged")
    assert scored.entropy_BS is not None
    for b, row in enumerate(each):
        logits_SV = policy(torch.from_numpy(row.ids_S)[None]).logits[0].double() / temperature
        for s in np.flatnonzero(row.mask_S):
            all_V = torch.log_softmax(logits_SV[s - 1], -1)
            assert scored.logprobs_BS[b, s].item() == pytest.approx(
                all_V[row.ids_S[s]].item(), abs=1e-5
            )
            assert scored.entropy_BS[b, s].item() == pytest.approx(
                -(all_V.exp() * all_V).sum().item(), abs=1e-5
            )
        assert not scored.logprobs_BS[b, : len(row)][~torch.from_numpy(row.mask_S)].any()


def test_a_head_with_soft_caps_is_not_bypassed() -> None:
    policy = model()
    policy.config.final_logit_softcapping = 1.0  # Qwen3 ignores it, so both paths must agree
    batch = collate(rows())
    capped = score(policy, batch).logprobs_BS
    policy.config.final_logit_softcapping = None
    assert torch.allclose(capped, score(policy, batch).logprobs_BS, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
def test_micro_batches_make_the_same_step_as_one_big_batch(aggregation: str) -> None:
    big, small = (
        learner(loss=PPOClip(aggregation=aggregation), max_tokens=size)  # type: ignore[arg-type]
        for size in (10_000, 25)
    )
    metrics_big, metrics_small = big.update(rows(), rng()), small.update(rows(), rng())
    assert torch.allclose(weights(big), weights(small), atol=2e-5)
    assert metrics_big == pytest.approx(metrics_small, rel=1e-3, abs=1e-5)


def test_rows_without_advantage_count_in_the_denominator_and_cost_nothing() -> None:
    each = rows()
    silent = [Row(r.ids_S, r.mask_S, r.logprobs_S, 0 * r.advantages_S, r.member) for r in each[:3]]
    skipping, computing = learner(), learner()
    computing.loss = Talkative()
    norm = skipping.update(silent + each[3:], rng())["grad_norm"]
    # AdamW hides the scale of a gradient, its norm does not.
    assert norm == pytest.approx(computing.update(silent + each[3:], rng())["grad_norm"], rel=1e-4)
    assert computing.loss.rows == 6


def test_silent_rows_do_not_water_down_what_is_logged() -> None:
    each = rows()
    silent = [Row(r.ids_S, r.mask_S, r.logprobs_S, 0 * r.advantages_S, r.member) for r in each]
    alone, among = learner().update(each, rng()), learner().update([*each, *silent], rng())
    for name in ("ratio_mean", "ppo_kl", "entropy", "clip_fraction"):
        assert among[name] == pytest.approx(alone[name], rel=1e-4)
    assert among["policy_loss"] == pytest.approx(alone["policy_loss"] / 2, rel=1e-4)
    # A step without anything to hear says nothing, instead of 0.
    once = learner(minibatches=2)
    ratio = once.update([*each[:1], *silent[:1]], rng())["ratio_mean"]
    assert ratio == pytest.approx(learner().update(each[:1], rng())["ratio_mean"], rel=1e-4)


class Talkative(PPOClip):
    """PPO-clip that asks for every row."""

    rows = 0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"entropy"})

    def __call__(self, logprobs_BS, *args, **kwargs):  # type: ignore[no-untyped-def]
        type(self).rows += len(logprobs_BS)
        return super().__call__(logprobs_BS, *args, **kwargs)


def test_the_gap_is_that_between_backend_and_learner() -> None:
    each = rows()
    scored = score(model(), collate(each)).logprobs_BS.detach().numpy()
    agreed = [
        Row(r.ids_S, r.mask_S, scored[b, : len(r)], r.advantages_S, r.member)
        for b, r in enumerate(each)
    ]
    assert learner().update(agreed, rng())["gap_max"] < 1e-5
    off = [
        Row(r.ids_S, r.mask_S, r.logprobs_S - 0.5 * r.mask_S, r.advantages_S, r.member)
        for r in agreed
    ]
    assert learner().update(off, rng())["gap_mean"] == pytest.approx(0.5, abs=1e-4)


def test_C08_a_gradient_that_is_not_finite_moves_nothing_and_is_counted() -> None:
    each = learner()
    before = weights(each)
    bad = rows()
    bad[0].advantages_S[bad[0].mask_S] = math.nan
    assert each.update(bad, rng())["bad_steps"] == 1
    assert torch.equal(weights(each), before)
    assert each.update(rows(), rng())["bad_steps"] == 0
    assert not torch.equal(weights(each), before)


def test_C08_bad_steps_in_a_row_stop_the_run() -> None:
    each = learner()
    bad = rows()
    bad[0].advantages_S[bad[0].mask_S] = math.inf
    for _ in range(4):
        each.update(bad, rng())
    with pytest.raises(TooManyBadSteps, match="learning rate"):
        each.update(bad, rng())


@pytest.mark.parametrize("muon_lr", [None, 0.01])
def test_a_saved_learner_goes_on_bit_for_bit(muon_lr: float | None) -> None:
    settings: dict[str, Any] = {"epochs": 2, "minibatches": 2, "dropout": 0.2, "muon_lr": muon_lr}
    straight, saved = learner(**settings), learner(**settings)
    for i in range(4):
        straight.update(rows(seed=i), rng(i))
        torch.rand(1)  # somebody else draws from torch's own generator
    for i in range(2):
        saved.update(rows(seed=i), rng(i))
    tensors = {name: t.clone() for name, t in saved.tensors().items()}
    resumed = learner(**settings)
    resumed.load(tensors, saved.counters())
    for i in range(2, 4):
        resumed.update(rows(seed=i), rng(i))
    assert torch.equal(weights(straight), weights(resumed))
    assert straight.counters() == resumed.counters()


def test_without_the_moments_the_resumed_run_would_differ() -> None:
    straight, saved = learner(), learner()
    for i in range(4):
        straight.update(rows(seed=i), rng(i))
    for i in range(2):
        saved.update(rows(seed=i), rng(i))
    tensors = {n: t.clone() for n, t in saved.tensors().items() if n.startswith("model/")}
    resumed = learner()
    resumed.load(tensors, saved.counters())
    for i in range(2, 4):
        resumed.update(rows(seed=i), rng(i))
    assert not torch.equal(weights(straight), weights(resumed))


def test_muon_has_the_matrices_and_adamw_the_rest() -> None:
    each = learner(lr=1e-9, muon_lr=0.1)
    before = {n: p.detach().clone() for n, p in each.model.named_parameters()}
    each.update(rows(), rng())
    moved = {n for n, p in each.model.named_parameters() if (p - before[n]).abs().max() > 1e-6}
    assert moved == {n for n in before if "proj" in n}
    rate = each.model.get_parameter("model.layers.0.mlp.up_proj.weight")
    step = rate.detach() - before["model.layers.0.mlp.up_proj.weight"]
    values = torch.linalg.svdvals(step)
    assert values.min() > 0.3 * values.max()  # an orthogonal direction, roughly


def test_a_checkpoint_of_another_model_is_refused() -> None:
    each = learner()
    each.update(rows(), rng())
    tensors = dict(each.tensors())
    name = next(iter(tensors))
    with pytest.raises(RecordError, match="shape"):
        learner().load({**tensors, name: torch.zeros(3)}, each.counters())
    with pytest.raises(RecordError, match="differ"):
        learner().load({**tensors, "model/other": torch.zeros(3)}, each.counters())


def test_the_kl_term_pulls_towards_the_reference() -> None:
    with pytest.raises(ValueError, match="reference"):
        learner(loss=PPOClip(kl_coef=0.1))
    reference = copy.deepcopy(model(seed=1))
    pulled = learner(lr=3e-3, loss=PPOClip(kl_coef=1.0, kl="k2"), reference=reference)
    still = [Row(r.ids_S, r.mask_S, r.logprobs_S, 0 * r.advantages_S, r.member) for r in rows()]
    distances = [pulled.update(still, rng(i))["kl"] for i in range(10)]
    assert distances[-1] < 0.7 * distances[0]
