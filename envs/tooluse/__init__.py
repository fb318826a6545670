"""Service worlds with a state: find out what has to be known, change what was asked, say so."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from agentgym.env import Outcome
from agentgym.envs.tooluse.commands import commands, spelled
from agentgym.envs.tooluse.names import SPLITS
from agentgym.envs.tooluse.plan import (
    TOOLRL,
    Now,
    Steps,
    answers_given,
    calls_of,
    last_words,
    look_key,
    progress,
    reference,
    says_impossible,
    steps_left,
)
from agentgym.envs.tooluse.tasks import SIZES, WORLDS, Task, draw_task
from agentgym.envs.tooluse.user import next_piece, repeated, user_named, worded
from agentgym.envs.tooluse.world import State, World, digest
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.options import check_amount, check_choice, check_switch
from agentgym.toolcalls import Reply
from agentgym.toolenv import Called, ToolEnv
from agentgym.tools.base import Toolset
from agentgym.types import JSON

__all__ = ["ToolUse"]

ASK: Final = "What else should I know?"
SORRY: Final = "sorry"

ALONE: Final = """Do what the user asks, by calling tools. Look up what you have to know before \
you change anything. When all is done, say so without a call; that ends the task."""
WITH_USER: Final = """Do what the user asks, by calling tools. Look up what you have to know \
before you change anything. What you say without a call goes to the user. Ask, with a question \
mark, as long as you do not know everything. When all is done, say so without a question; that \
ends the task."""
ANSWERS: Final = """Where you are asked for something, give it: numbers in digits, and no other \
numbers or names than those asked for or told to you. If the rules forbid a part of what is asked, \
leave that part, do the rest, and say: impossible."""


class ToolUse(ToolEnv):
    """Look after a shop, an office, files or a bank by calling tools, within rules.

    Each seed makes up a world and a task: one or several things to change or to find out. The
    verdict compares the state of the world with the one that the task leads to, and what the agent
    said with the answers asked for; how it got there does not matter. Whatever else was changed
    fails the task. Every world has tools that are never right to call.

    There is nothing random after `reset`. `facts` of the last turn hold "state_right" and
    "answers_right".

    Args:
        size: "tiny" (one thing to do), "small" (one or two) or "full" (three to five).
        world: "shop", "office", "folders" or "bank"; by default any of them.
        split: "train", "valid_seen" (other tasks) or "valid_unseen" (other tasks, with other names
            and wordings; in "tiny" with other combinations of names).
        goals: how many things are to be done, instead of what the size says.
        user: "none": the task is told at once. "scripted": a user tells it bit by bit.
            "openai:ADDRESS#MODEL": the same in the words of a language model.
        format_cost: taken off in a turn with a call that is malformed or does not fit its tool.
        subgoal_reward: spread over the turns that bring the task closer to its end, and taken back
            by those that lead away.
        toolrl: paid times what ToolRL says of a turn's calls beside those that `gold()` would make
            next: the parts "toolrl_format" and "toolrl_correctness".
        commands: list calls with the values seen so far as `info["admissible_commands"]`.
        max_turns: turn limit; by default by size, and more with a user.
    """

    version = 0
    instructions = f"{ALONE}\n{ANSWERS}"
    presets: ClassVar[Mapping[str, Mapping[str, JSON]]] = {
        "tiny": {"size": "tiny", "world": "shop", "commands": True},
        "small": {"size": "small"},
        "full": {"size": "full"},
    }

    def __init__(
        self,
        *,
        size: str = "small",
        world: str | None = None,
        split: str = "train",
        goals: int | None = None,
        user: str = "none",
        format_cost: float = 0.0,
        subgoal_reward: float = 0.0,
        toolrl: float = 0.0,
        commands: bool = False,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check everything; a language model is asked for nothing yet.

        Raises:
            ConfigError: an option has a value that it cannot have.
            UserError: the language model that plays the user cannot be reached.
        """
        check_choice("tooluse", "size", size, tuple(SIZES))
        check_choice("tooluse", "split", split, SPLITS)
        if world is not None:
            check_choice("tooluse", "world", world, tuple(WORLDS))
        most = SIZES[size].most
        if goals is not None and (type(goals) is not int or not 1 <= goals <= most):
            raise ConfigError(f"goals must be from 1 to {most} in the size {size}, got {goals!r}")
        for name, value in (
            ("format_cost", format_cost), ("subgoal_reward", subgoal_reward), ("toolrl", toolrl),
        ):  # fmt: skip
            check_amount(name, value)
        check_switch("commands", commands)
        self._chat = user_named(user)
        if self._chat is not None:  # the class says what holds without a model
            self.__dict__["determinism"] = "recorded"
        self.size, self.split, self.world, self.goals, self.user = size, split, world, goals, user
        self.format_cost, self.subgoal_reward = float(format_cost), float(subgoal_reward)
        self.toolrl, self.commands = float(toolrl), commands
        limit = SIZES[size].turns * (1 if user == "none" else 2)
        super().__init__(
            max_turns=limit if max_turns is None else max_turns, render_mode=render_mode
        )
        self._worlds: dict[str, tuple[World, Toolset]] = {}
        self._task: Task | None = None
        self._now = Now()

    # What the code around an episode may ask ------------------------------------------------------

    @property
    def task(self) -> Task:
        """What is asked, with the state in which it shall end.

        Raises:
            ResetNeeded: there was no `reset` yet.
        """
        if self._task is None:
            raise ResetNeeded("tooluse: call reset() first")
        return self._task

    def answer(self) -> str | None:
        """Return what the agent has to find out, or None where that is nothing."""
        return ", ".join(answer.value for answer in self.task.answers) or None

    # The hooks of an environment ------------------------------------------------------------------

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        """Draw a world and a task; tell the task, or the first piece of it."""
        for key in options:
            raise UnknownName("reset option of tooluse", key, [])
        task = draw_task(
            self.np_random, size=self.size, split=self.split, world=self.world, goals=self.goals
        )
        seed = int(self.np_random.integers(2**31))
        self._enter(task, task.start, Now(given=[False] * len(task.answers), seed=seed))
        if self.user == "none":
            self._now.told = tuple(range(len(task.pieces)))
            return self._showing(Outcome(task.text))
        self._now.told = (0,)
        return self._showing(Outcome(self._said(task.pieces[0], "")))

    def act(self, action: str) -> Outcome:
        """Carry out the calls of a reply, or hear what it says."""
        if not self.toolrl:
            return super().act(action)
        agreement = self._agreement(action)  # with the plan from here, before anything changes
        outcome = super().act(action)
        parts = {**(outcome.reward_parts or {}), **agreement}
        outcome.reward, outcome.reward_parts = sum(parts.values()), parts
        return outcome

    def heard(self, text: str) -> Outcome:
        """Take in what the agent says; let the user answer, or give the verdict."""
        now, task = self._now, self.task
        now.given = answers_given(task, now.given, text)
        now.forbidden = now.forbidden or says_impossible(text)
        valid = bool(text.strip())
        if self.user != "none":
            piece = next_piece([goal.pieces for goal in task.goals], now.told, text)
            if piece is not None:
                now.told = (*now.told, piece)
                said = self._said(task.pieces[piece], text)
                return self._rewarded(Outcome(said, action_valid=valid))
            if "?" in text:
                said = self._said(repeated(task.pieces), text)
                return self._rewarded(Outcome(said, action_valid=valid))
        now.over = True
        state_right = self._here.state == task.end
        answers_right = all(now.given) and now.forbidden == task.impossible
        success = state_right and answers_right
        outcome = Outcome(
            "Right." if success else "Not right.",
            terminated=True,
            success=success,
            action_valid=valid,
            info={"facts": {"state_right": state_right, "answers_right": answers_right}},
        )
        return self._rewarded(outcome)

    def called(self, calls: Sequence[Called], outcome: Outcome) -> Outcome:
        """Note what was looked up, and reward the turn."""
        looks, asked = self._here.looks, self._now.asked
        for each in calls:
            if each.call.name in looks and each.result.ok:
                asked.add(look_key(each.call))
            else:
                self._now.key = ""
        return self._rewarded(outcome, 0.0 if outcome.action_valid else self.format_cost)

    def state_key(self) -> str | None:
        """Return the identity of task and state, of what was looked up, told and answered."""
        if self._task is None:
            return None
        now = self._now
        now.key = now.key or digest(self._here.state)
        known = [sorted(now.asked), sorted(now.told), now.given, now.forbidden, now.over]
        return digest([self._task.key, now.key, known])

    def gold(self) -> Iterable[str] | None:
        """Return what solves the task: questions to the user, look-ups, changes, and a last word.

        None where it cannot be solved any more: something was changed that no tool undoes, or it
        was wrongly said that it is impossible.
        """
        return self._plan(mend=True)

    def expert(self) -> str | None:
        """Return the first action of `gold()`; where something would have to be undone, give up.

        It looks up before it acts, and undoing needs what may never have been shown.
        """
        plan = self._plan(mend=False)
        return SORRY if plan is None else plan[0]

    def snapshot(self) -> object:
        """Return a copy of the episode's state."""
        return (
            self.task,
            self._here.copied(),
            self._now.copied(),
            self.turns,
            self._phase,
            self._last_text,
        )

    def restore(self, snapshot: object) -> None:
        """Return to the state of `snapshot`, also in another instance with the same options."""
        assert isinstance(snapshot, tuple)
        task, state, now, self.turns, self._phase, self._last_text = snapshot
        self._enter(task, state, now)

    # ----------------------------------------------------------------------------------------------

    @property
    def _here(self) -> World:
        return self._worlds[self.task.world][0]

    def _enter(self, task: Task, state: State, now: Now) -> None:
        """Go into a world, in a state which is copied."""
        if task.world not in self._worlds:
            made = WORLDS[task.world]()
            self._worlds[task.world] = made, made.toolset()
        world, toolset = self._worlds[task.world]
        world.state = state
        world.state = world.copied()
        self._task, self._now = task, now.copied()
        self.use(toolset)
        how = ALONE if self.user == "none" else WITH_USER
        self.instructions = f"{world.instructions}\n\n{how}\n{ANSWERS}"

    def _plan(self, *, mend: bool) -> list[str] | None:
        now, task = self._now, self.task
        steps = self._steps(mend=mend)
        if steps is None:
            return None
        said = [ASK] * (len(task.pieces) - len(now.told))
        acts = [Reply("", (each,)).action for each in calls_of(steps)]
        return [*said, *acts, last_words(task, now.given)]

    def _steps(self, *, mend: bool) -> list[Steps] | None:
        """Return what is left to be done by calls; None where the task cannot be solved."""
        if self._now.over or self._now.forbidden > self.task.impossible:
            return None
        return steps_left(self.task, self._here, self._now.asked, mend=mend)

    def _agreement(self, action: str) -> dict[str, float]:
        """Return the parts of ToolRL of a reply that was not carried out yet."""
        reply = Reply.of_action(action)
        calls = bool(reply.calls or reply.problems)  # well-formed or not
        steps = self._steps(mend=True) or []
        more_to_hear = len(self._now.told) < len(self.task.pieces)
        if not steps or (more_to_hear and not calls):
            good, correctness = not calls and bool(reply.text.strip()), 0.0
        else:
            good = bool(reply.calls) and not reply.problems
            made = None if reply.problems else reply.calls
            correctness = TOOLRL.correctness(reference(steps, reply.calls), made)
        return {
            "toolrl_format": self.toolrl * good,
            "toolrl_correctness": self.toolrl * correctness,
        }

    def _said(self, say: str, to: str) -> str:
        """Return what the user says."""
        if self._chat is None:
            return say
        names = [name for goal in self.task.goals for name in goal.about]
        return worded(self._chat, say, to, names, self._now.seed + self.turns)

    def _progress(self) -> float:
        return progress(self.task, self._here, self._now.asked)

    def _rewarded(self, outcome: Outcome, cost: float = 0.0) -> Outcome:
        """Fill in the reward of a turn, by parts."""
        parts = {"outcome": 1.0 if outcome.success else 0.0, "format": 0.0 - cost}
        if self.subgoal_reward:
            before, self._now.progress = self._now.progress, self._progress()
            parts["subgoal"] = self.subgoal_reward * (self._now.progress - before)
        outcome.reward, outcome.reward_parts = sum(parts.values()), parts
        return self._showing(outcome)

    def _showing(self, outcome: Outcome) -> Outcome:
        """Add the calls that can be made with the values seen so far."""
        if self.commands and not outcome.terminated:
            seen = outcome.observation
            self._now.shown += f" {spelled(seen if isinstance(seen, str) else seen.text)}"
            listed = commands(self._here, self.toolset, self._now.shown)
            outcome.info["admissible_commands"] = listed
        return outcome
