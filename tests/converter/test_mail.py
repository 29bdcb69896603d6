"""Mails by example; the differential tests hold the same code against git itself."""

from __future__ import annotations

import contextlib
from base64 import b64encode

import pytest

from converter.mailbox.mail import Mail, MailError, parse, split

SENDER = b"From: A U Thor <author@example.com>\n"
DIFF = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
MAIL = (
    b"From e6807f3efca28b30decfecb1732a56c7db1137ee Mon Sep 17 00:00:00 2001\n"
    b"From: =?UTF-8?q?J=C3=BCrgen?= Doe <j@example.com>\n"
    b"Date: Mon, 29 Jan 2018 22:08:37 -0800\n"
    b"Subject: [PATCH 1/3] foo: do\n it all\n\n"
    b"Body.\n\nSigned-off-by: me\n---\n f | 2 +-\n\n"
) + DIFF


def test_a_mail_of_format_patch() -> None:
    assert parse(MAIL) == Mail(
        name="Jürgen Doe".encode(),
        email=b"j@example.com",
        date=b"1517292517 -0800",
        message=b"foo: do it all\n\nBody.\n\nSigned-off-by: me\n",
        diff=b"---\n f | 2 +-\n\n" + DIFF,
    )
    assert parse(MAIL).subject == b"foo: do it all"


def test_several_mails_in_a_file() -> None:
    assert split(MAIL * 3) == (MAIL, MAIL, MAIL)


def test_a_raw_diff_is_no_mail() -> None:
    assert split(DIFF) == ()
    assert split(b"") == ()


def test_carriage_returns_go_unless_kept() -> None:
    crlf = MAIL.replace(b"\n", b"\r\n")
    assert split(crlf) == (MAIL,)
    assert split(crlf, ["--keep-cr"]) == (crlf,)


@pytest.mark.parametrize(
    ("options", "subject"),
    [
        ([], b"x: y"),
        (["-b"], b"x: y"),
        (["--keep-non-patch"], b"[RHEL9] x: y"),
        (["-k"], b"[PATCH] [RHEL9] Re: x: y"),
        (["-qk"], b"[PATCH] [RHEL9] Re: x: y"),
    ],
)
def test_brackets_as_the_call_treats_them(options: list[str], subject: bytes) -> None:
    mail = MAIL.replace(b"[PATCH 1/3] foo: do\n it all", b"[PATCH] [RHEL9] Re: x: y")
    if options == ["--keep-non-patch"]:
        mail = mail.replace(b"Re: ", b"")
    assert parse(mail, options).subject == subject


def test_no_date_is_left_to_the_caller() -> None:
    assert parse(MAIL.replace(b"Date: ", b"Dated: ")).date == b""
    assert parse(MAIL, ["--ignore-date"]).date == b""


@pytest.mark.parametrize(
    ("mail", "why"),
    [
        (MAIL.replace(b"From: ", b"Form: "), "empty ident name"),
        (MAIL.replace(b"Mon, 29 Jan 2018 22:08:37 -0800", b"once upon a time"), "invalid date"),
        (MAIL.replace(b"UTF-8?q", b"x-klingon?q"), "cannot convert from x-klingon"),
        (MAIL.replace(b"?q?", b"?z?"), "encoded word"),
        (b" \n", "empty patch"),
    ],
)
def test_what_git_am_refuses(mail: bytes, why: str) -> None:
    with pytest.raises(MailError, match=why):
        parse(mail)


@pytest.mark.parametrize(
    "option",
    ["-s", "--signoff", "--no-utf8", "--quoted-cr=strip", "-i", "--interactive", "-qs"],
)
def test_what_changes_a_mail_in_other_ways_is_refused(option: str) -> None:
    """--signoff, for one, needs a committer."""
    with pytest.raises(MailError, match="is not supported"):
        parse(MAIL, [option])


@pytest.mark.parametrize(
    ("data", "options"),
    [(MAIL, ["--patch-format=stgit-series"]), (b"# This series applies on GIT commit x\na\n", [])],
)
def test_a_stgit_series_names_other_files(data: bytes, options: list[str]) -> None:
    with pytest.raises(MailError, match="names other files"):
        split(data, options)


