"""A package of somebody else: listed, checked, trained on; what is broken is reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_run import Run

GAME = '''
"""A game of somebody else's."""

from agentgym import Outcome, TextEnv

__all__ = ["Coin"]


class Coin(TextEnv):
    """Call the side of a coin that lies under a cup."""

    version = 3
    instructions = "Say heads or tails."
    max_turns = 2

    def begin(self, options):
        self.side = ["heads", "tails"][int(self.np_random.integers(2))]
        return "A cup. What is under it?"

    def act(self, action):
        if action.strip() == self.side:
            return Outcome("Right!", 1.0, terminated=True, success=True)
        return Outcome("No.")

    def state_key(self):
        return self.side

    def gold(self):
        return [self.side]
'''

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "their-games"
version = "1.0"

[project.entry-points."agentgym.envs"]
coin = "their_games.coin:Coin"
broken = "their_games.broken:Broken"
gone = "their_lost_games.gone:Gone"
guess = "their_games.coin:Coin"

[tool.setuptools]
packages = ["their_games"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package was installed."""
    source = tmp_path_factory.mktemp("source")
    (source / "pyproject.toml").write_text(PYPROJECT)
    package = source / "their_games"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "coin.py").write_text(GAME)
    (package / "broken.py").write_text("raise RuntimeError('it needs a licence')")
    target = tmp_path_factory.mktemp("site")
    how = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", *how]
    subprocess.run([*pip, "--target", target, source], check=True, capture_output=True)
    return target


@pytest.fixture
def installed(site: Path, agentgym: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line, with the package installed."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    for name in [n for n in sys.modules if n.startswith("their_games")]:
        monkeypatch.delitem(sys.modules, name)
    return agentgym


def test_it_is_listed_and_broken_ones_are_reported(installed: Run) -> None:
    said = installed("list", "envs").words
    assert "coin Call the side of a coin that lies under a cup. (from their-games)" in said
    assert "gone cannot be used: no module 'their_lost_games.gone'" in said
    assert "the name 'guess' is taken; use 'their_games.coin:Coin' instead" in said
    assert "household Find" in said


def test_a_broken_one_is_an_error_only_when_it_is_used(installed: Run) -> None:
    done = installed("rollout", "broken", code=2)
    assert done.err == (
        "error: the environment 'broken' cannot be imported: RuntimeError: it needs a licence\n"
    )
    assert "cannot be imported" in installed("check", "gone", code=2).err
    installed("rollout", "guess", "-n", 1)


def test_it_is_described_checked_and_played(installed: Run) -> None:
    said = installed("info", "coin").words
    assert "Coin, version 3, from their-games" in said
    assert "passes" in installed("check", "coin").out
    assert "100.0%" in installed("rollout", "coin", "--agent", "gold", "-n", 3).out
    assert "did you mean 'coin'" in installed("play", "coim", code=2).err


def test_gymnasium_finds_it(site: Path, tmp_path: Path) -> None:
    code = (
        "import agentgym, gymnasium\n"
        "env = gymnasium.make('agentgym/coin-v3', max_turns=1)\n"
        "print(env.reset(seed=0)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "A cup. What is under it?\n", done.stderr


@pytest.mark.parametrize("name", ["coin", "their_games.coin:Coin"])
def test_it_is_trained_on(installed: Run, name: str) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    words = ["train.iterations=1", "warmstart.demonstrations=16", "eval.episodes=4"]
    said = installed("train", "guess", f"env={name}", *words, "--out", "r").words
    assert f"environment: {name}" in said
    assert "all iterations are done" in said
    assert "confirmed" in installed("replay", "r", "--verify").words


def test_a_bare_module_of_the_current_folder(agentgym: Run, workplace: Path) -> None:
    (workplace / "my_pkg").mkdir()
    (workplace / "my_pkg" / "__init__.py").write_text("")
    (workplace / "my_pkg" / "my_game.py").write_text(GAME.replace("Coin", "MyGame"))
    name = "my_pkg.my_game:MyGame"
    assert f"environment {name}" in agentgym("check", name).out
    assert f"environment {name}" in agentgym("info", name).out
    assert "100.0%" in agentgym("rollout", name, "--agent", "gold", "-n", 3).out
    assert "did you mean 'MyGame'" in agentgym("check", "my_pkg.my_game:MyGam", code=2).err
    assert (
        "No module named 'my_pkg.my_gane'" in agentgym("check", "my_pkg.my_gane:MyGame", code=2).err
    )
    pytest.importorskip("torch", reason="needs the extra 'train'")
    words = ["train.iterations=1", "warmstart.demonstrations=16", "eval.episodes=0"]
    assert "all iterations are done" in agentgym("train", "guess", f"env={name}", *words).out


PRICE = '''
"""Prices of a shop."""

from agentgym.errors import ToolError

__all__ = ["price"]

PRICES = {"tea": 3, "salt": 1, "oil": 5}


def price(item: str) -> int:
    """Tell what an item costs.

    Args:
        item: tea, salt or oil.
    """
    if item not in PRICES:
        raise ToolError(f"there is no {item} here")
    return PRICES[item]
'''

COUNTER = '''
"""A shop counter."""

from agentgym import Outcome
from agentgym.toolcalls import Reply
from agentgym.toolenv import ToolEnv
from agentgym.tools.base import Toolset
from agentgym.types import ToolCall
from price import PRICES, price

__all__ = ["Counter"]


class Counter(ToolEnv):
    """Tell what an item costs."""

    instructions = "Ask for the price by the tool, then say the number."
    max_turns = 4

    def begin(self, options):
        self.item, self.asked = str(self.np_random.choice(sorted(PRICES))), False
        self.use(Toolset([price], timeout_s=None))
        return f"What does {self.item} cost?"

    def called(self, calls, outcome):
        self.asked = self.asked or any(c.call.arguments == {"item": self.item} for c in calls)
        return outcome

    def heard(self, text):
        right = text == str(PRICES[self.item])
        return Outcome("", reward=float(right), terminated=True, success=right)

    def state_key(self):
        return f"{self.item} {self.asked}"

    def gold(self):
        call = Reply("", (ToolCall("price", {"item": self.item}),)).action
        return [*([] if self.asked else [call]), str(PRICES[self.item])]
'''


def test_a_tool_and_an_environment_with_it_in_one_file_each(agentgym: Run, workplace: Path) -> None:
    (workplace / "price.py").write_text(PRICE)
    (workplace / "counter.py").write_text(COUNTER)
    assert "passes: " in agentgym("check", "price.py").out
    checked = agentgym("check", "counter.py").out
    assert "passes: " in checked
    assert "warning" not in checked
    assert "100.0%" in agentgym("rollout", "counter.py", "--agent", "gold", "-n", 5).out
    pytest.importorskip("torch", reason="needs the extra 'train'")
    words = [
        "env=counter.py",
        "rollout.tell_tools=false",
        "rollout.max_tokens_per_call=16",
        "warmstart.demonstrations=300",
        "warmstart.noise=0.0",
        "train.iterations=2",
        "eval.episodes=40",
    ]
    said = agentgym("train", "guess", *words, "--out", "r").words
    assert "all iterations are done" in said
    rate = float(said.partition(" after ")[2].split("%")[0].split()[-1])
    assert rate > 50  # one of three by chance
    assert "confirmed" in agentgym("replay", "r", "--verify").words
