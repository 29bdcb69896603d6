"""What a commit says of a patch that is no mail; mails are held to git am elsewhere."""

from __future__ import annotations

import pytest

from converter.commits import drafts
from converter.objects import Identity
from converter.pkggit import Origin
from specparse.plan import Step

WHO = Identity(b"P. Packager", b"p@example.com", b"1500000000 +0000")
DIFF = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
MAIL = b"From: A <a@example.com>\nDate: Mon, 29 Jan 2018 22:08:37 -0800\nSubject: x\n\n---\n"
COMMITTED = Origin("0123456789abcdef", WHO, b"")


def message(step: Step, data: bytes = DIFF, origin: Origin = COMMITTED, notes: str = "") -> str:
    [draft] = drafts(step, data, lambda: origin, notes)
    assert (draft.author, draft.diff) == (WHO, data)
    return draft.message.decode()


def test_a_raw_diff_is_told_by_its_name_its_prose_and_who_brought_it() -> None:
    step = Step(b"SOURCES/do-it.patch", "patch", number=7)
    assert message(step, b"\nIt is  \nneeded.\0\xff\n\n" + DIFF, notes=" It was moved.\n") == (
        "do-it\n\n"
        "do-it.patch (Patch7) is a plain diff without author or message.\n"
        "Author and date are those of pkg-git commit 0123456789ab,\nwhich introduced it.\n\n"
        "It is\nneeded.\ufffd\n\n"
        "It was moved.\n"
    )


def test_a_diff_that_is_taken_out_again_says_so() -> None:
    """Its prose would say the contrary."""
    step = Step(b"do-it.diff", "patch", reverse=True)
    whose = "Author and date are those of pkg-git commit 0123456789ab,\nwhich introduced it.\n"
    told = f'Revert "do-it"\n\ndo-it.diff is taken out again with -R.\n{whose}'
    assert message(step, b"Do it.\n" + DIFF) == told
    assert message(step, MAIL + DIFF) == told


@pytest.mark.parametrize("told_by", ["", "the newest entry of the changelog"])
def test_without_a_commit_what_told_it_is_named(told_by: str) -> None:
    whose = f"\nAuthor and date are those of {told_by}." if told_by else ""
    said = message(Step(b"x.patch", "git-apply"), origin=Origin("", WHO, b"", told_by))
    assert said == f"x\n\nx.patch is a plain diff without author or message.{whose}\n"


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("a.patch.xz", "a"),
        ("a.diff.gz", "a"),
        ("a.patch.bz2", "a"),
        ("a.patch.zst", "a"),
        ("a.patch.txt", "a.patch.txt"),
        (".patch", ".patch"),
        ("d.d/a", "a"),
    ],
)
def test_the_subject_is_the_name_of_the_file(name: str, subject: str) -> None:
    assert message(Step(name.encode(), "patch")).split("\n")[0] == subject


@pytest.mark.parametrize("without", [b" <a@example.com>", b"Subject: x\n"])
def test_a_mail_that_patch_applies_and_git_am_would_not_is_a_raw_diff(without: bytes) -> None:
    data = MAIL.replace(without, b"") + DIFF
    assert message(Step(b"a.patch", "patch"), data).startswith("a\n\n")
