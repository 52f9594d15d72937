"""A real RabbitMQ for tests, on free ports, and what tests put into it and find in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pika

from harness import wait_until
from ports import HeldPort

START_SECONDS = 90.0
MAX_MESSAGE_BYTES = 2_000_000
USER, LIMITED = "bridge", "limited"
"""A user who may do anything, and one who may only publish to and read from what tests name so."""

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # not that of /usr/sbin, which is for its own user alone
_CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_TLS = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {directory}/ca.crt
ssl_options.certfile = {directory}/broker.crt
ssl_options.keyfile = {directory}/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_cert_login_from = common_name
auth_mechanisms.1 = EXTERNAL
auth_mechanisms.2 = PLAIN
"""


class Broker:
    """RabbitMQ as a process of its own.

    Args:
        certificates: a directory with ca.crt, broker.crt and broker.key, if it is to listen with TLS as well.
        first: a node of the cluster that it is to belong to.
    """

    def __init__(self, certificates: Path | None = None, first: Broker | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rabbit-"))
        self._first = first or self
        self._ports = [HeldPort() for _ in range(4)]
        self.port, self.tls_port, self._distribution, self._names = (port.number for port in self._ports)
        self.url = f"amqp://{USER}:{USER}@127.0.0.1:{self.port}/%2F"
        self.node = f"n{self.port}@localhost"
        self._server: subprocess.Popen[bytes] | None = None
        self._names_of: subprocess.Popen[bytes] | None = None
        for name in ("mnesia", "log"):
            (self.directory / name).mkdir()
        settings = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            f"load_definitions = {self.directory}/definitions.json",
            "loopback_users = none",
            "disk_free_limit.absolute = 1MB",
            "log.file.level = warning",
            f"max_message_size = {MAX_MESSAGE_BYTES}",
        ]
        if certificates:
            settings.append(_TLS.format(port=self.tls_port, directory=certificates))
        if first:
            settings.append("cluster_formation.peer_discovery_backend = classic_config")
            nodes = enumerate((first.node, self.node), 1)
            settings += [f"cluster_formation.classic_config.nodes.{number} = {node}" for number, node in nodes]
        (self.directory / "rabbitmq.conf").write_text("\n".join(settings) + "\n")
        (self.directory / "enabled_plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n")
        (self.directory / "definitions.json").write_text(json.dumps(_definitions()))

    def start(self) -> Broker:
        """Start it, and wait until it takes connections."""
        self.launch()
        self.wait()
        return self

    def wait(self) -> None:
        wait_until(self._answers, f"RabbitMQ listens: {self.log()[-2000:]}", START_SECONDS)

    def launch(self) -> None:
        """Start it without waiting for it."""
        if self._first is self and self._names_of is None:
            self._names_of = self.popen(["epmd", "-address", "127.0.0.1", "-port", str(self._names)])
        self._server = self.popen([SERVER])

    def popen(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "log" / "out").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, or with SIGKILL end it at once; its queues stay on its disk."""
        assert self._server is not None, "it was never started"
        os.kill(self.pid(), number)
        self._server.wait(START_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        os.kill(self.pid(), number)

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl."""
        done = subprocess.run(
            [_CONTROL, "--quiet", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pid(self) -> int:
        return int((self.directory / "pid").read_text())

    def pids(self) -> list[int]:
        """The leaders of its process groups."""
        return [process.pid for process in self._processes()]

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted((self.directory / "log").iterdir()))

    def close(self) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(START_SECONDS)
        for port in self._ports:
            port.release()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in (self._server, self._names_of) if process]

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            assert self._server is not None, "it was never started"
            assert self._server.poll() is None, self.log()
            return False
        return True

    def _environment(self) -> Mapping[str, str]:
        places = {
            "CONF_ENV_FILE": "/dev/null",
            "CONFIG_FILE": self.directory / "rabbitmq.conf",
            "ADVANCED_CONFIG_FILE": self.directory / "none",
            "ENABLED_PLUGINS_FILE": self.directory / "enabled_plugins",
            "MNESIA_BASE": self.directory / "mnesia",
            "LOG_BASE": self.directory / "log",
            "PID_FILE": self.directory / "pid",
            "NODENAME": self.node,
            "DIST_PORT": self._distribution,
            "SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._first.directory),  # with the cookie, which the nodes of a cluster share
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._first._names),
            **{f"RABBITMQ_{name}": str(value) for name, value in places.items()},
        }


