"""``srcgit export``: what a developer did on a clone of the tree goes back to pkg-git.

The proof of each case: what was exported, converted again, makes the developer's own tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from converter.build import Nvr
from converter.convert import convert
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from service import export
from specparse.trace import SandboxedTracer
from tests.builders import Sample, change
from tests.service.test_cli import answer, build, git, srcgit

NVR = {
    "apply_patch": "kernel-3.17.0-300.fc21",
    "git_am": "kernel-4.15.0-1.fc28",
    "today": "kernel-6.12.8-200.fc41",
}


@pytest.fixture(scope="module")
def published(made: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repo = tmp_path_factory.mktemp("published") / "r.git"
    for dialect in NVR:
        asked = (build(made, getattr(made, dialect)), "--upstream", made.linux.path)
        srcgit("convert", *asked, "--repo", repo)
    return repo


@dataclass
class Desk:
    """A developer's two clones: of the published tree, and of pkg-git at the build's commit."""

    made: Sample
    nvr: str
    tree: Path
    package: Path
    room: Path

    def git(self, *args: str) -> str:
        return git(self.tree, *args)

    def edit(self, path: str, function: int, note: str, message: str | None = None) -> None:
        """Change a file; commit it with ``message``, or amend the last commit."""
        file = self.tree / path
        file.write_text(change(file.read_text(), function, note))
        self.git("commit", "-q", "-a", *(["-m", message] if message else ["--amend", "-C", "HEAD"]))

    def replay(self, onto: str, *todo: str) -> None:
        """Make the branch anew: ``todo`` is what git rebase -i is to do on ``onto``.

        A commit is named by its subject's last words; ``exec`` lines are run as they are.
        """
        log = self.git("log", "--format=%H %s").splitlines()
        lines = []
        for line in todo:
            word, _, rest = line.partition(" ")
            commits = [each[:40] for each in log if each.endswith(rest)]
            lines.append(line if word == "exec" else f"{word} {commits[0]}")
        (self.room / "todo").write_text("\n".join(lines) + "\n")
        command = ["git", "-C", str(self.tree), "rebase", "-q", "-i", onto]
        editor = {"GIT_SEQUENCE_EDITOR": f"cp {self.room}/todo", "GIT_EDITOR": "true"}
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **editor})

    def export(self, wanted: str | None = None, base: str | None = None) -> dict[str, Any]:
        """Export the branch into the checkout of pkg-git."""
        done = export.run(
            Repository(self.tree),
            wanted or f"{self.nvr}..work",
            self.package,
            base=base,
            pkg_git=(),
            cache=self.room,
            trace=SandboxedTracer(),
        )
        return done.as_json()

    def refused(self, wanted: str | None = None, *, status: int = 2) -> dict[str, Any]:
        """Return the error of such an export, on the command line."""
        asked = (wanted or f"{self.nvr}..work", "-o", self.package, "--repo", self.tree)
        error: dict[str, Any] = answer("export", *asked, status=status)["error"]
        return error

    def changed(self) -> list[str]:
        """Return what `git status` shows in pkg-git."""
        lines = git(self.package, "status", "--porcelain", "-uall").splitlines()
        return sorted(line.strip() for line in lines)

    def again(self, base: str | None = None) -> str:
        """Commit what lies in pkg-git, convert it; return the tree after the series."""
        assert self.export(base=base)["written"] == []
        git(self.package, "add", "-A")
        git(self.package, "commit", "-q", "--allow-empty", "-m", "returned")
        request = Request(
            Mirror(str(self.package), self.room),
            "HEAD",
            nvr=Nvr.parse(self.nvr),
            branch="x",
            base=base,
            upstreams=(Mirror(str(self.made.linux.path), self.room),),
        )
        done = convert(request, Repository.create(self.room / "again.git"), SandboxedTracer())
        self.subjects = [c["subject"] for p in done.series["patches"] for c in p["commits"]]
        tree: str = done.series["series"]["tree"]
        return tree

    def source_tree(self, rev: str = "work") -> str:
        """Return the tree of ``rev`` without what srcgit added."""
        index = {**os.environ, "GIT_INDEX_FILE": str(self.room / "index")}

        def run(*args: str) -> str:
            command = ["git", "-C", str(self.tree), *args]
            done = subprocess.run(command, env=index, capture_output=True, check=True)
            return done.stdout.decode().strip()

        run("read-tree", rev)
        run("rm", "-r", "-q", "--cached", "--ignore-unmatch", "fedora")
        return run("write-tree")


@pytest.fixture
def desk(made: Sample, published: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    """A desk for the dialect that the test's parameter names; git am where it names none."""
    dialect = getattr(request, "param", "git_am")
    nvr = NVR[dialect]
    git(tmp_path, "clone", "-q", "-b", nvr, str(published), "tree")
    git(tmp_path / "tree", "checkout", "-q", "-b", "work")
    git(tmp_path, "clone", "-q", "-n", str(made.pkg_git.path), "package")
    git(tmp_path / "package", "checkout", "-q", getattr(made, dialect))
    return Desk(made, nvr, tmp_path / "tree", tmp_path / "package", tmp_path)


