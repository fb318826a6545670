"""The environment swe in containers, and rows that have an image instead of an archive."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sandboxes import needs_docker
from swe_cases import BASE, FIXED, shelf_rows

import agentgym
from agentgym.errors import ConfigError
from agentgym.swe.diffs import make_patch
from agentgym.swe.gate import gate
from agentgym.swe.grade_repository import RepositoryGrader, lay_out
from agentgym.swe.rows import read_tasks
from agentgym.swe.suite import repositories, run_suite
from agentgym.toolcalls import Reply
from agentgym.types import ToolCall

pytestmark = [pytest.mark.docker, needs_docker]


@contextlib.contextmanager
def built(name: str, files: Mapping[str, str]) -> Iterator[str]:
    """Build an image with files, by path without the first slash."""
    docker = pytest.importorskip("docker")
    client = docker.from_env()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        dockerfile = f"FROM {os.environ['AGENTGYM_IMAGE']}\nCOPY files /\n"
        texts = {f"files/{path}": text for path, text in files.items()} | {"Dockerfile": dockerfile}
        for path, text in texts.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=name)
    try:
        yield name
    finally:
        client.images.remove(name, force=True)
        client.close()


def in_testbed(files: Mapping[str, str]) -> dict[str, str]:
    """Put a repository where images of SWE-bench have it."""
    return {f"testbed/{path}": text for path, text in files.items()}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with built("agentgym/swe-test:1", in_testbed(BASE)) as name:
        yield name


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


def test_R07_an_image_that_is_not_there_and_one_without_a_repository(tmp_path: Path) -> None:
    rows = shelf_rows(tmp_path, source="", source_sha256="", image="agentgym/none:1")
    said = "1 of 1 images are not on this machine, the first is 'agentgym/none:1'"
    with pytest.raises(ConfigError, match=said):  # before any episode
        agentgym.make("swe", tasks=str(rows), sandbox="docker")
    with pytest.raises(ConfigError, match="their images need sandbox=docker"):
        agentgym.make("swe", tasks=str(rows), sandbox="bwrap")
    rows = shelf_rows(tmp_path, source="", source_sha256="", image=os.environ["AGENTGYM_IMAGE"])
    env = agentgym.make("swe", tasks=str(rows), sandbox="docker")
    with pytest.raises(ConfigError, match="no repository"):
        env.reset(seed=0)


SITE = "usr/lib/python3/dist-packages/shelves/__init__.py"


@pytest.mark.parametrize(
    ("files", "start_patch", "found"),
    [
        (in_testbed(BASE), "", ()),
        (in_testbed(BASE) | {SITE: FIXED["shelves/__init__.py"]}, "", (f"/{SITE}",)),
        # as in SWE-smith: the image has the right code, and a patch brings the fault in
        (in_testbed(FIXED), make_patch(FIXED, BASE), ("/testbed/shelves/__init__.py",)),
    ],
)
def test_V18_an_image_that_has_the_fix_is_found_and_the_fix_hidden(
    tmp_path: Path, files: Mapping[str, str], start_patch: str, found: tuple[str, ...]
) -> None:
    with built("agentgym/swe-test:2", files) as name:
        rows = shelf_rows(
            tmp_path, source="", source_sha256="", image=name, start_patch=start_patch
        )
        [task] = read_tasks(rows)
        laid = lay_out(task, rows.parent, "docker", name)
        bare = gate(RepositoryGrader(laid, "docker", name), "oracle")
        assert bare.problems == tuple(f"the fix is in the sandbox: {each}" for each in found)
        [gated] = run_suite(repositories(rows, sandbox="docker"), "oracle")
        assert gated.problems == ()
        assert gated.hidden == found
        assert gated.verdicts["oracle"]
        assert gated.verdicts["oracle"].passed
        env = agentgym.make("swe", tasks=str(rows), sandbox="docker")
        env.reset(seed=0)
        for path in found:
            shown = env.step(
                Reply("", (ToolCall("bash", {"command": f"cat {path}; echo end"}),)).action
            )[0]
            assert "Shelf" not in shown
            assert "end" in shown
        env.close()
