"""A learning curve as text."""

import itertools
from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Braille dots of a cell: rows from the top, left and right."""


def draw(
    points: Sequence[tuple[float, float]],
    *,
    intervals: Sequence[tuple[float, float]] = (),
    width: int = 60,
    height: int = 10,
    unit: str = "",
) -> list[str]:
    """Return the lines of a plot of (x, share) points, the share from 0 to 1.

    Args:
        points: sorted by x.
        intervals: the ends of each point's interval, drawn as a vertical line of dots.
        width, height: of the plotted area, in characters.
        unit: what x counts, written under the axis.

    >>> print("\\n".join(draw([(0, 0.0), (10, 1.0)], width=10, height=3, unit="iteration")))
    100% ┤      ⢀⡠⠔⠊
     50% ┤   ⢀⡠⠎⠁
      0% ┤⡠⠔⠊⠁
         └──────────
          0       10 iteration
    """
    dots_w, dots_h = 2 * width, 4 * height
    last = max((x for x, _ in points), default=0.0)
    first = min((x for x, _ in points), default=0.0)
    span = (last - first) or 1.0
    cells = [[0x2800] * width for _ in range(height)]

    def place(x: float, share: float) -> None:
        column = min(dots_w - 1, round((x - first) / span * (dots_w - 1)))
        row = min(dots_h - 1, max(0, round((1 - share) * (dots_h - 1))))
        cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]

    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        steps = max(1, round((x1 - x0) / span * dots_w), round(abs(y1 - y0) * dots_h))
        for i in range(steps + 1):
            place(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps)
    for x, share in points:
        place(x, share)
    for (x, _), (low, high) in zip(points, intervals, strict=bool(intervals)):
        for dot in range(round(low * (dots_h - 1)), round(high * (dots_h - 1)) + 1, 2):
            place(x, dot / (dots_h - 1))
    lines = []
    for row, codes in enumerate(cells):
        share = 1 - row / max(1, height - 1)
        marked = row in (0, height - 1) or 2 * row == height - 1
        label = f"{share:4.0%} ┤" if marked else "     │"
        lines.append(label + "".join(map(chr, codes)).replace("\u2800", " ").rstrip())
    left, right = f"{first:g}", f"{last:g} {unit}".rstrip()
    gap = max(1, width - len(left) - len(f"{last:g}"))
    return [*lines, "     └" + "─" * width, f"      {left}{' ' * gap}{right}"]
