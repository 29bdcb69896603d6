"""Mails made at random, read by converter.mailbox.mail and by git: the same values or the same refusal.

The number of mails is ``SRCGIT_EXAMPLES`` (default 250, about half a minute together).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter.mailbox import date as dates
from converter.mailbox.charset import repaired_utf8
from converter.mailbox.mail import Mail, MailError, parse, split
from converter.series import _MBOX
from tests.oracle.git_mail import Judge, Refused, run
from tests.oracle.tool_changes import changed

EXAMPLES = int(os.environ.get("SRCGIT_EXAMPLES", "250"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

DIFF = b"diff --git a/f b/f\nnew file mode 100644\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+b\n"


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("judge"))


def pieces(text: str) -> st.SearchStrategy[bytes]:
    """One of the lines of ``text``, with Python's escapes."""
    lines = [line.strip() for line in text.strip("\n").split("\n")]
    return st.sampled_from(
        [line.encode().decode("unicode_escape").encode("latin-1") for line in lines]
    )


WORDS = pieces(r"""
    J\xc3\xb6rg
    J\xf6rg
    =?utf-8?q?J=C3=B6rg?=
    =?UTF-8?B?SsO2cmc=?=
    =?iso-8859-1?Q?J=F6rg_=5FD?=
    =?ISO-8859-15?q?=A4?=
    =?us-ascii?q?plain?=
    =?windows-1252?q?=93x=94?=
    =?utf-8?q?a?= =?utf-8?q?b?=
    =?utf-8?q?a?=\x20\t=?utf-8?q?b?=
    =?utf-8?q?=3D=?=
    =?utf-8?q?no end
    =?utf-8?x?odd?=
    =?koi8-r?b?7cHS?=
    =?GB2312?B?xOO6ww==?=
    =?euc-kr?B?vsiz5w==?=
    =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=
    =?no-such?q?x?=
    =?utf-8?q?=00?=
    =?utf-8?q?a_b=0A=c?=
    =?
    Doe
    "Doe, John"
    "q\\"uote"
    (comment (nested) \\) end)
    x@y.z
    <x@y.z>
    < x@y.z >
    <root>
    <>
    a@b@c
    [PATCH]
    [PATCH 1/2]
    [RFC PATCH v2 03/10]
    [x]
    [PATCH
    Re:
    RE: re:re:
    re
    :
    fix: things
    \t
    \x20\x20
    Mail System Internal Data
    PATCH
    ........
    A name that is quite a bit longer than the sixty bytes that git allows
    \x80\xff\xfe
    \xef\xbf\xbf
    \x0b\x0c
""")

DATES = pieces(r"""
    Mon, 29 Jan 2018 22:08:37 -0800
    29 Jan 2018 22:08:37
    Mon Sep 17 00:00:00 2001
    2018-01-29T22:08:37Z
    2018-01-29 22:08:37 +01:00
    29.01.2018 10:00
    1/29/2018 10:00 PM
    @1517219317 +0100
    1517219317 -0800
    Thu, 1 Jan 1970 00:00:00 +0000
    Tue, 31 Feb 2012 24:00:60 EST
    yesterday
    Wed, 14 Mar 2012 12:00:00 +9999
    =?utf-8?q?Wed,_14_Mar_2012_12=3A00=3A00_=2B0100?=
""")

TYPES = pieces(r"""
    text/plain
    text/plain; charset=utf-8
    text/plain; charset="UTF8"
    text/plain; charset=us-ascii
    text/plain; charset=ISO-8859-1
    text/plain; charset=iso-8859-15; format=flowed
    text/plain; format=flowed
    text/plain; FORMAT=Flowed; DelSp=YES
    text/plain; charset=windows-1252
    text/plain; charset=x-unknown
    text/plain; charset=
    multipart/mixed; boundary="=-b"
    multipart/mixed; boundary=-
    multipart/alternative; boundary=inner
""")

ENCODINGS = pieces("8bit\n7bit\nbase64\nquoted-printable\nBASE64\nQuoted-Printable\nnone")

