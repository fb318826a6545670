"""Dialogues with users over tools that exist as schemas only, judged by checklists (CM2)."""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, ClassVar, Final

from agentgym.env import Outcome
from agentgym.envs.simtools.cassette import key_of
from agentgym.envs.simtools.dialogue import Dialogue, UserTurn
from agentgym.envs.simtools.files import dialogues_of
from agentgym.envs.simtools.generate import SIZES, SPLITS, draw_dialogue
from agentgym.envs.simtools.model import escaped
from agentgym.envs.simtools.outside import Moment, Outside
from agentgym.envs.simtools.rules import (
    MOST_SAID,
    Entry,
    Scene,
    planned,
    same,
    shown,
    verdict,
    wanted,
)
from agentgym.envs.simtools.schemas import need_jsonschema, number, parameters_of
from agentgym.envs.simtools.world import World
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.options import check_amount, check_choice, check_share
from agentgym.rewards.checklist import (
    Criterion,
    criteria_fact,
    failed_by_tools,
    turn_score,
    unmet,
    verdicts_fact,
)
from agentgym.rewards.judge import JUDGE_FACTS, Question, compared
from agentgym.toolcalls import Reply
from agentgym.toolenv import Called, ToolEnv
from agentgym.tools.base import ToolResult, Toolset
from agentgym.types import JSON, Message, Observation, ToolCall

__all__ = ["SimTools"]

FILE_SPLITS: Final = (*SPLITS, "all")

_MOST_COMMANDS: Final = 40


