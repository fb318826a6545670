"""ALFWorld's text world, procedurally generated: six kinds of household tasks, no download."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from agentgym.env import Outcome, TextEnv
from agentgym.envs.household.generate import SIZES, SPLITS, TASKS, generate
from agentgym.envs.household.planner import next_command, plan
from agentgym.envs.household.play import NOTHING, Play
from agentgym.envs.household.world import LOOK, ON, World
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.options import check_choice, check_switch
from agentgym.types import JSON

__all__ = ["Household"]


class Household(TextEnv):
    """Find, clean, heat, cool and place things in a house, with ALFWorld's commands and texts.

    Every text and every set of admissible commands is byte for byte what the real ALFWorld engine
    answers on the same world; `agentgym export-alfworld` writes any world as a game for it. The
    module `play` says what that engine is and which surprising habits it has.

    `info["admissible_commands"]` holds the sorted admissible commands after `reset` and every step.
    The reward is 1 for solving the task and 0 otherwise. What the engine answers with "Nothing
    happens." has `action_valid` False. There is nothing random after `reset`.

    Args:
        size: "tiny" and "small" (6 receptacles) or "full" (as large as ALFWorld's rooms).
        split: "train", "valid_seen" (rooms of train, other worlds) or "valid_unseen" (other rooms);
            no two splits share a world, and valid_unseen shares no room layout with the others.
        task: one of ALFWorld's six task types, or "any".
        dense_rewards: pay for sub-goals when they are first reached (object in hand, object
            treated, first of two placed, lamp on); a solved episode still sums to 1.
        show_admissible: append the admissible commands to every observation.
        max_turns: turn limit; by default 20, and 50 for "full".

    `reset(options={"world": world})` plays a given `World` instead of drawing one.
    """

    version = 0
    instructions = (
        "You are in a house and have a task to solve. Answer with one command at a time:\n"
        "look, inventory, help, go to (place), open (place), close (place), examine (thing),\n"
        "take (object) from (place), move (object) to (place), use (lamp),\n"
        "heat (object) with (microwave), cool (object) with (fridge),\n"
        "clean (object) with (sinkbasin), slice (object) with (knife).\n"
        "Places and objects are named with their number, as in: go to cabinet 2"
    )
    presets: ClassVar[Mapping[str, Mapping[str, JSON]]] = {size: {"size": size} for size in SIZES}
    noop = "look"

    def __init__(
        self,
        *,
        size: str = "small",
        split: str = "train",
        task: str = "any",
        dense_rewards: bool = False,
        show_admissible: bool = False,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Set up.

        Raises:
            ConfigError: an option has a value that it cannot have; names the choices.
        """
        check_choice("household", "size", size, SIZES)
        check_choice("household", "split", split, SPLITS)
        check_choice("household", "task", task, TASKS)
        for name, value in (("dense_rewards", dense_rewards), ("show_admissible", show_admissible)):
            check_switch(name, value)
        super().__init__(
            max_turns=SIZES[size].turns if max_turns is None else max_turns, render_mode=render_mode
        )
        self.size, self.split, self.task = size, split, task
        self.dense_rewards, self.show_admissible = dense_rewards, show_admissible
        self.rewards_turns = dense_rewards
        self.play: Play | None = None
        self.best = 0.0

    @property
    def world(self) -> World:
        """The world of the present episode, as it was at its start.

        Raises:
            ResetNeeded: there was no `reset` yet.
        """
        return self._playing().world

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        """Draw a world and show the room and the task."""
        for key in options:
            if key != "world":
                raise UnknownName("reset option of household", key, ["world"])
        world = options.get("world")
        if world is None:
            seed = int(self.np_random.integers(2**63))
            world = generate(seed, size=self.size, split=self.split, task=self.task)
        elif not isinstance(world, World):
            raise ConfigError(f"the reset option 'world' must be a World, got {world!r:.80}")
        self.play, self.best = Play(world), 0.0
        outcome = self._outcome(world.intro, self.play)
        outcome.info["task_type"] = world.task.kind
        return outcome

    def act(self, action: str) -> Outcome:
        """Carry out one command."""
        play = self._playing()
        answer = play.do(action)
        outcome = self._outcome(NOTHING if answer is None else answer, play)
        outcome.action_valid = answer is not None
        if play.won:
            outcome.reward, outcome.terminated, outcome.success = 1.0, True, True
        if self.dense_rewards:
            gain = max(0.0, _progress(play) - self.best)
            self.best += gain
            outcome.reward = gain
            outcome.reward_parts = {"success" if play.won else "subgoals": gain} if gain else {}
        return outcome

    def state_key(self) -> str | None:
        """Return the identity of world and state (with dense rewards, also of what is paid)."""
        if self.play is None:
            return None
        key = self.play.key()
        return f"{key}/{self.best:.3f}" if self.dense_rewards else key

    def gold(self) -> Iterable[str]:
        """Return commands that solve the task from the present state, knowing the whole world."""
        return plan(self._playing())

    def expert(self) -> str:
        """Return what an expert would do next who knows only what was shown in this episode."""
        return next_command(self._playing())

    def snapshot(self) -> object:
        """Return a copy of the episode's state (some microseconds; worlds are shared)."""
        return self._playing().save(), self.best, self.turns, self._phase, self._last_text

    def restore(self, snapshot: object) -> None:
        """Return to the state of `snapshot`, also in another instance with the same options."""
        assert isinstance(snapshot, tuple)
        saved, self.best, self.turns, self._phase, self._last_text = snapshot
        self.play = Play.load(saved)

    def _outcome(self, text: str, play: Play) -> Outcome:
        commands = play.commands
        if self.show_admissible:
            text = f"{text}\n\nAdmissible commands: {', '.join(commands)}."
        return Outcome(text, info={"admissible_commands": commands})

    def _playing(self) -> Play:
        if self.play is None:
            raise ResetNeeded("household: call reset() first")
        return self.play


def _progress(play: Play) -> float:
    """Return the share of sub-goals that the present state fulfils, 1 if and only if won."""
    if play.won:
        return 1.0
    world, held = play.world, play.held in play.world.targets
    if world.goal.count == 2:
        placed = any(play.where[o] in world.aims for o in world.targets)
        return (2 * placed + held) / 4
    if world.goal.mark:
        return (held + (held and play.marks[play.held] & world.goal.mark != 0)) / 3
    if world.task.kind == LOOK:
        return (held + (held and any(play.marks[lamp] & ON for lamp in world.aims))) / 3
    return held / 2
