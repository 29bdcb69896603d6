"""What patches, comments and changelogs refer to; lines in the words of Fedora's own."""

from __future__ import annotations

import time

import pytest

from converter.references import references


@pytest.mark.parametrize(
    ("text", "bugs"),
    [
        ("#CVE-2015-8104 rhbz 1278496 1279691", ["CVE-2015-8104", "rhbz#1278496", "rhbz#1279691"]),
        ("- Fix virtio-net (rhbz 1401612)", ["rhbz#1401612"]),
        ("vc4 RHBZ# 1389163, and more", ["rhbz#1389163"]),
        ("Bugzilla: 1067071", ["rhbz#1067071"]),
        ("Bugzilla: N/A", []),
        ("BugLink: https://bugzilla.redhat.com/show_bug.cgi?id=1514969", ["rhbz#1514969"]),
        ("See https://bugzilla.kernel.org/show_bug.cgi?id=198 there", ["kernel.org#198"]),
        ("rhbz 12", []),
        ("subzero 1278496", []),
        ("cve-2017-2596 twice CVE-2017-2596", ["CVE-2017-2596"]),
    ],
)
def test_bugs(text: str, bugs: list[str]) -> None:
    assert references([text])["bugs"] == bugs


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        (
            "commit 0123456789abcdef0123456789abcdef01234567 upstream.",
            ["0123456789abcdef0123456789abcdef01234567"],
        ),
        ("[ Upstream commit 0123456789ab ]", ["0123456789ab"]),
        ("Upstream commit 0123456789ab", ["0123456789ab"]),
        ("(cherry picked from commit 0123456789ab)", ["0123456789ab"]),
        ("since commit 0123456789ab upstream we crash", []),
        ("commit 0123456789ab", []),
    ],
)
def test_backports(text: str, upstream: list[str]) -> None:
    assert references([text])["upstream"] == upstream


def test_status_and_stable() -> None:
    found = references(
        ["Bugzilla: N/A\nUpstream-status: Fedora mustard", "Cc: stable@vger.kernel.org # 4.9+"]
    )
    assert found["status"] == ["Fedora mustard"]
    assert found["stable"] is True
    assert references(["Cc: stable discussions"])["stable"] is False


@pytest.mark.parametrize("blanks", ["\n", " ", "[ ", "commit "])
def test_a_message_of_blanks_takes_no_time(blanks: str) -> None:
    """They were tried from each on: a thousand new lines took eleven seconds, ten thousand hours."""
    start = time.process_time()
    references([blanks * 4000 + "x", f"commit {'a' * 40}{blanks * 4000}x"])
    assert time.process_time() - start < 1
