"""Text files in a scratch folder that nothing escapes."""

import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from agentgym.errors import ToolError

__all__ = ["Files"]

MAX_DEPTH: Final = 8
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Files:
    """A scratch folder: read, write, append to, delete and list text files.

    A path is walked folder by folder from an open one, and no step follows a link: what others put
    into the folder (links, pipes, devices) leads nowhere. It cannot be copied, since its state is
    on disk.

    Attributes:
        folder: where it is.
    """

    def __init__(
        self,
        folder: str | None = None,
        *,
        max_file: int = 100_000,
        max_files: int = 100,
        max_total: int = 1_000_000,
    ) -> None:
        """Open a folder.

        Args:
            folder: an existing folder; by default a new one, which goes with this object.
            max_file: bytes of a file.
            max_files: files and folders.
            max_total: bytes of all files.
        """
        self.max_file, self.max_files, self.max_total = max_file, max_files, max_total
        self.folder = Path(folder or tempfile.mkdtemp(prefix="agentgym-files-"))
        self._root = os.open(self.folder, _FOLDER & ~os.O_NOFOLLOW)
        self.close = weakref.finalize(self, _close, self._root, None if folder else self.folder)

    def __deepcopy__(self, memo: object) -> "Files":
        raise NotImplementedError("a scratch folder is on disk; make a new Files() instead")

    def __call__(
        self,
        action: Literal["read", "write", "append", "delete", "list"],
        path: str = "",
        content: str = "",
    ) -> str:
        """Work with text files in a folder of your own.

        Args:
            action: "write" makes or replaces a file, "append" adds to its end, "read" shows it,
                "delete" removes it (or an empty folder), "list" shows all files.
            path: of the file, relative, e.g. notes/plan.txt; folders are made as needed.
            content: the text to write or append.
        """
        if action == "list":
            return "\n".join(f"{name} ({size} bytes)" for name, size in self._all()) or "(no files)"
        *folders, name = _parts(path)
        try:
            with self._walk(folders, make=action in ("write", "append")) as place:
                match action:
                    case "read":
                        return self._read(place, name)
                    case "delete":
                        _delete(place, name)
                        return f"deleted {path}"
                    case _:
                        size = self._write(place, name, content, action == "append")
                        return f"{path} has {size} bytes now"
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise ToolError(f"cannot {action} {path[:200]!r}: {said}") from None

    @contextmanager
    def _walk(self, folders: list[str], make: bool) -> Iterator[int]:
        """Open the folder that a file is in."""
        place = os.dup(self._root)
        try:
            for name in folders:
                if make:
                    self._make(place, name)
                inside = os.open(name, _FOLDER, dir_fd=place)
                os.close(place)
                place = inside
            yield place
        finally:
            os.close(place)

    def _make(self, place: int, name: str) -> None:
        try:
            os.stat(name, dir_fd=place, follow_symlinks=False)
        except FileNotFoundError:
            self._need_room()
            os.mkdir(name, 0o755, dir_fd=place)

    def _read(self, place: int, name: str) -> str:
        with _opened(name, os.O_RDONLY, place) as file:
            data = os.read(file, self.max_file + 1)
        if len(data) > self.max_file:
            raise ToolError(f"{name} is larger than {self.max_file} bytes")
        return data.decode("utf-8", "replace")

    def _write(self, place: int, name: str, content: str, append: bool) -> int:
        data = content.encode("utf-8", "replace")
        try:
            old = os.stat(name, dir_fd=place, follow_symlinks=False).st_size
        except FileNotFoundError:
            self._need_room()
            old = 0
        size = len(data) + (old if append else 0)
        if size > self.max_file:
            raise ToolError(f"the file would have {size} bytes; at most {self.max_file}")
        total = sum(each for _, each in self._all()) - old + size
        if total > self.max_total:
            raise ToolError(f"all files would have {total} bytes; at most {self.max_total}")
        # Not cut off by opening it: what is behind the name is looked at first.
        with _opened(name, os.O_WRONLY | os.O_CREAT, place) as file:
            if append:
                os.lseek(file, 0, os.SEEK_END)
            else:
                os.ftruncate(file, 0)
            while data:
                data = data[os.write(file, data) :]
        return size

    def _need_room(self) -> None:
        count = sum(
            len(folders) + len(files) for _, folders, files, _ in os.fwalk(dir_fd=self._root)
        )
        if count >= self.max_files:
            raise ToolError(f"there are {count} files and folders already, and no room for more")

    def _all(self) -> list[tuple[str, int]]:
        """Return path and size of every plain file, sorted."""
        found = []
        for folder, _, files, place in os.fwalk(dir_fd=self._root):
            for name in files:
                about = os.stat(name, dir_fd=place, follow_symlinks=False)
                if stat.S_ISREG(about.st_mode):
                    found.append((os.path.normpath(os.path.join(folder, name)), about.st_size))
        return sorted(found)


def _parts(path: str) -> list[str]:
    """Return the steps of a relative path.

    Raises:
        ToolError: it is none, or leads out.
    """
    if path.startswith("/"):
        raise ToolError(f"{path[:200]!r} is absolute; paths are relative, like notes/plan.txt")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise ToolError("a path is needed, like notes/plan.txt")
    if ".." in parts:
        raise ToolError(f"{path[:200]!r} leads out of the folder; paths have no '..'")
    if len(parts) > MAX_DEPTH or any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        raise ToolError(f"the path is too long: at most {MAX_DEPTH} parts of 255 bytes each")
    if not path.isprintable():
        raise ToolError("a path has no control characters")
    return parts


@contextmanager
def _opened(name: str, how: int, place: int) -> Iterator[int]:
    """Open a plain file that has no other name.

    Raises:
        ToolError: it is something else. OSError: it cannot be opened.
    """
    file = os.open(name, how | _FILE, 0o644, dir_fd=place)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise ToolError(f"{name} is not a plain file")
        yield file
    finally:
        os.close(file)


def _delete(place: int, name: str) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
        os.rmdir(name, dir_fd=place)
    else:
        os.unlink(name, dir_fd=place)


def _close(root: int, folder: Path | None) -> None:
    os.close(root)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
