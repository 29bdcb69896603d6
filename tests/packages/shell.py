"""Patches applied by commands that packagers wrote."""

import hashlib

from tests.packages.model import (
    ALL,
    BOTH,
    EXTRA,
    FILES,
    MAIN,
    MORE,
    ONE,
    SUB,
    UTIL,
    Package,
    diff_u,
    git_diff,
    mail,
    replaced,
    through,
)

FUNCTION = """\
ApplyPatch()
{
  local patch=$1
  shift
  if [ ! -f $RPM_SOURCE_DIR/$patch ]; then
    exit 1
  fi
  case "$patch" in
  *.gz) gunzip < "$RPM_SOURCE_DIR/$patch" | patch -p1 -F1 -s ${1+"$@"} ;;
  *) patch -p1 -F1 -s ${1+"$@"} < "$RPM_SOURCE_DIR/$patch" ;;
  esac
}
%setup -q
"""
AM = """\
%setup -q
git init -q
git config user.email x@example.org
git config user.name x
git add --all --force
git commit -q -m base
"""
MAILS = {"one.patch": ONE, "two.patch": mail(UTIL)}
COPYING_HASH = hashlib.sha256(str(FILES["COPYING"]).encode()).hexdigest()
# as in httpd, php and python3.13
CHECKS = f"""\
%setup -q
is=$(awk '/^VERSION/ {{print $3}}' Makefile)
if test "x$is" != "x%{{version}}"; then
  : Error: upstream is now $is
  exit 1
fi
%patch -P 1 -p1
is=$(sha256sum COPYING | cut -f1 -d' ')
if [ "$is" != {COPYING_HASH} ]; then
  exit 1
fi
%patch -P 2 -p1"""

