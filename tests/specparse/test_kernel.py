"""The kernel's own dialects, 2010 to today, each in a few lines of the real shape."""

from __future__ import annotations

import gzip
import lzma

from specparse.plan import Plan, Step
from tests.builders import APPLY_PATCH
from tests.specparse.conftest import PATCH, Traced

HEAD = """\
Name: kernel
Version: {version}
Release: {release}%{{?dist}}
Summary: The Linux kernel
License: GPLv2
"""
APPLY = f"""
%description
The kernel.
%prep
{APPLY_PATCH.replace("%{kversion}", "3")}
%setup -q -n kernel-3.17 -c
mv linux-3.17 linux-3.17.4.x86_64
cd linux-3.17.4.x86_64
"""
LONG = PATCH + b"#\n" * 9


def f1(name: bytes, number: int, **more: object) -> Step:
    return Step(name, "patch", number, strip=1, fuzz=1, **more)  # type: ignore[arg-type]


def planned(
    traced: Traced, version: str, release: str, rest: str, files: dict[str, bytes], **more: str
) -> Plan:
    whole = HEAD.format(version=version, release=release) + rest + "\n%changelog\n"
    return traced("", files=files, whole=whole, spec="kernel.spec", **more)


def test_apply_patch(traced: Traced) -> None:
    """f21: a stable patch that moves the base, -R, an optional patch, one that is never applied."""
    preamble = (
        "Source0: linux-3.17.tar.xz\nPatch00: patch-3.17.4.xz\nPatch09: empty.patch\n"
        "Patch10: first.patch\nPatch11: arm.patch\nPatch12: last.patch.gz\nPatch13: unused.diff\n"
    )
    prep = (
        "ApplyPatch patch-3.17.4.xz\nApplyOptionalPatch empty.patch\nApplyOptionalPatch last.patch.gz\n"
        "ApplyPatch arm.patch\nApplyPatch first.patch\n%ifnarch aarch64\nApplyPatch arm.patch -R\n%endif\n"
        "find . \\( -name '*.orig' -o -name '*~' \\) -exec rm -f {} \\; >/dev/null\n"
    )

    files = {"empty.patch": b"", "first.patch": LONG, "arm.patch": LONG, "unused.diff": LONG,
             "last.patch.gz": b""}  # fmt: skip
    files["last.patch.gz"] = gzip.compress(bytes(range(256)) * 64)
    files["sources"] = b"0123456789abcdef0123456789abcdef  patch-3.17.4.xz\n"
    plan = planned(traced, "3.17.4", "200", preamble + APPLY + prep, files, dist=".fc21")
    assert (plan.base.kind, plan.base.rev) == ("tag", "v3.17.4")
    assert plan.base_patches == (b"patch-3.17.4.xz",)
    arm = f1(b"arm.patch", 11)
    tail = [arm, f1(b"first.patch", 10), f1(b"arm.patch", 11, reverse=True)]
    assert [s for s in plan.steps if s.patch != b"last.patch.gz"] == tail
    assert {s.patch for s in plan.skipped} >= {b"empty.patch", b"unused.diff"}
    on_arm = planned(
        traced, "3.17.4", "200", preamble + APPLY + prep, {}, dist=".fc21", arch="aarch64"
    )
    assert [s for s in on_arm.steps if s.reverse] == []


def test_git_am(traced: Traced) -> None:
    """f28: declaration order, a Source beside the patches, the base from rc and snapshot."""
    rest = (
        "Source0: linux-4.14.tar.xz\nSource5000: patch-4.15-rc6.xz\nSource5001: patch-4.15-rc6-git2.xz\n"
        "Source33: kbuild.patch\nPatch871: b.patch\nPatch675: a.patch\n"
        "%description\nx\n%prep\n%setup -q -n kernel-4.14 -c\ncd linux-4.14\n"
        "xzcat %{SOURCE5000} | patch -p1 -F1 -s\nxzcat %{SOURCE5001} | patch -p1 -F1 -s\n"
        "git init\ngit config user.email k@f\ngit add .\ngit commit -a -q -m baseline\n"
        "git am %{SOURCE33}\ngit am %{patches}\nchmod +x scripts/checkpatch.pl\n"
    )
    files = {"kbuild.patch": LONG, "a.patch": LONG, "b.patch": LONG,
             "gitrev": b"0123456789abcdef0123456789abcdef01234567\n"}  # fmt: skip
    plan = planned(traced, "4.15.0", "0.rc6.git2.1", rest, files)
    assert (plan.base.kind, plan.base.rev) == ("commit", "0123456789abcdef0123456789abcdef01234567")
    assert plan.base_patches == (b"patch-4.15-rc6.xz", b"patch-4.15-rc6-git2.xz")
    assert [(s.patch, s.number, s.tool) for s in plan.steps] == [
        (b"kbuild.patch", None, "git-am"),
        (b"b.patch", 871, "git-am"),
        (b"a.patch", 675, "git-am"),
    ]


