"""Other people's repositories: fetched when needed, never a program run for an address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter.errors import RemoteUnavailable, WrongUsage
from converter.mirror import Mirror
from tests.builders import Source


@pytest.mark.parametrize(
    "location", ["ext::sh -c id", "fd::7", "--upload-pack=id", "-x", "https::y", "a\0b"]
)
def test_addresses_that_run_a_program_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(WrongUsage, match="not a repository"):
        Mirror(location, tmp_path)


def test_a_url_is_cloned_once_and_fetched_when_something_lacks(tmp_path: Path) -> None:
    origin = Source(tmp_path / "origin.git")
    first = origin.commit({"a": "1"}, "one\n")
    url = f"file://{origin.path}"
    mirror = Mirror(url, tmp_path / "cache")
    assert mirror.commit_id(first) == first
    assert [p.suffix for p in sorted((tmp_path / "cache").iterdir())] == [".git", ".lock"]
    graph = mirror.repository.path / "objects/info/commit-graphs/commit-graph-chain"
    assert len(graph.read_text().splitlines()) == 1
    second = origin.commit({"a": "2"}, "two\n")
    again = Mirror(url, tmp_path / "cache")
    assert again.commit_id("0" * 40) is None  # this fetched
    assert again.commit_id(second) == second
    third = origin.commit({"a": "3"}, "three\n")
    assert Mirror(url, tmp_path / "cache").commit_id("main") == third  # a branch may have moved
    origin.tag("v1", second)
    assert Mirror(url, tmp_path / "cache").commit_id("refs/tags/v1") == second


def test_a_remote_that_does_not_answer(tmp_path: Path) -> None:
    mirror = Mirror(f"file://{tmp_path}/nowhere.git", tmp_path / "cache")
    with pytest.raises(RemoteUnavailable):
        mirror.commit_id("main")
    assert not any(p.suffix == ".git" for p in (tmp_path / "cache").iterdir())


@pytest.mark.parametrize("secret", ["me:se%40cret", "se%40cret", "me:se@cret"])
def test_a_secret_of_an_address_is_neither_recorded_nor_shown(tmp_path: Path, secret: str) -> None:
    mirror = Mirror(f"http://{secret}@127.0.0.1:9/kernel.git", tmp_path / "cache")
    assert "cret" not in mirror.location
    with pytest.raises(RemoteUnavailable) as caught:
        mirror.commit_id("main")
    assert "cret" not in json.dumps(caught.value.as_json())
