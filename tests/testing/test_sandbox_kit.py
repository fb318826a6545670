"""The kit for sandboxes finds what is weak: each weakness is built in, and must be named."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandboxes import SMALL, needs_bwrap

from agentgym.testing.report import run_checks
from agentgym.testing.sandbox import SANDBOX_CHECKS
from agentgym.tools.sandbox import Caps, ExecResult, Limits, Sandbox, _supervised
from agentgym.tools.sandbox.bwrap import Bwrap

CHECKS = {check.name: check for check in SANDBOX_CHECKS}


class Naive(Sandbox):
    """A folder of the host and `subprocess`: what is often taken for a sandbox."""

    limits = SMALL

    def __init__(self) -> None:
        claims: dict[str, Any] = dict.fromkeys(set(Caps.__slots__) - {"backend", "by"}, False)
        claims |= dict.fromkeys(("files", "network", "tree_kill"), True)
        self.id, self.caps = "naive", Caps("naive", **claims)
        self._folder = tempfile.TemporaryDirectory()
        self.workdir = self._folder.name

    def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        max_output: int = 1,
    ) -> ExecResult:
        place = Path(self.workdir, cwd)
        done = subprocess.run(argv, input=stdin, cwd=place, capture_output=True, timeout=timeout_s)
        return ExecResult(
            done.returncode, None, done.stdout, done.stderr, 0, 0, False, False, 0, 0.0
        )

    def read_file(self, path: str, *, max_bytes: int = 0) -> bytes:
        return Path(self.workdir, path).read_bytes()

    def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        Path(self.workdir, path).parent.mkdir(parents=True, exist_ok=True)
        Path(self.workdir, path).write_bytes(data)

    def close(self) -> None:
        self._folder.cleanup()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tells how it ended", "a killed program: (-9, None, False)"),
        ("starts in folders", "FileNotFoundError"),
        ("passes variables", "the variable: '\\n'"),
        ("refuses what is no command", "raised"),
        ("keeps beginning and end", "not marked as cut"),
        ("refuses what is no file", "FileNotFoundError"),
        ("closes twice", "raised FileNotFoundError"),
        ("S14 network", "devices"),
        ("S18 secrets of the host", ""),
        ("S19 links", "no NotRegularFile, but b'root:"),
        ("S22 odd names", "raised ValueError"),
    ],
)
def test_what_is_no_sandbox_is_found(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "secret")
    [failed] = run_checks("sandbox", "naive", Naive, [CHECKS[name]]).failed
    assert said in failed.detail


class Lying(Bwrap):
    """Enforces other limits than it says."""

    def __init__(self, said: Limits) -> None:
        super().__init__(limits=SMALL)
        self.limits = said


@needs_bwrap
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("S01 fork bomb", replace(SMALL, pids=8)),
        ("S03 memory", replace(SMALL, memory_mb=1, disk_mb=1)),
        ("S04 fill the disk", replace(SMALL, disk_mb=8)),
        ("S24 cpu", replace(SMALL, cpus=0.02)),
        ("S25 huge files", replace(SMALL, file_mb=8)),
    ],
)
def test_limits_that_are_not_held_are_found(name: str, said: Limits) -> None:
    report = run_checks("sandbox", "lying", lambda: Lying(said), [CHECKS[name]])
    if report.not_applicable:
        pytest.skip(report.not_applicable[0].detail)
    assert report.failed, report


class Weak(Bwrap):
    """A sandbox whose command has been changed, and that claims what it claimed before."""

    def __init__(self, change: Callable[[list[str]], list[str]]) -> None:
        self.change = change
        super().__init__(limits=SMALL)
        self.caps = replace(self.caps, network=True, syscalls=True)

    def _command(self, tell: int, wait: int, data: Mapping[str, int]) -> list[str]:
        return self.change(super()._command(tell, wait, data))


def with_network(words: list[str]) -> list[str]:
    at = words.index("--unshare-all")
    return [*words[:at], "--unshare-all", "--share-net", *words[at + 1 :]]


def writable_root(words: list[str]) -> list[str]:
    at = max(k for k, word in enumerate(words) if word == "--remount-ro")
    return [*words[:at], *words[at + 2 :]]


def with_host_files(words: list[str]) -> list[str]:
    at = words.index("--proc")
    secret = next(p for p in ("/etc/hostname", "/etc/hosts") if os.path.exists(p))
    return [*words[:at], "--ro-bind", secret, "/root/.bashrc", *words[at:]]


def with_variables(words: list[str]) -> list[str]:
    at = words.index("--clearenv")
    return [*words[: at + 1], "--setenv", "MY_API_KEY", "secret", *words[at + 1 :]]


@needs_bwrap
@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        (with_network, "S14 network", "devices"),
        (writable_root, "S05 write elsewhere", "other folders that can be written"),
        (with_host_files, "S18 secrets of the host", "/root/.bashrc"),
        (with_variables, "S18 secrets of the host", "MY_API_KEY"),
    ],
)
def test_holes_are_found(
    change: Callable[[list[str]], list[str]],
    name: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_API_KEY", "secret")
    [failed] = run_checks("sandbox", "weak", lambda: Weak(change), [CHECKS[name]]).failed
    assert said in failed.detail


@needs_bwrap
def test_missing_filter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_supervised, "deny_filter", lambda: b"")
    with closing(Bwrap(limits=SMALL)) as sandbox:
        assert not sandbox.caps.syscalls
    kinds = [CHECKS["S15 kernel interfaces"], CHECKS["S14 network"]]
    calls, network = run_checks("sandbox", "weak", lambda: Weak(list), kinds).checks
    assert "calls that were not refused" in calls.detail
    assert "what connecting said" in network.detail
    unclaimed = run_checks("sandbox", "bwrap", lambda: Bwrap(limits=SMALL), kinds)
    assert [check.detail for check in unclaimed.not_applicable] == [
        "not promised: syscalls",
        "not promised: network",
    ]


@needs_bwrap
@pytest.mark.parametrize("name", ["S10 daemon", "keeps files, not processes"])
def test_processes_that_stay_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _supervised._SOURCE
    lazy = source.replace(b"stragglers = end_all(pid)[1]", b"break")
    assert lazy != source
    monkeypatch.setattr(_supervised, "_SOURCE", lazy)
    monkeypatch.setattr(
        _supervised, "BOOTSTRAP", _supervised.BOOTSTRAP.replace(str(len(source)), str(len(lazy)))
    )
    monkeypatch.setattr("agentgym.tools.sandbox.bwrap.BOOTSTRAP", _supervised.BOOTSTRAP)
    [failed] = run_checks("sandbox", "lazy", lambda: Bwrap(limits=SMALL), [CHECKS[name]]).failed
    assert "processes beside the first" in failed.detail


def test_numbers_of_the_plan_are_in_the_names() -> None:
    numbers = {name[:3] for name in CHECKS if name[0] == "S" and name[1:3].isdigit()}
    assert numbers == {f"S{k:02}" for k in range(1, 31)}
