"""The trajectory log: append-only, one record per line, each with its checksum.

A line is `crc32 of the JSON in 8 hex digits, a space, the JSON, a line feed`. The JSON has "type"
first: "trajectory" (an episode), "rewind" (everything from an offset up to here is superseded,
because the run was resumed from a checkpoint made there), "session" (a process that wrote here),
or a type of the caller's own. Offsets are bytes from the start of the file.
"""

import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentgym.errors import RecordError
from agentgym.records.codec import SCHEMA, decode, encode, from_bytes, to_bytes
from agentgym.records.files import Appender
from agentgym.types import Group, Trajectory

_REWIND = b'{"type":"rewind","schema":%d,"to":' % SCHEMA


TORN = "a torn tail, as a killed writer leaves"
"""The reason of a `Damage` at the end of a log, where a live writer may just be writing."""

LOG = "trajectories.log"
"""The log's name in a run's folder."""

Sync = Literal["record", "group", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Record:
    """One good line of a log."""

    offset: int
    length: int  #: bytes, with the line feed
    type: str
    data: dict[str, Any]  #: the JSON object, without its type and schema
    superseded: bool  #: a rewind came later; readers leave it out unless asked


@dataclass(frozen=True, slots=True)
class Episode:
    """One trajectory of a log, with what the log says about it."""

    offset: int
    step: int  #: the optimizer step that it was collected for
    phase: str  #: "train", "eval", ...
    task: str  #: the group's key; trajectories of one step, phase and task are one group
    trajectory: Trajectory

    @property
    def id(self) -> str:
        """How messages name this episode."""
        attempt = f" attempt {self.trajectory.attempt}" if self.trajectory.attempt else ""
        return f"{self.phase} step {self.step} task {self.task} member {self.trajectory.member}" + (
            f"{attempt} (offset {self.offset})"
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that cannot be read; the others are not affected."""

    offset: int
    length: int
    reason: str

    def __str__(self) -> str:
        return f"offset {self.offset}: {self.length} bytes: {self.reason}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a pass over a log found, without decoding the records."""

    good: tuple[tuple[int, int], ...]  #: offset and length of every good line
    corrupt: tuple[Damage, ...]  #: bad lines with good ones after them
    end: int  #: where the last good line ends
    torn: int  #: bytes after that: what a killed writer leaves
    superseded: tuple[tuple[int, int], ...]  #: from, to: what rewinds take back

    @property
    def ok(self) -> bool:
        """Whether every byte is part of a good line."""
        return not self.corrupt and not self.torn


def scan(run: Path | str) -> Scan:
    """Check every line of a log (the `fsck` of this format). An absent file is an empty log."""
    path = _file(run)
    good: list[tuple[int, int]] = []
    bad: list[Damage] = []
    superseded: list[tuple[int, int]] = []
    offset = 0
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                payload, reason = _payload(line)
                if reason:
                    start = _good_end(line)
                    bad.append(Damage(offset, start, reason))
                    offset, line = offset + start, line[start:]
                    payload = line[9:-1]
                if line:
                    good.append((offset, len(line)))
                    if payload.startswith(_REWIND):
                        superseded.append((int(payload[len(_REWIND) : -1]), offset))
                offset += len(line)
    end = sum(good[-1]) if good else 0
    return Scan(
        good=tuple(good),
        corrupt=tuple(each for each in bad if each.offset < end),
        end=end,
        torn=offset - end,
        superseded=tuple(superseded),
    )


def records(
    run: Path | str,
    *,
    superseded: bool = False,
    on_damage: Callable[[Damage], None] | None = None,
) -> Iterator[Record]:
    """Read the records of a log in order, leaving out what a rewind took back.

    Args:
        run: a run's folder, or the file of a log.
        superseded: give the records that were taken back, too.
        on_damage: told of every line that cannot be read, a torn last one included. Without it
            the first one raises.

    Raises:
        RecordError: a line that cannot be read, and no `on_damage`.
    """
    path = _file(run)
    found = scan(path)
    damaged = [*found.corrupt]
    if found.torn:
        damaged.append(Damage(found.end, found.torn, TORN))
    for each in damaged:
        if on_damage is None:
            raise RecordError(f"{path}: {each}")
        on_damage(each)
    if not found.good:
        return
    with path.open("rb") as file:
        for offset, length in found.good:
            dead = any(start <= offset < end for start, end in found.superseded)
            if dead and not superseded:
                continue
            file.seek(offset)
            data = from_bytes(file.read(length)[9:-1])
            if data.pop("schema", SCHEMA) != SCHEMA:
                raise RecordError(f"{path}: offset {offset}: written by a newer agentgym")
            yield Record(offset, length, str(data.pop("type", "")), data, dead)


def episodes(
    run: Path | str,
    *,
    superseded: bool = False,
    on_damage: Callable[[Damage], None] | None = None,
) -> Iterator[Episode]:
    """Read the trajectories of a log; arguments and errors as for `records`."""
    for record in records(run, superseded=superseded, on_damage=on_damage):
        if record.type == "trajectory":
            yield to_episode(record)


def _file(run: Path | str) -> Path:
    path = Path(run)
    return path / LOG if path.is_dir() else path


def to_episode(record: Record) -> Episode:
    """Return the episode of a record of type "trajectory".

    Raises:
        RecordError: its content is not that of an episode.
    """
    data = record.data
    try:
        trajectory = decode(Trajectory, data["trajectory"])
        return Episode(record.offset, data["step"], data["phase"], data["task"], trajectory)
    except (RecordError, KeyError) as error:
        raise RecordError(f"offset {record.offset}: {error}") from error


class TrajectoryLog:
    """The writing side of a log. Opening it cuts a torn tail; nothing else is ever rewritten.

    Attributes:
        torn: bytes that were cut when it was opened.
        corrupt: lines that could not be read then; they stay, and readers skip them.
    """

    def __init__(self, path: Path, *, sync: Sync = "checkpoint") -> None:
        """Open a log to append to it, creating it if need be.

        Args:
            path: its file.
            sync: when what was appended is forced to the disk, beside checkpoints and `close`:
                after every "record", every "group", or only then. A killed process loses nothing
                in any case; a machine that loses power goes back to a checkpoint anyway.
        """
        self.path, self.sync_at = path, sync
        found = scan(path)
        self.torn, self.corrupt = found.torn, found.corrupt
        self._file = Appender(path, keep=found.end)
        self._lock = threading.Lock()

    @property
    def offset(self) -> int:
        """Where the next record will begin."""
        return self._file.offset

    def append(self, trajectory: Trajectory, *, step: int, task: str, phase: str = "train") -> int:
        """Append one episode; returns its offset.

        Raises:
            RecordError: something in it is not finite or not JSON, or it cannot be written.
        """
        return self._append_lines([_episode_line(trajectory, step, task, phase)])

    def append_group(self, group: Group, *, step: int, phase: str = "train") -> int:
        """Append the trajectories of a group; returns the offset of the first."""
        members = group.trajectories_G
        return self._append_lines(
            [_episode_line(each, step, group.task, phase) for each in members]
        )

    def append_record(self, type: str, data: Mapping[str, Any]) -> int:
        """Append a record of another type; returns its offset."""
        return self._append_lines([_line(type, data)])

    def rewind(self, to: int) -> None:
        """Take back every record from offset `to` on; they stay in the file, marked superseded.

        Raises:
            RecordError: `to` is not where a record begins.
        """
        if to > self.offset or to < 0:
            raise RecordError(f"{self.path}: cannot rewind to {to}, it ends at {self.offset}")
        if to < self.offset:
            self._append_lines([_line("rewind", {"to": to})])
            self.sync()

    def sync(self) -> None:
        """Force what was appended to the disk."""
        self._file.sync()

    def close(self) -> None:
        """Sync and close; closing twice is harmless."""
        self._file.close()

    def _append_lines(self, lines: Iterable[bytes]) -> int:
        with self._lock:
            start = self.offset
            for line in lines:
                self._file.append(line)
                if self.sync_at == "record":
                    self._file.sync()
            if self.sync_at == "group":
                self._file.sync()
            return start


def _episode_line(trajectory: Trajectory, step: int, task: str, phase: str) -> bytes:
    data = {"step": step, "phase": phase, "task": task, "trajectory": encode(trajectory)}
    try:
        return _line("trajectory", data)
    except RecordError as error:
        where = f"{trajectory.env} seed {trajectory.seed} member {trajectory.member}"
        raise RecordError(f"the episode {where} cannot be recorded: {error}") from error


def _line(type_: str, data: Mapping[str, Any]) -> bytes:
    payload = to_bytes({"type": type_, "schema": SCHEMA, **data})
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def _good_end(line: bytes) -> int:
    """Return where a good record begins at the end of a bad line, or the line's length.

    A bad line has one if its own line feed is what was damaged. Quotes within a record's strings
    are escaped, so nothing inside of a record looks like the beginning of one.
    """
    starts = (match.start() for match in re.finditer(rb'[0-9a-f]{8} \{"type":', line))
    return next((start for start in starts if not _payload(line[start:])[1]), len(line))


def _payload(line: bytes) -> tuple[bytes, str]:
    """Return the JSON of a line, and what is wrong with the line if anything is."""
    if not line.endswith(b"\n"):
        return b"", "no line feed at the end"
    if not re.match(rb"[0-9a-f]{8} ", line):
        return b"", "does not begin with a checksum"
    payload = line[9:-1]
    if zlib.crc32(payload) != int(line[:8], 16):
        return b"", f"the checksum is {zlib.crc32(payload):08x}, the line says {line[:8].decode()}"
    return payload, ""
