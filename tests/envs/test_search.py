"""The search environment on its built-in encyclopedias."""

import pickle
import re
import subprocess
import sys
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.env import make
from agentgym.envs.search import NOT_UNDERSTOOD, NOTHING_FOUND, Search
from agentgym.envs.search.encyclopedia import SIZES, Encyclopedia, encyclopedia
from agentgym.envs.search.index import MAX_QUERY_WORDS, Index, words_of
from agentgym.envs.search.library import mentions
from agentgym.envs.search.questions import SPLITS, draw_question, split_of
from agentgym.envs.search.wording import RELATIONS
from agentgym.errors import ConfigError, ResetNeeded, UnknownName
from agentgym.testing import check_env

CHEAP = ("tiny", "small")
HOPS = (1, 2, 3, 4)


def drawn(size: str, split: str, hops: int, seed: int, **options: Any) -> Search:
    env = Search(size=size, split=split, hops=hops, **options)
    env.reset(seed=seed)
    return env


# Questions and their solutions --------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(CHEAP),
    split=st.sampled_from(SPLITS),
    hops=st.sampled_from(HOPS),
    seed=st.integers(0, 2**31),
    reward=st.sampled_from(["exact", "f1", "f1_of_sets"]),
)
def test_gold_solves(size: str, split: str, hops: int, seed: int, reward: str) -> None:
    env = drawn(size, split, hops, seed, reward=reward)
    plan = list(env.gold())
    assert len(plan) == hops + 1
    results = [env.step(action) for action in plan]
    assert [result[1] for result in results] == [0.0] * hops + [1.0]
    assert [result[2] for result in results] == [False] * hops + [True]
    assert results[-1][4]["success"] is True


@pytest.mark.parametrize("split", SPLITS)
def test_gold_solves_the_full_size(split: str) -> None:
    env = Search(size="full", split=split)
    for seed in range(8):
        env.reset(seed=seed)
        *_, (_, reward, terminated, _, info) = [env.step(action) for action in env.gold()]
        assert (reward, terminated, info["success"]) == (1.0, True, True)


@pytest.mark.parametrize("size", CHEAP)
@pytest.mark.parametrize("split", SPLITS)
def test_the_answer_is_nowhere_until_it_is_found(size: str, split: str) -> None:
    """Neither an observation nor info has the answer before a passage with it was found (V27)."""
    env = Search(size=size, split=split, hops=list(HOPS))
    early = 0
    for seed in range(40):
        text, info = env.reset(seed=seed)
        *searches, _ = env.gold()
        for action in searches:
            found = [env._shelf().passage(number) for number in env._found]
            known = any(mentions(passage.shown(), env.answer()) for passage in found)
            assert known or not mentions(f"{text} {info}", env.answer()), (seed, text, info)
            early += known
            text, _, _, _, info = env.step(action)
        assert mentions(text, env.answer()), (seed, text)
    assert early < 20, "hardly ever does a passage beside the chain have the answer"


def test_a_question_takes_all_of_its_hops() -> None:
    """It does not name its answer, nor does a passage before the last of its chain."""
    for size in CHEAP:
        for seed in range(900):
            _, question = draw_question(seed, size=size, split="train", hops=(2,), results=2)
            assert not mentions(question.text, question.answers[0]), question
            first, last = (f"{s.title} {s.text}" for s in question.supports)
            assert not mentions(first, question.answers[0]), question
            assert mentions(last, question.answers[0]), question
            assert question.hops == len(question.supports) == 2
            assert question.supports[0].title in question.text


def test_every_passage_that_is_needed_is_found_by_its_name() -> None:
    """With one result per search some passages are not; no question needs them."""
    env = Search(size="small", hops=1, results=1)
    for seed in range(400):
        env.reset(seed=seed)
        assert next(iter(env.gold())) == f"search: {env.question.supports[0].title}"
    book = encyclopedia("small", False, 0)
    titles = [entry.name for entry in book.entries]
    assert any(i not in book.search(title, 1) for i, title in enumerate(titles))


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(CHEAP),
    hops=st.sampled_from(HOPS),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_the_expert_uses_nothing_but_what_was_shown(
    size: str, hops: int, seed: int, data: st.DataObject
) -> None:
    env = drawn(size, "train", hops, seed, max_turns=30)
    shown = env.render() or f"{env.question.text}"
    for _ in range(20):
        info: dict[str, Any] = {}
        action = env.expert()
        assert action is not None
        verb, _, words = action.partition(": ")
        assert mentions(shown, words), (action, shown)
        if data.draw(st.booleans()):  # stray from its advice now and then
            action = f"search: {data.draw(st.sampled_from(shown.split()))}"
        text, _, terminated, _, info = env.step(action)
        shown += f"\n{text}"
        if terminated:
            assert verb == "answer"
            assert info["success"] is True
            return
    assert len(env.question.supports) > 1, "the expert does not come to an end"


