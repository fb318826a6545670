"""Attacks on a sandbox by reach: the supervisor, the host, the network, other sandboxes."""

import io
import os
import socket
import tarfile
import tempfile
import threading
from pathlib import Path

from agentgym.errors import BadCommand, NotRegularFile, PathEscape
from agentgym.testing.sandbox_use import TRY, alive, expect, python, refuses, same, says
from agentgym.tools.sandbox._seccomp import calls_refused
from agentgym.tools.sandbox.base import Sandbox


def s05_write_elsewhere(sandbox: Sandbox) -> None:
    """No other place can be written."""
    allowed = (sandbox.workdir, "/tmp", "/dev", "/proc", "/dev/shm")
    code = f"""{TRY}
for folder, names, _ in os.walk("/"):
    if folder in {allowed!r}:
        names.clear()
    elif tried(lambda: open(folder + "/x", "w")) == "done":
        print(folder)
    if folder.count("/") > 2:
        names.clear()
print(tried(lambda: open("/dev/x", "w")))
"""
    found = says(sandbox, code).splitlines()
    expect(found[-1] != "done", "files can be made in /dev, without limit")
    same("other folders that can be written", found[:-1], [])


def s12_kill_the_supervisor(sandbox: Sandbox) -> None:
    """The first process cannot be killed, stopped, traced or limited from inside."""
    sandbox.write_file("file", b"kept")
    code = f"""{TRY}
import resource
for number in range(1, 65):
    if number != 17:
        tried(lambda: os.kill(1, number))
for what in range(16):
    tried(lambda: resource.prlimit(1, what, (1, 1)))
for path in ("mem", "environ", "fd/0", "fd/3", "fd/4", "cwd", "root", "maps"):
    print(tried(lambda: open("/proc/1/" + path, "rb").read(1)))
print(tried(lambda: open("/proc/1/mem", "wb")))
"""
    found = set(says(sandbox, code).split())
    expect(found <= {"EACCES", "EPERM", "ENOENT"}, f"what /proc/1 said: {found}")
    alive(sandbox)
    same("a file of before", sandbox.read_file("file"), b"kept")


def s13_kill_everything(sandbox: Sandbox) -> None:
    """`kill -9 -1` reaches only the command's own processes."""
    sandbox.write_file("file", b"kept")
    sandbox.exec(["sh", "-c", "sleep 60 & kill -9 -1; echo survived"])
    alive(sandbox)
    same("a file of before", sandbox.read_file("file"), b"kept")


def s14_network(sandbox: Sandbox) -> None:
    """Nothing outside can be reached: addresses, names, metadata, this machine, its hypervisor."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        abstract = f"agentgym-check-{os.getpid()}-{id(server)}"
        local.bind("\0" + abstract)
        local.listen()
        code = f"""{TRY}
import socket
def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(2)
        s.connect(address)
for address in ("1.1.1.1", "169.254.169.254", "10.0.0.1"):
    print(tried(lambda: connect(socket.AF_INET, (address, 80))))
    print(tried(lambda: connect(socket.AF_INET, (address, 53), socket.SOCK_DGRAM)))
print(tried(lambda: connect(socket.AF_INET6, ("2606:4700::1111", 80))))
print(tried(lambda: connect(socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]}))))
print(tried(lambda: connect(socket.AF_UNIX, "\\0{abstract}")))
for family in (40, 38, 17):
    print(tried(lambda: socket.socket(family, socket.SOCK_STREAM if family == 40 else 3)))
print(tried(lambda: connect(40, (2, 1024))) if hasattr(socket, "AF_VSOCK") else "EAFNOSUPPORT")
try:
    socket.getaddrinfo("example.org", 80)
except OSError:
    print("ENONAME")
print([line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line])
"""
        *found, devices = says(sandbox, code).splitlines()
    same("devices", devices, "['lo']")
    refused = {
        "ENETUNREACH",
        "EHOSTUNREACH",
        "EADDRNOTAVAIL",
        "ECONNREFUSED",
        "EAFNOSUPPORT",
        "EPERM",
        "ENONAME",
    }
    expect(set(found) <= refused and "ENONAME" in found, f"what connecting said: {found}")


def s15_kernel_interfaces(sandbox: Sandbox) -> None:
    """Mounts, namespaces, tracing, BPF, io_uring, keys and the like are refused."""
    code = f"""{TRY}
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, words)) == -1:
        raise OSError(ctypes.get_errno(), "")
for name, number in {calls_refused()!r}.items():
    got = tried(lambda: call(number, 0, 0, 0, 0, 0))
    if got != "EPERM":
        print(name, got)
for flag in (0x10000000, 0x20000000, 0x00020000):
    got = tried(lambda: call({_clone_number()}, flag | 17, 0, 0, 0, 0))
    if got != "EPERM":
        print("clone", hex(flag), got)
