"""Trees of files as bytes: out of archives, into sandboxes, and what an agent changed out again.

What comes out of a sandbox is listed inside, under limits, and arrives as data. Neither git nor
anything else of this machine ever looks at a folder that an agent wrote.
"""

import base64
import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentgym.errors import ConfigError
from agentgym.swe.diffs import make_patch
from agentgym.swe.run_tests import REPO, unpack
from agentgym.tools.sandbox import Sandbox

__all__ = [
    "BadSubmission",
    "Changes",
    "File",
    "Tree",
    "changes_in",
    "patch_of",
    "put_tree",
    "read_archive",
    "with_changes",
]

MAX_FILES: Final = 20_000
MAX_TREE: Final = 128 << 20
_MOST_AT_ONCE: Final = 16 << 20

MAX_CHANGED: Final = 4 << 20
"""Bytes of all files together that an agent may have changed."""

SKIPPED: Final = (
    ".git", ".hg", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis",
    ".coverage", ".tox", ".eggs",
)  # fmt: skip
_SKIPPED_ENDS: Final = (".pyc", ".pyo", ".egg-info", "~", ".orig", ".rej")
_SOURCE: Final = Path(__file__).with_name("_list_changes.py").read_text("utf-8")


class BadSubmission(ValueError):
    """What an agent left is nothing that can be judged; says why in a few words.

    Attributes:
        kind: the same as a name.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class File:
    """A plain file; or a link, which has a target and no data."""

    data: bytes = b""
    executable: bool = False
    link: str = ""

    @property
    def digest(self) -> str:
        """What tells two files apart."""
        return f"link {self.link}" if self.link else hashlib.sha256(self.data).hexdigest()

    def text(self) -> str | None:
        """Return the text, or None for what is none."""
        try:
            text = self.data.decode()
        except UnicodeDecodeError:
            return None
        return None if "\0" in text or self.link else text


Tree = Mapping[str, File]
Changes = Mapping[str, File | None]
"""What differs, by path; None: the file is gone."""


def read_archive(path: str | Path, sha256: str = "") -> dict[str, File]:
    """Return the files of a tar file, without the folder that all of them are in, if there is one.

    Raises:
        ConfigError: it cannot be read, is not the one that was meant, or has something in it that
            no repository has.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256:
        raise ConfigError(f"{path} is not the archive that is meant: sha256 {digest}, not {sha256}")
    tree: dict[str, File] = {}
    left = MAX_TREE
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                name = posixpath.normpath(member.name)
                left -= member.size
                if left < 0 or len(tree) >= MAX_FILES:
                    raise ConfigError(f"{path} has over {MAX_TREE} bytes or {MAX_FILES} files")
                if name.startswith(("/", "../")) or name == ".." or "\0" in name:
                    raise ConfigError(f"{path} has a file outside of it: {member.name!r:.100}")
                if member.issym():
                    tree[name] = File(link=member.linkname)
                elif member.isreg() and (source := tar.extractfile(member)):
                    tree[name] = File(source.read(), bool(member.mode & 0o100))
                elif not member.isdir():
                    raise ConfigError(f"{path} has a special file in it: {member.name!r:.100}")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigError(f"{path} is no archive that can be read: {error}") from None
    tops = {name.partition("/")[0] for name in tree}
    if len(tops) == 1 and all("/" in name for name in tree):
        tree = {name.partition("/")[2]: file for name, file in tree.items()}
    return {name: f for name, f in tree.items() if not _skipped(name) and _stays_inside(name, f)}


def _skipped(name: str) -> bool:
    parts = name.split("/")
    return any(part in SKIPPED or part.endswith(_SKIPPED_ENDS) for part in parts)


def _stays_inside(name: str, file: File) -> bool:
    """Whether a link leads to somewhere in the tree; others are left out."""
    if not file.link:
        return True
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), file.link))
    return not file.link.startswith("/") and not target.startswith("..")


def put_tree(sandbox: Sandbox, tree: Tree) -> None:
    """Put a tree into the folder `REPO`. Raises ConfigError where it does not fit."""
    waiting = sorted(tree.items())
    while waiting:
        data, size = io.BytesIO(), 0
        with tarfile.open(fileobj=data, mode="w") as tar:
            while waiting and (not size or size + len(waiting[0][1].data) < _MOST_AT_ONCE):
                name, file = waiting.pop(0)
                size += len(file.data) + 1024
                member = tarfile.TarInfo(name)
                member.mtime = 1_000_000_000
                if file.link:
                    member.type, member.linkname = tarfile.SYMTYPE, file.link
                    tar.addfile(member)
                    continue
                member.size, member.mode = len(file.data), 0o755 if file.executable else 0o644
                tar.addfile(member, io.BytesIO(file.data))
        unpack(sandbox, data.getvalue(), REPO)


def changes_in(
    sandbox: Sandbox, tree: Tree, *, folder: str = REPO, max_bytes: int = MAX_CHANGED
) -> dict[str, File | None]:
    """Return how a folder of a sandbox differs from a tree; caches do not count.

    Raises:
        BadSubmission: too much is different, or cannot be listed.
        SandboxError: see `Sandbox.exec`.
    """
    asked = {
        "root": posixpath.join(sandbox.workdir, folder).rstrip("/"),
        "known": {name: file.digest for name, file in tree.items()},
        "skip": SKIPPED,
        "skip_ends": _SKIPPED_ENDS,
        "max_bytes": max_bytes,
        "max_files": MAX_FILES,
    }
    result = sandbox.exec(
        ["python3", "-I", "-S", "-c", _SOURCE],
        stdin=json.dumps(asked).encode("ascii"),
        timeout_s=60,
        max_output=2 * max_bytes + (1 << 20),
    )
    if not result.ok or result.stdout_left_out:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BadSubmission("size", (lines or ["its files cannot be listed"])[-1][:200])
    found: dict[str, File | None] = {}
    ended = False
    for line in result.stdout.splitlines():
        told = json.loads(line)
        if "end" in told:
            ended = True
        elif "gone" in told:
            found[told["path"]] = None
        elif "special" in told:
            raise BadSubmission("special", f"{told['path']!r:.100} is no plain file")
        elif "link" in told:
            found[told["path"]] = File(link=told["link"])
        else:
            found[told["path"]] = File(base64.b64decode(told["data"]), told["executable"])
    if not ended:
        raise BadSubmission("size", "its files cannot be listed")
    return found


def with_changes(tree: Tree, changes: Changes) -> dict[str, File]:
    """Return a tree with changes made."""
    made = {name: file for name, file in tree.items() if name not in changes}
    return made | {name: file for name, file in changes.items() if file is not None}


def patch_of(tree: Tree, changes: Changes) -> str:
    """Return changes as a patch.

    Raises:
        BadSubmission: one is a link, or no text: such changes are not taken (V16).
    """
    old: dict[str, str] = {}
    new: dict[str, str] = {}
    for path, file in changes.items():
        for side, one in ((old, tree.get(path)), (new, file)):
            if one is None:
                continue
            if one.link:
                raise BadSubmission("link", f"{path!r:.100} is a symbolic link")
            text = one.text()
            if text is None:
                raise BadSubmission("binary", f"{path!r:.100} is changed and is no text")
            side[path] = text
    return make_patch(old, new)
