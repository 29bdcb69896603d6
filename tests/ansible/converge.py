"""From empty machines to a clone: `make test-ansible`. Takes some minutes, and root.

A real systemd, RabbitMQ, PostgreSQL, sshd, nginx and git. The broker is set up as Fedora's public
one is (TLS, client certificates, a virtual host in which only queues may be declared), the journal
is in PostgreSQL. Only Koji's hub and the two git servers of the world outside are small ones of
our own, in the machine's network. The tests run in this order, each on what the one before has left.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.certificates import Authority
from tests.ansible.machine import CACHE, SERVICES, Machine, empty, root, until
from tests.ansible.test_role import ROOT, run
from tests.builders import Sample, sample
from tests.hub import Hub

pytestmark = [
    pytest.mark.timeout(3600),  # a playbook takes a minute here, and five where others work, too
    pytest.mark.skipif(os.geteuid() != 0, reason="boots a machine: needs root"),
]
TREE = "http://localhost/kernel.git"
TOPIC = "org.fedoraproject.prod.buildsys.build.state.change"
VHOST = "/public_pubsub"
QUEUE = "5c0c1a86-8f9b-5c0c-9b1e-2f6f7d1e0a55"
PASSWORD = "p4ssw0rd-0f-th3-j0urn4l"
DATABASE = "CREATE DATABASE srcgit OWNER srcgit TEMPLATE template0 ENCODING 'UTF8'"
ROWS = "SELECT nvr, state FROM builds"
JOURNAL = f"postgresql+psycopg://srcgit:{PASSWORD}@127.0.0.1/srcgit"

# ansible's ssh plugin believes that this is ssh: its last argument is the command.
SSH = """#!/bin/sh
for command; do :; done
exec {enter} sh -c "$command"
"""

RABBITMQ = """
listeners.tcp.1 = 127.0.0.1:5672
listeners.ssl.1 = 127.0.0.1:5671
ssl_options.cacertfile = /etc/rabbitmq/ca.pem
ssl_options.certfile = /etc/rabbitmq/server.pem
ssl_options.keyfile = /etc/rabbitmq/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
auth_mechanisms.1 = EXTERNAL
auth_mechanisms.2 = PLAIN
ssl_cert_login_from = common_name
"""

PUBLISH = """
import json, sys
from fedora_messaging import api, message
api.publish(message.Message(topic=sys.argv[1], body=json.loads(sys.argv[2])), timeout=20)
"""

UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"  # sd-messages.h: of a oneshot, its end
READ = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"


@dataclass
class World:
    """The machine, what is outside of it, and how to apply the role."""

    machine: Machine
    hub: Hub
    sample: Sample
    directory: Path
    wheel: Path
    authority: Authority
    said: str = field(default="", init=False)  # Ansible's last words

    def apply(self, *options: str, on: Machine | None = None, **variables: Any) -> dict[str, int]:
        """Run the playbook; return its recap, such as {"ok": 30, "changed": 7, "failed": 0}."""
        machine = on or self.machine
        ssh = self.directory / "ssh"
        ssh.write_text(SSH.format(enter=" ".join(machine.enter)))
        ssh.chmod(0o755)
        hosts = {"all": {"hosts": {"empty": self.variables(ssh) | variables}}}
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(hosts))
        done = run(
            "ansible-playbook",
            "-i",
            "inventory.yml",
            *options,
            str(ROOT / "ansible/site.yml"),
            cwd=self.directory,
        )
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, self.said[-8000:]
        recap = done.stdout.rpartition("PLAY RECAP")[2]
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", recap)}

    def variables(self, ssh: Path) -> dict[str, Any]:
        """What this site sets: how to reach the machine, and what would else be Fedora's."""
        return {
            "ansible_connection": "ssh",
            "ansible_user": "root",
            "ansible_ssh_executable": str(ssh),
            "ansible_ssh_transfer_method": "piped",
            "ansible_pipelining": True,
            "ansible_python_interpreter": "/usr/bin/python3",
            "srcgit_wheel": str(self.wheel),
            "srcgit_pip_environment": {
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": f"{CACHE / 'wheels'} /opt/srcgit/wheels",
            },
            "srcgit_server_name": "localhost",
            "srcgit_listen": ["80", "[::]:80", "443 ssl"],
            "srcgit_tls_cert": self._site.certificate,
            "srcgit_tls_key": self._site.key,
            "srcgit_workers": 2,
            "srcgit_koji": self.hub.url,
            "srcgit_amqp_url": f"amqps://fedora:@localhost/{VHOST.replace('/', '%2F')}",
            "srcgit_amqp_ca_cert": self.authority.certificate,
            "srcgit_amqp_cert": self._client.certificate,
            "srcgit_amqp_key": self._client.key,
            "srcgit_queue": QUEUE,
            "srcgit_journal": JOURNAL,
            "srcgit_backfill_days": 9999,  # the hub's clock stands still in 2017
            "srcgit_upstreams": {"linux": {"torvalds": "git://127.0.0.1/linux.git"}},
            "srcgit_packages": self.packages("/srv/srcgit/kernel.git"),
        }

    @staticmethod
    def packages(push: str) -> dict[str, Any]:
        return {
            "kernel": {
                "pkg_git": "git://127.0.0.1/kernel.git",
                "source": "https://src.fedoraproject.org/rpms/kernel.git",
                "upstreams": ["/var/lib/srcgit/upstreams/linux.git"],
                "push": [push],
            }
        }

    def __post_init__(self) -> None:
        self._client = self.authority.client("fedora")
        self._site = self.authority.server("localhost")

    def build(self, nvr: str, commit: str, target: str, **others: Any) -> dict[str, Any]:
        """Let Koji finish a build."""
        return self.hub.add(nvr, commit=commit, target=target, **others)

    def announce(self, build: dict[str, Any]) -> None:
        """Publish the message about it, as koji-fedoramessaging does."""
        conf = self.directory / "publisher.toml"
        vhost = VHOST.replace("/", "%2F")
        conf.write_text(f'amqp_url = "amqp://guest:guest@localhost/{vhost}"\n')
        body = json.dumps(self.hub.message(build))
        env = {"FEDORA_MESSAGING_CONF": str(conf)}
        self.machine.ask(sys.executable, "-c", PUBLISH, TOPIC, body, **env)

    def tags(self) -> dict[str, str]:
        out = self.machine.run("git", "ls-remote", "--tags", TREE)
        return {
            name.removeprefix("refs/tags/"): sha for sha, name in map(str.split, out.splitlines())
        }

    def published(self, build: dict[str, Any]) -> None:
        """Wait until the build's tag can be seen over http."""
        try:
            until(lambda: build["nvr"] in self.tags(), 120)
        except AssertionError as error:
            raise AssertionError(self.journal("srcgit-listen@*")) from error

    def show(self, unit: str, name: str) -> str:
        return self.machine.run("systemctl", "show", "-P", name, unit).strip()

    def journal(self, unit: str, *options: str) -> str:
        said = self.machine.run("journalctl", "-u", unit, "--no-pager", "-o", "cat", *options)
        return said[-8000:]

    def fetch(self, page: str) -> str:
        return self.machine.run("python3", "-c", READ, f"http://localhost{page}", ok=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    wheels = CACHE / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("srcgit-*.whl"):
        old.unlink()
    find = ["--find-links", str(wheels)]
    what = f"{ROOT}[postgresql]"
    done = run(sys.executable, "-m", "pip", "wheel", "-q", *find, "-w", str(wheels), what)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("srcgit-*.whl")
    with Machine(root(), wheels) as machine:
        outside = directory / "outside"
        outside.mkdir()
        made = sample(outside)
        machine.run("ip", "link", "set", "lo", "up")
        daemon = ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"]
        machine.serve(*daemon, f"--base-path={outside}")
        hub = machine.here(Hub)
        authority = Authority()
        services(machine, authority)
        with hub:
            yield World(machine, hub, made, directory, wheel, authority)


def services(machine: Machine, authority: Authority) -> None:
    """Start what a site has before srcgit comes: a broker such as Fedora's, PostgreSQL, sshd."""
    server = authority.server("localhost")
    for path, text in {
        "rabbitmq.conf": RABBITMQ,
        "enabled_plugins": "[rabbitmq_auth_mechanism_ssl].\n",
        "ca.pem": authority.certificate,
        "server.pem": server.certificate,
        "server.key": server.key,
    }.items():
        machine.write(f"/etc/rabbitmq/{path}", text)
    machine.run("systemctl", "start", *SERVICES, ok=True, timeout=240)
    uuid = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
    exchange = r"^amq\.topic$"
    for command in (
        ["add_vhost", VHOST],
        ["add_user", "fedora", "unused: it comes with a certificate"],
        # Declare and bind queues of one's own and read the exchange; to publish is others' right.
        ["set_permissions", "-p", VHOST, "fedora", f"{uuid}|{exchange}", uuid, ".*"],
        ["set_permissions", "-p", VHOST, "guest", ".*", ".*", ".*"],
    ):
        machine.run("rabbitmqctl", *command, ok=True)
    sql(machine, f"CREATE ROLE srcgit LOGIN PASSWORD '{PASSWORD}'")
    sql(machine, DATABASE)


def sql(machine: Machine, statement: str, database: str = "postgres") -> str:
    psql = ["runuser", "-u", "postgres", "--", "psql", "-qAtc", statement, database]
    return machine.run(*psql, ok=True).strip()


def test_check_mode_on_an_empty_machine_changes_nothing(world: World) -> None:
    with Machine(empty()) as machine:
        recap = world.apply("--check", on=machine)
        assert recap["failed"] == 0 and recap["changed"] > 10
        for path in ("/etc/srcgit", "/opt/srcgit", "/srv/srcgit", "/usr/bin/git"):
            assert machine.run("ls", path) == ""


def test_first_run_converges(world: World) -> None:
    recap = world.apply()
    assert recap["failed"] == 0 and recap["changed"] > 20


def test_second_run_changes_nothing(world: World) -> None:
    recap = world.apply()
    assert (recap["failed"], recap["changed"]) == (0, 0), world.said


def test_check_mode_agrees_that_nothing_is_left_to_do(world: World) -> None:
    assert world.apply("--check", "--diff")["changed"] == 0, world.said


def test_units_run(world: World) -> None:
    for unit in (
        "srcgit-listen@1.service",
        "srcgit-listen@2.service",
        "srcgit-web.service",
        "srcgit-git-http.socket",
        "srcgit-upstream@linux.timer",
        "srcgit-backfill@kernel.timer",
        "srcgit-maintain.timer",
        "srcgit-health.timer",
        "nginx.service",
    ):
        assert world.show(unit, "ActiveState") == "active", world.journal(unit)
    for instance in (1, 2):
        unit = f"srcgit-listen@{instance}.service"
        assert world.show(unit, "NRestarts") == "0", world.journal(unit)
    assert world.machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_the_upstream_was_there_before_any_worker(world: World) -> None:
    # the first of its runs: its timer may have had another since
    wanted = ("UNIT=srcgit-upstream@linux.service", f"MESSAGE_ID={UNIT_STARTED}")
    ends = world.machine.run("journalctl", "--no-pager", "-o", "json", *wanted).splitlines()
    fetched = int(json.loads(ends[0])["__MONOTONIC_TIMESTAMP"])
    started = int(world.show("srcgit-listen@1.service", "ExecMainStartTimestampMonotonic"))
    assert 0 < fetched < started


def test_workers_are_known_to_the_broker_by_their_certificate(world: World) -> None:
    asked = ["rabbitmqctl", "-q", "--no-table-headers", "list_connections"]
    told = world.machine.run(*asked, "user", "ssl", "auth_mechanism", ok=True)
    assert [line.split() for line in told.splitlines()] == [["fedora", "true", "EXTERNAL"]] * 2


def test_a_message_becomes_a_tag_to_clone(world: World) -> None:
    build = world.build("kernel-4.15.0-1.fc28", world.sample.git_am, "f28")
    world.announce(build)
    world.published(build)
    world.machine.run("git", "clone", "-q", "-b", build["nvr"], TREE, "/tmp/clone", ok=True)
    log = world.machine.run("git", "-C", "/tmp/clone", "log", "--format=%an: %s", ok=True)
    assert "Hans de Goede: usb: hub: wait longer" in log.splitlines()
    until(lambda: sql(world.machine, ROWS, "srcgit") == f"{build['nvr']}|done", 20)


def test_the_clone_can_go_over_tls(world: World) -> None:
    world.machine.write("/tmp/ca.pem", world.authority.certificate)
    url = TREE.replace("http", "https")
    clone = ["git", "-c", "http.sslCAInfo=/tmp/ca.pem", "clone", "-q", url, "/tmp/safe"]
    world.machine.run(*clone, ok=True)


def test_nobody_can_push_over_http(world: World) -> None:
    out = world.machine.run("sh", "-c", "git -C /tmp/clone push origin HEAD:refs/heads/mine 2>&1")
    assert "403" in out


def test_every_line_about_a_build_names_it_and_each_stage_tells_its_seconds(world: World) -> None:
    said = world.journal("srcgit-listen@*")
    stages = dict(
        re.findall(r"stage nvr=kernel-4\.15\.0-1\.fc28 .*\bstage=(\w+) seconds=([0-9.]+)", said)
    )
    assert {"koji", "fetch", "plan", "base", "series", "tag", "publish"} <= set(stages), said
    about = [line for line in said.splitlines() if "attempt=" in line or "stage=" in line]
    assert about and all("nvr=kernel-4.15.0-1.fc28" in line for line in about), said


def test_a_killed_worker_comes_back_and_works(world: World) -> None:
    units = ["srcgit-listen@1.service", "srcgit-listen@2.service"]
    before = [world.show(unit, "MainPID") for unit in units]
    world.machine.run("kill", "-KILL", *before, ok=True)
    build = world.build("kernel-6.12.8-200.fc41", world.sample.today, "f41")
    world.announce(build)
    world.published(build)
    after = [world.show(unit, "MainPID") for unit in units]
    assert not set(before) & set(after) and "0" not in after
    assert [world.show(unit, "NRestarts") for unit in units] == ["1", "1"]


def test_the_watchdog_ends_a_worker_that_hangs(world: World) -> None:
    """Stopped in its tracks, it is alive for the kernel and, for hours, for the broker."""
    unit = "srcgit-listen@1.service"
    drop_in = "[Service]\nWatchdogSec=10s\n"
    world.machine.write("/run/systemd/system/srcgit-listen@1.service.d/soon.conf", drop_in)
    for command in (["daemon-reload"], ["restart", unit]):
        world.machine.run("systemctl", *command, ok=True)
    before, restarts = world.show(unit, "MainPID"), world.show(unit, "NRestarts")
    time.sleep(15)  # one that works is left alone
    assert (world.show(unit, "MainPID"), world.show(unit, "NRestarts")) == (before, restarts)
    world.machine.run("kill", "-STOP", before, ok=True)
    until(lambda: world.show(unit, "MainPID") not in (before, "0"), 90)
    assert "Watchdog timeout" in world.journal(unit)
    until(lambda: world.show(unit, "ActiveState") == "active", 60)
    world.machine.run("rm", "-r", "/run/systemd/system/srcgit-listen@1.service.d", ok=True)
    for command in (["daemon-reload"], ["restart", unit]):
        world.machine.run("systemctl", *command, ok=True)


def test_a_stopped_worker_ends_in_peace(world: World) -> None:
    world.machine.run("systemctl", "restart", "srcgit-listen@1.service", ok=True)
    assert "status=" not in world.journal("srcgit-listen@1.service").rpartition("Stopping")[2]
    assert world.show("srcgit-listen@1.service", "ActiveState") == "active"


def test_a_build_without_message_is_found_by_the_backfill(world: World) -> None:
    build = world.build("kernel-6.12.8-201.fc41", world.sample.next, "f41")
    world.machine.run("systemctl", "start", "srcgit-backfill@kernel.service", ok=True)
    world.published(build)


def test_health_is_good_and_pages_answer(world: World) -> None:
    world.machine.run("systemctl", "start", "srcgit-health.service", ok=True)
    page = world.fetch("/")
    assert "6.12.8-201.fc41" in page, page
    metrics = world.fetch("/metrics")
    documented = re.findall(
        r"^\| `(srcgit_\w+)` \|", (ROOT / "ansible/README.md").read_text(), re.MULTILINE
    )
    assert [name for name in documented if f"# TYPE {name}" not in metrics] == []


def test_deaf_workers_are_revived(world: World) -> None:
    """Connected, but not a message comes; Koji finishes builds all the same."""
    before = world.show("srcgit-listen@1.service", "MainPID")
    ago = time.time() - 1200
    world.build("kernel-6.12.9-1.fc41", world.sample.next, "f41", completion_ts=ago)
    health = ["systemctl", "start", "srcgit-health.service"]
    # Not by the backfill that comes every hour anyway, nor put off because one that was killed just
    # now was still preparing.
    world.machine.run("systemctl", "stop", "srcgit-backfill@kernel.timer", ok=True)
    sql(world.machine, "DELETE FROM signs_of_life WHERE doing LIKE 'preparing%'", "srcgit")
    world.machine.run(*health)
    told = world.journal(health[2])
    assert "no message told of kernel-6.12.9-1.fc41" in told, told
    until(lambda: world.show("srcgit-listen@1.service", "MainPID") not in (before, "0"), 60)
    # and what was missed is in the journal now: healthy again
    until(
        lambda: not world.machine.run(*health) and world.show(health[2], "Result") == "success", 60
    )

    world.machine.run("systemctl", "start", "srcgit-backfill@kernel.timer", ok=True)


def test_a_second_host_works_and_pushes_over_ssh(world: World) -> None:
    """It has the queue and the journal in common with the first, and a key to push there."""
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "beside", "-f", "/root/key"]
    world.machine.run(*keygen, ok=True)
    read = {name: world.machine.run("cat", path, ok=True) for name, path in {
        "key": "/root/key", "public": "/root/key.pub", "host": "/etc/ssh/ssh_host_ed25519_key.pub",
    }.items()}  # fmt: skip
    world.apply(srcgit_push_authorized_keys=[read["public"].strip()])
    workers = ["srcgit-listen@1.service", "srcgit-listen@2.service"]
    with Machine(root(), CACHE / "wheels", beside=world.machine) as beside:
        push = "ssh://srcgit@localhost/srv/srcgit/kernel.git"
        second: dict[str, Any] = {
            "srcgit_nginx": False,
            "srcgit_workers": 1,
            "srcgit_packages": world.packages(push),
            "srcgit_push_key": read["key"],
            "srcgit_push_known_hosts": f"localhost {read['host']}",
        }
        assert world.apply(on=beside, **second)["failed"] == 0
        assert world.apply(on=beside, **second)["changed"] == 0, world.said
        world.machine.run("systemctl", "stop", *workers, ok=True)
        build = world.build("kernel-3.17.0-300.fc21", world.sample.apply_patch, "f21")
        world.announce(build)
        try:
            world.published(build)
        except AssertionError as error:
            raise AssertionError(beside.run("journalctl", "-o", "cat", "-n200")) from error
        assert "kernel-3.17.0-300.fc21" in world.fetch("/")  # the pages know what others pushed
        # What only looks at the published tree reaches it as well.
        for unit in ("srcgit-backfill@kernel.service", "srcgit-health.service"):
            beside.run("systemctl", "start", unit, ok=True)
        # The key is good for git alone.
        ssh = ["ssh", "-i", "/root/key", "-o", "StrictHostKeyChecking=no", "srcgit@localhost"]
        assert world.machine.run(*ssh, "id") == ""
    world.machine.run("systemctl", "start", *workers, ok=True)


