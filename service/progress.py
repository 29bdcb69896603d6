"""What goes on, told on standard error while it goes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from service.terminal import one_line, say

if TYPE_CHECKING:
    from rich.status import Status


class Progress:
    """A line on a terminal that says what goes on; nothing elsewhere, unless verbose."""

    def __init__(self, verbose: bool = False) -> None:
        self._status: Status | None = None
        self._verbose = verbose
        if self._verbose:
            from service import logs

            logs.to_people(verbose=True)
        elif sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("")

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, stage: str) -> None:
        if self._status:
            from rich.markup import escape

            self._status.update(escape(one_line(stage)))
        elif self._verbose:
            say(stage, err=True)
