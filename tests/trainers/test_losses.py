"""Losses: the slow twin, micro-batches against one batch, masks, refusals."""

import dataclasses
import inspect
import math
from typing import Any

import pytest
import reference

torch = pytest.importorskip("torch")

from agentgym import registry  # noqa: E402
from agentgym.errors import ConfigError, UnknownName  # noqa: E402
from agentgym.trainers.critic import ValueLoss  # noqa: E402
from agentgym.trainers.losses.base import (  # noqa: E402
    Denominators,
    Loss,
    LossResult,
    combine,
    kl_estimate,
)
from agentgym.trainers.losses.cispo import CISPO  # noqa: E402
from agentgym.trainers.losses.gspo import GSPO  # noqa: E402
from agentgym.trainers.losses.ppo_clip import PPOClip  # noqa: E402
from agentgym.trainers.losses.reinforce import Reinforce  # noqa: E402

LENGTH = 16
AGGREGATIONS: list[dict[str, Any]] = [
    {"aggregation": "token-mean"},
    {"aggregation": "seq-mean-token-sum"},
    {"aggregation": "seq-mean-token-mean"},
    {"aggregation": "seq-mean-token-sum-norm", "length": LENGTH},
]
BOTH_TERMS: dict[str, Any] = {"kl_coef": 0.3, "entropy_coef": 0.2}


def batch(seed: int, rows: int = 6, width: int = 7) -> dict[str, Any]:
    """A batch of float64 tensors with ratios far on both sides of every clip, and ragged masks."""
    generator = torch.Generator().manual_seed(seed)

    def normal(scale: float) -> Any:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64) * scale

    old = -normal(1.0).abs()
    lengths = torch.randint(1, width + 1, (rows, 1), generator=generator)
    mask = (torch.arange(width) < lengths) & (torch.rand(rows, width, generator=generator) > 0.2)
    mask[:, 0] = True
    return {
        "logprobs_BS": (old + normal(0.8)).requires_grad_(),
        "old_logprobs_BS": old,
        "advantages_BS": normal(2.0),
        "mask_BS": mask,
        "ref_logprobs_BS": old + normal(0.5),
        "entropy_BS": normal(1.0).abs().requires_grad_(),
    }


def gradients(loss: Loss, inputs: dict[str, Any], rows: list[list[int]]) -> tuple[Any, ...]:
    """Run a batch cut into micro-batches; return loss, both gradients and the metrics."""
    total = Denominators.of([inputs["mask_BS"]])
    results = []
    for part in rows:
        cut = {name: tensor[part] for name, tensor in inputs.items()}
        results.append(loss(**cut, denominators=total))
    value = torch.stack([r.loss for r in results]).sum()
    grads = torch.autograd.grad(
        value, [inputs["logprobs_BS"], inputs["entropy_BS"]], allow_unused=True
    )
    return value.detach(), *grads, combine(results)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", AGGREGATIONS, ids=lambda p: p["aggregation"])
@pytest.mark.parametrize("dual", [3.0, 1.2, 0.0])
def test_ppo_clip_equals_its_slow_twin(params: dict[str, Any], dual: float, seed: int) -> None:
    inputs = batch(seed)
    loss = PPOClip(clip_low=0.2, clip_high=0.3, dual_clip=dual, **params, **BOTH_TERMS)
    value, gradient, _, _ = gradients(loss, inputs, [list(range(6))])

    rest = {name.removesuffix("_BS"): t.tolist() for name, t in inputs.items()}
    logprobs = rest.pop("logprobs")

    def twin() -> float:
        return reference.ppo_clip(
            logprobs,
            rest["old_logprobs"],
            rest["advantages"],
            rest["mask"],
            rest["ref_logprobs"],
            rest["entropy"],
            low=0.2,
            high=0.3,
            dual=dual,
            aggregation=params["aggregation"],
            length=LENGTH,
            **BOTH_TERMS,
        )

    assert value.item() == pytest.approx(twin(), rel=1e-9)
    # The gradient, one log-probability at a time, by central differences.
    for b in range(6):
        for s in range(7):
            kept, h = logprobs[b][s], 1e-6
            logprobs[b][s] = kept + h
            up = twin()
            logprobs[b][s] = kept - h
            down = twin()
            logprobs[b][s] = kept
            assert gradient[b, s].item() == pytest.approx((up - down) / (2 * h), abs=1e-6)


