"""The system calls that the sandbox allows, compiled for each architecture (seccomp(2)).

``python -m tests.specparse.seccomp`` compiles MACHINE.bpf from the file ``allowed`` and the values
below, so that starting the sandbox needs neither libseccomp nor its time.
"""

from __future__ import annotations

from pathlib import Path

# What rpm, a shell, tar, git, Python and the steps of a configure script need. A call that is not
# listed fails with ENOSYS, as on a kernel that lacks it, and programs fall back: clone3 to clone,
# whose flags a filter can read. Left out on purpose: mount and its kin, namespaces (unshare, setns),
# ptrace and process_vm_*, bpf, perf, keys, userfaultfd, io_uring, handles, System V IPC and
# memfd_create (memory that no limit of the sandbox counts).
ALLOWED = Path(__file__).with_name("allowed")

# Of clone, socket and personality the argument decides.
NAMESPACES = 0x7E020080  # CLONE_NEW*: cgroup, uts, ipc, user, pid, net, ns, and time
FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: no network is there, a configure script asks
PERSONALITIES = (0, 8, 0xFFFFFFFF)  # PER_LINUX, PER_LINUX32, and to ask

MACHINES = ("x86_64", "aarch64", "riscv64")  # as uname(2) calls them


def compiled(machine: str) -> Path | None:
    """Return the file of the filter for a machine (``uname -m``); None where there is none."""
    path = Path(__file__).with_name(f"{machine}.bpf")
    return path if machine in MACHINES and path.is_file() else None
