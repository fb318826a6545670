"""Which changes of a submission are about its judge: what is undone, and what is not forgiven.

What decides about a repair is restored from bytes that no agent has touched (V13, V14): changed
tests and configuration simply never reach the sandbox of the verdict. Files by which tests are
taken over have no other use here and are held against a submission, as are tripwires (`tamper`).
"""

import posixpath
import re
import sys
from collections.abc import Iterable
from typing import Final

from agentgym.swe.tamper import RUNNERS, tripwires
from agentgym.swe.trees import Changes, File, Tree

__all__ = ["ROOTS", "judged"]

ROOTS: Final = ("", "src", "lib")
"""Folders of a repository from which its modules are imported."""

_HOOKS: Final = re.compile(
    r"conftest\.py|\.?pytest\.(ini|toml)|(site|user)customize\.py|.*\.pth|.*\.so|.*\.egg-link"
    r"|entry_points\.txt"
)
_CONFIGURATION: Final = frozenset({"tox.ini", "setup.cfg", "pyproject.toml"})
_TESTS: Final = re.compile(r"(.*/)?(tests?/.*|test_[^/]*\.py|[^/]*_test\.py)")
_STANDARD: Final = sys.stdlib_module_names | RUNNERS


def judged(
    tree: Tree, changes: Changes, *, tests: Iterable[str], gold: Changes
) -> tuple[dict[str, File | None], tuple[str, ...]]:
    """Return the changes that are judged, and signs of tampering by name, sorted.

    Signs that begin with "restored:" were undone: "restored:tests" for the tests that decide, and
    what else looks like tests; "restored:configuration" for `pyproject.toml` and the like;
    "restored:script" for new files at the top that nothing of the repository can need. The others
    are "test_surface" (`conftest.py`, `pytest.ini`, `sitecustomize.py`, `.pth` and the like),
    "shadow_module" (a new module with the name of a standard one or of a test runner) and
    "tripwire:..." (`agentgym.swe.tamper`). What the right solution does is never one.

    Args:
        tree: what was given out. changes: of the submission. gold: of the right solution.
        tests: paths of the tests that decide, and of all that comes with them.
    """
    protected, kept, signs = frozenset(tests), dict[str, File | None](), set[str]()
    allowed = {wire for path, file in gold.items() for wire in _wires(tree, path, file)}
    for path, file in changes.items():
        hook = _HOOKS.fullmatch(posixpath.basename(path))
        decisive = hook or path in protected  # even where the right solution changes it, too
        if path in gold and (not decisive or file == gold[path]):
            sign = ""
        elif hook:
            sign = "test_surface"
        elif path in protected or _TESTS.fullmatch(path):
            sign = "restored:tests"
        elif posixpath.basename(path) in _CONFIGURATION:
            sign = "restored:configuration"
        elif path not in tree and _shadows(path):
            sign = "shadow_module"
        else:
            sign = ""
        wires = set() if sign.startswith("restored:") else _wires(tree, path, file) - allowed
        if wires and not sign and path not in tree and _is_script(path, changes, tree):
            sign, wires = "restored:script", set()
        signs |= {f"tripwire:{wire}" for wire in wires} | ({sign} if sign else set())
        if not sign:
            kept[path] = file
    return kept, tuple(sorted(signs))


def _wires(tree: Tree, path: str, file: File | None) -> set[str]:
    if not path.endswith(".py") or file is None:
        return set()
    before = tree.get(path)
    return set(tripwires(file.text() or "", (before.text() or "") if before else ""))


def _shadows(path: str) -> bool:
    """Whether a file is, or is in, a module that would be imported instead of another."""
    parts = path.split("/")
    if parts[0] in ROOTS and len(parts) > 1:
        parts = parts[1:]
    name = parts[0].removesuffix(".py")
    return name in _STANDARD and (len(parts) > 1 or parts[0].endswith(".py"))


def _is_script(path: str, changes: Changes, tree: Tree) -> bool:
    """Whether a new file lies at the top, and no other changed file speaks of it."""
    if "/" in path:
        return False
    word = re.compile(rf"\b{re.escape(path.removesuffix('.py'))}\b")
    others = (file.text() or "" for name, file in changes.items() if file and name != path)
    return not any(word.search(text) for text in others)
