"""Tags of real upstreams (shortened lists): which of them stands for a version."""

from __future__ import annotations

import pytest

from converter.tagname import Tag, Unclear, find

# Real upstreams, their tags as they are, shortened.
GLIB = "GLIB_2_28_0 GLIB_2_28_1 GLIB_2_30_0 GLIB_2_50_0 GLIB_2_50_1 2.54.0 2.54.1 2.56.0 start glib-2-6-branchpoint"
EXPAT = "R_2_1_0 R_2_2_0 R_2_2_10 R_2_4_9 R_2_5_0 V20000512 V19990109"
OPENSSL = "OpenSSL_1_0_2 OpenSSL_1_0_2u OpenSSL_1_1_1 OpenSSL_1_1_1s openssl-3.0.0 openssl-3.0.0-alpha1 openssl-3.0.0-beta1 openssl-3.0.1 openssl-3.0.10 openssl-3.1.0 master-post-reformat"
CPYTHON = "v3.10.0 v3.10.0rc1 v3.10.0a1 v3.10.0b4 v3.11.0 v3.11.0rc1 v3.11.0rc2 v3.9.1 v3.9.1rc1"
DJANGO = "4.0 4.0.1 4.0rc1 4.0a1 4.1 4.1.1 4.1rc1 4.1b1 4.2"
NSS = "NSS_3_50_RTM NSS_3_50_BETA1 NSS_3_51_RTM NSS_3_51_BETA1 NSS_3_51_BETA2 NSS_3_51_1_RTM NSS_3_60_RTM NSPR_4_25_RTM"
POSTGRES = "REL9_6_0 REL9_6_1 REL_10_0 REL_10_1 REL_15_2 REL_15_BETA1 REL_15_RC1 REL_16_0"
OPENSSH = "V_8_9_P1 V_9_0_P1 V_9_1_P1 V_9_2_P1 V_9_1 V_9_0"
IMAGEMAGICK = "7.1.0-51 7.1.0-52 7.1.0-53 7.1.0-5 7.1.1-0"
LVM = "v2_03_16 v2_03_17 v2_02_100 old-v2_02_99 dm_v1_02_185 dm_v1_02_187"
TCL = "core-8-6-12 core-8-6-13 core-8-6-11 core-8-6-10 core-8-7-a1 dkf-experimental vc-before-cvs"
LIBEVENT = "release-2.1.11-stable release-2.1.12-stable release-2.1.8-stable release-2.1.9-beta release-1.4.15-stable"
NGINX = "release-1.22.0 release-1.22.1 release-1.23.0 release-1.2.2 release-1.2.20"
LIBXML = "LIBXML2.7.7 LIBXML2.7.8 v2.9.14 v2.10.0 v2.10.3 LIBXML_1_8_17"
RPM = "rpm-4.16.0-release rpm-4.16.0-rc1 rpm-4.16.0-beta1 rpm-4.18.0-release rpm-4.18.0-rc1 rpm-4.9.0-release"
GCC = "releases/gcc-12.1.0 releases/gcc-12.2.0 releases/gcc-4.9.0 basepoints/gcc-12 basepoints/gcc-13 releases/libgcj-2.95.1"
GDB = "gdb-12.1-release gdb-11.2-release gdb-12-branchpoint gdb_7_1-2010-03-18-release binutils-2_39 binutils-2_38 binutils-2_38-branchpoint"
LLVM = (
    "llvmorg-15.0.0 llvmorg-15.0.1 llvmorg-15.0.0-rc1 llvmorg-14.0.6 llvmorg-16-init llvmorg-16.0.0"
)
RE2 = "2021-09-01 2022-04-01 2022-06-01 2022-12-01"
ICU = (
    "release-72-1 release-71-1 release-72-rc cldr/2022-09-01 icu4x/2022-08-17/71.x release-4-8-1-1"
)
BABEL = "v7.20.0 v7.20.1 @babel/core@7.20.0 @babel/parser@7.20.0 @babel/core@7.20.1 v7.21.0"
FIREFOX = (
    "FIREFOX_106_0_RELEASE FIREFOX_106_0_BUILD1 FIREFOX_106_0b9_RELEASE FIREFOX_106_0_1_RELEASE"
)
PERL_MOOSE = "2.2014 2.2015 2.1000 v0.93_01 0.93 2.2014-TRIAL"
PERL_DBI = "1.640 1.641 1.642 1.643 release_1.6 r1.30"
SYSTEMD = "v251 v252 v252-rc1 v252.4 v253"
KERNELISH = "v6.12 v6.12.8 v6.12-rc1 v5.7 v5.7-rc1"
JBOSS = "1.0.0.Final 1.0.0.CR1 1.0.0.Beta2 1.1.0.Final"
MESA = "mesa-22.3.0 mesa-22.3.0-rc1 mesa-22.3.0-rc2 mesa-22.3.1 mesa-7.10"
ANACONDA = "anaconda-34.25.3.8-1 anaconda-34.25.3.9-1 anaconda-34.25.4.1-1 anaconda-35.1-1 anaconda-40.1 anaconda-40.2"
TITO = "demo-1.0-1 demo-1.1-1 demo-1.1-2 demo-1.2-1 demo-1.2"
XEN = "RELEASE-4.16.2 RELEASE-4.16.1 4.16.2-shim 4.16.0-rc1"


