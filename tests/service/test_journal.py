"""The journal, on SQLite and on a real PostgreSQL: added once, claimed by one, never lost."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from converter.errors import Fate, WrongUsage
from service.database import JournalUnusable
from service.journal import FAR, REFUSED_KEPT, Journal, Row, State


def row(number: int, key: str = "kernel.fc41") -> Row:
    return Row(f"kernel-6.12.{number}-200.fc41", "kernel", key, koji_id=5_000_000_000 + number)


def test_a_build_is_added_once(journal: Journal) -> None:
    assert journal.add(row(1), 10.0)
    assert not journal.add(replace(row(1), via="backfill", commit="0" * 40), 20.0)
    found = journal.find(row(1).nvr)
    assert found is not None
    assert (found.added, found.due, found.via, found.state) == (10.0, 10.0, "message", "waiting")
    assert journal.counts() == {"waiting": 1}


def test_the_one_due_longest_is_claimed_first_and_nothing_before_it_is_due(
    journal: Journal,
) -> None:
    journal.add(row(2, "a"), 20.0)
    journal.add(row(1, "b"), 10.0)
    assert journal.claim("w", 60, now=5.0) is None
    first = journal.claim("w", 60, now=30.0)
    second = journal.claim("w", 60, now=30.0)
    assert first and second
    assert (first.nvr, second.nvr) == (row(1).nvr, row(2).nvr)
    assert (first.attempts, first.owner, first.lease, first.state) == (1, "w", 90.0, "running")


def test_builds_of_one_branch_are_claimed_one_at_a_time(journal: Journal) -> None:
    journal.add(row(1), 1.0)
    journal.add(row(2), 2.0)
    held = journal.claim("one", 60, now=10.0)
    assert held and journal.claim("two", 60, now=10.0) is None
    assert journal.settle(held, "done", "", {}, now=11.0)
    other = journal.claim("two", 60, now=11.0)
    assert other and other.nvr == row(2).nvr


def test_an_expired_lease_is_due_at_once_and_its_old_owner_can_change_nothing(
    journal: Journal,
) -> None:
    journal.add(row(1), 1.0)
    old = journal.claim("one", 60, now=10.0)
    assert old and journal.extend(old, 60, now=50.0)
    assert journal.claim("two", 60, now=109.0) is None
    new = journal.claim("two", 60, now=111.0)
    assert new and new.attempts == 2
    assert not journal.extend(old, 60, now=112.0)
    assert not journal.settle(old, "failed", "too late", {}, now=112.0)
    assert not journal.release(old)
    assert journal.settle(new, "done", "", {"commit": "c" * 40}, now=113.0)
    found = journal.find(new.nvr)
    assert found and (found.state, found.commit, found.settled) == ("done", "c" * 40, 113.0)


def test_the_same_owner_cannot_settle_an_older_claim_of_its_own(journal: Journal) -> None:
    journal.add(row(1), 1.0)
    old = journal.claim("one", 60, now=10.0)
    new = journal.claim("one", 60, now=100.0)
    assert old and new
    assert not journal.settle(old, "done", "", {})
    assert journal.settle(new, "done", "", {})


def test_a_build_that_waits_is_due_when_told_and_one_given_back_is_due_at_once(
    journal: Journal,
) -> None:
    journal.add(row(1), 1.0)
    held = journal.claim("one", 60, now=10.0)
    assert held and journal.settle(held, "waiting", "no network", {"x": 1}, due=500.0)
    assert journal.claim("one", 60, now=499.0) is None
    held = journal.claim("one", 60, now=501.0)
    assert held and (held.attempts, held.outcome, held.evidence) == (2, "no network", {"x": 1})
    assert journal.release(held)
    held = journal.claim("one", 60, now=501.0)
    assert held and held.attempts == 2


def test_a_settled_build_can_be_ordered_again_a_running_one_cannot(journal: Journal) -> None:
    journal.add(row(1), 1.0)
    held = journal.claim("one", 60, now=10.0)
    assert held and not journal.again(row(1))
    journal.settle(held, "failed", "does not apply", {"hunk": 3, "koji_id": 7})
    assert not journal.again(row(1), only="ignored") and not journal.again(row(2))
    asked = replace(row(1), koji_id=None, commit="a" * 40)  # a person knows it: no need of Koji
    assert journal.again(asked, 20.0)
    held = journal.claim("one", 60, now=21.0)
    assert held and (held.attempts, held.added) == (1, 20.0)
    assert (held.outcome, held.evidence) == ("", {})
    assert (held.commit, held.koji_id) == ("a" * 40, None)


@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_is_to_be_announced_stays_until_it_was(journal: Journal, state: State) -> None:
    journal.add(row(1), 1.0)
    held = journal.claim("one", 60, now=10.0)
    assert held and journal.settle(held, state, "", {}, announce=True)
    waiting = journal.to_announce("one", 60, now=20.0)
    assert waiting and journal.to_announce("two", 60, now=21.0) is None  # somebody is at it
    waiting = journal.to_announce("two", 60, now=81.0)  # and did not come back
    assert waiting
    journal.announced(waiting)
    assert journal.to_announce("two", 60, now=999.0) is None


def test_a_build_that_is_due_again_while_it_is_announced_is_not_taken_from_its_worker(
    journal: Journal,
) -> None:
    journal.add(row(1), 1.0)
    held = journal.claim("one", 60, now=10.0)
    assert held and journal.settle(held, "done", "", {}, announce=True)
    sending = journal.to_announce("bus", 60, now=20.0)
    assert sending and journal.again(row(1), 21.0)
    held = journal.claim("two", 60, now=22.0)
    assert held
    journal.announced(sending)
    assert journal.extend(held, 60, now=23.0)
    assert journal.settle(held, "done", "", {}, announce=True)
    assert journal.to_announce("bus", 60, now=100.0)


def test_what_a_clock_that_ran_years_ahead_has_written_is_due(journal: Journal) -> None:
    later = 10.0 + 20 * FAR
    for number in (1, 2, 3):
        journal.add(row(number, f"k{number}"), later)
    held = journal.claim("died", 60, now=later)
    told = journal.claim("one", 60, now=later)
    tried = journal.claim("one", 60, now=later)
    assert held and told and tried
    journal.settle(told, "done", "", {}, announce=True, now=later)
    assert journal.to_announce("died", 60, now=later)
    journal.settle(tried, "waiting", "no network", {}, due=later + 60)
    assert journal.to_announce("one", 60, now=20.0)
    again = [journal.claim("one", 60, now=20.0) for _ in range(3)]
    assert {each.nvr for each in again if each} == {held.nvr, tried.nvr}


def test_refused_messages_are_kept_short_and_storable(journal: Journal) -> None:
    journal.refuse("org.x", "bad\0schema \udc80", b"\0\xff" + b"a" * 10_000_000, 3.0)
    [kept] = journal.refused()
    assert (kept.size, kept.at, len(kept.excerpt)) == (10_000_002, 3.0, 2000)
    assert "\0" not in kept.why + kept.excerpt
    assert REFUSED_KEPT * 2000 < 100e6


def test_signs_of_life_are_one_per_name(journal: Journal) -> None:
    journal.sign("w1", "converting kernel-1-1")
    journal.sign("w1", "no sandbox", halted=True)
    [sign] = journal.signs()
    assert (sign.name, sign.doing, sign.halted) == ("w1", "no sandbox", True)


def claim_all(url: str, name: str, start: threading.Barrier, got: list[str]) -> None:
    journal = Journal(url)
    start.wait()
    misses = 0
    while misses < 20:
        held = journal.claim(name, 60)
        if held is None:
            misses += 1
            continue
        running = [row.key for row in journal.rows("running")]
        assert len(running) == len(set(running)), running
        got.append(held.nvr)
        assert journal.settle(held, "done", "", {})
    journal.close()


def test_many_workers_get_each_build_once_and_never_two_of_a_branch(journal_url: str) -> None:
    journal = Journal(journal_url)
    for number in range(40):
        journal.add(row(number, f"kernel.fc{number % 3}"))
    got: list[str] = []
    start = threading.Barrier(4)
    workers = [
        threading.Thread(target=claim_all, args=(journal_url, f"w{n}", start, got))
        for n in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Counter(got) == Counter(row(number).nvr for number in range(40))
    journal.close()


def add_and_die(url: str) -> None:
    Journal(url).add(row(7))
    os._exit(9)


def test_an_added_build_survives_the_death_of_its_process(journal_url: str) -> None:
    child = multiprocessing.get_context("spawn").Process(target=add_and_die, args=(journal_url,))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    journal = Journal(journal_url)
    assert journal.find(row(7).nvr)
    journal.close()


def test_two_processes_may_start_on_an_empty_database_at_once(journal_url: str) -> None:
    made: list[Journal] = []
    threads = [threading.Thread(target=lambda: made.append(Journal(journal_url))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 5
    for journal in made:
        journal.close()


def test_what_was_counted_only_grows(journal: Journal) -> None:
    """Counters, as Prometheus takes them: a build that is due again takes nothing back."""
    for number, state in ((1, "done"), (2, "failed"), (3, "done")):
        journal.add(row(number), float(number))
        held = journal.claim("w", 60, now=10.0)
        seconds = {"plan": 0.1, "series": number * 0.3} if state == "done" else {}
        assert held and journal.settle(held, state, "", {"seconds": seconds}, now=20.0 + number)  # type: ignore[arg-type]
        assert not journal.settle(held, state, "", {"seconds": seconds})  # type: ignore[arg-type]
    assert journal.again(row(2), now=30.0)
    builds = {("kernel", "done"): 2.0, ("kernel", "failed"): 1.0}
    assert journal.tallies("builds") == builds
    told = journal.tallies("seconds")
    assert told.pop(("plan", "sum")) == pytest.approx(0.2)
    assert told.pop(("series", "sum")) == pytest.approx(1.2)
    assert told == {("plan", "0.1"): 2, ("series", "0.5"): 1, ("series", "1.0"): 1}
    assert journal.last_done() == {"kernel": 23.0}
    assert journal.oldest_due() == 30.0


def test_counts_of_many_workers_at_once_add_up(journal: Journal) -> None:
    for number in range(40):
        journal.add(row(number, f"k{number}"))
    told = {"seconds": {f"stage{n}": 0.5 for n in range(6)}}

    def work(name: str) -> None:
        while held := journal.claim(name, 60):
            assert journal.settle(held, "done", "", told)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.tallies("builds") == {("kernel", "done"): 40}
    assert journal.tallies("seconds")["stage5", "sum"] == 20


def test_a_journal_of_before_the_tallies_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Journal(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE tallies")
        connection.execute("UPDATE srcgit_schema SET version = 1")
    connection.close()
    for _ in range(2):
        journal = Journal(f"sqlite:///{path}")
        assert journal.tallies("builds") == {}
        journal.close()


def test_a_journal_of_another_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Journal(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE srcgit_schema SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(JournalUnusable, match="schema 99"):
        Journal(f"sqlite:///{path}")


def test_no_server_means_this_machine_cannot_work() -> None:
    with pytest.raises(JournalUnusable) as caught:
        Journal("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    assert caught.value.fate is Fate.STOP
    assert "secret" not in caught.value.where


@pytest.mark.parametrize("url", ["mysql://x/y", "no url", "sqlite+nothing:///x"])
def test_an_impossible_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(WrongUsage):
        Journal(url)


def test_a_server_that_is_gone_without_a_word_is_not_waited_for_for_hours(
    postgres_url: str,
) -> None:
    for url, seconds in (
        (postgres_url, "60000"),
        (f"{postgres_url}?tcp_user_timeout=4000", "4000"),
    ):
        journal = Journal(url)
        with journal._transaction() as connection:
            known = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        assert (known["tcp_user_timeout"], known["keepalives_idle"]) == (seconds, "30")
        journal.close()


def test_a_connection_that_ends_in_a_transaction_takes_it_along_and_the_next_one_works(
    postgres_url: str,
) -> None:
    journal = Journal(postgres_url)
    journal.add(row(1))
    with (
        psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other,
        pytest.raises(JournalUnusable, match="terminating connection"),
        journal._transaction() as connection,
    ):
        connection.exec_driver_sql("UPDATE builds SET state = 'done'")
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        other.execute("SELECT pg_terminate_backend(%s)", (number,))
        connection.exec_driver_sql("SELECT 1")
    assert journal.counts() == {"waiting": 1}
    journal.close()


def test_a_journal_that_somebody_else_writes_is_waited_for(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    busy = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    adding = threading.Thread(target=journal.add, args=(row(1),))
    adding.start()
    adding.join(0.3)
    assert adding.is_alive() and journal.counts() == {}
    busy.execute("COMMIT")
    adding.join()
    busy.close()
    assert journal.counts() == {"waiting": 1}
    journal.close()


def test_what_is_converted_waits_for_whoever_publishes_on_its_host(journal: Journal) -> None:
    journal.add(Row("a-1-1.fc41", "a", "a.fc41"), now=100)
    journal.add(Row("a-1-2.fc41", "a", "a.fc41"), now=101)
    row = journal.claim("w", 60, now=200)
    assert row and journal.hand_over(row, {"statement": {"tag": "x"}}, "here", 240, now=210)
    assert not journal.hand_over(row, {}, "here", 240, now=210)  # the lease is over
    assert journal.counts() == {"converted": 1, "waiting": 1}
    assert journal.claim_converted("elsewhere", "p", 60, now=211) is None
    assert journal.oldest_due() == 101

    # The next of its branch is converted meanwhile, and published after it.
    second = journal.claim("w", 60, now=212)
    assert second and second.nvr == "a-1-2.fc41"
    first = journal.claim_converted("here", "p", 60, now=213)
    assert first and (first.nvr, first.state, first.attempts) == ("a-1-1.fc41", "publishing", 1)
    assert first.evidence == {"statement": {"tag": "x"}}
    assert journal.hand_over(second, {}, "here", 240, now=214)
    assert journal.claim_converted("here", "p2", 60, now=215) is None
    assert not journal.again(first)
    assert journal.extend(first, 60, now=220)
    assert journal.settle(first, "done", "", {}, announce=True, now=221)
    published = journal.claim_converted("here", "p2", 60, now=222)
    assert published and published.nvr == second.nvr
    assert journal.release(published)
    assert journal.counts() == {"done": 1, "waiting": 1}


def test_what_nobody_publishes_is_converted_again_by_another_host(journal: Journal) -> None:
    journal.add(Row("a-1-1.fc41", "a", "a.fc41"), now=100)
    row = journal.claim("w", 60, now=200)
    assert row and journal.hand_over(row, {}, "here", 240, now=210)
    assert journal.claim("other", 60, now=449) is None
    again = journal.claim("other", 60, now=451)
    assert again and (again.state, again.outcome) == ("running", "lease expired")
    assert journal.claim_converted("here", "p", 60, now=452) is None
    # So is what a publisher held that has died.
    assert journal.hand_over(again, {}, "there", 240, now=460)
    assert journal.claim_converted("there", "p", 60, now=461)
    found = journal.claim("w", 60, now=522)
    assert found and (found.state, found.attempts) == ("running", 3)


def test_a_journal_of_before_publishing_was_apart_is_taken_over(journal_url: str) -> None:
    import sqlalchemy as sa

    old = Journal(journal_url)
    old.add(Row("a-1-1.fc41", "a", "a.fc41"), now=100)
    old.close()
    engine = sa.create_engine(journal_url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX builds_one_published_at_a_time"))
        connection.execute(sa.text("UPDATE srcgit_schema SET version = 2"))
    journal = Journal(journal_url)
    assert journal.find("a-1-1.fc41")
    journal.close()
    names = {str(index["name"]) for index in sa.inspect(engine).get_indexes("builds")}
    assert "builds_one_published_at_a_time" in names
    engine.dispose()


def test_a_journal_that_a_group_shares_is_for_the_group_to_write(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    own.mkdir()
    shared.chmod(0o2770)
    own.chmod(0o755)
    for directory in (shared, own):
        journal = Journal(f"sqlite:///{directory}/journal.sqlite")
        journal.add(Row("a-1-1.fc41", "a", "a.fc41"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
        assert set(modes.values()) == {0o660 if directory == shared else 0o644}, modes
        journal.close()
