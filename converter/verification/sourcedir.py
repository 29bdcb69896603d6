"""The source directory that rpmbuild wants, with archives made from trees of ours.

An archive is a plain tar, whatever its name says: rpm looks at the magic number, not at the name
(rpmio/rpmfileutil.c, rpmFileIsCompressed), and compressing a kernel takes minutes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import IO, cast

from converter.errors import PkgGitInvalid, RepositoryUnusable
from converter.objects import Entry
from converter.odb import GitTree
from converter.safe_paths import why_unsafe
from converter.text import text
from converter.tree import SUBMODULE
from specparse.plan import Archive

_ARCHIVE = re.compile(rb"(?P<top>.+?)\.(?:tar(?:\.[a-z0-9]+)?|tgz|tbz2?|txz)")
_COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"xz": lzma.compress,
    b"bz2": bz2.compress,
    b"gz": gzip.compress,
}
_MTIME = 1_000_000_000  # seconds; any moment in the past

# What a base patch deletes; specs commit the result, so an empty patch would not do. The stand-ins
# of the control run know a base patch by this name (specparse/prep.py).
MARK = b"srcgit-base-patch"


class Made:
    """A tar of a part of a tree, whose own last part can be written anew: trees have most in common."""

    def __init__(
        self,
        path: Path,
        place: Archive,
        tree: GitTree,
        common: Iterable[Entry],
        directories: Iterable[bytes] = (),
    ) -> None:
        """Write the files ``common`` of ``tree`` as the archive at ``place`` holds them.

        ``directories`` are the archive's own: git has no empty ones, and %prep may look for some.
        ``missing`` tells the files whose content the repository lacks; they are left out.
        """
        self.path = path
        self.place = place
        self.missing: set[bytes] = set()
        self._mtime = _MTIME
        with open(path, "wb") as file:
            tar = _tar(file)
            for directory in directories:
                tar.addfile(_directory(directory))
            self._write(file, tree, common)
            self._common = file.tell()
        path.chmod(0o644)  # the sandbox reads it under another uid, whatever the umask is here

    def finish(
        self,
        tree: GitTree,
        paths: Iterable[bytes],
        base_patches: Iterable[bytes],
        *,
        patched: bool,
    ) -> None:
        """End the archive with the files of ``tree`` at ``paths`` and one for each base patch.

        What a patch has ``patched`` is newer than the rest: make(1) acts upon that.
        """
        self._mtime = _MTIME + 86400 * patched
        with open(self.path, "r+b") as file:
            file.truncate(self._common)
            file.seek(self._common)
            found = (tree.entry(path) for path in sorted(paths))
            self._write(file, tree, (entry for entry in found if entry is not None))
            with _tar(file) as tar:
                for patch in base_patches:
                    data = _doomed(patch)
                    tar.addfile(self._member(_name(patch), 0o644, len(data)), io.BytesIO(data))

    def _write(
        self, file: io.BufferedWriter | io.BufferedRandom, tree: GitTree, entries: Iterable[Entry]
    ) -> None:
        tar = _tar(file)
        for entry in entries:
            if entry.mode == SUBMODULE:
                self.missing.add(entry.path)  # a submodule: no archive of git's has its files
                continue
            try:
                data = tree.blob(entry)
            except RepositoryUnusable:
                self.missing.add(entry.path)
                continue
            if entry.mode == 0o120000:
                link = self._member(entry.path, 0o777, 0)
                link.type, link.linkname = tarfile.SYMTYPE, os.fsdecode(data)
                tar.addfile(link)
            else:
                mode = 0o755 if entry.mode & 0o111 else 0o644
                tar.addfile(self._member(entry.path, mode, len(data)), io.BytesIO(data))
        # Not closed: the end-of-archive blocks come after the last part.

    def _member(self, path: bytes, mode: int, size: int) -> tarfile.TarInfo:
        directory, top = self.place.directory, self.place.top
        inside = path.removeprefix(directory + b"/") if directory else path
        member = tarfile.TarInfo(os.fsdecode(top + b"/" + inside if top else inside))
        member.mode, member.size, member.mtime = mode, size, self._mtime
        return member


# What does not look at the archive's magic number, and does not take a plain tar
_UNPACKS = re.compile(
    rb"^[^\n#]*(?:\btar\b[^\n]*[ \t](?:-?[A-Za-z]*[zjJ][A-Za-z]*[ \t]|--(?:gzip|bzip2|xz|lzma))"
    rb"|\b(?:gzip|gunzip|zcat|bzip2|bunzip2|bzcat|xz|unxz|xzcat)\b)[^\n]*",
    re.MULTILINE,
)
_MAIN = (b"SOURCE0", b"S:0", b"%{name}-%{version}")


def unpacked_by_hand(spec: bytes, archive: bytes) -> bool:
    """Tell whether %prep itself unpacks the main archive, by a tool that wants it compressed."""
    return any(
        word in line for line in _UNPACKS.findall(spec) for word in (*_MAIN, archive) if word
    )


def compressed(path: Path, name: bytes) -> Path:
    """Return a copy of the tar ``path``, compressed as the suffix of ``name`` says; quick, not small."""
    open_ = _QUICKLY.get(name.rpartition(b".")[2])
    if open_ is None:
        return path
    packed = path.with_name(path.name + ".packed")
    with open_(packed) as out, open(path, "rb") as file:
        shutil.copyfileobj(file, out, 1 << 20)
    packed.chmod(0o644)
    return packed


def _gzip(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "wb", compresslevel=1))


def _bzip2(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", bz2.open(path, "wb", compresslevel=1))


def _xz(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", lzma.open(path, "wb", preset=0))


_QUICKLY: dict[bytes, Callable[[Path], IO[bytes]]] = {
    **dict.fromkeys((b"gz", b"tgz"), _gzip),
    **dict.fromkeys((b"bz2", b"tbz", b"tbz2"), _bzip2),
    **dict.fromkeys((b"xz", b"txz"), _xz),
}


def put(file: Path, directory: Path, name: bytes) -> None:
    """Let ``file`` be the source ``name`` of ``directory``; a file or a link there is replaced."""
    path = _place(directory, name)
    if path.is_dir() and not path.is_symlink():
        raise PkgGitInvalid(
            f"pkg-git has a directory in the place of the source {text(name)}",
            next_step="look at the commit",
        )
    path.unlink(missing_ok=True)
    os.link(file, path)


def _place(directory: Path, name: bytes) -> Path:
    """Return where the source ``name`` lies. Raises PkgGitInvalid for a name that is a path."""
    if why_unsafe(name, link=False) or b"/" in name:
        raise PkgGitInvalid(
            f"a source has an impossible name: {text(name)!r}", next_step="look at the spec"
        )
    return directory / os.fsdecode(name)


def _write(path: Path) -> io.BufferedWriter:
    """Open a file that is not there yet: pkg-git's links lie beside it, and none is followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return open(os.open(path, flags, 0o644), "wb")


