"""A server of Python's http.server in a thread, for as long as a ``with`` lasts."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self


class Serving:
    """Answers at ``url`` between entering and leaving; a context manager."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._http = server
        self._thread = Thread(target=server.serve_forever, args=(0.05,))
        self.url = f"http://{server.server_address[0]!s}:{server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
