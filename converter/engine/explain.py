"""Why a diff does not apply, for a person to read: slow, and only run after a failure (pure)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from converter.engine.apply import Failure, Report, Rules, apply
from converter.engine.binary import blob_id
from converter.engine.diff import DiffError, FilePatch, Hunk, Lines, split_lines
from converter.engine.diff_git import git_patches
from converter.engine.diff_patch import patch_patches
from converter.text import text
from converter.tree import Tree

_CANDIDATES = 400  # places that are compared in full
_COMPARISONS = 2_000_000  # lines that are compared for them
_DIFFERED = 2000  # lines from the first difference on, of which a diff is made
_SHOWN = 60  # lines of a diff
_ALIKE = 0.5  # the share of lines that makes white space the matter
_FILES = 1000  # of a diff, that are looked at
_OTHERS = 10  # of them, that are named
_AROUND = 6  # lines before a damaged one
_TAIL = 3  # lines of the end of a diff that is none
_WIDTH = 160  # characters of a line of a damaged patch
_LONG = 500  # and of a line that is compared


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
    parts = _parts(diff, rules)
    at = next((n for n, part in enumerate(parts) if _is_of(part.patch, failure)), None)
    path = failure.file
    if rules.directory:
        path = rules.directory + b"/" + path
    lines = [str(failure)]
    file = tree.get(path)
    if at is not None and failure.hunk:
        hunks = parts[at].patch.hunks
        hunk = hunks[failure.hunk - 1]
        if len(hunks) > 1:
            lines[0] += f" (of {len(hunks)} hunks)"
        if rules.reverse:
            hunk = hunk.swapped()
        lines += _expected(hunk) if file is None else _compared(hunk, file.data)
    if file is None and failure.reason == "FileDoesNotExist":
        lines += _elsewhere(path, tree)
    if _applies(diff, tree, replace(rules, reverse=not rules.reverse)):
        lines.append("This looks applied already: its reverse applies.")
    elif at is not None:
        lines += _how_it_would(parts[at].text, tree, rules)
    if not {"-3", "--3way"}.isdisjoint(rules.options):
        lines.append(
            "With -3 git would try a three-way merge now, with the blobs that the index lines name;"
            " srcgit does not."
        )
    lines += _others(parts, at, tree, rules)
    earlier = (touched_by or {}).get(path, ())
    if earlier:
        names = ", ".join(text(name) for name in dict.fromkeys(earlier))
        lines.append(f"Patches before it in the series that changed {text(path)}: {names}")
    return "\n".join(lines) + "\n"


def damage(diff: bytes, error: DiffError) -> str:
    """Return the report of a diff that cannot be read: the line where it went wrong, and its like."""
    found = re.search(r"\bline (\d+)", str(error))
    lines = [f"the patch cannot be read: {error}"]
    if found:
        wrong = int(found[1])
        first = max(wrong - _AROUND, 0)
        for number, line in enumerate(Lines(diff)[first:wrong], first + 1):
            lines.append(f"{'>' if number == wrong else ' '} {number:6}  {_show(line)[:_WIDTH]}")
    elif diff:
        whole = split_lines(diff)
        lines.append(f"No whole diff begins in its lines ({len(whole):,}). They end:")
        lines += [f"  {_show(line)[:_WIDTH]}" for line in whole[-_TAIL:]]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Part:
    """What a diff says of one file, and its text."""

    patch: FilePatch
    text: bytes


def _parts(diff: bytes, rules: Rules) -> list[_Part]:
    """Return the diff file by file, up to a damage and no more than are looked at."""
    given = rules.options
    patches: list[FilePatch] = []
    reader = (
        patch_patches(diff, rules.strip, binary="--binary" in given, loose="-l" in given)
        if rules.tool == "patch"
        else git_patches(diff, rules.strip)
    )
    with suppress(DiffError):
        patches.extend(islice(reader, _FILES))
    lines = Lines(diff)
    ends = [patch.at - 1 for patch in patches[1:]] + [len(lines)]
    return [
        _Part(patch, lines.text(patch.at - 1, end))
        for patch, end in zip(patches, ends, strict=True)
    ]


def _is_of(patch: FilePatch, failure: Failure) -> bool:
    return failure.file in (patch.new, patch.old, patch.index) and failure.hunk <= len(patch.hunks)


def _expected(hunk: Hunk) -> list[str]:
    return ["expected:", *(f"  {_show(line)}" for line in hunk.lines[:_SHOWN])]


def _compared(hunk: Hunk, data: bytes) -> list[str]:
    """Show what the hunk expects beside the place where most of it stands."""
    expected = [line[1:] for line in hunk.lines if line[:1] != b"+"]
    there = split_lines(data)
    start, share = _nearest(expected, there, max(hunk.old_start - 1, 0))
    if share == 0:
        return _nowhere(hunk, expected, there)
    found = there[start : start + len(expected)]
    pairs = enumerate(zip(expected, found, strict=False))
    first = max(next((n for n, (one, other) in pairs if one != other), len(found)) - 3, 0)
    shown = difflib.unified_diff(
        [_show(line) for line in expected[first : first + _DIFFERED]],
        [_show(line) for line in found[first : first + _DIFFERED]],
        f"expected at line {hunk.old_start}",
        f"found at line {start + 1}, where {share:.0%} of it stands",
        lineterm="",
        n=3,
    )
    old, new = hunk.old_start + first, start + 1 + first
    return [_placed(line, old, new) for line in islice(shown, _SHOWN)]


def _nowhere(hunk: Hunk, expected: list[bytes], there: list[bytes]) -> list[str]:
    """Show a hunk of which no line stands in the file, unless white space is all that differs."""
    flat, flat_there = ([b"".join(line.split()) for line in each] for each in (expected, there))
    start, share = _nearest(flat, flat_there, max(hunk.old_start - 1, 0))
    if share > _ALIKE:
        pairs = zip(expected, flat, there[start:], flat_there[start:], strict=False)
        one, other = next((a, c) for a, b, c, d in pairs if b and b == d)
        return [
            f"White space aside, {share:.0%} of it stands at line {start + 1}. A line of it:",
            f"  expected: {_blanks(one)}",
            f"  found:    {_blanks(other)}",
        ]
    first = max(min(hunk.old_start - 1, len(there) - len(expected)), 0)
    return [
        "expected, and found nowhere in the file:",
        *(f"  {_show(line)}" for line in hunk.lines[:_SHOWN]),
        f"what stands at line {first + 1} of {len(there)}:",
        *(f"  {_show(line)}" for line in there[first:][: min(len(expected), _SHOWN)]),
    ]


def _blanks(line: bytes) -> str:
    """A line as ``cat -A`` shows it: ^I is a tab, ^M a carriage return, $ the end."""
    return _show(line.replace(b"\t", b"^I").replace(b"\r", b"^M").replace(b"\n", b"$\n"))


def _placed(line: str, old: int, new: int) -> str:
    """Let the ranges of a hunk's own diff be those of the file."""
    found = re.match(r"@@ -(\d+)(.*) \+(\d+)(.*) @@$", line)
    if found is None:
        return line
    first, second = int(found[1]) + old - 1, int(found[3]) + new - 1
    return f"@@ -{first}{found[2]} +{second}{found[4]} @@"


