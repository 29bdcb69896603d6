"""Patches that depend on the architecture, on build conditions, on the distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import JUSTIN, Source, change, kernel_upstream
from tests.service.test_cli import answer, git, srcgit

SPEC = """\
%bcond_with slow
Name: demo
Version: 4.15
Release: 1%{?dist}
Summary: A demo
License: MIT
Source0: linux-4.15.tar.xz
Patch1: all.patch
Patch2: arm.patch
Patch3: slow.patch
Patch4: rhel.patch
%description
A demo.
%prep
%setup -q -n linux-4.15
%patch -P 1 -p1
%ifarch aarch64
%patch -P 2 -p1
%endif
%if %{with slow}
%patch -P 3 -p1
%endif
%if 0%{?rhel}
%patch -P 4 -p1
%endif
%if "%{?answer}" == "42"
%patch -P 1 -p1 -R
%endif
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Source]:
    room = tmp_path_factory.mktemp("variants")
    linux, package = kernel_upstream(room / "linux.git"), Source(room / "demo.git")
    files: dict[str, bytes | str | None] = {"demo.spec": SPEC, "sources": ""}
    for n, name in enumerate(("all", "arm", "slow", "rhel"), 1):
        path = ("mm/slab.c", "mm/memory.c", "init/main.c", "fs/btrfs/super.c")[n - 1]
        text = change(linux.file("v4.15", path).decode(), n, name)
        files[f"{name}.patch"] = linux.diff(
            "v4.15", linux.commit({path: text}, name, branch="x", parent="v4.15")
        )
    package.commit(files, "demo\n", branch="f28", author=JUSTIN)
    return linux, package


def test_all_variants_are_listed_with_what_differs(made: tuple[Source, Source]) -> None:
    build = f"{made[1].path}#f28"
    told = answer("plan", build, "--variants")
    applied = {
        variant["variant"]: {line.split(".")[0] for line in variant["patches"]}
        for variant in told["variants"]
    }
    assert applied.pop("aarch64") == {"all", "arm"}
    assert applied.pop("--with slow") == {"all", "slow"}
    assert applied.pop("--dist .el10") == {"all", "rhel"}
    assert {"x86_64", "s390x", "--without slow"} <= applied.keys()
    assert set(map(frozenset, applied.values())) == {frozenset({"all"})}
    shown, _ = srcgit("plan", build, "--variants")
    assert "4 different series" in shown
    assert "1 patch is applied alike in all of them" in shown
    table = [line.split() for line in shown.splitlines()]
    assert ["-", "patch", "-p1", "-", "-", "arm.patch"] in table


def test_a_variant_has_a_branch_and_a_tag_of_its_own(
    made: tuple[Source, Source], tmp_path: Path
) -> None:
    linux, package = made
    asked = (f"{package.path}#f28", "--upstream", linux.path, "--repo", tmp_path / "r.git")
    for options, name, patches in (
        ((), "", ["all"]),
        (("--arch", "aarch64"), "aarch64", ["all", "arm"]),
        (("--with", "slow"), "with-slow", ["all", "slow"]),
        (("--arch", "aarch64", "--without", "slow"), "aarch64+without-slow", ["all", "arm"]),
        (("--define", "answer 42"), "answer=42", ["all", "all"]),
    ):
        done = answer("convert", *asked, *options)
        again = answer("convert", *asked, *options)
        assert {**again, "seconds": 0} == {**done, "seconds": 0}
        assert done["tag"] == "demo-4.15-1.fc28" + (f"@{name}" if name else "")
        branch = "-".join(["f28", *([name.replace("+", "-").replace("=", "-")] if name else [])])
        assert done["branch"] == branch
        told = [patch["patch"].removesuffix(".patch") for patch in done["series"]["patches"]]
        assert told == patches
        assert git(tmp_path / "r.git", "rev-parse", f"{done['tag']}^{{commit}}") == done["commit"]
    places = ("--repo", tmp_path / "r.git", "-o", tmp_path / "out")
    back = answer("export", "demo-4.15-1.fc28@aarch64", *places)
    assert [patch["state"] for patch in back["patches"]] == ["unchanged"] * 2

    # and both are compared
    both = ("demo-4.15-1.fc28", "demo-4.15-1.fc28@aarch64", "--repo", tmp_path / "r.git")
    found = answer("diff", *both)
    assert (found["old"].get("variant"), found["new"]["variant"]) == (None, "aarch64")
    assert [patch["patch"] for patch in found["patches"]["added"]] == ["arm.patch"]
    assert srcgit("diff", *both)[0].startswith(f"{both[0]} -> {both[1]}\n")
    srcgit("diff", both[0], "demo-4.15-1.fc28@s390x", *both[2:], status=2)


@pytest.mark.parametrize(
    "options", [("--with", "a b"), ("--define", "x"), ("--define", "1 2"), ("--arch", "../x")]
)
def test_bad_options_are_refused(made: tuple[Source, Source], options: tuple[str, ...]) -> None:
    srcgit("plan", f"{made[1].path}#f28", *options, status=2)
