"""Two builds compared, on published tags in fresh clones, made by the real pipeline."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from converter import convert as pipeline
from converter.comparison.compare import compare
from converter.comparison.configs import values
from converter.comparison.differences import Comparison, Upstreamed
from converter.comparison.pairs import changes
from converter.errors import WrongUsage
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from specparse.plan import Base, Plan, Step, Unrepresented
from tests.builders import Files, Source, change, source_file

HANS = ("Hans de Goede", "hdegoede@redhat.com")
OLD, NEW = "kernel-6.1.0-1.fc38", "kernel-6.2.0-1.fc38"
NAMES = ("keep", "up", "like", "named", "edit", "ctx", "gone", "ren", "move", "multi", "add", "say")


@dataclass(frozen=True, slots=True)
class Published:
    repo: Path
    upstream: Mapping[str, str]  # what upstream took, by the name of the file that it changes


def git(where: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *args], capture_output=True, check=True)
    return done.stdout.decode().strip()


class Model:
    """An upstream of one file for each story, and patches made on its first tag."""

    def __init__(self, directory: Path) -> None:
        self.linux = Source(directory / "linux.git")
        files = {f"drivers/{name}.c": source_file(name, 12) for name in NAMES}
        self.linux.tag("v6.1", self.linux.commit(files, "Linux 6.1\n"))

    def edit(
        self,
        name: str,
        n: int,
        note: str,
        body: str = "Because.\n",
        base: str = "v6.1",
        **more: str,
    ) -> str:
        """Commit a change of function ``n`` on ``base``; return the id."""
        path, parent = f"drivers/{name}.c", self.linux.rev(base)
        assert parent
        text = change(self.linux.file(parent, path).decode(), n, note)
        message = f"{name}: {note}\n\n{body}"
        branch = more.get("branch", "topic")
        return self.linux.commit({path: text}, message, parent=parent, branch=branch, author=HANS)

    def mail(self, commit: str, base: str | None = None) -> bytes:
        return self.linux.mails(base or f"{commit}^", commit)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    here = tmp_path_factory.mktemp("compare")
    model = Model(here)
    linux = model.linux
    upstream = {}
    for name, n, note in (
        ("up", 3, "taken as it is"),
        ("like", 4, "taken with another text"),
        ("named", 6, "called something else"),
        ("keep", 11, "nothing to do with us"),
    ):
        upstream[name] = model.edit(name, n, note, base="main", branch="main")
    model.edit("up", 9, "odd \x01 \x01 subject", base="main", branch="main")
    linux.tag("v6.2", linux.commit({"Makefile": "VERSION = 6\n"}, "Linux 6.2\n"))

    keep = model.edit("keep", 0, "as ever")
    ours = {
        "keep.patch": model.mail(keep),
        "up.patch": model.mail(model.edit("up", 3, "taken as it is")),
        "like.patch": model.mail(model.edit("like", 7, "taken with another text")),
        "named.patch": model.mail(
            model.edit("named", 5, "ours", f"[ Upstream commit {upstream['named']} ]\n")
        ),
        "edit.patch": model.mail(model.edit("edit", 2, "first try")),
        "ctx.patch": model.mail(model.edit("ctx", 2, "the same lines")),
        "say.patch": model.mail(model.edit("say", 2, "the same lines", "In a few words.\n")),
        "gone.patch": model.mail(model.edit("gone", 1, "no longer wanted")),
        "old-name.patch": model.mail(model.edit("ren", 1, "under two names")),
        "move.patch": model.mail(model.edit("move", 1, "to the front")),
    }
    one = model.edit("multi", 1, "one")
    two = model.edit("multi", 6, "two", base=one)
    three = model.edit("multi", 10, "three", base=two)
    ours["multi.patch"] = model.mail(three, base=f"{one}^")
    theirs = {
        "move.patch": ours["move.patch"],
        "keep.patch": ours["keep.patch"],
        "edit.patch": model.mail(model.edit("edit", 2, "second try")),
        "ctx.patch": ours["ctx.patch"].replace(b"return -EINVAL;\n", b"return -EINVAL; \n"),
        "say.patch": ours["say.patch"].replace(b"In a few words.", b"In a few more words."),
        "new-name.patch": ours["old-name.patch"],
        "multi.patch": model.mail(one),
        "split.patch": model.mail(three),
        "add.patch": model.mail(model.edit("add", 1, "something new")),
    }
    # The context of ctx.patch differs in its base, too.
    ctx = linux.file("v6.2", "drivers/ctx.c").replace(b"return -EINVAL;\n", b"return -EINVAL; \n")
    linux.tag("v6.2", linux.commit({"drivers/ctx.c": ctx}, "ctx: a blank\n"))

    pkg_git = Source(here / "kernel.git")
    repo = Repository.create(here / "srcgit.git")
    for version, patches, configs, tag in (
        ("6.1.0", ours, {"x86_64": "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n"}, "v6.1"),
        (
            "6.2.0",
            theirs,
            {"x86_64": 'CONFIG_A=m\nCONFIG_B=y\nCONFIG_D="x"\n', "s390x": "CONFIG_A=y\n"},
            "v6.2",
        ),
    ):
        files: Files = {"kernel.spec": f"Version: {version}\n", **patches}
        dropped = dict.fromkeys(ours if version == "6.2.0" else (), None)
        commit = pkg_git.commit(
            {**dropped, **files}, f"Linux {version}\n", branch="f38", author=HANS
        )
        plan = Plan(
            "kernel",
            None,
            version,
            "1.fc38",
            b"kernel.spec",
            "x86_64",
            Base("tag", tag, "from the test"),
            steps=tuple(Step(p.encode(), "git-am", n) for n, p in enumerate(patches, 1)),
            unrepresented=(
                Unrepresented(f"mv COPYING COPYING-{version}-1.fc38", "no patch"),
                *([Unrepresented("sed -i x", "no patch")] if version == "6.2.0" else []),
            ),
            configs={
                f"kernel-{version}-{arch}.config".encode(): text.encode()
                for arch, text in configs.items()
            },
        )
        request = Request(
            Mirror(str(pkg_git.path), here), commit, upstreams=(Mirror(str(linux.path), here),)
        )
        pipeline.convert(request, repo, lambda *_, plan=plan, **__: plan)
    repo.git.run("config", "uploadpack.allowFilter", "true")
    repo.git.run("tag", "kernel-6.0.0-1.fc38", OLD + "^{}")
    foreign = git(linux.path, "rev-parse", "v6.1")
    git(
        repo.path, "-c", "tag.gpgSign=false", "tag", "-a", "-m", "x", "kernel-5.9.0-1.fc38", foreign
    )
    return Published(repo.path, upstream)


@pytest.fixture(scope="module")
def found(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The comparison, made in a fresh ordinary clone."""
    clone = tmp_path_factory.mktemp("clone") / "srcgit"
    git(clone.parent, "clone", "-q", "--no-checkout", f"file://{published.repo}", str(clone))
    return compare(Repository(clone), OLD, NEW)


