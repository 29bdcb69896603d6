"""A series of steps on a stage; the judge is git am, called as the spec calls it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from converter.objects import Identity
from converter.odb import Repository
from converter.pkggit import Origin
from converter.series import Series
from converter.stage import Stage
from specparse.plan import Step
from tests.builders import Source
from tests.oracle import git_mail

NOBODY = Identity(b"Nobody", b"nobody@example.com", b"1500000000 +0000")
COMMITTER = (b"C. Committer", b"committer@example.com")
DATE = "Mon, 2 Jan 2017 03:04:05 +0100"
EDIT = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{}\n+{}\n"
MAIL = f"From: A <a@example.com>\nDate: {DATE}\nSubject: {{}}\n\n---\n{EDIT}"
STGIT = f"{{}}\n\nFrom: S <s@example.com>\nDate: {DATE}\n---\n{EDIT}"
MERCURIAL = (
    f"# HG changeset patch\n# User H <h@example.com>\n# Date 1483322645 -3600\n{{}}\n\n{EDIT}"
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    source = Source(tmp_path / "upstream.git")
    source.commit({"f": "0\n", "run": "x\n"}, "base\n", modes={"run": "100755"})
    return source


def applied(source: Source, steps: list[Step], files: Mapping[bytes, bytes]) -> tuple[Series, str]:
    """The series, and the log that it leaves."""
    repo = Repository(source.path)
    base = source.rev("main")
    assert base
    with Stage(repo, base) as stage:
        done = Series(
            stage,
            read=files.__getitem__,
            origin=lambda _: Origin(base, NOBODY, b""),
            committer=COMMITTER,
        )
        done.apply(steps)
        marks = [written.mark for patched in done.patches for written in patched.commits]
        ids = stage.ids(marks)
    return done, log(source.path, f"{base}..{ids[-1]}") if ids else ""


def log(repository: Path, revs: str) -> str:
    form = "--format=%T %an <%ae> %ad %s"
    code, out, err = git_mail.run("git", "log", "--date=raw", form, revs, cwd=repository)
    assert code == 0, err
    return out.decode()


def git_am(source: Source, directory: Path, names: list[str], files: Mapping[bytes, bytes]) -> str:
    """The log after git am; empty where it refuses."""
    git_mail.run("git", "clone", "-q", str(source.path), str(directory), cwd=directory.parent)
    for name, data in files.items():
        (directory.parent / name.decode()).write_bytes(data)
    paths = [str(directory.parent / name) for name in names]
    code, _, _ = git_mail.run("git", "am", "-q", *paths, cwd=directory)
    return log(directory, "origin/main..HEAD") if code == 0 else ""


@pytest.mark.parametrize("first", [MAIL, STGIT, MERCURIAL], ids=["mail", "StGit", "Mercurial"])
@pytest.mark.parametrize("second", [MAIL, STGIT, MERCURIAL], ids=["mail", "StGit", "Mercurial"])
def test_one_call_reads_all_files_as_it_reads_the_first(
    source: Source, tmp_path: Path, first: str, second: str
) -> None:
    files = {
        b"1.patch": first.format("one", 0, 1).encode(),
        b"2.patch": second.format("two", 1, 2).encode(),
    }
    steps = [Step(b"1.patch", "git-am"), Step(b"2.patch", "git-am", format_of=b"1.patch")]
    done, ours = applied(source, steps, files)
    theirs = git_am(source, tmp_path / "work", ["1.patch", "2.patch"], files)
    assert ours == theirs if done.failure is None else not theirs
    if first == second:
        assert theirs.count("\n") == 2


def test_a_mail_that_changes_nothing_is_a_commit_all_the_same(
    source: Source, tmp_path: Path
) -> None:
    mode = "diff --git a/run b/run\nold mode 100644\nnew mode 100755\n"
    head = MAIL.format("the mode that it has", 0, 1).partition("---\n")[0]
    files = {b"1.patch": f"{head}---\n{mode}".encode()}
    done, ours = applied(source, [Step(b"1.patch", "git-am")], files)
    assert done.failure is None
    assert ours == git_am(source, tmp_path / "work", ["1.patch"], files)
    assert ours.count("\n") == 1


def test_nothing_through_a_pipe_is_no_commit(source: Source) -> None:
    done, ours = applied(source, [Step(b"e", "git-am", format_of=b"-")], {b"e": b"\n \n"})
    assert done.failure is None
    assert not ours
