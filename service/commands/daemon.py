"""The commands of the daemon and of those who run it: listen, backfill, status, web, maintain, repair.

Imports are made when a command runs: ``srcgit plan`` must not wait for libraries of the bus.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converter.errors import SrcgitError, WrongUsage
from service.commands.options import CONFIG, JSON
from service.progress import Progress
from service.terminal import print_json, say

if TYPE_CHECKING:
    from service.backfill import Found
    from service.config import Config, Package
    from service.journal import Journal
    from service.status import Status

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime:
    """Read ``--since``: an ISO 8601 date or time (UTC unless it says), or an age such as 7d."""
    if match := re.fullmatch(r"([0-9]{1,4})([hdw])", text):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage(
            f"not a date: {text!r}", next_step="give one such as 2026-11-01, or an age such as 7d"
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


@click.command(short_help="Run the daemon: messages in, published trees out.")
@click.option("--no-convert", is_flag=True, help="Leave conversions to srcgit work.")
@CONFIG
def listen(no_convert: bool, config: Path | None) -> None:
    """Run the daemon: take in build messages, convert, publish, announce. Ends with SIGTERM.

    More workers are more of them, on any number of hosts that share a queue and a journal in
    PostgreSQL. With --no-convert it has the keys and meets no spec: srcgit work, run by another
    account, converts.
    """
    from service import config as configuration
    from service.daemon import listen as run
    from service.publishing import Publishing

    settings = configuration.load(config)
    if no_convert:
        run(settings, config, None, publish=Publishing(settings))
        return
    from service.pipeline import pipeline

    whole = pipeline(settings)
    run(settings, config, whole.converting, whole.prepare, publish=whole.publishing)


@click.command(short_help="Convert what is due, beside srcgit listen --no-convert.")
@CONFIG
def work(config: Path | None) -> None:
    """Convert what is due, and leave it to srcgit listen --no-convert to publish. Ends with SIGTERM.

    It needs no key, no broker and none of the places of publication, so that none is at hand where
    specs are read: run it as an account of its own.
    """
    from service import config as configuration
    from service.daemon import Jobs
    from service.daemon import work as run
    from service.pipeline import pipeline

    settings = configuration.load(config)
    converting = pipeline(settings).converting
    run(settings, Jobs(convert=converting), converting.prepare)


@click.command(short_help="Convert what Koji lists and the published tree lacks.")
@click.argument("package")
@click.option(
    "--since", metavar="DATE", default="60d", show_default=True, help="What was finished after it."
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="At most N builds.")
@click.option("--dry-run", is_flag=True, help="Say what is missing, change nothing.")
@click.option("--queue", is_flag=True, help="Leave the conversions to the daemon.")
@click.option("--from-pkg-git", is_flag=True, help="Read pkg-git's history, do not ask Koji.")
@JSON
@CONFIG
def backfill(
    package: str,
    since: str,
    limit: int | None,
    dry_run: bool,
    queue: bool,
    from_pkg_git: bool,
    as_json: bool,
    config: Path | None,
) -> int:
    """Convert the builds of PACKAGE that Koji lists and the published tree lacks, oldest first.

    DATE is 2026-11-01, a time, or an age such as 36h, 7d, 8w. The exit code is 1 if a build could
    not be converted.
    """
    from service import config as configuration
    from service import logs
    from service.backfill import enqueue
    from service.journal import Journal

    logs.to_people(verbose=not as_json)

    settings = configuration.load(config)
    if package not in settings.packages:
        raise WrongUsage(
            f"{package} is not configured", next_step="add it to [consumer_config.packages]"
        )
    asked, start = settings.packages[package], moment(since)
    look = _from_pkg_git if from_pkg_git else _from_koji
    if dry_run:
        with Progress() as progress:
            found = look(settings, asked, start, limit, progress)
            _tell(list(_told(found, as_json)), [], as_json)
        return 0
    journal = Journal(settings.journal)
    try:
        with Progress() as progress:
            found = look(settings, asked, start, limit, progress)
            added = list(_told(enqueue(found, journal), as_json))
        if not queue:
            _work(settings, journal)
        rows = [journal.find(each.nvr) for each in added if each.row]
        results = [] if queue else [(r.nvr, r.state, r.outcome) for r in rows if r]
    finally:
        journal.close()
    _tell(added, results, as_json)
    return 1 if any(state in ("failed", "parked") for _, state, _ in results) else 0


def _from_koji(
    config: Config, package: Package, since: datetime, limit: int | None, progress: Progress
) -> Iterator[Found]:
    from service.backfill import from_koji
    from service.koji import Koji

    progress("asking Koji")
    return from_koji(package, Koji(config.koji), since, limit)


def _from_pkg_git(
    config: Config, package: Package, since: datetime, limit: int | None, progress: Progress
) -> Iterator[Found]:
    from converter.build import Nvr
    from converter.mirror import Mirror
    from converter.pkggit import PkgGit
    from converter.planning import named
    from converter.request import Request
    from service.backfill import from_pkg_git, spec_reader
    from specparse.system_root import Roots
    from specparse.trace import SandboxedTracer

    progress("looking at pkg-git")
    mirror = Mirror(package.pkg_git, config.state / "mirrors")
    mirror.fetch()

    def name(commit: str, dist: str) -> tuple[Nvr, tuple[str, ...]]:
        return named(
            Request(mirror, commit, dist=dist), SandboxedTracer(roots=Roots(config.roots)).header
        )

    return from_pkg_git(package, PkgGit(mirror), spec_reader(name), since, limit, progress)


def _told(found: Iterator[Found], as_json: bool) -> Iterator[Found]:
    for each in found:
        if not as_json:
            say(f"{each.nvr}: {each.why}")
        yield each


def _work(config: Config, journal: Journal) -> None:
    """Convert what is due, what an earlier run left behind included."""
    from service import worker
    from service.daemon import make_worker, process_name
    from service.pipeline import pipeline

    worker.preload()
    make = make_worker(config, journal, pipeline(config), f"{process_name()} backfill")
    make.run(threading.Event(), drain=True)
    journal.sign(make.name, "done")


def _tell(added: Sequence[Found], results: Sequence[tuple[str, str, str]], as_json: bool) -> None:
    missing = [each.nvr for each in added if each.row]
    if as_json:
        settled = [{"nvr": n, "state": s, "reason": r} for n, s, r in results]
        left = [{"nvr": each.nvr, "why": each.why} for each in added if not each.row]
        print_json({"missing": missing, "left": left, "results": settled})
        return
    counted = {state: sum(s == state for _, s, _ in results) for _, state, _ in results}
    told = "".join(f", {number} {state}" for state, number in sorted(counted.items()))
    say(f"{len(missing)} of {len(added)} builds were missing{told}")


@click.command(short_help="Tell whether the service is alive and up to date.")
@JSON
@click.option("--check", is_flag=True, help="Only whether the daemon hears what Koji finishes.")
@CONFIG
def status(as_json: bool, check: bool, config: Path | None) -> int:
    """Tell whether the service is alive and up to date, what failed and what waits.

    The exit code is 0 when all is well and 1 when something is not, silence included. With
    --check it is 1 only for what a restart of the daemon may mend.
    """
    from service import config as configuration
    from service import logs
    from service.journal import Journal
    from service.koji import Koji
    from service.machine import troubles
    from service.status import status as look

    logs.to_people()
    settings = configuration.load(config)
    journal = Journal(settings.journal)
    try:
        seen = look(settings, journal, Koji(settings.koji, timeout=20, attempts=2))
        if not check:
            seen = replace(seen, wrong=[*troubles(settings, journal), *seen.wrong])
    finally:
        journal.close()
    if as_json:
        print_json(seen.as_json())
    elif check:
        say(*(seen.deaf or ["the daemon hears"]))
    else:
        _print(seen)
    return int(bool(seen.deaf)) if check else seen.exit_code


@click.command(short_help="Serve the status pages and the metrics.")
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen."
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    default=8077,
    show_default=True,
    help="On which TCP port.",
)
@CONFIG
def web(host: str, port: int, config: Path | None) -> None:
    """Serve the status pages: branches, builds, failures, search, feeds.

    The same is below /api as JSON; /metrics is for Prometheus, /healthz for a proxy.
    """
    from service import config as configuration
    from service import web as pages

    pages.serve(configuration.load(config), host, port)


@click.command(short_help="Keep published repositories quick to clone.")
@click.argument("repos", metavar="[REPO]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--bundles",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where bundles to begin a clone with are put; without it none are made.",
)
@CONFIG
def maintain(repos: Sequence[Path], bundles: Path | None, config: Path | None) -> None:
    """Keep published repositories quick to clone: settings, commit-graph, bitmaps, bundle.

    Without REPO, all of the configuration that are on this machine and this account's; the working ones, from which
    others are pushed, get no bundle; and of what was fetched from the lookaside cache, what was not
    used for longest goes (lookaside_gigabytes). Safe to run at any time, from a timer.
    """
    from converter.archives.lookaside import prune
    from converter.serve import maintain as keep
    from service import config as configuration

    served, working = list(repos), []
    settings = configuration.load(config)
    for package in settings.packages.values() if not repos else ():
        here = [Path(place) for place in package.push if place.startswith("/")]
        served += here or [package.repo]
        working += [package.repo] if here and package.repo not in here else []
        working += [settings.converting(package)]
    failures: list[SrcgitError] = []
    for repo, directory in [(path, bundles) for path in served] + [
        (path, None) for path in working
    ]:
        if repos or _is_ours(repo):
            try:
                done = keep(repo, directory, settings.state / "mirrors")
            except SrcgitError as error:  # which keeps nothing from the others
                failures.append(error)
            else:
                print_json({"repo": str(repo), **done.as_json()}, indent=None)
    if not repos and _is_ours(cache := settings.state / "lookaside"):
        pruned = prune(cache, int(settings.lookaside_gigabytes * 1e9))
        print_json({"lookaside": str(cache), **asdict(pruned)}, indent=None)
    if failures:
        for failure in failures[1:]:
            say(f"srcgit: {failure.what} [{failure.where}]", err=True)
        raise failures[0]


def _is_ours(path: Path) -> bool:
    """Tell whether ``path`` is there and this account's: git obeys the configuration of a repository,
    and that of who converts is not to be obeyed by who has the keys."""
    return path.exists() and path.stat().st_uid == os.geteuid()


@click.command(short_help="Remove the locks of a push whose server was killed.")
@click.argument("repo", type=click.Path(path_type=Path))
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Younger locks may be in use, and stay.",
)
def repair(repo: Path, older_than: float) -> None:
    """Remove the stale locks of a push whose server was killed, on the host that has REPO."""
    from converter.repair import repair as mend

    for lock in mend(repo, older_than):
        say(f"removed {lock}")


def _print(seen: Status) -> None:
    for package in seen.packages:
        say(package.package)
        say(f"  newest finished   {package.newest_finished or 'unknown'}")
        say(f"  newest published  {package.newest_published or 'none'}")
        say(f"  lag               {_age(package.lag)}")
        for nvr in package.missing[:10]:
            say(f"  not published     {nvr}")
    counts = ", ".join(f"{number} {state}" for state, number in sorted(seen.queue.items()))
    say(f"journal: {counts or 'empty'}; oldest waiting: {_age(seen.oldest_waiting)}")
    say(f"last message: {_age(seen.last_message)}")
    for failure in seen.failures:
        say(f"{failure['state']}: {failure['nvr']}: {failure['reason']}")
    for wrong in seen.wrong:
        say(f"NOT WELL: {wrong}")
    if not seen.wrong:
        say("all is well")


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
