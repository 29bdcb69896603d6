"""The pages, on a published tree of three builds and a failed one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.config import load
from service.journal import Journal
from service.shelf import Shelf
from tests.builders import Source
from tests.pages import FAILED, served, site


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    config, journal = site(tmp_path_factory.mktemp("web"))
    with served(config, journal) as url, httpx.Client(base_url=url) as client:
        yield client
    journal.close()


def test_overview_shows_branches_and_what_is_not_converted(pages: httpx.Client) -> None:
    page = pages.get("/")
    assert page.status_code == 200
    for text in (
        "f28",
        "f41",
        "kernel-6.12.8-201.fc41",
        "kernel-4.15.0-1.fc28",
        FAILED,
        "does not apply",
    ):
        assert text in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_build_and_on_to_a_patch(pages: httpx.Client) -> None:
    page = pages.get("/build/kernel-4.15.0-1.fc28")
    for text in (
        "v4.15",
        "usb-hub-wait.patch",
        "Jérémy Cline",
        "rhbz#1000001",
        "btrfs: drop a lock",
    ):
        assert text in page.text
    link = page.text.split('href="/commit/kernel/')[1].split('"')[0]
    commit = pages.get(f"/commit/kernel/{link}")
    assert "Signed-off-by" in commit.text and "drivers/usb/core/hub.c" in commit.text


def test_of_a_huge_commit_the_page_shows_how_it_begins(tmp_path: Path) -> None:
    """Upstream's first commit is published, too, and is hundreds of megabytes as a diff."""
    source = Source(tmp_path / "kernel.git")
    first = source.commit({"a": "1\n" * (1 << 20), "b": "2\n"}, "import\n")
    second = source.commit({"b": "3\n"}, "edit\n")
    path = tmp_path / "srcgit.toml"
    path.write_text(
        f'[consumer_config]\n[consumer_config.packages.kernel]\nrepo = "{source.path}"\n'
    )
    journal = Journal("sqlite://")
    shelf = Shelf(load(path), journal)
    _, huge = shelf.commit("kernel", first) or ("", "")
    journal.close()
    assert huge.startswith("diff --git a/a b/a\n") and huge.endswith("\n[...]\n")
    assert len(huge) < 1.1 * (1 << 20)
    _, small = shelf.commit("kernel", second) or ("", "")
    whole = source.git.run("diff-tree", "--no-commit-id", "--stat", "-p", second).stdout
    assert small == whole.decode()


def test_a_failed_build_shows_its_report_and_nothing_runs_in_it(pages: httpx.Client) -> None:
    page = pages.get(f"/build/{FAILED}")
    assert "srcgit convert" in page.text and "a.patch: does not apply" in page.text
    assert "<script>" not in page.text and r"&lt;script&gt;\u202e" in page.text


@pytest.mark.parametrize("words", ["hub", "usb hub", "1000001", "rhbz#1000001", "USB-HUB"])
def test_search_by_name_subject_and_bug(pages: httpx.Client, words: str) -> None:
    found = pages.get("/search", params={"q": words})
    assert "usb-hub-wait.patch" in found.text
    hits = pages.get("/api/search", params={"q": words}).json()["hits"]
    assert {hit["patch"] for hit in hits} == {"usb-hub-wait.patch"}


@pytest.mark.parametrize("words", ["", "%", "_x_", "' OR 1=1 --", "no such thing", "\0"])
def test_search_finds_nothing_where_nothing_is(pages: httpx.Client, words: str) -> None:
    assert pages.get("/api/search", params={"q": words}).json()["hits"] == []


def test_feed_is_atom(pages: httpx.Client) -> None:
    feed = ElementTree.fromstring(pages.get("/feed/kernel/f41.atom").text)
    atom = "{http://www.w3.org/2005/Atom}"
    titles = [e.findtext(f"{atom}title") for e in feed.iter(f"{atom}entry")]
    assert titles == ["kernel-6.12.8-201.fc41", "kernel-6.12.8-200.fc41"]
    assert (feed.findtext(f"{atom}updated") or "").startswith("2014-10-")


@pytest.mark.parametrize(
    "path",
    ["/build/no-such-1", "/commit/kernel/HEAD", "/commit/none/" + "0" * 40,
     "/feed/kernel/nope.atom", "/feed/none/f41.atom", "/nowhere"],
)  # fmt: skip
def test_what_is_not_there_is_404(pages: httpx.Client, path: str) -> None:
    assert pages.get(path).status_code == 404


def test_json_is_the_same(pages: httpx.Client) -> None:
    branches = {b["name"]: b["published"] for b in pages.get("/api/overview").json()["branches"]}
    assert branches == {"f28": "kernel-4.15.0-1.fc28", "f41": "kernel-6.12.8-201.fc41"}
    build = pages.get("/api/build/kernel-4.15.0-1.fc28").json()
    assert build["record"]["base"]["rev"] == "v4.15" and build["trailers"]["Patches"] == "2"


def test_metrics_and_health(pages: httpx.Client) -> None:
    assert pages.get("/healthz").text == "ok\n"
    told = pages.get("/metrics").text
    assert 'srcgit_builds_total{outcome="failed",package="kernel"} 1.0' in told
    assert 'srcgit_builds_total{outcome="done",package="kernel"} 0.0' in told
    for branch, late in (("f28", False), ("f41", True)):  # the failed one is of f41, and newer
        [lag] = re.findall(rf'branch_lag_seconds{{branch="{branch}",package="kernel"}} (.*)', told)
        assert (float(lag) > 0) is late
