"""The monolith exploded, on a model of kernel-ark; the judges are git apply and git log."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from converter import convert as pipeline
from converter.conversion import Conversion
from converter.explode import Listed, listed
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from service import export
from specparse.plan import Base, Plan, Step
from tests.builders import JUSTIN, Files, Source, change, kernel_upstream

PETER = ("Peter Robinson", "pbrobinson@gmail.com")
HERTON = ("Herton R. Krzesinski", "herton@redhat.com")
ARK = "https://gitlab.com/cki-project/kernel-ark"
# redhat/scripts/genspec.sh of kernel-ark leaves these out of the patch
EXCLUDED = (".", *(f":(exclude,top){p}" for p in ("redhat", "makefile", ".gitignore")))
PLAN = Plan(
    "kernel",
    None,
    "6.12.8",
    "200.fc41",
    b"kernel.spec",
    "x86_64",
    Base("tag", "v6.12.8", "from the test"),
    steps=(Step(b"patch-6.12-redhat.patch", "git-apply", 1),),
)


def git(where: Path, *args: str, **more: Any) -> str:
    done = subprocess.run(["git", "-C", str(where), *args], capture_output=True, check=True, **more)
    out: str = done.stdout.decode()
    return out.strip()


class Ark(Source):
    """kernel-ark in the making: commits by subject, and merges that resolve or change things."""

    def __init__(self, path: Path, linux: Source) -> None:
        super().__init__(path)
        self.git.run("fetch", "-q", str(linux.path), "refs/tags/*:refs/tags/*")
        self.made: dict[str, str] = {}

    def edit(self, parent: str, subject: str, *edits: tuple[str, int], **files: Any) -> str:
        """Commit changes of functions, and other files, on ``parent``."""
        changed: dict[str, bytes | str | None] = {
            path: change(self.file(parent, path).decode(), n, subject) for path, n in edits
        }
        return self.add(parent, subject, {**changed, **files})

    def add(self, parent: str, subject: str, files: Files, **more: Any) -> str:
        body = f"{subject}\n\nUpstream Status: RHEL only\n"
        author = HERTON if len(self.made) % 2 else PETER
        done = self.commit(files, body, parent=parent, branch="work", author=author, **more)
        self.made[subject] = done
        return done

    def merge(self, first: str, second: str, files: Files) -> str:
        """Merge, with ``files`` as the result of whoever merged."""
        tree = self.commit(files, "tree of the merge\n", parent=first, branch="scratch") + "^{tree}"
        parents = ("-p", first, "-p", second, "-m", f"Merge {second[:12]}")
        return git(self.path, "commit-tree", tree, *parents)


@dataclass(frozen=True, slots=True)
class Model:
    linux: Source
    ark: Ark
    tip: str
    directory: Path

    def listed(self, *paths: str) -> list[str]:
        """Return what Patchlist.changelog lists, newest first."""
        log = ("log", "--no-merges", "--format=%H", f"v6.12.8..{self.tip}", "--", *paths)
        return git(self.ark.path, *log).split()

    def monolith(self) -> bytes:
        options = ("--binary", "--no-renames", "--stat", "-p", "v6.12.8", self.tip, "--")
        return self.ark.git.run("diff", *options, *EXCLUDED).stdout

    def convert(
        self, name: str, commits: Sequence[str], ark: Source | None = None, explode: bool = True
    ) -> tuple[Conversion, Path]:
        """Convert a build with this list; its tree must be git apply's, whatever the list is."""
        lines = [
            f"{ARK}/-/commit/{c}\n {c} {git(self.ark.path, 'log', '-1', '--format=%s', c)}\n\n"
            for c in commits
        ]
        package = Source(self.directory / f"{name}.pkg.git")
        commit = package.commit(
            {
                "kernel.spec": "Name: kernel\n",
                "patch-6.12-redhat.patch": self.monolith(),
                "Patchlist.changelog": "".join(lines),
            },
            "kernel-6.12.8-200\n",
            branch="f41",
            author=JUSTIN,
        )
        mirror = Mirror(str((ark or self.ark).path), self.directory)
        request = Request(
            Mirror(str(package.path), self.directory),
            commit,
            upstreams=(Mirror(str(self.linux.path), self.directory),),
            explode_from=mirror if explode else None,
        )
        repo = self.directory / f"{name}.git"
        done = pipeline.convert(request, Repository.create(repo), lambda *_, **__: PLAN)
        assert done.series["series"]["tree"] == self.expected()
        git(repo, "fsck", "--strict")
        return done, repo

    def expected(self) -> str:
        """Return the tree of base + monolith, by git apply."""
        index = {**os.environ, "GIT_INDEX_FILE": str(self.directory / "index")}
        git(self.linux.path, "read-tree", "v6.12.8", env=index)
        git(self.linux.path, "apply", "--cached", "-", env=index, input=self.monolith())
        return git(self.linux.path, "write-tree", env=index)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    here = tmp_path_factory.mktemp("ark")
    linux = kernel_upstream(here / "linux.git")
    ark = Ark(here / "ark.git", linux)
    start = linux.rev("v6.12")
    assert start
    # The main line, on v6.12 first.
    at = ark.add(start, "redhat: add the spec", {"redhat/kernel.spec": "x\n", "makefile": "all:\n"})
    at = ark.edit(at, "mm: limit", ("mm/memory.c", 1), **{"redhat/configs/MM": "y\n"})
    at = ark.edit(at, "btrfs: try this", ("fs/btrfs/super.c", 1))
    at = ark.edit(
        at, 'Revert "btrfs: try this"', **{"fs/btrfs/super.c": ark.file(start, "fs/btrfs/super.c")}
    )
    at = ark.edit(at, "slab: ours", ("mm/slab.c", 3))
    top = b"/* ten\n" + b" *\n" * 9 + b" */\n"
    hub = ark.file(at, "drivers/usb/core/hub.c")
    at = ark.add(at, "hub: a preamble", {"drivers/usb/core/hub.c": top + hub})
    fair = ark.file(at, "kernel/sched/fair.c").replace(b"return -EINVAL;", b"return -EPERM;")
    at = ark.add(at, "fair: another error", {"kernel/sched/fair.c": fair})
    # A topic that left v6.12: it conflicts, is shifted, needs a three-way merge, and is changed
    # by whoever merged it.
    side = ark.edit(start, "slab: theirs", ("mm/slab.c", 3))
    side = ark.edit(side, "hub: wait", ("drivers/usb/core/hub.c", 5))
    side = ark.edit(side, "fair: fairer", ("kernel/sched/fair.c", 6))
    side = ark.edit(side, "tun: faster", ("drivers/net/tun.c", 2))
    merged: Files = {
        "mm/slab.c": change(ark.file(start, "mm/slab.c").decode(), 3, "both"),
        "drivers/usb/core/hub.c": top + ark.file(side, "drivers/usb/core/hub.c"),
        "kernel/sched/fair.c": change(fair.decode(), 6, "fair: fairer"),
        "drivers/net/tun.c": change(ark.file(start, "drivers/net/tun.c").decode(), 2, "as merged"),
    }
    at = ark.merge(at, side, merged)
    released = {path: linux.file("v6.12.8", path) for path in ("Makefile", "init/version.c")}
    at = ark.merge(at, git(linux.path, "rev-parse", "v6.12.8"), released)
    at = ark.add(
        at,
        "add and remove",
        {
            "drivers/new/tool.sh": "#!/bin/sh\n",
            "drivers/new/fw.bin": b"\0\1\2" * 99,
            "README": None,
        },
        modes={"drivers/new/tool.sh": "100755"},
    )
    at = ark.add(at, "redhat: only that", {"redhat/kernel.spec": "y\n", ".gitignore": "*.rpm\n"})
    return Model(linux, ark, at, here)


