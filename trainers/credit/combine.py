"""Sums of credit schemes, written as `0.5*gigpo + igpo`, and how schemes are made from a recipe."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agentgym import registry
from agentgym.config import build
from agentgym.errors import ConfigError
from agentgym.trainers.credit.base import (
    Advantages,
    CreditReport,
    CreditScheme,
    Floats,
    ValuesKCT,
    own_normalisation,
    parts_named_by,
)
from agentgym.trainers.credit.common import check_range
from agentgym.types import Group

__all__ = ["Combine"]

EXAMPLE = "0.5*gigpo + igpo, or gigpo(gamma=0.9) + 0.1*turn_return"

WEIGHT = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*(?::\w+)?")
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Term:
    """One scheme of a sum, and its weight."""

    scheme: CreditScheme
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, "weight", -1e6, 1e6)


@dataclass(frozen=True)
class Combine:
    """A weighted sum of credit schemes: A = sum_j w_j A_j, for every token.

    A sum of policy gradients is the policy gradient of the sum, so terms may be mixed freely; their
    scales are their own (one divides by a deviation, another does not). GiGPO (arXiv 2505.10978,
    equation 8) is such a sum: `grpo` and omega times its turn level.
    Checked against: `gigpo` of omega 0.5 as the sum of halves of omega 0 and omega 1.
    Degenerate: no signal in any term, or terms that cancel: zeros.

    Attributes:
        terms: a text such as `0.5*gigpo + igpo`; or a list of texts, of schemes, and of tables
            `{name = "gigpo", weight = 0.5, gamma = 0.9}` with a scheme's own parameters. In a text
            parameters stand in parentheses, in TOML: `gigpo(gamma=0.9, scale="none")`.

    >>> from agentgym.trainers.credit.common import example
    >>> group = example(rewards=[[0, 1], [0, 0]])
    >>> scheme = Combine('grpo(std=false) - 0.5*turn_return(baseline="none", gamma=0.0)')
    >>> [[float(turn[0][0]) for turn in episode] for episode in scheme(group)]
    [[0.5, 0.0], [-0.5, -0.5]]
    """

    terms: Any = "grpo"

    def __post_init__(self) -> None:
        found = self.terms
        if isinstance(found, str):
            found = tuple(_terms(found))
        elif isinstance(found, Sequence):
            found = tuple(_term(each, f"credit.terms[{i}]") for i, each in enumerate(found))
        if not isinstance(found, tuple) or not found:
            raise ConfigError(f"terms must be a text such as {EXAMPLE}; or a list; got {found!r}")
        object.__setattr__(self, "terms", found)

    @property
    def needs(self) -> frozenset[str]:
        """What any term needs."""
        return frozenset().union(*(term.scheme.needs for term in self.terms))

    @property
    def parts(self) -> frozenset[str]:
        """The parts of the reward that any term names."""
        return frozenset().union(*(parts_named_by(term.scheme) for term in self.terms))

    @property
    def normalise(self) -> str:
        """That of the terms, if they agree; else "": a recipe must say."""
        wanted = {own_normalisation(term.scheme) for term in self.terms}
        return wanted.pop() if len(wanted) == 1 else ""

    def __call__(self, group: Group) -> Advantages:
        """Return the advantages of one group."""
        answers = [term.scheme(group) for term in self.terms]
        weights = [term.weight for term in self.terms]
        values_GKCT = tuple(
            _sum(weights, [answer[g] for answer in answers], group, g)
            for g in range(len(group.trajectories_G))
        )
        silent = not any(v.any() for member in values_GKCT for turn in member for v in turn)
        reports = [answer.report for answer in answers]
        report = CreditReport(
            groups=1,
            zero_signal_groups=int(silent),
            members=len(group.trajectories_G),
            masked_members=group.valid_G.count(False),
            turns=max(r.turns for r in reports),
            anchors=max(r.anchors for r in reports),
            singleton_turns=max(r.singleton_turns for r in reports),
        )
        return Advantages(values_GKCT, report)


def make_scheme(
    source: str | Mapping[str, Any] | CreditScheme,
    params: Mapping[str, Any] | None = None,
    *,
    where: str = "credit",
) -> CreditScheme:
    """Return the scheme that a recipe means.

    Args:
        source: a name; a text such as `0.5*gigpo(gamma=0.9) + igpo`; a table with `name` and
            parameters; or a scheme, which is returned.
        params: parameters of the scheme with that name.
        where: the dotted key that it comes from, for messages.

    Raises:
        UnknownName: no such scheme or parameter; names the nearest.
        ConfigError: the text is not of that form, or a parameter has a wrong value.

    >>> make_scheme("gigpo", {"gamma": 0.9}) == make_scheme("gigpo(gamma=0.9)")
    True
    >>> sorted(make_scheme("grpo + 0.5*gigpo").needs)
    ['state_key']
    """
    if isinstance(source, Mapping):
        rest = {key: value for key, value in source.items() if key != "name"}
        if not isinstance(source.get("name"), str):
            raise ConfigError(f"{where}: a scheme's table needs its name, got {dict(source)!r:.80}")
        return make_scheme(source["name"], {**rest, **(params or {})}, where=where)
    if not isinstance(source, str):
        if not isinstance(source, CreditScheme):
            raise ConfigError(f"{where}: {source!r:.80} is no credit scheme")
        return source
    plain = NAME.fullmatch(source.strip()) or not re.search(r"[*+(\s]", source.strip())
    if plain:
        cls = cast("type[Any]", registry.load("credit", source.strip()))
        made: CreditScheme = build(cls, params or {}, where=where)
        return made
    if params:
        raise ConfigError(
            f"{where}: {', '.join(params)} beside {source!r} could mean any of its terms; write "
            "parameters into parentheses: gigpo(gamma=0.9) + igpo"
        )
    terms = tuple(_terms(source, where))
    return terms[0].scheme if len(terms) == 1 and terms[0].weight == 1 else Combine(terms)


def _terms(text: str, where: str = "credit") -> Iterator[Term]:
    """Read a sum of terms `weight * name(parameters)`."""

    def skip(at: int) -> int:
        return SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches anywhere

    at, first = skip(0), True
    while first or at < len(text):
        sign = 1.0
        if at < len(text) and text[at] in "+-":
            sign, at = (-1.0 if text[at] == "-" else 1.0), skip(at + 1)
        elif not first:
            raise _unreadable(text, at, "+ or -", where)
        weight = 1.0
        if number := WEIGHT.match(text, at):
            weight, at = float(number[1]), number.end()
        name = NAME.match(text, at)
        if not name:
            raise _unreadable(text, at, "a scheme's name", where)
        at, params = skip(name.end()), {}
        if at < len(text) and text[at] == "(":
            end = _closing(text, at, where)
            params, at = _parameters(text[at + 1 : end], name[0], where), end + 1
        yield Term(make_scheme(name[0], params, where=where), sign * weight)
        at, first = skip(at), False


def _closing(text: str, at: int, where: str) -> int:
    """Return where the parenthesis closes that opens at `at`; those in strings do not count."""
    depth, quote = 0, ""
    for i in range(at, len(text)):
        if quote:
            quote = "" if text[i] == quote else quote
        elif text[i] in "\"'":
            quote = text[i]
        elif text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if not depth and text[i] == ")":
                return i
    raise ConfigError(f"{where}: the parenthesis after {text[:at]!r} is not closed in {text!r}")


def _parameters(text: str, name: str, where: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = tomllib.loads(f"it = {{{text}}}")["it"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f'{where}: the parameters of {name} must be of the form gamma=0.9, scale="none"; '
            f"got {text!r} ({error})"
        ) from error
    return found


def _unreadable(text: str, at: int, wanted: str, where: str) -> ConfigError:
    found = repr(text[at:]) if text[at:] else "its end"
    return ConfigError(
        f"{where}: {text!r} cannot be read: expected {wanted} at {found}; write e.g. {EXAMPLE}"
    )


def _term(source: Any, where: str) -> Term:
    match source:
        case Term():
            return source
        case Mapping():
            rest = {key: value for key, value in source.items() if key != "weight"}
            return Term(make_scheme(rest, where=where), source.get("weight", 1.0))
    return Term(make_scheme(source, where=where))


def _sum(weights: Sequence[float], members: Sequence[ValuesKCT], group: Group, g: int) -> ValuesKCT:
    """Return the weighted sum of several schemes' numbers for one member."""
    sampled = tuple(
        tuple(len(c.sample_ids) for c in t.calls) for t in group.trajectories_G[g].turns
    )
    for values_KCT in members:
        given = tuple(tuple(len(values_T) for values_T in turn) for turn in values_KCT)
        if given != sampled:
            raise ValueError(f"member {g}: {sampled} tokens were sampled, but a term gave {given}")

    def one(k: int, c: int) -> Floats:
        total: Floats = sum(
            (
                weight * values_KCT[k][c]
                for weight, values_KCT in zip(weights, members, strict=True)
            ),
            start=members[0][k][c] * 0.0,
        )
        return total

    return tuple(tuple(one(k, c) for c in range(len(calls))) for k, calls in enumerate(sampled))
