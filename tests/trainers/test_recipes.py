"""Recipes as users start them: on exported ALFWorld games, killed and resumed, and learning."""

import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from sandboxes import needs_bwrap
from training_runs import in_the_end_equal, start_or_go_on

from agentgym.errors import ConfigError
from agentgym.records import episodes, replay
from agentgym.trainers import parts
from agentgym.trainers.config import TrainConfig, load_recipe


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small ALFWorld games with the splits of the data set."""
    pytest.importorskip("alfworld")
    from agentgym.envs.household import Household
    from agentgym.envs.household.export import export_game

    folder = tmp_path_factory.mktemp("games")
    for split in ("train", "valid_unseen"):
        env = Household(size="tiny", split=split)
        for seed in range(4):
            env.reset(seed=seed)
            export_game(env, folder / split / f"game_{seed}" / "game.tw-pddl")
    return folder


def shortened(name: str, games: Path, *overrides: str) -> TrainConfig:
    return load_recipe(name, [f"env.options.games={games}", *overrides])


def test_alfworld_recipes_are_sound(games: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("alfworld-gigpo", "alfworld-tiny"):
        parts.check(shortened(name, games), model=False)
    monkeypatch.setenv("ALFWORLD_DATA", str(games / "none"))
    with pytest.raises(ConfigError, match=r"env\.options\.games=FOLDER"):
        parts.check(load_recipe("alfworld-gigpo"), model=False)


def test_alfworld_gigpo_trains_a_small_policy_on_the_real_engine(
    games: Path, tmp_path: Path
) -> None:
    config = shortened(
        "alfworld-gigpo",
        games,
        "model.preset=tiny",
        "rollout.tasks=2",
        "rollout.group_size=2",
        "rollout.max_turns=4",
        "rollout.max_tokens_per_call=8",
        "eval.episodes=2",
        "eval.final_episodes=0",
        "train.iterations=2",
    )
    assert start_or_go_on(tmp_path / "run", config).iterations == 2
    logged = [e.trajectory for e in episodes(tmp_path / "run" / "trajectories.log")]
    assert {t.env for t in logged} == {"alfworld"}
    assert all(t.valid for t in logged)
    assert replay(tmp_path / "run").ok


HOUSEHOLD = (
    "env.preset=tiny",
    "warmstart.demonstrations=200",
    "warmstart.epochs=1",
    "rollout.tasks=2",
    "rollout.group_size=4",
    "eval.episodes=8",
    "eval.final_episodes=0",
    "eval.every=4",
    "train.checkpoint_every=1",
    "train.iterations=12",
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_household_gigpo(tmp_path: Path) -> None:
    config = load_recipe("household-gigpo", HOUSEHOLD)
    started = time.monotonic()
    start_or_go_on(tmp_path / "undisturbed", config)
    took_s = time.monotonic() - started
    in_the_end_equal(20, tmp_path / "undisturbed", tmp_path / "run", config, 2, took_s / 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("household-gigpo", ("env.preset=tiny", "train.iterations=60", "optim.muon_lr=0.005")),
        ("search-igpo", ("train.iterations=75",)),
        ("search-agentflow", ("train.iterations=25",)),
        ("tooluse-gigpo", ("train.iterations=20",)),
        ("simtools-cm2", ("train.iterations=30",)),
        pytest.param("swe-gated", ("train.iterations=40",), marks=needs_bwrap),
    ],
)
def test_held_out_success_rises_outside_of_the_intervals(
    name: str, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    config = load_recipe(name, [*overrides, "eval.every=0", "eval.final_episodes=400"])
    result = start_or_go_on(tmp_path / "run", config)
    assert result.first is not None
    assert result.last is not None
    assert result.last.interval[0] > result.first.interval[1], (result.first, result.last)
