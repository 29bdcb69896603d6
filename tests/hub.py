"""A small local hub that speaks Koji's XML-RPC: its marshalling, argument encoding and faults.

What it answers and says is held to what a real hub answered and said, recorded in
``tests/service/fixtures/koji.json``, by ``tests/service/test_recorded.py``.
"""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import koji
from koji import xmlrpcplus

SHA = "1f3870be274f6c49b3e31a0c6728957f1f3870be"
WEB = "https://koji.fedoraproject.org"
EPOCH = 1_500_000_000.0  # completion of the first build; each further one is a minute later


class Hub:
    """Serves builds on a port of its own until closed. ``with Hub() as hub: ... hub.url``"""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.builds: list[dict[str, Any]] = []
        self.requests: dict[int, list[Any]] = {}  # task id -> request
        self.calls: list[str] = []
        self.broken: Iterable[
            str | float
        ] = ()  # per call: "503", "offline", "crash", "garbage", "endless", "nothing", "login", "says ...", seconds
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = hub._respond(body)
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                with suppress(BrokenPipeError):  # who asked did not wait
                    self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{address}:{self._server.server_port}/kojihub"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        with warnings.catch_warnings():
            # koji leaves the connection of an answer that it refuses to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def add(
        self,
        nvr: str,
        *,
        commit: str = SHA,
        source: str | None = "git+https://src.fedoraproject.org/rpms/{name}.git#{commit}",
        target: str | None = "rawhide",
        state: int = 1,
        request: list[Any] | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """Add one build and return it as getBuild answers; ``others`` overrides any field."""
        name, version, release = nvr.rsplit("-", 2)
        number = 1000 + len(self.builds)
        done = others.setdefault("completion_ts", EPOCH + 60.0 * len(self.builds))
        promoted = others.get("promotion_ts")
        if source is not None:
            source = source.format(name=name, commit=commit)
        build: dict[str, Any] = {
            "id": number,
            "build_id": number,
            "package_id": 8,
            "package_name": name,
            "name": name,
            "version": version,
            "release": release,
            "epoch": None,
            "nvr": nvr,
            "draft": False,
            "state": state,
            "task_id": number + 50_000_000,  # beyond 2**31 on no hub yet, but i8 is exercised
            "owner_id": 5_000_000_000,
            "owner_name": "jforbes",
            "promoter_id": None,
            "promoter_name": None,
            "volume_id": 0,
            "volume_name": "DEFAULT",
            "creation_event_id": number,
            "creation_ts": done - 3600,
            "creation_time": _time(done - 3600),
            "start_ts": done - 3600,
            "start_time": _time(done - 3600),
            "completion_time": _time(done),
            "promotion_ts": None,
            "promotion_time": promoted and _time(promoted),
            "source": source,
            "extra": {"source": {"original_url": (request or [source])[0]}} if source else None,
            "cg_id": None,
            "cg_name": None,
        } | others
        self.builds.append(build)
        if build["task_id"] is not None:
            self.requests[build["task_id"]] = request or [source, target, {}]
        return build

    def message(self, build: dict[str, Any], **others: Any) -> dict[str, Any]:
        """Return the body of the message that says the build is complete."""
        request = self.requests.get(build["task_id"])
        task = None
        if build["task_id"] is not None:
            task = {
                "arch": "noarch",
                "awaited": None,
                "channel_id": 1,
                "children": [],
                "completion_time": build["completion_ts"] if build["state"] == 4 else None,
                "create_time": build["creation_ts"],
                "host_id": 7,
                "host_name": "buildvm-01",
                "id": build["task_id"],
                "label": None,
                "method": "build",
                "owner": build["owner_name"],
                "parent": None,
                "priority": 20,
                "request": request,
                "result": None,
                "start_time": build["start_ts"],
                "state": 1,
                "url": f"{WEB}/koji/taskinfo?taskID={build['task_id']}",
                "waiting": None,
            }
        return {
            "base_url": WEB,
            "files_base_url": "https://kojipkgs.fedoraproject.org/work",
            "name": build["name"],
            "version": build["version"],
            "release": build["release"],
            "epoch": build["epoch"],
            "attribute": "state",
            "old": None if task is None else 0,
            "new": build["state"],
            "build_id": build["build_id"],
            "task_id": build["task_id"],
            "task": task,
            "request": request,
            "owner": build["owner_name"],
            "instance": "primary",
            "url": f"{WEB}/koji/buildinfo?buildID={build['build_id']}",
            "creation_time": build["creation_time"].replace(" ", "T"),
            "completion_time": build["completion_time"].replace(" ", "T"),
        } | others

    # What the hub's XML-RPC methods answer.

    def getBuild(self, buildInfo: int | str, strict: bool = False) -> dict[str, Any] | None:
        if isinstance(buildInfo, str) and buildInfo.count("-") < 2:
            raise koji.GenericError(f"invalid format: {buildInfo}")
        for build in self.builds:
            if buildInfo in (build["id"], build["nvr"]):
                return build
        if strict:
            raise koji.GenericError(f"No such build: {buildInfo!r}")
        return None

    def getTaskRequest(self, taskId: int) -> list[Any]:
        if taskId not in self.requests:
            raise koji.GenericError("query returned no rows")
        return self.requests[taskId]

    def listBuilds(
        self,
        packageID: str | None = None,
        state: int | None = None,
        draft: bool | None = None,
        completeAfter: float | None = None,
        completeBefore: float | None = None,
        promotedAfter: float | None = None,
        queryOpts: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        found = [
            build
            for build in self.builds
            if packageID in (None, build["name"])
            and state in (None, build["state"])
            and draft in (None, build["draft"])
            and _after(build["completion_ts"], completeAfter)
            and (not completeBefore or build["completion_ts"] < completeBefore)
            and _after(build["promotion_ts"], promotedAfter)
        ]
        options = queryOpts or {}
        for key in reversed([key for key in options.get("order", "").split(",") if key]):
            if found and key.lstrip("-") not in found[0]:
                raise Exception(f"Invalid order: {key}")
            found.sort(key=lambda b: b[key.lstrip("-")], reverse=key.startswith("-"))
        offset = options.get("offset", 0)
        end = offset + options["limit"] if "limit" in options else None
        ours = ("id", "cg_id", "cg_name")  # of getBuild alone
        return [{k: v for k, v in build.items() if k not in ours} for build in found[offset:end]]

    def _respond(self, body: bytes) -> tuple[int, bytes]:
        parser, unmarshaller = xmlrpcplus.getparser()
        parser.feed(body)
        parser.close()
        method = unmarshaller.getmethodname()
        args, options = koji.decode_args(*unmarshaller.close())
        self.calls.append(method)
        broken, *rest = [*self.broken, ""]
        self.broken = rest[:-1]
        if broken == "503":
            return 503, b"try later"
        if broken == "garbage":
            return 200, b"<html>welcome to the proxy"
        if broken == "endless":
            return 200, b"<?xml version='1.0'?><methodResponse>" + b"<params>" * 100_000
        if broken == "nothing":
            return 200, xmlrpcplus.dumps(({"name": [], "extra": {}},), methodresponse=1).encode()
        if isinstance(broken, float):
            time.sleep(broken)
        try:
            if broken == "offline":
                raise koji.ServerOffline("database outage")
            if broken == "login":
                raise koji.AuthError("anonymous access refused")
            if broken == "crash":
                raise RuntimeError("server closed the connection unexpectedly")
            if isinstance(broken, str) and broken.startswith("says "):
                raise RuntimeError(broken)
            if method not in {"getBuild", "getTaskRequest", "listBuilds"}:
                raise koji.GenericError(f"Invalid method: {method}")
            answer = xmlrpcplus.dumps((getattr(self, method)(*args, **options),), methodresponse=1)
        except koji.GenericError as error:
            answer = xmlrpcplus.dumps(koji.Fault(error.faultCode, str(error)))
        except Exception as error:  # what nobody foresaw has a code of no class of koji's
            answer = xmlrpcplus.dumps(koji.Fault(1, f"{type(error)}: {error}"))
        return 200, answer.encode()


def _after(moment: float | None, bound: float | None) -> bool:
    return not bound or (moment is not None and moment > bound)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "microseconds")
