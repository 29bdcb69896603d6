"""Backfill against the local hub and real repositories: what is missing, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from converter.build import Nvr
from converter.errors import RemoteUnavailable
from converter.git import Git
from converter.mirror import Mirror
from converter.pkggit import PkgGit
from service.backfill import enqueue, from_koji, from_pkg_git, published, queue_again
from service.config import Package, load
from service.journal import Journal, Row
from service.koji import Koji
from tests.builders import Source
from tests.hub import EPOCH, SHA, Hub
from tests.service.test_cli import srcgit

START = datetime.fromtimestamp(EPOCH - 1, UTC)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A kernel that is published at two places, empty as yet."""
    places = (str(tmp_path / "one.git"), str(tmp_path / "two.git"))
    for place in places:
        Source(Path(place))
    return replace(load(None).packages["kernel"], push=places, repo=tmp_path / "repo.git")


def tag(place: str, name: str) -> None:
    git = Git(Path(place))
    tree = git.run("mktree").stdout.decode().strip()
    commit = git.run("commit-tree", "-m", name, tree).stdout.decode().strip()
    git.run("tag", "-a", "-m", name, name, commit)


def test_a_tag_counts_only_where_every_place_has_it(package: Package) -> None:
    tag(package.push[0], "kernel-6.1-1.fc41")
    tag(package.push[0], "kernel-6.2-1.fc41")
    tag(package.push[1], "kernel-6.1-1.fc41")
    assert published(package) == {"kernel-6.1-1.fc41"}


def test_a_place_that_does_not_answer_is_for_later(package: Package, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnavailable):
        published(replace(package, push=(str(tmp_path / "nowhere.git"),)))


def test_what_koji_has_and_the_tree_lacks_is_put_on_the_list_oldest_first(
    hub: Hub, package: Package, journal: Journal
) -> None:
    for number in range(5):
        hub.add(f"kernel-6.{number}-1.fc41")
    hub.add("kernel-6.9-1.eln145")
    hub.add("kernel-6.9-1.fc41,draft_3", draft=True)
    hub.add("kernel-6.9~rc1-1.fc41")
    hub.add("kernel-6.9-2.fc41", source=f"git+https://example.org/kernel#{SHA}")
    hub.add("kernel-$(id)-2.fc41")
    for place in package.push:
        tag(place, "kernel-6.2-1.fc41")
        tag(place, "kernel-6.9%7Erc1-1.fc41")
    found = list(enqueue(from_koji(package, Koji(hub.url), START), journal))
    added = [each.nvr for each in found if each.row]
    assert added == [f"kernel-6.{number}-1.fc41" for number in (0, 1, 3, 4)]
    why = {each.nvr: each.why for each in found if not each.row}
    assert why["kernel-6.2-1.fc41"] == why["kernel-6.9~rc1-1.fc41"] == "published"
    assert "(.eln145): ignored: not of a Fedora release" in why["kernel-6.9-1.eln145"]
    assert "built from" in why["kernel-6.9-2.fc41"]
    assert "not a name-version-release" in why["kernel-$(id)-2.fc41"]
    claimed = journal.claim("w", 60)
    assert claimed and (claimed.nvr, claimed.commit, claimed.via) == (added[0], SHA, "backfill")


def test_a_limit_counts_what_is_missing(hub: Hub, package: Package) -> None:
    for number in range(5):
        hub.add(f"kernel-6.{number}-1.fc41")
    for place in package.push:
        tag(place, "kernel-6.0-1.fc41")
    found = list(from_koji(package, Koji(hub.url), START, limit=2))
    assert [each.nvr for each in found if each.row] == ["kernel-6.1-1.fc41", "kernel-6.2-1.fc41"]


