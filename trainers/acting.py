"""Who acts in a run: the policy alone, or as one role of an agent whose other roles are frozen.

An agent of one's own, `agent = "package.module:Class"`, is a dataclass. Its fields `renderers`
(by role) and `temperature` are given; the others are the recipe's parameters. `trained`, on the
class, is the role whose weights are trained. It has `begin` and, for a warm start,
`begin_imitating`; and, if it likes, `texts` for a new tokenizer, and `suits(env, max_turns)`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from agentgym import registry
from agentgym.agents import AgentFlow, Demonstrator, ExpertAgent, Imitable, PolicyAgent
from agentgym.backends.scripted import Bytes
from agentgym.config import build
from agentgym.context import Context
from agentgym.env import TextEnv
from agentgym.errors import ConfigError, UnknownName
from agentgym.render import Renderer
from agentgym.trainers.config import RolloutConfig, TrainConfig

if TYPE_CHECKING:
    from agentgym.trainers.parts import Policy, Scheme

POLICY = "policy"
INITIAL = "initial"
"""The source of a frozen role that is the policy as it was before reinforcement learning."""

AGENTS: dict[str, type[Any]] = {POLICY: PolicyAgent, "agentflow": AgentFlow}


def player(config: TrainConfig, scheme: "Scheme", policy: "Policy", temperature: float) -> Imitable:
    """Return the agent that plays with the policy of a run, and its frozen roles."""
    renderers = {trained_role(config): policy.renderer, **policy.frozen}
    return make_agent(config, scheme.context, renderers, temperature)


def demonstrator(config: TrainConfig, scheme: "Scheme", policy: "Policy") -> Demonstrator:
    """Return the noisy expert, written down as if the policy had spoken.

    It speaks for the roles that the policy will be frozen in, too.
    """
    taught = [role for role, source in config.agent.models.items() if source == INITIAL]
    renderers = dict.fromkeys((trained_role(config), *taught), policy.renderer)
    said_by = make_agent(config, scheme.context, renderers, 1.0)
    return Demonstrator(said_by, ExpertAgent(config.warmstart.noise, config.warmstart.noise_never))


def trained_role(config: TrainConfig) -> str:
    """Return the name of the role whose weights are trained.

    Raises:
        UnknownName, ConfigError: there is no such agent, or its class does not say.
    """
    cls = _class_of(config)
    role = POLICY if cls is PolicyAgent else getattr(cls, "trained", None)
    if not isinstance(role, str):
        raise ConfigError(
            f"the agent {config.agent.name!r} must say on its class which role is trained: "
            'trained = "planner"'
        )
    return role


def make_agent(
    config: TrainConfig, context: Context, renderers: Mapping[str, Renderer], temperature: float
) -> Imitable:
    """Return the agent of a run.

    Args:
        config: names it and has its parameters.
        context: what a plain policy sees.
        renderers: of every role that is a model.
        temperature: of the trained role.

    Raises:
        UnknownName, ConfigError: there is no such agent, or a parameter is wrong.
    """
    cls = _class_of(config)
    if cls is PolicyAgent:
        rollout = config.rollout
        return PolicyAgent(
            renderers[POLICY],
            context,
            temperature,
            action_tag=rollout.action_tag,
            opening=rollout.opening,
        )
    given = {"renderers": renderers, "temperature": temperature}
    return cast("Imitable", build(cls, config.agent.params, where="agent", given=given))


def check_agent(config: TrainConfig, env: TextEnv) -> None:
    """Try the agent of a run on an environment.

    Raises:
        UnknownName, ConfigError: whatever is wrong with the section [agent].
    """
    agent = _trial(config)
    if isinstance(agent, PolicyAgent):
        if config.agent.models or config.agent.params:
            wrong = [*config.agent.params, *(["models"] if config.agent.models else [])]
            raise ConfigError(
                f"a plain policy has no {', '.join(f'agent.{name}' for name in wrong)}; what it "
                "sees and says is set in [rollout]"
            )
        return
    for name in ("opening", "action_tag", "context"):
        if getattr(config.rollout, name) != getattr(RolloutConfig(), name):
            raise ConfigError(
                f"rollout.{name} is for a plain policy; the agent {config.agent.name!r} has its "
                "own parameters, in [agent]"
            )
    if hasattr(agent, "suits"):
        agent.suits(env, config.rollout.max_turns)


def agent_texts(config: TrainConfig) -> tuple[str, ...]:
    """Return what the roles say and read beyond the environment's texts, for a new tokenizer."""
    return tuple(getattr(_trial(config), "texts", ()))


def _trial(config: TrainConfig) -> Any:
    """Return the agent over a tokenizer of bytes, before there is a model."""
    trial = Renderer(Bytes())
    roles = dict.fromkeys((trained_role(config), *config.agent.models), trial)
    return make_agent(config, cast("Context", None), roles, 1.0)


def _class_of(config: TrainConfig) -> type[Any]:
    name = config.agent.name
    if ":" not in name and name not in AGENTS:
        raise UnknownName("agent", name, AGENTS)
    return AGENTS.get(name) or cast("type[Any]", registry.load("agents", name))
