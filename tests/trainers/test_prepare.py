"""Stages between rollout and credit: the KL penalty."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import ConfigError, UserError
from agentgym.testing.samples import sample_groups
from agentgym.trainers.config import KLKind
from agentgym.trainers.credit.common import example, trained_mask
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.prepare import KL_PENALTY, mean_kl, penalise_kl
from agentgym.types import Trajectory

KINDS: tuple[Any, ...] = get_args(KLKind)


def ratios(trajectory: Trajectory) -> list[float]:
    """Log of policy to reference, of trained tokens."""
    calls = [call for turn in trajectory.turns for call in turn.calls]
    logprobs = np.array([value for call in calls for value in call.logprobs])
    found = (logprobs - np.array(trajectory.notes["ref_logprob"]))[trained_mask(trajectory)]
    return [float(r) for r in found]


@given(
    seed=st.integers(0, 10_000),
    coef=st.sampled_from([0.001, 0.5, 3.0]),
    kind=st.sampled_from(KINDS),
)
@settings(max_examples=40, deadline=None)
def test_the_penalty_is_that_of_the_trained_tokens_and_of_nothing_else(
    seed: int, coef: float, kind: Any
) -> None:
    estimates: dict[str, Callable[[float], float]] = {
        "k1": lambda r: r,
        "abs": abs,
        "k2": lambda r: r * r / 2,
        "k3": lambda r: math.exp(-r) - 1 + r,
    }
    estimate = estimates[kind]
    for group in sample_groups(seed, 6):
        before = repr(group)
        out = penalise_kl(group, coef, kind)
        assert repr(group) == before
        for old, new in zip(group.trajectories_G, out.trajectories_G, strict=True):
            if not old.valid:
                assert new is old
                continue
            place, expected = 0, []
            for turn, after in zip(old.turns, new.turns, strict=True):
                size = sum(len(c.sample_ids) for c in turn.calls if c.trainable)
                here = ratios(old)[place : place + size]
                place += size
                expected += [estimate(r) for r in here]
                amount = coef * sum(estimate(r) for r in here)
                assert after.reward == pytest.approx(turn.reward - amount)
                assert after.reward_parts.get(KL_PENALTY, 0.0) == pytest.approx(-amount)
                assert replace(after, reward=0.0, reward_parts={}) == replace(
                    turn, reward=0.0, reward_parts={}
                )
                if not size:
                    assert after == turn
            only = replace(group, trajectories_G=(old,))
            mean = sum(expected) / len(expected) if expected else 0.0
            assert mean_kl([only], kind) == pytest.approx(mean)


def test_off_by_default_and_never_paid_out() -> None:
    group = example([[1.0], [0.0]])
    assert penalise_kl(group) is group
    for coef in (-0.1, math.nan):
        with pytest.raises(ConfigError, match="below 0"):
            penalise_kl(group, coef)
    with pytest.raises(UserError, match=r"has no note 'ref_logprob'.*reference"):
        penalise_kl(group, 0.1)
    assert mean_kl([]) == 0.0


def test_a_frozen_call_may_say_what_it_likes() -> None:
    frozen = 0
    for group in sample_groups(3):
        members = []
        for trajectory in (t for t in group.trajectories_G if t.valid):
            mask_T = trained_mask(trajectory)
            noted = np.where(mask_T, trajectory.notes["ref_logprob"], -99.0)
            members.append(replace(trajectory, notes={"ref_logprob": tuple(noted.tolist())}))
            frozen += int((~mask_T).sum())
        wild = replace(group, trajectories_G=tuple(members))
        ours = [t.rewards_K for t in penalise_kl(group, 1.0).trajectories_G if t.valid]
        assert ours == [t.rewards_K for t in penalise_kl(wild, 1.0).trajectories_G]
    assert frozen


def test_who_strays_from_the_reference_is_worth_less() -> None:
    notes = {"ref_logprob": [[-1.0, -1.0], [-1.0, -3.0]]}
    group = example([[1.0, 1.0], [1.0, 1.0]], notes=notes)  # every token had -1 nats when sampled
    charged = penalise_kl(group, 0.5)
    assert [t.rewards_K for t in charged.trajectories_G] == [(1.0, 1.0), (1.0, 0.0)]
    near, far = (float(member[0][0][0]) for member in GRPO(std=False)(charged))
    assert (near, far) == (0.5, -0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_are_those_of_the_losses(kind: Any) -> None:
    torch = pytest.importorskip("torch")
    from agentgym.trainers.losses.base import kl_estimate

    logprobs, ref = [-1.0, -0.1, -30.0, -2.0], [-1.5, -40.0, -0.5, -2.0]
    group = example([[0.0] * 4], notes={"ref_logprob": [ref]})
    turns = tuple(
        replace(turn, calls=(replace(turn.calls[0], logprobs=(value,)),))
        for turn, value in zip(group.trajectories_G[0].turns, logprobs, strict=True)
    )
    group = replace(group, trajectories_G=(replace(group.trajectories_G[0], turns=turns),))
    expected = kl_estimate(torch.tensor(logprobs), torch.tensor(ref), kind).tolist()
    [charged] = penalise_kl(group, 1.0, kind).trajectories_G
    assert [-r for r in charged.rewards_K] == pytest.approx(expected, rel=1e-5)
