"""The OpenAI interface: what is asked of such a server, and what may come back.

Shared by `agentgym.chat` and `agentgym.backends.openai_http`, so that both take an answer for an
answer and a fault for a fault.
"""

import json
from collections.abc import Mapping
from typing import Any

from agentgym.errors import ConfigError, UnknownName, UserError
from agentgym.http import CallFailed, Client
from agentgym.types import Message

WORD = "openai:"
"""What the name of a model behind HTTP begins with."""


class Unusable(Exception):
    """An answer that is none; asking again would cost as much and bring the same."""


def address(word: str) -> tuple[str, str]:
    """Return address and model of a word: `openai:http://127.0.0.1:8000/v1#my-model`.

    Raises:
        ConfigError: it has another form.
    """
    url, _, model = word.removeprefix(WORD).partition("#")
    if not word.startswith(WORD) or not model:
        # Not repeated: what was meant as a key may stand in it.
        raise ConfigError(
            f"a model behind HTTP is written {WORD}ADDRESS#MODEL, for example "
            f"{WORD}http://127.0.0.1:8000/v1#my-model"
        )
    return url, model


async def model_entry(client: Client, model: str, key_env: str) -> Mapping[str, Any]:
    """Return what a server says about one of its models.

    Raises:
        UserError: nobody answers there, the key is refused, or there is no such model.
    """
    url = client.url
    try:
        known = await client.call("GET", "/models")
        entries = {entry["id"]: entry for entry in known["data"]}
    except CallFailed as error:
        if error.status in (401, 403):
            advice = f"the key is taken from the environment variable {key_env}"
        elif error.status is None or error.status in (404, 405):
            advice = "is it running, and is that the address of its interface (often .../v1)?"
        else:
            advice = "it answers, but not with its models"
        raise UserError(f"{url}/models: {error}; {advice}") from None
    except (KeyError, TypeError):
        raise UserError(f"{url}/models is no list of models as OpenAI's interface has it") from None
    if model not in entries:
        raise UnknownName(f"model at {url}", model, map(str, entries))
    entry: Mapping[str, Any] = entries[model]
    return entry


def plain(message: Message) -> dict[str, Any]:
    """Return a message as the chat interface takes it."""
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "type": "function",
                "id": call.id,
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        sent["tool_call_id"] = message.tool_call_id
    return sent


def seed31(seed: int) -> int:
    """Return a seed as its remainder by 2^31, a number that every server can hold."""
    return seed % 2**31


def only_choice(answer: Any) -> dict[str, Any]:
    """Return the one choice of an answer.

    Raises:
        Unusable: it has none, or several.
    """
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list):
        raise Unusable("an answer without choices")
    if len(choices) != 1 or not isinstance(choices[0], dict):
        raise Unusable(f"{len(choices)} choices in an answer to a request for one")
    return choices[0]


def finish(choice: Mapping[str, Any]) -> Any:
    """Return "stop" or "length".

    Raises:
        Unusable: whatever else ended an answer was not the model.
    """
    reason = choice.get("finish_reason")
    if reason not in ("stop", "length"):
        raise Unusable(f"the server ended the answer itself: finish_reason {reason!r}")
    return reason


def content(choice: Mapping[str, Any]) -> str:
    """Return the text of a chat answer.

    Raises:
        Unusable: it has none.
    """
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else 0
    if text is not None and not isinstance(text, str):
        raise Unusable("an answer without message.content")
    return text or ""


def tokens_spent(answer: Any) -> int | None:
    """Return how many tokens an answer cost, prompt included; None: the server does not say."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if type(total) is int and total >= 0 else None
