"""Unified diffs as git writes them, read into what they change.

The reader is strict: what it does not understand is refused, so that nothing is applied that was
not looked at.
"""

import re
from dataclasses import dataclass
from typing import Final

from agentgym.errors import AgentGymError

MAX_PATCH: Final = 4 << 20
"""Bytes of a patch that is looked at."""

NO_NEWLINE: Final = "\\ No newline at end of file"

_HUNK: Final = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)", re.DOTALL)
_MODE: Final = re.compile(r"(old mode|new mode|new file mode|deleted file mode) (\d{6})")
_INDEX: Final = re.compile(r"index [0-9a-f]+\.\.[0-9a-f]+(?: (\d{6}))?")
ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b"}
"""What follows a backslash in a quoted name."""


class BadPatch(AgentGymError, ValueError):
    """A text that is no unified diff; says in which line and why."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place of change. `lines` begin with ' ', '-', '+' or '\\' and have no line end."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: tuple[str, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a patch does to one file. A path is empty where there is no such file.

    Modes are git's ("100644", "120000" for a link, ...), empty where the patch does not say.
    """

    old_path: str
    new_path: str
    old_mode: str = ""
    new_mode: str = ""
    hunks: tuple[Hunk, ...] = ()
    binary: bool = False
    copied: bool = False

    @property
    def path(self) -> str:
        """The path after the change, or before it if the file is removed."""
        return self.new_path or self.old_path


Patch = tuple[FileChange, ...]


def parse(text: str) -> Patch:
    """Read a patch; an empty text is a patch that changes nothing.

    Raises:
        BadPatch: it cannot be read, or a hunk has not the lines that it announces.
    """
    if len(text) > MAX_PATCH:
        raise BadPatch(f"the patch has {len(text)} characters, at most {MAX_PATCH} are read")
    if not text.strip():
        return ()
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    changes, reader = [], _Reader(lines)
    while not reader.ended:
        change = _change(reader)
        if change is not None:
            changes.append(change)
    if not changes:
        raise BadPatch("there is no change of a file in the patch")
    return tuple(changes)


