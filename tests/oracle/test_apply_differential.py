"""Diffs made at random, applied here and by the real tool: the same files, or a refusal.

The number of cases for each tool follows from ``SRCGIT_EXAMPLES`` (default 300).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from converter.engine.apply import Rules, apply
from converter.engine.diff import DiffError
from converter.mailbox.mail import MailError, parse, split
from converter.tree import File
from tests.oracle.apply_judge import Files, Judge
from tests.oracle.diffs import Case, cases
from tests.oracle.tool_changes import changed

EXAMPLES = int(os.environ.get("SRCGIT_EXAMPLES", "300"))


# What srcgit refuses and a tool does: ed scripts; paths into .git or through links.
DOCUMENTED = ("'NotSupported'", "'UnsafePath'")
MAIL = b"From 0123 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.org>\nSubject: s\n\nwords\n---\n"


def many(share: float) -> settings:
    return settings(
        max_examples=max(int(EXAMPLES * share), 20),
        deadline=None,
        database=None,
        derandomize="SRCGIT_EXAMPLES" not in os.environ,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("judge"))


def ours(
    files: dict[bytes, File], diff: bytes, rules: Rules
) -> tuple[dict[bytes, File] | None, str]:
    tree = Files(files)
    try:
        report = apply(diff, tree, rules)
    except DiffError as error:
        return None, f"DiffError: {error}"
    if not report.ok:
        return None, f"{report.failure!r}"
    return tree.changed(report.changes), ""


def ours_as_mail(case: Case) -> tuple[dict[bytes, File] | None, str]:
    """Each mail of the file in turn, as git am does it."""
    files: dict[bytes, File] | None = case.files
    why = ""
    for raw in split(MAIL + case.diff, case.rules.options):
        try:
            mail = parse(raw, case.rules.options)
        except MailError as error:
            return None, f"MailError: {error}"
        if not mail.diff:
            return None, "the patch is empty"
        assert files is not None
        files, why = ours(files, mail.diff, case.rules)
        if files is None:
            break
    return files, why


def contents(files: Mapping[bytes, File] | None) -> dict[bytes, bytes] | None:
    return None if files is None else {path: file.data for path, file in files.items()}


def check(judge: Judge, case: Case) -> None:
    if changed(case.rules.tool, case.diff, case.rules.options):
        return
    if case.rules.tool == "git-am":
        verdict = judge.verdict(case.files, MAIL + case.diff, case.rules)
        files, why = ours_as_mail(case)
    else:
        verdict = judge.verdict(case.files, case.diff, case.rules)
        files, why = ours(case.files, case.diff, case.rules)
    if files is None and any(reason in why for reason in DOCUMENTED):
        return
    both = (
        f"{case.rules}\n{case.files}\n{case.diff.decode('utf-8', 'backslashreplace')}\n"
        f"the tool: {verdict.files} {verdict.said}\nsrcgit: {files} {why}"
    )
    if case.rules.reverse and case.rules.tool != "patch":
        # git before 2.43 sets modes under -R that the diff only mentions; srcgit never does.
        assert contents(files) == contents(verdict.files), both
    else:
        assert files == verdict.files, both


@given(case=cases("patch"))
@many(1)
def test_patch(judge: Judge, case: Case) -> None:
    check(judge, case)


@given(case=cases("patch", old_style=True))
@many(0.5)
def test_patch_with_context_and_normal_diffs(judge: Judge, case: Case) -> None:
    check(judge, case)


@given(case=cases("git-apply"))
@many(1)
def test_git_apply(judge: Judge, case: Case) -> None:
    check(judge, case)


@given(case=cases("git-am"))
@many(0.3)
def test_git_am(judge: Judge, case: Case) -> None:
    check(judge, case)


HUNK = b"@@ -1 +1 @@\n-x\n+y\n"
NAMES = {
    "dot": (b"--- ./a.c.orig\n+++ ./a.c\n" + HUNK, 0),
    "dot, stripped": (b"--- ./a.c.orig\n+++ ./a.c\n" + HUNK, 1),
    "dot behind": (b"--- old/./a.c\n+++ new/./a.c\n" + HUNK, 1),
    "dots and slashes": (b"--- ././/src/./b.c\n+++ ././/src//b.c\n" + HUNK, 0),
    "created": (b"--- /dev/null\n+++ ./new/./c.c\n@@ -0,0 +1 @@\n+y\n", 0),
    "deleted": (b"--- ./a.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", 0),
    "twice": (b"--- ./a.c\n+++ ./a.c\n" + HUNK + b"--- a.c\n+++ a.c\n@@ -1 +1 @@\n-y\n+z\n", 0),
    "Index": (b"Index: ./a.c\n===\n--- x\n+++ y\n" + HUNK, 0),
}


@pytest.mark.parametrize("diff, strip", NAMES.values(), ids=NAMES)
def test_names_with_dots(judge: Judge, diff: bytes, strip: int) -> None:
    files = {b"a.c": File(0o100644, b"x\n"), b"src/b.c": File(0o100644, b"x\n")}
    rules = Rules(tool="patch", strip=strip, fuzz=0)
    made, why = ours(files, diff, rules)
    assert made == judge.verdict(files, diff, rules).files, why
