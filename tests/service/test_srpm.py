"""``--srpm``: a source RPM in the place of a build; rpmbuild makes them, and hostile ones are bent."""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from specparse import srpm
from specparse.plan import SpecError
from tests.builders import JUSTIN, Source, change, kernel_upstream
from tests.service.test_cli import answer, git, srcgit

SPEC = """\
Name: demo
Version: 4.15
Release: 1.fc28
Summary: A demo
License: MIT
Source0: linux-4.15.tar.gz
Patch1: one.patch
BuildArch: noarch
%description
A demo.
%prep
%autosetup -p1 -n linux-4.15
%changelog
* Mon Jan 29 2018 Ann Author <ann@example.com> - 4.15-1
- The first one
"""


def srpm_of(room: Path, files: dict[str, bytes], spec: str = SPEC) -> Path:
    """Let rpmbuild make a source RPM."""
    sources = room / "SOURCES"
    sources.mkdir(parents=True)
    for name, data in files.items():
        (sources / name).write_bytes(data)
    (sources / "demo.spec").write_text(spec)
    defines = {"_sourcedir": sources, "_srcrpmdir": room, "_topdir": room, "_tmppath": room}
    words = [word for key, value in defines.items() for word in ("-D", f"{key} {value}")]
    command = ["rpmbuild", "-bs", *words, str(sources / "demo.spec")]
    subprocess.run(command, check=True, capture_output=True)
    [made] = room.glob("*.src.rpm")
    return made


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return kernel_upstream(tmp_path_factory.mktemp("linux") / "linux.git")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, linux: Source) -> Path:
    text = change(linux.file("v4.15", "mm/slab.c").decode(), 3, "one")
    one = linux.commit(
        {"mm/slab.c": text}, "mm: one\n\nWhy.\n", branch="x", parent="v4.15", author=JUSTIN
    )
    tar = linux.git.run("archive", "--prefix=linux-4.15/", "--format=tar", "v4.15").stdout
    files = {
        "linux-4.15.tar.gz": gzip.compress(tar, 1, mtime=0),
        "one.patch": linux.mails("v4.15", one),
    }
    return srpm_of(tmp_path_factory.mktemp("srpm"), files)


def test_a_source_rpm_is_converted_on_its_tag_or_on_its_archive(
    linux: Source, package: Path, tmp_path: Path
) -> None:
    on_tag = answer(
        *("convert", "--srpm", package, "--upstream", linux.path, "--repo", tmp_path / "r.git")
    )
    assert (on_tag["tag"], on_tag["branch"]) == ("demo-4.15-1.fc28", "f28")
    assert on_tag["base"]["rev"] == "v4.15"
    alone = answer("convert", "--srpm", package, "--repo", tmp_path / "a.git")
    assert alone["base"]["kind"] == "archive"
    assert alone["series"]["tree"] == on_tag["series"]["tree"]
    assert git(tmp_path / "r.git", "log", "-1", "--format=%an|%s|%b", "f28") == (
        "Ann Author|demo-4.15-1.fc28|demo-4.15-1.fc28\n\n- The first one"
    )
    again = answer("convert", "--srpm", package, "--repo", tmp_path / "a.git")
    assert {**again, "seconds": 0} == {**alone, "seconds": 0}
    srcgit("convert", "--srpm", package, "--nvr", "demo-4.15-2.fc28", "--repo", tmp_path, status=2)


def test_a_source_rpm_is_verified(linux: Source, package: Path) -> None:
    done = answer("verify", "--srpm", package, "--upstream", linux.path)
    assert done["verified"] == "yes"


def test_a_source_rpm_of_a_release_without_a_dist_tag_is_verified(
    linux: Source, tmp_path: Path
) -> None:
    tar = linux.git.run("archive", "--prefix=linux-4.15/", "--format=tar", "v4.15").stdout
    text = change(linux.file("v4.15", "mm/slab.c").decode(), 3, "one")
    one = linux.commit({"mm/slab.c": text}, "mm: one\n", branch="y", parent="v4.15")
    files = {
        "linux-4.15.tar.gz": gzip.compress(tar, 1, mtime=0),
        "one.patch": linux.mails("v4.15", one),
    }
    package = srpm_of(tmp_path, files, SPEC.replace("1.fc28", "1"))
    done = answer("convert", "--srpm", package, "--repo", tmp_path / "r.git", "--verify")
    assert (done["tag"], done["verified"]) == ("demo-4.15-1", "yes")


