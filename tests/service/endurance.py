"""Memory and throughput over many conversions: ``python -m tests.service.endurance [N]``.

First N conversions in this very process, then N by one worker (a child for each, as in the daemon);
small packages, the real pipeline and sandbox, one place of publication on this disk.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from converter.errors import Fate
from service.journal import Journal
from service.pipeline import pipeline
from tests.throughput import model, work


def resident() -> int:
    """Return this process's resident memory in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def run(what: str, count: int, convert: Callable[[int], object]) -> None:
    """Convert ``count`` builds; tell memory on the way and the rate at the end."""
    start = time.monotonic()
    for number in range(1, count + 1):
        convert(number - 1)
        if number in {1, count // 10, count // 4, count // 2, count}:
            print(f"{what}: after {number}: {resident()} KiB", flush=True)
    print(f"{what}: {count / (time.monotonic() - start) * 3600:.0f} an hour", flush=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="srcgit-endurance-") as scratch:
        config, rows = model(Path(scratch), 2 * count)
        convert = pipeline(config)

        def here(number: int) -> None:
            outcome = convert(rows[number], lambda stage: None)
            assert outcome.fate is Fate.DONE, outcome

        run("all in one process", count, here)
        journal = Journal(config.journal)
        for row in rows[count:]:
            journal.add(row)
        one = work(config, journal)
        run("a child for each", count, lambda _: one.step(threading.Event()))
        assert journal.counts() == {"done": count}, journal.counts()
        journal.close()


if __name__ == "__main__":
    main()
