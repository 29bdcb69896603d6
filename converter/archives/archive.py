"""An archive as a stream of members that git can store and that stay in their directory.

Nothing is unpacked to a disk. What a hostile archive would do there (leave the directory, write
through a link, make a device) is refused; modes are as rpm's %setup leaves them.
"""

from __future__ import annotations

import bz2
import calendar
import errno
import gzip
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn, cast

import zstandard

from converter.archives import tar
from converter.errors import ArchiveRefused
from converter.safe_paths import MAX_PATH, why_unsafe
from converter.text import clipped, text

MAX_SIZE = 16 << 30  # bytes, unpacked; Linux has 1.5 GB, Chromium some 5
MAX_MEMBERS = 2_000_000  # directories that no member is of count, too; Linux has 92,000
MAX_NAMES = 256 << 20  # bytes of all paths; Linux has 4 MB
_MAX_MEMORY = 1 << 27  # bytes that xz or zstd may ask for as window; `xz -9` asks for 65 MiB
_CHUNK = 1 << 20

Kind = Literal["file", "link", "hard link", "directory"]


@dataclass(frozen=True, slots=True)
class Member:
    """A member: its path below the directory of unpacking, without ``.`` and double slashes.

    ``parts`` is a file's content, to be read before the next member is asked for; ``target`` a
    link's text, or the path of the file that a hard link is another name of.
    """

    path: bytes
    kind: Kind
    executable: bool = False
    mtime: int = 0  # seconds
    size: int = 0  # bytes
    target: bytes = b""
    parts: Iterable[bytes] = ()


def members(file: Path, name: bytes) -> Iterator[Member]:
    """Yield the members of the archive in ``file``, called ``name``.

    rpm looks at the content for the kind of an archive, but for gems (rpm 4.18,
    tools/rpmuncompress.c). Raises ArchiveRefused, OSError.
    """
    with open(file, "rb") as stream, _refusing(name):
        for member in _checked(_members(stream, name)):
            if member.kind == "file":
                yield replace(member, parts=_guarded(member.parts, name))
            else:
                yield member


def _guarded(parts: Iterable[bytes], name: bytes) -> Iterator[bytes]:
    with _refusing(name):  # they are read by whoever asked
        yield from parts


class _Refused(Exception):
    """The archive is hostile, or cannot be stored; why."""


