"""Models behind HTTP, against real servers on this machine: one with a tiny model, and unruly ones.

Pauses between tries are made short by `backoff_s`; how long they are is tested by itself.
"""

import datetime
import email.utils
import logging
import random
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_servers import MODELS, Got, Reply, Server, said, scripted, serve

pytest.importorskip("aiohttp")

from agentgym import http, registry
from agentgym.agents import PolicyAgent
from agentgym.backends.base import Sample, SampleRequest
from agentgym.backends.openai_http import OpenAIHTTP
from agentgym.errors import ConfigError, EpisodeFailure, UnknownName, UserError
from agentgym.render import Renderer
from agentgym.rollout import Job, Limits, Task, run_lockstep, run_threaded
from agentgym.types import Message, Stop, ToolCall

ASK = SampleRequest(1, "policy", (), (), True, (Message("user", "Hi."),), 5, 1.0, (), 3)
GOOD = Reply(said("hello"))


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@contextmanager
def over(respond: Callable[[Got], Reply], **options: Any) -> Iterator[tuple[OpenAIHTTP, Server]]:
    """Return a backend over a server that responds like this."""
    with serve(respond) as server:
        backend = OpenAIHTTP(server.url, "tiny", **{"backoff_s": 0.001, **options})
        try:
            yield backend, server
        finally:
            backend.close()


def ask(backend: OpenAIHTTP, request: SampleRequest = ASK) -> Sample | EpisodeFailure:
    [answer] = backend.generate([request])
    return answer


def failure(backend: OpenAIHTTP) -> str:
    answer = ask(backend)
    assert isinstance(answer, EpisodeFailure)
    assert answer.boundary == "backend"
    return answer.message


# Chat ---------------------------------------------------------------------------------------------


def test_chat_gives_text_and_no_tokens() -> None:
    with over(scripted(GOOD)) as (backend, server):
        assert ask(backend) == Sample((), (), "hello", "stop", 0)
        [got] = server.samples
    assert got.path == "/v1/chat/completions"
    assert "Authorization" not in got.headers
    assert got.body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hi."}],
        "max_tokens": 5,
        "temperature": 1.0,
        "seed": 3,
    }


def test_an_answer_of_full_length() -> None:
    with over(scripted(Reply(said("hel", finish_reason="length")))) as (backend, _):
        assert ask(backend) == Sample((), (), "hel", "length", 0)


def test_seeds_are_passed_on_as_31_bits() -> None:
    with over(scripted(GOOD)) as (backend, server):
        ask(backend, replace(ASK, seed=2**63 + 5))
        assert server.samples[0].body["seed"] == 5


def test_tool_calls_are_passed_on() -> None:
    messages = (
        Message("assistant", "", (ToolCall("add", {"a": 1}, "c1"),)),
        Message("tool", "2", tool_call_id="c1"),
    )
    with over(scripted(GOOD)) as (backend, server):
        ask(backend, replace(ASK, messages=messages))
        first, second = server.samples[0].body["messages"]
    assert first["tool_calls"] == [
        {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    ]
    assert second == {"role": "tool", "content": "2", "tool_call_id": "c1"}


def test_fields_of_the_request_are_replaced_and_left_out() -> None:
    fields = {"max_tokens": None, "max_completion_tokens": 9, "seed": 1}
    with over(scripted(GOOD), fields=fields) as (backend, server):
        ask(backend)
        body = server.samples[0].body
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["seed"]) == (9, 1)


@pytest.mark.parametrize("drive", [run_lockstep, run_threaded])
def test_episodes_by_chat(drive: Any) -> None:
    """The server sees the whole chat each turn, and its text is the action."""

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        return Reply(said(str(len(got.body["messages"]))))

    with over(respond) as (backend, _):
        agent = PolicyAgent(Renderer(backend.tokenizer))
        jobs = [Job(Task("guess", seed=seed), agent) for seed in range(6)]
        played = drive(jobs, backend, limits=Limits(max_turns=3), seed=0)
    for trajectory in played:
        assert trajectory.valid
        said_K = [turn.action for turn in trajectory.turns]
        assert said_K == ["2", "4", "6"][: len(said_K)]
        calls = [turn.calls[0] for turn in trajectory.turns]
        assert {(call.prompt_ids, call.sample_ids, call.logprobs) for call in calls} == {
            ((), (), ())
        }
        assert calls[0].text == "2"
    assert any(trajectory.stop is Stop.MAX_TURNS for trajectory in played)


