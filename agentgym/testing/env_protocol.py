"""Checks of an environment: what it says of itself, types, order of calls, odd actions."""

import inspect
import json
import random
import re
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from agentgym.env import TextEnv
from agentgym.errors import EnvClosed, EnvContractError, ResetNeeded, UserError
from agentgym.testing.play import Player, Subject, explore, script, short
from agentgym.testing.report import Doubtful, Failed, NotApplicable

ODD_ACTIONS = (
    "",
    " \t\n ",
    "x" * 1_000_000,
    "go to " * 2_000,
    "\x00\x01\x07\x1b[31mred\x7f",
    "line one\nline two\r\nline three",
    "アイウ 語 שלום مرحبا \u202e🎮",
    "na\u0308ive İstanbul ß",
    "\ud800 lone surrogate",
    "{0} {name} %s %d ${PATH} \\ ' \" `",
    "take None from cabinet -1",
    "9" * 5_000,
)
"""Strings that an environment answers with an observation, whatever it makes of them."""

NOT_ACTIONS = (None, 3, b"look", ["look"])


def describes_itself(subject: Subject) -> None:
    """Docstring, version, instructions and the other data on the class."""
    cls, faults = subject.cls, []
    for hook in ("reset", "step", "close"):
        if getattr(cls, hook) is not getattr(TextEnv, hook):
            faults.append(
                f"{hook}() is overridden; write begin(), act() and shutdown() instead, "
                "which TextEnv calls after its own checks"
            )
    for hook in ("begin", "act"):
        if getattr(cls, hook) is getattr(TextEnv, hook):
            faults.append(f"{hook}() is not written")
    if not (cls.__doc__ or "").strip():
        faults.append("the class has no docstring; its first line is the summary in listings")
    if type(cls.version) is not int or cls.version < 0:
        faults.append(f"version must be a whole number of at least 0, got {cls.version!r}")
    if cls.determinism not in ("exact", "recorded", "none"):
        faults.append(f"determinism must be exact, recorded or none, got {cls.determinism!r}")
    if not isinstance(cls.noop, str):
        faults.append(f"noop must be a str, got {cls.noop!r}")
    env = subject.new()
    if not isinstance(env.instructions, str) or not env.instructions.strip():
        faults.append("instructions is empty; say what the agent is to do and how to answer")
    if env.max_turns is not None and (type(env.max_turns) is not int or env.max_turns < 1):
        faults.append(f"max_turns must be None or at least 1, got {env.max_turns!r}")
    try:
        json.dumps([dict(tool) for tool in env.tools], allow_nan=False)
    except (TypeError, ValueError) as error:
        faults.append(f"tools must be JSON schemas: {error}")
    if faults:
        raise Failed("; ".join(faults))


def plays_with_right_types(subject: Subject) -> None:
    """Every value that comes back has its type and is inside its space."""
    for seed in subject.seeds:
        explore(Player(subject), seed, random.Random(seed))


def passes_gymnasium(subject: Subject) -> None:
    """gymnasium.utils.env_checker.check_env accepts it."""
    subject.doing = "gymnasium's check_env"
    env = subject.new()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gymnasium_check_env(env, skip_render_check=True, skip_close_check=True)
        except AssertionError as error:
            raise Failed(f"gymnasium says: {_plain_text(error)}") from None
    said = [_plain_text(w.message) for w in caught if issubclass(w.category, UserWarning)]
    said = [text for text in said if "having a spec" not in text]
    if said:
        raise Doubtful(f"gymnasium says: {'; '.join(dict.fromkeys(said))}")


def refuses_calls_out_of_order(subject: Subject) -> None:
    """Calls before reset, after the end and after close raise; closing twice does not."""
    env, noop = subject.new(), subject.cls.noop
    subject.doing = "step() before reset()"
    _must_raise(lambda: env.step(noop), ResetNeeded, "step() before reset()")
    player = Player(subject)
    steps = [player.reset(subject.seeds[0])]
    limit = min(player.env.max_turns or 200, 200)
    while not steps[-1].over and len(steps) <= limit:
        steps.append(player.step(noop))
    if steps[-1].over:
        subject.doing = "step() after the end"
        _must_raise(lambda: player.env.step(noop), ResetNeeded, "step() after the end")
    for k in (1, 2):
        subject.doing = f"close(), call {k}"
        player.env.close()
    _must_raise(lambda: player.env.step(noop), EnvClosed, "step() after close()")
    _must_raise(lambda: player.env.reset(seed=0), EnvClosed, "reset() after close()")
    subject.doing = "close() before reset()"
    env.close()


