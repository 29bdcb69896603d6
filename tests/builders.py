"""Real repositories and packages, small, in the dialects of the real thing; made by real git.

The model upstream has the shape of a kernel in a few dozen files and carries three tags, one for
each way in which Fedora's kernel spec has applied patches: v3.17, v4.15 and v6.12.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.git import Git

Files = Mapping[str, bytes | str | None]
LINUS = ("Linus Torvalds", "torvalds@linux-foundation.org")
JUSTIN = ("Justin M. Forbes", "jforbes@fedoraproject.org")
START = 1412462434  # 2014-10-04, the day of v3.17


class Source:
    """A bare git repository in the making."""

    def __init__(self, path: Path) -> None:
        self.path = path
        Git().run("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        self.git = Git(path)
        self._clock = START

    def commit(
        self,
        files: Files,
        message: str,
        *,
        branch: str = "main",
        parent: str | None = None,
        author: tuple[str, str] = LINUS,
        date: str | None = None,
        modes: Mapping[str, str] = {},
    ) -> str:
        """Commit ``files`` (None deletes) on ``branch``, or on ``parent``; return the id."""
        self._clock += 3600
        ref = f"refs/heads/{branch}"
        text = message.encode()
        who = "{} <{}> {}".format(*author, date or f"{self._clock} +0200").encode()
        stream = [b"commit %s\nauthor %s\ncommitter %s\n" % (ref.encode(), who, who)]
        stream.append(b"data %d\n%s\n" % (len(text), text))
        start = parent or self.rev(ref)
        if start:
            stream.append(b"from %s\n" % start.encode())
        for path, content in files.items():
            if content is None:
                stream.append(b"D %s\n" % path.encode())
                continue
            data = content.encode() if isinstance(content, str) else content
            mode = modes.get(path, "100644").encode()
            stream.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, path.encode(), len(data), data))
        self.git.run("fast-import", "--quiet", "--force", input=b"".join(stream))
        made = self.rev(ref)
        assert made
        return made

    def rev(self, name: str) -> str | None:
        """Return the commit id of ``name``, or None."""
        done = self.git.run("rev-parse", "--verify", "-q", f"{name}^{{commit}}", ok=(0, 1, 128))
        return done.stdout.decode().strip() or None

    def tag(self, name: str, commit: str) -> None:
        self.git.run("update-ref", f"refs/tags/{name}", commit)

    def branch(self, name: str, commit: str) -> None:
        self.git.run("update-ref", f"refs/heads/{name}", commit)

    def file(self, commit: str, path: str) -> bytes:
        return self.git.run("cat-file", "blob", f"{commit}:{path}").stdout

    def mails(self, base: str, tip: str) -> bytes:
        """Return ``base..tip`` as git format-patch writes it."""
        return self.git.run("format-patch", "--stdout", f"{base}..{tip}").stdout

    def diff(self, base: str, tip: str, *options: str) -> bytes:
        """Return the raw diff from ``base`` to ``tip``."""
        return self.git.run("diff", *options, base, tip).stdout


def source_file(name: str, functions: int) -> str:
    """Return C-like text of ``functions`` short functions, each different."""
    head = f"// SPDX-License-Identifier: GPL-2.0\n/* {name} */\n#include <linux/kernel.h>\n\n"
    body = (
        f"static int {name}_{n}(struct device *dev, int value)\n{{\n"
        f"\tint result = {n * 7 + 1};\n\n\tif (!dev)\n\t\treturn -EINVAL;\n"
        f"\tresult += value * {n + 3};\n\treturn result;\n}}\n\n"
        for n in range(functions)
    )
    return head + "".join(body)


def change(text: str, n: int, note: str) -> str:
    """Return ``text`` (a source_file) with its n-th function changed."""
    old = f"\tint result = {n * 7 + 1};\n"
    assert old in text
    return text.replace(old, f"\tint result = {n * 7 + 1}; /* {note} */\n")


def kernel_upstream(path: Path) -> Source:
    """Return a model of linux.git with the tags v3.17, v4.15, v6.12 and v6.12.8."""
    linux = Source(path)
    files = {
        f"{directory}/{name}.c": source_file(name, 12)
        for directory, names in {
            "drivers/net": ("dummy", "loopback", "tun"),
            "drivers/usb/core": ("hub", "quirks"),
            "fs/btrfs": ("inode", "super"),
            "kernel/sched": ("core", "fair"),
            "mm": ("memory", "slab"),
            "init": ("main",),
        }.items()
        for name in names
    }
    files |= {
        "COPYING": "The Linux Kernel is provided under GPL-2.0.\n",
        "MAINTAINERS": "List of maintainers\n===================\n",
        "README": "Linux kernel\n============\n",
        "scripts/checkpatch.pl": "#!/usr/bin/perl -w\nprint 1;\n",
        "scripts/show_delta": "#!/usr/bin/env python\nprint(1)\n",
        "firmware/WHENCE": "Driver: none\n",
        ".gitignore": "*.o\n",
        "drivers/.gitignore": "*.ko\n",
    }
    for tag, parts in {
        "v3.17": (3, 17, 0),
        "v4.15": (4, 15, 0),
        "v6.12": (6, 12, 0),
        "v6.12.8": (6, 12, 8),
    }.items():
        files["Makefile"] = "VERSION = {}\nPATCHLEVEL = {}\nSUBLEVEL = {}\nEXTRAVERSION =\n".format(
            *parts
        )
        files["init/version.c"] = f'const char banner[] = "{tag}";\n'
        linux.tag(tag, linux.commit(files, f"Linux {tag[1:]}\n"))
    return linux


# -- specs in the three dialects -----------------------------------------------------------

_HEAD = """\
Summary: The Linux kernel
Name: kernel
License: GPL-2.0-only
URL: https://www.kernel.org/
%define kversion {version[0]}
Version: {version}
Release: {release}%{{?dist}}
ExclusiveArch: x86_64 aarch64 noarch
"""

_TAIL = """
%description
The kernel, in small.

