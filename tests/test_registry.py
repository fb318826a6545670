"""Names: the folder, the entry points, dotted targets, and what is broken."""

import sys
from pathlib import Path

import pytest

from agentgym import registry
from agentgym.errors import ConfigError, UnknownName


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on sys.path that looks like an installed package with entry points."""
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg" / "__init__.py").write_text("")
    (tmp_path / "my_pkg" / "coin.py").write_text(
        "class Coin:\n    '''Toss a coin.\n\n    More.'''\n\n    version = 3\n"
    )
    (tmp_path / "my_pkg" / "broken.py").write_text("import nothing_of_that_name\n")
    info = tmp_path / "my_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[agentgym.envs]\ncoin = my_pkg.coin:Coin\nbroken = my_pkg.broken:Broken\n"
        "gone = my_gone_pkg.x:X\nguess = my_pkg.coin:Coin\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_folder_is_the_list() -> None:
    found = registry.entries("envs")
    assert found["guess"].origin == "agentgym"
    assert found["guess"].summary.startswith("Guess a number")
    assert not any(name.startswith("_") for name in found)


def test_plugins_are_listed_without_importing_them(plugin: Path) -> None:
    found = registry.entries("envs")
    assert (found["coin"].summary, found["coin"].version) == ("Toss a coin.", 3)
    assert found["coin"].origin == "my-pkg"
    assert "my_pkg" not in sys.modules


def test_broken_plugins_are_reported_and_harm_nothing(plugin: Path) -> None:
    found = registry.entries("envs")
    assert "no module" in found["gone"].problem
    with pytest.raises(ConfigError, match=r"'broken' cannot be imported.*nothing_of_that_name"):
        registry.load("envs", "broken")
    assert registry.load("envs", "coin").__name__ == "Coin"  # type: ignore[attr-defined]


def test_a_plugin_does_not_replace_a_name_of_ours(plugin: Path) -> None:
    found = registry.entries("envs")
    assert found["guess"].origin == "agentgym"
    assert "is taken" in found["guess (my-pkg)"].problem


def test_dotted_targets_work_anywhere(plugin: Path) -> None:
    assert registry.load("envs", "my_pkg.coin:Coin").__name__ == "Coin"  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match=r"attribute of my_pkg.coin 'Con'; did you mean 'Coin'"):
        registry.load("envs", "my_pkg.coin:Con")
    with pytest.raises(ConfigError, match="no_such_pkg"):
        registry.load("envs", "no_such_pkg:X")


def test_unknown_kinds_and_names() -> None:
    with pytest.raises(UnknownName, match="kind 'env'; did you mean 'envs'"):
        registry.entries("env")
    with pytest.raises(UnknownName, match="no credit scheme 'gipgo'"):
        registry.load("credit", "gipgo")
