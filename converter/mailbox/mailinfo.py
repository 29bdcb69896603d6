"""One mail, read from top to bottom as git's mailinfo.c reads it: fields, message, patch (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from converter.mailbox.mailfields import (
    MAX_FIELD,
    MAX_LINES,
    MAX_MESSAGE,
    SPACE,
    SPACES,
    MailError,
    attribute,
    base64,
    converted,
    decoded,
    name_and_address,
    needs_conversion,
    quoted_printable,
    subject_text,
)

_MAX_BOUNDARIES = 5  # mailinfo.h
LEADING_SPACE = re.compile(rb"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``git am`` that change what a mail says (git-am(1))."""

    keep_cr: bool = False
    keep_subject: bool = False
    keep_non_patch: bool = False
    scissors: bool = False
    message_id: bool = False
    ignore_date: bool = False
    patch_format: str = ""


_FIELD = re.compile(rb">?From |[!-9;-~]*:")  # is_rfc2822_header()
# patchbreak(): "--- " is a file's name, "---" alone the separator before notes
_PATCH_BREAK = re.compile(rb"^(?:diff -|Index: |--- (?:[^ \t\n\r]|\Z)|---[ \t\r]*\n)", re.MULTILINE)
_SEPARATOR = re.compile(rb">From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\n")
_PERSONAL = (b"from", b"subject", b"date")


