"""Inside the sandbox: rpm parses the spec, then %prep is run with recording stand-ins.

Started by the system's Python, which has rpm's binding; the standard library and the two modules
beside it are all that it uses. Reads a request from standard input and answers on standard output,
both JSON, an object a line; file names travel with surrogateescape. Lines that say so are early: what
was recorded when no patch had come for a moment; then configuration files, whose contents follow their
line. The last is the answer.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from specparse.edits import edit
from specparse.standin import (
    ARCHIVE,
    MARKER,
    STANDIN_SHELL,
    STANDINS,
    ZIPS,
    functions,
    makes,
    record,
    script,
)

# Where everything is: fixed in the sandbox, given where a person does without one.
PACKAGE = os.environ.get("SRCGIT_PACKAGE", "/package")
ROOT = os.environ.get("SRCGIT_ROOT", "/tmp")
BUILD = f"{ROOT}/build"
SOURCES = f"{BUILD}/SOURCES"
ERRORS, TRACE, END = f"{ROOT}/errors", f"{ROOT}/trace", f"{ROOT}/end"
_ARCHIVE = re.compile(ARCHIVE)
INVENTED: set[str] = set()  # files that the spec wants, and that nothing lists
COPIED: dict[str, str] = {}  # files of the source directory that are no links -> path in pkg-git
REAL: dict[str, bytes] = {}  # files of the upstream base that %prep looks at
KNOWN: dict[str, list[str]] = {}  # archive -> the paths in it, where that is known
MADE: dict[str, dict[str, bytes]] = {}  # archive -> what stands in its place: path -> content
TOPS: dict[str, str] = {}  # archive -> its one directory, "" for none
_BETWEEN_WORDS = bytes.maketrans(b"/\"'=", b"    ")  # as white space is
_SMALL = 4 << 20  # bytes of an archive in pkg-git that is read for what it holds
_SMALL_UNPACKED = 64 << 20  # bytes
_MOVES_BASE = re.compile(r"patch-\d.*\.(?:xz|bz2|gz)$")
_POINTER = b"version https://git-lfs.github.com/spec/"  # git-lfs-pointer(5)
_CONFIGS_LIMIT = 64 << 20  # bytes
_MOMENT = 20  # milliseconds

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


class Refused(Exception):
    """The spec is at fault: what, where, and what to do next, if not to give it up."""


# -- the source directory ------------------------------------------------------------------


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
            target = os.path.join(SOURCES, name)
            if (parent in flat or os.fsencode(name) in words) and not os.path.lexists(target):
                if _ARCHIVE.search(name) and read(f"{parent}/{name}", 100).startswith(_POINTER):
                    continue  # it is elsewhere, as a lookaside file
                if name.endswith(".zst"):  # zstd(1) passes over links
                    with contextlib.suppress(OSError):
                        shutil.copyfile(os.path.join(parent, name), target)
                        COPIED[name] = os.path.relpath(os.path.join(parent, name), PACKAGE)
                        continue
                os.symlink(os.path.join(parent, name), target)
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
    if _ARCHIVE.search(name):
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
        TOPS[name] = _ARCHIVE.sub("", name) if top is None else top
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
    return os.path.join(TOPS[name], MARKER, f"archive.{int(not main)}.{name}=")


def archive(name: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if name.endswith(ZIPS):
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


# -- parsing -------------------------------------------------------------------------------


def parse(path: str, arch: str, macros: dict[str, str]) -> tuple[Any, list[str]]:
    """Return rpm's parse of the spec, and what had to be left out for it. Raises Refused."""
    import rpm

    with open(path, "rb") as file:
        text = file.read()
    version = text
    notes: list[str] = []
    missing: set[str] = set()
    while True:
        rpm.reloadConfig(f"{arch}-linux")
        for name, body in macros.items():
            rpm.addMacro(name, body)
        for definitions in ("strings", "fedora"):
            if definitions == "fedora" or not rpm.expandMacro("%{?sub:1}"):
                rpm.expandMacro(f"%{{load:{os.path.dirname(__file__)}/{definitions}.macros}}")
        with open(f"{ROOT}/rpm.log", "w+b") as log:
            rpm.setLogFile(log)
            try:
                return rpm.spec(path, rpm.RPMSPEC_ANYARCH), notes
            except (rpm.error, ValueError) as error:
                log.flush()
                log.seek(0)
                said = log.read().decode("utf-8", "replace") or str(error)
            finally:
                rpm.setLogFile(sys.stderr)
        absent = re.search(rf"Bad (?:file|source): {SOURCES}/([^\s:/]+):", said)
        if absent is not None and absent[1] not in missing:
            missing.add(absent[1])
            INVENTED.add(absent[1])
            fake(absent[1])
            continue
        edited = edit(version, said, os.path.basename(path) if notes else "")
        if edited is None:
            what, where = cleaned(said)
            where = where or line_of(what, text)
            if "unexpected symbol near '<'" in said:  # in a file that the spec loads
                lua = rpm.expandMacro("%{lua:print(_VERSION)}")
                what += f": this rpm has {lua}, and attributes such as <const> came with Lua 5.4"
                raise Refused(what, where, "run srcgit where rpm has Lua 5.4, such as Fedora")
            raise Refused(what, where)
        version, note = edited
        notes.append(note)
        path = f"{BUILD}/{os.path.basename(path)}"
        with open(path, "wb") as file:
            file.write(version)


