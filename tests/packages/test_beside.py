"""Patches for an archive that lies beside the source tree, or flat in it, each there and back.

The converted tree has a directory for an archive beside; else all is as in test_packages.py.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from converter import convert as pipeline
from converter.archives.lookaside import Lookaside
from converter.errors import CannotConvert, ChecksumDiffers
from converter.mirror import Mirror
from converter.odb import Repository
from specparse.prep import SandboxedPreparer
from specparse.trace import SandboxedTracer
from tests.builders import Source
from tests.packages.archives import FILES
from tests.packages.judge import differences, taken_in
from tests.packages.model import EXTRA, ONE, Content, Package, Upstream, diff_u, joined, through
from tests.packages.test_packages import Trial, beside_prep, comes_back, tree_of

DECLARE = "Source1: extra-0.9.tar.gz\nPatch1: one.patch\nPatch2: extra.patch\n"
INSIDE = diff_u(EXTRA, names=("x.orig", "x"), under="lib")
AROUND = through(INSIDE, "sed", "s,^\\(---\\|+++\\) x[.a-z]*/,\\1 ./extra-0.9/,")
MAIN = "%setup -q -b 1\n%patch -P 1 -p1\n"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return Upstream(tmp_path_factory.mktemp("upstream") / "demo.git")


def package(
    idea: str,
    prep: str,
    patch: Content = INSIDE,
    applied: str = "one extra",
    by_hand: str = "",
) -> Package:
    names = [f"{name}.patch" for name in applied.split()]
    files = {**FILES, "extra.patch": patch}
    return Package(idea, prep, files, DECLARE, applied=names, by_hand=by_hand)


BESIDE = [
    package("pushd", MAIN + "pushd ../extra-0.9\n%patch -P 2 -p1\npopd"),
    package("a subshell", MAIN + "(cd ../extra-0.9 && patch -p1 -s < %{PATCH2})"),
    package("patch -d", MAIN + "patch -p1 -s -d ../extra-0.9 < %{PATCH2}"),
    package("by its full path", MAIN + "cd %{_builddir}/extra-0.9\npatch -p1 -s < %{PATCH2}"),
    package("around, -p1", MAIN + "pushd ..\n%patch -P 2 -p1\npopd", AROUND),
    package("around, -p0", MAIN + "cd ..\npatch -p0 -s -i %{PATCH2}", AROUND),
    package("before the main tree", "%setup -q -n extra-0.9 -T -b 1\n%patch -P 2 -p1\n%setup -q -D\n%patch -P 1 -p1", applied="extra one"),
    package("unpacked by tar", "%setup -q\ntar -C .. -xf %{SOURCE1}\n%patch -P 1 -p1\ncd ../extra-0.9\n%patch -P 2 -p1"),
    package("unpacked after the first patch", "%setup -q\n%patch -P 1 -p1\n%setup -q -T -D -b 1\npushd ../extra-0.9\n%patch -P 2 -p1\npopd"),
    package("taken out again", MAIN + "cd ../extra-0.9\n%patch -P 2 -p1\n%patch -P 2 -p1 -R\n%patch -P 2 -p1", applied="one extra extra extra", by_hand="more than a line of its own"),
    package("the main tree, from around", "%setup -q -b 1\ncd ..\n%patch -P 1 -p1\ncd extra-0.9\n%patch -P 2 -p1"),
]  # fmt: skip


@pytest.mark.parametrize("package", BESIDE, ids=lambda p: p.idea)
def test_an_archive_beside_the_tree(package: Package, upstream: Upstream, scratch: Path) -> None:
    if package.idea == "the main tree, from around":
        one = through(
            ONE, "sed", "s,^\\(---\\|+++\\) [ab]/,\\1 x/demo-1.2/,;/^diff --git/d;/^index /d"
        )
        package = replace(package, files={**package.files, "one.patch": one})
    trial = Trial(package, upstream, scratch)
    top = trial.rpmbuild()
    shutil.copytree(top.parent / "extra-0.9", top / "extra-0.9")
    left = taken_in(trial.repo.path, top, scratch)
    request = replace(trial.request, with_prep=True)
    done = pipeline.convert(request, trial.repo, SandboxedTracer(), prepare=SandboxedPreparer())
    assert differences(trial.repo.path, tree_of(done), left) == set()
    assert done.verdict is not None and done.verdict.verified
    assert [patch["patch"] for patch in done.series["patches"]] == list(package.applied or ())
    if "from around" not in package.idea:  # what git writes from there has other names
        again = comes_back(trial, done, scratch) or trial.convert(beside_prep(trial.request))
        assert tree_of(again) == tree_of(done)


def test_a_patch_of_two_trees_at_once_is_refused(upstream: Upstream, scratch: Path) -> None:
    both = joined(
        AROUND, through(ONE, "sed", "s,^\\(---\\|+++\\) [ab]/,\\1 x/demo-1.2/,;/^[^-+@ ]/d")
    )
    trial = Trial(package("both", MAIN + "cd ..\n%patch -P 2 -p1", both), upstream, scratch)
    with pytest.raises(CannotConvert, match="several trees at once"):
        trial.convert(trial.request)


def test_a_directory_of_that_name_in_upstreams_tree_is_in_the_way(
    upstream: Upstream, scratch: Path
) -> None:
    prep = "%setup -q\ntar -C .. -xf %{SOURCE1}\nmv ../extra-0.9 ../src\ncd ../src\n%patch -P 2 -p1"
    trial = Trial(package("in the way", prep, applied="extra"), upstream, scratch)
    with pytest.raises(CannotConvert, match="of its own"):
        trial.convert(trial.request)


def test_without_archives_their_patches_are_left_out_and_told(
    upstream: Upstream, scratch: Path
) -> None:
    trial = Trial(BESIDE[0], upstream, scratch)
    done = trial.convert(replace(trial.request, archives="none"))
    assert [patch["patch"] for patch in done.series["patches"]] == ["one.patch"]
    assert [s["patch"] for s in done.series["skipped"]] == ["extra.patch"]


def _flat(upstream: Upstream) -> bytes:
    """An archive whose files have no directory of their own; one of them lies deeper."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("extra.c", "more/extra.c"):
            member = tarfile.TarInfo(name)
            member.size = 8
            tar.addfile(member, io.BytesIO(b"one\ntwo\n"))
    return buffer.getvalue()


