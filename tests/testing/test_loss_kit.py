"""The conformance kit for losses finds each broken promise and names it."""

import re
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from agentgym.testing import check_loss  # noqa: E402 - torch may be missing
from agentgym.trainers.losses.base import Denominators, LossResult, masked  # noqa: E402


class Reinforce:
    """The plain policy gradient: - A logp, averaged over tokens."""

    needs: Any = frozenset()

    def __call__(
        self,
        logprobs_BS: Any,
        old_logprobs_BS: Any,
        advantages_BS: Any,
        mask_BS: Any,
        *,
        denominators: Denominators,
        ref_logprobs_BS: Any = None,
        entropy_BS: Any = None,
    ) -> Any:
        loss_BS = self.per_token(logprobs_BS, masked(advantages_BS, mask_BS), mask_BS)
        loss = loss_BS.sum() / self.count(denominators, mask_BS)
        return LossResult(loss, {"policy_loss": float(loss.detach())})

    def per_token(self, logprobs_BS: Any, advantages_BS: Any, mask_BS: Any) -> Any:
        return -advantages_BS * masked(logprobs_BS, mask_BS)

    def count(self, denominators: Denominators, mask_BS: Any) -> float:
        return max(denominators.tokens, 1)


class NoDocstring(Reinforce):
    __doc__ = ""


class OddNeeds(Reinforce):
    """Bad."""

    needs = frozenset({"values"})


class NotAResult(Reinforce):
    """Bad."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs).loss


class PerToken(Reinforce):
    """Bad."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return LossResult(-args[0] * args[2], {})


class TensorMetric(Reinforce):
    """Bad."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        return LossResult(result.loss, {"loss": result.loss.detach()})


class Multiplies(Reinforce):
    """Bad: NaN times 0 is NaN."""

    def per_token(self, logprobs_BS: Any, advantages_BS: Any, mask_BS: Any) -> Any:
        return -advantages_BS * logprobs_BS * mask_BS


class OwnCount(Reinforce):
    """Bad: a micro-batch divides by its own tokens."""

    def count(self, denominators: Denominators, mask_BS: Any) -> float:
        return max(int(mask_BS.sum()), 1)


class OwnMetric(Reinforce):
    """Bad: the metric is not divided by the counts of the whole batch."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        return LossResult(result.loss, {"rows": 1.0})


class Ranked(Reinforce):
    """Bad: the place of a row is its weight."""

    def per_token(self, logprobs_BS: Any, advantages_BS: Any, mask_BS: Any) -> Any:
        weights = torch.arange(1.0, len(logprobs_BS) + 1, dtype=logprobs_BS.dtype)
        return super().per_token(logprobs_BS, advantages_BS, mask_BS) * weights[:, None]


class Upside(Reinforce):
    """Bad."""

    def per_token(self, logprobs_BS: Any, advantages_BS: Any, mask_BS: Any) -> Any:
        return -super().per_token(logprobs_BS, advantages_BS, mask_BS)


class Empty(Reinforce):
    """Bad."""

    def count(self, denominators: Denominators, mask_BS: Any) -> float:
        return denominators.tokens


class Overflows(Reinforce):
    """Bad."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ratio_BS = masked(args[0].float() - args[1].float(), args[3]).exp()
        loss = (-masked(args[2], args[3]) * ratio_BS).sum() / max(kwargs["denominators"].tokens, 1)
        return LossResult(loss, {})


class InPlace(Reinforce):
    """Bad."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        args[2].mul_(2.0)
        return result


def test_a_good_loss_passes() -> None:
    report = check_loss(Reinforce())
    assert report.raise_on_failure()
    assert len(report.passed) == 8


@pytest.mark.parametrize(
    ("loss", "name", "message"),
    [
        (NoDocstring, "has the interface", "no docstring"),
        (OddNeeds, "has the interface", r"out of \['entropy', 'ref_logprobs'\], got frozenset"),
        (NotAResult, "a finite scalar", "must return a LossResult, got Tensor"),
        (PerToken, "a finite scalar", r"loss must be a scalar, got shape \(6, 7\)"),
        (TensorMetric, "a finite scalar", "metric 'loss' must be a finite float, got tensor"),
        (Multiplies, "what is masked", "NaN outside the mask changes the loss from .* to nan"),
        (OwnCount, "micro-batches", "three micro-batches add up to .* divide by the counts in"),
        (OwnMetric, "micro-batches", "metric 'rows': micro-batches give 3.0, not 1.0"),
        (Ranked, "the order of rows", "rows in reverse order give"),
        (Upside, "it pushes", "a positive advantage is made less probable"),
        (Empty, "extremes", "an empty mask must give 0, got nan"),
        (Overflows, "extremes", r"log-ratios of \+-200 give a loss of (-?inf|nan)"),
        (InPlace, "its inputs", "advantages_BS was changed in place"),
    ],
)
def test_broken_promises_are_named(loss: Any, name: str, message: str) -> None:
    failed = {check.name: check.detail for check in check_loss(loss).failed}
    (found,) = [detail for key, detail in failed.items() if key.startswith(name)]
    assert re.search(message, found), found
