"""Figures of finished runs: results.json, tables between the marks of a page, curves as SVG.

    python -m bench.effects.report runs/effects       # writes docs/effects.md and docs/effects/

Intervals are 95 % percentile bootstrap intervals over seeds (`agentgym.statistics`), differences
paired over seeds. With five seeds such intervals are too narrow, by about a tenth; how many seeds
agree on the sign stands beside them.
"""

import argparse
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.records import read_metrics
from agentgym.statistics import bootstrap_mean, paired_difference
from bench.effects.chart import Curve, Panel, draw
from bench.effects.plan import EFFECTS, SEEDS, run_folder

PAGE = Path(__file__).parents[2] / "docs" / "effects.md"

KEPT = re.compile(r"(eval|first|final)/(success|mean_turns|mean_return|reward_\w+|fact_submitted)")
AVERAGED = re.compile(r"train/(success|mean_return|reward_\w+)|credit/\w+")

Points = dict[int, float]
"""Values by the iteration they were measured after; of `AVERAGED`, means since the one before."""


@dataclass(frozen=True)
class Run:
    """What is kept of a run."""

    per_iteration: int  #: episodes
    metrics: Mapping[str, Points]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read a run's folder."""
        config = tomllib.loads((folder / "config.toml").read_text())
        every = config["eval"]["every"] or 1
        rows = list(read_metrics(folder))
        metrics: dict[str, Points] = {}
        blocks: dict[str, dict[int, list[float]]] = {}
        for row in rows:
            step = int(row["step"])
            for name, value in row.items():
                if KEPT.fullmatch(name):
                    metrics.setdefault(name, {})[step] = value
                elif AVERAGED.fullmatch(name):
                    block = -(-step // every) * every
                    blocks.setdefault(name, {}).setdefault(block, []).append(value)
        for name, found in blocks.items():
            metrics[name] = {block: float(np.mean(values)) for block, values in found.items()}
        episodes = config["rollout"]["tasks"] * config["rollout"]["group_size"]
        return cls(episodes, metrics)

    def at(self, metric: str, step: int) -> float:
        """Return a metric's value after an iteration; rewards that nobody earned are 0."""
        points = self.metrics.get(metric, {})
        return points.get(step, 0.0) if "/reward_" in metric else points[step]

    def steps(self, metric: str) -> list[int]:
        """Return the iterations after which a metric was measured."""
        return sorted(self.metrics[metric])

    def area(self, metric: str) -> float:
        """Return the mean height of a metric's curve, by trapezoids."""
        x = self.steps(metric)
        y = [self.at(metric, step) for step in x]
        return float(np.trapezoid(y, x) / (x[-1] - x[0])) if len(x) > 1 else y[0]

    def mean(self, metric: str) -> float:
        """Return the mean over all iterations (blocks of equal length)."""
        return float(np.mean(list(self.metrics[metric].values())))


Runs = dict[str, list[Run]]
"""Of each arm, one run per seed, in the same order of seeds."""


# Intervals ----------------------------------------------------------------------------------------


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)  # the same resamples for every figure


def shown(values: Sequence[float], unit: str) -> str:
    """Return a mean with its interval over seeds.

    >>> shown([0.5, 0.5, 0.5], "%")
    '50.0% [50.0%, 50.0%]'
    """
    low, high = bootstrap_mean(values, _generator())
    return f"{_number(float(np.mean(values)), unit)} [{_number(low, unit)}, {_number(high, unit)}]"


def compared(first: Sequence[float], second: Sequence[float], unit: str) -> str:
    """Return the mean of second - first over seeds, its interval, and how many seeds agree.

    >>> compared([0.5, 0.6], [0.7, 0.7], "%")
    '+15.0 [+10.0, +20.0], 2 of 2'
    """
    if list(first) == list(second):
        return "equal"
    mean, (low, high) = paired_difference(first, second, _generator())
    sign = 1 if mean >= 0 else -1
    agree = sum(sign * (b - a) > 0 for a, b in zip(first, second, strict=True))
    scale, digits = (100, 1) if unit == "%" else (1, 2)
    ends = ", ".join(f"{scale * end:+.{digits}f}" for end in (low, high))
    return f"{scale * mean:+.{digits}f} [{ends}], {agree} of {len(first)}"


