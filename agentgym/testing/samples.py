"""Groups of made-up trajectories, with everything odd that a real one may have."""

import random
from dataclasses import replace

from agentgym.types import JSON, Call, Failure, Group, Observation, Stop, Trajectory, Turn

STATES = ("hall", "kitchen", "bath", "attic", None)

CRITERIA: list[JSON] = [
    [
        {"id": "a", "weight": 0.25, "depends_on": []},
        {"id": "b", "weight": 0.75, "depends_on": ["a"]},
    ],
    [{"id": "a", "weight": 1.0, "depends_on": []}],
]
"""Criteria of two user turns, as a fact of an episode's first turn."""


def sample_groups(seed: int = 0, count: int = 12) -> list[Group]:
    """Return groups of 1 to 6 trajectories: ragged, some invalid, some without signal.

    Among them: a single member, a single valid member, no valid member, equal rewards, members
    without turns, turns with several calls, calls that are not trainable, calls without tokens,
    unknown states. All have the notes of annotators, and verdicts on the same criteria.
    """
    rng = random.Random(seed)
    special = [
        sample_group(rng, members=1),
        sample_group(rng, members=3, invalid=(0, 2)),
        sample_group(rng, members=2, invalid=(0, 1)),
        sample_group(rng, members=4, rewards=(1.0,)),
    ]
    return special + [sample_group(rng) for _ in range(max(0, count - len(special)))]


def sample_group(
    rng: random.Random,
    *,
    members: int | None = None,
    invalid: tuple[int, ...] | None = None,
    rewards: tuple[float, ...] = (0.0, 0.0, 1.0, -0.5),
) -> Group:
    """Return a group; what is not given is drawn."""
    size = members if members is not None else rng.randint(2, 6)
    if invalid is None:
        invalid = tuple(g for g in range(size) if members is None and rng.random() < 0.15)
    trajectories = tuple(_trajectory(rng, g, g in invalid, rewards) for g in range(size))
    return Group("made up", trajectories)


def _trajectory(
    rng: random.Random, member: int, invalid: bool, rewards: tuple[float, ...]
) -> Trajectory:
    turns = tuple(_turn(rng, first=k == 0, rewards=rewards) for k in range(_turn_count(rng)))
    failure = Failure("env", "OSError", "made up") if invalid else None
    notes = {} if invalid else notes_for(turns, rng)
    return Trajectory(
        env="made_up",
        env_version=0,
        env_options={},
        seed=0,
        member=member,
        turns=tuple(_with_facts(turn, member, k) for k, turn in enumerate(turns)),
        final_observation=Observation("the end"),
        final_state_key=rng.choice(STATES),
        stop=Stop.ERROR if invalid else Stop.DONE,
        success=None if invalid else rng.random() < 0.5,
        failure=failure,
        notes=notes,
    )


def notes_for(turns: tuple[Turn, ...], rng: random.Random) -> dict[str, tuple[float, ...]]:
    """Return notes as annotators would make them; see `Trajectory.notes`."""
    tokens = sum(len(call.sample_ids) for turn in turns for call in turn.calls)
    return {
        "gold_logprob": tuple(-3 * rng.random() for _ in range(len(turns) + 1)),
        "value": tuple(rng.random() for _ in range(tokens)),
        "ref_logprob": tuple(-rng.random() for _ in range(tokens)),
    }


def _with_facts(turn: Turn, member: int, k: int) -> Turn:
    """Return a turn that states verdicts: two turns belong to the first user turn."""
    rng = random.Random(f"{member} {k} {turn.action} {turn.reward}")
    user_turn = min(k // 2, 1)
    satisfied: dict[str, JSON] = {id_: rng.random() < 0.5 for id_ in "ab"[: 2 - user_turn]}
    facts: dict[str, JSON] = {"checklist": {"user_turn": user_turn, "satisfied": satisfied}}
    return replace(turn, facts={"criteria": CRITERIA, **facts} if k == 0 else facts)


def _turn_count(rng: random.Random) -> int:
    return 0 if rng.random() < 0.05 else rng.randint(1, 5)


def _turn(rng: random.Random, *, first: bool, rewards: tuple[float, ...]) -> Turn:
    state = rng.choice(STATES)
    roles = ["policy"] if rng.random() < 0.8 else ["planner", "policy"]
    return Turn(
        observation=Observation(f"You are in the {state}."),
        calls=tuple(_call(rng, role, fresh=first) for role in roles),
        action=rng.choice(("go", "look", "take lamp")),
        reward=rng.choice(rewards),
        state_key=state,
        action_valid=rng.random() < 0.9,
    )


def _call(rng: random.Random, role: str, *, fresh: bool) -> Call:
    length = rng.randint(0, 4)
    ids = tuple(rng.randint(5, 60) for _ in range(length))
    return Call(
        role=role,
        prompt_ids=(1, 2, 3),
        sample_ids=ids,
        logprobs=tuple(-rng.random() for _ in ids),
        text="made up",
        finish="stop",
        policy_version=0,
        trainable=role == "policy",
        fresh=fresh,
    )
