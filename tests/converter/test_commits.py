"""What a commit says of a patch that is no mail; mails are held to git am elsewhere."""

from __future__ import annotations

import pytest

from converter.commits import Notes, drafts
from converter.objects import Identity
from converter.pkggit import Origin
from specparse.plan import Step

WHO = Identity(b"P. Packager", b"p@example.com", b"1500000000 +0000")
DIFF = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
MAIL = b"From: A <a@example.com>\nDate: Mon, 29 Jan 2018 22:08:37 -0800\nSubject: x\n\n---\n"
NO_NOTES = Notes()
COMMITTED = Origin("0123456789abcdef", WHO, b"")


def message(
    step: Step, data: bytes = DIFF, origin: Origin = COMMITTED, notes: Notes = NO_NOTES
) -> str:
    [draft] = drafts(step, data, lambda: origin, notes)
    assert (draft.author, draft.diff) == (WHO, data)
    return draft.message.decode()


def test_a_diff_without_a_word_is_told_by_its_name_and_who_brought_it() -> None:
    step = Step(b"SOURCES/do-it.patch", "patch", number=7)
    notes = Notes("Needed on s390.", " It was moved.\n")
    assert message(step, b"\n" + DIFF, notes=notes) == (
        "do-it\n\n"
        "Needed on s390.\n\n"
        "do-it.patch (Patch7) is a plain diff without author or message.\n"
        "Author and date are those of pkg-git commit 0123456789ab,\nwhich introduced it.\n\n"
        "It was moved.\n"
    )


def test_text_above_a_diff_is_its_message() -> None:
    """What is no UTF-8 in it is Latin-1, as git reads mails."""
    step = Step(b"do-it.patch", "patch", number=7)
    data = b"\nIt is  \nneeded.\0\xff\n\n\nBecause.\n" + DIFF
    said = message(step, data, notes=Notes("The spec's comment"))
    assert said == "It is needed.\xff\n\nBecause.\n\nThe spec's comment\n"


def test_a_long_paragraph_is_no_title() -> None:
    text = "It is needed. " * 30
    assert message(Step(b"a.patch", "patch"), text.encode() + b"\n" + DIFF) == (
        f"a\n\n{text.rstrip()}\n"
    )


def test_a_diff_that_is_taken_out_again_says_so() -> None:
    """Its own words would say the contrary."""
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


@pytest.mark.parametrize(
    ("old", "new", "author", "said"),
    [
        (b" <a@example.com>", b"", b"A <>", b"x\n"),  # git am: an empty identity
        (b" <a@example.com>", b" <>", b"A <>", b"x\n"),
        (b"Subject: x\n", b"", b"A <a@example.com>", b"a\n"),
        (b"From:", b"Adapted\nto 1.2.\n\nFrom:", b"A <a@example.com>", b"x\n\nAdapted\nto 1.2.\n"),
        (b"From:", b"Subject: old\nFrom:", b"A <a@example.com>", b"x\n"),
    ],
)
def test_a_mail_that_git_am_would_not_take_still_says_who_and_what(
    old: bytes, new: bytes, author: bytes, said: bytes
) -> None:
    data = MAIL.replace(old, new) + DIFF
    [draft] = drafts(Step(b"a.patch", "patch"), data, lambda: COMMITTED)
    assert bytes(draft.author) == author + b" 1517292517 -0800"
    assert (draft.message, draft.diff) == (said, data)


def test_who_introduced_it_supplies_what_the_header_lacks() -> None:
    data = b"Author: A <a@example.com>\n" + DIFF
    [draft] = drafts(Step(b"a.patch", "patch"), data, lambda: COMMITTED, Notes("why"))
    assert bytes(draft.author) == b"A <a@example.com> 1500000000 +0000"
    assert draft.message == b"a\n\nwhy\n"


def test_what_says_all_of_itself_needs_no_origin_and_no_comment() -> None:
    shown = (
        b"commit 0123456789abcdef\nAuthor: A <a@b>\nDate:   2019-07-01 10:00:00 +0200\n\n    x\n\n"
    )

    def origin() -> Origin:
        raise AssertionError

    [draft] = drafts(Step(b"a.patch", "patch"), shown + DIFF, origin, Notes("why", "list"))
    assert (draft.message, draft.source) == (b"x\n\nlist\n", "0123456789abcdef")


def test_each_commit_of_git_log_p_is_one() -> None:
    one = b"commit %b\nAuthor: A <a@b>\nDate:   2019-07-01 10:00:00 +0200\n\n    %b\n\n"
    first, second = one % (b"1" * 40, b"x") + DIFF + b"\n", one % (b"2" * 40, b"y") + DIFF
    made = drafts(Step(b"a.patch", "patch"), first + second, lambda: COMMITTED)
    assert [(d.message, d.diff) for d in made] == [(b"x\n", first), (b"y\n", second)]


def test_git_am_takes_fields_of_dep3_for_a_mail_and_patch_does_not() -> None:
    fields = b"From: A <a@b>\nDate: 2019-07-01 10:00:00 +0200\nSubject: x\nBug: http://b/1\n\n"
    [am] = drafts(Step(b"a.patch", "git-am"), fields + DIFF, lambda: COMMITTED)
    [patch] = drafts(Step(b"a.patch", "patch"), fields + DIFF, lambda: COMMITTED)
    assert am.author == patch.author
    assert (am.message, patch.message) == (b"x\n", b"x\n\nBug: http://b/1\n")
