"""Compressed patch files become patch files, within a limit of size; and back (pure)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import Protocol

import zstandard

MAX_SIZE = 1 << 27  # bytes; the largest patch in the history of Fedora's kernel has 3.4 million
MAX_LINES = 3_000_000  # each takes some 300 bytes of memory where it is a hunk of its own
_MAX_MEMORY = 1 << 27  # bytes that xz or zstd may ask for as window; `xz -9` asks for 65 MiB
_MAX_MEMBERS = 1000  # what follows a member is copied once for each
_ZSTD_CHUNK = 256  # bytes

# file(1)'s magic numbers. rpm decides by them alone (rpmio/rpmfileutil.c, rpmFileIsCompressed).
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# The shell functions of older specs decide by the name.
_SUFFIX = {b"gz": "gzip", b"bz2": "bzip2", b"xz": "xz", b"lzma": "lzma", b"zst": "zstd"}


class UnpackError(ValueError):
    """The file is damaged, is not what its name says, or unpacks to more than the limit."""


class _Decompressor(Protocol):
    """What bz2, lzma and the gzip adapter below have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def unpack(name: bytes, data: bytes, limit: int = MAX_SIZE) -> bytes:
    """Return the patch in ``data``, a file called ``name``: itself unless it is compressed.

    A file is compressed if its name ends in .gz, .bz2, .xz, .lzma or .zst, or if it starts as one
    of these formats does, which no patch can. Raises UnpackError, also for more than ``limit``
    bytes, packed or not (no more than that is ever unpacked), or MAX_LINES lines.
    """
    form = _form(name, data)
    try:
        if form is None:
            unpacked = data
        else:
            unpacked = _zstd(data, limit) if form == "zstd" else _members(form, data, limit)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError) as error:
        raise UnpackError(f"not a good {form} file: {error}") from error
    if len(unpacked) > limit:
        raise UnpackError(f"more than {limit} bytes")
    if unpacked.count(b"\n") > MAX_LINES:
        raise UnpackError(f"more than {MAX_LINES} lines")
    return unpacked


def pack(name: bytes, like: bytes, data: bytes) -> bytes:
    """Return ``data`` compressed as ``like`` is, a file called ``name``; the same on every host."""
    match _form(name, like):
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "bzip2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "lzma":
            return lzma.compress(data, format=lzma.FORMAT_ALONE)
        case "zstd":
            return zstandard.ZstdCompressor().compress(data)
    return data


def _form(name: bytes, data: bytes) -> str | None:
    form = next((form for magic, form in _MAGIC.items() if data.startswith(magic)), None)
    return form or _SUFFIX.get(name.rpartition(b".")[2].lower())


def _members(form: str, data: bytes, limit: int) -> bytes:
    """Unpack one member after the other, as gzip(1), bzip2(1) and xz(1) do."""
    parts: list[bytes] = []
    size = 0
    for _ in range(_MAX_MEMBERS):
        member = _decompressor(form)
        part = member.decompress(data, limit + 1 - size)
        parts.append(part)
        size += len(part)
        if size > limit:
            break
        if not member.eof:
            raise EOFError("it ends too early")
        data = member.unused_data
        if not data.strip(b"\0"):  # zeros pad tape blocks (gzip(1)) and xz streams (xz(1))
            break
    else:
        raise EOFError(f"it has more than {_MAX_MEMBERS} members")
    return b"".join(parts)


def _decompressor(form: str) -> _Decompressor:
    if form == "gzip":
        return zlib.decompressobj(wbits=31)  # 16 + 15: gzip's header, the largest window
    if form == "bzip2":
        return bz2.BZ2Decompressor()
    container = lzma.FORMAT_XZ if form == "xz" else lzma.FORMAT_ALONE
    return lzma.LZMADecompressor(format=container, memlimit=_MAX_MEMORY)


def _zstd(data: bytes, limit: int) -> bytes:
    """Unpack frame after frame. A few bytes at a time, since a block of 4 may stand for 128 KiB."""
    parts: list[bytes] = []
    size = at = 0
    codec = zstandard.ZstdDecompressor(max_window_size=_MAX_MEMORY)
    frame = codec.decompressobj()
    while at < len(data) and size <= limit:
        part = frame.decompress(data[at : at + _ZSTD_CHUNK])
        parts.append(part)
        size += len(part)
        at += _ZSTD_CHUNK
        if frame.eof:
            at = min(at, len(data)) - len(frame.unused_data)
            if at < len(data):
                frame = codec.decompressobj()
    if size <= limit and not frame.eof:
        raise EOFError("it ends too early")
    return b"".join(parts)
