"""Keys and specs under two accounts: ``srcgit listen --no-convert`` and ``srcgit work``. Needs root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from converter.odb import Repository
from service.config import load
from service.journal import Journal
from tests.broker import Broker
from tests.builders import Source, sample
from tests.configuration import kernel, listening, table
from tests.converter.test_signing import make_key
from tests.hub import Hub
from tests.service.test_bus import ROOT, until
from tests.service.test_pipeline import NEXT, TODAY

# Who has the keys, who meets specs: ssh-keygen wants accounts that there are.
OURS, ITS = pwd.getpwnam("daemon"), pwd.getpwnam("nobody")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts processes of two accounts")


def own(path: Path, user: pwd.struct_passwd, group: pwd.struct_passwd, mode: int) -> Path:
    """Give ``path``, made where it is not there, and all below it, to an account."""
    if not path.exists():
        path.mkdir()
    for each in (path, *path.rglob("*")):
        os.chown(each, user.pw_uid, group.pw_gid, follow_symlinks=False)
    path.chmod(mode)
    return path


def start(user: pwd.struct_passwd, output: Path, *words: str | Path) -> subprocess.Popen[bytes]:
    """Start srcgit as ``user``, as the units of the role do."""
    group = f"--regid={user.pw_gid}", f"--groups={ITS.pw_gid}"
    account = ["setpriv", f"--reuid={user.pw_uid}", *group]
    command = 'umask 002; exec "$@"'
    with output.open("wb") as said:
        return subprocess.Popen(
            [*account, "sh", "-c", command, "sh", sys.executable, "-m", "service.cli", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


@pytest.mark.timeout(600)
def test_what_one_account_converts_the_other_signs_and_publishes(
    broker: Broker, reached: Path
) -> None:
    made = sample(reached)
    public = own(Source(reached / "public.git").path, OURS, OURS, 0o755)
    state = own(reached / "state", OURS, OURS, 0o755)
    for name in ("converting", "mirrors", "lookaside"):
        own(state / name, ITS, ITS, 0o755)
    journal = own(state / "journal", OURS, ITS, 0o2770) / "journal.sqlite"
    keys = own(reached / "keys", OURS, OURS, 0o700)
    key = make_key(keys / "key")
    own(keys, OURS, OURS, 0o700)
    broker.queue("accounts", "org.fedoraproject.#")
    broker.queue("accounts-told", "srcgit.#")
    with Hub() as hub:
        builds = [
            hub.add(nvr, commit=commit, target="f41-candidate")
            for nvr, commit in ((TODAY, made.today), (NEXT, made.next))
        ]
        url = f"sqlite:///{journal}"
        common = table(state=state, journal=url, koji=hub.url)
        where = {"pkg_git": made.pkg_git.path, "upstreams": [made.linux.path]}
        with_keys, without = reached / "keys.toml", reached / "work.toml"
        signing = table("signing", key=key)
        with_keys.write_text(
            listening(broker, "accounts") + common + signing + kernel(**where, push=[public])
        )
        without.write_text(common + kernel(**where))
        said = [reached / "listen.log", reached / "work.log"]
        running = [
            start(OURS, said[0], "listen", "--no-convert", "--config", with_keys),
            start(ITS, said[1], "work", "--config", without),
        ]
        try:
            for number, build in enumerate(builds, 1):
                broker.send(hub.message(build))
                until(lambda: broker.length("accounts-told") >= number, 240)  # noqa: B023
            for process in running:
                process.send_signal(signal.SIGTERM)
            assert [process.wait(60) for process in running] == [0, 0]
        except AssertionError:
            print(*(path.read_text() for path in said))
            raise
        finally:
            for process in running:
                process.kill()
                process.wait()
    signers = load(with_keys).signing.signers("srcgit@srcgit.invalid")
    there = Repository(public)
    tags = there.refs("refs/tags/")
    assert signers and set(tags) == {f"refs/tags/{nvr}" for nvr in (TODAY, NEXT)}
    assert all(signers.verifies(there.tag_data(tag) or b"") for tag in tags.values())
    told = broker.take("accounts-told")
    assert [body["nvr"] for _, body in told] == [TODAY, NEXT]
    assert told[1][1]["previous"] == TODAY
    rows = Journal(url)
    assert rows.counts() == {"done": 2}
    rows.close()
    # Nothing in the published repository is the other account's, or for it to write.
    for path in (state / "kernel.git").rglob("*"):
        status = path.lstat()
        assert (
            status.st_uid == OURS.pw_uid
            and status.st_gid == OURS.pw_gid
            and not status.st_mode & 0o002
        ), path
    assert {path.lstat().st_uid for path in (state / "converting").rglob("*")} == {ITS.pw_uid}
    shutil.rmtree(state)
