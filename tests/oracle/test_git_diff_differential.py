"""What git diff itself writes, applied by the engine and by git apply: the same tree, or a refusal.

SRCGIT_EXAMPLES sets the number of examples.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter.engine.apply import Rules, apply
from converter.engine.diff import DiffError
from converter.tree import File
from tests.oracle.apply_judge import Files

EXAMPLES = int(os.environ.get("SRCGIT_EXAMPLES", "150"))  # the default ones are always the same
SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
relaxed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SRCGIT_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


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


def ours(
    tree: Mapping[bytes, File], diff: bytes, rules: Rules
) -> tuple[dict[bytes, File] | None, str]:
    try:
        report = apply(diff, Files(tree), rules)
    except DiffError as error:
        return None, str(error)
    if not report.ok:
        return None, str(report.failure)
    after: dict[bytes, File | None] = {**tree, **report.changes}
    return {name: file for name, file in after.items() if file is not None}, "ok"


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
