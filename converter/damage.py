"""Damage to a repository, as a full disk or a power cut leaves it: found, and named.

libgit2 says of a truncated pack that there is no such object, which reads as "no such commit": so
before an answer of that kind is believed, the files are looked at. Formats: gitformat-pack(5),
gitrepository-layout(5).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from converter.clock import Progress
from converter.errors import (
    ArchiveRefused,
    ChecksumDiffers,
    DifferenceFound,
    Fate,
    ObjectUnreadable,
    PatchDoesNotApply,
    RepositoryDamaged,
    RepositoryUnusable,
    SpecDoesNotParse,
    SrcgitError,
    TooMuch,
)
from converter.git import GitFailed
from converter.mirror import Mirror
from converter.odb import BASE, LIBGIT2_ERROR, Repository

T = TypeVar("T")

_IDX = b"\xfftOc"
_LOOSE = re.compile(r"[0-9a-f]{2}")
_REF = re.compile(rb"(?:[0-9a-f]{40}|ref: \S+)\s*")
_NESTED = 5  # git reads no further alternates (odb.c)
_MOST = 20_000  # loose objects that are looked into; git-gc(1) packs them from 6,700 on


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a repository's files."""

    repository: Path
    what: str


def look(repository: Path, *, deep: bool = False) -> list[Damage]:
    """Return what is visibly damaged in ``repository`` and in those that it borrows from.

    Files that are missing, empty or cut off; with ``deep`` loose objects are read as well. Bits that
    flipped within a pack are not found: git fsck finds them.
    """
    return list(_look(_directory(repository), deep, 0))


def _directory(repository: Path) -> Path:
    return repository / ".git" if (repository / ".git").is_dir() else repository


def _was_one(path: Path) -> bool:
    """Whether anything of a repository is there: another directory, or a file, is not damaged."""
    return any((_directory(path) / name).exists() for name in ("HEAD", "objects", "refs"))


def _look(repository: Path, deep: bool, depth: int) -> Iterator[Damage]:
    if not repository.exists():
        yield Damage(repository, "it is not there")
        return
    objects = repository / "objects"
    checks = [_packs(objects), _loose(objects, deep)]
    if depth == 0:  # of a lender nothing but its objects is read
        checks = [_settings(repository), _refs(repository), *checks]
    for check in checks:
        yield from (Damage(repository, what) for what in check)
    for lender in _lenders(objects) if depth < _NESTED else ():
        if lender.is_dir():
            yield from _look(lender.parent, deep, depth + 1)
        else:
            borrows = f"it borrows objects of {lender.parent}, which is not there"
            yield Damage(repository, borrows)


def _lenders(objects: Path) -> Iterator[Path]:
    told = _read(objects / "info" / "alternates") or b""
    for line in told.splitlines():
        if line[:1] not in b"#":
            yield Path(os.path.normpath(objects / os.fsdecode(line)))


def _settings(repository: Path) -> Iterator[str]:
    for name in ("objects", "refs"):
        if not (repository / name).is_dir():
            yield f"its directory {name} is missing"
    for name in ("HEAD", "config"):
        content = _read(repository / name)
        if content is None:
            yield f"its {name} is missing"
        elif not content.strip(b"\0\n "):
            yield f"its {name} is empty"


def _refs(repository: Path) -> Iterator[str]:
    packed = _read(repository / "packed-refs")
    if packed is not None and (b"\0" in packed or packed[-1:] != b"\n"):
        yield "its packed-refs is cut off"
    for directory, _, names in os.walk(repository / "refs"):
        for name in names:
            path = Path(directory, name)
            if not name.endswith(".lock"):
                content = _read(path)
                if content is not None and not _REF.fullmatch(content):
                    yield f"its {path.relative_to(repository)} holds no object id"


def _packs(objects: Path) -> Iterator[str]:
    """A pack ends in a checksum, which its index repeats before its own."""
    try:
        names = os.listdir(objects / "pack")
    except OSError:
        return
    for name in sorted(names):
        if not name.endswith(".idx"):
            continue
        index = objects / "pack" / name
        pack = index.with_suffix(".pack")
        told, content = _ends(index), _ends(pack)
        if told is None:  # repacked just now
            continue
        if content is None:
            if index.exists():
                yield f"its {pack.name} is missing"
        elif told[0] != _IDX or len(told[1]) < 40:
            yield f"its {name} is cut off"
        elif content[0] != b"PACK" or content[1][-20:] != told[1][-40:-20]:
            yield f"its {pack.name} is cut off"


def _ends(path: Path) -> tuple[bytes, bytes] | None:
    """Return the first 4 and the last 40 bytes of a file; None where it is not there."""
    try:
        with open(path, "rb") as file:
            head = file.read(4)
            file.seek(max(0, os.fstat(file.fileno()).st_size - 40))
            return head, file.read()
    except FileNotFoundError:
        return None