def _edit(name: str) -> bytes:
    return b"--- a/%b\n+++ b/%b\n@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n" % (
        name.encode(),
        name.encode(),
    )


FLAT = [
    ("%setup -q -a 1\n%patch -P 1 -p1\n%patch -P 2 -p1", _edit("extra.c")),
    ("%setup -q -a 1\n%patch -P 1 -p1\n%patch -P 2 -p1", _edit("more/extra.c")),
    ("%setup -q -a 1\n%patch -P 1 -p1\npatch -p1 -s -d more < %{PATCH2}", _edit("extra.c")),
    ("%setup -q\ntar -xf %{SOURCE1}\n%patch -P 1 -p1\n%patch -P 2 -p1", _edit("extra.c")),
    ("%autosetup -p1 -a 1", _edit("extra.c")),
    ("%setup -q -a 1\n%patch -P 1 -p1\n%patch -P 2 -p3", _edit("x/y/more/extra.c")),
]  # fmt: skip


@pytest.mark.parametrize(("prep", "patch"), FLAT)
def test_an_archive_that_lies_flat_in_the_tree(
    prep: str, patch: bytes, upstream: Upstream, scratch: Path
) -> None:
    files: dict[str, Content] = {"one.patch": ONE, "extra.patch": patch, "extra-0.9.tar.gz": _flat}
    trial = Trial(Package("flat", prep, files, DECLARE), upstream, scratch)
    (scratch / "rpm/SOURCES/extra-0.9.tar.gz").write_bytes(_flat(upstream))
    left = taken_in(trial.repo.path, trial.rpmbuild(), scratch)
    done = pipeline.convert(
        trial.request, trial.repo, SandboxedTracer(), prepare=SandboxedPreparer()
    )
    assert differences(trial.repo.path, tree_of(done), left) == set()
    assert done.verdict is not None and done.verdict.verified
    assert [patch["patch"] for patch in done.series["patches"]] == ["one.patch", "extra.patch"]


