"""Patch files as ``git am`` takes them: a file is split into mails, a mail gives what a commit needs.

Pure: bytes in, values out. The rules are git's own (2.39, with ``i18n.commitEncoding`` UTF-8 and no
other configuration), and each stands beside the function of git that it comes from: format
detection and foreign formats builtin/am.c, splitting builtin/mailsplit.c, reading mailinfo.c, the
author ident.c, the date date.c, tidying the message strbuf.c and commit.c.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from converter.mailbox import date as dates
from converter.mailbox.charset import repaired_utf8
from converter.mailbox.mailfields import SPACE, MailError, shown
from converter.mailbox.mailinfo import Options, Reader
from converter.mailbox.mailsplit import mercurial_to_mail, patch_format, split_mbox, stgit_to_mail

__all__ = ["Mail", "MailError", "parse", "split"]


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


# ``-b`` is not among them: git am takes it as --binary, which does nothing (builtin/am.c, cmd_am();
# git-am(1) is wrong there).
_FLAGS = {
    "--keep-cr": {"keep_cr": True},
    "--no-keep-cr": {"keep_cr": False},
    "-k": {"keep_subject": True, "keep_non_patch": False},
    "--keep": {"keep_subject": True, "keep_non_patch": False},
    "--keep-non-patch": {"keep_subject": False, "keep_non_patch": True},
    "--no-keep": {"keep_subject": False, "keep_non_patch": False},
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
_BUNDLE = re.compile(r"-[bcikmnqsu3]{2,}")  # flags that take no value may share a dash (gitcli(7))


@lru_cache(maxsize=64)
def _options(words: tuple[str, ...]) -> Options:
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
    return Options(**chosen, patch_format=patch_format)


def split(
    data: bytes, options: Sequence[str] = (), *, first: bytes | None = None
) -> tuple[bytes, ...]:
    """Return the mails in a patch file, or nothing if ``git am`` does not know its format.

    Nothing thus means a raw diff. ``options`` are those of the spec's ``git am`` call; of them
    ``--keep-cr`` and ``--patch-format`` matter here. git am tells the format by the first file of a
    call (detect_patch_format()): ``first`` is the content of that one, where it is another.
    Raises MailError for a StGit series (it only names other files) and a bad Mercurial patch.
    """
    chosen = _options(tuple(options))
    form = chosen.patch_format or patch_format(data if first is None else first)
    if form in ("mbox", "mboxrd"):
        return split_mbox(data, keep_cr=chosen.keep_cr, unescape=form == "mboxrd")
    if form == "stgit":
        return (stgit_to_mail(data),)
    if form == "hg":
        return (mercurial_to_mail(data),)
    if form == "stgit-series":
        raise MailError("a StGit series names other files: apply those")
    if form:
        raise MailError(f"git am knows no --patch-format={form}")
    return ()


def parse(mail: bytes, options: Sequence[str] = ()) -> Mail:
    """Return author, date, message and diff of one mail, as ``git am`` would commit them.

    ``mail`` comes from ``split``; ``options`` are those of the spec's own ``git am`` call. Without
    a Date field git am takes the current time: ``date`` is empty then, and the caller takes the
    pkg-git commit's. Raises MailError where git am refuses the mail (no author, a charset that
    does not fit, a date that is none) and for ``--signoff``, which needs a committer.
    """
    chosen = _options(tuple(options))
    reader = Reader(mail, chosen).read()
    name, email = reader.author()
    raw_date = reader.date()
    date: bytes | None = b""
    if raw_date and not chosen.ignore_date:
        date = dates.parse(raw_date)
        if date is None:
            raise MailError(f"invalid date format: {shown(raw_date)}")
    message = _tidy(reader.subject() + b"\n\n" + b"".join(reader.log))
    if b"\0" in message:
        raise MailError("a NUL byte in the commit message")
    return Mail(*_ident(name, email), date or b"", repaired_utf8(message), b"".join(reader.diff))


_BLANK_LINES = re.compile(rb"\n{3,}")


def _tidy(text: bytes) -> bytes:
    """strbuf_stripspace(): no space at line ends, no blank lines around, one between paragraphs."""
    lines = [line.rstrip(SPACE) for line in text.split(b"\n")]
    tidied = _BLANK_LINES.sub(b"\n\n", b"\n".join(lines).strip(b"\n"))
    return tidied + b"\n" if tidied else b""


_CRUD = bytes(range(33)) + b".,:;<>\"\\'"


def _ident(name: bytes, email: bytes) -> tuple[bytes, bytes]:
    """fmt_ident() with IDENT_STRICT: no crud around a name or an address, no delimiters inside."""
    if not name:
        raise MailError(f"empty ident name (for <{shown(email)}>) not allowed")
    if not name.strip(_CRUD):
        raise MailError(f"name consists only of disallowed characters: {shown(name)}")
    return (
        repaired_utf8(name.strip(_CRUD).translate(None, b"\n<>")),
        repaired_utf8(email.strip(_CRUD).translate(None, b"\n<>")),
    )
