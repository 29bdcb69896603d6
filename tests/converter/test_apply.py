"""One rule of each tool per case; the random ones are in tests/oracle."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from converter.engine.apply import Report, Rules, apply
from converter.engine.diff import DiffError
from converter.tree import File
from specparse.plan import Tool
from tests.oracle.apply_judge import Files

GIT, AM, PATCH = Rules("git-apply"), Rules("git-am"), Rules("patch")
TEN = b"".join(b"%d\n" % n for n in range(1, 11))


def run(diff: bytes, files: Mapping[bytes, bytes | File], rules: Rules) -> Report:
    tree = {
        path: file if isinstance(file, File) else File(0o100644, file)
        for path, file in files.items()
    }
    return apply(diff, Files(tree), rules)


def header(name: bytes = b"f") -> bytes:
    return b"--- a/%s\n+++ b/%s\n" % (name, name)


def at(line: int, body: bytes, name: bytes = b"f") -> bytes:
    old = sum(part[:1] in b" -" for part in body.splitlines())
    new = sum(part[:1] in b" +" for part in body.splitlines())
    return header(name) + b"@@ -%d,%d +%d,%d @@\n%s" % (line, old, line, new, body)


@pytest.mark.parametrize("rules", [GIT, AM, PATCH], ids=["apply", "am", "patch"])
def test_hunk_in_its_place(rules: Rules) -> None:
    report = run(at(4, b" 4\n-5\n+five\n 6\n"), {b"f": TEN}, rules)
    assert (report.ok, report.offset, report.fuzz) == (True, 0, 0)
    assert report.changes == {b"f": File(0o100644, TEN.replace(b"5", b"five"))}


@pytest.mark.parametrize("rules", [GIT, PATCH], ids=["apply", "patch"])
def test_hunk_that_moved(rules: Rules) -> None:
    report = run(at(4, b" 4\n-5\n+five\n 6\n"), {b"f": b"0\n" * 7 + TEN}, rules)
    assert (report.ok, report.offset) == (True, 7)


@pytest.mark.parametrize(
    ("body", "fuzz", "needed"),
    [
        (b" x\n 4\n-5\n+five\n 6\n 7\n", 1, 1),
        (b" x\n x\n-5\n+five\n 6\n 7\n", 2, 2),
        (b" x\n x\n-5\n+five\n 6\n 7\n", 1, None),
        (b" x\n 4\n-5\n+five\n 6\n 7\n", 0, None),
    ],
)
def test_fuzz_of_patch(body: bytes, fuzz: int, needed: int | None) -> None:
    report = run(at(3, body), {b"f": TEN}, Rules("patch", fuzz=fuzz))
    assert (report.fuzz if report.ok else None) == needed


def test_git_knows_no_fuzz() -> None:
    report = run(at(3, b" x\n 4\n-5\n+five\n 6\n 7\n"), {b"f": TEN}, GIT)
    assert str(report.failure) == (
        "f, hunk 1: patch does not apply: its lines are not found near line 3"
    )


def test_context_that_option_c_lets_go() -> None:
    body = b" x\n 4\n-5\n+five\n 6\n 7\n"
    assert run(at(3, body), {b"f": TEN}, Rules("git-apply", options=("-C1",))).ok


FAILURES = [
    ("NoMatchingLines", at(4, b" a\n-b\n c\n"), {b"f": TEN}),
    ("FileDoesNotExist", at(4, b" 4\n-5\n 6\n"), {}),
    ("CreatingFileThatExists", b"--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", {b"f": b"b\n"}),
    ("DeletingFileThatDoesNotMatch", b"--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", {b"f": b"a\nb\n"}),
    ("UnsafePath", at(4, b" 4\n-5\n 6\n", b".git/f"), {b".git/f": TEN}),
    ("UnsafePath", at(4, b" 4\n-5\n 6\n", b"../f"), {b"../f": TEN}),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "diff", "files"), FAILURES)
@pytest.mark.parametrize("rules", [GIT, PATCH], ids=["apply", "patch"])
def test_failures_are_data(
    reason: str, diff: bytes, files: dict[bytes, bytes], rules: Rules
) -> None:
    failure = run(diff, files, rules).failure
    assert failure is not None
    accepted = {reason}
    if rules is PATCH:  # its own way of saying so
        accepted |= {"NoMatchingLines"} if reason.startswith("Deleting") else set()
        accepted |= {"FileDoesNotExist", "NoFileName"} if reason == "UnsafePath" else set()
    if rules is GIT and reason.startswith("Deleting"):
        accepted |= {"NoMatchingLines"}
    assert failure.reason in accepted


def test_path_through_a_link() -> None:
    files = {b"d": File(0o120000, b"/etc")}
    diff = b"diff --git a/d/f b/d/f\nnew file mode 100644\n--- /dev/null\n+++ b/d/f\n@@ -0,0 +1 @@\n+a\n"
    for rules in (GIT, AM, PATCH):
        failure = run(diff, files, rules).failure
        assert failure is not None and failure.reason == "UnsafePath"


def test_git_applies_all_or_nothing() -> None:
    diff = at(4, b" 4\n-5\n 6\n") + at(4, b" a\n-b\n c\n", b"g")
    report = run(diff, {b"f": TEN, b"g": TEN}, GIT)
    assert (report.ok, report.changes) == (False, {})


def test_hunks_out_of_order() -> None:
    diff = header() + b"@@ -8 +8 @@\n-8\n+x\n@@ -2 +2 @@\n-2\n+y\n"
    assert not run(diff, {b"f": TEN}, PATCH).ok
    report = run(diff, {b"f": TEN}, Rules("git-apply", options=("--unidiff-zero",)))
    assert report.changes[b"f"] == File(0o100644, b"1\ny\n3\n4\n5\n6\n7\nx\n9\n10\n")


def test_applied_already() -> None:
    diff = at(4, b" 4\n-5\n+five\n 6\n")
    failure = run(diff, {b"f": TEN.replace(b"5", b"five")}, PATCH).failure
    assert failure is not None and failure.reason == "AppliedAlready"
    assert run(diff, {b"f": TEN.replace(b"5", b"five")}, Rules("patch", options=("-t",))).ok


def test_rename_with_edit_and_mode() -> None:
    diff = (
        b"diff --git a/f b/d/g\nold mode 100644\nnew mode 100755\nsimilarity index 90%\n"
        b"rename from f\nrename to d/g\n--- a/f\n+++ b/d/g\n@@ -4,3 +4,2 @@\n 4\n-5\n 6\n"
    )
    expected = {b"f": None, b"d/g": File(0o100755, TEN.replace(b"5\n", b""))}
    for rules in (GIT, AM, PATCH):
        assert run(diff, {b"f": TEN}, rules).changes == expected


def test_two_files_change_places() -> None:
    one = b"diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n"
    two = b"diff --git a/g b/f\nsimilarity index 100%\nrename from g\nrename to f\n"
    report = run(one + two, {b"f": b"1\n", b"g": b"2\n"}, GIT)
    assert report.changes == {b"f": File(0o100644, b"2\n"), b"g": File(0o100644, b"1\n")}


def test_submodule_moves_with_an_index_only() -> None:
    old, new = b"1" * 40, b"2" * 40
    diff = (
        b"diff --git a/m b/m\nindex 1111111..2222222 160000\n--- a/m\n+++ b/m\n"
        b"@@ -1 +1 @@\n-Subproject commit %s\n+Subproject commit %s\n" % (old, new)
    )
    files = {b"m": File(0o160000, old)}
    assert run(diff, files, AM).changes == {b"m": File(0o160000, new)}
    assert run(diff, files, GIT).changes == {}


def test_empty_input() -> None:
    assert run(b"", {}, PATCH).ok
    with pytest.raises(DiffError, match="no valid patches"):
        run(b"", {}, GIT)


def test_unknown_option_is_refused() -> None:
    for rules in (
        Rules("git-apply", options=("--whitespace=fix",)),
        Rules("git-am", options=("--exclude=[^a]*",)),
        Rules("patch", options=("--merge",)),
    ):
        failure = run(at(4, b" 4\n-5\n 6\n"), {b"f": TEN}, rules).failure
        assert failure is not None and failure.reason == "UnknownOption"


def test_directory_of_the_rules() -> None:
    for tool in (Rules("git-apply", directory=b"d"), Rules("patch", directory=b"d")):
        report = run(at(4, b" 4\n-5\n 6\n"), {b"d/f": TEN}, tool)
        assert list(report.changes) == [b"d/f"]


@pytest.mark.timeout(60)  # any step that goes over the whole file for each hunk would take an hour
def test_many_hunks_in_a_large_file() -> None:
    data = b"".join(b"line %d\n" % n for n in range(60_000))
    hunks = b"".join(
        b"@@ -%d,3 +%d,3 @@\n line %d\n-line %d\n+x\n line %d\n" % (n, n, n - 1, n, n + 1)
        for n in range(100, 59_000, 12)
    )
    for rules in (GIT, PATCH):
        report = run(header() + hunks, {b"f": data}, rules)
        made = report.changes[b"f"]
        assert made is not None and made.data.count(b"\nx\n") == 4_909


@pytest.mark.timeout(60)
def test_many_hunks_that_have_moved() -> None:
    """Each has its twin at the other end of the file, and is looked for where it is likely."""
    head = b"".join(b"head %d\n" % n for n in range(7))
    body = b"".join(b"line %d\n" % n for n in range(200_000))
    hunks = b"".join(
        b"@@ -%d,3 +%d,3 @@\n line %d\n-line %d\n+x\n line %d\n" % (n, n, n - 1, n, n + 1)
        for n in range(1000, 199_000, 12)
    )
    for rules in (GIT, PATCH):
        report = run(header() + hunks, {b"f": head + body + body}, rules)
        made = report.changes[b"f"]
        assert made is not None and made.data.count(b"\nx\n") == 16_500
        assert report.offset == 7


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("tool", ["git-apply", "patch"])
def test_hunks_that_memory_would_not_hold_are_read_again(
    monkeypatch: pytest.MonkeyPatch, tool: Tool, reverse: bool
) -> None:
    """Plain ones, one with a bare empty line, one whose last line is incomplete, indented ones."""
    body = (
        b"@@ -2,3 +2,3 @@\n 2\n-3\n+three\n 4\n"
        b"@@ -7,2 +7,3 @@\n 7\n+\n 8\n"
        b"@@ -11,2 +12,2 @@\n\n-12\n+twelve\n"
    )
    old = TEN + b"\n12\n"
    new = old.replace(b"3\n", b"three\n").replace(b"7\n", b"7\n\n").replace(b"12\n", b"twelve\n")
    whole = header() + body + header(b"g") + body
    cases = [(whole + b"\\ No newline at end of file\n", new, new[:-1])]
    if tool == "patch":
        cases.append((b"  " + whole[:-1].replace(b"\n", b"\n  ") + b"\n", new, new))
    for diff, *made in cases:
        sides = [{b"f": old, b"g": old}, dict(zip((b"f", b"g"), made, strict=True))]
        before, after = reversed(sides) if reverse else sides
        reports = []
        for kept in (0, 7, 100):
            monkeypatch.setattr("converter.engine.diff_git.MOST_KEPT", kept)
            monkeypatch.setattr("converter.engine.diff_patch.MOST_KEPT", kept)
            reports.append(run(diff, before, Rules(tool, reverse=reverse)))
        expected = {path: File(0o100644, data) for path, data in after.items()}
        assert reports[0].changes == expected, reports[0].failure
        assert reports[1:] == reports[:1] * 2


@pytest.mark.timeout(300)  # 20 s of processor time; if it were quadratic, hours
def test_a_hundred_thousand_files() -> None:
    names = [b"d%d/e%d/f%d" % (n % 300, n % 7000, n) for n in range(100_000)]
    diff = b"".join(
        b"diff --git a/%s b/%s\nnew file mode 100644\n--- /dev/null\n+++ b/%s\n@@ -0,0 +1 @@\n+%s\n"
        % (name, name, name, name)
        for name in names
    )
    for rules in (GIT, PATCH):
        assert len(run(diff, {}, rules).changes) == 100_000
