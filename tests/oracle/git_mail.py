"""git itself as the judge of mails: what its mailsplit, mailinfo and am make of a patch file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from converter.mailbox.mail import Mail

# The commands must not see the user's configuration, wherever they are run.
SEALED = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_COMMITTER_NAME": "C. Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
    "GIT_COMMITTER_DATE": "1500000000 +0000",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


class Refused(Exception):
    """git refuses; the text is what it says."""


def run(
    *command: str, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] = {}
) -> tuple[int, bytes, bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, env=inherited | SEALED | dict(env)
    )
    return done.returncode, done.stdout, done.stderr


class Judge:
    """A repository in ``directory`` to ask git in."""

    def __init__(self, directory: Path) -> None:
        self.clean = directory / "clean"
        self.dirty = directory / "dirty"
        for repository in (self.clean, self.dirty):
            repository.mkdir(parents=True)
            run("git", "init", "-q", cwd=repository)
            run(
                *("git", "commit", "-q", "--allow-empty", "-m", "base"),
                cwd=repository,
                env={"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a"},
            )
        self.resolved = 0
        self.blob = self._git("hash-object", "-w", "--stdin").decode().strip()
        # With a dirty index git am ends after splitting (am_run() in builtin/am.c).
        (self.dirty / "f").write_bytes(b"")
        run("git", "add", "f", cwd=self.dirty)

    def _git(self, *words: str, stdin: bytes = b"") -> bytes:
        code, out, err = run("git", *words, cwd=self.clean, stdin=stdin)
        if code:
            raise Refused(err.decode("utf-8", "replace"))
        return out

    def split(
        self, data: bytes, options: Sequence[str] = (), *more: bytes, stdin: bool = False
    ) -> tuple[bytes, ...]:
        """The mails that git am works on, () where it knows no format.

        ``more`` are other files of the same call; ``stdin`` gives it the one file by a pipe.
        """
        state = self.dirty / ".git/rebase-apply"
        shutil.rmtree(state, ignore_errors=True)
        names = []
        for number, each in enumerate(() if stdin else (data, *more)):
            patch = self.dirty.parent / f"series-{number}.patch"
            patch.write_bytes(each)
            names.append(str(patch))
        given = data if stdin else b""
        _, _, err = run("git", "am", *options, *names, cwd=self.dirty, stdin=given)
        if b"Patch format detection failed" in err:
            return ()
        if b"Dirty index" not in err:
            raise Refused(err.decode("utf-8", "replace"))
        return tuple(path.read_bytes() for path in sorted(state.glob("[0-9]*")))

    def mailinfo(self, mail: bytes, options: Sequence[str] = ()) -> tuple[bytes, bytes, bytes]:
        """What git mailinfo prints, the message's body and the patch."""
        files = [self.clean.parent / "msg", self.clean.parent / "patch"]
        out = self._git(
            "mailinfo", "--encoding=UTF-8", *options, str(files[0]), str(files[1]), stdin=mail
        )
        return out, files[0].read_bytes(), files[1].read_bytes()

    def commit(self, mail: bytes, options: Sequence[str] = ()) -> Mail:
        """Apply one mail by git am; give author, date and message as the commit has them.

        The diff is git mailinfo's. It is not applied (``--exclude``), or resolved where that fails.
        """
        state = self.clean / ".git/rebase-apply"
        shutil.rmtree(state, ignore_errors=True)
        path = self.clean.parent / "mail"
        path.write_bytes(mail)
        _, _, patch = self.mailinfo(mail, [o for o in options if o in MAILINFO])
        words = ("--keep-cr", "--patch-format=mbox", "--exclude=*", "--empty=keep", *options)
        code, out, err = run("git", "am", *words, str(path), cwd=self.clean)
        if code and b"Patch failed at" in out:
            # As a user who resolves the conflict: the commit is of the same mail.
            self.resolved += 1
            entry = f"100644,{self.blob},resolved{self.resolved}"
            self._git("update-index", "--add", "--cacheinfo", entry)
            code, out, err = run("git", "am", "--continue", cwd=self.clean)
            run("git", "read-tree", "HEAD", cwd=self.clean)
        if code:
            raise Refused((out + err).decode("utf-8", "replace"))
        raw = self._git("cat-file", "commit", "HEAD")
        head, _, message = raw.partition(b"\n\n")
        author = next(line for line in head.split(b"\n") if line.startswith(b"author "))[7:]
        ident, _, date = author.rpartition(b"> ")
        name, _, email = ident.rpartition(b" <")
        return Mail(name, email, date, message, patch)


MAILINFO = ("--scissors", "--no-scissors")  # the options that change the patch
