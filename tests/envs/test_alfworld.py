"""The alfworld environment: finding games, playing them, its expert, its errors."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check

pytest.importorskip("alfworld", reason="the real engine is the extra 'alfworld'")
pytest.importorskip("textworld", reason="the real engine is the extra 'alfworld'")

from agentgym import make
from agentgym.env import TextEnv
from agentgym.envs.alfworld import TASKS
from agentgym.envs.household import Household
from agentgym.envs.household.export import export_games
from agentgym.errors import ConfigError, UnknownName
from agentgym.testing import check_env


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the original data set, one game of each task type in train."""
    folder = tmp_path_factory.mktemp("games")
    for number, task in enumerate(TASKS):
        export_games(folder / "json_2.1.1", size="tiny", task=task, seeds=[number])
    export_games(folder / "json_2.1.1", size="tiny", split="valid_unseen", seeds=range(3))
    return folder


def alfworld(games: Path, **options: object) -> TextEnv:
    return make("alfworld", games=str(games), **options)  # type: ignore[arg-type]


def test_the_contract_is_kept(games: Path) -> None:
    report = check_env("alfworld", options={"games": str(games)}, seeds=(0, 1)).raise_on_failure()
    assert not report.warnings, report


def test_gymnasium_makes_and_checks_it(games: Path) -> None:
    env = gymnasium.make("agentgym/alfworld-v0", games=str(games))
    gymnasium_check(env.unwrapped, skip_render_check=True)


def test_it_shows_what_the_household_environment_shows(games: Path) -> None:
    """The same worlds, drawn there by seed and played here from the exported files."""
    env, twin = alfworld(games), Household(size="tiny", task=TASKS[0], max_turns=50)
    (name,) = [n for n in env.games.names if n.startswith(TASKS[0])]  # type: ignore[attr-defined]
    shown, info = env.reset(options={"game": name})
    assert (info["game"], info["task_type"]) == (name, TASKS[0])
    expected, facts = twin.reset(seed=0)
    assert shown == expected
    assert info["admissible_commands"] == facts["admissible_commands"]
    rng = random.Random(0)
    over = False
    while not over:
        commands = ["nonsense", *info["admissible_commands"]]
        command = rng.choice([*commands, *(twin.gold() or ())])
        text, reward, terminated, truncated, info = env.step(command)
        assert (text, reward, terminated, truncated) == twin.step(command)[:4]
        over = terminated or truncated
        assert info["action_valid"] == (text != "Nothing happens.")


def test_gold_solves_every_game_from_the_start_and_on_its_way(games: Path) -> None:
    env = alfworld(games)
    for seed in range(len(TASKS)):
        env.reset(seed=seed)
        plan = list(env.gold() or ())
        assert plan
        env.step("look")
        assert list(env.gold() or ()) == plan
        env.step(plan[0])
        assert list(env.gold() or ()) == plan[1:]
        for command in plan[1:]:
            _, reward, over, _, info = env.step(command)
        assert (reward, over, info["success"]) == (1.0, True, True)


def test_gold_is_none_away_from_the_walkthrough(games: Path) -> None:
    env = alfworld(games)
    _, info = env.reset(seed=0)
    plan = list(env.gold() or ())
    others = [c for c in info["admissible_commands"] if c.startswith("go to") and c not in plan]
    env.step(others[0])
    assert env.gold() is None


def test_a_walkthrough_that_does_not_win_is_no_gold(games: Path, tmp_path: Path) -> None:
    copy_with(games, tmp_path, walkthrough=["look"])
    env = alfworld(tmp_path)
    env.reset(seed=0)
    assert env.gold() is None


def copy_with(games: Path, folder: Path, **changes: object) -> Path:
    """Write a changed copy of one game, without the trajectory beside it."""
    source = sorted(games.rglob("*.tw-pddl"))[0]
    data = json.loads(source.read_text("utf-8")) | changes
    path = folder / "changed.tw-pddl"
    path.write_text(json.dumps(data), "utf-8")
    return path


def test_consecutive_seeds_play_every_game_once(games: Path) -> None:
    env = alfworld(games)
    played = [env.reset(seed=seed)[1]["game"] for seed in range(5, 5 + 12)]
    assert set(Counter(played).values()) == {2}
    assert played[:6] == played[6:]
    again = [alfworld(games).reset(seed=seed)[1]["game"] for seed in range(5, 11)]
    assert again == played[:6]


def test_without_a_new_seed_the_games_go_on_in_the_same_way(games: Path) -> None:
    def played() -> list[str]:
        env = alfworld(games)
        return [env.reset(seed=seed)[1]["game"] for seed in (3, None, None, None, None, None)]

    assert played() == played()
    assert len(set(played())) > 1


def test_splits_and_task_types_choose_the_games(games: Path) -> None:
    assert len(alfworld(games).games.names) == 6  # type: ignore[attr-defined]
    assert len(alfworld(games, split="valid_unseen").games.names) == 3  # type: ignore[attr-defined]
    two = alfworld(games, task=list(TASKS[:2]))
    assert {two.reset(seed=s)[1]["task_type"] for s in range(4)} == set(TASKS[:2])
    inner = alfworld(games / "json_2.1.1" / "valid_unseen")
    assert len(inner.games.names) == 3  # type: ignore[attr-defined]


def test_task_types_are_found_in_the_trajectory_too(games: Path, tmp_path: Path) -> None:
    copy_with(games, tmp_path)
    assert alfworld(tmp_path).reset(seed=0)[1]["task_type"] is None
    with pytest.raises(ConfigError, match="none of the 1 games"):
        alfworld(tmp_path, task=TASKS[0])
    (tmp_path / "traj_data.json").write_text(json.dumps({"task_type": TASKS[0]}), "utf-8")
    assert alfworld(tmp_path, task=TASKS[0]).reset(seed=0)[1]["task_type"] == TASKS[0]