def test_the_expert_always_solves() -> None:
    for size in CHEAP:
        env = Search(size=size, split="valid_unseen", hops=list(HOPS))
        for seed in range(50):
            env.reset(seed=seed)
            for _ in range(5):
                action = env.expert()
                assert action is not None
                _, reward, terminated, _, _ = env.step(action)
                if terminated:
                    break
            assert reward == 1.0


@pytest.mark.parametrize("size", SIZES)
def test_splits_share_no_question(size: str) -> None:
    asked: dict[str, set[str]] = {}
    for split in SPLITS:
        env = Search(size=size, split=split, hops=list(HOPS))
        asked[split] = {env.reset(seed=seed)[0] for seed in range(400)}
        assert len(asked[split]) > 100
    assert not asked["train"] & asked["valid_seen"]
    assert not asked["train"] & asked["valid_unseen"]
    assert not asked["valid_seen"] & asked["valid_unseen"]


def test_unseen_encyclopedias_say_something_else() -> None:
    seen = {passage for i in range(4) for passage in encyclopedia("tiny", False, i)._passages}
    unseen = {passage for i in range(4) for passage in encyclopedia("tiny", True, i)._passages}
    assert len(seen & unseen) < 0.1 * len(unseen)
    train = {
        draw_question(s, size="tiny", split="train", hops=(1,), results=1)[0] for s in range(9)
    }
    held = {
        draw_question(s, size="tiny", split="valid_unseen", hops=(1,), results=1)[0]
        for s in range(9)
    }
    assert not train & held


def test_every_question_belongs_to_one_split() -> None:
    shares = [split_of(f"Name {i}", ("author", "teacher")) for i in range(3000)]
    assert {s: round(shares.count(s) / 3000, 1) for s in SPLITS} == {
        "train": 0.7,
        "valid_seen": 0.1,
        "valid_unseen": 0.2,
    }


@pytest.mark.parametrize("size", CHEAP)
def test_every_relation_is_asked_for(size: str) -> None:
    """Each wording of each question comes up, and a chain can go on from each phrase."""
    env = Search(size=size, hops=[1, 2])
    texts = [env.reset(seed=seed)[0] for seed in range(1500)]
    for name in SIZES[size].relations:
        for asked in RELATIONS[name].asked[: SIZES[size].variants]:
            pattern = re.compile(re.escape(asked).replace(r"\{x\}", ".+"))
            assert any(pattern.search(text) for text in texts), (name, asked)
        phrase = re.escape(RELATIONS[name].phrase).replace(r"\{x\}", ".+")
        assert any(re.search(phrase, text) for text in texts), name


# Encyclopedias ------------------------------------------------------------------------------------


def facts_of(book: Encyclopedia, relation: str) -> dict[int, Any]:
    return {i: e.facts[relation] for i, e in enumerate(book.entries) if relation in e.facts}


@pytest.mark.parametrize("number", range(3))
def test_facts_are_consistent(number: int) -> None:
    book = encyclopedia("small", False, number)
    names = [entry.name for entry in book.entries]
    assert len(set(names)) == len(names)
    spouse, born = facts_of(book, "spouse"), facts_of(book, "birth year")
    assert spouse
    assert all(spouse[other] == one != other for one, other in spouse.items())
    for pupil, teacher in facts_of(book, "teacher").items():
        assert int(born[pupil]) - int(born[teacher]) >= 15
    for work, author in facts_of(book, "author").items():
        assert int(book.entries[work].facts["publication"]) - int(born[author]) >= 20
    for organisation, founder in facts_of(book, "founder").items():
        assert int(book.entries[organisation].facts["founding"]) - int(born[founder]) >= 20
    country = facts_of(book, "country")
    assert all(country[town] == land for land, town in facts_of(book, "capital").items())
    for relation, table in RELATIONS.items():
        for i, value in facts_of(book, relation).items():
            assert book.entries[i].kind == table.subject
            assert isinstance(value, str) or book.entries[value].kind == table.value


