"""A dialogue: tools that exist as schemas only, and what a user says turn by turn, with checklists.

As data it is one JSON object in the shape of CM2's records (arXiv 2602.12268), with a few keys
more that make it playable without a language model; docs/simtools.md lists them.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from agentgym.envs.simtools.rule_checks import plan_problem, rule_problem
from agentgym.envs.simtools.schemas import Form, dumps, fault_in_schema, form_of, parameters_of
from agentgym.errors import ConfigError, ToolError, nearest
from agentgym.rewards.checklist import Checklist, Criterion, criteria_of_json
from agentgym.tools.base import Tool
from agentgym.types import JSON

ANY_RESULT: Final[Mapping[str, JSON]] = {"type": "object"}
"""The result schema of a tool that has none."""

CALLS, REPLY = "assistant.tool_calls", "assistant.content.user_visible_reply"
"""What the criteria of our own dialogues focus on, in CM2's words."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KEYS: Final = (
    "id", "tools", "messages", "checklist", "checklists", "seed", "entities", "plan",
)  # fmt: skip


@dataclass(frozen=True)
class SimTool:
    """A tool that nobody wrote: what goes in and what comes out, as JSON Schemas."""

    name: str
    description: str
    parameters: Mapping[str, JSON]
    returns: Mapping[str, JSON] = field(default_factory=lambda: ANY_RESULT)

    @cached_property
    def arguments_form(self) -> Form:
        """What checks arguments."""
        return form_of(dumps(dict(self.parameters)))

    @cached_property
    def result_form(self) -> Form:
        """What checks results."""
        return form_of(dumps(dict(self.returns)))

    @cached_property
    def tool(self) -> Tool:
        """What reads its calls; running it does nothing, that is the simulator's."""
        return Tool(self.name, self.description, self.parameters, self._read, _nothing)

    @cached_property
    def options(self) -> Mapping[str, tuple[JSON, ...]]:
        """The values that its result may have where the schema lists them, by property."""
        found: dict[str, tuple[JSON, ...]] = {}
        _listed(self.returns, found)
        return found

    def _read(self, arguments: Mapping[str, JSON]) -> Mapping[str, JSON]:
        fault = self.arguments_form.fault(dict(arguments))
        if fault:
            raise ToolError(f"wrong arguments: {fault}")
        return arguments

    def as_json(self) -> dict[str, JSON]:
        """Return the tool as it stands in a file."""
        function: dict[str, JSON] = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
            "returns": dict(self.returns),
        }
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class UserTurn:
    """What the user says, what is asked of the answer, and where it is known a way to get there.

    `plan` is a list of {"call": tool, "arguments": {...}} and, last, {"say": [...]}; see `rules`.
    """

    text: str
    checklist: tuple[Criterion, ...]
    plan: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True)
class Dialogue:
    """A whole dialogue.

    Attributes:
        id: its name. tools: those on offer. turns: of the user.
        seed: what a simulator without a model derives results from.
        entities: what exists before the first call: kind ("order_id") -> id -> fields.
        instructions: what a system message says.
    """

    id: str
    tools: tuple[SimTool, ...]
    turns: tuple[UserTurn, ...]
    seed: int = 0
    entities: Mapping[str, Mapping[str, Mapping[str, JSON]]] = field(default_factory=dict)
    instructions: str = ""

    @cached_property
    def by_name(self) -> Mapping[str, SimTool]:
        """The tools by name."""
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def options(self) -> Mapping[str, tuple[JSON, ...]]:
        """The values that results may have where a schema lists them, by property."""
        found: dict[str, tuple[JSON, ...]] = {}
        for tool in self.tools:
            for name, values in tool.options.items():
                found[name] = found.get(name, ()) + values
        return found

    @cached_property
    def digest(self) -> str:
        """The identity of its content, whatever it is called."""
        text = dumps({key: each for key, each in self.as_json().items() if key != "id"})
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the dialogue as it stands in a file; `dialogue_of` reads it back."""
        messages = [{"role": "user", "content": turn.text} for turn in self.turns]
        if self.instructions:
            messages.insert(0, {"role": "system", "content": self.instructions})
        made: dict[str, Any] = {
            "id": self.id,
            "tools": [tool.as_json() for tool in self.tools],
            "messages": messages,
            "checklist": [[_criterion_json(c) for c in turn.checklist] for turn in self.turns],
            "seed": self.seed,
        }
        if self.entities:
            made["entities"] = {
                kind: {name: dict(fields) for name, fields in each.items()}
                for kind, each in self.entities.items()
            }
        if all(turn.plan is not None for turn in self.turns):
            made["plan"] = [[dict(step) for step in turn.plan or ()] for turn in self.turns]
        return made


def dialogue_of(found: object, where: str) -> Dialogue:
    """Return the dialogue that a JSON object stands for.

    Args:
        found: the object. where: what to call it in messages ("dialogues.jsonl, line 3").

    Raises:
        ConfigError: something is missing or wrong; says which field.
    """
    data = _object(found, where, "the dialogue")
    for key in data.keys() - set(_KEYS):  # records of others have more; a slip is none of these
        if difflib.get_close_matches(key, _KEYS, cutoff=0.8):
            raise ConfigError(f"{where}: {key!r} is no key of a dialogue; {nearest(key, _KEYS)}")
    tools = _tools(_listed_tools(data.get("tools"), where), where)
    names = {tool.name: tool.parameters for tool in tools}
    instructions, texts = _messages(_list(data.get("messages"), where, "messages"), where)
    variants = data.get("checklists")
    lists = data.get("checklist", variants[0] if isinstance(variants, list) and variants else None)
    checklists = _checklist(_list(lists, where, "checklist"), where, names)
    plans = _list(data["plan"], where, "plan") if data.get("plan") is not None else None
    for field_name, given in (("checklist", checklists), ("plan", plans)):
        if given is not None and len(given) != len(texts):
            raise ConfigError(
                f"{where}: {field_name} has {len(given)} turns, and messages has {len(texts)} of "
                "the user; there is one for each"
            )
    turns = []
    for k, text in enumerate(texts):
        plan = None
        if plans is not None:
            plan = tuple(
                _object(step, where, f"plan[{k}][{i}]")
                for i, step in enumerate(_list(plans[k], where, f"plan[{k}]"))
            )
            problem = plan_problem(plan, names, f"plan[{k}]")
            if problem:
                raise ConfigError(f"{where}: {problem}")
        turns.append(UserTurn(text, checklists[k], plan))
    seed = data.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise _wrong(where, "seed", "a whole number", seed)
    entities = _object(data.get("entities", {}), where, "entities")
    for kind, each in entities.items():
        for name, fields in _object(each, where, f"entities.{kind}").items():
            _object(fields, where, f"entities.{kind}.{name}")
    name = _text(data.get("id", where), where, "id")
    dialogue = Dialogue(name, tools, tuple(turns), seed, entities, instructions)
    try:
        _ = dialogue.digest
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON that can be kept: {error}") from None
    return dialogue


def _nothing(**arguments: JSON) -> str:
    return ""


def _listed(schema: object, found: dict[str, tuple[JSON, ...]], name: str = "") -> None:
    if isinstance(schema, Mapping):
        if name and isinstance(schema.get("enum"), list):
            found[name] = found.get(name, ()) + tuple(schema["enum"])
        for key, inner in parameters_of(schema).items():
            _listed(inner, found, key)
        _listed(schema.get("items"), found, name)


def _listed_tools(found: object, where: str) -> Sequence[Any]:
    """Return the list of tools, which some write as JSON in a text."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: tools is a text that is not JSON: {error}") from None
    return _list(found, where, "tools")


