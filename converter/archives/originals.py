"""The files that a build starts from: in pkg-git, or in the lookaside cache by their checksum."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from converter.archives.lookaside import POINTER_SIZE, Lookaside, Source, metadata, pointer, sources
from converter.clock import Progress
from converter.engine.unpack import MAX_SIZE, UnpackError, unpack
from converter.errors import CannotConvert, PatchDoesNotApply, PatchMissing, WrongUsage
from converter.odb import Repository
from converter.pkggit import Package
from converter.text import text

if TYPE_CHECKING:
    from converter.archives.unpacked import Unpacked


def roomy() -> str:
    """Return the directory for temporary files of any size."""
    # file-hierarchy(7): /var/tmp is for what is too large for a /tmp in memory.
    return os.environ.get("TMPDIR") or "/var/tmp"


class Originals:
    """The sources of one package, by their base names."""

    def __init__(
        self,
        package: Package,
        name: str,
        lookaside: Lookaside | None,
        scratch: Path,
        progress: Progress,
    ) -> None:
        """``name`` is the package's, ``scratch`` a directory for copies of what pkg-git holds."""
        self._package = package
        self._name = name
        self._lookaside = lookaside
        self._scratch = scratch
        self._progress = progress
        self._listed = sources(package.read(b"sources") or b"")
        for path in package.metadata():
            self._listed |= metadata(package.read(path) or b"")

    def file(self, name: bytes) -> Path:
        """Return a path of the source ``name``.

        Raises CannotConvert where neither place has it, and what Lookaside.fetch raises.
        """
        if (held := self._held(name)) is not None:
            copy = self._scratch / os.fsdecode(name)
            if not copy.exists():
                self._package.save(held, copy)
            return copy
        source = self._source(name)
        if self._lookaside is None:
            raise WrongUsage(
                f"{text(name)} is in the lookaside cache, and none is known",
                next_step="name one with --lookaside",
            )
        return self._lookaside.fetch(self._name, source, self._progress, self._package.url)

    def _held(self, name: bytes) -> bytes | None:
        """Return the path of the source ``name`` in pkg-git, unless a pointer stands in its place."""
        path = self._package.source(name)
        if path is None or self._package.size(path) >= POINTER_SIZE:
            return path
        source = pointer(name, self._package.read(path) or b"")
        if source is None:
            return path
        self._listed[name] = source
        return None

    def check(self, paths: Iterable[bytes]) -> None:
        """Raise PatchMissing for a patch that neither place has."""
        for path in paths:
            if path not in self._listed and self._package.entry(path) is None:
                raise self._missing(path)

    def _missing(self, path: bytes) -> PatchMissing:
        return PatchMissing(
            f"%prep applies {text(path)}, which neither pkg-git nor its sources file has",
            where=self._package.commit.id,
            next_step="check the commit: such a build cannot be made again",
        )

    def patch(self, path: bytes) -> bytes:
        """Return the patch at ``path`` of pkg-git, or of that name in the lookaside cache; unpacked.

        Raises PatchMissing where neither has it, PatchDoesNotApply for one that is damaged.
        """
        data = None
        if self._package.entry(path) is not None:
            self._check_size(path, self._package.size(path))
            data = self._package.read(path)
        if data is None and path in self._listed:
            file = self.file(path)
            self._check_size(path, file.stat().st_size)
            data = file.read_bytes()
        if data is None:
            raise self._missing(path)
        try:
            return unpack(path, data)
        except UnpackError as error:
            raise self._refused(path, str(error)) from error

    def _check_size(self, path: bytes, size: int) -> None:
        if size > MAX_SIZE:
            raise self._refused(path, f"more than {MAX_SIZE} bytes")

    def _refused(self, path: bytes, why: str) -> PatchDoesNotApply:
        return PatchDoesNotApply(
            f"{text(path)}: {why}", where=self._package.commit.id, next_step="look at the file"
        )

    def unpacked(self, repo: Repository, name: bytes) -> Unpacked:
        """Return what the archive ``name`` holds; what ``repo`` has already is not fetched again.

        Raises what file() and unpack() raise.
        """
        from converter.archives import unpacked

        if self._held(name) is None:
            source = self._source(name)
            known = source.kind == "sha512" and unpacked.find(repo, name, source.hash)
            if known:
                return known
        return unpacked.unpack(repo, self.file(name), name, self._progress)

    def _source(self, name: bytes) -> Source:
        if name not in self._listed:
            raise CannotConvert(
                f"neither pkg-git nor its sources file has {text(name)}, which %prep needs",
                where=self._package.commit.id,
                next_step="check the commit: such a build cannot be made again",
            )
        return self._listed[name]
