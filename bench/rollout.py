"""Rollouts with the tiny policy: the kept key-value cache against `generate` on whole prefixes.

    python bench/rollout.py [--episodes 32] [--turns 10] [--tokens 5] [--rounds 3]

Both sides run in one process, in turns, one thread each: the same household episodes, the same
lockstep driver, the same weights. The other side is `model.generate` of transformers on the batch
of all whole prompts, padded on the left, at every turn; its own cache lives within a turn. Sampling
is at temperature 1 from random weights, so nearly every reply is as long as its limit. What is
done in the household is the expert's action all the same: the observations, and with them the
prompts, are those of a policy that knows the game.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from agentgym.agents import Decision, PolicyActing, PolicyAgent, Start, View
from agentgym.backends.base import Backend, Sample, SampleRequest
from agentgym.backends.hf import HFBackend
from agentgym.env import make
from agentgym.errors import EpisodeFailure
from agentgym.render import Renderer
from agentgym.rollout import EnvPool, Job, Limits, Task, run_lockstep
from agentgym.trainers.policies import gather_texts, new_policy


class Generate:
    """What everybody writes first: `generate` on the whole prefix, every turn."""

    policy_version = 0

    def __init__(self, backend: HFBackend) -> None:
        self.model, self.tokenizer = backend.model, backend.tokenizer

    def generate(self, requests: Sequence[SampleRequest]) -> list[Sample | EpisodeFailure]:
        width = max(len(request.context_ids) for request in requests)
        ids = torch.full((len(requests), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, width - len(request.context_ids) :] = torch.tensor(list(request.context_ids))
            mask[row, width - len(request.context_ids) :] = 1
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                max_new_tokens=requests[0].max_tokens,
                output_logits=True,
                return_dict_in_generate=True,
            )
        logprobs = torch.log_softmax(torch.stack(out.logits, 1).float(), -1)
        new = out.sequences[:, width:]
        chosen = logprobs.gather(2, new[:, :, None])[:, :, 0]
        samples: list[Sample | EpisodeFailure] = []
        for row, request in enumerate(requests):
            tokens = new[row].tolist()
            end = next((i for i, t in enumerate(tokens) if t in request.stop_ids), None)
            kept = tokens if end is None else tokens[: end + 1]
            text = self.tokenizer.decode(kept, skip_special_tokens=True)
            values = tuple(chosen[row, : len(kept)].tolist())
            samples.append(
                Sample(tuple(kept), values, text, "length" if end is None else "stop", 0)
            )
        return samples

    def release(self, sessions: Iterable[int]) -> None:
        pass

    def close(self) -> None:
        pass


class Puppet(PolicyAgent):
    """Samples like a policy, and does what the expert would."""

    needs = frozenset({"expert"})

    def begin(self, start: Start) -> PolicyActing:
        return Strings(self, start)


class Strings(PolicyActing):
    def decide(self, view: View, request: SampleRequest, sample: Sample) -> Decision:
        return replace(super().decide(view, request, sample), action=view.expert or "look")


def long_worlds(count: int, turns: int) -> list[int]:
    """Return seeds of worlds in which the expert needs at least so many turns."""
    env, seeds, seed = make("household", preset="tiny"), list[int](), 10**6
    while len(seeds) < count:
        seed += 1
        env.reset(seed=seed)
        over, taken = False, 0
        while not over and taken < turns:
            _, _, terminated, truncated, _ = env.step(env.expert() or "")
            over, taken = terminated or truncated, taken + 1
        if taken == turns:
            seeds.append(seed)
    return seeds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=5, help="at most per turn")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    env = make("household", preset="tiny")
    with tempfile.TemporaryDirectory() as folder:
        texts = gather_texts(env, range(200))
        kept = HFBackend(new_policy(Path(folder) / "policy", texts=texts, seed=0))
    weights = sum(p.numel() for p in kept.model.parameters())
    agent, pool = Puppet(Renderer(kept.tokenizer), needs=Puppet.needs), EnvPool()
    seeds = long_worlds(options.episodes, options.turns)
    limits = Limits(max_turns=options.turns, max_tokens_per_call=options.tokens)
    jobs = [Job(Task("household", {"preset": "tiny"}, seed), agent) for seed in seeds]

    def play(backend: Backend) -> int:
        done = run_lockstep(jobs, backend, limits=limits, seed=0, pool=pool)
        assert all(trajectory.valid for trajectory in done)
        return sum(len(c.sample_ids) for t in done for turn in t.turns for c in turn.calls)

    sides: dict[str, Backend] = {"kept cache": kept, "generate, whole prefix": Generate(kept)}
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for backend in sides.values():  # warm up
        play(backend)
    for _ in range(options.rounds):
        for name, backend in sides.items():
            wall, cpu, tokens = time.perf_counter(), time.process_time(), play(backend)
            speeds[name].append(
                (tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu))
            )
    print(f"{options.episodes} episodes of {options.turns} turns, {weights:,} weights, 1 thread")
    medians = {}
    for name, found in speeds.items():
        medians[name] = [statistics.median(column) for column in zip(*found, strict=True)]
        wall, cpu = medians[name]
        print(f"{name:24} {wall:8,.0f} tokens/s of wall clock {cpu:8,.0f} tokens per CPU second")
    fast, slow = medians.values()
    print(f"{'ratio':24} {fast[0] / slow[0]:8.1f} {'':22} {fast[1] / slow[1]:8.1f}")


if __name__ == "__main__":
    main()