MUCH = 200_000


@pytest.mark.timeout(60)  # a blow-up would take hours; a busy machine is none
@pytest.mark.parametrize(
    "mail",
    [
        b"Subject: x\n" + b" folded\n" * MUCH,
        b"Subject: " + b"=?utf-8?q?a?= " * MUCH,
        b"Subject: " + b"[x] re: " * MUCH,
        b"Subject: " + b"[" * MUCH,
        b"From: " + b"(" * MUCH + b'"\\' * MUCH + b"@x\n",
        b"From: " + b"<" * MUCH + b"@" * MUCH + b">" * MUCH + b"\n",
        b"Date: " + b"a1" * MUCH + b"\n",
        b"Date: " + b"+05: " * MUCH + b"\n",
        b"Date: " + b"9" * MUCH + b"-1.1:1/" * MUCH + b"\n",
        b"X: y\n" * MUCH,
        b"Content-Type: a; charset=b\n" * MUCH,
        b"Content-Transfer-Encoding: quoted-printable\n\n" + b"soft=\n" * MUCH,
        b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=3D" * MUCH,
        b"Content-Transfer-Encoding: base64\n\n" + b"eHh4\n" * MUCH,
        b"Content-Type: text/plain; format=flowed\n\n" + b"flows \n" * MUCH,
        b"Content-Type: multipart/mixed; boundary=-\n\n" + b"---\n\nx\n" * MUCH,
        b"X: y\n\nSubject: z\n" + b" more\n" * MUCH,
        b"X: y\n\n" + b"\n" * MUCH + b" \n" * MUCH + b"--- " * MUCH,
        b"X: y\n\n" + b"---" + b" " * MUCH + b"x\n" + b"-- >8 --\n" * MUCH,
        b"X: y\n\n" + b"x" * 50_000_000,
        b"X: y\n\n" + b"\xe9" * 1_000_000,
    ],
    ids=lambda mail: mail[:40].decode("latin-1").replace("\n", "|"),
)
def test_no_blow_up(mail: bytes) -> None:
    for options in ([], ["--scissors", "--keep-non-patch"]):
        with contextlib.suppress(MailError):
            parse(SENDER + mail, options)


def test_many_mails_in_a_file() -> None:
    assert len(split(MAIL * 50_000)) == 50_000
    assert len(split(b"From x 10:00:0\n" * MUCH + b"From " * MUCH)) == 1


_MAIL = (
    b"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: a <a@x>\n"
    b"Date: Mon, 6 Jan 2025 00:00:00 +0000\nSubject: x\n"
)
_ENDLESS = {
    "a message": (_MAIL + b"\nx" + b" " * (1 << 20) + b"\n---\n", "message of more than"),
    "a message line by line": (
        _MAIL + b"Content-Type: text/plain; charset=latin1\n\n" + b"x\n" * (1 << 19) + b"x\n",
        "message of more than",
    ),
    "a field": (_MAIL + b"X: y\n" + b" \n" * (1 << 19) + b" y\n\nz\n", "field of more than"),
    "a field in the body": (
        _MAIL + b"\nFrom: y\n" + b" y\n" * (1 << 20) + b"z\n", "field of more than",
    ),
    "lines that decoding makes": (
        _MAIL + b"Content-Transfer-Encoding: base64\n\n" + b64encode(b"\n" * 3_000_001) + b"\n",
        "more than 3000000 lines",
    ),
}  # fmt: skip


@pytest.mark.parametrize("data, why", _ENDLESS.values(), ids=_ENDLESS)
def test_a_mail_out_of_all_proportion_is_refused(data: bytes, why: str) -> None:
    """git has no such limits; no mail comes near them."""
    with pytest.raises(MailError, match=why):
        parse(data)


def test_mails_without_number_are_refused() -> None:
    with pytest.raises(MailError, match="more than 100000 mails"):
        split((_MAIL + b"\nx\n") * 100_001)
