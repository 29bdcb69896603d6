"""One upstream, and how patches for it are made: by the tools that packagers use."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders import Source, source_file

TAG, TOP = "v1.2", "demo-1.2"
HANS = ("Jörg Müller", "jorg@example.org")

Edit = Mapping[str, Callable[[str], str] | str | bytes | None]  # path -> what becomes of the file
Content = bytes | str | Callable[["Upstream"], bytes]  # of a file of pkg-git


@dataclass(frozen=True, slots=True)
class Package:
    """A small package: one idea. Each file of pkg-git that is called a patch is declared.

    ``beside`` is all that %prep does besides: the command as the plan lists it -> the changes
    that it makes ("A path" added, "D" deleted, "M" content, "X" mode alone, "T" type).
    ``backups`` are what patch(1) itself leaves. ``refused`` is a part of the error with which
    the conversion ends instead.
    """

    idea: str
    prep: str
    files: Mapping[str, Content] = field(default_factory=dict)
    declare: str | None = None  # instead of one PatchN line a patch, numbered from 1
    applied: Sequence[str] | None = None  # in order, where not all that are declared
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    backups: Sequence[str] = ()
    refused: str = ""
    by_hand: str = ""  # a part of what export says that a person has to do, where all is changed
    no_queue: str = ""  # a part of the reason for which it is no quilt queue
    spec: str = ""  # the whole spec, where the one below does not do
    judged: tuple[str, str] | None = None  # spec and %prep in their place for the judge's old rpm
    arch: str = "x86_64"
    dist: str = ".fc41"

    @property
    def patches(self) -> list[str]:
        """Return the files that are patches by name, in order."""
        return [n for n in self.files if ".patch" in n or ".diff" in n or n.endswith(".mbox")]

    def text(self, *, judged: bool = False) -> str:
        """Return the spec, or the one that the judge gets."""
        declared = self.declare
        if declared is None:
            names = (name.rpartition("/")[2] for name in self.patches)
            declared = "".join(f"Patch{n}: {name}\n" for n, name in enumerate(names, 1))
        spec, prep = self.judged if judged and self.judged else (self.spec or SPEC, self.prep)
        return spec.replace("@DECLARE@", declared).replace("@PREP@", prep)


SPEC = """\
Name: demo
Version: 1.2
Release: 3%{?dist}
Summary: A demo
License: MIT
URL: https://example.org/demo
Source0: %{url}/releases/demo-%{version}.tar.gz
@DECLARE@
%description
A demo.

%prep
@PREP@

%build
make

%files

