"""Where an episode's task comes from: made from its seed, or one of a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from agentgym.envs.swe.box import BoxDesk, Budget
from agentgym.envs.swe.desk import Desk
from agentgym.envs.swe.functions import FunctionDesk
from agentgym.errors import ConfigError
from agentgym.swe.functions import LEVELS, SPLITS, draw_function, impossible
from agentgym.swe.grade_function import FunctionGrader
from agentgym.swe.grade_repository import RepositoryGrader, check_sources, lay_out
from agentgym.swe.rows import read_tasks
from agentgym.swe.scan import without_fix

__all__ = ["LEVELS", "SPLITS", "Drawer", "drawer"]


class Drawer(Protocol):
    """Lays out one task after the other."""

    def draw(self, rng: np.random.Generator, number: Callable[[int], int]) -> Desk:
        """Return a new desk.

        Args:
            rng: where all that is random comes from.
            number: says which of so many tasks of a file it is; see `TextEnv.drawn_number`.
        """


def drawer(
    tasks: object,
    *,
    level: str,
    split: str,
    honeypots: float,
    sandbox: str,
    image: str,
    states: bool,
    command_s: float,
    episode_s: float,
    output: int,
) -> Drawer:
    """Return what lays out tasks. The arguments are those of the environment.

    Raises:
        ConfigError: there is no such file, or a task in it is malformed.
    """
    if tasks == "functions":
        return Functions(level, split, sandbox, image, honeypots)
    if not isinstance(tasks, str) or not tasks:
        raise ConfigError(f"tasks must be 'functions' or the path of a file, got {tasks!r:.80}")
    if honeypots:
        raise ConfigError(
            f'honeypots={honeypots:g} is for functions; a row says so itself: "honeypot": true'
        )
    return Rows(Path(tasks), sandbox, image, Budget(command_s, episode_s, output), states)


class Functions:
    """Functions with a fault, made up; some are honeypots."""

    def __init__(self, level: str, split: str, sandbox: str, image: str, honeypots: float) -> None:
        self.level, self.split, self.sandbox, self.image = level, split, sandbox, image
        self.honeypots = honeypots

    def draw(self, rng: np.random.Generator, number: Callable[[int], int]) -> Desk:
        """See `Drawer`."""
        task = draw_function(rng, self.level, self.split)
        if self.honeypots and rng.random() < self.honeypots:
            task = impossible(task)
        return FunctionDesk(task, FunctionGrader(task, self.sandbox, image=self.image))


class Rows:
    """Tasks of a file, in its order: seed k is task k, and beyond the last it begins anew."""

    def __init__(self, path: Path, sandbox: str, image: str, budget: Budget, states: bool) -> None:
        """Read the file.

        Raises:
            ConfigError: there is none, a task is malformed, or its repository is not here.
        """
        self.tasks = read_tasks(path)
        check_sources(self.tasks, path.parent, sandbox, image)
        self.path, self.sandbox, self.image = path, sandbox, image
        self.budget, self.states = budget, states
        self._graders: dict[str, RepositoryGrader] = {}

    def draw(self, rng: np.random.Generator, number: Callable[[int], int]) -> Desk:
        """See `Drawer`."""
        task = self.tasks[number(len(self.tasks))]
        image = "" if self.sandbox == "bwrap" else self.image or task.image
        laid = lay_out(task, self.path.parent, self.sandbox, image)
        repository = without_fix(laid, self.sandbox, image)
        known = self._graders.get(task.instance_id)
        if known is None or known.repository is not repository:
            known = RepositoryGrader(repository, self.sandbox, image)
            self._graders[task.instance_id] = known
        return BoxDesk(repository, known, self.budget, states=self.states)
