"""What git's objects say, as values: who and when, a commit, an entry of a tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and when, as a commit object states it."""

    name: bytes
    email: bytes
    date: bytes  # git's raw form: b"1517219317 -0800"

    def __bytes__(self) -> bytes:
        return b"%s <%s> %s" % (self.name, self.email, self.date)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, read; ids are 40 hexadecimal digits, the message is as the commit holds it."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    message: bytes

    @property
    def subject(self) -> bytes:
        return self.message.split(b"\n", 1)[0]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a tree: its path, git's mode (0o100644, ...) and its object id."""

    path: bytes
    mode: int
    id: str
