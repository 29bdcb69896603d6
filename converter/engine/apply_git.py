"""The rules of ``git apply`` and ``git am``, git 2.39 (apply.c; pure).

All of a diff applies or nothing does. There is no fuzz; a hunk moves as far as it must, but one
that begins at the first line stays at the start, and one without context after it at the end.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from converter.engine.apply import Moved, Refused, Rules, check_length
from converter.engine.attributes import Attributes, Conversion
from converter.engine.binary import blob_id
from converter.engine.diff import DiffError, FilePatch
from converter.engine.diff_git import git_patches
from converter.engine.image_git import Image
from converter.safe_paths import why_unsafe
from converter.tree import File, Overlay, Tree, parents

# Options that change no result that is committed, or that are read elsewhere (converter.mailbox.mail).
# -3 is here because git am merges only what does not apply (builtin/am.c, am_run). git apply
# merges first (apply.c, try_threeway), where its repository has the blob that the index line names:
# with the file's own that gives the same, with an older one (the base's, under a file that the
# series has changed) it may not. explain.py says so where a diff fails; verification finds the rest.
_HARMLESS = {
    "-3", "--3way", "-k", "-b", "-c", "-m", "-s", "-q", "-v", "--no-scissors", "--keep-cr",
    "--reject", "--binary", "--index", "--no-3way", "--allow-binary-replacement", "--allow-empty",
    "--keep-non-patch", "--no-keep", "--no-keep-cr", "--no-message-id", "--ignore-date",
}  # fmt: skip
_TYPE, _REGULAR, _LINK, _SUBMODULE = 0o170000, 0o100000, 0o120000, 0o160000


def apply(diff: bytes, tree: Tree, rules: Rules) -> tuple[dict[bytes, File | None], Moved]:
    """Return the changes and how far hunks moved. Raises Refused, DiffError."""
    options = _Options(rules)
    patches: list[FilePatch] = []
    found = False
    for patch in git_patches(diff, rules.strip, recount=options.recount, root=options.directory):
        found = True
        check_length(patch)
        if rules.reverse:
            patch = _reversed(patch)
        if options.wants(patch.new if patch.new is not None else patch.old or b""):
            patches.append(patch)
    if not found and "--allow-empty" not in rules.options:
        raise DiffError("no valid patches in input")
    if rules.reverse:
        patches.reverse()
    work = _Work(tree, options, rules, patches)
    made = [work.check(patch) for patch in patches]
    return work.written(made), work.moved


class _Options:
    """What the command line of git changes about these rules."""

    def __init__(self, rules: Rules) -> None:
        self.context: int | None = None
        self.unidiff_zero = self.recount = False
        self.directory = b""
        self.index = rules.tool == "git-am" or not {"--index", "-3", "--3way"}.isdisjoint(
            rules.options
        )
        self._globs: list[tuple[bool, str]] = []
        for option in rules.options:
            name, equals, value = option.partition("=")
            if option.startswith("-C") and option[2:].isdigit():
                self.context = int(option[2:])
            elif option == "--unidiff-zero":
                self.unidiff_zero = True
            elif option == "--recount":
                self.recount = True
            elif name in ("--exclude", "--include") and equals:
                if "[" in value or "\\" in value:  # wildmatch.c has another syntax for these
                    raise Refused("UnknownOption", None, f"git {option}: a glob that is not read")
                glob = value.encode("utf-8", "surrogateescape").decode("latin-1")
                self._globs.append((name == "--include", glob))
            elif name == "--directory" and equals:
                self.directory = value.strip("/").encode("utf-8", "surrogateescape") + b"/"
            elif name == "--patch-format" or option in ("--whitespace=nowarn", "--whitespace=warn"):
                pass
            elif option not in _HARMLESS:
                command = rules.tool.replace("-", " ")
                raise Refused("UnknownOption", None, f"{command} {option} is not supported")

    def wants(self, path: bytes) -> bool:
        """apply.c, use_patch: the first glob that matches decides."""
        for include, glob in self._globs:
            if fnmatch.fnmatchcase(path.decode("latin-1"), glob):
                return include
        return not any(include for include, _ in self._globs)


class _Made:
    """A patch that was checked: what is to be removed, and what to be created."""

    __slots__ = ("created", "mode", "removed", "result")

    def __init__(
        self, removed: bytes | None, created: bytes | None, mode: int, result: bytes
    ) -> None:
        self.removed = removed
        self.created = created
        self.mode = mode
        self.result = result


class _Work:
    """apply.c, check_patch_list and write_out_results."""

    def __init__(
        self, tree: Tree, options: _Options, rules: Rules, patches: Iterable[FilePatch]
    ) -> None:
        self._tree = tree
        self._options = options
        self._reverse = rules.reverse
        self._form = rules.form
        self._attributes = Attributes(tree)  # as before the diff: git reads each file of them once
        self.moved = Moved()
        self._results: dict[bytes, _Made] = {}  # fn_table: what earlier patches left
        self._gone: set[bytes] = set()  # PATH_WAS_DELETED
        self._going = {  # PATH_TO_BE_DELETED
            patch.old for patch in patches if patch.old and (patch.new is None or patch.rename)
        }
        self._unlinked: set[bytes] = set()  # removed_symlinks
        self._linked: set[bytes] = set()  # kept_symlinks
        for patch in patches:
            was_link = patch.old_mode & _TYPE == _LINK
            if patch.old and was_link and (patch.rename or patch.is_delete):
                self._unlinked.add(patch.old)
            if patch.new and patch.new_mode & _TYPE == _LINK:
                self._linked.add(patch.new)

    # -- one patch -------------------------------------------------------------------------

    def check(self, patch: FilePatch) -> _Made:
        """apply.c, check_patch and apply_data."""
        image = self._preimage(patch)
        old, new = patch.old, patch.new
        name = old if old is not None else new
        assert name is not None
        if new is not None and (patch.is_new or patch.rename or patch.copy):
            ready = new in self._gone or (new in self._going and new not in self._results)
            there = None if ready else self._tree.get(new)
            if there is not None and (self._options.index or there.mode != _SUBMODULE):
                raise Refused("CreatingFileThatExists", new, "already exists in the tree")
            if not patch.new_mode:
                patch.new_mode = 0o100644 if patch.is_new else patch.old_mode
        if new is not None and old is not None:
            patch.new_mode = patch.new_mode or patch.old_mode
            if (patch.old_mode ^ patch.new_mode) & _TYPE:
                raise Refused("WrongType", new, "the patch changes the type of the file")
        self._check_paths(patch)
        result = self._patched(patch, image, name)
        if patch.is_delete and result:
            raise Refused(
                "DeletingFileThatDoesNotMatch", name, "the removal leaves contents in the file"
            )
        made = self._made(patch, result)
        if new is not None:
            self._results[new] = made
            self._gone.discard(new)
            self._going.discard(new)
        if new is None or patch.rename:
            assert old is not None
            self._gone.add(old)
            self._results.pop(old, None)
        return made

    def _made(self, patch: FilePatch, result: bytes) -> _Made:
        """apply.c, write_out_one_result."""
        if patch.is_delete:
            return _Made(patch.old, None, patch.new_mode, result)
        removed = None if patch.is_new or patch.copy else patch.old
        return _Made(removed, patch.new, patch.new_mode, result)

    def _preimage(self, patch: FilePatch) -> bytes:
        """apply.c, check_preimage and load_preimage: the content to patch."""
        old = patch.old
        if old is None:
            return b""
        if patch.is_new:  # an assertion of check_preimage ends git there
            raise Refused("Malformed", old, "the file is to be new, and has an old name")
        previous = None
        if not (patch.rename or patch.copy):  # "git" patches do not depend on the order
            if old in self._gone:
                raise Refused("FileDoesNotExist", old, "an earlier part renamed or deleted it")
            previous = self._results.get(old)
        file = None
        if previous is not None:
            mode = previous.mode
        else:
            file = self._tree.get(old)
            if file is not None:
                mode = file.mode
            elif not self._options.index and self._tree.is_dir(old):
                mode = _SUBMODULE  # read-cache.c, ce_mode_from_stat: what git takes a directory for
            elif patch.is_new is None and not self._below_file(old):
                patch.is_new, patch.is_delete, patch.old = True, False, None
                return b""
            else:
                raise Refused("FileDoesNotExist", old, "no such file in the tree")
        patch.is_new = bool(patch.is_new)
        patch.old_mode = patch.old_mode or mode
        if (mode ^ patch.old_mode) & _TYPE:
            raise Refused("WrongType", old, f"it is {mode:o}, the patch is for {patch.old_mode:o}")
        if not patch.new_mode and patch.is_delete is False:
            patch.new_mode = mode
        if previous is not None:
            return previous.result
        if self._options.index and patch.old_mode & _TYPE == _SUBMODULE:
            assert file is not None
            return b"Subproject commit " + file.data + b"\n"
        if file is not None and patch.old_mode & _TYPE != _SUBMODULE:
            return self._stored(patch, old, file)
        patch.hunks = ()  # "no way to apply subproject patch without looking at the index"
        return b""

    def _stored(self, patch: FilePatch, path: bytes, file: File) -> bytes:
        """apply.c, read_old_data: the form that git stores of a file in its work tree."""
        if not self._form or file.mode & _TYPE != _REGULAR:
            return file.data
        conversion = self._attributes.of(path)
        _check_conversion(conversion, path, file.data)
        # What the index has was converted by git add, whatever the patch looks like.
        keep = not self._options.index and conversion.end and _crlf_in_old(patch, self._reverse)
        return file.data if keep else conversion.to_git(file.data)

    def _below_file(self, path: bytes) -> bool:
        """To lstat(2) that is ENOTDIR, and not ENOENT."""
        return any(self._tree.get(parent) is not None for parent in parents(path))

    def _check_paths(self, patch: FilePatch) -> None:
        """apply.c, check_unsafe_path and path_is_beyond_symlink."""
        if patch.old is not None and (
            patch.is_delete is not False or not (patch.is_new or patch.copy)
        ):
            _verify(patch.old, patch.old_mode)
        if patch.new is not None and patch.is_delete is False:
            _verify(patch.new, patch.new_mode)
            if self._is_beyond_link(patch.new):
                raise Refused("UnsafePath", patch.new, "it is beyond a symbolic link")

    def _is_beyond_link(self, path: bytes) -> bool:
        """apply.c, path_is_beyond_symlink_1."""
        directory = path.rpartition(b"/")[0]
        if not directory or (not self._linked and self._tree.is_dir(directory)):
            return False
        return any(self._is_link(parent) for parent in parents(path))

    def _is_link(self, path: bytes) -> bool:
        if path in self._linked:
            return True
        file = None if path in self._unlinked else self._tree.get(path)
        return file is not None and file.mode == _LINK

    def _patched(self, patch: FilePatch, image: bytes, name: bytes) -> bytes:
        """apply.c, apply_fragments."""
        if patch.is_binary:
            return _binary(patch, image, name)
        if not patch.hunks:
            return image
        work = Image(image, context=self._options.context, zero=self._options.unidiff_zero)
        for number, hunk in enumerate(patch.hunks, 1):
            if self._reverse:
                hunk = hunk.swapped()
            moved = work.apply(hunk)
            if moved is None:
                raise Refused(
                    "NoMatchingLines",
                    name,
                    f"patch does not apply: its lines are not found near line {hunk.old_start}",
                    number,
                )
            self.moved.by(moved, 0)
        return work.data

    # -- all of them -----------------------------------------------------------------------

    def written(self, made: Iterable[_Made]) -> dict[bytes, File | None]:
        """apply.c, write_out_results: remove everything first, then create one by one."""
        made = list(made)
        after = Overlay(self._tree)
        for each in made:
            if each.removed is not None and each.removed != each.created:
                after.set(each.removed, None)
        for each in made:
            if each.created is not None:
                file = self._file(each)
                if each.removed != each.created:  # else it is where the old one was
                    self._check_place(after, each.created, file)
                if file.mode != _SUBMODULE or self._options.index:  # else it is a directory
                    after.set(each.created, file)
        if self._options.index:
            return dict(after.changes)
        changes = dict(after.changes)
        for path, left in after.changes.items():
            there = self._tree.get(path)
            if left is None and there is not None and there.mode == _SUBMODULE:
                del changes[path]  # whatever becomes of its directory
        return changes

    def _check_place(self, after: Overlay, path: bytes, file: File) -> None:
        """apply.c, create_one_file: in the place of a file or of an empty directory.

        A submodule is a directory, there or made with mkdir, which no file may be in the way of.
        """
        if any(after.get(parent) is not None for parent in parents(path)):
            raise Refused("UnsafePath", path, "a directory of its path is a file")
        if after.is_dir(path) and (file.mode != _SUBMODULE or self._options.index):
            raise Refused("CreatingFileThatExists", path, "it is a directory that is not empty")
        if file.mode == _SUBMODULE:
            there = after.get(path)
            if there is not None and there.mode != _SUBMODULE:
                raise Refused("CreatingFileThatExists", path, "a file is where a submodule goes")

    def _file(self, made: _Made) -> File:
        """apply.c, try_create_file and add_index_file."""
        assert made.created is not None
        kind = made.mode & _TYPE
        if kind == _LINK:
            target = made.result.partition(b"\0")[0]
            if not target:
                raise Refused("Malformed", made.created, "a symbolic link to nothing")  # symlink(2)
            return File(_LINK, target)
        if kind != _SUBMODULE:
            data = made.result
            if self._form:
                conversion = self._attributes.of(made.created)
                _check_conversion(conversion, made.created, data)
                data = conversion.to_work_tree(data) if self._form == "files" else data
            return File(0o100755 if made.mode & 0o100 else 0o100644, data)
        if not self._options.index:
            return File(_SUBMODULE, made.result)
        found = re.match(rb"Subproject commit ([0-9a-f]{40})", made.result, re.IGNORECASE)
        if found is None:
            raise Refused("Malformed", made.created, "corrupt patch for a submodule")
        return File(_SUBMODULE, found[1].lower())


def _check_conversion(conversion: Conversion, path: bytes, data: bytes) -> None:
    if trouble := conversion.trouble(data):
        detail = f"git converts it, as .gitattributes say ({trouble}), and srcgit does not"
        raise Refused("NotSupported", path, detail)


def _crlf_in_old(patch: FilePatch, reverse: bool) -> bool:
    """apply.c, check_old_for_crlf: does a line that the patch wants to find end in CR LF?"""
    signs = b" +" if reverse else b" -"
    return any(
        line[:1] in signs and line.endswith(b"\r\n") for hunk in patch.hunks for line in hunk.lines
    )


def _verify(path: bytes, mode: int) -> None:
    if why := why_unsafe(path, link=mode & _TYPE == _LINK):
        raise Refused("UnsafePath", path, why)


def _binary(patch: FilePatch, image: bytes, name: bytes) -> bytes:
    """apply.c, apply_binary: the ids of the index line are checked on both sides."""
    if not all(re.fullmatch(rb"[0-9a-fA-F]{40}", each) for each in (patch.old_id, patch.new_id)):
        raise Refused("BinaryPatch", name, "a binary patch without the full index line")
    if patch.old is not None:
        if blob_id(image) != patch.old_id:
            raise Refused("BinaryPatch", name, "the binary patch is for other contents")
    elif image:
        raise Refused("BinaryPatch", name, "the binary patch is for an empty file")
    if not patch.new_id.strip(b"0"):
        return b""
    # git looks into its object database first, and needs no data if the result is there already
    # (has_object). A patch without data is refused here all the same: what %prep's own repository
    # held besides the tree, nobody knows afterwards.
    if patch.binary is None:
        raise Refused("BinaryPatch", name, "a binary file, and the patch has no data for it")
    if patch.binary[0] is None:
        raise Refused("BinaryPatch", name, "the patch has no data for the reverse")
    try:
        made = patch.binary[0].applied(image)
    except DiffError as error:
        raise Refused("BinaryPatch", name, str(error)) from None
    if blob_id(made) != patch.new_id:
        raise Refused("BinaryPatch", name, "the binary patch gives another result than it says")
    return made


def _reversed(patch: FilePatch) -> FilePatch:
    """apply.c, reverse_patches, but for the hunks; modes as since 2.43: a file keeps its own."""
    patch.old, patch.new = patch.new, patch.old
    if patch.new_mode or patch.is_delete:
        patch.old_mode, patch.new_mode = patch.new_mode, patch.old_mode
    patch.is_new, patch.is_delete = patch.is_delete, patch.is_new
    patch.old_id, patch.new_id = patch.new_id, patch.old_id
    if patch.binary:
        patch.binary = (patch.binary[1], patch.binary[0])
    return patch
