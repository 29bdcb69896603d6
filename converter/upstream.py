"""Upstream repositories: where the base of a series is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from converter import tagname
from converter.errors import BaseMissing, BaseUnknown, WrongUsage
from converter.mirror import Mirror
from converter.odb import Repository
from converter.tagname import Tag, Unclear
from specparse.plan import Base

_LONGEST_TAG = 255  # characters
_SHA = re.compile(r"[0-9a-f]{6,40}")


@dataclass(frozen=True, slots=True)
class Found:
    """The base, found: the mirror that has it, and the commit's full id.

    ``base`` is what was looked for, with the revision's own name; ``template`` is how the upstream
    names its tags, where that had to be learned.
    """

    mirror: Mirror
    rev: str
    commit: str
    base: Base
    template: str = ""

    @property
    def repository(self) -> Repository:
        return self.mirror.repository

    @property
    def location(self) -> str:
        return self.mirror.location


def find(
    base: Base,
    override: str | None,
    upstreams: Sequence[Mirror],
    templates: Sequence[str] = (),
    *,
    fetch: bool = True,
) -> Found:
    """Return the commit on which the series starts, from the first upstream that has it.

    ``override`` is ``--base``, any revision of gitrevisions(7); ``templates`` are the package's
    own (``v%{version}``), tried before all else. Without ``fetch`` no network is asked.
    Raises BaseUnknown when neither the spec nor the caller names one or when several tags could be
    meant, BaseMissing when no upstream has it, WrongUsage where there is no upstream, and what a
    Mirror raises.
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
    # What a spec says is a name to look up, never an expression to evaluate.
    if override is None and base.kind == "commit" and not _SHA.fullmatch(rev):
        raise BaseUnknown(f"not a commit id: {rev!r}", next_step="name it with --base REV")
    is_tag = override is None and base.kind == "tag"
    why = f"no upstream has {'the tag ' if is_tag else ''}{rev}"
    for upstream in upstreams:
        if is_tag:
            found = _tag(base, upstream, templates, fetch)
            if isinstance(found, Found):
                return found
            why = found.why if base.guess else why
        elif commit := _commit(upstream, rev, fetch):
            told = _told(upstream.repository, override) if override else base
            return Found(upstream, rev, commit, told)
    raise BaseMissing(
        why + (f" ({base.how})" if override is None else ""),
        where=", ".join(upstream.location for upstream in upstreams),
        next_step="fetch it into the upstream, name another --upstream, or another --base",
    )


def _commit(upstream: Mirror, rev: str, fetch: bool) -> str | None:
    """Return the commit that ``rev`` names. Raises BaseUnknown for an abbreviation of several."""
    found = upstream.commit_id(rev) if fetch else upstream.repository.commit_id(rev)
    if found is None and _SHA.fullmatch(rev):
        could = upstream.repository.commits_that_begin(rev)
        if len(could) > 1:
            raise BaseUnknown(
                f"{rev} abbreviates several commits: {', '.join(could)}",
                where=upstream.location,
                next_step="name one of them with --base",
            )
        return could[0] if could else None
    return found


def _told(repository: Repository, rev: str) -> Base:
    """Return the base that ``--base`` says: the spec has no part in it."""
    is_tag = f"refs/tags/{rev.removeprefix('refs/tags/')}" in repository.refs("refs/tags/")
    return Base("tag" if is_tag else "commit", rev, "--base")


def _tag(base: Base, upstream: Mirror, templates: Sequence[str], fetch: bool) -> Found | Unclear:
    """Look for the tag that ``base`` means. Raises BaseUnknown where several could be meant."""
    learned = _learned(base, upstream.repository, templates) if templates else Unclear("")
    if isinstance(learned, Unclear) and not learned.candidates:
        exact = None if base.guess else _commit(upstream, f"refs/tags/{base.rev}", fetch)
        if exact is not None:
            return Found(upstream, base.rev, exact, base)
        learned = _learned(base, upstream.repository, (), base.names)
        if isinstance(learned, Unclear) and not learned.candidates and fetch and upstream.fetch():
            learned = _learned(base, upstream.repository, templates, base.names)
    if isinstance(learned, Tag):
        commit = upstream.repository.commit_id(f"refs/tags/{learned.name}")
        if commit is None:
            return Unclear(f"the tag {learned.name} is not of a commit")
        named = replace(base, rev=learned.name, how=f"{base.how}; {learned.why}", guess=False)
        return Found(upstream, named.rev, commit, named, learned.template)
    if learned.candidates:
        raise BaseUnknown(
            f"{learned.why} ({base.how})",
            where=upstream.location,
            next_step="name it with --base REV, or configure the package's tag template",
        )
    return learned


def _learned(
    base: Base, repository: Repository, templates: Sequence[str], names: Sequence[str] = ()
) -> Tag | Unclear:
    if not templates and not names:
        return Unclear("")
    named = (name.removeprefix("refs/tags/") for name in repository.refs("refs/tags/"))
    # Whoever pushes to upstream may make tags of any length, and reading one takes its square.
    tags = [name for name in named if len(name) <= _LONGEST_TAG]
    told = tagname.find(base.versions, names, tags, templates)
    if isinstance(told, Tag):
        return told
    commits = {repository.commit_id(f"refs/tags/{name}") for name in told.candidates}
    if len(commits) == 1:
        return Tag(told.candidates[0], "", f"of one commit with {', '.join(told.candidates[1:])}")
    return told
