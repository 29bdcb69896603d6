"""The door to what foreign code left: a directory that a program in the sandbox has written to.

Nothing here believes a name. Each part of a path is opened below the descriptor of the directory
before it, and no symbolic link is followed (openat(2), O_NOFOLLOW), so that nothing outside of the
tree is ever reached. Entries, depth, bytes and seconds are bounded. The program that wrote the tree
has ended: nothing changes while it is read.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from collections.abc import Container, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Self

from specparse.plan import SpecError

Kind = Literal["file", "link", "other"]  # other: a FIFO, a socket or a device

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PART = 1 << 20  # bytes
_BETWEEN = 1000  # entries between two looks at the clock
_SOME = 10_000  # entries of a directory that are held at a time


@dataclass(frozen=True, slots=True)
class Budget:
    """What reading a tree may come to, in all."""

    entries: int = 2_000_000  # Linux has 92,000
    depth: int = 256  # directories; the deepest of Linux has 12
    size: int = 16 << 30  # bytes as fstat(2) tells them, holes included; Chromium has 5
    seconds: float = 900


class ForeignTreeError(SpecError):
    """The tree cannot be read: it breaks a budget, or is not what it must be."""


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file, link or special file. ``parts`` is its content, or the target of a link.

    It is to be read before the next file is asked for.
    """

    path: bytes
    kind: Kind
    executable: bool  # by the owner's bit, as git sees it (read-cache.c, ce_mode_from_stat)
    size: int  # bytes
    parts: Iterable[bytes]


class ForeignTree:
    """The directory ``top``, which srcgit made and foreign code has filled. A context.

    All methods raise ForeignTreeError.
    """

    def __init__(self, top: Path, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._entries = self._size = 0
        self._end = time.monotonic() + self._budget.seconds
        try:
            self._top = _open_directory(os.fsencode(top), None)
        except OSError as error:
            raise _unreadable(b"", error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._top)

    def is_directory(self, path: bytes) -> bool:
        """Tell whether ``path`` is a directory of the tree, reached through no link."""
        with self._directory(path) as here:
            return here is not None

    def names(self, path: bytes = b"") -> dict[bytes, bool]:
        """Return name -> is it a directory, of what the directory ``path`` holds; {} for none."""
        with self._directory(path) as here:
            return {} if here is None else self._scan(here, path)

    @contextmanager
    def open(self, path: bytes) -> Iterator[ForeignFile | None]:
        """Give what is at ``path``; None for a directory, for nothing, and beyond a link."""
        parent, _, name = path.rpartition(b"/")
        with self._directory(parent) as here:
            found = None
            try:
                try:
                    if here is not None and _is_name(name):
                        found = self._file(here, name, path, self._status(name, here))
                    file = next(found, None) if found else None
                except FileNotFoundError:
                    file = None
                except OSError as error:
                    raise _unreadable(path, error) from None
                yield file
            finally:
                if found:
                    found.close()

    def read(self, path: bytes, limit: int) -> bytes | None:
        """Return the content of the file at ``path``, which has ``limit`` bytes at most.

        None where there is no file.
        """
        with self.open(path) as found:
            if found is None or found.kind != "file":
                return None
            if found.size > limit:
                raise ForeignTreeError(f"{_shown(path)} has more than {limit} bytes")
            return b"".join(found.parts)

    def walk(self, path: bytes = b"", without: Container[bytes] = ()) -> Iterator[ForeignFile]:
        """Yield all below the directory ``path`` that is no directory, by name, depth first.

        Paths are relative to ``path``; the directories ``without`` are passed over.
        """
        with self._directory(path) as here:
            if here is None:
                raise ForeignTreeError(f"{_shown(path)} is no directory")
            yield from self._walk(here, without)

    def link_to(self, path: bytes, target: Path) -> bool:
        """Make ``target`` another name of the file at ``path``; tell whether there is one.

        ``target`` lies in a directory that srcgit made, on the same file system.
        """
        parent, _, name = path.rpartition(b"/")
        with self._directory(parent) as here:
            if here is None or not _is_name(name):
                return False
            try:
                if not stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    return False
                os.link(name, os.fsencode(target), src_dir_fd=here, follow_symlinks=False)
            except FileNotFoundError:
                return False
            except OSError as error:
                raise _unreadable(path, error) from None
        return True

    # -- below -----------------------------------------------------------------------------

    @contextmanager
    def _directory(self, path: bytes) -> Iterator[int | None]:
        """Give a descriptor of the directory ``path``; None where there is none."""
        here = os.dup(self._top)
        try:
            for depth, name in enumerate(path.split(b"/") if path else ()):
                if not _is_name(name) or depth >= self._budget.depth:
                    yield None
                    return
                try:
                    below = _open_directory(name, here)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                        raise _unreadable(path, error) from None
                    yield None
                    return
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def _scan(self, here: int, path: bytes) -> dict[bytes, bool]:
        found = {}
        try:
            with os.scandir(here) as children:
                for child in children:
                    self._count()
                    found[os.fsencode(child.name)] = child.is_dir(follow_symlinks=False)
        except OSError as error:
            raise _unreadable(path, error) from None
        return found

    def _walk(self, here: int, without: Container[bytes]) -> Iterator[ForeignFile]:
        # A list, not recursion: (descriptor, prefix, what is left of it, last first).
        stack: list[tuple[int, bytes, list[tuple[bytes, os.stat_result | None]]]] = []

        def enter(directory: int, prefix: bytes) -> None:
            stack.append((directory, prefix, []))  # first, so that it is closed whatever happens
            for name, is_directory in sorted(self._scan(directory, prefix).items(), reverse=True):
                stack[-1][2].append((name, None if is_directory else self._status(name, directory)))

        path = b""
        try:
            enter(os.dup(here), path)
            while stack:
                directory, prefix, left = stack[-1]
                if not left:
                    os.close(stack.pop()[0])
                    continue
                name, status = left.pop()
                path = prefix + name
                if status is not None:
                    yield from self._file(directory, name, path, status)
                elif path not in without:
                    if len(stack) > self._budget.depth:
                        raise ForeignTreeError(
                            f"directories nest more than {self._budget.depth} deep"
                        )
                    enter(_open_directory(name, directory), path + b"/")
        except OSError as error:
            raise _unreadable(path, error) from None
        finally:
            for directory, _, _ in stack:
                os.close(directory)

    def _status(self, name: bytes, here: int) -> os.stat_result:
        """Return what ``name`` is; its size counts before anything of it is read."""
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            self._size += status.st_size
            if self._size > self._budget.size:
                raise ForeignTreeError(f"it has more than {self._budget.size >> 20} MiB")
        return status

    def _file(
        self, here: int, name: bytes, path: bytes, status: os.stat_result
    ) -> Generator[ForeignFile, None, None]:
        """Yield the file ``name``; nothing for a directory. Raises OSError, too."""
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=here)
            yield ForeignFile(path, "link", False, len(target), (target,))
        elif stat.S_ISREG(status.st_mode):
            file = _open_file(name, here)
            try:
                executable = bool(status.st_mode & stat.S_IXUSR)
                parts = self._parts(file, status.st_size, path)
                yield ForeignFile(path, "file", executable, status.st_size, parts)
            finally:
                os.close(file)
        elif not stat.S_ISDIR(status.st_mode):
            yield ForeignFile(path, "other", False, 0, ())

    def _parts(self, file: int, size: int, path: bytes) -> Iterator[bytes]:
        left = size
        while left:
            if left < size:  # no look at the clock for each small file
                self._look_at_clock()
            data = os.read(file, min(left, _PART))
            if not data:
                raise ForeignTreeError(f"{_shown(path)} changes while it is read")
            left -= len(data)
            yield data

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._budget.entries:
            raise ForeignTreeError(f"it has more than {self._budget.entries} entries")
        if self._entries % _BETWEEN == 0:
            self._look_at_clock()

    def _look_at_clock(self) -> None:
        if time.monotonic() > self._end:
            raise ForeignTreeError(f"reading it takes more than {self._budget.seconds:g} seconds")


