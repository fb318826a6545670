"""PPO with a clipped ratio: dual clip, asymmetric bounds, KL to a reference, entropy bonus."""

from dataclasses import dataclass

import torch
from torch import Tensor

from agentgym.errors import ConfigError
from agentgym.trainers.credit.common import check_range
from agentgym.trainers.losses.base import Denominators, PolicyLoss, TokenLosses

__all__ = ["PPOClip"]


@dataclass(frozen=True)
class PPOClip(PolicyLoss):
    """Clipped PPO (arXiv 1707.06347, equation 7) with the dual clip of arXiv 1912.09729.

    Symbols: r = exp(logp - old logp) of a token, A its advantage, c the dual clip.
    Per token: L = max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)); for A < 0, min(L, -A c), so
    that a token which has become much more probable cannot dominate (c = 3).
    `clip_high > clip_low` is clip-higher (DAPO, arXiv 2503.14476, section 3.1).
    Loss = aggregate(L) + kl_coef aggregate(KL) - entropy_coef aggregate(entropy).
    Checked against: `compute_policy_loss`, `agg_loss` and `kl_penalty` of verl-agent and verl,
    gradients included.
    Degenerate: an empty mask gives 0; log-ratios are clamped to [-20, 20], where they overflow.

    Metrics beside those of `PolicyLoss`: clip_fraction (tokens whose gradient the clip removed) and
    dual_clip_fraction.

    Attributes:
        clip_low: how far the ratio may fall below 1.
        clip_high: how far it may rise above 1.
        dual_clip: c; 0 switches it off.
        mean_over_sequences: False sums "seq-mean-token-sum-norm" over sequences without dividing by
            their number, as verl does, where the loss grows with the batch.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float = 3.0
    mean_over_sequences: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "clip_low", 0.0, 1.0)
        check_range(self, "clip_high", 0.0, 100.0)
        if self.dual_clip and not self.dual_clip > 1:
            raise ConfigError(f"PPOClip: dual_clip must be above 1, or 0, got {self.dual_clip}")

    def of_tokens(
        self, logprobs_BS: Tensor, log_ratio_BS: Tensor, advantages_BS: Tensor, mask_BS: Tensor
    ) -> TokenLosses:
        """Return the larger of the free and the clipped loss, see above."""
        ratio_BS = log_ratio_BS.clamp(-20, 20).exp()
        free_BS = -advantages_BS * ratio_BS
        held_BS = -advantages_BS * ratio_BS.clamp(1 - self.clip_low, 1 + self.clip_high)
        losses_BS = torch.maximum(free_BS, held_BS)
        dual_BS = torch.zeros_like(free_BS, dtype=torch.bool)
        if self.dual_clip:
            limit_BS = -advantages_BS * self.dual_clip
            dual_BS = (losses_BS > limit_BS) & (advantages_BS < 0)
            losses_BS = torch.where(advantages_BS < 0, losses_BS.minimum(limit_BS), losses_BS)
        return TokenLosses(
            losses_BS,
            ratio_BS,
            {"clip_fraction": held_BS > free_BS, "dual_clip_fraction": dual_BS},
        )

    def aggregated(self, values_BS: Tensor, mask_BS: Tensor, denominators: Denominators) -> Tensor:
        """Return one number from a number per token."""
        if self.aggregation == "seq-mean-token-sum-norm" and not self.mean_over_sequences:
            denominators = Denominators(denominators.tokens, 1)
        return super().aggregated(values_BS, mask_BS, denominators)
