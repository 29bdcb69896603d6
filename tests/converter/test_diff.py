"""What the two readers find in a file, and that nothing but DiffError leaves them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.engine.diff import DiffError, FilePatch
from converter.engine.diff_git import git_patches
from converter.engine.diff_patch import patch_patches

HUNK = b"@@ -1 +1 @@\n-a\n+b\n"


def git(data: bytes, strip: int = 1) -> list[FilePatch]:
    return list(git_patches(data, strip))


def gnu(data: bytes, strip: int = 1) -> list[FilePatch]:
    return list(patch_patches(data, strip))


@pytest.mark.parametrize(
    ("header", "strip", "old", "new"),
    [
        (b"--- a/f\n+++ b/f\n", 1, b"f", b"f"),
        (b"--- a/f.orig\n+++ b/f\n", 1, b"f", b"f"),
        (b"--- a/f\t2014-10-04 12:00:00.0 +0200\n+++ b/f\t2014-10-04 12:00:00.0 +0200\n", 1, b"f", b"f"),
        (b"--- a/x y 2014-10-04 12:00:00\n+++ b/x y 2014-10-04 12:00:00\n", 1, b"x y", b"x y"),
        (b"--- /dev/null\n+++ b/d//f\n", 1, None, b"d/f"),
        (b'--- "a/\\303\\244"\n+++ "b/\\303\\244"\n', 1, b"\xc3\xa4", b"\xc3\xa4"),
        (b"--- x/a/f\n+++ x/b/f\n", 2, b"f", b"f"),
        (b"--- f\n+++ f\n", 1, b"f", b"f"),  # a bare name needs no stripping (guess_p_value)
    ],
)  # fmt: skip
def test_names_of_a_traditional_header(
    header: bytes, strip: int, old: bytes | None, new: bytes | None
) -> None:
    body = HUNK if old else b"@@ -0,0 +1 @@\n+b\n"
    (patch,) = git(header + body, strip)
    assert (patch.old, patch.new) == (old, new)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\n", ("f", "f", 0o100644, 0o100755)),
        (b"diff --git a/f b/f\nnew file mode 100755\nindex 0000000..e69de29\n", (None, "f", 0, 0o100755)),
        (b"diff --git a/f b/f\ndeleted file mode 120000\n", ("f", None, 0o120000, 0)),
        (b"diff --git a/f b/g h\nrename from f\nrename to g h\n", ("f", "g h", 0, 0)),
        (b'diff --git "a/\\ta" "b/\\ta"\nold mode 100644\nnew mode 100755\n', ("\ta", "\ta", 0o100644, 0o100755)),
    ],
)  # fmt: skip
def test_git_header(header: bytes, expected: tuple[str | None, str | None, int, int]) -> None:
    (patch,) = git(header)
    names = [name.decode() if name is not None else None for name in (patch.old, patch.new)]
    assert (*names, patch.old_mode, patch.new_mode) == expected


@pytest.mark.parametrize(
    ("diff", "word"),
    [
        (HUNK, "without header"),
        (b"diff --git a/f b/f\nindex 1..2 100644\n", "only garbage"),
        (b"--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-a\n+b\n", "corrupt patch"),
        (b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b", "corrupt patch"),
        (
            b"diff --git a/f b/f\nrename from f\nrename to g\n--- a/f\n+++ b/h\n" + HUNK,
            "inconsistent",
        ),
        (b"diff --git a/f b/f\nnew file mode 1\ndeleted file mode 1\n", "inconsistent header"),
        (b"diff --git a/f b/f\nnew file mode x\n", "invalid mode"),
        (b"--- a/f\n+++ b/f\n@@ -%s +1 @@\n" % (b"9" * 5000), "line number"),
    ],
)
def test_git_refuses(diff: bytes, word: str) -> None:
    with pytest.raises(DiffError, match=word):
        git(diff)


def test_prose_between_diffs_is_passed_over() -> None:
    part = b"words\n---\n f | 2 +-\n\n--- a/f\n+++ b/f\n" + HUNK + b"-- \n2.1\n\n"
    assert [len(git(part * 2)), len(gnu(part * 2))] == [2, 2]


def test_damage_in_a_binary_patch_ends_the_input_for_git() -> None:
    good = b"--- a/f\n+++ b/f\n" + HUNK
    bad = b"diff --git a/b b/b\nindex 1..2\nGIT binary patch\nliteral 5\nnonsense\n\n"
    assert len(git(good + bad + good)) == 1


def test_binary_patch_that_claims_too_much_is_refused_before_it_is_unpacked() -> None:
    bomb = b"diff --git a/b b/b\nindex 1..2\nGIT binary patch\nliteral 1073741824\nA00000\n\n"
    with pytest.raises(DiffError, match="more than"):
        git(bomb)


@pytest.mark.parametrize(
    ("diff", "kind"),
    [
        (b"Index: f\n1c\nb\n.\n", "ed script"),
    ],
)
def test_other_kinds_of_diff_are_told_by_name(diff: bytes, kind: str) -> None:
    assert kind in gnu(diff)[0].trouble


def test_patch_reads_indented_diffs_comments_and_carriage_returns() -> None:
    diff = b"--- a/f\n+++ b/f\n# remark\n" + HUNK
    indented = b"".join(b"   " + line for line in diff.splitlines(True) if line[:1] != b"#")
    returned = diff.replace(b"\n", b"\r\n")
    for each in (diff, indented, returned):
        (patch,) = gnu(each)
        assert (patch.new, [*patch.hunks[0].lines]) == (b"f", [b"-a\n", b"+b\n"])


PIECES = st.sampled_from(
    [
        b"--- a/f\n", b"+++ b/f\n", b"@@ -1 +1 @@\n", b"@@ -1,2 +1 @@\n", b"-a\n", b"+b\n", b" c\n", b"\n",
        b"diff --git a/f b/f\n", b"diff --git \"a/f b/f\n", b"index 1..2 100644\n", b"new file mode 100644\n",
        b"GIT binary patch\n", b"literal 3\n", b"delta 9\n", b"KcmZQzKm\n", b"\\ No newline at end of file\n",
        b"rename from f\n", b"rename to g\n", b"old mode 1\n", b"Index: f\n", b"*** a\n", b"1c\n", b".\n",
        b"--- /dev/null\t1970-01-01 00:00:00 +0000\n", b"\xff\x00", b"\r", b"--- \"\\8\"\n", b"Binary files a and b differ\n",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=14).map(b"".join) | st.binary(max_size=200), st.integers(0, 3))
def test_nothing_but_diff_error(data: bytes, strip: int) -> None:
    for read in (git_patches, patch_patches):
        try:
            for patch in read(data, strip):
                for hunk in patch.hunks:
                    hunk.swapped()
        except DiffError:
            pass


@pytest.mark.parametrize(
    "bomb",
    [
        b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-" + b"x" * 20_000_000 + b"\n+b\n",
        b"--- a/f\n+++ b/f\n" + HUNK * 40_000,
        (b"--- a/f\n+++ b/f\n" + HUNK) * 15_000,
        b"diff --git a/f b/f\n" * 60_000,
        b"-" * 2_000_000,
        b'--- "' + b"\\" * 1_000_000 + b"\n+++ b/f\n" + HUNK,
        b"--- " + b"a " * 500_000 + b"\n+++ b/f\n" + HUNK,
    ],
    ids=["long line", "hunks", "files", "headers", "dashes", "backslashes", "spaces"],
)
@pytest.mark.timeout(60)  # any quadratic step would take hours
def test_large_input_ends(bomb: bytes) -> None:
    for read in (git_patches, patch_patches):
        try:
            for _ in read(bomb, 1):
                pass
        except DiffError:
            pass
