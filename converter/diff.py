"""Bytes -> FilePatch, Hunk: unified and git extended diffs, binary patches (pure).

What a diff is depends on who reads it: patch(1) finds diffs in indented text and skips lines that
begin with ``#``; git wants ``diff --git`` or a complete header, and refuses what is damaged. So
there are two readers, each after its tool's own: GNU patch 2.7.6 (src/pch.c) and git 2.39
(apply.c).
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_MAX_BINARY = 512 << 20  # bytes that one binary patch may unpack to


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

    def swapped(self) -> Hunk:
        """Return the hunk that undoes this one."""
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


@dataclass(frozen=True, slots=True)
class Binary:
    """One direction of a git binary patch: the content, or a delta to it."""

    kind: str  # "literal" or "delta"
    size: int  # bytes, as declared
    data: bytes  # deflated

    def inflated(self) -> bytes:
        """Return the payload. Raises DiffError for damage or more than the declared size."""
        if self.size > _MAX_BINARY:
            raise DiffError(f"a binary patch of {self.size} bytes")
        unpacker = zlib.decompressobj()
        try:
            out = unpacker.decompress(self.data, self.size + 1)
        except zlib.error as error:
            raise DiffError(f"corrupt binary patch: {error}") from None
        if len(out) != self.size or not unpacker.eof:
            raise DiffError("corrupt binary patch: its size differs from what it declares")
        return out


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
    binary: tuple[Binary, Binary | None] | None = None
    is_binary: bool = False
    trouble: str = ""  # why this file cannot be patched, known before anything is tried


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines with their newlines; only LF ends a line."""
    return _LINES.findall(data)


# -- names ---------------------------------------------------------------------------------

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
        octal = re.match(rb"[0-3][0-7]{2}", text[position:])
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

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_GNU_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? ?\+(\d+)(?:,(\d+))? ?@")
_LIMIT = (1 << 63) - 1


def _numbers(header: re.Match[bytes]) -> tuple[int, int, int, int]:
    start, count, new_start, new_count = header.groups()
    numbers = (
        int(start),
        1 if count is None else int(count),
        int(new_start),
        1 if new_count is None else int(new_count),
    )
    if max(numbers) >= _LIMIT:
        raise DiffError("a line number that no file has")
    return numbers


# -- git's reader --------------------------------------------------------------------------


def git_patches(data: bytes, strip: int, *, recount: bool = False) -> Iterator[FilePatch]:
    """Yield the diffs that ``git apply`` finds (apply.c, find_header and parse_chunk).

    Raises DiffError where git refuses the input.
    """
    return _GitReader(split_lines(data), strip, recount).patches()


