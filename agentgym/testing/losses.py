"""`check_loss`: what every loss promises, tried on random rows. Needs torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentgym.testing.credit import make_part
from agentgym.testing.report import Failed, Named, NotApplicable, Report, run_checks

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.losses.base import Loss, LossResult

INPUTS = frozenset({"ref_logprobs", "entropy"})


@dataclass
class Rows:
    """Random inputs of a loss (B rows, S positions), always with a reference and entropies."""

    logprobs_BS: "Tensor"
    old_logprobs_BS: "Tensor"
    advantages_BS: "Tensor"
    mask_BS: "Tensor"
    ref_logprobs_BS: "Tensor"
    entropy_BS: "Tensor"


def check_loss(loss: "str | Loss | Callable[..., Loss]") -> Report:
    """Try out what every loss promises.

    Args:
        loss: a name, a loss, or its class (which is made with its defaults).

    Raises:
        UserError: no such loss, or torch is not installed.
    """
    made, name = make_part("losses", loss)
    return run_checks("loss", name, made, LOSS_CHECKS)


def has_the_interface(loss: "Loss") -> None:
    """It is callable and says what it needs."""
    if not callable(loss):
        raise Failed(f"{type(loss).__name__} is not callable")
    needs = getattr(loss, "needs", None)
    if not isinstance(needs, frozenset) or not needs <= INPUTS:
        raise Failed(f"needs must be a frozenset out of {sorted(INPUTS)}, got {needs!r}")
    if not (getattr(type(loss), "__doc__", "") or "").strip():
        raise Failed("there is no docstring; it is the place of symbols, formula and source")


def gives_a_finite_scalar(loss: "Loss") -> None:
    """One finite number with a finite gradient, and finite metrics."""
    rows = _rows()
    result = _of(loss, rows)
    if result.loss.shape != ():
        raise Failed(f"loss must be a scalar, got shape {tuple(result.loss.shape)}")
    if not math.isfinite(float(result.loss.detach())):
        raise Failed(f"loss is {float(result.loss.detach())}")
    for name, value in result.metrics.items():
        if not isinstance(value, float) or not math.isfinite(value):
            raise Failed(f"metric {name!r} must be a finite float, got {value!r}")
    gradient_BS = _gradient(loss, rows)
    if not bool(gradient_BS.isfinite().all()):
        raise Failed("the gradient with respect to logprobs_BS is not finite")


def ignores_what_is_masked(loss: "Loss") -> None:
    """NaN outside the mask changes neither the loss nor the gradient."""
    rows, spoiled = _rows(), _rows()
    outside = ~rows.mask_BS.bool()
    for tensor in (
        spoiled.logprobs_BS,
        spoiled.old_logprobs_BS,
        spoiled.advantages_BS,
        spoiled.ref_logprobs_BS,
        spoiled.entropy_BS,
    ):
        tensor[outside] = math.nan
    ours, theirs = float(_of(loss, rows).loss.detach()), float(_of(loss, spoiled).loss.detach())
    if ours != theirs:
        raise Failed(f"NaN outside the mask changes the loss from {ours} to {theirs}")
    gradient_BS = _gradient(loss, spoiled)
    if bool((gradient_BS[outside] != 0).any()) or not bool(gradient_BS.isfinite().all()):
        raise Failed("positions outside the mask have a gradient, or NaN there spreads")


def is_the_same_in_pieces(loss: "Loss") -> None:
    """Loss, gradient and metrics of micro-batches add up to those of one batch."""
    import torch

    from agentgym.trainers.losses.base import Denominators, combine

    rows = _rows()
    counts = Denominators.of([rows.mask_BS])
    whole, gradient_BS = _of(loss, rows, counts), _gradient(loss, rows, counts)
    parts = [_slice(rows, slice(0, 1)), _slice(rows, slice(1, 3)), _slice(rows, slice(3, None))]
    results = [_of(loss, part, counts) for part in parts]
    total = sum(float(result.loss.detach()) for result in results)
    if not math.isclose(total, float(whole.loss.detach()), rel_tol=1e-9, abs_tol=1e-12):
        raise Failed(
            f"three micro-batches add up to {total}, the whole batch gives "
            f"{float(whole.loss.detach())}; divide by the counts in `denominators`"
        )
    pieces_BS = torch.cat([_gradient(loss, part, counts) for part in parts])
    if not torch.allclose(pieces_BS, gradient_BS, rtol=1e-9, atol=1e-12):
        raise Failed("the gradients of micro-batches are not those of the whole batch")
    for name, value in combine(results).items():
        if not math.isclose(value, whole.metrics[name], rel_tol=1e-5, abs_tol=1e-7):
            raise Failed(f"metric {name!r}: micro-batches give {value}, not {whole.metrics[name]}")


def does_not_ask_for_the_order(loss: "Loss") -> None:
    """Rows in another order give the same loss."""
    rows = _rows()
    turned = _slice(rows, slice(None), flip=True)
    ours, theirs = float(_of(loss, rows).loss.detach()), float(_of(loss, turned).loss.detach())
    if not math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12):
        raise Failed(f"rows in reverse order give {theirs} instead of {ours}")


def pushes_the_right_way(loss: "Loss") -> None:
    """At equal policies, a token with a positive advantage becomes more probable."""
    rows = _rows()
    rows.old_logprobs_BS = rows.logprobs_BS.clone()
    rows.ref_logprobs_BS = rows.logprobs_BS.clone()
    with_BS = _gradient(loss, rows)
    rows.advantages_BS = rows.advantages_BS * 0
    without_BS = _gradient(loss, rows)
    rows.advantages_BS = _rows().advantages_BS
    push_BS = without_BS - with_BS  # a step goes against the gradient
    inside = rows.mask_BS.bool() & (rows.advantages_BS != 0)
    if not bool(push_BS.any()):
        raise NotApplicable("advantages do not enter the loss")
    if bool((push_BS * rows.advantages_BS)[inside].lt(0).any()):
        raise Failed(
            "a token with a positive advantage is made less probable (or the other way round); "
            "check the sign: the loss is minimised"
        )


def survives_extremes(loss: "Loss") -> None:
    """An empty mask gives 0; huge log-ratios stay finite."""
    rows = _rows()
    rows.mask_BS = rows.mask_BS * 0
    result = _of(loss, rows)
    if float(result.loss.detach()) != 0:
        raise Failed(f"an empty mask must give 0, got {float(result.loss.detach())}")
    rows = _rows()
    rows.old_logprobs_BS = rows.logprobs_BS + 200.0
    rows.old_logprobs_BS[0] -= 400.0
    gradient_BS = _gradient(loss, rows)
    value = float(_of(loss, rows).loss.detach())
    if not math.isfinite(value) or not bool(gradient_BS.isfinite().all()):
        raise Failed(f"log-ratios of +-200 give a loss of {value} or a gradient with NaN")


def leaves_its_inputs_alone(loss: "Loss") -> None:
    """No input is changed."""
    import torch

    rows, untouched = _rows(), _rows()
    _of(loss, rows)
    for name in vars(rows):
        if not torch.equal(getattr(rows, name), getattr(untouched, name)):
            raise Failed(f"{name} was changed in place")


LOSS_CHECKS: tuple[Named[Any], ...] = (
    Named("has the interface", has_the_interface, gate=True),
    Named("a finite scalar", gives_a_finite_scalar, gate=True),
    Named("what is masked is ignored", ignores_what_is_masked),
    Named("micro-batches add up", is_the_same_in_pieces),
    Named("the order of rows does not matter", does_not_ask_for_the_order),
    Named("it pushes the right way", pushes_the_right_way),
    Named("extremes stay finite", survives_extremes),
    Named("its inputs are left alone", leaves_its_inputs_alone),
)


def _rows() -> Rows:
    """Return the same six rows of seven positions every time."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def normal() -> "Tensor":
        return torch.randn(6, 7, generator=generator, dtype=torch.float64)

    logprobs_BS = -normal().abs() - 0.1
    mask_BS = torch.rand(6, 7, generator=generator) < 0.6
    mask_BS[0, 0], mask_BS[5] = True, False  # a row without anything to train on
    return Rows(
        logprobs_BS,
        logprobs_BS + 0.3 * normal(),
        normal(),
        mask_BS,
        logprobs_BS + 0.3 * normal(),
        normal().abs(),
    )


