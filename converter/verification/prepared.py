"""What %prep does besides applying patches, as one commit: the tree that it leaves, exactly."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from converter.errors import CannotConvert
from converter.fastimport import FastImport, delete, put
from converter.objects import Identity
from converter.odb import Repository
from converter.safe_paths import why_unsafe
from converter.text import text
from converter.verification.verdict import Difference, Verdict
from converter.verification.worktree import in_repository, mode_of
from specparse.foreign_tree import ForeignTree

_OTHERS = "steps that the trace does not show"
_BACKUPS = "backups that the patching itself left"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The commit; None where %prep does nothing besides. ``steps``: command -> files it changed."""

    commit: str | None
    tree: str
    steps: dict[str, int]
    restless: tuple[bytes, ...]  # files that %prep never makes twice alike

    def as_json(self) -> dict[str, Any]:
        """Return what series.json says of it."""
        return {
            "commit": self.commit,
            "tree": self.tree,
            "steps": [{"command": step, "files": n} for step, n in self.steps.items()],
            "restless": [text(path) for path in self.restless],
        }


def commit(
    repo: Repository,
    parent: str,
    left: ForeignTree,
    top: bytes,
    verdict: Verdict,
    author: Identity,
    committer: Identity,
    nvr: str,
    beside: Mapping[bytes, bytes] = {},
) -> Prepared:
    """Commit on ``parent`` what ``verdict`` found below ``top`` of what %prep has ``left``.

    Repositories that %prep made are no part of it. Raises CannotConvert for what git has no place
    for, ForeignTreeError.
    """
    kept = [d for d in verdict.differences if not in_repository(d.path)]
    steps = dict(Counter(_step(d, verdict) for d in kept))
    if not kept:
        return Prepared(None, repo.commit(parent).tree, {}, ())
    restless = tuple(path for path in verdict.restless if any(path == d.path for d in kept))
    with FastImport(repo.git, repo.path, depth=0) as importing:
        edits = [_edit(importing, left, _real(d.path, top, beside), d) for d in kept]
        mark = importing.write_commit(
            parent.encode(),
            edits,
            bytes(author),
            bytes(committer),
            _message(nvr, steps, restless).encode(),
        )
        [made] = importing.ids([mark])
        tree = importing.tree_of(mark)
    return Prepared(made, tree, steps, restless)


def _step(difference: Difference, verdict: Verdict) -> str:
    return _BACKUPS if difference.path in verdict.backups else difference.step or _OTHERS


def _real(path: bytes, top: bytes, beside: Mapping[bytes, bytes]) -> bytes:
    """Return where %prep left what is ``path`` in the converted tree."""
    first, _, rest = path.partition(b"/")
    if rest and first in beside:
        return posixpath.normpath(posixpath.join(top, beside[first], rest))
    return top + b"/" + path if top else path


def _edit(importing: FastImport, left: ForeignTree, place: bytes, difference: Difference) -> bytes:
    path = difference.path
    if difference.kind == "deleted":
        return delete(path)
    with left.open(place) as file:
        if file is None or file.kind == "other":
            raise CannotConvert(
                f"%prep leaves {text(path)}, which git has no place for",
                next_step="leave --with-prep out",
            )
        if why := why_unsafe(path, link=file.kind == "link"):
            raise CannotConvert(
                f"%prep leaves {text(path)!r}: {why}", next_step="leave --with-prep out"
            )
        return put(mode_of(file), b":%d" % importing.write_blob(file.size, file.parts), path)


def _message(nvr: str, steps: dict[str, int], restless: tuple[bytes, ...]) -> str:
    return "".join(f"{line}\n" for line in _lines(nvr, steps, restless))


def _lines(nvr: str, steps: dict[str, int], restless: tuple[bytes, ...]) -> Iterator[str]:
    yield f"%prep of {nvr}, besides its patches"
    yield ""
    yield "The tree is now what %prep leaves. The differences, by the commands that speak of them:"
    yield ""
    for step, files in steps.items():
        line = step.replace("\n", "\\n")
        yield f"  {files:5} {line[:200]}"
    if restless:
        yield ""
        yield "No two runs make these alike, so neither do two conversions:"
        yield ""
        yield from (f"  {text(path)}" for path in restless)
