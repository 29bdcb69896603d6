"""The engine against the real tools: the same files and modes, or the same refusal.

Few distinct lines make ambiguous places, which is where rules show. SRCGIT_EXAMPLES sets the number
of examples for each tool.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from converter.apply import Rules, apply
from converter.diff import DiffError
from converter.tree import File

EXAMPLES = int(os.environ.get("SRCGIT_EXAMPLES", "150"))  # the default ones are always the same
SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
relaxed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SRCGIT_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class Dict:
    """A tree in memory."""

    def __init__(self, files: Mapping[bytes, File]) -> None:
        self.files = dict(files)

    def get(self, path: bytes) -> File | None:
        return self.files.get(path)

    def is_dir(self, path: bytes) -> bool:
        return path == b"" or any(known.startswith(path + b"/") for known in self.files)


# -- generated files, edits and diffs ------------------------------------------------------

LINES = st.sampled_from(
    [b"a\n", b"b\n", b"c\n", b"\n", b"}\n", b"x y\n", b"\tz\n", b"e \n", b"r\r\n"]
)
TEXTS = st.builds(
    lambda lines, newline: b"".join(lines) if newline else b"".join(lines).removesuffix(b"\n"),
    st.lists(LINES, max_size=16),
    st.booleans() | st.just(True),
)


@st.composite
def edited(draw: st.DrawFn, text: bytes, most: int = 3) -> bytes:
    lines = text.splitlines(keepends=True) if b"\r" not in text else _lines(text)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(lines)))
        if draw(st.booleans()):
            lines[at:at] = draw(st.lists(LINES, min_size=1, max_size=3))
        else:
            del lines[at : at + draw(st.integers(1, 3))]
    made = [line if line.endswith(b"\n") else line + b"\n" for line in lines]
    whole = b"".join(made)
    return whole if draw(st.booleans() | st.just(True)) else whole.removesuffix(b"\n")


def _lines(text: bytes) -> list[bytes]:
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def hunks(old: bytes, new: bytes, context: int) -> list[list[bytes]]:
    """Return unified hunks, each as lines with the header first."""
    a, b = _lines(old), _lines(new)
    found = []
    for group in difflib.SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(context):
        first, last = group[0], group[-1]
        body: list[bytes] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                body += [b" " + line for line in a[i1:i2]]
                continue
            body += [b"-" + line for line in a[i1:i2]]
            body += [b"+" + line for line in b[j1:j2]]
        whole: list[bytes] = []
        for line in body:
            if line.endswith(b"\n"):
                whole.append(line)
            else:
                whole += [line + b"\n", b"\\ No newline at end of file\n"]
        header = b"@@ -%s +%s @@\n" % (
            _range(first[1], last[2]),
            _range(first[3], last[4]),
        )
        found.append([header, *whole])
    return found


def _range(start: int, stop: int) -> bytes:
    length = stop - start
    begin = start + 1 if length else start
    return b"%d" % begin if length == 1 else b"%d,%d" % (begin, length)


EPOCH = b"\t1970-01-01 00:00:00.000000000 +0000"
DATE = b"\t2014-10-04 12:00:00.000000000 +0200"
Style = Literal["plain", "dated", "git", "index", "null"]


@st.composite
def file_diffs(draw: st.DrawFn, name: bytes, old: bytes | None, new: bytes | None) -> bytes:
    """One file's diff in one of the header styles; then, sometimes, damaged."""
    context = draw(st.sampled_from([3, 3, 2, 1, 0]))
    made = hunks(old or b"", new or b"", context)
    style = draw(st.sampled_from(["plain", "dated", "git", "git", "index"]))
    a, b = b"a/" + name, b"b/" + name
    head = b""
    if style == "git":
        head += b"diff --git %s %s\n" % (a, b)
        if old is None:
            head += b"new file mode %d\n" % draw(st.sampled_from([100644, 100755]))
        elif new is None:
            head += b"deleted file mode 100644\n"
        elif draw(st.integers(0, 5)) == 0:
            head += b"old mode 100644\nnew mode 100755\n"
        if draw(st.booleans()):
            empty = b"0000000" if old is None else b"e69de29" if not old else b"1234567"
            gone = b"0000000" if new is None else b"e69de29" if not new else b"89abcde"
            head += b"index %s..%s%s\n" % (empty, gone, b" 100644" if old and new else b"")
    if style == "index":
        head += b"Index: %s\n%s\n" % (a, b"=" * 67)
    if made:
        date = DATE if style == "dated" else b""
        absent = draw(st.booleans()) if style == "dated" else False
        left = a + date if old is not None else (a + EPOCH if absent else b"/dev/null")
        right = b + date if new is not None else (b + EPOCH if absent else b"/dev/null")
        head += b"--- %s\n+++ %s\n" % (left, right)
    if draw(st.integers(0, 4)) == 0:
        made = draw(damaged(made))
    return head + b"".join(line for hunk in made for line in hunk)


