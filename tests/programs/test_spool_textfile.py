"""The depth of a host's spool, for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from harness import PATIENCE, Host
from relays import Relay


def test_the_depth_of_the_spool_is_written_for_prometheus(lonely: Host) -> None:
    file = lonely.directory / "fedmsg-relay.prom"
    for number in range(3):
        assert lonely.run("fedmsg-logger", "--message", str(number)).code == 0
    now = time.time()
    ran = lonely.run("fedmsg-relay", "spool", "deliver", "--patience", "1", "--textfile", file)
    assert ran.code == 69
    values = metrics(file)
    assert values["messages"] == 3
    assert now - 60 < values["oldest_timestamp_seconds"] <= now < values["looked_timestamp_seconds"]
    with file.open("rb") as text:
        assert (
            subprocess.run(["promtool", "check", "metrics"], stdin=text, check=False, timeout=PATIENCE).returncode == 0
        )
    with contextlib.closing(Relay(lonely)) as relay:
        relay.start()
        assert lonely.run("fedmsg-relay", "spool", "deliver", "--textfile", file).code == 0
    assert metrics(file)["messages"] == metrics(file)["oldest_timestamp_seconds"] == 0


def test_a_file_that_cannot_be_written_is_one_line(lonely: Host) -> None:
    ran = lonely.run("fedmsg-relay", "spool", "deliver", "--textfile", lonely.directory / "none" / "x.prom")
    assert ran.code == 69
    assert "none/.x.prom.new: No such file or directory" in ran.one_error_line()


def metrics(file: Path) -> dict[str, float]:
    lines = [line.split() for line in file.read_text().splitlines() if not line.startswith("#")]
    return {name.removeprefix("fedmsg_relay_spool_"): float(value) for name, value in lines}
