"""How probable a text is at many places of a token sequence, without computing it many times over.

The sequence is computed once; the text is then tried at every place as a branch, which sees the
sequence up to there and itself. All branches of a sequence are one more stretch of tokens, with
positions that repeat and an attention mask that keeps them apart.

Axes: B probes of a batch, P positions of a prefix, K places, L tokens of a branch, Q positions of
all branches of a probe; N branch tokens of a batch that count, H hidden units, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache

from agentgym.trainers.pack import Batch, Row, collate, microbatches
from agentgym.trainers.score import run, score

PADDING = 32
"""Positions that a probe may leave empty; with more, another forward pass costs less."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probe:
    """A sequence, the places where a text is tried, and which of the text's tokens count."""

    prefix_P: Ids
    places_K: tuple[int, ...]  #: how many tokens of the prefix a branch sees; rising
    branch_L: Ids
    counted: tuple[int, int]  #: the first token of the branch that counts, and the end of those

    def __len__(self) -> int:
        """Return how many positions are computed: the last token of a branch predicts nothing."""
        return len(self.prefix_P) + len(self.places_K) * (self.counted[1] - 1)

    @property
    def one_by_one(self) -> int:
        """How many positions it takes to compute every place from the beginning."""
        return sum(self.places_K) + len(self.places_K) * (self.counted[1] - 1)


def by_branches(
    model: Any, probes: Sequence[Probe], *, temperature: float, max_tokens: int
) -> list[list[float]]:
    """Return the mean log-probability per counted token of every place (K) of every probe."""
    found: dict[int, list[float]] = {}
    for fitting in microbatches(probes, max_tokens):
        for batch in _alike(fitting):
            found |= zip(map(id, batch), _batch(model, batch, temperature), strict=True)
    return [found[id(probe)] for probe in probes]


def one_by_one(
    model: Any, probes: Sequence[Probe], *, temperature: float, max_tokens: int
) -> list[list[float]]:
    """Return the same, computed from the beginning for every place."""
    rows: list[Row] = []
    for b, probe in enumerate(probes):
        first, end = probe.counted
        for k, place in enumerate(probe.places_K):
            ids_S = np.concatenate([probe.prefix_P[:place], probe.branch_L[:end]])
            mask_S = np.zeros(len(ids_S), np.bool_)
            mask_S[place + first :] = True
            nothing_S = np.zeros(len(ids_S), np.float32)
            rows.append(Row(ids_S, mask_S, nothing_S, nothing_S, (b, k)))
    found = [[0.0] * len(probe.places_K) for probe in probes]
    for part in microbatches(rows, max_tokens):
        batch: Batch = collate(part)
        with torch.no_grad():
            logprobs_BS = score(model, batch, temperature=temperature).logprobs_BS
        for row, total in zip(part, logprobs_BS.sum(1).tolist(), strict=True):
            found[row.member[0]][row.member[1]] = total / row.tokens
    return found


def disagreement(model: Any) -> str:
    """Return why a model's branches are not to be trusted, tried on two short ones; "": they are.

    Models that carry a state from token to token (instead of looking back) cannot be branched.
    """
    size = model.config.get_text_config().vocab_size
    ids = np.array([(7 * i + 3) % size for i in range(12)], np.int64)
    probes = [
        Probe(ids, (4, 12), ids[3:7], (0, 4)),
        Probe(ids[:5][::-1].copy(), (2, 5), ids[2:5], (1, 3)),
    ]
    try:
        ours = by_branches(model, probes, temperature=1.0, max_tokens=64)
        sure = one_by_one(model, probes, temperature=1.0, max_tokens=64)
    except Exception as error:  # whatever a model raises that does not take such a mask
        return f"{type(error).__name__}: {error}"
    off = float(np.abs(np.array(ours) - np.array(sure)).max())
    if not off < (1e-3 if model.dtype == torch.float32 else 0.1):
        return f"log-probabilities are off by {off:.2g} nats"
    return ""


def _alike(probes: Sequence[Probe]) -> Iterator[list[Probe]]:
    """Split a batch, the longest first, where much would be padding."""
    batch: list[Probe] = []
    for probe in probes:
        if batch and len(batch[0]) - len(probe) > PADDING:
            yield batch
            batch = []
        batch.append(probe)
    yield batch