def cleaned(said: str) -> tuple[str, str]:
    """Return rpm's first error without our paths, and the line that it names."""
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    what = (lines or said.splitlines() or ["rpm refuses the spec"])[0].removeprefix("error: ")
    what = re.sub(rf"{BUILD}/(?:SOURCES/)?", "", what)
    number = re.search(r"\bline (\d+)|\.spec:(\d+)", what)
    return what.strip(), f"line {number[1] or number[2]}" if number else ""


def missing_patch(text: bytes, sources: list[tuple[str, int | None, bool]]) -> None:
    """Raise Refused for a patch that is neither in pkg-git nor in the lookaside cache.

    Only patches that move the base are believed to be there when ``sources`` does not list them.
    """
    for name, number, is_patch in sources:
        path = f"{SOURCES}/{name}"
        if not is_patch or (os.path.exists(path) and name not in INVENTED):
            continue
        if _MOVES_BASE.match(name):
            continue
        line = next(
            (
                n
                for n, line in enumerate(text.splitlines(), 1)
                if re.match(rb"\s*Patch0*%d\s*:" % (number or 0), line) or os.fsencode(name) in line
            ),
            0,
        )
        led = ": it is a link that leads out of it" if os.path.islink(path) else ""
        raise Refused(f"the patch {name} is not in the commit{led}", f"line {line}" if line else "")


def line_of(what: str, text: bytes) -> str:
    """Return the last line that declares the source or patch that an error without a line names."""
    named = re.match(r"(patch|source) (\d+) defined multiple times", what)
    if named is None:
        return ""
    pattern = rb"\s*%b0*%b\s*:" % (named[1].encode(), named[2].encode())
    lines = [
        n for n, line in enumerate(text.splitlines(), 1) if re.match(pattern, line, re.IGNORECASE)
    ]
    return f"line {lines[-1]}" if lines else ""


# -- running %prep -------------------------------------------------------------------------

_SETUP = re.compile(r"^cd '([^'\n]+)'$", re.MULTILINE)
# rpm has RubyGems unpack these (rpm 4.18, tools/rpmuncompress.c); ours are plain archives.
_GEM = re.compile(r"^\S*/rpmuncompress -x(?: -v)? (\S+/(\S+)\.gem)$", re.MULTILINE)
# A patch through rpm's pipe is the same from its file, with half as many processes.
_PIPED = re.compile(r"^/\S*/rpmuncompress (\S+) \| *\n((?:patch|git) .*)$", re.MULTILINE)
# The arguments of a macro that nobody defined may be no shell: Dir.glob('bin/{windows,linux}/x')
_UNKNOWN = re.compile(r"^[ \t]*(%\{?[A-Za-z_][^'\n]*[(][^\n]*)$", re.MULTILINE)
_TOOL_PATH = re.compile(r"(?<![\w/.-])/usr/bin/(" + "|".join(STANDINS) + r")\b")