@st.composite
def damaged(draw: st.DrawFn, made: list[list[bytes]]) -> list[list[bytes]]:
    made = [list(hunk) for hunk in made]
    if not made:
        return made
    at = draw(st.integers(0, len(made) - 1))
    kind = draw(st.sampled_from(["order", "twice", "header", "line", "drop", "cut"]))
    if kind == "order":
        made.reverse()
    elif kind == "twice":
        made.append(made[at])
    elif kind == "header":
        numbers = draw(st.tuples(*[st.integers(0, 9)] * 4))
        made[at][0] = b"@@ -%d,%d +%d,%d @@\n" % numbers
    elif kind == "line":
        made[at][draw(st.integers(0, len(made[at]) - 1))] = draw(
            st.sampled_from(
                [b" a\n", b"-b\n", b"+c\n", b"\n", b"junk\n", b"\\ x\n", b"# c\n", b"\tq\n"]
            )
        )
    elif kind == "drop":
        del made[at][draw(st.integers(0, len(made[at]) - 1))]
    else:
        made[-1][-1] = made[-1][-1].removesuffix(b"\n")
    return made


NAMES = st.sampled_from([b"f", b"d/f", b"d/e/g", b"d/long-name.c"])
PROSE = st.sampled_from(
    [
        b"",
        b"",
        b"Some words.\n\n",
        b"Subject: x\n\n---\n d/f | 2 +-\n\n",
        b"-- \n2.13\n\n",
        b"* a\n\n",
    ]
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[bytes, File], bytes]:
    """A tree and a diff that more or less fits it."""
    tree: dict[bytes, File] = {}
    parts = []
    names = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    if b"f" in names and b"d/f" in names:
        names = names[:1]
    for name in names:
        old = draw(st.none() | TEXTS | TEXTS | TEXTS)
        new = draw(edited(old)) if old is not None else draw(TEXTS)
        if old is not None and draw(st.integers(0, 6)) == 0:
            new_text: bytes | None = None
        else:
            new_text = new
        parts.append(draw(PROSE) + draw(file_diffs(name, old, new_text)))
        there = draw(st.sampled_from(["old", "old", "drifted", "drifted", "new", "none"]))
        content = {
            "old": old,
            "drifted": draw(edited(old, 2)) if old is not None else draw(st.none() | TEXTS),
            "new": new_text,
            "none": None,
        }[there]
        if content is not None:
            tree[name] = File(draw(st.sampled_from([0o100644, 0o100644, 0o100755])), content)
    return tree, b"".join(parts) + draw(PROSE)


# -- the judges ----------------------------------------------------------------------------


