"""The simulator without a model: results derived from schemas, arguments and a seed by hashing.

It knows nothing of what tools mean. It keeps these promises:

- the same call in the same state has the same result;
- a property of the result that has one possible value has it; one that is called like an argument
  repeats the argument; everything else that is asked about something with an id is found again;
- an id is a property or an argument whose name ends in `_id`. What a call returns under an id, and
  the arguments that led to it, are the fields of an entity; a later call with that id changes the
  fields that it has arguments for. A call with an id that nobody ever named is refused;
- a list whose items have ids also holds what was created with the same arguments.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agentgym.envs.simtools.dialogue import Dialogue, SimTool
from agentgym.envs.simtools.rules import Entry, plain, same
from agentgym.envs.simtools.schemas import dumps, form_of, made_up, number, parameters_of
from agentgym.errors import ToolError
from agentgym.types import JSON

Fields = dict[str, Any]

_LISTED: Final = {"enum", "const", "examples", "format"}


@dataclass
class World:
    """What is known of entities: kind -> id -> fields. Follows from the calls alone.

    Attributes:
        entities: the fields. origins: which call gave an id out first, by kind and id.
    """

    entities: dict[str, dict[str, Fields]] = field(default_factory=dict)
    origins: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, dialogue: Dialogue, memory: Sequence[Entry]) -> "World":
        """Return the world after these calls."""
        world = cls(
            {
                kind: {name: dict(fields) for name, fields in each.items()}
                for kind, each in dialogue.entities.items()
            }
        )
        for entry in memory:
            world.learn(entry)
        return world

    def learn(self, entry: Entry) -> None:
        """Take in what a call changed, and what it returned."""
        given = dict(entry.arguments)
        result = entry.result if isinstance(entry.result, dict) else {}
        ids = _ids(given)
        origin = _call(entry.tool, given)
        new = {
            key: name
            for key, name in _ids(result).items()
            if key not in ids and self.gives_out(key, str(name), origin)
        }
        fields: Fields = {
            key: each for key, each in result.items() if not isinstance(each, dict | list)
        }
        fields |= {key: each for key, each in given.items() if new or key not in ids}
        for key, name in (new or ids).items():
            self._set(key, str(name), fields, origin if new else "")
        for items in result.values():
            for item in items if isinstance(items, list) else ():
                found: Any = item
                for key, name in _ids(found).items():
                    self._set(key, str(name), {**given, **found}, origin)

    def find(self, kind: str, name: str) -> Fields | None:
        """Return the fields of an entity, or None."""
        wanted = plain(name)
        known = self.entities.get(kind, {})
        return next((fields for each, fields in known.items() if plain(each) == wanted), None)

    def gives_out(self, kind: str, name: str, origin: str) -> bool:
        """Whether an id is free for a call to give out, or was given out by the same call."""
        return self.origins.get((kind, plain(name)), origin) == origin and (
            (kind, plain(name)) in self.origins or self.find(kind, name) is None
        )

    def _set(self, kind: str, name: str, fields: Fields, origin: str) -> None:
        found = self.find(kind, name)
        if found is None:
            found = self.entities.setdefault(kind, {}).setdefault(name, {})
            self.origins[kind, plain(name)] = origin
        found.update({key: each for key, each in fields.items() if key != kind})


def answer(
    dialogue: Dialogue, world: World, heard: Sequence[str], tool: SimTool, given: Mapping[str, JSON]
) -> JSON:
    """Return what a call brings; the world stays as it is, see `World.learn`.

    Args:
        dialogue: whose tool it is. world: the present state. heard: what the user said so far.
        tool: what is called. given: arguments that fit.

    Raises:
        ToolError: an id among the arguments that nothing has.
    """
    ids = _ids(given)
    found: Fields = {}
    said = plain(" ".join(heard))
    for kind, each in ids.items():
        name = str(each)
        fields = world.find(kind, name)
        if fields is None and not re.search(rf"(?<!\w){re.escape(plain(name))}(?!\w)", said):
            raise ToolError(f"there is no {kind} {name!r:.80}")
        found |= fields or {}
    origin = _call(tool.name, given)
    key, known = f"{dialogue.seed}/{origin}", {**found, **given}
    properties = parameters_of(tool.returns)
    new = {
        name: _new_id(world, inner, name, f"{key}/{name}", origin, ())
        for name, inner in properties.items()
        if name.endswith("_id") and name not in known
    }
    for kind, each in new.items():
        known |= world.find(kind, str(each)) or {}
    known |= {**given, **new}
    # What is said of a thing does not depend on who asks: two tools agree on it.
    about = f"{dialogue.seed}/{dumps(dict(new or ids))}" if new or ids else key
    made: dict[str, JSON] = {
        name: _list(world, dialogue.seed, inner, name, given, origin)
        if inner.get("type") == "array"
        else _value(inner, name, known, f"{about}/{name}", tool.returns)
        for name, inner in properties.items()
    }
    return made if properties else {"done": True, **found}


def _value(inner: Mapping[str, Any], name: str, known: Fields, key: str, root: object) -> JSON:
    """Return a property: what is known if it fits, else something made up."""
    text = dumps(dict(inner))
    if name in known and '"$ref"' not in text and form_of(text).fault(known[name]) is None:
        return known[name]  # type: ignore[no-any-return]
    return made_up(inner, name, key, root)


def _list(
    world: World,
    seed: int,
    schema: Mapping[str, Any],
    name: str,
    given: Mapping[str, JSON],
    origin: str,
) -> JSON:
    """Return the items of a list: some that are made up, and the entities that belong there."""
    key = f"{seed}/{origin}/{name}"
    items: Any = made_up(schema, name, key)
    properties = parameters_of(schema.get("items", {}))
    kind = next((each for each in properties if each.endswith("_id")), None)
    if kind is None:
        return items  # type: ignore[no-any-return]
    names: list[str] = []
    for k in range(len(items)):
        names.append(str(_new_id(world, properties[kind], kind, f"{key}/{k}", origin, names)))
    for each, fields in world.entities.get(kind, {}).items():
        fits = all(same(fields[k], v) for k, v in given.items() if k in fields)
        if fits and each not in names:
            names.append(each)
    made = []
    for each in names[: schema.get("maxItems")]:
        known = {**given, **(world.find(kind, each) or {}), kind: each}
        about = f"{seed}/{dumps({kind: each})}"
        made.append({p: _value(i, p, known, f"{about}/{p}", schema) for p, i in properties.items()})
    return made  # type: ignore[return-value]


def _new_id(
    world: World,
    schema: Mapping[str, Any],
    kind: str,
    key: str,
    origin: str,
    taken: Sequence[str],
) -> JSON:
    """Return an id that no other call has given out, and that is not taken."""
    name: JSON = ""
    free = schema.get("type", "string") == "string" and not _LISTED & schema.keys()
    for k in range(1000):
        name = made_up(schema, kind, f"{key}/{k}")
        if free:  # more numbers when the small ones are used up
            most = 9 * 10 ** (k // 9)
            name = f"{kind.removesuffix('_id').replace('_', ' ')} {1 + number(most, f'{key}/{k}')}"
        if str(name) not in taken and world.gives_out(kind, str(name), origin):
            break
    return name


def _call(tool: str, given: Mapping[str, JSON]) -> str:
    """Return the identity of a call; case and white space in texts do not count."""
    values = {key: plain(each) if isinstance(each, str) else each for key, each in given.items()}
    return f"{tool}/{dumps(values)}"


def _ids(value: object) -> dict[str, JSON]:
    if not isinstance(value, Mapping):
        return {}
    return {key: str(each) for key, each in value.items() if _is_id(key, each)}


def _is_id(key: str, value: object) -> bool:
    return key.endswith("_id") and isinstance(value, str | int) and not isinstance(value, bool)