def _directory(path: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(os.fsdecode(path))
    member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, _MTIME
    return member


def _tar(file: io.BufferedWriter | io.BufferedRandom) -> tarfile.TarFile:
    return tarfile.open(
        fileobj=file,
        mode="w",
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    )


def top_of(name: bytes) -> bytes | None:
    """Return the directory that an archive called ``name`` holds by custom; None if it is none."""
    match = _ARCHIVE.fullmatch(name)
    return match["top"] if match else None


def flatten(directory: Path) -> None:
    """Link the files of subdirectories to the top: rpmbuild wants all sources in one directory."""
    for here, _, names in os.walk(os.fsencode(directory)):
        for name in names:
            link = os.path.join(os.fsencode(directory), name)
            if not os.path.lexists(link):
                os.symlink(os.path.relpath(os.path.join(here, name), os.fsencode(directory)), link)


def fill(directory: Path, declared: Iterable[bytes], base_patches: Collection[bytes]) -> None:
    """Put stand-ins where pkg-git lacks a declared file: rpmbuild wants all of them to be there.

    A base patch deletes a file that only the archive has (see Archive.finish); the base itself contains
    what the real one changes. Other archives hold an empty directory, other files nothing. A link of
    pkg-git's is a file that it has, wherever it leads: only rpmbuild, in the sandbox, follows it.
    """
    for name in dict.fromkeys((*declared, *base_patches)):
        if b"/" in name or os.path.lexists(path := _place(directory, name)):
            continue
        top = top_of(name)
        with _write(path) as file:
            if name in base_patches:
                data = _deletion(_name(name), _doomed(name))
                compress = _COMPRESS.get(name.rpartition(b".")[2], bytes)
                file.write(compress(data))
            elif top is not None:
                with _tar(file) as tar:
                    tar.addfile(_directory(top))
        path.chmod(0o644)


def _name(base_patch: bytes) -> bytes:
    return MARK + b"-" + re.sub(rb"[^A-Za-z0-9-]", b"-", base_patch)  # no dot: never ignored


def _doomed(base_patch: bytes) -> bytes:
    # Fedora's ApplyOptionalPatch passes over patches of fewer than ten lines.
    return b"".join(b"%d: %s moves the base\n" % (n, base_patch) for n in range(1, 11))


def _deletion(path: bytes, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return (
        b"diff --git a/%s b/%s\ndeleted file mode 100644\n--- a/%s\n+++ /dev/null\n@@ -1,%d +0,0 @@\n%s"
        % (
            path,
            path,
            path,
            len(lines),
            b"".join(b"-" + line for line in lines),
        )
    )