def _loose(objects: Path, deep: bool) -> Iterator[str]:
    left = _MOST
    for directory in sorted(_names(objects)):
        if not _LOOSE.fullmatch(directory):
            continue
        for name in _names(objects / directory):
            path = objects / directory / name
            try:
                size = path.stat().st_size
            except OSError:
                continue
            left -= 1
            if size == 0 or (deep and left > 0 and not _inflates(path)):
                yield f"its object {directory}{name} is cut off"


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _inflates(path: Path) -> bool:
    content = _read(path)
    if content is None:
        return True  # packed just now
    inflating = zlib.decompressobj()
    try:
        while content and not inflating.eof:
            inflating.decompress(content, 1 << 20)
            content = inflating.unconsumed_tail
    except zlib.error:
        return False
    return inflating.eof


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def instead(
    error: Exception, repository: Path | None, mirrors: Iterable[Mirror]
) -> RepositoryDamaged | None:
    """Return the damage that ``error`` comes of; None where it says itself what it comes of.

    That something is not there, and whatever nobody foresaw, may come of damage to the result's
    ``repository`` or to ``mirrors``.
    """
    if isinstance(error, RepositoryDamaged) and not isinstance(error, ObjectUnreadable):
        return error
    if isinstance(error, SrcgitError) and (
        isinstance(error, _JUDGED)
        or (error.fate is Fate.STOP and not isinstance(error, RepositoryUnusable))
    ):
        return None
    foreseen = isinstance(error, SrcgitError)
    by_path = {mirror.path: mirror for mirror in mirrors if mirror.at_hand}
    paths = [path for path in (repository, *by_path) if path is not None and _was_one(path)]
    for path in paths:
        if found := look(path, deep=not foreseen):
            mirror = by_path.get(found[0].repository)
            return damaged(found[0], mirror=mirror is not None and mirror.is_ours)
    if isinstance(error, ObjectUnreadable):
        return error  # of what only git fsck finds
    if not foreseen and (what := _object(error)):
        told = ", ".join(map(str, paths))
        return damaged(Damage(Path(told), what))
    return None


# What was read was read well: the answer is about the content.
_JUDGED = (
    *(PatchDoesNotApply, SpecDoesNotParse, ArchiveRefused, ChecksumDiffers, DifferenceFound),
    TooMuch,
)
_SAID = re.compile(
    r"object file .* is empty|is corrupt|packfile .*(?:not match|too short|not a GIT|truncated)"
    r"|index file .* is|non-monotonic index|missing (?:object|blob|tree|commit)|bad (?:object|tree)"
    r"|[Uu]nable to (?:read|find|unpack)|[Cc]ould not read [0-9a-f]+|[Ff]ailed to (?:read|traverse)"
    r"|unterminated line in|inflate:|ignoring broken ref|bad config|not a git repository",
)


def _object(error: Exception) -> str:
    """Return what libgit2 or git says of an object that is damaged or missing; "" for all else."""
    if isinstance(error, LIBGIT2_ERROR):
        return f"libgit2 says: {error}"
    if isinstance(error, KeyError) and re.fullmatch(r"'?[0-9a-f]{40}'?", str(error)):
        return f"object {str(error).strip(chr(39))} is missing"
    if isinstance(error, GitFailed) and (
        said := _SAID.search(error.stderr.decode("utf-8", "replace"))
    ):
        return f"git says: {said[0]}"
    return ""


def damaged(found: Damage, *, mirror: bool = False) -> RepositoryDamaged:
    """Return the error that ``found`` is, with what to do."""
    return RepositoryDamaged(
        f"the repository is damaged: {found.what}",
        where=str(found.repository),
        next_step="move it aside; srcgit clones it again"
        if mirror
        else "restore it from a copy, or mend what git fsck finds there; nothing was changed",
    )


def mending(
    work: Callable[[], T],
    repository: Path | None,
    mirrors: Iterable[Mirror],
    progress: Progress = lambda stage: None,
) -> T:
    """Do ``work``; where a mirror of ours is damaged, clone it again and do it once more.

    Raises what ``work`` raises, RepositoryDamaged where that comes of damage.
    """
    mirrors = tuple(mirrors)
    with named(repository, mirrors):
        try:
            return work()
        except Exception as error:
            found = instead(error, repository, mirrors)
            if found is None:
                raise
            ours = [m for m in mirrors if m.is_ours and str(m.path) == found.where]
            if not ours:
                raise found from error
            progress(f"{ours[0].location}: its mirror is damaged, cloning it again")
            ours[0].renew(_bases(repository))
        return work()


@contextmanager
def named(repository: Path | None, mirrors: Iterable[Mirror]) -> Iterator[None]:
    """Raise RepositoryDamaged in the place of what comes of damage in the block."""
    try:
        yield
    except Exception as error:
        if (found := instead(error, repository, mirrors)) and found is not error:
            raise found from error
        raise


def _bases(repository: Path | None) -> set[str]:
    """Return the commits that the result borrows; what a tree of an older srcgit does is not known."""
    if repository is None or not repository.exists():
        return set()
    repo = Repository(repository)
    bases = repo.refs(BASE)
    if repo.lenders and not bases and repo.refs("refs/tags/"):
        raise RepositoryDamaged(
            "a mirror is damaged, and it is not known what is borrowed from it",
            where=str(repository),
            next_step="run srcgit maintain when the mirror is whole again",
        )
    return set(bases.values())
