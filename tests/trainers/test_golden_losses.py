"""Losses against numbers of the authors' own code, gradients included."""

from typing import Any

import golden_cases
import pytest

torch = pytest.importorskip("torch")

from agentgym.trainers.critic import ValueLoss  # noqa: E402
from agentgym.trainers.losses.base import Denominators, kl_estimate  # noqa: E402
from agentgym.trainers.losses.gspo import GSPO  # noqa: E402
from agentgym.trainers.losses.ppo_clip import PPOClip  # noqa: E402

AGGREGATIONS = [
    "token-mean",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
]


def close(got: Any, expected: Any) -> None:
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(torch.as_tensor(got).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("case", golden_cases.cases("policy_loss"))
def test_ppo_clip(case: golden_cases.Case, aggregation: Any) -> None:
    x, expected = case["inputs"], case["outputs"]["policy_loss"][aggregation]
    logprobs = torch.tensor(x["log_prob"], requires_grad=True)
    mask = torch.tensor(x["response_mask"])
    normed = aggregation == "seq-mean-token-sum-norm"
    loss = PPOClip(
        clip_low=x["clip_low"],
        clip_high=x["clip_high"],
        dual_clip=x["clip_ratio_c"],
        aggregation=aggregation,
        length=mask.shape[-1] if normed else None,
        mean_over_sequences=not normed,  # the authors' code sums here
    )
    result = loss(
        logprobs,
        torch.tensor(x["old_log_prob"]),
        torch.tensor(x["advantages"]),
        mask,
        denominators=Denominators(int(mask.sum()), len(mask)),
    )
    close(result.loss.detach(), expected["loss"])
    [gradient] = torch.autograd.grad(result.loss, logprobs)
    close(gradient, expected["grad_log_prob"])
    close(result.metrics["clip_fraction"], expected["clipfrac"])
    close(result.metrics["dual_clip_fraction"], expected["clipfrac_lower"])
    close(result.metrics["ppo_kl"], expected["ppo_kl"])


@pytest.mark.parametrize("kind", ["k1", "abs", "k2", "k3"])
@pytest.mark.parametrize("case", golden_cases.cases("policy_loss"))
def test_kl(case: golden_cases.Case, kind: Any) -> None:
    x = case["inputs"]
    got = kl_estimate(torch.tensor(x["log_prob"]), torch.tensor(x["ref_log_prob"]), kind)
    close(got, case["outputs"]["kl_penalty_per_token"][kind])


@pytest.mark.parametrize("case", golden_cases.cases("policy_loss"))
def test_gspo(case: golden_cases.Case) -> None:
    x, expected = case["inputs"], case["outputs"]["policy_loss"]["gspo"]
    logprobs, mask = (
        torch.tensor(x["log_prob"], requires_grad=True),
        torch.tensor(x["response_mask"]),
    )
    result = GSPO(clip_low=x["clip_low"], clip_high=x["clip_high"])(
        logprobs,
        torch.tensor(x["old_log_prob"]),
        torch.tensor(x["advantages"]),
        mask,
        denominators=Denominators(int(mask.sum()), len(mask)),
    )
    close(result.loss.detach(), expected["loss"])
    [gradient] = torch.autograd.grad(result.loss, logprobs)
    close(gradient, expected["grad_log_prob"])
    close(result.metrics["clip_fraction"], expected["clipfrac"])
    close(result.metrics["ppo_kl"], expected["ppo_kl"])


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("case", golden_cases.cases("value_loss"))
def test_value_loss(case: golden_cases.Case, half: bool) -> None:
    x, outputs = case["inputs"], case["outputs"]
    mask = torch.tensor(x["response_mask"])
    result = ValueLoss(clip=x["cliprange_value"], half=half)(
        torch.tensor(x["vpreds"]),
        torch.tensor(x["values"]),
        torch.tensor(x["returns"]),
        mask,
        denominators=Denominators.of([mask]),
    )
    close(result.loss, outputs["vf_loss_verl_0_5_0" if half else "vf_loss_verl_agent"])
    close(result.metrics["value_clip_fraction"], outputs["clipfrac"])