def _elsewhere(path: bytes, tree: Tree) -> list[str]:
    """Tell where else a file of this name is."""
    name = path.rpartition(b"/")[2]
    found: list[bytes] = []
    left = [b""]
    while left and len(found) < 4:
        for child, is_dir in tree.children(left.pop()):
            if is_dir:
                left.append(child)
            elif child.rpartition(b"/")[2] == name:
                found.append(child)
    if not found:
        return ["No file of that name is anywhere in the tree."]
    more = " and others" if len(found) > 3 else ""
    names = ", ".join(text(each) for each in sorted(found)[:3])
    return [f"A file of that name is elsewhere: {names}{more}"]


def _how_it_would(part: bytes, tree: Tree, rules: Rules) -> list[str]:
    """Tell what would make the part of the diff for one file apply."""
    if _applies(part, tree, replace(rules, reverse=not rules.reverse)):
        return ["What it does to this file looks applied already: the reverse of that applies."]
    loose = replace(rules, tool="patch", fuzz=2, options=())  # 3: wherever the line numbers say
    for options, words in (((), ""), (("-l",), ", white space aside")):
        made = _tried(part, tree, replace(loose, options=options))
        if made is not None and made.ok:
            fuzz = f" with fuzz {made.fuzz}" if made.fuzz else ""
            return [f"patch(1) would apply this part{fuzz}{words}."]
    return []


def _others(parts: Sequence[_Part], failed: int | None, tree: Tree, rules: Rules) -> list[str]:
    """Tell how the other files of the diff fare, each taken by itself."""
    if len(parts) < 2:
        return []
    failures = []
    for number, part in enumerate(parts):
        if number != failed:
            made = _tried(part.text, tree, rules)
            if made is None or made.failure is not None:
                failures.append(str(made.failure) if made else text(part.patch.new or b"?"))
    good = len(parts) - len(failures) - (failed is not None)
    lines = [f"By themselves, {good} of the {len(parts)} files that it changes would apply."]
    known = [part.patch for part in parts if part.patch.old and part.patch.old_id.strip(b"0")]
    if known:
        same = sum(_is_preimage(patch, tree, rules) for patch in known)
        lines.append(f"{same} of {len(known)} are, to the byte, what the diff was made from.")
    if failures:
        lines += ["These would not, either:", *(f"  {why}" for why in failures[:_OTHERS])]
        lines += [f"  and {len(failures) - _OTHERS} more"] * (len(failures) > _OTHERS)
    return lines


def _is_preimage(patch: FilePatch, tree: Tree, rules: Rules) -> bool:
    """Tell whether the file has the id that the diff's ``index`` line gives it."""
    assert patch.old is not None
    file = tree.get(rules.directory + b"/" + patch.old if rules.directory else patch.old)
    return file is not None and blob_id(file.data).startswith(patch.old_id)


def _applies(diff: bytes, tree: Tree, rules: Rules) -> bool:
    made = _tried(diff, tree, rules)
    return made is not None and made.ok


def _tried(diff: bytes, tree: Tree, rules: Rules) -> Report | None:
    try:
        return apply(diff, tree, rules)
    except DiffError:
        return None


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
    most = min(_CANDIDATES, _COMPARISONS // len(expected) + 1)
    ranked = sorted(votes, key=lambda s: (-votes[s], abs(s - guess)))[:most]

    def share(start: int) -> float:
        pairs = zip(expected, there[start : start + len(expected)], strict=False)
        return sum(a == b for a, b in pairs) / len(expected)

    best = max(ranked, key=lambda start: (share(start), -abs(start - guess)))
    return best, share(best)


def _show(line: bytes) -> str:
    whole = text(line.rstrip(b"\n")[: _LONG + 1])
    if len(whole) > _LONG:
        return f"{whole[:_LONG]} ... ({len(line):,} bytes)"
    return whole + ("" if line.endswith(b"\n") else " (no newline)")
