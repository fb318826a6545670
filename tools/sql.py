"""SQL on a SQLite database, within limits."""

import functools
import re
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from agentgym.errors import ConfigError, ToolError

__all__ = ["Sql"]

MAX_PAGES: Final = 4096
"""Of 4096 bytes: a database in memory holds 16 MiB."""

_STEPS_AT_ONCE: Final = 1000
_PLATFORM: Final = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
}
"""Errors that no query causes."""

_READING: Final = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_NEVER: Final = {
    sqlite3.SQLITE_ATTACH: "other databases",
    sqlite3.SQLITE_DETACH: "other databases",
    sqlite3.SQLITE_TRANSACTION: "transactions (each statement is one)",
    sqlite3.SQLITE_SAVEPOINT: "transactions (each statement is one)",
    sqlite3.SQLITE_CREATE_VTABLE: "virtual tables",
    sqlite3.SQLITE_DROP_VTABLE: "virtual tables",
}
_PRAGMAS: Final = {"table_info", "table_list", "index_list", "index_info", "foreign_key_list"}
_NO_FUNCTIONS: Final = {
    "load_extension", "fts3_tokenizer", "random", "randomblob", "changes", "total_changes",
    "last_insert_rowid", "current_timestamp", "current_date", "current_time",
}  # fmt: skip
"""Functions that reach outside, or whose value does not follow from database and query."""

_HIDDEN: Final = {
    "random": 0, "randomblob": 1, "current_timestamp": 0, "current_date": 0, "current_time": 0,
}  # fmt: skip
"""Those of them that a column's default calls without asking, and how many arguments they take."""

_CLOCKS: Final = {
    "date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1,
}  # fmt: skip
"""Functions that tell the present time unless given another, and which argument that is."""


