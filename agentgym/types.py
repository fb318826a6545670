"""The central types: what one episode is made of.

A `Trajectory` is a tuple of `Turn`s. In a turn the agent sees an `Observation`, makes one or
several `Call`s of a language model, and acts. A `Group` is the trajectories of one task, which
start from the identical state. All are frozen. What annotators learn about an episode later is put
into the `notes` of a copy; advantages are kept beside it.

Axes used in names: G trajectories of a group, K turns of a trajectory, C calls of a turn,
T sampled tokens of a call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from agentgym.errors import Boundary

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]
"""A value that survives a round trip through JSON."""

ChatRole = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that an assistant message asks for."""

    name: str
    arguments: Mapping[str, JSON]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message in canonical form, independent of any chat template."""

    role: ChatRole
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the environment shows in one turn, and nothing of the turns before.

    `text` is the whole of it as a string. `messages` is the structured form where one turn holds
    several messages (results of parallel tool calls, a simulated user's reply); empty means a
    single user message with `text`.
    """

    text: str
    messages: tuple[Message, ...] = ()

    def as_messages(self) -> tuple[Message, ...]:
        """Return the chat messages of this observation (at least one)."""
        return self.messages or (Message("user", self.text),)


class Stop(StrEnum):
    """Why an episode ended. There is no default, and none of them means success."""

    DONE = "done"  #: the environment gave its verdict (terminated)
    MAX_TURNS = "max_turns"  #: the turn limit of the environment or the harness (truncated)
    MAX_TOKENS = "max_tokens"  #: the budget of sampled tokens of the episode was spent
    CONTEXT = "context"  #: the next prompt would not fit into the model's context
    TIMEOUT = "timeout"  #: the wall-clock limit of the episode; a failure of the platform
    ERROR = "error"  #: some part failed; see `Trajectory.failure`


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure inside an episode, attributed to the boundary it crossed."""

    boundary: Boundary
    error: str  #: the exception's class name
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """One sample from a model: exact token ids, never tokenised again.

    The tokens of a call's sequence before this sample are those of the preceding call of the same
    role, its sample, and `prompt_ids`. A `fresh` call starts a new sequence instead: `prompt_ids`
    is then the whole prompt. The first call of every role is fresh.
    """

    role: str  #: who spoke: "policy" for a plain agent; "planner", "verifier", ... otherwise
    prompt_ids: tuple[int, ...]
    sample_ids: tuple[int, ...]
    logprobs: tuple[float, ...]  #: of sample_ids, in nats, at the sampling temperature
    text: str  #: sample_ids decoded, without the stop token
    finish: Literal["stop", "length"]  #: a stop token was sampled, or the token limit was reached
    policy_version: int  #: optimizer steps that the sampling weights had seen
    trainable: bool = True
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what was seen, what was sampled, what was done, what it brought."""

    observation: Observation
    calls: tuple[Call, ...]
    action: str
    reward: float
    state_key: str | None  #: identity of the state in which the action was taken; None: unknown
    action_valid: bool | None = None  #: None where the environment does not say
    reward_parts: Mapping[str, float] = field(default_factory=dict)  #: named parts of the reward
    facts: Mapping[str, JSON] = field(default_factory=dict)
    """What the environment states about the turn for credit and logs; no policy sees it.

    "tool_calls": how many calls of tools were carried out.
    "checklist": {"user_turn": k, "satisfied": {criterion: bool}}, after the turn's action.
    "criteria", in the first turn: for every user turn [{"id", "weight", "depends_on": [...]}, ...].
    "judge_checked", "judge_too_kind", "judge_too_strict", where a judge was also asked what rules
    know: of how many criteria, and on how many it said yes, or no, where that is wrong.
    """


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode. `seed` and `env` determine its task; `member` is its place in the group."""

    env: str  #: the name that the registry knows
    env_version: int
    env_options: Mapping[str, JSON]
    seed: int
    member: int
    turns: tuple[Turn, ...]
    final_observation: Observation
    final_state_key: str | None
    stop: Stop
    success: bool | None  #: the environment's verdict, separate from reward; None: none was given
    failure: Failure | None = None
    attempt: int = 0  #: 0 for the first try; retries after a failure of the platform count up
    answer: str | None = None  #: what would have been right, if the environment says; never shown
    notes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What annotators found out, by name; a scheme's `needs` says which it cannot do without.

    "gold_logprob" (K, or K+1 with the final observation): the mean log-probability, in nats per
    token, of the known answer if it were given at that observation instead.
    "value": the value of the state before each sampled token, over all calls of all turns in order.
    """

    @property
    def valid(self) -> bool:
        """Whether it may enter a loss or a statistic: False after a failure of the platform."""
        return self.failure is None and self.stop not in (Stop.ERROR, Stop.TIMEOUT)

    @property
    def episode_return(self) -> float:
        """The undiscounted sum of the turns' rewards."""
        return sum(turn.reward for turn in self.turns)

    @property
    def rewards_K(self) -> tuple[float, ...]:
        """The reward of each turn."""
        return tuple(turn.reward for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Group:
    """The trajectories of one task; all start from the identical state."""

    task: str
    trajectories_G: tuple[Trajectory, ...]

    @property
    def valid_G(self) -> tuple[bool, ...]:
        """Which members may enter a loss or a statistic."""
        return tuple(trajectory.valid for trajectory in self.trajectories_G)
