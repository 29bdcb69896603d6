"""Patch files as ``git am`` takes them: a file is split into mails, a mail gives what a commit needs.

Pure: bytes in, values out. The rules are git's own (2.39, with ``i18n.commitEncoding`` UTF-8 and no
other configuration), and each stands beside the function of git that it comes from: format
detection and foreign formats builtin/am.c, splitting builtin/mailsplit.c, reading mailinfo.c, the
author ident.c, the date date.c, tidying the message strbuf.c and commit.c.
"""

from __future__ import annotations

import re
import time
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from converter import date as dates
from converter.charset import UnknownCharset, repaired_utf8, to_utf8

_SPACE = b" \t\n\r"  # git's isspace() (ctype.c): no vertical tab, no form feed
_MAX_BOUNDARIES = 5  # mailinfo.h
MAX_FIELD = 1 << 20  # bytes of one header field; git has no limit, but no mail comes near


class MailError(ValueError):
    """``git am`` refuses this mail, or it needs something that srcgit does not do; says which."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What ``git am`` makes a commit of: bytes as the commit holds them (UTF-8), and the diff.

    ``date`` is git's raw form, ``1517219317 -0800``, or empty where ``git am`` would take the
    current time; ``diff`` is what ``git apply`` gets, empty where ``git am`` says "Patch is empty".
    """

    name: bytes
    email: bytes
    date: bytes
    message: bytes
    diff: bytes

    @property
    def subject(self) -> bytes:
        """The first line of the message."""
        return self.message.partition(b"\n")[0]


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of ``git am`` that change what a mail says (git-am(1))."""

    keep_cr: bool = False
    keep_subject: bool = False
    keep_non_patch: bool = False
    scissors: bool = False
    message_id: bool = False
    ignore_date: bool = False
    patch_format: str = ""


_FLAGS = {
    "--keep-cr": {"keep_cr": True},
    "--no-keep-cr": {"keep_cr": False},
    "-k": {"keep_subject": True, "keep_non_patch": False},
    "--keep": {"keep_subject": True, "keep_non_patch": False},
    "-b": {"keep_subject": False, "keep_non_patch": True},
    "--keep-non-patch": {"keep_subject": False, "keep_non_patch": True},
    "-c": {"scissors": True},
    "--scissors": {"scissors": True},
    "--no-scissors": {"scissors": False},
    "-m": {"message_id": True},
    "--message-id": {"message_id": True},
    "--no-message-id": {"message_id": False},
    "--ignore-date": {"ignore_date": True},
}
# They change the mail in ways that are not done here.
_REFUSED = ("-s", "--signoff", "--no-utf8", "--quoted-cr", "-i", "--interactive")
_BUNDLE = re.compile(r"-[bcikmqsu3]{2,}")  # flags that take no value may share a dash (gitcli(7))


@lru_cache(maxsize=64)
def _options(words: tuple[str, ...]) -> _Options:
    """Read the words of the spec's call; options that concern applying only are passed over."""
    chosen: dict[str, bool] = {}
    patch_format = ""
    flags = [
        flag
        for word in words
        for flag in ([f"-{c}" for c in word[1:]] if _BUNDLE.fullmatch(word) else [word])
    ]
    for word in flags:
        if word.partition("=")[0] in _REFUSED:
            raise MailError(f"git am {word} is not supported")
        chosen |= _FLAGS.get(word, {})
        if word.startswith("--patch-format="):
            patch_format = word.partition("=")[2]
    return _Options(**chosen, patch_format=patch_format)


# --- a file into mails ---


def split(data: bytes, options: Sequence[str] = ()) -> tuple[bytes, ...]:
    """Return the mails in a patch file, or nothing if ``git am`` does not know its format.

    Nothing thus means a raw diff. ``options`` are those of the spec's ``git am`` call; of them
    ``--keep-cr`` and ``--patch-format`` matter here. git am detects the format by its first file
    only: for the others of one call give ``--patch-format=mbox`` (or what the first one is).
    Raises MailError for a StGit series (it only names other files) and a bad Mercurial patch.
    """
    chosen = _options(tuple(options))
    form = chosen.patch_format or _patch_format(data)
    if form in ("mbox", "mboxrd"):
        return _split_mbox(data, keep_cr=chosen.keep_cr, unescape=form == "mboxrd")
    if form == "stgit":
        return (_stgit_to_mail(data),)
    if form == "hg":
        return (_mercurial_to_mail(data),)
    if form == "stgit-series":
        raise MailError("a StGit series names other files: apply those")
    if form:
        raise MailError(f"git am knows no --patch-format={form}")
    return ()


