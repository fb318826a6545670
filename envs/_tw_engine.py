"""ALFWorld's text engine with what never changes worked out once: same texts, many times faster.

The engine of textworld (`textworld.envs.pddl`) translates the PDDL twice at every reset, loads a
33 MB library for every environment, and at every step parses its grammar and copies its context for
every admissible command. Here a game is translated and parsed once, by the same code of textworld
and Fast Downward, and kept (`compile_game`); a step then changes only what the action changes.
Texts, admissible commands, facts and the end of the game are those of the stock engine with
ALFWorld's wrapper `AlfredDemangler`; tests/envs/test_alfworld.py compares them.
"""

import copy
import functools
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fast_downward
from alfworld.agents.utils.misc import Demangler
from textworld.generator.game import EntityInfo
from textworld.logic import Proposition, Type, TypeHierarchy, Variable

from agentgym.envs._tw_grammar import Context, Grammar, Name, Predicate, Signature
from agentgym.envs._tw_sas import State, Task
from agentgym.errors import ConfigError

NOTHING_HAPPENS = "Nothing happens."
"""The answer to every command that is not admissible."""

Fact = tuple[Signature, tuple[Name, ...]]
Facts = dict[Signature, set[tuple[Name, ...]]]

_TASK_LINE = re.compile(r'"Your task is to: ([\w ,\'-]+)\.?"')
_UNKNOWN = "UNKNOWN GOAL"
_FIELDS = {"pddl_domain": str, "grammar": str, "pddl_problem": str}
_TRANSLATOR = threading.Lock()  # it keeps its options, and where to print, in global variables


class Step(NamedTuple):
    """What one command brought about."""

    text: str
    done: bool
    won: bool
    admissible: list[str]


