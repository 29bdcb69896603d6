"""Status: is the service alive, is it up to date, what failed, what waits.

Silence is not health: without a recent sign of life, or without Koji's word on what is newest,
nothing here is well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from converter.build import Evr, Nvr
from converter.errors import SrcgitError, WrongUsage
from converter.mirror import redacted
from converter.odb import Repository
from converter.remote import Record, RemoteChanged, compare, read
from service.backfill import left_out, published
from service.config import Config, Package
from service.journal import UNSETTLED, Journal, Row
from service.koji import Koji, KojiBuild

ALIVE = 180.0  # seconds after which a silent daemon counts as dead
PREPARING = "preparing"  # what a daemon does that makes its first clones: it hears nothing yet
PREPARES = (
    90.0  # seconds after which a silent one of those does: nothing else tells that it is gone
)
UNTOLD = 3600.0  # seconds in which what was settled is announced, unless the bus refuses it
HEARD = 600.0  # seconds in which a message about a finished build arrives, if it ever does
LOOK_BACK = timedelta(days=60)  # for the newest finished build


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far one package's published tree is behind Koji. Times are seconds since the epoch."""

    package: str
    newest_finished: str | None  # NVR
    finished_at: float | None
    newest_published: str | None
    lag: float | None  # seconds since the oldest unpublished build was finished; None: not known
    missing: Sequence[str] = ()
    trouble: str = ""  # why it is not known
    unheard: Sequence[str] = ()  # of the missing, those of which the journal has no row either
    newest: Mapping[str, str] = field(default_factory=dict)  # dist tag -> NVR that finished last
    changed: Sequence[str] = ()  # refs of the places of publication that are not as we left them


@dataclass(frozen=True, slots=True)
class Status:
    """All that a monitor or a person wants to know."""

    at: float
    packages: Sequence[Freshness]
    queue: dict[str, int]  # state -> builds
    oldest_waiting: float | None  # age in seconds
    failures: Sequence[dict[str, Any]]
    signs: Sequence[dict[str, Any]]
    last_message: float | None  # age in seconds
    wrong: Sequence[str]  # what is not well, in words; empty: all is well
    deaf: Sequence[str] = ()  # of these, what a restart of the daemon may mend

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 when something is not."""
        return 1 if self.wrong else 0

    def as_json(self) -> dict[str, Any]:
        """Return ``status --json``."""
        return asdict(self) | {"well": not self.wrong}


def status(config: Config, journal: Journal, koji: Koji, *, failures: int = 20) -> Status:
    """Return the state of the service. Raises JournalUnusable; Koji's silence is an answer."""
    now = time.time()
    settled = {row.nvr: row for row in journal.rows("failed", "parked", "ignored", limit=1000)}
    packages = [
        _freshness(package, koji, settled, journal, now) for package in config.packages.values()
    ]
    waiting = journal.rows(*UNSETTLED)
    oldest = max((now - row.added for row in waiting), default=None)
    signs = journal.signs()
    last = next((now - sign.seen for sign in signs if sign.name == "messages"), None)
    living = [s for s in signs if s.name != "messages" and now - s.seen < ALIVE]
    daemons = [  # a backfill is none
        s
        for s in living
        if s.name.endswith(" intake")
        and (now - s.seen < PREPARES or not s.doing.startswith(PREPARING))
    ]
    wrong = [f"{p.package}: {p.trouble}" for p in packages if p.trouble]
    wrong += [
        f"{p.package}: {p.missing[0]} was finished {p.lag / 3600:.1f} hours ago, not published"
        for p in packages
        if p.lag is not None and p.lag > config.stale
    ]
    wrong += [f"{p.package}: {what}" for p in packages for what in p.changed]
    wrong += [
        f"{row.nvr} is not published: {row.outcome}"
        for row in waiting
        if row.evidence.get("error", {}).get("class") == RemoteChanged.__name__
    ]
    unheard = [
        f"{p.package}: no message told of {', '.join(p.unheard[:3])}" for p in packages if p.unheard
    ]
    preparing = [f"{s.name}: {s.doing}" for s in daemons if s.doing.startswith(PREPARING)]
    wrong += preparing
    hearing = len(daemons) > len(preparing) or not daemons
    deaf = unheard if hearing else []  # a restart would only begin the clone anew
    if not daemons:
        deaf.append("no daemon has given a sign of life in the last minutes")
    deaf += [f"{s.name}: {s.doing}" for s in daemons if s.halted]
    wrong += deaf
    wrong += [f"{s.name}: {s.doing}" for s in living if s.halted and s not in daemons]
    untold = journal.oldest_unannounced() if config.announce else None
    if untold is not None and now - untold > UNTOLD:
        hours = (now - untold) / 3600
        wrong.append(f"what was settled {hours:.1f} hours ago is not announced: see the log")
    parked = [row for row in settled.values() if row.state == "parked"]
    wrong += [f"{row.nvr} is set aside: {row.outcome}" for row in parked]
    return Status(
        now,
        packages,
        journal.counts(),
        oldest,
        [_failure(row) for row in journal.rows("failed", "parked", limit=failures)],
        [asdict(sign) for sign in signs if now - sign.seen < 86400],
        last,
        wrong,
        deaf,
    )


