"""Charsets of mails: the names that iconv(1) knows, and what git makes of bad UTF-8 (pure)."""

from __future__ import annotations

import re

# glibc's names (`iconv -l`) of what mails use, each with Python's codec of the same table. A name
# that is not here is refused, as git refuses what iconv does not know.
_CODECS: dict[bytes, str] = {}
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
    "big5": "big5 big-5 cn-big5 big-five bigfive",
    "euc-jp": "euc-jp eucjp",
    "euc-kr": "euc-kr euckr",
    "iso2022_jp": "iso-2022-jp iso2022jp csiso2022jp",
    "shift_jis": "shift_jis shift-jis sjis ms_kanji",
    "utf-16": "utf-16 utf16",
    "utf-16-le": "utf-16le utf16le",
    "utf-16-be": "utf-16be utf16be",
}.items():
    _CODECS |= dict.fromkeys(_names.encode().split(), _codec)
for _number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16):
    for _form in ("iso-8859-%d", "iso8859-%d", "iso_8859-%d"):
        _CODECS[(_form % _number).encode()] = f"iso8859-{_number}"
for _number in (1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258):
    for _form in ("windows-%d", "cp%d"):
        _CODECS[(_form % _number).encode()] = f"cp{_number}"


class UnknownCharset(ValueError):
    """No charset of this name."""


def to_utf8(text: bytes, charset: bytes) -> bytes:
    """Return ``text`` in UTF-8. Raises UnknownCharset, or UnicodeError where it does not fit."""
    codec = _CODECS.get(charset.lower())
    if codec is None:
        raise UnknownCharset(charset.decode("ascii", "replace"))
    return text.decode(codec).encode()


# What commit.c's find_invalid_utf8() passes: well-formed UTF-8 (RFC 3629) without noncharacters,
# which are U+FDD0..U+FDEF and the last two of each plane.
_NONCHARACTER = (
    rb"\xef\xb7[\x90-\xaf]|\xef\xbf[\xbe\xbf]|[\xf0-\xf4][\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]"
)
_HAS_NONCHARACTER = re.compile(_NONCHARACTER)
_GOOD_OR_BAD = re.compile(
    rb"(?P<good>(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|(?!" + _NONCHARACTER + rb")(?:"
    rb"\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|"
    rb"\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}))++)"
    rb"|.",
    re.DOTALL,
)


def repaired_utf8(text: bytes) -> bytes:
    """verify_utf8() of commit.c: a byte that is not part of good UTF-8 is taken as Latin-1."""
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not _HAS_NONCHARACTER.search(text):
            return text
    return _GOOD_OR_BAD.sub(
        lambda found: found["good"] or found[0].decode("latin-1").encode(), text
    )
