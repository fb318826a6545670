"""Writing files so that a kill or a full disk leaves them whole."""

import os
from pathlib import Path

from agentgym.errors import RecordError


class Appender:
    """A file that only grows, each piece written with one call or not at all.

    Attributes:
        offset: bytes in the file.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        """Open a file to append to it, creating it if need be, and cut it to `keep` bytes."""
        self.path, self.offset = path, keep
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o644)
        if os.fstat(self._handle).st_size != keep:
            self.cut(keep)

    def append(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            RecordError: it cannot be written; the file is as it was before.
        """
        if self._handle < 0:
            raise RecordError(f"cannot append to {self.path}: it is closed")
        try:
            written = os.write(self._handle, piece)
            if written < len(piece):  # the disk became full on the way: this says why
                os.write(self._handle, piece[written:])
                raise OSError(0, "only a part of it was written")
        except OSError as error:
            os.ftruncate(self._handle, self.offset)
            raise RecordError(
                f"cannot append {len(piece)} bytes to {self.path}: {error.strerror}; "
                f"it is whole up to byte {self.offset}"
            ) from error
        self.offset += len(piece)

    def cut(self, to: int) -> None:
        """Drop everything after `to` bytes."""
        os.ftruncate(self._handle, to)
        os.fsync(self._handle)
        self.offset = to

    def sync(self) -> None:
        """Force what was appended to the disk.

        Raises:
            RecordError: the disk refuses.
        """
        try:
            os.fdatasync(self._handle)
        except OSError as error:
            raise RecordError(f"cannot sync {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Sync and close; closing twice is harmless."""
        if self._handle >= 0:
            try:
                self.sync()
            finally:
                os.close(self._handle)
                self._handle = -1


def fsync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, content: bytes) -> None:
    """Write a file so that it has its old or its new content, whatever happens."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    temporary.write_bytes(content)
    fsync(temporary)
    temporary.rename(path)
    fsync(path.parent)
