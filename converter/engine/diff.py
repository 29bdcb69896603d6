"""Bytes -> FilePatch, Hunk: unified and git extended diffs, binary patches (pure).

What a diff is depends on who reads it: patch(1) finds diffs in indented text and skips lines that
begin with ``#``; git wants ``diff --git`` or a complete header, and refuses what is damaged. So
there are two readers, each after its tool's own: GNU patch 2.7.6 (src/pch.c) and git 2.39
(apply.c).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import accumulate, islice
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from converter.engine.binary import Binary


class DiffError(ValueError):
    """The diff is malformed, or of a kind that is not supported."""


class Lines(Sequence[bytes]):
    """The lines of a text with their newlines, cut out as they are asked for; only LF ends one.

    An object for each line of a large patch would take several times its size.
    """

    __slots__ = ("data", "signs", "starts")

    def __init__(self, data: bytes) -> None:
        self.data = data
        # Where each line begins and the last one ends, and the first byte of each.
        self.starts = array("I", accumulate(map(len, BytesIO(data)), initial=0))
        self.signs = bytes(map(data.__getitem__, self.starts[:-1]))

    def __len__(self) -> int:
        return len(self.signs)

    def __iter__(self) -> Iterator[bytes]:
        return iter(BytesIO(self.text(0, len(self))))

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[line] for line in range(*at.indices(len(self)))]
        if at < 0:
            at += len(self)
        return self.data[self.starts[at] : self.starts[at + 1]]

    def text(self, first: int, stop: int) -> bytes:
        """Return the text of the lines from ``first`` up to ``stop``, that left out."""
        return self.data[self.starts[first] : self.starts[stop]]

    def left(self, at: int) -> int:
        """Return how many bytes there are from line ``at`` to the end."""
        return self.starts[-1] - self.starts[at]

    def part(self, first: int, stop: int) -> Lines:
        """Return the lines from ``first`` up to ``stop``; the text behind them is shared."""
        part = Lines.__new__(Lines)
        part.data = self.data
        part.starts = self.starts[first : stop + 1]
        part.signs = self.signs[first:stop]
        return part

    def hunk(self, first: int, old_start: int, old: int, new_start: int, new: int) -> Hunk | None:
        """Return the hunk whose lines begin at line ``first``, as its header counts them.

        None where they are not plain ones: other signs than those of context and changes, and
        lines without a newline, are the readers' own affair.
        """
        stop, old_left, new_left = first, old, new
        while old_left or new_left:
            least = max(old_left, new_left)  # lines that are still to come
            more = self.signs[stop : stop + least]
            stop += least
            context, removed, added = more.count(b" "), more.count(b"-"), more.count(b"+")
            old_left -= context + removed
            new_left -= context + added
            if old_left < 0 or new_left < 0 or context + removed + added != least:
                return None
        signs = self.signs[first:stop]
        prefix = len(signs) - len(signs.lstrip(b" "))
        end = self.starts[stop]
        if prefix == len(signs) or self.data[end - 1] != 10 or self.data[end : end + 1] == b"\\":
            return None
        suffix = len(signs) - len(signs.rstrip(b" "))
        lines = self.part(first, stop)
        return Hunk(first, old_start, old, new_start, new, lines, prefix, suffix)

    def sides(self) -> tuple[bytes, bytes]:
        """Return the lines of the old and of the new side of a hunk that these are, unsigned."""
        old, new = [], []
        first = 0
        for run in _RUN.findall(self.signs):
            stop = first + len(run)
            text = self.data[self.starts[first] + 1 : self.starts[stop]]
            sign = run[:1]
            if len(run) > 1:
                text = text.replace(b"\n" + sign, b"\n")
            if sign != b"+":
                old.append(text)
            if sign != b"-":
                new.append(text)
            first = stop
        return b"".join(old), b"".join(new)


_RUN = re.compile(rb" +|-+|\++")


@dataclass(slots=True)
class Hunk:
    """One hunk. Lines keep their sign and, unless the file ends without one, their newline.

    Where all of them end in one, the counts are those of the lines.
    """

    at: int  # line of the patch file
    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: Sequence[bytes]
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

    def sides(self) -> tuple[bytes, bytes]:
        """Return what the hunk takes and what it leaves, context included."""
        if isinstance(self.lines, Lines):
            return self.lines.sides()
        old = [line[1:] for line in self.lines if line[:1] != b"+"]
        new = [line[1:] for line in self.lines if line[:1] != b"-"]
        return b"".join(old), b"".join(new)


_SWAP = {b" ": b" ", b"+": b"-", b"-": b"+"}


MOST_KEPT = 100_000  # lines of hunks, of one diff; others are read again as they are applied


class Reread(Sequence[Hunk]):
    """The hunks of one file, read anew each time: so many that memory would not hold them."""

    def __init__(self, count: int, read: Callable[[], Iterator[Hunk]]) -> None:
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Hunk]:
        return self._read()

    @overload
    def __getitem__(self, at: int) -> Hunk: ...
    @overload
    def __getitem__(self, at: slice) -> list[Hunk]: ...
    def __getitem__(self, at: int | slice) -> Hunk | list[Hunk]:
        if isinstance(at, slice):
            return list(islice(self._read(), *at.indices(len(self))))
        return next(islice(self._read(), range(len(self))[at], None))


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
    hunks: Sequence[Hunk] = ()
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
