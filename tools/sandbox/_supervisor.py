"""Runs inside a sandbox as its first process, and does what comes through a pipe.

Being process 1 of its own process namespace, it cannot be killed from inside, inherits every
orphan, and `kill(-1)` reaches everything but itself. It runs on the Python of the sandbox, which
may be old: only the standard library, and nothing newer than Python 3.8. It is one file, because it
is sent there as one text.

A frame is the length of a JSON object (4 bytes, big-endian), the object, and `size` bytes of data.
The first frame has the settings; each further one is a request and is answered by one frame.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module takes time to import
    from typing import Any

CHUNK = 1 << 16
OOM_COUNTERS = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")
SET_DUMPABLE, SET_SECCOMP, SET_NO_NEW_PRIVS = 4, 22, 38
IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python, and not by what it starts

libc = ctypes.CDLL(None, use_errno=True)


class Refusal(Exception):
    """A request that cannot be done: the name of an error of the host's side, and a message."""


class Channel:
    """Frames from and to the host; without a host there is nothing to live for."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.until: float | None = None  # when to end, monotonic seconds

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        data = bytearray()
        while len(data) < size:
            self.wait()
            got = os.read(self.source, min(size - len(data), 1 << 20))
            if not got:
                os._exit(0)
            data += got
        return bytes(data)

    def wait(self) -> None:
        """Wait for the host, but not for ever."""
        if self.until is not None:
            left = self.until - time.monotonic()
            if left <= 0 or not select.select([self.source], [], [], left)[0]:
                os._exit(0)

    def request(self) -> dict[str, Any]:
        """Return the next request."""
        size: int = struct.unpack(">I", self.read(4))[0]
        found: dict[str, Any] = json.loads(self.read(size).decode("ascii"))
        return found

    def answer(self, header: dict[str, Any], *data: bytes) -> None:
        """Send an answer. `data` is bytes; the header may announce more that is sent later."""
        header.setdefault("size", sum(map(len, data)))
        text = json.dumps(header).encode("ascii")
        self.send(b"".join((struct.pack(">I", len(text)), text, *data)))

    def send(self, data: bytes) -> None:
        """Write everything."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.sink, view) :]


class Kept:
    """Beginning and end of a stream of any length."""

    def __init__(self, limit: int) -> None:
        self.room, self.end = limit // 2, limit - limit // 2
        self.head, self.tail, self.total = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        """Take in what came next."""
        self.total += len(data)
        taken = max(0, self.room - len(self.head))
        self.head += data[:taken]
        self.tail += data[taken:]
        if len(self.tail) > 2 * self.end + CHUNK:
            del self.tail[: -self.end]

    def result(self) -> tuple[bytes, int]:
        """Return what is kept, and how many bytes are not in it."""
        tail = self.tail[-self.end :]
        left_out = self.total - len(self.head) - len(tail)
        note = f"\n[... {left_out} bytes were left out ...]\n".encode() if left_out else b""
        return bytes(self.head) + note + bytes(tail), left_out


def main() -> None:
    """Answer requests until the host is gone."""
    channel = Channel(os.dup(0), os.dup(1))
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    settings = channel.request()
    if settings["ttl_s"]:
        channel.until = time.monotonic() + settings["ttl_s"]
    try:
        facts = confine(settings)
    except (OSError, ValueError) as error:
        channel.answer({"error": "SandboxUnavailable", "message": str(error)})
        return
    channel.answer(facts)
    runner = Runner(channel, settings)
    do = {"exec": runner.run, "read": runner.read_file, "write": runner.write_file}
    while True:
        request = channel.request()
        try:
            do[request["do"]](request)
        except Refusal as refusal:
            channel.answer({"error": refusal.args[0], "message": refusal.args[1]})


def confine(settings: dict[str, Any]) -> dict[str, Any]:
    """Give up what can be given up; return what holds now."""
    if os.getpid() != 1:
        raise OSError(f"the supervisor must be process 1, it is {os.getpid()}")
    os.chdir(settings["workdir"])
    for name, value in settings["rlimits"].items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
    prctl(SET_NO_NEW_PRIVS, 1)
    code = bytes.fromhex(settings["seccomp"])
    if code:
        rules = ctypes.create_string_buffer(code)
        program = struct.pack("HP", len(code) // 8, ctypes.addressof(rules))
        prctl(SET_SECCOMP, 2, ctypes.create_string_buffer(program))
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open("/proc/net/dev") as file:
        devices = [line.split(":")[0].strip() for line in file if ":" in line]
    settings["oom"] = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    prctl(SET_DUMPABLE, 0)  # its memory and its pipes are not for the programs beside it
    # Process 1 gets from inside only the signals that it handles.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return {
        "seccomp": status.get("Seccomp") == "2",
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        "new_privileges": status.get("NoNewPrivs") != "1",
        "devices": devices,
        "uid": os.getuid(),
        "python": sys.version.split()[0],
        "counts_oom": oom_kills() is not None,
    }


