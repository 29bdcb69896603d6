"""Headers that people write: fields as DEP-3 has them, and free text (pure).

DEP-3, https://dep-team.pages.debian.net/deps/dep3/: fields stand in a paragraph of their own, may
be continued, and free text around them belongs to the description. The readers get the lines above
the first diff, without their ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from converter.mailbox.mailfields import MailError, decoded, subject_text
from converter.patch_header.values import Header, author, date, is_title, message

_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9()_-]*(?: [A-Za-z()]+)?):(?:[ \t]+(.*)|)")
_SUBJECT = (b"description", b"subject", b"short description")
_AUTHOR = (b"author", b"from", b"author(s)", b"authors")
_DATE = (b"date", b"last-update")
# Fields of DEP-3 that no mail has.
ONLY_DEP3 = re.compile(
    rb"^(?:Description|Origin|Bug|Bug-[A-Za-z]+|Forwarded|Applied-Upstream|Last-Update|Author):[ \t]",
    re.IGNORECASE | re.MULTILINE,
)
_KNOWN = re.compile(
    rb"description|subject|short description|author(?:s|\(s\))?|from|date|origin|bug|bug-[a-z]+"
    rb"|forwarded|applied-upstream|last-update",
    re.IGNORECASE,
)
# GNU's ChangeLog: "2017-02-25  Jakub Jelinek  <jakub@redhat.com>"
_CHANGELOG = re.compile(rb"(\d{4}-\d\d-\d\d)  ?(\S.{0,200})")
_SIGNED_OFF = re.compile(rb"\s{0,4}Signed-off-by:[ \t]*(\S.{0,500})", re.IGNORECASE)
# What diff, git and debdiff print, and svn's line of equals signs: no words on the change.
_NOISE = re.compile(
    rb"Only in .*: .*|only in patch\d:|unchanged:|={20,}|~~~"
    rb"| \S.{0,500} \| +(?:\d+|Bin)\b.*| \d+ files? changed.*|\$ (?:git|svn|hg|diff)\b.*"
)


def fields(lines: Sequence[bytes]) -> Header:
    """Return what fields and free text say; a Header without anything where there are none."""
    before = _before_separator(lines)
    bare = [line for line in before if line.strip()]
    if bare and all(line.startswith(b"#") for line in bare):  # patch(1) passes over such lines
        before = [line.removeprefix(b"#").removeprefix(b" ") for line in before]
    told: dict[bytes, list[bytes]] = {}
    kept: list[bytes] = []  # of the fields: those that stay in the message
    texts: list[bytes] = []
    for paragraph in _paragraphs(line for line in before if not _NOISE.fullmatch(line)):
        found = _fields_of(paragraph)
        if found is None:
            texts.append(b"\n".join(paragraph))
            continue
        for name, value in found:
            known = name.lower()
            if known in (*_SUBJECT, *_AUTHOR, *_DATE):
                told.setdefault(known, []).append(value)
            else:
                kept.append(b"%s: %s" % (name, value))
    described = next((told[name][0] for name in _SUBJECT if name in told), b"")
    if b"subject" in told:  # a mail's field goes on in the next line
        described = described.replace(b"\n", b"")
    subject, _, more = described.strip().partition(b"\n")
    subject = _subject(subject)
    titled = bool(subject)
    if not subject and texts and _is_title(texts[0]):
        subject, titled = b" ".join(texts.pop(0).split(b"\n")), True  # as git shows it
    who = next((a for name in _AUTHOR for value in told.get(name, ()) if (a := author(value))[0]),
               (b"", b""))  # fmt: skip
    when = next((d for name in _DATE for value in told.get(name, ()) if (d := date(value))), b"")
    if not who[0]:
        who, changed = _attributed(lines)
        when = when or changed
    text = message(subject, _described(more), *texts, b"\n".join(kept))
    return Header(*who, when, text, titled, complete=bool(told and titled and who[0]))


def _before_separator(lines: Sequence[bytes]) -> Sequence[bytes]:
    """Return the lines above "---": below it stand notes that are no part of the message."""
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    end = next((n for n, line in enumerate(lines) if line == b"---" and n > first), len(lines))
    return lines[:end]


def _paragraphs(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    paragraph: list[bytes] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph


def _fields_of(paragraph: Sequence[bytes]) -> list[tuple[bytes, bytes]] | None:
    """Return names and values of a paragraph that is made of fields; None for text."""
    found: list[tuple[bytes, list[bytes]]] = []
    for line in paragraph:
        if field := _FIELD.fullmatch(line):
            found.append((field[1], [field[2] or b""]))
        elif found and line[:1] in b" \t":
            found[-1][1].append(line)
        else:
            return None
    if not any(_KNOWN.fullmatch(name) for name, _ in found):
        return None
    return [(name, b"\n".join(parts)) for name, parts in found]


def _described(text: bytes) -> bytes:
    """Return the lines of a Description behind the first: less their blank, "." is an empty one."""
    lines = [line[1:] if line[:1] in b" \t" else line for line in text.split(b"\n")]
    return b"\n".join(b"" if line == b"." else line for line in lines)


def _subject(field: bytes) -> bytes:
    try:
        return subject_text(decoded(field), keep_tags=False)
    except MailError:
        return field.strip()


def _is_title(paragraph: bytes) -> bool:
    """Tell whether a paragraph can be a commit's title."""
    return is_title(paragraph) and not _CHANGELOG.match(paragraph)


def _attributed(lines: Sequence[bytes]) -> tuple[tuple[bytes, bytes], bytes]:
    """Return who an entry of a ChangeLog is of, and its date; else who signed off first."""
    for line in lines:
        found = _CHANGELOG.fullmatch(line)
        if found and b"@" in found[2] and (day := date(found[1])):
            return author(found[2]), day
    for line in lines:
        if signed := _SIGNED_OFF.fullmatch(line):
            return author(signed[1]), b""
    return (b"", b""), b""