%build
make -s

%files

%changelog
{changelog}
"""

APPLY_PATCH = """
patch_command='patch -p1 -F1 -s'
ApplyPatch()
{
  local patch=$1
  shift
  if [ ! -f $RPM_SOURCE_DIR/$patch ]; then
    exit 1
  fi
  if ! egrep "^Patch[0-9]+: $patch\\$" %{_specdir}/${RPM_PACKAGE_NAME}.spec ; then
    if [ "${patch:0:8}" != "patch-%{kversion}." ] ; then
      echo "ERROR: Patch  $patch  not listed as a source patch in specfile"
      exit 1
    fi
  fi 2>/dev/null
  case "$patch" in
  *.bz2) bunzip2 < "$RPM_SOURCE_DIR/$patch" | $patch_command ${1+"$@"} ;;
  *.gz)  gunzip  < "$RPM_SOURCE_DIR/$patch" | $patch_command ${1+"$@"} ;;
  *.xz)  unxz    < "$RPM_SOURCE_DIR/$patch" | $patch_command ${1+"$@"} ;;
  *) $patch_command ${1+"$@"} < "$RPM_SOURCE_DIR/$patch" ;;
  esac
}

# don't apply patch if it's empty
ApplyOptionalPatch()
{
  local patch=$1
  shift
  if [ ! -f $RPM_SOURCE_DIR/$patch ]; then
    exit 1
  fi
  local C=$(wc -l $RPM_SOURCE_DIR/$patch | awk '{print $1}')
  if [ "$C" -gt 9 ]; then
    ApplyPatch $patch ${1+"$@"}
  fi
}
"""


def _declared(patches: Sequence[str]) -> str:
    return "\n".join(
        f"# {name} is carried for a reason (rhbz {1000000 + n})\nPatch{n}: {name}"
        for n, name in enumerate(patches, 1)
    )


def spec_apply_patch(
    version: str, release: str, patches: Sequence[str], calls: Sequence[str], changelog: str = ""
) -> str:
    """Return a spec as until 2015: shell functions around patch(1), one call for each patch."""
    prep = "\n".join(calls)
    return (
        _HEAD.format(version=version, release=release)
        + f"Source0: linux-{version.removesuffix('.0')}.tar.xz\n"
        + "Source20: config-generic\n"
        + _declared(patches)
        + "\n\n%prep\n"
        + APPLY_PATCH
        + f"""
%setup -q -n kernel-%{{version}} -c
mv linux-{version.removesuffix(".0")} linux-%{{version}}-%{{release}}
cd linux-%{{version}}-%{{release}}
{prep}
# END OF PATCH APPLICATIONS
chmod +x scripts/checkpatch.pl
find . \\( -name "*.orig" -o -name "*~" \\) -exec rm -f {{}} \\; >/dev/null
"""
        + _TAIL.format(changelog=changelog)
    )


def spec_git_am(version: str, release: str, patches: Sequence[str], changelog: str = "") -> str:
    """Return a spec as from 2015 to 2020: the whole list goes through ``git am``."""
    return (
        _HEAD.format(version=version, release=release)
        + f"Source0: linux-{version.removesuffix('.0')}.tar.xz\n"
        + "Source21: kernel-x86_64.config\n"
        + _declared(patches)
        + f"""

