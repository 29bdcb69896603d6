"""The rules of GNU patch 2.7.6, as rpm and Fedora's specs call it (pure).

rpm calls ``patch -s --fuzz=N --no-backup-if-mismatch -f`` (%_default_patch_flags). ``-f`` asks
nothing (patch(1)): it skips what has no file, takes the Prereq: for granted and never turns a patch
around. A call without it has nobody to answer, and each question gets patch's default: no
(src/util.c, ask). ``-s`` and backups do not change the files that are patched. Any file that fails
makes the command fail, and so the whole diff is refused. What happens in one file: image_patch.py.
"""

from __future__ import annotations

from converter.engine.apply import Moved, Refused, Rules, check_length, check_path
from converter.engine.diff import FilePatch
from converter.engine.diff_patch import patch_patches
from converter.engine.image_patch import Image, Sought
from converter.tree import File, Overlay, Tree, followed, parents

_KINDS = {"-c": "context", "-n": "normal", "-u": "unified"}
_KNOWN = {"-E", "-N", "-f", "-l", "-t", "--binary", "--follow-symlinks", *_KINDS}
_REGULAR, _LINK = 0o100000, 0o120000


def apply(diff: bytes, tree: Tree, rules: Rules) -> tuple[dict[bytes, File | None], Moved]:
    """Return the changes and how far hunks moved. Raises Refused, DiffError."""
    unknown = set(rules.options) - _KNOWN
    if unknown:
        raise Refused("UnknownOption", None, f"patch {' '.join(sorted(unknown))} is not supported")
    work = _Work(tree)
    moved = Moved()
    given = rules.options
    kind = next((_KINDS[option] for option in reversed(given) if option in _KINDS), "")
    reads = {"binary": "--binary" in given, "loose": "-l" in given}
    for patch in patch_patches(diff, rules.strip, kind=kind, **reads):
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
        path = self._at(path)
        return None if self._disk.is_doomed(path) else self._files.get(path)

    def _at(self, path: bytes) -> bytes:
        """Return the path in the tree that ``path`` leads to (src/safe.c, traverse_path)."""
        return followed(self._files, _plain(path))

    # -- one file --------------------------------------------------------------------------

    def apply(self, patch: FilePatch, rules: Rules, moved: Moved) -> None:
        """src/patch.c, main: one round of its loop."""
        if patch.trouble:
            raise Refused("NotSupported", patch.new or patch.old, patch.trouble)
        self._reverse = rules.reverse
        kind = _file_type(patch)
        name = self._at(self._choose(patch, kind, rules))
        again = self._git and not patch.git  # look at the file again: inerrno = -1
        if again:
            self._flush()
        self._git = patch.git
        reverse = self._reverse
        target: bytes = name
        if patch.rename or patch.copy:
            if not (patch.old and patch.new and _safe(patch.old) and _safe(patch.new)):
                raise Refused("BadHeader", name, "cannot rename a file without two valid names")
            target = self._at(patch.old if reverse else patch.new)
        if not kind:
            raise Refused("WrongType", name, "the patch changes the type of the file")
        for path in (name, target):
            check_path(path, self._files, link=kind == _LINK)
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
        if file is not None and file.mode == _LINK and "--follow-symlinks" in rules.options:
            raise Refused("NotSupported", name, "a link, which --follow-symlinks would follow")
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
        return self._get(name) is not None or self._files.is_dir(self._at(name))

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
        there = (self._files.is_dir(followed(self._files, _plain(p), whole=True)) for p in paths)
        return sum(p != b"/dev" and not is_dir for p, is_dir in zip(paths, there, strict=True))

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
        image = Image(file.data if file else b"", loose)
        force = "-f" in rules.options
        for number, hunk in enumerate(patch.hunks, 1):
            if self._reverse:
                hunk = hunk.swapped()
            sought = Sought(hunk, loose)
            limit = min(rules.fuzz, max(hunk.prefix, hunk.suffix))
            where = fuzz = 0
            while True:
                where = image.locate(sought, fuzz)
                if where:
                    break
                if number == 1 and not force and self._reverse == rules.reverse:
                    other = Sought(hunk.swapped(), loose)
                    where = image.locate(other, fuzz)
                    if where:
                        detail = "reversed, or applied already"
                        self._may_reverse(rules, "AppliedAlready", target, detail, number)
                        sought = other
                        break
                if fuzz >= limit:
                    break
                fuzz += 1
            if not where:
                raise Refused(
                    "NoMatchingLines",
                    target,
                    f"its lines are not found near line {sought.first}"
                    + (f" with fuzz up to {limit}" if limit else ""),
                    number,
                )
            absent = patch.nonexistent[self._reverse] == 2
            if where == 1 and absent and file and file.data:
                raise Refused("CreatingFileThatExists", target, "the file exists", number)
            if not image.take(sought, where, fuzz):
                raise Refused("MisorderedHunks", target, "it comes before the last one", number)
            moved.by(where - sought.first, fuzz)
        return image.finish()


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
