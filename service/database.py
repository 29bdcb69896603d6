"""The journal's database: its tables, and SQLite or PostgreSQL, which are told apart only here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from tenacity import retry, retry_if_exception_message, stop_after_delay, wait_random

from converter.errors import CannotWork, WrongUsage

SCHEMA = 3  # 1 had no tallies, 2 no builds that are converted and not published yet
# libpq's (Parameter Key Words), where the URL does not set them. A server that is gone without a
# word, or a network in between, is else waited for up to two hours.
_PATIENCE = {
    "connect_timeout": "20",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",  # milliseconds without an acknowledgement of what was sent
}

_meta = sa.MetaData()
_schema = sa.Table("srcgit_schema", _meta, sa.Column("version", sa.Integer, primary_key=True))
builds = sa.Table(
    "builds",
    _meta,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("nvr", sa.String(255), nullable=False, unique=True),
    sa.Column("package", sa.String(255), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("koji_id", sa.BigInteger),
    sa.Column("commit", sa.String(64)),
    sa.Column("target", sa.String(255)),
    sa.Column("via", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("added", sa.Double, nullable=False),
    sa.Column("due", sa.Double, nullable=False),
    sa.Column("settled", sa.Double),
    sa.Column("owner", sa.String(255)),
    sa.Column("lease", sa.Double),
    sa.Column("outcome", sa.Text, nullable=False, default=""),
    sa.Column("evidence", sa.JSON, nullable=False, default=dict),
    sa.Column("announced", sa.Boolean, nullable=False, default=True),
    sa.Index("builds_due", "state", "due"),
)
# The database itself keeps two workers off one branch: no race can get past a unique index.
running = builds.c.state == "running"
publishing = builds.c.state == "publishing"
_ONE_AT_A_TIME = [
    sa.Index(name, builds.c.key, unique=True, sqlite_where=state, postgresql_where=state)
    for name, state in (
        ("builds_one_at_a_time", running),
        ("builds_one_published_at_a_time", publishing),
    )
]
refused = sa.Table(
    "refused",
    _meta,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("topic", sa.String(255), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("excerpt", sa.Text, nullable=False),
)
signs = sa.Table(
    "signs_of_life",
    _meta,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("seen", sa.Double, nullable=False),
    sa.Column("doing", sa.Text, nullable=False),
    sa.Column("halted", sa.Boolean, nullable=False),
)
# Numbers that only grow: attempts by package and outcome; seconds by stage and bucket, and in all.
tallies = sa.Table(
    "tallies",
    _meta,
    sa.Column("what", sa.String(32), primary_key=True),
    sa.Column("of", sa.String(255), primary_key=True),
    sa.Column("part", sa.String(32), primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)


class JournalUnusable(CannotWork):
    """The journal cannot be read or written: no such server, read-only, disk full."""


class Database:
    """Tables behind an SQLAlchemy URL. Every method raises JournalUnusable."""

    def __init__(self, url: str) -> None:
        """Open the database and make the tables where there are none. Raises WrongUsage."""
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise ArgumentError("only sqlite and postgresql keep a journal")
            self._sqlite = parsed.get_backend_name() == "sqlite"
            self._where = parsed.render_as_string(hide_password=True)
            known = parsed.query
            options: dict[str, Any] = {k: v for k, v in _PATIENCE.items() if k not in known}
            if self._sqlite:
                options = {"timeout": 60}
            self._engine = sa.create_engine(parsed, connect_args=options, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise WrongUsage(
                f"no journal can be kept there: {error}",
                next_step="give journal = a sqlite or postgresql+psycopg URL",
            ) from error
        if self._sqlite:
            if parsed.database and parsed.database != ":memory:":
                _make_file(Path(parsed.database))
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def insert(
        self, table: sa.Table, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT that knows ON CONFLICT, which both have and SQLAlchemy tells apart."""
        return (sqlite.insert if self._sqlite else postgresql.insert)(table).values(values)

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Do what is done with the connection as a whole, or not at all."""
        try:
            with self._engine.execution_options(reading=reading).begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise self._unusable(str(cause).strip()) from error
        except (
            sqlite3.Error,
            UnicodeError,
            json.JSONDecodeError,
        ) as error:  # SQLAlchemy lets them by
            raise self._unusable(f"{error} (malformed)") from error

    def _unusable(self, why: str) -> JournalUnusable:
        damaged = self._sqlite and re.search(r"malformed|not a database|corrupt", why)
        return JournalUnusable(
            f"the journal cannot be used: {why}",
            where=self._where,
            next_step=_MOVE_ASIDE
            if damaged
            else "see to its disk or server; nothing is lost, work goes on after that",
        )

    def _prepare(self) -> None:
        with self.transaction(reading=True) as connection:
            made = sa.inspect(connection).has_table(_schema.name)
            version = connection.execute(sa.select(_schema.c.version)).scalar() if made else None
        if version is None or version < SCHEMA:
            version = self._make_tables()
        if version != SCHEMA:
            raise JournalUnusable(
                f"the journal has schema {version}, this srcgit knows {SCHEMA}",
                where=self._where,
                next_step="run one version of srcgit, or start a new journal and backfill",
            )

    def _make_tables(self) -> int:
        with self.transaction() as connection:
            if not self._sqlite:  # two processes that start at once must not both create tables
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7223448)"))
            _meta.create_all(connection)
            version = connection.execute(sa.select(_schema.c.version)).scalar()
            if version is None:
                connection.execute(sa.insert(_schema).values(version=SCHEMA))
            elif version < SCHEMA:  # a table more, and an index more, were all that changed
                for index in _ONE_AT_A_TIME:
                    index.create(connection, checkfirst=True)
                connection.execute(sa.update(_schema).values(version=SCHEMA))
        return max(version or 0, SCHEMA)


_MOVE_ASIDE = "move it aside and srcgit makes a new one; srcgit backfill finds what is missing then"


def _make_file(path: Path) -> None:
    """Make the file of a journal, where there is none, as a whole: an empty one is damaged.

    SQLite takes an empty file for a new database, and all that was in the journal would be
    forgotten without a word.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix=".journal-", dir=path.parent) as scratch:
                beside = Path(scratch) / path.name
                with contextlib.closing(sqlite3.connect(beside)) as made:
                    made.execute("PRAGMA journal_mode = WAL").close()
                if path.parent.stat().st_mode & stat.S_ISGID:  # who converts and who publishes
                    beside.chmod(0o660)  # SQLite's other files get the mode of this one
                try:
                    os.link(beside, path)
                except FileExistsError:  # another process was quicker
                    pass
                except PermissionError:  # this file system has no links (link(2))
                    os.replace(beside, path)
        size = path.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise JournalUnusable(
            f"the journal cannot be made: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            next_step="make room or make it writable, or set state or journal in the configuration",
        ) from error
    if size == 0:
        raise JournalUnusable(
            "the journal is damaged: its file is empty", where=str(path), next_step=_MOVE_ASIDE
        )


# SQLite's busy timeout does not cover the change to WAL: of two that start at once, one is refused.
@retry(
    retry=retry_if_exception_message(match="database is locked"),
    stop=stop_after_delay(60),
    wait=wait_random(0.01, 0.1),
    reraise=True,
)
def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's would come too late
    # Durable before the message is acknowledged (sqlite.org/pragma.html#pragma_synchronous).
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that starts as a reader and then writes can fail at once, whatever the timeout
    # (sqlite.org/rescode.html#busy_snapshot): say so first. Readers need no right to write.
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
