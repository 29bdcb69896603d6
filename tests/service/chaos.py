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

from converter import odb, publish
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
    """The real pipeline, which may take its daemon with it at each stage."""

    convert: Convert
    deaths: Deaths

    def __call__(self, row: Row, progress: Callable[[str], None]) -> Outcome:
        at = self.deaths.at
        move_refs, push = odb.Repository.move_refs, publish._push

        def reached(stage: str) -> None:
            progress(stage)
            if stage.startswith("looking for the base"):
                at("before the commits")

        def moved(*args: Any) -> None:
            at("after the commits, before the tag")
            move_refs(*args)
            at("after the tag, before the push")

        def pushed(*args: Any) -> None:
            push(*args)
            at("after the push")

        # Only in this child, which does nothing else.
        odb.Repository.move_refs = moved  # type: ignore[assignment, method-assign]
        publish._push = pushed  # type: ignore[assignment]
        return self.convert(row, reached)


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
        daemon.listen(settings, path, Deadly(pipeline(settings), deaths))
    except SrcgitError as error:
        print(f"srcgit: {error.what}; {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
