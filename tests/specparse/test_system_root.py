"""A directory with another system: where its links lead, and when it is not taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from specparse.plan import SandboxError
from specparse.sandbox import Sandbox
from specparse.system_root import _NEEDED, Roots, SystemRoot


@pytest.fixture
def root(reached: Path) -> Path:
    """A merged-/usr layout as Fedora's and Debian's, of empty files."""
    for name in ("python3.13", "dash", *(tool.rpartition("/")[2] for tool in _NEEDED)):
        if name == "python3":
            continue
        path = reached / "usr/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (reached / "bin").symlink_to("usr/bin")
    (reached / "usr/bin/sh").symlink_to("dash")
    (reached / "usr/bin/python3").symlink_to("/etc/alternatives/python3")
    (reached / "etc/alternatives").mkdir(parents=True)
    (reached / "etc/alternatives/python3").symlink_to("../../usr/bin/python3.13")
    return reached


def test_links_lead_where_they_lead_in_the_root(root: Path) -> None:
    system = SystemRoot(root)
    assert system.real("/bin/sh") == "/usr/bin/dash"
    assert system.real("/usr/bin/python3") == "/usr/bin/python3.13"
    assert system.shell == "dash"
    (root / "usr/bin/out").symlink_to("../../../../etc/passwd")
    assert system.real("/usr/bin/out") == "/etc/passwd"
    assert system.outside("/etc/passwd") == root / "etc/passwd"
    (root / "loop").symlink_to("loop")
    system.real("/loop")  # it ends


def test_a_root_is_chosen_by_the_release(root: Path, tmp_path: Path) -> None:
    assert Roots({".fc41": root}).of(".fc41").directory == root
    assert Roots({".fc41": root}).of(".fc40") == SystemRoot()
    assert Roots({".fc41": tmp_path}, every=root).of(".fc41").directory == root


def test_what_is_no_root_is_refused(root: Path) -> None:
    (root / "usr/bin/rpmbuild").unlink()
    with pytest.raises(SandboxError, match="lacks /usr/bin/rpmbuild"):
        Roots({}, root).of("")
    (root / "usr/bin/rpmbuild").write_text("")
    root.chmod(0o777)
    with pytest.raises(SandboxError, match="others than root may write"):
        Roots({}, root).of("")
    root.chmod(0o755)
    (root / "usr").chmod(0o777)
    with pytest.raises(SandboxError, match="others than root may write"):
        Roots({}, root).of("")
    with pytest.raises(SandboxError, match="cannot be used: No such file"):
        Roots({}, root / "absent").of("")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another owner")
def test_a_root_of_another_user_is_refused(root: Path) -> None:
    os.chown(root, 4711, 4711)
    with pytest.raises(SandboxError, match="others than root may write"):
        Roots({}, root).of("")


def test_the_root_is_what_is_bound(root: Path) -> None:
    words = Sandbox(root=SystemRoot(root)).command("true")
    bound = list(zip(words, words[1:], words[2:], strict=False))
    assert ("--ro-bind-try", f"{root}/usr", "/usr") in bound
    assert ("--symlink", "usr/bin", "/bin") in bound
    assert not any(word == "--ro-bind-try" and here == "/usr" for word, here, _ in bound)


def test_what_prepares_is_described(root: Path) -> None:
    assert SystemRoot().described("4.18.0") == "rpm 4.18.0"
    status = root / "var/lib/dpkg/status"
    assert SystemRoot(root).described("6.1.0") == f"rpm 6.1.0, root {root.name}"
    status.parent.mkdir(parents=True)
    status.write_text("")
    os.utime(status, (1764547200, 1764547200))
    assert SystemRoot(root).described("6.1.0") == f"rpm 6.1.0, root {root.name} of 2025-12-01"
