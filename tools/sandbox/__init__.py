"""Sandboxes: where what an agent wrote is run. `open_sandbox` chooses one.

Nothing runs without one: where none can be had, that is an error which says what to install.
"""

import importlib.util
from collections.abc import Sequence

from agentgym.errors import ConfigError, UnknownName
from agentgym.tools.sandbox.base import Caps, ExecResult, Limits, Sandbox

__all__ = ["Caps", "ExecResult", "Limits", "Sandbox", "choose", "open_sandbox"]

KINDS = ("auto", "bwrap", "docker")


def choose(kind: str = "auto", image: str = "") -> str:
    """Return which kind of sandbox is meant: docker if an image is asked for, else bwrap.

    Raises:
        UnknownName: no such kind. ConfigError: what it needs is not installed; says what to do.
    """
    if kind not in KINDS:
        raise UnknownName("sandbox", kind, KINDS)
    if kind == "bwrap" and image:
        raise ConfigError(f"the sandbox bwrap has no images, got image={image!r}; use docker")
    if kind == "docker" or image:
        if importlib.util.find_spec("docker") is None:
            raise ConfigError("the sandbox docker needs an extra: pip install 'agentgym[swe]'")
        return "docker"
    from agentgym.tools.sandbox.bwrap import missing

    problem = missing()
    if problem:
        raise ConfigError(problem)
    return "bwrap"


def open_sandbox(
    kind: str = "auto",
    *,
    image: str = "",
    limits: Limits | None = None,
    workdir: str = "/work",
    hidden: Sequence[str] = (),
) -> Sandbox:
    """Start a sandbox.

    Args:
        kind: "bwrap" (embedded), "docker", or "auto": docker if an image is asked for, else bwrap.
        image: a Docker image, which must be on this machine. limits: what programs may use.
        workdir: the folder inside where commands start.
        hidden: files of the system or the image that are empty inside, and folders, with a slash at
            the end.

    Raises:
        UnknownName: no such kind. ConfigError: it is not to be had here; says what to do.
        SandboxUnavailable: it can be had, and did not start.
    """
    if choose(kind, image) == "docker":
        from agentgym.tools.sandbox.docker import Docker

        return Docker(image, limits=limits, workdir=workdir, hidden=hidden)
    from agentgym.tools.sandbox.bwrap import Bwrap

    return Bwrap(limits=limits, workdir=workdir, hidden=hidden)
