"""Parameters of a credit scheme that change from iteration to iteration.

A schedule is a list of points (iteration, value): straight lines between them, constant before the
first and after the last. The value of an iteration depends on nothing else, so a resumed run has
the same.

Axis: P points.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np

from agentgym.errors import ConfigError, UnknownName
from agentgym.trainers.credit.base import CreditScheme

Points: TypeAlias = tuple[tuple[float, float], ...]
"""Iterations, rising, and the values there."""


def values_at(schedule: Mapping[str, Points], iteration: int) -> dict[str, float]:
    """Return the value of each scheduled parameter in an iteration.

    >>> values_at({"gain_weight": ((10, 1.0), (20, 0.5))}, 15)
    {'gain_weight': 0.75}
    """
    found = {}
    for name, points_P in schedule.items():
        iterations_P, values_P = zip(*points_P, strict=True)
        found[name] = float(np.interp(iteration, iterations_P, values_P))
    return found


def scheduled(credit: CreditScheme, schedule: Mapping[str, Points], iteration: int) -> CreditScheme:
    """Return the scheme of an iteration: the same, but for the scheduled parameters."""
    if not schedule:
        return credit
    return cast("CreditScheme", replace(cast("Any", credit), **values_at(schedule, iteration)))


def check_schedule(credit: CreditScheme, schedule: Mapping[str, Points]) -> None:
    """Refuse a schedule that a scheme cannot follow.

    Raises:
        UnknownName: the scheme has no such parameter; names the nearest.
        ConfigError: points that do not rise, or a value that the scheme refuses.
    """
    known: list[str] = [f.name for f in fields(credit)] if is_dataclass(credit) else []
    for name, points_P in schedule.items():
        if name not in known:
            raise UnknownName(f"parameter of {type(credit).__name__} to schedule", name, known)
        iterations_P = [iteration for iteration, _ in points_P]
        if not points_P or sorted(set(iterations_P)) != iterations_P:
            raise ConfigError(
                f"credit.schedule.{name} must be points [iteration, value] with rising iterations, "
                f"such as [[1, 1.0], [100, 0.0]]; got {[list(point) for point in points_P]}"
            )
        for iteration, value in points_P:
            try:
                replace(cast("Any", credit), **{name: value})
            except ConfigError as error:
                raise ConfigError(f"credit.schedule, iteration {iteration:g}: {error}") from error