# What is not in the place of an archive may be a directory of the real one.
_ENTER = f"""\
srcgit_enter() {{
    local at=$PWD
    case ${{!#}} in
    /* | -* | +* | "") ;;
    *)
        case ${{!#}} in *..*) ;; *) at=$PWD/${{!#}} ;; esac
        while [ -n "$at" ] && [ ! -e "$at/{MARKER}" ]; do at=${{at%/*}}; done
        [ -d "${{!#}}" ] || [ -z "$at" ] || mkdir -p "${{!#}}"
        ;;
    esac
}}
cd() {{ local -; set +x; srcgit_to="cd $*"; srcgit_enter "" "$@"; builtin cd "$@"; }}
pushd() {{ local -; set +x; srcgit_to="pushd $*"; srcgit_enter "" "$@"; builtin pushd "$@"; }}
srcgit_error() {{
    local - status=$1 command=$2
    set +x
    case $command in "builtin "*) command=$srcgit_to ;; esac
    printf '%s\\0%s\\0' "$status" "$command" >> {ERRORS}
}}
"""

_PREAMBLE = f"""\
{_ENTER}exec </dev/null
trap 'srcgit_error "$?" "$BASH_COMMAND"' ERR
trap 'printf "exit %s" "$?" > {END}' EXIT
export HISTFILE=
exec 9>>{TRACE}
BASH_XTRACEFD=9
PS4=$'\\001${{LINENO}} ${{PWD}}\\002'
{functions(ROOT)}"""


def run(prep: str, name: str, pause: Callable[[], None]) -> int:
    """Run the expanded %prep under bash with the stand-ins first in PATH; return the status.

    ``pause`` is called whenever more was recorded and then nothing for a moment.
    """
    os.makedirs(f"{ROOT}/standin")
    for tool in STANDINS:
        with open(f"{ROOT}/standin/{tool}", "w") as file:
            file.write(
                f"#!{STANDIN_SHELL if os.path.exists(STANDIN_SHELL) else '/bin/sh'}\n{script(ROOT)}"
            )
        os.chmod(f"{ROOT}/standin/{tool}", 0o755)
    prep = _GEM.sub(r"tar -xf \1; : > '\2.gemspec'", _TOOL_PATH.sub(r"\1", prep))
    prep = _UNKNOWN.sub(as_one_word, _PIPED.sub(r"\2 < \1", prep))
    prepared = f"{BUILD}/prep.sh"
    with open(prepared, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(_PREAMBLE + prep + f"\nprintf end > {END}\ntrap - EXIT\n")
    environment = {
        "PATH": f"{ROOT}/standin:/usr/bin:/usr/sbin",
        "HOME": ROOT,
        # LC_ALL would have each of some hundred processes read twelve files that say as much as C.
        "LC_CTYPE": "C.UTF-8",
        "RPM_SOURCE_DIR": SOURCES,
        "RPM_BUILD_DIR": f"{BUILD}/BUILD",
        "RPM_BUILD_ROOT": f"{BUILD}/BUILDROOT/root",
        "RPM_PACKAGE_NAME": name,
    }
    with open(f"{ROOT}/prep.out", "wb") as out:
        process = subprocess.Popen(
            ["/usr/bin/bash", "-x", prepared],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**environment, "RPM_PACKAGE_VERSION": "0", "RPM_PACKAGE_RELEASE": "0"},
            cwd=f"{BUILD}/BUILD",
        )
    end = select.poll()
    end.register(os.pidfd_open(process.pid), select.POLLIN)
    told = before = 0
    while not end.poll(_MOMENT):
        with contextlib.suppress(FileNotFoundError):
            size = os.stat(record(ROOT)).st_size
            if size == before > told:
                pause()
                told = size
            before = size
    return process.wait()


def as_one_word(line: re.Match[str]) -> str:
    with contextlib.suppress(ValueError):  # its quotes end on another line
        shlex.split(line[1])
        return shlex.quote(line[1])
    return line[0]


