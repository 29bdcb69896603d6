"""What a converted tree borrows is kept, whatever becomes of upstream; or copied."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from converter import borrowing
from converter.convert import convert
from converter.errors import RemoteUnavailable
from converter.git import Git, GitFailed
from converter.mirror import Mirror
from converter.odb import BASE, LENT, Repository
from converter.request import Request
from specparse.trace import SandboxedTracer
from tests.builders import Source, source_file

TAG = "demo-1.0-1.fc41"
SPEC = """\
Name: demo
Version: {version}
Release: 1%{{?dist}}
Summary: x
License: MIT
Source0: demo-{version}.tar.gz
Patch1: good.patch
%description
x
%prep
%setup -q
%patch -P1 -p1
%build
%files
%changelog
* Mon Jan 06 2025 A <a@x> - {version}-1
- x
"""


@dataclass
class World:
    """An upstream whose mirror is borrowed from, and a package of a version with a backport."""

    where: Path
    upstream: Source
    pkg_git: Source

    @property
    def url(self) -> str:
        return f"file://{self.upstream.path}"

    @property
    def mirror(self) -> Git:
        [path] = (self.where / "cache").glob("*.git")
        return Git(path)

    def convert(self, version: str, upstream: str = "", **more: object) -> Repository:
        """Convert ``version`` into out.git."""
        commit = self.pkg_git.commit({"demo.spec": SPEC.format(version=version)}, version)
        cache = self.where / "cache"
        request = Request(
            Mirror(str(self.pkg_git.path), cache),
            commit,
            dist=".fc41",
            upstreams=(Mirror(upstream or self.url, cache),),
        )
        repo = Repository.create(self.where / "out.git")
        convert(replace(request, **more), repo, SandboxedTracer())  # type: ignore[arg-type]
        return repo

    def collect_garbage(self) -> None:
        self.mirror.run("reflog", "expire", "--expire=now", "--all")
        self.mirror.run("gc", "--quiet", "--prune=now")


@pytest.fixture
def world(tmp_path: Path) -> World:
    upstream = Source(tmp_path / "upstream.git")
    text = source_file("a", 9)
    upstream.tag("v1.0", upstream.commit({"a.c": text, "dir/b.c": text}, "1.0\n"))
    # What the package's patch does, and so its file, is in upstream's next commit.
    fixed = text.replace("-EINVAL", "-ENODEV", 1)
    fix = upstream.commit({"a.c": fixed}, "fix\n")
    pkg_git = Source(tmp_path / "demo.git")
    pkg_git.commit({"good.patch": upstream.diff("v1.0", fix)}, "patch\n", branch="main")
    return World(tmp_path, upstream, pkg_git)


def is_whole(repo: Path) -> bool:
    try:
        Git(repo).run("fsck", "--full", "--strict")
    except GitFailed:
        return False
    return True


def rewrite(upstream: Source) -> None:
    """Begin upstream's history anew, as v2.0, without a trace of what was."""
    new = upstream.commit(
        {"a.c": source_file("a", 9), "new": "x"}, "new root\n", branch="new", parent=""
    )
    assert not upstream.git.run("log", "--format=%P", "-1", new).stdout.strip()
    upstream.branch("main", new)
    upstream.tag("v2.0", new)


def test_a_rewound_branch_and_a_deleted_tag(world: World) -> None:
    repo = world.convert("1.0")
    base = world.upstream.rev("v1.0")
    assert repo.refs(BASE) == {f"{BASE}{base}": base}
    assert Repository(next((world.where / "cache").glob("*.git"))).refs(LENT) == {
        f"{LENT}{base}": base
    }
    world.upstream.git.run("tag", "-d", "v1.0")
    rewrite(world.upstream)
    world.convert("2.0")
    assert b"v1.0" not in world.mirror.run("tag", "--list").stdout
    world.collect_garbage()
    assert is_whole(repo.path)
    Git().run("clone", "--quiet", str(repo.path), str(world.where / "clone"))


def test_a_moved_tag(world: World) -> None:
    repo = world.convert("1.0")
    rewrite(world.upstream)
    world.upstream.tag("v1.0", world.upstream.rev("v2.0") or "")
    world.convert("2.0")
    world.collect_garbage()
    assert is_whole(repo.path)


def test_what_only_another_branch_of_upstream_has_is_not_borrowed(world: World) -> None:
    """The file that the patch makes is also that of upstream's main, which is rewound."""
    (world.where / "cache").mkdir()
    _ = Mirror(world.url, world.where / "cache").repository
    world.mirror.run("gc", "--quiet")  # git takes what is in a pack for written
    repo = world.convert("1.0")
    made = repo.git.run("rev-parse", f"{TAG}:a.c").stdout.decode().strip()
    assert made == world.upstream.git.run("rev-parse", "main:a.c").stdout.decode().strip()
    assert made in repo.own_objects()
    base = repo.git.run("rev-parse", f"{TAG}:dir/b.c").stdout.decode().strip()
    assert base not in repo.own_objects() and base in repo
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    world.convert("2.0")
    world.collect_garbage()
    assert is_whole(repo.path)


def test_a_person_s_fetch_in_the_mirror(world: World) -> None:
    repo = world.convert("1.0")
    world.upstream.git.run("tag", "-d", "v1.0")
    rewrite(world.upstream)
    world.mirror.run("fetch", "--quiet", "--prune", "origin", network=True)
    world.collect_garbage()
    assert is_whole(repo.path)


