"""Archives become commits: on a tag, without one, several of them; trees as tar makes them."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from converter.archives import unpacked
from converter.archives.base import Import, build
from converter.archives.lookaside import Lookaside
from converter.archives.originals import Originals
from converter.archives.unpacked import unpack
from converter.errors import CannotConvert, ChecksumDiffers, RemoteUnavailable
from converter.mirror import Mirror
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.upstream import Found
from specparse.plan import Archive, Base
from tests.builders import Source

WHO = (b"srcgit", b"srcgit@example.com")
UPSTREAM: dict[str, bytes | str | None] = {
    "README": "read me\n",
    "src/a.c": "int a;\n",
    ".gitignore": "*.o\n",
}
SHIPPED = {"README": b"read me\n", "src/a.c": b"int a;\n", "configure": b"#!/bin/sh\n"}


def tarball(
    path: Path, files: Mapping[str, bytes], *, top: str = "demo-1.2/", mtime: int = 5
) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(top + name)
            info.size, info.mtime = len(data), mtime
            info.mode = 0o755 if name == "configure" else 0o644
            tar.addfile(info, io.BytesIO(data))
            mtime -= 1
    return path


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "result.git")


@pytest.fixture
def tag(tmp_path: Path, repo: Repository) -> Found:
    source = Source(tmp_path / "upstream.git")
    commit = source.commit(UPSTREAM, "demo 1.2\n")
    upstream = Mirror.of("up", Repository(source.path))
    found = Found(upstream, "v1.2", commit, Base("tag", "v1.2", ""))
    repo.borrow(found.repository)
    return found


def made(
    repo: Repository, tag: Found | None, *archives: tuple[Archive, Path], whole: bool = True
) -> tuple[str, list[Import]]:
    files = {archive.file: path for archive, path in archives}
    return build(
        repo,
        [archive for archive, _ in archives],
        lambda archive: unpack(repo, files[archive.file], archive.file),
        tag,
        WHO,
        whole=whole,
    )


def as_git_has_it(directory: Path) -> str:
    """Return the id that git itself gives the files below ``directory``."""
    git = ["git", "-C", str(directory)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A", "-f"], check=True)
    return (
        subprocess.run([*git, "write-tree"], check=True, capture_output=True)
        .stdout.decode()
        .strip()
    )


MAIN = Archive(b"demo-1.2.tar.xz", b"demo-1.2")


def test_without_a_tag_it_is_a_root(repo: Repository, tmp_path: Path) -> None:
    path = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED, mtime=1_600_000_000)
    commit, [imported] = made(repo, None, (MAIN, path))
    read = repo.commit(commit)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", path], cwd=out, check=True)
    assert (read.tree, read.parents) == (as_git_has_it(out / "demo-1.2"), ())
    assert bytes(read.author) == b"srcgit <srcgit@example.com> 1600000000 +0000"
    sha = hashlib.sha512(path.read_bytes()).hexdigest()
    assert read.message.decode() == (
        "Import demo-1.2.tar.xz\n\nThe archive that the package is built from.\n\n"
        f"SHA512: {sha}\nUnpacked-From: demo-1.2/\n"
    )
    assert (imported.sha512, imported.commit, imported.changes) == (sha, commit, None)


def test_ids_depend_on_the_content_alone(repo: Repository, tmp_path: Path) -> None:
    path = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED)
    other = Repository.create(tmp_path / "other.git")
    assert made(repo, None, (MAIN, path))[0] == made(other, None, (MAIN, path))[0]


def test_on_a_tag_what_differs_is_listed(repo: Repository, tag: Found, tmp_path: Path) -> None:
    shipped = {**SHIPPED, "src/a.c": b"int a = 1;\n", "with\nline": b""}
    path = tarball(tmp_path / "demo-1.2.tar.xz", shipped)
    commit, [imported] = made(repo, tag, (MAIN, path))
    read = repo.commit(commit)
    assert read.parents == (tag.commit,)
    assert (
        f"What differs from v1.2 ({tag.commit[:12]}): 2 added, 1 changed, 1 removed.\n\n"
        "  removed  .gitignore\n  added    configure\n  changed  src/a.c\n  added    with\\nline\n"
    ) in read.message.decode()
    told = imported.as_json()
    assert (told["added"], told["changed"], told["removed"]) == (2, 1, 1)
    assert ["removed", ".gitignore"] in told["paths"]


def test_the_same_as_the_tag_is_no_commit(repo: Repository, tag: Found, tmp_path: Path) -> None:
    same = {name: str(data).encode() for name, data in UPSTREAM.items()}
    path = tarball(tmp_path / "demo-1.2.tar.xz", same)
    commit, [imported] = made(repo, tag, (MAIN, path))
    assert commit == tag.commit and imported.commit is None


def test_long_lists_are_cut(repo: Repository, tag: Found, tmp_path: Path) -> None:
    path = tarball(tmp_path / "d.tar.xz", {**SHIPPED, **{f"f{n}": b"" for n in range(700)}})
    commit, [imported] = made(repo, tag, (MAIN, path))
    assert b"\n  and 652 more\n" in repo.commit(commit).message
    assert len(imported.as_json()["paths"]) == 500 and imported.as_json()["added"] == 701


def test_a_directory_of_the_archive_is_the_tree(repo: Repository, tmp_path: Path) -> None:
    path = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED)
    commit, _ = made(repo, None, (Archive(b"demo-1.2.tar.xz", b"demo-1.2/src"), path))
    assert [e.path for e in repo.tree(commit).walk()] == [b"a.c"]
    with pytest.raises(CannotConvert, match="holds no directory other"):
        made(repo, None, (Archive(b"demo-1.2.tar.xz", b"other"), path))


def test_the_tree_around_an_archive(repo: Repository, tmp_path: Path) -> None:
    path = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED)
    commit, _ = made(repo, None, (Archive(b"demo-1.2.tar.xz", b"demo-1.2", b"demo-1.2"), path))
    assert [e.path for e in repo.tree(commit).walk()] == [b"demo-1.2/" + p for p in (b"README", b"configure", b"src/a.c")]  # fmt: skip


@pytest.mark.parametrize("whole", [True, False])
def test_other_archives_are_added(
    repo: Repository, tag: Found, tmp_path: Path, whole: bool
) -> None:
    main = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED)
    data = tarball(tmp_path / "data.tar.xz", {"one": b"1", "two": b"2"}, top="data-3/", mtime=77)
    over = tarball(tmp_path / "over.tar.xz", {"README": b"another\n"}, top="")
    extras = [
        (Archive(b"data.tar.xz", b"data-3", b"sub/data"), data),
        (Archive(b"over.tar.xz"), over),
    ]
    commit, imports = made(repo, tag, *([(MAIN, main)] if whole else []), *extras, whole=whole)
    tree = repo.tree(commit)
    paths = {e.path for e in tree.walk()}
    kept = {name.encode() for name in (SHIPPED if whole else UPSTREAM)}
    assert paths == kept | {b"sub/data/one", b"sub/data/two"}
    readme = tree.get(b"README")
    assert readme and readme.data == b"another\n"
    unpacked_data, unpacked_over = imports[-2:]
    assert unpacked_data.commit and unpacked_over.commit == commit
    read = repo.commit(unpacked_data.commit)
    assert read.subject == b"Unpack data.tar.xz in sub/data/" and read.author.date == b"77 +0000"
    assert repo.commit(commit).parents == (unpacked_data.commit,)
    assert unpacked_over.changes and unpacked_over.changes.paths == (("changed", b"README"),)


def test_an_archive_that_is_there_already(repo: Repository, tag: Found, tmp_path: Path) -> None:
    """As a submodule's content may be."""
    path = tarball(tmp_path / "src.tar.xz", {"a.c": b"int a;\n"}, top="")
    commit, [imported] = made(repo, tag, (Archive(b"src.tar.xz", b"", b"src"), path), whole=False)
    assert (commit, imported.commit) == (tag.commit, None)