NAMES = pieces(
    "From\nSubject\nDate\nfrom\nSUBJECT\nDATE\nContent-Type\ncontent-transfer-encoding\nX-Odd\nMessage-Id"
)


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    """A header field, mostly sane, folded at times."""
    name = draw(NAMES)
    value = {
        b"date": DATES,
        b"content-type": TYPES,
        b"content-transfer-encoding": ENCODINGS,
    }.get(name.lower(), st.lists(WORDS, max_size=4).map(b" ".join))
    text = name + draw(st.sampled_from([b": ", b":", b":  ", b":\t"])) + draw(value)
    fold = draw(st.sampled_from([b"", b"", b"\n ", b"\n\t", b" \n  "]))
    return (text.replace(b" ", fold, 2) if fold else text) + b"\n"


BODY = pieces(r"""

    Some text.
    Text that flows\x20
    \x20stuffed
    --\x20
    ---
    ---\x20
    ---\x20\x20\x09
    --- a/f
    ---x
    -- >8 --
    -- >8 -- 8< --
    8< ----- cut here ----- >8
    ------------>8
    > -- 8< --
    x>8 -  -
    x>8 -  -x
    8<------------ and quite a bit of text after that is too much
    Index: f
    diff -u a b
    diff - not
    *** a/f
    >From e6807f3efca28b30decfecb1732a56c7db1137ee Mon Sep 17 00:00:00 2001
    >From x
    >>From x y
    From x
    From: Inner Author <inner@example.com>
    FROM: Other
    From:
    Subject: inner
    Subject: [PATCH 2/2] inner
    Date: Tue, 30 Jan 2018 22:08:37 +0100
    [PATCH] in body
    [PATCH]in body
    [PATCH
    \x20continued
    \x09continued
    Signed-off-by: me <m@e>
    J\xc3\xb6rg
    J\xf6rg
    J=C3=B6rg=20
    soft=
    odd=\x20
    =3D=\x20=3d=G
    SsO2cmcK
    U29tZSB0ZXh0Lgo=
    ZGlmZiAtLWdpdCBhL2YgYi9mCm5ldyBmaWxlIG1vZGUgMTAwNjQ0Ci0tLSAvZGV2L251bGwKKysrIGIvZgpAQCAtMCwwICsxIEBACitiCg==
    --=-b
    --=-b--
    --inner
    --inner--
    --
    Content-Type: text/plain; charset=iso-8859-1
    Content-Type: multipart/mixed; boundary=inner
    Content-Transfer-Encoding: base64
    Content-Transfer-Encoding: quoted-printable
    Content-Disposition: attachment
    carriage\r
    \r
    \x00
    with\x00nul
    -- >8\x00 --
    --- \x00
    \x20
    \x09
    \xef\xb7\x90
    \xed\xa0\x80
    \x0b
""")

SENDER = b"From: A U Thor <author@example.com>\n"


@st.composite
def mails(draw: st.DrawFn) -> bytes:
    """A mail from its parts: most are sane enough for git to take."""
    head = draw(st.lists(fields(), max_size=5))
    if draw(st.integers(0, 4)):
        head.append(SENDER)
    first = draw(st.sampled_from([b"", b"From x Mon Sep 17 00:00:00 2001\n", b" \n", b">From x\n"]))
    gap = draw(st.sampled_from([b"\n", b"\n", b"\n", b"", b" \n", b"no field\n"]))
    ends = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))
    body = b"".join(line + ends for line in draw(st.lists(BODY, max_size=12)))
    patch = draw(st.sampled_from([DIFF, DIFF, b"---\n f | 1 +\n\n" + DIFF, b""]))
    mail = first + b"".join(head) + gap + body + patch
    cut = draw(st.sampled_from([0, 0, 0, 1, 2]))
    return mail[: len(mail) - cut] if cut else mail


OPTIONS = st.lists(
    st.sampled_from(
        ["-k", "-b", "--keep-non-patch", "-m", "--scissors", "--no-scissors", "--keep-cr", "-q"]
    ),
    max_size=3,
)

