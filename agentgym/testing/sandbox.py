"""`check_sandbox`: whether a sandbox does what its contract says and holds what its caps claim.

A sandbox that claims to enforce something is attacked there (S01 to S30). What it does not claim is
reported as "not promised". Every check has a new sandbox, with `python3` and `sh` in it.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing

from agentgym.errors import (
    BadCommand,
    NoSuchFile,
    NotRegularFile,
    OutputLimit,
    PathEscape,
    SandboxDied,
    SandboxPermission,
)
from agentgym.testing.report import Named, NotApplicable, Report, run_checks
from agentgym.testing.sandbox_attacks import ATTACKS
from agentgym.testing.sandbox_reach import s28_other_sandboxes
from agentgym.testing.sandbox_use import expect, no_others, python, refuses, same
from agentgym.tools.sandbox.base import Sandbox


def check_sandbox(factory: Callable[[], Sandbox]) -> Report:
    """Try out the contract of a sandbox, and attack what it claims to hold.

    Args:
        factory: makes a new sandbox; its limits should be small, since they are reached.
    """
    with closing(factory()) as sandbox:
        name = sandbox.caps.backend
    return run_checks("sandbox", name, factory, SANDBOX_CHECKS)


def runs_commands(sandbox: Sandbox) -> None:
    """Output, both streams apart, and the exit code."""
    result = sandbox.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
    same("stdout", result.stdout, b"out\n")
    same("stderr", result.stderr, b"err\n")
    same("exit_code", (result.exit_code, result.signal, result.ok), (3, None, False))
    expect(sandbox.exec(["true"]).ok, "a command with exit code 0 is not ok")


def uses_no_shell(sandbox: Sandbox) -> None:
    """Words are arguments as they are."""
    words = ["$HOME", "a b", "`id`", "", "*", "-n", "\n"]
    code = "import sys; print(sys.argv[1:])"
    result = sandbox.exec(["python3", "-I", "-S", "-c", code, *words])
    same("the arguments", result.stdout.decode(), f"{words}\n")


def tells_how_it_ended(sandbox: Sandbox) -> None:
    """Signals, programs that are not there, programs that are none."""
    result = sandbox.exec(["sh", "-c", "kill -9 $$"])
    same("a killed program", (result.exit_code, result.signal, result.timed_out), (None, 9, False))
    same("a missing program", sandbox.exec(["no-such-program"]).exit_code, 127)
    sandbox.write_file("plain", b"text")
    same("a program that may not run", sandbox.exec(["./plain"]).exit_code, 126)


def feeds_input(sandbox: Sandbox) -> None:
    """Text, every byte, nothing, and input that nobody reads."""
    data = bytes(range(256)) * 100
    same("cat", sandbox.exec(["cat"], stdin=data).stdout, data)
    same("cat without input", sandbox.exec(["cat"]).stdout, b"")
    expect(sandbox.exec(["true"], stdin=b"x" * 3_000_000).ok, "input that is not read is an error")


def starts_in_folders(sandbox: Sandbox) -> None:
    """`cwd` is under the work folder."""
    sandbox.write_file("a/b/c", b"")
    same("pwd", sandbox.exec(["pwd"]).stdout.decode(), f"{sandbox.workdir}\n")
    same("pwd in a/b", sandbox.exec(["pwd"], cwd="a/b").stdout.decode(), f"{sandbox.workdir}/a/b\n")
    refuses(NoSuchFile, lambda: sandbox.exec(["pwd"], cwd="nowhere"))
    refuses(PathEscape, lambda: sandbox.exec(["pwd"], cwd="../usr"))
    refuses(PathEscape, lambda: sandbox.exec(["pwd"], cwd="/usr"))


def passes_variables(sandbox: Sandbox) -> None:
    """Those that are given, for this command only."""
    result = sandbox.exec(["sh", "-c", 'echo "$A"'], env={"A": "é=1\n2"})
    same("the variable", result.stdout.decode(), "é=1\n2\n")
    same("the next command", sandbox.exec(["sh", "-c", "echo $A"]).stdout, b"\n")


def refuses_what_is_no_command(sandbox: Sandbox) -> None:
    """Nothing, NULs, variables without a name."""
    for argv in ([], [""], ["echo", "a\0b"], ["echo", "\ud800"], "true"):
        refuses(BadCommand, lambda argv=argv: sandbox.exec(argv))  # type: ignore[misc]
    for env in ({"": "a"}, {"A=B": "a"}, {"A": "a\0"}):
        refuses(BadCommand, lambda env=env: sandbox.exec(["true"], env=env))  # type: ignore[misc]
    refuses(BadCommand, lambda: sandbox.exec(["true"], timeout_s=0))
    expect(sandbox.exec(["true"]).ok, "it does not work after refusals")


def ends_in_time(sandbox: Sandbox) -> None:
    """A command's time is that of everything it started; what it said till then is kept."""
    code = "echo before; (sleep 60; echo after) & sleep 60"
    result = sandbox.exec(["sh", "-c", code], timeout_s=0.5)
    expect(result.timed_out and not result.ok, f"a command over its time is {result}")
    same("stdout", result.stdout, b"before\n")
    expect(result.seconds < 6, f"it took {result.seconds:.1f} s to end a command after 0.5 s")
    no_others(sandbox)


