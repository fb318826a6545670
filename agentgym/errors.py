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
│   └── JudgeError                  a judge without a clear verdict, or one that failed a control
├── SandboxError                    what a sandbox raises; a command that fails is a result
│   ├── SandboxUnavailable (EpisodeFailure)  one could not be started
│   ├── SandboxDied (EpisodeFailure)         it ended, or no longer answers; says by what
│   ├── BadCommand                  what no sandbox could run: empty, with NUL, too long
│   ├── PathEscape                  a path that leads out of the working folder
│   ├── NoSuchFile                  nothing is there
│   ├── NotRegularFile              a link, a folder, a pipe, a device
│   ├── SandboxPermission           the file may not be read or written
│   └── OutputLimit                 more bytes than asked for, or than there is room
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


class JudgeError(EpisodeFailure):
    """A judge gave no clear verdict, or failed a control: an episode failure of the judge."""

    def __init__(self, message: str) -> None:
        super().__init__("judge", message)

    def __reduce__(self) -> tuple[type["JudgeError"], tuple[str]]:  # type: ignore[override]
        return JudgeError, (self.message,)


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


class SandboxError(AgentGymError):
    """Base of what a sandbox raises. A command that fails is a result and raises nothing."""


class _SandboxFailure(SandboxError, EpisodeFailure):
    """A failure of the platform: the episode is retried, then masked, and never reward 0."""

    def __init__(self, message: str) -> None:
        EpisodeFailure.__init__(self, "sandbox", message)

    def __reduce__(self) -> tuple[type["_SandboxFailure"], tuple[str]]:  # type: ignore[override]
        return type(self), (self.message,)


class SandboxUnavailable(_SandboxFailure):
    """A sandbox could not be started."""


class SandboxDied(_SandboxFailure):
    """A sandbox ended, or stopped answering, while it was in use.

    Attributes:
        out_of_memory: whether the kernel killed for memory in it: then its programs did it.
    """

    def __init__(self, message: str, out_of_memory: bool = False) -> None:
        self.out_of_memory = out_of_memory
        super().__init__(message)

    def __reduce__(self) -> tuple[type["SandboxDied"], tuple[str, bool]]:  # type: ignore[override]
        return SandboxDied, (self.message, self.out_of_memory)


class BadCommand(SandboxError):
    """What no sandbox could run: no words, a NUL, a variable without a name, too long."""


class PathEscape(SandboxError):
    """A path leads out of the working folder: elsewhere, by `..`, or through a link."""


class NoSuchFile(SandboxError):
    """There is no file of that name in the sandbox."""


class NotRegularFile(SandboxError):
    """A path in the sandbox leads to something else than a plain file."""


class SandboxPermission(SandboxError):
    """A file in the sandbox may not be read or written."""


class OutputLimit(SandboxError):
    """A file has more bytes than were asked for, or there is no room for it."""


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
