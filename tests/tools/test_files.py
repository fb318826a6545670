"""A scratch folder: what works, and that nothing gets out of it."""

import copy
import os
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import ToolError
from agentgym.tools.base import Toolset
from agentgym.tools.files import Files

Action = Literal["read", "write", "append", "delete", "list"]
ACTIONS: list[Action] = ["read", "write", "append", "delete"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder with a secret, beside the scratch folder."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in").mkdir()
    return tmp_path


def test_files_come_and_go() -> None:
    files = Files()
    assert files("list") == "(no files)"
    assert files("write", "notes/plan.txt", "é\n") == "notes/plan.txt has 3 bytes now"
    assert files("append", "notes//./plan.txt", "b") == "notes//./plan.txt has 4 bytes now"
    assert files("read", "notes/plan.txt") == "é\nb"
    files("write", "a", "1")
    assert files("list") == "a (1 bytes)\nnotes/plan.txt (4 bytes)"
    files("write", "notes/plan.txt", "c")
    assert files("read", "notes/plan.txt") == "c"
    with pytest.raises(ToolError, match="cannot delete 'notes': directory not empty"):
        files("delete", "notes")
    files("delete", "notes/plan.txt")
    files("delete", "notes")
    with pytest.raises(ToolError, match=r"cannot read 'notes/plan.txt': no such file"):
        files("read", "notes/plan.txt")
    assert files("list") == "a (1 bytes)"


def test_a_folder_of_its_own_goes_with_the_object() -> None:
    files = Files()
    folder = files.folder
    files("write", "a/b", "c")
    assert (folder / "a/b").read_text() == "c"
    del files
    assert not folder.exists()


def test_a_folder_of_yours_stays(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files("write", "a", "b")
    files.close()
    assert (tmp_path / "a").read_text() == "b"


def test_it_cannot_be_copied() -> None:
    with pytest.raises(NotImplementedError, match="make a new Files"):
        copy.deepcopy(Toolset([Files]))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "a/../../secret.txt",
        "..",
        ".",
        "",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "a\x00b",
        "a\nb",
        "x" * 300,
        "a/" * 9 + "a",
        "{outside}/secret.txt",
        "link",
        "folder/secret.txt",
        "in/folder/secret.txt",
        "loop",
        "hard",
        "dangling",
        "pipe",
        "\ud800",
    ],
)
def test_nothing_escapes(path: str, action: Action, outside: Path) -> None:
    inside = outside / "in"
    (inside / "link").symlink_to("../secret.txt")
    (inside / "folder").symlink_to(outside)
    (inside / "in").symlink_to(".")
    (inside / "loop").symlink_to("loop")
    (inside / "dangling").symlink_to("../new.txt")
    os.link(outside / "secret.txt", inside / "hard")
    os.mkfifo(inside / "pipe")
    files = Files(str(inside))
    before = sorted(each.name for each in outside.iterdir())
    try:
        said = files(action, path.format(outside=outside), "changed")
    except ToolError as error:
        said = str(error)
    else:
        assert action == "delete"  # of the link itself
    assert "secret" not in said.replace("secret.txt", "")
    assert (outside / "secret.txt").read_text() == "secret"
    assert sorted(each.name for each in outside.iterdir()) == before
    files.close()


parts = st.sampled_from(["..", ".", "", "a", "b", "link", "up", "~", "secret.txt", "in"])


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.lists(parts, max_size=5).map("/".join)), max_size=12
    )
)
def test_no_sequence_of_calls_escapes(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[Action, str]]
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("secret")
    inside = outside / "in"
    inside.mkdir()
    (inside / "link").symlink_to("../secret.txt")
    (inside / "up").symlink_to("..")
    files = Files(str(inside))
    for action, path in calls:
        try:
            said = files(action, path, "x")
        except ToolError:
            continue
        assert said != "secret"
    assert sorted(each.name for each in outside.iterdir()) == ["in", "secret.txt"]
    assert (outside / "secret.txt").read_text() == "secret"
    files.close()


def test_a_folder_swapped_for_a_link_leads_nowhere(outside: Path) -> None:
    files = Files(str(outside / "in"))
    files("write", "a/secret.txt", "mine")
    (outside / "in/a/secret.txt").unlink()
    (outside / "in/a").rmdir()
    (outside / "in/a").symlink_to(outside)
    for action in ACTIONS:
        with pytest.raises(ToolError, match=r"not a directory|too many"):
            files(action, "a/secret.txt", "x")
    assert (outside / "secret.txt").read_text() == "secret"


def test_limits(tmp_path: Path) -> None:
    files = Files(max_file=10, max_files=3, max_total=15)
    files("write", "a", "x" * 10)
    with pytest.raises(ToolError, match="the file would have 11 bytes; at most 10"):
        files("append", "a", "x")
    with pytest.raises(ToolError, match="all files would have 16 bytes; at most 15"):
        files("write", "b", "x" * 6)
    files("write", "a", "é" * 5)
    files("write", "b/c", "x" * 5)
    with pytest.raises(ToolError, match="there are 3 files and folders already"):
        files("write", "d", "")
    with pytest.raises(ToolError, match="there are 3 files and folders already"):
        files("write", "d/e", "")
    files.folder.joinpath("a").write_bytes(b"\xff" * 10)
    assert files("read", "a") == "\ufffd" * 10
    files.folder.joinpath("a").write_bytes(b"x" * 11)
    with pytest.raises(ToolError, match="larger than 10 bytes"):
        files("read", "a")
