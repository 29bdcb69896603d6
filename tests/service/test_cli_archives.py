"""Packages without an upstream in git, as a user converts them: options, exit codes, output."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from converter.build import Nvr
from converter.errors import Fate
from service.config import load
from service.journal import Row
from service.kinds import key
from service.pipeline import pipeline
from tests.builders import Source
from tests.httpfiles import HttpFiles
from tests.service.test_cli import srcgit

SPEC = """\
Name: demo
Version: 1.2
Release: 3%{?dist}
Summary: A demo
License: MIT
Source0: https://example.org/demo-%{version}.tar.gz
Source1: data-3.tar.gz
Patch1: one.patch
%description
A demo.
%prep
%autosetup -p1 -a 1
chmod +x README
%changelog
"""
PATCH = "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-hello\n+bye\n"


def tarball(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


FILES = {
    "demo-1.2.tar.gz": tarball(**{"demo-1.2__README": "hello\n"}),
    "data-3.tar.gz": tarball(data__one="1\n"),
}


@pytest.fixture
def asked(tmp_path: Path) -> str:
    (tmp_path / "lookaside").mkdir()
    for name, data in FILES.items():
        (tmp_path / "lookaside" / name).write_bytes(data)
    listed = "".join(f"SHA512 ({n}) = {hashlib.sha512(d).hexdigest()}\n" for n, d in FILES.items())
    package = Source(tmp_path / "demo.git")
    commit = package.commit(
        {"demo.spec": SPEC, "one.patch": PATCH, "sources": listed}, "demo\n", branch="f41"
    )
    return f"{package.path}#{commit}"


def test_without_an_upstream(asked: str, tmp_path: Path) -> None:
    where = ("--lookaside", tmp_path / "lookaside", "--repo", tmp_path / "result.git")
    out, _ = srcgit("plan", asked)
    assert "base  demo-1.2.tar.gz, the archive itself; upstream's v1.2, or as " in out
    assert "\n      data-3.tar.gz is unpacked in the tree\n" in out
    plan = json.loads(srcgit("plan", asked, "--json")[0])
    assert plan["archives"][0] == {"archive": "demo-1.2.tar.gz", "top": "demo-1.2", "directory": ""}
    out, _ = srcgit("convert", asked, *where)
    assert out.startswith("demo-1.2-3.fc41: 1 patch, 1 commit on demo-1.2.tar.gz (")
    assert "       data-3.tar.gz in data/  (1 added)\n" in out
    done = json.loads(srcgit("convert", asked, *where, "--json")[0])
    assert [a["archive"] for a in done["base"]["archives"]] == ["demo-1.2.tar.gz", "data-3.tar.gz"]


@pytest.mark.parametrize(
    "options, status, said",
    [
        (["--no-archives"], 2, "no upstream repository is known"),
        (["--no-archives", "--archive"], 2, "exclude each other"),
        (["--lookaside", "ftp://x"], 2, "not a lookaside cache"),
        (["--lookaside", "/nowhere"], 1, "the lookaside cache has no demo-1.2.tar.gz"),
        (["--lookaside", "http://127.0.0.1:9/%{filename}"], 4, "does not answer"),
    ],
)
def test_exit_codes(asked: str, tmp_path: Path, options: list[str], status: int, said: str) -> None:
    _, error = srcgit("convert", asked, "--repo", tmp_path / "r.git", *options, status=status)
    assert said in error and error.count("\n") == 1


def test_the_configured_lookaside_cache(asked: str, tmp_path: Path) -> None:
    with HttpFiles() as http:
        http.files |= {f"/demo/{name}": data for name, data in FILES.items()}
        config = tmp_path / "srcgit.toml"
        config.write_text(
            f'[consumer_config]\nstate = "{tmp_path}/state"\n'
            f'lookaside = "{http.url}/%{{name}}/%{{filename}}"\n'
        )
        srcgit("convert", asked, "--repo", tmp_path / "r.git", "--config", config)
        assert len(http.asked) == 2
    kept = [p for p in (tmp_path / "state/lookaside").rglob("*") if p.suffix == "" and p.is_file()]
    assert sorted(p.read_bytes() for p in kept) == sorted(FILES.values())
    http_again = tmp_path / "again.git"
    srcgit("convert", asked, "--repo", http_again, "--config", config)  # from what was kept


def test_the_daemon_converts_what_has_no_upstream(asked: str, tmp_path: Path) -> None:
    location, _, commit = asked.rpartition("#")
    config = tmp_path / "srcgit.toml"
    nvr = "demo-1.2-3.fc41"
    with HttpFiles() as http:
        config.write_text(
            f'[consumer_config]\nstate = "{tmp_path}/state"\n'
            f'lookaside = "{http.url}/%{{filename}}"\n'
            f'[consumer_config.packages.demo]\npkg_git = "{location}"\n'
        )
        convert = pipeline(load(config))
        row = Row(nvr, "demo", key(Nvr.parse(nvr)), commit=commit, via="queue")
        http.refuse(503)
        outcome = convert(row, lambda stage: None)
        assert (outcome.fate, outcome.evidence["error"]["class"]) == (
            Fate.LATER,
            "RemoteUnavailable",
        )
        http.files |= {f"/{name}": data for name, data in FILES.items()}
        outcome = convert(row, lambda stage: None)
    assert (outcome.fate, outcome.evidence["base"]) == (Fate.DONE, "demo-1.2.tar.gz")


@pytest.mark.usefixtures("scratch")
def test_with_what_prep_does_besides(asked: str, tmp_path: Path) -> None:
    where = ("--lookaside", tmp_path / "lookaside", "--repo", tmp_path / "r.git")
    out, _ = srcgit("convert", asked, *where, "--with-prep")
    assert "       %prep changes 1 files besides (" in out
    done = json.loads(srcgit("convert", asked, *where, "--with-prep", "--json")[0])
    assert done["prep"]["steps"] == [{"command": "chmod +x README", "files": 1}]
    out, _ = srcgit("verify", asked, *where)
    assert out.startswith("demo-1.2-3.fc41: verified: yes\n")
    _, error = srcgit("convert", asked, *where, "--with-prep", "--no-sandbox", status=2)
    assert "only in the sandbox" in error


def test_a_file_that_is_not_the_one_named(asked: str, tmp_path: Path) -> None:
    (tmp_path / "lookaside/demo-1.2.tar.gz").write_bytes(FILES["data-3.tar.gz"])
    where = ("--lookaside", tmp_path / "lookaside", "--repo", tmp_path / "r.git")
    _, error = srcgit("convert", asked, *where, status=1)
    assert "is not the file that sources names" in error


def test_maintain_tidies_up_what_was_fetched(tmp_path: Path) -> None:
    kept = tmp_path / "state/lookaside/sha512/00" / ("0" * 128)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * 2000)
    os.utime(kept, (0, 0))
    config = tmp_path / "config.toml"
    for gigabytes, removed in (("1", 0), ("0.000001", 1)):
        config.write_text(
            f'[consumer_config]\nstate = "{tmp_path}/state"\nlookaside_gigabytes = {gigabytes}\n'
        )
        said = json.loads(srcgit("maintain", "--config", config)[0].splitlines()[-1])
        assert (said["removed"], kept.exists()) == (removed, not removed)
