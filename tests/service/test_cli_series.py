"""``srcgit convert --series``: a plain quilt queue; the judge is ``quilt push -a``."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.builders import Sample, change, sample
from tests.service.test_cli import git, srcgit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture
def queue(made: Sample, tmp_path: Path) -> Path:
    """A mail, a -p0 diff, a compressed one with an offset, a reversed one, one that guards leave out."""
    linux, path = made.linux, tmp_path / "queue-6.12"
    (path / "net").mkdir(parents=True)

    def edit(parent: str, file: str, function: int, note: str) -> str:
        text = change(linux.file(parent, file).decode(), function, note)
        return linux.commit({file: text}, f"{note}\n", branch="queue", parent=parent)

    one = edit("v6.12.8", "mm/slab.c", 1, "mm: one")
    two = edit(one, "fs/btrfs/super.c", 3, "btrfs: two")
    three = edit(two, "drivers/net/tun.c", 8, "tun: three")
    away = edit(three, "init/main.c", 2, "init: gone")
    (path / "one.patch").write_bytes(linux.mails("v6.12.8", one))
    (path / "two.diff").write_bytes(linux.diff(one, two, "--no-prefix"))
    exact = linux.diff(two, three)
    moved = re.sub(rb"@@ -(\d+),", lambda m: b"@@ -%d," % (int(m[1]) - 3), exact)
    assert moved != exact, "patch finds this hunk three lines away"
    (path / "net/three.patch.gz").write_bytes(gzip.compress(moved))
    (path / "undo.patch").write_bytes(linux.diff(away, three))
    (path / "series").write_text(
        "# the queue\none.patch\n\ntwo.diff -p0\nnet/three.patch.gz # with an offset\nundo.patch -R\n"
    )
    return path


def test_a_queue_becomes_what_quilt_push_makes(made: Sample, queue: Path, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    asked = ("--series", queue, "--base", "v6.12.8", "--upstream", made.linux.path, "--repo", repo)
    done = json.loads(srcgit("convert", *asked, "--json")[0])
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", "-b", "v6.12.8", str(made.linux.path), str(work))
    command = ["quilt", "--quiltrc", "-", "push", "-a", "-q"]
    environment = {"PATH": "/usr/bin:/bin", "QUILT_PATCHES": str(queue), "QUILT_SERIES": "series"}
    pushed = subprocess.run(command, cwd=work, env=environment, capture_output=True, check=False)
    assert pushed.returncode == 0, pushed
    (work / ".git/info/exclude").write_text(".pc\n")
    git(work, "add", "-A")
    assert done["series"]["tree"] == git(work, "write-tree")
    assert (done["branch"], done["tag"]) == ("queue-6.12", "queue-6.12-6.12.8-1")
    subjects = [c["subject"] for p in done["series"]["patches"] for c in p["commits"]]
    assert [p["offset"] for p in done["series"]["patches"]] == [0, 0, 3, 0]
    assert subjects == ["mm: one", "two", "three", 'Revert "undo"']
    assert (
        git(repo, "show", f"{done['tag']}:fedora/series") == (queue / "series").read_text().strip()
    )
    again = json.loads(srcgit("convert", *asked, "--json")[0])
    assert {**again, "seconds": 0} == {**done, "seconds": 0}


def test_guards_leave_out(made: Sample, queue: Path, tmp_path: Path) -> None:
    (queue / "series").write_text("+rt one.patch\n-rt two.diff -p0\n")
    asked = ("--series", queue, "--base", "v6.12.8", "--upstream", made.linux.path)
    plain = json.loads(srcgit("plan", *asked, "--json")[0])
    assert [s["patch"] for s in plain["steps"]] == ["two.diff"]
    guarded = json.loads(srcgit("plan", *asked, "--guard", "rt", "--json")[0])
    assert [s["patch"] for s in guarded["steps"]] == ["one.patch"]


@pytest.mark.parametrize("series", ["../x.patch\n", "one.patch -p\n"])
def test_a_bad_series_is_refused(made: Sample, queue: Path, series: str) -> None:
    (queue / "series").write_text(series)
    asked = ("--series", queue, "--base", "v6.12.8", "--upstream", made.linux.path)
    _, said = srcgit("plan", *asked, status=2)
    assert "line 1" in said


def test_a_series_needs_its_base(queue: Path) -> None:
    _, said = srcgit("plan", "--series", queue, status=2)
    assert "--base REV" in said