@pytest.mark.parametrize(
    "tags, names, version, tag, template",
    [
        (GLIB, ["glib", "glib2"], "2.50.0", "GLIB_2_50_0", "GLIB_%{version}"),
        (GLIB, ["glib", "glib2"], "2.56.0", "2.56.0", "%{version}"),
        (EXPAT, ["expat"], "2.5.0", "R_2_5_0", "R_%{version}"),
        (OPENSSL, ["openssl"], "3.0.1", "openssl-3.0.1", "openssl-%{version}"),
        (OPENSSL, ["openssl"], "1.1.1s", "OpenSSL_1_1_1s", "OpenSSL_%{version}"),
        (OPENSSL, ["openssl"], "3.0.0", "openssl-3.0.0", "openssl-%{version}"),
        (OPENSSL, ["openssl"], "3.0.0~alpha1", "openssl-3.0.0-alpha1", "openssl-%{version}"),
        (CPYTHON, ["Python", "python3.11"], "3.11.0~rc1", "v3.11.0rc1", "v%{version}"),
        (CPYTHON, ["Python", "python3.11"], "3.11.0", "v3.11.0", "v%{version}"),
        (CPYTHON, ["Python", "python3.9"], "3.9.1", "v3.9.1", "v%{version}"),
        (DJANGO, ["Django", "python-django"], "4.1", "4.1", "%{version}"),
        (DJANGO, ["Django", "python-django"], "4.1~beta1", "4.1b1", "%{version}"),
        (NSS, ["nss"], "3.51", "NSS_3_51_RTM", "NSS_%{version}_RTM"),
        (NSS, ["nss"], "3.51.1", "NSS_3_51_1_RTM", "NSS_%{version}_RTM"),
        (POSTGRES, ["postgresql"], "15.2", "REL_15_2", "REL_%{version}"),
        (POSTGRES, ["postgresql"], "9.6.1", "REL9_6_1", "REL%{version}"),
        (OPENSSH, ["openssh"], "9.1p1", "V_9_1_P1", "V_%{version}"),
        (IMAGEMAGICK, ["ImageMagick"], "7.1.0.52", "7.1.0-52", "%{version}"),
        (IMAGEMAGICK, ["ImageMagick"], "7.1.0.5", "7.1.0-5", "%{version}"),
        (LVM, ["LVM2", "lvm2"], "2.03.17", "v2_03_17", "v%{version}"),
        (TCL, ["tcl"], "8.6.13", "core-8-6-13", "core-%{version}"),
        (LIBEVENT, ["libevent"], "2.1.12", "release-2.1.12-stable", "release-%{version}-stable"),
        (NGINX, ["nginx"], "1.22.0", "release-1.22.0", "release-%{version}"),
        (NGINX, ["nginx"], "1.2.2", "release-1.2.2", "release-%{version}"),
        (LIBXML, ["libxml2"], "2.7.8", "LIBXML2.7.8", "LIBXML%{version}"),
        (LIBXML, ["libxml2"], "2.10.3", "v2.10.3", "v%{version}"),
        (RPM, ["rpm"], "4.18.0", "rpm-4.18.0-release", "rpm-%{version}-release"),
        (RPM, ["rpm"], "4.18.0~rc1", "rpm-4.18.0-rc1", "rpm-%{version}"),
        (GCC, ["gcc"], "12.2.0", "releases/gcc-12.2.0", "releases/gcc-%{version}"),
        (GDB, ["gdb"], "12.1", "gdb-12.1-release", "gdb-%{version}-release"),
        (GDB, ["binutils"], "2.39", "binutils-2_39", "binutils-%{version}"),
        (LLVM, ["llvm"], "15.0.1", "llvmorg-15.0.1", "llvmorg-%{version}"),
        (LLVM, ["llvm"], "15.0.0~rc1", "llvmorg-15.0.0-rc1", "llvmorg-%{version}"),
        (RE2, ["re2"], "20220601", "2022-06-01", "%{version}"),
        (ICU, ["icu4c", "icu"], "72.1", "release-72-1", "release-%{version}"),
        (BABEL, ["babel", "nodejs-babel"], "7.20.1", "v7.20.1", "v%{version}"),
        (FIREFOX, ["firefox"], "106.0", "FIREFOX_106_0_RELEASE", "FIREFOX_%{version}_RELEASE"),
        (FIREFOX, ["firefox"], "106.0.1", "FIREFOX_106_0_1_RELEASE", "FIREFOX_%{version}_RELEASE"),
        (PERL_MOOSE, ["Moose", "perl-Moose"], "2.2014", "2.2014", "%{version}"),
        (PERL_DBI, ["DBI", "perl-DBI"], "1.643", "1.643", "%{version}"),
        (PERL_DBI, ["DBI", "perl-DBI"], "1.30", "r1.30", "r%{version}"),
        (SYSTEMD, ["systemd"], "252.4", "v252.4", "v%{version}"),
        (SYSTEMD, ["systemd"], "252~rc1", "v252-rc1", "v%{version}"),
        (KERNELISH, ["kernel-thing"], "5.7.0", "v5.7", "v%{version}"),
        (KERNELISH, ["kernel-thing"], "5.7.0~rc1", "v5.7-rc1", "v%{version}"),
        (JBOSS, ["xnio", "jboss-xnio"], "1.1.0", "1.1.0.Final", "%{version}.Final"),
        (JBOSS, ["xnio", "jboss-xnio"], "1.0.0~CR1", "1.0.0.CR1", "%{version}"),
        (MESA, ["mesa"], "22.3.0~rc2", "mesa-22.3.0-rc2", "mesa-%{version}"),
        (XEN, ["xen"], "4.16.2", "RELEASE-4.16.2", "RELEASE-%{version}"),
        (ANACONDA, ["anaconda"], "34.25.3.8", "anaconda-34.25.3.8-1", "anaconda-%{version}-1"),
        (ANACONDA, ["anaconda"], "40.1", "anaconda-40.1", "anaconda-%{version}"),
        (TITO, ["demo"], "1.0", "demo-1.0-1", "demo-%{version}-1"),
        (TITO, ["demo"], "1.2", "demo-1.2", "demo-%{version}"),
        ("1.34 1.35 Foo-Bar-1.02 Foo-Bar-1.03", ["Foo-Bar", "perl-Foo-Bar"], "1.02", "Foo-Bar-1.02", "Foo-Bar-%{version}"),
        ("glib2-2.50.0 glib2-2.50.1", ["glib2"], "2.50.0", "glib2-2.50.0", "glib2-%{version}"),
        ("v1.2 foo-plugin-1.2 v1.1", ["foo"], "1.2", "v1.2", "v%{version}"),
        ("v1.2 foo-plugin-1.2 v1.1", ["foo-plugin", "foo"], "1.1", "v1.1", "v%{version}"),
    ],
)  # fmt: skip
def test_the_tag_of_a_version(
    tags: str, names: list[str], version: str, tag: str, template: str
) -> None:
    found = find([version], names, tags.split())
    assert isinstance(found, Tag), found
    assert (found.name, found.template) == (tag, template)
    assert "tags look like" in found.why


