"""SIGHUP: new settings take effect, or change nothing, and no message is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bus import Bus, StartBus
from harness import Host, wait_until
from messages import Message, numbered


def big(number: int) -> Message:
    return b"org.example.big", b'"%04d' % number + b"x" * 1995 + b'"'


def test_sighup_takes_the_new_size_limit(host: Host, start_bus: StartBus) -> None:
    host.write("relay.toml", "")
    bus = start_bus()
    for number, (limit, passes) in enumerate([(1024, False), (5000, True), (1024, False)]):
        host.write("relay.toml", f"[limits]\nmax_message_size = {limit}\n")
        bus.relay.reload()
        small = (b"org.example.small", b"%d" % number)
        bus.publisher.send(*big(number))
        bus.publisher.send(*small)
        bus.listener.expect([big(number), small] if passes else [small])
    wait_until(lambda: len(bus.relay.log_lines("INFO", "reloaded")) == 3, "each is in the log")
    assert bus.relay.status()["dropped"]["too-large"] == 2


def test_sighup_can_raise_the_size_limit(host: Host, start_bus: StartBus) -> None:
    host.write("relay.toml", "[limits]\nmax_message_size = 1024\n")
    bus = start_bus()
    host.write("relay.toml", "[limits]\nmax_message_size = 16777216\n")
    bus.relay.reload()
    large = (b"org.example.large", b'"' + b"x" * 1_000_000 + b'"')
    bus.publisher.send(*large)
    bus.listener.expect([large])


def test_status_shows_settings_in_force_and_check_config_those_to_come(host: Host, start_bus: StartBus) -> None:
    host.write("relay.toml", "")
    bus = start_bus()
    assert bus.relay.status()["settings"] == to_come(host)
    host.write("relay.toml", "[limits]\nmax_message_size = 2048\n[journal]\nkeep_days = 3\nkeep_bytes = 2097152\n")
    assert bus.relay.status()["settings"] != to_come(host)
    bus.relay.reload()
    in_force = bus.relay.status()["settings"]
    assert in_force["limits"]["max_message_size"] == 2048
    assert in_force["journal"] == {"keep_days": 3, "keep_bytes": 2097152}
    assert in_force == to_come(host)
    host.write("relay.toml", "[limits]\nmax_message_size = 'big'\n")
    bus.relay.reload()
    assert bus.relay.status()["settings"] == in_force


def to_come(host: Host) -> dict[str, Any]:
    """The words of check-config on a start, or a reload, with this relay.toml."""
    ran = host.run("fedmsg-relay", "check-config", "--json", "--settings", host.settings_file)
    settings: dict[str, Any] = json.loads(ran.stdout)["settings"]
    return settings


def test_a_reload_takes_a_much_larger_size_at_once(host: Host, start_bus: StartBus) -> None:
    host.write("relay.toml", "[limits]\nmax_message_size = 1024\n")
    bus = start_bus()
    host.write("relay.toml", "[limits]\nmax_message_size = 134217728\n")
    bus.relay.reload()
    assert not bus.relay.log_lines("reloaded", "needs a restart")
    large = (b"org.example.large", b'"' + b"x" * 70_000_000 + b'"')
    bus.publisher.send(*large)
    bus.listener.expect([large])


@pytest.mark.parametrize(
    "text",
    [
        "[limits]\nmax_message_size = 'big'\n",
        "[limits\n",
        "[limits]\nmax_mesage_size = 5\n",
        f"[limits]\nmax_message_size = {'9' * 5000}\n",
        f"[trust]\nexempt = {'[' * 5000}\n",
    ],
    ids=["wrong type", "not TOML", "unknown key", "huge number", "deeply nested"],
)
def test_sighup_with_invalid_settings_keeps_the_old_ones(host: Host, start_bus: StartBus, text: str) -> None:
    host.write("relay.toml", "")
    bus = start_bus()
    host.write("relay.toml", "[limits]\nmax_message_size = 1024\n")
    bus.relay.reload()
    host.write("relay.toml", text)
    bus.relay.reload()
    bus.relay.wait_for_log("ERROR", str(host.settings_file))
    small = (b"org.example.small", b"1")
    bus.publisher.send(*big(1))
    bus.publisher.send(*small)
    bus.listener.expect([small])


def test_sighup_with_a_broken_config_keeps_the_relay_running(bus: Bus) -> None:
    bus.host.write("fedmsg.d/zz-broken.py", "config = {\n")
    bus.relay.reload()
    bus.publisher.send_all(numbered(3))
    bus.listener.expect(numbered(3))


def test_sighup_under_traffic_loses_nothing(host: Host, start_bus: StartBus) -> None:
    host.write("relay.toml", "")
    bus = start_bus()
    sent = numbered(5000)
    for start in range(0, 5000, 1000):
        bus.publisher.send_all(sent[start : start + 1000])
        bus.relay.reload()
    bus.listener.expect(sent)
