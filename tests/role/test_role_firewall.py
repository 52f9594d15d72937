"""The ports that the role opens in firewalld: those of the settings, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fedmsg_relay_firewall import Seen, commands, look
from fedmsg_relay_plan.firewall import open_ports

BINDS = {"inbound": ["tcp://app01:9941"], "outbound": ["tcp://*:3999"], "submit": ["tcp://[fd00::17]:9942"]}
NAME = "fedmsg-relay"
OPEN = ("3999/tcp", "9941/tcp", "9942/tcp")
PORTS = [3999, 9941, 9942]


@pytest.mark.parametrize(
    ("binds", "settings", "web", "ports"),
    [
        (BINDS, {}, False, PORTS),
        (BINDS, {}, True, [*PORTS, 9943]),
        (BINDS, {"http": {"listen": ["tcp://*:8080", "tcp://127.0.0.1:9000"]}}, True, [3999, 8080, 9941, 9942]),
        (BINDS, {"http": {"listen": ["tcp://*:8080"]}}, False, PORTS),
        ({**BINDS, "inbound": ["tcp://app01:9951", "tcp://*:9941"]}, {}, False, [3999, 9941, 9942, 9951]),
        ({**BINDS, "inbound": ["tcp://127.0.0.1:1", "tcp://[::1]:2", "tcp://localhost:3"]}, {}, False, [3999, 9942]),
        ({"inbound": ["ipc:///run/x", "tcp://*:*"]}, {}, False, []),
        ({}, {}, False, []),
    ],
)
def test_the_ports_are_those_that_others_reach(
    binds: dict[str, Any], settings: dict[str, Any], web: bool, ports: list[int]
) -> None:
    assert open_ports(binds, settings, web=web) == ports


class Firewalld:
    """Answers as firewall-cmd does, for one service."""

    def __init__(self) -> None:
        self.zones: dict[str, set[str]] = {"public": {"ssh"}, "internal": {"ssh"}}
        self.services: dict[str, set[str]] = {"ssh": {"22/tcp"}}
        self.reloads = 0
        self._loaded = self._copy()

    def _copy(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        return (
            {name: set(services) for name, services in self.zones.items()},
            {name: set(ports) for name, ports in self.services.items()},
        )

    def __call__(self, arguments: Sequence[str]) -> tuple[int, str]:
        flags = dict(argument.lstrip("-").partition("=")[::2] for argument in arguments)
        zones, services = (self.zones, self.services) if "permanent" in flags else self._loaded
        answers = {
            "get-default-zone": "public",
            "get-zones": " ".join(zones),
            "get-services": " ".join(services),
            "get-ports": " ".join(services.get(flags.get("service", ""), ())),
        }
        for flag, answer in answers.items():
            if flag in flags:
                return 0, answer
        if "query-service" in flags:
            return (0, "yes") if flags["query-service"] in zones[flags["zone"]] else (1, "no")
        if "info-service" in flags:
            known = flags["info-service"] in services
            return (0, f"x\n  ports: {' '.join(services[flags['info-service']])}\n") if known else (101, "")
        self._change(flags)
        return 0, "success"

    def _change(self, flags: dict[str, str]) -> None:
        if "reload" in flags:
            assert {name for services in self.zones.values() for name in services} <= set(self.services)
            self.reloads += 1
            self._loaded = self._copy()
        elif "new-service" in flags:
            self.services[flags["new-service"]] = set()
        elif "delete-service" in flags:
            del self.services[flags["delete-service"]]
        elif "add-port" in flags:
            self.services[flags["service"]].add(flags["add-port"])
        elif "remove-port" in flags:
            self.services[flags["service"]].remove(flags["remove-port"])
        elif "add-service" in flags:
            self.zones[flags["zone"]].add(flags["add-service"])
        elif "remove-service" in flags:
            self.zones[flags["zone"]].remove(flags["remove-service"])
        else:
            assert "set-description" in flags


def match(firewall: Firewalld, ports: list[int], most: int = 99) -> int:
    """Do what the module does, and return how many commands changed something."""
    made = commands(NAME, ports, look(firewall, NAME))
    for arguments in made[:most]:
        firewall(arguments)
    return len(made)


def test_ports_are_opened_changed_and_closed_and_nothing_else_is() -> None:
    firewall = Firewalld()
    assert match(firewall, PORTS) > 0
    assert look(firewall, NAME) == Seen("public", True, OPEN, ("public",), True)
    assert match(firewall, PORTS) == 0
    assert match(firewall, [3999, 9942, 9951]) > 0
    assert look(firewall, NAME).ports == ("3999/tcp", "9942/tcp", "9951/tcp")
    firewall.zones["internal"].add(NAME)  # by an administrator
    assert match(firewall, [3999, 9942, 9951]) == 1, "only a reload"
    assert match(firewall, []) > 0
    assert firewall.zones == {"public": {"ssh"}, "internal": {"ssh"}}
    assert firewall.services == {"ssh": {"22/tcp"}}
    assert match(firewall, []) == 0


@pytest.mark.parametrize("most", range(8))
@pytest.mark.parametrize(("first", "then"), [([], PORTS), (PORTS, [1]), (PORTS, [])])
def test_a_run_that_ended_half_way_is_completed_by_the_next(first: list[int], then: list[int], most: int) -> None:
    firewall = Firewalld()
    match(firewall, first)
    match(firewall, then, most)
    match(firewall, then)
    assert match(firewall, then) == 0
    seen = look(firewall, NAME)
    assert seen.ports == tuple(f"{port}/tcp" for port in then)
    assert seen.in_force
