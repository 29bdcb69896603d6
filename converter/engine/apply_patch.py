"""The rules of GNU patch 2.7.6, as rpm and Fedora's specs call it (pure).

rpm calls ``patch -s --fuzz=N --no-backup-if-mismatch -f`` (%_default_patch_flags). ``-f`` asks
nothing (patch(1)): it skips what has no file, takes the Prereq: for granted and never turns a patch
around. A call without it has nobody to answer, and each question gets patch's default: no
(src/util.c, ask). ``-s`` and backups do not change the files that are patched. Any file that fails makes the command fail, and so the whole diff is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from converter.engine.apply import Moved, Refused, Rules, check_length, check_path
from converter.engine.diff import FilePatch, Hunk, split_lines
from converter.engine.diff_patch import patch_patches
from converter.engine.place import Text
from converter.tree import File, Overlay, Tree, parents

_KNOWN = {"-E", "-N", "-f", "-l", "-t", "--binary"}
_REGULAR, _LINK = 0o100000, 0o120000


def apply(diff: bytes, tree: Tree, rules: Rules) -> tuple[dict[bytes, File | None], Moved]:
    """Return the changes and how far hunks moved. Raises Refused, DiffError."""
    unknown = set(rules.options) - _KNOWN
    if unknown:
        raise Refused("UnknownOption", None, f"patch {' '.join(sorted(unknown))} is not supported")
    work = _Work(tree)
    moved = Moved()
    given = rules.options
    for patch in patch_patches(diff, rules.strip, binary="--binary" in given, loose="-l" in given):
        check_length(patch)
        work.apply(patch, rules, moved)
    return work.finish(), moved


def _plain(path: bytes) -> bytes:
    """Return ``path`` as the disk has it: without ``./`` and double slashes."""
    if (b"./" not in path and b"//" not in path) or path.startswith(b"/"):
        return path
    return b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


class _Disk:
    """The files as they lie there, and what patch remembers of each by its inode.

    src/util.c, file_id_table. A file that is written anew has another inode than before.
    """

    def __init__(self, tree: Tree) -> None:
        self.files = Overlay(tree)
        self._inodes: dict[bytes, int] = {}
        self._count = 0
        self._doomed: set[int] = set()  # DELETE_LATER
        self._queued: set[int] = set()  # queued_output
        self._deletions: list[tuple[bytes, int]] = []

    def inode(self, path: bytes) -> int:
        known = self._inodes.get(path)
        if known is None:
            known = self._inodes[path] = self.stale()
        return known

    def stale(self) -> int:
        """What patch takes for the inode of a file that does not exist: none that any has."""
        self._count += 1
        return self._count

    def is_doomed(self, path: bytes) -> bool:
        return bool(self._doomed) and self.inode(path) in self._doomed

    def put(self, path: bytes, file: File | None) -> None:
        """src/util.c, move_file: what was to be deleted is overwritten then, and stays."""
        if self.files.is_dir(path):
            raise Refused("WrongType", path, "a directory, not a regular file")
        self._doomed.discard(self.inode(path))
        self._inodes.pop(path, None)
        self.files.set(path, file)

    def delete_later(self, path: bytes, inode: int) -> None:
        """src/patch.c, delete_file_later."""
        self._deletions.append((path, inode))
        self._doomed.add(inode)

    def delete(self) -> None:
        """src/patch.c, delete_files."""
        for path, inode in self._deletions:
            if inode in self._doomed:
                self.put(path, None)

    def mark(self, path: bytes) -> bool:
        """Mark what is at ``path`` as having output in the queue; tell whether it was already."""
        inode = self.inode(path)
        marked = inode in self._queued
        self._queued.add(inode)
        return marked


class _Work:
    """The files as the run of patch leaves them.

    With git's diffs the state before each refers to before the whole run, so outputs wait in a
    queue (src/patch.c, output_file); and files are deleted when all is done.
    """

    def __init__(self, tree: Tree) -> None:
        self._disk = _Disk(tree)
        self._files = self._disk.files
        self._queue: list[tuple[bytes, File]] = []
        self._git = False

    def finish(self) -> dict[bytes, File | None]:
        """src/patch.c, cleanup and delete_files."""
        self._flush()
        self._disk.delete()
        return dict(self._files.changes)

    def _flush(self) -> None:
        """src/patch.c, output_files."""
        for path, file in self._queue:
            self._disk.put(path, file)
        self._queue.clear()

    def _get(self, path: bytes) -> File | None:
        """Return the file unless it is to be deleted (src/pch.c, intuit_diff_type)."""
        path = _plain(path)
        return None if self._disk.is_doomed(path) else self._files.get(path)

    # -- one file --------------------------------------------------------------------------

    def apply(self, patch: FilePatch, rules: Rules, moved: Moved) -> None:
        """src/patch.c, main: one round of its loop."""
        if patch.trouble:
            raise Refused("NotSupported", patch.new or patch.old, patch.trouble)
        self._reverse = rules.reverse
        kind = _file_type(patch)
        name = _plain(self._choose(patch, kind, rules))
        again = self._git and not patch.git  # look at the file again: inerrno = -1
        if again:
            self._flush()
        self._git = patch.git
        reverse = self._reverse
        target: bytes = name
        if patch.rename or patch.copy:
            if not (patch.old and patch.new and _safe(patch.old) and _safe(patch.new)):
                raise Refused("BadHeader", name, "cannot rename a file without two valid names")
            target = _plain(patch.old if reverse else patch.new)
        if not kind:
            raise Refused("WrongType", name, "the patch changes the type of the file")
        for path in (name, target):
            check_path(path, self._files)
            if any(self._files.get(parent) is not None for parent in parents(path)):
                raise Refused("WrongType", path, "a directory of its path is a file")
        # One of several diffs of the same file?
        there = self._get(name) if target == name else self._files.get(target)
        if patch.git and there is not None and self._disk.mark(target):
            self._flush()
            again = True
            if self._files.get(target) is not None:
                self._disk.mark(target)
        file = self._files.get(name) if again else self._get(name)
        exists = file is not None or self._files.get(name) is not None
        inode = self._disk.inode(name) if exists else self._disk.stale()
        if file is None and self._files.is_dir(name):
            raise Refused("WrongType", name, "a directory, not a regular file")
        if file is not None and (kind not in (_REGULAR, _LINK) or file.mode & 0o170000 != kind):
            raise Refused("WrongType", name, "not a file of the type that the patch is for")
        if patch.is_binary:
            raise Refused("BinaryPatch", target, "patch does not do git's binary diffs")
        if patch.prereq and "-f" not in rules.options:
            _check_revision(patch.prereq, file.data if file else b"", name)
        data = self._hunks(patch, file, target, rules, moved)
        self._store(patch, name, target, file, inode, data, kind, "-E" in rules.options)

    def _store(
        self,
        patch: FilePatch,
        name: bytes,
        target: bytes,
        file: File | None,
        inode: int,
        data: bytes,
        kind: int,
        remove_empty: bool,
    ) -> None:
        """src/patch.c, main: "and put the output where desired"."""
        reverse = self._reverse
        gone = patch.nonexistent[not reverse] == 2
        if not data and (remove_empty or gone or kind == _LINK):
            if patch.rename or patch.copy:  # inname != outname: two pointers, whatever they hold
                if self._files.get(target) is None:
                    raise Refused("FileDoesNotExist", target, "the file to delete does not exist")
                inode = self._disk.inode(target)
            self._disk.delete_later(target, inode)
            return
        if data and gone:
            raise Refused(
                "DeletingFileThatDoesNotMatch",
                target,
                "the patch deletes the file, whose content differs from the patch",
            )
        old_mode, new_mode = patch.old_mode, patch.new_mode
        if reverse:
            old_mode, new_mode = new_mode, old_mode
        set_mode = bool(new_mode) and old_mode != new_mode
        if not (patch.hunks or set_mode or patch.copy or patch.rename):
            return
        bits = new_mode if set_mode else (file.mode if file else 0o644)
        mode = kind if kind == _LINK else (0o100755 if bits & 0o100 else 0o100644)
        made = File(mode, data)
        if patch.git and patch.nonexistent[reverse] != 2:
            self._queue.append((target, made))
        else:
            self._disk.put(target, made)
        if patch.rename:
            self._disk.delete_later(name, inode)

    # -- which file ------------------------------------------------------------------------

    def _choose(self, patch: FilePatch, kind: int, rules: Rules) -> bytes:
        """src/pch.c, intuit_diff_type from scan_exit: the file to patch."""
        index = None if patch.old or patch.new else patch.index
        names = [patch.old, patch.new, index]
        existing = [name is not None and self._exists(name) for name in names]
        best = _best(names, existing)
        last = next((n for n in reversed(names) if n is not None), None)
        if last is None:
            raise Refused("NoFileName", None, f"no file to patch at line {patch.at} of the patch")
        if best is None:
            if self._looks_reversed(patch, None):
                self._may_reverse(
                    rules, "FileDoesNotExist", last, "the file to delete does not exist"
                )
                return last
            if patch.nonexistent[self._reverse]:
                missing = [0 if n is None else self._new_directories(n) for n in names]
                fewest = min(m for m, n in zip(missing, names, strict=True) if n is not None)
                best = _best(names, [m == fewest for m in missing])
            if best is None:
                raise Refused("FileDoesNotExist", last, "the file to patch does not exist")
            return best
        file = self._get(best)
        if file is None or file.mode & 0o170000 != kind:
            return best
        if self._looks_reversed(patch, file):
            if file.data:
                self._may_reverse(
                    rules, "CreatingFileThatExists", best, "the file to create exists"
                )
            else:
                self._may_reverse(
                    rules, "FileDoesNotExist", best, "the file to empty is empty already"
                )
        return best

    def _may_reverse(
        self, rules: Rules, reason: str, name: bytes, detail: str, hunk: int = 0
    ) -> bool:
        """src/util.c, ok_to_reverse: -N skips, -f goes on, -t turns the patch around; or ask."""
        if "-N" not in rules.options:
            if "-f" in rules.options:
                return False
            if "-t" in rules.options:
                self._reverse = not self._reverse
                return True
        raise Refused(reason, name, detail, hunk)

    def _exists(self, name: bytes) -> bool:
        return self._get(name) is not None or self._files.is_dir(_plain(name))

    def _looks_reversed(self, patch: FilePatch, file: File | None) -> bool:
        """src/pch.c, maybe_reverse."""
        reverse = self._reverse
        says = patch.nonexistent
        nonexistent = file is None
        empty = file is None or not file.data
        if empty and says[reverse ^ nonexistent] == 1 and says[(not reverse) ^ nonexistent] == 2:
            return False
        return (not empty) < says[reverse ^ empty]

    def _new_directories(self, name: bytes) -> int:
        """src/pch.c, prefix_components: all less those that are there, as /dev always is."""
        above = name.split(b"/")[:-1]
        paths = [b"/".join(above[: n + 1]) for n, part in enumerate(above) if part]
        return sum(path != b"/dev" and not self._files.is_dir(_plain(path)) for path in paths)

    # -- its hunks -------------------------------------------------------------------------

    def _hunks(
        self,
        patch: FilePatch,
        file: File | None,
        target: bytes,
        rules: Rules,
        moved: Moved,
    ) -> bytes:
        """src/patch.c, main: each hunk with more and more fuzz; the first may be turned around."""
        loose = "-l" in rules.options
        output = _Output(file.data if file else b"", loose)
        force = "-f" in rules.options
        for number, hunk in enumerate(patch.hunks, 1):
            if self._reverse:
                hunk = hunk.swapped()
            place = _Place(hunk, loose)
            limit = min(rules.fuzz, max(hunk.prefix, hunk.suffix))
            where = fuzz = 0
            while True:
                where = output.locate(place, fuzz)
                if where:
                    break
                if number == 1 and not force and self._reverse == rules.reverse:
                    other = _Place(hunk.swapped(), loose)
                    where = output.locate(other, fuzz)
                    if where:
                        detail = "reversed, or applied already"
                        self._may_reverse(rules, "AppliedAlready", target, detail, number)
                        place = other
                        break
                if fuzz >= limit:
                    break
                fuzz += 1
            if not where:
                raise Refused(
                    "NoMatchingLines",
                    target,
                    f"its lines are not found near line {place.first}"
                    + (f" with fuzz up to {limit}" if limit else ""),
                    number,
                )
            absent = patch.nonexistent[self._reverse] == 2
            if where == 1 and absent and file and file.data:
                raise Refused("CreatingFileThatExists", target, "the file exists", number)
            if not output.take(place, where, fuzz):
                raise Refused("MisorderedHunks", target, "it comes before the last one", number)
            moved.by(where - place.first, fuzz)
        return output.finish()


class _Place:
    """A hunk, ready to be found: what it expects, as bytes and as numbers of lines."""

    def __init__(self, hunk: Hunk, loose: bool) -> None:
        self.hunk = hunk
        self.block, self.new = hunk.sides()
        self._lines: list[bytes] | None = None  # where they are not just those of the block
        self._whole = hunk.complete or loose
        if loose or not hunk.complete:
            self._lines = [line[1:] for line in hunk.lines if line[:1] != b"+"]
        if loose:
            self._lines = [_loosened(line) for line in self._lines or ()]
            self.block = b"".join(self._lines)
        self.count = hunk.old_count
        self.first = hunk.old_start + (not hunk.old_count)  # append rather than insert

    def trimmed(self, prefix: int, suffix: int) -> bytes | None:
        """Return the lines without some context; None where no file can have them."""
        if not prefix and not suffix and self._whole:
            return self.block
        lines = split_lines(self.block) if self._lines is None else self._lines
        lines = lines[prefix : self.count - suffix]
        # Only the last line of a file is incomplete, and no line is empty.
        if not self._whole and not (all(lines) and all(_is_whole(line) for line in lines[:-1])):
            return None
        return b"".join(lines)


class _Output:
    """The input with a part of it written out; src/patch.c calls that part frozen."""

    def __init__(self, data: bytes, loose: bool) -> None:
        self._text = Text(data)
        self._seen = Text(_loosened(data)) if loose and data else self._text  # to find lines in
        self._loose = loose
        self._out = bytearray()
        self._frozen = 0  # lines of the input that are written or dropped
        self._frozen_at = 0  # and bytes
        self._newline = True  # the output ends in one
        self._offset = 0

    def locate(self, place: _Place, fuzz: int) -> int:
        """src/patch.c, locate_hunk: the line (from 1) at which the hunk fits; 0 if none.

        Line 0 counts as none, too, but the offset stays.
        """
        where = self._locate(place, fuzz)
        if where is None:
            return 0
        self._offset = where - place.first
        return where

    def _locate(self, place: _Place, fuzz: int) -> int | None:
        hunk, count = place.hunk, place.count
        guess = place.first + self._offset
        if not count:
            return guess
        context = max(hunk.prefix, hunk.suffix)
        prefix = fuzz + hunk.prefix - context
        suffix = fuzz + hunk.suffix - context
        if prefix < 0 and place.first <= 1:  # only at the start of the file
            if suffix < 0 and (count != self._text.total or hunk.prefix < self._frozen):
                return None
            fits = self._frozen <= hunk.prefix and self._fits(1, place.trimmed(0, max(suffix, 0)))
            return 1 if fits and self._text.total - (count - suffix) + 1 >= 1 else None
        prefix = max(prefix, 0)
        if suffix < 0:  # only at the end of the file
            where = self._text.total - count + 1
            if where < self._frozen + 1:
                return None
            block = place.trimmed(prefix, 0)
            return where if self._fits(where + prefix, block, to_end=True) else None
        block = place.trimmed(prefix, suffix)
        if block is None:
            return None
        if guess > self._frozen and self._fits(guess + prefix, block):
            return guess
        return self._nearest(block, guess, prefix, count - suffix)

    def _fits(self, line: int, block: bytes | None, *, to_end: bool = False) -> bool:
        """src/patch.c, patch_match: do the lines of ``block`` stand at ``line`` (from 1)?"""
        if block is None:
            return False
        at = self._seen.offset(line - 1)
        data = self._seen.data
        if at is None or not data.startswith(block, at):
            return False
        end = at + len(block)
        if to_end:
            return end == len(data)
        return block.endswith(b"\n") or not block or end == len(data)

    def _nearest(self, block: bytes, guess: int, prefix: int, count: int) -> int | None:
        """src/patch.c, locate_hunk: outwards from the guess, forwards before backwards."""
        last = self._text.total - count + 1
        first = self._frozen + 1
        forwards, backwards = last - guess, guess - first
        start = guess - last if forwards < 0 else guess - first if backwards < 0 else 0
        if not block:  # nothing to compare
            if start > max(forwards, backwards):
                return None
            return guess + start if start <= forwards else guess - start
        text = self._seen
        # A block without a newline at its end can only be the end of the file.
        ends = text.total - block.count(b"\n") - 1 if text.data.endswith(block) else -1
        origin = prefix - 1  # from ``where`` to the line at which the block stands
        forward = backward = None
        for line in text.after(block, guess + start + origin):
            if line - origin > last:
                break
            if line == ends or _is_whole(block):
                forward = line - origin
                break
        for line in text.before(block, guess - start + origin, first + origin):
            if line == ends or _is_whole(block):
                backward = line - origin
                break
        if forward is None or (backward is not None and guess - backward < forward - guess):
            return backward
        return forward

    def take(self, place: _Place, where: int, fuzz: int) -> bool:
        """src/patch.c, apply_hunk: write the hunk; False where the hunks are out of order."""
        hunk = place.hunk
        if (
            fuzz == 0
            and hunk.complete
            and not self._loose
            and self._newline
            and where - 1 >= self._frozen
        ):
            at = self._text.offset(where - 1)
            if at is not None:
                rest = _length_of_last(hunk.suffix, place.block)
                if place.count == 0 and at == len(self._text.data) and not self._ends_in_newline():
                    return self._slowly(hunk, where)
                self._out += self._text.data[self._frozen_at : at]
                self._out += place.new[: len(place.new) - rest]
                self._frozen = where - 1 + place.count - hunk.suffix
                self._frozen_at = at + len(place.block) - rest
                return True
        return self._slowly(hunk, where)

    def _ends_in_newline(self) -> bool:
        return not self._text.data or self._text.data.endswith(b"\n")

    def _slowly(self, hunk: Hunk, where: int) -> bool:
        """Line by line, as apply_hunk does it: context comes from the file, not from the patch."""
        line = where - 1  # of the input, before which the hunk now stands
        old_left = sum(text[:1] != b"+" for text in hunk.lines)
        for text in _in_order(hunk.lines):
            sign = text[:1]
            if sign == b" ":
                line += 1
                old_left -= 1
                continue
            if sign == b"-" and not self._newline:
                raise Refused("Malformed", b"", "patch fails an assertion: lines behind the last")
            if not self._copy(line):
                return False
            if sign == b"-":
                line += 1
                old_left -= 1
                at = self._text.offset(line)
                self._frozen, self._frozen_at = line, len(self._text.data) if at is None else at
            else:
                if not self._newline and not old_left:
                    self._out += b"\n"
                if len(text) == 1:  # an empty line without a newline: pch_write_line
                    raise Refused("Malformed", b"", "patch cannot write an empty line")
                self._out += text[1:]
                self._newline = text.endswith(b"\n")
        return True

    def _copy(self, line: int) -> bool:
        """src/patch.c, copy_till."""
        if self._frozen > line:
            return False
        at = self._text.offset(line)
        end = len(self._text.data) if at is None else at
        if end > self._frozen_at:
            if not self._newline:
                self._out += b"\n"
            self._out += self._text.data[self._frozen_at : end]
            self._newline = self._text.data[end - 1] == 10
        self._frozen, self._frozen_at = line, end
        return True

    def finish(self) -> bytes:
        """src/patch.c, spew_output."""
        rest = self._text.data[self._frozen_at :]
        if rest and not self._newline:
            self._out += b"\n"
        return b"".join([self._out, rest])


def _length_of_last(lines: int, block: bytes) -> int:
    """Return how many bytes the last ``lines`` of it have."""
    at = len(block) - 1
    for _ in range(lines):
        at = block.rfind(b"\n", 0, at)
    return len(block) - 1 - at


def _in_order(lines: Sequence[bytes]) -> Iterator[bytes]:
    """src/patch.c, apply_hunk: what is taken away comes before what is put there."""
    for _, run in groupby(lines, key=lambda line: line[:1] == b" "):
        yield from sorted(run, key=lambda line: line[:1] == b"+")


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\n")


_BLANKS = re.compile(rb"[ \t]+")


def _loosened(text: bytes) -> bytes:
    """Whole lines in the form in which -l compares them (src/patch.c, similar).

    Blanks in a row are one, those at the end none, and a newline that is missing does not count.
    """
    return _BLANKS.sub(b" ", text if _is_whole(text) else text + b"\n").replace(b" \n", b"\n")


def _check_revision(word: bytes, data: bytes, name: bytes) -> None:
    """src/inp.c, plan_a and report_revision: without -f, patch wants to see the Prereq: word.

    The search ends a word's length before the end of the file, whatever stands there.
    """
    end = len(data) - len(word)
    at = data.find(word, 0, max(end - 1, 0) + len(word)) if end > 0 else -1
    while at >= 0:
        after = data[at + len(word) : at + len(word) + 1]
        if (not at or data[at - 1 : at].isspace()) and (at + 1 == end or after.isspace()):
            return
        at = data.find(word, at + 1, end - 1 + len(word))
    raise Refused("FileDoesNotMatch", name, f"it is not the version {word!r} that the patch wants")


def _file_type(patch: FilePatch) -> int:
    """src/pch.c, intuit_diff_type: 0 where the type changes."""
    old, new = patch.old_mode & 0o170000, patch.new_mode & 0o170000
    if old:
        return 0 if new and new != old else old
    return new or _REGULAR


def _best(names: list[bytes | None], usable: list[bool]) -> bytes | None:
    """src/pch.c, best_name: fewest components, then shortest base name, then shortest."""
    chosen = [name for name, use in zip(names, usable, strict=True) if name and use]
    for measure in (_components, _base, len):
        least = min((measure(name) for name in chosen), default=0)
        chosen = [name for name in chosen if measure(name) == least]
    return next((name for name in chosen if _safe(name)), None)


def _components(name: bytes) -> int:
    """src/pch.c, prefix_components."""
    return sum(bool(part) for part in name.split(b"/")[:-1])


def _base(name: bytes) -> int:
    return len(name.rstrip(b"/").rpartition(b"/")[2])


def _safe(name: bytes) -> bool:
    """src/safe.c: patch ignores absolute names and those with "..": filename_is_safe."""
    return not name.startswith(b"/") and b".." not in name.split(b"/")
