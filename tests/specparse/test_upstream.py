"""The base, from the names of what %prep unpacks and applies: measured cases of the kernel's history."""

from __future__ import annotations

import time

import pytest

from specparse.answer import comments
from specparse.plan import Base
from specparse.upstream import Spec, base

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "archive, patches, kind, rev",
    [
        (
            "linux-2.6.33.tar.bz2",
            ["patch-2.6.33.7.bz2", "patch-2.6.33.7-8.bz2"],
            "tag",
            "v2.6.33.8",
        ),
        ("linux-2.6.33.tar.bz2", ["patch-2.6.33.7-8.bz2"], "unknown", ""),
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
        ("linux-4.14.tar.xz", ["rt-patch-4.15-rc6.xz"], "unknown", ""),
        ("linux-6.1.0.tar.xz", [], "tag", "v6.1"),
        ("linux-2.6.0.tar.bz2", [], "tag", "v2.6.0"),
        ("linux-2.6.34.tar.bz2", ["patch-2.6.35-rc3.bz2"], "tag", "v2.6.35-rc3"),
        ("linux-2.6.35.tar.bz2", ["patch-2.6.35.4-rc1.bz2"], "unknown", ""),
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
    patches = ["patch-3.2-rc4-git6.bz2"]
    found, _ = base("linux-3.1.tar.xz", patches, gitrev=f"not {SHA}", changelog=log)
    assert (found.kind, found.rev) == ("commit", "b930c26")
    found, _ = base("linux-3.1.tar.xz", ["patch-3.2-rc4-git6.bz2"], gitrev=None, changelog="")
    assert found.kind == "unknown"


def test_a_gitrev_that_the_changelog_contradicts_is_told() -> None:
    patches = ["patch-3.2-rc4-git6.bz2"]
    for sha, contradicts in [("b930c26", True), (SHA[:7], False)]:
        log = f"- Linux v3.2-rc4-6-g{sha}\n"
        found, warnings = base("linux-3.1.tar.xz", patches, gitrev=SHA, changelog=log)
        assert (found.kind, found.rev) == ("commit", SHA)
        assert [sha in warning for warning in warnings] == [True] * contradicts


FULL = "fedcba9876543210fedcba9876543210fedcba98"
HUB = "https://github.com/owner/demo"
COMMIT = f"%global commit {FULL}\n%global shortcommit %(c=%{{commit}}; echo ${{c:0:7}})\n"


def of(
    archive: str, version: str = "1.2", release: str = "3.fc41", url: str = "", text: str = ""
) -> Base:
    spec = Spec("demo", version, release, url, text)
    found, _ = base(archive, [], gitrev=None, changelog="", spec=spec)
    assert found.how
    return found


@pytest.mark.parametrize(
    "archive, version, versions, names",
    [
        ("demo-1.2.tar.gz", "1.2", ("1.2",), ("demo",)),
        ("Demo-1.2.tar.gz", "1.2", ("1.2",), ("Demo", "demo")),
        ("demo-1.2-rc1.tar.gz", "1.2~rc1", ("1.2~rc1",), ("demo",)),
        ("demo-1.2rc1.tar.gz", "1.2~rc1", ("1.2~rc1",), ("demo",)),
        ("tcl8.6.13-src.tar.gz", "8.6.13", ("8.6.13",), ("tcl", "demo")),
        ("LVM2.2.03.17.tgz", "2.03.17", ("2.03.17",), ("LVM2", "demo")),
        ("icu4c-72_1-src.tgz", "72.1", ("72_1-src", "72.1"), ("icu4c", "demo")),
        ("demo_1.2.orig.tar.xz", "1.2", ("1.2",), ("demo",)),
        ("demo.tar.gz", "1.2", ("1.2",), ("demo",)),
        ("v1.2.tar.gz", "1.2", ("1.2",), ("v", "demo")),
        ("demo-20240101.tar.gz", "20240101", ("20240101",), ("demo",)),
        ("Foo-Bar-1.02.tar.gz", "1.02", ("1.02",), ("Foo-Bar", "demo")),
        ("serde-1.0.200.crate", "1.0.200", ("1.0.200",), ("serde", "demo")),
        ("demo-1.2.tar.gz", "1.2^20240101", ("1.2",), ("demo",)),
        ("demo-1.2.tar.gz", "1.2~20240101", ("1.2",), ("demo",)),
        ("demo-1.2.tar.gz", "1.2~git20240101", ("1.2",), ("demo",)),
        ("demo-1.2.3.tar.gz", "1.2", ("1.2.3", "1.2"), ("demo",)),
        ("demo1.20.tar.gz", "1.2", ("1.2",), ("demo1.20", "demo")),
        ("demo-366-src.tgz", "3.6.6", ("366-src", "3.6.6"), ("demo",)),
        ("sqlite-src-3500200.zip", "3.50.2", ("3500200", "3.50.2"), ("sqlite-src", "demo")),
        ("demo-3500201.zip", "3.50.2", ("3500201",), ("demo",)),
        # patches make the rest: perl-Carp, libpq, lxsession
        ("demo-1.50.tar.gz", "1.54", ("1.50",), ("demo",)),
        ("demo-18beta1.tar.bz2", "18.0", ("18beta1",), ("demo",)),
        ("demo-20250403T1600.tar.gz", "0.5.6", ("20250403T1600",), ("demo",)),
    ],
)
def test_a_release_is_a_tag_to_be_found(
    archive: str, version: str, versions: tuple[str, ...], names: tuple[str, ...]
) -> None:
    found = of(archive, version)
    assert (found.kind, found.versions, found.names) == ("tag", versions, names)
    assert found.guess and found.rev.startswith("v")


@pytest.mark.parametrize(
    "url, archive, rev",
    [
        (f"{HUB}/archive/v1.2/demo-1.2.tar.gz", "demo-1.2.tar.gz", "v1.2"),
        (f"{HUB}/archive/refs/tags/demo-1.2.tar.gz", "demo-1.2.tar.gz", "demo-1.2"),
        (f"{HUB}/archive/refs/tags/rel/1.2.tar.gz#/demo-1.2.tar.gz", "demo-1.2.tar.gz", "rel/1.2"),
        (f"{HUB}/archive/1.2.zip", "1.2.zip", "1.2"),
        (f"{HUB}/releases/download/r1.2/demo-1.2.tar.xz", "demo-1.2.tar.xz", "r1.2"),
        ("https://gitlab.gnome.org/o/demo/-/archive/DEMO_1_2/demo-DEMO_1_2.tar.bz2", "demo-DEMO_1_2.tar.bz2", "DEMO_1_2"),
        ("https://pagure.io/demo/archive/demo-1.2/demo-1.2.tar.gz", "demo-1.2.tar.gz", "demo-1.2"),
        ("https://git.example.org/o/demo/archive/v1.2.tar.gz#/demo-1.2.tar.gz", "demo-1.2.tar.gz", "v1.2"),
        ("https://code.example.net/rest/archive/latest/projects/X/repos/demo/archive?at=refs%2Ftags%2Fv4.19.19&format=tar.gz&prefix=demo-1.2#/demo-1.2.tar.gz", "demo-1.2.tar.gz", "v4.19.19"),
    ],
)  # fmt: skip
def test_a_forge_s_url_names_the_tag(url: str, archive: str, rev: str) -> None:
    found = of(archive, url=url)
    assert (found.kind, found.rev, found.guess) == ("tag", rev, False)
    assert "1.2" in found.versions  # an upstream elsewhere may spell it otherwise


@pytest.mark.parametrize(
    "url",
    [
        "https://www.x.org/archive/individual/lib/demo-1.2.tar.gz",
        f"{HUB}/archive/%{{gitref}}/demo-1.2.tar.gz",
        "https://example.org/download/demo-1.2.tar.gz",
        "https://example.org/releases/download/stable/demo-1.2.tar.gz",
        "",
    ],
)
def test_a_url_that_names_no_revision(url: str) -> None:
    assert of("demo-1.2.tar.gz", url=url).guess


@pytest.mark.parametrize(
    "branch", ["refs/heads/x", "master", "main", "trunk", "devel", "develop", "HEAD", "tip"]
)
def test_a_branch_moves(branch: str) -> None:
    found = of("demo.tar.gz", url=f"{HUB}/archive/{branch}.tar.gz#/demo.tar.gz")
    assert (found.kind, found.rev) == ("unknown", "")
    assert "moves" in found.how


@pytest.mark.parametrize(
    "archive, version, release, url, text, rev",
    [
        (f"demo-{FULL}.tar.gz", "1.2", "3.fc41", "", "", FULL),
        (f"{FULL}.tar.gz", "0", "1.fc41", "", "", FULL),
        ("demo-fedcba9.tar.gz", "1.2", "3.fc41", "", "", "fedcba9"),
        ("demo-fedcba9.tar.gz", "1.2", "3.fc41", "", COMMIT, FULL),
        ("demo-1.2-gfedcba9.tar.gz", "1.2", "3.fc41", "", COMMIT, FULL),
        ("demo-20240101gitfedcba9.tar.xz", "1.2", "0.3.20240101gitfedcba9.fc41", "", "", "fedcba9"),
        ("demo-fedcba9.tar.gz", "1.2^20240101gitfedcba9", "1.fc41", "", "", "fedcba9"),
        ("demo-1234567.tar.gz", "1.2", "1.fc41", "", f"%global commit0 1234567{FULL[:33]}\n", f"1234567{FULL[:33]}"),
        ("demo-fedcba9.tar.gz", "1.2", "3.fc41", f"{HUB}/archive/{FULL}/demo-fedcba9.tar.gz", "", FULL),
        ("demo-1.2.tar.gz", "1.2", "3.fc41", f"{HUB}/archive/{FULL}.tar.gz#/demo-1.2.tar.gz", "", FULL),
        ("demo.tar.xz", "1.2^20240101git1234567", "1.fc41", "", "", "1234567"),
        ("demo.tar.xz", "1.2~20240101.1234567", "1.fc41", "", "", "1234567"),
        ("demo.tar.xz", "1.2^20240101.1234567", "1.fc41", "", "", "1234567"),
        ("demo.tar.xz", "1.2^git20240101.abcdef1", "1.fc41", "", "", "abcdef1"),
        ("demo.tar.xz", "1.2", "0.3.20240101gitabcdef1.fc41", "", "", "abcdef1"),
        ("demo-20240101.tar.xz", "1.2", "0.3.20240101git.fc41", "", COMMIT, FULL),
        ("main.tar.gz", "1.2", "3.fc41", f"{HUB}/archive/main.tar.gz", COMMIT, FULL),
        ("demo-20211126.tar.xz", "0.9.1", "3.20211126git53cfa9bde6.el9", "", "%global gitdate 20211126\n%global gitversion 53cfa9bde6\n", "53cfa9bde6"),
        ("demo-20211126.tar.xz", "0.9.1", "3.20211126git53cfa9bde6.el9", "", "%global commitdate 20211126\n", "53cfa9bde6"),
        ("demo-r1234567.tar.xz", "0.9.1^20211126git53cfa9bde6", "3.el9", "", "%global svnrev 1234567\n", "53cfa9bde6"),
        ("demo-1.2.tar.gz", "1.2", "3.fc41", f"{HUB}/tarball/{FULL}/demo-1.2.tar.gz", "", FULL),
        ("demo", "1.2", "3.fc41", f"{HUB}/tarball/fedcba9/demo", "", "fedcba9"),
        ("demo-1.2.tar.gz", "1.2", "3.fc41", "", f"%global package_speccommit {SHA}\n%global package_srccommit {FULL}\n", FULL),
    ],
)  # fmt: skip
def test_a_commit(archive: str, version: str, release: str, url: str, text: str, rev: str) -> None:
    found = of(archive, version, release, url, text)
    assert (found.kind, found.rev) == ("commit", rev)


@pytest.mark.parametrize("name", ["commit0", "git_sha", "HASH", "gitref", "upstream_rev", "snap"])
def test_a_macro_names_the_commit(name: str) -> None:
    found = of("demo.tar.xz", "1.2^20240101", text=f"# x\n  %define {name}\t{FULL} \n%prep\n")
    assert (found.kind, found.rev, found.how) == ("commit", FULL, f"the macro {name}")


def test_what_only_looks_like_a_commit() -> None:
    assert of("demo-1234567.tar.gz", "1234567").kind == "tag"
    assert of("demo-facade.tar.gz").kind == "tag"
    # a macro that the source does not have in its name, such as what a Go program is to report
    assert of("demo-1.2.tar.gz", text=COMMIT).rev == "v1.2"
    assert of("demo-1.2.tar.gz", text=f"%changelog\n%global commit {SHA}\n").rev == "v1.2"


def test_a_snapshot_that_nothing_names_is_no_release() -> None:
    for version, release in [("1.2", "0.3.20240101svn.fc41"), ("1.2^20240101", "1.fc41"), ("1.2", "5.cvs20060101.fc5"), ("1.2", "3.git20240101.fc41"), ("1.2", "0.3.20240101git20240101")]:  # fmt: skip
        found = of("demo-20240101.tar.gz", version, release)
        assert (found.kind, found.rev) == ("unknown", "")


def test_a_snapshot_with_the_name_of_a_release_is_told() -> None:
    spec = Spec("demo", "1.2", "3.20240101gitabcdef1.fc41")
    found, warnings = base("demo-1.2.tar.gz", [], gitrev=None, changelog="", spec=spec)
    assert (found.kind, found.rev) == ("commit", "abcdef1")
    assert any("name of a release" in warning for warning in warnings)


def test_xcp_ng_names_the_tag_by_a_macro() -> None:
    text = f"%global package_speccommit {SHA}\n%global package_srccommit refs/tags/v4.19.19\n"
    found = of("kernel-4.19.19.tar.gz", "4.19.19", "8.0.38.4", text=text)
    assert (found.kind, found.rev, found.guess) == ("tag", "v4.19.19", False)


def test_the_kernel_s_tag_is_not_to_be_learned() -> None:
    found, _ = base(
        "linux-5.7.0.tar.xz", [], gitrev=None, changelog="", spec=Spec("kernel", "5.7.0")
    )
    assert (found.rev, found.versions, found.names, found.guess) == ("v5.7", ("5.7",), (), False)


@pytest.mark.parametrize(
    "said", ["git5 (upstream {})", "git5 ({} upstream)", "git5 snapshot (upstream {})"]
)
def test_a_snapshot_by_the_changelogs_of_early_2012(said: str) -> None:
    patches = ["patch-3.3-rc2.xz", "patch-3.3-rc2-git5.xz"]
    log = f"- Linux 3.3-rc2-{said.format(SHA)}\n- Linux 3.3-rc2-git4 (upstream {'f' * 40})\n"
    found, _ = base("linux-3.2.tar.xz", patches, gitrev=None, changelog=log)
    assert (found.kind, found.rev) == ("commit", SHA)
    older = log.replace("git5", "git6")
    found, _ = base("linux-3.2.tar.xz", patches, gitrev=None, changelog=older)
    assert found.kind == "unknown"


@pytest.mark.parametrize("line", ["# x\n", "rev", "%global rev "])
def test_a_spec_that_goes_on_and_on_takes_no_time(line: str) -> None:
    text = "%global " + line * 20_000 + "\n"
    start = time.process_time()
    assert comments(text.encode(), ["fix.patch"]) == {}
    base("a-1.tar.gz", [], gitrev=None, changelog="", spec=Spec("a", "1", text=text))
    assert time.process_time() - start < 2
