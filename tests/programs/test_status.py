"""`fedmsg-relay status`: for an operator, and for Nagios."""

from __future__ import annotations

import json
import resource
import signal
import socket
import time
from datetime import datetime

import pytest

from bus import Bus
from harness import PATIENCE, SILENT_RESOLVER, Host
from messages import numbered
from nagios import nagios

REASONS = {
    *("frame-count", "topic-not-utf8", "body-not-utf8", "body-not-json", "too-deep", "too-large"),
    *("bad-request", "bad-version", "batch-too-large"),
    *("unsigned", "crypto-unknown", "signature-malformed", "certificate-malformed", "certificate-untrusted"),
    *("certificate-expired", "certificate-revoked", "signature-invalid", "topic-mismatch", "not-permitted"),
    *("no-policy", "source-not-allowed", "trust-unusable"),
}


def test_status_of_a_running_relay_is_ok_in_one_line_first(bus: Bus) -> None:
    ran = bus.host.run("fedmsg-relay", "status")
    assert (ran.code, ran.stderr) == (0, "")
    nagios(ran.stdout, "OK")
    assert "|" in ran.stdout.splitlines()[0], "performance data for graphs"
    assert bus.host.inbound in ran.stdout
    assert bus.host.outbound in ran.stdout


def test_status_as_json_has_everything_a_monitor_wants(bus: Bus) -> None:
    started = time.time()
    status = bus.relay.status()
    assert set(status) >= {
        "relay",
        "endpoints",
        "settings",
        "messages",
        "dropped",
        "journal",
        "laggards",
        "peers",
        "connections",
    }
    assert set(status["relay"]) >= {"version", "pid", "started", "uptime"}
    assert status["relay"]["pid"] == bus.relay.pid
    assert 0 <= status["relay"]["uptime"] < 600
    assert status["endpoints"] == {"inbound": [bus.host.inbound], "outbound": [bus.host.outbound], "submit": []}
    assert set(status["dropped"]) == REASONS
    assert set(status["dropped"].values()) == {0}
    assert len(status["peers"]["publishers"]) == 1
    assert len(status["peers"]["listeners"]) == 1
    assert set(status["connections"]) >= {"accepted", "closed", "handshake_failed"}
    assert status["messages"]["received"] == status["messages"]["published"] >= 1
    assert status["relay"]["version"] in bus.host.run("fedmsg-relay", "--version").stdout
    assert started - 600 < as_seconds(status["relay"]["started"]) < started + 1


def as_seconds(moment: str | float) -> float:
    if isinstance(moment, str):
        return datetime.fromisoformat(moment).timestamp()
    return moment


def test_status_counts_as_messages_pass(bus: Bus) -> None:
    before = bus.relay.status()["messages"]
    bus.publisher.send_all(numbered(7))
    bus.listener.expect(numbered(7))
    after = bus.relay.status()["messages"]
    changed = {key: after[key] - before[key] for key in ("received", "published", "dropped")}
    assert changed == {"received": 7, "published": 7, "dropped": 0}


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_status_of_no_relay_is_critical(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "status", *options)
    assert ran.code == 2
    assert "Traceback" not in ran.stderr
    if options:
        json.loads(ran.stdout)
    else:
        nagios(ran.stdout, "CRITICAL")


