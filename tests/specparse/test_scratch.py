"""Where temporary files lie that the sandbox runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from specparse import scratch
from specparse.plan import SandboxError

real = os.statvfs


@pytest.fixture
def noexec(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths that are mounted noexec, to be filled by a test; every other path is as it is."""
    closed: set[str] = set()

    def statvfs(path: str | Path) -> object:
        found = real(path)
        flags = found.f_flag & ~os.ST_NOEXEC | (os.ST_NOEXEC if str(path) in closed else 0)
        return SimpleNamespace(f_flag=flags, f_bavail=1 << 30, f_frsize=4096)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return closed


def test_a_place_where_programs_run_is_chosen(
    noexec: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert scratch.scratch_root(in_memory=True) == "/dev/shm"
    assert scratch.scratch_root() == "/tmp"
    noexec |= {"/dev/shm", "/tmp"}
    assert scratch.scratch_root(in_memory=True) == "/var/tmp"
    noexec.add("/var/tmp")
    with pytest.raises(SandboxError, match="noexec"):
        scratch.scratch_root()


def test_a_persons_choice_is_kept_or_refused(
    noexec: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert scratch.scratch_root(in_memory=True) == str(tmp_path)
    noexec.add(str(tmp_path))
    with pytest.raises(SandboxError, match="noexec") as refused:
        scratch.scratch_root(in_memory=True)
    assert "TMPDIR" in refused.value.next_step
