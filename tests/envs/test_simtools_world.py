"""Simtools without a model: results derived from schemas, and what is found again."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simtools_cases import TEXT, shop, shop_dialogue, tool

from agentgym.envs.simtools.dialogue import Dialogue, SimTool, dialogue_of
from agentgym.envs.simtools.rules import Entry
from agentgym.envs.simtools.schemas import Form, made_up, number
from agentgym.envs.simtools.services import DOMAINS, TINY
from agentgym.envs.simtools.world import World, answer
from agentgym.errors import ToolError
from agentgym.types import JSON

TOOLS = [tool for domain in (*DOMAINS.values(), TINY) for tool in domain.tools.values()]


class Session:
    """Calls of one dialogue, one after the other."""

    def __init__(self, dialogue: Dialogue, heard: str = "") -> None:
        self.dialogue, self.heard = dialogue, [heard]
        self.world, self.memory = World.of(dialogue, ()), list[Entry]()

    def __call__(self, name: str, **given: JSON) -> Any:
        found = answer(self.dialogue, self.world, self.heard, self.dialogue.by_name[name], given)
        self.memory.append(Entry(0, name, given, found))
        self.world.learn(self.memory[-1])
        return found


def rooms() -> Dialogue:
    data = shop()
    data["tools"] = [
        tool("find", {"place": TEXT}, {"rooms": {"type": "array", "items": {
            "type": "object", "properties": {"room_id": TEXT, "beds": {"type": "integer"}}}}}),
        tool("describe", {"room_id": TEXT}, {"place": TEXT, "beds": {"type": "integer"},
                                             "light": {"enum": ["on", "off"]}}),
        tool("set_light", {"room_id": TEXT, "light": {"enum": ["on", "off"]}},
             {"done": {"const": True}}),
        tool("reserve", {"room_id": TEXT}, {"reservation_id": TEXT, "beds": {"type": "integer"}}),
    ]  # fmt: skip
    data["checklist"] = [[{"id": "a", "question": "?", "weight": 1.0}]] * 2
    del data["plan"]
    data["entities"] = {"room_id": {"room 500": {"place": "attic", "beds": 77}}}
    return dialogue_of(data, "here")


def test_what_a_list_names_is_found_again() -> None:
    ask = Session(rooms())
    for room in ask("find", place="cellar")["rooms"]:
        about = ask("describe", room_id=room["room_id"])
        assert (about["beds"], about["place"]) == (room["beds"], "cellar")
        assert ask("reserve", room_id=room["room_id"])["beds"] == room["beds"]
    assert ask("find", place="cellar") == ask.memory[0].result
    assert ask("find", place="roof") != ask.memory[0].result


def test_what_was_changed_stays_changed() -> None:
    ask = Session(rooms())
    room = ask("find", place="cellar")["rooms"][0]["room_id"]
    for light in ("on", "off", "on", "on", "off"):
        ask("set_light", room_id=room, light=light)
        assert ask("describe", room_id=room)["light"] == light
    other = Session(rooms())
    before = other("find", place="cellar")["rooms"][0]["room_id"]
    assert before == room
    assert other("describe", room_id=room)["light"] in ("on", "off")


def test_what_was_created_is_found_again() -> None:
    ask = Session(shop_dialogue())
    made = ask("order", item="tea", count=3)
    assert ask("look_up", order_id=made["order_id"])["item"] == "tea"
    listed = ask("list_orders", item="tea")["orders"]
    assert made["order_id"] in [each["order_id"] for each in listed]
    others = ask("list_orders", item="salt")["orders"]
    assert made["order_id"] not in [each["order_id"] for each in others]
    ask("cancel", order_id=made["order_id"])
    assert ask("look_up", order_id=made["order_id"])["status"] == "cancelled"
    [status] = [
        each["status"]
        for each in ask("list_orders", item="tea")["orders"]
        if each["order_id"] == made["order_id"]
    ]
    assert status == "cancelled"


def test_different_orders_have_different_ids() -> None:
    ask = Session(shop_dialogue())
    ids = [ask("order", item="tea", count=count)["order_id"] for count in range(40)]
    assert len(set(ids)) == 40
    assert [ask("order", item="tea", count=count)["order_id"] for count in range(40)] == ids


def test_ids_that_nobody_named_are_refused() -> None:
    ask = Session(shop_dialogue(), heard="What about order 4711?")
    with pytest.raises(ToolError, match="there is no order_id 'order 47'"):
        ask("look_up", order_id="order 47")
    assert set(ask("look_up", order_id="order 4711")) == {"item", "status"}
    room = Session(rooms())
    assert room("describe", room_id="ROOM 500") | {"light": ""} == {
        "place": "attic",
        "beds": 77,
        "light": "",
    }


def test_seeds_differ() -> None:
    data = shop()
    dialogues = [dialogue_of(data | {"seed": seed}, "x") for seed in range(20)]
    found = {str(Session(each)("order", item="tea", count=3)) for each in dialogues}
    assert len(found) > 10


def test_the_memory_alone_makes_the_world() -> None:
    ask = Session(shop_dialogue())
    made = ask("order", item="tea", count=3)
    ask("list_orders", item="tea")
    ask("cancel", order_id=made["order_id"])
    assert World.of(ask.dialogue, ask.memory) == ask.world


OF_SHOP = st.tuples(
    st.sampled_from(["order", "look_up", "cancel", "list_orders"]),
    st.sampled_from(["tea", "Salt", "語\u202e"]),
    st.integers(0, 3),
)


@given(st.lists(OF_SHOP, max_size=8))
@settings(max_examples=60)
def test_the_same_call_in_the_same_state_has_the_same_result(
    made: list[tuple[str, str, int]],
) -> None:
    ask, ids = Session(shop_dialogue()), ["order 1"]
    for name, item, count in made:
        given: dict[str, JSON] = {"order_id": ids[count % len(ids)]}
        if name in ("order", "list_orders"):
            given = {"item": item, "count": count} if name == "order" else {"item": item}
        try:
            first = ask(name, **given)
        except ToolError:
            continue
        assert ask.dialogue.by_name[name].result_form.fault(first) is None
        assert ask(name, **given) == first
        ids += [first["order_id"]] if name == "order" else []


# Made-up values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("one", TOOLS, ids=lambda one: one.name)
def test_results_and_arguments_of_our_tools_can_be_made_up(one: SimTool) -> None:
    for key in map(str, range(30)):
        assert one.result_form.fault(made_up(one.returns, "value", key)) is None
        assert one.arguments_form.fault(made_up(one.parameters, "value", key)) is None


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"const": [1, "a"]},
            {"type": "string", "format": "date"}, {"enum": ["a", 2, None]}, {"type": "integer"},
            {"type": ["null", "number"]}, {"anyOf": [{"type": "null"}, {"type": "integer"}]},
            {"type": "number", "minimum": 0.5, "exclusiveMaximum": 3},
            {"type": "integer", "exclusiveMinimum": 4, "maximum": 5},
            {"type": "integer", "multipleOf": 7, "minimum": 8}, {"type": "integer", "maximum": -3},
            {"type": "string", "minLength": 30}, {"type": "string", "maxLength": 2},
        ]
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner, "minItems": st.integers(0, 4)}
    )
    | st.dictionaries(st.sampled_from(["a", "b_id", "c d"]), inner).map(
        lambda properties: {
            "type": "object", "properties": properties, "required": sorted(properties)
        }
    ),
    max_leaves=8,
)  # fmt: skip


@given(SCHEMAS, st.text(max_size=5))
@settings(max_examples=150)
def test_made_up_values_fit_and_depend_on_the_key_alone(schema: dict[str, Any], key: str) -> None:
    value = made_up(schema, "thing", key)
    assert Form(schema).fault(value) is None
    assert made_up(schema, "thing", key) == value


def test_numbers_from_keys_are_spread() -> None:
    counts = [0] * 10
    for k in range(2000):
        counts[number(10, str(k))] += 1
    assert max(counts) < 260
    assert min(counts) > 140


def test_references_within_a_schema() -> None:
    schema: dict[str, JSON] = {"$defs": {"n": {"type": "integer"}}, "type": "object",
              "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"]}  # fmt: skip
    assert Form(schema).fault(made_up(schema, "x", "k")) is None
    loop: dict[str, JSON] = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    assert Form(loop).fault(made_up(loop, "x", "k")) is not None  # ends all the same


def test_objects_are_closed() -> None:
    inner: JSON = {"type": "object", "properties": {"a": {"type": "integer"}}}
    schema: dict[str, JSON] = {"type": "object", "properties": {"inner": inner}}
    assert Form(schema).fault({"inner": {"a": 1}}) is None
    assert "'b' was unexpected" in str(Form(schema).fault({"inner": {"b": 1}}))
    assert Form(schema).fault({"iner": {}}) == "'iner' is not known; did you mean 'inner'?"
    assert Form(schema | {"additionalProperties": True}).fault({"other": 1}) is None


def test_faults_are_short() -> None:
    form = Form({"type": "object", "properties": {"a": {"type": "integer"}}})
    assert len(str(form.fault({"a": "x" * 10**6}))) < 300
    assert len(str(form.fault({f"k{i}" * 1000: 1 for i in range(50)}))) < 3000
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert form.fault({"a": 1, "b": 2}) is not None
    assert Form({"type": "array", "items": {"$ref": "#"}}).fault(deep) == "it is nested too deeply"


def test_nothing_is_fetched(tmp_path: Path) -> None:
    data = shop()
    data["tools"][0]["parameters"]["properties"]["item"] = {"$ref": "http://127.0.0.1:1/x.json"}
    with pytest.raises(ValueError, match="leads out of the schema"):
        dialogue_of(data, "here")
