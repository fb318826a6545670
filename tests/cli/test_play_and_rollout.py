"""`play` with piped input and with agents; `rollout`, its table and record; `replay`, `fsck`."""

import re
from pathlib import Path

import pytest
from cli_run import Run

from agentgym.records import episodes

FLAKY = '''
from agentgym import Outcome, TextEnv

class Flaky(TextEnv):
    """Breaks on some worlds."""
    instructions = "Play."

    def __init__(self, *, bad: int = 0, **options):
        super().__init__(**options)
        self.bad = bad

    def begin(self, options):
        self.number = int(self.np_random.integers(10))
        return "Go."

    def act(self, action):
        if self.number < self.bad:
            raise OSError("the engine is gone")
        return Outcome("Done.", 1.0, terminated=True, success=True)

    def state_key(self):
        return str(self.number)
'''


@pytest.fixture
def flaky(workplace: Path) -> str:
    (workplace / "flaky.py").write_text(FLAKY)
    return "flaky.py"


def test_a_person_plays(agentgym: Run) -> None:
    typed = "10\n/hint\nnonsense\n/commands\n/help\n15\n18\n17\n"
    done = agentgym("play", "guess", "--seed", 5, stdin=typed)
    lines = [line for line in done.out.splitlines() if line]
    assert lines[0] == "guess, seed 5, played by you"
    assert lines[1] == "Guess the number. Answer with the number alone."
    assert lines[2] == "I am thinking of a number between 1 and 20. What is it?"
    assert lines[3] == "> 10"
    assert "> nonsense" in lines
    assert "(not understood)" in lines
    assert "This environment does not list its commands." in lines
    assert re.search(r"The expert would say: \d+", done.out)
    assert lines[-1].startswith(("Solved in", "left before the end"))


def test_a_person_calls_tools(agentgym: Run) -> None:
    typed = 'count by=1\n/tools\n/hint\ncount by="\ncount {"by": 2}\ncount by=x\nWhat next?\n'
    done = agentgym("play", "tool_envs:Counting", "--seed", 1, stdin=typed)
    lines = [line for line in done.out.splitlines() if line]
    assert lines.count("count by: Count up.") == 2  # at the start, and when asked
    assert "The expert would say: count by=4" in lines
    assert any(line.startswith("No closing quotation.") for line in lines)
    assert lines[lines.index('> count {"by": 2}') + 1] == "3"
    assert "(not understood)" in lines  # x is no number
    assert lines[-1].startswith("Not solved")  # words end this game


def test_calls_of_an_agent_are_shown_as_a_person_types_them(agentgym: Run) -> None:
    watched = agentgym("play", "tool_envs:Counting", "--agent", "gold")
    actions = re.findall(r"^> (.*)$", watched.out, re.M)
    assert actions[0].startswith("count by=")
    played = agentgym("play", "tool_envs:Counting", stdin="\n".join(actions))
    assert "Solved in 2 turns" in played.out


def test_a_person_solves_it(agentgym: Run) -> None:
    actions = re.findall(r"^> (.*)$", agentgym("play", "guess", "--agent", "gold").out, re.M)
    done = agentgym("play", "guess", stdin="\n".join(actions))
    assert "reward 1\n" in done.out
    assert "Solved in 1 turn, return 1." in done.out


def test_a_person_leaves_or_runs_out_of_turns(agentgym: Run) -> None:
    assert "left before the end" in agentgym("play", "guess", stdin="/quit\n").out
    assert "left before the end" in agentgym("play", "guess", stdin="").out
    done = agentgym("play", "guess", "--option", "max_turns=2", stdin="0\n0\n0\n")
    assert "Not solved (no verdict): the turns are up after 2 turns, return 0." in done.out
    assert done.out.count("> 0") == 2


def test_admissible_commands_are_shown_if_asked_for(agentgym: Run) -> None:
    words = ["play", "household", "--preset", "tiny", "--agent", "gold"]
    assert "inventory  " not in agentgym(*words).out
    assert "inventory  " in agentgym(*words, "--show-admissible").out


