"""Rows of the SWE-bench family: one repository at one commit, a problem, a fix, the tests.

Read are JSON Lines, JSON arrays and parquet files in the shapes of SWE-bench (also Lite and
Verified), SWE-Gym, SWE-rebench, SWE-smith and R2E-Gym, and what `agentgym make-swe` writes. The
field names are those of the data sets as published.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from agentgym.errors import ConfigError, UnknownName
from agentgym.jsonl import Record, records
from agentgym.swe._fields import Fields, parquet_records
from agentgym.swe.diffs import problems, reversed_patch, text_of
from agentgym.swe.patches import BadPatch, parse
from agentgym.types import JSON

Shape = Literal["swe-bench", "swe-gym", "swe-rebench", "swe-smith", "r2e", "agentgym"]
SHAPES: Final[tuple[str, ...]] = get_args(Shape)


@dataclass(frozen=True, slots=True)
class Task:
    """One software-engineering task.

    The agent gets `problem_statement` and the repository: `base_commit` of `repo` as it is in
    `image`, or the archive `source`, in both cases with `start_patch` applied. The verdict is
    about `fail_to_pass` and `pass_to_pass` once `test_patch` is applied, or about `expected` where
    a data set has that instead.

    Attributes:
        instance_id: unique in its file; letters, digits, `_`, `.`, `+` and `-`.
        patch: the fix, a diff against what the agent gets. R2E-Gym has none.
        test_patch: brings the tests in. The agent never sees it.
        start_patch: brings the fault in, and takes hidden tests out.
        fail_to_pass, pass_to_pass: ids of tests that must pass: they fail, or pass, at the start.
        expected: outcome ("PASSED", "FAILED", ...) by name of test, as R2E-Gym has it.
        test_files: text by path of tests that are put there for the verdict, as R2E-Gym has them.
        image: the name of a container image with the repository; empty if there is none.
        source: path of an archive (.tar.gz) of the repository, beside the file of rows.
        source_sha256: its digest.
        dockerfile: how such an image is made from the archive.
        version: of the repository, in whatever form the data set has it.
        facts: everything else that the row says.
    """

    instance_id: str
    repo: str
    problem_statement: str
    patch: str
    base_commit: str = ""
    test_patch: str = ""
    start_patch: str = ""
    fail_to_pass: tuple[str, ...] = ()
    pass_to_pass: tuple[str, ...] = ()
    expected: Mapping[str, str] = field(default_factory=dict)
    test_files: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    source: str = ""
    source_sha256: str = ""
    dockerfile: str = ""
    version: str = ""
    facts: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def honeypot(self) -> bool:
        """Whether nothing can pass, as the field "honeypot" says: what does has fooled its judge.

        Its right solution is missing, or does not pass.
        """
        return self.facts.get("honeypot") is True

    def row(self) -> dict[str, JSON]:
        """Return it as a row with SWE-bench's names. Reading that row gives this task again."""
        row: dict[str, JSON] = {
            **self.facts,
            "instance_id": self.instance_id,
            "repo": self.repo,
            "base_commit": self.base_commit,
            "problem_statement": self.problem_statement,
            "patch": self.patch,
            "test_patch": self.test_patch,
            "FAIL_TO_PASS": list(self.fail_to_pass),
            "PASS_TO_PASS": list(self.pass_to_pass),
            "version": self.version,
            "image_name": self.image,
            "start_patch": self.start_patch,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "dockerfile": self.dockerfile,
        }
        if self.expected:
            row["expected"] = dict(self.expected)
        if self.test_files:
            row["test_files"] = dict(self.test_files)
        return row

    def unusable(self) -> list[str]:
        """Return why the patches of this task must not be applied (V16); nothing if they may be."""
        return [
            f"{name}: {problem.message}"
            for name in ("start_patch", "patch", "test_patch")
            for problem in problems(parse(getattr(self, name)))
        ]


def read_tasks(path: str | Path, *, shape: Shape | Literal["auto"] = "auto") -> tuple[Task, ...]:
    """Read all tasks of a file.

    Args:
        path: JSON Lines, one JSON array, or parquet by its ending (needs pyarrow).
        shape: which data set it is of. "auto" looks at the fields; SWE-Gym cannot be told from
            SWE-bench by them, but only the names of images differ.

    Raises:
        ConfigError: there is no such file, a field is missing or malformed, an id is there twice;
            says the file, the line and the field.
        UnknownName: no such shape.
    """
    if shape != "auto" and shape not in SHAPES:
        raise UnknownName("shape of a SWE data set", shape, SHAPES)
    path = Path(path)
    seen: dict[str, str] = {}
    tasks = []
    for record in parquet_records(path) if path.suffix == ".parquet" else records(path):
        task = task_of(record, None if shape == "auto" else shape)
        if task.instance_id in seen:
            raise record.wrong(
                f"the instance_id {task.instance_id!r} is also that of {seen[task.instance_id]}"
            )
        seen[task.instance_id] = record.where
        tasks.append(task)
    if not tasks:
        raise ConfigError(f"{path}: there is no task in it")
    return tuple(tasks)


