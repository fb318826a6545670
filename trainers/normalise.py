"""Normalisation of advantages after credit, as a stage of its own with its scope named.

Hidden inside a scheme, statistics get weighted by length unnoticed. Here the weight is a choice:

scope         the units that mean and standard deviation are over; each counts once
"none"        nothing is changed
"trajectory"  trajectories: the mean advantage over a trajectory's tokens
"turn"        turns: the mean advantage over a turn's tokens
"token"       tokens

`over="batch"` pools the units of all groups, `over="group"` those of each group apart. Only tokens
that are trained on enter: of valid trajectories and trainable calls. They are shifted by the mean
and divided by (std + eps), ddof 1; all others stay 0. Units that are all equal, or only one, have
no spread to divide by: then only the mean is subtracted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from agentgym.config import build
from agentgym.errors import ConfigError
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.credit.base import Advantages, CreditScheme, Floats, own_normalisation
from agentgym.trainers.credit.common import check_range, difference, settle
from agentgym.types import Call, Group

Scope = Literal["none", "trajectory", "turn", "token"]


def normalise_of(config: TrainConfig, credit: CreditScheme) -> "Normalise":
    """Return the stage of a run: the recipe's, or that which the credit scheme's paper has.

    Raises:
        ConfigError: wrong parameters, or a sum whose terms have different ones.
    """
    named = config.normalise.name
    scope = own_normalisation(credit) if named == "scheme" else named
    if not scope:
        raise ConfigError(
            f"the terms of {config.credit.name!r} differ in what they are normalised over; say "
            "which it is to be, e.g. normalise=token, or normalise=none"
        )
    params = {"scope": scope, **config.normalise.params}
    return build(Normalise, params, where="normalise")


@dataclass(frozen=True)
class Normalise:
    """The normalisation stage: advantages of a batch of groups in, the same shape out.

    Attributes:
        scope: what counts once in the statistics; "none" changes nothing.
        over: whether the units of the whole batch or of each group are pooled.
        center: whether the mean is subtracted.
        scale: whether to divide by the standard deviation.
        eps: added to the standard deviation.

    >>> from agentgym.trainers.credit.common import example
    >>> from agentgym.trainers.credit.base import widen_trajectories
    >>> group = example(rewards=[[0, 0, 0], [0]])
    >>> values = [widen_trajectories(group, [1.0, 0.0])]
    >>> for scope in ("trajectory", "turn"):
    ...     [out] = Normalise(scope, scale=False)([group], values)
    ...     print(scope, [float(episode[0][0][0]) for episode in out])
    trajectory [0.5, -0.5]
    turn [0.25, -0.75]
    """

    scope: Scope = "none"
    over: Literal["batch", "group"] = "batch"
    center: bool = True
    scale: bool = True
    eps: float = 1e-8

    def __post_init__(self) -> None:
        settle(self)
        check_range(self, "eps", 0.0, 1.0)

    def __call__(
        self, groups: Sequence[Group], advantages: Sequence[Advantages]
    ) -> list[Advantages]:
        """Return the normalised advantages; reports are passed on.

        Raises:
            ValueError: there are not as many advantages as groups.
        """
        if len(groups) != len(advantages):
            raise ValueError(f"{len(groups)} groups but advantages for {len(advantages)}")
        if self.scope == "none":
            return list(advantages)
        units = [self._units(g, a) for g, a in zip(groups, advantages, strict=True)]
        if self.over == "batch":
            units = [np.concatenate(units) if units else np.zeros(0)] * len(units)
        return [self._apply(g, a, u) for g, a, u in zip(groups, advantages, units, strict=True)]

    def _units(self, group: Group, advantages: Advantages) -> Floats:
        """Return the values that mean and std are over."""
        units: list[float] = []
        for trajectory, values_KCT in zip(group.trajectories_G, advantages, strict=True):
            if not trajectory.valid:
                continue
            turns = [
                np.concatenate(
                    [v for c, v in zip(turn.calls, values_CT, strict=True) if c.trainable]
                    or [np.zeros(0)]
                )
                for turn, values_CT in zip(trajectory.turns, values_KCT, strict=True)
            ]
            tokens = np.concatenate(turns) if turns else np.zeros(0)
            match self.scope:
                case "trajectory":
                    units.extend([float(tokens.mean())] if len(tokens) else [])
                case "turn":
                    units.extend(float(t.mean()) for t in turns if len(t))
                case _:
                    units.extend(tokens.tolist())
        return np.array(units, np.float64)

    def _apply(self, group: Group, advantages: Advantages, units: Floats) -> Advantages:
        if not len(units):
            return advantages
        mean = float(units.mean())
        spread = difference(units, mean).any()
        std = float(units.std(ddof=1)) + self.eps if self.scale and spread else 1.0
        shift = mean if self.center else 0.0

        def moved(call: Call, values_T: Floats, valid: bool) -> Floats:
            if not valid or not call.trainable:
                return np.zeros(len(values_T))
            return difference(values_T, shift) / std

        values_GKCT = tuple(
            tuple(
                tuple(
                    moved(call, values_T, trajectory.valid)
                    for call, values_T in zip(turn.calls, values_CT, strict=True)
                )
                for turn, values_CT in zip(trajectory.turns, values_KCT, strict=True)
            )
            for trajectory, values_KCT in zip(group.trajectories_G, advantages, strict=True)
        )
        return replace(advantages, values_GKCT=values_GKCT)
