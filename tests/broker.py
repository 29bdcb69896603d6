"""A real RabbitMQ of the tests' own: its own ports, node name and data directory."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from tests.postgres import free_port

logging.getLogger("pika").setLevel(logging.CRITICAL)  # of attempts while the broker starts
TOPIC = "org.fedoraproject.prod.buildsys.build.state.change"
SCHEMA = "koji_fedoramessaging.build.BuildStateChangeV1"
# Debian's and Fedora's wrapper in /usr/sbin changes to the rabbitmq user; this is the program.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Broker:
    """One RabbitMQ server, which can be stopped and started again with its data."""

    def __init__(
        self, directory: Path, settings: Mapping[str, int] | None = None, address: str = "127.0.0.1"
    ) -> None:
        assert PROGRAM.exists(), "no RabbitMQ here: apt-get install rabbitmq-server"
        self._directory = directory
        self._address = address
        self.port = free_port()
        self._epmd_port, self._dist_port = free_port(), free_port()
        self._node = f"srcgit{os.getpid()}x{self.port}@localhost"
        self._server: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": address,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "env"),
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "none",
        }
        (directory / "plugins").write_text("[].\n")
        wanted = {"disk_free_limit": 1_000_000, **(settings or {})}
        terms = ", ".join(f"{{{name}, {value}}}" for name, value in wanted.items())
        terms += ", {loopback_users, []}"  # guest may come from another host
        (directory / "advanced.config").write_text(f"[{{rabbit, [{terms}]}}].\n")
        self._epmd = subprocess.Popen(
            ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{self._address}:{self.port}/%2F?connection_attempts=3&retry_delay=1"

    def start(self) -> None:
        with (self._directory / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [str(PROGRAM)],
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while True:
            assert self._server.poll() is None, (self._directory / "output").read_text()[-2000:]
            assert time.monotonic() < deadline, (self._directory / "output").read_text()[-2000:]
            try:
                with self.channel():
                    return
            except (AMQPError, OSError):
                time.sleep(0.2)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._server is None:
            return
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._server.pid, number)
        try:
            self._server.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None

    def close(self) -> None:
        self.stop(signal.SIGKILL)
        self._epmd.kill()
        self._epmd.wait()

    def log(self) -> str:
        """Return what the server has written of itself."""
        return "".join(file.read_text() for file in (self._directory / "log").glob("*.log"))

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        parameters = pika.ConnectionParameters(
            self._address, self.port, socket_timeout=5, blocked_connection_timeout=10
        )
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def version(self, channel: BlockingChannel) -> tuple[int, ...]:
        """Return the server's version, as it says it at the beginning of a connection."""
        told = channel.connection._impl.server_properties["version"]
        text = told.decode() if isinstance(told, bytes) else told
        return tuple(int(part) for part in text.split(".")[:2])

    def queue(self, name: str, pattern: str = "#") -> None:
        """Declare a durable queue, as Fedora's administrators do for a service."""
        with self.channel() as channel:
            channel.queue_declare(name, durable=True)
            channel.queue_bind(name, "amq.topic", pattern)

    def length(self, name: str) -> int:
        """Return how many messages are ready for a consumer in the queue."""
        with self.channel() as channel:
            count: int = channel.queue_declare(name, passive=True).method.message_count
            return count

    def take(self, name: str) -> list[tuple[str, Any]]:
        """Take all messages from a queue: (topic, body)."""
        return [(topic, body) for _, topic, body in self.take_all(name)]

    def take_all(self, name: str) -> list[tuple[str, str, Any]]:
        """Take all messages from a queue: (message id, topic, body)."""
        taken: list[tuple[str, str, Any]] = []
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(name, auto_ack=True)
                if method is None:
                    return taken
                taken.append((properties.message_id, method.routing_key, json.loads(body)))

    def send(
        self,
        body: bytes | Mapping[str, Any],
        *,
        topic: str = TOPIC,
        schema: str | None = SCHEMA,
        encoding: str | None = "utf-8",
    ) -> None:
        """Send one message to the topic exchange, durable, confirmed; anything at all."""
        self.send_all([body], topic=topic, schema=schema, encoding=encoding)

    def send_all(
        self,
        bodies: list[bytes | Mapping[str, Any]],
        *,
        topic: str = TOPIC,
        schema: str | None = SCHEMA,
        encoding: str | None = "utf-8",
    ) -> None:
        headers: dict[str, Any] = {"fedora_messaging_severity": 20, "priority": 0}
        if schema:
            headers["fedora_messaging_schema"] = schema
            headers["fedora_messaging_schema_package"] = "koji_fedoramessaging_messages"
        with self.channel() as channel:
            for body in bodies:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                properties = pika.BasicProperties(
                    content_type="application/json",
                    content_encoding=encoding,
                    delivery_mode=2,
                    message_id=str(uuid.uuid4()),
                    headers=headers,
                )
                channel.basic_publish("amq.topic", topic, data, properties)


@contextmanager
def running(
    settings: Mapping[str, int] | None = None, address: str = "127.0.0.1"
) -> Iterator[Broker]:
    """Run a broker for the time of the block; ``settings`` are of the application rabbit."""
    directory = Path(tempfile.mkdtemp(prefix="srcgit-amqp-"))
    broker = Broker(directory, settings, address)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
        shutil.rmtree(directory, ignore_errors=True)
