"""Sites for one worker of the daemon, of model packages or of the real kernel, and how fast it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from converter.build import Nvr
from converter.mirror import Mirror
from converter.odb import Repository
from converter.planning import plan
from converter.request import Request
from service import logs, worker
from service.config import Config, Retry, load
from service.journal import Journal, Row
from service.kinds import key
from service.pipeline import pipeline
from service.worker import Worker
from specparse.trace import SandboxedTracer
from tests.builders import Source, change, kernel_upstream, spec_git_am
from tests.configuration import kernel, table

NEVER = 3600.0  # seconds, for what is not to end early


def model(directory: Path, count: int) -> tuple[Config, list[Row]]:
    """Make an upstream, ``count`` builds of a small kernel and an empty place of publication."""
    directory.mkdir(exist_ok=True)
    linux = kernel_upstream(directory / "linux.git")
    base = linux.rev("v4.15")
    assert base
    text = change(linux.file(base, "mm/slab.c").decode(), 2, "twice")
    patch = linux.mails(base, linux.commit({"mm/slab.c": text}, "mm: a\n", parent=base))
    pkg_git = Source(directory / "kernel.git")
    rows = []
    for number in range(count):
        files: dict[str, str | bytes | None] = {
            "kernel.spec": spec_git_am("4.15.0", str(number), ["slab.patch"]),
            "slab.patch": patch,
            "kernel-x86_64.config": "CONFIG_MMU=y\n",
        }
        commit = pkg_git.commit(files, f"build {number}\n", branch="f28")
        rows.append(_row(Nvr.parse(f"kernel-4.15.0-{number}.fc28"), commit))
    return _site(directory, pkg_git.path, linux.path), rows


def real(
    directory: Path, upstream: Path, pkg_git: Path, commits: Sequence[str]
) -> tuple[Config, list[Row]]:
    """Take builds of the kernel's own pkg-git, by their commits; their NVRs are its specs'."""
    directory.mkdir(exist_ok=True)
    config = _site(directory, pkg_git.resolve(), upstream.resolve())
    mirror = Mirror(str(pkg_git.resolve()), directory)
    trace = SandboxedTracer()
    planned = [plan(Request(mirror, commit), trace) for commit in commits]
    return config, [_row(each.nvr, each.package.commit.id) for each in planned]


def _row(nvr: Nvr, commit: str) -> Row:
    return Row(str(nvr), nvr.name, key(nvr), commit=commit, via="pkg-git")


def _site(directory: Path, pkg_git: Path, upstream: Path) -> Config:
    public = Source(directory / "public.git")
    # As after the first push, which brings all of upstream along.
    Repository(public.path).borrow(Repository(upstream))
    path = directory / "srcgit.toml"
    path.write_text(
        table(state=directory / "state")
        + kernel(pkg_git=pkg_git, upstreams=[upstream], push=[public.path])
    )
    return load(path)


def work(config: Config, journal: Journal) -> Worker:
    """Return a worker whose children start quickly, as the daemon's do."""
    logs.configure(logging.WARNING)
    worker.preload()
    convert = pipeline(config)
    return Worker("one", journal, convert, lease=NEVER, timeout=NEVER, retry=Retry())


def seconds(config: Config, rows: Sequence[Row]) -> float:
    """Return the seconds for each of ``rows``: from a row to claim to one that is done."""
    journal = Journal(config.journal)
    for row in rows:
        journal.add(row)
    one = work(config, journal)
    start = time.perf_counter()
    one.run(threading.Event(), drain=True)
    taken = time.perf_counter() - start
    wrong = [f"{row.nvr}: {row.outcome}" for row in journal.rows() if row.state != "done"]
    journal.close()
    if wrong:
        raise SystemExit("; ".join(wrong))
    return taken / len(rows)
