"""What a task says: what was done, what came, what should have come.

It is made of a failing test alone, never of the fault: the steps of the test up to where it failed,
and what pytest said there. Names of tests, paths and addresses are taken out.
"""

import ast
import re
import textwrap
from collections.abc import Mapping
from typing import Final

import numpy as np

_OPENINGS: Final = (
    "I found that {about} does not do what it should.",
    "Something is wrong with {about}.",
    "There is a fault in {about}.",
    "I do not get what I expect from {about}.",
)
UNNAMED: Final = "what is done below"
_STEPS: Final = ("Try this:", "To see it:", "It shows with:", "For example:")
_SAID: Final = ("What comes of it:", "The result:", "This is what I get:")
_ENDINGS: Final = (
    "What is asserted above should hold. Please find the cause and repair it.",
    "The code above should run without an error. Please repair the fault where it is.",
)
_MOST_STEPS: Final = 20
_MOST_SAID: Final = 15
_WHERE: Final = re.compile(r"[\w./-]+\.py(:\d+)?(: in [\w.<>]+|: \w+(Error|Exception))?")
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def problem_statement(
    tests: Mapping[str, str],
    failed: Mapping[str, str],
    given: Mapping[str, Mapping[str, str]],
    rng: np.random.Generator,
) -> str:
    """Return a statement of what fails, or "" where the failures say nothing that can be shown.

    Args:
        tests: text of the test files by path.
        failed: what pytest showed (its short form) by id of test.
        given: parameters of tests, as Python writes them.
        rng: chooses the words.
    """
    shown = []
    for test, detail in sorted(failed.items()):
        steps, said = _steps(test, detail, tests), _said(detail)
        if steps and said:
            values = given.get(test, {})
            known = [f"{name} = {value}" for name, value in values.items() if _used(name, steps)]
            about = _about(steps, tests[test.partition("::")[0]])
            steps = "\n".join([*(_ADDRESS.sub("", line) for line in known), steps])
            shown.append((about == UNNAMED, len(steps) + len(said), about, steps, said))
    if not shown:
        return ""
    _, _, about, steps, said = min(shown)

    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    asserts = any(line.lstrip().startswith(("assert", "self.assert")) for line in steps.split("\n"))
    parts = [
        pick(_OPENINGS).format(about=about),
        f"{pick(_STEPS)}\n\n```python\n{steps}\n```",
        f"{pick(_SAID)}\n\n```\n{said}\n```",
        _ENDINGS[0 if asserts else 1],
    ]
    if len(failed) > 1:
        more = len(failed) - 1
        parts.insert(3, f"{more} more of the kind {'fails' if more == 1 else 'fail'} too.")
    names = {test.rpartition("::")[2].partition("[")[0] for test in failed}
    text = "\n\n".join(parts)
    for name in names:
        text = re.sub(rf"\b{re.escape(name)}\b", "this", text)
    return text


def _steps(test: str, detail: str, tests: Mapping[str, str]) -> str:
    """Return the lines of a test up to the statement that failed, without its indentation."""
    path, _, name = test.partition("::")
    numbers = re.findall(rf"^{re.escape(path)}:(\d+): in ", detail, re.MULTILINE)
    source = tests.get(path, "")
    if not numbers or not source:
        return ""
    number, lines = int(numbers[0]), source.split("\n")  # the first: in the test, not in helpers
    wanted = name.rpartition("::")[2].partition("[")[0]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != wanted:
            continue
        if not node.lineno <= number <= (node.end_lineno or 0):
            continue
        body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
        last = next((one for one in body if one.lineno <= number <= (one.end_lineno or 0)), None)
        if last is None:
            return ""
        end = last.end_lineno or number
        if isinstance(last, ast.For | ast.While | ast.If | ast.Try):
            end = number
        first = max(body[0].lineno, end - _MOST_STEPS + 1)
        return textwrap.dedent("\n".join(lines[first - 1 : end])).strip("\n")
    return ""


def _said(detail: str) -> str:
    """Return what pytest said of the failure: its lines with an E, without places and addresses."""
    lines = [line[1:].strip("\n") for line in detail.split("\n") if re.match(r"E(\s|$)", line)]
    kept = textwrap.dedent("\n".join(lines)).strip("\n").split("\n")[:_MOST_SAID]
    return "\n".join(_ADDRESS.sub("", _WHERE.sub("...", line))[:300] for line in kept).strip()


def _used(name: str, steps: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", steps) is not None


def _about(steps: str, source: str) -> str:
    """Return what steps are about: what they call that the test file imports."""
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } - {"pytest", "unittest", "re", "sys", "os", "copy", "pickle", "warnings", "math"}
    try:
        body = ast.parse(steps).body
    except SyntaxError:
        return UNNAMED
    for statement in reversed(body):
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if re.fullmatch(r"[A-Za-z_][\w.]*", name) and name.partition(".")[0] in imported:
                    return f"`{name}`"
    return UNNAMED
