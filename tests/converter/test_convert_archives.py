"""Whole conversions from archives; what the real ``rpmbuild -bp`` leaves is the judge."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from converter import convert as pipeline
from converter.archives.lookaside import Lookaside
from converter.conversion import Conversion
from converter.errors import CannotConvert, PatchDoesNotApply, RemoteUnavailable, WrongUsage
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from specparse.trace import SandboxedTracer
from tests.builders import Source
from tests.httpfiles import HttpFiles

HEAD = """\
Name: demo
Version: 1.2
Release: 3%{?dist}
Summary: A demo
License: MIT
URL: https://example.org/demo
"""
TAIL = """
%description
A demo.
%prep
"""
MAIN = {
    "README": b"hello\n",
    "src/a.c": b"int a;\n",
    "configure": b"#!/bin/sh\n",
    "doc/man": b"1\n",
}
DATA = {"data/one": b"1\n", "data/sub/two": b"2\n"}


def patch(path: str, old: str, new: str) -> bytes:
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n".encode()


def tarball(
    files: Mapping[str, bytes],
    top: str = "",
    mode: Literal["w:gz", "w:xz"] = "w:gz",
    directories: Sequence[str] = (),
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name in directories:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(top + name)
            info.size, info.mtime = len(data), 1_600_000_000
            info.mode = 0o775 if name == "configure" else 0o664
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Case:
    """A package: its sources in the lookaside cache (``away``) or in pkg-git (``held``)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.away: dict[str, bytes] = {}
        self.pkg_git = Source(directory / "demo.git")
        self.lookaside = directory / "lookaside"
        self.lookaside.mkdir()

    def commit(
        self, preamble: str, prep: str, away: Mapping[str, bytes], held: Mapping[str, bytes]
    ) -> Request:
        self.away = dict(away)
        for name, data in away.items():
            (self.lookaside / name).write_bytes(data)
        listed = "".join(
            f"SHA512 ({name}) = {hashlib.sha512(data).hexdigest()}\n" for name, data in away.items()
        )
        spec = HEAD + preamble + TAIL + prep + "\n%changelog\n"
        self.files: dict[str, bytes | str | None] = {"demo.spec": spec, "sources": listed, **held}
        commit = self.pkg_git.commit(self.files, "demo\n", branch="f41")
        return Request(
            Mirror(str(self.pkg_git.path), self.directory),
            commit,
            dist=".fc41",
            lookaside=Lookaside(str(self.lookaside), self.directory / "kept"),
        )

    def convert(self, request: Request, repo: str = "result.git") -> tuple[Conversion, Repository]:
        made = Repository.create(self.directory / repo)
        return pipeline.convert(request, made, SandboxedTracer()), made

    def rpmbuild(self, top: str) -> str:
        """Run the real %prep; return git's id of the tree that it leaves in ``top``."""
        with tempfile.TemporaryDirectory(prefix="srcgit-test-") as path:
            build = Path(path)
            (build / "SOURCES").mkdir()
            for name, data in {**self.files, **self.away}.items():
                content = data.encode() if isinstance(data, str) else data
                assert content is not None
                (build / "SOURCES" / name).write_bytes(content)
            done = subprocess.run(
                ["rpmbuild", "-bp", "--nodeps", "--define", f"_topdir {path}", "--define", "dist .fc41", "--define", "_buildshell /usr/bin/bash",
                 build / "SOURCES/demo.spec"],
                capture_output=True, text=True, check=False,
                env={"PATH": os.defpath, "HOME": path, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            # rpm 4.20 builds below %{builddir}: BUILD/NAME-VERSION-build.
            tree = next((build / "BUILD").glob(f"*-build/{top}"), build / "BUILD" / top)
            for backup in tree.rglob("*.orig"):
                backup.unlink()
            git = ["git", "-C", str(tree)]
            for inner in tree.rglob(".git"):
                shutil.rmtree(inner)
            subprocess.run([*git, "init", "-q"], check=True)
            subprocess.run([*git, "add", "-A", "-f"], check=True)
            return subprocess.run([*git, "write-tree"], check=True, capture_output=True).stdout.decode().strip()  # fmt: skip


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    yield Case(tmp_path)


ONE = {"one.patch": patch("README", "hello", "bye")}
IN_DATA = {"one.patch": patch("one", "1", "uno")}
PATCH1 = "Patch1: one.patch\n"
TGZ = {"demo-1.2.tar.gz": tarball(MAIN, "demo-1.2/")}
SOURCE = "Source0: demo-1.2.tar.gz\n"
SOURCE1 = SOURCE + "Source1: data-3.tar.gz\n" + PATCH1
EXTRA = {"data-3.tar.gz": tarball(DATA)}
TOPPED = {"data-3.tar.gz": tarball({"one": b"1\n", "sub/two": b"2\n"}, "data-3/")}

# idea -> preamble, %prep, the lookaside cache, pkg-git, the directory that is built
PACKAGES: dict[str, tuple[str, str, Mapping[str, bytes], Mapping[str, bytes], str]] = {
    "a tarball": (SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE, "demo-1.2"),
    "no patches": (SOURCE, "%setup -q", TGZ, {}, "demo-1.2"),
    "a tarball in pkg-git": (SOURCE + PATCH1, "%autosetup -p1", {}, {**TGZ, **ONE}, "demo-1.2"),
    "a zip without a directory": (
        "Source0: demo-1.2.zip\n" + PATCH1, "%setup -q -c\n%patch -P 1 -p1",
        {"demo-1.2.zip": zipped(MAIN)}, ONE, "demo-1.2",
    ),
    "another name": (
        SOURCE + PATCH1, "%autosetup -p1 -n other", {"demo-1.2.tar.gz": tarball(MAIN, "other/")}, ONE, "other",
    ),
    "one directory of several": (
        SOURCE + PATCH1, "%setup -q -n code\n%patch -P 1 -p1",
        {"demo-1.2.tar.gz": tarball({**{f"code/{n}": d for n, d in MAIN.items()}, "art/logo": b"x"})}, ONE, "code",
    ),
    "a directory in it": (
        SOURCE + PATCH1, "%setup -q -n demo-1.2/sub\npatch -p1 < %{PATCH1}",
        {"demo-1.2.tar.gz": tarball({f"sub/{n}": d for n, d in MAIN.items()}, "demo-1.2/")}, ONE, "demo-1.2",
    ),
    "patches around it": (
        SOURCE1, "%setup -q -c -a 1\npatch -p1 < %{PATCH1}",
        {**TGZ, **TOPPED}, {"one.patch": patch("data-3/one", "1", "uno")}, "demo-1.2",
    ),
    "moved before it is patched": (
        SOURCE + PATCH1, "%setup -q -c -n x\nmv demo-1.2 y\ncd y\npatch -p1 < %{PATCH1}", TGZ, ONE, "x/y",
    ),
    "-a": (SOURCE1, "%setup -q -a 1\ncd data-3\npatch -p1 < %{PATCH1}", {**TGZ, **TOPPED}, IN_DATA, "demo-1.2"),
    "-a, patched from above": (
        SOURCE1, "%setup -q -a 1\n%patch -P 1 -p1",
        {**TGZ, **TOPPED}, {"one.patch": patch("data-3/one", "1", "uno")}, "demo-1.2",
    ),
    "-a without a directory": (
        SOURCE1, "%setup -q -a 1\n%patch -P 1 -p1 -d data", {**TGZ, **EXTRA}, IN_DATA, "demo-1.2",
    ),
    "-T -D -a": (
        SOURCE1, "%setup -q\n%setup -q -T -D -a 1\n%patch -P 1 -p1", {**TGZ, **EXTRA}, ONE, "demo-1.2",
    ),
    "tar in a directory": (
        SOURCE1, "%setup -q\nmkdir -p lib/x\ntar -C lib/x -xf %{SOURCE1} --strip-components=1\n%patch -P 1 -p1 -d lib/x",
        {**TGZ, **TOPPED}, IN_DATA, "demo-1.2",
    ),
    "renamed": (
        SOURCE1, "%setup -q -a 1\nmv data-3 data\npushd data\npatch -p1 < %{PATCH1}\npopd",
        {**TGZ, **TOPPED}, IN_DATA, "demo-1.2",
    ),
    "after the patches": (
        SOURCE1, "%autosetup -p1\ntar xf %{SOURCE1}", {**TGZ, **TOPPED}, ONE, "demo-1.2",
    ),
    "over the first": (
        SOURCE1, "%setup -q -a 1\n%patch -P 1 -p1",
        {**TGZ, "data-3.tar.gz": tarball({"README": b"hello\n", "src/a.c": b"int b;\n"})}, ONE, "demo-1.2",
    ),
    "beside": (SOURCE1, "%setup -q -b 1\n%patch -P 1 -p1", {**TGZ, **TOPPED}, ONE, "demo-1.2"),
    "a patch of the lookaside cache": (
        SOURCE + "Patch1: one.patch.gz\n", "%setup -q\nzcat %{PATCH1} | patch -p1",
        {**TGZ, "one.patch.gz": gzip.compress(ONE["one.patch"])}, {}, "demo-1.2",
    ),
    "a kernel with its stable patch": (
        "Source0: linux-4.15.tar.xz\nPatch1: patch-4.15.3.xz\nPatch2: one.patch\n",
        "%setup -q -n linux-4.15\nxzcat %{PATCH1} | patch -p1\npatch -p1 < %{PATCH2}",
        {
            "linux-4.15.tar.xz": tarball(MAIN, "linux-4.15/", "w:xz"),
            "patch-4.15.3.xz": subprocess.run(["xz"], input=patch("doc/man", "1", "3"), capture_output=True).stdout,
        },
        ONE, "linux-4.15",
    ),
}  # fmt: skip


@pytest.mark.parametrize("preamble, prep, away, held, top", PACKAGES.values(), ids=PACKAGES)
def test_the_tree_is_what_rpmbuild_leaves(
    case: Case, preamble: str, prep: str, away: Mapping[str, bytes], held: Mapping[str, bytes], top: str
) -> None:  # fmt: skip
    done, repo = case.convert(case.commit(preamble, prep, away, held))
    assert done.series["series"]["tree"] == case.rpmbuild(top)
    base = done.series["base"]
    assert (base["kind"], base["upstream"]) == ("archive", None)
    assert base["archives"][0]["main"] and base["rev"] == base["archives"][0]["archive"]
    first = base["archives"][0]["commit"]
    assert repo.commit(first).parents == ()
    message = (repo.tag_message(done.tag) or b"").decode()
    assert f"\nUpstream: {base['rev']} {base['commit']}\n" in message
    for archive in base["archives"]:
        assert f"\nArchive: {archive['archive']} {archive['commit']}\n" in message


# -- with an upstream --------------------------------------------------------------------------


@pytest.fixture
def upstream(tmp_path: Path) -> Source:
    """Upstream's git lacks the generated file, and has one that is not shipped."""
    source = Source(tmp_path / "upstream.git")
    files = {n: d for n, d in MAIN.items() if n != "configure"} | {".gitignore": b"*.o\n"}
    source.tag("v1.2", source.commit(dict(files), "demo 1.2\n"))
    return source


def on(request: Request, upstream: Source, **more: object) -> Request:
    mirror = Mirror(str(upstream.path), upstream.path.parent)
    return replace(request, upstreams=(mirror,), **more)  # type: ignore[arg-type]


def test_by_default_upstream_s_files_and_no_download(case: Case, upstream: Source) -> None:
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE)
    shutil.rmtree(case.lookaside)
    done, repo = case.convert(on(request, upstream))
    base = done.series["base"]
    assert list(base) == ["kind", "rev", "how", "commit"] and base["commit"] == upstream.rev("v1.2")
    assert list(repo.refs("refs/srcgit/archives")) == []


def test_on_the_tag_where_it_is_asked_for(case: Case, upstream: Source) -> None:
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE)
    done, repo = case.convert(on(request, upstream, archives="whole"))
    assert done.series["series"]["tree"] == case.rpmbuild("demo-1.2")
    base = done.series["base"]
    tag = upstream.rev("v1.2")
    assert (base["kind"], base["rev"], base["upstream"]) == ("tag", "v1.2", tag)
    [archive] = base["archives"]
    assert archive["paths"] == [["removed", ".gitignore"], ["added", "configure"]]
    assert repo.commit(base["commit"]).parents == (tag,)
    assert f"\nUpstream: v1.2 {tag}\n" in (repo.tag_message(done.tag) or b"").decode()


