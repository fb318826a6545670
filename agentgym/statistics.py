"""Intervals for what a finite number of episodes can tell."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]
"""The lower and the upper end."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a success rate.

    With p = successes / n and z the normal quantile of (1 + confidence) / 2, its ends are
    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n): E. B. Wilson (1927), Probable inference, the
    law of succession, and statistical inference, JASA 22:209-212; also Brown, Cai, DasGupta
    (2001), Statistical Science 16:101-133, equation 4. It stays within 0 and 1, and has a width
    even where all or none succeeded. Nothing tried (n = 0) gives (0, 1).

    Raises:
        ValueError: successes not between 0 and n, or confidence not between 0 and 1.

    >>> low, high = wilson(81, 263)
    >>> round(low, 4), round(high, 4)
    (0.2553, 0.3662)
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n={n}, got {successes}")
    z = NormalDist().inv_cdf((1 + _checked(confidence)) / 2)
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + half) / scale)
    return low, high


def bootstrap_mean(
    values_N: Sequence[float],
    generator: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Return the percentile bootstrap interval of a mean.

    The ends are the quantiles (1 ∓ confidence) / 2 of the means of `resamples` samples of size N,
    drawn with replacement: B. Efron and R. Tibshirani (1993), An Introduction to the Bootstrap,
    section 13.3. It is too narrow for a small N (by about √((N-1)/N), and more for skewed values).

    Args:
        values_N: the values; where several come from one task, pass one mean per task.
        generator: the source of randomness; equal state, equal interval.
        confidence: how often such an interval is to hold the true mean.
        resamples: samples drawn.

    Raises:
        ValueError: no values, one that is not finite, or a wrong `confidence` or `resamples`.
    """
    values = np.asarray(values_N, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"expected at least one value in one dimension, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("every value must be finite")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    tail = (1 - _checked(confidence)) / 2
    rows = max(1, 2**20 // values.size)  # at most 8 MB at a time
    means = np.concatenate(
        [
            generator.choice(values, size=(min(rows, resamples - done), values.size)).mean(axis=1)
            for done in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def paired_difference(
    first_N: Sequence[float],
    second_N: Sequence[float],
    generator: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> tuple[float, Interval]:
    """Return the mean of second - first over N paired tasks, and its bootstrap interval.

    The pairs are resampled together (Efron and Tibshirani 1993, section 8.3), so what makes a task
    hard for both does not widen the interval. Arguments and errors as for `bootstrap_mean`; both
    must be in the same order of tasks.
    """
    if len(first_N) != len(second_N):
        raise ValueError(f"paired values must be as many: {len(first_N)} and {len(second_N)}")
    difference_N = np.asarray(second_N, dtype=np.float64) - np.asarray(first_N, dtype=np.float64)
    interval = bootstrap_mean(
        difference_N.tolist(), generator, confidence=confidence, resamples=resamples
    )
    return float(difference_N.mean()), interval


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    return confidence
