"""ALFWorld on its own engine: the original data set, or any folder of exported games."""

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentgym.env import Outcome, TextEnv
from agentgym.envs._tw_engine import PddlGame
from agentgym.envs._tw_expert import Expert
from agentgym.envs.household import Household
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.options import check_switch

__all__ = ["Alfworld"]

TASKS = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""The six task types, in ALFWorld's order."""

SPLITS = ("train", "valid_seen", "valid_unseen")

_HELP = (
    "write some with `agentgym export-alfworld FOLDER` or get the original data set with "
    "`alfworld-download`, then pass the folder as games=FOLDER (in a recipe "
    "env.options.games=FOLDER) or in the environment variable ALFWORLD_DATA"
)


class Alfworld(TextEnv):
    """Play ALFWorld games (`*.tw-pddl`) with the texts and commands of the real engine.

    What is shown is exactly what ALFWorld shows; only faster (see `PddlGame`). The reward is 1 for
    solving the task and 0 otherwise. "Nothing happens." has `action_valid` False. `info` holds the
    sorted `admissible_commands`, and after `reset` the `game` file and its `task_type`.

    A seed stands for a game: any N consecutive seeds play each of N games once, in a mixed order
    that depends on nothing but the games' paths within the folder. There is nothing random else.

    Args:
        games: a folder of games, at any depth; by default the environment variable ALFWORLD_DATA.
            A folder that holds `json_2.1.1` (the original data set) stands for that.
        split: "train", "valid_seen" or "valid_unseen": the games in the folder of that name. By
            default "train" where there is such a folder, and otherwise every game.
        task: one of the six task types or a list of them, or "any".
        show_admissible: append the admissible commands to every observation.
        max_turns: turn limit, 50 by default as in the literature.

    Games that say of themselves that they are not solvable are left out, as ALFWorld does, and
    those with sliced or movable objects.
    `reset(options={"game": "path/in/folder/game.tw-pddl"})` plays that game.
    """

    version = 0
    instructions = Household.instructions
    max_turns = 50
    noop = "look"
    rewards_turns = False

    def __init__(
        self,
        *,
        games: str | None = None,
        split: str | None = None,
        task: str | Sequence[str] = "any",
        show_admissible: bool = False,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Find the games.

        Raises:
            ConfigError: there are no such games, a file is no game, or an option has a value that
                it cannot have.
            UnknownName: no such split or task type.
        """
        super().__init__(max_turns=max_turns, render_mode=render_mode)
        check_switch("show_admissible", show_admissible)
        self.show_admissible = show_admissible
        self.games = _Games(_folder(games, split), _tasks(task))
        self._game: PddlGame | None = None
        self._history: list[str] = []
        self._expert: Expert | None = None
        self._way: Mapping[str, int] | None = None

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        """Choose a game and show the room and the task."""
        for key in options:
            if key != "game":
                raise UnknownName("reset option of alfworld", key, ["game"])
        name = options.get("game", self._drawn())
        self._game = PddlGame.load(self.games.path(name))
        self._history, self._expert, self._way = [], None, None
        text, _ = self._game.reset()
        outcome = self._outcome(text, self._game)
        outcome.info["game"] = name
        outcome.info["task_type"] = task_type(self.games.path(name))
        return outcome

    def act(self, action: str) -> Outcome:
        """Carry out one command."""
        game = self._playing()
        self._history.append(action)
        step = game.step(action)
        outcome = self._outcome(step.text, game)
        outcome.action_valid = game.understood
        if step.won:
            outcome.reward, outcome.terminated, outcome.success = 1.0, True, True
        return outcome

    def state_key(self) -> str | None:
        """Return the identity of the game and of everything in its state that can ever matter."""
        return None if self._game is None else self._game.state_key()

    def gold(self) -> Iterable[str] | None:
        """Return the rest of the game's walkthrough; None in a state that is not on its way."""
        game = self._playing()
        if self._way is None:
            self._way = _walk(game)
        ahead = self._way.get(game.state_key())
        return None if ahead is None else list(game.walkthrough[ahead:])

    def expert(self) -> str | None:
        """Return what ALFWorld's hand-coded expert would do; without one, the next of `gold()`.

        The expert needs the `traj_data.json` that lies beside a game. It may fail or give up.
        """
        game = self._playing()
        if game.path is not None and game.path.with_name("traj_data.json").is_file():
            if self._expert is None:
                try:
                    self._expert = Expert(game.copy())
                except ValueError:
                    return super().expert()
            return self._expert.next_command(self._history)
        return super().expert()

    def snapshot(self) -> object:
        """Return a copy of the episode's state (games are shared)."""
        game = self._playing()
        return game.copy(), tuple(self._history), self.turns, self._phase, self._last_text

    def restore(self, snapshot: object) -> None:
        """Return to the state of `snapshot`, also in another instance."""
        assert isinstance(snapshot, tuple)
        game, history, self.turns, self._phase, self._last_text = snapshot
        self._game, self._history, self._expert, self._way = game.copy(), list(history), None, None

    def _drawn(self) -> str:
        """Return the game of this episode's seed, or a random one without a seed."""
        return self.games.names[self.drawn_number(len(self.games.names))]

    def _outcome(self, text: str, game: PddlGame) -> Outcome:
        commands = tuple(game.admissible)
        if self.show_admissible:
            text = f"{text}\n\nAdmissible commands: {', '.join(commands)}."
        return Outcome(text, info={"admissible_commands": commands})

    def _playing(self) -> PddlGame:
        if self._game is None:
            raise ResetNeeded("alfworld: call reset() first")
        return self._game


class _Games:
    """The games of a folder that have one of some task types, in the order of the seeds."""

    def __init__(self, folder: Path, tasks: frozenset[str] | None) -> None:
        self.folder = folder
        found = [path for path in folder.rglob("*.tw-pddl") if path.is_file()]
        chosen = [
            path
            for path in found
            if not re.search("movable|Sliced", str(path.relative_to(folder)))
            and (tasks is None or task_type(path) in tasks)
            and solvable(path)
        ]
        if not found:
            raise ConfigError(f"there are no ALFWorld games (*.tw-pddl) in {folder}; {_HELP}")
        if not chosen:
            wanted = "" if tasks is None else f" of {', '.join(sorted(tasks))}"
            raise ConfigError(
                f"none of the {len(found)} games in {folder} is a solvable one{wanted}; "
                "choose another task, split or folder"
            )
        names = [path.relative_to(folder).as_posix() for path in chosen]
        self.names = tuple(sorted(names, key=lambda n: hashlib.blake2b(os.fsencode(n)).digest()))
        self._known = frozenset(names)

    def path(self, name: object) -> Path:
        """Return the file of a game.

        Raises:
            UnknownName: it is not among the games.
        """
        if name not in self._known:
            raise UnknownName(f"game in {self.folder}", name, self._known)
        return self.folder / str(name)


def _folder(games: str | None, split: str | None) -> Path:
    if games is None:
        games = os.environ.get("ALFWORLD_DATA")
        if not games:
            raise ConfigError(f"alfworld has no games to play; {_HELP}")
    if not isinstance(games, str | os.PathLike):
        raise ConfigError(f"games must be a folder, got {games!r}")
    folder = Path(games).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"the folder of ALFWorld games {folder} does not exist; {_HELP}")
    if (folder / "json_2.1.1").is_dir():
        folder = folder / "json_2.1.1"
    if split is None:
        return folder / "train" if (folder / "train").is_dir() else folder
    if split not in SPLITS:
        raise UnknownName("split of alfworld", split, SPLITS)
    if not (folder / split).is_dir():
        there = [name for name in SPLITS if (folder / name).is_dir()]
        if not there:
            raise ConfigError(f"there are no ALFWorld games in {folder}; {_HELP}")
        raise ConfigError(f"{folder} has no split {split!r}, only: {', '.join(there)}; {_HELP}")
    return folder / split


