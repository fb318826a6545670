"""Learning itself: success rises, and falls when the sign of the credit is flipped."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.config import dump_toml
from agentgym.records import RunFolder, read_metrics
from agentgym.trainers.config import load_recipe
from agentgym.trainers.credit.base import Advantages
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.loop import Result, train
from agentgym.types import Group

__all__ = ["Flipped"]


@dataclass(frozen=True)
class Flipped:
    """GiGPO with the wrong sign."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, group: Group) -> Advantages:
        right = GiGPO()(group)
        return replace(
            right,
            values_GKCT=tuple(
                tuple(tuple(-v for v in values_CT) for values_CT in values_KCT)
                for values_KCT in right
            ),
        )


def learn(path: Path, *overrides: str, recipe: str = "guess") -> Result:
    config = load_recipe(recipe, ["eval.episodes=0", "eval.final_episodes=200", *overrides])
    with RunFolder.create(path, dump_toml(config), config.seed, envs=["guess"]) as run:
        return train(config, run)


@pytest.mark.slow
def test_success_rises(tmp_path: Path) -> None:
    result = learn(tmp_path / "run", "train.iterations=40")
    assert result.first is not None
    assert result.last is not None
    assert result.last.interval[0] > result.first.interval[1]


@pytest.mark.slow
def test_ppo_learns_without_groups_to_compare(tmp_path: Path) -> None:
    result = learn(tmp_path / "run", recipe="guess-ppo")
    assert result.first is not None
    assert result.last is not None
    assert result.last.interval[0] > result.first.interval[1]
    rows = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "critic/lr" in r]
    explained = [float(str(row["critic/explained_variance"])) for row in rows[-10:]]
    assert sum(explained) / len(explained) > 0.1


@pytest.mark.slow
def test_with_the_wrong_sign_it_falls(tmp_path: Path) -> None:
    result = learn(tmp_path / "run", "train.iterations=20", f"credit={__name__}:Flipped")
    assert result.first is not None
    assert result.last is not None
    assert result.last.interval[1] < result.first.interval[0]
