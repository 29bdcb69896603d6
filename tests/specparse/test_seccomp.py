"""The sandbox's filters of system calls: what each allows, whatever libseccomp compiled it."""

from __future__ import annotations

import errno
import signal
import struct
from socket import AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK

import pyseccomp
import pytest

from specparse import seccomp
from specparse.sandbox import Sandbox
from tests.specparse.seccomp import ARCHITECTURES

# <linux/sched.h>: CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
NAMESPACES = (0x80, 0x20000, *(1 << bit for bit in range(25, 31)))
ALLOW, ENOSYS, KILL = 0x7FFF0000, 0x00050000 | errno.ENOSYS, 0x00000000


def answered(
    machine: str, number: int, arguments: tuple[int, ...] = (), architecture: int = 0
) -> int:
    """Run the machine's filter over one call, as the kernel would (<linux/bpf_common.h>)."""
    call = struct.pack(
        "<iIQ6Q",
        number,
        architecture or ARCHITECTURES[machine],
        0,
        *(*arguments, *(6 - len(arguments)) * (0,)),
    )
    path = seccomp.compiled(machine)
    assert path is not None
    program = list(struct.iter_unpack("<HBBI", path.read_bytes()))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x20:  # ld abs
            (accumulator,) = struct.unpack_from("<I", call, value)
        elif code == 0x54:  # and
            accumulator &= value
        elif code == 0x05:  # ja
            at += value
        elif code & 0x07 == 0x05:
            test = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
            }
            at += if_true if test[code] else if_false
        elif code == 0x06:  # ret
            return int(value)
        else:
            raise AssertionError(hex(code))


def number(machine: str, name: str) -> int:
    return int(pyseccomp.resolve_syscall(ARCHITECTURES[machine], name))


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_compiled_filter_is_what_the_list_says(machine: str) -> None:
    by_argument = {"clone", "socket", "personality"}
    listed = set(seccomp.ALLOWED.read_text().split())
    checked = 0
    for each in range(600):
        try:
            name = pyseccomp.resolve_syscall(ARCHITECTURES[machine], each).decode()
        except (ValueError, OSError):
            continue
        if name in by_argument:
            continue
        allowed = name in listed
        assert answered(machine, each) == (ALLOW if allowed else ENOSYS), name
        checked += 1
    assert checked > 250
    assert answered(machine, number(machine, "read"), architecture=0x40000003) == KILL  # i386


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_arguments_decide(machine: str) -> None:
    clone, socket = number(machine, "clone"), number(machine, "socket")
    assert answered(machine, clone, (signal.SIGCHLD,)) == ALLOW  # fork
    assert answered(machine, clone, (0x3D0F00,)) == ALLOW  # a thread (pthread_create in glibc)
    for flag in NAMESPACES:
        assert answered(machine, clone, (signal.SIGCHLD | flag,)) == ENOSYS
    for family in (AF_UNIX, AF_INET, AF_INET6):
        assert answered(machine, socket, (family, 1)) == ALLOW
    for family in (AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK):
        assert answered(machine, socket, (family, 1)) == ENOSYS


@pytest.mark.parametrize(
    "name",
    ["mount", "umount2", "pivot_root", "unshare", "setns", "ptrace", "process_vm_readv", "bpf", "perf_event_open", "keyctl", "add_key", "userfaultfd", "io_uring_setup", "memfd_create", "shmget", "clone3", "open_by_handle_at", "init_module", "chroot", "fsopen", "open_tree", "move_mount", "kexec_load", "syslog", "quotactl", "fanotify_init"],
)  # fmt: skip
def test_what_a_spec_has_no_use_for_is_left_out(name: str) -> None:
    for machine in seccomp.MACHINES:
        if number(machine, name) >= 0:
            assert answered(machine, number(machine, name)) == ENOSYS


def test_the_filter_is_in_force() -> None:
    calls = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
        "print(libc.unshare(0x10000000), ctypes.get_errno(), "
        "libc.ptrace(0, 0, 0, 0), ctypes.get_errno(), "
        "libc.mount(b'x', b'/tmp', b'tmpfs', 0, None), ctypes.get_errno())"
    )
    done = Sandbox().run("/usr/bin/python3", "-c", calls)
    assert done.stdout.split() == [b"-1", b"38"] * 3, done
