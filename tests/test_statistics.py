import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.statistics import bootstrap_mean, paired_difference, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # R. G. Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_values(
    successes: int, n: int, low: float, high: float
) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.01, 0.999))
def test_wilson_is_an_interval_around_the_rate_and_symmetric(a: int, b: int, c: float) -> None:
    low, high = wilson(a, a + b, c)
    assert 0 <= low <= high <= 1
    if a + b:
        assert low <= a / (a + b) <= high
    mirrored = wilson(b, a + b, c)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_wilson_solves_the_score_equation() -> None:
    z = 1.959963984540054
    for end in wilson(7, 30):
        assert abs(7 / 30 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 30))


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(successes, n)


def test_bootstrap_of_a_mean_approaches_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap_mean(values.tolist(), np.random.default_rng(1))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_bootstrap_holds_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        sample = generator.exponential(1.0, size=60)
        low, high = bootstrap_mean(sample.tolist(), generator, confidence=0.8, resamples=300)
        hits += low <= 1 <= high
    assert 0.7 <= hits / 300 <= 0.88


def test_bootstrap_is_the_generators_alone() -> None:
    values = [0.0, 1.0, 1.0, 4.0]
    first = bootstrap_mean(values, np.random.default_rng(5))
    assert bootstrap_mean(values, np.random.default_rng(5)) == first
    assert bootstrap_mean([2.0] * 5, np.random.default_rng(5)) == (2.0, 2.0)


def test_many_values_are_drawn_in_pieces() -> None:
    values = np.random.default_rng(0).random(600_000).tolist()
    low, high = bootstrap_mean(values, np.random.default_rng(1), resamples=30)
    assert low < np.mean(values) < high < low + 0.01


def test_pairs_take_out_what_both_share() -> None:
    generator = np.random.default_rng(3)
    hardness = generator.normal(0, 10, size=100)
    first = hardness + generator.normal(0, 0.1, size=100)
    second = hardness + 0.5 + generator.normal(0, 0.1, size=100)
    mean, (low, high) = paired_difference(first.tolist(), second.tolist(), generator)
    assert low < mean < high
    assert low > 0.4
    assert high < 0.6
    swapped, _ = paired_difference(second.tolist(), first.tolist(), generator)
    assert swapped == pytest.approx(-mean)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0]]])
def test_bootstrap_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least one value|finite"):
        bootstrap_mean(values, np.random.default_rng(0))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="as many: 1 and 2"):
        paired_difference([1], [1, 2], np.random.default_rng(0))
    for confidence in (0, 1, math.nan):
        with pytest.raises(ValueError, match="confidence"):
            wilson(1, 2, confidence)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_mean([1.0], np.random.default_rng(0), resamples=0)