def test_a_passage_tells_its_facts_and_nothing_else_of_other_entries() -> None:
    book = encyclopedia("small", True, 0)
    names = [entry.name for entry in book.entries]
    for i in range(0, len(book), 7):
        passage, entry = book.passage(i), book.entries[i]
        told = set(book.names(i))
        assert all(mentions(passage.text, name) for name in told)
        others = {name for name in names if mentions(passage.text, name)}
        assert others <= told
        assert len(passage.text.split(".")) - 1 == len(entry.facts)


def test_tiny_encyclopedias_share_their_words() -> None:
    words = [
        {word for passage in encyclopedia("tiny", unseen, i)._passages for word in
         words_of(f"{passage.title} {passage.text}")}
        for unseen, i in [(False, 0), (False, 1), (True, 0)]
    ]  # fmt: skip
    assert len(words[0] | words[1] | words[2]) < 160
    assert len(words[2] - words[0]) <= 3, "a produce that nobody lives on"


def test_sizes() -> None:
    assert [len(encyclopedia(size, False, 0)) for size in SIZES] == [96, 342, 2980]


# Actions ------------------------------------------------------------------------------------------


def test_actions_are_read_kindly() -> None:
    env = drawn("tiny", "train", 2, 5)
    title = env.question.supports[0].title
    texts = set()
    for action in (
        f"search: {title}",
        f"SEARCH:{title}",
        f"  Search :\t {title.upper()} \n",
        f"search: {title}?!",
        f"search: what is {title} to whom",
    ):
        text, _, _, _, info = env.step(action)
        assert info["action_valid"] is True
        texts.add(text)
    assert len(texts) == 1


@pytest.mark.parametrize(
    "action",
    ["", " ", "wait", "search", "search Ember", "search:", "answer:  ", "find: Ember",
     "searching: x", "xsearch: Ember", "so search: Ember", ": Ember", "\x00", "\udc80",
     "答え: x", "x" * 1_000_000],
)  # fmt: skip
def test_other_actions_are_not_understood(action: str) -> None:
    env = drawn("tiny", "train", 2, 5)
    before = env.state_key()
    text, reward, terminated, _, info = env.step(action)
    assert (text, reward, terminated, info["success"]) == (NOT_UNDERSTOOD, 0.0, False, None)
    assert info["action_valid"] is False
    assert env.state_key() == before


@pytest.mark.parametrize("answer", ["the", ".", "a", "no", "Nowhere", "y" * 1_000_000, "\udc80"])
def test_wrong_answers_end_the_episode_and_earn_nothing(answer: str) -> None:
    for reward_name in ("exact", "f1", "f1_of_sets"):
        env = drawn("tiny", "train", 2, 5, reward=reward_name)
        text, reward, terminated, _, info = env.step(f"answer: {answer}")
        assert (reward, terminated, info["success"]) == (0.0, True, False)
        assert not mentions(text, env.answer())


def test_doing_nothing_earns_nothing() -> None:
    env = drawn("tiny", "train", 1, 0)
    for turn in range(6):
        _, reward, terminated, truncated, info = env.step(env.noop)
        assert (reward, terminated, truncated, info["success"]) == (0.0, False, turn == 5, None)


def test_rewards_and_success() -> None:
    env = Search(size="small", hops=1, reward="f1")
    half = Search(size="small", hops=1, reward="f1", success_f1=0.6)
    strict = Search(size="small", hops=1, success_f1=0.6)
    seed = next(s for s in range(99) if env.reset(seed=s) and len(env.answer().split()) == 2)
    for one, reward, success in ((env, 2 / 3, False), (half, 2 / 3, True), (strict, 0.0, True)):
        one.reset(seed=seed)
        _, got, terminated, _, info = one.step(f"answer: {one.answer().split()[0]}")
        assert got == pytest.approx(reward)
        assert (terminated, info["success"]) == (True, success)
        assert (info["exact_match"], info["f1"]) == (0.0, pytest.approx(2 / 3))
        assert sum(info["reward_parts"].values()) == got


