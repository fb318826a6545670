"""BFCL multi-turn: ground truth of every entry, and the verdicts of the package's own checker."""

import decimal
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mpmath
import pytest

import agentgym
from agentgym.agents import PolicyAgent
from agentgym.backends.scripted import Scripted
from agentgym.env import TextEnv
from agentgym.envs.bfcl import Bfcl
from agentgym.envs.bfcl.fetch import fetch
from agentgym.envs.bfcl.package import CATEGORIES
from agentgym.errors import ConfigError, UnknownName
from agentgym.render import Renderer
from agentgym.rollout import Limits, Task, collect
from agentgym.toolcalls import Reply
from agentgym.types import ToolCall

ENTRIES = 200
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    return fetch()


@pytest.fixture
def env(folder: Path) -> Bfcl:
    return Bfcl(path=str(folder))


def calls(*made: tuple[str, dict[str, Any]]) -> str:
    return Reply("", tuple(ToolCall(*call) for call in made)).action


def play(env: TextEnv, actions: Sequence[str]) -> tuple[list[float], dict[str, Any], bool]:
    """Return the rewards, the last info, and whether it is over."""
    rewards: list[float] = []
    info: dict[str, Any] = {}
    over = False
    for action in actions:
        _, reward, over, _, info = env.step(action)
        rewards.append(reward)
        if over:
            break
    return rewards, info, over


@pytest.mark.parametrize(
    "category",
    ["base", "miss_func", *(pytest.param(name, marks=SLOW) for name in CATEGORIES[2:])],
)
def test_the_ground_truth_of_every_entry_succeeds_and_nothing_else_does(
    folder: Path, category: str
) -> None:
    env = Bfcl(path=str(folder), category=category)
    played, bad = set(), []
    for seed in range(ENTRIES):
        _, info = env.reset(seed=seed)
        played.add(info["entry"])
        rewards, info, over = play(env, [*(env.gold() or [])])
        if not (over and info["success"] and sum(rewards) == 1.0 and not info["verdict"]):
            bad.append((info["entry"], info.get("verdict")))
        env.reset(seed=seed)
        rewards, info, over = play(env, [env.noop] * 10)
        if not over or info["success"] is not False or sum(rewards) != 0:
            bad.append((info["entry"], "doing nothing succeeds"))
    assert not bad
    assert len(played) == ENTRIES
    assert all(name.startswith(f"multi_turn_{category}_") for name in played)


CHECK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
out = []
for k, (entry, truth, made) in enumerate(json.load(sys.stdin)):
    verdict = multi_turn_checker(made, truth, entry, "", f"m{k}")
    out.append([verdict["valid"], verdict.get("error_type", "")])