@pytest.mark.parametrize("agent", ["noop", "random", "expert"])
def test_agents_play(agentgym: Run, agent: str) -> None:
    done = agentgym("play", "guess", "--agent", agent, "--seed", 1)
    assert done.out.count("\n> ") >= 1
    assert "olved" in done.out


def test_texts_are_shown_as_they_are(agentgym: Run, workplace: Path) -> None:
    (workplace / "brackets.py").write_text(
        FLAKY.replace('"Go."', r"'[bold]Go[/bold] [/no] :smile: \x1b[2J \ud800'")
    )
    said = agentgym("play", "brackets.py", stdin="").out
    assert "[bold]Go[/bold] [/no] :smile: \u241b[2J \\ud800" in said


def test_rollout_table(agentgym: Run) -> None:
    said = agentgym("rollout", "guess", "--agent", "gold", "-n", 30, "--seed", 7).words
    for part in (
        "agent gold",
        "episodes 30, seeds 7 to 36",
        "success 100.0% [88.6%, 100.0%] 95 %",
        "mean return 1 mean turns 1.0",
        "valid actions 100.0%",
        "ended done 30",
        "steps/s",
    ):
        assert part in said, part
    noop = agentgym("rollout", "guess", "--agent", "noop", "-n", 30).words
    assert "success 0.0% [0.0%, 11.4%] 95 %" in noop
    assert "valid actions 0.0%" in noop


def test_rollouts_are_the_same_with_both_drivers(agentgym: Run) -> None:
    def table(driver: str) -> str:
        words = ["rollout", "guess", "--agent", "random", "-n", 20, "--driver", driver]
        return agentgym(*words).out.rpartition("took")[0]

    assert table("lockstep") == table("threaded")
    assert "--driver must be" in agentgym("rollout", "guess", "--driver", "x", code=2).err


def test_failures_are_shown_by_boundary_and_are_no_score(agentgym: Run, flaky: str) -> None:
    said = agentgym("rollout", flaky, "--agent", "noop", "-n", 20, "--option", "bad=4").words
    match = re.search(r"ended done (\d+), error (\d+)", said)
    assert match
    done, failed = int(match[1]), int(match[2])
    assert done + failed == 20
    assert 0 < failed < 20
    assert "success 100.0%" in said  # of those that count
    assert f"failed env {failed} {failed} x OSError: the engine is gone" in said


def test_players_who_need_what_is_not_there(agentgym: Run, flaky: str) -> None:
    for verb in ("play", "rollout"):
        gold = agentgym(verb, flaky, "--agent", "gold", code=2).words
        assert "flaky:Flaky has no reference solution: it does not write gold()" in gold
        expert = agentgym(verb, flaky, "--agent", "expert", code=2).words
        assert "flaky:Flaky has no expert: it writes neither expert() nor gold()" in expert


def test_a_rollout_without_a_valid_episode_fails(agentgym: Run, flaky: str) -> None:
    said = agentgym(
        "rollout", flaky, "--agent", "noop", "-n", 3, "--option", "bad=10", code=1
    ).words
    assert "failed env 3" in said
    assert "success" not in said


def test_rollout_records_and_replay_confirms(agentgym: Run, workplace: Path) -> None:
    words = ["rollout", "household", "--preset", "tiny", "--agent", "random", "-n", 4, "--out", "r"]
    agentgym(*words)
    assert len(list(episodes(workplace / "r" / "trajectories.log"))) == 4
    assert "exists and is not empty" in agentgym(*words, code=2).words
    assert "rollout 4 " in agentgym("info", "r").words
    said = agentgym("replay", "r", "--verify").words
    assert "played again, all equal 4 (80 steps)" in said
    assert "every state key, observation and reward is confirmed" in said
    assert "everything is whole" in agentgym("fsck", "r").words
    assert "all records are intact" in agentgym("replay", "r", "--limit", 2).words