def _freshness(
    package: Package, koji: Koji, settled: dict[str, Row], journal: Journal, now: float
) -> Freshness:
    try:
        tags = published(package)
        changed = _changed(package)
        since = datetime.fromtimestamp(now, UTC) - LOOK_BACK
        builds = [b for b in koji.builds(package.name, since) if not left_out(b, package)]
    except SrcgitError as error:
        return Freshness(package.name, None, None, None, None, (), f"{error.what} [{error.where}]")
    names = {Nvr.parse(build.nvr).ref_name: build for build in builds}
    there = [build for name, build in names.items() if name in tags]
    missing = [
        build
        for name, build in names.items()
        if name not in tags
        and (build.nvr not in settled or (settled[build.nvr].state == "ignored" and build.commit))
    ]
    newest = max(builds, key=_finished, default=None)
    return Freshness(
        package.name,
        newest.nvr if newest else None,
        _finished(newest) if newest else None,
        max(there, key=_finished).nvr if there else _highest(package.name, tags),
        now - min(map(_finished, missing)) if missing else 0.0,
        [build.nvr for build in sorted(missing, key=_finished)],
        unheard=[
            build.nvr
            for build in sorted(missing, key=_finished)
            if not build.promoted  # no message names those
            and now - _finished(build) > HEARD
            and journal.find(build.nvr) is None
        ],
        changed=changed,
        newest={Nvr.parse(b.nvr).dist or "": b.nvr for b in sorted(builds, key=_finished)},
    )


def _changed(package: Package) -> list[str]:
    """Return what somebody else changed at the places of publication. Raises RemoteUnavailable."""
    if not package.repo.exists():
        return []
    repo = Repository(package.repo)
    return [
        f"{finding.what} [{redacted(place)}]"
        for place in package.push
        for finding in compare(repo, read(repo, place), Record(repo, place))
    ]


def _finished(build: KojiBuild) -> float:
    """When it became a build of the distribution."""
    moment = build.promoted or build.completed
    return moment.timestamp() if moment else 0.0


def _highest(package: str, tags: set[str]) -> str | None:
    """Return the published build of the highest version, when none is recent."""
    found = []
    for tag in tags:
        try:
            nvr = Nvr.of_ref(tag)
        except WrongUsage:
            continue
        if nvr.name == package:
            found.append((Evr(0, nvr.version, nvr.release), str(nvr)))
    return max(found, key=lambda item: item[0])[1] if found else None


def _failure(row: Row) -> dict[str, Any]:
    error = row.evidence.get("error", {})
    return {
        "nvr": row.nvr,
        "state": row.state,
        "reason": row.outcome,
        "where": error.get("where", ""),
        "next": error.get("next", ""),
        "attempts": row.attempts,
        "at": row.settled,
    }