class _GitReader:
    def __init__(self, lines: list[bytes], strip: int, recount: bool) -> None:
        self._lines = lines
        self._strip = strip
        self._strip_known = False
        self._recount = recount

    def patches(self) -> Iterator[FilePatch]:
        position = 0
        while (found := self._header(position)) is not None:
            patch, position = found
            at = position
            position = self._fragments(patch, position)
            if position == at:
                position = self._binary(patch, position)
            if (
                position == at
                and not patch.is_binary
                and not patch.rename
                and not patch.copy
                and not patch.is_new
                and not patch.is_delete
                and not (patch.old_mode and patch.new_mode and patch.old_mode != patch.new_mode)
            ):
                raise DiffError(f"line {at + 1}: patch with only garbage")
            yield patch

    def _header(self, position: int) -> tuple[FilePatch, int] | None:
        lines, total = self._lines, len(self._lines)
        while position < total:
            line = lines[position]
            if line.startswith(b"@@ -"):
                if _HUNK.match(line):
                    raise DiffError(f"line {position + 1}: patch fragment without header")
            elif line.startswith(b"diff --git "):
                found = self._git_header(position)
                if found is not None:
                    return found
            elif (
                line.startswith(b"--- ")
                and position + 2 < total
                and lines[position + 1].startswith(b"+++ ")
                and lines[position + 2].startswith(b"@@ -")
            ):
                return self._traditional(position), position + 2
            position += 1
        return None

    # names

    def _named(self, text: bytes, strip: int, default: bytes | None = None) -> bytes | None:
        """apply.c, find_name: a quoted name, or all up to a tab or the end of the line."""
        if text[:1] == b'"':
            quoted = unquote(text)
            if quoted is None:
                return default
            return _stripped(quoted[0], strip)
        name = re.split(rb"[\t\n]", text, maxsplit=1)[0]
        return self._default(_stripped(name, strip), default)

    @staticmethod
    def _default(name: bytes | None, default: bytes | None) -> bytes | None:
        if not name:
            return default
        if default is not None and len(default) < len(name) and name.startswith(default):
            return default
        return re.sub(rb"//+", b"/", name)

    def _traditional_name(self, text: bytes, default: bytes | None) -> bytes | None:
        """apply.c, find_name_traditional: a date may follow the name after spaces."""
        if text[:1] == b'"':
            return self._named(text, self._strip, default)
        body = text.rstrip(b"\n")
        dated = _DATE.search(body)
        if dated is None or dated.start() == 0:
            return self._named(text, self._strip, default)
        return self._default(_stripped(body[: dated.start()], self._strip), default)

    def _traditional(self, position: int) -> FilePatch:
        first, second = self._lines[position][4:], self._lines[position + 1][4:]
        if not self._strip_known:
            guess = _guess(first), _guess(second)
            chosen = guess[1] if guess[0] is None else guess[0]
            if chosen is not None and chosen == guess[1]:
                self._strip, self._strip_known = chosen, True
        patch = FilePatch(position + 1, is_new=None, is_delete=None)
        if _is_null(first):
            patch.is_new, patch.is_delete = True, False
            name = patch.new = self._traditional_name(second, None)
        elif _is_null(second):
            patch.is_new, patch.is_delete = False, True
            name = patch.old = self._traditional_name(first, None)
        else:
            name = self._traditional_name(second, self._traditional_name(first, None))
            if _is_epoch(first):
                patch.is_new, patch.is_delete, patch.new = True, False, name
            elif _is_epoch(second):
                patch.is_new, patch.is_delete, patch.old = False, True, name
            else:
                patch.old = patch.new = name
        if not name:
            raise DiffError(f"line {position + 1}: unable to find a file name in the patch")
        return patch

    def _git_header(self, position: int) -> tuple[FilePatch, int] | None:
        """apply.c, parse_git_diff_header."""
        patch = FilePatch(position + 1, git=True)
        default = _git_name(self._lines[position][11:], self._strip)
        at = position + 1
        old: bytes | None = None
        new: bytes | None = None
        while at < len(self._lines):
            line = self._lines[at]
            if line.startswith(b"@@ -"):
                break
            if line.startswith(b"--- "):
                old = self._verified(line[4:], old, patch.is_new, at)
            elif line.startswith(b"+++ "):
                new = self._verified(line[4:], new, patch.is_delete, at)
            elif line.startswith(b"old mode "):
                patch.old_mode = _mode(line[9:], at)
            elif line.startswith(b"new mode "):
                patch.new_mode = _mode(line[9:], at)
            elif line.startswith(b"deleted file mode "):
                patch.is_delete, old = True, default
                patch.old_mode = _mode(line[18:], at)
            elif line.startswith(b"new file mode "):
                patch.is_new, new = True, default
                patch.new_mode = _mode(line[14:], at)
            elif line.startswith((b"copy from ", b"rename from ", b"rename old ")):
                patch.copy |= line.startswith(b"copy")
                patch.rename |= line.startswith(b"rename")
                old = self._named(line.split(b" ", 2)[2], max(self._strip - 1, 0))
            elif line.startswith((b"copy to ", b"rename to ", b"rename new ")):
                patch.copy |= line.startswith(b"copy")
                patch.rename |= line.startswith(b"rename")
                new = self._named(line.split(b" ", 2)[2], max(self._strip - 1, 0))
            elif line.startswith(b"index "):
                ids = re.match(rb"index ([0-9a-f]+)\.\.([0-9a-f]+)(?: (\d+))?\s*$", line)
                if ids:
                    patch.old_id, patch.new_id = ids[1], ids[2]
                    if ids[3]:
                        patch.old_mode = _mode(ids[3] + b"\n", at)
            elif not line.startswith((b"similarity index ", b"dissimilarity index ")):
                break
            at += 1
        if old is None and new is None:
            if default is None:
                raise DiffError(f"line {at + 1}: git diff header lacks filename information")
            old = new = default
        if (new is None and not patch.is_delete) or (old is None and not patch.is_new):
            raise DiffError(f"line {at + 1}: git diff header lacks filename information")
        patch.old, patch.new = old, new
        if patch.is_new:
            patch.old = None
        if patch.is_delete:
            patch.new = None
        return patch, at

    def _verified(
        self, text: bytes, known: bytes | None, absent: bool | None, at: int
    ) -> bytes | None:
        """apply.c, gitdiff_verify_name: names in one header must agree."""
        if known is None and not absent:
            return None if _is_null(text) else self._named(text, self._strip)
        if known is not None and absent is not True and _is_null(text):
            raise DiffError(f"line {at + 1}: bad git-diff: expected {known!r}, got /dev/null")
        if known is not None and not _is_null(text):
            if self._named(text, self._strip) != known:
                raise DiffError(f"line {at + 1}: bad git-diff: inconsistent file name")
        elif known is None and not _is_null(text):
            raise DiffError(f"line {at + 1}: bad git-diff: expected /dev/null")
        return known

    # bodies

    def _fragments(self, patch: FilePatch, position: int) -> int:
        """apply.c, parse_single_patch."""
        lines = self._lines
        old_lines = new_lines = 0
        while position < len(lines) and lines[position].startswith(b"@@ -"):
            header = _HUNK.match(lines[position])
            if header is None:
                raise DiffError(f"line {position + 1}: corrupt patch")
            hunk, position = self._fragment(header, position)
            patch.hunks.append(hunk)
            old_lines += hunk.old_count
            new_lines += hunk.new_count
        if patch.hunks:
            several = len(patch.hunks) > 1
            if patch.is_new is None and (old_lines or several):
                patch.is_new = False
            if patch.is_delete is None and (new_lines or several):
                patch.is_delete = False
            if patch.is_new and old_lines:
                raise DiffError(f"new file {patch.new!r} depends on old contents")
            if patch.is_delete and new_lines:
                raise DiffError(f"deleted file {patch.old!r} still has contents")
        return position

    def _fragment(self, header: re.Match[bytes], position: int) -> tuple[Hunk, int]:
        """apply.c, parse_fragment."""
        old_start, old_count, new_start, new_count = _numbers(header)
        if self._recount:
            old_count, new_count = _recounted(self._lines, position + 1)
        hunk = Hunk(position + 1, old_start, old_count, new_start, new_count, [])
        old_left, new_left = old_count, new_count
        prefix = suffix = 0
        changed = False
        lines, kept = self._lines, hunk.lines
        total = len(lines)
        position += 1
        while position < total and (old_left or new_left):
            line = lines[position]
            sign = line[:1]
            if not line.endswith(b"\n"):
                raise DiffError(f"line {position + 1}: corrupt patch")
            if sign in (b" ", b"\n"):
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
            elif sign == b"\\" and len(line) >= 12 and line[:2] == b"\\ ":
                _incomplete(hunk)
            else:
                raise DiffError(f"line {position + 1}: corrupt patch")
            position += 1
        if old_left or new_left or not (changed or self._recount):
            raise DiffError(f"line {position + 1}: corrupt patch")
        if position < total and len(lines[position]) >= 12 and lines[position][:2] == b"\\ ":
            _incomplete(hunk)
            position += 1
        hunk.prefix, hunk.suffix = prefix, suffix
        return hunk, position

    def _binary(self, patch: FilePatch, position: int) -> int:
        """apply.c, parse_chunk and parse_binary."""
        lines = self._lines
        if position >= len(lines):
            return position
        line = lines[position]
        if line == b"GIT binary patch\n":
            forward, position = self._binary_hunk(position + 1)
            if forward is None:
                raise DiffError(f"line {position + 1}: unrecognized binary patch")
            backward, position = self._binary_hunk(position)
            patch.is_binary, patch.binary = True, (forward, backward)
            return position
        if re.match(rb"(?:Binary files|Files) .* differ\n", line):
            patch.is_binary = True
            return position + 1
        return position

    def _binary_hunk(self, position: int) -> tuple[Binary | None, int]:
        lines = self._lines
        header = (
            re.match(rb"(literal|delta) (\d+)\n", lines[position])
            if position < len(lines)
            else None
        )
        if header is None:
            return None, position
        parts = []
        position += 1
        while position < len(lines) and lines[position] != b"\n":
            parts.append(_base85(lines[position], position))
            position += 1
        if position >= len(lines):
            raise DiffError(f"line {position + 1}: corrupt binary patch")
        return Binary(header[1].decode(), int(header[2]), b"".join(parts)), position + 1


