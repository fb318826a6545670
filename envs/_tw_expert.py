"""ALFWorld's hand-coded expert, asked about an episode that is being played.

The expert follows what an episode has shown so far, command by command, so that it plays along in a
game of its own. It is not guaranteed to succeed.
"""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alfworld.agents.expert import HandCodedAgentFailed, HandCodedAgentTimeout, HandCodedTWAgent

from agentgym.envs._tw_engine import PddlGame

_RANDOM = threading.Lock()


class Expert:
    """The hand-coded expert for one game; knows only what the episode has shown."""

    def __init__(self, game: PddlGame) -> None:
        """Prepare for an episode of `game`, which must be one nobody else plays.

        Raises:
            ValueError: there is no `traj_data.json` beside the game, or not for this expert.
        """
        self._game, self._agent = game, HandCodedTWAgent(max_steps=200)
        self._followed: list[str] = []
        text, _ = game.reset()
        try:
            self._agent.reset(str(game.path))
        except Exception as error:  # of many kinds, from reading JSON to unknown task types
            raise ValueError(f"no expert for {game.path}: {error!r}") from error
        self._agent.observe(text)
        self._advice: str | None = "look"

    def next_command(self, history: Sequence[str]) -> str | None:
        """Return what the expert would do after these commands, None when it has given up.

        Commands must begin with those of the latest call.
        """
        assert list(history[: len(self._followed)]) == self._followed
        for command in history[len(self._followed) :]:
            self._follow(command)
        return self._advice

    def _follow(self, command: str) -> None:
        self._followed.append(command)
        step = self._game.step(command)
        if self._advice is None:
            return
        seen: dict[str, Any] = {
            "feedback": step.text,
            "facts": self._game.facts(),
            "admissible_commands": step.admissible,
        }
        try:
            with _own_randomness(json.dumps([*self._followed, str(self._game.path)])):
                advice = self._agent.act(seen, 0, step.won, command.strip())
        except (HandCodedAgentTimeout, HandCodedAgentFailed):
            self._advice = None
        else:
            self._advice = advice if advice in step.admissible else "look"


@contextmanager
def _own_randomness(seed: str) -> Iterator[None]:
    """Let code that draws from the global `random` draw the same each time, and leave no trace."""
    with _RANDOM:
        before = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
