"""SQL: what it shows, and what no query can do."""

import copy
import hashlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.errors import ConfigError, ToolError
from agentgym.tools.base import Toolset
from agentgym.tools.sql import Sql

SCRIPT = """
CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT UNIQUE, price REAL);
INSERT INTO goods (name, price) VALUES ('tea', 2.5), ('salt', NULL);
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.executescript(SCRIPT)
    db.close()
    return path


def test_what_is_shown() -> None:
    sql = Sql(script=SCRIPT, max_rows=2)
    assert sql("SELECT name, price FROM goods") == "name | price\ntea | 2.5\nsalt | NULL"
    assert sql("SELECT name FROM goods WHERE id > 5;") == "name\n(no rows)"
    assert sql("INSERT INTO goods (name) VALUES ('oil'), ('rice')") == "rows changed: 2"
    assert sql("SELECT id FROM goods ORDER BY id") == "id\n1\n2\n[only the first 2 rows are shown]"
    assert sql("SELECT x'00ff' AS b") == "b\nx'00ff'"
    assert sql("SELECT date('2024-01-31', '+1 month') AS d") == "d\n2024-03-02"
    assert sql("INSERT INTO goods (name) VALUES ('corn') RETURNING id") == "id\n5"
    assert sql("SELECT count(*) AS n FROM goods") == "n\n5"
    assert sql("CREATE TABLE t (a)") == "done"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "the query is empty"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM good", "no such table: good"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("INSERT INTO goods (name) VALUES ('tea')", "UNIQUE constraint failed"),
        ("ATTACH 'other.db' AS o", "no other databases"),
        ("VACUUM INTO 'copy.db'", "no other databases"),
        ("BEGIN", "no transactions"),
        ("SAVEPOINT s", "no transactions"),
        ("PRAGMA writable_schema = 1", "PRAGMA writable_schema is not allowed"),
        ("PRAGMA max_page_count = 1000000", "not allowed"),
        ("SELECT load_extension('x')", "no function load_extension"),
        ("CREATE VIRTUAL TABLE f USING fts5(a)", "no virtual tables"),
        ("SELECT random()", "no function random"),
        ("SELECT CURRENT_TIMESTAMP", "no function current_timestamp"),
        ("SELECT datetime('now')", "no present time here; give datetime a time"),
        ("SELECT datetime(' NOW ', '+1 day')", "no present time here"),
        ("SELECT strftime('%Y')", "no present time here"),
        ("SELECT julianday()", "no present time here"),
        ("SELECT hex(zeroblob(1000000000))", "too big"),
        ("SELECT printf('%.2000000000c', 'x')", "at most four digits"),
        ("SELECT format('%.*c', 2000000000, 'x')", "at most four digits"),
        ("SELECT 'a\x00b'", "null character"),
        ("SELECT " + "(" * 1000 + "1" + ")" * 1000, "."),
        ("SELECT '" + "x" * 20_000 + "'", "too large"),
        (
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT sum(n) FROM t",
            "more than 1000000 steps",
        ),
        (
            "WITH RECURSIVE t(n) AS (SELECT printf('%.9000c', 'x') UNION ALL SELECT n || '' FROM t)"
            " SELECT n FROM t ORDER BY n",
            "more than 1000000 steps|too big",
        ),
    ],
    ids=lambda text: text[:24],
)
def test_what_is_refused(
    query: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sql = Sql(script=SCRIPT)
    with pytest.raises(ToolError, match=says):
        sql(query)
    assert sql("SELECT count(*) AS n FROM goods") == "n\n2"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("default", ["CURRENT_TIMESTAMP", "(random())", "(datetime('now'))"])
def test_defaults_of_columns_have_no_clock_and_no_randomness(default: str) -> None:
    sql = Sql(script=f"CREATE TABLE t (a, b DEFAULT {default})")
    with pytest.raises(ToolError, match=r"no function|no present time"):
        sql("INSERT INTO t (a) VALUES (1)")


def test_a_query_that_is_cut_short_changes_nothing() -> None:
    sql = Sql(script=SCRIPT, max_steps=20_000)
    with pytest.raises(ToolError, match="more than 20000 steps"):
        sql(
            "INSERT INTO goods (name) WITH RECURSIVE t(n) AS "
            "(SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT 'n' || n FROM t"
        )
    assert sql("SELECT count(*) AS n FROM goods") == "n\n2"


def test_a_database_in_memory_has_an_end() -> None:
    sql = Sql(script="CREATE TABLE t (a)", max_steps=10**9)
    with pytest.raises(ToolError, match="full"):
        sql(
            "INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r "
            "LIMIT 10000) SELECT zeroblob(9000) FROM r"
        )


WRITES = [
    "INSERT INTO goods (name) VALUES ('x')",
    "UPDATE goods SET price = 0",
    "DELETE FROM goods",
    "DROP TABLE goods",
    "ALTER TABLE goods RENAME TO g",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE INDEX i ON goods (price)",
    "CREATE TRIGGER r AFTER INSERT ON goods BEGIN DELETE FROM goods; END",
    "REPLACE INTO goods VALUES (1, 'y', 0)",
    "WITH x AS (SELECT 1) DELETE FROM goods",
    "INSERT INTO goods (name) VALUES ('z') RETURNING id",
    "PRAGMA query_only = OFF",
    "PRAGMA user_version = 7",
    "PRAGMA journal_mode = WAL",
    "ATTACH 'new.db' AS n",
    "VACUUM",
    "VACUUM INTO 'new.db'",
    "ANALYZE",
    "BEGIN IMMEDIATE",
]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("query", WRITES)
@pytest.mark.parametrize("around", ["{}", "SELECT 1; {}", "/* SELECT */ {}", "EXPLAIN {}"])
def test_read_only_means_read_only(query: str, around: str, file: Path) -> None:
    before = digest(file)
    for sql in (Sql(str(file), read_only=True), Sql(script=SCRIPT, read_only=True)):
        if around == "EXPLAIN {}":  # says how it would be done, and does not
            Toolset({"sql": sql}).call("sql", {"query": around.format(query)}).or_raise()
        else:
            with pytest.raises(ToolError):
                sql(around.format(query))
        assert sql("SELECT name, price FROM goods") == "name | price\ntea | 2.5\nsalt | NULL"
        sql.close()
    assert digest(file) == before
    assert [path.name for path in file.parent.iterdir()] == ["shop.db"]


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*WRITES, ";", "--", "/*", "*/", "'", '"', "SELECT", "1", "UNION"]),
            st.text(max_size=5),
        ),
        max_size=6,
    ).map(" ".join)
)
def test_no_text_writes_into_a_read_only_database(query: str) -> None:
    tools = Toolset({"sql": Sql(script=SCRIPT, read_only=True)}, timeout_s=None)
    assert tools.call("sql", {"query": query}).failure is None
    said = tools.call("sql", {"query": "SELECT * FROM goods"}).text
    assert said == "id | name | price\n1 | tea | 2.5\n2 | salt | NULL"


def test_files(file: Path, tmp_path: Path) -> None:
    sql = Sql(str(file))
    assert sql("DELETE FROM goods WHERE id = 1") == "rows changed: 1"
    assert Sql(str(file), read_only=True)("SELECT count(*) AS n FROM goods") == "n\n1"
    with pytest.raises(NotImplementedError, match="is on disk"):
        copy.deepcopy(sql)
    with pytest.raises(ConfigError, match="there is no database"):
        Sql(str(tmp_path / "none.db"))
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        Sql(str(tmp_path / "text.db"))
    with pytest.raises(ConfigError, match="near"):
        Sql(script="CREATE TABEL t")


def test_a_damaged_file_is_nobody_s_mistake(file: Path) -> None:
    tools = Toolset({"sql": Sql(str(file), read_only=True)})
    data = file.read_bytes()
    file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    result = tools.call("sql", {"query": "SELECT * FROM goods"})
    assert result.failure is not None
    assert result.failure.boundary == "tool"


def test_copies_go_their_own_way() -> None:
    tools = Toolset({"sql": Sql(script=SCRIPT)})
    twin = copy.deepcopy(tools)
    tools.call("sql", {"query": "DELETE FROM goods"})
    count = {"query": "SELECT count(*) AS n FROM goods"}
    assert [tools.call("sql", count).text, twin.call("sql", count).text] == ["n\n0", "n\n2"]
    assert "no transactions" in twin.call("sql", {"query": "BEGIN"}).text
