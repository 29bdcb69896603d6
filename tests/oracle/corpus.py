"""Hold the parsers against git on every patch file of a real pkg-git's history.

    python -m tests.oracle.corpus MIRROR [--sample N] [--jobs N]

Each distinct *.patch and *.diff (compressed ones, too) is unpacked, split and read; what its mails
become is compared with the commits that ``git am`` makes of them. Its diffs are read with either
reader, and each file, line and hunk is accounted for: ``git apply --numstat`` counts for the one,
patch(1), run where there are no files, for the other. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from converter.engine.diff import DiffError, FilePatch
from converter.engine.diff_git import git_patches
from converter.engine.diff_patch import patch_patches
from converter.engine.unpack import UnpackError, unpack
from converter.mailbox.mail import Mail, MailError, parse, split
from tests.oracle.git_mail import Judge, Refused, run

PATCH_NAME = re.compile(rb"\.(?:patch|diff)(?:\.(?:gz|bz2|xz|lzma|zst))?$")
CHUNK = 50  # files that a worker takes at a time


@dataclass
class Tally:
    """What was counted, and each difference as (blob, what)."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.counts += other.counts
        self.differences += other.differences


def patch_blobs(mirror: Path) -> list[tuple[str, bytes]]:
    """Each distinct patch file in the history: its blob id and one of its names."""
    walk = ["rev-list", "--objects", "--all", "--missing=allow-any"]
    listed = subprocess.run(["git", "-C", mirror, *walk], stdout=subprocess.PIPE, check=True)
    found = (line.partition(b" ") for line in listed.stdout.splitlines())
    return [(blob.decode(), name) for blob, _, name in found if PATCH_NAME.search(name)]


def contents(mirror: Path, blobs: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes, bytes]]:
    """The content of each blob that the mirror has."""
    asked = "".join(f"{blob}\n" for blob, _ in blobs).encode()
    batch = subprocess.run(
        ["git", "-C", mirror, "cat-file", "--batch"], input=asked, capture_output=True, check=True
    ).stdout
    at = 0
    for blob, name in blobs:
        head, _, _ = batch[at : at + 200].partition(b"\n")
        at += len(head) + 1
        if not head.endswith(b" missing"):
            size = int(head.split()[2])
            yield blob, name, batch[at : at + size]
            at += size + 1


