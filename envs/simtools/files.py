"""Dialogues in files: one JSON object per line."""

import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path

from agentgym.envs.simtools.dialogue import Dialogue, dialogue_of
from agentgym.envs.simtools.schemas import made_up
from agentgym.errors import ConfigError
from agentgym.jsonl import records


def dialogues_of(path: str, split: str, *, by_schema: bool, by_rules: bool) -> tuple[Dialogue, ...]:
    """Return the dialogues of a split of a file; read again only when the file changed.

    Args:
        path: of the file. split: see `division`.
        by_schema: whether tools are played without a model. by_rules: whether nothing else judges.

    Raises:
        ConfigError: as `read_dialogues`; or the split is empty; or a dialogue cannot be played so.
    """
    try:
        stat = os.stat(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    return _dialogues_of(path, (stat.st_mtime_ns, stat.st_size), split, by_schema, by_rules)


@functools.lru_cache(maxsize=16)
def _dialogues_of(
    path: str, stamp: object, split: str, by_schema: bool, by_rules: bool
) -> tuple[Dialogue, ...]:
    found = division(read_dialogues(path), split)
    if not found:
        raise ConfigError(f"{path} has no dialogue in split {split!r}; split='all' has them all")
    for dialogue in found:
        where = f"{path}: dialogue {dialogue.id!r}"
        for tool in dialogue.tools if by_schema else ():
            sample = made_up(tool.returns, "value", f"{dialogue.seed}/{tool.name}")
            if fault := tool.result_form.fault(sample):
                raise ConfigError(
                    f"{where}: simulator='schema' cannot make up a result of {tool.name}: {fault}; "
                    "give its properties `enum` or `examples`, or play it with a language model"
                )
        for k, turn in enumerate(dialogue.turns if by_rules else ()):
            for criterion in turn.checklist:
                if criterion.rule is None:
                    raise ConfigError(
                        f"{where}, checklist[{k}]: the criterion {criterion.id!r} has no rule; "
                        "judge it with judge='openai:ADDRESS#MODEL'"
                    )
    return found


def read_dialogues(path: str | Path) -> tuple[Dialogue, ...]:
    """Read all dialogues of a file: one JSON object per line.

    Raises:
        ConfigError: the file cannot be read, holds none, or a line is wrong; says which, and the
            field.
    """
    found: dict[str, str] = {}
    dialogues = []
    for record in records(Path(path)):
        dialogue = dialogue_of(record.fields, record.where)
        if dialogue.id in found:
            raise record.wrong(f"id: {dialogue.id!r} is that of {found[dialogue.id]} already")
        found[dialogue.id] = record.where
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
