"""Work: claim a due build, convert it in a child process, give it the fate that it has earned.

A child for each attempt, so that neither a crash nor memory that grows can hurt the daemon; it
ends when its worker does. Nothing is remembered here: a worker that is killed at any point leaves
a lease that expires, and the next attempt finds in the published tree what was done already.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any, Protocol

from converter import memory
from converter.clock import Progress
from converter.errors import CannotWork, Fate, SrcgitError
from service import logs
from service.config import Config, Package, Retry
from service.database import JournalUnusable
from service.journal import Journal, Row, State

log = logging.getLogger(__name__)

CRASHES = 3  # a child that dies is tried again (the kernel may have needed memory), this often
HOLDS = 4  # leases, for which what was converted waits for being published
REPORT = 50_000  # characters of a report or a traceback that are kept
REST = Retry(first=15.0, factor=2.0, cap=900.0)  # between looks whether this machine works again
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: its fate, why in words, and what there is to show for it."""

    fate: Fate
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a fate does to a row. ``announce``: whether the world is told."""

    state: State
    announce: bool = False
    again: bool = False  # due again after a growing delay, until it is too old
    counts: bool = True  # as an attempt of this build
    rest: bool = False  # the worker claims nothing more for a while


# The one table of fates: what becomes of a build, and so of its message, after an attempt.
FATES: Mapping[Fate, Settlement] = MappingProxyType(
    {
        Fate.DONE: Settlement("done", announce=True),
        Fate.CONVERTED: Settlement("converted"),
        Fate.NOT_OURS: Settlement("ignored"),
        Fate.FAILED: Settlement("failed", announce=True),
        Fate.LATER: Settlement("waiting", again=True),
        Fate.STOP: Settlement("waiting", counts=False, rest=True),
        Fate.PARKED: Settlement("parked"),
    }
)


class NotOurs(SrcgitError):
    """Not a build that a pkg-git commit stands for, or of no configured package."""

    exit_code = 1
    fate = Fate.NOT_OURS


def of_package(config: Config, row: Row) -> Package:
    """Return the configured package of a row. Raises NotOurs."""
    package = config.packages.get(row.package)
    if package is None:
        raise NotOurs(
            f"{row.package} is not configured",
            where=row.nvr,
            next_step="add it to the configuration, then queue the build again",
        )
    return package


class Convert(Protocol):
    """Converts and publishes one build; it is sent to the child process, so it can be pickled."""

    def __call__(self, row: Row, progress: Progress) -> Outcome:
        """Return how it ended. Raises SrcgitError, whose class is the fate."""
        ...


def judge(error: BaseException) -> Outcome:
    """Return the outcome that an exception stands for; one that nobody foresaw is a bug."""
    evidence: dict[str, Any] = {}
    if isinstance(error, SrcgitError):
        evidence["error"] = error.as_json()
        report: str = getattr(error, "report", "")
        if report:
            evidence["report"] = report[:REPORT]
        series = getattr(error, "series", None)
        if series is not None:
            evidence["series"] = series
        confirm = getattr(error, "confirm", None)
        if confirm:
            evidence["confirm"] = confirm
        return Outcome(error.fate, error.what, evidence)
    if too_much := memory.exhausted(error):
        return judge(too_much)
    told = "".join(traceback.format_exception(error))
    evidence = {"error": {"class": type(error).__name__, "what": str(error)[:REPORT]}}
    evidence["traceback"] = told[-REPORT:]
    if isinstance(error, OSError) and error.errno in DISK:
        return Outcome(Fate.STOP, f"this machine: {error}", evidence)
    if isinstance(error, ImportError):  # met when the program is upgraded under the daemon
        evidence["error"]["next"] = "restart the daemon: srcgit is incomplete, or was upgraded"
        return Outcome(Fate.STOP, f"srcgit cannot be loaded: {error}", evidence)
    if isinstance(error, (TimeoutError, ConnectionError)):
        return Outcome(Fate.LATER, str(error) or type(error).__name__, evidence)
    return Outcome(Fate.PARKED, f"a bug in srcgit: {type(error).__name__}: {error}", evidence)


class Worker:
    """Claims and converts (or publishes) builds one after the other, until told to stop."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        convert: Convert,
        *,
        lease: float,
        timeout: float,
        retry: Retry,
        rest: Retry = REST,
        idle: float = 2.0,
        store: Callable[[], str] = str,
        publishes: bool = False,
    ) -> None:
        """``lease``, ``timeout`` (of one attempt) and ``idle`` are in seconds.

        ``store`` names the repositories of this host. With ``publishes``, what was converted there
        is worked on; else what waits to be converted.
        """
        self._store = store
        self._publishes = publishes
        self.name = name
        self._journal = journal
        self._convert = convert
        self._lease = lease
        self._timeout = timeout
        self._retry = retry
        self._rest = rest
        self._idle = idle
        self._troubles = 0  # in a row, that were this machine's fault

    def run(self, stop: threading.Event, *, drain: bool = False) -> None:
        """Work until ``stop`` is set; with ``drain``, until nothing is due.

        A conversion under way is then ended and its build given back. When this machine cannot
        work, nothing is claimed for a growing while; with ``drain`` CannotWork is raised.
        """
        signed = 0.0
        while not stop.is_set():
            try:
                worked = self.step(stop)
                self._troubles = 0
                if worked:
                    continue
                if drain:
                    return
                if time.monotonic() - signed > 30:
                    self._journal.sign(self.name, "waiting for work")
                    signed = time.monotonic()
                stop.wait(self._idle)
            except Exception as error:
                if drain:
                    raise
                self._troubles += 1
                pause = self._rest.delay(self._troubles)
                self._say_why(error, pause)
                stop.wait(pause)

    def step(self, stop: threading.Event) -> bool:
        """Claim and attempt one build; return whether there was one.

        Raises CannotWork when the machine is at fault; the build is then due as before.
        """
        if self._publishes:
            row = self._journal.claim_converted(self._store(), self.name, self._lease)
        else:
            row = self._journal.claim(self.name, self._lease)
        if row is None:
            return False
        with logs.about(**_facts(row), worker=self.name):
            log.info("claimed")
            self._sign(f"{self._doing} {row.nvr}")
            attempt = Attempt(self._convert, row)
            try:
                outcome = self._watch(attempt, row, stop)
            finally:
                attempt.end()
            if outcome is None:
                self._journal.release(row)
                log.info("given back")
            else:
                self._settle(row, outcome)
        return True

    def _watch(self, attempt: Attempt, row: Row, stop: threading.Event) -> Outcome | None:
        """Wait for the outcome and keep the lease alive; None when told to stop, or not ours."""
        deadline = time.monotonic() + self._timeout
        extend = time.monotonic() + self._lease / 3
        stage = ""
        while True:
            heard = attempt.listen(0.2)
            if isinstance(heard, Outcome):
                return heard
            stage = heard or stage
            now = time.monotonic()
            if stop.is_set():
                return None
            if now > deadline:
                # libgit2 may read an object that is cut off for ever.
                examine = getattr(self._convert, "examine", None)
                damage: Outcome | None = examine(row) if examine else None
                return damage or Outcome(Fate.LATER, f"took more than {self._timeout:g} seconds")
            if now > extend:
                extend = now + self._lease / 3
                if not self._extend(row):
                    log.warning("the lease is somebody else's")
                    return None
                self._sign(f"{self._doing} {row.nvr}: {stage}")

    def _extend(self, row: Row) -> bool:
        try:
            return self._journal.extend(row, self._lease)
        except JournalUnusable as error:  # the work itself is not in danger
            log.error("%s", error)
            return True

    def _sign(self, doing: str) -> None:
        try:
            self._journal.sign(self.name, doing)
        except JournalUnusable as error:
            log.error("%s", error)

    @property
    def _doing(self) -> str:
        return "publishing" if self._publishes else "converting"

    def _settle(self, row: Row, outcome: Outcome) -> None:
        evidence = {**outcome.evidence}
        if outcome.fate is Fate.CONVERTED:
            if not self._journal.hand_over(row, evidence, self._store(), HOLDS * self._lease):
                log.warning("settled by somebody else meanwhile")
            log.info("%s", outcome.fate.value)
            return
        if outcome.evidence.get("crashed"):
            crashes = int(row.evidence.get("crashes", 0)) + 1
            evidence["crashes"] = crashes
            if crashes >= CRASHES:
                outcome = Outcome(Fate.PARKED, f"{outcome.reason}, {crashes} times", evidence)
        rule = FATES[outcome.fate]
        now = time.time()
        due = now + self._retry.delay(row.attempts) if rule.again else None
        if rule.again and self._retry.over(now - row.added, row.attempts):
            days = (now - row.added) / 86400
            outcome = Outcome(Fate.FAILED, f"given up after {days:.1f} days: {outcome.reason}")
            rule, due = FATES[outcome.fate], None
        if not rule.counts:
            # Last in the queue: if it was this build after all, the others need not wait for it.
            self._journal.release(row, now)
        elif not self._journal.settle(
            row, rule.state, outcome.reason, evidence, due=due, announce=rule.announce
        ):
            log.warning("settled by somebody else meanwhile")
        level = logging.INFO if outcome.fate is Fate.DONE else logging.WARNING
        log.log(
            level, outcome.fate.value, extra={"reason": outcome.reason} if outcome.reason else {}
        )
        if rule.rest:
            error = outcome.evidence.get("error", {})
            raise MachineAtFault(
                outcome.reason, where=error.get("where", ""), next_step=error.get("next", "")
            )

    def _say_why(self, error: Exception, pause: float) -> None:
        """Put it in the log and the journal: a worker that rests must not look idle or alive."""
        if isinstance(error, CannotWork):
            told = f"{error.what}" + (f" [{error.where}]" if error.where else "")
            told += f"; {error.next_step}" if error.next_step else ""
        else:
            log.exception("a bug in srcgit, outside of any conversion")
            told = f"a bug in srcgit: {type(error).__name__}: {error}"
        log.error("%s cannot work", self.name, extra={"reason": told, "next_look": round(pause)})
        try:
            self._journal.sign(self.name, told, halted=True)
        except JournalUnusable:  # said above already
            return


