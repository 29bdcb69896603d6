"""What git-fsck(1) says of files that git itself reads: a remote with receive.fsckObjects asks it."""

from __future__ import annotations

import re
from pathlib import Path

from converter.odb import Repository
from converter.tree import File
from specparse.foreign_tree import scratch_directory

_READ_BY_GIT = re.compile(rb"(?i)(?:.*/)?(\.gitmodules|\.gitattributes)\Z", re.DOTALL)
_ERROR = re.compile(rb"^error in blob [0-9a-f]+: (.*)$", re.MULTILINE)


def why_refused(path: bytes, before: File | None, after: File) -> str:
    """Return what fsck has against the file ``after`` at ``path``, which was ``before``; "" for nothing.

    What it had against that, too, is upstream's own. (fsck.c, fsck_blobs)
    """
    name = _READ_BY_GIT.fullmatch(path)
    if name is None or after.mode == 0o120000:
        return ""
    why = _told(name[1].lower(), after.data)
    return why if why and (before is None or not _told(name[1].lower(), before.data)) else ""


def _told(name: bytes, data: bytes) -> str:
    with scratch_directory("srcgit-") as scratch:
        repository = Repository.create(Path(scratch, "fsck.git"))
        tree = repository.write_tree({name: File(0o100644, data)})
        words = ("fsck", "--no-dangling", "--no-progress", tree)
        done = repository.git.run(*words, ok=range(256))
    found = _ERROR.search(done.stderr)
    return found[1].decode("utf-8", "backslashreplace") if found and done.status else ""
