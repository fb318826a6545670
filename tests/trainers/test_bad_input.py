"""What a researcher may get wrong about credit, refused with a clear error; and what goes right.

Where else: rewards that are not finite stop at the environment (`tests/test_env.py`,
`tests/test_rollout.py`); groups of one, equal, masked or mixed and parameters out of range are
defined or refused for every scheme (`test_every_scheme.py`, `test_credit.py`,
`test_turn_credit.py`); broken promises of a scheme are named by `check_credit`
(`tests/testing/test_credit_kit.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.config import dump_toml, load
from agentgym.errors import UnknownName, UserError
from agentgym.records import RunFolder, episodes, read_metrics
from agentgym.testing import check_credit
from agentgym.trainers import parts
from agentgym.trainers.config import TrainConfig
from agentgym.trainers.loop import train

QUICK = {
    "env": {"name": "guess"},
    "model": {"preset": "tiny"},
    "warmstart": {"demonstrations": 8, "optimizer": {"lr": 3e-3}},
    "rollout": {"tasks": 2, "group_size": 4, "max_tokens_per_call": 3, "opening": ""},
    "optim": {"lr": 1e-3},
    "eval": {"every": 0, "episodes": 2},
    "train": {"iterations": 2},
}

SCHEME = '''
"""Only the winner's last turn counts."""

from dataclasses import dataclass

import numpy as np

from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.common import Turns

__all__ = ["LastTurn"]


@dataclass(frozen=True)
class LastTurn:
    """The episode's return relative to its group, for the tokens of the last turn."""

    weight: float = 1.0
    fault: str = ""
    needs = frozenset()

    def __call__(self, group):
        turns = Turns.of(group)
        values = self.weight * turns.relative_scores(
            turns.episode_scores_N, "trajectories", scale=False, eps=0.0, lone="zero"
        )
        last = np.zeros(len(values))
        last[[end - 1 for end in turns.starts[1:]]] = 1.0
        good = turns.widen(values * last)
        match self.fault:
            case "shape":
                return Advantages(good.values_GKCT[1:])
            case "nan":
                return turns.widen(values * np.nan)
            case "type":
                return [1.0]
            case "writes":
                object.__setattr__(group, "task", "mine")
        return good
'''


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file, the scheme; Python looks for modules there."""
    (tmp_path / "last_turn.py").write_text(SCHEME)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "last_turn", raising=False)
    return tmp_path


def test_a_scheme_in_one_file_outside_is_trained_with_from_a_recipe(elsewhere: Path) -> None:
    """From the command line, in a folder that holds nothing but the file and the recipe."""
    warm = {"demonstrations": 100, "noise": 0.2, "optimizer": {"lr": 3e-3}}  # so that some succeed
    config = {**QUICK, "warmstart": warm, "credit": {"name": "last_turn:LastTurn", "weight": 2.0}}
    (elsewhere / "mine.toml").write_text(dump_toml(load(TrainConfig, config)))
    code = "from agentgym.cli.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "mine.toml", "rollout.tasks=4", "--out", "run"],
        cwd=elsewhere,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [r for r in read_metrics(elsewhere / "run" / "metrics.jsonl") if "learner/lr" in r]
    assert len(rows) == 2
    assert any(row["credit/zero_signal_groups"] < 1 for row in rows)
    assert any(row["learner/grad_norm"] > 0 for row in rows)
    trained = [e for e in episodes(elsewhere / "run" / "trajectories.log") if e.phase == "train"]
    assert len(trained) == 2 * 4 * 4


def test_the_kit_passes_it_and_names_its_faults(elsewhere: Path) -> None:
    from last_turn import LastTurn  # type: ignore[import-not-found]

    assert check_credit("last_turn:LastTurn")
    for fault, words in (
        ("shape", "trajectories but advantages for"),
        ("nan", "NaN or infinite"),
        ("type", "must return Advantages"),
        ("writes", "was changed"),
    ):
        failed = [check.detail for check in check_credit(LastTurn(fault=fault)).failed]
        assert any(words in detail for detail in failed), (fault, failed)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("shape", "LastTurn gave a wrong answer for group .*4 trajectories but advantages for 3"),
        ("nan", "LastTurn gave a wrong answer for group .*member 0: a value is NaN or infinite"),
        ("type", "LastTurn gave a wrong answer for group .*must return Advantages, got list"),
    ],
)
def test_a_wrong_answer_stops_the_run_before_anything_learns_from_it(
    elsewhere: Path, fault: str, words: str
) -> None:
    config = load(TrainConfig, {**QUICK, "credit": {"name": "last_turn:LastTurn", "fault": fault}})
    with (
        RunFolder.create(elsewhere / "run", dump_toml(config), 0, envs=["guess"]) as run,
        pytest.raises(UserError, match=words),
    ):
        train(config, run)
    assert not [r for r in read_metrics(elsewhere / "run" / "metrics.jsonl") if "learner/lr" in r]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("credit=gigppo", "did you mean 'gigpo'"),
        ("credit=0.5*gigpo + igp", "did you mean 'igpo'"),
        ("loss=ppo_clp", "did you mean 'ppo_clip'"),
        ("loss=gsp", "did you mean 'gspo'"),
        ("loss.clip_lo=0.1", "did you mean 'loss.clip_low'"),
    ],
)
def test_unknown_names_bring_the_nearest(override: str, words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        parts.check(load(TrainConfig, QUICK, [override]))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["credit.gamma=1.5", "credit=gigpo"], "gamma must be a number from 0 to 1, got 1.5"),
        (["credit.omega=-1", "credit=gigpo"], "omega"),
        (["credit=gae", "credit.lam=2"], "lam"),
        (["credit=0.5*gigpo(gamma=7) + grpo"], "gamma"),
        (["loss.clip_low=2"], "clip_low"),
        (["loss.dual_clip=0.5"], "dual_clip must be above 1"),
        (["loss.aggregation=seq-mean-token-sum-norm"], "length"),
        (["rollout.group_size=0"], "group_size"),
    ],
)
def test_numbers_out_of_range_are_found_before_anything_starts(
    overrides: list[str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        parts.check(load(TrainConfig, QUICK, overrides))
