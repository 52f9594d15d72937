"""Servers of other protocols: mosquitto (MQTT) and nats-server for the cold script, and the rivals' programs.

A missing one is named. Where they are not installed and Debian's packages are at hand, these are fetched and unpacked
below .cache/, which needs no root and starts nothing by itself.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

from benchmarks.contenders import STATE
from benchmarks.plan import Plan
from harness import Host, wait_until

PACKAGES = {
    "mosquitto": "mosquitto",
    "mosquitto_pub": "mosquitto-clients",
    "nats-server": "nats-server",
    "redis-server": "redis-server",
}
"""The programs, and the packages that have them."""
ROOT = STATE / "peers"
FETCH_SECONDS = 180


def program(name: str) -> str | None:
    """Where it is: installed, or unpacked by us."""
    places = (os.environ.get("PATH", os.defpath), "/usr/sbin", str(ROOT / "usr" / "bin"), str(ROOT / "usr" / "sbin"))
    return shutil.which(name, path=os.pathsep.join(places))


def environment() -> dict[str, str]:
    """What the unpacked programs need to find their libraries."""
    folders = sorted({str(library.parent) for library in (ROOT / "usr" / "lib").rglob("*.so.*")})
    return {"PATH": os.environ.get("PATH", os.defpath), "LD_LIBRARY_PATH": os.pathsep.join(folders)}


def fetch(plan: Plan, names: Sequence[str]) -> None:
    """Get the programs that are not there, or note that they are not."""
    missing = [PACKAGES[name] for name in names if program(name) is None]
    if not missing:
        return
    if plan.quick:
        plan.note(f"not measured, as --quick fetches nothing: {', '.join(missing)}")
        return
    plan.say(f"fetching Debian's {', '.join(missing)}")
    archives = STATE / "debs"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["--download-only", "--yes", "--quiet", "--no-install-recommends"]
    options += ["-o", "Debug::NoLocking=true", "-o", f"Dir::Cache::Archives={archives}"]
    try:
        subprocess.run(
            ["apt-get", "install", *options, *missing],
            check=True,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        for archive in archives.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", archive, ROOT], check=True, timeout=60)
    except FileNotFoundError as error:
        plan.note(f"not measured, as there is no {error.filename} to fetch them with: {', '.join(missing)}")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        plan.note(f"not measured, as Debian's packages cannot be fetched: {', '.join(missing)} ({reason})")


@contextmanager
def brokers(plan: Plan) -> Iterator[dict[str, int]]:
    """The brokers that are there, started: name and port."""
    fetch(plan, ("mosquitto", "mosquitto_pub", "nats-server"))
    with closing(Host()) as host:
        ports = {}
        for name in ("mosquitto", "nats-server"):
            if path := program(name):
                ports[name] = port = host.port()
                options = ["-p", str(port)] if name == "mosquitto" else ["-a", "127.0.0.1", "-p", str(port)]
                host.start(path, *options, env=environment())
                try:
                    wait_until(partial(accepts, port), f"{name} is up", timeout=10)
                except AssertionError as error:
                    plan.note(f"{name} is not measured: {error}")
                    del ports[name]
        yield ports


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
