"""Several archives in one tree: where each of them lies, and what is applied to it."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from specparse.plan import Archive, SpecError, Step
from specparse.trace import SandboxedTracer
from tests.specparse.conftest import HEAD, PATCH, Traced, copied

ONE = "Source1: extra-3.tar.gz\nPatch1: one.patch\n"
FILES = {"one.patch": PATCH}
Mode = Literal["w:xz", "w:gz", "w:bz2"]
MAIN = Archive(b"demo-1.2.tar.xz", b"demo-1.2")


def extra(directory: bytes, top: bytes = b"extra-3") -> Archive:
    return Archive(b"extra-3.tar.gz", top, directory)


@pytest.mark.parametrize(
    "prep, archive, steps",
    [
        ("%setup -q -a 1\n%patch -P 1 -p1", extra(b"extra-3"), [b""]),
        ("%setup -q -a 1\ncd extra-3\npatch -p1 < %{PATCH1}", extra(b"extra-3"), [b"extra-3"]),
        ("%setup -q -a 1\n%patch -P 1 -p1 -d extra-3/sub", extra(b"extra-3"), [b"extra-3/sub"]),
        ("%autosetup -p1 -a 1", extra(b"extra-3"), [b""]),
        ("%setup -q\n%setup -q -T -D -a 1\n%patch -P 1 -p1", extra(b"extra-3"), [b""]),
        ("%setup -q\nmkdir lib; cd lib\ntar xf %{SOURCE1}", extra(b"lib/extra-3"), []),
        ("%setup -q\ntar -C firmware -xzf %{SOURCE1}", extra(b"firmware/extra-3"), []),
        ("%setup -q\nzcat %{SOURCE1} | tar xf - -C tools", extra(b"tools/extra-3"), []),
        ("%setup -q -a 1\nmv extra-3 data\ncd data\npatch -p1 < %{PATCH1}", extra(b"data"), [b"data"]),
        ("%setup -q -a 1\ncd extra-3\npatch -p1 < %{PATCH1}\ncd ..\nmv extra-3 data", extra(b"data"), [b"data"]),
        ("%setup -q\ntar xf %{SOURCE1} --strip-components=1", extra(b""), []),
        ("%setup -q\nmkdir data\ntar xf %{SOURCE1} --strip-components=1 -C data", extra(b"data"), []),
        ("%setup -q -a 1\ngit init -q\ngit add .\ncd extra-3\ngit am %{PATCH1}", extra(b"extra-3"), [b""]),
        ("%setup -q -a 1\ncd extra-3\ngit init -q\ngit am %{PATCH1}", extra(b"extra-3"), [b"extra-3"]),
    ],
)  # fmt: skip
def test_in_the_tree(traced: Traced, prep: str, archive: Archive, steps: list[bytes]) -> None:
    plan = traced(ONE, prep, FILES)
    assert plan.archives == (MAIN, archive)
    assert [step.directory for step in plan.steps] == steps


def test_beside_the_tree(traced: Traced) -> None:
    plan = traced(
        ONE, "%setup -q -b 1\n%patch -P 1 -p1\ncd ../extra-3\npatch -p1 < %{PATCH1}", FILES
    )
    beside = Archive(b"extra-3.tar.gz", b"extra-3", b"extra-3", b"../extra-3")
    assert plan.archives == (MAIN, beside)
    assert [step.directory for step in plan.steps] == [b"", b"extra-3"]
    assert not plan.unrepresented and not plan.skipped


def test_names_of_the_sandbox_are_nobodys(traced: Traced) -> None:
    prep = "%setup -q\nchmod a+r *\nchmod -x %{SOURCE1} %{_builddir}/x"
    plan = traced("%global size %(cat %{_sourcedir}/extra-3.tar.gz)\n" + ONE, prep, FILES)
    said = [u.command for u in plan.unrepresented] + list(plan.warnings)
    assert any("chmod -x extra-3.tar.gz" in line for line in said), said
    assert any("cat: " in line for line in said), said
    assert not any("/tmp" in line or "srcgit" in line for line in said), said


def test_in_order_of_unpacking(traced: Traced) -> None:
    preamble = ONE + "Source2: more-1.tar.gz\n"
    prep = "%setup -q\ntar xf %{SOURCE2}\ntar xf %{SOURCE1}\n"
    prep += "chmod -R u+w extra*; sleep 0.02; chmod -R u+w more*"  # %setup does so
    plan = traced(preamble, prep, FILES)
    assert [a.file for a in plan.archives] == [
        b"demo-1.2.tar.xz",
        b"more-1.tar.gz",
        b"extra-3.tar.gz",
    ]


@pytest.mark.parametrize(
    "prep, archive, directory",
    [
        ("%setup -q -c\n%patch -P 1 -p1", Archive(b"demo-1.2.tar.xz"), b""),
        ("%setup -q -c -n other\n%patch -P 1 -p1", Archive(b"demo-1.2.tar.xz"), b""),
        ("%setup -q -c\ncd demo-1.2\npatch -p1 < %{PATCH1}", MAIN, b""),
        ("%setup -q -c -n x\nmv demo-1.2 y\ncd y\npatch -p1 < %{PATCH1}", MAIN, b""),
        ("%setup -q -n demo-1.2/sub\n%patch -P 1 -p1", Archive(b"demo-1.2.tar.xz", b"demo-1.2"), b"sub"),
    ],
)  # fmt: skip
def test_what_setup_tells(traced: Traced, prep: str, archive: Archive, directory: bytes) -> None:
    plan = traced("Patch1: one.patch\n", prep, FILES)
    assert plan.archives == (archive,)
    assert [step.directory for step in plan.steps] == [directory]


# -- what is known of them ---------------------------------------------------------------------


def known(
    traced: Traced,
    package: Path,
    prep: str,
    archives: Mapping[bytes, list[bytes]],
    preamble: str = ONE,
) -> tuple[list[Archive], list[Step]]:
    traced(preamble, prep, FILES)
    plan = SandboxedTracer()(
        copied(package), b"demo.spec", dist=".fc28", arch="x86_64", archives=archives
    )
    return list(plan.archives), list(plan.steps)


FLAT = [b"src/", b"src/a.c", b"README"]


def test_patches_around_the_archive_s_directory(traced: Traced, package: Path) -> None:
    prep = "%setup -q -c -a 1\npatch -p1 < %{PATCH1}\ncd extra\npatch -p1 < %{PATCH1}"
    held = {
        MAIN.file: [b"demo-1.2/", b"demo-1.2/README"],
        b"extra-3.tar.gz": [b"extra/", b"extra/x"],
    }
    archives, steps = known(traced, package, prep, held)
    assert archives == [Archive(MAIN.file, b"demo-1.2", b"demo-1.2"), extra(b"extra", b"extra")]
    assert [step.directory for step in steps] == [b"", b"extra"]


@pytest.mark.parametrize(
    "applied", ["patch -p1 < %{PATCH1}", "quilt import -p1 %{PATCH1}\nquilt push -q"]
)
def test_patches_in_the_archive_s_directory(traced: Traced, package: Path, applied: str) -> None:
    held = {MAIN.file: [b"demo-1.2/", b"demo-1.2/README"], b"extra-3.tar.gz": [b"extra/x"]}
    archives, steps = known(traced, package, f"%setup -q -c -a 1\ncd demo-1.2\n{applied}", held)
    assert archives == [MAIN]
    assert [step.directory for step in steps] == [b""]


def test_no_patches_around_it(traced: Traced, package: Path) -> None:
    held = {MAIN.file: [b"demo-1.2/", b"demo-1.2/README"], b"extra-3.tar.gz": [b"x"]}
    archives, _ = known(traced, package, "%setup -q -c -a 1", held)
    assert archives == [Archive(MAIN.file, b"demo-1.2", b"demo-1.2"), extra(b"", b"")]


def test_without_a_directory_of_its_own(traced: Traced, package: Path) -> None:
    prep = (
        "%setup -q -c\ntest -f README && patch -p1 < %{PATCH1}\ntest -f x || patch -p1 < %{PATCH1}"
    )
    archives, steps = known(traced, package, prep, {MAIN.file: FLAT})
    assert archives == [Archive(MAIN.file)]
    assert [step.directory for step in steps] == [b"", b""]


def test_one_of_several_directories_is_the_tree(traced: Traced, package: Path) -> None:
    prep = "%setup -q -n src\npatch -p1 < %{PATCH1}"
    archives, steps = known(traced, package, prep, {MAIN.file: FLAT})
    assert archives == [Archive(MAIN.file, b"src")]
    assert [step.directory for step in steps] == [b""]


def test_two_in_the_same_place(traced: Traced, package: Path) -> None:
    held = {MAIN.file: [b"demo-1.2/", b"demo-1.2/a"], b"extra-3.tar.gz": [b"b", b"c"]}
    archives, steps = known(traced, package, "%setup -q -a 1\npatch -p1 < %{PATCH1}", held)
    assert archives == [MAIN, extra(b"", b"")]
    assert [step.directory for step in steps] == [b""]


def test_an_archive_that_is_not_what_setup_expects(traced: Traced, package: Path) -> None:
    with pytest.raises(SpecError, match=r"does not find its way in demo-1.2.tar.xz: cd demo-1.2"):
        known(traced, package, "%autosetup -p1", {MAIN.file: [b"other/", b"other/README"]})


def test_what_moves_the_base_is_a_patch_where_the_archive_is_the_base(
    traced: Traced, package: Path
) -> None:
    preamble = "Source0: linux-4.15.tar.xz\nPatch1: patch-4.15.3.xz\n"
    text = HEAD.replace("Source0: demo-1.2.tar.xz\n", preamble)
    traced("", files=FILES, whole=text + "%description\n%prep\n%setup -q -n linux-4.15\nxzcat %{PATCH1} | patch -p1\n%changelog\n")  # fmt: skip
    plans = [
        SandboxedTracer()(
            copied(package), b"demo.spec", dist=".fc28", arch="x86_64", archives=archives
        )
        for archives in ({}, {b"linux-4.15.tar.xz": [b"linux-4.15/Makefile"]})
    ]
    assert [plan.base.rev for plan in plans] == ["v4.15.3", "v4.15"]
    assert [plan.base_patches for plan in plans] == [(b"patch-4.15.3.xz",), ()]
    assert [step.patch for step in plans[1].steps] == [b"patch-4.15.3.xz"]


def test_a_patch_of_the_lookaside_cache_is_a_patch(traced: Traced) -> None:
    files = {"sources": b"d41d8cd98f00b204e9800998ecf8427e  big.patch.gz\n"}
    plan = traced("Patch1: big.patch.gz\n", "%setup -q\nzcat %{PATCH1} | patch -p1", files)
    assert [step.patch for step in plan.steps] == [b"big.patch.gz"]
    assert (plan.base.rev, plan.base_patches) == ("v1.2", ())


# -- in pkg-git itself -------------------------------------------------------------------------


def tarball(names: Mapping[str, bytes], mode: Mode) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w:xz", "w:gz", "w:bz2"], ids=["xz", "gz", "bz2"])
def test_a_small_archive_in_pkg_git_is_read(traced: Traced, mode: Mode) -> None:
    files = {
        "held.tar": tarball({"odd-name/file": b"needle\n"}, mode),
        "one.patch": PATCH,
    }
    text = HEAD.replace("demo-1.2.tar.xz", "held.tar")
    prep = "%setup -q -n odd-name\ngrep needle file && patch -p1 < %{PATCH1}\n"
    plan = traced("", files=files, whole=text + "Patch1: one.patch\n%description\n%prep\n" + prep)
    assert plan.archives == (Archive(b"held.tar", b"odd-name"),)
    assert [step.patch for step in plan.steps] == [b"one.patch"]


def test_a_small_zip_in_pkg_git_is_read(traced: Traced) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("file", "needle\n")
    preamble = "Source1: held.zip\nPatch1: one.patch\n"
    files = {"held.zip": buffer.getvalue(), "one.patch": PATCH}
    plan = traced(preamble, "%setup -q -a 1\ngrep needle file && patch -p1 < %{PATCH1}", files)
    assert plan.archives == (MAIN, Archive(b"held.zip"))
    assert len(plan.steps) == 1


def test_a_gem(traced: Traced) -> None:
    text = HEAD.replace("demo-1.2.tar.xz", "demo-1.2.gem") + "Patch1: one.patch\n"
    plan = traced("", files=FILES, whole=text + "%description\n%prep\n%setup -q\n%patch -P 1 -p1\n")
    assert plan.archives == (Archive(b"demo-1.2.gem", b"demo-1.2"),)
    assert len(plan.steps) == 1