_HEADER_LINE = re.compile(rb"[!-9;-~]+:")


def _patch_format(data: bytes) -> str:
    """detect_patch_format(): mbox, stgit, stgit-series, hg, or nothing."""
    at = 0
    first, at = _line(data, at)
    while not first and at < len(data):
        first, at = _line(data, at)
    if first.startswith((b"From ", b"From: ")):
        return "mbox"
    if first.startswith(b"# This series applies on GIT commit"):
        return "stgit-series"
    if first.partition(b"\0")[0] == b"# HG changeset patch":
        return "hg"
    second, at = _line(data, at)
    third, at = _line(data, at)
    if first and not second and third.startswith((b"From:", b"Author:", b"Date:")):
        return "stgit"
    return "mbox" if first and _is_mail(data) else ""


def _is_mail(data: bytes) -> bool:
    """is_mail(): every line up to the first empty one is a header or continues one."""
    at = 0
    while at < len(data):
        line, at = _line(data, at)
        if not line:
            break
        if not line.startswith((b" ", b"\t")) and not _HEADER_LINE.match(line):
            return False
    return True


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    """strbuf_getline(): the line at ``at`` without its LF or CRLF, and where the next begins."""
    end = data.find(b"\n", at)
    if end < 0:
        return data[at:], len(data)
    return data[at : end - 1 if data[end - 1 : end] == b"\r" and end > at else end], end + 1


_LEADING_SPACE = re.compile(rb"[ \t\n\r]*")
_ESCAPED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def _split_mbox(data: bytes, *, keep_cr: bool, unescape: bool) -> tuple[bytes, ...]:
    """split_mbox() with ``-b``: mails begin at From lines, unless the first line is none."""
    skipped = _LEADING_SPACE.match(data)
    start = skipped.end() if skipped else 0
    if start == len(data):
        raise MailError("empty mbox")
    starts = [start]
    if _is_from_line(data, start):
        at = data.find(b"\nFrom ", start)
        while at >= 0:
            if _is_from_line(data, at + 1):
                starts.append(at + 1)
            at = data.find(b"\nFrom ", at + 1)
    mails = []
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        mail = data[start:end]
        if not keep_cr and b"\r\n" in mail:
            mail = mail.replace(b"\r\n", b"\n")
        if unescape:
            mail = _ESCAPED_FROM.sub(rb"\1", mail)
        if b"Mail System Internal Data" not in mail or not _is_folder_data(mail):
            mails.append(mail)
    return tuple(mails)


_YEAR = re.compile(rb"[ \t-\r]*\+?0*([0-9]+)")


def _is_from_line(data: bytes, start: int) -> bool:
    """is_from_line(): ``From `` and something that looks like a date, the year after 1990."""
    if not data.startswith(b"From ", start):
        return False
    end = data.find(b"\n", start) + 1 or len(data)
    if end - start < 20:
        return False
    colon = data.rfind(b":", start + 5, end - 2)
    # strftime's "%H:%M:%S": the hour's last digit may be missing the first
    if colon < 0 or not all(
        48 <= data[at] <= 57 for at in (colon - 4, colon - 2, colon - 1, colon + 1, colon + 2)
    ):
        return False
    year = _YEAR.match(data, colon + 3, end)
    return year is not None and (len(year[1]) > 2 or int(year[1]) > 90)


def _is_folder_data(mail: bytes) -> bool:
    """parse_mail() of am.c: "Skip pine's internal folder data"."""
    try:
        return _Reader(mail, _Options()).read().author()[0] == b"Mail System Internal Data"
    except MailError:
        return False


def _stgit_to_mail(data: bytes) -> bytes:
    """stgit_patch_to_mail(): the first line is the subject; author and date follow."""
    out: list[bytes] = []
    at = 0
    subject_seen = False
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line, at = data[at:end].partition(b"\0")[0], end + 1
        if not line.strip(_SPACE):
            continue
        if line.startswith(b"Author:"):
            out.append(b"From:" + line[7:])
        elif line.startswith((b"From", b"Date")):
            out.append(line)
        elif not subject_seen:
            out.append(b"Subject: " + line)
            subject_seen = True
        else:
            out += [b"", line]
            break
    return b"".join(line + b"\n" for line in out) + data[at:]


_HG_DATE = re.compile(rb"[ \t-\r]*\+?([0-9]{1,18}) (?:[ \t-\r]*([+-]?[0-9]{1,9}))?")