def test_the_published_tree_is_all_the_state_there_is(world: World) -> None:
    """Without journal, mirrors and working repository, the backfill finds every tag in place."""
    before = world.tags()
    sh = world.machine.run
    sh("systemctl", "stop", "srcgit-listen@1", "srcgit-listen@2", "srcgit-web", ok=True)
    lost = "find /var/lib/srcgit -mindepth 1 -maxdepth 1 ! -name upstreams -exec rm -rf {} +"
    sh("sh", "-c", lost, ok=True)
    sql(world.machine, "DROP DATABASE srcgit WITH (FORCE)")
    sql(world.machine, DATABASE)
    sh("systemctl", "start", "srcgit-web", "srcgit-listen@1", "srcgit-listen@2", ok=True)
    pkg_git = world.sample.pkg_git
    spec = pkg_git.file("f41", "kernel.spec").decode().replace("Release: 201", "Release: 202")
    commit = pkg_git.commit({"kernel.spec": spec}, "kernel-6.12.8-202\n", branch="f41")
    build = world.build("kernel-6.12.8-202.fc41", commit, "f41")
    sh("systemctl", "start", "srcgit-backfill@kernel.service", ok=True)
    world.published(build)
    assert before.items() <= world.tags().items()
    done = f"{build['nvr']}|done"
    until(lambda: done in sql(world.machine, ROWS, "srcgit").splitlines(), 20)
    assert sql(world.machine, ROWS, "srcgit").count("|done") == 1


