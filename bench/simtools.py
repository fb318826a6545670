"""What simtools costs beside its simulator: 256 episodes at once whose tools a server plays.

    python bench/simtools.py [--episodes 256] [--turns 8] [--repeat 3]

The server is a stub in a process of its own that answers at once, always with the same result. The
agent is scripted: it calls one tool again and again, with other arguments every turn, so that every
turn asks the server once. Printed is the CPU time of the client's process alone (user and system,
all threads), divided by the turns, and the same without a server (`simulator="schema"`).
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agentgym.agents import ScriptedAgent
from agentgym.envs.simtools.dialogue import dialogue_of
from agentgym.envs.simtools.files import write_dialogues
from agentgym.rollout import Limits, Task, collect, run_threaded
from agentgym.toolcalls import Reply
from agentgym.types import ToolCall

REPLY = json.dumps({"result": {"sky": "clear", "temperature": 21}})

DIALOGUE: dict[str, Any] = {
    "id": "weather",
    "tools": [
        {
            "name": "get_weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "day": {"type": "integer"}},
                "required": ["city", "day"],
            },
            "returns": {
                "type": "object",
                "properties": {
                    "sky": {"type": "string", "enum": ["clear", "rainy"]},
                    "temperature": {"type": "integer"},
                },
                "required": ["sky", "temperature"],
            },
        }
    ],
    "messages": [{"role": "user", "content": "How is the sky over Oslo on day 1?"}],
    "checklist": [
        [
            {
                "id": "call", "question": "Was the weather of day 1 asked for?", "weight": 0.5,
                "rule": {"called": "get_weather", "with": {"city": "Oslo", "day": 1}},
            },
            {
                "id": "reply", "question": "Does the reply name the sky?", "weight": 0.5,
                "rule": {"says": {"result": "get_weather", "of": {"day": 1}, "at": "sky"}},
            },
        ]
    ],
}  # fmt: skip


def stub(connection: Connection) -> None:
    """Serve forever, as fast as the interpreter can."""
    from aiohttp import web

    message = {"role": "assistant", "content": REPLY}
    answer = json.dumps(
        {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320},
        }
    ).encode()
    models = json.dumps({"object": "list", "data": [{"id": "stub", "object": "model"}]}).encode()

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=answer, content_type="application/json")

    async def listed(_: web.Request) -> web.Response:
        return web.Response(body=models, content_type="application/json")

    async def started(_: web.Application) -> None:
        connection.send(None)

    import socket

    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    connection.send(server.getsockname()[1])
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", listed)])
    app.on_startup.append(started)
    web.run_app(app, sock=server, print=lambda *_: None, access_log=None)


def played(path: Path, simulator: str, episodes: int, turns: int) -> tuple[float, float, int]:
    """Play the episodes; return CPU seconds of this process, wall seconds, and turns."""
    calls = [
        Reply("", (ToolCall("get_weather", {"city": "Oslo", "day": day}),)).action
        for day in range(1, turns)
    ]
    agent = ScriptedAgent([*calls, Reply("It is clear.").action])
    task = Task("simtools", {"dialogues": str(path), "split": "all", "simulator": simulator})
    driver = partial(run_threaded, workers=episodes)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    [group] = collect([task], episodes, agent, None, seed=0, limits=Limits(), driver=driver)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert all(group.valid_G), [t.failure for t in group.trajectories_G if t.failure][:1]
    taken = sum(len(trajectory.turns) for trajectory in group.trajectories_G)
    assert taken == episodes * turns
    assert simulator == "schema" or all(t.success for t in group.trajectories_G)
    return cpu_s, wall_s, taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=256, help="at once")
    parser.add_argument("--turns", type=int, default=8, help="of the agent, in every episode")
    parser.add_argument("--repeat", type=int, default=3, help="times; the first also warms up")
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=stub, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dialogues.jsonl"
        write_dialogues(path, [dialogue_of(DIALOGUE, "here")])
        for simulator in ("schema", f"openai:http://127.0.0.1:{port}/v1#stub"):
            for k in range(options.repeat):
                cpu_s, wall_s, turns = played(path, simulator, options.episodes, options.turns)
                print(
                    f"{simulator.partition(':')[0]:7} run {k + 1}: {options.episodes} episodes, "
                    f"{turns} turns: {1e3 * cpu_s / turns:.2f} ms of CPU per turn "
                    f"({wall_s:.1f} s, load {os.getloadavg()[0]:.1f})"
                )
    server.terminate()


if __name__ == "__main__":
    main()
