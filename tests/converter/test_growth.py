"""What a diff or a mail takes grows with its size: each of these took minutes, or none would end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from converter.engine.apply import Rules, apply
from converter.engine.diff_git import git_patches
from converter.engine.diff_patch import patch_patches
from converter.engine.explain import explain
from converter.mailbox.mail import parse
from converter.tree import File
from tests.oracle.apply_judge import Files

pytestmark = pytest.mark.timeout(180)  # for a crowded machine; each takes a second

NAMES = b"--- a/f\n+++ b/f\n"
BODY = b"+++ b/f\n@@ -1 +1 @@\n-1\n+2\n"
MAIL = b"From 0123 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: s"


def counted(diff: bytes) -> int:
    return len(list(git_patches(diff, 1, recount=True)))


def by_git(diff: bytes) -> int:
    return len(list(git_patches(diff, 1)))


def by_patch(diff: bytes) -> int:
    return len(list(patch_patches(diff, 1)))


READ: dict[str, tuple[Callable[[bytes], int], bytes]] = {
    "blanks before a date": (by_git, b"--- a/f" + b" " * 1_000_000 + b"1\n" + BODY),
    "names in a git header": (
        by_git,
        b"diff --git " + b"a/x " * 1_000_000 + b"\n" + NAMES + BODY[8:],
    ),
    "counted hunks": (counted, NAMES + b"@@ -1 +1 @@\n-a\n+b\n" * 100_000),
    "words in a name": (by_patch, b"--- a/f" + b" x" * 1_000_000 + b"\t2018\n" + BODY),
    "blanks in a name": (by_patch, b"--- a/f" + b" " * 1_000_000 + b"x\t2018\n" + BODY),
    "words in an index line": (by_patch, b"Index: f" + b" x" * 1_000_000 + b"\n--- f\n" + BODY),
}


@pytest.mark.parametrize(("read", "diff"), READ.values(), ids=READ)
def test_reading(read: Callable[[bytes], int], diff: bytes) -> None:
    assert read(diff) == 1


MAILS = {
    "folded subject": b"\n" + b" w\n" * 200_000,
    "encoded words": b"\n" + b" =?utf-8?q?a?=\n" * 50_000,
    "tags": b" " + b"[a] " * 200_000 + b"\n",
    "parts": b"\nContent-Type: multipart/mixed; boundary=x\n\n"
    + b"--x\nContent-Type: text/plain\n\na\n" * 30_000,
    "fields in the body": b"\n\n" + b"From: A <a@b>\n" * 70_000,
    "scissors": b"\n\n" + b"- >8 " * 200_000 + b"\n",
}


@pytest.mark.parametrize("rest", MAILS.values(), ids=MAILS)
def test_mails(rest: bytes) -> None:
    assert parse(MAIL + rest + b"\nwords\n---\n" + NAMES + BODY[8:], ("-c",)).email == b"a@b"


def test_insertions_without_context() -> None:
    data = b"".join(b"%d\n" % n for n in range(300_000))
    hunks = (b"@@ -%d,0 +%d @@\n+x\n" % (n * 10 + 5, n * 11 + 6) for n in range(30_000))
    rules = Rules("git-apply", options=("--unidiff-zero",))
    report = apply(NAMES + b"".join(hunks), Files({b"f": File(0o100644, data)}), rules)
    made = report.changes[b"f"]
    assert made is not None and made.data.count(b"\nx\n") == 30_000


@pytest.mark.parametrize("tool", ["git-apply", "patch"])
def test_a_path_of_many_directories(tool: str) -> None:
    diff = b"--- /dev/null\n+++ b/" + b"d/" * 100_000 + b"f\n@@ -0,0 +1 @@\n+a\n"
    report = apply(diff, Files({}), Rules("patch" if tool == "patch" else "git-apply"))
    assert report.failure is not None and report.failure.reason == "UnsafePath"


def test_the_report_of_a_large_hunk() -> None:
    data = b"".join(b"%d\n" % n for n in range(60_000))
    lines = b"".join(b" %d\n" % (n if n % 3 else -n) for n in range(60_000))
    diff = NAMES + b"@@ -1,60000 +1,60001 @@\n" + lines + b"+x\n"
    tree = Files({b"f": File(0o100644, data + b"y" * 1_000_000 + b"\n")})
    text = explain(diff, tree, Rules("git-apply"), apply(diff, tree, Rules("git-apply")))
    assert "where 67% of it stands" in text and len(text) < 5000