def test_answers_keep_the_order_of_their_requests() -> None:
    """The first request is answered last."""
    others, lock, seen = threading.Event(), threading.Lock(), []

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        seed = got.body["seed"]
        if seed == 0:
            assert others.wait(60)
        with lock:
            seen.append(seed)
            if len(seen) == 7:
                others.set()
        return Reply(said(f"seed {seed}"))

    with over(respond) as (backend, _):
        answers = backend.generate([replace(ASK, seed=seed) for seed in range(8)])
    assert [a.text for a in answers if isinstance(a, Sample)] == [f"seed {s}" for s in range(8)]
    assert seen[-1] == 0


def test_no_requests_no_calls() -> None:
    with over(scripted(GOOD)) as (backend, server):
        assert backend.generate([]) == []
        assert server.samples == []


# What goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"}),
        Reply(b"overloaded", 503),
        Reply(b"oops", 500),
        Reply(said("hello"), cut=True),
        Reply(b'{"choices": [{"mess'),
        Reply(b"<html>a proxy speaks</html>"),
    ],
    ids=["429", "503", "500", "cut", "half-json", "html"],
)
def test_another_try_helps(bad: Reply) -> None:
    with over(scripted(bad, bad, GOOD)) as (backend, server):
        assert ask(backend) == Sample((), (), "hello", "stop", 0)
        assert len(server.samples) == 3
        assert len({str(got.body) for got in server.samples}) == 1
        assert backend.calls == 4  # one was for the names of the models


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Reply({"error": {"message": "slow down"}}, 429), "status 429: slow down"),
        (Reply(b"oops", 502), "status 502: oops"),
        (Reply(said("hello"), cut=True), "ClientPayloadError"),
        (Reply(b"hm"), "an answer that is not JSON: 'hm'"),
    ],
)
def test_it_gives_up_after_its_tries(bad: Reply, why: str) -> None:
    with over(scripted(bad), retries=3) as (backend, server):
        message = failure(backend)
        assert why in message
        assert message.endswith("(after 4 tries)")
        assert len(server.samples) == 4


def choices(*given: Any) -> Reply:
    return Reply({"choices": list(given), "usage": {"total_tokens": 1}})


ONE = said("x")["choices"][0]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Reply({"error": {"message": "too long"}}, 400), "status 400: too long"),
        (Reply({"detail": "too long"}, 422), "status 422: too long"),
        (Reply(b"", 404), "status 404: (nothing more)"),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:9/v1"}), "status 302"),
        (choices(), "0 choices in an answer to a request for one"),
        (choices(ONE, ONE), "2 choices in an answer to a request for one"),
        (choices(3), "1 choices"),
        (Reply([]), "an answer without choices"),
        (Reply({"choices": "x"}), "an answer without choices"),
        (choices({**ONE, "message": None}), "an answer without message.content"),
        (choices({**ONE, "message": {"content": 3}}), "an answer without message.content"),
        (choices({**ONE, "finish_reason": "content_filter"}), "'content_filter'"),
        (choices({**ONE, "finish_reason": None}), "finish_reason None"),
    ],
)
def test_another_try_would_not_help(bad: Reply, why: str) -> None:
    with over(scripted(bad)) as (backend, server):
        assert why in failure(backend)
        assert len(server.samples) == 1


def test_a_slow_answer_is_asked_for_again() -> None:
    over_now, first = threading.Event(), threading.Lock()

    def respond(got: Got) -> Reply:
        if got.method == "POST" and first.acquire(blocking=False):
            over_now.wait(60)
        return Reply(MODELS) if got.method == "GET" else GOOD

    try:
        with over(respond, timeout_s=0.5) as (backend, server):
            answer = ask(backend)
            over_now.set()
            assert isinstance(answer, Sample)
            assert len(server.samples) >= 2
    finally:
        over_now.set()


def test_no_answer_in_time_is_a_failure() -> None:
    over_now = threading.Event()

    def respond(got: Got) -> Reply:
        if got.method == "POST":
            over_now.wait(60)
        return Reply(MODELS)

    try:
        with over(respond, timeout_s=1.0, retries=1) as (backend, server):
            message = failure(backend)
            over_now.set()
            assert message == "no answer within 1 s (after 2 tries)"
            assert len(server.samples) == 2
    finally:
        over_now.set()


def test_a_server_that_asks_for_too_long_a_pause_fails_the_call() -> None:
    busy = Reply(b"later", 429, {"Retry-After": "3600"})
    with over(scripted(busy)) as (backend, server):
        assert "it asks to wait 3600 s, over longest_wait_s=60" in failure(backend)
        assert len(server.samples) == 1


def test_one_failure_leaves_the_others_alone() -> None:
    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        return Reply(b"no", 400) if got.body["seed"] == 1 else GOOD

    with over(respond) as (backend, _):
        first, second, third = backend.generate([replace(ASK, seed=s) for s in range(3)])
        assert isinstance(second, EpisodeFailure)
        assert isinstance(first, Sample)
        assert isinstance(third, Sample)