def _number(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "%" else f"{value:.2f}"


# Tables -------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def row(runs: Runs, label: str, value: Callable[[Run], float], unit: str = "%") -> list[str]:
    """Return the row of one figure: the arms, then the last against the first."""
    arms = [[value(run) for run in found] for found in runs.values()]
    cells = [shown(values, unit) for values in arms]
    return [label, *cells, compared(arms[0], arms[-1], unit)]


def against(runs: Runs, metric: str = "eval/success", points: int = 4) -> list[str]:
    """Return the table of two arms along the curve: held-out success, area, training success."""
    first, last = next(iter(runs)), list(runs)[-1]
    some = runs[first][0]
    steps = some.steps(metric)
    every = max(1, (len(steps) - 1) // points)
    chosen = dict.fromkeys([*steps[::every], steps[-1]])
    rows = [
        row(runs, f"after {step * some.per_iteration:,} episodes", partial(_at, metric, step))
        for step in chosen
    ]
    rows.append(row(runs, "mean of the curve (area under it)", lambda r: r.area(metric)))
    rows.append(row(runs, "training episodes, mean", lambda r: r.mean("train/success")))
    if "credit/zero_signal_groups" in some.metrics:
        rows.append(
            row(runs, "groups without signal, mean", lambda r: r.mean("credit/zero_signal_groups"))
        )
    return table(["", *runs, f"{last} - {first} (points), seeds that agree"], rows)


def _at(metric: str, step: int, run: Run) -> float:
    return run.at(metric, step)


Columns = dict[str, tuple[str, str]]
"""Metric and unit, by what stands above."""

FARMED: Columns = {
    "success": ("eval/success", "%"),
    "step reward": ("eval/reward_checks", ""),
    "both rewards": ("eval/mean_return", ""),
    "turns": ("eval/mean_turns", ""),
}
REPAIRED: Columns = {
    "success": ("eval/success", "%"),
    "handed in": ("eval/fact_submitted", "%"),
    "all rewards": ("eval/mean_return", ""),
    "turns": ("eval/mean_turns", ""),
}


def ended(columns: Columns, runs: Runs) -> list[str]:
    """Return the table of the end of training, arms as rows, and how "gated" differs."""
    some = next(iter(runs.values()))[0]
    end = some.steps("eval/success")[-1]

    def cells(arm: str, step: int) -> list[str]:
        return [shown([r.at(m, step) for r in runs[arm]], unit) for m, unit in columns.values()]

    rows = [["before", *cells(next(iter(runs)), 0)], *([arm, *cells(arm, end)] for arm in runs)]
    for arm in (arm for arm in runs if arm.startswith("gated") and "," not in arm):
        difference = [
            compared([r.at(m, end) for r in runs["direct"]], [r.at(m, end) for r in runs[arm]], u)
            for m, u in columns.values()
        ]
        rows.append([f"{arm} - direct, seeds that agree", *difference])
    return table(["", *columns], rows)


def before_and_after(runs: Runs) -> list[str]:
    """Return the table of one arm before and after training, seeds as rows."""
    [found] = runs.values()
    before = [r.at("first/success", 0) for r in found]
    after = [r.at("final/success", r.steps("final/success")[-1]) for r in found]
    rows = [
        [str(seed), f"{a:.1%}", f"{b:.1%}", f"{100 * (b - a):+.1f}"]
        for seed, a, b in zip(_seeds_of(found), before, after, strict=True)
    ]
    rows.append(["mean", shown(before, "%"), shown(after, "%"), compared(before, after, "%")])
    return table(["seed", "before", "after", "difference (points), seeds that agree"], rows)


def _seeds_of(found: Sequence[Run]) -> list[int]:
    return list(range(len(found)))


TABLES: dict[str, Callable[[Runs], list[str]]] = {
    "household": against,
    "search": against,
    "search_weak": against,
    "planner": before_and_after,
    "farm": partial(ended, FARMED),
    "swe": partial(ended, REPAIRED),
    "swe_farm": partial(ended, REPAIRED),
}


# Curves -------------------------------------------------------------------------------------------


def curve(label: str, found: Sequence[Run], metric: str) -> Curve:
    """Return the mean of an arm's runs with its interval over seeds."""
    steps = found[0].steps("eval/success" if metric.startswith("eval/") else metric)
    values = [[run.at(metric, step) for run in found] for step in steps]
    ends = [bootstrap_mean(at_step, _generator()) for at_step in values]
    return Curve(
        label,
        [step * found[0].per_iteration for step in steps],
        [float(np.mean(at_step)) for at_step in values],
        [low for low, _ in ends],
        [high for _, high in ends],
    )


def panels(name: str, runs: Runs) -> list[Panel]:
    """Return the plots of an effect."""
    what = [("held-out success", "eval/success", True)]
    if name == "farm":
        what.append(("step reward per episode", "eval/reward_checks", False))
    if name.startswith("swe"):
        what.append(("turns of an episode", "eval/mean_turns", False))
    if name.startswith("search"):
        what.append(("groups without signal", "credit/zero_signal_groups", True))
    return [
        Panel(
            title,
            [curve(arm, found, metric) for arm, found in runs.items()],
            "training episodes",
            percent,
        )
        for title, metric, percent in what
    ]


# The page -----------------------------------------------------------------------------------------


def read(out: Path, effect: str, seeds: Sequence[int]) -> Runs:
    """Read the runs of an effect."""
    return {
        arm: [Run.read(run_folder(out, effect, arm, seed)) for seed in seeds]
        for arm in EFFECTS[effect].arms
    }


def commit(out: Path, effect: str) -> str:
    """Return the commits that the runs of an effect are of."""
    runs = (out / effect).glob("*/run.json")
    return " ".join(sorted({str(json.loads(p.read_text())["commit"])[:12] for p in runs}))


def costs(out: Path, effect: str) -> str:
    """Return what the runs of an effect took, warm starts included."""
    found = [json.loads(p.read_text()) for p in sorted((out / effect).glob("*.cost.json"))]
    cpu, longest = sum(c["cpu_s"] for c in found), max(c["cpu_s"] for c in found)
    return (
        f"{len(found)} runs, {cpu / 60:.0f} CPU minutes together, the longest {longest:.0f} CPU s."
    )


def write(out: Path, effects: Sequence[str], seeds: Sequence[int], page: Path) -> None:
    """Write figures and curves beside `page`, and the tables into it (made if it is missing)."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    text = page.read_text("utf-8") if page.is_file() else ""
    results = folder / "results.json"
    kept: dict[str, Any] = json.loads(results.read_text()) if results.is_file() else {}
    for name in effects:
        runs = read(out, name, seeds)
        (folder / f"{name}.svg").write_text(draw(panels(name, runs)))
        body = [*TABLES[name](runs), "", costs(out, name)]
        text = inserted(text, name, "\n".join(body))
        kept[name] = {"commit": commit(out, name)} | {
            arm: {str(seed): vars(run) for seed, run in zip(seeds, found, strict=True)}
            for arm, found in runs.items()
        }
    results.write_text(json.dumps(_rounded(kept), indent=None, separators=(",", ":")) + "\n")
    page.write_text(text, "utf-8")


def inserted(text: str, name: str, body: str) -> str:
    """Return a page with `body` between the marks of `name`, which are added if missing.

    >>> inserted("a <!-- figures: x --> old <!-- end --> b", "x", "new")
    'a <!-- figures: x -->\\nnew\\n<!-- end --> b'
    """
    begin = f"<!-- figures: {name} -->"
    marked = re.compile(rf"{re.escape(begin)}.*?<!-- end -->", re.DOTALL)
    new = f"{begin}\n{body}\n<!-- end -->"
    return marked.sub(lambda _: new, text) if marked.search(text) else f"{text}{new}\n\n"


def _rounded(tree: Any) -> Any:
    if isinstance(tree, float):
        return round(tree, 4)
    if isinstance(tree, Mapping):
        return {key: _rounded(value) for key, value in tree.items()}
    return tree


def main() -> None:
    """Write the figures of finished runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--effects", nargs="+", choices=list(EFFECTS), default=list(EFFECTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    write(options.out, options.effects, options.seeds, options.page)


if __name__ == "__main__":
    main()