# git 2.39 reads on after the end of a header with an open quote or comment (unquote_comment();
# mended in 2.41): what it finds there is chance.
_OPEN = re.compile(rb"[\"()\\]")


def no_chance_in(mail: bytes) -> bool:
    return not _OPEN.search(re.sub(rb'"Doe, John"|"q\\"uote"|\(comment .*? end\)', b"", mail))


def outcome(mail: bytes, options: list[str]) -> Mail | str:
    try:
        return parse(mail, options)
    except MailError as error:
        return str(error)


def held_to_git_am(judge: Judge, mail: bytes, options: list[str]) -> None:
    if changed("git-am", mail, tuple(options)):
        return
    ours = outcome(mail, options)
    try:
        theirs = judge.commit(mail, options)
    except Refused as refusal:
        assert isinstance(ours, str), f"git refuses: {refusal}"
        return
    assert isinstance(ours, Mail), f"git takes it: {theirs}"
    if not ours.date:  # git am takes the current time
        assert ours == Mail(theirs.name, theirs.email, b"", theirs.message, theirs.diff)
    else:
        assert ours == theirs


@many
@given(mails(), OPTIONS)
def test_a_mail_becomes_the_commit_of_git_am(judge: Judge, mail: bytes, options: list[str]) -> None:
    held_to_git_am(judge, mail, options)


MAIL_FOR_FLAGS = b"""\
From: A U Thor <author@example.com>
Date: Mon, 29 Jan 2018 22:08:37 -0800
Message-Id: <1@example.com>
Subject: [PATCH] [RHEL] one\x20

above
-- >8 --
below
---
"""


@pytest.mark.parametrize(
    "options",
    [
        "--keep-non-patch",
        "-k",
        "--keep",
        "-c",
        "--scissors",
        "-m",
        "--message-id",
        "--ignore-date",
        "-cmk",
        "-k --keep-non-patch",
        "--keep-non-patch -k",
        "--keep-non-patch --keep",
        "-c --no-scissors",
        "-m --no-message-id",
    ],
)
def test_each_option_is_that_of_git_am(judge: Judge, options: str) -> None:
    held_to_git_am(judge, MAIL_FOR_FLAGS, options.split())


FROM = """\
John Doe <johndoe>
johndoe
<johndoe>
johndoe>
<johndoe
John <> Doe
j@x (John Doe)
(John Doe) j@x
(John) <j@x> (Doe)
"Doe, John" <j@x>
"D\\"oe" <j@x>
John <j@x
John j@x Doe
<j@x>
John <j@x> <k@y>
J@n <j@x>
{sixty} <j@x>
{sixty}o <j@x>
""".format(sixty="o" * 60)
SUBJECT = """\
=?
=?utf-8
=?utf-8?
=?utf-8?q
=?utf-8?q?
=?utf-8?q?x
=?utf-8?x?y?=
=?utf-8?qq?y?=
=?utf-8?Q?a_=3D_=3d_=3?=
a =?utf-8?q?b?= =?utf-8?q?c?= d =?utf-8?q?e?=f=?utf-8?q?g?=
=?utf-8?q??= x
=?utf-8?B?eA==?= =?utf-8?b?eHk?= =?utf-8?b?e-H!l6?= =?utf-8?b?e?=
=?iso-8859-1?q?=e9?=
=?nowhere?q?x?=
RE: re:x
re:
Re : [PATCH][x] [y] z
[PATCH] [
[patch 1/2] [] x
: x
"""


@pytest.mark.parametrize(
    "field",
    [f"From: {each}\nSubject: x" for each in FROM.splitlines()]
    + [f"Subject: {each}\nFrom: J <j@x>" for each in SUBJECT.splitlines()],
)
@pytest.mark.parametrize("options", ["", "--keep-non-patch"])
def test_a_field_is_read_as_git_am_reads_it(judge: Judge, field: str, options: str) -> None:
    mail = f"{field}\nDate: Mon, 29 Jan 2018 22:08:37 -0800\n\n---\n".encode()
    held_to_git_am(judge, mail, options.split())


