"""The rules of ``git apply`` and ``git am``, git 2.39 (apply.c; pure).

All of a diff applies or nothing does. There is no fuzz; a hunk moves as far as it must, but one
that begins at the first line stays at the start, and one without context after it at the end.
"""

from __future__ import annotations

import fnmatch
import hashlib

from converter.apply import Placed, Refused, Rules, check_path
from converter.diff import Binary, DiffError, FilePatch, Hunk, git_patches
from converter.place import Text
from converter.tree import File, Tree

# Options that change no result that is committed, or that are read elsewhere (converter.mail).
_HARMLESS = {
    "-3", "-k", "-b", "-c", "-m", "-s", "--no-scissors", "--keep-cr", "--reject", "--allow-overlap",
}  # fmt: skip
_LINK, _SUBMODULE = 0o120000, 0o160000


def apply(diff: bytes, tree: Tree, rules: Rules) -> tuple[dict[bytes, File | None], list[Placed]]:
    """Return the changes and where each hunk went. Raises Refused, DiffError."""
    work = _Work(tree, _Options(rules))
    found = False
    for patch in git_patches(diff, rules.strip, recount=work.options.recount):
        found = True
        if rules.reverse:
            patch = _reversed(patch)
        work.apply(patch)
    if not found:
        raise DiffError("no valid patches in input")
    return work.changes, work.placed


class _Options:
    """What the command line of git changes about these rules."""

    def __init__(self, rules: Rules) -> None:
        self.context: int | None = None
        self.unidiff_zero = self.recount = False
        self.directory = b""
        self.globs: list[tuple[bool, bytes]] = []
        for option in rules.options:
            name, equals, value = option.partition("=")
            if option.startswith("-C") and option[2:].isdigit():
                self.context = int(option[2:])
            elif option == "--unidiff-zero":
                self.unidiff_zero = True
            elif option == "--recount":
                self.recount = True
            elif name in ("--exclude", "--include") and equals:
                self.globs.append((name == "--include", value.encode("utf-8", "surrogateescape")))
            elif name == "--directory" and equals:
                self.directory = value.strip("/").encode("utf-8", "surrogateescape") + b"/"
            elif name == "--whitespace" and value in ("nowarn", "warn", "error", "error-all"):
                pass  # the last two are refused by git for some patches: see verify
            elif option not in _HARMLESS:
                raise Refused("UnknownOption", None, f"git {option} is not supported")

    def wants(self, path: bytes) -> bool:
        """apply.c, use_patch: the first glob that matches decides."""
        for include, glob in self.globs:
            if fnmatch.fnmatchcase(path.decode("latin-1"), glob.decode("latin-1")):
                return include
        return not any(include for include, _ in self.globs)


