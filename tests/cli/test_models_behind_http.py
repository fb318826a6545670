"""`rollout`, `play` and `eval` with a model behind HTTP: a server that always says the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_run import Run
from openai_servers import Reply, Server, said, scripted, serve

pytest.importorskip("aiohttp")

from agentgym.records import episodes


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serve(scripted(Reply(said("10")))) as server:
        yield server


def test_rollout_plays_a_model_behind_http(served: Server, workplace: Path, agentgym: Run) -> None:
    word = f"openai:{served.url}#tiny"
    done = agentgym(
        "rollout", "guess", "--model", word, "-n", 3, "--max-tokens", 8, "--out", "played"
    )
    assert "3, seeds 0 to 2" in done.words
    assert "success" in done.words
    assert "failed" not in done.words
    assert len(list(episodes(workplace / "played" / "trajectories.log"))) == 3
    assert agentgym("fsck", "played").code == 0


def test_eval_and_play_take_it_too(served: Server, agentgym: Run) -> None:
    word = f"openai:{served.url}#tiny"
    options = ("--max-tokens", 8, "--temperature", 0)
    assert "success" in agentgym("eval", word, "--env", "guess", "-n", 2, *options).words
    assert "guess, seed 0, played by openai:" in agentgym("play", "guess", "--agent", word).words


def test_mistakes_stop_the_command_line(served: Server, agentgym: Run) -> None:
    word = f"openai:{served.url}#tinny"
    done = agentgym("rollout", "guess", "--agent", word, code=2)
    assert "did you mean 'tiny'?" in done.words
    done = agentgym("rollout", "guess", "--agent", "openai:tiny", code=2)
    assert "openai:ADDRESS#MODEL" in done.words
    done = agentgym("eval", word, "--env", "guess", "--step", 3, code=2)
    assert "has no checkpoints" in done.words
