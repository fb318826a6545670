"""Texts from textworld's context-sensitive grammars, parsed once and spoken many times.

The grammar is parsed by textworld itself. textworld's own derivation parses the start symbol and
every condition anew and copies the whole context for every symbol; here a context is never changed
once made, so that nothing needs to be copied.
"""

import ast
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from textworld.envs.pddl import textgen
from textworld.envs.pddl.logic import GameLogic
from textworld.logic import Rule

Name = tuple[str, str]
"""A thing or a placeholder: its name and its type."""

Signature = tuple[str, tuple[str, ...]]
"""A predicate: its name and the types of its arguments."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """One predicate of a query."""

    name: str
    parameters: tuple[Name, ...]


_LIST_SYMBOLS = ("list_empty", "list_separator", "list_last_separator")

Query = tuple[Predicate, ...]
Search = Callable[[Predicate], Iterator[tuple[Name, ...]]]
"""The arguments of all facts that a predicate may stand for, in the engine's order."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a derivation knows. `things` are textworld's entity infos by placeholder name."""

    mapping: Mapping[Name, Name]
    things: Mapping[str, Any]
    entities: Mapping[str, Any]
    search: Search


@dataclass(frozen=True, slots=True)
class ActionTexts:
    """How an action is asked for, and the symbols of what it answers."""

    template: tuple[Any, ...]
    feedback: tuple[Any, ...]


class Grammar:
    """A parsed grammar; never changes after `__init__`.

    Attributes:
        actions: the texts of each action by its lower-case name.

    Raises:
        ValueError: the grammar cannot be parsed.
    """

    def __init__(self, text: str) -> None:
        try:
            logic = GameLogic(domain="", grammar=text)
            rules = logic.grammar._rules
            self._rules = {
                name: tuple((_query(rule.condition), tuple(rule.rhs)) for rule in rules[name])
                for name in rules
            }
            self.intro = _symbols("#intro#")
            self.actions = {
                name: ActionTexts(_symbols(action.template), _symbols(action.feedback_rule))
                for name, action in logic.actions.items()
            }
        except Exception as error:  # the parser raises errors of many kinds
            raise ValueError(f"its grammar cannot be parsed: {error}") from error

    def say(self, symbols: tuple[Any, ...], context: Context) -> str:
        """Derive the text of some symbols."""
        said: list[str] = []
        for symbol in symbols:
            self._say(symbol, context, said)
        return "".join(said)

    def reads(self, symbols: tuple[Any, ...]) -> frozenset[str]:
        """Return the names of all predicates that the text of some symbols may depend on."""
        names: set[str] = set()
        seen: set[str] = set()
        todo = list(symbols)
        while todo:
            symbol = todo.pop()
            if isinstance(symbol, textgen.ListSymbol):
                todo.append(symbol.symbol)
                todo += map(textgen.NonterminalSymbol, _LIST_SYMBOLS)
            elif isinstance(symbol, textgen.ConditionalSymbol):
                names.update(p.name for p in _query(symbol.given))
                todo.append(symbol.expression)
            elif isinstance(symbol, textgen.NonterminalSymbol) and symbol.symbol not in seen:
                seen.add(symbol.symbol)
                for condition, rhs in self._rules.get(symbol.symbol, ()):
                    names.update(p.name for p in condition)
                    todo += rhs
        return frozenset(names)

    def _say(self, symbol: Any, context: Context, said: list[str]) -> None:
        if isinstance(symbol, textgen.TerminalSymbol):
            said.append(str(symbol.symbol))
        elif isinstance(symbol, textgen.NonterminalSymbol):
            for part in self._expand(symbol.symbol, context):
                self._say(part, context, said)
        elif isinstance(symbol, textgen.EvalSymbol):
            said.append(str(_expression(symbol.expression)(context.things)))
        elif isinstance(symbol, textgen.ConditionalSymbol):
            for found in _answers(symbol.given, context):
                self._say(symbol.expression, found, said)
        elif isinstance(symbol, textgen.ListSymbol):
            self._say_list(symbol.symbol, context, said)
        else:
            raise ValueError(f"an unknown kind of symbol {symbol!r}")

    def _say_list(self, symbol: Any, context: Context, said: list[str]) -> None:
        if not isinstance(symbol, textgen.ConditionalSymbol):
            raise ValueError(f"a list of something that is no query: {symbol!r}")
        found = list(_answers(symbol.given, context))
        for i, each in enumerate(found):
            if i:
                last = i == len(found) - 1
                name = "list_last_separator" if last else "list_separator"
                self._say(textgen.NonterminalSymbol(name), context, said)
            self._say(symbol.expression, each, said)
        if not found:
            self._say(textgen.NonterminalSymbol("list_empty"), context, said)

    def _expand(self, name: str, context: Context) -> tuple[Any, ...]:
        for condition, rhs in self._rules.get(name, ()):
            if not condition or next(_solve(condition, context), None) is not None:
                return rhs
        raise ValueError(f"no rule of the grammar applies to {name!r}")


def _answers(given: str | None, context: Context) -> Iterator[Context]:
    """Yield one context for every way in which a query holds; the same one without a query."""
    query = _query(given)
    if not query:
        yield context
        return
    for mapping in _solve(query, context):
        things = dict(context.things)
        for (name, _), (thing, _) in mapping.items():
            things[name] = context.entities[thing]
        yield Context(mapping, things, context.entities, context.search)


def _solve(query: Query, context: Context) -> Iterator[dict[Name, Name]]:
    """Yield every mapping of placeholders to distinct things for which all predicates hold."""
    return _solve_from(query, 0, dict(context.mapping), context.search)


def _solve_from(
    query: Query, depth: int, mapping: dict[Name, Name], search: Search
) -> Iterator[dict[Name, Name]]:
    if depth == len(query):
        yield mapping
        return
    predicate = query[depth]
    for arguments in search(predicate):
        extended = mapping
        for placeholder, thing in zip(predicate.parameters, arguments, strict=True):
            known = extended.get(placeholder)
            if known is None:
                if thing in extended.values():
                    break
                if extended is mapping:
                    extended = dict(mapping)
                extended[placeholder] = thing
            elif known != thing:
                break
        else:
            yield from _solve_from(query, depth + 1, extended, search)


@functools.lru_cache(maxsize=4096)
def _query(expression: str | None) -> Query:
    if not expression:
        return ()
    rule = Rule.parse_conjunctive_query(expression)
    return tuple(
        Predicate(p.name, tuple((ph.name, ph.type) for ph in p.parameters))
        for p in rule.preconditions
    )


@functools.lru_cache(maxsize=4096)
def _symbols(text: str) -> tuple[Any, ...]:
    grammar = textgen.ContextSensitiveGrammar.parse(json.dumps({"": [{"rhs": text}]}))
    return tuple(grammar._rules[""][0].rhs)


Expression = Callable[[Mapping[str, Any]], Any]


@functools.lru_cache(maxsize=4096)
def _expression(source: str) -> Expression:
    """Compile `o.indefinite + ' ' + o.name` and the like.

    textworld hands these to `eval`, so that a game file could run any code; only names, attributes,
    strings, `+`, `or` and `and` are let through here.
    """
    tree = ast.parse(source.strip(), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise ValueError(f"the grammar may not evaluate {source!r}")
        if not isinstance(
            node,
            ast.Expression | ast.Name | ast.Attribute | ast.Load | ast.Constant
            | ast.BinOp | ast.Add | ast.BoolOp | ast.Or | ast.And,
        ):  # fmt: skip
            raise ValueError(f"the grammar may not evaluate {source!r}")
    code = compile(tree, "<grammar>", "eval")
    nothing: dict[str, Any] = {"__builtins__": {}}
    return lambda things: eval(code, nothing, dict(things))
