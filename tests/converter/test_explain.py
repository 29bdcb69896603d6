"""The report of a failure names what a packager asks next."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from converter.engine.apply import Rules, apply
from converter.engine.binary import blob_id
from converter.engine.diff import DiffError
from converter.engine.explain import damage, explain
from converter.tree import File
from tests.oracle.apply_judge import Files

TEXT = b"".join(b"line %d\n" % n for n in range(1, 31))
DIFF = (
    b"--- a/f\n+++ b/f\n@@ -10,5 +10,5 @@\n line 10\n line 11\n-line 12\n+line twelve\n"
    b" line 13\n line 14\n"
)
RULES = Rules("git-apply")


def report(
    data: bytes | None,
    diff: bytes = DIFF,
    *,
    beside: Mapping[bytes, bytes] = MappingProxyType({}),
    rules: Rules = RULES,
    **touched: list[bytes],
) -> str:
    files = {**beside} if data is None else {b"f": data, **beside}
    tree = Files({path: File(0o100644, each) for path, each in files.items()})
    made = apply(diff, tree, rules)
    assert not made.ok
    names = {name.encode(): patches for name, patches in touched.items()}
    return explain(diff, tree, rules, made, touched_by=names)


def test_nearest_place_as_a_small_diff() -> None:
    text = report(b"head\n" * 3 + TEXT.replace(b"line 12\n", b"line 12 now\n"))
    assert text.startswith("f, hunk 1: patch does not apply")
    assert "found at line 13, where 80% of it stands" in text
    assert "@@ -10,5 +13,5 @@\n line 10\n line 11\n-line 12\n+line 12 now\n" in text


def test_lines_that_are_nowhere() -> None:
    text = report(b"other\n" * 20)
    assert "expected, and found nowhere in the file:\n   line 10\n" in text
    assert "what stands at line 10 of 20:\n  other\n" in text


def test_lines_with_other_white_space() -> None:
    text = report(b"head\n" + TEXT.replace(b"line ", b"line\t").replace(b"\n", b"\r\n"))
    assert "White space aside, 100% of it stands at line 11. A line of it:\n" in text
    assert "  expected: line 10$\n  found:    line^I10^M$\n" in text
    assert "nowhere" not in text


def test_applied_already() -> None:
    assert "applied already" in report(TEXT.replace(b"line 12\n", b"line twelve\n"))
    assert "applied already" not in report(b"other\n")


def test_earlier_patches_of_the_file() -> None:
    text = report(b"other\n", f=[b"0001-a.patch", b"0001-a.patch", b"0002-b.patch"])
    assert "changed f: 0001-a.patch, 0002-b.patch\n" in text


def test_what_would_help() -> None:
    text = report(TEXT.replace(b"line 10\n", b"line ten\n"))
    assert "patch(1) would apply this part with fuzz 1." in text
    text = report(TEXT.replace(b"line 12\n", b"line  12\n"))
    assert "patch(1) would apply this part, white space aside." in text
    assert "would apply" not in report(b"other\n" * 20)


def test_a_merge_that_is_not_tried() -> None:
    text = report(b"other\n", rules=Rules("git-am", options=("-3",)))
    assert "With -3 git would try a three-way merge now" in text
    assert "three-way" not in report(b"other\n")


def test_the_other_files_of_the_diff() -> None:
    diff = b"".join(DIFF.replace(b"/f", b"/" + name) for name in (b"e", b"f", b"g", b"h"))
    text = report(b"other\n", diff, beside={b"e": TEXT, b"g": TEXT, b"h": b""})
    assert "By themselves, 2 of the 4 files that it changes would apply." in text
    assert "These would not, either:\n  h, hunk 1: patch does not apply" in text


def test_what_the_diff_was_made_from() -> None:
    index = b"diff --git a/%s b/%s\nindex %s..1111111 100644\n"
    names = (b"e", b"f", b"g")
    id = blob_id(TEXT)[:9]
    diff = b"".join(index % (name, name, id) + DIFF.replace(b"/f", b"/" + name) for name in names)
    text = report(b"other\n", diff, beside={b"e": TEXT, b"g": b"head\n" + TEXT})
    assert "1 of 3 are, to the byte, what the diff was made from.\n" in text


def test_the_part_that_is_there_already() -> None:
    diff = DIFF + DIFF.replace(b"/f", b"/g")
    there = TEXT.replace(b"line 12\n", b"line twelve\n")
    text = report(there, diff, beside={b"g": TEXT})
    assert "What it does to this file looks applied already" in text


def test_a_file_that_is_elsewhere() -> None:
    diff = b"diff --git a/f b/f\n" + DIFF
    text = report(None, diff, beside={b"d/e/f": TEXT, b"d/g": b""})
    assert text.startswith("f: no such file")
    assert "A file of that name is elsewhere: d/e/f\n" in text
    assert "No file of that name" in report(None, diff)


def test_the_damaged_line_of_a_patch() -> None:
    diff = DIFF.replace(b"+line twelve", b"line twelve")
    with pytest.raises(DiffError) as error:
        apply(diff, Files({}), RULES)
    told = damage(diff, error.value)
    assert told.startswith("the patch cannot be read: line 7: corrupt patch")
    assert told.endswith("       6  -line 12\n>      7  line twelve\n")


def test_the_end_of_a_patch_that_is_cut_off() -> None:
    diff = DIFF[: DIFF.index(b"@@")]
    with pytest.raises(DiffError) as error:
        apply(diff, Files({}), RULES)
    told = damage(diff, error.value)
    assert told.endswith("begins in its lines (2). They end:\n  --- a/f\n  +++ b/f\n")


def test_success() -> None:
    tree = Files({b"f": File(0o100644, TEXT)})
    assert explain(DIFF, tree, RULES, apply(DIFF, tree, RULES)) == ""