def test_the_journal_does_not_outweigh_the_published_tree(
    hub: Hub, package: Package, journal: Journal
) -> None:
    for number in (1, 2, 3):
        hub.add(f"kernel-6.{number}-1.fc41")
    hub.add("kernel-6.4-1.fc41", source=None)
    list(enqueue(from_koji(package, Koji(hub.url), START), journal))
    for state in ("done", "failed", "ignored", "ignored"):
        held = journal.claim("w", 60)
        assert held and journal.settle(held, state, "because", {})
    found = list(enqueue(from_koji(package, Koji(hub.url), START), journal))
    assert [each.why for each in found] == [
        *("missing", "failed before: because"),
        *("missing", "ignored before: because"),  # the one whose commit Koji names by now
    ]
    assert [each.row is not None for each in found] == [True, False, True, False]
    assert journal.counts() == {"waiting": 2, "failed": 1, "ignored": 1}


def test_one_build_can_be_ordered_by_hand_whatever_became_of_it(journal: Journal) -> None:
    row = Row("kernel-6.1-1.fc41", "kernel", "kernel.fc41", via="queue")
    assert queue_again(journal, row) == "added"
    held = journal.claim("w", 60)
    assert held and queue_again(journal, row) == "being converted now"
    journal.settle(held, "failed", "x", {})
    assert queue_again(journal, row) == "due again"


def version(source: Source, text: str, branch: str, extra: str = "") -> str:
    files = {"kernel.spec": f"Version: {text}\n", "x.patch": extra or None}
    return source.commit(files, f"kernel-{text}\n", branch=branch)


def test_pkg_gits_history_alone_tells_the_last_commit_of_each_release(
    package: Package, tmp_path: Path
) -> None:
    source = Source(tmp_path / "kernel.git")
    version(source, "6.1-1", "rawhide")
    first = version(source, "6.1-1", "rawhide", "fixed before the build")
    second = version(source, "6.1-2", "rawhide")
    source.branch("f41", second)
    third = version(source, "6.1-3", "f41")
    rawhide = version(source, "6.2-1", "rawhide")
    source.branch("main", rawhide)  # as in Fedora's: one branch by two names
    pkg_git = PkgGit(Mirror(str(source.path), tmp_path))

    asked: list[str] = []

    def name(commit: str, dist: str) -> Nvr | None:
        spec = pkg_git.at(commit).read(b"kernel.spec") or b""
        asked.append(f"kernel-{spec.decode().split()[1]}{dist}")
        return Nvr.parse(asked[-1])

    for place in package.push:
        tag(place, "kernel-6.1-2.fc41")
    found = list(from_pkg_git(package, pkg_git, name, datetime.fromtimestamp(0, UTC)))
    assert [(each.nvr, each.row and each.row.commit) for each in found] == [
        ("kernel-6.1-1.fc41", first),
        ("kernel-6.1-2.fc41", None),
        ("kernel-6.1-3.fc41", third),
        ("kernel-6.2-1.fc42", rawhide),
    ]
    assert sorted(asked) == [each.nvr for each in found]  # what branches share is read once


def test_a_spec_is_read_for_its_name_alone_and_a_guess_is_none(tmp_path: Path) -> None:
    """The release that rpmautospec counts is nobody's word; %prep is not run for the others."""
    source = Source(tmp_path / "demo.git")
    spec = "Name: demo\nVersion: {}\nRelease: {}\nSummary: x\nLicense: x\n%description\n%prep\n{}\n"
    for version, release, prep in (
        ("1", "1%{?dist}", "sleep 100"),
        ("2", "%autorelease", ""),
        ("3", "3%{?dist}\nPatch1: gone.patch", ""),
    ):
        text = spec.format(version, release, prep)
        source.commit({"demo.spec": text}, f"{version}\n", branch="rawhide")
    source.branch("f40", source.git.run("rev-parse", "rawhide~2").stdout.decode().strip())
    config = tmp_path / "c.toml"
    config.write_text(
        f"""
        [consumer_config]
        state = "{tmp_path}/state"
        [consumer_config.packages.demo]
        pkg_git = "{source.path}"
        """
    )
    out, said = srcgit(
        "backfill",
        "demo",
        "--from-pkg-git",
        "--since",
        "2000-01-01",
        "--dry-run",
        "--config",
        config,
    )
    assert out == "demo-1-1.fc40: missing\n1 of 1 builds were missing\n"
    assert "rpmautospec counts the release: demo-2-1.fc41 without --nvr is a guess" in said
    assert "the patch gone.patch is not in the commit" in said
