"""git's binary patches: base 85, deflate, deltas (pure)."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass

from converter.engine.diff import DiffError

LIMIT = 512 << 20  # bytes that the binary patches of one diff may unpack to


@dataclass(frozen=True, slots=True)
class Binary:
    """One direction of a git binary patch: the content, or a delta to it."""

    kind: str  # "literal" or "delta"
    data: bytes

    def applied(self, image: bytes) -> bytes:
        """Return what ``image`` becomes. Raises DiffError for a delta that does not fit it."""
        return self.data if self.kind == "literal" else patch_delta(image, self.data)


def decoded(line: bytes) -> bytes | None:
    """Decode one line: a letter for its length, then base 85 (apply.c, parse_binary_hunk)."""
    if len(line) < 7 or (len(line) - 2) % 5:
        return None
    first = line[0]
    if 65 <= first <= 90:
        size = first - 64
    elif 97 <= first <= 122:
        size = first - 96 + 26
    else:
        return None
    most = (len(line) - 2) // 5 * 4
    if not most - 4 < size <= most:
        return None
    try:
        return base64.b85decode(line[1:-1])[:size]
    except ValueError:
        return None


def inflated(data: bytes, size: int) -> bytes | None:
    """Inflate to exactly ``size`` bytes, never to more; None for damage (apply.c, inflate_it)."""
    unpacker = zlib.decompressobj()
    try:
        out = unpacker.decompress(data, size + 1)
    except zlib.error:
        return None
    return out if len(out) == size and unpacker.eof else None


def blob_id(data: bytes) -> bytes:
    """Return the id that git gives to a file of this content, in hex."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest().encode()


def patch_delta(source: bytes, delta: bytes) -> bytes:
    """Return what ``delta`` makes of ``source`` (gitformat-pack(5), "Deltified representation").

    Raises DiffError.
    """
    out: list[bytes] = []
    if len(delta) < 4:  # delta.h, DELTA_SIZE_MIN
        raise DiffError("corrupt binary delta")
    try:
        size, at = _varint(delta, 0)
        target, at = _varint(delta, at)
        if size != len(source) or target > LIMIT:
            raise DiffError("corrupt binary delta")
        length = 0
        while at < len(delta):
            op = delta[at]
            at += 1
            if op & 0x80:
                offset = count = 0
                for bit in range(4):
                    if op & 1 << bit:
                        offset |= delta[at] << 8 * bit
                        at += 1
                for bit in range(3):
                    if op & 0x10 << bit:
                        count |= delta[at] << 8 * bit
                        at += 1
                count = count or 0x10000
                piece = source[offset : offset + count]
            else:
                count = op
                piece = delta[at : at + count]
                at += count
            length += count
            if not count or len(piece) != count or length > target:
                raise DiffError("corrupt binary delta")
            out.append(piece)
    except IndexError:
        raise DiffError("corrupt binary delta") from None
    if length != target:
        raise DiffError("corrupt binary delta")
    return b"".join(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if shift > 70:
            raise DiffError("corrupt binary delta")
        if not byte & 0x80:
            return value, at
