"""CISPO: the policy gradient with a clipped importance weight; no token loses its gradient."""

from dataclasses import dataclass

from torch import Tensor

from agentgym.trainers.credit.common import check_range
from agentgym.trainers.losses.base import PolicyLoss, TokenLosses

__all__ = ["CISPO"]


@dataclass(frozen=True)
class CISPO(PolicyLoss):
    """Clipped importance sampling policy optimization (arXiv 2506.13585, section 3.1, equation 4).

    Symbols: r = exp(logp - old logp) of a token, A its advantage; sg stops gradients.
    Per token: L = -sg(clip(r, 1 - clip_low, 1 + clip_high)) A logp. PPO's clip takes the gradient
    away from rare tokens that became much more probable, which are often those that turn a chain of
    thought; here it only bounds their weight.
    Loss = aggregate(L) + kl_coef aggregate(KL) - entropy_coef aggregate(entropy). The paper
    averages over all tokens of a group, has no KL term and no lower bound, and names no value for
    clip_high: 2 (a weight of at most 3) is ours.
    Checked against: plain loops; on policy it has the gradient of `ppo_clip`.
    Degenerate: an empty mask gives 0; log-ratios are clamped to [-20, 20], where they overflow.

    Metrics beside those of `PolicyLoss`: clip_fraction (tokens whose weight was clipped).

    Attributes:
        clip_low: how far a weight may fall below 1; 1: no lower bound.
        clip_high: how far it may rise above 1.
    """

    clip_low: float = 1.0
    clip_high: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "clip_low", 0.0, 1.0)
        check_range(self, "clip_high", 0.0, 100.0)

    def of_tokens(
        self, logprobs_BS: Tensor, log_ratio_BS: Tensor, advantages_BS: Tensor, mask_BS: Tensor
    ) -> TokenLosses:
        """Return -(clipped weight) A logp."""
        ratio_BS = log_ratio_BS.detach().clamp(-20, 20).exp()
        weight_BS = ratio_BS.clamp(1 - self.clip_low, 1 + self.clip_high)
        return TokenLosses(
            -(weight_BS * advantages_BS) * logprobs_BS,
            ratio_BS,
            {"clip_fraction": weight_BS != ratio_BS},
        )
