"""``srcgit convert --series``: a plain quilt queue; the judge is ``quilt push -a``."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import subprocess
from pathlib import Path

import pytest

from tests.builders import Sample, change
from tests.service.test_cli import git, srcgit


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


def pushed(made: Sample, queue: Path, tmp_path: Path) -> str | None:
    """Return the tree that quilt push -a leaves; None where it refuses."""
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", "-b", "v6.12.8", str(made.linux.path), str(work))
    command = ["quilt", "--quiltrc", "-", "push", "-a", "-q"]
    environment = {"PATH": "/usr/bin:/bin", "QUILT_PATCHES": str(queue), "QUILT_SERIES": "series"}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, check=False)
    (work / ".git/info/exclude").write_text(".pc\n")
    git(work, "add", "-A")
    return git(work, "write-tree") if done.returncode == 0 else None


def asked(made: Sample, queue: Path) -> tuple[object, ...]:
    return ("--series", queue, "--base", "v6.12.8", "--upstream", made.linux.path)


def test_a_queue_becomes_what_quilt_push_makes(made: Sample, queue: Path, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    command = ("convert", *asked(made, queue), "--repo", repo, "--json")
    done = json.loads(srcgit(*command)[0])
    assert done["series"]["tree"] == pushed(made, queue, tmp_path)
    assert (done["branch"], done["tag"]) == ("queue-6.12", "queue-6.12-6.12.8-1")
    subjects = [c["subject"] for p in done["series"]["patches"] for c in p["commits"]]
    assert [p["offset"] for p in done["series"]["patches"]] == [0, 0, 3, 0]
    assert subjects == ["mm: one", "two", "three", 'Revert "undo"']
    assert (
        git(repo, "show", f"{done['tag']}:fedora/series") == (queue / "series").read_text().strip()
    )
    again = json.loads(srcgit(*command)[0])
    assert {**again, "seconds": 0} == {**done, "seconds": 0}


@pytest.mark.parametrize(
    "series",
    [
        "one.patch -p 1\ntwo.diff --strip=1 -p 0\n",
        "one.patch -p1 --fuzz 0 -N\ntwo.diff -p0 -F3 -E\n",
        "one.patch\nundo.patch --reverse\n",
        "inside.diff -p3 -d mm\n",
        "two.diff.bz2 -p0\nnet/three.patch.gz\none.patch.xz\n",
        "nothing.patch\none.patch",
        "one.patch -R -p1\n",
        "two.diff --strip=0\n",
        "two.diff\n",
        "words.patch\n",
        "one.patch\none.patch -R\n",
        "absent.patch\n",
    ],
)
def test_the_options_of_a_line_are_those_of_quilt(
    made: Sample, queue: Path, tmp_path: Path, series: str
) -> None:
    one = (queue / "one.patch").read_bytes()
    (queue / "inside.diff").write_bytes(one.replace(b"/mm/", b"/x/y/"))
    (queue / "one.patch.xz").write_bytes(lzma.compress(one))
    (queue / "two.diff.bz2").write_bytes(bz2.compress((queue / "two.diff").read_bytes()))
    (queue / "nothing.patch").write_bytes(b"")
    (queue / "words.patch").write_bytes(b"only words\n")
    (queue / "series").write_text(series)
    expected = pushed(made, queue, tmp_path)
    command = ("convert", *asked(made, queue), "--repo", tmp_path / "r.git", "--json")
    if expected is None:
        answer, said = srcgit(*command, status=2 if series.count("one.patch") == 2 else 1)
        assert said.splitlines()[-1].startswith("srcgit: ")
        assert "error" in json.loads(answer)
    else:
        assert json.loads(srcgit(*command)[0])["series"]["tree"] == expected


def test_an_empty_series_is_its_base(made: Sample, queue: Path, tmp_path: Path) -> None:
    (queue / "series").write_text("# nothing to do\n\n")
    command = ("convert", *asked(made, queue), "--repo", tmp_path / "r.git", "--json")
    done = json.loads(srcgit(*command)[0])
    assert done["series"]["patches"] == []
    assert (
        done["series"]["tree"]
        == made.linux.git.run("rev-parse", "v6.12.8^{tree}").stdout.decode().strip()
    )


def test_line_ends_of_other_systems_do_not_matter(made: Sample, queue: Path) -> None:
    one = json.loads(srcgit("plan", *asked(made, queue), "--json")[0])
    (queue / "series").write_bytes((queue / "series").read_bytes().replace(b"\n", b"\r\n"))
    two = json.loads(srcgit("plan", *asked(made, queue), "--json")[0])
    assert one["steps"] == two["steps"]


def test_a_changed_queue_is_the_next_release_and_keeps_the_ids_before_the_change(
    made: Sample, queue: Path, tmp_path: Path
) -> None:
    command = ("convert", *asked(made, queue), "--repo", tmp_path / "r.git", "--json")
    old = json.loads(srcgit(*command)[0])
    (queue / "series").write_text("one.patch\ntwo.diff -p0\nundo.patch -R\n")
    new = json.loads(srcgit(*command)[0])
    assert (old["tag"], new["tag"]) == ("queue-6.12-6.12.8-1", "queue-6.12-6.12.8-2")
    assert new["series"]["patches"][:2] == old["series"]["patches"][:2]
    assert git(tmp_path / "r.git", "rev-parse", "queue-6.12") == new["commit"]


def test_the_series_may_have_another_name(made: Sample, queue: Path) -> None:
    (queue / "rt.series").write_text("two.diff -p0\n")
    where = ("--base", "v6.12.8", "--upstream", made.linux.path, "--json")
    told = json.loads(srcgit("plan", "--series", queue / "rt.series", *where)[0])
    assert [step["patch"] for step in told["steps"]] == ["two.diff"]
    assert told["name"] == "queue-6.12"


def test_a_patch_is_a_file_of_the_queue(made: Sample, queue: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (queue / "away.patch").symlink_to(tmp_path / "secret")
    (queue / "beside.patch").symlink_to("one.patch")
    (queue / "series").write_text("beside.patch\naway.patch\n")
    _, said = srcgit("plan", *asked(made, queue), status=1)
    assert "away.patch is not a file" in said
    (queue / "series").write_text("beside.patch\n")
    srcgit("plan", *asked(made, queue))


def test_guards_leave_out(made: Sample, queue: Path, tmp_path: Path) -> None:
    (queue / "series").write_text("+rt one.patch\n-rt two.diff -p0\n")
    plain = json.loads(srcgit("plan", *asked(made, queue), "--json")[0])
    assert [s["patch"] for s in plain["steps"]] == ["two.diff"]
    guarded = json.loads(srcgit("plan", *asked(made, queue), "--guard", "rt", "--json")[0])
    assert [s["patch"] for s in guarded["steps"]] == ["one.patch"]


@pytest.mark.parametrize("series", ["../x.patch\n", "one.patch -p\n"])
def test_a_bad_series_is_refused(made: Sample, queue: Path, series: str) -> None:
    (queue / "series").write_text(series)
    _, said = srcgit("plan", *asked(made, queue), status=2)
    assert "line 1" in said


def test_a_series_needs_its_base(queue: Path) -> None:
    _, said = srcgit("convert", "--series", queue, status=2)
    assert "--base REV" in said
    assert "base  unknown" in srcgit("plan", "--series", queue)[0]


def test_a_patch_of_a_terabyte_is_not_read(made: Sample, tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue/series").write_text("huge.patch\n")
    with (tmp_path / "queue/huge.patch").open("wb") as file:
        file.truncate(1 << 40)
    words = ["--series", tmp_path / "queue", "--base", "v6.12.8", "--upstream", made.linux.path]
    _, said = srcgit("convert", *words, "--repo", tmp_path / "out.git", status=1)
    assert "huge.patch: more than 134217728 bytes" in said
