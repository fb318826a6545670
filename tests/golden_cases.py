"""The golden files, and groups of trajectories built from their rows.

A golden file holds numbers that the authors' public code printed for small random inputs; its
header says which code. There a row is one policy call: one turn of an episode.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.types import Call, Group, Observation, Stop, Trajectory, Turn

FOLDER = Path(__file__).parent / "golden"

Case = dict[str, Any]


def cases(name: str) -> list[Case]:
    """Return the cases of a file, each as {"inputs": ..., "outputs": ...}."""
    content = json.loads((FOLDER / f"{name}.json").read_text())
    found: list[Case] = content["cases"]
    assert len(found) == content["n_cases"]
    return found


def groups(
    index: Sequence[str],
    traj_index: Sequence[str],
    lengths: Sequence[int],
    rewards: Sequence[float],
    *,
    anchors: Sequence[object] | None = None,
    action_valid: Sequence[bool | None] | None = None,
) -> tuple[list[Group], list[list[list[int]]]]:
    """Build one group per task from rows, and say which row every (group, member, turn) was."""
    rows_of: dict[str, dict[str, list[int]]] = {}
    for row, (task, trajectory) in enumerate(zip(index, traj_index, strict=True)):
        rows_of.setdefault(task, {}).setdefault(trajectory, []).append(row)

    def turn(row: int, k: int) -> Turn:
        size = lengths[row]
        call = Call("policy", (0,), (1,) * size, (-1.0,) * size, "", "stop", 0, fresh=k == 0)
        anchor = anchors[row] if anchors else None
        text = anchor if isinstance(anchor, str) else json.dumps(anchor, sort_keys=True)
        valid = action_valid[row] if action_valid else None
        return Turn(Observation(text), (call,), "", rewards[row], text, valid)

    built = [
        Group(
            task,
            tuple(
                Trajectory(
                    "golden", 0, {}, 0, member,
                    tuple(turn(row, k) for k, row in enumerate(rows)),
                    Observation(""), None, Stop.DONE, None,
                )
                for member, rows in enumerate(trajectories.values())
            ),
        )
        for task, trajectories in rows_of.items()
    ]  # fmt: skip
    return built, [list(trajectories.values()) for trajectories in rows_of.values()]


def rows(advantages: Sequence[Any], where: list[list[list[int]]], width: int) -> np.ndarray:
    """Return advantages of groups as the golden files have them: rows by response positions."""
    found = {}
    for values_GKCT, members in zip(advantages, where, strict=True):
        for values_KCT, turns in zip(values_GKCT, members, strict=True):
            for (values_T,), row in zip(values_KCT, turns, strict=True):
                found[row] = values_T
    out = np.zeros((len(found), width))
    for row, values_T in found.items():
        out[row, : len(values_T)] = values_T
    return out
