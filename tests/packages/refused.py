"""What cannot be told from pkg-git, or fails: refused with the reason, rather than guessed."""

from tests.packages.model import BOTH, ONE, TWO, Edit, Package, git_diff, replaced
from tests.packages.shell import AM

FAR = git_diff({"src/main.c": replaced("result = 15", "result = 16")})
UNIX: Edit = {"src/dos.c": replaced("\r\n", "\n")}

EDITED = "as %prep has changed it"

PACKAGES = [
    Package("a patch edited by sed -i", "%setup -q\nsed -i 's/checked/seen/' %{PATCH1}\npatch -p1 < %{PATCH1}", {"one.patch": ONE}, refused=EDITED),
    Package("a patch edited by perl -pi, %autopatch", "%setup -q\nperl -pi -e 's/checked/seen/' %{PATCH1}\n%autopatch -p1", {"one.patch": ONE}, refused=EDITED),
    Package("a patch edited before %autosetup", "sed -i 's/checked/seen/' %{PATCH1}\n%autosetup -p1", {"one.patch": ONE}, refused=EDITED),
    Package("a patch edited, git am", AM + "sed -i 's/checked/seen/' %{PATCH1}\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused=EDITED),
    Package("a patch edited, through a pipe", "%setup -q\nsed -i 's/checked/seen/' %{PATCH1}\ncat %{PATCH1} | patch -p1", {"one.patch": ONE}, refused=EDITED),
    Package("a patch to which lines are added", "%setup -q\necho >> %{PATCH1}\npatch -p1 < %{PATCH1}", {"one.patch": ONE}, refused=EDITED),
    Package("a patch copied over another", "%setup -q\ncp %{PATCH2} %{PATCH1}\npatch -p1 < %{PATCH1}", BOTH, refused=EDITED),
    Package("a patch written by tee -a", "%setup -q\necho | tee -a %{PATCH1}\npatch -p1 -i %{PATCH1}", {"one.patch": ONE}, refused=EDITED),
    Package("a patch edited by a script", "%setup -q\npython3 -c 'import sys; name = sys.argv[1]; text = open(name).read(); open(name, \"w\").write(text.replace(\"checked\", \"seen\"))' %{PATCH1}\npatch -p1 < %{PATCH1}", {"one.patch": ONE}, refused=EDITED),
    Package("patch -o", "%setup -q\npatch -p1 -o out < %{PATCH1}", {"one.patch": ONE}, refused="-o"),
    Package("patch -D", "%setup -q\npatch -p1 -D NEW < %{PATCH1}", {"one.patch": ONE}, refused="-D"),
    Package("the file to patch is named", "%setup -q\npatch src/main.c %{PATCH1}", {"one.patch": ONE}, refused="named"),
    Package("a patch made of the tree", "%setup -q\ncp src/main.c main.c\nsed -i 's/result += value/result -= value/' main.c\ndiff -u src/main.c main.c | patch -p0 || :", {}, refused="no file of pkg-git"),
    Package("a patch in a here-document", "%setup -q\npatch -p1 <<'END'\n--- a/README.md\n+++ b/README.md\n@@ -1,2 +1,2 @@\n-Demo\n+DEMO\n ====\nEND", {}, refused="no file of pkg-git"),
    Package("quilt push -a", "%setup -q\nln -s %{_sourcedir} patches\nquilt push -a", {**BOTH, "series": "one.patch\ntwo.patch\n"}, refused="quilt"),
    Package("git apply in a directory of a repository", "%setup -q\ngit init -q\ncd src\ngit apply %{PATCH1}", {"one.patch": ONE}, refused="directory of a repository"),
    Package("git apply --index of a file that was patched and removed", AM + "git apply %{PATCH1}\nrm src/main.c\ngit apply --index %{PATCH2}", {"one.patch": ONE, "far.patch": FAR}, refused="brings back"),
    Package("git reset", "%autosetup -p1 -S git\ngit reset -q --hard HEAD~1", BOTH, refused="git reset"),
    Package("git cherry-pick", "%autosetup -p1 -S git\ngit revert --no-edit HEAD", BOTH, refused="git revert"),
    Package("a patch that applies in part, || :", "%setup -q\npatch -p1 < %{PATCH1} || :\n%patch -P 2 -p1", {"bad.patch": git_diff({"src/main.c": replaced("result = 99", "result = 100")}, on=[{"src/main.c": replaced("result = 15", "result = 99")}]), "two.patch": TWO}, refused="not found"),
    Package("a patch that %prep writes", "%setup -q\nsed 's/checked/looked at/' %{PATCH1} > %{_sourcedir}/made.patch\npatch -p1 < %{_sourcedir}/made.patch", {"one.patch": ONE}, refused="neither pkg-git nor its sources"),
    Package("patches for files that %prep changes before", "%setup -q\nsed -i 's/\\r$//' src/dos.c\npatch -p1 < %{PATCH1}", {"unix.patch": git_diff({"src/dos.c": replaced("int result = 8;", "int result = 9;")}, on=[UNIX])}, beside={"sed -i 's/\\r$//' src/dos.c": []}, refused="not found"),
    Package("applied already, -N || :", "%setup -q\n%patch -P 1 -p1\npatch -p1 -N -r - < %{PATCH1} || :\npatch -p1 < %{PATCH2}", BOTH, refused="applied already"),
]  # fmt: skip
