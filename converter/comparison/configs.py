"""Configuration files of two builds compared, symbol by symbol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from converter.git import GitFailed
from converter.odb import Repository
from converter.text import text

# scripts/kconfig/confdata.c, conf_read_simple(): "# CONFIG_X is not set" is n
_LINE = re.compile(rb"^(?:(CONFIG_\w+)=(.*?)|# (CONFIG_\w+) is not set)[ \t\r]*$", re.MULTILINE)
# kernel-x86_64-debug-fedora.config, kernel-5.0.0-x86_64.config, config-x86-generic
_FILE = re.compile(r"(?:.*/)?(?:config-(?P<old>.+)|[a-z][a-z-]*?-(?:\d[^-]*-)?(?P<new>.+)\.config)")


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A symbol that has another value: y, m, n, a number or a string; None where it is absent."""

    symbol: str
    old: str | None
    new: str | None
    files: tuple[str, ...]  # all that changed in this way

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_architecture, self.files)))

    def as_json(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "old": self.old,
            "new": self.new,
            "files": list(self.files),
            "architectures": list(self.architectures),
        }


@dataclass(frozen=True, slots=True)
class ConfigChanges:
    """What became of the configuration; ``files`` are those that both builds have."""

    files: tuple[str, ...]
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    changes: tuple[ConfigChange, ...]

    def where(self, change: ConfigChange) -> list[str]:
        """Return where ``change`` holds: an architecture if in all its files, else the variants."""
        every: dict[str, list[str]] = {}
        for file in self.files:
            every.setdefault(_architecture(file), []).append(file)
        if set(change.files) == set(self.files) and len(every) > 1:
            return ["everywhere"]
        named: list[str] = []
        for architecture, files in every.items():
            here = [file for file in files if file in change.files]
            named += [architecture] if here == files else map(variant, here)
        return named

    def as_json(self) -> dict[str, Any]:
        return {
            "files": list(self.files),
            "added": list(self.added),
            "dropped": list(self.dropped),
            "changes": [change.as_json() for change in self.changes],
        }


def variant(file: str) -> str:
    """Return what a configuration file is for, its architecture first: ``x86_64-debug-fedora``."""
    match = _FILE.fullmatch(file)
    return (match["old"] or match["new"]) if match else file


def _architecture(file: str) -> str:
    return variant(file).split("-")[0]


def compare(repo: Repository, old: str, new: str) -> ConfigChanges:
    """Compare the configuration files below two trees, given as gitrevisions(7).

    A file is the same file where it is for the same variant, though its name has a version in it.
    """
    left, right = _files(repo, old), _files(repo, new)
    both = [(left[v], right[v]) for v in left if v in right]
    blobs = _blobs(repo, {blob for a, b in both if a[1] != b[1] for blob in (a[1], b[1])})
    changed: dict[tuple[str, str | None, str | None], list[str]] = {}
    for (_, was), (name, is_now) in both:
        if was != is_now:
            one, two = values(blobs[was]), values(blobs[is_now])
            for symbol in one.keys() | two.keys():
                if one.get(symbol) != two.get(symbol):
                    change = (symbol, one.get(symbol), two.get(symbol))
                    changed.setdefault(change, []).append(name)
    return ConfigChanges(
        files=tuple(name for _, (name, _) in both),
        added=tuple(name for v, (name, _) in right.items() if v not in left),
        dropped=tuple(name for v, (name, _) in left.items() if v not in right),
        changes=tuple(
            ConfigChange(*change, tuple(files))
            for change, files in sorted(
                changed.items(), key=lambda item: (item[0][0], str(item[0][1]), str(item[0][2]))
            )
        ),
    )


def values(config: bytes) -> Mapping[str, str]:
    """Return symbol -> value; of several lines for a symbol the last counts, as for Kconfig."""
    return {(m[1] or m[3]).decode(): text(m[2]) if m[1] else "n" for m in _LINE.finditer(config)}


def _files(repo: Repository, tree: str) -> dict[str, tuple[str, str]]:
    """Return variant -> (name, blob id)."""
    try:
        out = repo.git.run("ls-tree", "-r", "-z", tree).stdout
    except GitFailed:  # a package without configuration
        return {}
    rows = (row.partition(b"\t") for row in out.split(b"\0") if row)
    return {variant(text(name)): (text(name), info.split()[2].decode()) for info, _, name in rows}


def _blobs(repo: Repository, ids: set[str]) -> dict[str, bytes]:
    """Read blobs through the git program, which fetches what a blobless clone lacks."""
    out = repo.git.run("cat-file", "--batch", input="".join(f"{i}\n" for i in ids).encode()).stdout
    found, at = {}, 0
    while at < len(out):
        end = out.index(b"\n", at)
        id, kind, size = out[at:end].decode().split()
        assert kind == "blob"
        found[id] = out[end + 1 : end + 1 + int(size)]
        at = end + 1 + int(size) + 1
    return found
