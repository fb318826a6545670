"""Supervised warm start: imitate an expert, in the very token sequences that rollouts produce."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from agentgym.trainers.config import WarmstartConfig
from agentgym.trainers.learner import dropout_from
from agentgym.trainers.optimizer import Optimizer
from agentgym.trainers.pack import Batch, Row, collate
from agentgym.trainers.score import score


def imitate(
    model: nn.Module,
    rows: Sequence[Row],
    config: WarmstartConfig,
    rng: np.random.Generator,
    on_step: Callable[[int, int, float], None] | None = None,
) -> None:
    """Train a model on demonstrations: the mean negative log-likelihood of the actions' tokens.

    With `observation_weight` w the other tokens count too, with weight w, in numerator and
    denominator. Sequences of similar length share a batch; which ones, and in which order the
    batches come, is drawn anew for every epoch.

    Args:
        model: trained in place.
        rows: of `pack_demonstrations`.
        config: how long and how fast.
        rng: all randomness.
        on_step: told of every step: its number from 1, how many there are, its loss.
    """
    per_epoch = math.ceil(len(rows) / config.batch_size)
    total = per_epoch * config.epochs
    optimizer = Optimizer(model, config.optimizer, total)
    with dropout_from(rng, model):
        for _ in range(config.epochs):
            for batch in _epoch(rows, config.batch_size, rng):
                loss = _loss(model, batch, config.observation_weight)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if on_step:
                    on_step(optimizer.steps, total, loss.item())


def _epoch(rows: Sequence[Row], size: int, rng: np.random.Generator) -> list[list[Row]]:
    """Return the batches of one epoch, each of rows of similar length, in random order."""
    order = rng.permutation(len(rows))
    batches: list[list[Row]] = []
    pool = size * 16  # sorted by length inside: little padding, and still random company
    for start in range(0, len(order), pool):
        near = sorted((rows[i] for i in order[start : start + pool]), key=len)
        batches += [near[i : i + size] for i in range(0, len(near), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _loss(model: nn.Module, rows: Sequence[Row], observation_weight: float) -> torch.Tensor:
    batch = collate(rows)
    if not observation_weight:
        return -score(model, batch).logprobs_BS.sum() / int(batch.mask_BS.sum())
    lengths_B = np.array([len(row) for row in rows])
    real_BS = np.arange(batch.ids_BS.shape[1]) < lengths_B[:, None]
    real_BS[:, 0] = False  # nothing predicts the first token
    everything = Batch(batch.ids_BS, real_BS, batch.logprobs_BS, batch.advantages_BS)
    weights_BS = np.where(batch.mask_BS, 1.0, observation_weight) * real_BS
    logprobs_BS = score(model, everything).logprobs_BS
    weighted = logprobs_BS * torch.from_numpy(weights_BS).to(logprobs_BS)
    return -weighted.sum() / float(weights_BS.sum())
