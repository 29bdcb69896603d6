"""Which patches apply where; and names that macros make."""

from tests.packages.model import BOTH, ONE, Package

AUTO = "%autosetup -p1"
SETUP = "%setup -q\n%patch -P 1 -p1\n"
FIRST = ["one.patch"]

PACKAGES = [
    Package("%if on the release", SETUP + "%if 0%{?fedora} < 40\n%patch -P 2 -p1\n%endif", BOTH, applied=FIRST),
    Package("%if on the release, on another", SETUP + "%if 0%{?fedora} < 40\n%patch -P 2 -p1\n%endif", BOTH, dist=".fc39"),
    Package("%if on RHEL", SETUP + "%if 0%{?rhel}\n%patch -P 2 -p1\n%endif", BOTH, dist=".el9"),
    Package("%else", "%setup -q\n%if 0%{?rhel}\n%patch -P 1 -p1\n%else\n%patch -P 2 -p1\n%endif", BOTH, applied=["two.patch"]),
    Package("%elif", "%setup -q\n%if 0%{?rhel}\n%patch -P 1 -p1\n%elif 0%{?fedora} >= 41\n%patch -P 2 -p1\n%endif", BOTH, applied=["two.patch"]),
    Package("%ifarch", SETUP + "%ifarch s390x\n%patch -P 2 -p1\n%endif", BOTH, applied=FIRST),
    Package("%ifarch, on that architecture", SETUP + "%ifarch s390x\n%patch -P 2 -p1\n%endif", BOTH, arch="s390x"),
    Package("%ifnarch", SETUP + "%ifnarch s390x ppc64le\n%patch -P 2 -p1\n%endif", BOTH),
    Package("%ifarch with a macro", SETUP + "%ifarch %{arm} aarch64\n%patch -P 2 -p1\n%endif", BOTH, applied=FIRST),
    Package("bcond_with", "%bcond_with tests\n" + SETUP + "%if %{with tests}\n%patch -P 2 -p1\n%endif", BOTH, applied=FIRST),
    Package("bcond_without", "%bcond_without tests\n" + SETUP + "%if %{with tests}\n%patch -P 2 -p1\n%endif", BOTH),
    Package("%{?with_x:}", "%global with_x 1\n" + SETUP + "%{?with_x:%patch -P 2 -p1}", BOTH),
    Package("%{!?x:}", SETUP + "%{!?with_x:%patch -P 2 -p1}", BOTH),
    Package("a conditional declaration", AUTO, BOTH, "Patch1: one.patch\n%if 0%{?rhel}\nPatch2: two.patch\n%endif\n", applied=FIRST),
    Package("%define in the shell's word", "%define which %(echo 2)\n%setup -q\n%patch -P %{which} -p1", BOTH, applied=["two.patch"]),
    Package("%global from a file of pkg-git", AUTO, {"one.patch": ONE, "which": "one"}, "%global which %(cat %{_sourcedir}/which)\nPatch1: %{which}.patch\n"),
    Package("%include", AUTO, {**BOTH, "patches.inc": "Patch1: one.patch\nPatch2: two.patch\n"}, "%include %{_sourcedir}/patches.inc\n"),
    Package("%load of macros", "%setup -q\n%apply_all", {**BOTH, "macros.demo": "%apply_all %autopatch -p1\n"}, "%{load:%{_sourcedir}/macros.demo}\nPatch1: one.patch\nPatch2: two.patch\n"),
    Package("macros in names", AUTO, {"demo-1.2-fix.patch": ONE}, "Patch1: %{name}-%{version}-fix.patch\n"),
    Package("a macro with an unknown one in it", AUTO, {"one.patch": ONE}, "%global flags %{?optflags} -O2 %{_no_such_macro}\nPatch1: one.patch\n"),
    Package("a URL", AUTO, {"one.patch": ONE}, "Patch1: https://example.org/demo/commit/one.patch\n"),
    Package("a URL with #/", AUTO, {"one.patch": ONE}, "Patch1: https://example.org/demo/commit/12345.diff?full=1#/one.patch\n"),
    Package("comments above", AUTO, BOTH, "# fixes bug 1\n# https://bugs.example.org/1\nPatch1: one.patch\n# not upstream\nPatch2: two.patch\n"),
    Package("leading zeros", "%setup -q\n%patch -P 0001 -p1\n%patch -P 2 -p1", BOTH, "Patch0001: one.patch\nPatch0002: two.patch\n"),
    Package("blanks and case", AUTO, BOTH, "patch1 :\tone.patch\nPATCH2:   two.patch\n"),
    Package("Epoch", AUTO, {"one.patch": ONE}, "Epoch: 2\nPatch1: one.patch\n"),
    Package("patches in a subdirectory of pkg-git", AUTO, {"patches/one.patch": ONE, "patches/two.patch": BOTH["two.patch"]}),
    Package("a loop in Lua over numbers", "%setup -q\n%{lua:for n = 1, 2 do print(rpm.expand('%patch -P ' .. n .. ' -p1\\n')) end}", BOTH),
]  # fmt: skip
