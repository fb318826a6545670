"""The whole of a training run, wired by hand: environment, backend, credit, loss, learner.

A small policy learns to guess a number, first from noisy demonstrations, then by GiGPO.

    python examples/train_by_hand.py            (about a minute on one core)
    python examples/train_by_hand.py --smoke    (a few seconds; learns little)
"""

import sys
import tempfile

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

import agentgym
from agentgym.agents import Demonstrator, ExpertAgent, PolicyAgent
from agentgym.backends.hf import HFBackend
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect
from agentgym.statistics import wilson
from agentgym.trainers.config import OptimizerConfig, WarmstartConfig
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.learner import Learner
from agentgym.trainers.losses.ppo_clip import PPOClip
from agentgym.trainers.optimizer import Optimizer
from agentgym.trainers.pack import pack, pack_demonstrations
from agentgym.trainers.policies import gather_texts, new_policy
from agentgym.trainers.warmstart import imitate


def main(*, smoke: bool) -> None:
    """Warm up, train, and print the share of numbers that were guessed."""
    demonstrations, iterations = (40, 2) if smoke else (400, 30)
    rng = np.random.default_rng(0)
    limits = Limits(max_tokens_per_call=8)

    with tempfile.TemporaryDirectory() as folder:
        new_policy(folder, texts=gather_texts(agentgym.make("guess"), range(200)), seed=0)
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    backend = HFBackend(model, tokenizer)
    policy = PolicyAgent(Renderer(tokenizer), opening="")

    def tasks(count: int) -> list[Task]:
        return [Task("guess", seed=int(seed)) for seed in rng.integers(0, 2**30, count)]

    # What the expert does, with a random action now and then, as if the policy had said it.
    expert = Demonstrator(policy, ExpertAgent(noise=0.3))
    shown = collect(tasks(demonstrations), 1, expert, None, seed=1, limits=limits)
    rows = pack_demonstrations(t for group in shown for t in group.trajectories_G)
    imitate(model, rows, WarmstartConfig(epochs=2, optimizer=OptimizerConfig(lr=3e-3)), rng)

    credit = GiGPO(gamma=0.95, omega=1.0)
    optimizer = Optimizer(model, OptimizerConfig(lr=1e-3, betas=(0.9, 0.99)), iterations)
    learner = Learner(model, optimizer, PPOClip())
    for iteration in range(iterations):
        groups = collect(tasks(8), 8, policy, backend, seed=100 + iteration, limits=limits)
        learner.update(pack(groups, [credit(group) for group in groups]), rng)
        backend.policy_version = learner.version

        played = [t for group in groups for t in group.trajectories_G if t.valid]
        wins = sum(bool(t.success) for t in played)
        low, high = wilson(wins, len(played))
        print(f"{iteration:3}  {wins / len(played):.2f} guessed  [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main(smoke="--smoke" in sys.argv)
