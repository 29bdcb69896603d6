"""Writing in bulk: a tree with edits over it becomes commits, through one ``git fast-import``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from converter.fastimport import FastImport, delete, put
from converter.objects import Identity
from converter.odb import Repository
from converter.tree import SUBMODULE, Edits, File


@dataclass(frozen=True, slots=True)
class _Written:
    """A file of the stage: its mode, and where fast-import has its content."""

    mode: int
    source: bytes  # a mark (b":12"), or the commit id of a gitlink


class Stage(FastImport):
    """A tree with edits over it, written as commits by one ``git fast-import``.

    Contents of touched files are kept while they fit in ``cache_bytes``; after that they are read
    back from fast-import, so that memory does not grow with the number of patches. Nothing is
    visible to others before the end of the context, and no ref is moved at all.
    """

    def __init__(self, repo: Repository, base: str, *, cache_bytes: int = 24 << 20) -> None:
        super().__init__(repo.git, repo.path)
        self._base = repo.tree(base)
        self._parent = base.encode()
        self._edits: Edits[_Written] = Edits(self._base)
        self._cache: OrderedDict[bytes, File] = OrderedDict()  # by path, as it is now
        self._cache_room = cache_bytes
        self._last = b""  # the path whose content was written last
        self._begun: dict[File, _Written] = {}

    # -- a converter.tree.Tree ------------------------------------------------------------

    def get(self, path: bytes) -> File | None:
        known = self._cache.get(path)
        if known is not None:
            self._cache.move_to_end(path)
            return known
        edits = self._edits
        if path not in edits.made:
            file = None if edits.hides(path) else self._base.get(path)
        else:
            written = edits.made[path]
            if written is None:
                return None
            data = written.source
            if written.mode != SUBMODULE:
                data = self.read_blob(int(data[1:]))
            file = File(written.mode, data)
        if file is not None:
            self._remember(path, file)
        return file

    def is_dir(self, path: bytes) -> bool:
        return self._edits.is_dir(path)

    def children(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        return self._edits.children(directory)

    def _remember(self, path: bytes, file: File) -> None:
        self._cache[path] = file
        self._cache_room -= len(file.data)
        while self._cache_room < 0 and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            self._cache_room += len(old.data)

    def _forget(self, path: bytes) -> None:
        old = self._cache.pop(path, None)
        if old is not None:
            self._cache_room += len(old.data)

    # -- writing ---------------------------------------------------------------------------

    def commit(
        self,
        changes: Mapping[bytes, File | None],
        author: Identity,
        committer: Identity,
        message: bytes,
    ) -> int:
        """Write one commit on top of the last; return its mark, for ids()."""
        edits = []
        for path, file in changes.items():
            self._forget(path)
            if file is None:
                edits.append(delete(path))
                self._edits.set(path, None)
        for path, file in changes.items():
            if file is not None:
                written = self._write(path, file)
                edits.append(put(written.mode, written.source, path))
                self._edits.set(path, written)
                self._remember(path, file)
        mark = self.write_commit(self._parent, edits, bytes(author), bytes(committer), message)
        self._parent = b":%d" % mark
        return mark

    def begin(self, files: Iterable[File]) -> None:
        """Write ``files``, each much like the one before it, which a later commit puts somewhere."""
        for file in files:
            self._begun[file] = _Written(file.mode, b":%d" % self.write_version(file.data))
        self._last = b""

    def _write(self, path: bytes, file: File) -> _Written:
        if self._begun and (begun := self._begun.get(file)):
            return begun
        if file.mode == SUBMODULE:
            return _Written(file.mode, file.data)
        if path == self._last:
            mark = self.write_version(file.data)
        else:
            mark = self.write_blob(len(file.data), (file.data,))
        self._last = path
        return _Written(file.mode, b":%d" % mark)

    def tree_id(self) -> str:
        """Return the id of the tree of the last commit."""
        if self._parent[:1] != b":":
            return self._base.id
        return self.tree_of(int(self._parent[1:]))
