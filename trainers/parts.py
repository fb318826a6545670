"""From a configuration to the objects of a run. Every mistake in it is found here, at once."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from agentgym import registry
from agentgym.backends.base import Backend
from agentgym.backends.hf import HFBackend
from agentgym.backends.openai_http import OpenAIHTTP
from agentgym.backends.routed import Routed
from agentgym.config import build
from agentgym.context import Append, Context, Window, Workspace
from agentgym.env import TextEnv, env_class, make
from agentgym.errors import ConfigError, TooManyFailures, UnknownName, UserError
from agentgym.openai_api import WORD
from agentgym.render import Renderer
from agentgym.rollout import Driver, Limits, Task, run_lockstep, run_threaded
from agentgym.toolcalls import tool_format
from agentgym.trainers.acting import INITIAL, agent_texts, check_agent, trained_role
from agentgym.trainers.annotate.base import OF_THE_RUN, annotators_of, check_supply
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.credit.base import Annotator, CreditScheme
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.critic import Critic, targets_of
from agentgym.trainers.economy import ToolEconomy, economy_of
from agentgym.trainers.losses.base import Loss
from agentgym.trainers.normalise import Normalise, normalise_of
from agentgym.trainers.policies import PRESETS, new_policy
from agentgym.trainers.schedule import Points, check_schedule, scheduled
from agentgym.trainers.texts import texts_within
from agentgym.types import Trajectory

HELD_OUT = 2**30
"""Seeds from here on belong to evaluation, those below to training."""

CONTEXTS: dict[str, type[Any]] = {"append": Append, "window": Window, "workspace": Workspace}

DRIVERS: dict[str, Driver] = {"lockstep": run_lockstep, "threaded": run_threaded}

TASKS, UPDATES, WARMSTART, DEMONSTRATIONS, TEXTS, EVALUATION, CRITIC = range(7)
"""Streams of randomness: what `stream` is asked for."""


def stream(config: TrainConfig, purpose: int, iteration: int = 0) -> np.random.Generator:
    """Return the generator of one purpose in one iteration.

    It depends on nothing that happened before, so a resumed run draws what it would have drawn.
    """
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([config.seed, purpose, iteration]))
    )


def train_tasks(
    config: TrainConfig, iteration: int, purpose: int = TASKS, count: int | None = None
) -> list[Task]:
    """Return the tasks of one iteration: worlds that were hardly ever seen before."""
    count = config.rollout.tasks if count is None else count
    seeds = stream(config, purpose, iteration).integers(0, HELD_OUT, count)
    options = env_options(config, config.env.train)
    return [Task(config.env.name, options, int(seed)) for seed in seeds]


def held_out_tasks(config: TrainConfig, count: int, *, fresh: bool) -> list[Task]:
    """Return worlds that training never sees, the same for every run.

    Args:
        config: says which environment.
        count: how many.
        fresh: those of the first and the last evaluation, apart from those that the curve is
            measured on, so that stopping by the curve does not flatter the result.
    """
    first = HELD_OUT + (2**29 if fresh else 0)
    options = env_options(config, config.env.held_out)
    return [Task(config.env.name, options, first + i) for i in range(count)]


def task_of(trajectory: Trajectory) -> Task:
    """Return the task that an episode played."""
    return Task(trajectory.env, trajectory.env_options, trajectory.seed)


def env_options(config: TrainConfig, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment's constructor options: its preset's, the recipe's, and `more`."""
    cls = env_class(config.env.name)
    preset = config.env.preset
    if preset is not None and preset not in cls.presets:
        raise UnknownName(f"preset of {config.env.name}", preset, cls.presets)
    base = dict(cls.presets[preset]) if preset is not None else {}
    return {**base, **config.env.options, **more}


@dataclass(frozen=True)
class Scheme:
    """What does not depend on a model, and is checked first."""

    credit: CreditScheme
    normalise: Normalise
    loss: Loss
    context: Context
    driver: Driver
    annotators: tuple[Annotator, ...] = ()
    schedule: Mapping[str, Points] = field(default_factory=dict)
    economy: ToolEconomy | None = None

    @property
    def helpers(self) -> frozenset[str]:
        """What the run must have beside the policy: a reference (from the beginning), a critic."""
        wanted = {need for annotator in self.annotators for need in annotator.requires}
        if "ref_logprobs" in self.loss.needs:
            wanted.add("reference")
        return OF_THE_RUN & wanted

    def credit_at(self, iteration: int) -> CreditScheme:
        """Return the credit scheme of an iteration: scheduled parameters have their values."""
        return scheduled(self.credit, self.schedule, iteration)


