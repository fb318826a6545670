"""What a backend is: something that answers sample requests with exact token ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from agentgym.errors import EpisodeFailure
from agentgym.types import Message


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One request for a sample, yielded by an episode.

    `context_ids` is the whole prompt; `prompt_ids` is its tail since the last sample of the same
    session, so that a backend may keep what it computed. With `fresh` the two are equal and
    nothing that was kept applies.
    """

    session: int  #: the token sequence that this sample extends; unique in the process
    role: str  #: who speaks ("policy", "planner", ...)
    context_ids: Sequence[int]
    prompt_ids: tuple[int, ...]
    fresh: bool
    messages: Sequence[Message]  #: the same prompt as chat messages, for backends that take text
    max_tokens: int
    temperature: float  #: 0 takes the most probable token
    stop_ids: tuple[int, ...]  #: sampling ends after any of these; the stop token is part of ids
    seed: int  #: all randomness of this sample; equal request and weights, equal sample


@dataclass(frozen=True, slots=True)
class Sample:
    """The answer to one request."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]  #: natural logarithms at the sampling temperature, one per id
    text: str  #: ids decoded, without the stop token
    finish: Literal["stop", "length"]
    policy_version: int


@runtime_checkable
class Backend(Protocol):
    """Answers sample requests. One batch may mix sessions of any age and length."""

    policy_version: int

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        """Answer each request, in order; one that fails is answered with its failure."""
        ...

    def release(self, sessions: Iterable[int]) -> None:
        """Forget sessions that will not be extended; unknown ones are ignored."""
        ...

    def close(self) -> None:
        """Give everything back; closing twice is harmless."""
        ...
