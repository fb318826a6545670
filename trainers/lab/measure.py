"""How good estimates of a gradient are: bias, noise, and agreement with the exact gradient.

Where all groups are enumerated, a figure is exact. Where they are drawn, it has a bootstrap
interval. Symbols: g the exact gradient, E the expected estimate, v the variance of the estimate of
one group, summed over parameters; |x|^2 the sum of squares.

bias       |E - g| / |g|: 0 is unbiased, 1 is as far off as learning nothing
scale      E.g / |g|^2: how much of the exact gradient is in the estimate
direction  E.g / (|E| |g|): the cosine of the expected estimate; 1 if only its length is off
shares     the scale again, of each state's parameters alone: equal where only the length is off
noise      v / |E|^2: how many groups to average for the noise to be as long as the signal
cosine     the mean cosine of the exact gradient and the estimate of one batch, which is the mean
           over some groups; an estimate of 0 counts as a cosine of 0

Axes: U different groups (or batches), P parameters, R resamples, B batches.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentgym.statistics import Interval, bootstrap_mean
from agentgym.trainers.credit.base import Floats
from agentgym.trainers.lab.estimate import Estimates
from agentgym.trainers.lab.process import Process

BATCHES = 4000
"""How many batches the cosine is a mean over, where groups are enumerated."""

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A number, and its interval unless it is exact."""

    value: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Measures:
    """The figures of one scheme on one process; see the module."""

    bias: Figure
    scale: Figure
    direction: Figure
    shares: dict[str, float]  #: by state; those are left out whose exact gradient is 0
    noise: Figure
    cosine: Figure
    silent: float  #: the share of groups in which every advantage is 0


def measure(
    estimates: Estimates, process: Process, *, batch_size: int, generator: np.random.Generator
) -> Measures:
    """Compare estimates with the exact gradient of the process."""
    exact_P = process.exact_gradient_P
    mean_P = estimates.mean_P
    squares = float(estimates.weights_U @ np.sum((estimates.values_UP - mean_P) ** 2, axis=1))
    if estimates.drawn is None:
        points = _points(mean_P[None], np.array([squares]), exact_P, estimates.groups, 0.0)
        figures = {name: Figure(float(values_R[0])) for name, values_R in points.items()}
    else:
        figures = _with_intervals(estimates, exact_P, mean_P, squares, generator)
    cosines_B = _cosines_B(estimates, exact_P, batch_size, generator)
    return Measures(
        **figures,
        shares=_shares(process, mean_P),
        cosine=Figure(
            float(cosines_B.mean()),
            bootstrap_mean(
                cosines_B.tolist(), generator, confidence=CONFIDENCE, resamples=RESAMPLES
            ),
        ),
        silent=estimates.silent,
    )


def _points(
    mean_RP: Floats, squares_R: Floats, exact_P: Floats, groups: int, excess: float
) -> dict[str, Floats]:
    """Return the figures of several means (R).

    Args:
        mean_RP: the means.
        squares_R: the variances of one estimate, summed over parameters.
        exact_P: the exact gradient.
        groups: how many groups an estimate is made of.
        excess: how many times the variance of a mean is in |mean - exact|^2 by chance; it is
            taken off, so that an unbiased scheme does not look biased.
    """
    length = float(np.linalg.norm(exact_P))
    chance_R = excess * squares_R
    off_R = np.sum((mean_RP - exact_P) ** 2, axis=1) - chance_R
    along_R = mean_RP @ exact_P
    own_R = np.sum(mean_RP**2, axis=1)
    signal_R = np.maximum(own_R - chance_R, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "bias": np.sqrt(np.maximum(off_R, 0.0)) / length,
            "scale": along_R / length**2,
            "direction": np.where(own_R > 0, along_R / (np.sqrt(own_R) * length), 0.0),
            "noise": np.where(signal_R > 0, squares_R * groups / signal_R, np.inf),
        }


def _with_intervals(
    estimates: Estimates,
    exact_P: Floats,
    mean_P: Floats,
    squares: float,
    generator: np.random.Generator,
) -> dict[str, Figure]:
    """Return figures with percentile bootstrap intervals (Efron and Tibshirani 1993, 13.3)."""
    drawn = estimates.drawn or 1
    points = _points(mean_P[None], np.array([squares]), exact_P, estimates.groups, 1 / drawn)
    counts_RU = generator.multinomial(drawn, estimates.weights_U, size=RESAMPLES) / drawn
    mean_RP = counts_RU @ estimates.values_UP
    second_R = counts_RU @ np.sum(estimates.values_UP**2, axis=1)
    squares_R = np.maximum(second_R - np.sum(mean_RP**2, axis=1), 0.0)
    # A resampled mean carries the chance of the sample and that of the resampling.
    again = _points(mean_RP, squares_R, exact_P, estimates.groups, 2 / drawn)
    tail = (1 - CONFIDENCE) / 2
    figures = {}
    for name, values in points.items():
        # Without a signal noise is infinite, and there is nothing between two infinities.
        finite = np.isfinite(again[name]).all()
        method: Literal["linear", "nearest"] = "linear" if finite else "nearest"
        low, high = np.quantile(again[name], [tail, 1 - tail], method=method)
        figures[name] = Figure(float(values[0]), (float(low), float(high)))
    return figures


def _shares(process: Process, mean_P: Floats) -> dict[str, float]:
    exact_P = process.exact_gradient_P
    tiny = 1e-9 * float(exact_P @ exact_P)
    found = {}
    for state, at in process.columns.items():
        length = float(exact_P[at] @ exact_P[at])
        if length > tiny:
            found[state] = float(mean_P[at] @ exact_P[at]) / length
    return found


def _cosines_B(
    estimates: Estimates, exact_P: Floats, batch_size: int, generator: np.random.Generator
) -> Floats:
    """Return the cosine of each of several batches with the exact gradient."""
    values_BP, weights_U = estimates.values_UP, estimates.weights_U
    if estimates.groups == 1:
        if estimates.drawn is None:
            each = generator.choice(
                len(weights_U), size=BATCHES * batch_size, p=weights_U / weights_U.sum()
            )
        else:  # every drawn group once: more batches would only look like more evidence
            counts_U = np.rint(weights_U * estimates.drawn).astype(np.int64)
            each = generator.permutation(np.repeat(np.arange(len(weights_U)), counts_U))
        size = min(batch_size, len(each))
        chosen = each[: len(each) // size * size].reshape(-1, size)
        values_BP = estimates.values_UP[chosen].mean(axis=1)
    lengths_B = np.linalg.norm(values_BP, axis=1)
    along_B = values_BP @ exact_P / float(np.linalg.norm(exact_P))
    out_B = np.zeros(len(values_BP))
    np.divide(along_B, lengths_B, out=out_B, where=lengths_B > 1e-12 * np.abs(exact_P).max())
    return out_B
