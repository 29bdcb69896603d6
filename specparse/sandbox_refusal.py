"""Why bubblewrap did not start, read from its error message and this machine (bwrap 0.8 to 0.13)."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SYSCTL = Path("/proc/sys")
# What podman, docker and systemd-nspawn leave in theirs.
_CONTAINER = ("/run/.containerenv", "/.dockerenv", "/run/systemd/container")


def explain(said: str) -> tuple[str, str]:
    """Return the cause of bubblewrap's error and what to do about it; ("", "") where it is unknown."""
    for pattern, cause in (
        (r"Can't find source path (.+): Permission denied", _unreadable),
        (r"[Uu]nknown option (\S+)", _old),
        (r"Can't mount proc", _masked_proc),
        (r"[Nn]amespace|uid map|user max|Operation not permitted|Permission denied", _namespaces),
    ):
        if found := re.search(pattern, said):
            return cause(found)
    return "", ""


def _unreadable(found: re.Match[str]) -> tuple[str, str]:
    return (
        f"the sandbox's user cannot reach {found[1]}",
        "open the directories above it to others (mode 0711), or set TMPDIR to one that is open",
    )


def _old(found: re.Match[str]) -> tuple[str, str]:
    return f"this bubblewrap does not know {found[1]}", "install bubblewrap 0.8 or newer"


def _masked_proc(_: re.Match[str]) -> tuple[str, str]:
    return (
        "this container masks parts of /proc, so no new /proc can be mounted",
        "start it with --security-opt unmask=ALL (podman) or --security-opt systempaths=unconfined "
        "(docker)",
    )


def _namespaces(_: re.Match[str]) -> tuple[str, str]:
    if _in_chroot():
        return (
            "a chroot forbids user namespaces (clone(2))",
            "enter the root by pivot_root instead, as systemd-nspawn or podman do",
        )
    for name, forbidden, step in (
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give bwrap an AppArmor "
            "profile with `userns,`",
        ),
    ):
        if _setting(name) == forbidden:
            return f"user namespaces are forbidden: {name.replace('/', '.')} is {forbidden}", step
    if _in_container():
        return (
            "this container forbids user namespaces",
            "start it with --security-opt seccomp=unconfined --security-opt unmask=ALL (podman) or "
            "--security-opt seccomp=unconfined --security-opt systempaths=unconfined (docker)",
        )
    return "user namespaces are forbidden here", "allow them to the user that runs srcgit"


def _setting(name: str) -> str:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError:
        return ""


def _in_chroot() -> bool:
    """Whether / is another than init's (only root can tell)."""
    try:
        return not os.path.samefile("/", "/proc/1/root")
    except OSError:
        return False


def _in_container() -> bool:
    return any(map(os.path.exists, _CONTAINER))
