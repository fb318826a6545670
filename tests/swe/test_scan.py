"""The search for the fix in sandboxes: copies are found in whatever form, look-alikes are none."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sandboxes import needs_bwrap
from swe_cases import BASE, SHELF, shelf_rows

from agentgym.swe.gate import gate
from agentgym.swe.grade_repository import LIMITS, Repository, RepositoryGrader, lay_out
from agentgym.swe.rows import read_tasks
from agentgym.swe.run_tests import unpack
from agentgym.swe.scan import MAX_FILE, find_fix, scan
from agentgym.swe.suite import Entry, run_suite
from agentgym.swe.trees import File, put_tree
from agentgym.tools.sandbox import Sandbox, open_sandbox

pytestmark = needs_bwrap

PATH = "shelves/__init__.py"
GIVEN = BASE[PATH]
LATER = SHELF.replace("a limited number of things", "things") + (
    "\n    def clear(self):\n        self.things = []\n\n\ndef shelf():\n    return Shelf(1)\n"
)
"""A later release: with the fix, other words, and more."""
TWIN = SHELF.replace('"""', '"""Also: ')
"""A file of the same repository that resembles it."""
OTHER = "class Store:\n    def put(self, thing):\n" + "".join(
    f"        self.other_{k} = thing\n" for k in range(40)
)
LINE = "        if len(self.things) >= self.room:\n"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("shelf")
    [task] = read_tasks(shelf_rows(folder))
    return lay_out(task, folder, "bwrap")


@pytest.fixture
def box(shelf: Repository) -> Iterator[Sandbox]:
    box = open_sandbox("bwrap", limits=LIMITS)
    put_tree(box, shelf.tree)
    yield box
    box.close()


def write(box: Sandbox, files: dict[str, str | bytes]) -> None:
    for path, data in files.items():
        box.write_file(path, data.encode() if isinstance(data, str) else data)


def run(box: Sandbox, *argv: str) -> None:
    result = box.exec(argv)
    assert result.ok, result


def zipped(name: str, text: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "x")
        archive.writestr(name, text)
    return data.getvalue()


def tarred(name: str, text: str, mode: str = "w:gz") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo(name)
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def test_V18_a_sandbox_as_agents_get_it_has_no_copy(shelf: Repository) -> None:
    found = scan(shelf, "bwrap")
    assert found.found == found.unread == ()
    assert found.files > 1000  # of the system, too


@pytest.mark.parametrize("text", [SHELF, LATER])
def test_V18_a_release_that_is_installed_is_found(
    shelf: Repository, box: Sandbox, text: str
) -> None:
    write(box, {f"site-packages/{PATH}": text, "elsewhere/other.py": text})
    unpack(box, tarred(PATH, text, "w:"), "/tmp/site")
    run(box, "ln", "-s", f"/work/site-packages/{PATH}", "/tmp/__init__.py")
    assert find_fix(shelf, box).found == (
        "/tmp/__init__.py", f"/tmp/site/{PATH}", f"/work/site-packages/{PATH}"
    )  # fmt: skip


@pytest.mark.parametrize("flag", ["-B", "-O", "-OO"])
def test_V18_compiled_copies_are_found(shelf: Repository, box: Sandbox, flag: str) -> None:
    write(box, {"a.py": LATER, "b.py": GIVEN})
    code = "import py_compile; py_compile.compile({!r}, {!r}, doraise=True)"
    for source, target in (
        ("a.py", "x/__pycache__/__init__.cpython-999.pyc"),
        ("a.py", "x/__init__.pyc"),
        ("b.py", "given/__init__.pyc"),
        ("a.py", "x/other.pyc"),
    ):
        run(box, "python3", flag, "-c", code.format(source, target))
    other = bytearray(box.read_file("x/__init__.pyc"))
    other[0] ^= 1
    write(box, {"magic/__init__.pyc": bytes(other), "torn/__init__.pyc": bytes(other[:40])})
    assert find_fix(shelf, box).found == (
        "/work/x/__init__.pyc", "/work/x/__pycache__/__init__.cpython-999.pyc"
    )  # fmt: skip


def test_V18_archives_are_looked_into(shelf: Repository, box: Sandbox) -> None:
    good = f"shelves-2/{PATH}"
    write(
        box,
        {
            "shelves-2-py3-none-any.whl": zipped(PATH, LATER),
            "cache/shelves-2.tar.gz": tarred(good, LATER),
            "cache/shelves-2.tar.xz": tarred(good, LATER, "w:xz"),
            "cache/shelves-2.tar": tarred(good, LATER, "w:"),
            "cache/shelves-1.zip": zipped(PATH, GIVEN),
            "cache/torn.tar.gz": tarred(good, LATER)[:60],
            "cache/torn.whl": b"PK",
        },
    )
    found = find_fix(shelf, box)
    assert found.found == (
        *(f"/work/cache/shelves-2.tar{end}: {good}" for end in (".gz", ".xz", "")),
        f"/work/shelves-2-py3-none-any.whl: {PATH}",
    )


@pytest.mark.parametrize("packed", [False, True])
def test_V17_V18_objects_of_git_that_nothing_leads_to_are_found(
    shelf: Repository, box: Sandbox, packed: bool
) -> None:
    write(box, {"clone/a.py": LATER, "clone/b.py": GIVEN})
    git = "git -c user.name=a -c user.email=a@b"
    script = f"cd clone && git init -q . && git add . && {git} commit -qm a"
    if packed:
        script += " && git gc -q && rm -rf .git/logs"
    script += " && git rm -q --cached a.py && git rev-parse HEAD:a.py >blob && rm a.py"
    run(box, "sh", "-c", script)
    blob = box.read_file("clone/blob").decode().strip()
    assert find_fix(shelf, box).found == (f"/work/clone/.git: blob {blob}",)


def test_V18_what_is_given_out_may_not_hold_it_elsewhere(shelf: Repository) -> None:
    tree = {
        **shelf.tree,
        f"build/lib/{PATH}": File(SHELF.encode()),
        "dist/shelves-1.egg": File(zipped(PATH, SHELF)),
        f"old/{PATH}": File(GIVEN.encode()),
        f"twin/{PATH}": File(TWIN.encode()),
    }
    bad = replace(shelf, tree=tree)
    problems = gate(RepositoryGrader(bad, "bwrap"), "oracle").problems
    assert problems == (
        f"the fix is in the sandbox: build/lib/{PATH}",
        f"the fix is in the sandbox: dist/shelves-1.egg: {PATH}",
    )
    assert gate(RepositoryGrader(bad, "bwrap"), "noop").problems == ()


def test_V18_files_that_only_look_like_it_are_none(shelf: Repository, box: Sandbox) -> None:
    write(
        box,
        {
            f"given/{PATH}": GIVEN,
            f"other/{PATH}": OTHER + LINE,  # another package, which happens to have the line
            f"part/{PATH}": LATER.replace(LINE, LINE.replace(">=", "==")),
        },
    )
    run(box, "sh", "-c", "mkdir pipe; mkfifo pipe/__init__.py; ln -s . loop; ln -s no no.whl")
    run(box, "sh", "-c", f"mkdir shut; cp other/{PATH} shut; chmod 0 shut")
    assert find_fix(shelf, box).found == ()


def test_V18_a_fix_that_only_removes_lines_is_found(shelf: Repository, box: Sandbox) -> None:
    doubled = SHELF.replace(
        "        self.things.append(thing)\n", "        self.things.append(thing)\n" * 2
    )
    tree = {**shelf.tree, PATH: File(doubled.encode())}
    one = replace(shelf, tree=tree, gold={PATH: File(SHELF.encode())})
    write(box, {f"given/{PATH}": doubled, f"fixed/{PATH}": LATER.replace("\n", " \r\n")})
    assert find_fix(one, box).found == (f"/work/fixed/{PATH}", f"{PATH}")  # the box has its own


def test_V18_a_file_that_the_fix_adds_is_found(shelf: Repository, box: Sandbox) -> None:
    added = replace(shelf, gold={"shelves/new.py": File(OTHER.encode())})
    write(box, {"lib/new.py": f"# a comment\n{OTHER}", "less/new.py": OTHER[:-20]})
    assert find_fix(added, box).found == ("/work/lib/new.py",)


def test_V18_what_a_limit_keeps_from_being_read_is_said(
    shelf: Repository, box: Sandbox, tmp_path: Path
) -> None:
    large = LATER + "#" * MAX_FILE
    write(box, {f"large/{PATH}": large, "large.whl": zipped(PATH, large)})
    found = find_fix(shelf, box)
    assert found.found == ()
    assert found.unread == (
        f"/work/large.whl: a file of more than {MAX_FILE} bytes",
        f"/work/large/{PATH}: a file of more than {MAX_FILE} bytes",
    )
    assert find_fix(shelf, box, seconds=0.0).unread == ("the search was stopped after 0 s",)
    blank = replace(shelf, gold={"README.md": File(b"Shelves.\n\n")})
    said = ("README.md: nothing in it tells the fix",)
    assert find_fix(blank, box).unread == said
    entry = Entry("x", "d", lambda: RepositoryGrader(blank, "bwrap"))
    for _ in range(2):  # found, and read again
        [gated] = run_suite([entry], "oracle", out=tmp_path / "done.jsonl")
        assert gated.unread == said


def test_V18_without_a_right_solution_nothing_is_searched(shelf: Repository) -> None:
    assert scan(replace(shelf, gold={}), "bwrap").files == 0