def _slice(rows: Rows, part: slice, *, flip: bool = False) -> Rows:
    return Rows(*[(t.flip(0) if flip else t)[part] for t in vars(rows).values()])


def _of(loss: "Loss", rows: Rows, denominators: Any = None) -> "LossResult":
    from agentgym.trainers.losses.base import Denominators, LossResult

    result: object = loss(
        rows.logprobs_BS,
        rows.old_logprobs_BS,
        rows.advantages_BS,
        rows.mask_BS,
        denominators=denominators or Denominators.of([rows.mask_BS]),
        ref_logprobs_BS=rows.ref_logprobs_BS,
        entropy_BS=rows.entropy_BS,
    )
    if not isinstance(result, LossResult):
        raise Failed(f"it must return a LossResult, got {type(result).__name__}")
    return result


def _gradient(loss: "Loss", rows: Rows, denominators: Any = None) -> "Tensor":
    import torch

    leaf_BS = rows.logprobs_BS.clone().requires_grad_()
    result = _of(loss, Rows(**{**vars(rows), "logprobs_BS": leaf_BS}), denominators)
    if not result.loss.requires_grad:
        return torch.zeros_like(leaf_BS)
    (gradient_BS,) = torch.autograd.grad(result.loss, leaf_BS, allow_unused=True)
    return torch.zeros_like(leaf_BS) if gradient_BS is None else gradient_BS
