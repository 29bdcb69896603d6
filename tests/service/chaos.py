"""``python -m tests.service.chaos CONFIG TOKENS``: the daemon, killed at every stage of its work.

In the directory of tokens there is a file for each death that is to be died, named after its
stage; who takes one at that stage kills the whole daemon with SIGKILL. One that ends in ``.cut``
takes this host off its network instead (tests/service/hosts.py brings it back), and work goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter import odb, publish, signing
from converter.errors import SrcgitError
from service import config
from service.journal import Journal, Row
from service.pipeline import pipeline
from service.worker import Convert, Outcome

STAGES = (
    "before the row is added",
    "after the row is added, before the ack",
    "after a claim",
    "before the commits",
    "after the commits, before the tag",
    "before the hand-over",
    "after the hand-over",
    "after a claim to publish",
    "before the signature",
    "after the signature, before the tag",
    "after the tag, before the push",
    "after the push",
    "before the journal is settled",
    "after the journal is settled",
    "after an announcement, before it is marked",
)


@dataclass(frozen=True)
class Deaths:
    """The deaths that are still to be died by the daemon of this process id."""

    tokens: Path
    pid: int

    def at(self, stage: str) -> None:
        for token in self.tokens.glob(f"{stage}.*"):
            try:
                token.unlink()
            except FileNotFoundError:  # another daemon was quicker
                continue
            if token.suffix == ".cut":
                subprocess.run(["ip", "link", "set", "eth0", "down"], check=True)
                continue
            os.kill(self.pid, signal.SIGKILL)
            if self.pid != os.getpid():
                signal.pause()  # a child ends with its daemon


@dataclass(frozen=True)
class Deadly:
    """The real conversion, which may take its daemon with it at each stage."""

    convert: Convert
    deaths: Deaths

    def __call__(self, row: Row, progress: Callable[[str], None]) -> Outcome:
        at = self.deaths.at
        move_refs = odb.Repository.move_refs

        def reached(stage: str) -> None:
            progress(stage)
            if stage.startswith("looking for the base"):
                at("before the commits")

        def moved(*args: Any) -> None:
            at("after the commits, before the tag")
            move_refs(*args)

        # Only in this child, which does nothing else.
        odb.Repository.move_refs = moved  # type: ignore[assignment, method-assign]
        return self.convert(row, reached)


@dataclass(frozen=True)
class DeadlyPublishing:
    """The real publishing, which may take its daemon with it at each stage."""

    publish: Convert
    deaths: Deaths

    def __call__(self, row: Row, progress: Callable[[str], None]) -> Outcome:
        at = self.deaths.at
        move_refs, push, sign = odb.Repository.move_refs, publish._push, signing.Signer.__call__

        def signed(signer: signing.Signer, tag: bytes) -> bytes:
            at("before the signature")
            made = sign(signer, tag)
            at("after the signature, before the tag")
            return made

        def moved(*args: Any) -> None:
            move_refs(*args)
            at("after the tag, before the push")

        def pushed(*args: Any) -> None:
            push(*args)
            at("after the push")

        signing.Signer.__call__ = signed  # type: ignore[assignment, method-assign]
        odb.Repository.move_refs = moved  # type: ignore[assignment, method-assign]
        publish._push = pushed  # type: ignore[assignment]
        return self.publish(row, progress)


class DeadlyJournal(Journal):
    """A journal whose process may die around each of its writes."""

    deaths: Deaths

    def add(self, row: Row, now: float | None = None) -> bool:
        self.deaths.at("before the row is added")
        added = super().add(row, now)
        self.deaths.at("after the row is added, before the ack")
        return added

    def claim(self, owner: str, lease: float, now: float | None = None) -> Row | None:
        row = super().claim(owner, lease, now)
        if row is not None:
            self.deaths.at("after a claim")
        return row

    def claim_converted(
        self, store: str, owner: str, lease: float, now: float | None = None
    ) -> Row | None:
        row = super().claim_converted(store, owner, lease, now)
        if row is not None:
            self.deaths.at("after a claim to publish")
        return row

    def hand_over(self, *args: Any, **options: Any) -> bool:
        self.deaths.at("before the hand-over")
        done = super().hand_over(*args, **options)
        self.deaths.at("after the hand-over")
        return done

    def settle(self, *args: Any, **options: Any) -> bool:
        self.deaths.at("before the journal is settled")
        settled = super().settle(*args, **options)
        self.deaths.at("after the journal is settled")
        return settled

    def announced(self, row: Row) -> None:
        self.deaths.at("after an announcement, before it is marked")
        super().announced(row)


def main() -> None:
    from service import daemon  # each child imports this module, and needs no bus

    path = Path(sys.argv[1])
    deaths = Deaths(Path(sys.argv[2]), os.getpid())
    DeadlyJournal.deaths = deaths
    daemon.Journal = DeadlyJournal  # type: ignore[attr-defined]
    try:
        settings = config.load(path)
        whole = pipeline(settings)
        publishing = DeadlyPublishing(whole.publishing, deaths)
        daemon.listen(settings, path, Deadly(whole.converting, deaths), publish=publishing)
    except SrcgitError as error:
        print(f"srcgit: {error.what}; {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