def test_failed_episodes_are_no_reward() -> None:
    with over(scripted(Reply(b"gone", 503)), retries=1) as (backend, _):
        agent = PolicyAgent(Renderer(backend.tokenizer))
        [played] = run_lockstep([Job(Task("guess"), agent)], backend, limits=Limits(), seed=0)
    assert not played.valid
    assert played.failure is not None
    assert played.failure.boundary == "backend"


def test_a_server_that_sends_without_end_is_not_listened_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    with over(scripted(Reply(said("x" * 2000)))) as (backend, server):
        assert failure(backend) == "an answer of more than 1,000 bytes"
        assert len(server.samples) == 1


# How many, and how long ---------------------------------------------------------------------------


def test_as_many_calls_at_once_as_allowed() -> None:
    together, lock, counts = threading.Barrier(4), threading.Lock(), [0, 0]

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        with lock:
            counts[0] += 1
            counts[1] = max(counts)
        together.wait(60)  # breaks unless four are here together
        time.sleep(0.05)  # a fifth would come meanwhile
        with lock:
            counts[0] -= 1
        return GOOD

    with over(respond, concurrency=4) as (backend, _):
        answers = backend.generate([ASK] * 12)
    assert all(isinstance(answer, Sample) for answer in answers)
    assert counts[1] == 4


@given(
    tried=st.integers(1, 200),
    retry_after_s=st.none() | st.floats(0, 100),
    backoff_s=st.floats(0, 10),
)
def test_pauses(tried: int, retry_after_s: float | None, backoff_s: float) -> None:
    client = object.__new__(http.Client)
    client._random = random.Random(0)
    client._backoff_s, client._longest_wait_s = backoff_s, 60.0
    pause_s = client.pause_s(tried, retry_after_s)
    if retry_after_s is None:
        whole = min(60.0, backoff_s * 2.0 ** min(tried - 1, 60))
        assert whole / 2 <= pause_s <= whole
    else:
        assert retry_after_s <= pause_s <= retry_after_s + backoff_s


def test_pauses_differ() -> None:
    with over(scripted(GOOD), backoff_s=1.0) as (backend, _):
        assert len({backend._client.pause_s(1, None) for _ in range(20)}) == 20


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime.datetime.now(datetime.UTC)
    later = email.utils.format_datetime(now + datetime.timedelta(hours=1), usegmt=True)
    assert http._seconds("7") == 7
    assert http._seconds("0.5") == 0.5
    assert 3000 < (http._seconds(later) or 0) <= 3600
    assert http._seconds("-3") == 0
    for nothing in (None, "soon", "nan", ""):
        assert http._seconds(nothing) is None


def test_a_budget_of_calls_is_never_passed() -> None:
    with over(scripted(GOOD), budget_calls=4) as (backend, server):
        with pytest.raises(UserError, match=r"budget of 4 calls at http.* is spent .*budget_calls"):
            backend.generate([ASK] * 8)
        assert len(server.got) == 4
        with pytest.raises(UserError, match="budget of 4 calls"):
            ask(backend)
        assert len(server.got) == 4


def test_repeated_calls_count_too() -> None:
    with over(scripted(Reply(b"", 503)), budget_calls=3) as (backend, server):
        with pytest.raises(UserError, match="budget of 3 calls"):
            ask(backend)
        assert len(server.samples) == 2


def test_a_budget_of_tokens() -> None:
    with over(scripted(GOOD), budget_tokens=20, concurrency=1) as (backend, server):
        for _ in range(2):
            ask(backend)
        assert backend.tokens == 14
        ask(backend)  # passes it, as it was not spent yet
        with pytest.raises(UserError, match=r"budget of 20 tokens .*21 tokens.*budget_tokens"):
            ask(backend)
        assert len(server.samples) == 3


def test_a_budget_of_tokens_needs_a_server_that_counts() -> None:
    answer = said("x")
    del answer["usage"]
    why = r"does not say what an answer cost.*budget_calls"
    with (
        over(scripted(Reply(answer)), budget_tokens=20) as (backend, _),
        pytest.raises(UserError, match=why),
    ):
        ask(backend)
    with over(scripted(Reply(answer))) as (backend, _):
        assert isinstance(ask(backend), Sample)


def test_a_spent_budget_stops_the_run() -> None:
    with over(scripted(Reply(said("21"))), budget_calls=3) as (backend, _):
        agent = PolicyAgent(Renderer(backend.tokenizer))
        jobs = [Job(Task("guess", seed=seed), agent) for seed in range(4)]
        with pytest.raises(UserError, match="budget of 3 calls"):
            run_lockstep(jobs, backend, limits=Limits(), seed=0)


# The start ----------------------------------------------------------------------------------------


