"""The critic of PPO: it notes a value before every token, and learns what the scheme asks of it.

It is a copy of the policy's trunk with a head of its own, and not a head on the policy's trunk: a
value's gradient then never moves the policy, both have their own learning rate and pace, what is
saved as the policy is the policy alone, and any policy will do, whatever its architecture. The
price is the memory of a second model. It starts from the policy's weights, because what predicts
the next token is a good start for what predicts the outcome, and says 0 everywhere at first.

Axes: B rows of a batch, S positions of a row, M trained tokens of a batch, H hidden units.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from agentgym.errors import ConfigError
from agentgym.trainers.config import CriticConfig
from agentgym.trainers.credit.base import Advantages, CreditScheme, ValuesKCT
from agentgym.trainers.credit.combine import Combine
from agentgym.trainers.credit.common import check_range, trained_mask
from agentgym.trainers.credit.gated import Gated
from agentgym.trainers.learner import Mean, dropout_from, load_weights, shuffled, under
from agentgym.trainers.losses.base import (
    Denominators,
    LossResult,
    aggregate,
    combine,
    masked,
    token_mean,
)
from agentgym.trainers.optimizer import Optimizer
from agentgym.trainers.pack import Batch, Row, collate, microbatches, pack
from agentgym.trainers.tokens import note_tokens
from agentgym.types import Group

Targets = Callable[[Group], Advantages]


def targets_of(scheme: CreditScheme) -> Targets:
    """Return what tells a critic what to learn: the method `targets` of a scheme.

    In a sum it is that of the one term that needs values; behind gates it sees gated rewards.

    Raises:
        ConfigError: the scheme needs values but has no such method, or several terms need values.
    """
    if isinstance(scheme, Gated):
        gated, inner = scheme, targets_of(scheme.then)
        return lambda group: inner(gated.gate(group))
    if isinstance(scheme, Combine):
        needy = [term.scheme for term in scheme.terms if "value" in term.scheme.needs]
        if len(needy) != 1:
            raise ConfigError(
                f"there is one critic, but {len(needy)} terms of the sum need values from it; "
                "keep one of them"
            )
        return targets_of(needy[0])
    targets = getattr(scheme, "targets", None)
    if not callable(targets):
        raise ConfigError(
            f"the credit scheme {type(scheme).__name__} needs values, but does not say what a "
            "critic is to learn; give it a method targets(group) that returns the target of every "
            "token, in the shape of advantages"
        )
    return cast("Targets", targets)


@dataclass(frozen=True)
class ValueLoss:
    """The clipped squared error of a critic, as PPO's authors train it (arXiv 2005.12729).

    Symbols: V value, V_old that of the critic that annotated, R its target (`GAE.targets`).
    Per token: L = max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2) / 2.
    Checked against: `compute_value_loss` of verl 0.5.0 and, without the half, of verl-agent.
    Degenerate: an empty mask gives 0.

    Metrics: value_loss, value_clip_fraction (tokens whose gradient the clip removed).

    Attributes:
        clip: how far a value may move from what it was; 0: anywhere.
        half: whether squares are halved.
    """

    clip: float = 0.5
    half: bool = True

    def __post_init__(self) -> None:
        check_range(self, "clip", 0.0, 1e6)

    def __call__(
        self,
        values_BS: Tensor,
        old_values_BS: Tensor,
        targets_BS: Tensor,
        mask_BS: Tensor,
        *,
        denominators: Denominators,
    ) -> LossResult:
        """Return the loss of one micro-batch, a mean over the tokens of the whole batch."""
        values_BS, old_BS = masked(values_BS, mask_BS), masked(old_values_BS, mask_BS)
        targets_BS = masked(targets_BS, mask_BS)
        free_BS = (values_BS - targets_BS).square()
        held_BS = free_BS
        if self.clip:
            nearby_BS = values_BS.clamp(old_BS - self.clip, old_BS + self.clip)
            held_BS = (nearby_BS - targets_BS).square()
        losses_BS = torch.maximum(free_BS, held_BS) * (0.5 if self.half else 1.0)
        loss = aggregate(losses_BS, mask_BS, "token-mean", denominators)
        clipped = token_mean(held_BS > free_BS, mask_BS, denominators)
        return LossResult(
            loss, {"value_loss": float(loss.detach()), "value_clip_fraction": clipped}
        )


class ValueModel(nn.Module):
    """A trunk with a scalar head: the expected return before each token."""

    def __init__(self, policy: Any) -> None:
        """Copy the trunk of a causal model of `transformers`; the head starts at 0."""
        super().__init__()
        self.trunk = copy.deepcopy(policy.base_model).requires_grad_(True)
        config = policy.config.get_text_config()
        self.head = nn.Linear(config.hidden_size, 1).to(next(self.trunk.parameters()).device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.eval()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head, which Muon leaves to AdamW."""
        return self.head

    def forward(self, batch: Batch) -> Tensor:
        """Return the value before each trained token (B, S), as float32; 0 elsewhere."""
        device = self.head.weight.device
        ids_BS = torch.from_numpy(batch.ids_BS).to(device)
        mask_BS = torch.from_numpy(batch.mask_BS).to(device)
        hidden_BSH = self.trunk(input_ids=ids_BS, use_cache=False).last_hidden_state
        # The state before position s has been read up to position s - 1.
        values_M = self.head(hidden_BSH[:, :-1][mask_BS[:, 1:]].float())[:, 0]
        return torch.zeros(mask_BS.shape, device=device).masked_scatter(mask_BS, values_M)


