"""Restore from nothing: the published repository and Koji are all the state there is.

Real parts: the local hub, git repositories that log what is pushed, a RabbitMQ that hears the
announcements of the real daemon; what is lost is deleted for good.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from converter.odb import Repository
from service.backfill import published
from service.journal import Journal
from tests.builders import Sample, Source, sample
from tests.hub import Hub
from tests.service.test_cli import answer, git
from tests.service.test_pipeline import NEXT, TODAY, Site

AM = "kernel-4.15.0-1.fc28"
LAST = "kernel-6.12.8-202.fc41"
SINCE = ("--since", "2000-01-01")

# git-receive-pack(1), "post-receive Hook": one line for each ref that moved.
LOG = '#!/bin/sh\nwhile read old new ref; do echo "$ref $new" >> "$GIT_DIR/moved"; done\n'


@pytest.fixture
def made(tmp_path: Path) -> Sample:
    return sample(tmp_path)


@pytest.fixture
def hub(made: Sample) -> Iterator[Hub]:
    with Hub() as hub:
        for number, (nvr, commit, target) in enumerate(
            [(AM, made.git_am, "f28"), (TODAY, made.today, "f41")]
        ):
            hub.add(nvr, commit=commit, target=target, completion_ts=1.0e9 + number)
        yield hub


@pytest.fixture
def site(tmp_path: Path, made: Sample, hub: Hub) -> Site:
    site = Site(tmp_path, made, hub)
    for place in site.places:
        hook = place / "hooks/post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(LOG)
        hook.chmod(0o755)
    return site


def moved(place: Path) -> Counter[str]:
    """Return how often each ref of a place of publication was moved."""
    return Counter(line.split()[0] for line in (place / "moved").read_text().splitlines())


def lose(site: Site) -> None:
    """Delete journal, mirrors, working repository: everything that is not published."""
    shutil.rmtree(site.config.state)


def more(made: Sample, hub: Hub) -> None:
    """Let Koji finish two builds more."""
    spec = made.pkg_git.file("f41", "kernel.spec").decode().replace("Release: 201", "Release: 202")
    last = made.pkg_git.commit({"kernel.spec": spec}, f"{LAST}\n", branch="f41")
    for number, (nvr, commit) in enumerate([(NEXT, made.next), (LAST, last)]):
        hub.add(nvr, commit=commit, target="f41", completion_ts=1.1e9 + number)


def refs(place: Path) -> dict[str, str]:
    return Repository(place).refs("refs/")


def backfill(site: Site) -> dict[str, object]:
    return answer("backfill", "kernel", *SINCE, "--config", site.path)


def test_nothing_is_done_twice_when_all_but_the_published_is_lost(
    site: Site, made: Sample, hub: Hub
) -> None:
    assert backfill(site)["missing"] == [AM, TODAY]
    before, pushed = refs(site.places[0]), moved(site.places[0])
    lose(site)
    done = backfill(site)
    assert (done["missing"], done["results"]) == ([], [])
    assert refs(site.places[0]) == before and moved(site.places[0]) == pushed
    journal = Journal(site.config.journal)
    assert list(journal.rows()) == []  # and so nothing is announced
    journal.close()


def test_what_is_missing_comes_out_as_if_nothing_had_been_lost(
    site: Site, made: Sample, hub: Hub, tmp_path: Path
) -> None:
    backfill(site)
    more(made, hub)
    lose(site)
    assert backfill(site)["missing"] == [NEXT, LAST]
    calm = tmp_path / "calm"
    calm.mkdir()
    undisturbed = Site(calm, made, hub)
    for place in undisturbed.places:
        assert place.exists()
    backfill(undisturbed)
    for place in site.places:
        assert refs(place) == refs(undisturbed.places[0])
        assert {ref: n for ref, n in moved(place).items() if ref.startswith("refs/tags/")} == {
            f"refs/tags/{nvr}": 1 for nvr in (AM, TODAY, NEXT, LAST)
        }
        assert "fatal" not in git(place, "fsck", "--strict", "--no-dangling")


def test_a_lost_place_of_publication_is_filled_again_with_the_same_ids(
    site: Site, made: Sample, hub: Hub
) -> None:
    """One of two places is lost with the state: tags come from Koji's list, byte for byte."""
    backfill(site)
    before = refs(site.places[1])
    lose(site)
    shutil.rmtree(site.places[0])
    Source(site.places[0])
    assert published(site.config.packages["kernel"]) == set()
    assert backfill(site)["missing"] == [AM, TODAY]
    assert refs(site.places[0]) == refs(site.places[1]) == before
    assert set(moved(site.places[1]).values()) == {1}


def test_with_the_published_lost_as_well_koji_and_pkg_git_give_the_same_tree(
    site: Site, made: Sample, hub: Hub
) -> None:
    backfill(site)
    before = refs(site.places[0])
    lose(site)
    for place in site.places:
        shutil.rmtree(place)
        Source(place)
    backfill(site)
    assert refs(site.places[0]) == before
