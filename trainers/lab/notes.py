"""What models would say about an episode, known exactly: values, and the gold answer's odds."""

from dataclasses import replace
from typing import Literal

from agentgym.trainers.lab.process import Process
from agentgym.types import Trajectory

CriticName = Literal["exact", "reversed"]
"""A critic that knows the expected return, and one that has its sign wrong."""


def noted(process: Process, critic: CriticName, trajectory: Trajectory) -> Trajectory:
    """Return an episode with the notes that annotators would have made, each per turn.

    "value" is the expected return from the turn's state on, or its negative; "gold_logprob", where
    the process defines it, is the log-probability of the known answer there.
    """
    sign = 1.0 if critic == "exact" else -1.0
    states_K = [turn.state_key or "" for turn in trajectory.turns]
    notes = {"value": tuple(sign * process.values[s, k] for k, s in enumerate(states_K))}
    if process.gold_logprob:
        notes["gold_logprob"] = tuple(process.gold_logprob[s] for s in states_K)
    return replace(trajectory, notes={**trajectory.notes, **notes})