class Critic:
    """Annotates groups with values, and learns from their rewards afterwards.

    Attributes:
        model: the values. optimizer: built over it.
    """

    def __init__(self, policy: Any, config: CriticConfig, *, max_tokens: int, steps: int) -> None:
        """Begin with the policy's weights.

        Args:
            policy: a causal model of `transformers`.
            config: how it learns.
            max_tokens: positions per forward pass.
            steps: optimizer steps of the whole run, which the schedule is stretched over.
        """
        self.model, self.config = ValueModel(policy), config
        self.optimizer = Optimizer(self.model, config, steps)
        self.loss, self.max_tokens = ValueLoss(clip=config.clip), max_tokens

    def __call__(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups with the note "value": one number per sampled token of all calls.

        Tokens of calls that are not trained on are not looked at (another model may have sampled
        them): the state is worth what it is worth before the next trained token, and 0 after the
        last.
        """

        def values(batch: Batch) -> Any:
            with torch.no_grad():
                return self.model(batch).cpu().numpy()

        return note_tokens(groups, "value", values, max_tokens=self.max_tokens, frozen="next")

    def update(
        self, groups: Sequence[Group], targets: Sequence[Advantages], rng: np.random.Generator
    ) -> dict[str, float]:
        """Learn what the noted values should have been and return what to log.

        Metrics, all under `critic/`: value_loss and value_clip_fraction (means over optimizer
        steps), explained_variance (of the targets, by the noted values: 1 is perfect, 0 no better
        than a constant; absent where all targets are equal), grad_norm, lr, bad_steps.

        Args:
            groups: annotated.
            targets: of each group, see `targets_of`.
            rng: all randomness.

        Raises:
            TooManyBadSteps: gradients were not finite again and again.
        """
        aims = pack(groups, targets)
        values = pack(groups, [_noted(group) for group in groups])
        skipped, lr, logged = self.optimizer.skipped, self.optimizer.lr, Mean()
        parts, epochs = self.config.minibatches, self.config.epochs
        with dropout_from(rng, self.model):
            for part in shuffled(len(aims), parts, epochs, rng):
                logged.add(self._step([aims[i] for i in part], [values[i] for i in part]))
        metrics = {
            **logged.means(),
            **_explained_variance(aims, values),
            "lr": lr,
            "bad_steps": float(self.optimizer.skipped - skipped),
        }
        return {f"critic/{name}": value for name, value in metrics.items()}

    def _step(self, targets: Sequence[Row], values: Sequence[Row]) -> dict[str, float]:
        total = Denominators(tokens=sum(row.tokens for row in targets), sequences=len(targets))
        results: list[LossResult] = []
        # Rows of equal lengths are cut alike, so targets and values stay side by side.
        for aimed, noted in zip(
            microbatches(targets, self.max_tokens),
            microbatches(values, self.max_tokens),
            strict=True,
        ):
            batch = collate(aimed)
            values_BS = self.model(batch)
            old_BS, targets_BS, mask_BS = (
                torch.from_numpy(a).to(values_BS.device)
                for a in (collate(noted).advantages_BS, batch.advantages_BS, batch.mask_BS)
            )
            result = self.loss(values_BS, old_BS, targets_BS, mask_BS, denominators=total)
            result.loss.backward()  # type: ignore[no-untyped-call]
            results.append(result)
        return {**combine(results), "grad_norm": self.optimizer.step()}

    # To and from a checkpoint ------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Return everything large that the next step depends on: weights and moments."""
        weights = {f"model/{name}": p.detach() for name, p in self.model.named_parameters()}
        return weights | {f"optimizer/{n}": t for n, t in self.optimizer.tensors().items()}

    def counters(self) -> dict[str, int]:
        """Return everything small that the next step depends on."""
        return self.optimizer.counters()

    def load(self, tensors: Mapping[str, Tensor], counters: Mapping[str, int]) -> None:
        """Take back what `tensors` and `counters` returned.

        Raises:
            RecordError: it belongs to another model.
        """
        load_weights(self.model, under("model/", tensors))
        self.optimizer.load(under("optimizer/", tensors), counters)


def _noted(group: Group) -> list[ValuesKCT]:
    """Return the notes "value" in the shape of advantages."""
    found: list[ValuesKCT] = []
    for trajectory in group.trajectories_G:
        noted = trajectory.notes["value"] if trajectory.valid else ()
        values_T = np.array(noted) if noted else np.zeros(len(trained_mask(trajectory)))
        used, turns = 0, []
        for turn in trajectory.turns:
            calls = []
            for call in turn.calls:
                calls.append(values_T[used : used + len(call.sample_ids)])
                used += len(call.sample_ids)
            turns.append(tuple(calls))
        found.append(tuple(turns))
    return found


def _explained_variance(targets: Sequence[Row], values: Sequence[Row]) -> dict[str, float]:
    if not targets:
        return {}
    target_N = np.concatenate([row.advantages_S[row.mask_S] for row in targets]).astype(np.float64)
    value_N = np.concatenate([row.advantages_S[row.mask_S] for row in values])
    spread = float(target_N.var())
    return {"explained_variance": 1 - float((target_N - value_N).var()) / spread} if spread else {}
