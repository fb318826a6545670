"""Simtools: a judge is also asked what rules know, and the gap is stated (J07)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_servers import MODELS, Got, Reply, Server, said, serve
from simtools_cases import calls, facts, play, playing, shop, written

from agentgym.agents import ScriptedAgent
from agentgym.chat import ScriptedChat, close_chats
from agentgym.envs.simtools import SimTools
from agentgym.errors import EpisodeFailure
from agentgym.rewards.judge import JUDGE_FACTS
from agentgym.rollout import Limits, Task, collect, run_threaded
from agentgym.types import JSON, Message

ORDER = calls(("order", {"item": "tea", "count": 3}))
SHOWY = "# Summary\n\n- **All is done**, as you asked.\n- **Thank you.**"
DIALOGUE = [ORDER, SHOWY, "## Cancelled\n\n**Your order is cancelled, and the fee is named.**"]

Likes = Callable[[str], bool]


def honest(case: Any, criterion: str) -> bool:
    """Answer a criterion of the shop from what was said and done."""
    made = [call for m in case["present"] for call in m.get("tool_calls", [])]
    results = [json.loads(m["content"]) for m in case["present"] if m["role"] == "tool"]
    last = case["present"][-1]["content"]
    if criterion in ("priced", "fee"):
        key = {"priced": "price", "fee": "fee"}[criterion]
        return any(str(result[key]) in last.split() for result in results if key in result)
    if criterion == "named":
        return "Paris" in str(last)
    return any(
        call["name"] == {"ordered": "order", "cancelled": "cancel"}[criterion] for call in made
    )


def answers(messages: Sequence[Message], likes: Likes) -> str:
    """Answer as an honest judge does, but with yes to whatever it likes the look of."""
    return json.dumps(
        {
            name: {
                each: likes(case["present"][-1]["content"]) or honest(case, each)
                for each in case["criteria"]
            }
            for name, case in json.loads(messages[1].content).items()
        }
    )


def judging(likes: Likes) -> Callable[[Got], Reply]:
    """Return what serves such a judge."""

    def respond(got: Got) -> Reply:
        if got.method == "GET":
            return Reply(MODELS)
        messages = [Message(each["role"], each["content"]) for each in got.body["messages"]]
        return Reply(said(answers(messages, likes)))

    return respond


def no_look(text: str) -> bool:
    return False


def several_lines(text: str) -> bool:
    """What is left of headers and lists when their marks are gone."""
    return "\n" in text


def decoration(text: str) -> bool:
    return "#" in text or "**" in text


def judged(folder: Path, server: Server, **options: Any) -> SimTools:
    given = {"judge_checks": 1.0, **options}
    return playing(folder, judge=f"openai:{server.url}#tiny", **given)


def gap(steps: Sequence[Any]) -> list[tuple[int, ...]]:
    """Return what the steps state about the judge: checked, too kind, too strict."""
    stated = [facts(step) for step in steps]
    return [tuple(f[name] for name in JUDGE_FACTS) for f in stated if "judge_checked" in f]


@pytest.mark.parametrize(
    ("likes", "found"),
    [
        (no_look, [(2, 0, 0), (2, 0, 0)]),
        (several_lines, [(2, 1, 0), (2, 2, 0)]),
        (decoration, [(2, 0, 0), (2, 0, 0)]),
    ],
)
def test_J07_a_judge_that_likes_headers_is_seen_to_be_too_kind(
    tmp_path: Path, likes: Likes, found: list[tuple[int, int, int]]
) -> None:
    """An honest judge has no gap, nor has one that looks for marks: it is shown none.

    Whatever the judge says, the rules' answer is what is paid.
    """
    with serve(judging(likes)) as server:
        env = judged(tmp_path, server)
        steps = play(env, DIALOGUE)
        assert len(server.samples) == 2, "once for each user turn"
        asked = json.dumps(server.samples[-1].body)
        close_chats()
    assert gap(steps) == found
    assert "#" not in asked
    assert "**" not in asked
    assert [step[1] for step in steps] == pytest.approx([0.0, 0.3, 0.0])
    assert facts(steps[1])["checklist"]["satisfied"] == {"ordered": True, "priced": False}


strict = ScriptedChat(
    lambda messages, seed: json.dumps(
        {
            name: {each: each == "named" and honest(case, each) for each in case["criteria"]}
            for name, case in json.loads(messages[1].content).items()
        }
    ),
    name="strict",
)
STRICT = f"{__name__}:strict"


def test_J07_a_judge_that_denies_is_seen_to_be_too_strict(tmp_path: Path) -> None:
    env = playing(tmp_path, judge=STRICT, judge_checks=1)
    order = env.step(ORDER)
    price = json.loads(order[0])["price"]
    assert gap([order, env.step(f"It costs {price} .")]) == [(2, 0, 2)]


def test_J07_only_a_share_of_the_episodes_is_checked(tmp_path: Path) -> None:
    """Which ones follows from the seed, so that all members of a group, and a replay, agree."""

    def checked(share: float, seeds: range) -> list[bool]:
        env = playing(tmp_path, judge=STRICT, judge_checks=share)
        found = []
        for seed in seeds:
            env.reset(seed=seed)
            found.append(bool(gap([env.step("I will not.")])))
        return found

    some = checked(0.25, range(400))
    assert 70 < sum(some) < 130
    assert checked(0.25, range(400)) == some
    more = checked(0.5, range(400))
    assert all(b for a, b in zip(some, more, strict=True) if a)
    assert not any(checked(0.0, range(20)))
    assert all(checked(1.0, range(20)))
    usual = SimTools(size="tiny", judge=STRICT)
    assert usual.judge_checks == 0.1
    env = playing(tmp_path, judge="rules", judge_checks=1.0)
    assert gap(play(env, DIALOGUE)) == [], "rules need no check"


def test_J07_what_counts_is_asked_and_paid_as_without_checks(tmp_path: Path) -> None:
    data = shop()
    data["checklist"][0][1] = {"id": "priced", "question": "Is the price named?", "weight": 0.4}
    plays = []
    for share in (0.0, 1.0):
        strict.asked.clear()
        env = playing(tmp_path, data, judge=STRICT, judge_checks=share)
        steps = play(env, DIALOGUE)
        plays.append(([s[1] for s in steps], [s[4]["success"] for s in steps], [*strict.asked]))
        assert gap(steps) == ([(1, 0, 1), (2, 0, 0)] if share else [])
    assert plays[0][:2] == plays[1][:2]
    plain, checked = plays[0][2], plays[1][2]
    assert len(plain) == 2
    assert [each for each in checked if each in plain] == plain
    assert len(checked) == 4


def test_J07_who_says_nothing_is_no_check(tmp_path: Path) -> None:
    env = playing(tmp_path, judge=STRICT, judge_checks=1.0)
    before = strict.calls
    assert gap(play(env, [ORDER, "**Solution:**"])) == []
    assert strict.calls == before


def test_J06_a_check_that_fails_is_a_failure_of_the_judge(tmp_path: Path) -> None:
    env = playing(tmp_path, judge=f"{__name__}:yes_to_all", judge_checks=1.0)
    env.step(ORDER)
    with pytest.raises(EpisodeFailure, match="granted what a bad control lacks") as caught:
        env.step("It is ordered.")
    assert caught.value.boundary == "judge"


yes_to_all = ScriptedChat(lambda messages, seed: answers(messages, lambda text: True), name="yes")


def test_J10_checks_are_replayed_too(tmp_path: Path) -> None:
    """Recorded with many episodes at once over a real connection, replayed without it."""
    cassette = tmp_path / "c"
    agent = ScriptedAgent(DIALOGUE)
    with serve(judging(several_lines)) as server:
        options: dict[str, JSON] = {
            "dialogues": written(tmp_path, shop(), shop() | {"id": "shop-2", "seed": 8}),
            "split": "all", "judge": f"openai:{server.url}#tiny", "judge_checks": 0.5,
            "cassette": str(cassette), "cassette_mode": "record",
        }  # fmt: skip
        tasks = [Task("simtools", options, seed) for seed in range(8)]
        recorded = collect(tasks, 3, agent, None, seed=0, limits=Limits(), driver=run_threaded)
        close_chats()
    content = cassette.read_bytes()
    again = [Task("simtools", options | {"cassette_mode": "replay"}, t.seed) for t in tasks]
    replayed = collect(again, 3, agent, None, seed=0, limits=Limits())
    assert cassette.read_bytes() == content
    kinds = set()
    for before, after in zip(recorded, replayed, strict=True):
        turns = [t.turns for t in before.trajectories_G]
        assert turns == [t.turns for t in after.trajectories_G]
        assert turns == [turns[0]] * 3
        kinds.add("judge_checked" in turns[0][1].facts)
    assert kinds == {False, True}
