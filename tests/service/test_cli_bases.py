"""Small packages of any kind, planned and converted from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Source, source_file

SRCGIT = [sys.executable, "-m", "service.cli"]
SPEC = """\
Name: {name}
Version: {version}
Release: {release}
Summary: A package
License: MIT
{preamble}
Patch1: fix.patch
%description
A package.
%prep
{prep}
%changelog
"""


def srcgit(*args: str | Path) -> Any:
    done = subprocess.run(
        [*SRCGIT, *map(str, args)], capture_output=True, text=True, check=False, env=os.environ
    )
    return done.returncode, done.stdout, done.stderr


class Packaged:
    """An upstream with tags, and a pkg-git whose one patch is made from its last commit."""

    def __init__(self, directory: Path, name: str, tags: tuple[str, ...], patched: str) -> None:
        self.upstream = Source(directory / f"{name}-upstream.git")
        self.package = Source(directory / f"{name}.git")
        for n, tag in enumerate(tags):
            files = {"main.c": source_file("main", 12), "version": f"{n}\n"}
            self.upstream.tag(tag, self.upstream.commit(files, f"{tag}\n"))
        self.at = self.upstream.rev(patched)
        assert self.at
        changed = source_file("main", 12).replace("result = 22", "result = 23")
        self.tip = self.upstream.commit({"main.c": changed}, "fix\n", branch="fix", parent=self.at)
        self.upstream.git.run("update-ref", "-d", "refs/heads/fix")

    def commit(self, **spec: str) -> str:
        fields = {"prep": "%autosetup -p1", "release": "1%{?dist}", **spec}
        assert self.at
        return self.package.commit(
            {
                f"{spec['name']}.spec": SPEC.format(**fields),
                "fix.patch": self.upstream.mails(self.at, self.tip),
            },
            "import\n",
        )

    def ask(self, command: str, commit: str, *more: str | Path) -> tuple[int, Any, str]:
        status, out, err = srcgit(
            command, f"{self.package.path}#{commit}", "--dist", ".fc41", "--json",
            "--upstream", self.upstream.path, *more,
        )  # fmt: skip
        return status, json.loads(out) if out else None, err


@pytest.fixture
def glib(tmp_path: Path) -> Packaged:
    tags = ("GLIB_2_48_0", "GLIB_2_50_0", "GLIB_2_50_1", "2.54.0")
    return Packaged(tmp_path, "glib2", tags, "GLIB_2_50_0")


def test_plan_and_convert_find_the_tag(glib: Packaged, tmp_path: Path) -> None:
    commit = glib.commit(
        name="glib2",
        version="2.50.0",
        preamble="Source: https://download.example.org/glib-%{version}.tar.xz",
        prep="%autosetup -p1 -n glib-%{version}",
    )
    status, plan, _ = glib.ask("plan", commit)
    assert status == 0
    assert plan["base"]["rev"] == "GLIB_2_50_0"
    assert plan["base"]["template"] == "GLIB_%{version}"
    assert plan["base"]["commit"] == glib.at
    status, out, _ = srcgit("plan", f"{glib.package.path}#{commit}", "--dist", ".fc41", "--upstream", glib.upstream.path)  # fmt: skip
    assert f"base  GLIB_2_50_0  {glib.at[:12] if glib.at else ''} of" in out
    assert "look like GLIB_%{version}" in out
    status, out, _ = srcgit("plan", f"{glib.package.path}#{commit}", "--dist", ".fc41")
    assert status == 0 and "; upstream's v2.50.0, or as upstream spells it\n" in out

    status, done, err = glib.ask("convert", commit, "--repo", tmp_path / "out.git")
    assert status == 0, err
    assert (done["base"]["rev"], done["base"]["commit"]) == ("GLIB_2_50_0", glib.at)
    assert "look like GLIB_%{version}" in done["base"]["how"]
    fixed = glib.upstream.git.run("rev-parse", f"{glib.tip}^{{tree}}").stdout.decode().strip()
    assert done["series"]["tree"] == fixed


def test_what_is_not_there_or_not_clear_is_told(glib: Packaged, tmp_path: Path) -> None:
    for name in ("2.46.0", "2.48.0"):  # the tags before and after look each in another way
        glib.upstream.tag(name, glib.tip)
    for version, status, said in (("2.50.9", 4, "GLIB_2_50_0"), ("2.48.0", 1, "GLIB_2_48_0")):  # fmt: skip
        commit = glib.commit(name="glib2", version=version, preamble="Source: glib-%{version}.tar.xz", prep="%autosetup -p1 -n glib-%{version}")  # fmt: skip
        code, plan, _ = glib.ask("plan", commit)
        assert code == 0
        assert any(said in warning for warning in plan["warnings"])
        code, answer, err = glib.ask("convert", commit, "--repo", tmp_path / "out.git")
        assert code == status
        assert said in answer["error"]["what"]
        assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("length", [7, 40])
def test_a_snapshot(glib: Packaged, tmp_path: Path, length: int) -> None:
    assert glib.at
    commit = glib.commit(
        name="glib2",
        version=f"2.50.0^20240101git{glib.at[:7]}",
        preamble=f"Source: https://github.com/o/glib/archive/{glib.at[:length]}/glib-{glib.at[:7]}.tar.gz",
        prep=f"%autosetup -p1 -n glib-{glib.at[:length]}",
    )
    status, done, err = glib.ask("convert", commit, "--repo", tmp_path / "out.git")
    assert status == 0, err
    assert (done["base"]["kind"], done["base"]["commit"]) == ("commit", glib.at)


FORGE = "%global forgeurl https://github.com/o/glib\n{}\nVersion: 2.50.0\n%forgemeta\nSource: %{{forgesource}}"


def test_forgemeta_build_system_and_autorelease(glib: Packaged, tmp_path: Path) -> None:
    """A commit by macro, a %prep that nobody wrote, a release that only the build's NVR tells."""
    commit = glib.commit(
        name="glib2",
        version="2.50.0",
        release="%autorelease",
        preamble=FORGE.format(f"%global commit {glib.at}").replace("Version: 2.50.0\n", ""),
        prep="%forgeautosetup -p1",
    )
    status, done, err = glib.ask("convert", commit, "--repo", tmp_path / "out.git", "--nvr", "glib2-2.50.0-7.fc41", "--verify")  # fmt: skip
    assert status == 0, err
    assert (done["tag"], done["base"]["commit"]) == ("glib2-2.50.0-7.fc41", glib.at)
    assert done["verified"] == "yes"
    status, plan, _ = glib.ask("plan", commit)
    assert status == 0
    assert any("counts the release" in warning for warning in plan["warnings"])


@pytest.mark.parametrize("prep", ["", "%prep -a\nrm version"])
def test_a_declared_build(glib: Packaged, tmp_path: Path, prep: str) -> None:
    assert glib.at
    text = SPEC.replace("%prep\n{prep}", "{prep}").format(
        name="glib2",
        version="2.50.0",
        release="1%{?dist}",
        preamble="Source: glib2-%{version}.tar.gz\nBuildSystem: meson\nBuildOption(prep): -S git_am",
        prep=prep,
    )
    commit = glib.package.commit(
        {"glib2.spec": text, "fix.patch": glib.upstream.mails(glib.at, glib.tip)}, "import\n"
    )
    status, done, err = glib.ask("convert", commit, "--repo", tmp_path / "out.git", "--verify")
    assert status == 0, err
    assert done["base"]["rev"] == "GLIB_2_50_0"
    assert len(done["series"]["patches"]) == 1
    assert done["verified"] == "yes"
