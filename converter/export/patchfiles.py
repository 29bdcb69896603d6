"""The patch files of a build as pkg-git has them, wherever there is a copy of pkg-git."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from converter.engine.binary import blob_id
from converter.errors import SrcgitError
from converter.mirror import Mirror
from converter.pkggit import Package, PkgGit
from converter.text import text


def patch_files(record: Mapping[str, Any], places: Iterable[Mirror | Path]) -> dict[bytes, bytes]:
    """Return path -> content of the patch files of a series.json, from the first place that has it.

    A place is a pkg-git, or a directory of files, of which only what the blob ids of series.json
    tell to be the original is taken. What is in no place is left out.
    """
    found: dict[bytes, bytes] = {}
    for place in places:
        missing = {entry["patch"]: entry.get("blob") for entry in record["patches"]}
        for path in found:
            missing.pop(text(path), None)
        if not missing:
            break
        if isinstance(place, Mirror):
            found |= _from_git(package(record, place), record["spec"], missing)
        else:
            found |= _from_directory(place, missing)
    return found


def package(record: Mapping[str, Any], place: Mirror) -> Package | None:
    """Return the package at the build's commit; None where ``place`` does not have it."""
    try:
        commit = place.commit_id(record["pkg_git"]["commit"])
    except SrcgitError:  # no repository, or not to be reached: another place may have it
        return None
    return PkgGit(place).at(commit) if commit else None


def _from_git(had: Package | None, spec: str, missing: Mapping[str, Any]) -> dict[bytes, bytes]:
    if had is None:
        return {}
    # Names in series.json are for people: what is no UTF-8 is shown as \xNN.
    read = ((path, had.read(path)) for path in had.used(spec.encode()) if text(path) in missing)
    return {path: data for path, data in read if data is not None}


def _from_directory(place: Path, missing: Mapping[str, Any]) -> dict[bytes, bytes]:
    return {
        name.encode(): data
        for name, blob in missing.items()
        for data in _read(place, name)
        if blob == blob_id(data).decode()
    }


def _read(place: Path, name: str) -> Iterator[bytes]:
    try:
        path = (place / name).resolve()
        if path.is_relative_to(place.resolve()) and path.is_file():
            yield path.read_bytes()
    except (OSError, ValueError, RuntimeError):
        return
