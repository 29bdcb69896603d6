"""Publishing to real remotes: atomic, leased, idempotent, in any order, from any host."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from converter.build import SERIES_JSON, Build, Nvr
from converter.errors import LeaseLost, RemoteUnavailable, WrongUsage
from converter.mirror import redacted
from converter.objects import Identity
from converter.odb import Repository
from converter.publish import (
    PublishedOtherwise,
    Push,
    PushRefused,
    Receipt,
    RefLocked,
    parse_porcelain,
    publish,
    publish_all,
)
from converter.remote import Trust
from converter.tree import File
from tests.builders import Source
from tests.httpgit import HttpGit

WHO = Identity(b"srcgit", b"srcgit@srcgit.invalid", b"1700000000 +0000")


@dataclass(frozen=True)
class Made:
    """A converted build in a repository."""

    build: Build
    commit: str
    tag: str
    base: str


class Host:
    """A repository of one host, which makes builds as convert does: with ids that only depend
    on the build."""

    def __init__(self, path: Path, upstream: Repository, base: str) -> None:
        self.repo = Repository.create(path)
        self.repo.borrow(upstream)
        self.base = base
        self.converted_again: list[str] = []

    def make(self, version: str, branch: str = "f41", note: str = "") -> Made:
        return self.make_nvr(Nvr.parse(f"kernel-{version}.fc41"), branch, note)

    def make_nvr(self, nvr: Nvr, branch: str | None = None, note: str = "") -> Made:
        branch = branch or f"f{(nvr.dist or '').removeprefix('.fc')}"
        build = Build(nvr, None, "https://x/kernel.git", "c" * 40, branch)
        record = json.dumps({"nvr": str(nvr), "epoch": None}).encode()
        tree = self.repo.write_tree(
            {SERIES_JSON: File(0o100644, record), b"x": File(0o100644, str(nvr).encode())}
        )
        commit = self.repo.write_commit(tree, [self.base], WHO, WHO, f"{nvr}\n".encode())
        tag = self.repo.write_tag(commit, build.tag, WHO, f"{nvr}\n{note}".encode())
        return Made(build, commit, tag, self.base)

    def publish(self, made: Made, url: str) -> Receipt:
        trust = Trust(again=self.again)
        return publish(self.repo, made.build, made.commit, made.tag, made.base, url, trust)

    def again(self, tag: str, commit: str) -> str:
        """Make what another host has published: the ids depend on the build alone."""
        self.converted_again.append(tag)
        return self.make_nvr(Nvr.of_ref(tag)).commit


def published(repo: Repository, commit: str) -> str:
    """Return the version of the build whose top commit this is."""
    file = repo.tree(commit).get(SERIES_JSON)
    assert file
    return Nvr.parse(json.loads(file.data)["nvr"]).version


class World:
    """An upstream, two hosts and a remote."""

    def __init__(self, directory: Path) -> None:
        self.upstream = Source(directory / "linux.git")
        base = self.upstream.commit({"Makefile": "x\n"}, "Linux 6.12\n")
        upstream = Repository(self.upstream.path)
        self.one = Host(directory / "one.git", upstream, base)
        self.two = Host(directory / "two.git", upstream, base)
        self.remote = Source(directory / "remote.git")
        self.url = str(self.remote.path)

    def refs(self) -> dict[str, str]:
        refs = Repository(self.remote.path).refs("refs/")
        assert self.remote.git.run("fsck", "--strict", "--no-dangling").status == 0
        return refs

    def hook(self, script: str) -> Path:
        path = self.remote.path / "hooks" / "pre-receive"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def states(receipt: Receipt) -> dict[str, str]:
    return {ref.removeprefix("refs/"): state for ref, (state, _) in receipt.refs.items()}


def test_the_first_build_makes_branch_builds_branch_and_tag(world: World) -> None:
    made = world.one.make("6.12.8-200")
    receipt = world.one.publish(made, world.url)
    assert states(receipt) == {
        "tags/kernel-6.12.8-200.fc41": "new",
        "heads/f41": "new",
        "heads/builds/f41": "new",
    }
    refs = world.refs()
    assert refs["refs/heads/f41"] == made.commit
    assert refs["refs/tags/kernel-6.12.8-200.fc41"] == made.tag
    assert refs == {ref: id for ref, (_, id) in receipt.refs.items()}
    merge = Repository(world.remote.path).commit(refs["refs/heads/builds/f41"])
    assert merge.parents == (made.base, made.commit)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_clone_checks_out_a_branch_that_is_there(world: World, scheme: str) -> None:
    """HEAD of a repository made for rawhide, before rawhide's first build; and it stays put."""
    head = ("symbolic-ref", "HEAD")
    world.remote.git.run(*head, "refs/heads/rawhide")
    world.one.publish(world.one.make("6.12.8-200"), scheme + world.url)
    assert world.remote.git.run(*head).stdout == b"refs/heads/f41\n"
    world.one.publish(world.one.make("6.13.0-1", "f42"), scheme + world.url)
    assert world.remote.git.run(*head).stdout == b"refs/heads/f41\n"