def setup_names(prep: str) -> dict[str, str]:
    """Return archive -> its one directory ("" for none), as far as %setup tells, where that is not
    the archive's own name.

    %setup writes ``cd 'BUILD'``, ``rm -rf 'NAME'``, the unpacking, ``cd 'NAME'``; with -c it
    makes NAME itself (build/parsePrep.c, doSetupMacro).
    """
    made = set(re.findall(r"mkdir -p '([^'\n]+)'", prep))
    names = [n for n in _SETUP.findall(prep) if not n.startswith("/") and n not in made]
    archives = [os.path.basename(p) for p in re.findall(rf"{SOURCES}/[^\s'\"]+", prep)]
    archives = [a for a in dict.fromkeys(archives) if _ARCHIVE.search(a)]
    stems = {_ARCHIVE.sub("", a) for a in archives}
    wanted = [n.split("/")[0] for n in dict.fromkeys(names) if n.split("/")[0] not in stems]
    if made and archives:
        # What is to be unpacked in a directory of its own has none, unless %prep speaks of it.
        rest = re.sub(
            r"(?m)^(?:(?:cd|rm -rf|(?:/bin/)?mkdir -p) '[^'\n]+'$|[^\n]*/rpmuncompress .*)",
            "",
            prep,
        )
        stem = _ARCHIVE.sub("", archives[0])
        known = re.search(rf"(?<![\w.+-]){re.escape(stem)}(?![\w+-]|\.\w)", rest)
        return {} if known else {archives[0]: ""}
    if not archives or not wanted:
        return {}
    return {archives[0]: wanted[0]}


# -- the answer ----------------------------------------------------------------------------


def records(patches: list[str], buildsubdir: str) -> list[dict[str, Any]]:
    """Read what the stand-ins recorded; inputs from pipes are named by their content."""
    told = []
    known: dict[bytes, str] = {}
    living = trees(buildsubdir)
    for fields, argv in (*calls(record(ROOT)), *calls(makes(ROOT))):
        tool, call, archive_, top, place, repository, source = fields
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
                "inputs": [relative(i) for i in inputs],
                "argv": [relative(a.decode("utf-8", "surrogateescape")) for a in argv],
            }
        )
    return told


def calls(path: str) -> Iterator[tuple[list[str], list[bytes]]]:
    """Yield the fields and the arguments of each record that is whole."""
    fields = read(path).split(b"\0")[:-1]
    position = 0
    while position + 8 <= len(fields):
        *told, count = (
            field.decode("utf-8", "surrogateescape") for field in fields[position : position + 8]
        )
        position += 8 + int(count)
        if position > len(fields):
            return  # it is being written
        yield told, fields[position - int(count) : position]


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
    when: dict[str, tuple[int, int]] = {}
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
                status = os.lstat(f"{parent}/{MARKER}/{name}")
                # tar sets the other times, and clocks tick slowly; a tmpfs counts its inodes.
                changed = (status.st_ctime_ns, status.st_ino)
                when[archive_] = min(when.get(archive_, changed), changed)
    built = os.path.normpath(f"{BUILD}/BUILD/{buildsubdir}")
    for made in found.values():
        made.sort(key=lambda tree: (not f"{tree[0]}/".startswith(f"{built}/"), -len(tree[1]), tree))
    return {
        archive_: found[archive_]
        for archive_ in sorted(found, key=lambda name: when.get(name, (0, 0)))
    }


def whereabouts(call: str, living: list[tuple[str, set[str]]]) -> str:
    """Return "" for a call that worked on the tree that is built, else what became of its tree."""
    if call == "0" or (living and call in living[0][1]):
        return ""
    copy = next((directory for directory, calls in living if call in calls), "")
    return f"copy {copy.removeprefix(f'{BUILD}/BUILD/')}" if copy else "deleted"


def relative(path: str) -> str:
    """Name a file of the source directory by its path in pkg-git, with ``@`` before it."""
    found = re.fullmatch(rf"(.*?)(?:{SOURCES}|{PACKAGE})/(.+)", path, re.DOTALL)
    if found is None:
        return path
    inside = COPIED.get(found[2], found[2])
    link = os.path.join(SOURCES, inside)
    with contextlib.suppress(OSError):
        target = os.readlink(link)
        if target.startswith(PACKAGE + "/"):
            inside = target[len(PACKAGE) + 1 :]
    return f"{found[1]}@{inside}"