def _definitions() -> dict[str, Any]:
    """Users and rights, which cost a second each with rabbitmqctl."""
    users = [
        {"name": USER, "password": USER, "tags": "administrator"},
        {"name": LIMITED, "password": LIMITED, "tags": ""},
        {"name": "bridge.example.org", "password_hash": "", "tags": ""},
    ]
    full = {"configure": ".*", "write": ".*", "read": ".*"}
    nothing = {"configure": "^$", "write": "^limited", "read": "^limited"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [{"hashing_algorithm": "rabbit_password_hashing_sha256", "limits": {}, **user} for user in users],
        "permissions": [
            {"user": USER, "vhost": "/", **full},
            {"user": LIMITED, "vhost": "/", **nothing},
            {"user": "bridge.example.org", "vhost": "/", "configure": "^$", "write": ".*", "read": ".*"},
        ],
        "topic_permissions": [
            {"user": LIMITED, "vhost": "/", "exchange": "limited", "write": r"^org\.example\.", "read": ".*"}
        ],
    }


class Exchange:
    """An exchange of one test, and its queues, over a connection of the test's own."""

    def __init__(self, broker: Broker, name: str = "") -> None:
        self.broker = broker
        self.name = name or f"test.{uuid.uuid4().hex[:12]}"
        self.url = broker.url
        with self.channel() as channel:
            channel.exchange_declare(self.name, "topic", durable=True)

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of a connection that ends with the block."""
        connection = pika.BlockingConnection(pika.URLParameters(self.broker.url))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def queue(self, name: str = "all", key: str = "#", **arguments: object) -> str:
        """Make a queue that is bound; return its full name."""
        full = f"{self.name}.{name}"
        with self.channel() as channel:
            channel.queue_declare(full, durable=True, arguments=arguments)
            channel.queue_bind(full, self.name, key)
        return full

    def depth(self, queue: str) -> int:
        with self.channel() as channel:
            found: int = channel.queue_declare(queue, passive=True).method.message_count
            return found

    def take(self, queue: str, count: int, timeout: float = 60.0) -> list[Any]:
        """Take all messages of a queue, once it has that many: method, properties and body of each."""
        wait_until(lambda: self.depth(queue) >= count, f"{count} messages in {queue}", timeout)
        taken = []
        with self.channel() as channel:
            while (found := channel.basic_get(queue, auto_ack=True))[0] is not None:
                taken.append(found)
        return taken

    def publish(self, key: str, body: bytes, **properties: Any) -> None:
        with self.channel() as channel:
            channel.basic_publish(self.name, key, body, pika.BasicProperties(**properties))

    def purge(self, queue: str) -> None:
        with self.channel() as channel:
            channel.queue_purge(queue)

    def delete(self) -> None:
        with self.channel() as channel:
            channel.exchange_delete(self.name)


class _Known(Broker):
    """A broker that another process of this run of pytest has started."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.directory = Path(known["directory"])
        self.port, self.url = known["port"], known["url"]


@contextlib.contextmanager
def shared(directory: Path) -> Iterator[Broker]:
    """One broker for all processes of a run of pytest: the first one starts it, the last one ends it."""
    users, known = directory / "broker.users", directory / "broker.json"
    with _locked(directory):
        count = int(users.read_text()) if users.exists() else 0
        if count:
            broker: Broker = _Known(json.loads(known.read_text()))
        else:
            broker = Broker().start()
            facts = {"directory": str(broker.directory), "port": broker.port, "url": broker.url, "pids": broker.pids()}
            known.write_text(json.dumps(facts))
        users.write_text(str(count + 1))
    try:
        yield broker
    finally:
        with _locked(directory):
            left = int(users.read_text()) - 1
            users.write_text(str(left))
            if not left:
                for pid in json.loads(known.read_text())["pids"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                shutil.rmtree(broker.directory, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "broker.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
