"""Strategies: small files, edits of them, diffs in every dialect, and damage (hypothesis)."""

from __future__ import annotations

import base64
import difflib
import hashlib
import zlib
from dataclasses import dataclass, replace
from itertools import groupby

from hypothesis import strategies as st

from converter.engine.apply import Rules
from converter.tree import File
from specparse.plan import Tool

Lines = list[bytes]
Draw = st.DrawFn
LINK, SUBMODULE = 0o120000, 0o160000

# Few words, so that a hunk's lines often stand in more than one place.
_WORDS = st.sampled_from(
    [b"a", b"b", b"c", b"d", b"e", b"f", b"", b" a", b"a ", b"\ta", b"}", b"a\r", b"-- x", b"++ y"]
)
_DISTINCT = [b"line %d" % n for n in range(40)]
_NAMES = [b"f", b"g", b"d/f", b"d/e/f", b"d/e/g", b"a b", b"d/x y", b"u\xc3\xa9", b'q"q', b"t\tb"]
_PLAIN_NAMES = [*_NAMES[:5], b"d"]  # a file, and a directory elsewhere
_PROSE = [
    b"\n", b"words\n", b"---\n", b" f | 2 +-\n", b"diff -up a/f b/f\n", b"======\n", b"-- \n",
    b"2.1\n", b"--- not a header\n", b"*** stars\n", b"+++ plus\n", b"@@ nothing\n", b"Index: g\n",
    b"Only in a: b\n", b"diff --git a/f\n", b"index 0000000..1111111\n", b"# remark\n",
    b"    --- a/f\n", b"diff --git a/f b/f\n", b"old mode 100644\n", b"1d\n", b"> quoted\n",
    b"@@ -1 +1 @@\n", b"Signed-off-by: A <a@b>\n", b"Prereq: line\n", b"Prereq: a\n",
    b"***************\n", b"*** 1,3 ****\n",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    files: dict[bytes, File]
    diff: bytes
    rules: Rules


@dataclass(frozen=True, slots=True)
class Piece:
    """A hunk before it is written down; counts follow from the lines unless they are given."""

    old_start: int
    new_start: int
    lines: tuple[bytes, ...]  # with their signs and newlines
    grown: tuple[int, int] = (0, 0)  # added to the true counts

    def render(self) -> bytes:
        old = sum(line[:1] in b" -" for line in self.lines) + self.grown[0]
        new = sum(line[:1] in b" +" for line in self.lines) + self.grown[1]
        out = [b"@@ -%s +%s @@\n" % (_range(self.old_start, old), _range(self.new_start, new))]
        return b"".join([*out, *map(_ended, self.lines)])

    def context(self, *, stars: bool, whole: bool) -> bytes:
        """The hunk of a context diff; a side without changes is left out unless ``whole``."""
        sides: list[Lines] = [[], []]
        for sign, run in groupby(self.lines, key=lambda line: line[:1] == b" "):
            lines = list(run)
            both = len({line[:1] for line in lines}) == 2
            for line in lines:
                mark = b"! " if both else line[:1] + b" "
                for side, skipped in zip(sides, (b"+", b"-"), strict=True):
                    if sign or line[:1] != skipped:
                        side.append(mark + line[1:])
        out = [b"***************\n"]
        starts = (self.old_start, self.new_start)
        for number, side in enumerate(sides):
            count = len(side) + self.grown[number]
            mark, tail = ((b"***", b" ****"), (b"---", b" ----"))[number]
            span = b"%d" % starts[number]
            if count > 1:
                span += b",%d" % (starts[number] + count - 1)
            out.append(b"%s %s%s\n" % (mark, span, tail if stars or number else b""))
            if whole or any(line[:1] != b" " for line in side):
                out += [_ended(line) for line in side]
        return b"".join(out)

    def normal(self) -> bytes:
        """The hunk of a normal diff; context goes missing."""
        old = [b"< " + line[1:] for line in self.lines if line[:1] == b"-"]
        new = [b"> " + line[1:] for line in self.lines if line[:1] == b"+"]
        kind = b"c" if old and new else b"d" if old else b"a"
        spans = []
        for start, lines, more in zip(
            (self.old_start, self.new_start), (old, new), self.grown, strict=True
        ):
            last = start + len(lines) + more - 1
            spans.append(b"%d" % start if last <= start else b"%d,%d" % (start, last))
        out = [kind.join(spans) + b"\n", *map(_ended, old)]
        return b"".join(out + [b"---\n"] * (kind == b"c") + [*map(_ended, new)])


def _range(start: int, count: int) -> bytes:
    return b"%d" % start if count == 1 else b"%d,%d" % (start, count)


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


# -- contents ------------------------------------------------------------------------------


@st.composite
def texts(draw: Draw, most: int = 14) -> Lines:
    kind = draw(st.integers(0, 1))
    if kind == 0:
        count = draw(st.integers(0, most * 2))
        lines = [line + b"\n" for line in _DISTINCT[:count]]
    else:
        lines = [line + b"\n" for line in draw(st.lists(_WORDS, max_size=most))]
    if lines and draw(st.integers(0, 4)) == 0:
        lines[-1] = lines[-1][:-1] or b"z"
    if draw(st.integers(0, 11)) == 0:
        lines = [line.replace(b"\n", b"\r\n") for line in lines]
    return lines


@st.composite
def edited(draw: Draw, lines: Lines, most: int = 3) -> Lines:
    out = list(lines)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(out)))
        kind = draw(st.integers(0, 2))
        if kind != 1:
            fresh = [word + b"\n" for word in draw(st.lists(_WORDS, min_size=1, max_size=3))]
            out[at : at + (kind == 2)] = fresh
        else:
            del out[at : at + draw(st.integers(1, 3))]
    if out and draw(st.integers(0, 9)) == 0:
        last = out[-1]
        out[-1] = last[:-1] if last.endswith(b"\n") and len(last) > 1 else last + b"\n"
    # Only the last line may lack its newline.
    return [line if line.endswith(b"\n") else line + b"\n" for line in out[:-1]] + out[-1:]


