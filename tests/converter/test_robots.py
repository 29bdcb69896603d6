"""Importing robots of distributions, and the packager whom a changelog names in their place."""

from __future__ import annotations

import pytest

from converter.objects import Identity
from converter.pkggit import Origin
from converter.robots import is_robot, packager

WHEN = b"1500000000 +0000"
ENTRY = b"* Thu Mar 14 2024 Ann Packager <ann@example.com> - 1.0-2\n- fix (#1)\n"
SPEC = b"Name: a\n%description\n* Mon Jan 1 2001 No <no@example.com>\n\n%changelog\n" + ENTRY


@pytest.mark.parametrize(
    ("author", "message", "robot"),
    [
        ("CentOS Sources <bugs@centos.org>", "import a-1-1.el8", True),
        ("CentOS Sources <bugs@centos.org>", "debrand", True),
        ("openela-mship[bot] <149573839+openela-mship[bot]@users.noreply.github.com>", "x", True),
        ("Release Configuration Management <releng@rockylinux.org>", "x", True),
        ("Ann <ann@example.com>", "import glibc-2.34-83.el9_3.12\n", True),
        ("Ann <ann@example.com>", "Import glibc", False),
        ("Ann <ann@example.com>", "import a-b-c from upstream", False),
        ("Robot Smith <r@example.com>", "fix", False),
    ],
)
def test_robots(author: str, message: str, robot: bool) -> None:
    name, _, email = author.partition(" <")
    identity = Identity(name.encode(), email.rstrip(">").encode(), WHEN)
    assert is_robot(identity, message.encode()) is robot


@pytest.mark.parametrize(
    ("spec", "author"),
    [
        (SPEC, b"Ann Packager <ann@example.com>"),
        (
            SPEC.replace(b"Mar 14 2024", b"Mar 14 10:00:00 CET 2024"),
            b"Ann Packager <ann@example.com>",
        ),
        (SPEC.replace(b"Ann", b"J\xf6rg"), b"J\xc3\xb6rg Packager <ann@example.com>"),
        (b"Name: a\n%changelog\n%autochangelog\n", b"unknown <>"),
        (b"", b"unknown <>"),
    ],
)
def test_the_newest_entry_of_the_changelog_names_the_packager(spec: bytes, author: bytes) -> None:
    origin = Origin("0123", Identity(b"R", b"bugs@centos.org", WHEN), b"import a-1-1\n")
    assert bytes(packager(origin, spec).author) == author + b" " + WHEN
