"""The journal: the list of work, one row per build, in a database.

Adding is idempotent and durable when it returns. Workers claim due rows under a lease that
expires, one row at a time for each branch key; what has been published is not decided here but
by the published tree, so a lease that is lost is harmless. Times are seconds since the epoch, by
the caller's clock: hosts that share a journal need clocks that agree to well within a lease. What
a clock that ran far ahead has left behind counts as due: it would be waited for in vain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from service.database import Database, builds, publishing, refused, running, signs, tallies

State = Literal[
    "waiting", "running", "converted", "publishing", "done", "ignored", "failed", "parked"
]
UNSETTLED: tuple[State, ...] = ("waiting", "running", "converted", "publishing")

REFUSED_KEPT = 10_000  # hostile messages must not fill the disk
FAR = 7 * 86400.0  # seconds: nobody is to wait longer; the configuration allows less
EXCERPT = 2_000  # characters of a refused message that are kept
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, float("inf"))  # seconds


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
        self._database = Database(url)
        self._transaction = self._database.transaction

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

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
            "settled": None if row.state in UNSETTLED else now,
        }
        statement = self._database.insert(builds, values).on_conflict_do_nothing()
        with self._transaction() as connection:
            return connection.execute(statement.returning(builds.c.id)).scalar() is not None

    def again(self, row: Row, now: float | None = None, *, only: State | None = None) -> bool:
        """Make a settled build due again, as ``row`` asks for it and its age counted anew.

        False if there is none, or none in the state ``only``.
        """
        now = time.time() if now is None else now
        at_work = sa.or_(running, publishing)
        settled = ~at_work if only is None else builds.c.state == only
        with self._transaction() as connection:
            done = connection.execute(
                sa.update(builds)
                .where(builds.c.nvr == row.nvr, settled)
                .values(
                    koji_id=row.koji_id,
                    commit=row.commit,
                    target=row.target,
                    via=row.via,
                    state="waiting",
                    attempts=0,
                    added=now,
                    due=now,
                    settled=None,
                    outcome="",
                    evidence={},
                    owner=None,
                    lease=None,
                    announced=True,
                )
            )
            return done.rowcount == 1

    def claim(self, owner: str, lease: float, now: float | None = None) -> Row | None:
        """Return the build that has been due longest, to be converted by ``owner``, or None.

        ``lease`` is in seconds. A build whose lease has expired is due again at once, also one that
        was converted and that nobody published; a build waits while another of the same branch key
        is under a lease.
        """
        taken = {"state": "running", "attempts": builds.c.attempts + 1}
        return self._claim((builds.c.state == "waiting",), taken, owner, lease, now)

    def claim_converted(
        self, store: str, owner: str, lease: float, now: float | None = None
    ) -> Row | None:
        """Return the build that was converted first in ``store``, to be published by ``owner``."""
        here = (builds.c.state == "converted", builds.c.owner == store)
        return self._claim(here, {"state": "publishing"}, owner, lease, now)

    def _claim(
        self,
        due: tuple[sa.ColumnElement[bool], ...],
        taken: Mapping[str, Any],
        owner: str,
        lease: float,
        now: float | None,
    ) -> Row | None:
        now = time.time() if now is None else now
        for _ in range(5):
            try:
                return self._claim_once(due, taken, owner, lease, now)
            except IntegrityError:  # another worker took one of the same key between our steps
                continue
        return None

    def _claim_once(
        self,
        due: tuple[sa.ColumnElement[bool], ...],
        taken: Mapping[str, Any],
        owner: str,
        lease: float,
        now: float,
    ) -> Row | None:
        busy = builds.alias()
        first = (
            sa.select(builds.c.id)
            .where(
                *due,
                _over(builds.c.due, now),
                ~sa.exists().where(busy.c.key == builds.c.key, busy.c.state == taken["state"]),
            )
            .order_by(builds.c.due, builds.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)  # no such clause in SQLite: BEGIN IMMEDIATE there
        )
        leased = builds.c.state.in_(("running", "converted", "publishing"))
        with self._transaction() as connection:
            connection.execute(
                sa.update(builds)
                .where(leased, _over(builds.c.lease, now))
                .values(state="waiting", owner=None, lease=None, due=now, outcome="lease expired")
            )
            chosen = connection.execute(first).scalar()
            if chosen is None:
                return None
            connection.execute(
                sa.update(builds)
                .where(builds.c.id == chosen)
                .values(owner=owner, lease=now + lease, **taken)
            )
            return self._one(connection, builds.c.id == chosen)

    def extend(self, row: Row, lease: float, now: float | None = None) -> bool:
        """Prolong the lease to ``lease`` seconds from now; False if somebody else has it."""
        now = time.time() if now is None else now
        with self._transaction() as connection:
            done = connection.execute(
                sa.update(builds).where(*_held(row)).values(lease=now + lease)
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
            done = connection.execute(sa.update(builds).where(*_held(row)).values(values))
            if done.rowcount == 1:
                self._count(connection, row.package, state, evidence.get("seconds", {}))
            return done.rowcount == 1

    def hand_over(
        self,
        row: Row,
        evidence: Mapping[str, Any],
        store: str,
        hold: float,
        now: float | None = None,
    ) -> bool:
        """End the lease: the build is converted, in ``store``, and due to be published.

        Where nobody does that within ``hold`` seconds it is due to be converted again, by whoever
        is there. False (and no change) if somebody else has the lease.
        """
        now = time.time() if now is None else now
        values = {
            "state": "converted",
            "outcome": "",
            "evidence": dict(evidence),
            "owner": store,
            "lease": now + hold,
            "due": now,
        }
        with self._transaction() as connection:
            done = connection.execute(sa.update(builds).where(*_held(row)).values(values))
            return done.rowcount == 1

    def _count(
        self, connection: sa.Connection, package: str, outcome: str, seconds: Mapping[str, float]
    ) -> None:
        counted = {("builds", package, outcome): 1.0}
        for stage, value in seconds.items():
            bucket = next(bound for bound in BUCKETS if value <= bound)
            counted["seconds", stage, str(bucket)] = 1.0
            counted["seconds", stage, "sum"] = value
        # In one order everywhere: workers that settle at once must not wait for each other's rows.
        rows = [
            {"what": what, "of": of, "part": part, "value": value}
            for (what, of, part), value in sorted(counted.items())
        ]
        statement = self._database.insert(tallies, rows)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["what", "of", "part"],
                set_={"value": tallies.c.value + statement.excluded.value},
            )
        )

    def tallies(self, what: str) -> dict[tuple[str, str], float]:
        """Return what was counted since this journal began, by its two names."""
        query = sa.select(tallies).where(tallies.c.what == what)
        with self._transaction(reading=True) as connection:
            return {(row.of, row.part): row.value for row in connection.execute(query)}

    def oldest_due(self) -> float | None:
        """Return since when the build is due that has been due longest; None: none is."""
        due = builds.c.state.in_(("waiting", "converted"))
        query = sa.select(sa.func.min(builds.c.due)).where(due)
        with self._transaction(reading=True) as connection:
            return connection.execute(query).scalar()

    def oldest_unannounced(self) -> float | None:
        """Return when the build was settled that has waited longest for its announcement."""
        query = sa.select(sa.func.min(builds.c.settled)).where(builds.c.announced.is_(False))
        with self._transaction(reading=True) as connection:
            return connection.execute(query).scalar()

    def last_done(self) -> dict[str, float]:
        """Return package -> when a build of it was last done."""
        query = (
            sa.select(builds.c.package, sa.func.max(builds.c.settled).label("settled"))
            .where(builds.c.state == "done")
            .group_by(builds.c.package)
        )
        with self._transaction(reading=True) as connection:
            return {row.package: row.settled for row in connection.execute(query)}

    def release(self, row: Row, due: float | None = None) -> bool:
        """Give a build back as if it had not been claimed, due as it was or else at ``due``."""
        values = {} if due is None else {"due": due}
        with self._transaction() as connection:
            done = connection.execute(
                sa.update(builds)
                .where(*_held(row))
                .values(
                    state="waiting",
                    owner=None,
                    lease=None,
                    attempts=builds.c.attempts - 1,
                    **values,
                )
            )
            return done.rowcount == 1

    def to_announce(self, owner: str, lease: float, now: float | None = None) -> Row | None:
        """Return the oldest settled build that nobody has announced, nor anybody else is announcing.

        It is leased to ``owner`` for ``lease`` seconds; announced() ends that.
        """
        now = time.time() if now is None else now
        first = (
            sa.select(builds.c.id)
            .where(
                builds.c.announced.is_(False),
                builds.c.state.in_(("done", "failed")),
                sa.or_(
                    builds.c.lease.is_(None), builds.c.owner == owner, _over(builds.c.lease, now)
                ),
            )
            .order_by(builds.c.settled, builds.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._transaction() as connection:
            chosen = connection.execute(first).scalar()
            if chosen is None:
                return None
            this = builds.c.id == chosen
            connection.execute(sa.update(builds).where(this).values(owner=owner, lease=now + lease))
            return self._one(connection, this)

    def announced(self, row: Row) -> None:
        """Take a build off the list of what is to be announced; one that is due again stays so."""
        told = (builds.c.id == row.id, builds.c.state == row.state, builds.c.owner == row.owner)
        with self._transaction() as connection:
            connection.execute(
                sa.update(builds).where(*told).values(announced=True, owner=None, lease=None)
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
            number = connection.execute(sa.insert(refused).values(values)).inserted_primary_key
            if number is not None and number[0] % 100 == 0:
                connection.execute(
                    sa.delete(refused).where(refused.c.id <= number[0] - REFUSED_KEPT)
                )

    def refused(self, limit: int = 20) -> Sequence[Refused]:
        """Return the newest refused messages, newest first."""
        with self._transaction(reading=True) as connection:
            query = sa.select(refused).order_by(refused.c.id.desc()).limit(limit)
            return [
                Refused(r.at, r.topic, r.why, r.size, r.excerpt) for r in connection.execute(query)
            ]

    def sign(self, name: str, doing: str, *, halted: bool = False) -> None:
        """Leave a sign of life: what the process ``name`` does right now."""
        now = time.time()
        values = {"name": name, "seen": now, "doing": _storable(doing), "halted": halted}
        statement = self._database.insert(signs, values)
        with self._transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=values)
            )
            # Names of workers come and go.
            connection.execute(sa.delete(signs).where(signs.c.seen < now - 7 * 86400))

    def withdraw(self, process: str) -> None:
        """Remove the signs of a process that ends in peace: it neither lives nor is it in trouble."""
        ours = signs.c.name.startswith(f"{process} ", autoescape=True)
        with self._transaction() as connection:
            connection.execute(sa.delete(signs).where(ours))

    def try_to_write(self) -> None:
        """Write something of no importance, durably: a journal on a full disk can still be read."""
        row = {"what": "written", "of": "", "part": "", "value": time.time()}
        statement = self._database.insert(tallies, row)
        with self._transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["what", "of", "part"], set_=row)
            )

    def signs(self) -> Sequence[Sign]:
        """Return the signs of life, newest first."""
        with self._transaction(reading=True) as connection:
            query = sa.select(signs).order_by(signs.c.seen.desc())
            return [Sign(r.name, r.seen, r.doing, r.halted) for r in connection.execute(query)]

    def find(self, nvr: str) -> Row | None:
        """Return the row of one build."""
        with self._transaction(reading=True) as connection:
            return self._one(connection, builds.c.nvr == nvr)

    def counts(self, package: str | None = None) -> dict[str, int]:
        """Return how many builds are in each state."""
        query = sa.select(builds.c.state, sa.func.count().label("number")).group_by(builds.c.state)
        if package is not None:
            query = query.where(builds.c.package == package)
        with self._transaction(reading=True) as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def rows(
        self, *states: State, package: str | None = None, limit: int | None = None
    ) -> Sequence[Row]:
        """Return the builds in these states (default: all), the newest first."""
        query = sa.select(builds).order_by(builds.c.added.desc(), builds.c.id.desc())
        if states:
            query = query.where(builds.c.state.in_(states))
        if package is not None:
            query = query.where(builds.c.package == package)
        with self._transaction(reading=True) as connection:
            return self._rows(connection, query.limit(limit))

    # -- inside --------------------------------------------------------------------------------

    def _one(self, connection: sa.Connection, where: sa.ColumnElement[bool]) -> Row | None:
        rows = self._rows(connection, sa.select(builds).where(where))
        return rows[0] if rows else None

    @staticmethod
    def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[Row]:
        return [Row(**found) for found in connection.execute(query).mappings()]


def _held(row: Row) -> tuple[sa.ColumnElement[bool], ...]:
    """The condition that ``row`` is still leased to the owner and by the claim it came from."""
    return (
        builds.c.id == row.id,
        sa.or_(running, publishing),
        builds.c.owner == row.owner,
        builds.c.attempts == row.attempts,
    )


def _over(moment: sa.ColumnElement[float | None], now: float) -> sa.ColumnElement[bool]:
    """The condition that ``moment`` has passed, or was written by a clock that ran ahead."""
    return sa.or_(moment <= now, moment > now + FAR)


def _storable(text: str) -> str:
    """PostgreSQL's text cannot hold NUL, and nobody's text can hold half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
