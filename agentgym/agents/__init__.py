"""Who acts in an episode: a policy, several roles of which one is trained, or a scripted player."""

from agentgym.agents.agentflow import AgentFlow
from agentgym.agents.base import (
    Acting,
    Agent,
    Asking,
    Decision,
    Demonstrator,
    Imitable,
    Start,
    StopEpisode,
    View,
)
from agentgym.agents.policy import PolicyActing, PolicyAgent
from agentgym.agents.scripted import (
    ExpertAgent,
    GoldAgent,
    NoopAgent,
    RandomAgent,
    ScriptedAgent,
)

__all__ = [
    "Acting",
    "Agent",
    "AgentFlow",
    "Asking",
    "Decision",
    "Demonstrator",
    "ExpertAgent",
    "GoldAgent",
    "Imitable",
    "NoopAgent",
    "PolicyActing",
    "PolicyAgent",
    "RandomAgent",
    "ScriptedAgent",
    "Start",
    "StopEpisode",
    "View",
]
