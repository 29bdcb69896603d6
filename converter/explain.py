"""Why a diff does not apply, for a person to read: slow, and only run after a failure (pure)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from converter.apply import Report, Rules, apply
from converter.diff import DiffError, FilePatch, Hunk, split_lines
from converter.diff_git import git_patches
from converter.diff_patch import patch_patches
from converter.text import text
from converter.tree import Tree

_CANDIDATES = 400  # places that are compared in full
_SHOWN = 60  # lines of a diff


def explain(
    diff: bytes,
    tree: Tree,
    rules: Rules,
    report: Report,
    touched_by: Mapping[bytes, Sequence[bytes]] | None = None,
) -> str:
    """Return the report of a failed ``apply``: what was expected, what is there, what may be why.

    ``touched_by`` maps a path to the patches of the series that changed it, in order.
    """
    failure = report.failure
    if failure is None:
        return ""
    lines = [str(failure)]
    path = failure.file
    if rules.directory:
        path = rules.directory + b"/" + path
    hunk = _hunk(diff, rules, failure.file, failure.hunk)
    file = tree.get(path)
    if hunk is not None and file is not None:
        lines += _compared(hunk, file.data)
    elif hunk is not None:
        lines += ["expected:", *(f"  {_show(line)}" for line in hunk.lines[:_SHOWN])]
    if _reverse_applies(diff, tree, rules):
        lines.append("This looks applied already: its reverse applies.")
    earlier = (touched_by or {}).get(path, ())
    if earlier:
        names = ", ".join(text(name) for name in dict.fromkeys(earlier))
        lines.append(f"Patches before it in the series that changed {text(path)}: {names}")
    return "\n".join(lines) + "\n"


def _patches(diff: bytes, rules: Rules) -> Iterator[FilePatch]:
    if rules.tool == "patch":
        return patch_patches(diff, rules.strip)
    return git_patches(diff, rules.strip)


def _hunk(diff: bytes, rules: Rules, path: bytes, number: int) -> Hunk | None:
    if not number:
        return None
    for patch in _patches(diff, rules):
        if path in (patch.new, patch.old, patch.index) and number <= len(patch.hunks):
            hunk = patch.hunks[number - 1]
            return hunk.swapped() if rules.reverse else hunk
    return None


def _compared(hunk: Hunk, data: bytes) -> list[str]:
    """Show what the hunk expects beside the place where most of it stands."""
    expected = [line[1:] for line in hunk.lines if line[:1] != b"+"]
    there = split_lines(data)
    start, share = _nearest(expected, there, max(hunk.old_start - 1, 0))
    if share == 0:
        first = max(min(hunk.old_start - 1, len(there) - len(expected)), 0)
        return [
            "expected, and found nowhere in the file:",
            *(f"  {_show(line)}" for line in hunk.lines[:_SHOWN]),
            f"what stands at line {first + 1} of {len(there)}:",
            *(f"  {_show(line)}" for line in there[first:][: min(len(expected), _SHOWN)]),
        ]
    found = there[start : start + len(expected)]
    shown = difflib.unified_diff(
        [_show(line) for line in expected],
        [_show(line) for line in found],
        f"expected at line {hunk.old_start}",
        f"found at line {start + 1}, where {share:.0%} of it stands",
        lineterm="",
        n=3,
    )
    return list(shown)[:_SHOWN]


def _nearest(expected: Sequence[bytes], there: Sequence[bytes], guess: int) -> tuple[int, float]:
    """Return (line from 0, share of the expected lines that match there)."""
    wanted: dict[bytes, list[int]] = {}
    for position, line in enumerate(expected):
        if line.strip():
            wanted.setdefault(line, []).append(position)
    votes: dict[int, int] = {}
    for at, line in enumerate(there):
        for position in wanted.get(line, ())[:4]:
            start = at - position
            if start >= 0:
                votes[start] = votes.get(start, 0) + 1
    if not votes:
        return guess, 0.0
    ranked = sorted(votes, key=lambda s: (-votes[s], abs(s - guess)))[:_CANDIDATES]

    def share(start: int) -> float:
        pairs = zip(expected, there[start : start + len(expected)], strict=False)
        return sum(a == b for a, b in pairs) / len(expected)

    best = max(ranked, key=lambda start: (share(start), -abs(start - guess)))
    return best, share(best)


def _reverse_applies(diff: bytes, tree: Tree, rules: Rules) -> bool:
    try:
        return apply(diff, tree, replace(rules, reverse=not rules.reverse)).ok
    except DiffError:
        return False


def _show(line: bytes) -> str:
    return text(line.rstrip(b"\n")) + ("" if line.endswith(b"\n") else " (no newline)")