"""
    same("calls that were not refused", says(sandbox, code).splitlines(), [])
    expect(not sandbox.exec(["unshare", "-Ur", "true"]).ok, "unshare -Ur works")


def s16_system_files(sandbox: Sandbox) -> None:
    """System files cannot be changed."""
    code = f"""{TRY}
for path in ("/usr/bin/sh", "/usr/bin/python3", "/etc/passwd", "/etc/x", "/usr/x", "/x", "/proc/x"):
    print(tried(lambda: open(path, "a")), tried(lambda: os.unlink(path)))
"""
    found = set(says(sandbox, code).split())
    expect(
        found <= {"EROFS", "EACCES", "EPERM", "ENOENT", "ETXTBSY"}, f"what writing said: {found}"
    )


def s17_setuid_program(sandbox: Sandbox) -> None:
    """A set-user-id bit has no effect, and new privileges are off."""
    code = """
import os, shutil, subprocess
shutil.copy(shutil.which("id"), "id")
os.chmod("id", 0o6755)
print(int(subprocess.run(["./id", "-u"], capture_output=True).stdout) == os.getuid())
mounts = [line.split() for line in open("/proc/mounts")]
print([m[1] for m in mounts if m[1] in ("/tmp", os.getcwd()) and "nosuid" not in m[3]])
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(status["NoNewPrivs"].strip(), int(status["CapEff"], 16))
"""
    same("user, mounts, privileges", says(sandbox, code).splitlines(), ["True", "[]", "1 0"])


def s18_secrets_of_the_host(sandbox: Sandbox) -> None:
    """Neither files nor variables of the host are inside."""
    code = f"""{TRY}
import glob
places = ["/etc/shadow", "/root/.ssh", "/root/.bashrc", "/var/run/docker.sock", "/run/docker.sock"]
places += ["/proc/1/environ", "/proc/1/mem", "/dev/mem", "/dev/kmsg"]
places += glob.glob("/home/*/.*") + glob.glob("/dev/sd*") + glob.glob("/dev/vd*")
for place in places:
    if tried(lambda: os.listdir(place)) == "done":
        print(place)
    if tried(lambda: open(place, "rb").read(1)) == "done":
        print(place)
"""
    same("places that can be read", says(sandbox, code), "")
    same(
        "open files",
        says(sandbox, "import os; print(os.listdir('/proc/self/fd')[:-1])"),
        "['0', '1', '2']",
    )
    seen = dict(
        line.partition("=")[::2] for line in sandbox.exec(["env"]).stdout.decode().splitlines()
    )
    usual = {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "SHLVL", "HOSTNAME", "TERM"}
    usual |= {"LC_CTYPE"}  # which Python sets by itself, here and there, where no locale is named
    passed = {k for k, v in seen.items() if k not in usual and os.environ.get(k) == v}
    expect(not passed, f"the host's variables {sorted(passed)} are set inside")
    keys = [name for name in seen if "KEY" in name or "TOKEN" in name or "SECRET" in name]
    same("variables that sound secret", [name for name in keys if name in os.environ], [])


def s19_links(sandbox: Sandbox) -> None:
    """Links in the work folder lead nowhere, whether read or written."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "secret")
        secret.write_text("of the host")
        sandbox.write_file("real/file", b"x")
        code = "ln -s /etc/passwd a; ln -s $0 b; ln -s real c; ln -s / d; ln -s e e; ln -s $1 f"
        sandbox.exec(["sh", "-c", code, str(secret), folder])
        for path in ("a", "b", "c", "e"):
            refuses(NotRegularFile, lambda path=path: sandbox.read_file(path))  # type: ignore[misc]
            refuses(NotRegularFile, lambda path=path: sandbox.write_file(path, b"y"))  # type: ignore[misc]
        for path in ("c/file", "d/etc/passwd", "e/file", "f/secret"):
            refuses(PathEscape, lambda path=path: sandbox.read_file(path))  # type: ignore[misc]
            refuses(PathEscape, lambda path=path: sandbox.write_file(path, b"y"))  # type: ignore[misc]
        same("the host's file", secret.read_text(), "of the host")
        same("files beside it", os.listdir(folder), ["secret"])


def s20_odd_files(sandbox: Sandbox) -> None:
    """Pipes, sockets and folders are no files, and nobody waits for them."""
    code = "import os, socket; os.mkfifo('pipe'); socket.socket(socket.AF_UNIX).bind('socket')"
    says(sandbox, code)
    for path in ("pipe", "socket"):
        refuses(NotRegularFile, lambda path=path: sandbox.read_file(path))  # type: ignore[misc]
        refuses(NotRegularFile, lambda path=path: sandbox.write_file(path, b"x"))  # type: ignore[misc]
    alive(sandbox)


