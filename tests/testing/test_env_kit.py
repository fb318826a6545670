"""The conformance kit for environments: a good one passes, each fault is found and named."""

import itertools
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest

from agentgym import Outcome, TextEnv
from agentgym.errors import ConformanceError, UnknownName, UserError
from agentgym.testing import Report, check_env
from agentgym.testing.envs import ENV_CHECKS


class Counter(TextEnv):
    """Say the numbers from a start upwards until the goal."""

    instructions = "Say the next number."
    max_turns = 12

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        self.at = int(self.np_random.integers(1, 10))
        self.goal = self.at + 5
        return Outcome(self._text(), info=self._info())

    def act(self, action: str) -> Outcome:
        if action != str(self.at + 1):
            return Outcome(self._text(), action_valid=False, info=self._info())
        self.at += 1
        won = self.at == self.goal
        return Outcome(
            self._text(),
            float(won),
            terminated=won,
            success=won or None,
            action_valid=True,
            info=self._info(),
        )

    def state_key(self) -> str | None:
        return f"{self.at} of {self.goal}"

    def gold(self) -> Iterable[str] | None:
        return [str(n) for n in range(self.at + 1, self.goal + 1)]

    def _text(self) -> str:
        return f"We are at {self.at}, going to {self.goal}."

    def _info(self) -> dict[str, Any]:
        return {"admissible_commands": [str(self.at + 1)]}


def check(cls: Any, **how: Any) -> Report:
    return check_env(cls, seeds=(0, 1), **how)


def details(report: Report) -> dict[str, str]:
    return {check.name: check.detail for check in report.failed}


def test_a_good_environment_passes() -> None:
    report = check(Counter)
    assert str(report) == f"environment Counter: {report.counts()}"
    assert report.raise_on_failure() is report
    assert report
    assert {c.name for c in report.not_applicable} == {
        "same episode in another process",
        "needs no torch",
        "presets can be made",
    }
    assert len(report.passed) >= 15


# Each of these changes one thing of Counter; what the kit says about it is below.


class IntObservation(Counter):
    """Bad."""

    def begin(self, options: Mapping[str, Any]) -> Any:
        super().begin(options)
        return self.at


class NoneOutcome(Counter):
    """Bad."""

    def act(self, action: str) -> Any:
        super().act(action)


class TupleOutcome(Counter):
    """Bad."""

    def act(self, action: str) -> Any:
        return "text", 0.0, False


