"""Questions and passages from files: HotpotQA, 2WikiMultihopQA, MuSiQue, or a plain form.

Files are JSON Lines, one object per line, or one JSON array (as HotpotQA is distributed). Every
complaint names the file and the line (or the number of the entry in an array).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentgym.envs.search.library import Passage, Question, Support
from agentgym.errors import ConfigError, nearest
from agentgym.jsonl import Record, records


def passages(path: Path) -> Iterator[tuple[Passage, int]]:
    """Yield the passages of a file of passages, and the byte at which each starts.

    Raises:
        ConfigError: the file or one of its lines is not as it has to be.
    """
    for record in records(path):
        if record.where.endswith("]"):
            raise ConfigError(f"{path}: passages must be JSON Lines, not one JSON array")
        yield passage_of(record), record.offset


def passage_of(record: Record) -> Passage:
    """Return one passage: `title` and `text`, or `contents` whose first line is the title."""
    if "contents" in record.fields and "text" not in record.fields:
        title, _, text = record.need("contents", str, "a string").partition("\n")
        title = title.strip().strip('"')
    else:
        title = record.need("title", str, "a string")
        text = record.need("text", str, "a string")
    return Passage(_one_line(title), _one_line(text))


def question_of(record: Record) -> tuple[Question, tuple[Passage, ...]] | None:
    """Return a question and the passages that come with it; None if it has no answer by design.

    Raises:
        ConfigError: a field is missing or malformed.
    """
    if record.fields.get("answerable") is False:  # in MuSiQue-Full
        return None
    text = _one_line(record.need("question", str, "a string"))
    if not text:
        raise record.wrong("the field 'question' is empty")
    answers = _answers(record)
    if "paragraphs" in record.fields:
        context, supports = _musique(record)
    elif "context" in record.fields:
        context, supports = _hotpot(record)
    else:
        context, supports = (), ()
    return Question(text, answers, supports, len(supports) or None), context


def _answers(record: Record) -> tuple[str, ...]:
    if "answer" not in record.fields and "golden_answers" in record.fields:
        golds = record.need("golden_answers", list, "a list of strings")
    else:
        aliases = record.fields.get("answer_aliases") or []
        record.typed(aliases, list, "the field 'answer_aliases'", "a list of strings")
        golds = [record.need("answer", str, "a string"), *aliases]
    found = [
        _one_line(record.typed(gold, str, f"answer {i}", "a string"))
        for i, gold in enumerate(golds)
    ]
    if not found or not found[0]:
        raise record.wrong("the answer is empty")
    return tuple(dict.fromkeys(gold for gold in found if gold))


def _hotpot(record: Record) -> tuple[tuple[Passage, ...], tuple[Support, ...]]:
    """Read `context` and `supporting_facts`: lists of pairs, or columns as on Hugging Face."""
    context = []
    for i, (title, said) in enumerate(_pairs(record, "context", "title", "sentences")):
        what = f"entry {i} of 'context'"
        record.typed(title, str, f"the title of {what}", "a string")
        for sentence in record.typed(said, list, f"the text of {what}", "a list of sentences"):
            record.typed(sentence, str, f"a sentence of {what}", "a string")
        context.append(Passage(_one_line(title), _one_line(" ".join(said))))
    texts = {passage.title: passage.text for passage in context}
    titles: dict[str, None] = {}
    if "supporting_facts" in record.fields:
        for i, (title, _) in enumerate(_pairs(record, "supporting_facts", "title", "sent_id")):
            what = f"the title of entry {i} of 'supporting_facts'"
            name = _one_line(record.typed(title, str, what, "a string"))
            if name not in texts:
                raise record.wrong(f"{what} is not in 'context': {name!r}; {nearest(name, texts)}")
            titles[name] = None
    return tuple(context), tuple(Support(title, texts[title]) for title in titles)


def _pairs(record: Record, field: str, first: str, second: str) -> list[tuple[Any, Any]]:
    value = record.fields[field]
    if isinstance(value, str):  # 2WikiMultihopQA has been distributed with JSON inside of JSON
        try:
            value = json.loads(value)
        except ValueError:
            raise record.wrong(f"the field {field!r} is a string that is not JSON") from None
    if isinstance(value, dict):
        inner = Record(value, record.where)
        firsts = inner.need(first, list, "a list")
        seconds = inner.need(second, list, "a list")
        if len(firsts) != len(seconds):
            raise record.wrong(
                f"{field!r} has {len(firsts)} {first!r} but {len(seconds)} {second!r}"
            )
        return list(zip(firsts, seconds, strict=True))
    record.typed(value, list, f"the field {field!r}", f"a list of [{first}, {second}]")
    for i, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2:
            raise record.wrong(
                f"entry {i} of {field!r} must be [{first}, {second}], got {pair!r:.60}"
            )
    return [(pair[0], pair[1]) for pair in value]


def _musique(record: Record) -> tuple[tuple[Passage, ...], tuple[Support, ...]]:
    """Read `paragraphs`, and the order of the reasoning from `question_decomposition`."""
    context, supporting = [], {}
    for i, value in enumerate(record.need("paragraphs", list, "a list of objects")):
        what = f"entry {i} of 'paragraphs'"
        inner = Record(record.typed(value, dict, what, "an object"), f"{record.where}: {what}")
        title = _one_line(inner.need("title", str, "a string"))
        text = _one_line(inner.need("paragraph_text", str, "a string"))
        context.append(Passage(title, text))
        if inner.fields.get("is_supporting") is True:
            supporting[inner.fields.get("idx", i)] = Support(title, text)
    steps = record.fields.get("question_decomposition") or []
    order: dict[Any, None] = {}
    for value in record.typed(steps, list, "the field 'question_decomposition'", "a list"):
        if isinstance(value, dict) and value.get("paragraph_support_idx") in supporting:
            order[value["paragraph_support_idx"]] = None
    supports = tuple(supporting[idx] for idx in {**order, **dict.fromkeys(supporting)})
    return tuple(context), supports


def _one_line(text: str) -> str:
    return " ".join(text.split())
