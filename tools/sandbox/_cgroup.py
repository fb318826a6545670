"""Control groups: memory, processes and CPU of everything in one sandbox together.

Version 1 has a tree per controller, version 2 one for all. They are used where this process may
make groups (as root); elsewhere a sandbox has limits per process instead.
"""

import contextlib
import itertools
import os
import time
from pathlib import Path
from typing import Final

from agentgym.tools.sandbox._owner import started
from agentgym.tools.sandbox.base import Limits

ROOT: Final = Path("/sys/fs/cgroup")
_PERIOD_US: Final = 100_000
_counter = itertools.count()


class Cgroup:
    """The groups of one sandbox.

    Attributes:
        version: 1 or 2. folders: one per controller, or one.
    """

    def __init__(self, version: int, folders: list[Path]) -> None:
        self.version, self.folders = version, folders

    @classmethod
    def make(cls, limits: Limits, root: Path = ROOT) -> "Cgroup | None":
        """Make groups with limits, or return None where that is not possible."""
        version = 2 if (root / "cgroup.controllers").exists() else 1
        # At the top and not in one group together, which would get the time of one program.
        name = f"agentgym-{os.getpid()}-{started(os.getpid())}-{next(_counter)}"
        parents = [root / each for each in ("memory", "pids", "cpu")] if version == 1 else [root]
        group = cls(version, [parent / name for parent in parents])
        try:
            for parent, folder in zip(parents, group.folders, strict=True):
                if not parent.is_dir():
                    return None
                if version == 2:
                    (parent / "cgroup.subtree_control").write_text("+memory +pids +cpu")
                folder.mkdir()
            for path, value in group._settings(limits):
                path.write_text(str(value))
        except OSError:
            group.remove()
            return None
        for path in group.folders:
            with contextlib.suppress(OSError):  # no swap here, or it is not counted
                swap = "memory.memsw.limit_in_bytes" if version == 1 else "memory.swap.max"
                if path.joinpath(swap).exists():
                    bytes_in_all = limits.total_mb << 20 if version == 1 else 0
                    path.joinpath(swap).write_text(str(bytes_in_all))
        return group

    def _settings(self, limits: Limits) -> list[tuple[Path, object]]:
        quota = int(limits.cpus * _PERIOD_US)
        if self.version == 2:
            [folder] = self.folders
            return [
                (folder / "memory.max", limits.total_mb << 20),
                (folder / "pids.max", limits.pids),
                (folder / "cpu.max", f"{quota} {_PERIOD_US}"),
            ]
        memory, pids, cpu = self.folders
        return [
            (memory / "memory.limit_in_bytes", limits.total_mb << 20),
            (pids / "pids.max", limits.pids),
            (cpu / "cpu.cfs_period_us", _PERIOD_US),
            (cpu / "cpu.cfs_quota_us", quota),
        ]

    @property
    def oom_counter(self) -> Path:
        """The file that counts who was killed for memory."""
        return self.folders[0] / ("memory.oom_control" if self.version == 1 else "memory.events")

    def oom_kills(self) -> int:
        """Return how many processes were killed for memory."""
        with contextlib.suppress(OSError):
            for line in self.oom_counter.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def add(self, pid: int) -> None:
        """Move a process into the groups; what it starts later is in them too.

        Raises:
            OSError: there is no such process.
        """
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Remove the groups, as soon as nobody is in them."""
        until = time.monotonic() + 2
        for folder in self.folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > until:
                        return
                    time.sleep(0.002)


def remove_stale(root: Path = ROOT) -> int:
    """Remove groups whose process is no more; return how many there were."""
    count = 0
    for folder in [*root.glob("agentgym-*-*-*"), *root.glob("*/agentgym-*-*-*")]:
        _, pid, since, _ = folder.name.split("-")
        if pid.isdigit() and started(int(pid)) != since:
            with contextlib.suppress(OSError):  # not empty yet
                folder.rmdir()
                count += 1
    return count
