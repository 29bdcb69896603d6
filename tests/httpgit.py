"""Real git over http: ``git http-backend`` behind Python's own server, on a port of its own."""

from __future__ import annotations

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class GitServer:
    """Serves the repositories below a directory, for reading and pushing, until closed."""

    def __init__(self, directory: Path) -> None:
        self.busy = 0  # that many requests are answered with 503 before any is served
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                if outer.busy:
                    outer.busy -= 1
                    self.send_error(503)
                    return
                path, _, query = self.path.partition("?")
                length = int(self.headers.get("Content-Length") or 0)
                environment = {
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(directory),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(length),
                    "REMOTE_USER": "tester",
                    "REMOTE_ADDR": "127.0.0.1",
                }
                if self.headers.get("Transfer-Encoding") == "chunked":
                    sent = self._chunks()
                    del environment["CONTENT_LENGTH"]
                else:
                    sent = self.rfile.read(length)
                done = subprocess.run(
                    ["git", "http-backend"],
                    input=sent,
                    capture_output=True,
                    env=environment,
                    check=True,
                )
                head, _, body = done.stdout.partition(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
                self.send_response(int(fields.pop(b"Status", b"200").split()[0]))
                for name, value in fields.items():
                    self.send_header(name.decode(), value.decode())
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def _chunks(self) -> bytes:
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> GitServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
