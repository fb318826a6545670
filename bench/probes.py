"""What the belief in the known answer costs, turn by turn: python bench/probes.py

A new policy of preset `tiny` (half a million weights) plays the search environment at size `full`,
three passages per search, and never answers: 8 episodes. Its prompt is the environment's few lines
of instructions, or these and a worked example. In every turn it is asked how probable it finds the
gold answer; once as branches on the computed sequence, once from the beginning for every turn.
Positions are counted where tokens are embedded, padding included. Times are the median of five, the
two ways in turn: seconds on the wall, and of the processor.
"""

import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agentgym.agents import Demonstrator, PolicyAgent
from agentgym.agents import View as AgentView
from agentgym.env import make
from agentgym.rollout import Task, collect
from agentgym.trainers.annotate.gold_logprob import GoldLogprob
from agentgym.trainers.config import ModelConfig, TrainConfig
from agentgym.trainers.parts import Policy, load_policy
from agentgym.trainers.policies import gather_texts, new_policy
from agentgym.types import Group

EPISODES, REPEATS = 8, 5


@dataclass(frozen=True)
class Searcher:
    """Searches for a random one of the names that were shown, and never answers."""

    needs: frozenset[str] = frozenset()

    def begin(self, start: Any) -> "Searcher":
        return self

    def act(self, view: AgentView) -> Any:
        from agentgym.agents import Decision

        names = [c for c in view.info["admissible_commands"] if c.startswith("search: ")]
        return Decision(names[int(np.random.default_rng(view.seed).integers(len(names)))])
        yield  # a generator that never asks


def worked_example() -> str:
    """Return an episode of another size as text."""
    env = make("search", preset="small")
    said = [env.reset(seed=0)[0]]
    for action in env.gold() or ():
        said += [f"> {action}", env.step(action)[0]]
    return "\n".join(said)


def play(policy: Policy, turns: int, opening: str) -> list[Group]:
    tasks = [Task("search", {"size": "full", "max_turns": turns}, s) for s in range(EPISODES)]
    said = Demonstrator(PolicyAgent(policy.renderer, opening=opening), Searcher())
    return collect(tasks, 1, said, None, seed=0)


def measured(groups: list[Group], policy: Policy) -> dict[str, tuple[int, float, float, Any]]:
    """Return positions, wall and processor seconds, and notes of both ways."""
    counted: list[int] = []
    embed = policy.model.get_input_embeddings()
    hook = embed.register_forward_hook(lambda _, inputs, __: counted.append(inputs[0].numel()))
    positions: dict[str, int] = {}
    notes: dict[str, Any] = {}
    times: dict[str, list[tuple[float, float]]] = {"branches": [], "naive": []}
    for _ in range(REPEATS):
        for method, taken in times.items():
            annotate = GoldLogprob(method=method)  # type: ignore[arg-type]
            counted.clear()
            began = time.perf_counter(), time.process_time()
            noted = annotate(groups, policy)
            taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
            notes[method] = [t.notes["gold_logprob"] for g in noted for t in g.trajectories_G]
            positions[method] = sum(counted)
    hook.remove()
    medians = {
        m: [statistics.median(each) for each in zip(*t, strict=True)] for m, t in times.items()
    }
    return {m: (positions[m], medians[m][0], medians[m][1], notes[m]) for m in times}


def main() -> None:
    torch.set_num_threads(1)
    env = make("search", size="full")
    config = TrainConfig(env={"name": "search"}, model=ModelConfig(preset="tiny"))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        new_policy(f"{folder}/p", preset="tiny", texts=gather_texts(env, range(60)), seed=0)
        policy = load_policy(config, f"{folder}/p")
    openings = {"short": "{instructions}", "example": "{instructions}\n\n" + worked_example()}
    print("                             positions               wall s               CPU s")
    print("turns  prompt   tokens  naive  branches       naive  branches       naive  branches")
    for turns, (name, opening) in itertools.product((3, 10), openings.items()):
        groups = play(policy, turns, opening)
        calls = [c for g in groups for t in g.trajectories_G for k in t.turns for c in k.calls]
        tokens = sum(len(c.prompt_ids) + len(c.sample_ids) for c in calls) // len(groups)
        both = measured(groups, policy)
        (*naive, a), (*ours, b) = both["naive"], both["branches"]
        off = max(np.abs(np.array(x) - np.array(y)).max() for x, y in zip(a, b, strict=True))
        assert off < 1e-4, off
        line = f"{turns:5}  {name:7}  {tokens:6}"
        for theirs, mine in zip(naive, ours, strict=True):
            how = "," if isinstance(mine, int) else ".2f"
            line += f"  {theirs:6{how}}  {mine:6{how}} {theirs / mine:4.1f}x"
        print(line, flush=True)


if __name__ == "__main__":
    main()
