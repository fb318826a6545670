"""The host's side of a supervised sandbox: frames over a socket, one answer per request.

Whatever a sandbox sends is data of limited size. An answer that does not come in time, or is none,
is the end of that sandbox: the platform's failure, never a command's.
"""

import contextlib
import socket
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agentgym import errors
from agentgym.errors import (
    BadCommand,
    NotRegularFile,
    SandboxDied,
    SandboxError,
    SandboxUnavailable,
)
from agentgym.tools.sandbox._seccomp import deny_filter
from agentgym.tools.sandbox._wire import Wire
from agentgym.tools.sandbox.base import (
    MAX_COMMAND,
    MAX_FILE,
    MAX_OUTPUT,
    MAX_STDIN,
    ExecResult,
    Limits,
    Sandbox,
    as_bytes,
    parts_of,
)

_SOURCE: Final = Path(__file__).with_name("_supervisor.py").read_bytes()
BOOTSTRAP: Final = f"""import os
text = b""
while len(text) < {len(_SOURCE)}:
    text += os.read(0, {len(_SOURCE)} - len(text)) or os._exit(1)
exec(compile(text, "supervisor", "exec"))
"""
"""What the Python in a sandbox is started with: it reads the supervisor from its input."""

GUARD_S: Final = 10.0
"""Seconds beyond a command's own limit after which the sandbox counts as dead."""

_REFUSALS: Final = [
    "SandboxUnavailable",
    "BadCommand",
    "PathEscape",
    "NoSuchFile",
    "NotRegularFile",
    "SandboxPermission",
    "OutputLimit",
]


