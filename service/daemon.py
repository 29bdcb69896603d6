"""The daemon: intake, announcements and workers in one process, wired together.

More hosts are the same daemon on each, with one queue and one PostgreSQL journal between them.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from converter.errors import TryAgain
from service import worker
from service.bus import Bus, configure
from service.config import Config
from service.consumer import Intake
from service.journal import Journal
from service.worker import Convert, Worker

log = logging.getLogger(__name__)


Prepare = Callable[[Callable[[str], None]], None]


def process_name() -> str:
    """Return a name for this process that no other on any host has now."""
    return f"{socket.gethostname()}:{os.getpid()}"


def make_worker(config: Config, journal: Journal, convert: Convert, name: str) -> Worker:
    """Return a worker as configured."""
    return Worker(
        name,
        journal,
        convert,
        lease=config.lease,
        timeout=config.timeout,
        retry=config.retry,
    )


def listen(
    config: Config, path: Path | None, convert: Convert, prepare: Prepare | None = None
) -> None:
    """Take messages in and work on what is due, until SIGTERM or SIGINT.

    ``path`` is the configuration file, of which fedora-messaging reads its part. ``prepare`` may
    take as long as it needs: it ends before the first message is asked for. A conversion under
    way at the end is dropped and its build given back. Raises CannotWork, WrongUsage.
    """
    configure(path)
    worker.preload()
    if prepare:
        _prepare(prepare)
    journal = Journal(config.journal)
    name = process_name()
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=make_worker(config, journal, convert, f"{name} worker {number}").run,
            args=(stop,),
            name=f"worker {number}",
        )
        for number in range(1, config.workers + 1)
    ]

    def end() -> None:
        stop.set()
        for thread in threads:
            thread.join()

    intake = Intake(journal, config.packages)
    bus = Bus(intake, journal, name, announce=config.announce, lease=config.lease)
    for thread in threads:
        thread.start()
    try:
        bus.run(end)
    finally:
        end()
        journal.close()


def _prepare(prepare: Prepare) -> None:
    try:
        prepare(log.info)
    except TryAgain as error:  # each conversion will try for itself
        log.warning("%s [%s]", error.what, error.where)
