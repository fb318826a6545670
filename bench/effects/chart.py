"""Curves with intervals as SVG, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by all kinds of eyes
INK, FAINT = "#222222", "#dddddd"
WIDTH, HEIGHT = 360, 250  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 26, 30, 42  # margins inside a panel


@dataclass(frozen=True)
class Curve:
    """One line: the mean at each x, and the ends of its interval."""

    label: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One plot. Curves with equal labels have the same color in all panels."""

    title: str
    curves: Sequence[Curve]
    x_label: str
    percent: bool = False  #: y is a share, from 0 to at most 1


def draw(panels: Sequence[Panel]) -> str:
    """Return panels side by side, with one legend above."""
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    colors = {label: COLORS[i % len(COLORS)] for i, label in enumerate(labels)}
    width, height = WIDTH * len(panels), HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    x = float(LEFT)
    for label in labels:
        parts.append(f'<rect x="{x:g}" y="9" width="18" height="4" fill="{colors[label]}"/>')
        parts.append(_text(x + 24, 16, label))
        x += 24 + 7.5 * len(label) + 22
    for i, panel in enumerate(panels):
        parts.append(f'<g transform="translate({i * WIDTH} 24)">')
        parts += _panel(panel, colors)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, colors: dict[str, str]) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    last = max(max(curve.x) for curve in panel.curves)
    ticks = _ticks(max(max(curve.high) for curve in panel.curves), whole=panel.percent)
    top = ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / (last or 1) * (right - LEFT), bottom - y / top * (bottom - TOP)

    parts = [_text(LEFT, TOP - 10, panel.title, weight="bold")]
    for tick in ticks:
        _, y = place(0, tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{FAINT}"/>')
        label = f"{tick:.0%}" if panel.percent else f"{tick:g}"
        parts.append(_text(LEFT - 6, y + 4, label, anchor="end"))
    for tick in (0.0, last / 2, last):
        x, _ = place(tick, 0)
        parts.append(_text(x, bottom + 16, f"{tick:,.0f}", anchor="middle"))
    parts.append(_text((LEFT + right) / 2, bottom + 34, panel.x_label, anchor="middle"))
    for curve in panel.curves:
        upper = [place(x, y) for x, y in zip(curve.x, curve.high, strict=True)]
        lower = [place(x, y) for x, y in zip(curve.x, curve.low, strict=True)]
        middle = [place(x, y) for x, y in zip(curve.x, curve.mean, strict=True)]
        color = colors[curve.label]
        band = _path([*upper, *reversed(lower)])
        parts.append(f'<path d="{band}Z" fill="{color}" fill-opacity="0.18"/>')
        parts.append(f'<path d="{_path(middle)}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{color}"/>' for x, y in middle]
    return parts


def _ticks(highest: float, *, whole: bool) -> list[float]:
    """Return round numbers from 0 to at least `highest`, four to six of them.

    >>> _ticks(0.83, whole=True), _ticks(2.9, whole=False)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 1.0, 2.0, 3.0])
    """
    steps = [0.05, 0.1, 0.2] if whole else [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)]
    step = next((s for s in steps if s * 5 >= highest), steps[-1])
    count = 1
    while round(step * count, 10) < min(highest, 1.0) if whole else step * count < highest:
        count += 1
    return [round(step * i, 10) for i in range(count + 1)]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
