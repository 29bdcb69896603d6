"""Upstreams and series for measuring: made up, with Linux's numbers of files, sizes and depths."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Linux 6.12.8: bytes of a file at each 5 % (the last 5 % are taken as a Pareto tail), and how many
# files lie how deep (`git ls-tree -r -l v6.12.8`: 86,656 files, 5,754 directories, 1.48 GB).
_SIZES = (
    0, 247, 441, 682, 959, 1277, 1613, 2017, 2503, 3109,
    3840, 4761, 5883, 7262, 9066, 11474, 14940, 20097, 29068, 48477,
)  # fmt: skip
_DEPTHS = {2: 1173, 3: 14576, 4: 26340, 5: 19881, 6: 16123, 7: 4590, 8: 2598, 9: 1030, 10: 248}
_FILES_PER_DIRECTORY = 15
_LARGEST = 2_000_000
BIG = b"kernel/big.c"  # the file that every patch of one series touches
BIG_LINES = 25_000

_WORDS = [
    "int",
    "struct",
    "static",
    "void",
    "return",
    "if",
    "else",
    "for",
    "while",
    "unsigned",
    "long",
    "const",
    "char",
    "dev",
    "ctx",
    "priv",
    "ret",
    "err",
    "reg",
    "mask",
    "flags",
    "lock",
    "unlock",
    "init",
    "probe",
    "remove",
    "read",
    "write",
    "alloc",
    "free",
    "NULL",
    "goto",
    "out",
    "size",
    "count",
]


class Upstream:
    """Files by number, each always with the same name and content."""

    def __init__(self, files: int) -> None:
        draw = random.Random(files)
        self.names = _names(files, draw)
        text = bytearray()
        while len(text) < 2 * _LARGEST:
            words = draw.choices(_WORDS, k=draw.randrange(1, 8))
            line = "\t" * draw.randrange(4) + " ".join(words) + f" /* {draw.randrange(10**6)} */\n"
            text += line.encode()
        self._text = bytes(text)

    def __len__(self) -> int:
        return len(self.names)

    def content(self, number: int) -> bytes:
        """The lines of file ``number``, unlike those of any other."""
        if self.names[number] == BIG:
            return b"".join(
                b"\tvalue[%d] = %d;\n" % (line, line * 7919 % 10007) for line in range(BIG_LINES)
            )
        draw = random.Random(number)
        at = draw.random() * 20
        if at < 19:
            low, high = _SIZES[int(at)], _SIZES[int(at) + 1]
            size = low + (high - low) * (at % 1)
        else:
            size = min(_SIZES[-1] * (1 - at % 1) ** -0.7, _LARGEST)
        start = self._text.index(b"\n", draw.randrange(_LARGEST - 200)) + 1
        end = self._text.index(b"\n", start + int(size)) + 1
        return b"/* %s */\n%s" % (self.names[number], self._text[start:end])

    def write(self, repository: Path) -> str:
        """Make a bare repository with one commit of all files; return its id."""
        subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
        git = ["git", "-C", str(repository)]
        command = [*git, "-c", "core.compression=1", "fast-import", "--quiet"]
        with subprocess.Popen([*command, "--depth=0"], stdin=subprocess.PIPE) as importing:
            assert importing.stdin is not None
            for number in range(len(self)):
                data = self.content(number)
                importing.stdin.write(b"blob\nmark :%d\ndata %d\n" % (number + 1, len(data)))
                importing.stdin.write(data + b"\n")
            importing.stdin.write(
                b"commit refs/heads/master\n"
                b"committer Upstream <up@example.com> 1500000000 +0000\ndata 4\nbase\n"
            )
            for number, name in enumerate(self.names):
                importing.stdin.write(b"M 100644 :%d %s\n" % (number + 1, name))
        assert importing.returncode == 0
        head = [*git, "rev-parse", "refs/heads/master"]
        return subprocess.run(head, check=True, capture_output=True).stdout.decode().strip()


def _names(files: int, draw: random.Random) -> list[bytes]:
    """Paths in directories that nest as deep as Linux's do."""
    below: dict[int, list[str]] = {1: [f"top{number}/" for number in range(20)]}
    directories = list(below[1])
    while len(directories) < files // _FILES_PER_DIRECTORY:
        [depth] = draw.choices([*_DEPTHS], weights=[*_DEPTHS.values()])
        parents = below[max(level for level in below if level < max(depth - 1, 2))]
        path = f"{draw.choice(parents)}dir{len(directories)}/"
        below.setdefault(path.count("/"), []).append(path)
        directories.append(path)
    names = {f"{draw.choice(directories)}file{number}.c".encode() for number in range(files - 1)}
    return [BIG, *sorted(names)]


