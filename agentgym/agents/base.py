"""What an agent is: a description of who acts, the same for all episodes.

`begin` makes the one that plays an episode. It acts once per turn through a generator without I/O:
it yields requests for samples (several at once, and several times in a turn, if it likes), is sent
the samples, and returns a `Decision`.
"""

import itertools
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agentgym.backends.base import Sample, SampleRequest
from agentgym.types import JSON, Call, Observation, Stop

_SESSIONS = itertools.count(1)

Asking = Generator[tuple[SampleRequest, ...], list[Sample], "Decision"]
"""One turn of an agent: yields requests, is sent their samples, returns what it decided."""


@dataclass(frozen=True, slots=True)
class Start:
    """What an agent is told before the first turn."""

    instructions: str
    noop: str  #: the environment's action that stands for doing nothing
    max_context: int | None  #: tokens of prompt and sample together; None: the backend knows
    tools: tuple[Mapping[str, JSON], ...] = ()  #: JSON schemas of what may be called


@dataclass(frozen=True, slots=True)
class View:
    """What an agent is given in one turn. `info` is the environment's, not shown to a model."""

    turn: int
    observation: Observation
    info: Mapping[str, Any]
    seed: int  #: all randomness of this turn
    max_tokens: int  #: how much one call may sample
    gold: tuple[str, ...] | None = None  #: of the whole episode, for agents that need "gold"
    expert: str | None = None  #: the demonstrator's next action, for agents that need "expert"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an agent does in a turn, and the calls that led to it."""

    action: str
    calls: tuple[Call, ...] = ()
    well_formed: bool = True  #: whether the reply had the form that was agreed on


class StopEpisode(Exception):
    """Raised by an agent that cannot go on (a full context); the episode ends without a fault."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        super().__init__(stop.value)


class Acting(Protocol):
    """The player of one episode."""

    def act(self, view: View) -> Asking:
        """Play one turn."""
        ...


class Agent(Protocol):
    """The description of a player. `needs` may hold "gold" and "expert"; see `View`."""

    @property
    def needs(self) -> frozenset[str]:
        """What the environment must say beyond observations."""
        ...

    def begin(self, start: Start) -> Acting:
        """Return the player of a new episode."""
        ...


class Imitable(Agent, Protocol):
    """An agent with a model that can be taught by demonstrations."""

    def begin_imitating(self, start: Start, player: Acting) -> Acting:
        """Return one that does what `player` does, with calls as if the model had said it."""
        ...


@dataclass(frozen=True)
class Demonstrator:
    """Plays what another agent does, written down as if the policy had said it.

    The trajectories have calls with exact token ids (log-probabilities 0), so that they pack into
    training rows like sampled ones: this is where supervised warm starts come from.
    """

    policy: Imitable
    player: Agent

    @property
    def needs(self) -> frozenset[str]:
        """What the player needs."""
        return self.player.needs

    def begin(self, start: Start) -> Acting:
        """Start both."""
        return self.policy.begin_imitating(start, self.player.begin(start))


def new_session() -> int:
    """Return the number of a new token sequence, unique in the process."""
    return next(_SESSIONS)


def call_of(request: SampleRequest, sample: Sample, *, trainable: bool) -> Call:
    """Return the record of a request and its answer."""
    return Call(
        role=request.role,
        prompt_ids=request.prompt_ids,
        sample_ids=sample.ids,
        logprobs=sample.logprobs,
        text=sample.text,
        finish=sample.finish,
        policy_version=sample.policy_version,
        trainable=trainable,
        fresh=request.fresh,
    )
