"""An environment for tests of rollouts, which can be told to go wrong."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from agentgym import Outcome, TextEnv
from agentgym.errors import EpisodeFailure

__all__ = ["Corridor"]


class Corridor(TextEnv):
    """Walk to the end of a corridor.

    `trouble` maps a seed to what goes wrong in its first, second, ... episode: "raise@1" raises in
    the step of turn 1; likewise "hang@1", "spin@1", "exit@1", "nan@1" and "sandbox@1";
    "raise@reset" at reset; "longer@reset" starts from another state than the seed says.
    """

    instructions = "Walk."
    noop = "wait"
    trouble: ClassVar[dict[int, list[str]]] = {}
    made: ClassVar[list["Corridor"]] = []
    threads: ClassVar[dict[int, int]] = {}
    go_on = threading.Event()  # lets those that hang end

    def __init__(self, *, length: int = 3, delay_s: float = 0.0, max_turns: int | None = 8) -> None:
        super().__init__(max_turns=max_turns)
        self.length, self.delay_s = length, delay_s
        self.resets = 0
        self.down = False
        self.made.append(self)

    @classmethod
    def forget(cls, trouble: Mapping[int, list[str]] | None = None) -> None:
        cls.trouble = defaultdict(list, {k: list(v) for k, v in (trouble or {}).items()})
        cls.made, cls.threads, cls.go_on = [], {}, threading.Event()

    def reset_trouble(self) -> None:
        waiting = self.trouble.get(self.np_random_seed, [])
        self.wrong = waiting.pop(0) if waiting else ""

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        self.resets += 1
        self.reset_trouble()
        self.place = 0
        self.color = str(self.np_random.choice(["red", "green", "blue"]))
        self.maybe("reset")
        return self.seen(0.0)

    def act(self, action: str) -> Outcome:
        self.threads[threading.get_ident()] = self.threads.get(threading.get_ident(), 0) + 1
        if self.delay_s:
            time.sleep(self.delay_s * float(self.np_random.random()))
        broken = self.maybe(str(self.turns - 1))
        if action not in ("go", "back"):
            outcome = self.seen(-0.5)
            outcome.action_valid = False
            outcome.reward_parts = {"invalid": -0.5}
            return outcome
        self.place = max(0, self.place + (1 if action == "go" else -1))
        done = self.place >= self.length
        outcome = self.seen(float("nan") if broken else float(done))
        outcome.terminated, outcome.success = done, True if done else None
        outcome.action_valid = True
        return outcome

    def seen(self, reward: float) -> Outcome:
        text = f"You are at {self.place} of {self.length}; the wall is {self.color}."
        return Outcome(text, reward, info={"admissible_commands": ["go", "back"]})

    def maybe(self, where: str) -> bool:
        kind, _, when = self.wrong.partition("@")
        if when != where:
            return False
        if kind == "raise":
            raise ValueError(f"the lamp fell at {where}")
        if kind == "exit":
            raise SystemExit(3)
        if kind == "sandbox":
            raise EpisodeFailure("sandbox", "it is gone")
        if kind == "hang":
            self.go_on.wait(30)
        if kind == "longer":
            self.length += 1
        go_on, until = self.go_on, time.monotonic() + 30
        while kind == "spin" and not go_on.is_set() and time.monotonic() < until:
            pass
        return kind == "nan"

    def state_key(self) -> str:
        return f"{self.color} {self.place}/{self.length}"

    def gold(self) -> Iterable[str]:
        return ["go"] * (self.length - self.place)

    def shutdown(self) -> None:
        self.down = True
