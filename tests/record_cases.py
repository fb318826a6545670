"""Trajectories for the tests of records: any at all, and real ones of the guessing game."""

import math

from hypothesis import strategies as st

from agentgym import (
    Call,
    Failure,
    Group,
    Message,
    Observation,
    Stop,
    ToolCall,
    Trajectory,
    Turn,
    make,
)

texts = st.text(st.characters(), max_size=12)  # lone surrogates included
numbers = st.floats(allow_nan=False, allow_infinity=False)
keys = st.text(max_size=5)
free = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    tool_calls=st.lists(
        st.builds(ToolCall, texts, st.dictionaries(keys, free, max_size=2), texts), max_size=2
    ).map(tuple),
    tool_call_id=texts,
)
observations = st.builds(Observation, texts, st.lists(messages, max_size=2).map(tuple))
ids = st.lists(st.integers(0, 200_000), max_size=5).map(tuple)
calls = st.builds(
    Call,
    role=texts,
    prompt_ids=ids,
    sample_ids=ids,
    logprobs=st.lists(numbers, max_size=5).map(tuple),
    text=texts,
    finish=st.sampled_from(["stop", "length"]),
    policy_version=st.integers(0),
    trainable=st.booleans(),
    fresh=st.booleans(),
)
turns = st.builds(
    Turn,
    observation=observations,
    calls=st.lists(calls, max_size=2).map(tuple),
    action=texts,
    reward=numbers,
    state_key=st.none() | texts,
    action_valid=st.none() | st.booleans(),
    reward_parts=st.dictionaries(keys, numbers, max_size=2),
)
trajectories = st.builds(
    Trajectory,
    env=texts,
    env_version=st.integers(0, 9),
    env_options=st.dictionaries(keys, free, max_size=2),
    seed=st.integers(0, 2**63),
    member=st.integers(0, 99),
    turns=st.lists(turns, max_size=3).map(tuple),
    final_observation=observations,
    final_state_key=st.none() | texts,
    stop=st.sampled_from(Stop),
    success=st.none() | st.booleans(),
    failure=st.none() | st.builds(Failure, st.sampled_from(["env", "backend"]), texts, texts),
    attempt=st.integers(0, 2),
    notes=st.dictionaries(keys, st.lists(numbers, max_size=3).map(tuple), max_size=2),
)
groups = st.builds(Group, texts, st.lists(trajectories, max_size=3).map(tuple))


def played(seed: int, actions: list[str], *, member: int = 0, max_turns: int = 6) -> Trajectory:
    """Play the guessing game as an episode would be recorded."""
    env = make("guess", max_turns=max_turns)
    text, info = env.reset(seed=seed)
    recorded: list[Turn] = []
    terminated = truncated = False
    for action in actions:
        assert not terminated
        assert not truncated
        seen, state_key = Observation(text), env.state_key()
        text, reward, terminated, truncated, info = env.step(action)
        call = Call("policy", (1, 2), (3, 4), (-0.5, -0.25), action, "stop", 0, fresh=True)
        valid = info.get("action_valid")
        recorded.append(Turn(seen, (call,), action, reward, state_key, valid))
    return Trajectory(
        env="guess",
        env_version=env.version,
        env_options={"max_turns": max_turns},
        seed=seed,
        member=member,
        turns=tuple(recorded),
        final_observation=Observation(text),
        final_state_key=env.state_key(),
        stop=Stop.DONE if terminated else Stop.MAX_TURNS if truncated else Stop.MAX_TOKENS,
        success=info["success"],
    )


def solved(seed: int, *, member: int = 0) -> Trajectory:
    """Play the guessing game well."""
    env = make("guess")
    env.reset(seed=seed)
    actions: list[str] = []
    terminated = False
    while not terminated and len(actions) < 6:
        actions.append(env.expert() or "")
        terminated = env.step(actions[-1])[2]
    return played(seed, actions, member=member)


def same_bits(a: float, b: float) -> bool:
    """Whether two floats are the same, the sign of zero included."""
    return a == b and math.copysign(1, a) == math.copysign(1, b)
