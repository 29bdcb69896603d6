"""patch(1) through linked directories, and told which kind of diff to read: held to GNU patch."""

from __future__ import annotations

import pytest

from converter.engine.apply import Rules
from converter.tree import File
from tests.oracle.apply_judge import LINK, Judge
from tests.oracle.diffs import Case
from tests.oracle.test_apply_differential import contents, ours

A, B = b"red\ngreen\nblue\n", b"red\nblack\nblue\n"
HUNK = b"@@ -1,3 +1,3 @@\n red\n-%s\n+grey\n blue\n"
GREEN, BLACK = HUNK % b"green", HUNK % b"black"
MADE = b"@@ -0,0 +1 @@\n+new\n"
GONE = b"@@ -1,3 +0,0 @@\n-red\n-green\n-blue\n"

Named = dict[str, bytes | str]  # path -> content, or a link's target behind "->"
HERE: Named = {"long/hues": A, "other/hues": A, "l": "-> other"}
DEEP: Named = {"a/b/hues": A, "x/hues": A, "x/l": "-> ../a/b", "x/up": "-> ..", "x/m": "-> l"}
OUT: Named = {
    "hues": A,
    "away": "-> ../elsewhere",
    "abs": "-> /etc",
    "loop": "-> loop",
    "f": "-> hues",
}

LINKED = {
    "the shorter name is through a link": (HERE, b"a/long/hues", b"b/l/hues", GREEN, 1),
    "the only name is through a link": (HERE, b"a/l/hues", b"b/l/hues", GREEN, 1),
    "the other name is through a link": (HERE, b"a/l/hues", b"b/long/hues", GREEN, 1),
    "no hunk fits through the link": (HERE, b"a/long/hues", b"b/l/hues", BLACK, 1),
    "a link whose name is longer": (HERE | {"linked": "-> other"}, b"a/long/hues", b"b/linked/hues", GREEN, 1),
    "a link to nowhere": (HERE | {"l": "-> gone"}, b"a/long/hues", b"b/l/hues", GREEN, 1),
    "a link below, with two dots": (DEEP, b"a/x/hues", b"b/x/l/hues", GREEN, 1),
    "a link below, alone": (DEEP, b"a/x/l/hues", b"b/x/l/hues", GREEN, 1),
    "a link to the top": (DEEP, b"a/x/up/a/b/hues", b"b/x/up/a/b/hues", GREEN, 1),
    "a link to a link": (DEEP, b"a/x/m/hues", b"b/x/m/hues", GREEN, 1),
    "links in a row": (DEEP, b"a/x/up/x/m/hues", b"b/x/up/x/m/hues", GREEN, 1),
    "a file made through a link": (HERE, b"/dev/null", b"b/l/new", MADE, 1),
    "a file and a directory made through a link": (HERE, b"/dev/null", b"b/l/d/new", MADE, 1),
    "a file made where one name is through a link": (HERE, b"a/none/new", b"b/l/new", MADE, 1),
    "a file deleted through a link": (HERE, b"a/l/hues", b"/dev/null", GONE, 1),
    "the link itself": (OUT, b"a/f", b"b/f", GREEN, 1),
    "the link itself, beside its target": (OUT, b"a/f", b"b/hues", GREEN, 1),
    "a link out of the tree": (OUT, b"a/hues", b"b/away/hues", GREEN, 1),
    "an absolute link": (OUT, b"a/hues", b"b/abs/passwd", GREEN, 1),
    "a link to itself": (OUT, b"a/hues", b"b/loop/hues", GREEN, 1),
    "-p0 through a link": (HERE, b"l/hues", b"l/hues", GREEN, 0),
    "slashes and dots": (HERE, b"a/l//./hues", b"b/l//./hues", GREEN, 1),
}  # fmt: skip


def files(named: Named) -> dict[bytes, File]:
    return {
        path.encode(): File(0o100644, data)
        if isinstance(data, bytes)
        else File(LINK, data[3:].encode())
        for path, data in named.items()
    }


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("judge"))


def held(judge: Judge, case: Case) -> None:
    """What GNU patch makes is made here, file by file; what it refuses is refused."""
    verdict = judge.verdict(case.files, case.diff, case.rules)
    made, why = ours(case.files, case.diff, case.rules)
    assert made == verdict.files, (
        f"{contents(verdict.files)} {verdict.said}\n{contents(made)} {why}"
    )


