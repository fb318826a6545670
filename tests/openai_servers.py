"""Real servers with the OpenAI interface, in threads of the test: a tiny model, and unruly ones."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agentgym.backends.base import SampleRequest
from agentgym.errors import EpisodeFailure
from agentgym.render import Renderer
from agentgym.types import Message

MODELS = {"object": "list", "data": [{"id": "tiny", "object": "model"}]}


@dataclass
class Got:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """What to send back; `cut` closes the connection before the last byte."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Server:
    """Where a server is, and what it was asked."""

    url: str
    got: list[Got] = field(default_factory=list)

    @property
    def samples(self) -> list[Got]:
        return [got for got in self.got if got.method == "POST"]


@contextmanager
def serve(respond: Callable[[Got], Reply]) -> Iterator[Server]:
    """Answer with what a function of the request returns, one thread per connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, body: Any) -> None:
            got = Got(self.command, self.path, dict(self.headers.items()), body)
            with lock:
                server.got.append(got)
            reply = respond(got)
            data = reply.data()
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:-1] if reply.cut else data)
            except OSError:
                self.close_connection = True  # whoever asked has gone
            if reply.cut:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    lock = threading.Lock()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_address[1]}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def said(text: str, tokens: int = 7, **choice: Any) -> dict[str, Any]:
    """Return a chat answer."""
    message = {"role": "assistant", "content": text}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": tokens - 1, "completion_tokens": 1, "total_tokens": tokens},
    }


def scripted(*replies: Reply) -> Callable[[Got], Reply]:
    """Return what answers samples with these replies in order, the last one again and again."""
    lock, rest = threading.Lock(), list(replies)

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        with lock:
            return rest.pop(0) if len(rest) > 1 else rest[0]

    return respond


def model(backend: Any, *, name: str = "tiny") -> Callable[[Got], Reply]:
    """Return what serves a model through transformers: chat, and completions in vLLM's form."""
    lock, renderer, session = threading.Lock(), Renderer(backend.tokenizer), iter(range(10**9))

    def respond(got: Got) -> Reply:
        if got.path == "/v1/models":
            entry = {"id": name, "object": "model", "max_model_len": backend.max_context}
            return Reply({"object": "list", "data": [entry]})
        body = got.body
        if body.get("model") != name:
            return Reply({"error": {"message": "no such model"}}, 404)
        chat = got.path == "/v1/chat/completions"
        if chat:
            prompt = renderer.first([Message(m["role"], m["content"]) for m in body["messages"]])
        else:
            prompt = tuple(body["prompt"])
        stops = renderer.stop_ids if chat else tuple(body["stop_token_ids"])
        with lock:
            request = SampleRequest(
                next(session), "", prompt, prompt, True, (), body["max_tokens"],
                body["temperature"], stops, body["seed"],
            )  # fmt: skip
            [sample] = backend.generate([request])
            backend.release([request.session])
        if isinstance(sample, EpisodeFailure):
            return Reply({"error": {"message": sample.message}}, 400)
        choice: dict[str, Any] = {"index": 0, "finish_reason": sample.finish}
        if chat:
            choice["message"] = {"role": "assistant", "content": sample.text}
        else:
            choice["text"] = sample.text
        if body.get("logprobs") is not None:
            choice["logprobs"] = {"token_logprobs": list(sample.logprobs)}
        if body.get("return_token_ids"):
            choice |= {"token_ids": list(sample.ids), "prompt_token_ids": list(prompt)}
        usage = {"total_tokens": len(prompt) + len(sample.ids)}
        return Reply({"choices": [choice], "usage": usage})

    return respond
