"""What somebody else has changed on a remote is refused, told, and never built upon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter.build import SERIES_JSON, Build, Nvr
from converter.errors import WrongUsage
from converter.odb import Repository
from converter.publish import PublishedOtherwise, publish
from converter.remote import NOBODY, Record, RemoteChanged, Trust, compare, read
from converter.tree import File
from tests.converter.test_publish import WHO, World, states


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for version in ("6.1-1", "6.2-1"):
        world.one.publish(world.one.make(version), world.url)
    return world


def forge(world: World, parents: list[str], nvr: str = "kernel-9.9-1.fc41", epoch: int = 9) -> str:
    """Write a commit with a series.json of somebody else's into the remote."""
    there = Repository(world.remote.path)
    record = json.dumps({"nvr": nvr, "epoch": epoch}).encode()
    tree = there.write_tree({SERIES_JSON: File(0o100644, record), b"x": File(0o100644, b"bad")})
    return there.write_commit(tree, parents, WHO, WHO, f"{nvr}\n".encode())


def plant(world: World, nvr: str, commit: str) -> str:
    """Give the remote a tag of somebody else's."""
    name = Nvr.parse(nvr).ref_name
    tag = Repository(world.remote.path).write_tag(commit, name, WHO, f"{nvr}\n".encode())
    world.remote.git.run("update-ref", f"refs/tags/{name}", tag)
    return tag


def move(world: World, ref: str, id: str) -> None:
    world.remote.git.run("update-ref", ref, id)


def refused(world: World, words: str, host: str = "one", version: str = "6.3-1") -> RemoteChanged:
    """Publishing the next build is refused for that reason and changes nothing."""
    before = world.refs()
    chosen = getattr(world, host)
    with pytest.raises(RemoteChanged, match=words) as caught:
        chosen.publish(chosen.make(version), world.url)
    assert world.refs() == before
    return caught.value


def test_a_moved_tag_of_another_build(world: World) -> None:
    ref = "refs/tags/kernel-6.1-1.fc41"
    was = world.refs()[ref]
    plant(world, "kernel-6.1-1.fc41", forge(world, [world.one.base]))
    error = refused(world, "the tag kernel-6.1-1.fc41 was moved")
    assert f"push --force {world.url} {was}:{ref}" in error.next_step
    world.one.repo.git.run(*("push", "--force", "--quiet", world.url, f"{was}:{ref}"), network=True)
    assert states(world.one.publish(world.one.make("6.3-1"), world.url))["heads/f41"] == "moved"


def test_a_moved_tag_is_seen_without_a_push(world: World) -> None:
    def found() -> list[str]:
        record = Record(world.one.repo, world.url)
        return [
            each.what for each in compare(world.one.repo, read(world.one.repo, world.url), record)
        ]

    assert found() == []
    plant(world, "kernel-6.1-1.fc41", forge(world, [world.one.base]))
    [what] = found()
    assert what.startswith("the tag kernel-6.1-1.fc41 was moved")
    move(world, "refs/heads/f41", forge(world, [world.one.base], nvr="kernel-6.2-1.fc41"))
    assert [what.startswith("the tip of the branch f41") for what in found()] == [True, False]


@pytest.mark.parametrize("grows", [False, True])
def test_a_rewritten_builds_branch(world: World, grows: bool) -> None:
    """With a commit in the place of the last one, or with one more on top of it."""
    there = Repository(world.remote.path)
    tip = world.refs()["refs/heads/builds/f41"]
    parents = list(there.commit(tip).parents)
    bad = forge(world, [tip, parents[1]] if grows else parents, nvr="kernel-6.2-1.fc41")
    move(world, "refs/heads/builds/f41", bad)
    words = "holds .*, which is no merge of srcgit's" if grows else "builds/f41 was rewritten"
    refused(world, words)


def test_a_merge_of_what_is_nobodys_build_on_a_builds_branch(world: World) -> None:
    """As srcgit makes it, but for the build, which has a tag: it is not what converting gives."""
    tip = world.refs()["refs/heads/builds/f41"]
    there = Repository(world.remote.path)
    bad = forge(world, [world.one.base], nvr="kernel-6.2-2.fc41", epoch=0)
    plant(world, "kernel-6.2-2.fc41", bad)
    top = there.commit(bad)
    merge = there.write_commit(top.tree, [tip, bad], WHO, WHO, b"kernel-6.2-2.fc41\n")
    move(world, "refs/heads/builds/f41", merge)
    refused(world, "is no merge of srcgit's")


@pytest.mark.parametrize("host", ["one", "two"])
def test_a_tip_that_is_nobodys_tag(world: World, host: str) -> None:
    """A forged series.json of a high epoch; a host that has published nothing there yet sees
    somebody's own branch."""
    move(world, "refs/heads/f41", forge(world, [world.one.base]))
    if host == "one":
        refused(world, "the tip of the branch f41, [0-9a-f]{40}, is no build's tag")
    else:
        with pytest.raises(WrongUsage, match="is not srcgit's"):
            world.two.publish(world.two.make("6.3-1"), world.url)


