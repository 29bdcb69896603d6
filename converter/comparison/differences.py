"""What differs between two published builds: the values that ``srcgit diff`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from converter.build import Nvr
from converter.comparison.configs import ConfigChanges


@dataclass(frozen=True, slots=True)
class Published:
    """A build as its tag shows it."""

    nvr: Nvr
    commit: str  # the top commit
    record: Mapping[str, Any]  # its fedora/series.json

    @property
    def name(self) -> str:
        """The NVR, and which variant of it this is: ``NVR@aarch64``."""
        variant = self.record.get("variant", "")
        return f"{self.nvr}@{variant}" if variant else str(self.nvr)

    @property
    def base(self) -> str:
        commit: str = self.record["base"]["commit"]
        return commit

    def as_json(self) -> dict[str, Any]:
        base = self.record["base"]
        return {
            "nvr": str(self.nvr),
            **({"variant": self.record["variant"]} if "variant" in self.record else {}),
            "commit": self.commit,
            "base": {"rev": base["rev"], "commit": base["commit"]},
        }


@dataclass(frozen=True, slots=True)
class BaseStep:
    """How the second base relates to the first.

    ``ahead`` counts the commits that only the second has, ``behind`` those that only the first
    has; both are None where the clone is too shallow to tell.
    """

    ahead: int | None
    behind: int | None

    @property
    def relation(self) -> str:
        if self.ahead is None or self.behind is None:
            return "unknown"
        if self.behind:
            return "diverged" if self.ahead else "back"
        return "forward" if self.ahead else "same"

    def as_json(self) -> dict[str, Any]:
        return {"relation": self.relation, "ahead": self.ahead, "behind": self.behind}


@dataclass(frozen=True, slots=True)
class Upstreamed:
    """The upstream commit that made a commit of the series superfluous, and how that is known.

    ``how``: ``patch-id`` (the same change), ``reference`` (the patch names the commit),
    ``subject`` (same subject and author, a different diff).
    """

    commit: str
    how: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A commit that the second series lacks, and where its change went, if that is known."""

    commit: str
    subject: str
    upstream: Upstreamed | None = None
    now_in: str | None = None  # the patch file of the second series that has the same change

    def as_json(self) -> dict[str, Any]:
        upstream = self.upstream and {"commit": self.upstream.commit, "how": self.upstream.how}
        return {
            "commit": self.commit,
            "subject": self.subject,
            "upstream": upstream,
            "now_in": self.now_in,
        }


@dataclass(frozen=True, slots=True)
class Side:
    """A patch of one of the two series; ``position`` counts from 1."""

    patch: str
    position: int
    number: int | None
    commits: tuple[str, ...]
    subjects: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "patch": self.patch,
            "position": self.position,
            "number": self.number,
            "commits": [
                {"commit": commit, "subject": subject}
                for commit, subject in zip(self.commits, self.subjects, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True)
class Dropped:
    """A patch that the second series lacks."""

    side: Side
    commits: tuple[Gone, ...]

    @property
    def upstream(self) -> bool:
        """Tell whether upstream has all of it now."""
        return bool(self.commits) and all(gone.upstream for gone in self.commits)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.side.as_json(),
            "commits": [gone.as_json() for gone in self.commits],
            "upstream": self.upstream,
        }


@dataclass(frozen=True, slots=True)
class Kept:
    """A patch that both series have.

    ``what`` differs: ``commits`` (their number), ``diff``, ``context`` (only lines that the patch
    does not touch), ``message``, ``author``, ``date``; nothing when only ids or line numbers moved.
    """

    old: Side
    new: Side
    what: tuple[str, ...] = ()
    moved: bool = False
    range_diff: str = ""
    gone: tuple[Gone, ...] = ()  # where there are several commits
    came: tuple[tuple[str, str], ...] = ()  # commits, with subjects, that only the new one has

    @property
    def renamed(self) -> bool:
        return self.old.patch != self.new.patch

    def as_json(self) -> dict[str, Any]:
        return {
            "patch": self.new.patch,
            "renamed_from": self.old.patch if self.renamed else None,
            "moved": self.moved,
            "position": [self.old.position, self.new.position],
            "number": [self.old.number, self.new.number],
            "what": list(self.what),
            "gone": [gone.as_json() for gone in self.gone],
            "came": [{"commit": commit, "subject": subject} for commit, subject in self.came],
            "range_diff": self.range_diff,
        }


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the spec does besides patches, on one side only."""

    kind: str  # a key of series.json: skipped, unrepresented, warnings, base_patches; or tool
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that differs between two builds."""

    old: Published
    new: Published
    base: BaseStep
    added: tuple[Side, ...]
    dropped: tuple[Dropped, ...]
    kept: tuple[Kept, ...]
    configs: ConfigChanges
    facts_gone: tuple[Fact, ...]
    facts_new: tuple[Fact, ...]

    @property
    def changed(self) -> tuple[Kept, ...]:
        return tuple(kept for kept in self.kept if kept.what)

    @property
    def moved(self) -> tuple[Kept, ...]:
        return tuple(kept for kept in self.kept if kept.moved)

    @property
    def renamed(self) -> tuple[Kept, ...]:
        return tuple(kept for kept in self.kept if kept.renamed)

    @property
    def unchanged(self) -> int:
        return sum(not (kept.what or kept.moved or kept.renamed) for kept in self.kept)

    def as_json(self) -> dict[str, Any]:
        """Return the object of ``srcgit diff --json``."""
        return {
            "old": self.old.as_json(),
            "new": self.new.as_json(),
            "base": self.base.as_json(),
            "patches": {
                "unchanged": self.unchanged,
                "added": [side.as_json() for side in self.added],
                "dropped": [dropped.as_json() for dropped in self.dropped],
                "changed": [kept.as_json() for kept in self.changed],
                "renamed": [{"from": k.old.patch, "to": k.new.patch} for k in self.renamed],
                "moved": [
                    {"patch": k.new.patch, "from": k.old.position, "to": k.new.position}
                    for k in self.moved
                ],
            },
            "configs": self.configs.as_json(),
            "facts": {
                "gone": [fact.as_json() for fact in self.facts_gone],
                "new": [fact.as_json() for fact in self.facts_new],
            },
        }
