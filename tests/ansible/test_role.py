"""The role as text: lint, types of its variables, and what its templates and units come to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from fedora_messaging.config import LazyConfig

from service.config import load

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "ansible/roles/srcgit"
UNITS = sorted((ROLE / "files/units").iterdir())
BIN = Path(sys.executable).parent

RENDER = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files:
    - {role}/defaults/main.yml
    - {role}/vars/main.yml
    - {role}/vars/Debian.yml
  vars:
    ansible_facts: {{machine_id: "00112233445566778899aabbccddeeff", fqdn: src.example.org}}
    item: {{key: linux, value: "{{{{ srcgit_upstreams.linux }}}}"}}
  tasks:
    - ansible.builtin.template:
        src: "{{{{ tpl }}}}"
        dest: "{out}/{{{{ tpl | basename | regex_replace('[.]j2$', '') }}}}"
        mode: "0644"
      loop: "{{{{ query('fileglob', '{role}/templates/*.j2') }}}}"
      loop_control: {{loop_var: tpl}}
"""


def run(*command: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin", **env}
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=1800
    )


def render(tmp_path: Path, **variables: Any) -> Path:
    """Write all templates as Ansible does, with the role's defaults and ``variables``."""
    book = tmp_path / "render.yml"
    book.write_text(RENDER.format(role=ROLE, out=tmp_path))
    extra = tmp_path / "extra.yml"
    extra.write_text(yaml.safe_dump(variables))
    done = run(
        "ansible-playbook",
        "-i",
        "localhost,",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        "-e",
        f"@{extra}",
        str(book),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("rendered"))


