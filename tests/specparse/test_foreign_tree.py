"""The door to what foreign code left: no link is followed, no budget passed, all of it goes."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from specparse.foreign_tree import (
    Budget,
    ForeignTree,
    ForeignTreeError,
    read_file,
    remove,
    scratch_directory,
)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """What lies outside of the tree, and must never be seen."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "key").write_bytes(b"secret\n")
    (host / "key").chmod(0o600)
    return host


@pytest.fixture
def top(tmp_path: Path, host: Path) -> Path:
    top = tmp_path / "left"
    (top / "demo/src").mkdir(parents=True)
    (top / "demo/src/a.c").write_bytes(b"int a;\n")
    (top / "demo/run").write_bytes(b"#!/bin/sh\n")
    (top / "demo/run").chmod(0o755)
    return top


def walked(top: Path, path: bytes = b"", budget: Budget | None = None) -> dict[bytes, bytes]:
    with ForeignTree(top, budget) as tree:
        return {f.path: b"".join(f.parts) for f in tree.walk(path)}


def test_names_modes_and_contents(top: Path) -> None:
    os.symlink("a.c", top / "demo/src/link")
    with ForeignTree(top) as tree:
        found = {f.path: (f.kind, f.executable, b"".join(f.parts)) for f in tree.walk(b"demo")}
    assert found == {
        b"run": ("file", True, b"#!/bin/sh\n"),
        b"src/a.c": ("file", False, b"int a;\n"),
        b"src/link": ("link", False, b"a.c"),
    }


# HOST is a directory outside
LINKS = {
    "the tree": {"out": "HOST"},
    "relative": {"out": "../host"},
    "a directory above": {"out": ".."},
    "of a link": {"out": "b", "b": "HOST"},
    "to itself": {"out": "out"},
    "to /proc": {"out": "/proc/self/root"},
}


@pytest.mark.parametrize("links", LINKS.values(), ids=LINKS)
def test_a_link_to_a_directory_is_no_way_out(top: Path, host: Path, links: dict[str, str]) -> None:
    for name, target in links.items():
        (top / name).symlink_to(target.replace("HOST", str(host)))
    with ForeignTree(top) as tree:
        for path in (b"out/key", b"out/host/key", b"out/out/key"):
            assert tree.read(path, 100) is None
            assert not tree.link_to(path, top.parent / "stolen")
        assert not tree.is_directory(b"out")
        assert tree.names(b"out") == {}
        with pytest.raises(ForeignTreeError, match="no directory"):
            list(tree.walk(b"out"))
    assert b"secret" not in b"".join(walked(top).values())


@pytest.mark.parametrize(
    "path",
    [b"../host/key", b"/etc/passwd", b"demo/../../host/key", b"./demo/run", b"demo//run", b"", b"demo/",
     b"..", b".", b"demo/\0", b"demo/run/x"],
)  # fmt: skip
def test_a_claim_is_a_path_inside_or_nothing(top: Path, path: bytes) -> None:
    with ForeignTree(top) as tree:
        assert tree.read(path, 100) is None
        with tree.open(path) as found:
            assert found is None
        assert not tree.link_to(path, top / "new")


def test_a_link_in_a_files_place_is_its_target(top: Path, host: Path) -> None:
    os.symlink(host / "key", top / "record")
    with ForeignTree(top) as tree:
        assert tree.read(b"record", 100) is None
        with tree.open(b"record") as found:
            assert found is not None and found.kind == "link"
            assert b"".join(found.parts) == os.fsencode(host / "key")
        assert not tree.link_to(b"record", top / "new")
    assert read_file(top / "record", 100) is None
    assert read_file(top / "demo/run", 100) == b"#!/bin/sh\n"


def test_the_top_itself_is_no_link(top: Path, host: Path) -> None:
    (top.parent / "link").symlink_to(host)
    with pytest.raises(ForeignTreeError):
        ForeignTree(top.parent / "link")