%changelog
* Mon Jan 06 2025 A. Packager <packager@example.org> - 1.2-3
- rebuilt
"""


class Upstream:
    """The project ``demo`` in git, with the tag v1.2; and what is made of it."""

    def __init__(self, path: Path, more: Mapping[str, bytes | str] = {}) -> None:
        """Make it at ``path``, with the files ``more`` besides FILES."""
        self.source = Source(path)
        self._commits: dict[tuple[int, ...], str] = {}
        commit = self.source.commit(
            {**FILES, **more}, "demo 1.2\n", modes={"tools/run.sh": "100755", "link": "120000"}
        )
        self.source.tag(TAG, commit)
        self._commits[()] = commit

    def after(self, edits: Sequence[Edit], modes: Mapping[str, str] = {}) -> str:
        """Return the commit that has ``edits`` on top of v1.2, one commit for each."""
        key = tuple(id(edit) for edit in edits)
        if key not in self._commits or modes:
            parent = self.after(edits[:-1])
            files: dict[str, bytes | str | None] = {}
            for path, change in edits[-1].items():
                files[path] = change(self._text(parent, path)) if callable(change) else change
            name = ", ".join(path.rpartition("/")[2] for path in edits[-1])
            message = (
                f"change {name}\n\nBecause it is better.\n\nSigned-off-by: {HANS[0]} <{HANS[1]}>\n"
            )
            made = self.source.commit(
                files, message, branch="topic", parent=parent, author=HANS, modes=modes
            )
            if modes:
                return made
            self._commits[key] = made
        return self._commits[key]

    def _text(self, commit: str, path: str) -> str:
        return self.source.file(commit, path).decode("utf-8", "surrogateescape")

    def archive(self, path: Path, top: str = TOP, commit: str = TAG, under: str = "") -> None:
        """Write an archive, compressed as the suffix of ``path`` says, as upstream would."""
        tree = f"{commit}:{under}" if under else commit
        tar = self.source.git.run("archive", f"--prefix={top}/", tree).stdout
        pack = {"gz": "gzip", "tgz": "gzip", "xz": "xz", "bz2": "bzip2", "zst": "zstd"}
        tool = pack.get(path.suffix[1:])
        path.write_bytes(
            subprocess.run([tool], input=tar, stdout=subprocess.PIPE, check=True).stdout
            if tool
            else tar
        )


# -- patches -------------------------------------------------------------------------------


def mail(*edits: Edit, on: Sequence[Edit] = (), modes: Mapping[str, str] = {}) -> Content:
    """Return what ``git format-patch --stdout`` writes: a mail for each edit."""

    def make(upstream: Upstream) -> bytes:
        base = upstream.after(tuple(on))
        return upstream.source.mails(base, upstream.after((*on, *edits), modes))

    return make


def git_diff(
    *edits: Edit,
    on: Sequence[Edit] = (),
    options: Sequence[str] = (),
    modes: Mapping[str, str] = {},
) -> Content:
    """Return what ``git diff`` prints."""

    def make(upstream: Upstream) -> bytes:
        base = upstream.after(tuple(on))
        return upstream.source.diff(base, upstream.after((*on, *edits), modes), *options)

    return make


def diff_u(
    *edits: Edit,
    on: Sequence[Edit] = (),
    names: tuple[str, str] = ("demo-1.2.orig", "demo-1.2"),
    options: str = "-urN",
    under: str = "",
) -> Content:
    """Return what ``diff -urN demo-1.2.orig demo-1.2`` prints, of the directory ``under``."""

    def make(upstream: Upstream) -> bytes:
        old, new = upstream.after(tuple(on)), upstream.after((*on, *edits))
        with tempfile.TemporaryDirectory() as scratch:
            for commit, name in zip((old, new), names, strict=True):
                (Path(scratch) / name).mkdir(parents=True)
                tar = upstream.source.git.run("archive", f"{commit}:{under}").stdout
                subprocess.run(["tar", "x", "-C", f"{scratch}/{name}"], input=tar, check=True)
            command = ["diff", "--no-dereference", options, *names]
            return subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE).stdout

    return make


def through(content: Content, *command: str) -> Content:
    """Return ``content`` as it comes out of a program: compressed, edited by hand."""

    def make(upstream: Upstream) -> bytes:
        data = resolved(content, upstream)
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout

    return make


def joined(*contents: Content) -> Content:
    return lambda upstream: b"".join(resolved(content, upstream) for content in contents)


def resolved(content: Content, upstream: Upstream) -> bytes:
    if callable(content):
        return content(upstream)
    return content.encode() if isinstance(content, str) else content


# -- edits ---------------------------------------------------------------------------------


def function(n: int, note: str) -> Callable[[str], str]:
    """Return the change of one line in the ``n``-th function of a source_file."""
    old = f"\tint result = {n * 7 + 1};"

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, f"{old} /* {note} */")

    return change


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


FILES: dict[str, bytes | str | None] = {
    "README.md": "Demo\n====\n\nA demonstration.\nIt does nothing.\n",
    "COPYING": "MIT License\n\nDo as you like.\n",
    "Makefile": "PREFIX = /usr/local\nVERSION = 1.2\n\nall:\n\tcc src/*.c\n\ninstall:\n\tcp demo $(PREFIX)/bin\n",
    "configure.ac": "AC_INIT([demo], [1.2])\nAC_OUTPUT\n",
    "src/main.c": source_file("main", 12),
    "src/util.c": source_file("util", 12),
    "src/long.c": source_file("long", 60),
    "src/main.h": "#ifndef MAIN_H\n#define MAIN_H\nint main(void);\n#endif\n",
    "src/noeol.c": "int a;\nint b;\nint c;",
    "src/dos.c": source_file("dos", 6).replace("\n", "\r\n"),
    "src/empty.c": "",
    "docs/guide.txt": "Guide\n\nFirst read this.\nThen that.\n",
    "docs/old/only.txt": "The only file here.\n",
    "docs/with space.txt": "One\nTwo\nThree\n",
    "docs/größe.txt": "Größe\nund Länge\n",
    "po/latin1.txt": "Gr\xfc\xdfe\nBye\n".encode("latin-1"),
    "tools/run.sh": "#!/bin/sh\necho run\n",
    "tools/legacy.py": "#!/usr/bin/python\nprint 1\n",
    "data/logo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2,
    "bundled/zlib/zlib.c": source_file("zlib", 3),
    "bundled/zlib/zlib.h": "int inflate(void);\n",
    "lib/extra.c": source_file("extra", 4),
    "lib/Makefile": "all:\n\tcc extra.c\n",
    "link": "README.md",
}

DOS: Edit = {"src/dos.c": replaced("int result = 8;", "int result = 9;")}
MAIN: Edit = {"src/main.c": function(2, "checked")}
UTIL: Edit = {"src/util.c": function(5, "and this")}
MORE: Edit = {"src/main.c": replaced("/* checked */", "/* checked twice */")}  # on top of MAIN
EXTRA: Edit = {"lib/extra.c": function(1, "in a directory")}
ONE, TWO = mail(MAIN), git_diff(UTIL)
THREE = diff_u(MORE, on=[MAIN])
BOTH = {"one.patch": ONE, "two.patch": TWO}
SUB = {"extra.patch": diff_u(EXTRA, names=("lib.orig", "lib"), under="lib")}
ALL = {**BOTH, "three.patch": THREE}
