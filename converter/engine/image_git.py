"""One file in the making, by the rules of ``git apply`` 2.39 (apply.c, apply_one_fragment; pure)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from converter.engine.apply import Refused
from converter.engine.diff import Hunk, split_lines
from converter.engine.place import Text

_SPACE = b" \t\n\r"  # git-compat-util.h, sane_ctype
_PIECE = 4096  # bytes that are looked at backwards


class _Side:
    """The lines of one side of a hunk."""

    __slots__ = ("_lines", "count", "data", "whole")

    def __init__(self, data: bytes, count: int, lines: Sequence[bytes] | None = None) -> None:
        """``lines`` may be left out where each ends in a newline."""
        self.data = data
        self.count = count
        self.whole = lines is None or all(line.endswith(b"\n") for line in lines)
        self._lines = lines

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> _Side:
        return cls(b"".join(lines), len(lines), lines)

    @property
    def lines(self) -> Sequence[bytes]:
        return split_lines(self.data) if self._lines is None else self._lines


class Image:
    """What is patched before a cursor, and untouched text after it.

    Lines that a hunk wrote are not matched again (LINE_PATCHED).
    """

    def __init__(self, data: bytes, *, context: int | None = None, zero: bool = False) -> None:
        """``context`` is -C's, ``zero`` is --unidiff-zero."""
        self._text = Text(data)
        self._context = context
        self._zero = zero
        self._done = bytearray()  # the output so far
        self._at = 0  # bytes of the input that are done
        self._line = 0  # lines of the input that are done
        self._shift = 0  # lines that the output is longer by
        self._starts, self._ends = array("Q"), array("Q")  # what hunks wrote of it, in order
        self._work = 0  # bytes that were looked at in the whole output
        # To git an incomplete line stays a line of its own, whatever comes behind it. Here no later
        # hunk would find it, which takes -C, or no context, and a file that no editor wrote.
        self._is_odd = False

    @property
    def data(self) -> bytes:
        if not self._done and not self._at:
            return self._text.data
        return b"".join([self._done, self._text.data[self._at :]])

    def apply(self, hunk: Hunk) -> int | None:
        """Apply ``hunk``; return how many lines it moved, or None where it does not fit."""
        if self._is_odd:
            raise Refused("NotSupported", None, "a hunk after one behind a line without a newline")
        if hunk.complete:
            before, after = hunk.sides()
            old, new = _Side(before, hunk.old_count), _Side(after, hunk.new_count)
        else:
            old = _Side.of([line[1:] for line in hunk.lines if line[:1] != b"+"])
            new = _Side.of([line[1:] for line in hunk.lines if line[:1] != b"-"])
        # A hunk at the first line stays there; one without context after it stays at the end.
        start = not hunk.old_start or (hunk.old_start == 1 and not self._zero)
        end = not self._zero and not hunk.suffix
        wanted = max(hunk.new_start - 1, 0)
        prefix, suffix = hunk.prefix, hunk.suffix
        while True:
            line = self._find(old, wanted, start, end)
            if line is not None:
                self._replace(line, old.count, new)
                return line - wanted
            limit = self._context
            if limit is None or (prefix <= limit and suffix <= limit):
                return None
            if start or end:
                start = end = False
                continue
            if prefix >= suffix:
                old, new = _Side.of(old.lines[1:]), _Side.of(new.lines[1:])
                wanted, prefix = wanted - 1, prefix - 1
            if suffix > prefix:
                old, new = _Side.of(old.lines[:-1]), _Side.of(new.lines[:-1])
                suffix -= 1

    def _find(self, old: _Side, wanted: int, start: bool, end: bool) -> int | None:
        """find_pos and match_fragment: the line, or outwards from it, forwards before backwards."""
        block, count, whole = old.data, old.count, old.whole
        text = self._text
        if whole and count and not start and not end:
            source = wanted - self._shift
            if source >= self._line:
                at = text.offset(source)
                if at is not None and text.data.startswith(block, at):
                    return wanted
                near = self._near(block, count, source) if at is not None else None
                if near is not None:
                    return near
        total = text.total + self._shift
        if start:
            wanted = 0
        elif end:
            wanted = total - count
        if not 0 <= wanted <= total:
            wanted = total  # git compares as unsigned
        if not count:
            for line in (wanted, 0, total):
                if not (start and line) and not (end and line != total):
                    return line
            return None
        data = self.data
        flat = Text(data, self._work + len(data))

        def fits(line: int) -> bool:
            at = flat.offset(line)
            assert at is not None
            return (
                line + count <= total
                and not (start and line)
                and not (end and (line + count != total or at + len(block) != len(flat.data)))
                and (whole or _same_but_space(flat, line, old.lines))
                and not self._is_patched(flat, line, at, count, len(block) if whole else None)
            )

        found = _outwards(
            wanted,
            next(filter(fits, flat.after(block, wanted)), None),
            next(filter(fits, flat.before(block, wanted, 0)), None),
        )
        self._work = flat.work
        return found

    def _near(self, block: bytes, count: int, source: int) -> int | None:
        """Look outwards from a line of what is untouched, and no further back than is needed.

        Return the line of the output; None if only the whole file can tell.
        """
        text = self._text
        forward = next(text.after(block, source), None)
        backward = next(text.before(block, source, self._line), None)
        best = _outwards(source, forward, backward)
        if best is None:
            return None
        behind = best - source - (source - self._line) - 1  # lines written that are nearer
        found = self._behind(block, count, behind) if behind > 0 else None
        return best + self._shift if found is None else found

    def _behind(self, block: bytes, count: int, lines: int) -> int | None:
        """Look backwards in the last ``lines`` lines of what is done."""
        done = self._done
        first, have = len(done), 0
        while first and have < lines:
            last, first = first, max(first - _PIECE, 0)
            have += done.count(b"\n", first, last)
        first = done.rfind(b"\n", 0, first) + 1
        tail = bytes(done[first:])
        have = tail.count(b"\n")
        end = self._text.offset(self._line + count)
        window = Text(tail + self._text.data[self._at : end])
        top = self._line + self._shift - have
        for line in window.before(block, have - 1, max(have - lines, 0)):
            at = window.offset(line)
            assert at is not None
            if not self._overlaps(first + at, first + at + len(block)):
                return top + line
        return None

    def _is_patched(self, flat: Text, line: int, at: int, count: int, size: int | None) -> bool:
        stop = flat.offset(line + count) if size is None else at + size
        return self._overlaps(at, len(flat.data) if stop is None else stop)

    def _overlaps(self, first: int, last: int) -> bool:
        """Did a hunk write any of these bytes of the output?"""
        nearest = bisect_left(self._starts, last) - 1
        return nearest >= 0 and self._ends[nearest] > first

    def _replace(self, line: int, count: int, new: _Side) -> None:
        """update_image."""
        source = line - self._shift
        at = self._text.offset(source) if source >= self._line else None
        end = self._text.offset(source + count) if at is not None else None
        if not new.whole or at is None or end is None or at < self._at:
            self._rebuild(line, count, new)
            return
        done = self._done
        done += self._text.data[self._at : at]
        if new.data:
            self._is_odd |= bool(done) and not done.endswith(b"\n")
            self._starts.append(len(done))
            done += new.data
            self._ends.append(len(done))
        self._at, self._line = end, source + count
        self._shift += new.count - count

    def _rebuild(self, line: int, count: int, side: _Side) -> None:
        """A hunk that goes before the last one: make the file anew."""
        new = side.data
        data = self.data
        flat = Text(data)
        at = flat.offset(line)
        at = len(data) if at is None else at
        end = flat.offset(line + count)
        stop = len(data) if end is None else end
        parts = [data[:at], *([new] if side.whole else side.lines), data[stop:]]
        parts = [part for part in parts if part]
        self._is_odd |= not all(part.endswith(b"\n") for part in parts[:-1])
        grown = len(new) - (stop - at)
        behind = bisect_left(self._starts, stop)  # what hunks wrote from there on moves
        for ranges, edge in ((self._starts, at), (self._ends, at + len(new))):
            for number in range(behind, len(ranges)):
                ranges[number] += grown
            if new:
                ranges.insert(behind, edge)
        self._text = Text(b"")
        self._done = bytearray(data[:at] + new + data[stop:])
        self._at, self._line, self._shift = 0, 0, Text(bytes(self._done)).total


def _outwards(wanted: int, forward: int | None, backward: int | None) -> int | None:
    """Return which of two places is nearer: find_pos goes forwards before backwards."""
    if forward is None or (backward is not None and wanted - backward < forward - wanted):
        return backward
    return forward


def _same_but_space(flat: Text, line: int, lines: Sequence[bytes]) -> bool:
    """The lines are equal without their white space, which hash_line leaves out.

    Bytes are compared only as far as the hunk's go, so its incomplete last line fits a line that
    has more white space.
    """
    at, end = flat.offset(line), flat.offset(line + len(lines))
    there = split_lines(flat.data[at:end])
    return len(there) == len(lines) and all(
        one.translate(None, _SPACE) == other.translate(None, _SPACE)
        for one, other in zip(lines, there, strict=True)
    )
