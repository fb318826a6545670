"""`agentgym credit`: advantages of saved episodes side by side, from the log alone."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_run import Run

from agentgym.records.log import LOG, TrajectoryLog
from agentgym.trainers.credit.common import example
from agentgym.types import Group


def group(name: str, rewards: list[list[float]], states: Any, **more: Any) -> Group:
    made = example(rewards, states, **more)
    turn = dataclasses.replace(made.trajectories_G[0].turns[0], action="look at \x1b[31m red")
    first = dataclasses.replace(
        made.trajectories_G[0], turns=(turn, *made.trajectories_G[0].turns[1:])
    )
    return dataclasses.replace(made, task=name, trajectories_G=(first, *made.trajectories_G[1:]))


@pytest.fixture
def run(workplace: Path) -> Path:
    """Two iterations; in the last one, a group without signal, one with, and an evaluation."""
    folder = workplace / "r"
    folder.mkdir()
    log = TrajectoryLog(folder / LOG)
    states = [["hall", "kitchen"], ["hall", "bath", "kitchen"]]
    log.append_group(group("cellar", [[0, 0], [0, 0, 0]], states), step=1)
    log.append_group(group("attic", [[0, 0], [0, 0, 0]], states), step=2)
    log.append_group(group("house", [[0, 1], [0, 0, 0]], states), step=2)
    log.append_group(group("other", [[0, 1], [0, 0, 0]], states), step=2, phase="eval")
    log.close()
    return folder


def rows(out: str) -> dict[str, list[str]]:
    """The numbers of each turn."""
    lines = re.findall(r"^(\d+\.\d+) .*?((?: +[+-]\d+\.\d{3})+)\s*$", out, re.M)
    return {turn: numbers.split() for turn, numbers in lines}


def test_schemes_stand_side_by_side(agentgym: Run, run: Path) -> None:
    names = ["-s", "gigpo(gamma=0.5, scale='none')", "-s", "grpo( std = false )"]
    done = agentgym("credit", run, *names)
    assert "train step 2: 2 groups, 4 episodes" in done.out
    assert "house: returns 1, 0" in done.out  # the one with a signal comes first
    assert "attic" not in done.out
    assert "1 of 2 groups" in done.words
    assert "#1 gigpo(gamma=0.5, scale='none')" in done.words  # too long for its column
    assert re.search(r"^turn +action +reward +#1 +#2 *$", done.out, re.M)
    assert "\x1b[31m" not in done.out
    assert rows(done.out) == {
        "0.0": ["+0.750", "+0.500"],
        "0.1": ["+1.000", "+0.500"],
        "1.0": ["-0.750", "-0.500"],
        "1.1": ["-0.500", "-0.500"],
        "1.2": ["-1.000", "-0.500"],
    }
    assert "attic: returns 0, 0" in agentgym("credit", run, "-n", 9).out


def test_steps_phases_and_tasks_are_chosen(agentgym: Run, run: Path) -> None:
    assert "cellar" in agentgym("credit", run, "--step", 1).out
    assert "other" in agentgym("credit", run, "--phase", "eval").out
    assert "attic" in agentgym("credit", run, "--task", "att").out
    done = agentgym("credit", run, "--groups", 0)
    assert rows(done.out) == {}
    assert "gigpo" in done.out


def test_a_failed_member_is_said_to_enter_nothing(agentgym: Run, run: Path) -> None:
    log = TrajectoryLog(run / LOG)
    log.append_group(group("last", [[1], [0], [1]], [["a"]] * 3, invalid=[2]), step=3)
    log.close()
    done = agentgym("credit", run, "-s", "rloo")
    assert "returns 1, 0, failed" in done.out
    assert "(error: it enters nothing)" in done.words
    assert rows(done.out) == {"0.0": ["+1.000"], "1.0": ["-1.000"]}


def test_the_penalty_is_that_of_the_run(agentgym: Run, run: Path) -> None:
    made = group("last", [[0.0], [0.0]], [["a"]] * 2)
    turn = dataclasses.replace(made.trajectories_G[1].turns[0], action_valid=False)
    second = dataclasses.replace(made.trajectories_G[1], turns=(turn,))
    log = TrajectoryLog(run / LOG)
    log.append_group(
        dataclasses.replace(made, trajectories_G=(made.trajectories_G[0], second)), step=3
    )
    log.close()
    assert "1 of 1" in agentgym("credit", run, "-s", "rloo").words
    (run / "config.toml").write_text("[reward]\ninvalid_action_penalty = 0.5\n")
    done = agentgym("credit", run, "-s", "rloo")
    assert "0.5 off for invalid actions" in done.words
    assert rows(done.out) == {"0.0": ["+0.500"], "1.0": ["-0.500"]}
    assert "1 of 1" in agentgym("credit", run, "-s", "rloo", "--penalty", 0).words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-s", "gigppo"], "did you mean 'gigpo'"),
        (["-s", "gigpo(gama=1)"], "gamma"),
        (["-s", "0.5*gigpo + + grpo"], "cannot be read"),
        (["-s", "igpo"], "IGPO needs gold_logprob, which the log of"),
        (["--step", 7], "has no episodes of step 7; it has train up to step 2"),
        (["--phase", "evl"], "did you mean 'eval'"),
        (["--task", "castle"], "has 'castle' in its name, such as 'attic'"),
    ],
)
def test_mistakes_are_named(agentgym: Run, run: Path, words: list[Any], said: str) -> None:
    assert said in agentgym("credit", run, *words, code=2).words


def test_what_is_no_run_is_refused(agentgym: Run, workplace: Path) -> None:
    assert "is not a run" in agentgym("credit", workplace, code=2).words
    (workplace / LOG).touch()
    assert "has no episodes yet" in agentgym("credit", workplace, code=2).words


def test_notes_of_annotators_are_read_from_the_log(agentgym: Run, run: Path) -> None:
    notes = {"gold_logprob": [[-3.0, -1.0], [-3.0, -3.0]], "value": [[0.0] * 2, [0.0] * 2]}
    log = TrajectoryLog(run / LOG)
    log.append_group(group("asked", [[0, 1], [0, 1]], None, notes=notes), step=3)
    log.close()
    done = agentgym("credit", run, "-s", "igpo(std=false)", "-s", "gae")
    assert rows(done.out) == {
        "0.0": ["+1.000", "+1.000"],
        "0.1": ["+0.000", "+1.000"],
        "1.0": ["-1.000", "+1.000"],
        "1.1": ["+0.000", "+1.000"],
    }
    assert "needs state_key" in agentgym("credit", run, "-s", "gigpo", code=2).words


def test_it_needs_no_torch(run: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from agentgym.cli.__main__ import main\n"
        f"main(['credit', {str(run)!r}, '-s', '0.5*gigpo + flow_grpo(compat=\"agentflow\")'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "house: returns 1, 0" in done.stdout


def test_parts_of_rewards_have_the_run_s_weights(agentgym: Run, workplace: Path) -> None:
    folder = workplace / "weighed"
    folder.mkdir()
    (folder / "config.toml").write_text("[reward.parts]\nstyle = 0.5\n")
    made = group("house", [[0, 1], [0, 0, 0]], None)
    turns = made.trajectories_G[0].turns
    styled = dataclasses.replace(turns[0], reward=2.0, reward_parts={"style": 2.0})
    first = dataclasses.replace(made.trajectories_G[0], turns=(styled, turns[1]))
    log = TrajectoryLog(folder / LOG)
    members = (first, *made.trajectories_G[1:])
    log.append_group(dataclasses.replace(made, trajectories_G=members), step=1)
    log.close()
    done = agentgym("credit", folder, "-s", "rloo")
    assert "parts style x 0.5" in done.words
    assert "house: returns 1, 0" in done.out  # of 3, the unnamed 1 has no weight
