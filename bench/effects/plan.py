"""What is compared: effects, some of them in several settings; their arms, and the runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.trainers.config import TrainConfig, load_recipe

HERE = Path(__file__).parent
SEEDS = (0, 1, 2, 3, 4)

QUICK = {
    "train.iterations": "2",
    "rollout.tasks": "2",
    "rollout.group_size": "2",
    "eval.every": "1",
    "eval.episodes": "4",
    "warmstart.demonstrations": "8",
    "warmstart.epochs": "1",
}
"""As little as goes through every stage; its figures mean nothing."""

START = {"train.iterations": "0", "eval.episodes": "0", "eval.final_episodes": "0"}
"""A warm start is neither trained further nor measured."""


@dataclass(frozen=True)
class Effect:
    """One comparison.

    Attributes:
        name: of the effect and of its recipe, NAME.toml in this folder.
        arms: overrides that alone set each arm apart from the recipe.
    """

    name: str
    arms: Mapping[str, Mapping[str, str]]

    @property
    def recipe(self) -> Path:
        """Everything that the arms share."""
        return HERE / f"{self.name}.toml"


def gates(outcome: float) -> str:
    """Return channels of the rewards of repairs: steps count where the outcome is so high."""
    return f'[{{name="outcome", gate={outcome}}}, {{name="*"}}]'


REPAIRS: Mapping[str, Mapping[str, str]] = {
    "direct": {"credit.accumulation": "direct"},
    "gated at any change": {"credit.channels": gates(0.3)},
    "gated": {},
}

EFFECTS = {
    effect.name: effect
    for effect in (
        Effect("household", {"grpo": {"credit": "grpo"}, "gigpo": {"credit": "gigpo"}}),
        Effect(
            "search",
            {
                "grpo": {"credit": "grpo"},
                # Whether it is the loudness of gains that costs success.
                "igpo, gains 0.2": {"credit": "igpo", "credit.gain_weight": "0.2"},
                "igpo": {"credit": "igpo"},
            },
        ),
        Effect("search_weak", {"grpo": {"credit": "grpo"}, "igpo": {"credit": "igpo"}}),
        Effect("planner", {"flow_grpo": {}}),
        Effect(
            "farm",
            {
                "direct": {"credit.accumulation": "direct"},
                "gated": {},
                "gated, std": {"credit.then": "grpo"},
                # A gate that nothing reaches: checks never count.
                "outcome alone": {"credit.channels": '[{name="success", gate=2.0}, {name="*"}]'},
            },
        ),
        Effect("swe", {**REPAIRS, "outcome alone": {"credit.channels": gates(2.0)}}),
        Effect("swe_farm", REPAIRS),
    )
}


@dataclass(frozen=True)
class Job:
    """One training run: the warm start of a seed, or an arm that begins with its weights."""

    effect: str
    arm: str  #: "start" for the warm start
    seed: int
    folder: Path
    recipe: Path
    overrides: Mapping[str, str]
    start: "Job | None" = field(default=None, repr=False)  #: whose weights it begins with

    @property
    def name(self) -> str:
        """Which run this is, for people."""
        return f"{self.effect} {self.arm} {self.seed}"

    @property
    def words(self) -> list[str]:
        """What follows `agentgym train`."""
        return [str(self.recipe), *(f"{key}={value}" for key, value in self.overrides.items())]

    def config(self) -> TrainConfig:
        """Return what it will train.

        Raises:
            UserError: the recipe or an override is wrong.
        """
        return load_recipe(self.words[0], self.words[1:])


def run_folder(out: Path, effect: str, arm: str, seed: int) -> Path:
    """Return where a run is recorded."""
    return out / effect / f"{re.sub('[^a-z0-9]+', '_', arm)}-{seed}"


def jobs(
    effects: Sequence[Effect], seeds: Sequence[int], out: Path, shared: Mapping[str, str]
) -> list[Job]:
    """Return the runs in the order in which they start, every warm start before its arms.

    Args:
        effects: what to compare.
        seeds: of every effect; the arms of a seed share the weights that they begin with, the
            worlds they train on and the worlds they are measured on.
        out: where the run folders go.
        shared: more overrides for all runs.
    """
    found = []
    for effect in effects:
        for seed in seeds:
            common = {"seed": str(seed), **shared}
            start = Job(
                effect.name,
                "start",
                seed,
                run_folder(out, effect.name, "start", seed),
                effect.recipe,
                {**common, **START},
            )
            found.append(start)
            begun = {"model": str(start.folder / "policy"), "warmstart.demonstrations": "0"}
            found += [
                Job(
                    effect.name,
                    arm,
                    seed,
                    run_folder(out, effect.name, arm, seed),
                    effect.recipe,
                    {**common, **begun, **overrides},
                    start,
                )
                for arm, overrides in effect.arms.items()
            ]
    return found
