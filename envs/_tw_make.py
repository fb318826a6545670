"""TextWorld games made on demand by `tw-make`, each once, and kept in a folder."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import textworld

from agentgym.errors import ConfigError, UnknownName

KINDS = ("coin_collector", "treasure_hunter", "simple", "cooking", "custom")
"""What `tw-make` can make."""

_OURS = ("--seed", "--output", "--format", "-f", "--force", "--overview", "--save-overview")
_TIMEOUT_S = 300


class Generator:
    """Games made by one line of arguments; game k has the seed k."""

    def __init__(self, line: str, count: int, folder: Path | None) -> None:
        """Check the arguments; makes nothing yet.

        Raises:
            ConfigError: a value that cannot be, or `tw-make` is not installed.
            UnknownName: no such kind of game.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(f"count must be a whole number of at least 1, got {count!r}")
        if not isinstance(line, str) or not line.split():
            raise ConfigError(f"generate must be like 'coin_collector --level 5', got {line!r}")
        try:
            kind, *flags = shlex.split(line)
        except ValueError as error:
            raise ConfigError(f"generate={line!r} cannot be read: {error}") from error
        kind = kind.removeprefix("tw-")
        if kind not in KINDS:
            raise UnknownName("kind of TextWorld game", kind, KINDS)
        for flag in flags:
            if flag.partition("=")[0] in _OURS:
                raise ConfigError(f"generate={line!r}: {flag} is set by agentgym, leave it out")
        self._arguments = [kind if kind == "custom" else f"tw-{kind}", *flags]
        self._program = _tw_make()
        # Another version of textworld makes other games of the same arguments.
        identity = shlex.join([textworld.__version__, *self._arguments])
        digest = hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()
        # Resolved: tw-make runs in a folder of its own.
        self.folder = (folder or cache_folder()).expanduser().resolve() / f"{kind}-{digest}"
        self.names = tuple(f"{seed}.z8" for seed in range(count))

    def path(self, name: object) -> Path:
        """Return the file of a game, made now if it is not there yet.

        Raises:
            UnknownName: there is no such game.
            ConfigError: `tw-make` failed; the message has its last words.
        """
        if name not in self.names:
            raise UnknownName("generated game", name, self.names[:100])
        path = self.folder / str(name)
        if not (path.is_file() and path.with_suffix(".json").is_file()):
            self._make(path)
        return path

    def _make(self, path: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Made aside and moved: a game that is there is whole, whoever else makes the same one.
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".making-") as aside:
            made = Path(aside) / path.name
            command = [
                *self._program, *self._arguments,
                "--seed", path.stem, "--output", str(made), "--silent",
            ]  # fmt: skip
            shown = shlex.join(["tw-make", *self._arguments, "--seed", path.stem])
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace",
                    timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, cwd=aside, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise ConfigError(f"`{shown}` took longer than {_TIMEOUT_S} s") from error
            if done.returncode or not made.is_file():
                words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
                raise ConfigError(f"`{shown}` failed: {words[-1]}")
            for suffix in (".json", ".z8"):
                os.replace(made.with_suffix(suffix), path.with_suffix(suffix))


def cache_folder() -> Path:
    """Return where generated games are kept by default."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "agentgym" / "textworld"


def _tw_make() -> list[str]:
    """Return how to run `tw-make`: the one beside this Python, else one on the path."""
    beside = Path(sys.executable).with_name("tw-make")
    if beside.is_file():
        return [str(beside)]
    found = shutil.which("tw-make")
    if found is None:
        raise ConfigError("tw-make is not there; pip install 'agentgym[textworld]'")
    return [found]