def test_the_archive_that_is_what_upstream_has(case: Case, upstream: Source) -> None:
    shipped = {n: d for n, d in MAIN.items() if n != "configure"} | {".gitignore": b"*.o\n"}
    away = {"demo-1.2.tar.gz": tarball(shipped, "demo-1.2/")}
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", away, ONE)
    done, _ = case.convert(on(request, upstream, archives="whole"))
    assert done.series["base"]["commit"] == upstream.rev("v1.2")
    plain, _ = case.convert(on(request, upstream), "plain.git")
    assert plain.series["series"] == done.series["series"]


def test_an_upstream_without_the_tag(case: Case, upstream: Source) -> None:
    upstream.git.run("update-ref", "-d", "refs/tags/v1.2")
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE)
    done, repo = case.convert(on(request, upstream, archives="whole"))
    assert repo.commit(done.series["base"]["commit"]).parents == ()


def test_the_base_of_the_command_line_is_what_is_below(case: Case, upstream: Source) -> None:
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE)
    done, repo = case.convert(on(request, upstream, archives="whole", base="main"))
    assert repo.commit(done.series["base"]["commit"]).parents == (upstream.rev("v1.2"),)


def test_another_archive_comes_where_a_patch_needs_it(case: Case, upstream: Source) -> None:
    prep = "%setup -q -a 1\npatch -p1 < %{PATCH1}\ncd data-3\npatch -p1 < %{PATCH2}"
    held = {**ONE, "two.patch": patch("one", "1", "uno")}
    preamble = SOURCE1 + "Patch2: two.patch\n"
    request = case.commit(preamble, prep, {**TGZ, **TOPPED}, held)
    done, repo = case.convert(on(request, upstream))
    base = done.series["base"]
    [archive] = base["archives"]
    assert (archive["archive"], archive["directory"], archive["main"]) == (
        "data-3.tar.gz",
        "data-3",
        False,
    )
    assert repo.commit(base["commit"]).parents == (upstream.rev("v1.2"),)
    assert repo.commit(base["commit"]).subject == b"Unpack data-3.tar.gz in data-3/"
    tree = repo.tree(done.series["series"]["commit"])
    one, ignored = tree.get(b"data-3/one"), tree.get(b".gitignore")
    assert one and ignored and one.data == b"uno\n"