def pieces(old: Lines, new: Lines, context: int) -> list[Piece]:
    """The hunks of a unified diff, as diff -U writes them."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    made = []
    for group in matcher.get_grouped_opcodes(context):
        lines: Lines = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [b" " + line for line in old[i1:i2]]
            else:
                lines += [b"-" + line for line in old[i1:i2]]
                lines += [b"+" + line for line in new[j1:j2]]
        first, last = group[0], group[-1]
        old_start = first[1] + (last[2] > first[1])
        new_start = first[3] + (last[4] > first[3])
        made.append(Piece(old_start, new_start, tuple(lines)))
    return made


@st.composite
def damaged(draw: Draw, hunks: list[Piece]) -> list[Piece]:
    hunks = list(hunks)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2]))):
        if not hunks:
            break
        at = draw(st.integers(0, len(hunks) - 1))
        hunk = hunks[at]
        kind = draw(st.integers(0, 10))
        if kind == 0:
            by = draw(st.integers(-4, 6))
            hunks = [_moved(each, by) for each in hunks]
        elif kind == 1:
            hunks[at] = _moved(hunk, draw(st.integers(-4, 6)))
        elif kind == 2:
            other = draw(st.integers(0, len(hunks) - 1))
            hunks[at], hunks[other] = hunks[other], hunks[at]
        elif kind == 3:
            hunks.insert(draw(st.integers(0, len(hunks))), hunk)
        elif kind == 4:
            del hunks[at]
        elif kind in (5, 6):
            line = draw(st.integers(0, len(hunk.lines) - 1))
            word = draw(_WORDS)
            sign = hunk.lines[line][:1] if kind == 5 else draw(st.sampled_from([b" ", b"-", b"+"]))
            changed = (*hunk.lines[:line], sign + word + b"\n", *hunk.lines[line + 1 :])
            hunks[at] = replace(hunk, lines=changed)
        elif kind == 7:
            front, back = draw(st.integers(0, 2)), draw(st.integers(0, 2))
            hunks[at] = _trimmed(hunk, front, back)
        elif kind == 8:
            hunks[at] = replace(
                hunk, grown=draw(st.sampled_from([(1, 0), (0, 1), (-1, -1), (1, 1)]))
            )
        elif kind == 9:
            blank = tuple(b"\n" if line == b" \n" else line for line in hunk.lines)
            hunks[at] = replace(hunk, lines=blank)
        else:
            line = draw(st.integers(0, len(hunk.lines) - 1))
            one = hunk.lines[line]
            one = one[:-1] if one.endswith(b"\n") else one + b"\n"
            hunks[at] = replace(hunk, lines=(*hunk.lines[:line], one, *hunk.lines[line + 1 :]))
    return hunks


def _moved(hunk: Piece, by: int) -> Piece:
    return replace(
        hunk, old_start=max(hunk.old_start + by, 0), new_start=max(hunk.new_start + by, 0)
    )


def _trimmed(hunk: Piece, front: int, back: int) -> Piece:
    lines = list(hunk.lines)
    start = (hunk.old_start, hunk.new_start)
    while front and lines and lines[0][:1] == b" ":
        del lines[0]
        start, front = (start[0] + 1, start[1] + 1), front - 1
    while back and lines and lines[-1][:1] == b" ":
        del lines[-1]
        back -= 1
    return Piece(start[0], start[1], tuple(lines)) if lines else hunk


# -- headers -------------------------------------------------------------------------------


def quoted(name: bytes) -> bytes:
    """As git quotes names (quote.c): in C style where a byte asks for it."""
    if not any(byte < 32 or byte > 126 or byte in b'"\\' for byte in name):
        return name
    out = b""
    for byte in name:
        if byte in b'"\\':
            out += b"\\%c" % byte
        elif byte == 9:
            out += b"\\t"
        elif 32 <= byte < 127:
            out += b"%c" % byte
        else:
            out += b"\\%03o" % byte
    return b'"' + out + b'"'


_EPOCH = b"1970-01-01 00:00:00.000000000 +0000"
_TIME = b"2015-03-04 05:06:07.000000000 +0100"
_STAMPS = [
    b"", b"", b"", b"\t" + _TIME, b"\t" + _EPOCH, b"\t1970-01-01 01:00:00.000000000 +0100", b"\t",
    b"\tWed Mar  4 05:06:07 2015", b"\t(revision 3)", b" " + _TIME, b"\r", b"  ",
    b"\tThu Jan  1 00:00:00 1970", b"\t1969-12-31 19:00:00.000000000 -0500",
    b"\t1970-01-01 00:00:00 UTC",
]  # fmt: skip


def _prefixed(side: bytes, name: bytes, strip: int) -> bytes:
    return b"/".join([*[b"x", b"y"][: max(strip - 1, 0)], *([side] if strip else []), name])


def blob_id(data: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest().encode()


@st.composite
def traditional(draw: Draw, name: bytes, strip: int, creates: bool, deletes: bool) -> bytes:
    old, new = _prefixed(b"a", name, strip), _prefixed(b"b", name, strip)
    stamps = [draw(st.sampled_from(_STAMPS)), draw(st.sampled_from(_STAMPS))]
    if creates:
        stamps[0] = draw(st.sampled_from([b"\t" + _EPOCH, stamps[0]]))
        if draw(st.booleans()):
            old = b"/dev/null"
    if deletes:
        stamps[1] = draw(st.sampled_from([b"\t" + _EPOCH, stamps[1]]))
        if draw(st.booleans()):
            new = b"/dev/null"
    style = draw(st.integers(0, 13))
    if style == 0:
        old += b".orig"
    elif style == 1:
        new = _prefixed(b"b", b"g", strip)
    if style in (2, 3):
        old, new = quoted(old), quoted(new)
    head = b""
    if style in (3, 4):
        head = b"Index: " + name + b"\n" + b"=" * 67 + b"\n"
    elif style == 5:
        head = b"diff -uNrp " + old + b" " + new + b"\n"
    elif style == 6:
        return b"Index: " + name + b"\n"
    return head + b"--- " + old + stamps[0] + b"\n+++ " + new + stamps[1] + b"\n"


@st.composite
def git_header(
    draw: Draw,
    old_name: bytes,
    new_name: bytes,
    strip: int,
    old: File | None,
    new: File | None,
    *,
    copy: bool = False,
    names: bool = True,
) -> bytes:
    old_name, new_name = old_name or new_name, new_name or old_name
    prefix = [_prefixed(side, b"", strip)[:-1] for side in (b"a", b"b")]
    one = quoted((prefix[0] + b"/" if strip else b"") + old_name)
    two = quoted((prefix[1] + b"/" if strip else b"") + new_name)
    out = b"diff --git " + one + b" " + two + b"\n"
    if old is None and new is not None:
        out += b"new file mode %06o\n" % new.mode
    elif new is None and old is not None:
        out += b"deleted file mode %06o\n" % old.mode
    elif old is not None and new is not None and old.mode != new.mode:
        out += b"old mode %06o\nnew mode %06o\n" % (old.mode, new.mode)
    if old_name != new_name:
        word = b"copy" if copy else b"rename"
        out += b"similarity index 80%%\n%s from %s\n%s to %s\n" % (
            word, quoted(old_name), word, quoted(new_name),
        )  # fmt: skip
    data = (old.data if old else None, new.data if new else None)
    if data[0] != data[1] and draw(st.integers(0, 5)):
        width = 40 if not names else draw(st.sampled_from([7, 40]))
        ids = [b"0" * 40 if each is None else blob_id(each) for each in data]
        mode = b" %06o" % old.mode if old and new and old.mode == new.mode else b""
        out += b"index " + ids[0][:width] + b".." + ids[1][:width] + mode + b"\n"
    if names and (data[0] or b"") != (data[1] or b""):
        tails = [b"\t" if b" " in each else b"" for each in (one, two)]
        out += b"--- " + (b"/dev/null" if old is None else one + tails[0]) + b"\n"
        out += b"+++ " + (b"/dev/null" if new is None else two + tails[1]) + b"\n"
    return out


# -- binary --------------------------------------------------------------------------------


def _encoded(kind: bytes, size: int, data: bytes) -> bytes:
    deflated = zlib.compress(data)
    out = b"%s %d\n" % (kind, size)
    for at in range(0, len(deflated), 52):
        part = deflated[at : at + 52]
        letter = bytes([len(part) + 64 if len(part) <= 26 else len(part) - 26 + 96])
        padded = part + b"\0" * (-len(part) % 4)
        out += letter + base64.b85encode(padded) + b"\n"
    return out + b"\n"


def _delta(old: bytes, new: bytes) -> bytes:
    """A delta by common prefix (gitformat-pack(5))."""
    same = 0
    while same < min(len(old), len(new), 60000) and old[same] == new[same]:
        same += 1

    def size(number: int) -> bytes:
        out = b""
        while number > 127:
            out, number = out + bytes([number & 127 | 128]), number >> 7
        return out + bytes([number])

    out = size(len(old)) + size(len(new))
    if same:
        out += bytes([0x80 | 0x10 | 0x20, same & 255, same >> 8])
    for at in range(same, len(new), 127):
        part = new[at : at + 127]
        out += bytes([len(part)]) + part
    return out


@st.composite
def binary_body(draw: Draw, old: bytes, new: bytes) -> bytes:
    out = b"GIT binary patch\n"
    for one, two in ((old, new), (new, old)):
        if draw(st.booleans()):
            delta = _delta(one, two)
            out += _encoded(b"delta", len(delta), delta)
        else:
            out += _encoded(b"literal", len(two), two)
        if draw(st.integers(0, 9)) == 0:
            break
    if draw(st.integers(0, 7)) == 0:
        at = draw(st.integers(0, len(out) - 1))
        out = out[:at] + draw(st.sampled_from([b"", b"z", b"\n"])) + out[at + 1 :]
    return out


# -- whole cases ---------------------------------------------------------------------------

_MODES = st.sampled_from([0o100644, 0o100644, 0o100644, 0o100755])
_STYLES = st.sampled_from(["unified", "context", "context", "context", "normal"])


@st.composite
def one_file(
    draw: Draw, strip: int, files: dict[bytes, File], *, git: bool, plain: bool, old_style: bool
) -> bytes:
    """Add a file to ``files`` and return a diff that (mostly) fits it."""
    style = draw(_STYLES) if old_style else "unified"
    name = draw(st.sampled_from(_PLAIN_NAMES if plain else _NAMES))
    kind = draw(st.integers(0, 9))
    old_lines = draw(texts())
    new_lines = draw(edited(old_lines))
    mode = draw(_MODES)
    creates, deletes = kind == 0, kind == 1
    if creates:
        old_lines = []
    elif deletes:
        new_lines = []
    old: File | None = None if creates else File(mode, b"".join(old_lines))
    new: File | None = None if deletes else File(mode, b"".join(new_lines))
    context = 0 if style == "normal" else draw(st.sampled_from([3, 3, 3, 2, 1, 0]))
    hunks = pieces(old_lines, new_lines, context)
    hunks = draw(damaged(hunks))
    # What the tree holds: what the diff is for, that with other changes, the result, or nothing.
    state = draw(st.integers(0, 17))
    there = old
    if state in (0, 1, 2, 3):
        there = File(mode, b"".join(draw(edited(old_lines, 1 + state // 2))))
    elif state == 4:
        there = new
    elif state == 5 and draw(st.booleans()):
        there = None
    elif state == 6 and draw(st.booleans()):
        there = File(mode, b"")
    if there is not None:
        files.setdefault(name, there)
    if style == "normal":
        words = draw(
            st.sampled_from([b"", b"", b"Prereq: a\n", b"diff x y\n", b"*** " + name + b"\n"])
        )
        return b"Index: %s\n%s" % (name, words) + b"".join(hunk.normal() for hunk in hunks)
    if style == "context":
        stars, whole = draw(st.integers(0, 3)) > 0, draw(st.integers(0, 3)) == 0
        head = draw(traditional(name, strip, creates, deletes))
        head = head.replace(b"--- ", b"*** ").replace(b"+++ ", b"--- ")
        return head + b"".join(hunk.context(stars=stars, whole=whole) for hunk in hunks)
    body = b"".join(hunk.render() for hunk in hunks)
    if git:
        target = name
        copy = False
        if old and new and draw(st.integers(0, 5)) == 0:
            target, copy = draw(st.sampled_from(_PLAIN_NAMES)), draw(st.booleans())
        if new and draw(st.integers(0, 5)) == 0:
            new = File(draw(st.sampled_from([0o100644, 0o100755])), new.data)
        head = draw(git_header(name, target, strip, old, new, copy=copy))
        return head + body
    return draw(traditional(name, strip, creates, deletes)) + body


@st.composite
def special(draw: Draw, strip: int, files: dict[bytes, File]) -> bytes:
    """A link, a submodule or a binary file."""
    name = draw(st.sampled_from(_PLAIN_NAMES))
    kind = draw(st.sampled_from(["link", "submodule", "binary", "binary"]))
    sides: list[File | None] = []
    for number in range(2):
        if kind == "link":
            target = draw(st.sampled_from([b"f", b"../g", b"nowhere", b"d"]))
            sides.append(File(LINK, target))
        elif kind == "submodule":
            sides.append(File(SUBMODULE, b"%040x" % draw(st.integers(1 + number, 3))))
        else:
            data = bytes(draw(st.lists(st.integers(0, 255), max_size=30)))
            sides.append(File(0o100644, b"\0head" * draw(st.integers(0, 3)) + data))
    absent = draw(st.integers(0, 5))
    if absent < 2:
        sides[absent] = None
    old, new = sides
    there = draw(st.sampled_from([old, old, old, old, new, None, File(0o100644, b"x\n")]))
    if there is not None:
        files.setdefault(name, there)
    text = [b"" if each is None else each.data for each in sides]
    if kind == "binary":
        head = draw(git_header(name, name, strip, old, new, names=False))
        if draw(st.integers(0, 9)) == 0:
            return head + b"Binary files a/f and b/f differ\n"
        return head + (draw(binary_body(text[0], text[1])) if text[0] != text[1] else b"")
    head = draw(git_header(name, name, strip, old, new))
    if kind == "submodule":
        text = [b"Subproject commit " + each + b"\n" if each else b"" for each in text]
    lines = [[each] if each else [] for each in text]
    return head + b"".join(hunk.render() for hunk in pieces(lines[0], lines[1], 3))


@st.composite
def mangled(draw: Draw, diff: bytes) -> bytes:
    """Damage to the text of a diff, without regard to what it means."""
    kind = draw(st.integers(0, 40))
    lines = diff.splitlines(keepends=True)
    if kind > 7 or not lines:
        return diff
    at = draw(st.integers(0, len(lines) - 1))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        return diff[: draw(st.integers(0, len(diff)))]
    elif kind == 3:
        lines.insert(at, draw(st.sampled_from(_PROSE)))
    elif kind == 4:
        return diff.replace(b"\n", b"\r\n")
    elif kind == 5:
        indent = draw(st.sampled_from([b" ", b"    ", b"\t", b"X", b"- "]))
        return b"".join(indent + line for line in lines)
    elif kind == 6:
        where = draw(st.integers(0, len(diff) - 1))
        return (
            diff[:where] + draw(st.sampled_from([b"", b" ", b"@", b"-", b"\n"])) + diff[where + 1 :]
        )
    else:
        return diff + draw(st.sampled_from([b"\n", b"\n\n", b"-- \n2.1\n", b" ", b"x"]))
    return b"".join(lines)


_OPTIONS: dict[Tool, list[tuple[str, ...]]] = {
    "patch": [
        (), (), (), (), ("-f",), ("-f",), ("-f",), ("-E",), ("-N",), ("--binary",), ("-t",),
        ("-l",), ("-l", "-f"),
    ],
    "git-apply": [
        *[()] * 9, ("--unidiff-zero",), ("-C1",), ("-C0",), ("-C2",), ("--recount",),
        ("--exclude=d/*",), ("--include=d/*", "--exclude=*"), ("--directory=d",),
        ("--whitespace=nowarn",), ("--binary",), ("--index",),
    ],
    "git-am": [*[()] * 9, ("--keep-cr",), ("-C1",), ("--directory=d",), ("--exclude=d/*",)],
}  # fmt: skip


@st.composite
def cases(draw: Draw, tool: Tool, *, old_style: bool = False) -> Case:
    """Some files, a diff that mostly fits them, and the rules to apply it by.

    ``old_style`` makes context and normal diffs, which only patch(1) takes.
    """
    strip = draw(st.sampled_from([1, 1, 1, 1, 1, 0, 2, 3]))
    files: dict[bytes, File] = {}
    parts = []
    count = draw(st.sampled_from([1, 1, 1, 2, 3]))
    for _ in range(count):
        lines = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]))
        parts += [draw(st.sampled_from(_PROSE)) for _ in range(lines)]
        git = draw(st.integers(0, 2)) < (1 if tool == "patch" else 2)
        if draw(st.integers(0, 9 if tool == "patch" else 5)) == 0:
            parts.append(draw(special(strip, files)))
        else:
            plain = count > 1 or draw(st.booleans())
            made = one_file(strip, files, git=git, plain=plain, old_style=old_style)
            parts.append(draw(made))
    diff = draw(mangled(b"".join(parts)))
    rules = Rules(
        tool,
        strip=draw(st.sampled_from([strip] * 20 + [0, 1, 2] + [-1] * (tool == "patch"))),
        fuzz=draw(st.sampled_from([0, 1, 1, 2, 3])) if tool == "patch" else 0,
        reverse=tool != "git-am" and draw(st.integers(0, 7)) == 0,
        options=draw(st.sampled_from(_OPTIONS[tool])),
    )
    if rules.strip < 0:  # where the names lead then
        files = {path.rpartition(b"/")[2]: file for path, file in files.items()}
    return Case(_without_clashes(files), diff, rules)


def _without_clashes(files: dict[bytes, File]) -> dict[bytes, File]:
    """No file below another file, and nothing a submodule directory would hide."""
    return {
        path: file
        for path, file in files.items()
        if not any(path.startswith(other + b"/") for other in files)
    }
