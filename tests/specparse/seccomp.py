"""Compile the sandbox's filter for each architecture: ``python -m tests.specparse.seccomp``.

The files lie beside specparse/seccomp/__init__.py. test_seccomp.py holds them to its lists, whatever
libseccomp has made them.
"""

from __future__ import annotations

import errno

import pyseccomp

from specparse import seccomp

ARCHITECTURES = {  # as seccomp_arch_resolve_name(3) numbers them: <linux/audit.h>
    "x86_64": 0xC000003E,
    "aarch64": 0xC00000B7,
    "riscv64": 0xC00000F3,
}


def compile_filter(machine: str, file: object) -> None:
    """Write the filter of one machine (``uname -m``) to a binary file."""
    architecture = ARCHITECTURES[machine]
    made = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
    if not made.exist_arch(architecture):
        made.remove_arch(pyseccomp.system_arch())
        made.add_arch(architecture)
    made.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)  # a binary search: each call passes through it
    allow = pyseccomp.ALLOW
    for name in seccomp.ALLOWED.read_text().split():
        if pyseccomp.resolve_syscall(architecture, name) >= 0:
            made.add_rule(allow, name)
    made.add_rule(allow, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, seccomp.NAMESPACES, 0))
    for family in seccomp.FAMILIES:
        made.add_rule(allow, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    for persona in seccomp.PERSONALITIES:
        made.add_rule(allow, "personality", pyseccomp.Arg(0, pyseccomp.EQ, persona))
    made.export_bpf(file)


def main() -> None:
    """Write all of them."""
    for machine in seccomp.MACHINES:
        with open(f"specparse/seccomp/{machine}.bpf", "wb") as file:
            compile_filter(machine, file)


if __name__ == "__main__":
    main()
