"""The texts of one episode, for a tokenizer, from an environment that may hang."""

import threading
import time
from typing import Any, cast

from agentgym.env import TextEnv
from agentgym.trainers.policies import gather_texts


class _Watched:
    """An environment that knows when it was last asked for something."""

    def __init__(self, env: TextEnv) -> None:
        self._env, self.since = env, time.monotonic()

    def __getattr__(self, name: str) -> Any:
        self.since = time.monotonic()
        return getattr(self._env, name)


def texts_within(
    env: TextEnv, seed: int, timeout_s: float | None, tool_calls: str = "auto"
) -> list[str]:
    """Gather the texts of one episode in a thread that is abandoned if a step never returns.

    `tool_calls` is the format of calls, see `gather_texts`.

    Raises:
        TimeoutError: no answer within `timeout_s`.
        Exception: whatever the environment raises.
    """
    watched = _Watched(env)
    answer: list[list[str] | Exception] = []

    def gather() -> None:
        try:
            answer.append(gather_texts(cast("TextEnv", watched), [seed], tool_calls=tool_calls))
        except Exception as error:
            answer.append(error)

    thread = threading.Thread(target=gather, daemon=True)
    thread.start()
    while thread.is_alive():
        left = None if timeout_s is None else watched.since + timeout_s - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"no answer for {timeout_s} s")
        thread.join(left)
    [found] = answer
    if isinstance(found, Exception):
        raise found
    return found
