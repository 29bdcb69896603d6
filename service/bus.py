"""The bus: the one place that consumes and publishes with fedora-messaging, on Twisted's reactor.

What becomes of a message (fedora_messaging/twisted/consumer.py): returning acknowledges it,
HaltConsumer with ``requeue`` puts it back and ends consuming. Nothing else is ever raised here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import fedora_messaging.config
from fedora_messaging import api
from fedora_messaging.exceptions import BaseException as BusError
from fedora_messaging.exceptions import ConfigurationException, ConnectionException, HaltConsumer
from fedora_messaging.message import Message
from fedora_messaging.twisted import consumer as consumer_module
from fedora_messaging.twisted import service as service_module
from fedora_messaging.twisted.factory import FedoraMessagingFactoryV2
from pika import BasicProperties
from twisted.internet import defer, error, reactor, task, threads
from twisted.python.failure import Failure

from converter.errors import CannotWork, WrongUsage
from service import logs
from service.consumer import LARGEST, Intake
from service.database import JournalUnusable
from service.journal import Journal, Row
from service.messages import announcement
from service.systemd import notify, watchdog

log = logging.getLogger(__name__)

library: Any = consumer_module
connecting: Any = service_module
RECONNECT = 15  # seconds at most between attempts; Twisted's own limit is an hour
PUBLISH = 30.0  # seconds for one announcement
EVERY = 5.0  # seconds between looks for something to announce
SIGN = 30.0  # seconds between signs of life; systemd may want them sooner


class Unreadable(Message):
    """A message that the library would drop without a word, or fall over for ever."""

    def __init__(self, topic: str, properties: BasicProperties, data: bytes, why: str) -> None:
        super().__init__(topic=topic, properties=properties)
        self.data = data
        self.why = why


def read(topic: str, properties: BasicProperties, data: bytes) -> Message:
    """Read a message as the library does, but give back what it cannot read, too.

    Its own get_message raises for a body that breaks its schema (the message is then dropped), for
    an unknown encoding or deep nesting (it then comes back for ever), and logs whole bodies.
    """
    if len(data) > LARGEST:
        return Unreadable(topic, properties, data, f"{len(data)} bytes, at most {LARGEST} are read")
    try:
        message: Message = _get_message(topic, properties, data)
    except Exception as error:
        return Unreadable(topic, properties, data, f"cannot be read: {error!r:.500}")
    return message


_get_message = library.get_message


class Connections(FedoraMessagingFactoryV2):
    """Connections as the library makes them, and a word about each that cannot be had."""

    maxDelay = RECONNECT

    def __init__(self, tell: Callable[[str], None], *args: Any) -> None:
        super().__init__(*args)
        self._tell = tell

    def buildProtocol(self, addr: Any) -> Any:
        """Make one. A handshake that fails, and that nobody waits for, is else an unhandled error."""
        made = super().buildProtocol(addr)
        self.when_connected().addErrback(self._told)
        return made

    def _told(self, failure: Failure) -> None:
        self._tell(_words(failure.value))

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """No connection over TCP."""
        self._tell(reason.getErrorMessage())
        super().clientConnectionFailed(connector, reason)  # type: ignore[no-untyped-call]

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """A connection, or an attempt at TLS, has ended."""
        self._tell(reason.getErrorMessage())
        super().clientConnectionLost(connector, reason)  # type: ignore[no-untyped-call]


def _words(error: BaseException | None) -> str:
    """Return what an exception says; some of the library's keep it to themselves."""
    return str(getattr(error, "reason", None) or error) or repr(error)