def test_one_patch(traced: Traced) -> None:
    """f41: git apply of one patch, an empty one left out, configs made at %prep."""
    rest = (
        "Source0: linux-6.12.8.tar.xz\nSource20: kernel-x86_64-fedora.config\n"
        "Patch1: patch-6.12-redhat.patch\nPatch999999: linux-kernel-test.patch\n"
        "%description\nx\n%prep\n"
        'ApplyPatch()\n{\n  local patch=$1\n  shift\n  case "$patch" in\n'
        '  *.xz) unxz < "$RPM_SOURCE_DIR/$patch" | git --work-tree=. apply ${1+"$@"} ;;\n'
        '  *) git --work-tree=. apply ${1+"$@"} "$RPM_SOURCE_DIR/$patch" ;;\n  esac\n}\n'
        "ApplyOptionalPatch()\n{\n  local patch=$1\n  local C=$(wc -l $RPM_SOURCE_DIR/$patch | awk '{print $1}')\n"
        '  if [ "$C" -gt 9 ]; then\n    ApplyPatch $patch\n  fi\n}\n'
        "%setup -q -n kernel-6.12.8 -c\ncd linux-6.12.8\n"
        "ApplyOptionalPatch patch-6.12-redhat.patch\nApplyOptionalPatch linux-kernel-test.patch\n"
        "mkdir configs\ncp %{SOURCE20} configs/kernel-6.12.8-x86_64.config\nmv COPYING COPYING-6.12.8\n"
    )
    files = {"patch-6.12-redhat.patch": LONG, "linux-kernel-test.patch": b"",
             "kernel-x86_64-fedora.config": b"CONFIG_X86=y\n"}  # fmt: skip
    plan = planned(traced, "6.12.8", "200", rest, files, dist=".fc41")
    assert (plan.base.kind, plan.base.rev) == ("tag", "v6.12.8")
    assert plan.steps == (Step(b"patch-6.12-redhat.patch", "git-apply", 1),)
    assert [s.patch for s in plan.skipped] == [b"linux-kernel-test.patch"]
    assert plan.configs == {b"kernel-6.12.8-x86_64.config": b"CONFIG_X86=y\n"}
    assert any(u.command.startswith("mv COPYING") for u in plan.unrepresented)


def test_a_pipe_that_swallows_its_error_is_told(traced: Traced) -> None:
    """39 commits of 2016 pipe an undefined %{SOURCE5000}."""
    rest = (
        "Source0: linux-4.9.tar.xz\n%description\nx\n%prep\n%setup -q -n linux-4.9\n"
        "xzcat %{SOURCE5000} | patch -p1 -F1 -s\n"
    )
    plan = planned(traced, "4.10.0", "0.rc1", rest, {})
    assert not plan.steps
    assert any("nothing through its pipe" in warning for warning in plan.warnings)


def test_snapshot_archives(traced: Traced) -> None:
    rest = (
        "Source0: linux-6.12-rc1-23-gabcdef0.tar.xz\nPatch1: a.patch\n%description\nx\n%prep\n"
        "%setup -q -n linux-6.12-rc1-23-gabcdef0\ngit apply %{PATCH1}\n"
    )
    plan = planned(traced, "6.12.0", "0.rc1.20241003gitabcdef0.17", rest, {"a.patch": LONG})
    assert (plan.base.kind, plan.base.rev) == ("commit", "abcdef0")
    assert [s.patch for s in plan.steps] == [b"a.patch"]


def test_compressed_base_patch_in_the_commit_is_a_step(traced: Traced) -> None:
    rest = (
        "Source0: linux-4.8.tar.xz\nPatch1: patch-4.8-pf7.xz\n%description\nx\n%prep\n"
        "%setup -q -n linux-4.8\nxzcat %{PATCH1} | patch -p1\n"
    )
    plan = planned(traced, "4.8.7", "300.pf7", rest, {"patch-4.8-pf7.xz": lzma.compress(LONG)})
    assert [s.patch for s in plan.steps] == [b"patch-4.8-pf7.xz"]
    assert plan.base.rev == "v4.8"
