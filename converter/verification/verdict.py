"""What verification found: values, their JSON, and a report for people (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from converter.errors import DifferenceFound
from converter.text import clipped, counted, text
from converter.verification.amhistory import AmHistory


@dataclass(frozen=True, slots=True)
class Difference:
    """A path in which the tree that %prep leaves is not the converted one."""

    path: bytes
    kind: str  # "added", "deleted", "content", "mode", "type"
    step: str  # the command of %prep that made it; "" where none can be named
    defect: bool  # a patch made it, so the conversion is at fault


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found. ``verified`` is the contract's yes or no."""

    tree: str  # the converted tree, id
    differences: tuple[Difference, ...]
    history: AmHistory | None  # of a %prep that uses git am: commit by commit
    unseen: tuple[bytes, ...]  # touched by the series, deleted by %prep before one can look
    not_compared: tuple[bytes, ...]  # upstream's mirror lacks the content
    stopped: str  # the command at which %prep stopped on this host; "" when it ran to its end
    edits: tuple[str, ...]
    paths: int  # compared
    how: str
    seconds: dict[str, float]
    backups: frozenset[bytes] = frozenset()  # among the differences: what patch(1) left
    restless: tuple[bytes, ...] = ()  # what %prep makes, and never twice alike

    @property
    def defects(self) -> tuple[Difference, ...]:
        return tuple(d for d in self.differences if d.defect)

    @property
    def verified(self) -> bool:
        return not self.defects and (self.history is None or not self.history.mismatches)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict for ``--json``; host facts and timings included."""
        return {
            "verified": "yes" if self.verified else "no",
            "tree": self.tree,
            "paths": self.paths,
            "differences": [
                {
                    "path": text(d.path),
                    "kind": d.kind,
                    "made_by": "patch" if d.defect else "prep",
                    "step": d.step,
                }
                for d in self.differences
            ],
            "history": self.history.as_json() if self.history else None,
            "unseen": [text(path) for path in self.unseen],
            "restless": [text(path) for path in self.restless],
            "not_compared": [text(path) for path in self.not_compared],
            "stopped": self.stopped,
            "spec_edits": list(self.edits),
            "how": self.how,
            "seconds": {stage: round(s, 1) for stage, s in self.seconds.items()},
        }

    def lines(self, nvr: str) -> Iterator[str]:
        """Give the verdict for people: what was compared, and what %prep does besides."""
        yield f"{nvr}: verified: {'yes' if self.verified else 'no'}"
        compared = f"{counted(self.paths, 'path')} compared with the tree that %prep leaves"
        if self.history:
            compared += f", and {self.history.commits} commits with those of git am"
        yield compared
        for d in self.defects:
            yield f"DIFFERS  {d.kind:8}{text(d.path)}"
        for mismatch in self.history.mismatches if self.history else ():
            yield f"DIFFERS  {mismatch}"
        by_prep = [d for d in self.differences if not d.defect]
        if by_prep:
            yield "made by steps of %prep that are no patches:"
        by_prep.sort(key=lambda d: (d.step, d.kind, d.path))
        for (step, kind), group in groupby(by_prep, key=lambda d: (d.step, d.kind)):
            paths = [text(d.path) for d in group]
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            told = clipped(step)
            yield f"  {kind:8} {paths[0]}{more}" + (f"  ({told})" if told else "")
        for title, listed in (
            ("touched by the series, but deleted by %prep before one can look:", self.unseen),
            ("not compared, because upstream's repository lacks them:", self.not_compared),
        ):
            if listed:
                yield title
            yield from (f"  {text(path)}" for path in listed)
        if self.stopped:
            yield f"on this host %prep stops after the patches, at: {self.stopped}"
        yield from self.edits

    def check(self, nvr: str) -> None:
        """Raise DifferenceFound unless the build is verified."""
        if self.verified:
            return
        wrong = [f"{text(d.path)} ({d.kind})" for d in self.defects]
        wrong += self.history.mismatches if self.history else ()
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise VerificationFailed(
            f"%prep leaves another tree than the conversion: {', '.join(wrong[:3])}{more}",
            where=nvr,
            next_step="this is a defect of srcgit: please report it with the build's name",
            verdict=self,
        )


class VerificationFailed(DifferenceFound):
    """The verdict is no; ``verdict`` says why."""

    def __init__(self, what: str, *, where: str, next_step: str, verdict: Verdict) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.verdict = verdict
        self.report = "\n".join(verdict.lines(where))
