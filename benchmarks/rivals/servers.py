"""The servers of the rivals, each on a free port of 127.0.0.1 and with a directory on the journal's disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from benchmarks import peers
from benchmarks.contenders import STATE, cpu_of
from benchmarks.plan import BenchError
from harness import Host, Process, wait_until

START_SECONDS = 120
"""RabbitMQ takes ten on a quiet machine."""
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's; /usr/sbin has one that only runs as another user."""


class Server(ABC):
    """A server that this run starts and ends."""

    def __init__(self) -> None:
        STATE.mkdir(parents=True, exist_ok=True)
        self.host = Host()
        self.port = self.host.port()
        self.directory = Path(tempfile.mkdtemp(prefix="rival-", dir=STATE))

    def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            BenchError: it did not start.
        """
        process = self._run()

        def listens() -> bool:
            if not process.alive():
                said = (process.stderr() or process.stdout()).strip().rpartition("\n")[2]
                raise BenchError(f"{type(self).__name__} does not start: {said.rpartition(': ')[2]}")
            return peers.accepts(self.port)

        wait_until(listens, f"{type(self).__name__} is up", START_SECONDS)
        self.process = process

    @abstractmethod
    def _run(self) -> Process:
        """Start its process."""

    @property
    def pid(self) -> int:
        """The process that does the work."""
        return self.process.pid

    def cpu(self) -> float:
        return cpu_of(self.pid)

    def close(self) -> None:
        self.host.close()
        shutil.rmtree(self.directory, ignore_errors=True)  # what it still wrote when it was killed


class Redis(Server):
    """Redis with its append-only file synced before it answers. It makes no snapshots: the file is what keeps."""

    def _run(self) -> Process:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        return self.host.start(found("redis-server"), *options, env=peers.environment())


class Nats(Server):
    """nats-server with JetStream.

    Args:
        sync: its ``sync_interval``; without one the default holds.
    """

    def __init__(self, sync: str | None = None) -> None:
        super().__init__()
        setting = f"sync_interval: {sync}\n" if sync else ""
        text = f"listen: 127.0.0.1:{self.port}\njetstream {{\nstore_dir: {self.directory}\n{setting}}}\n"
        self.config = self.host.write("nats.conf", text)

    def _run(self) -> Process:
        return self.host.start(found("nats-server"), "-c", self.config, env=peers.environment())


class RabbitMq(Server):
    """RabbitMQ without systemd, set up as its package has it; the broker of the tests has settings of its own.

    It has an epmd of its own: else it would start one that outlives it.
    """

    _group: Process | None = None

    def _run(self) -> Process:
        epmd, node, tools = (self.host.port() for _ in range(3))
        self.host.write("rabbitmq.conf", f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        self.host.write("enabled_plugins", "[].\n")
        self._pid_file = self.host.directory / "rabbitmq.pid"
        mapper = self.host.start(found("epmd"), "-address", "127.0.0.1", "-port", str(epmd))
        wait_until(lambda: peers.accepts(epmd) or not mapper.alive(), "epmd is up")
        here = self.host.directory
        env = {
            "HOME": str(self.directory),  # for its cookie
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "RABBITMQ_DIST_PORT": str(node),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(tools),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(tools),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._group = self.host.start("/usr/bin/setsid", RABBITMQ, env=env)  # a group that can be ended as one
        return self._group

    @property
    def pid(self) -> int:
        return int(self._pid_file.read_text())

    def close(self) -> None:
        if self._group:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, subprocess.TimeoutExpired):
                os.kill(self.pid, signal.SIGTERM)
                self._group.wait()
            with contextlib.suppress(ProcessLookupError):  # there is no group: it has ended, or not made one yet
                os.killpg(self._group.pid, signal.SIGKILL)
        super().close()


def found(name: str) -> str:
    """Where a program is.

    Raises:
        BenchError: it is not there.
    """
    path = peers.program(name)
    if path is None:
        raise BenchError(f"{name} is not installed")
    return path
