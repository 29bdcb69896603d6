"""Charsets of mails: the names that iconv(1) knows, and what git makes of bad UTF-8 (pure)."""

from __future__ import annotations

import codecs
import re

# glibc's names (`iconv -l`) of what mails use, each with Python's codec of the same table. A name
# that is not here is refused, as git refuses what iconv does not know. (Big5 and UTF-16 are not
# here because their tables differ from glibc's; tests/converter/test_charset.py compares the rest.)
CHARSETS: dict[bytes, str] = {}
for _codec, _names in {
    "ascii": "us-ascii ascii ansi_x3.4-1968 ansi_x3.4-1986 iso646-us iso_646.irv:1991 us",
    "iso8859-1": "latin1 latin-1 l1 iso_8859-1:1987 8859_1 ibm819 cp819",
    "iso8859-2": "latin2 l2 8859_2",
    "iso8859-3": "latin3 l3 8859_3",
    "iso8859-4": "latin4 l4 8859_4",
    "iso8859-5": "cyrillic 8859_5",
    "iso8859-7": "greek greek8 8859_7",
    "iso8859-8": "hebrew 8859_8",
    "iso8859-9": "latin5 l5 8859_9",
    "iso8859-10": "latin6 l6",
    "iso8859-13": "latin7 l7",
    "iso8859-14": "latin8 l8",
    "iso8859-15": "latin-9",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "gb2312": "gb2312 euc-cn euccn cn-gb",
    "gbk": "gbk cp936 ms936 windows-936",
    "gb18030": "gb18030",
    "euc-jp": "euc-jp eucjp",
    "euc-kr": "euc-kr euckr",
    "iso2022_jp": "iso-2022-jp iso2022jp csiso2022jp",
    "shift_jis": "shift_jis shift-jis sjis ms_kanji",
}.items():
    CHARSETS |= dict.fromkeys(_names.encode().split(), _codec)
for _number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16):
    for _form in ("iso-8859-%d", "iso8859-%d", "iso_8859-%d"):
        CHARSETS[(_form % _number).encode()] = f"iso8859-{_number}"
del CHARSETS[b"iso_8859-11"], CHARSETS[b"iso_8859-13"]
for _number in (1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258):
    for _form in ("windows-%d", "cp%d"):
        CHARSETS[(_form % _number).encode()] = f"cp{_number}"


_JIS_X_0201 = str.maketrans("\\~", "\u00a5\u203e")  # Python takes these two as ASCII
_PRIVATE_USE = re.compile("[\ue000-\uf8ff]")


class UnknownCharset(ValueError):
    """No charset of this name."""


def to_utf8(text: bytes, charset: bytes) -> bytes:
    """Return ``text`` in UTF-8. Raises UnknownCharset, or UnicodeError where it does not fit."""
    codec = CHARSETS.get(charset.lower())
    if codec is None:
        raise UnknownCharset(charset.decode("ascii", "replace"))
    decoded = text.decode(codec)
    if codec == "shift_jis":
        decoded = decoded.translate(_JIS_X_0201)
    elif codec == "gb18030" and _PRIVATE_USE.search(decoded):
        raise UnicodeError("a character that glibc's table has elsewhere")
    return decoded.encode()


# U+FDD0..U+FDEF and the last two of each plane (commit.c, find_invalid_utf8()).
_NONCHARACTER = re.compile(
    "[\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def _one_byte_as_latin1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return chr(error.object[error.start]), error.start + 1


codecs.register_error("srcgit-latin-1", _one_byte_as_latin1)


def repaired_utf8(text: bytes) -> bytes:
    """verify_utf8() of commit.c: each byte that is not part of good UTF-8 is taken as Latin-1.

    Well-formed noncharacters are not good there.
    """
    if text.isascii():
        return text
    decoded = text.decode("utf-8", "srcgit-latin-1")
    return _NONCHARACTER.sub(lambda found: found[0].encode().decode("latin-1"), decoded).encode()
