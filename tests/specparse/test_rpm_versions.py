"""What rpm from 4.16 to 6.1 reads differently, read alike; run under each of them by make test-systems."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import specparse.inside
from specparse.inside.edits import alike, edit
from specparse.macros import built_with
from tests.specparse.conftest import PATCH, Traced

INSIDE = Path(specparse.inside.__file__).parent
OLD, NEW = (4, 16), (4, 20)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (b"%patch1 -p1", b"%patch -P 1 -p1"),
        (b"%{?with_x:%patch0012 -p1 -b .x}", b"%{?with_x:%patch -P 0012 -p1 -b .x}"),
        (b"%patch%{n} -p1", b"%patch -P %{n} -p1"),
        (b"%patch -p1", b"%patch -P 0 -p1"),
        (b"%patch", b"%patch -P 0"),
        (b"%patch -p1 -b .x -F 2", b"%patch -P 0 -p1 -b .x -F 2"),
        (b"%patch 1 -p1", b"%patch -P 1 -p1"),
        (b"%patch -p1 2 3", b"%patch -p1 -P 2 -P 3"),
        (b"%patch -P 1 -p1", b"%patch -P 1 -p1"),
        (b"%patch -P1 -p1", b"%patch -P1 -p1"),
        (b"%patch %{n} -p1", b"%patch %{n} -p1"),
        (b"%%patch1", b"%%patch1"),
        (b"%{lua:print(rpm.expand('%patch -P ' .. n .. ' -p1'))}",) * 2,
        (b"%patchset -p1", b"%patchset -p1"),
    ],
)
def test_patch_names_its_numbers(line: bytes, read: bytes) -> None:
    assert alike(b"%prep\n" + line + b"\n", OLD) == b"%prep\n" + read + b"\n"


def test_comments_and_changelogs_apply_nothing() -> None:
    spec = (
        b"# %patch1\n%prep\n#%setup -q\n# %patch -P 1 -p1\n%changelog\n- %patch 1 and %setup gone\n"
    )
    read = b"# %%patch1\n%prep\n#%%setup -q\n# %%patch -P 1 -p1\n%changelog\n- %%patch 1 and %%setup gone\n"
    assert alike(spec, OLD) == read
    assert alike(read, OLD) == read


def test_a_comment_is_expanded_where_the_builds_rpm_does() -> None:
    """rpm 4.20: only the first line of an expansion is part of the comment, and patch(1) the second."""
    spec = b"%prep\n# %patch -P 1 -p1\n# %patch is not needed\n"
    assert alike(spec, NEW) == b"%prep\n%patch -P 1 -p1\n# %%patch is not needed\n"


@pytest.mark.parametrize(
    ("spec", "read"),
    [
        (b"%define rpmversion 3.17\nVersion: %{rpmversion}%{?rpmversion}\n", b"%define srcgit_rpmversion 3.17\nVersion: %{srcgit_rpmversion}%{?srcgit_rpmversion}\n"),
        (b"%define x<l> 5%%\\\n 6%\n%global y<o> %(date)\n", b"%define x 5%%%%\\\n 6%%\n%global y %(date)\n"),
        (b"%conf\ncmake .\n%build\nmake\n", b"\n\n%build\nmake\n"),
    ],
)  # fmt: skip
def test_what_a_newer_rpm_has(spec: bytes, read: bytes) -> None:
    assert alike(spec, OLD) == read


@pytest.mark.parametrize(
    ("said", "spec", "made"),
    [
        ("error: Macro %len is a built-in (%define)", b"%define len 5\n%{?len} %lengthy", b"%define srcgit_len 5\n%{?srcgit_len} %lengthy"),
        ("error: Macro %go has illegal name (%global)", b"%global go 1\n%{go}", b"%global srcgit_go 1\n%{srcgit_go}"),
        ("error: Macro % has illegal name (%define)", b"%define -g a 1\n%define -e b 2\n", b"%define a 1\n%global b 2\n"),
        ("error: extra tokens at the end of %endif directive in line 3:  %endif x", b"%if 1\n%else y\n%endif x\n", b"%if 1\n%else\n%endif\n"),
        ("error: line 1: Unknown tag:  Name: x", b"  Name: x\n%package y\n Requires: z\n%prep\n a: b\n", b"Name: x\n%package y\nRequires: z\n%prep\n a: b\n"),
    ],
)  # fmt: skip
def test_what_one_of_them_refuses(said: str, spec: bytes, made: bytes) -> None:
    edited = edit(spec, said)
    assert edited is not None and edited[0] == made


def test_the_rpm_of_a_release() -> None:
    releases = (
        ".fc21",
        ".fc36",
        ".fc38",
        ".fc41",
        ".fc42",
        ".fc43",
        ".el8",
        ".el9",
        ".eln",
        ".xcpng8.3",
    )
    rpms = [(4, 8), (4, 17), (4, 18), (4, 20), (4, 20), (6, 0), (4, 14), (4, 16), (6, 0), (4, 11)]
    assert [built_with(release) for release in releases] == rpms


@pytest.mark.parametrize(
    ("preamble", "prep", "applied"),
    [
        ("Patch0: a.patch\nPatch1: b.patch\n", "%setup -q\n%patch1 -p1\n%patch -p1", ["b.patch", "a.patch"]),
        ("Patch0: a.patch\nPatch1: b.patch\n", "%setup -q\n%patch 1 -p1\n#%patch 0 -p1", ["b.patch"]),
        ("Patch1: a.patch\nPatch2: b.patch\n", "%setup -q\n%{lua:for n = 2, 1, -1 do print(rpm.expand('%patch' .. n .. ' -p1\\n')) end}", ["b.patch", "a.patch"]),
        ("%global rpmversion 9\nPatch1: %{rpmversion}.patch\n", "%autosetup -p1", ["9.patch"]),
        ("%global upper b\nPatch1: %{upper}.patch\n", "%autosetup -p1", ["b.patch"]),
        ("%define z<l> %\nPatch1: a.patch\n", "%autosetup -p1", ["a.patch"]),
        ("%bcond x 1\n%if %{with x}\n  Patch1: a.patch\n%endif # x\nPatch2: b.patch\n", "%autosetup -p1 -S git", ["a.patch", "b.patch"]),
        ("Patch1: a.patch\n", "%autosetup -p1\npwd > %{_builddir}/where\ncd %{builddir}/demo-1.2\n%patch -P1 -R -p1\n%conf\n%patch -P 1\n", ["a.patch", "a.patch"]),
    ],
)  # fmt: skip
def test_traced_under_this_rpm(
    traced: Traced, preamble: str, prep: str, applied: list[str]
) -> None:
    files = dict.fromkeys(("a.patch", "b.patch", "9.patch"), PATCH)
    plan = traced(preamble, prep, files)
    assert [step.patch.decode() for step in plan.steps] == applied
    assert not plan.warnings


@pytest.mark.parametrize("module", sorted(INSIDE.glob("*.py")), ids=lambda path: path.stem)
def test_what_runs_in_the_sandbox_is_python_3_9(module: Path) -> None:
    """RHEL 9's rpm and Debian 11's are bound to it; zip(strict=) and slots came with 3.10."""
    tree = ast.parse(module.read_text(), feature_version=(3, 9))
    newer = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Match)
        or (isinstance(node, ast.keyword) and node.arg in ("strict", "slots", "kw_only"))
    ]
    assert not newer