def test_a_mirror_of_an_older_srcgit(world: World) -> None:
    repo = world.convert("1.0")
    world.mirror.run("config", "--unset", "remote.origin.fetch", r"\^refs/srcgit/\*")
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    world.convert("2.0")
    world.mirror.run("fetch", "--quiet", "--prune", "origin", network=True)
    world.collect_garbage()
    assert is_whole(repo.path)


def test_a_mirror_that_was_deleted_and_cloned_again(world: World) -> None:
    repo = world.convert("1.0")
    shutil.rmtree(world.mirror._path or "")
    world.upstream.tag("v2.0", world.upstream.rev("v1.0") or "")
    world.convert("2.0")
    for tag in ("v1.0", "v2.0"):
        world.upstream.git.run("tag", "-d", tag)
    rewrite(world.upstream)
    world.mirror.run("fetch", "--quiet", "--prune", "origin", network=True)
    world.collect_garbage()
    assert is_whole(repo.path)


def test_upstream_s_own_refs_in_our_place_are_not_fetched(world: World) -> None:
    world.upstream.git.run("update-ref", f"{LENT}{'1' * 40}", world.upstream.rev("main") or "")
    world.convert("1.0")
    base = world.upstream.rev("v1.0")
    assert world.mirror.run("for-each-ref", "--format=%(refname)", "refs/srcgit/").stdout == (
        f"{LENT}{base}\n".encode()
    )


def test_nothing_is_written_to_a_person_s_repository(world: World) -> None:
    before = world.upstream.git.run("for-each-ref").stdout
    repo = world.convert("1.0", str(world.upstream.path))
    assert world.upstream.git.run("for-each-ref").stdout == before
    assert borrowing.lenders(repo) == [world.upstream.path]


def test_standalone_borrows_nothing(world: World) -> None:
    lent = replace_copy(world)
    repo = world.convert("1.0", str(lent), standalone=True)
    assert borrowing.lenders(repo) == []
    shutil.rmtree(lent)
    assert is_whole(repo.path)


def test_standalone_ends_what_was_borrowed(world: World) -> None:
    lent = replace_copy(world)
    repo = world.convert("1.0", str(lent))
    assert borrowing.lenders(repo) == [lent]
    world.upstream.tag("v2.0", world.upstream.rev("main") or "")
    world.pkg_git.commit({"good.patch": world.upstream.diff("main", "v1.0")}, "back\n")
    world.convert("2.0", standalone=True)
    repo = Repository(repo.path)
    assert borrowing.lenders(repo) == []
    shutil.rmtree(lent)
    assert is_whole(repo.path)


def test_ids_are_the_same_whether_borrowed_or_copied(world: World) -> None:
    one = world.convert("1.0")
    tag = one.ref(f"refs/tags/{TAG}")
    one.path.rename(world.where / "one.git")
    commit = world.pkg_git.rev("main") or ""
    request = Request(
        Mirror(str(world.pkg_git.path), world.where),
        commit,
        dist=".fc41",
        upstreams=(Mirror(str(world.upstream.path), world.where),),
        standalone=True,
    )
    two = Repository.create(world.where / "two.git")
    convert(request, two, SandboxedTracer())
    assert two.ref(f"refs/tags/{TAG}") == tag


def replace_copy(world: World) -> Path:
    """Return a copy of upstream, which is to go away."""
    shutil.copytree(world.upstream.path, world.where / "lent.git")
    return world.where / "lent.git"


def test_a_shallow_upstream(world: World) -> None:
    """History ends in the result where it does there; whole again when upstream is."""
    shallow = world.where / "shallow.git"
    world.upstream.tag("v2.0", world.upstream.rev("main") or "")
    Git().run("clone", "--quiet", "--bare", "--depth=1", world.url, str(shallow), network=True)
    world.pkg_git.commit({"good.patch": world.upstream.diff("main", "v1.0")}, "back\n")
    repo = world.convert("2.0", str(shallow))
    assert is_whole(repo.path)
    Git().run("clone", "--quiet", f"file://{repo.path}", str(world.where / "clone"), network=True)
    Git(shallow).run("fetch", "--quiet", "--unshallow", "origin", network=True)
    world.pkg_git.commit({"README": "x"}, "more\n")
    borrowing.borrow(repo, Mirror(str(shallow), world.where))
    assert not (repo.path / "shallow").exists()
    assert is_whole(repo.path)


def test_a_shallow_upstream_is_not_mirrored(world: World) -> None:
    shallow = world.where / "shallow.git"
    Git().run("clone", "--quiet", "--bare", "--depth=1", world.url, str(shallow), network=True)
    with pytest.raises(RemoteUnavailable, match="shallow"):
        world.convert("1.0", f"file://{shallow}")


@pytest.mark.parametrize("written", ["absolute", "relative"])
def test_an_upstream_with_alternates_itself(world: World, written: str) -> None:
    between = world.where / "between.git"
    Git().run("clone", "--quiet", "--bare", "--shared", str(world.upstream.path), str(between))
    if written == "relative":
        (between / "objects/info/alternates").write_text("../../upstream.git/objects\n")
    repo = world.convert("1.0", str(between))
    assert is_whole(repo.path)
    assert os.path.samefile(borrowing.lenders(repo)[0], between)
