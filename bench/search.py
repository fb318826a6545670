"""The search environment: steps and resets per second, and what an index costs in time and space.

    python bench/search.py [--seconds 2] [--passages 20000]

Steps are those of the expert on the built-in encyclopedias, with the choosing left out of the time;
resets draw a question (the encyclopedias are made before); an encyclopedia remembers searches that
come again. The corpus in files consists of passages
of 100 made-up words with the frequencies of a natural language (Zipf); its index is built, opened
again, and searched for two to four words.
"""

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path

from agentgym.envs.search import Search
from agentgym.envs.search.corpus import open_corpus
from agentgym.envs.search.encyclopedia import SIZES, encyclopedia

WORDS = 60_000


def built_in(size: str, seconds: float) -> None:
    """Print the cost of making an encyclopedia, of resets, and of steps."""
    encyclopedia(size, True, 0)  # imports
    start = time.perf_counter()
    made = [encyclopedia(size, False, k) for k in range(SIZES[size].encyclopedias[0])]
    made_ms = 1e3 * (time.perf_counter() - start) / len(made)
    env = Search(size=size)
    reset_s = step_s = 0.0
    resets = steps = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        env.reset(seed=resets)
        reset_s += time.perf_counter() - start
        resets += 1
        plan, over = list(env.gold()), False
        while not over:
            action = plan.pop(0)
            start = time.perf_counter()
            _, _, over, _, _ = env.step(action)
            step_s += time.perf_counter() - start
            steps += 1
    print(
        f"{size:6} {len(made[0]):5} passages  made in {made_ms:6.1f} ms  "
        f"{steps / step_s:9,.0f} steps/s  {1e3 * reset_s / resets:6.2f} ms a reset"
    )


def on_disk(count: int) -> None:
    """Print what building, opening and searching the index of a file costs."""
    rng = random.Random(0)
    words = [f"w{k:x}" for k in range(WORDS)]
    weights = [1 / (k + 10) for k in range(WORDS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "passages.jsonl"
        with file.open("w", encoding="utf-8") as out:
            for k in range(count):
                text = " ".join(rng.choices(words, weights, k=100))
                out.write(json.dumps({"title": f"Title {k}", "text": text}) + "\n")
        start = time.perf_counter()
        open_corpus(file)
        build_s = time.perf_counter() - start
        os.utime(file)  # a process reads a file again when its time changed
        start = time.perf_counter()
        corpus = open_corpus(file)
        open_s = time.perf_counter() - start
        size = sum(path.stat().st_size for path in corpus.index_folder.iterdir())
        queries = [" ".join(rng.choices(words, weights, k=2 + k % 3)) for k in range(200)]
        start = time.perf_counter()
        for query in queries:
            for number in corpus.search(query, 3):
                corpus.passage(number)
        search_ms = 1e3 * (time.perf_counter() - start) / len(queries)
        print(
            f"{count:,} passages, {file.stat().st_size / 1e6:.1f} MB: index built in {build_s:.1f}"
            f" s, {size / 1e6:.1f} MB, opened in {1e3 * open_s:.0f} ms; {search_ms:.2f} ms a search"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each size")
    parser.add_argument("--passages", type=int, default=20_000, help="passages of the file")
    options = parser.parse_args()
    for size in SIZES:
        built_in(size, options.seconds)
    on_disk(options.passages)


if __name__ == "__main__":
    main()