def test_the_header_must_tell_what_the_spec_tells(package: Path, tmp_path: Path) -> None:
    bent = tmp_path / "bent.src.rpm"
    data = package.read_bytes()
    start = data.index(b"4.15\0", 100)
    bent.write_bytes(data[:start] + b"4.16" + data[start + 4 :])
    _, said = srcgit("plan", "--srpm", bent, status=1)
    assert said.startswith("srcgit: ")


def repacked(package: Path, members: Callable[[bytes], bytes]) -> bytes:
    """Return the package with its payload, a gzipped cpio archive, changed."""
    data = package.read_bytes()
    start = data.rindex(b"\x1f\x8b\x08")
    return data[:start] + gzip.compress(members(gzip.decompress(data[start:])))


BENT: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda package: b"",
    "not an RPM": lambda package: b"#!/bin/sh\n" * 1000,
    "a lead alone": lambda package: package.read_bytes()[:96],
    "a header cut short": lambda package: package.read_bytes()[:2000],
    "a payload cut short": lambda package: package.read_bytes()[:-300],
    "a name that leads out": lambda p: repacked(p, lambda c: c.replace(b"one.patch", b"../.patch")),
    "an absolute name": lambda p: repacked(p, lambda c: c.replace(b"one.patch", b"/etc/pass")),
    "a link": lambda p: p.read_bytes().replace(b"\x81\xa4", b"\xa1\xff"),
    "no gzip": lambda p: p.read_bytes()[: p.read_bytes().rindex(b"\x1f\x8b\x08")] + b"x" * 500,
}


@pytest.mark.parametrize("how", BENT)
def test_a_hostile_source_rpm_is_refused_in_a_line(package: Path, tmp_path: Path, how: str) -> None:
    bent = tmp_path / "x/bent.src.rpm"
    bent.parent.mkdir()
    bent.write_bytes(BENT[how](package))
    before = sorted(os.listdir(tmp_path))
    _, said = srcgit("plan", "--srpm", bent, status=1)
    assert said.count("\n") == 1 and said.startswith("srcgit: ")
    assert sorted(os.listdir(tmp_path)) == before


def test_no_more_is_unpacked_than_the_limit(package: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,  # pytest's own is not for other accounts
        pytest.raises(SpecError, match="more than is unpacked"),
    ):
        srpm.unpack(package, Path(scratch), limit=1000)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    _, said = srcgit("plan", "--srpm", tmp_path / "none.src.rpm", status=2)
    assert "none.src.rpm" in said


def test_a_configured_package_and_a_raw_diff(linux: Source, tmp_path: Path) -> None:
    """Its upstream is the configured one; a diff without an author takes the changelog's, and says so."""
    text = change(linux.file("v4.15", "mm/slab.c").decode(), 4, "raw")
    raw = linux.commit({"mm/slab.c": text}, "raw", branch="y", parent="v4.15")
    package = srpm_of(
        tmp_path / "srpm", {"linux-4.15.tar.gz": b"", "one.patch": linux.diff("v4.15", raw)}
    )
    config = tmp_path / "config.toml"
    config.write_text(
        f'[consumer_config]\nstate = "{tmp_path}/state"\n'
        f'[consumer_config.packages.demo]\nupstreams = ["{linux.path}"]\n'
    )
    repo = tmp_path / "r.git"
    done = answer("convert", "--srpm", package, "--config", config, "--repo", repo)
    assert done["base"]["rev"] == "v4.15"
    [commit] = done["series"]["patches"][0]["commits"]
    shown = git(repo, "show", "-s", "--format=%an %as%n%B", commit["commit"])
    assert shown.startswith("Ann Author 2018-01-29\none\n")
    assert "newest changelog entry of the source RPM" in " ".join(shown.split())
