"""The headers of the diffs that ``git apply`` 2.39 finds: names, modes, kinds (apply.c; pure)."""

from __future__ import annotations

import re
from bisect import bisect

from converter.engine.diff import DiffError, FilePatch, Lines, unquote

HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*\n", re.DOTALL)
_NAME_END = re.compile(rb"[\t\n\r]")
_RENAME_END = re.compile(rb"[\n\r]")
_SPACE = b" \t\n\r"  # git-compat-util.h, sane_ctype: no \v, no \f
_DATE = re.compile(  # apply.c, diff_timestamp_len
    rb"(?:\t|(?<! ) +)(?:\d\d)?\d\d-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d+)?)?(?: [+-](?:\d{4}|\d\d:\d\d))?\Z"
)
_EPOCH = re.compile(  # apply.c, has_epoch_timestamp
    rb"(1969-12-31|1970-01-01) ([0-2]\d):([0-5]\d):00(?:\.0+)? ([-+])([0-2]\d):?([0-5]\d)\n"
)
_MODE = re.compile(rb"[ \t\r]*([0-7]{1,11})[ \t\n\r]")


class Headers:
    """The headers in a text; names are stripped, and ``root`` goes before them."""

    def __init__(self, lines: Lines, strip: int, root: bytes) -> None:
        self._lines = lines
        self._strip = strip
        # git guesses only where no -p is given. A plan does not tell -p1 from none; where the two
        # differ, git refuses the one, and there was no such build.
        self._strip_known = strip != 1
        self._root = root

    def find(self, position: int) -> tuple[FilePatch, int] | None:
        """apply.c, find_header: the next from line ``position`` on, and the line after it.

        What a bare ``diff --git`` line set stays set for the next one. Raises DiffError.
        """
        lines, total = self._lines, len(self._lines)
        patch = FilePatch(position + 1, is_new=None, is_delete=None)
        while position < total:
            if lines.signs[position] not in b"@d-":
                position += 1
                continue
            line = lines[position]
            if line.startswith((b"@@ -", b"diff --git ", b"--- ")) and len(line) >= 6:
                if line.startswith(b"@@ -") and HUNK.match(line):
                    raise DiffError(f"line {position + 1}: patch fragment without header")
                if position + 7 > total and lines.left(position + 1) < 6:
                    return None
                if line.startswith(b"diff --git "):
                    patch.at = position + 1
                    after = self._git_header(patch, position)
                    if after > position + 1:
                        return patch, after
                elif (
                    line.startswith(b"--- ")
                    and position + 2 < total
                    and lines[position + 1].startswith(b"+++ ")
                    and lines[position + 2].startswith(b"@@ -")
                    and lines.left(position) >= len(lines[position + 1]) + 14
                ):
                    patch.at = position + 1
                    self._traditional(patch, line[4:], lines[position + 1][4:])
                    return patch, position + 2
            position += 1
        return None

    # -- names -----------------------------------------------------------------------------

    def _quoted(self, text: bytes, strip: int) -> bytes | None:
        """apply.c, find_name_gnu."""
        found = unquote(text)
        if found is None:
            return None
        name = found[0].partition(b"\0")[0]
        start = _behind(name, strip)
        return None if start < 0 else _squashed(self._root + name[start:])

    def _plain(self, text: bytes, default: bytes | None, strip: int) -> bytes | None:
        """apply.c, find_name_common, for a name whose end is known."""
        start = _behind(text, strip)
        name = text[start:]
        if start < 0 or not name:
            return default
        if default is not None and len(default) < len(name) and name.startswith(default):
            return default
        return _squashed(self._root + name)

    def _named(self, text: bytes, strip: int, end: re.Pattern[bytes]) -> bytes | None:
        """apply.c, find_name."""
        if text[:1] == b'"':
            quoted = self._quoted(text, strip)
            if quoted is not None:
                return quoted
        return self._plain(end.split(text, maxsplit=1)[0], None, strip)

    def _traditional_name(self, text: bytes, default: bytes | None, strip: int) -> bytes | None:
        """apply.c, find_name_traditional: a date may follow the name after spaces."""
        if text[:1] == b'"':
            quoted = self._quoted(text, strip)
            if quoted is not None:
                return quoted
        body = text.removesuffix(b"\n")
        dated = _DATE.search(body) if body[-1:].isdigit() else None
        if dated is not None:
            return self._plain(body[: dated.start()], default, strip)
        return self._plain(_NAME_END.split(text, maxsplit=1)[0], default, strip)

    def _guess(self, text: bytes) -> int | None:
        """apply.c, guess_p_value, at the top of the tree: a bare name needs no stripping."""
        if _is_null(text):
            return None
        name = self._traditional_name(text, None, 0)
        return 0 if name is not None and b"/" not in name else None

    def _traditional(self, patch: FilePatch, first: bytes, second: bytes) -> None:
        """apply.c, parse_traditional_patch."""
        if not self._strip_known and self._guess(second) == 0:
            self._strip, self._strip_known = 0, True
        strip = self._strip
        if _is_null(first):
            patch.is_new, patch.is_delete = True, False
            name = patch.new = self._traditional_name(second, None, strip)
        elif _is_null(second):
            patch.is_new, patch.is_delete = False, True
            name = patch.old = self._traditional_name(first, None, strip)
        else:
            default = self._traditional_name(first, None, strip)
            name = self._traditional_name(second, default, strip)
            if _is_epoch(first):
                patch.is_new, patch.is_delete, patch.new = True, False, name
            elif _is_epoch(second):
                patch.is_new, patch.is_delete, patch.old = False, True, name
            else:
                patch.old = patch.new = name
        if name is None:
            raise DiffError(f"line {patch.at}: unable to find a file name in the patch")

    def _git_header(self, patch: FilePatch, position: int) -> int:
        """apply.c, parse_git_diff_header; return the line after the header."""
        patch.git, patch.is_new, patch.is_delete = True, False, False
        default = _header_name(self._lines[position][11:], self._strip)
        if default is not None:
            default = self._root + default
        shorter = max(self._strip - 1, 0)
        data, starts, total = self._lines.data, self._lines.starts, len(self._lines)
        at = position + 1
        while at < total:
            line = data[starts[at] : starts[at + 1]]
            if not line.endswith(b"\n") or line.startswith(b"@@ -"):
                break
            if line.startswith(b"--- "):
                patch.old = self._verified(line[4:], patch.is_new, patch.old, at)
            elif line.startswith(b"+++ "):
                patch.new = self._verified(line[4:], patch.is_delete, patch.new, at)
            elif line.startswith(b"old mode "):
                patch.old_mode = _mode(line[9:], at)
            elif line.startswith(b"new mode "):
                patch.new_mode = _mode(line[9:], at)
            elif line.startswith(b"deleted file mode "):
                patch.is_delete, patch.old = True, default
                patch.old_mode = _mode(line[18:], at)
            elif line.startswith(b"new file mode "):
                patch.is_new, patch.new = True, default
                patch.new_mode = _mode(line[14:], at)
            elif line.startswith((b"copy from ", b"rename from ", b"rename old ")):
                patch.copy |= line.startswith(b"copy")
                patch.rename |= line.startswith(b"rename")
                patch.old = self._named(line.split(b" ", 2)[2], shorter, _RENAME_END)
            elif line.startswith((b"copy to ", b"rename to ", b"rename new ")):
                patch.copy |= line.startswith(b"copy")
                patch.rename |= line.startswith(b"rename")
                patch.new = self._named(line.split(b" ", 2)[2], shorter, _RENAME_END)
            elif line.startswith(b"index "):
                _index(patch, line[6:], at)
            elif not line.startswith((b"similarity index ", b"dissimilarity index ")):
                break
            if bool(patch.is_new) + bool(patch.is_delete) + patch.rename + patch.copy > 1:
                raise DiffError(f"line {at + 1}: inconsistent header lines")
            at += 1
        if patch.old is None and patch.new is None:
            patch.old = patch.new = default
        if (patch.new is None and not patch.is_delete) or (patch.old is None and not patch.is_new):
            raise DiffError(f"line {at + 1}: git diff header lacks filename information")
        return at

    def _verified(
        self, text: bytes, absent: bool | None, known: bytes | None, at: int
    ) -> bytes | None:
        """apply.c, gitdiff_verify_name: names in one header must agree."""
        if known is None:
            if not absent:
                return self._named(text, self._strip, _NAME_END)
            if not _is_null(text):
                raise DiffError(f"line {at + 1}: bad git-diff: expected /dev/null")
        elif absent:
            raise DiffError(f"line {at + 1}: bad git-diff: expected /dev/null, got {known!r}")
        elif self._named(text, self._strip, _NAME_END) != known:
            raise DiffError(f"line {at + 1}: bad git-diff: inconsistent file name")
        return known


