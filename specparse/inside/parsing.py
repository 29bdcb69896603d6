"""rpm parses the spec; what had to be changed for it is told."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Any

from specparse.inside.bare_words import NO_BARE_WORDS, quoted
from specparse.inside.edits import alike, edit
from specparse.inside.names import FUNCTIONS, MOVES_BASE
from specparse.inside.paths import BUILD, ROOT, SOURCES, read
from specparse.inside.sources import INVENTED, fake

_MACROS = os.path.dirname(os.path.dirname(__file__))


class Refused(Exception):
    """The spec is at fault: what, where, and what to do next, if not to give it up."""


class Spec:
    """What rpm made of the spec; ``edits`` tell what had to be changed for it."""

    def __init__(self, parsed: Any, edits: list[str]) -> None:
        import rpm

        self._parsed = parsed  # to drop it takes its time
        self.edits = edits
        self.named: dict[str, Any] = {tag: self._tag(tag) for tag in ("name", "version", "release")}
        self.epoch: int | None = parsed.sourceHeader["epoch"]
        # file, number, is it a patch; before 6.0, rpm has them from the last to the first (release notes)
        listed = list(parsed.sources)
        self.sources = [
            (os.path.basename(full), number, bool(flags & 2))
            for full, number, flags in (listed if version() >= (5, 99) else reversed(listed))
        ]
        self.patches = [name for name, _, is_patch in self.sources if is_patch]
        self.urls = {os.path.basename(full): full for full, _, _ in parsed.sources if "://" in full}
        self.prep: str = in_one_layout(parsed.prep or "")  # fully expanded
        self.buildsubdir = ""  # where %build starts, below the build directory
        with contextlib.suppress(rpm.error):
            self.buildsubdir = rpm.expandMacro("%{?buildsubdir}")

    def _tag(self, name: str) -> str | None:
        value = self._parsed.sourceHeader[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        return None if value is None else str(value)


def version() -> tuple[int, ...]:
    """Return the version of the rpm that parses: (4, 20, 1)."""
    import rpm

    return tuple(int(part) for part in re.findall(r"\d+", rpm.__version__))


def in_one_layout(prep: str) -> str:
    """Return %prep with the directories of an rpm before 4.20.

    Since then a build has a directory of its own, NAME-VERSION-build, and the build root is in it
    (rpm 4.20.1, build/parsePreamble.c, parsePreamble()).
    """
    import rpm

    for macro, place in (("buildroot", f"{BUILD}/BUILDROOT/root"), ("builddir", f"{BUILD}/BUILD")):
        with contextlib.suppress(rpm.error):
            prep = prep.replace(rpm.expandMacro(f"%{{{macro}}}"), place)
    return prep


def parse(
    path: str, arch: str, macros: dict[str, str], built_with: tuple[int, ...]
) -> tuple[Any, list[str]]:
    """Return rpm's parse of the spec at ``path``, and what had to be changed for it: a Spec's parts.

    ``macros`` are name -> body, ``built_with`` the version of the build's rpm. Raises Refused.
    """
    import rpm

    with open(path, "rb") as file:
        text = file.read()
    version = alike(text, built_with)
    if version != text:
        path = changed(path, version)
    edits: list[str] = []
    missing: set[str] = set()
    while True:
        rpm.reloadConfig(f"{arch}-linux")
        for name, body in macros.items():
            rpm.addMacro(name, body)
        lacks = [
            file for file, macro in FUNCTIONS.items() if not rpm.expandMacro(f"%{{?{macro}:1}}")
        ]
        for definitions in (*lacks, "fedora"):
            rpm.expandMacro(f"%{{load:{_MACROS}/{definitions}.macros}}")
        with open(f"{ROOT}/rpm.log", "w+b") as log:
            rpm.setLogFile(log)
            try:
                parsed = rpm.spec(path, rpm.RPMSPEC_ANYARCH)
                # From 4.20 to 6.0 that is printed, and %prep goes without it (rpm, commit a34f5cb11).
                lost = re.search(
                    rb"^error: (No (?:patch|source) number .*)", read(log.name), re.MULTILINE
                )
                if lost is None:
                    return parsed, edits
                raise Refused(lost[1].decode("utf-8", "replace"), "")
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
        edited = quoted(version, said) if built_with < NO_BARE_WORDS else None
        edited = edited or edit(version, said, os.path.basename(path) if edits else "")
        if edited is None:
            what, where = cleaned(said)
            where = where or line_of(what, text)
            if "unexpected symbol near '<'" in said:  # in a file that the spec loads
                lua = rpm.expandMacro("%{lua:print(_VERSION)}")
                what += f": this rpm has {lua}, and attributes such as <const> came with Lua 5.4"
                raise Refused(what, where, "run srcgit where rpm has Lua 5.4, such as Fedora")
            raise Refused(what, where)
        version, note = edited
        edits.append(note)
        path = changed(path, version)


def changed(path: str, spec: bytes) -> str:
    """Write a changed ``spec`` beside the source directory, which has the one at ``path``."""
    beside = f"{BUILD}/{os.path.basename(path)}"
    with open(beside, "wb") as file:
        file.write(spec)
    return beside


def rpm_version() -> str:
    """Return rpm's version as it says it itself: ``4.20.1``."""
    import rpm

    return str(rpm.__version__)


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
        if MOVES_BASE.match(name):
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