def check(config: TrainConfig, *, model: bool = True) -> Scheme:
    """Make everything but the policy, and try environment and tokenizer; nothing is written.

    Args:
        config: the configuration.
        model: whether to look at the model that it names; a run that began has its own by now.

    Raises:
        UnknownName, ConfigError: whatever is wrong with the configuration.
    """
    backend = registry.load("backends", config.backend.name)
    if backend is not HFBackend:
        raise ConfigError(
            f"the backend {config.backend.name!r} cannot be trained with: it does not share "
            "weights with the learner; use backend=hf"
        )
    credit = make_scheme(config.credit.name, config.credit.params)
    check_schedule(credit, config.credit.schedule)
    annotators = annotators_of(config, credit)
    loss_class = cast("type[Any]", registry.load("losses", config.loss.name))
    loss = build(loss_class, config.loss.params, where="loss")
    scope = normalise_of(config, credit)
    context = config.rollout.context
    if context.name not in CONTEXTS:
        raise UnknownName("context", context.name, CONTEXTS)
    shown: Any = build(CONTEXTS[context.name], context.params, where="rollout.context")
    economy = None
    for more in (config.env.held_out, config.env.train):
        env = make(config.env.name, **env_options(config, more))
        try:
            _try_out(env, config, credit, annotators)
            check_agent(config, env)
            economy = economy_of(config, env)
        finally:
            env.close()
    if config.model.preset and config.model.preset not in PRESETS:
        raise UnknownName("policy preset", config.model.preset, PRESETS)
    if model and config.model.path:
        _check_model(config, config.model.path)
    for source in dict.fromkeys(config.agent.models.values()):
        if source.startswith(WORD):
            OpenAIHTTP.named(source).close()  # it asks the server for its models
        elif source != INITIAL:
            _check_model(config, source)
    if config.rollout.tool_calls != "auto":
        tool_format(config.rollout.tool_calls)
    driver, schedule = DRIVERS[config.rollout.driver], config.credit.schedule
    scheme = Scheme(credit, scope, loss, shown, driver, annotators, schedule, economy)
    if "critic" in scheme.helpers:
        targets_of(credit)
    return scheme


def _check_model(config: TrainConfig, source: str) -> None:
    _load(AutoConfig, source)
    _renderer(config, _load(AutoTokenizer, source))
    for weights in sorted(Path(source).expanduser().glob("*.safetensors")):
        try:
            with safe_open(weights, "pt"):  # reads what says where each matrix lies
                pass
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"the model {source!r} cannot be loaded: {weights}: {error}"
            ) from error


def _try_out(
    env: TextEnv, config: TrainConfig, credit: CreditScheme, annotators: Sequence[Annotator]
) -> None:
    env.reset(seed=0)
    shaped = bool(config.reward.invalid_action_penalty or config.reward.kl_coef)
    check_supply(credit, config.credit.name, annotators, env, shaped)
    if "state_key" in credit.needs and env.state_key() is None:
        raise ConfigError(
            f"the credit scheme {config.credit.name!r} compares turns by their state_key, which is "
            f"None after reset() of {config.env.name!r}; choose another scheme, e.g. credit=grpo"
        )
    if config.warmstart.demonstrations and env.expert() is None:
        raise ConfigError(
            f"the environment {config.env.name!r} has no expert to imitate; set "
            "warmstart.demonstrations=0"
        )


def limits(config: TrainConfig, policy: "Policy") -> Limits:
    """Return the limits of every episode."""
    rollout = config.rollout
    return Limits(
        max_turns=rollout.max_turns,
        max_tokens_per_call=rollout.max_tokens_per_call,
        max_tokens=rollout.max_tokens,
        max_context=rollout.max_context or policy.backend.max_context,
        timeout_s=rollout.timeout_s,
        step_timeout_s=rollout.step_timeout_s,
    )


