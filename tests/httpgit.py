"""A real git server over http: ``git http-backend`` behind Python's http.server, and bundles."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from tests.serving import Serving


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for all requests

    def __init__(self, root: Path, settings: Mapping[str, str], address: str) -> None:
        super().__init__((address, 0), _Request)
        self.root = root
        self.settings = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings.items()):
            self.settings[f"GIT_CONFIG_KEY_{number}"] = key
            self.settings[f"GIT_CONFIG_VALUE_{number}"] = value
        self.sent = 0
        self.busy = 0
        self.lock = Lock()


class _Request(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith(".bundle"):
            file = self.server.root / path.lstrip("/")
            self._answer(200, [], file.read_bytes()) if file.exists() else self.send_error(404)
        else:
            self._backend()

    def do_POST(self) -> None:
        self._backend()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> bytes:
        """Read the request's body; git sends large ones in chunks (RFC 9112, 7.1)."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _backend(self) -> None:
        """Run git-http-backend(1) as a CGI program (RFC 3875)."""
        path, _, query = self.path.partition("?")
        body = self._body()
        if self.server.busy:
            self.server.busy -= 1
            self.send_error(503)
            return
        env = {
            **os.environ,
            **self.server.settings,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
        )
        head, found, content = done.stdout.partition(b"\r\n\r\n")
        if not found:  # it died
            self.close_connection = True
            return
        lines = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")]
        status = next((int(value[:3]) for name, value in lines if name == "Status"), 200)
        self._answer(status, [(n, v) for n, v in lines if n != "Status"], content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        with self.server.lock:
            self.server.sent += len(content)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class HttpGit(Serving):
    """Serves the repositories and bundles below a directory; a context manager.

    A repository takes pushes where its ``http.receivepack`` is true.
    """

    def __init__(
        self, root: Path, settings: Mapping[str, str] | None = None, address: str = "127.0.0.1"
    ) -> None:
        """``settings`` are of git-config(1), for the server's git."""
        self._server = _Server(root, settings or {}, address)
        super().__init__(self._server)

    def refuse(self, requests: int) -> None:
        """Answer the next ``requests`` with 503."""
        self._server.busy = requests

    def sent(self) -> int:
        """Return the bytes of content sent since the last call."""
        with self._server.lock:
            sent, self._server.sent = self._server.sent, 0
        return sent
