"""Who plays the tools, who judges what rules cannot, and the cassette in front of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentgym.chat import Chat, chat_named
from agentgym.env import Determinism
from agentgym.envs.simtools.cassette import Cassette, cassette_at, key_of
from agentgym.envs.simtools.dialogue import Dialogue, SimTool
from agentgym.envs.simtools.model import Answer, ask
from agentgym.envs.simtools.rules import Entry
from agentgym.envs.simtools.world import World, answer
from agentgym.errors import ConfigError, ToolError, nearest
from agentgym.rewards.judge import Judge, Question
from agentgym.types import JSON


@dataclass(frozen=True, slots=True)
class Moment:
    """The state in which a call is made, or a reply judged.

    Attributes:
        dialogue: what is played. turn: of the user, from 0. heard: what the user said so far.
        memory: the successful calls so far. trace: the digest of them. world: what they made.
        secret: of the episode, from its seed; the agent does not know it.
    """

    dialogue: Dialogue
    turn: int
    heard: Sequence[str]
    memory: Sequence[Entry]
    trace: str
    world: World
    secret: int


class Outside:
    """What an environment asks outside of itself; holds nothing of an episode."""

    def __init__(self, simulator: str, judge: str, cassette: str | None, mode: str) -> None:
        """Reach the language models and open the cassette. Arguments as those of `SimTools`.

        Raises:
            ConfigError: an option that cannot be meant, or a damaged cassette.
            UserError: a language model cannot be reached.
        """
        if cassette is None and mode != "auto":
            raise ConfigError(f"cassette_mode={mode!r} needs cassette=PATH")
        self.modelled, self.judged = simulator != "schema", judge != "rules"
        if cassette is not None and not self.modelled and not self.judged:
            raise ConfigError(
                "a cassette keeps what language models say, and simulator='schema' with "
                "judge='rules' asks none; leave it out"
            )
        self._cassette: Cassette | None = None if cassette is None else cassette_at(cassette, mode)
        self._strict = mode == "replay"
        self._simulator = _chat("simulator", simulator, "schema", self._strict)
        judging = _chat("judge", judge, "rules", self._strict)
        self._judge = None if judging is None else Judge(judging)

    def __deepcopy__(self, memo: object) -> "Outside":
        return self

    @property
    def determinism(self) -> Determinism:
        """Of an environment that asks here."""
        if not self.modelled and not self.judged:
            return "exact"
        return "none" if self._cassette is None else "recorded"

    def call(self, now: Moment, tool: SimTool, given: Mapping[str, JSON]) -> Answer:
        """Return what a call brings.

        Raises:
            EpisodeFailure: the simulator failed.
            UserError: the cassette is to be replayed, and has no entry for it.
        """
        if self._cassette is None:
            return self._played(now, tool, given)

        def record() -> JSON:
            played = self._played(now, tool, given)
            return [played.kind, played.value]

        about: dict[str, JSON] = {
            "dialogue": now.dialogue.id,
            "user_turn": now.turn,
            "tool": tool.name,
            "arguments": dict(given),
        }
        key = key_of("call", now.dialogue.digest, now.turn, now.trace, tool.name, dict(given))
        found: Any = self._cassette.answer(key, about, record, strict=self._strict)
        return Answer(*found)

    def judge(self, now: Moment, question: Question) -> dict[str, bool]:
        """Return a model's verdicts on the criteria of a question, by id.

        Raises:
            JudgeError: the judge failed.
            UserError: the cassette is to be replayed, and has no entry for it.
        """
        ids: list[JSON] = [each.id for each in question.criteria]
        said: list[JSON] = [
            [
                each.role,
                each.content,
                [[call.name, dict(call.arguments)] for call in each.tool_calls],
            ]
            for each in (*question.earlier, *question.present)
        ]
        key = key_of("judge", now.dialogue.digest, now.turn, said, ids, question.tool_failed)

        def record() -> JSON:
            assert self._judge is not None  # dialogues with such criteria need one
            return dict(self._judge.verdicts(question, seed=int(key[:7], 16)))

        about: dict[str, JSON] = {"dialogue": now.dialogue.id, "user_turn": now.turn, "judge": ids}
        found: Any = (
            record()
            if self._cassette is None
            else self._cassette.answer(key, about, record, strict=self._strict)
        )
        return dict(found)

    def _played(self, now: Moment, tool: SimTool, given: Mapping[str, JSON]) -> Answer:
        if self._simulator is None:
            try:
                return Answer("result", answer(now.dialogue, now.world, now.heard, tool, given))
            except ToolError as error:
                return Answer("error", str(error))
        nonce = key_of(now.secret, now.trace, tool.name, dict(given))[:16]
        return ask(self._simulator, tool, given, memory=now.memory, heard=now.heard, nonce=nonce)


def _chat(option: str, word: str, without: str, strict: bool) -> Chat | None:
    """Return the language model of an option; none where it has none, or is never asked."""
    if word == without:
        return None
    if ":" not in word:
        raise ConfigError(
            f"{option}={word!r} is neither {without!r} nor a language model, openai:ADDRESS#MODEL; "
            f"{nearest(word, [without])}"
        )
    return None if strict else chat_named(word)