def write_tasks(path: str | Path, tasks: Iterable[Task]) -> None:
    """Write tasks as JSON Lines."""
    text = "".join(
        json.dumps(task.row(), ensure_ascii=False, allow_nan=False) + "\n" for task in tasks
    )
    Path(path).write_text(text, "utf-8")


def task_of(record: Record, shape: str | None = None) -> Task:
    """Return the task of a row; None looks at its fields for the shape.

    Raises:
        ConfigError: a field is missing or malformed.
    """
    shape = shape or shape_of(record.fields)
    if shape == "r2e":
        return _r2e(record)
    need = Fields(record)
    name = need.id(need.text("instance_id"))
    expected = need.texts("expected")
    honeypot = record.typed(
        record.fields.get("honeypot", False), bool, "the field 'honeypot'", "true or false"
    )
    patch = need.patch("patch", "" if expected or honeypot else None)
    start = need.patch("start_patch", "")
    if shape == "swe-smith":  # its patch brings the fault in
        try:
            patch, start = text_of(reversed_patch(parse(patch))), patch
        except BadPatch as error:
            raise record.wrong(f"the field 'patch': {error}") from None
    known = {
        "instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch",
        "version", "image_name", "docker_image", "start_patch", "source", "source_sha256",
        "dockerfile", "expected", "test_files",
        "FAIL_TO_PASS", "PASS_TO_PASS",
    }  # fmt: skip
    task = Task(
        name,
        need.text("repo"),
        need.text("problem_statement", None if shape != "swe-smith" else "", empty=True),
        patch,
        need.commit("base_commit", None if shape in ("swe-bench", "swe-gym") else ""),
        need.patch("test_patch", "" if shape in ("swe-smith", "agentgym") else None),
        start,
        need.ids("FAIL_TO_PASS", optional=bool(expected)),
        need.ids("PASS_TO_PASS", optional=bool(expected)),
        expected,
        need.texts("test_files"),
        need.image(shape, name),
        need.text("source", "", empty=True),
        need.text("source_sha256", "", empty=True),
        need.text("dockerfile", "", empty=True),
        str(record.fields.get("version") or ""),
        need.rest(known),
    )
    if not task.fail_to_pass and not expected:
        raise record.wrong("the field 'FAIL_TO_PASS' is empty: there is nothing to repair")
    both = sorted({*task.fail_to_pass} & {*task.pass_to_pass})
    if both:
        raise record.wrong(f"in FAIL_TO_PASS and PASS_TO_PASS is {both[0]!r}")
    return task


def shape_of(fields: Mapping[str, Any]) -> Shape:
    """Return the data set that a row has the fields of."""
    if "expected_output_json" in fields or ("repo_name" in fields and "commit_hash" in fields):
        return "r2e"
    if "start_patch" in fields:
        return "agentgym"
    if "install_config" in fields:
        return "swe-rebench"
    if "image_name" in fields and "test_patch" not in fields:
        return "swe-smith"
    return "swe-bench"


def _r2e(record: Record) -> Task:
    """Read a row of R2E-Gym: outcomes by test, and the files of the tests, as JSON in strings."""
    need = Fields(record)
    repo, commit = need.text("repo_name"), need.commit("commit_hash", None)
    expected = need.inner("expected_output_json")
    for test, outcome in expected.items():
        record.typed(outcome, str, f"the outcome of {test!r} in 'expected_output_json'", "a string")
    ran = Record(
        need.inner("execution_result_content"), f"{record.where}: execution_result_content"
    )
    names = ran.need("test_file_names", list, "a list of strings")
    codes = ran.need("test_file_codes", list, "a list of strings")
    if len(names) != len(codes):
        raise ran.wrong(f"{len(names)} test_file_names, but {len(codes)} test_file_codes")
    known = {"repo_name", "docker_image", "commit_hash", "problem_statement",
             "expected_output_json", "execution_result_content"}  # fmt: skip
    return Task(
        need.id(f"{repo}__{commit}"),
        repo,
        need.text("problem_statement"),
        "",
        commit,
        expected=expected,
        test_files=dict(zip(names, codes, strict=True)),
        image=need.text("docker_image"),
        facts=need.rest(known),
    )
