"""Charsets, held against the C library's iconv(3), which is what git converts with."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from converter.mailbox.charset import CHARSETS, UnknownCharset, repaired_utf8, to_utf8

LIBC = ctypes.CDLL(None)
LIBC.iconv_open.restype = LIBC.iconv.restype = ctypes.c_size_t
LIBC.iconv.argtypes = [ctypes.c_size_t, *[ctypes.c_void_p] * 4]
LIBC.iconv_close.argtypes = [ctypes.c_size_t]
FAILED = ctypes.c_size_t(-1).value


class Iconv:
    """One conversion to UTF-8, by iconv(3)."""

    def __init__(self, charset: bytes) -> None:
        self.handle = LIBC.iconv_open(b"UTF-8", charset)
        assert self.handle != FAILED, f"iconv knows no {charset!r}"
        self.buffer = ctypes.create_string_buffer(128)
        start = ctypes.addressof(self.buffer)
        self.source, self.source_left = ctypes.c_void_p(start), ctypes.c_size_t()
        self.target, self.target_left = ctypes.c_void_p(start + 64), ctypes.c_size_t()
        self.places = tuple(
            map(ctypes.byref, (self.source, self.source_left, self.target, self.target_left))
        )

    def __call__(self, text: bytes) -> bytes | None:
        LIBC.iconv(self.handle, None, None, None, None)  # back to the initial state
        start = ctypes.addressof(self.buffer)
        self.buffer.raw = text
        self.source.value, self.source_left.value = start, len(text)
        self.target.value, self.target_left.value = start + 64, 64
        if LIBC.iconv(self.handle, *self.places) == FAILED:
            return None
        LIBC.iconv(self.handle, None, None, *self.places[2:])
        return self.buffer.raw[64 : 128 - self.target_left.value]

    def close(self) -> None:
        LIBC.iconv_close(self.handle)


def samples(codec: str) -> Iterator[bytes]:
    """Each byte, and each pair of bytes where characters have two."""
    yield from (bytes([byte]) for byte in range(256))
    if codec.startswith(("gb", "euc", "shift")):
        yield from (bytes([a, b]) for a in range(0x80, 256) for b in range(0x21, 256))
    if codec.startswith("iso2022"):
        pairs = (bytes([a, b]) for a in range(0x21, 0x7F) for b in range(0x21, 0x7F))
        yield from (b"\x1b$B" + pair + b"\x1b(B" for pair in pairs)


# The control characters 0x80 to 0x9f, and pairs that begin with one; private use in GB 18030.
REFUSED = {"euc-jp": 9000, "euc-kr": 9000, "gbk": 100, "gb18030": 3000}


@pytest.mark.parametrize("codec", sorted(set(CHARSETS.values())))
def test_each_charset_is_iconvs(codec: str) -> None:
    """Never another character than iconv's; what iconv takes may be refused, but seldom."""
    names = [name for name, its_codec in CHARSETS.items() if its_codec == codec]
    refused = checked = 0
    for name in names:
        if name == b"latin-1":
            continue  # git's own (utf8.c, fallback_encoding())
        iconv = Iconv(name)
        for text in samples(codec) if name == names[-1] else (bytes([b]) for b in range(256)):
            theirs = iconv(text)
            try:
                assert to_utf8(text, name) == theirs
                checked += 1
            except UnicodeError:
                refused += theirs is not None
        iconv.close()
    assert checked > 100
    assert refused <= REFUSED.get(codec, 0)


@pytest.mark.parametrize("name", [b"x-unknown", b"rot13", b"unicode_escape", b"utf_8_sig", b"\xff"])
def test_unknown_names(name: bytes) -> None:
    with pytest.raises(UnknownCharset):
        to_utf8(b"x", name)


def test_what_is_not_utf8_is_taken_as_latin1() -> None:
    assert repaired_utf8("Jörg".encode()) == "Jörg".encode()
    assert repaired_utf8("Jörg".encode("latin-1")) == "Jörg".encode()
    assert repaired_utf8("Jörg ".encode() + b"\xff\xc3") == "Jörg ÿÃ".encode()
    assert repaired_utf8(b"\xef\xbf\xbe") == "ï¿¾".encode()  # U+FFFE is no character
