"""Metrics of a run: one JSON object per step in a file, and TensorBoard where it is installed."""

import contextlib
import importlib.util
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentgym.errors import RecordError
from agentgym.records.files import Appender

METRICS = "metrics.jsonl"
"""The name of the metrics in a run's folder."""


class Metrics:
    """The writing side. Values that are not finite are recorded as null, with a note.

    TensorBoard's own writer is loaded with the first value, without torch.
    """

    def __init__(self, path: Path, tensorboard: Path | None) -> None:
        """Open `path` to append to it, cutting a torn end; events go to `tensorboard`."""
        self.path, self.tensorboard = path, tensorboard
        self._file = Appender(path, keep=_whole_lines(path))
        self._events: Any = None

    @property
    def offset(self) -> int:
        """Bytes written."""
        return self._file.offset

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append the values of one step.

        Raises:
            ValueError: a value has the name of a key that every row has.
            RecordError: they cannot be written.
        """
        if reserved := values.keys() & {"step", "time_s", "notes"}:
            raise ValueError(f"no metric can be called {' or '.join(sorted(reserved))}")
        row: dict[str, Any] = {"step": step, "time_s": round(time.time(), 3)}
        notes = {}
        for name, value in values.items():
            number = float(value)
            row[name] = number if math.isfinite(number) else None
            if not math.isfinite(number):
                notes[name] = str(number)
        if notes:
            row["notes"] = notes
        self._file.append(json.dumps(row, allow_nan=False).encode() + b"\n")
        with self._named():
            self._add_events(step, {name: row[name] for name in values if row[name] is not None})

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Name the folder if TensorBoard's writer fails, perhaps only in a later call."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise RecordError(f"cannot write to {self.tensorboard}: {reason}") from error

    def rewind(self, offset: int) -> None:
        """Forget what was written after `offset`; it will come again."""
        if offset < self.offset:
            self._file.cut(offset)

    def sync(self) -> None:
        """Force everything to the disk."""
        self._file.sync()
        if self._events:
            with self._named():
                self._events.flush()

    def close(self) -> None:
        """Close; closing twice is harmless."""
        self._file.close()
        if self._events:
            events, self._events = self._events, None
            with self._named():
                events.close()

    def _add_events(self, step: int, values: dict[str, float]) -> None:
        if self.tensorboard is None or not importlib.util.find_spec("tensorboard"):
            return
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        now = time.time()
        if self._events is None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._events = EventFileWriter(str(self.tensorboard))
            # tells TensorBoard to forget what it has of later steps, from before a resumption
            start = SessionLog(status=SessionLog.START)
            self._events.add_event(Event(wall_time=now, step=step, session_log=start))
        entries = [Summary.Value(tag=name, simple_value=each) for name, each in values.items()]
        event = Event(wall_time=now, step=step, summary=Summary(value=entries))
        self._events.add_event(event)


def read_metrics(run: Path | str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's metrics: "step", "time_s" and the values.

    A torn end is left out. `run` is the run's folder, or the file.
    """
    path = Path(run)
    path = path / METRICS if path.is_dir() else path
    whole = _whole_lines(path)
    if whole:
        with path.open("rb") as file:
            for line in file.read(whole).splitlines():
                yield json.loads(line)


def _whole_lines(path: Path) -> int:
    """Return how many bytes of a file of JSON lines are whole lines."""
    data = path.read_bytes() if path.exists() else b""
    end = len(data)
    while end:
        end = data.rfind(b"\n", 0, end) + 1
        start = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
        try:
            json.loads(data[start:end])
            return end
        except ValueError:
            end = start
    return 0
