"""What an agent repairs something at: files, tools, and who judges what it hands in."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from agentgym.errors import ToolError
from agentgym.swe.grade_function import FunctionGrader
from agentgym.swe.grade_repository import RepositoryGrader
from agentgym.swe.verdict import Verdict
from agentgym.tools.sandbox import Caps
from agentgym.types import ToolCall

__all__ = ["Desk", "replaced"]


class Desk(Protocol):
    """One task in one episode.

    Attributes:
        opening: what the agent is shown first. key: the identity of the task.
        submitted: the tool submit was called. tests_run: a test was run, or what may be one.
        gone: why nothing is left to work at, by the agent's own doing; else empty.
    """

    opening: str
    key: str
    submitted: bool
    tests_run: bool
    gone: str

    @property
    def grader(self) -> FunctionGrader | RepositoryGrader:
        """What judges it."""

    def tools(self) -> Mapping[str, object]:
        """Return the tools by name."""

    def modified(self) -> bool:
        """Whether anything differs from what was given out."""

    def state(self) -> str | None:
        """Return the identity of all files, and of where commands start; None: not known."""

    def grade(self) -> Verdict:
        """Judge the files as they are. Raises EpisodeFailure where no verdict can be reached."""

    def gold(self) -> list[ToolCall] | None:
        """Return calls that lead to the right files, without submitting; None: none are known."""

    def saved(self) -> object:
        """Return what `load` takes back. Raises NotImplementedError where it cannot be had."""

    def load(self, saved: object) -> None:
        """Go back to what `saved` returned."""

    def caps(self) -> Caps | None:
        """Return what the sandbox enforces that programs of the agent run in; None: none did."""

    def commands(self) -> Iterable[ToolCall]:
        """Return calls that make sense now, for demonstrations with mistakes; may be none."""

    def close(self) -> None:
        """Give back what is held outside of Python."""


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with one place changed.

    Raises:
        ToolError: the place is not there, or there more than once.
    """
    count = text.count(old)
    if count != 1:
        there = (
            f"is there {count} times; give more of what is around it" if count else "is not there"
        )
        raise ToolError(f"{old[:80]!r} {there}")
    if old == new:
        raise ToolError("old and new are the same")
    return text.replace(old, new)
