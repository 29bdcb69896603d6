"""Several archives: small ones, which pkg-git itself holds."""

import tempfile
from pathlib import Path

from tests.packages.model import EXTRA, ONE, Package, Upstream, diff_u


def _extra(upstream: Upstream) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "extra-0.9.tar.gz"
        upstream.archive(path, top="extra-0.9", under="lib")
        return path.read_bytes()


FILES = {"one.patch": ONE, "extra-0.9.tar.gz": _extra}
TWO = {**FILES, "extra.patch": diff_u(EXTRA, names=("x.orig", "x"), under="lib")}
DECLARE = "Source1: extra-0.9.tar.gz\nPatch1: one.patch\n"

PACKAGES = [
    Package("setup -a", "%setup -q -a 1\n%patch -P 1 -p1", FILES, DECLARE),
    Package("setup -b", "%setup -q -b 1\n%patch -P 1 -p1", FILES, DECLARE),
    Package("a second tree with a patch of its own", "%setup -q -a 1\n%patch -P 1 -p1\npushd extra-0.9\n%patch -P 2 -p1\npopd", TWO, DECLARE + "Patch2: extra.patch\n"),
    Package("a second tree patched with -d", "%setup -q -a 1\n%patch -P 2 -p1 -d extra-0.9\n%patch -P 1 -p1", TWO, DECLARE + "Patch2: extra.patch\n", applied=["extra.patch", "one.patch"]),
]  # fmt: skip
