"""Hunks of context and normal diffs, as GNU patch 2.7.6 reads them (src/pch.c, another_hunk; pure).

They become hunks as a unified diff has them, in the order in which patch writes them out
(src/patch.c, apply_hunk). A hunk's two sides may disagree about its context, so each direction is
made from its own side.
"""

from __future__ import annotations

import re

from converter.engine.diff import DiffError, Hunk
from converter.engine.patchlines import PatchLines

Side = list[tuple[bytes, bytes]]  # sign and text of each line

_DIGITS = re.compile(rb"\d+")
_NORMAL = re.compile(rb"(\d++)(?:,(\d++)|(?!,))([^\n])(\d++)(?:,(\d++)|(?!,))")


def normal_hunk(lines: PatchLines) -> Hunk | None:
    """Return the hunk at the cursor, or None (and the cursor stays) where there is none.

    Raises DiffError where patch gives up.
    """
    start = lines.at
    line = lines.read()
    if line is None or not line[:1].isdigit():
        lines.at = start
        return None
    header = _NORMAL.match(line)
    if header is None:
        raise _malformed(lines)
    first, low = _number(header[1]), _number(header[4])
    kind = header[3]
    old_count = int(kind != b"a") if header[2] is None else _number(header[2]) + 1 - first
    high = low if header[5] is None else _number(header[5])
    if low > high or old_count < 0:
        raise _malformed(lines)
    first += kind == b"a"  # append rather than insert
    low += kind == b"d"
    new_count = high - low + 1
    old = _marked(lines, b"<", b"-", old_count)
    if kind == b"c" and (lines.read() or b"")[:1] != b"-":
        raise _malformed(lines)
    new = _marked(lines, b">", b"+", new_count)
    return _hunk(start, (first, old), (low, new), 0, 0)


def _marked(lines: PatchLines, mark: bytes, sign: bytes, count: int) -> Side:
    side: Side = []
    for number in range(1, count + 1):
        line = lines.read()
        if line is None or line[:1] != mark or line[1:2] not in (b" ", b"\t"):
            raise _malformed(lines)
        text = line[2:]
        side.append((sign, text[:-1] if number == count and lines.incomplete() else text))
    return side


class ContextReader:
    """Reads the hunks of one context diff.

    ``new_style`` says which of the two dialects it is: in the newer one the lines with the ranges
    end in asterisks and dashes. ``earlier`` is the context before the first change of the hunk
    read last, which patch looks at when it guesses whether a side was left out.
    """

    def __init__(self, lines: PatchLines, *, new_style: bool, loose: bool, earlier: int) -> None:
        self._lines = lines
        self._new_style = new_style
        self._loose = loose  # -l
        self.earlier = earlier

    def hunk(self) -> Hunk | None:
        """Return the hunk at the cursor, or None (and the cursor stays) where there is none.

        Raises DiffError where patch gives up.
        """
        start = self._lines.at
        line = self._lines.read()
        if line is None or len(line) <= 8 or not line.startswith(b"********"):
            self._lines.at = start
            return None
        return _ContextHunk(self._lines, self._new_style, self._loose, self.earlier).read(
            start, self
        )

    def settle(self, prefix: int, *, new_style: bool) -> None:
        self.earlier = prefix
        self._new_style = self._new_style or new_style


