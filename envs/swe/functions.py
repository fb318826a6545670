"""A function to repair: one short file in memory, edited line by line, judged in a sandbox."""

import difflib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar, cast

from agentgym.envs.swe.desk import replaced
from agentgym.errors import ToolError
from agentgym.swe.grade_function import FunctionGrader, FunctionTask
from agentgym.swe.verdict import Verdict
from agentgym.tools.sandbox import Caps
from agentgym.types import ToolCall

MAX_SOURCE: Final = 20_000
_REMEMBERED: Final = 20_000
_TOKEN: Final = re.compile(r"\w+|\s+|[<>=!*/]=|[^\w\s]")
_SWAPS: Final = {
    "<": ("<=", ">"), "<=": ("<",), ">": (">=", "<"), ">=": (">",), "==": ("!=",), "!=": ("==",),
    "+": ("-",), "-": ("+",), "*": ("+",), "0": ("1",), "1": ("0", "2"), "2": ("1",),
    "min": ("max",), "max": ("min",), "and": ("or",), "or": ("and",), "True": ("False",),
    "False": ("True",),
}  # fmt: skip


class FunctionDesk:
    """See `Desk`. What is equal is judged once per process: equal sources, equal verdicts."""

    source: str  #: as it is now
    gone = ""

    def __init__(self, task: FunctionTask, grader: FunctionGrader) -> None:
        self._lay_out(task, grader)

    def tools(self) -> Mapping[str, object]:
        """Return the tools by name."""
        return {"view": self.view, "edit": self.edit, "run": self.run, "submit": self.submit}

    def view(self) -> str:
        """Show the file, with the numbers of its lines."""
        return _numbered(self.source)

    def edit(self, line: int, old: str, new: str) -> str:
        """Change one line of the file.

        Args:
            line: its number, from 1.
            old: what is replaced; must stand in the line exactly once. Empty: the whole line.
            new: what stands there instead. Nothing in place of a whole line removes it.
        """
        self._open()
        lines = self.source.split("\n")
        if not 1 <= line <= len(lines):
            raise ToolError(f"there is no line {line}; the file has {len(lines)}")
        if old:
            new = replaced(lines[line - 1], old, new)
        lines[line - 1 : line] = [new] if old or new else []
        source = "\n".join(lines)
        if len(source) > MAX_SOURCE:
            raise ToolError(f"the file would have more than {MAX_SOURCE} characters")
        self.source = source
        return f"{line} {new}" if old or new else f"line {line} is gone"

    def run(self) -> str:
        """Run the examples and show what they bring."""
        self._open()
        self.tests_run = True
        return _remembered(("run", self.key, self.source), self._examples)

    def submit(self) -> str:
        """Hand in the file as it is. This ends the task."""
        self.submitted = True
        return "submitted"

    def modified(self) -> bool:
        """Whether the file differs from what was given out."""
        return self.source != self.task.source

    def state(self) -> str:
        """Return the file."""
        return self.source

    def grade(self) -> Verdict:
        """Judge the file as it is. Raises EpisodeFailure where no verdict can be reached."""
        wanted = ("grade", self.key, self.source)
        return _remembered(wanted, lambda: self.grader.grade(self.source))

    def gold(self) -> list[ToolCall]:
        """Return edits that lead to the right source."""
        return list(_edits(self.source.split("\n"), self.task.fixed.split("\n")))

    def commands(self) -> Iterator[ToolCall]:
        """Return edits of single tokens, looking, running and submitting."""
        for number, line in enumerate(self.source.split("\n"), 1):
            for token in dict.fromkeys(_TOKEN.findall(line)):
                if line.count(token) == 1:
                    for other in _SWAPS.get(token, ()):
                        yield _edit(number, token, other)
        yield ToolCall("view", {})
        yield ToolCall("run", {})
        yield ToolCall("submit", {})

    def saved(self) -> object:
        """Return the state of the episode."""
        return self.task, self.grader, self.source, self.submitted, self.tests_run

    def load(self, saved: object) -> None:
        """Go back to it."""
        task, grader, source, submitted, tests_run = cast(
            "tuple[FunctionTask, FunctionGrader, str, bool, bool]", saved
        )
        self._lay_out(task, grader)
        self.source, self.submitted, self.tests_run = source, submitted, tests_run

    def caps(self) -> Caps | None:
        """Return what the sandbox of the last verdict enforces."""
        return self.grader.caps

    def close(self) -> None:
        """Nothing is held."""

    def _lay_out(self, task: FunctionTask, grader: FunctionGrader) -> None:
        self.task, self.grader = task, grader
        self.key, self.source = task.key, task.source
        self.submitted = self.tests_run = False
        self.opening = f"{task.statement}\n{_numbered(task.source)}"

    def _open(self) -> None:
        if self.submitted:
            raise ToolError("it was handed in")

    def _examples(self) -> str:
        shown = self.task.examples
        said = self.grader.answers(self.source, [case.arguments for case in shown])
        lines = []
        for k, case in enumerate(shown):
            got = said[k] if k < len(said) else "no answer"
            given = ", ".join(json.dumps(value) for value in case.arguments)
            lines.append(f"{self.task.function}({given}) = {got}, wanted {case.wanted}")
        return "\n".join(lines) or "there are no examples"


T = TypeVar("T")
_lock = threading.Lock()
_answers: OrderedDict[tuple[str, str, str], object] = OrderedDict()


def _remembered(key: tuple[str, str, str], work: Callable[[], T]) -> T:
    """Return what work brings, or brought for the same key; what raises is not kept."""
    with _lock:
        if key in _answers:
            _answers.move_to_end(key)
            return cast("T", _answers[key])
    answer = work()
    with _lock:
        _answers[key] = answer
        while len(_answers) > _REMEMBERED:
            _answers.popitem(last=False)
    return answer


def _numbered(source: str) -> str:
    return "\n".join(f"{k} {line}" for k, line in enumerate(source.split("\n"), 1))


def _edit(line: int, old: str, new: str) -> ToolCall:
    return ToolCall("edit", {"line": line, "old": old, "new": new})


def _edits(now: list[str], wanted: list[str]) -> Iterator[ToolCall]:
    """Yield edits from one list of lines to another, from the end on, so that numbers stay."""
    matcher = difflib.SequenceMatcher(None, now, wanted, autojunk=False)
    for tag, a, b, c, d in reversed(matcher.get_opcodes()):
        new = wanted[c:d]
        match tag:
            case "insert" if a:
                yield _edit(a, "", "\n".join([now[a - 1], *new]))
            case "insert":
                yield _edit(1, "", "\n".join([*new, now[0]]))
            case "replace" if b - a == d - c:
                for k in reversed(range(b - a)):
                    yield _small_edit(a + k + 1, now[a + k], new[k])
            case "replace" | "delete":
                for k in reversed(range(a + bool(new), b)):
                    yield _edit(k + 1, "", "")
                if new:
                    joined = "\n".join(new)
                    yield _edit(a + 1, "" if joined else now[a], joined)


def _small_edit(number: int, now: str, wanted: str) -> ToolCall:
    """Return an edit of as few tokens of a line as can be named."""
    old, new = _TOKEN.findall(now), _TOKEN.findall(wanted)
    start, end = 0, 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    while True:
        part = "".join(old[start : len(old) - end])
        if part and now.count(part) == 1:
            return _edit(number, part, "".join(new[start : len(new) - end]))
        if not start and not end:
            return _edit(number, "", wanted)
        start, end = (start - 1, end) if start else (0, end - 1)