class _Reader:
    """Lines, one after the other."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.at = lines, 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self.lines)

    @property
    def line(self) -> str:
        return "" if self.ended else self.lines[self.at]

    def next(self) -> str:
        self.at += 1
        return self.lines[self.at - 1]

    def bad(self, what: str) -> BadPatch:
        return BadPatch(f"line {self.at + 1} of the patch: {what}")


def _change(reader: _Reader) -> FileChange | None:
    """Read one change; None if this is a line between changes, such as a commit message."""
    if reader.line.startswith("diff --git "):
        return _git_change(reader)
    if reader.line.startswith("--- ") and _at(reader, 1).startswith("+++ "):
        old, new = _file_names(reader, "", "")
        return FileChange(old, new, hunks=_hunks(reader))
    if reader.line.startswith("@@ -"):
        raise reader.bad("a hunk without the names of a file")
    reader.next()
    return None


def _git_change(reader: _Reader) -> FileChange:
    old, new = _names_of_git_line(reader)
    reader.next()
    old_mode = new_mode = ""
    binary = copied = renamed = False
    while not reader.ended:
        line = reader.line
        if line.startswith("diff --git "):
            break
        if line.startswith("@@ -"):
            raise reader.bad("a hunk without the names of a file")
        if line.startswith("--- "):
            old, new = _file_names(reader, old, new)
            break
        if found := _MODE.fullmatch(line):
            if found[1] in ("old mode", "deleted file mode"):
                old_mode = found[2]
            if found[1] in ("new mode", "new file mode"):
                new_mode = found[2]
            old = "" if found[1] == "new file mode" else old
            new = "" if found[1] == "deleted file mode" else new
        elif found := _INDEX.fullmatch(line):
            old_mode, new_mode = old_mode or found[1] or "", new_mode or found[1] or ""
        elif line.startswith(("rename from ", "copy from ")):
            old, renamed = _unquoted(reader, line.partition(" from ")[2]), True
            copied = line.startswith("copy")
        elif line.startswith(("rename to ", "copy to ")):
            new = _unquoted(reader, line.partition(" to ")[2])
        elif line.startswith(("Binary files ", "GIT binary patch")):
            binary = True
            reader.next()
            while not reader.ended and not reader.line.startswith("diff --git "):
                reader.next()
            break
        elif not line.startswith(("similarity index ", "dissimilarity index ")):
            break
        reader.next()
    hunks = () if binary else _hunks(reader)
    changed = hunks or binary or renamed or old_mode != new_mode or not (old and new)
    if not changed:
        raise reader.bad(f"nothing is said about {new!r}")
    return FileChange(old, new, old_mode, new_mode, hunks, binary, copied)


def _names_of_git_line(reader: _Reader) -> tuple[str, str]:
    """Read the names from `diff --git a/X b/Y`; with spaces in it both are the same."""
    rest = reader.line.removeprefix("diff --git ")
    if rest.startswith('"'):
        found = re.fullmatch(r'("(?:[^"\\]|\\.)*") (.+)', rest)
    elif rest.endswith('"'):
        found = re.fullmatch(r'(.+?) ("(?:[^"\\]|\\.)*")', rest)
    else:
        half = len(rest) // 2
        same = rest[half : half + 1] == " " and rest[2:half] == rest[half + 3 :]
        if same or rest.count(" b/") == 1:
            found = re.fullmatch(rf"(.{{{half}}}) (.*)" if same else r"(.*) (b/.*)", rest)
        else:
            found = None
    if found is None:
        raise reader.bad(f"the names of the files cannot be told: {rest[:120]!r}")
    old, new = _unquoted(reader, found[1]), _unquoted(reader, found[2])
    if not old.startswith("a/") or not new.startswith("b/"):
        raise reader.bad(f"names must begin with a/ and b/, got {rest[:120]!r}")
    return old[2:], new[2:]


def _file_names(reader: _Reader, old: str, new: str) -> tuple[str, str]:
    """Read `--- a/X` and `+++ b/Y`; they must agree with what the git line said."""
    before = _name_after(reader, "--- ")
    reader.next()
    if not reader.line.startswith("+++ "):
        raise reader.bad("after --- there must be +++")
    after = _name_after(reader, "+++ ")
    reader.next()
    if not before and not after:
        raise reader.bad("both names are /dev/null")
    for said, known in ((before, old), (after, new)):
        if said and known and said != known:
            raise reader.bad(f"{said!r} here, but {known!r} in the line before")
    if (old or new) and (bool(before), bool(after)) != (bool(old), bool(new)):
        raise reader.bad("/dev/null does not agree with what was said of the file before")
    return before, after


def _name_after(reader: _Reader, prefix: str) -> str:
    name = reader.line.removeprefix(prefix).partition("\t")[0].rstrip("\r")
    name = _unquoted(reader, name)
    if name == "/dev/null":
        return ""
    if not name.startswith(("a/", "b/")):
        raise reader.bad(f"the name {name[:120]!r} must begin with a/ or b/")
    return name[2:]


def _hunks(reader: _Reader) -> tuple[Hunk, ...]:
    hunks = []
    while reader.line.startswith("@@ "):
        hunks.append(_hunk(reader))
    return tuple(hunks)


def _hunk(reader: _Reader) -> Hunk:
    found = _HUNK.fullmatch(reader.line)
    if found is None:
        raise reader.bad(f"this is no head of a hunk: {reader.line[:120]!r}")
    old_start, new_start = int(found[1]), int(found[3])
    old_count = int(found[2]) if found[2] is not None else 1
    new_count = int(found[4]) if found[4] is not None else 1
    reader.next()
    old_left, new_left, lines = old_count, new_count, []
    while old_left > 0 or new_left > 0:
        if reader.ended:
            raise reader.bad(f"the hunk ends early: {old_left} old, {new_left} new lines to come")
        line = reader.line or " "  # some programs strip the space of an empty line
        if line[0] not in " -+\\":
            raise reader.bad(f"a line of a hunk must begin with ' ', '-' or '+', got {line[:60]!r}")
        old_left -= line[0] in " -"
        new_left -= line[0] in " +"
        if old_left < 0 or new_left < 0:
            raise reader.bad("the hunk has more lines than it announces")
        lines.append(line)
        reader.next()
    if reader.line.startswith("\\"):
        lines.append(NO_NEWLINE)
        reader.next()
    return Hunk(old_start, old_count, new_start, new_count, tuple(lines), found[5])


def _at(reader: _Reader, ahead: int) -> str:
    place = reader.at + ahead
    return reader.lines[place] if place < len(reader.lines) else ""


def _unquoted(reader: _Reader, name: str) -> str:
    """Read a name that git may have quoted as C does."""
    if not name.startswith('"'):
        return name
    if len(name) < 2 or not name.endswith('"'):
        raise reader.bad(f"the quotes of {name[:120]!r} do not end")
    data, at, inner = bytearray(), 0, name[1:-1]
    while at < len(inner):
        if inner[at] != "\\":
            data += inner[at].encode("utf-8", "surrogateescape")
            at += 1
        elif found := re.compile(r"\\([0-3][0-7]{2})").match(inner, at):
            data.append(int(found[1], 8))
            at = found.end()
        elif inner[at + 1 : at + 2] in ESCAPES:
            data += ESCAPES[inner[at + 1]].encode()
            at += 2
        else:
            raise reader.bad(f"the name {name[:120]!r} has an unknown escape")
    return data.decode("utf-8", "surrogateescape")
