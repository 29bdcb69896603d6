"""A quilt series as steps: the ``series`` file of stable-queue, mmotm and friends (pure)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from specparse.interpret import patch_step
from specparse.options import OptionError
from specparse.plan import Base, Plan, Skipped, Step


class SeriesError(ValueError):
    """A line of the series file asks for something that is not known here."""


def steps(
    series: bytes, symbols: Iterable[str] = ()
) -> tuple[tuple[Step, ...], tuple[Skipped, ...]]:
    """Return the steps of a series file, and what its guards leave out.

    A line is a file name and options of patch(1) (quilt's scripts/patchfns: cat_series,
    patch_args); ``symbols`` are those of guards(1), whose guards may precede the name. Line ends
    may be CR LF. Raises SeriesError.
    """
    defined = set(symbols)
    applied: dict[bytes, Step] = {}
    skipped: list[Skipped] = []
    for number, line in enumerate(series.splitlines(), 1):
        words = re.sub(rb"(?:^|[ \t])#.*", b"", line).split()
        guards = []
        while words and words[0][:1] in (b"+", b"-"):
            guards.append(words.pop(0).decode("utf-8", "surrogateescape"))
        if not words:
            continue
        name, *options = words
        try:
            if any(part in (b"", b".", b"..") for part in name.split(b"/")):
                raise SeriesError("leads out of the series' directory")
            if not _included(guards, defined):
                skipped.append(Skipped(name, f"guarded by {' '.join(guards)}"))
                continue
            if name in applied:  # quilt's scripts/push, check_duplicate_patches
                raise SeriesError("is in the series already")
            applied[name] = _step(name, options)
        except (SeriesError, OptionError) as error:
            shown = name.decode("utf-8", "backslashreplace")
            raise SeriesError(f"line {number}: {shown}: {error}") from None
    return tuple(applied.values()), tuple(skipped)


def plan(
    series: bytes,
    name: str,
    version: str,
    release: str,
    *,
    file: bytes = b"series",
    symbols: Iterable[str] = (),
) -> Plan:
    """Return the plan of a series file; its base must be named otherwise. Raises SeriesError."""
    applied, skipped = steps(series, symbols)
    base = Base("unknown", "", "a series does not tell its base")
    return Plan(name, None, version, release, file, "noarch", base, steps=applied, skipped=skipped)


def _included(guards: Iterable[str], defined: Container[str]) -> bool:
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


def _step(name: bytes, options: Iterable[bytes]) -> Step:
    """Return the step of one line, as quilt's scripts/push has it: patch OPTIONS -f.

    Raises SeriesError, OptionError.
    """
    words = [word.decode("utf-8", "surrogateescape") for word in options]
    # quilt refresh knows "-p ab", for names that start with a/ and b/; patch does not
    words = ["-p1" if word == "-pab" else word for word in words]
    if not any(word.startswith("-p") for word in words):
        words.append("-p1")
    step, input = patch_step([*words, "-f"])
    if input:
        raise SeriesError(f"its options name another input, {input}")
    return Step(
        name, "patch", None, step.strip, step.fuzz, step.reverse, step.directory, step.options
    )
