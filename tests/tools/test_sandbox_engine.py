"""Sandboxes whose engine is killed, stopped and started again: on an engine of this test's own."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sandboxes import SMALL, needs_docker

from agentgym.errors import ConfigError, SandboxDied, SandboxUnavailable

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    needs_docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine"),
]

ROOT = Path(__file__).parent.parent.parent
IMAGE = os.environ.get("AGENTGYM_IMAGE", "")


class Engine:
    """An engine below a folder, with the image of the tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = self.script("start").stdout.strip().removeprefix("export DOCKER_HOST=")

    def script(self, word: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/docker_engine.sh for this engine."""
        environment = {**os.environ, "AGENTGYM_DOCKER_ROOT": str(self.folder)}
        command = [str(ROOT / "scripts/docker_engine.sh"), word]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    def kill(self, number: int) -> None:
        """Send a signal to the engine."""
        os.kill(int(self.folder.joinpath("docker.pid").read_text()), number)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    import docker

    from agentgym.tools.sandbox.docker import connect

    with tempfile.TemporaryDirectory(prefix="agentgym-engine-") as folder:
        started = Engine(Path(folder))
        try:
            image = connect().get_image(IMAGE)
            docker.APIClient(base_url=started.host, timeout=60).load_image(b"".join(image))
            yield started
        finally:
            started.script("stop")


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
    from agentgym.tools.sandbox._owner import OWNER
    from agentgym.tools.sandbox.docker import Docker, connect

    def containers() -> list[str]:
        found = connect().containers(all=True, filters={"label": OWNER})
        return [each["Names"][0] for each in found]

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
        while containers() and time.monotonic() < until:
            time.sleep(0.1)
        assert containers() == []


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
