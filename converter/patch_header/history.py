"""Headers that version control systems print: git, Mercurial, Subversion, Bazaar (pure).

Each reader gets the lines above the first diff, without their ends, and returns a Header or None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from converter.patch_header.values import Header, author, date, is_title, mercurial_date, message

_COMMIT = re.compile(rb"commit ([0-9a-f]{7,64})(?: .*)?")
_GIT_FIELD = re.compile(
    rb"(Author|AuthorDate|Commit|CommitDate|Date|Merge|Reflog|Reflog message"
    rb"|tree|parent|author|committer|gpgsig|encoding)(?::[ \t]+|[ \t]+)(\S.*)"
)
_RAW = re.compile(rb"(.*) (\d{1,10}) ([+-]\d{4})")  # git cat-file commit


def git(lines: Sequence[bytes]) -> Header | None:
    """``git show``, ``git log -p`` in all formats of --pretty that name the author."""
    commits = []
    at = 0
    while at < len(lines):
        begun, at = at, at + 1
        if lines[begun].startswith((b"commit ", b"Author: ")):
            header, at = _git_fields(lines, begun)
            if header is not None:
                commits.append((begun, header, at))
    if not commits:
        return None
    start, header, end = commits[0]
    above = b"\n".join(lines[:start])
    if len(commits) > 1:  # one diff of several commits: the message names them all
        told = message(b"\n".join(lines))
        if len({(each.name, each.email) for _, each, _ in commits}) > 1:
            return Header(message=told, titled=is_title(above))  # nobody of them made that diff
        return replace(header, commit="", message=told, titled=is_title(above))
    subject_and_body, below = _indented(lines[end:])
    subject, _, body = subject_and_body.partition(b"\n")
    if not subject:
        return replace(header, message=message(above, below), titled=is_title(above))
    return replace(header, message=message(subject, above, body, below))


def _git_fields(lines: Sequence[bytes], at: int) -> tuple[Header | None, int]:
    """Return what the fields of a commit that begins at ``at`` say, and where they end."""
    found = _COMMIT.fullmatch(lines[at])
    fields: dict[bytes, bytes] = {}
    end = at + (found is not None)
    while end < len(lines) and (field := _GIT_FIELD.fullmatch(lines[end])):
        fields.setdefault(field[1], field[2])
        end += 1
    if raw := _RAW.fullmatch(fields.get(b"author", b"")):
        who, when = raw[1], raw[2] + b" " + raw[3]
    else:
        who = fields.get(b"Author", b"")
        when = date(fields.get(b"AuthorDate", fields.get(b"Date", b"")))
    # Without "commit" above it, an author alone may be a field of DEP-3.
    if not who or (found is None and not when):
        return None, max(end, at + 1)
    commit = found[1].decode() if found else ""
    return Header(*author(who), when, commit=commit, complete=True), end


def _indented(lines: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the message, which git indents by four blanks, and what stands below it."""
    end = 0
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(b"    ")):
        end += 1
    if not any(line.strip() for line in lines[:end]):  # somebody took the blanks away
        return b"\n".join(lines).strip(), b""
    return (
        b"\n".join(line[4:] for line in lines[:end]).strip(b"\n"),
        b"\n".join(lines[end:]).strip(b"\n"),
    )


_CHANGESET = b"# HG changeset patch"


def mercurial(lines: Sequence[bytes]) -> Header | None:
    """``hg export``, patches of Mercurial's queues; User and Date may be missing."""
    start = next((at for at, line in enumerate(lines) if line == _CHANGESET), None)
    if start is None:
        return None
    fields: dict[bytes, bytes] = {}
    end = start + 1
    while end < len(lines) and lines[end].startswith(b"#"):
        name, _, value = lines[end].removeprefix(b"# ").partition(b" ")
        fields.setdefault(name, value)
        end += 1
    subject, _, body = b"\n".join(lines[end:]).strip(b"\n").partition(b"\n")
    told = message(subject, b"\n".join(lines[:start]), body)
    who = author(fields[b"User"]) if b"User" in fields else (b"", b"")
    node = fields.get(b"Node", b"").removeprefix(b"ID ").strip()
    commit = node.decode() if re.fullmatch(rb"[0-9a-f]{12,40}", node) else ""
    when = mercurial_date(fields.get(b"Date", b""))
    return Header(*who, when, told, commit=commit, complete=bool(subject and who[0]))


