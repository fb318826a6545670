"""Who plays: `gold`, `noop`, `random`, `expert`, or a model, from the word on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentgym.cli.common import waiting
from agentgym.errors import ConfigError, UnknownName, UserError

if TYPE_CHECKING:
    from agentgym.agents import Agent
    from agentgym.backends.base import Backend
    from agentgym.env import TextEnv
    from agentgym.rollout import Limits
    from agentgym.trainers.config import TrainConfig

SCRIPTED = ("gold", "expert", "random", "noop")


@dataclass(frozen=True)
class Player:
    """An agent and what it samples from."""

    name: str
    agent: "Agent"
    backend: "Backend | None"
    limits: "Limits"
    config: "TrainConfig | None" = None  #: of the run that the policy is from

    def close(self) -> None:
        """Give the backend back."""
        if self.backend is not None:
            self.backend.close()


def make_player(
    name: str,
    *,
    temperature: float = 1.0,
    max_tokens: int | None = None,
    step: int | None = None,
    threads: int = 1,
) -> Player:
    """Return the player that a word stands for.

    Args:
        name: one of `SCRIPTED`, the folder of a run or a policy, a model's name on the hub, or
            `openai:ADDRESS#MODEL` for one behind HTTP.
        temperature: of a model; 0 takes the most probable token.
        max_tokens: most tokens of one reply of a model.
        step: of a run: the iteration whose checkpoint is meant; None: the newest.
        threads: of tensor arithmetic; more than the idle cores make it slower, not faster.

    Raises:
        UserError: nothing has that name.
    """
    from agentgym.agents import ExpertAgent, GoldAgent, NoopAgent, RandomAgent
    from agentgym.rollout import Limits

    scripted: Mapping[str, Agent] = {
        "gold": GoldAgent(),
        "expert": ExpertAgent(),
        "random": RandomAgent(),
        "noop": NoopAgent(),
    }
    if name in scripted:
        return Player(name, scripted[name], None, Limits())
    if name.startswith("openai:"):
        if step is not None:
            raise UserError("a model behind HTTP is not a run, so it has no checkpoints")
        return _of_server(name, temperature, max_tokens)
    folder = Path(name).expanduser()
    if not folder.is_dir() and name.count("/") != 1:
        raise UnknownName("agent or model folder", name, SCRIPTED)
    is_run = (folder / "run.json").is_file()
    if step is not None and not is_run:
        raise UserError(f"{name} is not a run, so it has no checkpoints")
    with waiting(f"loading {name}"):
        _use_threads(threads)
        if is_run:
            return _of_run(folder, temperature, max_tokens, step)
        return _of_model(name, temperature, max_tokens)


def check_player(player: Player, cls: "type[TextEnv]", env: str) -> None:
    """Refuse a player who needs what an environment does not have.

    Raises:
        UserError: no reference solution, or no expert.
    """
    from agentgym.env import TextEnv

    has_gold = cls.gold is not TextEnv.gold
    if "gold" in player.agent.needs and not has_gold:
        raise UserError(f"{env} has no reference solution: it does not write gold()")
    if player.name == "expert" and not has_gold and cls.expert is TextEnv.expert:
        raise UserError(f"{env} has no expert: it writes neither expert() nor gold()")


def _use_threads(threads: int) -> None:
    """Set the threads of torch, and say what is missing if there is none."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError("models need torch: pip install 'agentgym[train]'") from error
    torch.set_num_threads(threads)


def run_config(run: Path) -> "TrainConfig":
    """Return the configuration of a training run.

    Raises:
        UserError: it is not a training run.
    """
    from agentgym.config import load
    from agentgym.trainers.config import TrainConfig

    return load(TrainConfig, run / "config.toml")


def policy_folder(run: Path, step: int | None) -> Path:
    """Return where the policy of a run is: the checkpoint of a step, or the newest that is whole.

    Raises:
        UserError: it has none yet, or not of that step.
        RecordError: it is damaged.
    """
    from agentgym.records.checkpoint import Checkpoints, verified
    from agentgym.records.folder import CHECKPOINTS

    found = Checkpoints(run / CHECKPOINTS)
    if step is not None:
        if step not in found.steps():
            raise UnknownName(f"checkpoint of {run} for step", step, map(str, found.steps()))
        return verified(run / CHECKPOINTS / f"step_{step}").path / "policy"
    latest = found.latest()
    if latest is None:
        raise UserError(f"the run {run} has no checkpoint yet")
    return latest.path / "policy"


def _of_run(run: Path, temperature: float, max_tokens: int | None, step: int | None) -> Player:
    from agentgym.trainers import acting, parts

    config = run_config(run)
    folder = policy_folder(run, step)
    scheme = parts.check(config)
    policy = parts.with_frozen(config, parts.load_policy(config, folder), run)
    agent = acting.player(config, scheme, policy, temperature)
    limits = parts.limits(config, policy)
    if max_tokens is not None:
        limits = replace(limits, max_tokens_per_call=max_tokens)
    name = f"{run} ({folder.parent.name.replace('_', ' ')})"
    return Player(name, agent, policy.backend, limits, config)


def _of_model(name: str, temperature: float, max_tokens: int | None) -> Player:
    from agentgym.agents import PolicyAgent
    from agentgym.backends.hf import HFBackend
    from agentgym.render import Renderer
    from agentgym.rollout import Limits

    backend = HFBackend(name)
    agent = PolicyAgent(Renderer(backend.tokenizer), temperature=temperature)
    limits = Limits(max_tokens_per_call=max_tokens or 64, max_context=backend.max_context)
    return Player(name, agent, backend, limits)


def _of_server(word: str, temperature: float, max_tokens: int | None) -> Player:
    from agentgym.agents import PolicyAgent
    from agentgym.backends.openai_http import OpenAIHTTP
    from agentgym.render import Renderer
    from agentgym.rollout import Limits

    backend = OpenAIHTTP.named(word)
    agent = PolicyAgent(Renderer(backend.tokenizer), temperature=temperature)
    return Player(word, agent, backend, Limits(max_tokens_per_call=max_tokens or 512))
