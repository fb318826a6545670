"""What a run was made with."""

import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import agentgym
from agentgym.env import env_class

PACKAGES = ("gymnasium", "numpy", "torch", "transformers", "alfworld", "textworld", "vllm")
"""Packages that may change what a run computes; those that are installed are recorded."""


def versions_of(envs: Iterable[str]) -> dict[str, str | int]:
    """Return the versions of Python, agentgym, installed packages, and the named environments.

    Raises:
        UnknownName: no such environment.
    """
    found: dict[str, str | int] = {
        "python": platform.python_version(),
        "agentgym": agentgym.__version__,
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found.update({f"environment {name}": env_class(name).version for name in sorted(set(envs))})
    return found


@functools.cache  # the code that this process has loaded does not change
def code_commit() -> str:
    """Return the git commit of agentgym's own code, with "+" if changed; empty outside of git."""
    folder = Path(agentgym.__file__).resolve().parent
    if not _git(folder, "ls-files", "__init__.py"):
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    return commit + ("+" if _git(folder, "status", "--porcelain", "-uno") else "")


def _git(folder: Path, *command: str) -> str:
    """Return what git says; nothing where it is absent, refuses, or this is no checkout."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *command],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