@pytest.mark.parametrize(
    "tags, names, version",
    [
        ("v1.0 v1.1 foo-plugin-1.2 foo-plugin-1.1", ["foo"], "1.2"),
        ("v1.2.1 v1.2-rc1 v11.2 v1.1.2 v1.2rc1 v1.2beta v1.2a1 v1.2-pre", ["foo"], "1.2"),
        ("v1.2.1 v1.2.2 v1.2-3", ["foo"], "1.2.3"),  # 1.2.3 is not the third release of 1.2
        (OPENSSL, ["openssl"], "1.1"),
        (SYSTEMD, ["systemd"], "254"),
        (GDB, ["gdb"], "12"),
        (GCC, ["gcc"], "13.0.0"),
        (PERL_MOOSE, ["Moose"], "2.214"),  # in Perl 1.02 is not 1.2
        ("1.0 1.0-docs 1.1 1.1-docs 1.2-docs", ["foo"], "1.2"),
        ("v1.1 v1.3", ["foo"], "1.2"),
        ("", ["foo"], "1.2"),
        (LIBXML, ["libxml2"], "7.8"),
    ],
)
def test_no_tag_is_better_than_a_wrong_one(tags: str, names: list[str], version: str) -> None:
    found = find([version], names, tags.split())
    assert isinstance(found, Unclear), found
    assert not found.candidates
    assert version in found.why


