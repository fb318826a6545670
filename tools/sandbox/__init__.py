"""Sandboxes: where what an agent wrote is run. `open_sandbox` chooses one.

Nothing runs without one: where none can be had, that is an error which says what to install.
"""

from agentgym.errors import ConfigError, UnknownName
from agentgym.tools.sandbox.base import Caps, ExecResult, Limits, Sandbox

__all__ = ["Caps", "ExecResult", "Limits", "Sandbox", "open_sandbox"]

KINDS = ("auto", "bwrap")


def open_sandbox(
    kind: str = "auto",
    *,
    image: str = "",
    limits: Limits | None = None,
    workdir: str = "/work",
) -> Sandbox:
    """Start a sandbox.

    Args:
        kind: "bwrap" (embedded), "docker", or "auto": docker if an image is asked for, else bwrap.
        image: a Docker image, which must be on this machine. limits: what programs may use.
        workdir: the folder inside where commands start.

    Raises:
        UnknownName: no such kind. ConfigError: it is not to be had here; says what to do.
        SandboxUnavailable: it can be had, and did not start.
    """
    if kind not in KINDS:
        raise UnknownName("sandbox", kind, KINDS)
    if image:
        raise ConfigError(f"the sandbox bwrap has no images, got image={image!r}")
    from agentgym.tools.sandbox.bwrap import Bwrap

    return Bwrap(limits=limits, workdir=workdir)
