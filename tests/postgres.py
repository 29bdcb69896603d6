"""A real PostgreSQL of the tests' own: a new cluster on a free port, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "srcgit"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def cluster(address: str = "127.0.0.1") -> Iterator[str]:
    """Run a PostgreSQL server; give the SQLAlchemy URL of it, up to and without the database."""
    tools = _tools()
    directory = Path(tempfile.mkdtemp(prefix="srcgit-pg-"))
    data = directory / "data"
    become: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")  # its group is nogroup on Debian, nobody on Fedora
        become = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}"]
        become.append("--clear-groups")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}

    def run(*command: str | Path) -> None:
        subprocess.run(
            [*become, *map(str, command)],
            check=True,
            env=environment,
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )

    port = free_port()
    run(tools / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
    with (data / "pg_hba.conf").open("a") as hba:
        hba.write(f"host all all {address}/24 trust\n")
    server = subprocess.Popen(
        [*become, str(tools / "postgres"), *_settings(directory, address, port)],
        env=environment,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(address, port, server)
        yield f"postgresql+psycopg://{USER}@{address}:{port}/"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _settings(directory: Path, address: str, port: int) -> list[str]:
    settings = {
        "listen_addresses": address,
        "port": port,
        "unix_socket_directories": directory,
        "fsync": "off",
        "max_connections": 60,
    }
    named = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return ["-D", str(directory / "data"), *named]


def _tools() -> Path:
    """Debian keeps them out of PATH, in a directory for each version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    assert program, "no PostgreSQL here: apt-get install postgresql (or dnf postgresql-server)"
    return Path(program).parent


def _wait(address: str, port: int, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        assert server.poll() is None, "PostgreSQL did not start"
        try:
            psycopg.connect(
                f"host={address} port={port} user={USER} dbname=postgres", connect_timeout=2
            ).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("PostgreSQL does not answer")
