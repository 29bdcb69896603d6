"""Which paths a tree of srcgit's may have: the one rule, for whatever writes a path (pure).

It is git's own (read-cache.c, verify_path; fsck.c, fsck_tree) with the protection of HFS+ and NTFS
switched on, whatever this machine has: published trees are checked out elsewhere, and a remote with
receive.fsckObjects refuses them otherwise. Length and depth are bounded besides. What upstream's own
tree already holds is never asked about.
"""

from __future__ import annotations

import re

MAX_PATH = 4095  # bytes: PATH_MAX without its NUL; no system call takes a longer one
MAX_NAME = 255  # bytes: NAME_MAX of every file system that builds run on
# Directories. What reads trees (git, libgit2, Python) descends by recursion; git gives up at 2048
# (core.maxTreeDepth), Python at 1000 calls. The deepest file of Linux lies 12 deep, of nested
# node_modules some 40.
MAX_DEPTH = 200

_IGNORED = rb"(?:\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf)*"
# Every path that may be unsafe for another reason than its length.
_SUSPECT = re.compile(
    rb"(?i)(?:\A|[/\\])(?:[/.]|git~1|\Z)|\0|\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf"
)


def _hfs(name: bytes) -> re.Pattern[bytes]:
    """utf8.c, is_hfs_dot_generic: HFS+ ignores some characters, and the case of letters."""
    letters = (re.escape(name[n : n + 1]) for n in range(len(name)))
    return re.compile(_IGNORED + _IGNORED.join(letters) + _IGNORED, re.IGNORECASE)


_HFS_GIT = _hfs(b".git")
_HFS_GITMODULES = _hfs(b".gitmodules")
# path.c, is_ntfs_dotgit: spaces and dots at the end, and alternate streams, are ignored
_NTFS_GIT = re.compile(rb"(?i)(?:\.git|git~1)[ .]*(?:[:\\]|\Z)")
# path.c, is_ntfs_dot_generic: the name, its short name, and the short name that is made of a hash
_SHORT = b"|".join(b"gi7eba"[:n] + b"~[1-9][0-9]{%d}" % (6 - n) for n in range(7))
_NTFS_GITMODULES = re.compile(rb"(?i)(?:\.gitmodules|gitmod~[1-4]|" + _SHORT + rb")[ .]*(?::|\Z)")


def why_unsafe(path: bytes, *, link: bool) -> str:
    """Return why srcgit stores nothing at ``path``; "" where it does. ``link``: a symbolic link."""
    if len(path) > MAX_DEPTH:  # the least that can break a limit
        if why := why_too_long(path):
            return why
        if any(len(part) > MAX_NAME for part in path.split(b"/")):
            return f"a name of more than {MAX_NAME} bytes"
    if not link and not _SUSPECT.search(path):
        return ""
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or b"\0" in part:
            return "the path leads out of the tree"
        rests = [part[at:] for at in _starts(part)]
        if _is_hfs(_HFS_GIT, part) or any(map(_NTFS_GIT.match, rests)):
            return "the path leads into .git"
        if link and (_is_hfs(_HFS_GITMODULES, part) or any(map(_NTFS_GITMODULES.match, rests))):
            return ".gitmodules as a symbolic link"
    return ""


def why_too_long(path: bytes) -> str:
    """Return which limit of length or depth ``path`` breaks; "" where no tree need be asked."""
    if len(path) > MAX_PATH:
        return f"a path of more than {MAX_PATH} bytes"
    if path.count(b"/") > MAX_DEPTH:
        return f"a path of more than {MAX_DEPTH} directories"
    return ""


def _starts(part: bytes) -> list[int]:
    """Return where names begin in ``part`` on Windows: a backslash parts them, too."""
    return [0, *(match.end() for match in re.finditer(rb"\\", part))]


def _is_hfs(name: re.Pattern[bytes], part: bytes) -> bool:
    found = name.match(part)
    return found is not None and _ends(part[found.end() :])


def _ends(rest: bytes) -> bool:
    """Tell whether ``rest`` has no further character: what is no UTF-8 is none (next_hfs_char)."""
    if not rest:
        return True
    try:
        character = rest[:4].decode("utf-8")[0]
    except UnicodeDecodeError as error:
        if error.start == 0:
            return True
        character = rest[: error.start].decode("utf-8")[0]
    return character in "\ufffe\uffff"
