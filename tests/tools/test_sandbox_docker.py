"""Sandboxes in Docker, on a real engine: scripts/docker_engine.sh and scripts/base_image.py."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from sandboxes import SMALL, check_that_what_is_hidden_cannot_be_read, needs_docker

from agentgym.errors import ConfigError, SandboxDied, SandboxUnavailable
from agentgym.testing.report import run_checks
from agentgym.testing.sandbox import SANDBOX_CHECKS
from agentgym.tools.python import Python
from agentgym.tools.sandbox import open_sandbox

pytestmark = [pytest.mark.docker, needs_docker]

IMAGE = os.environ.get("AGENTGYM_IMAGE", "")


def make(**how: Any) -> Any:
    from agentgym.tools.sandbox.docker import Docker

    return Docker(IMAGE, limits=SMALL, **how)


def names() -> list[str]:
    """Return the containers of ours."""
    from agentgym.tools.sandbox._owner import OWNER
    from agentgym.tools.sandbox.docker import api

    return [c["Names"][0] for c in api().containers(all=True, filters={"label": OWNER})]


def ours() -> set[str]:
    """Return the containers of this process; some may be kept for later."""
    return {name for name in names() if name.startswith(f"/agentgym-{os.getpid()}-")}


def gone(wanted: set[str], seconds: float) -> bool:
    """Whether containers are removed in time."""
    until = time.monotonic() + seconds
    while wanted & set(names()):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.name.replace(" ", "_"))
def test_contract(check: object) -> None:
    report = run_checks("sandbox", "docker", make, [check])  # type: ignore[list-item]
    report.raise_on_failure()
    if report.not_applicable:
        pytest.skip(report.not_applicable[0].detail)


def test_caps_are_what_was_found() -> None:
    with closing(make()) as sandbox:
        caps = sandbox.caps
    assert caps.backend == "docker"
    assert caps.disk
    assert caps.inodes
    assert caps.memory
    assert caps.syscalls
    assert caps.network
    assert not caps.kernel
    with closing(make(read_only=False, workdir="/tmp")) as sandbox:
        assert not sandbox.caps.disk
        assert not sandbox.caps.files


HOLD = """
import sys
sys.path.insert(0, {tests!r})
from sandboxes import SMALL
from agentgym.tools.sandbox.docker import Docker
held = [Docker({image!r}, limits=SMALL) for _ in range(20)]
print(*(box.id for box in held), flush=True)
held[0].exec(["sh", "-c", "setsid sleep 77 & sleep 77"], timeout_s=70)
"""


def test_R04_runner_kill_9_with_20_containers() -> None:
    code = HOLD.format(tests=str(Path(__file__).parent.parent), image=IMAGE)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        held = {f"/{name}" for name in runner.stdout.readline().split()}
        assert len(held) == 20
        assert held <= set(names())
        runner.send_signal(signal.SIGKILL)
    assert gone(held, 10)


def test_R07_image_missing() -> None:
    with pytest.raises(ConfigError, match=r"no image 'no/such:1' on this machine: docker pull"):
        open_sandbox(image="no/such:1")
    with pytest.raises(ConfigError, match="no such runtime"):
        make(runtime="no-such-runtime")


def test_R07_image_without_python() -> None:
    from agentgym.tools.sandbox.docker import api

    before, archive = ours(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo("tmp")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    api().import_image_from_data(archive.getvalue(), repository="agentgym/empty", tag="test")
    try:
        with pytest.raises(ConfigError, match="has no python3 on its PATH"):
            open_sandbox(image="agentgym/empty:test")
    finally:
        api().remove_image("agentgym/empty:test", force=True)
    assert ours() <= before


def test_R08_container_removed_by_someone() -> None:
    from agentgym.tools.sandbox.docker import api

    with closing(make()) as sandbox:
        api().remove_container(sandbox.id, force=True)
        with pytest.raises(SandboxDied, match="ended") as caught:
            sandbox.exec(["true"])
        assert not caught.value.out_of_memory


def test_R09_a_container_whose_answer_was_lost_is_not_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agentgym.tools.sandbox.docker import api

    before, create = ours(), api().create_container

    def lose(*args: Any, **options: Any) -> None:
        create(*args, **options)
        raise requests.ConnectionError("connection aborted")

    monkeypatch.setattr(api(), "create_container", lose)
    with pytest.raises(SandboxUnavailable, match="did not start: connection aborted"):
        make()
    assert ours() == before


def test_R16_nothing_is_left() -> None:
    before = ours()
    for _ in range(8):  # until the client's connections are as many as it keeps
        with closing(make()) as sandbox:
            sandbox.exec(["true"])
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with closing(make()) as sandbox:
            assert sandbox.exec(["true"]).ok
    assert len(os.listdir("/proc/self/fd")) <= files
    assert gone(ours() - before, 2)


def test_time_is_up() -> None:
    with closing(make(ttl_s=1.0)) as sandbox:
        assert sandbox.exec(["sleep", "30"], timeout_s=20).timed_out
        assert gone({f"/{sandbox.id}"}, 5)


def test_collecting_what_was_left() -> None:
    from agentgym.tools.sandbox import _owner
    from agentgym.tools.sandbox.docker import api

    labels = _owner.labels(3600)
    place = labels[_owner.OWNER].rpartition("/")[0]
    cases = {
        "over": {**labels, _owner.DEADLINE: "1"},
        "dead": {**labels, _owner.OWNER: f"{place}/1-99"},
        "elsewhere": {**labels, _owner.OWNER: "other/7/1-99"},
        "alive": labels,
        "foreign": {"someone.owner": "x"},
    }
    made = {
        name: api().create_container(IMAGE, ["true"], name=f"agentgym-test-{name}", labels=each)
        for name, each in cases.items()
    }
    try:
        gc = [str(Path(sys.executable).parent / "agentgym"), "gc"]

        def said(*words: str) -> list[str]:
            """What it says of these; other tests may leave something too."""
            done = subprocess.run([*gc, *words], capture_output=True, text=True, check=True)
            return sorted(line for line in done.stdout.splitlines() if "agentgym-test" in line)

        names = ["agentgym-test-dead", "agentgym-test-over"]
        assert said("--dry-run") == [f"would remove {name}" for name in names]
        assert said() == [f"removed {name}" for name in names]
        left = {c["Names"][0] for c in api().containers(all=True)}
        assert {
            "/agentgym-test-elsewhere",
            "/agentgym-test-alive",
            "/agentgym-test-foreign",
        } <= left
        assert not {"/agentgym-test-over", "/agentgym-test-dead"} & left
    finally:
        for name in ("elsewhere", "alive", "foreign"):
            api().remove_container(made[name]["Id"], force=True)


def test_the_images_own_folder_and_variables() -> None:
    with closing(make(read_only=False, workdir="/usr/lib", user="0:0")) as sandbox:
        assert b"git-core" in sandbox.exec(["ls"]).stdout
        sandbox.write_file("new", b"x")
        assert sandbox.read_file("new") == b"x"
        assert sandbox.exec(["sh", "-c", "echo $PATH"]).stdout.startswith(b"/usr/local/bin")


def test_python_in_an_image() -> None:
    with closing(Python(image=IMAGE, limits=SMALL)) as python:
        assert python("import sys; sys.executable") == "'/usr/bin/python3'"


def test_V18_what_is_hidden_cannot_be_read() -> None:
    check_that_what_is_hidden_cannot_be_read(make)


def test_no_engine(tmp_path: Path) -> None:
    code = (
        "from agentgym.tools.sandbox import open_sandbox\n"
        "try:\n    open_sandbox(image='x')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("ConfigError no Docker engine answers at unix://")
    assert "scripts/docker_engine.sh" in run.stdout
