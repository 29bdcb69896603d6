"""The status pages: read-only, rendered on the server, the same as JSON below ``/api``."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from service.config import Config
from service.journal import Journal, JournalUnusable
from service.koji import Koji
from service.shelf import Shelf
from service.status import Freshness, status

_KOJI = 300.0  # seconds between questions to Koji
_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
# Nothing is loaded from anywhere else, and no script runs.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _ago(seconds: float) -> str:
    """Return how long ago a moment was, to the precision that matters to a person."""
    past = time.time() - seconds
    for unit, length in (("days", 86400), ("hours", 3600)):
        if past >= 2 * length:
            return f"{past / length:.0f} {unit}"
    return f"{past / 60:.0f} minutes"


def _date(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else ""


def app(config: Config, journal: Journal, koji: Koji | None = None) -> Starlette:
    """Return the ASGI application that shows ``journal`` and the published repositories.

    With ``koji``, they tell what it finished as well.
    """
    shelf = Shelf(config, journal)
    pages = Jinja2Templates(Path(__file__).parent / "templates")
    pages.env.filters |= {"date": _date, "ago": _ago}
    registry = CollectorRegistry()
    registry.register(_Numbers(shelf))
    finished = Finished(config, journal, koji) if koji else None
    if finished:
        registry.register(finished)

    def page(request: Request, name: str, **values: Any) -> Response:
        return pages.TemplateResponse(request, name, values, headers=_HEADERS)

    def overview(request: Request) -> Response:
        return page(
            request,
            "overview.html",
            branches=shelf.branches(),
            finished=finished.newest() if finished else {},
            attempts=shelf.attempts(),
            counts=shelf.counts(),
        )

    def build(request: Request) -> Response:
        found = shelf.build(request.path_params["nvr"])
        if found is None:
            raise HTTPException(404, "No such build was converted or tried.")
        return page(request, "build.html", build=found)

    def commit(request: Request) -> Response:
        package, id = request.path_params["package"], request.path_params["id"]
        found = shelf.commit(package, id)
        if found is None:
            raise HTTPException(404, "No such commit is published.")
        return page(request, "commit.html", id=id, message=found[0], diff=found[1])

    def search(request: Request) -> Response:
        words = request.query_params.get("q", "")[:200]
        return page(request, "search.html", q=words, hits=shelf.search(words))

    def feed(request: Request) -> Response:
        package, branch = request.path_params["package"], request.path_params["branch"]
        entries = shelf.recent(package, branch)
        if not entries:
            raise HTTPException(404, "No such branch is published.")
        values = {"package": package, "branch": branch, "entries": entries}
        return pages.TemplateResponse(
            request, "feed.xml", values, media_type="application/atom+xml", headers=_HEADERS
        )

    def api_overview(request: Request) -> Response:
        return JSONResponse(
            {"branches": [asdict(b) for b in shelf.branches()], "counts": shelf.counts()}
        )

    def api_build(request: Request) -> Response:
        found = shelf.build(request.path_params["nvr"])
        if found is None:
            return JSONResponse({"error": "no such build"}, 404)
        return JSONResponse(asdict(found))

    def api_search(request: Request) -> Response:
        words = request.query_params.get("q", "")[:200]
        return JSONResponse({"q": words, "hits": [asdict(hit) for hit in shelf.search(words)]})

    def healthz(request: Request) -> Response:
        shelf.counts()
        return PlainTextResponse("ok\n")

    def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def failed(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = error.detail if isinstance(error, HTTPException) else "The page cannot be made."
        if isinstance(error, JournalUnusable):
            status, words = 503, "The journal cannot be read."
        values = {"status": status, "words": words}
        return pages.TemplateResponse(request, "error.html", values, status, headers=_HEADERS)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Reading thousands of builds takes seconds: the first to search should not wait for it.
        threading.Thread(target=shelf.refresh, daemon=True).start()
        if finished:
            threading.Thread(target=finished.watch, daemon=True).start()
        yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/", overview),
            Route("/build/{nvr}", build),
            Route("/commit/{package}/{id}", commit),
            Route("/search", search),
            Route("/feed/{package}/{branch}.atom", feed),
            Route("/api/overview", api_overview),
            Route("/api/build/{nvr}", api_build),
            Route("/api/search", api_search),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
        ],
        exception_handlers={HTTPException: failed, JournalUnusable: failed},
    )


class _Numbers(Collector):
    """The metrics, read from the journal each time that they are asked for."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def collect(self) -> Iterator[Metric]:
        shelf = self._shelf
        builds = CounterMetricFamily(
            "srcgit_builds", "Builds by package and outcome", labels=["package", "outcome"]
        )
        queue: dict[str, int] = {"waiting": 0, "running": 0}
        for package, states in shelf.counts().items():
            for state, count in states.items():
                if state in queue:
                    queue[state] += count
                else:
                    builds.add_metric([package, state], count)
        yield builds
        rows = GaugeMetricFamily("srcgit_queue_rows", "Builds that wait", labels=["state"])
        for state, count in queue.items():
            rows.add_metric([state], count)
        yield rows
        yield GaugeMetricFamily(
            "srcgit_queue_oldest_seconds",
            "Age of the build that has waited longest",
            value=shelf.oldest_waiting(),
        )
        yield GaugeMetricFamily(
            "srcgit_last_message_timestamp_seconds",
            "When the last message came",
            value=shelf.last_message(),
        )
        yield from self._finished()
        now = time.time()
        lag = GaugeMetricFamily(
            "srcgit_branch_lag_seconds",
            "Since when a branch has waited for a newer build that is known",
            labels=["package", "branch"],
        )
        for line in shelf.branches():
            lag.add_metric([line.package, line.name], now - line.since if line.since else 0.0)
        yield lag

    def _finished(self) -> Iterator[Metric]:
        last: dict[str, float] = {}
        seconds: dict[str, list[float]] = {}
        for row in self._shelf.finished():
            last.setdefault(row.package, row.settled or 0.0)
            for stage, value in (row.evidence.get("seconds") or {}).items():
                with suppress(TypeError, ValueError):
                    seconds.setdefault(stage, []).append(float(value))
        newest = GaugeMetricFamily(
            "srcgit_last_converted_timestamp_seconds",
            "When the last build was converted",
            labels=["package"],
        )
        for package, settled in last.items():
            newest.add_metric([package], settled)
        yield newest
        stages = HistogramMetricFamily(
            "srcgit_stage_seconds", "Seconds of each stage of the last 500 builds", labels=["stage"]
        )
        for stage, values in seconds.items():
            buckets = [(str(b), float(sum(v <= b for v in values))) for b in _BUCKETS]
            stages.add_metric([stage], [*buckets, ("+Inf", float(len(values)))], sum(values))
        yield stages


