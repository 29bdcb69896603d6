"""The pipeline on a model kernel, plans written by hand; the judges are git and patch(1)."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from converter import VERSION
from converter import convert as pipeline
from converter.build import Nvr
from converter.conversion import Conversion, SeriesFailed
from converter.errors import (
    BaseMissing,
    BaseUnknown,
    CannotConvert,
    PatchMissing,
    PkgGitInvalid,
    WrongUsage,
)
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from specparse.plan import Base, Meanwhile, Plan, Step
from tests.builders import Sample, Source


def plan_of(version: str, release: str, tag: str, *steps: Step, **more: object) -> Plan:
    base = Base("tag", tag, "from the test")
    plan = Plan("kernel", None, version, release, b"kernel.spec", "x86_64", base, steps=steps)
    return dataclasses.replace(plan, **more)  # type: ignore[arg-type]


def git_am(*patches: bytes) -> tuple[Step, ...]:
    return tuple(Step(name, "git-am", n) for n, name in enumerate(patches, 1))


OLD = plan_of(
    "3.17.0",
    "300.fc21",
    "v3.17",
    Step(b"slab-check.patch", "patch", 2, fuzz=1),
    Step(b"sched-be-fair.patch", "patch", 1, fuzz=1),
    Step(b"revert-hello.patch", "patch", 3, fuzz=1, reverse=True),
)
AM = plan_of("4.15.0", "1.fc28", "v4.15", *git_am(b"usb-hub-wait.patch", b"net-tun-series.patch"))
NOW = plan_of("6.12.8", "200.fc41", "v6.12.8", Step(b"patch-6.12-redhat.patch", "git-apply", 1))


def convert(
    made: Sample, repo: Path, commit: str, plan: Plan, linux: Source | None = None, **asked: object
) -> Conversion:
    request = Request(
        Mirror(str(made.pkg_git.path), repo.parent),
        commit,
        upstreams=(Mirror(str((linux or made.linux).path), repo.parent),),
        **asked,  # type: ignore[arg-type]
    )
    return pipeline.convert(request, Repository.create(repo), lambda *_, **__: plan)


def checkout(linux: Source, tag: str, path: Path) -> Path:
    git(path.parent, "clone", "-q", "-b", tag, str(linux.path), str(path))
    return path


def git(where: Path, *args: str, **more: object) -> str:
    done = subprocess.run(["git", "-C", str(where), *args], capture_output=True, check=True, **more)  # type: ignore[call-overload]
    out: bytes = done.stdout
    return out.decode().strip()


def committed(work: Path) -> str:
    git(work, "add", "-A")
    return git(work, "write-tree")


def package(made: Sample, commit: str, path: Path) -> Path:
    path.mkdir()
    archive = made.pkg_git.git.run("archive", commit).stdout
    subprocess.run(["tar", "x", "-C", str(path)], input=archive, check=True)
    return path


def test_git_am_commits_are_those_of_git_am(made: Sample, tmp_path: Path) -> None:
    done = convert(made, tmp_path / "r.git", made.git_am, AM)
    work = checkout(made.linux, "v4.15", tmp_path / "work")
    files = package(made, made.git_am, tmp_path / "package")
    git(work, "am", str(files / "usb-hub-wait.patch"), str(files / "net-tun-series.patch"))
    form = "--format=%T%n%an <%ae> %ad%n%B", "--date=raw"
    real = git(work, "log", *form, "v4.15..HEAD")
    base = made.linux.rev("v4.15")
    ours = git(tmp_path / "r.git", "log", *form, f"{base}..{done.series['series']['commit']}")
    assert ours == real
    assert real.count("Signed-off-by: ") == 4 and "Jérémy" in real


def test_patch_era_trees_are_those_of_patch(made: Sample, tmp_path: Path) -> None:
    done = convert(made, tmp_path / "r.git", made.apply_patch, OLD)
    work = checkout(made.linux, "v3.17", tmp_path / "work")
    files = package(made, made.apply_patch, tmp_path / "package")
    for step in OLD.steps:
        command = ["patch", "-p1", "-F1", "-s", "--no-backup-if-mismatch", *["-R"] * step.reverse]
        data = (files / step.patch.decode()).read_bytes()
        subprocess.run(command, cwd=work, input=data, check=True)
    assert done.series["series"]["tree"] == committed(work)
    assert done.series["patches"][0]["applied"] == {"offset": 3, "fuzz": 0}
    [mailed] = done.series["patches"][1]["commits"]
    assert mailed["subject"] == "sched: be fair"
    [reverted] = done.series["patches"][2]["commits"]
    assert reverted["subject"] == 'Revert "revert-hello"'


def test_todays_tree_is_that_of_git_apply(made: Sample, tmp_path: Path) -> None:
    done = convert(made, tmp_path / "r.git", made.today, NOW)
    work = checkout(made.linux, "v6.12.8", tmp_path / "work")
    files = package(made, made.today, tmp_path / "package")
    git(work, "apply", str(files / "patch-6.12-redhat.patch"))
    assert done.series["series"]["tree"] == committed(work)
    message = Repository(tmp_path / "r.git").commit(done.series["series"]["commit"]).message
    assert message.startswith(b"patch-6.12-redhat\n")
    assert b"kernel-ark" in message  # the list of what the monolith consists of


def test_the_published_tree_is_what_the_contract_says(made: Sample, tmp_path: Path) -> None:
    plan = dataclasses.replace(AM, configs={b"kernel-x86_64.config": b"CONFIG_MMU=y\n"})
    done = convert(made, tmp_path / "r.git", made.git_am, plan, koji_id=1012)
    repo = tmp_path / "r.git"
    branch = git(repo, "rev-parse", "refs/heads/f28")
    assert branch == done.commit == git(repo, "rev-parse", "kernel-4.15.0-1.fc28^{commit}")
    assert git(repo, "cat-file", "-t", "refs/tags/kernel-4.15.0-1.fc28") == "tag"
    assert git(repo, "log", "-1", "--format=%s|%an|%b", branch).startswith(
        "kernel-4.15.0-1.fc28|Justin M. Forbes|Linux v4.15"
    )
    added = git(repo, "diff", "--name-status", f"{branch}^", branch).splitlines()
    assert added == [
        "A\tfedora/configs/kernel-x86_64.config",
        "A\tfedora/kernel.spec",
        "A\tfedora/series.json",
    ]
    series = json.loads(git(repo, "show", f"{branch}:fedora/series.json"))
    assert [patch["number"] for patch in series["patches"]] == [1, 2]
    assert len(series["patches"][1]["commits"]) == 3
    assert series["patches"][1]["introduced"]["commit"] == made.git_am
    tag = git(repo, "for-each-ref", "--format=%(contents)", "refs/tags")
    assert tag.splitlines()[-7:] == [
        f"Pkg-Git: {made.pkg_git.path}#{made.git_am}",
        f"Upstream: v4.15 {made.linux.rev('v4.15')}",
        "Koji-Build: 1012",
        "Patches: 2",
        f"Series-Tree: {done.series['series']['tree']}",
        "Verified: not run",
        f"Converter: srcgit {VERSION}",
    ]
    assert git(repo, "log", "--first-parent", "--format=%s", "-2", "builds/f28").splitlines() == [
        "kernel-4.15.0-1.fc28",
        "Linux 4.15",
    ]
    assert git(repo, "rev-parse", "builds/f28^2") == branch
    assert git(repo, "rev-parse", "builds/f28^{tree}") == git(
        repo, "rev-parse", f"{branch}^{{tree}}"
    )
    git(repo, "fsck", "--strict")


def test_the_same_again_does_nothing_and_elsewhere_gives_the_same(
    made: Sample, tmp_path: Path
) -> None:
    one = convert(made, tmp_path / "one.git", made.git_am, AM)
    refs = git(tmp_path / "one.git", "for-each-ref")
    objects = git(tmp_path / "one.git", "count-objects", "-v")
    again = convert(made, tmp_path / "one.git", made.git_am, AM)
    assert again.as_json() | {"seconds": 0} == one.as_json() | {"seconds": 0}
    assert git(tmp_path / "one.git", "for-each-ref") == refs
    assert git(tmp_path / "one.git", "count-objects", "-v") == objects
    other = convert(made, tmp_path / "two.git", made.git_am, AM)
    assert (other.commit, other.tag) == (one.commit, one.tag)


def test_branches_end_at_the_highest_evr_whatever_the_order(made: Sample, tmp_path: Path) -> None:
    later = dataclasses.replace(NOW, release="201.fc41")
    repo = tmp_path / "r.git"
    new = convert(made, repo, made.next, later)
    old = convert(made, repo, made.today, NOW)
    assert git(repo, "rev-parse", "f41") == new.commit
    assert git(repo, "log", "--first-parent", "--format=%s", "-1", "builds/f41") == str(
        new.build.nvr
    )
    assert git(repo, "rev-parse", "kernel-6.12.8-200.fc41^{}") == old.commit
    assert old.series["series"]["commit"] == new.series["series"]["commit"]  # unchanged prefix


@pytest.mark.parametrize(
    "mine",
    [{"README": "mine\n"}, {"fedora/series.json": "[]"}, {"fedora/series.json": '{"nvr": 1}'}],
)
def test_somebodys_own_branch_or_tag_is_never_overwritten(
    made: Sample, tmp_path: Path, mine: dict[str, str]
) -> None:
    own = Source(tmp_path / "r.git")
    commit = own.commit(mine, "my own work\n", branch="f41")
    with pytest.raises(WrongUsage, match="branch f41 exists there and is not srcgit's"):
        convert(made, own.path, made.today, NOW)
    assert git(own.path, "for-each-ref", "--format=%(refname) %(objectname)").splitlines() == [
        f"refs/heads/f41 {commit}"
    ]
    git(own.path, "update-ref", "-d", "refs/heads/f41")
    me = ("-c", "user.name=me", "-c", "user.email=me@example.com")
    git(own.path, *me, "tag", "-a", "-m", "mine", "kernel-6.12.8-200.fc41", commit)
    with pytest.raises(
        CannotConvert, match=r"tag kernel-6\.12\.8-200\.fc41 exists and is not srcgit's"
    ):
        convert(made, own.path, made.today, NOW)


def test_a_tag_that_is_not_annotated_is_not_srcgits(made: Sample, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    done = convert(made, repo, made.today, NOW)
    git(repo, "tag", "-f", done.build.tag, done.commit)
    with pytest.raises(CannotConvert, match="exists and is not srcgit's"):
        convert(made, repo, made.today, NOW)


def test_builds_only_fast_forwards(made: Sample, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    convert(made, repo, made.today, NOW)
    before = git(repo, "rev-parse", "builds/f41")
    convert(made, repo, made.next, dataclasses.replace(NOW, release="201.fc41"))
    git(repo, "merge-base", "--is-ancestor", before, "builds/f41")
    assert git(repo, "rev-parse", "builds/f41^1") == before


def test_a_patch_that_does_not_apply_keeps_what_did(made: Sample, tmp_path: Path) -> None:
    plan = dataclasses.replace(AM, base=Base("tag", "v4.15", ""), steps=AM.steps + AM.steps[:1])
    with pytest.raises(SeriesFailed) as failed:
        convert(made, tmp_path / "r.git", made.git_am, plan)
    assert "usb-hub-wait.patch" in failed.value.what
    assert "wait longer" in failed.value.report
    assert "The series starts at v" in failed.value.report
    repo = tmp_path / "r.git"
    kept = "refs/srcgit/failed/kernel-4.15.0-1.fc28"
    assert (
        git(repo, "log", "--format=%s", f"{made.linux.rev('v4.15')}..{kept}").splitlines()[0]
        == "btrfs: drop a lock"
    )
    base = f"refs/srcgit/base/{made.linux.rev('v4.15')}"
    assert git(repo, "for-each-ref", "--format=%(refname)").splitlines() == [base, kept]
    assert [p["patch"] for p in failed.value.series["patches"]] == [
        "usb-hub-wait.patch",
        "net-tun-series.patch",
    ]
    convert(made, repo, made.git_am, AM)
    assert kept not in git(repo, "for-each-ref")  # healed


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (dataclasses.replace(AM, base=Base("tag", "v9.9", "")), BaseMissing),
        (dataclasses.replace(AM, base=Base("unknown", "", "no idea")), BaseUnknown),
        (dataclasses.replace(AM, steps=git_am(b"absent.patch")), PatchMissing),
    ],
)
def test_what_is_missing_is_named(
    made: Sample, tmp_path: Path, plan: Plan, error: type[Exception]
) -> None:
    with pytest.raises(error):
        convert(made, tmp_path / "r.git", made.git_am, plan)
    assert git(tmp_path / "r.git", "for-each-ref") == ""


def test_base_may_be_overridden(made: Sample, tmp_path: Path) -> None:
    unknown = dataclasses.replace(AM, base=Base("unknown", "", "no idea"))
    done = convert(made, tmp_path / "r.git", made.git_am, unknown, base="v4.15")
    assert done.series["base"]["commit"] == made.linux.rev("v4.15")


def test_a_commit_that_does_not_exist(made: Sample, tmp_path: Path) -> None:
    with pytest.raises(PkgGitInvalid, match="no commit"):
        convert(made, tmp_path / "r.git", "f" * 40, AM)


def test_an_nvr_that_the_commit_does_not_build(made: Sample, tmp_path: Path) -> None:
    with pytest.raises(CannotConvert, match=r"builds kernel-4\.15\.0-1\.fc28, not"):
        convert(made, tmp_path / "r.git", made.git_am, AM, nvr=Nvr.parse("kernel-4.15.0-2.fc28"))


def test_a_tag_is_never_moved(made: Sample, tmp_path: Path) -> None:
    convert(made, tmp_path / "r.git", made.git_am, AM)
    with pytest.raises(CannotConvert, match="was made from pkg-git commit"):
        convert(made, tmp_path / "r.git", made.today, AM)


EVIL = b"""\
--- a/x
+++ b/%s
@@ -0,0 +1 @@
+owned
"""


@pytest.mark.parametrize(
    "name", [b"../../x", b"/etc/passwd", b".git/config", b"sub/../../x", b"d/.GIT/hooks/x"]
)
@pytest.mark.parametrize("tool", ["patch", "git-apply"])
def test_no_patch_leaves_the_tree(made: Sample, tmp_path: Path, name: bytes, tool: str) -> None:
    package = Source(tmp_path / "kernel.git")
    evil = EVIL % name
    commit = package.commit(
        {"kernel.spec": "Name: kernel\n", "evil.patch": evil}, "x\n", branch="f41"
    )
    plan = plan_of("1", "1.fc41", "v4.15", Step(b"evil.patch", tool, 1, strip=1))  # type: ignore[arg-type]
    fake = dataclasses.replace(made, pkg_git=package)
    try:
        done = convert(fake, tmp_path / "r.git", commit, plan)
    except SeriesFailed:
        return
    names = git(tmp_path / "r.git", "ls-tree", "-r", "--name-only", done.commit).splitlines()
    assert all(".." not in n.split("/") and ".git" not in n.lower().split("/") for n in names)
    git(tmp_path / "r.git", "fsck", "--strict")


@pytest.mark.parametrize(
    "early",
    [
        [AM.steps[:1]],
        [AM.steps[:1], AM.steps],
        [AM.steps[1:]],  # which do not stay the first
        [(*AM.steps, Step(b"no-such.patch", "git-am"))],
    ],
    ids=["beginning", "whole", "other", "wrong"],
)
@pytest.mark.parametrize("tag", ["v4.15", "v3.17", "v1.0"])
def test_what_is_applied_while_prep_runs_is_held_to_the_whole_plan(
    made: Sample, tmp_path: Path, early: list[tuple[Step, ...]], tag: str
) -> None:
    def trace(*_: object, meanwhile: Meanwhile | None = None, **__: object) -> Plan:
        assert meanwhile
        for steps in early:
            meanwhile.so_far(
                dataclasses.replace(AM, steps=steps, base=Base("tag", tag, "from the test"))
            )
        return AM

    request = Request(
        Mirror(str(made.pkg_git.path), tmp_path),
        made.git_am,
        upstreams=(Mirror(str(made.linux.path), tmp_path),),
    )
    done = pipeline.convert(request, Repository.create(tmp_path / "ahead.git"), trace)
    plain = convert(made, tmp_path / "plain.git", made.git_am, AM)
    assert (done.commit, done.tag) == (plain.commit, plain.tag)
    assert list(done.seconds) == [*dict.fromkeys([*done.seconds, "plan", "base", "series", "tag"])]
    git(tmp_path / "ahead.git", "fsck", "--strict", "--connectivity-only")
