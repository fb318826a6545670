"""Sandboxes in Docker: an image of your own, hardened, with the supervisor as its first process.

The container's input is a connection of this process. When that ends, however this process ends,
the supervisor ends, and the engine removes the container. A container also ends by itself when its
time is up. What is left after all (a machine that lost its engine) is found by its labels:
`sweep`, which every process does once, and `agentgym gc`.
"""

import contextlib
import itertools
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Final

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Ulimit
from docker.utils import kwargs_from_env, parse_repository_tag
from requests.exceptions import RequestException

from agentgym.errors import ConfigError, SandboxUnavailable, UserError
from agentgym.tools.sandbox import _owner
from agentgym.tools.sandbox._supervised import BOOTSTRAP, Supervised, held
from agentgym.tools.sandbox._wire import Wire
from agentgym.tools.sandbox.base import Caps, Limits, check_hidden

IMAGE: Final = "agentgym/python:1"
"""The image that `scripts/base_image.py` makes."""

ENGINE_S: Final = 30.0
"""Seconds in which the engine must answer."""

_INODES: Final = 100_000
_AT_ONCE: Final = 4  # more containers started at once take longer each, and no less together
_counter = itertools.count(1)


class Docker(Supervised):
    """A container without network and capabilities, as user 1000, ended by this process's end.

    Raises:
        ConfigError: there is no engine, no such image, or no python3 in it.
        SandboxUnavailable: the engine has all that, and the container did not start.
    """

    def __init__(
        self,
        image: str = "",
        *,
        limits: Limits | None = None,
        workdir: str = "/work",
        hidden: Sequence[str] = (),
        read_only: bool = True,
        user: str = "1000:1000",
        runtime: str = "",
        ttl_s: float = 4 * 3600.0,
    ) -> None:
        """Start a container.

        Args:
            image: on this machine, with python3 (at least 3.8) on its PATH; none is pulled.
            limits: what programs may use. workdir: where commands start.
            hidden: files of the image, and folders with a slash at the end, that are empty inside.
            read_only: the image cannot be changed, and `workdir` is empty and in memory. Else the
                work folder is the image's own, and what is written has no limit (`caps.disk`).
            user: who programs are, as number:number. runtime: of the engine, e.g. "runsc".
            ttl_s: seconds until it ends by itself.
        """
        name = f"agentgym-{os.getpid()}-{next(_counter)}-{os.urandom(3).hex()}"
        super().__init__(name, limits or Limits(), workdir)
        self.image, self.runtime = image or IMAGE, runtime
        self._hidden = check_hidden(hidden)
        self._api = api()
        self._container = self._create(read_only, user, ttl_s)
        self._finalizer = weakref.finalize(self, _remove, self._api, self._container, os.getpid())
        self._attached: Any = None
        try:
            self._attached = self._api.attach_socket(
                self._container, {"stdin": 1, "stdout": 1, "stream": 1}
            )
            with _starting:
                self._api.start(self._container)
        except (DockerException, RequestException) as error:
            self._end()
            raise _said(error, self.image) from None
        stream: socket.socket = getattr(self._attached, "_sock", self._attached)
        facts = self._begin(Wire(stream, multiplexed=True), {}, {}, ttl_s, ENGINE_S)
        self.caps = Caps(
            "docker",
            kernel=runtime.startswith("runsc"),
            files=read_only,
            own_uid=False,
            pids=True,
            memory=bool(facts["counts_oom"]),
            cpu=True,
            disk=read_only,
            inodes=read_only,
            tree_kill=True,
            dies_with_runner=True,
            **held(facts),
            by=f"the engine{', ' + runtime if runtime else ''}",
        )

    def _create(self, read_only: bool, user: str, ttl_s: float) -> str:
        size = self.limits
        owner = "uid={},gid={}".format(*user.split(":"))
        inodes = f"nr_inodes={_INODES}"
        tmpfs = {"/tmp": f"rw,nosuid,nodev,exec,size={size.tmp_mb}m,{inodes},mode=1777"}
        if read_only:
            work = f"rw,nosuid,nodev,exec,size={size.disk_mb}m,{inodes},{owner},mode=0755"
            tmpfs[self.workdir] = work
        covered = [path for path in self._hidden if not path.endswith("/")]
        tmpfs |= {path: "ro,size=4k" for path in self._hidden if path.endswith("/")}
        memory = size.total_mb << 20
        host = self._api.create_host_config(
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=read_only,
            ipc_mode="private",
            shm_size=size.tmp_mb << 20,
            pids_limit=size.pids,
            mem_limit=memory,
            memswap_limit=memory,
            cpu_period=100_000,
            cpu_quota=int(size.cpus * 100_000),
            ulimits=[
                Ulimit(name="nofile", soft=size.open_files, hard=size.open_files),
                Ulimit(name="core", soft=0, hard=0),
                Ulimit(name="fsize", soft=size.file_mb << 20, hard=size.file_mb << 20),
            ],
            tmpfs=tmpfs,
            binds=[f"/dev/null:{path}:ro" for path in covered],
            log_config=LogConfig(type="none"),
            auto_remove=True,
            runtime=self.runtime or None,
        )
        try:
            made = self._api.create_container(
                self.image,
                entrypoint=["python3", "-I", "-S", "-c", BOOTSTRAP],
                name=self.id,
                user=user,
                working_dir=self.workdir,
                hostname="sandbox",
                stdin_open=True,
                network_disabled=True,
                labels=_owner.labels(ttl_s),
                host_config=host,
            )
        except (DockerException, RequestException) as error:
            if isinstance(error, RequestException):  # the answer was lost, not the request
                _remove(self._api, self.id, os.getpid())
            raise _said(error, self.image) from None
        return str(made["Id"])

    def _end(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._attached.close()
        self._finalizer()

    def _why(self) -> str:
        try:
            state = self._api.inspect_container(self._container)["State"]
        except NotFound:
            return "the container is gone"
        except (DockerException, RequestException) as error:
            return f"the engine does not answer: {type(error).__name__}"
        return "" if state["Running"] else f"the container ended with {state['ExitCode']}"

    def _mark(self) -> float:
        return time.time()

    def _out_of_memory(self, mark: float) -> bool:
        chosen = {"container": self._container, "event": "oom"}
        try:
            self._api.ping()  # has a time limit, which the next has not
            found = self._api.events(
                since=int(mark), until=int(time.time()) + 1, filters=chosen, decode=True
            )
            return any(True for _ in found)
        except (DockerException, RequestException):
            return False


def api() -> "docker.APIClient":
    """Return this process's connection to the engine that DOCKER_HOST names.

    Raises:
        ConfigError: there is none.
    """
    with _lock:
        if os.getpid() not in _apis:
            made = connect()
            sweep(made)
            _apis.clear()
            _apis[os.getpid()] = made
        return _apis[os.getpid()]


def connect(timeout_s: float | None = None) -> "docker.APIClient":
    """Return a new connection to the engine that DOCKER_HOST names.

    Args:
        timeout_s: in which it must answer; by default `ENGINE_S`.

    Raises:
        ConfigError: there is none.
    """
    limit_s = int(timeout_s or ENGINE_S)
    try:
        return docker.APIClient(version="auto", timeout=limit_s, **kwargs_from_env())
    except (DockerException, RequestException) as error:
        where = os.environ.get("DOCKER_HOST", "the usual socket")
        raise ConfigError(
            f"no Docker engine answers at {where}: {error}; "
            "start one (scripts/docker_engine.sh) and set DOCKER_HOST"
        ) from None


def sweep(client: "docker.APIClient", *, dry_run: bool = False) -> list[str]:
    """Remove containers of ours whose process is gone or whose time is up; return their names."""
    names = []
    for found in client.containers(all=True, filters={"label": _owner.OWNER}):
        if _owner.is_stale(found["Labels"]):
            names.append(found["Names"][0].lstrip("/"))
            if not dry_run:
                with contextlib.suppress(APIError):  # somebody else was quicker
                    client.remove_container(found["Id"], force=True)
    return names


def lacking(images: Iterable[str]) -> list[str]:
    """Return the images that are not on this machine, each once. Raises ConfigError as `api`."""
    found = []
    for image in dict.fromkeys(images):
        if image not in _present:
            try:
                api().inspect_image(image)
                _present.add(image)
            except ImageNotFound:
                found.append(image)
    return found


def pull(image: str) -> None:
    """Get an image from its registry.

    Raises:
        UserError: there is no such image there, or no registry can be reached; says what the engine
            says. ConfigError: as `api`.
    """
    repository, tag = parse_repository_tag(image)
    client, why = connect(timeout_s=3600), ""
    try:
        for said in client.pull(repository, tag or "latest", stream=True, decode=True):
            why = said.get("error", why)
    except (DockerException, RequestException) as error:
        why = getattr(error, "explanation", None) or str(error)
    finally:
        client.close()
    if why:
        raise UserError(
            f"the image {image} cannot be had: {why:.300}; without a registry, build it or load it "
            "from a file (docker load)"
        )


_present: set[str] = set()
_lock = threading.Lock()
_starting = threading.BoundedSemaphore(_AT_ONCE)
_apis: dict[int, docker.APIClient] = {}


def _remove(client: "docker.APIClient", container: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(DockerException, RequestException):
            client.remove_container(container, force=True)


def _said(error: Exception, image: str) -> Exception:
    """Return what to raise for what the engine answered."""
    text = getattr(error, "explanation", None) or str(error)
    if isinstance(error, ImageNotFound):
        return ConfigError(
            f"there is no image {image!r} on this machine: docker pull {image}, "
            "or without a registry: python scripts/base_image.py"
        )
    if "python3" in text and "not found" in text:
        return ConfigError(f"the image {image!r} has no python3 on its PATH (3.8 or newer)")
    if "nknown runtime" in text:
        return ConfigError(f"the engine has no such runtime: {text}")
    return SandboxUnavailable(f"the container did not start: {text:.300}")
