"""A machine that cannot write, and what is damaged on it: named, exit 5 or "not well", no parked build."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from converter.errors import CannotWork, Fate
from converter.git import Git
from service.config import Retry, load
from service.database import JournalUnusable
from service.journal import Journal, Row
from service.machine import troubles
from service.pipeline import pipeline
from service.worker import Worker
from tests.builders import Sample
from tests.hub import Hub
from tests.service.test_bus import ROOT
from tests.service.test_cli import srcgit
from tests.service.test_disk import on_small_disk
from tests.service.test_pipeline import TODAY, Site


@pytest.fixture
def site(tmp_path: Path, made: Sample, hub: Hub) -> Site:
    """A site with repositories of its own, which may be damaged, and one build published."""
    for name in ("linux", "pkg_git"):
        shutil.copytree(getattr(made, name).path, tmp_path / f"{name}.git")
    hub.add(TODAY, commit=made.today, target="f41-candidate")
    site = Site(tmp_path, made, hub)
    text = site.path.read_text()
    for name in ("linux", "pkg_git"):
        text = text.replace(str(getattr(made, name).path), str(tmp_path / f"{name}.git"))
    site.path.write_text(text)
    site.config = load(site.path)
    return site


def wrong(site: Site) -> list[str]:
    journal = Journal(site.config.journal)
    try:
        return troubles(site.config, journal)
    finally:
        journal.close()


def cut(repository: Path) -> None:
    """Let the pack of ``repository`` end in its middle."""
    Git(repository).run("gc", "--quiet")
    for pack in (repository / "objects/pack").glob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:50])


@pytest.mark.parametrize("which", ["linux", "pkg_git"])
def test_a_build_is_not_parked_for_damage(site: Site, tmp_path: Path, which: str) -> None:
    cut(tmp_path / f"{which}.git")
    fate, facts = site.convert(TODAY)
    assert fate is Fate.STOP, facts
    assert facts["error"]["class"] == "RepositoryDamaged"
    assert facts["error"]["where"] == str(tmp_path / f"{which}.git")
    assert "git fsck" in facts["error"]["next"]


def test_an_attempt_without_an_end_on_an_object_that_is_cut_off(
    site: Site, tmp_path: Path, made: Sample
) -> None:
    """libgit2 1.9 reads such an object for ever; the attempt ends with its time, and says why."""
    journal = Journal(site.config.journal)
    journal.add(Row(TODAY, "kernel", "kernel f41"))
    linux = tmp_path / "linux.git"
    commit = Git(linux).run("rev-parse", "v6.12.8^{commit}").stdout.decode().strip()
    content = Git(linux).run("cat-file", "commit", commit).stdout
    for path in (linux / "objects/pack").iterdir():
        path.unlink()
    loose = linux / "objects" / commit[:2] / commit[2:]
    loose.parent.mkdir(exist_ok=True)
    whole = zlib.compress(b"commit %d\0" % len(content) + content)
    loose.unlink(missing_ok=True)
    loose.write_bytes(whole[: len(whole) // 2])
    worker = Worker(
        "w", journal, pipeline(site.config), lease=300, timeout=20, retry=Retry(), idle=0.1
    )
    with pytest.raises(CannotWork, match="is cut off"):
        worker.step(threading.Event())
    row = journal.find(TODAY)
    journal.close()
    assert row and row.state == "waiting" and row.attempts == 0


def test_the_result_that_is_damaged_stops_the_work(site: Site) -> None:
    assert site.convert(TODAY)[0] is Fate.DONE
    assert wrong(site) == []
    repo = site.config.packages["kernel"].repo
    for pack in (repo / "objects/pack").glob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:50])
    fate, facts = site.convert(TODAY)
    assert (fate, facts["error"]["where"]) == (Fate.STOP, str(repo))
    assert any(f"{repo} is damaged: its pack-" in line for line in wrong(site))


def test_status_tells_of_a_lender_that_is_gone(site: Site, tmp_path: Path) -> None:
    assert site.convert(TODAY)[0] is Fate.DONE
    (tmp_path / "linux.git").rename(tmp_path / "elsewhere.git")
    package = site.config.packages["kernel"]
    assert wrong(site) == [
        f"kernel: {repo} is damaged: it borrows objects of {tmp_path}/linux.git, which is not there"
        for repo in (package.repo, site.config.converting(package))
    ]


def test_status_tells_of_a_lender_that_lacks_objects(site: Site, tmp_path: Path) -> None:
    assert site.convert(TODAY)[0] is Fate.DONE
    linux = Git(tmp_path / "linux.git")
    for ref in linux.run("for-each-ref", "--format=%(refname)").stdout.decode().split():
        linux.run("update-ref", "-d", ref)
    linux.run("gc", "--quiet", "--prune=now")
    found = wrong(site)
    assert len(found) == 2  # of what is published, and of where it is converted
    for told in found:
        assert "1 commits are missing that it borrows of" in told
        assert str(tmp_path / "linux.git") in told


def test_status_on_a_full_disk(site: Site, tmp_path: Path) -> None:
    """A journal that can be read, and repositories: nothing is well where nothing can be written."""
    assert site.convert(TODAY)[0] is Fate.DONE
    Journal(site.config.journal).close()
    state = site.config.state
    program = (
        "import sys, shutil; from pathlib import Path; from service.config import load;"
        "from service.journal import Journal; from service.machine import troubles\n"
        "shutil.copytree(sys.argv[2], sys.argv[3], dirs_exist_ok=True)\n"
        "settings = load(Path(sys.argv[1])); journal = Journal(settings.journal)\n"
        "with open(Path(sys.argv[3], 'filler'), 'wb', buffering=0) as filler:\n"
        " try:\n"
        "  while True: filler.write(bytes(4096))\n"
        " except OSError: pass\n"
        "print(*troubles(settings, journal), sep='\\n')"
    )
    saved = tmp_path / "saved"
    shutil.copytree(state, saved)
    done = subprocess.run(
        [*on_small_disk(state, 4 << 20), sys.executable, "-c", program, site.path, saved, state],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "the journal cannot be written: " in told
    repo = site.config.packages["kernel"].repo
    assert f"kernel: {repo}/objects cannot be written: No space left on device" in told
    assert f"{state} has 0 MiB left" in told


def test_status_of_what_is_read_only(site: Site) -> None:
    assert site.convert(TODAY)[0] is Fate.DONE
    Journal(site.config.journal).close()
    repo = str(site.config.packages["kernel"].repo)
    command = [sys.executable, "-m", "service.cli", "status", "--config", str(site.path)]
    done = subprocess.run(
        ["bwrap", "--dev-bind", "/", "/", "--ro-bind", repo, repo, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1, done.stderr
    line = f"NOT WELL: kernel: {repo}/objects cannot be written: Read-only file system"
    assert line in done.stdout.splitlines()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the journal is damaged: its file is empty"),
        (b"SQLite format 3\0" + bytes(500), "the journal cannot be used: "),
        (b"not a database at all, but long enough for one" * 100, "file is not a database"),
    ],
)
def test_a_journal_that_is_damaged(site: Site, content: bytes, why: str) -> None:
    path = Path(site.config.journal.removeprefix("sqlite:///"))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    for command in (["status"], ["convert", TODAY, "--queue"]):
        _, said = srcgit(*command, "--config", site.path, status=5)
        assert why in said and str(path) in said and said.count("\n") == 1
    assert path.read_bytes() == content


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_wrong_with_the_journal_s_bytes_is_no_bug(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.sqlite"
    url = f"sqlite:///{path}"
    journal = Journal(url)
    for number in range(60):
        journal.add(Row(f"kernel-{number}-1.fc41", "kernel", f"k{number}"))
    for _ in range(20):
        row = journal.claim("me", 100)
        assert row
        journal.settle(row, "failed", "why", {"error": {"what": "x" * 300}}, announce=True)
        journal.sign("me intake", "working")
    journal.close()
    draw = random.Random(seed)
    content = bytearray(path.read_bytes())
    if seed % 3 == 0:
        del content[draw.randrange(1, len(content)) :]
    elif seed % 3 == 1:
        for _ in range(200):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    else:
        page = draw.randrange(len(content) // 4096) * 4096
        content[page : page + 4096] = bytes(4096)
    path.write_bytes(content)
    try:
        journal = Journal(url)
    except CannotWork:
        return
    for work in (
        journal.counts,
        journal.rows,
        journal.signs,
        journal.oldest_due,
        journal.last_done,
        journal.try_to_write,
        lambda: journal.claim("me", 10),
        lambda: journal.to_announce("me", 10),
        lambda: journal.sign("me", "x"),
    ):
        try:
            work()
        except JournalUnusable as error:
            assert error.where
    journal.close()
