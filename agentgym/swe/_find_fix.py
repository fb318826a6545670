"""Runs inside a sandbox: looks for copies of a file that already have the fix.

Its input tells what the files look like that were given out, and as they are once repaired. It
walks everything that can be read, runs nothing that it finds, and stops at limits. See `scan`.

It runs on the Python of the sandbox: only the standard library, and nothing newer than Python 3.8.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import marshal
import os
import stat
import subprocess
import sys
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType
    from typing import IO, Any

LEAST = 8  # characters of a line, without space: shorter ones are in many files
ZIPS = (".whl", ".zip", ".egg")
TARS = {
    ".tar": "", ".tar.gz": "gzip", ".tgz": "gzip", ".tar.bz2": "bz2", ".tar.xz": "lzma",
}  # fmt: skip


class Limit(Exception):
    """Something is too large, or takes too long; says what."""


class Fix:
    """What tells one repaired file from the one that was given out."""

    def __init__(self, path: str, given: str | None, fixed: str) -> None:
        self.path, self.name = path, os.path.basename(path)
        self.given, self.fixed = given, fixed
        old, new = lines_of(given or ""), lines_of(fixed)
        self.telling = {line for line in new if tells(line)}
        self.added = self.telling.difference(old)
        # What is only removed or moved, or too short, is told by what stands around it.
        self.places = [] if self.added else changed_places(old, new)
        known = [*self.added, *(line for place in self.places for line in place)]
        self.mark = max(known, key=len, default="").encode("utf-8", "replace")
        self._codes: list[tuple[set[Any], set[Any]]] | None = None

    def in_text(self, data: bytes, share: float) -> bool:
        """Whether it is a copy, by the share of lines, that has all that was changed."""
        if not self.mark or self.mark not in data:
            return False
        there = lines_of(data.decode("utf-8", "replace"))
        known = set(there)
        if not self.added <= known or len(self.telling & known) < share * len(self.telling):
            return False
        return all(is_in(place, there) for place in self.places)

    def in_codes(self, data: bytes, share: float) -> bool:
        """Whether it was compiled of such a copy, by this Python."""
        if data[:4] != importlib.util.MAGIC_NUMBER:
            return False
        try:
            found = codes(marshal.loads(data[16:]))
        except (ValueError, EOFError, TypeError, AttributeError, RecursionError):
            return False
        return any(
            added <= found and len(whole & found) >= share * len(whole)
            for added, whole in self.compiled()
        )

    def compiled(self) -> list[tuple[set[Any], set[Any]]]:
        """Return the code that was added, and all of it, for each level of optimisation."""
        if self._codes is None:
            self._codes = []
            for level in (0, 1, 2) if self.name.endswith(".py") else ():
                try:
                    new, old = (
                        codes(compile(text, "", "exec", 0, True, level))
                        for text in (self.fixed, self.given or "")
                    )
                except (SyntaxError, ValueError, RecursionError):
                    continue
                if new - old:
                    self._codes.append((new - old, new))
        return self._codes


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def tells(line: str) -> bool:
    return len("".join(line.split())) >= LEAST


def changed_places(old: list[str], new: list[str]) -> list[list[str]]:
    """Return what was changed, each with as many lines around it as the old lines nowhere have."""
    new = ["", *new, ""]
    blocks = difflib.SequenceMatcher(None, ["", *old, ""], new, autojunk=False).get_opcodes()
    places = []
    for tag, _, _, c, d in blocks:
        place: list[str] = []
        while tag != "equal" and (not place or is_in(place, old)):
            c, d = max(c - 1, 0), d + 1
            place = new[c:d]
        places += [place] if place else []
    return places


def is_in(place: list[str], lines: list[str]) -> bool:
    """Whether lines stand there in a row; an empty one is the top or the end."""
    lines, size = ["", *lines, ""], len(place)
    return any(
        lines[k] == place[0] and lines[k : k + size] == place for k in range(len(lines) - size + 1)
    )


def codes(code: CodeType, where: str = "") -> set[Any]:
    """Return each code object in one, by itself, without files and the numbers of lines."""
    where += "." + code.co_name
    plain, found = [], set()
    for each in code.co_consts:
        if hasattr(each, "co_code"):
            found |= codes(each, where)
        else:
            plain.append(plainly(each))
    found.add(
        (
            where, code.co_code, tuple(plain), code.co_names, code.co_varnames, code.co_freevars,
            code.co_cellvars, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
            code.co_flags, getattr(code, "co_exceptiontable", b""),
        )
    )  # fmt: skip
    return found


def plainly(value: object) -> str:
    """Return a constant as text, with its type, and sets in one order."""
    if isinstance(value, (tuple, frozenset)):
        parts = [plainly(each) for each in value]
        return str((type(value).__name__, parts if isinstance(value, tuple) else sorted(parts)))
    return str((type(value).__name__, repr(value)))


class Search:
    """Goes through the files of a sandbox."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.files = asked, 0
        self.fixes = [Fix(**each) for each in asked["fixes"]]
        self.by_name: dict[str, list[Fix]] = {}
        for fix in self.fixes:
            self.by_name.setdefault(fix.name, []).append(fix)
        self.end = time.monotonic() + asked["seconds"]

    def run(self) -> None:
        """Tell of every find, and of what was not looked into."""
        for fix in self.fixes:
            if not fix.mark and not fix.compiled():
                tell({"unread": f"{fix.path}: nothing in it tells the fix"})
        waiting = ["/"]
        while waiting:
            self.go_on()
            folder = waiting.pop()
            try:
                with os.scandir(folder) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
            except OSError:  # what cannot be read here, no agent reads either
                continue
            if {"HEAD", "objects", "refs"} <= {entry.name for entry in entries}:
                self.look(self.in_git, folder)
                continue
            for entry in entries:
                if entry.path in self.asked["skip"]:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                self.files += 1
                if self.files > self.asked["max_files"]:
                    raise Limit(f"there are more than {self.asked['max_files']} files")
                if entry.name.endswith((*ZIPS, *TARS)):
                    self.look(self.in_archive, entry.path)
                elif self.wanted(entry.name):
                    self.look(self.in_file, entry.path)

    def look(self, into: Callable[[str], None], path: str) -> None:
        """Look into something; say so where it is too large, or of an unknown kind."""
        try:
            into(path)
        except OSError:  # unreadable, gone or broken: for agents, too
            pass
        except Limit as error:
            self.go_on()
            tell({"unread": f"{path}: {error}"})
        except Exception as error:  # the readers of archives raise all kinds
            tell({"unread": f"{path}: {type(error).__name__}"})

    def go_on(self) -> None:
        """Stop where the time is up."""
        if time.monotonic() > self.end:
            raise Limit(f"the search was stopped after {self.asked['seconds']:g} s")

    def wanted(self, name: str) -> bool:
        return source_of(os.path.basename(name)) in self.by_name

    def has_fix(self, path: str, name: str, data: bytes) -> bool:
        """Whether it is in a file with this name, which is at that path or in that archive."""
        name = os.path.basename(name)
        inside = path.startswith(self.asked["root"] + "/")
        share = self.asked["share_inside" if inside else "share"]
        fixes = self.by_name[source_of(name)]
        if name.endswith(".pyc"):
            return any(fix.in_codes(data, share) for fix in fixes)
        return any(fix.in_text(data, share) for fix in fixes)

    def in_file(self, path: str) -> None:
        with opened(path) as file:
            if self.has_fix(path, path, self.limited(file)):
                tell({"found": path, "place": path})

    def in_archive(self, path: str) -> None:
        with opened(path) as file:
            members = self.of_zip(file) if path.endswith(ZIPS) else self.of_tar(file, path)
            for name, data in members:
                if self.has_fix(path, name, data):
                    tell({"found": f"{path}: {name}", "place": path})

    def of_zip(self, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        import zipfile

        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if self.wanted(member.filename):
                    self.go_on()
                    with archive.open(member) as source:
                        yield member.filename, self.limited(source)

    def of_tar(self, file: IO[bytes], path: str) -> Iterator[tuple[str, bytes]]:
        import tarfile

        packed = next(TARS[end] for end in TARS if path.endswith(end))
        if packed:
            file = importlib.import_module(packed).open(file)
        counted: Any = Counted(file, self.asked["max_unpacked"], self.go_on)
        with tarfile.open(fileobj=counted, mode="r|") as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is not None and self.wanted(member.name):
                    yield member.name, self.limited(source)

    def limited(self, file: IO[bytes]) -> bytes:
        """Read a file that is not too large."""
        data = file.read(self.asked["max_file"] + 1)
        if len(data) > self.asked["max_file"]:
            raise Limit(f"a file of more than {self.asked['max_file']} bytes")
        return data

    def in_git(self, folder: str) -> None:
        """Look at every blob that is large enough, also at those that nothing leads to."""
        smallest = min(len(fix.fixed.encode("utf-8", "replace")) for fix in self.fixes)
        git = ["git", "--git-dir", folder, "cat-file"]
        listing = ["--batch-all-objects", "--batch-check=%(objecttype) %(objectsize) %(objectname)"]
        try:
            listed = subprocess.run([*git, *listing], stdout=-1, stderr=-1)
        except OSError:
            raise Limit("there is no git to look into it") from None
        with tempfile.TemporaryFile() as names:
            for kind, size, name in map(bytes.split, listed.stdout.splitlines()):
                fits = self.asked["share"] * smallest <= int(size) <= self.asked["max_file"]
                if kind == b"blob" and fits:
                    names.write(name + b"\n")
            names.seek(0)
            with subprocess.Popen([*git, "--batch"], stdin=names, stdout=-1, stderr=-3) as process:
                assert process.stdout is not None
                for header in process.stdout:
                    self.go_on()
                    about = header.split()
                    data = process.stdout.read(int(about[2]) + 1)[:-1]
                    if any(fix.in_text(data, self.asked["share"]) for fix in self.fixes):
                        found = f"{folder}: blob {about[0].decode()}"
                        tell({"found": found, "place": f"{folder}/"})
        if listed.returncode or process.returncode:
            raise Limit("git cannot read it")


class Counted:
    """Reads what is unpacked, up to a limit."""

    def __init__(self, file: IO[bytes], left: int, go_on: Callable[[], None]) -> None:
        self.file, self.left, self.go_on = file, left, go_on

    def read(self, size: int) -> bytes:
        self.go_on()
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise Limit("too much is packed in it")
        return data


def source_of(name: str) -> str:
    """Return the name of the source of a compiled file; others are their own."""
    return name.split(".")[0] + ".py" if name.endswith(".pyc") else name


def opened(path: str) -> IO[bytes]:
    """Open a plain file, never waiting for a pipe."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise PermissionError(path)
    return os.fdopen(number, "rb")


def tell(what: dict[str, object]) -> None:
    """Write one object."""
    sys.stdout.write(json.dumps(what) + "\n")


def main() -> None:
    """Read what is looked for, write one JSON object per find."""
    search = Search(json.loads(sys.stdin.buffer.read().decode("ascii")))
    try:
        search.run()
    except Limit as error:
        tell({"unread": str(error)})
    tell({"end": True, "files": search.files})


main()
