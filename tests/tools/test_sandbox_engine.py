"""Sandboxes whose engine is killed, stopped and started again: on an engine of this test's own."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from engines import IMAGE, Engine, needs_own_engine, own_engine
from sandboxes import SMALL

from agentgym.errors import ConfigError, SandboxDied, SandboxUnavailable

pytestmark = needs_own_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with own_engine() as started:
        yield started


@contextmanager
def only(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have sandboxes made by that engine."""
    from agentgym.tools.sandbox import docker as module

    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setattr(module, "_apis", {})
    yield


def test_R05_engine_killed_and_started_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentgym.tools.sandbox.docker import Docker

    with only(engine, monkeypatch):
        sandbox = Docker(IMAGE, limits=SMALL)
        assert sandbox.exec(["true"]).ok
        engine.kill(signal.SIGKILL)
        with pytest.raises(SandboxDied, match="ended"):
            sandbox.exec(["sleep", "20"])
        with pytest.raises(SandboxUnavailable, match="did not start"):
            Docker(IMAGE, limits=SMALL)
        engine.script("start")
        with closing(Docker(IMAGE, limits=SMALL)) as other:
            assert other.exec(["true"]).ok
        sandbox.close()
        until = time.monotonic() + 10
        while engine.containers() and time.monotonic() < until:
            time.sleep(0.1)
        assert engine.containers() == []


def test_R06_engine_hangs(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentgym.tools.sandbox import _supervised
    from agentgym.tools.sandbox import docker as module

    monkeypatch.setattr(_supervised, "GUARD_S", 2.0)
    monkeypatch.setattr(module, "ENGINE_S", 2.0)
    with only(engine, monkeypatch):
        sandbox = module.Docker(IMAGE, limits=SMALL)
        engine.kill(signal.SIGSTOP)
        try:
            start = time.monotonic()
            with pytest.raises(SandboxDied):
                sandbox.exec(["true"], timeout_s=1)
            with pytest.raises((ConfigError, SandboxUnavailable)):
                module.Docker(IMAGE, limits=SMALL)
            assert time.monotonic() - start < 30
        finally:
            engine.kill(signal.SIGCONT)
        with closing(module.Docker(IMAGE, limits=SMALL)) as other:
            assert other.exec(["true"]).ok
