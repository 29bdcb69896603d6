"""``python -m tests.service.hosts [MESSAGES]``: chaos on three hosts, with a network that fails. Root.

Each daemon has a network namespace of its own, without even a loopback, linked by a bridge to a
fourth, where broker, PostgreSQL, Koji and the git server are, reached by address. Daemons are killed
and links go down: at random, in the middle of a push, of a message, of a claim, of what the journal
is told. At the end all is as after a calm run.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests import broker, postgres
from tests.httpgit import HttpGit
from tests.hub import Hub
from tests.service.test_chaos import Stage, all_done, all_told, check, play, staged

HERE = "10.77.0.1"
INSIDE = "SRCGIT_HOSTS"
CUTS = (
    "after the row is added, before the ack",
    "after a claim",
    "after the commits, before the tag",
    "after the push",
    "before the journal is settled",
    "after an announcement, before it is marked",
)
DEATHS = ("after a claim", "after the tag, before the push", "after the push")
# A connection that hears nothing is given up in seconds here, not in minutes.
IMPATIENT = "tcp_user_timeout=4000&keepalives_idle=2&keepalives_interval=1&keepalives_count=3"


def ip(*words: str, on: tuple[str, ...] = ()) -> None:
    subprocess.run([*on, "ip", *words], check=True)


class Hosts:
    """Three hosts on a bridge; ``words`` run a command on one of them."""

    def __init__(self) -> None:
        ip("link", "set", "lo", "up")  # of this namespace: Erlang's own
        ip("link", "add", "br0", "type", "bridge")
        ip("address", "add", f"{HERE}/24", "dev", "br0")
        ip("link", "set", "br0", "up")
        self._holders = [subprocess.Popen(["unshare", "--net", "sleep", "inf"]) for _ in range(3)]
        self.words = [("nsenter", f"--target={h.pid}", "--net") for h in self._holders]
        for number, holder in enumerate(self._holders):
            ours = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{holder.pid}/ns/net") == ours:
                time.sleep(0.01)
            eth = "eth0", "netns", str(holder.pid)
            ip("link", "add", f"host{number}", "type", "veth", "peer", "name", *eth)
            ip("link", "set", f"host{number}", "master", "br0", "up")
            on = self.words[number]
            ip("address", "add", f"10.77.0.{11 + number}/24", "dev", "eth0", on=on)
            ip("link", "set", "eth0", "up", on=on)
        self._back: dict[int, float] = {}  # host -> when its link comes back

    def cut(self, number: int) -> None:
        """Take a host off the network."""
        ip("link", "set", "eth0", "down", on=self.words[number])

    def mend(self, chance: random.Random) -> int:
        """Bring back whoever was away for long enough; return how many new ones are away."""
        new = 0
        words = ["ip", "-oneline", "link", "show", "type", "veth"]
        links = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        for number in range(3):
            if re.search(rf"\bhost{number}\b.* state UP ", links):
                continue
            if number not in self._back:
                new += 1
                self._back[number] = time.monotonic() + chance.choice((2.0, 6.0, 12.0))
            elif time.monotonic() > self._back[number]:
                del self._back[number]
                ip("link", "set", "eth0", "up", on=self.words[number])
        return new

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()


@contextmanager
def network() -> Iterator[Hosts]:
    hosts = Hosts()
    try:
        yield hosts
    finally:
        hosts.close()


def cut_in_a_push(stage: Stage, hosts: Hosts) -> None:
    """Have the remote cut the link of whoever pushes next, and then take the push."""
    hook = stage.remote.path / "hooks" / "pre-receive"
    lines = [
        f"10.77.0.{11 + n}) {' '.join(words)} ip link set eth0 down;;"
        for n, words in enumerate(hosts.words)
    ]
    token = stage.remote.path / "cut"
    told = f'if rm "{token}" 2>/dev/null; then case $REMOTE_ADDR in {" ".join(lines)} esac; fi\n'
    hook.write_text(f"{hook.read_text()}{told}")


def disturb(stage: Stage, hosts: Hosts, chance: random.Random, builds: int) -> None:
    tokens = stage.daemons.directory / "tokens"
    for name in CUTS:
        (tokens / f"{name}.0.cut").touch()
    for name in DEATHS:
        (tokens / f"{name}.0").touch()
    in_a_push = stage.remote.path / "cut"
    cut_in_a_push(stage, hosts)
    start = time.monotonic()
    trouble = ["kill", "cut", "push"] * max(1, builds // 8)
    chance.shuffle(trouble)
    cuts, pushes, pause = 0, 0, start + 5
    while time.monotonic() < start + 900:
        stage.daemons.keep_up()
        time.sleep(0.2)
        cuts += hosts.mend(chance)
        now, done = time.monotonic(), all_done(stage, builds)
        if trouble and not done and now > pause and not in_a_push.exists():
            match trouble.pop():
                case "kill":
                    stage.daemons.kill(chance.randrange(3))
                case "cut":
                    hosts.cut(chance.randrange(3))
                case _:
                    in_a_push.touch()
                    pushes += 1
            pause = now + chance.uniform(3, 8)
        if done and not list(tokens.iterdir()) and all_told(stage):
            in_a_push.unlink(missing_ok=True)
            deaths = dict(stage.daemons.deaths)
            print(
                f"{now - start:.0f} s: {cuts} links cut, {pushes} in a push; {deaths}", flush=True
            )
            until = now + 15
            while time.monotonic() < until:  # all hosts back, all daemons up, to be told to stop
                hosts.mend(chance)
                stage.daemons.keep_up()
                time.sleep(0.2)
            return
    left = [token.name for token in tokens.iterdir()]
    raise AssertionError(f"{stage.journal.counts()} {left}\n{stage.daemons.said()[-6000:]}")


def play_on(hosts: Hosts, messages: int) -> None:
    seed = int(os.environ.get("SRCGIT_SEED", time.time_ns() % 10_000))
    print(f"seed {seed}, {messages} messages", flush=True)
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="srcgit-hosts-") as scratch,
        broker.running({"heartbeat": 3}, HERE) as amqp,
        postgres.cluster(HERE) as database,
        Hub(HERE) as hub,
        HttpGit(Path(scratch), address=HERE) as server,
    ):
        with psycopg.connect(database.replace("+psycopg", "") + "postgres", autocommit=True) as sql:
            sql.execute("CREATE DATABASE hosts")
        url = f"{database}hosts?{IMPATIENT}"
        with staged(amqp, url, hub, Path(scratch), server.url, hosts.words) as stage:
            stage.remote.git.run("config", "http.receivepack", "true")
            good, bad = play(stage, messages, chance)
            disturb(stage, hosts, chance, len(good) + len(bad))
            statuses = stage.daemons.end()
            assert statuses == [0, 0, 0], f"{statuses}\n{stage.daemons.said()[-5000:]}"
            start = time.monotonic()
            check(stage, Path(scratch), good, bad)
            print(f"as a calm run of {time.monotonic() - start:.0f} s: all is right, once")


def main() -> None:
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        again = [sys.executable, "-m", "tests.service.hosts", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--net", *again])
    with network() as hosts:
        play_on(hosts, int(sys.argv[1]) if len(sys.argv) > 1 else 60)


if __name__ == "__main__":
    main()
