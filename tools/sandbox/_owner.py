"""Who made a container, so that it can be told later whether that process is still there."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

OWNER, DEADLINE = "agentgym.owner", "agentgym.deadline"


def labels(ttl_s: float) -> dict[str, str]:
    """Return the labels of a container of this process that shall live so many seconds."""
    return {OWNER: _identity(os.getpid()), DEADLINE: str(int(time.time() + ttl_s))}


def is_stale(found: Mapping[str, str]) -> bool:
    """Return whether a container's time is up, or its process is gone.

    A process of another machine or process namespace cannot be seen: then only its time counts.
    """
    deadline = found.get(DEADLINE, "")
    if not deadline.isdigit() or int(deadline) < time.time():
        return True
    place, _, process = found.get(OWNER, "").rpartition("/")
    pid = process.partition("-")[0]
    mine = _identity(os.getpid()).rpartition("/")[0]
    return place == mine and pid.isdigit() and _identity(int(pid)) != found[OWNER]


def started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _identity(pid: int) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}/{pid}-{started(pid)}"
