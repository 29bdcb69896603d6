"""The diffs that GNU patch 2.7.6 finds in a file (src/pch.c; pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from converter.engine.diff import MOST_KEPT, DiffError, FilePatch, Hunk, Reread, numbers, unquote
from converter.engine.diff_context import ContextReader, normal_hunk
from converter.engine.patchlines import PatchLines

_SPACE = b" \t\n\v\f\r"
_EMPTY_BLOB = b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? ?\+(\d+)(?:,(\d+))? ?@")
_INDENT = re.compile(rb"[ \tX]*")
# Lines that say something to intuit_diff_type; all others are passed over.
_TELLING = re.compile(
    rb"[ \tX]*(?:\*\*\* |\+\+\+ |(?:- )*--- |Index:|Prereq:|diff --git |@@ -|\*{8})"
    rb"|[ \tX]*(?:index |(?:old|new|new file|deleted file) mode |(?:rename|copy) (?:from|to) "
    rb"|GIT binary patch)"
    rb"|[ \tX]*(?:\d[\d,]*[acdis]|[acdi][ \t]*\n|s/\.//|\.\n|[<>] )"
)
_COMMAND = re.compile(rb"\d[\d,]*[acd][\d,]*[ \t]*\r?\n")  # of a normal diff
_ED = re.compile(rb"(?:(?:\d+)?[ai]|(?:\d+(?:,\d+)?)?(?:[cd]|s/\.//))[ \t]*\n")
_EPOCH = re.compile(
    rb"\s+(?:\w{3} )?(?P<date>1969-12-3[01]|1970-01-0[12]) (?P<h>\d{2}):(?P<m>\d{2})"
    rb"(?::(?P<s>\d{2})(?:\.\d+)?)?(?: (?:UTC|GMT|Z))?(?:\s*(?P<sign>[-+])\s*(?P<zh>\d{1,2}?):?(?P<zm>\d{2})?)?\s*$"
    rb"|\s+\w{3} (?P<month>Jan|Dec) +(?P<day>\d+) (?P<h2>\d{2}):(?P<m2>\d{2}):(?P<s2>\d{2})"
    rb"(?: (?:UTC|GMT))? (?P<year>1970|1969)\s*$"
)
_ED_SCRIPT = "an ed script, which patch(1) would have the ed program run"
ABSENT = 0  # a timestamp of the epoch: the file does not exist
UNKNOWN = -1
OTHER = 1


def patch_patches(
    data: bytes, strip: int, *, binary: bool = False, loose: bool = False, kind: str = ""
) -> Iterator[FilePatch]:
    """Yield the diffs that patch(1) finds: unified, context and normal ones.

    ``binary`` keeps carriage returns in them, ``loose`` is -l, ``kind`` the one kind that -c, -n or
    -u asks for: "context", "normal" or "unified". An ed script, which patch(1) has a
    program run, is a FilePatch with ``trouble``. Raises DiffError where patch ends with a
    complaint.
    """
    return _Reader(data, strip, binary, loose, kind).patches()


class _Reader:
    def __init__(self, data: bytes, strip: int, binary: bool, loose: bool, kind: str) -> None:
        self._keep_cr = binary
        self._only = kind  # of the first diff alone: src/patch.c, reinitialize_almost_everything
        self._loose = loose
        self._lines = PatchLines(data)
        self._strip = strip
        self._empty = not data
        self._kept = 0  # lines of hunks
        self._prefix = 0  # of the hunk read last, of whatever diff (p_prefix_context)

    def patches(self) -> Iterator[FilePatch]:
        """src/pch.c, there_is_another_patch; each patch is read before the next is looked for."""
        lines = self._lines
        first = True
        while not (lines.at and lines.at >= len(lines.raw)):
            found = self._intuit(self._only if first else "")
            if found is None:
                if first and not self._empty:
                    raise DiffError("only garbage was found in the patch input")
                return
            patch, kind = found
            lines.strip_cr = lines.strip_cr and not self._keep_cr
            if kind == "unified":
                self._unified(patch)
            elif kind == "normal":
                self._normal(patch)
            elif kind:
                self._context(patch, kind)
            yield patch
            first = False

    def _intuit(self, only: str) -> tuple[FilePatch, str] | None:
        """src/pch.c, intuit_diff_type: the next header, up to its first hunk.

        Of hunks only those of the kind ``only`` count, where that is not empty.

        The second value is the kind of diff that the cursor is at; it is empty for a diff without
        hunks, and for one that is not read (binary, ed).
        """
        cursor = self._lines
        lines = cursor.raw
        names: dict[str, bytes | None] = {"old": None, "new": None, "index": None}
        stamps = {"old": UNKNOWN, "new": UNKNOWN}
        says = [0, 0]
        patch = FilePatch(cursor.at + 1)
        cursor.indent = cursor.nesting = 0
        cursor.strip_cr = False
        need_header, extended = only != "normal", False
        renames = {"rename from": False, "rename to": False, "copy from": False, "copy to": False}
        stars = command = False  # what the line before was
        stars_indent = 0
        script: bool | None = None  # an ed script began; True: with a line that is surely ed's
        telling = _TELLING.match
        at, previous = cursor.at, cursor.at

        def found(position: int, kind: str = "") -> tuple[FilePatch, str]:
            cursor.at = position
            patch.old, patch.new, patch.index = names["old"], names["new"], names["index"]
            patch.nonexistent = (says[0], says[1])
            patch.rename = renames["rename from"] and renames["rename to"]
            patch.copy = renames["copy from"] and renames["copy to"]
            return patch, kind

        while at < len(lines):
            line = lines[at]
            if not telling(line):
                if line[:1] != b"#":  # a comment is no line
                    stars, previous = False, at
                at += 1
                continue
            indentation = _INDENT.match(line)
            assert indentation
            text = line[indentation.end() :]
            after_command = command
            if text[:1].isdigit() and re.match(rb"[\d,]+[acd]", text):
                command = bool(_COMMAND.match(text))  # stays until the next line of that kind
            ends_cr = line.endswith(b"\r\n")
            if not need_header and script is None and (command or _ED.match(text)):
                script = bool(_ED.match(text))
                cursor.strip_cr = ends_cr
            stars_before = stars
            if text.startswith(b"*** ") and not stars_before:
                name, stamp = self._fetch(text[4:])
                self._set(names, stamps, "old", name, stamp)
                need_header = False
            elif text.startswith(b"+++ "):
                name, stamp = self._fetch(text[4:])
                self._set(names, stamps, "old", name, stamp)  # swapped at the first hunk
                need_header, cursor.strip_cr = False, ends_cr
            elif text.startswith(b"Index:"):
                name, _ = self._fetch(text[6:], dated=False)
                names["index"] = name or names["index"]
                need_header, cursor.strip_cr = False, ends_cr
            elif text.startswith(b"Prereq:"):
                patch.prereq = (text[7:].split() or [b""])[0]
            elif text.startswith(b"diff --git "):
                if extended:
                    return found(at)
                names["old"], names["new"] = self._git_names(text[11:])
                patch.git, need_header = True, False
                patch.at = at + 1
            elif patch.git and text.startswith(b"index "):
                ids = re.match(
                    rb"index ([0-9a-fA-F]+)\.\.([0-9a-fA-F]+)(?:\s+(.*))?$", text, re.DOTALL
                )
                if ids:
                    says = [_says(ids[1]), _says(ids[2])]
                    if ids[3] and ids[3].strip():
                        patch.old_mode = patch.new_mode = _mode(ids[3])
                    extended = True
            elif patch.git and text.startswith(b"old mode "):
                patch.old_mode, extended = _mode(text[9:]), True
            elif patch.git and text.startswith(b"new mode "):
                patch.new_mode, extended = _mode(text[9:]), True
            elif patch.git and text.startswith(b"deleted file mode "):
                patch.old_mode, extended, says[1] = _mode(text[18:]), True, 2
            elif patch.git and text.startswith(b"new file mode "):
                patch.new_mode, extended, says[0] = _mode(text[14:]), True, 2
            elif patch.git and text.startswith((b"rename ", b"copy ")):
                renames[b" ".join(text.split(b" ", 2)[:2]).decode()] = extended = True
            elif patch.git and text.startswith(b"GIT binary patch"):
                patch.is_binary = True
                return found(at + 1)
            else:
                dashes = re.match(rb"((?:- )*)--- ", text)
                if dashes:
                    name, stamp = self._fetch(text[dashes.end() :])
                    known = stamps["new"] if stamp == UNKNOWN else stamp
                    self._set(names, stamps, "new", name, known)
                    need_header, cursor.strip_cr = False, ends_cr
                    if stamp != UNKNOWN:
                        cursor.nesting = len(dashes[1]) // 2
            if not need_header:
                columns = _columns(indentation[0])
                if text == b".\n" and script is not None and not only:
                    patch.trouble = _ED_SCRIPT
                    return found(at + 1)
                if text.startswith(b"@@ -") and only in ("", "unified"):
                    names["old"], names["new"] = names["new"], names["old"]
                    stamps["old"], stamps["new"] = stamps["new"], stamps["old"]
                    ranges = re.match(rb"@@ -(0(?!\d))?[^ \n]* *(\+0(?!\d))?", text)
                    assert ranges
                    if ranges[1]:
                        says[0] = 1 + (stamps["old"] == ABSENT)
                    if ranges[2]:
                        says[1] = 1 + (stamps["new"] == ABSENT)
                    cursor.indent = columns
                    return found(at, "unified")
                after_stars = stars_before and stars_indent == columns
                if text.startswith(b"*** ") and after_stars and only in ("", "context"):
                    if re.match(rb"\*\*\* 0(?!\d)", text):
                        says[0] = 1 + (stamps["old"] == ABSENT)
                    cursor.indent, cursor.strip_cr = columns, ends_cr
                    kind = "new context" if text.endswith(b"*\n") else "context"
                    if self._empties(previous, kind):
                        says[1] = 1 + (stamps["new"] == ABSENT)
                    return found(previous, kind)
                changed = after_command and text.startswith((b"< ", b"> "))
                if changed and only in ("", "normal"):
                    cursor.indent = columns
                    return found(previous, "normal")
                stars, stars_indent = text.startswith(b"********"), columns
            previous = at
            at += 1
        if script:
            patch.trouble = _ED_SCRIPT
        return found(at) if extended or script else None

    @staticmethod
    def _set(
        names: dict[str, bytes | None],
        stamps: dict[str, int],
        side: str,
        name: bytes | None,
        stamp: int,
    ) -> None:
        if name is not None:
            names[side] = name
            stamps[side] = stamp
        elif stamp == ABSENT:
            stamps[side] = stamp

    def _fetch(self, text: bytes, *, dated: bool = True) -> tuple[bytes | None, int]:
        """src/util.c, fetchname: the name, stripped, and what its timestamp says."""
        text = text.lstrip(_SPACE)
        if text[:1] == b'"':
            quoted = unquote(text)
            if quoted is None:
                return None, UNKNOWN
            name, rest = quoted
        else:
            end = _name_end(text, b"\t" if dated else b"\n")
            name, rest = text[:end], text[end:]
        if name == b"/dev/null":
            return None, ABSENT
        stripped = strip_slashes(name, self._strip)
        if stripped is None:
            return None, UNKNOWN
        if rest == b"\n" or not rest:
            return stripped, UNKNOWN
        if not dated:
            return None, UNKNOWN
        return stripped, ABSENT if _is_epoch(rest) else OTHER  # to get_date, nothing is now

    def _git_names(self, text: bytes) -> tuple[bytes | None, bytes | None]:
        """src/pch.c, intuit_diff_type and parse_name: both names of a git header, or neither."""
        found: list[bytes | None] = []
        for _ in range(2):
            if found and not text[:1].isspace():
                return None, None
            text = text.lstrip(_SPACE)
            if text[:1] == b'"':
                quoted = unquote(text)
                if quoted is None:
                    return None, None
                name, text = quoted
            else:
                name = re.split(rb"\s", text, maxsplit=1)[0]
                text = text[len(name) :]
            found.append(strip_slashes(name, self._strip))
        if found[0] is None or found[1] is None or text.strip(_SPACE):
            return None, None
        return found[0], found[1]

    # -- hunks -----------------------------------------------------------------------------

    def _context(self, patch: FilePatch, kind: str) -> None:
        reader = self._context_reader(kind)
        patch.hunks = [*iter(reader.hunk, None)]
        self._prefix = reader.earlier

    def _context_reader(self, kind: str) -> ContextReader:
        return ContextReader(
            self._lines,
            new_style=kind == "new context",
            loose=self._loose,
            earlier=self._prefix,
        )

    def _empties(self, position: int, kind: str) -> bool:
        """src/pch.c, intuit_diff_type: does the first hunk leave nothing in the file?"""
        self._lines.at = position
        reader = self._context_reader(kind)
        hunk = reader.hunk()
        self._prefix = reader.earlier
        return hunk is not None and not hunk.new_count and hunk.new_start == 0

    def _normal(self, patch: FilePatch) -> None:
        patch.hunks = [*iter(lambda: normal_hunk(self._lines), None)]
        if patch.hunks:
            self._prefix = 0

    def _unified(self, patch: FilePatch) -> None:
        start = self._lines.at
        hunks: list[Hunk] = []
        count = 0
        for hunk in _unified_hunks(self._lines):
            count += 1
            self._prefix = hunk.prefix
            self._kept += len(hunk.lines)
            if self._kept <= MOST_KEPT:
                hunks.append(hunk)
        patch.hunks = hunks
        if len(hunks) < count:
            first = self._lines.back_at(start)
            patch.hunks = Reread(count, lambda: _unified_hunks(first.back_at(start)))


def _unified_hunks(cursor: PatchLines) -> Iterator[Hunk]:
    """src/pch.c, another_hunk: hunk after hunk; the cursor stays where there is no other."""
    lines = cursor.raw
    plain = cursor.plain
    while True:
        start = cursor.at
        line = cursor.read()
        if line is None or len(line) <= 4 or not line.startswith(b"@@ -"):
            cursor.at = start
            return
        header = _HUNK.match(line)
        if header is None:
            raise DiffError(f"malformed patch at line {cursor.at}")
        old_start, old_count, new_start, new_count = numbers(header)
        whole = cursor.hunk(old_start, old_count, new_start, new_count)
        if whole is not None:
            cursor.at += len(whole.lines)
            yield whole
            continue
        kept: list[bytes] = []
        hunk = Hunk(cursor.at, old_start, old_count, new_start, new_count, kept)
        old_left, new_left = old_count, new_count
        prefix, context = -1, 0
        undone: int | None = None  # a line that is incomplete on the new side only
        position = cursor.at
        while old_left or new_left:
            if plain and position < len(lines) and lines[position][:1] != b"#":
                line = lines[position]
                position += 1
            else:
                cursor.at = position
                line = cursor.read()
                position = cursor.at
                if line is None:
                    if new_left >= 4:
                        raise DiffError("unexpected end of file in patch")
                    line = b" \n"  # blank lines at the end got chopped
            sign = line[:1]
            if sign in (b"\t", b"\n"):
                sign, line = b" ", b" " + line
            elif sign == b"=":
                sign, line = b" ", b" " + line[1:]
            if sign == b" ":
                if not old_left or not new_left:
                    raise DiffError(f"malformed patch at line {position}")
                context += 1
                old_left -= 1
                new_left -= 1
                last = not old_left or not new_left
            elif sign == b"-":
                if not old_left:
                    raise DiffError(f"malformed patch at line {position}")
                old_left -= 1
                last = not old_left
            elif sign == b"+":
                if not new_left:
                    raise DiffError(f"malformed patch at line {position}")
                new_left -= 1
                last = not new_left
            else:
                raise DiffError(f"malformed patch at line {position}")
            if sign != b" ":
                if prefix == -1:
                    prefix = context
                context = 0
            if last:
                cursor.at = position
                if cursor.incomplete():
                    position = cursor.at
                    if sign == b" " and old_left:
                        undone = len(kept)
                    else:
                        line = line.removesuffix(b"\n")
                        hunk.complete = False
            kept.append(line)
        cursor.at = position
        if prefix == -1:
            raise DiffError(f"malformed patch at line {position}")
        hunk.prefix, hunk.suffix = prefix, context
        if undone is not None:
            back = hunk.swapped()
            back.lines = [*back.lines]
            back.lines[undone] = back.lines[undone].removesuffix(b"\n")
            back.complete, back.back = False, hunk
            hunk.back = back
        yield hunk


def strip_slashes(name: bytes, strip: int) -> bytes | None:
    """src/util.c, strip_leading_slashes: several slashes count as one; -1 strips all."""
    start = position = 0
    left = strip
    while (position := name.find(b"/", position)) >= 0:
        while name[position + 1 : position + 2] == b"/":
            position += 1
        left -= 1
        if strip < 0 or left >= 0:
            start = position + 1
        position += 1
    return name[start:] if left <= 0 and start < len(name) else None


def _name_end(text: bytes, separator: bytes) -> int:
    """src/util.c, fetchname: a name may hold spaces only if ``separator`` comes after it."""
    last = text.rfind(separator)
    for blanks in re.finditer(rb"\s+", text):
        at, end = blanks.span()
        tab = text.find(b"\t", at, end)
        if tab >= 0 or end - 1 >= last:
            return at
    return len(text)


def _is_epoch(text: bytes) -> bool:
    """The date is the epoch in some zone: within -25 and +26 hours of it (src/util.c)."""
    found = _EPOCH.match(text)
    if found is None:
        return False
    if found["year"]:
        day = int(found["day"]) - 1 if found["month"] == b"Jan" else int(found["day"]) - 32
        if found["year"] == (b"1969" if found["month"] == b"Jan" else b"1970"):
            return False
        seconds = day * 86400 + int(found["h2"]) * 3600 + int(found["m2"]) * 60 + int(found["s2"])
    else:
        day = {b"1969-12-30": -2, b"1969-12-31": -1, b"1970-01-01": 0, b"1970-01-02": 1}[
            found["date"]
        ]
        seconds = day * 86400 + int(found["h"]) * 3600 + int(found["m"]) * 60 + int(found["s"] or 0)
    if found["sign"]:
        east = int(found["zh"]) * 3600 + int(found["zm"] or 0) * 60
        seconds -= east if found["sign"] == b"+" else -east
    return -25 * 3600 < seconds < 26 * 3600


def _says(id: bytes) -> int:
    """src/pch.c, sha1_says_nonexistent."""
    if not id.strip(b"0"):
        return 2
    return int(_EMPTY_BLOB.startswith(id))


def _mode(text: bytes) -> int:
    """src/pch.c, fetchmode."""
    found = re.match(rb"\s*([0-7]{6})\r?\n", text)
    return int(found[1], 8) if found else 0


def _columns(indentation: bytes) -> int:
    """src/pch.c, intuit_diff_type: a tab goes to the next multiple of eight."""
    column = 0
    for char in indentation:
        column = (column + 8) & ~7 if char == 9 else column + 1
    return column
