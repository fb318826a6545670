"""What is done with patches: checked, made, taken back, written, and applied in a sandbox.

A patch is data of somebody. Nothing here touches a file; `apply_patch` has a sandbox do it, once
`problems` has found nothing.
"""

import difflib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from agentgym.swe.patches import ESCAPES, NO_NEWLINE, BadPatch, Hunk, Patch
from agentgym.tools.sandbox.base import ExecResult, Sandbox

ProblemKind = Literal["outside", "link", "submodule", "binary", "mode", "twice", "size"]

LINK, SUBMODULE, PLAIN, PROGRAM = "120000", "160000", "100644", "100755"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a patch that can be read must not be applied."""

    kind: ProblemKind
    path: str
    message: str


def problems(patch: Patch) -> list[Problem]:
    """Return why a patch must not be applied; nothing if it may be (V16).

    Found are paths outside of the repository or in `.git`, links, submodules, binary changes, modes
    other than plain files', and files that are changed twice.
    """
    found: list[Problem] = []
    seen: set[str] = set()
    for change in patch:
        for path in dict.fromkeys(filter(None, (change.old_path, change.new_path))):
            said = _why_outside(path)
            if said:
                found.append(Problem("outside", path, f"{path!r} {said}"))
        for mode in dict.fromkeys(filter(None, (change.old_mode, change.new_mode))):
            found += _mode_problem(mode, change.path)
        if change.binary:
            found.append(Problem("binary", change.path, f"{change.path!r} is changed as binary"))
        touched = {change.new_path} if change.copied else {change.old_path, change.new_path}
        for path in sorted(filter(None, touched)):
            if path in seen:
                found.append(Problem("twice", path, f"{path!r} is changed twice"))
            seen.add(path)
    return found


def make_patch(old: Mapping[str, str], new: Mapping[str, str], *, context: int = 3) -> str:
    """Return the patch from one set of files (path to text) to another, by path.

    A missing file is one that is added or removed.
    """
    made = []
    for path in sorted({*old, *new}):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        lines = [f"diff --git {_named('a/', path)} {_named('b/', path)}"]
        if before is None:
            lines.append(f"new file mode {PLAIN}")
        if after is None:
            lines.append(f"deleted file mode {PLAIN}")
        body = _body(before or "", after or "", context)
        if body:
            lines.append("--- /dev/null" if before is None else f"--- {_named('a/', path)}")
            lines.append("+++ /dev/null" if after is None else f"+++ {_named('b/', path)}")
        made.append("\n".join([*lines, *body]) + "\n")
    return "".join(made)


def reversed_patch(patch: Patch) -> Patch:
    """Return the patch that takes a patch back; a copy is taken back by removing it.

    Raises:
        BadPatch: it has binary changes, or a copy that also changes something.
    """
    back = []
    for change in reversed(patch):
        if change.binary:
            raise BadPatch(f"{change.path!r} is changed as binary, which cannot be taken back")
        if change.copied:
            raise BadPatch(f"{change.path!r} is a copy, which cannot be taken back")
        back.append(
            replace(
                change,
                old_path=change.new_path,
                new_path=change.old_path,
                old_mode=change.new_mode,
                new_mode=change.old_mode,
                hunks=tuple(_reversed_hunk(hunk) for hunk in change.hunks),
            )
        )
    return tuple(back)


def text_of(patch: Patch) -> str:
    """Write a patch. Reading the text gives the patch again, with modes where none were said.

    Raises:
        BadPatch: it has binary changes.
    """
    lines: list[str] = []
    for change in patch:
        if change.binary:
            raise BadPatch(f"{change.path!r} is changed as binary, which is not written")
        old, new = change.old_path or change.new_path, change.new_path or change.old_path
        lines.append(f"diff --git {_named('a/', old)} {_named('b/', new)}")
        if not change.old_path:
            lines.append(f"new file mode {change.new_mode or PLAIN}")
        elif not change.new_path:
            lines.append(f"deleted file mode {change.old_mode or PLAIN}")
        elif change.old_mode != change.new_mode:
            lines += [
                f"old mode {change.old_mode or PLAIN}",
                f"new mode {change.new_mode or PLAIN}",
            ]
        elif change.new_mode:
            lines.append(f"index 0000000..0000000 {change.new_mode}")
        if change.old_path and change.new_path and old != new:
            verb = "copy" if change.copied else "rename"
            lines += [f"{verb} from {_named('', old)}", f"{verb} to {_named('', new)}"]
        if change.hunks:
            lines.append(f"--- {_named('a/', old)}" if change.old_path else "--- /dev/null")
            lines.append(f"+++ {_named('b/', new)}" if change.new_path else "+++ /dev/null")
        for hunk in change.hunks:
            lines += [_hunk_head(hunk), *hunk.lines]
    return "".join(f"{line}\n" for line in lines)


def apply_patch(sandbox: Sandbox, patch: Patch, cwd: str = "", timeout_s: float = 60) -> ExecResult:
    """Apply a patch to files in a sandbox, whole or not at all; `ok` says whether it did.

    Applied is what was read from a text and checked, not the text. The sandbox needs git; hooks and
    monitors of a repository there are not run.

    Raises:
        BadPatch: it has binary changes.
        SandboxError: see `Sandbox.exec`.
    """
    words = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]
    words += ["apply", "--whitespace=nowarn", "-p1", "-"]
    data = text_of(patch).encode("utf-8", "surrogateescape")
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return sandbox.exec(words, stdin=data, cwd=cwd, env=quiet, timeout_s=timeout_s)


def _named(prefix: str, path: str) -> str:
    """Write a name, quoted where git would not read it otherwise."""
    name = prefix + path
    if not re.search(r'[\x00-\x1f\x7f"\\]', name):
        return name
    names = {text: f"\\{letter}" for letter, text in ESCAPES.items()}
    return '"' + "".join(names.get(c) or (f"\\{ord(c):03o}" if c < " " else c) for c in name) + '"'


def _why_outside(path: str) -> str:
    if path.startswith("/"):
        return "is absolute"
    parts = path.split("/")
    if ".." in parts:
        return "leads out by '..'"
    if "\0" in path or "\n" in path:
        return "has a NUL or a line end"
    if any(part.casefold() == ".git" for part in parts):
        return "is in .git"
    if "" in parts or posixpath.normpath(path) != path:
        return "is not in its plain form"
    return ""


def _mode_problem(mode: str, path: str) -> Iterator[Problem]:
    if mode == LINK:
        yield Problem("link", path, f"{path!r} is a symbolic link")
    elif mode == SUBMODULE:
        yield Problem("submodule", path, f"{path!r} is a submodule")
    elif mode not in (PLAIN, PROGRAM):
        yield Problem("mode", path, f"{path!r} has the mode {mode}, not that of a plain file")


def _body(before: str, after: str, context: int) -> list[str]:
    """Return the hunks between two texts, as lines without their ends."""
    old, new = _split(before), _split(after)
    lines = []
    for line in list(difflib.unified_diff(old, new, n=context))[2:]:
        if line.startswith("@@ "):
            lines.append(line.rstrip("\n"))
        elif line.endswith("\n"):
            lines.append(line[:-1])
        else:
            lines += [line, NO_NEWLINE]
    return lines


def _split(text: str) -> list[str]:
    """Cut a text into lines at line feeds only, as git does."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _hunk_head(hunk: Hunk) -> str:
    def span(start: int, count: int) -> str:
        return f"{start}" if count == 1 else f"{start},{count}"

    old, new = span(hunk.old_start, hunk.old_count), span(hunk.new_start, hunk.new_count)
    return f"@@ -{old} +{new} @@{hunk.heading}"


def _reversed_hunk(hunk: Hunk) -> Hunk:
    """Swap old and new; what is removed comes before what is added, as is usual."""
    lines: list[str] = []
    removed: list[str] = []
    added: list[str] = []
    into = lines
    for line in hunk.lines:
        if line[0] == " ":
            lines += [*removed, *added]
            removed, added, into = [], [], lines
            lines.append(line)
        elif line[0] == "+":
            removed.append("-" + line[1:])
            into = removed
        elif line[0] == "-":
            added.append("+" + line[1:])
            into = added
        else:
            into.append(line)
    lines += [*removed, *added]
    return Hunk(
        hunk.new_start, hunk.new_count, hunk.old_start, hunk.old_count, tuple(lines), hunk.heading
    )