class PddlGame:
    """One game, playable any number of times.

    >>> game = PddlGame.load("game.tw-pddl")  # doctest: +SKIP
    >>> text, info = game.reset()  # doctest: +SKIP
    >>> text, done, won, admissible = game.step("go to fridge 1")  # doctest: +SKIP

    Attributes:
        path: the file it came from, or None.
        walkthrough: commands that win it, as far as the file has any.
        admissible: the commands that do something in the present state, sorted.
        won: whether the present state is a winning one.
        understood: whether the latest command was admissible.
    """

    def __init__(self, data: Mapping[str, Any], path: Path | None = None) -> None:
        """Prepare the content of a game file.

        Raises:
            ConfigError: it is not a game; the message names the file and what is wrong in it.
        """
        self.path = path
        where = str(path) if path else "the game"
        for field, kind in _FIELDS.items():
            if not isinstance(data.get(field), kind):
                raise ConfigError(f"{where} is no ALFWorld game: it has no text in {field!r}")
        walkthrough = data.get("walkthrough") or []
        if not isinstance(walkthrough, list) or not all(isinstance(c, str) for c in walkthrough):
            raise ConfigError(f"{where} is no ALFWorld game: its 'walkthrough' is no list of texts")
        self.walkthrough: tuple[str, ...] = tuple(walkthrough)
        self.admissible: list[str] = []
        self.won = False
        self.understood = True
        with self._faults_named():
            self._game = compile_game(*(data[field] for field in _FIELDS))
            self._start()

    @classmethod
    def load(cls, path: str | Path) -> "PddlGame":
        """Read a game file.

        Raises:
            ConfigError: the file cannot be read or is no game; the message names it.
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as an ALFWorld game: {error}") from error
        if not isinstance(data, dict):
            raise ConfigError(f"{path} is no ALFWorld game: it holds a {type(data).__name__}")
        return cls(data, Path(path))

    def reset(self) -> tuple[str, dict[str, Any]]:
        """Start from the beginning; return the first text and `won` and `admissible_commands`."""
        self._start()
        with self._faults_named():
            text = self._game.intro(self._facts)
        return text, {"won": self.won, "admissible_commands": self.admissible}

    def step(self, command: str) -> Step:
        """Carry out a command; whatever is not admissible does nothing."""
        game = self._game
        operator = self._operators.get(command.strip())
        self.understood = operator is not None
        if operator is not None:
            with self._faults_named():
                self._state.apply(operator)
                for remove, add in game.told(operator):
                    self._facts[remove[0]].discard(remove[1])
                    self._facts[add[0]].add(add[1])
                text = game.feedback(operator, self._facts)
                self._look_around()
        else:
            text = NOTHING_HAPPENS
        return Step(text, self.won, self.won, self.admissible)

    def facts(self) -> list[Proposition]:
        """Return the facts as the engine tells them, with the names that a player sees."""
        told = [(s, f) for s, facts in self._game.lasting.items() for f in facts]
        told += [(s, f) for s, facts in self._facts.items() for f in facts]
        return [
            Proposition(s[0], [Variable(self._game.entities[n].name, t) for n, t in arguments])
            for s, arguments in told
        ]

    def state_key(self) -> str:
        """Return a digest of the game and of everything in the state that can ever matter.

        That is: the variables on which what can be done or the goal depends, and the facts that
        some text of the grammar asks for. What only records that one has looked (`checked`)
        matters to neither and is left out.
        """
        game, values = self._game, self._state.values
        known = [str(values[v]) for v in game.relevant_variables]
        told = sorted(
            (s, f) for s, facts in self._facts.items() if s[0] in game.read for f in facts
        )
        content = f"{game.digest} {' '.join(known)} {told}"
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()

    def copy(self) -> "PddlGame":
        """Return another player of the same game in the same state; cheap, the game is shared."""
        other = copy.copy(self)
        other._state = self._state.copy()
        other._facts = {signature: set(facts) for signature, facts in self._facts.items()}
        return other

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        """Name the file in what its PDDL or its grammar is to blame for."""
        try:
            yield
        except (ValueError, LookupError, AttributeError, NameError, TypeError) as error:
            where = self.path or "the game"
            raise ConfigError(f"{where} cannot be played: {error}") from error

    def _start(self) -> None:
        self._state = self._game.start.copy()
        self._facts = {signature: set(facts) for signature, facts in self._game.changing.items()}
        self.understood = True
        self._look_around()

    def _look_around(self) -> None:
        command, facts, operators = self._game.command, self._facts, self._game.task.operators
        found: dict[str, int] = {}
        for operator in self._state.applicable:
            text = command(operator, facts)
            rival = found.setdefault(text, operator)
            # Commands that stand for several actions do the same with each; choose one for sure.
            if rival != operator and operators[operator].name < operators[rival].name:
                found[text] = operator
        self._operators = found
        self.admissible = sorted(found)
        self.won = self._state.won


class CompiledGame:
    """Everything about a game that no action changes; shared by all who play it."""

    def __init__(self, domain: str, grammar: str, problem: str) -> None:
        self.digest = hashlib.blake2b(f"{domain}\0{grammar}\0{problem}".encode()).hexdigest()[:24]
        pddl, sas = _translate(domain, problem)
        self.task = Task(sas)
        self.start = State(self.task)
        self.grammar, self.goal_text = _parse(grammar)
        self._types = TypeHierarchy()
        for kind in pddl.types:
            # "object" is both the root of all types and declared in ALFWorld's domain.
            if kind.name not in {known.name for known in self._types}:
                self._types.add(Type(kind.name, kind.supertype_names))
        self._type_of = {thing.name: thing.type_name for thing in pddl.objects}
        self._parameters = {
            action.name: [(p.name.strip("?"), p.type_name) for p in action.parameters]
            for action in pddl.actions
        }
        self._signatures: dict[Predicate, list[Signature]] = {}
        self._commands: dict[int, str] = {}
        self._told: dict[int, list[tuple[Fact, Fact]]] = {}

        changed = {self._fact(a) for values in self.task.atoms for a in values}
        fluents = {signature for fact in changed for signature in (fact[0], _negated(fact)[0])}
        first: Facts = {signature: set() for signature in fluents}
        for signature, arguments in self._first_facts(pddl):
            first.setdefault(signature, set()).add(arguments)
        self.changing = {s: facts for s, facts in first.items() if s in fluents}
        self.lasting = {s: sorted(facts) for s, facts in first.items() if s not in fluents}
        self.entities = _entities(thing for facts in first.values() for f in facts for thing in f)

        self.relevant_variables = self.task.relevant_variables()
        texts = self.grammar.actions.values()
        self.read = self.grammar.reads(self.grammar.intro).union(
            *(self.grammar.reads(t.template + t.feedback) for t in texts)
        )
        changing = {name for name, _ in fluents}
        self._unstable = {  # actions whose commands can change within an episode
            name
            for name, t in self.grammar.actions.items()
            if self.grammar.reads(t.template) & changing
        }

    def intro(self, facts: Facts) -> str:
        """Return the first text of an episode."""
        context = Context({}, {}, self.entities, self._search(facts))
        return self._say(self.grammar.intro, context)

    def command(self, operator: int, facts: Facts) -> str:
        """Return the command that stands for an operator."""
        command = self._commands.get(operator)
        if command is None:
            action = self.task.operators[operator].name.split()[0]
            command = self._say(
                self.grammar.actions[action].template, self._context(operator, facts)
            )
            if action not in self._unstable:
                self._commands[operator] = command
        return command

    def feedback(self, operator: int, facts: Facts) -> str:
        """Return what an operator answers, after it was carried out."""
        action = self.task.operators[operator].name.split()[0]
        return self._say(self.grammar.actions[action].feedback, self._context(operator, facts))

    def told(self, operator: int) -> list[tuple[Fact, Fact]]:
        """Return the facts that an operator removes and adds in the engine's account.

        The engine counts every conditional effect as having happened; its texts show it.
        """
        pairs = self._told.get(operator)
        if pairs is None:
            effects = self.task.operators[operator].effects
            added = [self._fact(self.task.atoms[e.variable][e.value]) for e in effects]
            pairs = self._told[operator] = [(_negated(fact), fact) for fact in added]
        return pairs

    def _say(self, symbols: tuple[Any, ...], context: Context) -> str:
        text = self.grammar.say(symbols, context)
        return text.replace(_UNKNOWN, self.goal_text) if _UNKNOWN in text else text

    def _context(self, operator: int, facts: Facts) -> Context:
        action, *arguments = self.task.operators[operator].name.split()
        given = list(zip(self._parameters[action], arguments, strict=False))  # not those it binds
        things = {name: self.entities[arg] for (name, _), arg in given}
        mapping = {parameter: (arg, parameter[1]) for parameter, arg in given}
        return Context(mapping, things, self.entities, self._search(facts))

    def _search(self, facts: Facts) -> Any:
        def search(predicate: Predicate) -> Iterator[tuple[Name, ...]]:
            for signature in self._signatures_of(predicate):
                if signature in facts:
                    yield from sorted(facts[signature])
                else:
                    yield from self.lasting.get(signature, ())

        return search

    def _signatures_of(self, predicate: Predicate) -> list[Signature]:
        found = self._signatures.get(predicate)
        if found is None:
            types = [self._types.get(kind) for _, kind in predicate.parameters]
            found = self._signatures[predicate] = [
                (predicate.name, tuple(t.name for t in subtypes))
                for subtypes in self._types.multi_subtypes(types)
            ]
        return found

    def _fact(self, atom: str) -> Fact:
        """Parse "Atom opened(fridge)"."""
        sign, _, rest = atom.partition(" ")
        name, _, inside = rest.partition("(")
        names = [n for n in inside[:-1].split(", ") if n]
        arguments = tuple((n.upper() if n in ("i", "p") else n, self._type_of[n]) for n in names)
        if sign == "NegatedAtom":
            name = f"not_{name}"
        return (name, tuple(kind for _, kind in arguments)), arguments

    def _first_facts(self, pddl: Any) -> Iterator[Fact]:
        for atom in pddl.init:
            predicate = getattr(atom, "predicate", "=")  # assignments are distances and costs
            if predicate != "=":
                arguments = tuple((n, self._type_of[n]) for n in atom.args)
                yield (predicate, tuple(kind for _, kind in arguments)), arguments
        for values, value in zip(self.task.atoms, self.start.values, strict=True):
            if values[value].startswith("Atom "):
                yield self._fact(values[value])


def _entities(things: Iterable[Name]) -> dict[str, EntityInfo]:
    """Return textworld's entity infos, with the names that ALFWorld gives them."""
    entities = {name: EntityInfo(name, kind) for name, kind in things}
    demangler = Demangler(game_infos=entities)
    for info in entities.values():
        info.name = demangler.demangle_alfred_name(info.id)
        info.definite, info.indefinite = "the", "a"
    return entities


