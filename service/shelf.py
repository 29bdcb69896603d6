"""What the pages show, read from the published repositories and the journal; nothing is written."""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from converter import conversion, top
from converter.build import SERIES_JSON, Evr, Nvr
from converter.errors import RepositoryUnusable, WrongUsage
from converter.odb import Repository
from converter.text import text
from service.config import Config, Package
from service.journal import UNSETTLED, Journal, Row

_SHOWN = 1 << 20  # bytes of a diff
_HEADS, _TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of the overview. Times are seconds since the epoch."""

    package: str
    name: str
    published: str  # NVR
    base: str
    patches: int
    date: float  # of the pkg-git commit
    dist: str  # of the published build
    waiting: str  # the newest build that is known and not published yet; ""
    since: float  # when we came to know of the first such build; 0 where there is none


@dataclass(frozen=True, slots=True)
class Entry:
    """One build that was published or tried."""

    nvr: str
    package: str
    state: str
    outcome: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)  # fedora/series.json
    trailers: Mapping[str, str] = field(default_factory=dict)  # of the tag
    commit: str = ""
    date: str = ""  # RFC 3339
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A patch that a search found, and the builds that carry it."""

    package: str
    patch: str
    subject: str
    bugs: str
    first: str
    last: str
    builds: int


class Shelf:
    """The published builds of every configured package."""

    def __init__(self, config: Config, journal: Journal) -> None:
        self._config = config
        self._journal = journal
        self._indexed: dict[str, str] = {}  # package and tag -> tag object
        self._lock = threading.Lock()
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute(
            "CREATE TABLE patches (package, patch, subject, bugs, first, last, builds,"
            " PRIMARY KEY (package, patch, subject, bugs)) WITHOUT ROWID"
        )
        weakref.finalize(self, self._index.close)

    # -- overview --------------------------------------------------------------------------

    def branches(self) -> Sequence[Branch]:
        """Return a line for each branch of each package, those with the newest build first."""
        return sorted(
            (line for package in self._config.packages.values() for line in self._lines(package)),
            key=lambda line: -line.date,
        )

    def _lines(self, package: Package) -> Sequence[Branch]:
        repo = self._open(package)
        if repo is None:
            return []
        waiting = self._journal.rows(*UNSETTLED, "failed", "parked", package=package.name)
        lines = []
        for ref, tip in repo.refs(_HEADS).items():
            record = _record(repo, tip)
            if ref.startswith(_HEADS + "builds/") or record is None:
                continue
            nvr = Nvr.parse(record["nvr"])
            newer = [row for row in waiting if _newer(row.nvr, nvr)]
            lines.append(
                Branch(
                    package.name,
                    ref.removeprefix(_HEADS),
                    str(nvr),
                    record["base"]["rev"],
                    len(record["patches"]),
                    float(repo.commit(tip).author.date.split(b" ")[0]),
                    nvr.dist or "",
                    newer[0].nvr if newer else "",
                    min((row.added for row in newer), default=0.0),
                )
            )
        return lines

    def attempts(self, limit: int = 50) -> Sequence[Row]:
        """Return the newest builds of the journal that are not done."""
        return self._journal.rows("failed", "parked", *UNSETTLED, limit=limit)

    def recent(self, package: str, branch: str, limit: int = 20) -> Sequence[Entry]:
        """Return the newest builds of ``builds/<branch>``, along its first parents."""
        repo = (
            self._open(self._config.packages[package]) if package in self._config.packages else None
        )
        tip = repo.ref(f"{_HEADS}builds/{branch}") if repo else None
        found: list[Entry] = []
        while repo and tip and len(found) < limit:
            commit = repo.commit(tip)
            record = _record(repo, tip)
            if record is None or len(commit.parents) < 2:
                break
            date = datetime.fromtimestamp(int(commit.author.date.split(b" ")[0]), UTC).isoformat()
            entry = Entry(record["nvr"], package, "done", record=record, commit=tip, date=date)
            found.append(entry)
            tip = commit.parents[0]
        return found

    # -- one build -------------------------------------------------------------------------

    def build(self, nvr: str) -> Entry | None:
        """Return what is known of a build: published, or tried, or nothing."""
        try:
            name = Nvr.parse(nvr)
        except WrongUsage:
            return None
        row = self._journal.find(nvr)
        package = self._config.packages.get(name.name)
        repo = self._open(package) if package else None
        done = conversion.find(repo, name) if repo else None
        if repo and done:
            told = top.trailers(repo.tag_message(done.tag) or b"")
            evidence = row.evidence if row else {}
            return Entry(
                nvr, name.name, "done", "", done.series, told, done.commit, evidence=evidence
            )
        if row is None:
            return None
        return Entry(nvr, row.package, row.state, row.outcome, evidence=row.evidence)

    def commit(self, package: str, id: str) -> tuple[str, str] | None:
        """Return (message, diff) of a commit of a package's published tree, of any size."""
        known = self._config.packages.get(package)
        repo = self._open(known) if known else None
        if repo is None or repo.commit_id(id) != id:
            return None
        return text(repo.commit(id).message), text(_diff(repo, id))

    # -- search ----------------------------------------------------------------------------

    def search(self, words: str, limit: int = 200) -> Sequence[Hit]:
        """Return the patches whose name, subject or bugs hold every word."""
        self.refresh()
        terms = words.split()
        if not terms or "\0" in words:  # which would end a pattern for SQLite
            return []
        where = " AND ".join(
            "(patch LIKE ? ESCAPE '\\' OR subject LIKE ? ESCAPE '\\' OR bugs LIKE ? ESCAPE '\\')"
            for _ in terms
        )
        values = [f"%{_plain(term)}%" for term in terms for _ in range(3)]
        with self._lock:
            rows = self._index.execute(
                f"SELECT * FROM patches WHERE {where} ORDER BY builds DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
        return [Hit(*row) for row in rows]

    def refresh(self) -> None:
        """Take tags into the index that it does not have yet."""
        with self._lock:
            for package in self._config.packages.values():
                repo = self._open(package)
                for ref, id in (repo.refs(_TAGS) if repo else {}).items():
                    key = f"{package.name} {ref}"
                    if repo and self._indexed.get(key) != id:
                        self._take(package.name, _record(repo, id))
                        self._indexed[key] = id

    def _take(self, package: str, record: Mapping[str, Any] | None) -> None:
        if record is None:
            return
        nvr = record["nvr"]
        self._index.executemany(
            "INSERT INTO patches VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
            " builds = builds + 1, last = excluded.last",
            {
                (package, p["patch"], c["subject"], " ".join(p["bugs"]), nvr, nvr)
                for p in record["patches"]
                for c in p["commits"] or [{"subject": ""}]
            },
        )

    # -- numbers ---------------------------------------------------------------------------

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return package -> state -> builds."""
        return {name: self._journal.counts(name) for name in self._config.packages}

    def last_message(self) -> float:
        """Return when the last message came, or 0."""
        return next((s.seen for s in self._journal.signs() if s.name == "messages"), 0.0)

    def _open(self, package: Package) -> Repository | None:
        """Return the published repository, where it is on this host: others push to it as well."""
        here = [Path(place) for place in package.push if place.startswith("/")]
        try:
            return Repository((here or [package.repo])[0])
        except RepositoryUnusable:
            return None  # nothing was converted yet


def _diff(repo: Repository, id: str) -> bytes:
    """Return the stat and the diff of a commit; of a huge one, as upstream's first, how it begins."""
    show = ("diff-tree", "--root", "--no-commit-id")
    with repo.git.start(*show, "-p", id) as git:
        git.stdin.close()
        diff = git.stdout.read(_SHOWN)
        if len(diff) == _SHOWN:
            return diff + b"\n[...]\n"
        git.wait()
    stat = repo.git.run(*show, "--stat", id).stdout
    return stat + b"\n" + diff if diff else b""


def _record(repo: Repository, tip: str) -> Mapping[str, Any] | None:
    commit = repo.commit_id(tip)
    file = repo.tree(commit).get(SERIES_JSON) if commit else None
    if file is None:
        return None
    record: Mapping[str, Any] = json.loads(file.data)
    return record


def _newer(name: str, published: Nvr) -> bool:
    """Tell whether a build of the journal is one that its branch waits for."""
    try:
        nvr = Nvr.parse(name)
    except WrongUsage:
        return False
    evr, other = (Evr(0, each.version, each.release) for each in (nvr, published))
    return nvr.dist == published.dist and evr > other


def _plain(term: str) -> str:
    return term.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
