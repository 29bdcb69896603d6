"""Pushes whose server is really killed, and what heals them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from converter.errors import RemoteUnavailable, TryAgain
from converter.git import Git
from converter.publish import RefLocked
from converter.repair import repair
from tests.converter.test_publish import World
from tests.httpgit import HttpGit


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def repaired(world: World) -> list[Path]:
    """Repair, and again while git is at work: from 2.47 on maintenance goes on behind a push."""
    for _ in range(300):
        with suppress(TryAgain):
            return repair(world.remote.path, older_than=0)
        time.sleep(0.1)
    return repair(world.remote.path, older_than=0)


def killing(world: World, moment: str) -> Path:
    """Have the server's receive-pack killed when its transaction is ``moment`` (githooks(5))."""
    hook = world.remote.path / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\n[ "$1" != {moment} ] || kill -9 $PPID\n')
    hook.chmod(0o755)
    return hook


def locks(world: World) -> list[Path]:
    return sorted(world.remote.path.rglob("*.lock"))


@pytest.mark.parametrize("transport", ["file", "http"])
def test_killed_with_its_locks_held(world: World, transport: str) -> None:
    world.remote.git.run("config", "http.receivepack", "true")
    with HttpGit(world.remote.path.parent) as server:
        url = f"{server.url}/remote.git" if transport == "http" else world.url
        world.one.publish(world.one.make("6.1-1"), url)
        before = world.refs()
        hook = killing(world, "prepared")
        made = world.one.make("6.2-1")
        with pytest.raises(RemoteUnavailable):
            world.one.publish(made, url)
        hook.unlink()
        # By path, HEAD names the branch since the first build: git holds what moves with it, too.
        held = 4 if transport == "file" else 3
        assert len(locks(world)) == held
        with pytest.raises(RefLocked, match="locked") as caught:
            world.one.publish(made, url)
        assert "srcgit repair" in caught.value.next_step
        assert world.refs() == before
        assert repair(world.remote.path, older_than=3600) == []
        assert len(repaired(world)) == held
        assert locks(world) == []
        world.one.publish(made, url)
    assert world.refs()["refs/heads/f41"] == made.commit


def test_killed_after_its_refs_moved(world: World) -> None:
    hook = killing(world, "committed")
    made = world.one.make("6.1-1")
    with pytest.raises(RemoteUnavailable):
        world.one.publish(made, world.url)
    hook.unlink()
    receipt = world.one.publish(made, world.url)
    assert {state for state, _ in receipt.refs.values()} == {"same"}


def test_packed_refs_and_age(world: World) -> None:
    old, young = world.remote.path / "packed-refs.lock", world.remote.path / "refs/heads/x.lock"
    for lock in (old, young):
        lock.touch()
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    assert repair(world.remote.path, older_than=1800) == [old.resolve()]
    assert locks(world) == [young]


def test_not_while_git_is_at_work_there(world: World) -> None:
    lock = world.remote.path / "refs/heads/x.lock"
    lock.touch()
    running = Git(world.remote.path).start("cat-file", "--batch")
    running.stdin.write(b"x\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"x missing\n"  # it has started
    try:
        with pytest.raises(TryAgain, match="git is at work"):
            repair(world.remote.path, older_than=0)
    finally:
        running.kill()
    assert repair(world.remote.path, older_than=0) == [lock.resolve()]
