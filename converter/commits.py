"""A patch file becomes drafts of commits: who, when, what it says, and which diff (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from converter.mailbox import mail
from converter.mailbox.charset import repaired_utf8
from converter.mailbox.mail import Mail, MailError
from converter.mailbox.mailfields import SPACE
from converter.objects import Identity
from converter.patch_header import header
from converter.patch_header.header import Header
from converter.pkggit import Origin
from specparse.plan import Step


@dataclass(frozen=True, slots=True)
class Draft:
    """A commit to be: everything but its tree and its parent."""

    author: Identity
    message: bytes
    diff: bytes
    source: str = ""  # the commit that it is a copy of, where there is one

    @property
    def subject(self) -> bytes:
        return self.message.split(b"\n", 1)[0]


@dataclass(frozen=True, slots=True)
class Notes:
    """What is known of a patch beside its file."""

    comment: str = ""  # of the spec, above the line that declares it
    contents: str = ""  # the list of a monolith's commits


def drafts(
    step: Step,
    data: bytes,
    origin: Callable[[], Origin],
    notes: Notes = Notes(),
    *,
    first: bytes | None = None,
) -> tuple[Draft, ...]:
    """Return the commits that the patch file ``data`` stands for.

    A mail gives its own author, date and message, as git am records them; several mails in a file
    give several commits. Any other patch gives what its header says (``converter.patch_header``,
    which has the order of precedence). Author and date that it lacks are those of ``origin``, the
    pkg-git commit that introduced this content; a subject that it lacks is the file's name. Few
    patches need an origin, which has to be waited for.
    A patch that is taken out with -R is its packager's act, whatever its header says.
    ``first`` is the content of the first file of the git am call, where this one is another.
    Raises MailError where git am itself would refuse the file.
    """
    if step.tool == "git-am":
        if step.format_of == b"-" and not data.strip(SPACE):
            return ()  # builtin/mailsplit.c, split_mbox: "empty stdin is OK"
        mails = mail.split(data, step.options, first=first)
        if not mails:
            raise MailError("Patch format detection failed")
        return tuple(_from_mail(mail.parse(raw, step.options), origin) for raw in mails)
    if step.reverse:
        return (_from_diff(step, data, origin, notes, Header()),)
    try:
        mails = mail.split(data, ("--keep-cr",))
        parsed = [mail.parse(raw) for raw in mails]
    except MailError:  # patch(1) does not read the mail, so it cannot be at fault there
        parsed = []
    if parsed and all(m.message.strip() for m in parsed) and not header.is_dep3(data):
        diffs: Sequence[bytes] = mails if len(mails) > 1 else (data,)
        return tuple(_from_mail(m, origin, diff) for m, diff in zip(parsed, diffs, strict=True))
    parts = header.split(data)
    return tuple(_from_diff(step, part, origin, notes, header.read(part)) for part in parts)


def as_one(step: Step, data: bytes, origin: Callable[[], Origin], why: str) -> Draft:
    """Return one draft for a file whose commits, taken one by one, do not add up to the whole."""
    told = Header(message=header.above_first_diff(data), titled=False)
    return _from_diff(step, data, origin, Notes(contents=why), told)


def _from_mail(parsed: Mail, origin: Callable[[], Origin], diff: bytes | None = None) -> Draft:
    author = Identity(parsed.name, parsed.email, parsed.date or origin().author.date)
    return Draft(author, parsed.message, parsed.diff if diff is None else diff)


def _from_diff(
    step: Step, data: bytes, from_: Callable[[], Origin], notes: Notes, told: Header
) -> Draft:
    name = step.patch.rpartition(b"/")[2]
    named = re.sub(rb"\.(?:patch|diff)(?:\.(?:gz|bz2|xz|zst))?$", b"", name) or name
    if told.name and told.date:
        author = Identity(told.name, told.email, told.date)
    else:
        known = from_().author
        author = Identity(
            *((told.name, told.email) if told.name else (known.name, known.email)),
            told.date or known.date,
        )
    paragraphs = [
        b"" if told.titled and told.message else b'Revert "%s"' % named if step.reverse else named,
        told.message.strip(b"\n"),
        b"" if told.complete else notes.comment.encode().strip(),
        b"" if told.message or told.name else _who_told(step, name, from_()),
        notes.contents.encode().strip(),
    ]
    message = b"\n\n".join(part for part in paragraphs if part) + b"\n"
    return Draft(author, repaired_utf8(message.replace(b"\0", b"")), data, told.commit)


def _who_told(step: Step, name: bytes, origin: Origin) -> bytes:
    """Return what the file is, and whose author and date these are, where it does not say so."""
    number = b" (Patch%d)" % step.number if step.number is not None else b""
    how = b"taken out again with -R" if step.reverse else b"a plain diff without author or message"
    whose = (
        b"\n%s pkg-git commit %s,\nwhich introduced it."
        % (origin.told_by.encode() or b"Author and date are those of", origin.commit[:12].encode())
        if origin.commit
        else b"\nAuthor and date are those of %s." % origin.told_by.encode() * bool(origin.told_by)
    )
    return b"%s%s is %s." % (name, number, how) + whose
