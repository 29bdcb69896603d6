"""Compressed patches: every format, damage and bombs."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest
import zstandard

from converter.engine.unpack import MAX_LINES, UnpackError, pack, unpack

PATCH = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n" * 50

FORMATS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gz": gzip.compress,
    b"bz2": bz2.compress,
    b"xz": lzma.compress,
    b"lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    b"zst": zstandard.compress,
}


@pytest.fixture(params=sorted(FORMATS), ids=lambda suffix: str(suffix.decode()))
def suffix(request: pytest.FixtureRequest) -> bytes:
    assert isinstance(request.param, bytes)
    return request.param


def test_a_plain_patch_is_itself() -> None:
    assert unpack(b"fix.patch", PATCH) is PATCH
    assert unpack(b"empty.patch", b"") == b""
    with pytest.raises(UnpackError, match="more than 99 bytes"):
        unpack(b"fix.patch", PATCH, limit=99)


def test_each_format(suffix: bytes) -> None:
    assert unpack(b"fix.patch." + suffix, FORMATS[suffix](PATCH)) == PATCH


def test_the_content_decides_when_the_name_is_silent(suffix: bytes) -> None:
    if suffix != b"lzma":  # has no magic number
        assert unpack(b"fix.patch", FORMATS[suffix](PATCH)) == PATCH


def test_and_back(suffix: bytes) -> None:
    name = b"fix." + suffix
    packed = pack(name, FORMATS[suffix](b"another"), PATCH)
    assert unpack(name, packed) == PATCH and packed == pack(name, packed, PATCH)
    assert len(packed) < len(PATCH)
    assert pack(b"fix.patch", b"another", PATCH) == PATCH


def test_members_one_after_the_other(suffix: bytes) -> None:
    packed = FORMATS[suffix](PATCH) + FORMATS[suffix](b"more\n")
    assert unpack(b"fix." + suffix, packed) == PATCH + b"more\n"


def test_a_name_that_lies(suffix: bytes) -> None:
    with pytest.raises(UnpackError):
        unpack(b"fix.patch." + suffix, b"\xffnot packed" * 9)


def test_a_truncated_file(suffix: bytes) -> None:
    with pytest.raises(UnpackError):
        unpack(b"fix.patch." + suffix, FORMATS[suffix](PATCH)[:-9])


def test_trailing_garbage(suffix: bytes) -> None:
    with pytest.raises(UnpackError):
        unpack(b"fix.patch." + suffix, FORMATS[suffix](PATCH) + b"garbage")


def test_a_bomb_is_refused(suffix: bytes) -> None:
    bomb = FORMATS[suffix](bytes(5_000_000))
    with pytest.raises(UnpackError, match="more than 1000000 bytes"):
        unpack(b"bomb." + suffix, bomb, limit=1_000_000)
    assert len(unpack(b"bomb." + suffix, bomb, limit=5_000_000)) == 5_000_000


def test_many_members_are_refused() -> None:
    with pytest.raises(UnpackError, match="members"):
        unpack(b"many.gz", gzip.compress(b"") * 2000)


def test_more_lines_than_any_patch_has() -> None:
    assert len(unpack(b"long.patch", b"\n" * MAX_LINES)) == MAX_LINES
    with pytest.raises(UnpackError, match="lines"):
        unpack(b"long.patch", b"\n" * (MAX_LINES + 1))