def test_lint_in_its_strictest_profile(tmp_path: Path) -> None:
    done = run(
        "ansible-lint", "--offline", "--profile", "production", "--nocolor", cwd=ROOT / "ansible"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_is_specified_with_its_default() -> None:
    specified = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())
    options: Mapping[str, Any] = specified["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert set(options) == set(defaults)
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert stated == {name: defaults[name] for name in stated}


@pytest.mark.parametrize(
    "name", ["amqp_key", "push_key", "tls_key", "signing_key", "amqp_url", "journal"]
)
def test_secrets_are_never_logged(name: str) -> None:
    """A task that renders a secret, itself or in its template, hides its output."""
    uses = [ROLE / "templates/srcgit.toml.j2"] if name in ("amqp_url", "journal") else []
    names = {f"srcgit_{name}", *(path.name for path in uses)}
    tasks = [
        task for path in (ROLE / "tasks").glob("*.yml") for task in yaml.safe_load(path.read_text())
    ]
    secret = [
        task
        for task in tasks
        if any(word in str({k: v for k, v in task.items() if k != "when"}) for word in names)
        and ("copy" in str(list(task)) or "template" in str(list(task)))
        and "push-key.conf.j2" not in str(task)
    ]
    assert secret
    assert all(task.get("no_log") for task in secret), [task["name"] for task in secret]


def test_configuration_is_one_that_srcgit_reads(rendered: Path) -> None:
    config = load(rendered / "srcgit.toml")
    assert config.state == Path("/var/lib/srcgit")
    kernel = config.packages["kernel"]
    assert kernel.upstreams == ("/var/lib/srcgit/upstreams/linux.git",)
    assert kernel.push == ("/srv/srcgit/kernel.git",)


def test_configuration_is_one_that_fedora_messaging_reads(rendered: Path) -> None:
    conf = LazyConfig()
    conf.load_config(str(rendered / "srcgit.toml"))
    (queue,) = conf["queues"]
    # Fedora's public broker takes only names that are UUIDs (fedora-messaging's fedora.toml), and
    # whoever wants a queue declares it.
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", queue)
    assert conf["passive_declares"] is False
    assert conf["queues"][queue]["auto_delete"] is False  # a restart loses nothing
    assert conf["bindings"][0]["queue"] == queue
    assert conf["qos"]["prefetch_count"] == 1
    assert conf["tls"]["ca_cert"] == "/etc/fedora-messaging/cacert.pem"


def test_nothing_is_declared_on_fedoras_restricted_broker(tmp_path: Path) -> None:
    url = "amqps://srcgit:@rabbitmq.fedoraproject.org/%2Fpubsub"
    conf = LazyConfig()
    conf.load_config(str(render(tmp_path, srcgit_amqp_url=url, srcgit_queue="q") / "srcgit.toml"))
    assert conf["passive_declares"] is True


def test_hostile_values_stay_values(tmp_path: Path) -> None:
    """Quotes, backslashes and newlines in a password do not end the TOML string."""
    url = 'postgresql://u:a"b\\c%0A#@db/srcgit'
    out = render(
        tmp_path,
        srcgit_journal=url,
        srcgit_amqp_url="amqp://u:p@broker/%2F",
        srcgit_queue="srcgit",
        srcgit_settings={"lease": 60, "retry": {"first": 5}},
        srcgit_packages={"a+b": {"upstreams": ["/u.git"], "verify": True}},
    )
    config = load(out / "srcgit.toml")
    assert config.journal == url
    assert (config.lease, config.retry.first) == (60, 5)
    assert config.packages["a+b"].verify
    conf = LazyConfig()
    conf.load_config(str(out / "srcgit.toml"))
    assert conf["queues"]["srcgit"] == {
        "durable": True,
        "auto_delete": False,
        "exclusive": False,
        "arguments": {},
    }


def test_what_converts_is_told_of_no_key_and_no_place_of_publication(tmp_path: Path) -> None:
    out = render(
        tmp_path,
        srcgit_signing_key="s3cret",
        srcgit_signing_public_key="ssh-ed25519 AAAA",
        srcgit_amqp_url="amqps://u:s3cret@broker/%2F",
        srcgit_settings={"lease": 60, "signing": {"program": "s3cret"}},
        srcgit_packages={"a": {"upstreams": ["/u.git"], "push": ["https://s3cret@h/a.git"]}},
    )
    assert "s3cret" not in (out / "convert.toml").read_text()
    ours, its = load(out / "srcgit.toml"), load(out / "convert.toml")
    assert (ours.signing.key, its.signing.key) == ("/etc/srcgit/signing-key", "")
    assert its.packages["a"] == replace(ours.packages["a"], push=())
    assert (its.lease, its.state, its.journal) == (60, ours.state, ours.journal)


def test_accounts_that_meet_specs_and_keys_are_two() -> None:
    def said(unit: str, key: str) -> list[str]:
        text = (ROLE / "files/units" / unit).read_text()
        return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)

    assert said("srcgit-listen@.service", "User") == ["srcgit"]
    assert said("srcgit-convert@.service", "User") == ["srcgit-convert"]
    assert "--no-convert" in said("srcgit-listen@.service", "ExecStart")[0]
    assert said("srcgit-convert@.service", "InaccessiblePaths") == ["-/etc/srcgit"]
    pushing = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__srcgit_pushing_units"]
    assert "srcgit-convert@.service" not in pushing


def test_nginx_accepts_its_configuration(rendered: Path, tmp_path: Path) -> None:
    conf = (rendered / "nginx.conf").read_text()
    main = tmp_path / "main.conf"
    main.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off;\n"
        + "".join(f"{d}_temp_path {tmp_path}/{d};\n" for d in ("client_body", "proxy", "fastcgi"))
        + conf.replace("listen 80", "listen 127.0.0.1:18080").replace("listen [::]:80;", "")
        + "}"
    )
    done = run("nginx", "-t", "-q", "-c", str(main))
    assert done.returncode == 0, done.stderr


def test_upstream_remotes_are_git_configuration(rendered: Path) -> None:
    done = run("git", "config", "-f", str(rendered / "upstream.conf"), "--get-regexp", "url$")
    assert done.stdout.split()[::2] == ["remote.torvalds.url", "remote.stable.url"]


SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
# systemd-analyze(1), "security": 0 is fully confined, 10 not at all. What runs bubblewrap may not
# forbid what bubblewrap does; each such line is explained in the unit.
EXPOSURE = {"srcgit-root@.service": 7.5, "srcgit-convert@.service": 4.0}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda u: u.name)
def test_services_are_confined(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"exposure level for \S+ ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < EXPOSURE.get(unit.name, 2.0)


@pytest.mark.parametrize(
    "name", ["srcgit-listen@.service", "srcgit-convert@.service", "srcgit-web.service"]
)
def test_what_is_left_open_is_explained(name: str) -> None:
    """Each line that systemd-analyze holds against the unit is named in one of its comments, or set
    beside one."""
    unit = ROLE / "files/units" / name
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    opened = set(re.findall(r"^✗ (\w+)", done.stdout, re.MULTILINE))
    assert len(opened) > 5, done.stdout
    explained: set[str] = set()
    for block in re.findall(r"^(?:#.*\n)+(?:[A-Z]\w+=.*\n)*", unit.read_text(), re.MULTILINE):
        explained |= set(re.findall(r"\b[A-Z]\w+", block))
    assert opened - explained == set()


def test_systemd_understands_the_units() -> None:
    """No unknown key and no bad value; that srcgit and fcgiwrap may be absent here is expected."""
    instances = [str(unit).replace("@.", "@linux.") for unit in UNITS]
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *instances)
    complaints = [
        line
        for line in done.stderr.splitlines()
        if not re.search(r"Command (srcgit|fcgiwrap) is not executable", line)
        and "units/srcgit" in line
    ]
    assert complaints == []


def test_roots_are_configured_where_they_are_made(tmp_path: Path) -> None:
    there = render(tmp_path, srcgit_roots=["fc41", "fc42"])
    assert load(there / "srcgit.toml").roots == {
        ".fc41": Path("/var/lib/srcgit-roots/fc41"),
        ".fc42": Path("/var/lib/srcgit-roots/fc42"),
    }


DNF = """#!/bin/sh
for word; do case $word in --installroot=*) root=${word#*=} ;; --releasever=*) release=${word#*=} ;; esac; done
mkdir -p "$root/usr/bin"
for tool in bash python3 rpmbuild patch git prlimit; do [ "$tool" = "$LACKS" ] || : > "$root/usr/bin/$tool"; done
echo "$release $*" > "$root/said"
[ -z "$LACKS" ] || exit 0
"""


def test_a_root_is_renewed_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dnf").write_text(DNF)
    (tmp_path / "bin/dnf").chmod(0o755)
    roots = tmp_path / "roots"

    def make(release: str, lacks: str = "") -> subprocess.CompletedProcess[str]:
        return run(
            str(ROLE / "files/bin/srcgit-root"),
            release,
            PATH=f"{tmp_path}/bin:{os.environ['PATH']}",
            SRCGIT_ROOTS=str(roots),
            SRCGIT_ROOT_PACKAGES="bash rpm-build",
            LACKS=lacks,
        )

    assert make("fc41").returncode == 0
    first = (roots / "fc41").resolve()
    assert (first / "said").read_text().startswith("41 ")
    assert "install bash rpm-build" in (first / "said").read_text()
    os.rename(first, roots / ".fc41-0")  # a day on another
    (roots / "fc41").unlink()
    (roots / "fc41").symlink_to(".fc41-0")
    failed = make("fc41", lacks="rpmbuild")
    assert (failed.returncode, failed.stderr) == (1, "srcgit-root: fc41 came without rpmbuild\n")
    assert os.readlink(roots / "fc41") == ".fc41-0"
    assert sorted(os.listdir(roots)) == [".fc41-0", "fc41"]
    assert make("fc41").returncode == 0
    assert os.readlink(roots / "fc41") != ".fc41-0"
    assert (roots / ".fc41-0").is_dir()  # a sandbox may still see it
    refused = make("../etc")
    assert (refused.returncode, refused.stderr) == (
        2,
        "srcgit-root: not a release such as fc41: ../etc\n",
    )
