"""Language models that are asked for a text: they play tools and users, or judge.

Nothing here samples for training: a `Chat` gives text, and whoever asks says what a failure of it
means (`EpisodeFailure` with the boundary "simulator", "judge", ...).
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from agentgym import openai_api, registry
from agentgym.errors import ChatFailed, ConfigError, UnknownName, UserError
from agentgym.http import CallFailed, Client
from agentgym.types import Message

__all__ = ["Chat", "OpenAIChat", "ScriptedChat", "chat_named", "close_chats"]

KEY_ENV = "OPENAI_API_KEY"
"""The environment variable that the key of a server is taken from."""


class Chat(Protocol):
    """A language model that answers messages with a text. It may be asked from several threads."""

    @property
    def name(self) -> str:
        """What it is called in logs and in the keys of recordings; holds no secret."""
        ...

    def ask(self, messages: Sequence[Message], *, seed: int = 0) -> str:
        """Return what it answers.

        Args:
            messages: the chat so far.
            seed: of what is sampled, as far as the model heeds it.

        Raises:
            ChatFailed: there is no answer, also after further tries.
        """
        ...


class OpenAIChat:
    """A model behind a server with the OpenAI interface, over a connection that may be shared."""

    def __init__(
        self,
        client: Client,
        model: str,
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        key_env: str = KEY_ENV,
    ) -> None:
        """Ask the server for its models, so that mistakes are found now.

        Args:
            client: of the server.
            model: its name there.
            temperature: of sampling.
            max_tokens: of an answer. One that is cut there is passed on as it is.
            key_env: where the client has its key from, for the message.

        Raises:
            ConfigError: a number that cannot be meant.
            UserError: nobody answers there, the key is refused, or there is no such model.
        """
        if not temperature >= 0 or max_tokens < 1:
            raise ConfigError(
                "a chat needs a temperature of at least 0 and max_tokens of at least 1, got "
                f"{temperature!r} and {max_tokens!r}"
            )
        self._client, self._model = client, model
        self._temperature, self._max_tokens = temperature, max_tokens
        client.run(openai_api.model_entry(client, model, key_env))

    @property
    def name(self) -> str:
        """The word that `chat_named` takes."""
        return f"{openai_api.WORD}{self._client.url}#{self._model}"

    def __repr__(self) -> str:
        return f"OpenAIChat({self.name!r})"

    def __deepcopy__(self, memo: object) -> "OpenAIChat":
        """Return itself: a snapshot of an environment is not one of the world outside."""
        return self

    def ask(self, messages: Sequence[Message], *, seed: int = 0) -> str:
        """Return what it answers; the server's hiccups are waited out as `Client` does.

        Raises:
            ChatFailed: there is no answer.
            UserError: the client's budget is spent, or it is closed.
        """
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [openai_api.plain(message) for message in messages],
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "seed": openai_api.seed31(seed),
        }
        try:
            answer = self._client.run(self._client.call("POST", "/chat/completions", body))
            self._client.charge(openai_api.tokens_spent(answer) or 0)
            choice = openai_api.only_choice(answer)
            text = openai_api.content(choice)
            openai_api.finish(choice)
        except (CallFailed, openai_api.Unusable) as error:
            raise ChatFailed(self.name, self._client.without_key(str(error))) from None
        return text


Answers = Sequence[str | ChatFailed] | Callable[[Sequence[Message], int], str]


@dataclass
class ScriptedChat:
    """Answers from a list, in order, or by a function of messages and seed: for tests and offline.

    A `ChatFailed` in the list is raised in its turn. A list that is used up is a failure.

    Attributes:
        answers: the list or the function.
        name: as of any chat.
        asked: the messages of the questions so far, the last thousand of them.
        calls: how many questions there were.

    >>> chat = ScriptedChat(["yes", "no"])
    >>> chat.ask([Message("user", "Well?")]), chat.ask([Message("user", "Really?")])
    ('yes', 'no')
    """

    answers: Answers
    name: str = "scripted"
    asked: deque[tuple[Message, ...]] = field(default_factory=lambda: deque(maxlen=1000))
    calls: int = 0
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def __deepcopy__(self, memo: object) -> "ScriptedChat":
        """Return itself: a snapshot of an environment is not one of the world outside."""
        return self

    def ask(self, messages: Sequence[Message], *, seed: int = 0) -> str:
        """Return the next answer.

        Raises:
            ChatFailed: it is one, or the list is used up.
        """
        with self._lock:
            number = self.calls
            self.calls += 1
            self.asked.append(tuple(messages))
        if callable(self.answers):
            return self.answers(messages, seed)
        if number >= len(self.answers):
            raise ChatFailed(self.name, f"its list of {len(self.answers)} answers is used up")
        answer = self.answers[number]
        if isinstance(answer, ChatFailed):
            raise answer
        return answer


def chat_named(
    word: str, *, temperature: float = 0.0, max_tokens: int = 1024, concurrency: int = 64
) -> Chat:
    """Return the chat that a word means; the same one for the same arguments in one process.

    Args:
        word: `openai:ADDRESS#MODEL`, a model behind a server; or `package.module:Object`, a `Chat`
            or what makes one without arguments.
        temperature: of sampling; not for an object.
        max_tokens: of an answer; not for an object.
        concurrency: calls to one server at once, over all chats that share its connection.

    Raises:
        UserError: the word means nothing, or the server cannot be used.
    """
    key = (os.getpid(), word, temperature, max_tokens, concurrency)  # threads do not outlive a fork
    with _lock:
        if key not in _chats:
            if word.startswith(openai_api.WORD):
                url, model = openai_api.address(word)
                _chats[key] = OpenAIChat(
                    _client(url, concurrency),
                    model,
                    temperature=temperature,
                    max_tokens=max_tokens,
                )
            else:
                _chats[key] = _object(word)
        return _chats[key]


@atexit.register
def close_chats() -> None:
    """End the connections of this process's chats by name; `chat_named` then makes new ones."""
    with _lock:
        for (pid, *_), client in _clients.items():
            if pid == os.getpid():  # another's threads are not here
                client.close()
        _clients.clear()
        _chats.clear()


# ----------------------------------------------------------------------------------------------

_lock = threading.RLock()
_chats: dict[tuple[int, str, float, int, int], Chat] = {}
_clients: dict[tuple[int, str, int], Client] = {}


def _client(url: str, concurrency: int) -> Client:
    key = (os.getpid(), url, concurrency)
    if key not in _clients:
        _clients[key] = Client(
            url,
            key_env=KEY_ENV,
            concurrency=concurrency,
            timeout_s=600.0,
            retries=5,
            backoff_s=0.5,
            longest_wait_s=60.0,
            budget_calls=None,
            budget_tokens=None,
        )
    return _clients[key]


def _object(word: str) -> Chat:
    kind, _, rest = word.partition(":")
    if rest.startswith(("http:", "https:", "//")) and kind.isidentifier():
        raise UnknownName("kind of language model", kind, [openai_api.WORD.rstrip(":")])
    if not all(part.isidentifier() for part in [*kind.split("."), *rest.split(".")]):
        # Not repeated: what was meant as a key may stand in it.
        raise ConfigError(
            "a language model to ask is written openai:ADDRESS#MODEL or package.module:Object"
        )
    made: Any = registry.load("chats", word)
    if callable(made) and (isinstance(made, type) or not hasattr(made, "ask")):
        made = made()
    if not callable(getattr(made, "ask", None)) or not isinstance(getattr(made, "name", None), str):
        raise UserError(f"{word} is no language model to ask: it needs a name and ask()")
    return cast(Chat, made)
