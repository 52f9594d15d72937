"""The conditions of a run: date, versions and machine."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import time
from pathlib import Path
from statistics import median

import zmq

import stock
from benchmarks.contenders import STATE
from fedmsg_relay import __version__

ROOT = Path(__file__).resolve().parent.parent
SYNCS = 200


def describe() -> dict[str, str]:
    """Date, versions and machine."""
    STATE.mkdir(parents=True, exist_ok=True)
    stock_versions = _output(
        str(stock.command("python")),
        "-c",
        "import importlib.metadata as m; print('fedmsg', m.version('fedmsg'), '- pyzmq', m.version('pyzmq'))",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    processor = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?: ?")
    changed = " with changes" if _output("git", "status", "--porcelain", "src", "benchmarks") else ""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "revision": _output("git", "rev-parse", "--short", "HEAD") + changed,
        "fedmsg-relay": __version__,
        "stock": stock_versions,
        "python": platform.python_version(),
        "pyzmq": f"{zmq.__version__}, libzmq {zmq.zmq_version()}",
        "sqlite": sqlite3.sqlite_version,
        "processor": f"{processor.partition(':')[2].strip()}, {os.cpu_count()} cores",
        "memory": f"{memory / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "disk": f"{_output('stat', '-f', '-c', '%T', str(STATE))}, {1000 * _sync_seconds():.2f} ms for a sync of 4 kB",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def _sync_seconds() -> float:
    """Median time of a write of 4 kB and its sync where the journal will be."""
    path = STATE / "sync"
    seconds = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - started)
    path.unlink()
    return median(seconds)
