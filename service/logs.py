"""The log: a line for each event, ``key=value``; what is said during an attempt names its build.

Written with the standard library's logging, facts as ``extra``; structlog renders it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import LogfmtRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor

from service.terminal import one_line, printable

_ORDER = ("timestamp", "level", "event", "nvr", "attempt", "worker", "stage", "seconds")
# sd-daemon(3): what a line may begin with, to tell journald its priority.
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_meta_out = ProcessorFormatter.remove_processors_meta

_configured: dict[str, Any] = {}


def about(**facts: Any) -> AbstractContextManager[None]:
    """Return a context in which each line that this thread logs tells ``facts``."""
    return bound_contextvars(**facts)


def configure(level: int = logging.INFO, *, people: bool = False) -> None:
    """Log our own modules' events of ``level`` to standard error, of others what is wrong.

    A service logs logfmt, under journald with a priority; for ``people``, who sit and wait, a line
    begins with its event, and the single stages are left out.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_for_people() if people else logfmt())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for ours in ("service", "converter"):
        logging.getLogger(ours).setLevel(level)
    logging.getLogger("service.pipeline").setLevel(logging.WARNING if people else logging.NOTSET)
    _configured.update(level=level, people=people)


def to_people(*, verbose: bool = False) -> None:
    """Log what is wrong, or more, to a person, unless that is arranged already."""
    if not _configured:
        configure(logging.INFO if verbose else logging.WARNING, people=True)


def configured() -> Mapping[str, Any]:
    """Return the arguments with which another process shall ``configure`` the same."""
    return dict(_configured)


def logfmt() -> logging.Formatter:
    """Return the formatter of a service; ``"()" = "service.logs.logfmt"`` in a ``log_config``."""
    render = LogfmtRenderer(key_order=_ORDER, drop_missing=True)
    journald = "JOURNAL_STREAM" in os.environ  # it has the time already
    first: list[Processor] = [] if journald else [TimeStamper(fmt="iso")]
    last: list[Processor] = [_prioritize] if journald else []
    facts: list[Processor] = [add_log_level, add_logger_name, _meta_out, format_exc_info]
    return _formatter(*first, *facts, render, _printable, *last)


def _for_people() -> logging.Formatter:
    plain = ConsoleRenderer(colors=False, exception_formatter=plain_traceback, pad_event_to=0)
    return _formatter(_meta_out, _one_line, plain, _printable)


def _formatter(*processors: Processor) -> logging.Formatter:
    return ProcessorFormatter(processors=[merge_contextvars, ExtraAdder(), *processors])


def _one_line(_: Any, level: str, line: EventDict) -> EventDict:
    return {**line, "event": one_line(str(line["event"]))}


def _printable(_: Any, level: str, line: EventDict) -> str:
    return printable(str(line))


def _prioritize(_: Any, level: str, line: EventDict) -> str:
    return f"<{_PRIORITY.get(level, 6)}>{line}"
