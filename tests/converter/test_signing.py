"""Signed tags: what git itself accepts, the same on every host, and nobody else's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from converter.errors import WrongUsage
from converter.odb import Repository
from converter.publish import PublishedOtherwise, catch_up, publish
from converter.remote import ALLOWED, KEYS, RemoteChanged, Trust
from converter.signing import CannotSign, Signer, Signers, public_key, split
from converter.top import trailers
from service.config import load
from tests.converter.test_publish import WHO, Made, World, states
from tests.converter.test_remote import forge, move

MESSAGE = b"kernel-6.1-1.fc41\n\nPatches: 1\nConverter: srcgit 1\n"


def make_key(path: Path, kind: str = "ed25519") -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)], check=True
    )
    return path


def signers(key: Path) -> Signers:
    return Signers(f'srcgit@srcgit.invalid namespaces="git" {public_key(str(key))}\n')


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    directory = tmp_path_factory.mktemp("keys")
    yield make_key(directory / "ours"), make_key(directory / "theirs")


@pytest.fixture
def signer(keys: tuple[Path, Path]) -> Signer:
    return Signer(str(keys[0]), signers(keys[0]))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def signed(world: World, signer: Signer, version: str, host: str = "one") -> Made:
    made = getattr(world, host).make(version)
    repo = getattr(world, host).repo
    tag = repo.write_tag(made.commit, made.build.tag, WHO, MESSAGE, signer)
    return Made(made.build, made.commit, tag, made.base)


def push(world: World, made: Made, trust: Trust, host: str = "one") -> dict[str, str]:
    repo = getattr(world, host).repo
    return states(publish(repo, made.build, made.commit, made.tag, made.base, world.url, trust))


def test_git_itself_accepts_the_tag_by_the_published_signers(
    world: World, signer: Signer, tmp_path: Path
) -> None:
    made = signed(world, signer, "6.1-1")
    assert push(world, made, Trust(signer.signers))["heads/srcgit/keys"] == "new"
    there = Repository(world.remote.path)
    file = there.tree(world.refs()[KEYS]).get(ALLOWED)
    assert file
    allowed = tmp_path / "allowed"
    allowed.write_bytes(file.data)
    git = ["git", "-C", world.url, "-c", f"gpg.ssh.allowedSignersFile={allowed}"]
    done = subprocess.run(
        [*git, "verify-tag", made.build.tag], capture_output=True, text=True, check=True
    )
    assert 'Good "git" signature for srcgit@srcgit.invalid with ED25519' in done.stderr
    assert trailers(there.tag_message(made.tag) or b"")["Converter"] == "srcgit 1"


def test_git_tag_makes_the_same_bytes(world: World, signer: Signer) -> None:
    made = signed(world, signer, "6.1-1")
    repo = world.one.repo
    who = {
        "GIT_COMMITTER_NAME": "srcgit",
        "GIT_COMMITTER_EMAIL": "srcgit@srcgit.invalid",
        "GIT_COMMITTER_DATE": WHO.date.decode(),
    }
    told = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={signer.key}", "tag", "-s"]
    told += ["--cleanup=verbatim", "-F", "-", made.build.tag, made.commit]
    git = ["git", f"--git-dir={repo.path}"]
    subprocess.run([*git, *told], input=MESSAGE, check=True, env={**os.environ, **who})
    assert repo.ref(made.build.tag_ref) == made.tag


def test_hosts_that_share_the_key_agree_on_the_tag(world: World, signer: Signer) -> None:
    assert signed(world, signer, "6.1-1", "one").tag == signed(world, signer, "6.1-1", "two").tag


def test_the_key_of_an_agent_and_a_program_sign_the_same(
    world: World, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = signed(world, signer, "6.1-1").tag
    started = subprocess.run(
        ["ssh-agent", "-s", "-a", str(tmp_path / "agent")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pid = started.partition("SSH_AGENT_PID=")[2].partition(";")[0]
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        literal = Signer(f"key::{public_key(signer.key)}", signer.signers)
        with pytest.raises(CannotSign):
            literal(b"x")
        subprocess.run(["ssh-add", "-q", signer.key], check=True)
        assert signed(world, literal, "6.1-1").tag == plain
    finally:
        os.kill(int(pid), 15)
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\nexec ssh-keygen "$@"\n')
    program.chmod(0o755)
    by_program = Signer(signer.key, signer.signers, str(program))
    assert signed(world, by_program, "6.1-1").tag == plain
    assert (tmp_path / "called").read_text().startswith(f"-Y sign -n git -f {signer.key} /")


def test_a_key_that_cannot_sign_the_same_twice_is_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path / "ecdsa", "ecdsa")
    with pytest.raises(WrongUsage, match="not an Ed25519"):
        public_key(str(key))
    with pytest.raises(WrongUsage, match="only an Ed25519"):
        Signer(str(key), Signers(""))(b"object\n")


def test_a_key_that_is_none_of_the_signers_is_refused(keys: tuple[Path, Path]) -> None:
    with pytest.raises(WrongUsage, match="none of the allowed signers"):
        Signer(str(keys[0]), signers(keys[1]))(b"object\n")


def test_a_key_with_a_passphrase_asks_nobody(tmp_path: Path) -> None:
    key = str(tmp_path / "locked")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    with pytest.raises(CannotSign, match="passphrase"):
        Signer(key, Signers(""))(b"object\n")


def test_a_signature_holds_for_these_bytes_and_this_use_alone(
    signer: Signer, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    tag = signer(MESSAGE)
    ours = signer.signers
    assert ours.verifies(tag) and split(tag)[0] == MESSAGE
    assert not ours.verifies(MESSAGE)
    assert not ours.verifies(tag.replace(b"Patches: 1", b"Patches: 2"))
    assert not ours.verifies(tag.replace(b"\nU1NI", b"\nU1NJ"))
    assert not signers(keys[1]).verifies(tag)
    other = tmp_path / "file"
    other.write_bytes(MESSAGE)
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", signer.key, str(other)],
        check=True,
        capture_output=True,
    )
    assert not ours.verifies(MESSAGE + (tmp_path / "file.sig").read_bytes())


def test_what_another_host_signed_is_taken_over_and_nothing_else(
    world: World, signer: Signer, keys: tuple[Path, Path]
) -> None:
    trust = Trust(signer.signers)
    for version in ("6.1-1", "6.2-1"):
        push(world, signed(world, signer, version), trust)
    refs = world.refs()
    there = Repository(world.remote.path)
    bad = forge(world, [world.one.base])
    theirs = Signer(str(keys[1]), signers(keys[1]))
    for version, sign in (("9.1-1", None), ("9.2-1", theirs)):
        name = f"kernel-{version}.fc41"
        move(world, f"refs/tags/{name}", there.write_tag(bad, name, WHO, MESSAGE, sign))
    # A signed tag of ours, under another name.
    move(world, "refs/tags/kernel-9.3-1.fc41", refs["refs/tags/kernel-6.1-1.fc41"])
    left = catch_up(world.two.repo, world.url, "kernel", trust)
    assert sorted(left) == [f"kernel-9.{n}-1.fc41" for n in (1, 2, 3)]
    ours = {ref: id for ref, id in refs.items() if ref.startswith("refs/tags/")}
    assert world.two.repo.refs("refs/tags/") == ours
    push(world, signed(world, signer, "6.3-1", "two"), trust, "two")
    assert world.two.converted_again == []


def test_a_tip_that_nobody_of_ours_signed_is_refused(
    world: World, signer: Signer, keys: tuple[Path, Path]
) -> None:
    """Even if it is what converting gives: with a key configured, the signature decides."""
    theirs = Signer(str(keys[1]), signers(keys[1]))
    push(world, signed(world, theirs, "6.1-1"), Trust(again=world.one.again))
    before = world.refs()
    with pytest.raises(RemoteChanged, match="which none of the allowed signers has signed"):
        push(world, signed(world, signer, "6.2-1", "two"), Trust(signer.signers), "two")
    assert world.refs() == before
    with pytest.raises(PublishedOtherwise):
        push(world, signed(world, signer, "6.1-1", "two"), Trust(signer.signers), "two")


def test_the_published_signers_change_with_the_configuration_and_by_nobody_else(
    world: World, signer: Signer, keys: tuple[Path, Path]
) -> None:
    push(world, signed(world, signer, "6.1-1"), Trust(signer.signers))
    first = world.refs()[KEYS]
    both = Signers(signer.signers.text + signers(keys[1]).text)
    push(world, signed(world, signer, "6.2-1"), Trust(both))
    second = world.refs()[KEYS]
    there = Repository(world.remote.path)
    assert there.commit(second).parents == (first,)
    tree = there.commit(first).tree
    move(world, KEYS, there.write_commit(tree, [], WHO, WHO, b"mine\n"))
    with pytest.raises(RemoteChanged, match="srcgit/keys has other allowed signers"):
        push(world, signed(world, signer, "6.3-1"), Trust(both))


def test_the_configuration_names_key_program_and_signers(
    keys: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"

    def signing(text: str) -> tuple[Signer | None, Signers | None]:
        path.write_text(f"[consumer_config.signing]\n{text}\n")
        found = load(path).signing
        return found.signer("a@b"), found.signers("a@b")

    public = public_key(str(keys[0]))
    assert signing("") == (None, None)
    only = Signers(f'a@b namespaces="git" {public}\n')
    assert signing(f'key = "{keys[0]}"') == (Signer(str(keys[0]), only), only)
    literal = f"key::{public}"
    assert signing(f'key = "{literal}"') == (Signer(literal, only), only)
    file = tmp_path / "allowed"
    file.write_text(only.text * 2)
    assert signing(f'allowed_signers = "{file}"') == (None, Signers(only.text * 2))
    for wrong in (
        'key = "relative"',
        'key = "key::ssh-rsa AAAA"',
        'program = "a b"',
        'allowed_signers = "x"',
        'ky = "x"',
    ):
        with pytest.raises(WrongUsage):
            signing(wrong)
    for missing in ('key = "/nowhere/key"', 'allowed_signers = "/nowhere/file"'):
        with pytest.raises(WrongUsage, match="cannot be read"):
            signing(missing)
