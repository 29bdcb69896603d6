"""Which patch of one series is which of another (pure)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Patch = tuple[str, Sequence[str]]  # file name, ids of the changes that it makes


def match(old: Sequence[Patch], new: Sequence[Patch]) -> list[tuple[int, int]]:
    """Return the pairs of indices that are the same patch, in the order of ``old``.

    By file name (the n-th of that name), then by the changes themselves, then by the name without
    its version, where that is unambiguous: patch-6.12-redhat.patch, patch-6.13-redhat.patch.
    """
    found: dict[int, int] = {}

    def take(key: Callable[[Patch], Hashable], unique: bool) -> None:
        """Pair what is left by equal keys; None is no key."""
        taken = set(found.values())
        left = _by_key(old, key, set(found))
        right = _by_key(new, key, taken)
        for value, indices in left.items():
            others = right.get(value, [])
            if not unique or len(indices) == len(others) == 1:
                found.update(zip(indices, others, strict=False))

    take(lambda patch: patch[0], unique=False)
    take(lambda patch: tuple(patch[1]) or None, unique=False)
    take(lambda patch: _unversioned(patch[0]), unique=True)
    return sorted(found.items())


def _by_key(
    patches: Sequence[Patch], key: Callable[[Patch], Hashable], without: set[int]
) -> dict[Hashable, list[int]]:
    indices: dict[Hashable, list[int]] = {}
    for index, patch in enumerate(patches):
        if index not in without and (value := key(patch)) is not None:
            indices.setdefault(value, []).append(index)
    return indices


def _unversioned(name: str) -> str | None:
    stripped = re.sub(r"\d+(?:\.\d+)+", "N", name)
    return stripped if stripped != name else None


def moved(order: Sequence[int]) -> list[bool]:
    """Tell which elements left their place, as few as possible.

    ``order`` are the new positions of what is in the old order; all but a longest increasing
    subsequence have moved.
    """
    tails: list[int] = []  # index of the last element of the best subsequence of each length
    before: list[int | None] = []
    for index, value in enumerate(order):
        length = bisect_left([order[tail] for tail in tails], value)
        before.append(tails[length - 1] if length else None)
        tails[length : length + 1] = [index]
    stays: set[int] = set()
    at = tails[-1] if tails else None
    while at is not None:
        stays.add(at)
        at = before[at]
    return [index not in stays for index in range(len(order))]


@dataclass(frozen=True, slots=True)
class Changes:
    """The names of the patch files that differ between two builds."""

    added: tuple[str, ...]
    dropped: tuple[str, ...]
    changed: tuple[str, ...]

    def as_json(self) -> dict[str, list[str]]:
        return {
            "added": list(self.added),
            "dropped": list(self.dropped),
            "changed": list(self.changed),
        }


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """Return what two ``series.json`` alone tell, without reading a commit.

    A patch counts as changed when another pkg-git commit gave it its content, or when its commits
    have other subjects. A renamed patch is a dropped and an added one, unless only the version in
    its name changed.
    """
    left, right = old["patches"], new["patches"]
    matched = match([(p["patch"], ()) for p in left], [(p["patch"], ()) for p in right])
    old_rows, new_rows = {i for i, _ in matched}, {j for _, j in matched}
    return Changes(
        added=tuple(p["patch"] for j, p in enumerate(right) if j not in new_rows),
        dropped=tuple(p["patch"] for i, p in enumerate(left) if i not in old_rows),
        changed=tuple(
            right[j]["patch"] for i, j in matched if _content(left[i]) != _content(right[j])
        ),
    )


def _content(patch: Mapping[str, Any]) -> tuple[object, ...]:
    subjects = Counter(commit["subject"] for commit in patch["commits"])
    return (patch["changed"] or {}).get("commit"), subjects