class SimTools(ToolEnv):
    """Serve a user over several turns with tools that exist as JSON schemas only (CM2).

    Every user turn has a checklist. After each reply of the agent all criteria of the present user
    turn are answered; one counts as satisfied if it was at any reply of the turn. A reply without
    calls ends the user turn; if a criterion that the next turn requires is unmet then, the dialogue
    stops. The reward is the mean over all user turns of the weight of what was satisfied, given at
    the reply that ends each turn; turns that were not ended count 0. Success: all criteria of all
    turns.

    After CM2 (arXiv 2602.12268); what a tool returns comes from a simulator: by default one without
    a model, which derives results from schemas by hashing and finds again what was created.

    Args:
        size: "tiny" (1 or 2 user turns, names such as "city 3"), "small" (1 or 2) or "full"
            (2 to 4, and tools of another service besides). Generated dialogues only.
        split: "train", "valid_seen" or "valid_unseen"; for a file also "all".
        dialogues: a JSONL file of dialogues to play instead. Any N consecutive seeds play each of
            its N dialogues once.
        simulator: "schema", or a language model: "openai:ADDRESS#MODEL".
        judge: "rules", or a language model that judges the criteria without a rule.
        judge_checks: the share of episodes in which such a judge is also asked, at the end of every
            user turn, what rules have answered. The rules' answer counts; `facts` say how often the
            judge was "judge_too_kind" or "judge_too_strict" among "judge_checked".
        cassette: a file that keeps what the models said, for exact replays.
        cassette_mode: "record" (a new file), "replay" (never asks), or "auto".
        outcome: added to the reward, as the part "outcome", where all criteria were met.
        format_penalty: taken off, as the part "format", for a reply with a malformed call, an
            unknown tool or wrong arguments.
        max_turns: turn limit of the agent; by default 6, 12 or 30 by size, 30 for files.
    """

    version = 0
    stated_facts = frozenset(
        {"tool_calls", "checklist", "criteria", "refused_by_simulator", *JUDGE_FACTS}
    )
    instructions = (
        "Help the user. Use the tools to find out and to do what is asked; call one by one where a "
        "call needs the result of another. A reply without a tool call is what the user hears, and "
        "ends your turn: name what was asked for."
    )
    presets: ClassVar[Mapping[str, Mapping[str, JSON]]] = {size: {"size": size} for size in SIZES}

    def __init__(
        self,
        *,
        size: str = "small",
        split: str = "train",
        dialogues: str | None = None,
        simulator: str = "schema",
        judge: str = "rules",
        judge_checks: float = 0.1,
        cassette: str | None = None,
        cassette_mode: str = "auto",
        outcome: float = 0.0,
        format_penalty: float = 0.0,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check everything, read files, and reach the language models.

        Raises:
            ConfigError: an option has a value that it cannot have, a file is not as it has to be,
                or jsonschema is not installed.
            UserError: a language model cannot be reached.
        """
        need_jsonschema()
        check_choice("simtools", "size", size, tuple(SIZES))
        check_choice("simtools", "split", split, FILE_SPLITS if dialogues is not None else SPLITS)
        for name, value in (("outcome", outcome), ("format_penalty", format_penalty)):
            check_amount(name, value)
        check_share("judge_checks", judge_checks)
        for name, text in (
            ("dialogues", dialogues), ("simulator", simulator), ("judge", judge),
            ("cassette", cassette),
        ):  # fmt: skip
            if text is not None and (not isinstance(text, str) or not text):
                raise ConfigError(f"{name} must be a text, got {text!r}")
        limit = SIZES[size].max_turns if dialogues is None else 30
        super().__init__(
            max_turns=limit if max_turns is None else max_turns, render_mode=render_mode
        )
        self.size, self.split = size, split
        self.outcome, self.format_penalty = float(outcome), float(format_penalty)
        self.judge_checks = float(judge_checks)
        self._file: tuple[Dialogue, ...] = ()
        if dialogues is not None:
            by_schema, by_rules = simulator == "schema", judge == "rules"
            self._file = dialogues_of(dialogues, split, by_schema=by_schema, by_rules=by_rules)
        self._outside = Outside(simulator, judge, cassette, cassette_mode)
        self.determinism = self._outside.determinism
        self._dialogue: Dialogue | None = None

    # What the code around an episode may ask ------------------------------------------------------

    @property
    def dialogue(self) -> Dialogue:
        """The dialogue of this episode.

        Raises:
            ResetNeeded: there was no `reset` yet.
        """
        if self._dialogue is None:
            raise ResetNeeded("simtools: call reset() first")
        return self._dialogue

    @property
    def memory(self) -> tuple[Entry, ...]:
        """The successful calls of the episode so far."""
        return self._memory if self._dialogue is not None else ()

    # The hooks of an environment ------------------------------------------------------------------

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        """Draw a dialogue; the user speaks first."""
        for key in options:
            raise UnknownName("reset option of simtools", key, [])
        if self._file:
            self._dialogue = self._file[self.drawn_number(len(self._file))]
        else:
            seed = int(self.np_random.integers(2**63))
            self._dialogue = draw_dialogue(seed, size=self.size, split=self.split)
        self._secret = int(self.np_random.integers(2**63))
        self._take_up(self._dialogue)
        self._user_turn, self._over, self._missed = 0, False, False
        self._memory: tuple[Entry, ...] = ()
        self._trace = ""
        self._satisfied: frozenset[str] = frozenset()
        self._transcript: tuple[Message, ...] = (Message("user", self._turn.text),)
        self._turn_began = 0
        self._refused = 0
        self._world = World.of(self._dialogue, ())
        outcome = Outcome(self._turn.text)
        outcome.info["dialogue"] = self._dialogue.id
        return self._with_commands(outcome)

    def act(self, action: str) -> Outcome:
        """Carry out the calls of a reply, or hear what it says."""
        self._refused = 0
        if self._outside.judged:
            reply = Reply.of_action(action)
            said = Message("assistant", reply.text, reply.calls[: self.max_calls])
            self._transcript += (said,)
        outcome = super().act(action)
        facts = outcome.info["facts"]
        facts["refused_by_simulator"] = self._refused
        if self.turns == 1:
            facts["criteria"] = criteria_fact(tuple(t.checklist for t in self.dialogue.turns))
        if outcome.action_valid is False and self.format_penalty:
            outcome.reward -= self.format_penalty
            outcome.reward_parts = {
                **(outcome.reward_parts or {}),
                "format": -self.format_penalty,
            }
        return outcome

    def call_tool(self, call: ToolCall) -> ToolResult:
        """Carry out one call.

        Raises:
            EpisodeFailure: the simulator failed.
            UserError: the cassette is to be replayed, and has no entry for it.
        """
        result = self.toolset.call(call.name, call.arguments)
        if not result.ok:
            return result
        tool = self.dialogue.by_name[call.name]
        got = self._outside.call(self._now(), tool, call.arguments)
        if got.kind != "result":
            self._refused += got.kind == "refused"
            return ToolResult(tool.name, "refused", f"error: {got.value}")
        self._remember(Entry(self._user_turn, tool.name, dict(call.arguments), got.value))
        text = escaped(got.value)
        left_out = max(0, len(text) - self.toolset.max_output)
        if left_out:
            text = f"{text[:-left_out]}\n[... {left_out} more characters were left out]"
        return ToolResult(tool.name, "ok", text, left_out)

    def called(self, calls: Sequence[Called], outcome: Outcome) -> Outcome:
        """Judge a reply with calls."""
        if self._outside.judged:
            assert isinstance(outcome.observation, Observation)
            self._transcript += outcome.observation.messages
        failed = any(not each.result.ok for each in calls) or outcome.action_valid is False
        self._settle(self._verdicts(None, failed), outcome)
        return self._with_commands(outcome)

    def heard(self, text: str) -> Outcome:
        """End the user turn: judge, score, and let the user go on or the dialogue end."""
        outcome = Outcome("", action_valid=True)
        verdicts = self._verdicts(text[:MOST_SAID], False)
        self._settle(verdicts, outcome)
        self._check_judge(verdicts, outcome)
        criteria = self._turn.checklist
        self._missed |= any(each.id not in self._satisfied for each in criteria)
        last = self._user_turn + 1 == len(self.dialogue.turns)
        self._over = last or bool(unmet(criteria, self._satisfied))
        self._pay(outcome)
        if self._over:
            outcome.terminated, outcome.success = True, not self._missed
            return outcome
        self._user_turn += 1
        self._satisfied = frozenset()
        self._turn_began = len(self._transcript)
        self._transcript += (Message("user", self._turn.text),)
        outcome.observation = self._turn.text
        return self._with_commands(outcome)

    def state_key(self) -> str | None:
        """Return the identity of the dialogue, the user turn, the calls and what is satisfied."""
        if self._dialogue is None:
            return None
        said: list[JSON] = [[each.role, each.content] for each in self._transcript]
        satisfied: list[JSON] = [*sorted(self._satisfied)]
        return key_of(
            self._dialogue.digest, self._user_turn, self._trace, satisfied,
            self._missed, self._over, said if self._outside.judged else None,
        )  # fmt: skip

    def expert(self) -> str | None:
        """Return the next step of the dialogue's plan, from what was seen; None: no plan."""
        if self._over:
            return None
        present = [entry for entry in self._memory if entry.turn == self._user_turn]
        for step in self._turn.plan or ():
            known = planned(step, self._memory)
            if known is None:
                return None
            name, what = known
            if isinstance(what, str):
                return Reply(what).action
            if not any(e.tool == name and same(dict(e.arguments), what) for e in present):
                return Reply("", (ToolCall(name, what),)).action
        return None

    def gold(self) -> Iterable[str] | None:
        """Return the plan's replies from here on, if they still meet all criteria.

        None with a simulator or a judge that is a model: nobody knows what they will say.
        """
        if self._dialogue is None:
            raise ResetNeeded("simtools: call reset() first")
        if self._outside.modelled or self._outside.judged or self._missed:
            return None
        play = copy.copy(self)
        play.restore(self.snapshot())
        play.max_turns = None  # the limit is not the plan's
        actions: list[str] = []
        while not play._over and len(actions) < 200:
            action = play.expert()
            if action is None:
                return None
            actions.append(action)
            outcome = play.act(action)
            if outcome.terminated and not outcome.success:
                return None
        return actions

    def snapshot(self) -> object:
        """Return the episode's state (references to what never changes)."""
        return tuple(getattr(self, name) for name in ("dialogue", *_STATE))

    def restore(self, snapshot: object) -> None:
        """Return to the state of `snapshot`, also in another instance with the same options."""
        assert isinstance(snapshot, tuple)
        self._dialogue = snapshot[0]
        for name, value in zip(_STATE, snapshot[1:], strict=True):
            setattr(self, name, value)
        self._take_up(self.dialogue)
        self._world = World.of(self.dialogue, self._memory)

    # ----------------------------------------------------------------------------------------------

    @property
    def _turn(self) -> UserTurn:
        return self.dialogue.turns[self._user_turn]

    @property
    def _heard(self) -> list[str]:
        return [turn.text for turn in self.dialogue.turns[: self._user_turn + 1]]

    def _take_up(self, dialogue: Dialogue) -> None:
        """Offer a dialogue's tools and say what it says."""
        self.use(Toolset([tool.tool for tool in dialogue.tools], timeout_s=None))
        own = type(self).instructions
        self.instructions = f"{dialogue.instructions}\n\n{own}" if dialogue.instructions else own

    def _now(self) -> Moment:
        return Moment(
            self.dialogue, self._user_turn, self._heard, self._memory, self._trace, self._world,
            self._secret,
        )  # fmt: skip

    def _remember(self, entry: Entry) -> None:
        """Record a call, unless the very same was made in this turn and changes nothing again."""
        if not self._outside.modelled:
            again = any(entry == each for each in self._memory)
            before = copy.deepcopy(self._world) if again else None
            self._world.learn(entry)
            if before == self._world:
                return
        self._memory += (entry,)
        self._trace = key_of(
            self._trace, entry.turn, entry.tool, dict(entry.arguments), entry.result
        )

    def _verdicts(self, said: str | None, failed: bool) -> dict[str, bool]:
        """Answer all criteria of the user turn after a reply."""
        criteria = self._turn.checklist
        expected = [v for each in criteria if each.rule for v in wanted(each.rule, self._memory)]
        scene = Scene(
            self._user_turn, self._memory, self._heard, said, self.dialogue.options, expected
        )
        found = {each.id: verdict(each.rule, scene) for each in criteria if each.rule is not None}
        open_ = tuple(each for each in criteria if each.rule is None)
        if open_:
            found |= self._outside.judge(self._now(), self._question(open_, failed))
        no = failed_by_tools(criteria) if failed else frozenset[str]()
        return {each.id: found[each.id] and each.id not in no for each in criteria}

    def _question(self, criteria: tuple[Criterion, ...], failed: bool = False) -> Question:
        """Return what a judge is asked about the agent's last reply."""
        began = self._turn_began
        return Question(criteria, self._transcript[began:], self._transcript[:began], failed)

    def _check_judge(self, verdicts: Mapping[str, bool], outcome: Outcome) -> None:
        """Ask the judge too, in some episodes, what rules have answered, and state how it does.

        Only at the end of a user turn, where a rule's answer is final, and only if something was
        said: otherwise no judge is asked.
        """
        if not self._outside.judged or self._lot >= self.judge_checks:
            return
        ruled = tuple(each for each in self._turn.checklist if each.rule is not None)
        question = self._question(ruled)
        if ruled and not question.empty:
            judged = self._outside.judge(self._now(), question)
            outcome.info["facts"] |= compared(judged, verdicts)

    @property
    def _lot(self) -> float:
        """A number from 0 to 1 that is the episode's own, and the same in all that share a seed."""
        return number(2**32, f"check/{self._secret}") / 2**32

    def _settle(self, verdicts: Mapping[str, bool], outcome: Outcome) -> None:
        """Take in the verdicts on a reply, and state them as facts."""
        self._satisfied |= {each for each, yes in verdicts.items() if yes}
        facts = outcome.info.setdefault("facts", {})
        facts["checklist"] = verdicts_fact(self._user_turn, verdicts)

    def _pay(self, outcome: Outcome) -> None:
        """Give the score of the user turn."""
        score = turn_score(self._turn.checklist, self._satisfied) / len(self.dialogue.turns)
        won = self.outcome * (self._over and not self._missed)
        outcome.reward = score + won
        outcome.reward_parts = {"checklist": score, "outcome": won}

    def _with_commands(self, outcome: Outcome) -> Outcome:
        """Add what one could do by the names that were seen; only in size "tiny"."""
        if self.size != "tiny" or self._file:
            return outcome
        seen = " ".join([*self._heard, *(escaped(entry.result) for entry in self._memory)])
        commands: list[str] = []
        for tool in self.dialogue.tools:
            names = parameters_of(tool.parameters)
            values = [sorted({*re.findall(rf"\b{name} \d+\b", seen)}) for name in names]
            for given in product(*values):
                arguments: dict[str, JSON] = dict(zip(names, given, strict=True))
                commands.append(Reply("", (ToolCall(tool.name, arguments),)).action)
        for entry in self._memory:
            if entry.turn == self._user_turn and isinstance(entry.result, dict):
                commands += [Reply(shown(value)).action for value in entry.result.values()]
        outcome.info["admissible_commands"] = list(dict.fromkeys(commands))[:_MOST_COMMANDS]
        return outcome


_STATE: Final = (
    "_secret", "_user_turn", "_over", "_missed", "_memory", "_trace", "_satisfied", "_transcript",
    "_turn_began", "_refused", "turns", "_phase", "_last_text",
)  # fmt: skip
