"""The environment swe in containers, and rows that have an image instead of an archive."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxes import needs_docker
from swe_cases import BASE, shelf_rows

import agentgym
from agentgym.errors import ConfigError

pytestmark = [pytest.mark.docker, needs_docker]


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """An image with the repository where those of SWE-bench have it."""
    docker = pytest.importorskip("docker")
    client = docker.from_env()
    context = io.BytesIO()
    base = os.environ["AGENTGYM_IMAGE"]
    with tarfile.open(fileobj=context, mode="w") as tar:
        files = {f"testbed/{path}": text for path, text in BASE.items()}
        files["Dockerfile"] = f"FROM {base}\nCOPY testbed /testbed\n"
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    name = "agentgym/swe-test:1"
    client.images.build(fileobj=context, custom_context=True, tag=name)
    yield name
    client.images.remove(name)
    client.close()


@pytest.mark.parametrize("by", ["archive", "image"])
def test_a_repository_is_repaired_in_a_container(tmp_path: Path, image: str, by: str) -> None:
    more = {"source": "", "source_sha256": "", "image": image} if by == "image" else {}
    env = agentgym.make("swe", tasks=str(shelf_rows(tmp_path, **more)), sandbox="docker")
    env.reset(seed=0)
    for action in env.gold() or []:
        *_, info = env.step(action)
    assert info["success"] is True
    assert info["facts"]["tamper"] == []
    env.reset(seed=0)
    *_, info = env.step('{"calls": [{"name": "submit", "arguments": {}}]}')
    assert info["success"] is False
    env.close()


def test_a_function_is_repaired(tmp_path: Path) -> None:
    env = agentgym.make("swe", preset="functions-tiny", sandbox="docker")
    env.reset(seed=0)
    for action in env.gold() or []:
        *_, info = env.step(action)
    assert info["success"] is True


def test_an_image_that_is_not_there_and_one_without_a_repository(tmp_path: Path) -> None:
    base = os.environ["AGENTGYM_IMAGE"]
    for name, said in (("agentgym/none:1", "agentgym/none:1"), (base, "no repository")):
        rows = shelf_rows(tmp_path, source="", source_sha256="", image=name)
        env = agentgym.make("swe", tasks=str(rows), sandbox="docker")
        with pytest.raises(ConfigError, match=said):
            env.reset(seed=0)
