"""GSPO: PPO's clip on the ratio of the whole sequence instead of single tokens."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from agentgym.trainers.credit.common import check_range
from agentgym.trainers.losses.base import Aggregation, PolicyLoss, TokenLosses

__all__ = ["GSPO"]


@dataclass(frozen=True)
class GSPO(PolicyLoss):
    """Group sequence policy optimization (arXiv 2507.18071, GSPO-token of section 4.3).

    Symbols: l = logp - old logp of a token, s = exp(mean of l over its sequence's tokens), A its
    advantage; sg stops gradients.
    Per token: r = sg(s) exp(logp - sg(logp)), so that all tokens of a sequence have the same ratio
    but each its own gradient; L = max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)).
    Loss = mean over sequences of the mean of L over their tokens, + kl_coef KL - entropy_coef
    entropy, aggregated alike.
    Checked against: the GSPO loss of verl-agent, gradients included.
    Degenerate: an empty mask gives 0; log-ratios are clamped to at most 10, where they overflow.
    A sequence is a row: a trajectory, or what lies between two fresh prompts.

    Metrics beside those of `PolicyLoss`: clip_fraction (tokens whose gradient the clip removed).

    Attributes:
        clip_low: how far the ratio may fall below 1; sequence ratios stay much closer to 1 than
            those of tokens, so the bounds are small.
        clip_high: how far it may rise above 1.
        aggregation: how the losses of tokens become one number; the paper has the default.
    """

    clip_low: float = 3e-4
    clip_high: float = 4e-4
    aggregation: Aggregation = field(default="seq-mean-token-mean", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "clip_low", 0.0, 1.0)
        check_range(self, "clip_high", 0.0, 100.0)

    def of_tokens(
        self, logprobs_BS: Tensor, log_ratio_BS: Tensor, advantages_BS: Tensor, mask_BS: Tensor
    ) -> TokenLosses:
        """Return the larger of the free and the clipped loss, see above."""
        counts_B1 = mask_BS.sum(-1, keepdim=True).clamp(min=1)
        mean_B1 = (log_ratio_BS.sum(-1, keepdim=True) / counts_B1).detach()
        ratio_BS = (logprobs_BS - logprobs_BS.detach() + mean_B1).clamp(max=10).exp()
        free_BS = -advantages_BS * ratio_BS
        held_BS = -advantages_BS * ratio_BS.clamp(1 - self.clip_low, 1 + self.clip_high)
        return TokenLosses(
            torch.maximum(free_BS, held_BS), ratio_BS, {"clip_fraction": held_BS > free_BS}
        )