class _Work:
    """The files as the diffs before this one leave them (apply.c, fn_table)."""

    def __init__(self, tree: Tree, options: _Options) -> None:
        self._tree = tree
        self.options = options
        self.changes: dict[bytes, File | None] = {}
        self.placed: list[Placed] = []

    def get(self, path: bytes) -> File | None:
        return self.changes[path] if path in self.changes else self._tree.get(path)

    def is_dir(self, path: bytes) -> bool:
        inside = path + b"/"
        return any(
            file is not None and known.startswith(inside) for known, file in self.changes.items()
        ) or (self.changes.get(path) is None and self._tree.is_dir(path))

    def apply(self, patch: FilePatch) -> None:
        """apply.c, check_patch and apply_data."""
        prefix = self.options.directory
        old = prefix + patch.old if patch.old else None
        new = prefix + patch.new if patch.new else None
        name = new or old
        assert name
        if not self.options.wants(name):
            return
        for path in {old, new} - {None}:
            assert path
            check_path(path, self)
        file = self._preimage(patch, old)
        if file is None and patch.is_new is None:
            patch.is_new, patch.is_delete, old = True, False, None
        creates = new and new != old and (patch.is_new or patch.rename or patch.copy)
        if new and creates and (self.get(new) is not None or self.is_dir(new)):
            raise Refused("CreatingFileThatExists", new, "already exists in the tree")
        mode = self._mode(patch, file, name)
        data = self._content(patch, file, name)
        if patch.is_delete and data:
            raise Refused(
                "DeletingFileThatDoesNotMatch", name, "the removal leaves contents in the file"
            )
        if old and (patch.is_delete or (patch.rename and old != new)):
            self.changes[old] = None
        if new and not patch.is_delete:
            self.changes[new] = File(mode, data)

    def _preimage(self, patch: FilePatch, old: bytes | None) -> File | None:
        if old is None:
            return None
        file = self.get(old)
        if file is None:
            if patch.is_new is None:
                return None
            raise Refused("FileDoesNotExist", old, "no such file in the tree")
        if patch.is_new:
            return file
        if patch.old_mode and (file.mode ^ patch.old_mode) & 0o170000:
            raise Refused(
                "WrongType", old, f"it is {file.mode:o}, the patch is for {patch.old_mode:o}"
            )
        return file

    @staticmethod
    def _mode(patch: FilePatch, file: File | None, name: bytes) -> int:
        mode = patch.new_mode or (file.mode if file and not patch.is_new else 0) or patch.old_mode
        mode = mode or 0o100644
        if (
            patch.new_mode
            and file is not None
            and not patch.is_new
            and (patch.new_mode ^ file.mode) & 0o170000
        ):
            raise Refused("WrongType", name, "the patch changes the type of the file")
        if mode & 0o170000 == 0o100000:
            return 0o100755 if mode & 0o100 else 0o100644  # cache.h, canon_mode
        return mode

    def _content(self, patch: FilePatch, file: File | None, name: bytes) -> bytes:
        image = b"" if file is None or patch.is_new else file.data
        if file is not None and file.mode == _SUBMODULE and not patch.is_new:
            image = b"Subproject commit " + file.data + b"\n"
        if patch.is_binary:
            return _binary(patch, image, name)
        if patch.hunks:
            image = self._hunks(patch, image, name)
        submodule = (patch.new_mode or (file.mode if file else 0)) == _SUBMODULE
        if submodule and not patch.is_delete and image.startswith(b"Subproject commit "):
            return image[18:].rstrip(b"\n")
        return image

    def _hunks(self, patch: FilePatch, data: bytes, name: bytes) -> bytes:
        image = _Image(data)
        for number, hunk in enumerate(patch.hunks, 1):
            found = image.place(hunk, self.options)
            if found is None:
                raise Refused(
                    "NoMatchingLines",
                    name,
                    f"patch does not apply: its lines are not found near line {hunk.old_start}",
                    number,
                )
            line, offset = found
            self.placed.append(Placed(name, line + 1, offset, 0))
        return image.finish()


