"""The status pages: read-only, rendered on the server, the same as JSON below ``/api``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from service import logs
from service.config import Config
from service.database import JournalUnusable
from service.journal import Journal
from service.koji import Koji
from service.metrics import Finished, Metrics
from service.shelf import Shelf
from service.terminal import printable

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


def _shown(value: object) -> object:
    """Spell out what is not printable: text that runs backwards misleads on a page, too."""
    return printable(value) if type(value) is str else value


def app(config: Config, journal: Journal, koji: Koji | None = None) -> Starlette:
    """Return the ASGI application that shows ``journal`` and the published repositories.

    With ``koji``, they tell what it finished as well.
    """
    shelf = Shelf(config, journal)
    pages = Jinja2Templates(Path(__file__).parent / "templates")
    pages.env.filters |= {"date": _date, "ago": _ago}
    pages.env.finalize = _shown
    finished = Finished(config, journal, koji) if koji else None
    numbers = Metrics(config, journal, shelf, finished)

    def page(request: Request, name: str, **values: Any) -> Response:
        return pages.TemplateResponse(request, name, values, headers=_HEADERS)

    def overview(request: Request) -> Response:
        return page(
            request,
            "overview.html",
            branches=shelf.branches(),
            finished=finished.newest() if finished else {},
            changed=finished.changed() if finished else [],
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
        return Response(numbers.text(), media_type=CONTENT_TYPE_LATEST)

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


def serve(config: Config, host: str, port: int) -> None:
    """Serve the pages until stopped. Raises JournalUnusable, WrongUsage."""
    import uvicorn

    with closing(Journal(config.journal)) as journal:
        pages = app(config, journal, Koji(config.koji, timeout=20, attempts=1))
        logs.configure(logging.WARNING)
        uvicorn.run(pages, host=host, port=port, log_level="warning", log_config=None)