%prep
%setup -q -n kernel-%{{version}} -c
mv linux-{version.removesuffix(".0")} linux-%{{version}}-%{{release}}
cd linux-%{{version}}-%{{release}}
if [ ! -d .git ]; then
    git init
    git config user.email "kernel-team@fedoraproject.org"
    git config user.name "Fedora Kernel Team"
    git config gc.auto 0
    git add .
    git commit -a -q -m "baseline"
fi
git am %{{patches}}
# END OF PATCH APPLICATIONS
chmod +x scripts/checkpatch.pl
touch .scmversion
mkdir configs
cd configs
cp $RPM_SOURCE_DIR/kernel-*.config .
cd ..
find . -name .gitignore -exec rm -f {{}} \\; >/dev/null
cd ..
"""
        + _TAIL.format(changelog=changelog)
    )


def spec_today(version: str, release: str, optional: Sequence[str], changelog: str = "") -> str:
    """Return a spec as of 2025: ``git apply`` of a monolithic patch and of an empty one."""
    patchversion = ".".join(version.split(".")[:2])
    calls = "\n".join(f"ApplyOptionalPatch {name}" for name in optional)
    functions = APPLY_PATCH.replace("patch -p1 -F1 -s", "git --work-tree=. apply").replace(
        "egrep ", "grep -E "
    )
    return (
        '%define log_msg() echo "kernel.spec: %{*}"\n'
        + f"%define patchversion {patchversion}\n%define specrpmversion {version}\n"
        + f"%define tarfile_release {version}\n%define KVERREL %{{version}}-%{{release}}\n"
        + _HEAD.format(version=version, release=release)
        + "Source0: linux-%{tarfile_release}.tar.xz\nSource1: Makefile.rhelver\n"
        + "Source21: kernel-x86_64-fedora.config\n"
        + _declared(optional)
        + "\n\n%prep\n%{log_msg Start of prep stage}\n"
        + functions
        + f"""
