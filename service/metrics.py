"""What Prometheus reads. ansible/README.md says what each metric means, and alerts are made of them.

Counters live in the journal: they only grow, whichever host did the work and however often the
pages are restarted. Everything else is looked up when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from service.config import Config
from service.database import JournalUnusable
from service.journal import BUCKETS, UNSETTLED, Journal, State
from service.koji import Koji
from service.shelf import Shelf
from service.status import Freshness, status

_KOJI = 300.0  # seconds between questions to Koji


class Metrics:
    """The metrics of one host's configuration; with ``finished``, of Koji as well."""

    def __init__(
        self, config: Config, journal: Journal, shelf: Shelf, finished: Finished | None
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Numbers(config, journal, shelf))
        if finished:
            self._registry.register(finished)

    def text(self) -> bytes:
        """Return Prometheus's text. Raises JournalUnusable."""
        return generate_latest(self._registry)


class _Numbers(Collector):
    """What the journal and the published trees tell."""

    def __init__(self, config: Config, journal: Journal, shelf: Shelf) -> None:
        self._config, self._journal, self._shelf = config, journal, shelf

    def collect(self) -> Iterator[Metric]:
        yield from self._attempts()
        yield from self._stages()
        yield from self._queue()
        heard = _gauge("last_message_timestamp_seconds", "When the last message came")
        heard.add_metric([], self._shelf.last_message())
        last = _gauge("last_converted_timestamp_seconds", "When a build was last done", "package")
        for package, settled in self._journal.last_done().items():
            last.add_metric([package], settled)
        lag = _gauge("branch_lag_seconds", "Since when a newer build waits", "package", "branch")
        now = time.time()
        for line in self._shelf.branches():
            lag.add_metric([line.package, line.name], now - line.since if line.since else 0.0)
        yield from (heard, last, lag)

    def _attempts(self) -> Iterator[Metric]:
        counted = self._journal.tallies("builds")
        builds = CounterMetricFamily(
            "srcgit_builds", "Attempts that ended, by outcome", labels=["package", "outcome"]
        )
        # All from the start: Prometheus does not see the step from nothing to the first.
        for package in self._config.packages:
            for outcome in get_args(State):
                if outcome == "waiting" or outcome not in UNSETTLED:
                    builds.add_metric([package, outcome], counted.get((package, outcome), 0.0))
        yield builds

    def _stages(self) -> Iterator[Metric]:
        counted = self._journal.tallies("seconds")
        stages = HistogramMetricFamily(
            "srcgit_stage_seconds", "Seconds in each stage of a conversion", labels=["stage"]
        )
        for stage in sorted({stage for stage, _ in counted}):
            buckets, total = [], 0.0
            for bound in BUCKETS:
                total += counted.get((stage, str(bound)), 0.0)
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            stages.add_metric([stage], buckets, counted.get((stage, "sum"), 0.0))
        yield stages

    def _queue(self) -> Iterator[Metric]:
        counts = self._journal.counts()
        rows = _gauge("queue_rows", "Builds that are not settled", "state")
        for state in UNSETTLED:
            rows.add_metric([state], counts.get(state, 0))
        oldest = _gauge("queue_oldest_seconds", "How long the oldest build has been due")
        due = self._journal.oldest_due()
        oldest.add_metric([], max(0.0, time.time() - due) if due else 0.0)
        yield from (rows, oldest)


class Finished(Collector):
    """What Koji finished, asked every few minutes by a thread of its own: no page waits for Koji."""

    def __init__(self, config: Config, journal: Journal, koji: Koji) -> None:
        self._config, self._journal, self._koji = config, journal, koji
        self._seen: Sequence[Freshness] = ()

    def watch(self) -> None:
        """Ask for ever."""
        while True:
            with suppress(JournalUnusable):  # it may be back the next time
                self.ask()
            time.sleep(_KOJI)

    def ask(self) -> None:
        """Ask once. Raises JournalUnusable."""
        self._seen = status(self._config, self._journal, self._koji).packages

    def newest(self) -> Mapping[tuple[str, str], str]:
        """Return (package, dist tag) -> the NVR that finished last, of what Koji last said."""
        return {(each.package, d): nvr for each in self._seen for d, nvr in each.newest.items()}

    def changed(self) -> Sequence[str]:
        """Return what somebody else has changed at the places of publication."""
        return [f"{each.package}: {what}" for each in self._seen for what in each.changed]

    def collect(self) -> Iterator[Metric]:
        what = (
            "Builds of the last weeks that Koji finished and that are neither published nor refused"
        )
        gauge = _gauge("koji_finished_unconverted", what, "package")
        others = _gauge(
            "remote_changes", "Published refs that somebody else has changed", "package"
        )
        for each in self._seen:
            if not each.trouble:
                gauge.add_metric([each.package], len(each.missing))
                others.add_metric([each.package], len(each.changed))
        yield from (gauge, others)


def _gauge(name: str, what: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"srcgit_{name}", what, labels=labels)
