"""Recipe swe-gated: rewards of steps count only in episodes whose tests pass."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from sandboxes import needs_bwrap
from training_runs import start_or_go_on

from agentgym.records import episodes
from agentgym.trainers import parts
from agentgym.trainers.config import load_recipe
from agentgym.trainers.credit.gated import Gated
from agentgym.types import Group

SMALL = (
    "warmstart.demonstrations=40",
    "warmstart.epochs=1",
    "rollout.tasks=2",
    "rollout.group_size=3",
    "eval.episodes=4",
    "eval.final_episodes=4",
    "train.iterations=1",
)


@needs_bwrap
@pytest.mark.parametrize("accumulation", ["gated", pytest.param("direct", marks=pytest.mark.slow)])
def test_an_iteration_of_the_recipe(tmp_path: Path, accumulation: str) -> None:
    config = load_recipe("swe-gated", (*SMALL, f"credit.accumulation={accumulation}"))
    result = start_or_go_on(tmp_path / "run", config)
    assert result.iterations == 1
    logged = [*episodes(tmp_path / "run" / "trajectories.log")]
    shown = [each.trajectory for each in logged if each.phase == "demonstration"]
    assert sum(each.success is True for each in shown) > len(shown) / 2
    tried = [each.trajectory for each in logged if each.phase == "train"]
    assert len(tried) == 6
    assert all(each.valid for each in tried)
    scheme = parts.check(config).credit
    assert isinstance(scheme, Gated)
    for each in [*shown, *tried]:  # the gate is a fact of the verdict: nothing that was printed
        resolved = each.turns[-1].facts.get("resolved")
        assert (scheme.closed(each) == {"*"}) != bool(resolved)
    [group] = [scheme.gate(Group("t", tuple(shown[:8])))]
    if accumulation == "gated":
        for before, after in zip(shown, group.trajectories_G, strict=False):
            kept = before.episode_return if not scheme.closed(before) else 0.0
            assert after.episode_return == pytest.approx(kept)
