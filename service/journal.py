"""The journal: the list of work, one row per build, in SQLite or PostgreSQL.

Adding is idempotent and durable when it returns. Workers claim due rows under a lease that
expires, one row at a time for each branch key; what has been published is not decided here but
by the published tree, so a lease that is lost is harmless. Times are seconds since the epoch, by
the caller's clock: hosts that share a journal need clocks that agree to well within a lease.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from tenacity import retry, retry_if_exception_message, stop_after_delay, wait_random

from converter.errors import CannotWork, WrongUsage

State = Literal["waiting", "running", "done", "ignored", "failed", "parked"]

SCHEMA = 2  # 1 had no tallies
REFUSED_KEPT = 10_000  # hostile messages must not fill the disk
EXCERPT = 2_000  # characters of a refused message that are kept
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, float("inf"))  # seconds

_meta = sa.MetaData()
_schema = sa.Table("srcgit_schema", _meta, sa.Column("version", sa.Integer, primary_key=True))
_builds = sa.Table(
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
_running = _builds.c.state == "running"
sa.Index(
    "builds_one_at_a_time",
    _builds.c.key,
    unique=True,
    sqlite_where=_running,
    postgresql_where=_running,
)
_refused = sa.Table(
    "refused",
    _meta,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("topic", sa.String(255), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("excerpt", sa.Text, nullable=False),
)
_signs = sa.Table(
    "signs_of_life",
    _meta,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("seen", sa.Double, nullable=False),
    sa.Column("doing", sa.Text, nullable=False),
    sa.Column("halted", sa.Boolean, nullable=False),
)
# Numbers that only grow: attempts by package and outcome; seconds by stage and bucket, and in all.
_tallies = sa.Table(
    "tallies",
    _meta,
    sa.Column("what", sa.String(32), primary_key=True),
    sa.Column("of", sa.String(255), primary_key=True),
    sa.Column("part", sa.String(32), primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)


class JournalUnusable(CannotWork):
    """The journal cannot be read or written: no such server, read-only, disk full."""


@dataclass(frozen=True, slots=True)
class Row:
    """A build in the journal. ``key`` names the branch on which builds must not overlap."""

    nvr: str
    package: str
    key: str
    koji_id: int | None = None
    commit: str | None = None  # full pkg-git id; None: Koji knows
    target: str | None = None
    via: str = "message"
    state: State = "waiting"
    outcome: str = ""  # in words, why it is in this state
    evidence: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0  # claims so far
    added: float = 0.0
    due: float = 0.0
    settled: float | None = None
    owner: str | None = None
    lease: float | None = None  # when it expires
    announced: bool = True
    id: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that was not understood, and why."""

    at: float
    topic: str
    why: str
    size: int  # bytes
    excerpt: str


@dataclass(frozen=True, slots=True)
class Sign:
    """When a process was last seen, and what it did then."""

    name: str
    seen: float
    doing: str
    halted: bool


