"""`check_env`: everything that the contract of an environment promises, tried out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from agentgym.env import TextEnv, env_class, make
from agentgym.errors import UserError
from agentgym.testing import env_protocol, env_replay, env_task
from agentgym.testing.play import Subject
from agentgym.testing.report import Named, Report, run_checks
from agentgym.types import JSON

ENV_CHECKS = (
    Named("describes itself", env_protocol.describes_itself, gate=True),
    Named("reset and step return the right types", env_protocol.plays_with_right_types, gate=True),
    Named("gymnasium's check_env", env_protocol.passes_gymnasium),
    Named("same seed, same episode", env_replay.same_seed_same_episode),
    Named("asking changes nothing", env_replay.asking_changes_nothing),
    Named("same episode in another process", env_replay.same_episode_in_another_process),
    Named("needs no torch", env_replay.needs_no_torch),
    Named("different seeds differ", env_replay.different_seeds_differ),
    Named("calls out of order are refused", env_protocol.refuses_calls_out_of_order),
    Named("odd actions are answered", env_protocol.survives_odd_actions),
    Named("actions of other types are refused", env_protocol.refuses_other_types),
    Named("state_key identifies the state", env_replay.state_key_identifies),
    Named("snapshot and restore", env_replay.snapshot_returns_to_the_same_future),
    Named("gold solves the task", env_task.gold_solves),
    Named("gold from a later state", env_task.gold_from_anywhere),
    Named("expert demonstrates", env_task.expert_demonstrates),
    Named("doing nothing fails", env_task.doing_nothing_fails),
    Named("admissible commands are valid", env_task.admissible_commands_are_valid),
    Named("info survives JSON", env_protocol.info_is_json),
    Named("what was returned stays as it is", env_protocol.keeps_what_it_returned),
    Named("global randomness is left alone", env_protocol.leaves_global_randomness_alone),
    Named("presets can be made", env_protocol.presets_can_be_made),
)


def check_env(
    env: str | type[TextEnv] | Callable[[], TextEnv],
    *,
    options: Mapping[str, JSON] | None = None,
    preset: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 30,
    timeout_s: float | None = 120.0,
) -> Report:
    """Try out the whole contract of an environment.

    Args:
        env: a name (`household`, `my_pkg.my_game:MyGame`), a class, or a function without
            arguments that makes a fresh environment. A name lets more be checked, since another
            process can load it too.
        options: constructor options, with a name or a class.
        preset: with a name: one of its presets.
        seeds: what is tried with each.
        steps: most actions of one episode of the kit.
        timeout_s: seconds for one check, after which the environment counts as hanging. None: no
            limit, and everything runs in the calling thread (for debuggers).

    Raises:
        UserError: no such name, option or preset, or `env` is an instance.

    >>> from agentgym.testing import check_env
    >>> check_env("guess", seeds=(0,)).raise_on_failure().failed
    ()
    """
    subject = _subject(env, dict(options or {}), preset, tuple(seeds), steps)
    checks = [replace(item, check=_closing(item)) for item in ENV_CHECKS]
    return run_checks(
        "environment",
        subject.label,
        subject,
        checks,
        timeout_s=timeout_s,
        doing=lambda: subject.doing,
    )


def _subject(
    env: str | type[TextEnv] | Callable[[], TextEnv],
    options: dict[str, JSON],
    preset: str | None,
    seeds: tuple[int, ...],
    steps: int,
) -> Subject:
    made_with = cast("dict[str, Any]", options)
    if isinstance(env, str):
        name, cls = env, env_class(env)
        try:
            make(name, preset=preset, **made_with).close()
        except UserError:
            raise
        except Exception:  # for the checks to report
            pass
        made_with = {**cls.presets.get(preset or "", {}), **made_with}
        return Subject(name, cls, lambda: make(name, **made_with), name, made_with, seeds, steps)
    if preset is not None:
        raise UserError("preset needs an environment given by name")
    if isinstance(env, TextEnv):
        raise UserError(
            f"check_env needs fresh environments: pass the class {type(env).__name__}, a name, or "
            "a function that makes one, instead of an instance"
        )
    if isinstance(env, type):
        cls = env
        if not issubclass(cls, TextEnv):
            raise UserError(f"{cls.__name__} is not a subclass of agentgym.TextEnv")
        return Subject(cls.__name__, cls, lambda: cls(**made_with), None, options, seeds, steps)
    if options:
        raise UserError("options need an environment given by name or class")
    first = env()
    cls = type(first)
    if isinstance(first, TextEnv):
        first.close()
    return Subject(cls.__name__, cls, env, None, {}, seeds, steps)


def _closing(item: Named[Subject]) -> Callable[[Subject], None]:
    def run(subject: Subject) -> None:
        with _closed_after(subject):
            item.check(subject)

    return run


@contextmanager
def _closed_after(subject: Subject) -> Iterator[None]:
    try:
        yield
    finally:
        subject.close_all()
