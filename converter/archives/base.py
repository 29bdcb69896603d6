"""The commit on which a series starts, where archives make it: one commit for each archive.

The main archive is put on top of upstream's tag, so that history stays and the commit tells what
the archive has that the tag has not; without a tag it is a root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from converter.archives.unpacked import Unpacked
from converter.errors import ArchiveRefused, CannotConvert
from converter.fastimport import FastImport, put
from converter.objects import Entry, Identity
from converter.odb import GitTree, Repository
from converter.safe_paths import why_unsafe
from converter.text import clipped, text
from converter.upstream import Found
from converter.verification.amhistory import differing
from specparse.plan import Archive

_TOLD = 50  # paths in a message
_LISTED = 500  # paths in series.json
_KINDS = ("added", "changed", "removed")


@dataclass(frozen=True, slots=True)
class Changes:
    """In which files a tree differs from the one before: (kind, path), in order of path."""

    paths: tuple[tuple[str, bytes], ...]  # kinds: "added", "changed", "removed"

    def __str__(self) -> str:
        counts = (f"{self.count(kind)} {kind}" for kind in _KINDS if self.count(kind))
        return ", ".join(counts) or "none"

    def count(self, kind: str) -> int:
        return sum(kind == each for each, _ in self.paths)

    def as_json(self) -> dict[str, Any]:
        listed = [[kind, text(path)] for kind, path in self.paths[:_LISTED]]
        return {**{kind: self.count(kind) for kind in _KINDS}, "paths": listed}


@dataclass(frozen=True, slots=True)
class Import:
    """An archive in the base: its commit, and what that changes.

    No commit where upstream has the very same files; no changes where there was nothing before.
    """

    archive: Archive
    sha512: str
    commit: str | None
    changes: Changes | None

    def as_json(self) -> dict[str, Any]:
        """Return what series.json says of it."""
        return {
            "archive": text(self.archive.file),
            "sha512": self.sha512,
            "top": text(self.archive.top),
            "directory": text(self.archive.directory),
            **({"beside": text(self.archive.beside)} if self.archive.beside else {}),
            "commit": self.commit,
            **(self.changes.as_json() if self.changes else {}),
        }


def read(repo: Repository, told: Mapping[str, Any]) -> Import:
    """Return the import that series.json tells of."""
    fields = ("archive", "top", "directory", "beside")
    place = Archive(*(told.get(field, "").encode("utf-8", "surrogateescape") for field in fields))
    changes = None
    if (commit := told["commit"]) is None:
        changes = Changes(())
    elif parents := repo.commit(commit).parents:
        changes = _changes(repo.tree(parents[0]), repo.tree(commit))
    return Import(place, told["sha512"], commit, changes)


def build(
    repo: Repository,
    archives: Sequence[Archive],
    unpacked: Callable[[Archive], Unpacked],
    tag: Found | None,
    committer: tuple[bytes, bytes],
    *,
    whole: bool,
) -> tuple[str, list[Import]]:
    """Return the commit that ``archives`` make on top of ``tag``, and what each of them did.

    With ``whole`` the first is the main archive, in the place of the tag's files; else all of them
    are added to these. Ids depend on the archives, the tag and the committer only. Raises
    CannotConvert, and what ``unpacked`` raises.
    """
    commit = tag.commit if tag else None
    imports = []
    for number, archive in enumerate(archives):
        found = unpacked(archive)
        content = repo.tree(found.commit).below(archive.top)
        if content is None:
            raise CannotConvert(
                f"{text(archive.file)} holds no directory {text(archive.top)}, where %prep works",
                next_step="compare the archive with the spec's %setup",
            )
        made = _Making(repo, archive, found, content, commit, committer)
        imported = made.main(tag) if whole and number == 0 else made.extra()
        imports.append(imported)
        commit = imported.commit or commit
    assert commit is not None, "neither a tag nor an archive"
    return commit, imports


@dataclass(frozen=True, slots=True)
class _Making:
    """One archive on its way to a commit on top of ``parent``."""

    repo: Repository
    archive: Archive
    unpacked: Unpacked
    content: GitTree
    parent: str | None
    committer: tuple[bytes, bytes]

    def main(self, tag: Found | None) -> Import:
        """Put the archive in the place of all that was before."""
        name = text(self.archive.file)
        told = ["The archive that the package is built from."]
        if tag is not None and not self.archive.directory:
            before = self.repo.tree(tag.commit)
            if before.id == self.content.id:
                return Import(self.archive, self.unpacked.sha512, None, Changes(()))
            changes = _changes(before, self.content)
            told += [
                f"What differs from {tag.rev} ({tag.commit[:12]}): {changes}.",
                *_lines(changes),
            ]
        edits = [self._put(entry) for entry in self.content.entries(b"").values()]
        return self._commit(f"Import {name}", told, [b"deleteall\n", *edits])

    def extra(self) -> Import:
        """Add the archive's files to what was before."""
        assert self.parent is not None
        before = self.repo.tree(self.parent)
        if self.archive.beside and (
            before.is_dir(own := self.archive.directory) or before.entry(own)
        ):
            raise CannotConvert(
                f"%prep patches {text(self.archive.file)} beside the source tree, "
                f"which has a {text(own)} of its own",
                next_step="leave its patches out with --no-archives",
            )
        entries = list(self.content.walk())
        if all(before.entry(e.path) == e for e in map(self._placed, entries)):
            return Import(self.archive, self.unpacked.sha512, None, Changes(()))
        where = f" in {text(self.archive.directory)}/" if self.archive.directory else ""
        told = ["%prep unpacks it beside the main archive's files."]
        edits = [self._put(entry) for entry in entries]
        return self._commit(f"Unpack {text(self.archive.file)}{where}", told, edits)

    def _placed(self, entry: Entry) -> Entry:
        directory = self.archive.directory
        if not directory:
            return entry
        path = directory + b"/" + entry.path
        if why := why_unsafe(path, link=entry.mode == 0o120000):
            raise ArchiveRefused(
                f"{text(self.archive.file)}: {clipped(text(path))!r}: {why}",
                next_step="look at the archive, and where %prep unpacks it",
            )
        return replace(entry, path=path)

    def _put(self, entry: Entry) -> bytes:
        placed = self._placed(entry)
        return put(placed.mode, placed.id.encode(), placed.path)

    def _commit(self, subject: str, told: list[str], edits: list[bytes]) -> Import:
        trailers = [f"SHA512: {self.unpacked.sha512}"]
        if self.archive.top:
            trailers.append(f"Unpacked-From: {text(self.archive.top)}/")
        lines = [subject, "", *told, "", *trailers]
        message = "".join(line.replace("\n", "\\n") + "\n" for line in lines)
        who = bytes(Identity(*self.committer, self.unpacked.date))
        with FastImport(self.repo.git, self.repo.path) as importing:
            parent = self.parent.encode() if self.parent else None
            mark = importing.write_commit(parent, edits, who, who, message.encode())
            [commit] = importing.ids([mark])
        changes = None
        if self.parent is not None:
            changes = _changes(self.repo.tree(self.parent), self.repo.tree(commit))
        return Import(self.archive, self.unpacked.sha512, commit, changes)


def _changes(before: GitTree, after: GitTree) -> Changes:
    return Changes(
        tuple(
            ("added" if old is None else "removed" if new is None else "changed", path)
            for path, (old, new) in differing(before, after)
        )
    )


def _lines(changes: Changes) -> Iterator[str]:
    yield ""
    for kind, path in changes.paths[:_TOLD]:
        yield f"  {kind:8} {text(path)}"
    if len(changes.paths) > _TOLD:
        yield f"  and {len(changes.paths) - _TOLD} more"
