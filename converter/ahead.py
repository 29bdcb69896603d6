"""The series of a build, applied while %prep is still running."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from converter import start, top
from converter.build import tag_name
from converter.clock import Clock, Progress
from converter.errors import SrcgitError
from converter.odb import Repository
from converter.planning import Planned, all_told
from converter.request import Request
from converter.start import Retrace, Start

if TYPE_CHECKING:  # what is slow to import, and not needed at once or not at all
    from converter.replay import Replay


class Ahead:
    """The series of a build: applied while %prep is still running, as far as that has come.

    What is wrong with an early plan is not told: it may be wrong only as long as it is not whole.
    """

    def __init__(
        self,
        request: Request,
        repo: Repository,
        scratch: Path,
        progress: Progress,
        clock: Clock,
        stages: ExitStack,
    ) -> None:
        """``stages`` is where a stage is entered that the caller leaves."""
        self._request = request
        self._repo = repo
        self._scratch = scratch
        self._progress = progress
        self._clock = clock
        self._stages = stages
        self._replay: Replay | None = None
        self._in_vain = False  # what is wrong may be lasting, such as a full disk

    def so_far(self, planned: Planned) -> None:
        """Apply what is known of the series, unless archives would have to be fetched for it."""
        tag = tag_name(planned.nvr, self._request.variant)
        done = self._repo.ref(f"refs/tags/{tag}") is not None
        upstream_only = self._request.upstreams and not planned.plan.archives[1:]
        if done or not upstream_only or self._request.archives == "whole" or self._in_vain:
            return  # nothing to do, or archives to fetch
        try:
            with self._clock("base"):
                base = self.start(planned, lambda *_: planned.plan)
                all_told(base.plan)
            with self._clock("series"):
                self.replay(planned, base)
        except SrcgitError:
            self.drop()
            self._in_vain = True

    def configs(self, made: Mapping[bytes, bytes]) -> None:
        """Have them written while the plan is completed: they are the most of the top commit."""
        if self._replay is not None:
            self._replay.stage.begin(map(top.file, made.values()))

    def start(self, planned: Planned, retrace: Retrace) -> Start:
        """Return where the series starts."""
        request = self._request
        originals = planned.originals(request, self._scratch, self._progress)
        return start.find(
            self._repo, planned.plan, request.wanted, originals, request.committer, retrace
        )

    def replay(self, planned: Planned, base: Start) -> Replay:
        """Return the series of ``planned`` on ``base``, applied; most of it may have been before."""
        from converter.replay import Replay

        if self._replay is None or not self._replay.fits(planned, base):
            self.drop()
            originals = planned.originals(self._request, self._scratch, self._progress)
            self._replay = Replay(
                planned, base, self._request, self._repo, originals, self._progress
            )
            self._stages.enter_context(self._replay.stage)
        self._replay.go_on(planned)
        return self._replay

    def drop(self) -> None:
        """Forget what was applied."""
        if self._replay is not None:
            self._replay.stage.drop()
        self._replay = None
