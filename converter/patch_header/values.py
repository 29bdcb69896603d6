"""The author and the date in a patch's header, as a commit holds them (pure)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from converter.mailbox import date as dates
from converter.mailbox.charset import repaired_utf8
from converter.mailbox.mailfields import SPACE, MailError, decoded, name_and_address

_LONGEST = 1000  # bytes of a field that names somebody or a date
_MAX_DATE = 1 << 33  # seconds since 1970; a date before that wraps to far above
_CRUD = bytes(range(33)) + b".,:;<>\"\\'"  # ident.c: what a name neither begins nor ends with


@dataclass(frozen=True, slots=True)
class Header:
    """What is known: each may be empty.

    ``date`` is git's raw form, ``1517219317 -0800``; ``message`` begins with its subject, unless
    ``titled`` is false: then the caller puts one above it. ``commit`` is the id under which a
    version control system printed the change. ``complete``: the header is that of a commit, so
    nothing else has to be said of the change.
    """

    name: bytes = b""
    email: bytes = b""
    date: bytes = b""
    message: bytes = b""
    titled: bool = True
    commit: str = ""
    complete: bool = False


def author(field: bytes) -> tuple[bytes, bytes]:
    """Return name and address of the first person in ``field``; two empty ones where it has none.

    What git refuses, a name without an address or an empty one, is taken as it stands.
    """
    field = field[:_LONGEST].strip(SPACE)
    with suppress(MailError):  # a damaged encoded word stays as it is
        field = decoded(field)
    found = re.match(rb"([^<>]*)<([^<>]*)>", field)
    if found:
        name, email = found[1], found[2]
    else:
        name, email = name_and_address(field)
        name = name or field
    name, email = _ident(name), _ident(email)
    return (name or email, email)


def _ident(text: bytes) -> bytes:
    return repaired_utf8(text.replace(b"\0", b"").strip(_CRUD).translate(None, b"\n<>"))


_DAY = re.compile(rb"\d{4}-\d\d-\d\d")
# 03/11/2023 is a day in March or one in November
_UNCLEAR = re.compile(rb"(?<!\d)\d\d?([/.-])\d\d?\1\d\d")


def date(field: bytes) -> bytes:
    """Return ``field`` as git stores a date, empty where it is none; a day is its first second, UTC."""
    field = field[:_LONGEST].strip(SPACE)
    if _UNCLEAR.search(field):
        return b""
    if _DAY.fullmatch(field):
        field += b" 00:00:00 +0000"
    told = dates.parse(field) or b""
    return told if told and int(told.split()[0]) < _MAX_DATE else b""


def mercurial_date(field: bytes) -> bytes:
    """Return Mercurial's ``seconds offset``, west of UTC, as git stores it; empty where it is none."""
    found = re.fullmatch(rb"(\d{1,10})(?:\.\d{1,9})? ([+-]?\d{1,5})", field.strip(SPACE))
    if found is None:
        return date(field)
    west = int(found[2]) // 60
    return b"%d %c%02d%02d" % (int(found[1]), b"-" if west > 0 else b"+", *divmod(abs(west), 60))


def message(subject: bytes, *paragraphs: bytes) -> bytes:
    """Return the parts that are not empty as a message, a blank line between them; "" for none."""
    parts = [part.strip(b"\n") for part in (subject, *paragraphs)]
    text = b"\n\n".join(part for part in parts if part.strip(SPACE))
    return text + b"\n" if text else b""


_LONGEST_TITLE = 250  # bytes


def is_title(text: bytes) -> bool:
    """Tell whether ``text`` begins with a paragraph that is a title, which git joins to one line."""
    return 0 < len(text.strip().partition(b"\n\n")[0]) <= _LONGEST_TITLE
