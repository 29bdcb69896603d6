"""The base, from the names of what %prep unpacks and applies: measured cases of the kernel's history."""

from __future__ import annotations

import pytest

from specparse.upstream import base

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "archive, patches, kind, rev",
    [
        ("linux-4.15.tar.xz", [], "tag", "v4.15"),
        ("linux-6.12.8.tar.xz", [], "tag", "v6.12.8"),
        ("linux-5.7.0.tar.xz", [], "tag", "v5.7"),
        ("linux-6.12-rc3.tar.xz", [], "tag", "v6.12-rc3"),
        ("linux-2.6.35.tar.bz2", [], "tag", "v2.6.35"),
        ("linux-2.6.35.tar.bz2", ["patch-2.6.35.4.bz2"], "tag", "v2.6.35.4"),
        ("linux-3.17.tar.xz", ["patch-3.17.4.xz"], "tag", "v3.17.4"),
        ("linux-4.14.tar.xz", ["patch-4.15-rc6.xz"], "tag", "v4.15-rc6"),
        ("linux-20201022gitf804b3159482.tar.xz", [], "commit", "f804b3159482"),
        ("linux-5.9-13682-g96485e446260.tar.xz", [], "commit", "96485e446260"),
        ("linux-6.1-rc4-23-gabcdef012345.tar.xz", [], "commit", "abcdef012345"),
        ("linux-5.10-0.rc1.20201030git07e088730245.58.tar.xz", [], "commit", "07e088730245"),
        ("linux-3.17.tar.xz", ["patch-3.17.5-rc1.xz"], "unknown", ""),
        ("linux-3.17.tar.xz", ["drm-next.xz"], "unknown", ""),
        ("", [], "unknown", ""),
        ("linux.tar.xz", [], "unknown", ""),
    ],
)
def test_names(archive: str, patches: list[str], kind: str, rev: str) -> None:
    found, _ = base(archive, patches, gitrev=SHA, changelog="")
    assert (found.kind, found.rev) == (kind, rev)
    assert found.how


def test_gitrev_counts_only_with_a_git_patch() -> None:
    """It goes stale: released kernels of f27 and f31 still carry one."""
    found, _ = base("linux-4.15.tar.xz", [], gitrev=SHA, changelog="")
    assert found.rev == "v4.15"
    found, _ = base("linux-4.15.tar.xz", ["patch-4.15-git3.xz"], gitrev=SHA + "\n", changelog="")
    assert (found.kind, found.rev) == ("commit", SHA)


def test_without_gitrev_the_changelog_tells() -> None:
    log = "- Linux v3.2-rc4-6-gb930c26\n\n* x\n- Linux v3.2-rc4-2-gaaaaaaa\n"
    found, _ = base("linux-3.1.tar.xz", ["patch-3.2-rc4-git6.bz2"], gitrev=None, changelog=log)
    assert (found.kind, found.rev) == ("commit", "b930c26")
    found, _ = base("linux-3.1.tar.xz", ["patch-3.2-rc4-git6.bz2"], gitrev=None, changelog="")
    assert found.kind == "unknown"


def test_a_gitrev_that_the_changelog_contradicts_is_told() -> None:
    _, warnings = base(
        "linux-3.1.tar.xz",
        ["patch-3.2-rc4-git6.bz2"],
        gitrev=SHA,
        changelog="- Linux v3.2-rc4-6-gb930c26\n",
    )
    assert any("b930c26" in warning for warning in warnings)
