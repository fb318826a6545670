"""The table of the credit lab: which schemes are in it, a sheet per process, and its texts."""

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agentgym.errors import ConfigError, UserError
from agentgym.trainers.lab.draws import Draws
from agentgym.trainers.lab.estimate import Contender, Estimates, estimate
from agentgym.trainers.lab.measure import Figure, Measures, measure
from agentgym.trainers.lab.process import Process

SCHEMES = (
    "grpo",
    "grpo(std=false)",
    'grpo(std=false, over="turns")',
    "rloo",
    "flow_grpo",
    "reinforce_pp",
    "reinforce_pp | token",
    'reinforce_pp(baseline="group") | token',
    'turn_return(gamma=1.0, baseline="none")',
    "turn_return(gamma=1.0, std=false)",
    'turn_return(gamma=1.0, std=false, baseline="turn_index")',
    'turn_return(gamma=1.0, baseline="turn_index")',
    "turn_return",
    "turn_return(gamma=0.0)",
    'gigpo(gamma=1.0, scale="none")',
    'gigpo(gamma=1.0, scale="none") - grpo(std=false)',
    "gigpo",
    "igpo",
    'igpo(norm="joint")',
    "igpo(std=false)",
    "0.5*igpo + grpo",
    "gae",
    "gae | token",
    "gae(lam=0.0)",
    "gae @ reversed",
    "gae(lam=0.0) @ reversed",
    "gated",
    'gated(accumulation="direct")',
    "checklist",
)
"""What is compared where nothing else is asked for."""

HEADS = ("bias", "scale", "direction", "by state", "noise", "cosine", "silent")

BEGIN, END = "<!-- agentgym lab credit: begin -->", "<!-- agentgym lab credit: end -->"


@dataclass(frozen=True)
class Settings:
    """How the lab measures.

    Attributes:
        group_size: episodes of a group.
        batch_size: groups of a batch, for the cosine and for normalisation over a batch.
        groups: how many to draw where groups are too many to enumerate, or come in batches.
        seed: of all that is drawn; the same for every scheme, so that they see the same groups.
    """

    group_size: int = 4
    batch_size: int = 8
    groups: int = 4000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.groups < 10 * self.batch_size:
            raise ConfigError(
                f"{self.groups} groups make too few batches of {self.batch_size} for an interval; "
                f"draw at least {10 * self.batch_size}"
            )


@dataclass(frozen=True)
class Line:
    """The figures of one scheme, or of several that give the same estimates."""

    schemes: tuple[str, ...]
    measures: Measures

    @property
    def cells(self) -> list[tuple[str, str]]:
        """A text and its interval ("" where it is exact) for each of `HEADS`."""
        m = self.measures
        low, high = min(m.shares.values()), max(m.shares.values())
        same = number(low) == number(high)
        return [
            (exact(m.bias, 0, 2), interval(m.bias)),
            (exact(m.scale, 1, 2), interval(m.scale)),
            (exact(m.direction, 1, 3), interval(m.direction, 3)),
            (number(low) if same else f"{number(low)} to {number(high)}", ""),
            (rounded(m.noise.value), interval(m.noise, None)),
            (number(m.cosine.value, 3), interval(m.cosine, 3)),
            (f"{m.silent:.0%}", ""),
        ]


@dataclass(frozen=True)
class Sheet:
    """The lines of one process."""

    process: Process
    draws: Draws
    lines: tuple[Line, ...]
    left_out: dict[str, list[str]]  #: schemes that need what the process does not have

    @property
    def facts(self) -> str:
        """What the process is about and how its groups were looked at, in sentences."""
        size = self.draws.members_UG.shape[1]
        if self.draws.drawn is None:
            how = f"all {len(self.draws.weights_U):,} different groups of {size}, exactly"
        else:
            how = f"{self.draws.drawn:,} groups of {size}, drawn"
        what = self.process.objective or "return"
        text = (
            f"{self.process.summary} {len(self.process.paths_E)} episodes, {how}; expected {what} "
            f"{self.process.expected_worth:.2f}."
        )
        if self.process.objective is not None:
            one_P, two_P = self.process.exact_gradient_P, self.process.return_gradient_P
            cosine = float(one_P @ two_P / np.linalg.norm(one_P) / np.linalg.norm(two_P))
            text += f" The gradient of the return has a cosine of {cosine:.2f} to that of {what}."
        return text

    @property
    def missing(self) -> str:
        """Who is not in it, and why; empty: nobody."""
        needs: dict[str, list[str]] = {}
        for text, lacking in self.left_out.items():
            needs.setdefault(", ".join(lacking), []).append(text)
        return "; ".join(f"without {need}: {', '.join(who)}" for need, who in needs.items())