def elsewhere(host: Host) -> dict[str, str]:
    """What a relay host has, under names of which nothing is there; the config names a relay of another host."""
    host.configure(["tcp://192.0.2.7:9941"], ["tcp://192.0.2.7:3999"])
    return {name: str(host.directory / "none" / name) for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY")}


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_status_on_a_host_without_a_relay_says_where_the_relay_is(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "status", *options, env=elsewhere(host))
    assert (ran.code, ran.stderr) == (3, "")
    line = json.loads(ran.stdout)["summary"] if options else ran.stdout.rstrip()
    assert line.removeprefix("UNKNOWN - ") == "no relay runs on this host; the config names tcp://192.0.2.7:9941"


def test_status_on_a_host_without_a_relay_and_without_a_config_says_so(host: Host) -> None:
    environment = elsewhere(host)
    (host.directory / "fedmsg.d" / "relay.py").unlink()
    ran = host.run("fedmsg-relay", "status", env=environment)
    assert ran.code == 3
    assert "no relay runs on this host, and its config names none: " in nagios(ran.stdout, "UNKNOWN")


@pytest.mark.parametrize("what", ["runtime directory", "journal", "address"])
def test_status_on_a_host_that_should_have_a_relay_is_critical(host: Host, what: str) -> None:
    environment = elsewhere(host)
    if what == "runtime directory":
        (host.directory / "none" / "RUNTIME_DIRECTORY").mkdir(parents=True)
    elif what == "journal":
        host.write("none/STATE_DIRECTORY/journal.db", "")
    else:
        host.configure()
    ran = host.run("fedmsg-relay", "status", env=environment)
    assert ran.code == 2
    path = host.directory / "none" / "RUNTIME_DIRECTORY" / "status.sock"
    assert ran.stdout == f"CRITICAL - the relay of this host does not answer at {path}: No such file or directory\n"


def test_status_does_not_wait_for_a_resolver_that_stays_silent(host: Host) -> None:
    environment = elsewhere(host)
    host.configure(["tcp://relay.example.org:9941"])
    host.write("silent/sitecustomize.py", SILENT_RESOLVER)
    ran = host.run("fedmsg-relay", "status", env={**environment, "PYTHONPATH": str(host.directory / "silent")})
    assert ran.code == 3
    assert ran.within(5)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("answer", ["{}", "[]", "null", "5", '"x"', '{"messages": []}', "[" * 100_000, "x"])
def test_an_answer_that_is_not_a_status_is_one_line(host: Host, answer: str, options: list[str]) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(host.directory / "run" / "status.sock"))
        other.listen()
        other.settimeout(PATIENCE)
        asking = host.start("fedmsg-relay", "status", *options)
        reader, _ = other.accept()
        with reader:
            reader.sendall(answer.encode())
        code = asking.wait()
    assert code == (2 if answer[0] in "x[" and answer != "[]" else 3)
    assert asking.stderr() == ""
    (line,) = asking.stdout().splitlines()
    if options:
        assert json.loads(line)["ok"] is False
    else:
        nagios(line, "CRITICAL" if code == 2 else "UNKNOWN")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_status_after_the_end_is_critical(bus: Bus, end: signal.Signals) -> None:
    bus.relay.running.send_signal(end)
    bus.relay.running.wait()
    ran = bus.host.run("fedmsg-relay", "status")
    assert ran.code == 2
    nagios(ran.stdout, "CRITICAL")


def test_a_relay_starts_over_what_a_killed_one_left(bus: Bus) -> None:
    bus.relay.kill()
    bus.relay.start()
    assert bus.relay.status()["relay"]["pid"] == bus.relay.pid


def test_status_of_a_relay_that_stands_still_is_critical_and_does_not_hang(bus: Bus) -> None:
    bus.relay.running.send_signal(signal.SIGSTOP)
    ran = bus.host.run("fedmsg-relay", "status")
    bus.relay.running.send_signal(signal.SIGCONT)
    assert ran.code == 2
    nagios(ran.stdout, "CRITICAL")


def test_status_answers_again_once_there_are_file_descriptors_left(bus: Bus) -> None:
    _, hard = resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE, (10, hard))  # poll(2) takes no more either
    bus.relay.messages()  # takes the one that accept(2), waiting, had already got
    bus.relay.wait_for_log("ERROR", "status cannot be answered")
    resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(2):
        assert bus.relay.messages()["received"] >= 1
    assert bus.relay.stop() == 0


def test_a_silent_client_of_the_status_blocks_nobody(bus: Bus) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(bus.host.directory / "run" / "status.sock"))
        assert bus.host.run("fedmsg-relay", "status").code == 0
        bus.publisher.send_all(numbered(3))
        bus.listener.expect(numbered(3))