class Supervised(Sandbox):
    """A sandbox with a supervisor in it. Backends start one, and know how to end it."""

    def __init__(self, name: str, limits: Limits, workdir: str) -> None:
        self.id, self.limits, self.workdir = name, limits, workdir
        self._lock = threading.RLock()
        self._wire: Wire | None = None
        self._ended = ""

    @abstractmethod
    def _end(self) -> None:
        """End everything and remove it. Called once; may raise OSError."""

    @abstractmethod
    def _why(self) -> str:
        """Return what is known of why it does not answer."""

    @abstractmethod
    def _mark(self) -> float:
        """Return what `_out_of_memory` compares with later. Called before every request."""

    @abstractmethod
    def _out_of_memory(self, mark: float) -> bool:
        """Return whether something was killed for memory since a mark."""

    def _begin(
        self,
        wire: Wire,
        env: Mapping[str, str],
        rlimits: Mapping[str, int],
        ttl_s: float,
        wait: float,
    ) -> dict[str, Any]:
        """Send the settings; return what the supervisor found.

        Raises:
            SandboxUnavailable: it does not answer.
        """
        self._wire = wire
        settings = {
            "workdir": self.workdir,
            "env": {"HOME": self.workdir, "LANG": "C.UTF-8", "TMPDIR": "/tmp", **env},
            "rlimits": {
                "CORE": 0,
                "FSIZE": self.limits.file_mb << 20,
                "NOFILE": self.limits.open_files,
                **rlimits,
            },
            "seccomp": deny_filter().hex(),
            "ttl_s": ttl_s,
        }
        until = time.monotonic() + wait
        try:
            wire.stream.settimeout(wait)
            wire.stream.sendall(_SOURCE)
            wire.send(settings, b"", until)
            facts, _ = wire.receive(0, until)
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = self._why() or f"{type(error).__name__}: {error}"
            self.close()
            raise SandboxUnavailable(f"the sandbox did not start: {why}") from None
        if "error" in facts:
            self.close()
            raise SandboxUnavailable(f"the sandbox did not start: {facts['message']}")
        return facts

    def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        max_output: int = MAX_OUTPUT,
    ) -> ExecResult:
        """See `Sandbox.exec`."""
        words, variables = _command(argv), _variables(env or {})
        if len(stdin) > MAX_STDIN:
            raise BadCommand(f"an input of {len(stdin)} bytes; at most {MAX_STDIN}")
        if not timeout_s > 0 or max_output < 1:
            raise BadCommand(
                f"timeout_s={timeout_s!r} and max_output={max_output!r} must be above 0"
            )
        request = {
            "do": "exec",
            "argv": words,
            "cwd": parts_of(cwd, self.workdir),
            "env": variables,
            "timeout_s": timeout_s,
            "max_output": max_output,
        }
        header, data = self._ask(request, stdin, 2 * (max_output + 100), timeout_s + GUARD_S)
        return ExecResult(
            exit_code=header["exit_code"],
            signal=header["signal"],
            stdout=data[: header["stdout"]],
            stderr=data[header["stdout"] :],
            stdout_left_out=header["stdout_left_out"],
            stderr_left_out=header["stderr_left_out"],
            timed_out=header["timed_out"],
            oom_killed=header["oom_killed"],
            stragglers=header["stragglers"],
            seconds=header["seconds"],
        )

    def read_file(self, path: str, *, max_bytes: int = MAX_FILE) -> bytes:
        """See `Sandbox.read_file`."""
        request = {"do": "read", "path": self._file(path), "max_bytes": max_bytes}
        return self._ask(request, b"", max_bytes, 60.0)[1]

    def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """See `Sandbox.write_file`."""
        request = {"do": "write", "path": self._file(path), "executable": executable}
        self._ask(request, data, 0, 60.0)

    def close(self) -> None:
        """See `Sandbox.close`. A request that is waited for elsewhere ends now."""
        if not self._lock.acquire(blocking=False):
            if self._wire is not None:
                with contextlib.suppress(OSError):
                    self._wire.stream.shutdown(socket.SHUT_RDWR)
            self._lock.acquire()
        try:
            self._finish("it was closed")
        finally:
            self._lock.release()

    def _file(self, path: str) -> list[str]:
        parts = parts_of(path, self.workdir)
        if not parts:
            raise NotRegularFile(f"{path!r} is the work folder itself")
        return parts

    def _ask(
        self, request: Mapping[str, object], data: bytes, limit: int, wait: float
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and return its answer."""
        with self._lock:
            if self._wire is None or self._ended:
                raise SandboxDied(f"the sandbox {self.id} cannot be used: {self._ended}")
            mark, until = self._mark(), time.monotonic() + wait
            try:
                self._wire.send(request, data, until)
                header, answer = self._wire.receive(limit, until)
            except (OSError, ValueError, KeyError, TypeError) as error:
                said = (
                    f"no answer within {wait:g} s"
                    if isinstance(error, TimeoutError)
                    else f"{error}"
                )
                killed = self._out_of_memory(mark)
                why = "it ran out of memory" if killed else self._why() or said
                self._finish(why)
                raise SandboxDied(f"the sandbox {self.id} ended: {why}", killed) from None
            except BaseException:  # interrupted between request and answer: they no longer match
                self._finish("a request was interrupted")
                raise
        if "error" in header:
            kind = header["error"] if header["error"] in _REFUSALS else "SandboxError"
            refused: type[SandboxError] = getattr(errors, kind)
            raise refused(f"{header['message']:.500}")
        return header, answer

    def _finish(self, why: str) -> None:
        if self._ended:
            return
        self._ended = why
        if self._wire is not None:
            with contextlib.suppress(OSError):
                self._wire.stream.close()
        with contextlib.suppress(Exception):  # nobody is left to whom it would matter
            self._end()


def held(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caps that a supervisor's findings decide: network and system calls.

    Without the filter there may be sockets that no network namespace holds.
    """
    filtered = bool(facts["seccomp"])
    return {
        "network": filtered and set(facts["devices"]) <= {"lo"},
        "syscalls": filtered and not facts["capabilities"] and not facts["new_privileges"],
    }


def _command(argv: Sequence[str]) -> list[str]:
    if isinstance(argv, str) or not argv or not argv[0]:
        raise BadCommand(f"a command is a list of words, the program first, got {argv!r:.80}")
    size = sum(len(as_bytes(word, "a word of the command")) + 1 for word in argv)
    if size > MAX_COMMAND:
        raise BadCommand(f"a command of {size} bytes; at most {MAX_COMMAND}")
    return list(argv)


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    for name, value in env.items():
        as_bytes(value, f"the variable {name!r:.80}")
        if not as_bytes(name, "the name of a variable") or "=" in name:
            raise BadCommand(f"{name!r:.80} cannot be the name of a variable")
    return dict(env)
