"""Functions made from a seed: right statements, faults that show, splits that share nothing."""

import ast
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.errors import UnknownName
from agentgym.swe._try import outcomes
from agentgym.swe.functions import FAMILIES, LEVELS, SPLITS, draw_function
from agentgym.swe.grade_function import FunctionTask, same_value
from agentgym.swe.tiny import CONDITIONS


def drawn(level: str, split: str, count: int, seed: int = 0) -> list[FunctionTask]:
    rng = np.random.default_rng(seed)
    return [draw_function(rng, level, split) for _ in range(count)]


def brings(task: FunctionTask, source: str) -> list[bool]:
    """Run a source on the cases, here and in the open: the code is our own."""
    names: dict[str, object] = {}
    exec(source, names)
    said = []
    for case in task.cases:
        try:
            value = names[task.function](*json.loads(json.dumps(case.arguments)))  # type: ignore[operator]
            said.append(not case.error and same_value(value, case.value))
        except Exception as error:
            said.append(type(error).__name__ == case.error)
    return said


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", SPLITS)
def test_V21_the_fix_passes_every_case_and_the_fault_shows(level: str, split: str) -> None:
    for task in drawn(level, split, 40):
        assert all(brings(task, task.fixed)), task.fixed
        assert not all(brings(task, task.source)), task.source
        assert all(example in task.cases for example in task.examples)
        shown = replace(task, cases=task.examples)
        assert not all(brings(shown, task.source)), "no example shows the fault"


@pytest.mark.parametrize("level", LEVELS)
def test_there_are_hundreds_of_tasks_and_splits_share_none(level: str) -> None:
    found = {split: {(t.source, t.fixed) for t in drawn(level, split, 150)} for split in SPLITS}
    assert sum(map(len, found.values())) > 380
    for one in SPLITS:
        for other in SPLITS:
            assert one == other or not found[one] & found[other]


def test_the_families_of_valid_unseen_are_its_own() -> None:
    families = {
        split: {task.key.rsplit("-", 1)[0] for task in drawn("full", split, 150)}
        for split in SPLITS
    }
    assert not families["valid_unseen"] & (families["train"] | families["valid_seen"])
    assert len(families["train"]) > 35
    assert len(families["valid_unseen"]) > 5


def test_one_token_of_a_tiny_task_is_wrong_and_the_statement_names_it() -> None:
    places: Counter[int] = Counter()
    for task in drawn("tiny", "train", 200):
        wrong, right = task.source.split("\n"), task.fixed.split("\n")
        [line] = [k for k, pair in enumerate(zip(wrong, right, strict=True)) if pair[0] != pair[1]]
        old, new = wrong[line].split(), right[line].split()
        assert len(old) == len(new)
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1
        places[line] += 1
        words = task.statement.rstrip(".")
        limit = next(line for line in right if " if " in line).rstrip(":").split()
        sign = next(word for word, sign in CONDITIONS.items() if sign == limit[-2])
        assert f" {sign} {limit[-1]}, or {right[1].split()[-1]} without any" in words
    assert set(places) == {1, 3, 5}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_has_functions_that_run_and_can_be_told_apart(family) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    for _ in range(10):
        statement, source, function = family.draw(rng)
        assert "$" not in source + statement
        assert len(source.splitlines()) <= 25
        calls = [*family.fixed, *(family.arguments(rng) for _ in range(10))]
        got = outcomes(source, function, calls)
        assert got is not None
        assert {case.error for case in got} <= {"", "ValueError"}
        assert len({json.dumps(case.value) for case in got}) > 1, "every call brings the same"


def test_what_does_not_end_is_no_task() -> None:
    assert outcomes("def f(n):\n    while n:\n        pass\n", "f", [(1,)]) is None
    assert outcomes("def f(n):\n    return f(n)\n", "f", [(1,)]) is None
    assert outcomes("def f(n):\n    return {1, 2}\n", "f", [(1,)]) is None
    assert outcomes("def f(n):\n    return n / 0\n", "f", [(1,)])[0].error == "ZeroDivisionError"  # type: ignore[index]


@given(st.integers(0, 2**32), st.sampled_from(LEVELS), st.sampled_from(SPLITS))
def test_the_same_seed_is_the_same_task(seed: int, level: str, split: str) -> None:
    [one], [other] = drawn(level, split, 1, seed), drawn(level, split, 1, seed)
    assert one == other
    ast.parse(one.source)


def test_the_same_task_in_another_process() -> None:
    code = (
        "import numpy as np; from agentgym.swe.functions import draw_function as d\n"
        "print([d(np.random.default_rng(5), l, 'train').key for l in ('tiny', 'full')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [draw_function(np.random.default_rng(5), level, "train").key for level in LEVELS]
    assert said.stdout.strip() == str(here)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="known: full, tiny"):
        drawn("tyni", "train", 1)
    with pytest.raises(UnknownName, match="valid_unseen"):
        drawn("tiny", "test", 1)