@pytest.mark.parametrize(
    "prep", ["%setup -q -a 1\n%patch -P 1 -p1", "%autosetup -p1\ntar xf %{SOURCE1}"]
)
def test_another_archive_is_left_alone_where_none_does(
    case: Case, upstream: Source, prep: str
) -> None:
    request = case.commit(SOURCE1, prep, {**TGZ, **TOPPED}, ONE)
    shutil.rmtree(case.lookaside)
    done, repo = case.convert(on(request, upstream))
    assert "archives" not in done.series["base"]
    told = {u["command"]: u["why"] for u in done.series["unrepresented"]}
    assert told["data-3.tar.gz"] == "unpacked in data-3, and no patch touches it"
    assert list(repo.refs("refs/srcgit/archives")) == []


def test_without_archives_their_patches_are_left_out(case: Case, upstream: Source) -> None:
    prep = "%setup -q -a 1\npatch -p1 < %{PATCH1}\ncd data-3\npatch -p1 < %{PATCH2}"
    held = {**ONE, "two.patch": patch("one", "1", "uno")}
    request = case.commit(SOURCE1 + "Patch2: two.patch\n", prep, {**TGZ, **TOPPED}, held)
    done, _ = case.convert(on(request, upstream, archives="none"))
    assert [p["patch"] for p in done.series["patches"]] == ["one.patch"]
    assert done.series["skipped"] == [
        {"patch": "two.patch", "why": "applied to data-3.tar.gz, which is not fetched"}
    ]


