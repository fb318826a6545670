"""A calendar in which no two events overlap."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from agentgym.errors import ToolError, nearest

__all__ = ["Calendar"]

FORMAT: Final = "%Y-%m-%dT%H:%M"
MAX_TITLE: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One event. It lasts from `start` up to `end`, which is not part of it."""

    id: str
    title: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.id}: {self.start:{FORMAT}} to {self.end:{FORMAT}} {self.title}"

    def overlaps(self, other: "Event") -> bool:
        """Whether the two have a time in common."""
        return self.start < other.end and other.start < self.end


class Calendar:
    """A calendar: add, move, cancel and list events; two events never overlap.

    It knows no present time, so that the same calls always bring the same.

    Attributes:
        events: by id.
    """

    def __init__(self, *, max_events: int = 1000) -> None:
        """Make an empty calendar.

        Args:
            max_events: events at most.
        """
        self.events: dict[str, Event] = {}
        self.max_events = max_events
        self._made = 0

    def __call__(
        self,
        action: Literal["add", "move", "cancel", "list"],
        title: str = "",
        start: str = "",
        end: str = "",
        event: str = "",
    ) -> str:
        """Keep a calendar. Times are written like 2026-03-14T09:30.

        Args:
            action: "add" an event (title, start, end), "move" one (event, start, end), "cancel" one
                (event), or "list" those between start and end (by default all).
            title: what an event to add is called.
            start: when it starts.
            end: when it ends, after start.
            event: the id of the event to move or cancel, as "list" shows it.
        """
        match action:
            case "list":
                return self._list(start, end)
            case "add":
                return self._add(title, start, end)
            case "cancel":
                return f"cancelled {self.events.pop(self._known(event).id)}"
            case "move":
                old = self._known(event)
                begins, ends = _span(start, end)
                moved = self._fits(replace(old, start=begins, end=ends))
                self.events[moved.id] = moved
                return f"moved {moved}"

    def _add(self, title: str, start: str, end: str) -> str:
        if not title.strip() or len(title) > MAX_TITLE or not title.isprintable():
            raise ToolError(f"add needs a title of one line, at most {MAX_TITLE} characters")
        if len(self.events) >= self.max_events:
            raise ToolError(f"the calendar is full ({self.max_events} events)")
        new = self._fits(Event(f"e{self._made + 1}", title.strip(), *_span(start, end)))
        self._made += 1
        self.events[new.id] = new
        return f"added {new}"

    def _list(self, start: str, end: str) -> str:
        after = _time("start", start) if start else datetime.min
        before = _time("end", end) if end else datetime.max
        found = [e for e in self.events.values() if e.start < before and after < e.end]
        found.sort(key=lambda e: e.start)
        return "\n".join(map(str, found)) or "(no events)"

    def _known(self, event: str) -> Event:
        if event not in self.events:
            said = nearest(event[:80], list(self.events)[:50])
            raise ToolError(f"there is no event {event[:80]!r}; {said}")
        return self.events[event]

    def _fits(self, event: Event) -> Event:
        for other in sorted(self.events.values(), key=lambda e: e.start):
            if other.id != event.id and event.overlaps(other):
                raise ToolError(f"that overlaps with {other}")
        return event


def _span(start: str, end: str) -> tuple[datetime, datetime]:
    begins, ends = _time("start", start), _time("end", end)
    if ends <= begins:
        raise ToolError(f"the end {end} is not after the start {start}")
    return begins, ends


def _time(what: str, text: str) -> datetime:
    try:
        return datetime.strptime(text, FORMAT)
    except ValueError:
        raise ToolError(f"{what} must be a time like 2026-03-14T09:30, got {text[:40]!r}") from None