def read(path: str, limit: int = 1 << 28) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def unpacked(name: str) -> bytes:
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


def errors() -> list[tuple[int, str]]:
    fields = read(ERRORS, 1 << 20).decode("utf-8", "surrogateescape").split("\0")[:-1]
    return [(int(status), what) for status, what in zip(fields[::2], fields[1::2], strict=False)]


_CHANGES = {
    "mv", "cp", "rm", "ln", "chmod", "touch", "sed", "perl", "mkdir", "rmdir", "install", "find",
    "truncate", "tar", "unzip", "iconv", "dos2unix", "rename", "pathfix.py", "xargs", "autoreconf",
    "ed",
}  # fmt: skip


def _may_change(word: str) -> bool:
    """A macro that nobody defined is left as it is written: what it would do is not known."""
    return word in _CHANGES or bool(re.match(r"%[A-Za-z_{]", word))


class Ran(NamedTuple):
    """A command of %prep, as bash traced it."""

    line: str  # its number in %prep
    directory: str
    command: str

    @property
    def name(self) -> str:
        return self.command.split(" ", 1)[0].strip("'\n")


def commands() -> list[Ran]:
    """Return what %prep ran, in order."""
    text = read(TRACE, 64 << 20).decode("utf-8", "surrogateescape")
    ran = []
    for part in re.split(r"^\x01+", text, flags=re.MULTILINE)[1:]:
        place, _, command = part.partition("\x02")
        line, _, directory = place.partition(" ")
        ran.append(Ran(line, directory, command))
    return ran


def changes(ran: list[Ran]) -> list[str]:
    """Return the commands that may change the tree, one for each line of %prep."""
    seen: dict[str, str] = {}
    inside: dict[str, bool] = {}
    for each in ran:
        line, directory, command = each.line, each.directory, each.command.rstrip("\n")
        if not _may_change(command.split(" ", 1)[0].strip("'")):
            continue
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        if not words or not _may_change(words[0]):
            continue
        if words[0] == "xargs" and set(STANDINS) & set(words):
            continue  # recorded by itself
        if not inside.setdefault(directory, bool(top_of(directory))):
            continue
        seen.setdefault(f"{line} {words[0]}", command)
    cleaned_ = (re.sub(rf"{SOURCES}/|{BUILD}/", "", command) for command in seen.values())
    return list(dict.fromkeys(c[:500] for c in cleaned_))


_REDIRECTED = re.compile(r"(?<![\d&<>\\])>{1,2}\s*([A-Za-z_.][\w./+-]*)")
_WRITTEN = 20  # commands


def written(prep: str, buildsubdir: str, listed: list[str]) -> list[str]:
    """Return what wrote the files of the tree that no ``listed`` command speaks of.

    xtrace shows no redirections, and not what a script does. Where a redirection fails, the real
    tree has the directory that it wants.
    """
    told = " ".join(listed)
    paths = [
        into[1]
        for _, command in errors()
        if (into := _REDIRECTED.search(command)) and "srcgit" not in command
    ]
    for archive_, found in trees(buildsubdir).items():
        if archive_ in MADE:
            paths += _new(found[0][0], TOPS[archive_], MADE[archive_])
    lines = [line.strip() for line in prep.splitlines()]
    seen: dict[str, None] = {}
    for path in paths:
        if not any(part in told for part in path.split("/") if part != "."):
            base = os.path.basename(path)
            spoken = [line for line in lines if base in line]
            spoken.sort(key=lambda line: ">" in line)  # what comes last is what was left
            line = spoken[-1] if spoken else f"writes {path}"
            seen[re.sub(rf"{SOURCES}/|{BUILD}/", "", line)[:500]] = None
    return list(seen)[:_WRITTEN]


