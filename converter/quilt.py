"""A quilt series as steps: the ``series`` file of stable-queue, mmotm and friends (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from specparse.plan import Base, Plan, Skipped, Step

_FUZZ = 2  # lines; patch(1)'s own default, which quilt push leaves alone


class SeriesError(ValueError):
    """A line of the series file asks for something that is not known here."""


def steps(
    series: bytes, symbols: Iterable[str] = ()
) -> tuple[tuple[Step, ...], tuple[Skipped, ...]]:
    """Return the steps of a series file, and what its guards leave out.

    A line is a file name and options of patch(1) (quilt's scripts/patchfns: cat_series,
    patch_args); ``symbols`` are those of guards(1), whose guards may precede the name.
    Raises SeriesError.
    """
    defined = set(symbols)
    applied: list[Step] = []
    skipped: list[Skipped] = []
    for number, line in enumerate(series.splitlines(), 1):
        words = re.sub(rb"(^|[ \t]+)#.*", b"", line).split()
        guards = []
        while words and words[0][:1] in (b"+", b"-"):
            guards.append(words.pop(0).decode("utf-8", "surrogateescape"))
        if not words:
            continue
        name, *options = words
        if any(part in (b"", b".", b"..") for part in name.split(b"/")):
            raise SeriesError(f"line {number}: {name!r} is outside of the series' directory")
        if not _included(guards, defined):
            skipped.append(Skipped(name, f"guarded by {' '.join(guards)}"))
            continue
        applied.append(_step(name, options, number))
    return tuple(applied), tuple(skipped)


def plan(series: bytes, name: str, version: str, release: str, symbols: Iterable[str] = ()) -> Plan:
    """Return the plan of a series file; its base must be named otherwise. Raises SeriesError."""
    applied, skipped = steps(series, symbols)
    base = Base("unknown", "", "a series does not tell its base")
    return Plan(
        name, None, version, release, b"series", "noarch", base, steps=applied, skipped=skipped
    )


def _included(guards: Iterable[str], defined: set[str]) -> bool:
    """Tell whether the file is taken: the last guard that matches decides (guards(1)).

    Where none matches, a file is out if its first guard is a ``+`` and in if it is a ``-``.
    """
    included = True
    for position, guard in enumerate(guards):
        if position == 0:
            included = guard[0] == "-"
        name = guard[1:]
        if name == "" or (name.removeprefix("!") in defined) != name.startswith("!"):
            included = guard[0] == "+"
    return included


def _step(name: bytes, options: Iterable[bytes], number: int) -> Step:
    strip, fuzz, reverse = 1, _FUZZ, False
    kept: list[str] = []
    words = iter(option.decode("utf-8", "surrogateescape") for option in options)
    for word in words:
        if word in ("-R", "--reverse"):
            reverse = True
        elif word in ("-p", "-F"):
            raise SeriesError(f"line {number}: {word} needs its number in the same word")
        elif level := re.fullmatch(r"(?:-p|--strip=)(\d+|ab)", word):
            strip = 1 if level[1] == "ab" else int(level[1])  # quilt's own "-p ab": a/ and b/
        elif lines := re.fullmatch(r"(?:-F|--fuzz=)(\d+)", word):
            fuzz = int(lines[1])
        else:
            kept.append(word)
    return Step(name, "patch", None, strip, fuzz, reverse, options=tuple(kept))
