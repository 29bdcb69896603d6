"""The worker: every fate in the table, leases, crashes, machines that cannot work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from converter.errors import CannotWork, Fate
from converter.git import Git
from service.config import Retry
from service.database import JournalUnusable
from service.journal import Journal, Row
from service.worker import FATES, Outcome, Worker, judge
from tests.service.fakes import Tagging

QUICK = Retry(first=0.05, factor=2.0, cap=0.2, give_up=3600.0)


@dataclass
class Bench:
    """A journal, a repository and a way to make workers."""

    journal: Journal
    url: str
    tagging: Tagging

    def add(self, release: str, key: str | None = None, **others: Any) -> Row:
        nvr = f"kernel-1-{release}"
        assert self.journal.add(Row(nvr, "kernel", key or nvr, **others))
        return self.row(nvr)

    def row(self, nvr: str) -> Row:
        found = self.journal.find(nvr)
        assert found
        return found

    def worker(self, name: str = "w", **others: Any) -> Worker:
        settings: dict[str, Any] = {"lease": 30.0, "timeout": 60.0, "retry": QUICK} | others
        return Worker(name, self.journal, self.tagging, rest=QUICK, idle=0.05, **settings)

    def tags(self) -> list[str]:
        listed = Git(self.tagging.repository).run("tag", "--list").stdout
        return listed.decode().split()

    def attempts(self, nvr: str) -> int:
        lines = (self.tagging.repository.parent / "attempts").read_text().splitlines()
        return sum(line.split()[0] == nvr for line in lines)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    Git().run("init", "-q", "--bare", str(tmp_path / "out.git"))
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    journal = Journal(url)
    yield Bench(journal, url, Tagging(tmp_path / "out.git", tmp_path / "flag"))
    journal.close()


def test_every_fate_has_its_place_in_the_one_table() -> None:
    assert set(FATES) == set(Fate)


@pytest.mark.parametrize(
    ("release", "state", "announced", "reason"),
    [
        ("1.fc41", "done", False, ""),
        ("fail.fc41", "failed", False, "hunk 3 does not fit"),
        ("usage.fc41", "failed", False, "no such thing"),
        ("other.fc41", "ignored", True, "imported"),
        ("bug.fc41", "parked", True, "a bug in srcgit: KeyError: 'bug.fc41'"),
    ],
)
def test_an_attempt_ends_as_the_table_says(
    bench: Bench, release: str, state: str, announced: bool, reason: str
) -> None:
    bench.add(release)
    assert bench.worker().step(threading.Event())
    row = bench.row(f"kernel-1-{release}")
    assert (row.state, row.announced, row.outcome) == (state, announced, reason)
    assert not bench.worker().step(threading.Event())
    assert bench.tags() == ([row.nvr] if state == "done" else [])


def test_evidence_says_what_where_and_what_next(bench: Bench) -> None:
    bench.add("fail.fc41")
    bench.add("bug.fc41")
    bench.worker().run(threading.Event(), drain=True)
    assert bench.row("kernel-1-fail.fc41").evidence["error"] == {
        "class": "PatchDoesNotApply",
        "what": "hunk 3 does not fit",
        "where": "mm/slab.c",
        "next": "-",
    }
    assert "raise KeyError(release)" in bench.row("kernel-1-bug.fc41").evidence["traceback"]


def test_try_again_waits_longer_each_time_and_works_when_the_world_does(bench: Bench) -> None:
    bench.tagging.flag.touch()
    bench.add("later.fc41")
    worker = bench.worker(retry=Retry(first=0.2, factor=2.0, cap=60.0, give_up=3600.0))
    waits = []
    for _ in range(3):
        before = time.time()
        while not worker.step(threading.Event()):
            time.sleep(0.01)
        row = bench.row("kernel-1-later.fc41")
        assert (row.state, row.outcome) == ("waiting", "no answer")
        waits.append(row.due - time.time())
        assert time.time() - before < 30
    assert waits[0] < 0.2 < waits[1] < 0.4 < waits[2] < 0.8
    bench.tagging.flag.unlink()
    time.sleep(max(waits[2], 0))
    assert worker.step(threading.Event())
    assert bench.row("kernel-1-later.fc41").state == "done"


class Clock:
    """The machine's clock, set as one likes."""

    def __init__(self) -> None:
        self._real, self.ahead = time.time, 0.0

    def __call__(self) -> float:
        return self._real() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