def compile_game(domain: str, grammar: str, problem: str) -> CompiledGame:
    """Translate and parse a game, or return it from among the latest 128 (a few MB each).

    Raises:
        ValueError: the engine's parsers refuse it.
    """
    with _TRANSLATOR:
        return compiled_games(domain, grammar, problem)


compiled_games = functools.lru_cache(maxsize=128)(CompiledGame)
"""The cache behind `compile_game`, which see."""


def _translate(domain: str, problem: str) -> tuple[Any, str]:
    """Translate PDDL as textworld does; return Fast Downward's task and its text."""
    arguments = sys.argv
    try:
        task, text = fast_downward.pddl2sas(domain, problem)
    except (Exception, SystemExit) as error:  # it exits on what it cannot read
        raise ValueError(f"its PDDL cannot be translated: {error!r}") from error
    finally:
        sys.argv = arguments
    return task, text


def _parse(grammar: str) -> tuple[Grammar, str]:
    """Parse a grammar and return it with its goal's text.

    ALFWorld writes each game's goal into the grammar; it is taken out before parsing, so that all
    games share one parsed grammar.
    """
    found = _TASK_LINE.search(grammar)
    if found is None:
        return _parsed(grammar), _UNKNOWN
    return _parsed(grammar[: found.start(1)] + _UNKNOWN + grammar[found.end(1) :]), found[1]


@functools.lru_cache(maxsize=16)
def _parsed(grammar: str) -> Grammar:
    return Grammar(grammar)


def _negated(fact: Fact) -> Fact:
    (name, types), arguments = fact
    other = name.removeprefix("not_") if name.startswith("not_") else f"not_{name}"
    return (other, types), arguments
