"""The real bridge on a host in miniature, beside its relay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from broker import Exchange
from harness import Host, Process, Ran, wait_until
from messages import Message
from relays import ServiceManager

PATIENCE = 90.0


class Bridge:
    """`fedmsg-relay bridge`, started the way systemd starts it."""

    def __init__(self, host: Host, exchange: Exchange, url: str = "", **settings: str | int | Sequence[str]) -> None:
        self.host = host
        self.exchange = exchange
        self._systemd = ServiceManager(host.directory / "home")
        self.process: Process | None = None
        self.configure(amqp_url=[url or exchange.url], exchange=exchange.name, **settings)

    def configure(self, **settings: str | int | Sequence[str]) -> None:
        """Write [bridge]; nothing of this machine's own settings is used."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in {"fedora_messaging": "", **settings}.items()]
        self.host.write("relay.toml", "\n".join(["[bridge]", *lines, ""]))

    def command(self, *arguments: str) -> list[str | Path]:
        return ["fedmsg-relay", "bridge", *arguments, "--settings", self.host.settings_file]

    def start(self, *options: str) -> Bridge:
        self._systemd.forget()
        env = {"NOTIFY_SOCKET": str(self._systemd.path), "LOGS_DIRECTORY": ""}
        process = self.process = self.host.start(*self.command(*options), env=env)
        wait_until(lambda: "READY=1" in self._systemd.listen() or not process.alive(), "the bridge is ready", PATIENCE)
        assert process.alive(), f"the bridge ended: {process.stderr()}"
        return self

    @property
    def running(self) -> Process:
        assert self.process is not None, "the bridge was never started"
        return self.process

    def kill(self) -> None:
        self.running.kill()

    def stop(self) -> int:
        return self.running.stop()

    def peak(self) -> int:
        """The most bytes of memory that it has had."""
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def log(self) -> str:
        return self.running.stderr()

    def wait_for_log(self, words: str) -> None:
        wait_until(lambda: words in self.log(), f"{words!r} in the log of the bridge", PATIENCE)

    def ask(self, *options: str) -> Ran:
        return self.host.run(*self.command("status", *options))

    def acknowledge(self) -> Ran:
        return self.host.run(*self.command("acknowledge")[:3])

    def retry(self) -> Ran:
        return self.host.run(*self.command("retry")[:3])

    def status(self) -> Any:
        ran = self.ask("--json")
        assert ran.stdout, ran.stderr
        return json.loads(ran.stdout)

    def wait_for(self, part: str = "forward", timeout: float = PATIENCE, **expected: object) -> Any:
        """Wait until the status says all this of a part; return the status."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.status())
            told = found.get(part) or {}
            return all(told.get(name) == value for name, value in expected.items())

        try:
            wait_until(there, f"{part} is {expected}", timeout)
        except AssertionError as late:
            raise AssertionError(f"{late}; it is {found.get(part)}; log: {self.log()[-3000:]}") from None
        return found

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
        self._systemd.close()


def names(taken: Sequence[Any]) -> list[str]:
    """The message_id of each message that was taken from a queue, but for the marks of the harness."""
    return [name for _, properties, _ in taken if not (name := properties.message_id).startswith("2026-mark-")]


def expected(messages: Sequence[Message]) -> list[str]:
    """The msg_id of each message."""
    return [json.loads(body)["msg_id"] for _, body in messages]


def first_copies(found: Sequence[str]) -> list[str]:
    """Each once, in the order of the first copies."""
    return list(dict.fromkeys(found))
