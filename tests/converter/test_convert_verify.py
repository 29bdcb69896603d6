"""convert with verification: what is published, what is withheld, what the tag says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from converter import conversion
from converter import convert as pipeline
from converter.build import Nvr
from converter.conversion import Conversion
from converter.errors import DifferenceFound, WrongUsage
from converter.mirror import Mirror
from converter.odb import BASE, Repository
from converter.request import Request
from converter.verification.verdict import VerificationFailed
from specparse.plan import Base, Plan, Step, Tracer
from specparse.prep import SandboxedPreparer
from tests.builders import Sample

pytestmark = pytest.mark.usefixtures("nothing_left")

AM = Plan(
    name="kernel",
    epoch=None,
    version="4.15.0",
    release="1.fc28",
    spec=b"kernel.spec",
    arch="x86_64",
    base=Base("tag", "v4.15", "from the test"),
    steps=(Step(b"usb-hub-wait.patch", "git-am", 1), Step(b"net-tun-series.patch", "git-am", 2)),
)


@pytest.fixture
def request_(made: Sample, tmp_path: Path) -> Request:
    return Request(
        Mirror(str(made.pkg_git.path), tmp_path),
        made.git_am,
        upstreams=(Mirror(str(made.linux.path), tmp_path),),
    )


def tracer(plan: Plan) -> Tracer:
    return lambda *_, **__: plan


def convert(request: Request, repo: Path, plan: Plan = AM, *, verify: bool = True) -> Conversion:
    prepare = SandboxedPreparer() if verify else None
    return pipeline.convert(request, Repository.create(repo), tracer(plan), prepare=prepare)


def test_a_verified_build_says_so_in_tag_and_tree(request_: Request, tmp_path: Path) -> None:
    done = convert(request_, tmp_path / "a.git")
    assert done.verdict is not None and done.verdict.verified
    assert done.series["verified"] == "yes" and done.as_json()["verified"] == "yes"
    repo = Repository(tmp_path / "a.git")
    assert b"\nVerified: yes\n" in (repo.tag_message(done.tag) or b"")
    found = conversion.find(repo, Nvr.parse("kernel-4.15.0-1.fc28"))
    assert found is not None and found.series == done.series
    assert (found.commit, found.tree) == (done.commit, done.tree)


def test_ids_do_not_depend_on_when_or_where_it_was_verified(
    request_: Request, tmp_path: Path
) -> None:
    first = convert(request_, tmp_path / "a.git")
    second = convert(request_, tmp_path / "b.git")
    assert (first.commit, first.tag) == (second.commit, second.tag)
    plain = convert(request_, tmp_path / "c.git", verify=False)
    assert plain.series["verified"] == "not run"
    assert plain.series["series"] == first.series["series"]


def test_verified_once_is_enough(request_: Request, tmp_path: Path) -> None:
    first = convert(request_, tmp_path / "a.git")
    again = convert(request_, tmp_path / "a.git")
    assert again.verdict is None and again.commit == first.commit


def test_a_difference_withholds_branch_and_tag(request_: Request, tmp_path: Path) -> None:
    short = dataclasses.replace(AM, steps=AM.steps[1:])
    with pytest.raises(DifferenceFound) as raised:
        convert(request_, tmp_path / "a.git", short)
    assert raised.value.exit_code == 3
    assert isinstance(raised.value, VerificationFailed)
    assert b"drivers/usb/core/hub.c" in [d.path for d in raised.value.verdict.defects]
    assert "DIFFERS  content drivers/usb/core/hub.c" in raised.value.report
    repo = Repository(tmp_path / "a.git")
    refs = repo.refs("refs")
    assert [ref for ref in refs if not ref.startswith(BASE)] == [
        "refs/srcgit/failed/kernel-4.15.0-1.fc28"
    ]
    kept = repo.commit(refs["refs/srcgit/failed/kernel-4.15.0-1.fc28"])
    assert kept.subject == b"btrfs: drop a lock"


def test_a_tagged_build_is_verified_without_a_trace(request_: Request, tmp_path: Path) -> None:
    done = convert(request_, tmp_path / "a.git", verify=False)
    repo = Repository(tmp_path / "a.git")
    before = repo.refs("refs")
    nvr, verdict = pipeline.verify(request_, repo, tracer(AM), SandboxedPreparer())
    assert (str(nvr), verdict.verified) == ("kernel-4.15.0-1.fc28", True)
    assert verdict.tree == done.series["series"]["tree"]
    assert repo.refs("refs") == before


def test_only_a_converted_build_can_be_verified_in_a_repository(
    request_: Request, tmp_path: Path
) -> None:
    repo = Repository.create(tmp_path / "a.git")
    with pytest.raises(WrongUsage, match="not converted yet"):
        pipeline.verify(request_, repo, tracer(AM), SandboxedPreparer())
