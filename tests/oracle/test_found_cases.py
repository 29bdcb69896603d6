"""Cases that the random ones found once, one for each rule, held to the real tool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converter.engine.apply import Rules
from converter.tree import File
from tests.oracle.apply_judge import Judge
from tests.oracle.diffs import Case, blob_id
from tests.oracle.test_apply_differential import check


def case(rules: Rules, diff: bytes, **files: bytes) -> Case:
    return Case({name.encode(): File(0o100644, data) for name, data in files.items()}, diff, rules)


def names(name: bytes = b"f") -> bytes:
    return b"--- a/%s\n+++ b/%s\n" % (name, name)


NO_NEWLINE = b"\\ No newline at end of file\n"
RENAME_ONTO_ITSELF = (
    b"diff --git a/d/f b/e/f\nsimilarity index 80%\nrename from d/f\nrename to e/f\n"
)
TO_NOTHING = RENAME_ONTO_ITSELF + b"index 1234567..0000000\n"
ENDS_IN_CONTEXT = names() + b"@@ -1,4 +1,3 @@\n 1\n-2\n+x\n 3\n" + NO_NEWLINE + b"-4\n"
BEHIND_THE_END = names() + b"@@ -1 +1 @@\n-1\n+x\n" + NO_NEWLINE + b"@@ -3 +3 @@\n-3\n+y\n"
HALF_NAMED = (
    b"diff --git a/g b/d/f\nsimilarity index 80%\nrename from g\nrename to d/f\n"
    b"--- a/g\n+++ b/d/f\n@@ -0,0 +1 @@\n+x\n"
)
GETS_NEWLINE = b"@@ -1 +1,2 @@\n-1\n" + NO_NEWLINE + b"+1\n+2\n"
SUBMODULE = (
    b"diff --git a/d b/d\nnew file mode 160000\n--- /dev/null\n+++ b/d\n"
    b"@@ -0,0 +1 @@\n+Subproject commit 0000000000000000000000000000000000000003\n"
)
CHANGE = b"@@ -1 +1 @@\n-1\n+2\n"
ADDED = b"@@ -0,0 +1 @@\n+1\n"
BROKEN_DELETION = (
    b"diff --git a/f b/f\n===\nindex d00491f..0000000\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"
)
EMPTY_TO_NEW = b"diff --git a/f b/f\n" + names() + b"@@ -0,0 +1 @@\n+1\n"
NAMED_EPOCH = b"--- a/f\n+++ b/f\t1970-01-01 00:00:00.000000000 %s\n"
SIX = b"1\n2\n3\n4\n5\n6\n"
INDEXED = (
    b"diff --git a/f b/f\nindex %s..1111111 100644\n" % blob_id(SIX)[:9]
    + names()
    + b"@@ -2,3 +2,3 @@\n 2\n-3\n+x\n 4\n"
)

TOOLS = [Rules("patch"), Rules("git-apply"), Rules("git-apply", options=("--unidiff-zero",))]
TAKES_OUT = b"@@ -%d,3 +%d,3 @@\n %s\n-%s\n+%s\n %s\n"


def lines(text: str) -> bytes:
    return "".join(f"{line}\n" for line in text).encode()


def context(text: str) -> bytes:
    return "".join(f" {line}\n" for line in text).encode()


def takes_out(at: int, before: str, old: str, new: str, after: str) -> bytes:
    return TAKES_OUT % (at, at, *(part.encode() for part in (before, old, new, after)))


FOUND = {
    "rename onto itself": case(Rules("patch", strip=-1), RENAME_ONTO_ITSELF, f=b"1\n"),
    "rename onto itself that deletes": case(Rules("patch", strip=-1), TO_NOTHING, f=b""),
    "rename of nothing onto itself that deletes": case(
        Rules("patch", strip=-1, options=("-f",)), TO_NOTHING
    ),
    "new side ends in context": case(Rules("patch"), ENDS_IN_CONTEXT, f=b"1\n2\n3\n4\n"),
    "new side ends in context, reversed": case(
        Rules("patch", reverse=True), ENDS_IN_CONTEXT, f=b"1\nx\n3"
    ),
    "new side ends in context, reversed, with a newline": case(
        Rules("patch", reverse=True), ENDS_IN_CONTEXT, f=b"1\nx\n3\n"
    ),
    "rename with a name that strips to nothing": case(
        Rules("patch", strip=2), HALF_NAMED, g=b"1\n"
    ),
    "the last line gets a newline, reversed": case(
        Rules("patch", reverse=True), names() + GETS_NEWLINE, f=b"1\n2\n"
    ),
    "submodule in the place of a directory": Case(
        {b"d/f": File(0o100644, b"1\n")}, SUBMODULE + names(b"d/f") + CHANGE, Rules("git-apply")
    ),
    "submodule in the place of a directory, with an index": Case(
        {b"d/f": File(0o100644, b"1\n")}, SUBMODULE, Rules("git-apply", options=("--index",))
    ),
    "file below a submodule that was created": Case(
        {}, SUBMODULE + names(b"d/f").replace(b"a/d/f", b"/dev/null") + ADDED, Rules("git-apply")
    ),
    "hunk behind a line without a newline": case(
        Rules("git-apply", options=("--unidiff-zero",)),
        names() + b"@@ -2,0 +3 @@\n+3\n",
        f=b"1\n2",
    ),
    "line without a newline before others": case(
        Rules("git-apply", options=("--unidiff-zero",)),
        names() + b"@@ -1 +1 @@\n-1\n+x\n" + NO_NEWLINE,
        f=b"1\n2\n",
    ),
    "name that begins as /dev/null does": Case(
        {b"d/e/g": File(0o100644, b"")},
        b"--- /dev/null.orig\n+++ d/e/f\n" + ADDED,
        Rules("patch", strip=0),
    ),
    "mode of what was emptied under a header that broke off": Case(
        {b"f": File(0o100755, b"1\n")}, BROKEN_DELETION + EMPTY_TO_NEW, Rules("git-am")
    ),
    **{
        f"epoch in the zone {zone}": case(
            Rules("patch"), NAMED_EPOCH % zone.encode() + b"@@ -1 +0,0 @@\n-1\n", f=b"1\n"
        )
        for zone in ("+ 000", "+1", "-130", "+00:00", "+3000", "")
    },
    **{
        f"a date near the epoch: {date}": case(
            Rules("patch"),
            f"--- a/f\n+++ b/f\t{date}\n@@ -1 +0,0 @@\n-1\n".encode(),
            f=b"1\n",
        )
        for form, days in {
            "{}{}": (
                "1969-12-30 22:59:59.000000000",
                "1969-12-30 23:00:01",
                "1969-12-31 00:00",
                "1970-01-01 00:00:00.5",
                "1970-01-02 01:59:59",
                "1970-01-02 02:00:00",
                "1970-01-03 00:00:00",
            ),
            "{} 1969{}": (
                "Tue Dec 30 22:59:59",
                "Tue Dec 30 23:00:01",
                "Wed Dec 31 19:00:00",
                "Thu Jan  1 00:00:00",
            ),
            "{} 1970{}": (
                "Thu Jan  1 00:00:00",
                "Fri Jan  2 01:59:59",
                "Fri Jan  2 02:00:00",
                "Thu Dec 31 00:00:00",
            ),
        }.items()
        for day in days
        for zone in ("", " +0000", " +0230", " -0800")
        for date in [form.format(day, zone)]
    },
    **{
        f"slashes in a name, -p{strip}: {name}": Case(
            {path: File(0o100644, b"1\n") for path in (b"a/b/f", b"b/f", b"f")},
            f"--- {name}\n+++ {name}\n{CHANGE.decode()}".encode(),
            Rules("patch", strip=strip),
        )
        for strip in (-1, 0, 1, 2, 3, 4)
        for name in (
            "f",
            "b/f",
            "b//f",
            "a//b/f",
            "x//a///b/f",
            "x/a/b//f",
            "x///y/b/f",
            "f/",
            "a/b/f/",
        )
    },
    **{
        f"header of {rules.tool}: {header} {rest!r}": Case(
            {b"f": File(0o100644, b"1\n"), b"e": File(0o100755, b"1\n1.2.3 x\n")},
            f"{header}\n".replace("|", "\n").encode() + rest,
            rules,
        )
        for rules in (TOOLS[0], TOOLS[1])
        for header in (
            "diff --git a/f b/g|copy from f|copy to g",
            "diff --git a/f b/g|copy from f",
            "diff --git a/f b/g|copy to g",
            "diff --git a/f b/g|rename from f|rename to g",
            "diff --git a/f b/g|rename from f",
            "diff --git a/f b/g|similarity index 50%|rename to g",
            "diff --git a/f b/f|old mode 100644|new mode 100755",
            "diff --git a/f b/f|old mode 100755|new mode 100644",
            "diff --git a/f b/f|new mode 100755",
            "diff --git a/f b/f|old mode 100644",
            "old mode 100644|new mode 100755",
            "diff --git a/e b/e|index 1234567..7654321 100755",
            "diff --git a/e b/e|index 1234567..7654321 100644",
            "diff --git a/f b/f|index 0000000..7654321",
            "diff --git a/f b/f|index 1234567..0000000",
            "diff --git a/f b/f|deleted file mode 100644",
            "diff --git a/e b/e|deleted file mode 100644",
            "diff --git a/h b/h|new file mode 100755",
            "diff --git a/h b/h|new file mode 100755|index 0000000..e69de29",
            "index 0000000..0000000",
            "Prereq: 1.2.3",
            "Prereq: 9 1.2.3",
            "Prereq:",
            "Index: f",
            "Index: a/e",
        )
        for rest in (b"", names() + CHANGE, names(b"g") + CHANGE, names(b"e") + CHANGE, CHANGE)
    },
    **{
        f"names of {rules.tool} -p{strip}: {header}": Case(
            {
                name: File(0o100644, b"1\n")
                for name in (b"f", b"a b", b"d/f", b"d/a b", b"b/f", b"a/f")
            },
            f"diff --git {header}\n{mode}".encode(),
            replace(rules, strip=strip),
        )
        for rules in (TOOLS[0], TOOLS[1])
        for strip in (0, 1, 2)
        for mode in ("old mode 100644\nnew mode 100755\n",)
        for header in (
            "a/f b/f",
            '"a/f" "b/f"',
            'a/f "b/f"',
            '"a/f" b/f',
            "a/a b b/a b",
            '"a/a b" "b/a b"',
            '"a/a b" b/a b',
            'a/a b "b/a b"',
            "a/f b/g",
            "f f",
            "a b a b",
            "a/d/f b/d/f",
            "a/d/a b b/d/a b",
            "x/d/f y/d/f",
            "a/f b/f ",
            "a/f b/f\tx",
            " a/f b/f",
            "a/f  b/f",
            '"a/f b/f',
            '"a/f" "b/f',
            '"a/\\146" b/f',
            'a/f "b/\\146"',
            '"a/\\146" "b/\\146"',
            '"a/f"b/f',
            '"a/f" ',
            "a/ b/",
            "/f /f",
            "a/f",
            "a/f b/f b/f",
        )
    },
    **{
        f"range of {rules.tool}: {span}": case(
            rules, names() + f"@@ {span}\n-1\n+2\n".encode(), f=b"1\n"
        )
        for rules in (TOOLS[0], TOOLS[1])
        for span in (
            "-1 +1 @@",
            "-1,1 +1,1 @@ text",
            "-1 +1@@",
            "-1,+1 @@",
            "-1, +1 @@",
            "-1 1 @@",
            "-1 +1, @@",
            "-+1 +1 @@",
            "- +1 @@",
            "-1 + @@",
            "-1 +1 @",
            "-1 +1",
            "-1 -1 @@",
            "-1,1 +1,2 @@",
            "-1,2 +1,1 @@",
            "-01 +0001 @@",
            "-1  +1 @@",
            "-0 +1 @@",
            "-1 +0 @@",
            "-2 +2 @@",
            "-1,99999999999999999999 +1 @@",
        )
    },
    **{
        f"body of {rules.tool}: {body!r} {data!r}": case(
            rules, names() + b"@@ -1,3 +1,3 @@\n" + body, f=data
        )
        for rules in (TOOLS[0], TOOLS[1])
        for data in (b"1\n2\n3\n", b"1\n2\n\n", b"\t1\n2\n3\n4\n")
        for body in (
            b" 1\n-2\n+x\n 3\n",
            b"=1\n-2\n+x\n=3\n",
            b"\t1\n-2\n+x\n 3\n",
            b"1\n-2\n+x\n 3\n",
            b" 1\n-2\n+x\n\n",
            b" 1\n-2\n+x\n",
            b" 1\n-2\n+x\n-- \n2.40\n",
            b" 1\n-2\n+x\n 3",
            b" 1\n-2\n+x\n 3\n 4\n",
            b" 1\n-2\n+x\n+y\n 3\n",
            b" 1\n-2\n 3\n",
            b" 1\n-2\n+x\n-3\n+3\n",
            b" 1\n-2\n+x\n#\n 3\n",
            b"# 1\n 1\n-2\n+x\n 3\n",
            b" 1\n-2\n+x\n?3\n",
            b" 1\r\n-2\r\n+x\r\n 3\r\n",
            b" 1\n 2\n 3\n",
            b"+x\n-2\n 1\n 3\n",
            b" 1\n+x\n-2\n 3\n",
            NO_NEWLINE + b" 1\n-2\n+x\n 3\n",
            b" 1\n" + NO_NEWLINE + b"-2\n+x\n 3\n",
            b" 1\n-2\n" + NO_NEWLINE + b"+x\n 3\n",
            b" 1\n-2\n+x\n" + NO_NEWLINE + b" 3\n",
            b" 1\n-2\n+x\n 3\n" + NO_NEWLINE * 2,
            b" 1\n-2\n+x\n 3\n\\\n",
            b" 1\n-2\n+x\n 3\n\\ x\n",
            b" 1\n-2\n+x\n 3\n" + CHANGE,
            b" 1\n-2\n+x\n 3\n@@ -3 +3 @@\n-3\n+y\n",
            b" 1\n-2\n+x\n 3\nmore\n@@ -3 +3 @@\n-3\n+y\n",
        )
    },
    **{
        f"encapsulated as RFC 934 has it: {dashes!r} {stamp!r} {body!r}": case(
            Rules("patch"), b"%s--- a/f%s\n+++ b/f%s\n" % (dashes, stamp, stamp) + body, f=b"1\n"
        )
        for dashes in (b"", b"- ", b"- - ")
        for stamp in (b"", b"\t2020-01-01 00:00:00", b"\t1970-01-01 00:00:00")
        for body in (
            b"@@ -1 +1 @@\n-1\n+2\n",
            b"@@ -1 +1 @@\n- -1\n+2\n",
            b"@@ -1 +1 @@\n- - -1\n+2\n",
            b"@@ -1 +0,0 @@\n- -1\n",
        )
    },
    "am -3 of what applies": case(Rules("git-am", options=("-3",)), INDEXED, f=b"0\n" + SIX),
    "apply -3 to what the diff is of": case(Rules("git-apply", options=("-3",)), INDEXED, f=SIX),
    "apply -3 without the blob": case(Rules("git-apply", options=("-3",)), INDEXED, f=b"0\n" + SIX),
    **{
        f"a hunk that fits before and behind: {rules.tool} {rules.options} {lead} {gap} {at} {new!r}": case(
            rules,
            names()
            + takes_out(len(lead) + 4, "a", "h", "H", "b")
            .replace(b",3 @@", b",%d @@" % (2 + len(new)))
            .replace(b"+H\n", b"".join(b"+%c\n" % each for each in new))
            + takes_out(len(lead) + at, "x", "m", "M", "y"),
            f=lines(lead + "xmyahb" + gap * "." + "xmy"),
        )
        for rules in TOOLS
        for lead in ("", "...")
        for gap in (0, 1, 4, 5, 6)
        for at in (4, 6, 7, 9)
        for new in (b"H", b"HI", b"")
    },
    **{
        f"a hunk for what another wrote: {rules.tool} {rules.options} {rest} {at}": case(
            rules,
            names() + takes_out(2, "a", "h", "m", "b") + takes_out(at, "a", "m", "M", "b"),
            f=lines(f".ahb{rest}"),
        )
        for rules in TOOLS
        for rest in ("", "..", "..amb", "ahb.........amb.")
        for at in (1, 2, 5, 7)
    },
    **{
        f"less context than the hunk has: {least} {before} {after} {last}": case(
            Rules("git-apply", options=(f"-C{least}",)),
            names()
            + b"@@ -3,%d +3,%d @@\n" % (4 + last, 4 + last)
            + context("xyz"[:before] + "pqr"[before:])
            + b"-h\n+H\n"
            + context("stu"[: last - after] + "xyz"[last - after : last]),
            f=lines("......pqrhstu."),
        )
        for least in (1, 2)
        for before in range(4)
        for last in (2, 3)
        for after in range(last + 1)
    },
    **{
        f"hunks without context: {rules.tool} {hunks!r} {data!r}": case(
            rules, names() + hunks, f=data
        )
        for rules in (TOOLS[0], TOOLS[2])
        for hunks, data in {
            b"@@ -1 +1 @@\n-1\n+x\n@@ -2 +2 @@\n-2\n+y\n": b"1\n2\n3\n",
            b"@@ -1 +1 @@\n-1\n+x\n@@ -1 +1 @@\n-1\n+y\n": b"1\n2\n1\n",
            b"@@ -5 +5 @@\n-5\n+x\n@@ -4,0 +5 @@\n+y\n": SIX,
            b"@@ -5 +5 @@\n-5\n+x\n@@ -2,0 +3 @@\n+y\n": SIX,
            b"@@ -1,0 +2 @@\n+x\n": b"1",
            b"@@ -1,0 +2 @@\n+x\n" + NO_NEWLINE: b"1",
            b"@@ -0,0 +1 @@\n+x\n": b"1\n",
        }.items()
    },
    **{
        f"context at one end only: {rules.tool} {number}": case(rules, names() + hunk, f=data)
        for rules in (TOOLS[0], Rules("patch", fuzz=2), *TOOLS[1:])
        for number, (hunk, data) in enumerate(
            (hunk, data)
            for hunk in (
                b"@@ -1,2 +1,2 @@\n-1\n+x\n 2\n",
                b"@@ -1,3 +1,3 @@\n-1\n+x\n 2\n 3\n",
                b"@@ -2,3 +2,3 @@\n 1\n 2\n-3\n+x\n",
                b"@@ -1,3 +1,3 @@\n 1\n-2\n+x\n 9\n",
                b"@@ -1,2 +1,2 @@\n 1\n-2\n+x\n" + NO_NEWLINE,
                b"@@ -1,2 +1,2 @@\n 1\n-2\n" + NO_NEWLINE + b"+x\n",
                b"@@ -1,2 +1,2 @@\n-1\n+x\n 2\n" + NO_NEWLINE,
                b"@@ -2 +2,2 @@\n-2\n" + NO_NEWLINE + b"+2\n+x\n" + NO_NEWLINE,
            )
            for data in (b"1\n2\n3\n", b"0\n1\n2\n3\n", b"1\n2\n3\n4\n", b"1\n2\n", b"1\n2")
        )
    },
    **{
        f"a missing newline with -l: {number}": case(
            Rules("patch", options=("-l",)), names() + hunk, f=data
        )
        for number, (hunk, data) in enumerate(
            (hunk, data)
            for hunk in (
                b"@@ -1,2 +1,3 @@\n 1\n 2\n+x\n",
                b"@@ -1,2 +1,2 @@\n 1\n-2\n+x\n",
                b"@@ -1,2 +1,2 @@\n 1\n-2\n" + NO_NEWLINE + b"+x\n",
            )
            for data in (b"1\n2", b"1 \n2 ", b"1\n2\n", b"0\n1\n2")
        )
    },
    "lines behind one without a newline": case(Rules("patch"), BEHIND_THE_END, f=b"1\n2\n3\n"),
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("judge"))


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)
def test_found_case(judge: Judge, found: Case) -> None:
    check(judge, found)