def read_file(path: Path, limit: int) -> bytes | None:
    """Return the content of ``path``, a plain file in a directory of srcgit's; None for none.

    Raises ForeignTreeError where it has more than ``limit`` bytes, or cannot be read.
    """
    with ForeignTree(path.parent) as tree:
        return tree.read(os.fsencode(path.name), limit)


@contextmanager
def scratch_directory(prefix: str, where: str | Path | None = None) -> Iterator[Path]:
    """Give a new directory, removed at the end whatever foreign code has made in it."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    try:
        yield path
    finally:
        remove(path)


def remove(top: Path) -> None:
    """Delete ``top``, a directory that srcgit made, and all below it, whatever its modes and depth.

    What cannot be removed is left. Each directory is moved to the top before it is emptied: so
    no path is too long, and no tree too deep.
    """
    with suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=".removed-", dir=top.parent))
        here = _open_directory(os.fsencode(aside), None)
        try:
            _unlock(os.fsencode(top), None)
            os.rename(top, b"0", dst_dir_fd=here)
            waiting, number = [b"0"], 0
            while waiting:
                name = waiting.pop()
                with suppress(OSError):
                    number = _empty(name, here, waiting, number)
                    os.rmdir(name, dir_fd=here)
        finally:
            os.close(here)
        os.rmdir(aside)


def _empty(name: bytes, here: int, waiting: list[bytes], number: int) -> int:
    """Delete the files of the directory ``name``, and move its directories to ``here``."""
    directory = _open_directory(name, here)
    try:
        while True:
            with os.scandir(directory) as children:
                some = [(c.name, c.is_dir(follow_symlinks=False)) for c in islice(children, _SOME)]
            if not some:
                return number
            for child, is_directory in some:
                if not is_directory:
                    os.unlink(child, dir_fd=directory)
                    continue
                _unlock(os.fsencode(child), directory)
                number += 1
                moved = b"%d" % number
                os.rename(child, moved, src_dir_fd=directory, dst_dir_fd=here)
                waiting.append(moved)
    finally:
        os.close(directory)


def _is_name(name: bytes) -> bool:
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name


def _open_directory(name: bytes, here: int | None) -> int:
    try:
        opened = os.open(name, _DIRECTORY, dir_fd=here)
    except PermissionError:
        _unlock(name, here)
        opened = os.open(name, _DIRECTORY, dir_fd=here)
    status = os.fstat(opened)
    if status.st_mode & stat.S_IRWXU != stat.S_IRWXU and status.st_uid == os.geteuid():
        with suppress(OSError):
            os.fchmod(opened, stat.S_IRWXU)
    return opened


def _open_file(name: bytes, here: int) -> int:
    try:
        return os.open(name, _FILE, dir_fd=here)
    except PermissionError:  # mode 0: an ordinary user's own file, which root would read
        _unlock(name, here)
        return os.open(name, _FILE, dir_fd=here)


def _unlock(name: bytes, here: int | None) -> None:
    """Let the owner read, write and enter what ``name`` is; a link is not followed."""
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            os.chmod(f"/proc/self/fd/{found}", stat.S_IRWXU)
    finally:
        os.close(found)


def _unreadable(path: bytes, error: OSError) -> ForeignTreeError:
    return ForeignTreeError(f"{_shown(path)}: {error.strerror or error}")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace") or "the directory"
