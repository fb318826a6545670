"""Sums of schemes, from texts, tables and schemes, and what is said about a text that is none."""

from typing import Any

import numpy as np
import pytest

from agentgym.config import build
from agentgym.errors import ConfigError, UnknownName
from agentgym.trainers.credit.base import Advantages, problems
from agentgym.trainers.credit.combine import Combine, Term, make_scheme
from agentgym.trainers.credit.common import example
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.types import Group

GROUP = example([[0, 1], [0, 0, 0]], [["hall", "kitchen"], ["hall", "bath", "kitchen"]], tokens=2)


def flat(advantages: Advantages) -> list[float]:
    return [float(v) for member in advantages for turn in member for call in turn for v in call]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("gigpo", None),
        (" gigpo ( ) ", None),
        ("1*gigpo", None),
        ("2*gigpo", [(2.0, GiGPO())]),
        (".5 *gigpo", [(0.5, GiGPO())]),
        ("0.5*gigpo + igpo", [(0.5, GiGPO()), (1.0, IGPO())]),
        ("-grpo+1e-2 * gigpo(gamma=0.5)", [(-1.0, GRPO()), (0.01, GiGPO(gamma=0.5))]),
        (
            "gigpo(gamma=0.5, scale='none') - 3 * grpo(std=false)",
            [(1.0, GiGPO(gamma=0.5, scale="none")), (-3.0, GRPO(std=False))],
        ),
        (
            "agentgym.trainers.credit.grpo:GRPO(std=false) + rloo",
            None,
        ),
    ],
)
def test_texts_that_mean_a_scheme(text: str, terms: Any) -> None:
    made = make_scheme(text)
    if terms is not None:
        assert made == Combine(tuple(Term(scheme, weight) for weight, scheme in terms))
    elif "+" not in text:
        assert made == GiGPO()
    assert make_scheme(text) == made
    assert hash(make_scheme(text)) == hash(made)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("0.5*gigppo + igpo", UnknownName, "did you mean 'gigpo'"),
        ("gigpo(gama=0.9) + igpo", UnknownName, "did you mean 'credit.gamma'"),
        ("gigpo(gamma=2) + igpo", ConfigError, "gamma"),
        ("gigpo(gamma=) + igpo", ConfigError, "must be of the form gamma=0.9"),
        ("gigpo(gamma=0.9 + igpo", ConfigError, "is not closed"),
        ("gigpo(gamma=0.9} + igpo", ConfigError, "is not closed"),
        ("gigpo igpo", ConfigError, r"expected \+ or - at 'igpo'"),
        ("gigpo ++ igpo", ConfigError, r"expected a scheme's name at '\+ igpo'"),
        ("gigpo +", ConfigError, "expected a scheme's name at its end"),
        ("0.5 + gigpo", ConfigError, "expected a scheme's name at '0.5"),
        ("gigpo*0.5", ConfigError, r"expected \+ or - at '\*0.5'"),
        ("", UnknownName, "no credit scheme ''"),
        ("1e99*gigpo", ConfigError, "weight"),
    ],
)
def test_texts_that_mean_nothing(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_scheme(text)


def test_the_same_in_toml() -> None:
    table = {
        "terms": [
            {"name": "gigpo", "weight": 0.5, "gamma": 0.9},
            "igpo",
            {"name": "grpo", "std": False},
        ]
    }
    made = build(Combine, table, where="credit")
    assert made == make_scheme("0.5*gigpo(gamma=0.9) + igpo + grpo(std=false)")
    assert build(Combine, {"terms": "0.5*gigpo + igpo"}, where="credit") == make_scheme(
        "0.5*gigpo + igpo"
    )
    for terms, words in [
        ([], "must be a text such as"),
        ([{"weight": 2}], r"credit.terms\[0\]: a scheme's table needs its name"),
        (["grpo", {"name": "gigpo", "omga": 1}], r"credit.terms\[1\].*omega"),
        ([{"name": "gigpo", "weight": "x"}], "weight must be a number"),
        (3, "must be a text such as"),
    ]:
        with pytest.raises((ConfigError, UnknownName), match=words):
            build(Combine, {"terms": terms}, where="credit")


def test_parameters_beside_a_sum_are_refused() -> None:
    assert make_scheme("gigpo", {"gamma": 0.5}) == GiGPO(gamma=0.5)
    with pytest.raises(ConfigError, match="gamma beside 'gigpo \\+ igpo' could mean any"):
        make_scheme("gigpo + igpo", {"gamma": 0.5})
    with pytest.raises(ConfigError, match="is no credit scheme"):
        make_scheme(3)  # type: ignore[arg-type]


def test_a_sum_adds_up() -> None:
    both = Combine("0.5*gigpo(omega=0.0) + 0.5*gigpo(omega=1.0)")
    np.testing.assert_allclose(flat(both(GROUP)), flat(GiGPO(omega=0.5)(GROUP)), rtol=1e-12)
    assert both.needs == {"state_key"}
    assert problems(GROUP, both(GROUP)) == []
    assert both(GROUP).report == GiGPO()(GROUP).report


def test_terms_that_cancel_leave_no_signal() -> None:
    nothing = Combine("grpo - grpo")(GROUP)
    assert not any(flat(nothing))
    assert nothing.report.zero_signal_groups == 1
    assert GRPO()(GROUP).report.zero_signal_groups == 0


class Short:
    """A scheme that forgets tokens."""

    needs: frozenset[str] = frozenset()

    def __call__(self, group: Group) -> Advantages:
        short = tuple(
            tuple(tuple(v[:1] for v in turn) for turn in member) for member in GRPO()(group)
        )
        return Advantages(short)


def test_a_term_of_another_shape_is_not_stretched() -> None:
    with pytest.raises(ValueError, match="were sampled, but a term gave"):
        Combine([GRPO(), Short()])(GROUP)
