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
    ("name", "bugs"),
    [
        ("glibc-rh1982608-2.patch", ["rhbz#1982608"]),
        ("0001-rhbz12345.patch", ["rhbz#12345"]),
        ("x-bz12345-y.patch", ["rhbz#12345"]),
        ("x_bz#12345.patch", ["rhbz#12345"]),
        ("glibc-RHEL-2435-2.patch", ["RHEL-2435"]),
        ("rhel-1234.patch", ["RHEL-1234"]),
        ("expat-2.2.5-CVE-2018-20843.patch", ["CVE-2018-20843"]),
        ("expat_cve-2018-20843_2.patch", ["CVE-2018-20843"]),
        ("foo-rhel-8.9.patch", []),
        ("foo-RHEL-10.patch", []),
        ("orh12345.patch", []),
        ("kvm-pc-12345.patch", []),
    ],
)
def test_bugs_in_the_name_of_the_file(name: str, bugs: list[str]) -> None:
    assert references([], name)["bugs"] == bugs


@pytest.mark.parametrize(
    ("text", "bugs"),
    [
        ("Resolves: RHEL-1234, RHELPLAN-123456", ["RHEL-1234", "RHELPLAN-123456"]),
        ("JIRA: https://issues.redhat.com/browse/RHEL-52771", ["RHEL-52771"]),
        ("Only on RHEL-8, RHEL-8.10 and RHEL-10", []),
    ],
)
def test_keys_of_jira(text: str, bugs: list[str]) -> None:
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