class Runner:
    """Does the requests."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self.channel = channel
        self.env = dict(os.environ, **settings["env"])
        self.workdir = settings["workdir"]
        self.oom = settings["oom"]
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)

    def run(self, request: dict[str, Any]) -> None:
        """Run a command, end what it left, tell what came of it."""
        stdin = self.channel.read(request["size"])
        start, ooms = time.monotonic(), oom_kills()
        cwd = os.path.join(encoded(self.workdir), *map(encoded, request["cwd"]))
        env = {encoded(k): encoded(v) for k, v in dict(self.env, **request["env"]).items()}
        argv = [encoded(word) for word in request["argv"]]
        kept = (Kept(request["max_output"]), Kept(request["max_output"]))
        try:
            os.chdir(cwd)
        except OSError as error:
            said = f"no folder {'/'.join(request['cwd'])!r}: {error.strerror}"
            raise Refusal("NoSuchFile", said) from None
        try:
            pid, pipes = self.start(argv, env, bool(stdin))
        except OSError as error:
            if error.errno in (errno.E2BIG, errno.EAGAIN, errno.ENOMEM):
                raise Refusal("BadCommand", f"it cannot be started: {error.strerror}") from None
            kept[1].add(argv[0] + f": {error.strerror}\n".encode())
            status = (127 if error.errno == errno.ENOENT else 126) << 8
            stragglers, timed_out = 0, False
        else:
            until = min(start + request["timeout_s"], self.channel.until or float("inf"))
            status, stragglers, timed_out = self.attend(pid, pipes, stdin, kept, until)
        (out, out_left), (err, err_left) = kept[0].result(), kept[1].result()
        signalled = os.WIFSIGNALED(status)
        header = {
            "exit_code": None if signalled else os.WEXITSTATUS(status),
            "signal": os.WTERMSIG(status) if signalled else None,
            "stdout": len(out),
            "stdout_left_out": out_left,
            "stderr_left_out": err_left,
            "timed_out": timed_out,
            "oom_killed": (oom_kills() or 0) > (ooms or 0),
            "stragglers": stragglers,
            "seconds": time.monotonic() - start,
        }
        self.channel.answer(header, out, err)

    def start(
        self, argv: list[bytes], env: dict[bytes, bytes], has_stdin: bool
    ) -> tuple[int, list[int]]:
        """Start a program; return its id, and our ends of its pipes. Raises OSError."""
        source, feed = os.pipe() if has_stdin else (os.open("/dev/null", os.O_RDONLY), -1)
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        ours, theirs = [out, err, feed] if has_stdin else [out, err], (source, out_end, err_end)
        moves = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(theirs)]
        # When memory runs out, the supervisor is not the one to go.
        os.write(self.oom, b"1000")
        try:
            program = found(argv[0], env.get(b"PATH", b""))
            pid = os.posix_spawn(program, argv, env, file_actions=moves, setsigdef=IGNORED)
        except OSError:
            for end in ours:
                os.close(end)
            raise
        finally:
            os.write(self.oom, b"0")
            for end in theirs:
                os.close(end)
        return pid, ours

    def attend(
        self, pid: int, pipes: list[int], stdin: bytes, kept: tuple[Kept, Kept], until: float
    ) -> tuple[int, int, bool]:
        """Feed and drain a program until it ends or its time is up, then end the rest."""
        sinks = dict(zip(pipes, kept))  # noqa: B905 - old Pythons have no strict
        feed = pipes[2] if len(pipes) > 2 else -1
        poll = select.poll()
        for pipe in pipes:
            os.set_blocking(pipe, False)
            poll.register(pipe, select.POLLOUT if pipe == feed else select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        poll.register(self.channel.source, select.POLLIN)
        view, stragglers, timed_out = memoryview(stdin), 0, False
        status: int | None = None
        while sinks or status is None:
            left = until - time.monotonic()
            if status is None and left <= 0:
                timed_out = True
                status, stragglers = end_all(pid)
            # Once everybody is dead, what is still in the pipes is there at once.
            events = poll.poll(1000 * max(0, min(left, 60)) if status is None else 1000)
            if status is not None and not events:
                break
            for number, _ in events:
                if number == self.channel.source:
                    os._exit(0)  # the host has nothing to say now: it is gone
                elif number == self.woken:
                    os.read(self.woken, 4096)
                elif number == feed:
                    view = push(feed, view)
                    if not view:
                        close(poll, feed)
                        feed = -1
                elif drain(number, sinks[number]):
                    close(poll, number)
                    del sinks[number]
            if status is None:
                status = reap(pid)
                if status is not None:
                    stragglers = end_all(pid)[1]
        for pipe in [*sinks, feed] if feed >= 0 else sinks:
            close(poll, pipe)
        return status, stragglers, timed_out

    def read_file(self, request: dict[str, Any]) -> None:
        """Send a plain file."""
        folder, name = self.walk(request["path"], False)
        try:
            how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
            file = opened(name, how, folder)
        finally:
            os.close(folder)
        try:
            left = os.fstat(file).st_size
            if left > request["max_bytes"]:
                said = f"{left} bytes, at most {request['max_bytes']} were asked for"
                raise Refusal("OutputLimit", said)
            self.channel.answer({"size": left})
            while left:
                data = os.read(file, min(left, 1 << 20)) or bytes(left)
                self.channel.send(data)
                left -= len(data)
        finally:
            os.close(file)

    def write_file(self, request: dict[str, Any]) -> None:
        """Take in a plain file."""
        left, file = request["size"], -1
        try:
            folder, name = self.walk(request["path"], True)
            try:
                how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
                file = opened(name, how, folder)
            finally:
                os.close(folder)
            os.ftruncate(file, 0)
            os.fchmod(file, 0o755 if request["executable"] else 0o644)
            while left:
                data = self.channel.read(min(left, 1 << 20))
                left -= len(data)
                while data:
                    data = data[os.write(file, data) :]
        except OSError as error:
            raise refusal(error) from None
        finally:
            if file >= 0:
                os.close(file)
            while left:
                left -= len(self.channel.read(min(left, 1 << 20)))
        self.channel.answer({})

    def walk(self, path: list[str], make: bool) -> tuple[int, bytes]:
        """Return the open folder that a path is in, and the name there; follows no link."""
        parts = [encoded(part) for part in path]
        place = os.open(self.workdir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=place)
                if stat.S_ISLNK(os.stat(part, dir_fd=place, follow_symlinks=False).st_mode):
                    raise Refusal("PathEscape", f"{shown(part)} is a link")
                inside = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
                os.close(place)
                place = inside
        except OSError as error:
            os.close(place)
            raise refusal(error) from None
        except Refusal:
            os.close(place)
            raise
        return place, parts[-1]


def found(name: bytes, path: bytes) -> bytes:
    """Return where a program is. Raises OSError."""
    if b"/" in name:
        return name
    for folder in path.split(b":"):
        place = os.path.join(folder, name)
        if os.path.isfile(place) and os.access(place, os.X_OK):
            return place
    raise FileNotFoundError(errno.ENOENT, "no such program")


def end_all(main: int) -> tuple[int, int]:
    """Kill all other processes; return the status of the main one, and the number of the others."""
    status, others = 0, 0
    while True:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        try:
            pid, ended = os.waitpid(-1, 0)
        except ChildProcessError:
            return status, others
        if pid == main:
            status = ended
        else:
            others += 1


def reap(main: int) -> int | None:
    """Bury who is dead; return the status of the main process if it is."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == main:
            status = ended


