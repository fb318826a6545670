"""What is in a run, in numbers."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentgym.errors import RunFolderError
from agentgym.records.checkpoint import Checkpoints
from agentgym.records.folder import CHECKPOINTS, FACTS, in_use
from agentgym.records.log import TORN, Damage, records
from agentgym.records.metrics import read_metrics


@dataclass(frozen=True, slots=True)
class Phase:
    """The episodes of one phase ("train", "eval", ...), without those that were superseded."""

    episodes: int
    successes: int
    judged: int  #: episodes with a verdict
    mean_return: float  #: over the episodes that did not fail
    mean_turns: float
    sampled_tokens: int
    stops: Mapping[str, int]  #: why they ended
    failures: Mapping[str, int]  #: the boundary that failed -> episodes
    environments: Mapping[str, int]
    last_step: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run."""

    path: Path
    facts: Mapping[str, Any]  #: `run.json`: seed, created, versions, commit
    in_use: bool  #: a process is writing it now
    sessions: int  #: processes that have written it
    phases: Mapping[str, Phase]
    superseded: int  #: episodes that a resumption took back
    damaged: tuple[Damage, ...]  #: lines of the log that cannot be read
    steps: tuple[int, ...]  #: of the checkpoints that are kept
    last_metrics: Mapping[str, float | None]  #: the latest value of every metric
    metric_steps: Mapping[str, int]  #: the step that it is of


def summary(run: Path | str) -> Summary:
    """Count what is in a run; it may be one that another process is writing.

    Raises:
        RunFolderError: it is not a run.
        RecordError: its log was written by a newer agentgym.
    """
    path, running = Path(run), in_use(Path(run))
    if not (path / FACTS).is_file():
        raise RunFolderError(f"{path} is not a run: it has no {FACTS}")
    damaged: list[Damage] = []
    counts: dict[str, Counter[str]] = {}
    tables: dict[str, dict[str, Counter[str]]] = {}
    sessions = superseded = 0
    for record in records(path, superseded=True, on_damage=damaged.append):
        if record.type == "session":
            sessions += 1
        elif record.type == "trajectory" and record.superseded:
            superseded += 1
        elif record.type == "trajectory":
            phase = record.data["phase"]
            _count(
                record.data,
                counts.setdefault(phase, Counter()),
                tables.setdefault(
                    phase, {"stop": Counter(), "failure": Counter(), "env": Counter()}
                ),
            )
    last: dict[str, float | None] = {}
    steps: dict[str, int] = {}
    for row in read_metrics(path):
        for name in row.keys() - {"step", "time_s", "notes"}:
            last[name], steps[name] = row[name], row["step"]
    return Summary(
        path=path,
        facts=json.loads((path / FACTS).read_bytes()),
        in_use=running,
        sessions=sessions,
        phases={name: _phase(count, tables[name]) for name, count in counts.items()},
        superseded=superseded,
        damaged=tuple(each for each in damaged if not (running and each.reason == TORN)),
        steps=tuple(Checkpoints(path / CHECKPOINTS).steps()),
        last_metrics=last,
        metric_steps=steps,
    )


def _count(data: Mapping[str, Any], count: Counter[str], tables: dict[str, Counter[str]]) -> None:
    """Add one episode, straight from its JSON."""
    trajectory = data["trajectory"]
    turns, failure = trajectory["turns"], trajectory.get("failure")
    count["episodes"] += 1
    count["last_step"] = max(count["last_step"], data["step"])
    count["successes"] += trajectory["success"] is True
    count["judged"] += trajectory["success"] is not None
    count["tokens"] += sum(len(call["sample_ids"]) for turn in turns for call in turn["calls"])
    tables["stop"][trajectory["stop"]] += 1
    tables["env"][trajectory["env"]] += 1
    if failure is not None:
        tables["failure"][failure["boundary"]] += 1
    else:
        count["sound"] += 1
        count["turns"] += len(turns)
        count["return"] += sum(turn["reward"] for turn in turns)


def _phase(count: Counter[str], tables: dict[str, Counter[str]]) -> Phase:
    sound = max(1, count["sound"])
    return Phase(
        episodes=count["episodes"],
        successes=count["successes"],
        judged=count["judged"],
        mean_return=count["return"] / sound,
        mean_turns=count["turns"] / sound,
        sampled_tokens=count["tokens"],
        stops=dict(tables["stop"].most_common()),
        failures=dict(tables["failure"].most_common()),
        environments=dict(tables["env"].most_common()),
        last_step=count["last_step"],
    )
