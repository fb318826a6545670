"""Taking tests out of a test file, so that an agent does not see what it will be judged by."""

import ast
from collections.abc import Iterable


def without_tests(source: str, names: Iterable[str]) -> str | None:
    """Return a test file without some of its tests, else as it was written.

    >>> without_tests("def test_a(): pass\\ndef test_b(): pass\\n", ["test_a"])
    'def test_b(): pass\\n'

    Args:
        source: its text.
        names: as in pytest's ids behind the path: "test_a", "TestB::test_c", "test_d[1-x]" (which
            takes out all of test_d).

    Returns:
        The text, or None where a test has no function of its own there, such as an inherited one.
    """
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    gone: set[int] = set()
    emptied: dict[int, tuple[int, str]] = {}
    chosen: dict[int, list[ast.stmt]] = {}
    for name in {name.partition("[")[0] for name in names}:
        body = tree.body
        for part in name.split("::"):
            found = [node for node in body if _is_named(node, part)]
            if not found:
                return None
            owner, node = body, found[-1]
            body = node.body if isinstance(node, ast.ClassDef) else []
        chosen.setdefault(id(owner), owner)
        gone |= set(_lines_of(node))
    for body in chosen.values():
        left = [node for node in body if not gone & set(_lines_of(node))]
        if not left and body is not tree.body:
            first = body[0]
            indent = lines[first.lineno - 1][: first.col_offset]
            emptied[_lines_of(first)[0]] = (first.lineno, f"{indent}pass\n")
    kept = []
    for number, line in enumerate(lines, 1):
        if number in emptied:
            kept.append(emptied[number][1])
        if number not in gone:
            kept.append(line)
    made = "".join(kept)
    try:
        ast.parse(made)
    except SyntaxError:
        return None
    return made


def _is_named(node: ast.stmt, name: str) -> bool:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(node, kinds) and node.name == name


def _lines_of(node: ast.stmt) -> range:
    """Return the numbers of its lines, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    return range(first, (node.end_lineno or node.lineno) + 1)