# The policy -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """A model, its tokenizer, and what samples from it."""

    model: Any
    tokenizer: Any
    renderer: Renderer
    backend: HFBackend | Routed
    frozen: Mapping[str, Renderer] = field(default_factory=dict)  #: of frozen roles with a model
    reference: Any = None  #: the frozen model of the beginning, where something needs one
    critic: Critic | None = None  #: where an annotator needs one

    def save(self, folder: Path) -> None:
        """Write it in Hugging Face format."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        self.model.config.save_pretrained(folder)
        if self.model.generation_config is not None:
            self.model.generation_config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        # Tied weights are one parameter, so they are written once.
        weights = {n: p.detach().contiguous() for n, p in self.model.named_parameters()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def make_policy(config: TrainConfig, folder: Path) -> Policy:
    """Load the model that the configuration names, or make a new small one in `folder`.

    Raises:
        ConfigError: there is no such model, or it has no chat template.
    """
    if config.model.path:
        return load_policy(config, config.model.path)
    texts = [*_texts(config), *agent_texts(config) * config.model.texts]
    new_policy(folder, preset=config.model.preset or "tiny", texts=texts, seed=config.seed)
    return load_policy(config, folder)


def _texts(config: TrainConfig) -> list[str]:
    """Return texts of training worlds for a tokenizer; episodes that fail are left out.

    Raises:
        TooManyFailures: most of them failed.
    """
    texts: list[str] = []
    failures: list[Exception] = []
    env, count = None, config.model.texts
    for seed in stream(config, TEXTS).integers(0, HELD_OUT, count).tolist():
        env = env or make(config.env.name, **env_options(config, config.env.train))
        try:
            rollout = config.rollout
            texts += texts_within(env, seed, rollout.step_timeout_s, rollout.tool_calls)
        except UserError:
            raise
        except Exception as error:  # whatever an environment raises
            failures.append(error)
            if not isinstance(error, TimeoutError):  # one that hangs would hang in close(), too
                with contextlib.suppress(Exception):
                    env.close()
            env = None
    if env is not None:
        env.close()
    if 2 * len(failures) > count:
        raise TooManyFailures(
            f"{len(failures)} of {count} episodes of {config.env.name} failed while text for the "
            f"tokenizer was gathered, the last with {failures[-1]!r}"
        )
    return texts


def load_policy(config: TrainConfig, source: str | Path) -> Policy:
    """Load a model and put a backend over it."""
    model, tokenizer = load_model(config, source), _load(AutoTokenizer, source)
    renderer = _renderer(config, tokenizer)
    return Policy(model, tokenizer, renderer, HFBackend(model, tokenizer, **config.backend.params))


def _renderer(config: TrainConfig, tokenizer: Any) -> Renderer:
    rollout = config.rollout
    return Renderer(tokenizer, tool_calls=rollout.tool_calls, tell_tools=rollout.tell_tools)


def beginning(config: TrainConfig, run: Path) -> str:
    """Return where the weights are that reinforcement learning began with."""
    found = [str(path) for path in (run / "warm", run / "initial") if path.is_dir()]
    return found[0] if found else config.model.path


def with_frozen(config: TrainConfig, policy: Policy, run: Path) -> Policy:
    """Put the frozen models beside the policy that its agent's other roles speak with."""
    models = config.agent.models.items()
    sources = {r: beginning(config, run) if s == INITIAL else s for r, s in models}
    if not sources:
        return policy
    loaded = {source: _load_frozen(config, source) for source in dict.fromkeys(sources.values())}
    trained = trained_role(config)
    backends = {role: loaded[source][1] for role, source in sources.items()}
    return replace(
        policy,
        frozen={role: loaded[source][0] for role, source in sources.items()},
        backend=Routed({**backends, trained: policy.backend}, trained=trained),
    )


def _load_frozen(config: TrainConfig, source: str) -> tuple[Renderer, Backend]:
    if source.startswith(WORD):
        server = OpenAIHTTP.named(source)
        return Renderer(server.tokenizer), server
    loaded = load_policy(config, source)
    loaded.model.requires_grad_(False)
    return loaded.renderer, loaded.backend


def load_model(config: TrainConfig, source: str | Path) -> Any:
    """Load the weights alone, ready to sample."""
    model = _load(AutoModelForCausalLM, source, dtype=getattr(torch, config.model.dtype)).eval()
    for parameter in model.parameters():
        # Loaded weights lie where they lay in the file, and kernels round by alignment: copied,
        # a resumed run computes what an undisturbed one does.
        parameter.data = parameter.data.clone()
    return model


def _load(cls: Any, source: str | Path, **options: object) -> Any:
    text = str(source)
    looks_local = text.startswith((".", "/", "~")) or text.count("/") != 1
    if looks_local and not Path(text).expanduser().is_dir():
        raise ConfigError(
            f"there is no model folder {text!r}; give a folder with config.json and "
            "model.safetensors, the name of a model on the Hugging Face hub, or make a new small "
            "one with: agentgym new policy NAME"
        )
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    if looks_local and (Path(text).expanduser() / "run.json").is_file():
        raise ConfigError(f"{text} is a run, not a model; its policy is {text}/policy")
    try:
        return cls.from_pretrained(str(Path(text).expanduser()) if looks_local else text, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigError(f"the model {text!r} cannot be loaded: {error}") from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
