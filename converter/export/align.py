"""Which commit of a branch stands for which commit of a series, after a rebase or an edit (pure)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from converter.objects import Identity


@dataclass(frozen=True, slots=True)
class Seen:
    """A commit, as far as it can be known again."""

    id: str
    author: Identity
    message: bytes
    diff: bytes  # without line numbers and blob ids; b"" where it was not read

    @property
    def text(self) -> bytes:
        """The message as git-stripspace(1) leaves it: an editor's pass is no change."""
        lines = [line.rstrip() for line in self.message.split(b"\n")]
        kept = [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]
        return b"\n".join(kept).strip(b"\n")

    @property
    def subject(self) -> bytes:
        return self.text.split(b"\n", 1)[0]


# What makes two commits the same patch, surest first. Author and date survive every rebase and
# `git commit --amend`; raw diffs of one pkg-git commit share them, hence only where they are unique.
_SIGNS: tuple[Callable[[Seen], Hashable], ...] = (
    lambda seen: seen.id,
    lambda seen: (seen.text, seen.author, seen.diff),
    lambda seen: (seen.text, seen.author),
    lambda seen: (seen.text, seen.diff),
    lambda seen: (seen.author, seen.diff) if seen.diff else seen.id,
    lambda seen: (seen.author, seen.subject),
    lambda seen: seen.subject,
    lambda seen: seen.author,
)


def align(known: Sequence[Seen], commits: Sequence[Seen]) -> dict[int, int]:
    """Return position in ``commits`` -> position in ``known``, for each that is found again.

    The n-th of several that look the same stands for the n-th.
    """
    found: dict[int, int] = {}
    left, right = set(range(len(known))), set(range(len(commits)))
    for number, sign in enumerate(_SIGNS):
        old, new = _by(sign, known, left), _by(sign, commits, right)
        for key, places in new.items():
            there = old.get(key, [])
            if number == len(_SIGNS) - 1 and (len(places) > 1 or len(there) > 1):
                continue
            found.update(zip(places, there, strict=False))
        left -= set(found.values())
        right -= found.keys()
    return found


def _by(
    sign: Callable[[Seen], Hashable], commits: Sequence[Seen], which: set[int]
) -> dict[Hashable, list[int]]:
    places: dict[Hashable, list[int]] = {}
    for place in sorted(which):
        places.setdefault(sign(commits[place]), []).append(place)
    return places
