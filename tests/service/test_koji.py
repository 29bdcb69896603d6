"""Koji's answers, over real HTTP and XML-RPC, from the local hub."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from converter.errors import Fate, RemoteUnavailable, WrongUsage
from service.koji import (
    HubRefuses,
    Koji,
    NoSuchBuild,
    SourceForgotten,
    commit_of,
    same_repository,
)
from tests.hub import EPOCH, SHA, Hub

START = datetime.fromtimestamp(EPOCH - 1, UTC)
PKG_GIT = "https://src.fedoraproject.org/rpms/kernel.git"


def test_a_build_by_name_and_by_id_has_its_target_from_the_task(hub: Hub) -> None:
    answer = hub.add("kernel-6.12.8-200.fc41", target="f41-candidate", epoch=1)
    koji = Koji(hub.url)
    by_name = koji.build("kernel-6.12.8-200.fc41")
    assert by_name == koji.build(answer["id"]) == koji.build(str(answer["id"]))
    assert (by_name.target, by_name.commit, by_name.epoch) == ("f41-candidate", SHA, 1)
    assert by_name.completed == datetime.fromtimestamp(EPOCH, UTC)


def test_an_old_build_has_its_source_only_in_the_task(hub: Hub) -> None:
    old = f"git://pkgs.fedoraproject.org/kernel?#{SHA}"
    hub.add("kernel-3.17.0-1.fc22", source=None, request=[old, "rawhide", {}])
    build = Koji(hub.url).build("kernel-3.17.0-1.fc22")
    assert build.commit == SHA
    assert build.source is not None and same_repository(build.source, PKG_GIT)


def test_an_imported_build_has_neither_task_nor_source(hub: Hub) -> None:
    hub.add("kernel-2.6.9-1.fc3", source=None, task_id=None)
    build = Koji(hub.url).build("kernel-2.6.9-1.fc3")
    assert (build.commit, build.source, build.target) == (None, None, None)


def test_a_build_whose_task_is_gone_lacks_its_target_and_needs_its_source(hub: Hub) -> None:
    new, old = hub.add("kernel-6.12.8-200.fc41"), hub.add("kernel-3.17.0-1.fc22", source=None)
    hub.requests.clear()
    build = Koji(hub.url).build(new["nvr"])
    assert (build.commit, build.target, build.task) == (SHA, None, None)
    with pytest.raises(SourceForgotten, match=f"no longer has task {old['task_id']}"):
        Koji(hub.url).build(old["nvr"])
    assert hub.calls == ["getBuild", "getTaskRequest"] * 2  # not asked again: it will not heal


def test_a_hub_that_refuses_is_not_asked_again_and_no_build_is_blamed(hub: Hub) -> None:
    hub.add("kernel-6.0.1-1.fc40")
    hub.broken = ["login"] * 9
    with pytest.raises(HubRefuses, match=r"AuthError: anonymous .* refused") as caught:
        Koji(hub.url).build("kernel-6.0.1-1.fc40")
    assert (hub.calls, caught.value.fate) == (["getBuild"], Fate.STOP)


def test_an_unknown_build_says_where_it_was_looked_for(hub: Hub) -> None:
    with pytest.raises(NoSuchBuild) as caught:
        Koji(hub.url).build("kernel-1.0-1.fc1")
    assert caught.value.where == hub.url


def test_listing_pages_through_all_and_leaves_out_drafts_and_others(hub: Hub) -> None:
    for number in range(250):
        hub.add(f"kernel-6.0.{number}-1.fc40")
    hub.add("bash-5.2-1.fc40")
    hub.add("kernel-6.1.0-1.fc40", state=3)
    hub.add("kernel-6.1.1-1.fc40,draft_7", draft=True)
    koji = Koji(hub.url)
    names = [build.nvr for build in koji.builds("kernel", START)]
    assert names == [f"kernel-6.0.{number}-1.fc40" for number in range(250)]
    later = datetime.fromtimestamp(EPOCH + 248 * 60 + 1, UTC)
    assert [b.nvr for b in koji.builds("kernel", later)] == names[249:]


def test_a_promoted_draft_is_found_by_the_time_of_its_promotion_once_and_in_order(hub: Hub) -> None:
    hub.add("kernel-6.0.1-1.fc40", promotion_ts=EPOCH + 9000)
    hub.add("kernel-6.0.2-1.fc40", completion_ts=EPOCH + 8500)
    hub.add("kernel-6.0.3-1.fc40", completion_ts=EPOCH + 8600, promotion_ts=EPOCH + 9000)
    later = datetime.fromtimestamp(EPOCH + 8000, UTC)
    names = [build.nvr for build in Koji(hub.url).builds("kernel", later)]
    assert names == [f"kernel-6.0.{number}-1.fc40" for number in (1, 2, 3)]


@pytest.mark.parametrize("trouble", ["503", "garbage", "offline", "crash"])
def test_a_passing_fault_is_tried_again(hub: Hub, trouble: str) -> None:
    hub.add("kernel-6.0.1-1.fc40")
    hub.broken = [trouble, ""]
    assert Koji(hub.url).build("kernel-6.0.1-1.fc40").commit == SHA


@pytest.mark.parametrize("trouble", ["503", "offline", "crash"])
def test_a_lasting_fault_is_for_later_and_bounded(hub: Hub, trouble: str) -> None:
    hub.broken = [trouble] * 99
    with pytest.raises(RemoteUnavailable):
        Koji(hub.url, attempts=2).build("kernel-6.0.1-1.fc40")
    assert len(hub.calls) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_endless_answer_is_for_later(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.broken = ["endless"] * 9
    monkeypatch.setattr("service.koji._ANSWER", 1 << 18)
    with pytest.raises(RemoteUnavailable, match="an answer of more than 0 MiB"):
        Koji(hub.url, attempts=2).build("kernel-6.0.1-1.fc40")


def test_an_answer_that_is_no_build_is_for_later(hub: Hub) -> None:
    hub.broken = ["nothing"]
    with pytest.raises(RemoteUnavailable, match="no build"):
        Koji(hub.url).build("kernel-6.0.1-1.fc40")


def test_a_hub_that_lists_without_end_is_for_later(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.koji.PAGE", 1)
    monkeypatch.setattr("service.koji._PAGES", 3)
    for number in range(9):
        hub.add(f"kernel-6.0.{number}-1.fc40")
    with pytest.raises(RemoteUnavailable, match="more than 3 builds"):
        list(Koji(hub.url).builds("kernel", datetime.fromtimestamp(1, UTC)))


# koji drops the session's sockets without closing them when it starts over
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_hub_that_never_answers_is_for_later(hub: Hub) -> None:
    hub.broken = [5.0] * 9
    with pytest.raises(RemoteUnavailable):
        Koji(hub.url, timeout=0.2, attempts=2).build("kernel-6.0.1-1.fc40")


def test_a_hub_that_is_not_there_is_for_later() -> None:
    with Hub() as hub:
        url = hub.url
    with pytest.raises(RemoteUnavailable):
        Koji(url, attempts=2).build("kernel-6.0.1-1.fc40")


@pytest.mark.parametrize("build", ["kernel-$(id)-1", "0", "9" * 19, "9" * 5000])
def test_a_hostile_name_is_never_sent_to_koji(hub: Hub, build: str) -> None:
    with pytest.raises(WrongUsage):
        Koji(hub.url).build(build)
    assert hub.calls == []


@pytest.mark.parametrize(
    "source",
    [
        f"git+https://src.fedoraproject.org/rpms/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org/rpms/kernel#{SHA}",
        f"git://pkgs.fedoraproject.org/rpms/kernel?#{SHA}",
        f"git://pkgs.fedoraproject.org/kernel#{SHA}",
        f"https://src.fedoraproject.org/rpms/kernel.git#{SHA}",
    ],
)
def test_the_forms_of_fedoras_own_source_are_known(source: str) -> None:
    assert same_repository(source, PKG_GIT)
    assert commit_of(source) == SHA


@pytest.mark.parametrize(
    "source",
    [
        f"git+https://src.fedoraproject.org/forks/eve/rpms/kernel.git#{SHA}",
        f"git+https://evil.example.org/rpms/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org:444/rpms/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org@evil.example.org/rpms/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org/rpms/../eve/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org/rpms/kernel.git?x=y#{SHA}",
        f"git+https://src.fedoraproject.org/rpms/kernel%2egit#{SHA}",
        f"ext::sh -c id# {SHA}",
        f"ext::sh#{SHA}",
        f"file:///rpms/kernel.git#{SHA}",
        f"git+file:///rpms/kernel.git#{SHA}",
        f"--upload-pack=touch /tmp/x#{SHA}",
        f"/rpms/kernel.git#{SHA}",
        f"git+https://[::1/rpms/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org:99999/rpms/kernel.git#{SHA}",
        f"git+https://src.fedoraproject.org/rpms/kernel.git\n#{SHA}",
        "cli-build/1687.fUqa/kernel-6.1-1.fc40.src.rpm",
        "",
    ],
)
def test_any_other_source_is_elsewhere(source: str) -> None:
    assert not same_repository(source, PKG_GIT)


@pytest.mark.parametrize("source", [None, "", "x#rawhide", f"x#{SHA[:12]}", f"x#{SHA.upper()}"])
def test_only_a_full_id_is_a_commit(source: str | None) -> None:
    assert commit_of(source) is None