@contextmanager
def directory(tree: Mapping[bytes, File]) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=SHM, prefix="srcgit-oracle-"))
    try:
        work = path / "work"
        work.mkdir()
        for name, file in tree.items():
            target = work / os.fsdecode(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(file.mode & 0o777)
        yield work
    finally:
        shutil.rmtree(path)


def read(work: Path) -> dict[bytes, File]:
    found = {}
    for parent, names, files in os.walk(os.fsencode(work)):
        if b".git" in names:
            names.remove(b".git")
        for name in files:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                data = file.read()
            mode = 0o100755 if os.stat(path).st_mode & 0o100 else 0o100644
            found[os.path.relpath(path, os.fsencode(work))] = File(mode, data)
    return found


def real(
    command: list[str], tree: Mapping[bytes, File], diff: bytes
) -> tuple[dict[bytes, File] | None, str]:
    """Return what the tool leaves, or None where it refuses, and what it said."""
    with directory(tree) as work:
        patch = work.parent / "patch"
        patch.write_bytes(diff)
        with patch.open("rb") as stdin:
            done = subprocess.run(
                command,
                cwd=work,
                stdin=stdin,
                capture_output=True,
                start_new_session=True,
                check=False,
            )
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        if done.returncode == 0:
            return {n: f for n, f in read(work).items() if not n.endswith(b".orig")}, said
        return None, said


def ours(
    tree: Mapping[bytes, File], diff: bytes, rules: Rules
) -> tuple[dict[bytes, File] | None, str]:
    try:
        report = apply(diff, Dict(tree), rules)
    except DiffError as error:
        return None, str(error)
    if not report.ok:
        return None, str(report.failure)
    after: dict[bytes, File | None] = {**tree, **report.changes}
    return {name: file for name, file in after.items() if file is not None}, "ok"


def compare(command: list[str], tree: Mapping[bytes, File], diff: bytes, rules: Rules) -> None:
    expected, said = real(command, tree, diff)
    if "Assertion `" in said:
        return  # git itself crashed
    got, why = ours(tree, diff, rules)
    assert got == expected, f"{' '.join(command)}\n{diff.decode(errors='replace')}\n{said}\n{why}"


@relaxed
@given(
    case=cases(),
    strip=st.sampled_from([1, 1, 1, 0, 2]),
    fuzz=st.integers(0, 3),
    reverse=st.sampled_from([False, False, True]),
    flag=st.sampled_from(["", "", "-f", "-E", "-N"]),
)
@example(({b"f": File(0o100644, b"a\n")}, b""), 1, 0, False, "")
def test_patch(
    case: tuple[dict[bytes, File], bytes], strip: int, fuzz: int, reverse: bool, flag: str
) -> None:
    tree, diff = case
    options = (flag,) if flag else ()
    command = ["patch", f"-p{strip}", f"-F{fuzz}", "-s", "--no-backup-if-mismatch", *options]
    rules = Rules("patch", strip, fuzz, reverse, options=options)
    compare(command + ["-R"] * reverse, tree, diff, rules)


@relaxed
@given(
    case=cases(),
    strip=st.sampled_from([1, 1, 1, 0, 2]),
    reverse=st.sampled_from([False, False, True]),
    option=st.sampled_from(["", "", "", "-C1", "-C0", "--unidiff-zero", "--recount"]),
)
def test_git_apply(
    case: tuple[dict[bytes, File], bytes], strip: int, reverse: bool, option: str
) -> None:
    tree, diff = case
    options = (option,) if option else ()
    command = ["git", "apply", *([f"-p{strip}"] if strip != 1 else []), *options]
    compare(
        command + ["-R"] * reverse,
        tree,
        diff,
        Rules("git-apply", strip, 0, reverse, options=options),
    )


# -- what git diff itself writes: renames, copies, modes, links, binary files --------------

BLOBS = (
    st.sampled_from([b"one\ntwo\nthree\nfour\nfive\n", b"", b"x\n"])
    | TEXTS
    | st.binary(max_size=40)
)
MODES = st.sampled_from([0o100644, 0o100644, 0o100755, 0o120000])
PATHS = st.sampled_from(
    [b"f", b"g", b"d/f", b"d/e/g", b"sp ace", b'q"uote', b"\xc3\xa9", b"tab\there"]
)


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, File]:
    made = {}
    for path in draw(st.lists(PATHS, max_size=4, unique=True)):
        if path in (b"d/f", b"d/e/g") and b"d" in made:
            continue
        mode = draw(MODES)
        data = draw(BLOBS)
        if mode == 0o120000:
            data = data.replace(b"\0", b"").replace(b"\n", b"")[:20] or b"target"
        made[path] = File(mode, data)
    return made


