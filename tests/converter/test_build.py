"""Names of builds and refs; the order of EVRs, judged by rpm itself."""

from __future__ import annotations

import subprocess

import pytest
import rpm
from hypothesis import given
from hypothesis import strategies as st

from converter.build import Build, Evr, Nvr, vercmp
from converter.errors import WrongUsage


def test_nvr_splits_at_the_last_two_dashes() -> None:
    nvr = Nvr.parse("kernel-core-4.15.0-0.rc9.git3.1.fc28")
    assert (nvr.name, nvr.version, nvr.release) == ("kernel-core", "4.15.0", "0.rc9.git3.1.fc28")
    assert nvr.dist == ".fc28"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kernel",
        "kernel-4.15.0",
        "kernel-$(id)-1.fc28",
        "kernel-../../x-1.fc28",
        "kernel-v;rm -rf ~-1",
        "kernel-4.15.0-1.fc28\n",
        "-kernel-1-1",
        "kernel-4..15-1",
        "k" * 300 + "-1-1",
    ],
)
def test_hostile_nvrs_are_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        Nvr.parse(text)


@pytest.mark.parametrize(
    ("release", "dist"),
    [
        ("1.fc28", ".fc28"),
        ("200.fc33", ".fc33"),
        ("0.rc1.eln150", ".eln150"),
        ("5.el9_2", ".el9"),
        ("1", None),
        ("1.fc28.1", ".fc28"),
    ],
)
def test_dist_of_a_release(release: str, dist: str | None) -> None:
    assert Nvr("p", "1", release).dist == dist


VERSION = st.text("0123456789abz.~^_+", min_size=1, max_size=10)


@given(VERSION, VERSION)
def test_vercmp_is_rpms(a: str, b: str) -> None:
    assert vercmp(a, b) == rpm.labelCompare(("0", a, "1"), ("0", b, "1"))


def test_epoch_beats_version() -> None:
    assert Evr(1, "1", "1") > Evr(0, "9", "9")
    assert Evr(0, "5.10.0", "1.fc34") > Evr(0, "5.9.16", "200.fc33")


NAME = st.from_regex(r"[a-z0-9][A-Za-z0-9._~^+]{0,9}", fullmatch=True)


@given(NAME, NAME)
def test_each_nvr_makes_refs_that_git_accepts(version: str, release: str) -> None:
    try:
        nvr = Nvr.parse(f"pkg-{version}-{release}")
    except WrongUsage:
        return
    build = Build(nvr, None, "url", "0" * 40, "f41")
    for ref in (build.tag_ref, build.failed_ref):
        done = subprocess.run(["git", "check-ref-format", ref], check=False)
        assert done.returncode == 0, ref


def test_nvrs_with_other_signs_get_other_refs() -> None:
    names = [
        "p-1.0~rc1-1",
        "p-1.0^rc1-1",
        "p-1.0_rc1-1",
        "p-1.0-1.lock",
        "p-1.0-1_lock",
        "p-1.0-1",
        "p-1.0-1.",
    ]
    assert len({Nvr.parse(name).ref_name for name in names}) == len(names)
    assert [str(Nvr.of_ref(Nvr.parse(name).ref_name)) for name in names] == names
