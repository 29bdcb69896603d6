"""Files that are in no pkg-git (a quilt queue, an unpacked source RPM) as a pkg-git of one commit."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from converter.errors import PkgGitInvalid
from converter.mirror import Mirror
from converter.odb import Identity, Repository
from converter.tree import File


def read(directory: Path) -> dict[bytes, File]:
    """Return the files below ``directory``; raises PkgGitInvalid where it cannot be read."""
    top = os.fsencode(directory)
    files: dict[bytes, File] = {}

    def refuse(error: OSError) -> None:
        raise PkgGitInvalid(
            f"cannot be read: {error.strerror}",
            where=os.fsdecode(error.filename or directory),
            next_step="give a directory with a series file and its patches",
        )

    try:
        for parent, _, names in os.walk(top, onerror=refuse):
            for name in names:
                path = os.path.join(parent, name)
                mode = os.lstat(path).st_mode
                inside = os.path.relpath(path, top)
                if stat.S_ISLNK(mode):
                    files[inside] = File(0o120000, os.readlink(path))
                elif stat.S_ISREG(mode) and b".git" not in inside.split(b"/"):
                    with open(path, "rb") as file:
                        files[inside] = File(0o100644, file.read())
    except OSError as error:
        refuse(error)
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
