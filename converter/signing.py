"""Tags are signed as ``git tag -s`` signs them with ``gpg.format=ssh``: by ssh-keygen, or by what takes
its place.

Only Ed25519 signs: the same tag then has the same signature, and so the same id, on every host that
has the key (RFC 8032; of the others, ECDSA and hardware tokens for FIDO sign otherwise each time).
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from converter.errors import CannotWork, WrongUsage

LITERAL = (
    "key::"  # git-config(1), user.signingKey: the public key itself; an agent has the other one
)
KEYGEN = "ssh-keygen"
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----"
_LARGEST = 1 << 20  # bytes of a tag whose signature is looked at
_PATIENCE = 120.0  # seconds: somebody may have to touch a device


class CannotSign(CannotWork):
    """The key, the agent or the program that signs cannot be used."""


@dataclass(frozen=True)
class Signers:
    """Whose signatures are ours: the text of an allowed signers file (ssh-keygen(1))."""

    text: str

    def verifies(self, tag: bytes) -> bool:
        """Tell whether the tag object ``tag`` ends in a signature of one of them.

        As git does it (gpg-interface.c, verify_ssh_signed_buffer). Raises CannotSign where there is
        no ssh-keygen.
        """
        payload, signature = split(tag)
        if not signature or len(tag) > _LARGEST:
            return False
        with _files(allowed=self.text.encode(), signature=signature) as directory:
            allowed, sig = str(directory / "allowed"), str(directory / "signature")
            found = _run(KEYGEN, "-Y", "find-principals", "-f", allowed, "-s", sig)
            for name in found.stdout.decode("utf-8", "replace").splitlines():
                who = ("-n", "git", "-f", allowed, "-I", name, "-s", sig)
                if _run(KEYGEN, "-Y", "verify", *who, input=payload).returncode == 0:
                    return True
        return False


@dataclass(frozen=True)
class Signer:
    """Signs tags. ``key`` is the path of a private key, or ``key::`` and a public key of an agent."""

    key: str
    signers: Signers
    program: str = KEYGEN  # called as git calls gpg.ssh.program

    def __call__(self, tag: bytes) -> bytes:
        """Return the tag object ``tag`` with its signature. Raises CannotSign, WrongUsage."""
        literal = self.key.startswith(LITERAL)
        public = self.key.removeprefix(LITERAL).encode() + b"\n"
        with _files(tag=tag, **({"key": public} if literal else {})) as directory:
            key = str(directory / "key") if literal else self.key
            done = _run(self.program, "-Y", "sign", "-n", "git", "-f", key, str(directory / "tag"))
            written = directory / "tag.sig"
            if done.returncode != 0 or not written.is_file():
                words = done.stderr.decode("utf-8", "replace").strip().splitlines()
                raise CannotSign(
                    f"a tag cannot be signed: {words[-1] if words else 'no signature'}",
                    where=self.key,
                    next_step="see the key in [signing], the agent (SSH_AUTH_SOCK), its permissions",
                )
            signature = written.read_bytes().replace(b"\r\n", b"\n")
        if kind(signature) != b"ssh-ed25519":
            raise WrongUsage(
                "only an Ed25519 key signs: each host has to get the same tag",
                where=self.key,
                next_step="make one with ssh-keygen -t ed25519",
            )
        signed = tag + signature
        if not self.signers.verifies(signed):
            raise WrongUsage(
                "the key is none of the allowed signers",
                where=self.key,
                next_step="add its public key to the file that allowed_signers names",
            )
        return signed


def public_key(key: str) -> str:
    """Return the public key that belongs to ``key`` (see Signer): ``ssh-ed25519 AAAA...``.

    Of a file it is in the file beside it that ssh-keygen makes, so that who may not sign can read
    it. Raises WrongUsage.
    """
    text = key.removeprefix(LITERAL)
    if not key.startswith(LITERAL):
        path = Path(key if key.endswith(".pub") else f"{key}.pub")
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise WrongUsage(
                f"the public key cannot be read: {error.strerror}",
                where=str(path),
                next_step="make it with ssh-keygen -y, or name allowed_signers",
            ) from None
    words = text.split()
    if len(words) < 2 or words[0] != "ssh-ed25519":
        raise WrongUsage(
            "not an Ed25519 public key", where=key, next_step="make one with ssh-keygen -t ed25519"
        )
    return f"{words[0]} {words[1]}"


def split(tag: bytes) -> tuple[bytes, bytes]:
    """Return what is signed of a tag object, and the signature (git's gpg-interface.c)."""
    at = tag.rfind(b"\n" + _BEGIN) + 1
    return (tag[:at], tag[at:]) if at else (tag, b"")


def kind(signature: bytes) -> bytes:
    """Return the kind of the key that made ``signature`` (OpenSSH's PROTOCOL.sshsig)."""
    try:
        blob = base64.b64decode(signature.partition(_BEGIN)[2].partition(_END)[0])
        (length,) = struct.unpack_from(">I", blob, 14)  # after SSHSIG, version, key's length
        return blob[18 : 18 + length] if blob.startswith(b"SSHSIG") else b""
    except (binascii.Error, struct.error):
        return b""


@contextmanager
def _files(**contents: bytes) -> Iterator[Path]:
    """Have ``contents`` as files of a directory that only we read."""
    with tempfile.TemporaryDirectory(prefix="srcgit-sign-") as name:
        for file, data in contents.items():
            (Path(name) / file).write_bytes(data)
        yield Path(name)


def _run(*command: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            input=input,
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # nobody is asked for a passphrase
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotSign(
            f"{command[0]} cannot be run: {error}",
            where=command[0],
            next_step="install openssh-client (openssh), or name the program in [signing]",
        ) from error
