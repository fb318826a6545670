"""Runs the comparisons of `plan.py`, several at a time, and goes on where it was stopped.

    bench/effects/run.sh                              # everything, five seeds, then the report
    bench/effects/run.sh --effects farm --seeds 0 1   # a part of it
    bench/effects/run.sh --quick                      # a look at the machinery alone

A finished run is not repeated, a run that was interrupted goes on from its last checkpoint, and one
whose recipe has changed begins anew. CPU seconds are those of the runs' processes, start-up, warm
start and evaluations included.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentgym.config import dump_toml
from agentgym.records import read_metrics
from bench.effects import report
from bench.effects.plan import EFFECTS, QUICK, SEEDS, Job, jobs

STATUS_EVERY_S = 30.0


def main() -> int:
    """Run what is missing, then write the report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--effects", nargs="+", choices=list(EFFECTS), default=list(EFFECTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=None)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, default=None, help="folder of the runs")
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--page", type=Path, default=None, help="the page to write figures into")
    options = parser.parse_args()
    out = options.out or Path("runs") / ("effects-quick" if options.quick else "effects")
    seeds = options.seeds or (SEEDS[:1] if options.quick else SEEDS)
    effects = [EFFECTS[name] for name in options.effects]
    todo = jobs(effects, seeds, out, QUICK if options.quick else {})
    if not run_all(todo, options.workers):
        return 1
    page = options.page or (out / "effects.md" if options.quick else report.PAGE)
    report.write(out, options.effects, seeds, page)
    print(f"figures are in {page}")
    return 0


# What there is of a run -------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a run has cost so far, kept in COST_FILE beside its folder."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    done: bool = False

    @classmethod
    def of(cls, folder: Path) -> "Cost":
        """Return the cost of a run, zero if it has not begun."""
        path = cls.path(folder)
        return cls(**json.loads(path.read_text())) if path.is_file() else cls()

    @staticmethod
    def path(folder: Path) -> Path:
        """Return where it is kept."""
        return folder.with_name(f"{folder.name}.cost.json")

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        path = self.path(folder)
        path.with_suffix(".new").write_text(json.dumps(vars(self)))
        path.with_suffix(".new").replace(path)


def prepare(todo: Sequence[Job]) -> list[Job]:
    """Return the jobs that are not finished; what belongs to another recipe is removed."""
    missing: list[Job] = []
    for job in todo:
        config = job.folder / "config.toml"
        same = config.is_file() and config.read_text() == dump_toml(job.config())
        if same and job.start not in missing:
            if Cost.of(job.folder).done:
                continue
            if not any((job.folder / "checkpoints").glob("*")):  # nothing to go on from
                shutil.rmtree(job.folder)
        else:
            shutil.rmtree(job.folder, ignore_errors=True)
            Cost.path(job.folder).unlink(missing_ok=True)
        missing.append(job)
    return missing


# Running ----------------------------------------------------------------------------------------


@dataclass
class Running:
    """A job at work."""

    job: Job
    process: "subprocess.Popen[bytes]"
    began: float


def run_all(todo: Sequence[Job], workers: int) -> bool:
    """Run what is not finished; return whether all of it is now."""
    waiting = prepare(todo)
    finished = len(todo) - len(waiting)
    failed: list[Job] = []
    active: list[Running] = []
    interrupted, told, began = False, time.monotonic(), time.monotonic()
    print(f"{len(todo)} runs, {finished} of them finished before", flush=True)
    while active or (waiting and not interrupted):
        try:
            while len(active) < workers and not interrupted:
                free = next(
                    (j for j in waiting if j.start not in [*waiting, *working(active)]), None
                )
                if free is None:
                    break
                waiting.remove(free)
                active.append(start(free))
            time.sleep(0.2)
        except KeyboardInterrupt:  # the runs were told too: they end with a checkpoint
            print("interrupted: waiting for checkpoints; run it again to go on", flush=True)
            interrupted = True
        for one in list(active):
            ended = outcome(one)
            if ended is None:
                continue
            active.remove(one)
            cost, sound = ended
            cost.save(one.job.folder)
            if sound:
                finished += 1
                told_cost = f"{cost.cpu_s:.0f} CPU s, {cost.wall_s:.0f} s"
                print(
                    f"{clock(began)} {finished}/{len(todo)} {one.job.name}: {told_cost}", flush=True
                )
            elif not interrupted:
                failed.append(one.job)
                waiting = [job for job in waiting if job.start is not one.job]
                print(f"{one.job.name} failed, see {log_of(one.job)}:\n{tail(one.job)}", flush=True)
        if active and time.monotonic() - told > STATUS_EVERY_S:
            told = time.monotonic()
            print(f"{clock(began)} {', '.join(position(one.job) for one in active)}", flush=True)
    return not failed and not interrupted and not waiting


def working(active: Sequence[Running]) -> list[Job]:
    """Return the jobs at work."""
    return [one.job for one in active]


def start(job: Job) -> Running:
    """Start a run, or go on with it."""
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    begun = (job.folder / "run.json").is_file()
    how = ["--resume", str(job.folder)] if begun else [*job.words, "--out", str(job.folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log_of(job).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentgym.cli", "train", *how],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    return Running(job, process, time.monotonic())


def outcome(one: Running) -> tuple[Cost, bool] | None:
    """Return what a run has cost and whether it ended well; None while it runs."""
    pid, status, usage = os.wait4(one.process.pid, os.WNOHANG)
    if pid == 0:
        return None
    one.process.returncode = os.waitstatus_to_exitcode(status)
    sound, before = one.process.returncode == 0, Cost.of(one.job.folder)
    cpu_s = usage.ru_utime + usage.ru_stime
    wall_s = time.monotonic() - one.began
    return Cost(before.cpu_s + cpu_s, before.wall_s + wall_s, sound), sound


def log_of(job: Job) -> Path:
    """Return the file with what a run said."""
    return job.folder.with_name(f"{job.folder.name}.log")


def tail(job: Job, lines: int = 8) -> str:
    """Return the end of what a run said."""
    return "\n".join(log_of(job).read_text(errors="replace").splitlines()[-lines:])


def position(job: Job) -> str:
    """Return how far a run is, in words."""
    try:
        last = max((row["step"] for row in read_metrics(job.folder)), default=0)
    except OSError:
        return f"{job.name} begins"
    return f"{job.name} at iteration {last} of {job.config().train.iterations}"


def clock(began: float) -> str:
    """Return the time since then as minutes and seconds."""
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes:3d}:{seconds:02d}"


if __name__ == "__main__":
    sys.exit(main())