def _squashed(name: bytes) -> bytes:
    """apply.c, squash_slash."""
    return re.sub(rb"//+", b"/", name) if b"//" in name else name


def _behind(text: bytes, slashes: int) -> int:
    """Return the position behind so many slashes, -1 where there are fewer."""
    at = 0
    for _ in range(slashes):
        at = text.find(b"/", at) + 1
        if not at:
            return -1
    return at


def _skipped(name: bytes, strip: int) -> bytes | None:
    """apply.c, skip_tree_prefix: absolute names are no names."""
    if not strip:
        return None if name.startswith(b"/") else name
    start = _behind(name, strip)
    return None if start in (-1, 1) else name[start:]


def _header_name(text: bytes, strip: int) -> bytes | None:
    """apply.c, git_header_name: the name, where both sides of ``diff --git`` agree on it."""
    if text[:1] == b'"':
        first = unquote(text)
        one = _skipped(first[0], strip) if first else None
        if first is None or one is None:
            return None
        rest = first[1].lstrip(_SPACE)
        if rest[:1] == b'"':
            second = unquote(rest)
            return one if second and _skipped(second[0], strip) == one else None
        return one if rest and _skipped(rest, strip) == one else None
    name = _skipped(text, strip)
    if name is None:
        return None
    quote = name.find(b'"')
    if quote >= 0:
        second = unquote(name[quote:])
        two = _skipped(second[0], strip) if second else None
        if two is None or len(two) >= quote or not name.startswith(two):
            return None
        return two if name[len(two) : len(two) + 1] in (b" ", b"\t", b"\r") else None
    if not name.endswith(b"\n"):
        return None
    slashes = [slash.start() for slash in re.finditer(b"/", name)]
    for blank in re.finditer(rb"[ \t]", name):
        size = blank.start()
        if not strip:
            start = size + 1
        else:
            before = bisect(slashes, size)
            if before + strip > len(slashes):
                return None
            start = slashes[before + strip - 1] + 1
        if name[size + 1 : size + 2] == b"/" and strip < 2:
            return None
        if len(name) - start == size + 1 and name.startswith(name[:size], start):
            return name[:size]
    return None


