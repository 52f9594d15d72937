"""The units that the role renders for every operating system."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fedmsg_relay.daemon import drain
from rendered import SYSTEMS


def test_the_depth_of_the_spool_is_written_where_the_inventory_says(rendered: Path) -> None:
    unit = (rendered / "signer01.example.org-spool.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    assert command.endswith(" spool deliver --spool /var/spool/fedmsg-relay --textfile /srv/node/fedmsg.prom")
    assert re.findall(r"^ReadWritePaths=(.*)$", unit, re.M) == ["/var/spool/fedmsg-relay", "-/srv/node"]
    other = (rendered / "debian13-spool.service").read_text()
    assert re.findall(r"^ExecStart=.*( spool deliver .*)$", other, re.M) == [
        " spool deliver --spool /var/spool/fedmsg-relay"
    ]
    assert re.findall(r"^ReadWritePaths=(.*)$", other, re.M) == ["/var/spool/fedmsg-relay"]


def test_the_spool_is_delivered_in_the_group_that_may_read_the_shell_key(rendered: Path) -> None:
    unit = (rendered / "signer01.example.org-spool.service").read_text()
    assert re.findall(r"^SupplementaryGroups=(.*)$", unit, re.M) == ["sysadmin"]
    assert "SupplementaryGroups" not in (rendered / "debian13-spool.service").read_text()


@pytest.mark.parametrize("name", ["fedmsg-relay.service", "web.service", "bridge.service"])
@pytest.mark.parametrize("host", SYSTEMS)
def test_systemd_counts_at_most_1_5_of_exposure(rendered: Path, host: str, name: str, tmp_path: Path) -> None:
    unit = tmp_path / "fedmsg-relay.service"
    unit.write_bytes((rendered / f"{host}-{name}").read_bytes())
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert "Unknown key" not in scored.stderr


def test_a_relay_may_make_the_socket_of_stocks_monitoring(rendered: Path) -> None:
    unit = (rendered / "debian13-fedmsg-relay.service").read_text()
    assert re.findall(r"^ReadWritePaths=(.*)$", unit, re.M) == ["-/run/fedmsg -/run/monitors"]
    assert re.findall(r"^RuntimeDirectory=(.*)$", unit, re.M) == ["fedmsg-relay"]


@pytest.mark.parametrize("host", SYSTEMS)
def test_systemd_lets_a_relay_take_its_time_to_stop(rendered: Path, host: str) -> None:
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", (rendered / f"{host}-fedmsg-relay.service").read_text(), re.M)
    longest = drain.LONGEST_DRAIN_SECONDS + drain.DRAIN_SECONDS + drain.ABANDON_SECONDS
    assert longest + drain.LINGER_SECONDS + drain.ANSWER_SECONDS + 10 < int(patience)