def test_imported_once(repo: Repository, tmp_path: Path) -> None:
    path = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED)
    first = unpack(repo, path, b"demo-1.2.tar.xz")
    said: list[str] = []
    assert unpack(repo, path, b"demo-1.2.tar.xz", said.append) == first and not said
    assert unpacked.find(repo, b"demo-1.2.tar.xz", first.sha512) == first


# -- where they come from ----------------------------------------------------------------------


@pytest.fixture
def pkg_git(tmp_path: Path) -> Source:
    return Source(tmp_path / "demo.git")


def originals(pkg_git: Source, commit: str, tmp_path: Path, lookaside: str) -> Originals:
    package = PkgGit(Mirror(str(pkg_git.path), tmp_path)).at(commit)
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return Originals(
        package, "demo", Lookaside(lookaside, tmp_path / "kept"), scratch, lambda _: None
    )


def test_from_the_lookaside_cache_only_once(
    pkg_git: Source, repo: Repository, tmp_path: Path
) -> None:
    path = tarball(tmp_path / "demo-1.2.tar.xz", SHIPPED)
    sha = hashlib.sha512(path.read_bytes()).hexdigest()
    listed = f"SHA512 (demo-1.2.tar.xz) = {sha}\nSHA512 (gone.tar) = {'0' * 128}\n"
    commit = pkg_git.commit({"sources": listed}, "x")
    found = originals(pkg_git, commit, tmp_path, str(tmp_path)).unpacked(repo, b"demo-1.2.tar.xz")
    assert found.sha512 == sha
    nowhere = originals(pkg_git, commit, tmp_path, "http://127.0.0.1:9/%{filename}")
    assert nowhere.unpacked(repo, b"demo-1.2.tar.xz") == found
    with pytest.raises(RemoteUnavailable):
        nowhere.unpacked(repo, b"gone.tar")
    with pytest.raises(CannotConvert, match=r"neither pkg-git nor its sources file has other\.tar"):
        nowhere.unpacked(repo, b"other.tar")
    path.write_bytes(b"something else")
    with pytest.raises(ChecksumDiffers):
        originals(pkg_git, commit, tmp_path, str(tmp_path)).file(b"demo-1.2.tar.xz")


@pytest.mark.parametrize("directory", ["", "SOURCES/"])
def test_from_pkg_git_itself(
    pkg_git: Source, repo: Repository, tmp_path: Path, directory: str
) -> None:
    data = tarball(tmp_path / "here.tar.xz", SHIPPED).read_bytes()
    commit = pkg_git.commit(
        {f"{directory}demo.tar.xz": data, f"{directory}link.tar.xz": b"demo.tar.xz"},
        "x",
        modes={f"{directory}link.tar.xz": "120000"},
    )
    held = originals(pkg_git, commit, tmp_path, "http://127.0.0.1:9/%{filename}")
    assert held.file(b"demo.tar.xz").read_bytes() == data == held.file(b"link.tar.xz").read_bytes()
    assert held.unpacked(repo, b"demo.tar.xz").sha512 == hashlib.sha512(data).hexdigest()
