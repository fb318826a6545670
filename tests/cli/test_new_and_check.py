"""What `new` writes passes `check` at once; `check` finds what is wrong and says it."""

from pathlib import Path

import pytest
from cli_run import Run


def test_a_new_environment_is_short_and_passes(agentgym: Run, workplace: Path) -> None:
    said = agentgym("new", "env", "my_game").words
    assert "Wrote my_game.py" in said
    assert "agentgym train guess env=my_game:MyGame" in said
    assert len((workplace / "my_game.py").read_text().splitlines()) <= 25
    done = agentgym("check", "my_game.py", "--verbose")
    assert "passes: " in done.out
    assert "warning" not in done.out
    assert "failed" not in done.out
    assert "100.0%" in agentgym("rollout", "my_game:MyGame", "--agent", "gold", "-n", 5).out


@pytest.mark.parametrize("kind", ["credit", "tool"])
def test_other_new_parts_pass(agentgym: Run, kind: str) -> None:
    agentgym("new", kind, "my-part")
    assert "passes: " in agentgym("check", "my_part.py").out


@pytest.mark.parametrize("kind", ["env", "credit", "tool"])
def test_new_never_overwrites(agentgym: Run, workplace: Path, kind: str) -> None:
    (workplace / "mine.py").write_text("precious")
    assert "mine.py exists; choose another name" in agentgym("new", kind, "mine", code=2).err
    assert (workplace / "mine.py").read_text() == "precious"


def test_new_names(agentgym: Run, workplace: Path) -> None:
    agentgym("new", "env", "TreasureHunt.py", "--out", "games")
    assert "class TreasureHunt(TextEnv)" in (workplace / "games/treasure_hunt.py").read_text()
    for name in ("2048", "a/b", "class", "x.y"):
        assert "cannot be the name of a Python module" in agentgym("new", "env", name, code=2).err
    assert "Did you mean 'env'?" in agentgym("new", "envv", "x", code=2).words


def test_new_says_how_to_train_what_lies_in_another_folder(agentgym: Run) -> None:
    pytest.importorskip("torch")
    said = agentgym("new", "env", "zed", "--out", "games").words
    assert "agentgym train guess env=games/zed.py" in said
    agentgym("train", "guess", "env=games/zed.py", "--dry-run")


def test_a_folder_that_cannot_be_written_is_named(agentgym: Run, workplace: Path) -> None:
    (workplace / "file").write_text("")
    words = ["export-alfworld", "file/games", "--size", "tiny", "-n", "1"]
    assert "file/games" in agentgym(*words, code=2).err
    pytest.importorskip("torch")
    words = ["new", "policy", "file/p", "--env", "guess", "--episodes", "3"]
    assert "file/p: Not a directory" in agentgym(*words, code=2).err


def test_new_policy(agentgym: Run, workplace: Path) -> None:
    pytest.importorskip("torch")
    said = agentgym("new", "policy", "p", "--env", "guess", "--episodes", 20).words
    assert "agentgym rollout guess --agent p" in said
    assert (workplace / "p" / "model.safetensors").is_file()
    assert (
        "p exists and is not empty" in agentgym("new", "policy", "p", "--env", "guess", code=2).err
    )
    assert "did you mean 'tiny'" in agentgym("new", "policy", "q", "--preset", "tin", code=2).err
    assert "did you mean 'guess'" in agentgym("new", "policy", "q", "--env", "gues", code=2).err
    assert "say where" in agentgym("new", "policy", code=2).err
    assert not (workplace / "q").exists()


BAD = '''
import numpy as np
from agentgym import Outcome, TextEnv

class Bad(TextEnv):
    """Bad."""
    instructions = "Play."

    def begin(self, options):
        return f"Number {np.random.randint(10**9)}"

    def act(self, action):
        return Outcome("Well?", float("nan") if action == "help" else 0.0)
'''


def test_check_says_what_is_wrong(agentgym: Run, workplace: Path) -> None:
    (workplace / "bad_game.py").write_text(BAD)
    done = agentgym("check", "bad_game.py", code=1)
    assert "FAILED reset and step return the right types" in done.words
    assert "reward of act() must be a finite float, got float nan" in done.words
    assert "fails: 1 passed, 1 failed" in done.words
    assert max(map(len, done.out.splitlines())) <= 80


def test_check_finds_the_part(agentgym: Run, workplace: Path) -> None:
    assert "credit scheme grpo" in agentgym("check", "grpo").out
    said = agentgym(
        "check", "household", "--preset", "tiny", "--seeds", 1, "--option", "split=train"
    )
    assert "environment household" in said.out
    assert "did you mean 'grpo'" in agentgym("check", "grp", code=2).err
    assert (
        "option of household" in agentgym("check", "household", "--option", "spilt=x", code=2).words
    )
    assert "are for environments" in agentgym("check", "grpo", "--preset", "x", code=2).err
    (workplace / "thing.py").write_text("__all__ = ['thing']\nthing = 3\n")
    assert "cannot be seen what it is meant to be" in agentgym("check", "thing.py", code=2).err


def test_check_of_a_backend_that_needs_arguments(agentgym: Run) -> None:
    assert "needs replies; write a test" in agentgym("check", "scripted", code=2).words


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("", "has 0 candidates (none)"),
        ("class A: pass\nclass B: pass", "has 2 candidates (A, B); say which: broken.py:NAME"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
    ],
)
def test_files_that_cannot_be_used(
    agentgym: Run, workplace: Path, source: str, message: str
) -> None:
    (workplace / "broken.py").write_text(source)
    assert message in agentgym("check", "broken.py", code=2).words


def test_files_that_are_not_there(agentgym: Run, workplace: Path) -> None:
    assert "there is no file 'nothing.py'" in agentgym("check", "nothing.py", code=2).err
    (workplace / "my-game.py").write_text("")
    assert "is no Python name" in agentgym("check", "my-game.py", code=2).err
    (workplace / "json.py").write_text("class A: pass")
    assert "is shadowed by" in agentgym("check", "json.py", code=2).words
