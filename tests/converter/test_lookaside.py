"""The lookaside cache, against a real http server that breaks off, lies and refuses."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from converter.archives.lookaside import (
    FEDORA,
    Lookaside,
    Pruned,
    Source,
    metadata,
    pointer,
    prune,
    sources,
)
from converter.errors import CannotConvert, ChecksumDiffers, RemoteUnavailable, WrongUsage
from tests.httpfiles import HttpFiles

DATA = random.Random(1).randbytes(3 << 20)
SHA = hashlib.sha512(DATA).hexdigest()
SOURCE = Source(b"demo-1.2.tar.xz", "sha512", SHA)
PATH = f"/pkgs/demo/demo-1.2.tar.xz/sha512/{SHA}/demo-1.2.tar.xz"


@pytest.fixture
def server() -> Iterator[HttpFiles]:
    with HttpFiles() as http:
        http.files[PATH] = DATA
        yield http


@pytest.fixture
def lookaside(server: HttpFiles, tmp_path: Path) -> Lookaside:
    template = FEDORA.replace("https://src.fedoraproject.org/repo/pkgs/rpms", f"{server.url}/pkgs")
    return Lookaside(template, tmp_path / "kept")


def left(lookaside: Lookaside) -> list[str]:
    return sorted(p.name for p in lookaside.cache.rglob("*") if p.is_file())


def test_both_formats_of_sources() -> None:
    md5, sha = "0" * 32, "AB" * 64
    listed = sources(
        f"{md5}  old-1.tar.gz\nSHA512 (new (beta) 2.tar.xz) = {sha}\nMD5 (c.zip) = {md5}\n"
        f"# {md5}  no\n\nSHA512 (../../etc/passwd) = {sha}\nSHA512 (short) = abc\nnonsense\n"
        f"SHA256 (liar) = {sha}\n{md5}  ..\n".encode()
    )
    assert listed == {
        b"old-1.tar.gz": Source(b"old-1.tar.gz", "md5", md5),
        b"new (beta) 2.tar.xz": Source(b"new (beta) 2.tar.xz", "sha512", sha.lower()),
        b"c.zip": Source(b"c.zip", "md5", md5),
    }


def test_rhels_list() -> None:
    sha1 = "ab" * 20
    listed = metadata(
        f"{sha1} SOURCES/demo-1.2.tar.xz\n{sha1}  x.zip\n{sha1} SOURCES/../y\n".encode()
    )
    assert listed == {
        b"demo-1.2.tar.xz": Source(b"demo-1.2.tar.xz", "sha1", sha1),
        b"x.zip": Source(b"x.zip", "sha1", sha1),
    }


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize %d\n"


def test_a_pointer_of_git_lfs() -> None:
    sha = "ab" * 32
    assert pointer(b"a.tar", POINTER % (sha.encode(), 12)) == Source(b"a.tar", "sha256", sha, 12)
    assert pointer(b"a.tar", POINTER.replace(b"oid", b"ext-0-x sha256:0\noid") % (sha.encode(), 12))
    assert pointer(b"a.tar", b"version https://git-lfs.github.com/spec/v1\n") is None
    assert pointer(b"a.tar", POINTER % (sha.encode(), 12) + b"x" * 2000) is None


def test_what_a_pointer_stands_for_comes_from_the_repositorys_server(
    lookaside: Lookaside, server: HttpFiles
) -> None:
    sha = hashlib.sha256(DATA).hexdigest()
    source = Source(b"a.tar", "sha256", sha, len(DATA))
    server.files["/o/1"] = DATA
    download = {"href": f"{server.url}/o/1", "header": {"X-Token": "t"}}
    server.answers["/xen.git/info/lfs/objects/batch"] = {
        "objects": [{"actions": {"download": download}}]
    }
    path = lookaside.fetch("xen", source, repository=f"{server.url}/xen")
    assert path.read_bytes() == DATA
    [(_, question)] = server.posted
    assert question == {
        "operation": "download", "transfers": ["basic"], "objects": [{"oid": sha, "size": len(DATA)}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        {"objects": [{"error": {"code": 404, "message": "x"}}]}, {"objects": []}, [], {},
        {"objects": [{"actions": {"download": {"href": "file:///etc/passwd"}}}]},
    ],
)  # fmt: skip
def test_a_server_of_git_lfs_that_lacks_it(
    lookaside: Lookaside, server: HttpFiles, answer: object
) -> None:
    server.answers["/xen.git/info/lfs/objects/batch"] = answer
    with pytest.raises(CannotConvert, match="has no object"):
        lookaside.fetch(
            "xen", Source(b"a", "sha256", "0" * 64, 1), repository=f"{server.url}/xen.git"
        )


def test_a_server_without_git_lfs(lookaside: Lookaside, server: HttpFiles) -> None:
    with pytest.raises(CannotConvert, match="no such service"):
        lookaside.fetch("xen", Source(b"a", "sha256", "0" * 64, 1), repository=f"{server.url}/xen")


def test_fetched_once_and_kept_by_checksum(lookaside: Lookaside, server: HttpFiles) -> None:
    path = lookaside.fetch("demo", SOURCE)
    assert path.read_bytes() == DATA and path.name == SHA
    assert lookaside.fetch("demo", SOURCE) == path
    assert server.asked == [(PATH, None)]


def test_names_are_quoted(lookaside: Lookaside) -> None:
    assert lookaside.address("gtk+", Source(b"a b+\xff.tar", "md5", "0" * 32)).endswith(
        f"/gtk%2B/a%20b%2B%FF.tar/md5/{'0' * 32}/a%20b%2B%FF.tar"
    )


def test_goes_on_where_it_broke_off(lookaside: Lookaside, server: HttpFiles) -> None:
    server.break_off(1000, 0, 500_000)
    assert lookaside.fetch("demo", SOURCE).read_bytes() == DATA
    assert [wanted for _, wanted in server.asked] == [
        None,
        "bytes=1000-",
        "bytes=1000-",
        "bytes=501000-",
    ]


def test_goes_on_in_the_next_run(lookaside: Lookaside, server: HttpFiles) -> None:
    server.break_off(2_000_000, *[0] * 5)
    with pytest.raises(RemoteUnavailable, match="does not answer") as caught:
        lookaside.fetch("demo", SOURCE)
    assert caught.value.exit_code == 4
    server.asked.clear()
    assert lookaside.fetch("demo", SOURCE).read_bytes() == DATA
    assert server.asked == [(PATH, "bytes=2000000-")]


def test_a_server_without_ranges(lookaside: Lookaside, server: HttpFiles) -> None:
    server.break_off(70_000)
    server.forget_ranges(1)
    assert lookaside.fetch("demo", SOURCE).read_bytes() == DATA
    assert len(server.asked) == 2


@pytest.mark.parametrize("rest", [b"wrong", DATA + b"longer"], ids=["shorter", "longer"])
def test_a_wrong_part_is_dropped(lookaside: Lookaside, rest: bytes, server: HttpFiles) -> None:
    kept = lookaside.fetch("demo", SOURCE)
    kept.rename(kept.with_name(kept.name + ".part"))
    kept.with_name(kept.name + ".part").write_bytes(rest)
    assert lookaside.fetch("demo", SOURCE).read_bytes() == DATA
    assert len(server.asked) == 3


def test_another_content_is_refused(lookaside: Lookaside, server: HttpFiles) -> None:
    server.files[PATH] = DATA[:-1] + b"x"
    with pytest.raises(ChecksumDiffers, match="is not the file that sources names") as caught:
        lookaside.fetch("demo", SOURCE)
    assert caught.value.exit_code == 1
    assert left(lookaside) == [f"{SHA}.lock"]
    assert len(server.asked) == 1


def test_md5_of_old_commits(lookaside: Lookaside, server: HttpFiles) -> None:
    md5 = hashlib.md5(DATA).hexdigest()
    server.files[f"/pkgs/demo/a.tar/md5/{md5}/a.tar"] = DATA
    assert lookaside.fetch("demo", Source(b"a.tar", "md5", md5)).read_bytes() == DATA


@pytest.mark.parametrize("status, error", [(404, CannotConvert), (503, RemoteUnavailable), (429, RemoteUnavailable)])  # fmt: skip
def test_refusals(
    lookaside: Lookaside, server: HttpFiles, status: int, error: type[Exception]
) -> None:
    server.refuse(status)
    with pytest.raises(error, match=str(status)):
        lookaside.fetch("demo", SOURCE)


def test_nobody_listens(lookaside: Lookaside, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnavailable, match="Connection refused"):
        Lookaside("http://127.0.0.1:9/%{filename}", tmp_path).fetch("demo", SOURCE)


def test_redirects_lead_to_http_only(lookaside: Lookaside, server: HttpFiles) -> None:
    server.redirect(f"{server.url}{PATH}")
    assert lookaside.fetch("demo", SOURCE).read_bytes() == DATA
    for elsewhere in ("file:///etc/passwd", "ftp://example.com/x"):
        server.redirect(elsewhere)
        other = Source(SOURCE.file, "md5", "0" * 32)
        with pytest.raises(CannotConvert, match="not http"):
            lookaside.fetch("demo", other)


def test_endless_redirects(lookaside: Lookaside, server: HttpFiles) -> None:
    server.redirect(*[f"{server.url}{PATH}"] * 20)
    with pytest.raises(RemoteUnavailable, match="redirects"):
        lookaside.fetch("demo", SOURCE)


def test_too_much_is_not_taken(lookaside: Lookaside, server: HttpFiles, tmp_path: Path) -> None:
    small = Lookaside(lookaside.template, tmp_path / "small", limit=1 << 20)
    with pytest.raises(CannotConvert, match="more than 1048576 bytes"):
        small.fetch("demo", SOURCE)
    assert all(p.stat().st_size <= 1 << 20 for p in small.cache.rglob("*") if p.is_file())


def _fetch(lookaside: Lookaside) -> bytes:
    return hashlib.sha512(lookaside.fetch("demo", SOURCE).read_bytes()).digest()


def test_many_processes_fetch_once(lookaside: Lookaside, server: HttpFiles) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert {digest.hex() for digest in pool.map(_fetch, [lookaside] * 8)} == {SHA}
    assert len(server.asked) == 1
    assert left(lookaside) == [SHA, f"{SHA}.lock"]


@pytest.mark.parametrize("layout", ["demo-1.2.tar.xz", PATH.removeprefix("/pkgs/")])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_directory(tmp_path: Path, layout: str, form: str) -> None:
    file = tmp_path / "here" / layout
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    local = Lookaside(form.format(tmp_path / "here"), tmp_path / "kept")
    assert local.fetch("demo", SOURCE) == file
    file.write_bytes(b"other")
    with pytest.raises(ChecksumDiffers):
        local.fetch("demo", SOURCE)
    file.unlink()
    with pytest.raises(CannotConvert, match=r"has no demo-1\.2\.tar\.xz"):
        local.fetch("demo", SOURCE)


@pytest.mark.parametrize("template", ["ftp://example.com/%{filename}", "https://x/%{nevra}"])
def test_no_lookaside_cache(template: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="not a lookaside cache"):
        Lookaside(template, tmp_path)


def test_what_was_not_used_for_longest_goes(lookaside: Lookaside, server: HttpFiles) -> None:
    kept = {}
    for name, days in (("old", 9), ("older", 12), ("new", 2), ("today", 0)):
        data = name.encode() * 100
        source = Source(name.encode(), "sha512", hashlib.sha512(data).hexdigest())
        server.files[f"/pkgs/demo/{name}/sha512/{source.hash}/{name}"] = data
        kept[name] = lookaside.fetch("demo", source)
        when = time.time() - days * 86400
        os.utime(kept[name], (when, when))
    part = kept["old"].with_name("0" * 128 + ".part")
    part.write_bytes(b"x" * 50)
    os.utime(part, (0, 0))
    assert prune(lookaside.cache, 10_000) == Pruned(0, 1650, 0)
    assert prune(lookaside.cache, 1200) == Pruned(2, 1100, 550)
    assert [name for name, path in kept.items() if not path.exists()] == ["older"]
    # used again, it is no longer the oldest; and what is in use today stays
    lookaside.fetch("demo", Source(b"old", "sha512", kept["old"].name))
    assert prune(lookaside.cache, 0) == Pruned(1, 800, 300)
    assert not kept["new"].exists() and kept["today"].exists()
    assert lookaside.fetch("demo", Source(b"new", "sha512", kept["new"].name)).exists()
