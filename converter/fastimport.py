"""One ``git fast-import`` at work: blobs and commits in bulk, into one pack, with no ref moved."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from converter.errors import RepositoryUnusable
from converter.git import Git, GitFailed, Running

NULL_ID = "0" * 40
_PIPE = 1 << 20  # bytes: neither side waits for the other at each file
# glibc asks the kernel for 128 KiB at a time: a fifth of a short import's time.
_MALLOC = {"MALLOC_TOP_PAD_": str(16 << 20)}


class FastImport:
    """git-fast-import(1); objects are named by marks. Nothing is visible to others before its end.

    A context, whose end keeps what was written unless it is an exception's: until then all of it is
    in a directory of its own, as git keeps what is pushed to it (tmp-objdir.h); one that a killed
    process has left goes with git-prune(1). Everything raises GitFailed, or RepositoryUnusable where
    the disk is full or read-only.
    """

    def __init__(self, git: Git, where: Path, *, depth: int = 10, compression: int = 1) -> None:
        """``depth``: how many versions of a file may build on each other; 0 for unlike files.

        ``compression`` is zlib's, 0 to 9. 1 is twice as quick as git's own; upkeep repacks what is
        published.
        """
        self._git = git
        self._where = where
        self._depth = depth
        self._compression = compression
        self._mark = 0
        self._ref = f"refs/srcgit/work/{os.urandom(8).hex()}".encode()
        self._process: Running | None = None
        self._apart: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        with self._on_disk():
            self._apart = tempfile.TemporaryDirectory(
                prefix="tmp_objdir-srcgit-", dir=self._where / "objects", ignore_cleanup_errors=True
            )
            info = Path(self._apart.name, "info")
            info.mkdir()
            (info / "alternates").write_bytes(b"..\n")
        self._process = self._git.start(
            "-c",
            "fastimport.unpackLimit=0",  # one pack, not hundreds of loose files
            "-c",
            f"core.compression={self._compression}",
            "-c",
            # Every blob is big: fast-import tries others as a delta of the one before them in the
            # stream, which took 40 % of the time. See write_version() for where that is of use.
            "core.bigFileThreshold=1",
            "fast-import",
            "--quiet",
            "--done",
            "--date-format=raw-permissive",
            f"--depth={self._depth}",
            env={**_MALLOC, "GIT_OBJECT_DIRECTORY": self._apart.name},
        )
        with contextlib.suppress(OSError):  # a user may have only so much of it
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        if kind is not None:
            self.drop()
            return
        process, self._process = self._process, None
        self._finish(process)

    def drop(self) -> None:
        """End without keeping anything that was written."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self._clear()

    def _finish(self, process: Running) -> None:
        try:
            # A ref reset to the null id is not written: the pack is kept, no ref is left behind.
            process.stdin.write(b"reset %s\nfrom %s\n\ndone\n" % (self._ref, NULL_ID.encode()))
            process.stdin.close()
        except OSError:
            pass  # fast-import died: its exit status and stderr say why
        try:
            self._wait(process)
            self._keep()
        finally:
            self._clear()

    def _wait(self, process: Running) -> None:
        try:
            process.wait()
        except (GitFailed, RepositoryUnusable):
            with contextlib.suppress(OSError):  # a report for git's own developers
                (self._where / f"fast_import_crash_{process.pid}").unlink()
            raise

    def _keep(self) -> None:
        assert self._apart is not None
        packs = Path(self._apart.name, "pack")
        with self._on_disk():
            for suffix in (".pack", ".rev", ".idx"):  # by its index a pack is seen
                for file in packs.glob(f"*{suffix}"):
                    os.replace(file, self._where / "objects" / "pack" / file.name)

    def _clear(self) -> None:
        assert self._apart is not None
        self._apart.cleanup()

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RepositoryUnusable(
                f"cannot be written: {error.strerror}",
                where=str(self._where),
                next_step="make room, or make the repository writable; nothing is lost by trying again",
            ) from None

    @property
    def _pipe(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process is not None, "used outside its with statement"
        return self._process.stdin, self._process.stdout

    def _send(self, data: bytes) -> None:
        stdin, _ = self._pipe
        try:
            stdin.write(data)
        except BrokenPipeError:
            self._died()

    def _answer(self) -> bytes:
        stdin, stdout = self._pipe
        try:
            stdin.flush()
        except BrokenPipeError:
            self._died()
        line = stdout.readline()
        if not line:
            self._died()
        return line.rstrip(b"\n")

    def _died(self) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        try:
            self._wait(process)  # raises with what fast-import said
        finally:
            self._clear()
        raise RepositoryUnusable("git fast-import ended early", where=str(self._where))

    def write_blob(self, size: int, parts: Iterable[bytes]) -> int:
        """Write a blob of ``size`` bytes that comes in ``parts``; return its mark."""
        self._mark += 1
        self._send(b"blob\nmark :%d\ndata %d\n" % (self._mark, size))
        for part in parts:
            self._send(part)
        self._send(b"\n")
        return self._mark

    def write_version(self, data: bytes) -> int:
        """Write a blob much like the one before it, as a delta of it if it came here, too.

        Return its mark. What comes in git-fast-import(1)'s delimited format is never big.
        """
        if data[-1:] != b"\n":
            return self.write_blob(len(data), (data,))
        self._mark += 1
        self._send(b"blob\nmark :%d\ndata <<%s\n" % (self._mark, self._ref))
        self._send(data)
        self._send(self._ref + b"\n\n")
        return self._mark

    def read_blob(self, mark: int) -> bytes:
        """Return the content of the blob ``mark``."""
        self._send(b"cat-blob :%d\n" % mark)
        size = int(self._answer().split(b" ")[2])  # <sha> blob <size>
        _, stdout = self._pipe
        data = stdout.read(size)
        stdout.read(1)
        return data

    def write_commit(
        self,
        parent: bytes | None,
        edits: Iterable[bytes],
        author: bytes,
        committer: bytes,
        message: bytes,
    ) -> int:
        """Write a commit; return its mark.

        ``parent`` is an id or a mark (``:5``), None for a root; ``edits`` are lines of the
        language: see delete() and put(), and ``deleteall``. They are the parent's files changed.
        """
        self._mark += 1
        self._send(
            b"%scommit %s\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n"
            % (
                b"" if parent else b"reset %s\n\n" % self._ref,
                self._ref,
                self._mark,
                author,
                committer,
                len(message),
                message,
            )
        )
        if parent:
            self._send(b"from %s\n" % parent)
        for edit in edits:
            self._send(edit)
        self._send(b"\n")
        return self._mark

    def ids(self, marks: Iterable[int]) -> list[str]:
        """Return the object ids of blobs and commits by their marks."""
        wanted = list(marks)
        found: list[str] = []
        for start in range(0, len(wanted), 1000):  # 41 bytes an answer: stays in the pipe's 64 KiB
            batch = wanted[start : start + 1000]
            self._send(b"".join(b"get-mark :%d\n" % mark for mark in batch))
            found += [self._answer().decode() for _ in batch]
        return found

    def tree_of(self, mark: int) -> str:
        """Return the id of the tree of the commit ``mark``."""
        self._send(b'ls :%d ""\n' % mark)
        return self._answer().split(b"\t")[0].split(b" ")[2].decode()  # 040000 tree <sha>\t


def delete(path: bytes) -> bytes:
    """Return the edit that deletes ``path``."""
    return b"D %s\n" % _quoted(path)


def put(mode: int, source: bytes, path: bytes) -> bytes:
    """Return the edit that puts a blob (``:5``) or a submodule's commit id at ``path``."""
    return b"M %o %s %s\n" % (mode, source, _quoted(path))


def _quoted(path: bytes) -> bytes:
    """Return ``path`` as git-fast-import(1) wants it: C-style quotes where it needs them."""
    if path[:1] != b'"' and b"\n" not in path and b"\\" not in path:
        return path
    body = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%s"' % body
