"""What tests of software-engineering tasks share: a small repository with a fault, and its row."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

from agentgym.swe.diffs import make_patch
from agentgym.swe.grade_function import Case, FunctionTask
from agentgym.swe.rows import Task, write_tasks

SHELF = '''"""Shelves with things."""


class Shelf:
    """Holds a limited number of things."""

    def __init__(self, room):
        self.room = room
        self.things = []

    def put(self, thing):
        """Add a thing. Raises ValueError where there is no room."""
        if len(self.things) >= self.room:
            raise ValueError("full")
        self.things.append(thing)

    def free(self):
        """Return how many things still fit."""
        return self.room - len(self.things)
'''

BASE = {
    "shelves/__init__.py": SHELF.replace(">= self.room", "> self.room"),
    "tests/test_old.py": (
        "from shelves import Shelf\n\n\ndef test_free():\n    assert Shelf(3).free() == 3\n"
    ),
    "pyproject.toml": '[project]\nname = "shelves"\nversion = "1"\n',
    "README.md": "Shelves.\n",
}
FIXED = BASE | {"shelves/__init__.py": SHELF}
HIDDEN = {
    "tests/test_room.py": (
        "import pytest\n\nfrom shelves import Shelf\n\n\n"
        "def test_full():\n    shelf = Shelf(1)\n    shelf.put('a')\n"
        "    with pytest.raises(ValueError):\n        shelf.put('b')\n\n\n"
        "def test_room():\n    shelf = Shelf(2)\n    shelf.put('a')\n    assert shelf.free() == 1\n"
    )
}
ADD = FunctionTask(
    "add",
    "Return a + b.",
    "add",
    "def add(a, b):\n    return a - b\n",
    "def add(a, b):\n    return a + b\n",
    (Case((1, 2), 3), Case((0, 0), 0), Case(("a", 1), error="TypeError")),
    (Case((2, 2), 4),),
)


def shelf_rows(folder: Path, *, patch: str | None = None, **more: object) -> Path:
    """Write the archive and a file with its one row; return that file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path, text in BASE.items():
            member = tarfile.TarInfo(f"shelves-1/{path}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    (folder / "shelves.tar.gz").write_bytes(data.getvalue())
    task = Task(
        "shelves-1",
        "shelves",
        "A shelf takes one thing more than it has room for.",
        make_patch(BASE, FIXED) if patch is None else patch,
        test_patch=make_patch({}, HIDDEN),
        fail_to_pass=("tests/test_room.py::test_full",),
        pass_to_pass=("tests/test_room.py::test_room", "tests/test_old.py::test_free"),
        source="shelves.tar.gz",
        source_sha256=hashlib.sha256(data.getvalue()).hexdigest(),
    )
    write_tasks(folder / "rows.jsonl", [replace(task, **more)])  # type: ignore[arg-type]
    return folder / "rows.jsonl"
