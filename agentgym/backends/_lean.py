"""A decoder's forward pass without the overhead of its modules, for small fp32 models.

At half a million weights the Python around a transformers layer costs more than its arithmetic.
This computes the same numbers from the same parameters (Llama, Qwen2 and Qwen3 share one shape),
on packed tokens: padding exists only inside attention.

Axes: N new tokens of all rows, one after the other; E hidden, Q query heads, H key-value heads,
D head size; B rows, T new positions of the longest row, S cached positions.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentgym.backends._ragged import RaggedView


class LeanForward:
    """Reads the parameters of a model afresh at every call: training may change them in place."""

    def __init__(self, model: Any, max_context: int) -> None:
        """Take a model for which `why_not` has nothing to say."""
        self._model = model
        config = model.config
        self._head_dim = int(model.model.layers[0].self_attn.head_dim)
        self._heads = int(config.num_attention_heads)
        self._kv_heads = int(config.num_key_value_heads)
        with torch.no_grad():  # the rotary angles of every position, (P, D) each
            positions = torch.arange(max_context, device=model.device)
            cos, sin = model.model.rotary_emb(torch.zeros(1, device=model.device), positions[None])
        half = self._head_dim // 2
        self._cos_PD = cos[0]
        self._sin_PD = torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=-1)
        self.look()

    @staticmethod
    def why_not(model: Any) -> str:
        """Return why a model cannot be computed this way; "" if it can."""
        config = model.config
        if config.model_type not in ("llama", "qwen2", "qwen3"):
            return f"models of type {config.model_type!r} are computed by their own modules"
        if model.dtype != torch.float32:
            return f"only float32, not {model.dtype}"
        if getattr(config, "hidden_act", "silu") != "silu":
            return f"activation {config.hidden_act!r}"
        rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
        if rope and rope.get("rope_type", "default") != "default":
            return f"rotary embedding {rope['rope_type']!r}"
        for module in model.modules():
            if isinstance(module, nn.Linear) and type(module) is not nn.Linear:
                return f"layers of type {type(module).__name__}"
            if module._forward_hooks or module._forward_pre_hooks:
                return "forward hooks"
        return ""

    def look(self) -> None:
        """Find the modules again, which somebody may have exchanged."""
        body = self._model.model
        self._embed, self._last_norm = body.embed_tokens, body.norm
        self._layers = [
            (
                layer.input_layernorm,
                layer.self_attn.q_proj,
                layer.self_attn.k_proj,
                layer.self_attn.v_proj,
                getattr(layer.self_attn, "q_norm", None),
                getattr(layer.self_attn, "k_norm", None),
                layer.self_attn.o_proj,
                layer.post_attention_layernorm,
                layer.mlp.gate_proj,
                layer.mlp.up_proj,
                layer.mlp.down_proj,
            )
            for layer in body.layers
        ]

    def __call__(self, ids_N: Tensor, view: RaggedView) -> Tensor:
        """Return the hidden states (N, E) of the new tokens, and cache their keys and values."""
        x_NE = F.embedding(ids_N, self._embed.weight)
        cos_N1D = self._cos_PD[view.position_N].unsqueeze(1)
        sin_N1D = self._sin_PD[view.position_N].unsqueeze(1)
        mask = view.additive_mask(x_NE.dtype)
        for index, modules in enumerate(self._layers):
            norm1, to_q, to_k, to_v, q_norm, k_norm, to_o, norm2, gate, up, down = modules
            h_NE = _norm(x_NE, norm1)
            q_NQD = self._heads_of(h_NE, to_q, q_norm)
            k_NHD = self._heads_of(h_NE, to_k, k_norm)
            v_NHD = self._heads_of(h_NE, to_v, None)
            q_NQD, k_NHD = _rotate(q_NQD, cos_N1D, sin_N1D), _rotate(k_NHD, cos_N1D, sin_N1D)
            k_BHSD, v_BHSD = view.store(k_NHD, v_NHD, index)
            x_NE = x_NE + _linear(self._attend(q_NQD, k_BHSD, v_BHSD, mask, view), to_o)
            h_NE = _norm(x_NE, norm2)
            gated = F.silu(_linear(h_NE, gate), inplace=True)
            gated *= _linear(h_NE, up)
            x_NE = x_NE + _linear(gated, down)
        return _norm(x_NE, self._last_norm)

    def _heads_of(self, h_NE: Tensor, projection: nn.Linear, norm: Any) -> Tensor:
        heads = _linear(h_NE, projection).view(len(h_NE), -1, self._head_dim)
        return heads if norm is None else _norm(heads, norm)

    def _attend(
        self, q_NQD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, mask_B1TS: Tensor, view: RaggedView
    ) -> Tensor:
        """Return what each new token gathers, (N, Q*D)."""
        rows, width = len(k_BHSD), mask_B1TS.shape[2]
        if width == 1:  # one query per row: the query heads that share keys stand as positions
            q = q_NQD.view(rows, self._kv_heads, -1, self._head_dim)
            o = F.scaled_dot_product_attention(q, k_BHSD, v_BHSD, attn_mask=mask_B1TS)
            return o.reshape(rows, -1)
        q = q_NQD.new_zeros(rows, width, self._heads, self._head_dim)
        q[view.batch_N, view.step_N] = q_NQD
        o = F.scaled_dot_product_attention(
            q.transpose(1, 2), k_BHSD, v_BHSD, attn_mask=mask_B1TS, enable_gqa=True
        )
        return o.transpose(1, 2)[view.batch_N, view.step_N].reshape(len(q_NQD), -1)


def _linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def _norm(x: Tensor, norm: Any) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def _rotate(x_NHD: Tensor, cos_N1D: Tensor, sin_N1D: Tensor) -> Tensor:
    """Apply rotary positions; the sine carries the sign of the half that is swapped in."""
    return torch.addcmul(x_NHD * cos_N1D, x_NHD.roll(x_NHD.shape[-1] // 2, dims=-1), sin_N1D)