@pytest.mark.parametrize(
    "tags, names, version, candidates",
    [
        ("v1.2 1.2", ["foo"], "1.2", {"v1.2", "1.2"}),
        ("v1.1 v1.2 1.1 1.2", ["foo"], "1.2", {"v1.2", "1.2"}),
        ("v1.2-rc1 v1.2rc1 v1.1", ["foo"], "1.2~RC1", {"v1.2-rc1", "v1.2rc1"}),
    ],
)
def test_two_that_could_be_meant_are_told(
    tags: str, names: list[str], version: str, candidates: set[str]
) -> None:
    found = find([version], names, tags.split())
    assert isinstance(found, Unclear)
    assert set(found.candidates) == candidates


def test_one_zero_more_is_the_same_and_is_told() -> None:
    found = find(["3.0"], ["openssl"], OPENSSL.split())
    assert isinstance(found, Tag) and found.name == "openssl-3.0.0"
    assert "3.0 is 3.0.0 there" in found.why


def test_the_look_of_most_tags_decides() -> None:
    tags = ["v1.0", "v1.1", "v1.2", "v1.3", "v1.4", "1.2"]
    found = find(["1.2"], ["foo"], tags)
    assert isinstance(found, Tag) and found.name == "v1.2"
    assert "4 of the other 5 tags" in found.why


def test_a_configured_template_goes_first() -> None:
    tags = ["v1.0", "v1.1", "v1.2", "vendor/1.2", "foo_1_2"]
    found = find(["1.2"], ["foo"], tags, ["nothing-%{version}", "vendor/%{version}"])
    assert found == Tag("vendor/1.2", "vendor/%{version}", found.why)
    found = find(["1.2"], ["foo"], tags, ["%{name}_%{version}"])
    assert isinstance(found, Tag) and found.name == "foo_1_2"
    assert isinstance(find(["1.2"], ["foo"], tags, ["gone-%{version}"]), Tag)


def test_without_a_name_nothing_is_learned() -> None:
    """The kernel's rule: its tag is v%{version}, and no other will do."""
    assert isinstance(find(["6.13"], (), ["v6.13.0", "6.13"]), Unclear)


