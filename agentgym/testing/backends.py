"""`check_backend`: what everything that answers sample requests promises."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentgym.backends.base import Backend, Sample, SampleRequest
from agentgym.errors import EpisodeFailure
from agentgym.testing.report import Doubtful, Failed, Named, NotApplicable, Report, run_checks
from agentgym.types import Message

_sessions = itertools.count(10**12)


@dataclass
class Subject:
    """The backend under test."""

    backend: Backend
    factory: Callable[[], Backend]
    stop_ids: tuple[int, ...]
    prompts: tuple[tuple[int, ...], ...]
    tolerance: float


def check_backend(
    factory: Callable[[], Backend],
    *,
    prompts: Sequence[Sequence[int]] = ((11, 12, 13), (21, 22, 23, 24, 25), (31,), (41, 42)),
    stop_ids: Sequence[int] = (2,),
    tolerance: float = 1e-3,
) -> Report:
    """Try out what every backend promises.

    Args:
        factory: makes a fresh backend, with the same weights each time.
        prompts: token ids that its vocabulary has.
        stop_ids: token ids that end a sample.
        tolerance: in nats, between log-probabilities that would be equal without rounding.
    """
    backend = factory()
    name = type(backend).__name__
    rows = tuple(tuple(ids) for ids in prompts)
    subject = Subject(backend, factory, tuple(stop_ids), rows, tolerance)
    return run_checks("backend", name, subject, BACKEND_CHECKS)


def has_the_interface(subject: Subject) -> None:
    """It has the methods and says which policy it is."""
    if not isinstance(subject.backend, Backend):
        raise Failed("a backend has policy_version, generate(), release() and close()")
    if type(subject.backend.policy_version) is not int:
        raise Failed(f"policy_version must be an int, got {subject.backend.policy_version!r}")


def answers_in_order(subject: Subject) -> None:
    """One well-formed sample per request, in order; no requests, no samples."""
    if subject.backend.generate([]) != []:
        raise Failed("generate([]) must return []")
    requests = [_request(subject, ids) for ids in subject.prompts]
    for request, sample in zip(requests, _samples(subject, requests), strict=True):
        _check_sample(subject, request, sample)


def is_seeded(subject: Subject) -> None:
    """Equal requests and weights give equal samples, also in a fresh backend."""
    first = _samples(subject, [_request(subject, ids) for ids in subject.prompts])
    again = _samples(subject, [_request(subject, ids) for ids in subject.prompts])
    other = subject.factory()
    try:
        fresh = _samples(subject, [_request(subject, ids) for ids in subject.prompts], other)
    finally:
        other.close()
    for k, sample in enumerate(first):
        _same(subject, sample, again[k], f"prompt {k}, asked again with the same seed,")
        _same(subject, sample, fresh[k], f"prompt {k}, asked in a fresh backend,")


def other_seeds_differ(subject: Subject) -> None:
    """Other seeds give other samples."""
    ids = subject.prompts[0]
    samples = _samples(subject, [_request(subject, ids, seed=seed) for seed in range(8)])
    if len({sample.ids for sample in samples}) == 1:
        raise Doubtful("eight seeds give the same sample at temperature 1; is that meant?")


def is_alone_in_a_batch(subject: Subject) -> None:
    """What else is in the batch changes nothing."""
    requests = [_request(subject, ids) for ids in subject.prompts]
    together = _samples(subject, requests)
    for k, ids in enumerate(subject.prompts):
        (alone,) = _samples(subject, [_request(subject, ids)])
        _same(subject, together[k], alone, f"prompt {k}, asked alone instead of in a batch,")


def is_greedy_at_zero(subject: Subject) -> None:
    """Temperature 0 takes the same tokens whatever the seed."""
    ids = subject.prompts[0]
    samples = _samples(
        subject, [replace(_request(subject, ids, seed=s), temperature=0.0) for s in (1, 2, 3)]
    )
    for sample in samples[1:]:
        if sample.ids != samples[0].ids:
            raise Failed(
                f"another seed at temperature 0 gives {sample.ids} instead of {samples[0].ids}"
            )


def continues_a_session(subject: Subject) -> None:
    """A session that goes on samples what a fresh one with the whole prompt does."""
    first = _request(subject, subject.prompts[0])
    (sample,) = _samples(subject, [first])
    extra = subject.prompts[1]
    whole = (*first.context_ids, *sample.ids, *extra)
    went_on = replace(first, context_ids=whole, prompt_ids=extra, fresh=False, seed=99)
    (a,) = _samples(subject, [went_on])
    (b,) = _samples(subject, [_request(subject, whole, seed=99)])
    _same(subject, b, a, "a session that goes on, against a fresh one with the whole prompt,")


def fails_one_by_one(subject: Subject) -> None:
    """A request that cannot be answered is answered with its failure; the others are served."""
    good = [_request(subject, ids) for ids in subject.prompts[:2]]
    bad = _request(subject, ())
    try:
        answers = subject.backend.generate([good[0], bad, good[1]])
    except Exception as error:
        raise Failed(
            f"an empty prompt among others raised {type(error).__name__}: {error}; answer that "
            "request with EpisodeFailure('backend', ...) and the others with samples"
        ) from error
    if isinstance(answers[1], Sample):
        raise NotApplicable("it answers an empty prompt")
    for answer in (answers[0], answers[2]):
        if not isinstance(answer, Sample):
            raise Failed("an empty prompt makes the other requests of the batch fail")


def forgets_sessions(subject: Subject) -> None:
    """Sessions can be released, known or not, once or twice."""
    request = _request(subject, subject.prompts[0])
    (before,) = _samples(subject, [request])
    subject.backend.release([request.session, request.session, next(_sessions)])
    subject.backend.release([])
    (after,) = _samples(subject, [request])
    _same(subject, before, after, "the same request after release()")


def closes_twice(subject: Subject) -> None:
    """Closing twice is harmless."""
    other = subject.factory()
    other.close()
    other.close()
    subject.backend.close()
    subject.backend.close()


BACKEND_CHECKS = (
    Named("has the interface", has_the_interface, gate=True),
    Named("answers in order", answers_in_order, gate=True),
    Named("equal seeds, equal samples", is_seeded),
    Named("other seeds, other samples", other_seeds_differ),
    Named("the rest of the batch does not matter", is_alone_in_a_batch),
    Named("temperature 0 is greedy", is_greedy_at_zero),
    Named("sessions go on", continues_a_session),
    Named("requests fail one by one", fails_one_by_one),
    Named("sessions are forgotten", forgets_sessions),
    Named("closes twice", closes_twice),
)


def _request(subject: Subject, ids: Sequence[int], *, seed: int = 7) -> SampleRequest:
    return SampleRequest(
        session=next(_sessions),
        role="policy",
        context_ids=tuple(ids),
        prompt_ids=tuple(ids),
        fresh=True,
        messages=(Message("user", f"Say a number. ({len(ids)})"),),
        max_tokens=6,
        temperature=1.0,
        stop_ids=subject.stop_ids,
        seed=seed,
    )


def _samples(
    subject: Subject, requests: Sequence[SampleRequest], backend: Backend | None = None
) -> list[Sample]:
    answers = (backend or subject.backend).generate(requests)
    if not isinstance(answers, list) or len(answers) != len(requests):
        raise Failed(f"generate() of {len(requests)} requests must return a list of as many")
    samples = []
    for answer in answers:
        if isinstance(answer, EpisodeFailure):
            raise Failed(f"a plain request was answered with a failure: {answer}")
        if not isinstance(answer, Sample):
            raise Failed(f"an answer must be a Sample, got {type(answer).__name__}")
        samples.append(answer)
    return samples


def _check_sample(subject: Subject, request: SampleRequest, sample: Sample) -> None:
    if len(sample.ids) != len(sample.logprobs):
        raise Failed(f"{len(sample.ids)} ids but {len(sample.logprobs)} logprobs")
    if not 1 <= len(sample.ids) <= request.max_tokens:
        raise Failed(f"asked for 1 to {request.max_tokens} tokens, got {len(sample.ids)}")
    if not all(type(i) is int and i >= 0 for i in sample.ids):
        raise Failed(f"ids must be token numbers, got {sample.ids}")
    if not all(math.isfinite(value) and value <= 0 for value in sample.logprobs):
        raise Failed(f"logprobs must be finite and at most 0, got {sample.logprobs}")
    if not isinstance(sample.text, str):
        raise Failed(f"text must be a str, got {type(sample.text).__name__}")
    early = [i for i in sample.ids[:-1] if i in request.stop_ids]
    if early:
        raise Failed(f"sampling went on after the stop token {early[0]}")
    ended = sample.ids[-1] in request.stop_ids
    if sample.finish != ("stop" if ended else "length"):
        raise Failed(f"finish is {sample.finish!r} but the last id is {sample.ids[-1]}")
    if not ended and len(sample.ids) != request.max_tokens:
        raise Failed(f"it ended after {len(sample.ids)} tokens without a stop token")
    if sample.policy_version != subject.backend.policy_version:
        raise Failed(f"policy_version is {sample.policy_version}, not the backend's")


def _same(subject: Subject, wanted: Sample, got: Sample, what: str) -> None:
    if wanted.ids != got.ids:
        raise Failed(f"{what} gives {got.ids} instead of {wanted.ids}")
    for a, b in zip(wanted.logprobs, got.logprobs, strict=True):
        if abs(a - b) > subject.tolerance:
            raise Failed(f"{what} gives the log-probability {b} instead of {a}")
