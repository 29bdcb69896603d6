"""What the process that converts hands over: statements of one form alone, and objects that git hashed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converter import tagging
from converter.build import Build, Nvr
from converter.conversion import Conversion
from converter.errors import CannotConvert, Fate, RepositoryUnusable
from converter.handover import Statement, StatementRefused, copy
from converter.odb import Repository
from converter.top import tag_message
from tests.converter.test_publish import WHO, Made, World

NVR = "kernel-6.1-1.fc41"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def convert(
    world: World, version: str = "6.1-1", koji_id: int | None = 7
) -> tuple[Made, Statement]:
    """Convert on host one, with the tag's message as srcgit writes it."""
    made = world.one.make(version)
    build = Build(made.build.nvr, 2, "https://x/a kernel.git", "c" * 40, "f41", koji_id)
    base = {
        "rev": "v6.1",
        "commit": made.base,
        "archives": [{"archive": "a.tar", "commit": "d" * 40}],
    }
    record = {"base": base, "patches": [1, 2], "series": {"tree": "e" * 40}, "verified": "not run"}
    tag = world.one.repo.write_tag(made.commit, build.tag, WHO, tag_message(build, record, "0.1.0"))
    done = Conversion(build, record, made.commit, "", tag)
    return Made(build, made.commit, tag, made.base), Statement.of(world.one.repo, done)


def test_what_is_published_is_what_was_converted(world: World) -> None:
    """The same tag as the converting repository has, with its objects, through the journal's JSON."""
    made, statement = convert(world)
    read = Statement.read(json.loads(json.dumps(statement.as_json())), NVR)
    assert (read.commit, read.base, read.build.evr) == (made.commit, made.base, made.build.evr)
    repo = world.two.repo
    assert made.commit not in repo
    copy(repo, world.one.repo.path / "objects", read)
    assert made.commit in repo.own_objects() and made.base not in repo.own_objects()
    assert tagging.adopt(repo, read.build, read.commit, read.base, read.tag) == made.tag
    assert repo.ref("refs/heads/f41") == made.commit
    assert tagging.adopt(repo, read.build, read.commit, read.base, read.tag) == made.tag
    assert repo.git.run("fsck", "--strict", "--no-dangling").status == 0
    with pytest.raises(CannotConvert, match="exists and is of another commit"):
        tagging.adopt(repo, read.build, made.base, read.base, read.tag)


def test_objects_of_a_base_that_only_the_converting_repository_has_come_along(world: World) -> None:
    alone = world.one.repo.write_commit(
        world.one.repo.write_tree({}), [], WHO, WHO, b"an archive\n"
    )
    world.one.base = alone
    made, statement = convert(world)
    copy(world.two.repo, world.one.repo.path / "objects", statement)
    assert {made.commit, alone} <= {id for id in (made.commit, alone) if id in world.two.repo}


def test_what_is_not_there_is_told(world: World, tmp_path: Path) -> None:
    _, statement = convert(world)
    with pytest.raises(RepositoryUnusable, match="cannot be copied"):
        copy(world.two.repo, tmp_path / "nowhere", statement)


def test_neither_configuration_nor_hooks_of_the_other_repository_run(
    world: World, tmp_path: Path
) -> None:
    _, statement = convert(world)
    ran = tmp_path / "ran"
    other = world.one.repo
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    for name in ("uploadpack.packObjectsHook", "core.fsmonitor", "core.alternateRefsCommand"):
        other.git.run("config", name, str(program))
    copy(world.two.repo, other.path / "objects", statement)
    assert statement.commit in world.two.repo and not ran.exists()


def refused(said: Any, nvr: str = NVR) -> None:
    with pytest.raises(StatementRefused) as caught:
        Statement.read(said, nvr)
    assert caught.value.fate is Fate.PARKED


@pytest.mark.parametrize(
    "change",
    [
        ("tag " + NVR, "tag kernel-9.9-1.fc41"),
        ("tag " + NVR, f"tag {NVR}@aarch64"),
        ("\n\n" + NVR, "\n\nkernel-9.9-1.fc41"),
        ("type commit", "type tag"),
        ("Patches: 2", "Patches: two"),
        ("Patches: 2\n", "Patches: 2\n-----BEGIN SSH SIGNATURE-----\n"),
        ("Patches: 2\n", "Patches: 2\n\nSigned-off-by: me\n"),
        ("Patches: 2\n", "Patches: 2\x00\n"),
        ("Verified: not run", "Verified: surely"),
        ("tagger srcgit", "tagger a\ngpgsig x"),
        ("object ", "object 0"),
    ],
)
def test_a_tag_of_another_form_is_refused(world: World, change: tuple[str, str]) -> None:
    _, statement = convert(world)
    said = statement.as_json()
    Statement.read(said, NVR)
    assert change[0] in said["tag"]
    refused({**said, "tag": said["tag"].replace(*change, 1)})


@pytest.mark.parametrize(
    "change",
    [
        {"branch": "builds/f41"},
        {"branch": "srcgit/keys"},
        {"branch": "../tags/x"},
        {"branch": "f41.lock"},
        {"branch": "-f"},
        {"branch": None},
        {"base": "HEAD"},
        {"base": "c" * 39},
        {"epoch": "1"},
        {"epoch": True},
        {"epoch": -1},
        {"tag": None},
    ],
)
def test_other_names_of_refs_and_ids_are_refused(world: World, change: dict[str, Any]) -> None:
    _, statement = convert(world)
    refused({**statement.as_json(), **change})


def test_a_statement_about_another_build_is_refused(world: World) -> None:
    _, statement = convert(world)
    refused(statement.as_json(), "kernel-6.2-1.fc41")
    refused(None)
    refused([1])


def test_an_nvr_that_git_cannot_name_is_its_tag(world: World) -> None:
    nvr = Nvr.parse("kernel-6.1~rc1-1.fc41")
    made, statement = convert(world, "6.1~rc1-1")
    assert Statement.read(statement.as_json(), str(nvr)).build.tag == "kernel-6.1%7Erc1-1.fc41"
    assert Repository(world.one.repo.path).tag_data(made.tag) == statement.tag
