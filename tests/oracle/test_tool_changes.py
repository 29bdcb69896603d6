"""Both ends of each row of tool_changes.py: what srcgit does, and what the host's tool does."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.engine.apply import Rules
from converter.mailbox.mail import Mail, MailError, parse
from converter.tree import File
from tests.oracle import git_mail
from tests.oracle.apply_judge import Judge
from tests.oracle.test_apply_differential import contents, ours
from tests.oracle.tool_changes import CHANGES, changed, version

NAMES = b"--- a/f\n+++ b/f\n"
NO_NEWLINE = b"\\ No newline at end of file\n"
# What a diff does to f: the file before, by srcgit and older tools, by newer ones. None: refused.
DIFFS = {
    "white space in a range": (NAMES + b"@@ -1  +1 @@\n-1\n+2\n", b"1\n", None, b"2\n"),
    "an empty line without a newline": (
        NAMES + b"@@ -1 +0,0 @@\n-\n" + NO_NEWLINE + b"@@ -2,0 +2,2 @@\n+\n+a\n" + NO_NEWLINE,
        b"\na\n",
        None,
        b"a\n",
    ),
    "no newline, said before any line": (
        NAMES + b"@@ -1,3 +1,3 @@\n" + NO_NEWLINE + b" 1\n-2\n+x\n 3\n",
        b"1\n2\n3\n",
        b"1\nx\n3\n",
        None,
    ),
}
HEAD = b"Date: Mon, 29 Jan 2018 22:08:37 -0800\nMessage-Id: <1@x>\nSubject: one\n\ntext\n---\n"
# What a mail's commit has in it. None: refused.
MAILS = {
    "Message-ID: in capitals": (
        b"From: A <a@x>\n" + HEAD,
        "-m",
        b"Message-Id: <1@x>",
        b"Message-ID: <1@x>",
    ),
    "a broken encoded word behind a good one": (
        b"From: =?utf-8?q?J?= =?\nFrom: A <a@x>\n" + HEAD,
        "",
        None,
        b"text",
    ),
}


def is_newer(name: str) -> bool:
    change = next(change for change in CHANGES if change.name == name)
    return version(change.tool.partition("-")[0]) >= change.since


def test_each_row_is_held_to_the_tool() -> None:
    assert {change.name for change in CHANGES} == DIFFS.keys() | MAILS.keys()


@pytest.mark.parametrize("name", DIFFS)
def test_diffs(tmp_path: Path, name: str) -> None:
    diff, before, older, newer = DIFFS[name]
    files = {b"f": File(0o100644, before)}
    tool = next(change.tool for change in CHANGES if change.name == name)
    rules = Rules(tool)
    made, why = ours(files, diff, rules)
    assert (contents(made) or {}).get(b"f") == older, why
    verdict = Judge(tmp_path).verdict(files, diff, rules)
    expected = newer if is_newer(name) else older
    assert (contents(verdict.files) or {}).get(b"f") == expected, verdict.said
    assert (changed(tool, diff) is not None) == is_newer(name)
    assert changed(tool, NAMES + b"@@ -1 +1 @@\n-1\n+2\n") is None


@pytest.mark.parametrize("name", MAILS)
def test_mails(tmp_path: Path, name: str) -> None:
    mail, option, older, newer = MAILS[name]
    options = option.split()
    try:
        made: Mail | None = parse(mail, options)
    except MailError:
        made = None
    assert (made is None) if older is None else (made is not None and older in made.message)
    judge = git_mail.Judge(tmp_path)
    expected = newer if is_newer(name) else older
    if expected is None:
        with pytest.raises(git_mail.Refused):
            judge.commit(mail, options)
    else:
        assert expected in judge.commit(mail, options).message
    assert (changed("git-am", mail, tuple(options)) is not None) == is_newer(name)
    assert changed("git-am", b"From: A <a@x>\n" + HEAD) is None
