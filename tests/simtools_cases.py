"""A small service for the tests of simtools, and players of it."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agentgym.chat import ScriptedChat
from agentgym.envs.simtools import SimTools
from agentgym.envs.simtools.dialogue import Dialogue, dialogue_of
from agentgym.toolcalls import Reply
from agentgym.types import JSON, Message, ToolCall

CALLS, REPLY = "assistant.tool_calls", "assistant.content.user_visible_reply"
TEXT: dict[str, JSON] = {"type": "string"}


def tool(name: str, takes: dict[str, Any], gives: dict[str, Any]) -> dict[str, Any]:
    """Return a tool as it stands in a file; all of it is required."""
    return {
        "name": name,
        "description": f"Do {name}.",
        "parameters": {"type": "object", "properties": takes, "required": [*takes]},
        "returns": {"type": "object", "properties": gives, "required": [*gives]},
    }


def shop() -> dict[str, Any]:
    """Return a dialogue of two turns: an order, and calling it off."""
    status = {"enum": ["placed", "shipped", "cancelled"]}
    ordered = {"result": "order", "of": {"item": "tea"}, "at": "price"}
    return {
        "id": "shop-1",
        "tools": [
            tool("order", {"item": TEXT, "count": {"type": "integer"}},
                 {"order_id": TEXT, "price": {"type": "integer", "minimum": 5, "maximum": 60}}),
            tool("look_up", {"order_id": TEXT}, {"item": TEXT, "status": status}),
            tool("cancel", {"order_id": TEXT},
                 {"status": {"const": "cancelled"}, "fee": {"type": "integer", "maximum": 9}}),
            tool("list_orders", {"item": TEXT}, {"orders": {
                "type": "array", "minItems": 1, "maxItems": 6, "items": {
                    "type": "object", "properties": {"order_id": TEXT, "status": status}}}}),
        ],
        "messages": [
            {"role": "system", "content": "You work for a tea shop."},
            {"role": "user", "content": "Order 3 tea. What does it cost?"},
            {"role": "user", "content": "Cancel it. What is the fee?"},
        ],
        "checklist": [
            [
                {"id": "ordered", "question": "Was it ordered?", "weight": 0.6, "focus_on": CALLS,
                 "required_for_next_turn": True,
                 "rule": {"called": "order", "with": {"item": "tea", "count": 3},
                          "not_after": ["cancel"]}},
                {"id": "priced", "question": "Is the price named?", "weight": 0.4,
                 "focus_on": REPLY, "dependence": ["ordered"], "rule": {"says": ordered}},
            ],
            [
                {"id": "cancelled", "question": "Was it cancelled?", "weight": 0.5,
                 "focus_on": CALLS, "rule": {"called": "cancel", "with": {
                     "order_id": {"result": "order", "at": "order_id"}}}},
                {"id": "fee", "question": "Is the fee named, without a new order?", "weight": 0.5,
                 "focus_on": REPLY, "rule": {"all": [
                     {"says": {"result": "cancel", "at": "fee"}}, {"never": "order"}]}},
            ],
        ],
        "plan": [
            [{"call": "order", "arguments": {"item": "tea", "count": 3}},
             {"say": ["It costs ", {"result": "order", "at": "price"}, "."]}],
            [{"call": "cancel", "arguments": {"order_id": {"result": "order", "at": "order_id"}}},
             {"say": ["The fee is ", {"result": "cancel", "at": "fee"}, "."]}],
        ],
        "seed": 7,
    }  # fmt: skip


def shop_dialogue() -> Dialogue:
    return dialogue_of(shop(), "here")


def written(folder: Path, *dialogues: dict[str, Any]) -> str:
    """Write dialogues as they are, right or wrong, and return the path."""
    path = folder / "dialogues.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in dialogues), "utf-8")
    return str(path)


def playing(folder: Path, dialogue: dict[str, Any] | None = None, **options: Any) -> SimTools:
    """Return an environment at the beginning of a dialogue."""
    env = SimTools(dialogues=written(folder, dialogue or shop()), split="all", **options)
    env.reset(seed=0)
    return env


def calls(*made: tuple[str, dict[str, JSON]], text: str = "") -> str:
    """Return the action that makes these calls."""
    return Reply(text, tuple(ToolCall(name, arguments) for name, arguments in made)).action


def facts(step: Sequence[Any]) -> Any:
    """Return the facts that a step states."""
    return step[4]["facts"]


def play(env: SimTools, actions: Iterable[str]) -> list[Any]:
    return [env.step(action) for action in actions]


# Language models that `chat_named` finds by "simtools_cases:NAME" -------------------------------


def _shopkeeper(messages: Sequence[Message], seed: int) -> str:
    """Play the shop well, with something of the seed in it."""
    asked = messages[1].content
    now = json.loads(asked.splitlines()[-2])["tool"]
    results: dict[str, JSON] = {
        "order": {"order_id": f"order {seed % 1000}", "price": 5 + seed % 50},
        "cancel": {"status": "cancelled", "fee": seed % 10},
        "look_up": {"item": "tea", "status": "placed"},
        "list_orders": {"orders": []},
    }
    return json.dumps({"result": results[now]})


shopkeeper = ScriptedChat(_shopkeeper, name="shopkeeper")


def _polite(messages: Sequence[Message], seed: int) -> str:
    """Judge whether the assistant's last words hold what the question asks for in quotes."""
    verdicts: dict[str, JSON] = {}
    for name, case in json.loads(messages[1].content).items():
        spoken = [m["content"] for m in case["present"] if m["role"] == "assistant"]
        verdicts[name] = {
            each: (about["question"].split('"')[1] if '"' in about["question"] else "Paris")
            in spoken[-1]
            for each, about in case["criteria"].items()
        }
    return json.dumps(verdicts)


polite = ScriptedChat(_polite, name="polite")


def _gullible(messages: Sequence[Message], seed: int) -> str:
    """Judge that everything is met but by those who only promise an answer."""
    verdicts: dict[str, JSON] = {
        name: dict.fromkeys(
            case["criteria"], not case["present"][-1]["content"].startswith("Let's solve")
        )
        for name, case in json.loads(messages[1].content).items()
    }
    return json.dumps(verdicts)


gullible = ScriptedChat(_gullible, name="gullible")