class _Image:
    """A file in the making: what is patched before a cursor, untouched text after it.

    Lines that a hunk wrote are not matched again (apply.c, LINE_PATCHED).
    """

    def __init__(self, data: bytes) -> None:
        self._text = Text(data)
        self._done: list[bytes] = []
        self._at = 0  # bytes of the input that are done
        self._line = 0  # lines of the input that are done
        self._shift = 0  # lines that the output is longer by
        self._patched: list[tuple[int, int]] = []  # byte ranges of the output so far
        self._length = 0  # bytes of the output so far

    def place(self, hunk: Hunk, options: _Options) -> tuple[int, int] | None:
        """apply.c, apply_one_fragment: return (line from 0, offset), or None where it does not fit."""
        lines = [line[1:] for line in hunk.lines if line[:1] != b"+"]
        block, count = b"".join(lines), len(lines)
        new = hunk.new
        start = not hunk.old_start or (hunk.old_start == 1 and not options.unidiff_zero)
        end = not options.unidiff_zero and not hunk.suffix
        wanted = max(hunk.new_start - 1, 0)
        prefix, suffix = hunk.prefix, hunk.suffix
        dropped = 0
        while True:
            line = self._find(block, count, wanted, start, end)
            if line is not None:
                self._replace(line, block, count, new)
                return line - dropped, line - dropped - max(hunk.new_start - 1, 0)
            limit = options.context
            if limit is None or (prefix <= limit and suffix <= limit):
                return None
            if start or end:
                start = end = False
                continue
            # Drop a line of context, from the longer side or from both (reduce_context).
            if prefix >= suffix:
                first, lines = lines[0], lines[1:]
                block, new, count = block[len(first) :], new[len(first) :], count - 1
                wanted, prefix, dropped = wanted - 1, prefix - 1, dropped + 1
            if suffix > prefix:
                last, lines = lines[-1], lines[:-1]
                block, new = block[: len(block) - len(last)], new[: len(new) - len(last)]
                count, suffix = count - 1, suffix - 1

    def _find(self, block: bytes, count: int, wanted: int, start: bool, end: bool) -> int | None:
        """apply.c, find_pos: the line, or outwards from it, forwards before backwards."""
        text = self._text
        if not start and not end and block.endswith(b"\n"):
            source = wanted - self._shift
            if source >= self._line:
                at = text.offset(source)
                if at is not None and text.data.startswith(block, at):
                    return wanted
        data = self._flat()
        flat = Text(data)
        total = flat.total
        if start:
            wanted = 0
        elif end:
            wanted = total - count
        if wanted > total:
            wanted = total
        wanted = max(wanted, 0) if not end else wanted
        if count == 0:
            fits = not ((end and wanted != total) or (start and wanted))
            if fits:
                return wanted
            candidates = [n for n in (0, total) if not ((end and n != total) or (start and n))]
            return candidates[0] if candidates else None
        best: tuple[int, int] | None = None
        for at in _places(data, block):
            line = flat.line(at)
            if line + count > total or (start and line) or (end and line + count != total):
                continue
            if end and at + len(block) != len(data):
                continue
            if self._is_patched(at, len(block)):
                continue
            distance = line - wanted
            key = (2 * distance - 1, line) if distance > 0 else (-2 * distance, line)
            best = key if best is None or key < best else best
        return best[1] if best else None

    def _flat(self) -> bytes:
        if not self._done:
            return self._text.data
        return b"".join([*self._done, self._text.data[self._at :]])

    def _is_patched(self, at: int, size: int) -> bool:
        return any(first < at + size and at < last for first, last in self._patched)

    def _replace(self, line: int, block: bytes, count: int, new: bytes) -> None:
        source = line - self._shift
        at = self._text.offset(source) if source >= self._line else None
        end = self._text.offset(source + count) if at is not None else None
        if at is None or end is None or at < self._at:
            self._rebuild(line, count, new)
            return
        untouched = self._text.data[self._at : at]
        self._done += [untouched, new]
        self._length += len(untouched)
        if new:
            self._patched.append((self._length, self._length + len(new)))
        self._length += len(new)
        self._at, self._line = end, source + count
        self._shift += _count(new) - count

    def _rebuild(self, line: int, count: int, new: bytes) -> None:
        """A hunk that goes before the last one: make the file anew, all of it untouched again."""
        data = self._flat()
        flat = Text(data)
        at = flat.offset(line)
        assert at is not None
        end = flat.offset(line + count)
        stop = len(data) if end is None else end
        grown = len(new) - (stop - at)
        moved = [
            (first + grown, last + grown) if first >= stop else (first, last)
            for first, last in self._patched
        ]
        image = data[:at] + new + data[stop:]
        self._patched = [*moved, (at, at + len(new))] if new else moved
        self._text = Text(b"")
        self._done, self._length = [image], len(image)
        self._at, self._line, self._shift = 0, 0, _count(image)

    def finish(self) -> bytes:
        return self._flat()


