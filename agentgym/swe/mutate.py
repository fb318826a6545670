"""Mutations: small faults put into the text of a Python module, one at a time.

The text is edited at the positions of its syntax tree, so everything else stays as it was written.
What is made can be parsed, and means something else than before; whether tests notice is for
`admit` to find out.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

KINDS: Final = (
    "wrong comparison",
    "wrong arithmetic",
    "wrong logic",
    "negated condition",
    "off by one",
    "wrong constant",
    "wrong default",
    "swapped arguments",
    "wrong name",
    "wrong call",
    "dropped call",
    "dropped branch",
    "removed validation",
    "dropped return",
    "dropped await",
    "wrong jump",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef

_COMPARISONS: Final = {
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="),
    "==": ("!=",), "!=": ("==",), "is": ("is not",), "is not": ("is",),
    "in": ("not in",), "not in": ("in",),
}  # fmt: skip
_ARITHMETIC: Final = {
    "+": ("-",), "-": ("+",), "*": ("+", "//"), "/": ("*", "//"), "//": ("/", "*"),
    "%": ("//",), "**": ("*",), "<<": (">>",), ">>": ("<<",), "&": ("|",), "|": ("&",),
}  # fmt: skip
_CALLS: Final = {
    "startswith": "endswith", "endswith": "startswith", "lower": "upper", "upper": "lower",
    "min": "max", "max": "min", "any": "all", "all": "any", "lstrip": "rstrip",
    "rstrip": "lstrip", "find": "rfind", "rfind": "find", "split": "rsplit", "rsplit": "split",
    "partition": "rpartition", "rpartition": "partition", "keys": "values", "values": "keys",
    "extend": "append", "append": "extend", "ljust": "rjust", "rjust": "ljust",
    "isalpha": "isalnum", "isdigit": "isalnum", "union": "intersection", "intersection": "union",
}  # fmt: skip
_WRAPPERS: Final = frozenset({"sorted", "list", "tuple", "set", "abs", "int", "str", "reversed"})
_CLEANERS: Final = frozenset({"strip", "lstrip", "rstrip", "lower", "upper", "copy", "casefold"})
_COMPARE: Final = re.compile(r"is\s+not\b|not\s+in\b|is\b|in\b|<=|>=|==|!=|<|>")
_OPERATOR: Final = re.compile(r"\*\*|//|<<|>>|[-+*/%&|]")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one fault.

    Attributes:
        source: the whole text. kind: one of `KINDS`. line: where the fault is, from 1.
        function: the name of the innermost function around it, with its class: "C.f".
        before, after: what was replaced by what.
    """

    source: str
    kind: str
    line: int
    function: str
    before: str
    after: str


def mutants(source: str, *, seed: int = 0, lines: Iterable[int] | None = None) -> Iterator[Mutant]:
    """Yield every mutant of a module, in an order drawn from the seed.

    Only code inside of functions is changed. Strings, f-strings and annotations are left alone.
    The same change of meaning comes once.

    Args:
        source: text of the module. seed: of the order.
        lines: only mutants in one of these lines.

    Raises:
        SyntaxError: the text is no Python.
    """
    text, wanted = _Text(source), None if lines is None else frozenset(lines)
    places = [
        (edit, name, *text.lines_of(function))
        for function, name in _functions(ast.parse(source), "")
        for edit in _edits(function, text)
        if wanted is None or edit.line in wanted
    ]
    seen: dict[int, set[str]] = {}
    for k in np.random.default_rng(seed).permutation(len(places)):
        edit, name, start, end = places[k]
        if start not in seen:
            seen[start] = {_meaning(text.data[start:end])}
        changed = text.data[start : edit.start] + edit.after + text.data[edit.end : end]
        meaning = _meaning(changed)
        if meaning and meaning not in seen[start]:
            seen[start].add(meaning)
            whole = (text.data[:start] + changed + text.data[end:]).decode()
            before = text.data[edit.start : edit.end].decode()
            yield Mutant(whole, edit.kind, edit.line, name, before, edit.after.decode())


