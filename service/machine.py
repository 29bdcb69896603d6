"""This machine's part in what is well: journal, repositories and mirrors that can be written and are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from converter.borrowing import lacking, lenders
from converter.damage import look
from converter.errors import SrcgitError
from converter.odb import Repository
from service.config import Config
from service.database import JournalUnusable
from service.journal import Journal

ROOM = 200 << 20  # bytes; below, a conversion may not come to its end
_TRIED = 1 << 16  # bytes that are written to see whether that works


def troubles(config: Config, journal: Journal) -> list[str]:
    """Return in words what cannot be written, is damaged or gone. Nothing is changed."""
    return [*_journal(journal), *_repositories(config), *_mirrors(config), *_room(config)]


def _journal(journal: Journal) -> Iterator[str]:
    try:
        journal.try_to_write()
    except JournalUnusable as error:
        yield f"the journal cannot be written: {error.what} [{error.where}]"


def _repositories(config: Config) -> Iterator[str]:
    for package in config.packages.values():
        here = [Path(place) for place in package.push if place.startswith("/")]
        for path in dict.fromkeys((package.repo, config.converting(package), *here)):
            if path.exists():
                for trouble in (*unwritable(path / "objects"), *_damaged(path)):
                    yield f"{package.name}: {trouble}"


def _mirrors(config: Config) -> Iterator[str]:
    directory = config.state / "mirrors"
    if directory.is_dir():
        yield from unwritable(directory)
        for path in sorted(directory.glob("*.git")):
            yield from _damaged(path)


def _damaged(path: Path) -> Iterator[str]:
    if found := look(path, deep=True):
        for damage in found[:3]:
            yield f"{damage.repository} is damaged: {damage.what}"
        return
    try:
        repo = Repository(path)
        if missing := lacking(repo):
            where = ", ".join(map(str, lenders(repo)))
            yield (
                f"{path}: {len(missing)} commits are missing that it borrows of {where or 'nobody'}"
                f" ({', '.join(missing[:3])}): run srcgit maintain"
            )
    except SrcgitError as error:
        yield f"{path}: {error.what}"


def unwritable(directory: Path) -> Iterator[str]:
    """Yield why nothing can be written to ``directory``, where that is so."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.write(bytes(_TRIED))
            os.fsync(file.fileno())
    except OSError as error:
        yield f"{directory} cannot be written: {error.strerror}"


def _room(config: Config) -> Iterator[str]:
    seen = set()
    for path in (config.state, *(package.repo for package in config.packages.values())):
        with contextlib.suppress(OSError):
            there = next(each for each in (path, *path.parents) if each.exists())
            device = there.stat().st_dev
            free = shutil.disk_usage(there).free
            if device not in seen and free < ROOM:
                yield f"{there} has {free >> 20} MiB left; a conversion may need {ROOM >> 20}"
            seen.add(device)
