"""What %prep does besides applying patches, as one commit: the tree that it leaves, exactly."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.errors import CannotConvert
from converter.fastimport import FastImport, delete, put
from converter.objects import Identity
from converter.odb import Repository
from converter.text import text
from converter.tree import why_unsafe
from converter.verification.verdict import Difference, Verdict

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
    directory: Path,
    verdict: Verdict,
    author: Identity,
    committer: Identity,
    nvr: str,
) -> Prepared:
    """Commit on ``parent`` what ``verdict`` found in ``directory``, where %prep left it.

    Repositories that %prep made are no part of it. Raises CannotConvert for what git has no place
    for.
    """
    kept = [d for d in verdict.differences if not why_unsafe(d.path, link=False)]
    steps = dict(Counter(_step(d, verdict) for d in kept))
    if not kept:
        return Prepared(None, repo.commit(parent).tree, {}, ())
    restless = tuple(path for path in verdict.restless if any(path == d.path for d in kept))
    with FastImport(repo.git, repo.path, depth=0) as importing:
        edits = [_edit(importing, directory, difference) for difference in kept]
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


def _edit(importing: FastImport, directory: Path, difference: Difference) -> bytes:
    path = difference.path
    if difference.kind == "deleted":
        return delete(path)
    file = os.path.join(os.fsencode(directory), path)
    if os.path.islink(file):
        target = os.readlink(file)
        return put(0o120000, b":%d" % importing.write_blob(len(target), (target,)), path)
    if not os.path.isfile(file):
        raise CannotConvert(
            f"%prep leaves {text(path)}, which git has no place for",
            next_step="leave --with-prep out",
        )
    with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as content:
        status = os.fstat(content.fileno())
        # git looks at the owner's bit alone (read-cache.c, ce_mode_from_stat).
        mode = 0o100755 if status.st_mode & 0o100 else 0o100644
        parts = iter(lambda: content.read(1 << 20), b"")
        return put(mode, b":%d" % importing.write_blob(status.st_size, parts), path)


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