def keeps_beginning_and_end(sandbox: Sandbox) -> None:
    """Output over the limit is cut in the middle, and counted."""
    code = "print('a' * 1000 + 'b' * 5000 + 'c' * 1000, end='')"
    result = python(sandbox, code, max_output=1001)
    expect(result.truncated, "output over the limit is not marked as cut")
    same("bytes left out", result.stdout_left_out, 7000 - 1001)
    head, tail = result.stdout[:500], result.stdout[-501:]
    same("beginning and end", (head, tail), (b"a" * 500, b"c" * 501))
    whole = python(sandbox, code, max_output=7000)
    same("output at the limit", (len(whole.stdout), whole.truncated), (7000, False))


def keeps_files_not_processes(sandbox: Sandbox) -> None:
    """State between commands is files."""
    sandbox.exec(["sh", "-c", "echo kept > file; sleep 60 & cd /tmp; export A=1"])
    same("the file", sandbox.exec(["cat", "file"]).stdout, b"kept\n")
    no_others(sandbox)


def round_trips_files(sandbox: Sandbox) -> None:
    """Text, bytes, nothing, megabytes; new folders; shorter over longer."""
    for data in (b"text\r\n", bytes(range(256)), b"", os.urandom(5_000_000), b"short"):
        sandbox.write_file("new/folder/file", data)
        expect(sandbox.read_file("new/folder/file") == data, f"{len(data)} bytes came back changed")
        path = f"{sandbox.workdir}/new/folder/file"
        expect(sandbox.read_file(path) == data, "the absolute path reads something else")
    sandbox.write_file("run", b"#!/bin/sh\necho ran\n", executable=True)
    same("an executable file", sandbox.exec(["./run"]).stdout, b"ran\n")


def refuses_what_is_no_file(sandbox: Sandbox) -> None:
    """Each with its own error."""
    sandbox.write_file("a/file", b"12345")
    refuses(NoSuchFile, lambda: sandbox.read_file("missing"))
    refuses(NoSuchFile, lambda: sandbox.read_file("missing/file"))
    refuses(NotRegularFile, lambda: sandbox.read_file("a"))
    refuses(NotRegularFile, lambda: sandbox.read_file("a/file/b"))
    refuses(NotRegularFile, lambda: sandbox.read_file(""))
    refuses(NotRegularFile, lambda: sandbox.write_file("a", b""))
    refuses(NotRegularFile, lambda: sandbox.write_file("a/file/b", b""))
    refuses(OutputLimit, lambda: sandbox.read_file("a/file", max_bytes=4))
    same("at the limit", sandbox.read_file("a/file", max_bytes=5), b"12345")
    for path in ("../x", "a/../../x", "/etc/passwd", f"{sandbox.workdir}x"):
        refuses(PathEscape, lambda path=path: sandbox.read_file(path))  # type: ignore[misc]
        refuses(PathEscape, lambda path=path: sandbox.write_file(path, b""))  # type: ignore[misc]
    sandbox.exec(["chmod", "000", "a/file"])
    refuses(SandboxPermission, lambda: sandbox.read_file("a/file"))
    sandbox.write_file("b", b"x")


def closes_twice(sandbox: Sandbox) -> None:
    """The second time does nothing, and use after it is `SandboxDied`."""
    sandbox.close()
    sandbox.close()
    refuses(SandboxDied, lambda: sandbox.exec(["true"]))
    refuses(SandboxDied, lambda: sandbox.read_file("a"))


def is_idle_when_idle(sandbox: Sandbox) -> None:
    """Commands need no time but their own."""
    start = time.monotonic()
    for _ in range(20):
        sandbox.exec(["true"])
    took = (time.monotonic() - start) / 20
    expect(took < 0.5, f"`true` takes {took:.2f} s")


Check = Callable[[Sandbox], None]

CONTRACT: tuple[tuple[str, Check], ...] = (
    ("runs commands", runs_commands),
    ("uses no shell", uses_no_shell),
    ("tells how it ended", tells_how_it_ended),
    ("feeds input", feeds_input),
    ("starts in folders", starts_in_folders),
    ("passes variables", passes_variables),
    ("refuses what is no command", refuses_what_is_no_command),
    ("ends in time", ends_in_time),
    ("keeps beginning and end", keeps_beginning_and_end),
    ("keeps files, not processes", keeps_files_not_processes),
    ("round-trips files", round_trips_files),
    ("refuses what is no file", refuses_what_is_no_file),
    ("closes twice", closes_twice),
    ("is idle when idle", is_idle_when_idle),
)


def _named(name: str, check: Check, caps: tuple[str, ...]) -> Named[Callable[[], Sandbox]]:
    """Return a check on a new sandbox, for those that claim all of some caps."""

    def run(factory: Callable[[], Sandbox]) -> None:
        with closing(factory()) as sandbox:
            not_claimed = [cap for cap in caps if not getattr(sandbox.caps, cap)]
            if not_claimed:
                raise NotApplicable(f"not promised: {', '.join(not_claimed)}")
            check(sandbox)

    run.__doc__ = check.__doc__
    return Named(name, run)


def _others_are_invisible(factory: Callable[[], Sandbox]) -> None:
    """Another sandbox is invisible: files, processes, ports, sockets, shared memory."""
    with closing(factory()) as sandbox, closing(factory()) as sibling:
        s28_other_sandboxes(sandbox, sibling)


SANDBOX_CHECKS: tuple[Named[Callable[[], Sandbox]], ...] = (
    *(_named(name, check, ()) for name, check in CONTRACT),
    *(_named(name, check, caps) for name, check, caps in ATTACKS),
    Named("S28 other sandboxes", _others_are_invisible),
)
