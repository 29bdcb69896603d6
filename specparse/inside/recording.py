"""What the stand-ins recorded, and what became of the trees that they worked on."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
import subprocess
import zlib
from collections.abc import Container, Iterator
from typing import Any

from specparse.inside.paths import BUILD, ERRORS, PACKAGE, PREP, ROOT, SOURCES, TRACE, read
from specparse.inside.sources import COPIED, LINKED
from specparse.inside.standin import MARKER, WATCHED, record


def records(patches: list[str], buildsubdir: str) -> list[dict[str, Any]]:
    """Read what the stand-ins recorded; inputs from pipes are named by their content."""
    told = []
    known: dict[bytes, str] = {}
    living = trees(buildsubdir)
    edited = changed()
    for fields, argv in calls(record(ROOT)):
        tool, call, archive_, top, place, repository, source, asked = fields
        inputs = [source]
        if source.startswith(f"{ROOT}/input."):
            known = known or {unpacked(p): p for p in reversed(patches)}
            # One mbox may follow another; what is none would be a part of the mail before it.
            start = b"From " if tool == "git" and b"am" in argv else b""
            inputs = piped(read(source), known, start)
        told.append(
            {
                "tool": tool,
                "archive": archive_,
                "directory": below(place, top),
                "repository": below(repository, top) if repository else "",
                "where": whereabouts(call, living.get(archive_, []))
                if archive_
                else "moved" * f"{place}/".startswith(f"{BUILD}/BUILD/{buildsubdir}/"),
                "inputs": [relative(i, edited) for i in inputs],
                "argv": [named(a.decode("utf-8", "surrogateescape"), place, edited) for a in argv],
                "config": config(f"{ROOT}/config.{asked}") if asked else [],
                "variables": variables(f"{ROOT}/variables.{asked}") if asked else [],
            }
        )
    return told


def calls(path: str) -> Iterator[tuple[list[str], list[bytes]]]:
    """Yield the fields and the arguments of each record that is whole."""
    fields = read(path).split(b"\0")[:-1]
    position = 0
    while position + 9 <= len(fields):
        *told, count = (
            field.decode("utf-8", "surrogateescape") for field in fields[position : position + 9]
        )
        position += 9 + int(count)
        if position > len(fields):
            return  # it is being written
        yield told, fields[position - int(count) : position]


_MOST = 1 << 20  # bytes of git's configuration, or of an environment


def config(path: str) -> list[tuple[str, str]]:
    """Return (key, value) of each line that ``git config --list -z`` wrote, in order.

    A key without a value is true (git-config(1)).
    """
    entries = read(path, _MOST).decode("utf-8", "surrogateescape").split("\0")[:-1]
    told = (entry.partition("\n") for entry in entries)
    return [(key, value if newline else "true") for key, newline, value in told]


def variables(path: str) -> list[str]:
    """Return the names of WATCHED that a call's environment has."""
    entries = read(path, _MOST).decode("utf-8", "surrogateescape").split("\0")[:-1]
    names = {entry.partition("=")[0] for entry in entries}
    return [name for name in WATCHED if name in names]


# What no build has is no file of the tree's, either, so nothing comes of it in a build.
_UNDEFINED = re.compile(rb"%\{\w+\}: No such file or directory")


def piped(data: bytes, known: dict[bytes, str], start: bytes) -> list[str]:
    """Return the files of the source directory whose contents, one after the other, are ``data``.

    Of several, each begins with ``start``.
    """
    lookaside = re.fullmatch(rb"srcgit: in the place of (.*)\n", data)
    if lookaside:
        return [f"{SOURCES}/{lookaside[1].decode('utf-8', 'surrogateescape')}"]
    if data in known:
        return [f"{SOURCES}/{known[data]}"]
    found = []
    while data.strip():
        # Of two that fit, the longer: one patch may begin as another does.
        whole = max(
            (k for k in known if k and data.startswith(k) and k.startswith(start)),
            key=len,
            default=None,
        )
        if whole is None:
            return ["pipe"]
        found.append(f"{SOURCES}/{known[whole]}")
        data = data[len(whole) :]
    return found or ["empty" if _UNDEFINED.search(read(f"{ROOT}/prep.out")) else "pipe"]


def below(path: str, top: str) -> str:
    """Return ``path`` as seen from ``top``, the build directory where that is ""."""
    return os.path.relpath(path, top or f"{BUILD}/BUILD")


