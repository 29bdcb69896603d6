"""Which builds are ours: the table, its copy for people, and how a release tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from converter.build import Nvr
from service.kinds import KINDS, elsewhere, key, uploaded, why

README = Path(__file__).parents[2] / "README.md"


def test_the_table_for_people_is_the_table() -> None:
    text = README.read_text()
    table = text.partition("| build | what becomes of it |\n")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)) == dict(KINDS)


@pytest.mark.parametrize(
    ("release", "kind"),
    [
        ("200.fc41", ""),
        ("0.rc1.20260101git1f3870be274f.1.fc44", ""),
        ("1.fc43_1", ""),
        ("1.fc43.1", ""),
        ("1.eln145", "ELN"),
        ("70.el9", "ELN"),
        ("1.el10_1", "ELN"),
        ("1.module_f31+9+d4b2", "modular"),
        ("1.module+el8+9+d4b2", "modular"),
        ("1.fc31.module_f31+9", "modular"),
        ("1.xcpng8", "no dist tag"),
        ("1", "no dist tag"),
        ("1.amzn2023", "no dist tag"),
    ],
)
def test_the_release_tells_whose_build_it_is(release: str, kind: str) -> None:
    told = elsewhere(Nvr.parse(f"kernel-6.1-{release}"))
    assert told.startswith(kind) if kind else told == ""


def test_a_reason_names_kind_case_and_fate() -> None:
    assert why("no dist tag", "1.x") == "no dist tag (1.x): ignored: not of a Fedora release"


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("cli-build/1687.fUqa/kernel-6.1-1.fc40.src.rpm", True),  # in the message, and the task
        ("kernel-6.1-1.fc40.src.rpm", True),  # in Koji's answer
        ("git+https://src.fedoraproject.org/rpms/kernel.git#" + "1" * 40, False),
    ],
)
def test_an_uploaded_package_is_known_by_its_place_or_name(source: str, is_one: bool) -> None:
    assert uploaded(source) is is_one


def test_builds_of_one_release_share_a_key() -> None:
    one, two = Nvr.parse("kernel-6.12.8-200.fc41"), Nvr.parse("kernel-6.13.0-0.rc1.fc41")
    assert key(one) == key(two) != key(Nvr.parse("kernel-6.12.8-100.fc40"))
