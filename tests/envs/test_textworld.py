"""The textworld environment: games made once by tw-make, found in folders, played, refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check

pytest.importorskip("textworld", reason="TextWorld is the extra 'textworld'")

from agentgym import make
from agentgym.env import TextEnv
from agentgym.errors import ConfigError, UnknownName
from agentgym.testing import check_env


def textworld(games: Path, **options: object) -> TextEnv:
    return make("textworld", games=str(games), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two games by tw-make: one without and one with points on the way."""
    folder = tmp_path_factory.mktemp("games")
    coin = make("textworld", generate="coin_collector --level 3", count=1, games=str(folder))
    coin.reset(seed=0)
    coin.close()
    rich = "simple --rewards balanced --goal brief"
    make("textworld", generate=rich, count=1, games=str(folder)).reset(seed=0)
    return folder


def of_kind(env: TextEnv, kind: str) -> str:
    names: list[str] = env.games.names  # type: ignore[attr-defined]
    return next(name for name in names if name.startswith(kind))


def test_the_contract_is_kept(games: Path) -> None:
    options = {"games": str(games)}
    report = check_env("textworld", options=options, seeds=(0,), steps=5).raise_on_failure()
    assert not report.warnings, report


def test_gymnasium_makes_and_checks_it(games: Path) -> None:
    env = gymnasium.make("agentgym/textworld-v0", games=str(games))
    gymnasium_check(env.unwrapped, skip_render_check=True)
    env.close()


def test_gold_wins_and_the_rewards_sum_to_one(games: Path) -> None:
    env = textworld(games)
    _, info = env.reset(options={"game": of_kind(env, "simple")})
    rewards: list[float] = []
    for command in list(env.gold() or ()):
        assert command in info["admissible_commands"]
        _, reward, over, _, info = env.step(command)
        rewards.append(reward)
        assert info["action_valid"]
    assert (over, info["success"]) == (True, True)
    assert sum(rewards) == pytest.approx(1)
    assert 0 < min(r for r in rewards if r) < 1, "points on the way are rewarded on the way"


def test_gold_is_known_from_every_state(games: Path) -> None:
    env = textworld(games)
    env.reset(options={"game": of_kind(env, "coin")})
    first, second, *_ = env.gold() or ()
    env.step(first)
    assert next(iter(env.gold() or ())) == second
    back = {"north": "south", "south": "north", "east": "west", "west": "east"}
    env.step(f"go {back[first.split()[1]]}")
    assert list(env.gold() or ())[:2] == [first, second]


def test_doing_nothing_earns_nothing(games: Path) -> None:
    env = textworld(games, max_turns=5)
    env.reset(seed=0)
    for _ in range(5):
        _, reward, over, truncated, info = env.step("look")
        assert (reward, over, info["success"]) == (0, False, None)
    assert truncated


def test_texts_are_those_of_the_game_without_picture_and_prompt(games: Path) -> None:
    plain, raw = textworld(games), textworld(games, raw=True)
    (text, _), (whole, _) = plain.reset(seed=0), raw.reset(seed=0)
    assert "$$$" in whole
    assert whole.rstrip().endswith(("0/1", "0/0", "0/3"))
    assert "$$" not in text
    assert text[0].isalpha()
    assert text[-1] == "."
    assert all(line in whole for line in text.splitlines())
    text, whole = plain.step("look")[0], raw.step("look")[0]
    assert text.startswith("-=")
    assert whole != text
    assert text.splitlines()[-1] in whole


@pytest.mark.parametrize(
    "command", ["", "dance", "restart", "QUIT", "look. quit", "\\quit", "tw-print player id", "語"]
)
def test_what_does_not_act_in_the_world_does_nothing(games: Path, command: str) -> None:
    env = textworld(games)
    env.reset(seed=0)
    key = env.state_key()
    *_, info = env.step(command)
    assert info["action_valid"] is False
    assert env.state_key() == key
    assert env.step("look")[0].startswith("-=")


def test_state_keys_come_back_and_tell_states_apart(games: Path) -> None:
    env = textworld(games)
    env.reset(options={"game": of_kind(env, "simple")})
    start = env.state_key()
    env.step("inventory")
    assert env.state_key() == start
    seen = {start}
    for command in list(env.gold() or ()):
        env.step(command)
        assert env.state_key() not in seen
        seen.add(env.state_key())
    assert textworld(games).state_key() is None


def test_seeds_play_every_game_in_turn(games: Path) -> None:
    env = textworld(games)
    played = [env.reset(seed=seed)[1]["game"] for seed in (4, 5, 6, 7)]
    assert len(set(played)) == 2
    assert played[:2] == played[2:]


def test_a_snapshot_returns_in_another_instance(games: Path) -> None:
    env, other = textworld(games), textworld(games)
    env.reset(seed=0)
    plan = list(env.gold() or ())
    env.step(plan[0])
    saved, key = env.snapshot(), env.state_key()
    for command in plan[1:]:
        *_, over, _, _ = env.step(command)
    assert over
    other.restore(saved)
    assert (other.state_key(), other.turns) == (key, 1)
    for command in plan[1:]:
        _, _, over, _, _ = other.step(command)
    assert over