@contextmanager
def _refusing(name: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        _refuse(name, error)  # bz2's and gzip's words for damaged data; zipfile seeks anywhere
    except (
        _Refused,
        tar.TarError,
        EOFError,
        lzma.LZMAError,
        NotImplementedError,  # zipfile's word for a method that it lacks
        RuntimeError,  # and for an encrypted member
        UnicodeError,
        zipfile.BadZipFile,
        zlib.error,
        zstandard.ZstdError,
    ) as error:
        _refuse(name, error)


def _refuse(name: bytes, error: Exception) -> NoReturn:
    raise ArchiveRefused(
        f"{text(name)}: {str(error) or type(error).__name__}",
        next_step="look at the archive; it is not unpacked",
    ) from error


def _members(stream: BinaryIO, name: bytes) -> Iterator[Member]:
    magic = stream.read(8)
    stream.seek(0)
    if not magic:
        raise _Refused("an empty file")
    if magic.startswith((b"PK\3\4", b"PK\5\6")):
        yield from _zip(stream)
    elif name.endswith(b".gem"):
        yield from _gem(stream, name.removesuffix(b".gem"))
    else:
        yield from _tar(_unpacked(stream, magic))


def _checked(found: Iterator[Member]) -> Iterator[Member]:
    """Yield what is found, until something is not as it must be."""
    kinds: dict[bytes, Kind] = {}
    size = names = 0
    for member in found:
        if len(kinds) >= MAX_MEMBERS:
            raise _Refused(f"it has more than {MAX_MEMBERS} members")
        size += member.size
        if size > MAX_SIZE:
            raise _Refused(f"it unpacks to more than {MAX_SIZE >> 30} GiB")
        if not member.path:
            if member.kind == "directory":
                continue  # "./"
            raise _Refused("a member without a name")
        names += _check_place(member, kinds)
        if names > MAX_NAMES:
            raise _Refused(f"its paths have more than {MAX_NAMES >> 20} MiB in all")
        if member.kind == "hard link" and kinds.get(member.target) not in ("file", "link"):
            raise _Refused(
                f"{text(member.path)!r}: a link to {text(member.target)!r}, which it lacks"
            )
        kind = kinds[member.target] if member.kind == "hard link" else member.kind
        kinds[member.path] = kind
        yield member


def _check_place(member: Member, kinds: dict[bytes, Kind]) -> int:
    """Raise _Refused where a member would leave its directory, or take another's place.

    Return how many bytes its path has, and those of its directories that were not there before.
    """
    path = member.path
    if why := why_unsafe(path, link=member.kind == "link"):
        raise _Refused(f"{clipped(text(path))!r}: {why}")
    bytes_of_names = len(path)
    at = path.find(b"/")
    while at >= 0:
        if path[:at] not in kinds:
            bytes_of_names += at
        parent = kinds.setdefault(path[:at], "directory")
        if parent != "directory":
            raise _Refused(f"{text(path)!r} lies below a {parent}")
        at = path.find(b"/", at + 1)
    before = kinds.get(path)
    if before is not None and (before == "directory") != (member.kind == "directory"):
        raise _Refused(f"{text(path)!r} is both a {before} and a {member.kind}")
    return bytes_of_names


def _path(name: bytes) -> bytes:
    """Return a member's name as a path below the directory; raises _Refused for one that is not."""
    if name.startswith(b"/"):
        raise _Refused(f"{text(name)!r}: an absolute path")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise _Refused(f"{text(name)!r}: the path leads out of its directory")
    return b"/".join(parts)


# -- tar ---------------------------------------------------------------------------------------


def _tar(stream: BinaryIO) -> Iterator[Member]:
    size = 0
    for number, (header, parts) in enumerate(tar.read(stream)):
        kind = header.kind
        size += header.size  # of what is no file, too: it is read to get past it
        if number >= MAX_MEMBERS:
            raise _Refused(f"it has more than {MAX_MEMBERS} members")
        if size > MAX_SIZE:
            raise _Refused(f"it unpacks to more than {MAX_SIZE >> 30} GiB")
        if kind in (b"3", b"4", b"6"):
            raise _Refused(f"{text(header.name)!r}: a device or a pipe")
        if kind == b"M":
            raise _Refused("a part of an archive of several volumes")
        if kind == b"V":  # the volume's name
            continue
        path = _path(header.name)
        if kind in (b"5", b"D"):
            yield Member(path, "directory", mtime=header.mtime)
        elif kind == b"2":
            yield Member(path, "link", mtime=header.mtime, target=header.target)
        elif kind == b"1":
            yield Member(path, "hard link", mtime=header.mtime, target=_path(header.target))
        else:  # tar(1) takes what it does not know for a file
            executable = header.mode & 0o111 != 0  # %setup: chmod a+rX
            yield Member(path, "file", executable, header.mtime, header.size, b"", parts)


def _gem(stream: BinaryIO, stem: bytes) -> Iterator[Member]:
    """A tar with data.tar.gz in it, which ``gem unpack`` unpacks into a directory of the gem's name."""
    for header, parts in tar.read(stream):
        if header.name == b"data.tar.gz":
            inner = cast(BinaryIO, gzip.GzipFile(fileobj=_Joined(parts)))
            for member in _tar(inner):
                target = member.target
                if member.kind == "hard link":
                    target = stem + b"/" + target
                yield Member(
                    stem + b"/" + member.path if member.path else stem,
                    member.kind,
                    member.executable,
                    member.mtime,
                    member.size,
                    target,
                    member.parts,
                )
            return
    raise _Refused("a gem without data.tar.gz")


# -- zip ---------------------------------------------------------------------------------------


def _zip(stream: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        seen = set()
        for info in archive.infolist():
            path = _path(_zip_name(info))
            directory = info.orig_filename.endswith("/")
            if path in seen and not directory:
                raise _Refused(f"{text(path)!r} is there twice")  # unzip(1) would ask
            seen.add(path)
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            mtime = _dos_time(info.date_time)
            if directory:
                yield Member(path, "directory", mtime=mtime)
            elif stat.S_ISLNK(mode):
                if info.file_size > MAX_PATH:
                    raise _Refused(f"{text(path)!r}: a link of {info.file_size} bytes")
                yield Member(path, "link", mtime=mtime, target=archive.read(info))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                parts = _zip_parts(archive, info)
                yield Member(path, "file", mode & 0o111 != 0, mtime, info.file_size, b"", parts)
            else:
                raise _Refused(f"{text(path)!r}: a device or a pipe")


def _zip_name(info: zipfile.ZipInfo) -> bytes:
    """Return the stored name; DOS's own (APPNOTE.TXT, 4.4.4, bit 11) are made UTF-8, as by unzip."""
    if info.flag_bits & 0x800 or info.create_system == 0:
        return info.orig_filename.encode()
    return info.orig_filename.encode("cp437")


def _zip_parts(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    left = info.file_size
    with archive.open(info) as content:
        while data := content.read(_CHUNK):
            left -= len(data)
            yield data
    if left:
        raise _Refused(f"{text(_zip_name(info))!r} is not as long as it says")


def _dos_time(when: tuple[int, int, int, int, int, int]) -> int:
    """A time without a zone, taken for UTC; 0 for none."""
    year, month, day, *_ = when
    return calendar.timegm((*when, 0, 0, 0)) if month and day and year > 1980 else 0


# -- compression -------------------------------------------------------------------------------


def _unpacked(stream: BinaryIO, magic: bytes) -> BinaryIO:
    """Return the stream unpacked, by file(1)'s magic numbers."""
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(stream)  # type: ignore[return-value]
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        codec = zstandard.ZstdDecompressor(max_window_size=_MAX_MEMORY)
        raw = codec.stream_reader(stream, read_across_frames=True)
        return io.BufferedReader(cast(io.RawIOBase, raw), _CHUNK)
    if magic.startswith((b"\xfd7zXZ\0", b"LZIP", b"\x5d\0\0")):
        return io.BufferedReader(_Lzma(stream), _CHUNK)
    for other, tool in {
        b"7z\xbc\xaf\x27\x1c": "7-Zip",
        b"Rar!": "rar",
        b"\x1f\x9d": "compress",
        b"LRZI": "lrzip",
    }.items():
        if magic.startswith(other):
            raise _Refused(f"archives of {tool} are not read")
    return stream


class _Lzma(io.RawIOBase):
    """xz, lzma or lzip unpacked: one stream after the other, zeros between them passed over."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._codec: lzma.LZMADecompressor | None = None
        self._lzip = False
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while True:
            if self._codec is None and not self._start():
                return 0
            assert self._codec is not None
            if self._codec.needs_input and not self._input:
                self._input = self._stream.read(1 << 16)
                if not self._input:
                    raise EOFError("it ends too early")
            data = self._codec.decompress(self._input, len(view))
            self._input = b""
            if self._codec.eof:
                self._input, self._codec = self._codec.unused_data, None
                if self._lzip:
                    self._take(20)  # CRC and sizes; git and the checksum in sources know better
            if data:
                view[: len(data)] = data
                return len(data)

    def _take(self, size: int) -> bytes:
        """Return the next bytes of the input; fewer at its end."""
        while len(self._input) < size and (more := self._stream.read(1 << 16)):
            self._input += more
        taken, self._input = self._input[:size], self._input[size:]
        return taken

    def _start(self) -> bool:
        """Begin the next stream of the file; tell whether there is one."""
        while (head := self._take(6)) and not head.strip(b"\0"):
            pass
        if not head:
            return False
        if head.startswith(b"LZIP"):
            # lzip's manual, "File format": the coded dictionary size
            power, fraction = head[5] & 31, head[5] >> 5
            dictionary = (1 << power) - fraction * (1 << power >> 4)
            if not 4096 <= dictionary <= _MAX_MEMORY:
                raise _Refused("lzip asks for too much memory")
            lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": 3, "lp": 0, "pb": 2}
            self._codec = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1])
            self._lzip = True
            return True
        self._input = head.lstrip(b"\0") + self._input
        self._codec = lzma.LZMADecompressor(memlimit=_MAX_MEMORY)
        return True


class _Joined(io.RawIOBase):
    """Parts as a file to read from."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._left = part
        taken, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(taken)] = taken
        return len(taken)