DAYS = 86400.0
SLOW = Retry(first=DAYS / 2, factor=2.0, cap=2 * DAYS, give_up=14 * DAYS)


def test_what_stays_impossible_for_too_long_has_failed(bench: Bench, clock: Clock) -> None:
    bench.tagging.flag.touch()
    row = bench.add("later.fc41")
    worker = bench.worker(retry=SLOW)
    while row.state == "waiting":
        clock.ahead += row.due - clock() + 1
        assert worker.step(threading.Event())
        row = bench.row(row.nvr)
    assert (row.state, row.announced) == ("failed", False)
    assert row.outcome == "given up after 15.5 days: no answer"
    assert row.evidence["error"]["class"] == "RemoteUnavailable"


def test_a_clock_that_jumps_ahead_and_back_makes_nothing_be_given_up(
    bench: Bench, clock: Clock
) -> None:
    bench.tagging.flag.touch()
    bench.add("later.fc41")
    worker = bench.worker(retry=SLOW)
    for days in (0, 15, 400, 0):
        clock.ahead = days * DAYS
        assert worker.step(threading.Event())
        row = bench.row("kernel-1-later.fc41")
        assert (row.state, row.outcome) == ("waiting", "no answer")
    bench.tagging.flag.unlink()
    clock.ahead = 3 * DAYS
    assert worker.step(threading.Event())
    assert bench.row("kernel-1-later.fc41").state == "done"


@pytest.mark.parametrize("release", ["stop.fc41", "full.fc41"])
def test_a_machine_that_cannot_work_claims_nothing_more_says_why_and_resumes(
    bench: Bench, release: str
) -> None:
    bench.tagging.flag.touch()
    bench.add(release)
    stop = threading.Event()
    thread = threading.Thread(target=bench.worker().run, args=(stop,))
    thread.start()
    deadline = time.time() + 20
    while not any(sign.halted for sign in bench.journal.signs()) and time.time() < deadline:
        time.sleep(0.02)
    [sign] = bench.journal.signs()
    row = bench.row(f"kernel-1-{release}")
    assert sign.halted and ("install it" in sign.doing or "No space" in sign.doing)
    assert (row.state, row.owner, row.settled) == ("waiting", None, None)
    bench.tagging.flag.unlink()
    while bench.row(row.nvr).state != "done" and time.time() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert bench.row(row.nvr).state == "done"
    assert bench.row(row.nvr).attempts == 1  # the machine's fault is not the build's


def test_a_child_that_dies_is_tried_again_and_then_set_aside(bench: Bench) -> None:
    bench.add("kill.fc41")
    bench.add("2.fc41")
    worker = bench.worker()
    deadline = time.time() + 120
    while bench.row("kernel-1-kill.fc41").state != "parked" and time.time() < deadline:
        worker.step(threading.Event())
    row = bench.row("kernel-1-kill.fc41")
    assert row.outcome == "the conversion's process died: signal 9, 3 times"
    assert bench.attempts(row.nvr) == 3
    assert bench.row("kernel-1-2.fc41").state == "done"


def test_a_conversion_that_hangs_is_ended_in_time(bench: Bench) -> None:
    bench.add("hang.fc41")
    start = time.monotonic()
    assert bench.worker(timeout=0.5).step(threading.Event())
    assert time.monotonic() - start < 60
    assert bench.row("kernel-1-hang.fc41").outcome == "took more than 0.5 seconds"
    assert bench.row("kernel-1-hang.fc41").state == "waiting"


