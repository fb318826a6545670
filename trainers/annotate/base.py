"""Which annotators a run has: found by the need that they supply, and checked before it starts.

An annotator is one file, `trainers/annotate/<need>.py`, with one frozen dataclass in its `__all__`:
see `Annotator` in `agentgym.trainers.credit.base`. Outside of the tree it is an entry point named
after the need, in the group `agentgym.annotate`; or a recipe names it:

    [annotate.gold_logprob]
    name = "my_pkg.belief:Belief"   # instead of agentgym's own
    temperature = 1.0               # its parameters
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

from agentgym import registry
from agentgym.config import build
from agentgym.env import TextEnv, env_class
from agentgym.errors import ConfigError
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.credit.base import Annotator, CreditScheme, provided_by, require

ABSENT = {
    "answer": "knows no answer (an environment tells it by answer())",
    "state_key": "does not name its states (an environment does by state_key())",
}
"""What to say of an environment that does not have what an annotator requires."""

OF_THE_RUN = frozenset({"reference", "critic"})
"""What an annotator may require that a run can always have."""


def annotators_of(config: TrainConfig, credit: CreditScheme) -> tuple[Annotator, ...]:
    """Return the annotators of a run, in the order in which they run.

    Raises:
        UnknownName, ConfigError: see `make_annotators`.
    """
    needs = credit.needs - provided_by(env_class(config.env.name))
    sections = {need: (each.name, each.params) for need, each in config.annotate.items()}
    if config.reward.kl_coef:
        needs |= {"ref_logprob"}
        name, params = sections.get("ref_logprob", ("", {}))
        shared = {"temperature": config.rollout.temperature}
        sections["ref_logprob"] = name, params if name else shared | params
    return make_annotators(needs, sections)


def make_annotators(
    needs: Collection[str], sections: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> tuple[Annotator, ...]:
    """Return the annotators that supply `needs`, as far as there are any.

    Args:
        needs: what the run needs and the environment does not have.
        sections: by need, what a recipe says: a name ("": the need's own) and parameters. Those
            that nothing needs are checked all the same, and do not run.

    Raises:
        UnknownName: no such annotator or parameter; names the nearest.
        ConfigError: a parameter has a wrong value, or an annotator supplies something else.
    """
    known = registry.entries("annotate")
    found: dict[str, Annotator] = {}
    for need in sorted({*sections, *(need for need in needs if need in known)}):
        name, params = sections.get(need, ("", {}))
        cls = cast("type[Any]", registry.load("annotate", name or need))
        made: Annotator = build(cls, params, where=f"annotate.{need}")
        if need not in made.provides:
            raise ConfigError(
                f"annotate.{need}: {cls.__name__} supplies {', '.join(sorted(made.provides))}, "
                f"not {need}"
            )
        found[need] = made
    running: list[Annotator] = []
    for need in sorted(found.keys() & set(needs)):
        if not any(need in annotator.provides for annotator in running):
            running.append(found[need])
    return tuple(running)


def check_supply(
    credit: CreditScheme,
    name: str,
    annotators: Collection[Annotator],
    env: TextEnv,
    shaped: bool = False,
) -> None:
    """Check that a scheme gets what it needs, from the environment or from annotators.

    Args:
        credit: the scheme. name: what the recipe calls it.
        annotators: those of the run.
        env: an environment, after `reset`.
        shaped: whether the recipe itself changes the rewards of single turns.

    Raises:
        ConfigError: something is missing; names the scheme, the annotator and the environment.
    """
    provided = provided_by(env)
    for annotator in annotators:
        missing = annotator.requires - provided - OF_THE_RUN
        if "answer" in annotator.requires and env.answer() is None:
            missing |= {"answer"}
        for one in sorted(missing):
            why = ABSENT.get(one, f"does not provide it ({one})")
            raise ConfigError(
                f"the credit scheme {name} needs {', '.join(sorted(annotator.provides))}, which "
                f"{type(annotator).__name__} works out from {one}, but the environment "
                f"{env.name!r} {why}; choose another scheme or environment"
            )
    supplied = provided.union(*(annotator.provides for annotator in annotators))
    if shaped:
        supplied |= {"turn_reward"}
    require(credit, supplied, source=f"the environment {env.name!r}")