@dataclass
class _Edited:
    name: bytes
    lines: list[bytes]


def series(upstream: Upstream, patches: int, *, only_big: bool = False) -> Iterator[bytes]:
    """Yield mails that apply one after the other: one to three files each, some files hot."""
    draw = random.Random(patches)
    edited: dict[int, _Edited] = {}
    hot = [draw.randrange(len(upstream)) for _ in range(40)]
    for number in range(1, patches + 1):
        if only_big:
            chosen = {0}
        else:
            chosen = {
                draw.choice(hot) if draw.random() < 0.3 else draw.randrange(len(upstream))
                for _ in range(draw.choice((1, 1, 2, 3)))
            }
        diffs = []
        for file in sorted(chosen):
            if file not in edited:
                lines = upstream.content(file).splitlines(keepends=True)
                edited[file] = _Edited(upstream.names[file], lines)
            diffs.append(_diff(edited[file], draw, number))
        yield (
            b"From %040x Mon Sep 17 00:00:00 2001\n"
            b"From: Jane Hacker <jane%d@example.com>\n"
            b"Date: Mon, 29 Jan 2018 %02d:%02d:%02d -0800\n"
            b"Subject: [PATCH %d/%d] subsystem: change number %d\n\n"
            b"What it does, and why, in a\nfew lines of text.\n\n"
            b"Signed-off-by: Jane Hacker <jane@example.com>\n---\n\n%s-- \n2.39.5\n\n"
        ) % (
            *(number, number % 50, number // 3600 % 24, number // 60 % 60, number % 60),
            *(number, patches, number, b"".join(diffs)),
        )


def _diff(file: _Edited, draw: random.Random, number: int) -> bytes:
    """Change some places of the file; return the diff, with three lines of context."""
    size = len(file.lines)
    places = sorted({draw.randrange(size) for _ in range(draw.choice((1, 1, 2, 4)))})
    hunks: list[bytes] = []
    done = shift = 0
    new = list(file.lines)
    for place in places:
        if place < done + 7 and hunks:
            continue  # would share its context with the hunk before
        removed = draw.choice((0, 1, 1, 2))
        old = file.lines[place : place + removed]
        added = [
            b"\tchange %d at %d, line %d;\n" % (number, place, line)
            for line in range(draw.choice((1, 1, 2, 4)))
        ]
        start, end = max(place - 3, 0), place + len(old) + 3
        before, after = file.lines[start:place], file.lines[place + len(old) : end]
        context = len(before) + len(after)
        hunks.append(
            b"@@ -%d,%d +%d,%d @@\n"
            % (start + 1, context + len(old), start + shift + 1, context + len(added))
            + b"".join(b" " + line for line in before)
            + b"".join(b"-" + line for line in old)
            + b"".join(b"+" + line for line in added)
            + b"".join(b" " + line for line in after)
        )
        new[place + shift : place + shift + len(old)] = added
        shift += len(added) - len(old)
        done = place + len(old)
    file.lines[:] = new
    return b"diff --git a/%s b/%s\nindex 1111111..2222222 100644\n--- a/%s\n+++ b/%s\n%s" % (
        *((file.name,) * 4),
        b"".join(hunks),
    )
