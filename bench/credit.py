"""How long credit takes, and how it grows: python bench/credit.py

64 groups of 8 trajectories of 30 turns, about 65 tokens a turn (1M tokens); then 4 and 16 times the
turns for the first two schemes. States are drawn so that about half of the turns share theirs with
another turn. The median of five runs in CPU seconds, each of which computes the advantages of every
token.
"""

import random
import statistics
import time
from dataclasses import replace

from agentgym.trainers.credit.base import CreditScheme
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import example
from agentgym.types import Group, Trajectory, Turn

OTHERS = (
    "rloo",
    "flow_grpo",
    'flow_grpo(compat="agentflow")',
    "turn_return",
    "reinforce_pp",
    "reinforce_pp(gamma=0.99)",
    "igpo",
    'igpo(compat="igpo-v1")',
    "gae(lam=0.95)",
    "gated",
    "0.5*gigpo + igpo",
)

GROUPS, MEMBERS, TURNS, TOKENS = 64, 8, 30, (30, 100)


def batch(times: int, rng: random.Random) -> list[Group]:
    """Build groups with `times` as many turns."""
    samples = [tuple(range(n)) for n in range(TOKENS[1] + 1)]
    turns = TURNS * times
    groups = []
    for _ in range(GROUPS):
        group = example(
            [[0.0] * (turns - 1) + [float(rng.random() < 0.4)] for _ in range(MEMBERS)],
            [[f"state {rng.randrange(MEMBERS * turns)}" for _ in range(turns)] for _ in range(8)],
        )

        def ragged(turn: Turn) -> Turn:
            ids = samples[rng.randint(*TOKENS)]
            return replace(turn, calls=(replace(turn.calls[0], sample_ids=ids),))

        def member(trajectory: Trajectory) -> Trajectory:
            taken = tuple(map(ragged, trajectory.turns))
            tokens = sum(len(turn.calls[0].sample_ids) for turn in taken)
            notes = {"gold_logprob": tuple(-rng.random() for _ in taken), "value": (0.5,) * tokens}
            return replace(trajectory, turns=taken, notes=notes)

        groups.append(replace(group, trajectories_G=tuple(map(member, group.trajectories_G))))
    return groups


def seconds(scheme: CreditScheme, groups: list[Group]) -> float:
    """Return the median of five runs."""
    taken = []
    for _ in range(5):
        start = time.process_time()
        advantages = [scheme(group) for group in groups]
        taken.append(time.process_time() - start)
        assert len(advantages) == GROUPS
    return statistics.median(taken)


def main() -> None:
    """Print one line per scheme and size."""
    print(f"{'scheme':30} {'times':>5} {'turns':>8} {'tokens':>11} {'cpu s':>8} {'us/turn':>8}")
    for times in (1, 4, 16):
        groups = batch(times, random.Random(0))
        turns = [t for g in groups for e in g.trajectories_G for t in e.turns]
        tokens = sum(len(t.calls[0].sample_ids) for t in turns)
        for name in ("gigpo", "grpo", *(OTHERS if times == 1 else ())):
            took = seconds(make_scheme(name), groups)
            print(
                f"{name:30} {times:5} {len(turns):8,} {tokens:11,} {took:8.3f} "
                f"{took / len(turns) * 1e6:8.2f}"
            )


if __name__ == "__main__":
    main()
