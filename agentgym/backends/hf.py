"""The embedded backend: a Hugging Face decoder in this process, sampling many sessions in lockstep.

The key-value cache is kept from turn to turn, so a turn costs its new tokens and nothing else.
"""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from agentgym.backends._lean import LeanForward
from agentgym.backends._ragged import Forward, ModuleForward, RaggedDecoder
from agentgym.backends._whole import WholePromptDecoder
from agentgym.backends.base import Sample, SampleRequest
from agentgym.errors import ConfigError, EpisodeFailure, UserError

__all__ = ["HFBackend"]

_Decoder = RaggedDecoder | WholePromptDecoder


class HFBackend:
    """Samples from a Hugging Face decoder in this process.

    Each sample's randomness comes from its request's seed alone (one uniform number per token,
    mapped through the inverse of the cumulative distribution), so what else is in the batch changes
    a sample only through rounding.

    Attributes:
        model: the module; a learner in the same process may train this very object.
        tokenizer: its tokenizer, which `Renderer` takes.
        policy_version: set by the learner after each update; what was cached before is forgotten.
        max_context: tokens of prompt and sample together.
        computes: how logits are computed: "lean" (small fp32 models, without module overhead),
            "ragged" (the model's modules over the ragged cache), or "whole" (every prompt anew).
        computes_why: why not a faster way.
    """

    model: Any
    tokenizer: Any
    policy_version: int
    max_context: int
    computes: str
    computes_why: str

    def __init__(
        self,
        model: str | Path | torch.nn.Module,
        tokenizer: Any = None,
        *,
        device: str = "cpu",
        dtype: str = "auto",
        max_context: int | None = None,
        compute: str = "auto",
        prefill_tokens: int = 16384,
    ) -> None:
        """Load or take over a model.

        Args:
            model: a folder or hub name in Hugging Face format, or a model that is already loaded.
            tokenizer: needed with a loaded model; otherwise loaded from the same place.
            device: "cpu", "cuda", "cuda:1", ...; a loaded model is moved there.
            dtype: "auto" (as stored), "float32", "bfloat16" or "float16".
            max_context: at most this many tokens of prompt and sample; default: the model's own.
            compute: "auto" takes the first of "lean", "ragged", "whole" (see `computes`) that fits
                the model and agrees with its own logits; or one of these by name.
            prefill_tokens: padded prompt tokens in one forward pass, which bounds its memory.

        Raises:
            ConfigError: no such folder, no tokenizer, an unknown device or dtype, or a way of
                computing that does not fit the model.
        """
        if isinstance(model, str | Path):
            tokenizer = tokenizer or _load(AutoTokenizer, model)
            loaded = _load(AutoModelForCausalLM, model, dtype=_dtype(dtype))
            _align(loaded)
        elif tokenizer is None:
            raise ConfigError("HFBackend needs the tokenizer of a model that is already loaded")
        else:
            loaded = model if dtype == "auto" else model.to(_dtype(dtype))
        try:
            self.device = torch.device(device)
            self.model = loaded.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device {device!r} cannot be used: {error}") from error
        self.tokenizer = tokenizer
        self.policy_version = 0
        config: Any = self.model.config
        self.max_context = max_context or int(config.max_position_embeddings)
        self._prefill_tokens = prefill_tokens
        self._cached_version = 0
        self._decode_short = functools.lru_cache(maxsize=16384)(self._decode)
        self._decoder = self._choose_decoder(compute)

    # The protocol ----------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        """Answer each request, in order. A prompt that leaves no room is answered by a failure.

        Raises:
            UserError: two requests extend the same session.
        """
        if len({request.session for request in requests}) < len(requests):
            raise UserError("two requests of one batch extend the same session")
        if self._cached_version != self.policy_version:
            self._decoder.forget()
            self._cached_version = self.policy_version
            self._look_again()
        answers: list[Sample | EpisodeFailure | None] = [
            None if self._room(request) > 0 else self._refusal(request) for request in requests
        ]
        places = [place for place, refused in enumerate(answers) if refused is None]
        if places:
            # The lean way knows no dropout; walking through all modules twice is not free.
            training = self.model.training and self.computes != "lean"
            if training:
                self.model.eval()
            try:
                samples = self._sample([requests[place] for place in places])
            except BaseException:
                self._decoder.forget()  # what it counts as computed may not be
                raise
            finally:
                if training:
                    self.model.train()
            for place, sample in zip(places, samples, strict=True):
                answers[place] = sample
        return [answer for answer in answers if answer is not None]

    @torch.inference_mode()
    def release(self, sessions: Iterable[int]) -> None:
        """Forget sessions; unknown ones are ignored."""
        self._decoder.release(sessions)

    def close(self) -> None:
        """Give the cache back; the model stays with whoever else holds it."""
        self._decoder.clear()

    # ------------------------------------------------------------------------------------------

    def _room(self, request: SampleRequest) -> int:
        """Return how many tokens may be sampled."""
        if not request.context_ids:
            return 0
        return min(request.max_tokens, self.max_context - len(request.context_ids))

    def _refusal(self, request: SampleRequest) -> EpisodeFailure:
        return EpisodeFailure(
            "backend",
            f"a prompt of {len(request.context_ids)} tokens and max_tokens={request.max_tokens} "
            f"leave nothing to sample in a context of {self.max_context}",
        )

    def _sample(self, requests: Sequence[SampleRequest]) -> list[Sample]:
        """Prefill what is new of each prompt, then decode all together until each has stopped."""
        order = self._decoder.order(requests)
        batch = [requests[place] for place in order]
        limits_B = [self._room(request) for request in batch]
        stops_B = [frozenset(request.stop_ids) for request in batch]
        temperatures_B = torch.tensor([r.temperature for r in batch], device=self.device)
        uniforms_BT = _uniforms(batch, max(limits_B), self.device)
        logits_BV = self._decoder.prefill(batch, max(limits_B))
        ids_BT: list[list[int]] = [[] for _ in batch]
        logprobs_BT: list[list[float]] = [[] for _ in batch]
        places = list(range(len(batch)))  # the rows that are computed
        running = set(places)  # those that still sample
        for step in range(max(limits_B)):
            tokens_B, values_B = draw(logits_BV, temperatures_B, uniforms_BT[:, step])
            for place, token, value in zip(
                places, tokens_B.tolist(), values_B.tolist(), strict=True
            ):
                if place in running:
                    ids_BT[place].append(token)
                    logprobs_BT[place].append(value)
                    if token in stops_B[place] or step + 1 == limits_B[place]:
                        running.remove(place)
            if not running:
                break
            if 2 * len(running) <= len(places):  # from here on without the rows that are over
                kept = [i for i, place in enumerate(places) if place in running]
                places = [places[i] for i in kept]
                temperatures_B, uniforms_BT = temperatures_B[kept], uniforms_BT[kept]
            logits_BV = self._decoder.step(
                places, [ids_BT[p][-1] for p in places], [len(ids_BT[p]) - 1 for p in places]
            )
        samples: list[Sample | None] = [None] * len(batch)
        for place, (ids, values) in enumerate(zip(ids_BT, logprobs_BT, strict=True)):
            self._decoder.keep(place, ids[:-1])  # the last one was never computed
            stopped = ids[-1] in stops_B[place]
            samples[order[place]] = Sample(
                ids=tuple(ids),
                logprobs=tuple(values),
                text=self._text(ids[:-1] if stopped else ids),
                finish="stop" if stopped else "length",
                policy_version=self.policy_version,
            )
        return [sample for sample in samples if sample is not None]

    def _text(self, ids: list[int]) -> str:
        """Return the text of a sample; short ones are commands, which come again and again."""
        return (self._decode_short if len(ids) <= 16 else self._decode)(tuple(ids))

    def _decode(self, ids: tuple[int, ...]) -> str:
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        if fast is not None and not getattr(self.tokenizer, "clean_up_tokenization_spaces", True):
            text: str = fast.decode(list(ids), skip_special_tokens=True)  # 20 times as fast
            return text
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _choose_decoder(self, wanted: str) -> _Decoder:
        """Return the fastest way to compute this model that agrees with the model itself."""
        if wanted not in ("auto", "lean", "ragged", "whole"):
            raise ConfigError(f"compute must be auto, lean, ragged or whole, got {wanted!r}")
        why: list[str] = []
        for name, make in (("lean", self._lean), ("ragged", self._ragged)):
            if wanted not in ("auto", name):
                continue
            decoder = make()
            problem = decoder if isinstance(decoder, str) else self._disagreement(decoder)
            if not problem and not isinstance(decoder, str):
                self.computes, self.computes_why = name, "; ".join(why)
                return decoder
            why.append(f"not {name}: {problem}")
        self.computes, self.computes_why = "whole", "; ".join(why)
        if wanted in ("lean", "ragged"):
            raise ConfigError(f"this model cannot be computed that way: {self.computes_why}")
        return WholePromptDecoder(self.model)

    def _look_again(self) -> None:
        """Notice modules that were exchanged with the weights (an adapter in a layer's place)."""
        if self.computes != "lean":
            return
        if LeanForward.why_not(self.model):
            self._decoder = self._choose_decoder("auto")
        else:
            self._forward.look()

    def _lean(self) -> RaggedDecoder | str:
        problem = LeanForward.why_not(self.model) or self._ragged_problem()
        if problem:
            return problem
        self._forward = LeanForward(self.model, self.max_context)
        return self._over(self._forward)

    def _ragged(self) -> RaggedDecoder | str:
        return self._ragged_problem() or self._over(ModuleForward(self.model))

    def _over(self, forward: Forward) -> RaggedDecoder:
        return RaggedDecoder(self.model, forward, prefill_tokens=self._prefill_tokens)

    def _ragged_problem(self) -> str:
        config = self.model.config
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            return f"its layers are {', '.join(sorted(kinds))}"
        if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
            return "its attention has a sliding window"
        if not hasattr(config, "num_key_value_heads"):
            return "its configuration does not tell its key-value heads"
        return ""

    @torch.inference_mode()
    def _disagreement(self, decoder: RaggedDecoder) -> str:
        """Return how a decoder differs from the model on two short prompts and a turn more."""
        was_training = self.model.training
        self.model.eval()
        size = self.model.config.vocab_size
        prompts = [[(7 * i + row) % size for i in range(3 + 2 * row)] for row in range(2)]
        try:
            for turn in range(2):
                requests = [_probe(row, ids, fresh=turn == 0) for row, ids in enumerate(prompts)]
                decoder.order(requests)
                got_BV = decoder.prefill(requests, 1)
                for row, ids in enumerate(prompts):
                    want_V = self.model(torch.tensor([ids], device=self.device)).logits[0, -1]
                    off = float((got_BV[row] - want_V).abs().max() / want_V.abs().max().clamp(1e-3))
                    if not off < (1e-3 if self.model.dtype == torch.float32 else 0.1):
                        return f"its logits are off by {off:.1%}"
                    ids += [(11 * i + turn) % size for i in range(1 + row)]
        except Exception as error:  # whatever a model raises that does not fit
            return f"{type(error).__name__}: {error}"
        finally:
            decoder.clear()
            self.model.train(was_training)
        return ""


def _probe(session: int, ids: list[int], *, fresh: bool) -> SampleRequest:
    return SampleRequest(session, "probe", tuple(ids), tuple(ids), fresh, (), 1, 0.0, (), 0)


def draw(logits_BV: Tensor, temperatures_B: Tensor, uniforms_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return one token per row and its log-probability in nats, (B,) each.

    Row b takes the first token whose cumulative probability at its temperature exceeds
    uniforms_B[b]. Temperature 0 takes the most probable token and gives its log-probability at
    temperature 1.
    """
    greedy_B = temperatures_B <= 0
    scale_B = torch.where(greedy_B, torch.ones_like(temperatures_B), temperatures_B)
    logprobs_BV = torch.log_softmax(logits_BV.float() / scale_B[:, None], dim=-1)
    cumulative_BV = logprobs_BV.double().exp().cumsum(dim=-1)
    targets_B1 = uniforms_B[:, None] * cumulative_BV[:, -1:]
    tokens_B = torch.searchsorted(cumulative_BV, targets_B1, right=True)[:, 0]
    tokens_B = tokens_B.clamp_(max=logits_BV.shape[-1] - 1)
    tokens_B = torch.where(greedy_B, logprobs_BV.argmax(dim=-1), tokens_B)
    return tokens_B, logprobs_BV.gather(1, tokens_B[:, None])[:, 0]


def _uniforms(batch: Sequence[SampleRequest], width: int, device: torch.device) -> Tensor:
    """Return uniform numbers in [0, 1), (B, T), each row drawn from its request's seed."""
    rows = [np.random.Generator(np.random.Philox(key=r.seed)).random(width) for r in batch]
    return torch.from_numpy(np.stack(rows)).to(device)


def _align(model: torch.nn.Module) -> None:
    """Move weights off odd addresses in a mapped file: kernels round differently there."""
    for parameter in model.parameters():
        if parameter.data_ptr() % 64:
            parameter.data = parameter.data.clone()


def _dtype(name: str) -> Any:
    if name == "auto":
        return "auto"
    if name not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"dtype must be auto, float32, bfloat16 or float16, got {name!r}")
    return getattr(torch, name)


def _load(cls: Any, source: str | Path, **options: object) -> Any:
    """Load from a folder or a hub name without drawing progress bars."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        return cls.from_pretrained(str(source), **options)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no model can be loaded from {str(source)!r}: {error}; give a folder that holds "
            "config.json, or make one with: agentgym new policy"
        ) from error
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
