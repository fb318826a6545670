"""Log-probabilities of packed rows under a model.

Axes: B rows of a batch, S positions of a row, M trained tokens of a batch, H hidden units,
V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from agentgym.trainers.pack import Batch


@dataclass(frozen=True, slots=True)
class Scored:
    """What the model says about the trained tokens of a batch; 0 outside the mask."""

    logprobs_BS: Tensor  #: in nats, at the sampling temperature
    entropy_BS: Tensor | None  #: of the distribution each token was drawn from, in nats


def score(
    model: nn.Module,
    batch: Batch,
    *,
    temperature: float = 1.0,
    entropy: Literal["none", "logged", "differentiable"] = "none",
) -> Scored:
    """Return the log-probability of every trained token given all tokens before it.

    Padding is on the right, so a causal model never sees it and no attention mask is needed.

    Args:
        model: a causal model of `transformers`.
        batch: the rows.
        temperature: that the tokens were sampled at.
        entropy: whether entropies are wanted too, and with a gradient.
    """
    device = next(model.parameters()).device
    ids_BS = torch.from_numpy(batch.ids_BS).to(device)
    mask_BS = torch.from_numpy(batch.mask_BS).to(device)
    # The logits that predict position s stand at position s - 1.
    logits_MV = _logits(model, ids_BS, mask_BS[:, 1:]).float()
    if temperature != 1.0:
        logits_MV = logits_MV / temperature
    all_MV = torch.log_softmax(logits_MV, dim=-1)
    chosen_M = all_MV.gather(1, ids_BS[:, 1:][mask_BS[:, 1:], None])[:, 0]
    logprobs_BS = _scatter(chosen_M, mask_BS)
    if entropy == "none":
        return Scored(logprobs_BS, None)
    if entropy == "logged":
        all_MV = all_MV.detach()
    return Scored(logprobs_BS, _scatter(-(all_MV.exp() * all_MV).sum(-1), mask_BS))


def _logits(model: Any, ids_BS: Tensor, before_BS: Tensor) -> Tensor:
    """Return the logits (M, V) at the positions before trained tokens.

    The output layer is the largest of a small model, so it runs at those positions only; models
    that do something to their logits afterwards (scaling, soft caps) run whole.
    """
    out_BSH, head = run(model, input_ids=ids_BS, use_cache=False)
    return head(out_BSH[:, :-1][before_BS])


def run(model: Any, **inputs: Any) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Run a model without its output layer, where that is all that follows.

    Returns:
        What the model says (B, S, H) about each position, and what makes logits of it.
    """
    head = model.get_output_embeddings()
    plain = not any(
        getattr(model.config, name, None)
        for name in (
            "final_logit_softcapping",
            "logit_scale",
            "logits_scaling",
            "lm_head_multiplier",
        )
    )
    if plain and isinstance(head, nn.Linear):
        return model.base_model(**inputs).last_hidden_state, head
    return model(**inputs).logits, lambda logits: logits


def _scatter(values_M: Tensor, mask_BS: Tensor) -> Tensor:
    return torch.zeros(mask_BS.shape, dtype=values_M.dtype, device=mask_BS.device).masked_scatter(
        mask_BS, values_M
    )