every_dialect = pytest.mark.parametrize("desk", NVR, indirect=True)


def states(done: Mapping[str, Any]) -> dict[str, str]:
    return {patch["patch"]: patch["state"] for patch in done["patches"]}


# -- unchanged -----------------------------------------------------------------------------


@every_dialect
def test_a_build_comes_back_byte_for_byte(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    srcgit("export", desk.nvr, "-o", out, "--repo", desk.tree)
    files = {path.name for path in out.iterdir()}
    for name in files - {"series"}:
        assert (out / name).read_bytes() == (desk.package / name).read_bytes()
    # The series file that lies beside them makes the same tree.
    base = {"kernel-3": "v3.17", "kernel-4": "v4.15", "kernel-6": "v6.12.8"}[desk.nvr[:8]]
    queue = ("--series", out, "--base", base, "--upstream", desk.made.linux.path)
    done = answer("convert", *queue, "--repo", tmp_path / "q.git")
    assert done["series"]["tree"] == desk.source_tree(desk.nvr)
    assert len(files) == len(done["series"]["patches"]) + 2  # and the spec, the series


@every_dialect
def test_pkg_git_gets_no_change_from_an_unchanged_series(desk: Desk) -> None:
    for wanted in (desk.nvr, f"{desk.nvr}..work", "work"):
        done = desk.export(wanted)
        assert set(states(done).values()) == {"unchanged"}
        assert (desk.changed(), done["written"], done["warnings"]) == ([], [], [])


def test_a_rebase_that_moves_nothing_is_no_change(desk: Desk) -> None:
    desk.git("rebase", "-q", "--force-rebase", f"{desk.nvr}~5")
    assert desk.git("rev-parse", "work") != desk.git("rev-parse", f"{desk.nvr}^{{}}")
    done = desk.export()
    assert (set(states(done).values()), desk.changed()) == ({"unchanged"}, [])


# -- changed -------------------------------------------------------------------------------

HUB, TUN = "usb-hub-wait.patch", "net-tun-series.patch"
WAIT, COUNT, BYTES, LOCK = "wait longer", "count packets", "and bytes", "drop a lock"
PICKS = [f"pick {subject}" for subject in (WAIT, COUNT, BYTES, LOCK)]


def test_a_new_message_writes_its_file_anew(desk: Desk) -> None:
    desk.replay("HEAD~5", *PICKS[:3], 'exec git commit -q --amend -m "net: tun: all"', PICKS[3])
    done = desk.export()
    assert states(done) == {HUB: "unchanged", TUN: "changed"}
    assert desk.changed() == [f"M {TUN}"]
    text = (desk.package / TUN).read_text()
    assert re.findall(r"^Subject: (.*)", text, re.MULTILINE) == [
        "[PATCH] net: tun: count packets",
        "[PATCH] net: tun: all",
        "[PATCH] btrfs: drop a lock",
    ]
    assert desk.again() == desk.source_tree()
    assert desk.subjects[1:] == ["net: tun: count packets", "net: tun: all", "btrfs: drop a lock"]


def test_another_content_writes_its_file_anew(desk: Desk) -> None:
    desk.replay("HEAD~5", "edit wait longer", *PICKS[1:])
    desk.edit("drivers/usb/core/quirks.c", 2, "and this")
    desk.git("rebase", "--continue")
    assert states(desk.export()) == {HUB: "changed", TUN: "unchanged"}
    assert desk.changed() == [f"M {HUB}"]
    assert desk.again() == desk.source_tree()


def test_a_changed_context_alone_is_a_change_only_where_the_file_no_longer_makes_it(
    desk: Desk,
) -> None:
    """Lines above a hunk move it; lines in it make git am refuse the old file."""
    file = desk.tree / "drivers/usb/core/hub.c"
    desk.git("checkout", "-q", "HEAD~5")
    file.write_text("/* moved */\n" + file.read_text())
    desk.git("commit", "-q", "-a", "-m", "usb: a line at the top")
    desk.git("cherry-pick", f"{desk.nvr}~5..{desk.nvr}~1")
    desk.git("checkout", "-q", "-B", "work")
    done = desk.export()
    assert states(done) == {
        "usb-a-line-at-the-top.patch": "new",
        HUB: "unchanged",
        TUN: "unchanged",
    }
    assert desk.again() == desk.source_tree()


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_a_new_commit_is_a_new_file_or_part_of_the_one_around_it(desk: Desk, place: int) -> None:
    desk.edit("mm/memory.c", 5, "slow", "mm: [x] go slower, please")
    todo = [*PICKS]
    todo.insert(place, "pick go slower, please")
    desk.replay("HEAD~6", *todo)
    done = desk.export()
    new = "mm-x-go-slower-please.patch"
    expected = [(HUB, "unchanged"), (TUN, "unchanged")]
    if place == 2:  # between two commits of one file
        expected[1] = (TUN, "changed")
        assert desk.changed() == [f"M {TUN}"]
    else:
        expected.insert(min(place, 2), (new, "new"))
        assert desk.changed() == [f"?? {new}", "M kernel.spec"]
        diff = git(desk.package, "diff", "--numstat", "kernel.spec")
        assert diff == "1\t0\tkernel.spec"
    assert list(states(done).items()) == expected
    assert done["warnings"] == []
    assert desk.again() == desk.source_tree()


def test_a_dropped_commit_is_gone_from_its_file_and_a_dropped_file_from_the_spec(
    desk: Desk,
) -> None:
    desk.replay("HEAD~5", PICKS[1], PICKS[3])
    done = desk.export()
    assert (states(done), done["dropped"]) == ({TUN: "changed"}, [HUB])
    assert desk.changed() == [f"D {HUB}", "M kernel.spec", f"M {TUN}"]
    assert desk.again() == desk.source_tree()


def test_another_order_moves_lines_of_the_spec(desk: Desk) -> None:
    desk.replay("HEAD~5", *PICKS[1:], PICKS[0])
    done = desk.export()
    assert list(states(done).items()) == [(TUN, "unchanged"), (HUB, "unchanged")]
    assert desk.changed() == ["M kernel.spec"]
    assert desk.again() == desk.source_tree()


def test_a_file_cut_in_two_by_another_keeps_its_first_part(desk: Desk) -> None:
    desk.replay("HEAD~5", PICKS[1], PICKS[0], *PICKS[2:])
    done = desk.export()
    second = "net-tun-series-2.patch"
    assert list(states(done).items()) == [(TUN, "changed"), (HUB, "unchanged"), (second, "new")]
    assert desk.again() == desk.source_tree()


def test_a_newer_base_has_to_be_named(desk: Desk) -> None:
    desk.git("fetch", "-q", str(desk.made.linux.path), "tag", "v6.12")
    desk.replay("v6.12", *PICKS)
    said = desk.refused()
    assert "v6.12" in said["what"] and "--base v6.12" in said["next"]
    done = desk.export(base="v6.12")
    assert (set(states(done).values()), desk.changed()) == ({"unchanged"}, [])
    assert desk.again(base="v6.12") == desk.source_tree()


def test_an_untagged_base_has_to_be_named(desk: Desk) -> None:
    desk.git(
        "switch", "-q", "--detach", desk.git("log", "--format=%H", "--grep=^Linux 4.15").strip()
    )
    for n in range(21):
        (desk.tree / "CREDITS").write_text(f"{n}\n")
        desk.git("add", "CREDITS")
        desk.git("commit", "-q", "-m", f"upstream {n}")
    master = desk.git("rev-parse", "HEAD").strip()
    desk.git("switch", "-q", "work")
    desk.replay(master, *PICKS)
    said = desk.refused()
    assert said["what"].startswith(f"21 commits, up to {master[:12]}, lie below")
    assert "--base" in said["next"] and desk.changed() == []
    done = desk.export(base=master)
    assert (set(states(done).values()), desk.changed()) == ({"unchanged"}, [])


# -- the other dialects ---------------------------------------------------------------------

SLAB, FAIR, HELLO = "slab-check.patch", "sched-be-fair.patch", "revert-hello.patch"
OLD = [f"pick {subject}" for subject in ("slab-check", "be fair", 'Revert "revert-hello"')]
apply_patch = pytest.mark.parametrize("desk", ["apply_patch"], indirect=True)


@apply_patch
def test_lines_of_prep_that_apply_a_patch_are_added_moved_and_dropped(desk: Desk) -> None:
    desk.edit("mm/memory.c", 5, "slow", "mm: slow")
    desk.replay("HEAD~5", OLD[1], "pick mm: slow", OLD[0])
    done = desk.export()
    assert list(states(done).items()) == [
        (FAIR, "unchanged"),
        ("mm-slow.patch", "new"),
        (SLAB, "unchanged"),
    ]
    assert (done["dropped"], done["warnings"]) == ([HELLO], [])
    spec = (desk.package / "kernel.spec").read_text()
    assert re.findall(r"^Apply\w+ .*", spec, re.MULTILINE) == [
        f"ApplyPatch {FAIR}",
        "ApplyPatch mm-slow.patch",
        f"ApplyPatch {SLAB}",
        "ApplyOptionalPatch empty.patch",
    ]
    assert desk.again() == desk.source_tree()


@apply_patch
def test_what_was_reversed_and_is_changed_goes_forward(desk: Desk) -> None:
    desk.replay("HEAD~4", OLD[0], OLD[1], "edit " + OLD[2][5:])
    desk.edit("init/main.c", 3, "more")
    desk.git("rebase", "--continue")
    done = desk.export()
    assert (states(done)[HELLO], done["warnings"]) == ("changed", [])
    spec = (desk.package / "kernel.spec").read_text()
    assert f"ApplyPatch {HELLO}\n" in spec and f"{HELLO} -R" not in spec
    assert desk.again() == desk.source_tree()


@pytest.mark.parametrize("desk", ["today"], indirect=True)
def test_a_patch_beside_the_monolith(desk: Desk) -> None:
    desk.edit("mm/memory.c", 5, "slow", "mm: slow")
    done = desk.export("work")
    assert list(states(done).items()) == [
        ("patch-6.12-redhat.patch", "unchanged"),
        ("mm-slow.patch", "new"),
    ]
    assert done["warnings"] == []
    assert desk.again() == desk.source_tree()


@pytest.mark.parametrize("desk", ["today"], indirect=True)
def test_a_changed_monolith_is_made_anew(desk: Desk) -> None:
    desk.git("reset", "-q", "--hard", "HEAD~1")
    desk.edit("mm/slab.c", 5, "slow")
    done = desk.export()
    assert states(done) == {"patch-6.12-redhat.patch": "changed"}
    assert (desk.changed(), done["warnings"]) == (["M patch-6.12-redhat.patch"], [])
    assert desk.again() == desk.source_tree()


@apply_patch
def test_what_is_applied_twice_lies_twice_beside_a_series(desk: Desk) -> None:
    """kernel-3.17.6-300.fc21 applies kernel-arm64.patch, and takes it out again."""
    spec = desk.package / "kernel.spec"
    line = f"ApplyPatch {SLAB}\n"
    spec.write_text(spec.read_text().replace(line, f"{line}ApplyPatch {SLAB} -R\n{line}"))
    git(desk.package, "commit", "-q", "-a", "-m", "twice")
    where = ("--upstream", desk.made.linux.path)
    asked = (
        f"{desk.package}#HEAD",
        "--dist",
        ".fc21",
        "--branch",
        "x",
        "--repo",
        desk.room / "2.git",
    )
    done = answer("convert", *asked, *where)
    srcgit("export", done["tag"], "-o", desk.room / "out", "--repo", desk.room / "2.git")
    assert (desk.room / "out/series").read_text().splitlines()[1:4] == [
        SLAB,
        "slab-check-2.patch -R",
        "slab-check-3.patch",
    ]
    queue = (
        "--series",
        desk.room / "out",
        "--base",
        "v3.17",
        *where,
        "--repo",
        desk.room / "q.git",
    )
    assert answer("convert", *queue)["series"]["tree"] == done["series"]["tree"]


# -- what is no patch, and what cannot be one ----------------------------------------------


def test_what_is_done_below_fedora_is_the_specs(desk: Desk) -> None:
    spec = desk.tree / "fedora/kernel.spec"
    spec.write_text(spec.read_text().replace("Summary: The", "Summary: A"))
    desk.git("commit", "-q", "-a", "-m", "a better summary")
    desk.git("commit", "-q", "--allow-empty", "-m", "nothing")
    done = desk.export()
    assert (set(states(done).values()), desk.changed()) == ({"unchanged"}, ["M kernel.spec"])
    assert (desk.package / "kernel.spec").read_text() == spec.read_text()
    assert ["changes nothing" in warning for warning in done["warnings"]] == [True]


def test_the_checkouts_own_spec_is_edited_not_replaced(desk: Desk) -> None:
    here = desk.package / "kernel.spec"
    here.write_text(here.read_text().replace("Release: 1%", "Release: 2%"))
    desk.edit("mm/memory.c", 5, "slow", "mm: slow")
    assert desk.export()["warnings"] == []
    spec = here.read_text()
    assert "Release: 2%" in spec and "Patch3: mm-slow.patch" in spec
    mine = desk.tree / "fedora/kernel.spec"
    mine.write_text(mine.read_text().replace("Summary: The", "Summary: A"))
    desk.git("commit", "-q", "-a", "-m", "a better summary")
    assert ["changed both here" in warning for warning in desk.export()["warnings"]] == [True]
    assert here.read_text() == spec


def test_a_merge_is_no_series(desk: Desk) -> None:
    desk.edit("mm/memory.c", 5, "slow", "mm: slow")
    desk.git("checkout", "-q", "-b", "side", "HEAD~1")
    desk.edit("mm/slab.c", 5, "slow", "mm: slab: slow")
    desk.git("merge", "-q", "--no-edit", "work")
    assert "is a merge" in desk.refused(f"{desk.nvr}..side", status=1)["what"]


def test_work_on_the_builds_branch_is_above_its_merges(desk: Desk) -> None:
    desk.git("checkout", "-q", "-B", "work", "origin/builds/f28")
    desk.edit("mm/memory.c", 5, "slow", "mm: slow")
    assert list(states(desk.export("work")).values()) == ["unchanged", "unchanged", "new"]
    assert desk.again() == desk.source_tree()


def test_names_that_are_taken_get_a_number(desk: Desk) -> None:
    desk.edit("mm/memory.c", 5, "slow", "usb-hub-wait")
    desk.edit("mm/memory.c", 6, "slow", "usb-hub-wait")
    assert list(states(desk.export()))[2:] == ["usb-hub-wait-2.patch", "usb-hub-wait-3.patch"]
    assert desk.again() == desk.source_tree()


def test_a_message_that_git_am_cuts_is_told(desk: Desk) -> None:
    desk.edit("mm/memory.c", 5, "slow", "[RHEL] mm: slow\n\nOne.\n---\nTwo.")
    [told] = desk.export()["warnings"]
    assert "do not survive git-am" in told


@apply_patch
def test_a_change_that_patch_cannot_make_is_told(desk: Desk) -> None:
    (desk.tree / "logo").write_bytes(bytes(range(256)))
    desk.git("add", "logo")
    desk.git("commit", "-q", "-m", "a logo")
    [told] = [w for w in desk.export()["warnings"] if "logo" in w]
    assert "patch cannot make the tree" in told


def test_without_its_originals_nothing_is_written(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = desk.tree / "fedora/series.json"
    url = str(desk.made.pkg_git.path)
    assert url in record.read_text()
    moved = desk.made.pkg_git.path.with_suffix(".away")
    desk.made.pkg_git.path.rename(moved)
    try:
        asked = ("export", desk.nvr, "-o", out, "--repo", desk.tree)
        _, said = srcgit(*asked, status=1)
        assert "--pkg-git" in said and list(out.iterdir()) == []
        srcgit(*asked, "--pkg-git", moved)
        assert (out / TUN).exists()
        # Loose copies will do: series.json tells which bytes are the original.
        (out / HUB).write_bytes(b"tampered with")
        _, said = srcgit(*asked[:3], tmp_path / "b", *asked[4:], "--pkg-git", out, status=1)
        assert HUB in said
    finally:
        moved.rename(desk.made.pkg_git.path)


def test_a_hostile_tree_writes_nowhere_else(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (desk.package / HUB).unlink()
    (desk.package / HUB).symlink_to(tmp_path / "victim")
    desk.export()
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (desk.package / HUB).is_symlink()


@pytest.mark.parametrize(
    "wanted", ["nothing", "kernel-4.15.0-1.fc28..nothing", "v1..work", "x-1-1..work"]
)
def test_what_names_no_build_is_refused(desk: Desk, wanted: str) -> None:
    error = desk.refused(wanted)
    assert error["class"] == "WrongUsage" and error["next"]


# -- a quilt queue -------------------------------------------------------------------------


def test_a_queue_comes_back_with_its_comments(made: Sample, tmp_path: Path) -> None:
    queue, repo = tmp_path / "queue", tmp_path / "q.git"
    (queue / "usb").mkdir(parents=True)
    linux, base = made.linux, "v4.15"
    one, two = (
        linux.commit(
            {path: change(linux.file(base, path).decode(), 3, "x")},
            f"{path}\n",
            branch="q",
            parent=base,
        )
        for path in ("mm/slab.c", "drivers/usb/core/hub.c")
    )
    (queue / "one.patch").write_bytes(linux.diff(base, one, "--no-prefix"))
    (queue / "usb/two.patch").write_bytes(linux.mails(base, two))
    series = "# mine\none.patch -p0\n\n# theirs\nusb/two.patch # soon upstream\n"
    (queue / "series").write_text(series)
    asked = ("--series", queue, "--base", base, "--upstream", linux.path)
    done = answer("convert", *asked, "--repo", repo)
    srcgit("export", done["tag"], "-o", tmp_path / "out", "--repo", repo)
    for name in ("series", "one.patch", "usb/two.patch"):
        assert (tmp_path / "out" / name).read_bytes() == (queue / name).read_bytes()
    git(tmp_path, "clone", "-q", "-b", done["tag"], str(repo), "tree")
    tree = tmp_path / "tree"
    file = tree / "init/main.c"
    file.write_text(change(file.read_text(), 1, "new"))
    git(tree, "commit", "-q", "-a", "-m", "init: new")
    out = answer("export", f"{done['tag']}..HEAD", "-o", tmp_path / "out", "--repo", tree)
    assert list(states(out).items())[2] == ("usb/init-new.patch", "new")
    assert (tmp_path / "out/series").read_text() == series + "usb/init-new.patch\n"
    # debian/patches of a packaging repository: the queue is edited where it lies
    git(tmp_path, "init", "-q", "packaging")
    home = tmp_path / "packaging/debian/patches"
    home.mkdir(parents=True)
    shutil.copytree(queue, home, dirs_exist_ok=True)
    (home / "series").write_text(series.replace("# mine", "# my own"))
    git(tree, "rebase", "-q", "--onto", f"{done['tag']}~2", f"{done['tag']}~1")
    shutil.move(queue, tmp_path / "moved")
    out = answer("export", f"{done['tag']}..HEAD", "-o", home, "--repo", tree)
    assert out["dropped"] == ["usb/two.patch"] and not (home / "usb/two.patch").exists()
    assert (home / "series").read_text() == "# my own\none.patch -p0\ninit-new.patch -p0\n"
    shutil.move(tmp_path / "moved", queue)
    # The queue has moved on since: its files are no longer the originals, and that is noticed.
    (queue / "one.patch").write_bytes(linux.diff(base, one, "--no-prefix", "-U1"))
    error = answer("export", done["tag"], "-o", tmp_path / "b", "--repo", repo, status=1)["error"]
    assert "the original of one.patch is not at hand" in error["what"]