def s21_tar_escape(sandbox: Sandbox) -> None:
    """Archives are unpacked inside, where there is nothing to escape to."""
    name = f"agentgym-escape-{os.getpid()}"
    data, archive = io.BytesIO(), tarfile.TarInfo("link")
    with tarfile.open(fileobj=data, mode="w") as tar:
        archive.type, archive.linkname = tarfile.SYMTYPE, "/tmp"
        tar.addfile(archive)
        for path in (f"../{name}", f"/tmp/{name}", f"link/{name}2", f"/etc/{name}"):
            tar.addfile(tarfile.TarInfo(path))
    code = """
import sys, tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
    for member in tar:
        try:
            tar.extract(member)
        except Exception as error:
            print(type(error).__name__)
"""
    sandbox.exec(["python3", "-I", "-S", "-c", code], stdin=data.getvalue())
    for place in (f"/{name}", f"/tmp/{name}", f"/tmp/{name}2", f"/etc/{name}"):
        expect(not os.path.lexists(place), f"the host has {place} now")
    alive(sandbox)


def s22_odd_names(sandbox: Sandbox) -> None:
    """Names of any bytes come back, and are never options."""
    for name in (
        "a\nb",
        "-rf",
        "--help",
        " ",
        "é",
        "\udcff",
        "'\"`$x",
        "a\tb",
        "\x1b[2J",
        "x" * 255,
    ):
        sandbox.write_file(name, name.encode("utf-8", "surrogateescape"))
        same(repr(name), sandbox.read_file(name), name.encode("utf-8", "surrogateescape"))
        result = sandbox.exec(["cat", "--", name])
        same(f"cat {name!r}", result.stdout, name.encode("utf-8", "surrogateescape"))
    for name in ("a\0b", "\ud800", "x" * 256, "a/" * 3000):
        refuses(BadCommand, lambda name=name: sandbox.write_file(name, b""))  # type: ignore[misc]


def s23_large_words(sandbox: Sandbox) -> None:
    """Long arguments, long input and odd bytes arrive whole or are refused."""
    size = says(sandbox, f"import sys; print(len({'x' * 100_000!r}))")
    same("an argument of 100 KB", size, "100000")
    refuses(BadCommand, lambda: sandbox.exec(["echo", "x" * 200_000]))
    refuses(BadCommand, lambda: sandbox.exec(["echo", "x" * 2_000_000]))
    result = sandbox.exec(["wc", "-c"], stdin=bytes(10_000_000))
    same("input of 10 MB", result.stdout.split(), [b"10000000"])
    result = sandbox.exec(["printf", "%s", "\udcff\udcfe"])
    same("odd bytes", result.stdout, b"\xff\xfe")
    alive(sandbox)


def s26_clock_and_power(sandbox: Sandbox) -> None:
    """The clock, the name and the power of the machine are not theirs."""
    code = f"""{TRY}
import socket, time
print(tried(lambda: time.clock_settime(time.CLOCK_REALTIME, 0)))
print(tried(lambda: socket.sethostname("other")))
print(tried(lambda: open("/proc/sysrq-trigger", "w").write("b")))
print(tried(lambda: open("/proc/sys/kernel/hostname", "w").write("b")))
"""
    found = set(says(sandbox, code).split())
    expect(found <= {"EPERM", "EACCES", "EROFS", "ENOENT"}, f"{found}")


def s28_other_sandboxes(sandbox: Sandbox, sibling: Sandbox) -> None:
    """Another sandbox is invisible: files, processes, ports, sockets, shared memory."""
    sibling.write_file("secret", b"x")
    serve = """
import ctypes, socket, time
a, b = socket.create_server(("127.0.0.1", 5000)), socket.socket(socket.AF_UNIX)
b.bind("\\0secret"); b.listen()
ctypes.CDLL(None).shmget(77, 4096, 0o1666)
open("/dev/shm/secret", "w"); open("/tmp/secret", "w")
print("up", flush=True)
time.sleep(3)
"""
    thread = threading.Thread(target=lambda: python(sibling, serve, timeout_s=10))
    thread.start()
    code = f"""{TRY}
import ctypes, socket, time
time.sleep(1)
def connect(family, address):
    with socket.socket(family) as s:
        s.connect(address)
print(tried(lambda: connect(socket.AF_INET, ("127.0.0.1", 5000))))
print(tried(lambda: connect(socket.AF_UNIX, "\\0secret")))
print(tried(lambda: socket.create_server(("127.0.0.1", 5000))))
print(ctypes.CDLL(None).shmget(77, 4096, 0))
print(os.listdir("."), os.listdir("/tmp"), os.listdir("/dev/shm"))
print(sum(name.isdigit() for name in os.listdir("/proc")))
"""
    try:
        found = says(sandbox, code).splitlines()
    finally:
        thread.join()
    same("what is seen", found, ["ECONNREFUSED", "ECONNREFUSED", "done", "-1", "[] [] []", "2"])


def _clone_number() -> int:
    return 220 if os.uname().machine == "aarch64" else 56
