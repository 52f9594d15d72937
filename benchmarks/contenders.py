"""The contenders: our relay, the stock relay, and libzmq's proxy in C, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import stock
from benchmarks.plan import BenchError, Plan
from harness import Host, Process, wait_until
from relays import Relay

TICK = os.sysconf("SC_CLK_TCK")
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 -- the point is that it is memory
STATE = Path(__file__).resolve().parent.parent / ".cache" / "bench"

OURS, OURS_OFF, OURS_TMPFS = "ours", "ours, journal off", "ours, journal in memory"
STOCK, PROXY = "stock", "proxy"
LABELS = {
    OURS: "ours, journaled and synced to disk",
    OURS_OFF: "ours, as it is when its journal cannot be written (every message checked, nothing kept)",
    OURS_TMPFS: "ours, its journal on tmpfs (the journal's work without the disk's)",
    STOCK: "stock fedmsg-relay (keeps nothing)",
    PROXY: "zmq.proxy in C (keeps and checks nothing)",
}

MEMORY_NEEDED = 8e9
"""Bytes free in memory for a journal there: it would be no fair journal if it had to be trimmed."""


class Contender:
    """A relay of some kind, on a host in miniature with ports of its own.

    Args:
        name: OURS, OURS_OFF, OURS_TMPFS, STOCK or PROXY.
        settings: the relay.toml of ours.
    """

    def __init__(self, name: str, settings: str = "") -> None:
        self.name = name
        self.host = Host()
        self.host.configure_submit()
        self.host.settings_file.write_text(settings)
        self.relay: Relay | None = None
        self._state: Path | None = None
        self._process: Process | None = None
        if name in (OURS, OURS_TMPFS):
            STATE.mkdir(parents=True, exist_ok=True)
            self._state = Path(tempfile.mkdtemp(prefix="state-", dir=STATE if name == OURS else MEMORY_DISK))
            self.relay = Relay(self.host, env={"STATE_DIRECTORY": str(self._state)})
        elif name == OURS_OFF:
            self.relay = Relay(self.host, env={"STATE_DIRECTORY": "/dev/null/nowhere"})

    def start(self) -> None:
        if self.relay:
            self.relay.start()
            self._process = self.relay.running
        elif self.name == STOCK:
            self._process = stock.StockRelay(self.host).process
        else:
            proxy = Path(__file__).with_name("proxy.py")
            self._process = self.host.start(sys.executable, proxy, self.host.inbound, self.host.outbound)
            wait_until(lambda: "bound" in self.process.stdout(), "the proxy is bound")

    def restart(self, how: signal.Signals) -> None:
        """End it with this signal and start it again."""
        self.process.stop(how)
        self.start()

    @property
    def process(self) -> Process:
        if self._process is None:
            raise BenchError(f"{self.name} was never started")
        return self._process

    @property
    def journal(self) -> Path:
        if self._state is None:
            raise BenchError(f"{self.name} has no journal")
        return self._state / "journal.db"

    def cpu(self) -> float:
        """Seconds of CPU that the relay's process has used, all its threads together."""
        return cpu_of(self.process.pid)

    def memory(self) -> int:
        """Resident bytes (VmRSS)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def check_journaled(self) -> None:
        """Ours must have journaled all that it forwarded (or none of it), or its numbers are of another work."""
        if self.relay is None:
            return
        messages = self.relay.messages()
        if messages["journaled" if self.name == OURS_OFF else "unjournaled"]:
            raise BenchError(f"{self.name} did not do with its journal what was to be measured: {messages}")

    def close(self) -> None:
        if self.relay:
            self.relay.running.kill()
            self.relay.systemd.close()
        self.host.close()
        if self._state:
            shutil.rmtree(self._state)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def possible(plan: Plan, names: Sequence[str]) -> list[str]:
    """The contenders that this machine has room for; a missing one is noted."""
    available = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
    free = min(1024 * available, shutil.disk_usage(MEMORY_DISK).free) if MEMORY_DISK.is_dir() else 0
    if free >= MEMORY_NEEDED or OURS_TMPFS not in names:
        return list(names)
    plan.note(
        f"{OURS_TMPFS}: has no part, {free / 1e9:.0f} GB are free in {MEMORY_DISK}, not {MEMORY_NEEDED / 1e9:.0f}"
    )
    return [name for name in names if name != OURS_TMPFS]


@contextmanager
def running(names: Sequence[str], settings: str = "") -> Iterator[dict[str, Contender]]:
    """These contenders, started; an idle one takes no CPU, so they can stand side by side."""
    with ExitStack() as stack:
        contenders = {}
        for name in names:
            contenders[name] = Contender(name, settings)
            stack.callback(contenders[name].close)
            contenders[name].start()
        yield contenders
        for contender in contenders.values():
            contender.check_journaled()