def start(url: str, model: str = "tiny", **options: Any) -> None:
    OpenAIHTTP(url, model, **{"backoff_s": 0.001, "retries": 1, **options}).close()


def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=r"/v1/models: .*after 2 tries.*is it running"):
        start(f"http://127.0.0.1:{port}/v1")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply({"error": "no"}, 401), "status 401: no; the key is taken from .* OPENAI_API_KEY"),
        (Reply({"error": "no"}, 403), "OPENAI_API_KEY"),
        (Reply(b"", 404), r"status 404.*is that the address of its interface \(often .../v1\)"),
        (Reply(b"", 500), "it answers, but not with its models"),
        (Reply({"data": 3}), "no list of models"),
        (Reply([1]), "no list of models"),
        (Reply({"data": [{"name": "tiny"}]}), "no list of models"),
    ],
)
def test_a_start_that_fails(reply: Reply, why: str) -> None:
    threads = threading.active_count()
    with serve(lambda _: reply) as server:
        before = threading.active_count()
        with pytest.raises(UserError, match=why):
            start(server.url)
        assert not any(t.name == "agentgym-http" for t in threading.enumerate())
        assert threads < before


def test_an_unknown_model() -> None:
    with serve(scripted(GOOD)) as server, pytest.raises(UnknownName, match="did you mean 'tiny'"):
        start(server.url, "tinny")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x/v1", "http://", "http://[/v1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of a server; one looks like"):
        start(url)


@pytest.mark.parametrize(
    ("word", "why"),
    [("openai:http://127.0.0.1:8/v1", "openai:ADDRESS#MODEL"), ("openai:#m", "not the address")],
)
def test_names_of_another_form(word: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        OpenAIHTTP.named(word)


def test_a_name_is_an_address_and_a_model() -> None:
    with serve(scripted(GOOD)) as server:
        backend = OpenAIHTTP.named(f"openai:{server.url}/#tiny")
        assert repr(backend) == f"OpenAIHTTP('{server.url}', 'tiny')"
        backend.close()


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"retries": -1}, {"budget_calls": 0}, {"timeout_s": -1.0}]
)
def test_numbers_that_cannot_be_meant(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be at least"):
        start("http://127.0.0.1:9/v1", **options)


def test_without_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"pip install 'agentgym\[http\]'"):
        start("http://127.0.0.1:9/v1")


def test_the_registry_knows_it() -> None:
    assert registry.load("backends", "openai_http") is OpenAIHTTP
    assert registry.entries("backends")["openai_http"].summary.startswith("Samples from a model")


def test_closing() -> None:
    with serve(scripted(GOOD)) as server:
        backend = OpenAIHTTP(server.url, "tiny")
        backend.release([1])
        backend.close()
        backend.close()
        with pytest.raises(UserError, match="this backend is closed"):
            ask(backend)


# The key ------------------------------------------------------------------------------------------

KEY = "sk-0123456789abcdef"


def echo(got: Got) -> Reply:
    """Tell the key in an error, as careless servers do."""
    if got.method == "GET":
        return Reply(MODELS)
    return Reply({"error": {"message": f"bad key {got.headers['Authorization']}"}}, 401)


def test_the_key_is_sent_and_never_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    with over(echo, key_env="MY_KEY") as (backend, server):
        message = failure(backend)
        assert server.samples[0].headers["Authorization"] == f"Bearer {KEY}"
        texts = [message, repr(backend), repr(ask(backend)), repr(backend._client)]
    assert message == "status 401: bad key Bearer [key]"
    texts += [caplog.text, *capfd.readouterr()]
    assert not [text for text in texts if KEY in text]


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": KEY}, 401),
        Reply(f"you sent {KEY}".encode(), 500),
        Reply(f"not JSON {KEY}".encode()),
        Reply(MODELS, cut=True),
        Reply({"data": [{"id": "other"}]}),
    ],
)
def test_no_error_at_the_start_tells_the_key(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(lambda _: reply) as server, pytest.raises(UserError) as caught:
        start(server.url)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    seen: BaseException | None = caught.value
    while seen is not None:  # also what the traceback hides
        assert KEY not in repr(seen)
        assert not hasattr(seen, "request_info")
        seen = seen.__cause__


@pytest.mark.parametrize("key", ["sk-a\nX-Other: b", "sk-ä", "sk a"])
def test_a_key_that_cannot_be_one(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="the key in OPENAI_API_KEY holds") as caught:
        start("http://127.0.0.1:9/v1")
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [f"http://me:{KEY}@127.0.0.1/v1", f"http://{KEY}@127.0.0.1/v1", f"http://127.0.0.1/v1?k={KEY}"],
)
def test_an_address_with_a_key_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="a key is taken from the environment") as caught:
        start(url)
    assert KEY not in str(caught.value)