def _mercurial_to_mail(data: bytes) -> bytes:
    """hg_patch_to_mail(): "# User" and "# Date" become headers, other comments go."""
    out: list[bytes] = []
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line, at = data[at:end].partition(b"\0")[0], end + 1
        if line.startswith(b"# User "):
            out.append(b"From: " + line[7:])
        elif line.startswith(b"# Date "):
            found = _HG_DATE.fullmatch(line[7:])
            if found is None:
                raise MailError("invalid Date line in a Mercurial patch")
            out.append(b"Date: " + _mercurial_date(int(found[1]), int(found[2] or 0)))
        elif not line.startswith(b"# "):
            out += [b"", line]
            break
    return b"".join(line + b"\n" for line in out) + data[at:]


def _mercurial_date(seconds: int, west: int) -> bytes:
    """Mercurial counts a zone in seconds west of UTC, git in hours and minutes east."""
    hours, minutes = divmod(abs(west) // 60, 60)
    east = -(hours * 60 + minutes) if west > 0 else hours * 60 + minutes
    try:
        at = time.gmtime(seconds + east * 60)
    except (OverflowError, OSError, ValueError) as error:
        raise MailError("timestamp too large in a Mercurial patch") from error
    day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at.tm_wday]
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][
        at.tm_mon - 1
    ]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    zone = f"{'-' if east < 0 else '+'}{hours:02}{minutes:02}"
    return f"{day}, {at.tm_mday} {month} {at.tm_year} {clock} {zone}".encode()


# --- a mail into what a commit needs ---


def parse(mail: bytes, options: Sequence[str] = ()) -> Mail:
    """Return author, date, message and diff of one mail, as ``git am`` would commit them.

    ``mail`` comes from ``split``; ``options`` are those of the spec's own ``git am`` call. Without
    a Date field git am takes the current time: ``date`` is empty then, and the caller takes the
    pkg-git commit's. Raises MailError where git am refuses the mail (no author, a charset that
    does not fit, a date that is none) and for ``--signoff``, which needs a committer.
    """
    chosen = _options(tuple(options))
    reader = _Reader(mail, chosen).read()
    name, email = reader.author()
    raw_date = reader.date()
    date: bytes | None = b""
    if raw_date and not chosen.ignore_date:
        date = dates.parse(raw_date)
        if date is None:
            raise MailError(f"invalid date format: {_shown(raw_date)}")
    message = _tidy(reader.subject() + b"\n\n" + b"".join(reader.log))
    if b"\0" in message:
        raise MailError("a NUL byte in the commit message")
    return Mail(*_ident(name, email), date or b"", repaired_utf8(message), b"".join(reader.diff))


def _shown(text: bytes) -> str:
    return text[:80].decode("utf-8", "replace")


_BLANK_LINES = re.compile(rb"\n{3,}")


def _tidy(text: bytes) -> bytes:
    """strbuf_stripspace(): no space at line ends, no blank lines around, one between paragraphs."""
    lines = [line.rstrip(_SPACE) for line in text.split(b"\n")]
    tidied = _BLANK_LINES.sub(b"\n\n", b"\n".join(lines).strip(b"\n"))
    return tidied + b"\n" if tidied else b""


_CRUD = bytes(range(33)) + b".,:;<>\"\\'"


def _ident(name: bytes, email: bytes) -> tuple[bytes, bytes]:
    """fmt_ident() with IDENT_STRICT: no crud around a name or an address, no delimiters inside."""
    if not name:
        raise MailError(f"empty ident name (for <{_shown(email)}>) not allowed")
    if not name.strip(_CRUD):
        raise MailError(f"name consists only of disallowed characters: {_shown(name)}")
    return (
        repaired_utf8(name.strip(_CRUD).translate(None, b"\n<>")),
        repaired_utf8(email.strip(_CRUD).translate(None, b"\n<>")),
    )


_FIELD = re.compile(rb">?From |[!-9;-~]*:")  # is_rfc2822_header()
# patchbreak(): "--- " is a file's name, "---" alone the separator before notes
_PATCH_BREAK = re.compile(rb"^(?:diff -|Index: |--- (?:[^ \t\n\r]|\Z)|---[ \t\r]*\n)", re.MULTILINE)
_SEPARATOR = re.compile(rb">From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\n")
_PERSONAL = (b"from", b"subject", b"date")


