"""What sandboxes cost: start, a command, files, an idle one, many at once; and what they leave.

python bench/sandbox.py [--cycles 300] [--many 64]

Docker is measured where DOCKER_HOST and AGENTGYM_IMAGE name an engine and an image
(scripts/docker_engine.sh start, scripts/base_image.py).
"""

import argparse
import gc
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentgym.tools.sandbox import Limits, Sandbox, open_sandbox

LIMITS = Limits(memory_mb=128, disk_mb=64, tmp_mb=16, file_mb=64)


def quantiles(seconds: list[float]) -> str:
    """Return median and 95 % quantile in milliseconds."""
    ordered = sorted(seconds)
    p50, p95 = (ordered[int(q * (len(ordered) - 1))] for q in (0.5, 0.95))
    return f"{1e3 * p50:.1f} / {1e3 * p95:.1f}"


def timed(times: int, work: Callable[[], object]) -> list[float]:
    """Run work so many times; return the seconds of each."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def figures(make: Callable[[], Sandbox], cycles: int, many: int) -> dict[str, str]:
    """Return what is measured of one kind, by what it is."""
    make().close()  # what is done once in a process
    made: list[Sandbox] = []
    starts = timed(30, lambda: made.append(make()))
    closes = [timed(1, sandbox.close)[0] for sandbox in made]
    sandbox = make()
    data = os.urandom(1 << 20)
    found = {
        "start, ms": quantiles(starts),
        "close, ms": quantiles(closes),
        "`true`, ms": quantiles(timed(500, lambda: sandbox.exec(["true"]))),
        "`sh -c` with a pipe, ms": quantiles(
            timed(200, lambda: sandbox.exec(["sh", "-c", "echo a | cat"]))
        ),
        "`python3 -I -S -c pass`, ms": quantiles(
            timed(50, lambda: sandbox.exec(["python3", "-I", "-S", "-c", "pass"]))
        ),
        "write 1 MB, ms": quantiles(timed(50, lambda: sandbox.write_file("data", data))),
        "read 1 MB, ms": quantiles(timed(50, lambda: sandbox.read_file("data"))),
    }
    sandbox.close()
    found |= together(make, many)
    found |= left_by(make, cycles)
    return found


def together(make: Callable[[], Sandbox], many: int) -> dict[str, str]:
    """Return what many sandboxes at once cost."""
    before, start = available_mb(), time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(lambda _: make(), range(many)))
        up = time.perf_counter() - start
        idle_mb = (before - available_mb()) / many
        start = time.perf_counter()
        results = list(pool.map(lambda box: [box.exec(["true"]).ok for _ in range(20)], boxes))
        rate = 20 * many / (time.perf_counter() - start)
        list(pool.map(lambda box: box.close(), boxes))
    assert all(map(all, results))
    return {
        f"{many} at once: start of all, s": f"{up:.1f}",
        f"{many} at once: memory of each, MB": f"{idle_mb:.1f}",
        f"{many} at once: commands a second": f"{rate:,.0f}",
    }


def left_by(make: Callable[[], Sandbox], cycles: int) -> dict[str, str]:
    """Return what cycles of start, command and close leave."""
    time.sleep(2)  # engines remove after they have answered
    gc.collect()
    files, processes = len(os.listdir("/proc/self/fd")), children()
    start = time.perf_counter()
    for _ in range(cycles):
        sandbox = make()
        assert sandbox.exec(["true"]).ok
        sandbox.close()
    rate = cycles / (time.perf_counter() - start)
    time.sleep(2)
    open_now = len(os.listdir("/proc/self/fd")) - files
    return {
        f"{cycles} cycles: a second": f"{rate:.1f}",
        f"{cycles} cycles: open files, children more than before": (
            f"{open_now:d}, {children() - processes:d}"
        ),
        f"{cycles} cycles: containers left": f"{containers()}",
    }


def available_mb() -> float:
    """Return the machine's available memory."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 1e3


def children() -> int:
    """Return how many processes this one has."""
    threads = Path("/proc/self/task").glob("*/children")
    return sum(len(path.read_text().split()) for path in threads)


def containers() -> int:
    """Return how many containers this process has at the engine, if there is one."""
    if not os.environ.get("AGENTGYM_IMAGE"):
        return 0
    from agentgym.tools.sandbox.docker import api

    return len(api().containers(all=True, filters={"name": f"agentgym-{os.getpid()}-"}))


def main() -> None:
    """Measure every kind that can be had, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--many", type=int, default=64)
    chosen = parser.parse_args()
    image = os.environ.get("AGENTGYM_IMAGE", "")
    kinds = {"bwrap": lambda: open_sandbox("bwrap", limits=LIMITS)}
    if image:
        kinds["docker"] = lambda: open_sandbox("docker", image=image, limits=LIMITS)
    bare = quantiles(timed(200, lambda: subprocess.run(["true"], check=True)))
    load = os.getloadavg()[0]
    columns = {kind: figures(make, chosen.cycles, chosen.many) for kind, make in kinds.items()}
    table = Table("median / 95 %", *columns)
    for name in columns["bwrap"]:
        table.add_row(name, *(column[name] for column in columns.values()))
    Console().print(table)
    cores = len(os.sched_getaffinity(0))
    print(f"`true` on the host, without a sandbox, ms: {bare}; load {load:.1f} on {cores} cores")


if __name__ == "__main__":
    main()