class Sql:
    """SQL on a SQLite database, read-only or not; one statement per call, within limits.

    What a call brings follows from the database and the query alone: there is no clock and no
    randomness. A query ends after `max_steps` steps of SQLite's machine, whatever the computer.
    """

    def __init__(
        self,
        database: str = "",
        *,
        script: str = "",
        read_only: bool = False,
        max_rows: int = 50,
        max_cell: int = 10_000,
        max_steps: int = 1_000_000,
    ) -> None:
        """Open a database.

        Args:
            database: an existing file; by default a new database in memory.
            script: SQL that is run first, without limits, e.g. to make and fill tables.
            read_only: refuse everything that changes something.
            max_rows: rows shown.
            max_cell: bytes of a text, a blob or a query.
            max_steps: instructions of SQLite's machine per query.

        Raises:
            ConfigError: no such file, or the script fails.
        """
        self.database, self.read_only = database, read_only
        self.max_rows, self.max_cell, self.max_steps = max_rows, max_cell, max_steps
        self._refused, self._steps = "", 0
        if script and database and read_only:
            raise ConfigError("a script changes a file, which is opened read-only; leave one out")
        try:
            self._db = _open(database, read_only)
            self._db.executescript(script)
        except sqlite3.Error as error:
            raise ConfigError(f"the database {database or 'in memory'}: {error}") from error
        self._guard()

    def __deepcopy__(self, memo: object) -> "Sql":
        if self.database and not self.read_only:
            raise NotImplementedError(f"the database {self.database} is on disk, and can change")
        twin = Sql(
            self.database,
            read_only=self.read_only,
            max_rows=self.max_rows,
            max_cell=self.max_cell,
            max_steps=self.max_steps,
        )
        if not self.database:
            twin._db.set_authorizer(None)
            self._db.backup(twin._db)
            twin._guard()
        return twin

    def __call__(self, query: str) -> str:
        """Run one SQL statement (SQLite) and show the rows that it brings.

        Args:
            query: the statement.
        """
        if not query.strip():
            raise ToolError("the query is empty")
        self._refused, self._steps = "", 0
        try:
            cursor = self._db.execute(query)
            try:
                rows = cursor.fetchmany(self.max_rows + 1)
            finally:
                cursor.close()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PLATFORM:
                raise
            raise ToolError(self._refused or str(error)) from None
        if cursor.description is None:
            return f"rows changed: {cursor.rowcount}" if cursor.rowcount >= 0 else "done"
        lines = [" | ".join(column[0] for column in cursor.description)]
        lines += [" | ".join(map(_shown, row)) for row in rows[: self.max_rows]]
        if len(rows) > self.max_rows:
            lines.append(f"[only the first {self.max_rows} rows are shown]")
        return "\n".join(lines) if rows else f"{lines[0]}\n(no rows)"

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _guard(self) -> None:
        """Put everything in the way of a query that it must not do."""
        db = self._db
        for limit, value in (
            (sqlite3.SQLITE_LIMIT_LENGTH, self.max_cell),
            (sqlite3.SQLITE_LIMIT_SQL_LENGTH, self.max_cell),
            (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
            (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
            (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
            (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
            (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        ):
            db.setlimit(limit, value)
        if not self.database:
            db.execute(f"PRAGMA max_page_count = {MAX_PAGES}")
        if self.read_only:
            db.execute("PRAGMA query_only = ON")
        plain = sqlite3.connect(":memory:", check_same_thread=False)
        for name, place in _CLOCKS.items():
            told = functools.partial(self._without_clock, plain, name, place)
            db.create_function(name, -1, told, deterministic=True)
        for name in ("printf", "format"):
            made = functools.partial(self._narrow, plain, name)
            db.create_function(name, -1, made, deterministic=True)
        for name, count in _HIDDEN.items():
            db.create_function(name, count, functools.partial(self._missing, name))
        db.set_progress_handler(self._count, _STEPS_AT_ONCE)
        db.set_authorizer(self._allow)

    def _allow(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """Say whether a statement may do one thing; noted down for the message if not."""
        refused = ""
        if action in _NEVER:
            refused = f"there are no {_NEVER[action]} here"
        elif action == sqlite3.SQLITE_PRAGMA:
            if first not in _PRAGMAS:
                refused = f"PRAGMA {first} is not allowed; allowed: {', '.join(sorted(_PRAGMAS))}"
        elif action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _NO_FUNCTIONS:
            refused = f"there is no function {second} here"
        elif self.read_only and action not in _READING:
            refused = "the database is read-only; only SELECT is allowed"
        self._refused = self._refused or refused
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    def _count(self) -> bool:
        """Say whether the running query has to end."""
        self._steps += _STEPS_AT_ONCE
        if self._steps > self.max_steps:
            self._refused = f"the query took more than {self.max_steps} steps; ask for less"
        return self._steps > self.max_steps

    def _missing(self, name: str, *_: object) -> None:
        self._refused = f"there is no function {name} here"
        raise ValueError(self._refused)

    def _without_clock(
        self, plain: sqlite3.Connection, name: str, place: int, *arguments: Any
    ) -> Any:
        """Return what a function of time gives, if it does not ask for the present."""
        when = arguments[place] if len(arguments) > place else "now"
        if isinstance(when, str) and when.strip().lower() == "now":
            self._refused = f"there is no present time here; give {name} a time"
            raise ValueError(self._refused)
        return _asked(plain, name, arguments)

    def _narrow(self, plain: sqlite3.Connection, name: str, *arguments: Any) -> Any:
        """Return formatted text; a width of millions would be one step of endless length."""
        if arguments and re.search(r"\*|[0-9]{5}", str(arguments[0])):
            self._refused = f"the widths of {name} are numbers of at most four digits"
            raise ValueError(self._refused)
        return _asked(plain, name, arguments)


def _open(database: str, read_only: bool) -> sqlite3.Connection:
    if not database:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    if not Path(database).is_file():
        raise ConfigError(f"there is no database {database}")
    mode = "ro" if read_only else "rw"
    uri = f"file:{quote(str(Path(database).resolve()))}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    db.execute("SELECT count(*) FROM sqlite_master")  # fails if it is no database
    return db


def _asked(plain: sqlite3.Connection, name: str, arguments: tuple[Any, ...]) -> Any:
    marks = ", ".join("?" * len(arguments))
    return plain.execute(f"SELECT {name}({marks})", arguments).fetchone()[0]


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    return f"x'{value.hex()}'" if isinstance(value, bytes) else str(value)
