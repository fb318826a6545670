"""Train and benchmark language-model agents over many turns."""

import gymnasium

from agentgym import registry
from agentgym.env import Outcome, TextEnv, TextSpace, make
from agentgym.types import (
    Call,
    Failure,
    Group,
    Message,
    Observation,
    Stop,
    ToolCall,
    Trajectory,
    Turn,
)

__version__ = "0.1.0"
__all__ = [
    "Call",
    "Failure",
    "Group",
    "Message",
    "Observation",
    "Outcome",
    "Stop",
    "TextEnv",
    "TextSpace",
    "ToolCall",
    "Trajectory",
    "Turn",
    "make",
    "registry",
]

# Gymnasium finds environments by what importing a package registers; nothing is imported here.
for _entry in registry.entries("envs").values():
    if not _entry.problem:
        gymnasium.register(
            id=f"agentgym/{_entry.name}-v{_entry.version}",
            entry_point="agentgym.env:make",
            kwargs={"name": _entry.name},
            disable_env_checker=True,
            order_enforce=False,
        )
del _entry
