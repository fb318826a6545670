"""The conformance kit for backends finds each broken promise and names it."""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agentgym.backends.base import Sample, SampleRequest
from agentgym.errors import EpisodeFailure
from agentgym.testing import check_backend


class Dice:
    """Draws token ids from the request alone."""

    def __init__(self) -> None:
        self.policy_version = 3
        self.open = True

    def generate(self, requests: Sequence[SampleRequest]) -> Any:
        return [self.answer(request) for request in requests]

    def answer(self, request: SampleRequest) -> Any:
        if not request.context_ids:
            return EpisodeFailure("backend", "the prompt is empty")
        greedy = request.temperature == 0
        rng = random.Random(repr((tuple(request.context_ids), 0 if greedy else request.seed)))
        return self.sample(request, rng)

    def sample(self, request: SampleRequest, rng: random.Random) -> Any:
        ids: list[int] = []
        while len(ids) < request.max_tokens and not (ids and ids[-1] in request.stop_ids):
            ids.append(rng.randrange(8))
        finish: Any = "stop" if ids[-1] in request.stop_ids else "length"
        logprobs = tuple(-rng.random() for _ in ids)
        return Sample(tuple(ids), logprobs, "text", finish, self.policy_version)

    def release(self, sessions: Iterable[int]) -> None:
        list(sessions)

    def close(self) -> None:
        self.open = False


class NoRelease:
    policy_version = 0


class TextVersion(Dice):
    def __init__(self) -> None:
        self.policy_version = "3"  # type: ignore[assignment]


class Short(Dice):
    def generate(self, requests: Sequence[SampleRequest]) -> Any:
        return super().generate(requests)[1:]


class Failing(Dice):
    def answer(self, request: SampleRequest) -> Any:
        return EpisodeFailure("backend", "no engine")


class Changed(Dice):
    """Returns a sample with some fields changed."""

    changes: dict[str, Any]

    def sample(self, request: SampleRequest, rng: random.Random) -> Any:
        return replace(super().sample(request, rng), **self.changes)


def changed(**changes: Any) -> type[Dice]:
    return type("Changed", (Changed,), {"changes": changes})


class Unseeded(Dice):
    draws = 0

    def answer(self, request: SampleRequest) -> Any:
        Unseeded.draws += 1
        return super().answer(replace(request, seed=Unseeded.draws))


class Seedless(Dice):
    def answer(self, request: SampleRequest) -> Any:
        return super().answer(replace(request, seed=0))


class Crowded(Dice):
    def generate(self, requests: Sequence[SampleRequest]) -> Any:
        n = len(requests)
        return [self.answer(replace(r, seed=r.seed * n) if n != 8 else r) for r in requests]


class WarmAtZero(Dice):
    def answer(self, request: SampleRequest) -> Any:
        return super().answer(replace(request, temperature=1.0))


class DropsHistory(Dice):
    def answer(self, request: SampleRequest) -> Any:
        return super().answer(replace(request, context_ids=request.prompt_ids))


class AllOrNothing(Dice):
    def answer(self, request: SampleRequest) -> Any:
        if not request.context_ids:
            raise IndexError("tuple index out of range")
        return super().answer(request)


class Drags(Dice):
    def generate(self, requests: Sequence[SampleRequest]) -> Any:
        answers = super().generate(requests)
        bad = [a for a in answers if isinstance(a, EpisodeFailure)]
        return [bad[0] for _ in answers] if bad else answers


class Strict(Dice):
    def release(self, sessions: Iterable[int]) -> None:
        known: dict[int, int] = {}
        for session in sessions:
            del known[session]


class ClosesOnce(Dice):
    def close(self) -> None:
        assert self.open, "already closed"
        self.open = False


def test_a_good_backend_passes() -> None:
    report = check_backend(Dice)
    assert not report.raise_on_failure().warnings
    assert len(report.passed) == 10


@pytest.mark.parametrize(
    ("factory", "name", "message"),
    [
        (NoRelease, "has the interface", r"a backend has policy_version, generate\(\), release"),
        (TextVersion, "has the interface", "policy_version must be an int, got '3'"),
        (Short, "answers in order", r"generate\(\) of 4 requests must return a list of as many"),
        (Failing, "answers in order", "a plain request was answered with a failure: .* no engine"),
        (changed(logprobs=(-1.0,) * 9), "answers in order", r"\d ids but 9 logprobs"),
        (changed(ids=(), logprobs=()), "answers in order", "asked for 1 to 6 tokens, got 0"),
        (changed(ids=(5,), logprobs=(0.5,)), "answers in order", r"at most 0, got \(0.5,\)"),
        (changed(ids=(2, 5), logprobs=(0.0,) * 2), "answers in order", "after the stop token 2"),
        (changed(ids=(2,), logprobs=(0.0,), finish="length"), "answers in order", "the last id is"),
        (changed(ids=(5,), logprobs=(0.0,), finish="length"), "answers in", "without a stop token"),
        (changed(policy_version=1), "answers in order", "policy_version is 1, not the backend's"),
        (changed(text=b"text"), "answers in order", "text must be a str, got bytes"),
        (Unseeded, "equal seeds", "prompt 0, asked again with the same seed, gives"),
        (Crowded, "the rest of the batch", "asked alone instead of in a batch, gives"),
        (WarmAtZero, "temperature 0", "another seed at temperature 0 gives"),
        (DropsHistory, "sessions go on", "against a fresh one with the whole prompt, gives"),
        (AllOrNothing, "requests fail", "an empty prompt among others raised IndexError"),
        (Drags, "requests fail", "makes the other requests of the batch fail"),
        (Strict, "sessions are forgotten", "raised KeyError"),
        (ClosesOnce, "closes twice", "raised AssertionError: already closed"),
    ],
)
def test_broken_promises_are_named(factory: Any, name: str, message: str) -> None:
    failed = {check.name: check.detail for check in check_backend(factory).failed}
    (found,) = [detail for key, detail in failed.items() if key.startswith(name)]
    assert re.search(message, found), found


def test_seeds_that_change_nothing_are_a_warning() -> None:
    report = check_backend(Seedless)
    assert report
    assert [check.name for check in report.warnings] == ["other seeds, other samples"]
