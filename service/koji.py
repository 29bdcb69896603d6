"""Koji, asked over XML-RPC: what was built, when, and from which commit. Read-only, no login."""

from __future__ import annotations

import logging
import re
import time
import xml.parsers.expat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import koji
import requests
import tenacity

from converter.build import Nvr
from converter.errors import CannotConvert, CannotWork, RemoteUnavailable, WrongUsage

log = logging.getLogger(__name__)

COMPLETE: int = koji.BUILD_STATES["COMPLETE"]
# Names under which the same host of pkg-git occurs in Koji's answers, older ones included.
ALIASES = {"pkgs.fedoraproject.org": "src.fedoraproject.org"}
PAGE = 100  # builds a call
_PAGES = 2000  # Fedora's kernel has some 40
_ANSWER = 32 << 20  # bytes; a page of builds has 0.2 MB
_ANSWER_TIME = 300  # seconds
# No answer, no XML, or a fault that is none of koji's own: something broke inside the hub.
_BROKEN = (requests.RequestException, xml.parsers.expat.ExpatError, koji.Fault)
_PASSING = (*_BROKEN, koji.ServerOffline, koji.LockError)
# kojihub/db.py, QueryProcessor.singleValue, since its first commit: what getTaskRequest says of a
# task that is not, or no longer, there.
_GONE = "query returned no rows"
FULL_SHA = re.compile(r"[0-9a-f]{40}")


class NoSuchBuild(CannotConvert):
    """Koji does not know the build."""


class SourceForgotten(CannotConvert):
    """Koji knows the build, but no longer the task that alone told its source."""


class HubRefuses(CannotWork):
    """The hub understood the question and says no: to every build, and for good."""


@dataclass(frozen=True, slots=True)
class KojiBuild:
    """A build as Koji describes it. ``target`` is known only from a task: see Koji.build."""

    id: int
    nvr: str
    name: str
    version: str
    release: str
    epoch: int | None
    source: str | None  # URL with fragment, e.g. git+https://src.fedoraproject.org/...#<sha>
    commit: str | None  # the full sha in it, if it has one
    target: str | None  # the build target, e.g. f41-candidate
    state: int  # koji.BUILD_STATES
    owner: str | None
    completed: datetime | None
    promoted: datetime | None  # from a draft
    draft: bool
    task: int | None  # None: imported, or Koji no longer has it


def commit_of(source: str | None) -> str | None:
    """Return the full commit id in a source URL's fragment, or None (a branch, nothing, ...)."""
    fragment = (source or "").partition("#")[2]
    return fragment if FULL_SHA.fullmatch(fragment) else None


def same_repository(source: str, configured: str) -> bool:
    """Tell whether a source URL names the configured pkg-git, by host and path only.

    ``git+https://``, ``git://`` and ``https://`` are the same place to Koji, ``?`` separates an
    unused directory, and before 2016 paths had no ``rpms/``. Nothing is ever fetched from
    ``source``: it is compared, and the configured address is used.
    """
    place = _place(source)
    return place is not None and place == _place(configured)


def _place(url: str) -> tuple[str, str] | None:
    if not url.isprintable() or any(c in url for c in " \\%"):
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme.removeprefix("git+") not in {"https", "http", "git", "ssh"}:
            return None
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.query or not host:
        return None
    path = parts.path.strip("/").removesuffix(".git").removeprefix("rpms/")
    if not path or ".." in path.split("/"):
        return None
    return f"{ALIASES.get(host, host)}:{port or ''}", path


class _Session(koji.ClientSession):  # type: ignore[misc]
    """koji's own, which reads an answer of any size, for as long as some of it comes."""

    def new_session(self) -> None:
        super().new_session()
        self.rsession.hooks["response"].append(_bounded)


def _bounded(response: requests.Response, *_: object, **__: object) -> None:
    """Let no more of an answer be read than any hub says. (requests' hook "response")"""
    whole: Any = response.iter_content

    def some(size: int = 1, *args: object, **options: object) -> Iterator[bytes]:
        end = time.monotonic() + _ANSWER_TIME
        left = _ANSWER
        for chunk in whole(size, *args, **options):
            left -= len(chunk)
            if left < 0:
                raise requests.RequestException(f"an answer of more than {_ANSWER >> 20} MiB")
            if time.monotonic() > end:
                raise requests.RequestException(f"an answer of more than {_ANSWER_TIME} seconds")
            yield chunk

    response.iter_content = some  # type: ignore[method-assign, assignment]


