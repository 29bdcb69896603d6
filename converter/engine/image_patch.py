"""A file as GNU patch 2.7.6 changes it: where each hunk fits, and what is written (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from converter.engine.apply import Refused
from converter.engine.diff import Hunk, split_lines
from converter.engine.place import Text


class Sought:
    """A hunk, ready to be found: what it expects, as bytes and as numbers of lines."""

    def __init__(self, hunk: Hunk, loose: bool) -> None:
        self.hunk = hunk
        self.block, self.new = hunk.sides()
        self._lines: list[bytes] | None = None  # where they are not just those of the block
        self._whole = hunk.complete or loose
        if loose or not hunk.complete:
            self._lines = [line[1:] for line in hunk.lines if line[:1] != b"+"]
        if loose:
            self._lines = [_loosened(line) for line in self._lines or ()]
            self.block = b"".join(self._lines)
        self.count = hunk.old_count
        self.first = hunk.old_start + (not hunk.old_count)  # append rather than insert

    def trimmed(self, prefix: int, suffix: int) -> bytes | None:
        """Return the lines without some context; None where no file can have them."""
        if not prefix and not suffix and self._whole:
            return self.block
        lines = split_lines(self.block) if self._lines is None else self._lines
        lines = lines[prefix : self.count - suffix]
        # Only the last line of a file is incomplete, and no line is empty.
        if not self._whole and not (all(lines) and all(_is_whole(line) for line in lines[:-1])):
            return None
        return b"".join(lines)


class Image:
    """The lines of a file, a part of them written out; src/patch.c calls that part frozen.

    ``loose``: white space counts as -l has it.
    """

    def __init__(self, data: bytes, loose: bool) -> None:
        self._text = Text(data)
        self._seen = Text(_loosened(data)) if loose and data else self._text  # to find lines in
        self._loose = loose
        self._out = bytearray()
        self._frozen = 0  # lines of the input that are written or dropped
        self._frozen_at = 0  # and bytes
        self._newline = True  # the output ends in one
        self._offset = 0

    def locate(self, sought: Sought, fuzz: int) -> int:
        """src/patch.c, locate_hunk: the line (from 1) at which the hunk fits; 0 if none.

        Line 0 counts as none, too, but the offset stays.
        """
        where = self._locate(sought, fuzz)
        if where is None:
            return 0
        self._offset = where - sought.first
        return where

    def _locate(self, sought: Sought, fuzz: int) -> int | None:
        hunk, count = sought.hunk, sought.count
        guess = sought.first + self._offset
        if not count:
            return guess
        context = max(hunk.prefix, hunk.suffix)
        prefix = fuzz + hunk.prefix - context
        suffix = fuzz + hunk.suffix - context
        if prefix < 0 and sought.first <= 1:  # only at the start of the file
            fits = self._frozen <= hunk.prefix and self._fits(1, sought.trimmed(0, suffix))
            return 1 if fits else None
        prefix = max(prefix, 0)
        if suffix < 0:  # only at the end of the file
            where = self._text.total - count + 1
            if where < self._frozen + 1:
                return None
            block = sought.trimmed(prefix, 0)
            return where if self._fits(where + prefix, block, to_end=True) else None
        block = sought.trimmed(prefix, suffix)
        if block is None:
            return None
        if guess > self._frozen and self._fits(guess + prefix, block):
            return guess
        return self._nearest(block, guess, prefix, count - suffix)

    def _fits(self, line: int, block: bytes | None, *, to_end: bool = False) -> bool:
        """src/patch.c, patch_match: do the lines of ``block`` stand at ``line`` (from 1)?"""
        if block is None:
            return False
        at = self._seen.offset(line - 1)
        data = self._seen.data
        if at is None or not data.startswith(block, at):
            return False
        end = at + len(block)
        if to_end:
            return end == len(data)
        return block.endswith(b"\n") or not block or end == len(data)

    def _nearest(self, block: bytes, guess: int, prefix: int, count: int) -> int | None:
        """src/patch.c, locate_hunk: outwards from the guess, forwards before backwards."""
        last = self._text.total - count + 1
        first = self._frozen + 1
        forwards, backwards = last - guess, guess - first
        start = guess - last if forwards < 0 else guess - first if backwards < 0 else 0
        if not block:  # nothing to compare
            if start > max(forwards, backwards):
                return None
            return guess + start if start <= forwards else guess - start
        text = self._seen
        # A block without a newline at its end can only be the end of the file.
        ends = text.total - block.count(b"\n") - 1 if text.data.endswith(block) else -1
        origin = prefix - 1  # from ``where`` to the line at which the block stands
        forward = backward = None
        for line in text.after(block, guess + start + origin):
            if line - origin > last:
                break
            if line == ends or _is_whole(block):
                forward = line - origin
                break
        for line in text.before(block, guess - start + origin, first + origin):
            if line == ends or _is_whole(block):
                backward = line - origin
                break
        if forward is None or (backward is not None and guess - backward < forward - guess):
            return backward
        return forward

    def take(self, sought: Sought, where: int, fuzz: int) -> bool:
        """src/patch.c, apply_hunk: write the hunk; False where the hunks are out of order."""
        hunk = sought.hunk
        if (
            fuzz == 0
            and hunk.complete
            and not self._loose
            and self._newline
            and where - 1 >= self._frozen
        ):
            at = self._text.offset(where - 1)
            if at is not None:
                rest = _length_of_last(hunk.suffix, sought.block)
                if sought.count == 0 and at == len(self._text.data) and not self._ends_in_newline():
                    return self._slowly(hunk, where)
                self._out += self._text.data[self._frozen_at : at]
                self._out += sought.new[: len(sought.new) - rest]
                self._frozen = where - 1 + sought.count - hunk.suffix
                self._frozen_at = at + len(sought.block) - rest
                return True
        return self._slowly(hunk, where)

    def _ends_in_newline(self) -> bool:
        return not self._text.data or self._text.data.endswith(b"\n")

    def _slowly(self, hunk: Hunk, where: int) -> bool:
        """Line by line, as apply_hunk does it: context comes from the file, not from the patch."""
        line = where - 1  # of the input, before which the hunk now stands
        old_left = sum(text[:1] != b"+" for text in hunk.lines)
        for text in _in_order(hunk.lines):
            sign = text[:1]
            if sign == b" ":
                line += 1
                old_left -= 1
                continue
            if sign == b"-" and not self._newline:
                raise Refused("Malformed", b"", "patch fails an assertion: lines behind the last")
            if not self._copy(line):
                return False
            if sign == b"-":
                line += 1
                old_left -= 1
                at = self._text.offset(line)
                self._frozen, self._frozen_at = line, len(self._text.data) if at is None else at
            else:
                if not self._newline and not old_left:
                    self._out += b"\n"
                if len(text) == 1:  # an empty line without a newline: pch_write_line
                    raise Refused("Malformed", b"", "patch cannot write an empty line")
                self._out += text[1:]
                self._newline = text.endswith(b"\n")
        return True

    def _copy(self, line: int) -> bool:
        """src/patch.c, copy_till."""
        if self._frozen > line:
            return False
        at = self._text.offset(line)
        end = len(self._text.data) if at is None else at
        if end > self._frozen_at:
            if not self._newline:
                self._out += b"\n"
            self._out += self._text.data[self._frozen_at : end]
            self._newline = self._text.data[end - 1] == 10
        self._frozen, self._frozen_at = line, end
        return True

    def finish(self) -> bytes:
        """src/patch.c, spew_output."""
        rest = self._text.data[self._frozen_at :]
        if rest and not self._newline:
            self._out += b"\n"
        return b"".join([self._out, rest])


def _length_of_last(lines: int, block: bytes) -> int:
    """Return how many bytes the last ``lines`` of it have."""
    at = len(block) - 1
    for _ in range(lines):
        at = block.rfind(b"\n", 0, at)
    return len(block) - 1 - at


def _in_order(lines: Sequence[bytes]) -> Iterator[bytes]:
    """src/patch.c, apply_hunk: what is taken away comes before what is put there."""
    for _, run in groupby(lines, key=lambda line: line[:1] == b" "):
        yield from sorted(run, key=lambda line: line[:1] == b"+")


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\n")


_BLANKS = re.compile(rb"[ \t]+")


def _loosened(text: bytes) -> bytes:
    """Whole lines in the form in which -l compares them (src/patch.c, similar).

    Blanks in a row are one, those at the end none, and a newline that is missing does not count.
    """
    return _BLANKS.sub(b" ", text if _is_whole(text) else text + b"\n").replace(b" \n", b"\n")