class NanReward(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome("text", float("nan"))


class TextReward(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome("text", "1")  # type: ignore[arg-type]


class IntDone(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome("text", terminated=1)  # type: ignore[arg-type]


class InfoList(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome("text", info=["x"])  # type: ignore[arg-type]


class EndWithoutVerdict(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome("text", terminated=True)


class OutsideOfItsSpace(Counter):
    """Bad."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.observation_space: Any = gymnasium.spaces.Text(100)


class ListKey(Counter):
    """Bad."""

    def state_key(self) -> Any:
        return [self.at]


class BareCommands(Counter):
    """Bad."""

    def _info(self) -> dict[str, Any]:
        return {"admissible_commands": "look"}


class InfinitePart(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome("text", reward_parts={"speed": float("inf")})


class OwnStep(Counter):
    """Bad."""

    def step(self, action: str) -> Any:  # type: ignore[misc]
        return "text", 0.0, False


class NoAct(TextEnv):
    """Bad."""

    instructions = "Do."

    def begin(self, options: Mapping[str, Any]) -> str:
        return "text"


class Undescribed(Counter):
    version = "1"  # type: ignore[assignment]
    instructions = ""
    determinism = "mostly"  # type: ignore[assignment]
    noop = None  # type: ignore[assignment]
    tools = ({"name": {1, 2}},)  # type: ignore[dict-item]


class Raises(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        return Outcome({"here": "text"}["missing"])


class BadClose(Counter):
    """Bad."""

    def shutdown(self) -> None:
        raise OSError("the engine is gone")


class Exits(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        raise SystemExit("bye")


class BadConstructor(Counter):
    """Bad."""

    def __init__(self) -> None:
        raise OSError("no engine")


WRONG_TYPES: list[tuple[Any, str, str]] = [
    (IntObservation, "reset and step", r"observation of begin\(\) must be a str.*got int"),
    (NoneOutcome, "reset and step", r"its result of act\(\) must be an Outcome, got NoneType"),
    (TupleOutcome, "reset and step", r"its result of act\(\) must be an Outcome, got tuple"),
    (NanReward, "reset and step", r"reward of act\(\) must be a finite float, got float nan"),
    (TextReward, "reset and step", r"reward of act\(\) must be a finite float, got str '1'"),
    (IntDone, "reset and step", r"terminated of act\(\) must be a bool, got int 1"),
    (InfoList, "reset and step", r"info of act\(\) must be a dict, got list \['x'\]"),
    (EndWithoutVerdict, "reset and step", r"terminated is True at step 1 .* success is None"),
    (
        OutsideOfItsSpace,
        "reset and step",
        r"observation at reset\(seed=0\) is outside of .*Text",
    ),
    (
        ListKey,
        "reset and step",
        r"state_key\(\) at reset\(seed=0\) must be a str or None, got li",
    ),
    (BareCommands, "reset and step", r"admissible_commands'\] .* must be a list of str, got str"),
    (InfinitePart, "reset and step", r"reward_parts\['speed'\] of act\(\) must be a finite float"),
    (OwnStep, "describes itself", r"step\(\) is overridden; write begin\(\), act\(\)"),
    (NoAct, "describes itself", r"act\(\) is not written"),
    (Undescribed, "describes itself", r"no docstring.*version must.*determinism.*noop.*instruct"),
    (Undescribed, "describes itself", r"tools must be JSON schemas"),
    (Raises, "reset and step", r"step 1 \(seed 0\).* raised KeyError: 'missing' \(test_env_kit.py"),
    (BadClose, "describes itself", r"close\(\) raised OSError: the engine is gone"),
    (Exits, "reset and step", r"step 1 \(seed 0\).* raised SystemExit: bye \(test_env_kit.py"),
    (BadConstructor, "describes itself", r"the constructor raised OSError: no engine"),
]


@pytest.mark.parametrize(("cls", "name", "message"), WRONG_TYPES)
def test_E02_wrong_types_stop_the_kit(cls: type[TextEnv], name: str, message: str) -> None:
    report = check(cls)
    ((found, detail),) = details(report).items()
    assert found.startswith(name)
    assert re.search(message, detail), detail
    assert any(c.detail == f"not reached: {found!r} failed" for c in report.not_applicable)
    with pytest.raises(ConformanceError, match="fails 1 of its checks"):
        report.raise_on_failure()


class Unseeded(Counter):
    """Bad."""

    rng = random.Random(3)

    def act(self, action: str) -> Outcome:
        outcome = super().act(action)
        if self.turns == 2:
            outcome.reward = self.rng.random()
        return outcome


class Leftover(Counter):
    """Bad."""

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        self.episodes = getattr(self, "episodes", 0) + 1
        super().begin(options)
        return f"Episode {self.episodes}: {self._text()}"


class GlobalDraw(Counter):
    """Bad."""

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        np.random.random()
        return super().begin(options)


class GlobalSeed(Counter):
    """Bad."""

    numbers = itertools.count()

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        random.seed(next(self.numbers))
        return super().begin(options)


class DrawingKey(Counter):
    """Bad."""

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        self.keys = 0
        return super().begin(options)

    def state_key(self) -> str | None:
        self.keys += 1
        return f"{super().state_key()} {self.keys // 2}"


class DrawingGold(Counter):
    """Bad."""

    def gold(self) -> Iterable[str] | None:
        self.np_random.random()
        return super().gold()

    def act(self, action: str) -> Outcome:
        outcome = super().act(action)
        outcome.observation = f"{outcome.observation} {self.np_random.integers(10**9)}"
        return outcome

    def expert(self) -> str | None:
        return None


class PoorKey(Counter):
    """Bad."""

    def state_key(self) -> str | None:
        return "always the same"


class CountingKey(Counter):
    """Odd."""

    def state_key(self) -> str | None:
        return f"{super().state_key()} after {self.turns}"


class ForgetfulSnapshot(Counter):
    """Bad."""

    def snapshot(self) -> object:
        return {"goal": self.goal}

    def restore(self, snapshot: Any) -> None:
        self.goal = snapshot["goal"]


class UsedUpSnapshot(Counter):
    """Bad."""

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        self.heard: list[str] = []
        return super().begin(options)

    def act(self, action: str) -> Outcome:
        self.heard.append(action)
        outcome = super().act(action)
        outcome.observation = f"{len(self.heard)}: {outcome.observation}"
        return outcome

    def restore(self, snapshot: Any) -> None:
        self.__dict__ = snapshot | {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
        }


class NoSnapshot(Counter):
    """Fine."""

    def snapshot(self) -> object:
        raise NotImplementedError


class AlwaysOpen(Counter):
    """Bad."""

    _phase = "running"


class SharedInfo(Counter):
    """Bad."""

    commands: list[str] = []  # noqa: RUF012

    def _info(self) -> dict[str, Any]:
        self.commands[:] = [str(self.at + 1)]
        return {"admissible_commands": self.commands}


class NumbersAsActions(Counter):
    """Bad."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.action_space: Any = gymnasium.spaces.Discrete(3)


class LenientStep(Counter):
    """Bad."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.step = lambda action: TextEnv.step(self, str(action))  # type: ignore[method-assign,misc]


class WrongGold(Counter):
    """Bad."""

    def gold(self) -> Iterable[str] | None:
        return ["1", "2"]


class StringGold(Counter):
    """Bad."""

    def gold(self) -> Any:
        return "123"

    def expert(self) -> str | None:
        return None


class FirstStateGold(Counter):
    """Bad."""

    def gold(self) -> Iterable[str] | None:
        return super().gold() if self.turns == 0 else ["begin again"]

    def expert(self) -> str | None:
        return None


class Idle(Counter):
    """Bad."""

    noop = "wait"

    def act(self, action: str) -> Outcome:
        if action == "wait" and self.turns == 2:
            return Outcome("Well waited.", 5.0, terminated=True, success=True)
        return super().act(action)


class WrongCommands(Counter):
    """Bad."""

    def _info(self) -> dict[str, Any]:
        return {"admissible_commands": [str(self.at + 1), "fly away"]}


class DoubledCommands(Counter):
    """Bad."""

    def _info(self) -> dict[str, Any]:
        return {"admissible_commands": [str(self.at + 1)] * 2}


class Fragile(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        if action.isspace():
            action.split()[0]
        return super().act(action)


class Parrot(Counter):
    """Odd."""

    def act(self, action: str) -> Outcome:
        outcome = super().act(action)
        outcome.observation = f"{self._text()} You said {action}"
        return outcome


class ArrayInfo(Counter):
    """Bad."""

    def _info(self) -> dict[str, Any]:
        return {"grid": np.zeros(2)}


class BadPreset(Counter):
    """Bad."""

    presets = {"big": {"max_turn": 3}}  # noqa: RUF012


class RefusedPreset(Counter):
    """Bad."""

    presets = {"none": {"max_turns": 0}}  # noqa: RUF012


class Same(Counter):
    """Odd."""

    def begin(self, options: Mapping[str, Any]) -> str | Outcome:
        self.at, self.goal = 1, 4
        return self._text()


class Useless(Counter):
    """Odd."""

    def expert(self) -> str | None:
        return "hm"


FAULTS: list[tuple[Any, str, str]] = [
    (Unseeded, "same seed", r"reward differs at step 2, action .* \(seed 0\): 0\.\d+ against 0\."),
    (Leftover, "same seed", r"a second reset of one instance .* observation differs at reset"),
    (GlobalDraw, "global random", r"global generator of numpy.random is used or seeded"),
    (GlobalSeed, "global random", r"global generator of random is used or seeded"),
    (DrawingKey, "state_key", r"state_key\(\) called twice after .* gives two keys"),
    (DrawingGold, "asking", r"changed the episode: observation differs at step \d"),
    (PoorKey, "state_key", r"equal keys with different futures: in the state 'always the same'"),
    (ForgetfulSnapshot, "snapshot", r"restored to the snapshot of step \d, .* (differs|over)"),
    (UsedUpSnapshot, "snapshot", r"restored .*to the snapshot of step \d, the same actions gave"),
    (
        AlwaysOpen,
        "calls out of order",
        r"step\(\) before reset\(\) must raise ResetNeeded, raised Att",
    ),
    (SharedInfo, "what was returned", r"the info returned at step 0 was changed later: .* became"),
    (NumbersAsActions, "gymnasium's check_env", r"an action must be a str, got int64"),
    (LenientStep, "actions of other", r"step\(None\) must raise EnvContractError, and did not"),
    (WrongGold, "gold solves", r"gold\(\) does not solve the task of seed 0: after 2 of its 2 act"),
    (StringGold, "gold solves", r"gold\(\) must return a list of actions, got the str '123'"),
    (FirstStateGold, "gold from", r"gold\(\) after three random actions \(seed 0\) does not solve"),
    (Idle, "doing nothing", r"doing nothing \('wait' repeated\) succeeds at step 2 of seed 0"),
    (Idle, "gold solves", r"doing nothing earns 5, more than gold\(\) with 1"),
    (WrongCommands, "admissible", r"'fly away' is among admissible_commands at reset\(seed=0\)"),
    (DoubledCommands, "admissible", r"admissible_commands after reset\(seed=0\) has '\d+' twice"),
    (Fragile, "odd actions", r"the action ' \\t\\n ' raised IndexError: .*action_valid=False"),
    (ArrayInfo, "info", r"info\['grid'\] at step 0 cannot be recorded as JSON \(.*ndarray"),
    (BadPreset, "presets", r"preset 'big' sets 'max_turn', which the constructor has not"),
    (RefusedPreset, "presets", r"preset 'none' is refused: max_turns must be a whole number"),
]


@pytest.mark.parametrize(("cls", "name", "message"), FAULTS)
def test_E03_faults_are_found_and_named(cls: type[TextEnv], name: str, message: str) -> None:
    found = [d for n, d in details(check(cls)).items() if n.startswith(name)]
    assert found
    assert re.search(message, found[0]), found[0]


@pytest.mark.parametrize(
    ("cls", "name", "message"),
    [
        (Same, "different seeds", r"seeds 0, 1 all give the same episode"),
        (CountingKey, "state_key", r"five keys and one observation; a step counter"),
        (Parrot, "odd actions", r"an action of 1 MB is answered with 1,000,0\d\d characters"),
        (Useless, "expert", r"following expert\(\) succeeds for none of the 2 seeds"),
    ],
)
def test_what_is_odd_is_a_warning(cls: type[TextEnv], name: str, message: str) -> None:
    report = check(cls)
    assert not report.failed
    (warning,) = report.warnings
    assert warning.name.startswith(name)
    assert re.search(message, warning.detail), warning.detail


def test_what_is_not_supported_does_not_apply() -> None:
    report = check(NoSnapshot)
    assert not report.failed
    assert ("snapshot and restore", "snapshot() is not supported") in [
        (c.name, c.detail) for c in report.not_applicable
    ]


class Hangs(Counter):
    """Bad."""

    def act(self, action: str) -> Outcome:
        if self.turns == 2:
            time.sleep(60)
        return super().act(action)


def test_an_environment_that_hangs() -> None:
    ((name, detail),) = details(check_env(Hangs, timeout_s=0.3)).items()
    assert name == "reset and step return the right types"
    assert detail.startswith("not finished after 0.3 s; it hangs in step 2 (seed 0), action")


def test_environments_by_name_are_played_in_another_process(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import {module}\n"
        "from agentgym import Outcome, TextEnv\n"
        "class Game(TextEnv):\n"
        "    '''A game.'''\n"
        "    instructions = 'Play.'\n"
        "    def begin(self, options):\n"
        "        return ' '.join({{str(n) for n in range(50)}})\n"
        "    def act(self, action):\n"
        "        return Outcome('Well?')\n"
    )
    (tmp_path / "docker").mkdir()  # the name is what counts
    (tmp_path / "docker" / "__init__.py").write_text("")
    (tmp_path / "set_order.py").write_text(source.format(module="json"))
    monkeypatch.syspath_prepend(str(tmp_path))
    report = check("set_order:Game")
    assert set(details(report)) == {"same episode in another process"}
    assert "observation differs at reset" in details(report)["same episode in another process"]
    assert "sort sets" in details(report)["same episode in another process"]
    (tmp_path / "engineless.py").write_text(
        source.format(module="json") + "    def __init__(self): raise OSError('no engine')\n"
    )
    assert "the constructor raised OSError" in details(check("engineless:Game"))["describes itself"]
    (tmp_path / "heavy_game.py").write_text(source.format(module="docker"))
    subject = check("heavy_game:Game")
    assert "importing or making it loads docker" in details(subject)["needs no torch"]


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'guess'"):
        check_env("gues")
    with pytest.raises(UnknownName, match=r"option of guess 'max_turn'.*'max_turns'"):
        check_env("guess", options={"max_turn": 3})
    with pytest.raises(UserError, match="pass the class Counter"):
        check_env(Counter())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="int is not a subclass"):
        check_env(int)  # type: ignore[arg-type]
    assert check_env(lambda: Counter(max_turns=5))


def test_importing_the_kits_needs_no_torch() -> None:
    code = "import sys, agentgym.testing; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_check_can_fail() -> None:
    named = {name for _, name, _ in WRONG_TYPES + FAULTS}
    elsewhere = {  # in tests of their own, some as warnings
        "same episode in another process",
        "needs no torch",
        "different seeds differ",
        "expert demonstrates",
    }
    tried = {item.name for item in ENV_CHECKS if any(item.name.startswith(n) for n in named)}
    assert tried | elsewhere == {item.name for item in ENV_CHECKS}