# -- what can go wrong -------------------------------------------------------------------------


def test_ids_are_the_same_everywhere(case: Case, tmp_path: Path) -> None:
    request = case.commit(SOURCE1, "%setup -q -a 1\n%patch -P 1 -p1", {**TGZ, **TOPPED}, ONE)
    first, _ = case.convert(request)
    again, _ = case.convert(request)
    other, _ = case.convert(request, "other.git")
    assert first.commit == again.commit == other.commit and first.tag == other.tag


def test_from_http_and_not_twice(case: Case, tmp_path: Path) -> None:
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE)
    with HttpFiles() as http:
        http.files["/demo-1.2.tar.gz"] = TGZ["demo-1.2.tar.gz"]
        lookaside = Lookaside(http.url + "/%{filename}", tmp_path / "kept")
        http.break_off(40)
        first, _ = case.convert(replace(request, lookaside=lookaside))
        assert [wanted for _, wanted in http.asked] == [None, "bytes=40-"]
        http.asked.clear()
        again, _ = case.convert(replace(request, lookaside=lookaside), "other.git")
        assert http.asked == [] and again.commit == first.commit
        http.files.clear()
        nowhere = Lookaside(http.url + "/%{filename}", tmp_path / "empty")
        with pytest.raises(CannotConvert, match="no such file"):
            case.convert(replace(request, lookaside=nowhere), "third.git")
    with pytest.raises(RemoteUnavailable):
        case.convert(replace(request, lookaside=nowhere), "fourth.git")


