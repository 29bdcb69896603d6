"""The real GNU patch, git apply and git am as judges: what they make of a diff on some files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.engine.apply import Rules
from converter.tree import File

SEALED = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A. Uthor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "C. Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
LINK, SUBMODULE = 0o120000, 0o160000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The files after a tool's run; None for a refusal. ``said`` is for people."""

    files: Mapping[bytes, File] | None
    said: str


class Files:
    """A tree in memory: a converter.tree.Tree."""

    def __init__(self, files: Mapping[bytes, File]) -> None:
        self.files = dict(files)
        self._directories = {
            path[:at] for path in files for at in range(len(path)) if path[at : at + 1] == b"/"
        }

    def get(self, path: bytes) -> File | None:
        return self.files.get(path)

    def is_dir(self, path: bytes) -> bool:
        return path in self._directories

    def children(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        inside = directory + b"/" if directory else b""
        for path in {*self.files, *self._directories}:
            if path.startswith(inside) and b"/" not in path[len(inside) :]:
                yield path, path in self._directories

    def changed(self, changes: Mapping[bytes, File | None]) -> dict[bytes, File]:
        after: dict[bytes, File | None] = {**self.files, **changes}
        return {path: file for path, file in after.items() if file is not None}


class Judge:
    """Runs the tools in a directory that it empties before each run."""

    def __init__(self, directory: Path) -> None:
        self._work = os.fsencode(directory / "work")
        self._diff = directory / "the.diff"
        self._template = directory / "template"
        self._env = {**SEALED, "GIT_CEILING_DIRECTORIES": str(directory)}
        subprocess.run(["git", "init", "-q", str(self._template)], env=self._env, check=True)
        shutil.rmtree(self._template / ".git" / "hooks")

    def verdict(self, files: Mapping[bytes, File], diff: bytes, rules: Rules) -> Verdict:
        self._write(files)
        self._diff.write_bytes(diff)
        if rules.tool == "patch":
            words = ["patch", f"-F{rules.fuzz}", "-s"]
            words += [f"-p{rules.strip}"] if rules.strip >= 0 else []
            words += ["--no-backup-if-mismatch", "-i", str(self._diff)]
        elif rules.tool == "git-apply":
            if rules.form or not {"--index", "-3"}.isdisjoint(rules.options):
                self._commit(files)
            words = ["git", "apply", *([f"-p{rules.strip}"] if rules.strip != 1 else [])]
        else:
            self._commit(files)
            words = ["git", "am", "-q", "--patch-format=mbox"]
            words += [f"-p{rules.strip}"] if rules.strip != 1 else []
        words += ["-R"] * rules.reverse + list(rules.options)
        if rules.directory and rules.tool == "patch":
            words += ["-d", os.fsdecode(rules.directory)]
        if rules.tool != "patch":
            words.append(str(self._diff))
        code, said = self._run(words)
        if code:
            return Verdict(None, said)
        return Verdict(self._read(files), said)

    def _run(self, words: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(
            words,
            cwd=self._work,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # patch asks its questions on /dev/tty
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def _write(self, files: Mapping[bytes, File]) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        os.mkdir(self._work)
        for path, file in files.items():
            where = os.path.join(self._work, path)
            os.makedirs(os.path.dirname(where), exist_ok=True)
            if file.mode == LINK:
                os.symlink(file.data, where)
            elif file.mode == SUBMODULE:
                os.mkdir(where)
            else:
                with open(where, "wb") as out:
                    out.write(file.data)
                os.chmod(where, file.mode & 0o777)

    def _commit(self, files: Mapping[bytes, File]) -> None:
        shutil.copytree(self._template / ".git", os.path.join(os.fsdecode(self._work), ".git"))
        for path, file in files.items():
            if file.mode == SUBMODULE:
                entry = f"160000,{file.data.decode()},{os.fsdecode(path)}"
                self._run(["git", "update-index", "--add", "--cacheinfo", entry])
        if any(file.mode != SUBMODULE for file in files.values()):
            self._run(["git", "add", "-A", "-f", "."])
        self._run(["git", "commit", "-q", "--allow-empty", "-m", "base"])

    def _read(self, before: Mapping[bytes, File]) -> dict[bytes, File]:
        found: dict[bytes, File] = {}
        for directory, inner, names in os.walk(self._work):
            if b".git" in inner:
                inner.remove(b".git")
            links = [name for name in inner if os.path.islink(os.path.join(directory, name))]
            for name in names + links:
                where = os.path.join(directory, name)
                path = os.path.relpath(where, self._work)
                if os.path.islink(where):
                    found[path] = File(LINK, os.readlink(where))
                    continue
                mode = 0o100755 if os.stat(where).st_mode & 0o100 else 0o100644
                with open(where, "rb") as stream:
                    found[path] = File(mode, stream.read())
        if os.path.isdir(os.path.join(self._work, b".git")):
            listed = subprocess.run(
                ["git", "ls-files", "-s", "-z"], cwd=self._work, env=self._env, capture_output=True
            ).stdout
            for line in listed.split(b"\0")[:-1]:
                head, _, path = line.partition(b"\t")
                mode_text, blob, _ = head.split()
                if mode_text == b"160000":
                    found[path] = File(SUBMODULE, blob)
        else:
            found = {p: file for p, file in before.items() if file.mode == SUBMODULE} | found
        return found
