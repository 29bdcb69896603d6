"""Values of a mail's header fields, decoded and taken apart as git's mailinfo.c does it (pure).

Field values are bytes without the field's name; nothing here looks at more than one field.
"""

from __future__ import annotations

import re
from binascii import a2b_base64

from converter.mailbox.charset import UnknownCharset, to_utf8

SPACE = b" \t\n\r"  # git's isspace() (ctype.c): no vertical tab, no form feed
# git has no limits, but no mail comes near these.
MAX_FIELD = 1 << 20  # bytes of one header field
MAX_MESSAGE = 1 << 20  # bytes of a commit's message; the longest of Linux has some 50,000
MAX_LINES = 3_000_000  # of a decoded mail
MAX_MAILS = 100_000  # in a file


class MailError(ValueError):
    """``git am`` refuses this mail, or it needs something that srcgit does not do; says which."""


def shown(text: bytes) -> str:
    """The start of ``text``, for an error."""
    return text[:80].decode("utf-8", "replace")


SPACES = re.compile(rb"[ \t\n\r]+")  # cleanup_space()
_ADDRESS_END = re.compile(rb"[ \t-\r>]")


def name_and_address(field: bytes) -> tuple[bytes, bytes]:
    """handle_from(): ``John Doe <john@doe>``, ``john@doe (John Doe)`` and what comes near."""
    text = _unquoted(field)
    at = text.find(b"@")
    if at < 0:
        return _bogus_name_and_address(field)
    start = max(text.rfind(mark, 0, at) for mark in (b" ", b"\t", b"\n", b"\r", b"<")) + 1
    before = text[:start]
    if before.endswith(b"<"):
        before = before[:-1] + b" "
    end = _ADDRESS_END.search(text, at)
    stop, after = (end.start(), end.end()) if end else (len(text), len(text))
    email = text[start:stop]
    name = SPACES.sub(b" ", before + text[after:]).strip(SPACE)
    if name.startswith(b"(") and name.endswith(b")"):
        name = name[1:-1]
    return _sane_name(name, email), email


def _bogus_name_and_address(field: bytes) -> tuple[bytes, bytes]:
    """parse_bogus_from(): ``John Doe <johndoe>``"""
    opening = field.find(b"<")
    closing = field.find(b">", opening)
    if opening < 0 or closing < 0:
        return b"", b""
    email = field[opening + 1 : closing]
    return _sane_name(field[:opening].strip(SPACE), email), email


def _sane_name(name: bytes, email: bytes) -> bytes:
    """get_sane_name(): a name that is none, or too long, gives way to the address."""
    return name if name and len(name) <= 60 and not re.search(rb"[@<>]", name) else email


_UNQUOTE = re.compile(rb"[\"()\\]")


def _unquoted(text: bytes) -> bytes:
    """unquote_quoted_pair(): strings lose their quotes, backslashes in them and in comments go."""
    out: list[bytes] = []
    at = 0
    quoted = False
    depth = 0
    while True:
        found = _UNQUOTE.search(text, at)
        if found is None:
            out.append(text[at:])
            return b"".join(out)
        out.append(text[at : found.start()])
        mark, at = found[0], found.end()
        if mark == b"\\":
            if quoted or depth:
                mark = text[at : at + 1]
                at += 1
            out.append(mark)
        elif mark == b'"':
            if depth:
                out.append(mark)
            else:
                quoted = not quoted
        else:
            out.append(mark)
            if not quoted:
                depth += 1 if mark == b"(" else -1 if depth else 0


_REPLY = re.compile(rb"[Rr][Ee]:|[ \t:]+")


def subject_text(text: bytes, *, keep_tags: bool) -> bytes:
    """cleanup_subject(): without leading "Re:" and [tags], or only [tags] that say PATCH."""
    kept: list[bytes] = []
    at = 0
    while True:
        # "Re:" needs something after it
        reply = _REPLY.match(text, at)
        if reply and (reply[0][:1] not in b"Rr" or reply.end() < len(text)):
            at = reply.end()
            continue
        closing = text.find(b"]", at) + 1 if text.startswith(b"[", at) else 0
        if not closing:
            break
        if keep_tags and not (closing - at >= 7 and b"PATCH" in text[at:closing]):
            end = closing + text.startswith((b" ", b"\t", b"\n", b"\r"), closing)
            kept.append(text[at:end])
            at = end
        else:
            at = closing
    return (b"".join(kept) + text[at:]).strip(SPACE)


def attribute(field: bytes, name: bytes) -> bytes | None:
    """slurp_attr(): the value after ``name``, which ends in ``=``; None where it does not occur."""
    start = field.lower().find(name)
    if start < 0:
        return None
    start += len(name)
    if field.startswith(b'"', start):
        return field[start + 1 :].partition(b'"')[0]
    return re.split(rb"[; \t]", field[start:], maxsplit=1)[0]


def decoded(value: bytes) -> bytes:
    """parse_header(), decode_header(): RFC 2047's encoded words become UTF-8."""
    value = value.partition(b"\0")[0].lstrip(SPACE)
    if len(value) > MAX_FIELD:
        raise MailError(f"a header field of more than {MAX_FIELD} bytes")
    at = value.find(b"=?")
    if at < 0:
        return value
    out = [value[:at]]
    while True:
        charset_end = value.find(b"?", at + 2)
        if charset_end < 0 or value[charset_end + 2 : charset_end + 3] != b"?":
            raise MailError("broken encoded word in a header")
        end = value.find(b"?=", charset_end + 3)
        form = value[charset_end + 1 : charset_end + 2].lower()
        if end < 0 or form not in (b"b", b"q"):
            raise MailError("broken encoded word in a header")
        piece = value[charset_end + 3 : end]
        decoded = base64(piece) if form == b"b" else quoted_printable(piece.replace(b"_", b" "))
        out.append(converted(decoded, value[at + 2 : charset_end]))
        at = value.find(b"=?", end + 2)
        between = value[end + 2 : at if at >= 0 else len(value)]
        if at < 0 or between.strip(SPACE):
            out.append(between)
        if at < 0:
            return b"".join(out)


_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def base64(text: bytes) -> bytes:
    """decode_b_segment(): anything else than its 64 characters is passed over."""
    text = text.translate(None, _NOT_BASE64)
    whole, rest = divmod(len(text), 4)
    return a2b_base64(text + b"A" * (-len(text) % 4))[: whole * 3 + max(rest - 1, 0)]


_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_SOFT_BREAK = re.compile(rb"=(?:\n|\Z)")


def quoted_printable(text: bytes) -> bytes:
    """decode_q_segment(): what follows a soft line break is lost, ``=`` without digits is kept."""
    if b"=" not in text:
        return text
    soft = _SOFT_BREAK.search(text)
    if soft:
        text = text[: soft.start()]
    return _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), text)


def needs_conversion(charset: bytes) -> bool:
    """same_encoding() with UTF-8 (utf8.c)"""
    return bool(charset) and charset.lower() not in (b"utf-8", b"utf8")


def converted(text: bytes, charset: bytes) -> bytes:
    """convert_to_utf8()"""
    if not needs_conversion(charset):
        return text
    try:
        return to_utf8(text, charset)
    except (UnknownCharset, UnicodeError) as error:
        raise MailError(f"cannot convert from {shown(charset)} to UTF-8") from error