def _places(data: bytes, block: bytes) -> list[int]:
    """Where the lines of ``block`` stand in ``data``.

    An incomplete last line of ``block`` matches a line that differs from it in white space at its
    end only: git compares hashes without white space, then just the bytes of ``block``.
    """
    found = []
    incomplete = not block.endswith(b"\n")
    at = data.find(block)
    while at >= 0:
        if at == 0 or data[at - 1] == 10:
            end = at + len(block)
            rest = data.find(b"\n", end) if incomplete else end
            tail = data[end : len(data) if rest < 0 else rest] if incomplete else b""
            if not tail.strip(b" \t\r\v\f"):
                found.append(at)
        at = data.find(block, at + 1)
    return found


def _count(data: bytes) -> int:
    return data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))


# -- binary --------------------------------------------------------------------------------


def _blob_id(data: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest().encode()


def _binary(patch: FilePatch, image: bytes, name: bytes) -> bytes:
    """apply.c, apply_binary: the ids of the index line are checked on both sides."""
    if len(patch.old_id) != 40 or len(patch.new_id) != 40:
        raise Refused("BinaryPatch", name, "a binary patch without the full index line")
    old = b"" if patch.is_new else _blob_id(image)
    if not patch.is_new and old != patch.old_id:
        raise Refused("BinaryPatch", name, "the binary patch is for other contents")
    if not patch.new_id.strip(b"0"):
        return b""
    if patch.binary is None:
        raise Refused("BinaryPatch", name, "a binary file, and the patch has no data for it")
    made = _binary_result(patch.binary[0], image)
    if _blob_id(made) != patch.new_id:
        raise Refused("BinaryPatch", name, "the binary patch gives another result than it says")
    return made


def _binary_result(binary: Binary, image: bytes) -> bytes:
    data = binary.inflated()
    return data if binary.kind == "literal" else _delta(image, data)


def _delta(source: bytes, delta: bytes) -> bytes:
    """gitformat-pack(5), "Deltified representation". Raises DiffError."""
    try:
        size, at = _varint(delta, 0)
        target, at = _varint(delta, at)
        if size != len(source) or target > 512 << 20:
            raise DiffError("corrupt binary delta")
        out: list[bytes] = []
        length = 0
        while at < len(delta):
            op = delta[at]
            at += 1
            if op & 0x80:
                offset = count = 0
                for bit in range(4):
                    if op & 1 << bit:
                        offset |= delta[at] << 8 * bit
                        at += 1
                for bit in range(3):
                    if op & 0x10 << bit:
                        count |= delta[at] << 8 * bit
                        at += 1
                count = count or 0x10000
                if offset + count > len(source):
                    raise DiffError("corrupt binary delta")
                out.append(source[offset : offset + count])
            elif op:
                count = op
                out.append(delta[at : at + count])
                at += count
            else:
                raise DiffError("corrupt binary delta")
            length += count
            if length > target:
                raise DiffError("corrupt binary delta")
    except IndexError:
        raise DiffError("corrupt binary delta") from None
    if length != target:
        raise DiffError("corrupt binary delta")
    return b"".join(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _reversed(patch: FilePatch) -> FilePatch:
    """apply.c, reverse_patches."""
    patch.old, patch.new = patch.new, patch.old
    patch.old_mode, patch.new_mode = (
        (patch.new_mode, patch.old_mode) if patch.new_mode else (patch.old_mode, 0)
    )
    patch.is_new, patch.is_delete = patch.is_delete, patch.is_new
    patch.old_id, patch.new_id = patch.new_id, patch.old_id
    patch.hunks = [hunk.swapped() for hunk in patch.hunks]
    if patch.binary:
        forward, backward = patch.binary
        if backward is None:
            raise DiffError("cannot reverse-apply a binary patch without the reverse hunk")
        patch.binary = (backward, forward)
    return patch
