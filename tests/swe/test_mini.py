"""swe-mini: pinned archives, functions that are always the same, a build that goes on."""

import hashlib
import re
from pathlib import Path

import pytest

from agentgym.errors import ConfigError, UserError
from agentgym.swe.make import archive_of
from agentgym.swe.mini import (
    FUNCTIONS,
    PACKAGES,
    PER_PACKAGE,
    ROWS,
    Pin,
    build,
    fetch,
    folder_of_mini,
    mini_functions,
)
from agentgym.swe.rows import read_tasks
from agentgym.swe.trees import File
from agentgym.tools.sandbox.bwrap import missing

FILES = {
    "double.py": "def double(n):\n    if n < 0:\n        raise ValueError(n)\n    return n + n\n",
    "test_double.py": (
        "import pytest\nfrom double import double\n\ndef test_two():\n    assert double(2) == 4\n\n"
        "def test_zero():\n    assert double(0) == 0\n\ndef test_below():\n"
        "    with pytest.raises(ValueError):\n        double(-1)\n"
    ),
}
NOWHERE = Pin("agentgym-no-such-package", "1.0", "0" * 64, "MIT")


def test_packages_are_pinned_and_permissive() -> None:
    assert len(PACKAGES) >= 6
    assert len({pin.name for pin in PACKAGES}) == len(PACKAGES)
    assert PER_PACKAGE * len(PACKAGES) >= 100
    for pin in PACKAGES:
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256)
        assert pin.license in ("MIT", "BSD-3-Clause")


def test_there_are_100_functions_and_always_the_same() -> None:
    one = mini_functions()
    assert len({(task.source, task.fixed) for task in one}) == FUNCTIONS == 100
    assert len({task.key.rsplit("-", 1)[0] for task in one}) > 30
    assert mini_functions() == one


def test_the_cache_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder_of_mini() == tmp_path / "agentgym" / "swe-mini"


def test_what_pip_cannot_get_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match=r"pip could not get agentgym-no-such-package 1.0: "):
        fetch(NOWHERE, tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_an_archive_that_is_there_is_taken_and_its_hash_checked(tmp_path: Path) -> None:
    there = tmp_path / "agentgym_no.such_package-1.0.tar.gz"
    there.write_bytes(b"something else")
    assert fetch(NOWHERE, tmp_path) == there
    with pytest.raises(ConfigError, match="is not the archive that is meant"):
        build(tmp_path, packages=(NOWHERE,))


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_build_writes_rows_of_all_packages_and_goes_on_where_it_was(tmp_path: Path) -> None:
    pins = []
    for name in ("double-one", "double-two"):
        data = archive_of({path: File(text.encode()) for path, text in FILES.items()}, name)
        (tmp_path / f"{name}-1.0.tar.gz").write_bytes(data)
        pins.append(Pin(name, "1.0", hashlib.sha256(data).hexdigest(), "MIT"))
    heard: list[tuple[str, str, str]] = []
    first = build(
        tmp_path, per_package=1, packages=(pins[0],), told=lambda *words: heard.append(words)
    )
    assert first.tasks == {"double-one": 1}
    assert {package for package, _, _ in heard} == {"double-one"}
    assert [kind for _, kind, _ in heard].count("task") == 1
    heard.clear()
    both = build(
        tmp_path, per_package=1, packages=tuple(pins), told=lambda *words: heard.append(words)
    )
    assert both.tasks == {"double-one": 1, "double-two": 1}
    assert {package for package, _, _ in heard} == {"double-two"}, "the first was made again"
    tasks = read_tasks(tmp_path / ROWS)
    assert [task.repo for task in tasks] == ["double-one", "double-two"]
    for task in tasks:
        assert (tmp_path / task.source).exists()
        assert task.facts["license"] == "MIT"
        assert task.version == "1.0"


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_V21_real_packages_give_tasks(tmp_path: Path) -> None:
    made = build(tmp_path, per_package=2, packages=PACKAGES[:6])
    assert made.tasks == {pin.name: 2 for pin in PACKAGES[:6]}
    for task in read_tasks(made.file):
        assert task.fail_to_pass
        assert task.pass_to_pass
        assert task.unusable() == []