def make_sheet(
    process: Process,
    contenders: Sequence[Contender],
    settings: Settings,
    tick: Callable[[], None] = lambda: None,
) -> Sheet:
    """Measure every scheme that the process has what it needs for; `tick` is called after each."""
    drawn = Draws.of(process, settings.group_size, settings.groups, stream(settings, process, 0))
    found: list[tuple[Estimates, list[str]]] = []
    left_out = {}
    for contender in contenders:
        if lacking := contender.missing(process):
            left_out[contender.text] = lacking
        else:
            estimates = estimate(
                contender,
                drawn,
                batches=settings.groups // settings.batch_size,
                batch_size=settings.batch_size,
                generator=stream(settings, process, 1),
            )
            same = [texts for other, texts in found if _equal(estimates, other, process)]
            if same:
                same[0].append(contender.text)
            else:
                found.append((estimates, [contender.text]))
        tick()
    lines = []
    for estimates, texts in found:
        generator = stream(settings, process, 2)
        figures = measure(estimates, process, batch_size=settings.batch_size, generator=generator)
        lines.append(Line(tuple(texts), figures))
    return Sheet(process, drawn, tuple(lines), left_out)


def stream(settings: Settings, process: Process, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose for one process: the same for every scheme."""
    entropy = [settings.seed, purpose, *process.name.encode()]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def _equal(one: Estimates, other: Estimates, process: Process) -> bool:
    """Whether two schemes gave the same estimates, but for a small number added to a deviation."""
    tolerance = 1e-4 * float(np.linalg.norm(process.exact_gradient_P))
    return one.values_UP.shape == other.values_UP.shape and np.allclose(
        one.values_UP, other.values_UP, rtol=1e-4, atol=tolerance
    )


# Texts ---------------------------------------------------------------------------------------


def number(value: float, digits: int = 2) -> str:
    """Return a number with so many decimals, and no sign before a zero.

    >>> number(-0.001), number(0.756)
    ('0.00', '0.76')
    """
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not float(text) else text


def exact(figure: Figure, whole: int, digits: int) -> str:
    """Return a number, without decimals if it is `whole` but for rounding errors.

    >>> exact(Figure(1e-16), 0, 2), exact(Figure(0.003), 0, 2)
    ('0', '0.00')
    """
    if figure.interval is None and abs(figure.value - whole) < 1e-9:
        return str(whole)
    return number(figure.value, digits)


def rounded(value: float) -> str:
    """Return a number with about three digits.

    >>> rounded(0.5), rounded(12.34), rounded(float("inf"))
    ('0.50', '12', 'inf')
    """
    return "inf" if math.isinf(value) else number(value, 2 if abs(value) < 10 else 0)


def interval(figure: Figure, digits: int | None = 2) -> str:
    """Return the interval of a figure as text; empty: it is exact."""
    if figure.interval is None:
        return ""
    low, high = figure.interval
    if digits is None:
        return f"[{rounded(low)}, {rounded(high)}]"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def markdown(sheets: Sequence[Sheet]) -> str:
    """Return the sheets as Markdown tables whose columns line up in the source."""
    parts = []
    for sheet in sheets:
        rows = [[*HEADS, "scheme"]]
        for line in sheet.lines:
            cells = [" ".join(filter(None, cell)) for cell in line.cells]
            rows.append([*cells, ", ".join(f"`{_escaped(text)}`" for text in line.schemes)])
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
        rules = [*("-" * width for width in widths), "---"]
        text = [
            "| " + " | ".join([*map(str.ljust, row[:-1], widths), row[-1]]) + " |"
            for row in (rows[0], rules, *rows[1:])
        ]
        facts = textwrap.fill(sheet.facts, 100)
        parts.append(f"### {sheet.process.name}\n\n{facts}\n\n" + "\n".join(text))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def replaced(page: str, text: str, where: str) -> str:
    """Return a page with what stands between the lab's two marks replaced.

    Raises:
        UserError: the page does not have the two marks, once each and in order.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if page.count(BEGIN) != 1 or page.count(END) != 1 or not pattern.search(page):
        raise UserError(
            f"{where} must have the line {BEGIN!r} and below it the line {END!r}, once each; "
            "the tables are written between them"
        )
    return pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", page)
