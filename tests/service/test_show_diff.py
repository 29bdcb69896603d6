"""How a comparison is shown: as text, as Markdown, and through the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from converter.build import Nvr
from converter.comparison.configs import ConfigChange, ConfigChanges
from converter.comparison.differences import (
    BaseStep,
    Comparison,
    Dropped,
    Fact,
    Gone,
    Kept,
    Published,
    Side,
    Upstreamed,
)
from service.show_diff import as_markdown, as_text

OLD = Published(
    Nvr.parse("kernel-6.12.8-200.fc41"), "a" * 40, {"base": {"rev": "v6.12.8", "commit": "1" * 40}}
)
NEW = Published(
    Nvr.parse("kernel-6.12.9-200.fc41"), "b" * 40, {"base": {"rev": "v6.12.9", "commit": "2" * 40}}
)


def side(patch: str, position: int, *subjects: str) -> Side:
    return Side(patch, position, position, ("c" * 40,) * len(subjects), subjects)


FOUND = Comparison(
    old=OLD,
    new=NEW,
    base=BaseStep(115, 0),
    added=(side("add.patch", 3, "net: <script>*x*", "net: more"),),
    dropped=(
        Dropped(
            side("up.patch", 1, "mm: fix"),
            (Gone("c" * 40, "mm: fix", Upstreamed("d" * 40, "patch-id")),),
        ),
        Dropped(side("gone.patch", 2, "mm: gone"), (Gone("c" * 40, "mm: gone"),)),
    ),
    kept=(
        Kept(side("same.patch", 3, "x"), side("same.patch", 1, "x")),
        Kept(
            side("a.patch", 4, "x"),
            side("b.patch", 2, "x"),
            ("diff",),
            True,
            "1:  aaa ! 1:  bbb x\n    +```\x1b[31m\n 2:  abc =  2:  def y\n",
            (Gone("c" * 40, "x: old", None, "c.patch"),),
            (("e" * 40, "x: new"),),
        ),
    ),
    configs=ConfigChanges(
        ("kernel-s390x.config", "kernel-x86_64.config", "kernel-x86_64-debug.config"),
        ("kernel-riscv64.config",),
        (),
        (
            ConfigChange("CONFIG_A", "m", "y", ("kernel-x86_64.config",)),
            ConfigChange(
                "CONFIG_B", None, "n", ("kernel-x86_64.config", "kernel-x86_64-debug.config")
            ),
        ),
    ),
    facts_gone=(),
    facts_new=(Fact("skipped", "empty.patch: empty"),),
)


def test_text() -> None:
    assert as_text(FOUND) == (
        "kernel-6.12.8-200.fc41 -> kernel-6.12.9-200.fc41\n"
        "base  v6.12.8 -> v6.12.9 (115 commits on)\n"
        "added: 1\n"
        "  add.patch  net: <script>*x* (and 1 more)\n"
        "dropped: 2\n"
        "  up.patch    mm: fix (upstream as dddddddddddd, the same change)\n"
        "  gone.patch  mm: gone\n"
        "changed: 1\n"
        "  b.patch  (diff)\n"
        "    x: old (now in c.patch)\n"
        "    x: new (added)\n"
        "    1:  aaa ! 1:  bbb x\n"
        "        +```\\x1b[31m\n"
        "renamed: 1\n"
        "  a.patch  -> b.patch\n"
        "moved: 1\n"
        "  b.patch  4 -> 2\n"
        "unchanged: 1 patch\n"
        "configuration: 1 file added, 2 changes\n"
        "  kernel-riscv64.config  new file\n"
        "  CONFIG_A               m -> y  x86_64\n"
        "  CONFIG_B               (absent) -> n  x86_64\n"
        "spec: 1\n"
        "  + not applied  empty.patch: empty\n"
    )


def test_markdown() -> None:
    shown = as_markdown(FOUND)
    assert shown.startswith("## `kernel-6.12.8-200.fc41` → `kernel-6.12.9-200.fc41`\n\nBase: v6.12")
    assert "- `add.patch` net: \\<script\\>\\*x\\* (and 1 more)\n" in shown
    assert "  ````diff\n  1:  aaa ! 1:  bbb x\n      +```\\x1b[31m\n  ````\n" in shown
    assert "### Changed (1)\n\n- `b.patch`: diff\n  - x: old (now in c.patch)\n  - x: new" in shown
    assert "- `CONFIG_A` m -\\> y  x86\\_64\n" in shown
    assert "\x1b" not in shown


def test_a_clone_too_shallow_to_count_says_so() -> None:
    unknown = Comparison(
        OLD, NEW, BaseStep(None, None), (), (), (), ConfigChanges((), (), (), ()), (), ()
    )
    assert "too shallow" in as_text(unknown)
    assert as_markdown(unknown).endswith("Unchanged: 0 patches.\n")


def srcgit(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", "diff", *args]
    root = str(Path(__file__).parent.parent.parent)
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": root},
    )


def test_the_command_says_what_is_wrong_and_exits_with_2(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "r")], check=True)
    inside = tmp_path / "r" / "sub"
    inside.mkdir()
    nvrs = ("kernel-1-1.fc1", "kernel-2-1.fc1")
    done = srcgit(*nvrs, "--json", cwd=inside)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["what"] == "no tag kernel-1-1.fc1"
    assert error["where"] == f"{tmp_path}/r/.git"
    assert srcgit(*nvrs, "--json", "--markdown", cwd=inside).returncode == 2
    assert srcgit("nonsense", "x", cwd=inside).returncode == 2
    assert srcgit(*nvrs, cwd=tmp_path).returncode == 5  # no repository there
