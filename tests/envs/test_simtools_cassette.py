"""Simtools: recordings of what models said, and exact replays of them (J10)."""

import json
import multiprocessing
import threading
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import simtools_cases
from openai_servers import MODELS, Got, Reply, said, serve
from simtools_cases import calls, playing, shop, written

from agentgym.agents import ExpertAgent, ScriptedAgent
from agentgym.chat import ScriptedChat, close_chats
from agentgym.envs.simtools.cassette import Cassette, cassette_at, key_of
from agentgym.errors import ConfigError, TooManyFailures, UnknownName, UserError
from agentgym.rollout import Limits, Task, collect, run_lockstep, run_threaded
from agentgym.types import JSON, Message

TEA: dict[str, JSON] = {"item": "tea", "count": 3}
SHOPKEEPER = "simtools_cases:shopkeeper"


def forbidden() -> JSON:
    raise AssertionError("asked although there is an entry")


# Replays ------------------------------------------------------------------------------------------


def plays_the_shop(got: Got) -> Reply:
    """Play the shop as a server; no two answers are the same."""
    if got.method == "GET":
        return Reply(MODELS)
    messages = [Message(each["role"], each["content"]) for each in got.body["messages"]]
    plays_the_shop.count += 1  # type: ignore[attr-defined]
    return Reply(said(simtools_cases._shopkeeper(messages, plays_the_shop.count)))  # type: ignore[attr-defined]


def test_J10_a_replay_without_the_server_is_byte_equal(tmp_path: Path) -> None:
    """Recorded with many episodes at once over a real connection, replayed one by one."""
    plays_the_shop.count = 0  # type: ignore[attr-defined]
    cassette = tmp_path / "shop.cassette"
    path = written(tmp_path, shop(), shop() | {"id": "shop-2", "seed": 8})
    with serve(plays_the_shop) as server:
        options: dict[str, JSON] = {
            "dialogues": path, "split": "all", "simulator": f"openai:{server.url}#tiny",
            "cassette": str(cassette), "cassette_mode": "record",
        }  # fmt: skip
        tasks = [Task("simtools", options, seed) for seed in range(2)]
        recorded = collect(
            tasks, 6, ExpertAgent(), None, seed=0, limits=Limits(), driver=run_threaded
        )
        close_chats()
        assert len(server.samples) >= 4
    content = cassette.read_bytes()
    tasks = [Task("simtools", options | {"cassette_mode": "replay"}, seed) for seed in range(2)]
    replayed = collect(tasks, 6, ExpertAgent(), None, seed=0, limits=Limits(), driver=run_lockstep)
    assert cassette.read_bytes() == content
    for before, after in zip(recorded, replayed, strict=True):
        assert [t.turns for t in before.trajectories_G] == [t.turns for t in after.trajectories_G]
        first = after.trajectories_G[0]
        assert first.success is True
        assert all(t.turns == first.turns for t in after.trajectories_G), "one state, one answer"


def test_J10_two_dialogues_with_equal_calls_have_entries_of_their_own(tmp_path: Path) -> None:
    cassette = str(tmp_path / "c")
    for seed in (1, 2):
        env = playing(tmp_path, shop() | {"seed": seed}, simulator=SHOPKEEPER, cassette=cassette)
        env.step(calls(("order", TEA)))
    assert len(cassette_at(cassette, "auto")) == 2


def test_J10_the_same_call_in_another_state_has_an_entry_of_its_own(tmp_path: Path) -> None:
    cassette = str(tmp_path / "c")
    env = playing(tmp_path, simulator=SHOPKEEPER, cassette=cassette)
    look = calls(("look_up", {"order_id": "order 1"}))
    for action in (look, calls(("cancel", {"order_id": "order 1"})), look):
        env.step(action)
    assert len(cassette_at(cassette, "auto")) == 3


def test_J10_the_refusals_of_a_simulator_are_replayed_too(tmp_path: Path) -> None:
    cassette = str(tmp_path / "c")
    action = calls(("order", {"item": "please fail", "count": 1}))
    steps = [
        playing(
            tmp_path, simulator="test_simtools_cassette:stubborn", cassette=cassette,
            cassette_mode=mode,
        ).step(action)
        for mode in ("record", "replay")
    ]  # fmt: skip
    assert steps[0] == steps[1]
    assert steps[1][4]["facts"]["refused_by_simulator"] == 1


def test_J10_verdicts_are_replayed_too(tmp_path: Path) -> None:
    data = shop()
    data["checklist"][0][1] = {
        "id": "polite", "question": 'Does the reply say "please"?', "weight": 0.4,
    }  # fmt: skip
    cassette = str(tmp_path / "c")
    asked = simtools_cases.polite.calls
    plays = []
    for mode in ("record", "replay"):
        env = playing(
            tmp_path, data, judge="simtools_cases:polite", cassette=cassette, cassette_mode=mode
        )
        assert env.determinism == "recorded"
        steps = [env.step(calls(("order", TEA))), env.step("Wait, please.")]
        assert steps[1][4]["facts"]["checklist"]["satisfied"] == {"ordered": True, "polite": True}
        assert steps[1][1] == pytest.approx(0.5)
        plays.append((steps, simtools_cases.polite.calls - asked))
    assert plays[0] == plays[1]
    env.reset(seed=0)
    env.step(calls(("order", TEA)))
    with pytest.raises(UserError, match="has no entry"):
        env.step("Something else.")


