"""Language models that are asked for a text, against real servers of this machine."""

import copy
import multiprocessing
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai_servers import MODELS, Got, Reply, said, scripted, serve

pytest.importorskip("aiohttp")

from agentgym.chat import OpenAIChat, ScriptedChat, chat_named, close_chats
from agentgym.errors import ChatFailed, ConfigError, UnknownName, UserError
from agentgym.http import Client
from agentgym.types import Message, ToolCall

ASKED = (Message("system", "Be short."), Message("user", "Hi."))
HERE = "test_chat"


class Parrot:
    """A chat of somebody's own."""

    name = "parrot"

    def ask(self, messages: Any, *, seed: int = 0) -> str:
        return str(messages[-1].content)


PARROT = Parrot()
NO_CHAT = object()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    yield
    close_chats()


@pytest.fixture
def impatient() -> Iterator[Any]:
    """Return what makes a client that hardly waits between tries."""
    made: list[Client] = []

    def client(url: str, **options: Any) -> Client:
        usual: dict[str, Any] = {
            "key_env": "OPENAI_API_KEY", "concurrency": 8, "timeout_s": 30.0, "retries": 2,
            "backoff_s": 0.001, "longest_wait_s": 1.0, "budget_calls": None, "budget_tokens": None,
        }  # fmt: skip
        made.append(Client(url, **{**usual, **options}))
        return made[-1]

    yield client
    for each in made:
        each.close()


# A server -----------------------------------------------------------------------------------------


def test_a_server_is_asked_by_chat() -> None:
    with serve(scripted(Reply(said("hello")))) as server:
        chat = chat_named(f"openai:{server.url}#tiny")
        assert chat.ask(ASKED, seed=2**40 + 3) == "hello"
        assert chat.name == f"openai:{server.url}#tiny"
        [got] = server.samples
    assert got.path == "/v1/chat/completions"
    assert got.body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Hi."},
        ],
        "max_tokens": 1024,
        "temperature": 0.0,
        "seed": 3,
    }


def test_numbers_and_tool_calls_reach_the_server() -> None:
    messages = [
        Message("assistant", "", (ToolCall("add", {"a": 1}, "c1"),)),
        Message("tool", "2", tool_call_id="c1"),
    ]
    with serve(scripted(Reply(said("3")))) as server:
        chat = chat_named(f"openai:{server.url}#tiny", temperature=0.5, max_tokens=9)
        chat.ask(messages)
        body = server.samples[0].body
    assert (body["temperature"], body["max_tokens"]) == (0.5, 9)
    assert body["messages"][0]["tool_calls"][0]["function"]["name"] == "add"
    assert body["messages"][1] == {"role": "tool", "content": "2", "tool_call_id": "c1"}


def test_environments_share_one_chat_and_one_connection() -> None:
    with serve(scripted(Reply(said("x")))) as server:
        word = f"openai:{server.url}#tiny"
        first, again, warmer = chat_named(word), chat_named(word), chat_named(word, temperature=1.0)
        assert first is again
        assert first is not warmer
        assert isinstance(first, OpenAIChat)
        assert isinstance(warmer, OpenAIChat)
        assert first._client is warmer._client
        assert len([got for got in server.got if got.method == "GET"]) == 2


def test_many_may_ask_at_once() -> None:
    together = threading.Barrier(8)

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        together.wait(60)  # breaks unless eight are here together
        return Reply(said(str(got.body["seed"])))

    with serve(respond) as server, ThreadPoolExecutor(8) as pool:
        chat = chat_named(f"openai:{server.url}#tiny")
        answers = list(pool.map(lambda seed: chat.ask(ASKED, seed=seed), range(8)))
    assert answers == [str(seed) for seed in range(8)]


def test_closed_chats_are_made_anew() -> None:
    close_chats()
    before = set(threading.enumerate())  # other tests may have left clients of theirs
    with serve(scripted(Reply(said("x")))) as server:
        first = chat_named(f"openai:{server.url}#tiny")
        assert any(t.name == "agentgym-http" for t in set(threading.enumerate()) - before)
        close_chats()
        assert not any(t.name == "agentgym-http" for t in set(threading.enumerate()) - before)
        with pytest.raises(UserError, match="closed"):
            first.ask(ASKED)
        assert chat_named(f"openai:{server.url}#tiny").ask(ASKED) == "x"


def _of_the_child(word: str, answer: Any) -> None:
    answer.put(chat_named(word).ask(ASKED))


def test_a_forked_process_has_a_chat_of_its_own() -> None:
    """The threads of the parent's connection are not there after a fork."""
    with serve(scripted(Reply(said("hello")))) as server:
        word = f"openai:{server.url}#tiny"
        chat_named(word).ask(ASKED)
        context = multiprocessing.get_context("fork")
        answer = context.Queue()
        child = context.Process(target=_of_the_child, args=(word, answer), daemon=True)
        child.start()
        assert answer.get(timeout=20) == "hello"
        child.join(60)
        assert child.exitcode == 0


def test_a_snapshot_of_an_environment_keeps_the_connection() -> None:
    with serve(scripted(Reply(said("hello")))) as server:
        chat = chat_named(f"openai:{server.url}#tiny")
        assert copy.deepcopy({"chat": chat})["chat"] is chat


