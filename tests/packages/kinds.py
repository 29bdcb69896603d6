"""What a patch file may hold: kinds of diffs, mails, names, compressions."""

from tests.builders import source_file
from tests.packages.model import (
    MAIN,
    MORE,
    ONE,
    SPEC,
    TWO,
    UTIL,
    Edit,
    Package,
    diff_u,
    function,
    git_diff,
    joined,
    mail,
    replaced,
    through,
)
from tests.packages.shell import AM

AUTO = "%autosetup -p1"
APPLY = "%setup -q\ngit apply %{PATCH1}"
LONG: Edit = {"src/long.c": function(50, "far away")}
GROWN: Edit = {"src/long.c": lambda text: "/* one\n * two\n * three\n */\n" * 9 + text}
DOS: Edit = {"src/dos.c": replaced("int result = 8;\r\n", "int result = 9;\r\n")}
LOGO: Edit = {"data/logo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(255, -1, -1)) * 3}
RENAME: Edit = {
    "docs/guide.txt": None,
    "docs/manual.txt": "Guide\n\nFirst read that.\nThen that.\n",
}
LATIN: Edit = {"po/latin1.txt": "Gr\xfc\xdfe\nAuf Wiedersehen\n".encode("latin-1")}
NEW: Edit = {"src/new/deep/file.c": "int deep;\n", "NEWS": "none\n"}
SCRIPT: Edit = {"tools/new.sh": "#!/bin/sh\necho new\n"}
EXECUTABLE = {"tools/new.sh": "100755"}
LEGACY: Edit = {"tools/legacy.py": replaced("print 1", "print(1)")}
TO_LINK: Edit = {"docs/current": "guide.txt"}
NO_EOL: Edit = {"src/noeol.c": replaced("int c;", "int c;\nint d;")}
ADD_EOL: Edit = {"src/noeol.c": replaced("int c;", "int c;\n")}
EMPTY: Edit = {"src/also-empty.c": ""}
FILL: Edit = {"src/empty.c": "int filled;\n"}
GONE: Edit = {"docs/old/only.txt": None}
SPACE: Edit = {"docs/with space.txt": replaced("Two", "2")}
UNICODE: Edit = {"docs/größe.txt": replaced("Länge", "Breite")}
BACKUP = ["A src/main.c.orig"]
BODY = "This is what Debian has, see https://bugs.debian.org/123456\n\n"
DEP3 = "Description: check it\n It was not checked.\nAuthor: Jane Doe <jane@example.org>\nBug: https://bugs.example.org/1\nForwarded: yes\n---\n"
DROP_CONTEXT = ("sed", "s/^ \tif (!dev)$/ \tif (dev)/")

PACKAGES = [
    Package("mail of git format-patch", AUTO, {"one.patch": ONE}),
    Package("git diff", AUTO, {"two.patch": TWO}),
    Package("diff -u with times", AUTO, {"one.patch": diff_u(MAIN)}),
    Package("diff with Index: lines", AUTO, {"one.patch": through(diff_u(MAIN), "sed", "s/^diff .*/Index: demo\\/src\\/main.c/")}),
    Package("quilt's patch with a DEP-3 head", AUTO, {"one.patch": joined(DEP3, diff_u(MAIN))}),
    Package("words above the diff", AUTO, {"one.patch": joined(BODY, git_diff(MAIN))}),
    Package("context diff", AUTO, {"one.patch": diff_u(MAIN, options="-crN")}),
    Package("several mails in one file", AUTO, {"all.patch": mail(MAIN, MORE, UTIL)}),
    Package("several mails of the same line", AUTO, {"all.patch": mail(MAIN, {"src/main.c": replaced("checked", "checked twice")})}),
    Package("a mail and its revert in one file", AUTO, {"all.patch": joined(mail(MAIN), mail(UTIL), mail({"src/main.c": replaced(" /* checked */", "")}, on=[MAIN]))}),
    Package("mail in quoted-printable", AM + "git am %{PATCH1}", {"one.patch": through(ONE, "sed", "-e", "s/^Content-Transfer-Encoding: 8bit/Content-Transfer-Encoding: quoted-printable/", "-e", "s/= /=3D /g", "-e", "s/=$/=3D/", "-e", "s/ö/=C3=B6/;s/ü/=C3=BC/")}, no_queue="its lines are not found"),
    Package("mail with CRLF", AM + "git am --no-keep-cr %{PATCH1}", {"one.patch": through(ONE, "sed", "s/$/\\r/")}),
    Package("mail signed, with a diffstat and a version", AUTO, {"one.patch": through(ONE, "sed", "s/^-- $/-- \\nsent from my typewriter/")}),
    Package("gzip", AUTO, {"one.patch.gz": through(ONE, "gzip")}),
    Package("bzip2", AUTO, {"one.patch.bz2": through(ONE, "bzip2")}),
    Package("xz", AUTO, {"one.patch.xz": through(ONE, "xz")}),
    Package("zstd", AUTO, {"one.patch.zst": through(ONE, "zstd", "-q")}),
    Package("lzma", AUTO, {"one.patch.lzma": through(ONE, "xz", "--format=lzma")}),
    Package("compressed, whatever its name says", AUTO, {"one.patch": through(ONE, "gzip")}),
    Package("compressed, for git am", "%autosetup -p1 -S git_am", {"one.patch.xz": through(ONE, "xz")}),
    Package("CRLF in the file and in its patch", AUTO, {"dos.patch": git_diff(DOS)}),
    Package("CRLF in the patch alone", AUTO, {"one.patch": through(git_diff(MAIN), "sed", "s/$/\\r/")}),
    Package("CRLF in the headers alone", AUTO, {"one.patch": through(git_diff(MAIN), "sed", "/^\\(---\\|+++\\|diff\\|@@\\)/s/$/\\r/")}),
    Package("CRLF, --binary", "%setup -q\npatch -p1 --binary < %{PATCH1}", {"dos.patch": git_diff(DOS)}),
    Package("git's binary diff, git apply", APPLY, {"logo.patch": git_diff(LOGO, options=["--binary"])}, no_queue="binary diffs"),
    Package("git's binary diff, git am", AM + "git am %{PATCH1}", {"logo.patch": through(mail(LOGO), "cat")}, no_queue="binary diffs"),
    Package("git's binary diff, -S git", "%autosetup -p1 -S git", {"logo.patch": git_diff(LOGO, MAIN, options=["--binary"])}, no_queue="binary diffs"),
    Package("binary file as text", AUTO, {"latin1.patch": diff_u(LATIN)}),
    Package("rename", AUTO, {"rename.patch": git_diff(RENAME, options=["-M30%"])}),
    Package("rename, by git", APPLY, {"rename.patch": git_diff(RENAME, options=["-M30%"])}),
    Package("copy", APPLY, {"copy.patch": git_diff({"src/copy.c": source_file("main", 12)}, options=["-C", "--find-copies-harder"])}),
    Package("new files in new directories", AUTO, {"new.patch": git_diff(NEW)}),
    Package("new files, diff -N", AUTO, {"new.patch": diff_u(NEW)}),
    Package("new executable", AUTO, {"new.patch": git_diff(SCRIPT, modes=EXECUTABLE)}),
    Package("new executable, diff -N", AUTO, {"new.patch": diff_u(SCRIPT)}),
    Package("mode alone", AUTO, {"mode.patch": git_diff({"tools/legacy.py": str}, modes={"tools/legacy.py": "100755"})}),
    Package("mode and content", "%autosetup -p1 -S git", {"mode.patch": git_diff(LEGACY, modes={"tools/legacy.py": "100755"})}),
    Package("mode taken away", APPLY, {"mode.patch": git_diff({"tools/run.sh": str})}),
    Package("patch keeps the mode of an executable", AUTO, {"run.patch": diff_u({"tools/run.sh": replaced("echo run", "echo ran")})}),
    Package("new link", APPLY, {"link.patch": git_diff(TO_LINK, modes={"docs/current": "120000"})}),
    Package("new link, patch", AUTO, {"link.patch": git_diff(TO_LINK, modes={"docs/current": "120000"})}),
    Package("link that leads elsewhere", APPLY, {"link.patch": git_diff({"link": "COPYING"}, modes={"link": "120000"})}),
    Package("the last file of a directory deleted", AUTO, {"gone.patch": git_diff(GONE)}),
    Package("the last file deleted, diff -N", AUTO, {"gone.patch": diff_u(GONE)}),
    Package("the last file deleted, by git", APPLY, {"gone.patch": git_diff(GONE)}),
    Package("a file emptied", AUTO, {"empty.patch": diff_u({"src/main.h": ""})}),
    Package("a file emptied, -E", "%setup -q\npatch -p1 -E < %{PATCH1}", {"empty.patch": through(git_diff({"src/main.h": ""}), "sed", "/^\\(diff\\|index\\|deleted\\)/d")}),
    Package("new empty file, by git am", AM + "git am %{PATCH1}", {"empty.patch": mail(EMPTY)}),
    Package("new empty file, by patch", AUTO, {"empty.patch": git_diff(EMPTY)}),
    Package("an empty file filled", AUTO, {"fill.patch": git_diff(FILL)}),
    Package("no newline at the end", AUTO, {"eol.patch": git_diff(NO_EOL), "more.patch": git_diff(ADD_EOL)}, applied=["eol.patch"], declare="Patch1: eol.patch\n"),
    Package("a newline at the end", AUTO, {"eol.patch": diff_u(ADD_EOL)}),
    Package("an empty patch", "%setup -q\npatch -p1 < %{PATCH1}\npatch -p1 < %{PATCH2}", {"empty.patch": "", "one.patch": ONE}),
    Package("offset", AUTO, {"long.patch": git_diff(LONG), "grown.patch": git_diff(GROWN)}, "Patch1: grown.patch\nPatch2: long.patch\n", applied=["grown.patch", "long.patch"]),
    Package("offset, by git", "%autosetup -p1 -S git", {"grown.patch": git_diff(GROWN), "long.patch": git_diff(LONG)}),
    Package("offset, in the shell, leaves .orig", "%setup -q\ncat %{PATCH1} | patch -p1 -s\npatch -p1 < %{PATCH2}", {"grown.patch": git_diff(GROWN), "long.patch": git_diff(LONG)}, backups=["A src/long.c.orig"]),
    Package("fuzz, in the shell, leaves .orig", "%setup -q\npatch -p1 < %{PATCH1}", {"one.patch": through(git_diff(MAIN), *DROP_CONTEXT)}, backups=BACKUP),
    Package("fuzz, %patch -F2", "%setup -q\n%patch -P 1 -p1 -F2", {"one.patch": through(git_diff(MAIN), *DROP_CONTEXT)}),
    Package("fuzz, %autosetup of an rpm before 4.13", AUTO, {"one.patch": through(git_diff(MAIN), *DROP_CONTEXT)}, dist=".el7", judged=(SPEC, "%setup -q\npatch -p1 -s < %{PATCH1}"), backups=BACKUP),
    Package("fuzz, by _default_patch_fuzz", "%global _default_patch_fuzz 2\n%autosetup -p1", {"one.patch": through(git_diff(MAIN), *DROP_CONTEXT)}),
    Package("white space ignored", "%setup -q\npatch -p1 -l < %{PATCH1}", {"one.patch": through(git_diff(MAIN), "sed", "/^ /s/\\t/    /g")}),
    Package("a name with spaces in the tree", AUTO, {"space.patch": diff_u(SPACE)}),
    Package("a name with spaces in the tree, git", AUTO, {"space.patch": git_diff(SPACE)}),
    Package("a name with umlauts in the tree", AUTO, {"umlaut.patch": git_diff(UNICODE)}),
    Package("a name with umlauts in the tree, git apply", APPLY, {"umlaut.patch": git_diff(UNICODE)}),
    Package("a patch called with umlauts", AUTO, {"größe.patch": ONE}),
    Package("a patch called with + and =", AUTO, {"demo-1.2+git=x@y~1.patch": ONE}),
    Package("a diff without --- and +++ for a mode", AM + "git am %{PATCH1}", {"mode.patch": mail({"tools/legacy.py": str}, modes={"tools/legacy.py": "100755"})}),
    Package("zero lines of context", "%setup -q\npatch -p1 < %{PATCH1}", {"one.patch": git_diff(MAIN, options=["-U0"])}),
    Package("zero lines of context, git apply", "%setup -q\ngit apply --unidiff-zero %{PATCH1}", {"one.patch": git_diff(MAIN, options=["-U0"])}),
    Package("ed script in words", AUTO, {"one.patch": joined("Apply with: ed\n1d\n\n", git_diff(MAIN))}),
]  # fmt: skip