def test_the_same_again_changes_nothing_and_says_so(world: World) -> None:
    made = world.one.make("6.12.8-200")
    world.one.publish(made, world.url)
    before = world.refs()
    assert set(states(world.one.publish(made, world.url)).values()) == {"same"}
    again = world.two.make("6.12.8-200")
    assert set(states(world.two.publish(again, world.url)).values()) == {"same"}
    assert world.refs() == before


def test_branches_move_to_a_higher_version_only_whatever_the_order_and_the_host(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converter.publish.ATTEMPTS", 1)  # nobody comes between
    hosts = [world.one, world.two]
    for number, version in enumerate(["6.9.0-1", "6.12.8-200", "6.12.10-1", "6.12.9-300"]):
        host = hosts[number % 2]
        receipt = host.publish(host.make(version), world.url)
    assert states(receipt) == {
        "tags/kernel-6.12.9-300.fc41": "new",
        "heads/f41": "kept",
        "heads/builds/f41": "kept",
    }
    refs = world.refs()
    assert sum(ref.startswith("refs/tags/") for ref in refs) == 4
    remote = Repository(world.remote.path)
    assert published(remote, refs["refs/heads/f41"]) == "6.12.10"
    log = remote.git.run("log", "--first-parent", "--format=%s", refs["refs/heads/builds/f41"])
    assert log.stdout.decode().splitlines() == [
        "kernel-6.12.10-1.fc41",
        "kernel-6.12.8-200.fc41",
        "kernel-6.9.0-1.fc41",
        "Linux 6.12",
    ]


def race(versions: Mapping[Host, Sequence[str]], url: str) -> list[Exception]:
    """Publish from all hosts at the same time, ten tries each; return why one did not get through."""
    failures: list[Exception] = []

    def run(host: Host) -> None:
        for version in versions[host]:
            made = host.make(version)
            last: Exception | None = None
            for _ in range(10):
                try:
                    host.publish(made, url)
                    break
                except (
                    RemoteUnavailable,
                    LeaseLost,
                ) as error:  # the other's lock, the other's lease
                    last = error
            else:
                assert last
                failures.append(last)

    threads = [threading.Thread(target=run, args=(host,)) for host in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_hosts_that_publish_at_the_same_time_all_get_through(world: World) -> None:
    versions = {world.one: ["6.1-1", "6.4-1", "6.5-1"], world.two: ["6.2-1", "6.3-1", "6.6-1"]}
    assert race(versions, world.url) == []
    refs = world.refs()
    assert sum(ref.startswith("refs/tags/") for ref in refs) == 6
    assert published(Repository(world.remote.path), refs["refs/heads/f41"]) == "6.6"


def test_somebody_who_is_always_quicker_is_not_overwritten(world: World) -> None:
    """The pre-push hook moves the branch each time, after git has looked and before it pushes."""
    first, second = (world.one.make(version) for version in ("6.1-1", "6.2-1"))
    for made in (first, second):
        world.one.publish(made, world.url)
    hook = world.one.repo.path / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\nexport GIT_DIR={world.url}\nnew={first.commit}\n"
        f"[ $(git rev-parse refs/heads/f41) != $new ] || new={second.commit}\n"
        "git update-ref refs/heads/f41 $new\n"
    )
    hook.chmod(0o755)
    made = world.one.make("6.3-1")
    with pytest.raises(LeaseLost):
        world.one.publish(made, world.url)
    assert made.build.tag_ref not in world.refs()
    hook.unlink()
    receipt = world.one.publish(made, world.url)
    assert states(receipt)["heads/f41"] == "moved"


def test_a_tag_is_never_moved(world: World) -> None:
    world.one.publish(world.one.make("6.1-1"), world.url)
    before = world.refs()
    with pytest.raises(PublishedOtherwise, match="published with other content"):
        world.two.publish(world.two.make("6.1-1", note="other"), world.url)
    assert world.refs() == before


@pytest.mark.parametrize(
    "mine", [{"README": "mine\n"}, {"fedora/series.json": "{}"}, {"fedora/series.json": "no"}]
)
def test_a_branch_that_is_not_srcgits_is_never_overwritten(
    world: World, mine: dict[str, str]
) -> None:
    world.remote.commit(mine, "my own work\n", branch="f41")
    before = world.refs()
    with pytest.raises(WrongUsage, match="is not srcgit's"):
        world.one.publish(world.one.make("6.1-1"), world.url)
    assert world.refs() == before


def test_a_remote_that_refuses_is_for_later_and_nothing_of_the_push_is_there(
    world: World,
) -> None:
    hook = world.hook('echo "closed for maintenance" >&2; exit 1')
    made = world.one.make("6.1-1")
    with pytest.raises(PushRefused) as caught:
        world.one.publish(made, world.url)
    assert caught.value.what == (
        f"the remote refused: {made.build.tag_ref}: [remote rejected] "
        "(pre-receive hook declined); closed for maintenance"
    )
    assert world.refs() == {}
    hook.unlink()
    world.one.publish(made, world.url)
    assert len(world.refs()) == 3


def test_the_ref_that_a_hook_refuses_is_told_not_those_that_fall_with_it(world: World) -> None:
    hook = world.hook("[ $1 != refs/heads/f41 ]")
    hook.rename(hook.with_name("update"))
    with pytest.raises(PushRefused, match=r"refused: refs/heads/f41: .*\(hook declined\)"):
        world.one.publish(world.one.make("6.1-1"), world.url)
    assert world.refs() == {}


def test_a_remote_that_is_not_there_is_for_later(world: World, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnavailable):
        world.one.publish(world.one.make("6.1-1"), str(tmp_path / "nowhere.git"))


def test_a_lock_that_a_dead_push_left_behind_is_recognised(world: World) -> None:
    lock = world.remote.path / "refs/heads/f41.lock"
    lock.touch()
    made = world.one.make("6.1-1")
    with pytest.raises(RefLocked) as caught:
        world.one.publish(made, world.url)
    assert "remove its .lock file" in caught.value.next_step
    assert world.refs() == {}
    lock.unlink()
    world.one.publish(made, world.url)
    assert len(world.refs()) == 3


@pytest.mark.parametrize("lost", ["tag", "builds", "branch", "tag and builds"])
def test_a_push_whose_server_died_in_the_middle_is_healed_by_the_next_attempt(
    world: World, lost: str
) -> None:
    world.one.publish(world.one.make("6.1-1"), world.url)
    old = world.refs()
    made = world.one.make("6.2-1")
    world.one.publish(made, world.url)
    whole = world.refs()
    undo = {
        "tag": [made.build.tag_ref],
        "builds": [made.build.builds_ref],
        "branch": [made.build.branch_ref],
        "tag and builds": [made.build.tag_ref, made.build.builds_ref],
    }[lost]
    for ref in undo:
        if ref in old:
            world.remote.git.run("update-ref", ref, old[ref])
        else:
            world.remote.git.run("update-ref", "-d", ref)
    assert world.refs() != whole
    receipt = world.one.publish(made, world.url)
    assert world.refs() == whole
    changed = {ref for ref, (state, _) in receipt.refs.items() if state != "same"}
    assert changed == set(undo)


def test_porcelain_is_read_as_git_writes_it() -> None:
    told = (
        b"To ../remote.git\n*\tabc:refs/tags/v1\t[new tag]\n"
        b" \tabc:refs/heads/x\ta1..b2\n+\tabc:refs/heads/y\ta1...b2 (forced update)\n"
        b"=\tabc:refs/heads/z\t[up to date]\n"
        b"!\tabc:refs/heads/w\t[rejected] (stale info)\nDone\n"
    )
    assert parse_porcelain(told) == [
        Push("*", "refs/tags/v1", "[new tag]"),
        Push(" ", "refs/heads/x", "a1..b2"),
        Push("+", "refs/heads/y", "a1...b2 (forced update)"),
        Push("=", "refs/heads/z", "[up to date]"),
        Push("!", "refs/heads/w", "[rejected] (stale info)"),
    ]


def test_over_http_two_hosts_race_and_both_get_through(world: World, tmp_path: Path) -> None:
    world.remote.git.run("config", "http.receivepack", "true")
    with HttpGit(tmp_path) as server:
        versions = {world.one: ["6.1-1"], world.two: ["6.2-1"]}
        assert race(versions, f"{server.url}/remote.git") == []
    refs = world.refs()
    assert sum(ref.startswith("refs/tags/") for ref in refs) == 2
    assert published(Repository(world.remote.path), refs["refs/heads/f41"]) == "6.2"


def test_a_remote_that_is_down_or_read_only_does_not_lose_the_others(
    world: World, tmp_path: Path
) -> None:
    """git-http-backend takes no push where http.receivepack is not set."""
    made = world.one.make("6.1-1")
    with HttpGit(tmp_path) as server:
        Source(tmp_path / "closed.git")
        urls = [f"{server.url}/closed.git", f"{server.url}/nowhere.git", world.url]
        with pytest.raises(RemoteUnavailable, match="403"):
            publish_all(world.one.repo, made.build, made.commit, made.tag, made.base, urls)
    assert len(world.refs()) == 3


def test_a_failure_that_may_pass_is_told_before_one_that_will_not(
    world: World, tmp_path: Path
) -> None:
    """Else the build would be given up, and the remote that is down would never have it."""
    world.one.publish(world.one.make("6.1-1"), world.url)
    made = world.two.make("6.1-1", note="other")
    down = str(tmp_path / "nowhere.git")
    for urls in ([world.url, down], [down, world.url]):
        with pytest.raises(RemoteUnavailable):
            publish_all(world.two.repo, made.build, made.commit, made.tag, made.base, urls)


def test_a_lock_held_for_a_moment_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = world.remote.path / "refs/heads/f41.lock"
    lock.touch()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            lock.unlink()

    monkeypatch.setattr("converter.publish.time", SimpleNamespace(sleep=sleep))
    world.one.publish(world.one.make("6.1-1"), world.url)
    assert len(waits) == 2 and 0 < waits[0] < waits[1] < 2
    assert len(world.refs()) == 3


def test_a_password_is_in_no_message(world: World, tmp_path: Path) -> None:
    made = world.one.make("6.1-1")
    with HttpGit(tmp_path) as server:
        url = server.url.replace("//", "//me:se%40cret@") + "/nowhere.git"
        with pytest.raises(RemoteUnavailable) as caught:
            world.one.publish(made, url)
    assert "cret" not in json.dumps(caught.value.as_json())
    assert "me:***@" in caught.value.where
    assert redacted("push to https://x:p@ss@h/a failed") == "push to https://x:***@h/a failed"
    assert redacted("https://h/a and git@h:b") == "https://h/a and git@h:b"
    assert "p@ss" not in json.dumps(Receipt("https://x:p@ss@h/a", {}).as_json())


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% x", "fd::3", "--upload-pack=x", "ftp://h/a.git", "rsync://h/a"]
)
def test_an_address_for_which_git_would_run_a_program_is_refused(world: World, url: str) -> None:
    made = world.one.make("6.1-1")
    with pytest.raises(WrongUsage):
        publish_all(world.one.repo, made.build, made.commit, made.tag, made.base, [url, world.url])
    assert world.refs() == {}


def test_over_http_it_is_the_same(world: World, tmp_path: Path) -> None:
    world.remote.git.run("config", "http.receivepack", "true")
    with HttpGit(tmp_path) as server:
        url = f"{server.url}/remote.git"
        first, second = world.one.make("6.1-1"), world.one.make("6.2-1")
        world.one.publish(first, url)
        assert set(states(world.two.publish(world.two.make("6.2-1"), url)).values()) == {
            "new",
            "moved",
        }
        assert set(states(world.one.publish(second, url)).values()) == {"same"}
        before = world.refs()
        world.hook("exit 1")
        with pytest.raises(PushRefused, match="pre-receive hook declined"):
            world.one.publish(world.one.make("6.3-1"), url)
        server.refuse(99)
        with pytest.raises(RemoteUnavailable, match="503"):
            world.one.publish(world.one.make("6.3-1"), url)
        assert world.refs() == before
