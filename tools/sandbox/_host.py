"""What sandboxes need of the host: users of their own, and a thread that outlives them."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from agentgym.errors import SandboxUnavailable

_FIRST_UID, _UIDS = 1_700_000_000, 100_000
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


class Uid:
    """A user id on the host that no other sandbox has, as long as this object is open.

    An abstract socket of that name is the claim: it goes when the process goes.
    """

    def __init__(self) -> None:
        for number in range(_FIRST_UID, _FIRST_UID + _UIDS):
            self._claim = socket.socket(socket.AF_UNIX)
            try:
                self._claim.bind(f"\0agentgym-uid-{number}")
            except OSError:
                self._claim.close()
                continue
            self.number = number
            return
        raise SandboxUnavailable(f"all {_UIDS} user ids for sandboxes are in use")

    def close(self) -> None:
        """Give it back."""
        self._claim.close()


def spawner() -> ThreadPoolExecutor:
    """Return the thread that starts sandboxes.

    `--die-with-parent` means the thread that started it, and not its process.
    """
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(1, "sandboxes")
        return _pool


def counts_by_namespace() -> bool:
    """Return whether processes of a user are counted by user namespace (Linux 5.14)."""
    return tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (5, 14)


def _forget() -> None:
    """Begin anew in a forked process, which has no threads."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
