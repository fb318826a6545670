"""What a loss is, and the arithmetic that losses share: denominators, aggregation, KL estimators.

A loss sees one micro-batch at a time but divides by the counts of the whole batch, so that summing
losses, gradients and metrics over micro-batches gives those of one big batch, however it was cut.
A row (sequence) must not be cut.

Axes: B rows of a micro-batch, S positions of a row. Every tensor is about the token at a position:
its log-probability given the positions before it, whether it was sampled and is trained on (the
mask), its advantage. What stands outside the mask is ignored, NaN included.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from agentgym.errors import ConfigError
from agentgym.trainers.config import KLKind
from agentgym.trainers.credit.common import check_range, settle

Aggregation = Literal[
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"
]
"""How the losses of tokens become one number; N tokens, Q sequences of the WHOLE batch.

token-mean: sum over tokens / N. Long sequences weigh more, every token the same.
seq-mean-token-sum: sum over tokens / Q.
seq-mean-token-mean: every sequence's mean over its own tokens, summed / Q (GRPO's paper).
seq-mean-token-sum-norm: sum over tokens / (Q * length) with a fixed length, so that the weight of a
    token depends on no sequence's length (Dr. GRPO, arXiv 2503.20783).
"""


@dataclass(frozen=True, slots=True)
class Denominators:
    """The counts of the whole batch (all micro-batches, all processes) that a loss divides by."""

    tokens: int  #: tokens in the mask
    sequences: int  #: rows with at least one token in the mask
    seen: int | None = None
    """Those of the tokens that a loss is shown at all, where rows without gradient are left out:
    what metrics are means over. None: all."""

    @classmethod
    def of(cls, masks: Iterable[Tensor]) -> "Denominators":
        """Count over masks (B, S), one per micro-batch."""
        counts = [(int(m.sum()), int(m.bool().any(-1).sum())) for m in masks]
        return cls(sum(c[0] for c in counts), sum(c[1] for c in counts))


@dataclass(frozen=True, slots=True)
class LossResult:
    """The share of one micro-batch in the loss and in the metrics.

    Metrics whose names end in `_min` or `_max` are extremes; all others are sums that have been
    divided by the counts of the whole batch, so they add up over micro-batches.
    """

    loss: Tensor  #: a scalar with a gradient
    metrics: Mapping[str, float]


@runtime_checkable
class Loss(Protocol):
    """A function from log-probabilities and advantages to a scalar; its parameters are fields."""

    @property
    def needs(self) -> frozenset[str]:
        """Which of the optional inputs it cannot do without: "ref_logprobs", "entropy"."""
        ...

    def __call__(
        self,
        logprobs_BS: Tensor,
        old_logprobs_BS: Tensor,
        advantages_BS: Tensor,
        mask_BS: Tensor,
        *,
        denominators: Denominators,
        ref_logprobs_BS: Tensor | None = None,
        entropy_BS: Tensor | None = None,
    ) -> LossResult:
        """Return the loss of one micro-batch.

        Args:
            logprobs_BS: of the policy in training, in nats, with a gradient.
            old_logprobs_BS: of the policy that sampled.
            advantages_BS: from a credit scheme.
            mask_BS: which tokens are trained on.
            denominators: the counts of the whole batch.
            ref_logprobs_BS: of the reference model, where there is a KL term.
            entropy_BS: of the policy's distribution at each position, in nats, with a gradient.
        """
        ...


def combine(results: Iterable[LossResult]) -> dict[str, float]:
    """Return the metrics of the whole batch from those of its micro-batches."""
    found: dict[str, float] = {}
    for result in results:
        for name, value in result.metrics.items():
            if name not in found:
                found[name] = value
            elif name.endswith("_max"):
                found[name] = max(found[name], value)
            elif name.endswith("_min"):
                found[name] = min(found[name], value)
            else:
                found[name] += value
    return found


def masked(values_BS: Tensor, mask_BS: Tensor) -> Tensor:
    """Return the values with 0 outside the mask, also in place of NaN or infinity.

    Done before any exponential: 0 times infinity would be NaN in the gradient.
    """
    return torch.where(mask_BS.bool(), values_BS, 0.0)


def aggregate(
    values_BS: Tensor,
    mask_BS: Tensor,
    how: Aggregation,
    denominators: Denominators,
    length: int | None = None,
) -> Tensor:
    """Return one number from a number per token, see `Aggregation`.

    Args:
        values_BS: one number per token.
        mask_BS: which tokens count.
        how: the aggregation.
        denominators: the counts of the whole batch.
        length: the fixed length of "seq-mean-token-sum-norm", in tokens.
    """
    values_BS = masked(values_BS, mask_BS)
    tokens, sequences = max(denominators.tokens, 1), max(denominators.sequences, 1)
    match how:
        case "token-mean":
            return values_BS.sum() / tokens
        case "seq-mean-token-sum":
            return values_BS.sum() / sequences
        case "seq-mean-token-mean":
            counts_B = mask_BS.to(values_BS.dtype).sum(-1).clamp(min=1)
            return (values_BS.sum(-1) / counts_B).sum() / sequences
        case "seq-mean-token-sum-norm":
            assert length is not None
            return values_BS.sum() / (sequences * length)


def kl_estimate(logprobs_BS: Tensor, ref_logprobs_BS: Tensor, kind: KLKind) -> Tensor:
    """Return an estimate of KL(policy || reference) per token, from tokens the policy sampled.

    With d = ref - logp (http://joschu.net/blog/kl-approx.html): k1 = -d, k2 = d^2 / 2,
    k3 = exp(d) - 1 - d; abs = |d| estimates no KL, but verl has it. As in verl, k3 clamps d to
    [-20, 20] and its result to [-10, 10]; where a clamp acts the gradient is 0. As a loss on the
    policy's own samples, the mean gradient of k2 is that of KL(policy || reference), of k3 that of
    KL(reference || policy), and that of k1 is 0.
    """
    d_BS = ref_logprobs_BS - logprobs_BS
    match kind:
        case "k1":
            return -d_BS
        case "abs":
            return d_BS.abs()
        case "k2":
            return d_BS.square() / 2
        case "k3":
            d_BS = d_BS.clamp(-20, 20)
            return (d_BS.exp() - 1 - d_BS).clamp(-10, 10)


def token_mean(values_BS: Tensor, mask_BS: Tensor, denominators: Denominators) -> float:
    """Return this micro-batch's share of a mean over all tokens that are seen, without gradient."""
    tokens = denominators.tokens if denominators.seen is None else denominators.seen
    with torch.no_grad():
        return float(masked(values_BS.double(), mask_BS).sum() / max(tokens, 1))


# What policy losses share ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """What a policy loss makes of the tokens of a micro-batch, before they become one number."""

    losses_BS: Tensor
    ratio_BS: Tensor  #: of new and old probability, as the loss saw it; only logged
    fractions: Mapping[str, Tensor] = field(default_factory=dict)  #: tokens to log the share of


@dataclass(frozen=True, kw_only=True)
class PolicyLoss(ABC):
    """A loss per token, aggregated, with a KL term and an entropy bonus.

    A loss of one's own says what each token costs (`of_tokens`); the rest is here.

    Metrics: policy_loss, ppo_kl (mean of old logp - logp), ratio_mean / _min / _max, and the shares
    of tokens that the loss names; kl (to the reference) and entropy where these are given.

    Attributes:
        aggregation: how the losses of tokens become one number.
        length: the fixed length of "seq-mean-token-sum-norm", in tokens.
        kl_coef: weight of the KL term; 0: none, and no reference is needed.
        kl: which estimator of it.
        entropy_coef: weight of the entropy bonus.
    """

    aggregation: Aggregation = "token-mean"
    length: int | None = None
    kl_coef: float = 0.0
    kl: KLKind = "k3"
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
        settle(self)
        check_range(self, "kl_coef", 0.0, 1e6)
        check_range(self, "entropy_coef", -1e6, 1e6)
        if self.length is not None:
            check_range(self, "length", 1, 1e9)
        if (self.aggregation == "seq-mean-token-sum-norm") != (self.length is not None):
            raise ConfigError(
                f"{type(self).__name__}: length (got {self.length}) belongs to aggregation "
                f"'seq-mean-token-sum-norm' (got {self.aggregation!r}), which cannot do without"
            )

    @abstractmethod
    def of_tokens(
        self, logprobs_BS: Tensor, log_ratio_BS: Tensor, advantages_BS: Tensor, mask_BS: Tensor
    ) -> TokenLosses:
        """Return the loss of each token.

        Args:
            logprobs_BS: of the policy in training, with a gradient; 0 outside the mask.
            log_ratio_BS: the same minus those of the policy that sampled, with a gradient.
            advantages_BS: from a credit scheme; 0 outside the mask.
            mask_BS: which tokens are trained on.
        """
        ...

    @property
    def needs(self) -> frozenset[str]:
        """A reference if there is a KL term, entropies if there is a bonus."""
        wanted = {"ref_logprobs": self.kl_coef, "entropy": self.entropy_coef}
        return frozenset(name for name, coef in wanted.items() if coef)

    def __call__(
        self,
        logprobs_BS: Tensor,
        old_logprobs_BS: Tensor,
        advantages_BS: Tensor,
        mask_BS: Tensor,
        *,
        denominators: Denominators,
        ref_logprobs_BS: Tensor | None = None,
        entropy_BS: Tensor | None = None,
    ) -> LossResult:
        """Return the loss of one micro-batch; see `Loss`.

        Raises:
            ConfigError: the reference or the entropies that a coefficient asks for are missing.
        """
        mask_BS = mask_BS.bool()
        logprobs_BS = masked(logprobs_BS, mask_BS)
        log_ratio_BS = logprobs_BS - masked(old_logprobs_BS, mask_BS)
        found = self.of_tokens(logprobs_BS, log_ratio_BS, masked(advantages_BS, mask_BS), mask_BS)
        loss = self.aggregated(found.losses_BS, mask_BS, denominators)
        metrics = {
            "policy_loss": float(loss.detach()),
            "ppo_kl": token_mean(-log_ratio_BS, mask_BS, denominators),
            "ratio_mean": token_mean(found.ratio_BS, mask_BS, denominators),
        }
        for name, tokens_BS in found.fractions.items():
            metrics[name] = token_mean(tokens_BS, mask_BS, denominators)
        if mask_BS.any():
            inside = found.ratio_BS.detach()[mask_BS]
            metrics |= {"ratio_min": float(inside.min()), "ratio_max": float(inside.max())}
        name = type(self).__name__
        if ref_logprobs_BS is not None:
            kl_BS = kl_estimate(logprobs_BS, masked(ref_logprobs_BS, mask_BS), self.kl)
            metrics["kl"] = token_mean(kl_BS, mask_BS, denominators)
            if self.kl_coef:
                loss = loss + self.kl_coef * self.aggregated(kl_BS, mask_BS, denominators)
        elif self.kl_coef:
            raise ConfigError(
                f"{name}: kl_coef is set, but no reference log-probabilities are given"
            )
        if entropy_BS is not None:
            metrics["entropy"] = token_mean(entropy_BS, mask_BS, denominators)
            if self.entropy_coef:
                loss = loss - self.entropy_coef * self.aggregated(entropy_BS, mask_BS, denominators)
        elif self.entropy_coef:
            raise ConfigError(f"{name}: entropy_coef is set, but no entropies are given")
        return LossResult(loss, metrics)

    def aggregated(self, values_BS: Tensor, mask_BS: Tensor, denominators: Denominators) -> Tensor:
        """Return one number from a number per token."""
        return aggregate(values_BS, mask_BS, self.aggregation, denominators, self.length)
