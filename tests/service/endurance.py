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
from service import worker
from service.config import Config, Retry, load
from service.journal import Journal, Row
from service.pipeline import pipeline
from service.worker import Worker
from tests.builders import Source, change, kernel_upstream, spec_git_am


def resident() -> int:
    """Return this process's resident memory in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def prepare(directory: Path, count: int) -> tuple[Config, list[Row]]:
    """Make an upstream, ``count`` builds of a small kernel and an empty place of publication."""
    linux = kernel_upstream(directory / "linux.git")
    base = linux.rev("v4.15")
    assert base
    text = change(linux.file(base, "mm/slab.c").decode(), 2, "twice")
    patch = linux.mails(base, linux.commit({"mm/slab.c": text}, "mm: a\n", parent=base))
    pkg_git, public = Source(directory / "kernel.git"), Source(directory / "public.git")
    rows = []
    for number in range(count):
        files: dict[str, str | bytes | None] = {
            "kernel.spec": spec_git_am("4.15.0", str(number), ["slab.patch"]),
            "slab.patch": patch,
            "kernel-x86_64.config": "CONFIG_MMU=y\n",
        }
        commit = pkg_git.commit(files, f"build {number}\n", branch="f28")
        rows.append(Row(f"kernel-4.15.0-{number}.fc28", "kernel", "kernel.fc28", commit=commit))
    path = directory / "srcgit.toml"
    path.write_text(
        f"""
        [consumer_config]
        state = "{directory}/state"
        [consumer_config.packages.kernel]
        pkg_git = "{pkg_git.path}"
        source = "https://src.fedoraproject.org/rpms/kernel.git"
        upstreams = ["{linux.path}"]
        push = ["{public.path}"]
        """
    )
    return load(path), rows


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
        config, rows = prepare(Path(scratch), 2 * count)
        work = pipeline(config)

        def here(number: int) -> None:
            outcome = work(rows[number], lambda stage: None)
            assert outcome.fate is Fate.DONE, outcome

        run("all in one process", count, here)
        worker.preload()
        journal = Journal(config.journal)
        one = Worker("w", journal, work, lease=60, timeout=600, retry=Retry())
        for row in rows[count:]:
            journal.add(row)
        run("a child for each", count, lambda _: one.step(threading.Event()))
        assert journal.counts() == {"done": count}, journal.counts()
        journal.close()


if __name__ == "__main__":
    main()