def test_replay_of_what_cannot_be_played_confirms_nothing(
    agentgym: Run, workplace: Path, flaky: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["rollout", flaky, "--agent", "noop", "-n", 4, "--out"]
    agentgym(*words, "good")
    assert "confirmed" in agentgym("replay", "good", "--verify").words
    agentgym(*words, "bad", "--option", "bad=10", code=1)
    said = agentgym("replay", "bad", "--verify", code=1).words
    assert "skipped (12) it failed while it was recorded" in said  # 4 episodes, 3 attempts
    assert "nothing is confirmed" in said


def test_replay_finds_what_was_tampered_with(agentgym: Run, workplace: Path) -> None:
    import zlib

    agentgym("rollout", "guess", "--agent", "gold", "-n", 2, "--out", "r")
    log = workplace / "r" / "trajectories.log"
    lines = log.read_bytes().split(b"\n")
    place = next(k for k, line in enumerate(lines) if b'"reward":1.0' in line)
    forged = lines[place][9:].replace(b'"reward":1.0', b'"reward":2.0')
    lines[place] = b"%08x %s" % (zlib.crc32(forged), forged)
    log.write_bytes(b"\n".join(lines))
    said = agentgym("replay", "r", "--verify", code=1).words
    assert "turn 0: reward was recorded as 2.0, but is 1.0" in said
    assert "confirmed" not in said
    log.write_bytes(log.read_bytes().replace(b'"reward":2.0', b'"reward":3.0'))
    assert "damaged record" in agentgym("replay", "r", code=1).words
    assert "log: " in agentgym("fsck", "r", code=1).words


def test_what_is_no_run(agentgym: Run, workplace: Path) -> None:
    assert "is not a run" in agentgym("replay", workplace, code=2).words
    assert "is not a run" in agentgym("fsck", workplace, code=2).words
    assert "is not a run" in agentgym("info", workplace, code=2).words


def test_options_are_checked_before_anything_runs(agentgym: Run, workplace: Path) -> None:
    def said(*words: object) -> str:
        return agentgym("rollout", "household", *words, "--out", "r", code=2).words

    assert "there is no option of household 'sise'; did you mean 'size'" in said(
        "--option", "sise=tiny"
    )
    assert "size must be one of" in said("--option", "size=huge") or "did you mean" in said(
        "--option", "size=smal"
    )
    assert "dense_rewards" in said("--option", "dense_rewards=3")
    assert "is not of the form key=value" in said("--option", "size")
    assert "preset of household" in said("--preset", "tini")
    assert "did you mean 'expert'" in said("--agent", "expret")
    assert not (workplace / "r").exists()
    source = FLAKY.replace("bad: int = 0", "bad: int")
    (workplace / "strict.py").write_text(source)
    needs = "strict:Flaky needs its option bad: --option bad=..."
    assert needs in agentgym("rollout", "strict.py", code=2).words
    agentgym("rollout", "strict.py", "--agent", "noop", "--option", "bad=0", "-n", 1)


def test_a_model_plays(agentgym: Run, workplace: Path) -> None:
    pytest.importorskip("torch")
    agentgym("new", "policy", "p", "--env", "guess", "--episodes", 20)
    said = agentgym("rollout", "guess", "--agent", "p", "-n", 4, "--max-tokens", 5).words
    assert "agent p" in said
    assert "tokens/s" in said
    assert "\n> " in agentgym("play", "guess", "--agent", "p").out
    said = agentgym("eval", "p", "--env", "guess", "-n", 4, "--temperature", 0).words
    assert "measured on 4 held-out worlds of guess, greedy" in said
    assert "say on what, with --env" in agentgym("eval", "p", code=2).err
    assert "is not a run" in agentgym("eval", "p", "--env", "guess", "--step", 1, code=2).err
    (workplace / "p" / "config.json").unlink()
    assert "'p'" in agentgym("rollout", "guess", "--agent", "p", code=2).err
