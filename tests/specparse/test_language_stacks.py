"""Macros of other packages and of a newer rpm, one idea each: known, left out, or told."""

from __future__ import annotations

import subprocess

import pytest

from specparse.inside.edits import edit
from specparse.plan import Plan, SpecError, Step
from tests.specparse.conftest import PATCH, Traced

SHA = "0123456789abcdef0123456789abcdef01234567"
PATCHES = {"one.patch": PATCH, "two.patch": PATCH + b"\n"}
APPLIED = Step(b"one.patch", "patch", 1, options=("-f",))


def spec(
    head: str, prep: str, *, source: str = "", name: str = "demo", version: str = "1.2"
) -> str:
    return f"""\
{head}
Name: {name}
Version: {version}
Release: 1%{{?dist}}
Summary: A demo
License: MIT
{source}
Patch1: one.patch
%description
A demo.
{prep}
%build
true
%changelog
"""


def planned(traced: Traced, text: str, **files: bytes) -> Plan:
    return traced("", whole=text, files={**PATCHES, **files})


# -- where the source is ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "macros, version, base, unpacked",
    [
        ("%global forgeurl https://github.com/owner/repo", "1.2", ("tag", "v1.2"), "repo-1.2"),
        ("%global forgeurl https://github.com/owner/repo/\n%global tag rel-1.2", "1.2", ("tag", "rel-1.2"), "repo-rel-1.2"),
        (f"%global forgeurl https://github.com/owner/repo\n%global commit {SHA}", "1.2", ("commit", SHA), f"repo-{SHA}"),
        ("%global forgeurl https://gitlab.com/group/repo", "1.2", ("tag", "1.2"), "repo-1.2"),
        ("%global forgeurl https://pagure.io/repo", "1.2", ("tag", "1.2"), "repo-1.2"),
        ("%global forgeurl0 https://github.com/owner/repo", "1.2", ("tag", "v1.2"), "repo-1.2"),
        (f"%global forgeurl https://codeberg.org/owner/repo\n%global commit {SHA}", "1.2", ("commit", SHA), "repo"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prep", ["%forgeautosetup -p1", "%forgesetup\n%autopatch -p1", "%autosetup -p1 %{forgesetupargs}"])  # fmt: skip
def test_forgemeta(
    traced: Traced, macros: str, version: str, base: tuple[str, str], unpacked: str, prep: str
) -> None:
    text = spec(macros, f"%prep\n{prep}\npwd\nmv README README.top\n[ -d ../{unpacked} ] && rm ../{unpacked}/COPYING", source="%forgemeta\nSource: %{forgesource}", version=version)  # fmt: skip
    plan = planned(traced, text)
    assert (plan.base.kind, plan.base.rev) == base
    assert plan.steps == (APPLIED,)
    assert any(u.command == f"rm ../{unpacked}/COPYING" for u in plan.unrepresented)
    assert not plan.warnings and not plan.edits


def test_a_second_forge(traced: Traced) -> None:
    head = "%global forgeurl0 https://github.com/owner/repo\n%global forgeurl1 https://gitlab.com/owner/more\n%global version1 7\n"
    sources = "%forgemeta -a\nSource0: %{forgesource0}\nSource1: %{forgesource1}"
    plan = planned(traced, spec(head, "%prep\n%forgesetup -z 1\n%forgesetup\n%autopatch -p1", source=sources))  # fmt: skip
    assert (plan.base.rev, plan.steps) == ("v1.2", (APPLIED,))


@pytest.mark.parametrize(
    "path, name",
    [
        ("github.com/pierrec/lz4/v4", "golang-github-pierrec-lz4-4"),
        ("github.com/Azure/azure-sdk-for-go", "golang-github-azure-sdk"),
        ("golang.org/x/net", "golang-x-net"),
        ("gopkg.in/yaml.v2", "golang-gopkg-yaml-2"),
        ("github.com/go-git/go-git", "golang-github-git"),
    ],
)
def test_gometa_names_the_package(traced: Traced, path: str, name: str) -> None:
    head = f"%global goipath {path}\n%global forgeurl https://github.com/owner/repo\nVersion: 1.2\n%gometa -f"
    text = spec(head, "%prep\n%goprep -A\n%autopatch -p1", source="Source: %{gosource}", name="%{goname}").replace("Version: 1.2\nRelease", "Release")  # fmt: skip
    plan = planned(traced, text)
    assert (plan.name, plan.base.rev, plan.steps) == (name, "v1.2", (APPLIED,))
    assert [u.command for u in plan.unrepresented] == ["%gomkdir"]


@pytest.mark.parametrize(
    "head, source, unpacked, names",
    [
        ("", "%{pypi_source}", "demo-1.2", ("demo",)),
        ("%global pypi_name Real", "%{pypi_source}", "Real-1.2", ("Real", "demo")),
        ("", "%{pypi_source Other 1.2 zip}", "Other-1.2", ("Other", "demo")),
        ("%global canonical %{py_dist_name A_b.C}", "%{pypi_source %{canonical}}", "a-b-c-1.2", ("a-b-c", "demo")),
        ("%global crate serde", "%{crates_source}", "serde-1.2", ("serde", "demo")),
        ("", "https://example.org/demo-%{version_no_tilde}.tar.gz", "demo-1.2", ("demo",)),
        ("", "https://rubygems.org/gems/demo-%{version}.gem", "demo-1.2", ("demo",)),
        ("", "demo-%{version}.tar.zst", "demo-1.2", ("demo",)),
        ("", "demo-%{version}.tar.lz", "demo-1.2", ("demo",)),
        ("", "https://example.org/demo-%{version}.jar", "demo-1.2", ("demo",)),
    ],
)  # fmt: skip
def test_archives_of_languages(
    traced: Traced, head: str, source: str, unpacked: str, names: tuple[str, ...]
) -> None:
    text = spec(head, f"%prep\n%autosetup -p1 -n {unpacked}", source=f"Source: {source}")
    plan = planned(traced, text)
    assert (plan.base.versions, plan.base.names) == (("1.2",), names)
    assert plan.steps == (APPLIED,)


# -- rpm's newer than ours --------------------------------------------------------------------

DECLARED = "Source: demo-1.2.tar.gz\nBuildSystem: pyproject\n"


@pytest.mark.parametrize(
    "options, prep, tools, changed",
    [
        ("", "", ["patch"], []),
        ("BuildOption(prep): -S git_am\n", "", ["git-am"], []),
        ("BuildOption(prep): -S \\\n git_am\nBuildOption(install): %{shrink:\n -l demo\n }\nBuildOption: x\n", "", ["git-am"], []),
        ("BuildOption(prep): -N\n", "", [], []),
        ("", "%prep -a\nrm README", ["patch"], ["rm README"]),
        ("", "%prep -p\ntar xf %{SOURCE0}\ncd demo-1.2\nrm COPYING\ncd ..\n%prep -a\nmv README A\n%prep -a\nmv A B", ["patch"], ["rm COPYING", "mv README A", "mv A B"]),
        ("", "%prep\n%setup -q\n%autopatch -p1", ["patch"], []),
        ("", "%prep\n%setup -q\n%autopatch -p1\n%if 1\n%install -a\ntrue\n%endif\n%install -p\ntrue", ["patch"], []),
    ],
)  # fmt: skip
def test_build_systems(
    traced: Traced, options: str, prep: str, tools: list[str], changed: list[str]
) -> None:
    plan = planned(traced, spec("", prep, source=DECLARED + options))
    assert [step.tool for step in plan.steps] == tools
    assert [u.command for u in plan.unrepresented if "no patch" in u.why] == changed
    assert any("of BuildSystem: pyproject" in edit for edit in plan.edits)


def test_setup_strips_the_top_directory(traced: Traced) -> None:
    for prep in ("%autosetup -C -p1", "%autosetup -p1 -C", "%setup -q -C -n other\n%autopatch -p1"):
        plan = planned(traced, spec("", f"%prep\n{prep}", source="Source: odd.tar.gz"))
        assert plan.steps == (APPLIED,)


def test_versions_of_forges(traced: Traced) -> None:
    head = f"%global forgeurl https://github.com/owner/repo\n%global version0 4.32.0\n%global commit {SHA}\n%global date 20250517\n%forgemeta"
    text = spec(head, "%prep\n%forgeautosetup -p1", source="Source: %{forgesource}", version="%forgeversion")  # fmt: skip
    plan = planned(traced, text)
    assert (plan.version, plan.base.rev) == ("4.32.0^20250517git0123456", SHA)


def test_a_tag_of_an_unknown_macro(traced: Traced) -> None:
    for tag, value in (("ExclusiveArch", "%{?grafana_arches}"), ("URL", "%{ansible_collection_url a b}")):  # fmt: skip
        text = spec(f"{tag}: {value}", "%prep\n%autosetup -p1", source="Source: demo-1.2.tar.gz")
        plan = planned(traced, text)
        assert plan.edits == (f"{tag} left out: a macro in it is not known here",)


def test_functions_of_strings(traced: Traced) -> None:
    head = f"%global commit {SHA}\n%global short %{{sub %{{commit}} 1 7}}\n%global under %{{gsub 1.2 %. _}}"
    text = spec(head, "%prep\n%autosetup -p1 -n demo-%{short}", source="Source: demo-%{short}.tar.gz\nSource1: %{under}.txt")  # fmt: skip
    assert planned(traced, text, **{"1_2.txt": b""}).base.rev == SHA


# -- what nobody here knows -------------------------------------------------------------------


def test_a_line_that_is_an_unknown_macro(traced: Traced) -> None:
    head = "%foo_header -n x\n%{?known_nowhere}\n%{bar_meta}\n"
    plan = planned(traced, spec(head, "%prep\n%setup -q\n%autopatch -p1", source="Source: demo-1.2.tar.gz"))  # fmt: skip
    assert plan.steps == (APPLIED,)
    assert plan.edits == (
        "%foo_header is not known here, its lines left out",
        "%bar_meta is not known here, its lines left out",
    )


def test_an_unknown_macro_in_prep_is_told(traced: Traced) -> None:
    calls = "%cargo_prep\n%pom_remove_dep a:b sub/pom.xml\n%{__no_such} setup.py\n%pom_xpath_inject 'p:x' \\\n '<a>\n</a>'\n%gpgverify -k a -s b -d c\n%{gpgverify} --keyring=a\n%gemspec_remove_file Dir.glob('bin/{windows,linux}/x{,.exe}')\n%{?pyproject_nothing}"
    plan = planned(traced, spec("", f"%prep\n%autosetup -p1\n{calls}", source="Source: demo-1.2.tar.gz"))  # fmt: skip
    assert plan.steps == (APPLIED,)
    told = [u.command.split()[0].strip("'") for u in plan.unrepresented if "macro" in u.why]
    assert told == [
        "%cargo_prep",
        "%pom_remove_dep",
        "%{__no_such}",
        "%pom_xpath_inject",
        "%gemspec_remove_file",
    ]


def test_an_unknown_macro_as_a_condition(traced: Traced) -> None:
    text = spec("%if %{efi_is_here}\nbroken\n%else\n%if 0%{?efi} || %{efi_is_here}\nbroken\n%endif\n%endif", "%prep\n%autosetup -p1", source="Source: demo-1.2.tar.gz")  # fmt: skip
    plan = planned(traced, text)
    assert plan.edits == ("%efi_is_here is not known here, as a condition it is 0",)


def test_what_is_no_macro_stays_an_error(traced: Traced) -> None:
    for bad in ("<<<<<<< HEAD", "Nonsense: 1", "%if 1"):
        with pytest.raises(SpecError):
            planned(traced, spec(bad, "%prep\n%autosetup -p1", source="%gometa_x\nSource: demo-1.2.tar.gz"))  # fmt: skip


def test_release_and_changelog_of_rpmautospec(traced: Traced) -> None:
    for release, value in (("%autorelease", "1.fc28"), ("%autorelease -b 7", "1.fc28"), ("%{autorelease -e rc1}", "1.rc1.fc28"), ("%autorelease -p -n", "0.1")):  # fmt: skip
        text = spec("", "%prep\n%autosetup -p1", source="Source: demo-1.2.tar.gz")
        text = text.replace("Release: 1%{?dist}", f"Release: {release}") + "%autochangelog\n"
        plan = planned(traced, text)
        assert (plan.release, plan.warnings, plan.edits) == (value, (), ())
    own = "%define autorelease(e:s:pb:n) 42%{?dist}\n"
    text = text.replace("Release: %autorelease -p -n", "Release: %autorelease")
    assert planned(traced, own + text).release == "42.fc28"


# -- specs in parts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part, prep",
    [
        ("%include %{SOURCE7}", "%autosetup -p1"),
        ("%include %{_sourcedir}/part.inc", "%autosetup -p1"),
        ("%(cat %{_sourcedir}/part.inc)", "%autosetup -p1"),
        ("%{lua: for line in io.lines(rpm.expand('%{_sourcedir}/part.inc')) do print(line .. '\\n') end}", "%autosetup -p1"),
    ],
)  # fmt: skip
def test_parts(traced: Traced, part: str, prep: str) -> None:
    text = spec("", f"%prep\n{prep}", source=f"Source: demo-1.2.tar.gz\nSource7: part.inc\n{part}")
    plan = planned(traced, text, **{"part.inc": b"Patch2: two.patch\nURL: https://example.org/\n"})
    assert [step.patch for step in plan.steps] == [b"two.patch", b"one.patch"]


def test_a_part_with_prep_itself(traced: Traced) -> None:
    text = spec("", "%include %{_sourcedir}/prep.inc", source="Source: demo-1.2.tar.gz")
    plan = planned(traced, text, **{"prep.inc": b"%prep\n%setup -q\n%patch -P 1 -p1\n"})
    assert plan.steps == (APPLIED,)


def test_macros_from_a_file(traced: Traced) -> None:
    head = "%{load:%{_sourcedir}/macros.demo}"
    text = spec(head, "%prep\n%demo_prep", source="Source: demo-1.2.tar.gz")
    plan = planned(traced, text, **{"macros.demo": b"%demo_prep %autosetup -p1\n"})
    assert plan.steps == (APPLIED,)


# -- edits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before, said, after",
    [
        (b"%a\n%b -x \\\n%prep\n%b\n", "error: line 2: Unknown tag: %b -x", b"%a\n\\\n%prep\n%b\n"),
        (b"%{?c: x}\n%d\n", "error: line 1: Unknown tag: %{?c: x}", b"\n%d\n"),
        (b"%setup -q -C -n x\n# -C\n", "error: line 1: Unknown option C in setup", b"%setup -q -n x\n# -C\n"),
        (b"%{autosetup -C}\n", "error: Unknown option C in autosetup()", b"%{autosetup}\n"),
        (b"%build\nx\n%if 1\n%build -a\ny\n%endif\n%install\n", "error: line 3: second %build", b"\n\n%if 1\n\n\n%endif\n%install\n"),
        (b"%if %{a} && %{b}\n%if %{ab}\n", "error: f.spec:1: parse error in expression: %{a}", b"%if 0 && %{b}\n%if %{ab}\n"),
        (b"%autopatch -q -p1 -m 1\n", "error: f.spec: line 1: Unknown option q in autopatch(vp:m:M:)", b"%autopatch -p1 -m 1\n"),
        (b"%prep\nx\n%build\n%y\n%if 1\n%files\n", "error: f.spec: line 4: Too many levels of recursion in macro", b"%prep\nx\n\n\n%if 1\n%files\n"),
        (b"%description\n%pretrans devel -p <lua>\nx\n%prep\n", "error: line 2: %pretrans devel -p <lua>: package x-devel does not exist", b"%description\n\n\n%prep\n"),
        (b"%define x \\\n%if 1 \\\n%endif \\\n\n%prep\nx \\\n%ifarch y \\\n  z \\\n%endif \\\n\n", "error: line 5: Unclosed %if", b"%define x \\\n%if 1 \\\n%endif \\\n\n%prep\nx \\\n%ifarch y\n  z \\\n%endif\n\n"),
        (b"a\n\nRequires: x\\\nBuildRequires(pre): z\n", "error: anything", b"a\n\n\\\n\n"),
    ],
)  # fmt: skip
def test_an_edit_keeps_the_lines(before: bytes, said: str, after: bytes) -> None:
    made = edit(before, said)
    assert made is not None
    assert made[0] == after
    assert before.count(b"\n") == after.count(b"\n")


