"""The source directory: pkg-git's files, and something in the place of those that are elsewhere."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import zlib

from specparse.inside.names import ARCHIVE, ZIPS
from specparse.inside.paths import PACKAGE, SOURCES, read
from specparse.inside.standin import MARKER

INVENTED: set[str] = set()  # files that the spec wants, and that nothing lists
COPIED: dict[str, str] = {}  # files of the source directory that are no links -> path in pkg-git
LINKED: set[str] = set()  # files of the source directory that are links to pkg-git's
REAL: dict[str, bytes] = {}  # files of the upstream base that %prep looks at
KNOWN: dict[str, list[str]] = {}  # archive -> the paths in it, where that is known
MADE: dict[str, dict[str, bytes]] = {}  # archive -> what stands in its place: path -> content
TOPS: dict[str, str] = {}  # archive -> its one directory, "" for none
_BETWEEN_WORDS = bytes.maketrans(b"/\"'=", b"    ")  # as white space is
_SMALL = 4 << 20  # bytes of an archive in pkg-git that is read for what it holds
_SMALL_UNPACKED = 64 << 20  # bytes
# Has the kernel's make complete each configuration, and compares: without a tree nothing comes of its
# hundreds of processes.
_COMPLETES = "process_configs.sh"
_POINTER = b"version https://git-lfs.github.com/spec/"  # git-lfs-pointer(5)

# The files of a kernel tree that %prep and its scripts look for; harmless elsewhere.
_TREE = {
    "COPYING": b"",
    "CREDITS": b"",
    "MAINTAINERS": b"",
    "Makefile": b"VERSION = 0\n",
    "Kbuild": b"",
    "README": b"",
    "REPORTING-BUGS": b"",
    ".gitignore": b"",
    "scripts/checkpatch.pl": b"",
    "scripts/kconfig/Makefile": b"",
    "drivers/.gitignore": b"",
    "firmware/WHENCE": b"",
    "include/linux/kernel.h": b"",
    "Documentation/index.rst": b"",
    "tools/Makefile": b"",
}


def populate(spec: str) -> None:
    """Link pkg-git's files into the source directory, which rpmbuild wants flat.

    Of a subdirectory (the kernel's had 8,500 files) only what the spec names is linked by itself.
    """
    flat = {PACKAGE, f"{PACKAGE}/SOURCES", f"{PACKAGE}/SPECS", os.path.dirname(spec)}
    words = set(read(spec).translate(_BETWEEN_WORDS).split())
    for parent, directories, names in os.walk(PACKAGE):
        if parent == PACKAGE:
            names = names + directories
        for name in names:
            path, target = os.path.join(parent, name), os.path.join(SOURCES, name)
            if (parent in flat or os.fsencode(name) in words) and not os.path.lexists(target):
                if ARCHIVE.search(name) and read(path, 100).startswith(_POINTER):
                    continue  # it is elsewhere, as a lookaside file
                if name.endswith(".zst"):  # zstd(1) passes over links
                    with contextlib.suppress(OSError):
                        shutil.copyfile(path, target)
                        COPIED[name] = os.path.relpath(path, PACKAGE)
                        continue
                if name == _COMPLETES and b"listnewconfig" in read(path):
                    with open(target, "w") as file:
                        file.write("#!/bin/sh\n")
                    os.chmod(target, 0o755)
                    COPIED[name] = os.path.relpath(path, PACKAGE)
                    continue
                os.symlink(path, target)
                LINKED.add(name)
    with contextlib.suppress(OSError), open(f"{SOURCES}/sources", errors="replace") as listed:
        for line in listed:
            found = re.search(r"\(([^)/]+)\) =", line) or re.match(r"\w{32,128}\s+([^\s/]+)$", line)
            if found:
                fake(found[1])


def fake(name: str, top: str | None = None, *, main: bool = False) -> None:
    """Put something in the place of the lookaside file ``name``.

    ``top`` is the one directory of an archive that is not known: "" for none, None for its name.
    """
    path = os.path.join(SOURCES, name)
    if os.path.exists(path) or "/" in name:
        return
    if os.path.islink(path):
        os.unlink(path)  # it leads nowhere, in here
    if ARCHIVE.search(name):
        data = archive(name, made_up(name, top, main))
    else:
        data = f"srcgit: in the place of {name}\n".encode()
    with open(path, "wb") as file:
        file.write(packed(name, data))


def made_up(name: str, top: str | None, main: bool) -> dict[str, bytes]:
    """Return path -> content of what stands in an archive's place; directories end in a slash."""
    if name in KNOWN:
        TOPS[name] = one_top(KNOWN[name])
        files = dict.fromkeys(KNOWN[name], b"")
    else:
        TOPS[name] = ARCHIVE.sub("", name) if top is None else top
        files = {os.path.join(TOPS[name], path): data for path, data in _TREE.items()}
    if main:
        files |= {os.path.join(TOPS[name], path): data for path, data in REAL.items()}
    MADE[name] = files
    return {**files, marked(name, main): b"="}


def one_top(paths: list[str]) -> str:
    """Return the one directory that all of an archive is in; "" where there is none."""
    first = {path.split("/", 1)[0] for path in paths}
    return first.pop() if len(first) == 1 and all("/" in path for path in paths) else ""


def marked(name: str, main: bool) -> str:
    """Return the path of the marker in the archive ``name``."""
    return os.path.join(TOPS[name], MARKER, f"archive.{int(not main)}.{name}=")


def archive(name: str, files: dict[str, bytes]) -> bytes:
    """Return ``files`` (path -> content) as a zip or, not compressed, as a tar: as the name says."""
    buffer = io.BytesIO()
    if name.endswith(ZIPS):
        import zipfile  # takes as long to import as rpm

        with zipfile.ZipFile(buffer, "w") as zipped:
            for path, data in files.items():
                zipped.writestr(path, data)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path.rstrip("/"))
            if path.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            else:
                member.size = len(data)
                member.mode = 0o755 if path.endswith(".pl") else 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def mark(name: str, main: bool) -> bool:
    """Give a small archive of pkg-git the marker, and tell whether that could be done."""
    path = os.path.join(SOURCES, name)
    data = read(path, _SMALL + 1)
    if len(data) > _SMALL or name.endswith(".gem"):
        return False
    import zipfile

    try:
        if data.startswith(b"PK"):
            buffer = io.BytesIO(data)
            with zipfile.ZipFile(buffer, "a") as zipped:
                TOPS[name] = one_top(zipped.namelist())
                zipped.writestr(marked(name, main), b"=")
            data = buffer.getvalue()
        else:
            data = packed(name, tar_marked(name, data, main))
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):  # fmt: skip
        return False
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(data)
    return True