def test_a_conversion_longer_than_the_lease_keeps_it(bench: Bench) -> None:
    bench.add("slow.fc41")
    stop = threading.Event()
    workers = [bench.worker(f"w{n}", lease=2) for n in range(2)]
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    deadline = time.time() + 120
    while bench.row("kernel-1-slow.fc41").state != "done" and time.time() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert bench.attempts("kernel-1-slow.fc41") == 1
    assert bench.row("kernel-1-slow.fc41").attempts == 1


def test_a_build_that_always_stops_the_machine_does_not_stand_in_the_others_way(
    bench: Bench,
) -> None:
    bench.tagging.flag.touch()
    bench.add("stop.fc41")
    bench.add("1.fc42")
    worker = bench.worker()
    with pytest.raises(CannotWork):
        worker.step(threading.Event())
    assert worker.step(threading.Event())
    assert bench.tags() == ["kernel-1-1.fc42"]


def test_a_worker_told_to_stop_gives_its_build_back_at_once(bench: Bench) -> None:
    bench.add("hang.fc41")
    stop = threading.Event()
    thread = threading.Thread(target=bench.worker().run, args=(stop,))
    thread.start()
    deadline = time.time() + 20
    while bench.row("kernel-1-hang.fc41").state != "running" and time.time() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(10)
    row = bench.row("kernel-1-hang.fc41")
    assert (row.state, row.owner, row.attempts) == ("waiting", None, 0)


def test_an_unknown_exception_is_a_bug_whatever_its_class() -> None:
    assert judge(RuntimeError("x")).fate is Fate.PARKED
    assert judge(ImportError("x")).fate is Fate.STOP
    assert judge(OSError(2, "x")).fate is Fate.PARKED
    assert judge(TimeoutError("git took long")) == Outcome(
        Fate.LATER, "git took long", judge(TimeoutError("git took long")).evidence
    )


def test_trouble_outside_of_a_conversion_does_not_end_the_worker_in_silence(bench: Bench) -> None:
    bench.add("1.fc41")
    worker = bench.worker(lease=0.5)
    worker._convert = lambda row, progress: Outcome(Fate.DONE, "")  # cannot be sent to a child
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    deadline = time.time() + 20
    while not any(sign.halted for sign in bench.journal.signs()) and time.time() < deadline:
        time.sleep(0.02)
    [sign] = bench.journal.signs()
    assert sign.halted and "a bug in srcgit" in sign.doing
    worker._convert = bench.tagging
    while bench.row("kernel-1-1.fc41").state != "done" and time.time() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert bench.row("kernel-1-1.fc41").state == "done"


class Forgetful(Journal):
    """A journal that cannot be written for as long as ``away`` exists, once a build is done."""

    away: Path

    def settle(self, *args: Any, **options: Any) -> bool:
        if self.away.exists():
            self.away.unlink()
            raise JournalUnusable("the server has gone", where="there", next_step="wait")
        return super().settle(*args, **options)


def test_a_build_that_was_published_and_not_written_down_is_done_once_and_told_once(
    bench: Bench,
) -> None:
    """The lease runs out, whoever is next finds the tag, and only then is there word of it."""
    row = bench.add("1.fc41")
    journal = Forgetful(bench.url)
    journal.away = bench.tagging.flag
    journal.away.touch()
    forgetful = Worker("f", journal, bench.tagging, lease=0.5, timeout=60, retry=QUICK)
    with pytest.raises(JournalUnusable):
        forgetful.step(threading.Event())
    assert (bench.row(row.nvr).state, bench.tags()) == ("running", [row.nvr])
    assert bench.journal.to_announce("bus", 60) is None
    time.sleep(0.6)
    assert bench.worker().step(threading.Event())
    done = bench.row(row.nvr)
    assert (done.state, done.attempts, bench.attempts(row.nvr)) == ("done", 2, 2)
    assert bench.tags() == [row.nvr]
    told = bench.journal.to_announce("bus", 60)
    assert told and told.nvr == row.nvr
    bench.journal.announced(told)
    assert bench.journal.to_announce("bus", 60) is None
    journal.close()
