"""Dialogues in files: one JSON object per line."""

import json
from collections.abc import Iterable
from pathlib import Path

from agentgym.envs.simtools.dialogue import Dialogue, dialogue_of
from agentgym.errors import ConfigError
from agentgym.toolcalls.strict import Malformed, read_json


def read_dialogues(path: str | Path) -> tuple[Dialogue, ...]:
    """Read all dialogues of a file; empty lines do not count.

    Raises:
        ConfigError: the file cannot be read, holds none, or a line is wrong; says which, and the
            field.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    found: dict[str, int] = {}
    dialogues = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value, end = read_json(line.strip())
        except Malformed as error:
            raise ConfigError(f"{where}: {error.problem.message}") from None
        if end != len(line.strip()):
            raise ConfigError(f"{where}: there is more behind the JSON object")
        dialogue = dialogue_of(value, where)
        if dialogue.id in found:
            raise ConfigError(
                f"{where}: id: {dialogue.id!r} is that of line {found[dialogue.id]} already"
            )
        found[dialogue.id] = number
        dialogues.append(dialogue)
    if not dialogues:
        raise ConfigError(f"{path} holds no dialogues; one JSON object per line is expected")
    return tuple(dialogues)


def write_dialogues(path: str | Path, dialogues: Iterable[Dialogue]) -> int:
    """Write dialogues so that `read_dialogues` reads the same, and return how many there were."""
    lines = [json.dumps(dialogue.as_json()) for dialogue in dialogues]
    Path(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return len(lines)


def division(dialogues: Iterable[Dialogue], split: str) -> tuple[Dialogue, ...]:
    """Return the part of a file that a split has, 8 : 1 : 1 by digest; "all" is the whole.

    The order depends on the contents alone.
    """
    places = {"train": range(8), "valid_seen": range(8, 9), "valid_unseen": range(9, 10)}
    ordered = sorted(dialogues, key=lambda each: each.digest)
    return tuple(
        each for each in ordered if split == "all" or int(each.digest[:8], 16) % 10 in places[split]
    )
