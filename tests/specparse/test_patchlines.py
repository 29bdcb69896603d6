"""Lines of specs and series, edited; the judge of a spec is its own %prep, traced anew."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specparse.patchlines import edit_series, edit_spec
from tests.specparse.conftest import HEAD, PATCH, TAIL, Traced

OLD = ["a.patch", "b.patch", "c.patch", "d.patch"]
NEW = ["x.patch", "c.patch", "y.patch", "a.patch", "d.patch", "z.patch"]  # b is gone
NUMBERED = "".join(f"Patch{n}: {name}\n" for n, name in enumerate(OLD, 10))

FORMS = {
    "autosetup": (NUMBERED, "%autosetup -p1"),
    "no numbers": ("".join(f"Patch: {name}\n" for name in OLD), "%autosetup -p1"),
    "some numbers": ("Patch: a.patch\nPatch2: b.patch\nPatch3: c.patch\nPatch: d.patch\n", "%autosetup -p1"),
    "wide numbers": (NUMBERED.replace("Patch1", "Patch001"), "%autosetup -p1"),
    "lower case": (NUMBERED.replace("Patch", "patch").replace(": ", ":\t").replace("\n", " \n"), "%autosetup -p1"),
    "URLs": ("".join(f"Patch: https://example.com/p?x=/{name}\n" for name in OLD), "%autosetup -p1"),
    "fragments": (NUMBERED.replace(": ", ": https://example.com/1#/"), "%autosetup -p1"),
    "macros": (NUMBERED.replace("a.patch", "%{letter}.patch").replace("12: c.patch", ": c%{end}")
               .replace("Patch10", "%global letter a\n%global end .patch\nPatch10"), "%autosetup -p1"),
    "a package's": (f"%description\nA demo.\n%package devel\nSummary: More\n{NUMBERED}%description devel", "%autosetup -p1"),
    "patchlist": ("%patchlist\n" + "".join(f"{name}\n" for name in OLD), "%autosetup -p1"),
    "%patchN": (NUMBERED, "%setup -q\n" + "".join(f"%patch{n} -p1 -b .{n}\n" for n in range(10, 14))),
    "%patch N": (NUMBERED, "%setup -q\n" + "".join(f"%patch {n} -p1\n" for n in range(10, 14))),
    "%patch -P N": (NUMBERED, "%setup -q\n" + "".join(f"%patch -p1 -P {n}\n" for n in range(10, 14))),
    "%{PATCHN}": (NUMBERED, "%setup -q\n" + "".join(f"patch -p1 < %{{PATCH{n}}}\n" for n in range(10, 14))),
    "a function": (NUMBERED, "%setup -q\nApply() { patch -p1 < %{_sourcedir}/$1; }\n"
                   + "".join(f"# {n}\nApply {n}\n\n" for n in OLD)),
    "a loop": (NUMBERED, "%setup -q\nfor p in %{patches}; do patch -p1 < $p; done"),
    "git am": (NUMBERED, "%setup -q\ngit init\ngit am %{patches}"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_edited_spec_applies_the_new_series(traced: Traced, form: str) -> None:
    preamble, prep = FORMS[form]
    files = {name: PATCH + name.encode() for name in {*OLD, *NEW}}
    made = traced(preamble, prep, files)
    assert [step.patch.decode() for step in made.steps] == OLD
    text = (HEAD + preamble + TAIL + prep + "\n%changelog\n").encode()
    old = [(step.patch.decode(), step.number) for step in made.steps]
    edited = edit_spec(text, old, NEW)
    assert edited.trouble == ()
    again = traced("", "", whole=edited.text, spec="edited.spec")
    assert [step.patch.decode() for step in again.steps] == NEW
    assert {(step.tool, step.strip, step.fuzz) for step in again.steps} == {
        (step.tool, step.strip, step.fuzz) for step in made.steps
    }
    assert edit_spec(text, old, OLD).text == text


def test_what_no_line_of_its_own_applies_is_told() -> None:
    spec = (HEAD + NUMBERED + TAIL + "%setup -q\ncat %{PATCH10} %{PATCH11} | patch -p1\n").encode()
    edited = edit_spec(spec, [("a.patch", 10), ("b.patch", 11)], ["b.patch"])
    assert ["more than a line of its own" in told for told in edited.trouble] == [True]


def test_a_comment_goes_with_the_one_patch_that_it_is_about() -> None:
    spec = b"""\
# of two
Patch1: a.patch
Patch2: b.patch

# of one
Patch3: c.patch

# of another
Patch4: d.patch
"""
    old = [(name, number) for number, name in enumerate(OLD, 1)]
    edited = edit_spec(spec, old, ["b.patch", "d.patch"])
    assert edited.text == b"# of two\nPatch2: b.patch\n\n# of another\nPatch4: d.patch\n"
    moved = edit_spec(spec, old, ["c.patch", "a.patch", "b.patch", "d.patch"])
    assert moved.text.startswith(b"# of one\nPatch3: c.patch\n# of two\nPatch1: a.patch\n")


def test_the_first_patch_of_a_package_comes_after_its_sources() -> None:
    edited = edit_spec((HEAD + TAIL + "%autosetup -p1\n").encode(), [], ["a.patch"])
    assert b"Source0: demo-1.2.tar.xz\nPatch1: a.patch\n" in edited.text


def test_a_series_keeps_its_comments_guards_and_options() -> None:
    series = b"# head\na.patch -p0 # why\n+rt left.patch\nb.patch\n#c.patch\nd.patch\t-R\n"
    new = {"a.patch": "a.patch -p0", "n.patch": "n.patch", "d.patch": "d.patch"}
    kept = edit_series(series, ["a.patch", "b.patch", "d.patch"], new)
    assert (
        kept.text == b"# head\na.patch -p0 # why\nn.patch\n+rt left.patch\n#c.patch\nd.patch\t-R\n"
    )
    forward = edit_series(series, ["a.patch", "b.patch", "d.patch"], new, {"d.patch"})
    assert forward.text.endswith(b"#c.patch\nd.patch\n")


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@settings(max_examples=60, deadline=None)
@given(old=NAMES, new=NAMES, ending=st.sampled_from(["", "\n"]))
def test_any_series_becomes_any_other_and_then_stays(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str], ending: str
) -> None:
    text = ("\n".join(f"# {name}\n{name}" for name in old) + ending).encode()
    edited = edit_series(text, old, {name: name for name in new}).text
    names = [line for line in edited.decode().split("\n") if re.fullmatch("[a-h]", line)]
    assert names == new
    assert edit_series(edited, old, {name: name for name in new}).text == edited


def test_the_lines_of_a_series_are_read_as_quilt_reads_them(tmp_path: Path) -> None:
    (tmp_path / "patches").mkdir()
    text = b"\n  a.patch -p0\nb.patch# not a comment\n"
    new = {"b.patch#": "b.patch#", "c.patch": "c.patch"}
    edited = edit_series(text, ["a.patch", "b.patch#"], new).text
    (tmp_path / "patches/series").write_bytes(edited)
    told = subprocess.run(["quilt", "series"], cwd=tmp_path, capture_output=True, check=True)
    assert told.stdout.split() == [b"patches/b.patch#", b"patches/c.patch"]
