"""Checkpoints: folders that are published whole or not at all.

`step_N.tmp-PID/` receives the files, then `MANIFEST.json` with the size and SHA-256 of each, all
of it forced to the disk; a rename to `step_N/` publishes it. A reader takes the newest one that
verifies. Nothing in a checkpoint can hold code: files of other kinds than `SUFFIXES` are refused
when writing and when reading, and so is a file that the manifest does not name.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import RecordError
from agentgym.records.codec import from_bytes, to_bytes
from agentgym.records.files import fsync
from agentgym.types import JSON

SUFFIXES = (".json", ".safetensors", ".npz", ".toml", ".txt", ".jinja", ".model")
"""The kinds of files that a checkpoint may hold; none of them is unpickled by its readers."""

Content = bytes | Callable[[Path], object]
"""What a file or folder of a checkpoint is: its bytes, or a function that writes it to a path."""

_STATE, _MANIFEST = "state.json", "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A published checkpoint that verifies."""

    step: int
    path: Path
    state: JSON  #: what the trainer needs beside the files: counters, RNG states, cursors
    log_offset: int  #: the trajectory log's end when it was made
    metrics_offset: int  #: the metrics file's end when it was made
    config_sha256: str  #: of the configuration that it was made under

    def read(self, name: str) -> bytes:
        """Return the content of one of its files."""
        return (self.path / name).read_bytes()


