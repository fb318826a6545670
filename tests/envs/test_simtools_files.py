"""Simtools: files of dialogues in the shape of CM2's, right and wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from simtools_cases import CALLS, playing, shop, tool, written

from agentgym.envs.simtools import SimTools
from agentgym.envs.simtools.dialogue import dialogue_of
from agentgym.envs.simtools.files import division, read_dialogues
from agentgym.errors import ConfigError


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the shop with one place in it changed: keys and places, by dots."""
    data = json.loads(json.dumps(shop()))
    *way, last = path.split(".")
    at: Any = data
    for part in way:
        at = at[int(part)] if isinstance(at, list) else at[part]
    if isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return data  # type: ignore[no-any-return]


WRONG: list[tuple[str, Any, str]] = [
    ("id", "", "id must be a text that is not empty"),
    ("tols", [], "'tols' is no key of a dialogue; did you mean 'tools'?"),
    ("tools", "[{]", "tools is a text that is not JSON"),
    ("tools", None, "tools must be a list, got None"),
    ("tools.1.name", "order", "tools[1].name: two tools are called 'order'; rename one"),
    ("tools.0.name", "../order", "tools[0].name must be at most 64 letters, digits, _ and -"),
    ("tools.0.parameters.properties.item.type", "text",
     "the tool 'order' has no valid JSON Schema: tools[0].parameters.properties.item.type: 'text' "
     "is no type"),
    ("tools.0.parameters.properties.item.minLength", "3", "minLength: must be a whole number"),
    ("tools.0.parameters.properties.item.pattern", 7, "pattern: must be a string"),
    ("tools.0.parameters.required", ["itm"], "required: 'itm' is not among the properties"),
    ("tools.0.parameters.type", "array", "tools[0].parameters.type must be 'object', got 'array'"),
    ("tools.0.returns", [], "tools[0].returns must be a JSON object, got []"),
    ("tools.0.returns.uniqueItems", "yes", "tools[0].returns.uniqueItems: 'yes' is not of type"),
    ("tools.0.returns.properties.price", {"$ref": "#/$defs/no"}, "'#/$defs/no' leads nowhere"),
    ("tools.0.returns.properties.price", {"$ref": "file:///etc/passwd"}, "leads out of the schema"),
    ("messages", [], "messages has none of the user"),
    ("messages.1.role", "usr", "messages[1].role must be user, system, assistant or tool"),
    ("messages.1.content", 5, "messages[1].content must be a text"),
    ("messages", [{"role": "user", "content": "Hi."}], "checklist has 2 turns, and messages has 1"),
    ("checklist.0.0.weight", 0.7, "user turn 0 of a checklist: the weights must add up to 1"),
    ("checklist.1.0.weight", "0.5", "user turn 1 of a checklist: weight of a criterion must be"),
    ("checklist.0.1.dependence", ["orderd"], "did you mean 'ordered'?"),
    ("checklist.0.0.id", "priced", "has the criterion 'priced' twice"),
    ("checklist.0.0.wieght", 1, "no field 'wieght'; did you mean 'weight'"),
    ("checklist.0.0.rule", {"called": "ordr"}, "no tool 'ordr'; did you mean 'order'?"),
    ("checklist.0.0.rule", {"called": "order", "with": {"itm": 1}},
     "checklist[0], the rule of 'ordered'.with: 'order' has no argument 'itm'; did you mean"),
    ("checklist.0.0.rule", {"caled": "order"}, "needs exactly one of called, says, never"),
    ("checklist.0.0.rule", {"says": 3, "with": {}}, "'with' is no key of a 'says' rule"),
    ("checklist.0.0.rule", {"all": []}, "rule of 'ordered'.all: must be a list of rules"),
    ("checklist.0.1.rule", {"says": {"result": "order", "at": "a[b"}}, "'a[b' is no path such as"),
    ("checklist.0.1.rule", {"says": {"result": "order"}}, "has the keys 'result', 'at'"),
    ("plan", [[]], "plan has 1 turns, and messages has 2 of the user"),
    ("plan.0", [{"call": "order", "arguments": {}}], "a plan ends with its only step 'say'"),
    ("plan.0.0.call", "odrer", "plan[0][0].call: there is no tool 'odrer'; did you mean 'order'?"),
    ("plan.0.0.arguments", {"item": {"result": "x", "at": "y"}}, "there is no tool 'x'"),
    ("seed", 1.5, "seed must be a whole number, got 1.5"),
    ("entities", {"order_id": []}, "entities.order_id must be a JSON object, got []"),
    ("entities", {"order_id": {"order 1": 3}}, "entities.order_id.order 1 must be a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "said"), WRONG)
def test_mistakes_are_named_by_line_and_field(
    tmp_path: Path, path: str, value: Any, said: str
) -> None:
    file = written(tmp_path, shop(), changed(path, value))
    with pytest.raises(ConfigError) as caught:
        read_dialogues(file)
    assert str(caught.value).startswith(f"{file}:2: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": ', "not JSON"),
        (b"[1]x", "not JSON"),
        (b"3", "must be a JSON object, got int"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{" * 200_000, "not JSON"),
    ],
)
def test_lines_that_are_no_dialogue(tmp_path: Path, line: bytes, said: str) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_bytes(json.dumps(shop()).encode() + b"\n\n" + line)
    with pytest.raises(ConfigError) as caught:
        read_dialogues(file)
    assert f"{file}:3: {said}" in str(caught.value)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    data = changed("entities", {"order_id": {"order 1": {"price": float("nan")}}})
    with pytest.raises(ConfigError, match=r":1: not JSON that can be kept"):
        read_dialogues(written(tmp_path, data))


def test_one_id_twice_and_empty_files(tmp_path: Path) -> None:
    file = written(tmp_path, shop(), shop())
    with pytest.raises(ConfigError, match=r":2: id: 'shop-1' is that of .*:1 already"):
        read_dialogues(file)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(ConfigError, match="holds no dialogues"):
        read_dialogues(empty)
    [dialogue] = read_dialogues(written(tmp_path, shop()))
    split = "valid_seen" if division([dialogue], "train") else "train"
    with pytest.raises(ConfigError, match=f"has no dialogue in split '{split}'"):
        SimTools(dialogues=written(tmp_path, shop()), split=split)


def test_criteria_without_a_rule_need_a_judge(tmp_path: Path) -> None:
    data = changed("checklist.1.1", {"id": "kind", "question": "Is it polite?", "weight": 0.5})
    with pytest.raises(
        ConfigError, match=r"checklist\[1\]: the criterion 'kind' has no rule; judge"
    ):
        playing(tmp_path, data)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    env = playing(tmp_path)
    assert env.reset(seed=0)[0] == "Order 3 tea. What does it cost?"
    again = playing(tmp_path, changed("messages.1.content", "Order, please: 3 tea."))
    assert again.reset(seed=0)[0] == "Order, please: 3 tea."


def test_the_fields_of_cm2s_files() -> None:
    """A record as CM2 has them: reference messages, evidence as snippets, tools without results."""
    criterion = {
        "id": "C0",
        "evidence": [{"turn": 0, "step": 0, "from": CALLS, "snippet": "weather(Oslo)"}],
        "focus_on": CALLS,
        "question": "Did the assistant ask for the weather in Oslo?",
        "pass_condition": "A call with city Oslo.",
        "failure_examples": ["Another city."],
        "required_for_next_turn": True,
        "dependence": [],
        "weight": 1.0,
    }
    one = tool("weather", {"city": {"type": "string"}}, {})
    del one["returns"]
    data = {
        "id": "r1",
        "tools": [{"type": "function", "function": one}],
        "messages": [
            {"role": "user", "content": "How is the weather in Oslo?"},
            {"role": "assistant", "content": "", "tool_calls": []},
            {"role": "tool", "content": "{}"},
            {"role": "assistant", "content": "Fine."},
        ],
    }
    for key, checklist in (("checklist", [[criterion]]), ("checklists", [[[criterion]]])):
        dialogue = dialogue_of(data | {key: checklist}, "here")
        [turn] = dialogue.turns
        [found] = turn.checklist
        assert (found.id, found.focus, found.evidence) == ("C0", CALLS, "weather(Oslo)")
        assert found.required_for_next_turn
        assert "A call with city Oslo." in found.text
        assert dialogue.tools[0].result_form.fault({"anything": [1]}) is None
        assert dialogue_of(dialogue.as_json(), "again") == dialogue
        as_text = data | {"tools": json.dumps(data["tools"]), "source": "elsewhere", key: checklist}
        del as_text["id"]
        other = dialogue_of(as_text, "file.jsonl:7")
        assert (other.id, other.tools, other.turns) == ("file.jsonl:7", dialogue.tools, (turn,))