class _Reader:
    """mailinfo(): reads one mail from top to bottom; what it found is in its attributes."""

    def __init__(self, mail: bytes, options: _Options) -> None:
        self.data = mail
        self.at = 0
        self.options = options
        self.fields: dict[bytes, bytes] = {}  # p_hdr_data: by lower-case name
        self.inbody: dict[bytes, bytes] = {}  # s_hdr_data: the same at the top of the body
        self.log: list[bytes] = []
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
        return _name_and_address(_SPACES.sub(b" ", value)) if value is not None else (b"", b"")

    def date(self) -> bytes:
        value = self._personal(b"date")
        return b"" if value is None else _SPACES.sub(b" ", value)

    def subject(self) -> bytes:
        value = self._personal(b"subject")
        if value is None or self.options.keep_subject:
            return value or b""
        return _SPACES.sub(b" ", _subject(value, keep_tags=self.options.keep_non_patch))

    # reading

    def read(self) -> _Reader:
        skipped = _LEADING_SPACE.match(self.data)
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
            line = self._next().rstrip(_SPACE)
            if not line or not _FIELD.match(line):
                return line + b"\n"
            if data.startswith((b" ", b"\t"), self.at):
                parts = [line]
                while data.startswith((b" ", b"\t"), self.at):
                    parts.append((b" " + self._next()[1:]).rstrip(_SPACE))
                line = b"".join(parts)
            name, colon, value = line.partition(b":")
            if colon:
                self._field(name.lower(), value, overwrite=overwrite)
        return line

    def _field(self, name: bytes, value: bytes, *, overwrite: bool) -> None:
        """check_header() for a field of the mail or of one of its parts."""
        if name in _PERSONAL:
            if overwrite or name not in self.fields:
                self.fields[name] = _decoded_field(value)
        elif name == b"content-type":
            self._content_type(_decoded_field(value))
        elif name == b"content-transfer-encoding":
            lowered = _decoded_field(value).partition(b"\0")[0].lower()
            self.encoding = next((e for e in (b"base64", b"quoted-printable") if e in lowered), b"")
        elif name == b"message-id":
            value = _decoded_field(value)
            if self.options.message_id:
                self.message_id = value.partition(b"\0")[0]

    def _content_type(self, value: bytes) -> None:
        """handle_content_type()"""
        value = value.partition(b"\0")[0]
        self.flowed = (_attribute(value, b"format=") or b"").lower() == b"flowed"
        self.delete_space = (_attribute(value, b"delsp=") or b"").lower() == b"yes"
        boundary = _attribute(value, b"boundary=")
        if boundary is not None:
            if len(self.boundaries) + 1 >= _MAX_BOUNDARIES:
                raise MailError("too many boundaries")
            self.boundaries.append(b"--" + boundary)
        self.charset = _attribute(value, b"charset=") or b""

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
            if self.in_fields or self.options.scissors or _needs_conversion(self.charset):
                return
            found = _PATCH_BREAK.search(self.data, self.at)
            if found is None:
                self.log.append(self.data[self.at :])
                self.at = len(self.data)
                return
            self.log.append(self.data[self.at : found.start()])
            self.at = found.start()
            self._break(self._next())
        self.diff.append(self.data[self.at :])
        self.at = len(self.data)

    def _encoded_line(self, line: bytes) -> None:
        """decode_transfer_encoding(), then the lines that this makes."""
        line = line.partition(b"\0")[0]
        self.held.append(_base64(line) if self.encoding == b"base64" else _quoted_printable(line))
        if b"\n" not in self.held[-1]:
            return
        lines = self._take_held().split(b"\n")
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
        line = _converted(line, self.charset)
        if self.options.scissors and _is_scissors(line):
            self.log.clear()
            self.in_fields = True
            self.inbody.clear()
        elif _PATCH_BREAK.match(line):
            self._break(line)
        else:
            self.log.append(line)

    def _break(self, line: bytes) -> None:
        """The message ends: ``line`` is the first of the patch."""
        if self.message_id is not None:
            self.log.append(b"Message-Id: %b\n" % self.message_id)
        self.diff.append(line)

    def _flush_pending(self) -> None:
        """flush_inbody_header_accum()"""
        if self.pending:
            name, _, value = b"".join(self.pending).partition(b":")
            self.pending.clear()
            self.inbody[name.lower()] = _decoded_field(value)

    def _inbody_field(self, line: bytes) -> bool:
        """check_inbody_header(): whether the line belongs to the fields at the body's top."""
        if self.pending and line.startswith((b" ", b"\t")):
            if self.options.scissors and _is_scissors(line):
                self._flush_pending()
                return False
            self.pending[-1] = self.pending[-1].removesuffix(b"\n")
            self.pending.append(line)
            return True
        self._flush_pending()
        if line.startswith(b">From") and line[5:6] in _SPACE and line[5:6]:
            return _SEPARATOR.fullmatch(line) is not None
        if line.startswith(b"[PATCH]") and line[7:8] in _SPACE and line[7:8]:
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


