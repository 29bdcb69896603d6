"""Upstream repositories: where the base of a series is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from converter.errors import BaseMissing, BaseUnknown, WrongUsage
from converter.mirror import Mirror
from converter.odb import Repository
from specparse.plan import Base

_SHA = re.compile(r"[0-9a-f]{6,40}")


@dataclass(frozen=True, slots=True)
class Found:
    """The base, found: the repository that has it, and the commit's full id."""

    repository: Repository
    rev: str
    commit: str


def find(base: Base, override: str | None, upstreams: Sequence[Mirror]) -> Found:
    """Return the commit on which the series starts, from the first upstream that has it.

    ``override`` is ``--base``, any revision of gitrevisions(7). Raises BaseUnknown when neither
    the spec nor the caller names one, BaseMissing when no upstream has it.
    """
    if override is None and base.kind == "unknown":
        raise BaseUnknown(
            f"the spec does not tell its upstream revision: {base.how}",
            next_step="name it with --base REV",
        )
    if not upstreams:
        raise WrongUsage(
            "no upstream repository is known for this package",
            next_step="name one with --upstream URL|PATH",
        )
    rev = override or base.rev
    if override is None:
        # What a spec says is a name to look up, never an expression to evaluate.
        if base.kind == "commit" and not _SHA.fullmatch(rev):
            raise BaseUnknown(f"not a commit id: {rev!r}", next_step="name it with --base REV")
        name = f"refs/tags/{rev}" if base.kind == "tag" else rev
    else:
        name = override
    for upstream in upstreams:
        commit = upstream.commit_id(name)
        if commit is not None:
            return Found(upstream.repository, rev, commit)
    raise BaseMissing(
        f"no upstream has {'the tag ' if override is None and base.kind == 'tag' else ''}{rev}"
        + (f" ({base.how})" if override is None else ""),
        where=", ".join(upstream.location for upstream in upstreams),
        next_step="fetch it into the upstream, name another --upstream, or another --base",
    )
