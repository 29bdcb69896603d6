"""What is being done, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str], None]  # hears, in a line for people, what is being done now


class Clock:
    """Seconds of wall time by stage; ``told`` hears of each stage as it ends, well or not."""

    def __init__(self, told: Callable[[str, float], None] = lambda stage, seconds: None) -> None:
        self.seconds: dict[str, float] = {}
        self._told = told
        self._inside: list[float] = []  # of each stage at work: what others took within it

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what takes place in the context, except for what is a stage by itself."""
        start = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - start
            own = took - self._inside.pop()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + own
            if self._inside:
                self._inside[-1] += took
            else:
                self._told(stage, self.seconds[stage])