def tar_marked(name: str, data: bytes, main: bool) -> bytes:
    """Return the tar ``data`` with the marker at its end. Raises what tarfile does, and ValueError."""
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        members = old.getmembers()
        if sum(member.size for member in members) > _SMALL_UNPACKED:
            raise ValueError
        paths = [m.name.removeprefix("./") + "/" * m.isdir() for m in members]
        TOPS[name] = one_top([path for path in paths if path.strip("./")])
        for member in members:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        member = tarfile.TarInfo(marked(name, main))
        member.size = 1
        new.addfile(member, io.BytesIO(b"="))
    return buffer.getvalue()


def packed(name: str, data: bytes) -> bytes:
    """Compress ``data`` as the suffix of ``name`` says."""
    suffix = name.rpartition(".")[2]
    if suffix in ("gz", "tgz", "crate"):
        return gzip.compress(data, 1, mtime=0)
    if suffix in ("bz2", "tbz", "tbz2"):
        return bz2.compress(data, 1)
    if suffix in ("xz", "txz"):
        return lzma.compress(data, preset=0)
    if suffix == "lzma":
        return lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0)
    if suffix in ("zst", "zstd"):
        run = subprocess.run(["/usr/bin/zstd", "-q", "-c"], input=data, capture_output=True)
        return run.stdout or data
    return data


_SETUP = re.compile(r"^cd '([^'\n]+)'$", re.MULTILINE)


_STRIPPED = re.compile(r"^[^\n]*\btar\b[^\n]*--strip[^\n]*", re.MULTILINE)


def setup_names(prep: str) -> dict[str, str]:
    """Return archive -> its one directory ("" for none), where %setup wants another than its name.

    %setup writes ``cd 'BUILD'``, ``rm -rf 'NAME'``, the unpacking, ``cd 'NAME'``; with -c it
    makes NAME itself (build/parsePrep.c, doSetupMacro).
    """
    made = set(re.findall(r"mkdir -p '([^'\n]+)'", prep))
    # without quotes before rpm 4.17
    made |= set(re.findall(r"mkdir -p ([^'\s]+)\ncd '\1'", prep))
    names = [n for n in _SETUP.findall(prep) if not n.startswith("/") and n not in made]
    archives = [os.path.basename(p) for p in re.findall(rf"{SOURCES}/[^\s'\"]+", prep)]
    archives = [a for a in dict.fromkeys(archives) if ARCHIVE.search(a)]
    stems = {ARCHIVE.sub("", a) for a in archives}
    wanted = [n.split("/")[0] for n in dict.fromkeys(names) if n.split("/")[0] not in stems]
    if made and archives:
        # What is to be unpacked in a directory of its own has none, unless %prep speaks of it.
        rest = re.sub(
            r"(?m)^(?:(?:cd|rm -rf|(?:/bin/)?mkdir -p) '[^'\n]+'$|/bin/mkdir -p [^'\n]+$"
            r"|[^\n]*/rpmuncompress .*)",
            "",
            prep,
        )
        if any(archives[0] in line for line in _STRIPPED.findall(prep)):
            return {}
        stem = ARCHIVE.sub("", archives[0])
        known = re.search(rf"(?<![\w.+-]){re.escape(stem)}(?![\w+-]|\.\w)", rest)
        return {} if known else {archives[0]: ""}
    if not archives or not wanted:
        return {}
    return {archives[0]: wanted[0]}
