"""Upkeep of a published repository, and clones of it over http with the ordinary client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from converter.build import Build, Nvr
from converter.errors import RemoteUnavailable
from converter.git import Git
from converter.odb import Repository
from converter.publish import publish
from converter.serve import SETTINGS, maintain
from tests.builders import Source, source_file
from tests.converter.test_publish import WHO, World
from tests.httpgit import HttpGit

FILES, PATCHES = 3000, 100
NVR = Nvr.parse("kernel-6.12.8-200.fc41")


@dataclass(frozen=True)
class Site:
    """A published tree of one build of 100 patches on an upstream of 3,000 files, served."""

    server: HttpGit
    upstream: Source
    remote: Path
    commit: str

    @property
    def url(self) -> str:
        return f"{self.server.url}/kernel.git"

    def clone(self, to: Path, *options: str) -> Git:
        Git().run("clone", "--quiet", "--no-checkout", *options, self.url, str(to), network=True)
        return Git(to / ".git" if (to / ".git").exists() else to)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def upstream(path: Path) -> Source:
    made = Source(path)
    made.commit(
        {f"drivers/d{n % 60}/f{n}.c": source_file(f"f{n}", 20) for n in range(FILES)}, "Linux\n"
    )
    made.tag("v6.12.8", made.rev("main") or "")
    return made


def series(repo: Repository, base: str) -> str:
    """Write 100 patches of a line each and a top commit on ``base``; return its id."""
    stream, parent = [], base.encode()
    for n in range(PATCHES):
        name = f"drivers/d{n % 60}/f{n}.c"
        data = source_file(f"f{n}", 20).replace("-EINVAL", "-ENODEV", 1).encode()
        stream.append(
            b"commit refs/srcgit/made\nmark :%d\ncommitter A <a@x> %d +0000\n"
            b"data <<.\npatch %d\n.\nfrom %s\nM 100644 inline %s\ndata %d\n%s\n"
            % (n + 1, 1700000000 + n, n, parent, name.encode(), len(data), data)
        )
        parent = b":%d" % (n + 1)
    record = json.dumps({"nvr": str(NVR), "epoch": None}).encode()
    stream.append(
        b"commit refs/srcgit/made\ncommitter A <a@x> 1700000999 +0000\ndata <<.\n%s\n.\nfrom %s\n"
        b"M 100644 inline fedora/series.json\ndata %d\n%s\n"
        % (str(NVR).encode(), parent, len(record), record)
    )
    repo.git.run("fast-import", "--quiet", input=b"".join(stream))
    commit = Repository(repo.path).commit_id("refs/srcgit/made")
    assert commit
    return commit


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    linux = upstream(directory / "linux.git")
    base = linux.rev("main")
    assert base
    host = Repository.create(directory / "host.git")
    host.borrow(Repository(linux.path))
    commit = series(host, base)
    host = Repository(host.path)
    build = Build(NVR, None, "https://x/kernel.git", "c" * 40, "f41")
    tag = host.write_tag(commit, build.tag, WHO, f"{NVR}\n".encode())
    remote = Repository.create(directory / "kernel.git")
    publish(host, build, commit, tag, base, str(remote.path))
    maintain(remote.path, directory)
    with HttpGit(directory) as server:
        yield Site(server, linux, remote.path, commit)


def count(git: Git, *revs: str) -> int:
    """Return the number of objects that ``revs`` reach and that are here."""
    out = git.run("rev-list", "--objects", "--missing=print", *revs).stdout.splitlines()
    return sum(not line.startswith(b"?") for line in out)


def test_a_full_clone(site: Site, tmp_path: Path) -> None:
    site.server.sent()
    git = site.clone(tmp_path / "full")
    assert git.run("fsck", "--connectivity-only", "--no-dangling").status == 0
    assert git.run("symbolic-ref", "HEAD").stdout == b"refs/heads/f41\n"
    there = git.run("for-each-ref", "--format=%(refname)").stdout.decode().split()
    assert set(there) == {
        "refs/heads/f41",
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/builds/f41",
        "refs/remotes/origin/f41",
        f"refs/tags/{NVR}",
    }


def test_a_blobless_clone_is_small_and_fetches_what_is_looked_at(
    site: Site, tmp_path: Path
) -> None:
    site.server.sent()
    full = site.clone(tmp_path / "full")
    all_of_it = site.server.sent()
    git = site.clone(tmp_path / "blobless", "--filter=blob:none")
    assert site.server.sent() < all_of_it / 3
    assert count(git, "--all") < count(full, "--all") - FILES
    text = git.run("cat-file", "blob", f"{NVR}:drivers/d1/f1.c", network=True).stdout
    assert b"-ENODEV" in text


def test_a_clone_of_one_branch_and_of_one_build(site: Site, tmp_path: Path) -> None:
    git = site.clone(tmp_path / "branch", "--single-branch", "--branch", "builds/f41")
    log = git.run("log", "--first-parent", "--format=%s").stdout.decode().split("\n")
    assert log[:2] == [str(NVR), "Linux"]
    git = site.clone(tmp_path / "build", "--depth=1", "--branch", str(NVR))
    assert git.run("rev-list", "--count", "HEAD").stdout == b"1\n"
    assert git.run("rev-parse", "HEAD").stdout.decode().strip() == site.commit


def test_who_has_linux_fetches_less_than_a_megabyte(site: Site, tmp_path: Path) -> None:
    Git().run("clone", "--quiet", "--bare", str(site.upstream.path), str(tmp_path / "linux.git"))
    git = Git(tmp_path / "linux.git")
    git.run("remote", "add", "srcgit", site.url)
    site.server.sent()
    git.run("fetch", "--quiet", "srcgit", f"refs/tags/{NVR}:refs/tags/{NVR}", network=True)
    assert site.server.sent() < 1_000_000
    assert git.run("rev-list", "--count", f"v6.12.8..{NVR}").stdout == b"101\n"


def test_a_clone_that_begins_with_the_bundle(site: Site, tmp_path: Path) -> None:
    bundle = site.remote.parent / "kernel.bundle"
    assert Git().run("bundle", "list-heads", str(bundle)).stdout.count(b"\n") == 3
    site.server.sent()
    git = site.clone(tmp_path / "whole", f"--bundle-uri={site.server.url}/kernel.bundle")
    sent = site.server.sent()
    assert bundle.stat().st_size < sent < bundle.stat().st_size * 1.2  # hardly a pack beside it
    assert git.run("rev-parse", f"{NVR}^{{commit}}").stdout.decode().strip() == site.commit


def test_upkeep_is_idempotent_and_what_it_sets(site: Site) -> None:
    done = maintain(site.remote, site.remote.parent)
    assert (done.head, done.borrows, done.bitmap) == ("refs/heads/f41", False, True)
    assert not done.bundle_written
    git = Git(site.remote)
    for key, value in SETTINGS.items():
        assert git.run("config", "--get-all", key).stdout.decode() == f"{value}\n"
    assert git.run("config", "bundle.whole.uri").stdout == b"../kernel.bundle\n"
    assert git.run("commit-graph", "verify").status == 0
    graph = (site.remote / "objects/info/commit-graph").read_bytes()
    assert b"BDAT" in graph  # changed paths (gitformat-commit-graph(5))


def test_head_names_rawhide_or_the_newest_branch(world: World) -> None:
    path = world.remote.path
    assert maintain(path).head is None
    for branch, head in {"f9": "f9", "f41": "f41", "f40": "f41", "rawhide": "rawhide"}.items():
        world.one.publish(world.one.make("6.1-1", branch, branch), world.url)
        world.remote.git.run("update-ref", "-d", "refs/tags/kernel-6.1-1.fc41")
        assert maintain(path).head == f"refs/heads/{head}"
    assert world.remote.git.run("symbolic-ref", "HEAD").stdout == b"refs/heads/rawhide\n"


def test_objects_of_upstream_may_be_borrowed(world: World) -> None:
    """The server keeps upstream once; a clone gets it all the same."""
    remote = Repository(world.remote.path)
    remote.borrow(Repository(world.upstream.path))
    made = world.one.make("6.1-1")
    world.one.publish(made, world.url)
    done = maintain(world.remote.path)
    assert (done.borrows, done.bitmap) == (True, False)
    packed = world.remote.git.run("count-objects", "-v").stdout.decode()
    assert "in-pack: 7\n" in packed  # the build's two commits, tag, trees and files
    with HttpGit(world.remote.path.parent) as server:
        to = world.remote.path.parent / "clone.git"
        Git().run("clone", "--quiet", "--bare", f"{server.url}/remote.git", str(to), network=True)
    assert not (to / "objects/info/alternates").exists()
    assert Git(to).run("cat-file", "-e", made.base).status == 0


def test_upkeep_while_builds_are_published(world: World) -> None:
    """A push is not robbed of its objects; at worst it is refused for a moment, as any may be.

    In 2 of 3,000: "unable to migrate objects to permanent storage ... No such file or directory", when
    an empty directory of objects is removed just before the push's are moved there.
    """
    world.one.publish(world.one.make("6.1-1"), world.url)
    done = threading.Event()
    runs: list[str] = []

    def keep() -> None:
        while not done.is_set():
            runs.append(maintain(world.remote.path, world.remote.path.parent).repository)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        for n in range(2, 8):
            made = world.one.make(f"6.1-{n}")
            try:
                world.one.publish(made, world.url)
            except RemoteUnavailable:  # for the daemon: later
                world.one.publish(made, world.url)
    finally:
        done.set()
        thread.join()
    assert runs
    assert len(world.refs()) == 9  # seven tags; fsck is clean


def test_pulling_fifty_builds_never_needs_force(world: World) -> None:
    world.one.publish(world.one.make("6.1-1"), world.url)
    clone = world.remote.path.parent / "clone"
    Git().run("clone", "--quiet", "--branch=builds/f41", world.url, str(clone))
    inside = Git(clone / ".git")
    for n in range(2, 51):
        host = world.one if n % 2 else world.two
        host.publish(host.make(f"6.1-{n}"), world.url)
        inside.run("fetch", "--quiet", "origin", "refs/heads/builds/f41:refs/heads/pulled")
    subjects = inside.run("log", "--first-parent", "--format=%s", "pulled").stdout.decode()
    assert subjects.splitlines()[:-1] == [f"kernel-6.1-{n}.fc41" for n in range(50, 0, -1)]
