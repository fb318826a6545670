"""Attacks on a sandbox by load: processes, memory, disks, output, time."""

import os
from pathlib import Path

from agentgym.errors import SandboxDied
from agentgym.testing.sandbox_use import TRY, alive, expect, no_others, python, same, says
from agentgym.tools.sandbox.base import Sandbox

BOMB = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"


def s01_fork_bomb(sandbox: Sandbox) -> None:
    """Processes without end are at most so many, and end with their command."""
    result = python(sandbox, BOMB, timeout_s=1)
    expect(result.timed_out and result.seconds < 6, f"after 1 s: {result}")
    most = sandbox.limits.pids
    expect(0 < result.stragglers <= most, f"{result.stragglers} processes, at most {most} may be")
    alive(sandbox)


def s02_fork_bomb_in_background(sandbox: Sandbox) -> None:
    """A bomb that one command leaves is gone before the next."""
    sandbox.exec(["sh", "-c", f"python3 -I -S -c '{BOMB}' & sleep 0.3"], timeout_s=10)
    no_others(sandbox)


def s03_memory(sandbox: Sandbox) -> None:
    """Who takes too much memory is killed for it, and the sandbox is not."""
    sandbox.write_file("file", b"kept")
    mb = 2 * sandbox.limits.total_mb
    result = python(sandbox, f"a = [bytearray(b'x' * (1 << 20)) for _ in range({mb})]")
    expect(result.oom_killed, f"{mb} MB were taken: {result}")
    same("how it ended", (result.exit_code, result.signal), (None, 9))
    alive(sandbox)
    same("a file of before", sandbox.read_file("file"), b"kept")
    expect(not sandbox.exec(["true"]).oom_killed, "the next command counts as killed for memory")


def s03_memory_of_many(sandbox: Sandbox) -> None:
    """Many small programs are killed before the supervisor, or it is told that they killed it."""
    each = 1.1 * sandbox.limits.total_mb / (sandbox.limits.pids - 8)
    code = f"""{TRY}
import sys, time
if len(sys.argv) > 1:
    tried(lambda: open("/proc/self/oom_score_adj", "w").write("0"))
for _ in range({sandbox.limits.pids - 8}):
    if os.fork() == 0:
        data = bytearray(b"x" * {int(each * (1 << 20))})
        time.sleep(60)
os.wait()
"""
    argv = ["python3", "-I", "-S", "-c", code]
    result = sandbox.exec(argv, timeout_s=20)
    expect(result.oom_killed, f"{result!r:.300}")
    alive(sandbox)
    try:
        result = sandbox.exec([*argv, "last to go"], timeout_s=20)
    except SandboxDied as died:
        expect(died.out_of_memory, f"the memory was used up, and it says: {died}")
        return
    expect(result.oom_killed, f"{result!r:.300}")


def s04_fill_the_disk(sandbox: Sandbox) -> None:
    """A full disk is an error for the program that fills it."""
    code = f"""{TRY}
def fill(folder):
    for k in range(100_000):
        with open(f"{{folder}}/{{k}}", "wb", 0) as file:
            for _ in range(8):
                file.write(bytes(1 << 20))
for folder in (os.getcwd(), "/tmp"):
    print(tried(lambda: fill(folder)), end=" ")
"""
    result = python(sandbox, code)
    same("errors", (result.stdout, result.oom_killed), (b"ENOSPC ENOSPC ", False))
    result = sandbox.exec(["du", "-sm", ".", "/tmp"])
    sizes = [int(line.split()[0]) for line in result.stdout.decode().splitlines()]
    limits = [sandbox.limits.disk_mb, sandbox.limits.tmp_mb]
    expect(all(s <= most + 1 for s, most in zip(sizes, limits, strict=True)), f"{sizes} MB")
    sandbox.exec(["sh", "-c", "rm -rf ./* /tmp/*"])
    alive(sandbox)


def s06_fill_with_names(sandbox: Sandbox) -> None:
    """Empty files without end are an error too."""
    code = f"""{TRY}
def fill():
    for k in range(10_000_000):
        os.close(os.open(str(k), os.O_CREAT | os.O_WRONLY))
print(tried(fill))
"""
    same("error", says(sandbox, code), "ENOSPC")
    sandbox.exec(["find", ".", "-type", "f", "-delete"])
    alive(sandbox)