class Finished(Collector):
    """What Koji finished, asked every few minutes by a thread of its own: no page waits for Koji."""

    def __init__(self, config: Config, journal: Journal, koji: Koji) -> None:
        self._config, self._journal, self._koji = config, journal, koji
        self._seen: Sequence[Freshness] = ()

    def watch(self) -> None:
        """Ask for ever."""
        while True:
            with suppress(JournalUnusable):  # it may be back the next time
                self.ask()
            time.sleep(_KOJI)

    def ask(self) -> None:
        """Ask once. Raises JournalUnusable."""
        self._seen = status(self._config, self._journal, self._koji).packages

    def newest(self) -> Mapping[tuple[str, str], str]:
        """Return (package, dist tag) -> the NVR that finished last, of what Koji last said."""
        return {(each.package, d): nvr for each in self._seen for d, nvr in each.newest.items()}

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily(
            "srcgit_koji_finished_unconverted",
            "Builds of the last weeks that Koji finished and the published tree lacks",
            labels=["package"],
        )
        for each in self._seen:
            if not each.trouble:
                gauge.add_metric([each.package], len(each.missing))
        yield gauge


def serve(config: Config, host: str, port: int) -> None:
    """Serve the pages until stopped. Raises JournalUnusable, WrongUsage."""
    import uvicorn

    pages = app(config, Journal(config.journal), Koji(config.koji, timeout=20, attempts=1))
    uvicorn.run(pages, host=host, port=port, log_level="warning")