# What goes wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"}),
        Reply(b"oops", 500),
        Reply(said("hello"), cut=True),
        Reply(b'{"choices": [{"mess'),
    ],
    ids=["429", "500", "cut", "half-json"],
)
def test_J08_hiccups_are_waited_out_and_then_fail(impatient: Any, bad: Reply) -> None:
    with serve(scripted(bad, bad, Reply(said("hello")))) as server:
        assert OpenAIChat(impatient(server.url), "tiny").ask(ASKED) == "hello"
        assert len(server.samples) == 3
    with serve(scripted(bad)) as server:
        chat = OpenAIChat(impatient(server.url), "tiny")
        with pytest.raises(ChatFailed, match=r"\(after 3 tries\)") as caught:
            chat.ask(ASKED)
        assert caught.value.name == chat.name
        assert len(server.samples) == 3


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"choices": []}, "0 choices"),
        ({"choices": [{"message": {"content": 3}, "finish_reason": "stop"}]}, "message.content"),
        (said("no", finish_reason="content_filter"), "'content_filter'"),
    ],
)
def test_what_is_no_answer_is_a_failure_at_once(impatient: Any, body: Any, why: str) -> None:
    with serve(scripted(Reply(body))) as server:
        with pytest.raises(ChatFailed, match=why):
            OpenAIChat(impatient(server.url), "tiny").ask(ASKED)
        assert len(server.samples) == 1


def test_a_cut_answer_is_passed_on_and_a_missing_one_is_empty(impatient: Any) -> None:
    nothing = said("")
    nothing["choices"][0]["message"]["content"] = None
    replies = [Reply(said("hel", finish_reason="length")), Reply(nothing)]
    with serve(scripted(*replies)) as server:
        chat = OpenAIChat(impatient(server.url), "tiny")
        assert [chat.ask(ASKED), chat.ask(ASKED)] == ["hel", ""]


def test_a_budget_of_tokens_is_kept(impatient: Any) -> None:
    with serve(scripted(Reply(said("x", tokens=7)))) as server:
        chat = OpenAIChat(impatient(server.url, budget_tokens=10), "tiny")
        chat.ask(ASKED), chat.ask(ASKED)
        with pytest.raises(UserError, match="budget of 10 tokens"):
            chat.ask(ASKED)


def test_no_key_in_any_message(impatient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serve(scripted(Reply({"error": {"message": "bad key sk-secret"}}, 401))) as server:
        chat = OpenAIChat(impatient(server.url), "tiny")
        with pytest.raises(ChatFailed, match=r"bad key \[key\]"):
            chat.ask(ASKED)
        assert "secret" not in repr(chat)


# Words --------------------------------------------------------------------------------------------


def test_a_chat_of_ones_own_by_module_and_name() -> None:
    assert chat_named(f"{HERE}:Parrot").ask(ASKED) == "Hi."
    assert chat_named(f"{HERE}:PARROT") is PARROT


@pytest.mark.parametrize(
    ("word", "error", "why"),
    [
        ("opnai:http://127.0.0.1:1/v1#m", UnknownName, "'opnai'; did you mean 'openai'"),
        ("openai:http://127.0.0.1:1/v1", ConfigError, "openai:ADDRESS#MODEL"),
        ("sk-secret", ConfigError, "package.module:Object"),
        ("", ConfigError, "package.module:Object"),
        ("no_such_module_here:Chat", ConfigError, "the language model .* cannot be imported"),
        (f"{HERE}:Parott", UnknownName, "did you mean .*Parrot"),
        (f"{HERE}:NO_CHAT", UserError, r"it needs a name and ask\(\)"),
    ],
)
def test_words_that_mean_nothing(word: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why) as caught:
        chat_named(word)
    assert "secret" not in str(caught.value)


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with (
        serve(scripted(Reply(said("x")))) as server,
        pytest.raises(UnknownName, match="did you mean 'tiny'"),
    ):
        chat_named(f"openai:{server.url}#tinny")


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"max_tokens": 0}, {"concurrency": 0}])
def test_numbers_that_cannot_be_meant(bad: dict[str, Any]) -> None:
    with serve(scripted(Reply(said("x")))) as server, pytest.raises(ConfigError):
        chat_named(f"openai:{server.url}#tiny", **bad)


# Without a model ----------------------------------------------------------------------------------


def test_a_script_answers_in_order_fails_where_it_says_and_ends() -> None:
    chat = ScriptedChat(["a", ChatFailed("judge", "gone"), "b"])
    assert chat.ask(ASKED) == "a"
    with pytest.raises(ChatFailed, match="gone"):
        chat.ask(ASKED)
    assert chat.ask(ASKED[:1]) == "b"
    with pytest.raises(ChatFailed, match="3 answers is used up"):
        chat.ask(ASKED)
    assert [len(messages) for messages in chat.asked] == [2, 2, 1, 2]
    assert chat.calls == 4
    assert copy.deepcopy(chat) is chat


def test_a_function_answers_by_messages_and_seed() -> None:
    chat = ScriptedChat(lambda messages, seed: f"{messages[-1].content} {seed}", name="echo")
    assert (chat.ask(ASKED, seed=4), chat.name) == ("Hi. 4", "echo")


def test_failures_can_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(ChatFailed("judge", "gone")))
    assert (error.name, error.message, str(error)) == ("judge", "gone", "judge: gone")
