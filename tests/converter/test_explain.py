"""The report of a failure names what a packager asks next."""

from __future__ import annotations

from converter.apply import Rules, apply
from converter.explain import explain
from converter.tree import File
from tests.oracle.apply_judge import Files

TEXT = b"".join(b"line %d\n" % n for n in range(1, 31))
DIFF = (
    b"--- a/f\n+++ b/f\n@@ -10,5 +10,5 @@\n line 10\n line 11\n-line 12\n+line twelve\n"
    b" line 13\n line 14\n"
)
RULES = Rules("git-apply")


def report(data: bytes | None, diff: bytes = DIFF, **touched: list[bytes]) -> str:
    tree = Files({} if data is None else {b"f": File(0o100644, data)})
    made = apply(diff, tree, RULES)
    assert not made.ok
    names = {name.encode(): patches for name, patches in touched.items()}
    return explain(diff, tree, RULES, made, touched_by=names)


def test_nearest_place_as_a_small_diff() -> None:
    text = report(b"head\n" * 3 + TEXT.replace(b"line 12\n", b"line 12 now\n"))
    assert text.startswith("f, hunk 1: patch does not apply")
    assert "found at line 13, where 80% of it stands" in text
    assert "-line 12\n+line 12 now\n" in text


def test_lines_that_are_nowhere() -> None:
    text = report(b"other\n" * 20)
    assert "expected, and found nowhere in the file:\n   line 10\n" in text
    assert "what stands at line 10 of 20:\n  other\n" in text


def test_applied_already() -> None:
    assert "applied already" in report(TEXT.replace(b"line 12\n", b"line twelve\n"))
    assert "applied already" not in report(b"other\n")


def test_earlier_patches_of_the_file() -> None:
    text = report(b"other\n", f=[b"0001-a.patch", b"0001-a.patch", b"0002-b.patch"])
    assert "changed f: 0001-a.patch, 0002-b.patch\n" in text


def test_missing_file_and_success() -> None:
    assert report(None).startswith("f: ") or report(None).startswith("f, hunk 1")
    tree = Files({b"f": File(0o100644, TEXT)})
    assert explain(DIFF, tree, RULES, apply(DIFF, tree, RULES)) == ""
