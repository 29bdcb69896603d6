"""What the name of a source's file tells, in the sandbox and out of it."""

from __future__ import annotations

import re

# what %setup unpacks (rpm 4.18, rpmio/rpmfileutil.c, rpmFileIsCompressed: by content; here by name)
ARCHIVE = re.compile(r"\.(?:tar(?:\.\w{1,4})?|tgz|tbz2?|txz|zip|jar|oxt|xpi|crate|gem)$")
ZIPS = (".zip", ".jar", ".oxt", ".xpi")
# a file of macros that rpm has since a version -> one of them, which tells whether it has
FUNCTIONS = {"rpm-4.17": "exists", "rpm-4.19": "sub"}
# Where %prep applies it, it is believed to be in the lookaside cache, listed or not; to which version
# it takes the kernel, upstream.py reads.
MOVES_BASE = re.compile(r"patch-\d.*\.(?:xz|bz2|gz)$")
