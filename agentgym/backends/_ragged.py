"""Sampling over a ragged key-value cache: every row is a session of its own age and length.

Rows stay packed (a released row is filled by the last one), so that a batch of all live sessions
is a view, not a copy. Writes go to explicit positions; nothing is padded on the left, so a row
holds exactly the tokens of its session.

Axes: L layers, R rows, B batch rows, H key-value heads, T new positions, S cached positions,
D head size, E hidden size, V vocabulary, N valid tokens of a padded batch.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from agentgym.backends.base import SampleRequest

Forward = Callable[[Tensor, "RaggedView"], Tensor]
"""Takes the new ids (N) and where they go; caches their keys and values; returns (N, E)."""


class RaggedCache:
    """Keys and values of many sessions, and the token ids that they stand for."""

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._layers, self._heads, self._size = layers, kv_heads, head_dim
        self._like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.clear()

    def clear(self) -> None:
        """Forget everything and give the memory back."""
        empty = torch.empty(0, self._heads, 0, self._size, **self._like)
        self.keys_LRHSD, self.values_LRHSD = [empty] * self._layers, [empty] * self._layers
        self.row_of: dict[int, int] = {}  # session -> row
        self.session_of: list[int] = []  # row -> session
        self.ids_of: list[list[int]] = []  # row -> the tokens that are cached

    def forget(self) -> None:
        """Forget everything and keep the memory, since the next batch will be as large."""
        for tensor in (*self.keys_LRHSD, *self.values_LRHSD):
            tensor.zero_()  # weights gone wrong may have left NaN
        self.row_of, self.session_of, self.ids_of = {}, [], []

    def row(self, session: int) -> int:
        """Return the row of a session, which is new and empty if it was not known."""
        if session not in self.row_of:
            self.row_of[session] = len(self.session_of)
            self.session_of.append(session)
            self.ids_of.append([])
        return self.row_of[session]

    def matching(self, row: int, context_ids: Sequence[int]) -> int:
        """Return how many leading tokens of a prompt are cached, and forget what differs.

        At least one token of the prompt is left to compute, since its logits are wanted.
        """
        cached = self.ids_of[row]
        if len(cached) >= len(context_ids) or cached != list(context_ids[: len(cached)]):
            same = 0
            for ours, theirs in zip(cached, context_ids[:-1], strict=False):
                if ours != theirs:
                    break
                same += 1
            del cached[same:]
        return len(cached)

    def reserve(self, positions: int) -> None:
        """Make room for all rows and for this many positions per row."""
        rows = len(self.session_of)
        have_rows, _, have_positions, _ = self.keys_LRHSD[0].shape
        if rows <= have_rows and positions <= have_positions:
            return
        new_rows = have_rows if rows <= have_rows else max(rows, have_rows + have_rows // 2)
        new_positions = have_positions
        if positions > have_positions:
            new_positions = -(-max(positions, have_positions + have_positions // 4) // 64) * 64
        for tensors in (self.keys_LRHSD, self.values_LRHSD):
            for layer, old in enumerate(tensors):
                # zeros, since a masked position is multiplied by 0 and must not be NaN
                new = torch.zeros(new_rows, self._heads, new_positions, self._size, **self._like)
                new[:have_rows, :, :have_positions] = old
                tensors[layer] = new

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows, keys, values and ids, to rows that hold nothing of their own."""
        length = max(len(self.ids_of[source]) for source in sources)
        for tensors in (self.keys_LRHSD, self.values_LRHSD):
            for tensor in tensors:
                tensor[list(targets), :, :length] = tensor[list(sources), :, :length]
        for source, target in zip(sources, targets, strict=True):
            self.ids_of[target] = list(self.ids_of[source])

    def release(self, sessions: Iterable[int]) -> None:
        """Forget sessions; the last row moves into each gap."""
        for session in sessions:
            row = self.row_of.pop(session, None)
            if row is None:
                continue
            last = len(self.session_of) - 1
            if row != last:
                self.copy([last], [row])
                self.session_of[row] = self.session_of[last]
                self.row_of[self.session_of[row]] = row
            self.session_of.pop()
            self.ids_of.pop()