def _meaning(function: bytes) -> str:
    """Return the syntax tree of the lines of one function as text; empty if they have none.

    Only this function is read again for each mutant: whole modules would take minutes.
    """
    head = b"if 1:\n" if function[:1] in b" \t" else b""
    try:
        return ast.dump(ast.parse(head + function))
    except (SyntaxError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    after: bytes
    kind: str
    line: int


class _Text:
    """A source text, addressed as the syntax tree does: by lines and bytes of UTF-8."""

    def __init__(self, source: str) -> None:
        self.data = source.encode()
        self.starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def of(self, node: ast.expr | ast.stmt) -> bytes:
        return self.data[self.start(node) : self.end(node)]

    def cut(self, start: int, end: int) -> str:
        return self.data[start:end].decode()

    def lines_of(self, function: Function) -> tuple[int, int]:
        """Return where the lines of a function begin and end, decorators included."""
        first = min([function.lineno, *(node.lineno for node in function.decorator_list)])
        return self.starts[first - 1], self.starts[function.end_lineno or 0]


def _edits(function: Function, text: _Text) -> Iterator[_Edit]:
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
        yield from _constant(default, text, "wrong default")
    maker = _Maker(text, [word for word in names if word not in ("self", "cls")])
    for statement in function.body:
        if not _is_docstring(statement):
            yield from maker.below(statement)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[Function, str]]:
    """Yield every function with its name; the body of one does not count as the body of another."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child, prefix + child.name
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


class _Maker:
    """Makes edits of the code of one function."""

    def __init__(self, text: _Text, names: list[str]) -> None:
        self.text, self.names = text, names

    def below(self, node: ast.AST) -> Iterator[_Edit]:
        """Yield edits of a node and what is in it, without nested functions and strings."""
        skipped = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.JoinedStr, ast.Lambda)
        if isinstance(node, skipped):
            return
        if isinstance(node, ast.stmt):
            yield from self.statement(node)
        elif isinstance(node, ast.expr):
            yield from self.expression(node)
        annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
        for child in ast.iter_child_nodes(node):
            if child is not annotation:
                yield from self.below(child)

    def statement(self, node: ast.stmt) -> Iterator[_Edit]:
        text = self.text
        match node:
            case ast.If():
                validates = all(isinstance(inner, ast.Raise) for inner in node.body)
                if not node.orelse and text.of(node).startswith(b"if"):
                    kind = "removed validation" if validates else "dropped branch"
                    yield self.edit(node, b"pass", kind)
                yield from self.negated(node.test)
            case ast.Assert():
                yield self.edit(node, b"pass", "removed validation")
            case ast.Return(value=ast.expr() as value):
                start = text.start(node)
                gap = text.data[start : text.start(value)]
                if gap.strip() == b"return":
                    yield self.span(start, text.start(value), b"", "dropped return", node)
            case ast.Break():
                yield self.edit(node, b"continue", "wrong jump")
            case ast.Continue():
                yield self.edit(node, b"break", "wrong jump")
            case ast.AugAssign():
                yield from self.between(node.target, node.value, _OPERATOR, _ARITHMETIC,
                                        "wrong arithmetic")  # fmt: skip

    def expression(self, node: ast.expr) -> Iterator[_Edit]:
        text = self.text
        match node:
            case ast.Compare(ops=[_], comparators=[right]):
                yield from self.between(node.left, right, _COMPARE, _COMPARISONS,
                                        "wrong comparison")  # fmt: skip
                yield from self.shifted(right, "off by one")
            case ast.BinOp() if not _is_text(node.left) and not _is_text(node.right):
                yield from self.between(node.left, node.right, _OPERATOR, _ARITHMETIC,
                                        "wrong arithmetic")  # fmt: skip
                if isinstance(node.op, ast.Add | ast.Sub) and _is_one(node.right):
                    yield self.edit(node, text.of(node.left), "off by one")
                else:
                    yield from self.shifted(node.right, "wrong constant")
            case ast.BoolOp():
                other = {"and": ("or",), "or": ("and",)}
                pattern = re.compile("and|or")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self.between(left, right, pattern, other, "wrong logic")
            case ast.IfExp():
                yield from self.negated(node.test)
                swapped = text.of(node.orelse) + b" if " + text.of(node.test)
                swapped += b" else " + text.of(node.body)
                yield self.edit(node, swapped, "negated condition")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield self.edit(node, text.of(operand), "negated condition")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                yield self.edit(node, text.of(operand), "wrong arithmetic")
            case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper)):
                for bound in filter(None, (lower, upper)):
                    yield from self.shifted(bound, "off by one")
            case ast.Subscript(slice=index):
                yield from self.shifted(index, "off by one")
            case ast.Constant(value=bool()):
                yield from _constant(node, text, "wrong constant")
            case ast.Call():
                yield from self.call(node)
            case ast.Await(value=value):
                yield self.edit(node, text.of(value), "dropped await")
            case ast.Name(ctx=ast.Load(), id=name) if name in self.names:
                other_name = self.names[(self.names.index(name) + 1) % len(self.names)]
                yield self.edit(node, other_name.encode(), "wrong name")

    def call(self, node: ast.Call) -> Iterator[_Edit]:
        text = self.text
        for left, right in zip(node.args, node.args[1:], strict=False):
            if not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                middle = text.data[text.end(left) : text.start(right)]
                swapped = text.of(right) + middle + text.of(left)
                yield self.span(
                    text.start(left), text.end(right), swapped, "swapped arguments", left
                )
        match node.func:
            case ast.Name(id=name):
                if name == "range":
                    for argument in node.args:
                        yield from self.shifted(argument, "off by one")
                    yield self.edit(node.args[-1],
                                    text.of(node.args[-1]) + b" - 1", "off by one")  # fmt: skip
                if name in _WRAPPERS and len(node.args) == 1:
                    yield self.edit(node, text.of(node.args[0]), "dropped call")
                if name in _CALLS:
                    yield self.edit(node.func, _CALLS[name].encode(), "wrong call")
            case ast.Attribute(attr=name, value=value):
                if name in _CLEANERS and not node.args and not node.keywords:
                    yield self.edit(node, text.of(value), "dropped call")
                if name in _CALLS:
                    end = text.end(node.func)
                    yield self.span(
                        end - len(name.encode()), end, _CALLS[name].encode(), "wrong call", node
                    )

    def negated(self, test: ast.expr) -> Iterator[_Edit]:
        simple = isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        if simple:
            yield self.edit(test, b"not " + self.text.of(test), "negated condition")

    def shifted(self, node: ast.expr, kind: str) -> Iterator[_Edit]:
        """Yield a whole number one more and one less."""
        yield from _constant(node, self.text, kind, numbers=True)

    def between(
        self,
        left: ast.expr,
        right: ast.expr,
        pattern: re.Pattern[str],
        others: Mapping[str, tuple[str, ...]],
        kind: str,
    ) -> Iterator[_Edit]:
        """Yield edits of the operator that stands between two expressions."""
        start, gap = self.text.end(left), self.text.cut(self.text.end(left), self.text.start(right))
        found = pattern.search(gap)
        if found is None or "#" in gap:
            return
        for other in others.get(" ".join(found[0].split()), ()):
            at = start + len(gap[: found.start()].encode())
            yield self.span(at, at + len(found[0]), other.encode(), kind, left)

    def edit(self, node: ast.expr | ast.stmt, after: bytes, kind: str) -> _Edit:
        return self.span(self.text.start(node), self.text.end(node), after, kind, node)

    def span(
        self, start: int, end: int, after: bytes, kind: str, node: ast.expr | ast.stmt
    ) -> _Edit:
        before = self.text.data[self.text.start(node) : start]
        return _Edit(start, end, after, kind, node.lineno + before.count(b"\n"))


def _constant(node: ast.expr, text: _Text, kind: str, *, numbers: bool = False) -> Iterator[_Edit]:
    """Yield other values of a constant: the other truth, a whole number one more and one less."""
    match node:
        case ast.Constant(value=bool(value)) if not numbers:
            new = [str(not value)]
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            new = [str(value + 1), *([str(value - 1)] if value > 0 else [])]
        case _:
            return
    for word in new:
        yield _Edit(text.start(node), text.end(node), word.encode(), kind, node.lineno)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and _is_text(node.value)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple)


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1 and not isinstance(node.value, bool)