def test_the_first_version_that_has_a_tag_counts() -> None:
    found = find(["72_1-src", "72.1"], ["icu4c", "icu"], ICU.split())
    assert isinstance(found, Tag) and found.name == "release-72-1"


def test_an_archive_s_number_and_the_tag_s_version() -> None:
    tags = [f"version-3.{n}.{m}" for n in (46, 49, 50) for m in range(4)] + [
        "major-release",
        "mistake",
    ]
    found = find(["3500200", "3.50.2"], ["sqlite-src", "sqlite"], tags)
    assert isinstance(found, Tag) and found.name == "version-3.50.2"


RELEASED = ["release", "final", "stable", "ga", "rtm"]
EARLIER = [
    "a",
    "alpha",
    "b",
    "beta",
    "rc",
    "c",
    "cr",
    "pre",
    "preview",
    "dev",
    "test",
    "snapshot",
    "m",
    "milestone",
    "nightly",
]


@pytest.mark.parametrize("dash", ["", "-", "_", "."])
@pytest.mark.parametrize("word", RELEASED)
def test_a_word_that_only_says_release(word: str, dash: str) -> None:
    for tag in (f"v1.2{dash}{word}", f"v1.2{dash}{word}".upper()):
        found = find(["1.2"], ["foo"], [tag, "v1.1", "v1.0", "v0.9"])
        assert isinstance(found, Tag) and found.name == tag


@pytest.mark.parametrize("tail", ["", "1"])
@pytest.mark.parametrize("dash", ["", "-", "_", "."])
@pytest.mark.parametrize("word", EARLIER)
def test_a_word_that_says_before_it(word: str, dash: str, tail: str) -> None:
    for tag in (f"v1.2{dash}{word}{tail}", f"v1.2{dash}{word}{tail}".upper()):
        tags = [tag, "v1.1", "v1.0", f"v1.0{dash}{word}{tail}"]
        assert isinstance(find(["1.2"], ["foo"], tags), Unclear)


def test_of_two_spellings_the_version_s_own() -> None:
    for version, own, other in (("1.2", "v1.2", "v1-2"), ("1.2~rc1", "v1.2-rc1", "v1.2rc1")):
        found = find([version], ["foo"], [other, own])
        assert isinstance(found, Tag) and found.name == own
    told = find(["1.2~rc1"], ["foo"], ["v1.2rc1", "v1.2_rc1"])
    assert isinstance(told, Unclear) and len(told.candidates) == 2


@pytest.mark.parametrize("version", ["", "~", "+"])
def test_a_version_of_nothing_has_no_tag(version: str) -> None:
    assert isinstance(find([version], ["foo"], ["v1.0", "foo", ""]), Unclear)


def test_a_strange_look_is_believed_where_most_tags_have_it() -> None:
    tags = [f"foo-1.{n}-src" for n in range(7)]
    found = find(["1.2"], ["foo"], tags)
    assert isinstance(found, Tag) and found.template == "foo-%{version}-src"
    others = [f"x{n}" for n in range(7)]
    assert isinstance(find(["1.2"], ["foo"], [*tags, *others]), Unclear)
    assert isinstance(find(["1.2"], ["foo"], tags[:4]), Tag)
    assert isinstance(find(["1.2"], ["foo"], tags[:3]), Unclear)  # too few to go by


def test_several_releases_of_tito_could_each_be_meant() -> None:
    found = find(["1.1"], ["demo"], TITO.split())
    assert isinstance(found, Unclear) and found.candidates == ("demo-1.1-1", "demo-1.1-2")


@pytest.mark.parametrize(
    "tags",
    ["demo-1.2-1 demo-1.3", "demo-2-1 demo-2-2 demo-2-3", "else-1.2-1 else-1.3-1 else-1.4-1"],
)
def test_what_only_looks_like_titos(tags: str) -> None:
    version = "2" if "demo-2-1" in tags else "1.2"
    assert isinstance(find([version], ["demo"], tags.split()), Unclear)
