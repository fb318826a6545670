"""Places a copy of the package `bfcl-eval`, without what it depends on, in a folder of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from agentgym.errors import ConfigError

__all__ = ["fetch"]

PACKAGE: Final = "bfcl-eval"
VERSION: Final = "2026.3.23"
SHA256: Final = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
"""Of the wheel; pip refuses any other."""

_MARK: Final = f"bfcl_eval-{VERSION}.dist-info"


def default_folder() -> Path:
    """Return where the copy is kept unless said otherwise: in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "agentgym" / f"{PACKAGE}-{VERSION}"


def is_copy(folder: Path) -> bool:
    """Whether a folder holds the version that is played here."""
    return (folder / _MARK / "RECORD").is_file() and (folder / "bfcl_eval").is_dir()


def fetch(folder: str | Path | None = None) -> Path:
    """Download the package with pip, unless it is there already; return its folder.

    Nothing of it is imported, and what it depends on is not installed.

    Args:
        folder: where to; must not exist, or hold the copy. By default `default_folder()`.

    Raises:
        ConfigError: something else is in the folder, or pip cannot get the package.
    """
    place = Path(folder) if folder is not None else default_folder()
    if is_copy(place):
        return place
    if place.exists():
        raise ConfigError(f"{place} is there, and is no copy of {PACKAGE} {VERSION}; remove it")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as work:
        pinned, copy = Path(work, "requirements.txt"), Path(work, "copy")
        pinned.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"]
        command += ["--target", str(copy), "-r", str(pinned)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise ConfigError(
                f"pip could not get {PACKAGE} {VERSION}: {said[-1]}; on a machine with a registry, "
                f"run: pip install --no-deps --target FOLDER {PACKAGE}=={VERSION}"
            )
        try:
            copy.rename(place)
        except OSError:
            if not is_copy(place):  # another process was faster
                raise
    return place