class Bus:
    """Consumes into an intake and announces what the journal has settled, until told to stop."""

    def __init__(
        self, intake: Intake, journal: Journal, name: str, *, announce: bool, lease: float
    ) -> None:
        """``name`` is this process's own; an announcement is its for ``lease`` seconds."""
        self._intake = intake
        self._journal = journal
        self._name = name
        self._announcing = announce
        self._lease = lease
        self._failure: CannotWork | None = None
        self._stopping = False
        self._consumers: list[consumer_module.Consumer] = []
        self._troubles: list[str] = []  # why there is no connection, each told once

    def run(self, before_stop: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT; ``before_stop`` is then called once, in a thread.

        Call configure() first. Raises CannotWork when the broker or the journal ends it.
        """
        library.get_message = read
        connecting.FedoraMessagingFactoryV2 = partial(Connections, self._not_connected)
        trigger: Any = reactor
        trigger.addSystemEventTrigger("before", "shutdown", self._stop)  # before the library's own
        self._consume().addErrback(self._ended)
        loops = [task.LoopingCall(self._sign)]
        if self._announcing:
            loops.append(task.LoopingCall(self._announce))
        for loop, seconds in zip(loops, (min(SIGN, watchdog() / 2), EVERY), strict=False):
            loop.start(seconds, now=False).addErrback(self._ended)
        trigger.addSystemEventTrigger("before", "shutdown", threads.deferToThread, before_stop)
        trigger.callWhenRunning(notify, "READY=1")
        trigger.run()
        if self._failure:
            raise self._failure

    def _callback(self, message: Message) -> None:
        """Runs in a thread of the reactor's pool, one message at a time."""
        try:
            if isinstance(message, Unreadable):
                self._intake.refuse(message.topic, message.why, message.data)
            else:
                self._intake(message.topic, message.body)
        except JournalUnusable as error:
            self._failure = error
            raise HaltConsumer(error.exit_code, error.what, requeue=True) from error

    @defer.inlineCallbacks
    def _consume(self) -> Generator[defer.Deferred[Any], Any, None]:
        """Begin to consume, however long it takes until there is a connection."""
        clock: Any = reactor
        while not self._consumers:
            try:
                self._consumers = yield api.twisted_consume(self._callback)
            except ConnectionException as error:
                self._not_connected(_words(error))
                yield task.deferLater(clock, 1.0)
        log.info("consuming from %s", ", ".join(str(c.queue) for c in self._consumers))
        for consumer in self._consumers:
            consumer.result.addCallbacks(lambda _: None, self._ended)
        yield self._sign()  # rather than half a minute later: what it said last is that it prepares

    def _not_connected(self, why: str) -> None:
        """Tell that there is no connection; the attempts go on."""
        if not self._stopping and why not in self._troubles:
            self._troubles.append(why)
            log.warning("no connection to the broker", extra={"reason": why})
            self._sign().addErrback(self._ended)

    @property
    def _consuming(self) -> bool:
        """Whether messages can come. The library's own word is yes as soon as they could once."""
        channels: list[Any] = [c._channel for c in self._consumers if c.running]
        return any(channel is not None and channel.is_open for channel in channels)

    def _stop(self) -> None:
        self._stopping = True

    def _ended(self, failure: Failure) -> None:
        """Consuming, or one of our loops, has ended for good; as it should, if we are told to stop."""
        if self._failure is None and not self._stopping:
            self._failure = BusUnusable(
                f"the message bus: {type(failure.value).__name__}: {_words(failure.value)}",
                next_step="see the configuration of the queue, and the broker's log",
            )
        try:
            stop: Any = reactor
            stop.stop()
        except error.ReactorNotRunning:
            return

    @defer.inlineCallbacks
    def _sign(self) -> Generator[defer.Deferred[Any], Any, None]:
        consuming = self._consuming
        if consuming:
            self._troubles.clear()
        doing = "consuming" if consuming else "not consuming: no connection to the broker"
        doing += f" ({'; '.join(self._troubles)})" if self._troubles else ""
        notify(f"WATCHDOG=1\nSTATUS={doing}")
        try:
            yield threads.deferToThread(
                self._journal.sign, f"{self._name} intake", doing, halted=not consuming
            )
        except JournalUnusable as error:  # the next message finds out
            log.error("%s", error)

    @defer.inlineCallbacks
    def _announce(self) -> Generator[defer.Deferred[Any], Any, None]:
        clock: Any = reactor
        try:
            while self._consuming:  # of several who wait for a connection, the library forgets some
                row = yield threads.deferToThread(
                    self._journal.to_announce, self._name, self._lease
                )
                if row is None:
                    return
                message = _message(row)
                if message is not None:
                    sent = api.twisted_publish(message)
                    sent.addTimeout(PUBLISH, clock)
                    yield sent
                    log.info("announced", extra={"nvr": row.nvr})
                yield threads.deferToThread(self._journal.announced, row)
        except (JournalUnusable, defer.TimeoutError, BusError) as error:
            log.warning("cannot announce for now", extra={"reason": _words(error)})


def _message(row: Row) -> Message | None:
    """Return the announcement of a row; None, on record, if srcgit cannot make one."""
    try:
        message = announcement(row)
        message.validate()
    except Exception:  # a bug must not hold up the announcements after it
        log.exception("a bug in srcgit: it cannot be announced", extra={"nvr": row.nvr})
        return None
    return message


class BusUnusable(CannotWork):
    """The broker refuses this consumer for good: no such queue, no permission, cancelled."""


def configure(path: Path | None) -> None:
    """Have fedora-messaging read ``path``, its configuration and ours. Raises WrongUsage.

    A ``log_config`` in it is followed; else the log is ours.
    """
    conf = fedora_messaging.config.conf
    try:
        conf.load_config(str(path) if path else None)
        conf.setup_logging()
        default = fedora_messaging.config.DEFAULTS["log_config"]
        if conf["log_config"] == default:
            for name in default["loggers"]:  # through the root's handler, which is ours
                logger = logging.getLogger(name)
                logger.handlers.clear()
                logger.propagate = True
            logs.configure()
    except (ConfigurationException, ValueError, TypeError, KeyError) as error:
        raise WrongUsage(
            f"fedora-messaging refuses its configuration: {error}",
            where=str(path),
            next_step="correct the file",
        ) from error
