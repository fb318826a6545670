"""Rows of the SWE-bench family: every shape, and every way in which a row can be wrong."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agentgym.errors import ConfigError, UnknownName
from agentgym.swe.rows import Task, read_tasks, write_tasks

FIX = "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
TESTS = (
    "diff --git a/test_m.py b/test_m.py\nnew file mode 100644\n--- /dev/null\n+++ b/test_m.py\n"
    "@@ -0,0 +1 @@\n+import m\n"
)
BENCH: dict[str, Any] = {
    "repo": "astropy/astropy",
    "instance_id": "astropy__astropy-12907",
    "base_commit": "d16bfe05a744909de4b27f5875fe0d4ed41ce607",
    "patch": FIX,
    "test_patch": TESTS,
    "problem_statement": "It is wrong.",
    "hints_text": "",
    "created_at": "2022-03-03T15:14:54Z",
    "version": "4.3",
    "FAIL_TO_PASS": '["test_m.py::test_a[x-y]", "test_m.py::test_b"]',
    "PASS_TO_PASS": '["test_m.py::test_c"]',
    "environment_setup_commit": "298ccb478e6bf092953bca67a3d29dc6c35f6752",
}
GYM: dict[str, Any] = {
    **{key: value for key, value in BENCH.items() if key != "environment_setup_commit"},
    "FAIL_TO_PASS": ["test_m.py::test_a"],
    "PASS_TO_PASS": [],
}
REBENCH: dict[str, Any] = {
    **GYM,
    "install_config": {"python": "3.9", "install": "pip install -e ."},
    "requirements": "attrs==1",
    "docker_image": "swerebench/sweb.eval.x86_64.x",
    "version": 1.5,
}
SMITH: dict[str, Any] = {
    "instance_id": "oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc",
    "patch": FIX,
    "FAIL_TO_PASS": ["tests/test_m.py::T::test_a"],
    "PASS_TO_PASS": ["tests/test_m.py::T::test_b"],
    "image_name": "jyangballin/swesmith.x86_64.oauthlib_1776_oauthlib.1fd52536",
    "repo": "swesmith/oauthlib__oauthlib.1fd52536",
    "problem_statement": "",
}
R2E: dict[str, Any] = {
    "repo_name": "orange3",
    "docker_image": "namanjain12/orange3_final:2d9617bd0cb1f0ba61771258410ab8fae8e7e24d",
    "commit_hash": "2d9617bd0cb1f0ba61771258410ab8fae8e7e24d",
    "problem_statement": "It is wrong.",
    "expected_output_json": '{"T.test_a": "PASSED", "T.test_b": "FAILED"}',
    "execution_result_content": json.dumps(
        {"test_file_names": ["test_1.py"], "test_file_codes": ["import m\n"], "x": 1}
    ),
    "parsed_commit_content": "{}",
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def one(tmp_path: Path, row: dict[str, Any], **options: Any) -> Task:
    [task] = read_tasks(write(tmp_path / "rows.jsonl", row), **options)
    return task


def test_swe_bench(tmp_path: Path) -> None:
    task = one(tmp_path, BENCH)
    assert task.fail_to_pass == ("test_m.py::test_a[x-y]", "test_m.py::test_b")
    assert task.pass_to_pass == ("test_m.py::test_c",)
    assert task.image == "swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:latest"
    assert task.facts["environment_setup_commit"] == BENCH["environment_setup_commit"]
    assert (task.patch, task.test_patch, task.version) == (FIX, TESTS, "4.3")
    assert task.unusable() == []


def test_swe_gym_and_rebench(tmp_path: Path) -> None:
    task = one(tmp_path, GYM, shape="swe-gym")
    assert task.image == "xingyaoww/sweb.eval.x86_64.astropy_s_astropy-12907:latest"
    assert (task.fail_to_pass, task.pass_to_pass) == (("test_m.py::test_a",), ())
    task = one(tmp_path, REBENCH)
    assert task.image == "swerebench/sweb.eval.x86_64.x"
    assert task.facts["install_config"] == REBENCH["install_config"]
    assert task.version == "1.5"


def test_swe_smith_is_turned_round(tmp_path: Path) -> None:
    task = one(tmp_path, SMITH)
    assert task.start_patch == FIX
    assert "-x = 2\n+x = 1\n" in task.patch
    assert task.image == SMITH["image_name"]


def test_r2e(tmp_path: Path) -> None:
    task = one(tmp_path, R2E)
    assert task.instance_id == f"orange3__{R2E['commit_hash']}"
    assert task.expected == {"T.test_a": "PASSED", "T.test_b": "FAILED"}
    assert task.test_files == {"test_1.py": "import m\n"}
    assert (task.patch, task.fail_to_pass) == ("", ())


@pytest.mark.parametrize("row", [BENCH, GYM, REBENCH, SMITH, R2E])
def test_written_and_read_again_it_is_the_same(row: dict[str, Any], tmp_path: Path) -> None:
    task = one(tmp_path, row)
    write_tasks(tmp_path / "out.jsonl", [task])
    assert read_tasks(tmp_path / "out.jsonl") == (task,)


def test_a_json_array_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([BENCH, {**GYM, "instance_id": "b"}], indent=1))
    assert [task.instance_id for task in read_tasks(tmp_path / "rows.json")] == [
        BENCH["instance_id"], "b",
    ]  # fmt: skip


def test_parquet_is_read_like_json_lines(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
    from pyarrow import parquet

    for rows in ([BENCH], [GYM], [SMITH], [R2E], [REBENCH]):
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
        assert read_tasks(tmp_path / "rows.parquet") == (one(tmp_path, rows[0]),)
    parquet.write_table(
        pyarrow.Table.from_pylist([GYM, {**GYM, "instance_id": "b", "repo": None}]),
        tmp_path / "rows.parquet",
    )
    with pytest.raises(ConfigError, match=r"rows.parquet: row 2: the field 'repo' must be a"):
        read_tasks(tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ConfigError, match="cannot read"):
        read_tasks(tmp_path / "rows.parquet")


def test_parquet_without_pyarrow_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'agentgym\[parquet\]'"):
        read_tasks(tmp_path / "rows.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance_id": None}, "rows.jsonl:2: the field 'instance_id' must be a string, got None"),
        ({"instance_id": "../x"}, "the instance_id must be of letters"),
        ({"instance_id": "a" * 300}, "the instance_id must be of letters"),
        ({"patch": ""}, "the field 'patch' is empty"),
        ({"patch": "nonsense"}, "the field 'patch': there is no change of a file"),
        ({"test_patch": FIX + "@@ -1 +1 @@\n"}, "the field 'test_patch': line 8 of the patch"),
        ({"test_patch": 3}, "the field 'test_patch' must be a string, got int 3"),
        ({"FAIL_TO_PASS": []}, "FAIL_TO_PASS' is empty: there is nothing to repair"),
        ({"FAIL_TO_PASS": "test_a"}, "or one as JSON in a string, got the string 'test_a'"),
        ({"FAIL_TO_PASS": '{"a": 1}'}, "the field 'FAIL_TO_PASS' must be a list of test ids"),
        ({"FAIL_TO_PASS": ["a", 1]}, "entry 1 of 'FAIL_TO_PASS' must be the id of a test, got int"),
        ({"PASS_TO_PASS": ["a", " "]}, "entry 1 of 'PASS_TO_PASS' is empty"),
        ({"PASS_TO_PASS": ["test_m.py::test_b"]}, "in FAIL_TO_PASS and PASS_TO_PASS is"),
        ({"base_commit": "master"}, "the field 'base_commit' must be a commit, got 'master'"),
        ({"problem_statement": []}, "the field 'problem_statement' must be a string"),
        ({"expected": {"a": 1}}, "'a' in 'expected' must be a string"),
    ],
)
def test_malformed_field_is_named_with_file_and_line(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.jsonl", {**BENCH, "instance_id": "first"}, {**BENCH, **change})
    with pytest.raises(ConfigError) as caught:
        read_tasks(file)
    assert said in str(caught.value)
    assert "rows.jsonl:2: " in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "instance_id",
        "repo",
        "base_commit",
        "patch",
        "problem_statement",
        "test_patch",
        "FAIL_TO_PASS",
    ],
)
def test_missing_field_is_named_with_the_nearest(name: str, tmp_path: Path) -> None:
    row = {f"{key}s" if key == name else key: value for key, value in BENCH.items()}
    with pytest.raises(ConfigError, match=rf":1: the field '{name}' is missing; did you mean"):
        one(tmp_path, row, shape="swe-bench")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expected_output_json": "{"}, "'expected_output_json' is a string that is not JSON"),
        ({"expected_output_json": "[]"}, "'expected_output_json' must be a JSON object"),
        ({"expected_output_json": '{"a": 1}'}, "the outcome of 'a'"),
        ({"execution_result_content": "{}"}, "execution_result_content: the field 'test_file_nam"),
        ({"docker_image": ""}, "the field 'docker_image' is empty"),
    ],
)
def test_malformed_r2e(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        one(tmp_path, {**R2E, **change})
    assert said in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", BENCH, BENCH)
    with pytest.raises(ConfigError, match=r":2: the instance_id .* is also that of .*:1"):
        read_tasks(file)
    with pytest.raises(ConfigError, match="there is no task in it"):
        read_tasks(write(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match="cannot read"):
        read_tasks(tmp_path / "missing.jsonl")
    with pytest.raises(UnknownName, match="did you mean 'swe-gym'"):
        read_tasks(file, shape="swe-gyn")  # type: ignore[arg-type]


def test_V16_a_task_says_why_its_patches_must_not_be_applied(tmp_path: Path) -> None:
    link = TESTS.replace("100644", "120000")
    task = one(tmp_path, {**BENCH, "test_patch": link, "patch": FIX.replace("m.py", "../m.py")})
    assert task.unusable() == [
        "patch: '../m.py' leads out by '..'",
        "test_patch: 'test_m.py' is a symbolic link",
    ]
