"""The same episode in another process, to find what depends on the process.

Run as a program it reads one request as JSON from its input and plays it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from agentgym.testing.play import Step
from agentgym.testing.report import Failed
from agentgym.types import JSON

TIMEOUT_S = 100


def play_elsewhere(
    target: str, options: Mapping[str, JSON], seed: int, actions: list[str]
) -> tuple[list[Step], set[str]]:
    """Play actions in a new process whose strings hash differently.

    Returns:
        The steps, and the names of the top-level packages that were imported before the first.

    Raises:
        Failed: the other process failed; says how.
    """
    request = {"target": target, "options": dict(options), "seed": seed, "actions": actions}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "agentgym.testing.elsewhere"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"another process was not finished after {TIMEOUT_S} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Failed(f"it cannot be played in another process: {lines[-1]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return [Step(**step) for step in answer["steps"]], set(answer["modules"])


def plain(step: Step) -> Step:
    """Return a step as it looks after a trip through JSON, without the messages."""
    info = {key: value for key, value in step.info.items() if key != "messages"}
    return replace(step, info=json.loads(json.dumps(info, default=repr)))


def _main() -> None:
    from agentgym.env import make

    request: dict[str, Any] = json.load(sys.stdin)
    env = make(request["target"], **request["options"])
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    text, info = env.reset(seed=request["seed"])
    steps = [Step(None, text, 0.0, False, False, info, env.state_key())]
    for action in request["actions"]:
        if steps[-1].over:
            break
        steps.append(Step(action, *env.step(action), env.state_key()))
    answer = {"steps": [asdict(plain(step)) for step in steps], "modules": modules}
    print(json.dumps(answer))  # noqa: T201 - this program's answer


if __name__ == "__main__":
    _main()