class MachineAtFault(CannotWork):
    """A conversion found that this machine cannot work; its reason is passed on."""


class Attempt:
    """One conversion in a process of its own."""

    def __init__(self, convert: Convert, row: Row) -> None:
        context = multiprocessing.get_context("forkserver")
        self._heard, childs = context.Pipe()
        self._child = context.Process(
            target=_attempt, args=(convert, row, childs, logs.configured()), daemon=True
        )
        self._child.start()
        childs.close()

    def listen(self, seconds: float) -> Outcome | str | None:
        """Return the outcome, or a stage that was reached, or None if nothing was said."""
        try:
            if not self._heard.poll(seconds):
                return None
            heard: Outcome | str = self._heard.recv()
            return heard
        except (EOFError, OSError):
            self._child.join()
            status = self._child.exitcode or 0
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            return Outcome(Fate.LATER, f"the conversion's process died: {how}", {"crashed": True})

    def end(self) -> None:
        """Make sure that nothing of it is left, finished or not."""
        if self._child.is_alive() and self._child.pid:
            try:
                os.killpg(self._child.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # not a group of its own yet
                self._child.kill()
        self._child.join()
        self._child.close()
        self._heard.close()


def _attempt(convert: Convert, row: Row, pipe: Connection, log: Mapping[str, Any]) -> None:
    """The child: run one conversion and report how it ended."""
    os.setsid()
    memory.bound()
    logs.configure(**log)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    with logs.about(**_facts(row)):
        try:
            outcome = convert(row, pipe.send)
        except Exception as error:
            outcome = judge(error)
    with contextlib.suppress(OSError):  # the worker is gone, and so is the lease
        pipe.send(outcome)


def _facts(row: Row) -> Mapping[str, Any]:
    """Return what each line of the log about an attempt tells."""
    return {"nvr": row.nvr, "attempt": row.attempts}


def _end_with(pipe: Connection) -> None:
    """End this process and its group when the worker's end of the pipe closes: it is gone."""
    try:
        pipe.poll(None)
    finally:
        os.killpg(0, signal.SIGKILL)


def preload() -> None:
    """Have children forked from a small process that has the costly imports done already.

    Call it before the first attempt, from the main thread.
    """
    # Each child runs the main module's imports again (multiprocessing.spawn): srcgit's is cli.
    preloaded = ["service.pipeline", "service.publishing", "service.cli"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preloaded)
