"""Bare words in %if, as the rpm of RHEL 8 and older takes them; held to this machine's rpm."""

from __future__ import annotations

import pytest

from specparse.inside.bare_words import quoted
from specparse.plan import SpecError
from tests.specparse.conftest import PATCH, Traced

SAID = 'error: bare words are no longer supported, please use "...":  x\nerror: ^\nerror: a.spec:1: bad %if condition:  x'


@pytest.mark.parametrize(
    ("condition", "becomes"),
    [
        ("%{flavour} == rhel", '"%{flavour}" == "rhel"'),
        ("rhel != %flavour", '"rhel" != "%flavour"'),
        ("%{flavour} == rhel && 0%{?rhel} > 7", '"%{flavour}" == "rhel" && 0%{?rhel} > 7'),
        ('%{a} == "x" || ! ( %{b}==y )', '"%{a}" == "x" || ! ( "%{b}"=="y" )'),
        ("%{rhel} > 7 && rhel == rhel", '%{rhel} > 7 && "rhel" == "rhel"'),
        ("%{?fedora} || %{x} == el8_4", '%{?fedora} || "%{x}" == "el8_4"'),
        ("yes", '"yes"'),
        ("%{?with:%{x}} == no", '"%{?with:%{x}}" == "no"'),
    ],
)
def test_words_are_quoted_and_numbers_are_not(condition: str, becomes: str) -> None:
    made = quoted(f"%if {condition}\n".encode(), SAID)
    assert made is not None
    assert made[0].decode() == f"%if {becomes}\n"


@pytest.mark.parametrize("said", ["", SAID.replace(":1:", ":7:"), "error: x:1: bad %if condition"])
def test_anything_else_is_left_alone(said: str) -> None:
    assert quoted(b"%if x == y\n", said) is None


FLAVOUR = "%global flavour rhel\nPatch1: one.patch\n"


@pytest.mark.parametrize(
    ("condition", "taken"),
    [
        ("%{flavour} == rhel", True),
        ("%{flavour} == fedora", False),
        ("%{flavour} != fedora && 0%{?rhel} > 7", True),
    ],
)
def test_a_build_of_rhel_8_has_them(traced: Traced, condition: str, taken: bool) -> None:
    prep = f"%setup -q\n%if {condition}\n%patch -P 1 -p1\n%endif"
    plan = traced(FLAVOUR, prep, {"one.patch": PATCH}, dist=".el8")
    assert len(plan.steps) == taken
    assert any("the build's rpm needs no quotes" in edit for edit in plan.edits)


def test_a_build_of_rhel_9_has_not(traced: Traced) -> None:
    prep = "%setup -q\n%if %{flavour} == rhel\n%patch -P 1 -p1\n%endif"
    with pytest.raises(SpecError, match="bare words"):
        traced(FLAVOUR, prep, {"one.patch": PATCH}, dist=".el9")
