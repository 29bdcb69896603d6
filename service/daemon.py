"""The daemon: intake, announcements and workers in one process, wired together.

More hosts are the same daemon on each, with one queue and one PostgreSQL journal between them.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from converter.clock import Progress
from converter.errors import SrcgitError, TryAgain
from service import worker
from service.bus import SIGN, Bus, configure
from service.config import Config
from service.consumer import Intake
from service.database import JournalUnusable
from service.journal import Journal
from service.status import PREPARING
from service.worker import Convert, Worker

log = logging.getLogger(__name__)

Prepare = Callable[[Progress], None]


def process_name() -> str:
    """Return a name for this process that no other has, in containers of one name included."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"


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
    take as long as it needs: it ends before the first message is asked for, or goes on beside the
    work where the world was not ready. A conversion under way at the end is dropped and its build
    given back. Raises CannotWork, WrongUsage.
    """
    configure(path)
    worker.preload()
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

    try:
        prepared = prepare is None or _prepared(prepare, journal, name)
    except (SystemExit, KeyboardInterrupt):
        _withdraw(journal, name)
        raise
    if prepare and not prepared:
        threads.append(threading.Thread(target=_keep_preparing, args=(prepare, stop), daemon=True))

    def end() -> None:
        stop.set()
        for thread in threads:
            if not thread.daemon:  # which may be in the middle of a clone of Linux
                thread.join()

    intake = Intake(journal, config.packages, config.topic_prefix)
    bus = Bus(intake, journal, name, announce=config.announce, lease=config.lease)
    for thread in threads:
        thread.start()
    try:
        bus.run(end)
        _withdraw(journal, name)
    finally:
        end()
        journal.close()


def _withdraw(journal: Journal, name: str) -> None:
    with contextlib.suppress(JournalUnusable):
        journal.withdraw(name)


def _prepared(prepare: Prepare, journal: Journal, name: str) -> bool:
    """Prepare, giving signs of life the while; False if the world was not ready for it.

    SIGTERM ends it, and the process, at once: the reactor, which heeds signals later, does not run.
    """
    doing = PREPARING
    ended = threading.Event()

    def sign() -> None:
        with contextlib.suppress(JournalUnusable):  # whoever needs it finds out
            journal.sign(f"{name} intake", doing)

    def progress(stage: str) -> None:
        nonlocal doing
        log.info("%s", stage)
        doing = f"{PREPARING}: {stage}"
        sign()

    def keep_signing() -> None:
        while not ended.wait(SIGN):
            sign()

    signing = threading.Thread(target=keep_signing)
    signing.start()
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        prepare(progress)
    except TryAgain as error:
        log.warning("%s [%s]", error.what, error.where)
        return False
    finally:
        signal.signal(signal.SIGTERM, before)
        ended.set()
        signing.join()
    return True


def _keep_preparing(prepare: Prepare, stop: threading.Event) -> None:
    """Try until it is done: a conversion's own time may not suffice for a first clone."""
    for attempt in itertools.count(1):
        if stop.wait(worker.REST.delay(attempt)):
            return
        try:
            prepare(log.info)
        except SrcgitError as error:
            log.warning("%s [%s]", error.what, error.where)
        else:
            return