_SPACES = re.compile(rb"[ \t\n\r]+")  # cleanup_space()
_QUOTED = re.compile(rb"[\"(]")
_ADDRESS_END = re.compile(rb"[ \t-\r>]")
_ADDRESS_START = re.compile(rb"[ \t\n\r<]")


def _name_and_address(field: bytes) -> tuple[bytes, bytes]:
    """handle_from(): ``John Doe <john@doe>``, ``john@doe (John Doe)`` and what comes near."""
    text = _unquoted(field) if _QUOTED.search(field) else field
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
    name = _SPACES.sub(b" ", before + text[after:]).strip(_SPACE)
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
    return _sane_name(field[:opening].strip(_SPACE), email), email


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


def _subject(text: bytes, *, keep_tags: bool) -> bytes:
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
    return (b"".join(kept) + text[at:]).strip(_SPACE)


def _attribute(field: bytes, name: bytes) -> bytes | None:
    """slurp_attr(): the value after ``name``, which ends in ``=``; None where it does not occur."""
    start = field.lower().find(name)
    if start < 0:
        return None
    start += len(name)
    if field.startswith(b'"', start):
        return field[start + 1 :].partition(b'"')[0]
    return re.split(rb"[; \t]", field[start:], maxsplit=1)[0]


def _decoded_field(value: bytes) -> bytes:
    """parse_header(), decode_header(): RFC 2047's encoded words become UTF-8."""
    value = value.partition(b"\0")[0].lstrip(_SPACE)
    if len(value) > MAX_FIELD:
        raise MailError(f"a header field of more than {MAX_FIELD} bytes")
    at = value.find(b"=?")
    if at < 0:
        return value
    out = [value[:at]]
    while True:
        charset_end = value.find(b"?", at + 2)
        if charset_end < 0 or charset_end + 3 > len(value) or value[charset_end + 2] != 0x3F:
            raise MailError("broken encoded word in a header")
        end = value.find(b"?=", charset_end + 3)
        form = value[charset_end + 1 : charset_end + 2].lower()
        if end < 0 or form not in (b"b", b"q"):
            raise MailError("broken encoded word in a header")
        piece = value[charset_end + 3 : end]
        decoded = _base64(piece) if form == b"b" else _quoted_printable(piece.replace(b"_", b" "))
        out.append(_converted(decoded, value[at + 2 : charset_end]))
        at = value.find(b"=?", end + 2)
        between = value[end + 2 : at if at >= 0 else len(value)]
        if at < 0 or between.strip(_SPACE):
            out.append(between)
        if at < 0:
            return b"".join(out)


_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def _base64(text: bytes) -> bytes:
    """decode_b_segment(): anything else than its 64 characters is passed over."""
    text = text.translate(None, _NOT_BASE64)
    whole, rest = divmod(len(text), 4)
    return a2b_base64(text + b"A" * (-len(text) % 4))[: whole * 3 + max(rest - 1, 0)]


_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_SOFT_BREAK = re.compile(rb"=(?:\n|\Z)")


def _quoted_printable(text: bytes) -> bytes:
    """decode_q_segment(): what follows a soft line break is lost, ``=`` without digits is kept."""
    if b"=" not in text:
        return text
    soft = _SOFT_BREAK.search(text)
    if soft:
        text = text[: soft.start()]
    return _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), text)


def _needs_conversion(charset: bytes) -> bool:
    """same_encoding() with UTF-8 (utf8.c)"""
    return bool(charset) and charset.lower() not in (b"utf-8", b"utf8")


def _converted(text: bytes, charset: bytes) -> bytes:
    """convert_to_utf8()"""
    if not _needs_conversion(charset):
        return text
    try:
        return to_utf8(text, charset)
    except (UnknownCharset, UnicodeError) as error:
        raise MailError(f"cannot convert from {_shown(charset)} to UTF-8") from error


_CUT = re.compile(rb">8|8<|>%|%<")


def _is_scissors(line: bytes) -> bool:
    """is_scissors_line(): dashes and a pair of scissors, see git-mailinfo(1)."""
    line = line.partition(b"\0")[0].strip(_SPACE)
    if not _CUT.search(line):
        return False
    scissors = gap = perforation = at = 0
    last = 0  # of what is visible; the first half only of scissors at the end of the line
    inside = False
    while at < len(line):
        if line[at] not in _SPACE:
            last = at
        if line[at] in _SPACE:
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
