"""The diffs that ``git apply`` 2.39 finds in a file (apply.c; pure). Their headers: header_git.py."""

from __future__ import annotations

import re
from collections.abc import Iterator

from converter.engine import binary
from converter.engine.binary import Binary
from converter.engine.diff import (
    MOST_KEPT,
    DiffError,
    FilePatch,
    Hunk,
    Lines,
    Reread,
    numbers,
)
from converter.engine.header_git import HUNK, Headers


def git_patches(
    data: bytes, strip: int, *, recount: bool = False, root: bytes = b""
) -> Iterator[FilePatch]:
    """Yield the diffs that ``git apply`` finds; ``root`` goes before each name (``--directory``).

    Raises DiffError where git refuses the input. A damaged binary patch ends the input silently,
    as it does for git (apply_patch).
    """
    return _Reader(Lines(data), strip, recount, root).patches()


class _CorruptBinary(Exception):
    pass


class _Reader:
    def __init__(self, lines: Lines, strip: int, recount: bool, root: bytes) -> None:
        self._lines = lines
        self._headers = Headers(lines, strip, root)
        self._recount = recount
        self._inflated = 0
        self._kept = 0  # lines of hunks

    def patches(self) -> Iterator[FilePatch]:
        """apply.c, parse_chunk."""
        position = 0
        while (found := self._headers.find(position)) is not None:
            patch, position = found
            at = position
            position = self._fragments(patch, position)
            if position == at:
                try:
                    position = self._binary(patch, position)
                except _CorruptBinary:
                    return
                if not (patch.is_binary or _changes_metadata(patch)):
                    raise DiffError(f"line {at + 1}: patch with only garbage")
            yield patch

    def _fragments(self, patch: FilePatch, position: int) -> int:
        """apply.c, parse_single_patch."""
        start = position
        hunks: list[Hunk] = []
        count = old = new = 0
        for hunk, after in self._each_fragment(start):
            position = after
            count += 1
            old += hunk.old_count
            new += hunk.new_count
            self._kept += len(hunk.lines)
            if self._kept <= MOST_KEPT:
                hunks.append(hunk)
        patch.hunks = hunks
        if len(hunks) < count:
            patch.hunks = Reread(count, lambda: (hunk for hunk, _ in self._each_fragment(start)))
        if patch.is_new is None and (old or count > 1):
            patch.is_new = False
        if patch.is_delete is None and (new or count > 1):
            patch.is_delete = False
        if patch.is_new and old:
            raise DiffError(f"line {patch.at}: a new file that depends on old contents")
        if patch.is_delete and new:
            raise DiffError(f"line {patch.at}: a deleted file that still has contents")
        return position

    def _each_fragment(self, position: int) -> Iterator[tuple[Hunk, int]]:
        """Yield each hunk and the line after it."""
        lines, total = self._lines, len(self._lines)
        while (
            position < total
            and lines.signs[position] == 64
            and (line := lines[position]).startswith(b"@@ -")
            and (position + 1 < total or len(line) > 4)
        ):
            hunk, position = self._fragment(position, HUNK.match(line))
            yield hunk, position

    def _fragment(self, position: int, header: re.Match[bytes] | None) -> tuple[Hunk, int]:
        """apply.c, parse_fragment; also what apply_one_fragment makes of the lines."""
        if header is None:
            raise DiffError(f"line {position + 1}: corrupt patch")
        old_start, old_left, new_start, new_left = numbers(header)
        if self._recount:
            old_left, new_left = self._counted(position + 1) or (old_left, new_left)
        position += 1
        lines = self._lines
        plain = lines.hunk(position, old_start, old_left, new_start, new_left)
        if plain is not None:
            return plain, position + len(plain.lines)
        total = len(lines)
        kept: list[bytes] = []
        hunk = Hunk(position, old_start, old_left, new_start, new_left, kept)
        prefix = suffix = 0
        changed = False
        while position < total and (old_left or new_left):
            line = lines[position]
            sign = line[:1]
            if sign == b" " or sign == b"\n":
                old_left -= 1
                new_left -= 1
                prefix += not changed
                suffix += 1
                kept.append(line if sign == b" " else b" \n")
            elif sign == b"-":
                old_left -= 1
                suffix = 0
                changed = True
                kept.append(line)
            elif sign == b"+":
                new_left -= 1
                suffix = 0
                changed = True
                kept.append(line)
            elif len(line) >= 12 and line.startswith(b"\\ "):
                _incomplete(hunk, kept, lines[position - 1])
            else:
                raise DiffError(f"line {position + 1}: corrupt patch")
            if not line.endswith(b"\n"):
                raise DiffError(f"line {position + 1}: corrupt patch")
            position += 1
        if old_left or new_left or not (changed or self._recount):
            raise DiffError(f"line {position + 1}: corrupt patch")
        if position < total and lines[position].startswith(b"\\ ") and lines.left(position) > 12:
            _incomplete(hunk, kept, lines[position - 1])
            position += 1
        hunk.prefix, hunk.suffix = prefix, suffix
        return hunk, position

    def _counted(self, position: int) -> tuple[int, int] | None:
        """apply.c, recount_diff."""
        old = new = 0
        for at in range(position, len(self._lines)):
            line = self._lines[at]
            sign = line[:1]
            if sign in (b" ", b"\n"):
                old, new = old + 1, new + 1
            elif sign == b"-":
                old += 1
            elif sign == b"+":
                new += 1
            elif sign != b"\\":
                return (old, new) if line.startswith((b"@@ ", b"diff ")) else None
        return old, new

    def _binary(self, patch: FilePatch, position: int) -> int:
        """apply.c, parse_chunk and parse_binary."""
        lines = self._lines
        if position >= len(lines):
            return position
        line = lines[position]
        if line == b"GIT binary patch\n":
            forward, position = self._binary_hunk(position + 1)
            if forward is None:
                raise _CorruptBinary
            backward, position = self._binary_hunk(position)
            patch.is_binary, patch.binary = True, (forward, backward)
            return position
        if line.startswith((b"Binary files ", b"Files ")) and line.endswith(b" differ\n"):
            patch.is_binary = True
            return position + 1
        return position

    def _binary_hunk(self, position: int) -> tuple[Binary | None, int]:
        """apply.c, parse_binary_hunk."""
        lines = self._lines
        if position >= len(lines):
            return None, position
        header = re.match(rb"(literal|delta) [ \t\r]*\+?(\d*)", lines[position])
        if header is None:
            return None, position
        if len(header[2]) > 12 or int(header[2] or 0) + self._inflated > binary.LIMIT:
            raise DiffError(
                f"line {position + 1}: a binary patch of more than {binary.LIMIT} bytes"
            )
        size = int(header[2] or 0)
        self._inflated += size
        parts = []
        position += 1
        while position < len(lines) and lines[position] != b"\n":
            part = binary.decoded(lines[position])
            if part is None:
                raise _CorruptBinary
            parts.append(part)
            position += 1
        data = binary.inflated(b"".join(parts), size) if position < len(lines) else None
        if data is None:
            raise _CorruptBinary
        return Binary(header[1].decode(), data), position + 1


def _changes_metadata(patch: FilePatch) -> bool:
    """apply.c, metadata_changes."""
    return (
        patch.rename
        or patch.copy
        or patch.is_new is True
        or patch.is_delete is not False
        or bool(patch.old_mode and patch.new_mode and patch.old_mode != patch.new_mode)
    )


def _incomplete(hunk: Hunk, kept: list[bytes], line: bytes) -> None:
    """The line before ``\\ No newline at end of file`` has none; a bare one is no line at all.

    apply.c, apply_one_fragment: plen is one less then.
    """
    if not kept:
        return
    if line == b"\n":
        kept.pop()
    else:
        kept[-1] = kept[-1].removesuffix(b"\n")
    hunk.complete = False
