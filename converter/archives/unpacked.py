"""An archive's content in the object database: imported once, found again by its checksum."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from converter import borrowing
from converter.archives.archive import members
from converter.clock import Progress
from converter.fastimport import FastImport, put
from converter.objects import Identity
from converter.odb import Repository
from converter.text import text

# refs/srcgit/archives/<sha512>: its tree is all that the archive holds, its date the newest file's.
_REF = "refs/srcgit/archives/"
_NOBODY = (b"srcgit", b"srcgit@srcgit.invalid")  # this commit is in no history
_LATEST = 4102444800  # 2100-01-01: a member from the future must not make a date that git refuses


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive holds, as a commit; ``date`` is the newest member's, in git's raw form."""

    name: bytes
    sha512: str  # of the archive itself
    commit: str
    date: bytes


def find(repo: Repository, name: bytes, sha512: str) -> Unpacked | None:
    """Return the archive with this checksum if ``repo`` has imported it."""
    commit = repo.ref(_REF + sha512)
    if commit is None:
        return None
    return Unpacked(name, sha512, commit, repo.commit(commit).author.date)


def unpack(
    repo: Repository,
    file: Path,
    name: bytes,
    progress: Progress = lambda said: None,
) -> Unpacked:
    """Import the archive in ``file``, called ``name``, unless ``repo`` has it.

    Raises ArchiveRefused, RepositoryUnusable, OSError.
    """
    sha512 = checksum(file)
    if found := find(repo, name, sha512):
        return found
    with FastImport(repo.git, repo.path, depth=0) as importing:
        files: dict[bytes, tuple[int, bytes]] = {}
        newest = 0
        for number, member in enumerate(members(file, name)):
            if number % 1000 == 0:
                progress(f"importing {text(name)}: {number} files")
            newest = max(newest, min(member.mtime, _LATEST))
            if member.kind == "file":
                mark = importing.write_blob(member.size, member.parts)
                mode = 0o100755 if member.executable else 0o100644
                files[member.path] = (mode, b":%d" % mark)
            elif member.kind == "link":
                mark = importing.write_blob(len(member.target), (member.target,))
                files[member.path] = (0o120000, b":%d" % mark)
            elif member.kind == "hard link":
                files[member.path] = files[member.target]
        who = bytes(Identity(*_NOBODY, b"%d +0000" % newest))
        message = b"%s\n\nSHA512: %s\n" % (name.replace(b"\n", b" "), sha512.encode())
        edits = (put(*file, path) for path, file in files.items())
        [commit] = importing.ids([importing.write_commit(None, edits, who, who, message)])
    borrowing.keep(repo, [commit])
    if repo.ref(_REF + sha512) != commit:  # another process may have been as quick
        repo.move_refs({_REF + sha512: (None, commit)})
    return Unpacked(name, sha512, commit, b"%d +0000" % newest)


def checksum(file: Path) -> str:
    """Return the SHA-512 of a file's content."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha512").hexdigest()