_SVN = re.compile(
    rb"r\d+ \| ([^|]{1,200}) \| (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) \([^|]*\)"
    rb"(?: \| \d+ lines?)?"
)
_RULE = re.compile(rb"-{20,}")


def subversion(lines: Sequence[bytes]) -> Header | None:
    """``svn log --diff``, and a log entry above the output of ``svn diff``."""
    at, found = next(
        ((n, found) for n, line in enumerate(lines) if (found := _SVN.fullmatch(line))), (0, None)
    )
    if found is None:
        return None
    end = next((n for n in range(at, len(lines)) if _RULE.fullmatch(lines[n])), len(lines))
    body = lines[at + 1 : end]
    if body and body[0].startswith(b"Changed paths:"):
        body = body[next((n for n, line in enumerate(body) if not line), len(body)) :]
    subject, _, rest = b"\n".join(body).strip(b"\n").partition(b"\n")
    above = b"\n".join(line for line in lines[:at] if not _RULE.fullmatch(line))
    told = message(subject, above, rest, b"\n".join(lines[end + 1 :]))
    return Header(*author(found[1]), date(found[2]), told, complete=bool(subject))


_BZR_LOG = re.compile(
    rb"(author|authors|committer|timestamp|message|revno|tags|branch nick|fixes bugs?"
    rb"|revision-id|parent|merged):(?: (.*))?"
)
_BZR_DIRECTIVE = re.compile(rb"# (revision_id|timestamp|message|author|committer): ?(.*)")


def bazaar(lines: Sequence[bytes]) -> Header | None:
    """``bzr log`` above a diff, ``bzr send`` and bundles."""
    if any(line.startswith((b"# Bazaar merge directive", b"# Bazaar revision bundle"))
           for line in lines):  # fmt: skip
        return _directive(lines)
    fields: dict[bytes, bytes] = {}
    start = next((n for n, line in enumerate(lines) if line.startswith(b"revno: ")), None)
    if start is None:
        return None
    end = start
    while end < len(lines) and (found := _BZR_LOG.fullmatch(lines[end])):
        fields.setdefault(found[1], found[2] or b"")
        end += 1
        if found[1] == b"message":
            break
    who = fields.get(b"author") or fields.get(b"authors") or fields.get(b"committer")
    if not who or b"timestamp" not in fields:
        return None
    body = lines[end:]
    stop = next((n for n, line in enumerate(body) if _RULE.fullmatch(line)), len(body))
    told = b"\n".join(line.removeprefix(b"  ") for line in body[:stop]).strip(b"\n")
    subject, _, rest = told.partition(b"\n")
    above = b"\n".join(line for line in lines[:start] if not _RULE.fullmatch(line))
    return Header(
        *author(who), date(fields[b"timestamp"]), message(subject, above, rest),
        complete=bool(subject),
    )  # fmt: skip


def _directive(lines: Sequence[bytes]) -> Header | None:
    fields: dict[bytes, bytes] = {}
    name = b""
    for line in lines:
        if found := _BZR_DIRECTIVE.fullmatch(line):
            name = found[1]
            fields.setdefault(name, found[2])
        elif name == b"message" and line.startswith(b"#   "):
            fields[name] += b"\n" + line.removeprefix(b"#   ")
        else:
            name = b""
    who = fields.get(b"author") or fields.get(b"committer")
    if not who and (found := re.match(rb"(.+)-\d{14}-\w+\Z", fields.get(b"revision_id", b""))):
        who = found[1]  # the address is the beginning of a revision's id
    subject, _, rest = fields.get(b"message", b"").strip(b"\n").partition(b"\n")
    name_and_email = author(who) if who else (b"", b"")
    when = date(fields.get(b"timestamp", b""))
    return Header(*name_and_email, when, message(subject, rest), complete=bool(subject and who))
