"""The real web process on a host in miniature, and a client of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fedmsg_relay.journal import block, position
from fedmsg_relay.journal.store import Journal
from harness import PATIENCE, Host, Process, wait_until
from messages import Message
from relays import ServiceManager

START = 1_790_000_000
"""Unix seconds of the first message of a journal that was filled; the others follow each a minute later."""


@dataclass(frozen=True)
class Answer:
    """What the web process answered."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Web:
    """`fedmsg-relay web`, started the way systemd starts it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.port = host.port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._systemd = ServiceManager(host.directory / "run")  # a bridge has that of home
        self.process: Process | None = None
        with host.settings_file.open("a") as settings:
            settings.write(f'\n[http]\nlisten = ["tcp://127.0.0.1:{self.port}"]\n')

    def start(self) -> Web:
        self._systemd.forget()
        options = ("--settings", self.host.settings_file)
        process = self.host.start("fedmsg-relay", "web", *options, env={"NOTIFY_SOCKET": str(self._systemd.path)})
        self.process = process

        def ready_or_dead() -> bool:
            return "READY=1" in self._systemd.listen() or not process.alive()

        wait_until(ready_or_dead, "the web process is ready")
        assert process.alive(), f"the web process ended: {process.stderr()}"
        return self

    @property
    def running(self) -> Process:
        assert self.process is not None, "the web process was never started"
        return self.process

    @contextmanager
    def asked(
        self,
        path: str,
        query: Any = (),
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        source: str = "127.0.0.1",
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer that is not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE, source_address=(source, 0))
        try:
            target = f"{path}?{urlencode(query, doseq=True)}" if query else path
            connection.request(method, target, headers=dict(headers or {}))
            yield connection.getresponse()
        finally:
            connection.close()

    def get(self, path: str, query: Any = (), headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
        with self.asked(path, query, headers, method) as response:
            return Answer(response.status, dict(response.getheaders()), response.read())

    def json(self, path: str, **query: Any) -> Any:
        answer = self.get(path, query)
        assert answer.code == 200, answer.body
        return answer.json()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
        self._systemd.close()


def peak_bytes(web: Web) -> int:
    """The most memory that its process has had."""
    status = Path(f"/proc/{web.running.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def fill(host: Host, bodies: list[Message]) -> None:
    """A journal with messages of known times, as a relay would have left it."""
    names = [json.loads(body) for _, body in bodies]
    msg_ids = [name.get("msg_id") if isinstance(name, dict) else None for name in names]
    Journal(host.journal_file).close()
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db, db:
        for seq, ((topic, body), name) in enumerate(zip(bodies, msg_ids, strict=True), 1):
            moment = (START + 60 * (seq - 1)) * 10**6
            block.insert(db, [block.seal(seq, moment, [topic], [body], [name])])
        position.begin(db, 0, len(bodies), position.seal_listeners([]))
