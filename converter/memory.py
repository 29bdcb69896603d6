"""The bound on the memory of a process that converts: what foreign input costs here is an answer.

RLIMIT_DATA (getrlimit(2)) counts what a process allocates, and not what it maps of a repository's
packs. Programs that are started have limits of their own, or need none: git reads packs of any size.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from converter.errors import TooMuch

LIMIT = 2 << 30  # bytes; a kernel takes 0.1, the largest patch that is let in 0.9
_starting = threading.Lock()


def bound(limit: int = LIMIT) -> None:
    """Let this process allocate ``limit`` bytes at most; a lower limit that it has already stays."""
    _set_soft(min([limit, *_finite(resource.getrlimit(resource.RLIMIT_DATA))]))


@contextmanager
def unbounded() -> Iterator[None]:
    """Start programs in the block that do not inherit the bound."""
    with _starting:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        _set_soft(hard)
        try:
            yield
        finally:
            _set_soft(soft)


def exhausted(error: BaseException) -> TooMuch | None:
    """Return the error that ``error`` is of the input's making; None for any other.

    Memory that did not suffice, or a nesting that Python's stack did not: those are no bugs.
    """
    if isinstance(error, RecursionError):
        return TooMuch(
            "something in it nests deeper than srcgit reads",
            next_step="look at its paths and directories",
        )
    if not isinstance(error, MemoryError):
        return None
    limits = [
        *_finite(resource.getrlimit(resource.RLIMIT_DATA)[:1]),
        *_finite(resource.getrlimit(resource.RLIMIT_AS)[:1]),
    ]
    told = f"{min(limits) >> 20} MiB of memory" if limits else "the memory that there is"
    return TooMuch(
        f"it needs more than {told}", next_step="look for what is out of proportion in the package"
    )


def _finite(limits: tuple[int, ...]) -> list[int]:
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]


def _set_soft(soft: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
