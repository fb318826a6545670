"""Files of JSON objects: JSON Lines, one object per line, or one JSON array.

Every complaint names the file and the line, or the number of the entry in an array.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentgym.errors import ConfigError, nearest

BOM: Final = b"\xef\xbb\xbf"
"""What some editors write at the very beginning of a file."""


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file. `where` says in which line, `offset` at which byte it starts."""

    fields: Mapping[str, Any]
    where: str
    offset: int = 0

    def need(self, name: str, kind: type, said: str) -> Any:
        """Return a field of the given type.

        Raises:
            ConfigError: it is missing, or of another type.
        """
        if name not in self.fields:
            raise self.wrong(f"the field {name!r} is missing; {nearest(name, self.fields)}")
        return self.typed(self.fields[name], kind, f"the field {name!r}", said)

    def typed(self, value: Any, kind: type, what: str, said: str) -> Any:
        """Return a value if it has the type.

        Raises:
            ConfigError: it has another.
        """
        if not isinstance(value, kind):
            raise self.wrong(f"{what} must be {said}, got {type(value).__name__} {value!r:.60}")
        return value

    def wrong(self, what: str) -> ConfigError:
        """Return an error about this record."""
        return ConfigError(f"{self.where}: {what}")


def records(path: Path) -> Iterator[Record]:
    """Yield the objects of a file.

    Raises:
        ConfigError: the file cannot be read, or a line is not UTF-8 or not a JSON object.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64).removeprefix(BOM).lstrip()
            file.seek(0)
            if head.startswith(b"["):
                yield from _of_array(path, file.read())
                return
            offset = 0
            for number, line in enumerate(file, 1):
                if line.removeprefix(BOM).strip():
                    yield _record(line, f"{path}:{number}", offset)
                offset += len(line)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error


def _of_array(path: Path, content: bytes) -> Iterator[Record]:
    try:
        values = json.loads(content)
    except ValueError as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{path}{line}: not JSON: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not JSON that can be read: nested too deeply") from None
    for number, value in enumerate(values):
        yield Record(_object(value, f"{path}[{number}]"), f"{path}[{number}]")


def _record(line: bytes, where: str, offset: int) -> Record:
    try:
        value = json.loads(line.removeprefix(BOM).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    except RecursionError:
        raise ConfigError(f"{where}: not JSON that can be read: nested too deeply") from None
    return Record(_object(value, where), where, offset)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{where}: must be a JSON object, got {type(value).__name__} {value!r:.60}"
        )
    return value