def test_what_an_operator_types(world: World) -> None:
    """The commands of ansible/README.md, "Day to day"."""

    manual = (ROOT / "ansible/README.md").read_text()
    (alias,) = re.findall(r"^alias srcgit='(.*)'$", manual, re.MULTILINE)

    def srcgit(*words: str, ok: bool = True) -> str:
        return world.machine.run(*alias.split(), *words, ok=ok)

    broken = "kernel-6.12.9-1.fc41"  # Koji names a commit that builds something else
    until(lambda: f"{broken}|failed" in sql(world.machine, ROWS, "srcgit"), 30)
    told = srcgit("status", ok=False)
    assert "newest published  kernel-6.12.8-202.fc41" in told and f"failed: {broken}" in told
    assert f"{broken}: due again" in srcgit("convert", broken, "--queue")
    assert f"{broken}: " in srcgit("backfill", "kernel", "--since", "9999d", "--dry-run")
    lock = "/srv/srcgit/kernel.git/refs/heads/f99.lock"
    world.machine.run("touch", "-d", "1 hour ago", lock, ok=True)
    assert srcgit("repair", "/srv/srcgit/kernel.git") == f"removed {lock}\n"
    options = ["-g", "nvr=kernel-6.12.8-202.fc41", "--no-pager", "-o", "cat"]
    lines = world.machine.run("journalctl", "-u", "srcgit-listen@*", *options, ok=True).splitlines()
    assert any("event=done" in line for line in lines), lines
    worse = world.machine.run("journalctl", "-u", "srcgit-*", "-p", "warning", "-o", "cat")
    assert f"event=failed nvr={broken}" in worse and "event=done" not in worse


