"""Sampling that computes every prompt whole: slower, and right for every decoder of transformers.

For models whose attention the ragged cache does not cover (sliding windows, recurrent layers).
Prompts are padded on the left; the model's own cache lives for one batch of samples.

Axes: B batch rows, S positions, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from agentgym.backends.base import SampleRequest


class WholePromptDecoder:
    """Computes logits for batches of prompts and remembers nothing between batches."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache: Any = None
        self._mask_BS = torch.zeros(0, 0)
        self._places: list[int] = []

    def order(self, requests: Sequence[SampleRequest]) -> list[int]:
        """Return the places of the requests as they are."""
        return list(range(len(requests)))

    def prefill(self, requests: Sequence[SampleRequest], room: int) -> Tensor:
        """Return the logits (B, V) after the last token of each prompt."""
        del room
        width = max(len(request.context_ids) for request in requests)
        ids_BS = torch.zeros(len(requests), width, dtype=torch.long)
        self._mask_BS = torch.zeros(len(requests), width, dtype=torch.long)
        for row, request in enumerate(requests):
            length = len(request.context_ids)
            ids_BS[row, width - length :] = torch.tensor(list(request.context_ids))
            self._mask_BS[row, width - length :] = 1
        self._mask_BS = self._mask_BS.to(self._model.device)
        self._cache, self._places = None, list(range(len(requests)))
        return self._forward(ids_BS.to(self._model.device))

    def step(self, places: Sequence[int], ids: Sequence[int], ages: Sequence[int]) -> Tensor:
        """Return the logits (B, V) after one more token of some rows of the last prefill."""
        del ages
        if list(places) != self._places:
            keep = torch.tensor([self._places.index(p) for p in places], device=self._model.device)
            self._cache.batch_select_indices(keep)
            self._mask_BS, self._places = self._mask_BS[keep], list(places)
        self._mask_BS = torch.cat((self._mask_BS, self._mask_BS.new_ones(len(places), 1)), dim=1)
        return self._forward(torch.tensor(ids, device=self._model.device)[:, None])

    def keep(self, place: int, ids: Sequence[int]) -> None:
        """Nothing is kept."""

    def release(self, sessions: Iterable[int]) -> None:
        """Nothing is kept."""

    def forget(self) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """Give the memory of the last batch back."""
        self._cache = None

    def _forward(self, ids_BS: Tensor) -> Tensor:
        positions_BS = (self._mask_BS.cumsum(1) - 1).clamp(min=0)[:, -ids_BS.shape[1] :]
        output = self._model(
            input_ids=ids_BS,
            attention_mask=self._mask_BS,
            position_ids=positions_BS,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        logits: Tensor = output.logits[:, -1]
        return logits
