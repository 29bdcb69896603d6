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
from dataclasses import dataclass
from pathlib import Path

from converter.clock import Progress
from converter.errors import CannotWork, SrcgitError, TryAgain, on_this_machine
from service import logs, worker
from service.bus import SIGN, Bus, configure
from service.config import Config
from service.consumer import Intake
from service.database import JournalUnusable
from service.journal import Journal
from service.status import PREPARING
from service.systemd import notify, watchdog
from service.worker import Convert, Worker

log = logging.getLogger(__name__)

Prepare = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Jobs:
    """What this process does besides messages; each attempt of either has a process of its own."""

    convert: Convert | None = None
    publish: Convert | None = None


def process_name() -> str:
    """Return a name for this process that no other has, in containers of one name included."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"


def make_worker(
    config: Config, journal: Journal, work: Convert, name: str, *, publishes: bool = False
) -> Worker:
    """Return a worker as configured, which converts, or publishes what is converted."""
    return Worker(
        name,
        journal,
        work,
        lease=config.lease,
        timeout=config.timeout,
        retry=config.retry,
        store=lambda: store(config, make=not publishes),
        publishes=publishes,
    )


def store(config: Config, *, make: bool = False) -> str:
    """Return the name of this host's state directory, which no other has; "" where it has none yet.

    What was converted here can only be published from here. ``make`` gives it one. Raises CannotWork.
    """
    path = config.state / "converting" / "name"
    with on_this_machine():
        if not path.exists():
            if not make:
                return ""
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f"name.{secrets.token_hex(8)}")
            beside.write_text(f"{socket.gethostname()}:{secrets.token_hex(8)}")
            try:
                os.link(beside, path)  # whole or not at all, and only the first
            except FileExistsError:
                pass
            finally:
                beside.unlink()
        return path.read_text()


def _threads(
    config: Config, journal: Journal, name: str, jobs: Jobs, stop: threading.Event
) -> list[threading.Thread]:
    workers = []
    if jobs.convert is not None:
        workers += [
            make_worker(config, journal, jobs.convert, f"{name} worker {number}")
            for number in range(1, config.workers + 1)
        ]
    if jobs.publish is not None:
        publisher = f"{name} publisher"
        workers.append(make_worker(config, journal, jobs.publish, publisher, publishes=True))
    return [
        threading.Thread(target=each.run, args=(stop,), name=each.name.removeprefix(f"{name} "))
        for each in workers
    ]


def work(config: Config, jobs: Jobs, prepare: Prepare) -> None:
    """Work on what is due, without bus and messages, until SIGTERM or SIGINT.

    ``prepare`` is as in listen(). Raises CannotWork.
    """
    logs.configure()
    worker.preload()
    journal = Journal(config.journal)
    name = process_name()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())  # but while it prepares
    threads = _threads(config, journal, name, jobs, stop)
    try:
        prepared = _prepared(prepare, journal, name)
    finally:
        _withdraw(journal, name)
    if not prepared:
        threading.Thread(target=_keep_preparing, args=(prepare, stop), daemon=True).start()
    for thread in threads:
        thread.start()
    notify("READY=1")
    try:
        while not stop.wait(min(SIGN, watchdog() / 2)):
            if not all(thread.is_alive() for thread in threads):
                raise CannotWork("a worker has ended", next_step="see the log, start it again")
            notify("WATCHDOG=1")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        _withdraw(journal, name)
        journal.close()


def listen(
    config: Config,
    path: Path | None,
    convert: Convert | None,
    prepare: Prepare | None = None,
    publish: Convert | None = None,
) -> None:
    """Take messages in and work on what is due, until SIGTERM or SIGINT.

    Without ``convert`` or ``publish``, another process does that. ``path`` is the configuration file, of which fedora-messaging reads its part. ``prepare`` may
    take as long as it needs: it ends before the first message is asked for, or goes on beside the
    work where the world was not ready. A conversion under way at the end is dropped and its build
    given back. Raises CannotWork, WrongUsage.
    """
    configure(path)
    worker.preload()
    journal = Journal(config.journal)
    name = process_name()
    stop = threading.Event()
    threads = _threads(config, journal, name, Jobs(convert, publish), stop)

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
