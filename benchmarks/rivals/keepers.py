"""All that keep what they take: our relay and the rivals, by the same few questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import peers
from benchmarks.cold import TEXT, logged
from benchmarks.contenders import OURS, Contender
from benchmarks.load import Listener, join
from benchmarks.plan import BenchError, Plan
from benchmarks.rivals import scripts
from benchmarks.rivals.amqp import Amqp
from benchmarks.rivals.client import Client
from benchmarks.rivals.dialects import JetStream, Resp, Submit
from benchmarks.rivals.servers import RABBITMQ, Nats, RabbitMq, Redis, Server
from benchmarks.work import TOPIC, Work, judge
from fedmsg_relay import __version__
from harness import Host, locate

REDIS = "Redis stream, appendfsync always"
JETSTREAM_ALWAYS, JETSTREAM = "JetStream, sync_interval always", "JetStream, default sync_interval"
CLASSIC, QUORUM = "RabbitMQ, classic queue", "RabbitMQ, quorum queue"


class Keeper(ABC):
    """A server that answers when it has a message.

    Attributes:
        name: the name in the tables.
        keeps: how it was told to keep.
        version: of its server.
    """

    name: str
    keeps: str
    version: str

    @abstractmethod
    def client(self) -> Client:
        """A new connection."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process that does the work."""

    @abstractmethod
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""

    @abstractmethod
    def begin(self) -> None:
        """Messages are about to come."""

    @abstractmethod
    def attend(self, work: Work) -> None:
        """This work comes now."""

    @abstractmethod
    def verdict(self, work: Work) -> str:
        """Whether it has all of a work. After this it is as before."""

    @abstractmethod
    def script(self, host: Host) -> tuple[list[str], Mapping[str, str]]:
        """A command that publishes TEXT, waits for the receipt and ends, and its environment on a host."""

    @abstractmethod
    def lost(self, texts: Sequence[str]) -> int:
        """How many of the messages that scripts published it does not have. After this it is as before."""


class Relay(Keeper):
    """Our relay. It does not only keep: it publishes to a listener, as is its purpose."""

    name, keeps, version = OURS, "journal, synced", __version__

    def __init__(self, contender: Contender) -> None:
        self.contender = contender

    def client(self) -> Client:
        return Submit(int(self.contender.host.submit.rpartition(":")[2]))

    @property
    def pid(self) -> int:
        return self.contender.process.pid

    def cpu(self) -> float:
        return self.contender.cpu()

    def begin(self) -> None:
        self._listener = Listener(self.contender.host.outbound)
        join(self.contender.host.inbound, self._listener)

    def attend(self, work: Work) -> None:
        self._listener.take(work.length * work.total)

    def verdict(self, work: Work) -> str:
        verdict = judge(work, self._listener.bodies())
        self._listener.close()
        return str(verdict)

    def script(self, host: Host) -> tuple[list[str], Mapping[str, str]]:
        here = self.contender.host
        host.configure(inbound=[here.inbound], outbound=[here.outbound], relay_submit=[here.submit])
        return [locate("fedmsg-logger"), "--message", TEXT], host.environment()

    def lost(self, texts: Sequence[str]) -> int:
        return len(set(texts) - set(logged(self._listener, len(texts))))


class Rival(Keeper):
    """A rival, which has nobody to publish to."""

    def __init__(self, name: str, keeps: str, server: Server) -> None:
        self.name, self.keeps, self._server = name, keeps, server
        self.version = self.prepare()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def pid(self) -> int:
        return self._server.pid

    def cpu(self) -> float:
        return self._server.cpu()

    @abstractmethod
    def prepare(self) -> str:
        """Make the place where messages go; the server's version."""

    @abstractmethod
    def kept(self) -> int:
        """How many messages are there."""

    @abstractmethod
    def clear(self) -> None:
        """Remove them."""

    def begin(self) -> None:
        pass

    def attend(self, work: Work) -> None:
        pass

    def verdict(self, work: Work) -> str:
        kept = self.kept()
        self.clear()
        return "all kept" if kept == work.total else f"{kept:,} kept of {work.total:,}"

    @abstractmethod
    def command(self) -> list[str]:
        """A command that publishes TEXT, waits for the receipt and ends."""

    def script(self, host: Host) -> tuple[list[str], Mapping[str, str]]:
        return self.command(), host.environment()

    def lost(self, texts: Sequence[str]) -> int:
        kept = self.kept()
        self.clear()
        return len(texts) - kept


