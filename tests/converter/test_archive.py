"""Archives as members: real tar and zip decide what is right; hostile ones are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from converter.archives import archive
from converter.archives.archive import members
from converter.errors import ArchiveRefused

Read = dict[bytes, tuple[str, bytes]]


def read(data: bytes, tmp_path: Path, name: str = "demo.tar") -> Read:
    """Return path -> (mode as git's, content or target) of the files and links."""
    file = tmp_path / name
    file.write_bytes(data)
    found: Read = {}
    for member in members(file, name.encode()):
        content = b"".join(member.parts)
        assert len(content) == member.size
        if member.kind == "link":
            found[member.path] = ("link", member.target)
        elif member.kind == "hard link":
            found[member.path] = found[member.target]
        elif member.kind == "file":
            found[member.path] = ("755" if member.executable else "644", content)
    return found


def on_disk(top: Path) -> Read:
    """Return the same of a directory."""
    found: Read = {}
    for here, directories, names in os.walk(os.fsencode(top)):
        for name in names + [d for d in directories if os.path.islink(os.path.join(here, d))]:
            path = os.path.join(here, name)
            inside = os.path.relpath(path, os.fsencode(top))
            if os.path.islink(path):
                found[inside] = ("link", os.readlink(path))
            else:
                with open(path, "rb") as file:
                    executable = os.lstat(path).st_mode & stat.S_IXUSR
                    found[inside] = ("755" if executable else "644", file.read())
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    long = "/".join(["directory-with-a-long-name"] * 6)
    for name, content in {
        "demo/README": b"read me\n",
        "demo/empty": b"",
        "demo/big": os.urandom(300_000),
        "demo/block": b"x" * 512,
        f"demo/{long}/file": b"deep\n",
        "demo/a name\nwith a line": b"1\n",
        'demo/\u00fcml\u00e4ut "quoted" back\\slash': b"2\n",
        "demo/" + "n" * 255: b"3\n",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    with open(os.path.join(os.fsencode(top), b"demo", b"latin-\xe9"), "wb") as file:
        file.write(b"4\n")
    (top / "demo/run").write_bytes(b"#!/bin/sh\n")
    (top / "demo/run").chmod(0o755)
    (top / "demo/others").write_bytes(b"x by others\n")
    (top / "demo/others").chmod(0o611)
    (top / "demo/link").symlink_to("README")
    (top / "demo/up").symlink_to("../demo/run")
    (top / "demo/long-link").symlink_to("x/" * 100)
    (top / "demo/again").hardlink_to(top / "demo/README")
    return top


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "ustar", "v7"])
def test_what_tar_packs_is_what_tar_unpacks(tree: Path, tmp_path: Path, form: str) -> None:
    long = [] if form in ("gnu", "oldgnu", "pax") else ["--exclude=*long*", "--exclude=nnn*"]
    command = ["tar", f"--format={form}", "-C", str(tree), *long, "-c", "demo"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xof", "-"], input=data, cwd=out, check=True)
    subprocess.run(["chmod", "-Rf", "a+rX,u+w,g-w,o-w", "."], cwd=out, check=True)  # as %setup
    assert read(data, tmp_path) == on_disk(out)
    assert len(on_disk(out)) >= 12


def lzip(data: bytes) -> bytes:
    """One member, as lzip(1) writes it: its manual, "File format"."""
    lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}
    coded = lzma.compress(data, lzma.FORMAT_RAW, filters=[lzma1])
    size = 6 + len(coded) + 20
    sums = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(8, "little")
    return b"LZIP\x01\x14" + coded + sums + size.to_bytes(8, "little")


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=1),
    "zst": zstandard.compress,
    "lz": lzip,
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_compressed_in_one_part_and_in_several(
    tree: Path, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    command = ["tar", "-C", str(tree), "-c", "demo"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    expected = read(data, tmp_path)
    assert read(pack(data), tmp_path, "whatever") == expected
    middle = len(data) // 2
    if pack is not PACKERS["lzma"]:  # which has no end that could be found
        assert read(pack(data[:middle]) + pack(data[middle:]), tmp_path, "twice") == expected
    packed = pack(data)
    with pytest.raises(ArchiveRefused, match="cut"):
        read(packed[: len(packed) // 2], tmp_path, "cut")


def test_xz_with_zeros_behind_it(tmp_path: Path) -> None:
    data = packed(("a", b"1"))
    assert read(lzma.compress(data) + bytes(8), tmp_path) == {b"a": ("644", b"1")}


# -- made by hand ------------------------------------------------------------------------------


def packed(*entries: tuple[str, bytes] | tuple[str, bytes, bytes], pax: bool = False) -> bytes:
    """Return a tar of (name, content) or (name, tar's type, target)."""
    buffer = io.BytesIO()
    form = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content, *target in entries:
            info = tarfile.TarInfo(name)
            if target:
                info.type, info.linkname = content, target[0].decode()
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sized(kind: bytes, size: int) -> bytes:
    """Return the header of a member that is no file, and says that content follows."""
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


LINK, HARD, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
HOSTILE = {
    "up": (packed(("../evil", b"x")), "leads out"),
    "up inside": (packed(("a/../../evil", b"x")), "leads out"),
    "absolute": (packed(("/etc/passwd", b"x")), "absolute"),
    "git": (packed(("a/.git/hooks/post-checkout", b"x")), r"\.git"),
    "git in capitals": (packed((".GIT/config", b"x")), r"\.git"),
    "git of windows": (packed(("git~1/config", b"x")), r"\.git"),
    "gitmodules": (packed((".gitmodules", LINK, b"x")), "gitmodules"),
    "through a link": (packed(("a", LINK, b"/etc"), ("a/passwd", b"x")), "lies below a link"),
    "through a link made later": (packed(("a/x", b"x"), ("a", LINK, b"/etc")), "both"),
    "below a file": (packed(("a", b""), ("a/b", b"x")), "lies below a file"),
    "file and directory": (packed(("a/b", b""), ("a", b"x")), "both a directory and a file"),
    "hard link out": (packed(("a", HARD, b"../../etc/passwd")), "leads out"),
    "hard link to nothing": (packed(("a", HARD, b"b"), ("b", b"")), "lacks"),
    "hard link to itself": (packed(("a", HARD, b"a")), "lacks"),
    "device": (packed(("null", tarfile.CHRTYPE, b"")), "device"),
    "pipe": (packed(("a", tarfile.FIFOTYPE, b"")), "pipe"),
    "git of HFS+": (packed((".git\u200c/config", b"x")), r"\.git"),
    "gitmodules of windows": (packed(("gitmod~1", LINK, b"x")), "gitmodules"),
    "long path": (packed(("a/" * 3000 + "b", b"")), "path of more than 4095 bytes"),
    "deep path": (packed(("a/" * 300 + "b", b"")), "path of more than 200 directories"),
    "long name": (packed(("n" * 256, b"")), "name of more than 255 bytes"),
    "a directory of a terabyte": (sized(b"5", 1 << 40), "more than 16 GiB"),
    "a link of a terabyte": (sized(b"2", 1 << 40), "more than 16 GiB"),
    "a volume's name of a terabyte": (sized(b"V", 1 << 40), "more than 16 GiB"),
    "no name": (packed(("./", b"x"))[:0] + packed((".", b"x")), "without a name"),
    "sparse": (packed(("a", b"S", b"")), "sparse"),
    "empty": (b"", "empty"),
    "no archive": (b"hello\n" * 1000, "not a tar archive"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "7-Zip"),
    "damaged gzip": (gzip.compress(packed(("a", b"x")))[:-20] + b"0" * 20, "demo.tar: "),
    "damaged bzip2": (b"BZh9" + b"0" * 99, "demo.tar: "),
}  # fmt: skip


@pytest.mark.parametrize("data, why", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(ArchiveRefused, match=why) as caught:
        read(data, tmp_path)
    assert caught.value.exit_code == 1 and "demo.tar" in caught.value.what


def test_links_are_text_wherever_they_lead(tmp_path: Path) -> None:
    """As in git, nothing is read or written through them."""
    data = packed(("a", LINK, b"/etc/passwd"), ("b", LINK, b"../../.."))
    assert read(data, tmp_path) == {b"a": ("link", b"/etc/passwd"), b"b": ("link", b"../../..")}


def test_names_are_made_plain(tmp_path: Path) -> None:
    data = packed(("./a//b/./c", b"1"), ("./", DIRECTORY, b""), ("d/", DIRECTORY, b""))
    assert read(data, tmp_path) == {b"a/b/c": ("644", b"1")}


def test_of_the_same_file_twice_the_last_counts(tmp_path: Path) -> None:
    """tar(1) unlinks the first."""
    assert read(packed(("a", b"1"), ("a", b"2")), tmp_path) == {b"a": ("644", b"2")}


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    """Linux has xt_MARK.h and xt_mark.h."""
    assert len(read(packed(("a", b"1"), ("A", b"2")), tmp_path)) == 2


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(*((f"f{n}", b"12345678") for n in range(10)))
    monkeypatch.setattr(archive, "MAX_MEMBERS", 9)
    with pytest.raises(ArchiveRefused, match="more than 9 members"):
        read(data, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_SIZE", 79)
    with pytest.raises(ArchiveRefused, match="unpacks to more"):
        read(data, tmp_path)


def test_a_bomb_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 1 << 40
    bomb = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(ArchiveRefused, match="unpacks to more than 16 GiB"):
        read(bomb, tmp_path)


def header(**changes: int | bytes) -> bytes:
    """Return a pax header block with some of its fields changed, and a sum that is right."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    for place, value in {"kind": 156, "size": 124}.items():
        if place in changes:
            field = changes[place]
            data = field if isinstance(field, bytes) else b"%011o\0" % field
            block[value : value + len(data)] = data
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "data, why",
    [
        (header(kind=b"x", size=1 << 32), "a header of 4294967296 bytes"),
        (header(kind=b"L", size=1 << 20), "a header of 1048576 bytes"),
        (header(kind=b"x", size=0) * 100, "too many headers"),
        (header(size=b"\xff" * 12), "a negative number"),
        (header(size=b"99999999999\0"), "a damaged number"),
        (header(kind=b"x", size=30) + b"999999 path=x\n".ljust(512, b"\0"), "pax header"),
        (header(kind=b"x", size=13) + b"13 atime=1/2\n".ljust(512, b"\0") + header(), "pax header"),
        (header(kind=b"x", size=10) + b"10 uid=+1\n".ljust(512, b"\0") + header(), "pax header"),
        (header(kind=b"x", size=11) + b"11 size=-1\n".ljust(512, b"\0") + header(), "negative"),
        (header() + b"garbage" * 100, "damaged"),
        (header()[:-1], "too early"),
    ],
)  # fmt: skip
def test_damaged_headers(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(ArchiveRefused, match=why):
        read(data, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_damage_anywhere(tree: Path, tmp_path: Path, seed: int) -> None:
    """Where tar unpacks it without a word, it is read as tar does, or refused; else refused."""
    draw = random.Random(seed)
    form = draw.choice(["gnu", "pax", "ustar"])
    files = ["demo/README", "demo/run", "demo/link", "demo/again", "demo/latin-\udce9"]
    command = ["tar", f"--format={form}", "-C", str(tree), "-c", *files]
    whole = bytearray(subprocess.run(command, capture_output=True, check=True).stdout)
    good = 0
    for number in range(60):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3))):
            data[draw.randrange(6000)] = draw.choice((0, 32, 47, 55, 255, draw.randrange(256)))
        out = tmp_path / str(number)
        out.mkdir()
        done = subprocess.run(
            ["tar", "-xof", "-"], input=data, cwd=out, capture_output=True, check=False
        )
        try:
            found = read(bytes(data), tmp_path)
        except ArchiveRefused:
            continue
        assert done.returncode == 0, done.stderr
        subprocess.run(["chmod", "-Rf", "a+rX,u+w,g-w,o-w", "."], cwd=out, check=True)
        assert found == on_disk(out)
        good += 1
    assert good


# -- zip and gem -------------------------------------------------------------------------------


def zipped(*entries: tuple[str, bytes, int], system: int = 3) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name, (2020, 2, 29, 12, 0, 0))
            info.create_system, info.external_attr = system, mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def test_zip_as_unzip_unpacks_it(tmp_path: Path) -> None:
    data = zipped(
        ("demo/", b"", stat.S_IFDIR | 0o755),
        ("demo/README", b"read me\n" * 999, stat.S_IFREG | 0o644),
        ("demo/run", b"#!/bin/sh\n", stat.S_IFREG | 0o755),
        ("demo/link", b"README", stat.S_IFLNK | 0o777),
        ("demo/\u00fcml", b"", stat.S_IFREG | 0o600),
    )
    found = read(data, tmp_path, "demo.zip")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["unzip", "-qq", tmp_path / "demo.zip"], cwd=out, check=True)
    assert found == on_disk(out) and len(found) == 4
    assert {m.mtime for m in members(tmp_path / "demo.zip", b"demo.zip")} == {1582977600}


def test_zip_of_another_system_has_no_modes(tmp_path: Path) -> None:
    assert read(zipped(("a", b"1", 0o120777), system=0), tmp_path) == {b"a": ("644", b"1")}


@pytest.mark.parametrize(
    "entries, why",
    [
        ([("../a", b"", 0)], "leads out"),
        ([("a", b"1", 0), ("./a", b"2", 0)], "there twice"),
        ([("a", b"/etc", stat.S_IFLNK), ("a/b", b"", 0)], "below a link"),
        ([("a", b"x" * 5000, stat.S_IFLNK)], "link of 5000 bytes"),
        ([("a", b"", stat.S_IFCHR)], "device"),
    ],
)
def test_hostile_zips(tmp_path: Path, entries: list[tuple[str, bytes, int]], why: str) -> None:
    with pytest.raises(ArchiveRefused, match=why):
        read(zipped(*entries), tmp_path)


def test_damaged_zips(tmp_path: Path) -> None:
    data = zipped(("a", os.urandom(999), 0))
    for at in range(0, len(data), 7):
        damaged = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        try:
            read(damaged, tmp_path)
        except ArchiveRefused:
            continue
    with pytest.raises(ArchiveRefused):
        read(data[:500], tmp_path)


def test_gem(tmp_path: Path) -> None:
    inner = gzip.compress(packed(("lib/a.rb", b"puts 1\n"), ("lib/b.rb", HARD, b"lib/a.rb")))
    outer = packed(("metadata.gz", b"x"), ("data.tar.gz", inner), ("checksums.yaml.gz", b"x"))
    assert read(outer, tmp_path, "demo-1.2.gem") == {
        b"demo-1.2/lib/a.rb": ("644", b"puts 1\n"),
        b"demo-1.2/lib/b.rb": ("644", b"puts 1\n"),
    }


@pytest.mark.parametrize(
    "name, kind", [("./", DIRECTORY), ("a", DIRECTORY), ("a", b"0"), ("v", b"V")]
)
def test_members_that_say_nothing_new_count_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: bytes
) -> None:
    """A gigabyte of gzip may hold two thousand million of them."""
    monkeypatch.setattr("converter.archives.archive.MAX_MEMBERS", 20)
    with pytest.raises(ArchiveRefused, match="more than 20 members"):
        read(packed(*[(name, kind, b"")] * 21), tmp_path)


def test_the_bytes_of_all_paths_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converter.archives.archive.MAX_NAMES", 1 << 20)
    deep = [(f"{number}/" + "a/" * 190 + "f", b"") for number in range(60)]
    assert len(read(packed(*deep[:20]), tmp_path)) == 20
    with pytest.raises(ArchiveRefused, match="paths have more than 1 MiB"):
        read(packed(*deep), tmp_path)