class _ContextHunk:
    """One hunk in the making; names and order of the steps are those of another_hunk."""

    def __init__(self, lines: PatchLines, new_style: bool, loose: bool, earlier: int) -> None:
        self._lines = lines
        self._new_style = new_style
        self._loose = loose
        self._earlier = earlier
        self._kept: dict[int, tuple[bytes, bytes]] = {}  # p_Char and p_line
        self._end = -1
        self._max: int | None = None  # known when the second range is
        self._first = self._count = 0  # of the pattern
        self._new_first = self._new_count = 0  # of the replacement
        self._divider = 0  # where the second range stands
        self._missing = ""  # the side that was left out: its context is the other side's
        self._could_be_missing = True
        self._spaces_eaten = self._some_context = False
        self._context = self._start_context = 0
        self._prefixes: list[int | None] = [None, None]
        self._suffix: int | None = None
        self._copiable = [0, 0]

    def read(self, start: int, reader: ContextReader) -> Hunk:
        lines = self._lines
        begin, begin_context = 0, 0
        while self._max is None or self._end < self._max:
            line = lines.read()
            if line is None:
                if self._may_leave_out():
                    break
                if self._max is None or self._max - self._end >= 4:
                    raise DiffError("unexpected end of file in patch")
                line = b"  \n"  # blank lines at the end got chopped
            self._end += 1
            divided = self._divider
            if self._take(line):
                break
            if self._divider != divided:
                begin, begin_context = lines.at, self._start_context
        if not self._divider:
            raise DiffError(f"no '---' found in patch at line {start + 1}")
        if self._missing == "new":
            lines.at, self._context = begin, begin_context
            for position in [each for each in self._kept if each > self._divider]:
                del self._kept[position]
            assert self._max is not None
            self._end = self._max
        elif not self._missing and self._copiable[0] != self._copiable[1]:
            raise DiffError(f"context mangled in hunk at line {start + 1}")
        return self._finish(start, reader)

    # -- line by line ----------------------------------------------------------------------

    def _may_leave_out(self) -> bool:
        """The second half of a hunk is left out where it has only context (repl_missing)."""
        if self._divider and self._could_be_missing:
            self._missing = "new"
            return True
        return False

    def _take(self, line: bytes) -> bool:
        """Take one line; True where the hunk ended before it."""
        sign = line[:1]
        if sign == b"*":
            if line.startswith(b"********") or self._end:
                if self._may_leave_out():
                    return True
                raise _malformed(self._lines)
            self._range(line)
        elif self._end == 0:
            raise _malformed(self._lines)
        elif line.startswith(b"--"):
            return self._divide(line)
        elif sign in (b"-", b"+", b"!"):
            return self._change(sign, line[1:])
        elif sign in (b"\t", b"\n"):
            return self._bare(line)
        elif sign == b" ":
            return self._unchanged(line[1:])
        elif self._may_leave_out():
            return True
        else:
            raise _malformed(self._lines)
        return False

    def _range(self, line: bytes) -> None:
        found = _DIGITS.search(line)
        if found is None:
            raise _malformed(self._lines)
        text = line[found.start() :]
        if text.startswith(b"0,0"):
            text = text[2:]
        self._first, self._count = self._ranged(text)
        self._kept[0] = (b"*", line)

    def _ranged(self, text: bytes) -> tuple[int, int]:
        """Return the first line and the number of lines that ``text`` begins with."""
        found = _DIGITS.match(text)
        if found is None:
            raise _malformed(self._lines)
        first = _number(found[0])
        if text[found.end() : found.end() + 1] == b",":
            last = _DIGITS.search(text, found.end())
            if last is None:
                raise _malformed(self._lines)
            count = _number(last[0]) + 1 - first
            if count < 0:
                raise _malformed(self._lines)
            return first, count
        return (first, 1) if first else (1, 0)

    def _divide(self, line: bytes) -> bool:
        if self._prefixes[0] is None:
            self._prefixes[0] = self._context
        self._suffix = self._context
        blank = self._kept.get(self._end - 1, (b"", b""))[0] == b"\n"
        if self._divider or self._end != self._count + 1 + blank:
            if self._end == 1:
                self._missing = "old"
                self._end = self._count + 1
                self._prefixes[0] = self._suffix = None
            elif self._may_leave_out():
                return True
            else:
                raise DiffError(f"malformed patch at line {self._lines.at}: misplaced '---'")
        self._divider = self._end
        self._start_context = self._context
        found = _DIGITS.search(line)
        if found is None:
            raise _malformed(self._lines)
        self._new_first, self._new_count = self._ranged(line[found.start() :])
        self._kept[self._end] = (b"=", line)
        self._max = self._new_count + self._end
        if self._new_count != self._copiable[0] and (
            self._earlier or self._context or self._new_count != 1
        ):
            self._could_be_missing = False
        self._context = 0
        return False

    def _last(self, text: bytes) -> bytes:
        """The last line of either side may be without its newline."""
        last = self._max if self._divider else self._count
        if len(text) > 1 and self._end == last and self._lines.incomplete():
            return text[:-1]
        return text

    def _change(self, sign: bytes, text: bytes) -> bool:
        if sign != b"-":
            self._could_be_missing = False
        if text == b"\n" and self._loose:
            text = b" \n"
        if text[:1] in (b" ", b"\t"):
            text = text[1:]
        elif self._may_leave_out():
            return True
        side = int(self._divider > 0)
        if self._prefixes[side] is None:
            self._prefixes[side] = self._context
        self._kept[self._end] = (sign, self._last(text))
        self._context = 0
        return False

    def _bare(self, line: bytes) -> bool:
        """The spaces before the text got eaten; the text that patch keeps starts at the tab."""
        if (not self._spaces_eaten or self._new_style) and self._may_leave_out():
            return True
        text = self._last(line[:-1] if line[:1] == b"\t" else line)
        if self._end == self._count + 1:
            self._kept[self._end] = (line[:1], text)
            return False
        self._spaces_eaten = self._spaces_eaten or self._divider > 0
        self._add_context(text)
        return False

    def _unchanged(self, text: bytes) -> bool:
        if text == b"\n" and self._loose:
            text = b"\n\0"  # sic: strcpy (s, "\n"); chars_read = 2
        if text[:1] in (b" ", b"\t"):
            text = text[1:]
        elif self._may_leave_out():
            return True
        self._add_context(self._last(text))
        return False

    def _add_context(self, text: bytes) -> None:
        self._some_context = True
        self._context += 1
        self._copiable[self._divider > 0] += 1
        self._kept[self._end] = (b" ", text)

    # -- the whole -------------------------------------------------------------------------

    def _finish(self, start: int, reader: ContextReader) -> Hunk:
        kept, mangled = self._kept, DiffError(f"text or line numbers mangled at line {start + 1}")
        filled = {"": 0, "old": self._count, "new": self._new_count}[self._missing]
        if self._missing == "old" and not self._some_context and filled == 1:
            # "null hunk with no context": do append rather than insert
            self._first, self._count, filled = self._first + 1, 0, 0
            self._missing = ""
        prefixes = [each for each in self._prefixes if each is not None]
        if not prefixes:
            raise mangled
        prefix = min(prefixes)
        suffix = self._context if self._suffix is None else min(self._suffix, self._context)
        new_style = bool(filled) or (self._first > 1 and prefix + suffix < self._copiable[0])
        reader.settle(prefix, new_style=new_style)
        old = [kept[n] for n in sorted(kept) if 0 < n < self._divider and kept[n][0] != b"\n"]
        new = [kept[n] for n in sorted(kept) if n > self._divider]
        if filled:
            other = new if self._missing == "old" else old
            context = [each for each in other if each[0] == b" "]
            if len(context) != filled:
                raise mangled
            old, new = (context, new) if self._missing == "old" else (old, context)
        if len(old) != self._count or len(new) != self._new_count:
            raise mangled
        return _hunk(start, (self._first, old), (self._new_first, new), prefix, suffix)