@pytest.mark.parametrize(
    "kind",
    [
        b"Content-Type: text/plain; charset=iso-8859-1",
        b'Content-Type: text/plain; charset="iso-8859-1"; format=flowed',
        b"Content-Type: text/plain; format=flowed; charset=iso-8859-1; delsp=yes",
        b"Content-Type: text/plain; Charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable",
        b"Content-Transfer-Encoding: base64",
        b"Content-Type: text/plain",
        b"Content-Type: multipart/mixed; boundary=zz; charset=x",
    ],
)
def test_a_body_is_read_as_git_am_reads_it(judge: Judge, kind: bytes) -> None:
    mail = b"From: J <j@x>\nDate: Mon, 29 Jan 2018 22:08:37 -0800\nSubject: x\n" + kind
    body = b"caf\xe9 =e9=\nflows \non\r\n \n \n>From x \n\n-- \nY2Fm\n" + b"---\n"
    held_to_git_am(judge, mail + b"\n\n" + body, [])
    parted = b"--zz\n\none\n--zz\nContent-Transfer-Encoding: base64\n\nLS0tCg==\n--zz--\nz\n"
    held_to_git_am(judge, mail + b"\n\n" + parted, [])


@pytest.mark.parametrize("subject", [b"", b"Subject: x\n"])
@pytest.mark.parametrize("body", [b"", b"a\0b\n", b" \n\n\nx\n\n\n\ny \n"])
def test_a_message_is_tidied_as_git_am_does_it(judge: Judge, subject: bytes, body: bytes) -> None:
    mail = b"From: A <a@example.com>\nDate: Mon, 29 Jan 2018 22:08:37 -0800\n" + subject
    held_to_git_am(judge, mail + b"\n" + body + b"---\n", [])


@pytest.mark.parametrize("options", ["", "--keep-cr", "--keep-cr --no-keep-cr"])
def test_carriage_returns_as_git_am_has_them(judge: Judge, options: str) -> None:
    crlf = MAIL_FOR_FLAGS.replace(b"\n", b"\r\n")
    assert split(crlf, options.split()) == judge.split(crlf, options.split())


FILE_LINES = pieces(r"""

    From e6807f3efca28b30decfecb1732a56c7db1137ee Mon Sep 17 00:00:00 2001
    From me Mon Sep 17 00:00:00 1990
    From me Mon Sep 17 00:00:00 91
    From me Mon Sep 17 0:00:00 2001
    From me 7:00:00 2001
    From me a:b
    From 12345678901234:56
    From x 1:00:00        +2001
    >From e6807f3efca28b30decfecb1732a56c7db1137ee Mon Sep 17 00:00:00 2001
    >>From x
    From: A U Thor <author@example.com>
    Author: A U Thor <author@example.com>
    Date: Mon, 29 Jan 2018 22:08:37 -0800
    Subject: it
    # HG changeset patch
    # User A U Thor <author@example.com>
    # Date 1517219317 28800
    # Date 1517219317 -19800
    # Date 1517219317
    # Date 0 0
    # Date once
    # Node ID abc
    # comment
    #
    Title of the patch
    Body: with a colon
    \x20continued
    diff --git a/f b/f
    --- a/f
    Index: f
    \r
    line\r
    \x20
    with\x00nul
""")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    ends = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    lines = draw(st.lists(FILE_LINES, max_size=10))
    return ends.join(lines) + draw(st.sampled_from([b"", b"\n", DIFF]))


@many
@given(
    files(),
    st.sampled_from([[], ["--keep-cr"]])
    | st.sampled_from(["mboxrd", "mbox", "stgit", "hg", "zip"]).map(
        lambda form: [f"--patch-format={form}"]
    ),
)
def test_a_file_is_split_as_git_am_splits_it(judge: Judge, data: bytes, options: list[str]) -> None:
    try:
        ours: tuple[bytes, ...] | str = split(data, options)
    except MailError as error:
        ours = str(error)
    try:
        theirs = judge.split(data, options)
    except Refused as refusal:
        assert isinstance(ours, str), f"git refuses: {refusal}"
        return
    assert ours == theirs


