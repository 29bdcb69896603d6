"""Publishing: the one process that has the keys. It parses no spec, no patch and no archive.

Of a build it gets the row of the journal: a statement of ids and names, whose form is checked, and
facts for the announcement. Objects are copied from the repository that the build was converted in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from converter import borrowing, tagging
from converter.build import tag_name
from converter.clock import Clock, Progress
from converter.damage import named
from converter.errors import Fate, RepositoryUnusable, TryAgain
from converter.handover import Statement, copy
from converter.mirror import Mirror
from converter.odb import Repository
from converter.publish import catch_up, publish_all
from converter.remote import Again, Trust
from converter.top import PREPARED
from service.config import Config, Package
from service.journal import Row
from service.worker import Outcome, judge, of_package

log = logging.getLogger(__name__)


class Unconfirmed(TryAgain):
    """A remote has a build that another host published: it has to be converted here, to compare."""

    def __init__(self, tag: str) -> None:
        super().__init__(
            f"{tag} is published by another host, and is converted again to compare",
            next_step="nothing; hosts that share a signing key need not do that",
        )
        self.confirm = [tag]


@dataclass(frozen=True, slots=True)
class Publishing:
    """Signs and pushes one converted build; the ``Convert`` of the workers that publish."""

    config: Config

    def __call__(self, row: Row, progress: Progress) -> Outcome:
        """Return how it ended, with the facts that the announcement needs. Raises SrcgitError."""

        def again(tag: str, _: str) -> str | None:
            confirmed = row.evidence.get("confirmed", {})
            if tag not in confirmed:
                raise Unconfirmed(tag)
            commit = confirmed[tag]
            return str(commit) if commit else None

        facts = {name: value for name, value in row.evidence.items() if name not in _INNER}
        try:
            package = of_package(self.config, row)
            with named(package.repo, self._mirrors(package)):
                made = self.publish(row, progress, again)
        except Exception as error:
            outcome = judge(error)
            kept = {"confirmed": row.evidence.get("confirmed", {}), **outcome.evidence}
            return Outcome(outcome.fate, outcome.reason, {**facts, **kept})
        seconds = {**facts.get("seconds", {}), **made.pop("seconds")}
        return Outcome(Fate.DONE, "", {**facts, **made, "seconds": seconds})

    def publish(self, row: Row, progress: Progress, again: Again) -> dict[str, Any]:
        """Publish what ``row`` states; return what was done. Raises SrcgitError."""
        package = of_package(self.config, row)
        statement = Statement.read(row.evidence.get("statement"), row.nvr)
        email = self.config.committer[1]
        trust = Trust(self.config.signing.signers(email), again)
        clock = Clock(_log_stage)
        with clock("publish"):
            progress("looking at what is published")
            repo = Repository.create(package.repo)
            mirrors = list(self._mirrors(package))
            for mirror in mirrors:
                repo.borrow(mirror.repository)
            borrowing.complete(repo, mirrors)
            before = repo.refs("refs/tags/").values()
            for place in package.push:
                if others := catch_up(repo, place, package.name, trust):
                    told = {"reason": f"not signed by ours: {', '.join(others[:5])}"}
                    log.warning("%d tags there are somebody else's", len(others), extra=told)
            _hold(repo, mirrors, set(repo.refs("refs/tags/").values()).difference(before))
            copy(repo, self.config.converting(package) / "objects", statement)
            sign = self.config.signing.signer(email)
            build, commit, base = statement.build, statement.commit, statement.base
            tag = tagging.adopt(repo, build, commit, base, statement.tag, sign)
            _hold(repo, mirrors, {tag})
            if statement.tools:
                repo.write_note(PREPARED, commit, f"Prepared-With: {statement.tools}\n")
            receipts = publish_all(repo, build, commit, tag, base, package.push, progress, trust)
        return {
            "tag": tag_name(build.nvr),
            "tag_id": tag,
            "pushed": [receipt.as_json() for receipt in receipts],
            "seconds": {stage: round(s, 3) for stage, s in clock.seconds.items()},
        }

    def _mirrors(self, package: Package) -> Iterable[Mirror]:
        """Yield the upstreams whose objects are borrowed; who converts has cloned them."""
        for url in package.upstreams:
            mirror = Mirror(url, self.config.state / "mirrors")
            if mirror.at_hand:
                yield mirror


_INNER = ("statement", "confirm", "confirmed")  # of the evidence: between the two processes


def _hold(repo: Repository, mirrors: Iterable[Mirror], tags: Set[str]) -> None:
    """Have the mirrors keep what builds of other hosts stand on, where they can be written here."""
    bases = borrowing.keep(repo, tags)
    for mirror in mirrors if bases else ():
        if mirror.is_ours:
            with suppress(RepositoryUnusable):
                borrowing.hold_bases(repo, mirror.repository)


def _log_stage(stage: str, seconds: float) -> None:
    log.info("stage", extra={"stage": stage, "seconds": round(seconds, 3)})
