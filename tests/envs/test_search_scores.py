"""How answers are scored: against values worked out by hand from the papers' definition."""

import re

import golden_cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.envs.search.scores import SCORES, best, exact_match, f1, f1_of_sets, normalise


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The Beatles", "beatles"),
        ("an  apple,\ta day", "apple day"),
        ("U.S.A.", "usa"),
        ("Spider-Man", "spiderman"),
        ("theatre", "theatre"),
        ("Élan «vital»", "élan «vital»"),  # punctuation is ASCII's, as in the papers' scripts
        ("", ""),
        ("The", "the"),  # here the papers have nothing left
        ("!?", "!?"),
    ],
)
def test_normalise(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


@pytest.mark.parametrize(
    ("said", "gold", "exact", "overlap", "of_sets"),
    [
        ("Paris", "Paris", 1, 1, 1),
        ("  the PARIS. ", "Paris", 1, 1, 2 / 3),
        ("Paris, France", "Paris", 0, 2 / 3, 2 / 3),
        ("France", "Paris", 0, 0, 0),
        ("the cat sat on the mat", "a cat on a mat", 0, 6 / 7, 2 / 3),
        ("New York, New York", "New York", 0, 2 / 3, 1),
        ("yes", "yes", 1, 1, 1),
        ("yes it is", "yes", 0, 0, 1 / 2),  # HotpotQA: a verdict is all or nothing
        ("no", "no man", 0, 0, 2 / 3),
        ("", "Paris", 0, 0, 0),
        ("", "The", 0, 0, 0),
        ("a", "The", 0, 0, 0),
        ("   ", "   ", 0, 0, 0),
    ],
)
def test_known_values(said: str, gold: str, exact: float, overlap: float, of_sets: float) -> None:
    assert exact_match(said, gold) == exact
    assert f1(said, gold) == pytest.approx(overlap)
    assert f1_of_sets(said, gold) == pytest.approx(of_sets)


def test_the_best_of_several_answers_counts() -> None:
    assert best(f1, "Kyiv", ("Kiev, Ukraine", "Kyiv", "Kyiv city")) == 1.0
    assert best(exact_match, "Kyiv", ("Kiev", "Odesa")) == 0.0


@pytest.mark.parametrize("case", [c for c in golden_cases.cases("igpo_reward") if c["fn"] == "f1"])
def test_answers_are_scored_as_in_igpo(case: golden_cases.Case) -> None:
    """Where the form is right. A wrong form is `format_outcome` of the scheme igpo: -2 there."""
    given, scored = case["inputs"], case["outputs"]["score"]
    form = re.fullmatch(r"<think>(.*)</think><answer>(.*?)</answer>.*", given["solution"])
    if form is None:
        assert scored == {"f1": -2.0, "em": -2.0, "noformatf1": 0.0}[given["val_type"]]
        return
    golds = given["ground_truth"].split("<|answer_split|>")
    score = exact_match if given["val_type"] == "em" else f1_of_sets
    assert best(score, form[2], golds) == pytest.approx(scored)


@given(st.text(), st.text())
def test_scores_are_shares(said: str, gold: str) -> None:
    for score in SCORES.values():
        assert 0.0 <= score(said, gold) <= 1.0
    assert f1(said, gold) == pytest.approx(f1(gold, said))
    if gold.strip():
        assert [score(gold, gold) for score in SCORES.values()] == [1.0, 1.0, 1.0]
    if exact_match(said, gold):
        assert f1(said, gold) == 1.0