PACKAGES = [
    Package("patch <", "%setup -q\npatch -p1 < %{PATCH1}\npatch -p1 <%{P:2}", BOTH),
    Package("patch -i", "%setup -q\npatch -p1 -i %{PATCH1}\npatch -p1 --input=%{PATCH2}", BOTH),
    Package("patch -d", "%setup -q\npatch -d lib -p1 < %{PATCH1}", SUB),
    Package("patch by its path", "%setup -q\n/usr/bin/patch -p1 < %{PATCH1}\n%{__patch} -p1 -s < %{PATCH2}", BOTH),
    Package("patch without -p guesses", "%setup -q\npatch < %{PATCH1}", {"one.patch": diff_u({"README.md": replaced("nothing", "all")})}),
    Package("-p from inside", "%setup -q\ncd src\npatch -p2 < %{PATCH1}\ncd ..\npatch -p1 < %{PATCH2}", BOTH),
    Package("options after the input", "%setup -q\npatch < %{PATCH1} -p1 -s", {"one.patch": ONE}),
    Package("patch -R in the shell", "%setup -q\npatch -p1 -R < %{PATCH1}", {"one.patch": git_diff({"src/main.c": replaced(" /* checked */", "")}, on=[MAIN])}),
    Package("cat into patch", "%setup -q\ncat %{PATCH1} | patch -p1 -s", {"one.patch": ONE}),
    Package("cat of two files", "%setup -q\ncat %{PATCH1} %{PATCH2} | patch -p1 -s", BOTH),
    Package("cat of all of them", "%setup -q\ncat %{patches} | patch -p1 -s", ALL),
    Package("xzcat into patch", "%setup -q\nxzcat %{PATCH1} | patch -p1", {"one.patch.xz": through(ONE, "xz")}),
    Package("zcat into patch", "%setup -q\nzcat %{PATCH1} | patch -p1", {"one.patch.gz": through(ONE, "gzip")}),
    Package("bzip2 -dc into patch", "%setup -q\nbzip2 -dc %{PATCH1} | patch -p1", {"one.patch.bz2": through(ONE, "bzip2")}),
    Package("zstd into patch", "%setup -q\nzstd -dcq %{PATCH1} | patch -p1", {"one.patch.zst": through(ONE, "zstd", "-q")}),
    Package("loop over %{patches}", "%setup -q\nfor p in %{patches}; do\n  patch -p1 < $p\ndone", ALL),
    Package("loop over %{PATCHn}", "%setup -q\nfor p in %{PATCH2} %{PATCH1}; do\n  patch -p1 < $p\ndone", BOTH, applied=["two.patch", "one.patch"]),
    Package("loop over numbers", "%setup -q\nfor n in 1 2; do patch -p1 -i %{_sourcedir}/000$n.patch; done", {"0001.patch": ONE, "0002.patch": git_diff(UTIL)}),
    Package("loop over a pattern", "%setup -q\nfor p in %{_sourcedir}/0*.patch; do patch -p1 -s -i $p; done", {"0001-one.patch": ONE, "0002-two.patch": git_diff(UTIL)}),
    Package("loop over a list", "%setup -q\nwhile read p; do patch -p1 -s -i %{_sourcedir}/$p; done < %{SOURCE1}", {**BOTH, "series": "one.patch\ntwo.patch\n"}, "Patch1: one.patch\nPatch2: two.patch\nSource1: series\n"),
    Package("pushd, popd", "%setup -q\npushd lib\npatch -p1 < %{PATCH1}\npopd\npatch -p1 < %{PATCH2}", {**SUB, "one.patch": ONE}),
    Package("subshell", "%setup -q\n(cd lib && patch -p1 < %{PATCH1})\npatch -p1 < %{PATCH2}", {**SUB, "one.patch": ONE}),
    Package("a function", FUNCTION + "ApplyPatch one.patch\nApplyPatch two.patch.gz", {"one.patch": ONE, "two.patch.gz": through(git_diff(UTIL), "gzip")}),
    Package("a function with -R", FUNCTION + "ApplyPatch one.patch\nApplyPatch one.patch -R\nApplyPatch two.patch", BOTH, applied=["one.patch", "one.patch", "two.patch"], by_hand="edit it by hand"),
    Package("a macro of one's own", "%global apply() patch -p1 -s < %{_sourcedir}/%1.patch\n%setup -q\n%apply one\n%apply two", BOTH),
    Package("a script of pkg-git", "%setup -q\nsh %{SOURCE1} %{_sourcedir}", {**BOTH, "apply.sh": "set -e\nfor p in one two; do patch -p1 < $1/$p.patch; done\n"}, "Patch1: one.patch\nPatch2: two.patch\nSource1: apply.sh\n"),
    Package("unless it is applied", "%setup -q\npatch -p1 -R --dry-run -s -f < %{PATCH1} || patch -p1 < %{PATCH1}", {"one.patch": ONE}),
    Package("xargs", "%setup -q\necho %{patches} | xargs -n1 patch -p1 -i", BOTH),
    Package("options and variables of the shell", "%setup -q\nshopt -s failglob nullglob extglob\ndeclare -i call last; readonly input=x; top=(a b)\nset -efuCEk -o posix\nIFS=\npatch -p1 < %{PATCH1}\npatch -p1 -s -i %{PATCH2}", BOTH),
    Package("integers of a function", "%setup -q\nap() { local -i call=1 word=2; patch -p1 < $1; }\nap %{PATCH1}\nap %{PATCH2}", BOTH),
    Package("functions of one's own", "%setup -q\ngit() { /usr/bin/git \"$@\"; }\npatch() { command patch -s \"$@\"; }\nexport -f patch\nbash -c 'patch -p1 < %{PATCH1}'\ngit apply %{PATCH2}", BOTH),
    Package("where is it?", "%setup -q\nP=$(command -v patch); [ -x $P ] && $P -p1 < %{PATCH1}\nP=$(type -p patch); $P -p1 < %{PATCH2}", BOTH),
    Package("a PATH of one's own", "%setup -q\nexport PATH=/usr/bin:/bin:$PATH\nsh %{SOURCE1}", {**BOTH, "apply.sh": "set -e\npatch -p1 < $RPM_SOURCE_DIR/one.patch\nenv -i /usr/bin/patch -p1 < $RPM_SOURCE_DIR/two.patch\n"}, "Patch1: one.patch\nPatch2: two.patch\nSource1: apply.sh\n"),
    Package("a trap, and an exit", "%setup -q\ntrap 'patch -p1 < %{PATCH2}' EXIT\npatch -p1 < %{PATCH1}\nexit 0", BOTH),
    Package("exec", "%setup -q\n(exec patch -p1 < %{PATCH1})\nexec patch -p1 < %{PATCH2}", BOTH),
    Package("a pipe into a loop", "%setup -q\ncat %{SOURCE1} | while read p; do [ $p = one.patch ] && git apply %{_sourcedir}/$p || patch -sNi %{_sourcedir}/$p -p1; done", {**BOTH, "series": "one.patch\ntwo.patch\n"}, "Patch1: one.patch\nPatch2: two.patch\nSource1: series\n"),
    Package("unless it is applied, short", "%setup -q\nset -e\nif patch -Rp1 --dry-run -sf < %{PATCH1}; then exit 7; else patch -p1 < %{PATCH1}; fi\nif git apply -R --check %{PATCH2}; then exit 8; else git apply %{PATCH2}; fi", BOTH),
    Package("patch -d from outside", "%setup -q\ncd ..\npatch -d demo-1.2 -p1 < %{PATCH1}\npatch -p2 -sNd demo-1.2/src -i ../../../SOURCES/two.patch", BOTH),
    Package("patch -i -", "%setup -q\ncat %{PATCH1} | patch -p1 -i -\npatch -p1 --input=- < %{PATCH2}", BOTH),
    Package("through descriptors", "%setup -q\npatch -p1 3<%{PATCH1} 0<&3\n{ patch -p1; } < <(cat %{PATCH2}) | cat", BOTH),
    Package("git am of all", AM + "git am %{patches}", MAILS),
    Package("git am of one", AM + "git am %{P:1}\ngit am -q < %{PATCH2}", MAILS),
    Package("git am of a mailbox", AM + "git am %{PATCH1}", {"all.mbox": mail(MAIN, UTIL, MORE)}),
    Package("a pipe into git am", AM + "cat %{SOURCE1} | while read p; do git am -q %{_sourcedir}/$p; git commit -q --amend -m 'did apply that'; done", {**MAILS, "series": "one.patch\ntwo.patch\n"}, "Patch1: one.patch\nPatch2: two.patch\nSource1: series\n"),
    Package("git am -p", AM + "git am -p2 %{PATCH1}", {"one.patch": through(ONE, "sed", "s, \\([ab]\\)/src, \\1/x/src,g")}),
    Package("git am --directory", AM + "git am --directory=lib %{PATCH1}", {"one.patch": through(mail(EXTRA), "sed", "s,lib/extra,extra,g")}),
    Package("git am -3", AM + "git am -3 %{patches}", MAILS),
    Package("git apply", "%setup -q\ngit init -q\ngit apply %{PATCH1}\ngit apply %{PATCH2}", BOTH),
    Package("git apply --index", AM + "rm src/main.c\ngit apply --index %{patches}", BOTH, beside={"rm src/main.c": []}),
    Package("git --work-tree=. apply", "%setup -q\ngit --work-tree=. apply %{PATCH1}", {"one.patch": ONE}),
    Package("git apply without a repository", "%setup -q\ngit apply -v %{PATCH1}", {"one.patch": ONE}),
    Package("git apply <", "%setup -q\ngit apply - < %{PATCH1}", {"one.patch": ONE}),
    Package("git apply -R", "%setup -q\ngit apply %{PATCH1}\ngit apply -R %{PATCH1}\ngit apply %{PATCH2}", BOTH, applied=["one.patch", "one.patch", "two.patch"], by_hand="edit it by hand"),
    Package("git apply --directory", "%setup -q\ngit apply --directory=lib %{PATCH1}", {"one.patch": through(git_diff(EXTRA), "sed", "s,lib/extra,extra,g")}),
    Package("git apply --exclude", "%setup -q\ngit apply --exclude=src/main.c %{PATCH1}", {"one.patch": git_diff({**MAIN, **UTIL})}, no_queue="src/main.c differs"),
    Package("git -C", "%setup -q\ncd ..\ngit -C demo-1.2 apply %{PATCH1}", {"one.patch": ONE}),
    Package("applied, reverted, applied", "%setup -q\n%patch -P 1 -p1\n%patch -P 1 -p1 -R\n%patch -P 1 -p1", {"one.patch": ONE}, applied=["one.patch"] * 3, by_hand="edit it by hand"),
    Package("a Source that is a patch", "%setup -q\npatch -p1 < %{SOURCE5}\n%autopatch -p1", BOTH, "Source5: one.patch\nPatch2: two.patch\n"),
    Package("an undeclared file", "%setup -q\npatch -p1 < %{_sourcedir}/one.patch", BOTH, "", applied=["one.patch"]),
    Package("only what a condition chooses", "%setup -q\nif grep -q 'VERSION = 1' Makefile; then patch -p1 < %{PATCH1}; else patch -p1 < %{PATCH2}; fi", BOTH, applied=["one.patch"]),
    Package("safety checks of what upstream's files say", CHECKS, BOTH),
]  # fmt: skip
