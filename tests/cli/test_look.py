"""`list`, `info` and `doctor`."""

import re
from pathlib import Path

import pytest
from cli_run import Run

from agentgym import registry


def test_list_names_everything(agentgym: Run) -> None:
    done = agentgym("list")
    for kind in registry.FOLDERS:
        for entry in registry.entries(kind).values():
            assert re.search(rf"^  {re.escape(entry.name)} ", done.out, re.MULTILINE)
    assert "  quickstart " in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_list_of_one_kind(agentgym: Run) -> None:
    done = agentgym("list", "env")
    assert "household" in done.out
    assert "gigpo" not in done.out
    assert agentgym("list", "suites").out == "Suites\n  (none)\n"
    assert "did you mean 'credit'?" in agentgym("list", "credits", code=2).err


def test_info_of_an_environment(agentgym: Run) -> None:
    said = agentgym("info", "household").words
    for part in (
        "environment household",
        "version 0",
        "dense_rewards false pay for sub-goals",
        "size small",
        "(bool)",
        "tiny size=tiny",
        "go to (place)",
        "determinism exact",
        "agentgym play household --preset tiny",
        "gymnasium.make('agentgym/household-v0')",
    ):
        assert part in said, part


def test_tools(agentgym: Run) -> None:
    assert "kv A key-value store: put, get, delete, list." in agentgym("list", "tools").words
    said = agentgym("info", "kv").words
    assert "options max_items 1000 keys at most (int)" in said
    assert "what a model is told Remember texts under keys." in said
    assert '"enum": [ "get", "put", "delete", "list" ]' in said
    assert "tool calculator" in agentgym("check", "calculator").words


def test_info_of_parts_and_recipes(agentgym: Run) -> None:
    said = agentgym("info", "gigpo").words
    assert "arXiv 2505.10978" in said
    assert "gamma 0.95 discount of the turn returns (float)" in said
    assert "(paper | verl-agent)" in said
    assert "needs state_key" in said
    assert ">>>" not in said
    short, whole = (
        agentgym("info", "quickstart").words,
        agentgym("info", "quickstart", "--all").words,
    )
    assert "env.name household" in short
    assert "seed 0" not in short
    assert "seed 0 Everything random follows from it." in whole


def test_info_of_a_name_that_is_several_things(agentgym: Run) -> None:
    both = agentgym("info", "guess").out
    assert "recipe guess" in both
    assert "environment guess" in both
    assert "recipe guess" not in agentgym("info", "guess", "--kind", "env").out


def test_info_of_a_file(agentgym: Run, workplace: Path) -> None:
    agentgym("new", "env", "my_vault")
    said = agentgym("info", "my_vault.py").words
    assert "environment my_vault:MyVault" in said
    assert "Find the lever behind one of five doors." in said
    assert "gymnasium.make" not in said  # it has no name there


def test_info_suggests(agentgym: Run) -> None:
    assert "did you mean 'gigpo'" in agentgym("info", "gigppo", code=2).err
    assert "there is no kind of thing 'x'" in agentgym("info", "guess", "--kind", "x", code=2).err


def test_doctor(agentgym: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said = agentgym("doctor").words
    for part in (
        "python 3.",
        "memory",
        "gymnasium 1.",
        "there is no program bwrap",
        "gpu",
        "replay work",
    ):
        assert part in said, part


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, entry.name)
        for kind in registry.FOLDERS
        for entry in registry.entries(kind).values()
        if entry.origin == "agentgym"
    ],
)
def test_there_is_info_on_everything_that_is_listed(agentgym: Run, kind: str, name: str) -> None:
    done = agentgym("info", name, "--kind", kind, code=None)
    if "pip install" in done.err:
        pytest.skip("needs an extra")
    assert done.code == 0, done.err
    assert f"{registry.SINGULAR[kind]} {name}" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
