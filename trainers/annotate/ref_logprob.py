"""How probable every sampled token is under the policy of the beginning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.trainers.credit.base import Policy
from agentgym.trainers.credit.common import check_range
from agentgym.trainers.pack import Batch
from agentgym.trainers.tokens import note_tokens
from agentgym.types import Group

__all__ = ["RefLogprob"]


@dataclass(frozen=True)
class RefLogprob:
    """Notes "ref_logprob": log-probabilities of the sampled tokens under a frozen reference.

    One number per sampled token of all calls, in nats: log p_ref(token | all tokens before it) of
    those that are trained on; 0 for those of frozen calls, which another model may have sampled.
    The reference is the policy of the beginning, after a warm start. Used by the KL penalty in the
    reward (`reward.kl_coef`).

    Attributes:
        temperature: that of the rollouts, so that both log-probabilities are taken at the same.
        max_tokens: positions per forward pass (memory, not meaning).
    """

    temperature: float = 1.0
    max_tokens: int = 8192

    def __post_init__(self) -> None:
        check_range(self, "temperature", 1e-6, 1e6)
        check_range(self, "max_tokens", 1, 1e12)

    @property
    def provides(self) -> frozenset[str]:
        """Log-probabilities under the reference."""
        return frozenset({"ref_logprob"})

    @property
    def requires(self) -> frozenset[str]:
        """A reference, which the run then has."""
        return frozenset({"reference"})

    def __call__(self, groups: Sequence[Group], policy: Policy) -> list[Group]:
        """Return the groups with their notes; invalid members go without."""
        import torch

        from agentgym.trainers.score import score

        def logprobs(batch: Batch) -> Any:
            with torch.no_grad():
                scored = score(policy.reference, batch, temperature=self.temperature)
            return scored.logprobs_BS.cpu().numpy()

        return note_tokens(groups, "ref_logprob", logprobs, max_tokens=self.max_tokens)
