"""Small packages, and their plans."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from specparse.plan import Plan
from specparse.sandbox import Limits
from specparse.trace import SandboxedTracer

HEAD = """\
Name: demo
Version: 1.2
Release: 3%{?dist}
Summary: A demo
License: MIT
Source0: demo-1.2.tar.xz
"""
TAIL = """
%description
A demo.
%prep
"""
PATCH = b"--- a/README\n+++ b/README\n@@ -0,0 +1 @@\n+hello\n"

Traced = Callable[..., Plan]


def copied(package: Path) -> Callable[[Path], None]:
    """Return what gives a tracer the files of ``package``."""

    def export(to: Path) -> None:
        shutil.copytree(package, to, symlinks=True, dirs_exist_ok=True)
        for path in to.rglob("*"):  # whatever the umask, the sandbox's user reads them
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)

    return export


@pytest.fixture
def package(reached: Path) -> Path:
    return reached


@pytest.fixture
def traced(package: Path) -> Traced:
    """Return a function: spec text and files (bytes, or a link's target) to a Plan."""

    def make(
        preamble: str,
        prep: str = "",
        files: Mapping[str, bytes | str] = {},
        *,
        spec: str = "demo.spec",
        whole: str | bytes = "",
        limits: Limits | None = None,
        **named: Any,
    ) -> Plan:
        text = whole or HEAD + preamble + TAIL + prep + "\n%changelog\n"
        for name, content in {spec: text, **files}.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str) and name != spec:
                path.symlink_to(content)
                continue
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        tracer = SandboxedTracer(limits=limits or Limits())
        return tracer(
            copied(package), os.fsencode(spec), **{"dist": ".fc28", "arch": "x86_64", **named}
        )

    return make


@pytest.fixture(autouse=True)
def needs_bubblewrap() -> None:
    assert shutil.which("bwrap"), "install bubblewrap (.ci/install)"
