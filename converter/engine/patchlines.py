"""The lines of a patch file as patch(1) gets them: src/pch.c, get_line (pure)."""

from __future__ import annotations

from copy import copy

from converter.engine.diff import Hunk, Lines


class PatchLines:
    """A patch file with a cursor, ``at``, and how the diff at hand is dressed up.

    ``indent`` columns and ``nesting`` times ``- `` go from the front of each line, with
    ``strip_cr`` a carriage return from its end.
    """

    def __init__(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        self.raw = Lines(data[:end])
        # "patch unexpectedly ends in middle of line": not read, but incomplete_line sees it
        self._tail = data[end:]
        self.at = 0
        self.indent = 0
        self.nesting = 0
        self.strip_cr = False

    @property
    def plain(self) -> bool:
        return not (self.indent or self.nesting or self.strip_cr)

    def back_at(self, line: int) -> PatchLines:
        """Return a cursor of its own at ``line``, for the same diff."""
        other = copy(self)
        other.at = line
        return other

    def read(self) -> bytes | None:
        """Return the next line, or None at the end; lines that begin with ``#`` are no lines."""
        while self.at < len(self.raw):
            line = self.raw[self.at]
            self.at += 1
            if self.indent:
                column = start = 0
                while column < self.indent and line[start : start + 1] in (b" ", b"X", b"\t"):
                    tab = line[start : start + 1] == b"\t"
                    column = (column + 8) & ~7 if tab else column + 1
                    start += 1
                line = line[start:]
            for _ in range(self.nesting):
                if not line.startswith(b"- "):
                    break
                line = line[2:]
            if line[:1] == b"#":
                continue
            if self.strip_cr and line.endswith(b"\r\n"):
                line = line[:-2] + b"\n"
            return line
        return None

    def hunk(self, old_start: int, old: int, new_start: int, new: int) -> Hunk | None:
        """Return the hunk whose lines are at the cursor, where they are plain ones (Lines.hunk)."""
        if not self.plain:
            return None
        hunk = self.raw.hunk(self.at, old_start, old, new_start, new)
        if hunk and self._tail[:1] == b"\\" and self.at + len(hunk.lines) == len(self.raw):
            return None
        return hunk

    def incomplete(self) -> bool:
        r"""Tell whether ``\ No newline at end of file`` comes next, and pass over it.

        src/pch.c, incomplete_line: whatever its indentation, and even where it has no end.
        """
        following = self.raw[self.at] if self.at < len(self.raw) else self._tail
        if following[:1] != b"\\":
            return False
        self.at += 1
        return True
