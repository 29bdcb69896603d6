"""Each package is converted, and compared path by path with what the real rpmbuild -bp leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from converter import convert as pipeline
from converter.convert import Request
from converter.errors import CannotConvert
from converter.mirror import Mirror
from converter.odb import Repository
from converter.text import text
from specparse.prep import SandboxedPreparer
from specparse.trace import SandboxedTracer
from tests.builders import Source
from tests.packages import archives, autosetup, conditions, kinds, other, refused, shell
from tests.packages.judge import differences, rpmbuild
from tests.packages.model import SPEC, TOP, Package, Upstream, resolved

MODULES = (autosetup, shell, kinds, conditions, archives, other)
PACKAGES = [package for module in MODULES for package in module.PACKAGES]
REFUSED = refused.PACKAGES


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return Upstream(tmp_path_factory.mktemp("upstream") / "demo.git")


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that other accounts reach (pytest's own they do not)."""
    with tempfile.TemporaryDirectory(prefix="srcgit-test-") as path:
        Path(path).chmod(0o755)
        monkeypatch.setenv("TMPDIR", path)
        yield Path(path)


class Trial:
    """One package: its pkg-git, and its sources as rpmbuild wants them."""

    def __init__(self, package: Package, upstream: Upstream, scratch: Path) -> None:
        self.package = package
        self.files = {name: resolved(data, upstream) for name, data in package.files.items()}
        self.files["demo.spec"] = package.text().encode()
        pkg_git = Source(scratch / "pkg-git.git")
        commit = pkg_git.commit(self.files, "demo 1.2-3\n", branch="rawhide")
        self.request = Request(
            Mirror(str(pkg_git.path), scratch),
            commit,
            dist=package.dist,
            arch=package.arch,
            upstreams=(Mirror(str(upstream.source.path), scratch),),
        )
        self.repo = Repository.create(scratch / "result.git")
        self._scratch = scratch
        sources = scratch / "rpm" / "SOURCES"
        sources.mkdir(parents=True)
        for name, data in self.files.items():
            (sources / os.path.basename(name)).write_bytes(data)
        upstream.archive(sources / f"{TOP}.tar.gz")
        upstream.archive(sources / "extra-0.9.tar.gz", top="extra-0.9", under="lib")

    def rpmbuild(self) -> Path:
        """Return the tree that the real %prep leaves."""
        judged = rpmbuild(
            self._scratch / "rpm", "demo.spec", dist=self.package.dist, arch=self.package.arch
        )
        assert judged.status == 0, judged.output
        return judged.top

    def compare(self, tree: str, directory: Path) -> set[str]:
        return differences(self.repo.path, tree, directory, self._scratch)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.idea)
def test_package(package: Package, upstream: Upstream, scratch: Path) -> None:
    trial = Trial(package, upstream, scratch)
    left = trial.rpmbuild()
    done = pipeline.convert(
        trial.request, trial.repo, SandboxedTracer(), prepare=SandboxedPreparer()
    )
    tree = done.series["series"]["tree"]
    listed = [change for changes in package.beside.values() for change in changes]
    beside = {*listed, *package.backups}
    assert trial.compare(tree, left) == beside
    # what verify says is the same
    assert done.verdict is not None and done.verdict.verified
    assert {text(d.path) for d in done.verdict.differences} == {c[2:] for c in beside}
    # series.json tells what the series leaves out, and nothing else
    assert [u["command"] for u in done.series["unrepresented"]] == list(package.beside)
    applied = package.patches if package.applied is None else package.applied
    assert [patch["patch"] for patch in done.series["patches"]] == list(applied)
    # and the patches do something
    assert not applied or tree != trial.repo.commit(done.series["base"]["commit"]).tree


@pytest.mark.parametrize("package", REFUSED, ids=lambda p: p.idea)
def test_refused(package: Package, upstream: Upstream, scratch: Path) -> None:
    trial = Trial(package, upstream, scratch)
    trial.rpmbuild()
    with pytest.raises(CannotConvert, match=package.refused):
        pipeline.convert(trial.request, trial.repo, SandboxedTracer())
    assert not [ref for ref in trial.repo.refs("refs") if "failed" not in ref]


def test_plan_shows_what_a_prep_that_looks_at_the_tree_applies(
    upstream: Upstream, scratch: Path
) -> None:
    [package] = [p for p in shell.PACKAGES if p.idea == "only what a condition chooses"]
    trial, trace = Trial(package, upstream, scratch), SandboxedTracer()
    planned = pipeline.plan(trial.request, trace)
    assert [step.patch for step in planned.plan.steps] == [b"two.patch"]
    found = pipeline.at_hand(planned, trial.request)
    assert not isinstance(found, str)
    base = found.repository.tree(found.commit)
    seen = pipeline.seeing(planned, trial.request, trace, base)
    assert [step.patch for step in seen.plan.steps] == [b"one.patch"]


def test_a_spec_without_prep(upstream: Upstream, scratch: Path) -> None:
    spec = SPEC.replace("%prep\n@PREP@\n", "")
    trial = Trial(Package("no %prep", "", shell.BOTH, spec=spec), upstream, scratch)
    done = pipeline.convert(trial.request, trial.repo, SandboxedTracer())
    assert done.series["patches"] == [] and len(done.series["skipped"]) == 2
    assert done.series["series"]["commit"] == done.series["base"]["commit"]