def subjects(patch: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {left["subject"]: left["why"] for left in patch["exploded"][kind]}


@pytest.fixture(scope="module")
def exploded(model: Model) -> tuple[Conversion, Path]:
    return model.convert("all", model.listed())


def test_commits_are_those_of_kernel_ark_in_order(
    model: Model, exploded: tuple[Conversion, Path]
) -> None:
    done, repo = exploded
    [patch] = done.series["patches"]
    form = ("log", "--no-walk=unsorted", "--format=%an <%ae> %ad%n%B%x01", "--date=raw")
    sources = [commit["source"] for commit in patch["commits"][:-1]]
    ours = [commit["commit"] for commit in patch["commits"][:-1]]
    assert git(repo, *form, *ours) == git(model.ark.path, *form, *sources)
    order = [c for c in reversed(model.listed()) if c in sources]
    assert sources == order
    assert [commit["subject"] for commit in patch["commits"]] == [
        "mm: limit",
        "btrfs: try this",
        'Revert "btrfs: try this"',
        "slab: ours",
        "hub: a preamble",
        "fair: another error",
        "hub: wait",
        "fair: fairer",
        "tun: faster",
        "add and remove",
        "patch-6.12-redhat: what its commits do not account for",
    ]


def test_what_became_no_commit_is_noted(exploded: tuple[Conversion, Path]) -> None:
    [patch] = exploded[0].series["patches"]
    assert subjects(patch, "empty") == {
        "redhat: add the spec": "only paths that are left out",
        "redhat: only that": "only paths that are left out",
    }
    assert subjects(patch, "unapplied") == {
        "slab: theirs": "conflicts with what is there before it"
    }
    assert patch["exploded"]["left_out"] == [".gitignore", "makefile", "redhat/"]
    assert patch["exploded"]["residue"]
    assert patch["exploded"]["from"] == ARK
    assert patch["exploded"]["listed"] == 13


def test_the_residue_is_the_merges_and_says_so(exploded: tuple[Conversion, Path]) -> None:
    done, repo = exploded
    residue = done.series["series"]["commit"]
    assert git(repo, "diff", "--name-only", f"{residue}^", residue).splitlines() == [
        "drivers/net/tun.c",
        "mm/slab.c",
    ]
    message = git(repo, "log", "-1", "--format=%B", residue)
    assert "slab: theirs (conflicts" in message
    assert f"those of pkg-git commit {done.build.commit[:12]}" in message
    assert git(repo, "log", "-1", "--format=%an", residue) == JUSTIN[0]


def test_no_commit_touches_what_is_left_out(exploded: tuple[Conversion, Path]) -> None:
    done, repo = exploded
    base, tip = done.series["base"]["commit"], done.series["series"]["commit"]
    touched = git(repo, "log", "--format=", "--name-only", f"{base}..{tip}").split()
    assert not [path for path in touched if path.startswith(("redhat/", "makefile", ".git"))]


def test_it_is_reproducible_and_needs_no_kernel_ark_afterwards(
    model: Model, exploded: tuple[Conversion, Path]
) -> None:
    again, repo = model.convert("again", model.listed())
    assert again.series["series"] == exploded[0].series["series"]
    alternates = (repo / "objects" / "info" / "alternates").read_text()
    assert str(model.ark.path) not in alternates


def test_without_the_mirror_or_with_an_empty_one_it_is_one_commit(model: Model) -> None:
    plain, repo = model.convert("plain", model.listed(), explode=False)
    empty = Source(model.directory / "empty.git")
    one, _ = model.convert("one", model.listed(), ark=empty)
    assert one.series["series"]["commit"] == plain.series["series"]["commit"]
    [patch] = one.series["patches"]
    assert len(patch["commits"]) == 1
    assert set(subjects(patch, "unapplied").values()) == {"not in the mirror"}
    assert not patch["exploded"]["residue"]
    assert "slab: theirs" in git(repo, "log", "-1", "--format=%B", one.series["series"]["commit"])


def test_a_commit_that_the_mirror_lacks_is_in_the_residue(model: Model) -> None:
    partly = Source(model.directory / "partly.git")
    refs = f"{model.ark.made['fair: another error']}:refs/heads/x"
    partly.git.run("fetch", "-q", str(model.ark.path), refs)
    done, _ = model.convert("partly", model.listed(), ark=partly)
    [patch] = done.series["patches"]
    assert "not in the mirror" in subjects(patch, "unapplied")["add and remove"]
    assert [c["subject"] for c in patch["commits"]][-2:] == [
        "fair: another error",
        "patch-6.12-redhat: what its commits do not account for",
    ]


def test_a_straight_history_leaves_no_residue(model: Model, tmp_path: Path) -> None:
    ark = Ark(tmp_path / "ark.git", model.linux)
    at = ark.edit("v6.12.8", "one", ("mm/slab.c", 1))
    at = ark.edit(at, "two", ("mm/slab.c", 2), **{"redhat/x": "x\n"})
    straight = Model(model.linux, ark, at, tmp_path)
    done, _ = straight.convert("straight", straight.listed(*EXCLUDED))
    [patch] = done.series["patches"]
    assert [c["subject"] for c in patch["commits"]] == ["one", "two"]
    assert patch["exploded"]["unapplied"] == patch["exploded"]["empty"] == []
    assert not patch["exploded"]["residue"]


def test_a_file_in_the_way_of_a_directory_is_a_conflict(model: Model, tmp_path: Path) -> None:
    ark = Ark(tmp_path / "ark.git", model.linux)
    copying = model.linux.file("v6.12.8", "COPYING")
    at = ark.add("v6.12.8", "a directory", {"COPYING": None, "COPYING/GPL": "x\n"})
    at = ark.add(at, "a file again", {"COPYING/GPL": None, "COPYING": copying})
    at = ark.add(at, "a tool", {"scripts/tool": "x\n"})
    straight = Model(model.linux, ark, at, tmp_path)
    side = ark.add("v6.12.8", "many tools", {"scripts/tool/one": "x\n"})
    none = ark.add(side, "no tools", {"scripts/tool/one": None})
    done, _ = straight.convert("directory", [none, side, *straight.listed()])
    [patch] = done.series["patches"]
    conflict = "conflicts with what is there before it"
    assert subjects(patch, "unapplied") == dict.fromkeys(["a file again", "many tools"], conflict)
    assert subjects(patch, "empty") == {"no tools": "its change is there already"}
    assert [c["subject"] for c in patch["commits"]][:-1] == ["a directory", "a tool"]
    assert patch["exploded"]["residue"]


def test_a_commit_of_kernel_ark_makes_no_unsafe_path(model: Model, tmp_path: Path) -> None:
    """Not even for a moment: a commit that a later one takes back is a commit of the tree."""
    ark = Ark(tmp_path / "ark.git", model.linux)
    safe = ark.add("v6.12.8", "a tool", {"scripts/tool": "x\n"})
    listed = [safe]
    for subject, path in {"deep": "d/" * 300 + "f", "long": "n" * 300}.items():
        made = ark.add("v6.12.8", subject, {f"scripts/{path}": "x\n"})
        gone = ark.add(made, f"not {subject}", {f"scripts/{path}": None})
        listed[:0] = [gone, made]
    done, _ = Model(model.linux, ark, safe, tmp_path).convert("unsafe", listed)
    [patch] = done.series["patches"]
    conflict = "conflicts with what is there before it"
    assert subjects(patch, "unapplied") == dict.fromkeys(["deep", "long"], conflict)
    assert [c["subject"] for c in patch["commits"]] == ["a tool"]


@pytest.mark.parametrize("seed", range(8))
def test_the_tree_is_right_whatever_is_listed_and_in_whatever_order(
    model: Model, seed: int
) -> None:
    chance = random.Random(seed)
    commits = model.listed()
    chance.shuffle(commits)
    done, _ = model.convert(f"seed{seed}", commits[: chance.randint(1, len(commits))])
    [patch] = done.series["patches"]
    told = patch["exploded"]
    made = len(patch["commits"]) - told["residue"]
    assert made + len(told["empty"]) + len(told["unapplied"]) == told["listed"]


def test_lists_as_they_were_written_over_the_years() -> None:
    plain = f"{ARK}/-/commit/{'a' * 40}\n {'a' * 40} xfs: two\n\n"
    quoted = f'"{ARK}/-/commit"/{"b" * 40}\n {"b" * 12} usb: one\n\n'
    bare = f"https://github.com/x/y/commit/{'c' * 40}\n\nnot a commit {'d' * 40}\n"
    assert listed((plain + quoted + bare).encode()) == (
        Listed("c" * 40, b"", "https://github.com/x/y"),
        Listed("b" * 40, b"usb: one", ARK),
        Listed("a" * 40, b"xfs: two", ARK),
    )
    assert listed(b"") == ()


def test_it_comes_back_as_one_diff(
    model: Model, exploded: tuple[Conversion, Path], tmp_path: Path
) -> None:
    done, path = exploded
    repo, work = Repository(path), tmp_path / "work"
    git(tmp_path, "clone", "-q", "--no-checkout", str(path), str(work))
    who = ("-c", "user.name=A. Developer", "-c", "user.email=dev@example.org")
    git(work, "checkout", "-q", done.series["series"]["commit"])
    git(work, *who, "rebase", "-q", "--force-rebase", done.series["base"]["commit"])
    package = tmp_path / "package"
    git(tmp_path, "clone", "-q", "-b", "f41", done.build.pkg_git, str(package))

    def exported() -> export.Exported:
        wanted = f"{done.build.tag}..HEAD"
        return export.run(
            Repository(work), wanted, package, base=None, pkg_git=(), cache=tmp_path,
            trace=lambda *_, **__: PLAN,
        )  # fmt: skip

    assert git(work, "rev-parse", "HEAD") != done.series["series"]["commit"]
    assert [item.state for item in exported().items] == ["unchanged"]
    assert git(package, "status", "--porcelain") == ""

    file = work / "mm/memory.c"
    file.write_text(change(file.read_text(), 7, "amended"))
    git(work, *who, "commit", "-q", "-a", "--amend", "--no-edit")
    back = exported()
    assert [item.state for item in back.items] == ["changed"]
    assert ["the list of its commits" in warning for warning in back.warnings] == [True]
    assert git(package, "status", "--porcelain") == "M patch-6.12-redhat.patch"
    diff = git(package, "diff", "--stat")
    assert "1 file changed" in diff
    index = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}
    git(repo.path, "read-tree", done.series["base"]["commit"], env=index)
    git(repo.path, "apply", "--cached", str(package / "patch-6.12-redhat.patch"), env=index)
    assert git(repo.path, "write-tree", env=index) == git(work, "rev-parse", "HEAD^{tree}")
