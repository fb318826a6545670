"""The embedded sandbox: bubblewrap, with control groups where this process may make them.

Nothing has to be running, and nothing is left behind: the files of the sandbox are in memory, and
all of it ends with this process, however that ends.

Programs see the host's `/usr` read-only, a work folder, `/tmp`, and neither a network nor other
processes. As root, each sandbox is a user of its own on the host, who owns nothing there.
"""

import contextlib
import itertools
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agentgym.errors import ConfigError, SandboxUnavailable
from agentgym.tools.sandbox._cgroup import Cgroup, remove_stale
from agentgym.tools.sandbox._host import Uid, counts_by_namespace, spawner
from agentgym.tools.sandbox._supervised import BOOTSTRAP, Supervised, held
from agentgym.tools.sandbox._wire import Wire
from agentgym.tools.sandbox.base import Caps, Limits, check_hidden

INSTALL: Final = "install it: apt-get install bubblewrap, or dnf install bubblewrap"
START_S: Final = 20.0
_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/opt/python/bin"
_ETC: Final = {
    "passwd": "root:x:0:0::/:/bin/sh\nagent:x:1000:1000::/work:/bin/sh\n",
    "group": "root:x:0:\nagent:x:1000:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
_counter = itertools.count(1)


class Bwrap(Supervised):
    """A sandbox by bubblewrap. Its files are in memory and go with it.

    `caps.inodes` is not promised: files without end take memory until one is killed for it.

    Raises:
        ConfigError: bubblewrap is not installed, or may not make namespaces here.
        SandboxUnavailable: it did not start, though it could.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        workdir: str = "/work",
        hidden: Sequence[str] = (),
    ) -> None:
        """Start it. The arguments are those of `open_sandbox`."""
        problem = missing()
        if problem:
            raise ConfigError(problem)
        super().__init__(f"bwrap-{os.getpid()}-{next(_counter)}", limits or Limits(), workdir)
        self._hidden = check_hidden(hidden)
        _sweep_once()
        self._group = Cgroup.make(self.limits)
        self._uid = Uid() if os.geteuid() == 0 else None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the sandbox
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = self._spawn(theirs)
            except BaseException:
                ours.close()
                self._release()
                raise
        # What is still open when this object is forgotten, or the interpreter ends.
        self._finalizer = weakref.finalize(
            self, _kill, self._process, self._group, self._uid, os.getpid()
        )
        rlimits = {} if self._group else {"AS": self.limits.total_mb << 20}
        counted = self._uid is not None or counts_by_namespace()
        if counted:
            rlimits["NPROC"] = self.limits.pids
        facts = self._begin(Wire(ours), {"PATH": _PATH}, rlimits, 0.0, START_S)
        _note_that_it_works()
        group = self._group
        self.caps = Caps(
            "bwrap",
            kernel=False,
            files=True,
            own_uid=self._uid is not None,
            pids=group is not None or counted,
            memory=group is not None and facts["counts_oom"],
            cpu=group is not None,
            disk=True,
            inodes=False,
            tree_kill=True,
            dies_with_runner=True,
            **held(facts),
            by=f"cgroup v{group.version}" if group else "limits per process",
        )

    def _spawn(self, channel: socket.socket) -> "subprocess.Popen[bytes]":
        """Start it and put its first process into the groups."""
        told, tell = os.pipe()
        wait, go = os.pipe()
        data = {name: _memory_file(text) for name, text in _ETC.items()}
        try:
            command = self._command(tell, wait, data)
            # The thread that starts it must live as long as this process: see `spawner`.
            passed = (tell, wait, *data.values())
            process = spawner().submit(self._popen, command, channel, passed).result()
            os.close(tell)
            tell = -1
            try:
                about = json.loads(_read_all(told))
                if self._group:
                    self._group.add(int(about["child-pid"]))
            except BaseException:
                process.kill()
                process.wait()
                raise
            os.write(go, b"go")
            return process
        except (OSError, ValueError, KeyError) as error:
            said = self._why() or str(error)
            if _worked:
                raise SandboxUnavailable(f"the sandbox did not start: {said}") from None
            raise ConfigError(f"bubblewrap cannot start a sandbox here: {said}") from None
        finally:
            for end in (told, wait, go, tell, *data.values()):
                if end >= 0:
                    os.close(end)

    def _popen(
        self, command: list[str], channel: socket.socket, passed: tuple[int, ...]
    ) -> "subprocess.Popen[bytes]":
        number = self._uid.number if self._uid else None
        return subprocess.Popen(
            command,
            stdin=channel.fileno(),
            stdout=channel.fileno(),
            stderr=self._stderr,
            pass_fds=passed,
            env={"PATH": _PATH},
            cwd="/",
            user=number,
            group=number,
            extra_groups=None if number is None else [],
        )

    def _command(self, tell: int, wait: int, data: Mapping[str, int]) -> list[str]:
        python, binds = _python()
        size = self.limits
        words = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user"]
        words += [
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
            "--as-pid-1",
            "--cap-drop",
            "ALL",
            "--clearenv",
        ]
        words += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
        words += ["--info-fd", str(tell), "--block-fd", str(wait), *_system(), *binds]
        for name, number in data.items():
            words += ["--ro-bind-data", str(number), f"/etc/{name}"]
        if self._group:
            inside = "memory/memory.oom_control" if self._group.version == 1 else "memory.events"
            words += ["--ro-bind", str(self._group.oom_counter), f"/sys/fs/cgroup/{inside}"]
        for path in self._hidden:
            covered = ["--tmpfs"] if path.endswith("/") else ["--ro-bind", "/dev/null"]
            words += [*covered, path]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for path, mb in (("/dev/shm", size.tmp_mb), ("/tmp", size.tmp_mb)):
            words += ["--perms", "1777", "--size", str(mb << 20), "--tmpfs", path]
        words += ["--perms", "0755", "--size", str(size.disk_mb << 20), "--tmpfs", self.workdir]
        for path in (path for path in self._hidden if path.endswith("/")):
            words += ["--remount-ro", path]
        words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", self.workdir]
        return [*words, "--", python, "-I", "-S", "-c", BOOTSTRAP]

    def _end(self) -> None:
        self._finalizer()
        self._stderr.close()

    def _release(self) -> None:
        if self._group:
            self._group.remove()
        if self._uid:
            self._uid.close()

    def _why(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired, AttributeError):
            self._process.wait(1)
        self._stderr.seek(0)
        lines = self._stderr.read(4000).decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _mark(self) -> float:
        return self._group.oom_kills() if self._group else 0

    def _out_of_memory(self, mark: float) -> bool:
        return self._mark() > mark


def missing() -> str:
    """Return why bubblewrap cannot be used here and what to do, or nothing."""
    if sys.platform != "linux":
        return f"the sandbox bwrap needs Linux, this is {sys.platform}"
    if not shutil.which("bwrap"):
        return f"the sandbox bwrap needs bubblewrap, and there is no program bwrap; {INSTALL}"
    return ""


def _kill(
    process: "subprocess.Popen[bytes]", group: Cgroup | None, uid: Uid | None, owner: int
) -> None:
    """End a sandbox: its first process dies with bwrap, and everything else with that one."""
    if os.getpid() != owner:  # forked, with a copy of an object that is not its own
        return
    process.kill()
    process.wait()
    if group:
        group.remove()
    if uid:
        uid.close()


_lock = threading.Lock()
_swept = False
_worked = False  # what never worked is a matter of the machine, and what did is a failure


def _sweep_once() -> None:
    """Remove, once in a process, the groups of processes that were killed."""
    global _swept
    with _lock:
        if not _swept:
            remove_stale()
            _swept = True


def _note_that_it_works() -> None:
    global _worked
    _worked = True


def _system() -> list[str]:
    """Return the binds for the host's system folders."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(name), name]
        elif path.is_dir():
            words += ["--ro-bind", name, name]
    for name in ("/etc/alternatives", "/etc/ld.so.cache"):
        words += ["--ro-bind-try", name, name]
    return words


def _python() -> tuple[str, list[str]]:
    """Return the Python that the supervisor runs on, as seen inside, and the binds it needs."""
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.path.exists(path):
            return path, []
    prefix = os.path.realpath(sys.base_prefix)
    return f"/opt/python/bin/python{sys.version_info[0]}.{sys.version_info[1]}", [
        "--ro-bind",
        prefix,
        "/opt/python",
    ]


def _memory_file(text: str) -> int:
    """Return an open file with a text, to read from its beginning."""
    number = os.memfd_create("agentgym")
    os.write(number, text.encode())
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _read_all(pipe: int) -> bytes:
    """Return what bwrap tells about the process it made: one JSON object."""
    data = b""
    while not data.rstrip().endswith(b"}"):
        if not select.select([pipe], [], [], START_S)[0]:
            break
        got = os.read(pipe, 4096)
        if not got:
            break
        data += got
    return data
