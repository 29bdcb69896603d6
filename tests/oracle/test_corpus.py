"""corpus-check on a small history: it counts what is there, and it does see a difference."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from converter.mailbox.mail import Mail, parse
from tests.oracle import corpus

ROOT = Path(__file__).parent.parent.parent
DIFF = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n"
MAIL = b"From: A U Thor <author@example.com>\nDate: 1 Jan 2018 10:00:00 +0100\nSubject: s\n\n"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Two mails and a raw diff, one of them compressed, one replaced by a second commit."""
    path = tmp_path / "pkg-git"
    path.mkdir()

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=path, check=True)

    git("init", "-q")
    (path / "mail.patch").write_bytes(MAIL + b"---\n" + DIFF)
    (path / "raw.diff.gz").write_bytes(gzip.compress(DIFF + DIFF.replace(b"/f", b"/g")))
    (path / "broken.patch").write_bytes(DIFF[:-4])
    git("add", ".")
    git("commit", "-q", "-m", "one")
    (path / "mail.patch").write_bytes(MAIL.replace(b"From:", b"Form:") + DIFF)
    git("commit", "-q", "-a", "-m", "two")
    return path


def test_everything_is_counted(mirror: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracle.corpus", mirror], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    counts = corpus.check(mirror, corpus.patch_blobs(mirror)).counts
    assert counts["files"] == 4
    assert counts["raw diffs"] == 2
    assert counts["mails"] == 2
    assert counts["mail equal"] == counts["mail refused by both: empty ident name"] == 1
    assert counts["hunks for git"] == 1 + 2
    assert counts["hunks for patch"] == 1 + 2 + 1
    assert sum(n for what, n in counts.items() if "diff refused by both" in what) == 2


def test_a_difference_is_reported(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(mail: bytes) -> Mail:
        return replace(parse(mail), message=b"something else\n")

    monkeypatch.setattr(corpus, "parse", wrong)
    tally = corpus.check(mirror, corpus.patch_blobs(mirror))
    assert [what for _, what in tally.differences] == ["mail 1: differs in message"]
