"""`agentgym lab credit`: tables of bias and noise, printed and written into a page."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_run import Run

from agentgym.trainers.lab.sheet import BEGIN, END

SCHEME = '''"""Twice the return."""

from dataclasses import dataclass

from agentgym.trainers.credit.base import widen_trajectories

__all__ = ["Twice"]


@dataclass(frozen=True)
class Twice:
    needs = frozenset()

    def __call__(self, group):
        return widen_trajectories(group, [2 * t.episode_return for t in group.trajectories_G])
'''


def figures(out: str) -> dict[str, list[str]]:
    """Each line of names with the figures below it."""
    found = re.findall(r"^(\S.*)\n  (-?\d.*)$", out, re.M)
    return {names: re.split(r"\s{2,}", line.strip()) for names, line in found}


def test_bias_and_noise_of_schemes_are_shown(agentgym: Run) -> None:
    words = ["-p", "stop", "-g", 3, "-s", "rloo", "-s", "grpo(std = false)", "-s", "flow_grpo"]
    done = agentgym("lab", "credit", *words)
    assert "all 120 different groups of 3, exactly" in done.words
    shown = figures(done.out)
    assert list(shown) == ["rloo", "grpo(std = false)", "flow_grpo"]
    assert shown["rloo"][:4] == ["0", "1", "1", "1.00"]
    assert shown["grpo(std = false)"][:4] == ["0.33", "0.67", "1", "0.67"]


def test_what_is_drawn_has_intervals_however_narrow_the_terminal(
    agentgym: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-p", "rooms", "-n", 200, "-s", "gigpo", "-s", "gae | token"]
    narrow = agentgym("lab", "credit", *words)
    assert "200 groups of 4, drawn" in narrow.words
    assert re.search(r"bias \[\d\.\d\d, \d\.\d\d\], scale \[", narrow.words)
    assert figures(narrow.out).keys() == {"gigpo", "gae | token"}


def test_a_scheme_of_ones_own_is_measured(agentgym: Run, workplace: Path) -> None:
    (workplace / "twice.py").write_text(SCHEME)
    words = ["-s", "twice.py", "-s", "0.5*twice:Twice - 0.5*rloo", "-s", "twice.py | turn"]
    done = agentgym("lab", "credit", "-p", "bandit", "-p", "chain", "-g", 2, *words)
    assert done.out.count("\ntwice:Twice\n") == 2
    assert figures(done.out)["twice:Twice"][:4] == ["1.00", "2.00", "1", "2.00"]
    assert figures(done.out)["0.5*twice:Twice - 0.5*rloo"][:2] == ["0.50", "0.50"]
    assert "twice:Twice | turn" in done.out


def test_tables_are_written_between_the_marks_of_a_page(agentgym: Run, workplace: Path) -> None:
    page = workplace / "page.md"
    page.write_text(f"before\n\n{BEGIN}\n{END}\n\nafter\n")
    words = ["-p", "bandit", "-s", "rloo", "-s", "rloo | token", "-g", 2, "--seed", 7]
    agentgym("lab", "credit", *words, "--write", "page.md")
    written = page.read_text()
    assert re.match(rf"before\n\n{BEGIN}\n\nMade by `agentgym lab credit --scheme rloo ", written)
    assert "--process bandit --group-size 2 " in written
    assert "--seed 7 --write page.md` on 2" in written
    assert re.search(r"^\| 0 +\| 1 +\| 1 .*\| `rloo` \|$", written, re.M)
    assert re.search(r"^\| \d.* \| `rloo \\\| token` \|$", written, re.M)
    assert written.endswith(f"{END}\n\nafter\n")
    agentgym("lab", "credit", *words, "--write", "page.md")
    assert page.read_text() == written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-s", "gigppo"], "did you mean 'gigpo'"),
        (["-s", "grpo | tokens"], "did you mean 'token'"),
        (["-s", "gae @ exakt"], "did you mean 'exact'"),
        (["-p", "chian"], "did you mean 'chain'"),
        (["-s", "missing.py"], "there is no file 'missing.py'"),
        (["-p", "bandit", "-s", "rloo", "-s", "igpo"], "IGPO needs gold_logprob, which the lab"),
        (["-b", 100, "-n", 500], "500 groups make too few batches of 100"),
        (["--write", "nowhere.md"], "there is no page 'nowhere.md'"),
        (["--write", "empty.md"], "empty.md must have the line"),
    ],
)
def test_mistakes_stop_it_before_it_begins(
    agentgym: Run, workplace: Path, words: list[Any], said: str
) -> None:
    (workplace / "empty.md").touch()
    done = agentgym("lab", "credit", *words, code=2)
    assert said in done.words
    assert done.out == ""


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from agentgym.cli.__main__ import main\n"
        "main(['lab', 'credit', '-p', 'bandit', '-g', '2', '-s', 'gae', '-s', 'gigpo'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "gigpo" in done.stdout
