"""Bytes -> FilePatch, Hunk: unified and git extended diffs, binary patches (pure).

What a diff is depends on who reads it: patch(1) finds diffs in indented text and skips lines that
begin with ``#``; git wants ``diff --git`` or a complete header, and refuses what is damaged. So
there are two readers, each after its tool's own: GNU patch 2.7.6 (src/pch.c) and git 2.39
(apply.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converter.engine.binary import Binary


class DiffError(ValueError):
    """The diff is malformed, or of a kind that is not supported."""


@dataclass(slots=True)
class Hunk:
    """One hunk. Lines keep their sign and, unless the file ends without one, their newline."""

    at: int  # line of the patch file
    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: list[bytes]
    prefix: int = 0  # lines of context before the first change
    suffix: int = 0  # and after the last one
    complete: bool = True  # every line ends in a newline
    # the hunk that undoes this one, where the sides do not share their context
    back: Hunk | None = field(default=None, repr=False, compare=False)

    def swapped(self) -> Hunk:
        """Return the hunk that undoes this one."""
        if self.back is not None:
            return self.back
        lines = [_SWAP[line[:1]] + line[1:] for line in self.lines]
        return Hunk(
            self.at,
            self.new_start,
            self.new_count,
            self.old_start,
            self.old_count,
            lines,
            self.prefix,
            self.suffix,
            self.complete,
        )

    @property
    def old(self) -> bytes:
        return b"".join([line[1:] for line in self.lines if line[:1] != b"+"])

    @property
    def new(self) -> bytes:
        return b"".join([line[1:] for line in self.lines if line[:1] != b"-"])


_SWAP = {b" ": b" ", b"+": b"-", b"-": b"+"}


@dataclass(slots=True)
class FilePatch:
    """The diff of one file: names as the headers have them, stripped; None for /dev/null.

    For git, ``is_new`` and ``is_delete`` are None where a traditional header does not say.
    For patch(1), ``nonexistent`` holds what it makes of each side: 0 exists, 1 probably empty,
    2 absent (src/pch.c, p_says_nonexistent).
    """

    at: int
    old: bytes | None = None
    new: bytes | None = None
    git: bool = False
    index: bytes | None = None  # of an ``Index:`` line
    prereq: bytes = b""  # a word that patch(1) wants to see in the file
    old_mode: int = 0
    new_mode: int = 0
    old_id: bytes = b""
    new_id: bytes = b""
    is_new: bool | None = False
    is_delete: bool | None = False
    rename: bool = False
    copy: bool = False
    nonexistent: tuple[int, int] = (0, 0)
    hunks: list[Hunk] = field(default_factory=list)
    binary: tuple[Binary | None, Binary | None] | None = None
    is_binary: bool = False
    trouble: str = ""  # why this file cannot be patched, known before anything is tried


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines with their newlines; only LF ends a line."""
    return BytesIO(data).readlines()


# -- names ---------------------------------------------------------------------------------

_OCTAL = re.compile(rb"[0-3][0-7]{2}")
_ESCAPES = {97: 7, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11, 92: 92, 34: 34}


def unquote(text: bytes) -> tuple[bytes, bytes] | None:
    """Read a C-style quoted name; return it and the rest. None if it is malformed.

    git: quote.c, unquote_c_style; patch: src/util.c, parse_c_string.
    """
    out = bytearray()
    position = 1
    while position < len(text):
        char = text[position]
        position += 1
        if char == 34:
            return bytes(out), text[position:]
        if char != 92:
            out.append(char)
            continue
        octal = _OCTAL.match(text, position)
        if octal:
            out.append(int(octal[0], 8))
            position += 3
        elif position < len(text) and text[position] in _ESCAPES:
            out.append(_ESCAPES[text[position]])
            position += 1
        else:
            return None
    return None


# -- hunks ---------------------------------------------------------------------------------


def numbers(header: re.Match[bytes]) -> tuple[int, int, int, int]:
    """Return start and count of both sides. Raises DiffError for more than 18 digits."""
    start, count, new_start, new_count = header.groups()
    if max(len(start), len(count or b""), len(new_start), len(new_count or b"")) > 18:
        raise DiffError("a line number that no file has")
    return (
        int(start),
        1 if count is None else int(count),
        int(new_start),
        1 if new_count is None else int(new_count),
    )
