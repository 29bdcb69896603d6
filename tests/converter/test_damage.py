"""Damage to a repository has a fate: named, exit 5, never "no such commit"; a mirror is cloned again."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from converter import borrowing
from converter.convert import convert
from converter.damage import look, mending
from converter.errors import BaseMissing, PkgGitInvalid, RepositoryDamaged
from converter.git import Git
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from converter.serve import maintain
from specparse.trace import SandboxedTracer
from tests.lending import SPEC, TAG, World, is_whole, make_world, rewrite


def cut(path: Path, keep: int) -> None:
    """Let ``path`` have only its first bytes, as after a power cut."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:keep])


def pack(repository: Path, suffix: str = ".pack") -> Path:
    """Return the one pack of ``repository``, made if need be."""
    Git(repository).run("gc", "--quiet", "--prune=now")
    [found] = (repository / "objects" / "pack").glob(f"*{suffix}")
    return found


def _alternates(repository: Path) -> None:
    packed = pack(repository)
    (repository / "objects/info/alternates").write_text("/nowhere/objects\n")
    packed.unlink()


def _ref(repository: Path) -> None:
    shutil.rmtree(repository / "refs/heads", ignore_errors=True)
    (repository / "refs/heads").mkdir()
    (repository / "refs/heads/main").write_bytes(b"")


def _packed_refs(repository: Path, content: bytes) -> None:
    pack(repository)  # which packs refs, too
    (repository / "packed-refs").write_bytes(content)


def _objects(repository: Path) -> None:
    for path in (repository / "objects").glob("??/*"):
        cut(path, 0)
    for path in (repository / "objects/pack").glob("*.pack"):
        cut(path, 20)


KINDS: dict[str, Callable[[Path], None]] = {
    "a pack that is cut off": lambda r: cut(pack(r), 100),
    "an empty pack": lambda r: cut(pack(r), 0),
    "a pack that is gone": lambda r: pack(r).unlink(),
    "an index that is cut off": lambda r: cut(pack(r, ".idx"), 300),
    "an empty index": lambda r: cut(pack(r, ".idx"), 0),
    "empty objects": _objects,
    "an empty ref": _ref,
    "packed-refs that is empty": lambda r: _packed_refs(r, b""),
    "packed-refs that is cut off": lambda r: _packed_refs(r, b"# pack-refs with: peeled\n0123"),
    "packed-refs of zeros": lambda r: _packed_refs(r, bytes(100)),
    "an empty HEAD": lambda r: cut(r / "HEAD", 0),
    "HEAD that is gone": lambda r: (r / "HEAD").unlink(),
    "an empty config": lambda r: cut(r / "config", 0),
    "an alternate that is gone": _alternates,
}


@dataclass
class Case:
    """One build of the world, of which each repository may be damaged before."""

    world: World
    request: Request

    @property
    def out(self) -> Path:
        return self.world.where / "out.git"

    def run(self) -> Repository:
        repo = Repository.when_needed(self.out)
        request = self.request

        def work() -> None:
            convert(request, repo, SandboxedTracer())
            borrowing.complete(repo, request.upstreams)

        mending(work, self.out, request.mirrors)
        return repo

    def expected(self) -> str | None:
        """Return the tag that comes of it where nothing is damaged."""
        where, request = self.world.where, self.request
        repo = Repository.create(where / "expected.git")
        paths = replace(
            request,
            pkg_git=Mirror(str(self.world.pkg_git.path), where, known_as=request.pkg_git.location),
            upstreams=(Mirror(str(self.world.upstream.path), where),),
        )
        convert(paths, repo, SandboxedTracer())
        return repo.ref(f"refs/tags/{TAG}")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Of paths: nothing in it is srcgit's own but the result."""
    return make_case(make_world(tmp_path))


@pytest.fixture
def mirrored(tmp_path: Path) -> Case:
    """Of URLs."""
    return make_case(make_world(tmp_path), "file://")


def make_case(world: World, scheme: str = "", version: str = "1.0") -> Case:
    commit = world.pkg_git.commit({"demo.spec": SPEC.format(version=version)}, version)
    cache = world.where / "cache"
    upstream = Mirror(f"{scheme}{world.upstream.path}", cache)
    pkg_git = Mirror(f"{scheme}{world.pkg_git.path}", cache)
    return Case(world, Request(pkg_git, commit, dist=".fc41", upstreams=(upstream,)))