def _base85(line: bytes, position: int) -> bytes:
    """One line of a binary patch: a letter for its length, then base 85 (base85.c)."""
    text = line.rstrip(b"\n")
    first = text[:1]
    if b"A" <= first <= b"Z":
        size = first[0] - 64
    elif b"a" <= first <= b"z":
        size = first[0] - 96 + 26
    else:
        raise DiffError(f"line {position + 1}: corrupt binary patch")
    if len(text) != 1 + (size + 3) // 4 * 5:
        raise DiffError(f"line {position + 1}: corrupt binary patch")
    try:
        return base64.b85decode(text[1:])[:size]
    except ValueError:
        raise DiffError(f"line {position + 1}: corrupt binary patch") from None


def _recounted(lines: list[bytes], position: int) -> tuple[int, int]:
    """apply.c, recount_diff."""
    old = new = 0
    while position < len(lines):
        sign = lines[position][:1]
        if sign in (b" ", b"\n"):
            old, new = old + 1, new + 1
        elif sign == b"-":
            if (
                lines[position].startswith(b"--- ")
                and position + 1 < len(lines)
                and lines[position + 1].startswith(b"+++ ")
            ):
                break
            old += 1
        elif sign == b"+":
            new += 1
        elif sign != b"\\":
            break
        position += 1
    return old, new