@st.composite
def changed(draw: st.DrawFn, tree: dict[bytes, File]) -> dict[bytes, File]:
    after = dict(tree)
    for path in draw(st.lists(st.sampled_from(sorted(tree)), max_size=3)) if tree else []:
        if path not in after:
            continue
        kind = draw(st.sampled_from(["edit", "edit", "rename", "copy", "mode", "delete"]))
        file = after[path]
        if kind == "edit" and file.mode != 0o120000:
            after[path] = File(file.mode, draw(edited(file.data)))
        elif kind in ("rename", "copy"):
            after[draw(PATHS)] = file
            if kind == "rename":
                after.pop(path)
        elif kind == "mode" and file.mode != 0o120000:
            after[path] = File(file.mode ^ 0o111, file.data)
        elif kind == "delete":
            after.pop(path)
    return after


def write_tree(work: Path, tree: Mapping[bytes, File]) -> str:
    """Write ``tree`` into the repository at ``work`` by plumbing; return its id."""
    git = ["git", "-C", str(work)]
    lines = []
    for path, file in tree.items():
        id = subprocess.check_output(
            [*git, "hash-object", "-w", "--stdin"], input=file.data
        ).strip()
        lines.append(b"%o %s\t%s\0" % (file.mode, id, path))
    subprocess.run([*git, "read-tree", "--empty"], check=True)
    subprocess.run([*git, "update-index", "-z", "--index-info"], input=b"".join(lines), check=True)
    return subprocess.check_output([*git, "write-tree"], text=True).strip()


@settings(relaxed, max_examples=max(EXAMPLES // 4, 10))
@given(data=st.data(), reverse=st.booleans(), renames=st.sampled_from(["-M", "-C", "--no-renames"]))
def test_what_git_diff_writes(data: st.DataObject, reverse: bool, renames: str) -> None:
    before = data.draw(trees())
    after = data.draw(changed(before))
    there = data.draw(st.sampled_from([before, before, after]) | changed(before))
    if reverse:  # git before 2.43 changes modes under -R that the diff only mentions
        there = after
    options = data.draw(st.sampled_from([["--binary"], ["--binary", "--full-index"], [], ["-U1"]]))
    with directory({}) as work:
        subprocess.run(["git", "init", "-q", str(work)], check=True)
        try:
            ids = [write_tree(work, tree) for tree in (before, after, there)]
        except subprocess.CalledProcessError:
            return  # a path that is a file and a directory
        command = ["git", "-C", str(work), "diff", renames, *options, ids[0], ids[1]]
        diff = subprocess.check_output(command)
        back = ["-R"] if reverse else []
        subprocess.run(["git", "-C", str(work), "read-tree", ids[2]], check=True)
        applied = subprocess.run(
            ["git", "-C", str(work), "apply", "--cached", *back], input=diff, capture_output=True
        )
        expected = None
        if applied.returncode == 0:
            expected = subprocess.check_output(
                ["git", "-C", str(work), "write-tree"], text=True
            ).strip()
        got, why = ours(there, diff, Rules("git-apply", 1, 0, reverse))
        made = None if got is None else write_tree(work, got)
        assert made == expected, (
            f"{diff.decode(errors='replace')}\n{applied.stderr.decode()}\n{why}"
        )
