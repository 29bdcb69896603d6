"""A patch file becomes drafts of commits: who, when, what it says, and which diff (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from converter.mailbox import mail
from converter.mailbox.mail import Mail, MailError
from converter.mailbox.mailfields import SPACE
from converter.objects import Identity
from converter.pkggit import Origin
from specparse.plan import Step

_DIFF_START = re.compile(rb"^(?:diff -|Index: |--- [^\s])", re.MULTILINE)


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


def drafts(
    step: Step,
    data: bytes,
    origin: Callable[[], Origin],
    notes: str = "",
    *,
    first: bytes | None = None,
) -> tuple[Draft, ...]:
    """Return the commits that the patch file ``data`` stands for.

    A mail gives its own author, date and message, as git am records them; several mails in a file
    give several commits. A raw diff takes author and date from ``origin``, the pkg-git commit that
    introduced this content, and its subject from the file name; ``notes`` end its message. Few
    mails need an origin, which has to be waited for.
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
    try:
        mails = () if step.reverse else mail.split(data, ("--keep-cr",))
        parsed = [mail.parse(raw) for raw in mails]
    except MailError:  # patch(1) does not read the mail, so it cannot be at fault there
        parsed = []
    if not parsed or not all(m.email and m.message.strip() for m in parsed):
        return (_from_diff(step, data, origin, notes),)
    diffs: Sequence[bytes] = mails if len(mails) > 1 else (data,)
    return tuple(_from_mail(m, origin, diff) for m, diff in zip(parsed, diffs, strict=True))


def as_one(step: Step, data: bytes, origin: Callable[[], Origin], why: str) -> Draft:
    """Return one draft for a file whose mails, taken one by one, do not add up to the whole."""
    return _from_diff(step, data, origin, why)


def _from_mail(parsed: Mail, origin: Callable[[], Origin], diff: bytes | None = None) -> Draft:
    author = Identity(parsed.name, parsed.email, parsed.date or origin().author.date)
    return Draft(author, parsed.message, parsed.diff if diff is None else diff)


def _from_diff(step: Step, data: bytes, from_: Callable[[], Origin], notes: str) -> Draft:
    origin = from_()
    name = step.patch.rpartition(b"/")[2]
    subject = re.sub(rb"\.(?:patch|diff)(?:\.(?:gz|bz2|xz|zst))?$", b"", name) or name
    number = b" (Patch%d)" % step.number if step.number is not None else b""
    how = b"taken out again with -R" if step.reverse else b"a plain diff without author or message"
    whose = (
        b"\nAuthor and date are those of pkg-git commit %s,\nwhich introduced it."
        % origin.commit[:12].encode()
        if origin.commit
        else b"\nAuthor and date are those of %s." % origin.told_by.encode() * bool(origin.told_by)
    )
    paragraphs = [
        b'Revert "%s"' % subject if step.reverse else subject,
        b"%s%s is %s." % (name, number, how) + whose,
        b"" if step.reverse else _prose(data),
        notes.encode().strip(),
    ]
    message = b"\n\n".join(part for part in paragraphs if part) + b"\n"
    return Draft(origin.author, _printable(message), data)


def _prose(data: bytes) -> bytes:
    """Return the text that stands before the first diff, at most 64 KiB of it."""
    start = _DIFF_START.search(data, 0, 1 << 20)
    head = data[: start.start()] if start else b""
    lines = [line.rstrip() for line in head[: 1 << 16].splitlines()]
    return b"\n".join(lines).strip(b"\n")


def _printable(message: bytes) -> bytes:
    """Make ``message`` fit a commit object: UTF-8, no NUL."""
    return message.replace(b"\0", b"").decode("utf-8", "replace").encode()