def test_searches_are_cut_and_may_find_nothing() -> None:
    env = drawn("small", "train", 2, 1)
    title = env.question.supports[0].title
    text, *_, info = env.step("search: zzzz")
    assert (text, info["action_valid"]) == (NOTHING_FOUND, True)
    assert env.step("search: " + "zzzz " * MAX_QUERY_WORDS + title)[0] == NOTHING_FOUND
    assert title in env.step("search: " + "zzzz " * (MAX_QUERY_WORDS - 8) + title)[0]


@pytest.mark.parametrize("results", [1, 3, 20])
def test_the_number_of_results(results: int) -> None:
    env = drawn("small", "train", 2, 1, results=results)
    text = env.step("search: Corvane Press painter")[0]
    assert len(text.splitlines()) == results
    assert all(line.startswith("* ") for line in text.splitlines())


# The index ----------------------------------------------------------------------------------------


def test_ranks() -> None:
    index = Index.build(["red fish", "blue fish", "red red bird", "The Who", "fish blue"])
    assert index.search("blue", 5) == (1, 4)  # equal scores go by number
    assert index.search("red bird", 5)[0] == 2
    assert index.search("red fish", 1) == (0,)
    assert index.search("the who", 5) == (3,)  # only common words: they count then
    assert index.search("who is the red bird", 1) == (2,)
    assert index.search("", 5) == index.search("?!", 5) == index.search("green", 5) == ()
    assert index.search("FISH", 9) == index.search("fish", 9)


def test_an_index_needs_words() -> None:
    with pytest.raises(ConfigError, match="the passages have no words"):
        Index.build(["...", ""])


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=12), min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_the_best_passages_come_first(texts: list[str]) -> None:
    """Fewer results are a prefix of more, whatever the ties."""
    if not any(text.strip() for text in texts):
        return
    index = Index.build(texts)
    every = index.search("a b ab", 9)
    assert [index.search("a b ab", k) for k in range(1, 9)] == [every[:k] for k in range(1, 9)]


# States -------------------------------------------------------------------------------------------


def test_the_key_is_the_question_and_what_was_found() -> None:
    env, other = drawn("tiny", "train", 2, 5), drawn("tiny", "train", 2, 5)
    one, two = "search: Ember", "search: Corvane"
    keys = []
    for first, second in ((one, two), (two, one)):
        start = env.state_key()
        saved = env.snapshot()
        env.step(first)
        assert env.state_key() != start
        env.step(first)
        env.step("nonsense")
        env.step(second)
        keys.append(env.state_key())
        env.restore(saved)
    assert keys[0] == keys[1]
    other.reset(seed=6)
    assert other.state_key() != env.state_key()
    before = env.state_key()
    env.step("answer: x")
    assert env.state_key() != before


def test_same_names_in_another_encyclopedia_are_another_state() -> None:
    keys: dict[str, set[str | None]] = {}
    env = Search(size="tiny", hops=1)
    for seed in range(600):
        text, _ = env.reset(seed=seed)
        keys.setdefault(text, set()).add(env.state_key())
    assert max(len(found) for found in keys.values()) > 1


def test_snapshots_can_be_restored_elsewhere() -> None:
    env = drawn("tiny", "train", 2, 3)
    plan = list(env.gold())
    env.step(plan[0])
    saved, other = env.snapshot(), Search(size="tiny", hops=2)
    futures = []
    for one in (env, env, other):
        one.restore(saved)
        assert (one.turns, list(one.gold())) == (1, plan[1:])
        futures.append([(*one.step(action), one.state_key()) for action in plan[1:]])
        with pytest.raises(ResetNeeded):
            one.step("search: x")
    assert futures[0] == futures[1] == futures[2]


def test_pickling() -> None:
    env = drawn("tiny", "train", 2, 5)
    env.step("search: Ember")
    copy = pickle.loads(pickle.dumps(env))
    assert copy.state_key() == env.state_key()
    assert copy.question == env.question
    assert [copy.step(a) for a in copy.gold()] == [env.step(a) for a in env.gold()]


