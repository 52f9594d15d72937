"""The plan of a run, host by host: files of others, places of web processes, old addresses."""

from __future__ import annotations

from typing import Any

from fedmsg_relay_plan.faults import fault_of
from fedmsg_relay_plan.plan import of
from fedmsg_relay_plan.web import urls

from fleet import COMMAND, CONFIG, KEYS, SPOOL_UNIT, UNIT, WEB, fleet, relay, scripts
from moves import DEPLOYED


def test_files_of_others_are_told_apart() -> None:
    dropins = ["/etc/systemd/system/fedmsg-relay.service.d/a.conf", "/etc/systemd/system/service.d/b.conf"]
    machine = scripts("app01", "app01", unit="/etc/init.d/fedmsg-relay", running=True, their_config=True)
    world = fleet(machine, group="app01", variables={"app01": {"adopt": True}})
    told = world.told()
    told["app01"]["looked"]["service"]["properties"] |= {
        "SourcePath": machine.unit,
        "FragmentPath": "/run/x",
        "DropInPaths": " ".join(dropins),
    }
    replaced = of(told, world.shared())["hosts"]["app01"]["replaced"]
    assert replaced == {
        "files": [CONFIG, "/etc/init.d/fedmsg-relay"],
        "unit": ["/etc/init.d/fedmsg-relay"],
        "config": [CONFIG],
        "commands": [],
        "dropins": dropins[:1],
        "copies": [{"src": path, "dest": f"/var/backups/fedmsg-relay/adopted{path}"} for path in (CONFIG, dropins[0])],
    }


def test_a_unit_of_others_in_the_place_of_the_web_process_is_refused() -> None:
    world = fleet(relay("app01"), group="app01", variables={"app01": {"web": True}})
    told = world.told()
    told["app01"]["looked"]["files"]["foreign"] = [WEB]
    assert f"Not written by this role: {WEB}." in of(told, world.shared())["hosts"]["app01"]["refusal"]
    told["app01"]["inventory"]["web"] = False
    assert of(told, world.shared())["hosts"]["app01"]["refusal"] == ""


def test_consumers_are_told_only_a_place_that_is_there() -> None:
    world = fleet(relay("app01"), group="app01", variables={"app01": {"datagrepper": True}})
    inventory = world.inventory("app01")
    assert fault_of(inventory, "app01", world.shared()) == (
        "fedmsg_relay_datagrepper is set on app01, but no relay has a web process: set fedmsg_relay_web for the group "
        "fedmsg_relay. Nothing was changed."
    )
    world.variables["app01"]["web"] = True
    assert fault_of(inventory, "app01", world.shared()) == ""


def test_a_web_process_is_where_the_settings_say() -> None:
    listens: list[str] = ["ipc:///run/x", "tcp://*:80"]
    relays: dict[str, dict[str, Any]] = {
        "app01": {},
        "app02": {"fedmsg_relay_web": True, "fedmsg_relay_addresses": {"vpn": "fd00::17"}},
        "app03": {"fedmsg_relay_web": "yes", "fedmsg_relay_settings": {"http": {"listen": listens}}},
        "app04": {"fedmsg_relay_web": True, "fedmsg_relay_settings": {"http": {"listen": []}}},
        "app05": {"fedmsg_relay_web": "no"},
    }
    assert urls(relays, "default") == ["http://app02:9943", "http://app03:80", "http://app04:9943"]
    assert urls(relays, "vpn") == ["http://[fd00::17]:9943", "http://-:80", "http://-:9943"]


def test_a_host_that_is_to_have_no_program_loses_its_files_and_no_other() -> None:
    machine = scripts("pkgs01", "app01", keys=("/etc/pki/fedmsg/ca.crt",), commands=False)
    world = fleet(relay("app01"), machine, group="app01")
    told = world.told()
    pth = "/usr/local/lib/python3.11/dist-packages/fedmsg-relay.pth"
    told["pkgs01"]["looked"]["files"]["ours"] = [CONFIG, KEYS, UNIT, WEB, SPOOL_UNIT, COMMAND, pth]
    assert of(told, world.shared())["hosts"]["pkgs01"]["leftovers"] == [SPOOL_UNIT, COMMAND, pth]
    assert of(told, world.shared())["hosts"]["app01"]["leftovers"] == []
    machine.commands = True
    assert fleet(relay("app01"), machine, group="app01").plan().hosts["pkgs01"].leftovers == []


def test_an_address_that_another_process_has_by_now_is_not_kept() -> None:
    ports = {"inbound": "9951", "outbound": "3999", "submit": "9942"}
    machine = relay("app01", running=False, ports=ports, more={"ports": [["9951", "httpd", "5"]]})
    assert fleet(machine, group="app01").plan().hosts["app01"].old == {}
    machine.more = {}
    assert fleet(machine, group="app01").plan().hosts["app01"].old == {"inbound": ["tcp://*:9951"]}


def test_ansible_gets_text_and_no_types_of_python() -> None:
    made = of(DEPLOYED.told(), DEPLOYED.shared())
    host = made["hosts"]["pkgs01"]
    assert {type(one) for one in [host["part"], *host["steps"]]} == {str}
    assert set(made) == {"hosts", "relays", "leaving", "tolerated", "refusal", "questions", "sentences", "standing"}