LAYOUTS = [
    "%setup -q -c -T\ntar -xf %{SOURCE0} --strip-components=1\n%patch -P 1 -p1",
    "%setup -q -c -T\ntar --strip-components 1 -xzf %{SOURCE0}\n%patch -P 1 -p1",
    "%setup -q -c -T -n other\ntar -xzf %{SOURCE0} --strip 1\npatch -p1 -s < %{PATCH1}",
    "%setup -q -c -T\ngzip -dc %{SOURCE0} | tar -x --strip-components=1\n%patch -P 1 -p1",
    "%setup -q -c\ncd demo-%{version}\n%patch -P 1 -p1",
    "%setup -q -c\npushd demo-1.2\n%patch -P 1 -p1\npopd",
    "%setup -q -c -n top\ncd demo-%{version}\npatch -p1 -s < %{PATCH1}",
    "%setup -q -c -n top\npatch -p1 -s -d demo-1.2 < %{PATCH1}",
    "%setup -q -c -T\ntar -xf %{SOURCE0}\ncd demo-1.2\n%patch -P 1 -p1",
    "mkdir -p deep/er\ncd deep/er\ntar -xf %{SOURCE0}\ncd demo-1.2\n%patch -P 1 -p1",
]


@pytest.mark.parametrize("prep", LAYOUTS)
def test_a_layout_that_setup_alone_does_not_make(
    prep: str, upstream: Upstream, scratch: Path
) -> None:
    trial = Trial(Package("layout", prep, {"one.patch": ONE}), upstream, scratch)
    left = taken_in(trial.repo.path, trial.rpmbuild(), scratch)
    done = pipeline.convert(
        trial.request, trial.repo, SandboxedTracer(), prepare=SandboxedPreparer()
    )
    assert differences(trial.repo.path, tree_of(done), left) == set()
    assert done.verdict is not None and done.verdict.verified


@pytest.mark.parametrize(
    "applied", ["%autosetup -p1", "%setup -q\npatch -p2 -s -d lib < %{PATCH1}"]
)
def test_upstream_is_a_directory_of_its_archive(
    applied: str, upstream: Upstream, scratch: Path
) -> None:
    """The upstream here has what the archive has in lib/."""
    inner = Source(scratch / "inner.git")
    files = {"extra.c": upstream.source.file("v1.2", "lib/extra.c"), "Makefile": b"all:\n"}
    inner.tag("v1.2", inner.commit(dict(files), "1.2\n"))
    patch = diff_u(EXTRA)
    trial = Trial(Package("above", applied, {"one.patch": patch}), upstream, scratch)
    left = taken_in(trial.repo.path, trial.rpmbuild(), scratch)
    sources = scratch / "rpm/SOURCES"
    digest = hashlib.sha512((sources / "demo-1.2.tar.gz").read_bytes()).hexdigest()
    pkg_git = Source(scratch / "listed.git")
    listed = {**trial.files, "sources": f"SHA512 (demo-1.2.tar.gz) = {digest}\n".encode()}
    request = replace(
        trial.request,
        pkg_git=Mirror(str(pkg_git.path), scratch),
        rev=pkg_git.commit(dict(listed), "demo\n", branch="rawhide"),
        upstreams=(Mirror(str(inner.path), scratch),),
        lookaside=Lookaside(str(sources), scratch / "kept"),
    )
    done = pipeline.convert(request, trial.repo, SandboxedTracer(), prepare=SandboxedPreparer())
    assert differences(trial.repo.path, tree_of(done), left) == set()
    assert done.verdict is not None and done.verdict.verified
    assert done.series["base"]["how"].endswith("the archive has it in lib/")
    assert done.series["base"]["upstream"] == inner.rev("v1.2")


