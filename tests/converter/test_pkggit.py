"""Branch and dist tag of a build: from pkg-git's own branches and the build target, no table."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.errors import WrongUsage
from converter.mirror import Mirror
from converter.pkggit import PkgGit
from tests.builders import Source


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> tuple[PkgGit, dict[str, str]]:
    """A pkg-git of three releases: f42 and f43 have branched off, rawhide will be f44."""
    source = Source(tmp_path_factory.mktemp("pkg-git") / "kernel.git")

    def commit(name: str, branch: str) -> str:
        return source.commit({"kernel.spec": name}, f"{name}\n", branch=branch)

    made = {"old": commit("old", "rawhide")}  # when rawhide was to be f42
    source.branch("f42", made["old"])
    made["middle"] = commit("middle", "rawhide")  # when it was to be f43
    source.branch("f43", made["middle"])
    made["stable"] = commit("stable", "f42")
    made["both"] = commit("both", "rawhide")
    source.branch("f43", made["both"])  # a packager's fast-forward of f43 to rawhide
    made["new"] = commit("new", "rawhide")
    made["user"] = commit("user", "eve/fix")
    made["epel"] = commit("epel", "epel9")
    made["lost"] = commit("lost", "gone")
    source.git.run("update-ref", "-d", "refs/heads/gone")
    return PkgGit(Mirror(str(source.path), source.path.parent)), made


@pytest.mark.parametrize(
    ("commit", "dist", "target", "branch"),
    [
        ("new", ".fc44", "rawhide", "rawhide"),
        ("new", ".fc44", "f44-candidate", "rawhide"),  # no such branch yet
        ("new", ".fc44", "f44-build-side-12345", "rawhide"),
        ("new", ".fc44", None, "rawhide"),
        ("both", ".fc43", "f43-candidate", "f43"),
        ("both", ".fc43", "f43-build-side-12345", "f43"),
        ("both", ".fc44", "rawhide", "rawhide"),
        ("both", ".fc44", "f44-rebuild", "rawhide"),
        ("middle", ".fc43", "rawhide", "rawhide"),  # looked at after the branching
        ("middle", ".fc43", "f43-rebuild", "rawhide"),  # a mass rebuild is rawhide's
        ("old", ".fc42", "f42-candidate", "f42"),
        ("old", ".fc42", "rawhide", "rawhide"),
        ("stable", ".fc42", "f42-candidate", "f42"),
        ("stable", ".fc42", "eln", "f42"),
        ("stable", ".fc41", None, "f42"),  # a release whose branch is gone: the lowest that holds
        ("epel", ".el9", "epel9-candidate", "epel9"),
        ("user", ".fc44", "rawhide", "eve/fix"),
    ],
)
def test_branch_of(
    commits: tuple[PkgGit, dict[str, str]],
    commit: str,
    dist: str,
    target: str | None,
    branch: str,
) -> None:
    pkg_git, made = commits
    assert pkg_git.branch_of(made[commit], dist, target) == branch


@pytest.mark.parametrize(
    ("commit", "dist"),
    [
        ("old", ".fc42"),
        ("middle", ".fc43"),
        ("both", ".fc43"),
        ("stable", ".fc42"),
        ("new", ".fc44"),
    ],
)
def test_dist_of(commits: tuple[PkgGit, dict[str, str]], commit: str, dist: str) -> None:
    pkg_git, made = commits
    assert pkg_git.dist_of(made[commit]) == dist


def test_a_commit_that_no_branch_holds_has_neither(
    commits: tuple[PkgGit, dict[str, str]], tmp_path: Path
) -> None:
    pkg_git, made = commits
    with pytest.raises(WrongUsage, match="no branch holds it"):
        pkg_git.branch_of(made["lost"], ".fc44", "rawhide")
    with pytest.raises(WrongUsage, match="tells the release"):
        pkg_git.dist_of(made["lost"])
