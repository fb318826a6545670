"""The command line starts fast, and says what went wrong in one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_run import Run

HEAVY = ("torch", "transformers", "safetensors", "alfworld", "textworld", "vllm", "docker")


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list"], ["info", "household"], ["rollout", "household", "-n", "1"]],
    ids=" ".join,
)
def test_starts_without_heavy_packages(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom agentgym.cli.__main__ import main\n"
        f"try: main({words!r})\nexcept SystemExit as end: assert not end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert not set(done.stderr.split()) & set(HEAVY)


def test_it_is_a_program(tmp_path: Path) -> None:
    for command in (
        [sys.executable, "-m", "agentgym.cli"],
        [Path(sys.executable).parent / "agentgym"],
    ):
        done = subprocess.run(
            [*map(str, command), "--version"], cwd=tmp_path, capture_output=True, text=True
        )
        assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout), done.stderr


def test_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    (tmp_path / "signs.py").write_text(
        'from agentgym import Outcome, TextEnv\nclass Signs(TextEnv):\n    "Signs."\n'
        "    def begin(self, options): return 'na\\u00efve \\u8a9e'\n"
        "    def act(self, action): return Outcome('x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "agentgym.cli", "play", "signs.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        input="",
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "na?ve ?" in done.stdout


def test_help_names_every_verb_and_fits_80_columns(agentgym: Run) -> None:
    done = agentgym("--help")
    verbs = "list info doctor check new play rollout train eval credit replay fsck export-alfworld"
    for verb in verbs.split():
        assert re.search(rf"│ {verb} ", done.out), verb
        assert max(map(len, agentgym(verb, "--help").out.splitlines())) <= 80
    assert max(map(len, done.out.splitlines())) <= 80


def test_unknown_verbs_and_options(agentgym: Run) -> None:
    assert "Did you mean 'rollout'?" in agentgym("rolout", code=2).words
    assert "--episodes" in agentgym("rollout", "guess", "--episode", 3, code=2).words
    assert "'--episodes'" in agentgym("rollout", "guess", "--episodes", "x", code=2).words
    assert "Missing argument" in agentgym("rollout", code=2).words
    assert agentgym("new", code=None).code == 2


def test_mistakes_are_one_line_on_stderr(agentgym: Run) -> None:
    done = agentgym("rollout", "houshold", code=2)
    assert done.out == ""
    assert done.err == "error: there is no environment 'houshold'; did you mean 'household'?\n"


def test_debug_shows_the_traceback(agentgym: Run) -> None:
    from agentgym.errors import UnknownName

    with pytest.raises(UnknownName):
        agentgym("rollout", "houshold", "--debug")


def test_what_nobody_foresaw_is_said_shortly(agentgym: Run, workplace: Path) -> None:
    (workplace / "odd_game.py").write_text(
        "from agentgym import TextEnv\nclass Odd(TextEnv):\n"
        "    '''Odd.'''\n    def __init__(self, **options): raise OSError('no engine')\n"
    )
    done = agentgym("rollout", "odd_game:Odd", code=1)
    assert done.err.startswith("error: OSError: no engine\n")
    assert "--debug" in done.err
    assert "Traceback" not in done.err
