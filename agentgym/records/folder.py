"""A run is a folder. This is its writing side: one process at a time creates or resumes it.

    run.json            seed, versions, git commit: written before the first step
    config.toml         the resolved configuration
    trajectories.log    every episode (`log.py`)
    metrics.jsonl       numbers per step; tensorboard/ has the same where TensorBoard is installed
    checkpoints/        `checkpoint.py`
    lock                held by the process that writes

Everything else that may be in it is derived and can be deleted.
"""

import contextlib
import difflib
import fcntl
import hashlib
import json
import logging
import os
import socket
import time
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentgym.errors import RecordError, RunFolderError
from agentgym.records.checkpoint import Checkpoint, Checkpoints, Content
from agentgym.records.files import replace
from agentgym.records.log import LOG, Sync, TrajectoryLog
from agentgym.records.metrics import METRICS, Metrics
from agentgym.records.versions import code_commit, versions_of
from agentgym.types import JSON

FACTS, CONFIG = "run.json", "config.toml"
CHECKPOINTS, TENSORBOARD, LOCK = "checkpoints", "tensorboard", "lock"

_logger = logging.getLogger("agentgym.records")


class RunFolder:
    """A run that this process writes; made by `create` or `open`, a context manager.

    Attributes:
        path: the folder. seed: the run's. config_toml: its configuration.
        log: the trajectory log.
        checkpoint: what `open` resumes from; None: from the start.
        messages: what the user should know (a torn log, a damaged checkpoint); also sent to the
            logger "agentgym.records" as warnings.
    """

    def __init__(
        self,
        path: Path,
        lock: int,
        facts: Mapping[str, Any],
        config_toml: str,
        *,
        keep: int,
        sync: Sync,
        tensorboard: bool,
    ) -> None:
        """Use `create` or `open` instead."""
        self.path, self.facts, self.config_toml = path, facts, config_toml
        self.seed = int(facts["seed"])
        self.messages: list[str] = []
        self.checkpoint: Checkpoint | None = None
        self._lock = lock
        self._checkpoints = Checkpoints(path / CHECKPOINTS, keep=keep)
        self._checkpoints.clean()
        self.log = TrajectoryLog(path / LOG, sync=sync)
        self._metrics = Metrics(path / METRICS, path / TENSORBOARD if tensorboard else None)

    @classmethod
    def create(
        cls,
        path: Path | str,
        config_toml: str,
        seed: int,
        *,
        envs: Iterable[str] = (),
        keep: int = 2,
        sync: Sync = "checkpoint",
        tensorboard: bool = True,
    ) -> Self:
        """Make a new run and write down how it was made.

        Args:
            path: its folder, which must be empty or not exist.
            config_toml: the resolved configuration.
            seed: the root of all randomness of the run.
            envs: names of the environments that it uses; their versions are recorded.
            keep: how many checkpoints to keep.
            sync: when the trajectory log is forced to the disk, see `TrajectoryLog`.
            tensorboard: write TensorBoard events too, where it is installed.

        Raises:
            RunFolderError: the folder is not empty, in use, or cannot be made.
            UnknownName: no such environment.
        """
        path = Path(path)
        facts = {
            "schema": 1,
            "seed": seed,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "versions": versions_of(envs),
            "commit": code_commit(),
            "config_sha256": _sha256(config_toml),
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = _locked(path)
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {path}: {error.strerror}") from error
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, lock)
            begun = {LOCK, CONFIG} if not (path / FACTS).exists() else {LOCK}
            left = {each.name for each in path.iterdir() if ".tmp-" not in each.name} - begun
            if left:
                raise RunFolderError(
                    f"the run folder {path} exists and is not empty ({', '.join(sorted(left)[:3])}"
                    f"{', ...' if len(left) > 3 else ''}); resume the run with --resume, "
                    "or choose another folder"
                )
            replace(path / CONFIG, config_toml.encode())
            replace(path / FACTS, json.dumps(facts, indent=1).encode())
            run = cls(path, lock, facts, config_toml, keep=keep, sync=sync, tensorboard=tensorboard)
            undo.pop_all()  # the lock is the run's now
            undo.callback(run.close)
            run._begin_session([])
            undo.pop_all()
        return run

    @classmethod
    def open(
        cls,
        path: Path | str,
        config_toml: str | None = None,
        *,
        force: bool = False,
        may_change: Collection[str] = (),
        envs: Iterable[str] = (),
        keep: int = 2,
        sync: Sync = "checkpoint",
        tensorboard: bool = True,
    ) -> Self:
        """Resume a run: back to its newest checkpoint that verifies, named by `checkpoint`.

        What was logged after that checkpoint is marked superseded.

        Args:
            path: its folder.
            config_toml: the configuration to go on with; None: the one that it has.
            force: go on although the configuration or a version has changed.
            may_change: dotted keys of the configuration that may change without force.
            envs, keep, sync, tensorboard: as for `create`.

        Raises:
            RunFolderError: no run, in use, or changed since without `force`; shows the difference.
            RecordError: there are checkpoints, but none verifies.
        """
        path = Path(path)
        if not (path / FACTS).is_file():
            raise RunFolderError(f"{path} is not a run: it has no {FACTS}")
        lock = _locked(path)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, lock)
            facts = json.loads((path / FACTS).read_bytes())
            recorded = (path / CONFIG).read_text("utf-8")
            wanted = recorded if config_toml is None else config_toml
            changes = _changed_versions(facts["versions"], versions_of(envs))
            changes += _changed_lines(recorded, wanted, may_change)
            if changes and not force:
                raise RunFolderError(
                    f"the run {path} cannot be resumed unchanged; with --force it goes on "
                    "although this has changed:\n" + "\n".join(changes)
                )
            run = cls(path, lock, facts, wanted, keep=keep, sync=sync, tensorboard=tensorboard)
            undo.pop_all()
            undo.callback(run.close)
            if wanted != recorded:
                changes = changes or _changed_lines(recorded, wanted, ())
                replace(path / CONFIG, wanted.encode())
            run._rewind()
            run._begin_session(changes)
            undo.pop_all()
        return run

    def metrics(self, step: int, /, **values: float) -> None:
        """Record numbers of one step; those that are not finite become null, with a note.

        Raises:
            RecordError: they cannot be written (the disk is full, say).
        """
        self._metrics.add(step, values)

    def save_checkpoint(self, step: int, files: Mapping[str, Content], state: JSON) -> Path:
        """Publish a checkpoint; returns its folder.

        Args:
            step: optimizer steps done.
            files: name -> bytes, or a function that writes the file or folder to a path.
            state: what else is needed to go on: counters, states of generators, cursors.

        Raises:
            RecordError: it cannot be written; earlier checkpoints are untouched.
        """
        self.log.sync()
        self._metrics.sync()
        return self._checkpoints.save(
            step,
            files,
            state,
            log_offset=self.log.offset,
            metrics_offset=self._metrics.offset,
            config_sha256=_sha256(self.config_toml),
        )

    def latest_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies, or None where none was made yet.

        Raises:
            RecordError: there are checkpoints, but none verifies.
        """
        found = self._checkpoints.latest()
        for reason in self._checkpoints.passed_over:
            assert found is not None
            self._tell(f"passed over a damaged checkpoint: {reason}; using step {found.step}")
        return found

    def close(self) -> None:
        """Write out everything and let go of the folder; closing twice is harmless."""
        if self._lock >= 0:
            with contextlib.ExitStack() as closing:  # all of it, even if some cannot be written
                closing.callback(os.close, self._lock)
                closing.callback(self._metrics.close)
                closing.callback(self.log.close)
                self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _rewind(self) -> None:
        """Go back to the newest checkpoint that verifies."""
        if self.log.torn:
            self._tell(f"cut {self.log.torn} bytes of a torn record off the end of {self.log.path}")
        for damage in self.log.corrupt:
            self._tell(f"{self.log.path}: {damage}; this record is skipped")
        self.checkpoint = self.latest_checkpoint()
        log_offset = self.checkpoint.log_offset if self.checkpoint else 0
        metrics_offset = self.checkpoint.metrics_offset if self.checkpoint else 0
        if log_offset > self.log.offset:
            self._tell(
                f"{self.log.path} ends at byte {self.log.offset}, but the checkpoint was made at "
                f"{log_offset}: episodes that it was trained on are lost from the log"
            )
        self.log.rewind(min(log_offset, self.log.offset))
        self._metrics.rewind(metrics_offset)

    def _begin_session(self, changes: list[str]) -> None:
        session: dict[str, JSON] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "commit": code_commit(),
            "step": self.checkpoint.step if self.checkpoint else 0,
            "changes": list(changes),
        }
        self.log.append_record("session", session)
        if session["commit"] != self.facts["commit"]:
            self._tell(f"the code is at {session['commit']}, it was at {self.facts['commit']}")

    def _tell(self, message: str) -> None:
        self.messages.append(message)
        _logger.warning(message)


def in_use(path: Path) -> bool:
    """Whether a process is writing this run."""
    try:
        handle = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _locked(path: Path) -> int:
    """Take the lock of a folder; it is freed when this process ends, however it ends."""
    handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)  # a reader may just be looking whether it is in use
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 200, 0).decode("utf-8", "replace") or "another process"
        os.close(handle)
        raise RunFolderError(f"the run folder {path} is in use by {holder}") from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return handle


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _changed_versions(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"version of {name}: {old[name]} -> {new[name]}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    ]


def _changed_lines(old: str, new: str, may_change: Collection[str]) -> list[str]:
    """Return the difference of two configurations, empty if only what may change has changed."""
    try:
        if _without(tomllib.loads(old), may_change) == _without(tomllib.loads(new), may_change):
            return []
    except tomllib.TOMLDecodeError as error:
        raise RecordError(f"{CONFIG} is not valid TOML: {error}") from error
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{CONFIG} of the run", "now", lineterm="", n=1
    )
    return list(lines)


def _without(tree: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    for key in keys:
        *parents, last = key.split(".")
        branch: Any = tree
        for parent in parents:
            branch = branch.get(parent, {}) if isinstance(branch, dict) else {}
        if isinstance(branch, dict):
            branch.pop(last, None)
    return tree
