"""The top commit and the tag: what they add and say, to the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converter.build import SERIES_JSON, Build, Nvr
from converter.errors import CannotConvert
from converter.mirror import Mirror
from converter.objects import Commit, Identity
from converter.pkggit import Origin, Package, PkgGit, Provenance
from converter.references import references
from converter.series import Patched, Written
from converter.top import commit_message, files, series_json, step_json, tag_message, trailers
from specparse.plan import Base, Plan, Skipped, Step, Unrepresented
from tests.builders import Source

WHO = Identity(b"P. Packager", b"p@example.com", b"1500000000 +0000")


def package(tmp_path: Path) -> Package:
    source = Source(tmp_path / "demo.git")
    commit = source.commit({"SPECS/demo.spec": "Name: demo\n"}, "1\n")
    return PkgGit(Mirror(str(source.path), tmp_path)).at(commit)


def plan(**configs: bytes) -> Plan:
    made = {name.encode(): data for name, data in configs.items()}
    base = Base("tag", "v1", "the name")
    return Plan("demo", None, "1", "2", b"SPECS/demo.spec", "x86_64", base, configs=made)


def test_the_top_commit_adds_plain_files_below_fedora(tmp_path: Path) -> None:
    added = files(
        package(tmp_path), plan(**{"z.config": b"Z\n", ".x": b""}), {"b": "é\udcff", "a": 1}
    )
    assert list(added) == sorted(added)
    assert {file.mode for file in added.values()} == {0o100644}
    assert {path: file.data for path, file in added.items()} == {
        b"fedora/configs/.x": b"",
        b"fedora/configs/z.config": b"Z\n",
        b"fedora/demo.spec": b"Name: demo\n",
        SERIES_JSON: '{\n  "b": "é'.encode() + b'\xff",\n  "a": 1\n}\n',
    }


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "../../x", ".git", ".GIT", ".Git"])
def test_a_configuration_file_stays_where_they_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotConvert, match="impossible name"):
        files(package(tmp_path), plan(**{"good": b"", name: b""}), {})


def build(koji_id: int | None = None, variant: str = "") -> Build:
    nvr = Nvr.parse("demo-1-2.fc41")
    return Build(nvr, None, "https://x/demo.git", "c" * 40, "f41", koji_id, variant)


def test_the_top_commit_s_message() -> None:
    told = Commit("1" * 40, "2" * 40, (), WHO, WHO, b"Fix it\n\nAll.\n")
    assert commit_message(build(), told) == b"demo-1-2.fc41\n\nFix it\n\nAll.\n"
    other = commit_message(build(variant="aarch64"), told)
    assert other == b"demo-1-2.fc41 (aarch64)\n\nFix it\n\nAll.\n"


SERIES: dict[str, Any] = {
    "base": {"rev": "v1", "commit": "a" * 40},
    "patches": [{}, {}],
    "series": {"tree": "b" * 40},
    "verified": "not run",
}


def test_series_json_tells_all_of_it() -> None:
    other = Identity(b"O. Other", b"o@example.com", b"1400000000 +0200")
    introduced = Origin("d" * 40, WHO, b"Add it (rhbz 1234567)\n")
    patches = [
        Patched(
            Step(b"a.patch", "git-am", 7, 2, 1, True, b"sub", ("--keep-cr",), b"first"),
            (
                Written(1, other, b"One\n\nCVE-2020-1234\n"),
                Written(2, WHO, b"Two\n", source="9" * 40),
            ),
            offset=3,
            fuzz=1,
        ),
        Patched(Step(b"SOURCES/b.patch", "patch"), (), 0, 0),
    ]
    made = replace(
        plan(),
        base_patches=(b"patch-1.xz",),
        skipped=(Skipped(b"s.patch", "not read"),),
        unrepresented=(Unrepresented("rm x", "changes files"),),
        warnings=("look",),
        comments={b"b.patch": "about b"},
    )
    told = [
        (
            patches[0],
            "b" * 40,
            ["1" * 40, "2" * 40],
            Provenance(introduced, Origin("e" * 40, other, b"")),
        ),
        (patches[1], None, [], None),
    ]
    done = series_json(build(variant="aarch64"), made, {"commit": "0" * 40}, "f" * 40, told)
    nobody = {"introduced": None, "changed": None, "comment": "about b"}
    assert done == {
        "nvr": "demo-1-2.fc41",
        "epoch": None,
        "branch": "f41",
        "pkg_git": {"url": "https://x/demo.git", "commit": "c" * 40},
        "spec": "SPECS/demo.spec",
        "arch": "x86_64",
        "variant": "aarch64",
        "base": {"commit": "0" * 40},
        "base_patches": ["patch-1.xz"],
        "series": {"commit": "2" * 40, "tree": "f" * 40},
        "patches": [
            {
                "patch": "a.patch",
                "number": 7,
                "tool": "git-am",
                "strip": 2,
                "fuzz": 1,
                "reverse": True,
                "directory": "sub",
                "options": ["--keep-cr"],
                "blob": "b" * 40,
                "commits": [
                    {"commit": "1" * 40, "author": "O. Other <o@example.com>", "subject": "One"},
                    {
                        "commit": "2" * 40,
                        "author": "P. Packager <p@example.com>",
                        "subject": "Two",
                        "source": "9" * 40,
                    },
                ],
                "applied": {"offset": 3, "fuzz": 1},
                "introduced": {
                    "commit": "d" * 40,
                    "author": "P. Packager <p@example.com>",
                    "date": "1500000000 +0000",
                },
                "changed": {
                    "commit": "e" * 40,
                    "author": "O. Other <o@example.com>",
                    "date": "1400000000 +0200",
                },
                "comment": "",
                **references(["CVE-2020-1234", "rhbz 1234567"]),
            },
            {
                **step_json(Step(b"SOURCES/b.patch", "patch")),
                "options": [],
                "blob": None,
                "commits": [],
                "applied": {"offset": 0, "fuzz": 0},
                **nobody,
                **references([]),
            },
        ],
        "skipped": [{"patch": "s.patch", "why": "not read"}],
        "unrepresented": [{"command": "rm x", "why": "changes files"}],
        "warnings": ["look"],
        "verified": "not run",
    }
    assert done["patches"][0]["bugs"] == ["CVE-2020-1234", "rhbz#1234567"]
    empty = series_json(build(), plan(), {"commit": "0" * 40}, "f" * 40, [])
    assert empty["series"]["commit"] == "0" * 40 and "variant" not in empty


def test_the_trailers_of_a_tag() -> None:
    assert tag_message(build(), SERIES, "0.1") == (
        b"demo-1-2.fc41\n\n"
        b"Pkg-Git: https://x/demo.git#" + b"c" * 40 + b"\n"
        b"Upstream: v1 " + b"a" * 40 + b"\n"
        b"Patches: 2\n"
        b"Series-Tree: " + b"b" * 40 + b"\n"
        b"Verified: not run\n"
        b"Converter: srcgit 0.1\n"
    )


def test_the_trailers_of_what_not_every_build_has() -> None:
    archives = [{"archive": "x.tar", "commit": "e" * 40}, {"archive": "y.tar", "commit": None}]
    base = {"rev": "v1", "commit": "a" * 40, "upstream": "d" * 40, "archives": archives}
    more = {"base": base, "prep": {"tree": "f" * 40}, "verified": "yes"}
    message = tag_message(build(0, "aarch64"), SERIES | more, "0.1")
    assert list(trailers(message).items()) == [
        ("Pkg-Git", "https://x/demo.git#" + "c" * 40),
        ("Upstream", "v1 " + "d" * 40),
        ("Archive", "x.tar " + "e" * 40),
        ("Koji-Build", "0"),
        ("Variant", "aarch64"),
        ("Patches", "2"),
        ("Series-Tree", "b" * 40),
        ("Prep-Tree", "f" * 40),
        ("Verified", "yes"),
        ("Converter", "srcgit 0.1"),
    ]
    assert trailers(b"x\n\nNo: not these\n\nNone here\nA: b: c\n") == {"A": "b: c"}
