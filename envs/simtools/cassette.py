"""What a language model said, kept in a file, so that an episode can be played again exactly.

One JSON object per line: `key` (a digest of the state and of what was asked), `about` (what was
asked, for readers) and `answer`. Lines are appended under a lock, each by one write, so threads and
processes may share a file. The first answer to a key is the one that counts, also when two asked at
the same time: what is returned is always what a replay will return.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from agentgym.envs.simtools.schemas import dumps
from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.types import JSON

Mode = Literal["record", "replay", "auto"]
MODES: Final[tuple[str, ...]] = get_args(Mode)


class Cassette:
    """One file. Instances are shared within a process: see `cassette_at`."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            ConfigError: it cannot be read, or a line is damaged.
        """
        self.path = path
        self._answers: dict[str, JSON] = {}
        self._read_to = 0
        self._lock = threading.Lock()
        with self._lock:
            self._read()

    def __deepcopy__(self, memo: object) -> "Cassette":
        return self

    def __len__(self) -> int:
        return len(self._answers)

    def answer(
        self, key: str, about: Mapping[str, JSON], ask: Callable[[], JSON], *, strict: bool
    ) -> JSON:
        """Return the answer to a key, by asking where it has none yet.

        Args:
            key: of `key_of`. about: what is asked, as data that a person can read.
            ask: asks; what it raises is passed on, and nothing is recorded.
            strict: never ask.

        Raises:
            UserError: `strict`, and there is no entry.
        """
        with self._lock:
            if key not in self._answers:
                self._read()  # another process may have recorded it
            if key in self._answers:
                return self._answers[key]
        if strict:
            raise UserError(
                f"{self.path} has no entry {key} for {dumps(dict(about)):.300}; it was recorded "
                "with other dialogues, options or actions. cassette_mode='auto' asks and records"
            )
        answer = ask()
        with self._lock:
            return self._append(key, about, answer)

    def _append(self, key: str, about: Mapping[str, JSON], answer: JSON) -> JSON:
        """Add an entry, unless there is one by now; return the one that counts."""
        entry = {"key": key, "about": dict(about), "answer": answer}  # in the order of the model
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._read()
            if key not in self._answers:
                os.ftruncate(handle, self._read_to)  # what a process that died left behind
                os.pwrite(handle, line, self._read_to)
                os.fdatasync(handle)
                self._read()
        finally:
            os.close(handle)
        return self._answers[key]

    def _read(self) -> None:
        """Take in the complete lines that were added since."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"the cassette {self.path} cannot be read: {error}") from error
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                entry = json.loads(line)
                self._answers.setdefault(entry["key"], entry["answer"])
            except (ValueError, TypeError, KeyError) as error:
                raise ConfigError(
                    f"{self.path} is damaged at byte {self._read_to}: {line[:60]!r} is no entry"
                ) from error
            self._read_to += len(line)


def cassette_at(path: str, mode: str) -> Cassette:
    """Return the cassette in a file; the same one for the same file in one process.

    Args:
        path: of the file. mode: "record" begins a new one, "replay" only reads, "auto" does both.

    Raises:
        UnknownName: no such mode.
        ConfigError: the mode does not go with the file, or the file is damaged.
    """
    if mode not in MODES:
        raise UnknownName("cassette_mode", mode, MODES)
    place = Path(path).resolve()
    with _lock:
        known = _cassettes.get((os.getpid(), place))
        if known is None or (len(known) and not place.exists()):
            known = Cassette(place)
            if mode == "record" and len(known):
                raise ConfigError(
                    f"{path} has {len(known)} entries already; cassette_mode='auto' goes on with "
                    "it, another path begins a new one"
                )
            _cassettes[os.getpid(), place] = known
        if mode == "replay" and not place.exists():
            raise ConfigError(f"there is no cassette {path} to replay")
        return known


def key_of(*parts: JSON) -> str:
    """Return the digest of what a call depends on."""
    return hashlib.blake2b(dumps(list(parts)).encode(), digest_size=16).hexdigest()


_lock = threading.Lock()
_cassettes: dict[tuple[int, Path], Cassette] = {}
