"""Tool calls per second of the service worlds, through `env.step`, on one core.

    python bench/tooluse.py [--seconds 2]

Played are the reference solutions, one call in a turn as a model makes them: an action is read, its
call checked against the schema and carried out, and the result written down. Counted are the calls;
the time is that of `step` alone, the last words of every episode included. Then what an episode
costs besides (`reset`), and what step-level credit and imitation ask for in every turn
(`state_key`, `gold`). At last the same calls made directly to the toolset, without an environment.
"""

import argparse
import time

from agentgym.env import make
from agentgym.envs.tooluse import ToolUse
from agentgym.toolcalls import Reply


def played(size: str, world: str, seconds: float) -> None:
    """Print how fast the episodes of one world are."""
    env = make("tooluse", size=size, world=world)
    assert isinstance(env, ToolUse)
    spent = dict.fromkeys(("reset", "step", "key", "gold", "direct"), 0.0)
    calls = episodes = turns = seed = 0
    clock = time.thread_time
    end = clock() + seconds
    while clock() < end:
        start = clock()
        env.reset(seed=seed)
        spent["reset"] += clock() - start
        beginning = env.snapshot()
        plan = list(env.gold() or ())
        made = [call for action in plan for call in Reply.of_action(action).calls]
        start = clock()
        for call in made:
            env.toolset.call(call.name, call.arguments)
        spent["direct"] += clock() - start
        env.restore(beginning)
        start = clock()
        for action in plan:
            env.step(action)
        spent["step"] += clock() - start
        env.restore(beginning)
        for action in plan:
            start = clock()
            env.state_key()
            middle = clock()
            env.gold()
            spent["gold"] += clock() - middle
            spent["key"] += middle - start
            env.step(action)
        calls, turns = calls + len(made), turns + len(plan)
        episodes, seed = episodes + 1, seed + 1
    print(
        f"{size:6}{world:8}{calls / spent['step']:8,.0f} calls/s in env.step"
        f"{calls / spent['direct']:9,.0f} calls/s directly"
        f"{1e3 * spent['reset'] / episodes:8.2f} ms a reset"
        f"{1e6 * spent['key'] / turns:8.0f} us a state_key"
        f"{1e6 * spent['gold'] / turns:8.0f} us a gold"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each line")
    options = parser.parse_args()
    for size in ("tiny", "small", "full"):
        for world in ("shop", "office", "folders", "bank"):
            played(size, world, options.seconds)


if __name__ == "__main__":
    main()