print(json.dumps(out))
"""
VERDICTS = {
    "": "",
    "no call was made": "multi_turn:empty_turn_model_response",
    "the services are not in the state that the ground truth leaves": (
        "multi_turn:instance_state_mismatch"
    ),
    "a result of the ground truth was not seen": "multi_turn:execution_response_mismatch",
}


def changed(
    turns: list[list[tuple[str, dict[str, Any]]]], tools: list[str], rng: random.Random
) -> list[list[tuple[str, dict[str, Any]]]]:
    """Return ground truth with something done to it that may be wrong, or not."""
    turns = [[*turn] for turn in turns]
    turn = rng.choice(turns)
    place = rng.randrange(len(turn)) if turn else 0
    match rng.randrange(8 if turn else 1):
        case 0:
            turn.insert(place, (rng.choice(tools), {}))
        case 1:
            turn.append(turn[place])
        case 2:
            del turn[place]
        case 3:
            turn.reverse()
        case 4:
            name, arguments = turn[place]
            turn[place] = name, {key: f"{value}x" for key, value in arguments.items()}
        case 5:
            turn.clear()
        case 6:
            turns[0].extend(turn)
        case 7:
            turn.insert(place, ("ls", {"a": True}))
    return turns


@pytest.mark.parametrize(
    "category", ["base", *(pytest.param(name, marks=SLOW) for name in CATEGORIES[1:])]
)
def test_verdicts_are_those_of_the_package(folder: Path, category: str) -> None:
    env, rng = Bfcl(path=str(folder), category=category), random.Random(category)
    data = folder / "bfcl_eval/data"
    name = f"BFCL_v4_multi_turn_{category}.json"
    entries = [json.loads(line) for line in (data / name).read_text().splitlines()]
    truths = [
        json.loads(line) for line in (data / "possible_answer" / name).read_text().splitlines()
    ]
    asked, ours = [], []
    for seed in range(ENTRIES):
        env.reset(seed=seed)
        plan = [Reply.of_action(action) for action in env.gold() or []]
        turns: list[list[tuple[str, dict[str, Any]]]] = [[]]
        for reply in plan[:-1]:
            turns[-1] += [(call.name, dict(call.arguments)) for call in reply.calls]
            turns += [] if reply.calls else [[]]
        turns = changed(turns, [*env.toolset.names], rng)
        made: list[list[list[str]]] = []
        info: dict[str, Any] = {}
        for turn in turns:
            made.append([[written(call) for call in turn]] if turn else [])
            _, info, over = play(env, [*([calls(*turn)] if turn else []), "Done."])
            if over:
                break
        made += [[]] * (len(turns) - len(made))
        ours.append([info["success"], VERDICTS[info["verdict"]]])
        asked.append((entries[seed], truths[seed]["ground_truth"], made))
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(folder)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    assert ours == theirs
    assert 20 < sum(valid for valid, _ in theirs) < ENTRIES - 20
    assert {kind for _, kind in theirs} == {*VERDICTS.values()}


def written(call: tuple[str, dict[str, Any]]) -> str:
    return f"{call[0]}({', '.join(f'{key}={value!r}' for key, value in call[1].items())})"


def test_each_turn_of_the_user_comes_when_the_agent_speaks(env: Bfcl) -> None:
    first, info = env.reset(seed=0)
    assert (info["entry"], info["user_turn"]) == ("multi_turn_base_0", 0)
    assert "final_report.pdf" in first
    shown, _, over, _, info = env.step(
        calls(("cd", {"folder": "document"}), ("mkdir", {"dir_name": "temp"}))
    )
    assert not over
    assert [message.role for message in info["messages"]] == ["tool", "tool"]
    assert shown.startswith('{"current_working_directory": "document"}')
    env.step(calls(("mv", {"source": "final_report.pdf", "destination": "temp"})))
    second, reward, over, _, info = env.step("I moved it.")
    assert (reward, over, info["user_turn"]) == (0.0, False, 1)
    assert "budget analysis" in second
    assert env.max_turns is None


def test_a_tool_that_comes_late_is_told_of_then(folder: Path) -> None:
    env = Bfcl(path=str(folder), category="miss_func")
    env.reset(seed=0)
    names = [schema["function"]["name"] for schema in env.tools]  # type: ignore[index, call-overload]
    assert "sort" not in names
    plan = [*(env.gold() or [])]
    texts = [env.step(action)[0] for action in plan[:5]]
    *_, before, now = texts
    assert '"name": "sort"' in now
    assert '"name": "sort"' not in before
    assert now.endswith("What about now?")
    assert "sort" in [s["function"]["name"] for s in env.tools]  # type: ignore[index, call-overload]


def test_part_of_the_reward_for_each_turn_of_the_user(folder: Path) -> None:
    env = Bfcl(path=str(folder), partial=True)
    env.reset(seed=0)
    plan = [*(env.gold() or [])]
    rewards, info, _ = play(env, plan)
    assert [reward for reward in rewards if reward] == [0.25] * 4
    assert info["reward_parts"] == {"turns": 0.25}
    env.reset(seed=0)
    rewards, info, over = play(env, [*plan[:2], "Done."])
    assert (sum(rewards), over, info["success"]) == (0.25, True, False)
    assert info["verdict"] == "no call was made"


def test_the_plan_is_for_the_present_state(env: Bfcl) -> None:
    env.reset(seed=0)
    plan = [*(env.gold() or [])]
    key = env.state_key()
    env.step(calls(("pwd", {})))
    assert env.gold() == plan  # looking changes nothing
    env.step(calls(("cd", {"folder": "document"})))
    assert env.state_key() != key
    rest = [*(env.gold() or [])]
    assert len(Reply.of_action(rest[0]).calls) == len(Reply.of_action(plan[0]).calls) - 1
    env.step(calls(("cd", {"folder": ".."})))
    env.step(calls(("cd", {"folder": "document"})))
    assert env.gold() == rest
    env.step(calls(("rm", {"file_name": "final_report.pdf"})))
    assert env.gold() is None
    env.reset(seed=0)
    play(env, plan)
    assert env.gold() is None


def test_one_step_too_many_ends_it(env: Bfcl) -> None:
    env.reset(seed=0)
    for _ in range(20):
        _, _, over, _, _ = env.step(calls(("ls", {})))
        assert not over
    _, reward, over, _, info = env.step(calls(("ls", {})))
    assert (reward, over, info["success"]) == (0.0, True, False)
    assert info["verdict"] == "too many steps in one turn of the user"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (calls(("lss", {})), "there is no tool 'lss'; did you mean 'ls'"),
        (calls(("cd", {})), "missing a required argument: 'folder'"),
        (calls(("cd", {"folder": "document", "self": 1})), "unexpected keyword argument 'self'"),
        (calls(("_load_scenario", {"scenario": {}})), "there is no tool '_load_scenario'"),
        ('{"problems": [{"kind": "json", "message": "cut"}]}', "cut"),
    ],
)
def test_E04_what_is_no_call_is_answered_and_the_turn_goes_on(
    env: Bfcl, action: str, said: str
) -> None:
    env.reset(seed=0)
    shown, _, over, _, info = env.step(action)
    assert said in shown
    assert not over
    assert info["action_valid"] is False
    assert info["user_turn"] == 0
    _, info, _ = play(env, [*(env.gold() or [])])
    assert info["success"]


def test_E06_a_thousand_calls_in_one_turn_are_capped(env: Bfcl) -> None:
    env.reset(seed=0)
    shown, _, over, _, info = env.step(calls(*[("pwd", {})] * 1000))
    assert not over
    assert len(info["messages"]) <= 65
    assert info["action_valid"] is False
    assert "at most 64" in shown or "64" in shown


def test_what_a_service_makes_of_wrong_values_is_shown(env: Bfcl) -> None:
    env.reset(seed=0)
    shown, _, _, _, info = env.step(calls(("cd", {"folder": ["a"]})))
    assert shown.startswith("Error during execution: ")
    assert info["action_valid"] is True


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("power", {"base": 3, "exponent": 10**12}),
        ("logarithm", {"value": 2, "base": 10, "precision": 10**9}),
        ("square_root", {"number": 2, "precision": 10**9}),
        ("round_number", {"number": 12345, "decimal_places": -(10**9)}),
    ],
)
def test_sums_that_take_forever_are_refused(
    folder: Path, tool: str, arguments: dict[str, Any]
) -> None:
    env = with_mathematics(folder)
    shown = env.step(calls((tool, arguments)))[0]
    assert shown.startswith("Error during execution: ")
    assert "more than" in shown or "at most" in shown


def with_mathematics(folder: Path) -> Bfcl:
    """Return an environment in an episode with the mathematical tools."""
    env = Bfcl(path=str(folder))
    seed = 0
    while env.reset(seed=seed) and "logarithm" not in env.toolset.names:
        seed += 1
    return env


def test_precision_stays_as_it_was(folder: Path) -> None:
    env = with_mathematics(folder)
    before = mpmath.mp.dps, decimal.getcontext().prec
    shown = env.step(calls(("logarithm", {"value": 2, "base": 10, "precision": 50})))[0]
    assert "0.30102999566398119521373889472449302676818988146210" in shown
    env.step(calls(("square_root", {"number": 2, "precision": 77})))
    assert (mpmath.mp.dps, decimal.getcontext().prec) == before


def test_nothing_of_the_package_is_installed_or_found_by_others(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bfcl_eval").mkdir()
    (tmp_path / "bfcl_eval/__init__.py").write_text("raise RuntimeError('another version')")
    code = (
        "import sys, agentgym\n"
        f"env = agentgym.make('bfcl', path={str(folder)!r}, category='long_context')\n"
        "env.reset(seed=0)\n"
        "for action in env.gold(): *_, info = env.step(action)\n"
        "assert info['success']\n"
        f"assert not any({str(folder)!r} in place for place in sys.path)\n"
        "assert not any(name.startswith('bfcl_eval') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_package_that_a_service_lacks_is_named(folder: Path) -> None:
    code = (
        "import sys; sys.modules['mpmath'] = None\n"
        "import agentgym\n"
        f"agentgym.make('bfcl', path={str(folder)!r}, first=0, count=1)\n"  # no mathematics
        f"agentgym.make('bfcl', path={str(folder)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "math_api of bfcl-eval needs the package 'mpmath'" in done.stderr.splitlines()[-1]
    assert "pip install 'agentgym[bfcl]'" in done.stderr
    assert "line 4" in done.stderr


def test_options_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="agentgym fetch bfcl --to"):
        agentgym.make("bfcl", path=str(tmp_path))
    with pytest.raises(UnknownName, match="did you mean 'miss_func'"):
        agentgym.make("bfcl", path=str(folder), category="missfunc")
    for first, count in ((200, None), (150, 51)):
        with pytest.raises(ConfigError, match="there are 200 entries of base"):
            Bfcl(path=str(folder), first=first, count=count)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"first": -1}, "first must be a whole number of at least 0, got -1"),
        ({"first": "3"}, "first must be a whole number of at least 0, got '3'"),
        ({"count": 0}, "count must be a whole number of at least 1, got 0"),
        ({"count": True}, "count must be a whole number of at least 1, got True"),
        ({"partial": "yes"}, "partial must be true or false, got 'yes'"),
    ]
    for options, said in wrong:
        with pytest.raises(ConfigError, match=said):
            Bfcl(path=str(folder), **options)
    env = agentgym.make("bfcl", path=str(folder), first=10, count=2)
    played = [env.reset(seed=seed)[1]["entry"] for seed in range(4)]
    assert played == [f"multi_turn_base_{number}" for number in (10, 11, 10, 11)]


def test_no_registry_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigError, match="pip could not get bfcl-eval"):
        fetch(tmp_path / "copy")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "copy").mkdir()
    with pytest.raises(ConfigError, match="is there, and is no copy"):
        fetch(tmp_path / "copy")


def test_a_model_plays_it_with_the_tools_of_its_conversation(folder: Path) -> None:
    said = ["Action: ls\nAction Input: {}", "Action: fly\nAction Input: {}", "It is done."]
    backend = Scripted(said)
    task = Task("bfcl", {"path": str(folder)})
    limits = Limits(max_tokens_per_call=100)
    agent = PolicyAgent(Renderer(backend.tokenizer))
    [group] = collect([task], 1, agent, backend, seed=0, limits=limits)
    [episode] = group.trajectories_G
    first, second, third = episode.turns
    prompt = backend.tokenizer.decode(first.calls[0].prompt_ids)
    assert "gorilla" in prompt.lower()
    assert "current_directory_content" in second.observation.text
    assert "there is no tool 'fly'" in third.observation.text
    assert (second.action_valid, episode.success) == (False, False)
