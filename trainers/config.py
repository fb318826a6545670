"""The configuration of a training run: what a recipe says, and what is checked before it starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from agentgym.config import Section, load
from agentgym.errors import UnknownName

RECIPES = Path(__file__).parent / "recipes"

Schedule = Literal["constant", "linear", "cosine"]

KLKind = Literal["k1", "k2", "k3", "abs"]
"""Estimators of a KL divergence, see `agentgym.trainers.losses.base.kl_estimate`."""


class OptimizerConfig(Section):
    """How weights move: AdamW, or Muon for the matrices, with warm-up, decay and clipping."""

    lr: float = Field(default=1e-6, gt=0)
    """Peak learning rate of AdamW."""
    muon_lr: float | None = Field(default=None, gt=0)
    """Peak learning rate of Muon for the matrices between embedding and output, which AdamW then
    leaves alone (https://kellerjordan.github.io/posts/muon). By default AdamW has them all."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two moments."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest global gradient norm."""
    warmup: int = Field(default=0, ge=0)
    """Steps of linear warm-up."""
    schedule: Schedule = "constant"
    """What follows the warm-up."""
    final_lr: float = Field(default=0.0, ge=0, le=1)
    """Share of the peak that a falling schedule ends at."""
    max_bad_steps: int = Field(default=5, ge=1)
    """Steps in a row with a gradient that is not finite, after which the run stops."""


class EnvConfig(Section):
    """What is learned."""

    shorthand = "name"
    shorthand_clears = True
    name: str
    """The environment's name, or "package.module:Class"."""
    preset: str | None = None
    """A named set of options that the environment offers, such as a size."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the environment, in training and in evaluation."""
    train: dict[str, Any] = Field(default_factory=dict)
    """More options in training, such as a split."""
    held_out: dict[str, Any] = Field(default_factory=dict)
    """More options in evaluation, such as another split. Seeds differ from training in any case."""


class ModelConfig(Section):
    """Whose weights are trained."""

    shorthand = "path"
    shorthand_clears = True
    alternatives = ("path", "preset")
    path: str = ""
    """A model in Hugging Face format: a folder, or a name that `transformers` can download."""
    preset: str | None = None
    """Instead of a path: a small new policy with random weights ("tiny")."""
    texts: int = Field(default=300, ge=1)
    """Episodes of the expert whose texts a new policy's tokenizer is made from; fewer, where each
    takes seconds."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights."""

    @model_validator(mode="after")
    def _one_of(self) -> "ModelConfig":
        if bool(self.path) == bool(self.preset):
            raise ValueError("give either model=PATH, or model.preset=tiny for a new small policy")
        return self


class Named(Section):
    """A name with parameters of its own: `{name = "...", parameter = value}`, or the bare name."""

    model_config = ConfigDict(extra="allow")
    shorthand = "name"
    shorthand_clears = True
    name: str
    """The name that the registry knows, or "package.module:Attribute"."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters beside the name."""
        return dict(self.model_extra or {})


class AgentConfig(Named):
    """Who acts: policy | agentflow, or "package.module:Class", with its parameters."""

    name: str = "policy"
    models: dict[str, str] = Field(default_factory=dict)
    """Frozen roles that are models: "initial" (the policy before reinforcement learning), a folder
    or name of a model, or "openai:ADDRESS#MODEL" (behind HTTP). The others follow their rules."""


class BackendConfig(Named):
    """What samples."""

    name: str = "hf"


class ContextConfig(Named):
    """What the model sees each turn: append | window | workspace."""

    name: str = "append"


class CreditConfig(Named):
    """How an outcome becomes an advantage for every token."""

    name: str = "grpo"
    schedule: dict[str, tuple[tuple[float, float], ...]] = Field(default_factory=dict)
    """Parameters of the scheme that change: points [iteration, value] with straight lines between
    them, such as `gain_weight = [[1, 1.0], [100, 0.0]]`."""


class AnnotatorConfig(Named):
    """Parameters of what supplies a need of the credit scheme."""

    name: str = ""
    """Another annotator than the one that is named like the need: "package.module:Class"."""


class LossConfig(Named):
    """What is minimised."""

    name: str = "ppo_clip"


class NormaliseConfig(Named):
    """How advantages are scaled, and over what."""

    name: str = "scheme"
    """none | trajectory | turn | token; "scheme": what the paper of the credit scheme does after
    it ("token" for gae and reinforce_pp, which have no scale of their own)."""


class WarmstartConfig(Section):
    """Supervised imitation before reinforcement learning."""

    demonstrations: int = Field(default=0, ge=0)
    """Episodes by the environment's expert to imitate, on training worlds; 0: no warm start."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Probability of a random admissible action instead of the expert's; it is imitated too."""
    noise_never: tuple[str, ...] = ()
    """Actions that noise never chooses, because they teach nothing and cost many tokens."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the demonstrations."""
    batch_size: int = Field(default=8, ge=1)
    """Sequences per step."""
    observation_weight: float = Field(default=0.0, ge=0)
    """Weight of the observations' tokens in the loss; the actions' tokens weigh 1."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3)
    """How weights move."""


class RolloutConfig(Section):
    """How episodes are collected."""

    tasks: int = Field(default=16, ge=1)
    """Tasks (worlds) per iteration."""
    group_size: int = Field(default=8, ge=1)
    """Episodes per task, all from the identical state."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature in training."""
    max_turns: int | None = Field(default=None, ge=1)
    """Turn limit of the harness; the environment's own holds too."""
    max_tokens_per_call: int = Field(default=64, ge=1)
    """Most tokens of one answer."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Most sampled tokens of one episode."""
    timeout_s: float | None = Field(default=None, gt=0)
    """Wall-clock limit of one episode."""
    step_timeout_s: float | None = Field(default=60.0, gt=0)
    """Wall-clock limit of one step of the environment."""
    max_context: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and answer together; by default what the model can take."""
    opening: str = "{instructions}"
    """The system message; {instructions} stands for the environment's own. Empty: none."""
    action_tag: str = ""
    """The answer holds the action as <tag>...</tag>; empty: the whole answer is the action."""
    tool_calls: str = "auto"
    """How calls of tools are written, where the environment has tools: a format's name (hermes |
    qwen_xml | llama | react); auto: as the model's chat template has them."""
    tell_tools: bool = True
    """Whether the model is told of the tools; one so small that it learned its calls by imitation
    cannot read so long a prompt."""
    context: ContextConfig = ContextConfig()
    """What the model sees each turn: append | window | workspace, with its parameters."""
    driver: Literal["lockstep", "threaded"] = "lockstep"
    """How episodes run at the same time."""
    retries: int = Field(default=2, ge=0)
    """How often an episode that the platform spoiled is played again."""
    retry_pause_s: float = Field(default=20.0, ge=0)
    """Before the first retry where the sandboxes of many episodes failed at once, as they do when
    their engine is down; each further pause is three times as long."""
    max_failure_rate: float = Field(default=0.2, ge=0, le=1)
    """The run stops when more than this share of an iteration's episodes fails for good."""


class ToolEconomyConfig(Section):
    """How a right answer is worth more the fewer tool calls it took."""

    shorthand = "name"
    name: Literal["none", "otc-ppo", "otc-grpo"] = "none"
    """Which variant; see `agentgym.trainers.economy`."""
    alpha: float = Field(default=1.0, gt=0)
    """Factor of what is left of the outcome."""
    c: float | None = Field(default=None, gt=0)
    """How slowly it falls with the calls; by default the turn limit."""
    part: str = "outcome"
    """The part of rewards that it is about; "*": the whole reward."""


class RewardConfig(Section):
    """What becomes of the environment's rewards in training."""

    parts: dict[str, float] = Field(default_factory=dict)
    """Weights of the named parts that the rewards of turns are made of. Parts without a weight
    count 0 then, and so does what has no name, which is called "rest". Empty: all count 1."""
    tool_economy: ToolEconomyConfig = ToolEconomyConfig()
    """Whether tool calls make a right answer worth less: none | otc-ppo | otc-grpo."""
    invalid_action_penalty: float = Field(default=0.0, ge=0)
    """Taken off for every action that the environment does not understand. See
    `agentgym.trainers.prepare.penalise_invalid_actions` for why it is off."""
    kl_coef: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence from the policy of the beginning, taken off the rewards of turns;
    0: none. See `agentgym.trainers.prepare.penalise_kl`."""
    kl: KLKind = "k1"
    """Which estimator of it."""


class UpdateConfig(OptimizerConfig):
    """How one iteration's rows become optimizer steps."""

    epochs: int = Field(default=1, ge=1)
    """Passes over the rows of one iteration."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass."""
    minibatch_rows: int | None = Field(default=None, ge=1)
    """Rows per optimizer step, about, instead of a number of steps per pass."""
    micro_batch_tokens: int = Field(default=8192, ge=1)
    """Positions per forward pass: memory, not meaning."""


class CriticConfig(OptimizerConfig):
    """How the critic learns, for schemes that need a value per token such as gae."""

    lr: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the rows of one iteration."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass."""
    clip: float = Field(default=0.5, ge=0)
    """How far a value may move in one iteration before its gradient is cut off; 0: anywhere."""
    warmup_iterations: int = Field(default=0, ge=0)
    """Iterations at the beginning in which the critic learns and the policy stands still."""


class EvalConfig(Section):
    """Evaluation on held-out worlds."""

    every: int = Field(default=10, ge=0)
    """Iterations between evaluations; 0: none but the last."""
    episodes: int = Field(default=200, ge=0)
    """Fresh worlds per evaluation, one episode each; 0: no evaluation."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature."""
    greedy: bool = False
    """Also with the most probable token everywhere."""
    final_episodes: int = Field(default=0, ge=0)
    """Worlds of the first and the last evaluation; 0: as many as of the others."""
    target: float | None = Field(default=None, ge=0, le=1)
    """Stop when the interval's lower end of the held-out success rate is above this."""


class TrainingConfig(Section):
    """How long, and what is kept."""

    iterations: int = Field(default=100, ge=0)
    """Iterations of reinforcement learning."""
    time_limit_s: float | None = Field(default=None, gt=0)
    """Stop after this much wall time, warm start and evaluations included."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Iterations between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints that are kept."""


class TrainConfig(Section):
    """One training run, from the very start to the last evaluation."""

    recipe: str = ""
    """Name of the recipe that this began as."""
    description: str = ""
    """What it is for, in a line."""
    seed: int = Field(default=0, ge=0)
    """Everything random follows from it."""
    threads: int = Field(default=1, ge=1)
    """Threads of tensor arithmetic; more than the idle cores make it slower, not faster."""
    env: EnvConfig
    model: ModelConfig
    agent: AgentConfig = AgentConfig()
    """Who acts."""
    backend: BackendConfig = BackendConfig()
    """What samples."""
    warmstart: WarmstartConfig = WarmstartConfig()
    rollout: RolloutConfig = RolloutConfig()
    reward: RewardConfig = RewardConfig()
    annotate: dict[str, AnnotatorConfig] = Field(default_factory=dict)
    """What supplies a need of the credit scheme, by need: parameters, or another annotator."""
    credit: CreditConfig = CreditConfig()
    """How success becomes an advantage for every token."""
    normalise: NormaliseConfig = NormaliseConfig()
    """How advantages are scaled, and over what."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    optim: UpdateConfig = UpdateConfig(lr=1e-6)
    critic: CriticConfig = CriticConfig()
    """What estimates values, where the credit scheme needs them."""
    eval: EvalConfig = EvalConfig()
    train: TrainingConfig = TrainingConfig()


def recipes() -> dict[str, Path]:
    """Return the recipes that come with agentgym, by name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}


def load_recipe(name: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the configuration that a recipe and `key=value` overrides describe.

    Args:
        name: a recipe that comes with agentgym, or the path of a TOML file, which may extend one.
        overrides: as `agentgym.config.load` takes them.

    Raises:
        UnknownName: no such recipe, or no such key; names the nearest.
        ConfigError: a wrong type or a bad value.
    """
    path = Path(name) if name.endswith(".toml") else recipes().get(name)
    if path is None or not path.is_file():
        raise UnknownName("recipe", name, recipes())
    config = load(TrainConfig, path, overrides, library=RECIPES)
    return config if config.recipe else config.model_copy(update={"recipe": path.stem})
