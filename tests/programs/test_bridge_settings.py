"""[bridge] of relay.toml: what is refused, by the bridge and by check-config alike, and where the broker is found."""

from __future__ import annotations

import json
import sys

import pytest

from documented import page
from harness import Host, wait_until
from messages import numbered
from relays import Relay
from wire import Sockets, accepted

BRIDGE = ("fedmsg-relay", "bridge")
URL = "amqp://user:secret@broker.example.org/%2F"
REFUSED = {
    "": "bridge.amqp_url must say where the broker is",
    "amqp_url = []": "bridge.amqp_url must say where the broker is",
    'amqp_url = ["http://broker/"]': "amqp_url: a URL does not have the form",
    'amqp_url = ["amqp://user:secret@[bad/"]': "amqp_url: a URL does not have the form",
    'amqp_url = ["amqp://:secret@"]': "amqp_url: a URL does not have the form",
    f'amqp_url = ["{URL}"]\nwindow = 0': "window",
    f'amqp_url = ["{URL}"]\nunroutable = "drop"': "unroutable",
    f'amqp_url = ["{URL}"]\nqueue = "q"': "unknown key",
    f'amqp_url = ["{URL}"]\nback_queue = ""': "back_queue",
    f'amqp_url = ["{URL}"]\nback_queue = "q"\ntap_queue = "q"': "must be two queues",
    f'amqp_url = ["{URL}"]\ncert = "c"': "belong together",
    f'amqp_url = ["{URL}"]\nback_queue = "q"': "relay_submit of the global config names none",
    f'amqp_url = ["{URL.replace("amqp", "amqps")}"]\nca = "none.pem"': "bridge.ca none.pem: No such file",
    f'amqp_url = ["{URL.replace("amqp", "amqps")}"]\ncert = "none"\nkey = "none"': "bridge.cert none: No such file",
    'fedora_messaging = "none.toml"': "bridge.fedora_messaging none.toml: No such file",
    'fedora_messaging = "relay.toml"': "must say where the broker is",
}


@pytest.mark.parametrize("lines", REFUSED)
@pytest.mark.parametrize("command", ["check-config", "bridge"])
def test_what_is_refused(host: Host, lines: str, command: str) -> None:
    given = "" if "fedora_messaging" in lines else 'fedora_messaging = ""\n'
    host.write("relay.toml", f"[bridge]\n{given}{lines}\n")
    ran = host.run("fedmsg-relay", command, "--settings", "relay.toml")
    assert ran.code == 78, ran
    assert REFUSED[lines] in ran.one_error_line()
    assert "secret" not in ran.stderr


def test_a_config_of_fedora_messaging_that_is_not_toml_shows_nothing_of_it(host: Host) -> None:
    host.write("config.toml", f'amqp_url = "{URL}\n')
    host.write("relay.toml", '[bridge]\nfedora_messaging = "config.toml"\n')
    ran = host.run("fedmsg-relay", "check-config", "--settings", "relay.toml")
    assert (ran.code, "config.toml: is not TOML" in ran.one_error_line()) == (78, True)
    assert "secret" not in ran.stderr


def test_check_config_says_where_the_bridge_would_go(host: Host) -> None:
    host.configure_submit()
    host.write("config.toml", f'amqp_url = "{URL}"\npublish_exchange = "theirs"\n[tls]\nca_cert = "unused"\n')
    host.write("relay.toml", '[bridge]\nfedora_messaging = "config.toml"\nexchange = "ours"\nback_queue = "q"\n')
    ran = host.run("fedmsg-relay", "check-config", "--settings", "relay.toml", "--json")
    assert ran.code == 0, ran
    assert json.loads(ran.stdout)["bridge"] == {
        "nodes": ["broker.example.org:5672"],
        "exchange": "ours",
        "back_queue": "q",
        "tap_queue": None,
        "certificate": None,
        "ends": None,
        "submit": host.submit,
    }
    shown = host.run("fedmsg-relay", "check-config", "--settings", "relay.toml").stdout
    assert "would bridge to broker.example.org:5672 exchange ours" in shown
    assert "secret" not in shown + ran.stdout


def test_without_a_table_there_is_no_bridge(host: Host) -> None:
    host.write("relay.toml", "")
    ran = host.run(*BRIDGE, "--settings", "relay.toml")
    assert (ran.code, "has no table [bridge]" in ran.one_error_line()) == (78, True)


def test_without_pika_it_says_what_to_install(host: Host) -> None:
    host.write("relay.toml", f'[bridge]\nfedora_messaging = ""\namqp_url = ["{URL}"]\n')
    host.write("without/pika.py", "raise ModuleNotFoundError(\"No module named 'pika'\", name='pika')\n")
    path = {"PYTHONPATH": str(host.directory / "without")}
    ran = host.run(*BRIDGE, "--settings", "relay.toml", env=path)
    assert (ran.code, "install fedmsg-relay[bridge]" in ran.one_error_line()) == (78, True)
    assert host.run("fedmsg-relay", "check-config", "--settings", "relay.toml", env=path).code == 0


@pytest.mark.parametrize("start", ["newest", "0", "-1", "1.5", "9" * 30])
def test_a_start_that_cannot_be_is_refused(host: Host, start: str) -> None:
    ran = host.run(*BRIDGE, f"--from={start}")
    assert (ran.code, "--from" in ran.one_error_line()) == (64, True)


def test_the_status_of_a_host_without_a_bridge_is_unknown(host: Host) -> None:
    ran = host.run(*BRIDGE, "status")
    assert (ran.code, ran.stderr) == (3, "")
    assert ran.stdout.startswith("UNKNOWN - no bridge has run on this host")
    assert host.run(*BRIDGE, "status", "--json").code == 3


def test_only_the_bridge_loads_pika(host: Host) -> None:
    modules = "fedmsg_relay.commands.relay, fedmsg_relay.bridge.report, fedmsg_relay.daemon.relay"
    code = f"import sys, {modules}; print('pika' in sys.modules)"
    assert host.run(sys.executable, "-c", code).stdout == "False\n"


def test_the_first_start_as_the_docs_have_it_needs_no_broker(host: Host, relay: Relay, sockets: Sockets) -> None:
    host.configure_submit()
    relay.start()
    assert sockets.submitter(host.submit).ask(*numbered(3)) == accepted(1, 3)
    line = next(line for line in page("docs/bridge.md").splitlines() if "first.toml" in line and "printf" in line)
    assert host.run("/bin/sh", "-c", line.replace("/etc/fedmsg-relay/", "")).code == 0
    for options in (["--from", "now"], []):
        bridge = host.start(*BRIDGE, *options, "--settings", "first.toml", env={"LOGS_DIRECTORY": ""})
        wait_until(lambda: "forward: connecting" in bridge.stderr(), "it tries to reach the broker")  # noqa: B023
        assert bridge.stop() == 0
        assert ("forward: begins after seq 3" in bridge.stderr()) == bool(options)
    told = json.loads(host.run(*BRIDGE, "status", "--json").stdout)["forward"]
    assert (told["begin"], told["cursor"], told["waiting"]) == (3, 3, 0)
