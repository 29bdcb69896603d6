"""A real http server for files that breaks off, forgets ranges, redirects or refuses when told."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.serving import Serving


class _Request(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.server.next:
            self.server.next.pop(0)(self)
        else:
            self.serve()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, json.loads(asked)))
        if self.path not in self.server.answers:
            self.send_error(404)
            return
        data = json.dumps(self.server.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def serve(self, *, most: int | None = None, ranges: bool = True) -> None:
        """Send the file, or what is wanted of it; no more than ``most`` bytes of content."""
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        part = data[start:] if most is None else data[start : start + most]
        self.wfile.write(part)
        if len(part) < len(data) - start:
            self.close_connection = True

    def refuse(self, status: int) -> None:
        self.send_error(status)

    def redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.next: list[Callable[[_Request], None]] = []
        self.answers: dict[str, object] = {}
        self.posted: list[tuple[str, object]] = []


class HttpFiles(Serving):
    """Serves ``files`` (path -> content); a context manager.

    ``asked`` are the requests so far: path, and the Range that was wanted. What is posted to a path
    of ``answers`` gets that answer; ``posted`` are path and question, both JSON.
    """

    def __init__(self) -> None:
        self._server = _Server()
        super().__init__(self._server)
        self.files = self._server.files
        self.asked = self._server.asked
        self.answers = self._server.answers
        self.posted = self._server.posted

    def break_off(self, *after: int) -> None:
        """End each of the next answers after so many bytes of content."""
        self._server.next += [lambda r, most=most: r.serve(most=most) for most in after]  # type: ignore[misc]

    def forget_ranges(self, times: int) -> None:
        """Answer the next requests with the whole file."""
        self._server.next += [lambda r: r.serve(ranges=False)] * times

    def refuse(self, *statuses: int) -> None:
        self._server.next += [lambda r, status=status: r.refuse(status) for status in statuses]  # type: ignore[misc]

    def redirect(self, *to: str) -> None:
        self._server.next += [lambda r, place=place: r.redirect(place) for place in to]  # type: ignore[misc]
