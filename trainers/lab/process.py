"""A decision process whose every episode can be written down, and its exact policy gradient.

The policy is a table: a softmax over the logits of each state. Its parameters, all logits one state
after another, are the axis P. Other axes: E possible episodes, G trajectories of a group, K turns.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agentgym.trainers.credit.base import Floats
from agentgym.types import JSON, Call, Observation, Stop, Trajectory, Turn

SUCCESS = "success"
"""The part of a reward that says how well the task was done."""

CRITERIA: list[JSON] = [[{"id": SUCCESS, "weight": 1.0, "depends_on": []}]]
"""The checklist of every process, as a fact of the first turn: success."""


@dataclass(frozen=True)
class Move:
    """What may follow an action."""

    probability: float
    to: str | None  #: the next state; None: the episode ends
    parts: Mapping[str, float] = field(default_factory=dict)  #: of the turn's reward, by name


@dataclass(frozen=True)
class Path:
    """One possible episode under the policy of its process."""

    probability: float
    score_KP: Floats  #: derivative of each turn's log-probability by the parameters
    trajectory: Trajectory

    @property
    def score_P(self) -> Floats:
        """The derivative of the log-probability of the whole episode."""
        total_P: Floats = self.score_KP.sum(axis=0)
        return total_P


@dataclass(frozen=True)
class Process:
    """A finite decision process together with the policy that acts in it.

    Every action is one token, so a turn is one call with one sampled token.

    Attributes:
        name: what it is called in tables.
        summary: what it is about, in one sentence.
        start: the first state.
        moves: for each state and action, what may follow; probabilities add up to 1.
        logits: of the policy, for each state in the order of its actions.
        max_turns: an episode that has not ended by then is cut off.
        objective: the part of the reward that is to be learned; None: the episode's return.
        gold_logprob: for each state, the log-probability of the known answer there; empty: the
            process has no such thing.
    """

    name: str
    summary: str
    start: str
    moves: Mapping[str, Mapping[str, Sequence[Move]]]
    logits: Mapping[str, Sequence[float]]
    max_turns: int
    objective: str | None = None
    gold_logprob: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for state, actions in self.moves.items():
            if len(self.logits[state]) != len(actions):
                raise ValueError(f"{self.name}: {state!r} needs one logit for each of {[*actions]}")
            for action, outcomes in actions.items():
                total = sum(move.probability for move in outcomes)
                if abs(total - 1) > 1e-12:
                    raise ValueError(f"{self.name}: {state!r}, {action!r}: chances sum to {total}")

    @functools.cached_property
    def columns(self) -> dict[str, slice]:
        """Where the parameters of each state stand on axis P."""
        ends = np.cumsum([0, *(len(actions) for actions in self.moves.values())]).tolist()
        return {s: slice(a, b) for s, a, b in zip(self.moves, ends, ends[1:], strict=False)}

    @property
    def parameters_P(self) -> Floats:
        """The logits of all states."""
        return np.concatenate([np.asarray(self.logits[state], np.float64) for state in self.moves])

    def with_parameters(self, parameters_P: Floats) -> "Process":
        """Return the process under another policy."""
        found = {s: tuple(parameters_P[at].tolist()) for s, at in self.columns.items()}
        return replace(self, logits=found)

    def policy(self, state: str) -> Floats:
        """Return the probability of each action in a state."""
        logits = np.asarray(self.logits[state], np.float64)
        weights = np.exp(logits - logits.max())
        chances: Floats = weights / weights.sum()
        return chances

    @functools.cached_property
    def paths_E(self) -> tuple[Path, ...]:
        """Every episode that can happen; their probabilities add up to 1."""
        return tuple(self._paths(self.start, 1.0, (), np.zeros((0, len(self.parameters_P)))))

    def _paths(
        self, state: str, probability: float, turns: tuple[Turn, ...], score_KP: Floats
    ) -> Iterator[Path]:
        policy = self.policy(state)
        for a, (action, outcomes) in enumerate(self.moves[state].items()):
            slope_P = np.zeros(len(self.parameters_P))
            slope_P[self.columns[state]] = -policy
            slope_P[self.columns[state].start + a] += 1.0
            for move in outcomes:
                both_KP = np.vstack([score_KP, slope_P])
                chance = probability * float(policy[a]) * move.probability
                done = (*turns, self._turn(state, a, action, move, first=not turns))
                if move.to is not None and len(done) < self.max_turns:
                    yield from self._paths(move.to, chance, done, both_KP)
                elif chance > 0:
                    yield Path(chance, both_KP, self._trajectory(done, move))

    def _turn(self, state: str, a: int, action: str, move: Move, *, first: bool) -> Turn:
        logprob = float(np.log(self.policy(state)[a]))
        met: dict[str, JSON] = {SUCCESS: move.parts.get(SUCCESS, 0.0) > 0}
        verdict: dict[str, JSON] = {"checklist": {"user_turn": 0, "satisfied": met}}
        call = Call("policy", (0,), (a,), (logprob,), action, "stop", 0, fresh=first)
        return Turn(
            observation=Observation(state),
            calls=(call,),
            action=action,
            reward=float(sum(move.parts.values())),
            state_key=state,
            action_valid=True,
            reward_parts=dict(move.parts),
            facts={"criteria": CRITERIA, **verdict} if first else verdict,
        )

    def _trajectory(self, turns: tuple[Turn, ...], last: Move) -> Trajectory:
        return Trajectory(
            env=f"lab/{self.name}",
            env_version=0,
            env_options={},
            seed=0,
            member=0,
            turns=turns,
            final_observation=Observation(last.to or "the end"),
            final_state_key=last.to,
            stop=Stop.DONE if last.to is None else Stop.MAX_TURNS,
            success=last.parts.get(SUCCESS, 0.0) > 0,
        )

    def worth(self, trajectory: Trajectory) -> float:
        """Return what the objective makes of an episode."""
        if self.objective is None:
            return trajectory.episode_return
        return sum(turn.reward_parts.get(self.objective, 0.0) for turn in trajectory.turns)

    @property
    def expected_worth(self) -> float:
        """J: the expectation of the objective under the policy."""
        return float(sum(path.probability * self.worth(path.trajectory) for path in self.paths_E))

    @property
    def exact_gradient_P(self) -> Floats:
        """The gradient of J: the sum over episodes of probability * worth * score."""
        return gradient_P(self.paths_E, [self.worth(path.trajectory) for path in self.paths_E])

    @property
    def return_gradient_P(self) -> Floats:
        """The gradient of the expected return, which is another where there is an objective."""
        return gradient_P(self.paths_E, [path.trajectory.episode_return for path in self.paths_E])

    @functools.cached_property
    def values(self) -> dict[tuple[str, int], float]:
        """The expected return from each state on, by state and turns taken before."""
        found: dict[tuple[str, int], float] = {}
        for taken in range(self.max_turns - 1, -1, -1):
            for state, actions in self.moves.items():
                found[state, taken] = sum(
                    float(chance)
                    * move.probability
                    * (
                        sum(move.parts.values())
                        + (found.get((move.to, taken + 1), 0.0) if move.to is not None else 0.0)
                    )
                    for chance, outcomes in zip(self.policy(state), actions.values(), strict=True)
                    for move in outcomes
                )
        return found


def gradient_P(paths_E: Sequence[Path], weights_E: Sequence[float]) -> Floats:
    """Return the sum over episodes of probability * weight * score."""
    scores_EP = np.stack([path.score_P for path in paths_E])
    chances_E = np.array([path.probability for path in paths_E])
    total_P: Floats = (chances_E * np.asarray(weights_E)) @ scores_EP
    return total_P