@pytest.mark.parametrize("host", ["one", "two"])
def test_a_tip_with_a_forged_tag_does_not_freeze_the_branch_in_silence(
    world: World, host: str
) -> None:
    bad = forge(world, [world.one.base])
    plant(world, "kernel-9.9-1.fc41", bad)
    move(world, "refs/heads/f41", bad)
    refused(world, "is kernel-9.9-1.fc41, which is not what converting it again gives", host)


def test_a_planted_tag_of_the_build_in_hand_is_not_taken(world: World) -> None:
    bad = forge(world, [world.one.base], nvr="kernel-6.3-1.fc41")
    tag = plant(world, "kernel-6.3-1.fc41", bad)
    before = world.refs()
    with pytest.raises(PublishedOtherwise):
        world.one.publish(world.one.make("6.3-1"), world.url)
    assert world.refs() == before and before["refs/tags/kernel-6.3-1.fc41"] == tag


def test_a_planted_tag_of_a_build_to_come_hurts_no_other(world: World) -> None:
    plant(world, "kernel-6.4-1.fc41", forge(world, [world.one.base]))
    assert states(world.one.publish(world.one.make("6.3-1"), world.url))["heads/f41"] == "moved"


def test_another_packages_branch(world: World) -> None:
    made = world.two.make_nvr(Nvr.parse("other-7.0-1.fc41"))
    with pytest.raises(WrongUsage, match="the branch f41 exists there and is the package kernel's"):
        world.two.publish(made, world.url)
    assert "refs/tags/other-7.0-1.fc41" not in world.refs()


def test_a_tag_of_another_package_at_the_tip_makes_it_nobody_elses(world: World) -> None:
    """Of one commit with tags of two packages, the one of ours counts, and is compared."""
    tip = world.refs()["refs/heads/f41"]
    plant(world, "other-9-1.fc41", tip)
    assert states(world.one.publish(world.one.make("6.3-1"), world.url))["heads/f41"] == "moved"


def test_what_another_host_published_is_converted_again_once(world: World) -> None:
    world.two.publish(world.two.make("6.3-1"), world.url)
    assert world.two.converted_again == ["kernel-6.2-1.fc41"]
    world.two.publish(world.two.make("6.4-1"), world.url)
    assert world.two.converted_again == ["kernel-6.2-1.fc41"]
    world.one.publish(world.one.make("6.5-1"), world.url)
    assert sorted(world.one.converted_again) == ["kernel-6.3-1.fc41", "kernel-6.4-1.fc41"]


def test_what_cannot_be_converted_again_is_not_believed(world: World) -> None:
    made = world.two.make("6.3-1")
    with pytest.raises(RemoteChanged, match=r"is kernel-6\.2-1\.fc41, which is not what"):
        publish(world.two.repo, made.build, made.commit, made.tag, made.base, world.url, NOBODY)


def test_what_the_journal_says_was_published_is_believed(world: World) -> None:
    tags = {ref.removeprefix("refs/tags/"): id for ref, id in world.refs().items()}
    trust = Trust(recorded=tags.get)
    made = world.two.make("6.3-1")
    publish(world.two.repo, made.build, made.commit, made.tag, made.base, world.url, trust)
    assert world.refs()[made.build.branch_ref] == made.commit


def test_a_builds_branch_that_was_taken_back_loses_no_build(world: World) -> None:
    """From a backup, or by somebody: the push continues what was published last."""
    last = world.refs()["refs/heads/builds/f41"]
    there = Repository(world.remote.path)
    move(world, "refs/heads/builds/f41", there.commit(last).parents[0])
    world.one.publish(world.one.make("6.3-1"), world.url)
    assert there.commit(world.refs()["refs/heads/builds/f41"]).parents[0] == last


def test_a_tag_that_an_older_srcgit_made_stays(world: World) -> None:
    """It differs in the version alone; any other difference is another tag."""
    build = Build(Nvr.parse("kernel-6.3-1.fc41"), None, "", "c" * 40, "f41")
    repo, tags = world.one.repo, {}
    made = world.one.make("6.3-1")
    for what in (
        "Patches: 1\nConverter: srcgit 1",
        "Patches: 1\nConverter: srcgit 2",
        "Patches: 2",
    ):
        tags[what] = repo.write_tag(
            made.commit, build.tag, WHO, f"{build.nvr}\n\n{what}\n".encode()
        )
    old, new, other = tags.values()
    publish(repo, build, made.commit, old, made.base, world.url, NOBODY)
    receipt = publish(repo, build, made.commit, new, made.base, world.url, NOBODY)
    assert receipt.refs[build.tag_ref] == ("same", old)
    with pytest.raises(PublishedOtherwise):
        publish(repo, build, made.commit, other, made.base, world.url, NOBODY)
