"""How throughput grows with workers: ``python -m tests.scale [--builds N] [--workers N]... [--json]``

Each worker is a daemon of its own, as on a host of its own: its own state and repositories; one
RabbitMQ, one PostgreSQL and the published repositories are common to all. Two tables:

- conversions: the real pipeline on a small kernel in 16 packages. Bound by this machine's cores.
- coordination: the same, but a conversion only waits for a second, as if its processor were
  elsewhere. Bound by what the workers share: broker, journal, and the daemons' own overhead.

Times run from the first message to the last settled row, with all daemons up and idle before.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from pika.exceptions import ChannelClosedByBroker
from rich.console import Console
from rich.table import Table

from service.journal import Journal
from tests import postgres
from tests.broker import Broker, running
from tests.builders import Source, change, kernel_upstream, spec_git_am
from tests.hub import Hub

ROOT = Path(__file__).parent.parent
PACKAGES = 16  # builds of one package and release are converted one after the other
REST = 1.0  # seconds

CONFIG = """
amqp_url = "{amqp}"
[queues.{queue}]
durable = true
auto_delete = false
exclusive = false
arguments = {{}}
[[bindings]]
queue = "{queue}"
exchange = "amq.topic"
routing_keys = ["org.fedoraproject.#"]
[qos]
prefetch_size = 0
prefetch_count = 1
[consumer_config]
state = "{state}"
journal = "{journal}"
koji = "{koji}"
announce = false
"""
PACKAGE = """
[consumer_config.packages.{name}]
pkg_git = "{made}/{name}.git"
source = "https://src.fedoraproject.org/rpms/{name}.git"
upstreams = ["{made}/linux.git"]
push = ["{published}/{name}.git"]
"""


@dataclass(frozen=True)
class Result:
    """One line of a table."""

    workers: int
    seconds: float
    per_hour: float  # builds
    gain: float  # against one worker
    cpu: float  # seconds of the daemons' processor time for one build


class Site:
    """What all daemons have in common."""

    def __init__(self, directory: Path, builds: int, broker: Broker, server: str, hub: Hub) -> None:
        self.directory, self.broker, self.server, self.hub = directory, broker, server, hub
        self.names = [f"kernel{number:02}" for number in range(PACKAGES)]
        linux = kernel_upstream(directory / "linux.git")
        base = linux.rev("v4.15")
        assert base
        text = change(linux.file(base, "mm/slab.c").decode(), 2, "twice")
        patch = linux.mails(base, linux.commit({"mm/slab.c": text}, "mm: a\n", parent=base))
        linux.branch("main", base)
        sources = {name: Source(directory / f"{name}.git") for name in self.names}
        for number in range(builds):
            name = self.names[number % PACKAGES]
            spec = spec_git_am("4.15.0", str(100 + number), ["slab.patch"])
            files: dict[str, bytes | str | None] = {
                "kernel.spec": spec.replace("Name: kernel", f"Name: {name}"),
                "slab.patch": patch,
                "kernel-x86_64.config": f"CONFIG_NUMBER={number}\n",
            }
            files[f"{name}.spec"] = files.pop("kernel.spec")
            commit = sources[name].commit(files, f"build {number}\n", branch="f28")
            hub.add(f"{name}-4.15.0-{100 + number}.fc28", commit=commit, target="f28")

    def run(self, workers: int, rest: float) -> tuple[float, float]:
        """Convert all builds by so many daemons, from nothing; return seconds and processor time."""
        where = self.directory / f"{workers}-{rest}"
        for name in self.names:
            (where / "published").mkdir(parents=True, exist_ok=True)
            Source(where / "published" / f"{name}.git")
        database = f"w{workers}_{int(rest * 10)}"
        address = self.server.replace("+psycopg", "")
        with psycopg.connect(address + "postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")
        journal = Journal(self.server + database)
        with ExitStack() as stack:
            daemons = []
            for number in range(workers):
                path = self._configure(where, number, self.server + database, f"q{database}")
                daemons.append(stack.enter_context(daemon(path, rest)))
            wait(lambda: self._consumers(f"q{database}") == workers, 300)
            before = sum(map(processor_time, daemons))
            start = time.monotonic()
            self.broker.send_all([self.hub.message(build) for build in self.hub.builds])
            wait(lambda: journal.counts() == {"done": len(self.hub.builds)}, 1800)
            seconds = time.monotonic() - start
            used = sum(map(processor_time, daemons)) - before
        journal.close()
        return seconds, used

    def _consumers(self, queue: str) -> int:
        with suppress(ChannelClosedByBroker), self.broker.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.consumer_count)
        return 0  # nobody has declared it yet

    def _configure(self, where: Path, number: int, journal: str, queue: str) -> Path:
        path = where / f"host{number}.toml"
        head = CONFIG.format(
            amqp=self.broker.url,
            queue=queue,
            state=where / f"host{number}",
            journal=journal,
            koji=self.hub.url,
        )
        packages = (
            PACKAGE.format(name=name, made=self.directory, published=where / "published")
            for name in self.names
        )
        path.write_text(head + "".join(packages))
        return path


@contextmanager
def daemon(path: Path, rest: float) -> Iterator[int]:
    """Run a daemon for the time of the block; gives its process id."""
    with path.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.resting", path, str(rest)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield process.pid
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def processor_time(process: int) -> float:
    """Return the seconds that a process and its descendants, those that ended as well, have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc(5)
    threads = Path(f"/proc/{process}/task").glob("*/children")
    children = " ".join(each.read_text() for each in threads).split()
    return ticks / os.sysconf("SC_CLK_TCK") + sum(processor_time(int(pid)) for pid in children)


def wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("scale: it takes too long; see the daemons' logs")
        time.sleep(0.1)


def measure(builds: int, workers: list[int]) -> Iterator[tuple[str, list[Result]]]:
    """Yield the two tables."""
    with (
        tempfile.TemporaryDirectory(prefix="srcgit-scale-") as scratch,
        running() as broker,
        postgres.cluster() as server,
        Hub() as hub,
    ):
        site = Site(Path(scratch), builds, broker, server, hub)
        for title, rest in (("conversions", 0.0), ("coordination", REST)):
            results: list[Result] = []
            for count in workers:
                seconds, used = site.run(count, rest)
                rate = builds / seconds * 3600
                first = results[0].per_hour if results else rate
                results.append(Result(count, seconds, rate, rate / first, used / builds))
            yield title, results


def main() -> None:
    parser = argparse.ArgumentParser(prog="scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--builds", type=int, default=96)
    parser.add_argument("--workers", type=int, action="append", help="(1, 2, 4, 8)")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    tables = {}
    for title, results in measure(chosen.builds, chosen.workers or [1, 2, 4, 8]):
        tables[title] = [asdict(result) for result in results]
        if not chosen.json:
            show(title, results)
    if chosen.json:
        print(json.dumps({"cpus": os.cpu_count(), "builds": chosen.builds, "tables": tables}))


def show(title: str, results: list[Result]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("workers", "s", "builds an hour", "times one worker's", "CPU s a build"):
        table.add_column(heading, justify="right")
    for each in results:
        rate, gain = f"{each.per_hour:,.0f}", f"{each.gain:.1f}"
        table.add_row(str(each.workers), f"{each.seconds:.1f}", rate, gain, f"{each.cpu:.2f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