@pytest.mark.parametrize("which", ["upstream", "pkg_git"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_person_s_repository(case: Case, which: str, kind: str) -> None:
    where = getattr(case.world, which).path
    expected = case.expected()
    KINDS[kind](where)
    assert {found.repository for found in look(where)} == {where}
    if kind == "an empty config" or (kind, which) == ("an empty ref", "upstream"):
        assert case.run().ref(f"refs/tags/{TAG}") == expected  # nothing of it was needed
        return
    with pytest.raises(RepositoryDamaged) as raised:
        case.run()
    assert raised.value.where == str(where)
    assert raised.value.exit_code == 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_result(case: Case, kind: str) -> None:
    case.run()
    KINDS[kind](case.out)
    assert {found.repository for found in look(case.out)} == {case.out}
    try:
        repo = case.run()
    except RepositoryDamaged as error:
        assert error.where == str(case.out)
    else:  # what was lost is made again, the same
        assert repo.ref(f"refs/tags/{TAG}") == case.expected()


@pytest.mark.parametrize("which", ["upstreams", "pkg_git"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_is_cloned_again(mirrored: Case, which: str, kind: str) -> None:
    mirrored.run()
    mirror = mirrored.request.pkg_git if which == "pkg_git" else mirrored.request.upstreams[0]
    KINDS[kind](mirror.path)
    again = make_case(mirrored.world, "file://", "1.0")
    shutil.rmtree(mirrored.out)
    repo = again.run()
    assert repo.ref(f"refs/tags/{TAG}") == again.expected()
    assert is_whole(mirrored.out)


def test_a_mirror_from_which_something_is_borrowed_that_upstream_lacks(mirrored: Case) -> None:
    """It is not cloned again: the damaged one may be all that there is of it."""
    mirrored.run()
    world = mirrored.world
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    world.upstream.git.run("gc", "--quiet", "--prune=now")
    mirror = mirrored.request.upstreams[0].path
    cut(pack(mirror), 100)
    before = {path: path.stat().st_size for path in (mirror / "objects/pack").iterdir()}
    with pytest.raises(RepositoryDamaged, match="has no more what is borrowed") as raised:
        make_case(world, "file://", "2.0").run()
    assert raised.value.where == str(mirror)
    assert before.items() <= {p: p.stat().st_size for p in before}.items()
    assert not mirror.with_suffix(".new").exists()


def test_what_is_borrowed_is_taken_along_by_its_id(mirrored: Case) -> None:
    """Upstream has it in no branch any more, but has it."""
    mirrored.run()
    world = mirrored.world
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    cut(pack(mirrored.request.upstreams[0].path), 100)
    make_case(world, "file://", "2.0").run()
    assert is_whole(mirrored.out)


def test_an_answer_about_content_is_not_changed(case: Case) -> None:
    """What is not damaged is not called so."""
    case.world.upstream.git.run("tag", "-d", "v1.0")
    with pytest.raises(BaseMissing):
        case.run()
    lost = Case(case.world, Request(case.request.pkg_git, "0" * 40, dist=".fc41"))
    with pytest.raises(PkgGitInvalid):
        lost.run()


def test_a_lender_may_be_objects_alone(case: Case) -> None:
    lender = case.world.where / "lender"
    shutil.copytree(case.world.upstream.path / "objects", lender / "objects")
    (case.world.upstream.path / "objects/info/alternates").write_text(f"{lender}/objects\n")
    assert look(case.world.upstream.path, deep=True) == []
    cut(next(path for path in (lender / "objects").glob("??/*")), 0)
    [found] = look(case.world.upstream.path)
    assert found.repository == lender


def test_a_bit_that_flipped_in_an_object(case: Case) -> None:
    """No file is cut off; the object is named by who reads it."""
    id = case.world.upstream.rev("v1.0") or ""
    upstream = case.world.upstream
    content = upstream.git.run("cat-file", "commit", id).stdout
    for found in (upstream.path / "objects/pack").glob("*"):
        found.unlink()
    path = upstream.path / "objects" / id[:2] / id[2:]
    path.parent.mkdir(exist_ok=True)
    whole = bytearray(zlib.compress(b"commit %d\0" % len(content) + content))
    whole[len(whole) // 2] ^= 0xFF
    path.unlink(missing_ok=True)
    path.write_bytes(whole)
    with pytest.raises(RepositoryDamaged):
        case.run()


def test_a_lender_that_is_gone(case: Case) -> None:
    case.run()
    shutil.move(case.world.upstream.path, case.world.where / "moved.git")
    with pytest.raises(RepositoryDamaged, match="which is not there"):
        maintain(case.out)
    moved = Mirror(str(case.world.where / "moved.git"), case.world.where)
    borrowing.complete(Repository(case.out), [moved])
    assert not borrowing.lacking(Repository(case.out))


def test_a_lender_that_lacks_objects(case: Case) -> None:
    case.run()
    world = case.world
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    world.upstream.git.run("gc", "--quiet", "--prune=now")
    with pytest.raises(RepositoryDamaged, match="1 commits of upstream are missing"):
        maintain(case.out)


def test_maintain_brings_a_mirror_s_lost_commits_back(mirrored: Case) -> None:
    mirrored.run()
    world = mirrored.world
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    mirror = mirrored.request.upstreams[0].path
    Git(mirror).run("update-ref", "-d", f"refs/srcgit/lent/{base(mirrored)}")
    Git(mirror).run("fetch", "--quiet", "--prune", "origin", network=True)
    Git(mirror).run("gc", "--quiet", "--prune=now")
    assert borrowing.lacking(Repository(mirrored.out)) == [base(mirrored)]
    maintain(mirrored.out, cache=world.where / "cache")
    assert is_whole(mirrored.out)


def test_maintain_marks_what_an_older_srcgit_has_borrowed(mirrored: Case) -> None:
    mirrored.run()
    world = mirrored.world
    mirror = mirrored.request.upstreams[0].path
    id = base(mirrored)
    Git(mirror).run("update-ref", "-d", f"refs/srcgit/lent/{id}")
    Git(mirrored.out).run("update-ref", "-d", f"refs/srcgit/base/{id}")
    maintain(mirrored.out, cache=world.where / "cache")
    rewrite(world.upstream)
    world.upstream.git.run("tag", "-d", "v1.0")
    Git(mirror).run("fetch", "--quiet", "--prune", "origin", network=True)
    Git(mirror).run("gc", "--quiet", "--prune=now")
    assert base(mirrored) == id and Repository(mirror).ref(f"refs/srcgit/lent/{id}")
    assert is_whole(mirrored.out)


def base(case: Case) -> str:
    [found] = Repository(case.out).refs("refs/srcgit/base/").values() or [""]
    return found
