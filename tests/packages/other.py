"""What %prep does beside patching: listed by the plan, found by verification, no part of the series."""

from tests.packages.model import BOTH, ONE, Package

FIX = {"one.patch": ONE}
AUTO = "%autosetup -p1\n"

PACKAGES = [
    Package("sed -i", AUTO + "sed -i 's/1[.]2/1.3/' Makefile", FIX, beside={"sed -i 's/1[.]2/1.3/' Makefile": ["M Makefile"]}),
    Package("sed -i before the patches", "%setup -q\nsed -i 's/1[.]2/1.3/' Makefile\n%autopatch -p1", FIX, beside={"sed -i 's/1[.]2/1.3/' Makefile": ["M Makefile"]}),
    Package("cp of a Source", AUTO + "cp -p %{SOURCE1} .", {**FIX, "demo.conf": "x = 1\n"}, "Source1: demo.conf\nPatch1: one.patch\n", beside={"cp -p demo.conf .": ["A demo.conf"]}),
    Package("install of a Source", AUTO + "install -m 755 %{SOURCE1} tools/start", {**FIX, "start.sh": "#!/bin/sh\n"}, "Source1: start.sh\nPatch1: one.patch\n", beside={"install -m 755 start.sh tools/start": ["A tools/start"]}),
    Package("rm of what is bundled", AUTO + "rm -rf bundled", FIX, beside={"rm -rf bundled": ["D bundled/zlib/zlib.c", "D bundled/zlib/zlib.h"]}),
    Package("chmod", AUTO + "chmod +x tools/legacy.py\nchmod -x tools/run.sh", FIX, beside={"chmod +x tools/legacy.py": ["X tools/legacy.py"], "chmod -x tools/run.sh": ["X tools/run.sh"]}),
    Package("mv", AUTO + "mv COPYING LICENSE", FIX, beside={"mv COPYING LICENSE": ["D COPYING", "A LICENSE"]}),
    Package("find -exec", AUTO + "find . -name '*.py' -exec sed -i 's/python$/python3/' {} +", FIX, beside={"find . -name '*.py' -exec sed -i 's/python$/python3/' '{}' +": ["M tools/legacy.py"]}),
    Package("find -delete", AUTO + "find bundled -type f -delete", FIX, beside={"find bundled -type f -delete": ["D bundled/zlib/zlib.c", "D bundled/zlib/zlib.h"]}),
    Package("a link", AUTO + "ln -s COPYING LICENSE", FIX, beside={"ln -s COPYING LICENSE": ["A LICENSE"]}),
    Package("a redirection", AUTO + "echo 1.2-3 > VERSION\ncat >> Makefile <<END\nextra:\nEND", FIX, beside={"cat >> Makefile <<END": ["M Makefile"], "echo 1.2-3 > VERSION": ["A VERSION"]}),
    Package("a redirection into a directory", AUTO + ": > tools/legacy.py", FIX, beside={": > tools/legacy.py": ["M tools/legacy.py"]}),
    Package("python", AUTO + "python3 -c 'open(\"made\", \"w\").write(\"x\")'", FIX, beside={"python3 -c 'open(\"made\", \"w\").write(\"x\")'": ["A made"]}),
    Package("a script of pkg-git that writes", AUTO + "sh %{SOURCE1}", {**FIX, "gen.sh": "echo x > generated.h\n"}, "Source1: gen.sh\nPatch1: one.patch\n", beside={"writes generated.h": ["A generated.h"]}),
    Package("iconv", AUTO + "iconv -f latin1 -t utf-8 po/latin1.txt > po/tmp\nmv po/tmp po/latin1.txt", FIX, beside={"iconv -f latin1 -t utf-8 po/latin1.txt": [], "mv po/tmp po/latin1.txt": ["M po/latin1.txt"]}),
    Package("perl -pi", AUTO + "perl -pi -e 's/all:/every:/' Makefile", FIX, beside={"perl -pi -e s/all:/every:/ Makefile": ["M Makefile"]}),
    Package("a file that the patches touched", AUTO + "sed -i '1d' src/main.c", FIX, beside={"sed -i 1d src/main.c": ["M src/main.c"]}),
    Package("touch", AUTO + "touch NEWS", FIX, beside={"touch NEWS": ["A NEWS"]}),
    Package("a directory without files", AUTO + "mkdir -p m4/new", FIX, beside={"mkdir -p m4/new": []}),
    Package("a command that this host lacks, when it may fail", AUTO + "dos2unix src/dos.c || :", FIX, beside={"dos2unix src/dos.c": []}),
    Package("a copy of the tree", AUTO + "cp -a . ../demo-python3", FIX, beside={"cp -a . ../demo-python3": []}),
    Package("backups deleted", "%setup -q\n%patch -P 1 -p1 -b .orig\nfind . -name '*.orig' -delete", FIX, beside={"find . -name '*.orig' -delete": []}),
    Package("between the patches", "%setup -q\n%patch -P 1 -p1\nrm COPYING\n%patch -P 2 -p1", BOTH, beside={"rm COPYING": ["D COPYING"]}),
]  # fmt: skip