def test_a_cassette_that_lacks_an_entry_says_which(tmp_path: Path) -> None:
    cassette = str(tmp_path / "c")
    options: dict[str, Any] = {"simulator": SHOPKEEPER, "cassette": cassette}
    playing(tmp_path, **options).step(calls(("order", TEA)))
    env = playing(tmp_path, **options, cassette_mode="replay")
    env.step(calls(("order", TEA)))
    with pytest.raises(UserError) as caught:
        env.step(calls(("order", {"item": "salt", "count": 1})))
    message = str(caught.value)
    assert f"{cassette} has no entry " in message
    key = message.split("has no entry ")[1][:32]
    assert int(key, 16)
    assert '"tool":"order"' in message
    assert '"arguments":{"count":1,"item":"salt"}' in message
    assert "cassette_mode='auto' asks and records" in message


def test_a_lacking_entry_stops_a_rollout(tmp_path: Path) -> None:
    """Its episodes are masked, never a reward, and the error names the entry."""
    cassette = tmp_path / "c"
    cassette.write_text("")
    options: dict[str, JSON] = {
        "dialogues": written(tmp_path, shop()), "split": "all", "simulator": SHOPKEEPER,
        "cassette": str(cassette), "cassette_mode": "replay",
    }  # fmt: skip
    agent = ScriptedAgent([calls(("order", TEA))])
    with pytest.raises(TooManyFailures, match=r'has no entry \w{32} for .*"tool":"order"'):
        collect([Task("simtools", options)], 2, agent, None, seed=0, limits=Limits())


# Modes --------------------------------------------------------------------------------------------


def test_modes(tmp_path: Path) -> None:
    path = str(tmp_path / "folder" / "c")
    with pytest.raises(ConfigError, match="there is no cassette"):
        cassette_at(path, "replay")
    with pytest.raises(UnknownName, match="did you mean 'replay'"):
        cassette_at(path, "reply")
    new = cassette_at(path, "record")
    assert new.answer("k", {}, lambda: 1, strict=False) == 1
    assert cassette_at(path, "replay").answer("k", {}, forbidden, strict=True) == 1
    assert cassette_at(path, "auto").answer("k", {}, forbidden, strict=False) == 1
    old = tmp_path / "old"
    old.write_bytes(Path(path).read_bytes())
    with pytest.raises(ConfigError, match=r"has 1 entries already; cassette_mode='auto'"):
        cassette_at(str(old), "record")


def test_a_deleted_cassette_is_begun_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "c")
    cassette_at(path, "record").answer("k", {}, lambda: 1, strict=False)
    Path(path).unlink()
    assert cassette_at(path, "record").answer("k", {}, lambda: 2, strict=False) == 2


# The file -----------------------------------------------------------------------------------------


def test_answers_survive_as_they_are(tmp_path: Path) -> None:
    value: JSON = {"b": [1.5, None, True], "a": "\ud800\u202e\x00語", "n": 10**20, "x": 1e-300}
    Cassette(tmp_path / "c").answer("k", {"\udc80": 1}, lambda: value, strict=False)
    again = Cassette(tmp_path / "c").answer("k", {}, forbidden, strict=True)
    assert again == value
    assert list(again) == ["b", "a", "n", "x"]  # type: ignore[arg-type]


def test_a_torn_tail_is_dropped_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "c"
    Cassette(path).answer("one", {}, lambda: 1, strict=False)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:-cut])
        torn = Cassette(path)
        assert len(torn) == 1
        torn.answer("two", {}, lambda: 2, strict=False)
        assert len(Cassette(path)) == 2
    assert path.read_bytes().startswith(whole)
    path.write_bytes(whole + b'{"key": "' + b"x" * 500)
    Cassette(path).answer("two", {}, lambda: 2, strict=False)
    assert len(Cassette(path)) == 2
    assert path.read_bytes().endswith(b"\n")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c"
    Cassette(path).answer("one", {}, lambda: 1, strict=False)
    size = len(path.read_bytes())
    for damage in (b"\x00\x01\n", b"{}\n", b"[]\n", b'{"key": [], "answer": 1}\n'):
        path.write_bytes(path.read_bytes()[:size] + damage)
        with pytest.raises(ConfigError, match=f"is damaged at byte {size}"):
            Cassette(path)


def test_the_first_answer_counts_for_all_threads(tmp_path: Path) -> None:
    """Also for two instances, as two processes have them, that ask at the same time."""
    path = tmp_path / "c"
    cassettes, got = [Cassette(path), Cassette(path)], []
    gate = threading.Barrier(8)

    def work(number: int) -> None:
        def ask() -> JSON:
            gate.wait()
            return number

        got.append(cassettes[number % 2].answer("k", {}, ask, strict=False))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == 1
    assert path.read_bytes().count(b"\n") == 1


def _append(path: str, name: str, gate: Barrier) -> None:
    cassette = Cassette(Path(path))
    gate.wait(60)
    for k in range(60):
        cassette.answer(f"{name} {k}", {}, lambda: name, strict=False)
        cassette.answer(f"both {k}", {}, lambda: name, strict=False)


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c"
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(2)
    processes = [spawn.Process(target=_append, args=(str(path), name, gate)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    keys = [json.loads(line)["key"] for line in path.read_bytes().splitlines()]
    assert len(keys) == len(set(keys)) == 180


def test_nothing_is_recorded_of_a_failure(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "c")

    def fail() -> JSON:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cassette.answer("k", {}, fail, strict=False)
    assert cassette.answer("k", {}, lambda: 3, strict=False) == 3


def test_keys() -> None:
    assert key_of(1, "a", {"b": 1, "c": 2}) == key_of(1, "a", {"c": 2, "b": 1})
    assert len({key_of(*parts) for parts in ([1], ["1"], [[1]], [1, 1], [None])}) == 5


def _stubborn(messages: Sequence[Message], seed: int) -> str:
    return "No." if "please fail" in messages[1].content else '{"error": "closed"}'


stubborn = ScriptedChat(_stubborn, name="stubborn")
