"""The daemon's pipeline on the model kernel: Koji asked, converted in the sandbox, published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converter.build import Nvr
from converter.errors import Fate, RemoteUnavailable
from converter.odb import Repository
from service.config import Config, load
from service.journal import Journal, Row
from service.kinds import key
from service.messages import announcement
from service.pipeline import SourceElsewhere, pipeline
from service.worker import NotOurs, judge
from tests.builders import Sample, Source
from tests.configuration import kernel, table
from tests.httpgit import HttpGit
from tests.hub import Hub
from tests.service.test_cli import answer, git, srcgit

TODAY, NEXT = "kernel-6.12.8-200.fc41", "kernel-6.12.8-201.fc41"


@pytest.fixture
def hub(made: Sample) -> Iterator[Hub]:
    with Hub() as hub:
        hub.add(TODAY, commit=made.today, target="f41-candidate", completion_ts=1.0e9)
        hub.add(NEXT, commit=made.next, target="f41-candidate", completion_ts=1.1e9)
        yield hub


class Site:
    """A configuration of one host with two places of publication."""

    def __init__(self, directory: Path, made: Sample, hub: Hub, name: str = "one") -> None:
        self.places = [directory / "public.git", directory / "backup.git"]
        for place in self.places:
            if not place.exists():
                Source(place)
        self.path = directory / f"{name}.toml"
        self.path.write_text(
            table(koji=hub.url, state=directory / name)
            + kernel(pkg_git=made.pkg_git.path, upstreams=[made.linux.path], push=self.places)
        )
        self.config: Config = load(self.path)

    def convert(self, nvr: str, **facts: Any) -> tuple[Fate, dict[str, Any]]:
        row = Row(nvr, "kernel", key(Nvr.parse(nvr)), **facts)
        try:
            outcome = pipeline(self.config)(row, lambda stage: None)
        except Exception as error:
            outcome = judge(error)
        return outcome.fate, dict(outcome.evidence)


@pytest.fixture
def site(tmp_path: Path, made: Sample, hub: Hub) -> Site:
    return Site(tmp_path, made, hub)


def test_a_row_with_an_nvr_alone_becomes_published_commits(site: Site, made: Sample) -> None:
    fate, facts = site.convert(TODAY)
    assert fate is Fate.DONE, facts
    assert (facts["commit"], facts["target"], facts["owner"]) == (
        made.today,
        "f41-candidate",
        "jforbes",
    )
    assert (facts["branch"], facts["tag"], facts["base"]) == ("f41", TODAY, "v6.12.8")
    for place in site.places:
        refs = Repository(place).refs("refs/")
        assert set(refs) == {"refs/heads/f41", "refs/heads/builds/f41", f"refs/tags/{TODAY}"}
        assert refs["refs/heads/f41"] == facts["top"]
    told = git(site.places[0], "cat-file", "tag", TODAY)
    assert f"Pkg-Git: https://src.fedoraproject.org/rpms/kernel.git#{made.today}" in told


def test_the_changes_since_the_build_before_are_told_in_any_order_and_on_any_host(
    tmp_path: Path, made: Sample, hub: Hub
) -> None:
    one, two = Site(tmp_path, made, hub, "one"), Site(tmp_path, made, hub, "two")
    _, first = one.convert(TODAY)
    assert first["changes"]["previous"] is None
    _, second = two.convert(NEXT)
    assert second["changes"] == {"previous": TODAY, "added": [], "dropped": [], "changed": []}
    before = Repository(one.places[0]).refs("refs/")
    fate, again = two.convert(TODAY)
    assert (fate, again["top"]) == (Fate.DONE, first["top"])
    assert Repository(one.places[0]).refs("refs/") == before


def test_a_failure_still_tells_whose_build_it_was_and_where_to_look(
    site: Site, hub: Hub, made: Sample
) -> None:
    nvr = "kernel-6.12.8-299.fc41"
    build = hub.add(nvr, commit=made.today)
    fate, facts = site.convert(nvr, state="failed", outcome="x")
    assert fate is Fate.FAILED
    message = announcement(Row(nvr, "kernel", "k", state="failed", outcome="x", evidence=facts))
    message.validate()
    assert (message.usernames, message.agent_name) == (["jforbes"], "jforbes")
    page = hub.url.replace("/kojihub", f"/koji/buildinfo?buildID={build['id']}")
    assert message.url == page
    site.config = replace(site.config, web="https://tree.example.org")
    _, facts = site.convert(nvr)
    assert facts["url"] == f"https://tree.example.org/build/{nvr}"


def test_a_place_that_is_down_does_not_keep_the_build_from_the_other(site: Site) -> None:
    away = site.places[0].rename(site.places[0].with_suffix(".away"))
    fate, facts = site.convert(TODAY)
    assert (fate, facts["error"]["class"]) == (Fate.LATER, RemoteUnavailable.__name__)
    away.rename(site.places[0])
    assert site.convert(TODAY)[0] is Fate.DONE
    assert Repository(site.places[0]).refs("refs/") == Repository(site.places[1]).refs("refs/")


@pytest.mark.parametrize(
    ("changed", "fate", "error"),
    [
        ({"source": None}, Fate.NOT_OURS, NotOurs),
        ({"draft": True}, Fate.NOT_OURS, NotOurs),
        ({"state": 4}, Fate.NOT_OURS, NotOurs),
        ({"source": "git+https://example.org/kernel#" + "a" * 40}, Fate.FAILED, SourceElsewhere),
    ],
)
def test_what_koji_says_can_end_it(
    site: Site, hub: Hub, changed: dict[str, Any], fate: Fate, error: type[Exception]
) -> None:
    hub.builds[0] |= changed
    hub.requests[hub.builds[0]["task_id"]] = []
    seen, facts = site.convert(TODAY)
    assert (seen, facts["error"]["class"]) == (fate, error.__name__)


def test_a_task_that_koji_no_longer_has_takes_only_the_target_with_it(site: Site, hub: Hub) -> None:
    hub.requests.clear()
    known = {"koji_id": hub.builds[0]["id"], "target": "f41-candidate"}
    fate, facts = site.convert(TODAY, **known, via="queue")
    assert (fate, facts["branch"], facts["target"]) == (Fate.DONE, "f41", "f41-candidate"), facts
    _, facts = site.convert(TODAY, **known, via="message")  # anybody's word
    assert facts["target"] is None
    hub.builds[1]["source"] = None
    fate, facts = site.convert(NEXT)
    assert (fate, facts["error"]["class"]) == (Fate.FAILED, "SourceForgotten")


def test_a_message_that_names_another_commit_than_koji_is_not_believed(
    site: Site, made: Sample, hub: Hub
) -> None:
    _, facts = site.convert(TODAY, koji_id=hub.builds[0]["id"], commit=made.git_am)
    assert facts["commit"] == made.today


def test_a_message_about_what_koji_does_not_have_is_refused(
    site: Site, hub: Hub, made: Sample
) -> None:
    asked = {"commit": made.git_am, "target": "f41-candidate", "via": "message"}
    for koji_id in (None, hub.builds[0]["id"], 999_999):
        fate, facts = site.convert("kernel-6.12.8-299.fc41", koji_id=koji_id, **asked)
        assert (fate, facts["error"]["class"]) == (Fate.NOT_OURS, "NotOurs")
        assert "Koji has no such build" in facts["error"]["what"]
    fate, facts = site.convert(
        TODAY, koji_id=999_999, **asked
    )  # the pointer is wrong, the NVR right
    assert (fate, facts["commit"]) == (Fate.DONE, made.today)


def test_backfill_converts_what_is_missing_and_status_tells(
    site: Site, hub: Hub, made: Sample
) -> None:
    hub.add("kernel-6.12.8-202.fc41", commit="f" * 40, completion_ts=1.2e9)
    hub.add("kernel-6.12.8-203.fc41", commit=made.git_am, completion_ts=1.6e9)
    since = ("--since", "2000-01-01", "--config", site.path)
    dry = answer("backfill", "kernel", *since, "--dry-run")
    behind, wrong = "kernel-6.12.8-202.fc41", "kernel-6.12.8-203.fc41"
    assert dry["missing"] == [TODAY, NEXT, behind, wrong]
    out, _ = srcgit("backfill", "kernel", *since, status=1)
    assert f"{TODAY}: missing" in out
    assert out.splitlines()[-1] == "4 of 4 builds were missing, 2 done, 1 failed, 1 waiting"
    assert git(site.places[1], "tag").split() == [TODAY, NEXT]
    assert git(site.places[1], "log", "-1", "--format=%s", "f41") == NEXT
    seen = answer("status", "--config", site.path, status=1)
    assert seen["queue"] == {"done": 2, "failed": 1, "waiting": 1}
    assert seen["failures"][0]["reason"].startswith("this commit builds kernel-4.15.0-1.fc41")
    assert seen["wrong"] == ["no daemon has given a sign of life in the last minutes"]
    again = answer("backfill", "kernel", *since)
    assert again["missing"] == [behind]
    assert again["left"][2]["why"].startswith("failed before: this commit builds kernel-4.15")
    [result] = again["results"]
    assert result["reason"].startswith("pkg-git has no commit")


def test_backfill_from_pkg_gits_history_alone_asks_koji_nothing(site: Site, hub: Hub) -> None:
    since = ("--since", "2000-01-01", "--config", site.path, "--from-pkg-git")
    done = answer("backfill", "kernel", *since)
    names = ["kernel-3.17.0-300.fc21", "kernel-4.15.0-1.fc28", TODAY, NEXT]
    assert done["missing"] == names
    assert [result["state"] for result in done["results"]] == ["done"] * 4
    assert hub.calls == []


def test_one_build_can_be_queued_by_hand(site: Site, hub: Hub) -> None:
    out, _ = srcgit("convert", TODAY, "--queue", "--config", site.path)
    assert out == f"{TODAY}: added\n"
    journal = Journal(site.config.journal)
    row = journal.find(TODAY)
    journal.close()
    assert row and (row.via, row.state, row.target) == ("queue", "waiting", "f41-candidate")


def test_convert_can_push_by_itself(site: Site, made: Sample, tmp_path: Path) -> None:
    build = f"{made.pkg_git.path}#{made.today}"
    where = ("--upstream", made.linux.path, "--repo", tmp_path / "mine.git")
    place = Path(site.places[0])
    done = answer("convert", build, *where, "--push", place.name, cwd=place.parent)
    [receipt] = done["pushed"]
    assert receipt["refs"]["refs/heads/f41"] == {"state": "new", "id": done["commit"]}
    _, said = srcgit("convert", build, *where, "--push", "ext::sh -c id", status=2)
    assert "not a repository" in said


def test_replacing_a_field_keeps_the_configuration_picklable(site: Site) -> None:
    import pickle

    work = pipeline(replace(site.config, workers=3))
    assert pickle.loads(pickle.dumps(work)).config == work.config


def test_everything_over_http_with_mirrors_made_before_work_begins(
    made: Sample, tmp_path: Path
) -> None:
    public = Source(tmp_path / "public.git")
    public.git.run("config", "http.receivepack", "true")
    for name, source in (("kernel.git", made.pkg_git), ("linux.git", made.linux)):
        (tmp_path / name).symlink_to(source.path)
    with HttpGit(tmp_path) as server, Hub() as hub:
        pkg_git = f"{server.url}/kernel.git"
        hub.add(TODAY, commit=made.today, source=f"git+{pkg_git}#{made.today}")
        path = tmp_path / "http.toml"
        path.write_text(
            table(koji=hub.url, state=tmp_path / "state")
            + table(
                *("packages", "kernel"),
                pkg_git=pkg_git,
                upstreams=[f"{server.url}/linux.git"],
                push=[f"{server.url}/public.git"],
            )
        )
        work = pipeline(load(path))
        work.prepare(lambda stage: None)
        assert len(list((tmp_path / "state" / "mirrors").glob("*.git"))) == 2
        outcome = work(Row(TODAY, "kernel", "k"), lambda stage: None)
    assert outcome.fate is Fate.DONE
    assert git(public.path, "rev-parse", "f41") == outcome.evidence["top"]
