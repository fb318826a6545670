"""The learner: the object that trains. The backend samples; in one process they share the weights.

Axes: B rows of a batch, S positions of a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from agentgym.errors import RecordError
from agentgym.trainers.losses.base import Denominators, Loss, LossResult, combine
from agentgym.trainers.optimizer import Optimizer
from agentgym.trainers.pack import Batch, Row, collate, microbatches
from agentgym.trainers.score import score


class Learner:
    """Turns rows with advantages into optimizer steps.

    Attributes:
        model: the policy. reference: a frozen model for the KL term, or None.
        version: optimizer steps that the policy's weights have seen in reinforcement learning.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Loss,
        *,
        temperature: float = 1.0,
        epochs: int = 1,
        minibatches: int = 1,
        minibatch_rows: int | None = None,
        max_tokens: int = 8192,
        reference: nn.Module | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            model: a causal model of `transformers`.
            optimizer: built over the same model.
            loss: what is minimised.
            temperature: that of the rollouts; log-probabilities are taken at it.
            epochs: passes over the rows of one iteration.
            minibatches: optimizer steps per pass.
            minibatch_rows: rows per step, about; takes the place of `minibatches`.
            max_tokens: positions per forward pass (memory, not meaning: gradients are the same).
            reference: what the KL term pulls towards; needed if the loss uses one.
        """
        self.model, self.optimizer, self.loss, self.reference = model, optimizer, loss, reference
        self.temperature, self.epochs, self.minibatches = temperature, epochs, minibatches
        self.minibatch_rows, self.max_tokens = minibatch_rows, max_tokens
        self.version = 0
        if "ref_logprobs" in loss.needs and reference is None:
            raise ValueError("this loss has a KL term and needs a reference model")

    def update(self, rows: Sequence[Row], rng: np.random.Generator) -> dict[str, float]:
        """Train on the rows of one iteration and return what to log.

        Metrics: those of the loss (means over optimizer steps), `grad_norm`, `lr`, `gap_mean` and
        `gap_max` (difference between the backend's and this model's log-probabilities before the
        first step), `silent_rows` (share of rows without any advantage).

        Raises:
            TooManyBadSteps: gradients were not finite again and again.
        """
        skipped, logged = self.optimizer.skipped, Mean()
        gaps: list[float] = []
        lr = self.optimizer.lr
        parts = self.minibatches
        if self.minibatch_rows is not None:
            parts = max(1, round(len(rows) / self.minibatch_rows))
        with dropout_from(rng, self.model):
            for part in shuffled(len(rows), parts, self.epochs, rng):
                self._step([rows[i] for i in part], logged, None if gaps else gaps)
        return {
            **logged.means(),
            "lr": lr,
            "gap_mean": float(np.mean(gaps)) if gaps else 0.0,
            "gap_max": float(np.max(gaps)) if gaps else 0.0,
            "silent_rows": float(np.mean([row.silent for row in rows])) if rows else 0.0,
            "bad_steps": float(self.optimizer.skipped - skipped),
        }

    def _step(self, rows: Sequence[Row], logged: "Mean", gaps: list[float] | None) -> None:
        """Accumulate the gradient of one minibatch and step.

        The denominators are those of the whole minibatch, so micro-batches add up to one big batch.
        """
        # Without a KL term or an entropy bonus, rows without advantages have no gradient.
        heard = rows if self.loss.needs else [row for row in rows if not row.silent]
        total = Denominators(
            tokens=sum(row.tokens for row in rows),
            sequences=len(rows),
            seen=sum(row.tokens for row in heard),
        )
        results: list[LossResult] = []
        for part in microbatches(heard, self.max_tokens):
            batch = collate(part)
            scored = score(
                self.model,
                batch,
                temperature=self.temperature,
                entropy="differentiable" if "entropy" in self.loss.needs else "logged",
            )
            old_BS, advantages_BS, mask_BS = (
                torch.from_numpy(a).to(scored.logprobs_BS.device)
                for a in (batch.logprobs_BS, batch.advantages_BS, batch.mask_BS)
            )
            result = self.loss(
                scored.logprobs_BS,
                old_BS,
                advantages_BS,
                mask_BS,
                denominators=total,
                ref_logprobs_BS=self._reference_logprobs(batch),
                entropy_BS=scored.entropy_BS,
            )
            result.loss.backward()  # type: ignore[no-untyped-call]
            results.append(result)
            if gaps is not None:
                gaps.extend((scored.logprobs_BS.detach() - old_BS).abs()[mask_BS].tolist())
        norm = self.optimizer.step()
        self.version += 1
        logged.add({**combine(results), "grad_norm": norm})

    @torch.no_grad()
    def _reference_logprobs(self, batch: Batch) -> Tensor | None:
        if self.reference is None:
            return None
        return score(self.reference, batch, temperature=self.temperature).logprobs_BS

    # To and from a checkpoint ------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything large that the next step depends on: weights and moments."""
        weights = {f"model/{name}": p.detach() for name, p in self.model.named_parameters()}
        moments = {f"optimizer/{name}": t for name, t in self.optimizer.tensors().items()}
        return weights | moments

    def counters(self) -> dict[str, int]:
        """Return everything small that the next step depends on."""
        return {"version": self.version, **self.optimizer.counters()}

    def load(self, tensors: Mapping[str, Tensor], counters: Mapping[str, int]) -> None:
        """Take back what `tensors` and `counters` returned.

        Raises:
            RecordError: it belongs to another model.
        """
        load_weights(self.model, under("model/", tensors))
        self.optimizer.load(under("optimizer/", tensors), counters)
        self.version = counters["version"]


def shuffled(rows: int, parts: int, epochs: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield which rows each optimizer step learns from: `parts` steps in each of the epochs."""
    for _ in range(epochs):
        # One minibatch keeps the order: its gradient is a sum.
        order = np.arange(rows) if parts == 1 else rng.permutation(rows)
        yield from (part.tolist() for part in np.array_split(order, parts) if len(part))


@contextmanager
def dropout_from(rng: np.random.Generator, model: nn.Module) -> Iterator[None]:
    """Train with dropout (where a model has any) drawn from `rng` instead of torch's own state."""
    devices = {p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)):
        torch.manual_seed(int(rng.integers(2**62)))
        model.train()
        try:
            yield
        finally:
            model.eval()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model, in place, so that whoever shares it sees them.

    Raises:
        RecordError: names or shapes differ from the model's.
    """
    own = dict(model.named_parameters())
    if odd := sorted(own.keys() ^ weights.keys()):
        raise RecordError(f"the saved weights and the model differ in {odd[0]!r}")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != weights[name].shape:
                raise RecordError(
                    f"the saved weight {name!r} has shape {tuple(weights[name].shape)}, "
                    f"the model's {tuple(parameter.shape)}"
                )
            parameter.copy_(weights[name])


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


class Mean:
    """Means of metrics over the optimizer steps that have them."""

    def __init__(self) -> None:
        """Begin without any."""
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Take in the metrics of one step."""
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value
            self.counts[key] = self.counts.get(key, 0) + 1

    def means(self) -> dict[str, float]:
        """Return their means."""
        return {key: total / self.counts[key] for key, total in self.sums.items()}