def _incomplete(hunk: Hunk) -> None:
    """The line before ``\\ No newline at end of file`` has none."""
    if hunk.lines:
        hunk.lines[-1] = hunk.lines[-1].removesuffix(b"\n")
        hunk.complete = False


def _stripped(name: bytes, strip: int) -> bytes | None:
    """Drop ``strip`` leading components; None when there are not that many."""
    start = 0
    while strip > 0:
        slash = name.find(b"/", start)
        if slash < 0:
            return None
        start = slash + 1
        strip -= 1
    return name[start:]


def _git_name(text: bytes, strip: int) -> bytes | None:
    """apply.c, git_header_name: the name, where both sides of ``diff --git`` agree on it."""
    text = text.rstrip(b"\n")
    if text[:1] == b'"':
        first = unquote(text)
        if first is None:
            return None
        rest = first[1].lstrip(b" \t")
        one = _stripped(first[0], strip)
        if rest[:1] == b'"':
            second = unquote(rest)
            two = _stripped(second[0], strip) if second else None
        else:
            two = _stripped(rest, strip)
        return one if one and one == two else None
    if text.endswith(b'"') and b' "' in text:
        quoted = text.index(b' "') + 1
        second = unquote(text[quoted:])
        two = _stripped(second[0], strip) if second else None
        one = _stripped(text[: quoted - 1].rstrip(b" \t"), strip)
        return one if one and one == two else None
    for blank in re.finditer(rb"[ \t]", text):
        one = _stripped(text[: blank.start()], strip)
        two = _stripped(text[blank.end() :], strip)
        if one and one == two:
            return one
    return None


def _guess(text: bytes) -> int | None:
    """apply.c, guess_p_value, outside of any subdirectory: a bare name needs no stripping."""
    if _is_null(text):
        return None
    name = re.split(rb"[\t\n]", text, maxsplit=1)[0]
    return 0 if name and b"/" not in name else None


def _is_null(text: bytes) -> bool:
    return text.startswith(b"/dev/null") and text[9:10] in (b"", b"\n", b"\t", b" ", b"\r")


_DATE = re.compile(
    rb"[ \t]+(?:(?:[A-Z][a-z]{2} )?\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?"
    rb"(?: ?[+-]\d{2}:?\d{2})?)[ \t]*$"
)
_EPOCH = re.compile(
    rb"\t?(1969-12-31|1970-01-01) (\d{2}):(\d{2}):00(?:\.0+)? ([-+])(\d{2}):?(\d{2})\s*$"
)


def _is_epoch(text: bytes) -> bool:
    """apply.c, has_epoch_timestamp."""
    found = _EPOCH.search(text)
    if found is None:
        return False
    minutes = int(found[2]) * 60 + int(found[3]) - (1440 if found[1][:4] == b"1969" else 0)
    offset = (int(found[5]) * 60 + int(found[6])) * (1 if found[4] == b"+" else -1)
    return minutes == offset


def _mode(text: bytes, at: int) -> int:
    found = re.match(rb"([0-7]+)\s", text)
    if found is None:
        raise DiffError(f"line {at + 1}: invalid mode")
    return int(found[1], 8)
