"""Episodes and how they are run: a generator without I/O, its drivers, and groups of attempts."""

from agentgym.rollout._collect import OnPause, collect, rewritten_share
from agentgym.rollout._drivers import Driver, Job, run_lockstep, run_threaded
from agentgym.rollout._episode import (
    Act,
    Begin,
    EnvReply,
    Fault,
    Limits,
    Task,
    episode,
    seed_of,
    seeds_of,
)
from agentgym.rollout._workers import EnvPool

__all__ = [
    "Act",
    "Begin",
    "Driver",
    "EnvPool",
    "EnvReply",
    "Fault",
    "Job",
    "Limits",
    "OnPause",
    "Task",
    "collect",
    "episode",
    "rewritten_share",
    "run_lockstep",
    "run_threaded",
    "seed_of",
    "seeds_of",
]
