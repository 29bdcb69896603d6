"""rpm's own macros: %setup, %autosetup, %autopatch, %patch (rpm 4.18; build/parsePrep.c, macros.in)."""

from tests.packages.model import (
    ALL,
    BOTH,
    EXTRA,
    MAIN,
    ONE,
    SUB,
    UTIL,
    Edit,
    Package,
    diff_u,
    git_diff,
    mail,
    replaced,
)

BACK: Edit = {"src/main.c": replaced(" /* checked */", "")}  # on top of MAIN
README = {"readme.patch": diff_u({"README.md": replaced("nothing", "all")})}
P0 = {"one.patch": git_diff(MAIN, options=["--no-prefix"])}
NUMBERED = "Patch10: one.patch\nPatch20: two.patch\nPatch30: three.patch\n"
QUILT = [
    f"A .pc/{name}" for name in (".quilt_patches", ".quilt_series", ".version", "applied-patches")
]
QUILT += [
    f"A .pc/{patch}/src/{name}.c"
    for patch, name in (("one.patch", "main"), ("two.patch", "util"), ("three.patch", "main"))
]
QUILT += [f"A .pc/{patch}/.timestamp" for patch in ALL]
QUILT += [f"A patches/{patch}" for patch in [*ALL, "series"]]
APART = "A src/main.c.one", "A src/util.c.two"

PACKAGES = [
    Package("setup alone", "%setup -q"),
    Package("setup, and a patch that nobody applies", "%setup -q", BOTH, applied=[]),
    Package("autosetup -p1", "%autosetup -p1", ALL),
    Package("autosetup -p0", "%autosetup -p0", P0),
    Package("autosetup -p2", "%autosetup -p2", {"one.patch": diff_u(MAIN, names=("a/x", "b/x"))}),
    Package("autosetup without -p", "%autosetup", README),
    Package("autosetup -v", "%autosetup -v -p1", ALL),
    Package("autosetup -N alone", "%autosetup -N", BOTH, applied=[]),
    Package("autosetup -N, autopatch", "%autosetup -N\n%autopatch -p1", ALL),
    Package("autosetup -n", "%autosetup -p1 -n demo-%{version}", ALL),
    Package("autosetup -c, -n into the directory", "%autosetup -N -c\ncd demo-1.2\n%autopatch -p1", ALL),
    Package("autosetup -S git", "%autosetup -p1 -S git", ALL),
    Package("autosetup -S git_am", "%autosetup -p1 -S git_am", {"one.patch": ONE, "two.patch": mail(UTIL)}),
    Package("autosetup -S patch", "%autosetup -p1 -S patch", ALL),
    Package("autosetup -S quilt", "%autosetup -p1 -S quilt", ALL, backups=QUILT),
    Package("autosetup -S gendiff", "%autosetup -p1 -S gendiff", BOTH, backups=["A src/main.c.1", "A src/util.c.2"]),
    Package("autopatch -m", "%setup -q\n%autopatch -p1 -m 20", {**BOTH, "three.patch": git_diff(EXTRA)}, NUMBERED, applied=["two.patch", "three.patch"]),
    Package("autopatch -M", "%setup -q\n%autopatch -p1 -M 20", ALL, NUMBERED, applied=["one.patch", "two.patch"]),
    Package("autopatch -m and -M, in two goes", "%setup -q\n%autopatch -p1 -M 10\n%autopatch -p1 -m 20 -M 30", ALL, NUMBERED),
    Package("autopatch with numbers", "%setup -q\n%autopatch -p1 20 10", ALL, NUMBERED, applied=["two.patch", "one.patch"]),
    Package("autopatch -v", "%setup -q\n%autopatch -v -p1", ALL),
    Package("%patchN", "%setup -q\n%patch1 -p1\n%patch2 -p1\n%patch3 -p1", ALL),
    Package("%patch0 of an unnumbered Patch:", "%setup -q\n%patch0 -p1", {"one.patch": ONE}, "Patch: one.patch\n"),
    Package("%patch alone is Patch0", "%setup -q\n%patch -p1", {"one.patch": ONE}, "Patch0: one.patch\n"),
    Package("%patch N", "%setup -q\n%patch 1 -p1\n%patch -p1 2 3", ALL),
    Package("%patch -P N", "%setup -q\n%patch -P 1 -p1\n%patch -p1 -P2 -P 3", ALL),
    Package("%patch -b", "%setup -q\n%patch -P 1 -p1 -b .one\n%patch -P 2 -p1 -b .two", BOTH, backups=APART),
    Package("%patch -b, of a new file with a dot in its name", "%setup -q\n%patch -P 1 -p1 -b .was", {"new.patch": git_diff({"data/new.xml": "<new/>\n"})}, backups=["A data/new.xml.was"]),
    Package("%patch -z", "%setup -q\n%patch -P 1 -p1 -z .one", {"one.patch": ONE}, backups=["A src/main.c.one"]),
    Package("%patch -R", "%setup -q\n%patch -P 1 -p1 -R", {"one.patch": git_diff(BACK, on=[MAIN])}),
    Package("%patch and %patch -R", "%setup -q\n%patch -P 1 -p1\n%patch -P 2 -p1\n%patch -P 1 -p1 -R", BOTH, applied=["one.patch", "two.patch", "one.patch"], by_hand="edit it by hand"),
    Package("%patch -E", "%setup -q\n%patch -P 1 -p1 -E", {"one.patch": ONE}),
    Package("%patch -d", "%setup -q\n%patch -P 1 -p1 -d lib", SUB),
    Package("%patch -F", "%setup -q\n%patch -P 1 -p1 -F 2", {"fuzzy.patch": ONE}),
    Package("%{__patch}", "%setup -q\n%{__patch} -p1 -s --fuzz=0 < %{PATCH1}", {"one.patch": ONE}),
    Package("automatic numbers", "%autosetup -p1", ALL, "Patch: one.patch\nPatch: two.patch\nPatch: three.patch\n"),
    Package("patchlist", "%autosetup -p1", ALL, "%patchlist\none.patch\ntwo.patch\nthree.patch\n\n"),
    Package("sourcelist", "%autosetup -p1", {"one.patch": ONE, "NEWS": "news\n"}, "Patch: one.patch\n%sourcelist\nNEWS\n\n"),
    Package("lua over patches", "%setup -q\n%{lua:for i, p in ipairs(patches) do print('patch -p1 -i ' .. p .. '\\n') end}", BOTH),
    Package("lua declares patches", "%autosetup -p1", BOTH, "%{lua:for i, p in ipairs({'one', 'two'}) do print('Patch' .. i .. ': ' .. p .. '.patch\\n') end}\n"),
    Package("order is that of the spec, not of the numbers", "%autosetup -p1", ALL, "Patch30: one.patch\nPatch20: two.patch\nPatch10: three.patch\n"),
    Package("setup -T -b 0", "%setup -q -T -b 0\n%patch -P 1 -p1", {"one.patch": ONE}),
    Package("setup -D does not delete", "%setup -q\n%patch -P 1 -p1\n%setup -q -D -T\n%patch -P 2 -p1", BOTH),
    Package("setup twice starts again", "%setup -q\n%patch -P 1 -p1\n%setup -q\n%patch -P 2 -p1", BOTH, applied=["two.patch"]),
    Package("Source1 is the archive", "%autosetup -p1 -T -b 0", {"one.patch": ONE}),
    Package("-p as a macro", "%global strip -p1\n%autosetup %{strip}", BOTH),
]  # fmt: skip
