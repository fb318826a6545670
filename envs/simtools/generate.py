"""Dialogues of our own, drawn from a seed: every criterion can be checked by a rule."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentgym.envs.simtools.dialogue import CALLS, REPLY, Dialogue, UserTurn
from agentgym.envs.simtools.domains import NAMES, TINY_NAMES, Request
from agentgym.envs.simtools.rules import Entry, planned, taken
from agentgym.envs.simtools.services import DOMAINS, TINY
from agentgym.envs.simtools.world import World, answer
from agentgym.rewards.checklist import Criterion
from agentgym.types import JSON

SPLITS: Final = ("train", "valid_seen", "valid_unseen")


@dataclass(frozen=True, slots=True)
class Size:
    """How large dialogues are.

    Attributes:
        turns: of the user, least and most. distractors: tools of another service besides.
        max_turns: of the agent.
    """

    turns: tuple[int, int]
    distractors: int
    max_turns: int


SIZES: Final[Mapping[str, Size]] = {
    "tiny": Size((1, 2), 0, 6),
    "small": Size((1, 2), 0, 12),
    "full": Size((2, 4), 4, 30),
}

_SHARES: Final = ("train",) * 7 + ("valid_seen",) + ("valid_unseen",) * 2


def draw_dialogue(seed: int, *, size: str, split: str) -> Dialogue:
    """Return the dialogue that a seed stands for; equal arguments give equal dialogues.

    No two splits share a dialogue. `valid_unseen` has other wordings and other names besides,
    except in size "tiny", where all splits share the few names.

    Args:
        seed: any whole number. size: one of `SIZES`. split: one of `SPLITS`.
    """
    rng = random.Random(f"simtools/{seed}/{size}/{split}")
    while True:
        found = _draw(rng, size, split)
        if found is not None:
            return found


def sample(
    count: int, *, size: str = "full", split: str = "train", seed: int = 0
) -> list[Dialogue]:
    """Return so many different dialogues, in an order that does not depend on how many."""
    made: dict[str, Dialogue] = {}
    while len(made) < count:
        drawn = draw_dialogue(seed, size=size, split=split)
        made.setdefault(drawn.digest, drawn)
        seed += 1
    return list(made.values())


def _draw(rng: random.Random, size: str, split: str) -> Dialogue | None:
    """Draw one dialogue; None if it will not do."""
    unseen = split == "valid_unseen"
    shape = SIZES[size]
    names = TINY_NAMES if size == "tiny" else NAMES
    kind = "tiny" if size == "tiny" else rng.choice(sorted(DOMAINS))
    domain = TINY if size == "tiny" else DOMAINS[kind]
    count = rng.randint(*shape.turns)
    slots: dict[str, JSON] = {}
    made: list[str] = []
    asked: list[tuple[Request, dict[str, JSON], str]] = []
    for _ in range(count):
        able = [
            name
            for name, each in domain.requests.items()
            # What builds on an earlier request follows it at once, so that "it" is clear.
            if (not each.after or (made and made[-1] in each.after))
            and (size == "tiny" or name not in made)
        ]
        if not able:
            return None
        follow = [name for name in able if domain.requests[name].after]
        made.append(rng.choice(follow if follow and rng.random() < 0.7 else able))
        request = domain.requests[made[-1]]
        for slot in request.draw:
            values = names[slot]
            if size != "tiny":
                held_back = len(values) // 3
                values = values[-held_back:] if unseen else values[:-held_back]
            slots[slot] = rng.choice([v for v in values if v != slots.get(slot)])
        wordings = request.asked
        if size != "tiny":
            wordings = wordings[-1:] if unseen else wordings[:-1]
        asked.append((request, dict(slots), rng.choice(wordings).format(**slots)))
    if _split_of(tuple(text for _, _, text in asked)) != split and (size == "tiny" or not unseen):
        return None
    tools = list(domain.tools.values())
    if shape.distractors:
        other = rng.choice([each for each in sorted(DOMAINS) if each != kind])
        tools += rng.sample(list(DOMAINS[other].tools.values()), shape.distractors)
        rng.shuffle(tools)
    turns = tuple(
        _turn(request, filled, text, last=k == len(asked) - 1)
        for k, (request, filled, text) in enumerate(asked)
    )
    seed = rng.randrange(2**32)
    dialogue = Dialogue(f"{kind}-{seed:08x}", tuple(tools), turns, seed)
    return dialogue if size == "tiny" or _unambiguous(dialogue) else None


def _split_of(texts: tuple[str, ...]) -> str:
    """Return the split that a dialogue with these texts belongs to."""
    digest = hashlib.blake2b("|".join(texts).encode(), digest_size=4).digest()
    return _SHARES[int.from_bytes(digest) % len(_SHARES)]


def _turn(request: Request, slots: Mapping[str, JSON], text: str, *, last: bool) -> UserTurn:
    """Return a user turn with its plan and its checklist."""
    plan: list[dict[str, Any]] = [_filled(step, slots) for step in request.plan]
    calls = [step for step in plan if "call" in step]
    for k, part in enumerate(plan[-1]["say"]):
        if isinstance(part, Mapping):  # a value counts if this very call returned it
            [step] = [step for step in calls if step["call"] == part["result"]][-1:]
            plan[-1]["say"][k] = {**part, "of": step["arguments"]}
    criteria: list[Criterion] = []
    wanted = [part for part in plan[-1]["say"] if isinstance(part, Mapping)]
    share = round(1 / (len(calls) + len(wanted)), 4)
    before: tuple[str, ...] = ()
    for k, step in enumerate(calls):
        rule: dict[str, Any] = {"called": step["call"], "with": step["arguments"]}
        if request.never:
            rule["not_after"] = list(request.never)
        said = ", ".join(f"{key} = {_said(each)}" for key, each in step["arguments"].items())
        question = f"Did the assistant call {step['call']} with {said or 'no arguments'}?"
        criteria.append(
            Criterion(f"call {k + 1}", question, share, before, not last, CALLS, "", rule)
        )
        before = (f"call {k + 1}",)
    for k, value in enumerate(wanted):
        rule = {"says": value}
        question = f"Does the reply name {_said(value)}, and no other value in its place?"
        if request.never:
            rule = {"all": [rule, *({"never": name} for name in request.never)]}
            question += f" No, if {' or '.join(request.never)} was called in this turn."
        criteria.append(
            Criterion(f"reply {k + 1}", question, share, before, False, REPLY, "", rule)
        )
    return UserTurn(text, tuple(criteria), tuple(plan))


def _filled(value: Any, slots: Mapping[str, JSON]) -> Any:
    """Return a copy of part of a plan with its slots filled; a slot alone keeps its type."""
    if isinstance(value, str):
        name = value.removeprefix("{").removesuffix("}")
        return slots[name] if value == f"{{{name}}}" and name in slots else value.format(**slots)
    if isinstance(value, Mapping):
        return {key: _filled(each, slots) for key, each in value.items()}
    return [_filled(each, slots) for each in value] if isinstance(value, list) else value


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"the {value['at'].rpartition('.')[2]} that {value['result']} returned"
    return repr(value)


def _unambiguous(dialogue: Dialogue) -> bool:
    """Whether every least or greatest value that a plan takes is the only one."""
    world, memory, heard = World.of(dialogue, ()), list[Entry](), list[str]()
    for k, turn in enumerate(dialogue.turns):
        heard.append(turn.text)
        for step in turn.plan or ():
            if any(_tied(part, memory) for part in _parts(step)):
                return False
            known = planned(step, memory)
            assert known is not None
            name, arguments = known
            if isinstance(arguments, dict):
                tool = dialogue.by_name[name]
                brought = answer(dialogue, world, heard, tool, arguments)
                memory.append(Entry(k, name, arguments, brought))
                world.learn(memory[-1])
    return True


def _parts(step: Mapping[str, Any]) -> Sequence[Any]:
    return step["say"] if "say" in step else [*step["arguments"].values()]


def _tied(part: Any, memory: Sequence[Entry]) -> bool:
    if not isinstance(part, Mapping) or "[m" not in part.get("at", ""):
        return False
    listed, _, rest = part["at"].partition("[")
    by = rest.partition("]")[0].partition(" ")[2]
    values = [each[by] for each in taken({**part, "at": listed}, memory)]
    best = min(values) if rest.startswith("min") else max(values)
    return values.count(best) > 1