@torch.no_grad()
def _batch(model: Any, probes: Sequence[Probe], temperature: float) -> list[list[float]]:
    """Compute the prefixes, then all branches over the cached prefixes."""
    device = next(model.parameters()).device
    width = max(len(probe.prefix_P) for probe in probes)
    prefix_BP = np.zeros((len(probes), width), np.int64)
    for b, probe in enumerate(probes):
        prefix_BP[b, : len(probe.prefix_P)] = probe.prefix_P
    # Padding is on the right: no token that counts ever looks there.
    ids_BP = torch.from_numpy(prefix_BP).to(device)
    cache = DynamicCache()  # keeps every position, also of layers with a window
    shown_BPH, head = run(model, input_ids=ids_BP, past_key_values=cache, use_cache=True)

    branches = [_Branches.of(probe) for probe in probes]
    said_BQH = None
    if any(len(each.ids_Q) for each in branches):
        inputs = _inputs(model, branches, width, device, shown_BPH.dtype)
        said_BQH, _ = run(model, past_key_values=cache, use_cache=True, **inputs)

    # The first token of a branch is predicted by the prefix, the others by the branch.
    out_NH, wanted_N, sizes_B = [], [], []
    for b, (probe, each) in enumerate(zip(probes, branches, strict=True)):
        first, end = probe.counted
        out_KLH = shown_BPH[b, each.before_K][:, None]
        if said_BQH is not None and end > 1:
            later_KLH = said_BQH[b, : len(each.ids_Q)].view(len(each.before_K), end - 1, -1)
            out_KLH = torch.cat([out_KLH, later_KLH], dim=1)
        out_NH.append(out_KLH[:, first:].flatten(0, 1))
        wanted_N.append(np.tile(probe.branch_L[first:end], len(each.before_K)))
        sizes_B.append(len(each.before_K) * (end - first))
    all_NV = torch.log_softmax(head(torch.cat(out_NH)).float() / temperature, dim=-1)
    chosen_N = all_NV.gather(1, torch.from_numpy(np.concatenate(wanted_N)).to(device)[:, None])
    return [
        chosen_B.view(len(each.before_K), -1).mean(1).tolist()
        for chosen_B, each in zip(torch.split(chosen_N, sizes_B), branches, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Branches:
    """The branches of one probe, one after the other, without their last tokens."""

    ids_Q: Ids
    number_Q: Ids  #: which branch a token belongs to
    place_Q: Ids  #: how much of the prefix that branch sees
    position_Q: Ids  #: the token's place in a sequence that is prefix and branch
    before_K: list[int]  #: the position of the prefix at which each branch begins

    @classmethod
    def of(cls, probe: Probe) -> "_Branches":
        places_K, size = np.array(probe.places_K, np.int64), probe.counted[1] - 1
        return cls(
            np.tile(probe.branch_L[:size], len(places_K)),
            np.repeat(np.arange(len(places_K)), size),
            np.repeat(places_K, size),
            (places_K[:, None] + np.arange(size)).reshape(-1),
            (places_K - 1).tolist(),
        )


def _inputs(
    model: Any, branches: Sequence[_Branches], width: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Return tokens, positions and masks (B, 1, Q, P + Q) of all branches of a batch."""
    size = max(len(each.ids_Q) for each in branches)
    shape = len(branches), size
    ids_BQ, position_BQ = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    seen = np.zeros((*shape, width + size), np.bool_)
    seen[:, :, 0] = True  # padding looks somewhere, and nobody looks at padding
    distance = np.zeros(seen.shape, np.int64)
    for b, each in enumerate(branches):
        n = len(each.ids_Q)
        ids_BQ[b, :n], position_BQ[b, :n] = each.ids_Q, each.position_Q
        prefix_P = np.arange(width)
        seen[b, :n, :width] = prefix_P < each.place_Q[:, None]
        same = each.number_Q[:, None] == each.number_Q
        seen[b, :n, width : width + n] = same & np.tri(n, dtype=np.bool_)
        key_S = np.concatenate([prefix_P, each.position_Q])
        distance[b, :n, : width + n] = each.position_Q[:, None] - key_S
    return {
        "input_ids": torch.from_numpy(ids_BQ).to(device),
        "position_ids": torch.from_numpy(position_BQ).to(device),
        "attention_mask": _masks(model.config.get_text_config(), seen, distance, device, dtype),
    }


def _masks(
    config: Any,
    seen: npt.NDArray[np.bool_],
    distance: npt.NDArray[np.int64],
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """Return what to add to attention scores: one mask, or one for each kind of layer."""

    def additive(allowed: npt.NDArray[np.bool_]) -> Tensor:
        hidden = torch.from_numpy(~allowed).to(device)
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]

    window = getattr(config, "sliding_window", None)
    if not window or not getattr(config, "use_sliding_window", True):
        return additive(seen)
    near = additive(seen & (distance < window))
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds >= {"full_attention", "sliding_attention"}:
        return {"full_attention": additive(seen), "sliding_attention": near}
    return additive(seen) if kinds == {"full_attention"} else near
