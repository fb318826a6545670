"""The search environment on files: HotpotQA, 2WikiMultihopQA, MuSiQue, plain questions."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentgym.envs.search import NOTHING_FOUND, Search
from agentgym.envs.search.corpus import MANIFEST, open_context, open_corpus
from agentgym.envs.search.library import Passage
from agentgym.errors import ConfigError
from agentgym.testing import check_env

HOTPOT: dict[str, Any] = {
    "_id": "h1",
    "question": "Which river runs past the town where the painter Mira Holt was born?",
    "answer": "the Velm",
    "type": "bridge",
    "level": "hard",
    "supporting_facts": [["Mira Holt", 0], ["Aldford", 1], ["Aldford", 0]],
    "context": [
        ["Dovik", ["Dovik is a hill.", " Nobody climbs it."]],
        ["Mira Holt", ["Mira Holt was a painter from Aldford.", " She had no children."]],
        ["Aldford", ["Aldford is a town.", " It stands on the Velm."]],
    ],
}
COMPARISON: dict[str, Any] = {
    "_id": "h2",
    "question": "Were Élan and Stur made in the same year?",
    "answer": "no",
    "supporting_facts": {"title": ["Élan (film)", "Stur"], "sent_id": [0, 0]},
    "context": {
        "title": ["Élan (film)", "Stur"],
        "sentences": [["Élan is a film of 1931."], ["Stur is a film of 1932."]],
    },
}
WIKI2: dict[str, Any] = {  # JSON inside of JSON
    **HOTPOT,
    "question": "Where does the river at the birthplace of Mira Holt pass?",
    "context": json.dumps(HOTPOT["context"]),
    "supporting_facts": json.dumps(HOTPOT["supporting_facts"]),
}
MUSIQUE: dict[str, Any] = {
    "id": "3hop__1_2_3",
    "paragraphs": [
        {"idx": 0, "title": "Ost", "paragraph_text": "Ost pays in talents.", "is_supporting": True},
        {"idx": 1, "title": "Ost", "paragraph_text": "Ost has two ports.", "is_supporting": False},
        {"idx": 2, "title": "Kern", "paragraph_text": "Kern lies in Ost.", "is_supporting": True},
        {"idx": 3, "title": "Ember", "paragraph_text": "Ember plays in Kern.",
         "is_supporting": True},
    ],
    "question": "What is the money of the country of the town in which Ember plays?",
    "question_decomposition": [
        {"id": 1, "question": "Ember >> plays in", "answer": "Kern", "paragraph_support_idx": 3},
        {"id": 2, "question": "#1 >> country", "answer": "Ost", "paragraph_support_idx": 2},
        {"id": 3, "question": "#2 >> money", "answer": "talent", "paragraph_support_idx": 0},
    ],
    "answer": "talent",
    "answer_aliases": ["talents", "the talent"],
    "answerable": True,
}  # fmt: skip
PLAIN: dict[str, Any] = {"question": "Who painted Dusk?", "answer": "Mira Holt"}
WIKI = [
    {"id": "7", "title": "Dusk", "text": "Dusk is a picture by Mira Holt."},
    {"id": "8", "contents": '"Mira Holt"\nMira Holt was a painter from Aldford.'},
    {"id": "9", "title": "Aldford", "text": "Aldford stands on\nthe Velm."},
]


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return str(path)


def episode(env: Search, seed: int = 0) -> tuple[list[str], float]:
    """Play gold(); return its actions and what it earned."""
    env.reset(seed=seed)
    plan = list(env.gold())
    return plan, sum(env.step(action)[1] for action in plan)


# Formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [HOTPOT, WIKI2, COMPARISON, MUSIQUE])
@pytest.mark.parametrize("reward", ["exact", "f1"])
def test_gold_and_expert_solve_each_format(
    row: dict[str, Any], reward: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "q.jsonl", row)
    env = Search(questions=file, split="all", results=1, reward=reward)
    plan, earned = episode(env)
    assert earned == 1.0
    assert plan[-1] == f"answer: {row['answer']}"
    assert len(plan) == 1 + (env.question.hops or 0)
    text, info = env.reset(seed=0)
    assert text == f"Question: {row['question']}"
    assert info["hops"] == (3 if row is MUSIQUE else 2)
    for _ in range(8):
        action = env.expert()
        assert action is not None
        _, earned, terminated, _, _ = env.step(action)
        if terminated:
            break
    assert earned == 1.0


def test_the_order_of_musique_is_that_of_the_reasoning(tmp_path: Path) -> None:
    env = Search(questions=write(tmp_path / "q.jsonl", MUSIQUE), split="all", results=1)
    plan, _ = episode(env)
    assert plan[0] == "search: Ember"
    assert plan[1] == "search: Kern"
    assert plan[2].startswith("search: Ost")
    env.reset(seed=0)
    env.step(plan[2])
    assert "search: Ember" in env.gold()
    assert plan[2] not in list(env.gold()), "it was found already"
    env.reset(seed=0)
    assert "two ports" in env.step("search: the ports of Ost")[0]
    assert plan[2] in list(env.gold()), "another passage of that title was found"
    for answer in ("Talents", "the talent.", "TALENT"):
        env.reset(seed=0)
        assert env.step(f"answer: {answer}")[1] == 1.0
    assert env.answers() == ("talent", "talents", "the talent")
    assert env.answer() == "talent"


def test_one_json_array_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "hotpot_dev.json"
    file.write_text(json.dumps([HOTPOT, COMPARISON], indent=1), "utf-8")
    env = Search(questions=str(file), split="all")
    assert {env.reset(seed=s)[0] for s in range(2)} == {
        f"Question: {row['question']}" for row in (HOTPOT, COMPARISON)
    }


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(f"\ufeff{json.dumps(HOTPOT)}\n\n  \n{json.dumps(COMPARISON)}", "utf-8")
    wiki = tmp_path / "w.jsonl"
    rows = [{"title": "Élan", "text": "Élan, «vital» 語."}, *WIKI]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    wiki.write_text("\ufeff\n" + "\n\n".join(lines), "utf-8")
    env = Search(questions=str(file), passages=str(wiki), split="all")
    env.reset(seed=0)
    assert "stands on the Velm." in env.step("search: Velm")[0]
    assert len(open_corpus(wiki)) == 4
    assert env.step("search: elan")[0] == "* Élan: Élan, «vital» 語."


def test_a_passage_that_many_questions_share_is_there_once(tmp_path: Path) -> None:
    other = {**HOTPOT, "question": "Who never climbs Dovik?", "answer": "Nobody"}
    corpus = open_context(Path(write(tmp_path / "q.jsonl", HOTPOT, other, COMPARISON)))
    assert len(corpus) == 5
    assert len({corpus.passage(number) for number in range(5)}) == 5


def test_the_expert_does_not_know_titles_that_were_not_shown(tmp_path: Path) -> None:
    row = {
        "question": "Who painted the evening over the harbour?",
        "answer": "Mira Holt",
        "supporting_facts": [["Dusk", 0]],
        "context": [
            ["Dusk", ["Dusk is a picture of a harbour in the evening, painted by Mira Holt."]],
            ["Dawn", ["Dawn is a picture."]],
        ],
    }
    env = Search(questions=write(tmp_path / "q.jsonl", row), split="all", results=1)
    env.reset(seed=0)
    assert list(env.gold()) == ["search: Dusk", "answer: Mira Holt"]
    assert env.expert() == f"search: {row['question']}"
    env.step(f"search: {row['question']}")
    assert env.expert() == "answer: Mira Holt"


def test_an_aside_in_a_title_may_be_missing_in_the_question(tmp_path: Path) -> None:
    env = Search(questions=write(tmp_path / "q.jsonl", COMPARISON), split="all", results=1)
    env.reset(seed=0)
    assert env.expert() == "search: Élan (film)"


def test_passages_of_ones_own(tmp_path: Path) -> None:
    file, wiki = write(tmp_path / "q.jsonl", HOTPOT, PLAIN), write(tmp_path / "w.jsonl", *WIKI)
    env = Search(questions=file, passages=wiki, split="all", results=1)
    plans = {env.reset(seed=s)[0]: episode(env, s) for s in range(2)}
    assert plans[f"Question: {HOTPOT['question']}"] == (
        ["search: Mira Holt", "search: Aldford", "answer: the Velm"],
        1.0,
    ), "found by title, though the texts differ"
    assert plans[f"Question: {PLAIN['question']}"] == (["answer: Mira Holt"], 1.0)


def test_the_expert_without_supporting_facts_searches_for_the_question(tmp_path: Path) -> None:
    wiki = write(tmp_path / "w.jsonl", *WIKI)
    env = Search(
        questions=write(tmp_path / "q.jsonl", PLAIN), passages=wiki, split="all", results=1
    )
    env.reset(seed=0)
    assert env.expert() == "search: Who painted Dusk?"
    env.step("search: Who painted Dusk?")
    assert env.expert() == "answer: Mira Holt"
    lost = {"question": "Who painted Dawn?", "answer": "Somebody else"}
    env = Search(questions=write(tmp_path / "r.jsonl", lost), passages=wiki, split="all", results=1)
    env.reset(seed=0)
    assert env.expert() is None, "no passage tells"
    assert env.step("search: Dawn")[0] == NOTHING_FOUND


def test_questions_without_an_answer_by_design_are_left_out(tmp_path: Path) -> None:
    none = {**MUSIQUE, "answerable": False, "question": "What?", "answer": ""}
    env = Search(questions=write(tmp_path / "q.jsonl", none, MUSIQUE), split="all")
    assert {env.reset(seed=s)[0] for s in range(3)} == {f"Question: {MUSIQUE['question']}"}


def test_golden_answers(tmp_path: Path) -> None:
    row = {"question": "Who painted Dusk?", "golden_answers": ["Mira Holt", "M. Holt"]}
    wiki = write(tmp_path / "w.jsonl", *WIKI)
    env = Search(questions=write(tmp_path / "q.jsonl", row), passages=wiki, split="all")
    env.reset(seed=0)
    assert env.answers() == ("Mira Holt", "M. Holt")


# Which question -----------------------------------------------------------------------------------


def many(tmp_path: Path, count: int) -> str:
    rows = [{"question": f"What of {i}?", "answer": str(i)} for i in range(count)]
    return write(tmp_path / "q.jsonl", *rows, rows[0])


def test_seeds_play_every_question_once(tmp_path: Path) -> None:
    file, wiki = many(tmp_path, 50), write(tmp_path / "w.jsonl", *WIKI)
    env = Search(questions=file, passages=wiki, split="all")
    first = [env.reset(seed=seed)[0] for seed in range(50)]
    assert len(set(first)) == 50
    assert [env.reset(seed=seed)[0] for seed in range(50, 100)] == first
    lines = (tmp_path / "q.jsonl").read_text().splitlines(keepends=True)
    other = tmp_path / "other.jsonl"
    other.write_text("".join(reversed(lines)))
    again = Search(questions=str(other), passages=wiki, split="all")
    assert [again.reset(seed=seed)[0] for seed in range(50)] == first
    env.reset(seed=0)
    assert len({env.reset()[0] for _ in range(30)}) > 10, "without a seed: any"


def test_splits_of_a_file_share_no_question(tmp_path: Path) -> None:
    file, wiki = many(tmp_path, 400), write(tmp_path / "w.jsonl", *WIKI)
    asked = {}
    for split in ("train", "valid_seen", "valid_unseen"):
        env = Search(questions=file, passages=wiki, split=split)
        asked[split] = {env.reset(seed=seed)[0] for seed in range(400)}
    assert 280 < len(asked["train"]) < 360
    assert min(map(len, asked.values())) > 20
    assert sum(map(len, asked.values())) == len(set().union(*asked.values())) == 400


def test_hops_choose_questions(tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", HOTPOT, COMPARISON, MUSIQUE)
    for hops, count in ((2, 2), (3, 1), ([2, 3], 3), (None, 3)):
        env = Search(questions=file, split="all", hops=hops)
        assert len({env.reset(seed=seed)[0] for seed in range(3)}) == count
    with pytest.raises(ConfigError, match="has 3 questions, but none of 4 hops in the split 'all'"):
        Search(questions=file, split="all", hops=4)


# The index on disk --------------------------------------------------------------------------------


def indices(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if ".bm25-" in path.name)


def test_the_index_is_kept_beside_the_file(tmp_path: Path) -> None:
    wiki = tmp_path / "w.jsonl"
    write(wiki, *WIKI)
    first = open_corpus(wiki)
    (folder,) = indices(tmp_path)
    assert folder.name.startswith("w.jsonl.bm25-")
    assert oct(folder.stat().st_mode)[-3:] == "755"
    made = (folder / MANIFEST).stat().st_mtime_ns
    code = f"from agentgym.envs.search.corpus import *; c = open_corpus(Path({str(wiki)!r})); "
    code += "print(c.search('Velm', 3), c.passage(1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{first.search('Velm', 3)} {first.passage(1)}"
    assert (folder / MANIFEST).stat().st_mtime_ns == made, "built once"
    assert first.passage(1) == Passage("Mira Holt", "Mira Holt was a painter from Aldford.")
    assert pickle.loads(pickle.dumps(first)).search("Velm", 3) == first.search("Velm", 3)


def test_a_changed_file_gets_a_new_index(tmp_path: Path) -> None:
    wiki = tmp_path / "w.jsonl"
    write(wiki, *WIKI)
    assert open_corpus(wiki).search("zebra", 3) == ()
    write(wiki, *WIKI, {"title": "Zebra", "text": "A zebra."})
    assert open_corpus(wiki).search("zebra", 3) == (3,)
    assert len(indices(tmp_path)) == 2


@pytest.mark.parametrize("harm", ["truncate", "remove", "no manifest", "not JSON"])
def test_a_damaged_index_is_built_again(harm: str, tmp_path: Path) -> None:
    wiki = tmp_path / "w.jsonl"
    write(wiki, *WIKI)
    expected = open_corpus(wiki).search("Velm", 3)
    (folder,) = indices(tmp_path)
    victim = max(folder.glob("*.npy"), key=lambda path: path.stat().st_size)
    if harm == "truncate":
        os.truncate(victim, victim.stat().st_size - 1)
    elif harm == "remove":
        victim.unlink()
    elif harm == "no manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_text("{")
    os.utime(wiki, ns=(1, 1))  # a process opens a file that did not change only once
    assert open_corpus(wiki).search("Velm", 3) == expected
    assert len(list(tmp_path.iterdir())) == 2, "nothing is left over"


def test_many_processes_may_build_at_once(tmp_path: Path) -> None:
    wiki = write(tmp_path / "w.jsonl", *WIKI)
    code = f"from agentgym.envs.search.corpus import *; print(len(open_corpus(Path({wiki!r}))))"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in started] == ["3"] * 3
    assert len(list(tmp_path.iterdir())) == 2


def test_the_index_may_be_elsewhere(tmp_path: Path) -> None:
    data, place = tmp_path / "data", tmp_path / "cache" / "deep"
    data.mkdir()
    file = write(data / "q.jsonl", HOTPOT)
    env = Search(questions=file, split="all", index=str(place))
    assert episode(env)[1] == 1.0
    assert [path.name for path in data.iterdir()] == ["q.jsonl"]
    assert len(indices(place)) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written: .*; name a folder for it with"):
        Search(questions=file, split="all", index=str(tmp_path / "file"))


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path / "w.jsonl", WIKI[0], {"title": "No text"})
    with pytest.raises(ConfigError):
        open_corpus(tmp_path / "w.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["w.jsonl"]


def test_a_file_that_shrinks_under_the_index_is_a_failure_not_an_observation(
    tmp_path: Path,
) -> None:
    wiki = tmp_path / "w.jsonl"
    write(wiki, *WIKI)
    corpus = open_corpus(wiki)
    wiki.write_text("{}\n")
    with pytest.raises(OSError, match="was the file changed"):
        corpus.passage(2)


# The contract, and bad input ----------------------------------------------------------------------


def test_the_kit_accepts_files(tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", HOTPOT, COMPARISON, MUSIQUE)
    options: dict[str, Any] = {"questions": file, "split": "all", "results": 1}
    report = check_env("search", options=options).raise_on_failure()
    assert not report.warnings, report
    env = Search(questions=file, split="all")
    assert (env.results, env.max_turns) == (3, 10)
    env = Search(questions=file, split="all", size="tiny", max_turns=7)
    assert (env.results, env.max_turns) == (1, 7)


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != field}


PARAGRAPH = MUSIQUE["paragraphs"][0]
BAD_QUESTIONS: list[tuple[Any, str]] = [
    (without(HOTPOT, "question"), "the field 'question' is missing; known: _id, answer"),
    ({**without(HOTPOT, "question"), "questoin": "?"}, "did you mean 'questoin'?"),
    (without(MUSIQUE, "answer"), "the field 'answer' is missing; did you mean 'answerable'"),
    ({**HOTPOT, "question": 3}, "the field 'question' must be a string, got int 3"),
    ({**HOTPOT, "question": " "}, "the field 'question' is empty"),
    ({**HOTPOT, "answer": None}, "the field 'answer' must be a string, got NoneType None"),
    ({**HOTPOT, "answer": ""}, "the answer is empty"),
    ({**MUSIQUE, "answer_aliases": "x"}, "'answer_aliases' must be a list of strings, got str"),
    ({**MUSIQUE, "answer_aliases": [1]}, "answer 1 must be a string, got int 1"),
    ({"question": "?", "golden_answers": []}, "the answer is empty"),
    ({**HOTPOT, "context": 3}, "the field 'context' must be a list of [title, sentences], got int"),
    ({**HOTPOT, "context": "x"}, "the field 'context' is a string that is not JSON"),
    ({**HOTPOT, "context": [["Dovik"]]}, "entry 0 of 'context' must be [title, sentences]"),
    ({**HOTPOT, "context": [[1, []]]}, "the title of entry 0 of 'context' must be a string"),
    ({**HOTPOT, "context": [["D", "x"]]}, "entry 0 of 'context' must be a list of sentences"),
    ({**HOTPOT, "context": [["D", [1]]]}, "a sentence of entry 0 of 'context' must be a string"),
    ({**HOTPOT, "context": {"title": []}}, "the field 'sentences' is missing"),
    ({**HOTPOT, "context": {"title": ["x"], "sentences": []}}, "1 'title' but 0 'sentences'"),
    (
        {**HOTPOT, "supporting_facts": [["Mira Hold", 0]]},
        "is not in 'context': 'Mira Hold'; did you mean 'Mira Holt'?",
    ),
    ({**HOTPOT, "supporting_facts": [["Mira Holt"]]}, "entry 0 of 'supporting_facts' must be"),
    ({**HOTPOT, "supporting_facts": 1}, "'supporting_facts' must be a list of [title, sent_id]"),
    ({**MUSIQUE, "paragraphs": {}}, "the field 'paragraphs' must be a list of objects, got dict"),
    ({**MUSIQUE, "paragraphs": ["x"]}, "entry 0 of 'paragraphs' must be an object, got str 'x'"),
    (
        {**MUSIQUE, "paragraphs": [without(PARAGRAPH, "paragraph_text")]},
        "entry 0 of 'paragraphs': the field 'paragraph_text' is missing",
    ),
    ({**MUSIQUE, "question_decomposition": 1}, "the field 'question_decomposition' must be a list"),
    (PLAIN, "neither 'context' nor 'paragraphs' with passages to search"),
    (["x"], "must be a JSON object, got list ['x']"),
    (None, "must be a JSON object, got NoneType None"),
]


@pytest.mark.parametrize(("row", "said"), BAD_QUESTIONS)
def test_malformed_questions(row: Any, said: str, tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", MUSIQUE, COMPARISON, row)
    with pytest.raises(ConfigError) as caught:
        Search(questions=file, split="all")
    assert str(caught.value).startswith(f"{file}:3: "), caught.value
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"title": "x"}, "the field 'text' is missing"),
        ({"text": "x"}, "the field 'title' is missing"),
        ({"titel": "x", "text": "y"}, "the field 'title' is missing; did you mean 'titel'?"),
        ({"title": "x", "text": ["y"]}, "the field 'text' must be a string, got list ['y']"),
        ({"title": None, "text": "y"}, "the field 'title' must be a string, got NoneType"),
        ({"contents": 5}, "the field 'contents' must be a string, got int 5"),
        ([1], "must be a JSON object, got list [1]"),
    ],
)
def test_malformed_passages(row: Any, said: str, tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", PLAIN)
    wiki = write(tmp_path / "w.jsonl", *WIKI, row)
    with pytest.raises(ConfigError) as caught:
        Search(questions=file, passages=wiki, split="all")
    assert str(caught.value).startswith(f"{wiki}:4: "), caught.value
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"question": "?", \n', ":1: not JSON: "),
        (json.dumps(MUSIQUE).encode() + b'\n{"question": "\xff"}\n', ":2: not UTF-8: "),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, ":1: not JSON"),
        (b"", " holds no question"),
        (b"\n\n", " holds no question"),
        (b"[]", " holds no question"),
        (b'[{"question": "?",\n}]', ":2: not JSON"),
        (b'[{"question": "?", "answer": "x"}, 3]', "[1]: must be a JSON object, got int 3"),
        (b"\x00" * 100, ":1: not JSON"),
    ],
)
def test_files_that_are_none(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Search(questions=str(file), split="all")
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    nowhere, here = str(tmp_path / "no.jsonl"), write(tmp_path / "q.jsonl", MUSIQUE)
    with pytest.raises(ConfigError, match=r"cannot read .*no.jsonl: No such file"):
        Search(questions=nowhere)
    with pytest.raises(ConfigError, match=r"cannot read .*no.jsonl: No such file"):
        Search(questions=here, split="all", passages=nowhere)
    with pytest.raises(ConfigError, match="it is a folder, a file was expected"):
        Search(questions=str(tmp_path))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(ConfigError, match="holds no passage"):
        Search(questions=here, split="all", passages=str(empty))
    blank = write(tmp_path / "blank.jsonl", {"title": "", "text": "..."})
    with pytest.raises(ConfigError, match=r"nothing to search: .*blank.jsonl have no words"):
        Search(questions=here, split="all", passages=blank)
    array = tmp_path / "array.jsonl"
    array.write_text(json.dumps(WIKI))
    with pytest.raises(ConfigError, match="passages must be JSON Lines"):
        Search(questions=here, split="all", passages=str(array))
    with pytest.raises(ConfigError, match="split is one of train, valid_seen, valid_unseen, all"):
        Search(questions=here, split="dev")