def test_no_archive_and_no_upstream(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, "%setup -q -c -T\npatch -p1 < %{PATCH1}", TGZ, ONE)
    with pytest.raises(WrongUsage, match="no upstream repository"):
        case.convert(request)
    with pytest.raises(CannotConvert, match="unpacks no archive"):
        case.convert(replace(request, archives="whole"))
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, ONE)
    with pytest.raises(WrongUsage, match="no upstream repository"):
        case.convert(replace(request, archives="none"))
    with pytest.raises(WrongUsage, match="lookaside"):
        case.convert(replace(request, lookaside=None))


def test_an_archive_that_is_nowhere(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", {}, ONE)
    with pytest.raises(CannotConvert, match=r"neither pkg-git nor its sources file has demo-1\.2"):
        case.convert(request)


def test_a_patch_that_does_not_apply_leaves_the_base(case: Case) -> None:
    wrong = {"one.patch": patch("README", "other", "bye")}
    request = case.commit(SOURCE + PATCH1, "%autosetup -p1", TGZ, wrong)
    with pytest.raises(PatchDoesNotApply):
        case.convert(request)
    repo = Repository(case.directory / "result.git")
    [ref] = repo.refs("refs/srcgit/failed")
    assert repo.commit(repo.ref(ref) or "").subject == b"Import demo-1.2.tar.gz"