def test_pipes_sockets_and_devices_are_told_and_never_opened(top: Path) -> None:
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(top / "socket"))
    special = {b"pipe", b"socket"}
    if os.geteuid() == 0:
        try:
            os.mknod(top / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
            special.add(b"zero")
        except PermissionError:
            pass  # a container forbids it
    with ForeignTree(top) as tree:
        assert {f.path for f in tree.walk() if f.kind == "other"} == special
        for path in special:
            assert tree.read(path, 100) is None
            assert not tree.link_to(path, top / "new")


def test_names_of_any_bytes(top: Path) -> None:
    names = [b"a\nb", b"\xff\xfe", b"-rf", b"n" * 255, " \u202e".encode(), b"\x1b[2J", b"\\"]
    for name in names:
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            file.write(name)
    found = walked(top)
    assert all(found[name] == name for name in names)


def test_what_no_mode_lets_be_read_is_read(top: Path) -> None:
    """An ordinary user owns what its sandbox made; root reads it anyway."""
    (top / "demo/run").chmod(0)
    (top / "demo/src").chmod(0)
    (top / "demo").chmod(0o100)
    with ForeignTree(top) as tree:
        assert {f.path: f.executable for f in tree.walk()} == {
            b"demo/run": False,
            b"demo/src/a.c": False,
        }


def test_hard_links_are_files(top: Path) -> None:
    os.link(top / "demo/run", top / "again")
    assert walked(top)[b"again"] == b"#!/bin/sh\n"


BUDGETS: dict[str, tuple[Callable[[Path], object], Budget, str]] = {
    "entries": (
        lambda top: [(top / f"f{n}").write_bytes(b"") for n in range(20)],
        Budget(entries=15),
        "more than 15 entries",
    ),
    "entries in directories": (
        lambda top: any(map(os.makedirs, (top / f"d{n}/e" for n in range(9)))),
        Budget(entries=15),
        "more than 15 entries",
    ),
    "bytes": (lambda top: (top / "big").write_bytes(bytes(1 << 21)), Budget(size=1 << 20), "1 MiB"),
    "bytes of a hole": (
        lambda top: os.truncate(top / "demo/run", 1 << 40),
        Budget(),
        "more than 16384 MiB",
    ),
    "depth": (
        lambda top: os.makedirs(top / "/".join("d" * 20)),
        Budget(depth=10),
        "more than 10 deep",
    ),
    "seconds": (
        lambda top: [(top / f"f{n}").write_bytes(b"") for n in range(1000)],
        Budget(seconds=0),
        "more than 0 seconds",
    ),
}


@pytest.mark.parametrize("make, budget, why", BUDGETS.values(), ids=BUDGETS)
def test_a_budget_that_is_passed_is_named(
    top: Path, make: Callable[[Path], object], budget: Budget, why: str
) -> None:
    make(top)
    with pytest.raises(ForeignTreeError, match=why):
        walked(top, budget=budget)


def test_no_more_of_a_file_is_read_than_is_asked_for(top: Path) -> None:
    (top / "big").write_bytes(bytes(1001))
    with ForeignTree(top) as tree, pytest.raises(ForeignTreeError, match="more than 1000 bytes"):
        tree.read(b"big", 1000)


def nested(top: Path, depth: int) -> None:
    """Make ``depth`` directories one in the other: far more than a path may name."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("bottom", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)


def test_a_tree_without_end_is_refused_and_removed(tmp_path: Path) -> None:
    top = tmp_path / "left"
    top.mkdir()
    nested(top, 5000)
    with pytest.raises(ForeignTreeError, match="more than 256 deep"):
        walked(top)
    remove(top)
    assert list(tmp_path.iterdir()) == []


def test_all_of_it_is_removed_and_nothing_else(tmp_path: Path, host: Path, top: Path) -> None:
    os.symlink(host, top / "out")
    os.symlink(host / "key", top / "demo/key")
    os.mkfifo(top / "demo/src/pipe")
    for n in range(30):
        (top / f"d{n}" / f"e{n}").mkdir(parents=True)
    (top / "d1/e1").chmod(0)
    (top / "d1").chmod(0)
    (top / "demo/src").chmod(0o555)
    top.chmod(0o500)
    before = host.stat().st_mode, (host / "key").stat().st_mode
    remove(top)
    assert [p.name for p in tmp_path.iterdir()] == ["host"]
    assert (host.stat().st_mode, (host / "key").stat().st_mode) == before
    assert (host / "key").read_bytes() == b"secret\n"


def test_a_scratch_directory_goes_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(KeyError), scratch_directory("srcgit-", tmp_path) as here:
        nested(here, 2000)
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_large_files_come_in_parts(top: Path) -> None:
    data = os.urandom(3_000_000)
    (top / "big").write_bytes(data)
    with ForeignTree(top) as tree, tree.open(b"big") as found:
        assert found is not None and found.size == len(data)
        digest = hashlib.sha256()
        count = 0
        for part in found.parts:
            digest.update(part)
            count += 1
    assert count > 1 and digest.digest() == hashlib.sha256(data).digest()
