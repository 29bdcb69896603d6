"""Fedora's build-time macros for a release and an architecture: a table (pure)."""

from __future__ import annotations

import re

# Inside the sandbox. Fixed, so that nothing of this machine enters a plan.
BUILD = "/tmp/build"
SOURCES = f"{BUILD}/SOURCES"


# The rpm of each release (Fedora's and RHEL's release notes); what differs there and matters is told in
# inside/edits.py. A release that is not listed is older than the first or newer than the last.
_RPMS = {
    "fc": (
        (0, (4, 8)),
        (23, (4, 13)),
        (35, (4, 17)),
        (37, (4, 18)),
        (39, (4, 19)),
        (41, (4, 20)),
        (43, (6, 0)),
        (45, (6, 1)),
    ),
    "el": ((0, (4, 11)), (8, (4, 14)), (9, (4, 16)), (10, (4, 19))),
    "eln": ((0, (6, 0)),),
    # made of CentOS 7: XCP-ng and XenServer 7 and 8, Amazon Linux 2
    "xcpng": ((0, (4, 11)), (9, (4, 16))),
    "xs": ((0, (4, 11)), (9, (4, 16))),
    "amzn": ((0, (4, 11)), (2022, (4, 16))),
}


def built_with(dist: str) -> tuple[int, ...]:
    """Return the version of the rpm that builds for the dist tag ``dist``: (4, 20)."""
    found = re.fullmatch(r"\.(fc|eln|el|xcpng|xs|amzn)(\d*).*", dist)
    if found is None:
        return (4, 16)
    of = [rpm for release, rpm in _RPMS[found[1]] if release <= int(found[2] or 0)]
    return of[-1] if of else (4, 14)


_TOOLS = ("bzip2", "cat", "chmod", "chown", "cp", "grep", "gzip", "mkdir", "mv", "rm", "sed", "tar")


def macros(dist: str, arch: str, build: str = BUILD) -> dict[str, str]:
    """Return macro -> body for a build with the dist tag ``dist`` (``.fc28``) on ``arch``.

    The macros that tell which source a spec means are in fedora.macros. What a spec does not get
    from either stays as it is written, and rpm says so where that matters.
    """
    table = {
        "dist": dist,
        "_topdir": build,
        "_sourcedir": f"{build}/SOURCES",
        "_specdir": f"{build}/SOURCES",
        "_builddir": f"{build}/BUILD",
        "_buildrootdir": f"{build}/BUILDROOT",
        "buildroot": f"{build}/BUILDROOT/root",
        "_tmppath": "/tmp",
        "_target_cpu": arch,
        "_arch": {"i686": "i386", "armv7hl": "arm", "ppc64le": "ppc64le"}.get(arch, arch),
        "_host_cpu": arch,
        # where rpm's configure script found them depends on the machine that it ran on
        **{f"__{tool}": f"/bin/{tool}" for tool in _TOOLS},
        "__ln_s": "ln -s",
        "__mkdir_p": "/bin/mkdir -p",
        "__awk": "/usr/bin/awk",
        "__cc": "gcc",
        "__cxx": "g++",
        "__cpp": "gcc -E",
        "__ar": "ar",
        "__as": "as",
        "_vendor": "redhat",
        "_host": f"{arch}-redhat-linux-gnu",
        "_host_vendor": "redhat",
        "_initddir": "/etc/rc.d/init.d",
        "_iconsdir": "/usr/share/icons",
        "_default_patch_flags": "--no-backup-if-mismatch -f",  # as of rpm 4.17 (macros.in)
        "_sharedstatedir": "/var/lib",  # as of rpm 4.20 (macros.in), and of all of Fedora's
        "_smp_mflags": "-j1",
        "_smp_build_nthreads": "1",
        "_smp_build_ncpus": "1",  # rpm counts this machine's, in a shell for each mention
        # bare names, so that the stand-ins are found
        "__patch": "patch",
        "__git": "git",
        "__quilt": "quilt",
        "__hg": "hg",
        "__make": "make",
    }
    if (rpm := built_with(dist)) < (4, 13):
        table["srcgit_old_rpm"] = "1"  # fedora.macros
    if fedora := re.fullmatch(r"\.fc(\d+)", dist):
        table |= {"fedora": fedora[1], f"fc{fedora[1]}": "1"}
    elif rhel := re.fullmatch(r"\.el(\d+).*", dist):
        table |= {"rhel": rhel[1], f"el{rhel[1]}": "1"}
    elif dist.startswith(".eln"):
        table |= {"rhel": "11", "eln": dist[4:] or "1"}
    if rpm >= (4, 19):
        table["srcgit_rpmversion"] = ".".join(
            map(str, (*rpm, 0))
        )  # so does alike() rename %rpmversion
    return table