def test_added_and_unchanged(found: Comparison) -> None:
    assert [side.patch for side in found.added] == ["split.patch", "add.patch"]
    assert found.added[1].subjects == ("add: something new",)
    assert found.unchanged == 1  # keep.patch: other ids, the same change


def test_dropped_and_where_they_went(found: Comparison, published: Published) -> None:
    dropped = {d.side.patch: d for d in found.dropped}
    assert list(dropped) == ["up.patch", "like.patch", "named.patch", "gone.patch"]
    fates = {name: d.commits[0].upstream for name, d in dropped.items()}
    assert fates == {
        "up.patch": Upstreamed(published.upstream["up"], "patch-id"),
        "like.patch": Upstreamed(published.upstream["like"], "subject"),
        "named.patch": Upstreamed(published.upstream["named"], "reference"),
        "gone.patch": None,
    }
    assert dropped["up.patch"].upstream
    assert not dropped["gone.patch"].upstream


def test_changed_says_in_what_and_shows_the_range_diff(
    found: Comparison, published: Published
) -> None:
    changed = {kept.new.patch: kept for kept in found.changed}
    assert {name: kept.what for name, kept in changed.items()} == {
        "edit.patch": ("diff", "message", "date"),
        "ctx.patch": ("context",),
        "say.patch": ("message",),
        "multi.patch": ("commits",),
    }
    edit = changed["edit.patch"]
    shown = git(
        published.repo,
        *("-c", "core.abbrev=12", "range-diff", "--no-color", "--creation-factor=999"),
        f"{edit.old.commits[0]}^..{edit.old.commits[0]}",
        f"{edit.new.commits[0]}^..{edit.new.commits[0]}",
    )
    assert edit.range_diff.strip() == shown
    assert "-    edit: first try" in shown


def test_a_commit_that_went_from_one_file_to_another(found: Comparison) -> None:
    [multi] = [kept for kept in found.changed if kept.new.patch == "multi.patch"]
    assert [(gone.subject, gone.now_in) for gone in multi.gone] == [
        ("multi: two", None),
        ("multi: three", "split.patch"),
    ]
    assert multi.came == ()


def test_commits_that_came_into_a_file(published: Published) -> None:
    back = compare(Repository(published.repo), NEW, OLD)
    [multi] = [kept for kept in back.changed if kept.new.patch == "multi.patch"]
    assert [subject for _, subject in multi.came] == ["multi: two", "multi: three"]
    assert multi.gone == ()