def _hunk(at: int, old: tuple[int, Side], new: tuple[int, Side], prefix: int, suffix: int) -> Hunk:
    made = _one_way(at, old, new, prefix, suffix)
    made.back = _one_way(at, _turned(new), _turned(old), prefix, suffix)
    made.back.back = made
    return made


def _one_way(
    at: int, old: tuple[int, Side], new: tuple[int, Side], prefix: int, suffix: int
) -> Hunk:
    lines = _merged(old[1], new[1], at)
    return Hunk(
        at + 1,
        old[0] - (not old[1]),
        len(old[1]),
        new[0] - (not new[1]),
        len(new[1]),
        lines,
        prefix,
        suffix,
        all(line.endswith(b"\n") for line in lines),
    )


_TURNED = {b"-": b"+", b"+": b"-"}


def _turned(side: tuple[int, Side]) -> tuple[int, Side]:
    """src/pch.c, pch_swap."""
    return side[0], [(_TURNED.get(sign, sign), text) for sign, text in side[1]]


def _merged(old: Side, new: Side, at: int) -> list[bytes]:
    """src/patch.c, apply_hunk: what is taken away and what is added, in the order of the file."""
    lines: list[bytes] = []
    i = j = 0
    while i < len(old):
        sign, text = old[i]
        if sign == b"-":
            lines.append(b"-" + text)
            i += 1
        elif j == len(new):
            break
        elif new[j][0] == b"+":
            lines.append(b"+" + new[j][1])
            j += 1
        elif new[j][0] != sign or sign not in (b" ", b"!"):
            raise DiffError(f"out-of-sync patch at line {at + 1}: mangled text or line numbers")
        elif sign == b"!":
            while i < len(old) and old[i][0] == b"!":
                lines.append(b"-" + old[i][1])
                i += 1
            while j < len(new) and new[j][0] == b"!":
                lines.append(b"+" + new[j][1])
                j += 1
        else:
            lines.append(b" " + text)
            i, j = i + 1, j + 1
    lines += [b" " + text for _, text in old[i:]]
    while j < len(new) and new[j][0] == b"+":
        lines.append(b"+" + new[j][1])
        j += 1
    return lines


def _number(digits: bytes) -> int:
    if len(digits) > 18:
        raise DiffError("a line number that no file has")
    return int(digits)


def _malformed(lines: PatchLines) -> DiffError:
    return DiffError(f"malformed patch at line {lines.at}")
