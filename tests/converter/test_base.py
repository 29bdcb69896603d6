"""The base of any package, looked for in upstreams that name their tags each in its own way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from converter import start
from converter.errors import BaseMissing, BaseUnknown
from converter.mirror import Mirror
from converter.odb import Repository
from converter.upstream import find
from specparse.plan import Base, Plan
from tests.builders import Source


@pytest.fixture
def glib(tmp_path: Path) -> Source:
    """An upstream whose tags changed their look, with a plugin's beside them."""
    upstream = Source(tmp_path / "glib.git")
    for name in ("GLIB_2_48_0", "GLIB_2_50_0", "GLIB_2_50_1", "2.54.0", "glib-plugin-2.50.2"):
        upstream.tag(name, upstream.commit({"version": name}, f"{name}\n"))
    return upstream


def guess(version: str, *names: str) -> Base:
    return Base("tag", f"v{version}", "the name of it", (version,), names or ("glib",), guess=True)


def mirror(source: Source, tmp_path: Path) -> Mirror:
    return Mirror(str(source.path), tmp_path / "cache")


def test_the_tag_is_learned_and_told(glib: Source, tmp_path: Path) -> None:
    found = find(guess("2.50.0"), None, [mirror(glib, tmp_path)])
    assert (found.rev, found.commit) == ("GLIB_2_50_0", glib.rev("GLIB_2_50_0"))
    assert found.template == "GLIB_%{version}"
    assert (found.base.rev, found.base.guess) == ("GLIB_2_50_0", False)
    assert found.base.how == "the name of it; 2 of the other 4 tags look like GLIB_%{version}"


def test_a_plugin_s_tag_is_not_the_package_s(glib: Source, tmp_path: Path) -> None:
    with pytest.raises(BaseMissing, match=r"none of the upstream's 5 tags stands for 2\.50\.2"):
        find(guess("2.50.2"), None, [mirror(glib, tmp_path)])
    found = find(guess("2.50.2", "glib-plugin"), None, [mirror(glib, tmp_path)])
    assert found.rev == "glib-plugin-2.50.2"


def test_two_tags_are_told_and_none_is_taken(glib: Source, tmp_path: Path) -> None:
    glib.tag("2.50.0", glib.commit({"version": "other"}, "other\n"))
    with pytest.raises(BaseUnknown, match=r"several tags could be 2\.50\.0: .*GLIB_2_50_0") as told:
        find(guess("2.50.0"), None, [mirror(glib, tmp_path)])
    assert "--base" in told.value.next_step
    found = find(guess("2.50.0"), None, [mirror(glib, tmp_path)], ["GLIB_%{version}"])
    assert found.rev == "GLIB_2_50_0"
    found = find(guess("2.50.0"), "2.50.0", [mirror(glib, tmp_path)])
    assert found.commit == glib.rev("2.50.0")
    assert found.base == Base("tag", "2.50.0", "--base")
    assert find(guess("2.50.0"), "2.50.0^0", [mirror(glib, tmp_path)]).base.kind == "commit"


def test_two_names_of_one_commit_will_do(glib: Source, tmp_path: Path) -> None:
    at = glib.rev("GLIB_2_50_0")
    assert at
    glib.tag("2.50.0", at)
    found = find(guess("2.50.0"), None, [mirror(glib, tmp_path)])
    assert found.commit == at and "of one commit with" in found.base.how


def test_a_url_s_tag_goes_before_what_is_learned(glib: Source, tmp_path: Path) -> None:
    named = Base("tag", "glib-plugin-2.50.2", "the URL", ("2.50.1",), ("glib",))
    assert find(named, None, [mirror(glib, tmp_path)]).rev == "glib-plugin-2.50.2"
    elsewhere = Base("tag", "rel/2.50.1", "the URL", ("2.50.1",), ("glib",))
    assert find(elsewhere, None, [mirror(glib, tmp_path)]).rev == "GLIB_2_50_1"
    kernel = Base("tag", "v2.50.1", "the name", ("2.50.1",))
    with pytest.raises(BaseMissing, match=r"no upstream has the tag v2\.50\.1"):
        find(kernel, None, [mirror(glib, tmp_path)])


def test_the_second_upstream_has_it(glib: Source, tmp_path: Path) -> None:
    other = Source(tmp_path / "other.git")
    other.tag("v1.0", other.commit({"a": "b"}, "a\n"))
    both = [mirror(other, tmp_path), mirror(glib, tmp_path)]
    assert find(guess("2.54.0"), None, both).location == str(glib.path)


