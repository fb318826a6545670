"""What a conformance kit finds out: a list of checks, each with a sentence that says what to do."""

import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from agentgym.errors import AgentGymError, ConformanceError

T = TypeVar("T")

Status = Literal["passed", "failed", "warning", "not applicable"]


class Failed(Exception):
    """Raised by a check that found a fault; the message is shown as it is."""


class Doubtful(Exception):
    """Raised by a check that found something odd that is not a fault: a warning."""


class NotApplicable(Exception):
    """Raised by a check that cannot say anything here; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `detail` is empty when it passed without anything to say."""

    name: str
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one kit for one subject. It is true when nothing failed."""

    kind: str  #: what was checked: "environment", "credit scheme", ...
    name: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> tuple[Check, ...]:
        """The checks that found everything in order."""
        return self._with("passed")

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that found a fault."""
        return self._with("failed")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that found something odd that is not a fault."""
        return self._with("warning")

    @property
    def not_applicable(self) -> tuple[Check, ...]:
        """The checks that do not apply to this subject."""
        return self._with("not applicable")

    def __bool__(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        lines = [f"{self.kind} {self.name}: {self.counts()}"]
        lines += [f"  {check.status}: {check.name}: {check.detail}" for check in self._to_tell()]
        return "\n".join(lines)

    def counts(self) -> str:
        """Return the numbers of checks by status, as text.

        >>> Report("environment", "x", (Check("a", "passed"), Check("b", "failed", "no"))).counts()
        '1 passed, 1 failed'
        """
        parts = [("passed", self.passed), ("failed", self.failed)]
        parts += [("warnings", self.warnings), ("not applicable", self.not_applicable)]
        return ", ".join(f"{len(checks)} {word}" for word, checks in parts if checks)

    def raise_on_failure(self) -> "Report":
        """Return this report if nothing failed.

        Raises:
            ConformanceError: something failed; the message lists every failed check.
        """
        if self.failed:
            lines = [f"{self.kind} {self.name} fails {len(self.failed)} of its checks:"]
            lines += [f"  {check.name}: {check.detail}" for check in self.failed]
            raise ConformanceError("\n".join(lines))
        return self

    def _with(self, status: Status) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == status)

    def _to_tell(self) -> tuple[Check, ...]:
        return self.failed + self.warnings


@dataclass(frozen=True, slots=True)
class Named(Generic[T]):
    """One check of a kit: its name, and a function that raises when it is not satisfied.

    The checks after a failed `gate` would only repeat its failure, and are not run.
    """

    name: str
    check: Callable[[T], None]
    gate: bool = False


def run_checks(
    kind: str,
    name: str,
    subject: T,
    checks: Sequence[Named[T]],
    *,
    timeout_s: float | None = None,
    doing: Callable[[], str] = lambda: "",
) -> Report:
    """Run checks one after the other; whatever they raise becomes a line of the report.

    Args:
        kind: what is checked, e.g. "environment". name: which one.
        subject: what every check is given.
        checks: in order; see `Named`.
        timeout_s: seconds for one check; a check that hangs ends the report. None: no limit, and
            checks run in the calling thread.
        doing: says what was going on last, for checks that hang or crash.
    """
    results: list[Check] = []
    stopped = ""
    for item in checks:
        if stopped:
            results.append(Check(item.name, "not applicable", f"not reached: {stopped}"))
            continue
        result, hung = _run(item, subject, timeout_s, doing)
        results.append(result)
        if hung or (item.gate and result.status == "failed"):
            stopped = f"{item.name!r} failed"
    return Report(kind, name, tuple(results))


def where(error: BaseException) -> str:
    """Return the place in the checked code that raised an error, as `file.py, line 3, in act`."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/agentgym/testing/" not in f.filename]
    if not ours:
        return ""
    last = ours[-1]
    return f"{last.filename.rpartition('/')[2]}, line {last.lineno}, in {last.name}"


def _run(
    item: Named[T], subject: T, timeout_s: float | None, doing: Callable[[], str]
) -> tuple[Check, bool]:
    """Return the result of one check, and whether it is still hanging."""
    if timeout_s is None:
        return _result(item, subject, doing), False
    box: list[Check] = []
    thread = threading.Thread(
        target=lambda: box.append(_result(item, subject, doing)), daemon=True, name=item.name
    )
    thread.start()
    thread.join(timeout_s)
    if box:
        return box[0], False
    at = f"; it hangs in {doing()}" if doing() else ""
    return Check(item.name, "failed", f"not finished after {timeout_s:g} s{at}"), True


def _result(item: Named[T], subject: T, doing: Callable[[], str]) -> Check:
    try:
        item.check(subject)
    except Failed as failure:
        return Check(item.name, "failed", str(failure))
    except Doubtful as doubt:
        return Check(item.name, "warning", str(doubt))
    except NotApplicable as reason:
        return Check(item.name, "not applicable", str(reason))
    except AgentGymError as error:
        return Check(item.name, "failed", f"{error}{_at(doing())}")
    except (Exception, SystemExit) as error:  # the checked code may raise anything
        place = f" ({where(error)})" if where(error) else ""
        said = f"{type(error).__name__}: {error}"
        return Check(item.name, "failed", f"{doing() or 'it'} raised {said}{place}")
    return Check(item.name, "passed")


def _at(doing: str) -> str:
    return f" (in {doing})" if doing else ""