def test_closing_gives_the_interpreter_back(games: Path) -> None:
    if not Path("/proc").exists():
        pytest.skip("needs /proc")

    def held() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text()
        return len(os.listdir("/proc/self/fd")), maps.count("libfrotz")

    before = held()
    env = textworld(games)
    for seed in range(3):  # each reset changes the game
        env.reset(seed=seed)
    assert held()[1] - before[1] <= 6, "one interpreter at a time"
    env.close()
    assert held() == before


def test_single_file_and_generated_games_are_kept(
    games: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = next(games.rglob("*.z8"))
    assert textworld(file).reset(seed=3)[1]["game"] == file.name
    again = make("textworld", generate="coin_collector --level 3", count=1, games=str(games))
    (made,) = games.glob("coin_collector*/*.z8")
    written = made.stat().st_mtime_ns
    again.reset(seed=17)
    assert made.stat().st_mtime_ns == written
    assert not list(games.rglob(".making-*"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    default = make("textworld", generate="coin_collector --level 3")
    assert default.games.folder.is_relative_to(tmp_path)  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir()), "nothing is made before it is played"


def test_games_are_made_in_a_folder_named_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    make("textworld", generate="coin_collector --level 1", count=1, games="here").reset(seed=0)
    assert list((tmp_path / "here").rglob("*.z8"))


def test_what_tw_make_refuses_is_told(tmp_path: Path) -> None:
    env = make("textworld", generate="coin_collector --levl 3", games=str(tmp_path))
    with pytest.raises(ConfigError, match=r"`tw-make tw-coin_collector --levl 3 --seed 1` failed"):
        env.reset(seed=1)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_options_are_checked(games: Path, tmp_path: Path) -> None:
    wrong: tuple[tuple[dict[str, object], str], ...] = (
        ({}, "no games to play"),
        ({"games": str(tmp_path / "nowhere")}, "no TextWorld game or folder"),
        ({"games": str(tmp_path)}, "there are no TextWorld games"),
        ({"games": 3}, "must be a folder or a file"),
        ({"generate": "chess"}, "no kind of TextWorld game 'chess'"),
        ({"generate": ""}, "must be like"),
        ({"generate": "custom --seed 3"}, "--seed is set by agentgym"),
        ({"generate": "custom 'x"}, "cannot be read"),
        ({"generate": "custom", "count": 0}, "count must be"),
        ({"games": str(games), "raw": 1}, "raw must be"),
    )
    for options, complaint in wrong:
        with pytest.raises((ConfigError, UnknownName), match=complaint):
            make("textworld", **options)  # type: ignore[arg-type]
    env = textworld(games)
    with pytest.raises(UnknownName, match="reset option"):
        env.reset(options={"gaem": "x"})
    with pytest.raises(UnknownName, match="game in"):
        env.reset(options={"game": "../x.z8"})


def damaged(games: Path, folder: Path, content: bytes | None = None) -> Path:
    source = next(games.rglob("*.z8"))
    path = folder / "game.z8"
    path.write_bytes(source.read_bytes() if content is None else content)
    shutil.copy(source.with_suffix(".json"), path.with_suffix(".json"))
    return path


def test_damaged_games_are_named_before_anything_starts(games: Path, tmp_path: Path) -> None:
    whole = bytearray(next(games.rglob("*.z8")).read_bytes())
    flipped = whole.copy()
    flipped[5000] ^= 1
    for content in (b"", b"not a game" * 20, bytes(whole[:-9000]), bytes(flipped)):
        path = damaged(games, tmp_path, content)
        with pytest.raises(ConfigError, match="is no whole TextWorld game") as caught:
            textworld(tmp_path)
        assert str(path) in str(caught.value)


def test_what_lies_beside_a_game_is_needed(games: Path, tmp_path: Path) -> None:
    path = damaged(games, tmp_path)
    beside = path.with_suffix(".json")
    for content in ("{", json.dumps({"a": 1})):
        beside.write_text(content, "utf-8")
        with pytest.raises(ConfigError, match=r"game\.json is no TextWorld game"):
            textworld(tmp_path).reset(seed=0)
    beside.unlink()
    with pytest.raises(ConfigError, match=r"has no game\.json beside it"):
        textworld(tmp_path)
    path.rename(tmp_path / "game.ulx")
    with pytest.raises(ConfigError, match=r"game\.ulx needs textworld before 1\.7"):
        textworld(tmp_path)
    with pytest.raises(ConfigError, match=r"game\.ulx needs textworld before 1\.7"):
        textworld(tmp_path / "game.ulx")


def test_the_extra_is_named_where_it_is_missing() -> None:
    program = (
        "import sys; sys.modules['textworld'] = None\n"
        "from agentgym import make, registry\n"
        "assert registry.entries('envs')['textworld'].problem == ''\n"
        "make('textworld')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'agentgym[textworld]'" in done.stderr
