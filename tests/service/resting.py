"""``python -m tests.service.resting CONFIG SECONDS``: the daemon; a conversion only takes its time.

With 0 seconds it is the real one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converter.errors import Fate
from service import config
from service.journal import Row
from service.pipeline import pipeline
from service.worker import Outcome


@dataclass(frozen=True)
class Resting:
    """A conversion whose work is done elsewhere; nothing is published."""

    seconds: float

    def __call__(self, row: Row, progress: Callable[[str], None]) -> Outcome:
        time.sleep(self.seconds)
        return Outcome(Fate.DONE, "", {"branch": "f28", "top": "", "tag": row.nvr})


def main() -> None:
    from service.daemon import listen  # each child imports this module, and needs no bus

    path, seconds = Path(sys.argv[1]), float(sys.argv[2])
    settings = config.load(path)
    listen(settings, path, Resting(seconds) if seconds else pipeline(settings))


if __name__ == "__main__":
    main()