def _index(patch: FilePatch, text: bytes, at: int) -> None:
    """apply.c, gitdiff_index."""
    old, dots, rest = text.partition(b"..")
    if not dots or b"." in old or len(old) > 40:
        return
    new, space, mode = rest.removesuffix(b"\n").partition(b" ")
    if len(new) > 40:
        return
    patch.old_id, patch.new_id = old, new
    if space:
        patch.old_mode = _mode(mode + b"\n", at)


def _is_null(text: bytes) -> bool:
    """apply.c, is_dev_null."""
    return text.startswith(b"/dev/null") and text[9:10] in (b" ", b"\t", b"\n", b"\r")


def _is_epoch(text: bytes) -> bool:
    """apply.c, has_epoch_timestamp."""
    _, tab, stamp = text.rpartition(b"\t")
    found = _EPOCH.match(stamp) if tab else None
    if found is None:
        return False
    minutes = int(found[2]) * 60 + int(found[3]) - (1440 if found[1][:4] == b"1969" else 0)
    zone = int(found[5]) * 60 + int(found[6])
    return minutes == (zone if found[4] == b"+" else -zone)


def _mode(text: bytes, at: int) -> int:
    """apply.c, parse_mode_line."""
    found = _MODE.match(text)
    if found is None:
        raise DiffError(f"line {at + 1}: invalid mode")
    return int(found[1], 8)
