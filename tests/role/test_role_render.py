"""The files of the role, rendered for every operating system: which there are, and who wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rendered import SYSTEMS

UNITS = "/etc/systemd/system"


@pytest.mark.parametrize("host", [*SYSTEMS, "signer01.example.org"])
def test_the_plan_has_the_text_of_each_file_at_its_path(rendered: Path, host: str) -> None:
    planned = json.loads((rendered / f"{host}-planned").read_text())
    written = {"/etc/fedmsg.d/relay.py": "relay.py", "/etc/logrotate.d/fedmsg-relay": "logrotate"}
    units = {
        f"{UNITS}/fedmsg-relay.service": "fedmsg-relay.service",
        f"{UNITS}/fedmsg-relay-spool.service": "spool.service",
        f"{UNITS}/fedmsg-relay-web.service": "web.service",
        f"{UNITS}/fedmsg-relay-bridge.service": "bridge.service",
    }
    for path, name in {**written, **units}.items():
        assert planned.pop(path) == (rendered / f"{host}-{name}").read_text()
    assert set(planned) == {f"{UNITS}/fedmsg-relay-spool.path", f"{UNITS}/fedmsg-relay-spool.timer"}
    assert all(f"[{path.rpartition('.')[2].title()}]" in text for path, text in planned.items())


@pytest.mark.parametrize("host", SYSTEMS)
def test_every_file_names_its_writer(rendered: Path, host: str) -> None:
    for name in ("relay.py", "relay.toml", "fedmsg-relay.service", "logrotate"):
        first = (rendered / f"{host}-{name}").read_text().splitlines()[0]
        assert first.startswith("# Ansible managed: role fedmsg_relay"), name


@pytest.mark.parametrize(
    ("host", "python", "package"),
    [
        ("debian12", "/usr/bin/python3", "python3-venv"),
        ("debian13", "/usr/bin/python3", "python3-venv"),
        ("rhel9", "/usr/bin/python3.11", "python3.11"),
        ("rocky9", "/usr/bin/python3.11", "python3.11"),
        ("rhel10", "/usr/bin/python3", "python3"),
        ("fedora43", "/usr/bin/python3", "python3"),
    ],
)
def test_each_system_gets_a_python_that_is_new_enough(rendered: Path, host: str, python: str, package: str) -> None:
    system = json.loads((rendered / f"{host}-system").read_text())
    assert system["python"] == python
    assert package in system["packages"]
    assert "logrotate" in system["packages"]
