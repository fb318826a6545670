"""REINFORCE: the plain policy gradient, without a ratio and without a clip."""

from dataclasses import dataclass

from torch import Tensor

from agentgym.trainers.losses.base import PolicyLoss, TokenLosses

__all__ = ["Reinforce"]


@dataclass(frozen=True)
class Reinforce(PolicyLoss):
    """The policy gradient (Williams 1992; for language models arXiv 2402.14740).

    Symbols: logp of a token under the policy in training, A its advantage.
    Per token: L = -A logp, whose gradient is that of PPO where the policy still is the one that
    sampled. It is right only there: with several updates per batch (epochs or minibatches above 1)
    nothing corrects for the policy having moved, and nothing stops it from moving far.
    Loss = aggregate(L) + kl_coef aggregate(KL) - entropy_coef aggregate(entropy).
    Checked against: plain loops, and the gradient of `ppo_clip` on policy.
    Degenerate: an empty mask gives 0. The value says nothing: it falls as tokens grow improbable.
    """

    def of_tokens(
        self, logprobs_BS: Tensor, log_ratio_BS: Tensor, advantages_BS: Tensor, mask_BS: Tensor
    ) -> TokenLosses:
        """Return -A logp."""
        ratio_BS = log_ratio_BS.detach().clamp(-20, 20).exp()  # says how far the policy has moved
        return TokenLosses(-advantages_BS * logprobs_BS, ratio_BS)
