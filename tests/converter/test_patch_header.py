"""What a patch says of itself: real forms, and git's own output held to git."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.patch_header.header import is_dep3, read, split

DIFF = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
MONDAY = b"1561968000 +0200"  # Mon Jul 1 10:00:00 2019 +0200


def said(text: str | bytes) -> tuple[str, str, str]:
    """Author, date, message."""
    header = read((text.encode() if isinstance(text, str) else text) + DIFF)
    author = header.name + b" <" + header.email + b">" if header.name else b""
    return author.decode(), header.date.decode(), header.message.decode()


GIT = "Author: Ann <ann@example.org>\nDate:   Mon Jul 1 10:00:00 2019 +0200\n"
ANN = ("Ann <ann@example.org>", MONDAY.decode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"commit 0123456789\n{GIT}\n    Two\n    \n    Because.\n\n", "Two\n\nBecause.\n"),
        (f"commit 0123456789 (HEAD -> main)\nMerge: 1 2\n{GIT}\n    Two\n", "Two\n"),
        (f"{GIT}\n    Two\n\n    Because.\n", "Two\n\nBecause.\n"),
        (f"{GIT}\nTwo\n\nBecause.\n", "Two\n\nBecause.\n"),
        (f"Only the test.\n\ncommit 0123456789\n{GIT}\n    Two\n    \n    B.\n", "Two\n\nOnly the test.\n\nB.\n"),
        (f"commit 0123456789\n{GIT}\n    Two\n\nConflicts:\n\tNEWS\n", "Two\n\nConflicts:\n\tNEWS\n"),
        (f"Two\n\nWhy.\n\n{GIT}", "Two\n\nWhy.\n"),
        (f"commit 0123456789\n{GIT}\n    Two\n---\n", "Two\n\n---\n"),
        (
            "commit 0123456789\ntree 01\nparent 02\nauthor Ann <ann@example.org> 1561968000 +0200\n"
            "committer C <c@c> 1 +0000\n\n    Two\n",
            "Two\n",
        ),
        (
            "commit 0123456789\nAuthor:     Ann <ann@example.org>\n"
            "AuthorDate: 2019-07-01T10:00:00+02:00\nCommit:     C <c@c>\n"
            "CommitDate: 2020-07-01T10:00:00+02:00\n\n    Two\n",
            "Two\n",
        ),
        (
            "# HG changeset patch\n# User Ann <ann@example.org>\n# Date 1561968000 -7200\n"
            "#      Mon Jul 01 10:00:00 2019 +0200\n# Node ID 0123456789abcdef0123456789abcdef01234567\n"
            "# Parent  0000000000000000000000000000000000000000\nTwo\n\nBecause.\n\n",
            "Two\n\nBecause.\n",
        ),
        (
            "-" * 60 + "\nrevno: 12\nauthor: Ann <ann@example.org>\ncommitter: C <c@c>\n"
            "branch nick: trunk\ntimestamp: Mon 2019-07-01 10:00:00 +0200\nmessage:\n  Two\n\n  B.\n"
            "diff:\n",
            "Two\n\nB.\ndiff:\n",
        ),
        (
            "# Bazaar merge directive format 2 (Bazaar 0.90)\n"
            "# revision_id: ann@example.org-20190701080000-abcdef\n# target_branch: ../trunk\n"
            "# timestamp: 2019-07-01 10:00:00 +0200\n# message: Two\n#   Because.\n"
            "# author: Ann <ann@example.org>\n# \n# Begin patch\n",
            "Two\n\nBecause.\n",
        ),
        (
            "From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: =?utf-8?q?Ann?= <ann@example.org>\n"
            "Date: Mon, 1 Jul 2019 10:00:00 +0200\nSubject: [PATCH 1/2] Two or\n three\n\nBecause.\n---\n"
            " f | 2 +-\n",
            "Two or three\n\nBecause.\n",
        ),
        (
            "Adapted.\n------\nSubject: [RHEL9] Two\nFrom: Ann <ann@example.org>\n"
            "Date: Mon, 1 Jul 2019 10:00:00 +0200\n\nBecause.\n",
            "Two\n\nAdapted.\n\nBecause.\n",
        ),
    ],
)  # fmt: skip
def test_author_date_and_message(text: str, message: str) -> None:
    assert said(text) == (*ANN, message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Description: Two, not one\n More of it.\n .\n  indented\nAuthor: Ann <ann@example.org>\n"
            "Origin: upstream, https://example.org/1\nBug: https://example.org/2\n"
            "Bug-Debian: https://bugs.debian.org/3\nForwarded: not-needed\nLast-Update: 2019-07-01\n"
            "---\nThis patch header follows DEP-3\n",
            ("Ann <ann@example.org>", "1561939200 +0000",
             "Two, not one\n\nMore of it.\n\n indented\n\nOrigin: upstream, https://example.org/1\n"
             "Bug: https://example.org/2\nBug-Debian: https://bugs.debian.org/3\n"
             "Forwarded: not-needed\n"),
        ),
        (
            "From: Ann <ann@example.org>\nSubject: Two\nForwarded: no\n\nBecause.\n",
            ("Ann <ann@example.org>", "", "Two\n\nBecause.\n\nForwarded: no\n"),
        ),
        (
            "Short description: Two.\nAuthor(s): The team <team@example.org>\nOrigin: PATCH\n\nText.\n",
            ("The team <team@example.org>", "", "Two.\n\nText.\n\nOrigin: PATCH\n"),
        ),
        ("Two\n\nWhy.\n\nAuthor: Ann <ann@example.org>\n", ("Ann <ann@example.org>", "", "Two\n\nWhy.\n")),
        ("Author: ann at example dot org\n", ("ann at example dot org <>", "", "")),
        ("Author: ann@example.org (Ann)\n", ("Ann <ann@example.org>", "", "")),
        ("Author: Ann <a@b>, Bob <b@b>\n", ("Ann <a@b>", "", "")),
        ("Author: J\xf6rg <j@b>\n".encode("latin-1"), ("J\xf6rg <j@b>", "", "")),
        ("Two\n\nSigned-off-by: A <a@b>\nSigned-off-by: B <b@b>\n",
         ("A <a@b>", "", "Two\n\nSigned-off-by: A <a@b>\nSigned-off-by: B <b@b>\n")),
        ("2017-02-25  Ann  <a@b>\n\n\t* f: Do.\n",
         ("Ann <a@b>", "1487980800 +0000", "2017-02-25  Ann  <a@b>\n\n\t* f: Do.\n")),
        ("-----------------------\nr12 | ann | 2019-07-01 10:00:00 +0200 (Mon, 01 Jul 2019) | 1 line\n"
         "Changed paths:\n   M /f\n\nTwo\n\n", ("ann <>", MONDAY.decode(), "Two\n")),
        ("# Two, not one (#12)\n", ("", "", "Two, not one (#12)\n")),
        ("Only in b: f.orig\n f | 2 +-\n 1 file changed, 1 insertion(+)\n", ("", "", "")),
        ("", ("", "", "")),
        ("# HG changeset patch\n# Parent 0123\nTwo\n", ("", "", "Two\n")),
        ("# HG changeset patch\n# Parent 0123\n\n", ("", "", "")),
        ("Date: 03/11/2023\nFrom: A <a@b>\n\nx\n", ("A <a@b>", "", "x\n")),
        ("Note: nothing else\n", ("", "", "Note: nothing else\n")),
    ],
)  # fmt: skip
def test_what_people_write(text: str | bytes, expected: tuple[str, str, str]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize("other", ["Bob <b@b>", "Ann <ann@example.org>"])
def test_a_diff_of_several_commits_has_all_their_words_and_their_author_if_it_is_one(
    other: str,
) -> None:
    two = (
        f"commit {'2' * 40}\nAuthor: {other}\nDate:   Tue Jul 2 10:00:00 2019 +0200\n\n    Three\n"
    )
    text = f"Two commits.\n\ncommit {'1' * 40}\n{GIT}\n    Two\n\nand\n\n{two}"
    assert said(text) == (*(ANN if other.startswith("Ann") else ("", "")), text)
    assert read(text.encode() + DIFF).commit == ""
    assert split(text.encode() + DIFF) == (text.encode() + DIFF,)


def test_crlf_is_no_part_of_it() -> None:
    assert said(f"{GIT}\n    Two\n\n    B.\n".replace("\n", "\r\n")) == (*ANN, "Two\n\nB.\n")


def test_only_fields_of_dep3_make_it() -> None:
    assert is_dep3(b"Origin: x\n" + DIFF)
    assert not is_dep3(b"From 0 x\nBug: 1\n\n" + DIFF)
    assert not is_dep3(b"From: a <b>\nSubject: x\n\nBug: 1\n" + DIFF)


# What git prints of a commit, in each of its formats, says what the commit has.


TITLES = st.text(st.sampled_from("abc \u00f6:[]#-"), min_size=1, max_size=20).filter(
    lambda t: bool(t.strip())
)
BODIES = st.lists(
    st.sampled_from(
        [
            "",
            "text",
            "  indented",
            "Author: somebody",
            "commit 0123456789",
            "---",
            "From: x",
            "# no",
        ]
    ),
    max_size=6,
)
NAMES = st.text(st.sampled_from("Ann \u00d6.'"), min_size=1, max_size=12).filter(
    lambda t: bool(re.sub(r"[ .']", "", t))
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shown")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return path


@settings(max_examples=60, deadline=None, database=None)
@given(
    title=TITLES,
    body=BODIES,
    name=NAMES,
    seconds=st.integers(10**9, 2 * 10**9),
    zone=st.sampled_from(["+0000", "+0545", "-0330", "+0200"]),
    form=st.sampled_from(["medium", "full", "fuller", "raw"]),
    dates=st.sampled_from(["default", "iso", "iso-strict", "rfc", "raw"]),
)
def test_git_show_is_read_back(
    repository: Path, title: str, body: list[str], name: str, seconds: int, zone: str, form: str, dates: str
) -> None:  # fmt: skip
    def git(*args: str, data: str = "") -> bytes:
        return subprocess.run(
            ["git", "-C", str(repository), *args],
            input=data.encode(),
            stdout=subprocess.PIPE,
            check=True,
            env={
                "PATH": "/usr/bin:/bin",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_AUTHOR_NAME": name,
                "GIT_AUTHOR_EMAIL": "a@example.org",
                "GIT_COMMITTER_NAME": "C",
                "GIT_COMMITTER_EMAIL": "c@example.org",
                "GIT_AUTHOR_DATE": f"@{seconds} {zone}",
                "GIT_COMMITTER_DATE": "@1000000000 +0000",
            },
        ).stdout

    blob = git("hash-object", "-w", "--stdin", data=f"{seconds}\n").decode().strip()
    tree = git("mktree", data=f"100644 blob {blob}\tf\n").decode().strip()
    text = "\n".join([title.strip(), "", *body]).strip() + "\n"
    commit = git("commit-tree", tree, "-F", "-", data=text).decode().strip()
    shown = git("show", f"--format={form}", f"--date={dates}", commit)
    header = read(shown)
    stored = git("log", "-1", "--format=%an <%ae>%n%B", commit).decode()
    who, _, message = stored.partition("\n")
    assert f"{header.name.decode()} <{header.email.decode()}>" == who
    if form != "full":  # it has no date
        assert header.date == f"{seconds} {zone}".encode()
    assert header.message.decode().strip() == re.sub(r"\n{3,}", "\n\n", message).strip()
    assert header.commit == commit


LINES = [
    b"commit 0123456789", b"Author: A <a@b>", b"Date:   Mon Jul 1 10:00:00 2019 +0200", b"", b"    x",
    b"# HG changeset patch", b"# User A", b"# Date 1 x", b"From: A <a", b"Subject: =?utf-8?q?",
    b"Date: x", b"---", b"r1 | a | 2019-07-01 10:00:00 +0200 (x)", b"revno: 1", b"message:",
    b"timestamp: x", b"Description:", b" .", b"Last-Update: 2019-13-01", b"\xff\0", b"-" * 30,
    b"# Bazaar merge directive", b"# message: x", b"#   y", b"Content-Type: multipart/x; boundary=\"",
    b"Signed-off-by: ", b"2019-07-01  A <a@b>", b"text", b"Author: <>", b"From: \"", b"\r",
]  # fmt: skip


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=30)), max_size=15))
def test_any_header_gives_what_a_commit_can_hold(lines: list[bytes]) -> None:
    header = read(b"\n".join(lines) + b"\n" + DIFF)
    for value in (header.name, header.email):
        assert not re.search(rb"[\n<>\0]", value)
        value.decode()
    assert b"\0" not in header.message
    header.message.decode()
    assert re.fullmatch(rb"(?:\d{1,10} [+-]\d{4})?", header.date)
    assert header.name or not header.email


@pytest.mark.parametrize(
    "unit",
    [b" ", b"\n", b"a", b"Author: ", b"Author: a\n", b"commit 0123456789\n", b"A: b\n", b"From: a\n",
     b"# HG changeset patch\n", b"revno: 1\n", b"| ", b" a | ", b"Signed-off-by: ", b"- ", b"<", b"#\n",
     b"2019-07-01  ", b"=?utf-8?q?", b"Only in "],
)  # fmt: skip
def test_a_megabyte_of_one_thing_comes_to_an_end(unit: bytes) -> None:
    """In quadratic time each takes hours."""
    data = unit * ((1 << 20) // len(unit)) + b"\n" + DIFF
    read(data)
    assert b"".join(split(data)) == data
