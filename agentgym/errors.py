"""Everything that agentgym raises on purpose.

AgentGymError
├── UserError (ValueError)          the caller's mistake; raised before anything long starts
│   ├── UnknownName                 no such environment, recipe, scheme, option, key, ...
│   ├── ConfigError                 a recipe or an option with a wrong key, type or value
│   └── RunFolderError              a run folder that exists, is in use, or cannot be resumed
├── EnvError
│   ├── ResetNeeded                 step() before reset() or after the end of the episode
│   ├── EnvClosed                   reset() or step() after close()
│   └── EnvContractError            an environment that breaks the contract; names the field
├── EpisodeFailure                  a failure inside an episode, attributed to one boundary
├── ChatFailed                      a language model that was asked for a text and gave none
├── ToolError                       what a tool answers to a mistake of the agent: an observation
├── RecordError                     a damaged log or checkpoint; says where
├── ConformanceError (AssertionError)   a part that fails its kit; lists the failed checks
└── TooManyFailures                 the run stopped because its failures passed the stated rate
"""

import difflib
from collections.abc import Iterable
from typing import Literal

Boundary = Literal["env", "tool", "sandbox", "simulator", "judge", "backend"]


class AgentGymError(Exception):
    """Base of every error that agentgym raises on purpose."""


class UserError(AgentGymError, ValueError):
    """The caller asked for something that cannot be done; the message says what to do instead."""


class UnknownName(UserError):
    """A name that nothing answers to; the message lists the nearest ones.

    `where` says in the message where the name was found ("in recipe.toml").
    """

    def __init__(self, what: str, name: object, known: Iterable[str], where: str = "") -> None:
        self.what, self.name, self.known, self.where = what, name, sorted(known), where
        found = f" {where}" if where else ""
        super().__init__(f"there is no {what} {name!r}{found}; {nearest(str(name), self.known)}")

    def __reduce__(self) -> tuple[type["UnknownName"], tuple[str, object, list[str], str]]:
        return UnknownName, (self.what, self.name, self.known, self.where)


class ConfigError(UserError):
    """A recipe or an option with a wrong key, type or value."""


class RunFolderError(UserError):
    """A run folder that already exists, is in use by another process, or cannot be resumed."""


class EnvError(AgentGymError):
    """Base of the errors about using or writing an environment."""


class ResetNeeded(EnvError):
    """`step` was called before `reset`, or after the episode had ended."""


class EnvClosed(EnvError):
    """`reset` or `step` was called after `close`."""


class EnvContractError(EnvError):
    """An environment broke the contract of `TextEnv`; the message names the field."""


class EpisodeFailure(AgentGymError):
    """A failure inside an episode that is nobody's reward: retried, then masked, always counted.

    Attributes:
        boundary: the part that failed ("env", "tool", "sandbox", "simulator", "judge", "backend").
    """

    def __init__(self, boundary: Boundary, message: str) -> None:
        self.boundary: Boundary = boundary
        self.message = message
        super().__init__(f"{boundary}: {message}")

    def __reduce__(self) -> tuple[type["EpisodeFailure"], tuple[Boundary, str]]:
        return EpisodeFailure, (self.boundary, self.message)


class ChatFailed(AgentGymError):
    """A language model was asked for a text and gave none, also after further tries.

    Who asked says whose failure that is: a simulator's, a judge's.

    Attributes:
        name: of the language model.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name, self.message = name, message
        super().__init__(f"{name}: {message}")

    def __reduce__(self) -> tuple[type["ChatFailed"], tuple[str, str]]:
        return ChatFailed, (self.name, self.message)


class ToolError(AgentGymError):
    """Raised by a tool that was asked for something it cannot do: the agent's mistake.

    The message is shown to the agent. Anything else that a tool raises is the tool's own failure.
    """


class RecordError(AgentGymError):
    """A damaged trajectory log or checkpoint; the message says which file and where."""


class ConformanceError(AgentGymError, AssertionError):
    """A part failed its conformance kit (`agentgym.testing`); the message lists what failed."""


class TooManyFailures(AgentGymError):
    """A run stopped: more episodes failed than it tolerates; carries the commonest reason."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the closest known names, or all of them if none is close.

    >>> nearest("houshold", ["household", "search"])
    "did you mean 'household'?"
    >>> nearest("x", ["household", "search"])
    'known: household, search'
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(sorted(names)) or '(none)'}"
