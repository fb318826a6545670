"""What a training run shows while it runs: a live picture in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agentgym.trainers.curve import draw
from agentgym.trainers.evaluate import Score


@dataclass(frozen=True, slots=True)
class Iteration:
    """What one iteration brought."""

    index: int  #: counted from 1
    of: int
    train: Score
    counts: Mapping[str, str]  #: what else deserves a line: name -> value
    elapsed_s: float


class Progress(Protocol):
    """Told of everything that happens, in order."""

    def start(self, title: str, facts: Mapping[str, str]) -> None:
        """The run begins; `facts` say what it is about."""

    def warmstart(self, step: int, of: int, loss: float) -> None:
        """One step of the warm start was made."""

    def iteration(self, report: Iteration) -> None:
        """One iteration is done."""

    def evaluation(self, iteration: int, what: str, score: Score, *, on_curve: bool) -> None:
        """An evaluation is done; `what` says what it was measured on."""

    def say(self, message: str, *, warning: bool = False) -> None:
        """Something the user should know."""

    def stop(self) -> None:
        """Nothing more will come."""


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, console: Console | None = None, *, every_s: float = 5.0) -> None:
        """Write to `console`; iterations at most every `every_s` seconds."""
        self.console = console or Console(highlight=False)
        self.every_s, self._last = every_s, float("-inf")

    def start(self, title: str, facts: Mapping[str, str]) -> None:
        """Write one line per fact."""
        self._write(title)
        for name, value in facts.items():
            self._write(f"  {name}: {value}")

    def warmstart(self, step: int, of: int, loss: float) -> None:
        """Write a line now and then, and at the end."""
        if self._due() or step == of:
            self._write(f"warm start {step}/{of}  loss {loss:.3f}")

    def iteration(self, report: Iteration) -> None:
        """Write a line now and then, and at the end."""
        if self._due() or report.index == report.of:
            counts = "  ".join(f"{name} {value}" for name, value in report.counts.items())
            self._write(
                f"iteration {report.index}/{report.of}  {report.elapsed_s:.0f} s  "
                f"training success {report.train}  {counts}"
            )

    def evaluation(self, iteration: int, what: str, score: Score, *, on_curve: bool) -> None:
        """Write a line."""
        self._write(f"after iteration {iteration}: success on {what}: {score}")

    def say(self, message: str, *, warning: bool = False) -> None:
        """Write a line."""
        self._write(f"{'warning: ' if warning else ''}{message}")

    def stop(self) -> None:
        """Do nothing."""

    def _write(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self.every_s:
            return False
        self._last = now
        return True


class LivePicture:
    """A picture in the terminal: the learning curve, the latest figures, what was noticed."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on `console`, a terminal."""
        self.console = console or Console(highlight=False)
        self._live: Live | None = None
        self._title = ""
        self._facts: Mapping[str, str] = {}
        self._warm: tuple[int, int, float] | None = None
        self._report: Iteration | None = None
        self._curve: list[tuple[float, Score]] = []
        self._training: list[tuple[float, Score]] = []
        self._held_out: tuple[str, str] | None = None
        self._others: dict[str, str] = {}
        self._drawn = float("-inf")

    def start(self, title: str, facts: Mapping[str, str]) -> None:
        """Begin to draw."""
        self._title, self._facts = title, facts
        self._live = Live(console=self.console, auto_refresh=False)
        self._live.start()
        self._draw()

    def warmstart(self, step: int, of: int, loss: float) -> None:
        """Show how far it is."""
        self._warm = (step, of, loss)
        self._draw(now=step == of)

    def iteration(self, report: Iteration) -> None:
        """Show its figures."""
        self._report = report
        self._training.append((report.index, report.train))
        self._draw()

    def evaluation(self, iteration: int, what: str, score: Score, *, on_curve: bool) -> None:
        """Add a point to the curve, or a line below it."""
        if on_curve:
            self._curve.append((iteration, score))
            self._held_out = (what, str(score))
        else:
            self._others[what] = f"{score} after iteration {iteration}"
        self._draw(now=True)

    def say(self, message: str, *, warning: bool = False) -> None:
        """Write a line above the picture, where it stays."""
        console = self._live.console if self._live else self.console
        console.print(Text(message, style="yellow" if warning else ""))

    def stop(self) -> None:
        """Leave the last picture standing."""
        if self._live:
            self._draw(now=True)
            self._live.stop()
            self._live = None

    def _draw(self, *, now: bool = False) -> None:
        if self._live and (now or time.monotonic() - self._drawn > 0.2):
            self._drawn = time.monotonic()
            self._live.update(self.picture(), refresh=True)

    def picture(self) -> RenderableType:
        """Return what is to be seen at this moment."""
        facts = Table.grid(padding=(0, 2))
        for name, value in self._facts.items():
            facts.add_row(Text(name, style="dim"), Text(value))
        parts: list[RenderableType] = [facts]
        if self._warm and self._report is None:
            step, of, loss = self._warm
            bar = Table.grid(padding=(0, 2))
            bar.add_row("warm start", ProgressBar(of, step, width=40), f"loss {loss:.3f}")
            parts += [Text(), bar]
        if len(self._curve) > 1:
            parts += [Text(), Text("success on held-out worlds, with 95 % intervals", style="bold")]
            parts += self._plot(self._curve, intervals=True)
        elif len(self._training) > 1:
            parts += [Text(), Text("success in training", style="bold")]
            parts += self._plot(self._training, intervals=False)
        figures = Table.grid(padding=(0, 2))
        if self._report:
            report = self._report
            figures.add_row("iteration", f"{report.index} of {report.of}, {report.elapsed_s:.0f} s")
            figures.add_row("training success", str(report.train))
        if self._held_out:
            what, score = self._held_out
            figures.add_row("held-out success", Text(score, style="bold green"))
            figures.add_row("", Text(f"on {what}", style="dim"))
        for what, score in self._others.items():
            figures.add_row(f"on {what}", score)
        if self._report:
            for name, value in self._report.counts.items():
                figures.add_row(Text(name, style="dim"), Text(value, style="dim"))
        parts += [Text(), figures]
        return Panel(Group(*parts), title=Text(self._title), title_align="left")

    def _plot(self, curve: list[tuple[float, Score]], *, intervals: bool) -> list[Text]:
        lines = draw(
            [(x, score.rate) for x, score in curve],
            intervals=[score.interval for _, score in curve] if intervals else (),
            width=max(20, min(64, self.console.width - 24)),
            height=9,
            unit="iteration",
        )
        return [Text(line) for line in lines]


class Silent:
    """Shows nothing."""

    def start(self, title: str, facts: Mapping[str, str]) -> None:
        """Do nothing."""

    def warmstart(self, step: int, of: int, loss: float) -> None:
        """Do nothing."""

    def iteration(self, report: Iteration) -> None:
        """Do nothing."""

    def evaluation(self, iteration: int, what: str, score: Score, *, on_curve: bool) -> None:
        """Do nothing."""

    def say(self, message: str, *, warning: bool = False) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


def for_terminal(console: Console | None = None) -> Progress:
    """Return a live picture if the console is a terminal, and plain lines if not."""
    console = console or Console(highlight=False)
    return LivePicture(console) if console.is_terminal else Lines(console)