def _tools(found: Sequence[object], where: str) -> tuple[SimTool, ...]:
    made: dict[str, SimTool] = {}
    for k, each in enumerate(found):
        place = f"tools[{k}]"
        data = _object(each, where, place)
        outer = data
        if isinstance(data.get("function"), Mapping):
            data, place = data["function"], f"{place}.function"
        name = _text(data.get("name"), where, f"{place}.name")
        if not _NAME.fullmatch(name):
            raise _wrong(where, f"{place}.name", "at most 64 letters, digits, _ and -", name)
        if name in made:
            raise ConfigError(f"{where}: {place}.name: two tools are called {name!r}; rename one")
        parameters = data.get("parameters", {"type": "object", "properties": {}})
        returns = data.get("returns", outer.get("returns", ANY_RESULT))
        for key, schema in (("parameters", parameters), ("returns", returns)):
            problem = fault_in_schema(_object(schema, where, f"{place}.{key}"), f"{place}.{key}")
            if problem:
                raise ConfigError(f"{where}: the tool {name!r} has no valid JSON Schema: {problem}")
        if parameters.get("type") != "object":
            raise _wrong(where, f"{place}.parameters.type", "'object'", parameters.get("type"))
        description = data.get("description") or ""
        if not isinstance(description, str):
            raise _wrong(where, f"{place}.description", "a text", description)
        made[name] = SimTool(name, description, parameters, returns)
    return tuple(made.values())


def _messages(found: Sequence[object], where: str) -> tuple[str, tuple[str, ...]]:
    """Return what a system message says, and the user's texts; others are a reference, unused."""
    instructions, texts = "", []
    for k, each in enumerate(found):
        message = _object(each, where, f"messages[{k}]")
        role = message.get("role")
        if role in ("user", "system"):
            content = _text(message.get("content"), where, f"messages[{k}].content")
            if role == "user":
                texts.append(content)
            else:
                instructions = content
        elif role not in ("assistant", "tool", "observation"):
            raise _wrong(where, f"messages[{k}].role", "user, system, assistant or tool", role)
    if not texts:
        raise ConfigError(f"{where}: messages has none of the user")
    return instructions, tuple(texts)


def _checklist(
    found: Sequence[object], where: str, tools: Mapping[str, Mapping[str, JSON]]
) -> Checklist:
    try:
        checklist = criteria_of_json(found)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    for k, criteria in enumerate(checklist):
        for each in criteria:
            place = f"checklist[{k}], the rule of {each.id!r}"
            problem = None if each.rule is None else rule_problem(each.rule, tools, place)
            if problem:
                raise ConfigError(f"{where}: {problem}")
    return checklist


def _criterion_json(criterion: Criterion) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": criterion.id,
        "question": criterion.text,
        "weight": criterion.weight,
        "dependence": list(criterion.depends_on),
        "required_for_next_turn": criterion.required_for_next_turn,
        "focus_on": criterion.focus,
        "evidence": criterion.evidence,
        "rule": dict(criterion.rule) if criterion.rule is not None else None,
    }
    return {key: value for key, value in made.items() if value is not None}


def _wrong(where: str, place: str, wanted: str, got: object) -> ConfigError:
    return ConfigError(f"{where}: {place} must be {wanted}, got {got!r:.80}")


def _object(found: object, where: str, place: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise _wrong(where, place, "a JSON object", found)
    return found


def _list(found: object, where: str, place: str) -> Sequence[Any]:
    if not isinstance(found, list):
        raise _wrong(where, place, "a list", found)
    return found


def _text(found: object, where: str, place: str) -> str:
    if not isinstance(found, str) or not found.strip():
        raise _wrong(where, place, "a text that is not empty", found)
    return found