def test_a_mirror_is_fetched_for_a_tag_that_is_new(glib: Source, tmp_path: Path) -> None:
    url = f"file://{glib.path}"
    assert not Mirror(url, tmp_path / "cache").at_hand
    assert find(guess("2.50.0"), None, [Mirror(url, tmp_path / "cache")]).rev == "GLIB_2_50_0"
    glib.tag("GLIB_2_50_3", glib.commit({"version": "3"}, "3\n"))
    known = Mirror(url, tmp_path / "cache")
    assert known.at_hand
    with pytest.raises(BaseMissing):
        find(guess("2.50.3"), None, [known], fetch=False)
    assert find(guess("2.50.3"), None, [known]).rev == "GLIB_2_50_3"
    for named in (False, True):
        new = glib.commit({"version": f"of --base: {named}"}, "new\n")
        base, override = (guess("9"), new) if named else (Base("commit", new, "gitrev"), None)
        known = Mirror(url, tmp_path / "cache")
        with pytest.raises(BaseMissing):
            find(base, override, [known], fetch=False)
        assert find(base, override, [known]).commit == new


def test_an_abbreviated_commit(glib: Source, tmp_path: Path) -> None:
    whole = glib.rev("GLIB_2_50_1")
    assert whole
    found = find(Base("commit", whole[:9], "the name"), None, [mirror(glib, tmp_path)])
    assert (found.commit, found.rev) == (whole, whole[:9])
    with pytest.raises(BaseMissing, match="no upstream has fffffffff"):
        find(Base("commit", "fffffffff", "the name"), None, [mirror(glib, tmp_path)])
    with pytest.raises(BaseUnknown, match="not a commit id"):
        find(Base("commit", "HEAD~1", "the name"), None, [mirror(glib, tmp_path)])


def objects(kind: str, contents: list[bytes]) -> dict[str, bytes]:
    """Return git's id (hash-object(1)) -> content."""
    return {
        hashlib.sha1(b"%s %d\0" % (kind.encode(), len(each)) + each).hexdigest(): each
        for each in contents
    }


def test_an_abbreviation_of_several_objects(glib: Source, tmp_path: Path) -> None:
    """In linux.git one in twenty-five abbreviations of seven digits is also that of a tree or file."""
    tree = glib.git.run("rev-parse", "2.54.0^{tree}").stdout
    head = b"tree " + tree + b"author A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n\n"
    commits = objects("commit", [head + b"%d\n" % n for n in range(15000)])
    blobs = objects("blob", [b"%d\n" % n for n in range(15000)])
    by_prefix: dict[str, list[str]] = {}
    for id in commits:
        by_prefix.setdefault(id[:6], []).append(id)
    shared = next(id for id in blobs if len(by_prefix.get(id[:6], ())) == 1)
    [alone] = by_prefix[shared[:6]]
    twice = next(ids for ids in by_prefix.values() if len(ids) == 2)
    for kind, data in [("blob", blobs[shared]), *(("commit", commits[c]) for c in (alone, *twice))]:
        glib.git.run("hash-object", "-w", "-t", kind, "--stdin", input=data)

    upstreams = [mirror(glib, tmp_path)]
    assert upstreams[0].repository.commit_id(alone[:6]) is None
    assert find(Base("commit", alone[:6], "the name"), None, upstreams).commit == alone
    with pytest.raises(BaseUnknown, match="abbreviates several commits") as told:
        find(Base("commit", twice[0][:6], "the name"), None, upstreams)
    assert all(id in told.value.what for id in twice)


def test_a_tag_that_is_of_no_commit(glib: Source, tmp_path: Path) -> None:
    blob = glib.git.run("rev-parse", "GLIB_2_48_0:version").stdout.decode().strip()
    glib.git.run("update-ref", "refs/tags/GLIB_2_60_0", blob)
    with pytest.raises(BaseMissing, match="is not of a commit"):
        find(guess("2.60.0"), None, [mirror(glib, tmp_path)])


def test_of_what_prep_looks_at_it_gets_no_more_than_a_sandbox_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_IN_ALL", 100)
    upstream = Source(tmp_path / "linux.git")
    files = {f"{n}.h": f"{n}" * 40 for n in range(4)} | {"d/small": "1"}
    tip = upstream.commit(files, "1\n")
    looks = (*(name.encode() for name in files), b"d", b"absent")
    plan = Plan("a", None, "1", "1", b"a.spec", "x86_64", guess("1"), looks=looks)
    given: list[Mapping[bytes, bytes]] = []

    def retrace(seen: Mapping[bytes, bytes]) -> Plan:
        given.append(dict(seen))
        return plan

    start.seeing(plan, Repository(upstream.path).tree(tip), retrace)
    assert [sorted(seen) for seen in given] == [[b"0.h", b"1.h", b"d/", b"d/small"]]
