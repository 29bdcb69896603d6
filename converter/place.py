"""Lines of a file found by bytes: no file is split into lines to change three of them (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from converter.diff import DiffError

_MOST_WORK = 1 << 34  # bytes compared in a search


class Text:
    """The content of a file with a cursor, so that neighbouring lines are found quickly."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._line = 0  # of the cursor, from 0
        self._at = 0  # byte where that line begins
        self._total: int | None = None

    @property
    def total(self) -> int:
        """Lines; an incomplete last one counts."""
        if self._total is None:
            data = self.data
            self._total = data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
        return self._total

    def offset(self, line: int) -> int | None:
        """Return the byte at which ``line`` (from 0) begins, the end for the line after the last."""
        if line < 0:
            return None
        if line < self._line:
            self._line = self._at = 0
        data, size = self.data, len(self.data)
        for step in (1 << 16, 1 << 12):
            while self._line < line and self._at + step < size:
                lines = data.count(b"\n", self._at, self._at + step)
                if lines == 0 or self._line + lines > line:
                    break
                self._at = data.rfind(b"\n", self._at, self._at + step) + 1
                self._line += lines
        while self._line < line:
            end = data.find(b"\n", self._at) + 1
            if end == 0:
                if self._at == size:
                    return None
                end = size
            self._line, self._at = self._line + 1, end
        return self._at

    def line(self, at: int) -> int:
        """Return the line (from 0) that begins at byte ``at``."""
        if at < self._at:
            self._line = self._at = 0
        self._line += self.data.count(b"\n", self._at, at)
        self._at = at
        return self._line

    def places(self, block: bytes) -> Iterator[int]:
        """Yield each byte offset at which a line begins and ``block`` stands.

        Raises DiffError when that would take minutes, as no real diff does.
        """
        data = self.data
        work = 0
        at = data.find(block)
        while at >= 0:
            if at == 0 or data[at - 1] == 10:
                yield at
            work += len(block)
            if work > _MOST_WORK:
                raise DiffError("the lines of a hunk stand in too many places")
            following = data.find(b"\n", at) + 1
            if not following:
                return
            at = data.find(block, following)