GLOBS = [
    "pushd po\nfor i in *.txt; do\n  grep -v '^#' $i > $i.tmp || exit 1\n  mv $i.tmp $i || exit 1\ndone\npopd\n",
    "for i in src/*.c; do test -f $i || exit 1; done\n",
    "cat s*c/ut?l.c > /dev/null || exit 1\n",
    "for i in docs/*/*.txt; do head -1 $i || exit 1; done\n",
]  # fmt: skip


@pytest.mark.parametrize("walk", GLOBS)
def test_globs_over_upstreams_files_are_seen(walk: str, upstream: Upstream, scratch: Path) -> None:
    prep = "%setup -q\n" + walk + "%patch -P 1 -p1"
    trial = Trial(Package("glob", prep, {"one.patch": ONE}), upstream, scratch)
    trial.rpmbuild()
    done = trial.convert(trial.request)
    assert [patch["patch"] for patch in done.series["patches"]] == ["one.patch"]


def test_a_glob_that_upstream_has_nothing_for_is_named(upstream: Upstream, scratch: Path) -> None:
    prep = "%setup -q\ngrep x po/*.none || exit 1\n%patch -P 1 -p1"
    trial = Trial(Package("glob", prep, {"one.patch": ONE}), upstream, scratch)
    with pytest.raises(CannotConvert) as caught:
        trial.convert(trial.request)
    assert "the base lacks: po/*.none" in caught.value.next_step
    assert "--upstream" not in caught.value.next_step


LISTED = {
    "sources": ("sources", "SHA512 (demo-1.2.tar.gz) = {sha512}\n"),
    "RHEL's list": (".demo.metadata", "{sha1} SOURCES/demo-1.2.tar.gz\n"),
    "a pointer of git-lfs": (
        "SOURCES/demo-1.2.tar.gz",
        "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n",
    ),
}


@pytest.mark.parametrize("how", LISTED)
@pytest.mark.parametrize("by_hash", [False, True], ids=["by name", "by hash"])
def test_an_archive_by_each_kind_of_list(
    how: str, by_hash: bool, upstream: Upstream, scratch: Path
) -> None:
    trial = Trial(Package("listed", "%autosetup -p1", {"one.patch": ONE}), upstream, scratch)
    left = taken_in(trial.repo.path, trial.rpmbuild(), scratch)
    archive = (scratch / "rpm/SOURCES/demo-1.2.tar.gz").read_bytes()
    sums = {kind: hashlib.new(kind, archive).hexdigest() for kind in ("sha1", "sha256", "sha512")}
    name, text = LISTED[how]
    files = {
        "SPECS/demo.spec": trial.files["demo.spec"],
        "SOURCES/one.patch": trial.files["one.patch"],
        name: text.format(**sums, size=len(archive)).encode(),
    }
    pkg_git = Source(scratch / "listed.git")
    kept = scratch / "kept"
    kept.mkdir()
    digest = re.search(r"\{(sha\d+)\}", text)
    assert digest
    (kept / (sums[digest[1]] if by_hash else "demo-1.2.tar.gz")).write_bytes(archive)
    request = replace(
        trial.request,
        pkg_git=Mirror(str(pkg_git.path), scratch),
        rev=pkg_git.commit(dict(files), "demo\n", branch="el9"),
        branch="el9",
        dist=".el9",
        upstreams=(),
        lookaside=Lookaside(str(kept), scratch / "cache"),
    )
    done = pipeline.convert(request, trial.repo, SandboxedTracer(), prepare=SandboxedPreparer())
    assert differences(trial.repo.path, tree_of(done), left) == set()
    assert done.verdict is not None and done.verdict.verified
    (kept / "demo-1.2.tar.gz").unlink(missing_ok=True)
    (kept / sums[digest[1]]).write_bytes(b"another")
    again = Repository.create(scratch / "again.git")
    with pytest.raises(ChecksumDiffers):
        pipeline.convert(request, again, SandboxedTracer())
