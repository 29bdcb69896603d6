"""What a converted tree borrows is kept, whatever becomes of upstream; or copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from converter import borrowing
from converter.convert import convert
from converter.errors import RemoteUnavailable, RepositoryUnusable
from converter.git import Git
from converter.mirror import Mirror
from converter.odb import BASE, LENT, Repository
from converter.request import Request
from specparse.trace import SandboxedTracer
from tests.lending import TAG, World, is_whole, make_world, rewrite


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


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


def test_standalone_of_an_upstream_that_lacks_a_file(world: World) -> None:
    """Which no patch touches: it can be borrowed, and not copied."""
    lent = replace_copy(world)
    Git(lent).run("gc", "--quiet")
    [pack] = (lent / "objects/pack").glob("*.pack")
    shutil.move(pack, world.where / "p.pack")
    for left in (lent / "objects/pack").iterdir():
        left.unlink()
    Git(lent).run("unpack-objects", "-q", input=(world.where / "p.pack").read_bytes())
    id = world.upstream.git.run("rev-parse", "v1.0:dir/c.c").stdout.decode().strip()
    (lent / "objects" / id[:2] / id[2:]).unlink()
    with pytest.raises(RepositoryUnusable, match=f"cannot be copied: .*{id}"):
        world.convert("1.0", str(lent), standalone=True)
    world.convert("1.0", str(lent))


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
