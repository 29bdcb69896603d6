"""Chaos: messages twice and out of order, daemons killed at every stage, the broker restarted, the
remote refusing. At the end everything is right, once. ``SRCGIT_CHAOS=300`` sends 300 messages."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from converter.errors import Fate
from converter.git import Git
from converter.odb import Repository
from converter.publish import newest
from service.config import COMMITTER, load
from service.journal import Journal, Row
from service.pipeline import pipeline
from tests.broker import Broker
from tests.builders import Files, Source, change, kernel_upstream, spec_git_am
from tests.configuration import kernel, listening, table
from tests.converter.test_signing import make_key
from tests.hub import Hub
from tests.service.chaos import STAGES

ROOT = Path(__file__).parents[2]
MESSAGES = int(os.environ.get("SRCGIT_CHAOS", "36"))
DEATHS = 1 if MESSAGES < 200 else 4  # at each stage
KILLS = MESSAGES // 8  # more, at random moments
RELEASES = (40, 41, 42)
RIGHT = {("done", True), ("failed", False)}  # state of a build, and whether it can be converted


@dataclass
class Daemons:
    """Three daemons, each with a repository of its own, that are started again when they die.

    ``hosts`` are the words that run a command on each one's host.
    """

    directory: Path
    hosts: Sequence[Sequence[str]] = ((), (), ())
    running: list[subprocess.Popen[bytes] | None] = field(default_factory=lambda: [None] * 3)
    deaths: Counter[str] = field(default_factory=Counter)

    def keep_up(self) -> None:
        for number, process in enumerate(self.running):
            if process is None or process.poll() is not None:
                if process is not None:
                    self.deaths[f"exit {process.returncode}"] += 1
                self.running[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        config = self.directory / f"host{number}.toml"
        with (self.directory / f"output{number}").open("ab") as output:
            command = sys.executable, "-m", "tests.service.chaos", config, self.directory / "tokens"
            return subprocess.Popen(
                [*self.hosts[number], *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self, number: int) -> None:
        process = self.running[number]
        if process is not None:
            process.kill()

    def end(self) -> list[int]:
        """Tell all to stop; return their exit statuses."""
        for process in self.running:
            if process is not None:
                process.send_signal(signal.SIGTERM)
        return [process.wait(120) for process in self.running if process is not None]

    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.directory.glob("output*")))


@dataclass
class Stage:
    """All that the play needs."""

    broker: Broker
    hub: Hub
    journal: Journal
    daemons: Daemons
    remote: Source
    linux: Source
    pkg_git: Source
    configure: Callable[[str, str], Path]
    queue: str = "chaos"
    told: str = "chaos-told"

    @property
    def refusing(self) -> Path:
        return self.remote.path / "refusing"


@pytest.fixture
def stage(broker: Broker, postgres_url: str, tmp_path: Path) -> Iterator[Stage]:
    with Hub() as hub, staged(broker, postgres_url, hub, tmp_path) as stage:
        yield stage


@contextmanager
def staged(
    broker: Broker,
    journal_url: str,
    hub: Hub,
    tmp_path: Path,
    sources: str = "",
    hosts: Sequence[Sequence[str]] = ((), (), ()),
) -> Iterator[Stage]:
    """Set it up below ``tmp_path``, of which ``sources`` is the URL; all daemons end with it."""
    sources = sources or str(tmp_path)
    remote = Source(tmp_path / "remote.git")
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\n[ ! -e "{remote.path}/refusing" ] || exit 1\n')
    hook.chmod(0o755)
    (tmp_path / "tokens").mkdir()
    linux = kernel_upstream(tmp_path / "linux.git")
    pkg_git = Source(tmp_path / "kernel.git")
    key = make_key(tmp_path / "key")

    def configure(name: str, push: str) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            listening(broker, "chaos")
            + table(state=tmp_path / name, journal=journal_url, koji=hub.url, lease=3)
            + table("retry", first=0.3, cap=1)
            + table("signing", key=key)
            + kernel(
                pkg_git=f"{sources}/kernel.git", upstreams=[f"{sources}/linux.git"], push=[push]
            )
        )
        return path

    broker.queue("chaos", "org.fedoraproject.#")
    broker.queue("chaos-told", "srcgit.#")
    for number in range(3):
        configure(f"host{number}", f"{sources}/remote.git")
    daemons = Daemons(tmp_path, hosts)
    journal = Journal(journal_url)
    try:
        yield Stage(broker, hub, journal, daemons, remote, linux, pkg_git, configure)
    finally:
        for process in daemons.running:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        journal.close()


def play(stage: Stage, messages: int, chance: random.Random) -> tuple[list[str], list[str]]:
    """Make builds and send a message for each, some twice, shuffled.

    Returns the convertible and the unconvertible NVRs: each tenth has a patch that does not fit.
    """
    good: list[str] = []
    bad: list[str] = []
    base = stage.linux.rev("v4.15")
    assert base
    text = stage.linux.file(base, "mm/slab.c").decode()
    fits = stage.linux.commit({"mm/slab.c": change(text, 2, "twice")}, "mm: a\n", parent=base)
    patch = stage.linux.mails(base, fits)
    stage.linux.branch("main", base)
    for number in range(messages * 2 // 3):
        release = RELEASES[number % len(RELEASES)]
        broken = number % 10 == 9
        files: Files = {
            "kernel.spec": spec_git_am("4.15.0", str(100 + number), ["slab.patch"]),
            "slab.patch": patch.replace(b"int result = 15;", b"int other = 15;")
            if broken
            else patch,
            "kernel-x86_64.config": f"CONFIG_NUMBER={number}\n",
        }
        commit = stage.pkg_git.commit(files, f"build {number}\n", branch=f"f{release}")
        nvr = f"kernel-4.15.0-{100 + number}.fc{release}"
        stage.hub.add(nvr, commit=commit, target=f"f{release}-candidate")
        (bad if broken else good).append(nvr)
    bodies = [stage.hub.message(build) for build in stage.hub.builds]
    bodies += chance.choices(bodies, k=messages - len(bodies))
    chance.shuffle(bodies)
    stage.broker.send_all(list(bodies))
    return good, bad


@pytest.mark.timeout(300 + 10 * MESSAGES)
def test_in_the_end_everything_is_right_and_once(stage: Stage, tmp_path: Path) -> None:
    seed = int(os.environ.get("SRCGIT_SEED", time.time_ns() % 10_000))
    chance = random.Random(seed)
    print(f"seed {seed}")
    good, bad = play(stage, MESSAGES, chance)
    tokens = tmp_path / "tokens"
    for name in STAGES:
        for number in range(DEATHS):
            (tokens / f"{name}.{number}").touch()
    start = time.monotonic()
    disturb(stage, chance, len(good) + len(bad), tokens)
    statuses = stage.daemons.end()
    print(f"{time.monotonic() - start:.1f} s, deaths: {dict(stage.daemons.deaths)}")
    assert statuses == [0, 0, 0], stage.daemons.said()[-5000:]
    assert not list(tokens.iterdir())
    check(stage, tmp_path, good, bad)


def check(stage: Stage, tmp_path: Path, good: list[str], bad: list[str]) -> None:
    """Assert that all is right, once, as if nothing had happened."""
    # The queue is empty, with nothing held back by a consumer that is gone.
    assert stage.broker.length(stage.queue) == 0

    # Each unconvertible build failed once, each other one is done; nobody else is there.
    rows = {row.nvr: row for row in stage.journal.rows()}
    wrong = [row for row in rows.values() if (row.state, row.nvr in good) not in RIGHT]
    assert not wrong, wrong
    assert sum(stage.journal.counts().values()) == len(good) + len(bad)
    assert {nvr for nvr, row in rows.items() if row.state == "failed"} == set(bad)
    assert all(rows[nvr].evidence["error"]["class"] == "PatchDoesNotApply" for nvr in bad)

    # Each convertible build has its tag, with the ids of an undisturbed run; branches are highest.
    refs = Repository(stage.remote.path).refs("refs/")
    assert {k: v for k, v in refs.items() if "/builds/" not in k} == undisturbed(
        stage, tmp_path / "calm", good
    )
    check_builds_branches(stage, refs)

    # All was announced; twice only where a daemon died between the message and its mark, and then
    # with the same id: who hears it can tell.
    heard = stage.broker.take_all(stage.told)
    told = Counter((topic.split(".")[-1], body["nvr"]) for _, topic, body in heard)
    assert set(told) == {("converted", nvr) for nvr in good} | {("failed", nvr) for nvr in bad}
    assert len({id for id, _, _ in heard}) == len(told)
    assert len(heard) - len(told) <= stage.daemons.deaths["exit -9"]
    print(f"{len(told)} announcements, {len(heard) - len(told)} of them heard twice")

    signers = load(stage.configure("calm", "/nowhere")).signing.signers(COMMITTER[1])
    remote = Repository(stage.remote.path)
    tags = remote.refs("refs/tags/").values()
    assert signers and len(tags) == len(good)
    assert all(signers.verifies(remote.tag_data(tag) or b"") for tag in tags)

    places = ("host*/kernel.git", "host*/converting/kernel.git")
    repositories = [path for place in places for path in tmp_path.glob(place)]
    for repository in [stage.remote.path, *repositories]:
        fsck = Git(repository).run("fsck", "--strict", "--no-dangling", ok=range(256))
        complaints = [line for line in fsck.stderr.splitlines() if not line.startswith(b"notice:")]
        assert (fsck.status, complaints) == (0, []), repository


def disturb(stage: Stage, chance: random.Random, builds: int, tokens: Path) -> None:
    """Keep three daemons up and make their lives hard until all builds are settled and told."""
    deadline = time.monotonic() + 200 + 6 * MESSAGES
    restart = time.monotonic() + 6
    refuse = time.monotonic() + 10
    stage.refusing.touch()  # from the start, for a while
    next_kill, kills = time.monotonic() + 4, 0
    while time.monotonic() < deadline:
        stage.daemons.keep_up()
        time.sleep(0.1)
        now = time.monotonic()
        if now > refuse:
            if stage.refusing.exists():
                stage.refusing.unlink()
                refuse = now + 12
            else:
                stage.refusing.touch()
                refuse = now + 2
        if restart and now > restart:
            stage.broker.stop(chance.choice([signal.SIGTERM, signal.SIGKILL]))
            stage.broker.start()
            restart = 0.0
        left = list(tokens.iterdir())
        if os.environ.get("SRCGIT_TIMELINE"):
            now = time.monotonic()
            print(f"{now:.1f} {len(left)} {stage.journal.counts()} {dict(stage.daemons.deaths)}")
        if now > next_kill and kills < KILLS and not all_done(stage, builds):
            stage.daemons.kill(chance.randrange(3))
            kills += 1
            next_kill = now + chance.uniform(1.0, 5.0)
        if not left and not restart and all_done(stage, builds) and all_told(stage):
            stage.daemons.keep_up()
            time.sleep(3)  # whoever was killed last shall have started, to be told to stop
            return
    names = [token.name for token in tokens.iterdir()]
    raise AssertionError(f"{stage.journal.counts()} {names}\n{stage.daemons.said()[-6000:]}")


def all_done(stage: Stage, builds: int) -> bool:
    counts = stage.journal.counts()
    return counts.get("done", 0) + counts.get("failed", 0) == builds


def all_told(stage: Stage) -> bool:
    return all(row.announced for row in stage.journal.rows("done", "failed"))


def undisturbed(stage: Stage, directory: Path, good: list[str]) -> dict[str, str]:
    """Return the refs, without builds/, of one host that converts all in order, alone."""
    directory.mkdir()
    calm = Source(directory / "remote.git")
    work = pipeline(load(stage.configure("calm", str(calm.path))))
    for nvr in good:
        outcome = work(Row(nvr, "kernel", "x"), lambda stage: None)
        assert outcome.fate is Fate.DONE
    refs = Repository(calm.path).refs("refs/")
    return {name: id for name, id in refs.items() if "/builds/" not in name}


def check_builds_branches(stage: Stage, refs: dict[str, str]) -> None:
    """A builds/ branch ends in its branch's tree and has only ever gone up."""
    remote = Repository(stage.remote.path)
    for release in RELEASES:
        tip = refs[f"refs/heads/builds/f{release}"]
        assert remote.commit(tip).tree == remote.commit(refs[f"refs/heads/f{release}"]).tree
        chain: list[Any] = []
        base = stage.linux.rev("v4.15")
        while tip != base:
            tip, build = remote.commit(tip).parents
            chain.append(newest(remote, "", build, ""))
        assert chain and all(newer > older for newer, older in itertools.pairwise(chain))
