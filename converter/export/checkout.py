"""A directory that somebody works in, a checkout of pkg-git perhaps: files go in, none gets out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from converter.errors import CannotWork, WrongUsage
from converter.git import Git
from converter.safe_paths import why_unsafe
from converter.text import text


class Checkout:
    """A directory to write to; it is made where it is not there."""

    def __init__(self, path: Path) -> None:
        """Raises CannotWork where the directory cannot be made."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.path = path.resolve()
        except OSError as error:
            raise _failed(path, error) from None
        top = Git().run("-C", str(self.path), "rev-parse", "--show-toplevel", ok=(0, 128)).stdout
        self.is_git = bool(top) and Path(os.fsdecode(top.rstrip(b"\n"))) == self.path
        """Whether it is the top of a work tree."""

    def read(self, name: bytes) -> bytes | None:
        """Return the content of the file ``name``; None where there is none."""
        path = self._inside(name)
        try:
            return path.read_bytes() if path.is_file() and not path.is_symlink() else None
        except OSError as error:
            raise _failed(path, error) from None

    def changes(self) -> dict[bytes, bytes | None]:
        """Return what differs from the last commit: path -> content, None where it is gone."""
        git = Git()
        out = git.run("-C", str(self.path), "status", "--porcelain", "-z", "-uall", "--no-renames")
        names = [line[3:] for line in out.stdout.split(b"\0") if line]
        return {name: self.read(name) for name in names}

    def write(self, files: Mapping[bytes, bytes]) -> list[bytes]:
        """Write what differs; return the names. A link in a file's place is replaced."""
        paths = [(name, data, self._inside(name)) for name, data in files.items()]
        written = []
        for name, data, path in paths:
            if self.read(name) == data:
                continue
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._replace(path, data)
            except OSError as error:
                raise _failed(path, error) from None
            written.append(name)
        return written

    @staticmethod
    def _replace(path: Path, data: bytes) -> None:
        umask = os.umask(0)
        os.umask(umask)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".srcgit-") as scratch:
            beside = Path(scratch) / "file"
            beside.write_bytes(data)
            beside.chmod(path.stat().st_mode & 0o777 if path.is_file() else 0o666 & ~umask)
            beside.replace(path)

    def remove(self, name: bytes) -> None:
        try:
            self._inside(name).unlink(missing_ok=True)
        except OSError as error:
            raise _failed(self._inside(name), error) from None

    def _inside(self, name: bytes) -> Path:
        """Return the path of ``name``. Raises WrongUsage where it would lead out, or into .git."""
        path = self.path / os.fsdecode(name)
        if why_unsafe(name, link=False) or path.parent.resolve() != path.parent:
            raise WrongUsage(
                f"{text(name)} leads out of the directory",
                where=str(self.path),
                next_step="export to an empty directory",
            )
        return path


def _failed(path: Path, error: OSError) -> CannotWork:
    return CannotWork(
        f"cannot be written: {error.strerror}",
        where=str(path),
        next_step="make room, or make it writable; then run it again",
    )
