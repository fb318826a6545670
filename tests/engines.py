"""A Docker engine of a test's own, which may be killed, stopped and started again."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandboxes import needs_docker

IMAGE = os.environ.get("AGENTGYM_IMAGE", "")

needs_own_engine = [
    pytest.mark.docker,
    pytest.mark.slow,
    needs_docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine"),
]


class Engine:
    """An engine below a folder, with the image of the tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = self.script("start").stdout.strip().removeprefix("export DOCKER_HOST=")

    def script(self, word: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/docker_engine.sh for this engine."""
        environment = {**os.environ, "AGENTGYM_DOCKER_ROOT": str(self.folder)}
        script = Path(__file__).parent.parent / "scripts/docker_engine.sh"
        return subprocess.run(
            [str(script), word], env=environment, capture_output=True, text=True, check=True
        )

    def kill(self, number: int) -> None:
        """Send a signal to the engine."""
        os.kill(int(self.folder.joinpath("docker.pid").read_text()), number)

    def containers(self) -> list[str]:
        """Return the names of the containers of ours."""
        import docker

        from agentgym.tools.sandbox._owner import OWNER

        client = docker.APIClient(base_url=self.host, timeout=60)
        try:
            found = client.containers(all=True, filters={"label": OWNER})
            return [each["Names"][0] for each in found]
        finally:
            client.close()


@contextmanager
def own_engine() -> Iterator[Engine]:
    """Start an engine that has the image which AGENTGYM_IMAGE names."""
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
