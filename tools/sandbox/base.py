"""What a sandbox is: where programs of an agent run, and what holds them.

A command that fails is a result and never an exception. What is raised is a `SandboxError`: the
platform's failures are also an `EpisodeFailure`, the others are about what was asked for. There is
no shell unless the command is one, and nothing of the host's environment is passed on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agentgym.errors import BadCommand, ConfigError, PathEscape

MAX_OUTPUT: Final = 1 << 20
"""Bytes that are kept of each stream of a command, by default; half from the start."""

MAX_FILE: Final = 16 << 20
"""Bytes of a file that is read, by default."""

MAX_STDIN: Final = 32 << 20
MAX_COMMAND: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the programs in one sandbox may use together.

    Attributes:
        memory_mb: memory, beside what the files in the work and scratch folders take.
        disk_mb: files in the work folder. tmp_mb: files in /tmp. file_mb: one file.
        pids: processes and threads. cpus: cores. open_files: of one process.
    """

    memory_mb: int = 512
    disk_mb: int = 256
    tmp_mb: int = 64
    file_mb: int = 256
    pids: int = 128
    cpus: float = 1.0
    open_files: int = 1024

    def __post_init__(self) -> None:
        for name in ("memory_mb", "disk_mb", "tmp_mb", "file_mb", "pids", "open_files", "cpus"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f"the limit {name} must be above 0, got {value!r}")
        for name, least in (("pids", 8), ("open_files", 32)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"the limit {name} must be at least {least}, got {getattr(self, name)}"
                )

    @property
    def total_mb(self) -> int:
        """Memory of everything: files in memory count as memory to the kernel."""
        return self.memory_mb + self.disk_mb + self.tmp_mb


@dataclass(frozen=True, slots=True)
class Caps:
    """What one sandbox really enforces, found out when it started.

    Attributes:
        backend: "bwrap", "docker", ... kernel: programs have a kernel of their own.
        files: nothing of the host's files but system folders, and those read-only.
        network: none. own_uid: a user on the host who owns nothing there.
        syscalls: a filter of system calls is on, there are no capabilities and no new privileges.
        pids, memory, cpu: held for all programs together. disk, inodes: of the folders that can be
            written. tree_kill: nothing outlives the command that started it.
        dies_with_runner: when this process ends in whatever way, so does the sandbox.
        by: how the limits are held, in words.
    """

    backend: str
    kernel: bool
    files: bool
    network: bool
    own_uid: bool
    syscalls: bool
    pids: bool
    memory: bool
    cpu: bool
    disk: bool
    inodes: bool
    tree_kill: bool
    dies_with_runner: bool
    by: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command did.

    Attributes:
        exit_code: None when a signal ended it. 127: no such program, 126: it cannot be run.
        signal: the number of that signal.
        stdout, stderr: beginning and end, with a line between that counts what was left out.
        stdout_left_out, stderr_left_out: bytes that are not in them.
        timed_out: it was ended for time. oom_killed: something was killed for memory.
        stragglers: processes that were still there when it ended, and were killed.
        seconds: of wall time.
    """

    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    stdout_left_out: int
    stderr_left_out: int
    timed_out: bool
    oom_killed: bool
    stragglers: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out

    @property
    def truncated(self) -> bool:
        """Whether output was left out."""
        return bool(self.stdout_left_out or self.stderr_left_out)


class Sandbox(Protocol):
    """Programs run in it one after the other, with files that stay from one to the next.

    Attributes:
        id: unique among those of this machine. caps: what it enforces. limits: how much of it.
        workdir: where commands start and files are; absolute, inside.
    """

    id: str
    caps: Caps
    limits: Limits
    workdir: str

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
        """Run a command. When it ends, whatever it started ends too.

        Args:
            argv: the program and its arguments; no shell reads them.
            stdin: its input. cwd: a folder under `workdir`, by default that.
            env: variables beside PATH, HOME, LANG and TMPDIR.
            timeout_s: seconds until it is killed. max_output: bytes kept of each stream.

        Raises:
            BadCommand: no sandbox could run that. NoSuchFile, PathEscape: there is no such `cwd`.
            SandboxDied: the sandbox ended.
        """

    def read_file(self, path: str, *, max_bytes: int = MAX_FILE) -> bytes:
        """Return a plain file, following no links.

        Args:
            path: under `workdir`, or relative to it. max_bytes: more is refused.

        Raises:
            NoSuchFile, NotRegularFile, PathEscape, SandboxPermission, OutputLimit: as they say.
            SandboxDied: the sandbox ended.
        """

    def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Make or replace a plain file, and the folders to it.

        Raises:
            NotRegularFile, PathEscape, SandboxPermission, OutputLimit: as they say.
            SandboxDied: the sandbox ended.
        """

    def close(self) -> None:
        """End everything in it and remove what it left. Again: nothing. Never raises."""


def parts_of(path: str, workdir: str) -> list[str]:
    """Return the steps from the work folder to a path; none for the folder itself.

    >>> parts_of("/work/a//b/.", "/work"), parts_of("", "/work")
    (['a', 'b'], [])

    Raises:
        PathEscape: it leads out. BadCommand: it cannot be a path.
    """
    as_bytes(path, "a path")
    if path.startswith("/"):
        if path != workdir and not path.startswith(workdir.rstrip("/") + "/"):
            raise PathEscape(f"{path[:200]!r} is outside of {workdir}")
        path = path[len(workdir) :]
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise PathEscape(f"{path[:200]!r} leads out by '..'")
    if len(path) > 4000 or any(len(as_bytes(part, "a path")) > 255 for part in parts):
        raise BadCommand(f"a path of {len(path)} characters is too long")
    return parts


def as_bytes(text: str, what: str) -> bytes:
    """Return text as the system takes it.

    Raises:
        BadCommand: it has a NUL, or a surrogate that stands for no byte.
    """
    if not isinstance(text, str):
        raise BadCommand(f"{what} must be text, got {type(text).__name__}")
    if "\0" in text:
        raise BadCommand(f"{what} has a NUL character")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadCommand(f"{what} has a lone surrogate at {error.start}") from None


def check_hidden(hidden: Sequence[str]) -> tuple[str, ...]:
    """Return the paths that are to be hidden, each once; a folder ends in a slash.

    >>> check_hidden(["/usr/lib/a.py", "/srv/b.git/", "/usr/lib/a.py"])
    ('/usr/lib/a.py', '/srv/b.git/')

    Raises:
        ConfigError: one is no path of a file or folder from the top.
    """
    for path in hidden:
        parts = path.strip("/").split("/")
        if not path.startswith("/") or "\0" in path or {"", ".", ".."} & {*parts}:
            raise ConfigError(f"what is hidden needs a plain path from the top, got {path!r:.200}")
    return tuple(dict.fromkeys(hidden))
