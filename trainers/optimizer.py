"""AdamW or Muon, with warm-up, decay, clipping, and a guard against infinite gradients."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from agentgym.errors import AgentGymError, ConfigError, RecordError
from agentgym.trainers.config import OptimizerConfig, Schedule


class TooManyBadSteps(AgentGymError):
    """Optimizer steps were skipped too many times in a row: the gradient was not finite."""


class Optimizer:
    """Steps the weights of one model.

    Attributes:
        steps: steps asked for so far, skipped ones included. skipped: those that were skipped.
    """

    def __init__(self, model: nn.Module, config: OptimizerConfig, total_steps: int) -> None:
        """Prepare to make `total_steps` steps (what the schedule's decay is stretched over)."""
        self.config, self.total_steps = config, total_steps
        self.steps = self.skipped = self._bad_in_a_row = 0
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        matrices = _matrices(model) if config.muon_lr is not None else set()
        adam = [p for p in self.parameters.values() if p not in matrices]
        self._optimizers: list[tuple[float, torch.optim.Optimizer]] = [
            (
                config.lr,
                torch.optim.AdamW(
                    adam,
                    lr=config.lr,
                    betas=config.betas,
                    weight_decay=config.weight_decay,
                    fused=True,
                ),
            )
        ]
        if config.muon_lr is not None:
            muon = [p for p in self.parameters.values() if p in matrices]
            self._optimizers.append((config.muon_lr, _muon(muon, config)))
        self._owner = {
            p: optimizer
            for _, optimizer in self._optimizers
            for group in optimizer.param_groups
            for p in group["params"]
        }

    @property
    def lr(self) -> float:
        """AdamW's learning rate in the next step."""
        return self.config.lr * self._share()

    def step(self) -> float:
        """Apply the gradients that have been accumulated, clear them, return their norm.

        A gradient that is not finite is thrown away: nothing moves, and `skipped` counts it.

        Raises:
            TooManyBadSteps: `max_bad_steps` were skipped in a row.
        """
        norm = float(nn.utils.clip_grad_norm_(self.parameters.values(), self.config.grad_clip))
        if math.isfinite(norm):
            for peak, optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = peak * self._share()
                optimizer.step()
            self._bad_in_a_row = 0
        else:
            self.skipped += 1
            self._bad_in_a_row += 1
        for _, optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self._bad_in_a_row >= self.config.max_bad_steps:
            raise TooManyBadSteps(
                f"the gradient was not finite (norm {norm}) in {self._bad_in_a_row} steps in a "
                f"row; a smaller learning rate than {self.config.lr:g} may help"
            )
        return norm

    def tensors(self) -> dict[str, Tensor]:
        """Return the moments under flat names, to be saved."""
        saved = {}
        for name, parameter in self.parameters.items():
            for key, value in self._owner[parameter].state.get(parameter, {}).items():
                saved[f"{key}/{name}"] = value
        return saved

    def counters(self) -> dict[str, int]:
        """Return the step counters, to be saved."""
        return {"steps": self.steps, "skipped": self.skipped, "bad_in_a_row": self._bad_in_a_row}

    def load(self, tensors: Mapping[str, Tensor], counters: Mapping[str, int]) -> None:
        """Take back what `tensors` and `counters` returned.

        Raises:
            RecordError: it belongs to another model.
        """
        state: dict[str, dict[str, Tensor]] = {}
        for flat, value in tensors.items():
            key, _, name = flat.partition("/")
            if name not in self.parameters:
                raise RecordError(f"the saved optimizer knows {name!r}, which the model has not")
            if key != "step" and value.shape != self.parameters[name].shape:
                raise RecordError(
                    f"the saved optimizer has {name!r} with shape {tuple(value.shape)}, "
                    f"the model with {tuple(self.parameters[name].shape)}"
                )
            state.setdefault(name, {})[key] = value.clone()
        if state and state.keys() != self.parameters.keys():
            missing = sorted(self.parameters.keys() - state.keys())
            raise RecordError(f"the saved optimizer lacks {missing[0]!r}")
        for _, optimizer in self._optimizers:
            optimizer.state.clear()
        for name, values in state.items():
            parameter = self.parameters[name]
            self._owner[parameter].state[parameter] = values
        self.steps, self.skipped = counters["steps"], counters["skipped"]
        self._bad_in_a_row = counters["bad_in_a_row"]

    def _share(self) -> float:
        """Return the share of the peak learning rates in the next step."""
        config = self.config
        return schedule(
            config.schedule, self.steps, config.warmup, self.total_steps, config.final_lr
        )


def _matrices(model: nn.Module) -> set[nn.Parameter]:
    """Return the weights of linear layers that are neither embedding nor output layer."""
    outer: set[int] = set()
    for get in ("get_input_embeddings", "get_output_embeddings"):
        layer = getattr(model, get)() if hasattr(model, get) else None
        outer |= {id(p) for p in layer.parameters()} if layer is not None else set()
    linear = [
        p for m in model.modules() if isinstance(m, nn.Linear) for p in (m._parameters["weight"],)
    ]
    return {p for p in linear if p is not None and id(p) not in outer and p.requires_grad}


def _muon(matrices: list[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(
            f"muon_lr needs torch 2.9 or newer, this is {torch.__version__}; leave it out to have "
            "AdamW for all weights"
        )
    assert config.muon_lr is not None
    return torch.optim.Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay)


def schedule(kind: Schedule, step: int, warmup: int, total: int, final: float) -> float:
    """Return the share of the peak learning rate at a step (counted from 0).

    Linear warm-up over `warmup` steps, then constant, or falling to `final` at step `total`.

    >>> [round(schedule("linear", s, 2, 6, 0.0), 2) for s in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    falling = 1 - done if kind == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return final + (1 - final) * falling


def count_parameters(parameters: Iterable[Tensor]) -> int:
    """Return how many numbers the parameters hold."""
    return sum(p.numel() for p in parameters)
