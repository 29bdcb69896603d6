"""The one rule for paths, held to git's own with the protection of HFS+ and NTFS switched on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.safe_paths import MAX_DEPTH, MAX_NAME, MAX_PATH, why_too_long, why_unsafe

EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
ZWNJ, BOM, MARK = "\u200c".encode(), "\ufeff".encode(), "\u206a".encode()

NAMES = [
    b"a", b"a/b", b".gitignore", b".gitmodules", b"git", b"..a", b"a..", b"a\\b", b".git2", b"g",
    b"", b"/a", b"a/", b"a//b", b".", b"..", b"a/./b", b"a/../b", b"../a",
    b".git", b".GIT", b".Git/config", b"a/.git/hooks/x", b".git/", b".git.", b".git ", b".git . .",
    b".git::$INDEX_ALLOCATION", b".git:x/y", b".git\\config", b"a\\.git", b"a\\.git\\b", b"a\\.GIT ",
    b"git~1", b"GIT~1/config", b"git~1 .", b"git~1:x", b"git~2", b"git~10", b"git~", b"a\\git~1",
    b".git" + ZWNJ, b".g" + ZWNJ + b"it/config", ZWNJ + b".git", b".GI" + BOM + b"T", MARK + b".git" + MARK,
    b".git" + ZWNJ + b"x", ZWNJ + b"git", b"a" + ZWNJ, b".git\xff", b".git\xc3\xa9", b".git\xe2\x80",
    b".git\xef\xbf\xbe", b".git\xef\xbf\xbd", b".git\xed\xa0\x80", b".gi\xc5\xa7", ZWNJ + b".." , b"..." ,
    b".gitmodules/x", b".GITMODULES", b".gitmodules ", b".gitmodules:x", b".gitmodules2", b".gitmodule",
    b"gitmod~1", b"gitmod~4", b"gitmod~5", b"gitmod~1 .", b"gitmod~1x", b"a\\gitmod~1", b"a/gitmod~2",
    b"gi7eba~1", b"gi7eba~9", b"gi7eba~0", b"gi7eb~12", b"g~123456", b"~1234567", b"gi7eba~12", b"gi7e~123",
    b".gitmodules" + ZWNJ, b".git" + BOM + b"modules", b"x\\.gitmodules", b".gitmodules\\x",
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index")
    subprocess.run(["git", "init", "-q", path], check=True)
    subprocess.run(["git", "-C", path, "hash-object", "-w", "--stdin"], check=True, input=b"")
    return path


def taken_by_git(index: Path, path: bytes, *, link: bool) -> bool:
    """Whether git puts ``path`` into an index: read-cache.c, verify_path."""
    protected = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true")
    done = subprocess.run(
        ["git", "-C", index, *protected, "update-index", "-z", "--add", "--index-info"],
        input=f"{'120000' if link else '100644'} {EMPTY}\t".encode() + path + b"\0",
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "GIT_INDEX_FILE": f"{index}/none"},
    )
    (index / "none").unlink(missing_ok=True)
    return done.returncode == 0 and b"gnoring path" not in done.stderr


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
@pytest.mark.parametrize("path", NAMES, ids=ascii)
def test_a_path_is_safe_where_git_says_so(index: Path, path: bytes, link: bool) -> None:
    assert (why_unsafe(path, link=link) == "") == taken_by_git(index, path, link=link)


PIECES = st.sampled_from(
    [b".", b".git", b"GIT", b"git", b"git~1", b"gi7eba", b"modules", b"~1", b"~123456", b" ", b":",
     b"\\", b"/", b"x", ZWNJ, BOM, b"\xe2", b"\xff", b"gitmod"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=6), link=st.booleans())
def test_any_path_of_such_pieces_is_safe_where_git_says_so(
    index: Path, pieces: list[bytes], link: bool
) -> None:
    path = b"".join(pieces)
    assert (why_unsafe(path, link=link) == "") == taken_by_git(index, path, link=link), path


def test_no_tree_has_what_fsck_would_refuse(index: Path) -> None:
    """What receive.fsckObjects is about: a tree of each name alone, checked by git fsck."""
    for path in NAMES:
        if b"/" in path or not path or why_unsafe(path, link=False) or b"module" in path.lower():
            continue
        listed = f"100644 blob {EMPTY}\t".encode() + path + b"\0"
        made = subprocess.run(
            ["git", "-C", index, "mktree", "-z"], input=listed, capture_output=True, check=True
        )
        done = subprocess.run(
            ["git", "-C", index, "fsck", "--strict", "--no-dangling", made.stdout.strip()],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (path, done.stderr)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"a/" * MAX_DEPTH + b"f", ""),
        (b"a/" * (MAX_DEPTH + 1) + b"f", "more than 200 directories"),
        (b"a/" * 1800 + b"f", "more than 200 directories"),
        (b"n" * MAX_NAME, ""),
        (b"n" * (MAX_NAME + 1), "a name of more than 255 bytes"),
        ((b"n" * 255 + b"/") * 16, "more than 4095 bytes"),
        (b"a\0b", "out of the tree"),
    ],
)
def test_length_and_depth_are_bounded(path: bytes, why: str) -> None:
    assert why in why_unsafe(path, link=False)
    assert bool(why) == bool(why_unsafe(path, link=False))


def test_only_what_no_tree_need_be_asked_about_is_too_long() -> None:
    assert why_too_long(b"n" * 300) == ""
    assert str(MAX_PATH) in why_too_long(b"n" * 5000)