def _new(directory: str, top: str, made: dict[str, bytes]) -> list[str]:
    """Return the files below ``directory`` that are not as the archive had them."""
    found = []
    for parent, directories, names in os.walk(directory):
        if parent != directory and MARKER in directories:
            directories.clear()
            continue
        directories[:] = sorted(set(directories) - {MARKER, ".git"})
        for name in sorted(names):
            path = os.path.relpath(os.path.join(parent, name), directory)
            if made.get(os.path.join(top, path)) != read(os.path.join(parent, name)):
                found.append(path)
    return found


def last(ran: list[Ran]) -> str:
    """Return the last commands that were run, exit left out: where %prep stopped."""
    told = [
        c
        for each in ran[-20:]
        if (c := each.command.strip())
        and not c.startswith(("exit", "local ", "srcgit_error", "set ", "shift", "printf 'exit"))
    ]
    return " ; ".join(told[-2:]).replace(f"{SOURCES}/", "")


_LOOKS = {
    "[", "[[", "test", "grep", "egrep", "fgrep", "cat", "head", "tail", "cut", "sed", "awk", "gawk",
    "diff", "cmp", "wc", "sort", "tr", ".", "source",
}  # fmt: skip


def looks(prep: str, ran: list[Ran], *, to_its_end: bool) -> list[str]:
    """Return the files of the unpacked tree that %prep tests, reads or searches.

    Where it does not come to its end, those that it names at all: any program may have looked
    (sha256sum, cpp), and what comes later would look, too.
    """
    found: dict[str, None] = {}
    tops: dict[str, str] = {}
    redirected = re.findall(r"<\s*([\w.][\w./+-]*)", prep)  # xtrace shows no redirections
    for each in ran:
        directory, command = each.directory, each.command
        top = (
            tops[directory] if directory in tops else tops.setdefault(directory, top_of(directory))
        )
        if not top:
            continue
        words = [*redirected]
        if each.name in _LOOKS:
            with contextlib.suppress(ValueError):
                words += shlex.split(command)[1:]
        if "-i" in words:
            continue  # what sed changes in place decides nothing
        for word in words:
            path = os.path.normpath(os.path.join(directory, word))
            if re.fullmatch(r"[\w.][\w./+-]{1,200}", word) and path.startswith(f"{top}/"):
                found[path[len(top) + 1 :]] = None
        if len(found) > 1000:
            break
    if not to_its_end and any(tops.values()):
        named = re.findall(r"(?<![\w/.-])[\w.][\w./+-]{1,200}", prep)
        found |= dict.fromkeys(p for p in map(os.path.normpath, named) if not p.startswith(".."))
    return list(found)[:1000]


_PASSES_BY = {"for", "[", "[[", "test", "local", "shift", "set"}


def unread(patches: list[str], ran: list[Ran]) -> list[str]:
    """Return the patches that no command names, but for tests and the heads of loops."""
    named = "\n".join(each.command for each in ran if each.name not in _PASSES_BY)
    return [patch for patch in patches if patch not in named]


def top_of(directory: str) -> str:
    while directory.startswith(f"{BUILD}/BUILD/"):
        if os.path.exists(f"{directory}/{MARKER}"):
            return directory
        directory = os.path.dirname(directory)
    return ""


def configs() -> dict[str, bytes]:
    """Return what %prep left in a directory ``configs`` of the tree: name -> content."""
    found: dict[str, bytes] = {}
    total = 0
    for parent, directories, names in os.walk(f"{BUILD}/BUILD"):
        if os.path.basename(parent) != "configs" or not names:
            continue
        directories.clear()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not name.endswith(".config") and "config" not in name:
                continue
            if name.endswith((".sh", ".py", ".mk")) or os.path.islink(path):
                continue
            data = read(path)
            total += len(data)
            if total > _CONFIGS_LIMIT:
                return {}
            found[name] = data
        break
    return found


