"""Status: what a monitor sees in good days and in bad ones."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from converter.odb import Repository
from converter.remote import Record
from service.config import Config, load
from service.journal import Journal, Row
from service.koji import Koji
from service.metrics import Finished
from service.status import Status, status
from tests.builders import Source
from tests.hub import SHA, Hub
from tests.pages import served
from tests.service.test_backfill import tag


@pytest.fixture
def config(tmp_path: Path, hub: Hub) -> Config:
    place = tmp_path / "one.git"
    Source(place)
    kernel = replace(load(None).packages["kernel"], push=(str(place),))
    return replace(load(None), packages={"kernel": kernel}, koji=hub.url)


def place(config: Config) -> str:
    return config.packages["kernel"].push[0]


def look(config: Config, journal: Journal) -> Status:
    return status(config, journal, Koji(config.koji, attempts=1, timeout=2))


def finished(hub: Hub, nvr: str, hours_ago: float) -> None:
    hub.add(nvr, completion_ts=time.time() - hours_ago * 3600)


def test_all_is_well_when_the_newest_is_published_and_the_daemon_lives(
    config: Config, journal: Journal, hub: Hub
) -> None:
    finished(hub, "kernel-6.1-1.fc41", 50)
    finished(hub, "kernel-6.2-1.fc41", 40)
    finished(hub, "kernel-6.3-1.eln1", 1)
    for nvr in ("kernel-6.1-1.fc41", "kernel-6.2-1.fc41"):
        tag(place(config), nvr)
    journal.sign("host:1 intake", "consuming")
    seen = look(config, journal)
    assert (seen.exit_code, seen.wrong) == (0, [])
    [kernel] = seen.packages
    assert kernel.newest_finished == kernel.newest_published == "kernel-6.2-1.fc41"
    assert (kernel.lag, kernel.missing) == (0.0, [])
    assert json.loads(json.dumps(seen.as_json()))["well"] is True


def test_silence_is_not_health(config: Config, journal: Journal, hub: Hub) -> None:
    finished(hub, "kernel-6.2-1.fc41", 40)
    tag(place(config), "kernel-6.2-1.fc41")
    journal.sign("host:9 backfill", "done")  # from a timer, while the daemon is dead
    seen = look(config, journal)
    assert seen.exit_code == 1
    assert seen.wrong == ["no daemon has given a sign of life in the last minutes"]


def test_only_what_a_restart_may_mend_is_deafness(
    config: Config, journal: Journal, hub: Hub
) -> None:
    journal.sign("host:1 intake", "consuming")
    finished(hub, "kernel-6.1-1.fc41", 50)
    journal.add(Row("kernel-6.1-1.fc41", "kernel", "kernel.fc41"))
    finished(hub, "kernel-6.2-1.fc41", 0.1)  # its message may still come
    seen = look(config, journal)
    assert seen.wrong != [] and seen.deaf == []
    finished(hub, "kernel-6.3-1.fc41", 0.3)
    assert look(config, journal).deaf == ["kernel: no message told of kernel-6.3-1.fc41"]
    journal.add(Row("kernel-6.3-1.fc41", "kernel", "kernel.fc41"))
    journal.sign("host:1 intake", "not consuming", halted=True)
    assert look(config, journal).deaf == ["host:1 intake: not consuming"]


def test_what_is_never_converted_is_not_missed(config: Config, journal: Journal, hub: Hub) -> None:
    journal.sign("host:1 intake", "consuming")
    long_ago = time.time() - 50 * 3600
    for nvr, source in (
        ("kernel-6.1-1.fc41", "cli-build/1.fUqa/kernel-6.1-1.fc41.src.rpm"),
        ("kernel-6.2-1.fc41", "git+https://src.fedoraproject.org/forks/eve/rpms/kernel#" + SHA),
        ("kernel-6.3-1.fc41", None),  # imported, as was found when Koji was asked
    ):
        hub.add(nvr, source=source, completion_ts=long_ago)
    journal.add(Row("kernel-6.3-1.fc41", "kernel", "kernel.fc41"))
    held = journal.claim("w", 60)
    assert held and journal.settle(held, "ignored", "imported", {})
    assert look(config, journal).wrong == []
    hub.builds[-1]["source"] = "git+https://src.fedoraproject.org/rpms/kernel#" + SHA
    assert look(config, journal).packages[0].missing == ["kernel-6.3-1.fc41"]


def test_a_first_clone_excuses_deafness_while_it_lives_and_nobody_else_hears(
    config: Config, journal: Journal, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(hub, "kernel-6.1-1.fc41", 0.3)
    journal.sign("host:1 intake", "preparing: looking at linux.git")
    seen = look(config, journal)
    assert (seen.wrong, seen.deaf) == (["host:1 intake: preparing: looking at linux.git"], [])
    now = time.time()
    with monkeypatch.context() as later:
        later.setattr("service.status.time.time", lambda: now + 100)  # it was killed
        unheard, silent = look(config, journal).deaf
    assert unheard == "kernel: no message told of kernel-6.1-1.fc41"
    assert silent == "no daemon has given a sign of life in the last minutes"
    journal.sign("host:2 intake", "consuming")
    assert look(config, journal).deaf == [unheard]


def test_a_promoted_draft_counts_from_its_promotion_and_has_no_message(
    config: Config, journal: Journal, hub: Hub
) -> None:
    journal.sign("host:1 intake", "consuming")
    now = time.time()
    hub.add("kernel-6.1-1.fc41", completion_ts=now - 50 * 3600, promotion_ts=now - 3600)
    seen = look(config, journal)
    assert seen.wrong == []
    [kernel] = seen.packages
    assert kernel.missing == ["kernel-6.1-1.fc41"] and kernel.unheard == []
    assert kernel.lag is not None and 3500 < kernel.lag < 3700


def test_an_old_unpublished_build_is_a_lag_even_behind_a_newer_published_one(
    config: Config, journal: Journal, hub: Hub
) -> None:
    finished(hub, "kernel-6.1-1.fc40", 30)
    finished(hub, "kernel-6.2-1.fc41", 2)
    tag(place(config), "kernel-6.2-1.fc41")
    journal.sign("host:1 intake", "consuming")
    seen = look(config, journal)
    [kernel] = seen.packages
    assert kernel.lag is not None and 29 * 3600 < kernel.lag < 31 * 3600
    assert kernel.missing == ["kernel-6.1-1.fc40"]
    assert seen.wrong == [
        "kernel: kernel-6.1-1.fc40 was finished 30.0 hours ago, not published",
        "kernel: no message told of kernel-6.1-1.fc40",
    ]


def test_a_failure_is_an_answer_with_its_reason_a_bug_is_not(
    config: Config, journal: Journal, hub: Hub
) -> None:
    for nvr, state in (("kernel-6.1-1.fc40", "failed"), ("kernel-6.2-1.fc41", "parked")):
        finished(hub, nvr, 30)
        journal.add(Row(nvr, "kernel", nvr))
        held = journal.claim("w", 60)
        assert held
        error = {"where": "mm/slab.c", "next": "look"}
        journal.settle(held, state, "hunk 3", {"error": error})  # type: ignore[arg-type]
    journal.sign("host:1 intake", "consuming")
    seen = look(config, journal)
    assert seen.wrong == ["kernel-6.2-1.fc41 is set aside: hunk 3"]
    assert seen.queue == {"failed": 1, "parked": 1}
    failure = next(f for f in seen.failures if f["state"] == "failed")
    assert (failure["reason"], failure["where"]) == ("hunk 3", "mm/slab.c")


def test_what_is_never_announced_is_not_well(config: Config, journal: Journal) -> None:
    journal.sign("host:1 intake", "consuming")
    journal.add(Row("kernel-6.1-1.fc40", "kernel", "k"))
    held = journal.claim("w", 60)
    assert held and journal.settle(held, "done", "", {}, announce=True, now=time.time() - 3 * 3600)
    assert look(config, journal).wrong == [
        "what was settled 3.0 hours ago is not announced: see the log"
    ]
    assert look(replace(config, announce=False), journal).wrong == []


def test_koji_or_the_remote_not_answering_is_no_good_news(
    config: Config, journal: Journal, hub: Hub
) -> None:
    journal.sign("host:1 intake", "consuming")
    hub.broken = ["503"] * 9
    assert "Koji did not answer" in look(config, journal).wrong[0]
    hub.broken = ()
    kernel = replace(config.packages["kernel"], push=("/nowhere.git",))
    seen = look(replace(config, packages={"kernel": kernel}), journal)
    assert "cannot list what is published" in seen.wrong[0]


def test_a_halted_worker_and_a_waiting_queue_show(
    config: Config, journal: Journal, hub: Hub
) -> None:
    journal.add(Row("kernel-6.1-1.fc41", "kernel", "k"), time.time() - 500)
    journal.sign("host:1 intake", "consuming")
    journal.sign("host:1 worker 1", "no bubblewrap; install it", halted=True)
    journal.sign("messages", "last one")
    seen = look(config, journal)
    assert seen.wrong == ["host:1 worker 1: no bubblewrap; install it"]
    assert seen.oldest_waiting is not None and 499 < seen.oldest_waiting < 520
    assert seen.last_message is not None and seen.last_message < 20


def test_pages_tell_what_koji_finished_and_do_not_wait_for_it(
    config: Config, journal: Journal, hub: Hub
) -> None:
    finished(hub, "kernel-6.3-1.fc41", 1)
    finished(hub, "kernel-6.2-1.fc41", 2)
    watch = Finished(config, journal, Koji(config.koji, attempts=1, timeout=2))
    gauge, _ = watch.collect()
    assert (gauge.samples, watch.newest(), hub.calls) == ([], {}, [])
    watch.ask()
    gauge, _ = watch.collect()
    assert gauge.name == "srcgit_koji_finished_unconverted"
    assert [(s.labels, s.value) for s in gauge.samples] == [({"package": "kernel"}, 2)]
    assert watch.newest() == {("kernel", ".fc41"): "kernel-6.3-1.fc41"}


def test_what_somebody_changed_at_a_place_of_publication_is_told_everywhere(
    config: Config, journal: Journal, hub: Hub, tmp_path: Path
) -> None:
    finished(hub, "kernel-6.1-1.fc41", 40)
    tag(place(config), "kernel-6.1-1.fc41")
    journal.sign("host:1 intake", "consuming")
    package = replace(config.packages["kernel"], repo=tmp_path / "kernel.git")
    config = replace(config, packages={"kernel": package})
    repo = Repository.create(package.repo)
    assert look(config, journal).wrong == []
    ref = "refs/tags/kernel-6.1-1.fc41"
    there = Source(Path(place(config)))
    repo.git.run("fetch", "--quiet", place(config), f"{ref}:{ref}")
    Record(repo, place(config)).note(repo.refs(ref))
    assert look(config, journal).wrong == []
    there.git.run("update-ref", ref, there.commit({"a": "backdoor"}, "x\n"))
    [told] = look(config, journal).wrong
    assert told.startswith("kernel: the tag kernel-6.1-1.fc41 was moved, from ")
    watch = Finished(config, journal, Koji(config.koji, attempts=1, timeout=2))
    watch.ask()
    [sample] = [s for m in watch.collect() for s in m.samples if s.name == "srcgit_remote_changes"]
    assert (sample.labels, sample.value) == ({"package": "kernel"}, 1)
    assert watch.changed() == [told]
    with served(config, journal, Koji(config.koji)) as url:
        until = time.monotonic() + 30
        while told not in (page := httpx.get(url).text) and time.monotonic() < until:
            time.sleep(0.2)  # it asks Koji beside
    assert told in page
    row = Row("kernel-6.2-1.fc41", "kernel", "k")
    journal.add(row)
    claimed = journal.claim("w", 60)
    assert claimed
    journal.settle(claimed, "waiting", "moved", {"error": {"class": "RemoteChanged"}})
    assert "kernel-6.2-1.fc41 is not published: moved" in look(config, journal).wrong