class RedisStream(Rival):
    """A stream of Redis."""

    def client(self) -> Resp:
        return Resp(self.port)

    def prepare(self) -> str:
        self._admin = self.client()
        return self._admin.version()

    def kept(self) -> int:
        return int(self._admin.command(b"XLEN", TOPIC).removeprefix(b":"))

    def clear(self) -> None:
        self._admin.command(b"DEL", TOPIC)

    def command(self) -> list[str]:
        return scripts.with_redis(self.port)


class NatsStream(Rival):
    """A stream of JetStream."""

    def client(self) -> JetStream:
        return JetStream(self.port)

    def prepare(self) -> str:
        admin = self.client()
        subjects = [TOPIC.decode()]
        admin.call("CREATE", name=JetStream.STREAM, subjects=subjects, storage="file", num_replicas=1)
        admin.close()
        return str(admin.info["version"])

    def kept(self) -> int:
        return int(self._call("INFO")["state"]["messages"])

    def clear(self) -> None:
        self._call("PURGE")

    def command(self) -> list[str]:
        return scripts.with_nats(self.port)

    def _call(self, name: str) -> dict[str, Any]:
        admin = self.client()  # a new one, as the server hangs up on who does not answer its pings
        answer = admin.call(name)
        admin.close()
        return answer


class RabbitQueue(Rival):
    """A durable queue of RabbitMQ."""

    def client(self) -> Amqp:
        return Amqp(self.port, self.name)

    def prepare(self) -> str:
        self._admin = self.client()
        self._admin.declare({CLASSIC: "classic", QUORUM: "quorum"}[self.name])
        return self._admin.version

    def kept(self) -> int:
        return self._admin.waiting()

    def clear(self) -> None:
        self._admin.purge()

    def command(self) -> list[str]:
        return scripts.with_pika(self.port, self.name)


@contextmanager
def standing(plan: Plan) -> Iterator[dict[str, Keeper]]:
    """Our relay, and each rival that is there, started; each that is not is noted."""
    peers.fetch(plan, ("nats-server", "redis-server"))
    with ExitStack() as stack:
        relay = Contender(OURS)
        stack.callback(relay.close)
        relay.start()
        keepers: list[Keeper] = [Relay(relay)]
        keepers += _rivals(plan, stack)
        yield {keeper.name: keeper for keeper in keepers}
        relay.check_journaled()


def _rivals(plan: Plan, stack: ExitStack) -> Iterator[Keeper]:
    def starts(server: Server, names: str) -> bool:
        stack.callback(server.close)
        plan.say(f"starting {names}")
        try:
            server.start()
        except (AssertionError, BenchError) as error:  # the harness asserts
            plan.note(f"{names}: not measured: {error}")
            return False
        return True

    if peers.program("nats-server"):
        if starts(synced := Nats("always"), JETSTREAM_ALWAYS):
            yield NatsStream(JETSTREAM_ALWAYS, "file store, synced before the receipt", synced)
        if starts(unsynced := Nats(), JETSTREAM):
            yield NatsStream(JETSTREAM, "file store, synced now and then", unsynced)
    if peers.program("redis-server") and starts(redis := Redis(), REDIS):
        yield RedisStream(REDIS, "append-only file, synced before the receipt", redis)
    if plan.quick or not RABBITMQ.exists():
        plan.note(
            "RabbitMQ: not measured, " + ("its start takes too long for --quick" if plan.quick else "not installed")
        )
    elif starts(broker := RabbitMq(), "RabbitMQ"):
        for name in (CLASSIC, QUORUM):
            yield RabbitQueue(name, "durable queue, persistent messages, confirms", broker)
