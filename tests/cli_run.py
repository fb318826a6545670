"""What the tests of the command line are given by their fixture `agentgym`."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it said, on one line however it was wrapped."""
        return " ".join((self.out + self.err).split())


class Run(Protocol):
    """Runs `agentgym` with the given words."""

    def __call__(self, *words: object, stdin: str = "", code: int | None = 0) -> Done:
        """Return what it did; fails unless it ended with `code` (None: any)."""
        ...
