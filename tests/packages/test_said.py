"""What the commits of a whole conversion say: forms of headers, the spec's comment, importing robots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converter.mirror import Mirror
from converter.odb import Repository
from tests.builders import Source
from tests.packages.model import MAIN, TWO, Content, Package, Upstream, git_diff, joined
from tests.packages.test_packages import Trial

ROBOT = ("CentOS Sources", "bugs@centos.org")
DIFF = git_diff(MAIN)
SHOWN = (
    "commit 0123456789abcdef0123456789abcdef01234567\nAuthor: Ann <ann@example.org>\n"
    "Date:   Mon Jul 1 10:00:00 2019 +0200\n\n    Check it\n    \n    Because.\n\n"
)
DECLARE = (
    "# Needed on s390 (rhbz#1234567)\n#Patch9: old.patch\nPatch1: demo-rh7654321.patch\n"
    "# RHEL-1234\nPatch2: two.patch\n"
)
PACKAGER = "A. Packager <packager@example.org>"  # the newest entry of the changelog


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return Upstream(tmp_path_factory.mktemp("upstream") / "demo.git")


def converted(
    first: Content, author: tuple[str, str], upstream: Upstream, scratch: Path
) -> tuple[Repository, dict[str, Any], list[str]]:
    """Return the repository, series.json's first patch, and both commits as git shows them."""
    files: dict[str, Content] = {"demo-rh7654321.patch": first, "two.patch": TWO}
    trial = Trial(Package("said", "%autosetup -p1", files, DECLARE), upstream, scratch)
    pkg_git = Source(scratch / "brought.git")
    rev = pkg_git.commit(
        dict(trial.files), "import demo-1.2-3.el9\n", branch="rawhide", author=author
    )
    request = replace(trial.request, pkg_git=Mirror(str(pkg_git.path), scratch), rev=rev)
    done = trial.convert(request)
    repo = Repository(scratch / "again.git")
    told = [
        repo.git.run("log", "-1", "--format=%an <%ae>%n%B", commit["commit"]).stdout.decode()
        for patch in done.series["patches"]
        for commit in patch["commits"]
    ]
    return repo, done.series["patches"][0], told


@pytest.mark.parametrize(
    "author", [ROBOT, ("Ann Packer", "ann@example.org")], ids=["robot", "person"]
)
def test_a_raw_diff_is_by_the_packager_and_has_the_specs_comment(
    author: tuple[str, str], upstream: Upstream, scratch: Path
) -> None:
    _, patch, [one, two] = converted(DIFF, author, upstream, scratch)
    # whose the import is, the message says by itself: "import NVR"
    assert one.startswith(f"{PACKAGER}\ndemo-rh7654321\n\nNeeded on s390 (rhbz#1234567)\n\n")
    assert "old.patch" not in one
    assert "The author is that of the newest changelog entry in pkg-git commit" in one
    assert two.startswith(f"{PACKAGER}\ntwo\n\nRHEL-1234\n\n")
    assert patch["bugs"] == ["rhbz#1234567", "rhbz#7654321"]
    assert patch["introduced"]["author"] == f"{author[0]} <{author[1]}>"


def test_what_git_show_printed_is_the_commits_own(upstream: Upstream, scratch: Path) -> None:
    repo, patch, [one, _] = converted(joined(SHOWN, DIFF), ROBOT, upstream, scratch)
    assert one.rstrip("\n") == "Ann <ann@example.org>\nCheck it\n\nBecause."
    [commit] = patch["commits"]
    assert commit["source"] == "0123456789abcdef0123456789abcdef01234567"
    when = repo.git.run("log", "-1", "--format=%ad|%cd", "--date=raw", commit["commit"]).stdout
    assert when.decode().strip() == "1561968000 +0200|1561968000 +0200"


def test_text_without_an_author_is_the_packagers(upstream: Upstream, scratch: Path) -> None:
    _, _, [one, _] = converted(joined("Check it\n\nBecause.\n\n", DIFF), ROBOT, upstream, scratch)
    assert one.rstrip("\n") == (
        f"{PACKAGER}\nCheck it\n\nBecause.\n\nNeeded on s390 (rhbz#1234567)"
    )
