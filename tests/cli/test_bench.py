"""`agentgym bench`: scripted agents go through a suite."""

import json
from pathlib import Path

import pytest
from cli_run import Run
from sandboxes import needs_bwrap
from swe_cases import BASE, shelf_rows

from agentgym.swe.diffs import make_patch


@needs_bwrap
def test_the_right_solution_passes_and_nothing_does_not(agentgym: Run, tmp_path: Path) -> None:
    rows = shelf_rows(tmp_path)
    words = ("bench", "swe-mini", "--limit", 3, "--tasks", rows, "--sandbox", "bwrap")
    said = agentgym(*words).words
    assert "3 functions, 1 in repositories" in said
    assert "4 of 4 verdicts, 100.0% [51.0%, 100.0%]" in said
    assert "0 of 4 verdicts, 0.0% [0.0%, 49.0%]" in agentgym(*words, "--agent", "noop").words


@needs_bwrap
@pytest.mark.slow
def test_cheats_get_nothing_and_are_named(agentgym: Run) -> None:
    words = (
        "bench",
        "swe-mini",
        "--agent",
        "cheats",
        "--only",
        "functions",
        "--limit",
        1,
        "--sandbox",
        "bwrap",
    )
    said = agentgym(*words).words
    assert "passed 0 of 12 verdicts" in said
    assert "V02 os._exit 0 of 1 tripwire:exit (1)" in said
    assert "V22 nothing 0 of 1" in said


@needs_bwrap
def test_what_is_done_is_not_done_again(agentgym: Run, tmp_path: Path) -> None:
    words = (
        "bench",
        "swe-mini",
        "--only",
        "functions",
        "--sandbox",
        "bwrap",
        "--out",
        "done.jsonl",
    )
    agentgym(*words, "--limit", 2)
    done = tmp_path / "done.jsonl"
    first, second = done.read_text().splitlines()
    changed = json.loads(first)
    changed["verdicts"]["oracle"]["passed"] = False  # so that it is seen that it was taken over
    done.write_text(f"{json.dumps(changed)}\n{second[:40]}")  # torn, as by a kill
    assert "2 of 3 verdicts" in agentgym(*words, "--limit", 3).words
    assert [json.loads(line)["task"] for line in done.read_text().splitlines()[:1]] == [
        changed["task"]
    ]
    assert len(done.read_text().splitlines()) == 3
    assert "0 of 2 verdicts" in agentgym(*words, "--limit", 2, "--agent", "noop").words
    done.write_text("{}\n")
    assert "did not write" in agentgym(*words, code=2).words


@needs_bwrap
def test_a_bad_task_is_quarantined_with_its_reason(agentgym: Run, tmp_path: Path) -> None:
    rows = shelf_rows(tmp_path, patch=make_patch(BASE, BASE | {"README.md": "Other.\n"}))
    words = (
        "--only",
        "repositories",
        "--tasks",
        rows,
        "--quarantine",
        "bad.jsonl",
        "--sandbox",
        "bwrap",
    )
    done = agentgym("bench", "swe-mini", *words, code=1)
    assert "quarantined 1" in done.words
    [line] = (tmp_path / "bad.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert found["task"] == "shelves-1"
    assert "the control run of shelves-1 failed" in found["problems"][0]


def test_names_that_do_not_exist(
    agentgym: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "agentgym make-swe --mini" in agentgym("bench", "swe-mini", code=2).words
    assert (
        "did you mean 'functions'" in agentgym("bench", "swe-mini", "--only", "func", code=2).words
    )
    assert "did you mean 'swe-mini'" in agentgym("bench", "swe-min", code=2).words
    assert (
        "did you mean 'cheats'" in agentgym("bench", "swe-mini", "--agent", "cheat", code=2).words
    )
