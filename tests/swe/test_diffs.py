"""Patches: read, checked, made, reversed, and what git makes of them."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgym.swe.diffs import make_patch, problems, reversed_patch, text_of
from agentgym.swe.patches import BadPatch, parse

GIT = ["git", "-c", "init.defaultBranch=main", "-c", "user.name=t", "-c", "user.email=t@t"]
LINES = st.lists(st.sampled_from(["a", "b", "", "  x", "-- y", "\\ z", "++ é", "\r"]), max_size=9)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))
NAMES = st.sampled_from(["a.py", "b c.py", "é.py", 'q"q.py', "sub/d.py"])
TREES = st.dictionaries(NAMES, TEXTS, max_size=4)

EDIT = """\
diff --git a/m.py b/m.py
index 1111111..2222222 100644
--- a/m.py
+++ b/m.py
@@ -1,2 +1,2 @@ def f():
 x = 1
-y = 2
+y = 3
"""


def git(folder: Path, *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        [*GIT, *words], cwd=folder, input=stdin.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())


def read(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


@given(old=TREES, new=TREES)
def test_reading_what_was_made_gives_it_again(old: dict[str, str], new: dict[str, str]) -> None:
    text = make_patch(old, new)
    patch = parse(text)
    assert problems(patch) == []
    assert {change.path for change in patch} == {
        name for name in {*old, *new} if old.get(name) != new.get(name)
    }
    again = parse(text_of(patch))
    assert [change.hunks for change in again] == [change.hunks for change in patch]
    assert parse(text_of(again)) == again
    assert reversed_patch(reversed_patch(again)) == again


@pytest.mark.parametrize("seed", range(6))
def test_git_agrees(seed: int, tmp_path: Path) -> None:
    """What we make git applies, what git makes we read, and both can be taken back."""
    words = ["one", "two", "", "tab\t", "é", "- x", "+ y", "\\ z"]
    old = {f"f {k}.py": "\n".join(words[(k * j + seed) % 8] for j in range(30)) for k in range(4)}
    new = dict(old)
    new["f 1.py"] = old["f 1.py"].replace("two", "2") + "\n" * (seed % 2)
    new["f 2.py"] = ""
    del new["f 3.py"]
    new['sub/"new".py'] = "fresh\n" * seed
    old["empty.py"] = ""
    folder = tmp_path / "r"
    folder.mkdir()
    git(folder, "init", "-q")
    write(folder, old)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    patch = parse(make_patch(old, new))
    git(folder, "apply", "-p1", "-", stdin=text_of(patch))
    assert read(folder) == {k: v for k, v in new.items() if k != "empty.py"}
    git(folder, "add", "-A")
    theirs = parse(git(folder, "diff", "--cached", "-M"))
    assert problems(theirs) == []
    git(folder, "apply", "-R", "-p1", "-", stdin=text_of(theirs))
    assert read(folder) == old
    git(folder, "apply", "-p1", "-", stdin=text_of(theirs))
    git(folder, "apply", "-p1", "-", stdin=text_of(reversed_patch(patch)))
    assert read(folder) == old


def test_a_rename_with_a_change_is_read_as_git_writes_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    lines = [f"line {k}" for k in range(40)]
    write(tmp_path, {"old name.py": "\n".join(lines)})
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "x")
    git(tmp_path, "mv", "old name.py", "new.py")
    (tmp_path / "new.py").write_text("\n".join([*lines[:-1], "changed"]))
    (tmp_path / "new.py").chmod(0o755)
    git(tmp_path, "add", "-A")
    [change] = parse(git(tmp_path, "diff", "--cached", "-M"))
    assert (change.old_path, change.new_path) == ("old name.py", "new.py")
    assert (change.old_mode, change.new_mode) == ("100644", "100755")
    git(tmp_path, "reset", "-q", "--hard")
    git(tmp_path, "apply", "-p1", "-", stdin=text_of((change,)))
    assert read(tmp_path) == {"new.py": "\n".join([*lines[:-1], "changed"])}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("outside", EDIT.replace("m.py", "../m.py")),
        ("outside", EDIT.replace("/m.py", "//etc/passwd")),
        ("outside", EDIT.replace("m.py", "x/../../m.py")),
        ("outside", EDIT.replace("m.py", ".git/config")),
        ("outside", EDIT.replace("m.py", "sub/.GIT/hooks/pre-commit")),
        ("outside", EDIT.replace("m.py", "./m.py")),
        ("outside", EDIT.replace("a/m.py", '"a/\\056\\056/m.py"').replace("b/m", "b/../m")),
        (
            "link",
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n"
            "+/etc/passwd\n\\ No newline at end of file\n",
        ),
        ("link", EDIT.replace("100644", "120000")),
        ("link", "diff --git a/m.py b/m.py\nold mode 100644\nnew mode 120000\n"),
        (
            "submodule",
            "diff --git a/s b/s\nnew file mode 160000\nindex 0000000..1234567\n--- /dev/null\n"
            "+++ b/s\n@@ -0,0 +1 @@\n+Subproject commit 1234567\n",
        ),
        ("mode", "diff --git a/m.py b/m.py\nold mode 100644\nnew mode 104755\n"),
        ("binary", "diff --git a/i b/i\nindex 1..2 100644\nBinary files a/i and b/i differ\n"),
        (
            "binary",
            "diff --git a/i b/i\nnew file mode 100644\nindex 0000000..e69de29\n"
            "GIT binary patch\nliteral 3\nKcmZQzWMT#Y01f~L\n\nliteral 0\nHcmV?d00001\n\n",
        ),
        ("twice", EDIT + EDIT),
        (
            "twice",
            EDIT + "diff --git a/m.py b/n.py\nsimilarity index 100%\nrename from m.py\n"
            "rename to n.py\n",
        ),
        (
            "outside",
            "diff --git a/m.py b/../n.py\nsimilarity index 100%\nrename from m.py\n"
            "rename to ../n.py\n",
        ),
    ],
)
def test_V16_patch_that_must_not_be_applied(kind: str, text: str) -> None:
    assert kind in [problem.kind for problem in problems(parse(text))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "no change of a file"),
        (EDIT.replace("+y = 3\n", ""), "line 8 of the patch: the hunk ends early"),
        (EDIT.replace("@@ -1,2", "@@ -1,1"), "more lines than it announces"),
        (EDIT.replace(" x = 1", "x = 1"), "must begin with"),
        (EDIT.replace("@@ -1,2 +1,2 @@", "@@ nonsense @@"), "no head of a hunk"),
        (EDIT.replace("+++ b/m.py", "+++ b/other.py"), "but 'm.py' in the line before"),
        (EDIT.replace("--- a/m.py", "--- /dev/null"), "does not agree"),
        (EDIT.replace("--- a/m.py\n+++ b/m.py\n", ""), "nothing is said|without the names"),
        ("diff --git a/m.py b/m.py\n", "nothing is said about 'm.py'"),
        ("--- m.py\n+++ m.py\n@@ -1 +1 @@\n-a\n+b\n", "must begin with a/ or b/"),
        ("--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "both names are /dev/null"),
        ("@@ -1 +1 @@\n-a\n+b\n", "a hunk without the names of a file"),
        (EDIT.replace("b/m.py", '"b/m\\q.py"'), "unknown escape|cannot be told|begin with"),
        ("x" * (5 << 20), "at most"),
    ],
)
def test_bad_patch_says_where(text: str, said: str) -> None:
    with pytest.raises(BadPatch, match=said):
        parse(text)


@given(
    st.text(max_size=300) | st.lists(st.sampled_from(EDIT.splitlines()), max_size=20).map("\n".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        patch = parse(text)
        problems(patch)
        text_of(patch)
    except BadPatch:
        pass


def test_nothing_changes_nothing() -> None:
    assert parse("") == parse("\n \n") == ()
    assert make_patch({"a": "x"}, {"a": "x"}) == ""


def test_plain_diffs_and_commit_messages_are_read() -> None:
    plain = "".join(EDIT.splitlines(keepends=True)[2:])
    assert parse(plain)[0].hunks == parse(EDIT)[0].hunks
    mail = f"From 12 Mon\nSubject: [PATCH] x\n\n---\n m.py | 2 +-\n\n{EDIT}-- \n2.39.0\n"
    assert parse(mail) == parse(EDIT)
