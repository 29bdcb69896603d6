"""Options of patch(1), git am, git apply and quilt that the table in specparse/options.py follows."""

from tests.packages.model import (
    BOTH,
    EXTRA,
    MAIN,
    ONE,
    UTIL,
    Package,
    diff_u,
    mail,
    through,
)
from tests.packages.shell import AM

PLAIN = {"one.patch": diff_u(MAIN)}
TAGGED = {"one.patch": through(ONE, "sed", "s/^Subject: .PATCH./Subject: [PATCH] [net]/")}
CONTEXT = {"one.patch": diff_u(MAIN, options="-crN")}
MAILS = {"one.patch": ONE, "two.patch": mail(UTIL)}
LIB = {"extra.patch": diff_u(EXTRA, names=("lib.orig", "lib"), under="lib")}


def pc(*paths: str, top: str = "") -> list[str]:
    """Return what quilt leaves below ``top``."""
    names = [".quilt_patches", ".quilt_series", ".version", "applied-patches", *paths]
    return [f"A {top}.pc/{name}" for name in names]


PACKAGES = [
    Package("patch -u", "%setup -q\npatch -u -p1 < %{PATCH1}", PLAIN),
    Package("patch --unified of a mail", "%setup -q\npatch --unified -p1 < %{PATCH1}", {"one.patch": ONE}),
    Package("patch -c", "%setup -q\npatch -c -p1 < %{PATCH1}", CONTEXT, by_hand="cannot make the tree"),
    Package("patch -d, shortened options", "%setup -q\npatch -d lib -p1 --forw --bat < %{PATCH1}", LIB),
    Package("patch, options behind --", "%setup -q\npatch -p1 -i %{PATCH1} --", PLAIN),
    Package("patch, options that only messages show", "%setup -q\npatch --verbose --quoting-style=c --reject-format=context -p1 < %{PATCH1}", PLAIN),
    Package("patch -g0, --read-only=ignore", "%setup -q\npatch -g0 --read-only=ignore -p1 < %{PATCH1}", PLAIN),
    Package("patch --follow-symlinks", "%setup -q\npatch --follow-symlinks -p1 < %{PATCH1}", PLAIN),
    Package("patch, the last of two -p counts", "%setup -q\npatch -p0 --strip=1 < %{PATCH1}", PLAIN),
    Package("git am --keep-non-patch", AM + "git am -q --keep-non-patch %{PATCH1}", TAGGED),
    Package("git am, options taken back", AM + "git am -q --keep --no-keep --signoff --no-signoff %{PATCH1}", TAGGED),
    Package("git am, options that change nothing", AM + "git am -q -u --committer-date-is-author-date --no-gpg-sign --whitespace=nowarn %{patches}", MAILS),
    Package("git am, shortened options", AM + "git am --quie --3wa --no-sc %{patches}", MAILS),
    Package("git apply --allow-empty", "%setup -q\ngit apply --allow-empty %{PATCH1} %{PATCH2}", {"one.patch": ONE, "none.patch": "No diff.\n"}, no_queue="only garbage"),
    Package("git apply -v --apply --stat", "%setup -q\ngit apply --stat --apply %{PATCH1}", {"one.patch": ONE}),
    Package("autosetup -S quilt -n into a directory", "%autosetup -p1 -S quilt -n demo-1.2/lib", LIB, backups=[*pc("extra.patch/extra.c", "extra.patch/.timestamp", top="lib/"), "A lib/patches/extra.patch", "A lib/patches/series"]),
    Package("quilt in a directory", "%setup -q\ncd lib\nquilt import %{PATCH1}\nquilt push -q", LIB, backups=[*pc("extra.patch/extra.c", "extra.patch/.timestamp", top="lib/"), "A lib/patches/extra.patch", "A lib/patches/series"]),
    Package("quilt from a directory below its top", "%setup -q\nquilt import %{PATCH1}\nquilt push -q\ncd src\nquilt import %{PATCH2}\nquilt push -q", BOTH, backups=[*pc("one.patch/src/main.c", "one.patch/.timestamp", "two.patch/src/util.c", "two.patch/.timestamp"), "A patches/one.patch", "A patches/two.patch", "A patches/series"]),
]  # fmt: skip

REFUSED = [
    Package("patch --posix", "%setup -q\npatch --posix -p1 < %{PATCH1}", PLAIN, refused="--posix"),
    Package("patch --merge", "%setup -q\npatch --merge -p1 < %{PATCH1}", PLAIN, refused="--merge"),
    Package("%patch -Z", "%setup -q\n%patch -P 1 -p1 -Z", PLAIN, refused="-Z"),
    Package("patch -Z", "%setup -q\npatch -Z -p1 < %{PATCH1}", PLAIN, refused="-Z"),
    Package("patch -u of a context diff", "%setup -q\npatch -u -p1 < %{PATCH1} || :", CONTEXT, refused="only garbage"),
    Package("git am --signoff", AM + "git am -q --signoff %{PATCH1}", {"one.patch": ONE}, refused="--signoff"),
    Package("git am --empty=keep", AM + "git am -q --empty=keep %{PATCH1}", {"one.patch": ONE}, refused="--empty"),
    Package("git am --no-utf8", AM + "git am -q --no-utf8 %{PATCH1}", {"one.patch": ONE}, refused="--no-utf8"),
    Package("git apply --whitespace=fix", "%setup -q\ngit apply --whitespace=fix %{PATCH1}", {"one.patch": ONE}, refused="--whitespace"),
    Package("git apply --ignore-space-change", "%setup -q\ngit apply --ignore-space-change %{PATCH1}", {"one.patch": ONE}, refused="--ignore-space-change"),
    Package("quilt import -R", "%setup -q\nquilt import -R %{PATCH1}", {"one.patch": ONE}, refused="-R"),
]  # fmt: skip