def test_renamed_and_moved(found: Comparison) -> None:
    assert [(k.old.patch, k.new.patch) for k in found.renamed] == [
        ("old-name.patch", "new-name.patch")
    ]
    assert [(k.new.patch, k.old.position, k.new.position) for k in found.moved] == [
        ("move.patch", 10, 1)
    ]


def test_the_step_of_the_base(found: Comparison) -> None:
    assert found.base.relation == "forward"
    assert found.base.ahead == 7  # five changes, the release, the blank


def test_configuration_by_architecture(found: Comparison) -> None:
    configs = found.configs.as_json()
    assert configs["added"] == ["kernel-6.2.0-s390x.config"]
    assert configs["files"] == ["kernel-6.2.0-x86_64.config"]
    assert [(c["symbol"], c["old"], c["new"], c["architectures"]) for c in configs["changes"]] == [
        ("CONFIG_A", "y", "m", ["x86_64"]),
        ("CONFIG_B", "n", "y", ["x86_64"]),
        ("CONFIG_C", "m", None, ["x86_64"]),
        ("CONFIG_D", None, '"x"', ["x86_64"]),
    ]


def test_what_the_spec_does_besides(found: Comparison) -> None:
    assert found.facts_gone == ()
    assert [fact.text for fact in found.facts_new] == ["sed -i x: no patch"]


def test_the_other_way_round(published: Published) -> None:
    back = compare(Repository(published.repo), NEW, OLD)
    assert (back.base.relation, back.base.behind) == ("back", 7)
    assert {side.patch for side in back.added} >= {"up.patch", "gone.patch"}


def test_a_build_against_itself(published: Published) -> None:
    same = compare(Repository(published.repo), NEW, NEW)
    assert same.as_json()["patches"] == {
        "unchanged": 9,
        "added": [],
        "dropped": [],
        "changed": [],
        "renamed": [],
        "moved": [],
    }
    assert same.base.relation == "same"
    assert same.configs.changes == ()


def test_a_blobless_and_a_shallow_clone(
    published: Published, found: Comparison, tmp_path: Path
) -> None:
    url = f"file://{published.repo}"
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", url, "blobless")
    blobless = compare(Repository(tmp_path / "blobless"), OLD, NEW)
    assert blobless.as_json() == found.as_json()
    git(tmp_path, "clone", "-q", "--no-checkout", "--depth=15", url, "shallow")
    git(tmp_path / "shallow", "fetch", "-q", "--depth=15", "origin", "tag", OLD, "tag", NEW)
    shallow = compare(Repository(tmp_path / "shallow"), OLD, NEW)
    assert shallow.as_json()["patches"]["moved"] == found.as_json()["patches"]["moved"]
    assert shallow.base.relation == "unknown"
    git(tmp_path, "clone", "-q", "--no-checkout", "--depth=5", "--branch", NEW, url, "cut")
    with pytest.raises(WrongUsage, match="too shallow"):
        compare(Repository(tmp_path / "cut"), NEW, NEW)


def test_nobodys_configuration_changes_the_answer(published: Published, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--no-checkout", str(published.repo), "odd")
    odd = tmp_path / "odd"
    plain = compare(Repository(odd), OLD, NEW).as_json()
    for key, value in (
        ("diff.noprefix", "true"),
        ("color.ui", "always"),
        ("diff.algorithm", "patience"),
        ("core.abbrev", "40"),
        ("diff.context", "0"),
        ("patchid.stable", "false"),
    ):
        git(odd, "config", key, value)
    assert compare(Repository(odd), OLD, NEW).as_json() == plain


@pytest.mark.parametrize(
    ("nvr", "what"),
    [
        ("kernel-9.9.9-1.fc99", "no tag kernel-9.9.9-1.fc99"),
        ("kernel-6.0.0-1.fc38", "is not srcgit's"),
        ("kernel-5.9.0-1.fc38", "is not srcgit's"),
    ],
)
def test_tags_that_cannot_be_compared(published: Published, nvr: str, what: str) -> None:
    with pytest.raises(WrongUsage, match=what):
        compare(Repository(published.repo), OLD, nvr)


def test_changes_agree_with_the_comparison(published: Published, found: Comparison) -> None:
    one, two = (
        json.loads(git(published.repo, "show", f"{nvr}:fedora/series.json")) for nvr in (OLD, NEW)
    )
    assert changes(one, two).as_json() == {
        "added": ["new-name.patch", "split.patch", "add.patch"],
        "dropped": ["up.patch", "like.patch", "named.patch", "gone.patch", "old-name.patch"],
        "changed": ["edit.patch", "ctx.patch", "say.patch", "multi.patch"],
    }


def test_the_last_line_for_a_symbol_counts() -> None:
    config = b"CONFIG_A=y\r\n# CONFIG_A is not set\n#CONFIG_B=y\n# a CONFIG_C=y\nCONFIG_D=\n"
    assert values(config) == {"CONFIG_A": "n", "CONFIG_D": ""}