%setup -q -n kernel-%{{tarfile_release}} -c
mv linux-%{{tarfile_release}} linux-%{{KVERREL}}
cd linux-%{{KVERREL}}
cp -a %{{SOURCE1}} .
{calls}
%{{log_msg End of patch applications}}
chmod +x scripts/checkpatch.pl
mv COPYING COPYING-%{{specrpmversion}}-%{{release}}
mkdir configs
cd configs
cp $RPM_SOURCE_DIR/%{{name}}-*.config .
cd ..
find . -name .gitignore -exec rm -f {{}} \\; >/dev/null
"""
        + _TAIL.format(changelog=changelog)
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """A model upstream, and a pkg-git with one build in each dialect."""

    linux: Source
    pkg_git: Source
    apply_patch: str  # commit of kernel-3.17.0-300.fc21
    git_am: str  # kernel-4.15.0-1.fc28
    today: str  # kernel-6.12.8-200.fc41, and then
    next: str  # kernel-6.12.8-201.fc41


def sample(directory: Path) -> Sample:
    """Make the sample: branches f21, f28, f41 and rawhide, four builds."""
    linux = kernel_upstream(directory / "linux.git")
    package = Source(directory / "kernel.git")
    started = package.commit({"sources": ""}, "Initial import\n", branch="rawhide", author=JUSTIN)
    package.branch("f21", started)
    old = package.commit(
        _apply_patch_files(linux), "kernel-3.17.0-300\n", branch="f21", author=JUSTIN
    )
    package.branch("f28", old)
    am = package.commit(_git_am_files(linux), "Linux v4.15\n", branch="f28", author=JUSTIN)
    package.branch("f41", am)
    files = _today_files(linux)
    now = package.commit(files, "kernel-6.12.8-200\n\n* all of it\n", branch="f41", author=JUSTIN)
    spec = str(files["kernel.spec"]).replace("Release: 200", "Release: 201")
    later = package.commit(
        {"kernel.spec": spec}, "kernel-6.12.8-201\n", branch="f41", author=JUSTIN
    )
    package.branch("rawhide", started)
    return Sample(linux, package, old, am, now, later)


def _topic(linux: Source, base: str, edits: Sequence[tuple[str, int, str, tuple[str, str]]]) -> str:
    tip = linux.rev(base)
    for path, function, subject, author in edits:
        assert tip
        text = change(linux.file(tip, path).decode(), function, subject.split(": ")[-1])
        body = f"{subject}\n\nSo that it works.\n\nSigned-off-by: {author[0]} <{author[1]}>\n"
        tip = linux.commit({path: text}, body, branch="topic", parent=tip, author=author)
    assert tip
    linux.git.run("update-ref", "-d", "refs/heads/topic")
    return tip


def _apply_patch_files(linux: Source) -> dict[str, bytes | str | None]:
    josh = ("Josh Boyer", "jwboyer@fedoraproject.org")
    first = _topic(linux, "v3.17", [("mm/slab.c", 2, "mm: slab: check twice", josh)])
    second = _topic(linux, first, [("kernel/sched/fair.c", 5, "sched: be fair", josh)])
    taken_out = _topic(linux, second, [("init/main.c", 1, "init: say hello", josh)])
    exact = linux.diff("v3.17", first)
    moved = exact.replace(b"@@ -24,7 +24,7 @@", b"@@ -27,7 +27,7 @@")
    assert moved != exact, "GNU patch finds this hunk three lines away"
    revert = linux.diff(taken_out, second)
    names = ["sched-be-fair.patch", "slab-check.patch", "revert-hello.patch", "empty.patch"]
    calls = [
        "ApplyPatch slab-check.patch",
        "ApplyPatch sched-be-fair.patch",
        "ApplyPatch revert-hello.patch -R",
        "ApplyOptionalPatch empty.patch",
    ]
    return {
        "kernel.spec": spec_apply_patch("3.17.0", "300", names, calls),
        "slab-check.patch": moved,
        "sched-be-fair.patch": linux.mails(first, second),
        "revert-hello.patch": revert,
        "empty.patch": "",
        "config-generic": "CONFIG_MMU=y\n",
    }


def _git_am_files(linux: Source) -> dict[str, bytes | str | None]:
    hans = ("Hans de Goede", "hdegoede@redhat.com")
    jeremy = ("Jérémy Cline", "jcline@redhat.com")
    one = _topic(linux, "v4.15", [("drivers/usb/core/hub.c", 3, "usb: hub: wait longer", hans)])
    two = _topic(
        linux,
        one,
        [
            ("drivers/net/tun.c", 0, "net: tun: count packets", jeremy),
            ("drivers/net/tun.c", 11, "net: tun: and bytes", jeremy),
            ("fs/btrfs/inode.c", 4, "btrfs: drop a lock", hans),
        ],
    )
    names = ["usb-hub-wait.patch", "net-tun-series.patch"]
    return {
        "kernel.spec": spec_git_am("4.15.0", "1", names),
        "usb-hub-wait.patch": linux.mails("v4.15", one),
        "net-tun-series.patch": linux.mails(one, two),
        "slab-check.patch": None,
        "sched-be-fair.patch": None,
        "revert-hello.patch": None,
        "empty.patch": None,
        "config-generic": None,
        "kernel-x86_64.config": "CONFIG_MMU=y\nCONFIG_USB=m\n",
    }


def _today_files(linux: Source) -> dict[str, bytes | str | None]:
    peter = ("Peter Robinson", "pbrobinson@gmail.com")
    tip = _topic(
        linux,
        "v6.12.8",
        [
            ("mm/memory.c", 6, "mm: memory: Fedora's own limit", peter),
            ("kernel/sched/core.c", 9, "sched: core: lock down", peter),
        ],
    )
    base = linux.rev("v6.12.8")
    assert base
    listed = "\n".join(
        f"https://gitlab.com/cki-project/kernel-ark/-/commit/{c}\n {c[:12]} x" for c in (tip,)
    )
    return {
        "kernel.spec": spec_today(
            "6.12.8", "200", ["patch-%{patchversion}-redhat.patch", "linux-kernel-test.patch"]
        ),
        "patch-6.12-redhat.patch": linux.diff(
            base, tip, "--binary", "--no-renames", "--stat", "-p"
        ),
        "linux-kernel-test.patch": "",
        "Patchlist.changelog": listed + "\n",
        "Makefile.rhelver": "RHEL_MAJOR = 10\n",
        "usb-hub-wait.patch": None,
        "net-tun-series.patch": None,
        "kernel-x86_64.config": None,
        "kernel-x86_64-fedora.config": "CONFIG_MMU=y\nCONFIG_USB=y\n",
    }
