"""The decision processes of the lab. Each shows one thing that credit can get right or wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from agentgym.errors import UnknownName
from agentgym.trainers.lab.process import SUCCESS, Move, Process

Moves: TypeAlias = dict[str, dict[str, Sequence[Move]]]


def bandit() -> Process:
    """One turn, three arms that pay 1 with different chances."""
    chances = {"poor": 0.2, "fair": 0.5, "good": 0.8}
    return Process(
        name="bandit",
        summary="One turn: three arms pay 1 with chance 0.2, 0.5, 0.8.",
        start="arms",
        moves={"arms": {arm: paid(chance) for arm, chance in chances.items()}},
        logits={"arms": (0.5, 0.0, -0.5)},
        max_turns=1,
    )


def chain() -> Process:
    """Three look-ups, and an answer by somebody else that is the better the more was found."""
    right = (0.05, 0.2, 0.5, 0.9)
    moves: Moves = {}
    for turn in range(3):
        for found in range(turn + 1):

            def after(found: int, turn: int = turn) -> Sequence[Move]:
                if turn == 2:
                    return paid(right[found])
                return (Move(1.0, f"{turn + 2}/{found}"),)

            moves[f"{turn + 1}/{found}"] = {"useful": after(found + 1), "useless": after(found)}
    return Process(
        name="chain",
        summary=(
            "Three look-ups, useful or not; the reward of 1 comes after the last, with chance "
            "0.05, 0.2, 0.5 or 0.9 for 0 to 3 useful ones."
        ),
        start="1/0",
        moves=moves,
        logits={state: (-0.2 * i, 0.0) for i, state in enumerate(moves)},
        max_turns=3,
        gold_logprob={state: float(np.log(right[int(state[-1])])) for state in moves},
    )


def stopping() -> Process:
    """Ask on or answer: the policy decides how long an episode is."""
    logits = {
        "turn 1": (-0.5, 0.5, 0.3),
        "turn 2": (0.0, 0.0, -0.3),
        "turn 3": (0.6, 0.0, -0.6),
        "turn 4": (1.2, 0.0),
    }
    moves: Moves = {
        state: {"right": (Move(1.0, None, {SUCCESS: 1.0}),), "wrong": (Move(1.0, None),)}
        for state in logits
    }
    for state, following in zip(logits, [*logits][1:], strict=False):
        moves[state]["ask"] = (Move(1.0, following),)
    return Process(
        name="stop",
        summary=(
            "Answer, right (1) or wrong (0), or ask on: up to four turns, and who asked knows "
            "more. The policy decides when an episode stops."
        ),
        start="turn 1",
        moves=moves,
        logits=logits,
        max_turns=4,
        gold_logprob={s: log_softmax(each[:2]) for s, each in logits.items()},
    )


def rooms() -> Process:
    """Three rooms that an episode may come back to."""
    moves: Moves = {
        "hall": {"to kitchen": (Move(1.0, "kitchen"),), "to cellar": (Move(1.0, "cellar"),)},
        "cellar": {"up": (Move(1.0, "hall"),), "dig": (Move(1.0, "cellar"),)},
        "kitchen": {
            "cook": (Move(1.0, None, {SUCCESS: 1.0}),),
            "leave": (Move(1.0, "hall"),),
        },
    }
    return Process(
        name="rooms",
        summary=(
            "Three rooms that an episode comes back to; cooking in one of them pays 1, if it is "
            "done within eight turns."
        ),
        start="hall",
        moves=moves,
        logits={"hall": (0.0, 0.3), "cellar": (0.0, 0.2), "kitchen": (0.0, 0.4)},
        max_turns=8,
    )


def farm() -> Process:
    """Work brings success at the end; farming brings a little at once."""
    done = (0.0, 0.0, 0.5, 0.9)
    moves: Moves = {}
    for turn in range(3):
        for worked in range(turn + 1):

            def after(worked: int, step: float, turn: int = turn) -> Sequence[Move]:
                parts = {"step": step} if step else {}
                if turn == 2:
                    return paid(done[worked], parts)
                return (Move(1.0, f"{turn + 2}/{worked}", parts),)

            moves[f"{turn + 1}/{worked}"] = {
                "work": after(worked + 1, 0.0),
                "farm": after(worked, 0.5),
            }
    return Process(
        name="farm",
        summary=(
            "Three turns: farming pays 0.5 at once, work pays 1 after the last, with chance 0.5 "
            "or 0.9 for 2 or 3 turns of it. What is to be learned is that success."
        ),
        start="1/0",
        moves=moves,
        logits={state: (0.4, 0.0) for state in moves},
        max_turns=3,
        objective=SUCCESS,
    )


PROCESSES: Mapping[str, Callable[[], Process]] = {
    "bandit": bandit,
    "chain": chain,
    "stop": stopping,
    "rooms": rooms,
    "farm": farm,
}
"""How each process is made, by name."""


def make_process(name: str) -> Process:
    """Return a process of the lab.

    Raises:
        UnknownName: there is none of that name; names the nearest.
    """
    if name not in PROCESSES:
        raise UnknownName("process of the lab", name, PROCESSES)
    return PROCESSES[name]()


def paid(chance: float, parts: Mapping[str, float] | None = None) -> Sequence[Move]:
    """Return the end of an episode with success by chance; `parts` are paid in any case."""
    parts = parts or {}
    outcomes = [
        Move(chance, None, {SUCCESS: 1.0, **parts}),
        Move(1.0 - chance, None, parts),
    ]
    return tuple(move for move in outcomes if move.probability > 0)


def log_softmax(logits: Sequence[float]) -> float:
    """Return the log-probability of the first of several choices."""
    weights = np.exp(np.asarray(logits, np.float64))
    return float(np.log(weights[0] / weights.sum()))