@pytest.mark.parametrize("options", [(), ("-f",)], ids=["", "-f"])
@pytest.mark.parametrize("git", [False, True], ids=["plain", "git"])
@pytest.mark.parametrize("linked", LINKED.values(), ids=LINKED)
def test_names_through_links(
    judge: Judge,
    linked: tuple[Named, bytes, bytes, bytes, int],
    git: bool,
    options: tuple[str, ...],
) -> None:
    tree, old, new, hunks, strip = linked
    diff = b"--- %s\n+++ %s\n" % (old, new) + hunks
    if git and b"/dev/null" not in (old, new):
        diff = b"diff --git %s %s\n" % (old, new) + diff
    held(judge, Case(files(tree), diff, Rules("patch", strip=strip, options=options)))


@pytest.mark.parametrize("directory", [b"l", b"x/l", b"x/m", b"x/up/x", b"a/b"])
def test_a_directory_that_is_a_link(judge: Judge, directory: bytes) -> None:
    tree = files({**HERE, **DEEP})
    diff = b"--- a/hues\n+++ b/hues\n" + GREEN
    held(judge, Case(tree, diff, Rules("patch", directory=directory)))


@pytest.mark.parametrize("name", [b"hues", b"l/hues"])
def test_follow_symlinks_where_no_file_is_a_link(judge: Judge, name: bytes) -> None:
    diff = b"--- a/%s\n+++ b/%s\n" % (name, name) + GREEN
    rules = Rules("patch", options=("--follow-symlinks",))
    held(judge, Case(files(HERE | {"hues": A}), diff, rules))


def test_follow_symlinks_of_a_link_is_refused() -> None:
    diff = b"--- a/f\n+++ b/f\n" + GREEN
    made, why = ours(files(OUT), diff, Rules("patch", options=("--follow-symlinks",)))
    assert made is None and "--follow-symlinks" in why


NAMES = b"--- a/hues\n+++ b/hues\n"
UNIFIED = NAMES + GREEN
CONTEXT = (
    b"*** a/hues\n--- b/hues\n***************\n*** 1,3 ****\n  red\n! green\n  blue\n"
    b"--- 1,3 ----\n  red\n! grey\n  blue\n"
)
OLD_CONTEXT = CONTEXT.replace(b" ****\n", b"\n").replace(b" ----\n", b" -----\n")
NORMAL = b"Index: hues\n2c2\n< green\n---\n> grey\n"
BARE = b"2c2\n< green\n---\n> grey\n"
ED = b"Index: hues\n2c\ngrey\n.\n"
EMPTIES = b"*** a/hues\n--- /dev/null\n***************\n*** 1,3 ****\n- red\n- green\n- blue\n--- 0 ----\n"
RENAME = b"diff --git a/hues b/new\nrename from hues\nrename to new\n"
SECOND = b"--- a/more\n+++ b/more\n" + GREEN
MORE_CONTEXT = CONTEXT.replace(b"hues", b"more")

KINDS = {
    "unified": UNIFIED,
    "context": CONTEXT,
    "old context": OLD_CONTEXT,
    "normal": NORMAL,
    "normal without a name": BARE,
    "unified, then context": UNIFIED + MORE_CONTEXT,
    "context, then unified": CONTEXT + SECOND,
    "normal, then unified": NORMAL + SECOND,
    "unified, then normal": UNIFIED + NORMAL.replace(b"hues", b"more"),
    "both of one file": UNIFIED + CONTEXT.replace(b"green", b"grey").replace(b"! grey", b"! black", 1),
    "a file that is emptied": EMPTIES,
    "a rename alone": RENAME,
    "a rename, then unified": RENAME + SECOND,
    "prose, then unified": b"*** see:\n2c2\n< this\n" + UNIFIED,
    "garbage": b"nothing\n",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("word", ["", "-u", "-c", "-n", "-u -c", "-c -u"])
@pytest.mark.parametrize("diff", KINDS.values(), ids=KINDS)
def test_the_kind_of_diff(judge: Judge, diff: bytes, word: str) -> None:
    tree = files({"hues": A, "more": A})
    held(judge, Case(tree, diff, Rules("patch", options=tuple(word.split()))))
