"""`agentgym fetch`, where what it gets is there already."""

from pathlib import Path

from cli_run import Run

from agentgym.envs.bfcl.fetch import fetch


def test_fetching_what_is_there_says_where(agentgym: Run, workplace: Path) -> None:
    place = fetch()
    assert str(place) in agentgym("fetch", "bfcl").out.replace("\n", "")
    (workplace / "here").symlink_to(place)
    assert "bfcl is in here" in agentgym("fetch", "bfcl", "--to", "here").words
    said = agentgym("rollout", "bfcl", "--agent", "gold", "-n", 3, "--option", "path=here").words
    assert "100.0%" in said


def test_mistakes_get_nothing(agentgym: Run, workplace: Path) -> None:
    assert "did you mean 'bfcl'" in agentgym("fetch", "bfc", code=2).words
    (workplace / "mine").mkdir()
    (workplace / "mine/thesis.txt").write_text("all of it")
    assert (
        "mine is there, and is no copy" in agentgym("fetch", "bfcl", "--to", "mine", code=2).words
    )
    assert (workplace / "mine/thesis.txt").read_text() == "all of it"
    said = agentgym("rollout", "bfcl", "--option", "path=mine", code=2).words
    assert "agentgym fetch bfcl --to mine" in said
