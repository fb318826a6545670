"""Fields of rows, checked as they are taken, and rows out of parquet files."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from agentgym.errors import ConfigError
from agentgym.jsonl import Record
from agentgym.swe.patches import BadPatch, parse
from agentgym.types import JSON

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")
_IMAGES: Final = {
    "swe-bench": ("swebench/sweb.eval.x86_64.{}:latest", "_1776_"),
    "swe-gym": ("xingyaoww/sweb.eval.x86_64.{}:latest", "_s_"),
}
"""The name of an image for an id, and what stands in it for two underscores."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Takes fields from a record, and complains where they are not as they have to be."""

    record: Record

    def text(self, name: str, default: str | None = None, *, empty: bool = False) -> str:
        if default is not None and self.record.fields.get(name) is None:
            return default
        value = cast(str, self.record.need(name, str, "a string"))
        if not value.strip() and not empty:
            raise self.record.wrong(f"the field {name!r} is empty")
        return value

    def id(self, name: str) -> str:
        if not _ID.fullmatch(name):
            raise self.record.wrong(
                f"the instance_id must be of letters, digits and _ . + -, got {name!r:.220}"
            )
        return name

    def commit(self, name: str, default: str | None) -> str:
        value = self.text(name, default, empty=default is not None)
        if value and not re.fullmatch(r"[0-9a-f]{7,64}", value):
            raise self.record.wrong(f"the field {name!r} must be a commit, got {value!r:.80}")
        return value

    def patch(self, name: str, default: str | None = None) -> str:
        value = self.text(name, default, empty=name != "patch" or default is not None)
        try:
            parse(value)
        except BadPatch as error:
            raise self.record.wrong(f"the field {name!r}: {error}") from None
        return value

    def rest(self, known: set[str]) -> dict[str, JSON]:
        """Return all other fields, with whatever JSON has no form for as text."""
        kept = {key: value for key, value in self.record.fields.items() if key not in known}
        return cast(dict[str, JSON], json.loads(json.dumps(kept, default=str)))

    def ids(self, name: str, *, optional: bool) -> tuple[str, ...]:
        if optional and name not in self.record.fields:
            return ()
        said = "a list of test ids, or one as JSON in a string"
        value: Any = self.record.fields.get(name)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise self.record.wrong(
                    f"the field {name!r} must be {said}, got the string {value!r:.60}"
                ) from None
            value = self.record.typed(value, list, f"the field {name!r}", said)
        else:
            value = self.record.need(name, list, said)
        for k, test in enumerate(value):
            what = f"entry {k} of {name!r}"
            if not self.record.typed(test, str, what, "the id of a test").strip():
                raise self.record.wrong(f"{what} is empty")
        return tuple(dict.fromkeys(value))

    def texts(self, name: str) -> dict[str, str]:
        value = self.record.fields.get(name)
        if value is None:
            return {}
        found = self.record.typed(value, dict, f"the field {name!r}", "an object of strings")
        for key, text in found.items():
            self.record.typed(text, str, f"{key!r} in {name!r}", "a string")
        return cast(dict[str, str], found)

    def inner(self, name: str) -> dict[str, Any]:
        value = self.record.need(name, object, "JSON")
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise self.record.wrong(
                    f"the field {name!r} is a string that is not JSON"
                ) from None
        what = f"the field {name!r}"
        return cast(dict[str, Any], self.record.typed(value, dict, what, "a JSON object"))

    def image(self, shape: str, instance_id: str) -> str:
        """Return the image by field, or by the convention of the data set."""
        for name in ("image_name", "docker_image"):
            if self.record.fields.get(name):
                return self.text(name)
        if shape not in _IMAGES:
            return ""
        name, between = _IMAGES[shape]
        return name.format(instance_id.replace("__", between).lower())


def parquet_records(path: Path) -> Iterator[Record]:
    """Yield the rows of a parquet file.

    Raises:
        ConfigError: pyarrow is not installed, or the file cannot be read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            f"{path}: parquet files need pyarrow; install it with: pip install "
            "'agentgym[parquet]', or turn the file into JSON Lines"
        ) from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for fields in batch.to_pylist():
                    number += 1
                    yield Record(fields, f"{path}: row {number}")
    except (OSError, pyarrow.ArrowException) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