def test_games_that_are_not_solvable_are_left_out(games: Path, tmp_path: Path) -> None:
    copy_with(games, tmp_path, solvable=False)
    with pytest.raises(ConfigError, match="none of the 1 games"):
        alfworld(tmp_path)


def test_admissible_commands_can_be_shown(games: Path) -> None:
    text, info = alfworld(games, show_admissible=True).reset(seed=0)
    plain, _ = alfworld(games).reset(seed=0)
    listed = ", ".join(info["admissible_commands"])
    assert text == f"{plain}\n\nAdmissible commands: {listed}."


def test_the_hand_coded_expert_solves_games_and_is_deterministic(games: Path) -> None:
    def demonstration(seed: int) -> tuple[list[str], bool]:
        env, commands, over = alfworld(games), [], False
        env.reset(seed=seed)
        info: dict[str, object] = {}
        while not over:
            commands.append(env.expert() or "look")
            *_, terminated, truncated, info = env.step(commands[-1])
            over = terminated or truncated
        return commands, info["success"] is True

    before = random.getstate()
    shown = [demonstration(seed) for seed in range(6)]
    assert sum(success for _, success in shown) >= 4
    assert shown == [demonstration(seed) for seed in range(6)]
    assert random.getstate() == before
    assert shown[0][0] != list(gold_of(games, 0)), "the expert has to look for things"


def gold_of(games: Path, seed: int) -> list[str]:
    env = alfworld(games)
    env.reset(seed=seed)
    return list(env.gold() or ())


def test_without_a_trajectory_the_expert_follows_the_walkthrough(
    games: Path, tmp_path: Path
) -> None:
    copy_with(games, tmp_path)
    for beside in (None, "{", json.dumps({"task_type": "none", "pddl_params": {}})):
        if beside is not None:
            (tmp_path / "traj_data.json").write_text(beside, "utf-8")
        env = alfworld(tmp_path)
        env.reset(seed=0)
        assert env.expert() == next(iter(env.gold() or ()))


def test_a_snapshot_returns_in_another_instance(games: Path) -> None:
    env, other = alfworld(games), alfworld(games)
    env.reset(seed=1)
    plan = list(env.gold() or ())
    env.step(plan[0])
    saved, key, advice = env.snapshot(), env.state_key(), env.expert()
    for command in plan[1:]:
        env.step(command)
    for _ in range(2):
        other.restore(saved)
        assert (other.state_key(), other.turns, other.expert()) == (key, 1, advice)
        for command in plan[1:]:
            *_, over, _, _ = other.step(command)
        assert over


def test_no_process_or_file_is_left_open(games: Path) -> None:
    """The stock engine maps a library of 33 MB for every environment; this one holds nothing."""
    env = alfworld(games)
    env.reset(seed=0)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc").exists() else 0
    mapped = Path("/proc/self/maps").read_text().count("libdownward") if before else 0
    for seed in range(4):
        other = alfworld(games)
        other.reset(seed=seed)
        other.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
        assert Path("/proc/self/maps").read_text().count("libdownward") == mapped


def test_missing_games_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, games: Path
) -> None:
    monkeypatch.delenv("ALFWORLD_DATA")
    with pytest.raises(ConfigError, match="export-alfworld FOLDER"):
        make("alfworld")
    monkeypatch.setenv("ALFWORLD_DATA", str(games))
    assert make("alfworld").reset(seed=0)[1]["task_type"] in TASKS
    with pytest.raises(ConfigError, match="does not exist"):
        alfworld(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no ALFWorld games .*alfworld-download"):
        alfworld(tmp_path)
    with pytest.raises(ConfigError, match="has no split 'valid_seen', only: train, valid_unseen"):
        alfworld(games, split="valid_seen")


def test_options_are_checked(games: Path) -> None:
    wrong: tuple[dict[str, object], ...] = (
        {"split": "test"},
        {"task": "pick_and_place"},
        {"task": []},
        {"show_admissible": "yes"},
        {"max_turns": 0},
    )
    for options in wrong:
        with pytest.raises((ConfigError, UnknownName)):
            alfworld(games, **options)
    with pytest.raises(UnknownName, match="pick_and_place_simple"):
        alfworld(games, task="pick_and_place_simpel")
    with pytest.raises(ConfigError, match="games must be a folder"):
        make("alfworld", games=3)
    env = alfworld(games)
    with pytest.raises(UnknownName, match="reset option"):
        env.reset(options={"gmae": "x"})
    with pytest.raises(UnknownName, match="game in"):
        env.reset(options={"game": "../x.tw-pddl"})


@pytest.mark.parametrize("content", ["", "{", '{"pddl_domain": "x"}', '{"a": 1}'])
def test_a_file_that_is_no_game_is_named_before_anything_starts(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.tw-pddl"
    path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match="is not a whole ALFWorld game") as caught:
        alfworld(tmp_path)
    assert str(path) in str(caught.value)


def test_a_game_that_the_translator_refuses_is_named(games: Path, tmp_path: Path) -> None:
    path = copy_with(games, tmp_path, pddl_problem="(define")
    with pytest.raises(ConfigError, match="cannot be translated") as caught:
        alfworld(tmp_path).reset(seed=0)
    assert str(path) in str(caught.value)


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path) -> None:
    """Listing needs no engine; asking for the environment without it says what to install."""
    program = (
        "import sys; sys.modules['alfworld'] = None\n"
        "from agentgym import make, registry\n"
        "assert registry.entries('envs')['alfworld'].problem == ''\n"
        "assert 'textworld' not in sys.modules\n"
        "make('alfworld')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'agentgym[alfworld]'" in done.stderr