def _tasks(task: str | Sequence[str]) -> frozenset[str] | None:
    if task == "any":
        return None
    names = [task] if isinstance(task, str) else list(task)
    if not names:
        raise ConfigError(f"task must name at least one of: any, {', '.join(TASKS)}")
    for name in names:
        if name not in TASKS:
            raise UnknownName("task type of alfworld", name, ["any", *TASKS])
    return frozenset(names)


def task_type(path: Path) -> str | None:
    """Return the task type of a game, from its path or the `traj_data.json` beside it.

    >>> task_type(Path("train/pick_two_obj_and_place-Mug-None-Shelf-1/trial_1/game.tw-pddl"))
    'pick_two_obj_and_place'
    """
    for part in reversed(path.parts):
        for task in TASKS:
            if part.startswith(task):
                return task
    try:
        found = json.loads(path.with_name("traj_data.json").read_text("utf-8"))["task_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found in TASKS else None


def solvable(path: Path) -> bool:
    """Return whether a game file says that its game can be solved.

    Raises:
        ConfigError: it is not a whole game file; the message names it.
    """
    status = path.stat()
    return _solvable(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=65536)
def _solvable(path: Path, _modified: int, _size: int) -> bool:
    # Thousands of files are looked at when a run starts: too many to parse them all.
    content = path.read_bytes().strip()
    keys = (b'"pddl_domain"', b'"grammar"', b'"pddl_problem"')
    if not (content[:1] == b"{" and content[-1:] == b"}" and all(key in content for key in keys)):
        raise ConfigError(
            f"{path} is not a whole ALFWorld game (a JSON object with pddl_domain, grammar and "
            "pddl_problem); remove it or write it again"
        )
    return not re.search(rb'"solvable"\s*:\s*(false|null)', content)


def _walk(game: PddlGame) -> Mapping[str, int]:
    """Return how many commands of a winning walkthrough lie behind each state that it passes."""
    player = game.copy()
    player.reset()
    way = {player.state_key(): 0}
    for done, command in enumerate(game.walkthrough, 1):
        player.step(command)
        way[player.state_key()] = done
    return way if player.won else {}