def answer(request: dict[str, Any], send: Callable[..., None]) -> None:
    """Parse, run, and ``send`` what came of it."""
    import rpm

    for directory in ("SOURCES", "BUILD", "BUILDROOT/root"):
        os.makedirs(f"{BUILD}/{directory}")
    path = os.path.join(PACKAGE, request["spec"])
    REAL.update((name, base64.b64decode(data)) for name, data in request["tree"].items())
    KNOWN.update(request["archives"])
    populate(path)
    readable = os.path.join(SOURCES, os.path.basename(path))
    if not os.path.isfile(path):
        raise Refused("the spec is no file, or a link that leads out of the package", "")
    try:
        readable.encode()
    except UnicodeEncodeError:  # rpm's binding takes no other names
        os.symlink(readable, f"{BUILD}/renamed.spec")
        readable = f"{BUILD}/renamed.spec"
    parsed, notes = parse(readable, request["arch"], request["macros"])
    header = parsed.sourceHeader

    def tag(name: str) -> str | None:
        value = header[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        return None if value is None else str(value)

    sources = [
        (os.path.basename(full), number, bool(flags & 2))
        for full, number, flags in reversed(list(parsed.sources))
    ]
    missing_patch(read(path), sources)
    named: dict[str, Any] = {name: tag(name) for name in ("name", "version", "release")}
    if request.get("only") == "header":
        send(named | {"notes": notes})
        return
    patches = [name for name, _, is_patch in sources if is_patch]
    prep = parsed.prep or ""
    tops = setup_names(prep)
    declared = sorted((s for s in sources if not s[2]), key=lambda source: source[1] or 0)
    archives = [name for name, _, _ in declared if _ARCHIVE.search(name)]
    for name in archives:
        main = name == archives[0]
        there = f"{SOURCES}/{name}"
        held = name in COPIED or (os.path.islink(there) and os.path.exists(there))
        if held and (mark(name, main) or not (main or name in KNOWN)):
            continue
        with contextlib.suppress(OSError):
            os.unlink(there)
        fake(name, tops.get(name), main=main)
    for name, _, is_patch in sources:
        if not is_patch or _MOVES_BASE.match(name):
            fake(name)
    buildsubdir = ""
    with contextlib.suppress(rpm.error):
        buildsubdir = rpm.expandMacro("%{?buildsubdir}")

    def recorded() -> dict[str, Any]:
        # The fakes: whatever is there and no file of pkg-git, listed by the spec or not.
        present = os.listdir(SOURCES)
        others = [n for n in present if os.path.islink(f"{SOURCES}/{n}") or n in COPIED]
        return {
            **named,
            "epoch": header["epoch"],
            "sources": [
                (relative(f"{SOURCES}/{n}")[1:], number, is_patch)
                for n, number, is_patch in sources
            ],
            "urls": {
                os.path.basename(full): full for full, _, _ in parsed.sources if "://" in full
            },
            "fakes": list(set(present) - set(others)),
            "trees": {
                name: [below(directory, "") for directory, _ in found]
                for name, found in trees(buildsubdir).items()
            },
            "tops": TOPS,
            "buildsubdir": buildsubdir,
            "records": records(
                [n for n in [*patches, *others] if "patch" in n or "diff" in n or n in patches],
                buildsubdir,
            ),
            "notes": notes,
        }

    status = run(prep, tag("name") or "", lambda: send({"early": True} | recorded()))
    files = configs()
    send({"configs": {name: len(data) for name, data in files.items()}}, *files.values())
    ran = commands()
    changed, ended = changes(ran), read(END).decode("ascii", "replace")
    if re.search(rb"prep\.sh: line \d+: syntax error", read(f"{ROOT}/prep.out")):
        ended = "syntax error"  # whatever upstream's files are
    send(
        recorded()
        | {
            "end": ended,
            "signal": max(-status, 0),
            "errors": errors()[:200],
            "last": last(ran),
            "changes": [*changed, *written(prep, buildsubdir, changed)],
            "looks": looks(prep, ran, to_its_end=ended in ("end", "exit 0")),
            "unread": unread(patches, ran),
        }
    )


def main() -> None:
    import rpm  # noqa: F401  before there is a request: a worker may be started ahead of it

    request = json.load(sys.stdin)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a spec prints while it is parsed is not an answer

    def send(reply: dict[str, Any], *contents: bytes) -> None:
        output.write(json.dumps(reply).encode("ascii") + b"\n")
        output.writelines(contents)
        output.flush()

    try:
        answer(request, send)
    except Refused as refused:
        send({"refused": list(refused.args)})