@many
@given(files(), files())
def test_files_of_one_call_have_the_format_of_the_first(
    judge: Judge, one: bytes, two: bytes
) -> None:
    try:
        ours = split(one)
        if ours:
            ours += split(two, first=one)
    except MailError:
        ours = None
    try:
        theirs = judge.split(one, (), two)
    except Refused:
        theirs = None
    assert ours == theirs


@many
@given(files())
def test_standard_input_is_an_mbox(judge: Judge, data: bytes) -> None:
    try:
        ours = split(data, first=_MBOX)
    except MailError:
        ours = None
    try:
        theirs = judge.split(data, stdin=True)
    except Refused:
        theirs = None
    assert ours == theirs if data.strip() else theirs == ()


TOKENS = pieces(r"""
    Mon,
    Tuesday
    Jan
    january
    Sept
    Sep
    MAY
    decembers
    1
    5
    9
    12
    13
    24
    25
    38
    59
    69
    70
    99
    0
    00
    1970
    1999
    2018
    2038
    2099
    2100
    1400
    1401
    0930
    123456
    20070606
    20071306
    2007060
    1517219317
    99999999
    100000000
    4102444799
    4102444800
    67768036191676799
    67768036191676800
    18446744073709551615
    99999999999999999999999
    22:08:37
    22:08
    24:00:60
    25:00
    22:08:37.123
    123456.789
    2018-01-29
    2018/29/01
    18-1-29
    1-2-3
    1.2.2003
    13.12.2003
    12/25/2003
    25/12/99
    1/2
    1.2
    71-13-1
    -0800
    +05:30
    +05:3
    +05:\x20\x203
    +05:-5
    +5
    +12345
    +9999
    -2359
    +02
    -0001
    EST
    EDT
    CEST
    CES
    NT
    Z
    z
    nzst
    BST
    PM
    am
    T
    a.m.
    noon
    @
    @1517219317 +0100
    @0 -0000
    @99 +\x20-59
    (PST)
    ,
    .
    -
    --
    +
    foo
    Jan5
    5Jan
    \xff
    _
""")


@many
@given(
    st.one_of(
        st.tuples(st.lists(TOKENS, min_size=1, max_size=7), st.sampled_from([b" ", b"", b"-"])).map(
            lambda drawn: drawn[1].join(drawn[0])
        ),
        st.lists(TOKENS, min_size=1, max_size=9).map(b" ".join),
    )
)
def test_a_date_is_what_git_makes_of_it(judge: Judge, text: bytes) -> None:
    if not text.strip():
        return
    env = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "y"}
    code, out, _ = run(
        *("git", "var", "GIT_AUTHOR_IDENT"),
        cwd=judge.clean,
        env=env | {"GIT_AUTHOR_DATE": os.fsdecode(text)},
    )
    assert dates.parse(text, int(time.time())) == (
        out.strip().partition(b"> ")[2] if code == 0 else None
    )


@many
@given(st.binary(max_size=40) | st.lists(WORDS | BODY).map(b"".join))
def test_bad_utf8_is_mended_as_git_mends_it(judge: Judge, text: bytes) -> None:
    text = text.replace(b"\0", b"")
    _, tree, _ = run("git", "mktree", cwd=judge.clean)
    env = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "y", "GIT_AUTHOR_DATE": "@0 +0000"}
    _, out, _ = run(
        "git", "commit-tree", tree.decode().strip(), cwd=judge.clean, stdin=text, env=env
    )
    _, raw, _ = run("git", "cat-file", "commit", out.decode().strip(), cwd=judge.clean)
    message = raw.partition(b"\n\n")[2]
    assert repaired_utf8(text).rstrip(b"\n") == message.rstrip(b"\n")


def halves(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 7):
        yield data[:at]


@settings(max_examples=10 * EXAMPLES, deadline=None, database=None)
@given(st.one_of(mails(), files(), st.binary(max_size=200)), OPTIONS)
def test_nothing_but_its_own_error(data: bytes, options: list[str]) -> None:
    try:
        for mail in split(data, options) or (data,):
            parse(mail, options)
    except MailError:
        pass
