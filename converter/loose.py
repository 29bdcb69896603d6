"""Files that are in no pkg-git (a quilt queue, a source RPM) as a pkg-git of one commit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from converter.build import Nvr
from converter.conversion import find
from converter.engine.unpack import MAX_SIZE
from converter.errors import PatchDoesNotApply, PatchMissing, PkgGitInvalid
from converter.fastimport import FastImport, put
from converter.mirror import Mirror
from converter.objects import Identity
from converter.odb import Repository
from converter.safe_paths import why_unsafe
from converter.text import clipped, text
from converter.tree import File
from specparse.foreign_tree import ForeignFile, ForeignTree, ForeignTreeError


def read(directory: Path, names: Iterable[bytes]) -> dict[bytes, File]:
    """Return the files ``names`` below ``directory``; links are followed inside of it.

    Raises PatchMissing where one is not there, PkgGitInvalid where it is no file to read,
    PatchDoesNotApply where it is larger than any patch.
    """
    files: dict[bytes, File] = {}
    try:
        top = directory.resolve(strict=True)
        for name in names:
            if why := why_unsafe(name, link=False):
                raise PkgGitInvalid(f"{text(name)!r}: {why}", where=str(directory))
            path = (top / os.fsdecode(name)).resolve()
            if not path.is_relative_to(top) or (path.exists() and not path.is_file()):
                raise PkgGitInvalid(
                    f"{text(name)} is not a file of the series' directory", where=str(directory)
                )
            if path.exists() and path.stat().st_size > MAX_SIZE:
                raise PatchDoesNotApply(
                    f"{text(name)}: more than {MAX_SIZE} bytes",
                    where=str(directory),
                    next_step="look at the file",
                )
            files[name] = File(0o100644, path.read_bytes())
    except FileNotFoundError:
        raise PatchMissing(
            f"{text(name)} does not exist",
            where=str(directory),
            next_step="take it out of the series, or put it there",
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise PkgGitInvalid(f"cannot be read: {error}", where=str(directory)) from None
    return files


def as_pkg_git(
    location: str, files: Mapping[bytes, File], author: Identity, message: bytes, scratch: Path
) -> tuple[Mirror, str]:
    """Commit ``files`` in a new repository at ``scratch``; return it under the name ``location``.

    The commit's id depends on the arguments alone.
    """
    repository = Repository.create(scratch)
    tree = repository.write_tree(files)
    commit = repository.write_commit(tree, [], author, author, message)
    return Mirror.of(location, repository), commit


def release(repo: Repository, nvr: Nvr, commit: str) -> Nvr:
    """Return ``nvr`` with the first release, from 1 on, that is free or was made from ``commit``."""
    number = 1
    while True:
        candidate = Nvr(nvr.name, nvr.version, str(number))
        done = find(repo, candidate)
        if done is None or done.build.commit == commit:
            return candidate
        number += 1


def taken_in(
    location: str, directory: Path, author: Identity, message: bytes, scratch: Path
) -> tuple[Mirror, str]:
    """Commit the plain files of ``directory``, of any size; as as_pkg_git() otherwise.

    The sandbox has written them: raises PkgGitInvalid for anything but files with names of their own.
    """
    repository = Repository.create(scratch)
    try:
        # what it makes here is thrown away, so it is not compressed
        with (
            ForeignTree(directory) as files,
            FastImport(repository.git, repository.path, depth=0, compression=0) as importing,
        ):
            edits = [_taken(importing, file, location) for file in files.walk()]
            who = bytes(author)
            [commit] = importing.ids([importing.write_commit(None, edits, who, who, message)])
    except ForeignTreeError as error:
        raise PkgGitInvalid(f"its files cannot be read: {error.what}", where=location) from None
    return Mirror.of(location, Repository(repository.path)), commit


def _taken(importing: FastImport, file: ForeignFile, location: str) -> bytes:
    """Write one file; return what puts it into the commit."""
    why = "no plain file" if file.kind != "file" else why_unsafe(file.path, link=False)
    if why or b"/" in file.path:
        raise PkgGitInvalid(
            f"it holds {clipped(text(file.path))!r}: {why or 'in a directory'}", where=location
        )
    return put(0o100644, b":%d" % importing.write_blob(file.size, file.parts), file.path)
