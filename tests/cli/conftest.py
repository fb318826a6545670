"""Running the command line inside the test process, in an empty folder."""

import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_run import Done, Run

from agentgym.cli.__main__ import main


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    importlib.invalidate_caches()
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def agentgym(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the command line in `workplace`."""

    def run(*words: object, stdin: str = "", code: int | None = 0) -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        done = Done(int(end.value.code or 0), out, err)
        assert code in (None, done.code), f"exit code {done.code}\n{out}\n{err}"
        return done

    return run
