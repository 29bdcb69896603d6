"""The header of a patch file: what stands above its first diff, in whatever form (pure).

Whoever applies a patch by patch(1) or ``git apply`` doesn't read its header, so people keep what
they have there. In order of precedence:

1. what Mercurial, git, Subversion or Bazaar printed of a commit;
2. the fields of a mail that stands below other text, or that git am refuses;
3. fields as DEP-3 has them;
4. for the author alone: an entry of a ChangeLog, then the first Signed-off-by;
5. free text, as the message.

One diff of several commits has their author where all have the same one, and all their words.
What stands around the header of 1 or 2 goes below the subject, as stable kernels note a backport.
A mail that git am takes is read before all this, and where nothing names an author or a date, the
pkg-git commit that brought the patch does (``converter.commits``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from converter.mailbox.charset import repaired_utf8
from converter.mailbox.mailfields import MAX_MAILS, SPACE, MailError
from converter.mailbox.mailinfo import Options, Reader
from converter.patch_header import history
from converter.patch_header.fields import ONLY_DEP3, fields
from converter.patch_header.values import Header, author, date, message

__all__ = ["Header", "above_first_diff", "is_dep3", "read", "split"]

_SEARCHED = 1 << 20  # bytes in which the first diff is looked for
_HEADER = 1 << 16  # bytes of a header that are read
_DIFF_START = re.compile(
    rb"^(?:diff -|Index: |=== (?:added|modified|removed|renamed) |--- [^\s]|\*\*\* [^\s][^\n]*\n--- )",
    re.MULTILINE,
)
_PRINTED: tuple[Callable[[Sequence[bytes]], Header | None], ...] = (
    history.mercurial, history.git, history.subversion, history.bazaar,
)  # fmt: skip


def read(data: bytes) -> Header:
    """Return what the header of the patch ``data`` says; all of it may be empty."""
    above, first = _above(data)
    lines = [line.rstrip(SPACE) for line in above.split(b"\n")]
    header = next((found for form in _PRINTED if (found := form(lines))), None)
    if header is None:
        header = (None if is_dep3(data) else _mail(lines, first)) or fields(lines)
    told = repaired_utf8(header.message.replace(b"\0", b""))
    return replace(header, message=re.sub(rb"\n{3,}", b"\n\n", told))


def above_first_diff(data: bytes) -> bytes:
    """Return the text above the first diff of ``data``, at most 64 KiB of it."""
    return b"\n".join(line.rstrip() for line in _above(data)[0].splitlines()).strip(b"\n")


def is_dep3(data: bytes) -> bool:
    """Tell whether the first paragraph has fields that DEP-3 has and a mail has not."""
    paragraph = _above(data)[0].lstrip(SPACE).partition(b"\n\n")[0]
    return not paragraph.startswith(b"From ") and ONLY_DEP3.search(paragraph) is not None


_COMMITS = re.compile(
    rb"^(?:commit [0-9a-f]{7,64}(?: [^\n]*)?\n(?:Merge: [^\n]*\n)?Author: |# HG changeset patch\r?\n)",
    re.MULTILINE,
)


def split(data: bytes) -> tuple[bytes, ...]:
    """Return the commits that ``git log -p`` or ``hg export`` printed; (data,) for anything else.

    Only where each of them has a diff: several headers above one diff are of that diff.
    """
    starts = [found.start() for found in _COMMITS.finditer(data)]
    if not 2 <= len(starts) <= MAX_MAILS:
        return (data,)
    parts = [
        data[start:end]
        for start, end in zip([0, *starts[1:]], [*starts[1:], len(data)], strict=True)
    ]
    return tuple(parts) if all(_DIFF_START.search(part) for part in parts) else (data,)


def _above(data: bytes) -> tuple[bytes, bytes]:
    """Return what stands above the first diff, and the first lines of that."""
    start = _DIFF_START.search(data, 0, _SEARCHED)
    if start is None:
        return b"", b""
    return data[: min(start.start(), _HEADER)], data[start.start() : start.start() + 200]


_MAIL_FIELD = re.compile(
    rb"(From|Subject|Date|[A-Z][A-Za-z-]*):(?:[ \t].*)?|From [0-9a-f]{7,40} .*"
)


def _mail(lines: Sequence[bytes], first: bytes) -> Header | None:
    """The fields of a mail, wherever they begin; what stands above them is a note to its reader."""
    start = _mail_start(lines)
    if start is None:
        return None
    reader = Reader(b"\n".join(lines[start:]) + b"\n" + first, Options())
    try:
        reader.read()
        subject, when = reader.subject(), reader.date()
    except MailError:
        return None
    whole = {**reader.fields, **reader.inbody}
    who = author(whole.get(b"from", b""))
    note = b"\n".join(line for line in lines[:start] if not re.fullmatch(rb"-{2,}|~{3,}", line))
    body = b"".join(reader.log)
    told = message(subject, note, body)
    return Header(*who, date(when), told, bool(subject.strip()), complete=bool(subject and who[0]))


def _mail_start(lines: Sequence[bytes]) -> int | None:
    """Return where lines begin that are fields of a mail: an author, and a subject or a date."""
    start, names = 0, set[bytes]()
    for at, line in enumerate([*lines, b""]):
        found = _MAIL_FIELD.fullmatch(line)
        if found:
            if not names:
                start = at
            names.add(found[1] or b"")
        elif names and line[:1] in (b" ", b"\t"):
            continue  # a field that is continued
        else:
            if b"From" in names and names & {b"Subject", b"Date"}:
                return start
            names.clear()
    return None