class RaggedView:
    """The rows of one forward pass; stands where transformers expects a cache."""

    def __init__(
        self,
        cache: RaggedCache,
        rows_B: Sequence[int],
        starts_B: Sequence[int],
        widths_B: Sequence[int],
    ) -> None:
        """View `rows_B`, whose new tokens go to positions starts_B ... starts_B + widths_B - 1."""
        self.cache = cache
        device = cache.keys_LRHSD[0].device
        index_B, first_B, width_B = torch.tensor([rows_B, starts_B, widths_B], device=device)
        self.width = max(widths_B)  # T
        self.span = max(start + width for start, width in zip(starts_B, widths_B, strict=True))
        if self.width == 1:  # decoding: nothing is padded
            self.positions_BT = first_B[:, None]
            self.batch_N = self.last_N = torch.arange(len(rows_B), device=device)
            self.step_N = torch.zeros_like(self.batch_N)
            self.position_N, row_N = first_B, index_B
        else:
            steps_T = torch.arange(self.width, device=device)
            self.positions_BT = first_B[:, None] + steps_T
            self.batch_N, self.step_N = (steps_T < width_B[:, None]).nonzero(as_tuple=True)
            self.position_N = self.positions_BT[self.batch_N, self.step_N]
            row_N = index_B[self.batch_N]
            self.last_N = width_B.cumsum(0) - 1  # of each row, which of the N is its last token
            # Padded queries look at what the last real one sees; nobody reads their output.
            last_B = first_B + width_B - 1
            self.positions_BT = torch.minimum(self.positions_BT, last_B[:, None])
        contiguous = list(rows_B) == list(range(rows_B[0], rows_B[0] + len(rows_B)))
        self.rows: slice | Tensor = (
            slice(rows_B[0], rows_B[0] + len(rows_B)) if contiguous else index_B
        )
        _, heads, room, _ = cache.keys_LRHSD[0].shape
        slot_NH = (row_N[:, None] * heads + torch.arange(heads, device=device)) * room
        self._slots = (slot_NH + self.position_N[:, None]).flatten()

    def additive_mask(self, dtype: torch.dtype) -> Tensor:
        """Return the attention mask as (B, 1, T, S) numbers to add to the scores."""
        positions_BT = self.positions_BT
        hidden_BTS = torch.arange(self.span, device=positions_BT.device) > positions_BT[:, :, None]
        mask = torch.zeros(hidden_BTS.shape, dtype=dtype, device=positions_BT.device)
        return mask.masked_fill_(hidden_BTS, torch.finfo(dtype).min)[:, None]

    def store(self, keys_NHD: Tensor, values_NHD: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Store the new keys and values and return all of the rows, (B, H, S, D) each."""
        found = []
        for tensors, new_NHD in (
            (self.cache.keys_LRHSD, keys_NHD),
            (self.cache.values_LRHSD, values_NHD),
        ):
            size = new_NHD.shape[-1]
            flat = tensors[layer].view(-1, size)
            flat.index_copy_(0, self._slots, new_NHD.reshape(-1, size))
            found.append(tensors[layer][self.rows, :, : self.span])
        return found[0], found[1]

    def update(
        self, keys_BHTD: Tensor, values_BHTD: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Do the same for padded keys and values: what a layer of transformers calls."""
        keys, values = keys_BHTD.transpose(1, 2), values_BHTD.transpose(1, 2)
        at = (self.batch_N, self.step_N)
        return self.store(keys[at], values[at], layer_idx)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Part of what transformers asks of a cache; positions are given explicitly anyway."""
        return 0


class ModuleForward:
    """The forward pass by the model's own modules, with explicit mask and positions."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, ids_N: Tensor, view: RaggedView) -> Tensor:
        """Return the hidden states (N, E) of the new tokens, and cache their keys and values."""
        ids_BT = ids_N.new_zeros(view.positions_BT.shape)
        ids_BT[view.batch_N, view.step_N] = ids_N
        hidden_BTE: Tensor = self._model.base_model(
            input_ids=ids_BT,
            attention_mask=view.additive_mask(self._model.dtype),
            position_ids=view.positions_BT,
            past_key_values=view,
            use_cache=True,
        ).last_hidden_state
        return hidden_BTE[view.batch_N, view.step_N]


class RaggedDecoder:
    """Computes logits for batches of sessions, and keeps what it computed from turn to turn."""

    def __init__(self, model: Any, forward: Forward, *, prefill_tokens: int) -> None:
        self._model, self._forward = model, forward
        self._prefill_tokens = prefill_tokens
        config = model.config
        self.cache = RaggedCache(
            config.num_hidden_layers,
            config.num_key_value_heads,
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            device=model.device,
            dtype=model.dtype,
        )
        self._rows_B: list[int] = []
        self._lengths_B: list[int] = []

    def order(self, requests: Sequence[SampleRequest]) -> list[int]:
        """Return the places of the requests in row order: all live sessions are then a view."""
        self.release(request.session for request in requests if request.fresh)
        rows = [self.cache.row(request.session) for request in requests]
        return sorted(range(len(rows)), key=rows.__getitem__)

    def prefill(self, requests: Sequence[SampleRequest], room: int) -> Tensor:
        """Compute what is new of each prompt; return the logits (B, V) after its last token.

        Args:
            requests: in the order of `order`.
            room: the most tokens that one of them may sample.
        """
        cache = self.cache
        contexts = [request.context_ids for request in requests]
        rows = self._rows_B = [cache.row_of[request.session] for request in requests]
        self._lengths_B = [len(ids) for ids in contexts]
        cache.reserve(1 + max(self._lengths_B) + room)
        starts = [cache.matching(row, ids) for row, ids in zip(rows, contexts, strict=True)]
        # Members of a group begin with the same prompt: it is computed once and copied.
        leader: dict[tuple[int, ...], int] = {}
        leads = list(range(len(rows)))
        for place, (start, ids) in enumerate(zip(starts, contexts, strict=True)):
            if start == 0:
                leads[place] = leader.setdefault(tuple(ids), place)
        unique = [place for place, lead in enumerate(leads) if lead == place]
        copies = [place for place, lead in enumerate(leads) if lead != place]
        width = max(len(contexts[place]) - starts[place] for place in unique)
        chunk = max(1, self._prefill_tokens // width)
        parts = []
        for i in range(0, len(unique), chunk):
            places = unique[i : i + chunk]
            new = [list(contexts[p][starts[p] :]) for p in places]
            parts.append(self._logits([rows[p] for p in places], new, [starts[p] for p in places]))
            for place, ids in zip(places, new, strict=True):
                cache.ids_of[rows[place]] += ids
        logits_BV = parts[0] if len(parts) == 1 else torch.cat(parts)
        if copies:
            cache.copy([rows[leads[p]] for p in copies], [rows[p] for p in copies])
            where = {place: i for i, place in enumerate(unique)}
            logits_BV = logits_BV[[where[lead] for lead in leads]]
        return logits_BV

    def step(self, places: Sequence[int], ids: Sequence[int], ages: Sequence[int]) -> Tensor:
        """Return the logits (B, V) after one more token of some rows of the last prefill.

        Args:
            places: which of its rows.
            ids: the last token that each has sampled.
            ages: how many tokens each has sampled before that one.
        """
        return self._logits(
            [self._rows_B[place] for place in places],
            [[token] for token in ids],
            [self._lengths_B[p] + age for p, age in zip(places, ages, strict=True)],
        )

    def keep(self, place: int, ids: Sequence[int]) -> None:
        """Count tokens as cached that a row of the last prefill has computed since."""
        self.cache.ids_of[self._rows_B[place]] += ids

    def release(self, sessions: Iterable[int]) -> None:
        """Forget sessions."""
        self.cache.release(sessions)

    def forget(self) -> None:
        """Forget all sessions."""
        self.cache.forget()

    def clear(self) -> None:
        """Forget all sessions and give the memory back."""
        self.cache.clear()

    def _logits(
        self, rows_B: list[int], ids_B: Sequence[Sequence[int]], starts_B: list[int]
    ) -> Tensor:
        view = RaggedView(self.cache, rows_B, starts_B, [len(ids) for ids in ids_B])
        flat = [token for ids in ids_B for token in ids]
        hidden_NE = self._forward(torch.tensor(flat, device=self._model.device), view)
        logits: Tensor = self._model.get_output_embeddings()(hidden_NE[view.last_N])
        return logits
