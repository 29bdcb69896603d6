"""Lines of a file found by bytes: no file is split into lines to change three of them (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from converter.engine.diff import DiffError

_MOST_WORK = 1 << 35  # bytes looked at in the searches of one file


class Text:
    """The content of a file with a cursor, so that neighbouring lines are found quickly."""

    def __init__(self, data: bytes, work: int = 0) -> None:
        """``work`` is what the searches of the file took so far, in bytes."""
        self.data = data
        self._line = 0  # of the cursor, from 0
        self._at = 0  # byte where that line begins
        self._total: int | None = None
        self.work = work

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
        for step in (1 << 16, 1 << 12, 1 << 9):  # neighbouring lines are found one by one
            while line - self._line > step >> 6 and self._at + step < size:
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

    def after(self, block: bytes, line: int) -> Iterator[int]:
        """Yield the lines from ``line`` on at which ``block`` stands, forwards.

        Raises DiffError when that would take minutes, as with no real diff; before() does, too.
        """
        line = max(line, 0)
        at, data = self.offset(line), self.data
        while at is not None:
            found = data.find(block, at)
            self._spend((found if found >= 0 else len(data)) - at + len(block))
            if found < 0:
                return
            line += data.count(b"\n", at, found)
            if not found or data[found - 1] == 10:
                yield line
            at = data.find(b"\n", found) + 1 or None
            line += 1

    def before(self, block: bytes, line: int, floor: int) -> Iterator[int]:
        """Yield the lines from ``line`` down to ``floor`` at which ``block`` stands, backwards."""
        data = self.data
        line = min(line, self.total - (bool(data) and not data.endswith(b"\n")))
        at = self.offset(line)
        if at is None or line < floor:
            return
        top, size = at + 1, 1 << 12
        while True:
            bottom = data.rfind(b"\n", 0, max(at - size, 0)) + 1
            self._spend(top - bottom + len(block))
            found = data.find(block, bottom, top - 1 + len(block))
            places = []
            while found >= 0:
                if not found or data[found - 1] == 10:
                    places.append(found)
                following = data.find(b"\n", found) + 1
                found = data.find(block, following, top - 1 + len(block)) if following else -1
            for place in reversed(places):
                line -= data.count(b"\n", place, at)
                at = place
                if line < floor:
                    return
                yield line
            if not bottom:
                return
            line -= data.count(b"\n", bottom, at)
            at = bottom
            if line <= floor:
                return
            top, size = bottom, size * 4

    def _spend(self, work: int) -> None:
        self.work += work
        if self.work > _MOST_WORK:
            raise DiffError("the lines of its hunks stand in too many places, or too far away")
