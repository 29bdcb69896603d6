"""A series of steps on a stage; the judge is git am, called as the spec calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def applied(
    source: Source,
    *calls: list[Step],
    files: Mapping[bytes, bytes],
    progress: Callable[[Step], None] = lambda step: None,
) -> tuple[Series, str]:
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
            progress=progress,
        )
        for steps in calls:
            done.apply(steps)
        marks = [written.mark for patched in done.patches for written in patched.commits]
        ids = stage.ids(marks)
    return done, log(source.path, f"{base}..{ids[-1]}") if ids else ""


def log(repository: Path, revs: str) -> str:
    form = "--format=%T %an <%ae> %ad %s"
    code, out, err = git_mail.run("git", "log", "--date=raw", form, revs, cwd=repository)
    assert code == 0, err
    return out.decode()


def git_am(
    source: Source,
    directory: Path,
    names: list[str],
    files: Mapping[bytes, bytes],
    stdin: bytes = b"",
) -> str:
    """The log after git am; empty where it refuses."""
    git_mail.run("git", "clone", "-q", str(source.path), str(directory), cwd=directory.parent)
    for name, data in files.items():
        (directory.parent / name.decode()).write_bytes(data)
    paths = [str(directory.parent / name) for name in names]
    code, _, _ = git_mail.run("git", "am", "-q", *paths, cwd=directory, stdin=stdin)
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
    done, ours = applied(source, steps, files=files)
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
    done, ours = applied(source, [Step(b"1.patch", "git-am")], files=files)
    assert done.failure is None
    assert ours == git_am(source, tmp_path / "work", ["1.patch"], files)
    assert ours.count("\n") == 1


def test_nothing_is_applied_after_the_first_failure(source: Source) -> None:
    """Not by a later call either: steps become known one after the other."""
    files = {
        b"1.patch": EDIT.format(0, 1).encode(),
        b"2.patch": EDIT.format(7, 8).encode(),
        b"3.patch": EDIT.format(1, 2).encode(),
    }
    steps = [Step(name, "patch", number) for number, name in enumerate(files, 10)]
    for calls in ([steps], [steps[:2], steps[2:]]):
        seen: list[Step] = []
        done, ours = applied(source, *calls, files=files, progress=seen.append)
        assert [patched.step for patched in done.patches] == steps[:1]
        assert seen == steps[:2]
        assert done.failure is not None and done.failure.step == steps[1]
        assert done.failure.report.startswith("2.patch (Patch11, patch -p1, after 1 patch)\n")
        assert "1.patch" in done.failure.report  # touched the same file
        assert ours.count("\n") == 1


def test_what_a_file_gave_before_one_of_its_mails_failed_is_kept(
    source: Source, tmp_path: Path
) -> None:
    mails = f"From x Mon Sep 17 00:00:00 2001\n{MAIL}\n"
    both = mails.format("one", 0, 1) + mails.format("two", 7, 8)
    done, ours = applied(source, [Step(b"1.patch", "git-am")], files={b"1.patch": both.encode()})
    assert done.failure is not None
    head = "1.patch (git-am -p1, the first patch)\nmail 2 of 2: two\n"
    assert done.failure.report.startswith(head)
    [kept] = done.patches
    assert [written.subject for written in kept.commits] == [b"one"]
    alone = {b"1.patch": mails.format("one", 0, 1).encode()}
    assert ours == git_am(source, tmp_path / "work", ["1.patch"], alone)


def test_mails_that_patch_applies_are_the_commits_of_git_am(source: Source, tmp_path: Path) -> None:
    mails = f"From x Mon Sep 17 00:00:00 2001\n{MAIL}\n"
    both = {b"1.patch": (mails.format("one", 0, 1) + mails.format("two", 1, 2)).encode()}
    done, ours = applied(source, [Step(b"1.patch", "patch")], files=both)
    assert done.failure is None
    assert ours == git_am(source, tmp_path / "work", ["1.patch"], both)
    assert ours.count("\n") == 2


def test_a_file_of_mails_that_patch_takes_otherwise_is_one_commit(source: Source) -> None:
    """A cover letter: patch(1) passes over it, alone it is garbage to it."""
    mails = f"From x Mon Sep 17 00:00:00 2001\n{MAIL}\n"
    cover = mails.format("a series", 0, 1).partition("---\n")[0]
    data = (cover + mails.format("one", 0, 1)).encode()
    done, ours = applied(source, [Step(b"1.patch", "patch")], files={b"1.patch": data})
    assert done.failure is None
    [written] = done.patches[0].commits
    assert (written.author, written.subject) == (NOBODY, b"1")
    assert b"Its mails, applied one by one, do not add up" in written.message
    assert source.git.run("cat-file", "blob", f"{ours.split()[0]}:f").stdout == b"1\n"


@pytest.mark.parametrize("form", [MAIL, STGIT, MERCURIAL], ids=["mail", "StGit", "Mercurial"])
def test_what_comes_through_a_pipe_is_a_mailbox(source: Source, tmp_path: Path, form: str) -> None:
    data = form.format("one", 0, 1).encode()
    done, ours = applied(source, [Step(b"e", "git-am", format_of=b"-")], files={b"e": data})
    theirs = git_am(source, tmp_path / "work", [], {}, stdin=data)
    assert ours == theirs if done.failure is None else not theirs
    assert bool(theirs) == (form == MAIL)


def test_nothing_through_a_pipe_is_no_commit(source: Source) -> None:
    done, ours = applied(source, [Step(b"e", "git-am", format_of=b"-")], files={b"e": b"\n \n"})
    assert done.failure is None
    assert not ours