class Journal:
    """The journal behind an SQLAlchemy URL. Every method raises JournalUnusable.

    Safe to share between threads; each process opens its own.
    """

    def __init__(self, url: str) -> None:
        """Open the journal and make its tables where there are none. Raises WrongUsage."""
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise ArgumentError("only sqlite and postgresql keep a journal")
            self._sqlite = parsed.get_backend_name() == "sqlite"
            self._where = parsed.render_as_string(hide_password=True)
            options = {"timeout": 60} if self._sqlite else {"connect_timeout": 20}
            self._engine = sa.create_engine(parsed, connect_args=options, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise WrongUsage(
                f"no journal can be kept there: {error}",
                next_step="give journal = a sqlite or postgresql+psycopg URL",
            ) from error
        if self._sqlite:
            if parsed.database:
                _make_directory(Path(parsed.database).parent)
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._prepare()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, row: Row, now: float | None = None) -> bool:
        """Add a build unless its NVR is there already; return whether it was added. Durable."""
        now = time.time() if now is None else now
        values = {
            "nvr": row.nvr,
            "package": row.package,
            "key": row.key,
            "koji_id": row.koji_id,
            "commit": row.commit,
            "target": row.target,
            "via": row.via,
            "state": row.state,
            "outcome": row.outcome,
            "evidence": dict(row.evidence),
            "added": now,
            "due": now,
            "settled": None if row.state == "waiting" else now,
        }
        insert = sqlite.insert if self._sqlite else postgresql.insert
        with self._transaction() as connection:
            statement = insert(_builds).values(values).on_conflict_do_nothing()
            return connection.execute(statement.returning(_builds.c.id)).scalar() is not None

    def again(self, nvr: str, now: float | None = None) -> bool:
        """Make a settled build due again, its age counted anew; False if there is none."""
        now = time.time() if now is None else now
        with self._transaction() as connection:
            done = connection.execute(
                sa.update(_builds)
                .where(_builds.c.nvr == nvr, _builds.c.state != "running")
                .values(
                    state="waiting",
                    attempts=0,
                    added=now,
                    due=now,
                    settled=None,
                    outcome="",
                    owner=None,
                    lease=None,
                    announced=True,
                )
            )
            return done.rowcount == 1

    def claim(self, owner: str, lease: float, now: float | None = None) -> Row | None:
        """Return the build that has been due longest, now leased to ``owner``, or None.

        ``lease`` is in seconds. A build whose lease has expired is due again at once; a build
        waits while another of the same branch key is under a lease.
        """
        now = time.time() if now is None else now
        for _ in range(5):
            try:
                return self._claim(owner, lease, now)
            except IntegrityError:  # another worker took one of the same key between our steps
                continue
        return None

    def _claim(self, owner: str, lease: float, now: float) -> Row | None:
        busy = _builds.alias()
        due = (
            sa.select(_builds.c.id)
            .where(
                _builds.c.state == "waiting",
                _builds.c.due <= now,
                ~sa.exists().where(busy.c.key == _builds.c.key, busy.c.state == "running"),
            )
            .order_by(_builds.c.due, _builds.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)  # no such clause in SQLite: BEGIN IMMEDIATE there
        )
        with self._transaction() as connection:
            connection.execute(
                sa.update(_builds)
                .where(_running, _builds.c.lease < now)
                .values(state="waiting", owner=None, lease=None, due=now, outcome="lease expired")
            )
            chosen = connection.execute(due).scalar()
            if chosen is None:
                return None
            connection.execute(
                sa.update(_builds)
                .where(_builds.c.id == chosen)
                .values(
                    state="running",
                    owner=owner,
                    lease=now + lease,
                    attempts=_builds.c.attempts + 1,
                )
            )
            return self._one(connection, _builds.c.id == chosen)

    def extend(self, row: Row, lease: float, now: float | None = None) -> bool:
        """Prolong the lease to ``lease`` seconds from now; False if somebody else has it."""
        now = time.time() if now is None else now
        with self._transaction() as connection:
            done = connection.execute(
                sa.update(_builds).where(*_held(row)).values(lease=now + lease)
            )
            return done.rowcount == 1

    def settle(
        self,
        row: Row,
        state: State,
        outcome: str,
        evidence: Mapping[str, Any],
        *,
        due: float | None = None,
        announce: bool = False,
        now: float | None = None,
    ) -> bool:
        """End the lease with an outcome; False (and no change) if somebody else has it.

        ``due`` says when a build that waits is tried again; ``announce`` puts it on the list of
        what is still to be announced.
        """
        now = time.time() if now is None else now
        values: dict[str, Any] = {
            "state": state,
            "outcome": _storable(outcome),
            "evidence": dict(evidence),
            "owner": None,
            "lease": None,
            "settled": None if state == "waiting" else now,
            "announced": not announce,
        }
        if due is not None:
            values["due"] = due
        for fact in ("commit", "target", "koji_id"):
            if evidence.get(fact) is not None:
                values[fact] = evidence[fact]
        with self._transaction() as connection:
            done = connection.execute(sa.update(_builds).where(*_held(row)).values(values))
            if done.rowcount == 1:
                self._count(connection, row.package, state, evidence.get("seconds", {}))
            return done.rowcount == 1

    def _count(
        self, connection: sa.Connection, package: str, outcome: str, seconds: Mapping[str, float]
    ) -> None:
        counted = {("builds", package, outcome): 1.0}
        for stage, value in seconds.items():
            bucket = next(bound for bound in BUCKETS if value <= bound)
            counted["seconds", stage, str(bucket)] = 1.0
            counted["seconds", stage, "sum"] = value
        insert = sqlite.insert if self._sqlite else postgresql.insert
        # In one order everywhere: workers that settle at once must not wait for each other's rows.
        rows = [
            {"what": what, "of": of, "part": part, "value": value}
            for (what, of, part), value in sorted(counted.items())
        ]
        statement = insert(_tallies).values(rows)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["what", "of", "part"],
                set_={"value": _tallies.c.value + statement.excluded.value},
            )
        )

    def tallies(self, what: str) -> dict[tuple[str, str], float]:
        """Return what was counted since this journal began, by its two names."""
        query = sa.select(_tallies).where(_tallies.c.what == what)
        with self._transaction(reading=True) as connection:
            return {(row.of, row.part): row.value for row in connection.execute(query)}

    def oldest_due(self) -> float | None:
        """Return since when the build is due that has been due longest; None: none is."""
        query = sa.select(sa.func.min(_builds.c.due)).where(_builds.c.state == "waiting")
        with self._transaction(reading=True) as connection:
            return connection.execute(query).scalar()

    def last_done(self) -> dict[str, float]:
        """Return package -> when a build of it was last done."""
        query = (
            sa.select(_builds.c.package, sa.func.max(_builds.c.settled).label("settled"))
            .where(_builds.c.state == "done")
            .group_by(_builds.c.package)
        )
        with self._transaction(reading=True) as connection:
            return {row.package: row.settled for row in connection.execute(query)}

    def release(self, row: Row) -> bool:
        """Give a build back, due at once, as if it had not been claimed."""
        with self._transaction() as connection:
            done = connection.execute(
                sa.update(_builds)
                .where(*_held(row))
                .values(state="waiting", owner=None, lease=None, attempts=_builds.c.attempts - 1)
            )
            return done.rowcount == 1

    def to_announce(self, owner: str, lease: float, now: float | None = None) -> Row | None:
        """Return the oldest settled build that nobody has announced or is announcing.

        It is leased to ``owner`` for ``lease`` seconds; announced() ends that.
        """
        now = time.time() if now is None else now
        first = (
            sa.select(_builds.c.id)
            .where(
                _builds.c.announced.is_(False),
                _builds.c.state.in_(("done", "failed")),
                sa.or_(_builds.c.lease.is_(None), _builds.c.lease < now),
            )
            .order_by(_builds.c.settled, _builds.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._transaction() as connection:
            chosen = connection.execute(first).scalar()
            if chosen is None:
                return None
            this = _builds.c.id == chosen
            connection.execute(
                sa.update(_builds).where(this).values(owner=owner, lease=now + lease)
            )
            return self._one(connection, this)

    def announced(self, row: Row) -> None:
        """Take a build off the list of what is to be announced."""
        with self._transaction() as connection:
            connection.execute(
                sa.update(_builds)
                .where(_builds.c.id == row.id)
                .values(announced=True, owner=None, lease=None)
            )

    def refuse(self, topic: str, why: str, body: bytes, now: float | None = None) -> None:
        """Record a message that will not be acted upon. Only the newest are kept."""
        values = {
            "at": time.time() if now is None else now,
            "topic": _storable(topic)[:255],
            "why": _storable(why)[:EXCERPT],
            "size": len(body),
            "excerpt": _storable(body[:EXCERPT].decode("utf-8", "replace")),
        }
        with self._transaction() as connection:
            number = connection.execute(sa.insert(_refused).values(values)).inserted_primary_key
            if number is not None and number[0] % 100 == 0:
                connection.execute(
                    sa.delete(_refused).where(_refused.c.id <= number[0] - REFUSED_KEPT)
                )

    def refused(self, limit: int = 20) -> Sequence[Refused]:
        """Return the newest refused messages, newest first."""
        with self._transaction(reading=True) as connection:
            query = sa.select(_refused).order_by(_refused.c.id.desc()).limit(limit)
            return [
                Refused(r.at, r.topic, r.why, r.size, r.excerpt) for r in connection.execute(query)
            ]

    def sign(self, name: str, doing: str, *, halted: bool = False) -> None:
        """Leave a sign of life: what the process ``name`` does right now."""
        now = time.time()
        values = {"name": name, "seen": now, "doing": _storable(doing), "halted": halted}
        insert = sqlite.insert if self._sqlite else postgresql.insert
        statement = insert(_signs).values(values)
        with self._transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=values)
            )
            # Names of workers come and go.
            connection.execute(sa.delete(_signs).where(_signs.c.seen < now - 7 * 86400))

    def signs(self) -> Sequence[Sign]:
        """Return the signs of life, newest first."""
        with self._transaction(reading=True) as connection:
            query = sa.select(_signs).order_by(_signs.c.seen.desc())
            return [Sign(r.name, r.seen, r.doing, r.halted) for r in connection.execute(query)]

    def find(self, nvr: str) -> Row | None:
        """Return the row of one build."""
        with self._transaction(reading=True) as connection:
            return self._one(connection, _builds.c.nvr == nvr)

    def counts(self, package: str | None = None) -> dict[str, int]:
        """Return how many builds are in each state."""
        query = sa.select(_builds.c.state, sa.func.count().label("number")).group_by(
            _builds.c.state
        )
        if package is not None:
            query = query.where(_builds.c.package == package)
        with self._transaction(reading=True) as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def rows(
        self, *states: State, package: str | None = None, limit: int | None = None
    ) -> Sequence[Row]:
        """Return the builds in these states (default: all), the newest first."""
        query = sa.select(_builds).order_by(_builds.c.added.desc(), _builds.c.id.desc())
        if states:
            query = query.where(_builds.c.state.in_(states))
        if package is not None:
            query = query.where(_builds.c.package == package)
        with self._transaction(reading=True) as connection:
            return self._rows(connection, query.limit(limit))

    # -- inside --------------------------------------------------------------------------------

    def _prepare(self) -> None:
        with self._transaction(reading=True) as connection:
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
        with self._transaction() as connection:
            if not self._sqlite:  # two processes that start at once must not both create tables
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7223448)"))
            _meta.create_all(connection)
            version = connection.execute(sa.select(_schema.c.version)).scalar()
            if version is None:
                connection.execute(sa.insert(_schema).values(version=SCHEMA))
            elif version < SCHEMA:  # a table more was all that changed
                connection.execute(sa.update(_schema).values(version=SCHEMA))
        return max(version or 0, SCHEMA)

    @contextmanager
    def _transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.execution_options(reading=reading).begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise JournalUnusable(
                f"the journal cannot be used: {str(cause).strip()}",
                where=self._where,
                next_step="see to its disk or server; nothing is lost, work goes on after that",
            ) from error

    def _one(self, connection: sa.Connection, where: sa.ColumnElement[bool]) -> Row | None:
        rows = self._rows(connection, sa.select(_builds).where(where))
        return rows[0] if rows else None

    @staticmethod
    def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[Row]:
        return [Row(**found) for found in connection.execute(query).mappings()]


def _held(row: Row) -> tuple[sa.ColumnElement[bool], ...]:
    """The condition that ``row`` is still leased to the owner and by the claim it came from."""
    return (
        _builds.c.id == row.id,
        _running,
        _builds.c.owner == row.owner,
        _builds.c.attempts == row.attempts,
    )


def _storable(text: str) -> str:
    """PostgreSQL's text cannot hold NUL, and nobody's text can hold half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalUnusable(
            f"the journal's directory cannot be made: {error.strerror}",
            where=str(path),
            next_step="set state or journal in the configuration",
        ) from error


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
