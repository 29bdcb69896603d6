"""A patch file into mails: git am's format detection and git mailsplit (pure)."""

from __future__ import annotations

import re
import time

from converter.mailbox.mailfields import MAX_MAILS, SPACE, MailError
from converter.mailbox.mailinfo import LEADING_SPACE, Options, Reader

_HEADER_LINE = re.compile(rb"[!-9;-~]+:")


def patch_format(data: bytes) -> str:
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


_ESCAPED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def split_mbox(data: bytes, *, keep_cr: bool, unescape: bool) -> tuple[bytes, ...]:
    """split_mbox() with ``-b``: mails begin at From lines, unless the first line is none."""
    skipped = LEADING_SPACE.match(data)
    start = skipped.end() if skipped else 0
    if start == len(data):
        raise MailError("empty mbox")
    starts = [start]
    if _is_from_line(data, start):
        at = data.find(b"\nFrom ", start)
        while at >= 0:
            if _is_from_line(data, at + 1):
                starts.append(at + 1)
                if len(starts) > MAX_MAILS:
                    raise MailError(f"more than {MAX_MAILS} mails")
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
        return Reader(mail, Options()).read().author()[0] == b"Mail System Internal Data"
    except MailError:
        return False


def stgit_to_mail(data: bytes) -> bytes:
    """stgit_patch_to_mail(): the first line is the subject; author and date follow."""
    out: list[bytes] = []
    at = 0
    subject_seen = False
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line, at = data[at:end].partition(b"\0")[0], end + 1
        if not line.strip(SPACE):
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


def mercurial_to_mail(data: bytes) -> bytes:
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
    """hg_patch_to_mail() of am.c: seconds west of UTC become git's hours and minutes east."""
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
