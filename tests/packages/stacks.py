"""What only rpm 4.20 or Fedora's own macros know.

The judge's rpm is older and has none of these, so it gets the spec as they expand it there
(``judged``: redhat-rpm-config's forge.lua and macros.forge, rpmautospec, rpm's macros.in).
"""

from tests.packages.model import ALL, BOTH, ONE, SPEC, Package

AUTO = "%autosetup -p1"
WITHOUT_PREP = SPEC.replace("%prep\n@PREP@\n\n", "").replace("%build\nmake\n\n", "")
SYSTEM = WITHOUT_PREP.replace("@DECLARE@", "@DECLARE@BuildSystem: autotools\n")
OPTION = SYSTEM.replace("autotools\n", "autotools\nBuildOption(prep): -S git_am\nBuildOption(conf): --x\n")  # fmt: skip
PARTS = SYSTEM.replace("%files", "%prep -a\nrm COPYING\n\n%prep -a\nmv docs/guide.txt guide\n\n%prep -p\n: before\n\n%files")  # fmt: skip
DROPPED = {"rm COPYING": ["D COPYING"]}
MOVED = {"mv docs/guide.txt guide": ["D docs/guide.txt", "A guide"]}

AUTOSPEC = SPEC.replace("3%{?dist}", "%autorelease").replace("* Mon Jan 06 2025 A. Packager <packager@example.org> - 1.2-3\n- rebuilt\n", "%autochangelog\n")  # fmt: skip
OPTIONS = AUTOSPEC.replace("%autorelease", "%autorelease -b 3 -e rc1 -s 20250106gitabc")


def forged(about: str, version: str = "1.2") -> str:
    """Return a spec whose source a forge has; ``about`` tells which."""
    spec = SPEC.replace("%{url}/releases/demo-%{version}.tar.gz", "%{forgesource}")
    url = "%global forgeurl https://github.com/example/demo\n"
    return spec.replace("Version: 1.2\n", f"Version: {version}\n{url}{about}%forgemeta\n")


def plain(top: str, version: str = "1.2") -> str:
    """Return what the spec of a forge amounts to: an archive with the directory ``top``."""
    return SPEC.replace("demo-%{version}", top).replace("Version: 1.2", f"Version: {version}")


COMMIT = "%global commit @COMMIT@\n"
SNAPSHOT = "1.2^20250106git1234567"

NAMELESS = SPEC.replace("Name: demo\n", "# a font\n").replace("Summary: A demo\nLicense: MIT\n", "\n%fontpkg\n\n").replace("%description\nA demo.\n", "")  # fmt: skip

STACKS = SPEC.replace(
    "%description",
    "BuildRequires: python3dist(demo) >= %{py3_version}\n%{?python_enable_dependency_generator}\n%gopkg\n%description",
)
STACKS = STACKS.replace(
    "%build\nmake\n",
    "%generate_buildrequires\n%pyproject_buildrequires -t\n\n%build\n%pyproject_wheel\n%cargo_build -a\n%gobuild -o x %{goipath}/cmd\n\n%install\n%pyproject_install\n%pyproject_save_files demo\n",
)
STACKS = STACKS.replace("%files\n", "%files -f %{pyproject_files}\n%gopkgfiles\n")

PACKAGES = [
    Package("BuildSystem", "", ALL, spec=SYSTEM, judged=(SPEC, AUTO)),
    Package("BuildOption(prep)", "", {"one.patch": ONE}, spec=OPTION, judged=(SPEC, f"{AUTO} -S git_am")),
    Package("%prep in parts", "", BOTH, spec=PARTS, judged=(SPEC, f": before\n{AUTO}\nrm COPYING\nmv docs/guide.txt guide"), beside=DROPPED | MOVED),
    Package("%prep -a behind a %prep", f"{AUTO}\n\n%prep -a\nrm COPYING", BOTH, judged=(SPEC, f"{AUTO}\nrm COPYING"), beside=DROPPED),
    Package("a package that a macro names", AUTO, BOTH, spec=NAMELESS, judged=(SPEC, AUTO)),
    Package("macros of language stacks", AUTO, BOTH, spec=STACKS, judged=(SPEC, AUTO)),
    Package("a spec put together from files", AUTO, {**BOTH, "patches.in": "one\ntwo\n"}, "%(n=0; for p in $(cat %{_sourcedir}/patches.in); do n=$((n+1)); echo Patch$n: $p.patch; done)\n"),
    Package("a spec put together by Lua", AUTO, {**BOTH, "patches.in": "one\ntwo\n"}, "%{lua:for p in io.lines(rpm.expand('%{_sourcedir}/patches.in')) do print('Patch: ' .. p .. '.patch\\n') end}\n"),
    Package("autosetup -C", f"{AUTO} -C", BOTH, judged=(SPEC, AUTO)),
    Package("autopatch -q", "%setup -q\n%autopatch -q -p1", BOTH, judged=(SPEC, AUTO)),
    Package("rpmautospec", AUTO, BOTH, spec=AUTOSPEC, judged=(SPEC, AUTO)),
    Package("rpmautospec with options", AUTO, BOTH, spec=OPTIONS, judged=(SPEC, AUTO)),
    Package("forgemeta of a version", "%forgeautosetup -p1", BOTH, spec=forged(""), judged=(plain("demo-1.2"), AUTO)),
    Package("forgemeta of a tag", "%forgesetup\n%autopatch -p1", BOTH, spec=forged("%global tag v1.2\n"), judged=(plain("demo-1.2"), AUTO)),
    Package("forgemeta of a commit", "%autosetup -p1 %{forgesetupargs}", BOTH, spec=forged(COMMIT), judged=(plain("demo-@COMMIT@"), f"{AUTO} -n demo-@COMMIT@")),
    Package("forgemeta of a snapshot", "%forgeautosetup -p1", BOTH, spec=forged(COMMIT, SNAPSHOT), judged=(plain("demo-@COMMIT@", SNAPSHOT), f"{AUTO} -n demo-@COMMIT@")),
    Package("%global commit", "%autosetup -p1 -n demo-%{commit}", BOTH, spec=COMMIT + SPEC.replace("demo-%{version}", "demo-%{commit}")),
    Package("a short commit in the release", "%autosetup -p1 -n demo-%{commit}", BOTH, spec=COMMIT + "%global short %(c=%{commit}; echo ${c:0:7})\n" + SPEC.replace("demo-%{version}", "demo-%{commit}").replace("3%{?dist}", "0.1.20250106git%{short}%{?dist}")),
]  # fmt: skip
