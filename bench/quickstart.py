"""The quickstart's target: from random weights to a policy that solves unseen household worlds.

Runs the recipe `quickstart` from the very start with several seeds (initial weights, tokenizer,
demonstrations, everything) and prints the sampled success on 500 fresh held-out worlds after the
warm start and at the end, the wall time and the CPU time, all of it included.

    python bench/quickstart.py                      # three seeds: up to 25 minutes
    python bench/quickstart.py --seeds 0 threads=2  # any key=value of the recipe
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from agentgym.config import dump_toml
from agentgym.records import RunFolder
from agentgym.trainers.config import load_recipe
from agentgym.trainers.loop import train
from agentgym.trainers.progress import Lines


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("overrides", nargs="*", default=[])
    arguments = parser.parse_args()
    rows = [one(arguments.recipe, seed, arguments.overrides) for seed in arguments.seeds]
    print("\n| seed | after warm start | at the end | iterations | wall s | CPU s | ended |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row[0])} |")
    before, after, wall_s, cpu_s = (statistics.median(row[1][i] for row in rows) for i in range(4))
    print(f"| median | {before:.1%} | {after:.1%} | | {wall_s:.0f} | {cpu_s:.0f} | |")


def one(recipe: str, seed: int, overrides: list[str]) -> tuple[list[str], list[float]]:
    """Run one seed; return its row of the table and the numbers of the medians."""
    wall, cpu = time.monotonic(), time.process_time()
    config = load_recipe(recipe, [f"seed={seed}", *overrides])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with RunFolder.create(path, dump_toml(config), seed, envs=[config.env.name]) as run:
            result = train(config, run, Lines(every_s=15.0))
    wall_s, cpu_s = time.monotonic() - wall, time.process_time() - cpu
    assert result.first is not None
    assert result.last is not None
    row = [
        str(seed),
        str(result.first),
        str(result.last),
        str(result.iterations),
        f"{wall_s:.0f}",
        f"{cpu_s:.0f}",
        result.reason,
    ]
    return row, [result.first.rate, result.last.rate, wall_s, cpu_s]


if __name__ == "__main__":
    main()
