"""Which patch is which: the rules one by one, on names alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.comparison.pairs import changes, match, moved


def test_by_name_first_then_by_change_then_by_name_without_version() -> None:
    old = [("a", ["1"]), ("b", ["2"]), ("patch-6.12-redhat.patch", ["3"]), ("gone", ["4"])]
    new = [("patch-6.13-redhat.patch", ["9"]), ("c", ["2"]), ("a", ["8"]), ("new", ["5"])]
    assert match(old, new) == [(0, 2), (1, 1), (2, 0)]


def test_a_file_applied_twice_is_two_patches() -> None:
    assert match([("a", ["1"]), ("a", ["2"])], [("a", ["1"]), ("b", ["2"])]) == [(0, 0), (1, 1)]


def test_two_versions_of_a_name_are_no_telling() -> None:
    assert match([("p-1.1", ["1"]), ("p-1.2", ["2"])], [("p-1.3", ["3"])]) == []


def test_patches_without_commits_are_not_the_same_change() -> None:
    assert match([("a", [])], [("b", [])]) == []


@pytest.mark.parametrize(
    ("order", "left"),
    [([], []), ([0, 1, 2], []), ([1, 2, 0], [0]), ([2, 0, 1], [2]), ([0, 3, 1, 2, 4], [3])],
)
def test_as_few_as_possible_have_moved(order: list[int], left: list[int]) -> None:
    assert [value for value, out in zip(order, moved(order), strict=True) if out] == left


@given(st.permutations(list(range(8))))
def test_what_has_not_moved_is_in_order(order: list[int]) -> None:
    stayed = [value for value, out in zip(order, moved(order), strict=True) if not out]
    assert stayed == sorted(stayed)
    assert stayed


def patch(name: str, changed: str | None, *subjects: str) -> dict[str, Any]:
    return {
        "patch": name,
        "changed": changed and {"commit": changed},
        "commits": [{"commit": "0" * 40, "subject": subject} for subject in subjects],
    }


def test_changes_from_two_series_json_alone() -> None:
    old = {
        "patches": [
            patch("same", "1", "x"),
            patch("edited", "1", "x"),
            patch("out", "1", "x"),
            patch("unknown", None, "x"),
        ]
    }
    new = {
        "patches": [
            patch("unknown", None, "x", "y"),
            patch("same", "1", "x"),
            patch("edited", "2", "x"),
            patch("in", "2", "x"),
        ]
    }
    found = changes(old, new)
    assert found.as_json() == {
        "added": ["in"],
        "dropped": ["out"],
        "changed": ["edited", "unknown"],
    }
