"""Multi-hop questions over a library of passages: search until the answer is found, then say it."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from agentgym.env import Outcome, TextEnv
from agentgym.envs.search.asked import FILE_SPLITS, read_questions
from agentgym.envs.search.corpus import open_context, open_corpus
from agentgym.envs.search.encyclopedia import SIZES
from agentgym.envs.search.index import need_bm25s
from agentgym.envs.search.library import Library, Passage, Question, Support, mentions
from agentgym.envs.search.questions import MAX_HOPS, SPLITS, draw_question
from agentgym.envs.search.scores import SCORES, best, exact_match, f1
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.options import check_choice, check_switch, check_whole
from agentgym.types import JSON

__all__ = ["Search"]

NOT_UNDERSTOOD: Final = "Say either search: and what to look for, or answer: and the answer."
NOTHING_FOUND: Final = "Nothing was found."

_ACTION: Final = re.compile(r"\s*(search|answer)\s*:(.*)", re.IGNORECASE | re.DOTALL)
_MOST_RESULTS: Final = 20


class Search(TextEnv):
    """Answer multi-hop questions by searching an encyclopedia (generated, or files of yours).

    Two actions: `search: QUERY` shows the best passages by BM25, `answer: TEXT` ends the episode.
    The verbs may be in any case and white space does not matter; anything else is answered with a
    hint and has `action_valid` False. There is nothing random after `reset`.

    Without `questions` each seed stands for a question on a made-up encyclopedia. With it, any N
    consecutive seeds play each of the N questions once, in an order that depends on their texts.

    `info` holds `hops` after `reset` (None: not known), `exact_match` and `f1` after an answer, and
    for made-up encyclopedias `admissible_commands`: searches and answers with the names shown so
    far. The gold answer is in no observation unless it was found, and in `info` only if asked for;
    `answer()` and `answers()` give it to the code around an episode.

    Args:
        size: "tiny" (96 passages, one-word names, 1 or 2 hops), "small" (342 passages) or "full"
            (2980), both with 1 to 4 hops. By default "small". With `questions` it gives only the
            defaults of `results` and `max_turns`, and is "full" by default.
        split: "train", "valid_seen" (the encyclopedias of train, other questions) or
            "valid_unseen" (other encyclopedias and questions). No two splits share a question. A
            file of questions is divided 8 : 1 : 1, by digest; "all" takes the whole of it.
        hops: only questions of that many hops, or a list of numbers. By default all of the size.
        results: passages per search; by default 1, 2 or 3 by size.
        reward: of an answer: "exact" (1 for an exact match), "f1" or "f1_of_sets": see `scores`.
        success_f1: an answer succeeds from this `f1` on, instead of by exact match only.
        questions: a file of questions in the form of HotpotQA, 2WikiMultihopQA or MuSiQue.
        passages: a file of passages to search; by default those that come with the questions.
        index: the folder to keep the index of a file in; by default beside the file.
        answer_in_info: put `gold_answer` into the `info` of `reset` and `step`.
        max_turns: turn limit; by default 6, 8 or 10 by size.
    """

    version = 0
    instructions = (
        "Answer the question. One action per turn, either\n"
        "search: (what to look for)\n"
        "which shows passages, or\n"
        "answer: (the answer, as short as possible)\n"
        "which ends the task. Look for one name at a time."
    )
    presets: ClassVar[Mapping[str, Mapping[str, JSON]]] = {size: {"size": size} for size in SIZES}
    noop = "wait"
    rewards_turns = False

    def __init__(
        self,
        *,
        size: str | None = None,
        split: str = "train",
        hops: int | list[int] | None = None,
        results: int | None = None,
        reward: str = "exact",
        success_f1: float | None = None,
        questions: str | None = None,
        passages: str | None = None,
        index: str | None = None,
        answer_in_info: bool = False,
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check everything, read files, and build or open their index.

        Raises:
            ConfigError: an option has a value that it cannot have, a file or one of its lines is
                not as it has to be, or bm25s is not installed.
        """
        need_bm25s()
        _check_files(questions, passages, index)
        self.size = size if size is not None else "full" if questions else "small"
        check_choice("search", "size", self.size, tuple(SIZES))
        check_choice("search", "split", split, FILE_SPLITS if questions else SPLITS)
        check_choice("search", "reward", reward, tuple(SCORES))
        shape = SIZES[self.size]
        check_switch("answer_in_info", answer_in_info)
        if success_f1 is not None and (
            isinstance(success_f1, bool)
            or not isinstance(success_f1, int | float)
            or not 0 < success_f1 <= 1
        ):
            raise ConfigError(f"success_f1 must be above 0 and at most 1, got {success_f1!r}")
        results = shape.results if results is None else results
        check_whole("results", results, most=_MOST_RESULTS)
        self.split, self.reward, self.results = split, reward, results
        self.success_f1, self.answer_in_info = success_f1, answer_in_info
        self.hops = _hops(hops, None if questions else MAX_HOPS) or (
            () if questions else shape.hops
        )
        super().__init__(
            max_turns=shape.turns if max_turns is None else max_turns, render_mode=render_mode
        )
        self._corpus: Library | None = None
        self._asked: tuple[Question, ...] = ()
        if questions:
            self._asked = read_questions(
                Path(questions), split=split, hops=self.hops, by_title=bool(passages)
            )
            place = Path(index) if index else None
            self._corpus = (
                open_corpus(Path(passages), place)
                if passages
                else open_context(Path(questions), place)
            )
        self._library: Library | None = None
        self._question: Question | None = None
        self._found: tuple[int, ...] = ()
        self._answered = False

    # What the code around an episode may ask ------------------------------------------------------

    @property
    def question(self) -> Question:
        """The question of this episode, with its answers.

        Raises:
            ResetNeeded: there was no `reset` yet.
        """
        if self._question is None:
            raise ResetNeeded("search: call reset() first")
        return self._question

    def answer(self) -> str:
        """Return the gold answer; nothing that the policy sees may hold it."""
        return self.question.answers[0]

    def answers(self) -> tuple[str, ...]:
        """Return everything that counts as right, the gold answer first."""
        return self.question.answers

    # The hooks of an environment ------------------------------------------------------------------

    def begin(self, options: Mapping[str, Any]) -> Outcome:
        """Draw a question and show it."""
        for key in options:
            raise UnknownName("reset option of search", key, [])
        if self._corpus is None:
            self._library, self._question = draw_question(
                int(self.np_random.integers(2**63)),
                size=self.size,
                split=self.split,
                hops=self.hops,
                results=self.results,
            )
        else:
            self._library, self._question = (
                self._corpus,
                self._asked[self.drawn_number(len(self._asked))],
            )
        self._found, self._answered = (), False
        outcome = self._outcome(f"Question: {self._question.text}")
        outcome.info["hops"] = self._question.hops
        return outcome

    def act(self, action: str) -> Outcome:
        """Search, or answer."""
        match = _ACTION.fullmatch(action)
        text = " ".join(match[2].split()) if match else ""
        if match is None or not text:
            outcome = self._outcome(NOT_UNDERSTOOD)
            outcome.action_valid = False
            return outcome
        if match[1].lower() == "answer":
            return self._judge(text)
        numbers = self._shelf().search(text, self.results)
        self._found = tuple(sorted({*self._found, *numbers}))
        shown = [self._shelf().passage(number).shown() for number in numbers]
        outcome = self._outcome("\n".join(shown) or NOTHING_FOUND)
        outcome.action_valid = True
        return outcome

    def state_key(self) -> str | None:
        """Return the identity of the question and of the set of passages found so far."""
        if self._question is None:
            return None
        state = (self._shelf().key, self._question.text, self._found, self._answered)
        return hashlib.blake2b(repr(state).encode("utf-8", "replace"), digest_size=16).hexdigest()

    def gold(self) -> Iterable[str]:
        """Return the searches that reach what the answer rests on, and the answer.

        What no search by its title reaches, and what is not known to support the answer (files
        without supporting facts), is left out.
        """
        reached = [self._query(support) for support in self._missing()]
        return [*(f"search: {query}" for query in reached if query), f"answer: {self.answer()}"]

    def expert(self) -> str | None:
        """Return what somebody would do who knows how to reason but only what was shown.

        Where a file's question names no title to go on from, that is a search for the whole
        question; None: that did not help either.
        """
        found = [self._shelf().passage(number) for number in self._found]
        shown = "\n".join((self.question.text, *(f"{p.title} {p.text}" for p in found)))
        missing = self._missing()
        if not missing and self._follows_from(found):
            return f"answer: {self.answer()}"
        for support in missing:
            query = self._query(support)
            if query and mentions(shown, support.title):
                return f"search: {query}"
        # no title to go on from: the question itself, then together with what was found
        for query in (self.question.text, *(f"{self.question.text} {p.title}" for p in found)):
            if not set(self._shelf().search(query, self.results)) <= set(self._found):
                return f"search: {query}"
        return f"answer: {self.answer()}" if self._follows_from(found) else None

    def snapshot(self) -> object:
        """Return a copy of the episode's state (a few references)."""
        return (
            self._shelf(),
            self.question,
            self._found,
            self._answered,
            self.turns,
            self._phase,
            self._last_text,
        )

    def restore(self, snapshot: object) -> None:
        """Return to the state of `snapshot`, also in another instance with the same options."""
        assert isinstance(snapshot, tuple)
        self._library, self._question, self._found, self._answered, *rest = snapshot
        self.turns, self._phase, self._last_text = rest

    # ----------------------------------------------------------------------------------------------

    def _judge(self, said: str) -> Outcome:
        self._answered = True
        golds = self.question.answers
        exact, overlap = best(exact_match, said, golds), best(f1, said, golds)
        success = exact == 1 or (self.success_f1 is not None and overlap >= self.success_f1)
        reward = best(SCORES[self.reward], said, golds)
        outcome = self._outcome("That is right." if success else "That is not right.")
        outcome.info |= {"exact_match": exact, "f1": overlap}
        outcome.reward, outcome.reward_parts = reward, {self.reward: reward}
        outcome.terminated, outcome.success, outcome.action_valid = True, success, True
        return outcome

    def _outcome(self, text: str) -> Outcome:
        outcome = Outcome(text)
        if self.answer_in_info:
            outcome.info["gold_answer"] = self.answer()
        if self.question.names:
            names = {*self.question.names}
            for number in self._found:
                names.update(self._shelf().names(number) or ())
            outcome.info["admissible_commands"] = [
                f"{verb}: {name}" for verb in ("answer", "search") for name in sorted(names)
            ]
        return outcome

    def _shelf(self) -> Library:
        if self._library is None:
            raise ResetNeeded("search: call reset() first")
        return self._library

    def _missing(self) -> list[Support]:
        """Return what the answer rests on and was not found yet, as far as a search can find it."""
        found = [self._shelf().passage(number) for number in self._found]
        return [
            support
            for support in self.question.supports
            if not any(support.is_met_by(passage) for passage in found) and self._query(support)
        ]

    def _query(self, support: Support) -> str | None:
        """Return a search that finds a passage, or None if none does."""
        beginning = " ".join((support.text or "").split()[:20])
        for query in (support.title, f"{support.title} {beginning}"):
            for number in self._shelf().search(query, self.results):
                if support.is_met_by(self._shelf().passage(number)):
                    return query
        return None

    def _follows_from(self, found: list[Passage]) -> bool:
        """Whether the answer can be told from these passages."""
        if any(mentions(f"{p.title} {p.text}", gold) for p in found for gold in self.answers()):
            return True
        supports = self.question.supports
        return bool(supports) and all(any(s.is_met_by(p) for p in found) for s in supports)


def _check_files(questions: object, passages: object, index: object) -> None:
    """Refuse paths that are none, and options that say nothing together."""
    for name, value in (("questions", questions), ("passages", passages), ("index", index)):
        if value is not None and (not isinstance(value, str) or not value):
            raise ConfigError(f"{name} must be a path, got {value!r}")
        if value is not None and not questions:
            raise ConfigError(f"{name} needs the option questions=FILE; without it, none is read")


def _hops(hops: object, most: int | None) -> tuple[int, ...]:
    """Return the numbers of hops that are asked for, sorted; none: no choice was made."""
    if hops is None:
        return ()
    chosen = hops if isinstance(hops, list | tuple) else [hops]
    if not chosen:
        raise ConfigError("hops must name at least one number of hops, got an empty list")
    for value in chosen:
        check_whole("hops", value, most=most)
    return tuple(sorted(set(chosen)))
