"""Checks of the options that an environment is made with: mistakes stop at once, and say why."""

from collections.abc import Iterable

from agentgym.errors import ConfigError, nearest


def check_choice(env: str, option: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not among the choices.

    Raises:
        ConfigError: names environment, option and value, and the nearest choices.

    >>> check_choice("household", "size", "tinny", ("tiny", "small"))
    Traceback (most recent call last):
    ...
    agentgym.errors.ConfigError: household has no size 'tinny'; did you mean 'tiny'? (size is one \
of tiny, small)
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise ConfigError(
            f"{env} has no {option} {value!r:.80}; {nearest(str(value), known)} "
            f"({option} is one of {', '.join(known)})"
        )


def check_switch(option: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises:
        ConfigError: names option and value.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{option} must be true or false, got {value!r}")


def check_whole(option: str, value: object, *, least: int = 1, most: int | None = None) -> None:
    """Refuse what is no whole number from `least` to `most`.

    Raises:
        ConfigError: names option and value.
    """
    fits = isinstance(value, int) and value >= least and (most is None or value <= most)
    if isinstance(value, bool) or not fits:
        limit = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ConfigError(f"{option} must be a whole number {limit}, got {value!r}")


def check_amount(option: str, value: object) -> None:
    """Refuse what is no number from 0 to a million.

    Raises:
        ConfigError: names option and value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ConfigError(f"{option} must be a number of at least 0, got {value!r}")


def check_share(option: str, value: object) -> None:
    """Refuse what is no number from 0 to 1.

    Raises:
        ConfigError: names option and value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{option} must be a number from 0 to 1, got {value!r}")