LOSSES = [
    *(PPOClip(**p, **BOTH_TERMS) for p in AGGREGATIONS),
    PPOClip(kl="k1", kl_coef=0.1),
    PPOClip(kl="k2", kl_coef=0.1),
    GSPO(**BOTH_TERMS),
    *(Reinforce(**p, **BOTH_TERMS) for p in AGGREGATIONS),
    CISPO(**BOTH_TERMS),
    CISPO(clip_low=0.2, clip_high=0.3, aggregation="seq-mean-token-mean"),
]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("rows", [[[0], [1], [2], [3], [4], [5]], [[5, 2], [0], [4, 1, 3]]])
def test_micro_batches_equal_one_big_batch(loss: Loss, rows: list[list[int]]) -> None:
    inputs = batch(7)
    whole = gradients(loss, inputs, [list(range(6))])
    parts = gradients(loss, inputs, rows)
    assert parts[0].item() == pytest.approx(whole[0].item(), rel=1e-12)
    for part, full in zip(parts[1:3], whole[1:3], strict=True):
        assert (part is None) == (full is None)
        if full is not None:
            assert full.abs().max() > 0
            torch.testing.assert_close(part, full, rtol=1e-12, atol=1e-15)
    assert parts[3] == pytest.approx(whole[3], rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_nothing_outside_the_mask_matters(loss: Loss) -> None:
    inputs = batch(3)
    clean = gradients(loss, inputs, [list(range(6))])
    spoiled = dict(inputs)
    for name, tensor in inputs.items():
        if name != "mask_BS":
            bad = tensor.detach().clone()
            bad[~inputs["mask_BS"]] = float("nan") if "entropy" in name else 1e9
            spoiled[name] = bad.requires_grad_(tensor.requires_grad)
    dirty = gradients(loss, spoiled, [list(range(6))])
    assert dirty[0].item() == clean[0].item()
    assert dirty[3] == clean[3]
    for a, b in zip(dirty[1:3], clean[1:3], strict=True):
        if a is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=0)
            assert not a[~inputs["mask_BS"]].any()


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_an_empty_mask_is_a_loss_of_zero(loss: Loss) -> None:
    inputs = batch(1)
    inputs["mask_BS"] = torch.zeros_like(inputs["mask_BS"])
    value, gradient, _, metrics = gradients(loss, inputs, [list(range(6))])
    assert value.item() == 0
    assert not gradient.any()
    assert all(v == v and abs(v) != float("inf") for v in metrics.values())


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_ratios_that_overflow_stay_finite(loss: Loss) -> None:
    inputs = batch(2)
    for name, value in (("logprobs_BS", -0.1), ("old_logprobs_BS", -1000.0)):
        inputs[name] = torch.full((6, 7), value, requires_grad="old" not in name)
    value, gradient, _, _ = gradients(loss, inputs, [list(range(6))])
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [PPOClip(), CISPO(), Reinforce()], ids=str)
def test_on_policy_the_gradient_is_that_of_the_policy_gradient(loss: Loss) -> None:
    inputs = batch(5)
    inputs["logprobs_BS"] = inputs["old_logprobs_BS"].clone().requires_grad_()
    _, gradient, _, metrics = gradients(loss, inputs, [list(range(6))])
    tokens = inputs["mask_BS"].sum()
    torch.testing.assert_close(gradient, -inputs["advantages_BS"] * inputs["mask_BS"] / tokens)
    assert metrics.get("clip_fraction", 0) == metrics["ppo_kl"] == 0
    assert metrics["ratio_mean"] == metrics["ratio_max"] == metrics["ratio_min"] == 1