class Checkpoints:
    """The checkpoints of one run. Only one process may write them at a time.

    Attributes:
        passed_over: what the latest call of `latest` found damaged, and why.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        """Open the folder of the checkpoints; `keep` of them are kept, at least 2 are wise."""
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder, self.keep = folder, keep
        self.passed_over: tuple[str, ...] = ()

    def clean(self) -> None:
        """Remove what killed writers left."""
        for path in self.folder.glob("step_*"):
            if re.search(r"\.(tmp|del)-\d+$", path.name):
                shutil.rmtree(path, ignore_errors=True)

    def steps(self) -> list[int]:
        """Return the steps of the published checkpoints, oldest first, verified or not."""
        names = (re.fullmatch(r"step_(\d+)", path.name) for path in self.folder.glob("step_*"))
        return sorted(int(match[1]) for match in names if match)

    def save(
        self,
        step: int,
        files: Mapping[str, Content],
        state: JSON,
        *,
        log_offset: int = 0,
        metrics_offset: int = 0,
        config_sha256: str = "",
    ) -> Path:
        """Publish a checkpoint, then remove those that are too old; returns its folder.

        Raises:
            RecordError: it cannot be written (the disk is full, say), or a file is of a kind that
                checkpoints do not hold. What was there before is untouched then.
        """
        final = self.folder / f"step_{step}"
        temporary = self.folder / f"step_{step}.tmp-{os.getpid()}"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, content in {**files, _STATE: to_bytes({"state": state})}.items():
                _write(temporary / _inside(name), content)
            manifest = {
                "schema": 1,
                "step": step,
                "log_offset": log_offset,
                "metrics_offset": metrics_offset,
                "config_sha256": config_sha256,
                "files": _listed(temporary),
            }
            _write(temporary / _MANIFEST, _sealed(manifest))
            fsync(temporary / _MANIFEST)
            fsync(temporary)
            self._publish(temporary, final)
        except (OSError, RecordError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            last = max(self.steps(), default=None)
            kept = "there is none before it" if last is None else f"the one of step {last} is whole"
            reason = error.strerror if isinstance(error, OSError) else error
            raise RecordError(
                f"cannot write the checkpoint of step {step} to {self.folder}: {reason}; {kept}"
            ) from error
        for old in [each for each in self.steps() if each < step][: -self.keep + 1 or None]:
            self._remove(self.folder / f"step_{old}")
        return final

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies; None where none was ever made.

        Those that do not verify are named in `passed_over`.

        Raises:
            RecordError: there are checkpoints, but none verifies.
        """
        damaged: list[str] = []
        found = None
        steps = self.steps()
        for step in reversed(steps):
            path = self.folder / f"step_{step}"
            try:
                found = verified(path)
                break
            except RecordError as error:
                if path.exists():  # else the run goes on, and has removed it as too old
                    damaged.append(str(error))
        if steps and not damaged and found is None:
            return self.latest()
        self.passed_over = tuple(damaged)
        if damaged and found is None:
            raise RecordError("no checkpoint can be used: " + "; ".join(damaged))
        return found

    def _publish(self, temporary: Path, final: Path) -> None:
        if final.exists():  # damaged, or superseded by the one that the run was resumed from
            self._remove(final)
        temporary.rename(final)
        fsync(self.folder)

    def _remove(self, path: Path) -> None:
        """Unpublish by a rename first, so that no half-removed checkpoint is ever seen."""
        doomed = path.with_name(f"{path.name}.del-{os.getpid()}")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def verified(path: Path) -> Checkpoint:
    """Return the checkpoint of a folder after checking every byte of it.

    Raises:
        RecordError: anything about it is not as its manifest says; names the file.
    """
    manifest = _manifest(path)
    if path.name != f"step_{manifest['step']}":
        raise RecordError(f"{path}: the manifest is of step {manifest['step']}")
    wanted: dict[str, Any] = manifest["files"]
    there = {each.relative_to(path).as_posix() for each in path.rglob("*") if not each.is_dir()}
    for name in sorted(there - wanted.keys() - {_MANIFEST}):
        raise RecordError(f"{path}: {name} does not belong to it")
    for name, facts in wanted.items():
        _checked(name)
        file = path / name
        if name not in there or file.is_symlink() or not file.is_file():
            raise RecordError(f"{path}: {name} is missing")
        size = file.stat().st_size
        if size != facts["size"]:
            raise RecordError(f"{path}: {name} has {size} bytes instead of {facts['size']}")
        if _sha256(file) != facts["sha256"]:
            raise RecordError(f"{path}: the content of {name} has changed (SHA-256 differs)")
    return Checkpoint(
        step=manifest["step"],
        path=path,
        state=from_bytes((path / _STATE).read_bytes())["state"],
        log_offset=manifest["log_offset"],
        metrics_offset=manifest["metrics_offset"],
        config_sha256=manifest["config_sha256"],
    )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        sealed = from_bytes((path / _MANIFEST).read_bytes())
        manifest = sealed["manifest"]
        if _seal(manifest) != sealed["sha256"]:
            raise RecordError("its content has changed (SHA-256 differs)")
    except (OSError, RecordError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordError(f"{path}: {_MANIFEST}: {reason}") from error
    if manifest["schema"] != 1:
        raise RecordError(f"{path}: written by a newer agentgym")
    found: dict[str, Any] = manifest
    return found


def _sealed(manifest: dict[str, Any]) -> bytes:
    return json.dumps({"sha256": _seal(manifest), "manifest": manifest}, indent=1).encode()


def _seal(manifest: object) -> str:
    """Return the checksum that the manifest carries of itself."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _checked(name: str) -> str:
    """Return the name of a file of a checkpoint, if it may be one."""
    if not _inside(name).endswith(SUFFIXES):
        raise RecordError(
            f"{name} is not of a kind that checkpoints hold ({' '.join(SUFFIXES)}): "
            "reading others may run code"
        )
    return name


def _inside(name: str) -> str:
    """Return the name of a file or folder of a checkpoint, if that is where it leads."""
    if not all(re.fullmatch(r"\w[\w.-]*", part) for part in name.split("/")):
        raise RecordError(f"{name!r} cannot be the name of a file in a checkpoint")
    return name


def _write(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and hash of every file below a folder, forcing them to the disk on the way."""
    listed = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            listed[_checked(name)] = {"size": path.stat().st_size, "sha256": _sha256(path)}
        fsync(path)
    return listed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
