"""Records of runs: the run folder, the trajectory log, checkpoints, metrics, replay."""

from agentgym.records.checkpoint import SUFFIXES, Checkpoint, Checkpoints, Content
from agentgym.records.codec import decode, encode
from agentgym.records.folder import RunFolder
from agentgym.records.log import (
    Damage,
    Episode,
    Record,
    Scan,
    TrajectoryLog,
    episodes,
    records,
    scan,
)
from agentgym.records.metrics import Metrics, read_metrics
from agentgym.records.replay import Mismatch, Report, replay
from agentgym.records.summary import Phase, Summary, summary

__all__ = [
    "SUFFIXES",
    "Checkpoint",
    "Checkpoints",
    "Content",
    "Damage",
    "Episode",
    "Metrics",
    "Mismatch",
    "Phase",
    "Record",
    "Report",
    "RunFolder",
    "Scan",
    "Summary",
    "TrajectoryLog",
    "decode",
    "encode",
    "episodes",
    "read_metrics",
    "records",
    "replay",
    "scan",
    "summary",
]