def trees(buildsubdir: str) -> dict[str, list[tuple[str, set[str]]]]:
    """Return archive -> (directory, calls that worked on it) of each tree that is there now.

    Archives are in order of unpacking. The tree that is built comes first: in the directory that
    %build starts in, and the one that most was done to.
    """
    found: dict[str, list[tuple[str, set[str]]]] = {}
    when: dict[str, int] = {}
    for parent, directories, _ in os.walk(f"{BUILD}/BUILD"):
        if MARKER not in directories:
            continue
        directories.remove(MARKER)
        with contextlib.suppress(OSError):
            os.chmod(f"{parent}/{MARKER}", 0o755)  # `chmod -x *` was there
        there = os.listdir(f"{parent}/{MARKER}")
        calls = {name for name in there if not name.startswith("archive.")}
        for name in sorted(set(there) - calls):
            archive_ = name[len("archive.0.") : -1]
            found.setdefault(archive_, []).append((parent, calls))
            with contextlib.suppress(FileNotFoundError):  # %prep may still be running
                changed = os.lstat(f"{parent}/{MARKER}/{name}").st_ctime_ns  # tar sets the others
                when[archive_] = min(when.get(archive_, changed), changed)
    built = os.path.normpath(f"{BUILD}/BUILD/{buildsubdir}")
    for made in found.values():
        made.sort(key=lambda tree: (not f"{tree[0]}/".startswith(f"{built}/"), -len(tree[1]), tree))
    traced = read(TRACE) if len(when) > 1 else b""

    def unpacked_at(name: str) -> tuple[bool, int, int]:
        """As bash traced it; by the time where a script did it: %setup's chmod sets all times anew."""
        named = traced.find(os.fsencode(f"/{name}"))
        return named < 0, max(named, 0), when.get(name, 0)

    return {archive_: found[archive_] for archive_ in sorted(found, key=unpacked_at)}


def whereabouts(call: str, living: list[tuple[str, set[str]]]) -> str:
    """Return "" for a call that worked on the tree that is built, else what became of its tree."""
    if call == "0" or (living and call in living[0][1]):
        return ""
    copy = next((directory for directory, calls in living if call in calls), "")
    return f"copy {copy.removeprefix(f'{BUILD}/BUILD/')}" if copy else "deleted"


_REFUSAL = "(?:Read-only file system|Permission denied)"
_NO_WRITING = re.compile(
    rf"(?:{SOURCES}|{PACKAGE})/([^\s:']+)'?: {_REFUSAL}"
    rf"|{_REFUSAL}: '(?:{SOURCES}|{PACKAGE})/([^\s']+)'"
)
_NOT_FOUND = 127  # bash(1), "EXIT STATUS"


def changed() -> set[str]:
    """Return the files of the source directory that %prep has changed, or has wanted to.

    The links are all that it can change here: what writes through one fails and says so, or is no
    program of this host.
    """
    edited = set()
    written = os.stat(PREP).st_mtime_ns if os.path.exists(PREP) else 0
    for name in LINKED:
        path = f"{SOURCES}/{name}"
        with contextlib.suppress(OSError):
            target = os.path.realpath(path)
            if not os.path.islink(path) or not target.startswith(f"{PACKAGE}/"):
                os.lstat(path)
                edited.add(name)
            elif os.stat(target).st_mtime_ns > written > 0:
                edited.add(name)
    said = read(f"{ROOT}/prep.out").decode("utf-8", "surrogateescape")
    edited.update(found[1] or found[2] for found in _NO_WRITING.finditer(said))
    fields = read(ERRORS, 1 << 20).decode("utf-8", "surrogateescape").split("\0")[:-1]
    for status, command in zip(fields[::2], fields[1::2]):
        if int(status) == _NOT_FOUND:
            edited.update(re.findall(rf"{SOURCES}/([^\s'\"]+)", command))
    return edited


def named(word: str, place: str, edited: Container[str]) -> str:
    """Return an argument of a call at ``place``, a path from there to the source directory resolved."""
    path = os.path.normpath(os.path.join(place, word)) if word.startswith("../") else ""
    return relative(path if path.startswith(f"{SOURCES}/") else word, edited)


def relative(path: str, edited: Container[str] = ()) -> str:
    """Name a file of the source directory by its path in pkg-git, with ``@`` before it.

    Before that of a file that was ``edited`` stands "changed".
    """
    found = re.fullmatch(rf"(.*?)(?:{SOURCES}|{PACKAGE})/(.+)", path, re.DOTALL)
    if found is None:
        return path
    inside = COPIED.get(found[2], found[2])
    link = os.path.join(SOURCES, inside)
    with contextlib.suppress(OSError):
        target = os.readlink(link)
        if target.startswith(PACKAGE + "/"):
            inside = target[len(PACKAGE) + 1 :]
    mark = "changed " if found[2] in edited or inside in edited else ""
    return f"{found[1]}{mark}@{inside}"


def unpacked(name: str) -> bytes:
    """Return the content of a file of the source directory, as rpmuncompress would print it."""
    data = read(f"{SOURCES}/{name}")
    with contextlib.suppress(OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:3] == b"BZh":
            return bz2.decompress(data)
        if data[:6] == b"\xfd7zXZ\0" or name.endswith(".lzma"):
            return lzma.decompress(data)
        if data[:4] == b"\x28\xb5\x2f\xfd":
            run = subprocess.run(["/usr/bin/zstd", "-dcq"], input=data, capture_output=True)
            return run.stdout
    return data