def test_the_gold_answer_is_in_info_only_on_request() -> None:
    for asked in (False, True):
        env = Search(size="tiny", hops=2, answer_in_info=asked)
        _, info = env.reset(seed=0)
        infos = [info, *(env.step(action)[4] for action in ("wait", "search: x", "answer: x"))]
        assert [("gold_answer" in info) for info in infos] == [asked] * 4
        assert all(info.get("gold_answer", env.answer()) == env.answer() for info in infos)
        assert env.answers() == (env.answer(),)


def test_suggested_commands_name_only_what_was_shown() -> None:
    env = drawn("tiny", "train", 2, 5)
    shown, (_, info) = "", env.reset(seed=5)
    shown = env.question.text
    for action in env.gold():
        commands = info["admissible_commands"]
        assert commands == sorted(set(commands))
        assert all(mentions(shown, command.partition(": ")[2]) for command in commands)
        assert action in commands
        text, _, _, _, info = env.step(action)
        shown += text


# Contract and bad input ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*not within a.*|.*render.*:UserWarning")
def test_gymnasium_accepts_it() -> None:
    gymnasium_check_env(Search(size="tiny"), skip_render_check=True)


@pytest.mark.parametrize("preset", Search.presets)
def test_our_own_check_accepts_it(preset: str) -> None:
    report = check_env("search", preset=preset, seeds=(0, 1)).raise_on_failure()
    assert not report.warnings, report
    env = make("search", preset=preset)
    assert env.max_turns == SIZES[preset].turns


def test_longer_chains_pass_the_check_too() -> None:
    check_env("search", options={"size": "tiny", "hops": 4, "reward": "f1"}).raise_on_failure()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "tinny"}, "no size 'tinny'; did you mean 'tiny'?"),
        ({"size": []}, "no size []"),
        ({"split": "valid_sen"}, "did you mean 'valid_seen'"),
        ({"split": "all"}, "split is one of train, valid_seen, valid_unseen"),
        ({"hops": 0}, "hops must be a whole number from 1 to 4, got 0"),
        ({"hops": 5}, "got 5"),
        ({"hops": [1, "2"]}, "got '2'"),
        ({"hops": True}, "got True"),
        ({"hops": []}, "hops must name at least one number"),
        ({"results": 0}, "results must be a whole number from 1 to 20, got 0"),
        ({"results": 21}, "got 21"),
        ({"results": 2.5}, "got 2.5"),
        ({"reward": "exactly"}, "no reward 'exactly'; did you mean 'exact'"),
        ({"success_f1": 0}, "success_f1 must be above 0 and at most 1, got 0"),
        ({"success_f1": 1.5}, "got 1.5"),
        ({"success_f1": float("nan")}, "got nan"),
        ({"success_f1": "high"}, "got 'high'"),
        ({"answer_in_info": 1}, "answer_in_info must be true or false, got 1"),
        ({"max_turns": 0}, "max_turns must be a whole number of at least 1, got 0"),
        ({"passages": "x.jsonl"}, "passages needs the option questions=FILE"),
        ({"index": "folder"}, "index needs the option questions=FILE"),
        ({"questions": ""}, "questions must be a path, got ''"),
        ({"questions": 3}, "questions must be a path, got 3"),
        ({"questions": "x.jsonl", "size": "huge"}, "no size 'huge'"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Search(**options)
    assert said in str(caught.value)


def test_unknown_options() -> None:
    with pytest.raises(UnknownName, match="did you mean 'size'"):
        make("search", sise="tiny")
    with pytest.raises(UnknownName, match="reset option of search 'question'"):
        Search(size="tiny").reset(options={"question": None})


def test_before_reset() -> None:
    env = Search(size="tiny")
    assert env.state_key() is None
    for call in (env.gold, env.expert, env.snapshot, env.answer, lambda: env.question):
        with pytest.raises(ResetNeeded):
            call()


def test_it_needs_no_torch_and_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, agentgym.envs.search as s; assert 'bm25s' not in sys.modules; "
        "s.Search(size='tiny').reset(seed=0); "
        "print(sorted({'torch', 'transformers', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'agentgym\[search\]'"):
        Search(size="tiny")