class Koji:
    """One hub. Every call has a time limit and a few attempts; then RemoteUnavailable.

    What a hub refuses is not asked again: HubRefuses.
    """

    def __init__(self, hub_url: str, *, timeout: float = 60.0, attempts: int = 4) -> None:
        self._url = hub_url
        # koji's own retries are 30 times 20 s and its time limit 12 hours: ours replace them.
        options = {"timeout": timeout, "anon_retry": False, "max_retries": 0}
        self._session = _Session(hub_url, opts=options)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PASSING),
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            reraise=True,
        )

    def build(self, nvr_or_id: str | int) -> KojiBuild:
        """Return one build, its target included where Koji still has the task.

        Raises NoSuchBuild, SourceForgotten, WrongUsage, RemoteUnavailable, HubRefuses.
        """
        if isinstance(nvr_or_id, str) and nvr_or_id.isascii() and nvr_or_id.isdigit():
            if len(nvr_or_id) > 18 or not int(nvr_or_id):  # what XML-RPC has no number for
                raise WrongUsage(
                    f"not a Koji build id: {nvr_or_id[:40]}",
                    next_step="see its page in Koji: buildinfo?buildID=...",
                )
            nvr_or_id = int(nvr_or_id)
        if isinstance(nvr_or_id, str):
            Nvr.parse(nvr_or_id)  # Koji's hub itself accepts anything
        found = self._call("getBuild", nvr_or_id)
        if found is None:
            raise NoSuchBuild(
                f"Koji has no build {nvr_or_id}", where=self._url, next_step="check the NVR"
            )
        build = _build(found)
        if build.task is None:
            return build
        try:
            request = self._call("getTaskRequest", build.task)
        except HubRefuses as error:
            if str(error.__cause__) != _GONE:
                raise
            if build.source is None:
                raise SourceForgotten(
                    f"Koji no longer has task {build.task}, which told the source of {build.nvr}",
                    where=self._url,
                    next_step="convert it by hand, with PKG_GIT#COMMIT and --nvr",
                ) from error
            log.warning("Koji no longer has task %d of %s", build.task, build.nvr)
            return replace(build, task=None)
        return _with_request(found, request) if request else build

    def answers(self) -> None:
        """Ask for something of no importance. Raises RemoteUnavailable, HubRefuses."""
        self._call("getBuild", 1)

    def builds(self, package: str, since: datetime) -> Iterator[KojiBuild]:
        """Yield the package's complete builds that were finished, or promoted, after ``since``.

        Oldest first. Drafts are left out until they are promoted: that is announced by a message
        without an NVR, so it is only seen here. ``since`` is aware. Raises RemoteUnavailable,
        HubRefuses.
        """
        after = since.timestamp()
        for period in ({"completeBefore": after, "promotedAfter": after}, {"completeAfter": after}):
            filters = {"packageID": package, "state": COMPLETE, "draft": False, **period}
            yield from map(_build, self._pages(filters))

    def _pages(self, filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for offset in range(0, _PAGES * PAGE, PAGE):
            options = {"order": "completion_time,build_id", "limit": PAGE, "offset": offset}
            page = self._call("listBuilds", **filters, queryOpts=options)
            yield from page
            if len(page) < PAGE:
                return
        raise RemoteUnavailable(
            f"Koji lists more than {_PAGES * PAGE} builds",
            where=self._url,
            next_step="look at the hub's answers",
        )

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        try:
            return self._retrying(self._attempt, method, *args, **options)
        except _PASSING as error:
            raise RemoteUnavailable(
                f"Koji did not answer {method}: {_cause(error)}",
                where=self._url,
                next_step="try again later",
            ) from error
        except koji.GenericError as error:
            raise HubRefuses(
                f"Koji refuses {method}: {type(error).__name__}: {str(error)[:300]}",
                where=self._url,
                next_step="see whether koji in the configuration is the address of a Koji hub",
            ) from error

    def _attempt(self, method: str, *args: Any, **options: Any) -> Any:
        try:
            return self._session.callMethod(method, *args, **options)
        except requests.RequestException as error:
            if error.response is not None:
                error.response.close()  # koji leaves the connection to the garbage collector
            raise


def _cause(error: BaseException) -> str:
    """Return what is at the bottom of ``error``: requests wraps what urllib3 wraps."""
    inner = getattr(error, "reason", None) or next(iter(error.args), None)
    if isinstance(inner, BaseException):
        return _cause(inner)
    return f"{type(error).__name__}: {str(error)[:300]}"


def _build(answer: dict[str, Any]) -> KojiBuild:
    """Read an answer of getBuild or listBuilds (kojihub.py, get_build and listBuilds).

    Raises RemoteUnavailable for what is none.
    """
    try:
        return _read(answer)
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise RemoteUnavailable(
            f"Koji's answer is no build: {type(error).__name__}: {str(error)[:100]}",
            next_step="look at the hub's answers",
        ) from error


def _read(answer: dict[str, Any]) -> KojiBuild:
    nvr = Nvr(str(answer["name"]), str(answer["version"]), str(answer["release"]))
    source = answer.get("source")
    return KojiBuild(
        id=answer["build_id"],
        nvr=str(nvr),
        name=nvr.name,
        version=nvr.version,
        release=nvr.release,
        epoch=None if answer.get("epoch") is None else int(answer["epoch"]),
        source=source,
        commit=commit_of(source),
        target=None,
        state=answer["state"],
        owner=answer.get("owner_name"),
        completed=_moment(answer.get("completion_ts")),
        promoted=_moment(answer.get("promotion_ts")),
        draft=bool(answer.get("draft")),
        task=answer.get("task_id"),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _with_request(answer: dict[str, Any], request: list[Any]) -> KojiBuild:
    """Add what only the task knows: the target, and for builds before 2016 the source."""
    target = request[1] if len(request) > 1 and isinstance(request[1], str) else None
    source = answer.get("source") or (request[0] if isinstance(request[0], str) else None)
    build = _build({**answer, "source": source})
    return replace(build, target=target)