class Reader:
    """mailinfo(): reads one mail from top to bottom; what it found is in its attributes."""

    def __init__(self, mail: bytes, options: Options) -> None:
        self.data = mail
        self.at = 0
        self.options = options
        self.fields: dict[bytes, bytes] = {}  # p_hdr_data: by lower-case name
        self.inbody: dict[bytes, bytes] = {}  # s_hdr_data: the same at the top of the body
        self.log: list[bytes] = []
        self._room = MAX_MESSAGE  # bytes that the log may still take
        self._decoded = 0  # lines that decoding has made
        self.diff: list[bytes] = []
        self.in_fields = True  # header_stage: still at the top of the body
        self.pending: list[bytes] = []  # inbody_header_accum: a field that may be continued
        self.held: list[bytes] = []  # prev: a line whose end is still to come
        self.boundaries: list[bytes] = []
        self.charset = b""
        self.encoding = b""
        self.flowed = False
        self.delete_space = False
        self.message_id: bytes | None = None

    # what it found

    def _personal(self, name: bytes) -> bytes | None:
        """handle_info(): fields in the body count only in a mail with a patch."""
        value = self.inbody.get(name) if self.diff else None
        value = self.fields.get(name) if value is None else value
        if value is not None and b"\0" in value:
            raise MailError(f"a NUL byte in {name.decode()!r} is not allowed")
        return value

    def author(self) -> tuple[bytes, bytes]:
        """Name and address; both empty without a From field."""
        value = self._personal(b"from")
        return name_and_address(SPACES.sub(b" ", value)) if value is not None else (b"", b"")

    def date(self) -> bytes:
        value = self._personal(b"date")
        return b"" if value is None else SPACES.sub(b" ", value)

    def subject(self) -> bytes:
        value = self._personal(b"subject")
        if value is None or self.options.keep_subject:
            return value or b""
        return SPACES.sub(b" ", subject_text(value, keep_tags=self.options.keep_non_patch))

    # reading

    def read(self) -> Reader:
        skipped = LEADING_SPACE.match(self.data)
        self.at = skipped.end() if skipped else 0
        if self.at == len(self.data):
            raise MailError("empty patch")
        line = self._fields(overwrite=True)
        self._body(line)
        return self

    def _next(self) -> bytes:
        """The next line with its end; empty at the end of the mail."""
        end = self.data.find(b"\n", self.at) + 1 or len(self.data)
        line = self.data[self.at : end]
        self.at = end
        return line

    def _fields(self, *, overwrite: bool) -> bytes:
        """read_one_header_line() until it fails; returns the line that is no field.

        Where the mail ends with a field, git is left with that, and takes it for the body's line.
        """
        data = self.data
        line = b""
        while self.at < len(data):
            line = self._next().rstrip(SPACE)
            if not line or not _FIELD.match(line):
                return line + b"\n"
            if data.startswith((b" ", b"\t"), self.at):
                parts, begin = [line], self.at
                while data.startswith((b" ", b"\t"), self.at):
                    parts.append((b" " + self._next()[1:]).rstrip(SPACE))
                    if self.at - begin > MAX_FIELD:
                        raise MailError(f"a header field of more than {MAX_FIELD} bytes")
                line = b"".join(parts)
            name, colon, value = line.partition(b":")
            if colon:
                self._field(name.lower(), value, overwrite=overwrite)
        return line

    def _field(self, name: bytes, value: bytes, *, overwrite: bool) -> None:
        """check_header() for a field of the mail or of one of its parts."""
        if name in _PERSONAL:
            if overwrite or name not in self.fields:
                self.fields[name] = decoded(value)
        elif name == b"content-type":
            self._content_type(decoded(value))
        elif name == b"content-transfer-encoding":
            lowered = decoded(value).partition(b"\0")[0].lower()
            self.encoding = next((e for e in (b"base64", b"quoted-printable") if e in lowered), b"")
        elif name == b"message-id":
            value = decoded(value)
            if self.options.message_id:
                self.message_id = value.partition(b"\0")[0]

    def _content_type(self, value: bytes) -> None:
        """handle_content_type()"""
        value = value.partition(b"\0")[0]
        self.flowed = (attribute(value, b"format=") or b"").lower() == b"flowed"
        self.delete_space = (attribute(value, b"delsp=") or b"").lower() == b"yes"
        boundary = attribute(value, b"boundary=")
        if boundary is not None:
            if len(self.boundaries) + 1 >= _MAX_BOUNDARIES:
                raise MailError("too many boundaries")
            self.boundaries.append(b"--" + boundary)
        self.charset = attribute(value, b"charset=") or b""

    def _body(self, line: bytes) -> None:
        """handle_body()"""
        if self.boundaries:
            found = self._find_boundary()
            if found is None:
                return
            line = found
        while True:
            if self.boundaries and line.startswith(self.boundaries[-1]):
                self._flush_held()
                part = self._next_part(line)
                if part is None:
                    return  # without looking at a field that still pends, as git does
                line = part
            if self.encoding:
                self._encoded_line(line)
            elif self.flowed:
                self._flowed_line(line)
            else:
                self._line(line)
                if not self.boundaries:
                    self._rest()
            if self.at >= len(self.data):
                break
            line = self._next()
        self._flush_held()
        self._flush_pending()

    def _rest(self) -> None:
        """The same line by line, when no line needs a change: take what is left at once."""
        if not self.diff:
            if self.in_fields or self.options.scissors or needs_conversion(self.charset):
                return
            found = _PATCH_BREAK.search(self.data, self.at)
            end = len(self.data) if found is None else found.start()
            self._tell(self.data[self.at : end])
            if found is None:
                self.at = end
                return
            self._break(self.data[found.start() :])
        else:
            self.diff.append(self.data[self.at :])
        self.at = len(self.data)

    def _encoded_line(self, line: bytes) -> None:
        """decode_transfer_encoding(), then the lines that this makes."""
        line = line.partition(b"\0")[0]
        self.held.append(base64(line) if self.encoding == b"base64" else quoted_printable(line))
        if b"\n" not in self.held[-1]:
            return
        held = self._take_held()
        self._decoded += held.count(b"\n")
        if self._decoded > MAX_LINES:
            raise MailError(f"a mail of more than {MAX_LINES} lines")
        lines = held.split(b"\n")
        for whole in lines[:-1]:
            (self._flowed_line if self.flowed else self._line)(whole + b"\n")
        if lines[-1]:
            self.held.append(lines[-1])

    def _flowed_line(self, line: bytes) -> None:
        """handle_filter_flowed(): RFC 3676 without its quoting."""
        content = line.removesuffix(b"\n")
        if content.endswith(b"\r") and line.endswith(b"\n"):
            content = content[:-1]
        if content == b"-- ":
            self._flush_held()
            self._line(line)
            return
        if content.startswith(b" "):
            content, line = content[1:], line[1:]
        if content.endswith(b" "):
            self.held.append(content[:-1] if self.delete_space else content)
            return
        self._line(self._take_held() + line)

    def _take_held(self) -> bytes:
        line = b"".join(self.held)
        self.held.clear()
        return line

    def _flush_held(self) -> None:
        line = self._take_held()
        if line:
            self._line(line)

    def _find_boundary(self) -> bytes | None:
        """find_boundary(): the next line that is one, without its LF."""
        while self.at < len(self.data):
            line = self._next().removesuffix(b"\n")
            if self.boundaries and line.startswith(self.boundaries[-1]):
                return line
        return None

    def _next_part(self, line: bytes) -> bytes | None:
        """handle_boundary(): the first line of the next part's body, or None at the end."""
        while line.startswith(b"--", len(self.boundaries[-1])):
            self.boundaries.pop()
            self._line(b"\n")
            found = self._find_boundary()
            if found is None:
                return None
            line = found
        self.encoding = self.charset = b""
        self._fields(overwrite=False)
        if self.at >= len(self.data):
            return None
        return self._next().removesuffix(b"\n") + b"\n"

    def _line(self, line: bytes) -> None:
        """handle_filter(), handle_commit_msg(): a line of the message or of the patch."""
        if self.diff:
            self.diff.append(line)
            return
        if self.in_fields:
            if line in (b"", b"\n"):
                if self.pending:
                    self._flush_pending()
                    self.in_fields = False
                return
            self.in_fields = self._inbody_field(line)
            if self.in_fields:
                return
        line = converted(line, self.charset)
        if self.options.scissors and _is_scissors(line):
            self.log.clear()
            self._room = MAX_MESSAGE
            self.in_fields = True
            self.inbody.clear()
        elif _PATCH_BREAK.match(line):
            self._break(line)
        else:
            self._tell(line)

    def _tell(self, text: bytes) -> None:
        """Add to the message, which is bounded: what reads it is not always quick."""
        self._room -= len(text)
        if self._room < 0:
            raise MailError(f"a message of more than {MAX_MESSAGE} bytes")
        self.log.append(text)

    def _break(self, patch: bytes) -> None:
        """handle_commit_msg(): the message ends, ``patch`` begins with one line or more."""
        if self.message_id is not None:
            self.log.append(b"Message-Id: %b\n" % self.message_id)
        self.diff.append(patch)

    def _flush_pending(self) -> None:
        """flush_inbody_header_accum()"""
        if self.pending:
            name, _, value = b"".join(self.pending).partition(b":")
            self.pending.clear()
            self.inbody[name.lower()] = decoded(value)

    def _inbody_field(self, line: bytes) -> bool:
        """check_inbody_header(): whether the line belongs to the fields at the body's top."""
        if self.pending and line.startswith((b" ", b"\t")):
            if self.options.scissors and _is_scissors(line):
                self._flush_pending()
                return False
            self.pending[-1] = self.pending[-1].removesuffix(b"\n")
            self.pending.append(line)
            if len(self.pending) > MAX_FIELD:
                raise MailError(f"a header field of more than {MAX_FIELD} bytes")
            return True
        self._flush_pending()
        if line.startswith(b">From") and line[5:6] in SPACE and line[5:6]:
            return _SEPARATOR.fullmatch(line) is not None
        if line.startswith(b"[PATCH]") and line[7:8] in SPACE and line[7:8]:
            self.inbody[b"subject"] = line
            return True
        name = line[:8].partition(b":")[0].lower()
        if (
            name in _PERSONAL
            and name not in self.inbody
            and line[len(name) : len(name) + 1] == b":"
        ):
            self.pending.append(line)
            return True
        return False


_CUT = re.compile(rb">8|8<|>%|%<")


def _is_scissors(line: bytes) -> bool:
    """is_scissors_line(): dashes and a pair of scissors, see git-mailinfo(1)."""
    line = line.partition(b"\0")[0].lstrip(SPACE)  # space at its end counts, with the LF
    if not _CUT.search(line):
        return False
    scissors = gap = perforation = at = 0
    last = 0  # of what is visible; the first half only of scissors at the end of the line
    inside = False
    while at < len(line):
        if line[at] not in SPACE:
            last = at
        if line[at] in SPACE:
            if inside:
                perforation += 1
                gap += 1
        elif line[at] == 0x2D:
            inside = True
            perforation += 1
        elif _CUT.match(line, at):
            inside = True
            perforation += 2
            scissors += 2
            at += 1
        else:
            inside = False
        at += 1
    visible = last + 1
    return bool(scissors) and 8 <= visible < perforation * 3 and gap * 2 < perforation
