"""The warm start imitates, through the very token sequences that rollouts produce."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from agentgym.agents import Demonstrator, ExpertAgent, PolicyAgent
from agentgym.backends.hf import HFBackend
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect
from agentgym.trainers.config import OptimizerConfig, WarmstartConfig
from agentgym.trainers.evaluate import evaluate
from agentgym.trainers.pack import Row, collate, pack_demonstrations
from agentgym.trainers.policies import new_policy
from agentgym.trainers.score import score
from agentgym.trainers.warmstart import imitate

LIMITS = Limits(max_tokens_per_call=4)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    folder = tmp_path_factory.mktemp("policy") / "p"
    texts = [
        f"It is {word} than {n}. Correct! {n}" for n in range(1, 21) for word in ("higher", "lower")
    ]
    return HFBackend(new_policy(folder, texts=texts * 10, seed=0))


def demonstrations(backend: HFBackend, count: int = 60) -> list[Row]:
    agent = Demonstrator(PolicyAgent(Renderer(backend.tokenizer), opening=""), ExpertAgent())
    tasks = [Task("guess", {}, seed) for seed in range(count)]
    groups = collect(tasks, 1, agent, None, seed=0, limits=LIMITS)
    return pack_demonstrations(t for group in groups for t in group.trajectories_G)


def test_demonstrations_are_the_sequences_that_the_backend_would_be_shown(
    backend: HFBackend,
) -> None:
    [row, *_] = demonstrations(backend, 1)
    text = backend.tokenizer.decode(row.ids_S.tolist())
    assert text.startswith(
        "<|user|>I am thinking of a number between 1 and 20. What is it?<|assistant|>10<|end|>"
    )
    said = backend.tokenizer.decode(row.ids_S[row.mask_S].tolist())
    assert said.startswith("10<|end|>")
    assert "user" not in said


def test_imitation_raises_the_expert_s_probability_and_success(backend: HFBackend) -> None:
    rows = demonstrations(backend)
    agent = PolicyAgent(Renderer(backend.tokenizer), opening="")
    tasks = [Task("guess", {}, seed) for seed in range(1000, 1040)]
    before, _ = evaluate(tasks, agent, backend, seed=0, limits=LIMITS)
    losses: list[float] = []
    config = WarmstartConfig(
        demonstrations=60, epochs=6, optimizer=OptimizerConfig(lr=3e-3, warmup=5)
    )
    imitate(
        backend.model, rows, config, np.random.default_rng(0), lambda _, __, x: losses.append(x)
    )
    backend.policy_version += 1
    after, _ = evaluate(tasks, agent, backend, seed=0, limits=LIMITS)
    assert losses[-1] < 0.3 * losses[0]
    assert after.rate > before.rate + 0.5


def test_observations_weigh_what_they_are_told_to(backend: HFBackend) -> None:
    rows = demonstrations(backend, 8)

    def loss_of(weight: float) -> float:
        seen: list[float] = []
        config = WarmstartConfig(
            demonstrations=8,
            batch_size=8,
            observation_weight=weight,
            optimizer=OptimizerConfig(lr=1e-12),
        )
        imitate(
            backend.model, rows, config, np.random.default_rng(0), lambda _, __, x: seen.append(x)
        )
        return seen[0]

    batch = collate(rows)
    actions = score(backend.model, batch).logprobs_BS.detach().numpy()
    everything = [
        Row(r.ids_S, np.arange(len(r)) > 0, r.logprobs_S, r.advantages_S, r.member) for r in rows
    ]
    all_tokens = score(backend.model, collate(everything)).logprobs_BS.detach().numpy()
    count, total = batch.mask_BS.sum(), sum(len(r) - 1 for r in rows)
    assert loss_of(0.0) == pytest.approx(-actions.sum() / count, rel=1e-4)
    assert loss_of(1.0) == pytest.approx(-all_tokens.sum() / total, rel=1e-4)


def test_equal_generators_make_equal_weights(tmp_path: Path) -> None:
    def made(seed: int) -> torch.Tensor:
        texts = [f"It is higher than {n}. {n}" for n in range(1, 21)] * 10
        each = HFBackend(
            new_policy(tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}", texts=texts, seed=0)
        )
        config = WarmstartConfig(demonstrations=20, optimizer=OptimizerConfig(lr=1e-3))
        imitate(each.model, demonstrations(each, 20), config, np.random.default_rng(seed))
        return torch.cat([p.detach().flatten() for p in each.model.parameters()])

    assert torch.equal(made(0), made(0))
    assert not torch.equal(made(0), made(1))


def test_noise_leaves_out_what_it_is_told_to() -> None:
    def actions(never: tuple[str, ...]) -> set[str]:
        tasks = [Task("household", {"size": "tiny"}, seed) for seed in range(10)]
        groups = collect(tasks, 1, ExpertAgent(1.0, never), None, seed=0)
        return {turn.action for g in groups for t in g.trajectories_G for turn in t.turns}

    assert {"help", "look"} <= actions(())
    assert not {"help", "look"} & actions(("help", "look"))
    assert "inventory" in actions(("help", "look"))
