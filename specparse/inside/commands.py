"""The commands that %prep ran: which may have changed the tree, which looked at it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable
from typing import NamedTuple

from specparse.inside.paths import BUILD, ERRORS, PREP, ROOT, SOURCES, TRACE, read
from specparse.inside.recording import trees
from specparse.inside.sources import MADE, TOPS
from specparse.inside.standin import MARKER, STANDINS


def errors() -> list[tuple[int, str]]:
    """Return (exit status, command) of each command of %prep that failed, in order."""
    fields = read(ERRORS, 1 << 20).decode("utf-8", "surrogateescape").split("\0")[:-1]
    return [(int(status), what) for status, what in zip(fields[::2], fields[1::2])]


_CHANGES = {
    "mv", "cp", "rm", "ln", "chmod", "touch", "sed", "perl", "mkdir", "rmdir", "install", "find",
    "truncate", "tar", "unzip", "iconv", "dos2unix", "rename", "pathfix.py", "xargs", "autoreconf",
    "ed",
}  # fmt: skip


def _may_change(word: str) -> bool:
    """A macro that nobody defined is left as it is written: what it would do is not known."""
    return word in _CHANGES or bool(re.match(r"%[A-Za-z_{]", word))


_UNPACKS = re.compile(r"%\{?(?:auto)?setup\b")  # left as it is written, where rpm does not take it


class Ran(NamedTuple):
    """A command of %prep, as bash traced it."""

    line: int  # its number in prep.sh
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
        ran.append(Ran(int(line) if line.isdigit() else 0, directory, command))
    return ran


_OURS = rf"{SOURCES}/|{BUILD}/|{ROOT}/standin/|(?<=\s)(?:\./)?{re.escape(MARKER)}(?=\s|$)\s?"


def changes(ran: list[Ran]) -> list[str]:
    """Return the commands that may change the tree, one for each line of %prep."""
    seen: dict[tuple[int, str], list[str]] = {}
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
        if words[0] == "xargs" and set(STANDINS) & {os.path.basename(word) for word in words}:
            continue  # recorded by itself
        within = inside.setdefault(directory, bool(top_of(directory)))
        if not within and not _UNPACKS.match(words[0]):
            continue
        seen.setdefault((line, words[0]), []).append(command)
    text = read(PREP).decode("utf-8", "replace").splitlines()
    kept = (_first(seen[key], *key, text) for key in _as_written(seen, text))
    cleaned_ = (re.sub(_OURS, "", command) for command in kept)
    return list(dict.fromkeys(c[:500] for c in cleaned_))


def _as_written(seen: Iterable[tuple[int, str]], text: list[str]) -> list[tuple[int, str]]:
    """Return (line, command) in the order that they ran; all of a pipeline start at once."""
    ordered: list[tuple[int, str]] = []
    for each in seen:
        at = len(ordered)
        while at and _piped(each, ordered[at - 1], text):
            at -= 1
        ordered.insert(at, each)
    return ordered


def _piped(one: tuple[int, str], other: tuple[int, str], text: list[str]) -> bool:
    """Tell whether ``one`` is written before ``other`` in one pipeline."""
    (start, name), (end, later) = one, other
    lines = text[start - 1 : end]
    if not lines or not all(line.rstrip().endswith(("|", "\\")) for line in lines[:-1]):
        return False
    at, then = lines[0].find(name), lines[-1].find(later)
    if min(at, then) < 0 or (start == end and then <= at):
        return False
    between = "\n".join([*lines[:-1], lines[-1][:then]])[at:]
    return "|" in between and not re.search(r"[$<>]\(|`", between)


def _first(ran: list[str], line: int, name: str, text: list[str]) -> str:
    """Return the first that ran of what one line calls by ``name``, any of a pipeline."""
    written = "".join(text[line - 1 : line])
    return min(ran[: written.count(name)]) if "|" in written and name in written else ran[0]


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


# A path, or a glob that found nothing: bash leaves it as it is written
_PATH = re.compile(r"[\w.][\w./+-]{1,200}|(?!\.\*)[\w./+-]*[*?][\w./+*?-]{0,200}")


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
            if _PATH.fullmatch(word) and path.startswith(f"{top}/"):
                found[path[len(top) + 1 :]] = None
        if len(found) > 1000:
            break
    if not to_its_end and any(tops.values()):
        named = re.findall(r"(?<![\w/.-])[\w.][\w./+-]{1,200}", prep)
        found |= dict.fromkeys(p for p in map(os.path.normpath, named) if not p.startswith(".."))
    return sorted(found)[:1000]


_PASSES_BY = {"for", "[", "[[", "test", "local", "shift", "set"}


def unread(patches: list[str], ran: list[Ran]) -> list[str]:
    """Return the patches that no command names, but for tests and the heads of loops."""
    named = "\n".join(each.command for each in ran if each.name not in _PASSES_BY)
    return [patch for patch in patches if patch not in named]


def top_of(directory: str) -> str:
    """Return the top of the unpacked tree that ``directory`` is in; "" where it is in none."""
    while directory.startswith(f"{BUILD}/BUILD/"):
        if os.path.exists(f"{directory}/{MARKER}"):
            return directory
        directory = os.path.dirname(directory)
    return ""