def test_nothing_is_left_to_try() -> None:
    assert edit(b"Name: x\n", "error: line 1: Unknown tag: %foo") is None
    assert edit(b"Name: x\n", "") is None
    assert edit(b"#\n", "Name field must be present in package: (main package)") is None


def test_an_archive_that_is_a_pointer(traced: Traced) -> None:
    """XCP-ng keeps archives in pkg-git by git-lfs, in SOURCES/; what is left is not an archive."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 161046676\n"
    text = spec("", "%prep\n%autosetup -p1", source="Source: demo-1.2.tar.gz")
    files = {"SOURCES/one.patch": PATCH, "SOURCES/demo-1.2.tar.gz": pointer}
    plan = traced("", whole=text, files=files, spec="SPECS/demo.spec")
    assert [step.patch for step in plan.steps] == [b"SOURCES/one.patch"]


def test_a_newer_lua_is_named(traced: Traced) -> None:
    head = "%{load:%{_sourcedir}/macros.demo}\n%demo_define x"
    text = spec(head, "%prep\n%autosetup -p1", source="Source: demo-1.2.tar.gz")
    macros = b'%demo_define() %{lua:\nlocal a <const> = "b"\n}\n'
    lua = subprocess.run(["rpm", "--eval", "%{lua:print(_VERSION)}"], stdout=subprocess.PIPE).stdout
    if lua >= b"Lua 5.4":
        assert planned(traced, text, **{"macros.demo": macros}).steps == (APPLIED,)
        return
    with pytest.raises(SpecError, match="this rpm has Lua 5") as caught:
        planned(traced, text, **{"macros.demo": macros})
    assert "Fedora" in caught.value.next_step