def survives_odd_actions(subject: Subject) -> None:
    """An action that makes no sense is an observation, never an exception."""
    player = Player(subject)
    step = player.reset(subject.seeds[0])
    longest = 0
    for action in ODD_ACTIONS:
        if step.over:
            step = player.reset(subject.seeds[0])
        try:
            step = player.step(action)
        except (Failed, EnvContractError):
            raise
        except Exception as error:
            raise Failed(
                f"the action {short(action)} raised {type(error).__name__}: {str(error)[:80]}; "
                "a mistake of the agent is an observation, with action_valid=False"
            ) from error
        longest = max(longest, len(step.observation))
    if longest > 100_000:
        raise Doubtful(
            f"an action of 1 MB is answered with {longest:,} characters; cut what you repeat"
        )


def refuses_other_types(subject: Subject) -> None:
    """An action that is not a string is an EnvContractError, and the episode goes on."""
    player = Player(subject)
    player.reset(subject.seeds[0])
    for action in NOT_ACTIONS:
        subject.doing = f"step({action!r})"
        _must_raise(
            lambda action=action: player.env.step(cast("str", action)),  # type: ignore[misc]
            EnvContractError,
            f"step({action!r})",
        )
    player.step(subject.cls.noop)


def info_is_json(subject: Subject) -> None:
    """Everything in info but `messages` survives a round trip through JSON."""
    for seed in subject.seeds[:1]:
        for k, step in enumerate(explore(Player(subject), seed, random.Random(seed))):
            for key, value in step.info.items():
                if not isinstance(key, str):
                    raise Failed(f"info has the key {key!r}; keys must be str")
                try:
                    if key != "messages":
                        json.dumps(value, allow_nan=False)
                except (TypeError, ValueError) as error:
                    raise Failed(
                        f"info[{key!r}] at step {k} cannot be recorded as JSON ({error}); "
                        "use str, int, finite float, bool, None, lists and dicts"
                    ) from None


def keeps_what_it_returned(subject: Subject) -> None:
    """An info that was returned does not change later, when it may have been stored."""
    seed = subject.seeds[0]
    actions = script(subject, seed)
    player = Player(subject)
    steps, then = [player.reset(seed)], []
    for action in actions:
        then.append(repr(steps[-1].info))
        if steps[-1].over:
            break
        steps.append(player.step(action))
    for k, (step, before) in enumerate(zip(steps, then, strict=False)):
        if repr(step.info) != before:
            raise Failed(
                f"the info returned at step {k} was changed later: {short(before)} became "
                f"{short(repr(step.info))}; give out a fresh dict, list, ... each time"
            )


def leaves_global_randomness_alone(subject: Subject) -> None:
    """Neither drawing from nor seeding the generators that all code shares."""
    before = _global_states()
    explore(Player(subject), subject.seeds[0], random.Random(0))
    after = _global_states()
    touched = [name for name in before if before[name] != after[name]]
    if touched:
        raise Failed(
            f"the global generator of {' and '.join(touched)} is used or seeded; "
            "draw from self.np_random instead"
        )


def presets_can_be_made(subject: Subject) -> None:
    """Every preset is a set of options that the constructor takes."""
    if not subject.cls.presets:
        raise NotApplicable("there are no presets")
    parameters = inspect.signature(subject.cls).parameters
    for name, options in subject.cls.presets.items():
        unknown = [key for key in options if key not in parameters]
        if unknown:
            raise Failed(f"preset {name!r} sets {unknown[0]!r}, which the constructor has not")
        subject.doing = f"the constructor with preset {name!r}"
        try:
            made = subject.cls(**cast("dict[str, Any]", {**subject.options, **options}))
        except UserError as error:
            raise Failed(f"preset {name!r} is refused: {error}") from error
        made.reset(seed=subject.seeds[0])
        made.close()


def _must_raise(call: Callable[[], object], kind: type[Exception], what: str) -> None:
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise Failed(f"{what} must raise {kind.__name__}, raised {type(error).__name__}") from error
    raise Failed(f"{what} must raise {kind.__name__}, and did not")


def _global_states() -> dict[str, object]:
    numpy_state = np.random.get_state(legacy=False)
    return {"random": random.getstate(), "numpy.random": repr(numpy_state)}


def _plain_text(message: object) -> str:
    """Return a message without terminal colours, on one line."""
    return " ".join(re.sub(r"\x1b\[\d+m", "", str(message)).split()).removeprefix("WARN: ")
