"""The lookaside cache: files that pkg-git names by checksum only.

What was fetched is kept by its checksum, so a name never brings another file's content, and any
number of processes may share the directory.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from converter.clock import Progress
from converter.errors import (
    CannotConvert,
    CannotWork,
    ChecksumDiffers,
    WrongUsage,
)
from converter.lock import locked
from converter.text import text

FEDORA = (
    "https://src.fedoraproject.org/repo/pkgs/rpms/"
    "%{name}/%{filename}/%{hashtype}/%{hash}/%{filename}"
)
MAX_SIZE = 8 << 30  # bytes of one file; the largest in Fedora are near 4 GB
_MACROS = frozenset(("name", "filename", "hashtype", "hash"))
# Digits of a checksum tell its kind where the line does not.
_KINDS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_BSD = re.compile(rb"([A-Za-z0-9]+) \((.+)\) = ([0-9a-fA-F]+)")
_PLAIN = re.compile(rb"([0-9a-fA-F]{32,128}) [ *](.+)")
_METADATA = re.compile(rb"([0-9a-fA-F]{32,128})[ \t]+(?:SOURCES/)?(\S.*)")
# git-lfs-pointer(5); the keys behind "version" are sorted
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/\S+\n(?:[a-z0-9.-]+ [^\n]*\n)*?"
    rb"oid sha256:([0-9a-f]{64})\n(?:[a-z0-9.-]+ [^\n]*\n)*?size (\d{1,15})\n"
)
POINTER_SIZE = 1024  # bytes; a pointer has fewer


@dataclass(frozen=True, slots=True)
class Source:
    """A line of ``sources``: a file of the lookaside cache and its checksum."""

    file: bytes
    kind: str  # "sha512", "md5", ...
    hash: str  # lower-case hex digits
    size: int | None = None  # bytes, of what a pointer of git-lfs stands for


def sources(content: bytes) -> dict[bytes, Source]:
    """Return file name -> Source of pkg-git's ``sources``, in either of its formats.

    ``SHA512 (file) = hex``, and before 2017 ``md5  file`` (pyrpkg's sources.py). Lines that are
    neither, or whose name is a path, name nothing that could be fetched.
    """
    found = {}
    for line in content.splitlines():
        if match := _BSD.fullmatch(line.strip()):
            kind, file, digits = match[1].decode().lower(), match[2], match[3]
        elif match := _PLAIN.fullmatch(line.strip()):
            kind, file, digits = _KINDS.get(len(match[1]), ""), match[2], match[1]
        else:
            continue
        if _KINDS.get(len(digits)) == kind and b"/" not in file and file not in (b".", b".."):
            found[file] = Source(file, kind, digits.decode().lower())
    return found


def metadata(content: bytes) -> dict[bytes, Source]:
    """Return file name -> Source of RHEL's ``.NAME.metadata``: ``SHA1 SOURCES/file`` in each line."""
    lines = (_METADATA.fullmatch(line.strip()) for line in content.splitlines())
    listed = b"\n".join(b"%b  %b" % line.groups() for line in lines if line)
    return sources(listed)


def pointer(file: bytes, content: bytes) -> Source | None:
    """Return what a pointer of git-lfs stands for, as XCP-ng keeps archives; None for other content."""
    found = _POINTER.fullmatch(content) if len(content) < POINTER_SIZE else None
    return Source(file, "sha256", found[1].decode(), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Lookaside:
    """A lookaside cache by the template of its addresses, and the directory of what was fetched.

    ``template`` is an http, https or file URL with ``%{name}``, ``%{filename}``, ``%{hashtype}``
    and ``%{hash}``, or a directory that holds the files, flat or as Fedora's server lays them out.
    """

    template: str
    cache: Path
    limit: int = MAX_SIZE

    def __post_init__(self) -> None:
        """Raises WrongUsage for a template that cannot be one."""
        unknown = set(re.findall(r"%\{([^}]*)\}", self.template)) - _MACROS
        scheme = urlsplit(self.template).scheme
        if unknown or scheme not in ("http", "https", "file", ""):
            raise WrongUsage(
                f"not a lookaside cache: {self.template!r}",
                next_step="give a directory or a URL with %{name}, %{filename}, %{hashtype}, %{hash}",
            )

    def fetch(
        self,
        package: str,
        source: Source,
        progress: Progress = lambda said: None,
        repository: str = "",
    ) -> Path:
        """Return the path of ``source``, a file of ``package``, whose content has its checksum.

        What a pointer of git-lfs stands for is asked of the server of ``repository``, where that is
        an http URL and this cache is no directory. Raises ChecksumDiffers, CannotConvert where the cache has no such file, RemoteUnavailable,
        CannotWork.
        """
        if urlsplit(self.template).scheme in ("file", ""):
            return self._found(package, source)
        kept = self.cache / source.kind / source.hash[:2] / source.hash
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with locked(kept.with_name(kept.name + ".lock")):
                if not kept.exists():
                    self._download(package, source, kept, progress, repository)
                os.utime(kept)  # used now: prune() takes others first
        except OSError as error:
            raise CannotWork(
                f"cannot keep what the lookaside cache has: {error.strerror or error}",
                where=str(self.cache),
                next_step="make room there, or make it writable",
            ) from error
        return kept

    def address(self, package: str, source: Source) -> str:
        """Return where ``source`` is."""
        values = {
            "name": package.encode(),
            "filename": source.file,
            "hashtype": source.kind.encode(),
            "hash": source.hash.encode(),
        }
        return re.sub(r"%\{(\w+)\}", lambda m: quote(values[m[1]], safe=""), self.template)

    def _found(self, package: str, source: Source) -> Path:
        if "%{" in self.template:
            places = [Path(unquote(urlsplit(self.address(package, source)).path))]
        else:
            path = self.template
            if path.startswith("file:"):
                path = unquote(urlsplit(path).path)
            directory, name = Path(path).expanduser(), os.fsdecode(source.file)
            as_served = directory / package / name / source.kind / source.hash / name
            places = [directory / name, as_served, directory / source.hash]  # OpenELA's: by hash
        for place in places:
            if place.is_file():
                _check(place, source, str(place))
                return place
        raise CannotConvert(
            f"the lookaside cache has no {text(source.file)}",
            where=str(places[0].parent),
            next_step="put it there, or name another one with --lookaside",
        )

    def _download(
        self, package: str, source: Source, kept: Path, progress: Progress, repository: str
    ) -> None:
        """Fetch into a file beside ``kept``, going on where an earlier attempt stopped."""
        from converter.archives import (
            download,  # its imports take longer than most conversions wait
            lfs,
        )

        url, part = self.address(package, source), kept.with_name(kept.name + ".part")
        headers: Mapping[str, str] = {}
        if source.size is not None and urlsplit(repository).scheme in ("http", "https"):
            url, headers = lfs.find(repository, source.hash, source.size)

        def say(size: int, whole: int) -> None:
            of = f" of {whole >> 20}" if whole else ""
            progress(f"fetching {text(source.file)}: {size >> 20}{of} MB")

        while True:
            left_over = part.exists() and part.stat().st_size > 0
            download.fetch(url, part, self.limit, say, headers)
            try:
                _check(part, source, url)
                break
            except ChecksumDiffers:
                part.unlink()
                if not left_over:
                    raise
        part.chmod(0o644)
        os.replace(part, kept)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What prune() did: files removed, and the bytes that it kept and freed."""

    removed: int
    kept: int
    freed: int


def prune(cache: Path, size: int, *, now: float | None = None) -> Pruned:
    """Remove what was not used for longest until ``cache`` holds at most ``size`` bytes.

    What was used within the last day stays: a conversion may be about to read it. Any number of
    conversions may go on. Raises CannotWork.
    """
    day_ago = (time.time() if now is None else now) - 86400
    found = []
    try:
        for path in cache.glob("*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.suffix != ".lock":
                    status = path.stat()
                    found.append((status.st_mtime, status.st_size, path))
        held, removed, freed = sum(size for _, size, _ in found), 0, 0
        for used, bytes_, path in sorted(found):
            if held <= size or used > day_ago:
                break
            with locked(path.with_name(path.name.removesuffix(".part") + ".lock")):
                if path.stat().st_mtime != used:
                    continue  # somebody was quicker
                path.unlink()
            held, removed, freed = held - bytes_, removed + 1, freed + bytes_
    except OSError as error:
        raise CannotWork(
            f"cannot be tidied up: {error.strerror or error}",
            where=str(cache),
            next_step="make it writable",
        ) from error
    return Pruned(removed, held, freed)


def _check(path: Path, source: Source, where: str) -> None:
    """Raise ChecksumDiffers unless the file has the checksum that ``sources`` says."""
    import hashlib  # OpenSSL's library is slow to load

    with open(path, "rb") as file:
        digest = hashlib.new(source.kind, usedforsecurity=False)
        while data := file.read(1 << 20):
            digest.update(data)
    if digest.hexdigest() != source.hash:
        raise ChecksumDiffers(
            f"{text(source.file)} is not the file that sources names: its {source.kind} is "
            f"{digest.hexdigest()[:16]}..., not {source.hash[:16]}...",
            where=where,
            next_step="somebody replaced it, or the cache is damaged: compare it with upstream's own",
        )
