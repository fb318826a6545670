"""The tool `python`: what an agent sees of its programs, and what is whose fault."""

import copy
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandboxes import SMALL, needs_bwrap

from agentgym.errors import ConfigError, UnknownName
from agentgym.testing import check_tool
from agentgym.tools.base import Toolset
from agentgym.tools.python import Python
from agentgym.tools.sandbox import open_sandbox
from agentgym.tools.sandbox.bwrap import Bwrap


@pytest.fixture(scope="module")
def python() -> Iterator[Python]:
    with closing(Python(limits=SMALL)) as tool:
        yield tool


def test_is_a_tool() -> None:
    report = check_tool("python").raise_on_failure()
    assert [check.name for check in report.not_applicable] == ["repeats its calls"]


@needs_bwrap
def test_repeats_its_calls() -> None:
    calls = [{"code": "1 + 1"}, {"code": "open('a', 'a').write('b')\nopen('a').read()"}]
    assert not check_tool(Python, calls=calls).raise_on_failure().not_applicable


@needs_bwrap
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2"),
        ("x = 3\nprint(x)\nx * 2", "3\n6"),
        ("'a'\n'b'", "'b'"),
        ("None", "(no output)"),
        ("", "(no output)"),
        ("print('é', end='')", "é"),
        ("import sys; sys.exit(3)", "(exit status 3)"),
        ("import os; os.kill(os.getpid(), 9)", "(killed by signal 9)"),
        ("def f():\n    return __name__\nf()", "'__main__'"),
        ("import sys; print('a'); print('b', file=sys.stderr)", "a\nb"),
        ("import sys; sys.argv", "['']"),
    ],
)
def test_what_is_shown(python: Python, code: str, shown: str) -> None:
    assert python(code) == shown


@needs_bwrap
def test_errors_are_shown_where_they_are(python: Python) -> None:
    shown = python("def half(n):\n    return n / 0\n\nprint('before')\nhalf(1)")
    lines = shown.splitlines()
    assert lines[:2] == ["before", "Traceback (most recent call last):"]
    assert '  File "<code>", line 5, in <module>' in lines
    assert "    return n / 0" in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "<string>" not in shown
    assert python("def f(:").splitlines()[-1] == "SyntaxError: invalid syntax"
    assert "<string>" not in python("def f(:")


@needs_bwrap
def test_state_is_files(python: Python) -> None:
    python("x = 1; open('note', 'w').write('kept')")
    assert python("open('note').read()") == "'kept'"
    assert python("x").endswith("NameError: name 'x' is not defined")


@needs_bwrap
def test_limits_are_observations() -> None:
    with closing(Python(limits=SMALL, timeout_s=1, max_output=100)) as python:
        assert (
            python("print('before', flush=True)\nwhile True: pass") == "before\n(stopped after 1 s)"
        )
        cut = python("print('a' * 1000)")
        assert "bytes were left out" in cut
        assert len(cut) < 200
        assert python("1") == "1"
    with closing(Python(limits=SMALL)) as python:
        shown = python("[bytearray(b'x' * 1_000_000) for _ in range(1000)]")
        assert shown in ("(killed: the memory was used up)",) or "MemoryError" in shown


@needs_bwrap
def test_E05_a_tool_that_never_returns_is_in_time() -> None:
    with closing(Python(limits=SMALL, timeout_s=0.5)) as python:
        tools = Toolset([python], timeout_s=5)
        result = tools.call("python", {"code": "import time; time.sleep(60)"})
        assert (result.status, result.text) == ("ok", "(stopped after 0.5 s)")
        assert tools.call("python", {"code": "'on'"}).text == "'on'"


@needs_bwrap
def test_a_sandbox_that_dies_is_the_platforms_failure_and_replaced() -> None:
    with closing(Bwrap(limits=SMALL)) as sandbox:
        python = Python(sandbox)
        tools = Toolset([python])
        os.kill(sandbox._process.pid, signal.SIGKILL)
        failure = tools.call("python", {"code": "1"}).failure
        assert failure is not None
        assert (failure.boundary, failure.error) == ("sandbox", "SandboxDied")
    python = Python(limits=SMALL)
    tools = Toolset([python])
    assert tools.call("python", {"code": "1"}).text == "1"
    assert isinstance(python._sandbox, Bwrap)
    os.kill(python._sandbox._process.pid, signal.SIGKILL)
    assert tools.call("python", {"code": "1"}).status == "failed"
    assert tools.call("python", {"code": "2"}).text == "2"
    python.close()


@needs_bwrap
def test_a_given_sandbox_stays_its_owners() -> None:
    with closing(open_sandbox(limits=SMALL)) as sandbox:
        python = Python(sandbox)
        python("open('a', 'w').write('b')")
        python.close()
        assert sandbox.read_file("a") == b"b"


@needs_bwrap
def test_copies() -> None:
    with closing(Python(limits=SMALL)) as python, closing(copy.deepcopy(python)) as other:
        assert other("1") == "1"
        with pytest.raises(NotImplementedError, match="make a new Python"):
            copy.deepcopy(other)


def test_never_without_a_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no program bwrap; install it"):
        Python()
    with pytest.raises(UnknownName, match="there is no sandbox 'local'"):
        Python("local")


@needs_bwrap
def test_limits_of_the_tool_itself() -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        Python(timeout_s=0)


@needs_bwrap
@settings(max_examples=25)
@given(st.text(max_size=30))
def test_no_code_breaks_the_tool(python: Python, code: str) -> None:
    result = Toolset([python]).call("python", {"code": code})
    assert result.failure is None