def s07_flood_of_output(sandbox: Sandbox) -> None:
    """Endless output takes no memory here, and ends in time."""
    before = _resident_mb()
    code = "import os\nwhile True: os.write(1, b'y' * 65536)"
    result = python(sandbox, code, timeout_s=1, max_output=10_000)
    expect(result.timed_out and result.truncated and result.seconds < 6, f"{result!r:.300}")
    expect(len(result.stdout) < 10_200, f"{len(result.stdout)} bytes were kept, not 10,000")
    grown = _resident_mb() - before
    expect(grown < 50, f"this process has grown by {grown:.0f} MB")
    alive(sandbox)


def s08_both_streams(sandbox: Sandbox) -> None:
    """100 MB on both streams in turn do not block each other."""
    code = "import os\nfor k in range(1600): os.write(1 + k % 2, b'x' * 65536)"
    result = python(sandbox, code, max_output=1000)
    each = 800 * 65536 - 1000
    same(
        "left out", (result.stdout_left_out, result.stderr_left_out, result.ok), (each, each, True)
    )


def s09_sigterm_ignored(sandbox: Sandbox) -> None:
    """Who ignores signals ends in time too."""
    code = "import signal, time\nfor s in range(1, 32):\n try: signal.signal(s, signal.SIG_IGN)\n"
    result = python(sandbox, f"{code} except OSError: pass\ntime.sleep(60)", timeout_s=0.5)
    expect(result.timed_out and result.seconds < 6, f"after 0.5 s: {result}")
    same("signal", result.signal, 9)


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in range({closed}):
            os.close(fd)
        time.sleep(90)
    os._exit(0)
print("parent")
"""


def s10_daemon(sandbox: Sandbox) -> None:
    """A daemon in a session of its own ends with its command."""
    result = python(sandbox, DAEMON.format(closed=3), timeout_s=20)
    expect(result.ok and result.seconds < 6, f"{result}")
    no_others(sandbox)


def s11_daemon_holds_stdout(sandbox: Sandbox) -> None:
    """A daemon that holds the streams open delays nothing."""
    result = python(sandbox, DAEMON.format(closed=0), timeout_s=20)
    expect(result.ok and result.seconds < 6, f"{result}")
    same("stdout", result.stdout, b"parent\n")
    no_others(sandbox)


def s24_cpu(sandbox: Sandbox) -> None:
    """Two processes together have so many cores."""
    code = """
import os, resource, time
until = time.monotonic() + 1.5
for _ in range(3):
    if os.fork() == 0:
        while time.monotonic() < until: pass
        os._exit(0)
for _ in range(3): os.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""
    used, most = float(says(sandbox, code)), 1.5 * sandbox.limits.cpus
    expect(used < 1.25 * most + 0.1, f"{used:.2f} s of CPU in 1.5 s, {most:.2f} may be")


def s25_huge_files(sandbox: Sandbox) -> None:
    """A file has a largest size, also an empty one."""
    code = f"""{TRY}
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = open("huge", "wb")
for size in (1 << 50, ({sandbox.limits.file_mb} << 20) + 1):
    print(tried(lambda: file.truncate(size)))
"""
    same("errors", says(sandbox, code), "EFBIG\nEFBIG")
    result = python(sandbox, "open('huge', 'wb').truncate(1 << 50)")
    expect(not result.ok, "a file of a petabyte can be made")


def s27_core_dumps(sandbox: Sandbox) -> None:
    """Crashes leave no files."""
    code = "for k in 1 2 3; do sh -c 'kill -SEGV $$'; done; ls -A"
    result = sandbox.exec(["sh", "-c", code])
    same("files", result.stdout, b"")
    same("the limit", sandbox.exec(["sh", "-c", "ulimit -c"]).stdout, b"0\n")


def s30_odd_output(sandbox: Sandbox) -> None:
    """Output is bytes under a limit, and nothing reads them on the way."""
    data = bytes(range(256)) + b"\x1b]0;title\x07\x1b[2J\x00\xff"
    sandbox.write_file("data", data)
    same("cat", sandbox.exec(["cat", "data"]).stdout, data)
    code = "import sys, zlib; d = zlib.decompressobj(); sys.stdout.buffer.write(d.decompress(DATA))"
    code = code.replace("DATA", "zlib.compress(bytes(50_000_000))")
    result = python(sandbox, code, max_output=1000)
    expect(len(result.stdout) < 1100 and result.truncated, f"{len(result.stdout)} bytes were kept")


def s29_memory_of_a_kernel(sandbox: Sandbox) -> None:
    """A sandbox that dies with its own kernel says so in time."""
    code = f"a = [bytearray(b'x' * (1 << 20)) for _ in range({2 * sandbox.limits.total_mb})]"
    try:
        result = python(sandbox, code, timeout_s=10)
    except SandboxDied:
        return
    expect(not result.ok, f"{result}")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