@pytest.mark.parametrize(
    ("loss", "low", "high"),
    [
        (CISPO(clip_low=0.2, clip_high=0.3), 0.8, 1.3),
        (CISPO(clip_low=1.0, clip_high=0.5), 0.0, 1.5),
        (Reinforce(), 1.0, 1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_weighted_policy_gradients_equal_plain_loops(
    loss: Loss, low: float, high: float, seed: int
) -> None:
    inputs = batch(seed)
    value, gradient, _, metrics = gradients(loss, inputs, [list(range(6))])
    tokens = int(inputs["mask_BS"].sum())
    expected, clipped = 0.0, 0
    for b, s in inputs["mask_BS"].nonzero().tolist():
        logp, old = (inputs[n][b, s].item() for n in ("logprobs_BS", "old_logprobs_BS"))
        ratio, advantage = math.exp(logp - old), inputs["advantages_BS"][b, s].item()
        weight = min(max(ratio, low), high)
        clipped += weight != ratio
        expected -= weight * advantage * logp / tokens
        assert gradient[b, s].item() == pytest.approx(-weight * advantage / tokens)
    assert value.item() == pytest.approx(expected)
    if isinstance(loss, CISPO):
        assert clipped > 0
        assert metrics["clip_fraction"] == pytest.approx(clipped / tokens)
    else:
        assert "clip_fraction" not in metrics


def test_no_token_loses_its_gradient_to_the_clip_of_cispo() -> None:
    logprobs = torch.tensor([[math.log(10.0)]], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.float64)
    losses: list[tuple[Loss, float]] = [
        (PPOClip(), 0.0),
        (CISPO(clip_high=2.0), -3.0),
        (Reinforce(), -1.0),
    ]
    for loss, expected in losses:
        result = loss(logprobs, 0 * one, one, one.bool(), denominators=Denominators(1, 1))
        assert torch.autograd.grad(result.loss, logprobs)[0].item() == expected


def test_the_loss_of_a_critic() -> None:
    old = torch.zeros(1, 3, dtype=torch.float64)
    values = torch.tensor([[0.2, 2.0, float("nan")]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    total = Denominators.of([mask])
    result = ValueLoss(clip=0.5)(values, old, target, mask, denominators=total)
    # Token 1 moved by 2: held at 0.5, its error 0.25 is smaller than 1, so the larger one counts.
    assert result.loss.item() == pytest.approx((0.64 + 1.0) / 2 / 2)
    assert result.metrics["value_clip_fraction"] == 0.0
    [gradient] = torch.autograd.grad(result.loss, values)
    assert gradient.tolist() == [[pytest.approx(-0.4), pytest.approx(0.5), 0.0]]
    # Past its target by more than the clip: the gradient is gone.
    far = ValueLoss(clip=0.5)(values, old, torch.full_like(old, 3.0), mask, denominators=total)
    assert far.metrics["value_clip_fraction"] == 0.5
    assert torch.autograd.grad(far.loss, values)[0][0, 1].item() == 0.0
    free = ValueLoss(clip=0.0, half=False)(values, old, target, mask, denominators=total)
    assert free.loss.item() == pytest.approx(0.82)
    with pytest.raises(ConfigError, match="clip must be a number"):
        ValueLoss(clip=-1)


def test_asymmetric_bounds_clip_each_side_at_its_own() -> None:
    ratios = torch.tensor([[1.25, 1.35, 0.85, 0.75]], dtype=torch.float64)
    logprobs = ratios.log().requires_grad_()
    for sign, free in ((1.0, [True, False, True, True]), (-1.0, [True, True, True, False])):
        advantages = torch.full((1, 4), sign, dtype=torch.float64)
        result = PPOClip(clip_low=0.2, clip_high=0.3)(
            logprobs,
            torch.zeros(1, 4, dtype=torch.float64),
            advantages,
            torch.ones(1, 4, dtype=torch.bool),
            denominators=Denominators(4, 1),
        )
        [gradient] = torch.autograd.grad(result.loss, logprobs)
        assert gradient.ne(0).tolist() == [free]
        assert result.metrics["clip_fraction"] == pytest.approx(free.count(False) / 4)


def test_kl_estimates_have_the_mean_they_promise() -> None:
    """Exactly, by enumeration of a small distribution."""
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    ref = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64).log()
    kl = (policy.exp() * (policy - ref)).sum()
    for kind in ("k1", "k3"):
        torch.testing.assert_close((policy.exp() * kl_estimate(policy, ref, kind)).sum(), kl)
    assert (kl_estimate(policy, ref, "k3") >= 0).all()


def test_k3_of_an_improbable_token_is_held_and_has_a_finite_gradient() -> None:
    logprobs = torch.tensor([-500.0], requires_grad=True)
    extreme = kl_estimate(logprobs, torch.tensor([0.0]), "k3").sum()
    assert extreme.item() == 10.0
    assert torch.autograd.grad(extreme, logprobs)[0].item() == 0.0


def test_kl_gradients_on_own_samples_are_those_the_docstring_names() -> None:
    logits = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64).log()

    def gradient(value: Any) -> Any:
        return torch.autograd.grad(value, logits)[0]

    def sampled(kind: Any) -> Any:
        policy = logits.log_softmax(-1)
        return gradient((policy.detach().exp() * kl_estimate(policy, ref, kind)).sum())

    policy = logits.log_softmax(-1)
    forward = gradient((policy.exp() * (policy - ref)).sum())
    policy = logits.log_softmax(-1)
    backward = gradient((ref.exp() * (ref - policy)).sum())
    torch.testing.assert_close(sampled("k2"), forward)
    torch.testing.assert_close(sampled("k3"), backward)
    torch.testing.assert_close(sampled("k1"), torch.zeros_like(ref))


@pytest.mark.parametrize("cls", [PPOClip, GSPO, Reinforce, CISPO])
def test_missing_inputs_are_named(cls: Any) -> None:
    inputs = batch(0)
    total = Denominators.of([inputs["mask_BS"]])
    without = {n: inputs[n] for n in ("logprobs_BS", "old_logprobs_BS", "advantages_BS", "mask_BS")}
    assert cls().needs == frozenset()
    assert cls(kl_coef=0.1, entropy_coef=0.1).needs == {"ref_logprobs", "entropy"}
    with pytest.raises(ConfigError, match="no reference log-probabilities"):
        cls(kl_coef=0.1)(**without, denominators=total)
    with pytest.raises(ConfigError, match="no entropies"):
        cls(entropy_coef=0.1)(**without, denominators=total)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"clip_low": 1.2}, ConfigError, "clip_low must be a number from 0 to 1, got 1.2"),
        ({"dual_clip": 0.5}, ConfigError, "dual_clip must be above 1, or 0, got 0.5"),
        ({"aggregation": "token_mean"}, UnknownName, "did you mean 'token-mean'"),
        ({"aggregation": "seq-mean-token-sum-norm"}, ConfigError, "length"),
        ({"length": 5}, ConfigError, "length"),
        (
            {"aggregation": "seq-mean-token-sum-norm", "length": 0},
            ConfigError,
            "length must be a number from 1 to",
        ),
        ({"kl": "k4"}, UnknownName, "kl of PPOClip 'k4'"),
        ({"kl_coef": float("nan")}, ConfigError, "kl_coef"),
    ],
)
def test_wrong_parameters_are_refused(
    params: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        PPOClip(**params)
    others: list[Any] = [Reinforce, CISPO]
    for other in others:
        if params.keys() <= {f.name for f in dataclasses.fields(other)}:
            with pytest.raises(error, match=words.replace("PPOClip", other.__name__)):
                other(**params)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_metrics_are_means_over_the_tokens_that_are_seen(loss: Loss) -> None:
    """A learner leaves out rows without advantages; the loss still divides by all tokens."""
    inputs = batch(0)
    counted = Denominators.of([inputs["mask_BS"]])
    everything = loss(**inputs, denominators=counted)
    more = Denominators(2 * counted.tokens, 2 * counted.sequences, seen=counted.tokens)
    half = loss(**inputs, denominators=more)
    assert half.loss.item() == pytest.approx(everything.loss.item() / 2) or not getattr(
        loss, "mean_over_sequences", True
    )
    for name in everything.metrics.keys() - {"policy_loss"}:
        assert half.metrics[name] == everything.metrics[name]


def test_metrics_combine_sums_and_extremes() -> None:
    one = LossResult(torch.zeros(()), {"kl": 0.25, "ratio_max": 2.0, "ratio_min": 0.5})
    two = LossResult(torch.zeros(()), {"kl": 0.5, "ratio_max": 3.0, "ratio_min": 0.75})
    assert combine([one, two]) == {"kl": 0.75, "ratio_max": 3.0, "ratio_min": 0.5}
    assert combine([]) == {}


def test_every_loss_in_the_folder_is_found_and_frozen() -> None:
    for name in registry.entries("losses"):
        cls: Any = registry.load("losses", name)
        assert isinstance(cls(), Loss)
        assert hash(cls()) == hash(cls())
        assert dataclasses.replace(cls()) == cls()
        assert "arXiv" in (cls.__doc__ or "")
        assert inspect.signature(cls.__call__).parameters.keys() == (
            inspect.signature(PPOClip.__call__).parameters.keys()
        )
