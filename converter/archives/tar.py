"""tar archives as GNU tar reads them, from a stream: ustar, GNU's own, pax, the old ones.

Python's tarfile ends at a damaged header as if the archive did, keeps every member, and reads
headers of any size into memory; foreign archives call for a stricter reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK = 512
_CHUNK = 1 << 20
_MAX_HEADER = 1 << 16  # bytes of a pax header or a long name
_MAX_HEADERS = 16  # in front of one member
_CHECKED = (b"atime", b"ctime", b"uid", b"gid")  # not used, but tar refuses what is damaged
_READ = (b"path", b"linkpath", b"size", b"mtime", *_CHECKED)  # of a pax header
_SPARSE = b"GNU.sparse."
_ZERO = bytes(_BLOCK)


class TarError(ValueError):
    """The archive is damaged, or of a kind that is not read."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in front of a member; names are as they were stored."""

    name: bytes
    kind: bytes  # POSIX.1-2017, pax, "ustar Interchange Format": typeflag
    mode: int
    size: int  # bytes of content
    mtime: int  # seconds
    target: bytes  # of a link


def read(stream: BinaryIO) -> Iterator[tuple[Header, Iterator[bytes]]]:
    """Yield each member with its content in parts; what is not asked for of it is passed over.

    Raises TarError, and what the stream raises.
    """
    shared: dict[bytes, bytes] = {}
    try:
        header = _next(stream, shared)
    except TarError as error:
        raise TarError(f"not a tar archive: {error}") from error
    while header is not None:
        left = [header.size]
        yield header, _parts(stream, left)
        for _ in _parts(stream, left):
            pass
        _exactly(stream, -header.size % _BLOCK)
        header = _next(stream, shared)


def _next(stream: BinaryIO, shared: dict[bytes, bytes]) -> Header | None:
    """Return the header of the next member; None at the end of the archive."""
    own: dict[bytes, bytes] = {}
    for _ in range(_MAX_HEADERS):
        block = stream.read(_BLOCK)
        if (not block and not own) or block == _ZERO:
            return None  # the end's two blocks of zeros may be missing (src/list.c, read_and)
        if len(block) < _BLOCK:
            raise TarError("it ends too early")
        _check(block)
        kind = block[156:157]
        size = _number(block[124:136])
        if kind in (b"x", b"X", b"g", b"L", b"K"):
            if size > _MAX_HEADER:
                raise TarError(f"a header of {size} bytes")
            data = _exactly(stream, size)
            _exactly(stream, -size % _BLOCK)
            if kind == b"L":
                own[b"path"] = data.split(b"\0")[0]
            elif kind == b"K":
                own[b"linkpath"] = data.split(b"\0")[0]
            else:
                kept = ((k, v) for k, v in _records(data) if k in _READ or k.startswith(_SPARSE))
                (shared if kind == b"g" else own).update(kept)
            continue
        return _header(block, kind, size, {**shared, **own})
    raise TarError("too many headers in front of a member")


def _check(block: bytes) -> None:
    """The sum is over the header with spaces in its own place; old tars take bytes as signed."""
    told = _number(block[148:156])
    blank = block[:148] + b" " * 8 + block[156:]
    if sum(blank) != told and sum(b - 256 if b > 127 else b for b in blank) != told:
        raise TarError("a damaged header")


def _header(block: bytes, kind: bytes, size: int, pax: Mapping[bytes, bytes]) -> Header:
    if kind == b"S" or any(key.startswith(_SPARSE) for key in pax):
        raise TarError("a sparse file, which is not read")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = _text(block[345:500]) + b"/" + name
    name = pax.get(b"path", name)
    if kind in (b"0", b"\0", b"7") and name.endswith(b"/"):
        kind = b"5"  # V7 has no kind for directories (src/list.c, decode_header)
    for key in pax.keys() & {b"atime", b"ctime"}:
        _decimal(pax[key])
    for key in pax.keys() & {b"uid", b"gid"}:
        if not re.fullmatch(rb"\d{1,18}", pax[key]) or int(pax[key]) > 0xFFFFFFFF:
            raise TarError("a damaged number in a pax header")
    if b"size" in pax:
        size = _decimal(pax[b"size"])
        if size < 0:
            raise TarError("a negative number")
    return Header(
        name=name,
        kind=kind,
        mode=_number(block[100:108]),
        size=0 if kind == b"1" else size,  # src/list.c, read_header: links have none on tape
        mtime=_decimal(pax[b"mtime"]) if b"mtime" in pax else _number(block[136:148], signed=True),
        target=pax.get(b"linkpath", _text(block[157:257])),
    )


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keyword and value of each record of a pax header: ``LENGTH KEYWORD=VALUE\\n``."""
    at = 0
    while at < len(data):
        length = re.compile(rb"(\d{1,6}) ").match(data, at)
        end = at + int(length[1]) if length else at
        if length is None or end > len(data) or data[end - 1 : end] != b"\n" or end <= length.end():
            raise TarError("a damaged pax header")
        keyword, equals, value = data[length.end() : end - 1].partition(b"=")
        if not equals:
            raise TarError("a damaged pax header")
        yield keyword, value
        at = end


def _number(field: bytes, *, signed: bool = False) -> int:
    """Octal digits; or, where the first bit is set, GNU's numbers in base 256."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True)
        value = value if field[0] == 0xFF else int.from_bytes(field[1:], "big")
    else:
        digits = field.split(b"\0")[0].strip(b" ")
        if not re.fullmatch(rb"[0-7]*", digits):
            raise TarError("a damaged number")
        value = int(digits or b"0", 8)
    if value < 0 and not signed:
        raise TarError("a negative number")
    return value


def _decimal(value: bytes) -> int:
    """A number of a pax header, less its fraction."""
    found = re.fullmatch(rb"(-?\d{1,18})(?:\.\d*)?", value)
    if found is None:
        raise TarError("a damaged number in a pax header")
    return int(found[1])


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise TarError("it ends too early")
    return data


def _parts(stream: BinaryIO, left: list[int]) -> Iterator[bytes]:
    """Yield what ``left[0]`` says of the stream; it tells afterwards what was not asked for."""
    while left[0]:
        data = stream.read(min(left[0], _CHUNK))
        if not data:
            raise TarError("it ends too early")
        left[0] -= len(data)
        yield data
