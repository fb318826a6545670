"""The critic: values before tokens, learning them, saving them."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentgym.errors import ConfigError, RecordError
from agentgym.testing.samples import sample_groups
from agentgym.trainers.config import CriticConfig
from agentgym.trainers.credit.combine import make_scheme
from agentgym.trainers.credit.common import example, trained_mask
from agentgym.trainers.credit.gae import GAE
from agentgym.trainers.credit.gated import Gated
from agentgym.trainers.critic import Critic, targets_of
from agentgym.types import Group, Trajectory


def policy(seed: int = 0, hidden: int = 32) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=64,
            hidden_size=hidden,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            intermediate_size=64,
            initializer_range=0.2,
            attention_dropout=0.1,
            tie_word_embeddings=True,
        )
    ).eval()


def critic(*, max_tokens: int = 4096, hidden: int = 32, **config: Any) -> Critic:
    settings = CriticConfig(**{"lr": 3e-3, **config})
    made = Critic(policy(hidden=hidden), settings, max_tokens=max_tokens, steps=100)
    torch.manual_seed(1)
    torch.nn.init.normal_(made.model.head.weight)
    return made


def rng(iteration: int = 0) -> np.random.Generator:
    return np.random.default_rng([7, iteration])


def learn(made: Critic, groups: list[Group], iteration: int = 0) -> dict[str, float]:
    """One iteration, as the training loop does it."""
    noted = made(groups)
    return made.update(noted, [GAE().targets(group) for group in noted], rng(iteration))


def bare(groups: list[Group]) -> list[Group]:
    """The groups as a rollout leaves them: without notes."""
    return [
        replace(g, trajectories_G=tuple(replace(t, notes={}) for t in g.trajectories_G))
        for g in groups
    ]


def slow_values(made: Critic, trajectory: Trajectory) -> list[float]:
    """One forward pass per trained token, over nothing but what came before it."""
    found, context = [], dict[str, list[int]]()
    for call in (call for turn in trajectory.turns for call in turn.calls):
        ids = context.setdefault(call.role, [])
        if call.fresh:
            ids.clear()
        ids += call.prompt_ids
        for token in call.sample_ids:
            if call.trainable:
                hidden_SH = made.model.trunk(torch.tensor([ids])).last_hidden_state[0]
                found.append(float(made.model.head(hidden_SH[-1]).detach()))
            ids.append(token)
    return found


def test_a_value_is_of_what_stands_before_the_token() -> None:
    made = critic(max_tokens=60)
    before = bare(sample_groups(count=6))
    seen = 0
    for group, old in zip(made(before), before, strict=True):
        for trajectory, blank in zip(group.trajectories_G, old.trajectories_G, strict=True):
            if not trajectory.valid:
                assert trajectory == blank
                continue
            mask_T, values_T = trained_mask(trajectory), np.array(trajectory.notes["value"])
            expected = slow_values(made, trajectory)
            assert values_T[mask_T].tolist() == pytest.approx(expected, abs=1e-4)
            for t in np.flatnonzero(~mask_T):  # frozen: the next trained token's, or 0
                later = np.flatnonzero(mask_T[t:])
                assert values_T[t] == (values_T[t + later[0]] if len(later) else 0.0)
            seen += len(values_T)
        GAE(frozen="step")(group)
        assert replace(group, trajectories_G=()) == replace(old, trajectories_G=())
    assert seen > 50


def test_it_says_0_before_it_has_learned() -> None:
    made = Critic(policy(), CriticConfig(), max_tokens=4096, steps=1)
    [group] = made([example([[0, 1], [0]], tokens=2)])
    assert [set(t.notes["value"]) for t in group.trajectories_G] == [{0.0}, {0.0}]


def told_apart() -> Group:
    """Two episodes that differ in what is seen in the first turn, and in the outcome."""
    group = example([[0, 1], [0, 0]], tokens=2)
    first = group.trajectories_G[1].turns[0]
    other = replace(first, calls=(replace(first.calls[0], prompt_ids=(9,)),))
    changed = replace(group.trajectories_G[1], turns=(other, *group.trajectories_G[1].turns[1:]))
    return replace(group, trajectories_G=(group.trajectories_G[0], changed))


def test_it_learns_which_episodes_end_well() -> None:
    made = critic(lr=1e-2, epochs=2)
    metrics = []
    for i in range(60):
        metrics.append(learn(made, [told_apart()], i))
    values = [made([told_apart()])[0].trajectories_G[g].notes["value"] for g in (0, 1)]
    assert values[0] == pytest.approx([1.0] * 4, abs=0.1)
    assert values[1] == pytest.approx([0.0] * 4, abs=0.1)
    assert metrics[-1]["critic/value_loss"] < 0.01 < metrics[0]["critic/value_loss"]
    assert metrics[0]["critic/explained_variance"] < 0.5
    assert metrics[-1]["critic/explained_variance"] > 0.95
    assert {k for k in metrics[0] if not k.startswith("critic/")} == set()


def test_it_has_weights_of_its_own() -> None:
    model = policy()
    before = copy.deepcopy(model.state_dict())
    made = Critic(model, CriticConfig(lr=0.1), max_tokens=99, steps=1)
    learn(made, [told_apart()])  # the head moves first: it was 0
    learn(made, [told_apart()])
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    trunk = dict(made.model.trunk.named_parameters())
    assert not all(torch.equal(before[f"model.{name}"], weight) for name, weight in trunk.items())


def flat(made: Critic) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in made.model.parameters()])


def test_micro_batches_make_the_same_step_as_one_big_batch() -> None:
    groups = bare(sample_groups())
    # Without dropout, which is drawn anew for every forward pass.
    big, small = (critic(max_tokens=size) for size in (10_000, 25))
    for made in (big, small):
        for layer in made.model.trunk.layers:
            layer.self_attn.attention_dropout = 0.0
    ours, theirs = (learn(made, groups) for made in (big, small))
    assert torch.allclose(flat(big), flat(small), atol=2e-5)
    assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)


def test_a_value_cannot_be_pulled_far_from_what_it_was() -> None:
    """With a clip and many epochs the values move by about the clip, without it all the way."""
    for clip, low, high in ((0.05, 0.02, 0.4), (0.0, 0.8, 1.2)):
        settings = CriticConfig(lr=3e-3, epochs=60, clip=clip)
        made = Critic(policy(), settings, max_tokens=99, steps=1)
        metrics = learn(made, [example([[1.0], [1.0]])])
        value = made([example([[1.0]])])[0].trajectories_G[0].notes["value"][0]
        assert low < value < high
        assert (metrics["critic/value_clip_fraction"] > 0) is bool(clip)
        assert "critic/explained_variance" not in metrics  # all targets are equal


def test_a_saved_critic_goes_on_bit_for_bit() -> None:
    settings: dict[str, Any] = {"epochs": 2, "minibatches": 2, "warmup": 3, "schedule": "linear"}
    batches = [bare(sample_groups(seed, 6)) for seed in range(4)]

    def go_on(made: Critic, iterations: range) -> dict[str, float]:
        for i in iterations:
            metrics = learn(made, batches[i], i)
            torch.rand(1)  # somebody else draws from torch's own generator
        return metrics

    straight, saved = critic(**settings), critic(**settings)
    expected = go_on(straight, range(4))
    go_on(saved, range(2))
    tensors = {name: t.clone() for name, t in saved.tensors().items()}
    resumed = critic(**settings)
    resumed.load(tensors, saved.counters())
    assert go_on(resumed, range(2, 4)) == expected
    assert torch.equal(flat(straight), flat(resumed))
    assert straight.counters() == resumed.counters()
    with pytest.raises(RecordError):
        critic(hidden=16).load(tensors, saved.counters())
    # It can fail: without its moments it goes elsewhere.
    forgetful = critic(**settings)
    forgetful.load({n: t for n, t in tensors.items() if n.startswith("model/")}, saved.counters())
    go_on(forgetful, range(2, 4))
    assert not torch.equal(flat(straight), flat(forgetful))


def test_a_group_in_which_everybody_failed_for_good_teaches_nothing() -> None:
    made = critic()
    before = flat(made)
    spoiled = example([[1.0], [0.0]], invalid=[0, 1])
    assert "critic/value_loss" not in learn(made, [spoiled])
    assert torch.equal(flat(made), before)


# What it is to learn ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Wordless:
    """Needs values and says nothing about targets."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"value"})

    def __call__(self, group: Group) -> Any:
        return GAE()(group)


def test_the_scheme_says_what_a_critic_learns() -> None:
    [group] = critic()([example([[0.5, 1.0], [0.0, 0.0]])])
    alone = GAE(lam=0.5)
    text = 'gated(channels=[{name = "success", gate = 1}, {name = "rest"}], then="gae(lam=0.5)")'
    gated: Any = make_scheme(text)
    assert isinstance(gated, Gated)

    def numbers(scheme: Any, of: Group = group) -> list[float]:
        return [float(v) for member in targets_of(scheme)(of) for (c,) in member for v in c]

    assert numbers(alone) == [float(v) for m in alone.targets(group) for (c,) in m for v in c]
    assert numbers(make_scheme("0.5*gae(lam=0.5) + grpo")) == numbers(alone)
    # Nobody passes the gate, so nothing is rewarded.
    assert numbers(gated) == numbers(alone, gated.gate(group)) != numbers(alone)
    with pytest.raises(ConfigError, match=r"Wordless needs values.*a method targets"):
        targets_of(Wordless())
    with pytest.raises(ConfigError, match="one critic, but 2 terms"):
        targets_of(make_scheme("gae + gae(lam=0.5)"))