def test_upkeep_of_the_published_tree(world: World) -> None:
    world.machine.run("systemctl", "start", "srcgit-maintain.service", ok=True)
    bundle = "http://localhost/kernel.bundle"
    world.machine.run("git", "clone", "-q", "--bundle-uri", bundle, TREE, "/tmp/begun", ok=True)
    world.machine.run("git", "clone", "-q", "--bare", TREE, "/tmp/after", ok=True)


def test_secrets_stay_out_of_the_log(world: World) -> None:
    secret = "s3cr3t-0f-th3-t3st"
    client = world.authority.client("fedora")  # a new one: the broker takes it as well
    new = {
        "srcgit_push_key": f"{secret}\n",
        "srcgit_amqp_cert": client.certificate,
        "srcgit_amqp_key": client.key,
    }
    variables = world.directory / "secrets.yml"
    variables.write_text(yaml.safe_dump(new))
    world.apply("-vvv", "--diff", "-e", f"@{variables}")
    assert secret not in world.said and PASSWORD not in world.said
    assert not [line for line in client.key.splitlines() if line in world.said]
    assert world.machine.run("cat", "/etc/srcgit/amqp-key.pem") == client.key
    assert secret in world.machine.run("cat", "/etc/srcgit/push-key")
    assert world.machine.run("runuser", "-u", "srcgit", "--", "cat", "/etc/srcgit/push-key") == ""


def test_fewer_workers_means_fewer_units(world: World) -> None:
    world.apply("-e", "srcgit_workers=1")
    assert world.show("srcgit-listen@2.service", "ActiveState") == "inactive"
    assert world.show("srcgit-listen@1.service", "ActiveState") == "active"