def push(pipe: int, view: memoryview) -> memoryview:
    """Write what a pipe takes; return the rest, nothing if nobody reads."""
    try:
        return view[os.write(pipe, view[:CHUNK]) :]
    except BlockingIOError:
        return view
    except OSError:
        return view[:0]


def drain(pipe: int, kept: Kept) -> bool:
    """Read from a pipe once; return whether it has ended."""
    try:
        data = os.read(pipe, CHUNK)
    except BlockingIOError:
        return False
    kept.add(data)
    return not data


def close(poll: select.poll, pipe: int) -> None:
    """Close a pipe."""
    poll.unregister(pipe)
    os.close(pipe)


def opened(name: bytes, how: int, folder: int) -> int:
    """Open a plain file and nothing else."""
    try:
        file = os.open(name, how, 0o644, dir_fd=folder)
    except OSError as error:
        raise refusal(error) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Refusal("NotRegularFile", f"{shown(name)} is no plain file")
    return file


def refusal(error: OSError) -> Refusal:
    """Return what a failed call is called on the host's side."""
    names = {
        errno.ENOENT: "NoSuchFile",
        errno.EACCES: "SandboxPermission",
        errno.EPERM: "SandboxPermission",
        errno.EROFS: "SandboxPermission",
        errno.ENOSPC: "OutputLimit",
        errno.EDQUOT: "OutputLimit",
        errno.EFBIG: "OutputLimit",
    }
    return Refusal(names.get(error.errno or 0, "NotRegularFile"), error.strerror or str(error))


def encoded(text: str) -> bytes:
    """Return text as bytes, as the host had it."""
    return text.encode("utf-8", "surrogateescape")


def shown(name: bytes) -> str:
    """Return the name of a file for a message."""
    return repr(name.decode("utf-8", "replace"))


def oom_kills() -> int | None:
    """Return how many processes were killed for memory, None where nobody counts."""
    for path in OOM_COUNTERS:
        try:
            with open(path) as file:
                for line in file:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        except OSError:
            continue
    return None


def prctl(option: int, value: int, pointer: Any = None) -> None:
    """Call prctl(2)."""
    if libc.prctl(option, ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