def check(mirror: Path, blobs: list[tuple[str, bytes]]) -> Tally:
    """Check some files, with a judge of their own."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="corpus-") as directory:
        judge = Judge(Path(directory))
        for blob, name, packed in contents(mirror, blobs):
            tally.counts["files"] += 1
            try:
                check_file(judge, tally, blob, unpack(name, packed))
            except UnpackError as error:
                tally.differences.append((blob, f"does not unpack: {error}"))
    tally.counts["files that the mirror lacks"] += len(blobs) - tally.counts["files"]
    return tally


def check_file(judge: Judge, tally: Tally, blob: str, data: bytes) -> None:
    mails: tuple[bytes, ...] | str
    try:
        mails = split(data)
    except MailError as error:
        mails = f"refused: {error}"
    theirs: tuple[bytes, ...] | str
    try:
        theirs = judge.split(data)
    except Refused as refusal:
        theirs = f"refused: {refusal}"
    if isinstance(mails, str) and isinstance(theirs, str):
        tally.counts[f"file {mails}"] += 1
    elif mails != theirs:
        tally.differences.append((blob, "git am splits it otherwise"))
    if not mails:
        tally.counts["raw diffs"] += 1
        compare(tally, blob, "", *git_counts(judge, data))
    compare(tally, blob, "", *patch_counts(judge, data))
    for number, mail in enumerate(mails if isinstance(mails, tuple) else (), 1):
        tally.counts["mails"] += 1
        verdict = check_mail(judge, mail)
        if verdict.startswith("mail"):
            tally.counts[verdict] += 1
        else:
            tally.differences.append((blob, f"mail {number}: {verdict}"))
        with suppress(MailError):
            diff = parse(mail).diff
            if diff:
                compare(tally, blob, f"mail {number}: ", *git_counts(judge, diff))


def check_mail(judge: Judge, mail: bytes) -> str:
    """A line of the table, ``mail ...``, or what differs."""
    ours: Mail | str
    try:
        ours = parse(mail)
    except MailError as error:
        ours = str(error)
    try:
        theirs = judge.commit(mail)
    except Refused as refusal:
        if isinstance(ours, str):
            return f"mail refused by both: {re.sub(r' *[:(].*', '', ours)}"
        return f"git refuses: {refusal}"
    if isinstance(ours, str):
        return f"refused: {ours}"
    wrong = [
        name
        for name in ("name", "email", "date", "message", "diff")
        if getattr(ours, name) != getattr(theirs, name) and (name != "date" or ours.date)
    ]
    return f"differs in {', '.join(wrong)}" if wrong else "mail equal"


@dataclass(frozen=True)
class Counted:
    """What a tool found in a diff, or why it refused that."""

    found: tuple[object, ...] = ()
    refusal: str = ""


def compare(
    tally: Tally, blob: str, where: str, reader: str, hunks: int, ours: Counted, theirs: Counted
) -> None:
    tally.counts[f"diffs read for {reader}"] += 1
    tally.counts[f"hunks for {reader}"] += hunks
    if ours.refusal and theirs.refusal:
        tally.counts[f"diff refused by both, {reader}: {re.sub(r'[0-9]+', 'N', ours.refusal)}"] += 1
    elif "only garbage" in ours.refusal:
        # apply.c, parse_chunk(): refused when it is applied, which counting alone does not do.
        tally.counts["diff that git counts, and would not apply"] += 1
    elif ours != theirs:
        extra = [entry for entry in ours.found if entry not in theirs.found][:3]
        lacking = [entry for entry in theirs.found if entry not in ours.found][:3]
        said = f"{ours.refusal or extra}, {reader} {theirs.refusal or lacking}"
        tally.differences.append((blob, f"{where}the diff has {said}"))


def read_all(patches: Iterator[FilePatch]) -> tuple[list[FilePatch], str]:
    read: list[FilePatch] = []
    try:
        read.extend(patches)
    except DiffError as error:
        return read, str(error) or "refused"
    return read, ""


def git_counts(judge: Judge, diff: bytes) -> tuple[str, int, Counted, Counted]:
    """For each file added lines, deleted lines and its name, by our reader and by git apply."""
    patches, refusal = read_all(git_patches(diff, 1))
    if not patches and not refusal:
        refusal = "no valid patches in input"
    ours = []
    for patch in patches:
        lines = [line[:1] for hunk in patch.hunks for line in hunk.lines]
        counts = (b"-", b"-") if patch.is_binary else (lines.count(b"+"), lines.count(b"-"))
        ours.append(
            b"%b\t%b\t%b"
            % (
                *(str(n).encode() if isinstance(n, int) else n for n in counts),
                patch.new or patch.old or b"",
            )
        )
    code, out, err = run(
        "git", "apply", "--numstat", "-z", "--whitespace=nowarn", cwd=judge.clean, stdin=diff
    )
    theirs = Counted(tuple(out.split(b"\0")[:-1]))
    if code:
        theirs = Counted(refusal=err.decode("utf-8", "replace").strip())
    hunks = sum(len(patch.hunks) for patch in patches)
    return "git", hunks, Counted(() if refusal else tuple(ours), refusal), theirs


# patch(1) --verbose says of each whether it succeeded (the file is new), failed or is ignored.
HUNK = re.compile(rb"^Hunk #\d+ ", re.MULTILINE)


def patch_counts(judge: Judge, data: bytes) -> tuple[str, int, Counted, Counted]:
    """The number of hunks, by our reader and by patch(1)."""
    patches, refusal = read_all(patch_patches(data, 1))
    hunks = sum(len(patch.hunks) for patch in patches)
    empty = judge.clean.parent / "empty"
    empty.mkdir(exist_ok=True)
    code, out, err = run(
        "patch", "-p1", "-f", "--dry-run", "--verbose", "--fuzz=0", cwd=empty, stdin=data
    )
    if code > 1:
        theirs = Counted(refusal=(out + err).decode("utf-8", "replace").strip().split("\n")[-1])
    else:
        theirs = Counted((len(HUNK.findall(out)),))
    return "patch", hunks, Counted(() if refusal else (hunks,), refusal), theirs


def main() -> int:
    parser = argparse.ArgumentParser(prog="corpus-check", description=__doc__.partition("\n")[0])
    parser.add_argument("mirror", type=Path, help="a clone of a pkg-git, bare or not")
    parser.add_argument("--sample", type=int, metavar="N", help="only N files, evenly spread")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    chosen = parser.parse_args()
    console = Console(stderr=True)
    start = time.monotonic()
    blobs = patch_blobs(chosen.mirror)
    if chosen.sample and chosen.sample < len(blobs):
        blobs = [blobs[n * len(blobs) // chosen.sample] for n in range(chosen.sample)]
    tally = Tally()
    chunks = [blobs[at : at + CHUNK] for at in range(0, len(blobs), CHUNK)]
    with ProcessPoolExecutor(chosen.jobs) as pool, console.status("") as status:
        for done in as_completed([pool.submit(check, chosen.mirror, chunk) for chunk in chunks]):
            tally.add(done.result())
            status.update(f"{tally.counts['files']} of {len(blobs)} files")
    table = Table("what", "count", title=f"{chosen.mirror}, {time.monotonic() - start:.0f} s")
    for what, count in sorted(tally.counts.items()):
        if count:
            table.add_row(what, f"{count:,}")
    table.add_row("different", f"{len(tally.differences):,}", style="bold")
    Console().print(table)
    for blob, difference in sorted(tally.differences):
        print(blob, difference)
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
